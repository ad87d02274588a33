"""The privacy lint (W-2): a text must not tell what kind of care it is about. The words are telling_words.toml."""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby
from operator import itemgetter
from typing import Any

from reminders.wording.segments import segments

LONGEST_ALIAS = 18  # W-3 counts on it

_BEFORE = r"(?<![^\W\d_])"  # no letter before it: digits and underscores do not hide a word
_AFTER = r"(?![^\W\d_])"
_INVISIBLE = re.compile(r"[^\x00-\x7f]")  # candidates; `_shown` decides


def telling_words(text: str) -> tuple[str, ...]:
    """The words in `text` that tell, each once, abbreviations last; empty if it may be sent.

    Accents, zero-width characters and soft hyphens do not hide a word. What it gives is folded: without accents, and
    in small letters unless it is an abbreviation. Raises (OSError, ValueError) when the list cannot be read or holds
    nothing: a lint that does not know its words must not say "nothing found".
    """
    return _lint().find(text)


def check_alias(alias: str) -> list[str]:
    """What is wrong with a site's alias, in words for a coordinator; empty if texts may be signed with it.

    It is at most 18 GSM-7 characters on one line (W-3) and passes the privacy lint (L-43).
    """
    if not alias.strip():
        return ["is empty"]
    problems = []
    if alias != alias.strip():
        problems.append("has a space at its beginning or end")
    if "\n" in alias or "\r" in alias or "\f" in alias:
        problems.append("must be on one line")
    if odd := "".join(dict.fromkeys(character for character in alias if segments(character).encoding != "GSM-7")):
        problems.append(f"has characters that double the length and price of every text: {odd!r}")
    if sum(segments(character).units for character in alias) > LONGEST_ALIAS:
        problems.append(f"is longer than {LONGEST_ALIAS} characters (each of ^{{}}[]~\\|€ counts as two)")
    if words := telling_words(alias):
        problems.append(f"tells what kind of care it is: {', '.join(words)}")
    return problems


@dataclass(frozen=True, slots=True)
class _Lint:
    words: re.Pattern[str]  # matched against small letters: quicker than ignoring case
    abbreviations: re.Pattern[str]

    def find(self, text: str) -> tuple[str, ...]:
        folded = text if text.isascii() else _INVISIBLE.sub(_shown, unicodedata.normalize("NFKD", text))
        found = self.words.findall(folded.casefold()) + self.abbreviations.findall(folded)
        return tuple(dict.fromkeys(found))


def _shown(character: re.Match[str]) -> str:
    """Nothing for an accent or an invisible character, once NFKD has split the former from its letter."""
    return "" if unicodedata.category(character[0]) in {"Mn", "Me", "Cf"} else character[0]


@cache
def _lint() -> _Lint:
    text = resources.files(__package__).joinpath("telling_words.toml").read_text(encoding="utf-8")
    return _compile(tomllib.loads(text))


def _compile(data: Mapping[str, Any]) -> _Lint:
    """The lint for what telling_words.toml holds. Raises ValueError if any part of it is missing, empty or no word."""
    if not (isinstance(data.get("version"), str) and data.keys() == {"version", "abbreviations", "words"}):
        raise ValueError("telling_words.toml: must hold version, abbreviations and words, and nothing else")
    if not isinstance(data["words"], dict) or not data["words"]:
        raise ValueError("telling_words.toml: words: must hold a list for each language")
    lists: dict[str, Any] = {"abbreviations": data["abbreviations"], **data["words"]}
    for name, entries in lists.items():
        if not entries or not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise ValueError(f"telling_words.toml: {name}: must be a list of words")
        form = r"[A-Z]{2,}" if name == "abbreviations" else r"[a-z0-9]+(-[a-z0-9]+)*\*?"
        if bad := [entry for entry in entries if not re.fullmatch(form, entry)]:
            raise ValueError(f"telling_words.toml: {name}: cannot be matched as written: {', '.join(bad)}")
    words = {entry for language in data["words"].values() for entry in language}
    return _Lint(
        words=re.compile(_BEFORE + _one_of(words) + _AFTER),
        abbreviations=re.compile(
            _BEFORE + "(?:" + "|".join(r"\.?".join(entry) for entry in sorted(data["abbreviations"])) + ")" + _AFTER
        ),
    )


def _one_of(words: Iterable[str]) -> str:
    """A pattern for any of `words`, branched by first letter so that most positions fail at once."""
    branches = []
    for first, same in groupby(sorted(words), key=itemgetter(0)):
        rests = (word[1:].replace("*", r"[^\W\d_]*").replace("-", r"[\W_]*") for word in same)
        branches.append(f"{first}(?:{'|'.join(rests)})")
    return f"(?:{'|'.join(branches)})"
