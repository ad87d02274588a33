"""The command line for programs and people: exit codes, streams, JSON, refusals (README.md#commands)."""

import base64
import csv
import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import KEYS, environment, free_port, open_context
from hypothesis import example, given
from hypothesis import strategies as st
from people import raw
from typer.main import get_command
from typer.testing import CliRunner

from reminders import clock, store
from reminders.__main__ import commands as every_command
from reminders.lifecycle import State
from reminders.plans import ENDINGS, to_wall
from reminders.queries.exports import PART_2_NOTICE, harmless
from reminders.service.operations import runs
from reminders.store.database import schema

ROOT = Path(__file__).resolve().parents[1]
ZONE = "America/New_York"
NOTHING = ""  # on a stream
COMMANDS = {
    "migrate", "import", "read", "preview", "send", "settle", "log", "stats", "costs", "status", "oncall test",
    "plans pause", "plans resume", "plans end",
    "pause", "resume", "programs", "sessions move", "sessions cancel", "sessions show", "sessions undo",
    "plans transfer", "appointments move", "appointments cancel",
    "attendance mark", "attendance session", "attendance list",
    "people show", "people card", "people say", "people number", "people verify", "people consent", "people opt-out",
    "people wrong", "people add", "people remove", "people hold", "people erase",
    "people export", "site export", "site schema",
    "tasks list", "tasks show", "tasks take", "tasks note", "tasks close", "tasks let-go",
    "replies marks", "backup", "restore", "restored show", "restored release", "restored drop", "calls",
    "backlog show", "backlog release", "backlog drop",
    "doctor", "settings", "simulator", "web", "demo", "keys make", "keys rotate",
    "api-keys make", "api-keys list", "api-keys end",
    "audit list", "audit verify", "audit head",
    "users add", "users list", "users role", "users reset", "users end",
}  # fmt: skip


@pytest.fixture(autouse=True)  # ruff: ignore[pytest-fixture-autouse]  every command touches the root logger
def _logging_of_the_tests():
    """Commands set up logging for their whole process, which here is the tests'."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def sqlite_url(tmp_path, sqlite_template):
    path = tmp_path / "reminders.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


class Terminal:
    """Runs commands in this process, on one database, in their own folder."""

    def __init__(self, url, folder, monkeypatch):
        self.url, self.folder, self._patch = url, folder, monkeypatch
        monkeypatch.chdir(folder)
        for name in list(os.environ):
            if name.startswith(("REMINDERS_", "TWILIO_")) or name in {"DATABASE_URL", "PORT"}:
                monkeypatch.delenv(name)
        self.set(**environment(url, sending__welcome="false"))  # as in conftest: most are about reminders

    def set(self, **variables):
        for name, value in variables.items():
            self._patch.setenv(name, value)

    def __call__(self, *arguments, code=0):
        result = CliRunner().invoke(every_command(), [str(argument) for argument in arguments], catch_exceptions=False)
        assert result.exit_code == code, (result.exit_code, result.stdout, result.stderr)
        return result

    def json(self, *arguments, code=0):
        return json.loads(self(*arguments, "--json", code=code).stdout)

    def lines(self, *arguments):
        return [json.loads(line) for line in self(*arguments, "--json").stdout.splitlines()]

    def rows(self):
        """How many rows there are about people and plans."""
        context = open_context(self.url, self.folder)
        try:
            return {
                name: count
                for name, table in schema.metadata.tables.items()
                if name not in {"keys", "sites", "senders", "job_runs", "shapes"}
                and (
                    count := context.database.read(
                        lambda tx, t=table: tx.value(sa.select(sa.func.count()).select_from(t))
                    )
                )
            }
        finally:
            context.close()


@pytest.fixture
def run(sqlite_url, tmp_path, monkeypatch):
    return Terminal(sqlite_url, tmp_path, monkeypatch)


@pytest.fixture
def run_both(database_url, tmp_path, monkeypatch):
    return Terminal(database_url, tmp_path, monkeypatch)


def plan_file(folder, name="plan.json", *, ref="DC-1", phone="(202) 555-0143", minutes=None, lead="1h", **changes):
    """A plan file with one visit: that many `minutes` from now, or in five days at 15:00."""
    now = to_wall(clock.now(), ZONE)
    visit = now + timedelta(minutes=minutes) if minutes else (now + timedelta(days=5)).replace(hour=15, minute=0)
    tables = {
        "plan": {"ref": ref, "discharged_on": f"{now - timedelta(days=1):%Y-%m-%d}"},
        "patient": {"ref": f"MRN-{ref}", "phone": phone},
        "consent": {"on": f"{now - timedelta(days=2):%Y-%m-%d}"},
        "series": [
            {
                "key": "therapy",
                "kind": "therapy_individual",
                "starts": f"{visit:%Y-%m-%dT%H:%M:00}",
                "minutes": 50,
                **({"leads": [lead]} if minutes else {}),
            }
        ],
    }
    for table, values in changes.items():
        tables[table] = tables[table] | values if isinstance(values, dict) else values
    document = raw(**tables)
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


# What there is


def commands(group, before=""):
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def test_every_command_of_the_contract_is_there_with_a_line_about_it():
    found = dict(commands(get_command(every_command())))
    assert set(found) == COMMANDS
    for name, command in found.items():
        first, _, rest = command.help.partition("\n")
        assert first.endswith("."), name
        assert len(first) <= 66, f"{name}: does not fit one line of --help at 80 columns"
        assert not rest or rest.startswith("\n"), name


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_each_command(name, run):
    shown = run(*name.split(), "--help")
    assert "Usage:" in shown.stdout
    assert shown.stderr == NOTHING
    assert run.rows() == {}
    if name == "plans end":
        assert all(ending in shown.stdout for ending in ENDINGS)
    if name in COMMANDS - {"simulator", "web", "demo", "keys make"}:
        assert "--json" in shown.stdout


def test_version(run):
    assert re.fullmatch(r"reminders \d+\.\d+\.\d+\n", run("--version").stdout)


def test_a_wrong_choice_names_the_right_ones(run):
    shown = run("log", "--state", "lost", code=2).stderr
    assert all(state.value in shown for state in State)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["plans"],
        ["import"],
        ["import", "x.toml", "--nonsense"],
        ["log", "--state", "lost"],
        ["log", "--since", "yesterday"],
        ["log", "--since", "0001-01-01"],
        ["log", "--limit", "0"],
        ["log", "--code", "x"],
        ["log", "--json", "--csv"],
        ["plans", "end", "DC-1", "--because", "tired"],
        ["simulator", "--port", "70000"],
    ],
)
def test_wrong_usage_ends_with_2(arguments, run):
    assert run(*arguments, code=2).stdout == NOTHING or not arguments[1:]


def test_importing_the_commands_imports_nothing_heavy():
    code = (
        "import sys, reminders.cli\n"
        "print({'sqlalchemy', 'alembic', 'twilio', 'pycurl', 'fastapi', 'uvicorn', 'phonenumbers'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


# import


def test_import_tells_programs_exactly_what_the_contract_says(run_both):
    good, bad = plan_file(run_both.folder), run_both.folder / "bad.toml"
    bad.write_text("[plan\n", encoding="utf-8")
    first = run_both.json("import", good, bad, code=1)
    assert set(first) == {"accepted", "unchanged", "refused", "texts", "notes"}  # notes: ours, added freely
    assert (first["accepted"], first["unchanged"]) == (1, 0)
    assert [set(one) for one in first["refused"]] == [{"file", "where", "problem"}]
    assert first["refused"][0]["file"] == str(bad)
    assert first["texts"] == {"added": 3, "moved": 0, "retracted": 0}
    before = run_both.rows()
    assert run_both.json("import", good) == {
        "accepted": 0,
        "unchanged": 1,
        "refused": [],
        "texts": {"added": 0, "moved": 0, "retracted": 0},
        "notes": [],
    }
    assert run_both.rows() == before


def test_a_changed_plan_moves_its_texts(run):
    run("import", plan_file(run.folder))
    day = (to_wall(clock.now(), ZONE) + timedelta(days=5)).replace(hour=14, minute=30)
    series = [{"key": "therapy", "kind": "therapy_individual", "starts": f"{day:%Y-%m-%dT%H:%M:00}", "minutes": 50}]
    changed = run.json("import", plan_file(run.folder, series=series))
    assert changed["accepted"] == 1
    assert changed["texts"]["added"] == changed["texts"]["retracted"] == 0
    assert changed["texts"]["moved"] >= 1


def test_dry_run_keeps_nothing(run_both):
    good = plan_file(run_both.folder)
    said = run_both.json("import", good, "--dry-run")
    assert (said["accepted"], said["texts"]["added"]) == (1, 3)
    assert run_both.rows() == {}
    assert "Would be accepted: 1" in run_both("import", good, "--dry-run").stderr


def test_all_or_nothing_refuses_the_good_with_the_bad(run_both):
    good, bad = plan_file(run_both.folder, "a.json"), run_both.folder / "b.toml"
    bad.write_text("", encoding="utf-8")
    said = run_both.json("import", good, bad, "--all-or-nothing", code=1)
    assert (said["accepted"], len(said["refused"])) == (0, 1)
    assert run_both.rows() == {}
    # Even if the second one is refused only because of what the first one does in the database.
    other = plan_file(run_both.folder, "c.json", ref="DC-2", patient={"ref": "MRN-DC-1"})
    said = run_both.json("import", good, other, "--all-or-nothing", code=1)
    assert (said["accepted"], said["refused"][0]["where"]) == (0, "plan")
    assert run_both.rows() == {}
    assert run_both.json("import", good, other, code=1)["accepted"] == 1


def test_a_folder_means_the_plan_files_in_it(run):
    folder = run.folder / "plans"
    folder.mkdir()
    plan_file(folder, "one.json", ref="DC-1")
    plan_file(folder, "two.json", ref="DC-2", phone="(202) 555-0144")
    (folder / "notes.txt").write_text("no plan", encoding="utf-8")
    assert run.json("import", "plans")["accepted"] == 2


def test_a_missing_file_ends_with_3_and_nothing_is_taken_in(run):
    good = plan_file(run.folder)
    shown = run("import", good, "none.toml", "--json", code=3)
    assert shown.stdout == NOTHING
    assert "none.toml" in shown.stderr
    assert run.rows() == {}


def old(**changes):
    """A plan document with a consent in the past, and with changes."""
    return raw(**{**changes, "consent": {"on": "2026-01-05", **changes.get("consent", {})}})


GOOD = json.dumps(old())
TOML = """
[plan]
ref = "DC-1"
discharged_on = 2026-11-30
[patient]
ref = "MRN-1"
name = "Jordan Alvarez"
phone = "(202) 555-0143"
[consent]
said = "yes"
on = 2026-01-05
how = "signed form"
by = "A. Reyes"
categories = ["appointments"]
warned_of_risk = true
[[series]]
key = "therapy"
kind = "therapy_individual"
starts = 2026-12-03T15:00:00
"""
SERIES = old()["series"][0]
BAD = {
    "broken TOML": ("p.toml", TOML + "\nname = \n", r"line \d+", "not valid TOML"),
    "broken JSON": ("p.json", GOOD[:-2], r"line \d+", "not valid JSON"),
    "an impossible date in TOML": ("p.toml", TOML.replace("2026-12-03", "2026-02-30"), r"line \d+", "no such date"),
    "an empty file": ("p.toml", "", "file", "empty"),
    "another kind of file": ("p.xlsx", "PK", "file", "must be a .toml or .json file"),
    "UTF-16": ("p.toml", TOML.encode("utf-16"), "file", "UTF-16"),
    "Latin-1": ("p.toml", TOML.replace("Jordan", "Jörg").encode("latin-1"), r"line \d+", "UTF-8"),
    "50 MB": ("p.toml", b"# " + b"x" * 50_000_000, "file", "larger than a megabyte"),
    "an unknown key": ("p.json", old(patient={"phnoe": "1"}), "patient.phnoe", "phone"),
    "an unknown table": ("p.json", old(patients={}), "patients", "patient"),
    "an impossible date": ("p.json", old(plan={"discharged_on": "2026-02-30"}), "plan.discharged_on", "no such date"),
    "a phone that is none": ("p.json", old(patient={"phone": "call me"}), "patient.phone", "phone number"),
    "a number in use nowhere": ("p.json", old(patient={"phone": "+1 999 999 9999"}), "patient.phone", "in use"),
    "an unknown zone": ("p.json", old(patient={"zone": "New York"}), "patient.zone", "America/New_York"),
    "an unknown kind": (
        "p.json",
        old(series=[{**SERIES, "kind": "therapy_grop"}]),
        r"series\[0\].kind",
        "did you mean therapy_group?",
    ),
    "an unknown program": ("p.json", old(plan={"program": "matrix"}), "plan.program", "matrix-iop"),
    "an unknown language": ("p.json", old(patient={"language": "fr"}), "patient.language", "en, es"),
    "an unknown site": ("p.json", old(plan={"site": "mian"}), "plan.site", "main"),
    "a rule finer than a day": (
        "p.json",
        old(series=[{**SERIES, "repeats": "FREQ=HOURLY;COUNT=3"}]),
        r"series\[0\].repeats",
        "day",
    ),
    "two series with one key": ("p.json", old(series=[SERIES, SERIES]), r"series\[1\].key", "therapy|same|twice"),
    "consent in the future": ("p.json", old(consent={"on": "2199-01-01"}), "consent.on", "future"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_with_place_and_problem_and_nothing_is_stored(name, run):
    file, content, where, word = BAD[name]
    text = json.dumps(content) if isinstance(content, dict) else content
    path = run.folder / file
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    imported = run("import", path, code=1)
    previewed = run("preview", path, code=1)
    for shown in (imported, previewed):
        assert shown.stdout == NOTHING
        assert re.search(rf"{re.escape(str(path))}: {where}[^:]*: .*({word})", shown.stderr), shown.stderr
        assert "Jordan" not in shown.stderr
        assert "555" not in shown.stderr
    refused = run.json("import", path, code=1)["refused"]
    assert all(one["file"] == str(path) for one in refused)
    assert any(re.match(where, one["where"]) and re.search(word, one["problem"]) for one in refused)
    assert run.rows() == {}


def test_every_problem_of_a_plan_is_told_at_once(run):
    path = run.folder / "p.json"
    wrong = old(patient={"phone": "1", "zone": "x"}, series=[{**SERIES, "kind": "yoga"}])
    path.write_text(json.dumps(wrong), encoding="utf-8")
    refused = run.json("import", path, code=1)["refused"]
    assert {one["where"] for one in refused} == {"patient.phone", "patient.zone", "series[0].kind"}


# preview


def test_a_preview_is_what_is_stored(run_both):
    path = plan_file(run_both.folder)
    before = run_both.json("preview", path)
    assert run_both.rows() == {}
    run_both("import", path)
    assert run_both.json("preview", "DC-1") == before
    assert len(before) == 3
    for text in before:
        assert set(text) >= {
            "key", "class", "recipient", "opens_at", "closes_at", "local", "zone", "goes", "reason", "text",
            "segments", "encoding", "appointments",
        }  # fmt: skip
        assert (text["goes"], text["reason"], text["class"], text["recipient"]) == (True, None, "reminder", "self")
        assert (text["zone"], text["segments"], text["encoding"]) == (ZONE, 1, "GSM-7")
        assert datetime.fromisoformat(text["opens_at"]).tzinfo is not None
        wall = to_wall(datetime.fromisoformat(text["opens_at"]), ZONE)
        assert datetime.fromisoformat(text["local"]).replace(tzinfo=None) == wall.replace(tzinfo=None)
        assert text["text"].startswith("Oak Street Office: ")
        assert len(text["appointments"]) == 1
    shown = run_both("preview", path)
    assert before[0]["text"] in shown.stdout


def test_a_preview_says_why_a_text_does_not_go(run):
    path = plan_file(run.folder, consent={"said": "no"})
    texts = run.json("preview", path)
    assert {(text["goes"], text["reason"]) for text in texts} == {(False, "no_consent")}
    assert "there is no consent in force" in run("preview", path).stdout


def test_a_preview_of_nothing_ends_with_3(run):
    for name in ("DC-404", "none.toml", "."):
        assert run("preview", name, code=3).stdout == NOTHING


def test_a_reference_may_look_like_a_files_name(run):
    run("import", plan_file(run.folder, "plan.json", ref="DC-7.json"))
    assert len(run.json("preview", "DC-7.json")) == 3


# plans, sites


def test_plans_are_paused_resumed_and_ended(run_both):
    run_both("import", plan_file(run_both.folder))
    assert run_both.json("plans", "pause", "DC-1") == {"texts": {"added": 0, "moved": 0, "retracted": 3}}
    assert run_both.json("plans", "pause", "DC-1") == {"texts": {"added": 0, "moved": 0, "retracted": 0}}
    assert run_both.json("plans", "resume", "DC-1") == {"texts": {"added": 3, "moved": 0, "retracted": 0}}
    assert run_both.json("plans", "end", "DC-1", "--because", "completed")["texts"]["retracted"] == 3
    assert "has ended" in run_both("plans", "resume", "DC-1", code=1).stderr
    assert "DC-1 has ended. Texts added: 0, moved: 0, retracted: 0." in run_both("plans", "end", "DC-1").stderr


@pytest.mark.parametrize("verb", ["pause", "resume", "end"])
def test_a_plan_there_is_not_ends_with_3(verb, run):
    assert "DC-404" in run("plans", verb, "DC-404", code=3).stderr


def test_a_site_is_paused_and_resumed(run):
    assert run.json("pause")["changed"] is True
    assert run.json("pause", "--site", "main")["changed"] is False
    assert "paused for the site main" in run("status", code=1).stderr
    assert run.json("resume")["changed"] is True
    assert "elsewhere" in run("pause", "--site", "elsewhere", code=3).stderr


# status, doctor, migrate


def test_status_when_nothing_ever_ran(run_both):
    shown = run_both("status", code=1)
    assert "python -m jobs" in shown.stderr
    said = run_both.json("status", code=1)
    assert said["ok"] is False
    assert set(said["jobs"]) == {"send", "settle", "plan", "ask", "poll", "page", "watch", "tally", "chain", "health"}
    for job in said["jobs"].values():
        assert job == {"last_success": None, "age_seconds": None, "error": None}
    assert said["queue"] == {"due": 0, "oldest_due_seconds": None, "sending": 0, "uncertain": 0}


def test_status_when_all_is_well(run_both):
    context = open_context(run_both.url, run_both.folder)
    for name in ("send", "settle", "plan", "ask", "poll", "page", "watch", "tally", "chain", "health"):
        runs.succeeded(context, name)
    context.close()
    said = run_both.json("status")
    assert said["ok"] is True
    for job in said["jobs"].values():
        assert datetime.fromisoformat(job["last_success"]).tzinfo is not None
        assert -1 < job["age_seconds"] < 60
    assert "s ago" in run_both("status").stdout


def test_migrate_twice(tmp_path, monkeypatch):
    run = Terminal(f"sqlite:///{tmp_path}/new.db", tmp_path, monkeypatch)
    assert "reminders migrate" in run("status", code=1).stderr
    first = run.json("migrate")
    assert set(first) == {"from", "to"}
    assert first["from"] is None
    assert run.json("migrate") == {"from": first["to"], "to": first["to"]}
    assert run("migrate").stdout == NOTHING


def test_a_missing_key_is_made_once_and_told_once(tmp_path, monkeypatch):
    run = Terminal(f"sqlite:///{tmp_path}/new.db", tmp_path, monkeypatch)
    for name in ("REMINDERS_SEALING_KEYS", "REMINDERS_SECRET_KEY"):
        monkeypatch.delenv(name)
    assert (
        f"Warning: no keys were given, so new ones were made and are kept in {tmp_path}/new.keys"
        in run("migrate").stderr
    )
    assert "Warning" not in run("migrate").stderr


def checks(run, code=1):
    found = run.json("doctor", code=code)
    assert all(set(check) == {"check", "ok", "detail", "fix"} for check in found)
    return {check["check"]: check for check in found}


def test_doctor_on_a_database_without_its_schema(tmp_path, monkeypatch):
    run = Terminal(f"sqlite:///{tmp_path}/new.db", tmp_path, monkeypatch)
    assert checks(run)["database"]["fix"].startswith("run `reminders migrate`")
    assert "NOT OK" in run("doctor", code=1).stdout


def test_doctor_on_a_missing_key(run):
    run.set(REMINDERS_SEALING_KEYS=f"k9:{base64.b64encode(bytes(32)).decode()}")
    check = checks(run)["sealing keys"]
    assert not check["ok"]
    assert "'k1'" in check["detail"]
    assert "REMINDERS_SEALING_KEYS" in check["fix"]
    shown = run("import", plan_file(run.folder), code=1)
    assert "'k1'" in shown.stderr
    assert run.folder.joinpath("reminders.keys").exists() is False


def test_doctor_on_a_server_that_is_away(tmp_path, monkeypatch):
    run = Terminal(f"postgresql://ann:hunter2@127.0.0.1:{free_port()}/x", tmp_path, monkeypatch)
    assert not checks(run)["database"]["ok"]


def test_doctor_when_all_is_well(run_both):
    context = open_context(run_both.url, run_both.folder)
    for name in ("send", "settle", "plan", "ask", "poll", "page", "watch", "tally", "chain", "health"):
        runs.succeeded(context, name)
    context.close()
    assert all(check["ok"] for check in checks(run_both, code=0).values())


def test_doctor_live_names_what_is_missing_before_the_first_real_text(run):
    found = {check["check"]: check for check in run.json("doctor", "--live", code=1)}
    for name in ("phone", "24/7 line", "on-call", "consent wording", "BAA", "QSOA", "campaign", "public address"):
        assert not found[name]["ok"], name
        assert found[name]["fix"], name
    assert found["alias"]["ok"]


def test_live_is_refused_until_the_doctor_agrees(run):
    run.set(
        REMINDERS_TWILIO__LIVE="true",
        TWILIO_ACCOUNT_SID="AC" + "1" * 32,
        TWILIO_AUTH_TOKEN="a token of the tests",
        REMINDERS_WEB__PUBLIC_URL=f"http://127.0.0.1:{free_port()}",
    )
    shown = run("send", code=1)
    assert "not ready to text real people" in shown.stderr
    assert "go_live.baa_on" in shown.stderr


# Unreachable services, wrong settings


@pytest.mark.parametrize("command", ["status", "import"])
def test_a_database_server_that_is_away_ends_with_5(command, tmp_path, monkeypatch):
    run = Terminal(f"postgresql://ann:hunter2@127.0.0.1:{free_port()}/x", tmp_path, monkeypatch)
    arguments = [plan_file(tmp_path)] if command == "import" else []
    shown = run(command, *arguments, "--json", code=5)
    assert shown.stdout == NOTHING
    assert "cannot be used now" in shown.stderr
    assert "hunter2" not in shown.stderr


def test_a_wrong_setting_ends_with_1_and_names_key_and_file(run):
    (run.folder / "settings.toml").write_text("[sending]\nper_dya = 1\n", encoding="utf-8")
    shown = run("status", code=1)
    assert f"sending.per_dya: unknown key; did you mean per_day? ({run.folder}/settings.toml)" in shown.stderr
    assert shown.stdout == NOTHING


def test_twilio_away_ends_with_5_and_the_text_waits(run):
    run.set(
        REMINDERS_TWILIO__API_BASE_URL=f"http://127.0.0.1:{free_port()}",
        REMINDERS_SENDING__QUIET_HOURS='["00:00","00:00"]',
    )
    run("import", plan_file(run.folder, minutes=50))
    shown = run("send", "--json", code=5)
    assert json.loads(shown.stdout) == {"claimed": 1, "accepted": 0, "refused": 1, "unknown": 0, "suppressed": 0}
    assert "Twilio" in shown.stderr
    (text,) = run.lines("log")
    assert text["state"] == "scheduled"


# send, settle, log


@pytest.fixture(scope="module")
def pretend_twilio(tmp_path_factory):
    """`reminders simulator` as a separate process; its address."""
    folder = tmp_path_factory.mktemp("simulator")
    process = subprocess.Popen(
        [sys.executable, "-m", "reminders", "simulator", "--port", "0"],
        cwd=folder,
        env={**_bare(), **environment(f"sqlite:///{folder}/x.db")},
        stderr=subprocess.PIPE,
        text=True,
    )
    said = process.stderr.readline()
    yield re.search(r"answers on (http://127\.0\.0\.1:\d+)", said)[1]
    process.terminate()
    process.communicate(timeout=30)


def _bare():
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REMINDERS_", "TWILIO_"))}
    return {**kept, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def sent(run_both, pretend_twilio):
    """Three people's texts are due; one is sent, one refused by Twilio, one never agreed; a fourth is days ahead."""
    run_both.set(
        REMINDERS_TWILIO__API_BASE_URL=pretend_twilio,
        REMINDERS_SENDING__QUIET_HOURS='["00:00","00:00"]',
        REMINDERS_TWILIO__SEGMENTS_PER_SECOND="0",
    )
    folder = run_both.folder / "plans"
    folder.mkdir()
    plan_file(folder, "1.json", ref="DC-1", minutes=50)
    plan_file(folder, "2.json", ref="DC-2", minutes=50, phone="+15005550009")
    plan_file(folder, "3.json", ref="DC-3", minutes=50, phone="(202) 555-0145", consent={"said": "no"})
    plan_file(folder, "4.json", ref="DC-4", phone="(202) 555-0146")
    assert run_both.json("import", folder)["accepted"] == 4
    assert run_both.json("send") == {"claimed": 2, "accepted": 1, "refused": 1, "unknown": 0, "suppressed": 0}
    return run_both


def test_send_settle_and_log(sent):
    assert sent.json("send") == {"claimed": 0, "accepted": 0, "refused": 0, "unknown": 0, "suppressed": 0}
    assert sent.json("settle") == {"released": 0, "found": 0, "uncertain": 0, "expired": 0}
    (text,) = sent.lines("log", "--plan", "DC-1")
    assert set(text) >= {
        "text", "class", "key", "plan", "patient", "to", "opens_at", "closes_at", "state", "reason", "attempts",
    }  # fmt: skip
    assert (text["class"], text["plan"], text["patient"], text["reason"]) == ("reminder", "DC-1", "MRN-DC-1", None)
    assert text["state"] == "sent"
    assert text["to"].endswith("0143")
    assert "202555" not in text["to"]
    (attempt,) = text["attempts"]
    assert set(attempt) >= {"ref", "sid", "answer", "status", "error_code", "segments", "started_at"}
    assert re.fullmatch(r"SM[0-9a-f]{32}", attempt["sid"])
    assert (attempt["answer"], attempt["error_code"], attempt["segments"]) == ("accepted", None, 1)

    def refs(*filters):
        return [one["plan"] for one in sent.lines("log", *filters)]

    everything = refs()
    assert sorted(set(everything)) == ["DC-1", "DC-2", "DC-3", "DC-4"]
    opened = [datetime.fromisoformat(one["opens_at"]) for one in sent.lines("log")]
    assert opened == sorted(opened, reverse=True)
    assert refs("--limit", "2") == everything[:2]
    assert refs("--patient", "MRN-DC-2") == ["DC-2"]
    assert refs("--code", "21614") == ["DC-2"]
    assert refs("--code", "30003") == []
    assert refs("--state", "sent") == ["DC-1"]
    assert refs("--state", "suppressed") == ["DC-3"]
    assert refs("--plan", "DC-404") == []
    edge = max(opened).isoformat()
    assert len(refs("--since", edge)) == 1  # opens at that time or later
    assert len(refs("--until", edge)) == len(everything) - 1  # opens before
    tomorrow = f"{to_wall(clock.now(), ZONE) + timedelta(days=1):%Y-%m-%d}"
    assert set(refs("--until", tomorrow)) >= {"DC-1", "DC-2", "DC-3"}
    # for people
    shown = sent("log")
    assert "Handed over" in shown.stdout
    assert "there is no consent in force" in shown.stdout
    assert sent("log", "--plan", "DC-404").stdout == NOTHING
    # no one's name and no one's number
    for one in (shown, sent("log", "--csv"), sent("log", "--json")):
        assert "Jordan" not in one.stdout + one.stderr
        assert "2025550143" not in one.stdout + one.stderr


def test_csv_has_the_notice_and_no_formula(sent):
    header, *lines = csv.reader(io.StringIO(sent("log", "--csv").stdout.removeprefix("\ufeff")))
    rows = [line for line in lines if len(line) == len(header)]
    assert [PART_2_NOTICE] in lines[len(rows) :]
    assert len(rows) == len(sent.lines("log"))
    by_plan = {row[header.index("plan")]: dict(zip(header, row, strict=True)) for row in rows}
    assert by_plan["DC-2"]["code"] == "21614"
    assert by_plan["DC-1"]["sid"].startswith("SM")


def test_a_plan_reference_cannot_bring_a_formula_into_the_csv(run):
    run("import", plan_file(run.folder, ref='=HYPERLINK("http://x")'))
    header, *rows = csv.reader(io.StringIO(run("log", "--csv").stdout.removeprefix("\ufeff")))
    rows = [row for row in rows if len(row) == len(header)]
    assert {row[header.index("plan")] for row in rows} == {'\'=HYPERLINK("http://x")'}


@given(st.text(max_size=8) | st.text(alphabet="=+-@\t\r\n \0\uff1d\uff0b\u200b\ufeff'1a", max_size=6))
@example("=1+1")
@example(" \t=1+1")
@example("\u200b+1")
@example("\uff1d1")
def test_a_cell_is_no_formula_and_stays_readable(cell):
    safe = harmless(cell)
    assert safe in {cell, "'" + cell}
    seen = re.sub(r"^[\s\x00-\x1f\u200b-\u200f\ufeff]+", "", safe)
    assert not seen.startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
    if cell[:1].isalnum():
        assert safe == cell


# Keys


def key(n):
    return f"k{n}:" + base64.b64encode(KEYS["k1"] if n == 1 else bytes([n]) * 32).decode()


@pytest.mark.parametrize("index", [False, True])
def test_a_sealing_key_is_replaced_while_everything_stays_readable(index, run_both):
    path = plan_file(run_both.folder)
    run_both("import", path)
    before = run_both.json("preview", "DC-1")
    context = open_context(run_both.url, run_both.folder)

    def stop(tx):
        number_id = store.people.keep_number(tx, "+12025550143", clock.now())
        store.people.mark_number(tx, number_id, opted_out_at=clock.now())

    context.database.write(stop)
    context.close()
    run_both.set(REMINDERS_SEALING_KEYS=f"{key(2)},{key(1)}")
    said = run_both.json("keys", "rotate", *(["--index"] if index else []))
    assert said["key"] == "k2"
    assert said["resealed"] >= 3
    assert said["indexed"] == (1 if index else 0)
    assert run_both.json("keys", "rotate")["resealed"] == 0
    run_both.set(REMINDERS_SEALING_KEYS=key(2))
    assert run_both.json("preview", "DC-1") == before
    assert run_both.json("import", path)["unchanged"] == 1
    assert checks(run_both)["sealing keys"]["ok"]
    # The STOP stays: the number is found by its new fingerprint.
    later = plan_file(run_both.folder, "later.json", ref="DC-2", patient={"ref": "MRN-9"})
    assert run_both.json("import", later)["texts"]["added"] == 0
    assert {text["reason"] for text in run_both.json("preview", "DC-2")} == {"opted_out"}
    run_both.set(REMINDERS_SEALING_KEYS=key(1))
    assert "'k2'" in run_both("import", path, code=1).stderr


def test_a_made_key_is_ready_to_use(run):
    made = run("keys", "make").stdout.strip()
    run.set(REMINDERS_SEALING_KEYS=f"{made},{key(1)}")
    assert run.json("keys", "rotate")["key"] == made.partition(":")[0]
    assert made != run("keys", "make").stdout.strip()


# Real processes: what a shell sees


def shell(run, line, code=0):
    finished = subprocess.run(
        ["/bin/sh", "-c", line.replace("reminders ", f"{sys.executable} -m reminders ")],
        cwd=run.folder,
        env={**_bare(), **environment(run.url)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == code, finished
    return finished.stdout.decode(), finished.stderr.decode()


@pytest.mark.processes
def test_data_goes_to_stdout_and_words_to_stderr(run):
    plan_file(run.folder, "good.json")
    (run.folder / "bad.toml").write_text("[plan", encoding="utf-8")
    said, words = shell(run, "reminders import good.json bad.toml --json", code=1)
    assert json.loads(said)["accepted"] == 1
    assert words == NOTHING
    shown = run("import", "good.json", "bad.toml", code=1)
    assert shown.stdout == NOTHING
    assert "bad.toml: end of file: is not valid TOML" in shown.stderr
    said, words = shell(run, "reminders log --json | head -n 1")  # a reader that has seen enough
    assert json.loads(said)["plan"] == "DC-1"
    assert words == NOTHING


@pytest.mark.processes
def test_in_a_pipe_every_row_is_one_line(run):
    run("import", plan_file(run.folder))
    said, words = shell(run, "COLUMNS=40 reminders preview DC-1")
    assert len(said.splitlines()) == 4
    assert "Texts of DC-1" in words
    assert "\x1b" not in said + words


@pytest.mark.processes
def test_a_terminal_without_the_letters_is_no_crash(run):
    odd = plan_file(run.folder, os.fsdecode(b"\xff.toml"))
    said, _ = shell(run, f"PYTHONIOENCODING=latin-1 reminders import '{odd}' --json", code=1)
    assert json.loads(said)["refused"][0]["file"] == str(odd)


def test_the_log_on_a_terminal_without_the_letters(run, monkeypatch):
    run("import", plan_file(run.folder))
    stdout = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    every_command()(["log"], standalone_mode=False)
    stdout.flush()
    assert b"?0143" in stdout.buffer.getvalue()


@pytest.mark.processes
def test_a_crash_shows_no_values_of_variables(run):
    (run.folder / "reminders.db").write_bytes(b"this is no database, it is a letter to Jordan Alvarez")
    _, words = shell(run, "reminders log", code=5)
    assert "cannot be used now" in words
    assert "Jordan" not in words


def test_s16_the_simulator_does_not_start_while_live(run, monkeypatch):
    monkeypatch.setenv("REMINDERS_TWILIO__LIVE", "true")
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC" + "0" * 32)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "a real one")
    assert "twilio.live is true" in run("simulator", "--port", "0", code=1).stderr


def test_simulator_says_when_its_port_is_taken(run, pretend_twilio):
    assert "Cannot listen" in run("simulator", "--port", pretend_twilio.rpartition(":")[2], code=1).stderr
