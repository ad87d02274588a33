"""Text with a sign between its cells (CSV and its kin): bytes to a table. Pure."""

import codecs
import csv
import io
from collections import Counter
from collections.abc import Callable

from reminders.intake.arrivals import Unreadable
from reminders.intake.tables import MOST_COLUMNS, MOST_ROWS, Row, Table, is_empty

DELIMITERS = (",", ";", "\t", "|")
_LOOKED_AT = 60  # rows
_LONGEST_CELL = 131_072
_MOST_LINES = 40  # of a cell; more is a quote that was never closed


def decode(raw: bytes) -> str:
    """The text of a file: UTF-16 by its mark, else strict UTF-8, else Windows-1252. Raises Unreadable.

    Free detection of an encoding turns Núñez into Núńez.
    """
    if raw.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise Unreadable("is in UTF-32; save it again as CSV UTF-8")
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return raw.decode("utf-16").removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise Unreadable("is cut off or damaged; send it again") from None
    if b"\0" in raw:
        raise Unreadable(
            "holds NUL bytes, so it is no text; export it again as CSV UTF-8 or as an Excel workbook (.xlsx)"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def read_delimited(text: str, score: Callable[[Table], int]) -> Table:
    """The table of a text; of the delimiters the one that gives the best header by `score`. Raises Unreadable."""
    if not text.strip():
        raise Unreadable("is empty")
    first, _, rest = text.partition("\n")
    said = first.strip().strip('"').casefold()
    if said.startswith("sep=") and len(said) == 5 and said[4] in ",;|":
        return _rows(rest, said[4], 1)
    if said == "sep=":
        return _rows(rest, "\t", 1)
    head = [(score(_rows(text, one, 0, most=_LOOKED_AT)), text[:20_000].count(one), one) for one in DELIMITERS]
    return _rows(text, max(head)[2], 0)


def _unquoted(cell: str) -> str:
    """A cell without the formula that keeps a spreadsheet from making a number of it: ="001042"."""
    return cell[2:-1] if cell.startswith('="') and cell.endswith('"') else cell


def _rows(text: str, delimiter: str, skipped: int, most: int | None = None) -> Table:
    rows: list[Row] = []
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    number = skipped
    try:
        for cells in reader:
            number += 1
            if most is not None and number > most:
                break
            if number > MOST_ROWS:
                raise Unreadable(f"has more than {MOST_ROWS:,} rows; export a shorter time")
            if len(cells) > MOST_COLUMNS:
                raise Unreadable(f"has more than {MOST_COLUMNS} columns", f"row {number}")
            if most is None and any("\n" in cell and cell.count("\n") > _MOST_LINES for cell in cells):
                raise Unreadable("a quote is opened and not closed, so many rows are in one cell", f"row {number}")
            if any(not is_empty(cell) for cell in cells):
                rows.append(Row(number, [_unquoted(cell) for cell in cells]))
    except csv.Error:
        if most is None:
            raise Unreadable(
                "a cell is larger than can be; perhaps a quote is not closed", f"row {number + 1}"
            ) from None
    if most is None:
        _check_quotes(rows, delimiter)
    return Table(rows)


def _check_quotes(rows: list[Row], delimiter: str) -> None:
    """Raise Unreadable for a cell that holds whole rows: a quote before them was never closed."""
    width = Counter(len(row.cells) for row in rows).most_common(1)
    for row in rows:
        for cell in row.cells:
            if isinstance(cell, str) and "\n" in cell.replace("\r", "\n"):
                inside = max(line.count(delimiter) for line in cell.splitlines()[1:] or [""])
                if inside >= max(2, min(len(rows[0].cells), width[0][0]) - 1):
                    raise Unreadable(
                        "a quote is opened and not closed, so many rows are in one cell", f"row {row.number}"
                    )
