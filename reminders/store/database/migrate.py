"""Bringing the database to the schema this code speaks. Migrations are in `migrations/`, inside the package."""

import secrets
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from importlib.resources import as_file, files

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from reminders.store.database import schema
from reminders.store.database.engine import Database, Transaction
from reminders.store.database.ids import new_id
from reminders.store.database.sealing import Place


class WrongSchema(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is wrong
    """The database is not of this code's schema. The message says what to do."""


@contextmanager
def _config() -> Generator[Config]:
    with as_file(files("reminders.store.database") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        yield config


def head() -> str:
    """The revision this code speaks."""
    with _config() as config:
        revision = ScriptDirectory.from_config(config).get_current_head()
    assert revision is not None
    return revision


def _known() -> set[str]:
    with _config() as config:
        return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def current(database: Database) -> str | None:
    """The revision the database is at; None when it is empty. Raises Unavailable."""
    return database.read(lambda tx: MigrationContext.configure(tx.connection).get_current_revision())


def check(database: Database) -> None:
    """Raise WrongSchema unless the database is at this code's revision."""
    if (file := database.missing_file) is not None:
        raise WrongSchema(
            f"there is no database {file}; run `reminders migrate` to make one, or set database.url or the working"
            " directory to where it is"
        )
    at, wanted = current(database), head()
    if at == wanted:
        return
    if at is None:
        raise WrongSchema("the database is empty; run `reminders migrate` first")
    if at in _known():
        raise WrongSchema(f"the database is at {at}, this code speaks {wanted}; run `reminders migrate`")
    raise WrongSchema(f"the database is at {at}, which is newer than this code; run the newer version")


def migrate(database: Database, now: datetime) -> tuple[str | None, str]:
    """Bring the database to this code's schema, in one transaction; (revision before, revision after).

    Also makes the phone index key of a new database. Raises WrongSchema for a database newer than this code.
    """
    with _config() as config, database.migrating() as connection:
        before = MigrationContext.configure(connection).get_current_revision()
        if before is not None and before not in _known():
            raise WrongSchema(f"the database is at {before}, which is newer than this code; run the newer version")
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        _keep_index_key(Transaction(database, connection), now, is_new=before is None)
    database.keep_to_owner()
    return before, head()


def _keep_index_key(tx: Transaction, now: datetime, *, is_new: bool) -> None:
    """Make the phone index key of a new database. A lost one is not made again here.

    With another key no number that is on record is found any more, and with them no STOP. Raises WrongSchema.
    """
    keys = schema.keys
    if tx.first(sa.select(keys.c.id).where(keys.c.purpose == "index")) is not None:
        return
    if not is_new and tx.first(sa.select(schema.numbers.c.id).limit(1)) is not None:
        raise WrongSchema(
            "the phone index key is lost, so no number is found; run `reminders keys rotate --index`, which makes a"
            " new one and finds every number by it again"
        )
    key_id = new_id(now)
    wrapped = tx.ring.seal(Place("keys", "wrapped", key_id), secrets.token_bytes(32))
    tx.run(keys.insert(), {"id": key_id, "purpose": "index", "wrapped": wrapped, "made_at": now})
