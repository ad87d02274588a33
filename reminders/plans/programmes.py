"""Programmes: named templates of a plan, kept as data in `programmes/*.toml` (domain-rules §2)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib import resources
from types import MappingProxyType

from reminders.plans.kinds import Kind
from reminders.plans.recurrence import Series

_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True)
class ProgrammeSeries:
    """One component of a programme, in weeks counted from 1.

    No `weekdays` means the weekday of the programme's first day. The time of day is `at`, or the time of the series
    named `beside` plus `minutes_later`; with neither the programme leaves it open. A time given for a plan beats all.
    """

    key: str
    kind: Kind
    minutes: int
    from_week: int
    to_week: int
    weekdays: tuple[str, ...] = ()
    at: time | None = None
    beside: str | None = None
    minutes_later: int = 0


@dataclass(frozen=True)
class Programme:
    """A named template of a plan. `title` is for staff; `source` says where its cadence comes from."""

    key: str
    title: str
    source: str
    series: tuple[ProgrammeSeries, ...]

    def times(self, given: Mapping[str, time]) -> dict[str, time | None]:
        """The time of day of each series by its key, under the times `given` by series key or by kind; None is open."""
        times: dict[str, time | None] = {}
        for series in self.series:
            at = given.get(series.key) or given.get(series.kind) or series.at
            beside = times.get(series.beside or "")
            if at is None and beside is not None:
                at = (datetime.combine(date.min, beside) + timedelta(days=1, minutes=series.minutes_later)).time()
            times[series.key] = at
        return times


@cache
def programmes() -> Mapping[str, Programme]:
    """Every programme there is, by its key."""
    found: dict[str, Programme] = {}
    for file in resources.files("reminders.plans").joinpath("programmes").iterdir():
        if file.name.endswith(".toml"):
            table = tomllib.loads(file.read_text(encoding="utf-8"))
            series = tuple(
                ProgrammeSeries(**{**item, "kind": Kind(item["kind"]), "weekdays": tuple(item.get("weekdays", ()))})
                for item in table.pop("series")
            )
            key = file.name.removesuffix(".toml")
            found[key] = Programme(key=key, series=series, **table)
    return MappingProxyType(dict(sorted(found.items())))


def expand(programme: Programme, starts_on: date, times: Mapping[str, time]) -> list[Series]:
    """The series of a programme whose week 1 starts on `starts_on`, at the `times` given by series key or by kind.

    Their keys are `<programme>.<series>`. ValueError when a time is left open.
    """
    at = programme.times(times)
    expanded = []
    for item in programme.series:
        starts_at = at[item.key]
        if starts_at is None:
            raise ValueError(f"{programme.key} leaves the time of {item.key} open")
        week = starts_on + timedelta(weeks=item.from_week - 1)
        weekdays = item.weekdays or (_WEEKDAYS[week.weekday()],)
        first = next(
            day for day in (week + timedelta(days=n) for n in range(7)) if _WEEKDAYS[day.weekday()] in weekdays
        )
        count = len(weekdays) * (item.to_week - item.from_week + 1)
        expanded.append(
            Series(
                key=f"{programme.key}.{item.key}",
                kind=item.kind,
                starts=datetime.combine(first, starts_at),
                repeats=f"FREQ=WEEKLY;BYDAY={','.join(weekdays)};COUNT={count}",
                minutes=item.minutes,
            )
        )
    return expanded
