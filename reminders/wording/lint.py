# ruff: file-ignore[ambiguous-unicode-character-string]  the lint tells look-alike letters apart
"""The privacy lint (W-2): a text must not tell what kind of care it is about. The words are in telling_words.toml.

The other checks of an alias, and of a text typed by staff, are here too.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from itertools import groupby
from operator import itemgetter
from typing import Any

from reminders.wording.segments import segments

LONGEST_ALIAS = 18  # W-3 relies on it
MOST_TYPED_SEGMENTS = 2

_BEFORE = r"(?<![^\W\d_])"  # no letter before it; digits and underscores do not hide a word
_AFTER = r"(?![^\W\d_])"
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")  # candidates; `_plain_letter` decides

_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # invisible letters and symbols
# Letters of other alphabets, by the letter they look like. Latin variants (o with a stroke, dotless i) are recognized
# by their Unicode names.
_READ_AS = {
    "A": "АΑΛ", "B": "ВΒ", "C": "С", "D": "Ԁ", "E": "ЕΕΣ", "G": "Ԍ", "H": "НΗҺ", "I": "ІΙӀ", "J": "Ј", "K": "КΚ",
    "M": "МΜ", "N": "Ν", "O": "ОΟ", "P": "РΡ", "Q": "Ԛ", "S": "Ѕ", "T": "ТΤ", "U": "Ս", "V": "Ѵ", "W": "Ԝ",
    "X": "ХΧ", "Y": "УΥҮ", "Z": "Ζ",
    "a": "аαɑ", "b": "вьƄ", "c": "с", "d": "ԁ", "e": "еε", "g": "ց", "h": "һհ", "i": "іι", "j": "јϳ", "k": "кκ",
    "l": "ӏ", "m": "м", "n": "ոп", "o": "оοօ", "p": "рρ", "q": "ԛ", "r": "г", "s": "ѕ", "t": "тτ", "u": "υսи",
    "v": "ѵν", "w": "ԝωѡ", "x": "хχ", "y": "уγү", "z": "ζ",
}  # fmt: skip
_LOOK_ALIKES = str.maketrans({alike: letter for letter, alikes in _READ_AS.items() for alike in alikes})
_NAMED_LETTER = re.compile(r".*LATIN .*?\b([A-Z])(?: WITH .*)?")  # LATIN SMALL LETTER O WITH STROKE, DOTLESS I
_SPLIT = re.compile(r"(?<=[^\W\d_])[-.*_~'·•]+(?=[^\W\d_])")  # re-hab, d.e.t.o.x
_SPACED = re.compile(r"(?<![^\W_])(?:[^\W\d_] +){2,}[^\W\d_](?![^\W_])")  # d e t o x
_LINK = re.compile(
    r"://|[^\W_]-?\.[a-z]{2,}|[^\W_]@[^\W_]|\d\.\d+\.\d+\.\d"
)  # searched in each part between two spaces
_PERIODS = str.maketrans("。．｡", "...")  # phones accept each of them in a link
_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2035\u00b4\u0060\u02b9\u02bb\u02bc\u2039\u203a", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2022\u2023\u2043\u2219\u25cf", "-"),
        **dict.fromkeys("\u2028\u2029\u0085\v\f", "\n"),
        "\u2026": "...",
        "\t": " ",
    }
)


def telling_words(text: str) -> tuple[str, ...]:
    """The telling words in `text`, each once, abbreviations last; empty if it may be sent.

    Accents, zero-width characters, soft hyphens and look-alike letters of other alphabets do not hide a word. The
    result is folded: without accents, and in lowercase except for abbreviations. Raises OSError or ValueError if the
    list is unreadable or empty: a lint without its words must not report "nothing found".
    """
    return _lint().find(text)


def refused_words() -> Mapping[str, tuple[str, ...]]:
    """The telling words as listed, by language, and `abbreviations`; `*` matches any ending."""
    data = tomllib.loads(resources.files(__package__).joinpath("telling_words.toml").read_text(encoding="utf-8"))
    words = {language: tuple(sorted(listed)) for language, listed in data["words"].items()}
    return words | {"abbreviations": tuple(data["abbreviations"])}


def check_alias(alias: str) -> list[str]:
    """What is wrong with a site's alias, in words for a coordinator; empty if it may sign texts.

    An alias has at most 18 GSM-7 characters on one line (W-3) and passes the privacy lint (L-43).
    """
    if not alias.strip():
        return ["is empty"]
    problems = []
    if alias != alias.strip():
        problems.append("has a space at the beginning or end")
    if "\n" in alias or "\r" in alias or "\f" in alias:
        problems.append("must be on one line")
    if odd := "".join(dict.fromkeys(character for character in alias if segments(character).encoding != "GSM-7")):
        problems.append(f"has characters that double the length and price of every text: {odd!r}")
    if sum(segments(character).units for character in alias) > LONGEST_ALIAS:
        problems.append(f"is longer than {LONGEST_ALIAS} characters (each of ^{{}}[]~\\|€ counts as two)")
    if words := telling_words(alias):
        problems.append(f"tells what kind of care it is: {', '.join(words)}")
    return problems


def plainer(body: str) -> str:
    """`body` with word-processor characters replaced by those of a phone's keyboard (W-3).

    It replaces curly quotes, dashes, ellipses, bullets, and every kind of space and line end. It removes invisible
    characters, and blanks at both ends. Letters keep their accents: a name keeps its spelling. A second pass changes
    nothing.
    """
    lines = unicodedata.normalize("NFC", body).replace("\r\n", "\n").replace("\r", "\n").translate(_TYPOGRAPHY)
    spaced = (" " if unicodedata.category(character) == "Zs" else character for character in lines)
    shown = "".join(character for character in spaced if not _shows_nothing(character))
    return unicodedata.normalize("NFC", shown).strip()


def check_typed(body: str) -> tuple[str, ...]:
    """The problems of a text typed by staff, in words for them; empty if it may be sent.

    Pass the result of `plainer`, since this judges what would go on the wire. It refuses telling words (W-2), even
    letter by letter or in look-alike letters; alphabets that the list of telling words does not cover; links (L-35);
    asking for a word that ends or begins texts (R0.4); invisible characters; more than two segments; and an empty text.
    """
    if not plainer(body):
        return ("is empty",)
    problems = []
    if words := _telling_anyhow(plainer(body)):
        problems.append(f"tells what kind of care it is: {', '.join(words)}")
    if odd := _each(c for c in unicodedata.normalize("NFKD", body) if c.isalpha() and not _is_latin(c)):
        problems.append(f"has letters of another alphabet, which we cannot check: {odd}")
    folded = _folded(body).casefold()
    if links := [part for part in folded.translate(_PERIODS).split() if _LINK.search(part)]:
        found = ", ".join(dict.fromkeys(links))
        problems.append(f"has what looks like a link (if it is not one, put a space after its period): {found}")
    if asked := _asked_words().find(folded, _folded(body)):
        problems.append(f"asks for a word that ends or begins all texts, whatever you mean: {', '.join(asked)}")
    if odd := _each(c for c in body if _shows_nothing(c) or _is_control(c)):
        problems.append(f"has invisible characters: {odd}")
    length = segments(body)
    if length.count > MOST_TYPED_SEGMENTS:
        why = _each(c for c in body if segments(c).encoding != "GSM-7")
        shorter = f"; it would be shorter without {why}" if why else ""
        problems.append(f"is too long: {length.count} segments, of at most {MOST_TYPED_SEGMENTS}{shorter}")
    return tuple(problems)


def _telling_anyhow(body: str) -> tuple[str, ...]:
    """The telling words of a text as written, and with split words joined."""
    joined = _SPLIT.sub("", body)
    # In lowercase, since initials are not an abbreviation.
    spaced = _SPACED.sub(lambda run: run[0].replace(" ", "").casefold(), body)
    return tuple(dict.fromkeys((*telling_words(body), *telling_words(joined), *telling_words(spaced))))


def _each(characters: Iterable[str]) -> str:
    """Each character once, at most eight of them; by its name if it is invisible or looks like another."""
    once = tuple(dict.fromkeys(characters))[:8]
    return ", ".join(repr(c) if c.isprintable() and _is_latin(c) else _named(c) for c in once)


def _named(character: str) -> str:
    return unicodedata.name(character, "").lower() or f"U+{ord(character):04X}"


def _is_latin(letter: str) -> bool:
    return not letter.isalpha() or letter.isascii() or "LATIN" in unicodedata.name(letter, "")


def _is_control(character: str) -> bool:
    """Whether it is a control character, half of a surrogate pair, or a private or unassigned one."""
    return character != "\n" and unicodedata.category(character) in {"Cc", "Cs", "Co", "Cn"}


def _shows_nothing(character: str) -> bool:
    return character in _BLANKS or unicodedata.category(character) == "Cf"


@dataclass(frozen=True, slots=True)
class _Lint:
    words: re.Pattern[str]  # matched against lowercase: faster than ignoring case
    abbreviations: re.Pattern[str]

    def find(self, text: str) -> tuple[str, ...]:
        folded = _folded(text)
        found = self.words.findall(folded.casefold()) + self.abbreviations.findall(folded)
        return tuple(dict.fromkeys(found))


def _folded(text: str) -> str:
    """`text` in the letters that a person reads, without accents and invisible characters; capitals stay."""
    if text.isascii():
        return text
    return _BEYOND_ASCII.sub(lambda found: _plain_letter(found[0]), unicodedata.normalize("NFKD", text))


@lru_cache(maxsize=4096)
def _plain_letter(character: str) -> str:
    """The letter that a person reads, after NFKD has split off accents; nothing for an invisible character."""
    if unicodedata.category(character) in {"Mn", "Me", "Cf"} or character in _BLANKS:
        return ""
    alike = character.translate(_LOOK_ALIKES)
    if alike == character and (named := re.fullmatch(_NAMED_LETTER, unicodedata.name(character, ""))):
        return named[1] if "CAPITAL" in named[0] and "SMALL CAPITAL" not in named[0] else named[1].lower()
    return alike


@cache
def _lint() -> _Lint:
    text = resources.files(__package__).joinpath("telling_words.toml").read_text(encoding="utf-8")
    return _compile(tomllib.loads(text))


def _compile(data: Mapping[str, Any]) -> _Lint:
    """The lint for the data of telling_words.toml. Raises ValueError if a part is missing, empty or not a word."""
    if not (isinstance(data.get("version"), str) and data.keys() == {"version", "abbreviations", "words"}):
        raise ValueError("telling_words.toml: must have version, abbreviations and words, and nothing else")
    if not isinstance(data["words"], dict) or not data["words"]:
        raise ValueError("telling_words.toml: words: must have a list for each language")
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
    """A pattern for any of `words`, grouped by first letter so that most positions fail at once."""
    branches = []
    for first, same in groupby(sorted(words), key=itemgetter(0)):
        rests = (word[1:].replace("*", r"[^\W\d_]*").replace("-", r"[\W_]*") for word in same)
        branches.append(f"{first}(?:{'|'.join(rests)})")
    return f"(?:{'|'.join(branches)})"


@dataclass(frozen=True, slots=True)
class _Asked:
    after_asking: re.Pattern[str]
    in_capitals: re.Pattern[str]

    def find(self, small: str, text: str) -> tuple[str, ...]:
        """The words that `text` asks for and must not; `small` is the same text in lowercase."""
        found = self.after_asking.findall(small) + [word.casefold() for word in self.in_capitals.findall(text)]
        return tuple(dict.fromkeys(" ".join(word.split()).upper() for word in found))


@cache
def _asked_words() -> _Asked:
    text = resources.files(__package__).joinpath("asked_words.toml").read_text(encoding="utf-8")
    return _compile_asked(tomllib.loads(text))


def _compile_asked(data: Mapping[str, Any]) -> _Asked:
    """The words of asked_words.toml. Raises ValueError if a part is missing, empty or not a word."""
    if not (isinstance(data.get("version"), str) and data.keys() == {"version", "ask", "skip", "never"}):
        raise ValueError("asked_words.toml: must have version, ask, skip and never, and nothing else")
    lists = {}
    for name in ("ask", "skip", "never"):
        lists[name] = sorted({word for language in data[name].values() for word in language}, reverse=True)
        if not lists[name] or not all(re.fullmatch(r"[a-z]+( [a-z]+)*", word) for word in lists[name]):
            raise ValueError(f"asked_words.toml: {name}: must be lists of lowercase words without accents")
    ask, skip, never = ("|".join(words).replace(" ", r"\s+") for words in lists.values())
    capitals = "|".join(word.upper().replace(" ", r"\s+") for word in lists["never"])
    return _Asked(
        after_asking=re.compile(rf"\b(?:{ask})\W+(?:(?:{skip}|[a-z])\W+){{0,6}}({never})\b"),
        in_capitals=re.compile(rf"\b(?:{capitals})\b"),
    )
