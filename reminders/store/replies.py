"""What was texted to us, and what we know of the number it came from."""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

import sqlalchemy as sa

from reminders.lifecycle import UNHEARD, WITHDRAWN
from reminders.store.database.engine import Transaction
from reminders.store.database.ids import new_id
from reminders.store.database.record_check import never_null
from reminders.store.database.schema import (
    appointments,
    attempts,
    confirmations,
    patients,
    plans,
    recipients,
    replies,
    senders,
    sites,
    text_items,
    texts,
)
from reminders.store.database.sealing import DataKey, Place, Unreadable, data_key_of, padded
from reminders.store.records import SiteRow


@dataclass(frozen=True, slots=True)
class Said:
    """An inbound text as it is stored: how it came, when it was sent, what it was taken to mean and by which rules.

    `because` are the words for which the second reader took it for danger.
    """

    sid: str
    sent_to: str
    body: str = field(repr=False)
    media: int
    meaning: str
    meanings: tuple[str, ...]
    rules: tuple[str, ...]
    lexicon: str
    heard_by: str
    sent_at: datetime
    quoted: tuple[tuple[int, int], ...] = ()
    because: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply was taken to mean: the meaning that was answered, all of them, the ids of the rules that fired."""

    meaning: str
    meanings: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


ILLEGIBLE = Reading("illegible")  # its person was erased, or it does not open
_PADDED = 256


def seal_reading(tx: Transaction, reply_id: int, reading: Reading, key: DataKey | None) -> bytes:
    """A reading, sealed for its reply, as long as any other."""
    said = json.dumps([reading.meaning, reading.meanings, reading.rules])
    return tx.seal(Place("replies", "reading_sealed", reply_id), padded(said, _PADDED), key)


def reading_of(tx: Transaction, reply_id: int, sealed: bytes) -> Reading:
    """What is sealed there as a reply's `reading_sealed`."""
    said = open_words(tx, "replies", reply_id, sealed, "reading_sealed")
    if not said:
        return ILLEGIBLE
    meaning, meanings, rules = json.loads(said)
    return Reading(meaning, tuple(meanings), tuple(rules))


def readings_of(tx: Transaction, sealed: Mapping[int, bytes]) -> dict[int, Reading]:
    """The readings of many replies, reply → `reading_sealed`, with their keys read in one go."""
    tx.load_data_keys({key_id for one in sealed.values() if (key_id := data_key_of(one)) is not None})
    return {reply_id: reading_of(tx, reply_id, one) for reply_id, one in sealed.items()}


def known_sids(tx: Transaction, sids: Collection[str]) -> dict[str, datetime]:
    """Which of these inbound texts are stored already, and when they were sent, as far as we knew."""
    query = sa.select(replies.c.sid, replies.c.sent_at).where(replies.c.sid.in_(sids))
    return {row.sid: row.sent_at for row in tx.all(query)}


def set_sent_at(tx: Transaction, sent: Mapping[str, datetime]) -> None:
    """Write down when these inbound texts were really sent: a webhook does not say, so that our clock stood for it."""
    mine = replies.update().where(replies.c.sid == sa.bindparam("the_sid"))
    moved = mine.values(sent_at=sa.bindparam("at", type_=replies.c.sent_at.type))
    tx.run_many(moved, [{"the_sid": sid, "at": at} for sid, at in sorted(sent.items())])


def keep(
    tx: Transaction,
    said: Said,
    *,
    number_id: int,
    site_id: int,
    patient_id: int | None,
    key: DataKey | None,
    now: datetime,
) -> int | None:
    """Store an inbound text, sealed by its patient's key where it has one; its id, or None when it was here before."""
    reply_id = new_id(now)
    place, why = (Place("replies", column, reply_id) for column in ("body_sealed", "doubt_sealed"))
    reading = Reading(said.meaning, said.meanings, said.rules)
    fresh = tx.insert_new(
        replies,
        {
            "id": reply_id,
            "sid": said.sid[:64],
            "number_id": number_id,
            "sent_to": said.sent_to[:64],
            "site_id": site_id,
            "patient_id": patient_id,
            "body_sealed": tx.seal(place, said.body, key),
            "quoted": [list(place) for place in said.quoted] or None,
            "doubt_sealed": tx.seal(why, padded(json.dumps(said.because), _PADDED), key),
            "media": said.media,
            "reading_sealed": seal_reading(tx, reply_id, reading, key),
            "lexicon": said.lexicon,
            "heard_by": said.heard_by,
            "sent_at": said.sent_at,
            "received_at": now,
        },
    )
    return reply_id if fresh else None


@dataclass(frozen=True, slots=True)
class Sent:
    """A text that went to a number: which, by what wording, and its words."""

    text_id: int
    wording: str
    class_: str
    body: str = field(repr=False)


def sent_to(tx: Transaction, number_id: int, since: datetime, *, limit: int = 40) -> list[Sent]:
    """The texts that went to a number since then, or may have gone, the latest first; those that still open."""
    query = (
        sa.select(attempts.c.id, attempts.c.text_id, attempts.c.body_sealed, attempts.c.template, texts.c["class"])
        .join(texts, texts.c.id == attempts.c.text_id)
        .where(attempts.c.number_id == number_id, attempts.c.started_at > since)
        .order_by(attempts.c.started_at.desc(), attempts.c.id.desc())
        .limit(limit)
    )
    found = []
    for row in tx.all(query):
        body = open_words(tx, "attempts", row.id, row.body_sealed)
        if body is not None:
            found.append(Sent(row.text_id, row.template, getattr(row, "class"), body))
    return found


def site_spoken_to(tx: Transaction, address: str) -> SiteRow | None:
    """The site whose sender has that address."""
    query = sa.select(sites).join(senders, senders.c.site_id == sites.c.id).where(senders.c.address == address)
    return tx.first_as(SiteRow, query.order_by(sites.c.id))


class ReaderOnNumber(NamedTuple):
    """Someone who is texted on a number, with the patient's site and data key, and how the patient's plans stand.

    `current` is whether the patient has a plan that has not ended, `ended` whether one that has, `discharged_on` the
    latest discharge.
    """

    id: int
    patient_id: int
    key: str
    role: str
    number_id: int
    language: str
    site_id: int
    key_id: int
    discharged_on: date | None
    current: bool
    ended: bool


def readers_on(tx: Transaction, number_id: int) -> list[ReaderOnNumber]:
    """Everyone who is texted on a number, patients themselves first."""
    theirs = plans.c.patient_id == recipients.c.patient_id
    latest = sa.select(sa.func.max(plans.c.discharged_on)).where(theirs).scalar_subquery()
    current = sa.select(plans.c.id).where(theirs, plans.c.status != "ended").exists()
    ended = sa.select(plans.c.id).where(theirs, plans.c.status == "ended").exists()
    query = (
        sa.select(
            *(recipients.c.id, recipients.c.patient_id, recipients.c.key, recipients.c.role),
            *(recipients.c.number_id, recipients.c.language, patients.c.site_id, patients.c.key_id),
            latest.label("discharged_on"),
            current.label("current"),
            ended.label("ended"),
        )
        .join(patients, patients.c.id == recipients.c.patient_id)
        .where(recipients.c.number_id == number_id)
        .order_by(sa.case((recipients.c.role == "self", 0), else_=1), recipients.c.id)
    )
    return tx.all_as(ReaderOnNumber, query)


def answered_since(tx: Transaction, number_id: int, wording: Collection[str], since: datetime) -> bool:
    """Whether one of these answers was given to the number since then, or is on its way."""
    query = (
        sa.select(texts.c.id)
        # `class <> 'reminder'` is the condition of an index: reminders ahead are many, and this is asked in a write.
        .where(texts.c.number_id == number_id, sa.text("class <> 'reminder'"), texts.c["class"] == "answer")
        .where(texts.c.wording.in_(wording))
        .where(texts.c.opens_at > since, texts.c.state.not_in(UNHEARD))
    )
    return tx.first(query.limit(1)) is not None


class VisitAsked(NamedTuple):
    """A visit that a text was about, the reader it went to, and when; `written_at` is when the visit last changed."""

    text_id: int
    recipient_id: int
    asked_at: datetime
    appointment_id: int
    version: int
    written_at: datetime
    starts_at: datetime
    status: str


def last_asked(tx: Transaction, number_id: int, since: datetime) -> list[VisitAsked]:
    """The visits of the latest text about visits that went to a number since then; empty where none went."""
    latest = (
        sa.select(texts.c.id)
        .join(attempts, attempts.c.text_id == texts.c.id)
        .where(attempts.c.number_id == number_id, attempts.c.started_at > since)
        .where(texts.c["class"].in_(("reminder", "notice")), texts.c.recipient_id.is_not(None))
        .where(sa.or_(attempts.c.answer.is_(None), attempts.c.answer != "refused"))
        .order_by(attempts.c.started_at.desc(), texts.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        sa.select(
            texts.c.id.label("text_id"),
            never_null(texts.c.recipient_id),
            sa.select(sa.func.max(attempts.c.started_at, type_=attempts.c.started_at.type))
            .where(attempts.c.text_id == texts.c.id)
            .scalar_subquery()
            .label("asked_at"),
            appointments.c.id.label("appointment_id"),
            appointments.c.version,
            appointments.c.written_at,
            appointments.c.starts_at,
            appointments.c.status,
        )
        .join(text_items, text_items.c.text_id == texts.c.id)
        .join(appointments, appointments.c.id == text_items.c.appointment_id)
        .where(texts.c.id == latest)
        .order_by(appointments.c.starts_at)
    )
    return tx.all_as(VisitAsked, query)


def readers_asked(tx: Transaction, number_id: int, since: datetime, now: datetime) -> int:
    """How many readers on a number got a text since then about a visit that lies ahead."""
    query = (
        sa.select(sa.func.count(texts.c.recipient_id.distinct()))
        .select_from(texts)
        .join(attempts, attempts.c.text_id == texts.c.id)
        .join(text_items, text_items.c.text_id == texts.c.id)
        .join(appointments, appointments.c.id == text_items.c.appointment_id)
        .where(attempts.c.number_id == number_id, attempts.c.started_at > since)
        .where(texts.c["class"].in_(("reminder", "notice")), appointments.c.starts_at > now)
    )
    return int(tx.value(query) or 0)


def was_welcomed(tx: Transaction, number_id: int) -> bool:
    """Whether a welcome has gone to that number, or may have."""
    query = (
        sa.select(attempts.c.id)
        .join(texts, texts.c.id == attempts.c.text_id)
        .where(attempts.c.number_id == number_id, texts.c["class"] == "welcome")
        .where(sa.or_(attempts.c.answer.is_(None), attempts.c.answer != "refused"))
    )
    return tx.first(query.limit(1)) is not None


def heard_from(
    tx: Transaction, number_id: int, since: datetime, *, but: int, limit: int = 30
) -> list[tuple[datetime, str]]:
    """What was texted from a number since then, the latest first, each with when it came; without the reply `but`."""
    query = (
        sa.select(replies.c.id, replies.c.received_at, replies.c.body_sealed)
        .where(replies.c.number_id == number_id, replies.c.received_at > since, replies.c.id != but)
        .order_by(replies.c.received_at.desc(), replies.c.id.desc())
        .limit(limit)
    )
    opened = ((row.received_at, open_words(tx, "replies", row.id, row.body_sealed)) for row in tx.all(query))
    return [(at, body) for at, body in opened if body is not None]


def answers_since(tx: Transaction, number_id: int, since: datetime) -> int:
    """How many automatic answers were given to the number since then, or are on their way."""
    query = (
        sa.select(sa.func.count(sa.func.distinct(texts.c.reply_id)))
        .where(texts.c.number_id == number_id, texts.c["class"] == "answer", texts.c.opens_at > since)
        .where(texts.c.state.not_in(WITHDRAWN))
    )
    return int(tx.value(query) or 0)


def said_since(tx: Transaction, number_id: int, at: datetime, meanings: Collection[str], *, but: int) -> bool:
    """Whether a text from that number, sent at `at` or later, had one of these meanings; without the reply `but`."""
    query = sa.select(replies.c.id, replies.c.reading_sealed).where(
        replies.c.number_id == number_id, replies.c.sent_at >= at, replies.c.id != but
    )
    return any(
        set(one.meanings) & set(meanings)
        for one in readings_of(tx, {row.id: row.reading_sealed for row in tx.all(query)}).values()
    )


@dataclass(frozen=True, slots=True)
class Wish:
    """A text in which a number said no, or START: how it came, and when it was sent, as far as we know."""

    reply_id: int
    sid: str
    sent_to: str
    meanings: frozenset[str]
    sent_at: datetime
    received_at: datetime
    body: str = field(repr=False)


def wishes(tx: Transaction, number_id: int, meanings: Collection[str]) -> list[Wish]:
    """The texts from a number that had one of these meanings, in the order in which they were sent."""
    query = sa.select(replies).where(replies.c.number_id == number_id).order_by(replies.c.sent_at, replies.c.id)
    rows = tx.all(query)
    readings = readings_of(tx, {row.id: row.reading_sealed for row in rows})
    return [
        Wish(
            row.id,
            row.sid,
            row.sent_to,
            frozenset(readings[row.id].meanings),
            row.sent_at,
            row.received_at,
            open_words(tx, "replies", row.id, row.body_sealed) or "",
        )
        for row in rows
        if set(readings[row.id].meanings) & set(meanings)
    ]


def wished(tx: Transaction, sids: Collection[str], meanings: Collection[str]) -> dict[str, int]:
    """Which of these inbound texts had one of these meanings, each with its number."""
    columns = (replies.c.id, replies.c.sid, replies.c.number_id, replies.c.reading_sealed)
    rows = tx.all(sa.select(*columns).where(replies.c.sid.in_(sids)))
    readings = readings_of(tx, {row.id: row.reading_sealed for row in rows})
    return {row.sid: row.number_id for row in rows if set(readings[row.id].meanings) & set(meanings)}


def confirm(tx: Transaction, appointment_id: int, recipient_id: int, version: int, now: datetime) -> None:
    """Note that a reader confirmed a visit, as it stood in that version."""
    mine = (confirmations.c.appointment_id == appointment_id, confirmations.c.recipient_id == recipient_id)
    values = {"version": version, "confirmed_at": now}
    if not tx.run(confirmations.update().where(*mine).values(**values)):
        keys = {"appointment_id": appointment_id, "recipient_id": recipient_id}
        tx.insert_new(confirmations, keys | values)


class HeardUntil(NamedTuple):
    """A sender, and up to when its inbound texts have been listed."""

    id: int
    address: str
    heard_until: datetime | None
    site_id: int


def heard_until(tx: Transaction) -> list[HeardUntil]:
    """Every sender with up to when its inbound texts have been listed."""
    query = sa.select(senders.c.id, senders.c.address, senders.c.heard_until, senders.c.site_id)
    return tx.all_as(HeardUntil, query)


def set_heard_until(tx: Transaction, sender_id: int, at: datetime) -> None:
    """Note that everything sent to that sender before `at` has been listed and taken in."""
    later = sa.or_(senders.c.heard_until.is_(None), senders.c.heard_until < at)
    tx.run(senders.update().where(senders.c.id == sender_id, later).values(heard_until=at))


# What people see.


@dataclass(frozen=True, slots=True)
class Spoken:
    """One text of a conversation, as a phone shows it: `way` is `in` or `out`; `words` are None where they do not open.

    One of ours carries its text, its class, how that stands, and the code that its last attempt met; one that came
    carries its reply, the words for which the second reader took it for danger or for possible danger (`because`), and
    whether a clinician marked it as danger, as none, or not at all.
    """

    way: str
    at: datetime
    words: str | None = field(repr=False)
    meaning: str | None = None
    media: int = 0
    text: int | None = None
    quoted: tuple[tuple[int, int], ...] = ()
    because: tuple[str, ...] = field(default=(), repr=False)
    class_: str | None = None
    state: str | None = None
    error_code: int | None = None
    reply: int | None = None
    danger: bool | None = None

    @property
    def parts(self) -> list[tuple[str, bool]]:
        """The words in order, each part with whether it is quoted and not the person's own."""
        words, at, found = self.words or "", 0, []
        for begin, end in self.quoted:
            found += [(words[at:begin], False), (words[begin:end], True)]
            at = end
        return [(part, quoted) for part, quoted in [*found, (words[at:], False)] if part]


def conversation(tx: Transaction, number_id: int, places: Collection[int], *, limit: int = 60) -> list[Spoken]:
    """What was said with a number at these sites, both ways, oldest first: the last `limit` of either way.

    A text of ours stands as it was last tried; what staff typed stands there before it goes, too.
    """
    came = (
        sa.select(replies)
        .where(replies.c.number_id == number_id, replies.c.site_id.in_(places))
        .order_by(replies.c.received_at.desc(), replies.c.id.desc())
        .limit(limit)
    )
    went = (
        sa.select(
            attempts.c.id,
            attempts.c.text_id,
            attempts.c.number,
            attempts.c.started_at,
            attempts.c.error_code,
            attempts.c.body_sealed,
            texts.c["class"].label("class_"),
            texts.c.state,
        )
        .join(texts, texts.c.id == attempts.c.text_id)
        .where(attempts.c.number_id == number_id, texts.c.site_id.in_(places))
        .order_by(attempts.c.started_at.desc(), attempts.c.id.desc())
        .limit(limit)
    )
    typed = (
        sa.select(texts.c.id, texts.c.opens_at, texts.c.body_sealed, texts.c.state)
        .where(texts.c.number_id == number_id, texts.c.site_id.in_(places), sa.text("state = 'scheduled'"))
        .where(texts.c["class"] == "staff", texts.c.attempts == 0)
        .order_by(texts.c.opens_at.desc())
        .limit(limit)
    )
    said = [
        Spoken(
            "in",
            row.received_at,
            open_words(tx, "replies", row.id, row.body_sealed),
            reading_of(tx, row.id, row.reading_sealed).meaning,
            row.media,
            quoted=tuple((begin, end) for begin, end in row.quoted or ()),
            reply=row.id,
            danger=mark_of(tx, row.id, row.mark_sealed),
            because=_because(tx, row.id, row.doubt_sealed),
        )
        for row in tx.all(came)
    ]
    seen: set[int] = set()
    for row in tx.all(went):
        if row.text_id in seen:
            continue
        seen.add(row.text_id)
        said.append(
            Spoken(
                way="out",
                at=row.started_at,
                words=open_words(tx, "attempts", row.id, row.body_sealed),
                text=row.text_id,
                class_=row.class_,
                state=row.state,
                error_code=row.error_code or None,
            )
        )
    for row in tx.all(typed):
        words = open_words(tx, "texts", row.id, row.body_sealed) if row.body_sealed else None
        said.append(Spoken("out", row.opens_at, words, text=row.id, class_="staff", state=row.state))
    return sorted(said, key=lambda one: one.at)


def _because(tx: Transaction, reply_id: int, sealed: bytes | None) -> tuple[str, ...]:
    words = open_words(tx, "replies", reply_id, sealed, "doubt_sealed") if sealed else None
    return tuple(json.loads(words)) if words is not None else ()


def open_words(tx: Transaction, table: str, row_id: int, sealed: bytes, column: str = "body_sealed") -> str | None:
    """What is sealed there; None where the person was erased."""
    return tx.open_if_legible(Place(table, column, row_id), sealed)


# What clinicians say of them.


class ReplyToMark(NamedTuple):
    """A reply with the patient whose key seals it, and how it is marked."""

    id: int
    patient_id: int | None
    mark_sealed: bytes | None


def of_number(tx: Transaction, reply_id: int, number_id: int, places: Collection[int]) -> ReplyToMark | None:
    """A reply from that number at one of these sites, locked."""
    mine = sa.select(replies.c.id, replies.c.patient_id, replies.c.mark_sealed)
    mine = mine.where(replies.c.id == reply_id, replies.c.number_id == number_id)
    return tx.first_as(ReplyToMark, mine.where(replies.c.site_id.in_(places)).with_for_update())


def mark(tx: Transaction, reply_id: int, key: DataKey | None, *, danger: bool | None, who: str, now: datetime) -> None:
    """Seal with a reply whether it was danger, by whom and when that was said; with None it is marked no more."""
    sealed = None
    if danger is not None:
        said = padded(json.dumps({"danger": danger, "by": who, "at": now.isoformat()}), _PADDED)
        sealed = tx.seal(Place("replies", "mark_sealed", reply_id), said, key)
    tx.run(replies.update().where(replies.c.id == reply_id).values(mark_sealed=sealed))


def mark_of(tx: Transaction, reply_id: int, sealed: bytes | None) -> bool | None:
    """Whether a reply is marked as danger or as none; None where it is not marked, or its patient is erased."""
    said = said_of(tx, reply_id, sealed)
    return None if said is None else said.danger


@dataclass(frozen=True, slots=True)
class Mark:
    """Whether a reply was danger, by whom and when that was said."""

    danger: bool
    by: str
    at: datetime


def said_of(tx: Transaction, reply_id: int, sealed: bytes | None) -> Mark | None:
    """What a clinician said of a reply; None where no one did, or the person was erased."""
    if sealed is None:
        return None
    with suppress(LookupError, Unreadable):
        said = json.loads(tx.open(Place("replies", "mark_sealed", reply_id), sealed))
        return Mark(bool(said["danger"]), said["by"], datetime.fromisoformat(said["at"]))
    return None
