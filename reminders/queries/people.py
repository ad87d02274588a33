"""Who and where, as pages ask: sites, patients and numbers, by what a person types or an address says."""

from collections.abc import Collection
from dataclasses import dataclass, field

import sqlalchemy as sa

from reminders.store.database.engine import Transaction
from reminders.store.database.schema import (
    numbers,
    patients,
    plans,
    recipients,
    replies,
    senders,
)
from reminders.store.database.sealing import Place
from reminders.store.people import (
    all_sites,
    masked,
    masked_of,
    number_by_phone,
    open_name,
    patient_by_ref,
    paused_sites,
    phone_by_id,
    phone_of,
    recipients_of,
    shown_name,
    shown_phone_by_id,
    site_by_key,
    site_of_patient,
    words_of,
)
from reminders.store.people import lock_numbers as find_numbers

__all__ = [
    "PhoneOf",
    "all_sites",
    "find_numbers",
    "masked",
    "masked_of",
    "number_by_phone",
    "open_name",
    "patient_by_ref",
    "paused_sites",
    "phone_by_id",
    "phone_of",
    "phones_at",
    "recipients_of",
    "reference_of",
    "row_of_reference",
    "searched_marks",
    "shown_phone_by_id",
    "site_by_key",
    "site_of_patient",
]


@dataclass(frozen=True, slots=True)
class PhoneOf:
    """A number with whose it is: the first patient who is texted on it, and the sender that texts it."""

    number_id: int
    phone: str = field(repr=False)
    patient_id: int | None
    patient: str | None
    name: str | None = field(repr=False)
    role: str | None
    sender: str | None


def phones_at(tx: Transaction, places: Collection[int], *, number_id: int | None = None) -> list[PhoneOf]:
    """The numbers that patients of these sites are texted on, and those that texted these sites; or only that one."""
    texted = sa.select(replies.c.number_id).where(replies.c.site_id.in_(places))
    query = (
        sa.select(
            numbers.c.id.label("number_id"),
            numbers.c.phone_sealed,
            recipients.c.role,
            patients.c.id,
            patients.c.ref,
            patients.c.name_sealed,
            patients.c.key_id,
            patients.c.site_id,
            sa.select(sa.func.min(senders.c.address))
            .where(senders.c.site_id == patients.c.site_id)
            .scalar_subquery()
            .label("sender"),
        )
        .select_from(numbers)
        .outerjoin(recipients, recipients.c.number_id == numbers.c.id)
        .outerjoin(patients, sa.and_(patients.c.id == recipients.c.patient_id, patients.c.site_id.in_(places)))
        .where(sa.or_(patients.c.id.is_not(None), numbers.c.id.in_(texted)))
        .order_by(numbers.c.id, sa.case((recipients.c.role == "self", 0), else_=1), recipients.c.id)
        .limit(500)
    )
    if number_id is not None:
        query = query.where(numbers.c.id == number_id)
    found: dict[int, PhoneOf] = {}
    for row in tx.all(query):
        phone = tx.open_if_legible(Place("numbers", "phone_sealed", row.number_id), row.phone_sealed)
        if row.number_id not in found and phone is not None:
            found[row.number_id] = PhoneOf(
                number_id=row.number_id,
                phone=phone,
                patient_id=row.id,
                patient=row.ref,
                name=shown_name(tx, row.id, row.name_sealed),
                role=row.role,
                sender=row.sender,
            )
    return list(found.values())


def row_of_reference(tx: Transaction, what: str, ref: str, places: Collection[int] | None) -> int | None:
    """The row of the first `plan` or `patient` (`what`) with that reference, at any of these sites (None: at all)."""
    table = _REFERENCED[what]
    query = sa.select(table.c.id).where(table.c.ref == ref).order_by(table.c.id).limit(1)
    found = tx.value(query if places is None else query.where(table.c.site_id.in_(places)))
    return None if found is None else int(found)


def reference_of(tx: Transaction, what: str, row_id: int, places: Collection[int] | None) -> str | None:
    """The reference of that `plan` or `patient` (`what`), if it is at any of these sites (None: at all)."""
    table = _REFERENCED[what]
    query = sa.select(table.c.ref).where(table.c.id == row_id)
    found: str | None = tx.value(query if places is None else query.where(table.c.site_id.in_(places)))
    return found


_REFERENCED = {"plan": plans, "patient": patients}


def searched_marks(tx: Transaction, name: str) -> list[set[bytes]]:
    """`name_marks` by the index key, and by each that it replaced."""
    of_words = [tx.fingerprints(f"name {word}") for word in words_of(name)]
    return [set(marks) for marks in zip(*of_words, strict=True)]
