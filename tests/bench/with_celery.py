"""Celery with Redis: one task for each message, its outcome written to the table of messages.

It is set up correctly: late acknowledgement, so that a killed worker's tasks come back; no results kept; Redis with its
append-only file. The queue is filled before the clock starts, and only then does the worker consume.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import turn
import tutorial
from celery import Celery

app = Celery("with_celery", broker=os.environ["BENCH_REDIS"])
app.conf.update(task_acks_late=True, task_ignore_result=True, broker_connection_retry_on_startup=True)
app.task(tutorial.send, name="send")


def main() -> None:
    told = turn.config()
    path = os.environ["BENCH_MESSAGES"]
    if told["do"] == "lay down":
        tutorial.lay_down(path, told["messages"])
        return
    # Without warnings: there is one about running as root, as containers do.
    command = [sys.executable, "-W", "ignore", "-m", "celery", "-A", "with_celery", "worker", "--loglevel", "ERROR"]
    command += ["--without-gossip", "--without-mingle"]
    # Of 1, 2, 4 and 8 processes on one core, 2 did best, if hardly better than 1; with latency threads keep up.
    command += ["--pool", "threads", "--concurrency", "50"] if told["latency_ms"] else ["--concurrency", "2"]
    worker = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        while not app.control.ping(timeout=0.5):
            if worker.poll() is not None or time.monotonic() - began > 60:
                raise SystemExit("the Celery worker did not start")
        app.control.cancel_consumer("celery", reply=True, timeout=5)
        task = app.tasks["send"]
        for message in tutorial.to_send(path):
            task.delay(*message)

        def work() -> None:
            app.control.add_consumer("celery")
            while tutorial.sent(path) < told["messages"]:
                if worker.poll() is not None:
                    raise SystemExit("the Celery worker ended")
                time.sleep(0.02)

        turn.take(work, lambda: tutorial.sent(path), cpu=lambda: turn.cpu_of_tree(worker.pid))
    finally:
        worker.terminate()
        worker.wait(30)


if __name__ == "__main__":
    main()
