"""What runs when. APScheduler is the metronome only: the database is the queue (sending rule 1).

It has a constant list of interval jobs, in memory, in UTC, and no job for a single text. Every job may safely run late,
twice, and in two processes at once. No cron trigger: APScheduler 3.11's skips or doubles local times on the days when
clocks change.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

log = logging.getLogger(__name__)


class Timetable:
    """Calls each job at its interval, the first time at once.

    `jobs` maps a name to (interval in seconds, what to call); `now` is the machine's own clock, as in APScheduler.
    """

    def __init__(self, jobs: Mapping[str, tuple[float, Callable[[], None]]], now: datetime) -> None:
        self._intervals = {name: timedelta(seconds=seconds) for name, (seconds, _) in jobs.items()}
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            # The default grace of one second drops late jobs.
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._scheduler.add_listener(_complain, EVENT_JOB_ERROR)
        for name, (seconds, work) in jobs.items():
            trigger = IntervalTrigger(seconds=seconds, timezone=UTC)
            self._scheduler.add_job(work, trigger, id=name, next_run_time=now)

    def start(self) -> None:
        """Start, and run each job at once."""
        self._scheduler.start()

    def rearm(self, now: datetime) -> None:
        """Run any job at once if its next run is further ahead than its interval.

        That happens if the clock is set back: APScheduler would wait until the clock catches up.
        """
        for job in self._scheduler.get_jobs():
            if job.next_run_time is not None and job.next_run_time - now > self._intervals[job.id] + timedelta(
                seconds=1
            ):
                log.warning("the clock went back; the %s job runs now", job.id)
                job.modify(next_run_time=now)

    def stop(self) -> None:
        """Stop, and wait for running jobs."""
        self._scheduler.shutdown(wait=True)


def _complain(event: JobExecutionEvent) -> None:
    # The executor swallows exceptions. Our jobs report their own, so this is a bug in the reporting.
    log.error("the %s job broke: %s", event.job_id, type(event.exception).__name__)
