"""Field reports 5, 6, 7, 13 and 15 and screens 32 at the entry points: the command line, the API and the form."""

import json
import shutil
from datetime import timedelta

import pytest
from api_caller import Program, make_key
from conftest import NOW, open_context
from people import one_off, raw
from test_cli import Terminal
from test_pages_plans import form
from web_caller import Caller

from reminders import clock, store
from reminders.service.people import phone_numbers
from reminders.service.people.reader_case import Whom

NEW, OTHER = "+12025550166", "202-555-0177"
REPLACED = "the patient, the number: the file's new value replaces what was changed here since"
ANOTHER = {"name": "Robin Chen", "phone": "202-555-0188"}
MONTHLY = [one_off("visit", "2026-12-31T10:00:00", repeats="FREQ=MONTHLY")]


@pytest.fixture
def run(database_url, tmp_path, monkeypatch, travel):
    return Terminal(database_url, tmp_path, monkeypatch)


@pytest.fixture
def api(context, travel):
    return Program(context, make_key(context))


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    shutil.copy(sqlite_template, tmp_path / "here.db")
    context = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    context.database.write(lambda tx: store.people.keep_default_site(tx, context.settings, NOW))
    yield context
    context.close()


def file(run, name="plan.json", **changes):
    path = run.folder / name
    path.write_text(json.dumps(raw(**changes)), encoding="utf-8")
    return path


def test_field_report_5_the_command_line_says_that_a_file_replaces_a_newer_number(run):
    run("import", file(run))
    run("people", "number", "MRN-1", NEW)
    said = run.json("import", file(run, patient={"phone": OTHER}))
    assert {"plan": "DC-1", "note": REPLACED} in said["notes"]


def test_field_report_5_the_api_says_that_a_plan_replaces_a_newer_number(api, context):
    assert api.post("/plans", raw()).status_code == 201
    phone_numbers.new_number(context, Whom("MRN-1"), NEW, NOW, who="test")
    said = api.post("/plans", raw(patient={"phone": OTHER})).json()
    assert REPLACED in said["notes"]
    assert REPLACED in said["note"]


def test_field_report_6_the_command_line_refuses_another_person(run):
    run("import", file(run))
    said = run.json("import", file(run, patient=ANOTHER), code=1)
    assert [one["where"] for one in said["refused"]] == ["patient.ref"]
    assert run.json("import", file(run, patient=ANOTHER | {"same_person": True}))["accepted"] == 1


def test_field_report_6_the_api_refuses_another_person(api):
    api.post("/plans", raw())
    refused = api.post("/plans", raw(patient=ANOTHER))
    assert refused.status_code == 422
    assert [one["where"] for one in refused.json()["errors"]] == ["patient.ref"]
    assert api.post("/plans", raw(patient=ANOTHER | {"same_person": True})).status_code == 200


def test_field_report_6_the_form_asks_for_the_same_person_only_where_it_refuses(here):
    ana = Caller(here, role="coordinator")
    assert "It is the same person" not in ana.get("/plans/new").text
    one = [("patient.ref", "MRN-1"), ("patient.name", "Jordan Alvarez"), ("patient.phone", "202-555-0143")]
    ana.post("/plans/new", form(*one))
    other = [("patient.ref", "MRN-1"), ("patient.name", "Robin Chen"), ("patient.phone", "202-555-0188")]
    refused = ana.post("/plans/new", form(*other, ("plan.ref", "DC-OTHER"), ("plan.stands", "alongside")))
    assert "It is the same person" in refused.text


@pytest.mark.parametrize("door", ["import", "preview"])
def test_field_report_7_the_command_line_refuses_a_plus_without_the_1(run, door):
    done = run(door, file(run, patient={"phone": "+479 555 0143"}), code=1)
    assert "two ways" in done.stdout + done.stderr
    assert "479 555" not in done.stdout + done.stderr


def test_field_report_7_the_api_refuses_a_plus_without_the_1(api):
    refused = api.post("/plans", raw(patient={"phone": "+479 555 0143"}))
    assert refused.status_code == 422
    assert "two ways" in refused.json()["errors"][0]["problem"]
    assert "479" not in refused.text


def test_field_report_13_the_command_line_refuses_one_plan_in_two_files(run):
    files = file(run, "a.json"), file(run, "b.json", patient={"language": "es"})
    said = run.json("import", *files, code=1)
    assert (said["accepted"], len(said["refused"])) == (0, 2)
    assert "b.json" in said["refused"][0]["problem"]


def test_field_report_15_the_command_line_notes_a_rule_that_leaves_months_out(run):
    path = file(run, series=MONTHLY)
    said = run.json("import", path, "--dry-run")
    assert any("no date in February" in one["note"] for one in said["notes"])
    done = run("import", path)
    assert "no date in February" in " ".join((done.stdout + done.stderr).split())


def test_field_report_15_the_api_notes_a_rule_that_leaves_months_out(api):
    said = api.post("/plans", raw(series=MONTHLY)).json()
    assert any("no date in February" in note for note in said["notes"])


def test_screens_32_a_preview_shows_the_welcome_when_it_goes(run):
    clock.correct(NOW + timedelta(hours=12) - clock.machine())  # 22:00 in New York
    run.set(REMINDERS_SENDING__WELCOME="true")
    path = file(run)
    (welcome,) = [text for text in run.json("preview", path) if text["class"] == "welcome"]
    assert welcome["goes_at"] > welcome["opens_at"]
    shown = " ".join(run("preview", path).stdout.split())
    assert "Tue, Dec 1, 2026, 9:00 am self Oak Street Office: You will get t" in shown
    assert "22:00" not in shown
