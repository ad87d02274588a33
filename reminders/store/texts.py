"""Texts: making the rows what the planner says they should be, and reading them for people."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import Row

from reminders.lifecycle import State
from reminders.planner import Candidate, Gone, QuietHours, Reader
from reminders.plans import Category
from reminders.store.engine import Transaction
from reminders.store.ids import new_id
from reminders.store.schema import (
    appointments,
    attempts,
    numbers,
    patients,
    plans,
    recipients,
    series,
    sites,
    text_items,
    texts,
)
from reminders.store.sealing import Place

_AT_ONCE = 5_000  # ids in one statement; both databases have a limit


@dataclass(slots=True)
class Changes:
    """What a reconcile did, counted in texts that go (CONTRACT: `{"added","moved","retracted"}`)."""

    added: int = 0
    moved: int = 0
    retracted: int = 0

    def __iadd__(self, other: "Changes") -> Self:
        self.added += other.added
        self.moved += other.moved
        self.retracted += other.retracted
        return self


def reader_of(
    *,
    recipient_id: int,
    role: str,
    zone: str,
    guessed_zones: Sequence[str],
    digest: bool,
    texting: tuple[str | None, str | None],
    site_quiet: tuple[str, str],
    number_id: int,
    number: Row[Any],
    consent: Row[Any] | None,
    today: date,
) -> Reader:
    """A recipient as the planner sees one, from the rows.

    Consent counts when it is a yes for this very number (L-50) that has not expired and, for the patient, was given
    after the warning that others may see texts (L-38).
    """
    quiet = [QuietHours(time.fromisoformat(site_quiet[0]), time.fromisoformat(site_quiet[1]))]
    if texting[0] and texting[1]:
        quiet.append(QuietHours.outside(time.fromisoformat(texting[0]), time.fromisoformat(texting[1])))
    consented = (
        consent is not None
        and consent.said == "yes"
        and consent.number_id == number_id
        and (consent.expires_on is None or consent.expires_on >= today)
        and (role != "self" or consent.warned_of_risk)
    )
    return Reader(
        id=recipient_id,
        role=role,
        zone=zone,
        quiet=tuple(quiet),
        consented=consented,
        categories=frozenset(Category(name) for name in consent.categories) if consent is not None else frozenset(),
        opted_out=number.opted_out_at is not None,
        number_bad=number.bad_since is not None or number.wrong_since is not None,
        per_day=consent.per_day if consent is not None else None,
        per_week=consent.per_week if consent is not None else None,
        also_zones=tuple(guessed_zones),
        digest=digest,
    )


@dataclass(frozen=True, slots=True)
class Addressee:
    """Whom a recipient's texts go to, and from where."""

    recipient_id: int
    site_id: int
    sender_id: int
    number_id: int


def reconcile(
    tx: Transaction,
    addressee: Addressee,
    candidates: Sequence[Candidate],
    plan_of: Mapping[int, int],
    *,
    since: date,
    now: datetime,
) -> Changes:
    """Make the recipient's reminders for days from `since` on what the planner says. Idempotent.

    `plan_of` gives each visit's plan. A text that has an attempt is never touched; one whose window has merely shut
    since it was laid down is left for the settle job to expire. Call with the recipient's number locked.
    """
    rows = _reminders_from(tx, addressee.recipient_id, since)
    items = _items_of(tx, [row.id for row in rows.values()])
    changes = Changes()
    added: list[dict[str, Any]] = []
    links: list[dict[str, int]] = []
    for candidate in candidates:
        about = [visit.id for visit in candidate.visits]
        wanted = {
            "site_id": addressee.site_id,
            "sender_id": addressee.sender_id,
            "number_id": addressee.number_id,
            "plan_id": plan_of[about[0]],
            "opens_at": candidate.opens_at,
            "closes_at": candidate.closes_at,
            "reason": candidate.reason.value if candidate.reason else None,
            "state": (State.SUPPRESSED if candidate.reason else State.SCHEDULED).value,
        }
        due_at = candidate.goes_at or candidate.opens_at
        row = rows.pop(candidate.key, None)
        if row is None:
            text_id = new_id(now)
            added.append(
                wanted
                | {
                    "id": text_id,
                    "recipient_id": addressee.recipient_id,
                    "class": "reminder",
                    "key": candidate.key,
                    "day": candidate.day,
                    "due_at": due_at,
                    "ready": False,
                    "attempts": 0,
                    "resent": False,
                }
            )
            links += [{"text_id": text_id, "appointment_id": visit_id} for visit_id in about]
            changes.added += candidate.reason is None
        elif _may_change(row, candidate) and not _only_time_passed(row, wanted, now):
            had = items.get(row.id, set())
            _change(tx, row, wanted | {"due_at": due_at}, had=had, about=about, changes=changes)
    tx.run_many(texts.insert(), added)
    tx.run_many(text_items.insert(), links)
    for row in rows.values():
        # Where the window has shut nothing is taken back any more: it expires, and a person is told.
        if row.state in {State.SCHEDULED, State.SUPPRESSED} and row.attempts == 0 and row.closes_at > now:
            moved = _move(tx, row, State.CANCELLED, reason=None)
            changes.retracted += moved and row.state == State.SCHEDULED
    return changes


def _reminders_from(tx: Transaction, recipient_id: int, since: date) -> dict[str, Row[Any]]:
    query = sa.select(texts).where(
        texts.c.recipient_id == recipient_id, texts.c["class"] == "reminder", texts.c.day >= since
    )
    return {row.key: row for row in tx.all(query)}


def _items_of(tx: Transaction, text_ids: Sequence[int]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for row in tx.all(sa.select(text_items).where(text_items.c.text_id.in_(text_ids))):
        found.setdefault(row.text_id, set()).add(row.appointment_id)
    return found


def _may_change(row: Row[Any], candidate: Candidate) -> bool:
    if row.attempts:
        return False
    if row.state == State.EXPIRED:  # its visit was moved to later that day
        return candidate.goes_at is not None and candidate.closes_at > row.closes_at
    return row.state in {State.SCHEDULED, State.SUPPRESSED, State.CANCELLED}


def _only_time_passed(row: Row[Any], wanted: Mapping[str, Any], now: datetime) -> bool:
    """Whether the text would go no more only because its window has shut: then it expires, and a person is told."""
    if row.state != State.SCHEDULED or wanted["reason"] not in {"too_late", "quiet_hours", "merged_into"}:
        return False
    same = (row.opens_at, row.closes_at) == (wanted["opens_at"], wanted["closes_at"])
    return row.closes_at <= now or (same and wanted["reason"] != "merged_into" and now >= row.opens_at)


def _change(
    tx: Transaction, row: Row[Any], wanted: dict[str, Any], *, had: set[int], about: list[int], changes: Changes
) -> None:
    goes, went = wanted["state"] == State.SCHEDULED, row.state == State.SCHEDULED
    compared = [name for name in wanted if name != "due_at"]
    same = all(row._mapping[name] == wanted[name] for name in compared)
    if same and had == set(about):
        return
    if same and goes:  # only the visits changed, not the window: a back-off stays
        wanted.pop("due_at")
    wanted.pop("state")
    if not _move(tx, row, State.SCHEDULED if goes else State.SUPPRESSED, **wanted):
        return
    if had != set(about):
        tx.run(text_items.delete().where(text_items.c.text_id == row.id))
        tx.run_many(text_items.insert(), [{"text_id": row.id, "appointment_id": visit_id} for visit_id in about])
    changes.added += goes and not went
    changes.moved += goes and went
    changes.retracted += went and not goes


def _move(tx: Transaction, row: Row[Any], target: State, **values: Any) -> bool:
    """Move a text without attempts if it still is where we saw it; whether it did.

    No claim can come in between, the number is locked; but the settle job may have let it expire.
    """
    moved = tx.run(
        texts.update()
        .where(texts.c.id == row.id, texts.c.state == row.state, texts.c.attempts == 0)
        .values(state=target.value, ready=False, held=None, **values)
    )
    return moved == 1


def gone(tx: Transaction, number_ids: Collection[int], since: datetime) -> dict[int, list[tuple[int, Gone]]]:
    """Number → its texts that have gone since then, or may have: (text, what the planner needs of it)."""
    query = (
        sa.select(
            attempts.c.number_id,
            texts.c.id,
            texts.c.recipient_id,
            texts.c.key,
            sa.func.min(attempts.c.started_at, type_=attempts.c.started_at.type).label("at"),
        )
        .join(texts, texts.c.id == attempts.c.text_id)
        .where(attempts.c.number_id.in_(number_ids), attempts.c.started_at >= since)
        .where(sa.or_(attempts.c.answer.is_(None), attempts.c.answer != "refused"))
        .group_by(attempts.c.number_id, texts.c.id, texts.c.recipient_id, texts.c.key)
    )
    rows = tx.all(query)
    items = _items_of(tx, [row.id for row in rows])
    found: dict[int, list[tuple[int, Gone]]] = {}
    for row in rows:
        one = Gone(row.recipient_id, row.key, row.at, frozenset(items.get(row.id, ())))
        found.setdefault(row.number_id, []).append((row.id, one))
    return found


def suppress_queued(tx: Transaction, number_id: int, reason: str) -> int:
    """Take every queued text of a number out of the queue; how many. The caller holds the number's lock."""
    queued = sa.text("state = 'scheduled'")
    return tx.run(
        texts.update()
        .where(texts.c.number_id == number_id, queued)
        .values(state=State.SUPPRESSED.value, reason=reason, ready=False, held=None)
    )


# What people see. One query for web, CLI and API, so that all show the same.


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What to show of the delivery log; instants are on `opens_at`.

    `before` is where a page ended, the (opens_at, text) of its last line: only what stands after it is shown.
    """

    state: str | None = None
    plan: str | None = None
    patient: str | None = None
    code: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, int] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class LoggedAttempt:
    """One call to Twilio, as the log shows it."""

    ref: str
    sid: str | None
    answer: str | None
    status: str | None
    error_code: int | None
    segments: int
    started_at: datetime
    what: str | None
    status_at: datetime | None


@dataclass(frozen=True, slots=True)
class Logged:
    """One text, as the log shows it; the number is masked."""

    text: int
    class_: str
    key: str
    plan: str | None
    patient: str
    recipient: str
    to: str
    zone: str
    reader_zone: str
    opens_at: datetime
    closes_at: datetime
    due_at: datetime
    state: str
    reason: str | None
    held: str | None
    waits_code: int | None
    attempts: list[LoggedAttempt] = field(default_factory=list)


def masked(phone: str) -> str:
    """An E.164 number of which only the last four digits show."""
    return "•" * (len(phone) - 5) + phone[-4:]


def log(tx: Transaction, wanted: LogFilter) -> list[Logged]:
    """The delivery log, newest first (by opens_at)."""
    query = (
        sa.select(
            texts,
            recipients.c.key.label("recipient_key"),
            recipients.c.zone.label("reader_zone"),
            patients.c.ref.label("patient_ref"),
            plans.c.ref.label("plan_ref"),
            numbers.c.phone_sealed,
            sites.c.zone,
        )
        .join(recipients, recipients.c.id == texts.c.recipient_id)
        .join(patients, patients.c.id == recipients.c.patient_id)
        .join(numbers, numbers.c.id == texts.c.number_id)
        .join(sites, sites.c.id == texts.c.site_id)
        .outerjoin(plans, plans.c.id == texts.c.plan_id)
        .order_by(texts.c.opens_at.desc(), texts.c.id.desc())
        .limit(wanted.limit)
    )
    if wanted.state is not None:
        query = query.where(texts.c.state == wanted.state)
    if wanted.plan is not None:
        about = (
            sa.select(text_items.c.text_id)
            .join(appointments, appointments.c.id == text_items.c.appointment_id)
            .join(series, series.c.id == appointments.c.series_id)
            .join(plans, plans.c.id == series.c.plan_id)
            .where(plans.c.ref == wanted.plan)
        )
        query = query.where(sa.or_(plans.c.ref == wanted.plan, texts.c.id.in_(about)))
    if wanted.patient is not None:
        query = query.where(patients.c.ref == wanted.patient)
    if wanted.code is not None:
        met = sa.select(attempts.c.text_id).where(attempts.c.error_code == wanted.code)
        query = query.where(texts.c.id.in_(met))
    if wanted.since is not None:
        query = query.where(texts.c.opens_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(texts.c.opens_at < wanted.until)
    if wanted.before is not None:
        at, last = wanted.before
        here = sa.tuple_(sa.literal(at, texts.c.opens_at.type), sa.literal(last, texts.c.id.type))
        query = query.where(sa.tuple_(texts.c.opens_at, texts.c.id) < here)
    rows = tx.all(query)
    tried = _attempts_of(tx, [row.id for row in rows])
    return [
        Logged(
            text=row.id,
            class_=row._mapping["class"],
            key=row.key,
            plan=row.plan_ref,
            patient=row.patient_ref,
            recipient=row.recipient_key,
            to=masked(tx.open(Place("numbers", "phone_sealed", row.number_id), row.phone_sealed)),
            zone=row.zone,
            reader_zone=row.reader_zone,
            opens_at=row.opens_at,
            closes_at=row.closes_at,
            due_at=row.due_at,
            state=row.state,
            reason=row.reason,
            held=row.held,
            waits_code=row.waits_code,
            attempts=tried.get(row.id, []),
        )
        for row in rows
    ]


def _attempts_of(tx: Transaction, text_ids: Sequence[int]) -> dict[int, list[LoggedAttempt]]:
    found: dict[int, list[LoggedAttempt]] = {}
    for start in range(0, len(text_ids), _AT_ONCE):
        some = attempts.c.text_id.in_(text_ids[start : start + _AT_ONCE])
        for row in tx.all(sa.select(attempts).where(some).order_by(attempts.c.text_id, attempts.c.number)):
            found.setdefault(row.text_id, []).append(
                LoggedAttempt(
                    ref=row.ref,
                    sid=row.sid,
                    answer=row.answer,
                    status=row.status,
                    error_code=row.error_code or None,
                    segments=row.segments,
                    started_at=row.started_at,
                    what=row.what,
                    status_at=row.status_at,
                )
            )
    return found


@dataclass(frozen=True, slots=True)
class Drafted:
    """A reminder with what is needed to render it: a row of the preview."""

    text: int
    class_: str
    key: str
    recipient: str
    language: str
    opens_at: datetime
    closes_at: datetime
    due_at: datetime
    zone: str
    state: str
    reason: str | None
    alias: str
    phone: str
    appointment_ids: tuple[int, ...]


def drafts(tx: Transaction, *, plan_id: int) -> list[Drafted]:
    """Every text about the visits of a plan, in the order in which they open."""
    about = (
        sa.select(text_items.c.text_id)
        .join(appointments, appointments.c.id == text_items.c.appointment_id)
        .join(series, series.c.id == appointments.c.series_id)
        .where(series.c.plan_id == plan_id)
    )
    query = (
        sa.select(
            texts, recipients.c.key.label("recipient_key"), recipients.c.language, recipients.c.zone, sites.c.alias
        )
        .add_columns(sites.c.phone)
        .join(recipients, recipients.c.id == texts.c.recipient_id)
        .join(sites, sites.c.id == texts.c.site_id)
        .where(sa.or_(texts.c.id.in_(about), texts.c.plan_id == plan_id), texts.c.state != State.CANCELLED.value)
        .order_by(texts.c.opens_at, texts.c.key)
    )
    rows = tx.all(query)
    items = _items_of(tx, [row.id for row in rows])
    return [
        Drafted(
            text=row.id,
            class_=row._mapping["class"],
            key=row.key,
            recipient=row.recipient_key,
            language=row.language,
            opens_at=row.opens_at,
            closes_at=row.closes_at,
            due_at=row.due_at,
            zone=row.zone,
            state=row.state,
            reason=row.reason,
            alias=row.alias,
            phone=row.phone,
            appointment_ids=tuple(sorted(items.get(row.id, ()))),
        )
        for row in rows
    ]


def counts_by_state(tx: Transaction) -> dict[str, int]:
    """How many texts stand in each state that has any."""
    query = sa.select(texts.c.state, sa.func.count().label("many")).group_by(texts.c.state)
    return {row.state: row.many for row in tx.all(query)}
