"""A plan as a form: fields named by their place in the plan document (`series.0.minutes`), and back again.

The form says nothing of its own: what was typed becomes the table that a plan file holds, and `plans.read` judges it.
Only repeats have choices in plain words beside the rule they stand for.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any

from reminders.plans import Kind, Problem
from reminders.web.forms import Fields
from reminders.wording import house_style

MOST_ROWS = 60

REPEATS = {
    "": "once",
    "daily": "every day",
    "weekly": "every week",
    "fortnightly": "every two weeks",
    "month_day": "every month, on the same date",
    "month_weekday": "every month, on the same weekday of the month",
    "rule": "by a rule of your own (RFC 5545)",
}
WEEKDAYS = {"MO": "Mon", "TU": "Tue", "WE": "Wed", "TH": "Thu", "FR": "Fri", "SA": "Sat", "SU": "Sun"}
LATER = "later"  # consent that is still to be asked for

_PLAN = ("ref", "site", "discharged_on", "program", "starts_on", "status", "ended_because", "late_start_because")
_PATIENT = ("ref", "name", "phone", "language", "zone", "born_on")
_CONSENT = ("on", "how", "by", "wording", "verified", "legal_basis", "expires_on")
_RECIPIENT = ("key", "role", "phone", "language", "zone", "part2_consent_on")
_SERIES = ("key", "kind", "how", "zone", "place", "with", "session", "status")


@dataclass
class PlanForm:
    """What was typed, as the table that `plans.read` takes, and where each of its parts stands in the form.

    `rows` maps a list of the table to the numbers that its entries have in the form: an empty row is no entry.
    """

    fields: Fields
    table: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, list[int]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """What stands in a field."""
        return self.fields[name]

    def values(self, name: str) -> list[str]:
        """What is ticked."""
        return self.fields.all(name)

    def numbers(self, section: str) -> list[int]:
        """The numbers of a section's rows in the form, empty ones too."""
        return _numbers(self.fields, section)

    def people(self) -> list[str]:
        """The short names of the others who are to be told."""
        return _people(self.fields)

    def told(self, row: str) -> list[str]:
        """Who is ticked as told of the visits of a row; everyone new is proposed for family sessions."""
        return _told(self.fields, row) or ["self"]

    def explain(self, problems: Iterable[Problem]) -> dict[str, str]:
        """Problems of the plan as field → what to do about it, in a coordinator's words; the first of each field."""
        found = dict(self.problems)
        for one in problems:
            name = self._field_of(one)
            if name.endswith(".date"):
                row = name.removesuffix(".date")
                if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", self.value(name)):
                    found.setdefault(name, "Enter the first date")
                    continue
                if not re.fullmatch(r"\d{2}:\d{2}(:\d{2})?", self.value(f"{row}.time")):
                    found.setdefault(f"{row}.time", "Enter the time of day, such as 15:00")
                    continue
            found.setdefault(name, _in_words(re.sub(r"\.\d+\.", ".", name), one.problem))
        return found

    def _field_of(self, problem: Problem) -> str:
        where = problem.where
        if "neither a series nor a program" in problem.problem:
            return "plan.program"
        if match := re.search(r"leaves the time of (\S+) open", problem.problem):
            return f"plan.program_times.{match[1]}"
        if match := re.match(r"(series|recipients)(?:\[(\d+)\])?\.?(.*)", where):
            section, index, rest = match[1], int(match[2] or 0), match[3]
            rows = self.rows.get(section) or [0]
            number = rows[min(index, len(rows) - 1)]
            return f"{section}.{number}.{_within(section, rest, self.value(f'{section}.{number}.every'))}"
        return _ELSEWHERE.get(where) or re.sub(r"\[\d+\]$", "", where)


_ELSEWHERE = {
    "plan": "plan.stands",
    "plan.replaces": "plan.stands",
    "plan.alongside": "plan.stands",
    "patient": "patient.ref",
    "patient.texting_hours": "patient.from",
    "consent": "consent.said",
    "plan.program_times": "plan.program",
}


def _within(section: str, rest: str, every: str) -> str:
    """The field of a row that a problem's place within it names."""
    name = re.sub(r"\[\d+\]$", "", rest)
    if section == "series":
        if name == "repeats":
            return "rule" if every == "rule" else "every"
        return {"starts": "date", "key": "kind", "": "kind"}.get(name, "move" if name.startswith("move") else name)
    return name or "key"


# From the form to the table.


def read_form(fields: Fields) -> PlanForm:
    """What was typed, as the table of a plan file. `plans.read` judges it; here only what is no table."""
    form = PlanForm(fields)
    plan = _some(fields, "plan", _PLAN)
    stands = fields["plan.stands"]
    if stands == "alongside":
        plan["alongside"] = True
    elif stands.startswith("replaces:"):
        plan["replaces"] = stands.removeprefix("replaces:")
    named = list(dict.fromkeys(filter(None, fields.all("plan.program"))))
    if len(named) > 1:
        plan["program"] = named
    if plan.get("program"):
        times = {
            name.removeprefix("plan.program_times."): value
            for name, value in fields.pairs
            if name.startswith("plan.program_times.") and value
        }
        if times:
            plan["program_times"] = times
    else:
        plan.pop("starts_on", None)
    patient = _some(fields, "patient", _PATIENT)
    hours = fields["patient.from"], fields["patient.until"]
    if any(hours):
        patient["texting_hours"] = list(hours)
    if fields["patient.weekly_digest"]:
        patient["weekly_digest"] = True
    if fields["patient.same_person"]:
        patient["same_person"] = True
    if "ref" not in plan and "ref" in patient:
        plan["ref"] = f"{patient['ref']}-{fields['plan.discharged_on'].replace('-', '')}"[:64]
    form.table = {"plan": plan, "patient": patient}
    if not fields["consent.said"]:
        form.problems["consent.said"] = "Say whether the patient agreed to texts, or that it is still to be asked"
    elif (consent := consent_in(fields, "consent")) is not None:
        form.table["consent"] = consent
    _read_recipients(form)
    _read_series(form)
    return form


def _some(fields: Fields, section: str, names: Sequence[str]) -> dict[str, Any]:
    return {name: fields[f"{section}.{name}"] for name in names if fields[f"{section}.{name}"]}


def _number(text: str) -> int | str:
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else text


def _words(text: str) -> list[str]:
    return re.split(r"[\s,;]+", text.strip(" ,;\n\r\t"))


def consent_in(fields: Fields, section: str) -> dict[str, Any] | None:
    """A consent as a plan has it; None where it is still to be asked for."""
    if fields[f"{section}.said"] in {"", LATER}:
        return None
    consent = _some(fields, section, ("said", *_CONSENT))
    consent |= {name: True for name in ("warned_of_risk", "alias_shown") if fields[f"{section}.{name}"]}
    consent |= {
        name: _number(fields[f"{section}.{name}"]) for name in ("per_day", "per_week") if fields[f"{section}.{name}"]
    }
    if categories := fields.all(f"{section}.categories"):
        consent["categories"] = categories
    return consent


def recipient_in(fields: Fields, row: str) -> dict[str, Any]:
    """One of [[recipients]], with their own consent if it was asked for."""
    recipient = _some(fields, row, _RECIPIENT)
    consent = consent_in(fields, f"{row}.consent")
    return recipient if consent is None else recipient | {"consent": consent}


def _numbers(fields: Fields, section: str) -> list[int]:
    found = {int(match[1]) for name, _ in fields.pairs if (match := re.match(rf"{section}\.(\d{{1,3}})\.", name))}
    return sorted(found)[:MOST_ROWS]


def _read_recipients(form: PlanForm) -> None:
    fields, table, rows = form.fields, [], []
    for number in _numbers(fields, "recipients"):
        row = f"recipients.{number}"
        recipient = recipient_in(fields, row)
        if recipient.keys() <= {"role", "language"}:
            continue
        if not fields[f"{row}.consent.said"]:
            problem = "Say whether they agreed to texts, or that it is still to be asked: then they get none yet"
            form.problems[f"{row}.consent.said"] = problem
        table.append(recipient)
        rows.append(number)
    if table:
        form.table["recipients"] = table
    form.rows["recipients"] = rows


def _read_series(form: PlanForm) -> None:
    table, rows = [], []
    for number in _numbers(form.fields, "series"):
        if one := _one_series(form, f"series.{number}"):
            table.append(one)
            rows.append(number)
    taken = {one["key"] for one in table if "key" in one}
    for one in table:
        if "key" not in one:
            one["key"] = _name_for(one.get("kind", "visit"), taken)
            taken.add(one["key"])
    if table:
        form.table["series"] = table
    form.rows["series"] = rows


def _one_series(form: PlanForm, row: str) -> dict[str, Any] | None:
    """One row as a [[series]]; None where nothing was typed into it."""
    fields = form.fields
    one = _some(fields, row, _SERIES)
    starts = "T".join(part for part in (fields[f"{row}.date"], fields[f"{row}.time"]) if part)
    if not starts and one.keys() <= {"key", "kind", "how", "status"}:
        return None
    if starts:
        one["starts"] = starts
    if rule := _rule(fields, row):
        one["repeats"] = rule
    if fields[f"{row}.minutes"]:
        one["minutes"] = _number(fields[f"{row}.minutes"])
    who = _told(fields, row)
    if who or fields.all(f"{row}.offered"):
        one["for"] = who
    for name in ("skip", "leads"):
        if fields[f"{row}.{name}"]:
            one[name] = _words(fields[f"{row}.{name}"])
    if fields[f"{row}.move"]:
        one["move"] = _moves(form, f"{row}.move")
    return one


def _people(fields: Fields) -> list[str]:
    keys = (fields[f"recipients.{number}.key"] for number in _numbers(fields, "recipients"))
    return list(dict.fromkeys(filter(None, keys)))


def _told(fields: Fields, row: str) -> list[str]:
    """Who is told of a row's visits; empty where it says nothing, and so the patient alone.

    `offered` are the people that the form has shown beside it: who came since is proposed for family sessions, and who
    was renamed or dropped since is no one any more.
    """
    people, offered, ticked = _people(fields), fields.all(f"{row}.offered"), fields.all(f"{row}.for")
    who = [name for name in ticked if name == "self" or name in people or name not in offered]
    if fields[f"{row}.kind"] == Kind.FAMILY_SESSION:
        fresh = [name for name in people if name not in offered and name not in who]
        if fresh and not offered and not who:
            who = ["self"]
        who += fresh
    return who


def _name_for(kind: str, taken: set[str]) -> str:
    plain = kind.replace("_", "-")
    names = (plain, *(f"{plain}-{count}" for count in range(2, MOST_ROWS + 2)))
    return next(name for name in names if name not in taken)


def _moves(form: PlanForm, name: str) -> dict[str, str]:
    moves = {}
    for line in form.fields[name].splitlines():
        old, equals, new = line.partition("=")
        if equals and old.strip() and new.strip():
            moves[old.strip()] = new.strip()
        elif line.strip():
            form.problems[name] = "Write one moved date on a line, such as 2026-12-31T15:00 = 2027-01-02T10:00"
    return moves


# Repeats in plain words.


def _rule(fields: Fields, row: str) -> str | None:
    every = fields[f"{row}.every"]
    if every == "rule":
        return fields[f"{row}.rule"] or "FREQ="  # a rule was promised and is missing: reading says what one looks like
    return _rule_for(
        every,
        fields[f"{row}.date"],
        fields.all(f"{row}.on"),
        count=fields[f"{row}.count"],
        until=fields[f"{row}.until"],
    )


def _rule_for(every: str, starts_on: str, on: Sequence[str], *, count: str = "", until: str = "") -> str | None:
    if not every:
        return None
    rule = {
        "daily": "FREQ=DAILY",
        "weekly": "FREQ=WEEKLY",
        "fortnightly": "FREQ=WEEKLY;INTERVAL=2",
        "month_day": "FREQ=MONTHLY",
        "month_weekday": f"FREQ=MONTHLY;BYDAY={_place_in_month(starts_on)}",
    }.get(every, "FREQ=")
    if every in {"weekly", "fortnightly"} and on:
        rule += ";BYDAY=" + ",".join(day for day in WEEKDAYS if day in on)
    if count:
        rule += f";COUNT={count}"
    if until:
        rule += f";UNTIL={until.replace('-', '')}"
    return rule


def _place_in_month(starts_on: str) -> str:
    """`2TU` for the second Tuesday of a month; from the 29th on the last one, which every month has."""
    try:
        day = date.fromisoformat(starts_on)
    except ValueError:
        return "1MO"  # the date itself is refused
    place = (day.day + 6) // 7 if day.day <= 28 else -1
    return f"{place}{tuple(WEEKDAYS)[day.weekday()]}"


def _plainly(rule: str, starts_on: str) -> list[tuple[str, str]]:
    """A rule as the form's choices, where they can say it; else as it stands."""
    parts = dict(part.partition("=")[::2] for part in rule.split(";"))
    until = parts.get("UNTIL", "")
    if re.fullmatch(r"[0-9]{8}", until):
        until = f"{until[:4]}-{until[4:6]}-{until[6:]}"
    on = [day for day in parts.get("BYDAY", "").split(",") if day in WEEKDAYS]
    count = parts.get("COUNT", "")
    for every in REPEATS:
        if every and every != "rule" and _rule_for(every, starts_on, on, count=count, until=until) == rule:
            ticked = [("on", day) for day in on if every in {"weekly", "fortnightly"}]
            return [("every", every), *ticked, ("count", count), ("until", until)]
    return [("every", "rule"), ("rule", rule)]


_EVERY = {"DAILY": "day", "WEEKLY": "week", "MONTHLY": "month", "YEARLY": "year"}


def recurs(repeats: str | None) -> str:
    """A rule in words where that is short, else as it stands: `every week on Mon, Fri, 12 times`."""
    if repeats is None:
        return "once"
    parts = dict(part.partition("=")[::2] for part in repeats.split(";"))
    if not parts.keys() <= {"FREQ", "INTERVAL", "BYDAY", "COUNT", "UNTIL", "WKST"}:
        return repeats
    unit = _EVERY[parts["FREQ"]]
    step = parts.get("INTERVAL", "1")
    said = f"every {unit}" if step == "1" else f"every {step} {unit}s"
    if days := parts.get("BYDAY"):
        named = [WEEKDAYS.get(day, day) for day in days.split(",")]
        if any(day[-2:] in WEEKDAYS and day not in WEEKDAYS for day in days.split(",")):
            return repeats
        said += f" on {', '.join(named)}"
    if count := parts.get("COUNT"):
        said += f", {count} times"
    if until := parts.get("UNTIL"):
        said += f", until {house_style.day(date(int(until[:4]), int(until[4:6]), int(until[6:8])))}"
    return said


# From a document to the form.


def fields_of(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A plan document (canonical JSON, read) as the fields of the form: read again they say the same."""
    plan, patient = document["plan"], document["patient"]
    pairs = _pairs("plan", {name: value for name, value in plan.items() if name != "program"}, _PLAN)
    named = plan.get("program") or []
    pairs += [("plan.program", name) for name in ([named] if isinstance(named, str) else named)]
    if plan.get("alongside"):
        pairs.append(("plan.stands", "alongside"))
    elif plan.get("replaces"):
        pairs.append(("plan.stands", f"replaces:{plan['replaces']}"))
    pairs += [(f"plan.program_times.{name}", str(at)[:5]) for name, at in plan.get("program_times", {}).items()]
    pairs += _pairs("patient", patient, _PATIENT)
    if hours := patient.get("texting_hours"):
        pairs += [("patient.from", str(hours[0])[:5]), ("patient.until", str(hours[1])[:5])]
    if patient.get("weekly_digest"):
        pairs.append(("patient.weekly_digest", "yes"))
    pairs += _consent_pairs("consent", document.get("consent"))
    for number, recipient in enumerate(document.get("recipients", ())):
        row = f"recipients.{number}"
        pairs += _pairs(row, recipient, _RECIPIENT)
        pairs += _consent_pairs(f"{row}.consent", recipient.get("consent"))
    people = [other["key"] for other in document.get("recipients", ())]
    for number, one in enumerate(document.get("series", ())):
        pairs += _series_pairs(f"series.{number}", one)
        if people:  # what was agreed stands: no one is proposed to a series that did not name them
            pairs += [(f"series.{number}.for", "self")] if not one.get("for") else []
            pairs += [(f"series.{number}.offered", key) for key in people]
    return pairs


def _pairs(section: str, table: Mapping[str, Any], names: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"{section}.{name}", str(table[name])) for name in names if table.get(name) is not None]


def _consent_pairs(section: str, consent: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if consent is None:
        return [(f"{section}.said", LATER)]
    pairs = _pairs(section, consent, ("said", *_CONSENT, "per_day", "per_week"))
    pairs += [(f"{section}.{name}", "yes") for name in ("warned_of_risk", "alias_shown") if consent.get(name)]
    return pairs + [(f"{section}.categories", name) for name in consent.get("categories", ())]


def _series_pairs(row: str, one: Mapping[str, Any]) -> list[tuple[str, str]]:
    starts_on, _, at = one["starts"].partition("T")
    pairs = _pairs(row, one, _SERIES)
    pairs += [(f"{row}.date", starts_on), (f"{row}.time", at.removesuffix(":00") if at.count(":") > 1 else at)]
    if rule := one.get("repeats"):
        pairs += [(f"{row}.{name}", value) for name, value in _plainly(rule, starts_on) if value]
    if one.get("minutes") is not None:
        pairs.append((f"{row}.minutes", str(one["minutes"])))
    pairs += [(f"{row}.for", who) for who in one.get("for", ())]
    for name in ("skip", "leads"):
        if one.get(name):
            pairs.append((f"{row}.{name}", " ".join(one[name])))
    if moves := one.get("move"):
        pairs.append((f"{row}.move", "\n".join(f"{old} = {new}" for old, new in moves.items())))
    return pairs


# Rows that come and go.


def add_row(fields: Fields, section: str, **values: str) -> tuple[Fields, int]:
    """The form with one more row of a section, and its number."""
    number = max(_numbers(fields, section), default=-1) + 1
    fresh = [(f"{section}.{number}.{name}", value) for name, value in values.items()]
    return Fields([*fields.pairs, *fresh]), number


def drop_row(fields: Fields, row: str) -> Fields:
    """The form without one row, such as `series.2`."""
    return Fields([(name, value) for name, value in fields.pairs if not name.startswith(f"{row}.")])


# What is wrong, in a coordinator's words.


def explain(problems: Iterable[Problem]) -> dict[str, str]:
    """Problems with one person, one consent or one number, as field → what to do about it."""
    found: dict[str, str] = {}
    for one in problems:
        where = re.sub(r"\[\d+\]$", "", one.where)
        name = {"number.phone": "phone", "recipient": "recipients.0.key", "consent": "consent.said"}.get(where, where)
        words = {"phone": "patient.phone"}.get(name, re.sub(r"^recipient\.", "recipients.", name))
        found.setdefault(re.sub(r"^recipient\.", "recipients.0.", name), _in_words(words, one.problem))
    return found


_WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "plan.ref": ("The plan's reference", "Enter a reference for the plan"),
        "plan.site": ("The site", "Choose the site"),
        "plan.discharged_on": ("The day of discharge", "Enter the day of discharge"),
        "plan.program": ("The program", "Choose a program"),
        "plan.starts_on": ("The program's first day", "Enter the program's first day"),
        "plan.late_start_because": ("The reason", "Enter the reason"),
        "patient.ref": ("The patient's reference", "Enter the patient's reference"),
        "patient.name": ("The name", "Enter the patient's name"),
        "patient.phone": ("The mobile number", "Enter the patient's mobile number"),
        "patient.language": ("The language", "Choose the language"),
        "patient.zone": ("The time zone", "Choose the time zone"),
        "patient.born_on": ("The day of birth", "Enter the day of birth"),
        "patient.from": ("The hours", "Enter from when until when"),
        "consent.said": ("The answer", "Say whether they agreed"),
        "consent.on": ("The day of the consent", "Enter the day of the consent"),
        "consent.how": ("How it was given", "Say how the consent was given"),
        "consent.by": ("Who took it", "Say who took the consent"),
        "consent.categories": ("What they agreed to", "Tick what they agreed to"),
        "consent.warned_of_risk": ("The warning", "Tick it once they were told that others may see texts"),
        "consent.per_day": ("Texts a day", "Enter how many a day"),
        "consent.per_week": ("Texts a week", "Enter how many a week"),
        "consent.legal_basis": ("The legal basis", "Enter the legal basis"),
        "consent.expires_on": ("The last day of the consent", "Enter its last day"),
        "recipients.key": ("The short name", "Give them a short name, such as sister"),
        "recipients.role": ("Who they are", "Say who they are"),
        "recipients.phone": ("Their mobile number", "Enter their mobile number"),
        "recipients.part2_consent_on": (
            "The patient's written consent",
            "Enter the day of the patient's written consent",
        ),
        "series.kind": ("The kind", "Choose the kind of visit"),
        "series.how": ("How it happens", "Say how it happens"),
        "series.date": ("The first date and time", "Enter the first date and its time"),
        "series.every": ("The repeats", "Say how it repeats"),
        "series.rule": ("The rule", "Enter a rule such as FREQ=WEEKLY;COUNT=12"),
        "series.minutes": ("The minutes", "Enter how many minutes it takes"),
        "series.session": ("The session", "Enter the session's name"),
        "series.leads": ("When texts go", "Enter when texts go, such as 1d@17:00 2h"),
        "series.skip": ("The left-out dates", "Enter the dates to leave out"),
        "series.move": ("The moved dates", "Enter the moved dates"),
        "series.for": ("Who is told", "Tick who is told"),
    }
)

_OF_FILES = (  # words that only someone who writes a file can follow
    ("a yes counts only once they were told that others may see texts (L-38)", "without it their yes does not count"),
    ("; leave it out for the default", ""),
    (", without quotes", ""),
    ("; put it in quotes, so that 007 stays 007", ""),
    ("; put it in quotes", ""),
    ("; put the number in quotes, such as", ", such as"),
    (" in quotes,", ","),
    ("a time of day in quotes", "a time of day"),
    ("does not fall on `starts`,", "does not fall on the first date,"),
    ("UNTIL is before `starts`, so there is no date", "ends before the first date"),
    ("COUNT and UNTIL cannot be used together; keep one", "say until when or how many times, not both"),
    ("COUNT must be", "how many times must be"),
    ("UNTIL must be a date such as 20270331, or a time such as 20270331T235959Z", "until must be a date"),
    ("; its start is `starts`", ""),
    ("`skip`", "the left-out dates"),
    (
        "has neither a series nor a program, so there are no visits to remind anyone of",
        "is not chosen and there is no visit: choose one, or add a visit",
    ),
    ("say patient.same_person = true", "tick that it is"),
    ('say replaces = "…" or alongside = true', "say whether the new one replaces it or stands beside it"),
)


def _in_words(name: str, problem: str) -> str:
    """One problem with a field, as something to do: `Enter the patient's name`."""
    for theirs, ours in _OF_FILES:
        problem = problem.replace(theirs, ours)
    inside = re.sub(r"^recipients\.consent\.", "consent.", name)
    label, enter = _WORDS.get(inside, ("", ""))
    if name.startswith("plan.program_times."):
        return f"Enter the time of {name.rpartition('.')[2].replace('-', ' ')}, such as 17:30"
    if name == "plan.stands":
        return problem[:1].upper() + problem[1:]
    if re.match(r"(is missing|is empty|must be text)", problem) and enter:
        _, _, why = problem.partition("; ")
        return f"{enter}: {why}" if why else enter
    return f"{label} {problem}" if label else problem[:1].upper() + problem[1:]
