"""Which processes are at work, and whether each can open what another one seals.

Web process and worker put themselves on record, with the ids of their sealing keys, when they start and every few
seconds from then on. `keys rotate` seals everything again with a key that all of them must have: one that has not loses
every webhook from that moment on.
"""

import logging
import os
import platform
import threading
from datetime import datetime, timedelta

from reminders import clock, store
from reminders.app_context import AppContext
from reminders.service.operations import logs
from reminders.store.records import ProcessRow

log = logging.getLogger(__name__)

EVERY = 15.0  # seconds
LIVE_FOR = timedelta(seconds=90)
FORGOTTEN_AFTER = timedelta(days=1)


class Presence:
    """Keeps this process on record from `start` to `stop`."""

    def __init__(self, context: AppContext, kind: str) -> None:
        self._context, self._kind = context, kind
        self._id: int | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Put it on record, before it takes up anything; what cannot be noted now is tried again."""
        self._note()
        self._thread.start()

    def stop(self) -> None:
        """Take it off the record. Raises nothing."""
        self._stop.set()
        self._thread.join(5)
        if (ours := self._id) is not None:
            try:
                self._context.database.write(lambda tx: store.processes.leave(tx, ours), again=True)
            except Exception as error:  # ruff: ignore[blind-except]  it is forgotten by itself, and the process ends
                log.warning("that this process ends cannot be put on record: %s", logs.describe(error))

    def _run(self) -> None:
        while not self._stop.wait(EVERY):
            self._note()

    def _note(self) -> None:
        try:
            now = clock.now()
            self._id = self._context.database.write(lambda tx: self._noted(tx, now))
        except Exception as error:  # ruff: ignore[blind-except]  the database is away, which others say louder
            log.warning("that this process is at work cannot be put on record: %s", logs.describe(error))

    def _noted(self, tx: store.Transaction, now: datetime) -> int:
        if self._id is not None and store.processes.seen(tx, self._id, now):
            return self._id
        store.processes.forget(tx, now - FORGOTTEN_AFTER)
        keys = self._context.database.ring.announced()
        return store.processes.arrive(tx, now, kind=self._kind, host=platform.node(), pid=os.getpid(), keys=keys)


class NotOpenToAll(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """A process that is at work could not open what our first sealing key seals. The message names each."""


def check_keys(context: AppContext, now: datetime) -> list[str]:
    """Which live processes still seal with another key than our first one. Raises NotOpenToAll."""
    rows = context.database.read(lambda tx: store.processes.live(tx, now - LIVE_FOR))
    key_id, mark = next(iter(context.database.ring.announced().items()))
    lacking = []
    for row in rows:
        theirs = dict(row.sealing_keys)
        if key_id not in theirs:
            lacking.append(f"{_name(row)} has no key {key_id}")
        elif theirs[key_id] != mark:
            lacking.append(f"{_name(row)} has another key by the name {key_id}")
    if lacking:
        raise NotOpenToAll(
            f"{'; '.join(lacking)}. Nothing was sealed again. Give REMINDERS_SEALING_KEYS with {key_id} in it to every"
            f" process, restart them, and rotate then (docs/keys.md); one that was killed is forgotten after"
            f" {LIVE_FOR.total_seconds():.0f} s"
        )
    return [_name(row) for row in rows if row.sealing_keys[0][0] != key_id]


def _name(row: ProcessRow) -> str:
    return f"the {row.kind} process {row.pid} on {row.host}"
