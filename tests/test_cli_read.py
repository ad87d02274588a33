"""`reminders read`: what files hold, printed and not stored, without a database and without keys."""

import json
import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from reminders.cli import app
from reminders.intake import confined
from reminders.intake.formats import Given
from reminders.plans import Known

SHEET = "Appointment ID,MRN,Name,Cell,Date,Time,Status\nA1,1042,Jordan Alvarez,2025550143,12/13/2026,3p,Scheduled\n"


def run(*arguments):
    return CliRunner().invoke(app, ["read", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REMINDERS_SETTINGS", raising=False)
    return tmp_path


def test_read_prints_arrivals_then_problems_then_questions_and_stores_nothing(folder):
    (folder / "good.csv").write_text(SHEET)
    (folder / "bad.csv").write_text("MRN,Date,Time,Status\n1,2026-12-03,soon,Scheduled\n2,2026-12-03,3pm,Whatever\n")
    found = run("bad.csv", "good.csv", "--json", "--zone", "America/Chicago")
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert [line["what"] for line in lines] == ["visit", "problem", "question"]
    visit = lines[0]
    wanted = {
        "file": "good.csv", "place": "row 2", "id": "A1", "occurrence": None, "patient": "1042", "start": "2026-12-13T15:00",
        "zone": "America/Chicago", "minutes": None, "status": "booked", "how": "in_person",
    }  # fmt: skip
    assert {key: visit[key] for key in wanted} == wanted
    assert {key: lines[1][key] for key in ("file", "place", "column")} == {
        "file": "bad.csv",
        "place": "row 2",
        "column": "Time",
    }
    assert lines[2]["choices"]
    assert found.exit_code == 1
    assert sorted(path.name for path in folder.iterdir()) == ["bad.csv", "good.csv"]


def test_read_ends_with_0_where_all_was_read_and_with_3_where_there_is_no_file(folder):
    (folder / "good.csv").write_text(SHEET)
    assert run("good.csv", "--json").exit_code == 0
    assert run("good.csv").exit_code == 0
    missing = run("good.csv", "none.csv", "--json")
    assert missing.exit_code == 3
    assert len(missing.stdout.splitlines()) == 1
    os.mkfifo(folder / "pipe.csv")
    assert "a pipe" in json.loads(run("pipe.csv", "--json").stdout)["problem"]
    assert run("good.csv", "--as", "nothing").exit_code == 2
    assert run("good.csv", "--zone", "EST").exit_code == 2


def test_read_takes_plan_files_and_says_the_place_of_what_is_wrong(folder):
    plan = {
        "plan": {"ref": "P1", "discharged_on": "2026-12-01", "site": "elsewhere"},
        "patient": {"ref": "M1", "name": "Jordan Alvarez", "phone": "202-555-0143"},
        "series": [{"key": "one", "kind": "psychiatry", "starts": "2026-12-05T10:00", "minutes": 30}],
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    found = run("plan.json", "--json")
    line = json.loads(found.stdout)
    assert (line["what"], line["id"], line["patient"], line["start"]) == ("plan", "P1", "M1", "2026-12-05T10:00")
    assert found.exit_code == 0
    plan["series"][0]["kind"] = "nothing"
    (folder / "plan.json").write_text(json.dumps(plan))
    line = json.loads(run("plan.json", "--json").stdout)
    assert (line["what"], line["place"]) == ("problem", "series[0].kind")


def given():
    known = Known(
        today=__import__("datetime").date(2026, 12, 1), languages=frozenset({"en"}), zone="America/New_York", site="main",
        sites=frozenset({"main"}), fictional_numbers=True,
    )  # fmt: skip
    return Given(known=known)


HOSTILE = """
import sys
from reminders.intake import confined
confined._confine()
try:
    {}
except (OSError, MemoryError) as error:
    print(type(error).__name__)
    raise SystemExit(9)
"""


@pytest.mark.parametrize(
    ("deed", "ends"),
    [
        ("import socket; socket.create_connection(('127.0.0.1', 9))", "PermissionError"),
        ("import subprocess; subprocess.run(['true'])", "PermissionError"),
        ("bytearray(600_000_000)", "MemoryError"),
        ("open('left-behind', 'wb').write(b'x'); raise OSError", "OSError"),
    ],
)
def test_a_reader_has_no_network_no_programs_and_little_memory(folder, deed, ends):
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE.format(deed)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.stdout.strip() == ends, done.stderr
    assert not (folder / "left-behind").exists() or not (folder / "left-behind").read_bytes()


def test_what_a_reader_does_not_survive_is_a_problem_of_the_file(monkeypatch):
    monkeypatch.setattr(confined, "PATIENCE", 0.01)
    (problem,) = confined.read_confined(b"MRN,Date\n", "a.csv", given())
    assert (problem["what"], problem["place"]) == ("problem", "file")
    assert "512 MB" in problem["problem"]
