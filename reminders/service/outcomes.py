"""What became of a text: receipts as Twilio brings them, look-ups of unknowns, questions about the silent ones."""

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from reminders import store
from reminders.service.house import House
from reminders.service.sending import ASK_AFTER, react_to_number
from reminders.sms import Gateway, Seen, Unreachable, codes
from reminders.sms.receipts import Receipt
from reminders.store.queue import Heard, Unsettled

log = logging.getLogger(__name__)

CLOCKS_DIFFER = timedelta(seconds=60)  # Twilio's clock and ours; its list is to the second
ASK_TIMES = (ASK_AFTER, timedelta(hours=1), timedelta(hours=24))  # after the answer (DESIGN §3: silent ones)


def receive(house: House, ref: str, receipt: Receipt, form: dict[str, str], now: datetime) -> bool:
    """Take in one status callback: the receipt is stored first, then the state moves, in one transaction.

    False for a `ref` that is none of ours. Doubled and disordered ones change nothing. Raises Unavailable: the web
    process answers 503 then, and Twilio calls again.
    """

    def work(tx: store.Transaction) -> bool:
        attempt = store.queue.attempt_by_ref(tx, ref)
        if attempt is None:
            return False
        if attempt.sid is not None and receipt.sid and attempt.sid != receipt.sid:
            log.warning("a receipt names another message than attempt %d had", attempt.id)
        told = Heard(receipt.status, receipt.error_code, receipt.sid, "callback", json.dumps(form, sort_keys=True))
        hear(tx, attempt.id, attempt.number_id, told, now)
        return True

    return house.database.write(work, again=True)


def hear(tx: store.Transaction, attempt_id: int, number_id: int, told: Heard, now: datetime) -> bool:
    """Store what was heard of an attempt and do what it asks for; whether it was news."""
    code = codes.look_up(told.error_code) if told.error_code else None
    about_number = code is not None and code.class_ in {"opted_out", "number"}
    if about_number:
        store.people.lock_numbers(tx, [number_id])  # before any text: the order that everybody keeps
    fresh = store.queue.hear(tx, attempt_id, told, now)
    if fresh and about_number and code is not None:
        react_to_number(tx, number_id, code, now)
    return fresh


@dataclass(slots=True)
class Settled:
    """What one settling did (CONTRACT: settle)."""

    released: int = 0
    found: int = 0
    uncertain: int = 0
    expired: int = 0
    unreachable: int = 0


async def settle(house: House, gateway: Gateway, now: datetime) -> Settled:
    """Lapsed leases become uncertain, unknowns are looked up, shut windows expire (DESIGN §6.5).

    Raises Unavailable. Twilio out of reach is no error: the look-up is made later, and proves nothing until then.
    """
    database = house.database
    rest = timedelta(seconds=house.settings.sending.settle_seconds)
    busy = timedelta(seconds=house.settings.twilio.deadline_seconds + 30)
    done = Settled()
    done.released = database.write(lambda tx: store.queue.release_lapsed(tx, now, rest), again=True)
    for one in database.write(lambda tx: store.queue.take_unsettled(tx, now, now + busy), again=True):
        try:
            seen = await gateway.find(one.phone, since=one.started_at - CLOCKS_DIFFER)
        except Unreachable:
            done.unreachable += 1
            continue
        if database.write(lambda tx, one=one, seen=seen: _decide(house, tx, one, seen, now), again=True):  # type: ignore[misc]  # mypy cannot see the defaults
            done.found += 1
    done.expired = database.write(lambda tx: store.queue.expire(tx, now), again=True)
    done.uncertain = database.read(lambda tx: store.queue.depth(tx, now)).uncertain
    database.checkpoint()
    return done


def _decide(house: House, tx: store.Transaction, one: Unsettled, seen: list[Seen], now: datetime) -> bool:
    """What a look-up means; whether the message was found.

    Twilio's list can prove that a text was taken, never that it was not, so it is asked twice, far apart, before the
    one resend; and with `never-resend`, or no window left to resend in, the text stays uncertain for a person.
    """
    taken = store.queue.sids_taken(tx, [message.sid for message in seen])
    match = next(
        (
            message
            for message in reversed(seen)  # the oldest that fits: it was there first
            if message.body == one.body and message.sender == one.sender and message.sid not in taken
        ),
        None,
    )
    if match is not None:
        told = Heard(match.status, match.error_code or 0, match.sid, "look-up", json.dumps({"sid": match.sid}))
        hear(tx, one.attempt, one.number_id, told, now)
        return True
    settle_for = timedelta(seconds=house.settings.sending.settle_seconds)
    looks = one.looks + 1
    again_at: datetime | None = None
    if looks == 1:
        again_at = now + 2 * settle_for  # at three times the first wait
    elif looks == 2:
        again_at = min(now + 9 * settle_for, one.closes_at)  # give up at twelve times, or when the window shuts
    if again_at is not None and again_at <= now:
        again_at = None
    if store.queue.looked(tx, one, again_at) and looks >= 2 and house.settings.sending.on_unknown == "look-up":
        store.queue.send_again(tx, one, now)
    return False


async def ask(house: House, gateway: Gateway, now: datetime) -> int:
    """Ask Twilio after accepted texts of whose end nobody told us: 15 min, 1 h and 24 h on; how many were asked.

    After the last question without a final word the text is `unconfirmed`: that is all anybody knows.
    """
    busy = timedelta(seconds=house.settings.twilio.deadline_seconds + 30)
    silent = house.database.write(lambda tx: store.queue.take_unasked(tx, now, now + busy), again=True)
    for row in silent:
        try:
            seen = await gateway.fetch(row.sid)
        except Unreachable:
            continue
        following = row.asks + 1
        next_at = row.answered_at + ASK_TIMES[following] if following < len(ASK_TIMES) else None

        def note(tx: store.Transaction, row=row, seen=seen, next_at=next_at) -> None:  # type: ignore[no-untyped-def]  # ruff: ignore[missing-type-function-argument]  bound by the loop
            if seen is not None:
                told = Heard(seen.status, seen.error_code or 0, seen.sid, "asking", json.dumps({"sid": seen.sid}))
                hear(tx, row.id, row.number_id, told, now)
            store.queue.asked(tx, row.id, row.asks, next_at)

        house.database.write(note, again=True)
    return len(silent)
