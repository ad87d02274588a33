"""Wall-clock time and instants. Wall-clock times are the source of truth; instants are derived (promise 4).

The zones come from the installed tzdata package and not from the machine, so that an old and a new machine agree on
when an appointment is.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo


@cache
def zones() -> frozenset[str]:
    """The names of all IANA zones."""
    names = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return frozenset(names) - {"Factory"}  # tzdata's word for "no one has set a zone"


def is_zone(name: str) -> bool:
    """Whether `name` is an IANA zone, spelled exactly, such as America/New_York."""
    return name in zones()


def is_place(name: str) -> bool:
    """Whether `name` is the zone of a place. EST, UTC and Etc/GMT-5 are offsets, which wall clocks do not follow."""
    return is_zone(name) and "/" in name and not name.startswith("Etc/")


# What people write instead of the zone of a place.
_PLACES = {
    "America/New_York": ("EST", "EDT", "ET", "EST5EDT", "EASTERN"),
    "America/Chicago": ("CST", "CDT", "CT", "CST6CDT", "CENTRAL"),
    "America/Denver": ("MST", "MDT", "MT", "MST7MDT", "MOUNTAIN"),
    "America/Los_Angeles": ("PST", "PDT", "PT", "PST8PDT", "PACIFIC"),
    "America/Anchorage": ("AKST", "AKDT", "AKT", "ALASKA"),
    "Pacific/Honolulu": ("HST", "HDT", "HAST", "HAWAII"),
    "America/Puerto_Rico": ("AST", "ATLANTIC"),
    "Europe/London": ("BST", "GB", "GB-EIRE"),
    "Europe/Berlin": ("CET", "CEST", "MET", "MEZ"),
    "Europe/Athens": ("EET", "EEST"),
    "Europe/Lisbon": ("WET", "WEST"),
}
_SHORT = {short: place for place, shorts in _PLACES.items() for short in shorts}


def place_of(name: str) -> str | None:
    """The place usually meant by a name such as EST, EDT or Eastern time; None for any other name."""
    word = re.sub(r"[\s_]*(standard|daylight|time)\b", "", name[:64].strip(), flags=re.IGNORECASE)
    return _SHORT.get(word.strip().upper())


@cache
def _zone(name: str) -> ZoneInfo:
    if not is_zone(name):
        raise ValueError("not an IANA time zone, such as America/New_York")
    with resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def to_instant(wall: datetime, zone: str) -> datetime:
    """The instant (aware, UTC) at which clocks in `zone` show `wall` (naive).

    A time that clocks skip moves forward to the first valid minute. A time that they show twice means the first one
    (promise 4). Raises ValueError for a `wall` with an offset and for an unknown zone.
    """
    if wall.tzinfo is not None:
        raise ValueError("a wall-clock time has no offset")
    return _instant(wall, _zone(zone))


# A clinic uses few times of day, and all texts are judged at the same `now`. Zone arithmetic was a tenth of the cost
# of judging a text. The cache key is the zone's rules and not its name, since rules change.
@lru_cache(maxsize=4096)
def _instant(wall: datetime, place: ZoneInfo) -> datetime:
    before = wall.replace(tzinfo=place, fold=0).astimezone(UTC)
    if _wall(before, place) == wall:
        return before
    # In a gap, `fold` chooses the offset before or after it, so the two readings enclose the clock change.
    after = wall.replace(tzinfo=place, fold=1).astimezone(UTC)
    offset_after = before.astimezone(place).utcoffset()
    early, late = sorted((before, after))
    while late - early > timedelta(seconds=1):
        middle = (early + (late - early) / 2).replace(microsecond=0)
        if middle <= early:
            break
        if middle.astimezone(place).utcoffset() == offset_after:
            late = middle
        else:
            early = middle
    shown = _wall(late, place)
    # Old zones changed on odd seconds (local mean time), but the promise is a valid minute.
    return late + timedelta(seconds=-shown.second % 60, microseconds=-shown.microsecond)


def to_wall(instant: datetime, zone: str) -> datetime:
    """What clocks in `zone` show (naive) at `instant` (aware).

    Raises ValueError for a naive instant or an unknown zone.
    """
    if instant.tzinfo is None:
        raise ValueError("an instant has an offset")
    # In another zone, the two readings of a repeated hour would compare as equal.
    return _wall(instant if instant.tzinfo is UTC else instant.astimezone(UTC), _zone(zone))


@lru_cache(maxsize=4096)
def _wall(instant: datetime, place: ZoneInfo) -> datetime:
    return instant.astimezone(place).replace(tzinfo=None, fold=0)
