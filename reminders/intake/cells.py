"""What single cells of a row mean: a status, a length, a mode, a kind, an identifier. Pure; each raises Bad."""

import re
from datetime import date, datetime, time, timedelta
from typing import Literal

from reminders.intake.arrivals import Status
from reminders.intake.moments import Cell
from reminders.intake.profile import Profile
from reminders.intake.tables import is_empty, text_of
from reminders.intake.vocabulary import meanings, squeezed
from reminders.plans import Kind, Mode


class Bad(Exception):  # ruff: ignore[error-suffix-on-exception-name]  a verdict on a row
    """A row cannot be read: in which column, and what to do, without repeating the cell."""

    def __init__(self, column: str | None, problem: str) -> None:
        self.column, self.problem = column, problem
        super().__init__(problem)


class Waits(Exception):  # ruff: ignore[error-suffix-on-exception-name]  a verdict on a row
    """A row hangs on the answer to a question, known by what it is `about` and, for a word, the `word` itself."""

    def __init__(self, about: str, word: str = "") -> None:
        self.about, self.word = about, word
        super().__init__(about)


def identifier(cell: Cell, column: str) -> str | None:
    """An identifier of the source, opaque, as it stands; None for an empty cell."""
    if is_empty(cell):
        return None
    if isinstance(cell, date | datetime | time | timedelta | bool):
        raise Bad(column, "was turned into a date by a spreadsheet; format the column as text and fill it again")
    if isinstance(cell, float) and (not cell.is_integer() or abs(cell) >= 1e15):
        raise Bad(column, "was turned into a number that lost digits; format the column as text and fill it again")
    text = text_of(cell).removeprefix("'")
    if re.fullmatch(r"\d+\.0", text):
        text = text[:-2]
    if re.fullmatch(r"\d(?:[.,]\d+)?[eE]\+\d+", text):
        raise Bad(
            column,
            "was turned into scientific notation, so digits are lost; format the column as text and fill it again",
        )
    if len(text) > 64:
        raise Bad(column, "is longer than 64 characters, so it is no identifier")
    return text


_LENGTH = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?) ?(?:hours?|hrs?|h|horas?)\b\.?)? ?(?:(?:and |y )?(?P<m>\d+(?:\.\d+)?) ?(?:minutes?|mins?|m|minutos?|')?\b\.?)?"
)
_LONGEST = 720


def minutes(cell: Cell, column: str, *, unit: str = "minutes") -> int | None:
    """How long a visit is; None where the cell says nothing."""
    if is_empty(cell):
        return None
    length = _length(cell, column, _UNITS[unit])
    if length == 0:
        return None
    if length != int(length) or not 5 <= length <= _LONGEST:
        raise Bad(
            column, "is shorter than five minutes or longer than twelve hours; write the length in minutes, such as 50"
        )
    return int(length)


_UNITS = {"seconds": 1 / 60, "minutes": 1.0, "hours": 60.0}


def _length(cell: Cell, column: str, unit: float) -> float:
    if isinstance(cell, timedelta):
        return cell.total_seconds() / 60
    if isinstance(cell, time):
        return cell.hour * 60 + cell.minute
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        # Excel keeps 0:50 as a part of a day.
        return round(cell * 1440, 3) if 0 < cell < 1 and unit == 1 else round(cell * unit, 3)
    text = text_of(cell).casefold()
    if re.fullmatch(r"\d+(?:[.,]\d+)?", text):
        return round(float(text.replace(",", ".")) * unit, 3)
    if clock := re.fullmatch(r"(\d{1,2}):([0-5]\d)(?::00)?", text):
        return int(clock[1]) * 60 + int(clock[2])
    found = _LENGTH.fullmatch(text)
    if found is None or not (found["h"] or found["m"]):
        raise Bad(column, "is no length that we read; write it in minutes, such as 50")
    return float(found["h"] or 0) * 60 + float(found["m"] or 0)


def status(cell: Cell, profile: Profile) -> Status | Literal["skip"]:
    """What a word of a status column means; `skip` leaves the row out. Raises Waits for one unknown."""
    word = text_of(cell)
    if not word:
        return "booked"
    spelled = squeezed(word)
    if spelled in profile.status:
        return profile.status[spelled]
    known = meanings("status")
    if spelled in known:
        return known[spelled]  # type: ignore[return-value]
    parts = [squeezed(part) for part in re.split(r"[-\u2013\u2014(/:,;]", word)]
    found = {known[part] for part in parts if part in known}
    if len(found) == 1 and parts[0] in known:
        return found.pop()  # type: ignore[return-value]
    raise Waits("status", word)


def flag(cell: Cell) -> bool | None:
    """Whether a yes-or-no cell says yes; an empty one says no; None where it says neither."""
    if is_empty(cell):
        return False
    if isinstance(cell, bool):
        return cell
    means = meanings("flags").get(squeezed(text_of(cell)))
    return None if means is None else means == "yes"


_VIDEO = re.compile(
    r"tele-?(?:health|med|visit|therapy|salud)|video|virtual|\bzoom\b|webex|online|en linea|remote", re.IGNORECASE
)
_BY_PHONE = re.compile(r"phone|tel[eé]f|audio[- ]only|\bcall\b|llamada", re.IGNORECASE)


def mode(words: list[tuple[str, Cell]]) -> Mode:
    """How a visit happens, by the words of its mode, kind and place (field, cell): in person unless one says else."""
    known = meanings("modes")
    for field, cell in words:
        text = text_of(cell)
        if not text:
            continue
        if (means := known.get(squeezed(text))) is not None:
            return Mode(means)
        if field == "mode" and (said := flag(cell)) is not None:
            return Mode.VIDEO if said else Mode.IN_PERSON
        if field == "where":
            continue  # a clinic may stand in Telephone Road
        video, by_phone = _VIDEO.search(text), _BY_PHONE.search(text)
        if by_phone and not re.search(r"video|zoom|virtual", text, re.IGNORECASE):
            return Mode.PHONE
        if video:
            return Mode.VIDEO
    return Mode.IN_PERSON


def kind(cell: Cell, profile: Profile) -> str | None:
    """The kind of visit that a word means; None where we do not know it."""
    text = text_of(cell)
    known = meanings("kinds")
    for spelled in (
        squeezed(text),
        squeezed(re.sub(r"\(.*?\)|\b\d+ ?min(?:utes?|s)?\b", " ", text)),
        squeezed(re.split(r"[-\u2013:(]", text)[0]),
    ):
        if spelled in profile.kinds:
            return profile.kinds[spelled]
        if spelled in known:
            return known[spelled]
        if spelled in {one.value.replace("_", "") for one in Kind}:
            return next(one.value for one in Kind if one.value.replace("_", "") == spelled)
    return None


def remark(cell: Cell, longest: int = 200) -> str | None:
    """A text for staff, shortened; None for an empty cell."""
    text = text_of(cell)[:longest]
    return text or None
