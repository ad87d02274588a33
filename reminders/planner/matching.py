"""Which visit is which when an edit of a plan changes its name: a one-off made weekly, another key, another weekday.

The reader knows visits, not keys, so a visit that is only renamed is no news (docs/design.md#natural-keys).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from reminders.plans import Kind

NEARBY = timedelta(days=7)  # less than this: the same week's visit on another weekday

Name = tuple[int, str]  # a series and the recurrence id in it


@dataclass(frozen=True, slots=True)
class Leaving:
    """A visit that an edit names no more: where it is, in the place's wall clock and as an instant, and what the plan
    said of it (`agreed_at`, None where the plan itself has called it off). `known_at` is when its readers think that
    it is, None where they know that it is off. `on` is whether it is on; one that was called off is not.
    """

    id: int
    wall: datetime
    starts_at: datetime
    agreed_at: datetime | None
    kind: Kind
    readers: frozenset[str]
    on: bool = True
    known_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Arriving:
    """A visit that an edit names for the first time, or again after the plan itself had called it off."""

    name: Name
    wall: datetime
    starts_at: datetime
    kind: Kind
    readers: frozenset[str]


def renamed(leaving: Sequence[Leaving], arriving: Sequence[Arriving], now: datetime) -> dict[int, Name]:
    """Leaving visit → its new name, one to one; the same whatever the order of the two lists.

    First what its readers think is at the very same instant, so that an edit that is taken back tells nothing. Then
    what the plan said at that instant, then what is at the same instant now, then the same day, then the same kind in
    the same week, then the same kind less than seven days away. What is left over is called off.
    """
    pairs = sorted(_pairs(leaving, arriving, now), key=itemgetter(0))
    found: dict[int, Name] = {}
    taken: set[Name] = set()
    for _, old, name in pairs:
        if old not in found and name not in taken:
            found[old] = name
            taken.add(name)
    return found


def _pairs(
    leaving: Sequence[Leaving], arriving: Sequence[Arriving], now: datetime
) -> Iterator[tuple[tuple[Any, ...], int, Name]]:
    for old in leaving:
        for new in arriving:
            step = _step(old, new, now)
            if step is not None:
                likeness = (old.kind != new.kind, old.readers != new.readers, abs(new.starts_at - old.starts_at))
                yield (step, *likeness, old.starts_at, new.starts_at, old.id, new.name), old.id, new.name


def _step(old: Leaving, new: Arriving, now: datetime) -> int | None:
    """How surely they are the same visit, 0 being surest; None where they are not."""
    if not old.readers & new.readers:
        return None
    if old.known_at == new.starts_at and (old.on or old.agreed_at is None):
        return 0
    if old.agreed_at == new.starts_at:
        return 1
    if not old.on:
        return None
    if old.starts_at == new.starts_at:
        return 2
    # Another time is told, so it must be for the same person and under the same consent.
    if ("self" in old.readers) != ("self" in new.readers) or old.kind.category("self") != new.kind.category("self"):
        return None
    if old.wall.date() == new.wall.date():
        return 3
    if old.kind != new.kind or new.starts_at <= now:
        return None
    if old.wall.isocalendar()[:2] == new.wall.isocalendar()[:2]:
        return 4
    return 5 if abs(new.starts_at - old.starts_at) < NEARBY else None
