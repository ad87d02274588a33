"""One task with everything around it that helps to answer: the conversation, the people, what may be said to them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from reminders import store, wording
from reminders.audit_actions import Action
from reminders.queries import readings
from reminders.queries.listing import KnownAs, known_as
from reminders.queries.visits import ListedVisit, find_visit
from reminders.store import Database
from reminders.store.records import SiteRow
from reminders.store.replies import Spoken
from reminders.store.tasks import Event, Task
from reminders.wording import SavedReply


@dataclass(frozen=True, slots=True)
class Reader:
    """A person who may be answered: whose texts they get (`patient`, a reference), and as whom (`key`)."""

    id: int
    patient: str
    key: str
    site: str
    role: str
    language: str
    known: KnownAs


@dataclass(frozen=True, slots=True)
class Opened:
    """A task as a person reads it.

    `plan_id` is the plan of its visit, `talk` what was said with its number both ways, `readers` whom an answer may go
    to, `call` the number to phone. Without the right to see people there are no words, no talk, no readers and no
    number.
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
    call: str | None = field(repr=False)

    def saved(self, language: str) -> dict[str, SavedReply]:
        """What an answer may begin with."""
        return dict(wording.saved_replies(language, alias=self.alias, phone=self.phone, line24=self.line24))

    @property
    def answered(self) -> Event | None:
        """The latest answer that went out by itself."""
        return next((event for event in reversed(self.told) if event.what == "answered"), None)


def open_task(
    database: Database, number: int, now: datetime, *, who: str, sites: Collection[int], people: Collection[int]
) -> Opened | None:
    """Open a task of these sites, None where there is none; words and people only where it is of the sites `people`.

    The reading is put on record.
    """

    def look(tx: store.Transaction, notes: readings.Notes) -> Opened | None:
        task = store.tasks.by_number(tx, number, sites)
        if task is None:
            return None
        seen = task.site_id in people
        site = store.people.site_by_key(tx, task.site)
        assert site is not None
        told = store.tasks.story(tx, number, words=seen)
        notes.add(Action.TASK_READ, "tasks", number)
        number_id = store.tasks.number_of(tx, task)
        known = known_as(tx, people, task.patient_ids)
        visit = None
        if task.appointment_id is not None:
            visit = find_visit(tx, [task.site_id], task.appointment_id, names=seen)
        return Opened(
            task=task,
            told=told,
            talk=store.replies.conversation(tx, number_id, [task.site_id]) if seen and number_id is not None else (),
            known=known,
            readers=_readers(tx, task, site=site, number_id=number_id) if seen and number_id is not None else (),
            visit=visit,
            plan_id=task.plan_id or (store.plans.plan_of_appointment(tx, visit.id) if visit is not None else None),
            alias=site.alias,
            phone=site.phone,
            line24=wording.shown_phone(site.line24),
            call=_to_call(tx, number_id) if seen and number_id is not None else None,
        )

    return readings.read(database, look, now, who=who)


def _to_call(tx: store.Transaction, number_id: int) -> str | None:
    phone = store.people.shown_phone_by_id(tx, number_id)
    return wording.shown_phone(phone) if phone is not None else None


def _readers(tx: store.Transaction, task: Task, *, site: SiteRow, number_id: int) -> list[Reader]:
    rows = [row for row in store.replies.readers_on(tx, number_id) if row.site_id == site.id]
    known = known_as(tx, [site.id], {row.patient_id for row in rows})
    about = set(task.patient_ids)
    return [
        Reader(
            id=row.id,
            patient=known[row.patient_id].ref,
            key=row.key,
            site=site.key,
            role=row.role,
            language=row.language,
            known=known[row.patient_id],
        )
        for row in sorted(rows, key=lambda row: row.patient_id not in about)
    ]
