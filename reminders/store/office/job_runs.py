"""When each job last succeeded or failed: health is its age (sending rule 11)."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from reminders.store.database.engine import Transaction
from reminders.store.database.schema import (
    job_runs,
)
from reminders.store.records import JobRunRow


def job_succeeded(tx: Transaction, name: str, at: datetime) -> None:
    """Note a job's last success (sending rule 11: health is its age)."""
    _keep_run(tx, name, last_success=at)


def job_failed(tx: Transaction, name: str, at: datetime, error: str) -> None:
    """Note a job's last failure; `error` is the sort of error, never its text."""
    _keep_run(tx, name, last_error_at=at, last_error=error[:200])


def _keep_run(tx: Transaction, name: str, **values: Any) -> None:
    if not tx.run(job_runs.update().where(job_runs.c.name == name).values(**values)):
        tx.insert_new(job_runs, {"name": name})
        tx.run(job_runs.update().where(job_runs.c.name == name).values(**values))


def runs(tx: Transaction) -> list[JobRunRow]:
    """Every job's last success and last error."""
    return tx.all_as(JobRunRow, sa.select(job_runs).order_by(job_runs.c.name))
