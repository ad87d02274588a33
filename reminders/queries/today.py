"""The board of the day: what must be done now, what goes out, what became of the day's texts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from reminders import plans, store
from reminders.audit_actions import Action
from reminders.lifecycle import SET_ASIDE
from reminders.queries import readings, tasks
from reminders.queries.listing import KnownAs, known_as
from reminders.queries.tasks import Heard, Queues
from reminders.store.database.engine import Database, Transaction
from reminders.store.database.schema import (
    HELD,
    IN_FLIGHT,
    READY,
    WAITING,
    appointments,
    patients,
    recipients,
    series,
    sites,
    text_items,
    texts,
)
from reminders.store.tasks import Task


@dataclass(frozen=True, slots=True)
class OnBoard:
    """A text as the board shows it: to whom, about what, which of how many about that visit, and how it stands.

    `name` only where names were asked for. `kind` and `starts_at` are those of the first visit that it is about.
    """

    text: int
    site: str
    zone: str
    reader_zone: str
    patient_id: int | None
    patient: str | None
    name: str | None = field(repr=False)
    recipient: str | None
    class_: str
    key: str
    wording: str | None
    kind: str | None
    starts_at: datetime | None
    place: int
    of: int
    due_at: datetime
    closes_at: datetime
    state: str
    held: str | None
    attempts: int
    waits_code: int | None


@dataclass(frozen=True, slots=True)
class NextText:
    """The next text of all that will go."""

    text: int
    due_at: datetime
    zone: str
    patient: str | None
    name: str | None = field(repr=False)


READ = Action.BOARD_READ
MOST_TASKS = 50


@dataclass(frozen=True, slots=True)
class Board:
    """The day of some sites, as the person who looks may see it.

    `day` is the date on the site's clock. `queues` counts open tasks, `states` the day's texts by state: what the
    delivery log lists for that day. `holding` maps a held text to its task, `known` a patient to what they are called,
    `heard` a task to the latest reply, `silent` a visit to why no text goes about it.
    """

    day: date
    urgent: Sequence[Task]
    held: Sequence[OnBoard]
    held_by_reason: Mapping[str, int]
    holding: Mapping[int, int]
    red: Sequence[Task]
    to_do: Sequence[Task]
    queues: Queues
    going: Sequence[OnBoard]
    states: Mapping[str, int]
    next_text: NextText | None
    known: Mapping[int, KnownAs]
    heard: Mapping[int, Heard]
    silent: Mapping[int, str]


def day_of(day: date, zone: str) -> tuple[datetime, datetime]:
    """The instants at which a day begins and ends on the wall clock of `zone`."""
    begins, ends = (datetime.combine(one, time()) for one in (day, day + timedelta(days=1)))
    return plans.to_instant(begins, zone).astimezone(UTC), plans.to_instant(ends, zone).astimezone(UTC)


def board(
    database: Database,
    zone: str,
    sites: Collection[int],
    people: Collection[int],
    now: datetime,
    *,
    who: str,
    again: bool = False,
) -> Board:
    """The board of these sites, for the day that it is in `zone`; names, words and numbers only of the sites `people`.

    The reading is put on record; `again` says that an open board refreshed itself, which is no new reading for some
    minutes. Raises Unavailable.
    """
    day = plans.to_wall(now, zone).date()
    since, until = day_of(day, zone)

    def look(tx: store.Transaction, notes: readings.Notes) -> Board:
        urgent = store.tasks.listed(tx, sites=sites, urgent=True)
        red = store.tasks.listed(tx, sites=sites, urgent=False, kind="red", limit=MOST_TASKS)
        to_do = store.tasks.listed(tx, sites=sites, urgent=False, but="red", limit=MOST_TASKS)
        waiting = held(tx, sites, names=people)
        going = going_out(tx, sites, until, names=people)
        if sites:
            shown = {task.id for task in (*urgent, *red, *to_do)} | {one.text for one in (*waiting, *going)}
            notes.add_unless_known(tx, READ, "sites", min(sites), shown=shown, now=now, who=who, again=again)
        asked = {patient for task in (*urgent, *red, *to_do) for patient in task.patient_ids}
        words = [task.id for task in (*urgent, *to_do) if task.site_id in people]
        visits = {task.appointment_id for task in red if task.appointment_id is not None}
        return Board(
            day=day,
            urgent=urgent,
            held=waiting,
            held_by_reason=held_by_reason(tx, sites),
            holding=tasks.holding(tx, [one.text for one in waiting]),
            red=red,
            to_do=to_do,
            queues=tasks.queues(tx, sites, who),
            going=going,
            states=states_between(tx, sites, since, until),
            next_text=next_text(tx, sites, names=people),
            known=known_as(tx, people, asked),
            heard=tasks.heard(tx, words),
            silent=why_silent(tx, visits),
        )

    return readings.read(database, look, now, who=who)


def going_out(
    tx: Transaction, places: Collection[int], until: datetime, *, names: Collection[int] = (), limit: int = 200
) -> list[OnBoard]:
    """The texts that go out before `until`, in the order in which they do: waiting, due, and on the wire.

    `names` are the ids of the sites whose patients' names may be seen.
    """
    here = texts.c.site_id.in_(places)
    waiting = sa.select(texts.c.id).where(sa.text(WAITING), here, texts.c.due_at < until).order_by(texts.c.due_at)
    due = sa.select(texts.c.id).where(sa.text(READY), here).order_by(texts.c.closes_at)
    in_flight = sa.select(texts.c.id).where(sa.text(IN_FLIGHT), here)
    ids = [row.id for some in (in_flight, due, waiting) for row in tx.all(some.limit(limit))]
    found = _on_board(tx, ids, names)
    return sorted(found, key=lambda one: (one.due_at, one.text))[:limit]


def held(tx: Transaction, places: Collection[int], *, names: Collection[int] = (), limit: int = 200) -> list[OnBoard]:
    """The held texts, those whose use ends first before the others."""
    query = sa.select(texts.c.id).where(sa.text(HELD), texts.c.site_id.in_(places))
    ids = [row.id for row in tx.all(query.order_by(texts.c.closes_at, texts.c.id).limit(limit))]
    return sorted(_on_board(tx, ids, names), key=lambda one: (one.closes_at, one.text))


def held_by_reason(tx: Transaction, places: Collection[int]) -> dict[str, int]:
    """How many texts are held for each reason."""
    query = sa.select(texts.c.held, sa.func.count().label("many")).where(sa.text(HELD), texts.c.site_id.in_(places))
    return {row.held: row.many for row in tx.all(query.group_by(texts.c.held))}


def states_between(tx: Transaction, places: Collection[int], since: datetime, until: datetime) -> dict[str, int]:
    """How many texts that open from `since` on and before `until` stand in each state: what the log lists for them."""
    query = (
        sa.select(texts.c.state, sa.func.count().label("many"))
        .where(texts.c.opens_at >= since, texts.c.opens_at < until, texts.c.site_id.in_(places))
        .group_by(texts.c.state)
    )
    return {row.state: row.many for row in tx.all(query)}


def next_text(tx: Transaction, places: Collection[int], *, names: Collection[int] = ()) -> NextText | None:
    """The next text that waits for its moment."""
    query = sa.select(texts.c.id).where(sa.text(WAITING), texts.c.site_id.in_(places))
    first = tx.first(query.order_by(texts.c.due_at).limit(1))
    if first is None:
        return None
    (one,) = _on_board(tx, [first.id], names)
    return NextText(one.text, one.due_at, one.zone, one.patient, one.name)


def why_silent(tx: Transaction, appointment_ids: Collection[int]) -> dict[int, str]:
    """Appointment → why its latest text does not go (a reason of the planner), for those of which no text goes."""
    query = (
        sa.select(text_items.c.appointment_id, texts.c.reason)
        .join(texts, texts.c.id == text_items.c.text_id)
        .where(text_items.c.appointment_id.in_(appointment_ids), texts.c.reason.is_not(None))
        .order_by(texts.c.opens_at, texts.c.id)
    )
    return {row.appointment_id: row.reason for row in tx.all(query)}


def _on_board(tx: Transaction, ids: Collection[int], names: Collection[int]) -> list[OnBoard]:
    query = (
        sa.select(
            texts,
            recipients.c.key.label("recipient_key"),
            recipients.c.zone.label("reader_zone"),
            recipients.c.patient_id,
            patients.c.ref.label("patient_ref"),
            sites.c.key.label("site_key"),
            sites.c.zone,
        )
        .join(sites, sites.c.id == texts.c.site_id)
        .outerjoin(recipients, recipients.c.id == texts.c.recipient_id)
        .outerjoin(patients, patients.c.id == recipients.c.patient_id)
        .where(texts.c.id.in_(ids))
    )
    rows = tx.all(query)
    about = _first_visits(tx, [row.id for row in rows])
    places = _places(tx, about)
    seen = {row.patient_id for row in rows if row.patient_id is not None and row.site_id in names}
    known = known_as(tx, names, seen)
    return [
        OnBoard(
            text=row.id,
            site=row.site_key,
            zone=row.zone,
            reader_zone=row.reader_zone or row.zone,
            patient_id=row.patient_id,
            patient=row.patient_ref,
            name=known[row.patient_id].name if row.patient_id in known else None,
            recipient=row.recipient_key,
            class_=row._mapping["class"],
            key=row.key,
            wording=row.wording,
            kind=about[row.id].kind if row.id in about else None,
            starts_at=about[row.id].starts_at if row.id in about else None,
            place=places.get(row.id, (0, 0))[0],
            of=places.get(row.id, (0, 0))[1],
            due_at=row.due_at,
            closes_at=row.closes_at,
            state=row.state,
            held=row.held,
            attempts=row.attempts,
            waits_code=row.waits_code,
        )
        for row in rows
    ]


class _FirstVisit(NamedTuple):
    text_id: int
    appointment_id: int
    kind: str
    starts_at: datetime


def _first_visits(tx: Transaction, ids: Sequence[int]) -> dict[int, _FirstVisit]:
    """Text → the first visit that it is about."""
    query = (
        sa.select(text_items.c.text_id, text_items.c.appointment_id, series.c.kind, appointments.c.starts_at)
        .join(appointments, appointments.c.id == text_items.c.appointment_id)
        .join(series, series.c.id == appointments.c.series_id)
        .where(text_items.c.text_id.in_(ids))
        .order_by(appointments.c.starts_at.desc(), appointments.c.id.desc())
    )
    return {row.text_id: row for row in tx.all_as(_FirstVisit, query)}


def _places(tx: Transaction, about: dict[int, _FirstVisit]) -> dict[int, tuple[int, int]]:
    """Reminder → which of its reader's reminders of that visit it is, and how many there are."""
    query = (
        sa.select(text_items.c.appointment_id, texts.c.recipient_id, texts.c.id)
        .join(texts, texts.c.id == text_items.c.text_id)
        .where(text_items.c.appointment_id.in_({row.appointment_id for row in about.values()}))
        .where(texts.c["class"] == "reminder", texts.c.state.not_in(SET_ASIDE))
        .order_by(texts.c.opens_at, texts.c.id)
    )
    rows: dict[tuple[int, int], list[int]] = {}
    for row in tx.all(query):
        rows.setdefault((row.appointment_id, row.recipient_id), []).append(row.id)
    first = {text_id: row.appointment_id for text_id, row in about.items()}
    return {
        text_id: (place, len(those))
        for (appointment_id, _), those in rows.items()
        for place, text_id in enumerate(those, start=1)
        if first.get(text_id) == appointment_id
    }
