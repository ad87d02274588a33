"""Match visits when an edit of a plan renames them: a one-off made weekly, a new key, another weekday.

Readers know visits, not keys, so renaming a visit is not news to them (docs/design.md#natural-keys).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from reminders.plans import Kind

NEARBY = timedelta(days=7)  # anything closer is the same week's visit on another weekday

Name = tuple[int, str]  # a series and the recurrence id in it


@dataclass(frozen=True, slots=True)
class Leaving:
    """A visit that an edit no longer names.

    `wall` and `starts_at` are its time on the place's wall clock and as an instant. `agreed_at` is the time in the
    plan, None if the plan itself canceled the visit. `known_at` is the time its readers believe, None if they know
    that it is off. `on` is False for a canceled visit.
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
    """A visit that an edit names for the first time, or names again after the plan itself had canceled it."""

    name: Name
    wall: datetime
    starts_at: datetime
    kind: Kind
    readers: frozenset[str]


def renamed(leaving: Sequence[Leaving], arriving: Sequence[Arriving], now: datetime) -> dict[int, Name]:
    """Leaving visit → its new name, one to one, whatever the order of the two lists.

    The first choice is a visit that its readers believe to be at the same instant, so that undoing an edit sends no
    notice. Next come the same instant in the old plan, the same instant now, the same day, the same kind in the same
    week, and the same kind less than seven days away. A visit without a match is canceled.
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
    """How likely these are the same visit: 0 is the most likely, None is not at all."""
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
    # Readers get a notice of the new time, so the person and the consent must be the same.
    if ("self" in old.readers) != ("self" in new.readers) or old.kind.category("self") != new.kind.category("self"):
        return None
    if old.wall.date() == new.wall.date():
        return 3
    if old.kind != new.kind or new.starts_at <= now:
        return None
    if old.wall.isocalendar()[:2] == new.wall.isocalendar()[:2]:
        return 4
    return 5 if abs(new.starts_at - old.starts_at) < NEARBY else None
