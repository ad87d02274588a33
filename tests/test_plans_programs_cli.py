"""`reminders programs`: its list, the dates of one program, and refusals."""

import json
import os
import re
from datetime import date, timedelta

import pytest
import typer
from typer.testing import CliRunner

from reminders import clock
from reminders.cli.programs import programs as command
from reminders.plans import programs, to_wall

NAMES = list(programs())


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command in an empty folder, with default settings."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith(("REMINDERS_", "TWILIO_")) or name in {"DATABASE_URL", "PORT"}:
            monkeypatch.delenv(name)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("programs")(command)

    def run(*arguments, code=0):
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
        assert list(tmp_path.iterdir()) == []  # looking at templates needs no database and makes none
        return result

    return run


def test_the_list_has_a_line_for_each(run):
    shown = run().stdout.splitlines()
    assert [line.split()[0] for line in shown] == ["Name", *NAMES]
    (matrix,) = (line for line in shown if line.startswith("matrix-iop "))
    name, what, *rest = re.split(r"  +", matrix)
    assert (name, rest) == ("matrix-iop", ["48", "88", "relapse-prevention"])
    assert what.startswith("Matrix Model, 16 weeks")
    assert "Source: CSAT" in what


def test_the_list_as_json_lines(run):
    lines = [json.loads(line) for line in run("--json").stdout.splitlines()]
    assert [line["name"] for line in lines] == NAMES
    (step_down,) = (line for line in lines if line["name"] == "step-down")
    assert step_down["tentative_steps"] == ["three days a week", "weekly", "every two weeks", "monthly"]
    assert step_down["times_left_open"] == [{"series": "five-days", "kind": "therapy_group"}]
    assert (step_down["weeks"], step_down["sessions"]) == (52, 65)
    assert all(line["source"] and line["title"] for line in lines)


def test_one_with_its_dates(run):
    shown = run("matrix-iop", "--discharge", "2026-12-01", "--time", "therapy_group=17:30")
    heading, *rows = (re.split(r"  +", line) for line in shown.stdout.splitlines())
    assert heading == ["Week", "Day", "Time", "What", "Status", "Texts that week"]
    first, second, third, *_ = rows
    skills, groups = "early-recovery-skills (group_education), 50 min", "relapse-prevention (therapy_group), 90 min"
    assert first == ["1", "Mon, Dec 7, 2026", "4:30 pm", skills, "booked", "3 of 7"]
    assert second == ["", "Mon, Dec 7, 2026", "5:30 pm", groups, "booked"]
    assert third[1:3] == ["Wed, Dec 9, 2026", "5:30 pm"]
    assert "week 1 starts Mon, Dec 7, 2026" in shown.stderr
    assert "at most 3; the cap is 7" in shown.stderr
    assert "open" not in shown.stderr
    assert "entative" not in shown.stderr


@pytest.mark.parametrize("name", NAMES)
def test_each_without_its_times(name, run):
    shown = run(name, "--discharge", "2026-12-01", "--json")
    found = json.loads(shown.stdout)
    assert len(found["dates"]) == found["sessions"] == sum(series["sessions"] for series in found["series"])
    assert {entry["at"] for entry in found["dates"]} == {None}
    assert found["times_left_open"]
    days = [entry["on"] for entry in found["dates"]]
    assert days == sorted(days)
    assert days[0] >= found["week_1_starts_on"] == "2026-12-07"
    assert max(entry["week"] for entry in found["dates"]) <= found["weeks"]
    text = run(name, "--discharge", "2026-12-01")
    assert text.stdout.count("left open") == found["sessions"]
    assert "Times left open: " in text.stderr
    assert programs()[name].source in text.stderr


def test_what_is_tentative_and_the_load_with_and_without_it(run):
    found = json.loads(run("step-down", "--discharge", "2026-12-01", "--time", "five-days=09:00", "--json").stdout)
    assert {entry["status"] for entry in found["dates"] if entry["week"] <= 4} == {"booked"}
    assert {entry["status"] for entry in found["dates"] if entry["week"] > 4} == {"tentative"}
    load = found["texts_a_week"]
    assert (load["cap"], load["most"], load["most_if_confirmed"]) == (7, 5, 5)
    weeks = {week["week"]: (week["starts_on"], week["texts"], week["texts_if_confirmed"]) for week in load["weeks"]}
    assert weeks[4] == ("2026-12-28", 5, 5)
    assert weeks[5] == ("2027-01-04", 0, 3)
    assert 25 not in weeks
    assert found["times_left_open"] == []
    shown = run("step-down", "--discharge", "2026-12-01")
    assert "until staff confirm: three days a week, weekly, every two weeks, monthly." in shown.stderr


def test_two_sessions_on_one_day_are_one_text(run):
    found = json.loads(run("matrix-iop", "--discharge", "2026-12-01", "--json").stdout)
    week_1 = [entry for entry in found["dates"] if entry["week"] == 1]
    assert len(week_1) == 5
    assert found["texts_a_week"]["weeks"][0]["texts"] == found["texts_a_week"]["most"] == 3


def test_the_cap_is_the_house_s(run, monkeypatch):
    monkeypatch.setenv("REMINDERS_SENDING__PER_WEEK", "4")
    shown = run("php", "--discharge", "2026-12-01")
    assert "5 of 4" in shown.stdout
    assert "at most 5; the cap is 4. Those above the cap do not go." in shown.stderr


def test_the_first_day_can_be_given(run):
    found = json.loads(
        run(
            "weekly-cbt", "--discharge", "2026-12-01", "--starts-on", "2026-12-03", "--time", "session=10:00", "--json"
        ).stdout
    )
    assert (found["discharged_on"], found["week_1_starts_on"]) == ("2026-12-01", "2026-12-03")
    assert (found["dates"][0]["on"], found["dates"][0]["at"]) == ("2026-12-03", "10:00")


def test_without_a_discharge_day_it_is_today(run):
    found = json.loads(run("iop", "--json").stdout)
    today = to_wall(clock.now(), "America/New_York").date()
    assert abs(date.fromisoformat(found["discharged_on"]) - today) <= timedelta(days=1)  # midnight may fall between


@pytest.mark.parametrize(
    ("asked", "closest"),
    [
        ("matrix", "matrix-iop"),
        ("MATRIX-IOP", "matrix-iop"),
        ("relapse", "relapse-prevention"),
        ("stepdown", "step-down"),
        ("telephone", "telephone-continuing-care"),
        ("weekly-cbt2", "weekly-cbt"),
        ("aftercare", "monthly-aftercare"),
    ],
)
def test_an_unknown_name_is_not_found_and_the_closest_is_named(asked, closest, run):
    result = run(asked, "--json", code=3)
    assert f"the closest is {closest}." in result.stderr
    assert not result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["iop", "--discharge", "2026-13-01"], "--discharge: there is no such date"),
        (["iop", "--discharge", ""], "--discharge: must be a date"),
        (["iop", "--discharge", "12/01/2026"], "such as 2026-12-01"),
        (["iop", "--discharge", "1950-01-01"], "--discharge: lies outside"),
        (["iop", "--discharge", "2199-12-30"], "--discharge: lies outside"),
        (["iop", "--starts-on", "1999-12-30"], "--starts-on: lies outside"),
        (["iop", "--discharge", "2026-12-01", "--starts-on", "2026-11-30"], "--starts-on: lies before"),
        (["iop", "--time", "group=25:00"], "group: must be a time of day"),
        (["iop", "--time", "group"], "group: must be a time of day"),
        (["iop", "--time", "grop=17:30"], "did you mean group"),
        (["iop", "--time", "group=17:30", "--time", "group=18:00"], "gives group twice"),
        (["--time", "group=17:30"], "name it"),
        (["--discharge", "2026-12-01"], "name it"),
    ],
)
def test_a_wrong_option_is_wrong_usage(arguments, said, run):
    shown = run(*arguments, code=2)
    assert said in " ".join(shown.stderr.replace("│", " ").split())
    assert not shown.stdout


def test_wrong_settings_are_named(run, monkeypatch):
    monkeypatch.setenv("REMINDERS_SENDING__PER_WEEK", "many")
    assert "per_week" in run("iop", code=1).stderr.lower()


def test_the_british_spelling_is_refused_with_the_word_that_counts():
    from reminders.cli.app import app

    result = CliRunner().invoke(app, ["programmes", "iop", "--starts-on", "2026-12-07"])
    assert result.exit_code == 2
    assert "reminders programs" in result.stderr
