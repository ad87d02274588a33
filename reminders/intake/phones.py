"""A patient's number from the phone columns of a row: the first good one, repaired but never invented. Pure."""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from reminders.intake.moments import Cell
from reminders.intake.tables import is_empty
from reminders.intake.vocabulary import squeezed
from reminders.plans import Known, PlanRefused, read_phone, without_invisible

_NONE = frozenset(
    {"na", "none", "nophone", "nonumber", "unknown", "declined", "ninguno", "notiene", "sintelefono", "null", "-", "--"}
)


class NoNumber(Exception):  # ruff: ignore[error-suffix-on-exception-name]  a verdict on a cell
    """A cell holds no number that can be texted; the message says why, and never repeats it."""


def first_number(cells: Iterable[tuple[str, Cell]], known: Known) -> tuple[str | None, list[tuple[str, str]]]:
    """The first good number of these cells, each with its column, as E.164; and what is wrong where none is good."""
    wrong: list[tuple[str, str]] = []
    for column, cell in cells:
        if is_empty(cell) or (isinstance(cell, str) and squeezed(cell) in _NONE):
            continue
        try:
            return number(cell, known), []
        except NoNumber as problem:
            wrong.append((column, str(problem)))
    return None, wrong


def number(cell: Cell, known: Known) -> str:
    """The number of a cell as E.164. Raises NoNumber."""
    if isinstance(cell, float) and cell.is_integer() and 0 < cell < 1e15:
        cell = f"{cell:.0f}"
    if not isinstance(cell, str | int) or isinstance(cell, bool):
        raise NoNumber("is no phone number; write it like (202) 555-0143")
    return _number(without_invisible(str(cell)), replace(known, today=known.today.min))


_PARTS = re.compile(r"\s*(?:/|;|\||,|&|\n|\bor\b|\band\b|\by\b|\bo\b)\s*", re.IGNORECASE)
_LABEL = re.compile(r"^(?:tel|phone|cell|mobile|ph|cel|m|c|h|t|p)\s*[:.]\s*(?=[+(\d])", re.IGNORECASE)
_LABEL_AFTER = re.compile(r"(?<=\d)\s*\(?(?:cell|mobile|cel|m|c)\)?$", re.IGNORECASE)


@lru_cache(maxsize=16384)
def _number(text: str, known: Known) -> str:
    text = text.strip().strip("'\u2018\u2019\u02bc\"").strip()
    if re.fullmatch(r"[\d.,]+\s*[eE]\s*[+-]?\d+", text):
        raise NoNumber(
            "was turned into scientific notation, so digits are lost; format the column as text and fill it again"
        )
    text = _LABEL.sub("", text.removeprefix("tel:"))
    text = re.sub(r"(?<=\d)\.0$", "", text)
    text = _LABEL_AFTER.sub("", text).replace("\xa0", " ").strip()
    halves = [part for part in _PARTS.split(text) if sum(one.isdigit() for one in part) >= 7]
    if len(halves) > 1:
        raise NoNumber("holds more than one number; keep the one that may be texted")
    if _PARTS.search(text):
        raise NoNumber("holds more than a number; keep only the number")
    digits = re.sub(r"\D", "", text)
    if any(one.isalpha() for one in text):
        what = "has an extension or words" if digits else "holds words"
        raise NoNumber(f"{what}; give a number that can be texted, in digits only")
    if not digits:
        raise NoNumber("is no phone number; write it like (202) 555-0143")
    if known.region in {"US", "CA", "PR"} and len(digits) == 7:
        raise NoNumber("lacks its area code; write all ten digits")
    if "#" in text or (len(digits) > 11 and not text.startswith("+") and re.search(r"\d\s+\d{1,5}$", text)):
        raise NoNumber("has an extension or words; give a number that can be texted, in digits only")
    try:
        return read_phone(text, known)
    except PlanRefused as refusal:
        raise NoNumber(refusal.problems[0].problem) from None
