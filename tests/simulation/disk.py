"""The simulated database: a real SQLite file or PostgreSQL database, with faults chosen by the run.

Special triggers record every move of a text and every attempt in the order in which the database saw them; the promises
are checked against that record. One engine serves all seeds and all simulated processes of a run (its statements stay
compiled); a process keeps its knowledge in its AppContext, which dies with it.
"""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa
from conftest import KEYS, PostgreSQL
from simulation.loop import WHOSE, Died

from reminders import store
from reminders.store.database import engine as store_engine
from reminders.store.database import schema
from reminders.store.database.sealing import DataKey, Place, data_key_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MADE_AT = datetime(2026, 1, 1, tzinfo=UTC)

_SQLITE = """
CREATE TABLE sim_moves (seq INTEGER PRIMARY KEY AUTOINCREMENT, text_id INTEGER, before TEXT, after TEXT,
  attempts INTEGER);
CREATE TABLE sim_starts (seq INTEGER PRIMARY KEY AUTOINCREMENT, attempt_id INTEGER, state TEXT, held TEXT,
  opted_out INTEGER, bad INTEGER);
CREATE TRIGGER sim_move AFTER UPDATE OF state ON texts WHEN old.state <> new.state BEGIN
  INSERT INTO sim_moves (text_id, before, after, attempts) VALUES (new.id, old.state, new.state, old.attempts);
END;
CREATE TRIGGER sim_start AFTER INSERT ON attempts BEGIN
  INSERT INTO sim_starts (attempt_id, state, held, opted_out, bad)
    SELECT new.id, t.state, t.held, n.opted_out_at IS NOT NULL, n.bad_since IS NOT NULL OR n.wrong_since IS NOT NULL
      FROM texts t JOIN numbers n ON n.id = new.number_id WHERE t.id = new.text_id;
END;
"""
_POSTGRESQL = """
CREATE TABLE sim_moves (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, text_id BIGINT, before TEXT, after TEXT,
  attempts INTEGER);
CREATE TABLE sim_starts (seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, attempt_id BIGINT, state TEXT, held TEXT,
  opted_out BOOLEAN, bad BOOLEAN);
CREATE FUNCTION sim_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO sim_moves (text_id, before, after, attempts) VALUES (new.id, old.state, new.state, old.attempts);
  RETURN NULL; END $$;
CREATE FUNCTION sim_start() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO sim_starts (attempt_id, state, held, opted_out, bad)
    SELECT new.id, t.state, t.held, n.opted_out_at IS NOT NULL, n.bad_since IS NOT NULL OR n.wrong_since IS NOT NULL
      FROM texts t JOIN numbers n ON n.id = new.number_id WHERE t.id = new.text_id;
  RETURN NULL; END $$;
CREATE TRIGGER sim_move AFTER UPDATE OF state ON texts FOR EACH ROW WHEN (old.state <> new.state)
  EXECUTE FUNCTION sim_move();
CREATE TRIGGER sim_start AFTER INSERT ON attempts FOR EACH ROW EXECUTE FUNCTION sim_start();
"""


class Disk:
    """The database of one seed after another. `fresh` empties it; `url` is where it is."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self._file = folder / "reminders.db"
        self._template = folder / "template.db"
        self._server = PostgreSQL() if kind == "postgresql" else None
        if self._server is not None:
            self._server.run("CREATE DATABASE simulation")
            self.url = self._server.url("simulation")
        else:
            self.url = f"sqlite:///{self._file}"
        made = store.Database(self.url if self._server else f"sqlite:///{self._template}", store.Ring(KEYS))
        store.migrate(made, _MADE_AT)
        made.checkpoint()
        made.close()
        if self._server is not None:
            self._server.run(_POSTGRESQL, "simulation")
        else:
            with closing(sqlite3.connect(self._template)) as connection:
                connection.executescript(_SQLITE)  # on closing, all of it is in the one file
        self.engine = store_engine._make_engine(self.url, 15)
        self._do_commit = self.engine.dialect.do_commit
        self.engine.dialect.do_commit = self._commit
        sa.event.listen(self.engine, "before_cursor_execute", self._statement)
        if self._server is None:
            sa.event.listen(self.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        self._eyes: Any = None
        self.forget()

    def forget(self) -> None:
        """Inject no faults from now on."""
        self.is_away = False
        self._writing = False

    def fresh(self) -> None:
        """Begin again with an empty, migrated database."""
        self.forget()
        self.engine.dispose()
        if self._server is None:
            if self._eyes is not None:
                self._eyes.close()
            for end in ("", "-wal", "-shm"):
                Path(f"{self._file}{end}").unlink(missing_ok=True)
            shutil.copy(self._template, self._file)
            self._eyes = sqlite3.connect(self._file, isolation_level=None)
            return
        if self._eyes is None:
            self._eyes = psycopg.connect(self.url, autocommit=True)
        for table in reversed(schema.metadata.sorted_tables):
            if table is schema.shapes:
                continue
            self._eyes.execute(
                f"DELETE FROM {table.name}" + (" WHERE purpose <> 'index'" if table.name == "keys" else "")
            )
        self._eyes.execute("TRUNCATE sim_moves, sim_starts RESTART IDENTITY")
        self._eyes.execute("SELECT setval(pg_get_serial_sequence('tasks', 'id'), 1, false)")

    def close(self) -> None:
        self.engine.dispose()
        if self._eyes is not None:
            self._eyes.close()
        if self._server is not None:
            self._server.close()

    # What is seen from outside, of what is committed

    def opened(self, table: str, column: str, row: int, sealed: bytes) -> str:
        """What is sealed there, past the service; empty where the person was erased."""
        place, ring = Place(table, column, row), store.Ring(KEYS)
        if not sealed:
            return ""
        if (key := data_key_of(sealed)) is None:
            return ring.open(place, sealed).decode()
        ((wrapped,),) = self.look("SELECT wrapped FROM keys WHERE id = ?", key)
        return DataKey(key, ring.unwrap(key, wrapped)).open(place, sealed) if wrapped else ""

    def look(self, query: str, *values: Any) -> list[tuple]:
        """Query the database directly; `?` is a placeholder for each of the values."""
        if self._server is not None:
            return self._eyes.execute(query.replace("?", "%s"), values).fetchall()
        return self._eyes.execute(query, values).fetchall()

    @staticmethod
    def instant(value: Any) -> datetime | None:
        """A stored instant as `look` returns it."""
        if value is None or isinstance(value, datetime):
            return value
        return _EPOCH + timedelta(microseconds=value)

    def stored(self, at: datetime) -> Any:
        """An instant as it is stored, for `look`."""
        return at if self._server is not None else (at - _EPOCH) // timedelta(microseconds=1)

    def is_sound(self) -> bool:
        """Whether the database passes its integrity check (INV9)."""
        if self._server is not None:
            return True  # it checks constraints as it goes
        return self.look("PRAGMA integrity_check") == [("ok",)] and self.look("PRAGMA foreign_key_check") == []

    def everything(self) -> bytes:
        """All stored bytes, to search for data that must not be there (INV10)."""
        if self._server is None:
            files = [Path(f"{self._file}{end}") for end in ("", "-wal")]
            return b"".join(file.read_bytes() for file in files if file.exists())
        found = []
        for table in schema.metadata.sorted_tables:
            found += [repr(row) for row in self.look(f'SELECT * FROM "{table.name}"')]
        return "\n".join(found).encode()

    # Faults

    def _error(self, connection: Any, *, is_connection: bool) -> Exception:
        """The driver's error; a lost connection stays lost, and a server that cannot write rolls back."""
        if self._server is not None:
            if is_connection:
                connection.close()
                return psycopg.OperationalError("server closed the connection unexpectedly")
            connection.rollback()
            return psycopg.errors.IoError("could not write")
        if is_connection:  # how SQLAlchemy recognizes a lost connection of SQLite
            return sqlite3.ProgrammingError("Cannot operate on a closed database.")
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorname = "SQLITE_IOERR"
        return error

    def _statement(self, _: Any, cursor: Any, statement: str, *__: Any) -> None:
        process = WHOSE.get()
        if statement.startswith("BEGIN"):
            self._writing = statement == "BEGIN IMMEDIATE"
        if self.is_away:
            raise self._error(cursor.connection, is_connection=self._server is not None)
        if process is not None:
            process.lives()

    def _commit(self, connection: Any) -> None:
        process = WHOSE.get()
        fault = None
        if process is not None:
            process.lives()
            fault = process.commit_fault
        if fault is not None and self._writes(connection):
            process.commit_fault = None
            process.meets(f"a COMMIT that fails ({fault})")
            when, what = fault.split()
            if when == "after":
                self._do_commit(connection)
            if when == "before" and self._server is None:
                connection.driver_connection.rollback()  # as the database does for a lost client
            if what == "death":
                process.die(f"at a COMMIT, {when}")
                raise Died
            raw = connection.driver_connection
            raise self._error(raw, is_connection=what == "connection")
        self._do_commit(connection)

    def _writes(self, connection: Any) -> bool:
        """Whether the transaction to be committed changed anything."""
        if self._server is not None:
            return connection.cursor().execute("SELECT pg_current_xact_id_if_assigned()").fetchone()[0] is not None
        return self._writing
