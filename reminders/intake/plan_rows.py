"""One plan a row: who, discharged when, with what ahead, and what they agreed to. Pure."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any

from reminders.intake import cells
from reminders.intake.arrivals import Agreed, Trouble
from reminders.intake.cells import Bad, Waits
from reminders.intake.moments import Told, Untold
from reminders.intake.tables import Row, is_empty, text_of
from reminders.intake.vocabulary import meanings, squeezed
from reminders.plans import PlanRefused, Program, programs, read

if TYPE_CHECKING:
    from reminders.intake.sheets import Sheet

# Where a problem of the plan document stands in the sheet: the first of these columns that there is.
_COLUMNS = {
    "plan.ref": ("plan", "patient"),
    "plan.discharged_on": ("discharged",),
    "plan.program": ("program",),
    "plan.program_times": ("program_time", "time"),
    "plan.starts_on": ("program_starts", "date"),
    "plan": ("program", "schedule", "date"),
    "patient.ref": ("patient", "bare_id", "name"),
    "patient.name": ("name", "last_name", "first_name"),
    "patient.phone": ("mobile", "phone", "home"),
    "patient.language": ("language",),
    "patient.born_on": ("born",),
    "consent.on": ("consent_on", "consent"),
    "consent.how": ("consent_how", "consent"),
    "consent.by": ("consent_by", "consent"),
    "consent": ("consent",),
    "series": ("schedule", "days", "date", "start"),
}


def read_plan(sheet: "Sheet", row: Row) -> Agreed:
    """The plan of a row. Raises Bad and Waits."""
    discharged_on = _day(sheet, row, "discharged")
    column, _ = sheet.one(row, "discharged")
    if discharged_on is None:
        raise Bad(column.header if column else None, "has no date of discharge; write it like 2026-12-03")
    patient = sheet.who(row)
    phone = _phone(sheet, row)
    program = _program(sheet, row)
    data: dict[str, Any] = {
        "plan": {"ref": _ref(sheet, row, f"{patient} {discharged_on}"), "discharged_on": discharged_on},
        "patient": {"ref": patient, "name": sheet.name(row) or patient, "phone": phone},
    }
    if (language := _language(sheet, row)) is not None:
        data["patient"]["language"] = language
    if (born_on := _day(sheet, row, "born")) is not None:
        data["patient"]["born_on"] = born_on
    if program is not None:
        data["plan"] |= {"program": program.key, **_program_dates(sheet, row, program)}
    if (series := _series(sheet, row, of_program=program is not None)) is not None:
        data["series"] = [series]
    if (consent := _consent(sheet, row)) is not None:
        data["consent"] = consent
    try:
        return Agreed(place=sheet.place(row), document=read(data, sheet.known), zone=sheet.known.zone)
    except PlanRefused as refusal:
        for problem in refusal.problems[1:]:
            sheet.problems.append(Trouble(sheet.place(row), problem.problem, _column_of(sheet, problem.where)))
        first = refusal.problems[0]
        raise Bad(_column_of(sheet, first.where), first.problem) from None


def _column_of(sheet: "Sheet", where: str) -> str | None:
    where = re.sub(r"\[\d+\]", "", where)
    for name in (where, where.split(".")[0]):
        for field in _COLUMNS.get(name, ()):
            if (column := sheet.header.one(field)) is not None:
                return column.header
    return None


def _day(sheet: "Sheet", row: Row, field: str) -> Any:
    column, _ = sheet.one(row, field)
    told = sheet.told(row, column, "moment")
    if column is None or told is None:
        return None
    if isinstance(told, Untold):
        raise Bad(column.header, str(told))
    if not told.has_day:
        raise Bad(column.header, "has no date; write it like 2026-12-03")
    if told.two_digits and field == "born":
        raise Bad(column.header, "has a year of two digits; write all four")
    return sheet.day(told, column, row)


def _ref(sheet: "Sheet", row: Row, otherwise: str) -> str:
    column, cell = sheet.one(row, "plan")
    found = cells.identifier(cell, column.header) if column is not None else None
    return (found or otherwise)[:64]


def _phone(sheet: "Sheet", row: Row) -> str:
    before = len(sheet.problems)
    phone = sheet.phone(row)
    if phone is not None:
        return phone
    wrong = sheet.problems[before:]
    del sheet.problems[before:]
    if wrong:
        sheet.problems += wrong[1:]
        raise Bad(wrong[0].column, wrong[0].problem)
    column = sheet.header.one("mobile") or sheet.header.one("phone") or sheet.header.one("home")
    raise Bad(column.header if column else None, "has no phone number; a plan needs the one that may be texted")


def _language(sheet: "Sheet", row: Row) -> str | None:
    column, cell = sheet.one(row, "language")
    if column is None or is_empty(cell):
        return None
    word = text_of(cell)
    return meanings("languages").get(squeezed(word), word if re.fullmatch(r"[A-Za-z]{2,3}(-\w+)*", word) else "?")


@cache
def _programs() -> dict[str, Program]:
    return {squeezed(name): one for one in programs().values() for name in (one.key, one.title)}


def _program(sheet: "Sheet", row: Row) -> Program | None:
    column, cell = sheet.one(row, "program")
    if column is None or is_empty(cell):
        return None
    spelled = squeezed(text_of(cell))
    known = _programs()
    if spelled in known:
        return known[spelled]
    near = get_close_matches(spelled, known, n=1, cutoff=0.5)
    nearest = f"; the nearest is {known[near[0]].key}" if near else ""
    raise Bad(column.header, f"is no program that we know{nearest}; `reminders programs` lists them")


def _program_dates(sheet: "Sheet", row: Row, program: Program) -> dict[str, Any]:
    found: dict[str, Any] = {}
    own = sheet.header.has("program_starts")
    if (starts_on := _day(sheet, row, "program_starts" if own else "date")) is not None:
        found["starts_on"] = starts_on
    for field in ("program_time", "time"):
        column, _ = sheet.one(row, field)
        told = sheet.told(row, column, "clock")
        if column is None or told is None:
            continue
        if not isinstance(told, Told) or told.clock is None:
            raise Bad(
                column.header, str(told) if isinstance(told, Untold) else "has no time of day; write it like 3:00 pm"
            )
        at = sheet.evidence.at(told.clock)
        found["program_times"] = {series.kind.value: at for series in program.open_times({})}
        break
    return found


def _series(sheet: "Sheet", row: Row, *, of_program: bool) -> dict[str, Any] | None:
    schedule = sheet.header.one("schedule") or sheet.header.one("days")
    standing = schedule is not None and not is_empty(row[schedule.index])
    dated = any(
        not is_empty(row[column.index]) for name in ("start", "date") for column in sheet.header.columns.get(name, ())
    )
    if not standing and (not dated or of_program):
        return None
    series: dict[str, Any] = {"key": "visits", "kind": _kind(sheet, row), "how": sheet.mode(row)}
    if standing:
        laid = sheet.laid(row)
        zone = laid.zone
        series |= {"starts": laid.starts, "repeats": laid.repeats, "minutes": laid.minutes}
    else:
        when = sheet.when(row)
        series["starts"], series["minutes"], zone = when.start, when.minutes, when.zone
    if zone != sheet.known.zone:
        series["zone"] = zone
    for key, name in (("place", "where"), ("with", "staff")):
        if (text := sheet.text(row, name)) is not None:
            series[key] = text
    return {key: value for key, value in series.items() if value is not None}


def _kind(sheet: "Sheet", row: Row) -> str:
    column, cell = sheet.one(row, "kind")
    if column is None or is_empty(cell):
        # Without a word for it, it is what a visit after discharge mostly is and what texts say of all: an appointment.
        return "therapy_individual"
    found = cells.kind(cell, sheet.profile)
    if found is None:
        raise Waits("kinds", text_of(cell))
    return found


def _consent(sheet: "Sheet", row: Row) -> dict[str, Any] | None:
    """What was agreed to: nothing without a date, a way and a taker, for a Y in a column is no record (L-50)."""
    column, cell = sheet.one(row, "consent")
    if column is None or is_empty(cell):
        return None
    said = cells.flag(cell)
    if said is None:
        raise Bad(column.header, "is neither yes nor no")
    known = {
        "how": _text(sheet, row, "consent_how"),
        "by": _text(sheet, row, "consent_by"),
        "on": _day(sheet, row, "consent_on"),
    }
    if not said:
        return {"said": "no", **{key: value for key, value in known.items() if value is not None}}
    if None in known.values():
        sheet.problems.append(
            Trouble(
                sheet.place(row),
                "says yes, but not when, how and who took it; the plan comes without a consent, so no text goes until it is recorded",
                column.header,
            )
        )
        return None
    return {"said": "yes", **known, "categories": list(_categories(sheet, row))}


def _text(sheet: "Sheet", row: Row, field: str) -> str | None:
    return cells.remark(sheet.one(row, field)[1])


def _categories(sheet: "Sheet", row: Row) -> Iterator[str]:
    column, cell = sheet.one(row, "consent_to")
    if column is None or is_empty(cell):
        yield "appointments"
        return
    known = meanings("categories")
    for word in re.split(r"[,;/&]|\band\b|\by\b", text_of(cell)):
        if word.strip():
            if squeezed(word) not in known:
                raise Bad(
                    column.header,
                    "names something that no text is about; there are appointments, meetings, wellness, checkins, family",
                )
            yield known[squeezed(word)]
