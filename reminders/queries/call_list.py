"""Whom to phone while no text goes: the visits of the next hours, with those who would have been reminded of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import sqlalchemy as sa

from reminders.audit_actions import Action
from reminders.lifecycle import MAYBE_ARRIVED, State
from reminders.plans import Kind
from reminders.queries import readings
from reminders.store import Database
from reminders.store.database.engine import Transaction
from reminders.store.database.schema import (
    appointments,
    consents,
    numbers,
    patients,
    plans,
    recipients,
    series,
    sites,
    text_items,
    texts,
)
from reminders.store.database.sealing import Place
from reminders.store.people import UNREADABLE, all_sites, shown_name

_CLINICAL = [kind.value for kind in Kind if kind.is_clinical]


@dataclass(frozen=True, slots=True)
class Call:
    """One reader to phone about one visit.

    `wall` is the wall clock at the visit's `zone`; `role` is the kind of reader (self, supporter, guardian); `is_wrong`
    says that the number is known not to be theirs, or cannot be reached; `told` whether a text about the visit arrived
    (`yes`), was handed over without word of its arrival (`perhaps`), or neither (`no`).
    """

    site: str
    patient: str
    name: str | None = field(repr=False)
    phone: str = field(repr=False)
    language: str
    role: str
    wall: datetime
    zone: str
    starts_at: datetime
    is_first: bool
    is_wrong: bool
    told: str


def visits_ahead(tx: Transaction, now: datetime, until: datetime) -> list[Call]:
    """Booked visits of running plans from `now` to `until`: first visits first, then by time; a row for each reader.

    Patients are phoned whatever they said to texts; anyone else only with a consent of their own in force (L-48).
    """
    first_at = (
        sa.select(sa.func.min(appointments.c.starts_at, type_=appointments.c.starts_at.type))
        .join(series, series.c.id == appointments.c.series_id)
        .where(series.c.plan_id == plans.c.id, appointments.c.status != "cancelled", series.c.kind.in_(_CLINICAL))
        .scalar_subquery()
        .correlate(plans)
    )
    query = (
        sa.select(
            appointments.c.id.label("visit_id"),
            appointments.c.starts_at,
            appointments.c.wall,
            appointments.c.zone,
            (appointments.c.starts_at == first_at).label("is_first"),
            series.c.recipients.label("named"),
            recipients.c.id.label("recipient_id"),
            recipients.c.key,
            recipients.c.role,
            recipients.c.language,
            recipients.c.number_id,
            consents.c.said,
            consents.c.number_id.label("consented_number"),
            numbers.c.phone_sealed,
            sa.or_(numbers.c.bad_since.is_not(None), numbers.c.wrong_since.is_not(None)).label("is_wrong"),
            patients.c.id,
            patients.c.ref,
            patients.c.name_sealed,
            sites.c.key.label("site"),
        )
        .join_from(appointments, series, series.c.id == appointments.c.series_id)
        .join(plans, plans.c.id == series.c.plan_id)
        .join(patients, patients.c.id == plans.c.patient_id)
        .join(sites, sites.c.id == patients.c.site_id)
        .join(recipients, recipients.c.patient_id == patients.c.id)
        .join(numbers, numbers.c.id == recipients.c.number_id)
        .outerjoin(consents, consents.c.id == recipients.c.consent_id)
        .where(appointments.c.starts_at > now, appointments.c.starts_at <= until)
        .where(appointments.c.status == "booked", plans.c.status == "active")
    )
    rows = [row for row in tx.all(query) if row.key in row.named]
    rows = [row for row in rows if row.role == "self" or (row.said == "yes" and row.consented_number == row.number_id)]
    told = _told(tx, [row.visit_id for row in rows])
    found = [
        Call(
            site=row.site,
            patient=row.ref,
            name=shown_name(tx, row.id, row.name_sealed),
            phone=tx.open_if_legible(Place("numbers", "phone_sealed", row.number_id), row.phone_sealed) or UNREADABLE,
            language=row.language,
            role=row.role,
            wall=datetime.fromisoformat(row.wall),
            zone=row.zone,
            starts_at=row.starts_at,
            is_first=bool(row.is_first),
            is_wrong=bool(row.is_wrong),
            told=told.get((row.visit_id, row.recipient_id), "no"),
        )
        for row in rows
    ]
    return sorted(found, key=lambda call: (not call.is_first, call.starts_at, call.patient, call.role != "self"))


def _told(tx: Transaction, visit_ids: Sequence[int]) -> dict[tuple[int, int], str]:
    """(visit, reader) → `yes` or `perhaps`, where a text about the visit went to them."""
    query = (
        sa.select(text_items.c.appointment_id, texts.c.recipient_id, texts.c.state)
        .join(texts, texts.c.id == text_items.c.text_id)
        .where(text_items.c.appointment_id.in_(visit_ids), texts.c["class"].in_(("reminder", "notice")))
        .where(texts.c.state.in_((State.DELIVERED.value, *MAYBE_ARRIVED)))
    )
    told: dict[tuple[int, int], str] = {}
    for row in tx.all(query):
        key = (row.appointment_id, row.recipient_id)
        told[key] = "yes" if row.state == State.DELIVERED else told.get(key, "perhaps")
    return told


def ahead(database: Database, now: datetime, spell: timedelta, *, who: str) -> list[Call]:
    """Everyone to phone about the visits of the next `spell`, first visits first. The reading is put on record."""

    def work(tx: Transaction, notes: readings.Notes) -> list[Call]:
        site = all_sites(tx)[0]
        notes.add(Action.CALL_LIST_READ, "sites", site.id)
        return visits_ahead(tx, now, now + spell)

    return readings.read(database, work, now, who=who)
