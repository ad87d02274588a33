"""The benchmark runs, sends every message of every contender once, and writes what CONTRACT promises."""

import json
import math
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

BENCH = Path(__file__).parent / "bench"
MESSAGES = 60
CONTENDERS = ["ours (SQLite)", "ours (PostgreSQL)", "naive_apscheduler", "naive_apscheduler_wal", "bare_aiohttp"]
OTHERS = ["naive_apscheduler", "naive_apscheduler_wal", "celery", "bare_aiohttp"]


def bench(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, BENCH, *arguments], check=False, capture_output=True, text=True, timeout=100)


@pytest.mark.processes
def test_the_benchmark_sends_everything_and_writes_what_the_contract_promises(tmp_path):
    told = ["--messages", str(MESSAGES), "--rounds", "1", "--without", "celery", "--folder", str(tmp_path)]
    ran = bench(*told)
    # It ends with 1 where a contender has not every message on record, or the stand-in saw one twice.
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
            if other == "celery":
                assert ratio is None
            else:
                assert math.isclose(ratio, speeds[row] / speeds[other], rel_tol=0.01, abs_tol=0.001)
    assert not found["ratios"]
    assert found["left_out"] == {"celery": "not asked for"}
    picture = ET.parse(tmp_path / "bench.svg")
    words = " ".join(picture.getroot().itertext())
    for name in CONTENDERS:
        assert name in words
        assert name in ran.stdout


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
    for wrong in (["--messages", "0"], ["--messages", "80001"], ["--rounds", "0"], ["--without", "nobody"]):
        ran = bench(*wrong, "--folder", str(tmp_path))
        assert ran.returncode == 2, wrong
    assert not list(tmp_path.iterdir())
