"""Who is on call when, on the wall clock of the site, and who is paged next if no one answers (C-7, C-8).

All of it is wall-clock time: a shift ends when the clock on the wall says so, even in the night of a clock change.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Self

from reminders.settings import OnCall, on_call

_DAY = 24 * 60
_WEEK = 7 * _DAY
_NAMES = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_TO = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Contact:
    """Someone to page, and when.

    `days` are the ISO weekdays on which a shift starts; it lasts from `starts` to the next `ends`, across midnight if
    needed, and around the clock if the two are equal. `place` is its place in the rota, which a log may show.
    """

    name: str
    url: str = field(repr=False)
    days: frozenset[int]
    starts: time
    ends: time
    supervisor: bool
    place: int = 1

    def shifts(self) -> Iterator[tuple[int, int]]:
        """(start, length) of each shift, in minutes; the week starts on Monday at midnight."""
        start, end = (at.hour * 60 + at.minute for at in (self.starts, self.ends))
        for day in sorted(self.days):
            yield (day - 1) * _DAY + start, (end - start) % _DAY or _DAY


@dataclass(frozen=True, slots=True)
class Rota:
    """The contacts of a site, in the order in which they are paged."""

    contacts: tuple[Contact, ...]

    @classmethod
    def parse(cls, entries: Sequence[str | Mapping[str, object] | OnCall]) -> Self:
        """The rota in `entries`, in the form of the setting `site.on_call`, or parsed already.

        Raises ValueError with a line for each wrong entry: its number, the problem and a correct form.
        """
        return cls(
            tuple(
                Contact(
                    name=entry.name or f"on call {place}",
                    url=entry.page,
                    days=entry.days,
                    starts=entry.hours[0],
                    ends=entry.hours[1],
                    supervisor=entry.supervisor,
                    place=place,
                )
                for place, entry in enumerate(on_call(entries), start=1)
            )
        )

    def on_duty(self, wall: datetime) -> tuple[Contact, ...]:
        """Who is on call when clocks at the site show `wall` (naive), in order."""
        if wall.tzinfo is not None:
            raise ValueError("a wall-clock time has no offset")
        minute = wall.weekday() * _DAY + wall.hour * 60 + wall.minute
        return tuple(
            contact
            for contact in self.contacts
            if any((minute - start) % _WEEK < length for start, length in contact.shifts())
        )

    def at_step(self, wall: datetime, step: int) -> tuple[Contact, ...]:
        """Who is paged at a step of the escalation: 0 at once, 1 after 15 minutes, 2 after 30, and so on (C-7).

        It is the first on duty, then the next, starting over if there are fewer; at step 3 the supervisor, on duty or
        not, else the last on duty; from then on everyone on duty and the supervisor. Of several supervisors it is those
        on duty, or else all of them. With no one on duty it is the supervisor, else everyone: a gap in the rota drops
        no page. It is empty only if the rota is.
        """
        duty = self.on_duty(wall)
        supervisors = tuple(contact for contact in self.contacts if contact.supervisor)
        supervisors = tuple(contact for contact in supervisors if contact in duty) or supervisors
        if not duty:
            return supervisors or self.contacts
        if step < 3:
            return (duty[step % len(duty)],)
        if step == 3:
            return supervisors or duty[-1:]
        return tuple(contact for contact in self.contacts if contact in duty or contact in supervisors)

    def gaps(self) -> tuple[str, ...]:
        """The hours of the week in which no one is on call, for a person to read: Sat 00:00 to Sun 08:00 (C-8)."""
        covered = bytearray(_WEEK)
        for contact in self.contacts:
            for start, length in contact.shifts():
                for minute in range(start, start + length):
                    covered[minute % _WEEK] = 1
        holes = [match.span() for match in re.finditer(rb"\0+", covered)]
        if holes == [(0, _WEEK)]:
            return ("the whole week",)
        if len(holes) > 1 and holes[0][0] == 0 and holes[-1][1] == _WEEK:  # one gap, across the end of the week
            holes[-1] = (holes[-1][0], holes.pop(0)[1])
        return tuple(f"{_named(start)}{_TO}{_named(end)}" for start, end in holes)


def _named(minute: int) -> str:
    day, rest = divmod(minute % _WEEK, _DAY)
    return f"{_NAMES[day]} {rest // 60:02}:{rest % 60:02}"
