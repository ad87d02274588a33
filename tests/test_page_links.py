"""Pages that reach whom they are for: a link that acknowledges with one tap, and a test of every contact."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from conftest import NOW, environment
from oncall import Clinic
from test_backup import after
from typer.testing import CliRunner
from web_caller import Caller

from reminders import clock, queries
from reminders.cli import app
from reminders.service.operations import health
from reminders.service.tasks import handling, page_links
from reminders.store.database import schema

HTTPS = "https://texts.example.invalid"


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio):
    opened = Clinic(database_url, tmp_path, travel, twilio, ("First", {}), ("Second", {}), web__public_url=HTTPS)
    opened.accept()
    yield opened
    opened.close()


def link_in(page) -> str:
    """The path of the link that a page carries."""
    assert HTTPS in page.said
    return page.said.partition(HTTPS)[2].split()[0]


def browser(clinic) -> Caller:
    return Caller(clinic.context, client="203.0.113.9", host="texts.example.invalid")


def tap(clinic, path):
    return browser(clinic).request("POST", path, headers={"accept": "text/html", "sec-fetch-site": "same-origin"})


def alarm(clinic):
    (task,) = queries.tasks.list_tasks(clinic.context.database, kind="crisis")
    return task


def test_a_page_carries_a_link_that_acknowledges_with_one_tap_and_shows_nothing_of_anyone(clinic):
    clinic.text("I want to die")
    (page,) = clinic.pager.pages
    path = link_in(page)
    shown = browser(clinic).page(path)
    assert shown.status_code == 200
    assert "I have it" in shown.text
    for word in ("MRN-1", "DC-1", "Jordan", "die", "0143", "crisis", "danger"):
        assert word not in shown.text
    assert alarm(clinic).acknowledged_at is None  # what looks at links by itself has done nothing
    done = tap(clinic, path)
    assert done.status_code == 200
    assert "You have it now" in done.text
    task = alarm(clinic)
    assert (task.owner, task.escalates_at) == ("on call: First", None)
    assert task.acknowledged_at is not None
    (row,) = [one for one in clinic.context.database.read(_audit) if one.what == "task taken"]
    assert (row.who, row.row_id) == ("on call: First", task.id)
    assert "acknowledged this alarm already" in tap(clinic, path).text
    clinic.travel(after(20))
    clinic.pager.called()
    clinic.page()
    assert clinic.pager.called() == []


def _audit(tx):
    return list(tx.all(schema.audit.select()))


def test_a_link_expires_and_one_that_was_changed_or_made_with_another_key_is_none(clinic):
    context = clinic.context
    clinic.text("I want to die")
    path = link_in(clinic.pager.pages[0])
    number, _, rest = path.rpartition("/")[2].partition(".")
    another = page_links.token(
        replace(context, secrets=replace(context.secrets, secret_key="another secret of the tests, 32")),
        page_links.Link(alarm(clinic).id, "0" * 8, NOW),
    )
    for wrong in (f"{int(number) + 1}.{rest}", rest, "x", "...", another, f"{number}.{rest}A"):
        assert browser(clinic).page(f"/on-call/{wrong}").status_code == 404, wrong
        assert tap(clinic, f"/on-call/{wrong}").status_code == 404, wrong
    clinic.travel(NOW + timedelta(hours=12, minutes=1))
    assert tap(clinic, path).status_code == 404
    assert alarm(clinic).acknowledged_at is None


def test_the_link_of_an_alarm_that_began_again_or_is_over_does_nothing(clinic):
    context = clinic.context
    clinic.text("I want to die")
    old = link_in(clinic.pager.pages[0])
    handling.take(context, alarm(clinic).id, clock.now(), who="test")
    clinic.travel(after(10))
    clinic.text("I cannot go on")
    assert alarm(clinic).acknowledged_at is None
    assert "Use the link of the page that came last" in tap(clinic, old).text
    assert alarm(clinic).acknowledged_at is None
    assert "You have it now" in tap(clinic, link_in(clinic.pager.pages[-1])).text
    handling.close(context, alarm(clinic).id, "reached", clock.now(), who="test")
    assert "This is over" in tap(clinic, old).text


def test_over_plain_http_a_page_carries_no_link(database_url, tmp_path, travel, twilio):
    clinic = Clinic(database_url, tmp_path, travel, twilio, ("First", {}))
    clinic.accept()
    clinic.text("I want to die")
    (page,) = clinic.pager.pages
    assert "/on-call/" not in page.said
    assert "reminders tasks take" in page.said
    clinic.close()


def contacts(context, *, live=False):
    twilio = context.settings.twilio.model_copy(update={"live": live})
    there = replace(context, settings=context.settings.model_copy(update={"twilio": twilio}))
    return [(check.ok, check.detail) for check in health._proven(there, clock.now())]


def test_a_test_page_goes_to_everyone_and_the_doctor_says_when_each_was_reached(clinic):
    context = clinic.context
    assert contacts(context, live=True) == [(False, "First: never reached yet"), (False, "Second: never reached yet")]
    clinic.pager.answers = [200, 500]
    caller = Caller(context, role="ops")
    shown = caller.request("POST", "/health/test-page", headers={"sec-fetch-site": "same-origin"})
    assert shown.status_code == 200
    assert shown.text.count("not taken: look at the address") == 1
    said = [page.said for page in clinic.pager.pages]
    assert len(said) == 2
    assert all("nothing is wrong" in one for one in said)
    assert sorted(ok for ok, _ in contacts(context, live=True)) == [False, True]
    assert all(ok for ok, _ in contacts(context))  # said only, while not live
    first = next(page for page in clinic.pager.pages if page.contact == "First")
    assert "Pages reach you" in tap(clinic, link_in(first)).text
    clinic.travel(NOW + timedelta(days=3))
    assert any(detail.startswith("First: said to have a page 3 d ago") for _, detail in contacts(context))
    clinic.travel(NOW + timedelta(days=93))
    assert [ok for ok, _ in contacts(context, live=True)] == [False, False]


def test_a_page_that_was_really_taken_is_a_proof_too(clinic):
    clinic.text("I want to die")
    assert next(detail for _, detail in contacts(clinic.context)) == "First: its service took one 0 s ago"


def test_who_runs_one_site_cannot_page_everyone(clinic):
    caller = Caller(clinic.context, role="ops", site="main")
    answer = caller.request("POST", "/health/test-page", headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 403
    assert "Page everyone on call" not in caller.page("/health").text
    assert clinic.pager.called() == []


def test_oncall_test_on_the_command_line(clinic, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rota = json.dumps([clinic.pager.contact("First")])
    ops = json.dumps([clinic.pager.contact("Ops")])
    url = clinic.context.settings.database.url
    env = environment(url, site__on_call=rota, site__on_call_ops=ops)
    done = CliRunner().invoke(app, ["oncall", "test", "--json"], env=env)
    assert done.exit_code == 0, done.output
    assert [json.loads(one) for one in done.stdout.splitlines()] == [
        {"name": "First", "rota": "on_call", "taken": True},
        {"name": "Ops", "rota": "on_call_ops", "taken": True},
    ]
    clinic.pager.answers = [500]
    assert CliRunner().invoke(app, ["oncall", "test"], env=env).exit_code == 1
    assert CliRunner().invoke(app, ["oncall", "test"], env=environment(url)).exit_code == 1
