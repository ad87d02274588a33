"""Running one job: its verb, and on record whether it succeeded (rule 11)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar

from reminders import clock, store
from reminders.service import importing, logs, outcomes, planning
from reminders.service.house import House
from reminders.sms import Gateway

log = logging.getLogger(__name__)

T = TypeVar("T")


def run(house: House, name: str) -> None:
    """Run the job of that name once, and put its success or failure on record. Raises nothing that it met."""
    try:
        _JOBS[name](house, clock.now())
    except Exception as error:  # ruff: ignore[blind-except]  a job fails, goes red and is run again; the process lives
        failed(house, name, error)
    else:
        succeeded(house, name)


def succeeded(house: House, name: str) -> None:
    """Put a job's success on record."""
    try:
        now = clock.now()
        house.database.write(lambda tx: store.records.job_succeeded(tx, name, now), again=True)
    except Exception as error:  # ruff: ignore[blind-except]  that it cannot be noted must not end who noted it
        log.warning("the %s job succeeded, which cannot be put on record: %s", name, type(error).__name__)


def failed(house: House, name: str, error: Exception) -> None:
    """Put a job's failure on record, as the sort of error it was."""
    log.error("the %s job failed: %s", name, logs.describe(error))
    word = str(error) if isinstance(error, store.Unavailable) else type(error).__name__
    try:
        now = clock.now()
        house.database.write(lambda tx: store.records.job_failed(tx, name, now, word), again=True)
    except Exception as away:  # ruff: ignore[blind-except]  as above
        log.warning("its failure cannot be put on record: %s", type(away).__name__)


def with_gateway(house: House, work: Callable[[Gateway], Awaitable[T]]) -> T:
    """Run `work` with a line to Twilio of its own, and close it."""

    async def call() -> T:
        gateway = house.gateway()
        try:
            return await work(gateway)
        finally:
            await gateway.close()

    return asyncio.run(call())


def _settle(house: House, now: datetime) -> None:
    with_gateway(house, lambda gateway: outcomes.settle(house, gateway, now))


def _ask(house: House, now: datetime) -> None:
    with_gateway(house, lambda gateway: outcomes.ask(house, gateway, now))


def _plan(house: House, now: datetime) -> None:
    planning.extend(house, now)


def _import(house: House, now: datetime) -> None:
    folder = house.settings.jobs.import_folder
    if folder is not None:
        importing.import_folder(house, folder, now)


_JOBS: dict[str, Callable[[House, datetime], None]] = {
    "settle": _settle,
    "ask": _ask,
    "plan": _plan,
    "import": _import,
}
