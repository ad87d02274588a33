"""Programs: named templates of a plan, kept as data in `programs/*.toml` (docs/domain.md: P-1 to P-16).

A file has `title`, `source` and its `[[series]]`; none of it ever appears in a text. A series names its weeks as
`weeks = [1, 2, 6]`, or as `from_week`, `to_week` and optionally `every_weeks`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib import resources
from itertools import pairwise
from math import gcd
from types import MappingProxyType
from typing import Any, Literal

from reminders.plans.kinds import Kind, Mode
from reminders.plans.recurrence import Series

_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True, kw_only=True)
class ProgramSeries:
    """One component of a program.

    `weeks` are the weeks in which it meets, ascending, counted from 1 at the program's first day. A `monthly` series
    meets once in each of their months, on the same weekday of the month as its first date. No `weekdays` means the
    weekday of the program's first day. `minutes` is None if the source gives no length. The program leaves the time of
    day open, but a series may be tied to an earlier one (`beside`), `minutes_later` than it. `step` is the staff's name
    for the step that the series belongs to; the series is `tentative` until staff confirm that step (P-16). It takes
    place in person unless the source says otherwise (`how`).
    """

    key: str
    kind: Kind
    weeks: tuple[int, ...]
    monthly: bool = False
    weekdays: tuple[str, ...] = ()
    minutes: int | None = None
    beside: str | None = None
    minutes_later: int = 0
    step: str | None = None
    how: Mode = Mode.IN_PERSON
    status: Literal["booked", "tentative"] = "booked"

    @property
    def from_week(self) -> int:
        """The week of the first session."""
        return self.weeks[0]

    @property
    def to_week(self) -> int:
        """The last week in which there may be a session."""
        return self.weeks[-1]

    @property
    def sessions(self) -> int:
        """The number of sessions; a monthly series has three in 13 weeks."""
        return len(self.weeks) * 3 // 13 if self.monthly else len(self.weeks) * max(len(self.weekdays), 1)


@dataclass(frozen=True, kw_only=True)
class Program:
    """A named template of a plan. `title` is for staff; `source` says where its cadence comes from."""

    key: str
    title: str
    source: str
    series: tuple[ProgramSeries, ...]

    @property
    def weeks(self) -> int:
        """The length of the program in weeks."""
        return max(series.to_week for series in self.series)

    @property
    def sessions(self) -> int:
        """The number of sessions, including those of tentative steps."""
        return sum(series.sessions for series in self.series)

    @property
    def time_names(self) -> frozenset[str]:
        """The names that can be given a time: the key and the kind of every series."""
        return frozenset(name for series in self.series for name in (series.key, series.kind.value))

    def times(self, given: Mapping[str, time]) -> dict[str, time | None]:
        """The time of day of each series by its key, from the times `given` by series key or by kind; None is open.

        A time by key wins over one by kind, and either wins over `beside`.
        """
        times: dict[str, time | None] = {}
        for series in self.series:
            at = given.get(series.key) or given.get(series.kind)
            beside = times.get(series.beside or "")
            if at is None and beside is not None:
                at = (datetime.combine(date.min, beside) + timedelta(days=1, minutes=series.minutes_later)).time()
            times[series.key] = at
        return times

    def open_times(self, given: Mapping[str, time]) -> tuple[ProgramSeries, ...]:
        """The series that still need a time of day, without those tied to another series."""
        times = self.times(given)
        return tuple(series for series in self.series if times[series.key] is None and series.beside is None)


@cache
def programs() -> Mapping[str, Program]:
    """Every program, by its key."""
    found: dict[str, Program] = {}
    for file in resources.files("reminders.plans").joinpath("programs").iterdir():
        if file.name.endswith(".toml"):
            table = tomllib.loads(file.read_text(encoding="utf-8"))
            series = tuple(map(_series, table.pop("series")))
            key = file.name.removesuffix(".toml")
            found[key] = Program(key=key, series=series, **table)
    return MappingProxyType(dict(sorted(found.items())))


def _series(table: dict[str, Any]) -> ProgramSeries:
    """One `[[series]]` of a file. Raises TypeError for an unknown name."""
    if "weeks" not in table:
        last = table.pop("to_week") + 1
        table["weeks"] = range(table.pop("from_week"), last, table.pop("every_weeks", 1))
    weeks, weekdays = tuple(table.pop("weeks")), tuple(table.pop("weekdays", ()))
    how = Mode(table.pop("how", Mode.IN_PERSON))
    return ProgramSeries(kind=Kind(table.pop("kind")), weeks=weeks, weekdays=weekdays, how=how, **table)


def expand(program: Program, starts_on: date, times: Mapping[str, time]) -> list[Series]:
    """The series of a program whose week 1 starts on `starts_on`, at the `times` given by series key or by kind.

    They are in the program's order and named `<program>.<series>`. Raises ValueError if a time is open.
    """
    at = program.times(times)
    expanded = []
    for item in program.series:
        starts_at = at[item.key]
        if starts_at is None:
            raise ValueError(f"{program.key} leaves the time of {item.key} open")
        first, rule, skip = _dates(item, starts_on)
        expanded.append(
            Series(
                key=f"{program.key}.{item.key}",
                kind=item.kind,
                starts=datetime.combine(first, starts_at),
                repeats=rule,
                minutes=item.minutes,
                how=item.how,
                skip=skip,
                status=item.status,
            )
        )
    return expanded


def _dates(item: ProgramSeries, starts_on: date) -> tuple[date, str, tuple[date, ...]]:
    """The first date of a component, its RRULE, and the dates of the rule to skip."""
    weekdays = item.weekdays or (_WEEKDAYS[starts_on.weekday()],)
    first = _days(starts_on, item.from_week, weekdays)[0]
    if item.monthly:
        # Not every month has a fifth Monday; every month has a last one.
        place = (first.day + 6) // 7 if first.day <= 28 else -1
        return first, f"FREQ=MONTHLY;BYDAY={place}{_WEEKDAYS[first.weekday()]};COUNT={item.sessions}", ()
    step = gcd(*(later - earlier for earlier, later in pairwise(item.weeks))) or 1
    spanned = range(item.from_week, item.to_week + 1, step)
    # A program's weeks start on the weekday of its first day. A rule with an interval needs the same start of week.
    every = f"INTERVAL={step};WKST={_WEEKDAYS[starts_on.weekday()]};" if step > 1 else ""
    rule = f"FREQ=WEEKLY;{every}BYDAY={','.join(weekdays)};COUNT={len(spanned) * len(weekdays)}"
    skip = tuple(day for week in spanned if week not in item.weeks for day in _days(starts_on, week, weekdays))
    return first, rule, skip


def _days(starts_on: date, week: int, weekdays: tuple[str, ...]) -> list[date]:
    """The dates of one week of a program that fall on these weekdays."""
    days = [starts_on + timedelta(weeks=week - 1, days=day) for day in range(7)]
    return [day for day in days if _WEEKDAYS[day.weekday()] in weekdays]
