"""Write a text: choose it from the catalog, and fill in days and times as the reader sees them (W-1…W-5)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import product
from operator import itemgetter
from typing import Literal
from zoneinfo import ZoneInfo

import phonenumbers

from reminders import plans
from reminders.wording.catalog import TEXTS, Catalog, catalog_code, catalogs
from reminders.wording.lint import telling_words
from reminders.wording.segments import segments

MOST_LISTED = 3  # times named in one text (docs/design.md#one-reminder-a-day)

_ALWAYS = frozenset({"crisis", "overdose"})  # C-3: neither length nor lint stops these

# What these letters mean to readers in America. Shanghai also uses CST, and Manila PST.
_AMERICAN = {
    "EST": timedelta(hours=-5),
    "EDT": timedelta(hours=-4),
    "CST": timedelta(hours=-6),
    "CDT": timedelta(hours=-5),
    "MST": timedelta(hours=-7),
    "MDT": timedelta(hours=-6),
    "PST": timedelta(hours=-8),
    "PDT": timedelta(hours=-7),
}


@dataclass(frozen=True, slots=True)
class Visit:
    """One appointment as a text describes it.

    `wall` is the naive wall clock of the place, `zone` the place's IANA zone, and `starts_at` the same moment as an
    aware UTC instant (it settles a time that clocks show twice). `meeting` marks one that the person asked to be
    reminded of (support_meeting, house_meeting). `asks` says whether the text may ask for C or R, `mode` how the visit
    takes place.
    """

    wall: datetime
    zone: str
    starts_at: datetime
    meeting: bool
    asks: bool
    mode: plans.Mode = plans.Mode.IN_PERSON


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text ready to be sent: the id of its wording, its language, its body, and its encoding and segments."""

    template: str
    language: str
    body: str = field(repr=False)
    encoding: str
    segments: int


class CannotSay(ValueError):  # ruff: ignore[error-suffix-on-exception-name]  its name says what is wrong
    """A request for a text that does not exist: a bug, and not a fault of the stored data."""


class Unsayable(Exception):  # ruff: ignore[error-suffix-on-exception-name]  a verdict on a text, not a bug
    """There is no text that may be sent. `reason` is one of docs/design.md#reasons; for `lint`, `words` has the words
    refused.
    """

    def __init__(self, reason: Literal["no_wording", "lint"], words: tuple[str, ...] = ()) -> None:
        super().__init__(f"{reason}: {', '.join(words)}" if words else reason)
        self.reason: Literal["no_wording", "lint"] = reason
        self.words = words


def reminder(
    visits: Sequence[Visit], *, language: str, alias: str, phone: str, reader_zone: str, now: datetime
) -> Rendered:
    """The reminder of visits on one day, or in one week, as of `now` (aware), the time of sending.

    `language` is a BCP 47 tag, `phone` the site's in E.164, `reader_zone` the reader's IANA zone. "Today" and
    "tomorrow" are the reader's. The text uses them only if the reader's clocks and the place's agree at the start; if
    not, it names the place's time zone. It lists up to three times, the earliest first.

    Raises Unsayable and never substitutes another text: `no_wording` if the language has no such text, it does not fit
    one segment (W-3), or the visits are a week or more apart; `lint` if a word tells (W-2). Raises ValueError for no
    visits, a naive `now` and an unknown zone.
    """
    if not visits:
        raise CannotSay("a reminder needs at least one visit")
    return _reminder(tuple(visits), language, alias, phone, reader_zone, plans.to_wall(now, reader_zone).date())


# People who come at the same time to the same place get the same text, so it is written and checked once.
@lru_cache(maxsize=1024)
def _reminder(  # ruff: ignore[too-many-positional-arguments]  names would make a longer key
    visits: tuple[Visit, ...], language: str, alias: str, phone: str, reader_zone: str, today: date
) -> Rendered:
    catalog = catalog_of(language)
    placed = sorted(((_start(visit), visit.mode) for visit in visits), key=lambda one: one[0][0])
    starts = [start for start, _ in placed]
    day = starts[0][1].date()
    if (starts[-1][1].date() - day).days >= 7:
        raise Unsayable("no_wording")
    told, ahead = _told(catalog, starts, reader_zone, today)
    week = any(wall.date() != day for _, wall, _ in starts)
    values = {"alias": alias, "phone": shown_phone(phone), "count": len(visits)} | told
    ways = [values]
    if len(visits) > 1 and any(mode is not plans.Mode.IN_PERSON for _, mode in placed):
        # If there is room, each time says how the visit takes place. Without that the text is still true.
        each = _told(catalog, starts, reader_zone, today, modes=[mode for _, mode in placed])[0]
        ways.insert(0, values | each)
    return _first_sayable(catalog, ("reminder_week",) if week else _wordings(visits, ahead), *ways)


def answer(
    wording: str,
    *,
    language: str,
    alias: str,
    phone: str,
    line24: str,
    per_week: int = 7,
    visit: Visit | None = None,
    was: Visit | None = None,
    reader_zone: str | None = None,
    now: datetime | None = None,
) -> Rendered:
    """The catalog text `wording` that is not a reminder: an answer, a welcome or a notice, as of `now`.

    `language` is a BCP 47 tag, `phone` and `line24` the site's in E.164. A text with a day names that of `visit`, as a
    reminder does: with "today" and "tomorrow" only if `now` is given, and with the place's time zone if `reader_zone`
    is given and differs. `was` is the moved visit at its old time; if the day has changed and there is room, the text
    names the old day too (`moved_from`).

    Raises Unsayable and never substitutes another text: `no_wording` if the language has no such text or it does not
    fit one segment (W-3); `lint` if a word tells (W-2). `crisis` and `overdose` contain no words from outside, and a
    long phone number must not silence them, so they may have any length (C-3). Raises ValueError for an unknown
    `wording`, and for one with a day if `visit` is missing.
    """
    if wording not in TEXTS or wording.startswith("reminder_") or wording in _OF_SEVERAL or wording == "moved_from":
        raise CannotSay(f"there is no such answer: {wording}")
    catalog = catalog_of(language)
    wordings: tuple[str, ...] = (wording,)
    values: dict[str, object] = {
        "alias": alias,
        "phone": shown_phone(phone),
        "line24": shown_phone(line24),
        "per_week": per_week,
    }
    if "day" in TEXTS[wording]:
        if visit is None:
            raise CannotSay(f"{wording} names a day, so it needs the visit")
        zone = reader_zone or visit.zone
        today = plans.to_wall(now, zone).date() if now is not None else None
        values |= _told(catalog, [_start(visit)], zone, today)[0]
        if wording == "moved" and was is not None and was.wall.date() != visit.wall.date():
            values["old_day"] = _told(catalog, [_start(was)], zone, today)[0]["day"]
            wordings = ("moved_from", "moved")
        elif wording == "confirmed" and visit.mode is not plans.Mode.IN_PERSON:
            wordings = (f"confirmed_{visit.mode}", "confirmed")
    return _first_sayable(catalog, wordings, values)


def several(
    wording: str, visits: Sequence[Visit], *, language: str, alias: str, phone: str, reader_zone: str
) -> Rendered:
    """The notice `wording` (moved, called_off or closed) about several visits at once.

    It lists up to three days; moved visits must share one time of day. Otherwise it says that several visits have
    changed, and whom to call (`changed`). Raises Unsayable as `answer` does, and ValueError for another `wording`.
    """
    if f"{wording}_several" not in _OF_SEVERAL:
        raise CannotSay(f"there is no such notice: {wording}")
    catalog = catalog_of(language)
    starts = sorted((_start(visit) for visit in visits), key=itemgetter(0))
    each = [_told(catalog, [start], reader_zone, None)[0] for start in starts]
    days = list(dict.fromkeys(told["day"] for told in each))
    times = {told["time"] for told in each}
    values = {"alias": alias, "phone": shown_phone(phone), "time": each[0]["time"], "days": catalog.joined(days)}
    is_listed = len(days) <= MOST_LISTED and (wording != "moved" or (len(times) == 1 and len(days) > 1))
    return _first_sayable(catalog, (f"{wording}_several", "changed") if is_listed else ("changed",), values)


_OF_SEVERAL = frozenset({"moved_several", "called_off_several", "closed_several"})


def catalog_of(language: str) -> Catalog:
    """The catalog for a BCP 47 tag. Raises Unsayable if there is none."""
    code = catalog_code(language)
    if code is None:
        raise Unsayable("no_wording")
    return catalogs()[code]


def _first_sayable(catalog: Catalog, wordings: Sequence[str], *ways: Mapping[str, object]) -> Rendered:
    """The first of these texts, with the first of these sets of values, that exists in the language and fits.

    Raises Unsayable.
    """
    for name, values in product(wordings, ways):
        if (text := catalog.texts.get(name)) is not None:
            rendered = _rendered(name, catalog.language, text.format_map(values))
            if name in _ALWAYS:
                return rendered
            if words := telling_words(rendered.body):
                raise Unsayable("lint", words)
            if rendered.segments == 1:
                return rendered
    raise Unsayable("no_wording")


def _told(
    catalog: Catalog,
    starts: Sequence[tuple[datetime, datetime, str]],
    reader_zone: str,
    today: date | None,
    modes: Sequence[plans.Mode] = (),
) -> tuple[dict[str, str], int | None]:
    """`day`, `time` and `times` of these starts in the reader's words, and how far ahead the day is if they say it.

    With `modes`, one for each start, a time also says that the visit is by phone or by video.
    """
    day = starts[0][1].date()
    near = all(zone == reader_zone or plans.to_wall(instant, reader_zone) == wall for instant, wall, zone in starts)
    ahead = (day - today).days if near and today is not None else None
    if any(wall.hour == wall.minute == 0 for _, wall, _ in starts):
        ahead = None  # "tomorrow at midnight" is tonight to one reader and tomorrow night to another
    first, times = _times(catalog, starts, None if near else reader_zone, modes)
    return {"day": catalog.day(day, ahead), "time": first, "times": times}, ahead


def _start(visit: Visit) -> tuple[datetime, datetime, str]:
    """A visit's start, the wall clock at the place then, and its zone. The agreed wall clock is the source of truth."""
    shown = plans.to_wall(visit.starts_at, visit.zone)
    if shown == visit.wall:
        return visit.starts_at, shown, visit.zone
    instant = plans.to_instant(visit.wall, visit.zone)
    return instant, plans.to_wall(instant, visit.zone), visit.zone


def _wordings(visits: Sequence[Visit], ahead: int | None) -> tuple[str, ...]:
    """The ids of the texts that fit, the preferred one first."""
    meetings = all(visit.meeting for visit in visits)
    if len(visits) > 1:
        several, many = (
            ("reminder_meetings", "reminder_many_meetings") if meetings else ("reminder_several", "reminder_many")
        )
        return (several, many) if len(visits) <= MOST_LISTED else (many,)
    mode = visits[0].mode
    if meetings:
        told = "reminder_meeting"
        return (told,) if mode is plans.Mode.IN_PERSON else (f"{told}_{mode}", told)
    if mode is not plans.Mode.IN_PERSON:
        # "You have a visit" is true of every mode, in case the words for this mode do not fit.
        ask = "_ask" if visits[0].asks else ""
        return (f"reminder_{mode}{'_today' if ahead == 0 else ''}{ask}", f"reminder_ahead{ask}")
    days: dict[int | None, str] = {0: "reminder_today", 1: "reminder_tomorrow"}
    told = days.get(ahead, "reminder_ahead")
    return (f"{told}_ask" if visits[0].asks else told,)


def _times(
    catalog: Catalog,
    starts: Sequence[tuple[datetime, datetime, str]],
    reader_zone: str | None,
    modes: Sequence[plans.Mode] = (),
) -> tuple[str, str]:
    """The first time and the list of all, with the zones of the places if a `reader_zone` is given."""
    clocks = [catalog.clock(wall.time()) for _, wall, _ in starts]
    if modes:
        if reader_zone is not None:
            clocks = [
                catalog.in_zone.format(times=clock, zone=_zone_name(*start, reader_zone))
                for clock, start in zip(clocks, starts, strict=True)
            ]
        patterns = {plans.Mode.PHONE: catalog.by_phone, plans.Mode.VIDEO: catalog.by_video}
        each = [patterns.get(mode, "{time}").format(time=clock) for clock, mode in zip(clocks, modes, strict=True)]
        return each[0], catalog.joined(list(dict.fromkeys(each)))
    if reader_zone is None:
        return clocks[0], catalog.joined(list(dict.fromkeys(clocks)))
    zones = [_zone_name(instant, wall, zone, reader_zone) for instant, wall, zone in starts]
    each = [catalog.in_zone.format(times=clock, zone=zone) for clock, zone in zip(clocks, zones, strict=True)]
    if len(set(zones)) > 1:
        return each[0], catalog.joined(list(dict.fromkeys(each)))
    together = catalog.joined(list(dict.fromkeys(clocks)))
    return each[0], catalog.in_zone.format(times=together, zone=zones[0])


def _zone_name(instant: datetime, wall: datetime, zone: str, reader_zone: str) -> str:
    """The letters of a place's time zone (EST) if they are unambiguous to the reader, else `UTC+10:30`."""
    offset = wall - instant.astimezone(UTC).replace(tzinfo=None)
    # The letters come from the machine's zone table, which must agree with the offset in ours.
    there, here = (instant.astimezone(ZoneInfo(name)) for name in (zone, reader_zone))
    letters = there.tzname() or ""
    known = there.utcoffset() == offset == _AMERICAN.get(letters, offset)
    if known and letters.isalpha() and letters != here.tzname():
        return letters
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    return f"UTC{'-' if offset < timedelta(0) else '+'}{hours}{f':{minutes:02}' if minutes else ''}"


@lru_cache(maxsize=1024)
def shown_phone(e164: str) -> str:
    """`202-555-0100` for +1, and the international form for the rest of the world."""
    if e164.startswith("+1") and len(e164) == 12:
        return f"{e164[2:5]}-{e164[5:8]}-{e164[8:]}"
    try:
        number = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return e164
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def _rendered(template: str, language: str, body: str) -> Rendered:
    length = segments(body)
    return Rendered(template=template, language=language, body=body, encoding=length.encoding, segments=length.count)


def samples(language: str) -> Iterator[Rendered]:
    """Every text of a language once, with the longest value in every placeholder (W-3).

    They are an alias of 18 and phones of 12 characters, the longest day, and the longest time or three of them, with or
    without a time zone, whichever is longer. Raises KeyError for a language without texts.
    """
    catalog = catalogs()[language]
    longest = {ahead: _longest(catalog, ahead) for ahead in (None, 0, 1)}
    ways = {"ahead": (None,), "today": (0,), "tomorrow": (1,)}
    for name in TEXTS:
        if (text := catalog.texts.get(name)) is not None:
            told = ways.get(name.removesuffix("_ask").rpartition("_")[2], tuple(longest))
            yield _rendered(name, language, max((text.format_map(longest[ahead]) for ahead in told), key=len))


def examples(language: str, *, alias: str, phone: str, line24: str) -> Iterator[Rendered]:
    """Every text of a language once, as it reads on an ordinary day; `phone` and `line24` in E.164.

    Raises KeyError for a language without texts.
    """
    catalog = catalogs()[language]
    clocks = [catalog.clock(time(hour)) for hour in (9, 15)]
    plain = {"alias": alias, "phone": shown_phone(phone), "line24": shown_phone(line24), "count": "3", "per_week": "7"}
    plain |= {"time": clocks[1], "times": catalog.joined(clocks), "old_day": catalog.day(date(2026, 12, 2), None)}
    ways = {"today": 0, "tomorrow": 1}
    for name in TEXTS:
        if (text := catalog.texts.get(name)) is not None:
            ahead = ways.get(name.removesuffix("_ask").rpartition("_")[2])
            three = catalog.joined([catalog.day(date(2026, 12, day), None) for day in (1, 2, 4)])
            said = text.format_map(plain | {"day": catalog.day(date(2026, 12, 3), ahead), "days": three})
            yield _rendered(name, language, said)


def _longest(catalog: Catalog, ahead: int | None) -> dict[str, str]:
    """The longest value of each placeholder for a visit that many days ahead; None means a day told by its date."""
    hours = range(24) if ahead is None else range(1, 24)  # a text never says today or tomorrow with midnight
    clocks = {catalog.clock(time(hour, minute)) for hour in hours for minute in (0, 58)}
    longest = sorted(clocks, key=lambda clock: (len(clock), clock))[-MOST_LISTED:]
    one, three = longest[-1], catalog.joined(longest)
    if ahead is None:
        one, three = (catalog.in_zone.format(times=times, zone="UTC+10:30") for times in (one, three))
    days = [date(2028, 1, 1) + timedelta(days=count) for count in range(366)]
    return {
        "alias": "Mt. Williams Annex",
        "phone": "202-555-0100",
        "line24": "202-555-0101",
        "day": max((catalog.day(day, ahead) for day in days), key=len),
        "days": catalog.joined(sorted((catalog.day(day, None) for day in days), key=len)[-MOST_LISTED:]),
        "old_day": max((catalog.day(day, way) for day in days for way in (None, 0, 1)), key=len),
        "time": one,
        "times": three,
        "count": "12",
        "per_week": "70",
    }
