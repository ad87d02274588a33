"""Programs as data: the contents of each (P-1 … P-16), and properties of all of them on any day."""

import re
import tomllib
from collections import Counter
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reminders import plans
from reminders.plans import Kind, Known, Series, expand, occurrences, programs, read
from reminders.plans.programs import Program, ProgramSeries

FILES = sorted(Path(plans.__file__).with_name("programs").glob("*.toml"))
ZONE = "America/New_York"
DISCHARGED_ON = date(2026, 12, 1)  # a Tuesday
WEEK_1 = date(2026, 12, 7)
FAR = date(2034, 1, 1)
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]

every_program = pytest.mark.parametrize("program", programs().values(), ids=list(programs()))
any_program = st.sampled_from(list(programs().values()))
any_discharge = st.dates(date(2025, 1, 1), date(2030, 12, 31))
any_time = st.times().map(lambda at: at.replace(second=0, microsecond=0))


def known(today):
    return Known(
        today=today,
        languages=frozenset({"en", "es"}),
        zone=ZONE,
        site="main",
        sites=frozenset({"main"}),
        fictional_numbers=True,
    )


def document(discharged_on, **rest):
    """A plan file's tables, as parsed from TOML, with `rest` in `[plan]` or next to it."""
    series = {"series": rest.pop("series")} if "series" in rest else {}
    return {
        "plan": {"ref": "DC-1", "discharged_on": discharged_on, **rest},
        "patient": {"ref": "MRN-1", "name": "Jordan Alvarez", "phone": "(202) 555-0143"},
        **series,
    }


def times_by_kind(program, at=time(17, 30)):
    return {series.kind.value: at for series in program.series}


def laid_out(name, starts_on=WEEK_1):
    """The dates of a program's series by their keys."""
    program = programs()[name]
    return {
        series.key.removeprefix(f"{name}."): [found.wall.date() for found in occurrences(series, until=FAR, zone=ZONE)]
        for series in expand(program, starts_on, times_by_kind(program))
    }


def weeks(days, starts_on=WEEK_1):
    return [(day - starts_on).days // 7 + 1 for day in days]


def weekdays(days):
    return {WEEKDAYS[day.weekday()] for day in days}


# --- each program ------------------------------------------------------------------------------------------------


def test_there_is_one_for_each_rule():
    rules = {rule: file.stem for file in FILES for rule in re.findall(r"^# (P-[0-9]+)\.", file.read_text("utf-8"))}
    assert rules == {
        "P-1": "matrix-iop",
        "P-2": "iop",
        "P-3": "php",
        "P-4": "weekly-outpatient",
        "P-6": "weekly-cbt",
        "P-7": "mi-met",
        "P-8": "contingency-management",
        "P-9": "relapse-prevention",
        "P-10": "telephone-continuing-care",
        "P-11": "recovery-check-ups",
        "P-12": "monthly-aftercare",
        "P-14": "family-education",
        "P-15": "psychiatry",
        "P-16": "step-down",
    }
    assert sorted(rules.values()) == list(programs())


@pytest.mark.parametrize(
    ("name", "length", "sessions"),
    [
        ("matrix-iop", 48, 88),
        ("iop", 8, 24),
        ("php", 4, 20),
        ("weekly-outpatient", 52, 52),
        ("weekly-cbt", 12, 12),
        ("mi-met", 12, 4),
        ("contingency-management", 24, 36),
        ("relapse-prevention", 12, 24),
        ("telephone-continuing-care", 12, 16),
        ("recovery-check-ups", 104, 8),
        ("monthly-aftercare", 52, 17),
        ("family-education", 52, 21),
        ("psychiatry", 49, 13),
        ("step-down", 52, 65),
    ],
)
def test_length_and_number_of_sessions(name, length, sessions):
    assert (programs()[name].weeks, programs()[name].sessions) == (length, sessions)
    assert sum(map(len, laid_out(name).values())) == sessions


def test_p2_iop_is_three_days_a_week_of_three_hours():
    days = laid_out("iop")["group"]
    assert weekdays(days) == {"MO", "WE", "FR"}
    assert set(Counter(weeks(days)).values()) == {3}
    assert 9 * 60 <= 3 * programs()["iop"].series[0].minutes <= 19 * 60


def test_p3_php_is_five_days_a_week_of_four_hours():
    days = laid_out("php")["day"]
    assert weekdays(days) == {"MO", "TU", "WE", "TH", "FR"}
    assert set(Counter(weeks(days)).values()) == {5}
    assert 5 * programs()["php"].series[0].minutes >= 20 * 60


def test_p4_outpatient_is_weekly_on_the_weekday_of_its_first_day():
    days = laid_out("weekly-outpatient", date(2026, 12, 3))["session"]
    assert weekdays(days) == {"TH"}
    assert weeks(days, date(2026, 12, 3)) == list(range(1, 53))


def test_p7_mi_met_meets_in_weeks_1_2_6_and_12():
    days = laid_out("mi-met")["session"]
    assert weeks(days) == [1, 2, 6, 12]
    assert days == [date(2026, 12, 7), date(2026, 12, 14), date(2027, 1, 11), date(2027, 2, 22)]


@pytest.mark.parametrize("starts_on", [WEEK_1 + timedelta(days=n) for n in range(7)])
def test_p8_contingency_management_is_36_visits_at_least_72_hours_apart(starts_on):
    found = laid_out("contingency-management", starts_on)
    assert (len(found["twice-weekly"]), len(found["weekly"])) == (24, 12)
    assert weeks(found["weekly"], starts_on) == list(range(13, 25))
    visits = sorted(found["twice-weekly"] + found["weekly"])
    assert min(later - earlier for earlier, later in pairwise(visits)) == timedelta(days=3)


def test_p9_relapse_prevention_groups_are_twice_weekly_for_12_weeks():
    assert Counter(weeks(laid_out("relapse-prevention")["group"])) == dict.fromkeys(range(1, 13), 2)


def test_p10_telephone_continuing_care_is_12_calls_and_4_groups():
    found = laid_out("telephone-continuing-care")
    assert weeks(found["call"]) == list(range(1, 13))
    assert weeks(found["group"]) == [1, 2, 3, 4]
    assert not set(found["call"]) & set(found["group"])


def test_p11_check_ups_are_quarterly_for_two_years():
    days = laid_out("recovery-check-ups")["check-up"]
    assert weeks(days) == [13, 26, 39, 52, 65, 78, 91, 104]
    assert weekdays(days) == {"MO"}


def test_p12_aftercare_thins_out():
    found = laid_out("monthly-aftercare")
    assert weeks(found["weekly"]) == [1, 2, 3, 4]
    assert weeks(found["every-two-weeks"]) == [6, 8, 10, 12]
    # Month 4 begins with week 14, on 8 March 2027, which is the second Monday of its month.
    assert [str(day) for day in found["monthly"]] == [
        "2027-03-08",
        "2027-04-12",
        "2027-05-10",
        "2027-06-14",
        "2027-07-12",
        "2027-08-09",
        "2027-09-13",
        "2027-10-11",
        "2027-11-08",
    ]


def test_p14_family_education_then_a_monthly_group():
    found = laid_out("family-education")
    assert weeks(found["education"]) == list(range(1, 13))
    assert len(found["family-group"]) == 9
    assert weekdays(found["education"] + found["family-group"]) == {"WE"}
    assert found["education"][-1] < found["family-group"][0]


def test_p15_psychiatry_is_at_once_and_then_every_four_weeks():
    days = laid_out("psychiatry")["visit"]
    assert days[0] - DISCHARGED_ON <= timedelta(days=14)
    assert {later - earlier for earlier, later in pairwise(days)} == {timedelta(weeks=4)}


def test_p16_step_down_has_its_steps_one_after_another():
    found = laid_out("step-down")
    assert [len(days) for days in found.values()] == [20, 24, 12, 6, 3]
    assert all(earlier[-1] < later[0] for earlier, later in pairwise(found.values()))


@every_program
def test_p16_every_step_after_the_first_is_tentative(program):
    first = program.series[0].step
    for item, one in zip(program.series, expand(program, WEEK_1, times_by_kind(program)), strict=True):
        assert one.status == item.status == ("booked" if item.step == first else "tentative")
    steps = len({series.step for series in program.series})
    assert steps == (5 if program.key == "step-down" else 1)


def test_p16_one_time_is_enough_and_later_steps_can_have_their_own():
    step_down = programs()["step-down"]
    assert [series.key for series in step_down.open_times({})] == ["five-days"]
    assert set(step_down.times({"five-days": time(9)}).values()) == {time(9)}
    own = step_down.times({"five-days": time(9), "three-days": time(18), "therapy_individual": time(15)})
    assert list(own.values()) == [time(9), time(18), time(15), time(15), time(15)]


def test_a_monthly_series_that_begins_on_a_fifth_weekday_keeps_to_the_last_one():
    # Week 14 from Monday 28 September 2026 begins on Monday 28 December; from the 30th the first date is a fifth one.
    fourth = laid_out("monthly-aftercare", date(2026, 9, 28))["monthly"]
    assert [str(day) for day in fourth[:2]] == ["2026-12-28", "2027-01-25"]
    fifth = laid_out("monthly-aftercare", date(2026, 9, 30))["monthly"]
    assert [str(day) for day in fifth[:3]] == ["2026-12-30", "2027-01-27", "2027-02-24"]


def test_weeks_of_an_interval_are_counted_from_the_first_day():
    item = ProgramSeries(key="a", kind=Kind.CHECK_UP, weeks=(1, 3, 5), weekdays=("MO", "TH"))
    program = Program(key="p", title="t", source="s", series=(item,))
    (one,) = expand(program, date(2026, 12, 9), {"a": time(9)})  # from a Wednesday: Thursday, then Monday
    days = [found.wall.date() for found in occurrences(one, until=FAR, zone=ZONE)]
    assert weeks(days, date(2026, 12, 9)) == [1, 1, 3, 3, 5, 5]


# --- every program, on any day -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(any_program, any_discharge, st.data())
def test_every_program_gives_its_sessions_from_any_discharge_at_any_times(program, discharged_on, data):
    times = {series.kind.value: data.draw(any_time) for series in program.series}
    for name in data.draw(st.sets(st.sampled_from([series.key for series in program.series]))):
        times[name] = data.draw(any_time)
    plan_file = document(discharged_on, program=program.key, program_times=times)
    plan = read(plan_file, known(discharged_on))
    expanded = plan.all_series()
    week_1 = plan.plan.week_1_starts_on
    assert discharged_on <= week_1 < discharged_on + timedelta(weeks=1)

    keys = [one.key for one in expanded]
    assert keys == [f"{program.key}.{item.key}" for item in program.series]
    assert len(set(keys)) == len(keys)
    for one, item in zip(expanded, program.series, strict=True):
        found = occurrences(one, until=FAR, zone=ZONE)
        days = [occurrence.wall.date() for occurrence in found]
        assert len(days) == item.sessions == len(set(days))
        assert min(days) >= discharged_on
        assert weekdays(days) == set(item.weekdays or [WEEKDAYS[week_1.weekday()]])
        assert set(weeks(days, week_1)) <= set(item.weeks)
        assert weeks(days, week_1)[0] == item.from_week
        if item.monthly:
            assert all(12 * (b.year - a.year) + b.month - a.month == 1 for a, b in pairwise(days))
        else:
            each_week = Counter(weeks(days, week_1))
            assert each_week == dict.fromkeys(item.weeks, max(len(item.weekdays), 1))
        assert {occurrence.wall.time() for occurrence in found} == {one.starts.time()}
        assert one.starts.time() == program.times(times)[item.key]


@settings(deadline=None, max_examples=50)
@given(any_program, any_discharge, st.integers(0, 60), any_time)
def test_what_a_program_expands_to_could_stand_in_a_plan_file(program, discharged_on, later, at):
    expanded = expand(program, discharged_on + timedelta(days=later), times_by_kind(program, at))
    written = [one.model_dump(mode="json", by_alias=True, exclude_defaults=True) for one in expanded]
    assert read(document(discharged_on, series=written), known(discharged_on)).series == tuple(expanded)


@given(any_program, st.dictionaries(st.sampled_from(list(Kind)), any_time))
def test_open_times_are_exactly_what_a_plan_file_must_still_give(program, given_times):
    times = {kind.value: at for kind, at in given_times.items() if kind.value in program.time_names}
    left_open = program.open_times(times)
    plan_file = document(DISCHARGED_ON, program=program.key, program_times=times)
    if not left_open:
        assert read(plan_file, known(DISCHARGED_ON)).all_series()
        return
    with pytest.raises(plans.PlanRefused) as refused:
        read(plan_file, known(DISCHARGED_ON))
    assert {problem.where for problem in refused.value.problems} == {"plan.program_times"}
    assert all(f"time of {series.key} open" in str(refused.value) for series in left_open)


# --- the files -----------------------------------------------------------------------------------------------------


@every_program
def test_a_file_is_well_formed(program):
    assert program.title
    assert "(P-" in program.source
    before: set[str] = set()
    for series in program.series:
        assert series.key not in before
        assert series.beside is None or series.beside in before
        assert list(series.weeks) == sorted(set(series.weeks))
        assert series.weeks[0] >= 1
        assert set(series.weekdays) <= set(WEEKDAYS)
        assert series.sessions >= 2
        if series.monthly:
            assert len(series.weekdays) <= 1
            assert list(series.weeks) == list(range(series.from_week, series.to_week + 1))
        before.add(series.key)
    assert not before & {kind.value for kind in Kind}  # otherwise a time by key would be one by kind


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_p1_p8_no_file_names_what_is_never_announced(file):
    text = file.read_text(encoding="utf-8")
    assert not re.search(r"screen|\btest|urin|drug|specimen|sampl|toxicolog|\bUDT", text, re.IGNORECASE)


def test_nothing_of_a_program_can_reach_a_text():
    """A file's words are its title, source, keys and steps; a series made from it has only its own key."""
    for program in programs().values():
        for one in expand(program, WEEK_1, times_by_kind(program)):
            said = one.model_dump(exclude_defaults=True)
            assert said.keys() <= {"key", "kind", "starts", "repeats", "minutes", "how", "skip", "status"}
    words = {"title", "source", "key", "step"}
    for file in FILES:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        free = {name for name, value in table.items() if isinstance(value, str)}
        for series in table["series"]:
            free |= {name for name, value in series.items() if isinstance(value, str)}
        assert free <= words | {"kind", "beside", "status", "how"}


def test_a_file_with_a_name_that_is_not_known_is_refused():
    from reminders.plans.programs import _series

    table = {"key": "a", "kind": "check_up", "weeks": [1, 2]}
    assert _series(dict(table)).sessions == 2
    with pytest.raises(TypeError, match="label"):
        _series(table | {"label": "visit"})


def test_the_plan_of_the_contract_is_accepted():
    plan_file = document(
        DISCHARGED_ON, program="matrix-iop", starts_on=WEEK_1, program_times={"therapy_group": "17:30"}
    )
    expanded = {one.key: one for one in read(plan_file, known(DISCHARGED_ON)).all_series()}
    assert expanded["matrix-iop.relapse-prevention"] == Series(
        key="matrix-iop.relapse-prevention",
        kind=Kind.THERAPY_GROUP,
        starts=datetime(2026, 12, 7, 17, 30),
        repeats="FREQ=WEEKLY;BYDAY=MO,FR;COUNT=32",
        minutes=90,
    )
