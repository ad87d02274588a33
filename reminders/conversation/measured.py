"""How well replies are understood. `tests/measured.py` writes the last measurement to `measured.json`."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True, slots=True)
class Row:
    """One meaning: how many phrases have it, in how many it was found, and the precision.

    `precision` is a share such as `97.7 %`. `unseen` is how many of the phrases held out from the rules were found,
    such as `80 of 108`, or `none`.
    """

    meaning: str
    phrases: int
    found: int
    precision: str
    unseen: str

    @property
    def missed(self) -> int:
        """The number of phrases in which it was not found."""
        return self.phrases - self.found


@dataclass(frozen=True, slots=True)
class Measured:
    """The measurement, with the version of the lexicon and the version and size of the corpus."""

    lexicon: str
    corpus: str
    phrases: int
    rows: tuple[Row, ...]


@cache
def measured() -> Measured:
    """The figures of the last measurement."""
    data = json.loads(resources.files(__package__).joinpath("measured.json").read_text(encoding="utf-8"))
    rows = tuple(Row(**row) for row in data["rows"])
    return Measured(data["lexicon"], data["corpus"], data["phrases"], rows)
