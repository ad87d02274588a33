"""The faults of docs/faults.md that no other test injects, each named by its number; and a check of that table."""

import asyncio
import contextlib
import gc
import itertools
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import pytest
import sqlalchemy as sa
from conftest import KEYS, NOW, logged, open_context, send, settle, working
from people import document, one_off

from jobs import __main__ as jobs_main
from reminders import clock, store
from reminders.plans import walltime
from reminders.service import planning, sending
from reminders.service.planning import watch
from reminders.service.replies import inbound
from reminders.service.sending import outcomes
from reminders.sms import Accepted
from reminders.sms.receipts import InboundText
from reminders.store.database import schema
from reminders.store.office import job_runs

ROOT = Path(__file__).resolve().parents[1]
SOON = "2026-11-30T11:30:00"  # 90 minutes from NOW in New York: the window closes after 45 minutes
PHONE = "+12025550143"


def accept(context, **changes):
    changes.setdefault("series", [one_off("visit", SOON, leads=["90m"])])
    return planning.accept(context, document(**changes), clock.now(), who="test")


def many(context, count, **changes):
    for number in range(count):
        patient = {"ref": f"MRN-{number}", "phone": f"(202) 555-{100 + number:04d}"}
        accept(context, plan={"ref": f"DC-{number}"}, patient=patient, **changes)


def states(context):
    return [text.state for text in logged(context)]


def drain(context, phones):
    with ThreadPoolExecutor(1) as executor:
        dispatch = sending.Dispatch(context, phones, executor, threading.Event())
        return asyncio.run(asyncio.wait_for(dispatch.drain(), 20))


def keep_draining(context, phones, times):
    """Do what a worker's line does each time it is woken, whatever happens, until everything is sent."""

    async def passes(dispatch):
        for _ in range(times):
            with contextlib.suppress(store.Unavailable, store.CommitUncertain):
                await asyncio.wait_for(dispatch.drain(), 20)

    with ThreadPoolExecutor(1) as executor:
        asyncio.run(passes(sending.Dispatch(context, phones, executor, threading.Event())))


class Phones:
    """A gateway that accepts every call, after `takes` seconds of the house's clock."""

    def __init__(self, takes=0):
        self.sent = []
        self.takes = takes

    async def send(self, text):
        await asyncio.sleep(0)
        self.sent.append(text)
        if self.takes:
            clock.correct(clock.now() - clock.machine() + timedelta(seconds=self.takes))
        return Accepted(f"SM{len(self.sent):032x}", "queued")

    async def find(self, to, *, since):
        return []


@pytest.fixture
def unpaced(database_url, tmp_path, travel):
    del travel
    opened = open_context(database_url, tmp_path, twilio__segments_per_second="0")
    yield opened
    opened.close()


# F1: a process that dies in the middle of asking.


def test_f1_a_settle_job_that_died_in_its_look_up_keeps_its_texts_no_longer_than_two_calls(line, twilio, travel):
    """The next worker repeats the look-up, even with short settings."""
    twilio.rule(fault="error_before_create", times=1)
    accept(line)
    send(line)
    deadline, settle_for = line.settings.twilio.deadline_seconds, line.settings.sending.settle_seconds
    travel(clock.now() + timedelta(seconds=deadline + settle_for + 1))

    class Died(BaseException):
        pass

    class Dies:
        async def find(self, to, *, since):
            raise Died

    with pytest.raises(Died):
        asyncio.run(outcomes.settle(line, Dies(), clock.now()))
    travel(clock.now() + timedelta(seconds=2 * deadline + 0.1))
    settle(line)
    (looks,) = line.database.read(lambda tx: [row.looks for row in tx.all(sa.select(schema.attempts.c.looks))])
    assert looks == 1


# F4: a process that is frozen while it holds locks.


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_f4_a_worker_frozen_in_the_middle_of_its_claim_keeps_no_other_waiting(unpaced, database_url):
    many(unpaced, 6)
    now = clock.now()
    unpaced.database.write(lambda tx: store.queue.mark_ready(tx, now))
    claimed, thawed = threading.Event(), threading.Event()
    other = store.Database(database_url, store.Ring(KEYS))

    def freeze(tx):
        (sender,) = working(tx, now)
        due, _ = store.claims.claim(tx, sender, 4, now)
        claimed.set()
        thawed.wait(20)
        return len(due)

    with ThreadPoolExecutor(1) as worker:
        frozen = worker.submit(other.write, freeze)
        assert claimed.wait(10)
        phones, began = Phones(), time.monotonic()
        assert drain(unpaced, phones).accepted == 2  # those that are not held
        assert time.monotonic() - began < 5  # a lock is waited for ten seconds
        thawed.set()
        assert frozen.result(10) == 4
    assert drain(unpaced, phones).accepted == 4
    assert len({one.to for one in phones.sent}) == 6
    other.close()


# F6: a store that raises now and then.


class NowAndThen:
    """Makes some statements fail, like a driver whose server has trouble; by a seed."""

    def __init__(self, context, error, chance):
        self.engine = context.database._engine
        self.error, self.chance, self.raised = error, chance, 0
        self._random = Random(11)

    def __enter__(self):
        sa.event.listen(self.engine, "before_cursor_execute", self._hurt)
        return self

    def __exit__(self, *_):
        sa.event.remove(self.engine, "before_cursor_execute", self._hurt)

    def _hurt(self, connection, cursor, statement, parameters, context, many):
        if self._random.random() < self.chance:
            self.raised += 1
            raise self.error()


def test_f6_a_database_that_raises_at_random_costs_time_and_no_text(unpaced):
    many(unpaced, 12)
    phones = Phones()
    with NowAndThen(unpaced, lambda: sa.exc.OperationalError("", {}, ConnectionError()), 0.05) as trouble:
        keep_draining(unpaced, phones, 30)
    assert trouble.raised > 0
    assert states(unpaced) == ["sent"] * 12
    assert sorted(one.to for one in phones.sent) == [f"+1202555{100 + number:04d}" for number in range(12)]


# F7: more is due than can be sent in time.


def test_f7_what_cannot_go_in_its_window_expires_and_is_a_persons(database_url, tmp_path, travel):
    """Ten places less than texts, and a Twilio that takes four minutes over each."""
    context = open_context(database_url, tmp_path, twilio__segments_per_second="0", twilio__in_flight="2")
    many(context, 14)
    phones = Phones(takes=240)
    drain(context, phones)
    travel(NOW + timedelta(hours=1))
    asyncio.run(outcomes.settle(context, phones, clock.now()))
    watch.look(context, clock.now())
    sent, expired = states(context).count("sent"), states(context).count("expired")
    told = context.database.read(
        lambda tx: {row.text_id for row in tx.all(sa.select(schema.tasks.c.text_id)) if row.text_id}
    )
    context.close()
    assert (sent + expired, len(phones.sent)) == (14, sent)
    assert sent > 0
    assert len(told) == expired > 0


# F10: a storm of refusals.


def test_f10_twenty_minutes_of_429_cost_few_calls_and_no_text(line, twilio, travel):
    twilio.rule(fault="too_many", lasts=1200)
    accept(line)
    calls, moment = 0, NOW
    while moment < NOW + timedelta(minutes=26):
        calls += send(line).claimed
        moment += timedelta(seconds=5)
        travel(moment)
    assert states(line) == ["sent"]
    assert len(twilio.created()) == 1
    assert 5 <= calls <= 15  # it backs off: every five seconds it would be 240


# F20: STOP while the text is on the wire.


def test_f20_a_stop_while_the_text_is_on_the_wire_holds_from_the_next_on(line, twilio):
    two = [one_off("visit", SOON, leads=["90m"]), one_off("next", "2026-12-02T11:30:00", leads=["48h"])]
    accept(line, series=two)
    twilio.rule(fault="latency", seconds=0.6, times=1)
    with ThreadPoolExecutor(1) as worker:
        passing = worker.submit(send, line)
        while not twilio.created():
            time.sleep(0.01)
        sid = "SM" + "1" * 32
        stop = InboundText(sid=sid, sender=PHONE, to="+15005550006", body="STOP", opt_out_type=None)
        inbound.take_in(line, stop, clock.now())
        passing.result(10)
    assert [
        (text.state, len(text.attempts)) for text in logged(line, patient="MRN-1") if text.class_ == "reminder"
    ] == [
        ("sent", 1),  # what was on the wire went, and the log says so
        ("suppressed", 0),
    ]


# F21: no database when the worker starts.


def test_f21_a_worker_that_starts_before_its_database_waits_and_can_be_stopped(tmp_path, caplog):
    context = open_context("postgresql://postgres@127.0.0.1:1/nothing", tmp_path)
    context.database._tries = 1
    stop = threading.Event()
    waiting = threading.Thread(target=jobs_main._wait_for_database, args=[context, stop])
    waiting.start()
    time.sleep(0.5)
    assert waiting.is_alive()
    stop.set()
    waiting.join(10)
    assert not waiting.is_alive()
    assert "waiting for the database" in caplog.text
    context.close()


# F23 and F24: a server that cannot write, or not now.


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_f23_a_server_that_became_read_only_sends_nothing_and_catches_up(unpaced, database_url, postgresql_server):
    many(unpaced, 3)
    phones = Phones()
    name = database_url.rsplit("/", 1)[1]
    away = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    postgresql_server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgresql_server.run(away)
    unpaced.database._tries = 2
    with pytest.raises(store.Unavailable):
        drain(unpaced, phones)
    assert phones.sent == []
    postgresql_server.run(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
    assert drain(unpaced, phones).accepted == 3


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_f23_a_transaction_refused_as_read_only_is_run_again(database, database_url):
    """25006, as after a failover to a server that only follows: the first try is refused, the next is not."""
    tries = itertools.count(1)

    def work(tx):
        if next(tries) == 1:
            tx.run(sa.text("SET TRANSACTION READ ONLY"))
        job_runs.job_succeeded(tx, "send", NOW)

    database.write(work)
    assert [row.name for row in database.read(job_runs.runs)] == ["send"]
    assert next(tries) == 3


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_f24_of_two_that_lock_each_other_out_both_succeed_in_the_end(database):
    for name in ("one", "two"):
        database.write(lambda tx, name=name: job_runs.job_succeeded(tx, name, NOW))
    meet = threading.Barrier(2)

    def both(first, second):
        tries = itertools.count(1)

        def work(tx):
            for name in (first, second):
                tx.run(
                    schema.job_runs.update()
                    .where(schema.job_runs.c.name == name)
                    .values(last_error=sa.func.concat(schema.job_runs.c.last_error, "x"))
                )
                if name == first and next(tries) == 1:
                    meet.wait(10)

        database.write(work)

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(both, "one", "two"), threads.submit(both, "two", "one")]:
            done.result(30)
    assert {row.last_error for row in database.read(job_runs.runs)} == {"xx"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_f24_a_table_that_somebody_locks_is_waited_for_and_nothing_is_half_done(
    unpaced, postgresql_server, database_url
):
    many(unpaced, 3)
    phones = Phones()
    holder = sa.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with holder.connect() as connection, ThreadPoolExecutor(1) as worker:
        connection.execute(sa.text("LOCK TABLE attempts IN ACCESS EXCLUSIVE MODE"))
        passing = worker.submit(drain, unpaced, phones)
        time.sleep(0.4)
        assert phones.sent == []  # no attempt on record, no call
        connection.rollback()
        assert passing.result(20).accepted == 3
    holder.dispose()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_f24_a_lock_that_is_never_had_ends_in_unavailable(database_url):
    impatient = store.Database(database_url, store.Ring(KEYS), patience=0.2, tries=2)
    holder = sa.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with holder.connect() as connection:
        connection.execute(sa.text("LOCK TABLE job_runs IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(store.Unavailable):
            impatient.write(lambda tx: job_runs.job_succeeded(tx, "send", NOW))
    assert impatient.read(job_runs.runs) == []
    holder.dispose()
    impatient.close()


# F25: an old snapshot keeps dead rows alive.


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_f25_under_an_old_snapshot_a_claim_reads_the_queue_and_not_the_past(unpaced, database_url):
    """Dead rows stay while it is open; the partial indexes keep finished rows out of the claim."""
    many(unpaced, 1)
    lay_past = sa.text(
        "INSERT INTO texts SELECT (jsonb_populate_record(t, jsonb_build_object("
        "'id', t.id + n, 'key', 'past:' || n, 'state', 'delivered', 'ready', false))).*"
        " FROM texts t, generate_series(1, 20000) n"
    )
    holder = sa.create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with holder.connect().execution_options(isolation_level="REPEATABLE READ") as snapshot:
        snapshot.execute(sa.text("SELECT count(*) FROM texts"))
        unpaced.database.write(lambda tx: tx.run(lay_past))
        unpaced.database.write(lambda tx: tx.run(sa.text("UPDATE texts SET reason = NULL WHERE state = 'delivered'")))
        unpaced.database.write(lambda tx: store.queue.mark_ready(tx, clock.now()))
        touched = []

        @sa.event.listens_for(unpaced.database._engine, "before_cursor_execute", retval=True)
        def explain(connection, cursor, statement, parameters, context, many):
            if "SKIP LOCKED" in statement and "ready" in statement:
                cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + statement, parameters)
                top = cursor.fetchone()[0][0]["Plan"]
                touched.append(top["Shared Hit Blocks"] + top["Shared Read Blocks"])
            return statement, parameters

        assert drain(unpaced, Phones()).accepted == 1
    holder.dispose()
    assert touched
    assert max(touched) < 60  # of some 800 blocks


# F26: a hint that is lost.


def test_f26_nothing_hangs_on_a_notification():
    """Work is found by polling (sending rule 7), so no hint can be lost."""
    source = "\n".join(path.read_text() for folder in ("reminders", "jobs") for path in (ROOT / folder).rglob("*.py"))
    assert not re.search(r"\b(?:NOTIFY|LISTEN)\b", source)


# F28 to F31: a disk that fails, is full, may not be written, or lies.


@pytest.mark.parametrize("before", [True, False], ids=["not written", "written and not told"])
def test_f28_commits_that_fail_at_random_double_and_lose_nothing(unpaced, monkeypatch, before):
    many(unpaced, 12)
    phones, chance, failures = Phones(), Random(5), []
    original = sa.engine.RootTransaction.commit

    def commit(self):
        if chance.random() < 0.3:
            failures.append(1)
            if before:
                self.rollback()
            else:
                original(self)
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise sa.exc.OperationalError("COMMIT", {}, error)
        original(self)

    monkeypatch.setattr(sa.engine.RootTransaction, "commit", commit)
    keep_draining(unpaced, phones, 20)
    monkeypatch.undo()
    assert failures
    assert states(unpaced) == ["sent"] * 12
    assert len({one.to for one in phones.sent}) == len(phones.sent) == 12


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_f29_on_a_full_disk_nothing_is_sent_and_all_of_it_once_there_is_room(unpaced, tmp_path):
    many(unpaced, 5)
    phones = Phones()
    log = next(tmp_path.glob("*.db-wal"))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, hard))  # not one page more
    try:
        with pytest.raises(store.Unavailable):
            drain(unpaced, phones)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert phones.sent == []
    assert drain(unpaced, phones).accepted == 5
    with sqlite3.connect(tmp_path / "reminders.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_f29_a_database_that_may_grow_no_more_says_so_and_sends_nothing(unpaced):
    many(unpaced, 5)
    phones = Phones()
    unpaced.database._engine.dispose()

    def full(connection, _):
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages}")

    sa.event.listen(unpaced.database._engine, "connect", full)
    big = {"name": "x" * 30, "last_success": NOW}
    with pytest.raises(store.Unavailable) as said:
        unpaced.database.write(
            lambda tx: [tx.run(schema.job_runs.insert(), big | {"name": f"{n:032d}"}) for n in range(2000)]
        )
    assert "SQLITE_FULL" in str(said.value)
    assert unpaced.database.read(job_runs.runs) == []
    sa.event.remove(unpaced.database._engine, "connect", full)
    unpaced.database._engine.dispose()
    assert drain(unpaced, phones).accepted == 5


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_f30_a_database_that_may_not_be_written_sends_nothing(unpaced):
    many(unpaced, 2)
    phones = Phones()
    unpaced.database._engine.dispose()

    def read_only(connection):
        connection.exec_driver_sql("PRAGMA query_only=ON")  # what a read-only disk answers: SQLITE_READONLY

    sa.event.listen(unpaced.database._engine, "begin", read_only)
    with pytest.raises(store.Unavailable) as said:
        drain(unpaced, phones)
    assert "SQLITE_READONLY" in str(said.value)
    assert phones.sent == []
    sa.event.remove(unpaced.database._engine, "begin", read_only)
    unpaced.database._engine.dispose()
    assert drain(unpaced, phones).accepted == 2


@pytest.mark.parametrize("where", ["its head", "a page of the queue"])
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_f31_a_damaged_file_is_told_and_never_replaced_by_an_empty_one(unpaced, tmp_path, where):
    many(unpaced, 3)
    unpaced.database.checkpoint()
    unpaced.database._engine.dispose()
    path = tmp_path / "reminders.db"
    with sqlite3.connect(path) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'texts'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    raw = bytearray(path.read_bytes())
    at = 0 if where == "its head" else (page - 1) * size
    raw[at : at + 64] = bytes(byte ^ 0xFF for byte in raw[at : at + 64])
    path.write_bytes(raw)
    phones = Phones()
    with pytest.raises(store.Unavailable) as said:
        drain(unpaced, phones)
    assert re.search(r"SQLITE_(CORRUPT|NOTADB)", str(said.value))
    assert phones.sent == []
    assert path.read_bytes()[: len(raw)] == bytes(raw)
    if where == "its head":
        with pytest.raises(store.Unavailable):
            store.check(unpaced.database)


# F34: a migration that is killed.

MIGRATE_AND_DIE = """
import os, signal, sys
from datetime import UTC, datetime
from alembic import command
from reminders import store
upgrade = command.upgrade
def and_die(*arguments):
    upgrade(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
command.upgrade = and_die
store.migrate(store.Database(sys.argv[1], store.Ring({"k1": bytes(range(32))})), datetime(2026, 11, 30, tzinfo=UTC))
"""


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_f34_a_migration_killed_before_its_end_has_changed_nothing_and_is_run_again(kind, tmp_path, request):
    url = f"sqlite:///{tmp_path / 'new.db'}"
    if kind == "postgresql":
        server = request.getfixturevalue("postgresql_server")
        server.run("DROP DATABASE IF EXISTS half_migrated")
        server.run("CREATE DATABASE half_migrated")
        url = server.url("half_migrated")
    done = subprocess.run([sys.executable, "-c", MIGRATE_AND_DIE, url], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    database = store.Database(url, store.Ring(KEYS))
    with pytest.raises(store.WrongSchema, match="empty"):
        store.check(database)
    store.migrate(database, NOW)
    store.check(database)
    database.close()


# F35: a clock that jumps while it runs.


@pytest.mark.parametrize("jump", [timedelta(hours=1), timedelta(days=3), -timedelta(hours=1), -timedelta(days=3)])
def test_f35_a_clock_that_jumps_between_any_two_steps_doubles_nothing(line, twilio, travel, jump):
    twilio.rule(fault="error_after_create", times=1)  # one of them is looked up
    many(line, 3)
    send(line)
    travel(clock.now() + jump)
    for _ in range(4):
        send(line)
        settle(line)
        travel(clock.now() + timedelta(seconds=45))
    travel(NOW + timedelta(minutes=5))
    for _ in range(4):
        send(line)
        settle(line)
        travel(clock.now() + timedelta(seconds=45))
    made = [one.to for one in twilio.created()]
    assert len(made) == len(set(made)) == 3
    assert set(states(line)) <= {"sent", "delivered"}


# F38: the rules of a zone change after planning.


def test_f38_when_the_rules_of_a_zone_change_its_texts_move_and_are_not_doubled(context, monkeypatch):
    """The wall clock is what was agreed, even if New York gave up winter time."""
    accept(context, series=[one_off("visit", "2026-12-03T15:00:00", leads=["3h"])])
    (before,) = logged(context)
    known = walltime._zone.__wrapped__
    monkeypatch.setattr(
        walltime, "_zone", lambda name: known("America/Halifax" if name == "America/New_York" else name)
    )
    planning.extend(context, NOW + timedelta(hours=1))
    (after,) = logged(context)
    assert after.opens_at - before.opens_at == -timedelta(hours=1)
    starts = context.database.read(lambda tx: tx.value(sa.select(schema.appointments.c.starts_at)))
    assert starts == datetime.fromisoformat("2026-12-03T19:00:00+00:00")


# F42: an edit while the text is due.


@pytest.mark.parametrize("turn", range(4))
def test_f42_a_visit_moved_while_its_text_is_claimed_is_told_once_of_each_time(line, twilio, turn):
    """Whoever wins: no text about the old time begins after the edit was confirmed."""
    accept(line)
    moved = document(series=[one_off("visit", "2026-11-30T11:20:00", leads=["90m"])])
    meet, confirmed = threading.Barrier(2), []

    def edit():
        meet.wait(10)
        time.sleep(turn * 0.004)
        planning.accept(line, moved, clock.now(), who="test")
        confirmed.append(clock.now())

    editing = threading.Thread(target=edit)
    editing.start()
    meet.wait(10)
    send(line)
    editing.join(10)
    send(line)
    bodies = [one.body for one in twilio.created(PHONE)]
    assert len(bodies) == len(set(bodies)) <= 2
    assert "11:20" in bodies[-1]
    started = {text.key: text.attempts[0].started_at for text in logged(line) if text.attempts}
    if "11:30" in bodies[0]:
        assert min(started.values()) <= confirmed[0]


# F46: everything at once on a slow sender.


def test_f46_a_slow_sender_of_another_site_with_much_to_do_keeps_no_other_waiting(unpaced):
    many(unpaced, 30)
    slow, quick = 2**62, 5

    def arrange(tx):
        site = dict(tx.first(sa.select(schema.sites))._mapping) | {"id": slow, "key": "second"}
        tx.run(schema.sites.insert(), site)
        row = {"id": slow, "site_id": slow, "address": "+15005550016", "segments_per_second": 1, "stops": 0}
        tx.run(schema.senders.insert(), row)
        ids = [row.id for row in tx.all(sa.select(schema.texts.c.id).order_by(schema.texts.c.id))]
        tx.run(schema.texts.update().where(schema.texts.c.id.in_(ids[quick:])).values(sender_id=slow, site_id=slow))

    unpaced.database.write(arrange)
    phones = Phones()

    async def two_seconds():
        with ThreadPoolExecutor(1) as executor:
            stop = threading.Event()
            dispatch = sending.Dispatch(unpaced, phones, executor, stop)
            passing = asyncio.create_task(dispatch.drain())
            await asyncio.sleep(2)
            stop.set()
            return await passing

    asyncio.run(two_seconds())
    by = [one.sender for one in phones.sent]
    assert by.count("+15005550006") == quick
    assert "+15005550006" not in by[quick + 2 :]  # not behind the slow one's twenty-five
    assert 1 <= by.count("+15005550016") <= 4


# F47: memory.


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_f47_hundreds_of_passes_keep_no_memory(unpaced):
    many(unpaced, 2)
    phones = Phones()

    def day():
        for _ in range(8):
            drain(unpaced, phones)
            asyncio.run(outcomes.settle(unpaced, phones, clock.now()))
            unpaced.database.write(
                lambda tx: tx.run(
                    schema.texts.update().values(state="scheduled", leased_until=None, ready=False, attempts=0)
                )
            )
            unpaced.database.write(lambda tx: tx.run(schema.attempts.delete()))
        phones.sent.clear()

    day()
    gc.collect()
    tracemalloc.start()
    try:
        day()
        gc.collect()
        first, _ = tracemalloc.get_traced_memory()
        day()
        gc.collect()
        second, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert second - first < 60_000


# The table.


def table():
    rows = {}
    for line in (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").splitlines():
        if found := re.match(r"\| F(\d+) \|", line):
            rows[int(found[1])] = line
    return rows


def known_tests():
    found = {}
    for path in (ROOT / "tests").glob("test_*.py"):
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found.setdefault(name, path.name)
    return found


def test_every_fault_has_a_row_with_its_test_or_its_reason():
    rows = table()
    assert sorted(rows) == list(range(1, 51))
    for number, row in rows.items():
        assert "`test_" in row or "not injected" in row, f"F{number}"


def test_every_test_that_the_table_names_is_there():
    there = known_tests()
    named = set(re.findall(r"`(test_\w+)`", "\n".join(table().values())))
    assert named - set(there) == set()
