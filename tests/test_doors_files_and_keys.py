"""SEC-3, SEC-9, SEC-10, SEC-12, SEC-13, OPS-18, OPS-19: proxies, files and keys."""

import json
import os
import re
import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from conftest import KEYS, NOW, environment, open_context
from people import document, one_off
from typer.testing import CliRunner
from web_caller import Caller

from reminders import clock, store
from reminders.cli.app import app
from reminders.intake import read_file
from reminders.plans import PlanRefused
from reminders.service import AppContext, planning
from reminders.service.office import signing_in
from reminders.service.planning import importing
from reminders.settings import Settings, SettingsError, load, secrets
from reminders.store.database import schema
from reminders.web import access


def seen_address(context, headers, peer="10.0.0.7"):
    from starlette.requests import Request

    scope = {
        "type": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": (peer, 5000),
        "app": Caller(context).app,
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
    context = open_context(database_url, tmp_path, web__proxies='["10.0.0.7"]')
    assert seen_address(context, [("x-forwarded-for", line) for line in lines]) == "203.0.113.9"
    context.close()


def test_s12_the_demo_is_refused_unless_its_address_is_on_this_machine(tmp_path):
    said = {"REMINDERS_WEB__DEMO": "true", "REMINDERS_WEB__PUBLIC_URL": "https://texts.example.org"}
    with pytest.raises(SettingsError, match=r"demo: must be false unless web\.public_url is on this machine"):
        load(said, tmp_path)
    assert load(said | {"REMINDERS_WEB__PUBLIC_URL": "http://localhost:8000"}, tmp_path).web.demo


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:80", "127.0.0.1:4010", "texts.example.org:8000"])
def test_s12_a_local_request_names_the_port_it_came_to(context, host):
    assert Caller(context, host=host).get("/metrics").status_code == 403
    assert Caller(context, host="127.0.0.1:8000").get("/metrics").status_code == 200


def bad_file(folder, name="x.toml"):
    path = folder / name
    path.write_text("[plan", encoding="utf-8")
    os.utime(path, (NOW.timestamp() - 60,) * 2)
    return path


def test_s9_no_link_is_followed_out_of_the_import_folder(context, tmp_path):
    folder = tmp_path / "in"
    (folder / "refused").mkdir(parents=True)
    target = tmp_path / "precious"
    target.write_bytes(b"all of it")
    (folder / "refused" / "x.toml.problems.txt").symlink_to(target)
    bad_file(folder)
    report = importing.import_folder(context, folder, NOW)
    assert len(report.refused) == 1
    assert target.read_bytes() == b"all of it"
    assert (folder / "refused" / "x.2.toml.problems.txt").stat().st_mode & 0o077 == 0


def test_s9_a_folder_that_is_a_link_takes_no_file(context, tmp_path):
    folder, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "refused").symlink_to(elsewhere)
    bad_file(folder)
    with pytest.raises(importing.UnsafeFolder):
        importing.import_folder(context, folder, NOW)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.timeout(20)
def test_s9_links_and_pipes_in_the_import_folder_are_not_read(context, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    secret = bad_file(tmp_path, "secret.toml")
    (folder / "a.toml").symlink_to(secret)
    os.mkfifo(folder / "b.toml")
    os.link(secret, folder / "c.toml")
    assert importing.import_folder(context, folder, NOW + timedelta(minutes=5)).refused == []
    with pytest.raises(PlanRefused, match="a pipe"):
        read_file(folder / "b.toml", context.database.read(lambda tx: context.known(tx, NOW)))


def test_s13_what_a_command_makes_is_its_owners_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in environment(f"sqlite:///{tmp_path / 'mine.db'}").items():
        monkeypatch.setenv(name, value)
    assert CliRunner().invoke(app, ["migrate"]).exit_code == 0
    for file in tmp_path.glob("mine.db*"):
        assert file.stat().st_mode & 0o077 == 0, file.name


READS = [
    *(["status"], ["doctor"], ["log"], ["stats"], ["calls"], ["programs"], ["settings"], ["preview", "DC-1"]),
    *(["tasks", "list"], ["tasks", "show", "1"], ["attendance", "list"], ["people", "show", "MRN-1"]),
    *(
        ["people", "card", "MRN-1"],
        ["sessions", "show", "oak", "2026-12-01"],
        ["backlog", "show"],
        ["restored", "show"],
    ),
    *(["audit", "list"], ["audit", "verify"], ["audit", "head"], ["users", "list"], ["api-keys", "list"]),
    *(["plans", "pause", "DC-1"], ["send"], ["settle"], ["backup", "x.backup"], ["people", "erase", "MRN-1", "--yes"]),
    *(["keys", "rotate"], ["import", "."], ["pause"], ["users", "add", "ana", "--name", "Ana", "--role", "admin"]),
]
WITHOUT = {"programs", "settings"}  # they need no database


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A directory in which nothing is, and an environment that says nothing."""
    for name in list(os.environ):
        if name.startswith(("REMINDERS_", "TWILIO_")) or name in {"DATABASE_URL", "PORT"}:
            monkeypatch.delenv(name)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("keys", [True, False])
def test_s19_a_command_in_the_wrong_directory_makes_neither_database_nor_keys(elsewhere, monkeypatch, keys):
    for name, value in environment("sqlite:///reminders.db").items() if keys else ():
        monkeypatch.setenv(name, value)
    for command in READS:
        done = CliRunner().invoke(app, command)
        assert done.exit_code == (0 if command[0] in WITHOUT else 1), (command, done.output)
        if command[0] not in WITHOUT:
            assert "there is no database reminders.db" in " ".join(done.output.split()), command
        assert list(elsewhere.iterdir()) == [], command
    AppContext.open().close()  # as the worker and the web process begin
    assert list(elsewhere.iterdir()) == []


def test_s19_keys_are_made_with_the_database_and_never_for_one_that_has_lost_them(elsewhere):
    assert CliRunner().invoke(app, ["migrate"]).exit_code == 0
    assert {file.name for file in elsewhere.iterdir()} >= {"reminders.db", "reminders.keys"}
    (elsewhere / "reminders.keys").unlink()
    done = CliRunner().invoke(app, ["status"])
    assert done.exit_code == 1
    assert "bring the keys of this database back" in " ".join(done.output.split())
    assert not (elsewhere / "reminders.keys").exists()


def test_s19_status_and_doctor_say_first_which_database_and_which_settings(elsewhere, monkeypatch):
    (elsewhere / "here.toml").write_text('[database]\nurl = "sqlite:///there.db"\n', encoding="utf-8")
    monkeypatch.setenv("REMINDERS_SETTINGS", "here.toml")
    assert CliRunner().invoke(app, ["migrate"]).exit_code == 0
    for command in ("status", "doctor"):
        first = CliRunner().invoke(app, [command]).stderr.splitlines()[0]
        assert first.startswith(f"Database sqlite:///{elsewhere}/there.db, settings {elsewhere}/here.toml.")
    monkeypatch.delenv("REMINDERS_SETTINGS")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/db?sslpassword=hunter3&application_name=x")
    monkeypatch.setenv("REMINDERS_SECRET_KEY", "x" * 32)
    monkeypatch.setenv("REMINDERS_SEALING_KEYS", environment("")["REMINDERS_SEALING_KEYS"])
    said = CliRunner().invoke(app, ["doctor"])
    assert said.stderr.startswith("Database postgresql://me:***@127.0.0.1:1/db?sslpassword=***&application_name=x,")
    assert "hunter" not in said.output


def test_s19_settings_says_what_is_in_force_and_where_it_comes_from(elsewhere, monkeypatch):
    text = '[sending]\nper_day = 2\nquiet_hours = ["21:00", "08:00"]\n[web]\nport = 8001\n'
    (elsewhere / "settings.toml").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PORT", "9000")
    monkeypatch.setenv("DATABASE_URL", "postgresql://me:hunter2@db/x")
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "hunter4")
    monkeypatch.setenv("REMINDERS_SITE__ON_CALL", '["json://127.0.0.1:9000/hunter5"]')
    (elsewhere / "key").write_text("hunter6" * 6, encoding="utf-8")
    monkeypatch.setenv("REMINDERS_SECRET_KEY_FILE", str(elsewhere / "key"))
    done = CliRunner().invoke(app, ["settings", "--json"])
    found = {one["key"]: (one["value"], one["from"]) for one in map(json.loads, done.stdout.splitlines())}
    file = str(elsewhere / "settings.toml")
    assert found["sending.per_day"] == (2, file)
    assert found["sending.quiet_hours"] == (["21:00", "08:00"], file)
    assert found["sending.per_week"] == (7, "default")
    assert found["web.port"] == (9000, "PORT")
    assert found["web.host"] == ("0.0.0.0", "PORT")
    assert found["database.url"] == ("postgresql://me:***@db/x", "DATABASE_URL")
    assert found["TWILIO_AUTH_TOKEN"] == ("set", "TWILIO_AUTH_TOKEN")
    assert found["REMINDERS_SECRET_KEY"] == ("set", "REMINDERS_SECRET_KEY_FILE")
    assert found["REMINDERS_SEALING_KEYS"] == (None, "not set")
    assert found["site.on_call"][1] == "REMINDERS_SITE__ON_CALL"
    assert found["site.on_call"][0][0]["page"] == "***"
    tables = {name: field.annotation for name, field in Settings.model_fields.items() if name != "source"}
    assert {key for key in found if "." in key} == {
        f"{table}.{key}" for table, of in tables.items() for key in of.model_fields
    }
    shown = CliRunner().invoke(app, ["settings"])
    assert file in shown.stderr
    assert re.search(r"^sending\.per_day +2 +", shown.stdout, re.MULTILINE)
    assert "hunter" not in done.output + shown.output
    monkeypatch.setenv("REMINDERS_WEB__PROT", "1")
    wrong = CliRunner().invoke(app, ["settings"])
    assert wrong.exit_code == 1
    assert "did you mean port?" in wrong.stderr


def test_s10_without_the_index_key_it_is_not_ready_and_migrate_makes_no_other(context, travel):
    planning.accept(context, document(series=[one_off("v", "2026-12-03T15:00:00")]), clock.now(), who="test")
    lost = store.Database(context.database._engine.url.render_as_string(hide_password=False), store.Ring(KEYS))
    lost.write(lambda tx: tx.run(schema.keys.delete().where(schema.keys.c.purpose == "index")))
    with pytest.raises(store.WrongSchema, match="phone index key is lost"):
        store.migrate(lost, clock.now())
    caller = Caller(context)
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


def test_s4_a_password_that_met_a_busy_house_is_no_wrong_try(context, travel, monkeypatch):
    monkeypatch.setattr(signing_in, "_WAITING", threading.Semaphore(0))
    for _ in range(30):
        with pytest.raises(signing_in.Busy):
            signing_in.sign_in(context, "ana.reyes", "a right password", clock.now(), where="10.0.0.7")
    count = sa.select(sa.func.count()).select_from(schema.sign_in_failures)
    assert context.database.read(lambda tx: tx.value(count)) == 0
