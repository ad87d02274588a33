"""Public directories of support meetings: Meeting Guide JSON, BMLT JSON and its TSML view, TSML CSV. Pure.

What is not needed is never taken: contact fields, e-mail addresses, phones of people, payment, links, notes.
The zone is the feed's setting; without one the meetings come without a zone, and it is asked.
"""

import html
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from reminders.intake.arrivals import Meeting, Question, Reading, Trouble, Unreadable
from reminders.intake.cells import Bad
from reminders.intake.moments import Clock, Clocks, Untold, tell
from reminders.intake.tables import Table, is_empty, text_of
from reminders.intake.vocabulary import plain, squeezed
from reminders.plans import is_place

MOST_MEETINGS = 50_000
MOST_PROBLEMS = 1_000
_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_DAY = {name: number for number, day in enumerate(_DAYS) for name in (day, day[:3], f"{day}s")} | {
    "tues": 2, "weds": 3, "thur": 4, "thurs": 4, "domingo": 0, "lunes": 1, "martes": 2, "miercoles": 3, "jueves": 4, "viernes": 5, "sabado": 6,
}  # fmt: skip
_LONGEST = 24 * 60
_USUAL = 60  # minutes, which the format says where there is no end


def read_json(raw: bytes) -> Any:
    """The JSON in `raw`. Raises Unreadable for what is none: a feed that is cut off is never believed."""
    try:
        text = raw.decode("utf-16" if raw.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
        return json.loads(text, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise Unreadable("is no text in UTF-8; fetch it again") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Unreadable("is broken JSON, perhaps cut off; fetch it again and keep the last good copy", place) from None
    except (RecursionError, ValueError):
        raise Unreadable("is JSON that is no directory; fetch it again") from None


def _no_number(_: str) -> NoReturn:
    raise ValueError


def kind_of(data: object) -> str | None:
    """Which directory this JSON is: `meeting-guide`, `bmlt` or `bmlt-tsml`; None where it is none."""
    if isinstance(data, Mapping):
        if isinstance(data.get("meetings"), list):
            return kind_of(data["meetings"])
        return "meeting-guide" if {"name", "slug"} <= data.keys() else None
    if not isinstance(data, list):
        return None
    items = [one for one in data if isinstance(one, Mapping)]
    if any("id_bigint" in one for one in items):
        return "bmlt"
    if not any("name" in one and ("slug" in one or "time" in one or "day" in one) for one in items):
        return None
    return "bmlt-tsml" if _is_bmlt_view(items) else "meeting-guide"


def _is_bmlt_view(items: Sequence[Mapping[str, Any]]) -> bool:
    """BMLT's TSML view has no `url` and no `id`, and each slug ends in the meeting's number."""
    return all(
        "coordinates" in one
        and "url" not in one
        and "id" not in one
        and re.search(r"(?:^|-)\d+$", str(one.get("slug", "")))
        for one in items
    )


def read_feed(data: object, kind: str, zone: str | None) -> Reading:
    """The meetings of a JSON directory of this kind. Raises Unreadable for what is none."""
    items = _items(data)
    one_of = {"bmlt": _bmlt, "meeting-guide": _meeting_guide, "bmlt-tsml": _bmlt_view}[kind]
    return _all(((f"item {number}", item) for number, item in enumerate(items, 1)), one_of, kind, zone)


def _items(data: object) -> list[object]:
    if isinstance(data, Mapping) and isinstance(data.get("meetings"), list):
        data = data["meetings"]
    if isinstance(data, Mapping) and {"name", "slug"} <= data.keys():
        data = [data]
    if not isinstance(data, list):
        raise Unreadable("is JSON that holds no list of meetings")
    if not data:
        raise Unreadable("holds no meeting at all, which is never believed; fetch it again and keep the last good copy")
    if len(data) > MOST_MEETINGS:
        raise Unreadable(f"holds more than {MOST_MEETINGS:,} meetings; fetch the directory of one area")
    return data


def _all(
    items: Iterator[tuple[str, object]],
    one_of: Callable[[str, Mapping[str, Any], str | None], Iterator[Meeting]],
    kind: str,
    zone: str | None,
) -> Reading:
    reading = Reading(kind)
    found: list[Meeting] = []
    for place, item in items:
        if not isinstance(item, Mapping):
            reading.problems.append(Trouble(place, "is no meeting"))
            continue
        try:
            found += one_of(place, item, zone)
        except Bad as bad:
            reading.problems.append(Trouble(place, bad.problem, bad.column))
    reading.arrivals += _once(found, reading.problems)
    del reading.problems[MOST_PROBLEMS:]
    if not found and not reading.problems:
        raise Unreadable("holds no meeting at all, which is never believed; fetch it again and keep the last good copy")
    if without := sum(one.zone is None and one.day is not None for one in found):
        reading.questions.append(
            Question(
                "zone",
                "Which zone are these meetings in? The directory does not say.",
                (),
                'zone = "America/New_York"',
                without,
            )
        )
    return reading


def _once(found: Sequence[Meeting], problems: list[Trouble]) -> Iterator[Meeting]:
    """Each meeting once; two that share an identifier and a day and differ are both refused."""
    same: dict[tuple[str, int | None], list[Meeting]] = defaultdict(list)
    for one in found:
        same[one.id, one.day].append(one)
    for one in found:
        others = same[one.id, one.day]
        if len({(other.time, other.name, other.how) for other in others}) > 1:
            places = ", ".join(other.place for other in others[:4])
            problems.append(
                Trouble(one.place, f"two meetings have one identifier and one day, and differ ({places})", "slug")
            )
        elif one is others[0]:
            yield one


def _text(item: Mapping[str, Any], *names: str, longest: int = 200) -> str | None:
    for name in names:
        value = item.get(name)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            text = " ".join(html.unescape(re.sub(r"<[^>]{0,200}>", " ", str(value))).split())[:longest]
            if text:
                return text
    return None


def _meeting_guide(place: str, item: Mapping[str, Any], zone: str | None) -> Iterator[Meeting]:
    slug = _text(item, "slug")
    if slug is None:
        raise Bad("slug", "is missing, so the meeting cannot be told from others")
    yield from _of_guide(place, item, zone, slug)


def _bmlt_view(place: str, item: Mapping[str, Any], zone: str | None) -> Iterator[Meeting]:
    slug = _text(item, "slug")
    number = re.search(r"(\d+)$", slug or "")
    if number is None:
        raise Bad("slug", "does not end in the meeting's number")
    yield from _of_guide(place, item, zone, number[1])  # the rest of it changes with the name


def _of_guide(place: str, item: Mapping[str, Any], zone: str | None, key: str) -> Iterator[Meeting]:
    name = _text(item, "name")
    if name is None:
        raise Bad("name", "is missing")
    own = _text(item, "timezone")
    if own is not None and not is_place(own):
        raise Bad("timezone", "is no time zone that there is, such as America/New_York")
    time, minutes = _times(item.get("time"), item.get("end_time"))
    types = _types(item.get("types"))
    address = _text(item, "formatted_address", "address")
    online, by_phone = bool(_text(item, "conference_url")), bool(_text(item, "conference_phone"))
    days = _days(item.get("day"))
    if days and time is None:
        raise Bad("time", "is missing, though the meeting has a day")
    for day in days or (None,):
        yield Meeting(
            place=place,
            id=key,
            name=name,
            day=day,
            time=time if day is not None else None,
            minutes=minutes if day is not None else None,
            zone=own or zone,
            types=types,
            in_person=_is_in_person(item, types, address, online=online or by_phone),
            online=online,
            by_phone=by_phone,
            location=_text(item, "location"),
            address=address,
            city=_text(item, "city"),
            region=_text(item, "region") or _first(item.get("regions")),
            updated=_text(item, "updated"),
        )


def _first(value: object) -> str | None:
    return _text({"one": value[0]}, "one") if isinstance(value, list) and value else None


def _is_in_person(item: Mapping[str, Any], types: Sequence[str], address: str | None, *, online: bool) -> bool:
    """Not where the place is closed, nor where an address names only a town (I-53)."""
    if "TC" in types:
        return False
    said = plain(str(item.get("approximate", "")))
    if said in {"yes", "true", "1"}:
        return False
    if said in {"no", "false", "0"} or not online:
        return True
    whole = _text(item, "formatted_address")
    if whole is not None and _text(item, "address") is None:
        return whole.count(",") >= 3
    return address is not None


def _types(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = re.split(r"[,;|]", value)
    if not isinstance(value, list | tuple):
        return ()
    return tuple(
        dict.fromkeys(str(one).strip()[:40] for one in value if isinstance(one, str | int) and str(one).strip())
    )


def _days(value: object) -> tuple[int, ...]:
    """The days of a meeting, from Sunday, 0: a number, a text, a list of them, or none. Raises Bad."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return ()
    if isinstance(value, list):
        return tuple(dict.fromkeys(day for one in value for day in _days(one)))
    word = "" if isinstance(value, bool) else str(value).strip()
    if squeezed(word) in _DAY:
        return (_DAY[squeezed(word)],)
    if not re.fullmatch(r"[0-6](?:\.0)?", word):
        raise Bad("day", "is no day of the week; 0 is Sunday and 6 is Saturday")
    return (int(word[0]),)


def _time(value: object, field: str) -> str | None:
    """A time of day as HH:MM, from 24 or 12 hours. Raises Bad for one that is neither."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    text = str(value).strip()
    if re.fullmatch(r"(?:00|0|24):00(?::00)?|12:00 ?am|midnight", text, re.IGNORECASE):
        return "00:00"  # meetings are held at midnight; visits are not
    try:
        told = tell(text, "clock")
    except Untold:
        raise Bad(field, "is no time of day, such as 19:30 or 7:30 pm") from None
    if told.clock is None or told.has_day or told.until is not None:
        raise Bad(field, "is no time of day, such as 19:30 or 7:30 pm")
    # These formats write 24 hours, or say am and pm.
    return _as_24(told.clock)


def _as_24(clock: Clock) -> str:
    at = Clocks(said="24").read(clock)
    assert at is not None
    return f"{at:%H:%M}"


def _times(start: object, end: object) -> tuple[str | None, int | None]:
    """The start as HH:MM and the length in minutes: an hour where there is no good end (I-50)."""
    at = _time(start, "time")
    try:
        until = _time(end, "end_time")
    except Bad:
        until = None
    if at is None:
        return None, None
    if until is None or at == until:
        return at, _USUAL
    return at, (_minutes(until) - _minutes(at)) % _LONGEST


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def _bmlt(place: str, item: Mapping[str, Any], zone: str | None) -> Iterator[Meeting]:
    number = _text(item, "id_bigint")
    if number is None:
        raise Bad("id_bigint", "is missing, so the meeting cannot be told from others")
    name = _text(item, "meeting_name")
    if name is None:
        raise Bad("meeting_name", "is missing")
    said = str(item.get("weekday_tinyint") or "").strip()
    if said and not re.fullmatch(r"[1-7]", said):
        raise Bad("weekday_tinyint", "is no day of the week; 1 is Sunday and 7 is Saturday")
    time = _time(item.get("start_time"), "start_time")
    if said and time is None:
        raise Bad("start_time", "is missing, though the meeting has a day")
    own = _text(item, "time_zone")
    if own is not None and not is_place(own):
        raise Bad("time_zone", "is no time zone that there is, such as America/New_York")
    types, venue = _types(item.get("formats")), str(item.get("venue_type") or "").strip()
    online = bool(_text(item, "virtual_meeting_link"))
    by_phone = bool(_text(item, "phone_meeting_number"))
    virtual = venue == "2" or (not venue and "VM" in types and "HY" not in types)
    yield Meeting(
        place=place,
        id=number,
        name=name,
        day=int(said) - 1 if said else None,
        time=time if said else None,
        minutes=_duration(item.get("duration_time")),
        zone=own or zone,
        types=types,
        in_person="TC" not in types and not virtual,
        online=online or (virtual and not by_phone),
        by_phone=by_phone,
        published=str(item.get("published", "1")).strip() not in {"0", "false", "False"},
        location=_text(item, "location_text"),
        address=_text(item, "location_street"),
        city=_text(item, "location_municipality"),
        region=_text(item, "location_province"),
        updated=_text(item, "updated_at"),
    )


def _duration(value: object) -> int | None:
    found = re.fullmatch(r"(\d{1,2}):([0-5]\d)(?::[0-5]\d)?", str(value or "").strip())
    length = int(found[1]) * 60 + int(found[2]) if found else 0
    return length if 0 < length <= _LONGEST else None


# TSML CSV: the columns of its export and of its template for import.
_COLUMNS = {
    "slug": ("slug",),
    "id": ("id", "meetingid"),
    "name": ("name", "meeting", "meetingname"),
    "day": ("day", "days"),
    "time": ("time", "starttime", "start"),
    "end_time": ("endtime", "end"),
    "types": ("types", "type", "meetingtypes"),
    "location": ("location", "locationname", "venue"),
    "formatted_address": ("formattedaddress",),
    "address": ("address", "street", "streetaddress"),
    "city": ("city",),
    "region": ("region",),
    "timezone": ("timezone",),
    "conference_url": ("conferenceurl", "onlineurl"),
    "conference_phone": ("conferencephone",),
    "approximate": ("approximate",),
    "updated": ("updated", "lastupdated"),
}
_NAMES = {spelling: name for name, spellings in _COLUMNS.items() for spelling in spellings}
_OF_A_PATIENT = {"patientid", "patientname", "mrn", "clientid", "clientname", "patient", "client", "dischargedate"}


def is_tsml(table: Table) -> bool:
    """Whether the first row of a table has the columns of TSML and none of a patient."""
    if not table.rows:
        return False
    names = {squeezed(text_of(cell)) for cell in table.rows[0].cells}
    return (
        {"name", "day", "time"} <= {_NAMES.get(one) for one in names}
        and not names & _OF_A_PATIENT
        and bool(
            names
            & {"types", "slug", "region", "group", "conferenceurl", "formattedaddress", "locationnotes", "district"}
        )
    )


def read_tsml(table: Table, zone: str | None) -> Reading:
    """The meetings of a TSML CSV. Raises Unreadable."""
    if not is_tsml(table):
        raise Unreadable("has no header of a meeting directory, with Name, Day, Time and Types")
    header = [_NAMES.get(squeezed(text_of(cell))) for cell in table.rows[0].cells]
    items = []
    for row in table.rows[1:]:
        item = {name: row[index] for index, name in enumerate(header) if name is not None and not is_empty(row[index])}
        items.append(
            (
                table.place(row),
                {key: value if isinstance(value, str) else text_of(value) for key, value in item.items()},
            )
        )
    return _all(iter(items), _tsml, "tsml-csv", zone)


def _tsml(place: str, item: Mapping[str, Any], zone: str | None) -> Iterator[Meeting]:
    coded = {**item, "types": [_CODES.get(squeezed(one), one) for one in _types(item.get("types"))]}
    key = _text(item, "slug", "id")
    if key is None:
        # Its template for import has no key; what a person would know the meeting by is one.
        key = "-".join(
            filter(
                None, (squeezed(item.get("name", "")), squeezed(item.get("day", "")), squeezed(item.get("time", "")))
            )
        )
    yield from _of_guide(place, coded, zone, key)


# The names that TSML writes for the codes of Meeting Guide (code4recovery/spec, MIT), as far as we look at them.
_CODES = {
    "open": "O", "closed": "C", "locationtemporarilyclosed": "TC", "temporarilyclosed": "TC", "onlinemeeting": "ONL", "online": "ONL", "spanish": "S",
    "wheelchairaccess": "X", "wheelchairaccessible": "X", "newcomer": "BE", "beginner": "BE", "men": "M", "women": "W", "youngpeople": "Y",
    "proofofattendance": "POA", "discussion": "D", "speaker": "SP", "bigbook": "B", "stepstudy": "ST", "stepmeeting": "ST", "literature": "LIT",
    "lgbtq": "LGBTQ", "meditation": "MED", "englishspeaking": "EN", "english": "EN", "french": "FR", "concurrentwithalanon": "AL-AN", "concurrentwithalateen": "AL",
    "candlelight": "CAN", "childfriendly": "CF", "grapevine": "GR", "traditionstudy": "TR", "12steps12traditions": "12x12", "11thstepmeditation": "11",
    "dailyreflections": "DR", "livingsober": "LS", "secular": "A", "seniors": "SEN", "digitalbasket": "DB", "fragrancefree": "FF", "dualdiagnosis": "DD",
    "babysittingavailable": "BA", "birthday": "H", "asbillseesit": "ABSI", "outdoor": "OUT", "peopleofcolor": "POC", "professionals": "P",
    "americansignlanguage": "ASL", "crosstalkpermitted": "XT", "wheelchairaccessiblebathroom": "XB", "gay": "G", "lesbian": "L", "transgender": "T", "bisexual": "BI",
}  # fmt: skip
