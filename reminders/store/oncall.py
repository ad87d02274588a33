"""The alarms of tasks: which ring, who is to be called about them, and the pages that call them. Lock tasks first."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import starmap
from typing import Any

import sqlalchemy as sa

from reminders.lifecycle import NOT_SURE_TO_BE_HEARD
from reminders.store.database.engine import Transaction
from reminders.store.database.ids import new_id
from reminders.store.database.schema import pages, plans, recipients, sites, task_events, tasks, texts
from reminders.store.tasks import LAST_CODE, OPEN, add_event, change_task, lock_task
from reminders.task_kinds import CRISIS, KINDS, Happened

ESCALATING = "escalates_at IS NOT NULL"
OPEN_PAGE = "accepted_at IS NULL AND dropped_at IS NULL"


@dataclass(frozen=True, slots=True)
class Alarms:
    """Urgent tasks that no one has acknowledged: how many, and since when the first of them rings."""

    count: int
    since: datetime | None


def alarms(tx: Transaction, sites: Collection[int] | None = None) -> Alarms:
    """What rings now, at these sites or at all."""
    since = sa.func.min(sa.func.coalesce(tasks.c.rung_at, tasks.c.opened_at), type_=tasks.c.opened_at.type)
    query = sa.select(sa.func.count().label("open"), since.label("since")).select_from(tasks)
    if sites is not None:
        query = query.where(tasks.c.site_id.in_(sites))
    row = tx.first(query.where(sa.text(OPEN), tasks.c.urgency == "urgent", tasks.c.acknowledged_at.is_(None)))
    assert row is not None
    return Alarms(row.open, row.since)


def ring(tx: Transaction, task_id: int, now: datetime, every: timedelta, *, again: bool) -> tuple[int, int]:
    """Ring a task's alarm once more; which ring it is, and the step at which it stands.

    One that no one has acknowledged keeps its clock and its step: what comes on top never slows the escalation down.
    An acknowledged one rings as if no one had if `again`, with a clock of its own; else its clock stays off.
    """
    row = lock_task(tx, task_id)
    assert row is not None
    ringing = row.rung_at is not None and row.acknowledged_at is None
    values: dict[str, Any] = {"rings": row.rings + 1}
    if not ringing and (again or row.rung_at is None):
        values |= {"rung_at": now, "step": 0, "acknowledged_at": None, "escalates_at": now + every}
    change_task(tx, task_id, **values)
    return row.rings + 1, row.step if ringing else 0


def call(tx: Transaction, task_id: int, contacts: Iterable[str], now: datetime, *, ring_number: int, step: int) -> None:
    """Put pages to these contacts of the rota into the outbox."""
    for contact in contacts:
        tx.insert_new(
            pages,
            {
                "id": new_id(now),
                "task_id": task_id,
                "ring": ring_number,
                "step": step,
                "contact": contact[:80],
                "due_at": now,
                "tries": 0,
            },
        )


@dataclass(frozen=True, slots=True)
class Ringing:
    """A task that rings: how often it did, since when, and the step at which it stands."""

    id: int
    kind: str
    rings: int
    rung_at: datetime
    step: int


def escalating(tx: Transaction, now: datetime, limit: int = 200) -> list[Ringing]:
    """Tasks that no one acknowledged in time, locked; the next step is due."""
    query = sa.select(tasks.c.id, tasks.c.kind, tasks.c.rings, tasks.c.rung_at, tasks.c.step)
    query = query.where(sa.text(ESCALATING), tasks.c.escalates_at <= now, sa.text(OPEN))
    rows = tx.all(query.order_by(tasks.c.escalates_at).limit(limit).with_for_update(skip_locked=True))
    return list(starmap(Ringing, rows))


_TO_BE_READ = [kind.name for kind in KINDS.values() if kind.read]


@dataclass(frozen=True, slots=True)
class Unheard:
    """A task that is due and that no one has heard; `discharged_on` is the latest discharge of anyone on its number."""

    id: int
    urgency: str
    zone: str
    discharged_on: date | None


def overdue_unheard(tx: Transaction, now: datetime, limit: int = 200) -> list[Unheard]:
    """Open tasks that are due and for which no one was called, locked: urgent ones, and those to be read."""
    latest = (
        sa.select(sa.func.max(plans.c.discharged_on))
        .select_from(recipients)
        .join(plans, plans.c.patient_id == recipients.c.patient_id)
        .where(recipients.c.number_id == tasks.c.number_id)
        .scalar_subquery()
    )
    query = (
        sa.select(tasks.c.id, tasks.c.urgency, sites.c.zone, latest.label("discharged_on"))
        .join(sites, sites.c.id == tasks.c.site_id)
        .where(sa.text(f"tasks.{OPEN}"), tasks.c.due_at <= now, tasks.c.rung_at.is_(None))
        .where(tasks.c.acknowledged_at.is_(None))
        .where(tasks.c.number_id.is_not(None), sa.or_(tasks.c.urgency == "urgent", tasks.c.kind.in_(_TO_BE_READ)))
        .order_by(tasks.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=tasks)
    )
    return list(starmap(Unheard, tx.all(query)))


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """An answer to someone in danger that did not reach them."""

    task_id: int
    text_id: int
    state: str
    error_code: int | None


def lost_answers(tx: Transaction, now: datetime) -> list[LostAnswer]:
    """The answers to people in danger that did not reach them and of which no one was told, of open tasks of a day."""
    told = task_events.alias("told")
    known = sa.select(told.c.id).where(told.c.text_id == task_events.c.text_id, told.c.what == Happened.ANSWER_LOST)
    query = (
        sa.select(task_events.c.task_id, texts.c.id.label("text_id"), texts.c.state, LAST_CODE.label("error_code"))
        .join(texts, texts.c.id == task_events.c.text_id)
        .join(tasks, tasks.c.id == task_events.c.task_id)
        .where(task_events.c.what == Happened.ANSWERED, task_events.c.at > now - timedelta(days=1))
        .where(sa.text(f"tasks.{OPEN}"), tasks.c.kind == CRISIS.name, ~known.exists())
        .where(texts.c.state.in_(NOT_SURE_TO_BE_HEARD))
        .order_by(task_events.c.id)
    )
    return list(starmap(LostAnswer, tx.all(query)))


def stop_calling(tx: Transaction, task_id: int, now: datetime) -> None:
    """Drop the pages of a task that were not taken yet: someone has it in hand."""
    tx.run(pages.update().where(pages.c.task_id == task_id, sa.text(OPEN_PAGE)).values(dropped_at=now))


@dataclass(frozen=True, slots=True)
class Page:
    """A page to one contact of the rota about a ring of a task; `tries` are those before this one."""

    id: int
    task_id: int
    ring: int
    step: int
    contact: str
    tries: int


def take_pages(tx: Transaction, now: datetime, busy_until: datetime, limit: int = 100) -> list[Page]:
    """Pages to send now; no one else takes them before `busy_until`."""
    query = sa.select(pages.c.id, pages.c.task_id, pages.c.ring, pages.c.step, pages.c.contact, pages.c.tries)
    query = query.where(sa.text(OPEN_PAGE), pages.c.due_at <= now).order_by(pages.c.due_at)
    found = list(starmap(Page, tx.all(query.limit(limit).with_for_update(skip_locked=True))))
    taken = pages.update().where(pages.c.id.in_([page.id for page in found]))
    tx.run(taken.values(due_at=busy_until, tries=pages.c.tries + 1))
    return found


def note_page(tx: Transaction, page: Page, now: datetime, *, accepted: bool, again_at: datetime) -> None:
    """What came of a page: taken by the contact's service, or to be tried again."""
    mine = pages.update().where(pages.c.id == page.id, pages.c.accepted_at.is_(None))
    if not tx.run(mine.values(accepted_at=now) if accepted else mine.values(due_at=again_at)):
        return
    if accepted or page.tries == 0:
        what = Happened.PAGED if accepted else Happened.PAGE_NOT_TAKEN
        add_event(tx, page.task_id, now, what, {"contact": page.contact})


def drop_page(tx: Transaction, page: Page, now: datetime) -> None:
    """A page to someone who is not on the rota any more."""
    tx.run(pages.update().where(pages.c.id == page.id).values(dropped_at=now))


def with_lost_answers(tx: Transaction, task_ids: Collection[int]) -> set[int]:
    """Of these tasks those whose latest answer is known not to have reached anyone."""
    query = (
        sa.select(task_events.c.task_id, task_events.c.what)
        .where(task_events.c.task_id.in_(task_ids), task_events.c.what.in_((Happened.ANSWERED, Happened.ANSWER_LOST)))
        .order_by(task_events.c.id)
    )
    latest = {row.task_id: row.what for row in tx.all(query)}
    return {task_id for task_id, what in latest.items() if what == Happened.ANSWER_LOST}


def stuck_pages(tx: Transaction, tries: int) -> int:
    """How many pages no one's service has taken after so many tries."""
    query = sa.select(sa.func.count()).select_from(pages).where(sa.text(OPEN_PAGE), pages.c.tries >= tries)
    return int(tx.value(query))


def kinds_of(tx: Transaction, task_ids: Collection[int]) -> dict[int, str]:
    """Number → kind of these tasks."""
    rows = tx.all(sa.select(tasks.c.id, tasks.c.kind).where(tasks.c.id.in_(task_ids)))
    return {row.id: row.kind for row in rows}


def unaccepted_pages(tx: Transaction) -> int:
    """How many pages no one's service has taken after the first try."""
    query = sa.select(sa.func.count()).select_from(pages).where(sa.text(OPEN_PAGE), pages.c.tries > 0)
    return int(tx.value(query))
