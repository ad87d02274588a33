"""SEC-1: the largest allowed plan, previewed, accepted and watched, keeps no crisis webhook waiting."""

import threading
import time

import pytest
from conftest import KEYS, NOW
from people import document, one_off
from web_caller import Caller

from reminders import clock, store
from reminders.plans import PlanRefused
from reminders.service import planning
from reminders.service.planning import watch
from reminders.store.office import job_runs


def largest(supporters: int = 5):
    """Twelve visits a day until the horizon, and the most readers that a plan may have."""
    names = ["self", *(f"p{n}" for n in range(supporters))]
    series = [
        one_off(f"s{n}", f"2026-12-01T{8 + n:02}:00:00", repeats="FREQ=DAILY;COUNT=60", **{"for": names})
        for n in range(12)
    ]
    consent = {"said": "yes", "on": "2026-11-29", "how": "signed form", "by": "A. Reyes", "wording": "2026-10"}
    consent |= {"categories": ["appointments", "meetings"], "warned_of_risk": True, "alias_shown": True}
    consent |= {"verified": "read aloud"}
    others = [
        {"key": f"p{n}", "role": "supporter", "phone": f"(202) 555-01{50 + n}", "language": "en"}
        | {"consent": consent, "part2_consent_on": "2026-11-29"}
        for n in range(supporters)
    ]
    return document(series=series, recipients=others)


def test_s1_the_largest_plan_keeps_no_crisis_webhook_out(context, travel):
    caller = Caller(context)
    over = threading.Event()
    answers, waits = [], []

    def crisis() -> None:
        n = 0
        while not over.is_set():
            n += 1
            sid, begun = f"SM{n:032x}", time.monotonic()
            form = {"From": "+12025550177", "To": "+15005550006", "Body": "I want to die", "MessageSid": sid}
            answers.append(caller.twilio("/sms/inbound", **form).status_code)
            waits.append(time.monotonic() - begun)

    calling = threading.Thread(target=crisis)
    calling.start()
    try:
        assert planning.preview(context, largest(), clock.now())
        assert planning.accept(context, largest(), clock.now(), who="test").changed
        watch.look(context, clock.now())
    finally:
        over.set()
        calling.join()
    assert answers
    assert set(answers) == {200}
    assert max(waits) < 5  # of a busy machine; a webhook has 15 s


def test_s1_a_preview_on_sqlite_does_not_hold_the_write_lock(tmp_path, sqlite_template):
    path = tmp_path / "x.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = store.Database(f"sqlite:///{path}", store.Ring(KEYS), patience=1)

    def tried(tx: store.Transaction) -> list[str]:
        database.write(lambda other: job_runs.job_succeeded(other, "send", NOW))  # raises where it has to wait
        job_runs.job_succeeded(tx, "watch", NOW)
        return [run.name for run in job_runs.runs(tx)]

    assert database.try_out(tried) == ["watch"]
    assert [run.name for run in database.read(job_runs.runs)] == ["send"]
    database.close()


def test_s1_a_plan_of_more_readings_than_one_transaction_bears_is_refused(context, travel):
    for ask in (planning.preview, lambda *args: planning.accept(*args, who="test")):
        with pytest.raises(PlanRefused) as refused:
            ask(context, largest(20), clock.now())
        (problem,) = refused.value.problems
        assert problem.where == "series"
        assert "a plan has no more than 5000" in problem.problem
