"""What a reply means: opt-out words as whole messages, and the lexicon's rules for everything else.

Matching is a filter that puts urgent texts first. It misses things, as every word list does (C-10). A reply that it
cannot explain is OTHER, and a person reads it.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

from reminders.conversation.rules import Found, Lexicon, lexicon
from reminders.conversation.second_reader import Doubt, second_reader
from reminders.conversation.spelling import plain_words

MOST_RULES = 8
MOST_READ = 3200  # characters; twice the longest body from Twilio


class Meaning(StrEnum):
    """What a reply, or a part of it, means, in the order of precedence for the answer (R0.8, C-2).

    Danger to life comes first. Next is the opt-out, which the law wants honored at once. Then come the meanings that
    staff must see soon, then requests, agreement and questions. START is the last one understood: it is always the
    whole message. The values are stored. Those of STOP and START name their tables in opt_words.toml, and those of the
    others name their tables in lexicon/*.toml.
    """

    OVERDOSE = "overdose"  # 911 first
    CRISIS = "crisis"
    POSSIBLE = "possible"  # possible danger: the second reader suspects it, and no rule does
    STOP = "stop"  # an opt-out word
    STOP_ASKED = "stop_asked"  # the same in other words
    WRONG_NUMBER = "wrong_number"
    SLIP = "slip"  # a return to use
    INTENT = "intent"  # craving, or intent to use
    HELP = "help"
    CHANGE = "change"
    CONFIRM = "confirm"
    YES = "yes"  # the bare word; the service knows what it answers
    WHO = "who"
    START = "start"
    REACTION = "reaction"  # a like or similar, without words
    OTHER = "other"  # not understood, or not all of it


@dataclass(frozen=True, slots=True)
class Understood:
    """What was understood: at least one meaning, by precedence, and the rules and lexicon version behind them.

    `because` are the words for which the second reader took the text for danger, the heaviest first.
    """

    meanings: tuple[Meaning, ...]
    rules: tuple[str, ...]
    version: str
    because: tuple[str, ...] = field(default=(), repr=False)

    @property
    def answer(self) -> Meaning:
        """The meaning to answer: one text gets one reply."""
        return self.meanings[0]


_PLACE: Mapping[str, int] = {meaning: place for place, meaning in enumerate(Meaning)}
_WITH_RULES = frozenset(Meaning) - {Meaning.STOP, Meaning.START, Meaning.OTHER, Meaning.POSSIBLE, Meaning.REACTION}
_DANGER = frozenset({Meaning.OVERDOSE, Meaning.CRISIS})
_AGREED = frozenset({Meaning.CONFIRM, Meaning.YES})
_TOLD = _WITH_RULES - _AGREED
_EXPLAINED = frozenset({"polite", "when"})
# These may leave a part of the text unread; with all others a person reads the text anyway.
_NOT_ALONE = frozenset({Meaning.WRONG_NUMBER, Meaning.HELP, Meaning.WHO})
_THUMB_UP = re.compile(r"[\N{THUMBS UP SIGN}\N{OK HAND SIGN}\N{WHITE HEAVY CHECK MARK}\N{HEAVY CHECK MARK}]")


def understand(text: str, language: str = "en", *, asked: bool = False) -> Understood:
    """What `text` means, which may be several things at once. It never fails, whatever was sent.

    `language` is the reader's BCP 47 tag. Rules of all languages are tried, since people mix them; the tag only decides
    the meaning of a word that exists in two languages. `asked` says that a text offering C and R was recently sent to
    this number, so that "no" and a thumbs-up are answers.

    Case, accents, punctuation, emoji, invisible characters and most typos do not matter. STOP (L-12) is an opt-out
    word, alone or with only courtesy and words of another meaning; START (L-17) must be the whole message. CONFIRM and
    YES require that every word is explained: "yes but can i bring my mom" is OTHER, and a reply that mentions a slip or
    a crisis confirms nothing.

    If no rule finds danger, the second reader looks for it: above its first threshold the text is danger, above its
    second POSSIBLE. It skips single words, and texts that the rules explain completely. Only the first MOST_READ
    characters are read; no text from Twilio is longer.
    """
    text = text[:MOST_READ]
    opt, words = _opt_words(), _lexicon()
    whole = plain_words(text)
    for meaning, pattern in ((Meaning.STOP, opt.stop), (Meaning.START, opt.start)):
        if pattern.fullmatch(whole):
            return Understood((meaning,), (f"opt.{meaning}",), words.version)
    said = words.spelling.words(text)
    if not said and asked and _THUMB_UP.search(text):
        return Understood((Meaning.CONFIRM,), ("any.confirm.thumb_up",), words.version)
    spoken = language.partition("-")[0].casefold()
    found = [
        one
        for one in words.find(said)
        if (asked or not one.rule.asked) and (not one.rule.own or one.rule.language == spoken)
    ]
    return _doubted(_judged(said, found, words.version), said, found)


def read_words(text: str) -> tuple[list[str], frozenset[int]]:
    """The words of `text` for the second reader, and the places of those that a figure of speech explains."""
    words = _lexicon()
    said = words.spelling.words(text[:MOST_READ])
    return said, _figurative(words.find(said))


def _figurative(found: Iterable[Found]) -> frozenset[int]:
    """The places of words in a known figure of speech that means no danger."""
    figures = (one for one in found if one.rule.means == "figures" and not one.rule.hides.isdisjoint(_DANGER))
    return frozenset(place for one in figures for place in range(one.begin, one.end))


def _doubted(understood: Understood, said: Sequence[str], found: Sequence[Found]) -> Understood:
    """What the rules understood, plus the second reader's judgment if they found no danger."""
    meanings = set(understood.meanings)
    if len(said) < 2 or meanings & _DANGER:
        return understood
    if not _unexplained(said, (one for one in found if one.rule.means != "figures")):
        return understood
    doubt = second_reader().read(said, _figurative(found))
    if doubt is None or (not doubt.acts and _is_sent_by_itself(said, found)):
        return understood
    what = _doubt_means(doubt)
    others = (meaning for meaning in understood.meanings if meaning is not Meaning.OTHER)
    return replace(
        understood,
        meanings=tuple(sorted({what, *others}, key=_PLACE.__getitem__)),
        rules=(f"second.{what}", *understood.rules)[:MOST_RULES],
        because=doubt.because,
    )


def _is_sent_by_itself(said: Sequence[str], found: Sequence[Found]) -> bool:
    """Whether an automatic phrase of a phone or an office, plus what the rules explain, leaves at most two words."""
    figures = [one.rule.hides for one in found if one.rule.means == "figures" and one.rule.hides.isdisjoint(_DANGER)]
    return (
        any(not hides.isdisjoint({Meaning.CONFIRM, Meaning.YES}) for hides in figures)
        and sum(len(run.split()) for run in _unexplained(said, found)) <= 2
    )


def _doubt_means(doubt: Doubt) -> Meaning:
    if not doubt.acts:
        return Meaning.POSSIBLE
    return Meaning.OVERDOSE if doubt.medical else Meaning.CRISIS


def _judged(said: Sequence[str], found: Sequence[Found], version: str) -> Understood:
    """The combined meaning of the rules found in the words `said`."""
    holds = [one for one in found if one.rule.means in _TOLD and (not one.rule.whole or _is_all(said, found, one))]
    stops = _stops(said, found, holds)
    if stops:
        holds = [one for one in holds if one.rule.means != Meaning.STOP_ASKED]
    meanings = {Meaning(one.rule.means) for one in holds} | ({Meaning.STOP} if stops else set())
    if not meanings and (agreement := _agreement(said, found)):
        holds = [one for one in found if one.rule.means in _AGREED]
        meanings = {agreement}
    elif meanings <= _NOT_ALONE and _unexplained(said, (one for one in found if one.rule.means != "figures")):
        meanings |= {Meaning.OTHER}
    rules = [one.rule.id for one in sorted(holds, key=lambda one: (_PLACE[one.rule.means], one.begin))]
    return Understood(
        tuple(sorted(meanings, key=_PLACE.__getitem__)) or (Meaning.OTHER,),
        tuple(dict.fromkeys(["opt.stop", *rules] if stops else rules))[:MOST_RULES],
        version,
    )


def _unexplained(said: Sequence[str], by: Iterable[Found]) -> list[str]:
    """The runs of words in `said` that none of `by` covers."""
    places = {place for one in by for place in range(one.begin, one.end)}
    marked = " ".join("." if place in places else word for place, word in enumerate(said))
    return [run for run in (part.strip() for part in marked.split(".")) if run]


def _is_all(said: Sequence[str], found: Iterable[Found], one: Found) -> bool:
    """Whether rules with the meaning of `one`, plus words that need no meaning, cover every word."""
    return not _unexplained(said, (other for other in found if other.rule.means in {one.rule.means, *_EXPLAINED}))


def _agreement(said: Sequence[str], found: Sequence[Found]) -> Meaning | None:
    """YES for that word and courtesy, CONFIRM for any agreement and words that need no meaning, else None."""
    bare = [one for one in found if one.rule.means in {Meaning.YES, "polite"}]
    if any(one.rule.means == Meaning.YES for one in bare) and not _unexplained(said, bare):
        return Meaning.YES
    agreed = [one for one in found if one.rule.means in _AGREED]
    explained = [one for one in found if one.rule.means in _EXPLAINED]
    return Meaning.CONFIRM if agreed and not _unexplained(said, agreed + explained) else None


def _stops(said: Sequence[str], found: Iterable[Found], holds: Iterable[Found]) -> bool:
    """Whether `said` has only opt-out words, apart from courtesy and words of another meaning.

    Next to a change of visit, CANCEL and similar words are about the visit (L-13).
    """
    others = [one for one in holds if one.rule.means != Meaning.STOP_ASKED]
    small = {*_AGREED, "polite", "links"} if others else {*_AGREED, "polite"}
    left = _unexplained(said, [*others, *(one for one in found if one.rule.means in small)])
    changes = any(one.rule.means == Meaning.CHANGE for one in others)
    opt = _opt_words()
    return bool(left) and all(
        opt.stop.fullmatch(run) and not (changes and opt.of_visits.fullmatch(run)) for run in left
    )


@dataclass(frozen=True, slots=True)
class _OptWords:
    """opt_words.toml: patterns for messages that end or restart texts, and for words that may be about visits."""

    stop: re.Pattern[str]
    start: re.Pattern[str]
    of_visits: re.Pattern[str]
    words: frozenset[str]


@cache
def _opt_words() -> _OptWords:
    text = resources.files(__package__).joinpath("opt_words.toml").read_text(encoding="utf-8")
    return _compile(tomllib.loads(text))


def _compile(data: Mapping[str, Any]) -> _OptWords:
    """The patterns for the data of opt_words.toml. Raises ValueError for words that no folded message can equal."""
    lists = {
        "stop": [word for source in data["stop"].values() for word in source],
        "start": [word for source in data["start"].values() for word in source],
        "of_visits": data["of_visits"],
    }
    patterns = {}
    for name, words in lists.items():
        if not words:
            raise ValueError(f"opt_words.toml: {name}: there are no words")
        if bad := [word for word in words if not re.fullmatch(r"[a-z]+( [a-z]+)*", word)]:
            raise ValueError(f"opt_words.toml: {name}: must be lowercase without accents: {', '.join(bad)}")
        one = "|".join(sorted(set(words), key=len, reverse=True))
        patterns[name] = re.compile(f"(?:{one})(?: (?:{one}))*")
    if odd := set(lists["of_visits"]) - set(lists["stop"]):
        raise ValueError(f"opt_words.toml: of_visits: not opt-out words: {', '.join(sorted(odd))}")
    return _OptWords(**patterns, words=frozenset(word for phrase in lists["stop"] for word in phrase.split()))


def _lexicon() -> Lexicon:
    return lexicon(_WITH_RULES, _opt_words().words)
