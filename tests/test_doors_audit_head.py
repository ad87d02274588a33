"""SEC-14: the audit's head is exported automatically, the doctor checks it, and a rewritten chain is detected."""

import asyncio
import json
import threading
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from conftest import NOW, open_context

from reminders import store
from reminders.service.office import audit, heads
from reminders.service.operations import health
from reminders.settings import SettingsError, load
from reminders.store.database import schema


def noted(context, what: str, at) -> None:
    context.database.write(lambda tx: store.audit_log.note(tx, who="test", what=what, table="sites", row=1, now=at))
    audit.chain(context, at + timedelta(minutes=1))


@pytest.fixture
def kept(database_url, tmp_path, travel):
    """A house whose head is kept in a file, with something in its chain."""
    context = open_context(database_url, tmp_path, jobs__audit_head=str(tmp_path / "heads"))
    noted(context, "first", NOW)
    yield context, tmp_path / "heads"
    context.close()


def check(context) -> health.Check:
    return next(one for one in asyncio.run(health.doctor(context)) if one.check == "audit head")


def test_s14_the_head_is_kept_once_a_day_and_on_demand(kept, travel):
    context, file = kept
    assert not check(context).ok
    assert heads.keep(context, NOW)
    assert not heads.keep(context, NOW + timedelta(hours=23))
    assert heads.keep(context, NOW + timedelta(hours=23), at_once=True)
    noted(context, "second", NOW + timedelta(days=2))
    assert heads.keep(context, NOW + timedelta(days=2))
    found = heads.read_all(context, file.read_text())
    assert [head.place for head in found] == [1, 1, 2]
    assert file.stat().st_mode & 0o077 == 0
    assert audit.verify(context, *found).ok
    travel(NOW + timedelta(days=2, hours=1))
    assert check(context).ok
    travel(NOW + timedelta(days=5))
    assert not check(context).ok


def test_s14_a_chain_written_anew_shows_against_the_file_and_turns_the_job_red(kept):
    context, file = kept
    heads.keep(context, NOW)
    context.database.write(lambda tx: tx.run(schema.audit.delete()))
    noted(context, "forged", NOW + timedelta(hours=1))
    assert audit.verify(context).ok  # the chain alone looks intact
    assert not audit.verify(context, *heads.read_all(context, file.read_text())).ok
    with pytest.raises(heads.NotKept, match="stands in the chain no more"):
        heads.keep(context, NOW + timedelta(days=1))
    assert len(file.read_text().splitlines()) == 2


def test_s14_a_link_is_not_written_through(kept, tmp_path):
    context, file = kept
    target = tmp_path / "precious"
    target.write_text("")
    file.symlink_to(target)
    with pytest.raises(heads.NotKept, match="cannot be written"):
        heads.keep(context, NOW)
    assert not target.read_text()


@pytest.mark.parametrize("status", [204, 302, 500])
def test_s14_the_head_is_posted_and_a_redirect_is_not_followed(kept, monkeypatch, status):
    context, _ = kept
    took = []

    class Place(BaseHTTPRequestHandler):
        def do_POST(self):
            took.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            if status == 302:
                self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            """Nothing on the screen."""

    server = HTTPServer(("127.0.0.1", 0), Place)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    line = json.dumps(audit.export_head(context, NOW))
    try:
        address = f"http://127.0.0.1:{server.server_port}/"
        if status == 204:
            heads._post(address, line)
        else:
            with pytest.raises(heads.NotKept):
                heads._post(address, line)
    finally:
        server.shutdown()
        server.server_close()
    assert [one["place"] for one in took] == [1]


def test_s14_the_doctor_asks_for_it_when_live(context, travel):
    assert check(context).ok
    twilio = context.settings.twilio.model_copy(update={"live": True})
    live = replace(context, settings=context.settings.model_copy(update={"twilio": twilio}))
    said = health._audit_head(live, NOW)
    assert not said.ok
    assert "jobs.audit_head" in (said.fix or "")


@pytest.mark.parametrize("place", ["http://heads.example.org/", "ftp://x/y", "https://"])
def test_s14_an_address_must_be_https(place, tmp_path):
    with pytest.raises(SettingsError, match=r"jobs\.audit_head"):
        load({"REMINDERS_JOBS__AUDIT_HEAD": place}, tmp_path)
