"""What the house keeps about itself: when each job last succeeded, and who changed what."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from reminders.store.engine import Transaction
from reminders.store.ids import first_id, new_id
from reminders.store.schema import audit, job_runs
from reminders.store.sealing import DataKey, Place

SAME_READING = timedelta(minutes=10)  # a page that refreshes itself is read once, not every ten seconds


def job_succeeded(tx: Transaction, name: str, at: datetime) -> None:
    """Note a job's last success (rule 11: health is its age)."""
    _keep_run(tx, name, last_success=at)


def job_failed(tx: Transaction, name: str, at: datetime, error: str) -> None:
    """Note a job's last failure; `error` is the sort of error, never its text."""
    _keep_run(tx, name, last_error_at=at, last_error=error[:200])


def _keep_run(tx: Transaction, name: str, **values: Any) -> None:
    if not tx.run(job_runs.update().where(job_runs.c.name == name).values(**values)):
        tx.insert_new(job_runs, {"name": name})
        tx.run(job_runs.update().where(job_runs.c.name == name).values(**values))


def runs(tx: Transaction) -> Sequence[Row[Any]]:
    """Every job's last success and last error."""
    return tx.all(sa.select(job_runs).order_by(job_runs.c.name))


def has_noted(tx: Transaction, who: str, what: str, since: datetime) -> bool:
    """Whether that was put on record of `who` since then."""
    mine = sa.select(audit.c.id).where(audit.c.who == who[:64], audit.c.what == what)
    return tx.first(mine.where(audit.c.id >= first_id(since), audit.c.at >= since).limit(1)) is not None


def note(
    tx: Transaction,
    *,
    who: str,
    what: str,
    table: str,
    row: int,
    now: datetime,
    before: str | None = None,
    after: str | None = None,
    key: DataKey | None = None,
) -> None:
    """Append to the audit: who did what on which row; values are sealed, a patient's by the patient's own `key`."""
    audit_id = new_id(now)

    def seal(column: str, value: str | None) -> bytes | None:
        place = Place("audit", column, audit_id)
        if not value:
            return None
        return tx.seal(place, value, key)

    tx.run(
        _NOTE,
        {
            "id": audit_id,
            "at": now,
            "who": who[:64],
            "what": what,
            "table": table,
            "row_id": row,
            "before_sealed": seal("before_sealed", before),
            "after_sealed": seal("after_sealed", after),
        },
    )


_NOTE = audit.insert()
