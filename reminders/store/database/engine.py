"""The database: one engine, whole transactions, and what to do when one fails.

SQLite: WAL, synchronous=FULL, foreign keys on, and BEGIN IMMEDIATE for every write transaction; SQLAlchemy's default
mode lets two processes read the same rows and both update them (measured: 124 double claims in 4 s). PostgreSQL:
READ COMMITTED with row locks where the queries ask for them.

A transaction is a function of one argument. It runs whole or not at all, and is run again when the database asks for
that. A COMMIT that fails is a coin toss (measured: 29 of 59 had in fact committed), so it is never simply repeated:
only work that begins by reading its own key may say `again=True`.
"""

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, RootTransaction
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.pool import ConnectionPoolEntry, StaticPool

from reminders.settings import without_password
from reminders.store.database import schema
from reminders.store.database.fast_path import Statements
from reminders.store.database.ids import new_id
from reminders.store.database.sealing import DataKey, Place, Ring, Unreadable, data_key_of, fingerprint
from reminders.store.database.turns import Turns, until_free

log = logging.getLogger(__name__)

T = TypeVar("T")

_TRANSIENT_STATES = ("08", "53", "57P", "40001", "40P01", "55P03", "25P03", "25006")
_ONLY_READS = "postgresql_readonly"  # SQLAlchemy's own for PostgreSQL; ours looks at it for SQLite
_CACHED_KEYS = 10_000
_CHECKPOINT_WAITS_MS = 100
_MIGRATION_TAKES = 600  # seconds that another migration is waited for
_LONGEST_LOG = 16 << 20  # bytes; folding these in takes about a tenth of a second


class Unavailable(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what happened
    """The database cannot be used now: not reached, locked for too long, full, or read-only. Nothing was changed."""


class CommitUncertain(Exception):  # ruff: ignore[error-suffix-on-exception-name]  as above
    """The COMMIT failed and may have happened. Read back by key before doing anything (data rule 4)."""


class Transaction(Statements):
    """One open transaction: statements in, rows out, and the keys to read what is sealed."""

    def __init__(self, database: "Database", connection: Connection) -> None:
        super().__init__(connection, fast=database.fast)
        self._database = database
        self._index_key: bytes | None = None
        self.only_reads = bool(connection.get_execution_options().get(_ONLY_READS))

    @property
    def driver_connection(self) -> Any:
        """The driver's own connection."""
        return self._connection.connection.driver_connection

    def insert_new(self, table: sa.Table, values: Mapping[str, Any]) -> bool:
        """Insert unless a unique key is already taken; whether the row is new."""
        return self.first(_unless_taken(table, self.is_postgresql), values) is not None

    def fingerprint(self, value: str) -> bytes:
        """The keyed fingerprint by which this E.164 number, or this word of a name, is found.

        Where rows may be written, the index key is held FOR SHARE until the commit: a new one cannot come in between
        and leave a number behind that is never found again, and with it a STOP.
        """
        if self._index_key is None:
            query = sa.select(schema.keys).where(schema.keys.c.purpose == "index")
            row = self.first(query if self.only_reads else query.with_for_update(read=True))
            if row is None:
                raise LookupError(
                    "the phone index key is lost, so no number is found; run `reminders keys rotate --index`"
                )
            self._index_key = self._database.index_key(row.id, row.wrapped)
        return fingerprint(self._index_key, value)

    def fingerprints(self, value: str) -> list[bytes]:
        """Every fingerprint by which this may be found: by the index key, and by those that it replaced."""
        marks = [self.fingerprint(value)]
        for row in self.all(_FORMER):
            key = self._database.ring.open(Place("former_keys", "wrapped", row.id), row.wrapped)
            marks.append(fingerprint(key, value))
        return marks

    def new_data_key(self, now: datetime) -> DataKey:
        """Make and store a data key for a new patient."""
        key, wrapped = self._database.ring.new_data_key(new_id(now))
        self.run(schema.keys.insert(), {"id": key.id, "purpose": "patient", "wrapped": wrapped, "made_at": now})
        return key

    def data_key(self, key_id: int) -> DataKey:
        """The data key of that id. Raises Unreadable, or LookupError where it was destroyed."""
        cache = self._database.data_keys
        key = cache.get(key_id)
        if key is None:
            wrapped = self.value(sa.select(schema.keys.c.wrapped).where(schema.keys.c.id == key_id))
            if not wrapped:
                raise LookupError(f"data key {key_id} is gone: the patient was erased")
            key = DataKey(key_id, self._database.ring.unwrap(key_id, wrapped))
            if len(cache) >= _CACHED_KEYS:
                cache.clear()
            cache[key_id] = key
        return key

    def keep_data_keys(self, wrapped: Mapping[int, bytes | None]) -> None:
        """Unwrap these data keys, which came along with other rows, for `data_key` to give.

        One that is gone or does not open fails there, not here.
        """
        cache = self._database.data_keys
        fresh = {key_id: key for key_id, key in wrapped.items() if key and key_id not in cache}
        if len(cache) + len(fresh) > _CACHED_KEYS:
            cache.clear()
        for key_id, key in fresh.items():
            with suppress(Unreadable):
                cache[key_id] = DataKey(key_id, self._database.ring.unwrap(key_id, key))

    def load_data_keys(self, key_ids: Collection[int]) -> None:
        """Read these data keys in one go, for `data_key` to give. One that does not open fails there, not here."""
        missing = [key_id for key_id in set(key_ids) if key_id not in self._database.data_keys]
        if missing:
            query = sa.select(schema.keys.c.id, schema.keys.c.wrapped).where(schema.keys.c.id.in_(missing))
            self.keep_data_keys({row.id: row.wrapped for row in self.all(query)})

    def seal(self, place: Place, text: str, key: DataKey | None = None) -> bytes:
        """Seal by a patient's `key`; what belongs to no single patient by the sealing keys."""
        return key.seal(place, text) if key is not None else self._database.ring.seal(place, text.encode())

    def open(self, place: Place, sealed: bytes) -> str:
        """Open a sealed value, whichever kind of key sealed it; what was cleared since (L-57) opens as no words.

        Raises Unreadable or LookupError.
        """
        if not sealed:
            return ""
        key_id = data_key_of(sealed)
        if key_id is None:
            return self._database.ring.open(place, sealed).decode()
        return self.data_key(key_id).open(place, sealed)

    def open_if_legible(self, place: Place, sealed: bytes) -> str | None:
        """`open` for a list: None where it does not open, so that one bad row costs only itself (long-run 1)."""
        with suppress(Unreadable, LookupError):
            return self.open(place, sealed)
        return None

    @property
    def ring(self) -> Ring:
        """The sealing keys, for rotation."""
        return self._database.ring

    def forget_index_key(self) -> None:
        """Read the index key again: it was replaced in this transaction."""
        self._index_key = None


_FORMER = sa.select(schema.former_keys).order_by(schema.former_keys.c.id)


@cache
def _unless_taken(table: sa.Table, is_postgresql: bool) -> sa.Executable:  # ruff: ignore[boolean-type-hint-positional-argument]  it is a key of the cache
    insert: Any
    if is_postgresql:
        from sqlalchemy.dialects.postgresql import insert
    else:
        from sqlalchemy.dialects.sqlite import insert
    statement: sa.Executable = insert(table).on_conflict_do_nothing().returning(sa.literal(1))
    return statement


class Database:
    """The one database of this process. `url` as SQLAlchemy takes it; `ring` opens what is sealed in it.

    `patience` are the seconds to wait for a lock or a connection; `tries` is how often a transaction is run at most;
    without `fast` every statement runs on plain SQLAlchemy (docs/fast-path.md).
    """

    def __init__(self, url: str, ring: Ring, *, patience: float = 15, tries: int = 5, fast: bool = True) -> None:
        self.ring = ring
        self.fast = fast
        self.data_keys: dict[int, DataKey] = {}
        self.shape_checked = False  # by `migrate.check`, in this process
        self._index: tuple[bytes, bytes] | None = None
        self._tries = tries
        self._patience = patience
        self._one_copy = threading.Lock()
        self._copy: sqlite3.Connection | None = None
        self._turns = Turns()
        self._engine = _make_engine(url, patience)
        self._reads = self._engine.execution_options(begin="BEGIN", **{_ONLY_READS: True})
        self._writes = self._engine.execution_options(begin="BEGIN IMMEDIATE")
        self._log = Path(f"{self._engine.url.database}-wal") if self.dialect == "sqlite" else None

    @cached_property
    def _copies(self) -> Engine:
        return _engine_of_copies(lambda: self._copy)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    @property
    def server_version(self) -> str:
        """The version of SQLite, or of the PostgreSQL server, such as 3.51.3."""
        statement = "SELECT sqlite_version()" if self.dialect == "sqlite" else "SHOW server_version"
        return str(self.read(lambda tx: tx.value(sa.text(statement))))

    @property
    def url(self) -> str:
        """The address, with any password hidden."""
        return without_password(self._engine.url.render_as_string(hide_password=True))

    @property
    def file(self) -> Path | None:
        """The file of an SQLite database, whether it is there or not; None for PostgreSQL."""
        name = self._engine.url.database
        return Path(name) if self.dialect == "sqlite" and name else None

    @property
    def missing_file(self) -> str | None:
        """The file of an SQLite database that is not there yet; None for one that is, and for PostgreSQL.

        To ask anything of it would make it, empty, wherever this process happens to be.
        """
        file = self._engine.url.database
        return file if self.dialect == "sqlite" and file and not Path(file).exists() else None

    def files(self) -> list[Path]:
        """The files of an SQLite database that are there: itself, its write-ahead log, its shared memory."""
        name = self._engine.url.database if self.dialect == "sqlite" else None
        return [file for end in ("", "-wal", "-shm") if name and (file := Path(f"{name}{end}")).exists()]

    def keep_to_owner(self) -> None:
        """Let no one but their owner read or write the files of an SQLite database."""
        for file in self.files():
            file.chmod(0o600)

    def read(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction in which the database itself refuses every change. Raises Unavailable."""
        return self._run(self._reads, work, again=True)

    def write(self, work: Callable[[Transaction], T], *, again: bool = False) -> T:
        """Run `work` in a write transaction and commit it.

        `work` is run again after a deadlock, a lost connection or a lock that was not to be had, so it must not do
        anything but talk to the database. `again` says that it begins by reading its own key, so that it may also be
        run again after a COMMIT that failed; otherwise CommitUncertain is raised then. Raises Unavailable.
        """
        try:
            with self._turns.take(self._patience * self._tries) if self.dialect == "sqlite" else nullcontext():
                done = self._run(self._writes, work, again=again)
        except TimeoutError:
            raise Unavailable("too many wait to write") from None
        if self._log is not None and self._log.exists() and self._log.stat().st_size > _LONGEST_LOG:
            self.checkpoint()
        return done

    def try_out(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a write transaction and roll it back: what would happen if. Raises Unavailable.

        On SQLite it runs on a copy of the database that no one else sees, so that it holds no lock while it computes: a
        preview of a large plan otherwise keeps every webhook waiting. One runs at a time in a process.
        """
        (done,) = self.try_each([work])
        return done

    def try_each(self, works: Sequence[Callable[[Transaction], T]]) -> list[T]:
        """`try_out` of each of these, which know nothing of one another, so that none holds a row for long.

        Raises Unavailable.
        """

        def tried(work: Callable[[Transaction], T], tx: Transaction) -> T:
            with tx.tried_out():
                return work(tx)

        if self.dialect != "sqlite":
            return [self._run(self._writes, partial(tried, work), again=True) for work in works]
        if not self._one_copy.acquire(timeout=self._patience):
            raise Unavailable("too many previews at once")
        try:
            self._copy = self._run(self._reads, _copied, again=True)
            try:
                return [self._run(self._copies, partial(tried, work), again=True) for work in works]
            finally:
                self._copies.dispose()
                self._copy.close()
        finally:
            self._one_copy.release()

    def _run(self, engine: Engine, work: Callable[[Transaction], T], *, again: bool) -> T:
        for attempt in range(1, self._tries + 1):
            committing = False
            try:
                with engine.connect() as connection:
                    with connection.begin() as transaction:
                        tx = Transaction(self, connection)
                        result = work(tx)
                        tx.flush()  # what fails now did not fail in the COMMIT
                        committing = True
                        transaction.commit()
                    return result
            except (OperationalError, InterfaceError, DBAPIError) as error:
                if committing and not again:
                    raise CommitUncertain(_short(error)) from None
                if _has_been_beaten(error) and attempt < self._tries:
                    continue  # someone wrote the same key first: read it, and go by it
                if not _is_transient(error):
                    if isinstance(error, OperationalError | InterfaceError) or _is_no_database(error):
                        raise Unavailable(_short(error)) from None
                    raise
                if attempt == self._tries:
                    raise Unavailable(_short(error)) from None
                log.info("transaction run again: %s", _short(error))
                time.sleep(random.uniform(0.01, 0.05) * 2**attempt)
        raise AssertionError

    def index_key(self, key_id: int, wrapped: bytes) -> bytes:
        """The phone index key inside that `keys` row, unwrapped once for as long as it stays the same."""
        known = self._index
        if known is None or known[0] != wrapped:
            known = self._index = (wrapped, self.ring.unwrap(key_id, wrapped))
        return known[1]

    def skew(self, now: Callable[[], datetime]) -> timedelta:
        """How far the database's clock is ahead of `now()`, if it surely is; zero on SQLite, which has none."""
        if self.dialect != "postgresql":
            return timedelta(0)

        def ask(tx: Transaction) -> tuple[timedelta, timedelta]:
            before = now()
            there: datetime = tx.value(sa.select(sa.func.clock_timestamp()))
            half = (now() - before) / 2
            return abs(half), there - (before + half)  # the clock may be set back just then

        def measure(tx: Transaction) -> timedelta:
            tx.value(sa.select(1))  # with its first statement a transaction begins, which is a way there and back more
            doubt, ahead = min(ask(tx) for _ in range(3))
            # On a busy machine one of the two ways may take long. By a clock corrected for that, texts went before
            # their window.
            return ahead if abs(ahead) > doubt else timedelta(0)

        return self.read(measure)

    def checkpoint(self) -> None:
        """Fold SQLite's write-ahead log into the main file, under the write lock.

        Automatic checkpoints are off: before 3.51.3, two connections writing and checkpointing at once could corrupt
        the file (decision 12). TRUNCATE takes the writer's lock first, and then waits for whoever still reads
        what was before: no longer than a tenth of a second, or a long export keeps every webhook out meanwhile. What
        is left over comes with the next one.
        """
        if self.dialect == "sqlite":
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {_CHECKPOINT_WAITS_MS}")
                try:
                    connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                finally:
                    connection.exec_driver_sql(f"PRAGMA busy_timeout = {int(self._patience * 1000)}")

    @contextmanager
    def migrating(self) -> Generator[Connection]:
        """A write transaction for migrations: all of them or none, one process at a time.

        Another one waits, for as long as a migration may take, and finds the work done. Raises Unavailable.
        """
        patient = self._engine.execution_options(begin="BEGIN IMMEDIATE", patience=_MIGRATION_TAKES)
        try:
            connection = patient.connect()
        except (OperationalError, InterfaceError) as error:
            raise Unavailable(_short(error)) from None
        with connection, self._unbound(connection), _begun(connection):
            if self.dialect == "postgresql":
                connection.execute(sa.text("SET LOCAL statement_timeout = 0"))  # an index on many rows takes its time
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{_MIGRATION_TAKES}s'"))
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7310991)"))
                connection.execute(sa.text("SET LOCAL lock_timeout = DEFAULT"))  # else all who come wait behind a table
            yield connection

    @contextmanager
    def _unbound(self, connection: Connection) -> Generator[None]:
        """SQLite's references unwatched: it makes a table with another CHECK by dropping the one that others refer to,
        and inside a transaction they cannot be let go.
        """
        if self.dialect != "sqlite":
            yield
            return
        raw: Any = connection.connection.driver_connection
        raw.execute("PRAGMA foreign_keys=OFF")
        try:
            yield
        finally:
            raw.execute("PRAGMA foreign_keys=ON")

    def rewrite(self, tables: Iterable[str]) -> None:
        """Leave nothing in the files of what a migration took out of these tables: it stays there until then.

        SQLite overwrites what it deletes, but for the write-ahead log. Raises Unavailable.
        """
        if self.dialect == "sqlite":
            self.checkpoint()
            return
        try:
            with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(sa.text("SET statement_timeout = 0"))
                for table in sorted(tables):
                    connection.execute(sa.text(f'VACUUM FULL "{table}"'))
                connection.execute(sa.text("RESET statement_timeout"))
        except (OperationalError, InterfaceError) as error:
            raise Unavailable(_short(error)) from None

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _begun(connection: Connection) -> RootTransaction:
    try:
        return connection.begin()
    except (OperationalError, InterfaceError) as error:
        raise Unavailable(_short(error)) from None


def _short(error: DBAPIError) -> str:
    """What went wrong, without the statement or its parameters: those may be personal."""
    original = error.orig
    state = getattr(original, "sqlstate", None) or getattr(original, "sqlite_errorname", None) or ""
    return f"{type(original).__name__} {state}".strip()


def _has_been_beaten(error: DBAPIError) -> bool:
    """Whether a unique key was taken by a transaction that ran beside ours. SQLite has one writer at a time."""
    return getattr(error.orig, "sqlstate", None) == "23505"


def _is_no_database(error: DBAPIError) -> bool:
    """Whether the SQLite file is none or damaged (F31), or the tables are missing; nothing of ours mends that."""
    if getattr(error.orig, "sqlstate", None) == "42P01":
        return True
    return getattr(error.orig, "sqlite_errorname", "").startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT"))


def _is_transient(error: DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    original = error.orig
    if isinstance(original, sqlite3.Error):
        return getattr(original, "sqlite_errorname", "").startswith("SQLITE_BUSY")
    state = getattr(original, "sqlstate", None)
    if state is None:  # 'connection refused' and 'server closed the connection' carry none
        return isinstance(error, OperationalError)
    return str(state).startswith(_TRANSIENT_STATES)


def _make_engine(url: str, patience: float) -> Engine:
    if url.startswith(("postgres://", "postgresql://")):
        url = "postgresql+psycopg://" + url.split("://", 1)[1]
    if not url.startswith("postgresql"):
        engine = sa.create_engine(url, connect_args={"timeout": patience}, hide_parameters=True)
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", partial(_begin_sqlite, patience=patience))
        return engine
    return sa.create_engine(
        url,
        hide_parameters=True,
        connect_args={
            "connect_timeout": max(2, min(5, int(patience))),  # below 2 libpq takes 2
            "target_session_attrs": "read-write",
            "keepalives_idle": 20,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "options": f"-c statement_timeout=30s -c lock_timeout={min(10.0, patience):g}s"
            " -c idle_in_transaction_session_timeout=60s"
            " -c timezone=UTC"
            # What is asked for lies in memory or on a disk without a head. By PostgreSQL's own figure, made for disks
            # that have one, a batch's answers were written down by reading all attempts while there were few.
            " -c random_page_cost=2",
        },
    )


def _copied(tx: Transaction) -> sqlite3.Connection:
    """A private copy of the SQLite database, as this transaction sees it; closed, the copy is gone.

    The empty name is a temporary database: SQLite keeps it in its cache, and writes what does not fit there to a file
    that has no name, so that no copy is left behind even by a crash.
    """
    copy = sqlite3.connect("", check_same_thread=False, isolation_level=None)
    try:
        tx.driver_connection.backup(copy)
        for pragma in ("foreign_keys=ON", "synchronous=OFF", "journal_mode=MEMORY", "mmap_size=0"):
            copy.execute(f"PRAGMA {pragma}")
    except BaseException:
        copy.close()
        raise
    return copy


def _engine_of_copies(copy: Callable[[], sqlite3.Connection | None]) -> Engine:
    """An engine on whichever copy there is. One for all of them: each would compile every statement again."""
    engine = sa.create_engine("sqlite://", creator=copy, poolclass=StaticPool, hide_parameters=True)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver starts no transactions of its own; _begin_sqlite does
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "wal_autocheckpoint=0",
        "secure_delete=ON",  # what an erasure takes away is overwritten in the file, not only unlinked
        "mmap_size=0",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection, *, patience: float = 0) -> None:
    options = connection.get_execution_options()
    begin, only_reads = options.get("begin", "BEGIN"), bool(options.get(_ONLY_READS))
    longest = float(options.get("patience", patience))
    if connection.info.get("only_reads", False) != only_reads:  # one connection of the pool serves both, in turn
        connection.exec_driver_sql(f"PRAGMA query_only={only_reads:d}")
        connection.info["only_reads"] = only_reads
    if not patience or begin == "BEGIN":
        connection.exec_driver_sql(begin)
        return
    raw: Any = connection.connection.driver_connection
    raw.execute("PRAGMA busy_timeout = 0")  # who waits does it by our own naps, which stay short
    try:
        until_free(lambda: connection.exec_driver_sql(begin), _is_taken, longest)
    finally:
        if not connection.invalidated:  # else it is closed, and the error that closed it must get through
            raw.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")


def _is_taken(error: Exception) -> bool:
    return isinstance(error, OperationalError) and _is_transient(error)
