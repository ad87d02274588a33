"""Telling ops: each broken health rule is one task, which names the cause, pages on-call where it is serious, and
closes when it is over.

Many failures with one cause are one task: what follows from another fault is a line in that one's story.
"""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from reminders import store
from reminders.app_context import AppContext
from reminders.service.operations import certificate, health
from reminders.service.operations.health_rules import Finding
from reminders.service.tasks import oncall
from reminders.task_kinds import HEALTH, OVER, SENDER_FAULT, Happened

log = logging.getLogger(__name__)

LEFT_ALONE = timedelta(hours=4)  # a person closed the task although the fault goes on
_STANDS_FOR = {"sender": SENDER_FAULT}  # a rule → the kind of task that already reports it


def look(context: AppContext, now: datetime) -> int:
    """Look at every rule and tell of what is new, the `health` job; how many tasks were opened. Safe at any time, twice
    and in two processes at once.
    """
    certificate.look(context, now)
    findings = {one.rule.name: one for one in health.status(context, now).findings}
    telling = {name: one for name, one in findings.items() if one.found.tells}
    standing = context.database.read(lambda tx: store.tasks.open_keys(tx, HEALTH))
    if not telling and not standing:
        return 0
    return context.database.write(lambda tx: _tell(context, tx, telling, now), again=True)


def _key(name: str) -> str:
    return HEALTH.key(what=name)


def _tell(context: AppContext, tx: store.Transaction, telling: Mapping[str, Finding], now: datetime) -> int:
    opened = 0
    numbers: dict[str, int] = {}
    follows: dict[str, str] = {}
    standing = set(store.tasks.open_keys(tx, HEALTH))
    for name, one in telling.items():
        cause = next((other for other in one.rule.because_of if other in telling), None)
        if cause is not None and _key(name) not in standing:
            follows[name] = cause
            continue
        if (stands_for := _STANDS_FOR.get(name)) and store.tasks.open_keys(tx, stands_for):
            continue
        number, fresh = _open(context, tx, one, now)
        if number is not None:
            numbers[name] = number
        opened += fresh
    for name, cause in follows.items():
        if (number := numbers.get(_root(cause, follows))) is not None:
            said = telling[name].rule.title
            story = store.tasks.story(tx, number, words=False)
            if said not in {event.values.get("rule") for event in story if event.what == Happened.FOLLOWS}:
                store.tasks.add_event(tx, number, now, Happened.FOLLOWS, {"rule": said})
    over = [key for key in standing if key.removeprefix(f"{HEALTH.name}:") not in telling]
    store.tasks.close_by_key(tx, over, OVER, now)
    return opened


def _root(name: str, follows: Mapping[str, str]) -> str:
    seen = {name}
    while (cause := follows.get(name)) is not None and cause not in seen:
        name = cause
        seen.add(name)
    return name


def _open(context: AppContext, tx: store.Transaction, one: Finding, now: datetime) -> tuple[int | None, bool]:
    """The number of the open task of a finding, None where a person closed it a moment ago; whether it is new."""
    key = _key(one.rule.name)
    last = store.tasks.latest_by_key(tx, [key]).get(key)
    if last is not None and last.closed_at is not None and last.outcome != "over" and now - last.closed_at < LEFT_ALONE:
        return None, False
    urgent = one.rule.pages
    number, fresh = store.tasks.open_task(
        tx,
        HEALTH,
        site_id=store.people.keep_default_site(tx, context.settings, now),
        zone=context.settings.site.zone,
        now=now,
        grave=urgent,
        what=one.rule.name,
    )
    if fresh:
        said = f"{one.rule.title}: {one.found.said}"
        log.error("the service is not well: %s", said)
        # A value of a line is cut after 80 letters.
        store.tasks.add_event(tx, number, now, Happened.FAULT, {"first": said[:80], "then": said[80:160]})
        if urgent:
            oncall.ring(context, tx, number, now)
    return number, fresh
