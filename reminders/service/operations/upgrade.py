"""Bringing the database to this version's schema, and asking whether it is there."""

from datetime import datetime

from reminders import __version__, store
from reminders.app_context import AppContext
from reminders.store import check, check_again

__all__ = ["check", "check_again", "migrate", "versions"]


def versions(context: AppContext) -> tuple[str, str | None]:
    """The version of this program, and the schema that the database is at. Raises Unavailable."""
    return __version__, store.current(context.database)


def migrate(context: AppContext, now: datetime) -> tuple[str | None, str]:
    """Bring the database to this version's schema; from which to which (None: from an empty one). Safe to repeat."""
    before, after = store.migrate(context.database, now)
    context.database.write(lambda tx: store.people.keep_default_site(tx, context.settings, now), again=True)
    return before, after
