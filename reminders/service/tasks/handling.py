"""What a person must do, and when: each kind of task with its words, and the verbs to take, acknowledge and close one.

A task says what happened and what to do, never who it is about in words: patients stand beside it by reference.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from types import MappingProxyType
from typing import Any

from reminders import plans, store
from reminders.app_context import House
from reminders.store import Row
from reminders.store.sending.claims import Claimed
from reminders.store.tasks import Event, Task

AWAKE = (time(9), time(20))  # waking hours, weekends included
SOON = timedelta(hours=4)
MOST_DANGEROUS = 30  # days after discharge (S-19)
CRISIS_DUE = timedelta(minutes=15)
SLIP_DUE = timedelta(minutes=60)

_DONE = ("done", "reached", "not_reached", "rebooked", "not_needed")
CRISIS_OUTCOMES = ("reached", "welfare_check", "handed_over", "false_alarm")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task: what happened, what to do, and how it may end."""

    title: str
    to_do: str
    outcomes: tuple[str, ...] = _DONE


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "crisis": Kind(
            "Somebody may be in danger",
            "Call them now, whatever the hour. Take the words seriously; ask openly. In danger now: 911. Stay until "
            "they are with somebody. Their texts are held until this is closed.",
            CRISIS_OUTCOMES,
        ),
        "possible": Kind(
            "A reply may mean danger",
            "Read it now. If it may be danger, call them, whatever the hour; in danger now: 911. Else answer it.",
        ),
        "slip": Kind(
            "Somebody writes of use, or of a hard moment",
            "Call them, without blame. Ask what would help today, and whether they are safe.",
        ),
        "reply": Kind("A reply needs a person", "Read it and answer, by phone or by a text."),
        "stranger": Kind(
            "A text from a number we do not know",
            "Read it. Say nothing of anybody: not even that somebody is known here (L-44).",
        ),
        "change": Kind(
            "A patient asks for another time",
            "Call before the visit. It stands, and its reminders go, until you move it or call it off.",
        ),
        "stop_asked": Kind(
            "Texts were stopped at a person's own words",
            "Call once, by hand, and make sure that this is what they wanted. Only START from that phone reopens.",
        ),
        "stop_early": Kind(
            "Texts were stopped within 30 days of discharge",
            "Call once, by hand: is everything all right, and is there a better way to reach them? No texts.",
        ),
        "visit_or_texts": Kind(
            "CANCEL or END came soon after a reminder",
            "Call: did they mean the visit, or the texts? The texts are stopped; the visit stands.",
        ),
        "who": Kind("Somebody asks who we are", "Find out whether the number still is theirs. Name nobody (L-44)."),
        "wrong_number": Kind(
            "We have a wrong number", "Find the right one, and take consent for it. The old one is not texted again."
        ),
        "after_stop": Kind(
            "A reply came after STOP",
            "Read it; answer by phone. We may not text: only START from that phone reopens.",
        ),
        "supervisor": Kind(
            "A text from the phone of a patient who died",
            "For the supervisor. Nothing was answered, and nothing will be sent.",
        ),
        "held_text": Kind(
            "A reminder is held: phone before the visit",
            "Its patient may be in danger, so it did not go. Tell them of the visit by phone, or send the text now.",
        ),
        "tell_change": Kind(
            "A change must be told by phone",
            "The visit was moved or is off, and no text can say so in time. Call.",
        ),
        "red": Kind("A visit that no text reminds of", "Call before the visit: it is a first one, or close."),
        "unconfirmed_first": Kind(
            "The first visit is not confirmed", "Call: will they come? Is there anything in the way?"
        ),
        "unverified": Kind(
            "A number is not verified",
            "No dated text goes before it is. Read the welcome text aloud together, or send it again.",
        ),
        "no_consent": Kind("Visits without consent to texts", "Ask for consent, or phone about the visits."),
        "number_bad": Kind(
            "A number cannot be reached",
            "Ask for the right number and take consent for it. Nothing more is sent to this one.",
        ),
        "undelivered": Kind("A text did not arrive", "Call about the visit. See the text for what went wrong."),
        "missed": Kind("A visit was missed", "Call today, without blame: is everything all right? Find a new time."),
        "to_mark": Kind("Visits to mark", "Say who came: attended, late or missed. Only your mark counts."),
        "review": Kind("Review the relapse-prevention plan", "Go through it together at the next contact (S-5)."),
        "backlog": Kind(
            "Texts piled up in an outage and are held",
            "Look at what would go now (reminders backlog), then release it or drop it. What is dropped counts as "
            "expired.",
            ("released", "dropped", "not_needed"),
        ),
        "restored": Kind(
            "The database was restored from a backup",
            "Nothing goes until Twilio was asked what went since the backup; that takes some minutes. Enter again what "
            "was changed since. Of texts that stay held nobody knows whether they went: see reminders restored, then "
            "release or drop them.",
            ("released", "dropped", "not_needed"),
        ),
        "sender_fault": Kind(
            "A sender is stopped: no text goes out by it",
            "See the code for what is wrong and mend it with Twilio. Until then phone: reminders calls prints whom, "
            "first visits first.",
        ),
        "stuck": Kind(
            "Something cannot be processed",
            "Its line below names the row. Read and do by hand what it says, and tell whoever runs the service: the "
            "log has the cause. Everything else goes on.",
            ("done", "not_needed"),
        ),
        "uncertain": Kind(
            "Nobody knows whether a text went", "Call about the visit; Twilio cannot say whether it was taken."
        ),
    }
)


def waking(now: datetime, zone: str, spell: timedelta = SOON) -> datetime:
    """The instant at which `spell` of waking hours (9 to 20 o'clock in `zone`) has passed since `now`."""
    wall, left = plans.to_wall(now, zone), spell
    while True:
        opens, shuts = (datetime.combine(wall.date(), at) for at in AWAKE)
        wall = max(wall, opens)
        if wall < shuts:
            if wall + left <= shuts:
                return plans.to_instant(wall + left, zone).astimezone(UTC)
            left -= shuts - wall
        wall = datetime.combine(wall.date() + timedelta(days=1), AWAKE[0])


def is_waking(now: datetime, zone: str) -> bool:
    """Whether it is between 9 and 20 o'clock in `zone`, on a day from Monday to Friday: somebody is at the office."""
    wall = plans.to_wall(now, zone)
    return wall.weekday() < 5 and AWAKE[0] <= wall.time() < AWAKE[1]


def is_dangerous_time(discharged_on: Any, now: datetime, zone: str) -> bool:
    """Whether `now` is within the first 30 days after discharge, or before it (S-19)."""
    if discharged_on is None:
        return False
    days: int = (plans.to_wall(now, zone).date() - discharged_on).days
    return days <= MOST_DANGEROUS


def tell_of_change(
    tx: store.Transaction,
    *,
    site: Row[Any],
    patient_id: int,
    recipient_id: int,
    number_id: int,
    visit_id: int,
    due_at: datetime,
    now: datetime,
) -> None:
    """A change that no text can tell in time: somebody must phone."""
    store.tasks.open_task(
        tx,
        kind="tell_change",
        key=f"tell_change:{recipient_id}:{visit_id}",
        urgency="soon",
        site_id=site.id,
        now=now,
        due_at=max(now, min(due_at, waking(now, site.zone))),
        patient_id=patient_id,
        number_id=number_id,
        appointment_id=visit_id,
    )


_SAYS_ENOUGH = {"category_off", "not_booked", "paused"}  # not agreed to, or no news any more


def tell_instead(tx: store.Transaction, one: Claimed, reason: str, now: datetime) -> None:
    """A notice does not go at its moment, for `reason`: somebody phones about each visit it speaks of."""
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
            due_at=one.closes_at,
            now=now,
        )


def tell_of_expired(tx: store.Transaction, now: datetime) -> int:
    """Notices whose window shut before they went: a task for each visit they speak of, once; how many are new."""
    made = 0
    for row in store.texts.untold(tx, now):
        key = f"tell_change:{row.recipient_id}:{row.appointment_id}"
        if store.tasks.opened_since(tx, key, row.opens_at):
            continue
        tell_of_change(
            tx,
            site=store.people.site_of_patient(tx, row.patient_id),
            patient_id=row.patient_id,
            recipient_id=row.recipient_id,
            number_id=row.number_id,
            visit_id=row.appointment_id,
            due_at=row.closes_at,
            now=now,
        )
        made += 1
    return made


def nothing_to_tell(tx: store.Transaction, recipient_id: int, visit_id: int, now: datetime) -> None:
    """The change was taken back: nobody need phone about it any more."""
    key = f"tell_change:{recipient_id}:{visit_id}"
    store.tasks.close_by_key(tx, [key], now, outcome="not_needed", why="the change was taken back")


def phone_instead(tx: store.Transaction, one: Claimed, now: datetime) -> None:
    """A text of somebody who may be in danger does not go (C-12): somebody phones before the visit it is about."""
    visits = one.due.visits if one.due is not None else one.unplanned.visits if one.unplanned is not None else ()
    ahead = [visit.starts_at - timedelta(hours=1) for visit in visits if visit.starts_at > now]
    store.tasks.open_task(
        tx,
        kind="held_text",
        key=f"held_text:{one.text}",
        urgency="soon",
        site_id=one.site_id,
        now=now,
        due_at=max(now, min([one.closes_at, *ahead])),
        patient_id=one.patient_id,
        number_id=one.number_id,
        text_id=one.text,
        appointment_id=visits[0].id if len(visits) == 1 else None,
    )


class NoSuchTask(LookupError):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """There is no task of that number."""


class Settled(ValueError):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """The task is closed, or the outcome is none that it can have. The message says what would be right."""


def listed(
    house: House, *, closed: bool | None = False, owner: str | None = None, kind: str | None = None
) -> list[Task]:
    """Open tasks, closed ones, or with None both; the urgent ones first, then by when they are due."""
    return house.database.read(lambda tx: store.tasks.listed(tx, closed=closed, owner=owner, kind=kind))


def show(
    house: House, number: int, now: datetime, *, who: str, sites: Collection[int] | None = None
) -> tuple[Task, list[Event]]:
    """One task and its whole story; that somebody read it is put on record. Raises NoSuchTask.

    Here and in the verbs below, a task of none of these `sites` does not exist, if they are given.
    """

    def look(tx: store.Transaction) -> tuple[Task, list[Event]]:
        task = store.tasks.by_number(tx, number, sites)
        if task is None:
            raise NoSuchTask(number)
        told = store.tasks.story(tx, number)
        store.records.note(tx, who=who, what="task read", table="tasks", row=number, now=now)
        return task, told

    return house.database.write(look, again=True)


def take(house: House, number: int, now: datetime, *, who: str, sites: Collection[int] | None = None) -> Task:
    """Take a task: it is `who`'s now, and the alarm is acknowledged. Raises NoSuchTask and Settled."""

    def work(tx: store.Transaction) -> Task:
        row = _open_one(tx, number, sites)
        store.tasks.change_task(
            tx, number, owner=who[:64], acknowledged_at=row.acknowledged_at or now, escalates_at=None
        )
        store.tasks.stop_calling(tx, number, now)
        if row.owner != who or row.acknowledged_at is None:
            store.tasks.add_event(tx, number, now, what="taken", who=who)
            store.records.note(tx, who=who, what="task taken", table="tasks", row=number, now=now)
        return _read(tx, number)

    return house.database.write(work, again=True)


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What was told to medical personnel in an emergency: to whom, and what emergency it was (42 CFR 2.51, L-47)."""

    to: str = field(repr=False)
    emergency: str = field(repr=False)


def close(
    house: House,
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
        if number_id is not None:  # numbers before texts before tasks, as everybody locks
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
        store.tasks.stop_calling(tx, number, now)
        key = store.plans.data_key_of_patient(tx, row.patient_id) if row.patient_id is not None else None
        if disclosed is not None:
            told = f"To: {disclosed.to}\nEmergency: {disclosed.emergency}"
            law = "42 CFR 2.51"
            store.tasks.add_event(tx, number, now, what="disclosed", who=who, detail=law, note=told, key=key)
        store.tasks.add_event(tx, number, now, what="closed", who=who, detail=outcome, note=note, key=key)
        released = 0
        if row.kind == "crisis":
            here, theirs = store.tasks.in_crisis(tx, numbers, [])
            del theirs
            released = store.queue.let_go(tx, numbers - here, "crisis", now)
            for task_id in store.tasks.about_released(tx, numbers - here):  # each ends when its text is handed over
                detail = "open until it is handed over"
                store.tasks.add_event(tx, task_id, now, what="sent on its way", who=who, detail=detail)
        store.records.note(tx, who=who, what="task closed", table="tasks", row=number, now=now, after=outcome)
        return _read(tx, number), released

    return house.database.write(work, again=True)


def remark(
    house: House, number: int, note: str, now: datetime, *, who: str, sites: Collection[int] | None = None
) -> Task:
    """Add a note to a task's story; it is sealed. Raises NoSuchTask."""

    def work(tx: store.Transaction) -> Task:
        row = store.tasks.lock_task(tx, number)
        if row is None or not _is_at(row, sites):
            raise NoSuchTask(number)
        key = store.plans.data_key_of_patient(tx, row.patient_id) if row.patient_id is not None else None
        store.tasks.add_event(tx, number, now, what="note", who=who, note=note, key=key)
        store.records.note(tx, who=who, what="task remarked on", table="tasks", row=number, now=now)
        return _read(tx, number)

    return house.database.write(work, again=True)


def held_text_of(tx: store.Transaction, number: int, sites: Collection[int] | None) -> int | None:
    """The text of a `held_text` task; the task and the number are locked. Raises NoSuchTask and Settled."""
    number_id = store.tasks.number_of_task(tx, number)
    if number_id is not None:
        store.people.lock_numbers(tx, [number_id])
    row = _open_one(tx, number, sites)
    if row.kind != "held_text":
        raise Settled("this task holds no text")
    return store.tasks.text_of_task(tx, number)


def let_text_go(house: House, number: int, now: datetime, *, who: str, sites: Collection[int] | None = None) -> bool:
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
        if row.kind != "held_text":
            raise Settled("this task holds no text")
        if went:
            store.tasks.change_task(tx, number, owner=row.owner or who[:64])
            store.tasks.add_event(
                tx, number, now, what="sent on its way", who=who, detail="open until it is handed over", text_id=text_id
            )
            store.records.note(tx, who=who, what="held text let go", table="tasks", row=number, now=now)
        return went

    return house.database.write(work, again=True)


def _is_at(task: Any, sites: Collection[int] | None) -> bool:
    return sites is None or task.site_id in sites


def _open_one(tx: store.Transaction, number: int, sites: Collection[int] | None = None) -> Row[Any]:
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
