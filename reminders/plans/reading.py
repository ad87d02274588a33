"""Read the data of a file or request into a `PlanDocument`, or report every problem at once in plain words."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from reminders.plans.document import ENDINGS, Consent, Patient, Plan, PlanDocument, Recipient, is_minor
from reminders.plans.fields import AnyPhone, Known, Phone, Section, closest
from reminders.plans.kinds import Category
from reminders.plans.programs import programs
from reminders.plans.recurrence import Series, check_dates, check_years, occurrences

M = TypeVar("M", bound=BaseModel)

EARLIEST_YEAR = 2000  # of a discharge; an earlier one is a typo
MOST_SERIES = 200
MOST_RECIPIENTS = 20
MOST_VISITS_A_DAY = 12
MOST_PROBLEMS = 100  # of one plan; no one reads more at once


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a plan: `where` as in `series[1].repeats`, counted from 0, and what, in plain words."""

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}"


class PlanRefused(Exception):  # ruff: ignore[error-suffix-on-exception-name]  a verdict on a plan, not a bug
    """A plan is refused as a whole; `problems` has everything that is wrong with it, at least one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def read(data: Mapping[str, Any], known: Known) -> PlanDocument:
    """The plan document in `data`, as parsed from TOML or JSON.

    Raises PlanRefused with every problem at once. No problem repeats a name, a phone number or any other text of the
    plan, but the names of unknown keys are shown.
    """
    found = _Problems(known)
    found.unknown_keys(data)
    table = data.get("plan")
    plan = found.section(Plan, "plan", {"site": known.site, **table} if isinstance(table, Mapping) else table)
    patient = found.section(Patient, "patient", data.get("patient"))
    consent = None if data.get("consent") is None else found.section(Consent, "consent", data["consent"])
    recipients = found.sections(Recipient, "recipients", data.get("recipients"), MOST_RECIPIENTS)
    series = found.sections(Series, "series", data.get("series"), MOST_SERIES)

    if plan:
        found.extend("plan", _check_plan(plan, data.get("series"), known))
    if patient:
        found.extend("patient", _check_patient(patient, known))
    if consent:
        found.extend(
            "consent", _check_consent(consent, known, of_minor=bool(patient and patient.is_minor(known.today)))
        )
    for index, recipient in recipients.items():
        found.extend(f"recipients[{index}]", _check_recipient(recipient, known))
    names = {"self", *_raw_keys(data.get("recipients"))}
    for index, one in series.items():
        found.extend(f"series[{index}]", _check_series(one, names, known))
    found.twice("recipients", {index: one.key for index, one in recipients.items()})
    found.twice("series", {index: one.key for index, one in series.items()})

    if plan is None or patient is None or found.problems:
        raise PlanRefused(found.limited())
    document = PlanDocument(
        plan=plan,
        patient=patient,
        consent=consent,
        recipients=tuple(recipients.values()),
        series=tuple(series.values()),
    )
    found.extend("series", _check_all_series(document, known))
    if not known.accepted:
        found.extend("", _check_years(document))
    if found.problems:
        raise PlanRefused(found.limited())
    return document


def read_recipient(data: Mapping[str, Any], known: Known) -> Recipient:
    """Another person who gets texts, as in a plan's [[recipients]]. Raises PlanRefused."""
    found = _Problems(known)
    recipient = found.section(Recipient, "recipient", data)
    if recipient:
        found.extend("recipient", _check_recipient(recipient, known))
    return found.verdict(recipient)


def read_consent(data: Mapping[str, Any], known: Known, *, born_on: date | None = None) -> Consent:
    """A consent, as in a plan's [consent]; `born_on` is given if it is the patient's own. Raises PlanRefused."""
    found = _Problems(known)
    consent = found.section(Consent, "consent", data)
    if consent:
        young = born_on is not None and is_minor(born_on, known.today)
        found.extend("consent", _check_consent(consent, known, of_minor=young))
    return found.verdict(consent)


def read_section(model: type[M], where: str, data: object, known: Known) -> M:
    """One table read as `model`, such as the body of a request; `where` is the place of its problems.

    Raises PlanRefused.
    """
    found = _Problems(known)
    return found.verdict(found.section(model, where, data))


class _Number(Section):
    phone: Phone


class _AnyNumber(Section):
    phone: AnyPhone


def read_phone(text: str, known: Known) -> str:
    """The number of someone to text, given in any format, as E.164. Raises PlanRefused."""
    found = _Problems(known)
    return found.verdict(found.section(_Number, "number", {"phone": text})).phone


def find_phone(text: str, known: Known) -> str:
    """Any phone number, as E.164: one to look up, or one of our lines. Raises PlanRefused."""
    found = _Problems(known)
    return found.verdict(found.section(_AnyNumber, "number", {"phone": text})).phone


class _Problems:
    """The problems found while a document is read."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.problems: list[Problem] = []

    def add(self, where: str, problem: str) -> None:
        self.problems.append(Problem(where, problem))

    def unknown_keys(self, data: Mapping[str, Any]) -> None:
        unknown = [key for key in data if key not in PlanDocument.model_fields]
        for key in unknown[: MOST_PROBLEMS + 1]:
            self.add(_shown(key), _unknown_key(key, PlanDocument.model_fields))

    def extend(self, section: str, found: Iterator[tuple[str, str]]) -> None:
        for field, problem in found:
            self.add(f"{section}.{field}".strip(".").replace(".[", "["), problem)

    def verdict(self, read: M | None) -> M:
        """The value `read`, if there are no problems. Raises PlanRefused."""
        if read is None or self.problems:
            raise PlanRefused(self.limited())
        return read

    def limited(self) -> list[Problem]:
        more = len(self.problems) - MOST_PROBLEMS
        if more <= 0:
            return self.problems
        return [*self.problems[:MOST_PROBLEMS], Problem("plan", f"and {more} more problems")]

    def section(self, model: type[M], where: str, table: object) -> M | None:
        """One table read as `model`, or None and its problems."""
        if table is None:
            self.add(where, "is missing")
            return None
        if not isinstance(table, Mapping) or not all(isinstance(key, str) for key in table):
            self.add(where, f"must be a table, as in [{where}]")
            return None
        try:
            return model.model_validate(dict(table), context=self.known)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            for detail in details[: MOST_PROBLEMS + 1]:
                self.add(where + _path(detail), _in_plain_words(detail, model))
            return None

    def sections(self, model: type[M], where: str, tables: object, most: int) -> dict[int, M]:
        """A list of tables read as `model`, by their place in the list; those with problems are left out."""
        if tables is None:
            return {}
        if not isinstance(tables, (list, tuple)):
            self.add(where, f"must be a list of tables, as in [[{where}]]")
            return {}
        if len(tables) > most:
            self.add(where, f"there are more than {most}")
            return {}
        found = {}
        for index, table in enumerate(tables):
            if one := self.section(model, f"{where}[{index}]", table):
                found[index] = one
        return found

    def twice(self, where: str, keys: Mapping[int, str]) -> None:
        """Report every key that repeats an earlier one of `keys`, by place."""
        first: dict[str, int] = {}
        for index, key in keys.items():
            if key in first:
                self.add(f"{where}[{index}].key", f"{where}[{first[key]}] has the same key")
            first.setdefault(key, index)


def _check_plan(plan: Plan, own_series: object, known: Known) -> Iterator[tuple[str, str]]:
    if plan.program is None and own_series in (None, [], ()):
        yield "", "has neither a series nor a program, so there are no visits to remind anyone of"
    if plan.site not in known.sites:
        yield "site", f"must be one of {', '.join(sorted(known.sites))}{closest(plan.site, known.sites)}"
    if plan.discharged_on.year < EARLIEST_YEAR:
        yield "discharged_on", "is too far back; check the year"
    if plan.starts_on and plan.starts_on.year < EARLIEST_YEAR:
        yield "starts_on", "is too far back; check the year"
    if plan.discharged_on > _years_on(known.today, 2):
        yield "discharged_on", "is more than two years ahead; check the year"
    if plan.starts_on and plan.starts_on > _years_on(known.today, 5):
        yield "starts_on", "is more than five years ahead; check the year"
    if plan.replaces and plan.alongside:
        yield "alongside", "a plan runs alongside another or replaces it; keep one of the two"
    if plan.replaces == plan.ref:
        yield "replaces", "a plan cannot replace itself; importing the same ref again updates it"
    if plan.status == "ended" and plan.ended_because is None:
        yield "ended_because", f"is missing; the plan has ended, so say why: {', '.join(ENDINGS)}"
    if plan.status != "ended" and plan.ended_because is not None:
        yield "ended_because", 'belongs only to a plan with status = "ended"'
    yield from _check_program(plan)


def _check_program(plan: Plan) -> Iterator[tuple[str, str]]:
    if plan.program is None:
        if plan.starts_on:
            yield "starts_on", "is the first day of a program, and the plan names no program"
        if plan.program_times:
            yield "program_times", "are the times of a program, and the plan names no program"
        return
    named = [programs()[name] for name in plan.programs]
    names = {name for program in named for name in program.time_names}
    for name in plan.program_times:
        if name not in names:
            offered = f"{', '.join(sorted(names))}{closest(name, names)}"
            yield f"program_times.{_shown(name)}", f"the program has no such series or kind; it has {offered}"
    for series in dict.fromkeys(series for program in named for series in program.open_times(plan.program_times)):
        example = f'such as program_times = {{ {series.kind} = "17:30" }}'
        yield "program_times", f"the program leaves the time of {series.key} open; give it, {example}"


def _check_patient(patient: Patient, known: Known) -> Iterator[tuple[str, str]]:
    if patient.born_on and patient.born_on > known.today:
        yield "born_on", "is in the future"
    if patient.texting_hours and patient.texting_hours[0] >= patient.texting_hours[1]:
        yield "texting_hours", 'must be from and until on one day, such as ["09:00", "20:00"]'


def _check_consent(consent: Consent, known: Known, *, of_minor: bool = False) -> Iterator[tuple[str, str]]:
    if consent.on and consent.on > known.today:
        yield "on", "is in the future; record a consent once it has been given"
    if consent.expires_on and consent.on and consent.expires_on < consent.on:
        yield "expires_on", "is before the day the consent was given"
    if consent.said == "yes":
        for field, value in (("on", consent.on), ("how", consent.how), ("by", consent.by)):
            if value is None:
                yield field, "is missing; a yes needs its date, how it was given and who took it"
        if not consent.categories:
            yield "categories", f"is missing; a yes says what it covers: {', '.join(Category)}"
        if of_minor and not consent.legal_basis:
            yield "legal_basis", "is missing; the patient is under 18, so say on what basis they agreed"


def _check_recipient(recipient: Recipient, known: Known) -> Iterator[tuple[str, str]]:
    if recipient.key == "self":
        yield "key", "self means the patient; choose another key"
    if recipient.part2_consent_on and recipient.part2_consent_on > known.today:
        yield "part2_consent_on", "is in the future"
    if recipient.consent is None:
        return
    for field, problem in _check_consent(recipient.consent, known):
        yield f"consent.{field}", problem
    if recipient.consent.said == "yes" and recipient.part2_consent_on is None:
        yield "part2_consent_on", "is missing; no one else gets texts without the patient's written consent naming them"


def _check_series(series: Series, names: Collection[str], known: Known) -> Iterator[tuple[str, str]]:
    if series.starts.date() > _years_on(known.today, 5):
        yield "starts", "is more than five years ahead; check the year"
    for place, name in enumerate(series.for_):
        if name not in names:
            yield f"for[{place}]", f"no one in this plan has that key{closest(name, names)}"
    yield from check_dates(series, known.zone)


def _check_all_series(document: PlanDocument, known: Known) -> Iterator[tuple[str, str]]:
    keys = [series.key for series in document.all_series()]
    if len(keys) > MOST_SERIES:
        yield "", f"there are more than {MOST_SERIES}, the program's included"
    for index, series in enumerate(document.series):
        if keys.count(series.key) > 1:
            yield f"[{index}].key", "the program has a series of that name"
    yield from _check_days(document, known)


def _check_days(document: PlanDocument, known: Known) -> Iterator[tuple[str, str]]:
    """No day may have more visits than a person can attend: one plan must not block the database for all others."""
    agreed = document.all_series()
    if len(agreed) <= MOST_VISITS_A_DAY:  # a series has one visit a day at most
        return
    until = max(known.today, *(one.starts.date() for one in agreed)) + timedelta(days=366)
    days: Counter[date] = Counter()
    own = {one.key: index for index, one in enumerate(document.series)}
    for one in agreed:
        days.update(visit.wall.date() for visit in occurrences(one, until=until, zone=known.zone))
        full = next((day for day, many in days.items() if many > MOST_VISITS_A_DAY), None)
        if full is not None:
            where = f"[{own[one.key]}].repeats" if one.key in own else ""
            yield (
                where,
                f"with this one there are more than {MOST_VISITS_A_DAY} visits on {full}, the most a plan may have",
            )
            return


def _check_years(document: PlanDocument) -> Iterator[tuple[str, str]]:
    left, plan = document.plan.discharged_on, document.plan
    if plan.programs and plan.starts_on and abs(plan.starts_on - left) > timedelta(days=300):
        yield "plan.starts_on", "is most of a year or more from the discharge; check the year"
    for index, series in enumerate(document.series):
        for field, problem in check_years(series):
            yield f"series[{index}].{field}", problem


def _years_on(day: date, years: int) -> date:
    return day + timedelta(days=round(365.25 * years))


def _raw_keys(tables: object) -> set[str]:
    """The keys of the recipients, including those with another problem in their table."""
    if not isinstance(tables, (list, tuple)):
        return set()
    keys = (table.get("key") for table in tables if isinstance(table, Mapping))
    return {key.strip() for key in keys if isinstance(key, str)}


def _path(detail: ErrorDetails) -> str:
    loc = detail["loc"]
    # pydantic ends the place of a wrong key with "[key]", and names the missing half of a pair.
    if loc[-1] == "[key]" or (detail["type"] == "missing" and isinstance(loc[-1], int)):
        loc = loc[:-1]
    return "".join(f"[{step}]" if isinstance(step, int) else f".{_shown(step)}" for step in loc)


def _shown(key: object) -> str:
    """A key of a document, made safe to show: short and printable."""
    return re.sub(r"[^\w@:+ -]", "?", str(key)[:40]) or "?"


_RESPELLED = {"programme": "program", "programme_times": "program_times"}


def _unknown_key(key: object, fields: Mapping[str, FieldInfo]) -> str:
    if str(key) in _RESPELLED:
        return f"is spelled {_RESPELLED[str(key)]}"
    names = [field.alias or name for name, field in fields.items()]
    return f"unknown key{closest(str(key), names)}"


def _in_plain_words(detail: ErrorDetails, model: type[BaseModel]) -> str:
    match detail["type"]:
        case "value_error":
            return str(detail["ctx"]["error"])
        case "missing" if isinstance(detail["loc"][-1], str):
            return "is missing"
        case "extra_forbidden":
            inside = Consent if len(detail["loc"]) > 1 else model
            return _unknown_key(detail["loc"][-1], inside.model_fields)
        case "missing" | "too_long":
            return "must hold two values"
        case "list_type" | "tuple_type":
            return "must be a list, in square brackets"
        case "model_type" | "model_attributes_type" | "dict_type" | "mapping_type" | "invalid_key":
            return "must be a table of names and values"
        case _:
            return "cannot be read here"
