"""The corpus of phrases, and the table of docs/replies.md made from it: `python -m tests.corpus_table` prints it."""

import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reminders.conversation import Meaning, Understood, understand

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.toml"))

# The first results of the held-out phrases, before any rule was changed for them: found, phrases. This is history: it
# grows when more are held out, and is never improved.
FIRST_TIME = {
    Meaning.OVERDOSE: (30, 34),
    Meaning.CRISIS: (80, 108),
    Meaning.STOP_ASKED: (41, 47),
    Meaning.WRONG_NUMBER: (13, 13),
    Meaning.SLIP: (49, 57),
    Meaning.INTENT: (37, 44),
    Meaning.HELP: (11, 12),
    Meaning.CHANGE: (58, 63),
    Meaning.CONFIRM: (63, 64),
    Meaning.YES: (6, 6),
    Meaning.WHO: (12, 13),
    Meaning.OTHER: (75, 77),
}


@dataclass(frozen=True)
class Phrase:
    """A phrase with the meanings it must have, and those it may have."""

    text: str
    language: str
    means: frozenset[str]
    may: frozenset[str]
    asked: bool
    held_out: bool
    missed: bool

    def understood(self) -> Understood:
        return understand(self.text, self.language, asked=self.asked)

    def met_by(self, meanings: frozenset[str]) -> bool:
        return self.means <= meanings <= self.means | self.may


def phrases() -> Iterator[Phrase]:
    for path in CORPUS:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        for group in data["phrases"]:
            if odd := group.keys() - {"means", "may", "asked", "held_out", "texts", "missed"}:
                raise ValueError(f"{path.name}: no such key: {', '.join(sorted(odd))}")
            for key in ("texts", "missed"):
                for text in group.get(key, ()):
                    yield Phrase(
                        text,
                        data["language"],
                        frozenset(Meaning(meaning) for meaning in group["means"]),
                        frozenset(Meaning(meaning) for meaning in group.get("may", ())),
                        asked=group.get("asked", False),
                        held_out=group.get("held_out", False),
                        missed=key == "missed",
                    )


def table() -> str:
    """Recall and precision for each meaning over the whole corpus, including known misses."""
    wanted, found, given, right = Counter(), Counter(), Counter(), Counter()
    count = 0
    for phrase in phrases():
        count += 1
        meanings = frozenset(phrase.understood().meanings)
        wanted.update(phrase.means)
        found.update(phrase.means & meanings)
        given.update(meanings)
        right.update(meanings & (phrase.means | phrase.may))
    lines = [
        f"Of {count} phrases:",
        "",
        "| meaning | phrases | found | recall | precision | held out, first time |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for meaning in Meaning:
        first = FIRST_TIME.get(meaning)
        lines.append(
            f"| {meaning} | {wanted[meaning]} | {found[meaning]} | {_share(found[meaning], wanted[meaning])} "
            f"| {_share(right[meaning], given[meaning])} | {f'{first[0]} of {first[1]}' if first else 'none'} |"
        )
    return "\n".join(lines) + "\n"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


if __name__ == "__main__":
    sys.stdout.write(table())
