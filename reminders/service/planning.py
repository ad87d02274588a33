"""Plans: accept one, see what it would text, pause, resume and end it, and keep its reminders laid down.

Planning is level-triggered: it states what the texts of a patient should be and makes it so. Run late, twice or after
a crash it gives the same rows. A preview is the same transaction, rolled back.
"""

import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any

from reminders import planner, plans, store, wording
from reminders.planner import Policy
from reminders.plans import Lead, PlanDocument, PlanRefused, Problem
from reminders.service.house import House
from reminders.store import Row
from reminders.store.people import ConsentGiven
from reminders.store.sealing import DataKey
from reminders.store.texts import Addressee, Changes

log = logging.getLogger(__name__)

GONE_COUNTS = timedelta(days=14)  # a rolling week on either side of today
SOURCE = "plan"  # plan files and the API speak of the same plans; other formats will have sources of their own


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one plan document: whether it said anything new, what its texts did, and what to think about."""

    ref: str
    changed: bool
    texts: Changes
    note: str | None = None


def accept(house: House, document: PlanDocument, now: datetime, *, who: str) -> Accepted:
    """Take in one plan document: one transaction, and idempotent by the plan's reference.

    Raises PlanRefused, and then nothing is changed. `who` goes into the audit.
    """
    return house.database.write(lambda tx: accept_in(house, tx, document, now, who), again=True)


def accept_in(house: House, tx: store.Transaction, document: PlanDocument, now: datetime, who: str) -> Accepted:
    """`accept`, inside a transaction of the caller's."""
    store.people.keep_default_site(tx, house.settings, now)
    site = store.people.site_by_key(tx, document.plan.site)
    if site is None:
        raise PlanRefused((Problem("plan.site", "there is no site of that key"),))
    row = store.plans.plan_by_ref(tx, document.plan.ref, site_id=site.id, source=SOURCE)
    said = document.canonical().decode()
    before = store.plans.document_of(tx, row) if row is not None else None
    if before == said:
        return Accepted(document.plan.ref, changed=False, texts=Changes())

    patient = store.people.patient_by_ref(tx, site.id, document.patient.ref)
    if row is not None and (patient is None or patient.id != row.patient_id):
        problem = "this plan was accepted for another patient; give the new plan a reference of its own"
        raise PlanRefused((Problem("plan.ref", problem),))
    others = [
        plan
        for plan in (store.plans.current_plans(tx, patient.id) if patient is not None else ())
        if row is None or plan.id != row.id
    ]
    _check_second_plan(document, row, others)

    patient_id, key = store.people.keep_patient(
        tx,
        site_id=site.id,
        ref=document.patient.ref,
        name=document.patient.name,
        born_on=document.patient.born_on,
        now=now,
    )
    _keep_people(tx, document, json.loads(before) if before else None, patient_id=patient_id, site=site, now=now)
    for plan in others:
        if plan.ref == document.plan.replaces:
            store.plans.change_plan(tx, plan, now, status="ended", ended_because="other")
    values: dict[str, Any] = {
        "discharged_on": document.plan.discharged_on,
        "programme": document.plan.programme,
        "alongside": document.plan.alongside,
        "replaces": document.plan.replaces,
        "laid_down_until": _horizon(house, site.zone, now),
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
    _lay_down(house, tx, document, plan_id=plan_id, site=site, key=key, now=now)
    changes = replan(house, tx, [patient_id], now)
    what = "plan changed" if row is not None else "plan accepted"
    store.records.note(tx, who=who, what=what, table="plans", row=plan_id, now=now, before=before, after=said, key=key)
    return Accepted(document.plan.ref, changed=True, texts=changes, note=_first_week(tx, document, plan_id))


def _first_week(tx: store.Transaction, document: PlanDocument, plan_id: int) -> str | None:
    """The first days after discharge are the most dangerous: a plan without a visit then asks for a reason (P-21)."""
    left = document.plan.discharged_on
    if document.plan.status != "active" or document.plan.late_start_because is not None:
        return None
    if store.plans.has_visit(tx, plan_id, left + timedelta(days=1), left + timedelta(days=7)):
        return None
    return "no visit in the first seven days after discharge; book one, or say why in plan.late_start_because"


def _check_second_plan(document: PlanDocument, row: Row[Any] | None, others: Sequence[Row[Any]]) -> None:
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


def _keep_people(
    tx: store.Transaction,
    document: PlanDocument,
    before: dict[str, Any] | None,
    *,
    patient_id: int,
    site: Row[Any],
    now: datetime,
) -> None:
    """Make the recipients what the document says of them, where it says anything new.

    `before` is the document as it stood: of several current plans, an edit to an older one must not bring back the
    number that it was accepted with.
    """
    said = json.loads(document.canonical())
    patient = document.patient
    hours = patient.texting_hours
    people: list[tuple[str, str, dict[str, Any], plans.Consent | None]] = [
        (
            "self",
            patient.phone,
            {
                "role": "self",
                "language": patient.language,
                "zone": patient.zone or site.zone,
                "guessed_zones": [] if patient.zone else plans.other_zones(patient.phone, site.zone),
                "texting_from": f"{hours[0]:%H:%M}" if hours else None,
                "texting_to": f"{hours[1]:%H:%M}" if hours else None,
                "weekly_digest": patient.weekly_digest,
            },
            document.consent,
        )
    ]
    people += [
        (
            other.key,
            other.phone,
            {
                "role": other.role,
                "language": other.language,
                "zone": other.zone or site.zone,
                "guessed_zones": [] if other.zone else plans.other_zones(other.phone, site.zone),
                "weekly_digest": False,
                "part2_consent_on": other.part2_consent_on,
            },
            other.consent,
        )
        for other in document.recipients
    ]
    known = {recipient.key: recipient for recipient in store.people.recipients_of(tx, patient_id)}
    unchanged = _same_people(before, said) & known.keys()
    numbers = {phone: store.people.keep_number(tx, phone, now) for key, phone, _, _ in people if key not in unchanged}
    store.people.lock_numbers(tx, {recipient.number_id for recipient in known.values()} | set(numbers.values()))
    today = plans.to_wall(now, site.zone).date()
    for key, phone, values, consent in people:
        recipient = (
            known[key]
            if key in unchanged
            else store.people.keep_recipient(
                tx, patient_id=patient_id, key=key, now=now, number_id=numbers[phone], **values
            )
        )
        if consent is not None:
            store.people.record_consent(tx, recipient, _consent_given(consent, today), now)


def _same_people(before: dict[str, Any] | None, said: dict[str, Any]) -> set[str]:
    """The recipients of whom the document says what it said before."""
    if before is None:
        return set()
    was = {other["key"]: other for other in before.get("recipients", ())}
    same = {other["key"] for other in said.get("recipients", ()) if was.get(other["key"]) == other}
    return same | ({"self"} if before["patient"] == said["patient"] else set())


def _consent_given(consent: plans.Consent, today: date) -> ConsentGiven:
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


def _horizon(house: House, zone: str, now: datetime) -> date:
    return plans.to_wall(now, zone).date() + timedelta(days=house.settings.sending.horizon_days)


def _lay_down(
    house: House,
    tx: store.Transaction,
    document: PlanDocument,
    *,
    plan_id: int,
    site: Row[Any],
    key: DataKey,
    now: datetime,
) -> None:
    """Lay down the appointments whose texts open within the horizon."""
    agreed = document.all_series()
    until = _horizon(house, site.zone, now)
    ids = store.plans.keep_series(tx, plan_id=plan_id, site_id=site.id, zone=site.zone, key=key, agreed=agreed, now=now)
    policy = policy_of(house)
    for one in agreed:
        ahead = max(lead.days for lead in (*map(Lead.parse, one.leads or ()), *policy.leads, *policy.series_leads))
        dates = plans.occurrences(one, until=until + timedelta(days=ahead), zone=site.zone)
        store.plans.lay_down(tx, ids[one.key], dates, now)


def policy_of(house: House, closures: frozenset[date] = frozenset()) -> Policy:
    """The house rules of sending, with the dates on which a site is closed."""
    sending = house.settings.sending
    return Policy(
        leads=tuple(map(Lead.parse, sending.leads)),
        series_leads=tuple(map(Lead.parse, sending.series_leads)),
        per_day=sending.per_day,
        per_week=sending.per_week,
        closures=closures,
    )


def replan(house: House, tx: store.Transaction, patient_ids: Iterable[int], now: datetime) -> Changes:
    """Make the reminders of these patients what their visits, consents and numbers ask for now.

    Planned number by number, since caps belong to numbers: who shares one with them is planned along with them.
    """
    wanted = store.people.numbers_of(tx, set(patient_ids))
    numbers = store.people.lock_numbers(tx, wanted)
    recipients = store.people.recipients_on(tx, wanted)
    consents = store.people.consents_in_force(tx, [recipient.id for recipient in recipients])
    gone = store.texts.gone(tx, wanted, now - GONE_COUNTS)
    sites = {patient: store.people.site_of_patient(tx, patient) for patient in {one.patient_id for one in recipients}}
    ahead = {patient: _visits_ahead(house, tx, patient, site, now) for patient, site in sites.items()}
    changes = Changes()
    for number_id, number in numbers.items():
        theirs = [recipient for recipient in recipients if recipient.number_id == number_id]
        parties = [
            (
                _reader(recipient, sites[recipient.patient_id], number, consents.get(recipient.id), now),
                [one.visit for one in ahead[recipient.patient_id] if recipient.key in one.recipients],
            )
            for recipient in theirs
        ]
        closures = {day for recipient in theirs for day in sites[recipient.patient_id].closures}
        policy = policy_of(house, frozenset(map(date.fromisoformat, closures)))
        candidates = planner.plan(parties, policy, now, [one for _, one in gone.get(number_id, ())])
        for recipient in theirs:
            site = sites[recipient.patient_id]
            sender_id = store.people.sender_of(tx, site.id, house.settings.twilio.sender)
            changes += store.texts.reconcile(
                tx,
                Addressee(recipient.id, site.id, sender_id, number_id),
                [candidate for candidate in candidates if candidate.reader == recipient.id],
                {one.visit.id: one.plan_id for one in ahead[recipient.patient_id]},
                since=plans.to_wall(now, site.zone).date() - timedelta(days=2),
                now=now,
            )
    return changes


def _visits_ahead(
    house: House, tx: store.Transaction, patient_id: int, site: Row[Any], now: datetime
) -> list[store.plans.Scheduled]:
    last = plans.to_wall(now, site.zone).date() + timedelta(days=house.settings.sending.horizon_days + 61)
    until = plans.to_instant(datetime.combine(last, time(0)), site.zone)
    return store.plans.visits_between(tx, patient_id, now - timedelta(days=2), until)


def _reader(
    recipient: Row[Any], site: Row[Any], number: Row[Any], consent: Row[Any] | None, now: datetime
) -> planner.Reader:
    return store.texts.reader_of(
        recipient_id=recipient.id,
        role=recipient.role,
        zone=recipient.zone,
        guessed_zones=recipient.guessed_zones,
        digest=recipient.weekly_digest,
        texting=(recipient.texting_from, recipient.texting_to),
        site_quiet=(site.quiet_from, site.quiet_to),
        number_id=recipient.number_id,
        number=number,
        consent=consent,
        today=plans.to_wall(now, site.zone).date(),
    )


def extend(house: House, now: datetime, limit: int = 500) -> Changes:
    """Lay down what has come within the horizon since; the `plan` job.

    Each plan is a transaction of its own and is planned anew with it, so that also what only time changes (a consent
    that expired, a day that passed) is put right daily. A plan that cannot be read costs only itself: the others have
    their turn, then its error is raised.
    """
    changes = Changes()

    def prepare(tx: store.Transaction) -> Sequence[Row[Any]]:
        store.people.keep_default_site(tx, house.settings, now)  # quiet hours set anew hold from now on
        store.queue.release_unreadable(tx, now)
        return store.plans.plans_to_extend(tx, _horizon(house, house.settings.site.zone, now), limit)

    trouble: Exception | None = None
    for plan in house.database.write(prepare, again=True):
        try:
            changes += house.database.write(partial(_extend, house, plan_id=plan.id, now=now), again=True)
        except (store.Unreadable, LookupError, plans.PlanRefused) as error:
            log.error("plan %d cannot be planned: %s", plan.id, type(error).__name__)  # ruff: ignore[error-instead-of-exception]  its text may be personal
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    return changes


def _extend(house: House, tx: store.Transaction, *, plan_id: int, now: datetime) -> Changes:
    plan = store.plans.lock_plan(tx, plan_id)
    if plan is None or plan.status == "ended":
        return Changes()
    site = store.people.site_of_patient(tx, plan.patient_id)
    # It was judged when it was accepted; a number that only a demo may use is no news.
    known = replace(house.known(tx, now), fictional_numbers=True)
    document = plans.read(json.loads(store.plans.document_of(tx, plan)), known)
    key = store.plans.data_key_of_patient(tx, plan.patient_id)
    _lay_down(house, tx, document, plan_id=plan_id, site=site, key=key, now=now)
    store.plans.set_laid_down(tx, plan_id, max(plan.laid_down_until, _horizon(house, site.zone, now)))
    return replan(house, tx, [plan.patient_id], now)


@dataclass(frozen=True, slots=True)
class Previewed:
    """One text as it would go, or why it does not (CONTRACT: preview)."""

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


def preview(house: House, document: PlanDocument, now: datetime) -> list[Previewed]:
    """Every text this document would lay down: it is accepted, read and rolled back. Raises PlanRefused."""

    def tried(tx: store.Transaction) -> list[Previewed]:
        accept_in(house, tx, document, now, who="preview")
        plan = store.plans.plan_by_ref(tx, document.plan.ref, source=SOURCE)
        assert plan is not None
        return _preview_plan(tx, plan, now)

    return house.database.try_out(tried)


def preview_plan(house: House, ref: str, now: datetime) -> list[Previewed] | None:
    """Every text laid down for a plan; None where there is no such plan."""

    def look(tx: store.Transaction) -> list[Previewed] | None:
        plan = store.plans.plan_by_ref(tx, ref, lock=False)
        return None if plan is None else _preview_plan(tx, plan, now)

    return house.database.read(look)


def _preview_plan(tx: store.Transaction, plan: Row[Any], now: datetime) -> list[Previewed]:
    drafts = store.texts.drafts(tx, plan_id=plan.id)
    visits = store.plans.visits_by_id(tx, {item for draft in drafts for item in draft.appointment_ids})
    texted = {item for draft in drafts if draft.state not in _SILENT for item in draft.appointment_ids}
    ahead = store.plans.visits_between(tx, plan.patient_id, now, now + timedelta(days=400))
    red = {one.visit.id for one in ahead if planner.is_red(one.visit, now)} - texted
    return [_render_draft(draft, visits, red, now) for draft in drafts]


_SILENT = {"suppressed", "cancelled", "expired"}


def _render_draft(
    draft: store.texts.Drafted, visits: dict[int, store.plans.NamedVisit], red: set[int], now: datetime
) -> Previewed:
    about = [visits[item] for item in draft.appointment_ids]
    reason, rendered = draft.reason, None
    try:
        rendered = render(
            [one.visit for one in about],
            language=draft.language,
            alias=draft.alias,
            phone=draft.phone,
            reader_zone=draft.zone,
            now=max(draft.due_at, draft.opens_at),
        )
    except wording.Unsayable as unsayable:
        reason = reason or unsayable.reason
    goes_at = max(draft.due_at, now) if draft.state == "scheduled" else draft.due_at
    return Previewed(
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


def render(
    visits: Sequence[planner.Visit], *, language: str, alias: str, phone: str, reader_zone: str, now: datetime
) -> wording.Rendered:
    """The reminder about these visits, as it reads at `now`. Raises Unsayable.

    C and R are offered only where one person alone decides: one-offs and individual visits.
    """
    return wording.reminder(
        [
            wording.Visit(
                wall=visit.wall,
                zone=visit.zone,
                starts_at=visit.starts_at,
                meeting=visit.kind in {plans.Kind.SUPPORT_MEETING, plans.Kind.HOUSE_MEETING},
                asks=not visit.repeats or visit.kind.is_individual,
            )
            for visit in visits
        ],
        language=language,
        alias=alias,
        phone=phone,
        reader_zone=reader_zone,
        now=now,
    )


def change_session(
    house: House, key: str, on: date, now: datetime, *, who: str, to: datetime | None, site: str | None = None
) -> Changes | None:
    """Move a session on a date to another wall-clock time of its place, or call it off (`to` is None), for everybody.

    What all their texts did, or None where no visit of that session stands on that date. One transaction. Raises
    ValueError for a time that has passed.
    """

    def change(tx: store.Transaction) -> Changes | None:
        place = store.people.site_by_key(tx, site or house.settings.site.key)
        rows = store.plans.of_session(tx, place.id, key, on) if place is not None else []
        if not rows:
            return None
        patients = sorted({row.patient_id for row in rows})
        store.people.lock_numbers(tx, store.people.numbers_of(tx, patients))
        for row in rows:
            values: dict[str, Any] = {"status": "cancelled"}
            if to is not None:
                starts_at = plans.to_instant(to, row.zone)
                if starts_at <= now:
                    raise ValueError("that time has passed; give one that lies ahead")
                values = {"wall": to.isoformat(timespec="seconds"), "starts_at": starts_at}
            store.plans.change_appointment(tx, row.id, now, **values)
            what = "session moved" if to is not None else "session called off"
            store.records.note(
                tx,
                who=who,
                what=what,
                table="appointments",
                row=row.id,
                now=now,
                before=row.wall,
                after=values.get("wall"),
            )
        return replan(house, tx, patients, now)

    return house.database.write(change, again=True)


def set_plan_status(
    house: House, ref: str, status: str, now: datetime, *, who: str, because: str | None = None
) -> Changes | None:
    """Pause, resume (`active`) or end a plan; what its texts did, or None where there is no such plan.

    `because` is needed to end one. Raises ValueError when an ended plan is paused or resumed: a person who comes back
    gets a new plan, and consents anew.
    """

    def change(tx: store.Transaction) -> Changes | None:
        plan = store.plans.plan_by_ref(tx, ref)
        if plan is None:
            return None
        if plan.status == status:
            return Changes()
        if plan.status == "ended":
            raise ValueError("the plan has ended; import a new plan that replaces it")
        ended_because = because if status == "ended" else None
        store.plans.change_plan(tx, plan, now, status=status, ended_because=ended_because)
        what = {"paused": "plan paused", "active": "plan resumed", "ended": "plan ended"}[status]
        store.records.note(tx, who=who, what=what, table="plans", row=plan.id, now=now, after=because)
        return replan(house, tx, [plan.patient_id], now)

    return house.database.write(change, again=True)
