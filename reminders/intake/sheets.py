"""Spreadsheets: a table of one visit, one series or one plan a row to arrivals, problems and questions. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, TypeVar

from reminders.intake import cells, identity, standing
from reminders.intake.arrivals import Agreed, Question, Reading, Status, Trouble, Unreadable, Visit
from reminders.intake.asking import Asked, ask
from reminders.intake.cells import Bad, Waits
from reminders.intake.columns import Column, Header, find_header
from reminders.intake.evidence import Evidence, Role
from reminders.intake.moments import Cell, Clock, Told, Untold, instant
from reminders.intake.phones import first_number
from reminders.intake.plan_rows import read_plan
from reminders.intake.profile import Profile
from reminders.intake.tables import Row, Table, is_empty, text_of
from reminders.intake.vocabulary import plain, squeezed
from reminders.plans import Kind, Known, Mode, Series, UnfitError, occurrences, read_zone, to_wall

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
Shape = Literal["visits", "series", "plans"]

_LIKE_STATUS = re.compile(
    r"\b(?:status|stat|state|cancel\w*|estado|estatus|disposition|outcome|attend\w*|show\w*|asist\w*)\b"
)
_OTHER_STATUS = re.compile(
    r"bill|pay|insur|marital|patient|client|employ|claim|note|form|legal|city|zip|address|paciente|civil|pago|seguro|housing|veteran|intake|eligib|auth|home"
)
_LIKE_COUNT = re.compile(
    r"\b(?:wks?|weeks?|sem|semanas?|sessions?|sesiones|end\w*|until|through|thru|hasta|fin\w*|stop\w*|times|veces|last)\b"
)
_UTC = frozenset({"UTC", "GMT", "Z"})
MOST_PROBLEMS = 1_000  # of one file
_FIRST_DATE = re.compile(r"start|first|begin|from|inici|primer|desde|comienz")
_FOOTER = re.compile(
    r"(?:grand |sub)?total|count\b|page\b|p[aá]gina|printed|impreso|generated|generado|report|reporte|informe|run (?:on|date|by)|end of|fin del?\b|confiden"
    r"|showing|records?\b|registros|\*|-{3}|={3}|notes?\b|nota|this (?:report|document|list)|prepared|exported|exportado|as of|source|filter|sum\b|legend|hipaa"
    r"|©|copyright|signature|firma|reviewed|appointments?:|visits?:|citas?:|\d+ (?:records?|rows?|appointments?|visits?|citas|registros)",
    re.IGNORECASE,
)


def read_table(table: Table, known: Known, profile: Profile, *, format: str) -> Reading:  # ruff: ignore[builtin-argument-shadowing]
    """All that one table says. Raises Unreadable for one without a header that we know."""
    return Sheet.of(table, known, profile).read(format)


@dataclass(frozen=True, slots=True, repr=False)
class When:
    """When a visit is: its wall clock and the zone of that, and its length."""

    start: datetime
    zone: str
    minutes: int | None


@dataclass(frozen=True, slots=True, repr=False)
class Laid:
    """A series on its dates: its first wall clock, its zone, length and rule, and its first three dates."""

    starts: datetime
    zone: str
    minutes: int | None
    repeats: str
    first: tuple[datetime, ...]


@dataclass(frozen=True, slots=True, repr=False)
class _End:
    column: Column
    told: Told
    day: date | None
    clock: Clock | None


@dataclass(slots=True, repr=False)
class Sheet:
    """A table whose header is found, while its rows are read: what the file proves, and what is wrong or asked so far."""

    table: Table
    header: Header
    known: Known
    profile: Profile
    evidence: Evidence
    rows: Sequence[Row]
    asked: dict[tuple[str, str], Asked] = field(default_factory=dict)
    problems: list[Trouble] = field(default_factory=list)
    bare_is: str | None = None

    @classmethod
    def of(cls, table: Table, known: Known, profile: Profile) -> "Sheet":
        """The sheet of a table. Raises Unreadable for one without a header that we know, or without rows."""
        header = find_header(table, profile)
        if header.twice:
            raise Unreadable("two columns have one name and hold different things; rename one of them", "header")
        sheet = cls(table, header, known, profile, Evidence.of(table, header, profile, ()), ())
        sheet.rows = [row for row in header.rows if sheet._is_data(row)]
        if not sheet.rows:
            raise Unreadable("has column names and no row of a visit or a plan below them")
        sheet.evidence = Evidence.of(table, header, profile, sheet.rows)
        sheet.bare_is = sheet._bare_id()
        return sheet

    def read(self, format_: str) -> Reading:
        """All that the sheet says."""
        reading = Reading(format_, fingerprint=self.header.fingerprint)
        reading.columns = {column.header: name for name, columns in self.header.columns.items() for column in columns}
        if self.profile.fingerprint not in {None, self.header.fingerprint}:
            reading.questions.append(self._other_columns(reading))
            return reading
        if (status := self._perhaps_status()) is not None:
            reading.questions.append(status)
            return reading
        if (contradiction := self.evidence.contradiction()) is not None:
            self.problems.append(contradiction)
        shape = self._shape()
        if shape == "plans":
            plans, wrong = identity.plans_once(self._each(self._plan))
            reading.arrivals += plans
            self.problems += wrong
        else:
            reading.arrivals += self._identified(self._each(self._series if shape == "series" else self._visit))
        for one in ask(self.asked, self.evidence, self.header):
            if isinstance(one, Question):
                reading.questions.append(one)
            else:
                self.problems.append(one)
        reading.problems = self._shortened()
        return reading

    def _identified(self, visits: Sequence[Visit]) -> list[Visit]:
        """Each visit once, without those whose reference stands for two people."""
        of_patient = self._patient_column()
        named = of_patient or self.header.one("name") or self.header.one("last_name") or self.header.one("first_name")
        kept, wrong = identity.same_person(
            visits, self._births(), by_name=of_patient is None, column=named.header if named else None
        )
        self.problems += wrong
        column = self._id_column()
        kept, wrong = identity.each_once(kept, column.header if column else None)
        self.problems += wrong
        return kept

    def _perhaps_status(self) -> Question | None:
        """A column that may say which visits are off, in a sheet without one that we know: reading on would guess."""
        if (
            self.header.has("status", "canceled", "no_show", "canceled_on", "discharged")
            or "status" in self.profile.columns
        ):
            return None
        for header in self.header.unknown:
            if _LIKE_STATUS.search(plain(header)) and not _OTHER_STATUS.search(plain(header)):
                said = f'[columns]\nstatus = "{header[:60]}"  # or status = "" where it is none'
                question = f'Does the column "{header[:60]}" say which visits are off?'
                return Question("columns", question, ("yes", "no"), said, len(self.rows))
        return None

    def _other_columns(self, reading: Reading) -> Question:
        return Question(
            "fingerprint",
            "The columns are not those of this source's profile. Are they right as shown?",
            tuple(f"{header}: {name}" for header, name in reading.columns.items()),
            f'fingerprint = "{self.header.fingerprint}"',
            len(self.rows),
        )

    def _shape(self) -> Shape:
        if self.header.has("discharged") and self.header.has("name", "first_name", "last_name", "patient"):
            return "plans"
        names = self.header.columns.get("schedule", ()) + (
            self.header.columns.get("days", ()) if self._days_repeat() else ()
        )
        cells_ = (text_of(row[column.index]) for column in names for row in self.rows)
        return "series" if any(map(standing.names_days, cells_)) else "visits"

    def _days_repeat(self) -> bool:
        """Whether a column of weekdays says when a series meets, and is not the weekday of the date beside it."""
        if self.header.has("weeks", "sessions", "schedule") or not self.header.has("date", "start"):
            return True
        begins = self.header.one("date") or self.header.one("start")
        return begins is not None and bool(_FIRST_DATE.search(plain(begins.header)))

    def _shortened(self) -> list[Trouble]:
        more = len(self.problems) - MOST_PROBLEMS
        if more <= 0:
            return self.problems
        return [*self.problems[:MOST_PROBLEMS], Trouble("file", f"and {more} more problems")]

    def place(self, row: Row) -> str:
        """A row's place as it is told."""
        return self.table.place(row)

    def told(self, row: Row, column: Column | None, role: Role) -> Told | Untold | None:
        """The days and times in a cell, why there are none, or None for an empty cell or a missing column."""
        return None if column is None else self.evidence.told(row, column, role)

    def day(self, told: Told, column: Column, row: Row) -> date:
        """The date that a cell means. Raises Bad and Waits."""
        return self.evidence.day(told, column, row)

    def _is_data(self, row: Row) -> bool:
        """Whether a row is one of the list: no repeated header, no footer, no line of words between."""
        texts = tuple(text_of(cell) for cell in row.cells)
        if texts in self.header.header_cells:
            return False
        filled = [text for text in texts if text]
        if self._tells_when(row):
            return True
        if len(filled) == 1 and len(self.header.columns) > 2:
            return False
        if len(filled) <= 4 and _FOOTER.match(filled[0]):
            return False
        named = [
            self.header.one(name)
            for name in ("patient", "name", "last_name", "first_name", "id", "bare_id", "start", "date", "time")
        ]
        return len(filled) > 2 or any(column is not None and not is_empty(row[column.index]) for column in named)

    def _tells_when(self, row: Row) -> bool:
        for name in ("start", "date", "time", "discharged"):
            for column in self.header.columns.get(name, ()):
                told = self.told(row, column, "clock" if name == "time" else "moment")
                if isinstance(told, Told):
                    return True
        return any(
            not is_empty(row[column.index]) and not _FOOTER.match(text_of(row[column.index]))
            for name in ("schedule", "days")
            for column in self.header.columns.get(name, ())[:1]
            if sum(not is_empty(cell) for cell in row.cells) > 2
        )

    def _bare_id(self) -> str | None:
        """What a column that is only called ID is: the visit's, the patient's, or None where that must be asked."""
        column = self.header.one("bare_id")
        if column is None:
            return None
        if self._counts_rows(column):
            return "none"
        if self.header.has("id"):
            return "patient" if not self.header.has("patient") else "none"
        if self.header.has("patient") or not self.header.has("name", "last_name", "first_name"):
            return "id" if self.header.has("patient") else "patient"
        if self.header.has("discharged"):
            return "patient"
        people: dict[str, set[str]] = defaultdict(set)
        ids: dict[str, set[str]] = defaultdict(set)
        for row in self.rows:
            name, one = squeezed(self.name(row) or ""), text_of(row[column.index])
            people[name].add(one)
            ids[one].add(name)
        if any(len(names) > 1 for names in ids.values()):
            return None
        repeated = Counter(squeezed(self.name(row) or "") for row in self.rows)
        if all(len(people[name]) == many for name, many in repeated.items()) and max(repeated.values()) > 1:
            return "id"
        if all(len(found) == 1 for found in people.values()) and max(repeated.values()) > 1:
            return "patient"
        return None

    def _counts_rows(self, column: Column) -> bool:
        """Whether a column such as No. only counts the rows."""
        if squeezed(column.header) in {"id", "recordid"}:
            return False
        numbers = [text_of(row[column.index]) for row in self.rows]
        return numbers == [str(number) for number in range(1, len(numbers) + 1)]

    # One row.

    def _each(self, read_row: Callable[[Row], T | None]) -> list[T]:
        found = (self._noted(row, read_row) for row in self.rows)
        return [one for one in found if one is not None]

    def _noted(self, row: Row, part: Callable[[Row], T]) -> T | None:
        """One part of a row, or None where it is wrong or waits, which is noted."""
        try:
            return part(row)
        except (Bad, Waits) as why:
            self._note(row, why)
        return None

    def _note(self, row: Row, why: Bad | Waits) -> None:
        if isinstance(why, Bad):
            self._wrong(row, why)
            return
        asked = self.asked.setdefault((why.about, squeezed(why.word) or why.word), Asked())
        asked.rows += 1
        asked.first = asked.first or self.place(row)
        asked.word = asked.word or why.word

    def _wrong(self, row: Row, bad: Bad) -> None:
        problem = bad.problem
        for columns in self.header.columns.values():
            for column in columns:
                if column.header == bad.column and is_empty(row[column.index]):
                    problem = self.table.why_empty(row.number, column.index) or problem
        self.problems.append(Trouble(self.place(row), problem, bad.column))

    def one(self, row: Row, name: str) -> tuple[Column | None, Cell]:
        """A row's first column of this field, and its cell."""
        column = self.header.one(name)
        return column, row[column.index] if column is not None else None

    def _visit(self, row: Row) -> Visit | None:
        status = self._noted(row, self._status)
        who = self._noted(row, self.who)
        when = self._noted(row, self.when)
        if status is None or status == "skip" or who is None or when is None:
            return None
        return self._made(row, who, when, status)

    def _made(self, row: Row, patient: str, when: When, status: Status) -> Visit:
        kind_column, kind_cell = self.one(row, "kind")
        phone = self.phone(row)
        return Visit(
            place=self.place(row),
            id=self._id(row),
            occurrence=self.text(row, "occurrence"),
            patient=patient,
            start=when.start,
            zone=when.zone,
            minutes=when.minutes,
            status=status,
            how=self.mode(row),
            name=self.name(row),
            phone=phone,
            kind=cells.kind(kind_cell, self.profile) if kind_column else None,
            where=self.text(row, "where"),
            staff=self.text(row, "staff"),
            updated=self._updated(row),
        )

    def mode(self, row: Row) -> Mode:
        """How the visit of a row happens."""
        words = [
            (name, row[column.index])
            for name in ("mode", "kind", "where")
            for column in self.header.columns.get(name, ())
        ]
        return cells.mode(words)

    def text(self, row: Row, name: str) -> str | None:
        """The first text for staff in the columns of this field, or None."""
        for column in self.header.columns.get(name, ()):
            if text := cells.remark(row[column.index]):
                return text
        return None

    def name(self, row: Row) -> str | None:
        """The patient's name, or None."""
        parts = [self.one(row, name)[1] for name in ("first_name", "last_name")]
        if self.header.has("first_name", "last_name"):
            name = " ".join(filter(None, map(text_of, parts)))
            if name:
                return name[:200]
            if self.header.has("first_name") and self.header.has("last_name"):
                return None
        return cells.remark(self.one(row, "name")[1])

    def who(self, row: Row) -> str:
        """The patient's reference, else the name. Raises Bad and Waits."""
        column = self._patient_column()
        if column is not None:
            reference = cells.identifier(row[column.index], column.header)
            if reference is None:
                raise Bad(column.header, "is empty, so no one knows whose this is; fill it in")
            return reference
        if self.header.has("bare_id") and self.bare_is is None:
            raise Waits("bare_id")
        name = self.name(row)
        if name is None:
            named = self.header.one("name") or self.header.one("last_name") or self.header.one("first_name")
            raise Bad(named.header if named else None, "is empty, so no one knows whose this is; fill it in")
        return name

    def _patient_column(self) -> Column | None:
        """The column of the patient's reference: of several the one that is filled most often."""
        found = list(self.header.columns.get("patient", ()))
        if not found and self.bare_is == "patient":
            return self.header.one("bare_id")
        if len(found) < 2:
            return found[0] if found else None
        return max(found, key=lambda column: sum(not is_empty(row[column.index]) for row in self.header.rows))

    def _id_column(self) -> Column | None:
        return self.header.one("id") or (self.header.one("bare_id") if self.bare_is == "id" else None)

    def _id(self, row: Row) -> str | None:
        column = self._id_column()
        return None if column is None else cells.identifier(row[column.index], column.header)

    def phone(self, row: Row) -> str | None:
        """The first number that can be texted, or None; what is wrong where there is none is noted."""
        columns = [column for name in ("mobile", "phone", "home") for column in self.header.columns.get(name, ())]
        if self.profile.phones:
            wanted = [column for column in columns if squeezed(column.header) in self.profile.phones]
            columns = sorted(wanted, key=lambda column: self.profile.phones.index(squeezed(column.header)))
        phone, wrong = first_number(((column.header, row[column.index]) for column in columns), self.known)
        self.problems += [Trouble(self.place(row), problem, column) for column, problem in wrong]
        return phone

    def _status(self, row: Row) -> Status | Literal["skip"]:
        column, cell = self.one(row, "status")
        status: Status | Literal["skip"] = cells.status(cell, self.profile) if column is not None else "booked"
        stopped = self._stopped(row)
        return stopped if stopped is not None and status in {"booked", "tentative", "attended"} else status

    def _stopped(self, row: Row) -> Status | None:
        """What flags say of a visit that is off: whatever stops texts wins."""
        column, cell = self.one(row, "canceled")
        if column is not None and not is_empty(cell):
            if squeezed(column.header) == "schedcanceled" and text_of(cell) == "2":
                return "missed"
            said = cells.flag(cell)
            if said is None:
                said = (
                    isinstance(cell, date)
                    or isinstance(self.told(row, column, "moment"), Told)
                    or cells.status(cell, self.profile) == "cancelled"
                )
            if said:
                return "cancelled"
        column, cell = self.one(row, "no_show")
        if column is not None and not is_empty(cell):
            said = cells.flag(cell)
            if said is None:
                said = cells.status(cell, self.profile) == "missed"
            if said:
                return "missed"
        column, cell = self.one(row, "canceled_on")
        if column is not None and isinstance(self.told(row, column, "moment"), Told):
            return "cancelled"
        return None

    def when(self, row: Row) -> When:
        """The start of a visit and its length. Raises Bad and Waits."""
        days, clocks = self._days_and_clocks(row)
        if not clocks:
            column = self.header.one("time") or self.header.one("start") or self.header.one("date")
            raise Bad(column.header if column else None, "has no time of day; write it like 3:00 pm or 15:00")
        clock_column, told = clocks[0]
        clock = told.clock
        assert clock is not None
        if told.offset is None and self._is_utc(row, clock_column):
            told = replace(told, offset=timedelta())
        day, at, zone = self._all(
            row,
            lambda: self._one_day(days, row),
            lambda: self.evidence.at(clock),
            lambda: self.zone(row, told, clock_column),
        )
        start = datetime.combine(day, at)
        if told.offset is not None:
            start = to_wall(instant(day, at, told.offset), zone)
        self._check_weekday(row, start)
        if not 2000 <= start.year <= 2199:
            raise Bad(clock_column.header, "lies outside the years 2000 to 2199; check the year")
        return When(start, zone, self._minutes(row, start, zone, told))

    def _is_utc(self, row: Row, column: Column) -> bool:
        """Whether the header of a clock, or the zone beside it, says UTC."""
        return bool({column.zone_word, text_of(self.one(row, "zone")[1]).upper()} & _UTC)

    def _all(self, row: Row, one: Callable[[], A], two: Callable[[], B], three: Callable[[], C]) -> tuple[A, B, C]:
        """Three parts of a row; where several are wrong or wait, all of them are told. Raises Bad and Waits."""
        found: list[object] = []
        failed: list[Bad | Waits] = []
        for part in (one, two, three):
            try:
                found.append(part())
            except (Bad, Waits) as why:
                failed.append(why)
        if failed:
            for other in failed[1:]:
                self._note(row, other)
            raise failed[0]
        return tuple(found)  # type: ignore[return-value]

    def _check_weekday(self, row: Row, start: datetime) -> None:
        column, cell = self.one(row, "days")
        if column is None or is_empty(cell):
            return
        named = standing.weekdays(text_of(cell))
        if named and start.weekday() not in named:
            raise Bad(column.header, "is another day of the week than the date; correct one of them")

    def _days_and_clocks(self, row: Row) -> tuple[list[tuple[Column, Told]], list[tuple[Column, Told]]]:
        """What tells a date in a row, and what a time of day, the best first. Raises Bad."""
        days: list[tuple[Column, Told]] = []
        clocks: list[tuple[Column, Told]] = []
        for name in ("time", "start", "date"):
            column = self.header.one(name)
            told = self.told(row, column, "clock" if name == "time" else "moment")
            if column is None or told is None:
                continue
            if isinstance(told, Untold):
                raise Bad(column.header, str(told))
            if told.has_day:
                days.append((column, told))
            if told.clock is not None:
                clocks.append((column, told))
        if not days:
            named = self.header.one("date") or self.header.one("start") or self.header.one("time")
            raise Bad(named.header if named else None, "has no date; write it like 2026-12-03")
        return days, clocks

    def _one_day(self, days: Sequence[tuple[Column, Told]], row: Row) -> date:
        found = {self.day(told, column, row) for column, told in days}
        if len(found) > 1:
            raise Bad(days[0][0].header, "names another day than the date beside it; correct one of them")
        return found.pop()

    def zone(self, row: Row, told: Told | None, column: Column | None) -> str:
        """The zone of a row's clock. Raises Bad and Waits."""
        zone_column, cell = self.one(row, "zone")
        if zone_column is not None and not is_empty(cell) and text_of(cell).upper() not in _UTC:
            text = text_of(cell)
            try:
                return read_zone(text)
            except UnfitError:
                return self._place_of_word(text)
        if told is not None and told.zone_word is not None:
            return self._place_of_word(told.zone_word)
        if column is not None and column.zone_word is not None and column.zone_word not in _UTC:
            return self._place_of_word(column.zone_word)
        return self.profile.zone or self.known.zone

    def _place_of_word(self, word: str) -> str:
        if word.upper() in self.profile.zones:
            return self.profile.zones[word.upper()]
        if len(word) > 40 or not re.fullmatch(r"[A-Za-z/ _()-]+", word):
            raise Bad(None, "has a time zone that we do not read; write it like America/New_York")
        raise Waits("zones", word)

    def _minutes(self, row: Row, start: datetime, zone: str, told: Told) -> int | None:
        length = self._own_minutes(row)
        if length is not None:
            return length
        if told.until is not None:
            return self._between(start, None, told.until, None)
        end = self._end(row)
        if end is None or end.clock is None:
            return None
        offset = timedelta() if end.told.offset is None and self._is_utc(row, end.column) else end.told.offset
        if offset is not None and end.day is not None:
            wall = to_wall(instant(end.day, self.evidence.at(end.clock), offset), zone)
            return self._length(start, wall, end.column)
        return self._between(start, end.day, end.clock, end.column)

    def _own_minutes(self, row: Row) -> int | None:
        for name in ("minutes", "seconds"):
            column, cell = self.one(row, name)
            if column is not None:
                found = cells.minutes(cell, column.header, unit=column.unit or name)
                if found is not None:
                    return found
        return None

    def _end(self, row: Row) -> _End | None:
        """What the columns of an end say together: a date, a time of day, or both. Raises Bad and Waits."""
        found: _End | None = None
        for column in self.header.columns.get("end", ()):
            told = self.told(row, column, "moment")
            if isinstance(told, Untold):
                raise Bad(column.header, str(told))
            if told is None:
                continue
            day = self.day(told, column, row) if told.has_day else None
            if found is None:
                found = _End(column, told, day, told.clock)
            else:
                found = replace(found, day=found.day or day, clock=found.clock or told.clock)
        return found

    def _between(self, start: datetime, day: date | None, clock: Clock, column: Column | None) -> int | None:
        """The minutes from a start to a time of day, on the same day or over midnight, whichever half of the day it is."""
        hours = {clock.hour} if clock.is_settled else {clock.hour, clock.hour + 12}
        if self.evidence.clocks.read(clock) is not None and not clock.is_settled:
            hours = {clock.hour, clock.hour + 12} if day is None else {self.evidence.at(clock).hour}
        ends = [datetime.combine(day or start.date(), clock.at(hour % 24)) for hour in hours]
        later = [end for end in ends if end > start]
        if not later and day is None:
            later = [end + timedelta(days=1) for end in ends]
        return self._length(start, min(later, default=start), column)

    @staticmethod
    def _length(start: datetime, end: datetime, column: Column | None) -> int | None:
        length = end - start
        if not timedelta(minutes=1) <= length <= timedelta(hours=12):
            raise Bad(
                column.header if column else None,
                "ends before it starts, or more than twelve hours later; correct one of the two",
            )
        return int(length.total_seconds() // 60)

    def _updated(self, row: Row) -> datetime | None:
        column = self.header.one("updated")
        told = self.told(row, column, "moment") if column is not None else None
        if not isinstance(told, Told):
            return None
        day = told.day(self.evidence.order.holds)
        if day is None:
            return None
        at = told.clock.at() if told.clock is not None else time()
        return (
            datetime.combine(day, at)
            if told.offset is None
            else instant(day, at, told.offset).astimezone(UTC).replace(tzinfo=None)
        )

    # A row that is a series.

    def _series(self, row: Row) -> Visit | None:
        if all(
            is_empty(row[column.index]) for name in ("schedule", "days") for column in self.header.columns.get(name, ())
        ):
            return self._visit(row)
        status = self._noted(row, self._status)
        patient = self._noted(row, self.who)
        laid = self._noted(row, self.laid)
        if status is None or status == "skip" or patient is None or laid is None:
            return None
        visit = self._made(row, patient, When(laid.starts, laid.zone, laid.minutes), status)
        return replace(visit, repeats=laid.repeats, first=laid.first)

    def _standing(self, row: Row) -> tuple[standing.Standing, str]:
        column, cell = self.one(row, "schedule")
        if column is None or is_empty(cell):
            column, cell = self.one(row, "days")
        if column is None or is_empty(cell):
            raise Bad(column.header if column else None, "is empty; write it like Mon, Wed, Fri 6pm x 8 weeks")
        try:
            found = standing.read_standing(text_of(cell))
        except Untold as why:
            raise Bad(column.header, str(why)) from None
        time_column, time_cell = self.one(row, "time")
        zone_told = Told(zone_word=found.zone_word)
        if found.clock is None and time_column is not None and not is_empty(time_cell):
            told = self.told(row, time_column, "clock")
            if not isinstance(told, Told):
                raise Bad(time_column.header, str(told))
            found = replace(found, clock=told.clock, until=told.until, zone_word=told.zone_word)
            zone_told = told
        start_column = self.header.one("start") or self.header.one("date")
        if found.clock is None and isinstance(told := self.told(row, start_column, "moment"), Told) and told.clock:
            found, zone_told = replace(found, clock=told.clock, until=told.until), told
        if found.clock is None:
            raise Bad(column.header, "has no time of day; write it like 3:00 pm or 15:00")
        if zone_told.offset is not None:
            raise Bad(
                column.header, "has a time with an offset; a series keeps to the clock of its place, so leave it out"
            )
        return found, self.zone(row, zone_told, time_column)

    def _begins(self, row: Row, found: standing.Standing) -> date:
        column, _ = self.one(row, "schedule")
        column = column or self.header.one("days")
        if found.begins is not None and column is not None:
            return self.day(found.begins, column, row)
        for name in ("date", "start", "program_starts"):
            begins = self.header.one(name)
            told = self.told(row, begins, "moment") if begins is not None else None
            if isinstance(told, Untold) and begins is not None:
                raise Bad(begins.header, str(told))
            if isinstance(told, Told) and told.has_day and begins is not None:
                return self.day(told, begins, row)
        raise Bad(
            column.header if column else None,
            "has no first date; add a column Start date, or write starting 2026-12-07",
        )

    def laid(self, row: Row) -> Laid:
        """The series of a row on its dates. Raises Bad and Waits."""
        found, zone = self._standing(row)
        begins = self._begins(row, found)
        column = self.header.one("schedule") or self.header.one("days")
        assert column is not None
        assert found.clock is not None
        ends = self.day(found.ends, column, row) if found.ends is not None else None
        clock = found.clock
        found, ends = self._counted(row, found, ends)
        try:
            laid = standing.lay_out(found, begins=begins, ends=ends, at=self.evidence.at(clock))
        except Untold as why:
            raise Bad(column.header, str(why)) from None
        if not re.search(r"COUNT|UNTIL", laid.repeats):
            for header in self.header.unknown:
                if _LIKE_COUNT.search(plain(header)):
                    raise Bad(
                        header, "may say how long the series goes on; name the column Weeks, Sessions or End date"
                    )
        length, end = self._own_minutes(row), self._end(row)
        until = found.until or (end.clock if end is not None else None)
        if length is None and until is not None:
            length = self._between(laid.starts, None, until, column)
        series = Series(key="x", kind=Kind.THERAPY_INDIVIDUAL, starts=laid.starts, repeats=laid.repeats)
        dates = occurrences(series, until=laid.starts.date() + timedelta(days=400), zone=zone)
        return Laid(laid.starts, zone, length, laid.repeats, tuple(one.wall for one in dates[:3]))

    def _counted(self, row: Row, found: standing.Standing, ends: date | None) -> tuple[standing.Standing, date | None]:
        """How long a series goes on, where columns of their own say it."""
        said = any(one is not None for one in (found.weeks, found.months, found.sessions, found.ends, found.ends_on))
        for name in ("weeks", "sessions"):
            column, cell = self.one(row, name)
            if column is None or is_empty(cell):
                continue
            number = re.fullmatch(r"(\d{1,3})(?: ?[a-z]+)?", text_of(cell).casefold())
            if number is None:
                raise Bad(column.header, "is no whole number; write it like 8")
            if said:
                if getattr(found, name) != int(number[1]):
                    raise Bad(
                        column.header, "says how long it goes on, as another cell does, and they differ; keep one"
                    )
                continue
            said = True
            found = replace(found, weeks=int(number[1])) if name == "weeks" else replace(found, sessions=int(number[1]))
        end = self._end(row)
        if end is not None and end.day is not None:
            if said and end.day != ends:
                raise Bad(end.column.header, "says how long it goes on, as another cell does; keep one of the two")
            ends = end.day
        return found, ends

    # A row that is a plan.

    def _plan(self, row: Row) -> Agreed:
        return read_plan(self, row)

    def _births(self) -> dict[str, set[str]]:
        column = self.header.one("born")
        found: dict[str, set[str]] = defaultdict(set)
        if column is None:
            return found
        for row in self.header.rows:
            told = self.told(row, column, "day")
            if isinstance(told, Told) and (name := self.name(row)):
                found[name].add(str(told.month_first or told.day_first))
        return found

    # Identity.
