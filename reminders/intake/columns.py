"""Which column of a sheet is what, by the words of its header and never by its position. Pure."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from reminders.intake.arrivals import Unreadable
from reminders.intake.moments import Cell, DateOrder, Untold, tell
from reminders.intake.profile import FIELDS, Profile
from reminders.intake.tables import Row, Table, is_empty, text_of
from reminders.intake.vocabulary import meanings, not_the_patients, ranks, squeezed

_LOOKED_AT = 60  # rows, for a header
_WHEN = frozenset({"start", "date", "time", "schedule", "days", "discharged"})
_WHO = frozenset({"patient", "name", "first_name", "last_name", "bare_id"})
# Taking one of two of these would choose a person or a time by its position.
_NEVER_TWICE = frozenset(
    {"id", "patient", "name", "first_name", "last_name", "start", "date", "time", "mobile", "discharged"}
)
_SEVERAL = frozenset({"where", "staff", "mobile", "phone", "home", "kind", "mode"})


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what it is, its place from 0, its header as it stands, and what its header says in brackets."""

    field: str
    index: int
    header: str
    order: DateOrder | None = None
    zone_word: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Header:
    """The header of a table: its columns by what they are, best first, those that we do not know, and the rows below."""

    columns: Mapping[str, tuple[Column, ...]]
    rows: Sequence[Row]
    fingerprint: str
    twice: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    header_cells: frozenset[tuple[str, ...]] = field(default_factory=frozenset)

    def one(self, name: str) -> Column | None:
        """The column that is this, or None."""
        found = self.columns.get(name)
        return found[0] if found else None

    def has(self, *names: str) -> bool:
        """Whether there is a column for any of these."""
        return any(name in self.columns for name in names)


def score(table: Table) -> int:
    """How many columns we know in the best header of a table."""
    return max((len(found) for _, found in _candidates(table.rows[:_LOOKED_AT], Profile())), default=0)


def find_header(table: Table, profile: Profile) -> Header:
    """The header of a table. Raises Unreadable for a table without one that tells who and when."""
    best: tuple[int, int, dict[int, Column]] | None = None
    for last, found in _candidates(table.rows[:_LOOKED_AT], profile):
        rank = len({column.field for column in found.values()})
        if best is None or rank > best[0]:
            best = (rank, last, found)
    fields = {column.field for column in best[2].values()} if best else set()
    if best is None or not fields & _WHEN or not fields & _WHO:
        _refuse(table, fields)
    assert best is not None
    _, last, found = best
    header_rows = table.rows[: last + 1]
    by_field: dict[str, list[Column]] = {}
    squeezed_names = [squeezed(_bare(text_of(cell))[0]) for cell in header_rows[-1].cells]
    for column in found.values():
        by_field.setdefault(column.field, []).append(column)
    twice = []
    for name, columns in by_field.items():
        columns.sort(key=partial(_rank, ranks(name)))
        same = [one for one in columns if squeezed(one.header) == squeezed(columns[0].header)]
        if name in _NEVER_TWICE and len(same) > 1 and _differ(table.rows[last + 1 :], same):
            twice.append(columns[0].header)
    fingerprint = hashlib.sha256("|".join(squeezed_names).encode()).hexdigest()[:16]
    return Header(
        columns={name: tuple(columns) for name, columns in by_field.items()},
        rows=table.rows[last + 1 :],
        fingerprint=fingerprint,
        twice=tuple(twice),
        unknown=tuple(
            text_of(cell)
            for index, cell in enumerate(header_rows[-1].cells)
            if index not in found and not is_empty(cell)
        ),
        header_cells=frozenset(tuple(text_of(cell) for cell in row.cells) for row in header_rows),
    )


def _rank(better: Mapping[str, int], column: Column) -> tuple[int, int]:
    return better.get(squeezed(_bare(column.header)[0]), 999), column.index


def _differ(rows: Sequence[Row], columns: Sequence[Column]) -> bool:
    first, *others = columns
    return any(text_of(row[first.index]) != text_of(row[one.index]) for row in rows for one in others)


def _candidates(rows: Sequence[Row], profile: Profile) -> Iterator[tuple[int, dict[int, Column]]]:
    """Each row as a header, with the row above it where that has the words of groups: its place, and its columns."""
    seen: set[tuple[str, ...]] = set()
    for place, row in enumerate(rows):
        texts = tuple(text_of(cell) for cell in row.cells)
        if _looks_like_words(row) and texts not in seen:  # on each page of a print it is said again
            seen.add(texts)
            above = rows[place - 1] if place else None
            groups = _groups(above, row) if above is not None else {}
            yield place, _columns(row, groups, profile)


def _looks_like_words(row: Row) -> bool:
    """Whether a row can be one of a header: mostly text, no dates, no long numbers."""
    filled = [cell for cell in row.cells if not is_empty(cell)]
    texts = [cell for cell in filled if isinstance(cell, str) and not re.search(r"\d{3}", cell)]
    return len(filled) >= 2 and len(texts) * 10 >= len(filled) * 8


_OTHERS = re.compile(
    r"emergency|guarantor|provider|insur|relative|family|guardian|parent|spouse|referr|caller|staff|employer|emergencia|familiar"
    r"|proveedor|seguro|responsable",
    re.IGNORECASE,
)


def _groups(above: Row, row: Row) -> dict[int, str]:
    """The words above each column: a group over several, or the first half of its name. A title is none."""
    filled = {index: text_of(cell) for index, cell in enumerate(above.cells) if not is_empty(cell)}
    anothers = any(_OTHERS.search(word) and index for index, word in filled.items())
    if any(word.endswith(":") for word in filled.values()) or (not anothers and len(filled) < 2):
        return {}
    groups: dict[int, str] = {}
    current = ""
    for index in range(max(len(above.cells), len(row.cells))):
        current = filled.get(index, current)
        groups[index] = current
    known = meanings("groups")
    names = (_field_of(squeezed(f"{group} {text_of(row[index])}")) for index, group in groups.items())
    if anothers or any(squeezed(word) in known for word in filled.values()) or any(names):
        return groups
    return {}


def _columns(row: Row, groups: Mapping[int, str], profile: Profile) -> dict[int, Column]:
    plain_groups = meanings("groups")
    hidden = {other for one, other in not_the_patients() if any(squeezed(text_of(cell)) == one for cell in row.cells)}
    found: dict[int, Column] = {}
    for index in range(max(len(row.cells), len(groups))):
        text, group = text_of(row[index]), groups.get(index, "")
        if not text and not group:
            continue
        if len(text) > 80 or len(group) > 80:
            continue
        column = _column(index, f"{group} {text}".strip(), profile)
        if column is None and (not group or squeezed(group) in plain_groups):
            column = _column(index, text, profile)
        if column is not None and squeezed(text) not in hidden:
            found[index] = column
    return found


def _column(index: int, header: str, profile: Profile) -> Column | None:
    whole = squeezed(header)
    said = {name: word for name, word in profile.columns.items() if word}
    for name, word in said.items():
        if whole == word:
            return Column(name, index, header, *_bare(header)[1:])
    if whole in profile.phones:
        return Column("mobile", index, header)
    bare, order, zone_word, unit = _bare(header)
    for spelling in (whole, squeezed(bare)):
        found = _field_of(spelling)
        if found is not None and found not in profile.columns:
            found = "seconds" if found == "minutes" and unit == "seconds" else found
            return Column(found, index, header, order, zone_word, unit)
    return None


def _field_of(spelling: str) -> str | None:
    for name in FIELDS:
        if spelling in ranks(name):
            return name
    return None


_BRACKETS = re.compile(r"[(\[]([^()\[\]]*)[)\]]")


def _bare(header: str) -> tuple[str, DateOrder | None, str | None, str | None]:
    """A header without what stands in brackets or after a dash or an asterisk, and what that says."""
    order: DateOrder | None = None
    zone_word = unit = None
    for inside in _BRACKETS.findall(header):
        flat = re.sub(r"[^a-z]", "", inside.casefold())
        if flat.startswith(("mmdd", "mdy", "mdd")):
            order = "month first"
        elif flat.startswith(("ddmm", "dmy", "ddmm")):
            order = "day first"
        elif re.fullmatch(r"[ecmp][sd]?t|utc|gmt|eastern|central|mountain|pacific", flat):
            zone_word = flat.upper()
        elif flat.startswith("sec"):
            unit = "seconds"
        elif flat.startswith("min"):
            unit = "minutes"
        elif flat.startswith(("hour", "hr", "hora")):
            unit = "hours"
    return _BRACKETS.sub(" ", header).strip(" *:#"), order, zone_word, unit


def _refuse(table: Table, fields: set[str]) -> None:
    if _is_grid(table):
        raise Unreadable(
            "is a grid with dates or days across, and we read one visit a row; "
            "export the list view, or write one row for each visit"
        )
    if fields & _WHO and not fields & _WHEN:
        raise Unreadable("has no column that tells the date; name it Date, or say in a profile which one it is")
    if fields & _WHEN and not fields & _WHO:
        raise Unreadable(
            "has no column that tells the patient; name it Patient ID, or say in a profile which one it is"
        )
    raise Unreadable(
        "has no row of column names that we know, such as Patient ID, Date and Time; add one above the first row, "
        "or say in a profile what its columns are called"
    )


def _is_grid(table: Table) -> bool:
    return any(_dates_across(row.cells) for row in table.rows[:_LOOKED_AT])


def _dates_across(cells: Sequence[Cell]) -> bool:
    days = dates = 0
    for cell in cells:
        if is_empty(cell) or isinstance(cell, int | float):
            continue
        text = text_of(cell)
        if re.match(r"(?i)(?:mon|tue|wed|thu|fri|sat|sun|lun|mar|mi[eé]|jue|vie|s[aá]b|dom)[a-zé]*\b", text):
            days += 1
            continue
        try:
            dates += tell(cell, "day").has_day
        except Untold as why:
            dates += "has no year" in str(why)
    return days >= 3 or dates >= 3
