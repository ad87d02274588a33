"""A clinic in the simulation (docs/simulation.md): a short one on each database, and its oracle."""

import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from simulation.oracle import Oracle, dates_of, instant, window

from reminders import plans
from reminders.plans import Known, Lead

TESTS = Path(__file__).parent
DAYS = "21"
PATIENTS = {"sqlite": "6", "postgresql": "4"}


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_long_run_9_every_promise_is_kept_in_a_short_clinic(database):
    short = ("--world", "clinic", "--patients", PATIENTS[database], "--days", DAYS)
    lived = subprocess.run(
        [sys.executable, TESTS / "simulation", *short, "--seed", "0", "--database", database],
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"PYTHONHASHSEED": "0"},
    )
    assert lived.returncode == 0, lived.stdout + lived.stderr
    assert f"1 clinics of {PATIENTS[database]} patients and {DAYS} days on" in lived.stdout
    standard = next(line for line in lived.stdout.splitlines() if line.startswith("standard"))
    assert int(standard.split()[1]) > 10, "eligible visits"


@pytest.mark.parametrize("program", sorted(plans.programs()))
def test_the_oracle_reads_each_program_as_the_service_does(program):
    """Two independent readings of the same files must agree on every date of the first weeks."""
    names = plans.programs()[program].open_times({})
    said = {
        "plan": {
            "ref": "P-1",
            "discharged_on": "2026-02-20",
            "starts_on": "2026-02-24",
            "program": program,
            "program_times": {one.key: "17:30" for one in names},
        },
        "patient": {"ref": "MRN-1", "name": "Jordan Alvarez", "phone": "(202) 555-0143"},
    }
    known = Known(
        today=date(2026, 2, 20),
        languages=frozenset({"en"}),
        zone="America/New_York",
        site="main",
        sites=frozenset({"main"}),
        fictional_numbers=True,
    )
    until = date(2026, 5, 1)
    ours = {(one.series, one.rid, one.wall, one.status) for one in dates_of(said, until) if one.wall.date() <= until}
    theirs = {
        (series.key, one.recurrence_id, one.wall, one.status)
        for series in plans.read(said, known).all_series()
        for one in plans.occurrences(series, until=until, zone="America/New_York")
    }
    assert ours == theirs


def test_the_oracles_windows_are_those_of_the_design():
    eight = instant(datetime(2026, 3, 10, 8), "America/New_York")
    day_before = window("1d@17:00", eight, "America/New_York")
    assert day_before.opens == datetime(2026, 3, 9, 21, tzinfo=UTC)
    assert day_before.closes == eight - timedelta(minutes=45)
    short = window("2h", eight, "America/New_York")  # 06:00 is night: an hour before the night began
    assert short.opens == datetime(2026, 3, 9, 23, tzinfo=UTC)
    assert not short.quiet
    late = window("2h", instant(datetime(2026, 3, 10, 10), "America/New_York"), "America/New_York")
    assert late.opens == datetime(2026, 3, 9, 23, tzinfo=UTC)
    assert str(Lead.parse("1d@17:00")) == day_before.lead


def plan(**series) -> dict:
    one = {"key": "a", "kind": "therapy_individual", "starts": "2026-03-12T15:00:00"} | series
    return {"plan": {"ref": "P", "discharged_on": "2026-03-01"}, "series": [one]}


def test_an_edit_of_identity_leaves_the_visit_known_since_it_was_first_entered():
    oracle, first = Oracle(date(2026, 6, 1)), datetime(2026, 3, 2, 15, tzinfo=UTC)
    oracle.accepts("P", "MRN-1", plan(), first)
    oracle.accepts("P", "MRN-1", plan(repeats="FREQ=WEEKLY;COUNT=3"), first + timedelta(days=5))
    oracle.accepts("P", "MRN-1", plan(key="b"), first + timedelta(days=6))
    starts_at = instant(datetime(2026, 3, 12, 15), "America/New_York")
    assert oracle._since(oracle.courses["P"], starts_at) == first
    assert [one.starts_at for one in oracle.ahead("P", first + timedelta(days=7))] == [starts_at]


def test_what_staff_called_off_stays_so_until_the_file_says_something_new_of_it():
    oracle, first = Oracle(date(2026, 6, 1)), datetime(2026, 3, 2, 15, tzinfo=UTC)
    oracle.accepts("P", "MRN-1", plan(), first)
    (visit,) = oracle.ahead("P", first)
    oracle.moves(visit, None, first + timedelta(hours=1))
    oracle.accepts("P", "MRN-1", plan(minutes=50), first + timedelta(hours=2))
    assert oracle.ahead("P", first + timedelta(hours=3)) == []
    oracle.accepts("P", "MRN-1", plan(starts="2026-03-12T16:00:00"), first + timedelta(hours=4))
    assert oracle.ahead("P", first + timedelta(hours=5)) == [visit]
