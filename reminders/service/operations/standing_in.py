"""The web process stands in for a worker that is gone: what calls people must not die with it.

Web and worker are two processes. With every worker dead the web process still hears who is in danger, and it must page,
repeat and escalate then. It also looks at the health rules, so that ops hear that no worker runs.
"""

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from reminders import clock, store
from reminders.app_context import AppContext
from reminders.service.operations import health, logs, runs
from reminders.service.tasks import oncall

log = logging.getLogger(__name__)

EVERY = 15.0  # seconds


def stand_in(context: AppContext, now: datetime) -> list[str]:
    """Do those of the jobs that call people that no worker has done lately; which. Safe beside a worker.

    Their success is not noted: a job that only we do is late, and must look so. Raises Unavailable.
    """
    jobs = health.status(context, now).jobs
    late = [name for name in _DONE if not jobs[name].fresh]
    for name in late:
        try:
            _DONE[name](context, now)
        except Exception as error:  # ruff: ignore[blind-except]  the other one has its turn, and so has the next time
            log.error("standing in for the %s job failed: %s", name, logs.describe(error))  # ruff: ignore[error-instead-of-exception]  its text may be personal
    return late


def _page(context: AppContext, now: datetime) -> None:
    context.database.write(lambda tx: oncall.tell_of_lost_answers(context, tx, now), again=True)
    runs.do(context, "page", now)


def _health(context: AppContext, now: datetime) -> None:
    runs.do(context, "health", now)


_DONE: dict[str, Callable[[AppContext, datetime], None]] = {"page": _page, "health": _health}


class StandIn:
    """Looks every few seconds, from `start` to `stop`."""

    def __init__(self, context: AppContext) -> None:
        self._context = context
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stand-in", daemon=True)
        self._stands_in = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End; waits some seconds for what is under way."""
        self._stop.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            try:
                late = stand_in(self._context, clock.now())
            except (store.Unavailable, store.Unreadable, LookupError):
                continue  # the database is away, which others say louder
            except Exception as error:  # ruff: ignore[blind-except]  no failure may end this loop
                log.error("standing in for a worker failed: %s", logs.describe(error))  # ruff: ignore[error-instead-of-exception]  its text may be personal
                continue
            if bool(late) != self._stands_in:
                self._stands_in = bool(late)
                log.warning("no worker pages: this process does" if late else "a worker pages again")
