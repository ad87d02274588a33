"""How far ahead of an appointment a text is sent."""

import re
from dataclasses import dataclass
from datetime import time, timedelta
from functools import lru_cache

_AT = re.compile(r"([0-9]{1,2})d@([0-9]{1,2}):([0-9]{2})")
_BEFORE = re.compile(r"([0-9]{1,5})([dhm])")


@dataclass(frozen=True)
class Lead:
    """How far ahead a text is sent (ARCHITECTURE.md#the-words). It has one of three forms:

    - `3d@17:00`: `days` 3 and `at` 17:00, a wall-clock time that many calendar days before (0: the same day);
    - `2d`: `days` 2, the appointment's own wall-clock time that many calendar days before;
    - `2h`, `90m`: `before`, elapsed time before the start; `days` is 0.

    The planner decides whose clock it is, the place's or the recipient's.
    """

    days: int = 0
    at: time | None = None
    before: timedelta | None = None

    @staticmethod
    def parse(text: str) -> "Lead":
        """Read a lead such as `3d@17:00`, `2d`, `2h` or `90m`.

        Raises ValueError, in words for a coordinator, if it is not one or is outside 1 minute … 60 days.
        """
        return _read(text.strip().lower())

    def __str__(self) -> str:
        """The canonical text, which `parse` reads as an equal lead."""
        if self.before is not None:
            minutes = self.before // timedelta(minutes=1)
            return f"{minutes}m" if minutes % 60 else f"{minutes // 60}h"
        return f"{self.days}d" if self.at is None else f"{self.days}d@{self.at:%H:%M}"


@lru_cache(maxsize=1024)  # every text has one of the same few leads
def _read(text: str) -> Lead:
    if match := _AT.fullmatch(text):
        days, hour, minute = map(int, match.groups())
        if days > 60:
            raise ValueError("a lead is at most 60 days")
        if hour > 23 or minute > 59:
            raise ValueError("a lead's time of day is between 00:00 and 23:59, as in 1d@17:00")
        return Lead(days, at=time(hour, minute))
    if match := _BEFORE.fullmatch(text):
        number, unit = int(match[1]), match[2]
        ahead = timedelta(**{{"d": "days", "h": "hours", "m": "minutes"}[unit]: number})
        if not timedelta(minutes=1) <= ahead <= timedelta(days=60):
            raise ValueError("a lead is between 1 minute and 60 days")
        return Lead(number) if unit == "d" else Lead(before=ahead)
    raise ValueError("a lead is written like 3d@17:00, 2d, 2h or 90m")
