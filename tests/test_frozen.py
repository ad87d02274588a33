"""A release's artifacts never change: its migrations, their shapes, and its databases (decision 23)."""

import gzip
import hashlib
import re
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import KEYS, KINDS, NOW, open_context, send
from dumps import make
from test_cli import Terminal
from web_caller import Caller

from jobs.__main__ import _wait_for_database
from reminders import store
from reminders.service.operations import runs
from reminders.store.database import migrate, schema, shape
from reminders.store.database.sealing import Place
from reminders.store.office import job_runs

ROOT = Path(__file__).resolve().parents[1]
DATABASE = ROOT / "reminders" / "store" / "database"
DUMPS = sorted(path.name for path in make.HERE.glob("*.sql.gz"))

# A later change of the schema is a separate migration (docs/design.md#changes-of-the-schema). A line is added here
# with its release; none is ever changed.
FROZEN = {
    "migrations/versions/0001_the_first_schema.py": "e917cec6c07e3d49a3a9646ecde64aa9ffc657a7b20621956e171bf982cd8a92",
    "shapes/0001.postgresql.txt": "e21c88582f8b53bb8f11c80399fe2ba7cca42cca303bd5d96e1cfc43244a6d24",
    "shapes/0001.sqlite.txt": "dadc1c584174057d0d2fedade074306725fd30165da588f7935c11bb6ffeaaed",
}


@pytest.mark.parametrize("name", FROZEN)
def test_what_was_released_is_not_changed(name):
    assert hashlib.sha256((DATABASE / name).read_bytes()).hexdigest() == FROZEN[name], (
        f"{name} was released: databases of that shape are at work. Put it back, and make the change in a new migration"
    )


def test_every_revision_has_a_shape_on_record_and_every_release_a_dump():
    wanted = {f"{revision}.{kind}.txt" for revision in migrate._known() for kind in KINDS}
    assert {path.name for path in (DATABASE / "shapes").iterdir()} == wanted
    released = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert "0.2.0" in released
    assert {f"{version}.{kind}.sql.gz" for version in released for kind in KINDS} == set(DUMPS)


def test_the_migrations_give_the_shape_on_record(database):
    with database._engine.connect() as connection:
        found = shape.read(connection)
    ours = shape.of_tables(found, shape.tables(found) - {"alembic_version"})
    file = DATABASE / "shapes" / f"{store.head()}.{database.dialect}.txt"
    assert shape.written(ours) == file.read_text(encoding="utf-8")
    assert ours == shape.recorded(store.head(), database.dialect)
    assert shape.tables(ours) == set(schema.metadata.tables)


def run(database, *statements) -> None:
    with database._engine.execution_options(begin="BEGIN").connect() as connection, connection.begin():
        for statement in statements:
            connection.exec_driver_sql(statement)


def refused(database, words: str) -> None:
    """`check` and `migrate` refuse it with these words, and leave it as it is."""
    with database._engine.connect() as connection:
        before = shape.read(connection)
    for ask in (store.check, lambda one: store.migrate(one, NOW)):
        with pytest.raises(store.WrongSchema, match=words):
            ask(database)
    with database._engine.connect() as connection:
        assert shape.read(connection) == before


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_of_the_shape_on_record(kind, tmp_path, request):
    """This includes what Alembic does not compare: conditions of indexes, CHECKs and defaults."""
    database = store.Database(empty(kind, tmp_path, request, "of_model"), store.Ring(KEYS))
    with database.migrating() as connection:
        schema.metadata.create_all(connection)
        assert shape.differences(shape.read(connection), shape.recorded(store.head(), kind)) == []
    database.close()


BY_HAND = [
    (
        "ALTER TABLE patients ADD COLUMN nick TEXT",
        "column patients.nick is not of this schema; undo what was changed by hand",
        "ALTER TABLE patients DROP COLUMN nick",
    ),
    (
        "ALTER TABLE sites RENAME COLUMN alias TO al",
        "column sites.al is not of this schema; column sites.alias is missing; undo",
        "ALTER TABLE sites RENAME COLUMN al TO alias",
    ),
    (
        "DROP INDEX ix_tasks_key",
        "index ix_tasks_key of tasks is missing; undo",
        "CREATE INDEX ix_tasks_key ON tasks (key)",
    ),
    ("CREATE INDEX mine ON texts (id)", "index mine of texts is not of this schema; undo", "DROP INDEX mine"),
    ("ALTER TABLE marks RENAME TO remarks", "table marks is missing; undo", "ALTER TABLE remarks RENAME TO marks"),
]


def test_f34_a_database_that_was_changed_by_hand_is_refused_with_what_differs(database):
    for change, words, back in BY_HAND:
        run(database, change)
        refused(database, f"says that it is at {store.head()}, but differs: {words}")
        run(database, back)
        store.check(database)


def test_what_a_server_alone_can_change_is_refused_too(database):
    if database.dialect == "sqlite":
        pytest.skip("SQLite has no ALTER for it")
    run(
        database,
        "ALTER TABLE sites ALTER COLUMN zone TYPE varchar(63)",
        "ALTER TABLE keys DROP CONSTRAINT ck_keys_purpose",
        "ALTER TABLE texts DISABLE TRIGGER USER",
        "ALTER TABLE patients ALTER COLUMN ref DROP NOT NULL",
        "ALTER TABLE marks ADD CONSTRAINT lower CHECK (name = lower(name))",
        "ALTER TABLE tallied SET UNLOGGED",
    )
    refused(
        database,
        "differs: constraint ck_keys_purpose of keys is missing; constraint lower of marks is not of this schema;"
        " column patients.ref is “character varying.64.”, not “character varying.64. not null”; and 2 more; undo",
    )


def test_tables_of_others_and_views_are_left_alone(database):
    run(database, "CREATE TABLE report (id INTEGER PRIMARY KEY, words TEXT)", "CREATE VIEW due AS SELECT id FROM texts")
    store.check(database)
    assert store.migrate(database, NOW) == (store.head(), store.head())


def test_f34_a_database_of_another_version_or_program_is_refused_in_words(database):
    at = store.head()
    for change, words, back in [
        (
            "UPDATE alembic_version SET version_num = '9999'",
            "at 9999, which is newer than this code; run the newer",
            at,
        ),
        ("UPDATE alembic_version SET version_num = 'ae1027a6acf'", "at ae1027a6acf, which no version of this", at),
        ("DELETE FROM alembic_version", "does not say of which version they are, as while a backup is loaded", None),
        ("INSERT INTO alembic_version VALUES ('0000')", "does not say of which version", at),
        ("UPDATE shapes SET fingerprint = 'x'", "of the fingerprint of that schema it carries another; undo", None),
        ("DELETE FROM shapes", "of the fingerprint of that schema it carries none; undo", None),
        ("DROP TABLE shapes", "carries no fingerprint .table shapes.: it was made before the first release", None),
    ]:
        run(database, change)
        if change.startswith("DELETE FROM alembic"):
            refused(database, words)
            run(database, f"INSERT INTO alembic_version VALUES ('{at}')")
            continue
        refused(database, words)
        if change.startswith("INSERT"):
            run(database, "DELETE FROM alembic_version WHERE version_num = '0000'")
        elif back is not None:
            run(database, f"UPDATE alembic_version SET version_num = '{back}'")


def empty(kind: str, folder: Path, request, name: str = "left") -> str:
    """The address of an empty database, which is gone after the test."""
    if kind == "sqlite":
        return f"sqlite:///{folder / name}.db"
    server = request.getfixturevalue("postgresql_server")
    server.run(f"CREATE DATABASE {name}")
    request.addfinalizer(lambda: server.run(f"DROP DATABASE {name} WITH (FORCE)"))
    return server.url(name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_database_of_another_program_is_not_touched(kind, tmp_path, request):
    database = store.Database(empty(kind, tmp_path, request, "foreign_one"), store.Ring(KEYS))
    run(database, "CREATE TABLE notes (words TEXT)")
    refused(database, r"another program's: it holds no table of this one \(notes\); let database.url name")
    run(
        database,
        "CREATE TABLE alembic_version (version_num VARCHAR(32))",
        "INSERT INTO alembic_version VALUES ('0001')",
    )
    refused(database, "another program's")
    run(database, "DROP TABLE notes", "DELETE FROM alembic_version")  # empty but for Alembic's own
    assert store.migrate(database, NOW) == (None, store.head())
    store.check(database)
    database.close()


def test_who_asks_often_reads_the_catalog_once(database):
    seen = []
    catalog = "tbl_name" if database.dialect == "sqlite" else "pg_attrdef"
    sa.event.listen(database._engine, "before_cursor_execute", lambda *said: seen.append(said[2]))
    store.check_again(database)
    assert any(catalog in statement for statement in seen)
    seen.clear()
    run(database, "DROP INDEX ix_tasks_key")
    store.check_again(database)
    assert not any(catalog in statement for statement in seen)
    run(database, "UPDATE shapes SET fingerprint = 'x'")
    with pytest.raises(store.WrongSchema, match="carries another"):
        store.check_again(database)
    run(database, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(store.WrongSchema, match="newer"):
        store.check_again(database)


def test_every_way_in_refuses_a_database_of_another_shape_in_words(database_url, tmp_path, monkeypatch):
    words = "column patients.ref is missing"
    terminal = Terminal(database_url, tmp_path, monkeypatch)
    context = open_context(database_url, tmp_path)
    run(context.database, "ALTER TABLE patients RENAME COLUMN ref TO reference")
    for command in (["migrate"], ["status"], ["web"], ["log"]):
        said = terminal(*command, code=1).stderr
        assert words in " ".join(said.split()), command
        assert "SQLITE_ERROR" not in said
    (found,) = (check for check in terminal.json("doctor", code=1) if check["check"] == "database")
    assert words in found["detail"]
    assert found["fix"].startswith("undo what was changed by hand")
    with pytest.raises(store.WrongSchema, match=words):
        _wait_for_database(context, threading.Event())
    answer = Caller(context).get("/readyz")
    assert answer.status_code == 503
    assert words in answer.json()["troubles"][0]
    context.close()


def sealed_values_open(context) -> int:
    """Open every sealed value; how many there are."""

    def look(tx: store.Transaction) -> int:
        opened = 0
        for table in schema.metadata.sorted_tables:
            for column in (column for column in table.columns if column.name.endswith("_sealed")):
                for row in tx.all(sa.select(table.c.id, column).where(column.is_not(None))):
                    assert tx.open(Place(table.name, column.name, row.id), row[1]) is not None
                    opened += 1
        return opened

    return context.database.read(look)


JOBS = ("plan", "settle", "ask", "poll", "watch", "tally", "chain")


@pytest.mark.parametrize("name", DUMPS)
def test_a_database_that_a_release_left_is_migrated_and_goes_on(name, tmp_path, request, travel, twilio):
    kind = name.split(".")[-3]
    url = empty(kind, tmp_path, request, f"left_{kind}")
    make.load(url, gzip.decompress((make.HERE / name).read_bytes()).decode())
    context = open_context(
        url,
        tmp_path,
        twilio__api_base_url=twilio.url,
        twilio__segments_per_second="0",
        twilio__deadline_seconds="2",
        sending__settle_seconds="10",
    )
    try:
        assert store.migrate(context.database, make.DUE_AT)[1] == store.head()
        store.check(context.database)
        assert sealed_values_open(context) > 40
        travel(make.DUE_AT)
        send(context)
        for job in JOBS:
            runs.run(context, job)
        send(context)
        assert {row.name: row.last_error for row in context.database.read(job_runs.runs)} == dict.fromkeys(JOBS)
        assert {message.to for message in twilio.created()} == {f"+1202555010{number}" for number in (1, 3, 4, 5)}
        assert len(twilio.created()) == 4
        assert sealed_values_open(context) > 44
    finally:
        context.close()


def test_the_next_release_can_make_its_dump(tmp_path, request, travel):
    """As for SQLite, whose dump is made by Python itself."""
    said = make.dump(empty("postgresql", tmp_path, request, "made_one"), tmp_path)
    url = empty("postgresql", tmp_path, request, "loaded_one")
    make.load(url, said)
    database = store.Database(url, store.Ring(KEYS))
    store.check(database)
    assert database.read(lambda tx: tx.value(sa.select(sa.func.count()).select_from(schema.receipts))) >= 4
    database.close()
