"""Which languages exist, and which of them are complete. Pure.

A language is complete if it has all of these parts, compared with the default one:

    catalog         every text, and the card               wording/catalog/xx.toml
    lexicon         rules for every meaning of a reply     conversation/lexicon/xx.toml
    saved replies   each of them                           wording/saved_replies.toml
    words           those that tell, and those not to ask for   wording/telling_words.toml, asked_words.toml
    label           its name on pages                      languages.toml

Only a complete one is offered: we must not text a person in a language in which we cannot read the answer. Pages, API,
command line and plans use `offered`; start-up and doctor report `missing`.
"""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from types import MappingProxyType
from typing import Any

from reminders import plans

DEFAULT = "en"
MOST_NAMED = 3

# The tables of a lexicon that are not meanings: settings, figures of speech, and words that need no meaning.
_NO_MEANINGS = frozenset(
    ["version", "language", "turns", "fillers", "groups", "short", "spelling", "figures", "polite", "when", "links"]
)


@dataclass(frozen=True, slots=True)
class Language:
    """A language by its code (ISO 639): its name, and what it lacks, by part; empty if it is complete."""

    code: str
    name: str
    lacks: Mapping[str, str]


def offered() -> Mapping[str, str]:
    """The languages in which a person may be texted: code → name on pages."""
    return _offered()


def offered_code(tag: str) -> str | None:
    """The offered language for a BCP 47 tag, so `es-MX` gives `es`; None if there is none."""
    code = plans.catalog(tag)
    return code if code in offered() else None


def missing() -> tuple[str, ...]:
    """What incomplete languages lack, each as `fr: lexicon: …`; empty if all are complete."""
    return _told(_languages().values())


@cache
def _languages() -> Mapping[str, Language]:
    return look(resources.files("reminders"))


@cache
def _offered() -> Mapping[str, str]:
    return MappingProxyType({one.code: one.name for one in _languages().values() if not one.lacks})


def _told(languages: Iterable[Language]) -> tuple[str, ...]:
    return tuple(f"{one.code}: {part}: {what}" for one in languages for part, what in one.lacks.items())


def look(package: Traversable) -> Mapping[str, Language]:
    """Every language with any part in `package`, our folder, by code. An unreadable part counts as missing.

    Raises ValueError if the default language is not complete: then no one could be texted at all.
    """
    parts = _Parts(package)
    found = {code: Language(code, parts.labels.get(code, code), dict(parts.lacks(code))) for code in parts.codes()}
    default = found.get(DEFAULT)
    if default is None or default.lacks:
        lacks = "; ".join(_told([default])) if default is not None else f"{DEFAULT}: it has no part"
        raise ValueError(f"the default language is not complete: {lacks}")
    return MappingProxyType(found)


class _Parts:
    """The files that make a language, read once."""

    def __init__(self, package: Traversable) -> None:
        wording, conversation = package.joinpath("wording"), package.joinpath("conversation")
        self.labels = {code: name for code, name in _table(package, "languages.toml").items() if isinstance(name, str)}
        self._catalogs = dict(_folder(wording.joinpath("catalog")))
        self._lexicons = dict(_folder(conversation.joinpath("lexicon")))
        self._saved = _table(wording, "saved_replies.toml")
        self._telling = _table(wording, "telling_words.toml").get("words", {})
        self._asked = {key: value for key, value in _table(wording, "asked_words.toml").items() if key != "version"}

    def codes(self) -> list[str]:
        """Every language that has any part, the default one first."""
        saved = {code for texts in self._saved.values() for code in texts if code != "about"}
        codes = {*self.labels, *self._catalogs, *self._lexicons, *self._telling, *saved}
        return sorted(codes, key=lambda code: (code != DEFAULT, code))

    def lacks(self, code: str) -> Iterator[tuple[str, str]]:
        """Each part that the language lacks, with the details."""
        catalog, other = self._catalogs.get(code), self._catalogs.get(DEFAULT)
        if catalog is None:
            yield "catalog", f"wording/catalog/{code}.toml is missing or cannot be read"
        elif texts := [*_less(catalog, other, "texts"), *_less(catalog, other, "card")]:
            yield "catalog", f"has no {_named(texts)}"
        lexicon, rules = self._lexicons.get(code), self._lexicons.get(DEFAULT) or {}
        if lexicon is None or lexicon.get("language") != code:
            yield "lexicon", f"conversation/lexicon/{code}.toml is missing or cannot be read"
        elif meanings := [name for name in rules.keys() - _NO_MEANINGS if not lexicon.get(name)]:
            yield "lexicon", f"has no rules for {_named(meanings)}"
        if replies := [key for key, texts in self._saved.items() if not texts.get(code)]:
            yield "saved replies", f"none for {_named(replies)}"
        lists = {"tell": self._telling, **self._asked}
        if empty := [key for key, words in lists.items() if not words.get(code)]:
            yield "words", f"no list for {_named(empty)}"
        if not self.labels.get(code):
            yield "label", "languages.toml does not name it"


def _less(catalog: Mapping[str, Any], other: Mapping[str, Any] | None, table: str) -> list[str]:
    """The texts of `table` that the other catalog has and this one lacks."""
    return [name for name in (other or {}).get(table, {}) if not catalog.get(table, {}).get(name)]


def _named(names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"


def _folder(folder: Traversable) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for file in folder.iterdir():
        if file.name.endswith(".toml") and (data := _read(file)) is not None:
            yield file.name.removesuffix(".toml"), data


def _table(folder: Traversable, name: str) -> Mapping[str, Any]:
    return _read(folder.joinpath(name)) or {}


def _read(file: Traversable) -> Mapping[str, Any] | None:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
