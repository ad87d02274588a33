"""Appointments, and the dates of sessions."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from reminders.plans import Kind
from reminders.queries.listing import OWN, names_of, places_of, stands_after
from reminders.store.database import schema
from reminders.store.database.engine import Transaction
from reminders.store.database.sealing import Place
from reminders.store.planning.plans import OPEN
from reminders.store.records import SiteRow

_CLINICAL = [kind.value for kind in Kind if kind.is_clinical]


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
    how: str
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


def list_visits(
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
    no one said who came: give the moment as `until`. With `marked_since` only those that were marked since then.
    """
    places = places_of(tx, sites)
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
        query = query.where(stands_after(after, schema.appointments.c.starts_at, schema.appointments.c.id))
    return _read_visits(tx, tx.all_as(_Visit, query), places, names=names)


def find_visit(
    tx: Transaction, sites: Collection[int], appointment_id: int, *, names: bool = False
) -> ListedVisit | None:
    """One appointment by its id."""
    places = places_of(tx, sites)
    rows = tx.all_as(_Visit, _visits(places).where(schema.appointments.c.id == appointment_id))
    return next(iter(_read_visits(tx, rows, places, names=names)), None)


class _Visit(NamedTuple):
    id: int
    series_id: int
    recurrence_id: str
    wall: str
    zone: str
    starts_at: datetime
    status: str
    attendance: str | None
    marked_at: datetime | None
    version: int
    series_key: str
    kind: str
    minutes: int | None
    how: str
    place_sealed: bytes | None
    with_sealed: bytes | None
    session_key: str | None
    plan_ref: str
    plan_status: str
    site_id: int
    patient_id: int
    patient_ref: str
    name_sealed: bytes | None
    key_id: int
    confirmed: bool


def _visits(places: Mapping[int, SiteRow]) -> sa.Select[Any]:
    confirmed = (
        sa.select(schema.confirmations.c.recipient_id)
        .join(schema.recipients, schema.recipients.c.id == schema.confirmations.c.recipient_id)
        .where(schema.confirmations.c.appointment_id == schema.appointments.c.id, OWN)
        .where(schema.confirmations.c.version == schema.appointments.c.version)
        .correlate(schema.appointments)
    )
    return (
        sa.select(
            schema.appointments.c.id,
            schema.appointments.c.series_id,
            schema.appointments.c.recurrence_id,
            schema.appointments.c.wall,
            schema.appointments.c.zone,
            schema.appointments.c.starts_at,
            schema.appointments.c.status,
            schema.appointments.c.attendance,
            schema.appointments.c.marked_at,
            schema.appointments.c.version,
            schema.series.c.key.label("series_key"),
            schema.series.c.kind,
            schema.series.c.minutes,
            schema.series.c.how,
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
    tx: Transaction, rows: Sequence[_Visit], places: Mapping[int, SiteRow], *, names: bool
) -> list[ListedVisit]:
    opened = names_of(tx, {row.patient_id: row for row in rows}) if names else {}

    def staff_only(series_id: int, column: str, sealed: bytes | None) -> str | None:
        return tx.open_if_legible(Place("series", column, series_id), sealed) if names and sealed else None

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
            how=row.how,
            room=staff_only(row.series_id, "place_sealed", row.place_sealed),
            with_=staff_only(row.series_id, "with_sealed", row.with_sealed),
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
    """One date of a session: how many patients are in it, of how many no one said who came, and how many came.

    `status` is booked while any visit of it is on, held once it was and someone is marked, else cancelled; of a
    cancelled one `patients` are those who were in it. `how` it happens is None where its visits differ.
    """

    session_id: int
    session: str
    site: str
    on: date
    wall: datetime
    zone: str
    starts_at: datetime
    kind: str
    how: str | None
    patients: int
    unmarked: int
    came: int
    missed: int
    status: str

    @property
    def place(self) -> tuple[date, int]:
        """Where it stands in the list."""
        return self.on, self.session_id


def list_sessions(
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

    What belongs to an ended plan counts only where someone said who came.
    """
    places = places_of(tx, sites)
    on = sa.func.substr(schema.appointments.c.wall, 1, 10)
    is_on = schema.appointments.c.status.in_(OPEN)
    marked = schema.appointments.c.status.in_(("attended", "missed"))
    there = sa.case((schema.appointments.c.status != "cancelled", schema.plans.c.patient_id))
    # A session that was called off leaves what the plan agreed as it was: so many were in it.
    were = sa.case((schema.appointments.c.agreed_status != "cancelled", schema.plans.c.patient_id))
    came = schema.appointments.c.status == "attended"
    missed = schema.appointments.c.status == "missed"
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
            sa.func.min(schema.series.c.how).label("how"),
            sa.func.max(schema.series.c.how).label("or_how"),
            sa.func.count(there.distinct()).label("patients"),
            sa.func.count(were.distinct()).label("were"),
            sa.func.sum(sa.case((came, 1), else_=0)).label("came"),
            sa.func.sum(sa.case((missed, 1), else_=0)).label("missed"),
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
        query = query.where(stands_after((after[0].isoformat(), after[1]), on, schema.sessions.c.id))
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
            how=row.how if row.how == row.or_how else None,
            patients=row.patients if row.is_on or row.marked else row.were,
            unmarked=row.is_on,
            came=row.came,
            missed=row.missed,
            status="booked" if row.is_on else "held" if row.marked else "cancelled",
        )
        for row in tx.all(query)
    ]


def find_session(tx: Transaction, sites: Collection[int], session_id: int) -> tuple[str, str] | None:
    """The key of a session by its id, and that of its site."""
    row = tx.first(
        sa.select(schema.sessions.c.key, schema.sites.c.key.label("site"))
        .join(schema.sites, schema.sites.c.id == schema.sessions.c.site_id)
        .where(schema.sessions.c.id == session_id, schema.sessions.c.site_id.in_(sites))
    )
    return (row.key, row.site) if row is not None else None
