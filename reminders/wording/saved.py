"""Saved replies for staff to start from: data (`saved_replies.toml`), in every language that has texts."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from types import MappingProxyType

from reminders.wording.catalog import catalog_code
from reminders.wording.render import shown_phone

ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class SavedReply:
    """A saved reply: what it is about, in a few words for staff, and the words of the text."""

    about: str
    body: str = field(repr=False)


def saved_replies(language: str, *, alias: str, phone: str, line24: str) -> Mapping[str, SavedReply]:
    """Key → reply, in the reader's language (a BCP 47 tag) or else in English; `phone` and `line24` in E.164."""
    code = catalog_code(language)
    values = {"alias": alias, "phone": shown_phone(phone), "line24": shown_phone(line24)}
    return {
        key: SavedReply(texts["about"], texts.get(code or ENGLISH, texts[ENGLISH]).format_map(values))
        for key, texts in _read().items()
    }


@cache
def _read() -> Mapping[str, Mapping[str, str]]:
    """Read the file. Raises ValueError for a reply without `about` or without English."""
    text = resources.files(__package__).joinpath("saved_replies.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)
    for key, texts in found.items():
        if not texts.keys() >= {"about", ENGLISH}:
            raise ValueError(f"saved_replies: {key}: give about and {ENGLISH}")
    return MappingProxyType(found)
