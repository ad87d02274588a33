"""Dumps of small databases from a release, one of each kind, and the shape that a revision gives a database.

    PYTHONPATH=.:tests python tests/dumps/make.py dump       tests/dumps/<version>.<kind>.sql.gz, once a release
    PYTHONPATH=.:tests python tests/dumps/make.py shapes     reminders/store/database/shapes/<revision>.<kind>.txt

Neither is made again for a released version: `tests/test_frozen.py` has their digests. A dump is plain SQL, with the
schema from the migrations and every row; loading it needs no tool of the database.
"""

import asyncio
import gzip
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import sqlalchemy as sa
import staff
from alembic import command
from conftest import KEYS, KINDS, NOW, PostgreSQL, open_context
from people import one_off
from two_sites import accept, hear, open_north

from reminders import __version__, clock, store
from reminders.service import AppContext, sending
from reminders.service.office import api_keys, audit
from reminders.service.operations import counting
from reminders.service.sending import outcomes
from reminders.sms import Accepted, Refused, Unknown
from reminders.sms.receipts import Receipt
from reminders.store.database import migrate, schema, shape

HERE = Path(__file__).resolve().parent
SHAPES = HERE.parents[1] / "reminders" / "store" / "database" / "shapes"

SOON = one_off("intake", "2026-11-30T12:00:00", leads=["2h"])  # due at NOW
LATER = one_off("therapy", "2026-12-03T15:00:00", leads=["1d@17:00"])
DUE_AT = NOW + timedelta(days=2, hours=7, minutes=1)  # 17:01 in New York on the day before


class Phones:
    """A gateway that refuses the text to the second patient, and gives no answer for the one to the third."""

    def __init__(self) -> None:
        self.sent = []

    async def send(self, text):
        await asyncio.sleep(0)
        self.sent.append(text)
        if text.to.endswith("0102"):
            return Refused(21211, 400)
        if text.to.endswith("0103"):
            return Unknown("timeout")
        return Accepted(f"SM{len(self.sent):032x}", "queued")


def travel(at) -> None:
    clock.correct(at - clock.machine())


def seed(context: AppContext) -> None:
    """Two sites, six patients with plans, and what came of their first texts; staff, a key of the API, the audit."""
    travel(NOW)
    open_north(context)
    for role, site in (("admin", None), ("coordinator", "main"), ("read_only", "north")):
        staff.token(context, role, site)
    api_keys.make(context, "importer", ["read", "write"], clock.now(), who="test", site="main")
    for number in range(1, 7):
        accept(context, number, "north" if number == 5 else "main", series=[SOON, LATER] if number < 6 else [LATER])
    phones = Phones()
    with ThreadPoolExecutor(1) as executor:
        asyncio.run(sending.Dispatch(context, phones, executor, threading.Event()).drain())
    travel(NOW + timedelta(minutes=1))
    refs = dict(context.database.read(lambda tx: [(row.sid, row.ref) for row in tx.all(sa.select(schema.attempts))]))
    for number, (sid, ref) in enumerate(sorted((sid, ref) for sid, ref in refs.items() if sid)):
        ends = [("sent", 0), ("delivered", 0)] if number else [("sent", 0), ("undelivered", 30003)]
        for status, code in ends:
            form = {"MessageSid": sid, "MessageStatus": status} | ({"ErrorCode": str(code)} if code else {})
            outcomes.receive(context, ref, Receipt(status, code, sid), form, clock.now())
    hear(context, "C", 4, "SM1")
    hear(context, "Can someone call me about the bus?", 5, "SM2", "+15005550009")
    hear(context, "STOP", 6, "SM3")
    counting.tally(context, clock.now())
    audit.chain(context, clock.now())


@contextmanager
def databases() -> Generator[dict[str, str]]:
    """Empty databases: kind → url."""
    with tempfile.TemporaryDirectory() as folder:
        server = PostgreSQL()
        try:
            server.run("CREATE DATABASE made")
            yield {"sqlite": f"sqlite:///{folder}/made.db", "postgresql": server.url("made")}
        finally:
            server.close()


def dump(url: str, folder: Path) -> str:
    """Migrate the empty database of `url`, seed it, and dump it as SQL."""
    laid_down = []
    context = open_context(url, folder, twilio__segments_per_second="0")
    engine = context.database._engine
    try:
        with kept(engine, laid_down):
            store.migrate(context.database, NOW)
        seed(context)
        if context.database.dialect == "postgresql":
            return "".join([*(f"{statement};\n" for statement in laid_down), *rows(url)])
    finally:
        context.close()
        clock.correct(timedelta(0))
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return "\n".join(connection.iterdump()) + "\n"


@contextmanager
def kept(engine: sa.Engine, statements: list[str]) -> Generator[None]:
    """Keep the statements by which the engine changes its schema."""

    def keep(_connection, _cursor, statement, *_) -> None:
        if statement.lstrip().startswith(("CREATE", "ALTER", "DROP")):
            statements.append(statement.strip())

    sa.event.listen(engine, "before_cursor_execute", keep)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", keep)


def rows(url: str) -> Iterator[str]:
    """An INSERT for every row of a PostgreSQL database, and the values of its sequences."""
    with psycopg.connect(url, options="-c timezone=UTC") as connection:
        for table in ["alembic_version", *(table.name for table in schema.metadata.sorted_tables)]:
            columns = [
                name
                for (name,) in connection.execute(
                    "SELECT attname FROM pg_attribute"
                    " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                    [f'"{table}"'],
                )
            ]
            values = " || ', ' || ".join(f'quote_nullable("{column}"::text)' for column in columns)
            names = ", ".join(f'"{column}"' for column in columns)
            for (row,) in connection.execute(f'SELECT {values} FROM "{table}" ORDER BY 1'):
                yield f'INSERT INTO "{table}" ({names}) VALUES ({row});\n'
        yield "SELECT setval(pg_get_serial_sequence('tasks', 'id'), (SELECT coalesce(max(id), 1) FROM tasks));\n"


def load(url: str, said: str) -> None:
    """Load a dump into the empty database of `url`."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.executescript(said)
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(said)


def shape_of(url: str) -> shape.Shape:
    """The shape that the migrations give the empty database of `url`; Alembic's own table is Alembic's."""
    database = store.Database(url, store.Ring(KEYS))
    with migrate._config() as config, database.migrating() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        found = shape.read(connection)
    database.close()
    return shape.of_tables(found, shape.tables(found) - {"alembic_version"})


def main(what: str) -> None:
    with databases() as urls, tempfile.TemporaryDirectory() as folder:
        for kind in KINDS:
            if what == "shapes":
                file = SHAPES / f"{store.head()}.{kind}.txt"
                file.write_text(shape.written(shape_of(urls[kind])), encoding="utf-8")
            else:
                file = HERE / f"{__version__}.{kind}.sql.gz"
                file.write_bytes(gzip.compress(dump(urls[kind], Path(folder)).encode(), mtime=0))
            sys.stdout.write(f"{file}: {file.stat().st_size} bytes\n")


if __name__ == "__main__":
    if sys.argv[1:] not in (["dump"], ["shapes"]):
        sys.exit(__doc__)
    main(sys.argv[1])
