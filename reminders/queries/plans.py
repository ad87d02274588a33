"""Plans."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from reminders.audit_actions import Action
from reminders.lifecycle import HANDED_OVER, TO_GO
from reminders.plans import to_wall
from reminders.queries.listing import (
    OPEN_TASK,
    OWN,
    NextVisit,
    blocked_of,
    names_of,
    needing_attention,
    next_visits,
    open_tasks,
    patients_named,
    places_of,
    stands_before,
)
from reminders.store.database import schema
from reminders.store.database.engine import Transaction
from reminders.store.planning.plans import (
    OPEN,
    current_plans,
    document_of,
    plan_by_ref,
    plans_of,
    series_of,
    why_ended,
)
from reminders.store.records import SiteRow

__all__ = [
    "ENTERED",
    "OPEN",
    "Entered",
    "ListedPlan",
    "NextText",
    "PlanFilter",
    "current_plans",
    "document_of",
    "find_plan",
    "list_plans",
    "plan_by_ref",
    "plans_of",
    "series_of",
]

ENTERED = (Action.PLAN_ACCEPTED, Action.PLAN_CHANGED)  # what the audit says of someone who entered a plan


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
    program: str | None
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
        return sum(self.texts.get(state, 0) for state in HANDED_OVER)

    @property
    def texts_to_go(self) -> int:
        """How many are to go yet."""
        return sum(self.texts.get(state, 0) for state in TO_GO)

    @property
    def place(self) -> tuple[date, int]:
        """Where it stands in the list."""
        return self.discharged_on, self.id


def list_plans(
    tx: Transaction, sites: Collection[int], wanted: PlanFilter, now: datetime, *, names: bool = False
) -> list[ListedPlan]:
    """Plans, the latest discharge first."""
    places = places_of(tx, sites)
    query = _with_patients(places).order_by(schema.plans.c.discharged_on.desc(), schema.plans.c.id.desc())
    query = query.limit(wanted.limit)
    if wanted.status is not None:
        query = query.where(schema.plans.c.status == wanted.status)
    if wanted.discharged_since is not None:
        query = query.where(schema.plans.c.discharged_on >= wanted.discharged_since)
    if wanted.discharged_until is not None:
        query = query.where(schema.plans.c.discharged_on < wanted.discharged_until)
    if wanted.before is not None:
        query = query.where(stands_before(wanted.before, schema.plans.c.discharged_on, schema.plans.c.id))
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
        found = patients_named(tx, places, wanted.search, wanted.phone)
        by_ref = sa.select(schema.plans.c.id).where(
            sa.func.lower(schema.plans.c.ref) == wanted.search.lower(), schema.plans.c.site_id.in_(places)
        )
        of_them = sa.select(schema.plans.c.id).where(schema.plans.c.patient_id.in_(found))
        query = query.where(schema.plans.c.id.in_(sa.union(by_ref, of_them).subquery().select()))
    rows = tx.all_as(_PlanOfPatient, query)
    return _plans(tx, rows, places, now, names=names)


def find_plan(
    tx: Transaction, sites: Collection[int], which: str | int, now: datetime, *, names: bool = False
) -> ListedPlan | None:
    """The plan of that reference or row id, as `plans` shows it; of several of that reference the newest."""
    places = places_of(tx, sites)
    query = _with_patients(places).where((schema.plans.c.id if isinstance(which, int) else schema.plans.c.ref) == which)
    rows = tx.all_as(_PlanOfPatient, query.order_by(schema.plans.c.id.desc()).limit(1))
    return next(iter(_plans(tx, rows, places, now, names=names)), None)


class _PlanOfPatient(NamedTuple):
    id: int
    site_id: int
    patient_id: int
    ref: str
    version: int
    status: str
    ended_because_sealed: bytes | None
    discharged_on: date
    program: str | None
    patient_ref: str
    name_sealed: bytes | None
    key_id: int


def _with_patients(places: Collection[int]) -> sa.Select[Any]:
    return (
        sa.select(
            schema.plans.c.id,
            schema.plans.c.site_id,
            schema.plans.c.patient_id,
            schema.plans.c.ref,
            schema.plans.c.version,
            schema.plans.c.status,
            schema.plans.c.ended_because_sealed,
            schema.plans.c.discharged_on,
            schema.plans.c.program,
            schema.patients.c.ref.label("patient_ref"),
            schema.patients.c.name_sealed,
            schema.patients.c.key_id,
        )
        .join(schema.patients, schema.patients.c.id == schema.plans.c.patient_id)
        .where(schema.plans.c.site_id.in_(places))
    )


def _plans(
    tx: Transaction, rows: Sequence[_PlanOfPatient], places: Mapping[int, SiteRow], now: datetime, *, names: bool
) -> list[ListedPlan]:
    ids = [row.id for row in rows]
    visits = next_visits(tx, schema.plans.c.id, ids, now)
    counts, next_texts = _texts_of(tx, ids)
    entered = _entered(tx, ids)
    blocked = blocked_of(tx, {row.patient_id: row.site_id for row in rows}, places, now)
    attention = open_tasks(tx, {row.patient_id for row in rows})
    opened = names_of(tx, {row.patient_id: row for row in rows}) if names else {}
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
            program=row.program,
            discharged_on=row.discharged_on,
            status=row.status,
            ended_because=why_ended(tx, row.id, row.ended_because_sealed),
            blocked=blocked.get(row.patient_id),
            next_visit=visits.get(row.id),
            next_text=next_texts.get(row.id),
            texts=counts.get(row.id, {}),
            open_tasks=sum(plan in {None, row.id} for plan in attention.get(row.patient_id, {}).values()),
            entered=entered.get(row.id),
        )
        for row in rows
    ]


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


def _is_reachable(places: Mapping[int, SiteRow], now: datetime) -> sa.ColumnElement[bool]:
    """Whether `blocked_of` does not name a plan's patient."""
    recipients, numbers, consents = schema.recipients, schema.numbers, schema.consents
    days = [
        sa.and_(schema.plans.c.site_id == site_id, consents.c.expires_on >= to_wall(now, site.zone).date())
        for site_id, site in places.items()
    ]
    reachable = (
        sa.select(recipients.c.id)
        .join(numbers, numbers.c.id == recipients.c.number_id)
        .join(consents, consents.c.id == recipients.c.consent_id)
        .where(recipients.c.patient_id == schema.plans.c.patient_id, OWN, consents.c.said == "yes")
        .where(consents.c.number_id == recipients.c.number_id)
        .where(consents.c.warned_of_risk, sa.or_(consents.c.expires_on.is_(None), *days))
        .where(numbers.c.opted_out_at.is_(None), numbers.c.bad_since.is_(None), numbers.c.wrong_since.is_(None))
    )
    return reachable.exists()


def _needs_attention() -> sa.ColumnElement[bool]:
    """Whether a plan has an open task: about it, about its patient and no plan, or about a number of theirs."""
    tasks = schema.tasks
    of_plan = sa.select(tasks.c.plan_id).where(sa.text(OPEN_TASK), tasks.c.plan_id.is_not(None))
    return sa.or_(schema.plans.c.id.in_(of_plan), schema.plans.c.patient_id.in_(needing_attention(planless=True)))
