"""The meaning of a reply, as far as opt_words.toml decides it: texts end, or begin again."""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any


class Meaning(StrEnum):
    """What a reply means. The values of STOP and START are the names of their tables in opt_words.toml."""

    STOP = "stop"
    START = "start"
    OTHER = "other"


def understand(text: str) -> Meaning:
    """What the whole of `text` means: STOP (L-10, L-12), START (L-17) or OTHER. It never fails, whatever was sent.

    Case, accents, punctuation, spaces at the ends and emoji do not matter, so "Stop." and "¡No más! 🙏" are STOP. A
    word inside a sentence is OTHER: "cancel my visit on Tuesday" is no opt-out. So is YES, though Twilio takes it for
    an opt-in on long codes: our no is lifted by START or UNSTOP alone.
    """
    said = " ".join(_WORDS.findall(_folded(text)))
    return next((meaning for meaning, words in _opt_words().items() if words.fullmatch(said)), Meaning.OTHER)


_WORDS = re.compile(r"[^\W_]+")
_PICTURE = re.compile(r".\ufe0f")  # a letter or digit asked to show as emoji, which folding would turn back into one


def _folded(text: str) -> str:
    """`text` in small plain letters, without accents and invisible characters."""
    split = unicodedata.normalize("NFKD", _PICTURE.sub(" ", text))
    return "".join(c for c in split if unicodedata.category(c) not in {"Mn", "Me", "Cf"}).casefold()


@cache
def _opt_words() -> Mapping[Meaning, re.Pattern[str]]:
    text = resources.files(__package__).joinpath("opt_words.toml").read_text(encoding="utf-8")
    return _compile(tomllib.loads(text))


def _compile(data: Mapping[str, Any]) -> Mapping[Meaning, re.Pattern[str]]:
    """A pattern for each meaning, STOP first: the no wins. ValueError for words that no folded message could equal."""
    patterns = {}
    for meaning in (Meaning.STOP, Meaning.START):
        words = sorted({word for source in data[meaning].values() for word in source}, key=len, reverse=True)
        if not words:
            raise ValueError(f"opt_words.toml: {meaning}: there are no words")
        if bad := [word for word in words if not re.fullmatch(r"[a-z]+( [a-z]+)*", word)]:
            raise ValueError(f"opt_words.toml: {meaning}: must be small plain letters: {', '.join(bad)}")
        one = "|".join(words)
        patterns[meaning] = re.compile(f"(?:{one})(?: (?:{one}))*")
    return patterns
