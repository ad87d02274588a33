"""What people and programs see in lists: plans, patients, appointments, sessions, replies.

One query each for pages, API and CLI, so that all show the same; the delivery log is `texts.log`, tasks are
`tasks.listed`.

Every list takes the ids of the sites that its reader may see: what belongs to another site does not exist for them. It
comes in pages by keyset: `place` of a row is where it stands in the order, and the next page is what stands `before` it
(the newest first) or `after` it (the earliest first). Sealed values are opened only when asked for, and are None where
they do not open any more, because the person was erased.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from reminders.plans import Kind, to_wall
from reminders.store import people, schema
from reminders.store.engine import Transaction
from reminders.store.plans import OPEN
from reminders.store.sealing import Place, Unreadable
from reminders.store.texts import reader_of

ENTERED = ("plan accepted", "plan changed")  # what the audit says of somebody who entered a plan
_OPEN_TASK = "tasks.closed_at IS NULL"
_CLINICAL = [kind.value for kind in Kind if kind.is_clinical]
_OWN = schema.recipients.c.role == "self"


@dataclass(frozen=True, slots=True)
class NextVisit:
    """The next visit that is on: when, on the wall clock of which zone, and of what kind."""

    appointment: int
    starts_at: datetime
    zone: str
    kind: str


@dataclass(frozen=True, slots=True)
class NextText:
    """The next text that is to go."""

    text: int
    opens_at: datetime
    key: str


@dataclass(frozen=True, slots=True)
class Entered:
    """Who last entered a plan, and when."""

    who: str
    at: datetime


# Plans.


@dataclass(frozen=True, slots=True)
class PlanFilter:
    """Which plans to list.

    `search` is a plan's or a patient's reference or words of a name, all of them; `phone` the number (E.164) that the
    same search may be read as. `ids` are these plans alone. `discharged_until` is not included. `blocked` are those
    that have not ended and of whose texts none can go. `entered_by` is who entered it or changed it once.
    """

    status: str | None = None
    blocked: bool = False
    needs_attention: bool = False
    discharged_since: date | None = None
    discharged_until: date | None = None
    ref: str | None = None
    patient: str | None = None
    search: str = ""
    phone: str | None = None
    entered_by: str | None = None
    ids: Collection[int] | None = None
    before: tuple[date, int] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ListedPlan:
    """A plan as it is listed. `texts` counts its texts by state; `name` is None unless names were asked for.

    `blocked` is why nothing can go to the patient: no_consent, opted_out or number_bad. `open_tasks` are those about
    the plan, its patient or their number.
    """

    id: int
    ref: str
    site: str
    zone: str
    version: int
    patient_id: int
    patient: str
    name: str | None = field(repr=False)
    programme: str | None
    discharged_on: date
    status: str
    ended_because: str | None
    blocked: str | None
    next_visit: NextVisit | None
    next_text: NextText | None
    texts: Mapping[str, int]
    open_tasks: int
    entered: Entered | None

    @property
    def texts_sent(self) -> int:
        """How many texts Twilio took. Sent is not delivered."""
        return sum(self.texts.get(state, 0) for state in ("sent", "delivered", "unconfirmed"))

    @property
    def texts_to_go(self) -> int:
        """How many are to go yet."""
        return self.texts.get("scheduled", 0) + self.texts.get("sending", 0)

    @property
    def place(self) -> tuple[date, int]:
        """Where it stands in the list."""
        return self.discharged_on, self.id


def plans(
    tx: Transaction, sites: Collection[int], wanted: PlanFilter, now: datetime, *, names: bool = False
) -> list[ListedPlan]:
    """Plans, the latest discharge first."""
    places = _places(tx, sites)
    query = _with_patients(places).order_by(schema.plans.c.discharged_on.desc(), schema.plans.c.id.desc())
    query = query.limit(wanted.limit)
    if wanted.status is not None:
        query = query.where(schema.plans.c.status == wanted.status)
    if wanted.discharged_since is not None:
        query = query.where(schema.plans.c.discharged_on >= wanted.discharged_since)
    if wanted.discharged_until is not None:
        query = query.where(schema.plans.c.discharged_on < wanted.discharged_until)
    if wanted.before is not None:
        query = query.where(_stands_before(wanted.before, schema.plans.c.discharged_on, schema.plans.c.id))
    if wanted.ref is not None:
        query = query.where(schema.plans.c.ref == wanted.ref)
    if wanted.patient is not None:
        query = query.where(schema.patients.c.ref == wanted.patient)
    if wanted.ids is not None:
        query = query.where(schema.plans.c.id.in_(wanted.ids))
    if wanted.needs_attention:
        query = query.where(_needs_attention())
    if wanted.blocked:
        query = query.where(schema.plans.c.status != "ended", sa.not_(_is_reachable(places, now)))
    if wanted.entered_by is not None:
        entered = sa.select(schema.audit.c.row_id).where(
            schema.audit.c.who == wanted.entered_by, schema.audit.c["table"] == "plans"
        )
        query = query.where(schema.plans.c.id.in_(entered.where(schema.audit.c.what.in_(ENTERED))))
    if wanted.search or wanted.phone:
        found = _patients_named(tx, places, wanted.search, wanted.phone)
        by_ref = sa.select(schema.plans.c.id).where(
            schema.plans.c.ref == wanted.search, schema.plans.c.site_id.in_(places)
        )
        of_them = sa.select(schema.plans.c.id).where(schema.plans.c.patient_id.in_(found))
        query = query.where(schema.plans.c.id.in_(sa.union(by_ref, of_them).subquery().select()))
    rows = tx.all(query)
    return _plans(tx, rows, places, now, names=names)


def plan(
    tx: Transaction, sites: Collection[int], which: str | int, now: datetime, *, names: bool = False
) -> ListedPlan | None:
    """The plan of that reference or row id, as `plans` shows it; of several of that reference the newest."""
    places = _places(tx, sites)
    query = _with_patients(places).where((schema.plans.c.id if isinstance(which, int) else schema.plans.c.ref) == which)
    rows = tx.all(query.order_by(schema.plans.c.id.desc()).limit(1))
    return next(iter(_plans(tx, rows, places, now, names=names)), None)


def _with_patients(places: Collection[int]) -> sa.Select[Any]:
    return (
        sa.select(
            schema.plans,
            schema.patients.c.ref.label("patient_ref"),
            schema.patients.c.name_sealed,
            schema.patients.c.key_id,
        )
        .join(schema.patients, schema.patients.c.id == schema.plans.c.patient_id)
        .where(schema.plans.c.site_id.in_(places))
    )


def _plans(
    tx: Transaction, rows: Sequence[Row[Any]], places: Mapping[int, Row[Any]], now: datetime, *, names: bool
) -> list[ListedPlan]:
    ids = [row.id for row in rows]
    visits = _next_visits(tx, schema.plans.c.id, ids, now)
    counts, next_texts = _texts_of(tx, ids)
    entered = _entered(tx, ids)
    blocked = _blocked(tx, {row.patient_id: row.site_id for row in rows}, places, now)
    attention = _open_tasks(tx, {row.patient_id for row in rows})
    opened = _names(tx, {row.patient_id: row for row in rows}) if names else {}
    return [
        ListedPlan(
            id=row.id,
            ref=row.ref,
            site=places[row.site_id].key,
            zone=places[row.site_id].zone,
            version=row.version,
            patient_id=row.patient_id,
            patient=row.patient_ref,
            name=opened.get(row.patient_id),
            programme=row.programme,
            discharged_on=row.discharged_on,
            status=row.status,
            ended_because=row.ended_because,
            blocked=blocked.get(row.patient_id),
            next_visit=visits.get(row.id),
            next_text=next_texts.get(row.id),
            texts=counts.get(row.id, {}),
            open_tasks=sum(plan in {None, row.id} for plan in attention.get(row.patient_id, {}).values()),
            entered=entered.get(row.id),
        )
        for row in rows
    ]


# Patients.


@dataclass(frozen=True, slots=True)
class PatientFilter:
    """Which patients to list; `search`, `phone` and `ids` as in PlanFilter."""

    search: str = ""
    phone: str | None = None
    needs_attention: bool = False
    ids: Collection[int] | None = None
    before: tuple[int] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class PlanOf:
    """One plan of a patient."""

    ref: str
    status: str
    discharged_on: date


@dataclass(frozen=True, slots=True)
class ListedPatient:
    """A patient as listed: their plans, the newest first; the own number masked; `blocked` as of a plan."""

    id: int
    ref: str
    site: str
    zone: str
    name: str | None = field(repr=False)
    to: str | None
    verified: bool
    opted_out_at: datetime | None
    blocked: str | None
    plans: tuple[PlanOf, ...]
    next_visit: NextVisit | None
    open_tasks: int
    created_at: datetime

    @property
    def place(self) -> tuple[int]:
        """Where they stand in the list."""
        return (self.id,)


def patients(
    tx: Transaction, sites: Collection[int], wanted: PatientFilter, now: datetime, *, names: bool = False
) -> list[ListedPatient]:
    """Patients, who was entered last first."""
    places = _places(tx, sites)
    query = (
        sa.select(schema.patients).where(schema.patients.c.site_id.in_(places)).order_by(schema.patients.c.id.desc())
    )
    query = query.limit(wanted.limit)
    if wanted.before is not None:
        query = query.where(schema.patients.c.id < wanted.before[0])
    if wanted.ids is not None:
        query = query.where(schema.patients.c.id.in_(wanted.ids))
    if wanted.search or wanted.phone:
        query = query.where(schema.patients.c.id.in_(_patients_named(tx, places, wanted.search, wanted.phone)))
    if wanted.needs_attention:
        query = query.where(schema.patients.c.id.in_(_needing_attention()))
    return _patients(tx, tx.all(query), places, now, names=names)


def patient(
    tx: Transaction, sites: Collection[int], which: str | int, now: datetime, *, names: bool = False
) -> ListedPatient | None:
    """The patient of that reference or row id, as `patients` shows them; of several sites' the newest."""
    places = _places(tx, sites)
    here = sa.select(schema.patients).where(schema.patients.c.site_id.in_(places))
    query = here.where((schema.patients.c.id if isinstance(which, int) else schema.patients.c.ref) == which)
    rows = tx.all(query.order_by(schema.patients.c.id.desc()).limit(1))
    return next(iter(_patients(tx, rows, places, now, names=names)), None)


def _patients(
    tx: Transaction, rows: Sequence[Row[Any]], places: Mapping[int, Row[Any]], now: datetime, *, names: bool
) -> list[ListedPatient]:
    ids = [row.id for row in rows]
    theirs: dict[int, list[PlanOf]] = {}
    query = sa.select(
        schema.plans.c.patient_id, schema.plans.c.ref, schema.plans.c.status, schema.plans.c.discharged_on
    )
    for plan in tx.all(query.where(schema.plans.c.patient_id.in_(ids)).order_by(schema.plans.c.id.desc())):
        theirs.setdefault(plan.patient_id, []).append(PlanOf(plan.ref, plan.status, plan.discharged_on))
    visits = _next_visits(tx, schema.plans.c.patient_id, ids, now)
    own = {
        row.patient_id: row
        for row in tx.all(
            sa.select(schema.recipients.c.patient_id, schema.numbers)
            .join(schema.numbers, schema.numbers.c.id == schema.recipients.c.number_id)
            .where(schema.recipients.c.patient_id.in_(ids), _OWN)
        )
    }
    blocked = _blocked(tx, {row.id: row.site_id for row in rows}, places, now)
    attention = _open_tasks(tx, ids)
    opened = _names(tx, {row.id: row for row in rows}) if names else {}
    return [
        ListedPatient(
            id=row.id,
            ref=row.ref,
            site=places[row.site_id].key,
            zone=places[row.site_id].zone,
            name=opened.get(row.id),
            to=people.masked(people.phone_of(tx, own[row.id].id, own[row.id].phone_sealed)) if row.id in own else None,
            verified=row.id in own and own[row.id].verified_at is not None,
            opted_out_at=own[row.id].opted_out_at if row.id in own else None,
            blocked=blocked.get(row.id),
            plans=tuple(theirs.get(row.id, ())),
            next_visit=visits.get(row.id),
            open_tasks=len(attention.get(row.id, {})),
            created_at=row.created_at,
        )
        for row in rows
    ]


# Appointments.


@dataclass(frozen=True, slots=True)
class ListedVisit:
    """An appointment as it is listed. `patient_name`, `room` and `with_` only where names were asked for.

    `confirmed` is whether the patient said C to it as it stands now.
    """

    id: int
    plan: str
    plan_status: str
    patient_id: int
    patient: str
    patient_name: str | None = field(repr=False)
    site: str
    series: str
    recurrence_id: str
    session: str | None
    kind: str
    starts_at: datetime
    wall: datetime
    zone: str
    minutes: int | None
    room: str | None = field(repr=False)
    with_: str | None = field(repr=False)
    status: str
    attendance: str | None
    marked_at: datetime | None
    confirmed: bool
    version: int

    @property
    def place(self) -> tuple[datetime, int]:
        """Where it stands in the list."""
        return self.starts_at, self.id


def appointments(
    tx: Transaction,
    sites: Collection[int],
    since: datetime | None,
    until: datetime | None,
    *,
    plan: str | None = None,
    patient: str | None = None,
    session: str | None = None,
    unmarked: bool = False,
    marked_since: datetime | None = None,
    after: tuple[datetime, int] | None = None,
    limit: int = 100,
    names: bool = False,
) -> list[ListedVisit]:
    """Appointments that start from `since` on and before `until`, the earliest first; cancelled ones too.

    `plan` and `patient` are references, `session` a key. With `unmarked` only clinical visits of running plans of which
    nobody said who came: give the moment as `until`. With `marked_since` only those that were marked since then.
    """
    places = _places(tx, sites)
    query = _visits(places).order_by(schema.appointments.c.starts_at, schema.appointments.c.id).limit(limit)
    if since is not None:
        query = query.where(schema.appointments.c.starts_at >= since)
    if until is not None:
        query = query.where(schema.appointments.c.starts_at < until)
    if plan is not None:
        query = query.where(schema.plans.c.ref == plan)
    if patient is not None:
        query = query.where(schema.patients.c.ref == patient)
    if session is not None:
        query = query.where(schema.sessions.c.key == session)
    if unmarked:
        query = query.where(
            schema.appointments.c.status == "booked",
            schema.series.c.kind.in_(_CLINICAL),
            schema.plans.c.status == "active",
        )
    if marked_since is not None:
        query = query.where(schema.appointments.c.marked_at >= marked_since)
    if after is not None:
        query = query.where(_stands_after(after, schema.appointments.c.starts_at, schema.appointments.c.id))
    return _read_visits(tx, tx.all(query), places, names=names)


def appointment(
    tx: Transaction, sites: Collection[int], appointment_id: int, *, names: bool = False
) -> ListedVisit | None:
    """One appointment by its id."""
    places = _places(tx, sites)
    rows = tx.all(_visits(places).where(schema.appointments.c.id == appointment_id))
    return next(iter(_read_visits(tx, rows, places, names=names)), None)


def appointments_at(tx: Transaction, sites: Collection[int], appointment_ids: Collection[int]) -> list[int]:
    """Of these appointments those that belong to these sites."""
    query = (
        sa.select(schema.appointments.c.id)
        .join(schema.series, schema.series.c.id == schema.appointments.c.series_id)
        .join(schema.plans, schema.plans.c.id == schema.series.c.plan_id)
        .where(schema.appointments.c.id.in_(appointment_ids), schema.plans.c.site_id.in_(sites))
    )
    return _ids(tx.all(query))


def _visits(places: Mapping[int, Row[Any]]) -> sa.Select[Any]:
    confirmed = (
        sa.select(schema.confirmations.c.recipient_id)
        .join(schema.recipients, schema.recipients.c.id == schema.confirmations.c.recipient_id)
        .where(schema.confirmations.c.appointment_id == schema.appointments.c.id, _OWN)
        .where(schema.confirmations.c.version == schema.appointments.c.version)
        .correlate(schema.appointments)
    )
    return (
        sa.select(
            schema.appointments,
            schema.series.c.id.label("of_series"),
            schema.series.c.key.label("series_key"),
            schema.series.c.kind,
            schema.series.c.minutes,
            schema.series.c.place_sealed,
            schema.series.c.with_sealed,
            schema.sessions.c.key.label("session_key"),
            schema.plans.c.ref.label("plan_ref"),
            schema.plans.c.status.label("plan_status"),
            schema.plans.c.site_id,
            schema.plans.c.patient_id,
            schema.patients.c.ref.label("patient_ref"),
            schema.patients.c.name_sealed,
            schema.patients.c.key_id,
            confirmed.exists().label("confirmed"),
        )
        .join_from(schema.appointments, schema.series, schema.series.c.id == schema.appointments.c.series_id)
        .join(schema.plans, schema.plans.c.id == schema.series.c.plan_id)
        .join(schema.patients, schema.patients.c.id == schema.plans.c.patient_id)
        .outerjoin(schema.sessions, schema.sessions.c.id == schema.series.c.session_id)
        .where(schema.plans.c.site_id.in_(places))
    )


def _read_visits(
    tx: Transaction, rows: Sequence[Row[Any]], places: Mapping[int, Row[Any]], *, names: bool
) -> list[ListedVisit]:
    opened = _names(tx, {row.patient_id: row for row in rows}) if names else {}

    def staff_only(row: Row[Any], column: str) -> str | None:
        sealed = row._mapping[column]
        return _opened(tx, Place("series", column, row.of_series), sealed) if names and sealed else None

    return [
        ListedVisit(
            id=row.id,
            plan=row.plan_ref,
            plan_status=row.plan_status,
            patient_id=row.patient_id,
            patient=row.patient_ref,
            patient_name=opened.get(row.patient_id),
            site=places[row.site_id].key,
            series=row.series_key,
            recurrence_id=row.recurrence_id,
            session=row.session_key,
            kind=row.kind,
            starts_at=row.starts_at,
            wall=datetime.fromisoformat(row.wall),
            zone=row.zone,
            minutes=row.minutes,
            room=staff_only(row, "place_sealed"),
            with_=staff_only(row, "with_sealed"),
            status=row.status,
            attendance=row.attendance,
            marked_at=row.marked_at,
            confirmed=row.confirmed,
            version=row.version,
        )
        for row in rows
    ]


# Sessions.


@dataclass(frozen=True, slots=True)
class ListedSession:
    """One date of a session: how many patients have a visit of it that is on, and of how many nobody said who came.

    `status` is booked while any visit of it is on, held once it was and somebody is marked, else cancelled.
    """

    session_id: int
    session: str
    site: str
    on: date
    wall: datetime
    zone: str
    starts_at: datetime
    kind: str
    patients: int
    unmarked: int
    status: str

    @property
    def place(self) -> tuple[date, int]:
        """Where it stands in the list."""
        return self.on, self.session_id


def sessions(
    tx: Transaction,
    sites: Collection[int],
    since: date,
    until: date,
    *,
    session: str | None = None,
    after: tuple[date, int] | None = None,
    limit: int = 100,
) -> list[ListedSession]:
    """The dates of sessions from `since` on and before `until`, on the wall clock of their place, the earliest first.

    What belongs to an ended plan counts only where somebody said who came.
    """
    places = _places(tx, sites)
    on = sa.func.substr(schema.appointments.c.wall, 1, 10)
    is_on = schema.appointments.c.status.in_(OPEN)
    marked = schema.appointments.c.status.in_(("attended", "missed"))
    there = sa.case((schema.appointments.c.status != "cancelled", schema.plans.c.patient_id))
    day = timedelta(days=1)  # zones are at most fourteen hours off
    bounds = [datetime.fromisoformat(f"{edge.isoformat()}T00:00+00:00") for edge in (since - day, until + day)]
    query = (
        sa.select(
            schema.sessions.c.id,
            schema.sessions.c.key,
            schema.sessions.c.site_id,
            on.label("on_"),
            sa.func.min(schema.appointments.c.wall).label("wall"),
            sa.func.min(schema.appointments.c.zone).label("zone"),
            sa.func.min(schema.appointments.c.starts_at, type_=schema.appointments.c.starts_at.type).label("starts_at"),
            sa.func.min(schema.series.c.kind).label("kind"),
            sa.func.count(there.distinct()).label("patients"),
            sa.func.sum(sa.case((is_on, 1), else_=0)).label("is_on"),
            sa.func.sum(sa.case((marked, 1), else_=0)).label("marked"),
        )
        .join_from(schema.appointments, schema.series, schema.series.c.id == schema.appointments.c.series_id)
        .join(schema.sessions, schema.sessions.c.id == schema.series.c.session_id)
        .join(schema.plans, schema.plans.c.id == schema.series.c.plan_id)
        .where(schema.sessions.c.site_id.in_(places), sa.or_(schema.plans.c.status != "ended", marked))
        .where(schema.appointments.c.starts_at >= bounds[0], schema.appointments.c.starts_at < bounds[1])
        .where(on >= since.isoformat(), on < until.isoformat())
        .group_by(schema.sessions.c.id, schema.sessions.c.key, schema.sessions.c.site_id, on)
        .order_by(on, schema.sessions.c.id)
        .limit(limit)
    )
    if session is not None:
        query = query.where(schema.sessions.c.key == session)
    if after is not None:
        query = query.where(_stands_after((after[0].isoformat(), after[1]), on, schema.sessions.c.id))
    return [
        ListedSession(
            session_id=row.id,
            session=row.key,
            site=places[row.site_id].key,
            on=date.fromisoformat(row.on_),
            wall=datetime.fromisoformat(row.wall),
            zone=row.zone,
            starts_at=row.starts_at,
            kind=row.kind,
            patients=row.patients,
            unmarked=row.is_on,
            status="booked" if row.is_on else "held" if row.marked else "cancelled",
        )
        for row in tx.all(query)
    ]


def session(tx: Transaction, sites: Collection[int], session_id: int) -> tuple[str, str] | None:
    """The key of a session by its id, and that of its site."""
    row = tx.first(
        sa.select(schema.sessions.c.key, schema.sites.c.key.label("site"))
        .join(schema.sites, schema.sites.c.id == schema.sessions.c.site_id)
        .where(schema.sessions.c.id == session_id, schema.sessions.c.site_id.in_(sites))
    )
    return (row.key, row.site) if row is not None else None


# Replies.


@dataclass(frozen=True, slots=True)
class ReplyFilter:
    """Which replies to list; instants are on `received_at`. `waiting` are those with an open task."""

    meaning: str | None = None
    patient: str | None = None
    waiting: bool = False
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, int] | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ListedReply:
    """An inbound text as it is listed. `patients` are the references of everybody it may be from; the number is masked.

    `words` only where names were asked for. `task` is the open task that it belongs to.
    """

    id: int
    site: str
    zone: str
    received_at: datetime
    sent_at: datetime
    from_: str
    number_id: int
    patient_ids: tuple[int, ...]
    patients: tuple[str, ...]
    meaning: str
    meanings: tuple[str, ...]
    media: int
    words: str | None = field(repr=False)
    task: int | None

    @property
    def place(self) -> tuple[datetime, int]:
        """Where it stands in the list."""
        return self.received_at, self.id


def replies(tx: Transaction, sites: Collection[int], wanted: ReplyFilter, *, names: bool = False) -> list[ListedReply]:
    """What was texted to us, the newest first."""
    places = _places(tx, sites)
    query = (
        sa.select(schema.replies, schema.numbers.c.phone_sealed)
        .join(schema.numbers, schema.numbers.c.id == schema.replies.c.number_id)
        .where(schema.replies.c.site_id.in_(places))
        .order_by(schema.replies.c.received_at.desc(), schema.replies.c.id.desc())
        .limit(wanted.limit)
    )
    of_task = (
        sa.select(schema.task_events.c.reply_id, schema.task_events.c.task_id)
        .join(schema.tasks)
        .where(sa.text(_OPEN_TASK))
    )
    of_task = of_task.where(schema.task_events.c.reply_id.is_not(None))
    if wanted.meaning is not None:
        query = query.where(schema.replies.c.meaning == wanted.meaning)
    if wanted.waiting:
        query = query.where(schema.replies.c.id.in_(of_task.with_only_columns(schema.task_events.c.reply_id)))
    if wanted.patient is not None:
        theirs = (
            sa.select(schema.recipients.c.number_id)
            .join(schema.patients)
            .where(schema.patients.c.ref == wanted.patient)
        )
        query = query.where(schema.replies.c.number_id.in_(theirs.where(schema.patients.c.site_id.in_(places))))
    if wanted.since is not None:
        query = query.where(schema.replies.c.received_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(schema.replies.c.received_at < wanted.until)
    if wanted.before is not None:
        query = query.where(_stands_before(wanted.before, schema.replies.c.received_at, schema.replies.c.id))
    rows = tx.all(query)
    waiting = {
        row.reply_id: row.task_id for row in tx.all(of_task.where(schema.task_events.c.reply_id.in_(_ids(rows))))
    }
    on_number: dict[int, list[tuple[int, str]]] = {}
    whose = (
        sa.select(schema.recipients.c.number_id, schema.patients.c.id, schema.patients.c.ref)
        .join(schema.patients, schema.patients.c.id == schema.recipients.c.patient_id)
        .where(
            schema.recipients.c.number_id.in_({row.number_id for row in rows}), schema.patients.c.site_id.in_(places)
        )
        .distinct()
        .order_by(schema.patients.c.ref, schema.patients.c.id)
    )
    for row in tx.all(whose):
        on_number.setdefault(row.number_id, []).append((row.id, row.ref))
    return [
        ListedReply(
            id=row.id,
            site=places[row.site_id].key,
            zone=places[row.site_id].zone,
            received_at=row.received_at,
            sent_at=row.sent_at,
            from_=people.masked(people.phone_of(tx, row.number_id, row.phone_sealed)),
            number_id=row.number_id,
            patient_ids=tuple(one for one, _ in on_number.get(row.number_id, ())),
            patients=tuple(ref for _, ref in on_number.get(row.number_id, ())),
            meaning=row.meaning,
            meanings=tuple(row.meanings),
            media=row.media,
            words=_opened(tx, Place("replies", "body_sealed", row.id), row.body_sealed) if names else None,
            task=waiting.get(row.id),
        )
        for row in rows
    ]


# What several lists say.


@dataclass(frozen=True, slots=True)
class KnownAs:
    """A patient by reference and name; the name is None where it does not open any more, or there is none."""

    id: int
    ref: str
    site_id: int
    name: str | None = field(repr=False)


def known_as(tx: Transaction, sites: Collection[int], patient_ids: Collection[int]) -> dict[int, KnownAs]:
    """Patient → what they are known as, for those of these who belong to these sites."""
    query = sa.select(schema.patients).where(
        schema.patients.c.id.in_(patient_ids), schema.patients.c.site_id.in_(sites)
    )
    rows = tx.all(query)
    named = _names(tx, {row.id: row for row in rows})
    return {row.id: KnownAs(row.id, row.ref, row.site_id, named.get(row.id)) for row in rows}


def _places(tx: Transaction, sites: Collection[int]) -> dict[int, Row[Any]]:
    return {row.id: row for row in tx.all(sa.select(schema.sites).where(schema.sites.c.id.in_(sites)))}


def _ids(rows: Iterable[Row[Any]]) -> list[int]:
    return [row.id for row in rows]


def _stands_before(place: tuple[Any, int], *columns: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return sa.tuple_(*columns) < _literal(place, columns)


def _stands_after(place: tuple[Any, int], *columns: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return sa.tuple_(*columns) > _literal(place, columns)


def _literal(place: tuple[Any, int], columns: Sequence[sa.ColumnElement[Any]]) -> sa.Tuple:
    return sa.tuple_(*(sa.literal(value, column.type) for value, column in zip(place, columns, strict=True)))


def _opened(tx: Transaction, place: Place, sealed: bytes) -> str | None:
    with suppress(LookupError, Unreadable):
        return tx.open(place, sealed)
    return None


def _names(tx: Transaction, of: Mapping[int, Row[Any]]) -> dict[int, str | None]:
    """Patient → name, from rows with `name_sealed` and `key_id`."""
    tx.load_data_keys([row.key_id for row in of.values()])
    return {
        patient_id: _opened(tx, Place("patients", "name_sealed", patient_id), row.name_sealed)
        for patient_id, row in of.items()
        if row.name_sealed is not None
    }


def _patients_named(tx: Transaction, places: Collection[int], search: str, phone: str | None) -> sa.Select[tuple[int]]:
    """The ids of the patients of that reference, of these words in their name, or with a reader on that number."""
    found: list[sa.Select[tuple[int]]] = []
    if search:
        by_ref = sa.select(schema.patients.c.id).where(schema.patients.c.ref == search)
        found.append(by_ref.where(schema.patients.c.site_id.in_(places)))
    if marks := people.name_marks(tx, search):
        named = sa.select(schema.name_words.c.patient_id).where(schema.name_words.c.fingerprint.in_(marks))
        named = named.group_by(schema.name_words.c.patient_id)
        found.append(named.having(sa.func.count() == len(marks)))
    if phone is not None:
        on = sa.select(schema.recipients.c.patient_id).join(schema.numbers)
        found.append(on.where(schema.numbers.c.fingerprint == tx.fingerprint(phone)))
    return sa.select(sa.union(*found).subquery().c[0])


def _next_visits(tx: Transaction, owner: sa.Column[int], ids: Collection[int], now: datetime) -> dict[int, NextVisit]:
    """Owner (a plan, or a patient) → the next visit of their plans that have not ended."""
    place = sa.func.row_number().over(
        partition_by=owner, order_by=(schema.appointments.c.starts_at, schema.appointments.c.id)
    )
    ahead = (
        sa.select(
            owner.label("owner"),
            schema.appointments.c.id,
            schema.appointments.c.starts_at,
            schema.appointments.c.zone,
            schema.series.c.kind,
            place.label("place"),
        )
        .join_from(schema.appointments, schema.series, schema.series.c.id == schema.appointments.c.series_id)
        .join(schema.plans, schema.plans.c.id == schema.series.c.plan_id)
        .where(owner.in_(ids), schema.plans.c.status != "ended", schema.appointments.c.starts_at > now)
        .where(schema.appointments.c.status.in_(OPEN))
        .subquery()
    )
    return {
        row.owner: NextVisit(row.id, row.starts_at, row.zone, row.kind)
        for row in tx.all(sa.select(ahead).where(ahead.c.place == 1))
    }


def _texts_of(tx: Transaction, plan_ids: Collection[int]) -> tuple[dict[int, dict[str, int]], dict[int, NextText]]:
    """Plan → how many of its texts stand in each state; plan → the next one that is to go."""
    theirs = schema.texts.c.plan_id.in_(plan_ids)
    counts: dict[int, dict[str, int]] = {}
    query = sa.select(schema.texts.c.plan_id, schema.texts.c.state, sa.func.count().label("many")).where(theirs)
    for row in tx.all(query.group_by(schema.texts.c.plan_id, schema.texts.c.state)):
        counts.setdefault(row.plan_id, {})[row.state] = row.many
    place = sa.func.row_number().over(
        partition_by=schema.texts.c.plan_id, order_by=(schema.texts.c.opens_at, schema.texts.c.id)
    )
    waiting = (
        sa.select(
            schema.texts.c.plan_id,
            schema.texts.c.id,
            schema.texts.c.opens_at,
            schema.texts.c.key,
            place.label("place"),
        )
        .where(theirs, schema.texts.c.state == "scheduled")
        .subquery()
    )
    next_texts = {
        row.plan_id: NextText(row.id, row.opens_at, row.key)
        for row in tx.all(sa.select(waiting).where(waiting.c.place == 1))
    }
    return counts, next_texts


def _entered(tx: Transaction, plan_ids: Collection[int]) -> dict[int, Entered]:
    audit = schema.audit
    query = sa.select(audit.c.row_id, audit.c.who, audit.c.at).where(audit.c["table"] == "plans")
    query = query.where(audit.c.row_id.in_(plan_ids), audit.c.what.in_(ENTERED)).order_by(audit.c.id)
    return {row.row_id: Entered(row.who, row.at) for row in tx.all(query)}


def _blocked(
    tx: Transaction, site_of: Mapping[int, int], places: Mapping[int, Row[Any]], now: datetime
) -> dict[int, str]:
    """Patient → why nothing can go to them, for whom that is so."""
    query = sa.select(schema.recipients).where(schema.recipients.c.patient_id.in_(site_of), _OWN)
    readers = tx.all(query)
    consents = people.consents_in_force(tx, _ids(readers))
    theirs = sa.select(schema.numbers).where(schema.numbers.c.id.in_({reader.number_id for reader in readers}))
    numbers = {row.id: row for row in tx.all(theirs)}
    found = {}
    for one in readers:
        site = places[site_of[one.patient_id]]
        reader = reader_of(
            recipient_id=one.id,
            role=one.role,
            zone=one.zone,
            guessed_zones=one.guessed_zones,
            digest=one.weekly_digest,
            texting=(one.texting_from, one.texting_to),
            site_quiet=(site.quiet_from, site.quiet_to),
            number_id=one.number_id,
            number=numbers[one.number_id],
            consent=consents.get(one.id),
            today=to_wall(now, site.zone).date(),
        )
        if reader.opted_out:
            found[one.patient_id] = "opted_out"
        elif reader.number_bad:
            found[one.patient_id] = "number_bad"
        elif not reader.consented:
            found[one.patient_id] = "no_consent"
    return found


def _is_reachable(places: Mapping[int, Row[Any]], now: datetime) -> sa.ColumnElement[bool]:
    """Whether `_blocked` does not name a plan's patient."""
    recipients, numbers, consents = schema.recipients, schema.numbers, schema.consents
    days = [
        sa.and_(schema.plans.c.site_id == site_id, consents.c.expires_on >= to_wall(now, site.zone).date())
        for site_id, site in places.items()
    ]
    reachable = (
        sa.select(recipients.c.id)
        .join(numbers, numbers.c.id == recipients.c.number_id)
        .join(consents, consents.c.id == recipients.c.consent_id)
        .where(recipients.c.patient_id == schema.plans.c.patient_id, _OWN, consents.c.said == "yes")
        .where(consents.c.number_id == recipients.c.number_id)
        .where(consents.c.warned_of_risk, sa.or_(consents.c.expires_on.is_(None), *days))
        .where(numbers.c.opted_out_at.is_(None), numbers.c.bad_since.is_(None), numbers.c.wrong_since.is_(None))
    )
    return reachable.exists()


def _needs_attention() -> sa.ColumnElement[bool]:
    """Whether a plan has an open task: about it, about its patient and no plan, or about a number of theirs."""
    tasks = schema.tasks
    of_plan = sa.select(tasks.c.plan_id).where(sa.text(_OPEN_TASK), tasks.c.plan_id.is_not(None))
    return sa.or_(schema.plans.c.id.in_(of_plan), schema.plans.c.patient_id.in_(_needing_attention(planless=True)))


def _needing_attention(*, planless: bool = False) -> sa.Select[tuple[int]]:
    """The ids of patients with an open task; with `planless` those alone whose task is about no plan."""
    tasks, recipients = schema.tasks, schema.recipients
    named = sa.select(tasks.c.patient_id).where(sa.text(_OPEN_TASK), tasks.c.patient_id.is_not(None))
    by_number = (
        sa.select(recipients.c.patient_id)
        .join(tasks, tasks.c.number_id == recipients.c.number_id)
        .where(sa.text(_OPEN_TASK), tasks.c.patient_id.is_(None))
    )
    if planless:
        named, by_number = (query.where(tasks.c.plan_id.is_(None)) for query in (named, by_number))
    return sa.select(sa.union(named, by_number).subquery().c[0])


def _open_tasks(tx: Transaction, patient_ids: Collection[int]) -> dict[int, dict[int, int | None]]:
    """Patient → the open tasks about them or a number of theirs, each with its plan if it has one."""
    tasks, recipients = schema.tasks, schema.recipients
    named = sa.select(tasks.c.patient_id, tasks.c.id, tasks.c.plan_id).where(sa.text(_OPEN_TASK))
    by_number = (
        sa.select(recipients.c.patient_id, tasks.c.id, tasks.c.plan_id)
        .join(tasks, tasks.c.number_id == recipients.c.number_id)
        .where(sa.text(_OPEN_TASK), tasks.c.patient_id.is_(None), recipients.c.patient_id.in_(patient_ids))
    )
    found: dict[int, dict[int, int | None]] = {}
    for row in (*tx.all(named.where(tasks.c.patient_id.in_(patient_ids))), *tx.all(by_number)):
        found.setdefault(row.patient_id, {})[row.id] = row.plan_id
    return found
