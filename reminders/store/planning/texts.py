"""Texts: making the rows what the planner says they should be, and reading them for people."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cache, lru_cache
from typing import Any, NamedTuple, Self

import sqlalchemy as sa

from reminders.lifecycle import (
    IN_THE_QUEUE,
    NOT_GOT,
    PLANNED,
    SET_ASIDE,
    UNTRIED,
    WITHDRAWN,
    State,
    may,
    sources,
    untried_sources,
)
from reminders.planner import Candidate, Gone, QuietHours, Reader, Told
from reminders.plans import Category
from reminders.store.database.engine import Transaction
from reminders.store.database.fast_path import Prepared, PreparedInsert, PreparedSelect, among
from reminders.store.database.ids import new_id
from reminders.store.database.record_check import never_null
from reminders.store.database.schema import (
    appointments,
    attempts,
    consents,
    is_one_of,
    numbers,
    plans,
    recipients,
    series,
    sites,
    text_items,
    texts,
)
from reminders.store.database.sealing import DataKey, Place, Unreadable
from reminders.store.records import ClaimedReaderRow, ClaimedRow, ConsentRow, NumberRow, TextRow

AT_ONCE = 5_000  # ids in one statement; both databases have a limit


@dataclass(slots=True)
class Changes:
    """What a reconcile did, counted in texts that go (README.md#commands: `{"added","moved","retracted"}`)."""

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
    number: NumberRow | ClaimedRow,
    consent: ConsentRow | ClaimedReaderRow | None,
    today: date,
) -> Reader:
    """A recipient as the planner sees one, from the rows.

    Consent counts when it is a yes for this very number (L-50) that has not expired and, for the patient, was given
    after the warning that others may see texts (L-38).
    """
    consented = (
        consent is not None
        and consent.said == "yes"
        and consent.number_id == number_id
        and (consent.expires_on is None or consent.expires_on >= today)
        and (role != "self" or bool(consent.warned_of_risk))
    )
    return Reader(
        id=recipient_id,
        role=role,
        zone=zone,
        quiet=_quiet_hours(site_quiet, texting),
        consented=consented,
        categories=_categories(tuple(consent.categories or ())) if consent is not None else frozenset(),
        opted_out=number.opted_out_at is not None,
        number_bad=number.bad_since is not None or number.wrong_since is not None,
        verified=number.verified_at is not None,
        per_day=consent.per_day if consent is not None else None,
        per_week=consent.per_week if consent is not None else None,
        also_zones=tuple(guessed_zones),
        digest=digest,
    )


@lru_cache(maxsize=1024)  # the same few hours and categories stand on every reader
def _quiet_hours(site: tuple[str, str], texting: tuple[str | None, str | None]) -> tuple[QuietHours, ...]:
    quiet = QuietHours(time.fromisoformat(site[0]), time.fromisoformat(site[1]))
    if not (texting[0] and texting[1]):
        return (quiet,)
    return quiet, QuietHours.outside(time.fromisoformat(texting[0]), time.fromisoformat(texting[1]))


@lru_cache(maxsize=1024)
def _categories(names: tuple[str, ...]) -> frozenset[Category]:
    return frozenset(map(Category, names))


@dataclass(frozen=True, slots=True)
class Addressee:
    """Where texts go to, and from where; `recipient_id` is None for an answer to a number that is no one's."""

    recipient_id: int | None
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
    assert addressee.recipient_id is not None
    rows = _reminders_from(tx, addressee.recipient_id, since)
    items = _items_of(tx, [row.id for row in rows.values()])
    changes = Changes()
    added: list[tuple[Any, ...]] = []
    links: list[tuple[int, int]] = []
    same_for_all = {"recipient_id": addressee.recipient_id, "class": "reminder"}
    same_for_all |= {"ready": False, "attempts": 0, "resent": False}
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
            wanted |= {"id": text_id, "key": candidate.key, "day": candidate.day, "due_at": due_at}
            added.append(tuple(same_for_all[name] if name in same_for_all else wanted[name] for name in _NEW))
            links += [(text_id, visit_id) for visit_id in about]
            changes.added += candidate.reason is None
        elif _may_change(row, candidate, now) and not _only_time_passed(row, wanted, now):
            had = items.get(row.id, set())
            _change(tx, row, wanted | {"due_at": due_at}, had=had, about=about, changes=changes)
    if added:
        tx.add(_ADD_TEXTS, added)
    if links:
        tx.add(_ADD_ITEMS, links)
    for row in rows.values():
        # Where the window has shut nothing is taken back any more: it expires, and a person is told.
        if row.state in PLANNED and row.attempts == 0 and row.closes_at > now:
            moved = _move(tx, row, State.CANCELLED, reason=None)
            changes.retracted += moved and row.state == State.SCHEDULED
    return changes


class _Reminder(NamedTuple):
    id: int
    key: str
    attempts: int
    state: str
    reason: str | None
    site_id: int
    sender_id: int
    number_id: int
    plan_id: int | None
    opens_at: datetime
    closes_at: datetime


class _Item(NamedTuple):
    text_id: int
    appointment_id: int


def _reminders_from(tx: Transaction, recipient_id: int, since: date) -> dict[str, _Reminder]:
    """A digest stands on its week's Monday, and its week is planned until Sunday."""
    since -= timedelta(days=7)
    return {row.key: row for row in tx.rows(_REMINDERS_FROM, {"recipient": recipient_id, "since": since})}


def _items_of(tx: Transaction, text_ids: Sequence[int]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for row in tx.rows(_ITEMS_OF, {"ids": text_ids}) if text_ids else ():
        found.setdefault(row.text_id, set()).add(row.appointment_id)
    return found


# Statements that run for every plan taken in or laid down are made once: making one again costs as much as running it.
_NEW = (
    "id",
    "site_id",
    "sender_id",
    "number_id",
    "recipient_id",
    "plan_id",
    "class",
    "key",
    "day",
    "state",
    "reason",
    "ready",
    "due_at",
    "opens_at",
    "closes_at",
    "attempts",
    "resent",
)
_ADD_TEXTS = PreparedInsert(*(texts.c[name] for name in _NEW))
_ADD_ITEMS = PreparedInsert(text_items.c.text_id, text_items.c.appointment_id)
_REMINDERS_FROM = PreparedSelect(
    _Reminder,
    sa.select(
        texts.c.id,
        texts.c.key,
        texts.c.attempts,
        texts.c.state,
        texts.c.reason,
        texts.c.site_id,
        texts.c.sender_id,
        texts.c.number_id,
        texts.c.plan_id,
        texts.c.opens_at,
        texts.c.closes_at,
    ).where(
        texts.c.recipient_id == sa.bindparam("recipient"),
        texts.c["class"] == "reminder",
        texts.c.day >= sa.bindparam("since"),
    ),
)
_ITEMS_OF = PreparedSelect(
    _Item, sa.select(text_items.c.text_id, text_items.c.appointment_id).where(among(text_items.c.text_id))
)


def _may_change(row: _Reminder, candidate: Candidate, now: datetime) -> bool:
    if row.attempts:
        return False
    if row.state == State.EXPIRED or (row.state == State.SUPPRESSED and row.closes_at <= now):
        # Its window has shut, so it is history, unless its visit was moved to later that day.
        return candidate.goes_at is not None and candidate.closes_at > row.closes_at
    return row.state in UNTRIED


def _only_time_passed(row: _Reminder, wanted: Mapping[str, Any], now: datetime) -> bool:
    """Whether the text would go no more only because its window has shut, or is about to.

    One that was to go expires then, and a person is told; one that was not keeps the reason that was true.
    """
    if wanted["reason"] not in {"too_late", "quiet_hours", "merged_into"}:
        return False
    same = (row.opens_at, row.closes_at) == (wanted["opens_at"], wanted["closes_at"])
    if row.state == State.SUPPRESSED:
        return bool(row.opens_at == wanted["opens_at"] <= now) and wanted["reason"] != "merged_into"
    if row.state != State.SCHEDULED:
        return False
    return row.closes_at <= now or (same and wanted["reason"] != "merged_into" and now >= row.opens_at)


def _change(
    tx: Transaction, row: _Reminder, wanted: dict[str, Any], *, had: set[int], about: list[int], changes: Changes
) -> None:
    goes, went = wanted["state"] == State.SCHEDULED, row.state == State.SCHEDULED
    compared = [name for name in wanted if name != "due_at"]
    same = all(getattr(row, name) == wanted[name] for name in compared)
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


def _move(tx: Transaction, row: _Reminder, target: State, **values: Any) -> bool:
    """Move a text without attempts if it still is where we saw it; whether it did.

    No claim can come in between, the number is locked; but the settle job may have let it expire.
    """
    values |= {"ready": False, "held": None}
    bound = {f"to_{name}": value for name, value in values.items()}
    return tx.do(_untried_to(target, tuple(values)), {"row": row.id, "was": row.state} | bound) == 1


@cache
def _untried_to(target: State, names: tuple[str, ...]) -> Prepared:
    """The statement that moves a text to these values. A plan paused is one for each of its texts."""
    to = {name: sa.bindparam(f"to_{name}", type_=texts.c[name].type) for name in names}
    seen = sa.and_(texts.c.id == sa.bindparam("row"), texts.c.state == sa.bindparam("was"), texts.c.attempts == 0)
    return Prepared(move(target, only=untried_sources(target)).where(seen).values(to))


class GoneRow(NamedTuple):
    """A reminder that has gone, or may have, and to which number."""

    number_id: int
    id: int
    recipient_id: int
    key: str
    state: str
    at: datetime


class _GoneElsewhere(NamedTuple):
    id: int
    recipient_id: int
    key: str
    at: datetime


GONE = PreparedSelect(  # reminders to the numbers bound as `ids`, `since` then
    GoneRow,
    sa.select(
        attempts.c.number_id,
        texts.c.id,
        never_null(texts.c.recipient_id),
        texts.c.key,
        texts.c.state,
        sa.func.max(attempts.c.started_at, type_=attempts.c.started_at.type).label("at"),
    )
    .join(texts, texts.c.id == attempts.c.text_id)
    .where(
        among(attempts.c.number_id),
        attempts.c.started_at >= sa.bindparam("since", type_=attempts.c.started_at.type),
        texts.c["class"] == "reminder",
    )
    .where(sa.or_(attempts.c.answer.is_(None), attempts.c.answer != "refused"))
    .group_by(attempts.c.number_id, texts.c.id, texts.c.recipient_id, texts.c.key, texts.c.state),
)


_GONE_ELSEWHERE = PreparedSelect(
    _GoneElsewhere,
    sa.select(
        texts.c.id,
        never_null(texts.c.recipient_id),
        texts.c.key,
        sa.func.max(attempts.c.started_at, type_=attempts.c.started_at.type).label("at"),
    )
    .join(recipients, recipients.c.id == texts.c.recipient_id)
    .join(attempts, attempts.c.text_id == texts.c.id)
    .where(
        among(texts.c.recipient_id),
        texts.c["class"] == "reminder",
        texts.c.attempts > 0,
        attempts.c.number_id != recipients.c.number_id,
        attempts.c.started_at >= sa.bindparam("since", type_=attempts.c.started_at.type),
    )
    .group_by(texts.c.id, texts.c.recipient_id, texts.c.key),
)


def gone(tx: Transaction, number_ids: Collection[int], since: datetime) -> dict[int, list[tuple[int, Gone]]]:
    """Number → its reminders that have gone since then, or may have: (text, what the planner needs of it)."""
    return gone_in(tx, tx.rows(GONE, {"ids": number_ids, "since": since}))


def gone_in(tx: Transaction, rows: Sequence[GoneRow]) -> dict[int, list[tuple[int, Gone]]]:
    """The same of rows that `GONE` gave."""
    if not rows:
        return {}
    items = _items_of(tx, [row.id for row in rows])
    found: dict[int, list[tuple[int, Gone]]] = {}
    for row in rows:
        visits = frozenset(items.get(row.id, ()))
        one = Gone(row.recipient_id, row.key, row.at, visits, failed=row.state in NOT_GOT)
        found.setdefault(row.number_id, []).append((row.id, one))
    return found


def gone_elsewhere(tx: Transaction, recipient_ids: Collection[int], since: datetime) -> list[Gone]:
    """The reminders of these readers that went since then to a number that they no longer have."""
    if not recipient_ids:
        return []
    rows = tx.rows(_GONE_ELSEWHERE, {"ids": list(recipient_ids), "since": since})
    items = _items_of(tx, [row.id for row in rows]) if rows else {}
    return [Gone(row.recipient_id, row.key, row.at, frozenset(items.get(row.id, ())), elsewhere=True) for row in rows]


def told(tx: Transaction, recipient_ids: Collection[int], since: datetime) -> list[Told]:
    """What notices say of these readers' visits: those that went since then, or may have, and those that are to go."""
    rows = tx.rows(_TOLD, {"ids": list(recipient_ids), "since": since}) if recipient_ids else ()
    found = []
    for row in rows:
        wall, _, status = row.tells.partition(" ")
        if status == "booked":
            at = row.went_at or row.due_at
            found.append(Told(row.recipient_id, row.appointment_id, datetime.fromisoformat(wall), at))
    return found


_WENT_AT = (
    sa.select(sa.func.max(attempts.c.started_at, type_=attempts.c.started_at.type))
    .where(attempts.c.text_id == texts.c.id)
    .where(sa.or_(attempts.c.answer.is_(None), attempts.c.answer != "refused"))
    .scalar_subquery()
)


class _Told(NamedTuple):
    recipient_id: int
    appointment_id: int
    tells: str
    due_at: datetime
    went_at: datetime | None


_TOLD = PreparedSelect(
    _Told,
    sa.select(
        never_null(texts.c.recipient_id),
        text_items.c.appointment_id,
        never_null(text_items.c.tells),
        texts.c.due_at,
        _WENT_AT.label("went_at"),
    )
    .join(text_items, text_items.c.text_id == texts.c.id)
    .where(among(texts.c.recipient_id))
    .where(sa.text("class <> 'reminder'"), texts.c["class"] == "notice", text_items.c.tells.is_not(None))
    .where(
        texts.c.opens_at >= sa.bindparam("since", type_=texts.c.opens_at.type),
        sa.or_(texts.c.state == State.SCHEDULED.value, _WENT_AT.is_not(None)),
    ),
)


@dataclass(frozen=True, slots=True)
class Window:
    """When a text may go, and when it is tried first."""

    opens_at: datetime
    closes_at: datetime
    due_at: datetime


def add(
    tx: Transaction,
    addressee: "Addressee",
    *,
    class_: str,
    key: str,
    window: Window,
    now: datetime,
    reason: str | None = None,
    data_key: DataKey | None = None,
    body: str | None = None,
    about: Mapping[int, "Said"] | Collection[int] = (),
    **values: Any,
) -> int | None:
    """Lay down a text that no lead asked for; its id, or None where the key is taken.

    `about` are the visits it speaks of; a notice gives with each what it says of it. It says a text of the catalog
    (`wording`) or what staff typed (`body`, sealed by the patient's `data_key`). With a `reason` it stands there as
    suppressed, so that it is seen that it did not go.
    """
    text_id = new_id(now)
    sealed = None
    if body is not None:
        sealed = tx.seal(Place("texts", "body_sealed", text_id), body, data_key)
    row = {
        "id": text_id,
        "site_id": addressee.site_id,
        "sender_id": addressee.sender_id,
        "number_id": addressee.number_id,
        "recipient_id": addressee.recipient_id,
        "class": class_,
        "key": key,
        "state": (State.SUPPRESSED if reason else State.SCHEDULED).value,
        "reason": reason,
        "ready": False,
        "opens_at": window.opens_at,
        "closes_at": window.closes_at,
        "due_at": window.due_at,
        "attempts": 0,
        "resent": False,
        "body_sealed": sealed,
        **values,
    }
    if not tx.insert_new(texts, row):
        return None
    set_items(tx, text_id, about)
    return text_id


@dataclass(frozen=True, slots=True)
class Said:
    """What a notice says of one visit: how it is now (`planner.Standing` as text), and the wall clock known before."""

    tells: str
    was: str | None = None


def set_items(tx: Transaction, text_id: int, about: Mapping[int, Said] | Collection[int]) -> None:
    """Make these visits the ones that a text speaks of."""
    tx.run(text_items.delete().where(text_items.c.text_id == text_id))
    items = about if isinstance(about, Mapping) else dict.fromkeys(about)
    rows = [
        {
            "text_id": text_id,
            "appointment_id": visit_id,
            "tells": said.tells if said else None,
            "was": said.was if said else None,
        }
        for visit_id, said in items.items()
    ]
    if rows:
        tx.run_many(text_items.insert(), rows)


def drop_items(tx: Transaction, text_id: int, visit_ids: Collection[int]) -> None:
    """Let a text speak of these visits no more."""
    tx.run(text_items.delete().where(text_items.c.text_id == text_id, text_items.c.appointment_id.in_(list(visit_ids))))


def set_window(tx: Transaction, text_id: int, window: Window) -> None:
    """Give a text that waits and never had an attempt another window."""
    mine = texts.update().where(texts.c.id == text_id, texts.c.attempts == 0, sa.text("state = 'scheduled'"))
    tx.run(mine.values(ready=False, **asdict(window)))


def bodies_since(tx: Transaction, number_id: int, since: datetime, but: int) -> set[str]:
    """What was said to a number since then, or may have been; text `but` left out."""
    query = sa.select(attempts.c.id, attempts.c.body_sealed).where(
        attempts.c.number_id == number_id, attempts.c.started_at >= since, attempts.c.text_id != but
    )
    query = query.where(sa.or_(attempts.c.answer.is_(None), attempts.c.answer != "refused"))
    found = (tx.open_if_legible(Place("attempts", "body_sealed", row.id), row.body_sealed) for row in tx.all(query))
    return {body for body in found if body is not None}


def reminders_due(tx: Transaction, number_id: int, since: datetime) -> list[datetime]:
    """When the reminders to a number that wait are due, from then on."""
    query = sa.select(texts.c.due_at).where(
        texts.c.number_id == number_id, sa.text("state = 'scheduled'"), texts.c["class"] == "reminder"
    )
    return [row.due_at for row in tx.all(query.where(texts.c.due_at >= since))]


class Untold(NamedTuple):
    """A notice that did not go, and one of the visits that it speaks of."""

    text_id: int
    opens_at: datetime
    closes_at: datetime
    recipient_id: int
    number_id: int
    patient_id: int
    appointment_id: int


def untold(tx: Transaction, now: datetime) -> list[Untold]:
    """Notices of running plans that expired in the last days, or lost their number; one row a visit they speak of."""
    query = (
        sa.select(
            texts.c.id.label("text_id"),
            texts.c.opens_at,
            texts.c.closes_at,
            never_null(texts.c.recipient_id),
            texts.c.number_id,
            recipients.c.patient_id,
            text_items.c.appointment_id,
        )
        .join(recipients, recipients.c.id == texts.c.recipient_id)
        .join(text_items, text_items.c.text_id == texts.c.id)
        .join(appointments, appointments.c.id == text_items.c.appointment_id)
        .join(series, series.c.id == appointments.c.series_id)
        .join(plans, plans.c.id == series.c.plan_id)
        .where(sa.text("class <> 'reminder'"), texts.c["class"] == "notice", text_items.c.tells.is_not(None))
        .where(texts.c.opens_at > now - timedelta(days=9), plans.c.status == "active")
        .where(sa.or_(texts.c.state == "expired", texts.c.reason.in_(("opted_out", "number_bad"))))
        .where(texts.c.closes_at > now - timedelta(days=2))
        .order_by(texts.c.id, text_items.c.appointment_id)
    )
    return tx.all_as(Untold, query)


def revive(tx: Transaction, text_id: int, to: "Addressee", window: Window, **values: Any) -> bool:
    """Bring back a text that never had an attempt, to where its reader is now; whether it was brought back."""
    mine = move(State.SCHEDULED, only=WITHDRAWN).where(texts.c.id == text_id, texts.c.attempts == 0)
    values |= {"reason": None, "ready": False, "held": None}
    where = {"site_id": to.site_id, "sender_id": to.sender_id, "number_id": to.number_id}
    return tx.run(mine.values(**values, **where, **asdict(window))) == 1


def set_aside(tx: Transaction, text_id: int, reason: str) -> bool:
    """Let a text that never had an attempt stand as suppressed, with the reason; whether it was on its way before."""
    mine = sa.and_(texts.c.id == text_id, texts.c.attempts == 0)
    values = {"reason": reason, "ready": False, "held": None}
    was_waiting = tx.run(move(State.SUPPRESSED, only=IN_THE_QUEUE).where(mine).values(**values)) == 1
    tx.run(move(State.SUPPRESSED, only=SET_ASIDE).where(mine).values(**values))
    return was_waiting


class NoticeOfVisit(NamedTuple):
    """A notice with what it says of one visit; None in `tells` for what no notice of the planner says."""

    id: int
    number_id: int
    key: str
    state: str
    reason: str | None
    closes_at: datetime
    attempts: int
    wording: str | None
    appointment_id: int
    tells: str | None
    was: str | None


def take_back(tx: Transaction, rows: Sequence[TextRow] | Sequence[NoticeOfVisit]) -> int:
    """Take back texts that never had an attempt; how many of them were to go. The caller holds the number's lock."""
    if not rows:
        return 0
    mine = move(State.CANCELLED).where(texts.c.id.in_([row.id for row in rows]), texts.c.attempts == 0)
    tx.run(mine.values(reason=None, ready=False, held=None))
    return sum(row.state == State.SCHEDULED for row in rows)


def unplanned_of(tx: Transaction, recipient_id: int, class_: str) -> list[TextRow]:
    """A reader's texts of that class that no lead asked for, oldest first."""
    return tx.all_as(TextRow, _UNPLANNED_OF, {"recipient": recipient_id, "class": class_})


_UNPLANNED_OF = (
    sa.select(texts)
    .where(texts.c.recipient_id == sa.bindparam("recipient"), texts.c["class"] == sa.bindparam("class"))
    .order_by(texts.c.id)
)


def notices_of(tx: Transaction, recipient_id: int, appointment_ids: Collection[int]) -> dict[int, list[NoticeOfVisit]]:
    """Visit → the notices of it that a reader was to get, oldest first."""
    query = (
        sa.select(
            *(texts.c.id, texts.c.number_id, texts.c.key, texts.c.state, texts.c.reason, texts.c.closes_at),
            *(texts.c.attempts, texts.c.wording, text_items.c.appointment_id, text_items.c.tells, text_items.c.was),
        )
        .join(text_items, text_items.c.text_id == texts.c.id)
        .where(texts.c.recipient_id == recipient_id, texts.c["class"] == "notice")
        .where(text_items.c.appointment_id.in_(appointment_ids))
        .order_by(texts.c.id)
    )
    found: dict[int, list[NoticeOfVisit]] = {}
    for row in tx.all_as(NoticeOfVisit, query):
        found.setdefault(row.appointment_id, []).append(row)
    return found


def move(to: State, *, only: Collection[str] | None = None, resent_to: State | None = None) -> sa.Update:
    """The one statement that sets a text's state, for its caller to say which texts and what else is set.

    A text moves from the states that the table of moves gives. `only` names fewer of them, and may name `to` itself,
    for one that stays and takes the values. One whose resend was pending moves to `resent_to`.
    """
    froms = tuple(map(State, sources(to) if only is None else only))
    ends = [to] if resent_to is None else [to, resent_to]
    assert all(source == end or may(source, end) for source in froms for end in ends), "not in the table of moves"
    state = to.value if resent_to is None else sa.case((texts.c.resent, resent_to.value), else_=to.value)
    return texts.update().where(is_one_of(texts.c.state, froms)).values(state=state)


def give_up(to: State, reason: str | None = None) -> sa.Update:
    """The statement that moves a queued text that goes no more `to`, but to `uncertain` where its resend was pending.

    Twilio was asked twice and showed nothing, which proves nothing: the text may be on its phone (sending rule 5), so
    it must not stand as never sent.
    """
    return move(to, only=IN_THE_QUEUE, resent_to=State.UNCERTAIN).values(
        reason=sa.case((texts.c.resent, sa.null()), else_=reason), ready=False, held=None
    )


def suppress_queued(tx: Transaction, number_id: int, reason: str) -> int:
    """Take every queued text of a number out of the queue, but for answers to someone who may be in danger; how many.

    The caller holds the number's lock.
    """
    return tx.run(give_up(State.SUPPRESSED, reason).where(texts.c.number_id == number_id, sa.not_(_TO_DANGER)))


_TO_DANGER = sa.and_(texts.c["class"] == "answer", texts.c.wording.in_(("crisis", "overdose")))


def retract_one(tx: Transaction, text_id: int) -> bool:
    """Take back a text that has not gone, a tried one too; whether it was to go. The caller holds the number's lock."""
    return tx.run(give_up(State.CANCELLED).where(texts.c.id == text_id)) == 1


def retract_queued(tx: Transaction, recipient_ids: Collection[int], number_id: int) -> int:
    """Take back every queued text of these readers to a number, tried ones too, but for answers to danger; how many.

    The caller holds the number's lock.
    """
    theirs = sa.and_(texts.c.recipient_id.in_(recipient_ids), texts.c.number_id == number_id)
    return tx.run(give_up(State.CANCELLED).where(theirs, sa.not_(_TO_DANGER)))


def retract_notices(tx: Transaction, plan_id: int) -> int:
    """Take back the notices of a plan's visits that have not gone, tried ones too; how many.

    The caller holds the numbers' locks.
    """
    return tx.run(give_up(State.CANCELLED).where(texts.c.plan_id == plan_id, texts.c["class"] == "notice"))


def retract_all(tx: Transaction, recipient_ids: Collection[int]) -> int:
    """Take back whatever is queued for these readers; how many. The caller holds the numbers' locks."""
    return tx.run(give_up(State.CANCELLED).where(texts.c.recipient_id.in_(recipient_ids)))


class TextOfVisit(NamedTuple):
    """A reminder or notice that speaks of a visit: what a notice tells of it, and when it was last tried."""

    id: int
    recipient_id: int | None
    state: str
    reason: str | None
    held: str | None
    due_at: datetime
    closes_at: datetime
    wording: str | None
    appointment_id: int
    tells: str | None
    tried_at: datetime | None


def about_visits(tx: Transaction, appointment_ids: Collection[int]) -> list[TextOfVisit]:
    """Reminders and notices that speak of these visits, oldest first."""
    tried_at = (
        sa.select(sa.func.max(attempts.c.started_at, type_=attempts.c.started_at.type))
        .where(attempts.c.text_id == texts.c.id)
        .scalar_subquery()
    )
    query = (
        sa.select(
            *(texts.c.id, texts.c.recipient_id, texts.c.state, texts.c.reason, texts.c.held, texts.c.due_at),
            *(texts.c.closes_at, texts.c.wording, text_items.c.appointment_id, text_items.c.tells),
            tried_at.label("tried_at"),
        )
        .join(text_items, text_items.c.text_id == texts.c.id)
        .where(text_items.c.appointment_id.in_(appointment_ids), texts.c["class"].in_(("reminder", "notice")))
        .order_by(texts.c.id)
    )
    return tx.all_as(TextOfVisit, query)


# What people see. One query for web, CLI and API, so that all show the same.


def last_attempt(tx: Transaction, text_id: int) -> int:
    """The id of a text's last attempt."""
    mine = sa.select(attempts.c.id).where(attempts.c.text_id == text_id)
    return int(tx.value(mine.order_by(attempts.c.number.desc()).limit(1)))


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
    line24: str
    appointment_ids: tuple[int, ...]
    wording: str | None
    per_week: int | None
    verified: bool
    was: Mapping[int, datetime]
    body: str | None = field(default=None, repr=False)


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
            texts,
            recipients.c.key.label("recipient_key"),
            recipients.c.language.label("reads"),
            recipients.c.zone,
            sites.c.alias,
            sites.c.phone,
            sites.c.line24,
            consents.c.per_week,
            numbers.c.verified_at,
        )
        .join(numbers, numbers.c.id == texts.c.number_id)
        .join(recipients, recipients.c.id == texts.c.recipient_id)
        .join(sites, sites.c.id == texts.c.site_id)
        .outerjoin(consents, consents.c.id == recipients.c.consent_id)
        .where(sa.or_(texts.c.id.in_(about), texts.c.plan_id == plan_id), texts.c.state != State.CANCELLED.value)
        .order_by(texts.c.opens_at, texts.c.key)
    )
    rows = tx.all(query)
    items = _items_of(tx, [row.id for row in rows])
    was: dict[int, dict[int, datetime]] = {}
    for one in tx.all(
        sa.select(text_items).where(text_items.c.text_id.in_([row.id for row in rows if row.wording is not None]))
    ):
        if one.was is not None:
            was.setdefault(one.text_id, {})[one.appointment_id] = datetime.fromisoformat(one.was)
    return [
        Drafted(
            text=row.id,
            class_=row._mapping["class"],
            key=row.key,
            recipient=row.recipient_key,
            language=row.language or row.reads,
            opens_at=row.opens_at,
            closes_at=row.closes_at,
            due_at=row.due_at,
            zone=row.zone,
            state=row.state,
            reason=row.reason,
            alias=row.alias,
            phone=row.phone,
            line24=row.line24,
            appointment_ids=tuple(sorted(items.get(row.id, ()))),
            wording=row.wording,
            per_week=row.per_week,
            verified=row.verified_at is not None,
            was=was.get(row.id, {}),
            body=tx.open_if_legible(Place("texts", "body_sealed", row.id), row.body_sealed)
            if row.body_sealed
            else None,
        )
        for row in rows
    ]


def counts_by_state(tx: Transaction) -> dict[str, int]:
    """How many texts stand in each state that has any."""
    query = sa.select(texts.c.state, sa.func.count().label("many")).group_by(texts.c.state)
    return {row.state: row.many for row in tx.all(query)}


@dataclass(frozen=True, slots=True)
class Went:
    """The last try of a text: when it began, and its words; None where they are no longer kept."""

    at: datetime
    body: str | None = field(repr=False)


def went(tx: Transaction, text_ids: Collection[int]) -> dict[int, Went]:
    """Text → its last try, of those that were tried."""
    latest = sa.select(sa.func.max(attempts.c.id)).where(attempts.c.text_id.in_(text_ids)).group_by(attempts.c.text_id)
    query = sa.select(attempts.c.text_id, attempts.c.started_at).where(attempts.c.id.in_(latest))
    words = bodies(tx, text_ids)
    return {row.text_id: Went(row.started_at, words.get(row.text_id) or None) for row in tx.all(query)}


def bodies(tx: Transaction, text_ids: Collection[int]) -> dict[int, str]:
    """Text → the words that it last went with, of those that were tried and still open."""
    latest = sa.select(sa.func.max(attempts.c.id)).where(attempts.c.text_id.in_(text_ids)).group_by(attempts.c.text_id)
    found = {}
    for row in tx.all(
        sa.select(attempts.c.id, attempts.c.text_id, attempts.c.body_sealed).where(attempts.c.id.in_(latest))
    ):
        with suppress(LookupError, Unreadable):
            found[row.text_id] = tx.open(Place("attempts", "body_sealed", row.id), row.body_sealed)
    return found
