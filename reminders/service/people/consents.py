"""Consent given, withdrawn or taken on paper, and a no that came at the front desk. On record with who did it.

A number's STOP belongs to the number: nothing here lifts one that came from the phone (L-17).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from reminders import plans, store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.planner.business_days import honour_by
from reminders.plans import Problem
from reminders.service.people import sharing
from reminders.service.people.reader_case import Done, ReaderCase, Refused, Whom, open_case
from reminders.service.planning.accepting import consent_given
from reminders.store.people import ConsentGiven
from reminders.store.records import ConsentRow
from reminders.task_kinds import CONSENT_TAKEN, NO_CONSENT, About

_NO = {"stop", "stop_asked"}  # what the phone itself says; its START ends it


# A new phone.


def ask_for_consent(case: ReaderCase) -> None:
    """A task for each running plan, the one that the watch would open."""
    for plan in store.plans.current_plans(case.tx, case.patient.id):
        if plan.status == "active":
            store.tasks.open_task(
                case.tx,
                NO_CONSENT,
                site_id=case.site.id,
                zone=case.site.zone,
                now=case.now,
                patient_id=case.patient.id,
                number_id=case.reader.number_id,
                plan_id=plan.id,
                recipient_id=_not_the_patient(case),
            )


def _not_the_patient(case: ReaderCase) -> int | None:
    """Whose consent a task asks for; the patient's own goes without saying."""
    return None if case.reader.role == "self" else case.reader.id


# Consent, and what makes a number sure.


def record_consent(
    context: AppContext, whom: Whom, consent: Mapping[str, Any], now: datetime, *, who: str, by_hand: bool = False
) -> Done | None:
    """Put on record what a reader said about texts to their number, as a plan's [consent] has it (L-50).

    A yes opens what staff closed by hand, but never a STOP that came from the phone: only START from that phone does
    (L-17). One that would not count is kept with a note; `by_hand` it is refused at the box that is missing. None where
    there is no such patient or recipient. Raises PlanRefused for what cannot be read, and Refused.
    """

    def work(tx: store.Transaction) -> Done | None:
        case = open_case(context, tx, whom, now, who=who)
        if case is None:
            return None
        given = read_consent(case, consent, by_hand=by_hand)
        assert given is not None
        if take_consent(case, given):
            reopen(case)
        case.tell_what_stands_in_the_way()
        return case.done(case.replan())

    return context.database.write(work, again=True)


def read_consent(case: ReaderCase, consent: Mapping[str, Any] | None, *, by_hand: bool = False) -> ConsentGiven | None:
    """A consent as it was typed, read as a plan document's is; None where none was given. Raises PlanRefused."""
    if consent is None:
        return None
    known = case.context.known(case.tx, case.now, case.site.key)
    own = case.reader.role == "self"
    born_on = store.people.open_birth(case.tx, case.patient.id, case.patient.born_on_sealed) if own else None
    read = plans.read_consent(consent, known, born_on=born_on)
    if own and read.legal_basis and born_on is not None and not plans.is_minor(born_on, known.today):
        problem = "is for patients under 18; this one is of age, so the consent is their own"
        raise plans.PlanRefused((Problem("consent.legal_basis", problem),))
    if not own and read.said == "yes" and case.reader.part2_consent_on is None:
        raise Refused(
            "no one else gets texts without the patient's written consent naming them; add them with its date"
        )
    missing = plans.uncounted(read, known.today, own=own)
    if missing and by_hand:
        raise plans.PlanRefused(missing)
    case.notes += [f"it does not count yet: {one.where} {one.problem}" for one in missing]
    return consent_given(read, known.today)


def take_consent(case: ReaderCase, given: ConsentGiven) -> bool:
    """Put it on record and in force, verify the number if it was checked; whether it is a new yes that counts."""
    before = store.people.consents_in_force(case.tx, [case.reader.id]).get(case.reader.id)
    fresh = store.people.record_consent(case.tx, case.reader, given, case.now)
    if not fresh:
        case.notes.append("this is on record already, word for word; a yes that was withdrawn must be given again")
        return False
    case.note(
        Action.CONSENT_YES if given.said == "yes" else Action.CONSENT_NO, before=in_short(before), after=in_short(given)
    )
    if given.said != "yes":
        case.notes.append("nothing more goes to this reader")
        return False
    if given.verified:  # read aloud, or however staff made sure (L-39)
        store.people.verify_number(case.tx, case.reader.number_id, case.now)
    if before is not None and before.said_on > given.said_on:
        case.notes.append("a later answer is on record, so this one is kept but not in force")
        return False
    if case.reader.role == "self" and not given.warned_of_risk:
        return False  # it does not count yet (L-38)
    current = store.plans.current_plans(case.tx, case.patient.id)
    about = [About(plan_id=plan.id, recipient_id=_not_the_patient(case)) for plan in current]
    store.tasks.close_all(case.tx, CONSENT_TAKEN, case.now, about)
    return True


def in_short(consent: ConsentRow | ConsentGiven | None) -> str | None:
    """A consent as the audit keeps it."""
    if consent is None:
        return None
    return json.dumps([consent.said, consent.said_on.isoformat(), consent.how, sorted(consent.categories)])


def reopen(case: ReaderCase) -> None:
    """Lift a no that staff wrote down themselves; one that the phone sent, or Twilio knows of, stays."""
    number = case.number
    if number.opted_out_at is None:
        return
    recorded_at = store.people.recorded_at(case.tx, "numbers", number.id, Action.OPT_OUT_RECORDED)
    if recorded_at is None or recorded_at != number.opted_out_at:
        return
    wishes = store.replies.wishes(case.tx, number.id, {*_NO, "start"})
    if wishes and wishes[-1].meanings & _NO:  # whenever it was heard
        return
    store.people.mark_number(case.tx, number.id, opted_out_at=None)
    case.note(Action.OPT_OUT_LIFTED_BY_A_NEW_CONSENT, number=True)


# A no that came another way than by text (L-15), and wrong numbers.


@dataclass(frozen=True, slots=True)
class OptedOut(Done):
    """A no on record; `honour_by` is the last day that the law leaves for it (L-11). It holds at once."""

    honour_by: date | None = None


def record_opt_out(
    context: AppContext, whom: Whom, now: datetime, *, how: str, received_at: datetime, by: str, who: str
) -> OptedOut | None:
    """Put on record a no that came by voicemail, by e-mail or at the front desk: the same as a STOP, and at once.

    `how` it came, `received_at` and to whom (`by`). It stops the number, for everyone on it, as a STOP would.
    """

    def work(tx: store.Transaction) -> OptedOut | None:
        case = open_case(context, tx, whom, now, who=who)
        if case is None:
            return None
        if received_at > now:
            raise Refused("that lies ahead; a no is put on record when it has come")
        last = honour_by(plans.to_wall(received_at, case.site.zone).date())
        said = {"how": how, "received_at": received_at.isoformat(), "by": by, "honour_by": last.isoformat()}
        news = case.number.opted_out_at is None
        case.note(
            Action.OPT_OUT_RECORDED if news else Action.OPT_OUT_RECORDED_AGAIN, after=json.dumps(said), number=True
        )
        if news:
            store.people.mark_number(tx, case.reader.number_id, opted_out_at=now)
            sharing.tell_other_sites(tx, case.reader.number_id, now, what=Action.NUMBER_STOP, but=case.site.id)
        else:
            case.notes.append("this number had opted out before")
        if plans.to_wall(now, case.site.zone).date() > last:
            case.notes.append(f"the law wanted it honoured by {last}: tell your privacy officer")
        say_who_shares(case)
        changes = case.replan()
        changes.retracted += store.texts.suppress_queued(tx, case.reader.number_id, "opted_out")
        return OptedOut(changes, tuple(case.notes), last)

    return context.database.write(work, again=True)


def say_who_shares(case: ReaderCase) -> None:
    """Note that others are texted on this number too, where they may be known."""
    known = sharing.known_readers(case.context, case.tx, case.reader.number_id, {case.site.id})
    others = [one for one in known if one.id != case.reader.id]
    if others:
        case.notes.append(f"others are texted on this number too ({len(others)}); it holds for them as well")


# Family and others (S-10, L-48, L-52).


# A text that staff types.


# What people see.
