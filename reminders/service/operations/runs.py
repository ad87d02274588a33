"""Running one job: its verb, and on record whether it succeeded (sending rule 11)."""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

from reminders import clock, store
from reminders.app_context import AppContext
from reminders.service import planning, sending
from reminders.service.office import api_keys, audit, heads
from reminders.service.operations import counting, faults, logs, metrics, proxies, retention
from reminders.service.planning import importing, watch
from reminders.service.replies import inbound
from reminders.service.sending import outcomes
from reminders.service.tasks import oncall
from reminders.sms import Gateway
from reminders.store.office import job_runs

log = logging.getLogger(__name__)

T = TypeVar("T")


def do(context: AppContext, name: str, now: datetime) -> None:
    """Do the job of that name once, and note nothing. Raises what it meets."""
    with metrics.JOBS_IN.labels(name).time():
        _JOBS[name](context, now)


def run(context: AppContext, name: str) -> bool:
    """Do the job of that name once, and put its success or failure on record; whether it succeeded.

    Raises nothing that it met.
    """
    try:
        do(context, name, clock.now())
    except Exception as error:  # ruff: ignore[blind-except]  a job fails, goes red and is run again; the process lives
        failed(context, name, error)
        return False
    succeeded(context, name)
    return True


def succeeded(context: AppContext, name: str) -> None:
    """Put a job's success on record."""
    metrics.JOBS.labels(name, "ok").inc()
    try:
        now = clock.now()
        context.database.write(lambda tx: job_runs.job_succeeded(tx, name, now), again=True)
    except Exception as error:  # ruff: ignore[blind-except]  that it cannot be noted must not end who noted it
        log.warning("the %s job succeeded, which cannot be put on record: %s", name, type(error).__name__)


def failed(context: AppContext, name: str, error: Exception) -> None:
    """Put a job's failure on record, as the sort of error it was."""
    metrics.JOBS.labels(name, "failed").inc()
    log.error("the %s job failed: %s", name, logs.describe(error))
    word = str(error) if isinstance(error, store.Unavailable) else type(error).__name__
    try:
        now = clock.now()
        context.database.write(lambda tx: job_runs.job_failed(tx, name, now, word), again=True)
    except Exception as away:  # ruff: ignore[blind-except]  as above
        log.warning("its failure cannot be put on record: %s", type(away).__name__)


def with_gateway(context: AppContext, work: Callable[[Gateway], Awaitable[T]]) -> T:
    """Run `work` with a line to Twilio of its own, and close it."""

    async def call() -> T:
        gateway = context.gateway()
        try:
            return await work(gateway)
        finally:
            await gateway.close()

    return asyncio.run(call())


def _settle(context: AppContext, now: datetime) -> None:
    with_gateway(context, lambda gateway: outcomes.settle(context, gateway, now))


def _ask(context: AppContext, now: datetime) -> None:
    with_gateway(context, lambda gateway: outcomes.ask(context, gateway, now))


def _poll(context: AppContext, now: datetime) -> None:
    async def poll(gateway: Gateway) -> None:
        try:
            taken = await inbound.poll(context, gateway, now)
        except inbound.NotAllTakenError as some:
            await answer(context, gateway, some.taken)
            raise
        await answer(context, gateway, taken)

    with_gateway(context, poll)


async def answer(context: AppContext, gateway: Gateway, taken: Sequence[inbound.Taken]) -> None:
    """Send at once what was laid down in answer to these texts, and page; what fails here the worker does next."""
    urgent = [text for one in taken for text in one.urgent]
    if urgent:
        with ThreadPoolExecutor(1, "answers") as executor:
            await sending.Dispatch(context, gateway, executor, threading.Event()).send_these(urgent)
    if any(one.rang for one in taken):
        await oncall.deliver(context, clock.now())


def answer_now(context: AppContext, taken: inbound.Taken) -> None:
    """The same for the web process, after its commit. Raises nothing: the queue and the pages' outbox are the truth."""
    if not (taken.urgent or taken.rang):
        return
    try:
        with_gateway(context, lambda gateway: answer(context, gateway, [taken]))
    except Exception as error:  # ruff: ignore[blind-except]  a worker sends the answer and the page within seconds
        log.error("an urgent answer is left to the worker: %s", logs.describe(error))  # ruff: ignore[error-instead-of-exception]  its text may be personal


def _page(context: AppContext, now: datetime) -> None:
    oncall.call_about_unread(context, now)
    oncall.escalate(context, now)
    asyncio.run(oncall.deliver(context, now))


def _watch(context: AppContext, now: datetime) -> None:
    watch.look(context, now)


def _tally(context: AppContext, now: datetime) -> None:
    counting.tally(context, now)


def _chain(context: AppContext, now: datetime) -> None:
    audit.chain(context, now)
    heads.keep(context, now)


def _plan(context: AppContext, now: datetime) -> None:
    api_keys.forget(context, now)
    proxies.forget(context, now)
    context.database.write(lambda tx: store.drafts.forget(tx, now - store.drafts.FORGOTTEN_AFTER), again=True)
    try:
        planning.extend(context, now)
    finally:  # what is old goes, whatever a plan says
        retention.purge(context, now)


def _import(context: AppContext, now: datetime) -> None:
    folder = context.settings.jobs.import_folder
    if folder is not None:
        importing.import_folder(context, folder, now)


def _health(context: AppContext, now: datetime) -> None:
    faults.look(context, now)


_JOBS: dict[str, Callable[[AppContext, datetime], None]] = {
    "settle": _settle,
    "ask": _ask,
    "plan": _plan,
    "import": _import,
    "poll": _poll,
    "page": _page,
    "watch": _watch,
    "tally": _tally,
    "chain": _chain,
    "health": _health,
}
