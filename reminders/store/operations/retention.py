"""What is kept how long (L-57): words go after their time, a person's particulars when they are erased.

What was cleared is empty, and opens as no words at all. Who was texted when, by which wording of ours and with what
outcome stays, as do consents and opt-outs. Nothing of a patient under a legal hold is cleared (L-58).
"""

import secrets
from collections.abc import Callable, Collection
from datetime import datetime

import sqlalchemy as sa

from reminders.lifecycle import TO_GO
from reminders.store.database.engine import Transaction
from reminders.store.database.ids import first_id, made_at, new_id
from reminders.store.database.schema import (
    attempts,
    consents,
    keys,
    numbers,
    patients,
    plans,
    receipts,
    recipients,
    replies,
    series,
    sessions,
    task_events,
    tasks,
    texts,
)
from reminders.store.people import index_name
from reminders.store.records import PatientRow

CLEARED = b""
_OF_DANGER = ("crisis", "possible", "supervisor", "slip")  # what was written then stays with its record


def set_hold(tx: Transaction, patient_id: int, *, held: bool) -> bool:
    """Put a patient under a legal hold, or end it; whether that was new."""
    mine = patients.update().where(patients.c.id == patient_id, patients.c.legal_hold != held)
    return tx.run(mine.values(legal_hold=held)) == 1


def oldest(tx: Transaction) -> datetime | None:
    """When the oldest text or reply was stored."""
    ids = [tx.value(sa.select(sa.func.min(table.c.id))) for table in (texts, replies)]
    return min((made_at(row_id) for row_id in ids if row_id is not None), default=None)


def clear(tx: Transaction, since: datetime, until: datetime) -> int:
    """Clear the words of what was sent and heard between these instants; how many rows."""
    held = sa.select(recipients.c.id).join(patients).where(patients.c.legal_hold)
    of_held = sa.select(recipients.c.number_id).join(patients).where(patients.c.legal_hold)
    their_texts = sa.select(texts.c.id).where(texts.c.recipient_id.in_(held))
    their_attempts = sa.select(attempts.c.id).join(texts).where(texts.c.recipient_id.in_(held))
    of_danger = (
        sa.select(task_events.c.reply_id)
        .join(tasks, tasks.c.id == task_events.c.task_id)
        .where(task_events.c.reply_id.is_not(None), tasks.c.kind.in_(_OF_DANGER))
    )
    tried = attempts.update().where(attempts.c.id >= first_id(since), attempts.c.id < first_id(until))
    told = receipts.update().where(receipts.c.id >= first_id(since), receipts.c.id < first_id(until))
    typed = texts.update().where(texts.c.opens_at >= since, texts.c.opens_at < until, texts.c.closes_at < until)
    heard = replies.update().where(replies.c.received_at >= since, replies.c.received_at < until)
    return sum(
        tx.run(statement)
        for statement in (
            tried.where(attempts.c.body_sealed != CLEARED, attempts.c.look_at.is_(None))
            .where(attempts.c.text_id.not_in(their_texts))
            .values(body_sealed=CLEARED),
            told.where(receipts.c.raw_sealed != CLEARED, receipts.c.attempt_id.not_in(their_attempts)).values(
                raw_sealed=CLEARED
            ),
            typed.where(texts.c.body_sealed.is_not(None), texts.c.state.not_in(TO_GO))
            .where(texts.c.id.not_in(their_texts))
            .values(body_sealed=None),
            heard.where(replies.c.body_sealed != CLEARED, replies.c.number_id.not_in(of_held))
            .where(replies.c.id.not_in(of_danger))
            .values(body_sealed=CLEARED, quoted=None, doubt_sealed=None),
        )
    )


def is_under_way(tx: Transaction, patient_id: int) -> bool:
    """Whether a text about this patient is on the wire, or looked for."""
    mine = sa.select(recipients.c.id).where(recipients.c.patient_id == patient_id)
    theirs = sa.select(texts.c.id).where(texts.c.recipient_id.in_(mine))
    looked_for = sa.select(attempts.c.id).where(attempts.c.text_id.in_(theirs), attempts.c.look_at.is_not(None))
    return (
        tx.first(theirs.where(texts.c.state == "sending").limit(1)) is not None
        or tx.first(looked_for.limit(1)) is not None
    )


def messages_of(tx: Transaction, patient_id: int) -> int:
    """How many messages about a patient Twilio took. It keeps them, number and words, until they are deleted there."""
    mine = sa.select(recipients.c.id).where(recipients.c.patient_id == patient_id)
    sent = sa.select(sa.func.count()).select_from(attempts).join(texts, texts.c.id == attempts.c.text_id)
    return int(tx.value(sent.where(texts.c.recipient_id.in_(mine), attempts.c.sid.is_not(None))))


def numbers_ever(tx: Transaction, patient_id: int) -> list[int]:
    """Every number that a patient's texts go to or went to, or that a consent about them names."""
    mine = sa.select(recipients.c.id).where(recipients.c.patient_id == patient_id)
    texted = sa.select(texts.c.number_id).where(texts.c.recipient_id.in_(mine))
    agreed = sa.select(consents.c.number_id).where(consents.c.recipient_id.in_(mine))
    present = sa.select(recipients.c.number_id).where(recipients.c.patient_id == patient_id)
    return sorted(row.number_id for row in tx.all(present.union(texted, agreed)))


def erase(
    tx: Transaction,
    patient: PatientRow,
    number_ids: Collection[int],
    now: datetime,
    is_in: Callable[[str], bool],
) -> None:
    """Destroy a patient's key, and empty what it sealed; the rows stay, by their ids.

    Of `number_ids`, whose locks the caller holds, those that are no one else's lose the phone itself; its fingerprint
    stays, so that a STOP holds for ever. No one of theirs is on a real number any more. What staff typed into a consent
    or as a key stays, unless `is_in` says that it names them.
    """
    mine = sa.select(recipients.c.id).where(recipients.c.patient_id == patient.id)
    their_texts = sa.select(texts.c.id).where(texts.c.recipient_id.in_(mine))
    their_attempts = sa.select(attempts.c.id).where(attempts.c.text_id.in_(their_texts))
    others = sa.select(recipients.c.number_id).where(recipients.c.patient_id != patient.id)
    own = sa.select(numbers.c.id).where(numbers.c.id.in_(number_ids), numbers.c.id.not_in(others))
    of_no_one = sa.and_(tasks.c.patient_id.is_(None), tasks.c.number_id.in_(own))
    their_tasks = sa.select(tasks.c.id).where(sa.or_(tasks.c.patient_id == patient.id, of_no_one))
    for statement in (
        receipts.update().where(receipts.c.attempt_id.in_(their_attempts)).values(raw_sealed=CLEARED),
        attempts.update().where(attempts.c.text_id.in_(their_texts)).values(body_sealed=CLEARED),
        texts.update().where(texts.c.recipient_id.in_(mine)).values(body_sealed=None),
        replies.update()
        .where(sa.or_(replies.c.patient_id == patient.id, replies.c.number_id.in_(own)))
        .values(body_sealed=CLEARED, quoted=None, reading_sealed=CLEARED, mark_sealed=None, doubt_sealed=None),
        task_events.update().where(task_events.c.task_id.in_(their_tasks)).values(note_sealed=None),
        series.update()
        .where(series.c.plan_id.in_(sa.select(plans.c.id).where(plans.c.patient_id == patient.id)))
        .values(place_sealed=None, with_sealed=None),
        plans.update()
        .where(plans.c.patient_id == patient.id, plans.c.ended_because_sealed.is_not(None))
        .values(ended_because_sealed=CLEARED),
        numbers.update().where(numbers.c.id.in_(own)).values(phone_sealed=CLEARED),
    ):
        tx.run(statement)
    nowhere = new_id(now)
    tx.run(numbers.insert(), {"id": nowhere, "fingerprint": secrets.token_bytes(32), "phone_sealed": CLEARED})
    tx.run(recipients.update().where(recipients.c.patient_id == patient.id).values(number_id=nowhere))
    for plan in tx.all(sa.select(plans.c.id).where(plans.c.patient_id == patient.id)):
        whose = plans.update().where(plans.c.id == plan.id)
        tx.run(whose.values(ref=f"erased-{plan.id}", replaces=None, document_sealed=CLEARED))
    _take_out_words(tx, patient.id, is_in)
    index_name(tx, patient.id, None)
    # Its reference names a person in another system, and may come again with a plan of someone who returns.
    row = patients.update().where(patients.c.id == patient.id)
    tx.run(row.values(ref=f"erased-{patient.id}", name_sealed=None, born_on_sealed=None))
    tx.run(keys.update().where(keys.c.id == patient.key_id).values(wrapped=CLEARED))


def _take_out_words(tx: Transaction, patient_id: int, is_in: Callable[[str], bool]) -> None:
    """Take a person's name, reference and numbers out of what staff typed in the clear, where it says them."""
    readers = tx.all(sa.select(recipients).where(recipients.c.patient_id == patient_id))
    agreed = tx.all(sa.select(consents).where(consents.c.recipient_id.in_([reader.id for reader in readers])))
    planned = tx.all(sa.select(series).join(plans).where(plans.c.patient_id == patient_id))
    shared = sa.select(series.c.session_id).join(plans).where(plans.c.patient_id != patient_id)
    shared = shared.where(series.c.session_id.is_not(None))
    ours = sa.select(sessions).where(sessions.c.id.in_({one.session_id for one in planned} - {None}))
    alone = tx.all(ours.where(sessions.c.id.not_in(shared)))
    for table, rows, columns in (
        (consents, agreed, ("how", "by", "verified", "legal_basis")),
        (recipients, readers, ("key",)),
        (series, planned, ("key",)),
        (sessions, alone, ("key",)),
    ):
        for row in rows:
            said = {column: row._mapping[column] for column in columns}
            named = {column: f"erased-{row.id}" for column, words in said.items() if words and is_in(words)}
            if named:
                tx.run(table.update().where(table.c.id == row.id).values(**named))
    renamed = {reader.key: f"erased-{reader.id}" for reader in readers if is_in(reader.key)}
    for row in planned if renamed else ():
        tx.run(
            series.update()
            .where(series.c.id == row.id)
            .values(recipients=[renamed.get(one, one) for one in row.recipients])
        )
