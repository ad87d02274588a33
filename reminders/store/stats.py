"""How many texts there are, by hour, site, class, state, reason and code: for the log's facets, charts and figures.

Counting five million rows for a page takes seconds, so hours are counted beforehand (`tallies`, `figures`) and pages
add those up. An hour is the one in which a text's window opens, as the log's times are; replies are counted by when
they came.

What was counted is made true again and again, never kept up by the statements that move texts: an hour is counted
anew when a text, attempt, receipt or reply was written that belongs to it, and else when its count is older than a
fiftieth of its distance from now (at least a minute, at most a day). So it does not matter how a text moved, whether
the count came late, twice, or in two processes at once, or whether the database was restored: in the end it is exact.
Where there are few texts nothing of this is asked, and they are counted there and then.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import starmap
from typing import Any

import sqlalchemy as sa

from reminders.plans import to_wall
from reminders.store.database.engine import Transaction
from reminders.store.database.ids import first_id
from reminders.store.database.schema import (
    attempts,
    figures,
    hour_of,
    marks,
    receipts,
    replies,
    seconds_between,
    tallied,
    tallies,
    texts,
)
from reminders.store.planning.texts import HANDED_OVER, LogFilter, matching

FEW = 20_000  # texts that are counted there and then
MARK = "tallied"  # up to when what was written has been looked at
OVERLAP = timedelta(minutes=10)  # a transaction may commit so much later than its rows' ids say
SOONEST, LATEST = timedelta(seconds=55), timedelta(days=1)
BOUNDS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 10_800, 43_200, 86_400)
MORE = "more"  # than the last of them
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_FINAL = ("delivered", "undelivered", "failed", "read")


def hour_at(at: datetime) -> int:
    """The hour in which an instant lies, counted from 1970."""
    return (at - _EPOCH) // _HOUR


def instant(hour: int) -> datetime:
    """When an hour begins."""
    return _EPOCH + hour * _HOUR


# The job: which hours to count anew, counting them, keeping what was counted.


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted of some hours in a row, and when each was counted before."""

    first: int
    last: int
    before: Mapping[int, datetime]
    tallies: frozenset[tuple[Any, ...]]
    figures: frozenset[tuple[Any, ...]]


def due_hours(tx: Transaction, now: datetime) -> list[int]:
    """The hours to count anew, the nearest to `now` first."""
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
        if hour not in counted or _is_stale(counted[hour], abs(hour - here) * _HOUR, now)
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
    spells = _spells(tx, instant(first), until)
    return Counted(
        first,
        last,
        before,
        frozenset(_rows(tx, texts.c.opens_at >= instant(first), texts.c.opens_at < until)),
        frozenset(spells + _replies(tx, instant(first), until)),
    )


def keep(tx: Transaction, counted: Counted, now: datetime) -> bool:
    """Keep what was counted; False where somebody else counted one of these hours meanwhile, and nothing is changed."""
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
    new = [{"hour": hour, "at": now} for hour in range(counted.first, counted.last + 1) if hour not in counted.before]
    tx.run(tallied.update().where(mine).values(at=now))
    tx.run_many(tallied.insert(), new)
    return True


def looked(tx: Transaction, now: datetime) -> None:
    """Note that whatever was written up to `now` has been looked at."""
    if not tx.run(marks.update().where(marks.c.name == MARK).values(at=now)):
        tx.insert_new(marks, {"name": MARK, "at": now})


def _rows(tx: Transaction, *conditions: sa.ColumnElement[bool]) -> list[tuple[Any, ...]]:
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
    found = [(*row[:5], 0, row.many, segments.get(tuple(row[:5]), 0)) for row in tx.all(many)]
    return found + [(*row[:6], row.many, int(row.segments)) for row in tx.all(met)]


def _spells(tx: Transaction, since: datetime, until: datetime) -> list[tuple[Any, ...]]:
    """How long it took until texts of these hours were handed over, and until Twilio said how they ended."""
    hour, found = hour_of(texts.c.opens_at).label("hour"), []
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
        found += [(row.hour, row.site_id, what, row.name, row.many) for row in tx.all(query)]
    return found


def _as_is(value: object) -> sa.ColumnElement[Any]:
    # Written into the statement: PostgreSQL takes two bound values for two expressions, and groups by neither.
    return sa.literal_column(str(value))


def _replies(tx: Transaction, since: datetime, until: datetime) -> list[tuple[Any, ...]]:
    hour = hour_of(replies.c.received_at).label("hour")
    query = (
        sa.select(hour, replies.c.site_id, replies.c.meaning, sa.func.count().label("many"))
        .where(replies.c.received_at >= since, replies.c.received_at < until)
        .group_by(hour, replies.c.site_id, replies.c.meaning)
    )
    return [(row.hour, row.site_id, "reply", row.meaning, row.many) for row in tx.all(query)]


# Asking: the counts of a span of time.


@dataclass(frozen=True, slots=True)
class Cell:
    """So many texts of one site, class, state, reason (empty for none) and code (0: of all).

    `hour` is 0 where the hours of a span were added up.
    """

    hour: int
    site_id: int
    class_: str
    state: str
    reason: str
    code: int
    many: int
    segments: int


@dataclass(frozen=True, slots=True)
class Span:
    """Which texts: windows that open from `since` on and before `until` (None: no limit), of these sites (None: all).

    `hours` are the only hours, counted from 1970, where hours of the day were asked for.
    """

    since: datetime | None = None
    until: datetime | None = None
    sites: Collection[int] | None = None
    hours: Collection[int] | None = None

    def texts(self) -> list[sa.ColumnElement[bool]]:
        """The same as conditions on texts."""
        found: list[sa.ColumnElement[bool]] = []
        if self.since is not None:
            found.append(texts.c.opens_at >= self.since)
        if self.until is not None:
            found.append(texts.c.opens_at < self.until)
        if self.sites is not None:
            found.append(texts.c.site_id.in_(self.sites))
        if self.hours is not None:
            found.append(hour_of(texts.c.opens_at).in_(self.hours))
        return found


def are_few(tx: Transaction, span: Span) -> bool:
    """Whether there are so few texts in that span, of whatever site, that they can be counted there and then."""
    whole = Span(span.since, span.until)
    some = sa.select(sa.literal(1)).select_from(texts).where(*whole.texts()).limit(FEW + 1).subquery()
    return int(tx.value(sa.select(sa.func.count()).select_from(some))) <= FEW


def cells(tx: Transaction, span: Span, *, by_hour: bool = False) -> list[Cell]:
    """The counts of a span, by site, class, state, reason and code, and by hour if so asked."""
    whole, rest = _whole_hours(tx, span)
    rows = [row for part in rest for row in _rows(tx, *part.texts())]
    if whole:
        columns = [tallies.c.hour] if by_hour else []
        columns += [tallies.c.site_id, tallies.c["class"], tallies.c.state, tallies.c.reason, tallies.c.code]
        sums = sa.func.sum(tallies.c.many), sa.func.sum(tallies.c.segments)
        query = sa.select(*columns, *sums).where(*_of(tallies, whole, span)).group_by(*columns)
        rows += [tuple(row) if by_hour else (0, *row) for row in tx.all(query)]
    found: dict[tuple[Any, ...], list[int]] = {}
    for hour, *what, many, segments in rows:
        sums_of = found.setdefault((hour if by_hour else 0, *what), [0, 0])
        sums_of[0] += int(many)
        sums_of[1] += int(segments)
    return [Cell(*cell, *sums_of) for cell, sums_of in found.items()]


def by_hour(tx: Transaction, span: Span, **only: Any) -> dict[int, int]:
    """Hour → how many texts with these values of `class`, `state`, `reason`, `site_id` and `code`, several of each."""
    wanted = {"code": (0,)} | only
    whole, rest = _whole_hours(tx, span)
    names = [column.name for column in tallies.columns]
    found: Counter[int] = Counter()
    for row in (row for part in rest for row in _rows(tx, *part.texts())):
        one = dict(zip(names, row, strict=True))
        if all(one[name] in values for name, values in wanted.items()):
            found[one["hour"]] += one["many"]
    if whole:
        where = [tallies.c[name].in_(values) for name, values in wanted.items()]
        query = sa.select(tallies.c.hour, sa.func.sum(tallies.c.many).label("many"))
        for row in tx.all(query.where(*_of(tallies, whole, span), *where).group_by(tallies.c.hour)):
            found[row.hour] += int(row.many)
    return dict(found)


@dataclass(frozen=True, slots=True)
class Figure:
    """So many texts or replies: `what` is lag or word (by the seconds not exceeded) or reply (by meaning).

    `hour` is 0 where the hours of a span were added up.
    """

    hour: int
    what: str
    name: str
    many: int


def measured(tx: Transaction, span: Span, *, by_hour: bool = False) -> list[Figure]:
    """What is counted beside texts, of a span, by hour if so asked."""
    whole, rest = _whole_hours(tx, span)
    found: Counter[tuple[int, str, str]] = Counter()
    for part in rest:
        since, until = part.since or _EPOCH, part.until or instant(_LAST)
        for row in _spells(tx, since, until) + _replies(tx, since, until):
            if _is_in(row, span):
                hour, _, what, name, many = row
                found[hour if by_hour else 0, what, name] += many
    if whole:
        # Sites are added up where they lie: a row for each of them, and each hour of a quarter, would be many to fetch.
        columns = [figures.c.hour if by_hour else sa.literal_column("0").label("hour"), figures.c.what, figures.c.name]
        groups = columns if by_hour else columns[1:]
        query = sa.select(*columns, sa.func.sum(figures.c.many).label("sum"))
        for total in tx.all(query.where(*_of(figures, whole, span)).group_by(*groups)):
            found[total.hour, total.what, total.name] += int(total.sum)
    return [Figure(*key, many) for key, many in found.items()]


def counted_at(tx: Transaction, span: Span) -> datetime | None:
    """As of when the counts of a span hold; None where everything is counted there and then."""
    whole, _ = _whole_hours(tx, span)
    if not whole:
        return None
    near = sa.func.max(tallied.c.at, type_=tallied.c.at.type)
    at: datetime | None = tx.value(sa.select(near).where(tallied.c.hour >= whole.start, tallied.c.hour < whole.stop))
    return at


# The facets of the log: how many texts each further choice would leave.

LONG = timedelta(days=92)
FACETS = ("state", "reason", "code", "class_", "site_id")


@dataclass(frozen=True, slots=True)
class Facets:
    """How many texts match a filter, and how many would with another choice of each facet.

    `hours` are by hour, whatever hour of the day was chosen; none over a long time with many texts, which would be as
    dear as all the rest. `counted_at` is None where they were counted now.
    """

    total: int
    by: Mapping[str, Mapping[Any, int]]
    hours: Mapping[int, int]
    counted_at: datetime | None


def facets(tx: Transaction, wanted: LogFilter) -> Facets:
    """The facets of a filter of the log; where its page begins does not matter."""
    open_ = replace(wanted, state=None, reason=None, code=None, class_=None, site=None, hours=None)
    span = Span(wanted.since, wanted.until, wanted.sites)
    special = any((wanted.plan, wanted.patient, wanted.number, wanted.sid, wanted.text, wanted.state == "held"))
    chosen = _choices(wanted)
    if special or not _whole_hours(tx, span)[0]:
        held = replace(open_, state="held") if wanted.state == "held" else open_
        every = list(starmap(Cell, _rows(tx, *matching(held))))
        hours: Counter[int] = Counter()
        for cell in every:
            if all(getattr(cell, name) in choice for name, choice in chosen.items()):
                hours[cell.hour] += cell.many
        inside = [cell for cell in every if wanted.hours is None or cell.hour in wanted.hours]
        return _facets(inside, chosen, hours, None)
    only = {("class" if name == "class_" else name): choice for name, choice in chosen.items()}
    inside = cells(tx, replace(span, hours=wanted.hours))
    is_long = wanted.since is None or wanted.until is None or wanted.until - wanted.since > LONG
    return _facets(inside, chosen, {} if is_long else by_hour(tx, span, **only), counted_at(tx, span))


def _facets(
    among: Iterable[Cell],
    chosen: Mapping[str, tuple[Any, ...]],
    hours: Mapping[int, int],
    at: datetime | None,
) -> Facets:
    by: dict[str, Counter[Any]] = {facet: Counter() for facet in FACETS}
    total = 0
    for cell in among:
        value = {name: getattr(cell, name) for name in FACETS}
        differs = {name for name, choice in chosen.items() if value[name] not in choice}
        if not differs:
            total += cell.many
        for facet in FACETS:
            # A text that met a code is counted once without it, and once for each code it met.
            others = differs - {facet} if facet != "code" or cell.code else {"code"}
            if not others and value[facet]:
                by[facet][value[facet]] += cell.many
    return Facets(total, by, hours, at)


def _choices(wanted: LogFilter) -> dict[str, tuple[Any, ...]]:
    """Facet → the values that were chosen; code 0 counts every text."""
    states = HANDED_OVER if wanted.state == "handed_over" else (wanted.state,)
    found: dict[str, tuple[Any, ...]] = {"code": (wanted.code or 0,)}
    if wanted.state not in {None, "held"}:
        found["state"] = states
    one = {"reason": wanted.reason, "class_": wanted.class_, "site_id": wanted.site}
    return found | {name: (value,) for name, value in one.items() if value is not None}


def hours_of_day(tx: Transaction, hour: int, zone: str, span: Span) -> list[int]:
    """The hours of a span, counted from 1970, that begin in that hour of the day on the wall clock of `zone`."""
    column = texts.c.opens_at
    since = span.since or tx.value(sa.select(sa.func.min(column, type_=column.type)))
    until = span.until or tx.value(sa.select(sa.func.max(column, type_=column.type)))
    if since is None or until is None:
        return []
    return [one for one in range(hour_at(since), hour_at(until) + 1) if hour_of_day(one, zone) == hour]


def hour_of_day(hour: int, zone: str) -> int:
    """The hour of the day on the wall clock of `zone` in which an hour, counted from 1970, begins."""
    offsets = _offsets(hour // 24, zone)
    return (hour + (offsets[0] if offsets[0] == offsets[1] else _offset(hour, zone))) % 24


@lru_cache(maxsize=4096)  # a page asks for every hour of a year or two
def _offsets(day: int, zone: str) -> tuple[int, int]:
    return _offset(24 * day, zone), _offset(24 * day + 23, zone)


def _offset(hour: int, zone: str) -> int:
    return (to_wall(instant(hour), zone).replace(tzinfo=UTC) - instant(hour)) // _HOUR


_LAST = hour_at(datetime(2200, 1, 1, tzinfo=UTC))


def _is_in(row: tuple[Any, ...], span: Span) -> bool:
    return (span.sites is None or row[1] in span.sites) and (span.hours is None or row[0] in span.hours)


def _of(table: sa.Table, whole: range, span: Span) -> list[sa.ColumnElement[bool]]:
    found: list[sa.ColumnElement[bool]] = [table.c.hour >= whole.start, table.c.hour < whole.stop]
    if span.sites is not None:
        found.append(table.c.site_id.in_(span.sites))
    if span.hours is not None:
        found.append(table.c.hour.in_(span.hours))
    return found


def _whole_hours(tx: Transaction, span: Span) -> tuple[range, list[Span]]:
    """The hours of a span whose counts are kept, and the rest of it, which is to be counted now."""
    lowest, highest = (tx.value(sa.select(edge(tallied.c.hour))) for edge in (sa.func.min, sa.func.max))
    if lowest is None or are_few(tx, span):
        return range(0), [span]
    first = lowest if span.since is None else max(lowest, -(-(span.since - _EPOCH) // _HOUR))
    stop = highest + 1 if span.until is None else min(highest + 1, hour_at(span.until))
    if first >= stop:
        return range(0), [span]
    rest = [
        replace(span, since=since, until=until)
        for since, until in ((span.since, instant(first)), (instant(stop), span.until))
        if since is None or until is None or since < until
    ]
    mine = sa.select(tallied.c.hour).where(tallied.c.hour >= first, tallied.c.hour < stop)
    if tx.value(sa.select(sa.func.count()).select_from(mine.subquery())) != stop - first:
        counted = {row.hour for row in tx.all(mine)}
        holes = [hour for hour in range(first, stop) if hour not in counted]
        rest += [replace(span, since=instant(a), until=instant(b + 1)) for a, b in stretches(holes, at_most=_LAST)]
    return range(first, stop), rest


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


def percentile(spells: Mapping[str, int], part: float) -> float | None:
    """The seconds that so large a part of them did not exceed, evened out within a bound; None for none at all.

    What took longer than the last bound is given as twice that.
    """
    total = sum(spells.values())
    if not total:
        return None
    wanted, passed, below = part * total, 0, 0.0
    for bound in (*BOUNDS, 2 * BOUNDS[-1]):
        many = spells.get(str(bound) if bound in BOUNDS else MORE, 0)
        if many and passed + many >= wanted:
            return round(below + (bound - below) * max(0.0, wanted - passed) / many, 1)
        passed, below = passed + many, float(bound)
    return None
