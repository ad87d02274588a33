"""Who may ask how the service does: /statusz and /metrics for monitors, and no one whom a proxy lets through."""

from dataclasses import replace

import pytest
from conftest import open_context
from web_caller import Caller

from reminders.settings import SettingsError, load, secrets

TOKEN = "a token of the tests, long"


@pytest.fixture
def watched(sqlite_template, tmp_path, travel):
    (tmp_path / "here.db").write_bytes(sqlite_template.read_bytes())
    more = {"web__monitors": '["10.0.0.9", "10.1.0.0/16", "fd00::/8"]', "web__proxies": '["10.1.0.7", "127.0.0.1"]'}
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path, **more)
    yield replace(opened, secrets=replace(opened.secrets, monitor_token=TOKEN))
    opened.close()


def asked(context, client: str, **headers: str) -> set[bool]:
    """Whether each of the two lets such a request in."""
    caller = Caller(context, client=client, host="texts.example.org")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return {caller.get(path, headers=named).status_code != 403 for path in ("/metrics", "/statusz")}


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("10.0.0.9", {}),
        ("::ffff:10.0.0.9", {}),
        ("10.1.200.3", {}),
        ("fd00::1", {}),
        ("10.1.0.7", {"x_forwarded_for": "10.0.0.9"}),  # our own proxy speaks for it
        ("203.0.113.9", {"authorization": f"Bearer {TOKEN}"}),
        ("127.0.0.1", {"authorization": f"bearer {TOKEN}", "x_forwarded_for": "203.0.113.9"}),
    ],
)
def test_a_monitor_may_ask(watched, client, headers):
    assert asked(watched, client, **headers) == {True}


@pytest.mark.parametrize(
    ("client", "headers"),
    [
        ("10.0.0.8", {}),
        ("10.1.0.7", {}),  # a proxy that does not say whom it speaks for
        ("10.1.0.7", {"x_forwarded_for": "203.0.113.9"}),
        ("10.1.0.7", {"x_forwarded_for": "10.0.0.9, 203.0.113.9"}),  # what the caller wrote is not believed
        ("10.1.0.7", {"x_real_ip": "10.0.0.9"}),
        ("10.0.0.9", {"x_forwarded_for": "10.0.0.9"}),  # a proxy that we do not know
        ("127.0.0.1", {"x_forwarded_for": "127.0.0.1"}),
        ("203.0.113.9", {"authorization": "Bearer "}),
        ("203.0.113.9", {"authorization": f"Basic {TOKEN}"}),
        ("203.0.113.9", {"authorization": f"Bearer {TOKEN}x"}),
    ],
)
def test_no_one_else_may_and_what_a_proxy_passes_on_is_not_of_this_machine(watched, client, headers):
    assert asked(watched, client, **headers) == {False}


def test_without_a_token_none_is_right(context):
    assert asked(context, "203.0.113.9", authorization="Bearer ") == {False}
    assert asked(context, "203.0.113.9", authorization="Bearer None") == {False}


@pytest.mark.parametrize("wrong", ["127.0.0.1", "0.0.0.0/0", "::/0", "::1", "10.0.0.1/8", "watcher.example.org"])
def test_monitors_are_addresses_and_never_this_machine(tmp_path, wrong):
    with pytest.raises(SettingsError, match=r"web\.monitors no\. 1: must"):
        load({"REMINDERS_WEB__MONITORS": f'["{wrong}"]'}, tmp_path)


def test_a_short_token_is_refused_and_no_token_is_printed(tmp_path):
    settings = load({}, tmp_path)
    with pytest.raises(SettingsError, match="REMINDERS_MONITOR_TOKEN: must be 20 characters"):
        secrets(settings, {"REMINDERS_MONITOR_TOKEN": "short"})
    (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    found = secrets(settings, {"REMINDERS_MONITOR_TOKEN_FILE": str(tmp_path / "token")})
    assert found.monitor_token == TOKEN
    assert TOKEN not in repr(found)
