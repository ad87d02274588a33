"""The queue is the `texts` table. Everything that happens between due and answered happens here.

Rules of sending (DESIGN §6): a claim marks at most 5,000 opened rows ready and takes the earliest deadlines of one
sender (7); it locks texts and numbers together and never waits for a lock, so workers, STOP and reconcile cannot race
or deadlock (6); states move by conditional UPDATEs, and who moved nothing has lost (3).
"""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from reminders.lifecycle import RANK, State, further, heard, may, sources
from reminders.planner import Due, Reader, Visit
from reminders.plans import Lead, to_wall
from reminders.store.engine import Transaction
from reminders.store.ids import new_id, new_ref
from reminders.store.people import phone_of
from reminders.store.plans import visit_of, visit_rows
from reminders.store.schema import (
    IN_FLIGHT,
    READY,
    UNASKED,
    UNCERTAIN,
    UNREADABLE,
    UNSETTLED,
    WAITING,
    appointments,
    attempts,
    consents,
    is_one_of,
    numbers,
    patients,
    receipts,
    recipients,
    senders,
    sites,
    text_items,
    texts,
)
from reminders.store.sealing import DataKey, Place, Unreadable
from reminders.store.texts import gone, reader_of

log = logging.getLogger(__name__)

READY_AT_ONCE = 5_000
_LAST_WORD = ("delivered", "canceled", "read")  # after the others Twilio may still say that it was delivered
_FINAL = ("delivered", "undelivered", "failed", "canceled", "read")


def mark_ready(tx: Transaction, now: datetime) -> int:
    """Mark the texts whose moment has come as ready, 5,000 at most; how many."""
    opened = (
        sa.select(texts.c.id)
        .where(sa.text(WAITING), texts.c.due_at <= now)
        .order_by(texts.c.due_at)
        .limit(READY_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return tx.run(texts.update().where(texts.c.id.in_(opened)).values(ready=True))


def any_opened(tx: Transaction, now: datetime) -> bool:
    """Whether a text's moment has come that is not marked ready yet; flat in the number stored."""
    return tx.first(sa.select(texts.c.id).where(sa.text(WAITING), texts.c.due_at <= now).limit(1)) is not None


def any_ready(tx: Transaction) -> bool:
    """Whether any text waits to be claimed; flat in the number stored."""
    return tx.first(sa.select(texts.c.id).where(sa.text(READY)).limit(1)) is not None


def senders_with_work(tx: Transaction, now: datetime) -> list[int]:
    """The senders that have a ready text in its window and may send now."""
    ready = sa.select(texts.c.id).where(sa.text(READY), texts.c.sender_id == senders.c.id, texts.c.closes_at > now)
    query = (
        sa.select(senders.c.id)
        .join(sites, sites.c.id == senders.c.site_id)
        .where(sites.c.paused_at.is_(None))
        .where(sa.or_(senders.c.stopped_until.is_(None), senders.c.stopped_until <= now))
        .where(ready.exists())
        .order_by(senders.c.id)
    )
    return [row.id for row in tx.all(query)]


def has_no_pace(tx: Transaction, sender_id: int) -> bool:
    """Whether a sender has no limit, so that nothing need be reserved."""
    return bool(tx.value(sa.select(senders.c.segments_per_second <= 0).where(senders.c.id == sender_id)))


def reserve(tx: Transaction, sender_id: int, now: datetime, at_most: int) -> int:
    """Reserve up to one second of a sender's pace; how many texts of one segment may be claimed for it (rule 8).

    What is reserved and not used is lost. A pace of 0 means no limit.
    """
    row = tx.first(sa.select(senders).where(senders.c.id == sender_id).with_for_update(skip_locked=True))
    if row is None or (row.stopped_until is not None and row.stopped_until > now):
        return 0
    if row.segments_per_second <= 0:
        return at_most
    starts = max(now, row.next_free_at or now)
    if starts > now:
        return 0
    budget = min(at_most, max(1, int(row.segments_per_second)))
    free_at = starts + timedelta(seconds=budget / row.segments_per_second)
    tx.run(senders.update().where(senders.c.id == sender_id).values(next_free_at=free_at))
    return budget


@dataclass(frozen=True, slots=True)
class Claimed:
    """A claimed text, locked, with everything to judge, render and send it.

    The visits of `due` are those that still name the recipient.
    """

    text: int
    class_: str
    due: Due
    attempts: int
    closes_at: datetime
    number_id: int
    phone: str = field(repr=False)
    sender_id: int
    sender: str
    consent_id: int | None
    closures: frozenset[date]
    alias: str
    site_phone: str
    language: str
    data_key: DataKey


def claim(tx: Transaction, sender_id: int, limit: int, now: datetime) -> tuple[list[Claimed], list[int]]:
    """Lock up to `limit` ready texts of one sender, earliest deadline first, and read what they are judged on.

    Rows that somebody else holds are passed over. What hangs on a locked number (recipient, consent, visits) is read
    after the lock was had: whoever changes it holds that lock, so it is the state that holds when we commit. Second
    come the texts whose personal data does not open: they are not judged at all.
    """
    query = (
        sa.select(
            texts.c.id,
            texts.c["class"].label("class_"),
            texts.c.key,
            texts.c.day,
            texts.c.attempts,
            texts.c.closes_at,
            texts.c.recipient_id,
            numbers.c.id.label("number_id"),
            numbers.c.phone_sealed,
            numbers.c.opted_out_at,
            numbers.c.bad_since,
            numbers.c.wrong_since,
        )
        .join(numbers, numbers.c.id == texts.c.number_id)
        .join(sites, sites.c.id == texts.c.site_id)
        .where(sa.text(READY), texts.c.sender_id == sender_id, sites.c.paused_at.is_(None))
        .where(texts.c.closes_at > now + timedelta(seconds=1))  # less is no time to hand it over
        .order_by(texts.c.closes_at, texts.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True, of=[texts, numbers])
    )
    rows = tx.all(query)
    if not rows:
        return [], []
    people = _people(tx, {row.recipient_id for row in rows})
    tx.load_data_keys({person.key_id for person in people.values()})
    visits = _visits(tx, [row.id for row in rows])
    gone_to = gone(tx, {row.number_id for row in rows}, now - timedelta(days=9))
    address = tx.value(sa.select(senders.c.address).where(senders.c.id == sender_id))
    claimed, unreadable = [], []
    for row in rows:
        person = people[row.recipient_id]
        try:
            phone, data_key = phone_of(tx, row.number_id, row.phone_sealed), tx.data_key(person.key_id)
        except (Unreadable, LookupError):
            unreadable.append(row.id)
            continue
        claimed.append(
            Claimed(
                text=row.id,
                class_=row.class_,
                due=Due(
                    reader=_reader(row, person, now),
                    visits=tuple(visit for names, visit in visits.get(row.id, ()) if person.key in names),
                    day=row.day,
                    lead=Lead.parse(row.key.split(":", 2)[2]),
                    closes_at=row.closes_at,
                    gone=tuple(one.at for text, one in gone_to.get(row.number_id, ()) if text != row.id),
                    days=7 if row.key.startswith("week:") else 1,
                ),
                attempts=row.attempts,
                closes_at=row.closes_at,
                number_id=row.number_id,
                phone=phone,
                sender_id=sender_id,
                sender=address,
                consent_id=person.consent_id,
                closures=frozenset(map(date.fromisoformat, person.closures)),
                alias=person.alias,
                site_phone=person.site_phone,
                language=person.language,
                data_key=data_key,
            )
        )
    return claimed, unreadable


def _reader(row: Row[Any], person: Row[Any], now: datetime) -> Reader:
    return reader_of(
        recipient_id=row.recipient_id,
        role=person.role,
        zone=person.zone,
        guessed_zones=person.guessed_zones,
        digest=person.weekly_digest,
        texting=(person.texting_from, person.texting_to),
        site_quiet=(person.quiet_from, person.quiet_to),
        number_id=row.number_id,
        number=row,
        consent=person if person.said is not None else None,
        today=to_wall(now, person.site_zone).date(),
    )


def _people(tx: Transaction, recipient_ids: Collection[int]) -> dict[int, Row[Any]]:
    query = (
        sa.select(
            recipients.c.id,
            recipients.c.key,
            recipients.c.role,
            recipients.c.zone,
            recipients.c.guessed_zones,
            recipients.c.weekly_digest,
            recipients.c.texting_from,
            recipients.c.texting_to,
            recipients.c.language,
            recipients.c.consent_id,
            consents.c.said,
            consents.c.number_id,
            consents.c.categories,
            consents.c.expires_on,
            consents.c.warned_of_risk,
            consents.c.per_day,
            consents.c.per_week,
            patients.c.key_id,
            sites.c.alias,
            sites.c.phone.label("site_phone"),
            sites.c.zone.label("site_zone"),
            sites.c.closures,
            sites.c.quiet_from,
            sites.c.quiet_to,
        )
        .join(patients, patients.c.id == recipients.c.patient_id)
        .join(sites, sites.c.id == patients.c.site_id)
        .outerjoin(consents, consents.c.id == recipients.c.consent_id)
        .where(recipients.c.id.in_(recipient_ids))
    )
    return {row.id: row for row in tx.all(query)}


def _visits(tx: Transaction, text_ids: Sequence[int]) -> dict[int, list[tuple[list[str], Visit]]]:
    """Text → its visits, each with the recipients that its series names."""
    query = visit_rows(text_items.c.text_id).join(text_items, text_items.c.appointment_id == appointments.c.id)
    found: dict[int, list[tuple[list[str], Visit]]] = {}
    for row in tx.all(query.where(text_items.c.text_id.in_(text_ids))):
        found.setdefault(row.text_id, []).append((row.recipients, visit_of(row, first=False)))
    return found


@dataclass(frozen=True, slots=True)
class Intent:
    """The intent to send one claimed text, as it is written before the call."""

    claimed: Claimed
    body: str = field(repr=False)
    template: str
    language: str
    segments: int
    encoding: str


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt on record: what goes on the wire next."""

    attempt: int
    text: int
    number: int
    ref: str
    to: str = field(repr=False)
    sender: str
    sender_id: int
    number_id: int
    body: str = field(repr=False)
    closes_at: datetime
    started_at: datetime


def start(tx: Transaction, intents: Sequence[Intent], now: datetime, lease: timedelta) -> list[Started]:
    """Write one attempt for each intent and lease its text to us. Commit before calling Twilio."""
    if not intents:
        return []
    started = []
    rows = []
    for intent in intents:
        due, attempt_id = intent.claimed, new_id(now)
        one = Started(
            attempt=attempt_id,
            text=due.text,
            number=due.attempts + 1,
            ref=new_ref(),
            to=due.phone,
            sender=due.sender,
            sender_id=due.sender_id,
            number_id=due.number_id,
            body=intent.body,
            closes_at=due.closes_at,
            started_at=now,
        )
        started.append(one)
        rows.append(
            {
                "id": attempt_id,
                "text_id": due.text,
                "number": one.number,
                "ref": one.ref,
                "sender_id": due.sender_id,
                "number_id": due.number_id,
                "consent_id": due.consent_id,
                "started_at": now,
                "template": intent.template,
                "language": intent.language,
                "body_sealed": due.data_key.seal(Place("attempts", "body_sealed", attempt_id), intent.body),
                "segments": intent.segments,
                "encoding": intent.encoding,
            }
        )
    tx.run_many(attempts.insert(), rows)
    leased = tx.run(
        texts.update()
        .where(texts.c.id.in_([one.text for one in started]), texts.c.state == State.SCHEDULED.value)
        .values(state=State.SENDING.value, ready=False, leased_until=now + lease, attempts=texts.c.attempts + 1)
    )
    assert leased == len(started), "a text moved although it was locked"
    # Here, where the numbers are locked anyway; when the answers come in they are not.
    texted = {one.number_id for one in started}
    tx.run(numbers.update().where(numbers.c.id.in_(texted)).values(last_texted_at=now))
    return started


def which_started(tx: Transaction, refs: Sequence[str]) -> set[str]:
    """Which of these attempts are on record: asked after a COMMIT that failed (C8)."""
    return {row.ref for row in tx.all(sa.select(attempts.c.ref).where(attempts.c.ref.in_(refs)))}


def suppress(tx: Transaction, text_ids: Sequence[int], reason: str) -> int:
    """Claimed texts that do not go after all."""
    return tx.run(
        texts.update()
        .where(texts.c.id.in_(text_ids), texts.c.state == State.SCHEDULED.value)
        .values(state=State.SUPPRESSED.value, reason=reason, ready=False)
    )


def hold_unreadable(tx: Transaction, text_ids: Sequence[int]) -> int:
    """Claimed texts whose personal data does not open: out of the way of the others, and on the board."""
    return tx.run(
        texts.update()
        .where(texts.c.id.in_(text_ids), texts.c.state == State.SCHEDULED.value)
        .values(held="unreadable", ready=False)
    )


def release_unreadable(tx: Transaction, now: datetime) -> int:
    """Try them again: the key may be back."""
    return tx.run(texts.update().where(sa.text(UNREADABLE), texts.c.closes_at > now).values(held=None))


def put_off(tx: Transaction, text_ids: Sequence[int], until: datetime) -> int:
    """Claimed texts that may not go before `until`."""
    return tx.run(
        texts.update()
        .where(texts.c.id.in_(text_ids), texts.c.state == State.SCHEDULED.value)
        .values(due_at=until, ready=False)
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a call: `answer` is accepted, refused or unknown.

    For a refusal, `again_at` is when to try again, or None when it is for good. For an unknown answer `look_at` is
    when to look it up.
    """

    started: Started
    answer: str
    sid: str | None = None
    status: str | None = None
    segments: int | None = None
    error_code: int = 0
    what: str | None = None
    again_at: datetime | None = None
    look_at: datetime | None = None
    ask_at: datetime | None = None


def record(tx: Transaction, answers: Sequence[Answered], now: datetime) -> None:
    """Write down a batch of answers. Safe to repeat: an attempt that has its answer keeps it.

    A callback may have come first (C9), or the lease may have lapsed and the text moved on (C12): then its state stays
    and the sid is kept on the attempt as evidence. `attempts` on the text says whose answer still counts.
    """
    mine = attempts.update().where(attempts.c.id == sa.bindparam("attempt"))
    open_mine = texts.update().where(texts.c.id == sa.bindparam("text"), texts.c.attempts == sa.bindparam("number"))
    accepted = [one for one in answers if one.answer == "accepted"]
    refused = [one for one in answers if one.answer == "refused"]
    unknown = [one for one in answers if one.answer == "unknown"]
    # Texts before attempts, as everybody does who locks both.
    tx.run_many(
        open_mine.where(is_one_of(texts.c.state, sources(State.SENT))).values(
            state=State.SENT.value, ready=False, leased_until=None, reason=None, waits_code=None
        ),
        [{"text": one.started.text, "number": one.started.number} for one in accepted],
    )
    _move_refused(tx, refused)
    tx.run_many(
        open_mine.where(texts.c.state == State.SENDING.value).values(state=State.UNCERTAIN.value, leased_until=None),
        [{"text": one.started.text, "number": one.started.number} for one in unknown],
    )
    taken = _sids_of_others(tx, accepted)
    tx.run_many(
        mine.where(sa.or_(attempts.c.sid.is_(None), attempts.c.sid == sa.bindparam("the_sid"))).values(
            answer="accepted",
            answered_at=now,
            sid=sa.bindparam("the_sid"),
            status=sa.func.coalesce(attempts.c.status, sa.bindparam("the_status")),
            status_at=sa.func.coalesce(attempts.c.status_at, sa.bindparam("at", type_=attempts.c.status_at.type)),
            look_at=None,
            ask_at=sa.case(
                (is_one_of(attempts.c.status, _FINAL), None),
                else_=sa.bindparam("ask", type_=attempts.c.ask_at.type),
            ),
        ),
        [
            {
                "attempt": one.started.attempt,
                "the_sid": None if one.started.attempt in taken else one.sid,
                # An end is believed when it is told: by a callback, or when we ask.
                "the_status": one.status if one.status in RANK and one.status not in _FINAL else None,
                "at": now,
                "ask": one.ask_at,
            }
            for one in accepted
        ],
    )
    tx.run_many(
        mine.where(attempts.c.sid.is_(None)).values(
            answer="refused",
            answered_at=now,
            what=sa.bindparam("the_what"),
            error_code=sa.bindparam("code"),
            look_at=None,
        ),
        [{"attempt": one.started.attempt, "the_what": one.what, "code": one.error_code} for one in refused],
    )
    tx.run_many(
        mine.where(attempts.c.sid.is_(None), attempts.c.answer.is_(None)).values(
            answer="unknown",
            answered_at=now,
            what=sa.bindparam("the_what"),
            look_at=sa.bindparam("look", type_=attempts.c.look_at.type),
        ),
        [{"attempt": one.started.attempt, "the_what": one.what, "look": one.look_at} for one in unknown],
    )


def _sids_of_others(tx: Transaction, accepted: Sequence[Answered]) -> set[int]:
    """The attempts whose sid is another attempt's already. It must not be, and must not hold up the batch if it is."""
    owners = {
        row.sid: row.id
        for row in tx.all(
            sa.select(attempts.c.sid, attempts.c.id).where(attempts.c.sid.in_([one.sid for one in accepted]))
        )
    }
    others = set()
    for one in accepted:
        if one.sid is not None and owners.setdefault(one.sid, one.started.attempt) != one.started.attempt:
            log.error("attempt %d was given the sid of another", one.started.attempt)
            others.add(one.started.attempt)
    return others


def _move_refused(tx: Transaction, refused: Sequence[Answered]) -> None:
    still_mine = (
        texts.c.id == sa.bindparam("text"),
        texts.c.attempts == sa.bindparam("number"),
        is_one_of(texts.c.state, (State.SENDING, State.UNCERTAIN)),
    )
    tx.run_many(
        texts.update()
        .where(*still_mine)
        .values(
            state=State.SCHEDULED.value,
            leased_until=None,
            due_at=sa.bindparam("again", type_=texts.c.due_at.type),
            waits_code=sa.bindparam("code"),
        ),
        [
            {
                "text": one.started.text,
                "number": one.started.number,
                "again": one.again_at,
                "code": one.error_code,
            }
            for one in refused
            if one.again_at is not None
        ],
    )
    tx.run_many(
        texts.update().where(*still_mine).values(state=State.UNDELIVERED.value, leased_until=None),
        [{"text": one.started.text, "number": one.started.number} for one in refused if one.again_at is None],
    )


def stop_sender(tx: Transaction, sender_id: int, *, code: int, now: datetime, until: datetime) -> None:
    """Let a sender rest until then: the fault lies with it, the account or the line, not with any patient.

    One that rests already is left: fifty texts on the wire fail together, and that is one failure.
    """
    tx.run(
        senders.update()
        .where(senders.c.id == sender_id)
        .where(sa.or_(senders.c.stopped_until.is_(None), senders.c.stopped_until <= now))
        .values(stopped_until=until, stopped_code=code, stops=senders.c.stops + 1)
    )


def stops_of(tx: Transaction, sender_id: int) -> int:
    """How often in a row this sender had to rest."""
    return int(tx.value(sa.select(senders.c.stops).where(senders.c.id == sender_id)) or 0)


def free_sender(tx: Transaction, sender_ids: Collection[int], now: datetime) -> None:
    """These senders work again. One that was put to rest stays so: what was accepted was on the wire before."""
    tx.run(
        senders.update()
        .where(senders.c.id.in_(sender_ids), senders.c.stops > 0, senders.c.stopped_until <= now)
        .values(stopped_until=None, stopped_code=None, stops=0)
    )


def stopped_senders(tx: Transaction, now: datetime) -> Sequence[Row[Any]]:
    """The senders at rest, with the code that stopped them."""
    return tx.all(
        sa.select(senders.c.id, senders.c.stopped_until, senders.c.stopped_code).where(senders.c.stopped_until > now)
    )


# What became of it: receipts, look-ups, questions.


@dataclass(frozen=True, slots=True)
class Heard:
    """What somebody told us of an attempt: a callback, a look-up, or an answer to our question."""

    status: str
    error_code: int
    sid: str
    by: str
    raw: str = field(repr=False)


def attempt_by_ref(tx: Transaction, ref: str) -> Row[Any] | None:
    """The attempt whose callback address carries `ref`, with its text's number."""
    return tx.first(
        sa.select(attempts, texts.c.number_id.label("of_number"))
        .join(texts, texts.c.id == attempts.c.text_id)
        .where(attempts.c.ref == ref)
    )


def lock_text(tx: Transaction, text_id: Any) -> Row[Any]:
    """One text, locked. Numbers, texts, attempts: in this order everybody locks."""
    row = tx.first(sa.select(texts).where(texts.c.id == text_id).with_for_update())
    assert row is not None
    return row


def attempt_number(tx: Transaction, attempt_id: int) -> int:
    """Which of its text's attempts this is, from 1."""
    return int(tx.value(sa.select(attempts.c.number).where(attempts.c.id == attempt_id)))


def try_again(tx: Transaction, attempt_id: int, due_at: datetime, code: int) -> bool:
    """Queue a text that was not delivered for another try, if it still is useful then; whether it was queued."""
    tried = sa.select(attempts.c.text_id, attempts.c.number).where(attempts.c.id == attempt_id).subquery()
    return (
        tx.run(
            texts.update()
            .where(texts.c.id == sa.select(tried.c.text_id).scalar_subquery())
            .where(texts.c.attempts == sa.select(tried.c.number).scalar_subquery())
            .where(texts.c.state == State.UNDELIVERED.value, texts.c.closes_at > due_at)
            .values(state=State.SCHEDULED.value, due_at=due_at, waits_code=code)
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
        .join(recipients, recipients.c.id == texts.c.recipient_id)
        .join(patients, patients.c.id == recipients.c.patient_id)
        .where(attempts.c.id == attempt_id)
        .with_for_update(of=attempts)
    )
    assert row is not None
    receipt_id = new_id(now)
    fresh = tx.insert_new(
        receipts,
        {
            "id": receipt_id,
            "attempt_id": attempt_id,
            "status": told.status[:20],
            "error_code": told.error_code,
            "heard_at": now,
            "heard_by": told.by,
            "raw_sealed": tx.data_key(row.key_id).seal(Place("receipts", "raw_sealed", receipt_id), told.raw),
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
            texts.update()
            .where(texts.c.id == text.id, texts.c.state == text.state)
            .values(state=target.value, ready=False, leased_until=None, reason=None, waits_code=None)
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
        texts.update()
        .where(texts.c.id == sa.bindparam("text"), texts.c.state == State.SENDING.value)
        .where(texts.c.leased_until < now)
        .values(state=State.UNCERTAIN.value, leased_until=None),
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
    """Attempts to look up now; nobody else takes them before `busy_until`."""
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
    """The one resend that rule 5 allows: absent twice, and the window still open. Whether it was scheduled."""
    return (
        tx.run(
            texts.update()
            .where(texts.c.id == unsettled.text, texts.c.state == State.UNCERTAIN.value)
            .where(texts.c.attempts == unsettled.number, sa.not_(texts.c.resent), texts.c.closes_at > now)
            .values(state=State.SCHEDULED.value, resent=True, due_at=now)
        )
        == 1
    )


def take_unasked(tx: Transaction, now: datetime, busy_until: datetime, limit: int = 200) -> Sequence[Row[Any]]:
    """Accepted attempts whose end nobody told us yet, to be asked after now: id, sid, asks, answered_at, number_id."""
    rows = tx.all(
        sa.select(attempts.c.id, attempts.c.sid, attempts.c.asks, attempts.c.answered_at, attempts.c.number_id)
        .where(sa.text(UNASKED), attempts.c.ask_at <= now)
        .order_by(attempts.c.ask_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
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
        tx.run(
            texts.update()
            .where(texts.c.id == text_id, texts.c.state == State.SENT.value)
            .values(state=State.UNCONFIRMED.value)
        )


def expire(tx: Transaction, now: datetime, limit: int = 5000) -> int:
    """Texts whose window shut before they could be handed over; how many."""
    shut = (
        sa.select(texts.c.id)
        .where(sa.text("state = 'scheduled'"), texts.c.closes_at <= now)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return tx.run(
        texts.update()
        .where(texts.c.id.in_(shut), texts.c.state == State.SCHEDULED.value)
        .values(state=State.EXPIRED.value, ready=False, held=None)
    )


@dataclass(frozen=True, slots=True)
class Depth:
    """How the queue stands."""

    due: int
    oldest_due_at: datetime | None
    sending: int
    uncertain: int
    unreadable: int


def depth(tx: Transaction, now: datetime) -> Depth:
    """How many texts are due, in flight and uncertain."""
    due_at = sa.func.min(texts.c.due_at, type_=texts.c.due_at.type).label("oldest")
    counted = sa.select(sa.func.count().label("due"), due_at).select_from(texts)
    opened = tx.first(counted.where(sa.text(WAITING), texts.c.due_at <= now, texts.c.closes_at > now))
    ready = tx.first(counted.where(sa.text(READY), texts.c.closes_at > now))
    assert opened is not None
    assert ready is not None
    many = sa.select(sa.func.count()).select_from(texts)
    return Depth(
        due=opened.due + ready.due,
        oldest_due_at=min((at for at in (opened.oldest, ready.oldest) if at is not None), default=None),
        sending=tx.value(many.where(sa.text(IN_FLIGHT))),
        uncertain=tx.value(many.where(sa.text(UNCERTAIN))),
        unreadable=tx.value(many.where(sa.text(UNREADABLE))),
    )


def answer_counts(answers: Sequence[Answered]) -> Mapping[str, int]:
    """How many answers there are of each sort."""
    return {word: sum(one.answer == word for one in answers) for word in ("accepted", "refused", "unknown")}
