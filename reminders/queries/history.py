"""What a patient's page shows: what went out and came in, what was said about texts, and who looked."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

import sqlalchemy as sa

from reminders.store.database.engine import Transaction
from reminders.store.database.schema import (
    audit,
    consents,
    numbers,
    patients,
    plans,
    recipients,
    replies,
    sites,
    texts,
)
from reminders.store.database.sealing import Place, Unreadable
from reminders.store.people import masked_of
from reminders.store.records import PlanRow
from reminders.store.replies import mark_of, readings_of


class PatientAtSite(NamedTuple):
    """A patient with the key and the zone of their site."""

    id: int
    site_id: int
    ref: str
    key_id: int
    name_sealed: bytes | None
    born_on_sealed: bytes | None
    legal_hold: bool
    created_at: datetime
    site: str
    zone: str


def patient(tx: Transaction, site_ids: Collection[int], patient_id: int) -> PatientAtSite | None:
    """The patient of that id, with the key and the zone of their site; None where it is none of these sites."""
    query = sa.select(patients, sites.c.key.label("site"), sites.c.zone).join(sites, sites.c.id == patients.c.site_id)
    return tx.first_as(PatientAtSite, query.where(patients.c.id == patient_id, patients.c.site_id.in_(site_ids)))


def plan(tx: Transaction, site_ids: Collection[int], plan_id: int) -> PlanRow | None:
    """The plan of that id; None where it belongs to none of these sites."""
    return tx.first_as(PlanRow, sa.select(plans).where(plans.c.id == plan_id, plans.c.site_id.in_(site_ids)))


def typed(tx: Transaction, text_ids: Collection[int]) -> dict[int, str]:
    """Text → what staff typed, of those texts that someone typed."""
    query = sa.select(texts.c.id, texts.c.body_sealed).where(texts.c.id.in_(text_ids), texts.c.body_sealed.is_not(None))
    found = {}
    for row in tx.all(query):
        with suppress(LookupError, Unreadable):
            found[row.id] = tx.open(Place("texts", "body_sealed", row.id), row.body_sealed)
    return found


def waiting(tx: Transaction, number_id: int) -> tuple[int, int]:
    """How many texts wait to go to a number, and how many patients are texted on it."""
    queued = sa.select(sa.func.count()).select_from(texts).where(texts.c.number_id == number_id)
    on_it = sa.select(sa.func.count(recipients.c.patient_id.distinct())).where(recipients.c.number_id == number_id)
    return int(tx.value(queued.where(sa.text("state = 'scheduled'"))) or 0), int(tx.value(on_it) or 0)


@dataclass(frozen=True, slots=True)
class Heard:
    """A text that came from a number on which a patient, or one of their readers, is texted."""

    id: int
    received_at: datetime
    recipients: tuple[str, ...]
    meaning: str
    media: int
    words: str | None = field(repr=False)
    danger: bool | None = None


def heard(tx: Transaction, patient_id: int, limit: int) -> list[Heard]:
    """What came from the numbers of a patient's readers, the newest first.

    What was sealed for another patient on the same number is theirs, and left out.
    """
    readers: dict[int, list[str]] = {}
    query = sa.select(recipients.c.number_id, recipients.c.key).where(recipients.c.patient_id == patient_id)
    for row in tx.all(query.order_by(recipients.c.id)):
        readers.setdefault(row.number_id, []).append(row.key)
    theirs = sa.select(replies).where(replies.c.number_id.in_(readers))
    theirs = theirs.where(sa.or_(replies.c.patient_id == patient_id, replies.c.patient_id.is_(None)))
    found = []
    rows = tx.all(theirs.order_by(replies.c.received_at.desc(), replies.c.id.desc()).limit(limit))
    readings = readings_of(tx, {row.id: row.reading_sealed for row in rows})
    for row in rows:
        words = None
        with suppress(LookupError, Unreadable):
            words = tx.open(Place("replies", "body_sealed", row.id), row.body_sealed)
        found.append(
            Heard(
                row.id,
                row.received_at,
                tuple(readers[row.number_id]),
                readings[row.id].meaning,
                row.media,
                words,
                mark_of(tx, row.id, row.mark_sealed),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class ConsentSaid:
    """One record of what a reader said about texts; the records are append-only, the newest for a number holds."""

    recipient: str
    role: str
    to: str
    said: str
    said_on: date
    how: str
    by: str
    categories: tuple[str, ...]
    warned_of_risk: bool
    wording: str | None
    per_day: int | None
    per_week: int | None
    verified: str | None
    legal_basis: str | None
    expires_on: date | None
    recorded_at: datetime
    in_force: bool


def consents_of(tx: Transaction, patient_id: int) -> list[ConsentSaid]:
    """Everything that a patient's readers ever said about texts, the newest record first."""
    query = (
        sa.select(
            consents,
            recipients.c.key,
            recipients.c.role,
            (recipients.c.consent_id == consents.c.id).label("in_force"),
            numbers.c.phone_sealed,
        )
        .join(recipients, recipients.c.id == consents.c.recipient_id)
        .join(numbers, numbers.c.id == consents.c.number_id)
        .where(recipients.c.patient_id == patient_id)
        .order_by(consents.c.recorded_at.desc(), consents.c.id.desc())
    )
    return [
        ConsentSaid(
            recipient=row.key,
            role=row.role,
            to=masked_of(tx, row.number_id, row.phone_sealed),
            said=row.said,
            said_on=row.said_on,
            how=row.how,
            by=row.by,
            categories=tuple(row.categories),
            warned_of_risk=row.warned_of_risk,
            wording=row.wording,
            per_day=row.per_day,
            per_week=row.per_week,
            verified=row.verified,
            legal_basis=row.legal_basis,
            expires_on=row.expires_on,
            recorded_at=row.recorded_at,
            in_force=bool(row.in_force),
        )
        for row in tx.all(query)
    ]


class Access(NamedTuple):
    """Who did or read what, and in which table."""

    id: int
    at: datetime
    who: str
    what: str
    table: str


def access(tx: Transaction, patient_id: int, limit: int, before: int | None = None) -> list[Access]:
    """Who did or read what of a patient, or of a number of theirs, the newest first."""
    theirs = sa.select(recipients.c.number_id).where(recipients.c.patient_id == patient_id)
    query = sa.select(audit.c.id, audit.c.at, audit.c.who, audit.c.what, audit.c["table"])
    if before is not None:
        query = query.where(audit.c.id < before)
    found = sa.union(
        query.where(audit.c.patient_id == patient_id),
        query.where(audit.c["table"] == "numbers", audit.c.row_id.in_(theirs)),
    ).subquery()
    return tx.all_as(Access, sa.select(found).order_by(found.c.id.desc()).limit(limit))
