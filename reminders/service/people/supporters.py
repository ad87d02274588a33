"""Supporters and guardians: they join, they leave, and a patient comes of age."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from reminders import plans, store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.plans import Problem
from reminders.service.people.consents import ask_for_consent, in_short, take_consent
from reminders.service.people.reader_case import Done, ReaderCase, Refused, Whom, find_reader, open_case
from reminders.service.planning.accepting import consent_given
from reminders.store.people import ConsentGiven
from reminders.store.planning.attention import ReaderOfMinor


def add_recipient(
    context: AppContext,
    whom: Whom,
    recipient: Mapping[str, Any],
    now: datetime,
    *,
    who: str,
    series: Collection[str] | None = None,
    by_hand: bool = False,
) -> Done | None:
    """Let another person get some of a patient's texts: `recipient` as a plan's [[recipients]] has them.

    It takes two consents: the patient's, in writing and naming them (`part2_consent_on`), and their own. `series` are
    the series of whose visits they are told, by default the family sessions. Who left comes back with a new consent.
    A yes that would not count is kept with a note; `by_hand` it is refused at the box that is missing. None where there
    is no such patient. Raises PlanRefused for what cannot be read, and Refused.
    """

    def work(tx: store.Transaction) -> Done | None:
        known = context.known(tx, now, whom.site)
        read = plans.read_recipient(recipient, known)
        if read.part2_consent_on is None:
            problem = "is missing; no one else gets texts without the patient's written consent naming them"
            raise plans.PlanRefused((Problem("recipient.part2_consent_on", problem),))
        not_yet = plans.uncounted(read.consent, known.today, own=False) if read.consent is not None else ()
        if not_yet and by_hand:
            raise plans.PlanRefused([Problem(f"recipient.{one.where}", one.problem) for one in not_yet])
        number_id = store.people.keep_number(tx, read.phone, now)
        case = open_case(context, tx, whom, now, number_id, who=who)
        if case is None:
            return None
        here = find_reader(tx, case.patient.id, read.key)
        if here is not None and here.part2_consent_on is not None:
            raise Refused(f"{read.key} gets texts already; choose another key, or change their number or consent")
        named = store.plans.name_in_series(tx, case.patient.id, read.key, series, now)
        if missing := set(series or ()) - set(named):
            raise Refused(f"no current plan of theirs has the series {', '.join(sorted(missing))}")
        if not named:
            raise Refused("there is no family session to tell of; say which series they are told of")
        zone = read.zone or case.site.zone
        case.reader = store.people.keep_recipient(
            tx,
            patient_id=case.patient.id,
            key=read.key,
            now=now,
            role=read.role,
            number_id=number_id,
            language=read.language,
            zone=zone,
            guessed_zones=[] if read.zone else plans.other_zones(read.phone, zone),
            weekly_digest=False,
            part2_consent_on=read.part2_consent_on,
        )
        case.note(Action.RECIPIENT_ADDED, after=read.model_dump_json(exclude_defaults=True))
        if read.consent is None:
            case.notes.append("their own consent is not on record, so nothing goes to them")
        else:
            given = consent_given(read.consent, known.today)
            if not take_consent(case, given) and given.said == "yes":
                raise Refused("this consent is on record and was withdrawn since; take it again")
            case.notes += [f"it does not count yet: {one.where} {one.problem}" for one in not_yet]
        case.tell_what_stands_in_the_way()
        return case.done(case.replan())

    return context.database.write(work, again=True)


def remove_recipient(
    context: AppContext, whom: Whom, now: datetime, *, who: str, by_patient: bool = False
) -> Done | None:
    """End another person's texts at once: they asked for it, or `by_patient` the patient withdrew the consent (L-52).

    What was sent stays on record. They come back only with both consents again.
    """

    def work(tx: store.Transaction) -> Done | None:
        case = open_case(context, tx, whom, now, who=who)
        if case is None:
            return None
        if case.reader.role == "self":
            raise Refused("this is the patient; record an opt-out, or end the plan")
        if case.reader.part2_consent_on is None:
            raise Refused("they get no texts any more")
        how = "the patient withdrew the written consent" if by_patient else "asked for no more texts"
        before = case.reader.part2_consent_on.isoformat()
        case.reader = store.people.keep_recipient(
            tx, patient_id=case.patient.id, key=whom.recipient, now=now, part2_consent_on=None
        )
        _revoke(case, how)
        case.note(Action.RECIPIENT_REMOVED, before=before, after=how)
        changes = case.replan()
        changes.retracted += store.texts.retract_queued(tx, [case.reader.id], case.reader.number_id)
        return case.done(changes)

    return context.database.write(work, again=True)


def _revoke(case: ReaderCase, how: str) -> None:
    today = plans.to_wall(case.now, case.site.zone).date()
    in_force = store.people.consents_in_force(case.tx, [case.reader.id]).get(case.reader.id)
    given = ConsentGiven(
        said="revoked",
        said_on=today,
        how=how,
        by=case.who[:200],
        categories=list(in_force.categories) if in_force is not None else [],
        warned_of_risk=False,
        wording=None,
        per_day=None,
        per_week=None,
        alias_shown=False,
        verified=None,
        legal_basis=None,
        expires_on=None,
    )
    store.people.record_consent(case.tx, case.reader, given, case.now, always=True)


def come_of_age(context: AppContext, now: datetime) -> int:
    """Withdraw what others agreed to for patients who have turned 18, and guardians' own; how many (L-56).

    Their consent is theirs to give from that day on; a task asks for it. Safe at any time, and twice.
    """
    rows = context.database.read(store.attention.of_minors)
    return sum(context.database.write(partial(_grow_up, context, row=row, now=now), again=True) for row in rows)


def _grow_up(context: AppContext, tx: store.Transaction, *, row: ReaderOfMinor, now: datetime) -> bool:
    born_on = store.people.open_birth(tx, row.id, row.born_on_sealed)
    today = plans.to_wall(now, row.zone).date()
    # What was given by someone of age is not about being under age.
    if born_on is None or plans.is_minor(born_on, today) or not plans.is_minor(born_on, row.said_on):
        return False
    case = open_case(context, tx, Whom(row.ref, row.recipient, row.site), now, who="the service")
    in_force = store.people.consents_in_force(tx, [case.reader.id]).get(case.reader.id) if case is not None else None
    if case is None or in_force is None or in_force.said != "yes" or in_force.said_on != row.said_on:
        return False
    _revoke(case, "the patient turned 18")
    case.note(Action.CONSENT_ENDED_BY_AGE, before=in_short(in_force))
    case.replan()
    if case.reader.role == "self":
        ask_for_consent(case)
    return True
