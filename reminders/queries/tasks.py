"""Tasks as people look at them: listed, opened, with what happened to each."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from reminders.audit_actions import Action
from reminders.queries import explanations, readings
from reminders.store import Database
from reminders.store.database.engine import Transaction
from reminders.store.database.schema import (
    replies,
    task_events,
    tasks,
)
from reminders.store.database.sealing import Place, Unreadable
from reminders.store.oncall import alarms
from reminders.store.replies import readings_of
from reminders.store.tasks import OPEN, Event, NoSuchTask, Task, by_number, latest_by_key, listed, story
from reminders.task_kinds import KINDS

__all__ = [
    "Event",
    "Heard",
    "NoSuchTask",
    "Queues",
    "Task",
    "alarms",
    "as_json",
    "by_number",
    "heard",
    "holding",
    "is_overdue",
    "latest_by_key",
    "list_tasks",
    "listed",
    "opened_as_json",
    "queues",
    "show",
    "story",
]


def as_json(one: Task, now: datetime) -> dict[str, Any]:
    """A task as it is listed."""
    return {
        "id": one.id,
        "kind": one.kind,
        "urgency": one.urgency,
        "title": KINDS[one.kind].title,
        "site": one.site,
        "patients": list(one.patients),
        "plan": one.plan,
        "visit": one.visit,
        "starts_at": one.starts_at,
        "to": one.to,
        "text": str(one.text_id) if one.text_id is not None else None,
        "opened_at": one.opened_at,
        "due_at": one.due_at,
        "overdue": is_overdue(one, now),
        "owner": one.owner,
        "acknowledged_at": one.acknowledged_at,
        "rung_at": one.rung_at,
        "escalates_at": one.escalates_at,
        "step": one.step,
        "closed_at": one.closed_at,
        "outcome": one.outcome,
    }


def opened_as_json(one: Task, story_of_it: list[Event], now: datetime) -> dict[str, Any]:
    """A task with what is to do, the outcomes it can have, and its whole story."""
    kind = KINDS[one.kind]
    return {
        **as_json(one, now),
        "to_do": kind.to_do,
        "outcomes": list(kind.outcomes),
        "story": [
            {
                "at": event.at,
                "what": event.what,
                "who": event.who,
                "detail": explanations.detail(event),
                "words": event.words,
                "rules": list(event.rules),
                "text": str(event.text_id) if event.text_id is not None else None,
                "wording": event.text_wording,
                "text_state": event.text_state,
                "text_code": event.text_code,
                "became": explanations.became(event),
            }
            for event in story_of_it
        ],
    }


def is_overdue(one: Task, now: datetime) -> bool:
    """Whether an open task has passed its time."""
    return one.closed_at is None and one.due_at < now


@dataclass(frozen=True, slots=True)
class Queues:
    """How many open tasks stand in each queue.

    `red` are visits that no text reminds of; `rest` are neither they nor urgent.
    """

    urgent: int
    red: int
    rest: int
    mine: int
    unassigned: int

    @property
    def open(self) -> int:
        """All of them."""
        return self.urgent + self.red + self.rest


def queues(tx: Transaction, sites: Collection[int], who: str) -> Queues:
    """The open tasks of these sites, counted; `mine` are those that `who` took."""
    is_urgent, is_red = tasks.c.urgency == "urgent", sa.and_(tasks.c.urgency != "urgent", tasks.c.kind == "red")

    def many(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)

    query = sa.select(
        many(is_urgent).label("urgent"),
        many(is_red).label("red"),
        many(sa.and_(sa.not_(is_urgent), sa.not_(is_red))).label("rest"),
        many(tasks.c.owner == who).label("mine"),
        many(tasks.c.owner.is_(None)).label("unassigned"),
    )
    row = tx.first(query.where(sa.text(OPEN), tasks.c.site_id.in_(sites)))
    assert row is not None
    return Queues(row.urgent, row.red, row.rest, row.mine, row.unassigned)


def holding(tx: Transaction, text_ids: Collection[int]) -> dict[int, int]:
    """Held text → the open task about it."""
    query = sa.select(tasks.c.text_id, tasks.c.id).where(sa.text(OPEN), tasks.c.kind == "held_text")
    return {row.text_id: row.id for row in tx.all(query.where(tasks.c.text_id.in_(text_ids)))}


@dataclass(frozen=True, slots=True)
class Heard:
    """The latest reply of a task: its words, what it was taken to mean, when it came."""

    words: str | None = field(repr=False)
    meaning: str
    at: datetime


def heard(tx: Transaction, task_ids: Collection[int]) -> dict[int, Heard]:
    """Task → the latest reply that it is about. Words are None where they do not open any more."""
    latest = (
        sa.select(sa.func.max(task_events.c.id))
        .where(task_events.c.task_id.in_(task_ids), task_events.c.reply_id.is_not(None))
        .group_by(task_events.c.task_id)
    )
    query = (
        sa.select(
            task_events.c.task_id, replies.c.id, replies.c.body_sealed, replies.c.reading_sealed, replies.c.received_at
        )
        .join(replies, replies.c.id == task_events.c.reply_id)
        .where(task_events.c.id.in_(latest))
    )
    found = {}
    rows = tx.all(query)
    readings = readings_of(tx, {row.id: row.reading_sealed for row in rows})
    for row in rows:
        words = None
        with suppress(LookupError, Unreadable):
            words = tx.open(Place("replies", "body_sealed", row.id), row.body_sealed)
        found[row.task_id] = Heard(words, readings[row.id].meaning, row.received_at)
    return found


def list_tasks(
    database: Database, *, closed: bool | None = False, owner: str | None = None, kind: str | None = None
) -> list[Task]:
    """Open tasks, closed ones, or with None both; the urgent ones first, then by when they are due."""
    return database.read(lambda tx: listed(tx, closed=closed, owner=owner, kind=kind))


def show(
    database: Database, number: int, now: datetime, *, who: str, sites: Collection[int] | None = None
) -> tuple[Task, list[Event]]:
    """One task and its whole story. The reading is put on record.

    A task of none of these `sites` does not exist, if they are given. Raises NoSuchTask.
    """

    def look(tx: Transaction, notes: readings.Notes) -> tuple[Task, list[Event]]:
        task = by_number(tx, number, sites)
        if task is None:
            raise NoSuchTask(number)
        notes.add(Action.TASK_READ, "tasks", number)
        return task, story(tx, number)

    return readings.read(database, look, now, who=who)
