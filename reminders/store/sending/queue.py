"""The queue is the `texts` table: what is due, who may send it and how fast, and what is held.

Rules of sending (docs/design.md#rules-of-sending): a scan marks at most 5,000 opened rows ready (7), and a worker
reserves at most one second of a sender's pace (8).
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from reminders.lifecycle import State
from reminders.plans import to_instant, to_wall
from reminders.store.database.engine import Transaction
from reminders.store.database.fast_path import Prepared, PreparedSelect, among
from reminders.store.database.ids import first_id
from reminders.store.database.schema import (
    IN_FLIGHT,
    READY,
    UNCERTAIN,
    UNREADABLE,
    WAITING,
    Instant,
    attempts,
    senders,
    sites,
    texts,
)
from reminders.store.planning.texts import give_up
from reminders.store.records import SenderRow

READY_AT_ONCE = 2_000
HELD_AT_ONCE = 1_000
LOOKED_AGAIN = timedelta(milliseconds=250)  # a sender that is free is noticed by then
OF_ANOTHER_CLOCK = timedelta(seconds=6)  # no one reserves so far ahead: the clock was set back, and the sender is free

_NOW = sa.bindparam("now", type_=Instant())


def mark_ready(tx: Transaction, now: datetime) -> int:
    """Mark the texts whose moment has come as ready, 2,000 at most; how many."""
    opened = (
        sa.select(texts.c.id)
        .where(sa.text(WAITING), texts.c.due_at <= now)
        .order_by(texts.c.due_at)
        .limit(READY_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return tx.run(texts.update().where(texts.c.id.in_(opened)).values(ready=True))


@dataclass(frozen=True, slots=True)
class Scan:
    """What there is to do: whether a text's moment has come that is not marked ready yet; and the senders that have a
    ready text in its window and may send now, each with whether it has no pace.
    """

    opened: bool
    senders: list[tuple[int, bool]]


def scan(tx: Transaction, now: datetime) -> Scan:
    """Look for work; flat in the number stored."""
    (found,) = tx.rows(_ANYTHING, {"now": now})
    working = tx.rows(_WORKING, {"now": now}) if found.ready else []
    return Scan(bool(found.opened), [(row.id, row.no_pace) for row in working])


def _first(column: sa.Column[Any], condition: str, *more: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    """The lowest of `column`, by its partial index. Asked if there is any, PostgreSQL may read the whole table."""
    query = sa.select(column).where(sa.text(condition), *more).order_by(column).limit(1)
    return query.scalar_subquery()


class _Anything(NamedTuple):
    opened: bool | None
    ready: bool


class _Working(NamedTuple):
    id: int
    no_pace: bool


class _Limit(NamedTuple):
    segments_per_day: int


_ANYTHING = PreparedSelect(
    _Anything,
    sa.select(
        (_first(texts.c.due_at, WAITING) <= _NOW).label("opened"),
        sa.select(texts.c.closes_at)
        .where(sa.text(READY))
        .order_by(texts.c.sender_id, texts.c.closes_at)
        .limit(1)
        .scalar_subquery()
        .is_not(None)
        .label("ready"),
    ),
)
_WORKING = PreparedSelect(
    _Working,
    sa.select(senders.c.id, (senders.c.segments_per_second <= 0).label("no_pace"))
    .join(sites, sites.c.id == senders.c.site_id)
    .where(sites.c.paused_at.is_(None))
    .where(sa.or_(senders.c.stopped_until.is_(None), senders.c.stopped_until <= _NOW))
    .where(_first(texts.c.closes_at, READY, texts.c.sender_id == senders.c.id, texts.c.closes_at > _NOW).is_not(None))
    .order_by(senders.c.id),
)


def reserve(tx: Transaction, sender_id: int, now: datetime, at_most: int) -> int:
    """Reserve up to one second of a sender's pace; how many texts of one segment may be claimed for it (sending rule
    8).

    What is reserved and not used is lost; the moment between the end of one reservation and the look for the next is
    not. A pace of 0 means no limit.
    """
    row = tx.first_as(SenderRow, sa.select(senders).where(senders.c.id == sender_id).with_for_update(skip_locked=True))
    if row is None or (row.stopped_until is not None and row.stopped_until > now):
        return 0
    if row.segments_per_second <= 0:
        return at_most
    starts = row.next_free_at or now
    if starts - now > OF_ANOTHER_CLOCK + timedelta(seconds=1 / row.segments_per_second):
        starts = now
    if starts > now:
        return 0
    if now - starts > LOOKED_AGAIN:
        starts = now
    budget = min(at_most, max(1, int(row.segments_per_second)))
    free_at = starts + timedelta(seconds=budget / row.segments_per_second)
    tx.run(senders.update().where(senders.c.id == sender_id).values(next_free_at=free_at))
    return budget


NETWORKS_ZONE = "America/Los_Angeles"  # its midnight ends the day of a network's limit (docs/twilio.md 3: 30023)
DAY_IS_FULL = 30023


@dataclass(frozen=True, slots=True)
class Day:
    """How many segments a sender may still begin before midnight Pacific, and whether that is all there can be: no call
    of today's waits for its answer, which could be a refusal.
    """

    left: int
    is_settled: bool


def day_of(tx: Transaction, sender_id: int, now: datetime) -> Day | None:
    """How much of its day's limit a sender has left; None where it has no limit.

    The sender stays locked until the commit, so however many workers there are, each counts what the others began;
    nothing is left while another one is counting. What was refused was never taken, and does not count.
    """
    limit = sum(row.segments_per_day for row in tx.rows(_LIMIT, {"sender": sender_id}))
    if limit <= 0:
        return None
    if not tx.rows(_LIMIT_LOCKED, {"sender": sender_id}):
        return Day(0, is_settled=False)
    begun, answered = _begun(tx, sender_id, now)
    return Day(max(0, limit - begun), is_settled=answered == begun)


def begun_today(tx: Transaction, now: datetime) -> list[tuple[str, int, int]]:
    """The senders that have a limit of the day: address, limit, and how many segments were begun today."""
    limited = tx.all_as(SenderRow, sa.select(senders).where(senders.c.segments_per_day > 0).order_by(senders.c.id))
    return [(row.address, row.segments_per_day, _begun(tx, row.id, now)[0]) for row in limited]


def _begun(tx: Transaction, sender_id: int, now: datetime) -> tuple[int, int]:
    began_at = _midnight(now, 0)
    of_answered = sa.case((attempts.c.answer.is_not(None), attempts.c.segments), else_=0)
    row = tx.first(
        sa.select(
            sa.func.coalesce(sa.func.sum(attempts.c.segments), 0).label("begun"),
            sa.func.coalesce(sa.func.sum(of_answered), 0).label("answered"),
        )
        # Ids grow with time: the day's attempts are the newest.
        .where(attempts.c.id >= first_id(began_at - timedelta(hours=1)), attempts.c.started_at >= began_at)
        .where(attempts.c.sender_id == sender_id)
        .where(sa.or_(attempts.c.answer.is_(None), attempts.c.answer != "refused"))
    )
    assert row is not None
    return int(row.begun), int(row.answered)


_OF_SENDER = sa.select(senders.c.segments_per_day).where(senders.c.id == sa.bindparam("sender"))
_LIMIT = PreparedSelect(_Limit, _OF_SENDER)
_LIMIT_LOCKED = PreparedSelect(_Limit, _OF_SENDER.with_for_update(skip_locked=True))


def end_day(tx: Transaction, sender_id: int, now: datetime) -> None:
    """Let a sender whose day is full rest until midnight Pacific, unless it rests for longer already."""
    until = _midnight(now, 1)
    mine = senders.update().where(senders.c.id == sender_id)
    resting = sa.or_(senders.c.stopped_until.is_(None), senders.c.stopped_until < until)
    tx.run(mine.where(resting).values(stopped_until=until, stopped_code=DAY_IS_FULL))


def _midnight(now: datetime, days: int) -> datetime:
    """The midnight Pacific before `now`, or so many days later."""
    on = to_wall(now, NETWORKS_ZONE).date() + timedelta(days=days)
    return to_instant(datetime.combine(on, time(0)), NETWORKS_ZONE)


def let_go(tx: Transaction, number_ids: Collection[int], why: str, now: datetime) -> int:
    """Let the held texts to these numbers go on their way again, those that are still of use; how many."""
    held = texts.update().where(texts.c.number_id.in_(number_ids), sa.text("state = 'scheduled'"), texts.c.held == why)
    return tx.run(held.where(texts.c.closes_at > now).values(held=None))


def let_one_go(tx: Transaction, text_id: int, now: datetime) -> bool:
    """A person lets one held text go (C-12); whether it was held and is still of use."""
    held = texts.update().where(texts.c.id == text_id, sa.text("state = 'scheduled'"), texts.c.held == "crisis")
    return tx.run(held.where(texts.c.closes_at > now).values(held=None, released_at=now)) == 1


class Fate(NamedTuple):
    """Where a text is, whether its sender rests and its site is paused, and the zone of the site."""

    state: str
    reason: str | None
    held: str | None
    due_at: datetime
    closes_at: datetime
    stopped_until: datetime | None
    paused_at: datetime | None
    zone: str


def fate_of(tx: Transaction, text_id: int) -> Fate:
    """Where a text that exists is."""
    row = tx.first_as(
        Fate,
        sa.select(
            *(texts.c.state, texts.c.reason, texts.c.held, texts.c.due_at, texts.c.closes_at),
            *(senders.c.stopped_until, sites.c.paused_at, sites.c.zone),
        )
        .join(senders, senders.c.id == texts.c.sender_id)
        .join(sites, sites.c.id == texts.c.site_id)
        .where(texts.c.id == text_id),
    )
    assert row is not None
    return row


def release_unreadable(tx: Transaction, now: datetime) -> int:
    """Try them again: the key may be back."""
    return tx.run(texts.update().where(sa.text(UNREADABLE), texts.c.closes_at > now).values(held=None))


def stop_sender(tx: Transaction, sender_id: int, *, code: int, now: datetime, until: datetime) -> None:
    """Let a sender rest until then: the fault lies with it, the account or the line, not with any patient.

    One that rests already is left: fifty texts on the wire fail together, and that is one failure.
    """
    tx.run(
        senders.update()
        .where(senders.c.id == sender_id)
        .where(sa.or_(senders.c.stopped_until.is_(None), senders.c.stopped_until <= now))
        .values(stopped_until=until, stopped_code=code, stops=senders.c.stops + 1)
    )


def stops_of(tx: Transaction, sender_id: int) -> int:
    """How often in a row this sender had to rest."""
    return int(tx.value(sa.select(senders.c.stops).where(senders.c.id == sender_id)) or 0)


_FREED = Prepared(
    senders.update()
    .where(among(senders.c.id), senders.c.stops > 0, senders.c.stopped_until <= _NOW)
    .values(stopped_until=sa.null(), stopped_code=sa.null(), stops=0)
)


def free_sender(tx: Transaction, sender_ids: Collection[int], now: datetime) -> int:
    """These senders work again; how many did not before.

    One that was put to rest stays so: what was accepted was on the wire before.
    """
    return tx.do(_FREED, {"ids": sender_ids, "now": now})


@dataclass(frozen=True, slots=True)
class Resting:
    """A sender at rest, or one that was and has not worked since: until when, why, and how often in a row."""

    id: int
    stopped_until: datetime
    stopped_code: int
    stops: int


def resting(tx: Transaction) -> list[Resting]:
    """The senders that were put to rest and have not worked since."""
    rows = tx.all(sa.select(senders).where(senders.c.stopped_until.is_not(None)).order_by(senders.c.id))
    return [Resting(row.id, row.stopped_until, row.stopped_code or 0, row.stops) for row in rows]


class FirstRefusal(NamedTuple):
    """One sort of refusal that a sender met, and when first."""

    sender_id: int
    error_code: int
    what: str | None
    at: datetime


def failed_since_it_worked(tx: Transaction, now: datetime) -> list[FirstRefusal]:
    """Of the senders that do not work: each sort of refusal of the last day, since they worked last."""
    lately = attempts.c.id >= first_id(now - timedelta(days=1))
    found: list[FirstRefusal] = []
    first = sa.func.min(attempts.c.started_at, type_=attempts.c.started_at.type).label("at")
    sort = attempts.c.sender_id, attempts.c.error_code, attempts.c.what
    for row in tx.all(sa.select(senders.c.id).where(senders.c.stops > 0)):
        mine = sa.and_(attempts.c.sender_id == row.id, lately)
        worked = sa.select(attempts.c.id).where(mine, attempts.c.answer == "accepted")
        last = tx.value(worked.order_by(attempts.c.id.desc()).limit(1)) or 0
        refused = sa.select(*sort, first).where(mine, attempts.c.id > last, attempts.c.answer == "refused")
        found += tx.all_as(FirstRefusal, refused.group_by(*sort))
    return found


def oldest_due(tx: Transaction, now: datetime, but: Collection[int]) -> datetime | None:
    """When the oldest text was due that is still of use, leaving these sites out."""
    due = sa.or_(sa.text(f"({WAITING})"), sa.text(READY))
    oldest = sa.func.min(texts.c.due_at, type_=texts.c.due_at.type)
    query = sa.select(oldest).where(due, texts.c.due_at <= now, texts.c.closes_at > now, texts.c.site_id.not_in(but))
    at: datetime | None = tx.value(query)
    return at


# After an outage. What a patient asked for is not held: answers go whatever piled up.

_OVERDUE = sa.and_(
    sa.or_(sa.text(f"({WAITING})"), sa.text(READY)), texts.c["class"].in_(("reminder", "notice", "welcome"))
)


def overdue(tx: Transaction, now: datetime, of: Collection[int] | None = None) -> int:
    """How many texts to which no one is waiting for an answer are due and still of use; `of` these senders, or all."""
    query = sa.select(sa.func.count()).select_from(texts)
    return int(tx.value(query.where(*_late(now, of))))


def _late(now: datetime, of: Collection[int] | None) -> list[sa.ColumnElement[bool]]:
    late = [_OVERDUE, texts.c.due_at <= now, texts.c.closes_at > now]
    return late if of is None else [*late, texts.c.sender_id.in_(of)]


def hold_overdue(tx: Transaction, now: datetime, of: Collection[int] | None = None) -> int:
    """Hold them for a person, 1,000 at most; how many."""
    late = sa.select(texts.c.id).where(*_late(now, of)).limit(HELD_AT_ONCE)
    return tx.run(texts.update().where(texts.c.id.in_(late)).values(held="backlog", ready=False))


class Backlog(NamedTuple):
    """How many texts that are held since an outage stop being of use then."""

    closes_at: datetime
    many: int


def backlog(tx: Transaction) -> list[Backlog]:
    """What is held since an outage, by when it stops being of use."""
    hour = texts.c.closes_at
    query = sa.select(hour, sa.func.count().label("many")).where(sa.text("held = 'backlog' AND state = 'scheduled'"))
    return tx.all_as(Backlog, query.group_by(hour).order_by(hour))


def end_backlog(tx: Transaction, now: datetime, *, drop: bool) -> int:
    """Let what is held since an outage go, earliest deadline first as ever, or let it expire; how many texts.

    1,000 at most: call until it is none.
    """
    held = sa.select(texts.c.id).where(sa.text("held = 'backlog'"), texts.c.state == State.SCHEDULED.value)
    if drop:
        return tx.run(give_up(State.EXPIRED).where(texts.c.id.in_(held.limit(HELD_AT_ONCE))))
    some = held.where(texts.c.closes_at > now).limit(HELD_AT_ONCE)
    return tx.run(texts.update().where(texts.c.id.in_(some)).values(held=None))


@dataclass(frozen=True, slots=True)
class Depth:
    """How the queue stands."""

    due: int
    oldest_due_at: datetime | None
    sending: int
    uncertain: int
    unreadable: int


COUNTED_FIRST = 50_000


class _Counted(NamedTuple):
    due: int
    oldest: datetime | None
    all: int


def _how_many(tx: Transaction, which: str, *conditions: sa.ColumnElement[bool], now: datetime) -> _Counted:
    """How many of these texts are still of use, and when the oldest of them was due.

    Asked for them all, PostgreSQL reads all that is planned: it cannot know that what is due has mostly gone. Of the
    first fifty thousand it takes the index; more than that are seldom due.
    """
    of_these = sa.select(texts.c.due_at, texts.c.closes_at).where(sa.text(which), *conditions)

    def counted(some: sa.Subquery) -> _Counted:
        is_of_use = some.c.closes_at > now
        oldest = sa.func.min(some.c.due_at, type_=texts.c.due_at.type).filter(is_of_use).label("oldest")
        due = sa.func.count().filter(is_of_use).label("due")
        found = tx.first_as(_Counted, sa.select(due, oldest, sa.func.count().label("all")).select_from(some))
        assert found is not None
        return found

    first = counted(of_these.order_by(texts.c.due_at).limit(COUNTED_FIRST).subquery())
    return first if first.all < COUNTED_FIRST else counted(of_these.subquery())


def depth(tx: Transaction, now: datetime) -> Depth:
    """How many texts are due, in flight and uncertain."""
    opened = _how_many(tx, WAITING, texts.c.due_at <= now, now=now)
    ready = _how_many(tx, READY, now=now)
    many = sa.select(sa.func.count()).select_from(texts)
    return Depth(
        due=opened.due + ready.due,
        oldest_due_at=min((at for at in (opened.oldest, ready.oldest) if at is not None), default=None),
        sending=tx.value(many.where(sa.text(IN_FLIGHT))),
        uncertain=tx.value(many.where(sa.text(UNCERTAIN))),
        unreadable=tx.value(many.where(sa.text(UNREADABLE))),
    )
