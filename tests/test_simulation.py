"""The service in simulated worlds (docs/simulation.md): a short run on each database, and what such runs prove."""

import asyncio
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import NOW, begun, logged, open_context
from people import document, one_off

from reminders.service import planning, sending
from reminders.service.replies import inbound
from reminders.service.sending import outcomes, recording
from reminders.sms import Accepted
from reminders.sms.receipts import InboundText, Receipt
from reminders.store.database import schema
from reminders.store.sending.answers import Answered

TESTS = Path(__file__).parent
LEASE = timedelta(seconds=120)
PHONE = "+12025550143"


def simulate(*arguments: str, hash_seed: str = "0") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, TESTS / "simulation", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=580,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
    )


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_promise_is_kept_in_forty_worlds():
    ran = simulate("--seeds", "40")
    assert ran.returncode == 0, ran.stderr
    assert "40 seeds on sqlite" in ran.stdout
    assert "lost 0, shown twice " in ran.stdout


@pytest.mark.long
@pytest.mark.timeout(600)
def test_every_promise_is_kept_on_postgresql():
    ran = simulate("--database", "postgresql", "--start", "300", "--seeds", "4")
    assert ran.returncode == 0, ran.stderr
    assert "4 seeds on postgresql" in ran.stdout


@pytest.mark.long
@pytest.mark.timeout(300)
def test_one_seed_is_one_story():
    """However Python orders its sets: the trace of every step, word and instant is the same."""
    with ThreadPoolExecutor(3) as together:
        ran = [together.submit(simulate, "--seed", seed, hash_seed=hashes) for seed, hashes in ("31", "32", "41")]
        first, second, other = (one.result() for one in ran)
    assert first.returncode == 0, first.stderr
    assert first.stdout == second.stdout
    assert len(first.stdout.splitlines()) > 30
    assert other.stdout != first.stdout


CHANGED = """
import runpy, sys
sys.path[:0] = {paths!r}
{change}
sys.argv = ["simulation", "--seeds", "{seeds}"]
runpy.run_path({simulation!r}, run_name="__main__")
"""
CALLS_FIRST = """
from reminders import store
store.Database.write_for_real = store.Database.write
def write(self, work, *, again=False):
    def unwritten(tx):  # as if the attempt were written after the call
        with tx.tried_out():
            return work(tx)
    begins = getattr(work, "__qualname__", "").startswith("Dispatch._begin.")
    return self.write_for_real(unwritten if begins else work, again=again)
store.Database.write = write
"""
UNHEARD = """
from simulation.network import Wire
from reminders.sms.transport import MaybeSent
async def exchange(self, *request):
    raise MaybeSent("closed")
Wire.exchange = exchange
"""


def simulate_changed(change: str, seeds: int) -> str:
    """The results of that many worlds with a change that must break a promise."""
    paths, simulation = [str(TESTS), str(TESTS.parent)], str(TESTS / "simulation" / "__main__.py")
    program = CHANGED.format(paths=paths, simulation=simulation, change=change, seeds=seeds)
    ran = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=110)
    assert ran.returncode == 1, ran.stderr
    return ran.stderr


def test_a_service_that_calls_before_it_writes_is_found_out():
    said = simulate_changed(CALLS_FIRST, 1)
    assert "an attempt is on record before its call" in said
    assert "again: python tests/simulation --seed" in said


def test_worlds_in_which_nothing_is_delivered_prove_nothing():
    assert "nothing was delivered" in simulate_changed(UNHEARD, 1)


# What it found.


def claim(context, now):
    return begun(context, now, lease=LEASE)


def test_an_answer_recorded_again_does_not_end_the_retry_that_a_receipt_began(context):
    """A COMMIT took effect and failed; before the answers were written again, the text was found undelivered."""
    plan = document(series=[one_off("visit", "2026-11-30T15:00:00", leads=["5h"])])
    planning.accept(context, plan, NOW, who="test")

    (one,) = claim(context, NOW)
    answer = Answered(one, "accepted", sid="SM" + "1" * 32, status="queued", ask_at=NOW + sending.ASK_AFTER)
    recording.record(context, [answer], NOW)
    assert outcomes.receive(context, one.ref, Receipt("undelivered", 30003, answer.sid), {}, NOW)
    (text,) = logged(context)
    assert (text.state, text.waits_code) == ("scheduled", 30003)
    recording.record(context, [answer], NOW)
    assert logged(context) == [text]


@pytest.mark.timeout(20)
def test_two_urgent_answers_go_although_one_comes_back_first_and_the_wire_is_narrow(database_url, tmp_path, travel):
    """Waiting for the second kept it from coming: a web process that answered no one any more (seed 21)."""
    narrow = open_context(database_url, tmp_path, twilio__in_flight="2", twilio__segments_per_second="0")
    for number, phone in enumerate(("(202) 555-0143", "(202) 555-0144")):
        plan = document(
            plan={"ref": f"DC-{number}"},
            patient={"ref": f"MRN-{number}", "phone": phone},
            series=[one_off("visit", "2026-11-30T15:00:00", leads=["5h"])],
        )
        planning.accept(narrow, plan, NOW, who="test")

    class Line:
        async def send(self, text):
            await asyncio.sleep(0.01 if text.to.endswith("3") else 0.1)
            return Accepted(f"SM{int(text.to[1:]):032d}", "queued")

    with ThreadPoolExecutor(1) as executor:
        urgent = sending.Dispatch(narrow, Line(), executor, threading.Event())
        tally = asyncio.run(urgent.send_these([text.text for text in logged(narrow)]))
    narrow.close()
    assert tally.accepted == 2


class Listed:
    """Twilio's list of inbound texts."""

    def __init__(self, *texts: InboundText) -> None:
        self._texts = list(texts)

    async def inbound(self, *, to, since):
        return [text for text in self._texts if text.sent_at >= since]


def said(body: str, sid: str, sent_at=None) -> InboundText:
    return InboundText(sid=sid, sender=PHONE, to="+15005550006", body=body, opt_out_type=None, sent_at=sent_at)


def has_stopped(context) -> bool:
    with_numbers = context.database.read(lambda tx: tx.all(sa.select(schema.numbers.c.opted_out_at)))
    return any(row.opted_out_at is not None for row in with_numbers)


def test_l17_a_stop_that_only_the_list_brings_holds_although_our_clock_was_an_hour_ahead(context):
    planning.accept(context, document(), NOW, who="test")
    ahead = NOW + timedelta(minutes=61)
    inbound.take_in(context, said("START", "SM1"), ahead)  # by webhook, which does not say when it was sent
    true = [said("START", "SM1", NOW), said("STOP", "SM2", NOW + timedelta(minutes=35))]
    asyncio.run(inbound.poll(context, Listed(*true), ahead + timedelta(minutes=36)))
    assert has_stopped(context)


def test_c7_a_text_that_only_the_list_brings_is_heard_at_once_although_our_clock_is_an_hour_ahead(context):
    planning.accept(context, document(), NOW, who="test")
    for minute in (61, 91, 92):
        true = [said("CRISIS", "SM1", NOW + timedelta(minutes=31))] if minute == 92 else []
        asyncio.run(inbound.poll(context, Listed(*true), NOW + timedelta(minutes=minute)))
    assert context.database.read(lambda tx: [row.kind for row in tx.all(sa.select(schema.tasks.c.kind))]) == ["crisis"]


def test_l17_a_stop_that_its_webhook_brings_holds_although_our_clock_went_back(context):
    planning.accept(context, document(), NOW, who="test")
    inbound.take_in(context, said("START", "SM1"), NOW)
    inbound.take_in(context, said("STOP", "SM2"), NOW - timedelta(minutes=10))
    assert has_stopped(context)


def test_l17_a_start_that_was_sent_after_the_stop_which_the_list_brings_late_holds(context):
    planning.accept(context, document(), NOW, who="test")
    inbound.take_in(context, said("START", "SM2"), NOW)
    true = [said("STOP", "SM1", NOW - timedelta(minutes=2)), said("START", "SM2", NOW - timedelta(seconds=1))]
    asyncio.run(inbound.poll(context, Listed(*true), NOW + timedelta(minutes=1)))
    assert not has_stopped(context)


def test_l11_an_answer_to_a_stranger_that_comes_back_after_their_stop_is_not_tried_again(context):
    inbound.take_in(context, said("hello?", "SM1"), NOW)
    (one,) = claim(context, NOW)
    inbound.take_in(context, said("STOP", "SM2"), NOW + timedelta(seconds=5))
    later = NOW + timedelta(seconds=10)
    recording.record(context, [Answered(one, "refused", error_code=20429, again_at=later)], later)
    assert claim(context, later + timedelta(minutes=1)) == []
    assert [text.state for text in logged(context) if text.wording == "stranger"] == ["suppressed"]
