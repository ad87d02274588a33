"""What runs when. APScheduler is the metronome only: the database is the queue (sending rule 1).

A constant list of interval jobs, in memory, in UTC; none for a text. Every job is safe late, twice, and in two
processes at once. No cron: in 3.11 it skips or doubles local times on the days the clocks change.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

log = logging.getLogger(__name__)


class Timetable:
    """Calls each job every so many seconds, the first time at once.

    `jobs` maps a name to (interval in seconds, what to call); `now` is the machine's own clock, APScheduler's too.
    """

    def __init__(self, jobs: Mapping[str, tuple[float, Callable[[], None]]], now: datetime) -> None:
        self._intervals = {name: timedelta(seconds=seconds) for name, (seconds, _) in jobs.items()}
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            # The default grace of one second drops whatever comes late.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(_complain, EVENT_JOB_ERROR)
        for name, (seconds, work) in jobs.items():
            trigger = IntervalTrigger(seconds=seconds, timezone=UTC)
            self._scheduler.add_job(work, trigger, id=name, next_run_time=now)

    def start(self) -> None:
        """Start, each job at once."""
        self._scheduler.start()

    def rearm(self, now: datetime) -> None:
        """Run at once any job whose next run lies further ahead than its interval.

        That happens when the clock was set back: APScheduler would wait until it has caught up.
        """
        for job in self._scheduler.get_jobs():
            if job.next_run_time is not None and job.next_run_time - now > self._intervals[job.id] + timedelta(
                seconds=1
            ):
                log.warning("the clock went back; the %s job runs now", job.id)
                job.modify(next_run_time=now)

    def stop(self) -> None:
        """Stop; waits for jobs that are running."""
        self._scheduler.shutdown(wait=True)


def _complain(event: JobExecutionEvent) -> None:
    # The executor swallows what a job raises; ours report for themselves, so this is a bug in the reporting.
    log.error("the %s job broke: %s", event.job_id, type(event.exception).__name__)
