"""The timetable, and the sender thread it wakes (sending rule 1, sending rule 9)."""

import threading
import time
from datetime import UTC, datetime, timedelta

from conftest import logged
from freezegun import freeze_time
from people import document, one_off

from jobs.sender_thread import Line
from jobs.timetable import Timetable
from reminders import clock
from reminders.service import planning
from reminders.service.operations import health, runs


def wait_for(what, seconds: float = 10) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_every_job_runs_at_once_and_then_every_interval():
    ran = []
    timetable = Timetable({"a": (0.2, lambda: ran.append("a")), "b": (60, lambda: ran.append("b"))}, clock.machine())
    timetable.start()
    wait_for(lambda: ran.count("a") >= 3)
    timetable.stop()
    assert ran.count("b") == 1


def test_rule_1_nothing_about_a_text_is_kept_in_the_scheduler():
    timetable = Timetable({"send": (5, print), "settle": (30, print)}, clock.machine())
    scheduler = timetable._scheduler
    assert [job.id for job in scheduler.get_jobs()] == ["send", "settle"]
    scheduler.start(paused=True)
    for job in scheduler.get_jobs():
        assert (job.coalesce, job.max_instances, job.misfire_grace_time) == (True, 1, None)
        assert type(job.trigger).__name__ == "IntervalTrigger"
        assert str(job.next_run_time.tzinfo) == "UTC"
    assert [type(store).__name__ for store in scheduler._jobstores.values()] == ["MemoryJobStore"]
    timetable.stop()


def test_a_late_job_still_runs():
    ran = threading.Event()
    timetable = Timetable({"send": (60, ran.set)}, clock.now() - timedelta(days=1))
    timetable.start()
    assert ran.wait(10)
    timetable.stop()


def test_f35_a_clock_set_back_does_not_stop_the_jobs():
    ran = []
    with freeze_time("2026-11-30T15:00:00", real_asyncio=True) as frozen:
        timetable = Timetable({"send": (5, lambda: ran.append(1))}, clock.machine())
        scheduler = timetable._scheduler
        scheduler.start(paused=True)
        scheduler._process_jobs()  # once, at its moment: the next run is at 15:00:05
        frozen.move_to("2026-11-30T14:00:00")
        timetable.rearm(clock.machine())
        (job,) = scheduler.get_jobs()
        assert job.next_run_time == clock.machine()
        frozen.move_to("2026-11-30T14:00:03")
        timetable.rearm(clock.machine())
        assert scheduler.get_jobs()[0].next_run_time == datetime(2026, 11, 30, 14, tzinfo=UTC)
    timetable.stop()


def test_a_job_that_fails_goes_red_and_the_next_success_makes_it_green(context, monkeypatch):
    monkeypatch.setitem(runs._JOBS, "plan", lambda context, now: 1 / 0)
    runs.run(context, "plan")
    status = health.status(context, clock.now())
    assert status.jobs["plan"].error == "ZeroDivisionError"
    assert not status.ok
    monkeypatch.undo()
    runs.run(context, "plan")
    assert health.status(context, clock.now()).jobs["plan"].error is None


def test_rule_11_health_is_the_age_of_the_last_success(context):
    for name in health.job_intervals(context):
        runs.succeeded(context, name)
    now = clock.now()
    assert health.status(context, now).ok
    later = health.status(context, now + timedelta(minutes=2))
    assert later.troubles == [f"the {name} job has not succeeded lately" for name in ("send", "settle", "page")]


def test_rule_9_the_line_sends_when_it_is_woken_and_ends_when_it_is_stopped(line, twilio, monkeypatch):
    monkeypatch.setattr(type(line), "keep_time", lambda self: 0.0)  # it would set the clock right
    the_line = Line(line)
    the_line.start()
    the_line.wake()
    wait_for(lambda: health.status(line, clock.now()).jobs["send"].last_success)
    visit = [one_off("visit", "2026-11-30T11:30:00", leads=["90m"])]
    planning.accept(line, document(series=visit), clock.now(), who="test")
    the_line.wake()
    wait_for(lambda: logged(line)[0].state == "sent")
    the_line.stop()
    assert not the_line._thread.is_alive()
    assert len(twilio.created()) == 1


def test_rule_2_a_worker_whose_clock_is_off_does_not_claim(line, twilio, monkeypatch):
    visit = [one_off("visit", "2026-11-30T11:30:00", leads=["90m"])]
    planning.accept(line, document(series=visit), clock.now(), who="test")
    monkeypatch.setattr(type(line), "keep_time", lambda self: 2.5)
    the_line = Line(line)
    the_line.start()
    the_line.wake()
    time.sleep(0.5)
    the_line.stop()
    assert logged(line)[0].state == "scheduled"
    assert twilio.created() == []
