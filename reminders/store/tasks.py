"""What a person must do: tasks with their story.

A task is found by its `key`, the natural name of what it is about: while one is open, the same cause adds to its story
instead of opening another. Lock numbers, texts and attempts before tasks.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import starmap
from typing import Any, NamedTuple, Unpack

import sqlalchemy as sa

from reminders.lifecycle import HANDED_OVER
from reminders.store.database.engine import Transaction
from reminders.store.database.fast_path import PreparedSelect
from reminders.store.database.ids import new_id
from reminders.store.database.schema import (
    appointments,
    attempts,
    numbers,
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
from reminders.task_kinds import CRISIS, HELD_TEXT, KINDS, UNVERIFIED, About, Cause, Happened, Kind, closed_by

OPEN = "closed_at IS NULL"


LONGEST_DETAIL = 200
_GRAVEST = ("urgent", "soon", "normal")


def open_task(
    tx: Transaction,
    kind: Kind,
    *,
    site_id: int,
    zone: str,
    now: datetime,
    visits: Iterable[datetime] = (),
    until: datetime | None = None,
    grave: bool = False,
    once: bool = False,
    **about: Unpack[About],
) -> tuple[int, bool]:
    """The open task of that kind about that, made if there is none; its number, and whether it is new.

    It is due by the rule of its kind, at a site in `zone`: `visits` are those it is about, after `until` it is of no
    use. With `once` a closed task about that counts too: what was dealt with does not come back. An open one that was
    due later, or less urgent, is due and as urgent as this.
    """
    key = kind.key(**about)
    urgency = "urgent" if grave else kind.urgency
    due_at = (kind.grave if grave and kind.grave else kind.due).by(now, zone, visits=visits, until=until)
    found = tx.first(sa.select(tasks).where(tasks.c.key == key).order_by(tasks.c.id.desc()).limit(1).with_for_update())
    if found is not None and (found.closed_at is None or once):
        graver = _GRAVEST.index(urgency) < _GRAVEST.index(found.urgency)
        if found.closed_at is None and (due_at < found.due_at or graver):
            values = {"due_at": min(due_at, found.due_at)} | ({"urgency": urgency} if graver else {})
            tx.run(tasks.update().where(tasks.c.id == found.id).values(**values))
        if kind.read and found.closed_at is None:
            _unheard_again(tx, found.id, due_at)
        return found.id, False
    row = {
        "site_id": site_id,
        "kind": kind.name,
        "key": key,
        "urgency": urgency,
        "opened_at": now,
        "due_at": due_at,
        "rings": 0,
        "step": 0,
        **{name: value for name, value in about.items() if name in tasks.c},
    }
    made = tx.first(tasks.insert().values(**row).returning(tasks.c.id))
    assert made is not None
    add_event(tx, made.id, now, Happened.OPENED)
    return made.id, True


def _unheard_again(tx: Transaction, task_id: int, due_at: datetime) -> None:
    """More was written to a task that someone has taken: what is new in it no one has heard, and it is due at `due_at`.

    Its owner stays. One that was not taken keeps its time and its alarm.
    """
    taken = tasks.update().where(tasks.c.id == task_id, tasks.c.acknowledged_at.is_not(None))
    tx.run(taken.values(acknowledged_at=None, due_at=due_at, rung_at=None, escalates_at=None, step=0))


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
    what: Happened,
    values: Mapping[str, str | int] | None = None,
    *,
    who: str = "the service",
    note: str | None = None,
    key: DataKey | None = None,
    reply_id: int | None = None,
    text_id: int | None = None,
) -> None:
    """Append to a task's story. `values` stand in the clear and name no one; `note` is sealed."""
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
            "detail": _packed(values) if values else None,
            "note_sealed": sealed,
            "reply_id": reply_id,
            "text_id": text_id,
        },
    )


def _packed(values: Mapping[str, str | int]) -> str:
    """As JSON that fits its column: a long word loses its end before a story loses a line."""
    for longest in (80, 40, 20):
        cut = {name: value[:longest] if isinstance(value, str) else value for name, value in values.items()}
        packed = json.dumps(cut, ensure_ascii=False)
        if len(packed) <= LONGEST_DETAIL:
            break
    return packed


def _unpacked(detail: str | None) -> Mapping[str, Any]:
    """The values of what happened; 0.2.0 stored a sentence, which is what was `said`."""
    if detail is None:
        return {}
    try:
        values = json.loads(detail)
    except ValueError:
        values = None
    return values if isinstance(values, dict) else {"said": detail}


@dataclass(frozen=True, slots=True)
class Locked:
    """A task that is locked for a change."""

    id: int
    kind: str
    site_id: int
    patient_id: int | None
    due_at: datetime
    owner: str | None
    acknowledged_at: datetime | None
    closed_at: datetime | None
    outcome: str | None
    rings: int
    rung_at: datetime | None
    step: int


_LOCKED: sa.Select[Any] = sa.select(*(tasks.c[one.name] for one in fields(Locked))).with_for_update()


def lock_task(tx: Transaction, task_id: int) -> Locked | None:
    """One task, locked for a change."""
    row = tx.first(_LOCKED.where(tasks.c.id == task_id))
    return Locked(**row._mapping) if row is not None else None


def number_of_task(tx: Transaction, task_id: int) -> int | None:
    """The number a task is about, to be locked before the task."""
    found = tx.value(sa.select(tasks.c.number_id).where(tasks.c.id == task_id))
    return int(found) if found is not None else None


def open_keys(tx: Transaction, kind: Kind, site_id: int | None = None) -> list[str]:
    """The keys of the open tasks of that kind, of a site or of all."""
    query = sa.select(tasks.c.key).where(sa.text(OPEN), tasks.c.kind == kind.name)
    if site_id is not None:
        query = query.where(tasks.c.site_id == site_id)
    return [row.key for row in tx.all(query.order_by(tasks.c.id))]


def verified_since(tx: Transaction) -> list[str]:
    """The keys of the open tasks about a number that no one had verified and someone has by now."""
    query = sa.select(tasks.c.key).join(numbers, numbers.c.id == tasks.c.number_id)
    query = query.where(sa.text(f"tasks.{OPEN}"), tasks.c.kind == UNVERIFIED.name, numbers.c.verified_at.is_not(None))
    return [row.key for row in tx.all(query.order_by(tasks.c.id))]


SPOKEN = ("reached", "rebooked")  # outcomes that say that someone spoke to the patient


@dataclass(frozen=True, slots=True)
class Call:
    """A task that makes someone call a patient."""

    id: int
    due_at: datetime
    closed_at: datetime | None


def calls_about(tx: Transaction, *, patient_id: int, number_id: int, appointment_id: int | None) -> list[Call]:
    """Tasks of the kinds that make someone call a patient.

    Open ones about the patient, or about their number where they name no one; and closed ones about this visit whose
    outcome says that someone spoke to the patient.
    """
    rows = tx.all(
        sa.select(tasks.c.id, tasks.c.due_at, tasks.c.closed_at)
        .where(tasks.c.kind.in_([kind.name for kind in KINDS.values() if kind.calls]))
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
    return list(starmap(Call, rows))


def text_of_task(tx: Transaction, task_id: int) -> int | None:
    """The text a task is about."""
    found = tx.value(sa.select(tasks.c.text_id).where(tasks.c.id == task_id))
    return int(found) if found is not None else None


def handed_over_after_all(tx: Transaction, site_id: int) -> list[str]:
    """The keys of the open tasks of a site about held texts that were handed over since."""
    query = (
        sa.select(tasks.c.key)
        .join(texts, texts.c.id == tasks.c.text_id)
        .where(tasks.c.kind == HELD_TEXT.name, sa.text(f"tasks.{OPEN}"), tasks.c.site_id == site_id)
        .where(texts.c.state.in_(HANDED_OVER))
    )
    return [row.key for row in tx.all(query.order_by(tasks.c.id))]


def about_released(tx: Transaction, number_ids: Collection[int]) -> list[int]:
    """The open tasks about texts to these numbers that were held, are held no longer and are of use yet."""
    query = (
        sa.select(tasks.c.id)
        .join(texts, texts.c.id == tasks.c.text_id)
        .where(tasks.c.kind == HELD_TEXT.name, sa.text(f"tasks.{OPEN}"), tasks.c.number_id.in_(number_ids))
        .where(texts.c.state == "scheduled", texts.c.held.is_(None))
    )
    return [row.id for row in tx.all(query)]


def tell_stopped(tx: Transaction, text_ids: Collection[int], reason: str, now: datetime) -> None:
    """Texts do not go after all: the open tasks that hold them say why, and stay open for a person to phone."""
    query = sa.select(tasks.c.id, tasks.c.text_id).where(
        tasks.c.kind == HELD_TEXT.name, sa.text(OPEN), tasks.c.text_id.in_(text_ids)
    )
    for row in tx.all(query):
        add_event(tx, row.id, now, Happened.NOT_SENT, {"reason": reason}, text_id=row.text_id)


def change_task(tx: Transaction, task_id: int, **values: Any) -> None:
    """Write what became of a task: `owner`, `acknowledged_at`, `closed_at` with `outcome`, `escalates_at` …"""
    tx.run(tasks.update().where(tasks.c.id == task_id).values(**values))


def close_by_key(tx: Transaction, keys: Collection[str], cause: Cause, now: datetime, **values: int) -> None:
    """Close the open ones of these tasks, for there is nothing left to do; `values` are the numbers of the cause."""
    for row in tx.all(sa.select(tasks.c.id).where(tasks.c.key.in_(keys), sa.text(OPEN)).with_for_update()):
        change_task(tx, row.id, closed_at=now, outcome=cause.outcome, escalates_at=None)
        add_event(tx, row.id, now, Happened.CLOSED, {"cause": cause.code, **values})


def close_all(tx: Transaction, cause: Cause, now: datetime, about: Iterable[About]) -> None:
    """Close the open tasks about each of these, of every kind that such a cause closes by itself."""
    close_by_key(tx, [kind.key(**one) for one in about for kind in closed_by(cause)], cause, now)


_CRISIS = sa.select(tasks.c.number_id).where(sa.text(f"tasks.{OPEN}"), tasks.c.kind == CRISIS.name)
ANY_CRISIS = _CRISIS.exists()


class _InCrisis(NamedTuple):
    number_id: int | None


_IN_CRISIS = PreparedSelect(_InCrisis, _CRISIS)


def in_crisis(tx: Transaction, number_ids: Collection[int], patient_ids: Collection[int]) -> tuple[set[int], set[int]]:
    """Of these numbers those with an open crisis task, and of these patients those whose own number has one (C-12)."""
    there = {row.number_id for row in tx.rows(_IN_CRISIS, {}) if row.number_id is not None}
    if not there:
        return set(), set()
    own = sa.select(recipients.c.patient_id).where(
        recipients.c.number_id.in_(there), recipients.c.role == "self", recipients.c.patient_id.in_(patient_ids)
    )
    return there & set(number_ids), {row.patient_id for row in tx.all(own)}


class NoSuchTask(LookupError):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """There is no task of that number."""


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
    """One line of a task's story: what happened (one of `Happened`), with its values.

    `words` are an inbound text or a note: personal.

    `text_id` names a text of ours, with its wording, state, reason, and the code that its last attempt met.
    """

    at: datetime
    what: str
    who: str
    values: Mapping[str, Any]
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
    return _read(tx, tx.all_as(_Listed, query), sites)


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest task of a key."""

    id: int
    due_at: datetime
    closed_at: datetime | None
    outcome: str | None


def latest_by_key(tx: Transaction, keys: Collection[str]) -> dict[str, Latest]:
    """Key → the latest task of that key."""
    query = sa.select(tasks.c.key, tasks.c.id, tasks.c.due_at, tasks.c.closed_at, tasks.c.outcome)
    rows = tx.all(query.where(tasks.c.key.in_(keys)).order_by(tasks.c.id))
    return {row.key: Latest(row.id, row.due_at, row.closed_at, row.outcome) for row in rows}


def by_number(tx: Transaction, task_id: int, sites: Collection[int] | None = None) -> Task | None:
    """One task, if it is one of these sites', or of all."""
    query = _tasks().where(tasks.c.id == task_id)
    if sites is not None:
        query = query.where(tasks.c.site_id.in_(sites))
    return next(iter(_read(tx, tx.all_as(_Listed, query), sites)), None)


LAST_CODE = (
    sa.select(attempts.c.error_code)
    .where(attempts.c.text_id == texts.c.id)
    .order_by(attempts.c.number.desc())
    .limit(1)
    .scalar_subquery()
)
"""The code that a text's last attempt met."""


def story(tx: Transaction, task_id: int, *, words: bool = True) -> list[Event]:
    """Everything that happened in a task, in order; what people wrote is opened unless told otherwise."""
    query = (
        sa.select(
            task_events,
            replies.c.body_sealed.label("said"),
            replies.c.reading_sealed,
            texts.c.state,
            texts.c.wording,
            texts.c.reason,
            LAST_CODE.label("error_code"),
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
                values=_unpacked(row.detail),
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


class _Listed(NamedTuple):
    id: int
    site_id: int
    kind: str
    key: str
    urgency: str
    patient_id: int | None
    number_id: int | None
    plan_id: int | None
    appointment_id: int | None
    text_id: int | None
    opened_at: datetime
    due_at: datetime
    owner: str | None
    acknowledged_at: datetime | None
    closed_at: datetime | None
    outcome: str | None
    rings: int
    rung_at: datetime | None
    step: int
    escalates_at: datetime | None
    site_key: str
    zone: str
    patient_ref: str | None
    plan_ref: str | None
    series_key: str | None
    recurrence_id: str | None
    starts_at: datetime | None
    phone_sealed: bytes | None


def _read(tx: Transaction, rows: Sequence[_Listed], places: Collection[int] | None) -> list[Task]:
    by_number_alone = {row.number_id for row in rows if row.number_id is not None and row.patient_id is None}
    shared = _patients_on(tx, by_number_alone, places)
    whose = {row.id: _whose(row, shared) for row in rows}
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
            patients=tuple(ref for _, ref in whose[row.id]),
            plan=row.plan_ref,
            visit=f"{row.series_key}@{row.recurrence_id}" if row.series_key else None,
            starts_at=row.starts_at,
            to=masked_of(tx, row.number_id, row.phone_sealed)
            if row.number_id is not None and row.phone_sealed is not None
            else None,
            text_id=row.text_id,
            number_id=row.number_id,
            site_id=row.site_id,
            patient_ids=tuple(one for one, _ in whose[row.id]),
            plan_id=row.plan_id,
            appointment_id=row.appointment_id,
        )
        for row in rows
    ]


def _whose(row: _Listed, shared: Mapping[int, tuple[tuple[int, str], ...]]) -> tuple[tuple[int, str], ...]:
    """The patients whom a task is about, by id and reference: the one it names, else those on its number."""
    if row.patient_id is not None and row.patient_ref is not None:
        return ((row.patient_id, row.patient_ref),)
    return shared.get(row.number_id, ()) if row.number_id is not None else ()


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
