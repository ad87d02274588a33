"""How long each write transaction holds its locks: on SQLite the one write lock, on PostgreSQL its rows.

It measures from BEGIN IMMEDIATE (or BEGIN) to the end of the COMMIT, and checkpoints, which take SQLite's write lock
too.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from reminders import store
from reminders.store.database import engine


@dataclass(frozen=True)
class Held:
    """One transaction: its caller, its seconds, and its number of statements (each row of many counts as one)."""

    work: str
    seconds: float
    statements: int = 0


_count: ContextVar[list[int]] = ContextVar("count")
"""How many statements the transaction of this thread has run."""


def _executed(*heard: Any) -> tuple[str, Any]:
    _, _, text, values, _, many = heard
    if (count := _count.get(None)) is not None:
        count[0] += len(values) if many else 1
    return text, values


@contextmanager
def measured() -> Generator[list[Held]]:
    """Record every write transaction of every database of this process while it lasts."""
    found: list[Held] = []
    run, checkpoint = store.Database._run, store.Database.checkpoint

    def timed_run(self, made, work, *, again):
        begun = None
        counted = _count.set([0])

        def timed(tx):
            nonlocal begun
            begun = time.perf_counter()
            return work(tx)

        try:
            return run(self, made, timed, again=again)
        finally:
            (executed,) = _count.get()
            _count.reset(counted)
            if begun is not None and made is self._writes:
                name = getattr(getattr(work, "func", work), "__qualname__", type(work).__name__)
                module = getattr(getattr(work, "func", work), "__module__", "")
                found.append(Held(f"{module}.{name}", time.perf_counter() - begun, executed))

    def timed_checkpoint(self):
        begun = time.perf_counter()
        checkpoint(self)
        found.append(Held("checkpoint", time.perf_counter() - begun))

    engine.Database._run, engine.Database.checkpoint = timed_run, timed_checkpoint
    sa.event.listen(sa.Engine, "before_cursor_execute", _executed, retval=True)
    try:
        yield found
    finally:
        engine.Database._run, engine.Database.checkpoint = run, checkpoint
        sa.event.remove(sa.Engine, "before_cursor_execute", _executed)
