import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fault_server import FaultServer, close, drip, hang, reply, reset, unused_port, write_and_close
from hypothesis import given, settings
from hypothesis import strategies as st

from reminders.sms import Accepted, Gateway, Outgoing, Refused, Seen, Unknown, Unreachable

SID = "SM" + "0123456789abcdef" * 2
ACCOUNT = "AC" + "0" * 32
TEXT = Outgoing(
    to="+12025550143", body="Oak: see you tomorrow, 3 PM.", ref="r3fE-_9", sender="+15005550006", valid_for=5400
)
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def message(**changed):
    return {
        "sid": SID,
        "status": "queued",
        "to": TEXT.to,
        "from": TEXT.sender,
        "messaging_service_sid": None,
        "body": TEXT.body,
        "num_segments": "1",
        "error_code": None,
        "date_created": "Sat, 21 Nov 2026 12:00:00 +0000",
        "date_sent": None,
        "date_updated": "Sat, 21 Nov 2026 12:00:00 +0000",
    } | changed


def refusal(code, http):
    return {"code": code, "message": "Some words about +12025550143", "more_info": "https://x", "status": http}


def gateway(base_url, **options):
    return Gateway(
        **(
            {
                "account_sid": ACCOUNT,
                "auth_token": "token",
                "base_url": base_url,
                "public_url": "https://reminders.example.org",
                "live": False,
                "deadline": 5.0,
                "in_flight": 50,
            }
            | options
        )
    )


@asynccontextmanager
async def twilio(*acts, **options):
    async with FaultServer(*acts) as server:
        ours = gateway(server.url, **options)
        try:
            yield server, ours
        finally:
            await ours.close()


def sending(*acts, text=TEXT, **options):
    async def main():
        async with twilio(*acts, **options) as (server, ours):
            return await ours.send(text), server

    return asyncio.run(main())


def test_a_text_is_handed_over_with_everything_twilio_needs_and_nothing_else():
    answer, server = sending(reply(201, message()))
    assert answer == Accepted(SID, "queued")
    (post,) = server.arrived
    assert (post.method, post.path) == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json")
    assert post.form == {
        "To": ["+12025550143"],
        "From": ["+15005550006"],
        "Body": ["Oak: see you tomorrow, 3 PM."],
        "ValidityPeriod": ["5400"],
        "StatusCallback": ["https://reminders.example.org/sms/status/r3fE-_9#rc=5&rp=all&ct=2000&rt=3000"],
    }
    assert post.headers["authorization"].startswith("Basic QUMw")


def test_a_messaging_service_is_the_sender():
    text = Outgoing(to=TEXT.to, body="é", ref="r", sender="MG" + "0" * 32, valid_for=60)
    accepted = message(status="accepted", num_segments="0", **{"from": None})
    answer, server = sending(reply(201, accepted), text=text)
    assert answer == Accepted(SID, "accepted")
    assert server.arrived[0].form["MessagingServiceSid"] == ["MG" + "0" * 32]
    assert "From" not in server.arrived[0].form


@pytest.mark.parametrize("to", ["+12025550143", "+1202555&From=0143", "12025550143", "++1", "+1 2", "+\u0661\u0662"])
def test_whatever_the_number_is_the_form_has_it_as_it_was_given(to):
    _, server = sending(reply(201, message()), text=replace(TEXT, to=to))
    assert server.arrived[0].form["To"] == [to]
    assert server.arrived[0].form["Body"] == [TEXT.body]


@pytest.mark.parametrize(("asked", "sent"), [(-5, "1"), (0, "1"), (1, "1"), (36_000, "36000"), (90_000, "36000")])
def test_the_validity_period_is_cut_to_what_twilio_takes(asked, sent):
    text = Outgoing(to=TEXT.to, body="x", ref="r", sender=TEXT.sender, valid_for=asked)
    assert sending(reply(201, message()), text=text)[1].arrived[0].form["ValidityPeriod"] == [sent]


def test_an_api_key_signs_in_and_the_account_stays_in_the_path():
    _, server = sending(reply(201, message()), api_key="SK" + "0" * 32, api_secret="secret")
    assert server.arrived[0].headers["authorization"].startswith("Basic U0sw")
    assert ACCOUNT in server.arrived[0].path


PROBLEM = {"type": "https://x", "title": "No", "detail": "+12025550143"}  # RFC 9457

# docs/twilio.md 1.4: each row, and the cases between them.
TABLE = [
    (reply(201, message()), Accepted(SID, "queued")),
    (reply(400, refusal(21211, 400)), Refused(21211, 400)),
    (reply(400, refusal(21610, 400)), Refused(21610, 400)),
    (reply(401, refusal(20003, 401)), Refused(20003, 401)),
    (reply(404, refusal(20404, 404)), Refused(20404, 404)),
    (reply(400, PROBLEM | {"status": 400, "code": 21211}), Refused(21211, 400)),
    (reply(429, refusal(20429, 429)), Refused(20429, 429)),
    (reply(429, "<h1>slow down</h1>"), Unknown("http 429")),
    (reply(429, refusal(429, 429)), Unknown("http 429")),
    (reply(429, refusal(63038, 429)), Refused(63038, 429)),
    (reply(400, "<h1>bad</h1>"), Unknown("http 400")),
    (reply(403, {"message": "no code"}), Unknown("http 403")),
    (reply(404, {"code": 404}), Unknown("http 404")),
    (reply(400, {"code": True}), Unknown("http 400")),
    (reply(400, {"code": "21211"}), Unknown("http 400")),
    (reply(400, [21211]), Unknown("http 400")),
    (reply(408, ""), Unknown("http 408")),
    (reply(500, refusal(20500, 500)), Unknown("http 500")),
    (reply(503, refusal(20503, 503)), Unknown("http 503")),
    (reply(502, "<html>"), Unknown("http 502")),
    # A problem with 400 in its body came with a 500 on the wire: the wire decides.
    (reply(500, PROBLEM | {"status": 400, "code": 21211}), Unknown("http 500")),
    (reply(301, "", header="Location: http://127.0.0.1:1/\r\n"), Unknown("http 301")),
    (reply(307, "", header="Location: http://127.0.0.1:1/\r\n"), Unknown("http 307")),
    (reply(304, ""), Unknown("http 304")),
    (reply(201, "<html>created</html>"), Unknown("not json")),
    (write_and_close(b'HTTP/1.1 201 Created\r\n\r\n{"sid": "SM01'), Unknown("not json")),
    (reply(201, ""), Unknown("no sid")),
    (reply(201, {}), Unknown("no sid")),
    (reply(201, message(sid=None)), Unknown("no sid")),
    (reply(201, message(sid="CA" + SID[2:])), Unknown("no sid")),
    (reply(201, message(sid=SID + "/../x")), Unknown("no sid")),
    (reply(201, [1]), Unknown("unreadable")),
    (reply(201, "null"), Unknown("unreadable")),
    (reply(201, message(date_created=["x"], status=7)), Accepted(SID, "7")),  # its sid is proof enough
    (reply(201, message(), length=5000), Unknown("timeout")),
    (write_and_close(reply(201, message(), length=5000)), Unknown("truncated")),
    (reply(201, b" " * 1_000_001), Unknown("too big")),
    (hang, Unknown("timeout")),
    (drip(reply(201, message()), 0.05), Unknown("timeout")),
    (close, Unknown("closed")),
    (reset, Unknown("reset")),
    (write_and_close(b"garbage\r\n\r\n"), Unknown("not http")),
]


@pytest.mark.parametrize(("act", "expected"), TABLE)
def test_every_answer_of_the_table(act, expected, caplog):
    answer, server = sending(act, deadline=0.3)
    assert answer == expected
    assert len(server.arrived) == 1
    assert "2025550143" not in caplog.text + repr(answer)


def test_f13_a_connection_that_carried_nothing_is_refused_with_code_0():
    async def main():
        ours = gateway(f"http://127.0.0.1:{unused_port()}")
        answer = await ours.send(TEXT)
        await ours.close()
        return answer

    assert asyncio.run(main()) == Refused(0, None, "no connection")


@settings(max_examples=40, deadline=None)
@given(st.integers(300, 599), st.one_of(st.integers(0, 99_999), st.text(max_size=5), st.none()))
def test_only_a_4xx_with_a_code_of_twilios_is_a_refusal(status, code):
    answer, server = sending(reply(status, "" if status == 304 else refusal(code, 400)))
    certain = 400 <= status < 500 and isinstance(code, int) and code >= 10_000
    assert answer == (Refused(code, status) if certain else Unknown(f"http {status}"))
    assert len(server.arrived) == 1


def test_no_send_is_repeated_when_connections_die_under_load():
    async def main():
        async with twilio(*[reply(201, message())] * 20, *[close] * 20, reply(201, message())) as (server, ours):
            for _ in range(3):
                answers = await asyncio.gather(*(ours.send(TEXT) for _ in range(20)))
            assert set(answers) == {Accepted(SID, "queued")}
            assert len(server.posts) == 60

    asyncio.run(main())


@pytest.mark.parametrize("ref", ["", "a/b", "a b", "a#b", "é", "a?b"])
def test_a_ref_that_cannot_stand_in_a_url_is_our_mistake(ref):
    with pytest.raises(ValueError, match="ref"):
        sending(reply(201, message()), text=Outgoing(TEXT.to, "x", ref, TEXT.sender, 60))


@pytest.mark.parametrize("value", [TEXT, Seen(SID, TEXT.to, TEXT.sender, TEXT.body, "sent", None, NOON, 1)])
def test_neither_number_nor_body_shows_when_a_value_is_printed(value):
    assert TEXT.to not in repr(value)
    assert TEXT.body not in repr(value)


@pytest.mark.parametrize(
    "base_url",
    [None, "", "https://api.twilio.com", "http://10.0.0.7:4010", "http://127.0.0.1.example.org", "ftp://127.0.0.1"],
)
def test_while_not_live_only_this_machine_can_be_the_address(base_url):
    with pytest.raises(ValueError, match=r"twilio\.api_base_url"):
        gateway(base_url)


def test_live_means_twilio_whatever_the_base_url_and_the_environment_say(monkeypatch):
    monkeypatch.setenv("TWILIO_REGION", "au1")
    monkeypatch.setenv("TWILIO_EDGE", "sydney")
    client = gateway("http://127.0.0.1:4010", live=True)._messages._version.domain.twilio
    url = client.get_hostname(client.api.v2010.absolute_url("/Accounts/AC0/Messages.json"))
    assert url == "https://api.twilio.com/2010-04-01/Accounts/AC0/Messages.json"


def test_twilios_environment_does_not_move_the_simulators_address(monkeypatch):
    monkeypatch.setenv("TWILIO_REGION", "au1")
    assert sending(reply(201, message()))[0] == Accepted(SID, "queued")


def test_a_key_without_its_secret_is_refused():
    with pytest.raises(ValueError, match="needs its secret"):
        gateway("http://127.0.0.1:4010", api_key="SK0")


def finding(*acts, since=NOON, **options):
    async def main():
        async with twilio(*acts, **options) as (server, ours):
            return await ours.find(TEXT.to, since=since), server

    return asyncio.run(main())


def created(at):
    return at.strftime("%a, %d %b %Y %H:%M:%S +0000")


def a_page(messages, after=None):
    return reply(200, {"messages": messages, "page": 0, "page_size": 100, "next_page_uri": after})


def test_find_gives_the_messages_to_a_number_newest_first_sent_or_not():
    service = message(
        sid="SM2", num_segments="2", messaging_service_sid="MG1", date_created=created(NOON + timedelta(minutes=5))
    )
    failed = message(sid="SM1", status="failed", error_code=30003)
    older = message(sid="SM0", date_created=created(NOON - timedelta(seconds=1)))
    found, server = finding(a_page([failed, service, older]))
    assert found == [
        Seen("SM2", TEXT.to, "MG1", TEXT.body, "queued", None, NOON + timedelta(minutes=5), 2),
        Seen("SM1", TEXT.to, TEXT.sender, TEXT.body, "failed", 30003, NOON, 1),
    ]
    assert found[0].created_at.tzinfo is UTC
    assert server.arrived[0].path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?To=%2B12025550143&PageSize=100"


def test_find_knows_that_twilio_writes_whole_seconds():
    """A message made 200 ms after the attempt carries an earlier instant; missing it would double the text."""
    found, _ = finding(a_page([message()]), since=NOON + timedelta(milliseconds=700))
    assert [one.sid for one in found] == [SID]


def test_find_reads_on_until_a_page_is_older():
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page="
    new, old = message(), message(date_created=created(NOON - timedelta(days=1)))
    pages = [a_page([new] * 3, path + "1"), a_page([new, old], path + "2"), a_page([old], path + "3")]
    found, server = finding(*pages)
    assert len(found) == 4
    assert [one.path[-1] for one in server.arrived] == ["0", "1", "2"]


def test_find_of_nothing_is_nothing():
    assert finding(a_page([]))[0] == []


@pytest.mark.parametrize(
    ("acts", "what"),
    [
        ([reply(500, "x")], "http 500"),
        ([reply(401, refusal(20003, 401))], "http 401 code 20003"),
        ([reply(200, "<html>")], "not json"),
        ([reply(200, {"messages": [{"sid": "SM1"}]})], "unreadable"),
        ([reply(200, {"other": 1, "another": 2})], "unreadable"),
        ([a_page([message()], "/same")], "the list does not end"),
        ([a_page([message()], "/x"), reply(502, "")], "http 502"),
        (
            [
                reply(
                    200, {"messages": [message()], "meta": {"key": "messages", "next_page_url": "http://127.0.0.1:1/x"}}
                )
            ],
            "unreadable",
        ),
        ([close], "closed"),
        ([hang], "timeout"),
    ],
)
def test_f15_a_list_that_proves_nothing_is_not_an_empty_list(acts, what):
    with pytest.raises(Unreachable, match=f"^{what}$") as raised:
        finding(*acts, deadline=0.3)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert "2025550143" not in str(raised.value)


def test_find_wants_an_instant():
    with pytest.raises(ValueError, match="aware"):
        finding(a_page([]), since=NOON.replace(tzinfo=None))


def fetching(act, sid=SID):
    async def main():
        async with twilio(act, deadline=0.3) as (server, ours):
            return await ours.fetch(sid), server

    return asyncio.run(main())


def test_fetch_gives_the_message_as_it_stands_now():
    seen, server = fetching(reply(200, message(status="delivered", num_segments="3")))
    assert seen == Seen(SID, TEXT.to, TEXT.sender, TEXT.body, "delivered", None, NOON, 3)
    assert server.arrived[0].path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages/{SID}.json"


def test_fetch_of_a_message_that_twilio_does_not_have_is_none():
    assert fetching(reply(404, refusal(20404, 404)))[0] is None


@pytest.mark.parametrize(
    ("act", "what"),
    [
        (reply(404, "<html>"), "http 404"),
        (reply(503, refusal(20503, 503)), "http 503 code 20503"),
        (reply(302, "", header="Location: /x\r\n"), "http 302"),
        (reply(200, "{"), "not json"),
        (reply(200, {}), "unreadable"),
        (reset, "reset"),
    ],
)
def test_fetch_of_an_answer_that_proves_nothing(act, what):
    with pytest.raises(Unreachable, match=f"^{what}$"):
        fetching(act)


def test_fetch_of_what_is_no_sid_is_our_mistake():
    with pytest.raises(ValueError, match="sid"):
        fetching(hang, sid="SM1/../../Accounts")


def test_no_number_and_no_body_in_any_log(caplog):
    caplog.set_level(logging.DEBUG)
    sending(reply(201, message()))
    sending(reply(201, [1]))
    finding(a_page([message()]))
    assert "2025550143" not in caplog.text
    assert TEXT.body not in caplog.text
