"""What became of a text: receipts, look-ups of unknowns, questions about the silent ones, windows that shut.

Any order and any repetition of what we hear ends the same (`lifecycle.heard`). Lock texts before attempts.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from reminders.lifecycle import State, further, heard, may
from reminders.store.database.engine import Transaction
from reminders.store.database.ids import first_id, new_id
from reminders.store.database.record_check import never_null
from reminders.store.database.schema import (
    IN_FLIGHT,
    UNASKED,
    UNSETTLED,
    attempts,
    numbers,
    patients,
    receipts,
    recipients,
    senders,
    sites,
    texts,
)
from reminders.store.database.sealing import Place, Unreadable
from reminders.store.people import phone_of
from reminders.store.planning.texts import give_up, move
from reminders.store.records import TextRow

log = logging.getLogger(__name__)

_LAST_WORD = ("delivered", "canceled", "read")  # after the others Twilio may still say that it was delivered


@dataclass(frozen=True, slots=True)
class Heard:
    """What someone told us of an attempt: a callback, a look-up, or an answer to our question."""

    status: str
    error_code: int
    sid: str
    by: str
    raw: str = field(repr=False)


class NamedAttempt(NamedTuple):
    """An attempt by its `ref`: whether Twilio named it yet, and the number that it went to."""

    id: int
    sid: str | None
    number_id: int


def attempt_by_ref(tx: Transaction, ref: str) -> NamedAttempt | None:
    """The attempt whose callback address carries `ref`."""
    query = sa.select(attempts.c.id, attempts.c.sid, attempts.c.number_id).where(attempts.c.ref == ref)
    return tx.first_as(NamedAttempt, query)


def lock_text(tx: Transaction, text_id: int | sa.ScalarSelect[int]) -> TextRow:
    """One text, locked. Numbers, texts, attempts: in this order everyone locks."""
    row = tx.first_as(TextRow, sa.select(texts).where(texts.c.id == text_id).with_for_update())
    assert row is not None
    return row


def tries_until(tx: Transaction, attempt_id: int) -> list[tuple[str | None, int | None]]:
    """The answer and the error code of each attempt of a text, up to this one."""
    this = sa.select(attempts.c.text_id, attempts.c.number).where(attempts.c.id == attempt_id).subquery()
    earlier = sa.and_(attempts.c.text_id == this.c.text_id, attempts.c.number <= this.c.number)
    query = sa.select(attempts.c.answer, attempts.c.error_code).select_from(this).join(attempts, earlier)
    return [(row.answer, row.error_code) for row in tx.all(query)]


def sender_of_attempt(tx: Transaction, attempt_id: int) -> int:
    """The sender an attempt went by."""
    return int(tx.value(sa.select(attempts.c.sender_id).where(attempts.c.id == attempt_id)))


@dataclass(frozen=True, slots=True)
class Try:
    """What came of one try: Twilio's answer (accepted, refused, unknown; None for none yet) and the code it met."""

    answer: str | None
    error_code: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """A text with its tries, and whose it is: what a person goes by who decides whether it is tried again."""

    id: int
    state: str
    closes_at: datetime
    attempts: tuple[Try, ...]
    number_id: int
    site_id: int
    site: str
    site_zone: str
    patient_id: int | None
    patient: str | None
    recipient: str | None


def ended(tx: Transaction, text_ids: Collection[int], places: Collection[int] | None) -> list[Ended]:
    """Those of these texts that belong to these sites (None: all), each with its tries in order."""
    query = (
        sa.select(
            texts.c.id,
            texts.c.state,
            texts.c.closes_at,
            texts.c.number_id,
            texts.c.site_id,
            sites.c.key.label("site"),
            sites.c.zone.label("site_zone"),
            patients.c.id.label("patient_id"),
            patients.c.ref.label("patient"),
            recipients.c.key.label("recipient"),
        )
        .join(sites, sites.c.id == texts.c.site_id)
        .outerjoin(recipients, recipients.c.id == texts.c.recipient_id)
        .outerjoin(patients, patients.c.id == recipients.c.patient_id)
        .where(texts.c.id.in_(text_ids))
    )
    if places is not None:
        query = query.where(texts.c.site_id.in_(places))
    tries: dict[int, list[Try]] = {}
    made = sa.select(attempts.c.text_id, attempts.c.answer, attempts.c.error_code)
    for row in tx.all(made.where(attempts.c.text_id.in_(text_ids)).order_by(attempts.c.number)):
        tries.setdefault(row.text_id, []).append(Try(row.answer, row.error_code))
    return [Ended(attempts=tuple(tries.get(row.id, ())), **row._mapping) for row in tx.all(query)]


def try_again(tx: Transaction, attempt_id: int, due_at: datetime, code: int) -> bool:
    """Queue a text that was not delivered for another try, if it still is useful then; whether it was queued."""
    tried = sa.select(attempts.c.text_id, attempts.c.number).where(attempts.c.id == attempt_id).subquery()
    return (
        tx.run(
            move(State.SCHEDULED, only=(State.UNDELIVERED,))
            .where(texts.c.id == sa.select(tried.c.text_id).scalar_subquery())
            .where(texts.c.attempts == sa.select(tried.c.number).scalar_subquery())
            .where(texts.c.closes_at > due_at)
            .values(due_at=due_at, waits_code=code)
        )
        == 1
    )


def hear(tx: Transaction, attempt_id: int, told: Heard, now: datetime, ask_at: datetime) -> bool:
    """Store a receipt and let the text move; whether it was news.

    Any order and any repetition ends the same (`lifecycle.heard`). The first receipt of an attempt without an answer
    is also its answer, whatever it says: Twilio took it, and is asked at `ask_at` how it ended.
    """
    text_id = sa.select(attempts.c.text_id).where(attempts.c.id == attempt_id).scalar_subquery()
    text = lock_text(tx, text_id)
    row = tx.first(
        sa.select(attempts, patients.c.key_id)
        .join(texts, texts.c.id == attempts.c.text_id)
        .outerjoin(recipients, recipients.c.id == texts.c.recipient_id)
        .outerjoin(patients, patients.c.id == recipients.c.patient_id)
        .where(attempts.c.id == attempt_id)
        .with_for_update(of=attempts)
    )
    assert row is not None
    receipt_id = new_id(now)
    data_key = tx.data_key(row.key_id) if row.key_id is not None else None
    fresh = tx.insert_new(
        receipts,
        {
            "id": receipt_id,
            "attempt_id": attempt_id,
            "status": told.status[:20],
            "error_code": told.error_code,
            "heard_at": now,
            "heard_by": told.by,
            "raw_sealed": tx.seal(Place("receipts", "raw_sealed", receipt_id), told.raw, data_key),
        },
    )
    if not fresh:
        return False
    status = further(row.status, told.status)
    values: dict[str, Any] = {}
    its_answer = row.answer != "accepted"
    if its_answer:
        values |= {"answer": "accepted", "answered_at": now, "look_at": None, "ask_at": ask_at}
    if row.sid is None and told.sid and not sids_taken(tx, [told.sid]):
        values["sid"] = told.sid
    if status != row.status:
        values |= {"status": status, "status_at": now, "error_code": told.error_code}
    if status in _LAST_WORD:
        values["ask_at"] = None
    if values:
        tx.run(attempts.update().where(attempts.c.id == attempt_id).values(**values))
    latest = text.attempts == row.number
    target = heard(State(text.state), before=row.status, status=told.status, latest=latest)
    if target is None and its_answer and latest and may(State(text.state), State.SENT):
        target = State.SENT
    if target is not None:
        tx.run(
            move(target, only=(text.state,))
            .where(texts.c.id == text.id)
            .values(ready=False, leased_until=None, reason=None, waits_code=None)
        )
    return True


def release_lapsed(tx: Transaction, now: datetime, settle: timedelta, limit: int = 1000) -> int:
    """Texts whose worker never came back: `uncertain` from now on, to be looked up; how many."""
    rows = tx.all(
        sa.select(texts.c.id, texts.c.attempts, texts.c.leased_until)
        .where(sa.text(IN_FLIGHT), texts.c.leased_until < now)
        .order_by(texts.c.leased_until)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    tx.run_many(
        attempts.update()
        .where(attempts.c.text_id == sa.bindparam("text"), attempts.c.number == sa.bindparam("which"))
        .where(attempts.c.answer.is_(None))
        .values(
            answer="unknown", what="no answer recorded", look_at=sa.bindparam("look", type_=attempts.c.look_at.type)
        ),
        [{"text": row.id, "which": row.attempts, "look": row.leased_until + settle} for row in rows],
    )
    tx.run_many(
        move(State.UNCERTAIN, only=(State.SENDING,))
        .where(texts.c.id == sa.bindparam("text"), texts.c.leased_until < now)
        .values(leased_until=None),
        [{"text": row.id} for row in rows],
    )
    return len(rows)


@dataclass(frozen=True, slots=True)
class Unsettled:
    """An attempt of which we do not know whether Twilio took it."""

    attempt: int
    text: int
    number: int
    number_id: int
    phone: str = field(repr=False)
    sender: str
    body: str = field(repr=False)
    started_at: datetime
    followed_at: datetime | None  # when the text's next attempt began, if there was one
    closes_at: datetime
    looks: int


def take_unsettled(tx: Transaction, now: datetime, busy_until: datetime, limit: int = 200) -> list[Unsettled]:
    """Attempts to look up now; no one else takes them before `busy_until`."""
    following = attempts.alias("following")
    rows = tx.all(
        sa.select(
            attempts,
            texts.c.closes_at,
            senders.c.address,
            numbers.c.phone_sealed,
            sa.select(following.c.started_at)
            .where(following.c.text_id == attempts.c.text_id, following.c.number == attempts.c.number + 1)
            .scalar_subquery()
            .label("followed_at"),
        )
        .join(texts, texts.c.id == attempts.c.text_id)
        .join(senders, senders.c.id == attempts.c.sender_id)
        .join(numbers, numbers.c.id == attempts.c.number_id)
        .where(sa.text(UNSETTLED), attempts.c.look_at <= now)
        .order_by(attempts.c.look_at)
        .limit(limit)
        .with_for_update(of=attempts, skip_locked=True)
    )
    tx.run(attempts.update().where(attempts.c.id.in_([row.id for row in rows])).values(look_at=busy_until))
    found = []
    for row in rows:
        try:
            phone = phone_of(tx, row.number_id, row.phone_sealed)
            body = tx.open(Place("attempts", "body_sealed", row.id), row.body_sealed)
        except (Unreadable, LookupError):
            log.error("attempt %d cannot be looked up: its personal data does not open", row.id)  # ruff: ignore[error-instead-of-exception]  its text may be personal
            continue
        found.append(
            Unsettled(
                attempt=row.id,
                text=row.text_id,
                number=row.number,
                number_id=row.number_id,
                phone=phone,
                sender=row.address,
                body=body,
                started_at=row.started_at,
                followed_at=row.followed_at,
                closes_at=row.closes_at,
                looks=row.looks,
            )
        )
    return found


def sids_taken(tx: Transaction, sids: Collection[str]) -> set[str]:
    """Which of these messages already belong to an attempt of ours."""
    return {row.sid for row in tx.all(sa.select(attempts.c.sid).where(attempts.c.sid.in_(sids)))}


def looked(tx: Transaction, unsettled: Unsettled, look_again_at: datetime | None) -> bool:
    """Note that a look-up found nothing; False when the attempt was settled meanwhile."""
    return (
        tx.run(
            attempts.update()
            .where(attempts.c.id == unsettled.attempt, attempts.c.sid.is_(None), attempts.c.answer == "unknown")
            .where(attempts.c.looks == unsettled.looks)
            .values(looks=unsettled.looks + 1, look_at=look_again_at)
        )
        == 1
    )


def send_again(tx: Transaction, unsettled: Unsettled, now: datetime) -> bool:
    """The one resend that sending rule 5 allows: absent twice, and the window still open. Whether it was scheduled."""
    return (
        tx.run(
            move(State.SCHEDULED, only=(State.UNCERTAIN,))
            .where(texts.c.id == unsettled.text)
            .where(texts.c.attempts == unsettled.number, sa.not_(texts.c.resent), texts.c.closes_at > now)
            .values(resent=True, due_at=now)
        )
        == 1
    )


class Unasked(NamedTuple):
    """An accepted attempt of whose end no one told us; `asks` is how often we asked."""

    id: int
    sid: str | None
    asks: int
    answered_at: datetime
    number_id: int


def take_unasked(tx: Transaction, now: datetime, busy_until: datetime, limit: int = 200) -> list[Unasked]:
    """Accepted attempts whose end no one told us yet, to be asked after now."""
    rows = tx.all_as(
        Unasked,
        sa.select(
            *(attempts.c.id, attempts.c.sid, attempts.c.asks), never_null(attempts.c.answered_at), attempts.c.number_id
        )
        .where(sa.text(UNASKED), attempts.c.ask_at <= now)
        .order_by(attempts.c.ask_at)
        .limit(limit)
        .with_for_update(skip_locked=True),
    )
    tx.run(attempts.update().where(attempts.c.id.in_([row.id for row in rows])).values(ask_at=busy_until))
    return rows


def asked(tx: Transaction, attempt_id: int, asks: int, ask_again_at: datetime | None) -> None:
    """Note that we asked; with no further time to ask and no final word, the text is `unconfirmed`."""
    noted = tx.run(
        attempts.update()
        .where(attempts.c.id == attempt_id, attempts.c.asks == asks, attempts.c.ask_at.is_not(None))
        .values(asks=asks + 1, ask_at=ask_again_at)
    )
    if noted and ask_again_at is None:
        text_id = tx.value(sa.select(attempts.c.text_id).where(attempts.c.id == attempt_id))
        tx.run(move(State.UNCONFIRMED).where(texts.c.id == text_id))


def expire(tx: Transaction, now: datetime, limit: int = 1000) -> int:
    """Texts whose window shut before they could be handed over; how many.

    Of those that may have gone before a restore it is not known yet (K13).
    """
    shut = (
        sa.select(texts.c.id)
        .where(sa.text("state = 'scheduled'"), texts.c.closes_at <= now)
        .where(sa.or_(texts.c.held.is_(None), texts.c.held != "restored"))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return tx.run(give_up(State.EXPIRED).where(texts.c.id.in_(shut)))


# For the health page. Ids grow with time, so the newest rows stand at the end of the primary key.


def last_callback(tx: Transaction) -> datetime | None:
    """When a callback came last."""
    newest = sa.select(receipts.c.heard_at).where(receipts.c.heard_by == "callback")
    at: datetime | None = tx.value(newest.order_by(receipts.c.id.desc()).limit(1))
    return at


def last_accepted(tx: Transaction) -> datetime | None:
    """When Twilio took a text last."""
    newest = sa.select(attempts.c.answered_at).where(attempts.c.answer == "accepted")
    at: datetime | None = tx.value(newest.order_by(attempts.c.id.desc()).limit(1))
    return at


def unanswered_since(tx: Transaction, before: datetime, after: datetime) -> int:
    """How many texts Twilio took before `before` although no callback came after `after`: 0 where one did."""
    heard = last_callback(tx)
    since = after if heard is None else max(heard, after)
    query = sa.select(sa.func.count()).select_from(attempts).where(attempts.c.id >= first_id(since - _ASKED_FOR))
    taken = attempts.c.answered_at > since, attempts.c.answered_at < before, attempts.c.answer == "accepted"
    return int(tx.value(query.where(*taken)) or 0)


_ASKED_FOR = timedelta(minutes=10)  # an attempt has its answer by then


class AcceptedText(NamedTuple):
    """A text that Twilio took: by which sender, and what was heard of it since."""

    sender_id: int
    status: str | None
    error_code: int


def latest_accepted(tx: Transaction, since: datetime, limit: int) -> list[AcceptedText]:
    """The latest texts that Twilio took since then, the newest first."""
    newest = sa.select(attempts.c.sender_id, attempts.c.status, attempts.c.error_code)
    newest = newest.where(attempts.c.id >= first_id(since), attempts.c.answer == "accepted")
    return tx.all_as(AcceptedText, newest.order_by(attempts.c.id.desc()).limit(limit))


class TwilioAnswer(NamedTuple):
    """Twilio's answer to an attempt."""

    answer: str
    error_code: int


def latest_answers(tx: Transaction, since: datetime, limit: int) -> list[TwilioAnswer]:
    """Twilio's latest answers since then, the newest first."""
    newest = sa.select(never_null(attempts.c.answer), attempts.c.error_code).where(attempts.c.id >= first_id(since))
    return tx.all_as(
        TwilioAnswer, newest.where(attempts.c.answer.is_not(None)).order_by(attempts.c.id.desc()).limit(limit)
    )
