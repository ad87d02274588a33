"""The pretend phones: a page shows their screens, and its actions work like those of a real phone."""

import pytest
import sqlalchemy as sa
from conftest import PretendTwilio, open_context
from people import one_off
from test_web_pages import Page
from two_sites import accept, hear, open_north
from web_caller import Caller

from reminders.service.replies import inbound
from reminders.sms.phones import PhonesAway, PretendPhones
from reminders.store.database import schema

PHONE = "+12025550101"
SENDER = "+15005550006"
SOON = [one_off("visit", "2026-12-03T15:00:00")]


@pytest.fixture(scope="module")
def phones():
    running = PretendTwilio()
    yield running
    running.close()


@pytest.fixture
def here(sqlite_template, tmp_path, travel, phones):
    """A house on SQLite at NOW with running pretend phones."""
    path = tmp_path / "here.db"
    path.write_bytes(sqlite_template.read_bytes())
    phones.do(lambda simulator: simulator.reset())
    opened = open_context(f"sqlite:///{path}", tmp_path, twilio__phones_url=phones.phones_url)
    accept(opened, 1, series=SOON)
    yield opened
    opened.close()


def key(context, ref="MRN-1"):
    query = sa.select(schema.recipients.c.number_id).join(schema.patients).where(schema.patients.c.ref == ref)
    return context.database.read(lambda tx: tx.value(query))


def said(answer):
    (words,) = Page(answer).said("main")
    return words


def test_a_phone_shows_what_it_got_and_answers(here, phones):
    caller = Caller(here, role="coordinator")
    assert "202-555-0101 Jordan Alvarez Nothing on it yet" in said(caller.page("/phones"))
    path = f"/phones/{key(here)}"
    sent = caller.request("POST", f"{path}/text", data={"quick": "I can't do this anymore"})
    assert sent.headers["location"] == f"{path}?done=sent"
    assert "They wrote: I can't do this anymore" in said(caller.page("/phones"))
    shown = Page(caller.page(path))
    assert "I can't do this anymore" in shown.said("p")
    assert shown.by_id("screen")["data-refresh"] == "3"
    assert shown.said("h1") == ["202-555-0101"]
    assert "555" not in shown.said("title")[0]
    (texted,) = phones.do(lambda simulator: list(simulator.texted[PHONE]))
    assert (texted.to, texted.body) == (SENDER, "I can't do this anymore")


def test_what_the_network_answers_by_itself_is_told_apart(here):
    caller, path = Caller(here, role="coordinator"), f"/phones/{key(here)}"
    caller.request("POST", f"{path}/text", data={"body": "STOP"})
    assert "from the phone network itself" in said(caller.page(path))


@pytest.mark.parametrize("body", ["", "x" * 1001])
def test_nothing_and_too_much_are_not_sent(here, phones, body):
    answer = Caller(here, role="coordinator").request("POST", f"/phones/{key(here)}/text", data={"body": body})
    assert answer.status_code == 422
    assert Page(answer).by_id("body")["aria-invalid"] == "true"
    assert PHONE not in phones.do(lambda simulator: dict(simulator.texted))


def test_switched_off_it_gets_nothing(here, phones):
    caller, path = Caller(here, role="coordinator"), f"/phones/{key(here)}"
    assert caller.request("POST", f"{path}/switch", data={"to": "off"}).headers["location"].endswith("?done=off")
    assert "The phone is off" in said(caller.page(path))
    assert phones.do(lambda simulator: simulator.facts[PHONE].line_status) == "unreachable"
    caller.request("POST", f"{path}/switch", data={"to": "on"})
    assert phones.do(lambda simulator: simulator.facts[PHONE].line_status) == "active"
    assert "The phone is on" in said(caller.page(path))


def test_where_texts_are_real_there_is_no_such_page(here):
    here.settings.twilio.__dict__["live"] = True
    caller = Caller(here, role="admin")
    assert [caller.page(path).status_code for path in ("/phones", f"/phones/{key(here)}")] == [404, 404]
    for verb in ("text", "switch"):
        assert caller.request("POST", f"/phones/{key(here)}/{verb}", data={"body": "C", "to": "off"}).status_code == 404
    here.settings.twilio.__dict__["live"] = False


def test_phones_of_another_site_and_of_strangers(here):
    open_north(here)
    inbound.warm_up()
    hear(here, "who is this", 77, "SM9")
    north = Caller(here, role="coordinator", site="north")
    assert "Jordan" not in north.page("/phones").text
    assert north.page(f"/phones/{key(here)}").status_code == 404
    assert "no one we know" in said(Caller(here, role="coordinator", site="main").page("/phones"))
    assert Caller(here, role="ops").page("/phones").status_code == 403


def test_phones_that_do_not_run_are_said_to_be_away(here, sqlite_template, tmp_path):
    away = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path, twilio__phones_url="http://127.0.0.1:9")
    caller = Caller(away, role="coordinator")
    for path in ("/phones", f"/phones/{key(here)}"):
        assert "The pretend phones do not answer." in caller.page(path).text
    for verb in ("text", "switch"):
        assert caller.request("POST", f"/phones/{key(here)}/{verb}", data={"body": "C"}).status_code == 422
    with pytest.raises(PhonesAway):
        PretendPhones("http://127.0.0.1:9").all()
    away.close()


def test_phones_elsewhere_are_refused(tmp_path):
    with pytest.raises(Exception, match="phones_url"):
        open_context(f"sqlite:///{tmp_path}/no.db", tmp_path, twilio__phones_url="http://phones.example.org")
