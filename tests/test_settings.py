"""Settings: settings.toml, the environment, and secrets, as promised in README.md#settings."""

import base64
import json
import os
import stat
import subprocess
import sys
from datetime import date, time
from pathlib import Path

import pytest

from reminders.settings import OnCall, Secrets, Settings, SettingsError, in_force, load, secrets

ROOT = Path(__file__).resolve().parents[1]
KEY = base64.b64encode(bytes(range(32))).decode()
LIVE = {
    "REMINDERS_TWILIO__LIVE": "true",
    "TWILIO_ACCOUNT_SID": "AC" + "1" * 32,
    "TWILIO_AUTH_TOKEN": "a token of the tests",
    "REMINDERS_SECRET_KEY": "a secret of all tests, 32 bytes!",
    "REMINDERS_SEALING_KEYS": f"k1:{KEY}",
}

DEFAULTS = {
    "database.url": "sqlite:///reminders.db",
    "twilio.live": False,
    "twilio.api_base_url": "http://127.0.0.1:4010",
    "twilio.sender": "+15005550006",
    "twilio.segments_per_second": 10,
    "twilio.in_flight": 50,
    "twilio.deadline_seconds": 30,
    "web.host": "127.0.0.1",
    "web.port": 8000,
    "web.public_url": "http://127.0.0.1:8000",
    "sending.leads": ("3d@17:00", "1d@17:00", "2h"),
    "sending.series_leads": ("1d@17:00",),
    "sending.quiet_hours": (time(20), time(9)),
    "sending.per_day": 1,
    "sending.per_week": 7,
    "sending.welcome": True,
    "sending.horizon_days": 60,
    "sending.lease_seconds": 120,
    "sending.settle_seconds": 300,
    "sending.on_unknown": "look-up",
    "jobs.send_seconds": 5,
    "jobs.settle_seconds": 30,
    "jobs.plan_seconds": 900,
    "jobs.import_seconds": 60,
    "jobs.ask_seconds": 300,
    "jobs.import_folder": None,
    "site.key": "main",
    "site.zone": "America/New_York",
    "site.on_call": (),
    "site.closures": (),
}


def value_of(settings, name):
    table, key = name.split(".")
    return getattr(getattr(settings, table), key)


def refusal(environ, folder):
    with pytest.raises(SettingsError) as caught:
        load(environ, folder)
    return str(caught.value)


def in_file(folder, text):
    path = folder / "settings.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", DEFAULTS)
def test_every_key_of_the_contract_has_its_default(name, tmp_path):
    assert value_of(load({}, tmp_path), name) == DEFAULTS[name]


def test_the_committed_file_says_what_the_code_says(tmp_path):
    committed = load({}, ROOT)
    assert committed.source == ROOT / "settings.toml"
    assert committed.model_copy(update={"source": None}) == load({}, tmp_path)


def test_the_committed_file_shows_every_key_there_is():
    text = (ROOT / "settings.toml").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        if name != "source":
            table = text.partition(f"[{name}]")[2].partition("\n[")[0]
            missing = [key for key in field.annotation.model_fields if f"{key} = " not in table]
            assert not missing, (name, missing)


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("REMINDERS_TWILIO__LIVE", "true", "twilio.live", True),
        ("REMINDERS_SENDING__WELCOME", "false", "sending.welcome", False),
        ("REMINDERS_SENDING__PER_DAY", "3", "sending.per_day", 3),
        ("REMINDERS_TWILIO__SEGMENTS_PER_SECOND", "0.5", "twilio.segments_per_second", 0.5),
        ("REMINDERS_SENDING__LEADS", '["90m", "2H"]', "sending.leads", ("90m", "2h")),
        ("REMINDERS_SENDING__QUIET_HOURS", '["00:00","00:00"]', "sending.quiet_hours", (time(0), time(0))),
        ("REMINDERS_SITE__CLOSURES", '["2026-12-25"]', "site.closures", (date(2026, 12, 25),)),
        (
            "REMINDERS_SITE__ON_CALL",
            '["json://198.51.100.7/hook", {"page": "mailto://ann:pw@example.org", "days": "sat,sun"}]',
            "site.on_call",
            (OnCall(page="json://198.51.100.7/hook"), OnCall(page="mailto://ann:pw@example.org", days="sat,sun")),
        ),
        ("REMINDERS_JOBS__IMPORT_FOLDER", "plans", "jobs.import_folder", Path("plans")),
        ("REMINDERS_SENDING__ON_UNKNOWN", "never-resend", "sending.on_unknown", "never-resend"),
        ("REMINDERS_TWILIO__SENDER", "MG" + "0a" * 16, "twilio.sender", "MG" + "0a" * 16),
        ("REMINDERS_WEB__PUBLIC_URL", "https://texts.example.org/", "web.public_url", "https://texts.example.org"),
        ("DATABASE_URL", "postgres://ann@db/x", "database.url", "postgres://ann@db/x"),
        ("DATABASE_URL", "postgresql://ann@db/x", "database.url", "postgresql://ann@db/x"),
        ("PORT", "5000", "web.port", 5000),
    ],
)
def test_the_environment_beats_the_file(variable, text, name, value, tmp_path):
    in_file(tmp_path, (ROOT / "settings.toml").read_text(encoding="utf-8"))
    settings = load({variable: text}, tmp_path)
    assert value_of(settings, name) == value


def test_our_own_variable_beats_the_platforms(tmp_path):
    environ = {"DATABASE_URL": "postgres://db/x", "REMINDERS_DATABASE__URL": "sqlite:///own.db"}
    assert load(environ, tmp_path).database.url == "sqlite:///own.db"


def test_the_other_keys_of_a_table_stay_as_the_file_has_them(tmp_path):
    in_file(tmp_path, "[sending]\nper_day = 2\nper_week = 9\n")
    sending = load({"REMINDERS_SENDING__PER_DAY": "3"}, tmp_path).sending
    assert (sending.per_day, sending.per_week) == (3, 9)


def test_an_empty_variable_is_one_that_is_not_set(tmp_path):
    empty = dict.fromkeys(("DATABASE_URL", "PORT", "REMINDERS_SETTINGS", "REMINDERS_SENDING__PER_DAY"), "")
    empty |= {"REMINDERS_JOBS__IMPORT_FOLDER": " ", "REMINDERS_NO__SUCH": ""}
    assert load(empty, tmp_path) == load({}, tmp_path)


def test_a_named_file_is_read_instead(tmp_path):
    (tmp_path / "settings.toml").write_text("[sending]\nper_day = 2\n", encoding="utf-8")
    (tmp_path / "other.toml").write_text("[sending]\nper_day = 3\n", encoding="utf-8")
    assert load({"REMINDERS_SETTINGS": "other.toml"}, tmp_path).sending.per_day == 3
    assert load({"REMINDERS_SETTINGS": str(tmp_path / "other.toml")}, ROOT).sending.per_day == 3


def test_a_named_file_that_is_missing_is_an_error(tmp_path):
    said = refusal({"REMINDERS_SETTINGS": "none.toml"}, tmp_path)
    assert "REMINDERS_SETTINGS" in said
    assert "none.toml" in said


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"[sending\n", "not valid TOML"),
        (b"[sending]\nper_day = 1\nper_day = 2\n", "not valid TOML"),
        ("[site]\nalias = 'Caf\u00e9'\n".encode("latin-1"), "UTF-8"),
    ],
)
def test_a_file_that_cannot_be_parsed_is_named(raw, word, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_bytes(raw)
    said = refusal({}, tmp_path)
    assert str(path) in said
    assert word in said


def test_a_folder_in_its_place_is_no_traceback(tmp_path):
    (tmp_path / "settings.toml").mkdir()
    assert str(tmp_path / "settings.toml") in refusal({}, tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sending]\nper_dya = 2\n", ["sending.per_dya: unknown key", "did you mean per_day?"]),
        ("[sendnig]\nper_day = 2\n", ["sendnig: unknown table", "did you mean sending?"]),
        ("per_day = 2\n", ["per_day: unknown table"]),
        ("source = 'x'\n", ["source: unknown key"]),
        ("sending = 3\n", ["sending: must be a table, [sending]"]),
        ("[sending]\nper_day = 'many'\n", ["sending.per_day: must be a whole number"]),
        ("[sending]\nper_day = 0\n", ["sending.per_day: must be greater than or equal to 1"]),
        ("[sending]\nwelcome = 'perhaps'\n", ["sending.welcome: must be true or false"]),
        ("[sending]\nleads = '2h'\n", ["sending.leads: must be a list"]),
        ("[sending]\nleads = ['1d@17:00', 'soon']\n", ["sending.leads no. 2: a lead is written like"]),
        ("[sending]\nquiet_hours = ['20:00']\n", ["sending.quiet_hours"]),
        ("[sending]\nquiet_hours = ['8 pm', '09:00']\n", ["sending.quiet_hours no. 1", "such as 20:00"]),
        ("[sending]\nquiet_hours = ['24:00', '09:00']\n", ["sending.quiet_hours no. 1"]),
        ("[sending]\nquiet_hours = [20:00:30, 09:00:00]\n", ["sending.quiet_hours no. 1", "whole minutes"]),
        ("[sending]\non_unknown = 'guess'\n", ["sending.on_unknown", "look-up", "never-resend"]),
        ("[site]\nzone = 'New York'\n", ["site.zone: 'New York' is not an IANA time zone"]),
        ("[site]\nphone = '202-555-0143'\n", ["site.phone", "such as +12025550100"]),
        ("[site]\nkey = 'Main Street'\n", ["site.key"]),
        ("[site]\nregion = 'USA'\n", ["site.region"]),
        ("[site]\nclosures = ['soon']\n", ["site.closures no. 1"]),
        ("[site]\non_call = 'json://127.0.0.1/'\n", ["site.on_call: must be a list"]),
        ("[site]\non_call = ['A. Reyes']\n", ["site.on_call no. 1: page holds no address that apprise knows"]),
        ("[site]\non_call = [{ page = 'json://127.0.0.1/', dyas = 'mon' }]\n", ["no. 1.dyas: unknown", "mean days?"]),
        ("[site]\non_call = [{ page_evn = 'ONCALL_1' }]\n", ["site.on_call no. 1: give either page_env"]),
        ("[site]\non_call = [{ page_env = 'ONCALL_1' }]\n", ["no. 1: the environment sets neither ONCALL_1 nor"]),
        ("[[site.on_call]]\npage = 'json://127.0.0.1/'\ndays = 'mondy'\n", ["site.on_call no. 1.days: 'mondy'"]),
        ("[site]\non_call = ['json://127.0.0.1/', 3]\n", ["site.on_call no. 2: must be an address, or a table"]),
        ("[twilio]\nsender = '12345'\n", ["twilio.sender", "MG"]),
        ("[web]\npublic_url = 'texts.example.org'\n", ["web.public_url: give scheme and host"]),
        ("[web]\npublic_url = 'https://my_host.example.org'\n", ["web.public_url", "underscore", "21609"]),
        ("[web]\npublic_url = 'http://[::1'\n", ["web.public_url"]),
        ("[web]\nport = 70000\n", ["web.port"]),
        ("[database]\nurl = 'mysql://db/x'\n", ["database.url: must be sqlite:///FILE or postgresql://"]),
        ("[database]\nurl = 'reminders.db'\n", ["database.url: must be sqlite:///FILE or postgresql://"]),
        ("[database]\nurl = 'sqlite://'\n", ["database.url"]),
        ("[database]\nurl = 'sqlite:///:memory:'\n", ["database.url: must be a file"]),
        ("[twilio]\napi_base_url = 'https://api.twilio.com'\n", ["twilio.api_base_url: must be on this machine"]),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_key_and_the_file(text, words, tmp_path):
    path = in_file(tmp_path, text)
    said = refusal({}, tmp_path)
    for word in [*words, str(path)]:
        assert word in said


@pytest.mark.parametrize(
    ("variable", "text", "words"),
    [
        ("REMINDERS_SENDING__PER_DYA", "2", ["sending.per_dya: unknown key"]),
        ("REMINDERS_SENDNIG__PER_DAY", "2", ["no such setting", "sending"]),
        ("REMINDERS_SENDING", "2", ["no such setting"]),
        ("REMINDERS_SOURCE__X", "2", ["no such setting"]),
        ("REMINDERS_SENDING__PER_DAY", "many", ["sending.per_day: must be a whole number"]),
        ("REMINDERS_SENDING__LEADS", "2h", ["sending.leads: must be a list"]),
        ("REMINDERS_SENDING__LEADS", "[2h]", ["lists are written as JSON"]),
        ("REMINDERS_SENDING__LEASE_SECONDS", "34", ["sending.lease_seconds: must be at least", "35"]),
        ("DATABASE_URL", "mysql://db/x", ["database.url"]),
        ("PORT", "http", ["web.port"]),
    ],
)
def test_what_is_wrong_in_the_environment_is_named_with_its_variable(variable, text, words, tmp_path):
    in_file(tmp_path, "")
    said = refusal({variable: text}, tmp_path)
    for word in [*words, variable]:
        assert word in said
    assert "settings.toml" not in said


def test_every_wrong_key_is_named_at_once(tmp_path):
    in_file(tmp_path, "[sending]\nper_day = 0\nnonsense = 1\n[site]\nzone = 'Mars/Olympus'\n")
    lines = refusal({"REMINDERS_WEB__PORT": "0"}, tmp_path).splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == [
        "sending.nonsense",
        "sending.per_day",
        "site.zone",
        "web.port",
    ]


@pytest.mark.parametrize("word", ["Recovery House", "Oak Rehab", "Detox Center"])
def test_l43_an_alias_that_tells_is_refused_with_the_word_named(word, tmp_path):
    in_file(tmp_path, f"[site]\nalias = '{word}'\n")
    said = refusal({}, tmp_path)
    assert "site.alias" in said
    assert any(part.casefold() in said.casefold() for part in word.split())


def test_a_long_alias_is_refused(tmp_path):
    in_file(tmp_path, "[site]\nalias = 'The Old Oak Street Office'\n")
    assert "18" in refusal({}, tmp_path)


@pytest.mark.parametrize(
    ("deadline", "lease", "settle", "wrong"),
    [
        (30, 35, 31, []),
        (30, 34.9, 31, ["sending.lease_seconds"]),
        (30, 35, 30, ["sending.settle_seconds"]),
        (200, 120, 150, ["sending.lease_seconds", "sending.settle_seconds"]),
    ],
)
def test_a_lease_outlives_a_call_and_settling_waits_for_it(deadline, lease, settle, wrong, tmp_path):
    in_file(
        tmp_path,
        f"[twilio]\ndeadline_seconds = {deadline}\n[sending]\nlease_seconds = {lease}\nsettle_seconds = {settle}\n",
    )
    if wrong:
        assert [line.partition(":")[0] for line in refusal({}, tmp_path).splitlines()] == wrong
    else:
        assert load({}, tmp_path).sending.lease_seconds == lease


@pytest.mark.parametrize(
    ("lead", "horizon", "fits"),
    [("3d@17:00", 3, True), ("3d@17:00", 2, False), ("48h", 2, True), ("49h", 2, False), ("2d", 1, False)],
)
@pytest.mark.parametrize("key", ["leads", "series_leads"])
def test_a_lead_lies_within_the_horizon(key, lead, horizon, fits, tmp_path):
    other = {"leads": "series_leads", "series_leads": "leads"}[key]
    in_file(tmp_path, f"[sending]\nhorizon_days = {horizon}\n{key} = ['{lead}']\n{other} = ['2h']\n")
    if fits:
        assert load({}, tmp_path).sending.horizon_days == horizon
    else:
        said = refusal({}, tmp_path)
        assert f"sending.{key}: {lead}" in said
        assert "sending.horizon_days" in said


def test_the_watched_folder_is_not_the_folder_of_the_settings(tmp_path):
    in_file(tmp_path, "[jobs]\nimport_folder = '.'\n")
    assert "jobs.import_folder: must be a folder of its own" in refusal({}, tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "[::1]"])
def test_the_simulator_may_be_anywhere_on_this_machine(host, tmp_path):
    url = f"http://{host}:4010"
    assert load({"REMINDERS_TWILIO__API_BASE_URL": url}, tmp_path).twilio.api_base_url == url


# Secrets


def test_secrets_come_from_the_environment(tmp_path):
    found = secrets(load(LIVE, tmp_path), {**LIVE, "TWILIO_API_KEY": "SK1", "TWILIO_API_SECRET": "s"})
    assert (found.account_sid, found.auth_token) == (LIVE["TWILIO_ACCOUNT_SID"], LIVE["TWILIO_AUTH_TOKEN"])
    assert (found.api_key, found.api_secret, found.secret_key) == ("SK1", "s", LIVE["REMINDERS_SECRET_KEY"])
    assert found.sealing_keys == {"k1": bytes(range(32))}
    assert not found.made_here
    assert found.new_keys_file is None
    assert list(tmp_path.iterdir()) == []


SECRETS = (
    "TWILIO_ACCOUNT_SID",
    "TWILIO_AUTH_TOKEN",
    "TWILIO_API_KEY",
    "TWILIO_API_SECRET",
    "REMINDERS_SECRET_KEY",
    "REMINDERS_SEALING_KEYS",
)


def test_each_secret_may_stand_in_a_file(tmp_path):
    given = {**LIVE, "TWILIO_API_KEY": "SK1", "TWILIO_API_SECRET": "s"}
    environ = {name: value for name, value in given.items() if name not in SECRETS}
    for name in SECRETS:
        (tmp_path / name).write_text(given[name] + "\n", encoding="utf-8")
        environ[f"{name}_FILE"] = str(tmp_path / name)
    assert vars(secrets(load(environ, ROOT), environ)) == vars(secrets(load(given, ROOT), given))


def test_a_secret_file_that_is_missing_or_empty_is_named(tmp_path):
    settings = load({}, tmp_path)
    (tmp_path / "empty").write_text("\n", encoding="utf-8")
    for name, word in (("none", "cannot be read"), ("empty", "is empty")):
        with pytest.raises(SettingsError, match=f"REMINDERS_SECRET_KEY_FILE: .*{name} {word}"):
            secrets(settings, {"REMINDERS_SECRET_KEY_FILE": str(tmp_path / name)})


def test_the_first_sealing_key_seals_and_all_open(tmp_path):
    other = base64.b64encode(bytes(32)).decode()
    found = secrets(load({}, tmp_path), {**LIVE, "REMINDERS_SEALING_KEYS": f"k2:{other}, k1:{KEY},"})
    assert found.first_sealing_key == "k2"
    assert found.sealing_keys == {"k2": bytes(32), "k1": bytes(range(32))}


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f":{KEY}",
        "k1:",
        "k1:not base64",
        f"k1:{KEY[:-4]}",
        f"k1:{KEY}{KEY}",
        f"schlüssel:{KEY}",
        f"{'k' * 33}:{KEY}",
        f"k1:{KEY},k1:{KEY}",
        ",",
    ],
)
def test_malformed_sealing_keys_are_refused_and_not_shown(text, tmp_path):
    with pytest.raises(SettingsError) as caught:
        secrets(load({}, tmp_path), {**LIVE, "REMINDERS_SEALING_KEYS": text})
    assert "REMINDERS_SEALING_KEYS" in str(caught.value)
    assert KEY[:12] not in str(caught.value)


def test_half_an_api_key_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="TWILIO_API_SECRET"):
        secrets(load({}, tmp_path), {**LIVE, "TWILIO_API_KEY": "SK1"})


@pytest.mark.parametrize(
    "name", ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "REMINDERS_SECRET_KEY", "REMINDERS_SEALING_KEYS"]
)
def test_live_needs_every_secret(name, tmp_path):
    environ = {key: value for key, value in LIVE.items() if key != name}
    with pytest.raises(SettingsError, match=name):
        secrets(load(environ, tmp_path), environ)
    with pytest.raises(SettingsError, match=name):
        secrets(load(environ, tmp_path), {**environ, name: ""})


def beside(tmp_path, **environ):
    return load({"DATABASE_URL": f"sqlite:///{tmp_path}/reminders.db", **environ}, tmp_path)


def test_a_missing_key_is_made_once_and_kept_beside_the_database(tmp_path):
    settings = beside(tmp_path)
    first = secrets(settings, {})
    assert first.made_here
    assert first.new_keys_file == tmp_path / "reminders.keys"
    assert stat.S_IMODE(first.new_keys_file.stat().st_mode) == 0o600
    again = secrets(settings, {})
    assert again.made_here
    assert again.new_keys_file is None
    assert (again.sealing_keys, again.secret_key) == (first.sealing_keys, first.secret_key)
    assert [path.name for path in tmp_path.iterdir()] == ["reminders.keys"]


def test_a_given_key_is_used_and_only_the_missing_one_made(tmp_path):
    found = secrets(beside(tmp_path), {"REMINDERS_SEALING_KEYS": f"k1:{KEY}"})
    assert found.made_here
    assert found.first_sealing_key == "k1"
    assert len(found.secret_key) > 30


def test_a_database_address_with_options_has_its_keys_beside_the_file(tmp_path):
    settings = load({"DATABASE_URL": f"sqlite:///{tmp_path}/reminders.db?timeout=5"}, tmp_path)
    assert secrets(settings, {}).new_keys_file == tmp_path / "reminders.keys"


def test_keys_that_cannot_be_kept_or_read_are_an_error_that_names_the_file(tmp_path):
    with pytest.raises(SettingsError, match=r"gone/reminders\.keys"):
        secrets(load({"DATABASE_URL": f"sqlite:///{tmp_path}/gone/reminders.db"}, tmp_path), {})
    for text in ("", "{}", "[1]", "not json"):
        (tmp_path / "reminders.keys").write_text(text, encoding="utf-8")
        with pytest.raises(SettingsError, match=r"reminders\.keys: holds no keys"):
            secrets(beside(tmp_path), {})
        assert (tmp_path / "reminders.keys").read_text(encoding="utf-8") == text


def test_processes_that_start_together_agree_on_the_keys(tmp_path):
    code = (
        "import sys\nfrom reminders.settings import load, secrets\nsettings = load()\nsys.stdin.read(1)\n"
        "print(secrets(settings).secret_key)"
    )
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("REMINDERS_", "TWILIO_"))},
        "DATABASE_URL": f"sqlite:///{tmp_path}/reminders.db",
        "PYTHONPATH": str(ROOT),
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env=environ,
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    said = []
    for process in started:
        process.stdin.write("g")
        process.stdin.flush()
    for process in started:
        said.append(process.communicate(timeout=30)[0].strip())
        assert process.returncode == 0
    assert len(set(said)) == 1
    assert said[0] == json.loads((tmp_path / "reminders.keys").read_text(encoding="utf-8"))["REMINDERS_SECRET_KEY"]


def test_secrets_show_nothing():
    found = Secrets("AC-sid", "a-token", "an-api-key", "an-api-secret", "a-secret", {"k1": b"sealing"}, made_here=False)
    shown = f"{found!r} {found}"
    for secret in ("AC-sid", "a-token", "an-api-key", "an-api-secret", "a-secret", "sealing"):
        assert secret not in shown


def test_a_password_in_a_wrong_address_is_not_shown(tmp_path):
    assert "hunter2" not in refusal({"DATABASE_URL": "mysql://ann:hunter2@db/x"}, tmp_path)


@pytest.mark.parametrize(
    "entry",
    [
        "'mailto://ann:hunter2@example.org'",
        "'json://198.51.100.7/hunter2'",
        "'gotify://localhost/hunter2hunter2'",
        "{ name = 'Night nurse', page = 'pagerduty://hunter2hunter2hunter2hunter2hunter2@hunter2hunter2' }",
    ],
)
def test_an_on_call_address_in_a_file_is_refused_unless_it_leads_to_this_machine(entry, tmp_path):
    in_file(tmp_path, f"[site]\non_call = ['json://127.0.0.1:9000/', {entry}]\n")
    said = refusal({}, tmp_path)
    assert "site.on_call no. 2: an address holds a secret" in said
    assert "page_env" in said
    assert "hunter2" not in said


def test_an_on_call_address_comes_from_the_environment_of_this_process(tmp_path):
    in_file(
        tmp_path,
        "[site]\non_call = [{ page_env = 'ONCALL_1' }, { page_env = 'ONCALL_2', hours = [20:00:00, 08:00:00] }]\n",
    )
    (tmp_path / "second").write_text("mailto://ann:hunter2@example.org\n", encoding="utf-8")
    environ = {"ONCALL_1": "json://198.51.100.7/hunter2", "ONCALL_2_FILE": str(tmp_path / "second")}
    settings = load(environ, tmp_path)
    first, second = settings.site.on_call
    assert first == OnCall(page="json://198.51.100.7/hunter2")
    assert second == OnCall(page="mailto://ann:hunter2@example.org", hours=("20:00", "08:00"))
    assert "hunter2" not in f"{settings!r} {settings}"
    said = refusal({"ONCALL_1": "hunter2", "ONCALL_2_FILE": str(tmp_path / "gone")}, tmp_path)
    assert "no. 1: ONCALL_1 holds no address that apprise knows" in said
    assert "no. 2: ONCALL_2_FILE" in said
    assert "hunter2" not in said


def test_a_port_gives_up_no_host_that_the_file_or_the_environment_names(tmp_path):
    """OPS-11: `honcho start` sets PORT for everyone, and this machine alone stays this machine alone."""
    (tmp_path / "settings.toml").write_text('[web]\nhost = "127.0.0.1"\n', encoding="utf-8")
    settings = load({"PORT": "5000"}, tmp_path)
    assert (settings.web.host, settings.web.port) == ("127.0.0.1", 5000)
    assert {key: place for key, _, place in in_force(settings, {"PORT": "5000"})}["web.host"].endswith("settings.toml")
    elsewhere = tmp_path / "elsewhere"
    assert load({"PORT": "5000", "REMINDERS_WEB__HOST": "::1"}, elsewhere).web.host == "::1"
    assert load({"PORT": "5000"}, elsewhere).web.host == "0.0.0.0"  # a platform calls from outside
