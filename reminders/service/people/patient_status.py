"""A patient as staff see them: who gets texts, and why nothing goes where nothing does."""

from dataclasses import dataclass, field, replace
from datetime import date, datetime

from reminders import planner, plans, store, wording
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.service.people.reader_case import ReaderCase, Whom, find_reader, open_case
from reminders.service.planning.replanning import policy_of, reader_now
from reminders.store.planning.attention import OpenTask
from reminders.store.planning.plans import AppointmentOfPatient
from reminders.store.records import ConsentRow, RecipientRow
from reminders.wording import staff_words


@dataclass(frozen=True, slots=True)
class Shown:
    """One reader of a patient's texts. `why_not` says in words why nothing goes to them, None where texts go.

    `waits` says that their reminders wait meanwhile, since someone may be in danger (C-12); what staff types goes.
    `missing` says in words what keeps a yes on record from counting.
    """

    key: str
    role: str
    to: str
    language: str
    zone: str
    said: str | None
    said_on: date | None
    how: str | None
    categories: tuple[str, ...]
    per_day: int | None
    per_week: int | None
    expires_on: date | None
    part2_consent_on: date | None
    verified_at: datetime | None
    opted_out_at: datetime | None
    bad_since: datetime | None
    wrong_since: datetime | None
    why_not: str | None
    waits: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanShown:
    """A plan of a patient, in one line."""

    id: int
    ref: str
    status: str
    ended_because: str | None
    discharged_on: date
    program: str | None


@dataclass(frozen=True, slots=True)
class Person:
    """A patient as staff sees them: who gets texts, which plans there are, the next visits, what is to be done."""

    ref: str
    site: str
    zone: str
    name: str | None = field(repr=False)
    readers: tuple[Shown, ...]
    plans: tuple[PlanShown, ...]
    visits: tuple[AppointmentOfPatient, ...]
    tasks: tuple[OpenTask, ...]


def show(context: AppContext, whom: Whom, now: datetime, *, who: str) -> Person | None:
    """A patient, as far as texts go; None where there is none. That someone read it is put on record."""

    def look(tx: store.Transaction) -> Person | None:
        case = open_case(context, tx, replace(whom, recipient="self"), now, who=who)
        if case is None:
            return None
        readers = store.people.recipients_of(tx, case.patient.id)
        consents = store.people.consents_in_force(tx, [one.id for one in readers])
        numbers, patients = store.tasks.in_crisis(tx, {one.number_id for one in readers}, {case.patient.id})
        shown = tuple(
            _shown(case, one, consents.get(one.id), waits=bool(patients) or one.number_id in numbers) for one in readers
        )
        store.audit_log.note(tx, who=who, what=Action.PATIENT_READ, table="patients", row=case.patient.id, now=now)
        return Person(
            ref=whom.patient,
            site=case.site.key,
            zone=case.site.zone,
            name=store.people.shown_name(tx, case.patient.id, case.patient.name_sealed),
            readers=shown,
            plans=tuple(
                PlanShown(
                    plan.id,
                    plan.ref,
                    plan.status,
                    store.plans.why_ended(tx, plan.id, plan.ended_because_sealed),
                    plan.discharged_on,
                    plan.program,
                )
                for plan in store.plans.plans_of(tx, case.patient.id)
            ),
            visits=tuple(store.plans.next_visits(tx, case.patient.id, now, 5)),
            tasks=tuple(store.attention.open_tasks_of(tx, case.patient.id)),
        )

    return context.database.write(look, again=True)


_MISSING = {
    "consent.warned_of_risk": "they were not told yet that others may see texts",
    "consent.categories": "nothing they are texted about is among what they agreed to",
    "consent.expires_on": "its last day has passed",
}


def _missing(case: ReaderCase, reader: RecipientRow, consent: ConsentRow | None) -> tuple[str, ...]:
    """What keeps a yes on record from counting, in words."""
    if consent is None or consent.said != "yes":
        return ()
    today = plans.to_wall(case.now, case.site.zone).date()
    found = [_MISSING[one.where] for one in plans.uncounted(consent, today, own=reader.role == "self")]
    if consent.number_id != reader.number_id:
        found.append("it was given for another number")
    return tuple(found)


def _shown(case: ReaderCase, reader: RecipientRow, consent: ConsentRow | None, *, waits: bool) -> Shown:
    number = case.numbers[reader.number_id]
    reason = planner.may_be_texted(
        reader_now(case.tx, reader, case.site, case.now), policy_of(case.context), dated=True
    )
    return Shown(
        key=reader.key,
        role=reader.role,
        to=store.people.masked_of(case.tx, number.id, number.phone_sealed),
        language=reader.language,
        zone=reader.zone,
        said=consent.said if consent is not None else None,
        said_on=consent.said_on if consent is not None else None,
        how=consent.how if consent is not None else None,
        categories=tuple(consent.categories) if consent is not None else (),
        per_day=consent.per_day if consent is not None else None,
        per_week=consent.per_week if consent is not None else None,
        expires_on=consent.expires_on if consent is not None else None,
        part2_consent_on=reader.part2_consent_on,
        verified_at=number.verified_at,
        opted_out_at=number.opted_out_at,
        bad_since=number.bad_since,
        wrong_since=number.wrong_since,
        why_not=staff_words.REASONS[reason.value] if reason is not None else None,
        waits=waits,
        missing=_missing(case, reader, consent),
    )


def card(context: AppContext, whom: Whom) -> str | None:
    """The card to take home, in a reader's language; None where there is no such reader. Raises wording.Unsayable."""

    def look(tx: store.Transaction) -> str | None:
        place = store.people.site_by_key(tx, whom.site or context.settings.site.key)
        patient = store.people.patient_by_ref(tx, place.id, whom.patient) if place is not None else None
        reader = find_reader(tx, patient.id, whom.recipient) if patient is not None else None
        if place is None or reader is None:
            return None
        return wording.card(
            language=reader.language,
            alias=place.alias,
            phone=place.phone,
            line24=place.line24,
            sender=store.people.address_of(tx, place.id, context.settings.twilio.sender),
        )

    return context.database.read(look)
