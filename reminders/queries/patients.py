"""Patients."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import sqlalchemy as sa

from reminders.queries.listing import (
    OWN,
    NextVisit,
    blocked_of,
    names_of,
    needing_attention,
    next_visits,
    open_tasks,
    patients_named,
    places_of,
)
from reminders.store import people
from reminders.store.database import schema
from reminders.store.database.engine import Transaction
from reminders.store.records import PatientRow, SiteRow


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


def list_patients(
    tx: Transaction, sites: Collection[int], wanted: PatientFilter, now: datetime, *, names: bool = False
) -> list[ListedPatient]:
    """Patients, who was entered last first."""
    places = places_of(tx, sites)
    query = (
        sa.select(schema.patients).where(schema.patients.c.site_id.in_(places)).order_by(schema.patients.c.id.desc())
    )
    query = query.limit(wanted.limit)
    if wanted.before is not None:
        query = query.where(schema.patients.c.id < wanted.before[0])
    if wanted.ids is not None:
        query = query.where(schema.patients.c.id.in_(wanted.ids))
    if wanted.search or wanted.phone:
        query = query.where(schema.patients.c.id.in_(patients_named(tx, places, wanted.search, wanted.phone)))
    if wanted.needs_attention:
        query = query.where(schema.patients.c.id.in_(needing_attention()))
    return _patients(tx, tx.all_as(PatientRow, query), places, now, names=names)


def find_patient(
    tx: Transaction, sites: Collection[int], which: str | int, now: datetime, *, names: bool = False
) -> ListedPatient | None:
    """The patient of that reference or row id, as `patients` shows them; of several sites' the newest."""
    places = places_of(tx, sites)
    here = sa.select(schema.patients).where(schema.patients.c.site_id.in_(places))
    query = here.where((schema.patients.c.id if isinstance(which, int) else schema.patients.c.ref) == which)
    rows = tx.all_as(PatientRow, query.order_by(schema.patients.c.id.desc()).limit(1))
    return next(iter(_patients(tx, rows, places, now, names=names)), None)


def _patients(
    tx: Transaction, rows: Sequence[PatientRow], places: Mapping[int, SiteRow], now: datetime, *, names: bool
) -> list[ListedPatient]:
    ids = [row.id for row in rows]
    theirs: dict[int, list[PlanOf]] = {}
    query = sa.select(
        schema.plans.c.patient_id, schema.plans.c.ref, schema.plans.c.status, schema.plans.c.discharged_on
    )
    for plan in tx.all(query.where(schema.plans.c.patient_id.in_(ids)).order_by(schema.plans.c.id.desc())):
        theirs.setdefault(plan.patient_id, []).append(PlanOf(plan.ref, plan.status, plan.discharged_on))
    visits = next_visits(tx, schema.plans.c.patient_id, ids, now)
    own = {
        row.patient_id: row
        for row in tx.all(
            sa.select(schema.recipients.c.patient_id, schema.numbers)
            .join(schema.numbers, schema.numbers.c.id == schema.recipients.c.number_id)
            .where(schema.recipients.c.patient_id.in_(ids), OWN)
        )
    }
    blocked = blocked_of(tx, {row.id: row.site_id for row in rows}, places, now)
    attention = open_tasks(tx, ids)
    opened = names_of(tx, {row.id: row for row in rows}) if names else {}
    return [
        ListedPatient(
            id=row.id,
            ref=row.ref,
            site=places[row.site_id].key,
            zone=places[row.site_id].zone,
            name=opened.get(row.id),
            to=people.masked_of(tx, own[row.id].id, own[row.id].phone_sealed) if row.id in own else None,
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
