"""Ours: the worker's own pass over N due rows, with every feature that a treatment center uses.

`stored.py` makes the due texts, each for another invented patient with a data key, a number, a consent and one
appointment: every row, seal and fingerprint is as if the service had accepted a plan. The appointment is tomorrow and
its lead is a day, so each text is due at once and stays so for most of a day. Making them is not timed; the turns get
copies of that database.

A turn is one call of `Dispatch.drain`, as in the worker's `send` job: scan, claim, guard, render, lint, seal, write the
intent, call, record, until nothing is due.
"""

import gc
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import stored
import turn

from reminders import clock, store
from reminders.service import AppContext, sending
from reminders.service.operations import runs


def lay_down(context: AppContext, messages: int) -> None:
    """Prepare an empty database with that many due texts."""
    now = clock.now()
    store.migrate(context.database, now)
    stored.lay_down(context, messages, now)


def send(context: AppContext) -> None:
    """Send until nothing is due. With two workers, one may find the remaining texts locked by the other."""
    with ThreadPoolExecutor(1) as executor:
        while any_due(context):
            runs.with_gateway(
                context, lambda gateway: sending.Dispatch(context, gateway, executor, threading.Event()).drain()
            )


def any_due(context: AppContext) -> bool:
    """Whether anything waits to be claimed."""
    scan = context.database.read(lambda tx: store.queue.scan(tx, clock.now()))
    return scan.opened or bool(scan.senders)


def main() -> None:
    told = turn.config()
    context = AppContext.open()
    if told["do"] == "lay down":
        lay_down(context, told["messages"])
        turn.say(json.dumps({"version": context.database.server_version}))
    else:
        gc.freeze()  # as the worker's line does when it starts
        turn.take(lambda: send(context), lambda: context.database.read(store.texts.counts_by_state).get("sent", 0))
    context.close()


if __name__ == "__main__":
    main()
