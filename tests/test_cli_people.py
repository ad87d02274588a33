"""The commands about people and visits: their output, their exit codes, and what they record."""

import json
import logging
import shutil
from datetime import timedelta

import pytest
from conftest import NOW
from people import raw
from test_cli import Terminal

from reminders import clock


@pytest.fixture(autouse=True)  # ruff: ignore[pytest-fixture-autouse]  every command touches the root logger
def _logging_of_the_tests():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def run(sqlite_template, tmp_path, monkeypatch):
    """Commands on a Monday morning, with two patients of one group session on Thursday."""
    clock.correct(NOW - clock.machine())
    shutil.copy(sqlite_template, tmp_path / "reminders.db")
    terminal = Terminal(f"sqlite:///{tmp_path / 'reminders.db'}", tmp_path, monkeypatch)
    terminal.set(REMINDERS_SENDING__WELCOME="false")
    for number in (1, 2):
        document = raw(
            plan={"ref": f"DC-{number}"},
            patient={"ref": f"MRN-{number}", "phone": f"202-555-{120 + number:04d}"},
            series=[
                {
                    "key": "group",
                    "kind": "therapy_group",
                    "starts": "2026-12-03T18:00:00",
                    "session": "oak-group",
                },
                {"key": "family", "kind": "family_session", "starts": "2026-12-08T15:00:00"},
            ],
        )
        (tmp_path / f"{number}.json").write_text(json.dumps(document), encoding="utf-8")
    terminal("import", "1.json", "2.json")
    clock.correct(NOW + timedelta(minutes=20) - clock.machine())
    return terminal


CONSENT = (
    "--said", "yes", "--on", "2026-11-30", "--how", "signed form", "--by", "A. Reyes", "--categories", "appointments",
    "--warned-of-risk",
)  # fmt: skip


def test_a_session_is_moved_shown_and_put_back(run):
    moved = run.json("sessions", "move", "oak-group", "2026-12-03", "--to", "2026-12-04T18:00")
    assert moved == {"texts": {"added": 8, "moved": 0, "retracted": 6}}
    for day in ("2026-12-03", "2026-12-04"):
        lines = run.lines("sessions", "show", "oak-group", day)
        assert [(line["patient"], line["recipient"], line["told"], line["state"]) for line in lines] == [
            ("MRN-1", "self", "on its way", "scheduled"),
            ("MRN-2", "self", "on its way", "scheduled"),
        ]
        assert {line["local"] for line in lines} == {"2026-12-04T18:00:00"}
        assert all(line["text"].isdigit() for line in lines)
    assert "on its way" in run("sessions", "show", "oak-group", "2026-12-03").stdout
    undone = run.json("sessions", "undo", "oak-group", "2026-12-04")
    assert undone == {"texts": {"added": 6, "moved": 0, "retracted": 8}}
    again = run("sessions", "undo", "oak-group", "2026-12-03", code=1)
    assert "taken back already" in again.stderr
    run("sessions", "show", "oak-group", "2026-12-09", code=3)
    run("sessions", "undo", "nobody", "2026-12-03", code=3)
    assert "called off for everyone" in run("sessions", "cancel", "oak-group", "2026-12-03").stderr
    assert "Status" not in run("sessions", "show", "oak-group", "2026-12-03").stderr


def test_one_visit_is_moved_and_called_off(run):
    assert run.json("appointments", "move", "DC-1", "group", "2026-12-03", "--to", "2026-12-04T18:00") == {
        "texts": {"added": 4, "moved": 0, "retracted": 3}
    }
    assert (
        "has passed"
        in run("appointments", "move", "DC-1", "group", "2026-12-04", "--to", "2026-11-01T18:00", code=1).stderr
    )
    assert run.json("appointments", "cancel", "DC-1", "group", "2026-12-04")["texts"]["retracted"] > 0
    run("appointments", "cancel", "DC-1", "group", "2026-12-04", code=3)
    run("appointments", "cancel", "DC-9", "group", "2026-12-03", code=3)
    run("appointments", "move", "DC-1", "group", "2026-12-03", code=2)


def test_attendance_by_visit_by_session_and_what_is_left_to_mark(run):
    assert "not begun" in run("attendance", "mark", "DC-1", "group", "2026-12-03", "missed", code=1).stderr
    clock.correct(NOW + timedelta(days=3, hours=9) - clock.machine())  # Thursday 19:00
    assert [line["patient"] for line in run.lines("attendance", "list")] == ["MRN-1", "MRN-2"]
    done = run.json("attendance", "mark", "DC-1", "group", "2026-12-03", "missed")
    assert (done["mark"], done["text"], done["call"]) == ("missed", "scheduled", True)
    said = run("attendance", "session", "oak-group", "2026-12-03", "--late", "MRN-1", "--missed", "MRN-2")
    assert "MRN-1, group@once: late." in said.stderr
    assert "MRN-2, group@once: missed. A text without blame goes Fri, Dec 4, 2026, 9:00 am. There" in said.stderr
    assert run.lines("attendance", "list") == []
    assert "Every visit" in run("attendance", "list").stderr
    assert "MRN-7" in run("attendance", "session", "oak-group", "2026-12-03", "--missed", "MRN-7", code=1).stderr
    run("attendance", "mark", "DC-1", "group", "2026-12-03", "came", code=2)
    run("attendance", "mark", "DC-1", "group", "2026-12-20", "missed", code=3)
    run("attendance", "session", "oak-group", "2026-12-20", code=3)
    tasks = run.lines("tasks", "list")
    assert [task["kind"] for task in tasks if task["kind"] == "missed"] == ["missed"]


def test_a_new_number_and_what_stands_in_its_way(run):
    without = run("people", "number", "MRN-1", "202-555-0150")
    assert "no consent for the new number" in without.stderr
    shown = run.json("people", "show", "MRN-1")
    assert [(one["key"], one["to"][-4:], one["why_not"]) for one in shown["recipients"]] == [
        ("self", "0150", "there is no consent in force")
    ]
    assert [task["kind"] for task in shown["tasks"]] == ["no_consent"]
    said = run.json("people", "consent", "MRN-1", *CONSENT)
    assert said["texts"]["added"] > 0
    assert run.json("people", "show", "MRN-1")["recipients"][0]["why_not"] is None
    refused = run("people", "number", "MRN-1", "555", code=1)
    assert "number.phone:" in refused.stderr
    assert "5550" not in refused.stderr
    run("people", "number", "MRN-9", "202-555-0151", code=3)
    assert "consent.categories" in run("people", "consent", "MRN-1", "--said", "yes", code=1).stderr


def test_a_patient_is_shown_to_people_too(run):
    shown = run("people", "show", "MRN-1")
    assert "Jordan Alvarez" in shown.stdout
    assert "Jordan" not in shown.stderr  # which may be a log
    assert "0121" in shown.stdout
    assert "2025550121" not in shown.stdout + shown.stderr
    assert "texts go" in shown.stdout
    assert "group@once" in shown.stdout
    run("people", "show", "MRN-9", code=3)


def test_a_no_at_the_front_desk(run):
    done = run.json(
        "people", "opt-out", "MRN-1", "--how", "voicemail", "--by", "A. Reyes", "--received", "2026-11-20T09:00"
    )
    assert done["honour_by"] == "2026-12-07"
    assert done["texts"]["retracted"] > 0
    assert "until 2026-12-14" in run("people", "opt-out", "MRN-2", "--how", "e-mail", "--by", "A. Reyes").stderr
    run("people", "opt-out", "MRN-1", "--how", "x", "--by", "y", "--received", "soon", code=2)
    assert run.json("people", "consent", "MRN-1", *CONSENT)["texts"]["added"] > 0


def test_wrong_and_right_after_all_and_verified(run):
    assert "Nothing more goes" in run("people", "wrong", "MRN-1").stderr
    assert "marked as a wrong one" in run("people", "verify", "MRN-1", code=1).stderr
    assert run.json("people", "wrong", "MRN-1", "--undo")["texts"]["added"] > 0
    assert run.json("people", "verify", "MRN-1", "--how", "read aloud")["notes"] == []


def test_family_comes_and_goes(run):
    person = (
        "people",
        "add",
        "MRN-1",
        "sister",
        "(202) 555-0144",
        "--part2-consent-on",
        "2026-11-29",
        "--language",
        "es",
    )
    hers = (
        "--said",
        "yes",
        "--on",
        "2026-11-29",
        "--how",
        "signed form",
        "--by",
        "A. Reyes",
        "--verified",
        "read aloud",
    )
    assert run.json(*person, *hers)["texts"]["added"] == 3
    assert "sister (supporter)" in run("people", "show", "MRN-1").stdout
    assert "gets texts already" in run(*person, code=1).stderr
    assert run.json("people", "remove", "MRN-1", "sister", "--by-patient")["texts"] == {
        "added": 0,
        "moved": 0,
        "retracted": 3,
    }
    run("people", "remove", "MRN-1", "brother", code=3)
    assert "recipient.role" in run(*person[:3], "aunt", "202-555-0145", *person[5:], "--role", "aunt", code=1).stderr


def test_a_text_in_words_of_ones_own(run):
    shown = run("people", "say", "MRN-1", "The side door is open \u2013 see you soon.", "--dry-run")
    assert shown.stdout == "The side door is open - see you soon.\n"
    assert "1 segments (GSM-7)" in shown.stderr
    assert [text for text in run.lines("log") if text["class"] == "staff"] == []
    done = run.json("people", "say", "MRN-1", "The side door is open.")
    assert done["text"] in {text["text"] for text in run.lines("log") if text["class"] == "staff"}
    refused = run("people", "say", "MRN-1", "Your detox papers are ready", code=1)
    assert "tells what kind of care" in refused.stderr
    run("people", "say", "MRN-9", "Hello.", code=3)


def test_the_card_is_printed(run):
    card = run("people", "card", "MRN-1").stdout
    assert "STOP" in card
    assert "Jordan" not in card
    run("people", "card", "MRN-1", "--recipient", "brother", code=3)


def test_a_transfer_needs_another_site_of_ours(run):
    assert "no other site" in run("plans", "transfer", "DC-1", "--to", "north", code=1).stderr
    run("plans", "transfer", "DC-9", "--to", "north", code=3)


def test_who_died_has_no_plan_any_more(run):
    assert run.json("plans", "end", "DC-1", "--because", "died")["texts"]["retracted"] > 0
    assert [text for text in run.lines("log", "--patient", "MRN-1") if text["state"] == "scheduled"] == []
    assert "death" in run("people", "say", "MRN-1", "Hello.", code=1).stderr


def test_l58_a_person_is_erased_unless_there_is_a_legal_hold(run):
    assert run.json("people", "hold", "MRN-1") == {"hold": True, "changed": True}
    assert "legal hold" in run("people", "erase", "MRN-1", "--yes", code=1).stderr
    assert "no longer" in run("people", "hold", "MRN-1", "--ended").stderr
    assert "--yes" in run("people", "erase", "MRN-1", code=1).stderr
    done = run.json("people", "erase", "MRN-1", "--yes")
    assert done["erased"].startswith("erased-")
    assert done["texts"]["retracted"] > 0
    for again in (("erase", "MRN-1", "--yes"), ("hold", "MRN-1"), ("show", "MRN-1")):
        run("people", *again, code=3)
    assert json.loads(run("people", "show", done["erased"], "--json").stdout)["name"] is None
