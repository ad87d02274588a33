"""Ours: the worker's own pass over N due rows, with everything on that is on in a treatment centre.

The due texts are laid down by `stored.py`, each for another invented patient with a data key, a number, a consent and
one appointment: every row, seal and fingerprint is what the verb that takes plans in would make. The appointment is
tomorrow and its lead is a day, so each text is due as soon as it is laid down and stays so for most of a day. Laying
down is not timed; the turns get copies of that database.

A turn is one call of `Dispatch.drain`, as the worker's `send` job makes it: scan, claim, guard, render, lint, seal,
write the intent, call, record, until nothing is due.
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
    """Prepare an empty database and lay down that many due texts."""
    now = clock.now()
    store.migrate(context.database, now)
    stored.lay_down(context, messages, now)


def send(context: AppContext) -> None:
    """Send until nothing is due. Where two workers share the work, one may find what is left locked by the other."""
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
