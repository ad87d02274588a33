"""The second reader: a small statistical model that looks for danger where no rule finds it.

It is a logistic regression over letters (2 to 5 of a word), words (1 to 3 in a row) and ideas (groups of words in both
languages, in second/ideas.toml). tests/second_reader.py trains it on our own corpus; it ships as second/weights.txt.
It has two heads: danger or not, and, if there is danger, whether it is an overdose or medical (911 first).
"""

import json
import tomllib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise

WHOLE = 24  # words of a text read at once; a longer one is read in windows, so that danger in it is not diluted
WINDOW = 12
STEP = 4
MOST_WINDOWS = 200  # 800 words: the longest body from Twilio has fewer, unless its words are single letters
FEWEST = 12  # the least number of features to count with, so that one word alone does not decide
REASONS = 5
NEAR = 4  # words within which two ideas form a pair
FORMAT = 1

Weights = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Doubt:
    """The second reader's judgment of a text.

    `acts`: it is danger; otherwise it may be. `medical`: 911 comes first. `because`: the heaviest words.
    """

    acts: bool
    medical: bool
    because: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecondReader:
    """The model. `version` names its data, `corpus` its training data."""

    version: str
    corpus: str
    acts_from: float
    possible_from: float
    bias: tuple[float, float]
    scale: float
    weights: Weights = field(repr=False)

    def read(self, words: Sequence[str], known: Collection[int] = ()) -> Doubt | None:
        """Judge the `words` of a text, without those at the places `known`; None if it sees no danger.

        `known` are the places of words that a figure of speech explains. The gravest window of a long text counts.
        """
        best: tuple[float, float, Window] | None = None
        for window in windows(words, known):
            danger, medical = self.scores(window)
            if best is None or danger > best[0]:
                best = danger, medical, window
        if best is None or best[0] < self.possible_from:
            return None
        return Doubt(best[0] >= self.acts_from, best[1] > 0, tuple(self._because(best[2])))

    def scores(self, window: "Window") -> tuple[float, float]:
        """The scores of one window: for danger, and for medical danger."""
        danger, medical = self.bias
        for kind, least in zip(features(window), (2 * FEWEST, FEWEST), strict=True):
            if kind:
                found = [self.weights[one] for one in kind if one in self.weights]
                share = self.scale / max(len(kind), least) ** 0.5
                danger += share * sum(one[0] for one in found)
                medical += share * sum(one[1] for one in found)
        return danger, medical

    def _because(self, window: "Window") -> list[str]:
        """The words of the window that count most as danger, the heaviest first."""
        heavy: defaultdict[str, int] = defaultdict(int)
        for run in window:
            for feature, said in _explained(run):
                heavy[said] += max(0, self.weights.get(feature, (0, 0))[0])
        ranked = sorted((said for said, weight in heavy.items() if weight), key=lambda said: (-heavy[said], said))
        return ranked[:REASONS]


# A window is runs of adjacent words; a known figure of speech separated them.
Window = tuple[tuple[str, ...], ...]


def windows(words: Sequence[str], known: Collection[int] = ()) -> Iterator[Window]:
    """The overlapping windows of a text, without the words at the places `known`."""
    hidden = frozenset(known)
    long = len(words) > WHOLE
    size = WINDOW if long else WHOLE
    last = -(-(len(words) - WINDOW) // STEP) + 1 if long else 1
    for number in range(min(last, MOST_WINDOWS)):
        runs: list[tuple[str, ...]] = []
        run: list[str] = []
        for place in range(number * STEP, min(number * STEP + size, len(words))):
            if place not in hidden:
                run.append("0" if words[place].isdigit() else words[place])
            elif run:
                runs.append(tuple(run))
                run = []
        if run:
            runs.append(tuple(run))
        if runs:
            yield tuple(runs)


def features(window: Window) -> tuple[set[str], set[str]]:
    """The features of a window: its letters, and its words and ideas."""
    letters: set[str] = set()
    words: set[str] = set()
    for run in window:
        letters.update(*map(_letters, run))
        words.update(run)
        words.update(map(" ".join, pairwise(run)))
        words.update(map(" ".join, zip(run, run[1:], run[2:], strict=False)))
        thought = [_ideas().get(word, ()) for word in run]
        for place, here in enumerate(thought):
            if here:
                words.update(f"={one}" for one in here)
                near = [other for those in thought[place + 1 : place + NEAR] for other in those]
                words.update(f"={one}>{other}" for one in here for other in near)
    return letters, words


def _explained(run: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every feature of a run, with its words."""
    for place, word in enumerate(run):
        for letters in _letters(word):
            yield letters, word
        for length in (1, 2, 3):
            said = " ".join(run[place : place + length])
            if place + length <= len(run):
                yield said, said
        for one in _ideas().get(word, ()):
            yield f"={one}", word
            for other in run[place + 1 : place + NEAR]:
                for theirs in _ideas().get(other, ()):
                    yield f"={one}>{theirs}", f"{word} … {other}"


@lru_cache(maxsize=4096)
def _letters(word: str) -> frozenset[str]:
    """Two to five letters in a row, with the beginning and end of the word marked."""
    whole = f" {word[:60]} "
    return frozenset(
        f"_{whole[begin : begin + length]}" for length in (2, 3, 4, 5) for begin in range(len(whole) - length + 1)
    )


@cache
def _ideas() -> Mapping[str, tuple[str, ...]]:
    """Each word that has ideas, and its ideas."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for idea, words in tomllib.loads(data("ideas.toml"))["ideas"].items():
        for word in words:
            found[word].add(idea)
    return {word: tuple(sorted(ideas)) for word, ideas in found.items()}


def data(name: str) -> str:
    """The text of a data file of the second reader."""
    return resources.files(__package__).joinpath("second", name).read_text(encoding="utf-8")


@cache
def second_reader() -> SecondReader:
    """The model, read once. Raises ValueError for data of another format."""
    first, *lines = data("weights.txt").splitlines()
    head = json.loads(first)
    if head["format"] != FORMAT:
        raise ValueError(f"second/weights.txt: format {head['format']}, but this program reads {FORMAT}")
    weights = {}
    for line in lines:
        feature, danger, medical = line.rsplit("\t", 2)
        weights[feature] = (int(danger), int(medical))
    return SecondReader(
        version=head["version"],
        corpus=head["corpus"],
        acts_from=head["acts_from"],
        possible_from=head["possible_from"],
        bias=(head["bias"][0], head["bias"][1]),
        scale=head["scale"],
        weights=weights,
    )
