"""What a person must do: tasks with their story, and the pages that call someone.

A task is found by its `key`, the natural name of what it is about: while one is open, the same cause adds to its story
instead of opening another. Lock numbers, texts and attempts before tasks.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from reminders.lifecycle import HANDED_OVER, NOT_SURE_TO_BE_HEARD
from reminders.store.database.engine import Transaction
from reminders.store.database.fast_path import Prepared
from reminders.store.database.ids import new_id
from reminders.store.database.schema import (
    appointments,
    attempts,
    numbers,
    pages,
    patients,
    plans,
    recipients,
    replies,
    series,
    sites,
    task_events,
    tasks,
    texts,
)
from reminders.store.database.sealing import DataKey, Place
from reminders.store.people import masked_of, recipients_of
from reminders.store.replies import reading_of

OPEN = "closed_at IS NULL"
ESCALATING = "escalates_at IS NOT NULL"
OPEN_PAGE = "accepted_at IS NULL AND dropped_at IS NULL"


_GRAVEST = ("urgent", "soon", "normal")


def open_task(
    tx: Transaction,
    *,
    kind: str,
    key: str,
    urgency: str,
    site_id: int,
    now: datetime,
    due_at: datetime,
    once: bool = False,
    **about: int | None,
) -> tuple[int, bool]:
    """The open task of that key, made if there is none; its number, and whether it is new.

    `about` are the rows it is about (`patient_id`, `number_id`, `plan_id`, `appointment_id`, `text_id`). With `once` a
    closed task of that key counts too: what was dealt with does not come back. An open one whose time was later is now
    due at `due_at`, and one that was less urgent is as urgent as this.
    """
    found = tx.first(sa.select(tasks).where(tasks.c.key == key).order_by(tasks.c.id.desc()).limit(1).with_for_update())
    if found is not None and (found.closed_at is None or once):
        graver = _GRAVEST.index(urgency) < _GRAVEST.index(found.urgency)
        if found.closed_at is None and (due_at < found.due_at or graver):
            values = {"due_at": min(due_at, found.due_at)} | ({"urgency": urgency} if graver else {})
            tx.run(tasks.update().where(tasks.c.id == found.id).values(**values))
        return found.id, False
    row = {
        "site_id": site_id,
        "kind": kind,
        "key": key,
        "urgency": urgency,
        "opened_at": now,
        "due_at": due_at,
        "rings": 0,
        "step": 0,
        **about,
    }
    made = tx.first(tasks.insert().values(**row).returning(tasks.c.id))
    assert made is not None
    add_event(tx, made.id, now, what="opened", who="the service")
    return made.id, True


def opened_since(tx: Transaction, key: str, since: datetime) -> bool:
    """Whether there is an open task of that key, or one that was opened since then."""
    mine = sa.select(tasks.c.id).where(tasks.c.key == key)
    return tx.first(mine.where(sa.or_(tasks.c.closed_at.is_(None), tasks.c.opened_at >= since)).limit(1)) is not None


def task_known(tx: Transaction, key: str) -> bool:
    """Whether there ever was a task of that key."""
    return tx.first(sa.select(tasks.c.id).where(tasks.c.key == key).limit(1)) is not None


def add_event(
    tx: Transaction,
    task_id: int,
    now: datetime,
    *,
    what: str,
    who: str,
    detail: str | None = None,
    note: str | None = None,
    key: DataKey | None = None,
    reply_id: int | None = None,
    text_id: int | None = None,
) -> None:
    """Append to a task's story. `detail` stands in the clear and names no one; `note` is sealed."""
    event_id = new_id(now)
    place = Place("task_events", "note_sealed", event_id)
    sealed = tx.seal(place, note, key) if note else None
    tx.run(
        task_events.insert(),
        {
            "id": event_id,
            "task_id": task_id,
            "at": now,
            "what": what,
            "who": who[:64],
            "detail": detail[:200] if detail else None,
            "note_sealed": sealed,
            "reply_id": reply_id,
            "text_id": text_id,
        },
    )


def lock_task(tx: Transaction, task_id: int) -> Row[Any] | None:
    """One task, locked for a change."""
    return tx.first(sa.select(tasks).where(tasks.c.id == task_id).with_for_update())


def number_of_task(tx: Transaction, task_id: int) -> int | None:
    """The number a task is about, to be locked before the task."""
    found = tx.value(sa.select(tasks.c.number_id).where(tasks.c.id == task_id))
    return int(found) if found is not None else None


def open_keys(tx: Transaction, kind: str) -> list[str]:
    """The keys of the open tasks of that kind."""
    query = sa.select(tasks.c.key).where(sa.text(OPEN), tasks.c.kind == kind)
    return [row.key for row in tx.all(query.order_by(tasks.c.id))]


SPOKEN = ("reached", "rebooked")  # outcomes that say that someone spoke to the patient


def calls_about(
    tx: Transaction, kinds: Collection[str], *, patient_id: int, number_id: int, appointment_id: int | None
) -> Sequence[Row[Any]]:
    """Tasks of these kinds that make someone call a patient: id, appointment_id, due_at, closed_at.

    Open ones about the patient, or about their number where they name no one; and closed ones about this visit whose
    outcome says that someone spoke to the patient.
    """
    return tx.all(
        sa.select(tasks.c.id, tasks.c.appointment_id, tasks.c.due_at, tasks.c.closed_at)
        .where(tasks.c.kind.in_(kinds))
        .where(
            sa.or_(
                tasks.c.patient_id == patient_id,
                sa.and_(tasks.c.number_id == number_id, tasks.c.patient_id.is_(None)),  # a phone may be shared
            )
        )
        .where(
            sa.or_(
                sa.text(OPEN),
                sa.and_(tasks.c.appointment_id == appointment_id, tasks.c.outcome.in_(SPOKEN)),
            )
        )
        .order_by(tasks.c.id)
    )


def text_of_task(tx: Transaction, task_id: int) -> int | None:
    """The text a task is about."""
    found = tx.value(sa.select(tasks.c.text_id).where(tasks.c.id == task_id))
    return int(found) if found is not None else None


def handed_over_after_all(tx: Transaction, site_id: int) -> list[str]:
    """The keys of the open tasks of a site about held texts that were handed over since."""
    query = (
        sa.select(tasks.c.key)
        .join(texts, texts.c.id == tasks.c.text_id)
        .where(tasks.c.kind == "held_text", sa.text(f"tasks.{OPEN}"), tasks.c.site_id == site_id)
        .where(texts.c.state.in_(HANDED_OVER))
    )
    return [row.key for row in tx.all(query.order_by(tasks.c.id))]


def about_released(tx: Transaction, number_ids: Collection[int]) -> list[int]:
    """The open tasks about texts to these numbers that were held, are held no longer and are of use yet."""
    query = (
        sa.select(tasks.c.id)
        .join(texts, texts.c.id == tasks.c.text_id)
        .where(tasks.c.kind == "held_text", sa.text(f"tasks.{OPEN}"), tasks.c.number_id.in_(number_ids))
        .where(texts.c.state == "scheduled", texts.c.held.is_(None))
    )
    return [row.id for row in tx.all(query)]


def tell_stopped(tx: Transaction, text_ids: Collection[int], why: str, now: datetime) -> None:
    """Texts do not go after all: the open tasks that hold them say why, and stay open for a person to phone."""
    query = sa.select(tasks.c.id, tasks.c.text_id).where(
        tasks.c.kind == "held_text", sa.text(OPEN), tasks.c.text_id.in_(text_ids)
    )
    for row in tx.all(query):
        add_event(tx, row.id, now, what="not sent", who="the service", detail=why, text_id=row.text_id)


def change_task(tx: Transaction, task_id: int, **values: Any) -> None:
    """Write what became of a task: `owner`, `acknowledged_at`, `closed_at` with `outcome`, `escalates_at` …"""
    tx.run(tasks.update().where(tasks.c.id == task_id).values(**values))


def close_by_key(tx: Transaction, keys: Collection[str], now: datetime, *, outcome: str, why: str) -> int:
    """Close open tasks whose cause is gone by itself; how many."""
    rows = tx.all(sa.select(tasks.c.id).where(tasks.c.key.in_(keys), sa.text(OPEN)).with_for_update())
    for row in rows:
        change_task(tx, row.id, closed_at=now, outcome=outcome, escalates_at=None)
        add_event(tx, row.id, now, what="closed", who="the service", detail=why)
    return len(rows)


_CRISIS = sa.select(tasks.c.number_id).where(sa.text(f"tasks.{OPEN}"), tasks.c.kind == "crisis")
ANY_CRISIS = _CRISIS.exists()
_IN_CRISIS = Prepared(_CRISIS)


def in_crisis(tx: Transaction, number_ids: Collection[int], patient_ids: Collection[int]) -> tuple[set[int], set[int]]:
    """Of these numbers those with an open crisis task, and of these patients those whose own number has one (C-12)."""
    there = {row.number_id for row in tx.rows(_IN_CRISIS, {})}
    if not there:
        return set(), set()
    own = sa.select(recipients.c.patient_id).where(
        recipients.c.number_id.in_(there), recipients.c.role == "self", recipients.c.patient_id.in_(patient_ids)
    )
    return there & set(number_ids), {row.patient_id for row in tx.all(own)}


def lost_answers(tx: Transaction, now: datetime) -> Sequence[Row[Any]]:
    """Answers to someone in danger that did not reach them and of which no one was told: task_id, text_id, state,
    error_code. Only of open tasks of the last day.
    """
    told = task_events.alias("told")
    known = sa.select(told.c.id).where(told.c.text_id == task_events.c.text_id, told.c.what == "answer lost")
    of_last = (
        sa.select(attempts.c.error_code)
        .where(attempts.c.text_id == texts.c.id)
        .order_by(attempts.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        sa.select(task_events.c.task_id, texts.c.id.label("text_id"), texts.c.state, of_last.label("error_code"))
        .join(texts, texts.c.id == task_events.c.text_id)
        .join(tasks, tasks.c.id == task_events.c.task_id)
        .where(task_events.c.what == "answered", task_events.c.at > now - timedelta(days=1))
        .where(sa.text(f"tasks.{OPEN}"), tasks.c.kind == "crisis", ~known.exists())
        .where(texts.c.state.in_(NOT_SURE_TO_BE_HEARD))
        .order_by(task_events.c.id)
    )
    return tx.all(query)


# Paging.


def ring(tx: Transaction, task_id: int, now: datetime, every: timedelta, *, anew: bool) -> tuple[int, int]:
    """Ring a task's alarm once more; which ring it is, and the step at which it stands.

    One that no one has acknowledged keeps its clock and its step: what comes on top never slows the escalation down.
    An acknowledged one rings as if no one had if `again`, with a clock of its own; else its clock stays off.
    """
    row = lock_task(tx, task_id)
    assert row is not None
    ringing = row.rung_at is not None and row.acknowledged_at is None
    values: dict[str, Any] = {"rings": row.rings + 1}
    if not ringing and (anew or row.rung_at is None):
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


def escalating(tx: Transaction, now: datetime, limit: int = 200) -> Sequence[Row[Any]]:
    """Tasks that no one acknowledged in time, locked; the next step is due."""
    query = sa.select(tasks).where(sa.text(ESCALATING), tasks.c.escalates_at <= now, sa.text(OPEN))
    return tx.all(query.order_by(tasks.c.escalates_at).limit(limit).with_for_update(skip_locked=True))


def overdue_unheard(tx: Transaction, now: datetime, kinds: Collection[str], limit: int = 200) -> Sequence[Row[Any]]:
    """Open tasks that are due, that no one has heard, and for which no one was called: urgent ones, and of `kinds`.

    Locked; each with the zone of its site and `discharged_on`, the latest discharge of anyone on its number.
    """
    latest = (
        sa.select(sa.func.max(plans.c.discharged_on))
        .select_from(recipients)
        .join(plans, plans.c.patient_id == recipients.c.patient_id)
        .where(recipients.c.number_id == tasks.c.number_id)
        .scalar_subquery()
    )
    query = (
        sa.select(tasks.c.id, tasks.c.kind, tasks.c.urgency, sites.c.zone, latest.label("discharged_on"))
        .join(sites, sites.c.id == tasks.c.site_id)
        .where(sa.text(f"tasks.{OPEN}"), tasks.c.due_at <= now, tasks.c.rung_at.is_(None))
        .where(tasks.c.acknowledged_at.is_(None))
        .where(tasks.c.number_id.is_not(None), sa.or_(tasks.c.urgency == "urgent", tasks.c.kind.in_(kinds)))
        .order_by(tasks.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True, of=tasks)
    )
    return tx.all(query)


def unheard_again(tx: Transaction, task_id: int, due_at: datetime) -> None:
    """More was written to a task that someone has taken: what is new in it no one has heard, and it is due at `due_at`.

    Its owner stays. One that was not taken keeps its time and its alarm.
    """
    taken = tasks.update().where(tasks.c.id == task_id, tasks.c.acknowledged_at.is_not(None))
    tx.run(taken.values(acknowledged_at=None, due_at=due_at, rung_at=None, escalates_at=None, step=0))


def stop_calling(tx: Transaction, task_id: int, now: datetime) -> None:
    """Drop the pages of a task that were not taken yet: someone has it in hand."""
    tx.run(pages.update().where(pages.c.task_id == task_id, sa.text(OPEN_PAGE)).values(dropped_at=now))


def take_pages(tx: Transaction, now: datetime, busy_until: datetime, limit: int = 100) -> Sequence[Row[Any]]:
    """Pages to send now: id, task_id, contact, tries, step; no one else takes them before `busy_until`."""
    query = sa.select(pages).where(sa.text(OPEN_PAGE), pages.c.due_at <= now).order_by(pages.c.due_at)
    rows = tx.all(query.limit(limit).with_for_update(skip_locked=True))
    taken = pages.update().where(pages.c.id.in_([row.id for row in rows]))
    tx.run(taken.values(due_at=busy_until, tries=pages.c.tries + 1))
    return rows


def note_page(tx: Transaction, page: Row[Any], now: datetime, *, accepted: bool, again_at: datetime) -> None:
    """What came of a page: taken by the contact's service, or to be tried again."""
    mine = pages.update().where(pages.c.id == page.id, pages.c.accepted_at.is_(None))
    if not tx.run(mine.values(accepted_at=now) if accepted else mine.values(due_at=again_at)):
        return
    if accepted or page.tries == 0:
        what = "paged" if accepted else "page not taken"
        add_event(tx, page.task_id, now, what=what, who="the service", detail=page.contact)


def drop_page(tx: Transaction, page: Row[Any], now: datetime) -> None:
    """A page to someone who is not on the rota any more."""
    tx.run(pages.update().where(pages.c.id == page.id).values(dropped_at=now))


def with_lost_answers(tx: Transaction, task_ids: Collection[int]) -> set[int]:
    """Of these tasks those whose latest answer is known not to have reached anyone."""
    query = (
        sa.select(task_events.c.task_id, task_events.c.what)
        .where(task_events.c.task_id.in_(task_ids), task_events.c.what.in_(("answered", "answer lost")))
        .order_by(task_events.c.id)
    )
    latest = {row.task_id: row.what for row in tx.all(query)}
    return {task_id for task_id, what in latest.items() if what == "answer lost"}


def kinds_of(tx: Transaction, task_ids: Collection[int]) -> dict[int, str]:
    """Number → kind of these tasks."""
    rows = tx.all(sa.select(tasks.c.id, tasks.c.kind).where(tasks.c.id.in_(task_ids)))
    return {row.id: row.kind for row in rows}


def latest_details(tx: Transaction, task_ids: Collection[int], what: str) -> dict[int, str]:
    """Number → the detail of the latest event of that sort, of these tasks."""
    query = sa.select(task_events.c.task_id, task_events.c.detail).where(
        task_events.c.task_id.in_(task_ids), task_events.c.what == what, task_events.c.detail.is_not(None)
    )
    return {row.task_id: row.detail for row in tx.all(query.order_by(task_events.c.id))}


def details(tx: Transaction, task_id: int, what: str) -> set[str]:
    """What the events of that sort of a task say."""
    query = sa.select(task_events.c.detail).where(task_events.c.task_id == task_id, task_events.c.what == what)
    return {row.detail for row in tx.all(query) if row.detail}


def stuck_pages(tx: Transaction, tries: int) -> int:
    """How many pages no one's service has taken after so many tries."""
    query = sa.select(sa.func.count()).select_from(pages).where(sa.text(OPEN_PAGE), pages.c.tries >= tries)
    return int(tx.value(query))


def unaccepted_pages(tx: Transaction) -> int:
    """How many pages no one's service has taken after the first try."""
    query = sa.select(sa.func.count()).select_from(pages).where(sa.text(OPEN_PAGE), pages.c.tries > 0)
    return int(tx.value(query))


class NoSuchTask(LookupError):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """There is no task of that number."""


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


def open_by_urgency(tx: Transaction, sites: Collection[int] | None = None) -> dict[str, int]:
    """How many tasks of these sites, or of all, are open, by urgency."""
    query = sa.select(tasks.c.urgency, sa.func.count().label("open")).where(sa.text(OPEN))
    if sites is not None:
        query = query.where(tasks.c.site_id.in_(sites))
    return {row.urgency: row.open for row in tx.all(query.group_by(tasks.c.urgency))}


# What people see.


@dataclass(frozen=True, slots=True)
class Task:
    """A task as it is listed. `patients` are the references of everyone it may be about; the number is masked."""

    id: int
    kind: str
    urgency: str
    site: str
    zone: str
    opened_at: datetime
    due_at: datetime
    owner: str | None
    acknowledged_at: datetime | None
    rung_at: datetime | None
    step: int
    escalates_at: datetime | None
    closed_at: datetime | None
    outcome: str | None
    patients: tuple[str, ...]
    plan: str | None
    visit: str | None
    starts_at: datetime | None
    to: str | None
    text_id: int | None
    number_id: int | None
    site_id: int
    patient_ids: tuple[int, ...]
    plan_id: int | None
    appointment_id: int | None

    @property
    def place(self) -> tuple[int, datetime, int]:
        """Where it stands among the open ones, or among the closed ones."""
        return (0 if self.urgency == "urgent" else 1), self.closed_at or self.due_at, self.id


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a task's story. `words` are an inbound text or a note: personal.

    `text_id` names a text of ours, with its wording, state, reason, and the code that its last attempt met.
    """

    at: datetime
    what: str
    who: str
    detail: str | None
    words: str | None = field(repr=False)
    rules: tuple[str, ...]
    text_id: int | None
    text_state: str | None
    text_wording: str | None
    text_reason: str | None
    text_code: int | None


def listed(
    tx: Transaction,
    *,
    closed: bool | None = False,
    owner: str | None = None,
    kind: str | None = None,
    sites: Collection[int] | None = None,
    after: tuple[int, datetime, int] | None = None,
    urgent: bool | None = None,
    unowned: bool = False,
    but: str | None = None,
    limit: int = 500,
) -> list[Task]:
    """Open tasks, or closed ones, or with None both: open before closed, the urgent ones first, then by due time.

    Closed ones alone come with the latest first. `sites` are those whose tasks exist for the reader, by default all.
    `after` is the `place` of the last task of the page before, of open ones or of closed ones alone. `urgent` says
    whether only urgent ones, or only others; `unowned` wants those that no one took; `but` leaves a kind out.
    """
    urgent_first = sa.case((tasks.c.urgency == "urgent", 0), else_=1)
    open_first = sa.case((sa.text(f"tasks.{OPEN}"), 0), else_=1)
    order = (tasks.c.closed_at.desc(), tasks.c.id) if closed else (open_first, urgent_first, tasks.c.due_at, tasks.c.id)
    query = _tasks().order_by(*order).limit(limit)
    if sites is not None:
        query = query.where(tasks.c.site_id.in_(sites))
    if after is not None:
        rank, at, number = after[0], sa.literal(after[1], tasks.c.due_at.type), after[2]
        later = sa.and_(tasks.c.closed_at == at, tasks.c.id > number)
        if closed:
            query = query.where(sa.or_(tasks.c.closed_at < at, later))
        else:
            here = sa.tuple_(sa.literal(rank), at, sa.literal(number))
            query = query.where(sa.tuple_(urgent_first, tasks.c.due_at, tasks.c.id) > here)
    if closed is not None:
        query = query.where(tasks.c.closed_at.is_not(None) if closed else sa.text(f"tasks.{OPEN}"))
    if owner is not None:
        query = query.where(tasks.c.owner == owner)
    if kind is not None:
        query = query.where(tasks.c.kind == kind)
    if but is not None:
        query = query.where(tasks.c.kind != but)
    if urgent is not None:
        query = query.where(tasks.c.urgency == "urgent" if urgent else tasks.c.urgency != "urgent")
    if unowned:
        query = query.where(tasks.c.owner.is_(None))
    return _read(tx, tx.all(query), sites)


def latest_by_key(tx: Transaction, keys: Collection[str]) -> dict[str, Row[Any]]:
    """Key → the latest task of that key: id, key, due_at, closed_at, outcome."""
    columns = (tasks.c.id, tasks.c.key, tasks.c.due_at, tasks.c.closed_at, tasks.c.outcome)
    query = sa.select(*columns).where(tasks.c.key.in_(keys))
    return {row.key: row for row in tx.all(query.order_by(tasks.c.id))}


def by_number(tx: Transaction, task_id: int, sites: Collection[int] | None = None) -> Task | None:
    """One task, if it is one of these sites', or of all."""
    query = _tasks().where(tasks.c.id == task_id)
    if sites is not None:
        query = query.where(tasks.c.site_id.in_(sites))
    return next(iter(_read(tx, tx.all(query), sites)), None)


def story(tx: Transaction, task_id: int, *, words: bool = True) -> list[Event]:
    """Everything that happened in a task, in order; what people wrote is opened unless told otherwise."""
    code = (
        sa.select(attempts.c.error_code)
        .where(attempts.c.text_id == texts.c.id)
        .order_by(attempts.c.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        sa.select(
            task_events,
            replies.c.body_sealed.label("said"),
            replies.c.reading_sealed,
            texts.c.state,
            texts.c.wording,
            texts.c.reason,
            code.label("error_code"),
        )
        .outerjoin(replies, replies.c.id == task_events.c.reply_id)
        .outerjoin(texts, texts.c.id == task_events.c.text_id)
        .where(task_events.c.task_id == task_id)
        .order_by(task_events.c.at, task_events.c.id)
    )
    found = []
    for row in tx.all(query):
        said = None
        if words and row.note_sealed is not None:
            said = tx.open_if_legible(Place("task_events", "note_sealed", row.id), row.note_sealed)
        elif words and row.said is not None:
            said = tx.open_if_legible(Place("replies", "body_sealed", row.reply_id), row.said)
        found.append(
            Event(
                at=row.at,
                what=row.what,
                who=row.who,
                detail=row.detail,
                words=said,
                rules=reading_of(tx, row.reply_id, row.reading_sealed).rules if row.reading_sealed is not None else (),
                text_id=row.text_id,
                text_state=row.state,
                text_wording=row.wording,
                text_reason=row.reason,
                text_code=row.error_code,
            )
        )
    return found


def _tasks() -> sa.Select[Any]:
    return (
        sa.select(
            tasks,
            sites.c.key.label("site_key"),
            sites.c.zone,
            patients.c.ref.label("patient_ref"),
            plans.c.ref.label("plan_ref"),
            series.c.key.label("series_key"),
            appointments.c.recurrence_id,
            appointments.c.starts_at,
            numbers.c.phone_sealed,
        )
        .join(sites, sites.c.id == tasks.c.site_id)
        .outerjoin(patients, patients.c.id == tasks.c.patient_id)
        .outerjoin(plans, plans.c.id == tasks.c.plan_id)
        .outerjoin(appointments, appointments.c.id == tasks.c.appointment_id)
        .outerjoin(series, series.c.id == appointments.c.series_id)
        .outerjoin(numbers, numbers.c.id == tasks.c.number_id)
    )


def _read(tx: Transaction, rows: Sequence[Row[Any]], places: Collection[int] | None) -> list[Task]:
    by_number_alone = {row.number_id for row in rows if row.number_id is not None and row.patient_id is None}
    shared = _patients_on(tx, by_number_alone, places)
    return [
        Task(
            id=row.id,
            kind=row.kind,
            urgency=row.urgency,
            site=row.site_key,
            zone=row.zone,
            opened_at=row.opened_at,
            due_at=row.due_at,
            owner=row.owner,
            acknowledged_at=row.acknowledged_at,
            rung_at=row.rung_at,
            step=row.step,
            escalates_at=row.escalates_at,
            closed_at=row.closed_at,
            outcome=row.outcome,
            patients=(row.patient_ref,) if row.patient_ref else tuple(ref for _, ref in shared.get(row.number_id, ())),
            plan=row.plan_ref,
            visit=f"{row.series_key}@{row.recurrence_id}" if row.series_key else None,
            starts_at=row.starts_at,
            to=masked_of(tx, row.number_id, row.phone_sealed) if row.phone_sealed is not None else None,
            text_id=row.text_id,
            number_id=row.number_id,
            site_id=row.site_id,
            patient_ids=(row.patient_id,)
            if row.patient_ref
            else tuple(one for one, _ in shared.get(row.number_id, ())),
            plan_id=row.plan_id,
            appointment_id=row.appointment_id,
        )
        for row in rows
    ]


def _patients_on(
    tx: Transaction, number_ids: Collection[int], places: Collection[int] | None
) -> dict[int, tuple[tuple[int, str], ...]]:
    query = (
        sa.select(recipients.c.number_id, patients.c.id, patients.c.ref)
        .join(patients, patients.c.id == recipients.c.patient_id)
        .where(recipients.c.number_id.in_(number_ids))
        .distinct()
        .order_by(patients.c.ref, patients.c.id)
    )
    if places is not None:
        query = query.where(patients.c.site_id.in_(places))
    found: dict[int, tuple[tuple[int, str], ...]] = {}
    for row in tx.all(query):
        found[row.number_id] = (*found.get(row.number_id, ()), (row.id, row.ref))
    return found


def number_of(tx: Transaction, task: Task) -> int | None:
    """The number that a task is about: its own, else its patient's."""
    if task.number_id is not None or len(task.patient_ids) != 1:
        return task.number_id
    own = [one for one in recipients_of(tx, task.patient_ids[0]) if one.role == "self"]
    return own[0].number_id if own else None
