"""What became of a text: receipts as Twilio brings them, look-ups of unknowns, questions about the silent ones."""

import asyncio
import json
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from reminders import store
from reminders.service.house import House
from reminders.service.sending import ASK_AFTER, react_to_number
from reminders.sms import Gateway, Seen, Unreachable, codes
from reminders.sms.receipts import Receipt
from reminders.store.queue import Heard, Unsettled

log = logging.getLogger(__name__)

T = TypeVar("T")

ASKED_AT_ONCE = 20
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
    fresh = store.queue.hear(tx, attempt_id, told, now, ask_at=now + ASK_AFTER)
    if fresh and code is not None:
        if about_number:
            react_to_number(tx, number_id, code, now)
        elif code.class_ == "retry" and code.retry_after is not None:
            attempt = store.queue.attempt_number(tx, attempt_id)
            if code.tries is None or attempt < code.tries:
                store.queue.try_again(tx, attempt_id, now + timedelta(seconds=code.retry_after), code.code)
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
    unsettled = database.write(lambda tx: store.queue.take_unsettled(tx, now, now + busy), again=True)
    answers = await _at_once([gateway.find(one.phone, since=one.started_at - CLOCKS_DIFFER) for one in unsettled])
    for one, seen in zip(unsettled, answers, strict=True):
        if seen is None:
            done.unreachable += 1
        elif database.write(partial(_decide, house, one=one, seen=seen, now=now), again=True):
            done.found += 1
    done.expired = database.write(lambda tx: store.queue.expire(tx, now), again=True)
    done.uncertain = database.read(lambda tx: store.queue.depth(tx, now)).uncertain
    database.checkpoint()
    return done


async def _at_once(questions: Sequence[Coroutine[None, None, T]]) -> list[T | None]:
    """Ask Twilio all of these, some at a time; None where it could not be asked."""
    places = asyncio.Semaphore(ASKED_AT_ONCE)

    async def one(question: Coroutine[None, None, T]) -> T | None:
        async with places:
            try:
                return await question
            except Unreachable:
                return None

    return await asyncio.gather(*map(one, questions))


def _decide(house: House, tx: store.Transaction, *, one: Unsettled, seen: list[Seen], now: datetime) -> bool:
    """What a look-up means; whether the message was found.

    Twilio's list can prove that a text was taken, never that it was not, so it is asked twice, far apart, before the
    one resend; and with `never-resend`, or no window left to resend in, the text stays uncertain for a person.
    """
    store.queue.lock_text(tx, one.text)
    taken = store.queue.sids_taken(tx, [message.sid for message in seen])
    match = next(
        (
            message
            for message in reversed(seen)  # the oldest that fits: it was there first
            if message.body == one.body
            and message.sender == one.sender
            and message.sid not in taken
            # What came with the next attempt is that one's, even if it reads the same.
            and (one.followed_at is None or message.created_at < one.followed_at - CLOCKS_DIFFER)
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
    answers = await _at_once([_fetch(gateway, row.sid) for row in silent])
    for row, answer in zip(silent, answers, strict=True):
        if answer is not None:
            house.database.write(partial(_note_asked, row=row, seen=answer.seen, now=now), again=True)
    return len(silent)


@dataclass(frozen=True, slots=True)
class _Fetched:
    seen: Seen | None


async def _fetch(gateway: Gateway, sid: str | None) -> _Fetched:
    """What Twilio knows of a message; nothing where we never learnt its sid. Raises Unreachable."""
    return _Fetched(await gateway.fetch(sid) if sid is not None else None)


def _note_asked(tx: store.Transaction, *, row: store.Row[Any], seen: Seen | None, now: datetime) -> None:
    following = row.asks + 1
    next_at = row.answered_at + ASK_TIMES[following] if following < len(ASK_TIMES) else None
    if seen is not None:
        told = Heard(seen.status, seen.error_code or 0, seen.sid, "asking", json.dumps({"sid": seen.sid}))
        hear(tx, row.id, row.number_id, told, now)
    store.queue.asked(tx, row.id, row.asks, next_at)
