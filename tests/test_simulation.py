"""The service in simulated worlds (docs/simulation.md): a short run on each database, and what such runs are worth."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import NOW, logged
from people import document, one_off

from reminders import store
from reminders.service import outcomes, planning, sending
from reminders.sms.receipts import Receipt
from reminders.store.queue import Answered

TESTS = Path(__file__).parent
LEASE = timedelta(seconds=120)


def simulate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, TESTS / "simulation", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=580,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
    )


@pytest.mark.timeout(600)
@pytest.mark.parametrize("start", [0, 75, 150, 225])
def test_every_promise_is_kept_in_three_hundred_worlds(start):
    ran = simulate("--start", str(start), "--seeds", "75")
    assert ran.returncode == 0, ran.stderr
    assert "75 seeds on sqlite" in ran.stdout
    assert "lost 0, shown twice " in ran.stdout


@pytest.mark.timeout(600)
def test_every_promise_is_kept_on_postgresql():
    ran = simulate("--database", "postgresql", "--start", "300", "--seeds", "15")
    assert ran.returncode == 0, ran.stderr
    assert "15 seeds on postgresql" in ran.stdout


def test_one_seed_is_one_story():
    """However Python orders its sets: the trace of every step, word and instant is the same."""
    first, second = (simulate("--seed", "3", hash_seed=hashes) for hashes in ("1", "2"))
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert len(first.stdout.splitlines()) > 30
    assert simulate("--seed", "4").stdout != first.stdout


BROKEN = """
import runpy, sys
sys.path[:0] = {paths!r}
from reminders import store
store.Database.write_for_real = store.Database.write
def write(self, work, *, again=False):
    if getattr(work, "__qualname__", "").startswith("Dispatch._begin."):
        return self.try_out(work)  # as if the attempt were written after the call
    return self.write_for_real(work, again=again)
store.Database.write = write
sys.argv = ["simulation", "--seeds", "5"]
runpy.run_path({simulation!r}, run_name="__main__")
"""


def test_a_service_that_calls_before_it_writes_is_found_out():
    paths = [str(TESTS), str(TESTS.parent)]
    program = BROKEN.format(paths=paths, simulation=str(TESTS / "simulation" / "__main__.py"))
    ran = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 1, ran.stderr
    assert "an attempt is on record before its call" in ran.stderr
    assert "again: python tests/simulation --seed" in ran.stderr


# What it found.


def test_an_answer_recorded_again_does_not_end_the_retry_that_a_receipt_began(house):
    """A COMMIT took effect and failed; before the answers were written again, the text was found undelivered."""
    said = document(series=[one_off("visit", "2026-11-30T15:00:00", leads=["5h"])])
    planning.accept(house, said, NOW, who="test")

    def work(tx):
        store.queue.mark_ready(tx, NOW)
        (sender,) = store.queue.senders_with_work(tx, NOW)
        return store.queue.start(tx, sending.claim(house, tx, sender, 1, NOW)[1], NOW, LEASE)

    (one,) = house.database.write(work)
    answer = Answered(one, "accepted", sid="SM" + "1" * 32, status="queued", ask_at=NOW + sending.ASK_AFTER)
    sending.record(house, [answer], NOW)
    assert outcomes.receive(house, one.ref, Receipt("undelivered", 30003, answer.sid), {}, NOW)
    (text,) = logged(house)
    assert (text.state, text.waits_code) == ("scheduled", 30003)
    sending.record(house, [answer], NOW)
    assert logged(house) == [text]
