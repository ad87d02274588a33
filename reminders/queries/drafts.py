"""Plans that staff began to type and kept."""

import json
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from reminders.store.database.engine import Transaction
from reminders.store.database.schema import drafts
from reminders.store.database.sealing import Place


@dataclass(frozen=True, slots=True)
class Draft:
    """A form as it was left: its fields in order."""

    id: int
    site_id: int
    changed_at: datetime
    fields: tuple[tuple[str, str], ...] = field(repr=False)


def mine(tx: Transaction, staff_id: int, draft_id: int | None = None) -> list[Draft]:
    """The drafts of a member of staff, the newest first; of that id alone where one is given."""
    query = sa.select(drafts).where(drafts.c.staff_id == staff_id).order_by(drafts.c.changed_at.desc()).limit(50)
    if draft_id is not None:
        query = query.where(drafts.c.id == draft_id)
    return [
        Draft(
            row.id,
            row.site_id,
            row.changed_at,
            tuple(
                (name, value)
                for name, value in json.loads(tx.open(Place("drafts", "fields_sealed", row.id), row.fields_sealed))
            ),
        )
        for row in tx.all(query)
    ]
