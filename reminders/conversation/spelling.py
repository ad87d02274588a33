"""Turn a typed text into the intended words, the form that the lexicon's rules read."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import groupby, product

SHORTEST_CORRECTED = 5  # shorter words are one typo away from too many others
LONGEST_CORRECTED = 60  # anything longer is not a word, and must not cost time

_PICTURE = re.compile(r".\ufe0f")  # a letter or digit shown as an emoji, which folding would turn back into one
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc\u2032\u00b4\u0060\uff07", "'"))
_PLAIN = re.compile(r"[^\W_]+")
_TYPED = re.compile(r"[@$]?[^\W_]+(?:['@$!*|+]+[^\W_]+)*")
NUMBER = r"\d+(?:am?|pm?|st|nd|rd|th|h|hs|hrs?|ish|min|mins)?"
_LEET = {
    "0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "6": "g", "7": "t", "8": "b", "9": "g", "@": "a", "$": "s",
    "!": "i", "|": "li", "+": "t",
}  # fmt: skip
_RUN = re.compile(r"(.)\1+")


def folded(text: str) -> str:
    """`text` in lowercase, without accents, invisible characters and letters shown as emoji."""
    split = unicodedata.normalize("NFKD", _PICTURE.sub(" ", text.translate(_APOSTROPHES)).casefold())
    return "".join(c for c in split if unicodedata.category(c) not in {"Mn", "Me", "Cf"}).casefold()


def plain_words(text: str) -> str:
    """The words of `text` as typed, folded, with single spaces, for comparison with keywords."""
    return " ".join(_PLAIN.findall(folded(text)))


def is_number(word: str) -> bool:
    """Whether `word` is a number, or a time or date such as 3pm, 10h or 4th."""
    return bool(re.fullmatch(NUMBER, word))


class Spelling:
    """The lexicon's knowledge of spelling.

    `known` are the words its rules use, and `short` maps short forms (`wanna`, `od'd`) to full ones. Words in `correct`
    are recognized with a typo, and joined with each other and with those in `join`. `ordinary` are everyday words that
    look like one in `correct` with a typo.
    """

    def __init__(
        self,
        known: Iterable[str],
        short: Mapping[str, str],
        *,
        correct: Collection[str],
        join: Collection[str],
        ordinary: Collection[str],
    ) -> None:
        self._short = dict(short)
        self._words = {*known, *correct, *short}
        self._right = self._words.union(ordinary, join)
        self._correct = frozenset(correct)
        self._join = self._correct.union(join)
        self._longest = max(map(len, self._join), default=0)
        self._squeezed: dict[str, str] = {}
        self._one_less: defaultdict[str, list[str]] = defaultdict(list)
        for word in sorted(correct, key=lambda word: (len(word), word)):
            self._squeezed.setdefault(_RUN.sub(r"\1", word), word)
            if len(word) >= SHORTEST_CORRECTED:
                for less in {word, *_one_less(word)}:
                    self._one_less[less].append(word)

    def words(self, text: str) -> list[str]:
        """The words of `text`, folded, with typos corrected if only one known word fits, and short forms in full.

        A second pass over the result, joined by spaces, changes nothing. It never fails.
        """
        found: list[str] = []
        for typed in _TYPED.findall(folded(text)):
            found += self._read(typed)
        return list(self._spelled_out(found))

    def _read(self, typed: str) -> list[str]:
        if typed in self._short:
            return self._short[typed].split()
        if typed in self._right or is_number(typed):
            return [typed]
        bare = typed.replace("'", "")
        if not bare.isalpha() and (meant := self._disguised(bare)):
            return self._full(meant)
        if not bare.isalnum():
            apart = (part.strip("'") for part in re.split(r"[@$!*|+]+", typed))
            return [word for part in apart if part for word in self._read(part)]
        if bare != typed:
            return self._read(bare)
        if meant := self._corrected(typed):
            return self._full(meant)
        parts = self._cut(typed, 4) if 5 < len(typed) <= LONGEST_CORRECTED else []
        return [word for part in parts for word in self._full(part)] or [typed]

    def _full(self, word: str) -> list[str]:
        return self._short.get(word, word).split()

    def _disguised(self, typed: str) -> str | None:
        """The known word in `k1ll`, `su*cide` or `$top`."""
        if len(typed) > LONGEST_CORRECTED:
            return None
        if "*" in typed:
            form = re.compile("".join("." if c == "*" else re.escape(c) for c in typed))
            return next((word for word in sorted(self._words) if len(word) > 3 and form.fullmatch(word)), None)
        if sum(c in "1|" for c in typed) > 4:  # each may be two letters
            return None
        spelled = ("".join(letters) for letters in product(*(_LEET.get(c, c) for c in typed)))
        return next((word for word in spelled if word in self._words and len(word) > 1), None)

    def _corrected(self, typed: str) -> str | None:
        """The known word behind drawn-out letters or one typo: a letter added, missing, wrong or swapped."""
        if len(typed) > LONGEST_CORRECTED:
            return None
        if drawn_out := re.search(r"(.)\1\1", typed):
            for times in (r"\1\1", r"\1"):
                if (word := _RUN.sub(times, typed)) in self._words:
                    return word
        if (drawn_out or len(typed) >= SHORTEST_CORRECTED - 1) and (
            word := self._squeezed.get(_RUN.sub(r"\1", typed), "")
        ):
            return word
        if len(typed) == SHORTEST_CORRECTED - 1:
            swapped = (typed[:i] + typed[i + 1] + typed[i] + typed[i + 2 :] for i in range(3))
            return next((word for word in swapped if word in self._correct), None)
        if len(typed) < SHORTEST_CORRECTED:
            return None
        near = (word for less in (typed, *_one_less(typed)) for word in self._one_less.get(less, ()))
        return next((word for word in near if _is_one_typo(typed, word)), None)

    def _cut(self, typed: str, longest: int) -> list[str]:
        """`typed` cut into the fewest words, at least one of `longest` letters or more; empty if it cannot be cut."""
        ways: list[list[str] | None] = [[]]  # the best way to cut the text before each letter
        for end in range(1, len(typed) + 1):
            best: list[str] | None = None
            for begin in range(max(0, end - self._longest), end):
                before, part = ways[begin], typed[begin:end]
                if before is None or part not in self._join:
                    continue
                if best is None or len(before) < len(best) - 1:
                    best = [*before, part]
            ways.append(best)
        found = ways[-1] or []
        return found if max(map(len, found), default=0) >= longest else []

    def _spelled_out(self, words: Iterable[str]) -> Iterator[str]:
        """The words, with single letters joined: `k i l l m e` becomes kill me, `r u in` stays as it is."""
        for single, run in groupby(words, key=lambda word: len(word) == 1):
            letters = list(run)
            joined = "".join(letters)
            if single and len(letters) > 2 and not joined.isdigit():
                plain = joined if joined.isalpha() else (self._disguised(joined) or joined)
                for part in self._cut(plain, 3) or letters:
                    yield from self._full(part)
            else:
                yield from letters


def _one_less(word: str) -> Iterator[str]:
    return (word[:i] + word[i + 1 :] for i in range(len(word)))


def _is_one_typo(a: str, b: str) -> bool:
    """Whether `a` becomes `b` by one letter added, removed or changed, or two neighbors swapped."""
    begin = 0
    while begin < min(len(a), len(b)) and a[begin] == b[begin]:
        begin += 1
    a, b = a[begin:], b[begin:]
    if len(a) == len(b):
        return a[1:] == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
    return a[1:] == b or a == b[1:]
