"""The lexicon: rules as data in lexicon/*.toml, compiled once, and the search for them in a text.

The pattern language, word by word:

    word           that word; short forms are expanded as in a text, so `don't` is `do not`
    word*          any word that begins this way
    #              a number, a time such as 3pm, a day such as 4th
    (a b|c|d e)    one of these phrases, which may contain parentheses too
    @name          one of the phrases of that group
    x?  (x|y)*     x or nothing; for parentheses also x and y a few times, in any order
    ...            up to three words of any kind, except a turn (`but`, `pero`)
    !x             what follows is not x
    ^  $           the message begins, ends here

Any of the file's `fillers` may come between two words of a pattern: "want to die" finds "i just want to fucking die".

Tables of a lexicon file, each `[table.rule]` with its patterns in `say`:

    a meaning      what the patterns of the rule mean. `whole = true`: only if the rest of the message is explained.
                   `asked = true`: only if a text that offers C and R was recently sent there. `own = true`: only for
                   readers of the file's language.
    figures        figures of speech: a meaning in `hides` does not count if it shares a word with one; with
                   `whole = true` it counts nowhere in that message
    polite, when   words that need no meaning: greetings and thanks; days, times, the appointment
    links          words that need none next to a meaning: pronouns and the like
"""

import re
import tomllib
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from typing import Any

from reminders.conversation.spelling import NUMBER, Spelling

GAP = 3  # the most words in `...`, and the most fillers between two words
REPEATS = 5  # the most repetitions of parentheses with a `*`

_SETTINGS = frozenset({"version", "language", "turns", "fillers", "groups", "short", "spelling"})
_UNMEANT = frozenset({"figures", "polite", "when", "links"})

# A text is searched as one string, with a space before and after each word; fillers are marked ~ and turns %.
_FILLERS = rf"(?:~\S+ ){{0,{GAP}}}"
_ANY_WORDS = rf"(?:[^%\s]\S* ){{0,{GAP}}}?"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `means` is a meaning's value, or figures, polite, when or links."""

    id: str
    means: str
    language: str
    whole: bool = False
    asked: bool = False
    own: bool = False
    hides: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """A rule found in a text, from word `begin` up to `end`."""

    rule: Rule
    begin: int
    end: int


class Lexicon:
    """All rules of all files, and the search for them."""

    def __init__(
        self, files: Mapping[str, Mapping[str, Any]], meanings: frozenset[str], known: frozenset[str] = frozenset()
    ) -> None:
        short = {typed: full for data in files.values() for typed, full in data.get("short", {}).items()}
        read = [_File(name, data, meanings, short) for name, data in files.items()]
        versions = {file.version for file in read}
        if len(versions) != 1:
            raise ValueError(f"{', '.join(files)}: version: must be the same in all of them")
        self.version = versions.pop()
        self._fillers = frozenset[str]().union(*(file.fillers for file in read))
        self._turns = frozenset[str]().union(*(file.turns for file in read))
        written = [one for file in read for one in file.patterns()]
        words = known.union(*(file.known for file in read)) - short.keys()
        lists = {
            name: frozenset(word for file in read for word in file.data["spelling"][name])
            for name in ("correct", "join", "ordinary")
        }
        self.spelling = Spelling(words, short, **lists)
        # A pattern is tried only if the text has the rarest word that the pattern requires, so most cost nothing.
        use = Counter(atom for _, part in written for needs in part.needs for atom in needs)
        self._by_word: defaultdict[str, list[int]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[int]] = defaultdict(list)
        self._patterns = [(rule, _Pattern(f"(?<= ){part.regex}"), part.needs) for rule, part in written]
        self._stems = frozenset(atom[:-1] for atom in use if atom.endswith("*"))
        for number, (_, part) in enumerate(written):
            for atom in min(part.needs, key=lambda needs: sum(use[atom] for atom in needs)):
                stem = atom.endswith("*")
                (self._by_stem if stem else self._by_word)[atom.rstrip("*")].append(number)

    def find(self, words: Sequence[str]) -> list[Found]:
        """Every rule found in `words`, by place, except those hidden by a figure of speech."""
        tried: set[int] = set()
        there = set(words)
        for word in set(words):
            tried.update(self._by_word.get(word, ()))
            if word[:1].isdigit():
                tried.update(self._by_word.get("#", ()))
                there.add("#")
            for length in range(2, len(word) + 1):
                if (beginning := word[:length]) in self._stems:
                    there.add(f"{beginning}*")
                    tried.update(self._by_stem.get(beginning, ()))
        text = " " + "".join(f"{self._mark(word)} " for word in words)
        begins = [at + 1 for at, character in enumerate(text) if character == " "]
        found = {
            one
            for rule, pattern, needs in map(self._patterns.__getitem__, tried)
            if not any(map(there.isdisjoint, needs))
            for one in _matches(rule, pattern, text, begins)
        }
        hidden = {
            (meaning, place)
            for one in found
            for meaning in one.rule.hides
            for place in (range(len(words)) if one.rule.whole else range(one.begin, one.end))
        }  # fmt: skip
        shown = (
            one for one in found if not any((one.rule.means, place) in hidden for place in range(one.begin, one.end))
        )
        return sorted(shown, key=lambda one: (one.begin, one.end, one.rule.id))

    def _mark(self, word: str) -> str:
        if word in self._turns:
            return f"%{word}"
        return f"~{word}" if word in self._fillers else word


class _Pattern:
    """A regular expression, compiled at first use: most are never used."""

    def __init__(self, regex: str) -> None:
        self._regex = regex

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        return re.compile(self._regex)


def _matches(rule: Rule, pattern: _Pattern, text: str, begins: Sequence[int]) -> Iterator[Found]:
    """The matches of a rule's pattern in `text`: at most one from each word, so matches may overlap."""
    at = 0
    while match := pattern.compiled.search(text, at):
        begin, end = match.span()
        yield Found(rule, bisect_left(begins, begin), bisect_left(begins, end))
        at = text.find(" ", begin) + 1


# Reading the files.


@dataclass(frozen=True, slots=True)
class _Part:
    """A pattern or part of one: its regular expression, its length, and `needs`: it requires a word of each set."""

    regex: str
    needs: tuple[frozenset[str], ...] = ()
    longest: int = 0
    gap: bool = False


_TOKEN = re.compile(r"\s+|\.\.\.|[()|!?^$#]|[a-z0-9']+\*?|@[a-z_]+|\*")
_SINGLE = re.compile(r"[a-z0-9]+ ")
_NOTHING = _Part("")


@dataclass(slots=True)
class _File:
    """One lexicon file being read. Raises ValueError with the file, the rule and the problem."""

    name: str
    data: Mapping[str, Any]
    meanings: frozenset[str]
    short: Mapping[str, str]  # of all files: all of them are expanded in a text before any pattern is tried
    version: str = field(init=False)
    language: str = field(init=False)
    known: set[str] = field(default_factory=set)
    _groups: dict[str, _Part] = field(default_factory=dict)
    _words: dict[str, _Part] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if missing := _SETTINGS - self.data.keys():
            raise self._wrong(", ".join(sorted(missing)), "is missing")
        if odd := self.data.keys() - _SETTINGS - _UNMEANT - self.meanings:
            raise self._wrong(", ".join(sorted(odd)), "no such meaning or table")
        if not isinstance(self.data["version"], str) or not isinstance(self.data["language"], str):
            raise self._wrong("version, language", "must be texts")
        self.version, self.language = self.data["version"], self.data["language"]
        self.known |= {word for full in self.short.values() for word in full.split()}
        self.known |= self.fillers | self.turns

    @property
    def turns(self) -> frozenset[str]:
        return frozenset(self.data["turns"])

    @property
    def fillers(self) -> frozenset[str]:
        return frozenset(self.data["fillers"])

    def patterns(self) -> list[tuple[Rule, _Part]]:
        """Every pattern with its rule. Fillers need no meaning."""
        filler = Rule(f"{self.language}.polite.filler", "polite", self.language)
        found = [(filler, self._word(word, filler.id)) for word in sorted(self.fillers)]
        for table in sorted(self.data.keys() - _SETTINGS):
            for name, body in self.data[table].items():
                rule = self._rule(table, name, body)
                found += [(rule, self._pattern(pattern, rule)) for pattern in body["say"]]
        return found

    def _rule(self, table: str, name: str, body: Mapping[str, Any]) -> Rule:
        rule_id = f"{self.language}.{table}.{name}"
        say = body.get("say")
        if not say or not isinstance(say, list) or not all(isinstance(pattern, str) for pattern in say):
            raise self._wrong(rule_id, "say: must be a list of patterns")
        if odd := body.keys() - {"say"} - ({"hides", "whole"} if table == "figures" else {"whole", "asked", "own"}):
            raise self._wrong(rule_id, f"no such setting: {', '.join(sorted(odd))}")
        hides = frozenset(body.get("hides", ()))
        if table == "figures" and (not hides or hides - self.meanings):
            raise self._wrong(rule_id, "hides: must name meanings")
        flags = {flag: bool(body.get(flag, False)) for flag in ("whole", "asked", "own")}
        return Rule(id=rule_id, means=table, language=self.language, hides=hides, **flags)

    def _pattern(self, pattern: str, rule: Rule) -> _Part:
        part = self._parsed(pattern, rule.id)
        if not part.needs:
            raise self._wrong(rule.id, f"requires no word: {pattern}")
        if part.regex.startswith((_ANY_WORDS, "(?!")) or part.regex.endswith((_ANY_WORDS, r"(?<=\A )")):
            raise self._wrong(rule.id, f"must begin and end with words: {pattern}")
        if part.gap and rule.means != "figures" and (rule.whole or rule.means in _UNMEANT):
            raise self._wrong(rule.id, f"explains words it does not name: {pattern}")
        return part

    def _parsed(self, pattern: str, rule_id: str) -> _Part:
        tokens = [match[0] for match in _TOKEN.finditer(pattern)]
        if "".join(tokens) != pattern:
            raise self._wrong(rule_id, f"cannot be read: {' '.join(pattern.split())}")
        rest = [token for token in tokens if not token.isspace()][::-1]
        part = self._choice(rest, rule_id)
        if rest:
            raise self._wrong(rule_id, f"has one parenthesis too many: {pattern}")
        return part

    def _choice(self, tokens: list[str], rule_id: str) -> _Part:
        """The phrases between bars, up to the end or the closing parenthesis."""
        choices = [self._phrase(tokens, rule_id)]
        while tokens and tokens[-1] == "|":
            tokens.pop()
            choices.append(self._phrase(tokens, rule_id))
        if any(not choice.regex for choice in choices):
            raise self._wrong(rule_id, "has an empty choice")
        return _one_of(choices)

    def _phrase(self, tokens: list[str], rule_id: str) -> _Part:
        """The parts in order, up to the next bar or closing parenthesis."""
        parts = [_NOTHING]
        while tokens and tokens[-1] not in {"|", ")"}:
            parts.append(self._item(tokens, rule_id))
        if len(parts) == 2:
            return parts[1]
        return _Part(
            "".join(part.regex for part in parts),
            tuple(needs for part in parts for needs in part.needs),
            sum(part.longest for part in parts),
            any(part.gap for part in parts),
        )

    def _item(self, tokens: list[str], rule_id: str) -> _Part:
        sign = tokens.pop()
        if sign == "...":
            return _Part(_ANY_WORDS, longest=GAP, gap=True)
        if sign == "!" and tokens:
            part = self._item(tokens, rule_id)
            return _Part(f"(?!{part.regex})")
        if sign == "^":
            return _Part(r"(?<=\A )")
        if sign == "$":
            return _Part(rf"(?={_FILLERS}\Z)")
        if sign == "(":
            part = self._choice(tokens, rule_id)
            if not tokens or tokens.pop() != ")":
                raise self._wrong(rule_id, "has a parenthesis that is not closed")
            return self._repeated(part, tokens)
        if sign.startswith("@"):
            return self._repeated(self._group(sign[1:], rule_id), tokens)
        if sign in {"!", "?", "*"}:
            raise self._wrong(rule_id, f"expected a word in place of {sign!r}")
        return self._repeated(self._word(sign, rule_id), tokens)

    def _repeated(self, part: _Part, tokens: list[str]) -> _Part:
        sign = tokens[-1] if tokens and tokens[-1] in {"?", "*"} else ""
        if not sign:
            return part
        tokens.pop()
        times = REPEATS if sign == "*" else 1
        return _Part(f"(?:{part.regex}){{0,{times}}}", longest=part.longest * times, gap=part.gap)

    def _group(self, name: str, rule_id: str) -> _Part:
        if name not in self._groups:
            if name not in self.data["groups"]:
                raise self._wrong(rule_id, f"no such group: @{name}")
            self._groups[name] = _one_of(
                [self._parsed(phrase, f"groups.{name}") for phrase in self.data["groups"][name]]
            )
        return self._groups[name]

    def _word(self, word: str, rule_id: str) -> _Part:
        if word not in self._words:
            self._words[word] = self._read_word(word, rule_id)
        return self._words[word]

    def _read_word(self, word: str, rule_id: str) -> _Part:
        if word == "#":
            return _Part(rf"{_FILLERS}{NUMBER} ", (frozenset("#"),), 1)
        bare = word.replace("'", "")
        if bare.endswith("*"):
            return _Part(rf"{_FILLERS}[~%]?{bare[:-1]}\S* ", (frozenset({bare}),), 1)
        words = (self.short.get(word) or self.short.get(bare) or bare).split()
        if not all(word.isalnum() for word in words):
            raise self._wrong(rule_id, f"cannot be read: {word}")
        self.known.update(words)
        regex = "".join(f"{_FILLERS}[~%]?{word} " for word in words)
        return _Part(regex, tuple(frozenset({word}) for word in words), len(words))

    def _wrong(self, where: str, problem: str) -> ValueError:
        return ValueError(f"{self.name}: {where}: {problem}")


def _one_of(choices: Sequence[_Part]) -> _Part:
    """One of `choices`, the longest first. It needs one word of each of them."""
    if len(choices) == 1:
        return choices[0]
    ordered = sorted(dict.fromkeys(choices), key=lambda part: -part.longest)
    needs: tuple[frozenset[str], ...] = ()
    if all(part.needs for part in ordered):
        needs = (frozenset[str]().union(*(min(part.needs, key=len) for part in ordered)),)
    return _Part(
        f"(?:{'|'.join(_shared(ordered))})",
        needs,
        max(part.longest for part in ordered),
        any(part.gap for part in ordered),
    )


def _shared(parts: Sequence[_Part]) -> Iterator[str]:
    """The expressions of `parts`; consecutive single words share their prefix."""
    single = rf"{_FILLERS}[~%]?"
    run: list[str] = []
    for part in [*parts, _NOTHING]:
        rest = part.regex.removeprefix(single)
        if rest != part.regex and part.longest == 1 and _SINGLE.fullmatch(rest):
            run.append(rest)
            continue
        if run:
            yield f"{single}(?:{'|'.join(run)})"
            run = []
        if part.regex:
            yield part.regex


@cache
def lexicon(meanings: frozenset[str], known: frozenset[str] = frozenset()) -> Lexicon:
    """The lexicon of this package, whose rules may have `meanings`. `known` are words to leave as they are."""
    return Lexicon({name: tomllib.loads(text) for name, text in files().items()}, meanings, known)


def files() -> Mapping[str, str]:
    """The text of each lexicon file of this package by name, one for each language."""
    folder = resources.files(__package__).joinpath("lexicon")
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    return {file.name: file.read_text(encoding="utf-8") for file in found}
