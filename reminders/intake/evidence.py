"""What a whole file proves about its dates and times before any row of it is read. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, time
from typing import Literal

from reminders.intake import standing
from reminders.intake.arrivals import Trouble
from reminders.intake.cells import Bad, Waits
from reminders.intake.columns import Column, Header
from reminders.intake.moments import Clock, Clocks, Order, Told, Untold, tell
from reminders.intake.profile import Profile
from reminders.intake.tables import Row, Table, is_empty, text_of

Role = Literal["day", "clock", "moment"]

_DATES = (
    "start", "date", "end", "discharged", "born", "updated", "made", "canceled_on", "program_starts", "consent_on",
)  # fmt: skip
_CLOCKS = ("start", "date", "time", "end", "program_time")
_AS_CLOCK = frozenset({"time", "program_time"})


@dataclass(slots=True, repr=False)
class Evidence:
    """The days and times in the cells of a table, and what they mean together."""

    table: Table
    header: Header
    order: Order
    clocks: Clocks
    swapped: set[int] = field(default_factory=set)  # columns whose real dates may have day and month swapped

    @classmethod
    def of(cls, table: Table, header: Header, profile: Profile, rows: Sequence[Row]) -> "Evidence":
        """Take every date and time of these rows into account."""
        hints = {column.order for name in _DATES for column in header.columns.get(name, ()) if column.order}
        said = profile.date_order or (hints.pop() if len(hints) == 1 else None)
        found = cls(table, header, Order(said), Clocks(profile.clock))
        for name in dict.fromkeys((*_DATES, *_CLOCKS)):
            for column in header.columns.get(name, ()):
                found._see_column(name, column, rows)
        for column in header.columns.get("schedule", ()):
            for row in rows:
                found._see_schedule(row, column)
        found.swapped = {
            column.index
            for name in _DATES
            for column in header.columns.get(name, ())
            if found._may_be_swapped(column, rows)
        }
        return found

    def told(self, row: Row, column: Column, role: Role) -> Told | Untold | None:
        """What a cell tells, why it tells nothing, or None for an empty one."""
        cell = row[column.index]
        if is_empty(cell):
            return None
        try:
            return tell(cell, role, base_1904=self.table.base_1904)
        except Untold as why:
            return why

    def day(self, told: Told, column: Column, row: Row) -> date:
        """The date that is meant. Raises Bad, and Waits where it has two readings and nothing says which."""
        if self.order.said and told.proves and told.proves != self.order.said:
            raise Bad(
                column.header,
                f"cannot be {self.order.said}, as the profile or the header says; write it like 2026-12-03",
            )
        if self.order.is_contradictory and told.is_open and self.order.said is None:
            raise Bad(
                column.header,
                "can be read two ways, and other dates of the file contradict each other; write it like 2026-12-03",
            )
        if column.index in self.swapped and isinstance(row[column.index], date):
            raise Bad(
                column.header,
                "may have day and month swapped by a spreadsheet, as the texts in this column show; write it like 2026-12-03",
            )
        day = told.day(self.order.holds)
        if day is None:
            raise Waits("date_order")
        return day

    def at(self, clock: Clock) -> time:
        """The time of day that is meant. Raises Waits where nothing says which half of the day."""
        at = self.clocks.read(clock)
        if at is None:
            raise Waits("clock")
        return at

    def contradiction(self) -> Trouble | None:
        """What to say where some dates can only be in one order and some only in the other."""
        if not self.order.is_contradictory or self.order.said is not None:
            return None
        places = ", ".join(dict.fromkeys([*self.order.month_first[:3], *self.order.day_first[:3]]))
        return Trouble(
            "file",
            f"some dates can only be month/day and others only day/month ({places}); write all of them like 2026-12-03",
        )

    def _see_column(self, name: str, column: Column, rows: Sequence[Row]) -> None:
        role: Role = "clock" if name in _AS_CLOCK else "moment"
        for row in rows:
            told = self.told(row, column, role)
            if not isinstance(told, Told):
                continue
            place = self.table.place(row)
            self.order.see(place, told)
            for clock in (told.clock, told.until) if name in _CLOCKS else ():
                if clock is not None:
                    self.clocks.see(place, clock)

    def _see_schedule(self, row: Row, column: Column) -> None:
        try:
            found = standing.read_standing(text_of(row[column.index]))
        except Untold:
            return
        place = self.table.place(row)
        for one in (found.begins, found.ends):
            if one is not None:
                self.order.see(place, one)
        if found.clock is not None:
            self.clocks.see(place, found.clock)

    def _may_be_swapped(self, column: Column, rows: Sequence[Row]) -> bool:
        """Whether a spreadsheet made dates of those it could read month first, and left the others as text."""
        days = [cell.day for row in rows if isinstance(cell := row[column.index], date)]
        if not days or max(days) > 12:
            return False
        tolds = (self.told(row, column, "moment") for row in rows if isinstance(row[column.index], str))
        return any(isinstance(told, Told) and told.proves == "day first" for told in tolds)
