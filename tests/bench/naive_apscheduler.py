"""One APScheduler date job for each reminder, in its SQLAlchemyJobStore on SQLite: what a tutorial would do.

It is set up correctly: no misfire grace time, which would drop jobs more than a second late; a timeout for a locked
file. Adding the jobs is not timed; the turns get copies of the store. It takes part twice: with SQLite's defaults, and
with the write-ahead log that hardly any tutorial uses.
"""

import os
import threading
from pathlib import Path

import sqlalchemy as sa
import turn
import tutorial
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler

from reminders import clock


def scheduler(path: str, threads: int = 10) -> BackgroundScheduler:
    """A scheduler on the jobs that belong to these messages, started and paused; ten threads are its own default."""
    engine = sa.create_engine(f"sqlite:///{Path(path).with_suffix('.jobs')}", connect_args={"timeout": 60})
    sa.event.listen(engine, "connect", lambda connection, _: tutorial.keep_durable(connection))
    keeper = BackgroundScheduler(
        timezone="UTC",
        jobstores={"default": SQLAlchemyJobStore(engine=engine)},
        executors={"default": ThreadPoolExecutor(threads)},
        job_defaults={"misfire_grace_time": None},
    )
    keeper.start(paused=True)
    return keeper


def lay_down(path: str, messages: int) -> None:
    """Make the messages, and a date job for each, due now."""
    tutorial.lay_down(path, messages)
    keeper = scheduler(path)
    due = clock.now()
    for number, phone, body in tutorial.to_send(path):
        keeper.add_job("tutorial:send", "date", run_date=due, args=[number, phone, body], id=str(number))
    # No shutdown here: a paused scheduler that is shut down begins to run what is due.


def main() -> None:
    told = turn.config()
    path = os.environ["BENCH_MESSAGES"]
    if told["do"] == "lay down":
        lay_down(path, told["messages"])
        return
    left, lock, done = told["messages"], threading.Lock(), threading.Event()

    def count(_) -> None:
        nonlocal left
        with lock:
            left -= 1
            if left == 0:
                done.set()

    keeper = scheduler(path, 50 if told["latency_ms"] else 10)
    keeper.add_listener(count, EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)

    def work() -> None:
        keeper.resume()
        done.wait()

    turn.take(work, lambda: tutorial.sent(path))
    keeper.shutdown()


if __name__ == "__main__":
    main()
