"""A plan as a form: the typed fields become the table of a plan file, and a document becomes the form again."""

import json
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from people import KNOWN, document, raw

from reminders.plans import PlanRefused, read
from reminders.web.forms import Fields
from reminders.web.plan_form import add_row, drop_row, explain, fields_of, read_form

FILLED = [
    ("patient.ref", "MRN-1"),
    ("patient.name", "Jordan Alvarez"),
    ("patient.phone", "(202) 555-0143"),
    ("consent.said", "yes"),
    ("consent.on", "2026-11-29"),
    ("consent.how", "signed form"),
    ("consent.by", "A. Reyes"),
    ("consent.categories", "appointments"),
    ("consent.categories", "meetings"),
    ("consent.warned_of_risk", "yes"),
    ("plan.site", "main"),
    ("plan.discharged_on", "2026-11-30"),
    ("series.0.kind", "therapy_individual"),
    ("series.0.date", "2026-12-03"),
    ("series.0.time", "15:00"),
]


def table(*more: tuple[str, str]) -> dict:
    return read_form(Fields([*FILLED, *more])).table


def problems(*pairs: tuple[str, str]) -> dict[str, str]:
    form = read_form(Fields(list(pairs)))
    try:
        read(form.table, KNOWN)
    except PlanRefused as refused:
        return form.explain(refused.problems)
    return form.explain(())


def test_what_is_typed_is_a_plan_file():
    said = table(("series.0.minutes", "50"), ("consent.per_day", "1"))
    assert said == {
        "plan": {"ref": "MRN-1-20261130", "site": "main", "discharged_on": "2026-11-30"},
        "patient": {"ref": "MRN-1", "name": "Jordan Alvarez", "phone": "(202) 555-0143"},
        "consent": {
            "said": "yes",
            "on": "2026-11-29",
            "how": "signed form",
            "by": "A. Reyes",
            "categories": ["appointments", "meetings"],
            "warned_of_risk": True,
            "per_day": 1,
        },
        "series": [
            {
                "key": "therapy-individual",
                "kind": "therapy_individual",
                "starts": "2026-12-03T15:00",
                "minutes": 50,
            }
        ],
    }
    read(said, KNOWN)


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({}, None),
        ({"every": "daily", "count": "5"}, "FREQ=DAILY;COUNT=5"),
        ({"every": "weekly", "count": "12"}, "FREQ=WEEKLY;COUNT=12"),
        ({"every": "weekly", "on": "TH", "until": "2027-02-01"}, "FREQ=WEEKLY;BYDAY=TH;UNTIL=20270201"),
        ({"every": "fortnightly"}, "FREQ=WEEKLY;INTERVAL=2"),
        ({"every": "month_day"}, "FREQ=MONTHLY"),
        ({"every": "month_weekday"}, "FREQ=MONTHLY;BYDAY=1TH"),
        ({"every": "rule", "rule": "FREQ=YEARLY"}, "FREQ=YEARLY"),
    ],
)
def test_repeats_in_plain_words_are_rules_and_come_back_as_the_same_words(fields, rule):
    said = table(*((f"series.0.{name}", value) for name, value in fields.items()))
    assert said["series"][0].get("repeats") == rule
    stored = json.loads(read(said, KNOWN).canonical())
    back = dict(fields_of(stored))
    assert {name: value for name, value in fields.items() if back.get(f"series.0.{name}") != value} == {}


def test_the_last_weekday_of_a_month_is_meant_from_the_29th_on():
    said = table(("series.0.date", "2026-12-31"), ("series.0.every", "month_weekday"))
    assert said["series"][0]["repeats"] == "FREQ=MONTHLY;BYDAY=-1TH"


def test_problems_stand_at_their_field_and_say_what_to_do():
    said = problems(
        ("series.0.kind", "therapy_individual"),
        ("series.2.kind", "therapy_group"),
        ("series.2.date", "2026-12-03"),
        ("series.2.time", "15:00"),
        ("series.2.minutes", "fifty"),
        ("consent.said", "yes"),
        ("consent.per_day", "9"),
        ("plan.program", "matrix-iop"),
    )
    assert said["patient.name"] == "Enter the patient's name"
    assert said["plan.discharged_on"] == "Enter the day of discharge"
    assert said["series.2.minutes"] == "The minutes must be a whole number from 1 to 1440"
    assert said["consent.per_day"] == "Texts a day must be a whole number from 1 to 3"
    assert not any("quotes" in words or "`" in words for words in said.values()), said


def test_a_plan_needs_something_to_remind_of():
    bare = [pair for pair in FILLED if not pair[0].startswith("series.")]
    said = "The program is not chosen and there is no visit: choose one, or add a visit"
    assert problems(*bare) == {"plan.program": said}


def test_nobody_agrees_by_saying_nothing():
    said = problems(*(pair for pair in FILLED if pair[0] != "consent.said"))
    assert list(said) == ["consent.said"]
    later = [pair for pair in FILLED if not pair[0].startswith("consent.")]
    assert "consent" not in read_form(Fields([*later, ("consent.said", "later")])).table


def test_a_program_asks_for_the_times_that_it_leaves_open():
    said = problems(*FILLED, ("plan.program", "weekly-cbt"))
    assert said == {"plan.program_times.session": "Enter the time of session, such as 17:30"}
    both = [*FILLED, ("plan.program", "weekly-cbt"), ("plan.program_times.session", "17:30")]
    assert problems(*both) == {}


def test_a_date_without_a_time_asks_for_the_time():
    bare = [pair for pair in FILLED if pair[0] != "series.0.time"]
    assert problems(*bare) == {"series.0.time": "Enter the time of day, such as 15:00"}
    odd = [pair for pair in FILLED if pair[0] != "series.0.date"]
    assert problems(*odd) == {"series.0.date": "Enter the first date"}


def test_empty_rows_are_no_visits_and_rows_keep_their_numbers_in_problems():
    form = Fields([*FILLED, ("series.1.kind", "check_up"), ("series.1.key", "")])
    assert len(read_form(form).table["series"]) == 1
    form, number = add_row(form, "series", key="")
    assert number == 2
    assert read_form(drop_row(form, "series.0")).table.get("series") is None
    said = problems(*FILLED, ("series.7.date", "2026-12-04"), ("series.7.time", "9"), ("series.7.kind", "check_up"))
    assert list(said) == ["series.7.time"]


def test_two_visits_of_a_kind_have_names_of_their_own():
    said = table(("series.1.kind", "therapy_individual"), ("series.1.date", "2026-12-04"), ("series.1.time", "09:00"))
    assert [one["key"] for one in said["series"]] == ["therapy-individual", "therapy-individual-2"]


def test_problems_of_one_person_are_explained_too():
    with pytest.raises(PlanRefused) as refused:
        read(raw(recipients=[{"key": "self", "role": "supporter", "phone": "x"}]), KNOWN)
    assert explain(refused.value.problems)


days = st.dates(date(2026, 12, 1), date(2027, 3, 1))
clock_times = st.times().map(lambda at: f"{at:%H:%M}")
remarks = st.text("abcdé ñ'", min_size=1, max_size=12).filter(str.strip).map(lambda text: " ".join(text.split()))


@st.composite
def series(draw, number: int):
    day = draw(days)
    one = {
        "key": f"s{number}",
        "kind": draw(st.sampled_from(["therapy_individual", "therapy_group", "support_meeting", "family_session"])),
        "starts": f"{day}T{draw(clock_times)}:{draw(st.sampled_from(['00', '30']))}",
    }
    repeats = draw(
        st.sampled_from(
            [
                None,
                "FREQ=DAILY;COUNT=3",
                "FREQ=WEEKLY",
                "FREQ=WEEKLY;INTERVAL=2;COUNT=4",
                "FREQ=MONTHLY;COUNT=2",
                "FREQ=WEEKLY;INTERVAL=3;COUNT=3",
                f"FREQ=WEEKLY;BYDAY={day:%a}".upper()[:-1] + ";COUNT=5",
                f"FREQ=DAILY;UNTIL={day + timedelta(days=9):%Y%m%d}",
            ]
        )
    )
    if repeats is not None:
        one["repeats"] = repeats
    for name, values in (
        ("minutes", st.integers(1, 300)),
        ("place", remarks),
        ("with", remarks),
        ("session", st.just("oak-monday")),
        ("leads", st.just(["1d@17:00", "2h"])),
        ("status", st.sampled_from(["booked", "tentative"])),
        ("for", st.just(["self", "sister"])),
        ("zone", st.just("America/Chicago")),
    ):
        if draw(st.booleans()):
            one[name] = draw(values)
    return one


@st.composite
def documents(draw):
    count = draw(st.integers(0, 3))
    changes = {"series": [draw(series(number)) for number in range(count)]}
    changes["recipients"] = [
        {
            "key": "sister",
            "role": "supporter",
            "phone": "202-555-0144",
            "language": "es",
            "part2_consent_on": "2026-11-30",
            "consent": {"said": "yes", "on": "2026-11-30", "how": "form", "by": "X", "categories": ["family"]},
        }
    ]
    changes["patient"] = draw(
        st.sampled_from([{}, {"texting_hours": ["09:30", "19:00"]}, {"weekly_digest": True, "born_on": "1994-05-17"}])
    )
    changes["plan"] = draw(
        st.sampled_from(
            [
                {
                    "program": "weekly-cbt",
                    "program_times": {"therapy_individual": "10:00"},
                    "starts_on": "2026-12-07",
                },
                {"status": "paused"},
                {"alongside": True},
                {"replaces": "DC-0"},
                {"late_start_because": "holiday"},
            ]
        )
    )
    if not count and "program" not in changes["plan"]:
        changes["series"] = [draw(series(0))]
    return changes


@given(documents())
def test_the_form_says_what_the_document_said(changes):
    before = document(**changes)
    pairs = fields_of(json.loads(before.canonical()))
    form = read_form(Fields(pairs))
    assert form.problems == {}
    assert read(form.table, KNOWN).canonical() == before.canonical()
