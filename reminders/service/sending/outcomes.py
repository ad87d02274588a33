"""What became of a text: receipts as Twilio brings them, look-ups of unknowns, questions about the silent ones."""

import asyncio
import json
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from functools import partial
from typing import TypeVar

from reminders import crash, planner, store
from reminders.app_context import AppContext
from reminders.plans import Category
from reminders.service import tasks
from reminders.service.sending import backlog
from reminders.service.sending.dispatch import ASK_AFTER
from reminders.service.sending.final_check import judge
from reminders.service.sending.recording import react_to_number, react_to_sender
from reminders.service.tasks import oncall
from reminders.service.tasks.isolation import OneByOne
from reminders.sms import Gateway, Seen, Unreachable, codes
from reminders.sms.receipts import Receipt
from reminders.store.operations.backup import DoubtedNumber
from reminders.store.sending.claims import Claimed, Intent
from reminders.store.sending.outcomes import Heard, Unasked, Unsettled
from reminders.task_kinds import ALL_LOOKED_UP, RESTORED, Happened

log = logging.getLogger(__name__)

T = TypeVar("T")

ASKED_AT_ONCE = 20
LISTED = 100  # texts in the story of a restore; `reminders restored` has them all
CLOCKS_DIFFER = timedelta(seconds=60)  # Twilio's clock and ours; its list is to the second
ASK_TIMES = (ASK_AFTER, timedelta(hours=1), timedelta(hours=24))  # after the answer (docs/design.md#the-life-of-a-text)


def receive(context: AppContext, ref: str, receipt: Receipt, form: dict[str, str], now: datetime) -> bool:
    """Take in one status callback: the receipt is stored first, then the state moves, in one transaction.

    False for a `ref` that is none of ours. Doubled and disordered ones change nothing. Raises Unavailable: the web
    process answers 503 then, and Twilio calls again.
    """

    def work(tx: store.Transaction) -> bool:
        attempt = store.outcomes.attempt_by_ref(tx, ref)
        if attempt is None:
            return False
        if attempt.sid is not None and receipt.sid and attempt.sid != receipt.sid:
            log.warning("a receipt names another message than attempt %d had", attempt.id)
        told = Heard(receipt.status, receipt.error_code, receipt.sid, "callback", json.dumps(form, sort_keys=True))
        hear(context, tx, attempt.id, attempt.number_id, told=told, now=now)
        crash.point("K9")
        return True

    return context.database.write(work, again=True)


def hear(
    context: AppContext, tx: store.Transaction, attempt_id: int, number_id: int, *, told: Heard, now: datetime
) -> bool:
    """Store what was heard of an attempt and do what it asks for; whether it was news."""
    code = codes.look_up(told.error_code) if told.error_code else None
    if code is not None and code.number:
        store.people.lock_numbers(tx, [number_id])  # before any text: the order that everyone keeps
    fresh = store.outcomes.hear(tx, attempt_id, told, now, ask_at=now + ASK_AFTER)
    if fresh and code is not None:
        react_to_number(tx, number_id, code, now)
        again_at = codes.again_at(code, codes.tries_spent(store.outcomes.tries_until(tx, attempt_id)), now)
        if again_at is not None and store.outcomes.try_again(tx, attempt_id, again_at, code.code):
            store.backup.doubt_again(tx, attempt_id, now)
        react_to_sender(context, tx, store.outcomes.sender_of_attempt(tx, attempt_id), code, now)
        oncall.tell_of_lost_answers(context, tx, now)
    return fresh


@dataclass(slots=True)
class Settled:
    """What one settling did (README.md#commands)."""

    released: int = 0
    found: int = 0
    uncertain: int = 0
    expired: int = 0
    unreachable: int = 0


async def settle(context: AppContext, gateway: Gateway, now: datetime) -> Settled:
    """Lapsed leases become uncertain, unknowns are looked up, shut windows expire (sending rule 5).

    Raises Unavailable. Twilio out of reach is no error: the look-up is made later, and proves nothing until then.
    """
    database = context.database
    rest = timedelta(seconds=context.settings.sending.settle_seconds)
    busy = timedelta(seconds=2 * context.settings.twilio.deadline_seconds)
    done = Settled()
    done.released = database.write(lambda tx: store.outcomes.release_lapsed(tx, now, rest), again=True)
    unsettled = database.write(lambda tx: store.outcomes.take_unsettled(tx, now, now + busy), again=True)
    answers = await _at_once([gateway.find(one.phone, since=one.started_at - CLOCKS_DIFFER) for one in unsettled])
    each = OneByOne(context, "settle", now)
    for one, seen in zip(unsettled, answers, strict=True):
        if seen is None:
            done.unreachable += 1
            continue
        decide = partial(database.write, partial(_decide, context, one=one, seen=seen, now=now), again=True)
        done.found += bool(each.do("text", one.text, decide, text_id=one.text))
    if database.read(store.backup.in_doubt):
        await _settle_doubts(context, gateway, now, done, each)
    while some := database.write(lambda tx: store.outcomes.expire(tx, now), again=True):
        done.expired += some
    database.write(lambda tx: tasks.tell_of_expired(tx, now), again=True)
    database.write(lambda tx: oncall.tell_of_lost_answers(context, tx, now), again=True)
    done.uncertain = database.read(lambda tx: store.queue.depth(tx, now)).uncertain
    database.checkpoint()
    each.finish()
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


def _decide(context: AppContext, tx: store.Transaction, *, one: Unsettled, seen: list[Seen], now: datetime) -> bool:
    """What a look-up means; whether the message was found.

    Twilio's list can prove that a text was taken, never that it was not, so it is asked twice, far apart, before the
    one resend; and with `never-resend`, or no window left to resend in, the text stays uncertain for a person.
    """
    store.outcomes.lock_text(tx, one.text)
    taken = store.outcomes.sids_taken(tx, [message.sid for message in seen])
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
        crash.point("K11")
        told = Heard(match.status, match.error_code or 0, match.sid, "look-up", json.dumps({"sid": match.sid}))
        hear(context, tx, one.attempt, one.number_id, told=told, now=now)
        return True
    settle_for = timedelta(seconds=context.settings.sending.settle_seconds)
    looks = one.looks + 1
    again_at: datetime | None = None
    if looks == 1:
        again_at = now + 2 * settle_for  # at three times the first wait
    elif looks == 2:
        again_at = min(now + 9 * settle_for, one.closes_at)  # give up at twelve times, or when the window shuts
    if again_at is not None and again_at <= now:
        again_at = None
    may_resend = looks >= 2 and context.settings.sending.on_unknown == "look-up"
    if store.outcomes.looked(tx, one, again_at) and may_resend and store.outcomes.send_again(tx, one, now):
        store.backup.doubt_again(tx, one.attempt, now)
    return False


async def _settle_doubts(context: AppContext, gateway: Gateway, now: datetime, done: Settled, each: OneByOne) -> None:
    """After a restore: find at Twilio what went since the backup, before any sender sends again (K13, F32)."""
    database = context.database
    busy = timedelta(seconds=2 * context.settings.twilio.deadline_seconds)
    database.write(lambda tx: _sweep(tx, now), again=True)
    while numbers := database.write(lambda tx: store.backup.take_doubts(tx, now, now + busy), again=True):
        since = database.read(store.backup.all_marks)[store.backup.SINCE] - CLOCKS_DIFFER
        phones = database.read(partial(_phones, numbers=numbers))
        answers = await _at_once([gateway.find(phone, since=since) for phone in phones.values()])
        for number_id, seen in zip(phones, answers, strict=True):
            if seen is None:
                done.unreachable += 1
            else:
                decide = partial(_decide_doubts, context, number_id=number_id, seen=seen, now=now)
                done.found += each.do("number", number_id, partial(database.write, decide)) or 0
    database.write(lambda tx: _end_doubts(context, tx, now), again=True)


def _phones(tx: store.Transaction, *, numbers: Sequence[DoubtedNumber]) -> dict[int, str]:
    phones = {}
    for row in numbers:
        try:
            phones[row.id] = store.people.phone_of(tx, row.id, row.phone_sealed)
        except (store.Unreadable, LookupError):
            log.error("number %d cannot be looked up: it does not open", row.id)  # ruff: ignore[error-instead-of-exception]  its text may be personal
    return phones


def _sweep(tx: store.Transaction, now: datetime) -> None:
    """Once, when every inbound text since the backup is in: what was laid down since may have gone before as well.

    Answers to texts that were answered then, plans that were imported again, texts that a START brought back.
    """
    marks = store.backup.all_marks(tx)
    if store.backup.GUARD not in marks or store.backup.SWEPT in marks:
        return
    if store.backup.all_heard(tx, marks[store.backup.RESTORED]):
        store.backup.doubt(tx, store.backup.QUEUED, now)
        store.backup.set_mark(tx, store.backup.SWEPT, now)


def _decide_doubts(
    context: AppContext, tx: store.Transaction, *, number_id: int, seen: list[Seen], now: datetime
) -> int:
    """What Twilio's list means for the texts of a number that are in doubt; how many of them were found.

    A message that reads as a text would have read when the message was made is that text. Where there is none at all,
    twice, the texts did not go. Where there is one that nothing explains, a person decides.
    """
    store.people.lock_numbers(tx, [number_id])
    waiting = {row.id: row for row in store.backup.doubts_about(tx, number_id)}
    until = store.backup.all_marks(tx)[store.backup.RESTORED] + CLOCKS_DIFFER
    taken = store.outcomes.sids_taken(tx, [message.sid for message in seen])
    found, unexplained = 0, 0
    for message in reversed(seen):  # the oldest first
        if message.sid in taken or message.is_answer or message.created_at > until:
            continue
        intent = next(filter(None, (_as_said(context, tx, text_id, message) for text_id in waiting)), None)
        if intent is None:
            unexplained += 1
            continue
        text_id = intent.claimed.text
        del waiting[text_id]
        store.backup.settle(tx, [text_id])
        store.backup.reopen(tx, text_id, message.created_at)
        (started,) = store.claims.start(tx, [intent], message.created_at, CLOCKS_DIFFER)
        told = Heard(message.status, message.error_code or 0, message.sid, "look-up", json.dumps({"sid": message.sid}))
        hear(context, tx, started.attempt, number_id, told=told, now=now)
        found += 1
    again_at = now + timedelta(seconds=context.settings.sending.settle_seconds)
    for row in waiting.values():
        first = row.looks == 0
        cleared = not first and not unexplained
        store.backup.looked_for(tx, row.id, row.looks + 1, again_at if first else None, cleared=cleared)
    return found


def _as_said(context: AppContext, tx: store.Transaction, text_id: int, message: Seen) -> Intent | None:
    """The intent to send this text as it would have been written when `message` was made, if the message is it.

    Tried out and rolled back. Whether it may go now is not asked: a STOP since then did not keep it from going.
    """
    for at in (message.created_at, message.created_at - CLOCKS_DIFFER):  # "today" may have begun in between
        with tx.tried_out():
            store.backup.reopen(tx, text_id, at)
            claimed, _ = store.claims.claim_these(tx, [text_id], at)
            for one in claimed:
                for verified in (True, False):
                    intents, _ = judge(context, tx, [_unhindered(one, verified=verified)], at)
                    if intents and (intents[0].body, one.sender) == (message.body, message.sender):
                        return intents[0]
    return None


def _unhindered(one: Claimed, *, verified: bool) -> Claimed:
    def at_ease(reader: planner.Reader) -> planner.Reader:
        return replace(
            reader,
            quiet=(planner.QuietHours(time(0), time(0)),),
            consented=True,
            categories=frozenset(Category),
            opted_out=False,
            number_bad=False,
            verified=verified,
        )

    due, unplanned = one.due, one.unplanned
    if due is not None:
        due = replace(due, reader=at_ease(due.reader), gone=())
    if unplanned is not None and unplanned.reader is not None:
        unplanned = replace(unplanned, reader=at_ease(unplanned.reader))
    return replace(one, due=due, unplanned=unplanned, held=False, closures=frozenset())


def _end_doubts(context: AppContext, tx: store.Transaction, now: datetime) -> None:
    """Let go what did not go after all; the senders send again once nothing is looked for any more."""
    marks = store.backup.all_marks(tx)
    guarded = store.backup.GUARD in marks
    store.backup.hold_doubted(tx)
    if guarded and (store.backup.SWEPT not in marks or store.backup.are_open(tx)):
        return
    at_most = context.settings.sending.backlog if guarded else 0
    released, piled_up = store.backup.release(tx, now, late_since=now - backlog.OUTAGE, at_most=at_most)
    if piled_up:
        backlog.tell(context, tx, piled_up, now)
    left = store.backup.how_many(tx)[1]
    if guarded:
        store.backup.wake_senders(tx, now)
        store.backup.forget_mark(tx, store.backup.GUARD)
        log.warning("after the restore: %d texts had not gone and go now, %d wait for a person", released, left)
        task_id = tell_of_restore(tx, now)
        store.tasks.add_event(tx, task_id, now, Happened.LOOKED_UP, {"went": released, "left": left})
        for one in store.backup.left(tx)[:LISTED]:
            store.tasks.add_event(tx, task_id, now, Happened.UNKNOWN_TEXT, text_id=one.text)
    if not left:
        store.tasks.close_by_key(tx, [RESTORED.key()], ALL_LOOKED_UP, now)


def tell_of_restore(tx: store.Transaction, now: datetime) -> int:
    """The task that a restore opens; its number."""
    site = store.people.all_sites(tx)[0]
    task_id, _ = store.tasks.open_task(tx, RESTORED, site_id=site.id, zone=site.zone, now=now)
    return task_id


async def ask(context: AppContext, gateway: Gateway, now: datetime) -> int:
    """Ask Twilio after accepted texts of whose end no one told us: 15 min, 1 h and 24 h on; how many were asked.

    After the last question without a final word the text is `unconfirmed`: that is all anyone knows.
    """
    busy = timedelta(seconds=2 * context.settings.twilio.deadline_seconds)
    silent = context.database.write(lambda tx: store.outcomes.take_unasked(tx, now, now + busy), again=True)
    answers = await _at_once([_fetch(gateway, row.sid) for row in silent])
    each = OneByOne(context, "ask", now)
    for row, answer in zip(silent, answers, strict=True):
        if answer is not None:
            note = partial(_note_asked, context, row=row, seen=answer.seen, now=now)
            each.do("attempt", row.id, partial(context.database.write, note, again=True))
    each.finish()
    return len(silent)


@dataclass(frozen=True, slots=True)
class _Fetched:
    seen: Seen | None


async def _fetch(gateway: Gateway, sid: str | None) -> _Fetched:
    """What Twilio knows of a message; nothing where we never learnt its sid. Raises Unreachable."""
    return _Fetched(await gateway.fetch(sid) if sid is not None else None)


def _note_asked(context: AppContext, tx: store.Transaction, *, row: Unasked, seen: Seen | None, now: datetime) -> None:
    crash.point("K10")
    following = row.asks + 1
    next_at = row.answered_at + ASK_TIMES[following] if following < len(ASK_TIMES) else None
    if seen is not None:
        told = Heard(seen.status, seen.error_code or 0, seen.sid, "asking", json.dumps({"sid": seen.sid}))
        hear(context, tx, row.id, row.number_id, told=told, now=now)
        if (price := store.costs.price_of(seen.price)) is not None:
            store.costs.note_price(tx, row.id, price)
    store.outcomes.asked(tx, row.id, row.asks, next_at)
