"""Upgrades: two migrations at once, a worker beside a newer database; and one whose web process is away (OPS-12)."""

import json
import threading
import time

import pytest
from conftest import KEYS, NOW, environment
from test_cli import Terminal
from test_frozen import run as run_by_hand

from jobs.__main__ import _gate, _left_behind
from reminders import __version__, store
from reminders.service import AppContext
from reminders.service.operations import health


def test_two_migrations_at_once_both_end_well(database_url):
    """The second waits for longer than any statement of ours may, and finds the work done."""
    first, second = (store.Database(database_url, store.Ring(KEYS), patience=0.2, tries=1) for _ in range(2))
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(store.migrate(second, NOW)))
    with first.migrating():
        waiting.start()
        time.sleep(0.8)
        assert ended == []
    waiting.join(20)
    assert ended == [(store.head(), store.head())]
    first.close()
    second.close()


def test_a_worker_ends_once_a_newer_version_has_migrated_its_database(context):
    assert _left_behind(context) is None
    run_by_hand(context.database, "UPDATE alembic_version SET version_num = '9999'")
    assert "newer than this code; run the newer version" in (_left_behind(context) or "")
    run_by_hand(context.database, f"UPDATE alembic_version SET version_num = '{store.head()}'")
    assert _left_behind(context) is None


@pytest.mark.processes
def test_such_a_worker_ends_by_itself_and_says_why(database_url, nursery, tmp_path):
    more = {"twilio__api_base_url": "http://127.0.0.1:1", "web__port": "1"}
    surroundings = environment(database_url, **more)
    nursery.start("old", ["jobs"], environment=surroundings, folder=tmp_path, log=tmp_path / "log")
    deadline = time.monotonic() + 60
    while "started: " not in ((tmp_path / "log").read_text(encoding="utf-8") if (tmp_path / "log").exists() else ""):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    database = store.Database(database_url, store.Ring(KEYS))
    run_by_hand(database, "UPDATE alembic_version SET version_num = '9999'")
    assert nursery.wait("old", 60) == 1
    assert "was migrated meanwhile, so this worker ends: the database is at 9999" in (tmp_path / "log").read_text(
        "utf-8"
    )
    database.close()


def test_a_worker_asks_for_everything_but_its_own_web_process(context):
    twilio = context.settings.twilio.model_copy(update={"live": True})
    live = AppContext(context.settings.model_copy(update={"twilio": twilio}), context.secrets, context.database)
    with pytest.raises(health.NotReady, match="webhook"):
        health.gate(live)
    with pytest.raises(health.NotReady) as refusal:
        _gate(live)
    assert "BAA" in str(refusal.value)
    assert "webhook" not in str(refusal.value)


def test_status_says_version_and_schema(database_url, tmp_path, monkeypatch):
    terminal = Terminal(database_url, tmp_path, monkeypatch)
    said = json.loads(terminal("status", "--json", code=1).stdout)
    assert (said["version"], said["schema"]) == (__version__, store.head())
    assert f"Version {__version__}, schema {store.head()}." in " ".join(terminal("status", code=1).stderr.split())
