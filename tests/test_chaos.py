"""Real processes, killed while the pretend phones watch: nothing is lost, doubled, outside its window or after a STOP.

A few kills of `make chaos` (tests/chaos). Each run has another seed; a failed run prints it, with the command to
repeat it.
"""

import os
from datetime import timedelta
from random import Random

import pytest
from chaos.run import Plan, points, run
from chaos.verdict import Attempt, Made, Text, judge
from conftest import NOW

pytestmark = pytest.mark.timeout(240)

SEED = int(os.environ.get("CHAOS_SEED") or Random().randrange(1_000_000))


def of(report, database, workers):
    again = f"python tests/chaos --seed {SEED} --database {database} --workers {workers}"
    assert not report.wrongs, f"{again}\n{report}"
    assert report.verdict.ended["delivered"] > 0
    return report


@pytest.mark.long
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_f1_f2_f4_one_worker_on_sqlite_killed_again_and_again_loses_and_doubles_nothing(database_url, tmp_path):
    report = of(run(Plan(database_url, workers=1, seed=SEED, kills=4, people=40), tmp_path), "sqlite", 1)
    assert report.kills.total() == 4


@pytest.mark.long
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_f1_f2_f4_f22_four_workers_on_postgresql_and_the_server_stopped_lose_and_double_nothing(
    database_url, tmp_path, postgresql_server
):
    plan = Plan(database_url, workers=4, seed=SEED, kills=4, people=40, postgresql=postgresql_server)
    report = of(run(plan, tmp_path), "postgresql", 4)
    assert report.kills.total() == 4
    assert report.kills["PostgreSQL"] > 0


@pytest.mark.long
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_four_workers_and_one_postgresql_one_killed_each_few_seconds_the_phones_see_every_text_once(
    database_url, tmp_path
):
    plan = Plan(database_url, workers=4, seed=SEED, kills=3, people=60, pause=(1.5, 2.5), only=("a worker",), watched=1)
    of(run(plan, tmp_path), "postgresql", 4)


# The oracle: a verdict must be able to find a fault.

A, B = "+12025550101", "+12025550102"
STARTED = NOW + timedelta(seconds=1)


def text(number=1, phone=A, *, state="delivered", tries=(("SM1", "body"),), **more):
    attempts = [Attempt(sid, body, "accepted" if sid else "unknown", STARTED, 0 if sid else 2) for sid, body in tries]
    values = {"class_": "reminder", "reason": None, "resent": False, "told": False}
    window = {"opens_at": NOW, "closes_at": NOW + timedelta(minutes=30)}
    return Text(id=number, phone=phone, state=state, attempts=attempts, **values | window | more)


def made(sid="SM1", phone=A, body="body", after=1):
    return Made(sid, phone, body, NOW + timedelta(seconds=after))


def told(texts, messages, arrived, *, stopped=None, unheard=(), ended_after=60):
    found = judge(
        texts, messages, arrived, stopped=stopped or {}, unheard=unheard, ended_at=NOW + timedelta(minutes=ended_after)
    )
    return {name for name in ("lost", "doubled", "late", "after_stop", "mistold", "unheard") if getattr(found, name)}


UNKNOWN = ((None, "body"), (None, "body"))


@pytest.mark.parametrize(
    ("texts", "messages", "arrived", "more", "wrong"),
    [
        ([text()], [made()], {A: ["SM1"]}, {}, set()),
        ([text(tries=((None, "body"),))], [made()], {A: ["SM1"]}, {}, set()),  # its sid was never learnt
        ([text()], [], {}, {}, {"lost"}),
        ([text(state="sent")], [made()], {A: []}, {}, {"lost"}),
        ([text(), text(2, B, tries=())], [made()], {A: ["SM1"]}, {}, {"lost"}),
        ([text()], [made()], {B: ["SM1"]}, {}, {"lost"}),  # the wrong phone
        ([text()], [made(), made("SM2")], {A: ["SM1", "SM2"]}, {}, {"doubled"}),
        ([text(tries=(("SM1", "body"), ("SM2", "body")))], [made(), made("SM2")], {A: ["SM1"]}, {}, {"doubled"}),
        ([text()], [made(), made("SM2", B, "else")], {A: ["SM1"], B: ["SM2"]}, {}, {"doubled"}),
        ([text()], [made(after=-1)], {A: ["SM1"]}, {}, {"late"}),
        ([text()], [made(after=1802)], {A: ["SM1"]}, {}, {"late"}),
        ([text()], [made()], {A: ["SM1"]}, {"stopped": {A: NOW}}, {"after_stop"}),
        ([text()], [made()], {A: ["SM1"]}, {"stopped": {A: NOW + timedelta(seconds=2)}}, set()),
        ([text(class_="answer")], [made()], {A: ["SM1"]}, {"stopped": {A: NOW}}, set()),
        ([text(state="uncertain")], [made()], {A: ["SM1"]}, {}, {"mistold"}),
        ([text(state="expired", tries=(), told=True)], [], {}, {}, set()),
        ([text(state="expired", tries=(), told=False)], [], {}, {}, {"lost"}),
        ([text(state="expired", tries=(), told=True)], [], {}, {"ended_after": 1}, {"lost"}),
        ([text(state="suppressed", reason="opted_out", tries=())], [], {}, {"stopped": {A: NOW}}, set()),
        ([text(state="suppressed", reason="opted_out", tries=())], [], {}, {}, {"lost"}),
        ([text(state="uncertain", resent=True, told=True, tries=UNKNOWN)], [], {}, {}, set()),
        ([text(state="uncertain", resent=False, tries=UNKNOWN)], [], {}, {"ended_after": 1}, {"lost"}),
        ([text()], [made()], {A: ["SM1"]}, {"unheard": ["SM9"]}, {"unheard"}),
    ],
)
def test_the_verdict_knows_what_was_wrong(texts, messages, arrived, more, wrong):
    assert told(texts, messages, arrived, **more) == wrong


def test_there_are_crash_points_in_the_code():
    assert {"K1", "K2", "K3", "K5", "K7", "K8", "K11", "K14"} <= set(points())
