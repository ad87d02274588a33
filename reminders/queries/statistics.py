"""How much of what: the numbers that the health page, `reminders stats`, the API and /metrics show, and their count."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise, starmap
from types import MappingProxyType
from typing import Any

from reminders import plans, store
from reminders.lifecycle import HANDED_OVER, State
from reminders.queries.counts import Span, cells, counted_at, measured, percentile
from reminders.store import Database
from reminders.store.operations.tallies import hour_at, instant
from reminders.store.sending.costs import Cost

STOPS = ("stop", "stop_asked")


RANGES: Mapping[str, tuple[int, int]] = MappingProxyType({"24h": (0, 1), "7d": (7, 1), "30d": (30, 1), "90d": (91, 7)})
"""Range → (days, days in one point of a chart); the last 24 hours by the hour."""


@dataclass(slots=True)
class Point:
    """What there is of one hour, day or week of the site's wall clock: from `since` on and before `until`."""

    since: datetime
    until: datetime
    states: Counter[str] = field(default_factory=Counter)
    segments: int = 0
    replies: int = 0
    stops: int = 0
    lags: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)

    @property
    def handed_over(self) -> int:
        """Texts that Twilio took and has not said to have failed. Handed over is not delivered."""
        return sum(self.states[state] for state in HANDED_OVER)

    @property
    def delivered(self) -> int:
        """Texts whose delivery the phone network confirmed."""
        return self.states["delivered"]

    @property
    def not_delivered(self) -> int:
        """Texts that Twilio refused for good, or that did not arrive."""
        return self.states["undelivered"]

    @property
    def delivery_rate(self) -> float | None:
        """The part of those known to have ended that was delivered; None where none has."""
        ended = self.delivered + self.not_delivered
        return round(self.delivered / ended, 4) if ended else None

    @property
    def lag(self) -> tuple[float | None, float | None]:
        """Seconds from a window's opening to the hand-over: of half of the texts, and of 95 in 100, at most."""
        return percentile(self.lags, 0.5), percentile(self.lags, 0.95)

    @property
    def word(self) -> tuple[float | None, float | None]:
        """The same from the hand-over to Twilio's word of how it ended."""
        return percentile(self.words, 0.5), percentile(self.words, 0.95)


@dataclass(slots=True)
class Numbers:
    """The numbers of a range, in all and by point. `counted_at` is None where they hold as of this moment.

    `reasons` are why texts were not sent, `codes` how many texts met each of Twilio's codes.
    """

    range: str
    site: str | None
    zone: str
    counted_at: datetime | None
    whole: Point
    points: list[Point]
    classes: Counter[str]
    reasons: Counter[str]
    codes: Counter[int]
    meanings: Counter[str]
    cost: Cost

    def as_json(self) -> dict[str, Any]:
        """As command line and API give them."""
        return {
            "range": self.range,
            "site": self.site,
            "zone": self.zone,
            "counted_at": self.counted_at,
            **_as_json(self.whole),
            "states": dict(sorted(self.whole.states.items())),
            "classes": dict(sorted(self.classes.items())),
            "not_sent_because": dict(self.reasons.most_common()),
            "codes": {str(code): many for code, many in self.codes.most_common()},
            "meanings": dict(self.meanings.most_common()),
            "cost": self.cost.as_json(),
            "points": [_as_json(point) for point in self.points],
        }


def _as_json(point: Point) -> dict[str, Any]:
    (lag_50, lag_95), (word_50, word_95) = point.lag, point.word
    return {
        "since": point.since,
        "until": point.until,
        "handed_over": point.handed_over,
        "delivered": point.delivered,
        "not_delivered": point.not_delivered,
        "delivery_rate": point.delivery_rate,
        "segments": point.segments,
        "replies": point.replies,
        "stops": point.stops,
        "lag_seconds": {"p50": lag_50, "p95": lag_95},
        "word_seconds": {"p50": word_50, "p95": word_95},
    }


def numbers(
    tx: store.Transaction,
    now: datetime,
    *,
    range_: str,
    zone: str,
    sites: Collection[int] | None = None,
    site: str | None = None,
    price: float | None = None,
) -> Numbers:
    """The numbers of the last 24 hours (`24h`), of so many days up to today (`7d`, `30d`, `90d`), or of `all` time.

    Hours and days are those of `zone`; `sites` are the sites counted (None: all), `site` the key that was asked for.
    `price` is that of a segment until Twilio says what it billed.
    """
    points = list(starmap(Point, _edges(now, range_, zone)))
    span = Span(points[0].since, points[-1].until, sites) if points else Span(sites=sites)
    whole = Point(span.since or instant(0), span.until or now)
    cost = store.costs.total(tx, since=whole.since, until=whole.until, price=price, places=sites)
    at = counted_at(tx, span)
    found = Numbers(range_, site, zone, at, whole, points, Counter(), Counter(), Counter(), Counter(), cost)
    of_hour = _by_hour(points)
    for cell in cells(tx, span, by_hour=bool(points)):
        if cell.code:
            found.codes[cell.code] += cell.many
            continue
        found.classes[cell.class_] += cell.many
        if cell.reason:
            found.reasons[cell.reason] += cell.many
        for point in filter(None, (whole, of_hour.get(cell.hour))):
            point.states[cell.state] += cell.many
            point.segments += cell.segments
    for figure in measured(tx, span, by_hour=bool(points)):
        if figure.what == "reply":
            found.meanings[figure.name] += figure.many
        for point in filter(None, (whole, of_hour.get(figure.hour))):
            if figure.what == "reply":
                point.replies += figure.many
                point.stops += figure.many if figure.name in STOPS else 0
            else:
                (point.lags if figure.what == "lag" else point.words)[figure.name] += figure.many
    return found


def _edges(now: datetime, range_: str, zone: str) -> list[tuple[datetime, datetime]]:
    """Where the points of a range begin and end, the earliest first; the last one holds `now`."""
    if range_ not in RANGES:
        return []
    days, step = RANGES[range_]
    if not days:
        last = hour_at(now)
        return [(instant(hour), instant(hour + 1)) for hour in range(last - 23, last + 1)]
    tomorrow = datetime.combine(plans.to_wall(now, zone).date() + timedelta(days=1), time(0))
    walls = [tomorrow - timedelta(days=back) for back in range(days, -1, -step)]
    starts = [plans.to_instant(wall, zone).astimezone(UTC) for wall in walls]
    return list(pairwise(starts))


def _by_hour(points: list[Point]) -> dict[int, Point]:
    return {
        hour: point
        for point in points
        for hour in range(hour_at(point.since), hour_at(point.until - timedelta(microseconds=1)) + 1)
    }


def states(tx: store.Transaction, sites: Collection[int] | None = None) -> dict[str, int]:
    """How many texts of all time, of these sites (None: all), stand in each state that has any: the range `all`."""
    found: Counter[str] = Counter()
    for cell in cells(tx, Span(sites=sites)):
        found[cell.state] += cell.many if not cell.code else 0
    return dict(found)


@dataclass(frozen=True, slots=True)
class Figures:
    """How many texts and open tasks there are at this moment, for /metrics and the API."""

    texts: dict[str, int]
    tasks: dict[str, int]


def figures(database: Database, sites: Collection[int] | None = None) -> Figures:
    """The figures of these sites (None: all). Texts of every state are named, and tasks of every urgency."""

    def look(tx: store.Transaction) -> tuple[dict[str, int], dict[str, int]]:
        return states(tx, sites), store.tasks.open_by_urgency(tx, sites)

    texts, tasks = database.read(look)
    return Figures(
        texts={state.value: texts.get(state.value, 0) for state in State},
        tasks={urgency: tasks.get(urgency, 0) for urgency in ("urgent", "soon", "normal")},
    )
