"""What several lists say of a patient or a plan, and how a list is cut into pages."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from reminders.plans import to_wall
from reminders.queries.people import searched_marks
from reminders.store import people
from reminders.store.database import schema
from reminders.store.database.engine import Transaction
from reminders.store.database.sealing import Place
from reminders.store.planning.plans import OPEN
from reminders.store.planning.texts import reader_of
from reminders.store.records import NumberRow, PatientRow, RecipientRow, SiteRow

OPEN_TASK = "tasks.closed_at IS NULL"
OWN = schema.recipients.c.role == "self"


@dataclass(frozen=True, slots=True)
class NextVisit:
    """The next visit that is on: when, on the wall clock of which zone, of what kind, and how it happens."""

    appointment: int
    starts_at: datetime
    zone: str
    kind: str
    how: str


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
    rows = tx.all_as(PatientRow, query)
    named = names_of(tx, {row.id: row for row in rows})
    return {row.id: KnownAs(row.id, row.ref, row.site_id, named.get(row.id)) for row in rows}


def places_of(tx: Transaction, sites: Collection[int]) -> dict[int, SiteRow]:
    """The sites of these ids that there are: id → row."""
    query = sa.select(schema.sites).where(schema.sites.c.id.in_(sites))
    return {row.id: row for row in tx.all_as(SiteRow, query)}


def stands_before(place: tuple[Any, int], *columns: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether a row stands before that place in the order of these columns."""
    return sa.tuple_(*columns) < _literal(place, columns)


def stands_after(place: tuple[Any, int], *columns: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether it stands after it."""
    return sa.tuple_(*columns) > _literal(place, columns)


def _literal(place: tuple[Any, int], columns: Sequence[sa.ColumnElement[Any]]) -> sa.Tuple:
    return sa.tuple_(*(sa.literal(value, column.type) for value, column in zip(place, columns, strict=True)))


class Named(Protocol):
    """A row with the name of a patient, sealed."""

    @property
    def key_id(self) -> int:
        """The patient's data key."""

    @property
    def name_sealed(self) -> bytes | None:
        """The name that it seals."""


def names_of(tx: Transaction, of: Mapping[int, Named]) -> dict[int, str | None]:
    """Patient → name."""
    tx.load_data_keys([row.key_id for row in of.values()])
    return {
        patient_id: tx.open_if_legible(Place("patients", "name_sealed", patient_id), row.name_sealed)
        for patient_id, row in of.items()
        if row.name_sealed is not None
    }


def patients_named(tx: Transaction, places: Collection[int], search: str, phone: str | None) -> sa.Select[tuple[int]]:
    """The ids of the patients of that reference, of these words in their name, or with a reader on that number."""
    found: list[sa.Select[tuple[int]]] = []
    if search:
        by_ref = sa.select(schema.patients.c.id).where(sa.func.lower(schema.patients.c.ref) == search.lower())
        found.append(by_ref.where(schema.patients.c.site_id.in_(places)))
    for marks in searched_marks(tx, search):
        named = sa.select(schema.name_words.c.patient_id).where(schema.name_words.c.fingerprint.in_(marks))
        named = named.group_by(schema.name_words.c.patient_id)
        found.append(named.having(sa.func.count() == len(marks)))
    if phone is not None:
        on = sa.select(schema.recipients.c.patient_id).join(schema.numbers)
        found.append(on.where(schema.numbers.c.fingerprint.in_(tx.fingerprints(phone))))
    return sa.select(sa.union(*found).subquery().c[0])


def next_visits(tx: Transaction, owner: sa.Column[int], ids: Collection[int], now: datetime) -> dict[int, NextVisit]:
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
            schema.series.c.how,
            place.label("place"),
        )
        .join_from(schema.appointments, schema.series, schema.series.c.id == schema.appointments.c.series_id)
        .join(schema.plans, schema.plans.c.id == schema.series.c.plan_id)
        .where(owner.in_(ids), schema.plans.c.status != "ended", schema.appointments.c.starts_at > now)
        .where(schema.appointments.c.status.in_(OPEN))
        .subquery()
    )
    return {
        row.owner: NextVisit(row.id, row.starts_at, row.zone, row.kind, row.how)
        for row in tx.all(sa.select(ahead).where(ahead.c.place == 1))
    }


def blocked_of(
    tx: Transaction, site_of: Mapping[int, int], places: Mapping[int, SiteRow], now: datetime
) -> dict[int, str]:
    """Patient → why nothing can go to them, for whom that is so."""
    query = sa.select(schema.recipients).where(schema.recipients.c.patient_id.in_(site_of), OWN)
    readers = tx.all_as(RecipientRow, query)
    consents = people.consents_in_force(tx, [reader.id for reader in readers])
    theirs = sa.select(schema.numbers).where(schema.numbers.c.id.in_({reader.number_id for reader in readers}))
    numbers = {row.id: row for row in tx.all_as(NumberRow, theirs)}
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


def needing_attention(*, planless: bool = False) -> sa.Select[tuple[int]]:
    """The ids of patients with an open task; with `planless` those alone whose task is about no plan."""
    tasks, recipients = schema.tasks, schema.recipients
    named = sa.select(tasks.c.patient_id).where(sa.text(OPEN_TASK), tasks.c.patient_id.is_not(None))
    by_number = (
        sa.select(recipients.c.patient_id)
        .join(tasks, tasks.c.number_id == recipients.c.number_id)
        .where(sa.text(OPEN_TASK), tasks.c.patient_id.is_(None))
    )
    if planless:
        named, by_number = (query.where(tasks.c.plan_id.is_(None)) for query in (named, by_number))
    return sa.select(sa.union(named, by_number).subquery().c[0])


def open_tasks(tx: Transaction, patient_ids: Collection[int]) -> dict[int, dict[int, int | None]]:
    """Patient → the open tasks about them or a number of theirs, each with its plan if it has one."""
    tasks, recipients = schema.tasks, schema.recipients
    named = sa.select(tasks.c.patient_id, tasks.c.id, tasks.c.plan_id).where(sa.text(OPEN_TASK))
    by_number = (
        sa.select(recipients.c.patient_id, tasks.c.id, tasks.c.plan_id)
        .join(tasks, tasks.c.number_id == recipients.c.number_id)
        .where(sa.text(OPEN_TASK), tasks.c.patient_id.is_(None), recipients.c.patient_id.in_(patient_ids))
    )
    found: dict[int, dict[int, int | None]] = {}
    for row in (*tx.all(named.where(tasks.c.patient_id.in_(patient_ids))), *tx.all(by_number)):
        found.setdefault(row.patient_id, {})[row.id] = row.plan_id
    return found
