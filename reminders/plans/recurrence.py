"""A series and its dates.

Dates are computed on the naive wall clock, and the zone is attached last (I-40): a weekly 18:00 stays 18:00 when
clocks change.
"""

import calendar
import re
from bisect import bisect
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from itertools import islice, takewhile
from typing import Annotated, Any, Literal

from dateutil import rrule
from pydantic import BeforeValidator, Field

from reminders.plans.fields import (
    Day,
    Distinct,
    KindName,
    LeadText,
    ModeName,
    Moves,
    Ref,
    Remark,
    Section,
    Some,
    UnfitError,
    Wall,
    Zone,
    choice,
    whole_number,
)
from reminders.plans.kinds import Mode
from reminders.plans.walltime import to_instant

_FREQUENCIES = {"DAILY": rrule.DAILY, "WEEKLY": rrule.WEEKLY, "MONTHLY": rrule.MONTHLY, "YEARLY": rrule.YEARLY}
_WEEKDAYS = {
    "MO": rrule.MO,
    "TU": rrule.TU,
    "WE": rrule.WE,
    "TH": rrule.TH,
    "FR": rrule.FR,
    "SA": rrule.SA,
    "SU": rrule.SU,
}
# Part → dateutil's argument, the largest absolute value, whether it may count from the end.
_LISTS = {
    "BYMONTH": ("bymonth", 12, False),
    "BYMONTHDAY": ("bymonthday", 31, True),
    "BYYEARDAY": ("byyearday", 366, True),
    "BYWEEKNO": ("byweekno", 53, True),
    "BYSETPOS": ("bysetpos", 366, True),
}
# RFC 5545 §3.3.10: where a part is not allowed. dateutil would accept it and give dates no one meant.
_MISPLACED = {
    "BYMONTHDAY": {"WEEKLY"},
    "BYYEARDAY": {"DAILY", "WEEKLY", "MONTHLY"},
    "BYWEEKNO": {"DAILY", "WEEKLY", "MONTHLY"},
}


@dataclass(frozen=True)
class Rule:
    """A parsed RRULE. `arguments` are dateutil's; `until` is a whole day, a wall clock (naive) or an instant (UTC)."""

    arguments: Mapping[str, Any]
    until: date | None = None

    def walls(self, starts: datetime, zone: str) -> Iterator[datetime]:
        """The wall-clock times of the rule from `starts` (naive) on, in order; endless if the rule is."""
        walls = iter(rrule.rrule(dtstart=starts, **self.arguments))
        return takewhile(lambda wall: not self._ended(wall, zone), walls)

    def first(self, starts: datetime) -> datetime | None:
        """The first wall-clock time of the rule on or after `starts`, ignoring UNTIL; None if there is none.

        dateutil searches up to the year 9999, which takes three seconds for a rule without dates. The calendar repeats
        every 400 years, weekdays included, so the search begins at the latest equivalent day.
        """
        shift = (9999 - starts.year) // 400 * 400
        late = next(iter(rrule.rrule(dtstart=starts.replace(year=starts.year + shift), **self.arguments)), None)
        return late and late.replace(year=late.year - shift)

    def _ended(self, wall: datetime, zone: str) -> bool:
        if self.until is None:
            return False
        if not isinstance(self.until, datetime):
            return wall.date() > self.until
        if self.until.tzinfo is None:
            return wall > self.until
        return to_instant(wall, zone) > self.until


@lru_cache(maxsize=1024)
def parse_rule(text: str) -> Rule:
    """Parse an RRULE (RFC 5545 §3.3.10) of days or longer. Raises UnfitError for anything else."""
    parts = _parts(text)
    frequency = parts.pop("FREQ", "")
    if frequency in {"HOURLY", "MINUTELY", "SECONDLY"} or parts.keys() & {"BYHOUR", "BYMINUTE", "BYSECOND"}:
        raise UnfitError("is finer than a day; `starts` has the time of day, so make one series for each time")
    if frequency not in _FREQUENCIES:
        raise UnfitError(f"must say FREQ=, one of {', '.join(_FREQUENCIES)}")
    for name in parts:
        if frequency in _MISPLACED.get(name, ()):
            raise UnfitError(f"{name} cannot be used with FREQ={frequency}")
    if {"COUNT", "UNTIL"} <= parts.keys():
        raise UnfitError("COUNT and UNTIL cannot be used together; keep one")
    if "BYSETPOS" in parts and not parts.keys() & {"BYDAY", "BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"}:
        raise UnfitError("BYSETPOS chooses among the days of another BY… part; add one, such as BYDAY")
    if "BYWEEKNO" in parts and "BYDAY" not in parts:
        raise UnfitError("BYWEEKNO names whole weeks; name the day with BYDAY")
    until = _until(parts.pop("UNTIL")) if "UNTIL" in parts else None
    arguments = dict(_argument(name, value, frequency, parts) for name, value in parts.items())
    return Rule({"freq": _FREQUENCIES[frequency], **arguments}, until)


def _parts(text: str) -> dict[str, str]:
    if len(text) > 500 or not re.fullmatch(r"[A-Za-z0-9=;,+-]*", text) or "DTSTART" in text.upper():
        raise UnfitError("must be one rule such as FREQ=WEEKLY;COUNT=12 and nothing else; its start is `starts`")
    parts: dict[str, str] = {}
    for part in text.upper().removesuffix(";").split(";"):
        name, _, value = part.partition("=")
        if not name or not value:
            raise UnfitError("must be written NAME=VALUE;NAME=VALUE, such as FREQ=WEEKLY;COUNT=12")
        if name in parts:
            raise UnfitError("has the same part twice")
        parts[name] = value
    return parts


def _argument(name: str, value: str, frequency: str, parts: Mapping[str, str]) -> tuple[str, Any]:
    """One part of a rule as dateutil's argument and its value."""
    if name in _LISTS:
        argument, largest, from_end = _LISTS[name]
        return argument, [_number(name, item, largest, from_end=from_end) for item in value.split(",")]
    if name in {"INTERVAL", "COUNT"}:
        return name.lower(), _number(name, value, 1000)
    if name == "BYDAY":
        return "byweekday", [_weekday(item, frequency, parts) for item in value.split(",")]
    if name == "WKST":
        if value not in _WEEKDAYS:
            raise UnfitError(f"WKST must be one of {', '.join(_WEEKDAYS)}")
        return "wkst", _WEEKDAYS[value]
    hint = "; name skipped dates in `skip`" if name in {"EXDATE", "EXRULE"} else ""
    raise UnfitError(f"has a part that RRULE does not have{hint}")


def _number(name: str, text: str, largest: int, *, from_end: bool = False) -> int:
    number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,4}", text) else 0
    if not 1 <= (abs(number) if from_end else number) <= largest:
        sign = f", or -1 to -{largest} from the end" if from_end else ""
        raise UnfitError(f"{name} must be from 1 to {largest}{sign}")
    return number


def _weekday(text: str, frequency: str, parts: Mapping[str, str]) -> rrule.weekday:
    match = re.fullmatch(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)", text)
    if not match:
        raise UnfitError(f"BYDAY must name days as {', '.join(_WEEKDAYS)}, or as 1MO or -1FR within a month")
    day = _WEEKDAYS[match[2]]
    if not match[1]:
        return day
    if frequency not in {"MONTHLY", "YEARLY"} or "BYWEEKNO" in parts:
        raise UnfitError("BYDAY can count, as in 1MO, only within a month or a year")
    most = 5 if frequency == "MONTHLY" or "BYMONTH" in parts else 53
    return day(_number("the number before a day in BYDAY", match[1], most, from_end=True))


def _until(text: str) -> date:
    if not re.fullmatch(r"[0-9]{8}(T[0-9]{6}Z?)?", text):
        raise UnfitError("UNTIL must be a date such as 20270331, or a time such as 20270331T235959Z")
    try:
        if len(text) == 8:
            return date.fromisoformat(text)
        return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC if text.endswith("Z") else None)
    except ValueError:
        raise UnfitError("UNTIL names a date or time that does not exist") from None


def _repeats(value: object) -> str:
    if not isinstance(value, str):
        raise UnfitError('must be a rule in quotes, such as "FREQ=WEEKLY;COUNT=12"')
    rule = value.strip().upper()
    parse_rule(rule)
    return rule


class Series(Section):
    """A recurring appointment; one that does not repeat is a one-off (ARCHITECTURE.md#the-words).

    `starts` is the naive wall clock of the place and the first date of `repeats`; `zone` None means the site's.
    `move` maps the original time, to the minute, to the new wall clock. `leads` None means the default ones.
    `place`, `with_` and `session` are for staff and never in a text.
    """

    key: Ref
    kind: KindName
    starts: Wall
    zone: Zone | None = None
    repeats: Annotated[str, BeforeValidator(_repeats)] | None = None
    minutes: Annotated[int, whole_number(1, 1440)] | None = None
    place: Remark | None = None
    with_: Remark | None = Field(default=None, alias="with")
    how: ModeName = Mode.IN_PERSON
    session: Ref | None = None
    for_: Annotated[tuple[Ref, ...], Some] = Field(default=("self",), alias="for")
    skip: Annotated[tuple[Day, ...], Distinct] = ()
    move: Moves = Field(default_factory=dict)
    leads: Annotated[tuple[LeadText, ...], Some] | None = None
    status: Annotated[Literal["booked", "tentative", "cancelled"], choice("booked", "tentative", "cancelled")] = (
        "booked"
    )

    def walls(self, zone: str) -> Iterator[datetime]:
        """The original wall-clock times, including skipped and moved ones; `zone` is the default zone."""
        if self.repeats is None:
            return iter((self.starts,))
        return parse_rule(self.repeats).walls(self.starts, self.zone or zone)


@dataclass(frozen=True)
class Occurrence:
    """One date of a series. `wall` is naive, in `zone`. `recurrence_id` is the original date, or `once` for a one-off.

    `named` says whether the plan names this date itself: a one-off, or a date that it moves.
    """

    recurrence_id: str
    wall: datetime
    zone: str
    status: str
    named: bool = False


def occurrences(series: Series, *, until: date, zone: str) -> list[Occurrence]:
    """The dates of a series from its start through the day `until`, by time; `zone` is the default zone.

    A moved date is included if either the old or the new one is within. A skipped one is left out but still counts
    toward COUNT (RFC 5545 §3.8.5.1).
    """
    # A date moved forward from beyond `until` is due too.
    horizon = max((until, *(old.date() for old in series.move)))
    skipped = set(series.skip)
    found = []
    for wall in takewhile(lambda wall: wall.date() <= horizon, series.walls(zone)):
        if wall.date() in skipped:
            continue
        moved = series.move.get(wall.replace(second=0), wall)
        if min(wall, moved).date() <= until:
            recurrence_id = "once" if series.repeats is None else wall.date().isoformat()
            named = series.repeats is None or wall.replace(second=0) in series.move
            found.append(Occurrence(recurrence_id, moved, series.zone or zone, series.status, named))
    return sorted(found, key=lambda occurrence: (occurrence.wall, occurrence.recurrence_id))


def check_dates(series: Series, zone: str) -> Iterator[tuple[str, str]]:
    """The problems of a series' dates as a whole, as (field, problem in plain words). `zone` is the default."""
    if problem := _check_start(series, zone):
        yield "repeats", problem
        return
    named = [*series.skip, *(old.date() for old in series.move)]
    if not named:
        return
    # No plan reaches beyond this, and an endless daily rule would never finish.
    last = min(max(named), series.starts.date() + timedelta(days=20 * 366))
    days: dict[date, datetime] = {}
    for wall in series.walls(zone):
        days[wall.date()] = wall
        if wall.date() > last:
            break
    ordered = list(days)
    for index, day in enumerate(series.skip):
        if day not in days:
            yield f"skip[{index}]", _no_such_day(day, ordered)
    for old in series.move:
        if old.date() not in days:
            yield f"move.{old:%Y-%m-%dT%H:%M}", _no_such_day(old.date(), ordered)
        elif problem := _check_move(old, days[old.date()], series.skip):
            yield f"move.{old:%Y-%m-%dT%H:%M}", problem


LONG_BEFORE = timedelta(days=60)  # a date further before the discharge than this usually has last year's year
_FAR = timedelta(days=183)


def dates(series: Series, zone: str) -> Iterator[date]:
    """The actual days of a series, with skips and moves applied; endless if the rule is."""
    skipped = set(series.skip)
    for wall in series.walls(zone):
        if wall.date() not in skipped:
            yield series.move.get(wall.replace(second=0), wall).date()


def check_years(series: Series) -> Iterator[tuple[str, str]]:
    """Dates moved so far that the year must be wrong, as (field, problem in plain words)."""
    for old, new in series.move.items():
        if abs(new - old) > _FAR:
            yield f"move.{old:%Y-%m-%dT%H:%M}", "is moved by more than half a year; check the year"


_MONTHS = ("", *calendar.month_name[1:])


def left_out(series: Series) -> str | None:
    """The months, in words, that a monthly rule leaves out unintentionally; None if there are none."""
    if series.repeats is None:
        return None
    rule = parse_rule(series.repeats)
    parts = _parts(series.repeats)
    step = int(parts.get("INTERVAL", "1"))
    if parts["FREQ"] == "YEARLY":
        days = parts.get("BYMONTHDAY", "").split(",")
        months = parts.get("BYMONTH", "").split(",")
        on_leap_day = (series.starts.month, series.starts.day) == (2, 29) and not parts.keys() & _BY
        if on_leap_day or (days == ["29"] and months == ["2"]):
            return "no date in years without February 29; the last day of February is BYMONTH=2;BYMONTHDAY=-1"
        return None
    if parts["FREQ"] != "MONTHLY" or not step or parts.get("COUNT") == "1":
        return None
    by_weekday = "BYDAY" in parts
    expected = {int(month) for month in parts["BYMONTH"].split(",")} if "BYMONTH" in parts else set(range(1, 13))
    first = series.starts.year * 12 + series.starts.month - 1
    endless = {name: value for name, value in rule.arguments.items() if name != "count"}
    found = {
        wall.year * 12 + wall.month - 1
        for wall in takewhile(
            lambda wall: wall.year < series.starts.year + 5, rrule.rrule(dtstart=series.starts, **endless)
        )
    }
    last_year = series.starts.year + 5
    if (agreed := _last_month(series)) is not None:
        last_year = min(last_year, agreed // 12 + 1)
    missing = [
        month
        for month in range(first, last_year * 12, step)
        if month % 12 + 1 in expected and month not in found and (agreed is None or month < agreed)
    ]
    if not missing:
        return None
    if by_weekday:
        return "no date in months without a fifth such weekday; the last one is -1, as in BYDAY=-1FR"
    named = ", ".join(_MONTHS[month] for month in sorted({month % 12 + 1 for month in missing}))
    some = " of some years" if named == "February" and parts.get("BYMONTHDAY", str(series.starts.day)) == "29" else ""
    return f"no date in {named}{some}; the last day of a month is BYMONTHDAY=-1"


_BY = {"BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYMONTH"}


def _last_month(series: Series) -> int | None:
    """The month of the series' last date, counted from year 0; None for an endless series."""
    assert series.repeats is not None
    if not {"COUNT", "UNTIL"} & _parts(series.repeats).keys():
        return None
    last = series.starts
    for wall in islice(series.walls(series.zone or "Etc/UTC"), 1000):
        last = wall
    return last.year * 12 + last.month - 1


def _check_start(series: Series, zone: str) -> str | None:
    if series.repeats is None:
        return None
    first = parse_rule(series.repeats).first(series.starts)
    if first is None:
        return "never gives a date"
    # RFC 5545 §3.8.5.3 does not define a start outside its own rule.
    if first != series.starts:
        return (
            f"does not fall on `starts`, {series.starts:%A %Y-%m-%d}; it first gives {first:%A %Y-%m-%d}:"
            " start then, or change the rule"
        )
    if next(series.walls(zone), None) is None:
        return "UNTIL is before `starts`, so there is no date"
    return None


def _check_move(old: datetime, wall: datetime, skipped: Collection[date]) -> str | None:
    if wall.replace(second=0) != old:
        return f"the series is at {wall:%H:%M} on that date, not at {old:%H:%M}"
    if old.date() in skipped:
        return "the same date is skipped as well; do one or the other"
    return None


def _no_such_day(day: date, days: list[date]) -> str:
    place = bisect(days, day)
    near = " and ".join(str(found) for found in days[max(place - 1, 0) : place + 1])
    return f"the series has nothing on {day}; nearest: {near}"
