"""Taking texts for sending: who takes one has it locked, with its number, and what it is judged on is read after that.

It never waits for a lock, so workers, STOP and reconcile cannot race or deadlock (sending rule 6). An attempt is
written and the text leased before Twilio is called; states move by conditional UPDATEs, and who moved nothing has lost
(3).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

import sqlalchemy as sa

from reminders import languages
from reminders.lifecycle import State
from reminders.planner import Due, Gone, Reader, Unplanned, Visit, sort_of
from reminders.plans import Lead, to_wall
from reminders.store import tasks
from reminders.store.database.engine import Transaction
from reminders.store.database.fast_path import Prepared, PreparedInsert, PreparedSelect, among, words
from reminders.store.database.ids import new_id, new_ref
from reminders.store.database.schema import (
    READY,
    appointments,
    attempts,
    consents,
    keys,
    numbers,
    patients,
    recipients,
    senders,
    sites,
    text_items,
    texts,
)
from reminders.store.database.sealing import DataKey, Place, Unreadable
from reminders.store.people import phone_of
from reminders.store.planning.plans import visit_of, visit_rows
from reminders.store.planning.texts import GONE, give_up, gone_in, move, reader_of
from reminders.store.records import ClaimedReaderRow, ClaimedRow, TextVisitRow

USEFUL = timedelta(seconds=1)  # less is no time to hand a text over
IN_DANGER = ("crisis", "overdose")  # answers of which a person is told when they do not arrive


@dataclass(slots=True)
class Claimed:
    """A claimed text, locked, with everything to judge, render and send it.

    `due` is judged for a reminder, `unplanned` for every other text. The visits of either are those that still name the
    recipient. `data_key` is None for a number that is no one's: then the sealing keys seal.
    """

    text: int
    class_: str
    due: Due | None
    unplanned: Unplanned | None
    wording: str | None
    typed: str | None = field(repr=False)
    was: Mapping[int, datetime]  # a notice: the wall clocks that its reader knew, by visit
    per_week: int | None
    held: bool  # someone on this number, or its patient, may be in danger (C-12)
    attempts: int
    closes_at: datetime
    number_id: int
    phone: str = field(repr=False)
    sender_id: int
    sender: str
    sender_rested: bool  # and nothing was accepted since
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

    Rows that someone else holds are passed over. What hangs on a locked number (recipient, consent, visits) is read
    after the lock was had: what changes it holds that lock, so it is the state that holds when we commit. Second
    come the texts of which what is stored cannot be read: they are not judged at all.
    """
    values = {"sender": sender_id, "useful_at": now + USEFUL, "now": now, "at_most": limit}
    rows = tx.rows(_READY_ONES, values)
    return _claimed(tx, rows, now)


def claim_these(tx: Transaction, text_ids: Collection[int], now: datetime) -> tuple[list[Claimed], list[int]]:
    """The same for these texts, out of their turn: an answer that someone may be waiting for in danger."""
    rows = tx.rows(_THESE_ONES, {"ids": text_ids, "useful_at": now + USEFUL, "now": now})
    return _claimed(tx, rows, now)


_NOW = sa.bindparam("now", type_=texts.c.due_at.type)
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
        texts.c.released_at,
        numbers.c.id.label("number_id"),
        numbers.c.phone_sealed,
        numbers.c.opted_out_at,
        numbers.c.bad_since,
        numbers.c.wrong_since,
        numbers.c.verified_at,
        senders.c.address,
        senders.c.stops,
    )
    .join(senders, senders.c.id == texts.c.sender_id)
    .join(numbers, numbers.c.id == texts.c.number_id)
    .join(sites, sites.c.id == texts.c.site_id)
    .where(sites.c.paused_at.is_(None))
    .where(texts.c.closes_at > sa.bindparam("useful_at", type_=texts.c.closes_at.type))
    .with_for_update(skip_locked=True, of=[texts, numbers])
)
_READY_ONES = PreparedSelect(
    ClaimedRow,
    _CLAIMABLE.where(sa.text(READY), texts.c.sender_id == sa.bindparam("sender"))
    .where(sa.or_(senders.c.stopped_until.is_(None), senders.c.stopped_until <= _NOW))
    .order_by(texts.c.closes_at)  # and by nothing else: thousands may close at the same time, and would be sorted
    .limit(sa.bindparam("at_most", type_=sa.Integer())),
)
_THESE_ONES = PreparedSelect(
    ClaimedRow,
    _CLAIMABLE.where(
        among(texts.c.id),
        texts.c.state == State.SCHEDULED.value,
        texts.c.held.is_(None),
        texts.c.due_at <= _NOW,
    ),
)


class _Site(NamedTuple):
    """The site of a text to a number that is no one's."""

    id: int
    alias: str
    site_phone: str
    line24: str
    site_zone: str
    closures: tuple[str, ...]
    quiet_from: str
    quiet_to: str


# What a row raises whose values are none of ours: a zone that tzdata dropped, a kind of a later version, a damaged day.
MALFORMED = (LookupError, TypeError, ValueError, AttributeError)


def _claimed(tx: Transaction, rows: Sequence[ClaimedRow], now: datetime) -> tuple[list[Claimed], list[int]]:
    if not rows:
        return [], []
    readers, items, sent = tx.rows_of_each(
        (_PEOPLE, {"ids": {row.recipient_id for row in rows if row.recipient_id is not None}}),
        (_VISITS, {"ids": [row.id for row in rows]}),
        (GONE, {"ids": {row.number_id for row in rows}, "since": now - timedelta(days=9)}),
    )
    people = {person.id: person for person in readers}
    tx.keep_data_keys({person.key_id: person.wrapped for person in people.values()})
    of_text: dict[int, list[TextVisitRow]] = {}
    for item in items:
        of_text.setdefault(item.text_id, []).append(item)
    gone_to = gone_in(tx, sent)
    nobodys = _sites_of(tx, {row.site_id for row in rows if row.recipient_id is None})
    in_danger = set[int](), set[int]()
    if nobodys or any(person.any_crisis for person in people.values()):
        in_danger = tasks.in_crisis(
            tx, {row.number_id for row in rows}, {person.patient_id for person in people.values()}
        )
    claimed, unreadable = [], []
    for row in rows:
        person = people[row.recipient_id] if row.recipient_id is not None else None
        site = person or nobodys[row.site_id]
        about = of_text.get(row.id, ())
        try:  # one that cannot be read costs no other text its turn
            one = _one_claimed(tx, row, about, gone_to, person=person, site=site, in_danger=in_danger, now=now)
            claimed.append(one)
        except (Unreadable, *MALFORMED):
            unreadable.append(row.id)
    return claimed, unreadable


def _one_claimed(
    tx: Transaction,
    row: ClaimedRow,
    items: Sequence[TextVisitRow],
    gone_to: Mapping[int, Sequence[tuple[int, Gone]]],
    *,
    person: ClaimedReaderRow | None,
    site: _Site | ClaimedReaderRow,
    in_danger: tuple[set[int], set[int]],
    now: datetime,
) -> Claimed:
    """A text from its rows; `in_danger` are the numbers and the patients whose texts wait. Raises as `MALFORMED`."""
    phone = phone_of(tx, row.number_id, row.phone_sealed)
    data_key = tx.data_key(person.key_id) if person else None
    typed = tx.open(Place("texts", "body_sealed", row.id), row.body_sealed) if row.body_sealed else None
    reader = _reader(row, person, now) if person else None
    about = tuple(visit for names, visit in _visits(items) if not person or person.key in names)
    tells, was = _said(items)
    danger = row.number_id in in_danger[0] or (person is not None and person.patient_id in in_danger[1])
    return Claimed(
        text=row.id,
        class_=row.class_,
        due=_due(row, reader, about, gone_to) if reader is not None and row.class_ == "reminder" else None,
        unplanned=Unplanned(
            sort=sort_of(row.class_, row.wording),
            reader=reader,
            visits=about,
            tells=tells,
            closes_at=row.closes_at,
            opted_out=row.opted_out_at is not None,
        )
        if row.class_ != "reminder"
        else None,
        wording=row.wording,
        typed=typed,
        was=was,
        per_week=person.per_week if person else None,
        held=danger and row.released_at is None and row.class_ not in {"answer", "staff"},
        attempts=row.attempts,
        closes_at=row.closes_at,
        number_id=row.number_id,
        phone=phone,
        sender_id=row.sender_id,
        sender=row.address,
        sender_rested=row.stops > 0,
        consent_id=person.consent_id if person else None,
        closures=_dates(site.closures),
        alias=site.alias,
        site_phone=site.site_phone,
        line24=site.line24,
        language=row.language or (person.language if person else languages.DEFAULT),
        reader_zone=person.zone if person else site.site_zone,
        site_id=row.site_id,
        patient_id=person.patient_id if person else None,
        data_key=data_key,
    )


@lru_cache(maxsize=1024)  # a site's are on everyone's text
def _dates(days: tuple[str, ...]) -> frozenset[date]:
    return frozenset(map(date.fromisoformat, days))


def _due(
    row: ClaimedRow, reader: Reader, visits: tuple[Visit, ...], gone_to: Mapping[int, Sequence[tuple[int, Gone]]]
) -> Due:
    if row.day is None:
        raise ValueError("a reminder has a day")
    others = [one for text, one in gone_to.get(row.number_id, ()) if text != row.id]
    return Due(
        reader=reader,
        visits=visits,
        day=row.day,
        lead=Lead.parse(row.key.split(":", 2)[2]),
        closes_at=row.closes_at,
        gone=tuple(one.at for one in others),
        days=7 if row.key.startswith("week:") else 1,
        reminded=frozenset(
            visit for one in others if one.reader == reader.id and not one.failed for visit in one.visits
        ),
    )


def _reader(row: ClaimedRow, person: ClaimedReaderRow, now: datetime) -> Reader:
    return reader_of(
        recipient_id=person.id,
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
    words(sites.c.closures),
    sites.c.quiet_from,
    sites.c.quiet_to,
)


_SITES = PreparedSelect(_Site, sa.select(sites.c.id, *_SITE).where(among(sites.c.id)))


def _sites_of(tx: Transaction, site_ids: Collection[int]) -> dict[int, _Site]:
    if not site_ids:
        return {}
    return {row.id: row for row in tx.rows(_SITES, {"ids": site_ids})}


_PEOPLE = PreparedSelect(
    ClaimedReaderRow,
    sa.select(
        recipients.c.id,
        recipients.c.patient_id,
        recipients.c.key,
        recipients.c.role,
        recipients.c.zone,
        words(recipients.c.guessed_zones),
        recipients.c.weekly_digest,
        recipients.c.texting_from,
        recipients.c.texting_to,
        recipients.c.language,
        recipients.c.consent_id,
        consents.c.said,
        consents.c.number_id,
        words(consents.c.categories),
        consents.c.expires_on,
        consents.c.warned_of_risk,
        consents.c.per_day,
        consents.c.per_week,
        patients.c.key_id,
        keys.c.wrapped,
        tasks.ANY_CRISIS.label("any_crisis"),
        *_SITE,
    )
    .join(patients, patients.c.id == recipients.c.patient_id)
    .outerjoin(keys, keys.c.id == patients.c.key_id)
    .join(sites, sites.c.id == patients.c.site_id)
    .outerjoin(consents, consents.c.id == recipients.c.consent_id)
    .where(among(recipients.c.id)),
)


_VISITS = PreparedSelect(
    TextVisitRow,
    visit_rows(text_items.c.text_id, text_items.c.tells, text_items.c.was)
    .join(text_items, text_items.c.appointment_id == appointments.c.id)
    .where(among(text_items.c.text_id)),
)


def _visits(rows: Sequence[TextVisitRow]) -> list[tuple[tuple[str, ...], Visit]]:
    """The visits of a text, each with the recipients that its series names."""
    return [(row.recipients, visit_of(row, first=False)) for row in rows]


def _said(rows: Sequence[TextVisitRow]) -> tuple[dict[int, str], dict[int, datetime]]:
    """What a notice tells of each visit; the wall clock of each that its reader knew."""
    told = {row.id: row.tells for row in rows if row.tells is not None}
    was = {row.id: datetime.fromisoformat(row.was) for row in rows if row.was is not None}
    return told, was


@dataclass(slots=True)
class Intent:
    """The intent to send one claimed text, as it is written before the call."""

    claimed: Claimed
    body: str = field(repr=False)
    template: str
    language: str
    segments: int
    encoding: str


@dataclass(slots=True)
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
    answers_danger: bool = False  # someone may be waiting for it in danger
    sender_rested: bool = False  # and nothing had been accepted since
    segments: int = 0


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
            ref=new_ref(now),
            to=due.phone,
            sender=due.sender,
            segments=intent.segments,
            sender_id=due.sender_id,
            number_id=due.number_id,
            body=intent.body,
            closes_at=due.closes_at,
            started_at=now,
            answers_danger=due.class_ == "answer" and due.wording in IN_DANGER,
            sender_rested=due.sender_rested,
        )
        started.append(one)
        rows.append(
            (
                attempt_id,
                due.text,
                one.number,
                one.ref,
                due.sender_id,
                due.number_id,
                due.consent_id,
                now,
                intent.template,
                intent.language,
                tx.seal(Place("attempts", "body_sealed", attempt_id), intent.body, due.data_key),
                intent.segments,
                intent.encoding,
            )
        )
    tx.add(_ATTEMPTS, rows)
    # Here, where the numbers are locked anyway; when the answers come in they are not.
    tx.do_later(_TEXTED, {"ids": {one.number_id for one in started}, "at": now})
    leased = tx.do(_LEASE, {"ids": [one.text for one in started], "until": now + lease})
    assert leased == len(started), "a text moved although it was locked"
    return started


_ATTEMPTS = PreparedInsert(
    attempts.c.id,
    attempts.c.text_id,
    attempts.c.number,
    attempts.c.ref,
    attempts.c.sender_id,
    attempts.c.number_id,
    attempts.c.consent_id,
    attempts.c.started_at,
    attempts.c.template,
    attempts.c.language,
    attempts.c.body_sealed,
    attempts.c.segments,
    attempts.c.encoding,
)
_LEASE = Prepared(
    move(State.SENDING)
    .where(among(texts.c.id))
    .values(
        ready=False,
        leased_until=sa.bindparam("until", type_=texts.c.leased_until.type),
        attempts=texts.c.attempts + 1,
    )
)
_TEXTED = Prepared(
    numbers.update()
    .where(among(numbers.c.id))
    .values(last_texted_at=sa.bindparam("at", type_=numbers.c.last_texted_at.type))
)


def which_started(tx: Transaction, refs: Sequence[str]) -> set[str]:
    """Which of these attempts are on record: asked after a COMMIT that failed (K8)."""
    return {row.ref for row in tx.all(sa.select(attempts.c.ref).where(attempts.c.ref.in_(refs)))}


def suppress(tx: Transaction, text_ids: Sequence[int], reason: str) -> int:
    """Claimed texts that do not go after all."""
    return tx.run(give_up(State.SUPPRESSED, reason).where(texts.c.id.in_(text_ids)))


def hold_unreadable(tx: Transaction, text_ids: Sequence[int]) -> int:
    """Claimed texts of which what is stored cannot be read: out of the way of the others, and on the board."""
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


def put_off(tx: Transaction, text_ids: Sequence[int], until: datetime) -> int:
    """Claimed texts that may not go before `until`."""
    return tx.run(
        texts.update()
        .where(texts.c.id.in_(text_ids), texts.c.state == State.SCHEDULED.value)
        .values(due_at=until, ready=False)
    )
