"""Tasks as people look at them: listed, opened, with what happened to each."""

from datetime import datetime
from typing import Any

from reminders.queries import explanations
from reminders.store.tasks import Event, Task
from reminders.task_kinds import KINDS


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
                "detail": event.detail,
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
