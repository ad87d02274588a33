"""Dates and times of cells, by a list of exact formats. Pure.

A cell is told, never guessed: `tell` gives what it can mean, with both readings where there are two, and `Order` and
`Clocks` say which, from what the whole file proves or its profile says.
"""

import re
import unicodedata
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal

Cell = str | float | int | bool | date | datetime | time | timedelta | None

DateOrder = Literal["month first", "day first"]
ClockKind = Literal["24", "office"]


class Untold(Exception):  # ruff: ignore[error-suffix-on-exception-name]  a verdict on a cell
    """A cell holds no date or time that we read; the message says why and what to write, and never repeats it."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A time of day as written. `sure`: am, pm or a machine said which half of the day; `padded`: 09:30 and not 9:30."""

    hour: int
    minute: int
    second: int = 0
    sure: bool = False
    padded: bool = False

    @property
    def proves_24(self) -> bool:
        """Whether it can be of a 24-hour clock only."""
        return not self.sure and (self.hour > 12 or self.hour == 0)

    @property
    def is_settled(self) -> bool:
        """Whether there is one reading of it. 12:30 is after noon on either clock."""
        return self.sure or self.hour >= 12 or self.hour == 0

    def at(self, hour: int | None = None) -> time:
        """The time of day, at another hour if one is given."""
        return time(self.hour if hour is None else hour, self.minute, self.second)


@dataclass(frozen=True, slots=True)
class Told:
    """What a cell can mean.

    `month_first` and `day_first` are its readings as a date, equal where there is one. `offset` is that of an instant;
    `zone_word` a word such as CST, which is asked about. `until` ends a range of times.
    """

    month_first: date | None = None
    day_first: date | None = None
    clock: Clock | None = None
    until: Clock | None = None
    offset: timedelta | None = None
    zone_word: str | None = None
    is_typed: bool = False
    two_digits: bool = False
    numeric: bool = False

    @property
    def has_day(self) -> bool:
        """Whether it tells a date."""
        return self.month_first is not None or self.day_first is not None

    @property
    def is_open(self) -> bool:
        """Whether its date has two readings."""
        return None not in {self.month_first, self.day_first} and self.month_first != self.day_first

    @property
    def proves(self) -> DateOrder | None:
        """The order of day and month that its date can be in alone; None where it proves none."""
        if not self.numeric or (self.month_first is None) == (self.day_first is None):
            return None
        return "day first" if self.month_first is None else "month first"

    def day(self, order: DateOrder | None) -> date | None:
        """Its date in this order of day and month; None where it has none, or two and no order."""
        if not self.is_open:
            return self.month_first or self.day_first
        if order is None:
            return None
        return self.day_first if order == "day first" else self.month_first


_MONTHS = (
    ("january", "jan", "enero", "ene"),
    ("february", "feb", "febrero"),
    ("march", "mar", "marzo"),
    ("april", "apr", "abril", "abr"),
    ("may", "mayo"),
    ("june", "jun", "junio"),
    ("july", "jul", "julio"),
    ("august", "aug", "agosto", "ago"),
    ("september", "sept", "sep", "septiembre", "setiembre", "set"),
    ("october", "oct", "octubre"),
    ("november", "nov", "noviembre"),
    ("december", "dec", "diciembre", "dic"),
)
_MONTH = {name: number for number, names in enumerate(_MONTHS, 1) for name in names}
WEEKDAYS = (
    ("monday", "mon", "lunes", "lun"),
    ("tuesday", "tues", "tue", "martes", "mar"),
    ("wednesday", "weds", "wed", "miercoles", "mie"),
    ("thursday", "thurs", "thur", "thu", "jueves", "jue"),
    ("friday", "fri", "viernes", "vie"),
    ("saturday", "sat", "sabado", "sab"),
    ("sunday", "sun", "domingo", "dom"),
)
_WEEKDAY = {name: number for number, names in enumerate(WEEKDAYS) for name in names}


def _either(words: dict[str, int]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


_Y4 = r"(?P<y>(?:19|20|21)\d\d)"
_NAMED_MONTH = rf"(?P<month>{_either(_MONTH)})\b\.?"
_DAYS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_Y4}(?P<sep>[-/.])(?P<m>\d{{1,2}})(?P=sep)(?P<d>\d{{1,2}})(?!\d)",
        r"(?P<one>\d{1,2})(?P<sep>[-/.])(?P<two>\d{1,2})(?P=sep)(?P<y>(?:19|20|21)\d\d|\d\d)(?!\d)",
        rf"{_NAMED_MONTH} ?(?P<d>\d{{1,2}})(?:st|nd|rd|th)?,? ?(?:de |del )?{_Y4}(?!\d)",
        rf"(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?: de | del |[ -])?(?:of )?{_NAMED_MONTH}(?:,? de |,? del |[ ,-]+)(?P<y>(?:19|20|21)\d\d|\d\d)(?!\d)",
        r"(?P<y>(?:19|20|21)\d\d)(?P<m>0[1-9]|1[0-2])(?P<d>[0-3]\d)(?=$|[t ]|\d{4}$|\d{6}$)",
    )
)
_NO_YEAR = re.compile(
    rf"(?:(?P<one>\d{{1,2}})[/.-](?P<two>\d{{1,2}})(?![/.\d-])|(?P<month>{_either(_MONTH)})\b\.? ?(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?! ?,? ?\d{{4}})(?!\d)"
    rf"|(?P<d2>\d{{1,2}})(?:st|nd|rd|th)? (?:de )?(?P<month2>{_either(_MONTH)})\b(?!,? (?:de |del )?\d{{4}}))"
)
_WEEKDAY_WORD = re.compile(rf"(?<![a-z])(?:{_either(_WEEKDAY)})(?![a-z])\.?,?")
_MERIDIEM = r"(?P<half>am\b|pm\b|a\b(?! ?\d)|p\b)"
_CLOCK = re.compile(
    rf"(?P<h>\d{{1,2}})(?:[:.h](?P<m>\d\d))(?:[:.](?P<s>\d\d)(?:[.,]\d{{1,9}})?)? ?(?:{_MERIDIEM}|(?P<h24>hrs?\b|hs\b|h\b|horas\b))?"
    rf"|(?P<h2>\d{{1,2}})(?P<m2>\d\d)? ?(?:(?P<half2>am\b|pm\b|a\b(?! ?\d)|p\b)|(?P<h24b>hrs?\b|hs\b|h\b))"
    r"|(?P<noon>12 noon|noon|12 mediodia|mediodia|medio dia)"
    r"|(?P<compact>\d{6}|\d{3,4})(?!\d)"
    r"|(?P<bare>\d{1,2})(?= ?(?:-|to |a |until |hasta ))"
)
_RANGE = re.compile(r" ?(?:-|to\b|until\b|till\b|hasta(?: las?)?\b|a(?: las?)?\b) ?")
_ZONE = re.compile(
    r"\(?(?P<word>(?:[ecmp][sd]?t|ak[sd]t|hst|ast|eastern|central|mountain|pacific)(?: standard| daylight)?(?: time)?)\)?$"
)
_UTC = re.compile(r"(?:z|utc|gmt)$")
_OFFSET = re.compile(r"(?:utc|gmt)?(?P<sign>[+-])(?P<h>\d\d):?(?P<m>\d\d)$")
_MIDNIGHT = datetime(2000, 1, 1)  # ruff: ignore[call-datetime-without-tzinfo]  a wall clock to count from
_SERIALS = (36526, 73415)  # 2000 to 2100, as the numbers of Excel's days
# How databases and spreadsheets write a time of day without a day.
_NO_DAY = re.compile(r"^(?:1899-12-3[01]|12/3[01]/1899|1900-01-0[01]|0?1/0?[01]/1900)[t ]")
_HALVES = (
    (r"\b([ap])\.? ?m\b\.?", r"\1m"),
    (r" de la manana\b", "am"),
    (r" de la (?:tarde|noche)\b", "pm"),
    (r" in the morning\b", "am"),
    (r" in the (?:afternoon|evening)\b", "pm"),
    (r"o'?clock", ""),
)


def folded(text: str) -> str:
    """A cell's text in small letters without accents, its halves of the day as am and pm, its dashes as one."""
    flat = unicodedata.normalize("NFKD", text[:200])
    flat = "".join(
        one for one in flat if not unicodedata.combining(one) and unicodedata.category(one) != "Cf"
    ).casefold()
    flat = re.sub(r"[\u2010-\u2015\u2212]", "-", flat).replace("\u2019", "'")
    flat = " ".join(flat.split()).strip("' ")
    for pattern, half in _HALVES:
        flat = re.sub(pattern, half, flat)
    return flat


@lru_cache(maxsize=65536)
def _tell_text(text: str, role: str, *, base_1904: bool) -> Told:
    flat = folded(text)
    if not flat:
        raise Untold("is empty")
    if re.fullmatch(r"\d+(?:\.\d+)?", flat) and (told := _tell_number(float(flat), flat, role, base_1904=base_1904)):
        return told
    if role == "clock":
        flat = _NO_DAY.sub("", flat)
    weekdays = {_WEEKDAY[re.sub(r"\W", "", word)] for word in _WEEKDAY_WORD.findall(flat) if not _is_march(word, flat)}
    if weekdays:
        flat = _WEEKDAY_WORD.sub(lambda found: found[0] if _is_march(found[0], flat) else " ", flat)
        flat = re.sub(r"\( *\)", " ", flat)
        flat = " ".join(flat.split()).strip(" ,")
    told, rest, iso = _tell_day(flat, role)
    if len(weekdays) > 1:
        raise Untold("names more than one day of the week; write one date")
    rest = re.sub(r"^(?:t(?=\d)|,|@|at\b|a las?\b|-|;|\|)+", "", rest.strip()).strip(" ,")
    rest = re.sub(r"^(?:at|a las?|de|from|las?) (?=\d)", "", rest)
    if rest:
        told = _with_clock(told, rest, iso=iso, role=role)
    if not told.has_day and told.clock is None:
        raise Untold("is no date and no time that we read; write it like 2026-12-03 or 3:00 pm")
    if weekdays:
        told = _of_weekday(told, weekdays.pop())
    return told


def _is_march(word: str, flat: str) -> bool:
    """`mar` is March before or after a number, else Tuesday (martes)."""
    return re.sub(r"\W", "", word) == "mar" and bool(
        re.search(
            r"(?<![a-z])mar\.?[ -]\d{1,2}(?:,|\b)(?: |,|-)+(?:de )?\d{4}|\d(?:st|nd|rd|th)?(?: de |[ -])mar\b", flat
        )
    )


def tell(cell: Cell, role: Literal["day", "clock", "moment"] = "moment", *, base_1904: bool = False) -> Told:
    """What a cell can mean as a date, a time of day or both. Raises Untold."""
    if isinstance(cell, bool) or cell is None:
        raise Untold("is no date and no time")
    if isinstance(cell, datetime):
        told = _sure(cell.date())
        return told if cell.time() == time() else replace(told, clock=_clock_of(cell.time()))
    if isinstance(cell, date):
        return _sure(cell)
    if isinstance(cell, time):
        return Told(clock=_clock_of(cell), is_typed=True)
    if isinstance(cell, timedelta):
        if not timedelta() <= cell < timedelta(days=1):
            raise Untold("is longer than a day, so it is no time of day")
        return Told(clock=_clock_of((_MIDNIGHT + cell).time()), is_typed=True)
    if isinstance(cell, int | float):
        told_number = _tell_number(float(cell), f"{cell:g}" if cell < 1e6 else f"{cell:.0f}", role, base_1904=base_1904)
        if told_number is None:
            raise Untold("is a number that is no date and no time; write it like 2026-12-03 or 3:00 pm")
        return told_number
    return _tell_text(cell, role, base_1904=base_1904)


def _sure(day: date) -> Told:
    return Told(month_first=day, day_first=day, is_typed=True)


def _clock_of(at: time) -> Clock:
    seconds = at.second + (at.microsecond >= 500_000)
    moment = datetime.combine(date.min, at.replace(second=0, microsecond=0)) + timedelta(seconds=seconds)
    # Who types 3:00 into Excel and means the afternoon gets three in the morning.
    return Clock(moment.hour, moment.minute, moment.second, sure=not 1 <= moment.hour < 6)


def _tell_number(value: float, text: str, role: str, *, base_1904: bool) -> Told | None:
    """A number as Excel's count of days, as a fraction of one, as 1300, or as 20261203; None for any other."""
    whole = text.isdigit()
    if role == "clock":
        if whole and len(text) in {3, 4}:
            return Told(clock=_compact(text))
        if 0 < value < 1:
            return Told(clock=_fraction(value), is_typed=True)
    if whole and len(text) in {8, 12, 14}:
        return _compact_day(text)
    if 0 < value < 1 and not whole:
        return Told(clock=_fraction(value), is_typed=True)
    if base_1904:
        value += 1462
    if not _SERIALS[0] <= value < _SERIALS[1]:
        return None
    told = _sure(date(1899, 12, 30) + timedelta(days=int(value)))
    return replace(told, clock=_fraction(value % 1)) if value % 1 > 1e-6 else told


def _fraction(value: float) -> Clock:
    minutes = round(value * 1440, 3)
    seconds = round(value * 86400) if abs(minutes - round(minutes)) > 0.02 else round(minutes) * 60
    return _clock_of((_MIDNIGHT + timedelta(seconds=min(seconds, 86399))).time())


def _compact(text: str) -> Clock:
    text, second = (text[:4], int(text[4:])) if len(text) == 6 else (text, 0)
    hour, minute = int(text[:-2]), int(text[-2:])
    if hour > 23 or minute > 59 or second > 59:
        raise Untold("is no time of day; write it like 3:00 pm or 15:00")
    return Clock(hour, minute, second, padded=len(text) == 4 and hour < 10)


def _compact_day(text: str) -> Told:
    try:
        day = date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        raise Untold("there is no such date; write it like 2026-12-03") from None
    if not 1900 <= day.year <= 2199:
        raise Untold("there is no such date; write it like 2026-12-03")
    told = Told(month_first=day, day_first=day)
    if len(text) == 8:
        return told
    hour, minute, second = int(text[8:10]), int(text[10:12]), int(text[12:14] or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise Untold("there is no such time of day; write it like 15:00")
    return replace(told, clock=None if hour == minute == second == 0 else Clock(hour, minute, second, sure=True))


def _tell_day(flat: str, role: str) -> tuple[Told, str, bool]:
    """The date at the beginning or the end of a text, what is left of it, and whether the date is in ISO's order."""
    for index, pattern in enumerate(_DAYS):
        found = pattern.match(flat) or next(iter(pattern.finditer(flat)), None)
        if found is None or (found.start() and re.search(r"\d\Z", flat[: found.start()].rstrip(" ,"))):
            continue
        rest = f"{flat[: found.start()]} {flat[found.end() :]}".strip()
        return _day_of(found), rest, index in {0, 4}
    no_year = _NO_YEAR.match(flat)
    # 9-10:30 and 5-7pm are times; 12/3 is a date.
    if no_year and (not no_year["one"] or "/" in no_year[0] or (role != "clock" and re.fullmatch(r"\d+-\d+", flat))):
        raise Untold("has no year; write the whole date, like 2026-12-03")
    return Told(), flat, False


def _day_of(found: re.Match[str]) -> Told:
    parts = found.groupdict()
    year = int(parts["y"]) + (2000 if len(parts["y"]) == 2 else 0)
    two_digits = len(parts["y"]) == 2
    if parts.get("one"):
        one, two = int(parts["one"]), int(parts["two"])
        month_first, day_first = _date(year, one, two), _date(year, two, one)
        if month_first is None and day_first is None:
            raise Untold("there is no such date; write it like 2026-12-03")
        return Told(month_first=month_first, day_first=day_first, two_digits=two_digits, numeric=True)
    month = _MONTH[parts["month"]] if parts.get("month") else int(parts["m"])
    day = _date(year, month, int(parts["d"]))
    if day is None:
        raise Untold("there is no such date; write it like 2026-12-03")
    return Told(month_first=day, day_first=day, two_digits=two_digits)


def _date(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _of_weekday(told: Told, weekday: int) -> Told:
    """The readings that fall on this day of the week: Thu 12/3/2026 is in December. Raises Untold for none."""
    if not told.has_day:
        return told
    fits = [day if day is not None and day.weekday() == weekday else None for day in (told.month_first, told.day_first)]
    if fits == [None, None]:
        raise Untold("names a day of the week that the date is not on; check the date")
    # Both orders are one and the same from here on, and the weekday is no proof for other rows.
    only = fits[0] if fits[1] is None else fits[1] if fits[0] is None else None
    if only is not None:
        return replace(told, month_first=only, day_first=only)
    return told


def _with_clock(told: Told, rest: str, *, iso: bool, role: str) -> Told:
    """`told` with the time of day that the rest of a cell tells. Raises Untold."""
    whole = rest
    offset, zone_word = None, None
    if utc := _UTC.search(rest):
        before = rest[: utc.start()].rstrip(" (")
        if re.search(r"\d\Z|[ap]m\Z", before):
            offset, rest = timedelta(), before
    elif (found := _OFFSET.search(rest)) and _is_offset(found, rest, iso=iso):
        offset = timedelta(hours=int(found["h"]), minutes=int(found["m"])) * (-1 if found["sign"] == "-" else 1)
        rest = rest[: found.start()].rstrip(" (")
    elif found := _ZONE.search(rest):
        zone_word, rest = found["word"].upper(), rest[: found.start()].rstrip(" (")
    if re.fullmatch(r"(?:12 ?)?(?:midnight|medianoche)", rest):
        raise Untold("midnight belongs to two days; write the time like 11:59 pm or 12:01 am")
    first = _CLOCK.match(rest)
    if first is None or (first["compact"] and told.has_day and not iso and len(first["compact"]) != 4):
        raise Untold(_why_no_clock(whole, role, has_day=told.has_day))
    tail = rest[first.end() :]
    clock, until = _clock(first, machine=iso), None
    if between := _RANGE.match(tail):
        second = _CLOCK.fullmatch(tail[between.end() :].strip())
        bare = re.fullmatch(r"\d{1,2}", tail[between.end() :].strip())
        if second is None and bare is None:
            raise Untold(_why_no_clock(whole, role, has_day=told.has_day))
        until = _clock(second, machine=iso) if second else Clock(int(bare[0]) if bare else 0, 0)
        clock, until = _of_range(clock, until)
    elif tail.strip() or first["bare"]:
        raise Untold(_why_no_clock(whole, role, has_day=told.has_day))
    if told.has_day and until is None and clock.hour == clock.minute == clock.second == 0:
        return told  # a date that a machine wrote with a clock: no time is never midnight
    if clock.hour == clock.minute == clock.second == 0:
        raise Untold("says midnight, which mostly means that there is no time; write the time of the visit")
    return replace(told, clock=clock, until=until, offset=offset, zone_word=zone_word)


def _why_no_clock(rest: str, role: str, *, has_day: bool) -> str:
    if re.fullmatch(r"\d{1,2}", rest):
        return "is only a number; write the time like 3:00 pm or 15:00"
    if has_day:
        return "holds more than a date and a time; write it like 2026-12-03 15:00"
    if role != "clock":
        return "is no date and no time that we read; write it like 2026-12-03 or 3:00 pm"
    return "is no time that we read; write it like 3:00 pm or 15:00"


def _is_offset(found: re.Match[str], rest: str, *, iso: bool) -> bool:
    if int(found["h"]) > 14 or int(found["m"]) > 59:
        return False
    if found["sign"] == "+" or found[0].startswith(("utc", "gmt")):
        return True
    before = re.match(r"(\d{1,2})[:.]?(\d\d)", rest)
    # 2026-12-03 15:00-16:00 is a range, and 15:00-05:00 is an offset.
    return (
        iso
        and before is not None
        and (int(before[1]), int(before[2])) >= (int(found["h"]), int(found["m"]))
        and bool(re.search(r"\d[ ]?\Z", rest[: found.start()]))
    )


def _clock(found: re.Match[str], *, machine: bool) -> Clock:
    parts = found.groupdict()
    if parts["noon"]:
        return Clock(12, 0, sure=True)
    if parts["compact"]:
        clock = _compact(parts["compact"])
        return replace(clock, sure=True) if machine and len(parts["compact"]) != 3 else clock
    if parts["bare"]:
        return Clock(_hour(int(parts["bare"])), 0)
    text = parts["h"] or parts["h2"]
    hour, minute, second = int(text), int(parts["m"] or parts["m2"] or 0), int(parts["s"] or 0)
    if minute > 59 or second > 59 or hour > 23:
        raise Untold("is no time of day; write it like 3:00 pm or 15:00")
    if half := parts["half"] or parts["half2"]:
        if hour > 12 and half.startswith("p"):
            return Clock(hour, minute, second, sure=True)  # 15:00 pm
        if not 1 <= hour <= 12:
            raise Untold("is no time of day; write it like 3:00 pm or 15:00")
        return Clock(hour % 12 + (12 if half.startswith("p") else 0), minute, second, sure=True)
    marked = bool(parts["h24"] or parts["h24b"]) and (hour > 12 or len(text) == 2)
    # Who leaves am and pm out and writes seconds is a machine.
    return Clock(
        hour,
        minute,
        second,
        sure=(machine and len(text) == 2) or marked or parts["s"] is not None,
        padded=len(text) == 2 and hour < 10,
    )


def _hour(hour: int) -> int:
    if hour > 23:
        raise Untold("is no time of day; write it like 3:00 pm or 15:00")
    return hour


def _of_range(start: Clock, until: Clock) -> tuple[Clock, Clock]:
    """A range of which one end says am or pm: 5:30-7pm is of the evening, 11-1pm over noon, 9am-10:30 of the morning."""
    if start.sure and until.sure:
        return start, until
    if until.sure:
        hours = [hour for hour in (start.hour % 12, start.hour % 12 + 12) if start.hour <= 12]
        before = [hour for hour in hours if (hour, start.minute) < (until.hour, until.minute)]
        if not before:
            return start, until
        return Clock(max(before), start.minute, start.second, sure=True), until
    if start.sure and until.hour <= 12:
        after = [
            hour
            for hour in (until.hour % 12, until.hour % 12 + 12)
            if (hour, until.minute) > (start.hour, start.minute)
        ]
        if after:
            return start, Clock(min(after), until.minute, until.second, sure=True)
    return start, until


@dataclass(slots=True)
class Order:
    """What a file proves about the order of day and month; `said` is what its profile or a header says."""

    said: DateOrder | None = None
    month_first: list[str] = field(default_factory=list)  # places of what proves it
    day_first: list[str] = field(default_factory=list)
    open: list[tuple[str, Told]] = field(default_factory=list)

    def see(self, place: str, told: Told) -> None:
        """Take a date of the file into account."""
        if told.proves == "month first":
            self.month_first.append(place)
        elif told.proves == "day first":
            self.day_first.append(place)
        elif told.is_open and told.numeric:
            self.open.append((place, told))

    @property
    def is_contradictory(self) -> bool:
        """Whether some dates can be in one order only and some in the other only."""
        return bool(self.month_first and self.day_first)

    @property
    def holds(self) -> DateOrder | None:
        """The order of the file; None where it is not known."""
        if self.said is not None:
            return self.said
        if self.is_contradictory:
            return None
        return "month first" if self.month_first else "day first" if self.day_first else None


@dataclass(slots=True)
class Clocks:
    """What a file proves about its clock: 24 hours, or not. `said` is what its profile says."""

    said: ClockKind | None = None
    late: bool = False
    padded: bool = False
    unpadded: bool = False
    early: bool = False
    open: list[tuple[str, Clock]] = field(default_factory=list)

    def see(self, place: str, clock: Clock) -> None:
        """Take a time of the file into account."""
        if clock.sure:
            return
        self.late |= clock.proves_24
        self.padded |= clock.padded
        self.unpadded |= clock.hour < 10 and not clock.padded
        self.early |= 1 <= clock.hour < 6
        if not clock.is_settled:
            self.open.append((place, clock))

    def read(self, clock: Clock) -> time | None:
        """The time of day that is meant; None where that must be asked."""
        if clock.is_settled or self.said == "24":
            return clock.at()
        if self.said == "office":
            return clock.at(clock.hour if clock.hour >= 7 else clock.hour + 12)
        # 3:00 beside 15:00 is a person's afternoon rather than a night.
        if self.late and (clock.hour >= 6 or clock.padded) and not (clock.hour < 6 and self.unpadded):
            return clock.at()
        if self.padded and not self.unpadded and not self.early:
            return clock.at()
        return None


def instant(day: date, at: time, offset: timedelta) -> datetime:
    """The instant (aware, UTC) of a wall clock with an offset."""
    return datetime.combine(day, at, UTC) - offset
