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

from reminders.lifecycle import RANK, State, sources
from reminders.planner import Due, Gone, Reader, Unplanned, Visit, sort_of
from reminders.plans import Lead, to_wall
from reminders.store import tasks
from reminders.store.engine import Transaction
from reminders.store.ids import new_id, new_ref
from reminders.store.people import phone_of
from reminders.store.plans import visit_of, visit_rows
from reminders.store.schema import (
    IN_FLIGHT,
    READY,
    UNCERTAIN,
    UNREADABLE,
    WAITING,
    Instant,
    appointments,
    attempts,
    consents,
    is_one_of,
    numbers,
    patients,
    recipients,
    senders,
    sites,
    text_items,
    texts,
)
from reminders.store.sealing import DataKey, Place, Unreadable
from reminders.store.sets import among, given
from reminders.store.texts import gone, reader_of

log = logging.getLogger(__name__)

READY_AT_ONCE = 5_000
USEFUL = timedelta(seconds=1)  # less is no time to hand a text over
IN_DANGER = ("crisis", "overdose")  # answers of which a person is told when they do not arrive
ANY_LANGUAGE = "en"  # where nobody said which; an answer to a stranger in danger goes in both
_FINAL = ("delivered", "undelivered", "failed", "canceled", "read")


_NOW = sa.bindparam("now", type_=Instant())


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


@dataclass(frozen=True, slots=True)
class Scan:
    """What there is to do: whether a text's moment has come that is not marked ready yet; and the senders that have a
    ready text in its window and may send now, each with whether it has no pace.
    """

    opened: bool
    senders: list[tuple[int, bool]]


def scan(tx: Transaction, now: datetime) -> Scan:
    """Look for work; flat in the number stored."""
    found = tx.first(_ANYTHING, {"now": now})
    assert found is not None
    return Scan(found.opened, [(row.id, row.no_pace) for row in tx.all(_WORKING, {"now": now})] if found.ready else [])


def senders_with_work(tx: Transaction, now: datetime) -> list[int]:
    """The senders that have a ready text in its window and may send now."""
    return [row.id for row in tx.all(_WORKING, {"now": now})]


# Statements that run for every claim are made once: making one anew costs as much as running it.
_ANYTHING = sa.select(
    sa.select(texts.c.id).where(sa.text(WAITING), texts.c.due_at <= _NOW).exists().label("opened"),
    sa.select(texts.c.id).where(sa.text(READY)).exists().label("ready"),
)
_WORKING = (
    sa.select(senders.c.id, (senders.c.segments_per_second <= 0).label("no_pace"))
    .join(sites, sites.c.id == senders.c.site_id)
    .where(sites.c.paused_at.is_(None))
    .where(sa.or_(senders.c.stopped_until.is_(None), senders.c.stopped_until <= _NOW))
    .where(
        sa.select(texts.c.id)
        .where(sa.text(READY), texts.c.sender_id == senders.c.id, texts.c.closes_at > _NOW)
        .exists()
    )
    .order_by(senders.c.id)
)


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

    `due` is judged for a reminder, `unplanned` for every other text. The visits of either are those that still name the
    recipient. `data_key` is None for a number that is nobody's: then the sealing keys seal.
    """

    text: int
    class_: str
    due: Due | None
    unplanned: Unplanned | None
    wording: str | None
    typed: str | None = field(repr=False)
    was: datetime | None  # a notice: the wall clock that its reader knew
    per_week: int | None
    held: bool  # somebody on this number, or its patient, may be in danger (C-12)
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
    line24: str
    language: str
    reader_zone: str
    site_id: int
    patient_id: int | None
    data_key: DataKey | None


def claim(tx: Transaction, sender_id: int, limit: int, now: datetime) -> tuple[list[Claimed], list[int]]:
    """Lock up to `limit` ready texts of one sender, earliest deadline first, and read what they are judged on.

    Rows that somebody else holds are passed over. What hangs on a locked number (recipient, consent, visits) is read
    after the lock was had: whoever changes it holds that lock, so it is the state that holds when we commit. Second
    come the texts whose personal data does not open: they are not judged at all.
    """
    rows = tx.all(_READY_ONES, {"sender": sender_id, "useful_at": now + USEFUL, "at_most": limit})
    return _claimed(tx, rows, now)


def claim_these(tx: Transaction, text_ids: Collection[int], now: datetime) -> tuple[list[Claimed], list[int]]:
    """The same for these texts, out of their turn: an answer that somebody may be waiting for in danger."""
    rows = tx.all(_THESE_ONES, {"ids": list(text_ids), "useful_at": now + USEFUL, "now": now})
    return _claimed(tx, rows, now)


_CLAIMABLE = (
    sa.select(
        texts.c.id,
        texts.c["class"].label("class_"),
        texts.c.key,
        texts.c.day,
        texts.c.attempts,
        texts.c.closes_at,
        texts.c.recipient_id,
        texts.c.sender_id,
        texts.c.site_id,
        texts.c.wording,
        texts.c.language,
        texts.c.body_sealed,
        texts.c.tells,
        texts.c.was,
        texts.c.released_at,
        numbers.c.id.label("number_id"),
        numbers.c.phone_sealed,
        numbers.c.opted_out_at,
        numbers.c.bad_since,
        numbers.c.wrong_since,
        numbers.c.verified_at,
    )
    .join(numbers, numbers.c.id == texts.c.number_id)
    .join(sites, sites.c.id == texts.c.site_id)
    .where(sites.c.paused_at.is_(None))
    .where(texts.c.closes_at > sa.bindparam("useful_at", type_=texts.c.closes_at.type))
    .with_for_update(skip_locked=True, of=[texts, numbers])
)
_READY_ONES = (
    _CLAIMABLE.where(sa.text(READY), texts.c.sender_id == sa.bindparam("sender"))
    .order_by(texts.c.closes_at, texts.c.id)
    .limit(sa.bindparam("at_most", type_=sa.Integer()))
)
_THESE_ONES = _CLAIMABLE.where(
    among(texts.c.id),
    texts.c.state == State.SCHEDULED.value,
    texts.c.held.is_(None),
    texts.c.due_at <= sa.bindparam("now", type_=texts.c.due_at.type),
)


def _claimed(tx: Transaction, rows: Sequence[Row[Any]], now: datetime) -> tuple[list[Claimed], list[int]]:
    if not rows:
        return [], []
    people = _people(tx, {row.recipient_id for row in rows if row.recipient_id is not None})
    tx.load_data_keys({person.key_id for person in people.values()})
    visits = _visits(tx, [row.id for row in rows])
    gone_to = gone(tx, {row.number_id for row in rows}, now - timedelta(days=9))
    crisis_numbers, crisis_patients = tasks.in_crisis(
        tx, {row.number_id for row in rows}, {person.patient_id for person in people.values()}
    )
    addresses = {row.id: row.address for row in tx.all(_ADDRESSES, {"ids": list({row.sender_id for row in rows})})}
    nobodys = _sites_of(tx, {row.site_id for row in rows if row.recipient_id is None})
    claimed, unreadable = [], []
    for row in rows:
        person = people[row.recipient_id] if row.recipient_id is not None else nobodys[row.site_id]
        to_somebody = row.recipient_id is not None
        try:
            phone = phone_of(tx, row.number_id, row.phone_sealed)
            data_key = tx.data_key(person.key_id) if to_somebody else None
            typed = tx.open(Place("texts", "body_sealed", row.id), row.body_sealed) if row.body_sealed else None
        except (Unreadable, LookupError):
            unreadable.append(row.id)
            continue
        reader = _reader(row, person, now) if to_somebody else None
        about = tuple(visit for names, visit in visits.get(row.id, ()) if not to_somebody or person.key in names)
        danger = row.number_id in crisis_numbers or (to_somebody and person.patient_id in crisis_patients)
        claimed.append(
            Claimed(
                text=row.id,
                class_=row.class_,
                due=_due(row, reader, about, gone_to) if reader is not None and row.class_ == "reminder" else None,
                unplanned=Unplanned(
                    sort=sort_of(row.class_, row.wording),
                    reader=reader,
                    visits=about,
                    tells=row.tells,
                    closes_at=row.closes_at,
                    opted_out=row.opted_out_at is not None,
                )
                if row.class_ != "reminder"
                else None,
                wording=row.wording,
                typed=typed,
                was=datetime.fromisoformat(row.was) if row.was else None,
                per_week=person.per_week if to_somebody else None,
                held=danger and row.released_at is None and row.class_ not in {"answer", "staff"},
                attempts=row.attempts,
                closes_at=row.closes_at,
                number_id=row.number_id,
                phone=phone,
                sender_id=row.sender_id,
                sender=addresses[row.sender_id],
                consent_id=person.consent_id if to_somebody else None,
                closures=frozenset(map(date.fromisoformat, person.closures)),
                alias=person.alias,
                site_phone=person.site_phone,
                line24=person.line24,
                language=row.language or (person.language if to_somebody else ANY_LANGUAGE),
                reader_zone=person.zone if to_somebody else person.site_zone,
                site_id=row.site_id,
                patient_id=person.patient_id if to_somebody else None,
                data_key=data_key,
            )
        )
    return claimed, unreadable


def _due(
    row: Row[Any], reader: Reader, visits: tuple[Visit, ...], gone_to: Mapping[int, Sequence[tuple[int, Gone]]]
) -> Due:
    return Due(
        reader=reader,
        visits=visits,
        day=row.day,
        lead=Lead.parse(row.key.split(":", 2)[2]),
        closes_at=row.closes_at,
        gone=tuple(one.at for text, one in gone_to.get(row.number_id, ()) if text != row.id),
        days=7 if row.key.startswith("week:") else 1,
    )


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


_SITE = (
    sites.c.alias,
    sites.c.phone.label("site_phone"),
    sites.c.line24,
    sites.c.zone.label("site_zone"),
    sites.c.closures,
    sites.c.quiet_from,
    sites.c.quiet_to,
)


def _sites_of(tx: Transaction, site_ids: Collection[int]) -> dict[int, Row[Any]]:
    if not site_ids:
        return {}
    return {row.id: row for row in tx.all(sa.select(sites.c.id, *_SITE).where(sites.c.id.in_(site_ids)))}


_ADDRESSES = sa.select(senders.c.id, senders.c.address).where(among(senders.c.id))
_PEOPLE = (
    sa.select(
        recipients.c.id,
        recipients.c.patient_id,
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
        *_SITE,
    )
    .join(patients, patients.c.id == recipients.c.patient_id)
    .join(sites, sites.c.id == patients.c.site_id)
    .outerjoin(consents, consents.c.id == recipients.c.consent_id)
    .where(among(recipients.c.id))
)


def _people(tx: Transaction, recipient_ids: Collection[int]) -> dict[int, Row[Any]]:
    return {row.id: row for row in tx.all(_PEOPLE, {"ids": list(recipient_ids)})} if recipient_ids else {}


_VISITS = (
    visit_rows(text_items.c.text_id)
    .join(text_items, text_items.c.appointment_id == appointments.c.id)
    .where(among(text_items.c.text_id))
)


def _visits(tx: Transaction, text_ids: Sequence[int]) -> dict[int, list[tuple[list[str], Visit]]]:
    """Text → its visits, each with the recipients that its series names."""
    found: dict[int, list[tuple[list[str], Visit]]] = {}
    for row in tx.all(_VISITS, {"ids": list(text_ids)}):
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
    answers_danger: bool = False  # somebody may be waiting for it in danger


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
            answers_danger=due.class_ == "answer" and due.wording in IN_DANGER,
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
                "body_sealed": tx.seal(Place("attempts", "body_sealed", attempt_id), intent.body, due.data_key),
                "segments": intent.segments,
                "encoding": intent.encoding,
            }
        )
    tx.run_many(attempts.insert(), rows)
    leased = tx.run(_LEASE, {"ids": [one.text for one in started], "until": now + lease})
    assert leased == len(started), "a text moved although it was locked"
    # Here, where the numbers are locked anyway; when the answers come in they are not.
    tx.run(_TEXTED, {"ids": list({one.number_id for one in started}), "at": now})
    return started


_LEASE = (
    texts.update()
    .where(among(texts.c.id), texts.c.state == State.SCHEDULED.value)
    .values(
        state=State.SENDING.value,
        ready=False,
        leased_until=sa.bindparam("until", type_=texts.c.leased_until.type),
        attempts=texts.c.attempts + 1,
    )
)
_TEXTED = (
    numbers.update()
    .where(among(numbers.c.id))
    .values(last_texted_at=sa.bindparam("at", type_=numbers.c.last_texted_at.type))
)


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


def hold(tx: Transaction, text_ids: Sequence[int], why: str) -> int:
    """Claimed texts that wait for a person: they stand on the board."""
    return tx.run(
        texts.update()
        .where(texts.c.id.in_(text_ids), texts.c.state == State.SCHEDULED.value)
        .values(held=why, ready=False)
    )


def let_go(tx: Transaction, number_ids: Collection[int], why: str, now: datetime) -> int:
    """Let the held texts to these numbers go on their way again, those that are still of use; how many."""
    held = texts.update().where(texts.c.number_id.in_(number_ids), sa.text("state = 'scheduled'"), texts.c.held == why)
    return tx.run(held.where(texts.c.closes_at > now).values(held=None))


def let_one_go(tx: Transaction, text_id: int, now: datetime) -> bool:
    """A person lets one held text go (C-12); whether it was held and is still of use."""
    held = texts.update().where(texts.c.id == text_id, sa.text("state = 'scheduled'"), texts.c.held == "crisis")
    return tx.run(held.where(texts.c.closes_at > now).values(held=None, released_at=now)) == 1


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
    and the sid is kept on the attempt as evidence.
    """
    accepted = [one for one in answers if one.answer == "accepted"]
    for_good = [one for one in answers if one.answer == "refused" and one.again_at is None]
    again = [one for one in answers if one.answer == "refused" and one.again_at is not None]
    unknown = [one for one in answers if one.answer == "unknown"]
    # Texts before attempts, as everybody does who locks both.
    for statement, some in ((_SENT, accepted), (_UNDELIVERED, for_good), (_WAITS, again), (_UNCERTAIN, unknown)):
        _write(tx, statement, some, now)
    for statement, some in ((_ACCEPTED, accepted), (_REFUSED, for_good + again), (_UNKNOWN, unknown)):
        _write(tx, statement, some, now, _sids_of_others(tx, some))


def _write(
    tx: Transaction,
    statement: sa.Executable,
    answers: Sequence[Answered],
    now: datetime,
    taken: Collection[int] = (),
) -> None:
    if not answers:
        return
    rows = [
        {
            "text": one.started.text,
            "number": one.started.number,
            "attempt": one.started.attempt,
            "sid": None if one.started.attempt in taken else one.sid,
            # An end is believed when it is told: by a callback, or when we ask.
            "status": one.status if one.status in RANK and one.status not in _FINAL else None,
            "what": one.what,
            "code": one.error_code,
            "again_at": one.again_at,
            "look_at": one.look_at,
            "ask_at": one.ask_at,
        }
        for one in answers
    ]
    tx.run(statement, {"given": rows, "now": now})


_GIVEN = given(
    text=sa.BigInteger(),
    number=sa.SmallInteger(),
    attempt=sa.BigInteger(),
    sid=sa.String(),
    status=sa.String(),
    what=sa.String(),
    code=sa.Integer(),
    again_at=Instant(),
    look_at=Instant(),
    ask_at=Instant(),
)
# `attempts` on the text says whose answer still counts.
_OF_TEXT = texts.update().where(texts.c.id == _GIVEN.c.text, texts.c.attempts == _GIVEN.c.number)
_OF_ATTEMPT = attempts.update().where(attempts.c.id == _GIVEN.c.attempt)
# What a receipt, or the same answer recorded before, has said already: the text may have gone further since, back into
# the queue if it was not delivered.
_KNOWN = (
    sa.select(attempts.c.id)
    .where(attempts.c.id == _GIVEN.c.attempt, attempts.c.answer == "accepted")
    .correlate(_GIVEN)
    .exists()
)
_STILL_MINE = _OF_TEXT.where(is_one_of(texts.c.state, (State.SENDING, State.UNCERTAIN)))

_SENT = _OF_TEXT.where(is_one_of(texts.c.state, sources(State.SENT)), sa.not_(_KNOWN)).values(
    state=State.SENT.value, ready=False, leased_until=None, reason=None, waits_code=None
)
_UNDELIVERED = _STILL_MINE.values(state=State.UNDELIVERED.value, leased_until=None)
_WAITS = _STILL_MINE.values(
    state=State.SCHEDULED.value, leased_until=None, due_at=_GIVEN.c.again_at, waits_code=_GIVEN.c.code
)
_UNCERTAIN = _OF_TEXT.where(texts.c.state == State.SENDING.value).values(state=State.UNCERTAIN.value, leased_until=None)
_ACCEPTED = _OF_ATTEMPT.where(sa.or_(attempts.c.sid.is_(None), attempts.c.sid == _GIVEN.c.sid)).values(
    answer="accepted",
    answered_at=_NOW,
    sid=_GIVEN.c.sid,
    status=sa.func.coalesce(attempts.c.status, _GIVEN.c.status),
    status_at=sa.func.coalesce(attempts.c.status_at, _NOW),
    look_at=None,
    ask_at=sa.case((is_one_of(attempts.c.status, _FINAL), None), else_=_GIVEN.c.ask_at),
)
_REFUSED = _OF_ATTEMPT.where(attempts.c.sid.is_(None)).values(
    answer="refused", answered_at=_NOW, what=_GIVEN.c.what, error_code=_GIVEN.c.code, look_at=None
)
_UNKNOWN = _OF_ATTEMPT.where(attempts.c.sid.is_(None), attempts.c.answer.is_(None)).values(
    answer="unknown", answered_at=_NOW, what=_GIVEN.c.what, look_at=_GIVEN.c.look_at
)
_GIVEN_SIDS = given(sid=sa.String())
_WITH_SIDS = sa.select(attempts.c.sid, attempts.c.id).where(attempts.c.sid.in_(sa.select(_GIVEN_SIDS.c.sid)))


def _sids_of_others(tx: Transaction, answers: Sequence[Answered]) -> set[int]:
    """The attempts whose sid is another attempt's already. It must not be, and must not hold up the batch if it is."""
    sids = [{"sid": one.sid} for one in answers if one.sid is not None]
    owners = {row.sid: row.id for row in tx.all(_WITH_SIDS, {"given": sids})} if sids else {}
    others = set()
    for one in answers:
        if one.sid is not None and owners.setdefault(one.sid, one.started.attempt) != one.started.attempt:
            log.error("attempt %d was given the sid of another", one.started.attempt)
            others.add(one.started.attempt)
    return others


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


def free_sender(tx: Transaction, sender_ids: Collection[int], now: datetime) -> int:
    """These senders work again; how many did not before.

    One that was put to rest stays so: what was accepted was on the wire before.
    """
    return tx.run(
        senders.update()
        .where(senders.c.id.in_(sender_ids), senders.c.stops > 0, senders.c.stopped_until <= now)
        .values(stopped_until=None, stopped_code=None, stops=0)
    )


def stopped_senders(tx: Transaction, now: datetime) -> Sequence[Row[Any]]:
    """The senders at rest, with the code that stopped them."""
    return tx.all(
        sa.select(senders.c.id, senders.c.stopped_until, senders.c.stopped_code).where(senders.c.stopped_until > now)
    )


# After an outage. What a patient asked for is not held: answers go whatever piled up.

_OVERDUE = sa.and_(
    sa.or_(sa.text(f"({WAITING})"), sa.text(READY)), texts.c["class"].in_(("reminder", "notice", "welcome"))
)


def overdue(tx: Transaction, now: datetime) -> int:
    """How many texts to which nobody is waiting for an answer are due and still of use."""
    query = sa.select(sa.func.count()).select_from(texts)
    return int(tx.value(query.where(_OVERDUE, texts.c.due_at <= now, texts.c.closes_at > now)))


def hold_overdue(tx: Transaction, now: datetime) -> int:
    """Hold them for a person; how many."""
    late = texts.update().where(_OVERDUE, texts.c.due_at <= now, texts.c.closes_at > now)
    return tx.run(late.values(held="backlog", ready=False))


def backlog(tx: Transaction) -> Sequence[Row[Any]]:
    """What is held since an outage, by the hour in which it stops being of use: closes_at, many."""
    hour = texts.c.closes_at
    query = sa.select(hour, sa.func.count().label("many")).where(sa.text("held = 'backlog'"))
    return tx.all(query.group_by(hour).order_by(hour))


def end_backlog(tx: Transaction, now: datetime, *, drop: bool) -> int:
    """Let what is held since an outage go, earliest deadline first as ever, or let it expire; how many texts."""
    held = texts.update().where(sa.text("held = 'backlog'"), texts.c.state == State.SCHEDULED.value)
    if drop:
        return tx.run(held.values(held=None, ready=False, state=State.EXPIRED.value))
    return tx.run(held.where(texts.c.closes_at > now).values(held=None))


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
