"""Excel workbooks (.xlsx): bytes to tables, and what other files say they are. Pure.

python-calamine reads; openpyxl looks once at cells that read as empty, for it alone tells an error or a formula without
a result from nothing.
"""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from functools import cache

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

from reminders.intake.arrivals import Unreadable
from reminders.intake.moments import Cell
from reminders.intake.tables import MOST_COLUMNS, MOST_ROWS, Row, Table, is_empty

MOST_UNPACKED = 200_000_000
MOST_ENTRIES = 1_000
_MOST_CELLS = 20_000_000
_SAVE_AS = 'open it and save it as "Excel Workbook (.xlsx)" or "CSV UTF-8"'


def refuse_other(raw: bytes) -> None:
    """Raise Unreadable, with what to do, for what is no text and no .xlsx: each kind by its first bytes."""
    head = raw[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if raw.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        if "EncryptedPackage".encode("utf-16-le") in raw:
            raise Unreadable(f"is protected by a password; take the password off, or {_SAVE_AS}")
        raise Unreadable(f"is an old Excel file (.xls); {_SAVE_AS}")
    if raw.startswith(b"\x1f\x8b"):
        raise Unreadable("is compressed (.gz); unpack it first")
    if raw.startswith((b"7z\xbc\xaf", b"Rar!", b"BZh", b"\xfd7zXZ")):
        raise Unreadable("is an archive; unpack it first")
    if raw.startswith(b"%PDF"):
        raise Unreadable("is a PDF; export the list as CSV or as an Excel workbook (.xlsx)")
    if raw.startswith((b"\x89PNG", b"\xff\xd8\xff", b"GIF8")):
        raise Unreadable("is a picture; export the list as CSV or as an Excel workbook (.xlsx)")
    if re.match(rb"<(?:!doctype html|html|head|body|table|meta|style|div)\b", head, re.IGNORECASE):
        raise Unreadable(f"is a web page, even if it is named .xls; {_SAVE_AS}")
    if head.startswith(b"<"):
        what = (
            "an Excel file of 2003 in XML" if b"urn:schemas-microsoft-com:office:spreadsheet" in raw[:4096] else "XML"
        )
        raise Unreadable(f"is {what}; {_SAVE_AS}")
    if head.startswith((b"MSH|", b"FHS|", b"BHS|")):
        raise Unreadable("is a message of HL7; HL7 is not read from files here, so export the list as CSV")
    if head[:6].upper() == b"BEGIN:":
        raise Unreadable("is a calendar or contact file (.ics, .vcf), which is not read; export the list as CSV")
    if head.startswith(b"{\\rtf"):
        raise Unreadable("is a text document; export the list as CSV or as an Excel workbook (.xlsx)")


def is_zip(raw: bytes) -> bool:
    """Whether these are the bytes of a zip file, as a workbook is one."""
    return raw.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def tables(raw: bytes) -> Iterator[Table]:
    """The visible sheets of a workbook that hold anything, in their order. Raises Unreadable."""
    base_1904 = _check_zip(raw)
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(raw))
        sheets = [
            (number, one.name)
            for number, one in enumerate(book.sheets_metadata, 1)
            if one.visible == SheetVisibleEnum.Visible and one.typ == SheetTypeEnum.WorkSheet
        ]
        for number, name in sheets:
            sheet = book.get_sheet_by_name(name)
            if sheet.total_height and (rows := list(_rows(sheet))):
                yield Table(rows, number, base_1904, _second_look(raw, name))
    except CalamineError:
        raise Unreadable(f"is damaged, or no workbook that we can read; {_SAVE_AS}") from None


def _check_zip(raw: bytes) -> bool:
    """Whether dates of this workbook count from 1904. Raises Unreadable for what must not be unpacked."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(raw))
        entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise Unreadable("is cut off or damaged; send it again") from None
    names = {entry.filename for entry in entries}
    if len(entries) > MOST_ENTRIES or sum(entry.file_size for entry in entries) > MOST_UNPACKED:
        raise Unreadable("unpacks to more than 200 MB or 1,000 parts, so it is not opened; export a shorter list")
    if any(entry.flag_bits & 1 for entry in entries):
        raise Unreadable("is protected by a password; take the password off")
    if "xl/workbook.bin" in names:
        raise Unreadable(f"is a binary Excel file (.xlsb); {_SAVE_AS}")
    if "content.xml" in names:
        raise Unreadable(f"is an OpenDocument file (.ods); {_SAVE_AS}")
    if "word/document.xml" in names:
        raise Unreadable("is a Word document; export the list as CSV or as an Excel workbook (.xlsx)")
    if "xl/workbook.xml" not in names:
        raise Unreadable("is a zip file and no workbook; unpack it first")
    return _counts_from_1904(archive)


def _counts_from_1904(archive: zipfile.ZipFile) -> bool:
    main = b""
    for entry in archive.infolist():
        if entry.filename.endswith((".xml", ".rels")):
            try:
                with archive.open(entry) as part:
                    head = part.read(65_536)
            except (zipfile.BadZipFile, OSError, NotImplementedError, EOFError, ValueError, zipfile.zlib.error):  # type: ignore[attr-defined]
                raise Unreadable("is cut off or damaged; send it again") from None
            if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
                raise Unreadable("declares XML entities, which no workbook needs; it is not opened")
            if entry.filename == "xl/workbook.xml":
                main = head
    return re.search(rb"<(?:\w+:)?workbookPr\b[^>]*\bdate1904=[\"'](?:1|true)[\"']", main) is not None


def _rows(sheet: CalamineSheet) -> Iterator[Row]:
    if sheet.total_height * sheet.total_width > _MOST_CELLS:
        raise Unreadable("has a sheet too large for a list of visits; export a shorter time")
    left = [None] * (sheet.start[1] if sheet.start else 0)  # calamine leaves out the empty columns on the left
    count = 0
    for number, cells in enumerate(sheet.iter_rows(), 1):
        if all(is_empty(cell) for cell in cells):
            continue
        count += 1
        if count > MOST_ROWS:
            raise Unreadable(f"has more than {MOST_ROWS:,} rows; export a shorter time")
        yield Row(number, [*left, *(_cell(cell) for cell in cells)][:MOST_COLUMNS])


def _cell(cell: object) -> Cell:
    if not isinstance(cell, int | float) and not cell:
        return None
    if isinstance(cell, str | float | int | bool | date | datetime | time | timedelta):
        return cell
    return str(cell)


def _second_look(raw: bytes, sheet: str) -> Callable[[int, int], str | None]:
    @cache
    def looked_up() -> dict[tuple[int, int], str]:
        return _hidden_values(raw, sheet)

    return lambda row, column: looked_up().get((row, column))


def _hidden_values(raw: bytes, sheet: str) -> dict[tuple[int, int], str]:
    """The cells of a sheet that hold an error or a formula, by row and column, with what is wrong with them."""
    import openpyxl

    found: dict[tuple[int, int], str] = {}
    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=False, keep_links=False)
        for row in book[sheet].iter_rows():
            for cell in row:
                kind = getattr(cell, "data_type", None)
                if kind == "f":
                    found[cell.row, cell.column - 1] = (
                        "holds a formula that gives no result here; open the file, save it again, or paste the values"
                    )
                elif kind == "e":
                    found[cell.row, cell.column - 1] = "holds an error of Excel (#N/A, #REF! …); correct it"
    except Exception:  # ruff: ignore[blind-except]  a second look that fails leaves the cell empty, as the first saw it
        return found
    return found
