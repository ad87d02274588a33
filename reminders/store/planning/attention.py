"""What needs a person although no one asked: the questions that the watch asks of the rows, again and again.

Each is bounded by dates that have an index, so that it costs the same however much is stored.
"""

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from reminders.lifecycle import FAILED, ON_ITS_WAY
from reminders.planner import NOTICE_WITHIN
from reminders.plans import Kind
from reminders.store.database.engine import Transaction
from reminders.store.database.record_check import never_null
from reminders.store.database.schema import (
    appointments,
    attempts,
    confirmations,
    consents,
    numbers,
    patients,
    plans,
    recipients,
    series,
    sites,
    tasks,
    text_items,
    texts,
)

_CLINICAL = [kind.value for kind in Kind if kind.is_clinical]
_OWN = sa.and_(recipients.c.patient_id == patients.c.id, recipients.c.role == "self")


class Unverified(NamedTuple):
    """A patient, as the recipient of their texts, whose number no one verified."""

    recipient_id: int
    patient_id: int
    number_id: int


def unverified(tx: Transaction, site_id: int, today: date) -> list[Unverified]:
    """Patients who are out, or leave today, and whose number no one verified."""
    query = (
        sa.select(recipients.c.id.label("recipient_id"), patients.c.id.label("patient_id"), recipients.c.number_id)
        .join_from(plans, patients, patients.c.id == plans.c.patient_id)
        .join(recipients, _OWN)
        .join(numbers, numbers.c.id == recipients.c.number_id)
        .join(consents, consents.c.id == recipients.c.consent_id)
        .where(plans.c.site_id == site_id, plans.c.status == "active", consents.c.said == "yes")
        .where(plans.c.discharged_on <= today, plans.c.discharged_on > today - timedelta(days=30))
        .where(numbers.c.verified_at.is_(None), numbers.c.opted_out_at.is_(None))
        .where(numbers.c.bad_since.is_(None), numbers.c.wrong_since.is_(None))
        .distinct()
    )
    return tx.all_as(Unverified, query)


class WithoutConsent(NamedTuple):
    """A running plan whose patient has no yes on record; `first` is their next visit."""

    plan_id: int
    patient_id: int
    first: datetime


def without_consent(tx: Transaction, site_id: int, now: datetime) -> list[WithoutConsent]:
    """Running plans with visits ahead whose patient has no yes on record."""
    query = (
        sa.select(
            plans.c.id.label("plan_id"),
            plans.c.patient_id,
            sa.func.min(appointments.c.starts_at, type_=appointments.c.starts_at.type).label("first"),
        )
        .join_from(plans, patients, patients.c.id == plans.c.patient_id)
        .join(recipients, _OWN)
        .outerjoin(consents, consents.c.id == recipients.c.consent_id)
        .join(series, series.c.plan_id == plans.c.id)
        .join(appointments, appointments.c.series_id == series.c.id)
        .where(plans.c.site_id == site_id, plans.c.status == "active")
        .where(sa.or_(consents.c.id.is_(None), consents.c.said != "yes"))
        .where(appointments.c.starts_at > now, appointments.c.status == "booked")
        .group_by(plans.c.id, plans.c.patient_id)
    )
    return tx.all_as(WithoutConsent, query)


class Review(NamedTuple):
    """A running plan that is due for a review."""

    plan_id: int
    patient_id: int
    discharged_on: date


def reviews(tx: Transaction, site_id: int, discharged: Sequence[date]) -> list[Review]:
    """Running plans discharged on one of these days (S-5)."""
    query = sa.select(plans.c.id.label("plan_id"), plans.c.patient_id, plans.c.discharged_on)
    query = query.where(plans.c.site_id == site_id, plans.c.status == "active", plans.c.discharged_on.in_(discharged))
    return tx.all_as(Review, query)


class VisitSoon(NamedTuple):
    """A booked visit of a running plan, and what was done about it."""

    appointment_id: int
    plan_id: int
    patient_id: int
    discharged_on: date
    number_id: int  # the patient's own
    opted_out: bool
    lost: bool  # a bad number, or a wrong one
    verified: bool
    kind: str
    starts_at: datetime
    wall: str
    is_first: bool
    consented: bool
    categories: list[str] | None
    texted: bool  # a text about it is on its way or went
    asked_at: datetime | None  # when the first one went
    confirmed: bool


def visits_soon(tx: Transaction, site_id: int, now: datetime, near: datetime, until: datetime) -> list[VisitSoon]:
    """Booked visits of running plans from `now` to `near`, and first ones to `until`, with what was done about each."""
    # Once for each plan, and only for plans with a visit ahead: asked again for each visit it is the square of them.
    soon = (
        sa.select(series.c.plan_id)
        .join_from(appointments, series, series.c.id == appointments.c.series_id)
        .where(appointments.c.starts_at > now, appointments.c.starts_at <= until, appointments.c.status == "booked")
    )
    firsts = (
        sa.select(
            series.c.plan_id,
            sa.func.min(appointments.c.starts_at, type_=appointments.c.starts_at.type).label("first_at"),
        )
        .join_from(series, appointments, appointments.c.series_id == series.c.id)
        .where(appointments.c.status != "cancelled", series.c.kind.in_(_CLINICAL), series.c.plan_id.in_(soon))
        .group_by(series.c.plan_id)
        .subquery()
    )
    first_at = firsts.c.first_at
    of_visit = sa.select(texts.c.id).join(text_items, text_items.c.text_id == texts.c.id)
    of_visit = of_visit.where(text_items.c.appointment_id == appointments.c.id).correlate(appointments)
    asked_at = (
        sa.select(sa.func.min(attempts.c.started_at, type_=attempts.c.started_at.type))
        .join(text_items, text_items.c.text_id == attempts.c.text_id)
        .where(text_items.c.appointment_id == appointments.c.id, attempts.c.answer == "accepted")
        .scalar_subquery()
        .correlate(appointments)
    )
    confirmed = (
        sa.select(confirmations.c.recipient_id)
        .where(confirmations.c.appointment_id == appointments.c.id)
        .where(confirmations.c.version == appointments.c.version)
        .correlate(appointments)
    )
    query = (
        sa.select(
            appointments.c.id.label("appointment_id"),
            plans.c.id.label("plan_id"),
            plans.c.patient_id,
            plans.c.discharged_on,
            recipients.c.number_id,
            numbers.c.opted_out_at.is_not(None).label("opted_out"),
            sa.or_(numbers.c.bad_since.is_not(None), numbers.c.wrong_since.is_not(None)).label("lost"),
            numbers.c.verified_at.is_not(None).label("verified"),
            series.c.kind,
            appointments.c.starts_at,
            appointments.c.wall,
            sa.func.coalesce(appointments.c.starts_at == first_at, sa.false()).label("is_first"),
            (sa.func.coalesce(consents.c.said, "no") == "yes").label("consented"),
            consents.c.categories,
            of_visit.where(texts.c.state.in_(ON_ITS_WAY)).exists().label("texted"),
            asked_at.label("asked_at"),
            confirmed.exists().label("confirmed"),
        )
        .join_from(appointments, series, series.c.id == appointments.c.series_id)
        .join(plans, plans.c.id == series.c.plan_id)
        .outerjoin(firsts, firsts.c.plan_id == plans.c.id)
        .join(patients, patients.c.id == plans.c.patient_id)
        .join(recipients, _OWN)
        .join(numbers, numbers.c.id == recipients.c.number_id)
        .outerjoin(consents, consents.c.id == recipients.c.consent_id)
        .where(appointments.c.starts_at > now, appointments.c.starts_at <= until, appointments.c.status == "booked")
        .where(sa.or_(appointments.c.starts_at <= near, appointments.c.starts_at == first_at))
        .where(plans.c.site_id == site_id, plans.c.status == "active")
        .order_by(appointments.c.starts_at)
    )
    return tx.all_as(VisitSoon, query)


class Unmarked(NamedTuple):
    """A visit of which no one said who came; plan and patient by their references."""

    appointment_id: int
    plan: str
    patient: str
    series: str
    recurrence_id: str
    wall: str
    zone: str
    starts_at: datetime


def unmarked(tx: Transaction, site_id: int, since: datetime, until: datetime) -> list[Unmarked]:
    """Clinical visits that began from `since` to `until` and of which no one said who came."""
    query = (
        sa.select(
            appointments.c.id.label("appointment_id"),
            plans.c.ref.label("plan"),
            patients.c.ref.label("patient"),
            series.c.key.label("series"),
            appointments.c.recurrence_id,
            appointments.c.wall,
            appointments.c.zone,
            appointments.c.starts_at,
        )
        .join_from(appointments, series, series.c.id == appointments.c.series_id)
        .join(plans, plans.c.id == series.c.plan_id)
        .join(patients, patients.c.id == plans.c.patient_id)
        .where(appointments.c.starts_at >= since, appointments.c.starts_at <= until)
        .where(appointments.c.status == "booked", series.c.kind.in_(_CLINICAL))
        .where(plans.c.site_id == site_id, plans.c.status == "active")
        .order_by(appointments.c.starts_at, appointments.c.id)
    )
    return tx.all_as(Unmarked, query)


class NotArrived(NamedTuple):
    """A text that did not arrive, or of which no one knows, and one of the visits that it is about."""

    text_id: int
    class_: str
    state: str
    number_id: int
    patient_id: int
    role: str
    appointment_id: int
    starts_at: datetime
    discharged_on: date


def not_arrived(tx: Transaction, site_id: int, now: datetime) -> list[NotArrived]:
    """Texts of the last days about visits ahead that did not arrive, or of which no one knows; one row a visit."""
    # Windows of reminders are some days at most; a notice may be of use for weeks, and is not known to be lost before.
    is_recent = sa.or_(
        texts.c.opens_at > now - timedelta(days=5),
        sa.and_(texts.c["class"] == "notice", texts.c.opens_at > now - timedelta(days=90)),
    )
    query = (
        sa.select(
            texts.c.id.label("text_id"),
            texts.c["class"].label("class_"),
            texts.c.state,
            texts.c.number_id,
            recipients.c.patient_id,
            recipients.c.role,
            appointments.c.id.label("appointment_id"),
            appointments.c.starts_at,
            plans.c.discharged_on,
        )
        .join(recipients, recipients.c.id == texts.c.recipient_id)
        .join(text_items, text_items.c.text_id == texts.c.id)
        .join(appointments, appointments.c.id == text_items.c.appointment_id)
        .join(series, series.c.id == appointments.c.series_id)
        .join(plans, plans.c.id == series.c.plan_id)
        .where(texts.c.site_id == site_id, texts.c.opens_at <= now, is_recent)
        .where(texts.c["class"].in_(("reminder", "notice")), plans.c.status == "active")
        .where(appointments.c.starts_at > now)
        .where(
            sa.or_(
                texts.c.state.in_(FAILED),
                sa.and_(texts.c.state == "uncertain", texts.c.closes_at <= now),
            )
        )
        .order_by(appointments.c.starts_at)
    )
    return tx.all_as(NotArrived, query)


class BadNumber(NamedTuple):
    """A number that was found bad, and the first of the patients that it is texted about."""

    number_id: int
    patient_id: int
    bad_since: datetime
    bad_code: int | None


def bad_numbers(tx: Transaction, site_id: int, since: datetime) -> list[BadNumber]:
    """Numbers found bad since then that a running plan texts to."""
    query = (
        sa.select(
            numbers.c.id.label("number_id"),
            sa.func.min(recipients.c.patient_id).label("patient_id"),
            never_null(numbers.c.bad_since),
            numbers.c.bad_code,
        )
        .join(recipients, recipients.c.number_id == numbers.c.id)
        .join(plans, plans.c.patient_id == recipients.c.patient_id)
        .where(numbers.c.bad_since > since, plans.c.site_id == site_id, plans.c.status == "active")
        .group_by(numbers.c.id, numbers.c.bad_since, numbers.c.bad_code)
    )
    return tx.all_as(BadNumber, query)


class OpenTask(NamedTuple):
    """An open task, as the page of a patient shows it."""

    id: int
    key: str
    kind: str
    urgency: str
    due_at: datetime
    owner: str | None


def open_tasks_of(tx: Transaction, patient_id: int) -> list[OpenTask]:
    """The open tasks about a patient, or about a number that is theirs alone, the urgent ones first."""
    own = sa.select(recipients.c.number_id).where(recipients.c.patient_id == patient_id)
    others = sa.select(recipients.c.number_id).where(recipients.c.patient_id != patient_id)
    theirs = sa.and_(tasks.c.patient_id.is_(None), tasks.c.number_id.in_(own), tasks.c.number_id.not_in(others))
    query = sa.select(*_OPEN_TASK)
    query = query.where(tasks.c.closed_at.is_(None), sa.or_(tasks.c.patient_id == patient_id, theirs))
    urgent_first = sa.case((tasks.c.urgency == "urgent", 0), else_=1)
    return tx.all_as(OpenTask, query.order_by(urgent_first, tasks.c.due_at, tasks.c.id))


def open_tasks_on(tx: Transaction, number_id: int) -> list[OpenTask]:
    """The open tasks about a number."""
    query = sa.select(*_OPEN_TASK).where(tasks.c.closed_at.is_(None), tasks.c.number_id == number_id)
    return tx.all_as(OpenTask, query.order_by(tasks.c.id))


_OPEN_TASK = (tasks.c.id, tasks.c.key, tasks.c.kind, tasks.c.urgency, tasks.c.due_at, tasks.c.owner)


class ReaderOfMinor(NamedTuple):
    """A patient who may have come of age, and the key of a reader whose yes hangs on that they had not."""

    id: int
    ref: str
    born_on_sealed: bytes
    recipient: str
    said_on: date
    site: str
    zone: str


def of_minors(tx: Transaction) -> list[ReaderOfMinor]:
    """Readers whose yes in force hangs on a patient's being under age, of patients with a current plan (L-56)."""
    current = sa.select(plans.c.id).where(plans.c.patient_id == patients.c.id, plans.c.status != "ended")
    query = (
        sa.select(
            patients.c.id,
            patients.c.ref,
            never_null(patients.c.born_on_sealed),
            recipients.c.key.label("recipient"),
            consents.c.said_on,
            sites.c.key.label("site"),
            sites.c.zone,
        )
        .join_from(recipients, consents, consents.c.id == recipients.c.consent_id)
        .join(patients, patients.c.id == recipients.c.patient_id)
        .join(sites, sites.c.id == patients.c.site_id)
        .where(consents.c.said == "yes", patients.c.born_on_sealed.is_not(None), current.exists())
        .where(sa.or_(consents.c.legal_basis.is_not(None), recipients.c.role == "guardian"))
    )
    return tx.all_as(ReaderOfMinor, query.order_by(patients.c.id, recipients.c.id))


def closures_untold(tx: Transaction, site_id: int, closures: Collection[str], now: datetime) -> list[int]:
    """Patients with a visit of the next seven days on a closed day that no notice says is closed, or the other way."""
    last = (
        sa.select(texts.c.wording)
        .join(text_items, text_items.c.text_id == texts.c.id)
        .where(text_items.c.appointment_id == appointments.c.id, texts.c["class"] == "notice")
        .where(texts.c.state != "cancelled")
        .order_by(texts.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    is_closed = sa.func.substr(appointments.c.wall, 1, 10).in_(sorted(closures))
    told_closed = sa.func.coalesce(last, "") == "closed"
    query = (
        sa.select(plans.c.patient_id)
        .join_from(appointments, series, series.c.id == appointments.c.series_id)
        .join(plans, plans.c.id == series.c.plan_id)
        .where(appointments.c.starts_at > now, appointments.c.starts_at <= now + NOTICE_WITHIN)
        .where(appointments.c.status == "booked", plans.c.site_id == site_id, plans.c.status == "active")
        .where(series.c.kind.not_in([kind.value for kind in Kind if kind.is_open_meeting]))
        .where(sa.or_(sa.and_(is_closed, sa.not_(told_closed)), sa.and_(sa.not_(is_closed), told_closed)))
        .distinct()
    )
    return [row.patient_id for row in tx.all(query.order_by(plans.c.patient_id))]
