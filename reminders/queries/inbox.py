"""One task with everything around it that helps to answer: the conversation, the people, what may be said to them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from reminders import plans, queries, store, wording
from reminders.app_context import House
from reminders.queries import KnownAs, ListedVisit
from reminders.service import tasks
from reminders.service.people import lives
from reminders.service.tasks import oncall
from reminders.store import Row
from reminders.store.replies import Spoken
from reminders.store.tasks import Event, Task
from reminders.wording import SavedReply


@dataclass(frozen=True, slots=True)
class Reader:
    """Somebody who may be answered: whose texts they get, as whom, and why they may not be texted, if so."""

    id: int
    whom: lives.Whom
    role: str
    language: str
    known: KnownAs
    why_not: str | None


@dataclass(frozen=True, slots=True)
class Opened:
    """A task as somebody reads it.

    `plan_id` is the plan of its visit, `talk` what was said with its number both ways, `readers` whom an answer may go
    to, `on_duty` the names of who is on call now, `call` the number to phone. Without the right to see people there are
    no words, no talk, no readers and no number.
    """

    task: Task
    told: Sequence[Event]
    talk: Sequence[Spoken]
    known: dict[int, KnownAs]
    readers: Sequence[Reader]
    visit: ListedVisit | None
    plan_id: int | None
    alias: str
    phone: str
    line24: str
    on_duty: tuple[str, ...]
    call: str | None = field(repr=False)

    def saved(self, language: str) -> dict[str, SavedReply]:
        """What an answer may begin with."""
        return dict(wording.saved_replies(language, alias=self.alias, phone=self.phone, line24=self.line24))

    @property
    def answered(self) -> Event | None:
        """The latest answer that went out by itself."""
        return next((event for event in reversed(self.told) if event.what == "answered"), None)


def open_task(
    house: House, number: int, now: datetime, *, who: str, sites: Collection[int], people: Collection[int]
) -> Opened:
    """Open a task of these sites; words and people only where it is one of the sites `people`.

    That somebody read it is put on record. Raises NoSuchTask.
    """

    def look(tx: store.Transaction) -> Opened:
        task = store.tasks.by_number(tx, number, sites)
        if task is None:
            raise tasks.NoSuchTask(number)
        seen = task.site_id in people
        site = store.people.site_by_key(tx, task.site)
        assert site is not None
        told = store.tasks.story(tx, number, words=seen)
        store.records.note(tx, who=who, what="task read", table="tasks", row=number, now=now)
        number_id = number_of(tx, task)
        known = queries.known_as(tx, people, task.patient_ids)
        visit = None
        if task.appointment_id is not None:
            visit = queries.appointment(tx, [task.site_id], task.appointment_id, names=seen)
        wall = plans.to_wall(now, house.settings.site.zone)
        return Opened(
            task=task,
            told=told,
            talk=store.replies.conversation(tx, number_id, [task.site_id]) if seen and number_id is not None else (),
            known=known,
            readers=_readers(house, tx, task, now, site=site, number_id=number_id)
            if seen and number_id is not None
            else (),
            visit=visit,
            plan_id=task.plan_id or (store.plans.plan_of_appointment(tx, visit.id) if visit is not None else None),
            alias=site.alias,
            phone=site.phone,
            line24=wording.shown_phone(site.line24),
            call=_to_call(tx, number_id) if seen and number_id is not None else None,
            on_duty=tuple(contact.name for contact in oncall.rota(house).on_duty(wall)),
        )

    return house.database.write(look, again=True)


def _to_call(tx: store.Transaction, number_id: int) -> str | None:
    phone = store.people.shown_phone_by_id(tx, number_id)
    return wording.shown_phone(phone) if phone is not None else None


def number_of(tx: store.Transaction, task: Task) -> int | None:
    """The number that a task is about: its own, else its patient's."""
    if task.number_id is not None or len(task.patient_ids) != 1:
        return task.number_id
    own = [one for one in store.people.recipients_of(tx, task.patient_ids[0]) if one.role == "self"]
    return own[0].number_id if own else None


def _readers(
    house: House, tx: store.Transaction, task: Task, now: datetime, *, site: Row[Any], number_id: int
) -> list[Reader]:
    rows = [row for row in store.replies.readers_on(tx, number_id) if row.site_id == site.id]
    known = queries.known_as(tx, [site.id], {row.patient_id for row in rows})
    about = set(task.patient_ids)
    return [
        Reader(
            id=row.id,
            whom=lives.Whom(known[row.patient_id].ref, row.key, site.key),
            role=row.role,
            language=row.language,
            known=known[row.patient_id],
            why_not=lives.why_not_say(house, tx, row, site, now),
        )
        for row in sorted(rows, key=lambda row: row.patient_id not in about)
    ]
