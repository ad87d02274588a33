"""`reminders tasks`: what a person must do, on a screen and for programs (README.md#commands; docs/tasks.md)."""

import json
import logging
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from conftest import environment, send
from oncall import PHONE, STRANGER, Clinic
from people import one_off
from typer.testing import CliRunner

from reminders import clock
from reminders.cli import app
from reminders.service.planning import watch

ROOT = Path(__file__).resolve().parents[1]
EVENING = datetime(2026, 12, 1, 22, 0, 30, tzinfo=UTC)  # 17:00 in New York, the day before the visit
LISTED = {
    "id", "kind", "urgency", "title", "site", "patients", "plan", "visit", "starts_at", "to", "text", "opened_at",
    "due_at", "overdue", "owner", "acknowledged_at", "rung_at", "escalates_at", "step", "closed_at", "outcome",
}  # fmt: skip
SHOWN = LISTED | {"to_do", "outcomes", "story"}
EVENT = {"at", "what", "who", "detail", "words", "rules", "text", "wording", "text_state", "text_code", "became"}


@pytest.fixture(autouse=True)  # ruff: ignore[pytest-fixture-autouse]  every command touches the root logger
def _logging_of_the_tests():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


class Desk:
    """A clinic, and a terminal on its database."""

    def __init__(self, clinic, url, folder, monkeypatch):
        self.clinic = clinic
        monkeypatch.chdir(folder)
        for name in list(os.environ):
            if name.startswith(("REMINDERS_", "TWILIO_")) or name in {"DATABASE_URL", "PORT"}:
                monkeypatch.delenv(name)
        for name, value in environment(url).items():
            monkeypatch.setenv(name, value)

    def __call__(self, *arguments, code=0, stdin=None):
        given = ["tasks", *map(str, arguments)]
        result = CliRunner().invoke(app, given, input=stdin, catch_exceptions=False)
        assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
        return result

    def json(self, *arguments):
        return json.loads(self(*arguments, "--json").stdout)

    def lines(self, *arguments):
        return [json.loads(line) for line in self(*arguments, "--json").stdout.splitlines()]


@pytest.fixture
def desk(database_url, tmp_path, travel, twilio, monkeypatch):
    clinic = Clinic(database_url, tmp_path, travel, twilio, ("First", {}), ("Second", {}))
    yield Desk(clinic, database_url, tmp_path, monkeypatch)
    clinic.close()


def test_nothing_to_do_is_said_and_is_no_failure(desk):
    assert desk().stderr == "Nothing to do.\n"
    assert desk("list", "--all").stderr == "No tasks.\n"
    assert desk.lines() == []


def test_a_list_shows_the_urgent_first_and_nobodys_words(desk):
    desk.clinic.accept()
    desk.clinic.text("call me about oranges", STRANGER)
    desk.clinic.text("i want to die")
    shown = desk()
    first, second = shown.stdout.splitlines()[1:]
    assert re.match(
        r"2 +urgent +Someone may be in danger +MRN-1 …0143 +Mon, Nov 30(, 2026)?, 10:15 am +rings for 0 min", first
    )
    assert re.match(r"1 +soon +A text from a number we do not know +…0178 +Mon, Nov 30(, 2026)?, 2:00 pm +open", second)
    assert shown.stderr == "Tasks, the urgent first\n"
    assert desk("list").stdout == shown.stdout
    for said in (shown.stdout, desk("--json").stdout, desk("list", "--all", "--json").stdout):
        assert "die" not in said
        assert "oranges" not in said
        assert PHONE not in said


def test_programs_get_json_lines_with_the_keys_that_are_written_down(desk):
    desk.clinic.accept()
    desk.clinic.text("i want to die")
    desk.clinic.text("call me about oranges", STRANGER)
    crisis, stranger = desk.lines()
    assert set(crisis) == set(stranger) == LISTED
    assert (crisis["kind"], crisis["patients"], crisis["to"]) == ("crisis", ["MRN-1"], "•••••••0143")
    assert (stranger["patients"], stranger["rung_at"], stranger["overdue"]) == ([], None, False)
    told = desk.json("show", crisis["id"])
    assert set(told) == SHOWN
    assert {frozenset(event) for event in told["story"]} == {frozenset(EVENT)}
    documented = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
    assert {key for key in SHOWN | EVENT if f"`{key}`" not in documented} == set()


def test_c12_who_is_shown_to_get_texts_is_told_apart_from_whose_reminders_wait(desk):
    desk.clinic.accept()
    desk.clinic.text("i want to die")
    shown = CliRunner().invoke(app, ["people", "show", "MRN-1"], env={"COLUMNS": "200"})
    assert "reminders wait: someone may be in danger" in shown.stdout
    desk("close", 1, "--outcome", "reached", "--note", "With his sister.")
    assert "texts go" in CliRunner().invoke(app, ["people", "show", "MRN-1"], env={"COLUMNS": "200"}).stdout


def test_lists_are_narrowed(desk):
    for number in range(3):
        desk.clinic.text("call me about oranges", f"+120255501{60 + number}")
    desk("take", 2)
    desk("close", 3, "--outcome", "done")
    assert [task["id"] for task in desk.lines()] == [1, 2]
    assert [task["id"] for task in desk.lines("list", "--mine")] == [2]
    assert [task["id"] for task in desk.lines("list", "--closed")] == [3]
    assert [task["id"] for task in desk.lines("list", "--all")] == [1, 2, 3]
    assert desk.lines("list", "--kind", "crisis") == []
    assert "closed: done" in desk("list", "--all").stdout
    assert "taken by cli:" in desk("--mine").stdout
    assert "crisis" in desk("list", "--kind", "oranges", code=2).stderr
    assert "--closed" in desk("list", "--all", "--closed", code=2).stderr
    assert "after take" in desk("--mine", "take", 1, code=2).stderr


def test_c13_the_whole_story_on_one_page(desk):
    clinic = desk.clinic
    clinic.accept()
    clinic.text("STOP")
    clinic.travel(datetime(2026, 12, 1, 8, 0, tzinfo=UTC))
    clinic.text("i want\x1b[2Jto die")
    clinic.travel(datetime(2026, 12, 1, 8, 15, 30, tzinfo=UTC))
    clinic.page()
    (crisis,) = desk.lines("list", "--kind", "crisis")
    number = crisis["id"]
    desk("take", number)
    desk("note", number, "She is with her sister.")
    desk(
        *("close", number, "--outcome", "handed_over", "--note", "-"),
        *("--disclosed-to", "county hospital", "--emergency", "not safe alone"),
        stdin="Ambulance came.\n",
    )
    page = desk("show", number).stdout
    lines = [line.strip() for line in page.splitlines()]
    assert lines[0] == f"Task {number}, urgent: Someone may be in danger"
    assert "Patients:  MRN-1" in lines
    assert "Outcome:   handed over" in lines
    assert any(line.startswith("To do: Call them now") for line in lines)
    told = lines[lines.index("What happened (times of the site, America/New_York)") + 1 :]
    patterns = [
        "Opened",
        r"A text came “i want␛\[2Jto die” \(rules: en\.crisis\.[a-z_.]+\)",
        r"We answered with “crisis”: refused: the number sent STOP \(21610\)",
        r"Lost our answer could not reach them: call now \(code 21610\)",
        "Paged First",
        "Paged First",
        "Escalated: 15 minutes without acknowledgement",
        "Paged Second",
        "Acknowledged and taken by cli:.+",
        "Note “She is with her sister.” by cli:.+",
        "Told to medical personnel 42 CFR 2.51 “To: county hospital Emergency: not safe alone” by cli:.+",
        "Closed: handed over “Ambulance came.” by cli:.+",
    ]
    assert len(told) == len(patterns), told
    for line, pattern in zip(told, patterns, strict=True):
        assert re.fullmatch(rf"Tue, Dec 1(, 2026)?, 3:\d\d:\d\d am  {pattern}", line), line
    assert "\x1b" not in page
    story = desk.json("show", number)["story"]
    assert story[1]["words"] == "i want\x1b[2Jto die"
    assert (story[2]["text_state"], story[2]["text_code"]) == ("undelivered", 21610)
    assert story[2]["became"] == "refused: the number sent STOP (21610)"


def test_exit_codes_3_for_no_such_task_and_1_for_what_cannot_be_done(desk):
    desk.clinic.accept()
    desk.clinic.text("i want to die")
    for command in (["show"], ["take"], ["let-go"], ["close", "--outcome", "done"]):
        assert desk(command[0], 99, *command[1:], code=3).stderr == "There is no task 99.\n"
    assert not desk("note", 99, "words", code=3).stdout
    refused = desk("close", 1, "--outcome", "done", code=1).stderr
    assert all(outcome in refused for outcome in ("reached", "welfare_check", "handed_over", "false_alarm"))
    assert "holds no text" in desk("let-go", 1, code=1).stderr
    desk("close", 1, "--outcome", "reached")
    assert "closed already (reached)" in desk("take", 1, code=1).stderr
    assert "--emergency" in desk("close", 1, "--outcome", "reached", "--disclosed-to", "somebody", code=2).stderr
    assert "empty" in desk("note", 1, "-", stdin="\n", code=2).stderr


def test_c12_a_held_text_is_let_go_and_those_of_a_closed_crisis_go_by_themselves(desk):
    clinic = desk.clinic
    for number, phone in ((1, PHONE), (2, "+12025550144")):
        clinic.accept(number, phone, series=[one_off("visit", f"2026-12-02T1{number}:00:00", leads=["1d@17:00"])])
        clinic.text("i want to die", phone)
    clinic.travel(EVENING)
    send(clinic.context)
    held = {task["patients"][0]: task for task in desk.lines("list", "--kind", "held_text")}
    assert held["MRN-1"]["visit"] == "visit@once"
    assert held["MRN-1"]["text"].isdigit()
    assert desk.json("let-go", held["MRN-1"]["id"]) == {"id": held["MRN-1"]["id"], "released": 1}
    crisis = next(task["id"] for task in desk.lines("list", "--kind", "crisis") if task["patients"] == ["MRN-2"])
    closed = desk.json("close", crisis, "--outcome", "false_alarm")
    assert (closed["released"], closed["outcome"]) == (1, "false_alarm")
    assert len(desk.lines("list", "--kind", "held_text")) == 2, "open until their texts are handed over"
    send(clinic.context)
    watch.look(clinic.context, clock.now())
    assert desk.lines("list", "--kind", "held_text") == []
    assert {text.state for text in clinic.texts("reminder")} <= {"sent", "delivered"}


def test_times_are_the_sites_and_a_task_past_its_time_is_overdue(desk):
    desk.clinic.text("call me about oranges", STRANGER)
    desk.clinic.travel(datetime(2026, 11, 30, 19, 30, tzinfo=UTC))
    assert "Mon, Nov 30" in desk().stdout
    assert ", 2:00 pm, overdue" in desk().stdout
    (task,) = desk.lines()
    assert task["overdue"] is True
    assert task["due_at"].startswith("2026-11-30T19:00:")
    assert clock.now().year == 2026
    assert ", 2:00 pm, overdue" in desk("show", 1).stdout


def test_that_somebody_read_a_task_is_put_on_record(desk):
    import sqlalchemy as sa

    from reminders.store.database import schema

    desk.clinic.text("call me about oranges", STRANGER)
    desk("show", 1)
    desk("list")
    audit = schema.audit
    rows = desk.clinic.context.database.read(
        lambda tx: tx.all(sa.select(audit).where(audit.c.what == "task read", audit.c.row_id == 1))
    )
    assert [row.who.startswith("cli") for row in rows] == [True]
