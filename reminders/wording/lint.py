# ruff: file-ignore[ambiguous-unicode-character-string]  look-alike letters are what is told apart here
"""The privacy lint (W-2): a text must not tell what kind of care it is about. The words are telling_words.toml.

And what else keeps an alias, or a text that staff typed, from being sent.
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

LONGEST_ALIAS = 18  # W-3 counts on it
MOST_TYPED_SEGMENTS = 2

_BEFORE = r"(?<![^\W\d_])"  # no letter before it: digits and underscores do not hide a word
_AFTER = r"(?![^\W\d_])"
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")  # candidates; `_plain_letter` decides

_BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and signs that show nothing
# Letters of other alphabets under the one they are read as. Latin ones (o with a stroke, i without a dot) are known by
# their names.
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
_SPELT = re.compile(r"(?<=[^\W\d_])[-.*_~'·•]+(?=[^\W\d_])")  # re-hab, d.e.t.o.x
_SPACED = re.compile(r"(?<![^\W_])(?:[^\W\d_] +){2,}[^\W\d_](?![^\W_])")  # d e t o x
_LINK = re.compile(r"://|[^\W_]-?\.[a-z]{2,}|[^\W_]@[^\W_]|\d\.\d+\.\d+\.\d")  # in what stands between two spaces
_FULL_STOPS = str.maketrans("。．｡", "...")  # a link is opened with any of them
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
    """The words in `text` that tell, each once, abbreviations last; empty if it may be sent.

    Accents, zero-width characters, soft hyphens and letters of other alphabets that look like ours do not hide a word.
    What it gives is folded: without accents, and in small letters unless it is an abbreviation. Raises (OSError,
    ValueError) when the list cannot be read or holds nothing: a lint that does not know its words must not say "nothing
    found".
    """
    return _lint().find(text)


def refused_words() -> Mapping[str, tuple[str, ...]]:
    """The telling words as they are listed, by language, and `abbreviations`; `*` matches any ending."""
    data = tomllib.loads(resources.files(__package__).joinpath("telling_words.toml").read_text(encoding="utf-8"))
    words = {language: tuple(sorted(listed)) for language, listed in data["words"].items()}
    return words | {"abbreviations": tuple(data["abbreviations"])}


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


def plainer(body: str) -> str:
    """`body` with the characters that word processors put in replaced by those of a phone's keyboard (W-3).

    Curly quotes, dashes, dots in one sign, bullets, every sort of space and line end; characters that show nothing are
    left out, and blanks at both ends. Letters stay as they are, accents too: a name is never spelled otherwise. What
    comes out goes through unchanged.
    """
    lines = unicodedata.normalize("NFC", body).replace("\r\n", "\n").replace("\r", "\n").translate(_TYPOGRAPHY)
    spaced = (" " if unicodedata.category(character) == "Zs" else character for character in lines)
    shown = "".join(character for character in spaced if not _shows_nothing(character))
    return unicodedata.normalize("NFC", shown).strip()


def check_typed(body: str) -> tuple[str, ...]:
    """What keeps a text that staff typed from being sent, in words for them; empty if it may go.

    Give it what `plainer` gave: it judges what would go on the wire. Refused are what tells (W-2), also spelt apart and
    in letters that only look like ours; letters that the list of telling words cannot know; links (L-35); asking for a
    word that ends or begins texts (R0.4); what does not show; more than two segments; and nothing at all.
    """
    if not plainer(body):
        return ("is empty",)
    problems = []
    if words := _telling_anyhow(plainer(body)):
        problems.append(f"tells what kind of care it is: {', '.join(words)}")
    if odd := _each(c for c in unicodedata.normalize("NFKD", body) if c.isalpha() and not _is_latin(c)):
        problems.append(f"has letters of another alphabet, in which we cannot check it: {odd}")
    folded = _folded(body).casefold()
    if links := [part for part in folded.translate(_FULL_STOPS).split() if _LINK.search(part)]:
        found = ", ".join(dict.fromkeys(links))
        problems.append(f"has what looks like a link (if it is none, put a space after its full stop): {found}")
    if asked := _asked_words().find(folded, _folded(body)):
        problems.append(f"asks for a word that ends or begins all texts, whatever is meant: {', '.join(asked)}")
    if odd := _each(c for c in body if _shows_nothing(c) or _is_control(c)):
        problems.append(f"has characters that do not show: {odd}")
    length = segments(body)
    if length.count > MOST_TYPED_SEGMENTS:
        why = _each(c for c in body if segments(c).encoding != "GSM-7")
        shorter = f"; it would be shorter without {why}" if why else ""
        problems.append(f"is too long: {length.count} segments, where {MOST_TYPED_SEGMENTS} are the most{shorter}")
    return tuple(problems)


def _telling_anyhow(body: str) -> tuple[str, ...]:
    """The telling words of a text as it stands, and with what is spelt apart joined."""
    joined = _SPELT.sub("", body)
    spaced = _SPACED.sub(lambda run: run[0].replace(" ", "").casefold(), body)  # small: no abbreviation out of initials
    return tuple(dict.fromkeys((*telling_words(body), *telling_words(joined), *telling_words(spaced))))


def _each(characters: Iterable[str]) -> str:
    """Each character once, at most eight of them; by its name where it cannot be seen or taken for another."""
    once = tuple(dict.fromkeys(characters))[:8]
    return ", ".join(repr(c) if c.isprintable() and _is_latin(c) else _named(c) for c in once)


def _named(character: str) -> str:
    return unicodedata.name(character, "").lower() or f"U+{ord(character):04X}"


def _is_latin(letter: str) -> bool:
    return not letter.isalpha() or letter.isascii() or "LATIN" in unicodedata.name(letter, "")


def _is_control(character: str) -> bool:
    """Whether it is a control character, a half of one, or one that no phone knows."""
    return character != "\n" and unicodedata.category(character) in {"Cc", "Cs", "Co", "Cn"}


def _shows_nothing(character: str) -> bool:
    return character in _BLANKS or unicodedata.category(character) == "Cf"


@dataclass(frozen=True, slots=True)
class _Lint:
    words: re.Pattern[str]  # matched against small letters: quicker than ignoring case
    abbreviations: re.Pattern[str]

    def find(self, text: str) -> tuple[str, ...]:
        folded = _folded(text)
        found = self.words.findall(folded.casefold()) + self.abbreviations.findall(folded)
        return tuple(dict.fromkeys(found))


def _folded(text: str) -> str:
    """`text` in the letters it is read as, without accents and what does not show; capitals stay."""
    if text.isascii():
        return text
    return _BEYOND_ASCII.sub(lambda found: _plain_letter(found[0]), unicodedata.normalize("NFKD", text))


@lru_cache(maxsize=4096)
def _plain_letter(character: str) -> str:
    """What one character is read as, once NFKD has split accents from their letters: nothing if it does not show."""
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


@dataclass(frozen=True, slots=True)
class _Asked:
    after_asking: re.Pattern[str]
    in_capitals: re.Pattern[str]

    def find(self, small: str, text: str) -> tuple[str, ...]:
        """The words that `text` asks for and must not; `small` is the same in small letters."""
        found = self.after_asking.findall(small) + [word.casefold() for word in self.in_capitals.findall(text)]
        return tuple(dict.fromkeys(" ".join(word.split()).upper() for word in found))


@cache
def _asked_words() -> _Asked:
    text = resources.files(__package__).joinpath("asked_words.toml").read_text(encoding="utf-8")
    return _compile_asked(tomllib.loads(text))


def _compile_asked(data: Mapping[str, Any]) -> _Asked:
    """The words of asked_words.toml. Raises ValueError if any part of it is missing, empty or no word."""
    if not (isinstance(data.get("version"), str) and data.keys() == {"version", "ask", "skip", "never"}):
        raise ValueError("asked_words.toml: must hold version, ask, skip and never, and nothing else")
    lists = {}
    for name in ("ask", "skip", "never"):
        lists[name] = sorted({word for language in data[name].values() for word in language}, reverse=True)
        if not lists[name] or not all(re.fullmatch(r"[a-z]+( [a-z]+)*", word) for word in lists[name]):
            raise ValueError(f"asked_words.toml: {name}: must be lists of words in small plain letters")
    ask, skip, never = ("|".join(words).replace(" ", r"\s+") for words in lists.values())
    capitals = "|".join(word.upper().replace(" ", r"\s+") for word in lists["never"])
    return _Asked(
        after_asking=re.compile(rf"\b(?:{ask})\W+(?:(?:{skip}|[a-z])\W+){{0,6}}({never})\b"),
        in_capitals=re.compile(rf"\b(?:{capitals})\b"),
    )
