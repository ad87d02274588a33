"""The lights of the health page: is each part well, and what to do where it is not. `status` and `doctor` are for
programs and terminals; this is what someone looks at who was called out of bed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from reminders import clock, store
from reminders.app_context import AppContext
from reminders.service.operations import health, proxies
from reminders.service.operations.health_rules import Finding, spell

HEARTBEAT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Light:
    """One light: `state` is ok, wait (no one need hurry) or bad; what it says; and the line of the runbook."""

    name: str
    state: str
    said: str
    runbook: str


def lights(context: AppContext, now: datetime) -> list[Light]:
    """Every light, what is bad first. Raises Unavailable."""
    status = health.status(context, now)
    found = [_sender(status), *(_light(one) for one in status.findings)]
    found += context.database.read(lambda tx: list(_queue(context, tx, status, now)))
    found.append(_database(context))
    return sorted(found, key=lambda light: ("bad", "wait", "ok").index(light.state))


def _light(one: Finding) -> Light:
    return Light(one.rule.title, one.found.state, one.found.said, one.rule.runbook)


def _sender(status: health.Status) -> Light:
    age = status.jobs["send"].age_seconds
    return Light(
        "Sender",
        "ok" if age is not None and age <= HEARTBEAT.total_seconds() else "bad",
        "No worker has ever looked" if age is None else f"Looked {spell(age)} ago",
        "Start the worker (python -m jobs) or look at its log. While it is down nothing goes; what is still of use goes"
        " when it is back. Phone first visits meanwhile: reminders calls.",
    )


def _queue(context: AppContext, tx: store.Transaction, status: health.Status, now: datetime) -> Iterator[Light]:
    paused = [row.key for row in store.people.paused_sites(tx)]
    yield Light(
        "Sending",
        "wait" if paused else "ok",
        f"Paused at {', '.join(paused)}" if paused else "On at every site",
        "Resume it under Sites once the reason is gone. What is too late by then is not sent.",
    )
    unknown = proxies.troubles(context, tx, now)
    yield Light(
        "Proxies",
        "bad" if unknown else "ok",
        "; ".join(f"{said[:1].upper()}{said[1:]}" for said, _ in unknown) or "None that is not believed",
        "; ".join(f"{fix[:1].upper()}{fix[1:]}" for _, fix in unknown)
        or "A proxy in front of us belongs into web.proxies, and says whom it speaks for in X-Forwarded-For.",
    )
    held = sum(row.many for row in store.queue.backlog(tx))
    yield Light(
        "Backlog",
        "bad" if held else "ok",
        f"{held} texts are held since an outage" if held else "Nothing is held",
        "reminders backlog show says what would go and until when; then release or drop it.",
    )
    yield Light(
        "Urgent tasks",
        "bad" if status.ringing else "ok",
        f"{status.ringing} that no one has taken" if status.ringing else "All are taken",
        "Take them in the inbox: someone may be in danger.",
    )


def _database(context: AppContext) -> Light:
    began = clock.now()
    version = context.database.server_version
    took = (clock.now() - began).total_seconds()
    return Light(
        "Database",
        "ok" if took < 1 else "wait",
        f"{'PostgreSQL' if context.database.dialect == 'postgresql' else 'SQLite'} {version.split()[0]},"
        f" answers in {took * 1000:.0f} ms",
        "When it is away nothing goes and nothing is lost. When it is slow: disk, locks, vacuum.",
    )
