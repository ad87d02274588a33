import copy
import json
import re
import tomllib
from datetime import date, datetime, time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reminders.plans import (
    Category,
    Kind,
    Known,
    Lead,
    PlanRefused,
    Problem,
    catalog,
    is_fictional,
    occurrences,
    read,
)

KNOWN = Known(
    today=date(2026, 12, 1),
    languages=frozenset({"en", "es"}),
    zone="America/New_York",
    site="main",
    sites=frozenset({"main", "north"}),
    fictional_numbers=True,
)

# README.md#a-plan-file.
EXAMPLE = """\
[plan]
ref = "DC-2026-1187"              # yours; importing the same ref again updates, never doubles
site = "main"
discharged_on = 2026-12-01
program = "matrix-iop"            # optional: a named template, or a list of them; its series are added to those below
starts_on = 2026-12-07            # optional: the program's first day
program_times = { therapy_group = "17:30" }  # what the program leaves open

replaces = "DC-2026-0990"         # optional; or alongside = true: a patient's second current plan is refused without \
one of them
status = "active"                 # optional: active | paused | ended (+ ended_because)

[patient]
ref = "MRN-1042"
name = "Jordan Alvarez"
phone = "(202) 555-0143"           # any format; stored as E.164
language = "en"                   # BCP 47; es* → Spanish
zone = "America/New_York"         # IANA; default the site's
born_on = 1994-05-17              # optional; under 18 needs consent.legal_basis (L-56)
texting_hours = ["09:00", "20:00"] # optional, narrower than the site's

[consent]
said = "yes"                      # yes | no
on = 2026-11-30
how = "signed form"
by = "A. Reyes"
categories = ["appointments", "meetings"]
warned_of_risk = true             # told that others may see texts (L-38)
wording = "2026-10"
per_day = 1                       # optional: the frequency agreed to
per_week = 7
alias_shown = true
verified = "read aloud"           # optional: how the number was checked; else the welcome text asks for a Y

[[recipients]]                    # optional: others who agreed to get some of the texts
key = "sister"
role = "supporter"                # supporter | guardian
phone = "(202) 555-0144"
language = "es"
part2_consent_on = 2026-11-30     # the patient's written consent naming this person (L-48)
[recipients.consent]              # and that person's own
said = "yes"
on = 2026-11-30
how = "signed form"
by = "A. Reyes"
categories = ["family"]

[[series]]
key = "therapy"                   # identity inside the plan
kind = "therapy_individual"
starts = 2026-12-03T15:00:00      # wall clock of the place; seconds are kept
zone = "America/New_York"         # optional
repeats = "FREQ=WEEKLY;COUNT=12"  # RFC 5545 RRULE, a day or coarser, open-ended allowed; absent: a one-off
minutes = 50
place = "Room 4"                  # staff-only, never in a text
with = "Dr. Lee"                  # staff-only
how = "in_person"                 # in_person (default) | phone | video: decides the words; never a link in a text
session = "oak-monday-group"      # staff-only: the key of a group that several patients share
for = ["self"]                    # recipients; default self
skip = [2026-12-24]
move = { "2026-12-31T15:00" = "2027-01-02T10:00" }
leads = ["1d", "2h"]              # optional
status = "booked"                 # booked | tentative | cancelled
"""

MINIMAL = {
    "plan": {"ref": "P1", "discharged_on": "2026-12-01"},
    "patient": {"ref": "M1", "name": "Robin Sample", "phone": "202 555 0143"},
    "series": [{"key": "visit", "kind": "psychiatry", "starts": "2026-12-05T10:00"}],
}
YES = {"said": "yes", "on": "2026-11-30", "how": "form", "by": "A. Reyes", "categories": ["appointments"]}


def plan(change="", value=None, base=MINIMAL):
    """MINIMAL with one value set, named as in `series[0].kind`; `...` removes it."""
    data = copy.deepcopy(base)
    *steps, last = [int(s) if s.isdigit() else s for s in re.findall(r"\w+", change)] if change else [None]
    table = data
    for step in steps:
        table = table.setdefault(step, {}) if isinstance(table, dict) else table[step]
    if value is ...:
        del table[last]
    elif change:
        table[last] = value
    return data


def refusal(data, known=KNOWN):
    with pytest.raises(PlanRefused) as caught:
        read(data, known)
    return {problem.where: problem.problem for problem in caught.value.problems}


# --- what is accepted ----------------------------------------------------------------------------------------------


def test_the_plan_of_the_contract_is_accepted():
    document = read(tomllib.loads(EXAMPLE), KNOWN)
    assert document.patient.phone == "+12025550143"
    assert document.patient.texting_hours == (time(9), time(20))
    assert document.recipients[0].phone == "+12025550144"
    (therapy,) = document.series
    assert therapy.starts == datetime(2026, 12, 3, 15)
    assert (therapy.with_, therapy.for_, therapy.leads) == ("Dr. Lee", ("self",), ("1d", "2h"))
    assert therapy.move == {datetime(2026, 12, 31, 15): datetime(2027, 1, 2, 10)}
    assert document.consent.categories == (Category.APPOINTMENTS, Category.MEETINGS)
    assert [one.key for one in document.all_series()] == [
        "therapy",
        "matrix-iop.relapse-prevention",
        "matrix-iop.early-recovery-skills",
        "matrix-iop.family-education",
        "matrix-iop.social-support",
    ]
    found = occurrences(therapy, until=date(2027, 12, 31), zone="America/New_York")
    assert len(found) == 11  # one of twelve is skipped


def test_a_minimal_plan_takes_the_defaults_of_the_site():
    document = read(MINIMAL, KNOWN)
    assert document.plan.site == "main"
    assert document.patient.zone is None
    assert document.consent is None
    assert document.series[0].for_ == ("self",)
    assert document.series[0].leads is None
    assert document.series[0].kind is Kind.PSYCHIATRY


def test_toml_and_json_give_the_same_document():
    data = tomllib.loads(EXAMPLE)
    as_json = json.loads(json.dumps(data, default=lambda value: value.isoformat()))
    assert read(as_json, KNOWN) == read(data, KNOWN)
    assert read(as_json, KNOWN).canonical() == read(data, KNOWN).canonical()


@pytest.mark.parametrize("data", [tomllib.loads(EXAMPLE), MINIMAL])
def test_the_canonical_form_reads_back(data):
    document = read(data, KNOWN)
    again = read(json.loads(document.canonical()), KNOWN)
    assert again == document
    assert again.canonical() == document.canonical()


def test_no_person_shows_in_a_repr():
    document = read(tomllib.loads(EXAMPLE), KNOWN)
    for shown in (repr(document), str(document), repr(document.patient), f"{document.series}"):
        assert not re.search(r"Jordan|Alvarez|555|MRN|therapy|Lee", shown)


@pytest.mark.parametrize("tag", ["es", "es-MX", "ES-419", "en-US"])
def test_a_language_with_a_region_uses_its_catalog(tag):
    assert read(plan("patient.language", tag), KNOWN).patient.language == tag
    assert catalog(tag) in KNOWN.languages


@pytest.mark.parametrize("value", [tomllib.loads("a = 2026-12-05T10:00:30")["a"], "2026-12-05 10:00:30"])
def test_seconds_are_kept(value):
    assert read(plan("series[0].starts", value), KNOWN).series[0].starts == datetime(2026, 12, 5, 10, 0, 30)


# --- phones --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "e164"),
    [
        ("(202) 555-0143", "+12025550143"),
        ("+1 202.555.0143", "+12025550143"),
        ("1-202-555-0143", "+12025550143"),
        ("856-443-7701", "+18564437701"),
        ("+1 500 555 0006", "+15005550006"),
        ("+44 20 7946 0958", "+442079460958"),
    ],
)
def test_a_phone_in_any_format_becomes_e164(written, e164):
    assert read(plan("patient.phone", written), KNOWN).patient.phone == e164


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("", "not a phone number"),
        ("call the front desk", "not a phone number"),
        ("555-0143", "area code"),
        ("78788788", "too short"),
        ("2025550143222", "too long"),
        ("1" * 300, "too long"),
        ("6105550199x12", "extension"),
        ("610-443-7701 ext. 4", "extension"),
        ("1-800-FLOWERS", "letters"),
        ("555-356-1400", "in use anywhere"),
        ("+999 123 456 789", "not a phone number"),
        (2025550143, "quotes"),
        (2025550143.0, "quotes"),
        (True, "quotes"),
        (None, "quotes"),
    ],
)
def test_i4_what_is_no_phone_is_refused_without_repeating_it(written, problem):
    found = refusal(plan("patient.phone", written))
    assert list(found) == ["patient.phone"]
    assert problem in found["patient.phone"]
    assert not re.search(r"\d{4}", found["patient.phone"].replace("+1 202 555 0143", ""))


@pytest.mark.parametrize("number", ["+12025550100", "+12025550199", "+19995550150", "+15005550006", "+15005551234"])
def test_fictional_numbers_are_known_and_refused_where_texts_are_real(number):
    assert is_fictional(number)
    assert read(plan("patient.phone", number), KNOWN).patient.phone == number
    live = Known(**{**vars(KNOWN), "fictional_numbers": False})
    assert "fiction" in refusal(plan("patient.phone", number), live)["patient.phone"]


@pytest.mark.parametrize("number", ["+12025550200", "+12025560143", "+18564437701", "+445005550006", "+1202555014"])
def test_real_numbers_are_not_fictional(number):
    assert not is_fictional(number)


# --- one thing wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "value", "problem"),
    [
        ("plan", ..., "missing"),
        ("plan", "DC-1", "table"),
        ("patient", [], "table"),
        ("consent", [1], "table"),
        ("series", {"key": "x"}, r"\[\[series\]\]"),
        ("recipients", "sister", "list of tables"),
        ("plan.ref", ..., "missing"),
        ("plan.ref", "", "empty"),
        ("plan.ref", "   ", "empty"),
        ("plan.ref", "x" * 65, "longer than 64"),
        ("plan.ref", "a\nb", "line break or a control character"),
        ("plan.ref", "a\u200bb", "cannot be printed"),
        ("plan.ref", "\ud800", "control character"),
        ("plan.ref", 1187, "007"),
        ("plan.ref", date(2026, 1, 1), "007"),
        ("plan.ref", True, "text"),
        ("plan.site", "norht", "did you mean north"),
        ("plan.discharged_on", "2026-02-30", "no such date"),
        ("plan.discharged_on", "12/01/2026", "2026-12-01"),
        ("plan.discharged_on", 20261201, "must be a date"),
        ("plan.discharged_on", datetime(2026, 12, 1, 9), "without a time"),
        ("plan.discharged_on", "2029-12-01", "two years ahead"),
        ("plan.discharged_on", "0026-12-01", "check the year"),
        ("plan.program", "matrix", "did you mean matrix-iop"),
        ("plan.program", "yoga", "matrix-iop, mi-met"),
        ("plan.starts_on", "2026-12-07", "names no program"),
        ("plan.program_times", {"therapy_group": "17:30"}, "names no program"),
        ("plan.alongside", "yes", "true or false"),
        ("plan.replaces", "P1", "cannot replace itself"),
        ("plan.status", "done", "active, ended, paused"),
        ("plan.ended_because", "left", "belongs only"),
        ("patient.name", 7, "quotes"),
        ("patient.name", "Robin\u202eSample", "control character"),
        ("patient.zone", "New York", "perhaps America/New_York"),
        ("patient.zone", "America/Bufalo", "perhaps America/"),
        ("patient.zone", "EDT", "perhaps"),
        ("patient.zone", "Moon", "not an IANA time zone"),
        ("patient.zone", -5, "quotes"),
        ("patient.language", "fr", "one of en, es"),
        ("patient.language", "Spanish", "one of en, es"),
        ("patient.language", "es_MX", "one of en, es"),
        ("patient.language", 1, "one of en, es"),
        ("patient.born_on", "2026-12-02", "future"),
        ("patient.texting_hours", ["20:00", "09:00"], "on one day"),
        ("patient.texting_hours", ["09:00"], "two values"),
        ("patient.texting_hours", ["09:00", "12:00", "20:00"], "two values"),
        ("patient.texting_hours", "09:00-20:00", "list"),
        ("series[0].key", ..., "missing"),
        ("series[0].kind", "therapy", "did you mean"),
        ("series[0].kind", "aa", "check_up, family_session"),
        ("series[0].starts", ..., "missing"),
        ("series[0].starts", "2026-12-05", "time of day"),
        ("series[0].starts", date(2026, 12, 5), "time of day"),
        ("series[0].starts", "2026-12-05T10:00-05:00", "`zone`"),
        ("series[0].starts", "2026-12-05T10:00Z", "`zone`"),
        ("series[0].starts", tomllib.loads("a = 2026-12-05T10:00:00-05:00")["a"], "`zone`"),
        ("series[0].starts", "2026-12-05T10:00:00.5", "whole seconds"),
        ("series[0].starts", "2026-12-05T25:00", "no such date or time"),
        ("series[0].starts", "2026-02-30T10:00", "no such date or time"),
        ("series[0].starts", "tomorrow at 3", "date and a time"),
        ("series[0].starts", 1_796_500_000, "date and a time"),
        ("series[0].starts", "2206-12-05T10:00", "check the year"),
        ("series[0].starts", "2036-12-05T10:00", "five years ahead"),
        ("series[0].repeats", "FREQ=HOURLY", "finer than a day"),
        ("series[0].repeats", "FREQ=WEEKLY;BYDAY=MO", "does not fall on"),
        ("series[0].repeats", 7, "rule in quotes"),
        ("series[0].minutes", 0, "from 1 to 1440"),
        ("series[0].minutes", 50.0, "whole number"),
        ("series[0].minutes", "50", "whole number"),
        ("series[0].minutes", True, "whole number"),
        ("series[0].for", [], "at least one"),
        ("series[0].for", "self", "list"),
        ("series[0].leads", [], "at least one"),
        ("series[0].leads", ["1d", "1d"], "twice"),
        ("series[0].status", "no-show", "booked, cancelled, tentative"),
        ("series[0].skip", ["2026-12-05", "2026-12-05"], "twice"),
        ("series[0].skip", [f"2026-12-{n % 28 + 1:02}" for n in range(1001)], "more than 1000"),
        ("series[0].move", {"2026-12-05T10:00": "2026-12-06T10:00", "2026-12-05 10:00": "2026-12-07T10:00"}, "twice"),
        ("series[0].move", ["2026-12-05T10:00"], "table"),
        ("series[0].with_", "Dr. Lee", "unknown key; did you mean with"),
        ("consent.said", True, "in quotes, one of no, yes"),
        ("consent.said", "oui", "one of no, yes"),
    ],
)
def test_one_problem_has_its_place_and_plain_words(change, value, problem):
    base = MINIMAL if not change.startswith("consent.") else {**MINIMAL, "consent": YES}
    found = refusal(plan(change, value, base))
    assert list(found) == [change]
    assert re.search(problem, found[change])


@pytest.mark.parametrize(
    ("change", "value", "where", "problem"),
    [
        ("series[0].leads", ["1d", "soon"], "series[0].leads[1]", "3d@17:00"),
        ("series[0].leads", [2], "series[0].leads[0]", "quotes"),
        ("series[0].for", ["self", "sistr"], "series[0].for[1]", "no one in this plan"),
        ("series[0].skip", ["2026-12-06"], "series[0].skip[0]", "nearest: 2026-12-05"),
        ("series[0].skip", [20261205], "series[0].skip[0]", "must be a date"),
        ("series[0].move", {"2026-12-05T11:00": "2026-12-06T10:00"}, "series[0].move.2026-12-05T11:00", "10:00"),
        ("series[0].move", {"soon": "2026-12-06T10:00"}, "series[0].move.soon", "date and a time"),
        ("series[0].move", {"2026-12-05T10:00": 9}, "series[0].move.2026-12-05T10:00", "date and a time"),
        ("patient.phne", "x", "patient.phne", "unknown key; did you mean phone?"),
        ("plan.programme", "iop", "plan.programme", "is spelled program"),
        ("plan.programme_times", {}, "plan.programme_times", "is spelled program_times"),
        ("sereis", [], "sereis", "unknown key; did you mean series?"),
        ("consent", {**YES, "shoe": 1}, "consent.shoe", "unknown key"),
        ("consent", {**YES, "per_day": 4}, "consent.per_day", "1 to 3"),
        ("consent", {**YES, "per_week": 22}, "consent.per_week", "1 to 21"),
        ("consent", {**YES, "on": "2026-12-02"}, "consent.on", "future"),
        ("consent", {**YES, "categories": []}, "consent.categories", "family"),
        ("consent", {**YES, "categories": ["visits"]}, "consent.categories[0]", "appointments"),
        ("consent", {**YES, "by": None}, "consent.by", "missing"),
        ("consent", {**YES, "expires_on": "2026-11-29"}, "consent.expires_on", "before"),
        ("patient", {**MINIMAL["patient"], "texting_hours": ["9", "20:00"]}, "patient.texting_hours[0]", "time of day"),
        ("plan", {**MINIMAL["plan"], "status": "ended"}, "plan.ended_because", "say why"),
        ("plan", {**MINIMAL["plan"], "replaces": "P0", "alongside": True}, "plan.alongside", "one of the two"),
        ("plan", {**MINIMAL["plan"], "program": "matrix-iop"}, "plan.program_times", "relapse-prevention open"),
        ("series", [], "plan", "neither a series nor a program"),
        ("series", ..., "plan", "neither a series nor a program"),
        ("series", [*MINIMAL["series"], *MINIMAL["series"]], "series[1].key", r"series\[0\] has the same key"),
        ("series", MINIMAL["series"] * 201, "series", "more than 200"),
    ],
)
def test_a_problem_inside_or_between_sections_has_its_place(change, value, where, problem):
    found = refusal(plan(change, value))
    assert list(found) == [where]
    assert re.search(problem, found[where])


def test_a_consent_given_today_holds():
    assert read(plan("consent", {**YES, "on": KNOWN.today}), KNOWN).consent.on == KNOWN.today


def recipient(**changes):
    return plan("recipients", [{"key": "sister", "role": "supporter", "phone": "202 555 0144", **changes}])


@pytest.mark.parametrize(
    ("data", "where", "problem"),
    [
        (recipient(key="self"), "recipients[0].key", "self means the patient"),
        (recipient(role="sponsor"), "recipients[0].role", "guardian, supporter"),
        (recipient(consent=YES), "recipients[0].part2_consent_on", "written consent naming them"),
        (
            recipient(consent={**YES, "on": "2027-01-01"}, part2_consent_on="2026-11-30"),
            "recipients[0].consent.on",
            "f",
        ),
        (recipient(part2_consent_on="2027-01-01"), "recipients[0].part2_consent_on", "future"),
    ],
)
def test_l48_others_need_the_patients_written_consent(data, where, problem):
    found = refusal(data)
    assert list(found) == [where]
    assert problem in found[where]


def test_l48_others_may_say_no_or_nothing_yet():
    assert read(recipient(consent={"said": "no"}), KNOWN).recipients[0].consent.said == "no"
    assert read(recipient(), KNOWN).recipients[0].consent is None


def test_two_recipients_with_one_key_are_refused():
    data = recipient()
    data["recipients"].append({**data["recipients"][0], "phone": "202 555 0145"})
    assert list(refusal(data)) == ["recipients[1].key"]


def test_a_broken_recipient_does_not_make_its_series_look_wrong():
    data = recipient(phone="nonsense")
    data["series"][0]["for"] = ["sister"]
    assert list(refusal(data)) == ["recipients[0].phone"]


@pytest.mark.parametrize(
    ("born_on", "consent", "refused"),
    [
        ("2008-12-02", YES, True),  # 18 tomorrow
        ("2008-12-01", YES, False),  # 18 today
        ("2008-12-02", {**YES, "legal_basis": "minor alone, state law"}, False),
        ("2008-12-02", {"said": "no"}, False),
        ("2008-02-29", YES, False),
    ],
)
def test_l56_under_18_needs_a_legal_basis(born_on, consent, refused):
    data = plan("consent", consent)
    data["patient"]["born_on"] = born_on
    if refused:
        assert list(refusal(data)) == ["consent.legal_basis"]
    else:
        read(data, KNOWN)


def test_program_times_must_be_for_something_in_the_program():
    table = {**MINIMAL["plan"], "program": "weekly-cbt", "program_times": {"session": "10:00", "yoga": "11:00"}}
    found = refusal(plan("plan", table))
    assert list(found) == ["plan.program_times.yoga"]
    assert "session, therapy_individual" in found["plan.program_times.yoga"]


def test_a_series_may_not_take_the_name_of_a_programs():
    data = plan("plan", {**MINIMAL["plan"], "program": "weekly-cbt", "program_times": {"session": "10:00"}})
    data["series"][0]["key"] = "weekly-cbt.session"
    assert list(refusal(data)) == ["series[0].key"]


def test_a_program_starts_on_the_first_monday_from_discharge_unless_told():
    data = plan("plan", {**MINIMAL["plan"], "program": "weekly-cbt", "program_times": {"session": "10:00"}})
    assert read(data, KNOWN).all_series()[1].starts == datetime(2026, 12, 7, 10)
    data["plan"]["starts_on"] = date(2026, 12, 2)
    assert read(data, KNOWN).all_series()[1].starts == datetime(2026, 12, 2, 10)
    del data["plan"]["starts_on"], data["series"]
    data["plan"]["discharged_on"] = date(2026, 12, 7)  # a Monday itself
    assert [one.starts for one in read(data, KNOWN).all_series()] == [datetime(2026, 12, 7, 10)]


# --- everything wrong ----------------------------------------------------------------------------------------------


def test_every_problem_is_named_at_once():
    data = tomllib.loads(EXAMPLE)
    data["extra"] = 1
    data["plan"]["status"] = "ended"
    data["patient"]["phone"] = "12"
    data["consent"]["on"] = date(2027, 1, 1)
    data["recipients"][0]["role"] = "sponsor"
    data["series"].append({**data["series"][0], "repeats": "FREQ=HOURLY", "kind": "aa"})
    data["series"].append({**data["series"][0], "for": ["cousin"]})
    assert set(refusal(data)) == {
        "extra",
        "plan.ended_because",
        "patient.phone",
        "consent.on",
        "recipients[0].role",
        "series[1].kind",
        "series[1].repeats",
        "series[2].key",
        "series[2].for[0]",
    }


def test_a_refusal_reads_as_lines():
    refused = PlanRefused([Problem("plan.ref", "is missing"), Problem("patient", "is missing")])
    assert str(refused) == "plan.ref: is missing\npatient: is missing"


def test_a_flood_of_problems_is_cut_short():
    with pytest.raises(PlanRefused) as caught:
        read({f"key{n}": n for n in range(50_000)}, KNOWN)
    assert len(caught.value.problems) == 101
    assert "more problems" in caught.value.problems[-1].problem


def test_no_problem_repeats_what_the_plan_says():
    secret = "Casey Example 202-555-0177"
    for path in ("plan.ref", "patient.language", "patient.zone", "patient.phone", "patient.born_on", "consent.said"):
        data = plan(path, f"{secret}\n{secret}")
        assert "Casey" not in str(refusal(data)), path
    for field in ("kind", "starts", "zone", "repeats", "minutes", "leads", "status", "skip", "for"):
        data = plan(f"series[0].{field}", [secret])
        assert "Casey" not in str(refusal(data)), field
        data = plan(f"series[0].{field}", secret)
        assert "Casey" not in str(refusal(data)), field


# --- properties ----------------------------------------------------------------------------------------------------

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.datetimes()
    | st.times()
    | st.sampled_from(["self", "yes", "no", "1d", "2026-12-05", "2026-12-05T10:00", "FREQ=DAILY", "en", "10:00"])
)
garbage = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=3),
    max_leaves=8,
)
words_of_pydantic = re.compile(
    r"Input should|value_error|Value error|validation error|cannot be read here", re.IGNORECASE
)


def document_or_problems(data):
    try:
        return read(data, KNOWN), ()
    except PlanRefused as refused:
        return None, refused.problems


def check_read(data):
    document, problems = document_or_problems(data)
    assert bool(document) != bool(problems)
    for problem in problems:
        assert problem.where
        assert problem.problem
        assert not words_of_pydantic.search(problem.problem)
        assert "\n" not in str(problem)
    if document:
        assert read(json.loads(document.canonical()), KNOWN) == document
        assert all(str(Lead.parse(lead)) == lead for one in document.series for lead in one.leads or ())


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["plan", "patient", "consent", "recipients", "series"]) | st.text(), garbage))
def test_garbage_is_refused_and_nothing_else(data):
    check_read(data)


def places(data, path=()):
    """Every place in a document, as the steps that lead to it."""
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield (*path, key)
        if isinstance(value, (dict, list)):
            yield from places(value, (*path, key))


PLACES = list(places(tomllib.loads(EXAMPLE)))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(PLACES), garbage), min_size=1, max_size=3))
def test_a_plan_with_garbage_in_any_place_is_refused_or_read(changes):
    data = tomllib.loads(EXAMPLE)
    for (*steps, last), value in changes:
        table = data
        try:
            for step in steps:
                table = table[step]
            table[last] = value
        except (KeyError, IndexError, TypeError):  # an earlier change removed this place
            continue
    check_read(data)


@pytest.mark.parametrize("key", ["discharged_on", "starts_on"])
def test_a_program_of_another_century_is_a_slip(key):
    from people import KNOWN, raw

    with pytest.raises(PlanRefused) as refusal:
        read(raw(plan={"program": "php", "program_times": {"therapy_group": "09:00"}, key: "1950-01-01"}), KNOWN)
    assert f"plan.{key}" in {problem.where for problem in refusal.value.problems}
