"""SEC-10: a key is rotated only if every running process can open it, and a lost index key is reported."""

import asyncio
import json
from contextlib import closing
from datetime import timedelta

import pytest
import sqlalchemy as sa
from conftest import KEYS, environment
from people import document, one_off
from typer.testing import CliRunner

from reminders import clock, queries, store
from reminders.cli.app import app
from reminders.queries.listing import patients_named
from reminders.service import AppContext, planning
from reminders.service.operations import health, presence, retention
from reminders.store.database import schema

OLD, NEW = {"k1": KEYS["k1"]}, {"k2": bytes(range(1, 33)), "k1": KEYS["k1"]}


@pytest.fixture
def beside(context, database_url):
    """A house on the same database, with the given sealing keys."""
    opened = []

    def make(keys: dict[str, bytes]) -> AppContext:
        opened.append(store.Database(database_url, store.Ring(keys)))
        return AppContext(context.settings, context.secrets, opened[-1])

    yield make
    for database in opened:
        database.close()


def at_work(context: AppContext, kind: str) -> presence.Presence:
    here = presence.Presence(context, kind)
    here.start()
    return here


def test_s10_rotate_is_refused_while_a_process_cannot_open_the_new_key(beside, travel):
    web, worker = at_work(beside(OLD), "web"), at_work(beside(NEW), "worker")
    with pytest.raises(presence.NotOpenToAll, match=r"the web process \d+ on .* has no key k2") as refusal:
        presence.check_keys(beside(NEW), clock.now())
    assert "worker" not in str(refusal.value)
    web.stop()
    assert presence.check_keys(beside(NEW), clock.now()) == []
    worker.stop()


def test_s10_another_key_by_the_same_name_is_no_key(beside, travel):
    web = at_work(beside({"k2": bytes(32), "k1": KEYS["k1"]}), "web")
    with pytest.raises(presence.NotOpenToAll, match="another key by the name k2"):
        presence.check_keys(beside(NEW), clock.now())
    web.stop()


def test_s10_a_process_that_was_killed_is_forgotten_and_one_that_lives_is_not(beside, travel):
    web = at_work(beside(OLD), "web")
    web._stop.set()  # as if it were killed: it is silent, and stays on record
    later = clock.now() + presence.LIVE_FOR + timedelta(seconds=1)
    assert presence.check_keys(beside(NEW), later) == []
    travel(later)
    web._note()
    with pytest.raises(presence.NotOpenToAll):
        presence.check_keys(beside(NEW), later)


def test_s10_who_seals_with_an_older_key_is_named(beside, travel):
    web = at_work(beside({"k1": KEYS["k1"], "k2": NEW["k2"]}), "web")
    assert [name.split()[1] for name in presence.check_keys(beside(NEW), clock.now())] == ["web"]
    web.stop()


def test_s10_the_command_and_the_doctor_refuse_too(context, beside, database_url, monkeypatch):
    web = at_work(beside({"k9": bytes(32), **KEYS}), "web")
    for name, value in environment(database_url).items():
        monkeypatch.setenv(name, value)
    assert CliRunner().invoke(app, ["keys", "rotate", "--json"]).exit_code == 0
    (check,) = (one for one in asyncio.run(health.doctor(beside(NEW))) if one.check == "keys of processes")
    assert not check.ok
    web.stop()
    web = at_work(beside(NEW), "web")
    monkeypatch.setenv("REMINDERS_SEALING_KEYS", "k3:" + "A" * 43 + "=," + environment("x")["REMINDERS_SEALING_KEYS"])
    refused = CliRunner().invoke(app, ["keys", "rotate", "--json"])
    assert refused.exit_code == 1
    assert "has no key k3" in " ".join(refused.output.split())
    with closing(store.Database(database_url, store.Ring(OLD))) as old:
        assert old.read(lambda tx: tx.fingerprint("+12025550100"))  # nothing was sealed again
    web.stop()
    rotated = CliRunner().invoke(app, ["keys", "rotate", "--json"])
    assert json.loads(rotated.stdout)["resealed"] > 0


def test_s10_the_doctor_says_how_a_lost_index_key_is_made_again(context, travel):
    planning.accept(context, document(series=[one_off("v", "2026-12-03T15:00:00")]), clock.now(), who="test")
    context.database.write(lambda tx: tx.run(schema.keys.delete().where(schema.keys.c.purpose == "index")))
    (check,) = (one for one in asyncio.run(health.doctor(context)) if one.check == "phone index key")
    assert not check.ok
    assert "keys rotate --index" in (check.fix or "")
    assert (
        context.database.read(lambda tx: tx.first(sa.select(schema.keys).where(schema.keys.c.purpose == "index")))
        is None
    )


def number_of(context: AppContext, phone: str) -> int | None:
    row = context.database.read(lambda tx: queries.people.number_by_phone(tx, phone))
    return None if row is None else row.id


def test_s10_an_index_key_is_replaced_after_erasures_and_their_stop_still_holds(context, travel):
    """Two erased numbers have no phone on record, and one of them opted out: the key that finds it must stay."""
    for number in (1, 2):
        patient = {"ref": f"MRN-{number}", "phone": f"+1202555010{number}"}
        ask = document(plan={"ref": f"DC-{number}"}, patient=patient, series=[one_off("v", "2026-12-03T15:00:00")])
        planning.accept(context, ask, clock.now(), who="test")
    stopped = number_of(context, "+12025550101")
    context.database.write(lambda tx: store.people.mark_number(tx, stopped, opted_out_at=clock.now()))
    for number in (1, 2):
        assert retention.erase(context, f"MRN-{number}", clock.now(), who="test") is not None
    store.people.new_index_key(context.database, clock.now())
    store.people.new_index_key(context.database, clock.now())
    assert number_of(context, "+12025550101") == stopped
    again = context.database.write(lambda tx: store.people.keep_number(tx, "+12025550101", clock.now()))
    assert again == stopped
    store.people.new_index_key(context.database, clock.now())  # its phone is known again: no former key is needed
    assert context.database.read(lambda tx: tx.all(schema.former_keys.select())) == []
    assert number_of(context, "+12025550101") == stopped


def test_s10_what_has_no_place_in_the_new_index_yet_is_found_by_the_former_key(context, travel):
    planning.accept(context, document(series=[one_off("v", "2026-12-03T15:00:00")]), clock.now(), who="test")
    before = number_of(context, "+12025550143")
    context.database.write(lambda tx: store.people._replace_index_key(tx, clock.now()))  # and there it was stopped
    assert number_of(context, "+12025550143") == before
    assert context.database.write(lambda tx: store.people.keep_number(tx, "+12025550143", clock.now())) == before
    (found,) = context.database.read(lambda tx: tx.all(patients_named(tx, {1, site_id(context)}, "alvarez", None)))
    assert found is not None
    assert store.people.new_index_key(context.database, clock.now()) == 1
    assert context.database.read(lambda tx: tx.all(schema.former_keys.select())) == []
    assert number_of(context, "+12025550143") == before


def site_id(context: AppContext) -> int:
    return context.database.read(lambda tx: store.people.all_sites(tx)[0].id)
