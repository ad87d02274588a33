"""What came of the calls: it is written down, and what it says of the number, the sender or the line is acted on."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from reminders import crash, store
from reminders.service import oncall, sharing
from reminders.service.house import House
from reminders.sms import codes
from reminders.store.answers import Answered

NO_CONNECTION_REST = 5.0  # seconds; doubled each time in a row, up to LONGEST_REST
FAULT_REST = 60.0
VOLUME_REST = 5.0  # the first back-off after a 429 is at most 10 s (README.md#settings)
LONGEST_REST = 300.0
SENDER_AT_FAULT = {"account", "sender", "volume"}


def record(house: House, answers: Sequence[Answered], now: datetime) -> None:
    """Write down a batch of answers and do what they ask for. Safe to repeat."""
    house.database.write(lambda tx: write_down(house, tx, answers, now), again=True)
    crash.point("K8")


def write_down(house: House, tx: store.Transaction, answers: Sequence[Answered], now: datetime) -> None:
    """The same within a transaction that does more."""
    refused = [(one, codes.look_up(one.error_code)) for one in answers if one.answer == "refused" and one.error_code]
    theirs = {one.started.number_id for one, code in refused if code.class_ in {"opted_out", "number"}}
    if theirs:
        store.people.lock_numbers(tx, theirs)  # before any text: the order that everybody keeps
    store.answers.record(tx, answers, now)
    for one, code in refused:
        react_to_number(tx, one.started.number_id, code, now)
    for one, code in refused:
        if code.class_ in SENDER_AT_FAULT:
            _rest(tx, one, VOLUME_REST if code.class_ == "volume" else FAULT_REST, now)
        if code.class_ in {"sender", "account"}:
            sender_at_fault(house, tx, one.started.sender_id, code, now)
    for one in answers:
        if one.what == "no connection":
            _rest(tx, one, NO_CONNECTION_REST, now)
    if any(one.started.answers_danger and one.answer != "accepted" for one in answers):
        oncall.tell_of_lost_answers(house, tx, now)
    # One that rests since the text was claimed stays so: what is accepted now was on the wire before.
    working = {one.started.sender_id for one in answers if one.answer == "accepted" and one.started.sender_rested}
    if working and store.queue.free_sender(tx, working, now):
        keys = [f"sender_fault:{sender}" for sender in working]
        store.tasks.close_by_key(tx, keys, now, outcome="not_needed", why="texts go out again")


def react_to_number(tx: store.Transaction, number_id: int, code: codes.Code, now: datetime) -> None:
    """What an error code says about the number itself: no more texts to it, whoever it belongs to."""
    if code.class_ == "opted_out":  # 21610: Twilio's list and ours agree (L-12)
        store.people.opt_out(tx, number_id, now)
        store.texts.suppress_queued(tx, number_id, "opted_out")
        sharing.tell_other_sites(tx, number_id, now, what="number stop", but=None)
    elif code.class_ == "number":
        store.people.mark_number(tx, number_id, bad_since=now, bad_code=code.code)
        store.texts.suppress_queued(tx, number_id, "number_bad")
        sharing.tell_other_sites(tx, number_id, now, what="number is bad", but=None)


def sender_at_fault(house: House, tx: store.Transaction, sender_id: int, code: codes.Code, now: datetime) -> None:
    """The fault lies with a sender or the account: no patient pays for it. Ops are paged once, until it works again."""
    until = now + timedelta(seconds=FAULT_REST)
    store.queue.stop_sender(tx, sender_id, code=code.code, now=now, until=until)
    task_id, fresh = store.tasks.open_task(
        tx,
        kind="sender_fault",
        key=f"sender_fault:{sender_id}",
        urgency="urgent",
        site_id=store.people.site_of_sender(tx, sender_id).id,
        now=now,
        due_at=now + timedelta(minutes=30),
    )
    if fresh:
        store.tasks.add_event(
            tx, task_id, now, what="stopped", who="the service", detail=f"{code.meaning} (code {code.code})"
        )
        oncall.ring(house, tx, task_id, now)


def _rest(tx: store.Transaction, one: Answered, first: float, now: datetime) -> None:
    """Let the sender rest: no patient's tries are spent on a fault of ours or of the line."""
    rest = min(LONGEST_REST, first * 2 ** min(10, store.queue.stops_of(tx, one.started.sender_id)))
    until = now + timedelta(seconds=rest)
    store.queue.stop_sender(tx, one.started.sender_id, code=one.error_code, now=now, until=until)
