"""How many texts there are, by hour, site, class, state, reason and code: for the log's facets, charts and figures."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import starmap
from typing import Any

import sqlalchemy as sa

from reminders.lifecycle import HANDED_OVER
from reminders.plans import to_wall
from reminders.queries.texts import LogFilter, matching
from reminders.store.database.engine import Transaction
from reminders.store.database.schema import (
    figures,
    hour_of,
    reply_counts,
    tallied,
    tallies,
    texts,
)
from reminders.store.operations.tallies import (
    BOUNDS,
    EPOCH,
    HOUR,
    MORE,
    FigureRow,
    hour_at,
    instant,
    kept_reply_rows,
    replies_between,
    spells,
    stretches,
    text_rows,
)

FEW = 20_000  # texts that are counted there and then


FACETS = ("state", "reason", "code", "class_", "site_id")


LONG = timedelta(days=92)


_LAST = hour_at(datetime(2200, 1, 1, tzinfo=UTC))


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


def are_few(tx: Transaction, span: Span) -> bool:
    """Whether there are so few texts in that span, of whatever site, that they can be counted there and then."""
    whole = Span(span.since, span.until)
    some = sa.select(sa.literal(1)).select_from(texts).where(*whole.texts()).limit(FEW + 1).subquery()
    return int(tx.value(sa.select(sa.func.count()).select_from(some))) <= FEW


def cells(tx: Transaction, span: Span, *, by_hour: bool = False) -> list[Cell]:
    """The counts of a span, by site, class, state, reason and code, and by hour if so asked."""
    whole, rest = _whole_hours(tx, span)
    rows: list[tuple[Any, ...]] = [row for part in rest for row in text_rows(tx, *part.texts())]
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
    found: Counter[int] = Counter()
    for one in (one for part in rest for one in text_rows(tx, *part.texts())):
        said = dict(zip(tallies.columns.keys(), one, strict=True))
        if all(said[name] in values for name, values in wanted.items()):
            found[one.hour] += one.many
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
        since, until = part.since or EPOCH, part.until or instant(_LAST)
        for row in spells(tx, since, until) + replies_between(tx, since, until):
            if _is_in(row, span):
                found[row.hour if by_hour else 0, row.what, row.name] += row.many
    if whole:
        # Sites are added up where they lie: a row for each of them, and each hour of a quarter, would be many to fetch.
        columns = [figures.c.hour if by_hour else sa.literal_column("0").label("hour"), figures.c.what, figures.c.name]
        groups = columns if by_hour else columns[1:]
        query = sa.select(*columns, sa.func.sum(figures.c.many).label("sum"))
        for total in tx.all(query.where(*_of(figures, whole, span)).group_by(*groups)):
            found[total.hour, total.what, total.name] += int(total.sum)
        for hour, _, what, name, many in kept_reply_rows(tx, *_of(reply_counts, whole, span)):
            found[hour if by_hour else 0, what, name] += many
    return [Figure(*key, many) for key, many in found.items()]


def counted_at(tx: Transaction, span: Span) -> datetime | None:
    """As of when the counts of a span hold; None where everything is counted there and then."""
    whole, _ = _whole_hours(tx, span)
    if not whole:
        return None
    near = sa.func.max(tallied.c.at, type_=tallied.c.at.type)
    at: datetime | None = tx.value(sa.select(near).where(tallied.c.hour >= whole.start, tallied.c.hour < whole.stop))
    return at


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
        every = list(starmap(Cell, text_rows(tx, *matching(held))))
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
    return (to_wall(instant(hour), zone).replace(tzinfo=UTC) - instant(hour)) // HOUR


def _is_in(row: FigureRow, span: Span) -> bool:
    return (span.sites is None or row.site_id in span.sites) and (span.hours is None or row.hour in span.hours)


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
    first = lowest if span.since is None else max(lowest, -(-(span.since - EPOCH) // HOUR))
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


def percentile(seconds: Mapping[str, int], part: float) -> float | None:
    """The seconds that so large a part of them did not exceed, evened out within a bound; None for none at all.

    What took longer than the last bound is given as twice that.
    """
    total = sum(seconds.values())
    if not total:
        return None
    wanted, passed, below = part * total, 0, 0.0
    for bound in (*BOUNDS, 2 * BOUNDS[-1]):
        many = seconds.get(str(bound) if bound in BOUNDS else MORE, 0)
        if many and passed + many >= wanted:
            return round(below + (bound - below) * max(0.0, wanted - passed) / many, 1)
        passed, below = passed + many, float(bound)
    return None
