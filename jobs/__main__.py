"""`python -m jobs`: the worker. Start as many as you like on one PostgreSQL; all are equal."""

import logging
import os
import signal
import sys
import threading
from functools import partial

from jobs.sender_thread import Line
from jobs.timetable import Timetable
from reminders import clock, store
from reminders.service import AppContext
from reminders.service.operations import health, logs, metrics, presence, runs
from reminders.service.operations.heartbeat import Heartbeat
from reminders.settings import SettingsError

SCHEMA_EVERY = 5  # seconds: two short reads
log = logging.getLogger("jobs")


def main() -> int:
    """Run until SIGTERM or SIGINT, then finish the texts on the wire. Returns 0, or 1 if it cannot start."""
    os.umask(0o077)  # files we write are for our own user only
    logs.set_up()
    stop = threading.Event()
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda *_: stop.set())  # nothing more: a handler may interrupt anything
    try:
        context = AppContext.open()
        logs.set_up(how=context.settings.logging)
        _wait_for_database(context, stop)
        if stop.is_set():
            return 0
        _gate(context)
    except (SettingsError, store.WrongSchema, store.Unreadable, health.NotReady) as refusal:
        print(refusal, file=sys.stderr)  # ruff: ignore[print]  for the person who started it
        return 1
    if context.settings.jobs.metrics_port:
        metrics.serve(context.settings.jobs.metrics_host, context.settings.jobs.metrics_port)
    here = presence.Presence(context, "worker")
    here.start()
    beat = Heartbeat(context.settings.jobs.heartbeat_url)
    beat.start()
    line = Line(context, beat)
    jobs = {
        name: (seconds, line.wake if name == "send" else partial(_run, context, beat, name))
        for name, seconds in health.job_intervals(context).items()
    }
    timetable = Timetable(jobs, clock.machine())
    line.start()
    timetable.start()
    log.info("started: %s", ", ".join(f"{name} every {seconds:g} s" for name, (seconds, _) in jobs.items()))
    left_behind, ticks = None, 0
    while left_behind is None and not stop.wait(1):
        timetable.rearm(clock.machine())
        ticks += 1
        left_behind = _left_behind(context) if ticks % SCHEMA_EVERY == 0 else None
    if left_behind is not None:
        log.error("the database was migrated meanwhile, so this worker ends: %s", left_behind)
    log.info("stopping: texts on the wire are finished first")
    line.stop_claiming()
    timetable.stop()
    line.stop()
    beat.stop()
    here.stop()
    context.close()
    log.info("stopped")
    return 0 if left_behind is None else 1


def _left_behind(context: AppContext) -> str | None:
    """Why this worker no longer fits the database, as when a newer version has migrated it; None while it does."""
    try:
        store.check_again(context.database)
    except store.WrongSchema as wrong:
        return str(wrong)
    except store.Unavailable:  # the jobs say so
        return None
    return None


def _gate(context: AppContext) -> None:
    """Refuse to text real people while anything that must be so is not. Raises NotReady.

    Our own webhooks may be away: a proxy that is started again, or an expired certificate, must keep neither texts nor
    pages from going (OPS-12). Receipts and replies are asked for meanwhile; `doctor --live` is red.
    """
    health.gate(context, webhooks=False)


def _run(context: AppContext, beat: Heartbeat, name: str) -> None:
    (beat.good if runs.run(context, name) else beat.bad)(name)


def _wait_for_database(context: AppContext, stop: threading.Event) -> None:
    """Wait until the database answers, then refuse one with another schema, or one that our keys do not open."""
    while not stop.is_set():
        try:
            store.check(context.database)
            context.database.read(lambda tx: tx.fingerprints("+12025550100"))
        except store.Unavailable as away:
            log.warning("waiting for the database: %s", away)
            stop.wait(5)
        else:
            return


if __name__ == "__main__":
    sys.exit(main())
