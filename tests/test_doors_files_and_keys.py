"""S3, S9, S10, S12, S13, S18, S19: proxies, files and keys."""

import os
import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from conftest import KEYS, NOW, environment, open_house
from people import document, one_off
from typer.testing import CliRunner
from web_caller import Caller

from reminders import clock, store
from reminders.cli.app import app
from reminders.intake import read_file
from reminders.plans import PlanRefused
from reminders.service import importing, planning, signing_in
from reminders.settings import SettingsError, load, secrets
from reminders.store import schema
from reminders.web import access


def seen_address(house, headers, peer="10.0.0.7"):
    from starlette.requests import Request

    scope = {
        "type": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": (peer, 5000),
        "app": Caller(house).app,
    }
    return access.address_of(Request(scope))


@pytest.mark.parametrize(
    "lines",
    [
        ["203.0.113.9"],  # Caddy, which drops what came
        ["6.6.6.6, 203.0.113.9"],  # nginx, $proxy_add_x_forwarded_for
        ["6.6.6.6", "203.0.113.9"],  # HAProxy, option forwardfor: a line of its own
        ["6.6.6.6, 7.7.7.7", "203.0.113.9"],
    ],
)
def test_s3_a_forwarded_line_that_came_along_is_not_believed(database_url, tmp_path, lines):
    house = open_house(database_url, tmp_path, web__proxies='["10.0.0.7"]')
    assert seen_address(house, [("x-forwarded-for", line) for line in lines]) == "203.0.113.9"
    house.close()


def test_s12_the_demo_is_refused_unless_its_address_is_on_this_machine(tmp_path):
    said = {"REMINDERS_WEB__DEMO": "true", "REMINDERS_WEB__PUBLIC_URL": "https://texts.example.org"}
    with pytest.raises(SettingsError, match=r"demo: must be false unless web\.public_url is on this machine"):
        load(said, tmp_path)
    assert load(said | {"REMINDERS_WEB__PUBLIC_URL": "http://localhost:8000"}, tmp_path).web.demo


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:80", "127.0.0.1:4010", "texts.example.org:8000"])
def test_s12_a_local_request_names_the_port_it_came_to(house, host):
    assert Caller(house, host=host).get("/metrics").status_code == 403
    assert Caller(house, host="127.0.0.1:8000").get("/metrics").status_code == 200


def bad_file(folder, name="x.toml"):
    path = folder / name
    path.write_text("[plan", encoding="utf-8")
    os.utime(path, (NOW.timestamp() - 60,) * 2)
    return path


def test_s9_no_link_is_followed_out_of_the_import_folder(house, tmp_path):
    folder = tmp_path / "in"
    (folder / "refused").mkdir(parents=True)
    target = tmp_path / "precious"
    target.write_bytes(b"all of it")
    (folder / "refused" / "x.toml.problems.txt").symlink_to(target)
    bad_file(folder)
    report = importing.import_folder(house, folder, NOW)
    assert len(report.refused) == 1
    assert target.read_bytes() == b"all of it"
    assert (folder / "refused" / "x.2.toml.problems.txt").stat().st_mode & 0o077 == 0


def test_s9_a_folder_that_is_a_link_takes_no_file(house, tmp_path):
    folder, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "refused").symlink_to(elsewhere)
    bad_file(folder)
    with pytest.raises(importing.UnsafeFolder):
        importing.import_folder(house, folder, NOW)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.timeout(20)
def test_s9_links_and_pipes_in_the_import_folder_are_not_read(house, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    secret = bad_file(tmp_path, "secret.toml")
    (folder / "a.toml").symlink_to(secret)
    os.mkfifo(folder / "b.toml")
    os.link(secret, folder / "c.toml")
    assert importing.import_folder(house, folder, NOW + timedelta(minutes=5)).refused == []
    with pytest.raises(PlanRefused, match="a pipe"):
        read_file(folder / "b.toml", house.database.read(lambda tx: house.known(tx, NOW)))


def test_s13_what_a_command_makes_is_its_owners_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in environment(f"sqlite:///{tmp_path / 'mine.db'}").items():
        monkeypatch.setenv(name, value)
    assert CliRunner().invoke(app, ["migrate"]).exit_code == 0
    for file in tmp_path.glob("mine.db*"):
        assert file.stat().st_mode & 0o077 == 0, file.name


@pytest.mark.parametrize("command", [["status"], ["log"], ["tasks", "list"], ["doctor"]])
def test_s19_a_read_in_the_wrong_directory_makes_no_database(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    for name, value in environment("sqlite:///reminders.db").items():
        monkeypatch.setenv(name, value)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 1
    assert "there is no database reminders.db" in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []


def test_s10_without_the_index_key_it_is_not_ready_and_migrate_makes_no_other(house, travel):
    planning.accept(house, document(series=[one_off("v", "2026-12-03T15:00:00")]), clock.now(), who="test")
    lost = store.Database(house.database._engine.url.render_as_string(hide_password=False), store.Ring(KEYS))
    lost.write(lambda tx: tx.run(schema.keys.delete().where(schema.keys.c.purpose == "index")))
    with pytest.raises(store.WrongSchema, match="phone index key is lost"):
        store.migrate(lost, clock.now())
    caller = Caller(house)
    assert any("index key" in trouble for trouble in caller.get("/readyz").json()["troubles"])
    assert store.people.new_index_key(lost, clock.now()) > 0
    assert not any("index key" in trouble for trouble in caller.get("/readyz").json()["troubles"])
    found = lost.read(
        lambda tx: tx.value(
            sa.select(schema.numbers.c.id).where(schema.numbers.c.fingerprint == tx.fingerprint("+12025550143"))
        )
    )
    assert found is not None
    lost.close()


def test_s18_a_short_secret_is_refused_and_keys_make_makes_both(tmp_path):
    made = CliRunner().invoke(app, ["keys", "make", "--all"]).stdout
    environ = dict(line.split("=", 1) for line in made.splitlines())
    environ |= {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32, "TWILIO_AUTH_TOKEN": "t"}
    live = load({"REMINDERS_TWILIO__LIVE": "true"}, tmp_path)
    assert secrets(live, environ).secret_key == environ["REMINDERS_SECRET_KEY"]
    with pytest.raises(SettingsError, match="32 bytes"):
        secrets(live, environ | {"REMINDERS_SECRET_KEY": "x"})


def test_s4_a_password_that_met_a_busy_house_is_no_wrong_try(house, travel, monkeypatch):
    monkeypatch.setattr(signing_in, "_WAITING", threading.Semaphore(0))
    for _ in range(30):
        with pytest.raises(signing_in.Busy):
            signing_in.sign_in(house, "ana.reyes", "a right password", clock.now(), where="10.0.0.7")
    count = sa.select(sa.func.count()).select_from(schema.sign_in_failures)
    assert house.database.read(lambda tx: tx.value(count)) == 0
