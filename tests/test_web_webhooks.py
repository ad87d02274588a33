"""Twilio's webhooks: only if signed, effective only once, and never lost while the database is unavailable."""

import asyncio
import itertools
import logging
import shutil
import sqlite3
import threading
from dataclasses import replace
from urllib.parse import urlencode

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from conftest import KEYS, begun, free_port, logged, open_context, send, until
from people import document, one_off
from web_caller import Caller, signature

from reminders import clock, store
from reminders.service import planning
from reminders.service.sending import recording
from reminders.store.database import schema
from reminders.store.database.sealing import Place
from reminders.store.sending.answers import Answered
from reminders.web import webhooks

SOON = "2026-11-30T11:30:00"  # 90 minutes from NOW, New York
PHONE = "+12025550143"
SENDER = "+15005550006"
SID = "SM" + "a" * 32
TWIML = '<?xml version="1.0" encoding="UTF-8"?><Response />'


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    """A house on SQLite at NOW, for what does not depend on the database."""
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def both(context, travel):
    """A house on each database at NOW."""
    return context


def accept(context, **changes) -> None:
    changes.setdefault("series", [one_off("visit", SOON, leads=["90m"])])
    planning.accept(context, document(**changes), clock.now(), who="test")


def begin(context):
    """Jordan's text, claimed and on its way to Twilio; the answer is unknown."""
    accept(context)
    (started,) = begun(context, clock.now())
    return started


def accepted(context, started, sid: str = SID) -> None:
    recording.record(context, [Answered(started, "accepted", sid=sid, status="queued")], clock.now())


def handed_over(context):
    started = begin(context)
    accepted(context, started)
    return started


def told(status: str, **more: str) -> dict[str, str]:
    """A status callback's form."""
    return {"AccountSid": "AC" + "0" * 32, "MessageSid": SID, "MessageStatus": status, "To": PHONE, **more}


def every(context, table: sa.Table) -> list[tuple]:
    return context.database.read(
        lambda tx: [tuple(row) for row in tx.all(sa.select(table).order_by(*table.primary_key))]
    )


def snapshot(context) -> list[list[tuple]]:
    """Everything that a callback or an inbound text could change."""
    tables = (schema.texts, schema.attempts, schema.receipts, schema.numbers, schema.replies, schema.audit)
    return [every(context, table) for table in tables]


def the_text(context):
    (text,) = logged(context)
    return text


# Status callbacks


def test_a_receipt_is_stored_sealed_and_moves_the_text(both):
    started = handed_over(both)
    answer = Caller(both).twilio(f"/sms/status/{started.ref}", **told("delivered", RawDlrDoneDate="2611301005"))
    assert (answer.status_code, answer.content) == (204, b"")
    text = the_text(both)
    assert (text.state, text.attempts[0].status, text.attempts[0].sid) == ("delivered", "delivered", SID)
    (receipt,) = every(both, schema.receipts)
    assert not any(PHONE[1:].encode() in value for value in receipt if isinstance(value, bytes))


def test_an_undelivered_text_keeps_its_code(here):
    started = handed_over(here)
    Caller(here).twilio(f"/sms/status/{started.ref}", **told("undelivered", ErrorCode="30006"))
    assert (the_text(here).state, the_text(here).attempts[0].error_code) == ("undelivered", 30006)
    (number,) = every(here, schema.numbers)
    assert 30006 in number  # a landline: it is the number that is bad


def forged(path, form, url):
    """Calls that Twilio did not make: (what is wrong, path, form, signature)."""
    good = signature(url + path, form)
    blank = [(name, value) for name, value in form if value]
    return [
        ("no signature", path, form, None),
        ("an empty signature", path, form, ""),
        ("a signature that is none", path, form, "é"),
        ("another token", path, form, signature(url + path, form, "another token")),
        ("a byte changed", path, [(name, value.replace("delivered", "deliwered")) for name, value in form], good),
        ("a parameter added", path, [*form, ("ErrorCode", "30003")], good),
        ("a blank parameter dropped", path, blank, good),
        ("another attempt's address", path[:-1] + "~", form, good),
        ("a query added", path + "?a=1", form, good),
        ("signed for another host", path, form, signature("https://elsewhere.example" + path, form)),
        ("signed for https", path, form, signature(url.replace("http:", "https:") + path, form)),
        ("a slash more", path + "/", form, good),
    ]


def test_forged_callbacks_are_refused_and_have_no_effect(here):
    started = handed_over(here)
    caller, before = Caller(here), snapshot(here)
    form = [*told("delivered").items(), ("Blank", "")]
    url = here.settings.web.public_url
    for wrong, path, sent, signed in forged(f"/sms/status/{started.ref}", form, url):
        answer = caller.post(path, sent, signed)
        assert answer.status_code == (404 if path.endswith("/") else 403), wrong
    text = list(({"AccountSid": here.secrets.account_sid} | says("STOP")).items())
    for wrong, path, sent, signed in forged("/sms/inbound", text, url)[:4]:
        assert caller.post(path, sent, signed).status_code == 403, wrong
    assert snapshot(here) == before
    assert caller.post(
        f"/sms/status/{started.ref}", form, signature(url + f"/sms/status/{started.ref}", form)
    ).is_success
    assert the_text(here).state == "delivered"


@pytest.mark.parametrize(
    "public_url", ["https://texts.example.org", "https://example.org/aftercare", "https://texts.example.org:443"]
)
def test_the_configured_address_is_what_is_signed_whatever_the_request_says(
    sqlite_template, tmp_path, public_url, travel
):
    shutil.copy(sqlite_template, tmp_path / "here.db")
    context = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path, web__public_url=public_url)
    started = handed_over(context)
    caller = Caller(context, client="203.0.113.9", host="evil.example")
    path, form = f"/sms/status/{started.ref}", list(told("delivered").items())
    assert caller.post(path, form, signature("http://evil.example" + path, form)).status_code == 403
    assert caller.post(path, form, signature(public_url + path, form)).status_code == 204
    assert the_text(context).state == "delivered"
    context.close()


def test_a_signed_query_and_signed_blanks_are_kept(here):
    started = handed_over(here)
    path = f"/sms/status/{started.ref}?a=%20b&c="
    form = [*told("sent").items(), ("Empty", "")]
    url = here.settings.web.public_url + path
    assert Caller(here).post(path, form, signature(url, form)).status_code == 204
    assert len(every(here, schema.receipts)) == 1


def test_f18_an_unknown_ref_is_answered_logged_and_not_stored(here, caplog):
    handed_over(here)
    before = snapshot(here)
    with caplog.at_level(logging.WARNING):
        assert Caller(here).twilio("/sms/status/nobody", **told("delivered")).status_code == 204
    assert snapshot(here) == before
    (line,) = [one.getMessage() for one in caplog.records if one.name.startswith("reminders")]
    assert "none of ours" in line
    assert PHONE not in line


def test_a_signed_form_without_a_status_changes_nothing(here):
    started = handed_over(here)
    before = snapshot(here)
    assert Caller(here).twilio(f"/sms/status/{started.ref}", AccountSid=here.secrets.account_sid).status_code == 204
    assert snapshot(here) == before


@pytest.mark.parametrize("order", list(itertools.permutations(("sent", "undelivered", "delivered"))))
def test_f17_receipts_doubled_and_disordered_end_the_same(here, order):
    started = handed_over(here)
    caller = Caller(here)
    for status in (*order, *order):
        more = {"ErrorCode": "30003"} if status == "undelivered" else {}
        assert caller.twilio(f"/sms/status/{started.ref}", **told(status, **more)).status_code == 204
    assert (the_text(here).state, the_text(here).attempts[0].status) == ("delivered", "delivered")
    assert len(every(here, schema.receipts)) == 3


def test_a_receipt_replayed_a_hundred_times_has_one_effect(here):
    started = handed_over(here)
    caller = Caller(here)
    caller.twilio(f"/sms/status/{started.ref}", **told("undelivered", ErrorCode="30003"))
    before = snapshot(here)
    for _ in range(100):
        assert caller.twilio(f"/sms/status/{started.ref}", **told("undelivered", ErrorCode="30003")).status_code == 204
    assert snapshot(here) == before


def test_f16_a_receipt_before_the_answer_is_its_answer(both):
    started = begin(both)
    assert the_text(both).state == "sending"
    Caller(both).twilio(f"/sms/status/{started.ref}", **told("delivered"))
    assert (the_text(both).state, the_text(both).attempts[0].sid) == ("delivered", SID)
    accepted(both, started)
    text = the_text(both)
    assert (text.state, text.attempts[0].status, text.attempts[0].answer) == ("delivered", "delivered", "accepted")


def test_new_parameters_and_new_words_of_twilio_are_taken(both):
    started = handed_over(both)
    form = told("a_word_that_" + "x" * 300, ErrorCode="", ChannelPrefix="sms", Nested='{"a": [1]}', Unicode="zażółć 🙂")
    assert Caller(both).twilio(f"/sms/status/{started.ref}", **form).status_code == 204
    assert the_text(both).state == "sent"
    (receipt,) = every(both, schema.receipts)
    assert "a_word_that_xxxxxxxx" in receipt


def test_a_nul_is_taken_where_a_database_keeps_none(both):
    started = handed_over(both)
    caller = Caller(both)
    assert caller.twilio("/sms/status/%00", **told("sent")).status_code == 204
    assert caller.twilio(f"/sms/status/{started.ref}", **told("de\0livered")).status_code == 403
    assert caller.twilio("/sms/inbound", **says("STOP", sid="SM\0" + "1" * 31)).status_code == 403
    assert caller.twilio("/sms/inbound", **says("ST\0OP")).status_code == 200
    assert (len(every(both, schema.receipts)), len(every(both, schema.replies))) == (0, 1)


# Invalid requests


def test_a_body_over_64_kib_is_refused_unread(here):
    path, most = "/sms/inbound", here.settings.web.webhook_bytes
    for size, status in ((most + 1, 413), (most, 200)):
        form = list(({"AccountSid": here.secrets.account_sid} | says("")).items())
        form.append(("Body", "x" * (size - len(urlencode(form)))))
        form.remove(("Body", ""))
        answer = Caller(here).post(path, form, signature(here.settings.web.public_url + path, form))
        assert answer.status_code == status


def test_bodies_that_are_no_form_are_refused(here):
    caller = Caller(here)
    assert caller.post("/sms/inbound", b"Body=\xff\xfe", "x").status_code == 400
    assert caller.post("/sms/inbound", b"&".join([b"a=1"] * 201), "x").status_code == 400
    assert caller.post("/sms/inbound", b"Body=%ff", "x").status_code == 403
    assert caller.post("/sms/inbound", b'{"Body": "STOP"}', "x").status_code == 403
    assert caller.post("/sms/inbound", b"", "x").status_code == 403


def dribble(context, messages):
    """The application's answer to a request whose body comes as these ASGI messages, and then no more."""
    sent = []

    async def call():
        arriving = iter(messages)

        async def receive():
            if (message := next(arriving, None)) is None:
                await asyncio.sleep(60)
            return message

        async def answer(message):
            await asyncio.sleep(0)
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/sms/inbound", "raw_path": b"/sms/inbound", "headers": []}
        scope |= {"query_string": b"", "client": ("203.0.113.9", 1), "http_version": "1.1", "scheme": "http"}
        await Caller(context).app(scope, receive, answer)

    asyncio.run(call())
    return sent[0]["status"]


def test_a_body_that_does_not_arrive_is_given_up(here, monkeypatch):
    monkeypatch.setattr(webhooks, "MOST_SECONDS", 0.05)
    assert dribble(here, [{"type": "http.request", "body": b"Bo", "more_body": True}]) == 408


def test_a_caller_that_hangs_up_is_no_fault_of_ours(here):
    assert dribble(here, [{"type": "http.disconnect"}]) == 400


@pytest.mark.parametrize("path", ["/sms/status/abc", "/sms/inbound"])
def test_webhooks_take_nothing_but_post(here, path):
    for method in ("GET", "PUT", "DELETE"):
        answer = Caller(here).request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


# The database is unavailable


def calls_again(answer) -> bool:
    return answer.status_code == 503 and int(answer.headers["retry-after"]) > 0


def test_f25_while_postgresql_is_away_twilio_is_told_to_call_again(
    postgresql_server, postgresql_template, tmp_path, travel
):
    name = "away_for_a_while"
    postgresql_server.run(f"CREATE DATABASE {name} TEMPLATE {postgresql_template}")
    context = open_context(postgresql_server.url(name), tmp_path)
    started = handed_over(context)
    caller = Caller(context)
    postgresql_server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    postgresql_server.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    assert calls_again(caller.twilio(f"/sms/status/{started.ref}", **told("delivered")))
    assert calls_again(caller.twilio("/sms/inbound", **says("STOP")))
    assert caller.get("/readyz").status_code == 503
    assert caller.get("/healthz").status_code == 200
    postgresql_server.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert caller.twilio(f"/sms/status/{started.ref}", **told("delivered")).status_code == 204
    assert the_text(context).state == "delivered"
    context.close()
    postgresql_server.run(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_postgresql_that_does_not_answer_the_door(tmp_path):
    context = open_context(f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere", tmp_path)
    assert calls_again(Caller(context).twilio("/sms/status/abc", **told("delivered")))
    context.close()


def test_a_locked_sqlite_file(sqlite_template, tmp_path, travel):
    path = tmp_path / "here.db"
    shutil.copy(sqlite_template, path)
    context = open_context(f"sqlite:///{path}", tmp_path)
    quick = store.Database(f"sqlite:///{path}", store.Ring(KEYS), patience=0.01, tries=2)
    context = replace(context, database=quick)
    started = handed_over(context)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert calls_again(Caller(context).twilio(f"/sms/status/{started.ref}", **told("delivered")))
    other.execute("ROLLBACK")
    assert Caller(context).twilio(f"/sms/status/{started.ref}", **told("delivered")).status_code == 204
    other.close()
    context.close()


def test_a_sqlite_file_that_cannot_be_opened(tmp_path):
    context = open_context(f"sqlite:///{tmp_path / 'nowhere' / 'reminders.db'}", tmp_path)
    assert calls_again(Caller(context).twilio("/sms/inbound", **says("STOP")))
    assert Caller(context).get("/readyz").status_code == 503
    context.close()


# Inbound texts


def says(body: str, sid: str = "SM" + "1" * 32, sender: str = PHONE, **more: str) -> dict[str, str]:
    """An inbound text's form."""
    return {"MessageSid": sid, "From": sender, "To": SENDER, "Body": body, "NumMedia": "0", **more}


def opted_out(context) -> list[bool]:
    return [row is not None for row in context.database.read(lambda tx: column(tx, schema.numbers.c.opted_out_at))]


def column(tx, wanted):
    return [row[0] for row in tx.all(sa.select(wanted).order_by(wanted.table.c.id))]


TWO_VISITS = [one_off("visit", SOON, leads=["90m"]), one_off("next", "2026-12-03T15:00:00", leads=["1d@17:00"])]


def fates(context) -> list[tuple[int, str, str, str | None]]:
    return [(text.text, text.key, text.state, text.reason) for text in logged(context)]


@pytest.mark.parametrize("word", ["stop.", "¡No más! 🙏"])
def test_l16_stop_takes_every_queued_text_out_at_once(both, word):
    accept(both, series=TWO_VISITS)
    answer = Caller(both).twilio("/sms/inbound", **says(word))
    assert (answer.status_code, answer.text) == (200, TWIML)
    assert answer.headers["content-type"].startswith("text/xml")
    assert opted_out(both) == [True]
    queued = [text for text in logged(both) if text.class_ != "answer"]
    assert [(text.state, text.reason) for text in queued] == [("suppressed", "opted_out")] * 2
    assert ("the phone", "number stop") in [(row[2], row[3]) for row in every(both, schema.audit)]


@pytest.mark.parametrize("word", ["START", "unstop"])
def test_l17_start_revives_the_very_same_rows(both, word):
    accept(both, series=TWO_VISITS)
    before = fates(both)
    caller = Caller(both)
    caller.twilio("/sms/inbound", **says("STOP", sid="SM" + "1" * 32))
    assert fates(both) != before
    caller.twilio("/sms/inbound", **says(word, sid="SM" + "2" * 32))
    assert fates(both) == before
    assert opted_out(both) == [False]


def test_l17_yes_is_no_start(here):
    accept(here)
    caller = Caller(here)
    caller.twilio("/sms/inbound", **says("STOP", sid="SM" + "1" * 32))
    before = fates(here)
    caller.twilio("/sms/inbound", **says("YES", sid="SM" + "2" * 32))
    assert (fates(here), opted_out(here)) == (before, [True])


def test_stop_twice_and_one_text_brought_twice(both):
    accept(both)
    caller = Caller(both)
    caller.twilio("/sms/inbound", **says("STOP", sid="SM" + "1" * 32))
    once = snapshot(both)
    assert caller.twilio("/sms/inbound", **says("STOP", sid="SM" + "1" * 32)).text == TWIML
    assert snapshot(both) == once
    caller.twilio("/sms/inbound", **says("STOP", sid="SM" + "2" * 32))
    *rest, replies, audit = snapshot(both)
    assert (*rest, audit) == (*once[:-2], once[-1])
    assert len(replies) == 2


def test_a_stop_brought_again_after_a_start_does_not_stop_again(here):
    accept(here)
    caller = Caller(here)
    for body, sid in (("STOP", "SM" + "1" * 32), ("START", "SM" + "2" * 32), ("STOP", "SM" + "1" * 32)):
        caller.twilio("/sms/inbound", **says(body, sid=sid))
    assert opted_out(here) == [False]
    assert [state for _, _, state, _ in fates(here)] == ["scheduled"]


def test_stop_is_the_numbers_whoever_uses_it(both):
    accept(both)
    other = {"ref": "MRN-2", "name": "Sam Okafor"}
    accept(both, plan={"ref": "DC-2"}, patient=other)
    accept(both, plan={"ref": "DC-3"}, patient=other | {"ref": "MRN-3", "phone": "(202) 555-0199"})
    Caller(both).twilio("/sms/inbound", **says("STOP"))
    assert {text.plan: text.state for text in logged(both)} == {
        "DC-1": "suppressed",
        "DC-2": "suppressed",
        "DC-3": "scheduled",
    }


def test_l12_an_import_after_the_stop_does_not_undo_it(both):
    accept(both)
    Caller(both).twilio("/sms/inbound", **says("STOP"))
    accept(both)
    accept(both, series=TWO_VISITS)
    accept(both, plan={"ref": "DC-2"}, patient={"ref": "MRN-2", "name": "Sam Okafor"})
    assert opted_out(both) == [True]
    assert {(state, reason) for _, _, state, reason in fates(both)} == {("suppressed", "opted_out")}


def test_a_number_nobody_knows_is_kept_sealed_and_its_no_is_kept(both):
    Caller(both).twilio("/sms/inbound", **says("STOP"))
    assert opted_out(both) == [True]
    stored = repr(snapshot(both))
    assert "5550143" not in stored
    assert "STOP" not in stored
    sealed = both.database.read(lambda tx: tx.first(sa.select(schema.numbers)))
    assert both.database.read(lambda tx: store.people.phone_of(tx, sealed.id, sealed.phone_sealed)) == PHONE
    reply = both.database.read(lambda tx: tx.first(sa.select(schema.replies)))
    assert (
        both.database.read(lambda tx: tx.open(Place("replies", "body_sealed", reply.id), reply.body_sealed)) == "STOP"
    )
    accept(both)
    assert {(state, reason) for _, _, state, reason in fates(both)} == {("suppressed", "opted_out")}


@pytest.mark.parametrize(
    ("body", "kind", "stops"),
    [
        ("FIN", "STOP", True),  # a word of the sender's own list at Twilio
        ("hello", "HELP", False),
        ("cancel my visit on Tuesday", None, False),
        ("", None, False),
        ("🙂" * 800, None, False),
    ],
)
def test_what_twilio_has_blocked_we_stop(here, body, kind, stops):
    accept(here)
    more = {"OptOutType": kind} if kind else {}
    assert Caller(here).twilio("/sms/inbound", **says(body, **more)).text == TWIML
    assert opted_out(here) == [stops]
    (reminder,) = [text for text in logged(here) if text.class_ == "reminder"]
    assert reminder.state == ("suppressed" if stops else "scheduled")
    assert len(every(here, schema.replies)) == 1


def test_twilios_start_lifts_ours(here):
    accept(here)
    caller = Caller(here)
    caller.twilio("/sms/inbound", **says("STOP", sid="SM" + "1" * 32))
    caller.twilio("/sms/inbound", **says("JOIN", sid="SM" + "2" * 32, OptOutType="START"))
    assert opted_out(here) == [False]


def test_a_form_without_a_message_is_no_text(here):
    before = snapshot(here)
    assert Caller(here).twilio("/sms/inbound", AccountSid=here.secrets.account_sid).text == TWIML
    assert snapshot(here) == before


@pytest.mark.parametrize("sender", ["72345", "+5215512345678"])
def test_any_sender_twilio_can_name_is_kept(here, sender):
    assert Caller(here).twilio("/sms/inbound", **says("hello", sender=sender)).status_code == 200
    assert len(every(here, schema.replies)) == 1


def test_a_stop_is_all_or_nothing(here):
    accept(here)
    break_it = "CREATE TRIGGER no BEFORE UPDATE ON texts BEGIN SELECT RAISE(ABORT, 'no'); END"
    here.database.write(lambda tx: tx.run(sa.text(break_it)))
    before = snapshot(here)
    assert Caller(here).twilio("/sms/inbound", **says("STOP")).status_code == 500
    assert snapshot(here) == before
    here.database.write(lambda tx: tx.run(sa.text("DROP TRIGGER no")))
    assert Caller(here).twilio("/sms/inbound", **says("STOP")).status_code == 200  # Twilio calls again, same sid
    assert opted_out(here) == [True]


# All of it, over real sockets


@pytest.fixture
def served(line):
    """The web process's server for `line`, at its public address."""
    port = int(line.settings.web.public_url.rsplit(":", 1)[1])
    server = uvicorn.Server(uvicorn.Config(Caller(line).app, port=port, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield line
    server.should_exit = True
    thread.join(10)


def test_a_text_goes_out_and_its_receipts_come_home_signed(served, twilio):
    accept(served, series=TWO_VISITS)
    assert send(served).accepted == 1
    until(lambda: logged(served)[0].state == "delivered")
    twilio.do(lambda network: network.change(inbound_url=served.settings.web.public_url + "/sms/inbound"))

    def text_in(network):
        network.text_from(PHONE, SENDER, "Stop", clock.now())

    twilio.do(text_in)
    httpx.get(twilio.url)  # any call wakes the pretend Twilio
    until(lambda: opted_out(served) == [True])
    assert [text.state for text in logged(served)] == ["delivered", "suppressed"]
