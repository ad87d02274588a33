"""What a person must do, and when: each kind of task with its words, and the verbs to take, acknowledge and close one.

A task says what happened and what to do, never who it is about in words: patients stand beside it by reference.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime

from reminders import plans, store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.store.records import SiteRow
from reminders.store.sending.claims import Claimed
from reminders.store.tasks import Locked, NoSuchTask, Task
from reminders.task_kinds import AWAKE, CRISIS, HELD_TEXT, KINDS, TAKEN_BACK, TELL_CHANGE, About, Happened

MOST_DANGEROUS = 30  # days after discharge (S-19)


def is_waking(now: datetime, zone: str) -> bool:
    """Whether it is between 9 and 20 o'clock in `zone`, on a day from Monday to Friday: someone is at the office."""
    wall = plans.to_wall(now, zone)
    return wall.weekday() < 5 and AWAKE[0] <= wall.time() < AWAKE[1]


def is_dangerous_time(discharged_on: date | None, now: datetime, zone: str) -> bool:
    """Whether `now` is within the first 30 days after discharge, or before it (S-19)."""
    if discharged_on is None:
        return False
    days: int = (plans.to_wall(now, zone).date() - discharged_on).days
    return days <= MOST_DANGEROUS


def tell_of_change(
    tx: store.Transaction,
    *,
    site: SiteRow,
    patient_id: int,
    recipient_id: int,
    number_id: int,
    visit_id: int,
    until: datetime,
    now: datetime,
) -> None:
    """A change that no text can tell in time: someone must phone, at the latest when a text could go until."""
    store.tasks.open_task(
        tx,
        TELL_CHANGE,
        site_id=site.id,
        zone=site.zone,
        now=now,
        until=until,
        recipient_id=recipient_id,
        patient_id=patient_id,
        number_id=number_id,
        appointment_id=visit_id,
    )


_SAYS_ENOUGH = {"category_off", "not_booked", "paused"}  # not agreed to, or no news any more


def tell_instead(tx: store.Transaction, one: Claimed, reason: str, now: datetime) -> None:
    """A notice does not go at its moment, for `reason`: someone phones about each visit it speaks of."""
    unplanned = one.unplanned
    if unplanned is None or unplanned.reader is None or one.patient_id is None or reason in _SAYS_ENOUGH:
        return
    if reason == "no_consent" and unplanned.reader.role != "self":
        return
    for visit_id in unplanned.tells:
        tell_of_change(
            tx,
            site=store.people.site_of_patient(tx, one.patient_id),
            patient_id=one.patient_id,
            recipient_id=unplanned.reader.id,
            number_id=one.number_id,
            visit_id=visit_id,
            until=one.closes_at,
            now=now,
        )


def tell_of_expired(tx: store.Transaction, now: datetime) -> int:
    """Notices whose window shut before they went: a task for each visit they speak of, once; how many are new."""
    made = 0
    for row in store.texts.untold(tx, now):
        key = TELL_CHANGE.key(recipient_id=row.recipient_id, appointment_id=row.appointment_id)
        if store.tasks.opened_since(tx, key, row.opens_at):
            continue
        tell_of_change(
            tx,
            site=store.people.site_of_patient(tx, row.patient_id),
            patient_id=row.patient_id,
            recipient_id=row.recipient_id,
            number_id=row.number_id,
            visit_id=row.appointment_id,
            until=row.closes_at,
            now=now,
        )
        made += 1
    return made


def nothing_to_tell(tx: store.Transaction, recipient_id: int, visit_id: int, now: datetime) -> None:
    """The change was taken back: no one need phone about it any more."""
    store.tasks.close_all(tx, TAKEN_BACK, now, [About(recipient_id=recipient_id, appointment_id=visit_id)])


def phone_instead(tx: store.Transaction, one: Claimed, now: datetime) -> None:
    """A text of someone who may be in danger does not go (C-12): someone phones before the visit it is about."""
    visits = one.due.visits if one.due is not None else one.unplanned.visits if one.unplanned is not None else ()
    store.tasks.open_task(
        tx,
        HELD_TEXT,
        site_id=one.site_id,
        zone=one.reader_zone,
        now=now,
        visits=[visit.starts_at for visit in visits if visit.starts_at > now],
        until=one.closes_at,
        patient_id=one.patient_id,
        number_id=one.number_id,
        text_id=one.text,
        appointment_id=visits[0].id if len(visits) == 1 else None,
    )


class Settled(ValueError):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """The task is closed, or the outcome is none that it can have. The message says what would be right."""


def take(context: AppContext, number: int, now: datetime, *, who: str, sites: Collection[int] | None = None) -> Task:
    """Take a task: it is `who`'s now, and the alarm is acknowledged. Raises NoSuchTask and Settled."""

    def work(tx: store.Transaction) -> Task:
        row = _open_one(tx, number, sites)
        store.tasks.change_task(
            tx, number, owner=who[:64], acknowledged_at=row.acknowledged_at or now, escalates_at=None
        )
        store.oncall.stop_calling(tx, number, now)
        if row.owner != who or row.acknowledged_at is None:
            store.tasks.add_event(tx, number, now, Happened.TAKEN, who=who)
            store.audit_log.note(tx, who=who, what=Action.TASK_TAKEN, table="tasks", row=number, now=now)
        return _read(tx, number)

    return context.database.write(work, again=True)


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What was told to medical personnel in an emergency: to whom, and what emergency it was (42 CFR 2.51, L-47)."""

    to: str = field(repr=False)
    emergency: str = field(repr=False)


def close(
    context: AppContext,
    number: int,
    outcome: str,
    now: datetime,
    *,
    who: str,
    note: str | None = None,
    disclosed: Disclosure | None = None,
    sites: Collection[int] | None = None,
) -> tuple[Task, int]:
    """Close a task with its outcome; the task, and how many held texts go on their way again (C-12).

    A crisis ends with what became of the person (C-13). `note` and what was `disclosed` are sealed in the story, with
    when and by whom. Raises NoSuchTask and Settled.
    """

    def work(tx: store.Transaction) -> tuple[Task, int]:
        number_id = store.tasks.number_of_task(tx, number)
        numbers: set[int] = set()
        if number_id is not None:  # numbers before texts before tasks, as everyone locks
            own = [reader for reader in store.replies.readers_on(tx, number_id) if reader.role == "self"]
            numbers = {number_id, *store.people.numbers_of(tx, [reader.patient_id for reader in own])}
            store.people.lock_numbers(tx, numbers)
        row = _open_one(tx, number, sites)
        allowed = KINDS[row.kind].outcomes
        if outcome not in allowed:
            raise Settled(f"the outcome of this task is one of {', '.join(allowed)}")
        store.tasks.change_task(
            tx,
            number,
            closed_at=now,
            outcome=outcome,
            owner=row.owner or who[:64],
            acknowledged_at=row.acknowledged_at or now,
            escalates_at=None,
        )
        store.oncall.stop_calling(tx, number, now)
        key = store.plans.data_key_of_patient(tx, row.patient_id) if row.patient_id is not None else None
        if disclosed is not None:
            told = f"To: {disclosed.to}\nEmergency: {disclosed.emergency}"
            store.tasks.add_event(tx, number, now, Happened.DISCLOSED, who=who, note=told, key=key)
        store.tasks.add_event(tx, number, now, Happened.CLOSED, {"outcome": outcome}, who=who, note=note, key=key)
        released = 0
        if row.kind == CRISIS.name:
            here, theirs = store.tasks.in_crisis(tx, numbers, [])
            del theirs
            released = store.queue.let_go(tx, numbers - here, "crisis", now)
            for task_id in store.tasks.about_released(tx, numbers - here):  # each ends when its text is handed over
                store.tasks.add_event(tx, task_id, now, Happened.SENT_ON, who=who)
        store.audit_log.note(tx, who=who, what=Action.TASK_CLOSED, table="tasks", row=number, now=now, after=outcome)
        return _read(tx, number), released

    return context.database.write(work, again=True)


def remark(
    context: AppContext, number: int, note: str, now: datetime, *, who: str, sites: Collection[int] | None = None
) -> Task:
    """Add a note to a task's story; it is sealed. Raises NoSuchTask."""

    def work(tx: store.Transaction) -> Task:
        row = store.tasks.lock_task(tx, number)
        if row is None or not _is_at(row, sites):
            raise NoSuchTask(number)
        key = store.plans.data_key_of_patient(tx, row.patient_id) if row.patient_id is not None else None
        store.tasks.add_event(tx, number, now, Happened.NOTE, who=who, note=note, key=key)
        store.audit_log.note(tx, who=who, what=Action.TASK_REMARKED_ON, table="tasks", row=number, now=now)
        return _read(tx, number)

    return context.database.write(work, again=True)


def held_text_of(tx: store.Transaction, number: int, sites: Collection[int] | None) -> int | None:
    """The text of a `held_text` task; the task and the number are locked. Raises NoSuchTask and Settled."""
    number_id = store.tasks.number_of_task(tx, number)
    if number_id is not None:
        store.people.lock_numbers(tx, [number_id])
    row = _open_one(tx, number, sites)
    if row.kind != HELD_TEXT.name:
        raise Settled("this task holds no text")
    return store.tasks.text_of_task(tx, number)


def let_text_go(
    context: AppContext, number: int, now: datetime, *, who: str, sites: Collection[int] | None = None
) -> bool:
    """Let the text go that a `held_text` task is about, although its patient may be in danger (C-12).

    Whether it was held and still of use. The task stays open until the text is handed over, which closes it: a text
    that the rules then keep back is for a person to phone about. Raises NoSuchTask and Settled.
    """

    def work(tx: store.Transaction) -> bool:
        number_id = store.tasks.number_of_task(tx, number)
        if number_id is not None:
            store.people.lock_numbers(tx, [number_id])
        text_id = store.tasks.text_of_task(tx, number)
        went = text_id is not None and store.queue.let_one_go(tx, text_id, now)
        row = _open_one(tx, number, sites)
        if row.kind != HELD_TEXT.name:
            raise Settled("this task holds no text")
        if went:
            store.tasks.change_task(tx, number, owner=row.owner or who[:64])
            store.tasks.add_event(tx, number, now, Happened.SENT_ON, who=who, text_id=text_id)
            store.audit_log.note(tx, who=who, what=Action.HELD_TEXT_LET_GO, table="tasks", row=number, now=now)
        return went

    return context.database.write(work, again=True)


def _is_at(task: Locked, sites: Collection[int] | None) -> bool:
    return sites is None or task.site_id in sites


def _open_one(tx: store.Transaction, number: int, sites: Collection[int] | None = None) -> Locked:
    row = store.tasks.lock_task(tx, number)
    if row is None or not _is_at(row, sites):
        raise NoSuchTask(number)
    if row.closed_at is not None:
        raise Settled(f"task {number} is closed already ({row.outcome})")
    return row


def _read(tx: store.Transaction, number: int) -> Task:
    task = store.tasks.by_number(tx, number)
    assert task is not None
    return task
