"""Plans: accept one, see what it would text, pause, resume and end it, and keep its reminders laid down.

Planning is level-triggered: it states what the texts of a patient should be and makes it so. Run late, twice or after
a crash it gives the same rows. A preview is the same work, rolled back; on SQLite on a copy.
"""

import json
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from reminders import crash, planner, plans, store, wording
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.lifecycle import UNTRIED, WENT, WITHDRAWN
from reminders.plans import Lead, PlanDocument, PlanRefused, Problem
from reminders.service.planning.rendering import render, render_unplanned
from reminders.service.planning.replanning import policy_of, replan
from reminders.service.tasks.isolation import OneByOne
from reminders.store.database.sealing import DataKey
from reminders.store.people import ConsentGiven
from reminders.store.planning.plans import AppointmentOfPatient, PlanToExtend
from reminders.store.planning.texts import Changes
from reminders.store.records import ConsentRow, NumberRow, PatientRow, PlanRow, RecipientRow, SiteRow
from reminders.wording import staff_words
from reminders.wording.segments import segments

T = TypeVar("T")

NO_EARLY_VISIT = "no visit in the first seven days after discharge"
MOST_VISITS = 2_000  # of a plan, from today until the horizon
MOST_TOLD = 5_000  # the same, each visit counted for each of its readers: what one transaction plans within 0.2 s

SOURCE = "plan"  # plan files and the API speak of the same plans; other formats will have sources of their own


class ChangedSince(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what happened
    """Someone else changed it since it was looked at; nothing was done."""


def hold_to(version: int | None, row: PlanRow | AppointmentOfPatient) -> None:
    """Raise ChangedSince unless the row stands in that version; None asks for none."""
    if version is not None and row.version != version:
        raise ChangedSince


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one plan document: whether it said anything new, what its texts did, and what to think about.

    `new` is whether there was no plan of that reference before; `plan_id` is its row.
    """

    ref: str
    changed: bool
    texts: Changes
    notes: tuple[str, ...] = ()
    new: bool = False
    plan_id: int = 0

    @property
    def note(self) -> str | None:
        """What to think about, in one."""
        return "; ".join(self.notes) or None


def accept(
    context: AppContext, document: PlanDocument, now: datetime, *, who: str, version: int | None = None
) -> Accepted:
    """Take in one plan document: one transaction, and idempotent by the plan's reference.

    Raises PlanRefused, and then nothing is changed; and ChangedSince where the plan is to stand in `version` and does
    not. `who` goes into the audit.
    """
    return context.database.write(lambda tx: accept_in(context, tx, document, now, who, version=version), again=True)


def accept_in(
    context: AppContext,
    tx: store.Transaction,
    document: PlanDocument,
    now: datetime,
    who: str,
    *,
    version: int | None = None,
) -> Accepted:
    """`accept`, inside a transaction of the caller's."""
    store.people.keep_default_site(tx, context.settings, now)
    site = store.people.site_by_key(tx, document.plan.site)
    if site is None:
        raise PlanRefused((Problem("plan.site", "there is no site of that key"),))
    row = store.plans.plan_by_ref(tx, document.plan.ref, site_id=site.id, source=SOURCE)
    said = document.canonical().decode()
    before = store.plans.document_of(tx, row) if row is not None else None
    if row is not None:
        hold_to(version, row)
        if before == said:
            return Accepted(document.plan.ref, changed=False, texts=Changes(), plan_id=row.id)

    patient = store.people.patient_by_ref(tx, site.id, document.patient.ref)
    if row is not None and (patient is None or patient.id != row.patient_id):
        problem = "this plan was accepted for another patient; give the new plan a reference of its own"
        raise PlanRefused((Problem("plan.ref", problem),))
    if patient is not None and document.plan.status != "ended" and store.plans.has_died(tx, patient.id):
        problem = "a plan of this patient ended with their death, so nothing is planned; mend that first if it is wrong"
        raise PlanRefused((Problem("plan", problem),))
    others = [
        plan
        for plan in (store.plans.current_plans(tx, patient.id) if patient is not None else ())
        if row is None or plan.id != row.id
    ]
    _check_second_plan(document, row, others)
    was = json.loads(before) if before else None
    notes = plans.remarks(
        document, today=plans.to_wall(now, site.zone).date(), zone=site.zone, region=site.region, before=was
    )
    patient_id, key = _keep_patient(tx, document, patient, was, notes, site=site, now=now)
    added_here = _keep_people(tx, document, was, notes, patient_id=patient_id, site=site, now=now)
    for plan in others:
        if plan.ref == document.plan.replaces:
            store.plans.change_plan(tx, plan, now, status="ended", ended_because="other")
    values: dict[str, Any] = {
        "discharged_on": document.plan.discharged_on,
        "program": ", ".join(document.plan.programs) or None,
        "alongside": document.plan.alongside,
        "replaces": document.plan.replaces,
        "laid_down_until": _horizon(context, site.zone, now),
    }
    status = {"status": document.plan.status, "ended_because": document.plan.ended_because}
    if row is None:
        plan_id = store.plans.add_plan(
            tx,
            key,
            document=said,
            now=now,
            site_id=site.id,
            patient_id=patient_id,
            source=SOURCE,
            ref=document.plan.ref,
            **status,
            **values,
        )
    else:
        plan_id = row.id
        if _status_is_news(before, document):  # else what a person paused or ended since stays so
            values |= status
        sealed = store.plans.seal_document(key, plan_id, said)
        store.plans.change_plan(tx, row, now, document_sealed=sealed, **values)
    modes = {one.key: one.how for one in store.plans.series_of(tx, plan_id)} if row is not None else {}
    _lay_down(context, tx, document, plan_id=plan_id, site=site, key=key, kept=added_here, now=now, is_new=True)
    crash.point("K0")
    changes = replan(context, tx, [patient_id], now)
    what = Action.PLAN_CHANGED if row is not None else Action.PLAN_ACCEPTED
    store.audit_log.note(
        tx, who=who, what=what, table="plans", row=plan_id, now=now, before=before, after=said, key=key
    )
    said_of_it = (*_notes(tx, document, plan_id, modes, zone=site.zone, now=now), *notes)
    return Accepted(document.plan.ref, changed=True, texts=changes, notes=said_of_it, new=row is None, plan_id=plan_id)


def enter(
    context: AppContext,
    document: PlanDocument,
    now: datetime,
    *,
    who: str,
    plan_id: int | None = None,
    version: int | None = None,
) -> tuple[int, Accepted]:
    """`accept` what someone entered by hand: a new plan, or plan `plan_id` as they last saw it; the plan's id.

    Raises PlanRefused also for a new plan whose reference another has, and where the plan has changed since `version`.
    """

    def work(tx: store.Transaction) -> tuple[int, Accepted]:
        store.people.keep_default_site(tx, context.settings, now)
        site = store.people.site_by_key(tx, document.plan.site)
        ref = document.plan.ref
        row = store.plans.plan_by_ref(tx, ref, site_id=site.id, source=SOURCE) if site is not None else None
        if plan_id is None and row is not None and store.plans.document_of(tx, row) != document.canonical().decode():
            problem = "another plan has this reference; open that one to change it, or give this one its own"
            raise PlanRefused((Problem("plan.ref", problem),))
        if plan_id is not None and (row is None or row.id != plan_id):
            raise PlanRefused((Problem("plan.ref", "belongs to the plan and stays as it is"),))
        if row is not None and version is not None and row.version != version:
            raise PlanRefused((Problem("plan.ref", "was changed by someone else meanwhile; open the plan again"),))
        accepted = accept_in(context, tx, document, now, who)
        assert site is not None
        row = store.plans.plan_by_ref(tx, ref, site_id=site.id, source=SOURCE)
        assert row is not None
        return row.id, accepted

    return context.database.write(work, again=True)


def _notes(
    tx: store.Transaction, document: PlanDocument, plan_id: int, modes: dict[str, str], *, zone: str, now: datetime
) -> list[str]:
    """What to think about once the plan is in: an empty first week, a yes that does not count, whom to tell."""
    notes = [
        _first_week(tx, document, plan_id),
        *plans.notes_on(document, plans.to_wall(now, zone).date()),
        *_told_otherwise(tx, plan_id, modes, now),
    ]
    return list(filter(None, notes))


def _first_week(tx: store.Transaction, document: PlanDocument, plan_id: int) -> str | None:
    """The first days after discharge are the most dangerous: a plan without a visit then asks for a reason (P-21)."""
    left = document.plan.discharged_on
    if document.plan.status != "active" or document.plan.late_start_because is not None:
        return None
    if store.plans.has_visit(tx, plan_id, left + timedelta(days=1), left + timedelta(days=7)):
        return None
    return f"{NO_EARLY_VISIT}; book one, or say why in plan.late_start_because"


def _told_otherwise(tx: store.Transaction, plan_id: int, modes: dict[str, str], now: datetime) -> list[str]:
    """The series that happen in another way than before, where a text about a visit ahead has said the old one.

    What is still to go says how it is now; there is no notice of it, so a person has to tell.
    """
    return [
        f"{one.key} now happens {staff_words.MODES[one.how]}, and a text about it has gone: tell them, no text does"
        for one in store.plans.series_of(tx, plan_id)
        if modes.get(one.key, one.how) != one.how and store.plans.spoken_of_ahead(tx, one.id, now)
    ]


def _check_second_plan(document: PlanDocument, row: PlanRow | None, others: Sequence[PlanRow]) -> None:
    replaces = document.plan.replaces
    if replaces is not None and row is None and replaces not in {plan.ref for plan in others}:
        problem = "there is no current plan of that reference for this patient"
        raise PlanRefused((Problem("plan.replaces", problem),))
    if row is None and others and replaces is None and not document.plan.alongside:
        refs = ", ".join(plan.ref for plan in others)
        problem = f'this patient has a current plan already ({refs}); say replaces = "…" or alongside = true'
        raise PlanRefused((Problem("plan", problem),))


def _status_is_news(before: str | None, document: PlanDocument) -> bool:
    was = json.loads(before)["plan"] if before is not None else {}
    said = (document.plan.status, document.plan.ended_because)
    return (was.get("status", "active"), was.get("ended_because")) != said


def _keep_patient(
    tx: store.Transaction,
    document: PlanDocument,
    patient: PatientRow | None,
    was: dict[str, Any] | None,
    notes: list[str],
    *,
    site: SiteRow,
    now: datetime,
) -> tuple[int, DataKey]:
    """Make the patient, or update the one there is; the id and the data key. PlanRefused for someone else."""
    name: str | None = document.patient.name
    born_on = document.patient.born_on
    if patient is not None:
        if not document.patient.same_person:
            _check_same_person(tx, document, patient, was)
        if was is not None:  # what the file says as before, people may have put right since
            name, born_on = _name_and_birth(tx, document, patient, was, notes)
    return store.people.keep_patient(tx, site_id=site.id, ref=document.patient.ref, name=name, born_on=born_on, now=now)


def _check_same_person(
    tx: store.Transaction, document: PlanDocument, patient: PatientRow, was: dict[str, Any] | None
) -> None:
    """PlanRefused where the reference is of someone with another number and another name or day of birth: mostly a
    slip in it.
    """
    names, phones = {_plain_name(store.people.open_name(tx, patient.id, patient.name_sealed))}, set()
    own = next((one for one in store.people.recipients_of(tx, patient.id) if one.role == "self"), None)
    if own is None or None in names:
        return  # nothing is known of them any more
    if store.people.phone_by_id(tx, own.number_id) == document.patient.phone:
        return
    births = {store.people.open_birth(tx, patient.id, patient.born_on_sealed)}
    theirs = [was] if was is not None else []
    theirs += [json.loads(store.plans.document_of(tx, plan)) for plan in store.plans.plans_of(tx, patient.id)]
    for known in theirs:
        names.add(_plain_name(known["patient"]["name"]))
        phones.add(known["patient"]["phone"])
        births.add(date.fromisoformat(known["patient"]["born_on"]) if known["patient"].get("born_on") else None)
    has_another_name = _plain_name(document.patient.name) not in names
    births.discard(None)
    born_on = document.patient.born_on
    has_another_birth = born_on is not None and bool(births) and born_on not in births
    if document.patient.phone not in phones and (has_another_name or has_another_birth):
        problem = (
            f"is known here with another {'name' if has_another_name else 'day of birth'} and another number; check it,"
            " and if it is the same person say patient.same_person = true"
        )
        raise PlanRefused((Problem("patient.ref", problem),))


def _plain_name(name: str | None) -> tuple[str, ...] | None:
    """A name without case, accents, marks and order: `Álvarez, José` is `Jose Alvarez`."""
    if name is None:
        return None
    bare = unicodedata.normalize("NFKD", plans.without_invisible(name).casefold())
    words = "".join(
        one if one.isalnum() else " " for one in bare if not unicodedata.combining(one) and one not in "'\u2019"
    )
    return tuple(sorted(words.split()))


_OVERRULED = "the file's new value replaces what was changed here since"


def _name_and_birth(
    tx: store.Transaction, document: PlanDocument, patient: PatientRow, was: dict[str, Any], notes: list[str]
) -> tuple[str | None, date | None]:
    """The name and the day of birth: the file's where it says something new, else as they stand."""
    old = was["patient"]
    name = store.people.open_name(tx, patient.id, patient.name_sealed)
    born_on = store.people.open_birth(tx, patient.id, patient.born_on_sealed)
    if name is not None and document.patient.name != old["name"]:
        if name not in {old["name"], document.patient.name}:
            notes.append(f"the name: {_OVERRULED}")
        name = document.patient.name
    new_birth = document.patient.born_on.isoformat() if document.patient.born_on else None
    if new_birth != old.get("born_on"):
        if (born_on.isoformat() if born_on else None) not in {old.get("born_on"), new_birth}:
            notes.append(f"the day of birth: {_OVERRULED}")
        born_on = document.patient.born_on
    return name or document.patient.name, born_on


@dataclass(frozen=True, slots=True)
class _Said:
    """What a document says of one reader, by the columns of `recipients`; `consent` of the document."""

    key: str
    phone: str
    values: dict[str, Any]
    consent: plans.Consent | None


def _said_of(patient: plans.Patient, site: SiteRow, consent: plans.Consent | None) -> _Said:
    hours = patient.texting_hours
    values = {
        "role": "self",
        "language": patient.language,
        "zone": patient.zone or site.zone,
        "guessed_zones": [] if patient.zone else plans.other_zones(patient.phone, site.zone),
        "texting_from": f"{hours[0]:%H:%M}" if hours else None,
        "texting_to": f"{hours[1]:%H:%M}" if hours else None,
        "weekly_digest": patient.weekly_digest,
    }
    return _Said("self", patient.phone, values, consent)


def _said_of_other(other: plans.Recipient, site: SiteRow) -> _Said:
    values = {
        "role": other.role,
        "language": other.language,
        "zone": other.zone or site.zone,
        "guessed_zones": [] if other.zone else plans.other_zones(other.phone, site.zone),
        "weekly_digest": False,
        "part2_consent_on": other.part2_consent_on,
    }
    return _Said(other.key, other.phone, values, other.consent)


def _said_before(before: dict[str, Any] | None, site: SiteRow) -> dict[str, _Said]:
    """What the file's last accepted version said of each reader."""
    if before is None:
        return {}
    old = plans.Known(  # it was judged when it was accepted
        today=date(2190, 1, 1),
        languages=wording.languages(),
        region=site.region,
        zone=site.zone,
        site=site.key,
        sites=frozenset({site.key}),
        fictional_numbers=True,
        accepted=True,
    )
    document = plans.read(before, old)
    said = [_said_of(document.patient, site, document.consent)]
    said += [_said_of_other(other, site) for other in document.recipients]
    return {one.key: one for one in said}


_COLUMNS = {
    "role": "the role",
    "language": "the language",
    "zone": "the time zone",
    "texting_from": "the hours of texts",
    "texting_to": "the hours of texts",
    "weekly_digest": "the weekly text",
    "part2_consent_on": "the patient's written consent",
}


def _keep_people(
    tx: store.Transaction,
    document: PlanDocument,
    before: dict[str, Any] | None,
    notes: list[str],
    *,
    patient_id: int,
    site: SiteRow,
    now: datetime,
) -> set[str]:
    """Make the recipients what the document says of them, field by field, where it says anything new.

    `before` is the document as it stood: what the file says as before stays as people made it since, and what it
    changes holds, with a note where it overrules them. Gives the recipients of whom the plan's file never spoke.
    """
    people = [_said_of(document.patient, site, document.consent)]
    people += [_said_of_other(other, site) for other in document.recipients]
    earlier = _said_before(before, site)
    known = {recipient.key: recipient for recipient in store.people.recipients_of(tx, patient_id)}
    numbers = {one.phone: store.people.keep_number(tx, one.phone, now) for one in people}
    for one in earlier.values():
        if one.key in known and one.phone not in numbers:
            numbers[one.phone] = store.people.keep_number(tx, one.phone, now)
    rows = store.people.lock_numbers(tx, {one.number_id for one in known.values()} | set(numbers.values()))
    today = plans.to_wall(now, site.zone).date()
    in_force = store.people.consents_in_force(tx, [one.id for one in known.values()])
    for one in people:
        recipient, old = known.get(one.key), earlier.get(one.key)
        values = {"number_id": numbers[one.phone], **one.values}
        who = "the patient" if one.key == "self" else one.key
        if recipient is not None and old is not None:
            values = _news(recipient, {"number_id": numbers[old.phone], **old.values}, values, who, notes)
            if "zone" not in values and recipient.zone != one.values["zone"]:
                values.pop("guessed_zones", None)  # the zone was chosen here, so nothing is guessed
        if values:
            recipient = store.people.keep_recipient(tx, patient_id=patient_id, key=one.key, now=now, **values)
        assert recipient is not None
        # A consent is for the number it was given for (L-50): who has a new one since needs another.
        if one.consent is not None and recipient.number_id == numbers[one.phone]:
            given = consent_given(one.consent, today)
            if old is not None and old.consent is not None and old.phone == one.phone:
                standing = in_force.get(recipient.id)
                given = _news_of_consent(standing, consent_given(old.consent, today), given, who, notes)
            store.people.record_consent(tx, recipient, given, now)
            if given.said == "yes" and given.verified:  # read aloud, or however staff made sure (L-39)
                store.people.verify_number(tx, recipient.number_id, now)
        elif one.consent is not None and old is not None and old.consent != one.consent:
            notes.append(f"{who}: the file's consent is for another number than the one given here since")
        name = document.patient.name if one.key == "self" else None
        _note_number(tx, rows[recipient.number_id], who, notes, patient_id=patient_id, site=site, name=name)
    return _added_here(known, document, before)


def _news(
    recipient: RecipientRow, old: dict[str, Any], new: dict[str, Any], who: str, notes: list[str]
) -> dict[str, Any]:
    """The columns that the file changes against its own last version; a note for each that people changed too."""
    news = {column: value for column, value in new.items() if old.get(column) != value}
    for column, value in news.items():
        name = "the number" if column == "number_id" else _COLUMNS.get(column)
        if name is None:
            continue
        said = f"{who}, {name}: {_OVERRULED}"
        if getattr(recipient, column) not in {old.get(column), value} and said not in notes:
            notes.append(said)
    return news


def _news_of_consent(
    standing: ConsentRow | None, old: ConsentGiven, new: ConsentGiven, who: str, notes: list[str]
) -> ConsentGiven:
    """The consent to put on record: the file's; where it is given as before, only the file's changes to the rest."""
    if standing is None or old == new:
        return new
    held = {name: getattr(standing, name) for name in ConsentGiven.__dataclass_fields__}
    was, says = asdict(old), asdict(new)
    news = {name: value for name, value in says.items() if was[name] != value}
    if all(held[name] == value for name, value in was.items()):
        return new
    if "said" not in news and "said_on" not in news:
        if any(held[name] != was[name] and held[name] != value for name, value in news.items()):
            notes.append(f"{who}, the consent: {_OVERRULED}")
        return ConsentGiven(**{**held, **news})
    if new.said == "yes" and new.said_on < held["said_on"]:
        notes.append(f"{who}: a later answer is on record, so the file's consent is kept but not in force")
    else:
        notes.append(f"{who}, the consent: {_OVERRULED}")
    return new


def _note_number(
    tx: store.Transaction,
    number: NumberRow,
    who: str,
    notes: list[str],
    *,
    patient_id: int,
    site: SiteRow,
    name: str | None,
) -> None:
    """Note that a number is texted about another patient of this site, or has opted out.

    Another one of that `name` is mostly the same person under a reference that is spelled otherwise.
    """
    others = set(store.people.patients_on(tx, number.id)) - {patient_id}
    here = [other for other in others if store.people.site_of_patient(tx, other).id == site.id]
    if name is not None and _plain_name(name) in {
        _plain_name(store.people.shown_name(tx, one.id, one.name_sealed))
        for one in store.people.patients_by_id(tx, here)
    }:
        notes.append(
            "another patient here has the same name and number; if it is the same person, use that one's reference"
        )
    if here:
        notes.append(f"the number of {who} is also texted about another patient here; they share its limit of texts")
    if number.opted_out_at is not None:
        notes.append(f"the number of {who} has opted out; nothing goes to it until START comes from that phone")


def _added_here(keys: Iterable[str], document: PlanDocument, before: dict[str, Any] | None) -> set[str]:
    """The recipients of whom the plan's file never spoke: they were added here, and a new file takes no one away."""
    named = {"self", *(other.key for other in document.recipients)}
    named.update(other["key"] for other in (before or {}).get("recipients", ()))
    return set(keys) - named


def consent_given(consent: plans.Consent, today: date) -> ConsentGiven:
    """A consent as it is put on record; one without a date was given today."""
    return ConsentGiven(
        said=consent.said,
        said_on=consent.on or today,
        how=consent.how or "",
        by=consent.by or "",
        categories=[str(category) for category in consent.categories],
        warned_of_risk=consent.warned_of_risk,
        wording=consent.wording,
        per_day=consent.per_day,
        per_week=consent.per_week,
        alias_shown=consent.alias_shown,
        verified=consent.verified,
        legal_basis=consent.legal_basis,
        expires_on=consent.expires_on,
    )


def _horizon(context: AppContext, zone: str, now: datetime) -> date:
    return plans.to_wall(now, zone).date() + timedelta(days=context.settings.sending.horizon_days)


def _lay_down(
    context: AppContext,
    tx: store.Transaction,
    document: PlanDocument,
    *,
    plan_id: int,
    site: SiteRow,
    key: DataKey,
    kept: Collection[str],
    now: datetime,
    is_new: bool = False,
) -> None:
    """Lay down the appointments whose texts open within the horizon."""
    agreed = document.all_series()
    until = _horizon(context, site.zone, now)
    ids, dropped = store.plans.keep_series(
        tx, plan_id=plan_id, site_id=site.id, zone=site.zone, key=key, agreed=agreed, kept=kept, now=now
    )
    policy = policy_of(context)
    dates: dict[int, Sequence[plans.Occurrence]] = dict.fromkeys(dropped, ())
    for one in agreed:
        ahead = max(lead.days for lead in (*map(Lead.parse, one.leads or ()), *policy.leads, *policy.series_leads))
        dates[ids[one.key]] = plans.occurrences(one, until=until + timedelta(days=ahead), zone=site.zone)
    today = plans.to_wall(now, site.zone)
    if is_new and sum(visit.wall >= today for each in dates.values() for visit in each) > MOST_VISITS:
        problem = f"there are more than {MOST_VISITS} visits within sending.horizon_days; a plan has no more"
        raise PlanRefused((Problem("series", problem),))
    told = sum(len(one.for_) * sum(visit.wall >= today for visit in dates[ids[one.key]]) for one in agreed)
    if is_new and told > MOST_TOLD:
        problem = (
            f"visits times readers come to {told} within sending.horizon_days, and a plan has no more than {MOST_TOLD};"
            " name fewer people in `for`, or repeat less often"
        )
        raise PlanRefused((Problem("series", problem),))
    store.plans.lay_down(tx, dates, now)


def extend(context: AppContext, now: datetime, limit: int = 500) -> Changes:
    """Lay down what has come within the horizon since; the `plan` job.

    Each plan is a transaction of its own and is planned again with it, so that also what only time changes (a consent
    that expired, a day that passed) is put right daily. A closure that was announced or lifted is told at once. A plan
    or patient that cannot be planned costs only itself: the others have their turn, then the first error is raised.
    """
    changes = Changes()
    until = _horizon(context, context.settings.site.zone, now)

    def prepare(tx: store.Transaction) -> plans.Known:
        store.people.keep_default_site(tx, context.settings, now)  # quiet hours set again hold from now on
        store.queue.release_unreadable(tx, now)
        # Each was judged when it was accepted; a number that only a demo may use is no news.
        return replace(context.known(tx, now), fictional_numbers=True, accepted=True)

    def next_page(tx: store.Transaction) -> list[PlanToExtend]:
        behind = store.plans.plans_to_extend(tx, until, limit - extended, after)
        tx.load_data_keys({plan.key_id for plan in behind})
        return behind

    each = OneByOne(context, "plan", now)
    known = context.database.write(prepare, again=True)
    extended, after = 0, (date.min, 0)
    # Plans that fail stay behind and come first each time: they do not count, or enough of them would stop the rest.
    while extended < limit and (behind := context.database.read(next_page)):
        for plan in behind:
            extend_it = partial(_extend, context, plan_id=plan.id, key_id=plan.key_id, known=known, now=now)
            work = partial(context.database.write, extend_it, again=True)
            done = each.do("plan", plan.id, work, plan_id=plan.id)
            if done is not None:
                changes += done
                extended += 1
        after = (behind[-1].laid_down_until, behind[-1].id)
    for patient_id in context.database.read(partial(_who_knows_no_closure, now=now)):
        replan_it = partial(_replan_one, context, patient_id=patient_id, now=now)
        work = partial(context.database.write, replan_it, again=True)
        changes += each.do("patient", patient_id, work, patient_id=patient_id) or Changes()
    each.finish()
    return changes


def _who_knows_no_closure(tx: store.Transaction, *, now: datetime) -> list[int]:
    sites = store.people.all_sites(tx)
    return [one for site in sites for one in store.attention.closures_untold(tx, site.id, site.closures, now)]


def _replan_one(context: AppContext, tx: store.Transaction, *, patient_id: int, now: datetime) -> Changes:
    return replan(context, tx, [patient_id], now)


def _extend(
    context: AppContext, tx: store.Transaction, *, plan_id: int, key_id: int, known: plans.Known, now: datetime
) -> Changes:
    plan = store.plans.lock_plan(tx, plan_id)
    if plan is None or plan.status == "ended":
        return Changes()
    site = store.people.site_of_patient(tx, plan.patient_id)
    document = plans.read(json.loads(store.plans.document_of(tx, plan)), known)
    keys = (one.key for one in store.people.recipients_of(tx, plan.patient_id))
    added_here = _added_here(keys, document, None)
    key = tx.data_key(key_id)
    _lay_down(context, tx, document, plan_id=plan_id, site=site, key=key, kept=added_here, now=now)
    store.plans.set_laid_down(tx, plan_id, max(plan.laid_down_until, _horizon(context, site.zone, now)))
    return replan(context, tx, [plan.patient_id], now)


@dataclass(frozen=True, slots=True)
class Previewed:
    """One text as it would go, or why it does not (README.md#commands). `id` is its row; of a preview one never
    kept.
    """

    id: int = field(compare=False)

    key: str
    class_: str
    recipient: str
    opens_at: datetime
    closes_at: datetime
    goes_at: datetime
    local: datetime
    zone: str
    goes: bool
    state: str
    reason: str | None
    text: str | None
    segments: int | None
    encoding: str | None
    appointments: tuple[str, ...]
    red: bool  # no text at all goes about one of these visits, and it is one to phone about

    def as_json(self) -> dict[str, Any]:
        """The same for programs. Ids of rows are text: they are longer than the numbers that JavaScript can hold."""
        return {
            "key": self.key,
            "class": self.class_,
            "recipient": self.recipient,
            "opens_at": self.opens_at,
            "closes_at": self.closes_at,
            "goes_at": self.goes_at if self.goes else None,
            "local": self.local,
            "zone": self.zone,
            "goes": self.goes,
            "state": self.state,
            "reason": self.reason,
            "text": self.text,
            "segments": self.segments,
            "encoding": self.encoding,
            "appointments": list(self.appointments),
            "red": self.red,
        }


def preview(
    context: AppContext, document: PlanDocument, now: datetime, *, places: Collection[int] | None = None
) -> list[Previewed]:
    """Every text this document would lay down: it is accepted, read and rolled back. Raises PlanRefused.

    `places` are the ids of the sites whose patients its reader may know of, None for all. Unless sites are one program,
    a number is planned as if no other site texted it: its caps and its STOP would tell of a patient there (SEC-6).
    """
    return try_out(context, document, now, places=places)[1]


def try_out(
    context: AppContext, document: PlanDocument, now: datetime, *, places: Collection[int] | None = None
) -> tuple[tuple[str, ...], list[Previewed]]:
    """`preview`, and before it what there is to think about, as `accept` would say it."""

    def tried(tx: store.Transaction) -> tuple[tuple[str, ...], list[Previewed]]:
        if places is not None and not context.settings.sites.one_program:
            phones = {document.patient.phone, *(other.phone for other in document.recipients)}
            store.people.set_apart(tx, phones, places, now)
        accepted = accept_in(context, tx, document, now, who="preview")
        plan = store.plans.lock_plan(tx, accepted.plan_id)
        assert plan is not None
        return accepted.notes, texts_of(context, tx, plan, now)

    return context.database.try_out(tried)


@dataclass(frozen=True, slots=True)
class ToldOf:
    """One person of a plan in its preview: how many texts they will get, and where it is none, why."""

    recipient: str
    role: str
    texts: int
    why: str | None


def people_in(document: PlanDocument, texts: Sequence[Previewed]) -> list[ToldOf]:
    """Everyone whom a plan names, the patient first, with what `texts`, its preview, hold for each."""
    silent = dict(plans.not_told(document))
    people = [("self", "self"), *((other.key, other.role) for other in document.recipients)]
    found = []
    for key, role in people:
        mine = [text for text in texts if text.recipient == key]
        count = sum(text.goes for text in mine)
        reasons = [text.reason for text in mine if text.reason is not None]
        why = silent.get(key) or (staff_words.REASONS.get(reasons[0], reasons[0]) if reasons else "no visit lies ahead")
        found.append(ToldOf(key, role, count, None if count else why))
    return found


def people_of(context: AppContext, ref: str, texts: Sequence[Previewed], *, site: str | None = None) -> list[ToldOf]:
    """`people_in` of a plan that is stored; whoever was added here since is counted by their texts alone."""

    def look(tx: store.Transaction) -> PlanDocument | None:
        plan = store.plans.plan_by_ref(tx, ref, site=site, lock=False)
        if plan is None:
            return None
        known = replace(context.known(tx, plan.changed_at), fictional_numbers=True)
        return plans.read(json.loads(store.plans.document_of(tx, plan)), known)

    document = context.database.read(look)
    if document is None:
        return []
    named = people_in(document, texts)
    added = {text.recipient for text in texts} - {one.recipient for one in named}
    return named + [
        ToldOf(key, "supporter", sum(text.goes for text in texts if text.recipient == key), None)
        for key in sorted(added)
    ]


def preview_plan(context: AppContext, ref: str, now: datetime, *, site: str | None = None) -> list[Previewed] | None:
    """Every text laid down for a plan, of that site if one is named; None where there is no such plan."""

    def look(tx: store.Transaction) -> list[Previewed] | None:
        plan = store.plans.plan_by_ref(tx, ref, site=site, lock=False)
        return None if plan is None else texts_of(context, tx, plan, now)

    return context.database.read(look)


def texts_of(context: AppContext, tx: store.Transaction, plan: PlanRow, now: datetime) -> list[Previewed]:
    """Every text laid down for a plan, answers left out, in the order in which they open."""
    per_week = context.settings.sending.per_week
    drafts = store.texts.drafts(tx, plan_id=plan.id)
    visits = store.plans.visits_by_id(tx, {item for draft in drafts for item in draft.appointment_ids})
    texted = {item for draft in drafts if draft.state not in WITHDRAWN for item in draft.appointment_ids}
    ahead = store.plans.visits_between(tx, plan.patient_id, now, now + timedelta(days=400))
    red = {one.visit.id for one in ahead if planner.is_red(one.visit, now)} - texted
    went = store.texts.went(tx, [draft.text for draft in drafts if draft.state not in UNTRIED])
    return [
        _as_it_went(shown, went[draft.text]) if draft.text in went else shown
        for draft in drafts
        if draft.class_ != "answer"
        for shown in (_render_draft(draft, visits, red, per_week=per_week, now=now),)
    ]


def _as_it_went(shown: Previewed, last: store.texts.Went) -> Previewed:
    """A text that was tried, with the words that it went with; what it would say now is no matter."""
    length = segments(last.body) if last.body else None
    return replace(
        shown,
        goes=shown.state != "expired",
        goes_at=last.at,
        reason=None if shown.state in WENT else shown.reason,
        text=last.body or None,
        segments=length.count if length else None,
        encoding=length.encoding if length else None,
    )


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change does to one text: how it stood `before` and stands `after`; None where it is not there."""

    before: Previewed | None
    after: Previewed | None

    @property
    def opens_at(self) -> datetime:
        """When its window opens; did, where it is taken back."""
        text = self.after or self.before
        assert text is not None
        return text.opens_at

    @property
    def what(self) -> str:
        """`added`, `retracted`, `moved` or `reworded`, in texts that go."""
        went = self.before is not None and self.before.goes
        goes = self.after is not None and self.after.goes
        if went and goes:
            assert self.before is not None
            assert self.after is not None
            return "moved" if self.before.opens_at != self.after.opens_at else "reworded"
        return "added" if goes else "retracted" if went else "silent"


def effects(
    context: AppContext, patient_id: int, work: Callable[[store.Transaction], T], now: datetime
) -> tuple[T, list[Effect]]:
    """What `work` would do to a patient's texts: it is done, looked at, and rolled back. What it gives comes first.

    Only texts that would stand otherwise than before, in the order in which they open. Raises what `work` raises.
    """

    def texts(tx: store.Transaction) -> dict[int, Previewed]:
        current = store.plans.plans_of(tx, patient_id)
        return {one.id: one for plan in current for one in texts_of(context, tx, plan, now)}

    def tried(tx: store.Transaction) -> tuple[T, list[Effect]]:
        before = texts(tx)
        done = work(tx)
        after = texts(tx)
        changed = [
            Effect(before.get(one), after.get(one)) for one in before | after if before.get(one) != after.get(one)
        ]
        return done, sorted(changed, key=lambda one: one.opens_at)

    return context.database.try_out(tried)


def _render_draft(
    draft: store.texts.Drafted,
    visits: dict[int, store.plans.NamedVisit],
    red: set[int],
    *,
    per_week: int,
    now: datetime,
) -> Previewed:
    about = [visits[item] for item in draft.appointment_ids]
    spoken = [one.visit for one in about]
    reason, rendered = draft.reason, None
    said_at = max(draft.due_at, draft.opens_at)
    try:
        if draft.class_ == "reminder":
            rendered = render(
                spoken,
                language=draft.language,
                alias=draft.alias,
                phone=draft.phone,
                reader_zone=draft.zone,
                now=said_at,
            )
        else:
            rendered = render_unplanned(
                draft.wording,
                typed=draft.body,
                visits=spoken,
                was=draft.was,
                language=draft.language,
                alias=draft.alias,
                phone=draft.phone,
                line24=draft.line24,
                per_week=min(per_week, draft.per_week or per_week),
                reader_zone=draft.zone,
                verified=draft.verified,
                now=said_at,
            )
    except wording.Unsayable as unsayable:
        reason = reason or unsayable.reason
    if draft.state == "expired" or (draft.state == "scheduled" and draft.closes_at <= now):
        reason = reason or "too_late"
    goes_at = max(draft.due_at, now) if draft.state == "scheduled" else draft.due_at
    return Previewed(
        id=draft.text,
        key=draft.key,
        class_=draft.class_,
        recipient=draft.recipient,
        opens_at=draft.opens_at,
        closes_at=draft.closes_at,
        goes_at=goes_at,
        local=plans.to_wall(draft.opens_at, draft.zone),
        zone=draft.zone,
        goes=draft.state != "suppressed" and reason is None,
        state=draft.state,
        reason=reason,
        text=rendered.body if rendered else None,
        segments=rendered.segments if rendered else None,
        encoding=rendered.encoding if rendered else None,
        appointments=tuple(f"{one.series}@{one.recurrence_id}" for one in about),
        red=bool(red & set(draft.appointment_ids)),
    )
