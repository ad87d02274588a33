"""The benchmark runs, sends every message of every contender once, and writes what docs/benchmark.md promises."""

import importlib
import json
import math
import shutil
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from conftest import NOW, open_context

BENCH = Path(__file__).parent / "bench"
MESSAGES = 60
CONTENDERS = [
    "ours (SQLite)",
    "ours (PostgreSQL)",
    "ours (SQLite, 2 workers)",
    "naive_apscheduler",
    "bare_aiohttp",
]
LEFT_OUT = ["ours (PostgreSQL, 2 workers)", "naive_apscheduler_wal", "celery"]
OTHERS = ["naive_apscheduler", "naive_apscheduler_wal", "celery", "bare_aiohttp"]


def bench(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, BENCH, *arguments], check=False, capture_output=True, text=True, timeout=230)


@pytest.mark.processes
@pytest.mark.timeout(240)
def test_the_benchmark_sends_everything_and_writes_what_the_contract_promises(tmp_path):
    (tmp_path / "bench.json").write_text(json.dumps({"rows": [], "ratios": {}, "lists": "of an earlier run"}))
    without = [word for name in LEFT_OUT for word in ("--without", name)]
    # It exits with 1 if a contender has not recorded every message, or the stand-in saw one twice.
    ran = bench("--quick", *without, "--part", "sending", "--folder", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    speeds = {}
    for row in found["rows"]:
        assert row["messages"] == MESSAGES
        assert row["seconds"] > 0
        assert row["cpu_ms_per_message"] > 0
        assert math.isclose(row["per_second"], MESSAGES / row["seconds"], rel_tol=0.01)
        speeds[row["name"]] = row["per_second"]
    assert list(speeds) == CONTENDERS
    for ours, row in (
        ("ours", "ours (SQLite)"),
        ("ours_sqlite", "ours (SQLite)"),
        ("ours_postgresql", "ours (PostgreSQL)"),
    ):
        for other in OTHERS:
            ratio = found["ratios"].pop(f"{ours}/{other}")
            if other in LEFT_OUT:
                assert ratio is None
            else:
                assert math.isclose(ratio, speeds[row] / speeds[other], rel_tol=0.01, abs_tol=0.001)
    assert not found["ratios"]
    assert found["left_out"] == dict.fromkeys(LEFT_OUT, "not asked for")
    picture = ET.parse(tmp_path / "bench.svg")
    words = " ".join(picture.getroot().itertext())
    for name in CONTENDERS:
        assert name in words
        assert name in ran.stdout
    assert found["lists"] == "of an earlier run"


@pytest.fixture
def scripts(monkeypatch):
    """The benchmark's scripts, to be imported."""
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module


def test_on_a_slow_sender_the_earliest_deadline_goes_first_and_nothing_after_its_window(
    scripts, database_url, tmp_path
):
    slow_sender = scripts("slow_sender")
    context = open_context(database_url, tmp_path)
    try:
        slow_sender.lay_down(context, 150, NOW)
        found = slow_sender.run(context, 150, NOW)
    finally:
        context.close()
    assert (found.after_window, found.out_of_order) == (0, 0)
    assert found.sent + found.expired == 150
    assert found.sent > 90
    assert found.per_second <= slow_sender.PACE


def test_a_scan_and_a_claim_are_measured_on_a_filled_database(scripts, sqlite_template, tmp_path):
    growth, parts = scripts("growth"), scripts("parts")
    url = f"sqlite:///{tmp_path / 'filled.db'}"
    shutil.copy(sqlite_template, tmp_path / "filled.db")
    growth.fill(open_context(url, tmp_path, sending__quiet_hours='["00:00", "00:00"]'), 600, 5)  # it closes the house
    context = open_context(url, tmp_path)
    try:
        grown = [growth.measure(context, 5, 3) for _ in range(2)]  # what was claimed is due again
    finally:
        context.close()
    for found in grown:
        assert found["stored"] == 30 + 500
        assert found["claim_ms"] > found["database_ms"] > 0
        assert found["idle_scan_ms"] > 0
    row = parts._grown("sqlite", grown)
    assert parts._growth_ratios([row, row | {"stored": 10**7, "claim_ms": 3 * row["claim_ms"]}])["sqlite/claim"] == 3


def test_plans_are_taken_in_and_laid_down_again(scripts, sqlite_template, tmp_path):
    accepting = scripts("accepting")
    shutil.copy(sqlite_template, tmp_path / "plans.db")
    context = open_context(f"sqlite:///{tmp_path / 'plans.db'}", tmp_path)
    try:
        planned = accepting.measure(context, accepting.documents(context, 2, NOW), NOW)
    finally:
        context.close()
    assert planned["accept"]["texts"] > 50
    assert planned["extend"]["added"] > 0


def test_stamped_plans_are_what_the_verb_makes(scripts, sqlite_template, tmp_path):
    stored = scripts("stored")
    shutil.copy(sqlite_template, tmp_path / "stamped.db")
    context = open_context(f"sqlite:///{tmp_path / 'stamped.db'}", tmp_path)
    try:
        stored.lay_down(context, 2, NOW)
        rows = context.database.read(stored._rows_of_plan)  # it opens whatever is sealed
    finally:
        context.close()
    for table, found in rows.items():
        assert len(found) % 2 == 0, table
        by_verb, stamped = found[: len(found) // 2], found[len(found) // 2 :]
        own = (
            {"id", "wrapped", "fingerprint", "phone_sealed", "ref"}
            | {name for name in by_verb[0] if name.endswith("_id")}
            if found
            else set()
        )
        for one, other in zip(by_verb, stamped, strict=True):
            assert {name for name, value in one.items() if other[name] != value} <= own


def test_the_stand_in_counts_and_knows_a_number_that_was_texted_twice():
    command = [sys.executable, BENCH / "stand_in.py", json.dumps({"core": None, "latency_ms": 1})]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = HTTPConnection("127.0.0.1", int(process.stdout.readline()), timeout=10)
            sids = set()
            for number in ("0143", "0144", "0143"):
                line.request("POST", "/2010-04-01/Accounts/AC0/Messages.json", f"Body=x&To=%2B1202555{number}")
                answer = line.getresponse()
                assert answer.status == 201
                sids.add(json.load(answer)["sid"])
            assert len(sids) == 3
            for expected in ({"taken": 3, "again": 1}, {"taken": 0, "again": 0}):
                line.request("GET", "/")
                assert json.load(line.getresponse()) == expected
            line.close()
        finally:
            process.terminate()


def test_a_benchmark_of_nothing_or_of_a_stranger_is_wrong_usage(tmp_path):
    for wrong in (["--messages", "0"], ["--messages", "1000001"], ["--rounds", "0"], ["--without", "nobody"]):
        ran = bench(*wrong, "--folder", str(tmp_path))
        assert ran.returncode == 2, wrong
    assert not list(tmp_path.iterdir())


def test_a_reply_of_any_length_is_understood_within_its_bound(scripts, capsys, monkeypatch):
    reading, report = scripts("reading"), scripts("report")
    monkeypatch.setattr("sys.argv", ["reading.py", '{"turns": 1}'])
    reading.main()
    found = json.loads(capsys.readouterr().out)
    assert [row["characters"] for row in found["rows"]] == [len(text) for text in reading.TEXTS.values()]
    assert len(report.verdicts("reading", found)) == 2
