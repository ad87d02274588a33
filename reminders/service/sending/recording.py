"""What came of the calls: it is written down, and what it says of the number, the sender or the line is acted on."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from reminders import crash, store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.service.people import sharing
from reminders.service.tasks import oncall
from reminders.sms import codes
from reminders.store.sending.answers import Answered
from reminders.task_kinds import SENDER_FAULT, TEXTS_GO_AGAIN, About, Happened

LONGEST_REST = 300  # seconds
NO_CONNECTION = "no connection"


def record(context: AppContext, answers: Sequence[Answered], now: datetime) -> None:
    """Write down a batch of answers and do what they ask for. Safe to repeat."""
    context.database.write(lambda tx: write_down(context, tx, answers, now), again=True)
    crash.point("K8")


def write_down(context: AppContext, tx: store.Transaction, answers: Sequence[Answered], now: datetime) -> None:
    """The same within a transaction that does more."""
    refused = [  # What we did not even try, since its lease or window ran out, has no code and says nothing of anyone.
        (one, codes.look_up(one.error_code))
        for one in answers
        if one.answer == "refused" and (one.error_code or one.what == NO_CONNECTION)
    ]
    theirs = {one.started.number_id for one, code in refused if code.number}
    if theirs:
        store.people.lock_numbers(tx, theirs)  # before any text: the order that everyone keeps
    store.answers.record(tx, answers, now)
    for one, code in refused:
        react_to_number(tx, one.started.number_id, code, now)
    for one, code in refused:
        react_to_sender(context, tx, one.started.sender_id, code, now)
    if any(one.started.answers_danger and one.answer != "accepted" for one in answers):
        oncall.tell_of_lost_answers(context, tx, now)
    # One that rests since the text was claimed stays so: what is accepted now was on the wire before.
    working = {one.started.sender_id for one in answers if one.answer == "accepted" and one.started.sender_rested}
    if working and store.queue.free_sender(tx, working, now):
        store.tasks.close_all(tx, TEXTS_GO_AGAIN, now, [About(sender_id=sender) for sender in working])


def react_to_number(tx: store.Transaction, number_id: int, code: codes.Code, now: datetime) -> None:
    """What an error code says about the number itself: no more texts to it, whoever it belongs to."""
    if code.number == "opted_out":  # 21610: Twilio's list and ours agree (L-12)
        store.people.opt_out(tx, number_id, now)
        store.texts.suppress_queued(tx, number_id, "opted_out")
        sharing.tell_other_sites(tx, number_id, now, what=Action.NUMBER_STOP, but=None)
    elif code.number == "bad":
        store.people.mark_number(tx, number_id, bad_since=now, bad_code=code.code)
        store.texts.suppress_queued(tx, number_id, "number_bad")
        sharing.tell_other_sites(tx, number_id, now, what=Action.NUMBER_IS_BAD, but=None)


def react_to_sender(
    context: AppContext, tx: store.Transaction, sender_id: int, code: codes.Code, now: datetime
) -> None:
    """What an error code says about the sender or the account: it rests, and no patient pays for it.

    Ops are paged once, until it works again, where only a person can mend it.
    """
    if code.rests_sender is not None:
        rest = min(LONGEST_REST, code.rests_sender * 2 ** min(10, store.queue.stops_of(tx, sender_id)))
        store.queue.stop_sender(tx, sender_id, code=code.code, now=now, until=now + timedelta(seconds=rest))
    if not code.pages_ops:
        return
    site = store.people.site_of_sender(tx, sender_id)
    task_id, fresh = store.tasks.open_task(
        tx, SENDER_FAULT, site_id=site.id, zone=site.zone, now=now, sender_id=sender_id
    )
    if fresh:
        store.tasks.add_event(tx, task_id, now, Happened.STOPPED, {"code": code.code})
        oncall.ring(context, tx, task_id, now)
