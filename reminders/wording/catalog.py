"""The texts of each language, as data: one TOML file for each language in `catalog/`, found by its name (W-7).

A new language is a new file there, plus its telling words in telling_words.toml; no code lists the languages. Each
file is checked completely when it is read, so every catalog has exactly the placeholders named here.
"""

import datetime as dt
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from string import Formatter
from types import MappingProxyType
from typing import Any

from reminders import plans

_ONE = frozenset({"alias", "day", "time", "phone"})
_SOME = frozenset({"alias", "day", "times", "phone"})
_MANY = frozenset({"alias", "count", "day", "time", "phone"})
_OFFICE = frozenset({"alias", "phone"})
_LINE = frozenset({"line24"})
_DAYS = frozenset({"alias", "days", "phone"})

TEXTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        # One visit: on a later day, tomorrow or today; each with or without the offer of C and R.
        "reminder_ahead_ask": _ONE,
        "reminder_ahead": _ONE,
        "reminder_tomorrow_ask": _ONE,
        "reminder_tomorrow": _ONE,
        "reminder_today_ask": _ONE,
        "reminder_today": _ONE,
        # The same for a visit by phone or by video. No text contains a link (L-35).
        "reminder_phone_ask": _ONE,
        "reminder_phone": _ONE,
        "reminder_phone_today_ask": _ONE,
        "reminder_phone_today": _ONE,
        "reminder_video_ask": _ONE,
        "reminder_video": _ONE,
        "reminder_video_today_ask": _ONE,
        "reminder_video_today": _ONE,
        # Several visits on one day: with their times, or only their number. A C would not say which one it confirms.
        "reminder_several": _SOME,
        "reminder_many": _MANY,
        # Meetings that the person asked to be reminded of; no one confirms those (S-2).
        "reminder_meeting": _ONE,
        "reminder_meeting_phone": _ONE,
        "reminder_meeting_video": _ONE,
        "reminder_meetings": _SOME,
        "reminder_many_meetings": _MANY,
        # The week ahead, for readers who chose one text on Sunday.
        "reminder_week": _MANY,
        # Notices of a change (`moved_from` for a new day), and the text after a miss, without blame (W-6, C-15).
        "moved": _ONE,
        "moved_from": _ONE | {"old_day"},
        "called_off": _ONE,
        "closed": frozenset({"alias", "day", "phone"}),
        # The same for several visits on up to three days, and `changed` where that does not fit.
        "moved_several": frozenset({"alias", "days", "time", "phone"}),
        "called_off_several": _DAYS,
        "closed_several": _DAYS,
        "changed": _OFFICE,
        "missed": _OFFICE,
        # The first text, with `_ask` if the reply Y is to verify the number (L-32, L-39), and the answer to it.
        "welcome_ask": _OFFICE | {"per_week"},
        "welcome": _OFFICE | {"per_week"},
        "verified": _OFFICE,
        # The answers to HELP (C-6, S-17), to STOP (L-14), to STOP in other words (L-13) and to START (L-17).
        "help": _OFFICE | {"line24"},
        "stop_confirm": frozenset({"alias"}),
        "stop_asked": frozenset({"alias"}),
        "wrong_number": frozenset({"alias"}),
        "start_confirm": _OFFICE,
        # To someone in danger (C-4, C-9): without the alias, which would take the room of what helps.
        "crisis": _LINE,
        "overdose": _LINE,
        "slip": _LINE,
        "intent": _LINE,
        # To C, to R, to R on a text about several visits, to "who is this?", and to what a person must read (C-2).
        "confirmed": _ONE,
        "confirmed_phone": _ONE,
        "confirmed_video": _ONE,
        "change": _OFFICE,
        "change_which": _OFFICE,
        "who": _OFFICE,
        "unknown": frozenset({"alias", "line24"}),
        # To an unknown number: not a word about anyone (L-44).
        "stranger": _OFFICE,
    }
)
"""The id of every text, and the placeholders that it has at least once in every language."""

CARD: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "about": frozenset(),
        "sender": frozenset({"sender"}),
        "sample": frozenset(),
        "answers": frozenset(),
        "not_read": frozenset({"phone"}),
        "day_and_night": frozenset({"line24"}),
        "crisis": frozenset(),
        "seen": frozenset(),
        "cost": frozenset(),
    }
)
"""The same for the printed card, which also has `replies`: each word to reply with, and what it does."""

_REPLIES = 5  # C, R, HELP or the language's own word for it, STOP, START
_DATE = frozenset({"weekday", "day", "month"})
_TIMES = frozenset({frozenset({"hour12", "minute", "half"}), frozenset({"hour24", "minute"})})


@dataclass(frozen=True, slots=True)
class Catalog:
    """One language: how it writes days and times, its texts by id, and its card. `version` is that of the file.

    If it lacks one of `TEXTS`, that text is not sent in this language (W-5).
    """

    language: str
    version: str
    weekdays: tuple[str, ...]
    months: tuple[str, ...]
    date: str
    today: str
    tomorrow: str
    time: str
    halves: tuple[str, ...]
    noon: str
    midnight: str
    in_zone: str
    by_phone: str
    by_video: str
    separator: str
    joiner: str
    texts: Mapping[str, str]
    card: Mapping[str, str]
    replies: Mapping[str, str]

    def day(self, on: dt.date, days_ahead: int | None) -> str:
        """`on` as weekday and date, with "today" or "tomorrow" if it is 0 or 1 days ahead on the reader's calendar."""
        shown = self.date.format(weekday=self.weekdays[on.weekday()], day=on.day, month=self.months[on.month - 1])
        if days_ahead == 0:
            return self.today.format(date=shown)
        return self.tomorrow.format(date=shown) if days_ahead == 1 else shown

    def clock(self, at: dt.time) -> str:
        """A time of day in whole minutes. Noon and midnight have their own words, since 12:00pm is read both ways."""
        if at.minute == 0 and at.hour in {0, 12}:
            return self.noon if at.hour else self.midnight
        return self.time.format(
            hour12=(at.hour + 11) % 12 + 1, hour24=at.hour, minute=f"{at.minute:02}", half=self.halves[at.hour // 12]
        )

    def joined(self, times: Sequence[str]) -> str:
        """Times as a list, such as `9:00am, 11:00am and 2:00pm`."""
        *most, last = times
        return self.joiner.join((self.separator.join(most), last)) if most else last


def languages() -> frozenset[str]:
    """The codes (ISO 639) of the languages that have texts."""
    return frozenset(catalogs())


def catalog_code(tag: str) -> str | None:
    """The language of the texts for a BCP 47 tag, so `es-MX` gives `es`; None if there are no texts."""
    code = plans.catalog(tag)
    return code if code in catalogs() else None


@cache
def catalogs() -> Mapping[str, Catalog]:
    """Every catalog, by language. Raises ValueError with the file, the key and the problem."""
    return _read_folder(resources.files(__package__).joinpath("catalog"))


def _read_folder(folder: Traversable) -> Mapping[str, Catalog]:
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    found = {file.name.removesuffix(".toml"): file.read_text(encoding="utf-8") for file in files}
    if not found:
        raise ValueError("there is no catalog, so no text can be written in any language")
    return MappingProxyType({code: _read(code, tomllib.loads(text)) for code, text in found.items()})


def _read(language: str, data: Mapping[str, Any]) -> Catalog:
    """The catalog in a file. Raises ValueError for a missing or unknown key or placeholder."""
    calendar = data.get("calendar", {})
    texts = data.get("texts", {})
    card = dict(data.get("card", {}))
    replies = card.pop("replies", {})
    tables = {"version", "calendar", "texts", "card"}
    names = set(Catalog.__dataclass_fields__) - tables - {"language", "replies"}
    if expected := tables ^ data.keys() or names ^ calendar.keys() or CARD.keys() ^ card.keys():
        raise ValueError(f"catalog {language}: missing or unknown: {', '.join(sorted(expected))}")
    for name, length in (("weekdays", 7), ("months", 12), ("halves", 2)):
        if len(calendar[name]) != length or not all(isinstance(entry, str) and entry for entry in calendar[name]):
            raise ValueError(f"catalog {language}: {name}: must be {length} names")
    if unknown := texts.keys() - TEXTS.keys():
        raise ValueError(f"catalog {language}: there is no such text: {', '.join(sorted(unknown))}")
    if len(replies) != _REPLIES or not replies.keys() >= {"C", "R", "STOP", "START"}:
        raise ValueError(f"catalog {language}: card.replies: must be C, R, the word for help, STOP and START")
    patterns: list[tuple[str, Any, frozenset[frozenset[str]]]] = [
        ("version", data["version"], frozenset({frozenset()})),
        ("date", calendar["date"], frozenset({_DATE})),
        ("today", calendar["today"], frozenset({frozenset({"date"})})),
        ("tomorrow", calendar["tomorrow"], frozenset({frozenset({"date"})})),
        ("time", calendar["time"], _TIMES),
        ("in_zone", calendar["in_zone"], frozenset({frozenset({"times", "zone"})})),
        ("by_phone", calendar["by_phone"], frozenset({frozenset({"time"})})),
        ("by_video", calendar["by_video"], frozenset({frozenset({"time"})})),
        *((name, text, frozenset({TEXTS[name]})) for name, text in texts.items()),
        *((f"card.{name}", text, frozenset({CARD[name]})) for name, text in card.items()),
        *((f"card.replies.{word}", text, frozenset({frozenset()})) for word, text in replies.items()),
        *((name, calendar[name], frozenset({frozenset()})) for name in ("noon", "midnight", "separator", "joiner")),
    ]
    for name, pattern, allowed in patterns:
        if _placeholders(language, name, pattern) not in allowed:
            wanted = " or ".join(", ".join(sorted(choice)) or "none" for choice in allowed)
            raise ValueError(f"catalog {language}: {name}: its placeholders must be {wanted}")
    lists = {name: tuple(calendar[name]) for name in ("weekdays", "months", "halves")}
    return Catalog(
        language=language,
        version=data["version"],
        **(calendar | lists),
        texts=MappingProxyType(dict(texts)),
        card=MappingProxyType(card),
        replies=MappingProxyType(dict(replies)),
    )


def _placeholders(language: str, name: str, pattern: object) -> frozenset[str]:
    if not isinstance(pattern, str) or not pattern:
        raise ValueError(f"catalog {language}: {name}: must be text")
    try:
        parts = [(field, form, kind) for _, field, form, kind in Formatter().parse(pattern) if field is not None]
    except ValueError:
        raise ValueError(f"catalog {language}: {name}: its braces do not match") from None
    if any(form or kind or not field.isidentifier() for field, form, kind in parts):
        raise ValueError(f"catalog {language}: {name}: a placeholder is a name in braces and nothing more")
    return frozenset(field for field, _, _ in parts)
