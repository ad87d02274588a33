"""Texts as people see them: one query for the log, the page of a text, the API and the command line."""

import operator
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import sqlalchemy as sa

from reminders import lifecycle
from reminders.lifecycle import HANDED_OVER, State
from reminders.store.database.engine import Transaction
from reminders.store.database.schema import (
    CLASSES,
    HELD,
    SELDOM,
    appointments,
    attempts,
    hour_of,
    is_one_of,
    numbers,
    patients,
    plans,
    receipts,
    recipients,
    series,
    sites,
    text_items,
    texts,
)
from reminders.store.database.sealing import Place
from reminders.store.people import masked_of
from reminders.store.planning.texts import AT_ONCE, bodies

__all__ = ["Heard", "LogFilter", "Logged", "LoggedAttempt", "Tried", "bodies", "log", "matching", "tries", "waiting"]


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What to show of the delivery log; instants are on `opens_at`.

    `state` may also be `handed_over`, or `held`. `code` is one that any of a text's attempts met. `number` is the row
    of a number. `hours` are the only hours, counted from 1970, where hours of the day were asked for. `sites` are the
    sites whose texts exist for the reader (None: all), `site` the one that was asked for.

    `before` is where a page ended, the (opens_at, text) of its last line: only what stands after it is shown. `after`
    is where one began: the lines that stand just before it are shown.
    """

    sites: Collection[int] | None = None
    site: int | None = None
    state: str | None = None
    reason: str | None = None
    class_: str | None = None
    plan: str | None = None
    patient: str | None = None
    number: int | None = None
    sid: str | None = None
    code: int | None = None
    text: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    hours: Collection[int] | None = None
    before: tuple[datetime, int] | None = None
    after: tuple[datetime, int] | None = None
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
    patient: str | None
    recipient: str | None
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
    wording: str | None
    site: str
    plan_id: int | None
    patient_id: int | None
    recipient_id: int | None
    number_id: int
    attempts: list[LoggedAttempt] = field(default_factory=list)

    @property
    def place(self) -> tuple[datetime, int]:
        """Where it stands in the log."""
        return self.opens_at, self.text

    @property
    def segments(self) -> int:
        """The segments that Twilio took, of all its attempts."""
        return sum(attempt.segments for attempt in self.attempts if attempt.answer == "accepted")


def log(tx: Transaction, wanted: LogFilter) -> list[Logged]:
    """The delivery log, newest first (by opens_at)."""
    forwards = wanted.after is not None
    order = (texts.c.opens_at, texts.c.id) if forwards else (texts.c.opens_at.desc(), texts.c.id.desc())
    bounds = wanted
    if wanted.before is not None and wanted.until is not None and wanted.before[0] < wanted.until:
        bounds = replace(wanted, until=None)  # with both, PostgreSQL begins at the later one and walks to the place
    page = sa.select(texts.c.id).where(*matching(bounds)).order_by(*order).limit(wanted.limit)
    for place, is_beyond in ((wanted.before, operator.lt), (wanted.after, operator.gt)):
        if place is not None:
            at, last = place
            here = sa.tuple_(sa.literal(at, texts.c.opens_at.type), sa.literal(last, texts.c.id.type))
            page = page.where(is_beyond(sa.tuple_(texts.c.opens_at, texts.c.id), here))
    found = page.subquery()  # what else is shown is read of these few, not of all that match
    query = (
        sa.select(
            texts,
            recipients.c.key.label("recipient_key"),
            recipients.c.zone.label("reader_zone"),
            recipients.c.patient_id,
            patients.c.ref.label("patient_ref"),
            plans.c.ref.label("plan_ref"),
            numbers.c.phone_sealed,
            sites.c.key.label("site_key"),
            sites.c.zone,
        )
        .join(found, found.c.id == texts.c.id)
        .outerjoin(recipients, recipients.c.id == texts.c.recipient_id)
        .outerjoin(patients, patients.c.id == recipients.c.patient_id)
        .join(numbers, numbers.c.id == texts.c.number_id)
        .join(sites, sites.c.id == texts.c.site_id)
        .outerjoin(plans, plans.c.id == texts.c.plan_id)
        .order_by(*order)
    )
    rows = tx.all(query)[:: -1 if forwards else 1]
    tried = _attempts_of(tx, [row.id for row in rows])
    return [
        Logged(
            text=row.id,
            class_=row._mapping["class"],
            key=row.key,
            plan=row.plan_ref,
            patient=row.patient_ref,
            recipient=row.recipient_key,
            to=masked_of(tx, row.number_id, row.phone_sealed),
            zone=row.zone,
            reader_zone=row.reader_zone or row.zone,
            opens_at=row.opens_at,
            closes_at=row.closes_at,
            due_at=row.due_at,
            state=row.state,
            reason=row.reason,
            held=row.held,
            waits_code=row.waits_code,
            wording=row.wording,
            site=row.site_key,
            plan_id=row.plan_id,
            patient_id=row.patient_id,
            recipient_id=row.recipient_id,
            number_id=row.number_id,
            attempts=tried.get(row.id, []),
        )
        for row in rows
    ]


def matching(wanted: LogFilter) -> list[sa.ColumnElement[bool]]:
    """A filter as conditions on texts; where a page begins is left out."""
    found = _having(wanted)
    if wanted.sites is not None:
        found.append(texts.c.site_id.in_(wanted.sites))
    if wanted.hours is not None:
        found.append(hour_of(texts.c.opens_at).in_(wanted.hours))
    if wanted.plan is not None:
        mine = sa.select(plans.c.id).where(plans.c.ref == wanted.plan)
        about = (
            sa.select(text_items.c.text_id)
            .join(appointments, appointments.c.id == text_items.c.appointment_id)
            .join(series, series.c.id == appointments.c.series_id)
            .where(series.c.plan_id.in_(mine))
        )
        own = sa.select(texts.c.id).where(texts.c.plan_id.in_(mine)).correlate(None)
        found.append(texts.c.id.in_(sa.union(own, about).subquery().select()))
    if wanted.patient is not None:
        theirs = sa.select(recipients.c.id).join(patients).where(patients.c.ref == wanted.patient)
        found.append(texts.c.recipient_id.in_(theirs))
    if wanted.code is not None:
        met = sa.select(attempts.c.text_id).where(attempts.c.error_code == wanted.code)
        # Distinct, as an IN is anyway: so PostgreSQL takes them in the index's order, and finds texts side by side.
        found.append(texts.c.id.in_(met.where(sa.text("attempts.error_code <> 0")).distinct()))
    if wanted.sid is not None:
        found.append(texts.c.id.in_(sa.select(attempts.c.text_id).where(attempts.c.sid == wanted.sid)))
    if wanted.number is not None:
        found += [texts.c.number_id == wanted.number, texts.c.id.in_(_to_number(wanted.number))]
    return found


def _having(wanted: LogFilter) -> list[sa.ColumnElement[bool]]:
    """The part of a filter that a text itself answers. Conditions stand as the indexes say them."""
    equal = {"id": wanted.text, "site_id": wanted.site, "reason": wanted.reason}
    found = [texts.c[name] == value for name, value in equal.items() if value is not None]
    said = []
    if wanted.class_ is not None:
        found.append(is_one_of(texts.c["class"], [wanted.class_] if wanted.class_ in CLASSES else ["none"]))
        said += ["class <> 'reminder'"] if wanted.class_ != "reminder" else []
    if wanted.state == "held":
        said.append(HELD)
    elif wanted.state == "handed_over":
        found.append(is_one_of(texts.c.state, HANDED_OVER))
    elif wanted.state is not None:
        found.append(is_one_of(texts.c.state, [State(wanted.state).value]))
        said += [SELDOM] if wanted.state in lifecycle.SELDOM else []
    if wanted.since is not None:
        found.append(texts.c.opens_at >= wanted.since)
    if wanted.until is not None:
        found.append(texts.c.opens_at < wanted.until)
    return [*found, *(sa.literal_column(condition, sa.Boolean()) for condition in said)]


def _to_number(number_id: int) -> sa.Select[tuple[int]]:
    """Texts that may be to a number, by the indexes there are: its readers', those that were tried, and no one's."""
    readers = sa.select(recipients.c.id).where(recipients.c.number_id == number_id)
    own = sa.select(texts.c.id).where(texts.c.recipient_id.in_(readers))
    nobodys = sa.select(texts.c.id).where(texts.c.number_id == number_id, texts.c.recipient_id.is_(None))
    tried = sa.select(attempts.c.text_id).where(attempts.c.number_id == number_id)
    return sa.select(sa.union(own.correlate(None), nobodys.correlate(None), tried).subquery().c[0])


def _attempts_of(tx: Transaction, text_ids: Sequence[int]) -> dict[int, list[LoggedAttempt]]:
    found: dict[int, list[LoggedAttempt]] = {}
    for start in range(0, len(text_ids), AT_ONCE):
        some = attempts.c.text_id.in_(text_ids[start : start + AT_ONCE])
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


def waiting(tx: Transaction, site_id: int, now: datetime) -> int:
    """How many of a site's texts are to go within the next day."""
    query = sa.select(sa.func.count()).select_from(texts).where(sa.text("state = 'scheduled'"), texts.c.held.is_(None))
    soon = query.where(texts.c.site_id == site_id, texts.c.closes_at > now, texts.c.due_at < now + timedelta(days=1))
    return int(tx.value(soon))


@dataclass(frozen=True, slots=True)
class Heard:
    """One receipt of an attempt: what was heard, when, and how. `raw` only where it was asked for."""

    status: str
    error_code: int
    at: datetime
    by: str
    raw: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt in full; receipts stand in the order in which they were heard.

    `body` only where it was asked for, and None where it does not open any more, because the person was erased.
    """

    number: int
    shown: LoggedAttempt
    answered_at: datetime | None
    template: str
    language: str
    encoding: str
    body: str | None = field(repr=False)
    heard: tuple[Heard, ...]


def tries(tx: Transaction, text_id: int, *, bodies: bool, raw: bool) -> list[Tried]:
    """Every attempt of a text, the first one first, with what was heard of it."""
    shown = _attempts_of(tx, [text_id]).get(text_id, [])
    rows = tx.all(sa.select(attempts).where(attempts.c.text_id == text_id).order_by(attempts.c.number))
    heard: dict[int, list[Heard]] = {}
    told = sa.select(receipts).where(receipts.c.attempt_id.in_([row.id for row in rows]))
    for row in tx.all(told.order_by(receipts.c.heard_at, receipts.c.id)):
        words = tx.open_if_legible(Place("receipts", "raw_sealed", row.id), row.raw_sealed) if raw else None
        heard.setdefault(row.attempt_id, []).append(
            Heard(row.status, row.error_code, row.heard_at, row.heard_by, words)
        )
    return [
        Tried(
            number=row.number,
            shown=attempt,
            answered_at=row.answered_at,
            template=row.template,
            language=row.language,
            encoding=row.encoding,
            body=tx.open_if_legible(Place("attempts", "body_sealed", row.id), row.body_sealed) if bodies else None,
            heard=tuple(heard.get(row.id, ())),
        )
        for row, attempt in zip(rows, shown, strict=True)
    ]
