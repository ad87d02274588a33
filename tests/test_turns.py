"""SQLite has one write lock (SEC-1): writers go first come, first served, and none sleeps through its turn."""

import sqlite3
import threading
import time
from types import SimpleNamespace

import pytest
from conftest import KEYS
from sqlalchemy import event

from reminders import store
from reminders.store.database import engine, turns
from reminders.store.database.turns import Turns, until_free


@pytest.fixture
def database(tmp_path, sqlite_template):
    path = tmp_path / "x.db"
    path.write_bytes(sqlite_template.read_bytes())
    made = store.Database(f"sqlite:///{path}", store.Ring(KEYS), patience=5, tries=2)
    yield made
    made.close()


def _asked(database, work):
    """A thread that asks to write; when this returns, it has certainly asked."""
    thread = threading.Thread(target=database.write, args=[work])
    thread.start()
    time.sleep(0.03)
    return thread


def test_s1_writers_take_turns_in_the_order_in_which_they_asked(database):
    order, may_end = [], threading.Event()

    def long(tx):
        order.append("large plan")
        may_end.wait(5)

    threads = [_asked(database, long)]
    threads += [_asked(database, lambda tx, name=name: order.append(name)) for name in range(8)]
    may_end.set()
    database.write(lambda tx: order.append("last"))  # asks at the moment when the lock is released
    for thread in threads:
        thread.join()
    assert order == ["large plan", *range(8), "last"]


def test_s1_who_waited_too_long_is_told_so_and_keeps_no_one_else_waiting(database):
    hasty = store.Database(f"sqlite:///{database.file}", store.Ring(KEYS), patience=0.02, tries=2)
    may_end = threading.Event()
    thread = _asked(hasty, lambda tx: may_end.wait(5))
    with pytest.raises(store.Unavailable):
        hasty.write(lambda tx: None)
    may_end.set()
    thread.join()
    assert hasty.write(lambda tx: "done") == "done"
    hasty.close()


def test_s1_a_turn_that_raises_is_passed_on():
    queue = Turns()
    with pytest.raises(ZeroDivisionError), queue.take(1):
        raise ZeroDivisionError
    with queue.take(0):
        pass


def test_s1_no_one_naps_long_for_the_lock_of_another_process(database, monkeypatch):
    other = sqlite3.connect(database.file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    naps = []

    def nap(seconds, sleep=time.sleep):
        naps.append(seconds)
        if len(naps) == 50:
            other.execute("ROLLBACK")
        sleep(seconds)

    monkeypatch.setattr(turns, "time", SimpleNamespace(sleep=nap, monotonic=time.monotonic))
    assert database.write(lambda tx: "done") == "done"
    assert len(naps) == 50
    assert max(naps) < 0.01  # SQLite's own sleeps grow to a tenth of a second, and another takes the lock meanwhile
    other.close()


def test_s1_only_a_lock_is_waited_for():
    with pytest.raises(ZeroDivisionError):
        until_free(lambda: 1 // 0, lambda error: False, patience=60)


def test_s1_what_ends_a_wait_from_outside_gets_through(database, monkeypatch):
    """The connection is closed by then, and must not be reported as the cause."""

    def stop(begin, is_taken, patience):
        event.listen(database._engine, "before_cursor_execute", interrupt)
        try:
            until_free(begin, is_taken, patience)
        finally:
            event.remove(database._engine, "before_cursor_execute", interrupt)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine, "until_free", stop)
    with pytest.raises(KeyboardInterrupt):
        database.write(lambda tx: None)
    monkeypatch.undo()
    assert database.write(lambda tx: "done") == "done"
