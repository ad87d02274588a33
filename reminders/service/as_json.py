"""Things as programs see them: the same names and values from the command line's `--json` and from the API
(docs/api.md).

Ids of rows are text, since they are longer than the whole numbers that JavaScript can hold. Tasks are numbered from 1.
"""

from datetime import datetime
from typing import Any

from reminders.queries import explanations
from reminders.service.operations.health import Status
from reminders.service.planning.accepting import Previewed
from reminders.service.tasks.handling import KINDS
from reminders.store.tasks import Event, Task


def previewed(text: Previewed) -> dict[str, Any]:
    """A text of a preview."""
    return {
        "key": text.key,
        "class": text.class_,
        "recipient": text.recipient,
        "opens_at": text.opens_at,
        "closes_at": text.closes_at,
        "goes_at": text.goes_at if text.goes else None,
        "local": text.local,
        "zone": text.zone,
        "goes": text.goes,
        "state": text.state,
        "reason": text.reason,
        "text": text.text,
        "segments": text.segments,
        "encoding": text.encoding,
        "appointments": list(text.appointments),
        "red": text.red,
    }


def task(one: Task, now: datetime) -> dict[str, Any]:
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


def told(one: Task, story_of_it: list[Event], now: datetime) -> dict[str, Any]:
    """A task with what is to do, the outcomes it can have, and its whole story."""
    kind = KINDS[one.kind]
    return {
        **task(one, now),
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


def status(now: Status) -> dict[str, Any]:
    """How the service does."""
    return {
        "ok": now.ok,
        "jobs": {
            name: {"last_success": job.last_success, "age_seconds": job.age_seconds, "error": job.error}
            for name, job in now.jobs.items()
        },
        "queue": {
            "due": now.due,
            "oldest_due_seconds": now.oldest_due_seconds,
            "sending": now.sending,
            "uncertain": now.uncertain,
        },
        "troubles": now.troubles,
    }
