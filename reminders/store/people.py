"""Sites and senders, numbers, patients, recipients, consents."""

import re
import secrets
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date, datetime
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa

from reminders.audit_actions import Action
from reminders.settings import Settings
from reminders.store.database.engine import Database, Transaction
from reminders.store.database.ids import new_id
from reminders.store.database.schema import (
    api_answers,
    attempts,
    audit,
    consents,
    drafts,
    former_keys,
    keys,
    name_words,
    numbers,
    patients,
    receipts,
    recipients,
    replies,
    reply_counts,
    senders,
    sites,
    task_events,
    texts,
)
from reminders.store.database.sealing import DataKey, Place, Unreadable, sealing_key_of
from reminders.store.records import ConsentRow, NumberRow, PatientRow, RecipientRow, SenderRow, SiteRow


def site_by_key(tx: Transaction, key: str) -> SiteRow | None:
    """The site of that key."""
    return tx.first_as(SiteRow, _SITE_BY_KEY, {"key": key})


# Statements that run for every plan taken in are made once: making one again costs as much as running it.
_SITE_BY_KEY = sa.select(sites).where(sites.c.key == sa.bindparam("key"))


def site_keys(tx: Transaction) -> list[str]:
    """Every site's key."""
    return [row.key for row in tx.all(sa.select(sites.c.key).order_by(sites.c.key))]


def all_sites(tx: Transaction) -> list[SiteRow]:
    """Every site."""
    return tx.all_as(SiteRow, sa.select(sites).order_by(sites.c.id))


def site_of_sender(tx: Transaction, sender_id: int) -> SiteRow:
    """The site that a sender belongs to."""
    query = sa.select(sites).join(senders, senders.c.site_id == sites.c.id).where(senders.c.id == sender_id)
    row = tx.first_as(SiteRow, query)
    assert row is not None
    return row


def site_of_patient(tx: Transaction, patient_id: int) -> SiteRow:
    """The site that looks after a patient."""
    row = tx.first_as(SiteRow, _SITE_OF_PATIENT, {"patient": patient_id})
    assert row is not None
    return row


_SITE_OF_PATIENT = (
    sa.select(sites).join(patients, patients.c.site_id == sites.c.id).where(patients.c.id == sa.bindparam("patient"))
)


def keep_default_site(tx: Transaction, settings: Settings, now: datetime) -> int:
    """Make the default site and its sender what `settings` says; the site's id. Changes nothing that agrees already."""
    quiet_from, quiet_to = settings.sending.quiet_hours
    wanted: dict[str, Any] = {
        "key": settings.site.key,
        "alias": settings.site.alias,
        "phone": settings.site.phone,
        "line24": settings.site.line24,
        "zone": settings.site.zone,
        "region": settings.site.region,
        "quiet_from": f"{quiet_from:%H:%M}",
        "quiet_to": f"{quiet_to:%H:%M}",
    }
    row = site_by_key(tx, settings.site.key)
    added = row.added_closures if row is not None else []
    wanted["closures"] = sorted({*(day.isoformat() for day in settings.site.closures), *added})
    if row is None:
        tx.insert_new(sites, {"id": new_id(now), **wanted})
        row = site_by_key(tx, settings.site.key)
        assert row is not None
    elif any(getattr(row, column) != value for column, value in wanted.items()):
        tx.run(sites.update().where(sites.c.id == row.id).values(**wanted))
    pace = {
        "segments_per_second": settings.twilio.segments_per_second,
        "segments_per_day": settings.twilio.segments_per_day,
    }
    address = settings.twilio.sender
    sender = tx.first_as(SenderRow, _SENDER, {"site": row.id, "address": address})
    if sender is None:
        tx.insert_new(senders, {"id": new_id(now), "site_id": row.id, "address": address, "stops": 0, **pace})
    elif any(getattr(sender, column) != value for column, value in pace.items()):
        tx.run(senders.update().where(senders.c.id == sender.id).values(**pace))
    return int(row.id)


_SENDER = sa.select(senders).where(
    senders.c.site_id == sa.bindparam("site"), senders.c.address == sa.bindparam("address")
)


def senders_of(tx: Transaction, site_ids: Collection[int]) -> list[SenderRow]:
    """The senders of these sites, the newest first: the one that texts go by."""
    return tx.all_as(SenderRow, sa.select(senders).where(senders.c.site_id.in_(site_ids)).order_by(senders.c.id.desc()))


def our_lines(tx: Transaction) -> set[str]:
    """The phones and senders of every site: no patient has one of them."""
    lines = {line for site in tx.all(_LINES) for line in site}
    return lines | {row.address for row in tx.all(_SENDERS)}


_LINES = sa.select(sites.c.phone, sites.c.line24)
_SENDERS = sa.select(senders.c.address)


def sender_at(tx: Transaction, address: str) -> SenderRow | None:
    """The sender of that address, of whichever site."""
    return tx.first_as(SenderRow, sa.select(senders).where(senders.c.address == address))


def add_site(tx: Transaction, now: datetime, **values: Any) -> int | None:
    """Make a site; its id, or None where the key is taken."""
    row = {"id": new_id(now), "closures": [], **values}
    return int(row["id"]) if tx.insert_new(sites, row) else None


def change_site(tx: Transaction, site_id: int, **values: Any) -> None:
    """Write what was changed of a site."""
    tx.run(sites.update().where(sites.c.id == site_id).values(**values))


def keep_sender(tx: Transaction, site_id: int, address: str, pace: float, now: datetime) -> None:
    """Make a site's sender of that address, or give the one there is another pace."""
    mine = senders.update().where(senders.c.site_id == site_id, senders.c.address == address)
    if not tx.run(mine.values(segments_per_second=pace)):
        row = {"id": new_id(now), "site_id": site_id, "address": address, "stops": 0, "segments_per_second": pace}
        tx.run(senders.insert(), row)


def sender_of(tx: Transaction, site_id: int, address: str) -> int:
    """The id of the site's sender with that address; its newest one where settings name another site's."""
    found = tx.value(_SENDER, {"site": site_id, "address": address})
    if found is None:
        found = tx.value(sa.select(senders.c.id).where(senders.c.site_id == site_id).order_by(senders.c.id.desc()))
    return int(found)


def address_of(tx: Transaction, site_id: int, address: str) -> str:
    """The number or messaging service that the site's texts come from."""
    sender_id = sender_of(tx, site_id, address)
    return str(tx.value(sa.select(senders.c.address).where(senders.c.id == sender_id)))


def paused_sites(tx: Transaction) -> list[SiteRow]:
    """The sites whose sending is paused."""
    return tx.all_as(SiteRow, sa.select(sites).where(sites.c.paused_at.is_not(None)))


def pause_site(tx: Transaction, site_id: int, now: datetime | None) -> int:
    """Stop all sending of a site as of `now`, or start it again with None; how many sites changed."""
    paused = sites.c.paused_at
    differs = paused.is_(None) if now else paused.is_not(None)
    return tx.run(sites.update().where(sites.c.id == site_id, differs).values(paused_at=now))


def keep_number(tx: Transaction, phone: str, now: datetime) -> int:
    """The id of the row of this E.164 number, made if there is none."""
    marks = tx.fingerprints(phone)
    found = tx.first(_NUMBER_OF_MARKS, {"marks": marks})
    if found is None:
        row_id = new_id(now)
        sealed = tx.seal(Place("numbers", "phone_sealed", row_id), phone)
        if tx.insert_new(numbers, {"id": row_id, "fingerprint": marks[0], "phone_sealed": sealed}):
            return row_id
        found = tx.first(_NUMBER_OF_MARKS, {"marks": marks})
        assert found is not None
    if not found.phone_sealed:  # its person was erased, and it is in use again
        sealed = tx.seal(Place("numbers", "phone_sealed", found.id), phone)
        tx.run(numbers.update().where(numbers.c.id == found.id).values(phone_sealed=sealed, fingerprint=marks[0]))
    return int(found.id)


_NUMBER_OF_MARKS = sa.select(numbers.c.id, numbers.c.phone_sealed).where(
    numbers.c.fingerprint.in_(sa.bindparam("marks", expanding=True))
)


def lock_numbers(tx: Transaction, ids: Iterable[int]) -> dict[int, NumberRow]:
    """Lock these numbers, always in one order, so that caps, opt-outs and claims cannot race (sending rule 6).

    A transaction that only reads gets the same rows and locks nothing.
    """
    query = _NUMBERS if tx.only_reads else _LOCKED_NUMBERS
    return {row.id: row for row in tx.all_as(NumberRow, query, {"ids": sorted(set(ids))})}


_NUMBERS = sa.select(numbers).where(numbers.c.id.in_(sa.bindparam("ids", expanding=True))).order_by(numbers.c.id)
_LOCKED_NUMBERS = _NUMBERS.with_for_update()


def set_apart(tx: Transaction, phones: Collection[str], places: Collection[int], now: datetime) -> None:
    """Make these E.164 numbers what they would be if only the sites `places` had patients.

    A number without a reader there is found no more, so that it is made again; from one with readers there, those of
    other sites and their texts go to a number that no one has. For a transaction that is rolled back: a preview is to
    say nothing of who else has a number.
    """
    if not tx.first(sa.select(sites.c.id).where(sites.c.id.not_in(places)).limit(1)):
        return
    known = {row.id for row in (number_by_phone(tx, phone) for phone in phones) if row is not None}
    for number_id in lock_numbers(tx, known):
        hidden = secrets.token_bytes(32)
        if not any(recipients_at(tx, number_id, site_id) for site_id in places):
            tx.run(numbers.update().where(numbers.c.id == number_id).values(fingerprint=hidden))
            continue
        nowhere = new_id(now)
        tx.run(numbers.insert(), {"id": nowhere, "fingerprint": hidden, "phone_sealed": b""})
        at_other_sites = sa.select(patients.c.id).where(patients.c.site_id.not_in(places))
        theirs = (recipients.c.number_id == number_id, recipients.c.patient_id.in_(at_other_sites))
        tx.run(recipients.update().where(*theirs).values(number_id=nowhere))
        theirs = (texts.c.number_id == number_id, texts.c.site_id.not_in(places))
        tx.run(texts.update().where(*theirs).values(number_id=nowhere))


def phone_of(tx: Transaction, number_id: int, sealed: bytes) -> str:
    """The E.164 number inside a `numbers` row."""
    return tx.open(Place("numbers", "phone_sealed", number_id), sealed)


def phone_by_id(tx: Transaction, number_id: int) -> str:
    """The phone number (E.164) of a row of `numbers`."""
    row = tx.first(sa.select(numbers.c.phone_sealed).where(numbers.c.id == number_id))
    assert row is not None
    return phone_of(tx, number_id, row.phone_sealed)


def masked(phone: str) -> str:
    """An E.164 number of which only the last four digits show."""
    return "•" * (len(phone) - 5) + phone[-4:]


def shown_phone_by_id(tx: Transaction, number_id: int) -> str | None:
    """`phone_by_id` for a page; None where it does not open."""
    row = tx.first(sa.select(numbers.c.phone_sealed).where(numbers.c.id == number_id))
    assert row is not None
    return tx.open_if_legible(Place("numbers", "phone_sealed", number_id), row.phone_sealed)


def masked_of(tx: Transaction, number_id: int, sealed: bytes) -> str:
    """`masked` of the number inside a `numbers` row, for a list; `UNREADABLE` where it does not open (long-run 1)."""
    phone = tx.open_if_legible(Place("numbers", "phone_sealed", number_id), sealed)
    return UNREADABLE if phone is None else masked(phone)


UNREADABLE = "unreadable"


def mark_number(tx: Transaction, number_id: int, **values: Any) -> None:
    """Write what became known of a number: `opted_out_at`, `bad_since`, `bad_code`, `verified_at` …"""
    tx.run(numbers.update().where(numbers.c.id == number_id).values(**values))


def opt_out(tx: Transaction, number_id: int, now: datetime) -> bool:
    """Note the number's no; whether it was news. An earlier one keeps its time."""
    mine = numbers.update().where(numbers.c.id == number_id, numbers.c.opted_out_at.is_(None))
    return tx.run(mine.values(opted_out_at=now)) == 1


def verify_number(tx: Transaction, number_id: int, now: datetime) -> bool:
    """Note that the number is the person's own; whether that was news. One known to be wrong is not verified by it."""
    return tx.run(_VERIFY, {"number": number_id, "at": now}) == 1


_VERIFY = (
    numbers.update()
    .where(numbers.c.id == sa.bindparam("number"), numbers.c.verified_at.is_(None), numbers.c.wrong_since.is_(None))
    .values(verified_at=sa.bindparam("at"))
)


def recorded_at(tx: Transaction, table: str, row_id: int, *what: Action) -> datetime | None:
    """When that, or one of these, was last put on record about a row."""
    mine = (audit.c["table"] == table, audit.c.row_id == row_id, audit.c.what.in_(what))
    last: datetime | None = tx.value(sa.select(audit.c.at).where(*mine).order_by(audit.c.at.desc()).limit(1))
    return last


def patient_by_ref(tx: Transaction, site_id: int, ref: str) -> PatientRow | None:
    """The patient with that reference at that site."""
    return tx.first_as(PatientRow, _PATIENT_BY_REF, {"site": site_id, "ref": ref})


_PATIENT_BY_REF = sa.select(patients).where(
    patients.c.site_id == sa.bindparam("site"), patients.c.ref == sa.bindparam("ref")
)


def keep_patient(
    tx: Transaction, *, site_id: int, ref: str, name: str | None, born_on: date | None, now: datetime
) -> tuple[int, DataKey]:
    """Make or update a patient; its id and data key."""
    row = patient_by_ref(tx, site_id, ref)
    if row is None:
        key = tx.new_data_key(now)
        patient_id = new_id(now)
        values = {"id": patient_id, "site_id": site_id, "ref": ref, "key_id": key.id, "legal_hold": False}
        values |= {"created_at": now}
        tx.run(patients.insert(), {**values, **_sealed_person(patient_id, key, name, born_on)})
        index_name(tx, patient_id, name)
        return patient_id, key
    key = tx.data_key(row.key_id)
    known = (open_name(tx, row.id, row.name_sealed), open_birth(tx, row.id, row.born_on_sealed))
    if known != (name, born_on):
        tx.run(patients.update().where(patients.c.id == row.id).values(**_sealed_person(row.id, key, name, born_on)))
        index_name(tx, int(row.id), name)
    return int(row.id), key


def name_marks(tx: Transaction, name: str) -> set[bytes]:
    """The fingerprints of a name's words, without case, accents, apostrophes and hyphens.

    'José Álvarez' is found by 'alvarez jose', O'Brien by 'obrien', Smith-Jones by 'smithjones'. See `index_name`.
    """
    return {tx.fingerprint(f"name {word}") for word in words_of(name)}


_APOSTROPHES = re.compile(
    r"[\u0027\u0060\u00b4\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u2018\u2019\u201b\u2032\ua78b\ua78c\uff07]"
)
_HYPHENS = re.compile(r"[\u002d\u00ad\u2010-\u2015\u2212\ufe58\ufe63\uff0d]")


def words_of(name: str) -> set[str]:
    """The words of a name as it is searched for: no accents, no case, no hyphens or apostrophes."""
    tight = _HYPHENS.sub("", _APOSTROPHES.sub("", name))
    bare = "".join(one for one in unicodedata.normalize("NFKD", tight.casefold()) if not unicodedata.combining(one))
    return set(re.findall(r"\w+", bare.casefold()))


def index_name(tx: Transaction, patient_id: int, name: str | None) -> None:
    """Let a patient be found by the words of this name alone; by none for None, as an erasure does."""
    tx.run(name_words.delete().where(name_words.c.patient_id == patient_id))
    # The parts of a word with an apostrophe or hyphen find it as well: "smith", "jones", "o brien".
    parts = _HYPHENS.sub(" ", _APOSTROPHES.sub(" ", name)) if name else ""
    halves = _HYPHENS.sub(" ", name) if name else ""
    marks = sorted(name_marks(tx, name) | name_marks(tx, parts) | name_marks(tx, halves)) if name else []
    tx.run_many(name_words.insert(), [{"fingerprint": mark, "patient_id": patient_id} for mark in marks])


def _sealed_person(patient_id: int, key: DataKey, name: str | None, born_on: date | None) -> dict[str, bytes | None]:
    return {
        "name_sealed": key.seal(Place("patients", "name_sealed", patient_id), name) if name else None,
        "born_on_sealed": key.seal(Place("patients", "born_on_sealed", patient_id), born_on.isoformat())
        if born_on
        else None,
    }


def open_name(tx: Transaction, patient_id: int, sealed: bytes | None) -> str | None:
    """The name inside a `patients` row."""
    return tx.open(Place("patients", "name_sealed", patient_id), sealed) if sealed else None


def shown_name(tx: Transaction, patient_id: int, sealed: bytes | None) -> str | None:
    """`open_name` for a list: None also where it does not open, so that one bad row costs only itself."""
    return tx.open_if_legible(Place("patients", "name_sealed", patient_id), sealed) if sealed else None


def open_birth(tx: Transaction, patient_id: int, sealed: bytes | None) -> date | None:
    """The day of birth inside a `patients` row."""
    return date.fromisoformat(tx.open(Place("patients", "born_on_sealed", patient_id), sealed)) if sealed else None


def recipients_of(tx: Transaction, patient_id: int) -> list[RecipientRow]:
    """Everyone who gets texts about this patient's visits."""
    return tx.all_as(RecipientRow, _RECIPIENTS_OF, {"patient": patient_id})


_RECIPIENTS_OF = (
    sa.select(recipients).where(recipients.c.patient_id == sa.bindparam("patient")).order_by(recipients.c.id)
)


def recipients_by_id(tx: Transaction, recipient_ids: Collection[int]) -> list[RecipientRow]:
    """These recipients."""
    return tx.all_as(RecipientRow, sa.select(recipients).where(recipients.c.id.in_(recipient_ids)))


def recipients_on(tx: Transaction, number_ids: Collection[int]) -> list[RecipientRow]:
    """Everyone who is texted on these numbers, of whichever patient."""
    return tx.all_as(RecipientRow, _RECIPIENTS_ON, {"numbers": list(number_ids)})


def recipients_at(tx: Transaction, number_id: int, site_id: int) -> list[RecipientRow]:
    """Those of one site's patients and supporters who are texted on this number."""
    return tx.all_as(
        RecipientRow,
        sa.select(recipients)
        .join(patients, patients.c.id == recipients.c.patient_id)
        .where(recipients.c.number_id == number_id, patients.c.site_id == site_id)
        .order_by(recipients.c.id),
    )


class SiteOnNumber(NamedTuple):
    """A site that has patients with a reader on a number: its zone, and the first of these patients."""

    site_id: int
    zone: str
    patient_id: int


def sites_on(tx: Transaction, number_id: int) -> list[SiteOnNumber]:
    """The sites of every patient with a reader on this number."""
    return tx.all_as(
        SiteOnNumber,
        sa.select(patients.c.site_id, sites.c.zone, sa.func.min(patients.c.id).label("patient_id"))
        .select_from(recipients.join(patients, patients.c.id == recipients.c.patient_id).join(sites))
        .where(recipients.c.number_id == number_id)
        .group_by(patients.c.site_id, sites.c.zone)
        .order_by(patients.c.site_id),
    )


_RECIPIENTS_ON = (
    sa.select(recipients)
    .where(recipients.c.number_id.in_(sa.bindparam("numbers", expanding=True)))
    .order_by(recipients.c.id)
)


def patients_by_id(tx: Transaction, ids: Collection[int]) -> list[PatientRow]:
    """These patients."""
    return tx.all_as(PatientRow, sa.select(patients).where(patients.c.id.in_(ids))) if ids else []


def patients_on(tx: Transaction, number_id: int) -> list[int]:
    """The patients with a recipient on this number."""
    query = sa.select(recipients.c.patient_id).where(recipients.c.number_id == number_id).distinct()
    return [row.patient_id for row in tx.all(query.order_by(recipients.c.patient_id))]


def numbers_of(tx: Transaction, patient_ids: Collection[int]) -> list[int]:
    """Every number that these patients' texts go to."""
    return [row.number_id for row in tx.all(_NUMBERS_OF, {"patients": list(patient_ids)})]


_NUMBERS_OF = (
    sa.select(recipients.c.number_id)
    .where(recipients.c.patient_id.in_(sa.bindparam("patients", expanding=True)))
    .distinct()
)


def keep_recipient(tx: Transaction, *, patient_id: int, key: str, now: datetime, **values: Any) -> RecipientRow:
    """Make or update a recipient; the row as it is now."""
    mine = {"patient": patient_id, "key": key}
    row = tx.first_as(RecipientRow, _RECIPIENT, mine)
    if row is None:
        tx.run(_ADD_RECIPIENT, {"id": new_id(now), "patient_id": patient_id, "key": key, "entered_at": now, **values})
    elif any(getattr(row, column) != value for column, value in values.items()):
        if row.number_id != values.get("number_id", row.number_id):
            values["consent_id"] = None  # a new number needs a consent of its own (L-50)
        tx.run(recipients.update().where(recipients.c.id == row.id).values(**values))
    found = tx.first_as(RecipientRow, _RECIPIENT, mine)
    assert found is not None
    return found


_RECIPIENT = sa.select(recipients).where(
    recipients.c.patient_id == sa.bindparam("patient"), recipients.c.key == sa.bindparam("key")
)
_ADD_RECIPIENT = recipients.insert()


@dataclass(frozen=True, slots=True)
class ConsentGiven:
    """What a recipient said, as recorded (L-50)."""

    said: str
    said_on: date
    how: str
    by: str
    categories: list[str]
    warned_of_risk: bool
    wording: str | None
    per_day: int | None
    per_week: int | None
    alias_shown: bool
    verified: str | None
    legal_basis: str | None
    expires_on: date | None


def record_consent(
    tx: Transaction, recipient: RecipientRow, given: ConsentGiven, now: datetime, *, always: bool = False
) -> bool:
    """Append a consent and put it in force; whether it said anything new.

    What is on record already, word for word, is no news: a file imported again cannot bring back a yes that was
    revoked since. With `again` it is news all the same: it was said again. A yes older than the record in force is kept
    but not in force.
    """
    values = asdict(given)
    history = tx.all_as(ConsentRow, _CONSENTS_OF, {"recipient": recipient.id, "number": recipient.number_id})
    if not always and any(all(getattr(row, name) == value for name, value in values.items()) for row in history):
        if recipient.consent_id is None and history:  # the number came back to this person
            _put_in_force(tx, recipient.id, max(row.id for row in history))
        return False
    consent_id = new_id(now)
    tx.run(
        _ADD_CONSENT,
        {
            "id": consent_id,
            "recipient_id": recipient.id,
            "number_id": recipient.number_id,
            "recorded_at": now,
            **values,
        },
    )
    in_force = next((row for row in history if row.id == recipient.consent_id), None)
    if in_force is None or given.said != "yes" or given.said_on >= in_force.said_on:
        _put_in_force(tx, recipient.id, consent_id)
    return True


def _put_in_force(tx: Transaction, recipient_id: int, consent_id: int) -> None:
    tx.run(_PUT_IN_FORCE, {"recipient": recipient_id, "consent": consent_id})


_CONSENTS_OF = sa.select(consents).where(
    consents.c.recipient_id == sa.bindparam("recipient"), consents.c.number_id == sa.bindparam("number")
)
_ADD_CONSENT = consents.insert()
_PUT_IN_FORCE = (
    recipients.update().where(recipients.c.id == sa.bindparam("recipient")).values(consent_id=sa.bindparam("consent"))
)


def consents_in_force(tx: Transaction, recipient_ids: Sequence[int]) -> dict[int, ConsentRow]:
    """Recipient → the consent in force, for those who have one."""
    return {row.recipient_id: row for row in tx.all_as(ConsentRow, _IN_FORCE, {"recipients": list(recipient_ids)})}


_IN_FORCE = (
    sa.select(consents)
    .join(recipients, recipients.c.consent_id == consents.c.id)
    .where(recipients.c.id.in_(sa.bindparam("recipients", expanding=True)))
)


def rotate_keys(tx: Transaction, limit: int) -> int:
    """Re-seal up to `limit` values that an older sealing key sealed, with the first one; how many were done.

    Call until it gives 0; it can be stopped anywhere and run again. After that an older key can be taken out of
    REMINDERS_SEALING_KEYS.
    """
    done = 0
    # What belongs to a patient is sealed by the patient's key; of texts only those to no one's numbers are not.
    to_nobody = sa.select(attempts.c.id).join(texts).where(texts.c.recipient_id.is_(None))
    for table, column, among in (
        (keys, keys.c.wrapped, sa.true()),
        (former_keys, former_keys.c.wrapped, sa.true()),
        (numbers, numbers.c.phone_sealed, sa.true()),
        (replies, replies.c.body_sealed, sa.true()),
        (replies, replies.c.reading_sealed, sa.true()),
        (replies, replies.c.mark_sealed, replies.c.mark_sealed.is_not(None)),
        (replies, replies.c.doubt_sealed, replies.c.doubt_sealed.is_not(None)),
        (reply_counts, reply_counts.c.counts_sealed, sa.true()),
        (texts, texts.c.body_sealed, texts.c.recipient_id.is_(None)),
        (drafts, drafts.c.fields_sealed, sa.true()),
        (attempts, attempts.c.body_sealed, attempts.c.id.in_(to_nobody)),
        (receipts, receipts.c.raw_sealed, receipts.c.attempt_id.in_(to_nobody)),
        (task_events, task_events.c.note_sealed, sa.true()),
        (api_answers, api_answers.c.body_sealed, sa.true()),
        (audit, audit.c.before_sealed, sa.true()),
        (audit, audit.c.after_sealed, sa.true()),
    ):
        # The header is bytes 01, length, key id: rows that begin otherwise still wait for their turn.
        header = b"\x01" + bytes([len(tx.ring.first)]) + tx.ring.first.encode()
        start = sa.func.substr(column, 1, len(header))
        by_sealing_key = sa.func.substr(column, 1, 1) == b"\x01"
        query = sa.select(table.c.id, column.label("sealed")).where(among, by_sealing_key, start != header)
        for row in tx.all(query.limit(limit - done).with_for_update()):
            place = Place(table.name, column.name, row.id)
            assert sealing_key_of(row.sealed) != tx.ring.first
            value = tx.ring.seal(place, tx.ring.open(place, row.sealed))
            tx.run(table.update().where(table.c.id == row.id).values({column.name: value}))
            done += 1
        if done >= limit:
            break
    return done


def new_index_key(database: Database, now: datetime) -> int:
    """Make a new index key and index every number and name again by it; how many numbers.

    While everything runs: in small transactions, and what has not had its turn is found by the former key. It can be
    stopped anywhere; another call begins again and does what was left over.
    """
    database.write(lambda tx: _replace_index_key(tx, now), again=True)
    indexed = 0
    for index in (_index_numbers, _index_patients):
        last = 0
        while ids := database.write(partial(index, after=last), again=True):
            last = ids[-1]
            indexed += len(ids) if index is _index_numbers else 0
    database.write(_forget_former_keys, again=True)
    return indexed


_INDEXED_AT_ONCE = 100


def _replace_index_key(tx: Transaction, now: datetime) -> None:
    # In place, not delete and insert: who waits for the row FOR SHARE then reads the new key.
    row = tx.first(sa.select(keys).where(keys.c.purpose == "index").with_for_update())
    if row is None:  # it was lost; every number and name gets its place in the new one
        key_id = new_id(now)
        tx.run(keys.insert(), {"id": key_id, "purpose": "index", "wrapped": b"", "made_at": now})
    else:
        key_id, former_id = row.id, new_id(now)
        former = tx.ring.unwrap(row.id, row.wrapped)
        wrapped = tx.ring.seal(Place("former_keys", "wrapped", former_id), former)
        tx.run(former_keys.insert(), {"id": former_id, "wrapped": wrapped, "made_at": row.made_at})
    wrapped = tx.ring.seal(Place("keys", "wrapped", key_id), secrets.token_bytes(32))
    tx.run(keys.update().where(keys.c.id == key_id).values(wrapped=wrapped, made_at=now))
    tx.forget_index_key()


def _index_numbers(tx: Transaction, after: int) -> list[int]:
    """Index the next numbers again; their ids."""
    rows = tx.all_as(NumberRow, _next_of(numbers, after))
    for row in rows:
        if row.phone_sealed:  # else its person was erased, and no one knows the number any more
            mark = tx.fingerprint(phone_of(tx, row.id, row.phone_sealed))
            tx.run(numbers.update().where(numbers.c.id == row.id).values(fingerprint=mark))
    return [row.id for row in rows]


def _index_patients(tx: Transaction, after: int) -> list[int]:
    """Index the next patients' names again; their ids."""
    rows = tx.all_as(PatientRow, _next_of(patients, after))
    for row in rows:
        if row.name_sealed is not None:
            with suppress(Unreadable, LookupError):  # erased
                index_name(tx, row.id, open_name(tx, row.id, row.name_sealed))
    return [row.id for row in rows]


def _next_of(table: sa.Table, after: int) -> sa.Select[Any]:
    return sa.select(table).where(table.c.id > after).order_by(table.c.id).limit(_INDEXED_AT_ONCE).with_for_update()


def _forget_former_keys(tx: Transaction) -> None:
    """Unless a number whose person was erased asked for no more texts: it is found by them alone."""
    stopped = sa.select(numbers.c.id).where(numbers.c.phone_sealed == b"", numbers.c.opted_out_at.is_not(None))
    if tx.first(stopped.limit(1)) is None:
        tx.run(former_keys.delete())


def number_by_phone(tx: Transaction, phone: str) -> NumberRow | None:
    """The row of this E.164 number, if it is known here."""
    return tx.first_as(NumberRow, sa.select(numbers).where(numbers.c.fingerprint.in_(tx.fingerprints(phone))))
