"""Bringing the database to the schema this code speaks. Migrations are in `migrations/`, inside the package."""

import re
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from importlib.resources import as_file, files

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from reminders import __version__
from reminders.store.database import schema, shape
from reminders.store.database.engine import Database, Transaction
from reminders.store.database.ids import new_id
from reminders.store.database.sealing import Place, Unreadable

_NAMED = 3


class WrongSchema(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is wrong
    """The database is not of this code's schema. The message says what is wrong, and the `fix`."""

    def __init__(self, wrong: str, fix: str) -> None:
        super().__init__(f"{wrong}; {fix}")
        self.wrong, self.fix = wrong, fix


_MIGRATE = "run `reminders migrate`"
_NEWER = "run the newer version"
_ITS_OWN = "let database.url name a database of its own"
_BEGIN_AGAIN = "let database.url name an empty database, or restore a backup (docs/restore.md)"
_UNDO = "undo what was changed by hand, or restore a backup (docs/restore.md)"


@contextmanager
def _config() -> Generator[Config]:
    with as_file(files("reminders.store.database") / "migrations") as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        yield config


@cache
def head() -> str:
    """The revision this code speaks."""
    with _config() as config:
        revision = ScriptDirectory.from_config(config).get_current_head()
    assert revision is not None
    return revision


@cache
def _known() -> frozenset[str]:
    with _config() as config:
        return frozenset(script.revision for script in ScriptDirectory.from_config(config).walk_revisions())


def current(database: Database) -> str | None:
    """The revision the database is at; None when it is empty. Raises Unavailable."""
    return database.read(lambda tx: MigrationContext.configure(tx.connection).get_current_revision())


def check(database: Database) -> None:
    """Raise WrongSchema unless the database is at this code's revision and of its shape, or Unavailable.

    It reads the whole catalog once: that is for the start of a process, and for who asks what is wrong.
    """
    if (file := database.missing_file) is not None:
        raise WrongSchema(
            f"there is no database {file}",
            f"{_MIGRATE} to make one, or set database.url or the working directory to where it is",
        )
    database.read(_refuse_other)
    database.shape_checked = True


def check_again(database: Database) -> None:
    """`check` for a place that asks often: once it was passed, only revision and fingerprint are read."""
    if not database.shape_checked:
        check(database)
        return
    at, wanted = current(database), head()
    if at != wanted:
        database.shape_checked = False
        check(database)
    database.read(lambda tx: _refuse_other_fingerprint(tx, wanted))


def _refuse_other(tx: Transaction) -> None:
    at, wanted = _standing(tx), head()
    if at is None:
        raise WrongSchema("the database is empty", f"{_MIGRATE} first")
    if at != wanted:
        raise WrongSchema(f"the database is at {at}, this code speaks {wanted}", _MIGRATE)


def _standing(tx: Transaction) -> str | None:
    """The revision of this database, whose shape is that revision's; None where it is empty. Raises WrongSchema."""
    found, wanted = shape.read(tx.connection), head()
    tables = shape.tables(found)
    ours = tables & shape.tables(shape.recorded(wanted, tx.connection.dialect.name))
    others = ", ".join(sorted(tables - {"alembic_version"})[:_NAMED])
    revisions: list[str] = []
    if ("alembic_version", "column", "version_num") in found:
        revisions = [str(row[0]) for row in tx.all(sa.text("SELECT version_num FROM alembic_version"))]
    if not tables - {"alembic_version"} and not revisions:
        return None
    if not ours:
        raise WrongSchema(
            f"the database is another program's: it holds no table of this one ({others or 'none'})", _ITS_OWN
        )
    if len(revisions) != 1:
        raise WrongSchema(
            "the database holds tables of this program and does not say of which version they are, as while a backup is"
            " loaded",
            "wait until that ends; if nothing loads one, " + _BEGIN_AGAIN,
        )
    at = revisions[0]
    if "shapes" not in tables:
        raise WrongSchema(
            f"the database says that it is at {at} and carries no fingerprint (table shapes): it was made before the"
            " first release, 0.2.0, or is another program's",
            _BEGIN_AGAIN,
        )
    if at not in _known():
        if re.fullmatch(r"\d{4}", at) and at > wanted:
            raise WrongSchema(f"the database is at {at}, which is newer than this code", _NEWER)
        raise WrongSchema(f"the database is at {at}, which no version of this program has made", _BEGIN_AGAIN)
    differs = shape.differences(found, shape.recorded(at, tx.connection.dialect.name))
    if differs:
        raise WrongSchema(f"the database says that it is at {at}, but differs: {shape.in_words(differs)}", _UNDO)
    _refuse_other_fingerprint(tx, at)
    return at


def _refuse_other_fingerprint(tx: Transaction, at: str) -> None:
    """Raise WrongSchema unless the database carries the fingerprint of that revision."""
    said = tx.value(sa.select(schema.shapes.c.fingerprint).where(schema.shapes.c.revision == at))
    if said != shape.fingerprint(shape.recorded(at, tx.connection.dialect.name)):
        carries = "none" if said is None else "another"
        raise WrongSchema(
            f"the database says that it is at {at}, and of the fingerprint of that schema it carries {carries}", _UNDO
        )


def migrate(database: Database, now: datetime) -> tuple[str | None, str]:
    """Bring the database to this code's schema, in one transaction; (revision before, revision after).

    Also makes the phone index key of a new database. Raises WrongSchema for a database newer than this code, of
    another shape than its revision's, or of another program; it stays as it is.
    """
    with _config() as config, database.migrating() as connection:
        tx = Transaction(database, connection)
        before, after = _standing(tx), head()
        config.attributes["connection"] = connection
        config.attributes["seals"] = _Seals(tx)
        try:
            if before not in {None, after}:
                _refuse_other_keys(tx)
            command.upgrade(config, "head")
        except Unreadable as error:
            raise WrongSchema(
                f"the migration seals what stood in the clear, and {error}; nothing was changed",
                "put every sealing key of this database into REMINDERS_SEALING_KEYS and run it again",
            ) from None
        if before != after:
            _refuse_lost_references(tx)
            _keep_fingerprint(tx, after, now)
        _keep_index_key(tx, now, is_new=before is None)
    if before not in {None, after}:
        database.rewrite(config.attributes.get("took_from", ()))
    database.keep_to_owner()
    return before, after


class _Seals:
    """What a migration may ask of the keys: it gives text and ids, so that it holds on to nothing of ours."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def seal(self, table: str, column: str, row_id: int, text: str, key_id: int | None) -> bytes:
        """Seal `text` for that place by the patient's key of that id, or by the sealing keys: empty where it is gone.

        Raises Unreadable.
        """
        try:
            key = self._tx.data_key(key_id) if key_id is not None else None
        except LookupError:
            return b""
        return self._tx.seal(Place(table, column, row_id), text, key)

    def open(self, table: str, column: str, row_id: int, sealed: bytes) -> str | None:
        """What is sealed there; None where its key is gone. Raises Unreadable."""
        try:
            return self._tx.open(Place(table, column, row_id), sealed)
        except LookupError:
            return None


def _refuse_other_keys(tx: Transaction) -> None:
    """Raise Unreadable where the sealing keys at hand are not those of this database."""
    row = tx.first(sa.select(schema.keys.c.id, schema.keys.c.wrapped).where(schema.keys.c.purpose == "index"))
    if row is not None:
        tx.ring.unwrap(row.id, row.wrapped)


def _refuse_lost_references(tx: Transaction) -> None:
    """SQLite watches no references while it is migrated: see that none was lost. Raises WrongSchema."""
    if tx.connection.dialect.name == "sqlite":
        lost = tx.first(sa.text('SELECT "table" AS child, parent FROM pragma_foreign_key_check'))
        if lost is not None:
            raise WrongSchema(
                f"a row of {lost.child} refers to a row of {lost.parent} that is not there",
                "nothing was changed; restore a backup (docs/restore.md)",
            )


def _keep_fingerprint(tx: Transaction, revision: str, now: datetime) -> None:
    """Let the database carry the fingerprint of what was just made of it. Raises WrongSchema where that is not it."""
    wanted = shape.recorded(revision, tx.connection.dialect.name)
    if differs := shape.differences(shape.read(tx.connection), wanted):
        raise WrongSchema(
            f"after the migration to {revision} the database differs: {shape.in_words(differs)}",
            "nothing was changed; report it with the version of the database",
        )
    values = {"revision": revision, "fingerprint": shape.fingerprint(wanted), "version": __version__, "made_at": now}
    tx.run(schema.shapes.insert(), values)


def _keep_index_key(tx: Transaction, now: datetime, *, is_new: bool) -> None:
    """Make the phone index key of a new database. A lost one is not made again here.

    With another key no number that is on record is found any more, and with them no STOP. Raises WrongSchema.
    """
    keys = schema.keys
    if tx.first(sa.select(keys.c.id).where(keys.c.purpose == "index")) is not None:
        return
    if not is_new and tx.first(sa.select(schema.numbers.c.id).limit(1)) is not None:
        raise WrongSchema(
            "the phone index key is lost, so no number is found",
            "run `reminders keys rotate --index`, which makes a new one and finds every number by it again",
        )
    key_id = new_id(now)
    wrapped = tx.ring.seal(Place("keys", "wrapped", key_id), secrets.token_bytes(32))
    tx.run(keys.insert(), {"id": key_id, "purpose": "index", "wrapped": wrapped, "made_at": now})
