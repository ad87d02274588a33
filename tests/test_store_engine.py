"""The database under everything: transactions, retries, schema (sending rule 6, data rule 4)."""

import itertools
import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from conftest import KEYS, NOW
from hypothesis import given
from hypothesis import strategies as st

from reminders import clock, store
from reminders.store.database import schema
from reminders.store.database.ids import new_id, new_ref
from reminders.store.office import job_runs


def begun_with(database, call) -> list[str]:
    """Every BEGIN the engine sends while `call` runs."""
    seen = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    sa.event.listen(database._engine, "before_cursor_execute", note)
    call()
    sa.event.remove(database._engine, "before_cursor_execute", note)
    return [statement for statement in seen if statement.startswith("BEGIN")]


def test_rule_6_every_sqlite_write_begins_immediate(tmp_path):
    database = store.Database(f"sqlite:///{tmp_path / 'x.db'}", store.Ring(KEYS))
    store.migrate(database, NOW)
    assert begun_with(database, lambda: database.write(lambda tx: tx.value(sa.select(1)))) == ["BEGIN IMMEDIATE"]
    assert begun_with(database, lambda: database.try_out(lambda tx: tx.value(sa.select(1)))) == ["BEGIN"]  # the copy's
    assert begun_with(database, lambda: database.read(lambda tx: tx.value(sa.select(1)))) == ["BEGIN"]
    database.close()


def test_rule_6_sqlite_is_set_up_for_power_cuts(tmp_path):
    database = store.Database(f"sqlite:///{tmp_path / 'x.db'}", store.Ring(KEYS))
    pragmas = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "wal_autocheckpoint": 0}
    for name, value in pragmas.items():
        assert database.read(lambda tx, name=name: tx.value(sa.text(f"PRAGMA {name}"))) == value
    database.close()


def test_the_migrations_make_the_schema(database):
    with database._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_migrating_twice_changes_nothing(database):
    assert store.migrate(database, NOW) == (store.head(), store.head())
    store.check(database)


def test_f34_an_empty_or_newer_database_is_refused(tmp_path, database):
    empty = store.Database(f"sqlite:///{tmp_path / 'empty.db'}", store.Ring(KEYS))
    with pytest.raises(store.WrongSchema, match="run `reminders migrate`"):
        store.check(empty)
    empty.close()
    database.write(lambda tx: tx.run(sa.text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(store.WrongSchema, match="newer than this code"):
        store.check(database)
    with pytest.raises(store.WrongSchema, match="newer than this code"):
        store.migrate(database, NOW)


def test_an_instant_keeps_its_microseconds_and_comes_back_in_utc(database):
    east = timezone(timedelta(hours=5, minutes=45))
    at = datetime(2026, 11, 30, 20, 45, 0, 123456, tzinfo=east)
    database.write(lambda tx: job_runs.job_succeeded(tx, "send", at))
    (row,) = database.read(job_runs.runs)
    assert row.last_success == at
    assert row.last_success.tzinfo is UTC


def test_a_naive_instant_is_refused(database):
    with pytest.raises(sa.exc.StatementError, match="must carry its zone"):
        database.write(lambda tx: job_runs.job_succeeded(tx, "send", datetime(2026, 11, 30)))


def test_a_failed_transaction_leaves_nothing(database):
    def half(tx):
        job_runs.job_succeeded(tx, "send", NOW)
        raise KeyError("half way")

    with pytest.raises(KeyError):
        database.write(half)
    assert database.read(job_runs.runs) == []


def test_a_trial_leaves_nothing_and_says_what_would_be(database):
    def tried(tx):
        job_runs.job_succeeded(tx, "send", NOW)
        return len(job_runs.runs(tx))

    assert database.try_out(tried) == 1
    assert database.read(job_runs.runs) == []


def test_constraints_are_the_same_on_both(database):
    site = {"id": 1, "key": "x", "alias": "Oak", "phone": "+1", "line24": "+1", "zone": "UTC", "region": "US"}
    site |= {"closures": []}
    database.write(lambda tx: tx.run(schema.sites.insert(), site | {"quiet_from": "20:00", "quiet_to": "09:00"}))
    with pytest.raises(sa.exc.IntegrityError):
        database.write(lambda tx: tx.run(schema.patients.insert(), {"id": 1, "site_id": 99, "ref": "x", "key_id": 5}))
    second_index = {"id": 1, "purpose": "index", "wrapped": b"x", "made_at": NOW}
    with pytest.raises(sa.exc.IntegrityError):
        database.write(lambda tx: tx.run(schema.keys.insert(), second_index))


def test_rule_6_writers_wait_for_each_other_and_lose_nothing(database):
    database.write(lambda tx: job_runs.job_succeeded(tx, "count", NOW))
    seconds = sa.select(schema.job_runs.c.last_success).where(schema.job_runs.c.name == "count")

    def add_one(tx):
        job_runs.job_succeeded(tx, "count", tx.value(seconds.with_for_update()) + timedelta(seconds=1))

    def add_many():
        for _ in range(20):
            database.write(add_one)

    threads = [threading.Thread(target=add_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert database.read(lambda tx: tx.value(seconds)) == NOW + timedelta(seconds=80)


def test_promise_4_an_uncertain_commit_is_told_apart(database, monkeypatch):
    original = sa.engine.RootTransaction.commit

    def commit_and_lose_the_answer(self):
        original(self)
        raise sa.exc.OperationalError("COMMIT", {}, ConnectionError("the line went dead"))

    monkeypatch.setattr(sa.engine.RootTransaction, "commit", commit_and_lose_the_answer)
    with pytest.raises(store.CommitUncertain):
        database.write(lambda tx: job_runs.job_succeeded(tx, "send", NOW))
    monkeypatch.undo()
    (row,) = database.read(job_runs.runs)  # it had happened
    assert row.last_success == NOW


def test_work_that_reads_its_own_key_is_run_again_after_an_uncertain_commit(database, monkeypatch):
    original = sa.engine.RootTransaction.commit
    failures = iter([True])

    def commit(self):
        original(self)
        if next(failures, False):
            raise sa.exc.OperationalError("COMMIT", {}, ConnectionError("the line went dead"))

    monkeypatch.setattr(sa.engine.RootTransaction, "commit", commit)
    database.write(lambda tx: job_runs.job_succeeded(tx, "send", NOW), again=True)
    monkeypatch.undo()
    assert len(database.read(job_runs.runs)) == 1


def test_f21_a_database_that_is_away_says_so(tmp_path):
    nowhere = store.Database(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}", store.Ring(KEYS))
    with pytest.raises(store.Unavailable):
        nowhere.read(lambda tx: tx.value(sa.select(1)))
    refused = store.Database("postgresql://postgres@127.0.0.1:1/nothing", store.Ring(KEYS))
    with pytest.raises(store.Unavailable) as away:
        refused.read(lambda tx: tx.value(sa.select(1)))
    assert "127.0.0.1" not in str(away.value)


@given(st.lists(st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)), max_size=50))
def test_ids_grow_and_never_repeat_even_when_the_clock_goes_back(moments):
    ids = [new_id(moment) for moment in moments]
    assert ids == sorted(set(ids))
    assert all(0 < one < 2**63 for one in ids)


def test_refs_are_unguessable():
    now = datetime(2026, 12, 1, tzinfo=UTC)
    refs = {new_ref(now) for _ in range(1000)}
    assert len({ref[11:] for ref in refs}) == 1000
    assert max(refs) < new_ref(now + timedelta(milliseconds=1))
    assert all(len(ref) == 32 for ref in refs)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_rule_2_a_slow_way_to_the_database_is_no_clock_that_differs(database):
    """A busy machine: the query waits for 20 ms, and its answer does not."""
    asked = itertools.count()

    def now():
        return clock.machine() - timedelta(milliseconds=0 if next(asked) % 2 else 20)

    assert database.skew(now) == timedelta(0)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("seconds", [-90, -0.5, 0.5, 90])
def test_rule_2_a_clock_that_differs_is_found(database, seconds):
    ahead = database.skew(lambda: clock.machine() - timedelta(seconds=seconds))
    assert abs(ahead.total_seconds() - seconds) < 0.2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_rule_2_a_clock_set_back_while_it_is_compared_is_not_gone_by(database):
    """Only the first query is wrong; the others are trusted."""
    asked = itertools.count()
    ahead = database.skew(lambda: clock.machine() + timedelta(seconds=0 if next(asked) else 10))
    assert ahead == timedelta(0)
