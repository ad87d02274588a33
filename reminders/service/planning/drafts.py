"""What staff began to type and is kept for them alone."""

from collections.abc import Sequence
from datetime import datetime

from reminders import store
from reminders.app_context import AppContext
from reminders.store.database.ids import new_id

__all__ = ["discard", "keep", "new_id"]


def keep(
    context: AppContext, draft_id: int, fields: Sequence[tuple[str, str]], now: datetime, *, staff_id: int, site_id: int
) -> bool:
    """Keep a draft as it is now; False where that draft is someone else's."""
    return context.database.write(
        lambda tx: store.drafts.keep(tx, draft_id, fields, now, staff_id=staff_id, site_id=site_id), again=True
    )


def discard(context: AppContext, staff_id: int, draft_id: int) -> bool:
    """Forget a draft; whether there was one of theirs."""
    return context.database.write(lambda tx: store.drafts.discard(tx, staff_id, draft_id), again=True)
