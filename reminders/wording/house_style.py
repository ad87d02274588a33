"""How staff read dates, times and phone numbers: an installation has one house style, that of its region (screens 14).

In the US that is `Sat, Nov 28, 2026, 9:04 pm` and `(202) 555-0100`, in the United Kingdom `Sat 28 Nov, 21:04`.
`use` sets the region when the settings are read. No text to a patient is written with these.
"""

import re
from datetime import date, datetime, time
from functools import lru_cache

import phonenumbers
from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time
from phonenumbers import PhoneNumberFormat

from reminders.plans import to_wall

_style = {"region": "US"}


def use(region: str) -> None:
    """Write everything from now on in the style of this region (ISO 3166, two letters)."""
    _style["region"] = region


@lru_cache
def _locale(region: str) -> Locale:
    try:
        return Locale("en", territory=region)
    except UnknownLocaleError:
        return Locale.parse("en_001")  # English as the rest of the world writes it


def day(on: date, *, year: bool = True, long: bool = False) -> str:
    """A date: `Sat, Nov 28, 2026`; without the year `Sat, Nov 28`; long `Saturday, November 28, 2026`."""
    locale = _locale(_style["region"])
    if long:
        pattern = locale.date_formats["full"].pattern
        return _plain(format_date(on, pattern if year else re.sub(r",? y+", "", pattern), locale=locale))
    return _plain(format_skeleton("yMMMEd" if year else "MMMEd", on, locale=locale))


def month_day(on: date) -> str:
    """A date of this year without its weekday: `Nov 28`."""
    return _plain(format_skeleton("MMMd", on, locale=_locale(_style["region"])))


def hour(at: time | datetime, *, seconds: bool = False) -> str:
    """A wall-clock time: `9:04 pm`, with seconds `9:04:31 pm`."""
    said = format_time(at.replace(tzinfo=None), "medium" if seconds else "short", locale=_locale(_style["region"]))
    return _plain(said).replace("AM", "am").replace("PM", "pm")


def moment(wall: datetime, *, year: bool = True, long: bool = False, seconds: bool = False) -> str:
    """A wall clock: `Sat, Nov 28, 2026, 9:04 pm`."""
    return f"{day(wall, year=year, long=long)}, {hour(wall, seconds=seconds)}"


def clock_time(at: datetime, zone: str, now: datetime | None = None, *, seconds: bool = False) -> str:
    """An instant on the wall clock of `zone`, without the year if that is the year of `now`."""
    wall = to_wall(at, zone)
    return moment(wall, year=now is None or to_wall(now, zone).year != wall.year, seconds=seconds)


def near(at: datetime, zone: str, now: datetime) -> str:
    """An instant on the wall clock of `zone`, as short as today's date allows: `5:55 pm`, `Thu, Nov 26, 9:00 am`."""
    wall = to_wall(at, zone)
    return hour(wall) if wall.date() == to_wall(now, zone).date() else clock_time(at, zone, now)


def phone(e164: str) -> str:
    """A phone number as people here write it: `(202) 555-0100`; one of another country with its code."""
    try:
        number = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return e164
    is_here = phonenumbers.country_code_for_region(_style["region"]) == number.country_code
    return phonenumbers.format_number(
        number, PhoneNumberFormat.NATIONAL if is_here else PhoneNumberFormat.INTERNATIONAL
    )


def read_day(typed: str) -> date | None:
    """The day that a person typed: `12/3/2026`, `Dec 3, 2026` or `2026-12-03`; None for anything else.

    Which of two numbers is the month follows the region's own order.
    """
    words = re.sub(
        r"^(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\b[.,]? |[,.]", "", " ".join(typed.split()), flags=re.IGNORECASE
    )
    month_first = re.match(r"'?M", _locale(_style["region"]).date_formats["short"].pattern) is not None
    numbers = ["%m/%d/%Y", "%m/%d/%y"] if month_first else ["%d/%m/%Y", "%d/%m/%y"]
    for form in ("%Y-%m-%d", *numbers, "%b %d %Y", "%B %d %Y", "%d %b %Y", "%d %B %Y"):
        try:
            return datetime.strptime(words, form).date()  # ruff: ignore[call-datetime-strptime-without-zone]  a date
        except ValueError:
            continue
    return None


_HOUR = re.compile(r"(\d{1,2})(?::?([0-5]\d))?(?::[0-5]\d)? ?(?:([ap])\.? ?m?\.?)?", re.IGNORECASE)


def read_hour(typed: str) -> time | None:
    """The wall-clock time that a person typed: `3 pm`, `3:30p`, `noon`, `15:30`; None for anything else.

    An hour alone without am or pm may be either, so it is none.
    """
    words = " ".join(typed.lower().split())
    if words == "noon":
        return time(12)
    match = _HOUR.fullmatch(words)
    if match is None or (match[2] is None and match[3] is None):
        return None
    number, minute = int(match[1]), int(match[2] or 0)
    if match[3] is None:
        return time(number, minute) if number < 24 else None
    return time(number % 12 + (12 if match[3] == "p" else 0), minute) if 1 <= number <= 12 else None


def _plain(said: str) -> str:
    return re.sub(r"\s", " ", said)
