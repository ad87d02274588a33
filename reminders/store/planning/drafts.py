"""Plans that someone has begun to enter: theirs alone, sealed, and gone when they are accepted or forgotten."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa

from reminders.store.database.engine import Transaction
from reminders.store.database.schema import drafts
from reminders.store.database.sealing import Place, Unreadable

FORGOTTEN_AFTER = timedelta(days=14)  # personal data that became no one's plan


def keep(
    tx: Transaction, draft_id: int, fields: Sequence[tuple[str, str]], now: datetime, *, staff_id: int, site_id: int
) -> bool:
    """Keep a draft as it is now; False where that draft is another's. What was left for two weeks is forgotten."""
    tx.run(drafts.delete().where(drafts.c.staff_id == staff_id, drafts.c.changed_at < now - FORGOTTEN_AFTER))
    sealed = tx.seal(Place("drafts", "fields_sealed", draft_id), json.dumps(list(fields), ensure_ascii=False))
    values = {"fields_sealed": sealed, "site_id": site_id, "changed_at": now}
    mine = drafts.update().where(drafts.c.id == draft_id, drafts.c.staff_id == staff_id)
    if tx.run(mine.values(**values)):
        return True
    return tx.insert_new(drafts, {"id": draft_id, "staff_id": staff_id, **values})


def forget(tx: Transaction, before: datetime) -> int:
    """Forget what was left since then, whosever it is; how many."""
    return tx.run(drafts.delete().where(drafts.c.changed_at < before))


def forget_about(tx: Transaction, is_about: Callable[[str], bool]) -> int:
    """Forget every draft that someone is named in, as `is_about` says of all its words; how many.

    One that does not open goes too: no one can say whom it names.
    """
    gone = []
    for row in tx.all(sa.select(drafts.c.id, drafts.c.fields_sealed)):
        try:
            fields = json.loads(tx.open(Place("drafts", "fields_sealed", row.id), row.fields_sealed))
        except (LookupError, Unreadable):
            gone.append(row.id)
            continue
        if is_about("\n".join(value for _, value in fields)):
            gone.append(row.id)
    return tx.run(drafts.delete().where(drafts.c.id.in_(gone))) if gone else 0


def discard(tx: Transaction, staff_id: int, draft_id: int) -> bool:
    """Forget a draft; whether there was one of theirs."""
    return tx.run(drafts.delete().where(drafts.c.id == draft_id, drafts.c.staff_id == staff_id)) == 1
