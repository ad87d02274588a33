"""A patient's numbers: a new phone, one verified by hand, a wrong one. Nothing here lifts a STOP (L-17)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reminders import plans, store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.service.people import sharing
from reminders.service.people.consents import (
    ask_for_consent,
    read_consent,
    say_who_shares,
    take_consent,
)
from reminders.service.people.reader_case import Done, ReaderCase, Refused, Whom, open_case
from reminders.task_kinds import KINDS, NEW_NUMBER, RIGHT_NUMBER, UNVERIFIED, VERIFIED_BY_STAFF, WRONG_NUMBER, About


def new_number(
    context: AppContext,
    whom: Whom,
    phone: str,
    now: datetime,
    *,
    who: str,
    consent: Mapping[str, Any] | None = None,
    by_hand: bool = False,
) -> Done | None:
    """Give a reader a new phone number: the old one gets nothing more of theirs from this moment on.

    `phone` in any format; `consent` as a plan's [consent] has it, given for the new number (L-50). Without it nothing
    goes and someone is asked to take it; with it the new number gets its welcome. Others on the old one keep theirs.
    A yes that would not count is kept with a note; `by_hand` it is refused at the box that is missing. None where there
    is no such patient or recipient. Raises PlanRefused for what cannot be read, and Refused.
    """

    def work(tx: store.Transaction) -> Done | None:
        known = context.known(tx, now, whom.site)
        number_id = store.people.keep_number(tx, plans.read_phone(phone, known), now)
        case = open_case(context, tx, whom, now, number_id, who=who)
        if case is None:
            return None
        old = case.reader.number_id
        if old == number_id:
            raise Refused("this is their number already")
        given = read_consent(case, consent, by_hand=by_hand)
        others = {one.number_id for one in store.people.recipients_of(tx, case.patient.id) if one.key != whom.recipient}
        if number_id in others:
            case.notes.append("someone else who gets this patient's texts has the same number")
        was, becomes = (store.people.phone_of(tx, one, case.numbers[one].phone_sealed) for one in (old, number_id))
        case.reader = store.people.keep_recipient(
            tx, patient_id=case.patient.id, key=whom.recipient, now=now, number_id=number_id
        )
        case.note(Action.NUMBER_CHANGED, before=was, after=becomes)
        _close_for_number(case, old)
        if given is not None:
            take_consent(case, given)
        else:
            case.notes.append("no consent for the new number is on record, so nothing goes; there is a task to take it")
        case.tell_what_stands_in_the_way()
        changes = case.replan(old)
        changes.retracted += store.texts.retract_queued(tx, [case.reader.id], old)
        if given is None:
            ask_for_consent(case)
        return case.done(changes)

    return context.database.write(work, again=True)


def _close_for_number(case: ReaderCase, old: int) -> None:
    """What was to be done about the old number is done, as far as this reader goes."""
    keys = [UNVERIFIED.key(recipient_id=case.reader.id, number_id=old)]
    if not store.people.recipients_on(case.tx, [old]):
        standing = store.attention.open_tasks_on(case.tx, old)
        keys += [task.key for task in standing if NEW_NUMBER in KINDS[task.kind].closed_by]
    store.tasks.close_by_key(case.tx, keys, NEW_NUMBER, case.now)


def verify(context: AppContext, whom: Whom, how: str, now: datetime, *, who: str) -> Done | None:
    """Put on record that staff made sure of a reader's number, such as by reading the welcome text aloud (L-39)."""

    def work(tx: store.Transaction) -> Done | None:
        case = open_case(context, tx, whom, now, who=who)
        if case is None:
            return None
        if case.number.wrong_since is not None:
            raise Refused("this number is marked as a wrong one; undo that first")
        if store.people.verify_number(tx, case.reader.number_id, now):
            case.note(Action.NUMBER_VERIFIED, after=how, number=True)
        on_it = store.people.recipients_on(tx, [case.reader.number_id])
        about = [About(recipient_id=one.id, number_id=case.reader.number_id) for one in on_it]
        store.tasks.close_all(tx, VERIFIED_BY_STAFF, now, about)
        case.tell_what_stands_in_the_way()
        return case.done(case.replan())

    return context.database.write(work, again=True)


def mark_wrong(context: AppContext, whom: Whom, now: datetime, *, who: str, wrong: bool = True) -> Done | None:
    """Say that a reader's number is someone else's, or with `wrong` false that it is theirs after all.

    A wrong one gets nothing more, and someone is asked for the right one.
    """

    def work(tx: store.Transaction) -> Done | None:
        case = open_case(context, tx, whom, now, who=who)
        if case is None:
            return None
        if (case.number.wrong_since is not None) == wrong:
            raise Refused(
                "this number is marked as a wrong one already" if wrong else "this number is not marked wrong"
            )
        number_id = case.reader.number_id
        store.people.mark_number(tx, number_id, wrong_since=now if wrong else None)
        case.note(Action.NUMBER_IS_WRONG if wrong else Action.NUMBER_IS_RIGHT_AFTER_ALL, number=True)
        if wrong:
            store.tasks.open_task(
                tx,
                WRONG_NUMBER,
                site_id=case.site.id,
                zone=case.site.zone,
                now=now,
                patient_id=case.patient.id,
                number_id=number_id,
            )
            say_who_shares(case)
            sharing.tell_other_sites(tx, number_id, now, what=Action.NUMBER_IS_WRONG, but=case.site.id)
        else:
            sites = [one.site_id for one in store.people.sites_on(tx, number_id)]
            about = [About(number_id=number_id, at_site=site) for site in (None, *sites)]
            store.tasks.close_all(tx, RIGHT_NUMBER, now, about)
            case.tell_what_stands_in_the_way()
        changes = case.replan()
        if wrong:
            changes.retracted += store.texts.suppress_queued(tx, number_id, "number_bad")
        return case.done(changes)

    return context.database.write(work, again=True)
