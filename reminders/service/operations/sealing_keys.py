"""Changing the sealing keys while everything runs (docs/keys.md)."""

from collections.abc import Iterator
from datetime import datetime

from reminders import store
from reminders.app_context import AppContext
from reminders.audit_actions import Action

AT_ONCE = 200  # values in one transaction


def reseal(context: AppContext) -> Iterator[int]:
    """Seal everything again with the first key: how many values, transaction by transaction. Safe to repeat."""
    while done := context.database.write(lambda tx: store.people.rotate_keys(tx, AT_ONCE), again=True):
        yield done


def finish(context: AppContext, now: datetime, *, who: str, index: bool) -> int:
    """Put the rotation on record; with `index` make a new index key first. How many numbers it indexed."""
    indexed = store.people.new_index_key(context.database, now) if index else 0
    context.database.write(
        lambda tx: store.audit_log.note(tx, who=who, what=Action.KEYS_ROTATED, table="keys", row=0, now=now), again=True
    )
    return indexed
