"""Replies."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa

from reminders.queries.listing import OPEN_TASK, places_of, stands_before
from reminders.store import people
from reminders.store.database import schema
from reminders.store.database.engine import Transaction
from reminders.store.database.sealing import Place
from reminders.store.operations.tallies import hour_at, hours_with, instant, stretches
from reminders.store.replies import Reading, readings_of

_AT_ONCE = 200
_HOURS_AT_ONCE = 24 * 14


@dataclass(frozen=True, slots=True)
class ReplyFilter:
    """Which replies to list; instants are on `received_at`. `waiting` are those with an open task."""

    meaning: str | None = None
    patient: str | None = None
    waiting: bool = False
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, int] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ListedReply:
    """An inbound text as it is listed. `patients` are the references of everyone it may be from; the number is masked.

    `words` only where names were asked for. `task` is the open task that it belongs to.
    """

    id: int
    site: str
    zone: str
    received_at: datetime
    sent_at: datetime
    from_: str
    number_id: int
    patient_ids: tuple[int, ...]
    patients: tuple[str, ...]
    meaning: str
    meanings: tuple[str, ...]
    media: int
    words: str | None = field(repr=False)
    task: int | None

    @property
    def place(self) -> tuple[datetime, int]:
        """Where it stands in the list."""
        return self.received_at, self.id


def list_replies(
    tx: Transaction, sites: Collection[int], wanted: ReplyFilter, *, names: bool = False
) -> list[ListedReply]:
    """What was texted to us, the newest first."""
    places = places_of(tx, sites)
    query = (
        sa.select(
            schema.replies.c.id,
            schema.replies.c.number_id,
            schema.replies.c.site_id,
            schema.replies.c.body_sealed,
            schema.replies.c.reading_sealed,
            schema.replies.c.media,
            schema.replies.c.sent_at,
            schema.replies.c.received_at,
            schema.numbers.c.phone_sealed,
        )
        .join(schema.numbers, schema.numbers.c.id == schema.replies.c.number_id)
        .where(schema.replies.c.site_id.in_(places))
        .order_by(schema.replies.c.received_at.desc(), schema.replies.c.id.desc())
    )
    of_task = (
        sa.select(schema.task_events.c.reply_id, schema.task_events.c.task_id)
        .join(schema.tasks)
        .where(sa.text(OPEN_TASK))
    )
    of_task = of_task.where(schema.task_events.c.reply_id.is_not(None))
    if wanted.waiting:
        query = query.where(schema.replies.c.id.in_(of_task.with_only_columns(schema.task_events.c.reply_id)))
    if wanted.patient is not None:
        theirs = (
            sa.select(schema.recipients.c.number_id)
            .join(schema.patients)
            .where(schema.patients.c.ref == wanted.patient)
        )
        query = query.where(schema.replies.c.number_id.in_(theirs.where(schema.patients.c.site_id.in_(places))))
    if wanted.since is not None:
        query = query.where(schema.replies.c.received_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(schema.replies.c.received_at < wanted.until)
    if wanted.before is not None:
        query = query.where(stands_before(wanted.before, schema.replies.c.received_at, schema.replies.c.id))
    rows, readings = _read(tx, query, places, wanted)
    of_these = of_task.where(schema.task_events.c.reply_id.in_([row.id for row in rows]))
    waiting = {row.reply_id: row.task_id for row in tx.all(of_these)}
    on_number: dict[int, list[tuple[int, str]]] = {}
    whose = (
        sa.select(schema.recipients.c.number_id, schema.patients.c.id, schema.patients.c.ref)
        .join(schema.patients, schema.patients.c.id == schema.recipients.c.patient_id)
        .where(
            schema.recipients.c.number_id.in_({row.number_id for row in rows}), schema.patients.c.site_id.in_(places)
        )
        .distinct()
        .order_by(schema.patients.c.ref, schema.patients.c.id)
    )
    for row in tx.all(whose):
        on_number.setdefault(row.number_id, []).append((row.id, row.ref))
    return [
        ListedReply(
            id=row.id,
            site=places[row.site_id].key,
            zone=places[row.site_id].zone,
            received_at=row.received_at,
            sent_at=row.sent_at,
            from_=people.masked_of(tx, row.number_id, row.phone_sealed),
            number_id=row.number_id,
            patient_ids=tuple(one for one, _ in on_number.get(row.number_id, ())),
            patients=tuple(ref for _, ref in on_number.get(row.number_id, ())),
            meaning=readings[row.id].meaning,
            meanings=readings[row.id].meanings,
            media=row.media,
            words=tx.open_if_legible(Place("replies", "body_sealed", row.id), row.body_sealed) if names else None,
            task=waiting.get(row.id),
        )
        for row in rows
    ]


class _Reply(NamedTuple):
    id: int
    number_id: int
    site_id: int
    body_sealed: bytes
    reading_sealed: bytes
    media: int
    sent_at: datetime
    received_at: datetime
    phone_sealed: bytes


def _opened(tx: Transaction, rows: Sequence[_Reply]) -> dict[int, Reading]:
    return readings_of(tx, {row.id: row.reading_sealed for row in rows})


def _read(
    tx: Transaction, query: sa.Select[Any], places: Collection[int], wanted: ReplyFilter
) -> tuple[list[_Reply], dict[int, Reading]]:
    """The rows of a page, and what each was taken to mean; what is wanted of that is looked for in what is opened."""
    if wanted.meaning is None:
        rows = tx.all_as(_Reply, query.limit(wanted.limit))
        return rows, _opened(tx, rows)
    found: list[_Reply] = []
    readings: dict[int, Reading] = {}
    for part in _parts(tx, query, places, wanted):
        before = None
        while len(found) < wanted.limit:
            rest = (
                part
                if before is None
                else part.where(stands_before(before, schema.replies.c.received_at, schema.replies.c.id))
            )
            some = tx.all_as(_Reply, rest.limit(_AT_ONCE))
            opened = _opened(tx, some)
            hits = (row for row in some if opened[row.id].meaning == wanted.meaning)
            found += islice(hits, wanted.limit - len(found))
            readings |= opened
            if len(some) < _AT_ONCE:
                break
            before = some[-1].received_at, some[-1].id
        if len(found) == wanted.limit:
            break
    return found, readings


def _parts(
    tx: Transaction, query: sa.Select[Any], places: Collection[int], wanted: ReplyFilter
) -> Iterator[sa.Select[Any]]:
    """The query, or instead of it the same of the hours, the latest first, that may hold the meaning that is wanted.

    The counts of two weeks are opened at once: a page of what many say looks no further back.
    """
    assert wanted.meaning is not None
    if wanted.patient is not None or wanted.waiting:  # of few, whenever they came
        yield query
        return
    came = schema.replies.c.received_at
    edges = (sa.func.min(came, type_=came.type), sa.func.max(came, type_=came.type))
    oldest, newest = (tx.value(sa.select(edge)) for edge in edges)
    if oldest is None or newest is None:
        return
    until = wanted.before[0] if wanted.before is not None else wanted.until
    lowest, high = hour_at(max(oldest, wanted.since or oldest)), hour_at(min(newest, until or newest))
    while high >= lowest:
        low = max(lowest, high - _HOURS_AT_ONCE + 1)
        hours = hours_with(tx, wanted.meaning, places, low, high)
        for first, last in reversed(list(stretches(hours, at_most=_HOURS_AT_ONCE))):
            yield query.where(came >= instant(first), came < instant(last + 1))
        high = low - 1
