"""Rows of cells, as a spreadsheet of any kind gives them, each with its number in the file. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from reminders.intake.moments import Cell

MOST_ROWS = 200_000
MOST_COLUMNS = 500


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """One row: its number as a person sees it in the file, from 1, and its cells; a missing one is None."""

    number: int
    cells: Sequence[Cell]

    def __getitem__(self, index: int) -> Cell:
        return self.cells[index] if index < len(self.cells) else None


@dataclass(frozen=True, slots=True, repr=False)
class Table:
    """The rows that hold anything. `sheet` counts a workbook's sheets from 1 and is None elsewhere.

    `why_empty` says of a cell that reads as empty what is in it all the same (an error, a formula without a result),
    by its row number and its column from 0; None where it is empty.
    """

    rows: Sequence[Row]
    sheet: int | None = None
    base_1904: bool = False
    why_empty: Callable[[int, int], str | None] = lambda _row, _column: None

    def place(self, row: Row) -> str:
        """A row's place as it is told."""
        return f"row {row.number}" if self.sheet in {None, 1} else f"sheet {self.sheet}, row {row.number}"


def text_of(cell: Cell) -> str:
    """A cell as text, as it is shown: 1042.0 is 1042."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return f"{cell:.0f}"
    if isinstance(cell, date | datetime | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return f"{cell.total_seconds() / 60:g}"
    return " ".join(str(cell).split())


def is_empty(cell: Cell) -> bool:
    """Whether there is nothing in a cell that can be seen."""
    return cell is None or (isinstance(cell, str) and not cell.strip("\u200b\ufeff \t\r\n\xa0"))
