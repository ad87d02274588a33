"""Which processes are at work on this database, and which sealing keys each can open."""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from reminders.store.database.engine import Transaction
from reminders.store.database.ids import new_id
from reminders.store.database.schema import processes
from reminders.store.records import ProcessRow


def arrive(tx: Transaction, now: datetime, *, kind: str, host: str, pid: int, keys: Mapping[str, str]) -> int:
    """A process is at work from now on; its id. `keys` maps key id → check value, the one that seals first."""
    process_id = new_id(now)
    values = {"id": process_id, "kind": kind, "host": host[:64], "pid": pid, "sealing_keys": [*map(list, keys.items())]}
    tx.run(processes.insert(), values | {"started_at": now, "seen_at": now})
    return process_id


def seen(tx: Transaction, process_id: int, now: datetime) -> bool:
    """It still is at work; False where its row is gone, as after a restore."""
    return tx.run(processes.update().where(processes.c.id == process_id).values(seen_at=now)) == 1


def leave(tx: Transaction, process_id: int) -> None:
    """It ended."""
    tx.run(processes.delete().where(processes.c.id == process_id))


def forget(tx: Transaction, since: datetime) -> int:
    """Forget those that were not seen since then; how many."""
    return tx.run(processes.delete().where(processes.c.seen_at < since))


def live(tx: Transaction, since: datetime) -> list[ProcessRow]:
    """Those that were seen since then, the oldest first."""
    return tx.all_as(ProcessRow, sa.select(processes).where(processes.c.seen_at >= since).order_by(processes.c.id))
