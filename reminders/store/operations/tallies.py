"""How many texts there are, by hour, site, class, state, reason and code: for the log's facets, charts and figures.

Counting five million rows for a page takes seconds, so hours are counted beforehand (`tallies`, `figures`) and pages
add those up. An hour is the one in which a text's window opens, as the log's times are; replies are counted by when
they came.

What was counted is made true again and again, never kept up by the statements that move texts: an hour is counted
again when a text, attempt, receipt or reply was written that belongs to it, and else when its count is older than a
fiftieth of its distance from now (at least a minute, at most a day). So it does not matter how a text moved, whether
the count came late, twice, or in two processes at once, or whether the database was restored: in the end it is exact.
Where there are few texts nothing of this is asked, and they are counted there and then.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from reminders.store.database.engine import Transaction
from reminders.store.database.ids import first_id, new_id
from reminders.store.database.schema import (
    attempts,
    figures,
    hour_of,
    marks,
    receipts,
    replies,
    reply_counts,
    seconds_between,
    tallied,
    tallies,
    texts,
)
from reminders.store.database.sealing import Place, padded
from reminders.store.replies import readings_of

MARK = "tallied"  # up to when what was written has been looked at
OVERLAP = timedelta(minutes=10)  # a transaction may commit so much later than its rows' ids say
SOONEST, LATEST = timedelta(seconds=55), timedelta(days=1)
BOUNDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 10_800, 43_200, 86_400)
MORE = "more"  # than the last of them
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
_FINAL = ("delivered", "undelivered", "failed", "read")


def hour_at(at: datetime) -> int:
    """The hour in which an instant lies, counted from 1970."""
    return (at - EPOCH) // HOUR


def instant(hour: int) -> datetime:
    """When an hour begins."""
    return EPOCH + hour * HOUR


# The job: which hours to count again, counting them, keeping what was counted.


class TallyRow(NamedTuple):
    """So many texts of one hour, site, class, state, reason (empty for none) and code (0: of all)."""

    hour: int
    site_id: int
    class_: str
    state: str
    reason: str
    code: int
    many: int
    segments: int


class FigureRow(NamedTuple):
    """What else is counted of one hour and site: `what` is lag, word or reply, `name` which of it."""

    hour: int
    site_id: int
    what: str
    name: str
    many: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted of some hours in a row, and when each was counted before."""

    first: int
    last: int
    before: Mapping[int, datetime]
    tallies: frozenset[TallyRow]
    figures: frozenset[FigureRow]
    replies: frozenset[FigureRow]


def due_hours(tx: Transaction, now: datetime) -> list[int]:
    """The hours to count again, the nearest to `now` first."""
    edges = [
        tx.first(sa.select(sa.func.min(column, type_=column.type).label("a"), sa.func.max(column, type_=column.type)))
        for column in (texts.c.opens_at, replies.c.received_at)
    ]
    known = [edge for row in edges if row is not None for edge in row if edge is not None]
    if not known:
        return []
    counted = {row.hour: row.at for row in tx.all(sa.select(tallied))}
    here = hour_at(now)
    found = {
        hour
        for hour in range(hour_at(min(known)), hour_at(max(known)) + 1)
        if hour not in counted or _is_stale(counted[hour], abs(hour - here) * HOUR, now)
    }
    seen: datetime | None = tx.value(sa.select(marks.c.at).where(marks.c.name == MARK))
    if seen is not None:
        found |= _written_since(tx, seen - OVERLAP)
    return sorted(found, key=lambda hour: abs(hour - here))


def _is_stale(at: datetime, away: timedelta, now: datetime) -> bool:
    return abs(now - at) >= max(SOONEST, min(LATEST, away / 50))


def _written_since(tx: Transaction, since: datetime) -> set[int]:
    """The hours of whatever was written since then, by the ids of the rows."""
    floor = first_id(since)
    hour = hour_of(texts.c.opens_at).label("hour")
    queries = (
        sa.select(hour).where(texts.c.id >= floor),
        sa.select(hour).join(attempts, attempts.c.text_id == texts.c.id).where(attempts.c.id >= floor),
        sa.select(hour)
        .join(attempts, attempts.c.text_id == texts.c.id)
        .join(receipts, receipts.c.attempt_id == attempts.c.id)
        .where(receipts.c.id >= floor),
        sa.select(hour_of(replies.c.received_at).label("hour")).where(replies.c.id >= floor),
    )
    return {row.hour for query in queries for row in tx.all(query.distinct())}


def count(tx: Transaction, first: int, last: int) -> Counted:
    """Count the hours `first` to `last`. Changes nothing."""
    before = {row.hour: row.at for row in tx.all(sa.select(tallied).where(tallied.c.hour.between(first, last)))}
    until = instant(last + 1)
    return Counted(
        first,
        last,
        before,
        frozenset(text_rows(tx, texts.c.opens_at >= instant(first), texts.c.opens_at < until)),
        frozenset(spells(tx, instant(first), until)),
        frozenset(reply_rows(tx, instant(first), until)),
    )


def keep(tx: Transaction, counted: Counted, now: datetime) -> bool:
    """Keep what was counted; False where someone else counted one of these hours meanwhile, and nothing is changed."""
    mine = tallied.c.hour.between(counted.first, counted.last)
    rows = tx.all(sa.select(tallied).where(mine).order_by(tallied.c.hour).with_for_update())
    if {row.hour: row.at for row in rows} != counted.before:
        return False
    for table, fresh in ((tallies, counted.tallies), (figures, counted.figures)):
        here = table.c.hour.between(counted.first, counted.last)
        names = [column.name for column in table.columns]
        if frozenset(tuple(row) for row in tx.all(sa.select(table).where(here))) != fresh:
            tx.run(table.delete().where(here))
            tx.run_many(table.insert(), [dict(zip(names, row, strict=True)) for row in sorted(fresh)])
    mine_too = reply_counts.c.hour.between(counted.first, counted.last)
    if frozenset(kept_reply_rows(tx, mine_too)) != counted.replies:
        tx.run(reply_counts.delete().where(mine_too))
        tx.run_many(reply_counts.insert(), _sealed(tx, counted.replies, now))
    new = [{"hour": hour, "at": now} for hour in range(counted.first, counted.last + 1) if hour not in counted.before]
    tx.run(tallied.update().where(mine).values(at=now))
    tx.run_many(tallied.insert(), new)
    return True


def looked(tx: Transaction, now: datetime) -> None:
    """Note that whatever was written up to `now` has been looked at."""
    if not tx.run(marks.update().where(marks.c.name == MARK).values(at=now)):
        tx.insert_new(marks, {"name": MARK, "at": now})


def text_rows(tx: Transaction, *conditions: sa.ColumnElement[bool]) -> list[TallyRow]:
    """Texts as the rows of `tallies`, counted now."""
    cells = (
        hour_of(texts.c.opens_at).label("hour"),
        texts.c.site_id,
        texts.c["class"].label("class_"),
        texts.c.state,
        sa.func.coalesce(texts.c.reason, sa.literal_column("''")).label("reason"),
    )
    many = sa.select(*cells, sa.func.count().label("many")).where(*conditions).group_by(*cells)
    tried = sa.join(texts, attempts, attempts.c.text_id == texts.c.id)
    took = sa.case((attempts.c.answer == "accepted", attempts.c.segments), else_=0)
    weight = (
        sa.select(*cells, sa.func.sum(took).label("segments")).select_from(tried).where(*conditions).group_by(*cells)
    )
    met = (
        sa.select(
            *cells,
            attempts.c.error_code,
            sa.func.count(texts.c.id.distinct()).label("many"),
            sa.func.sum(took).label("segments"),
        )
        .select_from(tried)
        .where(*conditions, sa.text("attempts.error_code <> 0"))
        .group_by(*cells, attempts.c.error_code)
    )
    segments = {tuple(row[:5]): int(row.segments) for row in tx.all(weight)}
    found = [TallyRow._make((*row[:5], 0, row.many, segments.get(tuple(row[:5]), 0))) for row in tx.all(many)]
    return found + [TallyRow._make((*row[:6], row.many, int(row.segments))) for row in tx.all(met)]


def spells(tx: Transaction, since: datetime, until: datetime) -> list[FigureRow]:
    """How long it took until texts of these hours were handed over, and until Twilio said how they ended."""
    hour = hour_of(texts.c.opens_at).label("hour")
    found: list[FigureRow] = []
    measures = {
        "lag": (seconds_between(attempts.c.started_at, texts.c.opens_at), sa.true()),
        "word": (seconds_between(attempts.c.status_at, attempts.c.answered_at), attempts.c.status.in_(_FINAL)),
    }
    for what, (seconds, condition) in measures.items():
        spell = sa.case(
            *((seconds <= _as_is(bound), _as_is(f"'{bound}'")) for bound in BOUNDS), else_=_as_is(f"'{MORE}'")
        )
        name = spell.label("name")
        query = (
            sa.select(hour, texts.c.site_id, name, sa.func.count().label("many"))
            .join(attempts, attempts.c.text_id == texts.c.id)
            .where(texts.c.opens_at >= since, texts.c.opens_at < until, attempts.c.answer == "accepted", condition)
            .group_by(hour, texts.c.site_id, name)
        )
        found += [FigureRow(row.hour, row.site_id, what, row.name, row.many) for row in tx.all(query)]
    return found


def _as_is(value: object) -> sa.ColumnElement[Any]:
    # Written into the statement: PostgreSQL takes two bound values for two expressions, and groups by neither.
    return sa.literal_column(str(value))


def reply_rows(tx: Transaction, since: datetime, until: datetime) -> list[FigureRow]:
    """The replies of these hours by hour, site and meaning, as `spells` gives its own; opened and counted now."""
    columns = (replies.c.id, replies.c.site_id, replies.c.received_at, replies.c.reading_sealed)
    query = sa.select(*columns).where(replies.c.received_at >= since, replies.c.received_at < until)
    order = (replies.c.received_at, replies.c.id)
    found: Counter[tuple[int, int, str]] = Counter()
    after: sa.ColumnElement[bool] = sa.true()
    while rows := tx.all(query.where(after).order_by(*order).limit(_AT_ONCE)):
        readings = readings_of(tx, {row.id: row.reading_sealed for row in rows})
        found.update((hour_at(row.received_at), row.site_id, readings[row.id].meaning) for row in rows)
        at = sa.literal(rows[-1].received_at, replies.c.received_at.type)
        after = sa.tuple_(*order) > sa.tuple_(at, sa.literal(rows[-1].id))
    return [FigureRow(hour, site_id, "reply", meaning, many) for (hour, site_id, meaning), many in found.items()]


_AT_ONCE = 2_000
_PADDED = 256


def kept_reply_rows(tx: Transaction, *conditions: sa.ColumnElement[bool]) -> list[FigureRow]:
    """The same as they were counted, of the rows of `reply_counts` for which these conditions hold."""
    return [
        FigureRow(row.hour, row.site_id, "reply", meaning, many)
        for row in tx.all(sa.select(reply_counts).where(*conditions))
        for meaning, many in _opened(tx, row.id, row.counts_sealed).items()
    ]


def replies_between(tx: Transaction, since: datetime, until: datetime) -> list[FigureRow]:
    """As `reply_rows`, for a page: opened are only replies of hours that are not whole, or not counted since."""
    edges = tx.first(sa.select(sa.func.min(tallied.c.hour).label("first"), sa.func.max(tallied.c.hour).label("last")))
    looked_at: datetime | None = tx.value(sa.select(marks.c.at).where(marks.c.name == MARK))
    if edges is None or edges.first is None or looked_at is None:
        return reply_rows(tx, since, until)
    first = max(edges.first, -(-(since - EPOCH) // HOUR))
    stop = min(edges.last + 1, hour_at(until), hour_at(looked_at - OVERLAP))
    if first >= stop:
        return reply_rows(tx, since, until)
    mine = sa.select(tallied.c.hour).where(tallied.c.hour >= first, tallied.c.hour < stop)
    holes = set(range(first, stop)) - {row.hour for row in tx.all(mine)}
    rest = [(since, instant(first)), (instant(stop), until)]
    rest += [(instant(a), instant(b + 1)) for a, b in stretches(holes, at_most=stop - first)]
    found = [row for begin, end in rest for row in reply_rows(tx, begin, end)]
    kept = kept_reply_rows(tx, reply_counts.c.hour >= first, reply_counts.c.hour < stop)
    return found + [row for row in kept if row.hour not in holes]


def _opened(tx: Transaction, row_id: int, sealed: bytes) -> dict[str, int]:
    said = tx.open_if_legible(Place("reply_counts", "counts_sealed", row_id), sealed)
    return json.loads(said) if said else {}


def _sealed(tx: Transaction, rows: Iterable[FigureRow], now: datetime) -> list[dict[str, Any]]:
    counts: dict[tuple[int, int], dict[str, int]] = {}
    for hour, site_id, _, meaning, many in sorted(rows):
        counts.setdefault((hour, site_id), {})[meaning] = many
    sealed = []
    for (hour, site_id), of_hour in counts.items():
        row_id = new_id(now)
        said = tx.seal(Place("reply_counts", "counts_sealed", row_id), padded(json.dumps(of_hour), _PADDED))
        sealed.append({"id": row_id, "hour": hour, "site_id": site_id, "counts_sealed": said})
    return sealed


def hours_with(tx: Transaction, meaning: str, sites: Collection[int], lowest: int, highest: int) -> set[int]:
    """Of these hours those in which a reply of that meaning came to these sites, or may have: not counted since."""
    counted = {row.hour for row in tx.all(sa.select(tallied.c.hour).where(tallied.c.hour.between(lowest, highest)))}
    looked_at: datetime | None = tx.value(sa.select(marks.c.at).where(marks.c.name == MARK))
    known = hour_at(looked_at - OVERLAP) if looked_at is not None else lowest
    found = {hour for hour in range(lowest, highest + 1) if hour not in counted or hour >= known}
    here = reply_counts.c.hour.between(lowest, highest), reply_counts.c.site_id.in_(sites)
    return found | {row.hour for row in kept_reply_rows(tx, *here) if row.name == meaning}


# Asking: the counts of a span of time.


# The facets of the log: how many texts each further choice would leave.


def stretches(hours: Iterable[int], *, at_most: int, gap: int = 1) -> Iterator[tuple[int, int]]:
    """Hours as (first, last) of those at most `gap` apart, `at_most` so many each; those between are counted too."""
    first = last = None
    for hour in sorted(hours):
        if first is not None and last is not None and hour - last <= gap and hour - first < at_most:
            last = hour
            continue
        if first is not None and last is not None:
            yield first, last
        first = last = hour
    if first is not None and last is not None:
        yield first, last
