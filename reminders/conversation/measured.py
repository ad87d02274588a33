"""How well replies are understood. The last measurement stands in `measured.json`, which `tests/measured.py` writes."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Row:
    """One meaning: how many phrases have it, in how many it was found, and how much of what was found was right.

    `precision` is a share such as `97.7 %`; `unseen` how many phrases that no rule had seen were found, such as
    `80 of 108`, or `none`.
    """

    meaning: str
    phrases: int
    found: int
    precision: str
    unseen: str

    @property
    def missed(self) -> int:
        """In how many it was not found."""
        return self.phrases - self.found


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, with which version of the lexicon and on which version of how large a corpus."""

    lexicon: str
    corpus: str
    phrases: int
    rows: tuple[Row, ...]


@cache
def measured() -> Measured:
    """The figures as they were last measured."""
    data = json.loads(resources.files(__package__).joinpath("measured.json").read_text(encoding="utf-8"))
    rows = tuple(Row(**row) for row in data["rows"])
    return Measured(data["lexicon"], data["corpus"], data["phrases"], rows)
