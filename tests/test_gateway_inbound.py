"""The inbound texts in Twilio's list, which has those whose webhook was lost."""

import asyncio
import logging
from contextlib import asynccontextmanager
from datetime import UTC, timedelta

import pytest
from fault_server import close, hang, reply
from test_gateway import ACCOUNT, NOON, a_page, created, gateway, message, refusal, twilio
from test_simulator_rest import SERVICE
from test_simulator_shell import Checked

from reminders import clock
from reminders.simulator import Shell, SimulatorSettings
from reminders.sms import InboundText, Outgoing, Unreachable
from reminders.sms.transport import LARGEST_ANSWER

OURS = "+15005550006"
PHONE = "+12025550143"
OTHER = "+12025550144"


def text(sid="SM1", at=NOON, **changed):
    ours = {"sid": sid, "status": "received", "direction": "inbound", "from": PHONE, "to": OURS, "num_media": "0"}
    return message(**ours | {"body": "C", "date_created": created(at), "date_sent": created(at)} | changed)


def listing(*acts, to=OURS, since=NOON, **options):
    async def main():
        async with twilio(*acts, **options) as (server, ours):
            return await ours.inbound(to=to, since=since), server

    return asyncio.run(main())


def test_texts_to_a_number_come_oldest_first_with_their_own_time():
    late = text("SM3", NOON + timedelta(minutes=5), body="Is it at 3?")
    picture = text("MM2", NOON + timedelta(seconds=1), body="", num_media="2")
    older = text("SM0", NOON - timedelta(seconds=1))
    found, server = listing(a_page([late, picture, text(), older]))
    assert found == [
        InboundText("SM1", PHONE, OURS, "C", None, NOON, 0),
        InboundText("MM2", PHONE, OURS, "", None, NOON + timedelta(seconds=1), 2),
        InboundText("SM3", PHONE, OURS, "Is it at 3?", None, NOON + timedelta(minutes=5), 0),
    ]
    assert found[0].sent_at.tzinfo is UTC
    assert server.arrived[0].path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?To=%2B15005550006&PageSize=50"


def test_of_one_second_the_older_stays_the_first():
    found, _ = listing(a_page([text("SM2", body="START"), text("SM1", body="STOP")]))
    assert [one.body for one in found] == ["STOP", "START"]


def test_twilio_writes_whole_seconds():
    found, _ = listing(a_page([text()]), since=NOON + timedelta(milliseconds=700))
    assert [one.sid for one in found] == ["SM1"]


@pytest.mark.parametrize("sent", [None, created(NOON - timedelta(days=1)), created(NOON + timedelta(days=1))])
def test_when_the_webhook_was_called_makes_no_difference(sent):
    """`date_sent` of an inbound text is the time of that call, and there may have been none."""
    found, _ = listing(a_page([text(date_sent=sent)]))
    assert [one.sent_at for one in found] == [NOON]


def test_only_what_people_sent_and_somebody_sent_it():
    ours = text("SM2", direction="outbound-api", status="delivered", **{"from": OURS, "to": PHONE})
    twilios = text("SM3", direction="outbound-reply", **{"from": OURS, "to": PHONE})
    found, _ = listing(a_page([twilios, ours, text("SM4", **{"from": None}), text()]))
    assert [one.sid for one in found] == ["SM1"]


def test_a_service_is_told_by_its_sid_since_twilio_filters_by_number_only():
    theirs = text("SM2", messaging_service_sid="MG" + "b" * 32)
    mine = text("SM3", to="+12025550110", messaging_service_sid=SERVICE)
    found, server = listing(a_page([mine, theirs, text()]), to=SERVICE)
    assert [(one.sid, one.to) for one in found] == [("SM3", "+12025550110")]
    assert server.arrived[0].path.endswith("/Messages.json?PageSize=50")


def test_every_page_is_read_until_one_is_older():
    path = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page="
    old = text("SM9", NOON - timedelta(days=1))
    pages = [a_page([text(f"SM{n}")], f"{path}{n + 1}") for n in range(4)]
    found, server = listing(*pages, a_page([old], path + "5"), a_page([text("SM5")]))
    assert [one.sid for one in found] == ["SM3", "SM2", "SM1", "SM0"]
    assert len(server.arrived) == 5


def test_fifty_of_the_longest_texts_fit_into_one_answer():
    """A sender of many texts does not hide the others."""
    page = a_page([text(f"SM{n:032x}", body="\U0001f64f" * 800) for n in range(50)])  # 1600 UTF-16 units, escaped
    assert LARGEST_ANSWER / 3 < len(page) < LARGEST_ANSWER
    assert [len(one.body) for one in listing(page)[0]] == [800] * 50


@pytest.mark.parametrize(
    ("acts", "what"),
    [
        ([reply(500, "x")], "http 500"),
        ([reply(401, refusal(20003, 401))], "http 401 code 20003"),
        ([reply(200, "<html>")], "not json"),
        ([reply(200, {"messages": [{"sid": "SM1", "direction": "inbound"}]})], "unreadable"),
        ([reply(200, {"messages": [text(date_created="soon")]})], "unreadable"),
        ([a_page([text()], "/x"), reply(502, "")], "http 502"),
        ([a_page([text()], "/same")], "the list does not end"),
        ([close], "closed"),
        ([hang], "timeout"),
    ],
)
def test_f15_a_list_that_proves_nothing_is_not_an_empty_list(acts, what, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Unreachable, match=f"^{what}$") as raised:
        listing(*acts, deadline=0.3)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    assert "2025550143" not in caplog.text + str(raised.value)


def test_it_wants_an_instant():
    with pytest.raises(ValueError, match="aware"):
        listing(a_page([]), since=NOON.replace(tzinfo=None))


# And the pretend Twilio's, held against Twilio's OpenAPI


@asynccontextmanager
async def pretend(**settings):
    quick = SimulatorSettings(queued_after=0.0, sent_after=0.0, delivered_after=0.0, **settings)
    simulator = Checked(quick, seed=3)
    async with Shell(simulator) as shell:
        ours = gateway(f"http://127.0.0.1:{shell.port}", auth_token=quick.auth_token)
        try:
            yield simulator, ours
        finally:
            await ours.close()
    assert simulator.broken == []


def test_s10_12_the_pretend_list_gives_each_text_once_over_many_pages():
    async def main():
        async with pretend() as (simulator, ours):
            began = clock.now()
            simulator.text_from(PHONE, OURS, "before", began - timedelta(seconds=90))
            sids = [simulator.text_from(PHONE, OURS, f"{n}", began, media=n % 2).sid for n in range(120)]
            simulator.text_from(PHONE, "+12025550111", "to another of our numbers", began)
            assert simulator.text_from(OTHER, OURS, "STOP", began).status == "received"
            found = await ours.inbound(to=OURS, since=began - timedelta(seconds=30))
            assert [one.sid for one in found[:-1]] == sids
            assert [one.media for one in found] == [0, 1] * 60 + [0]
            assert (found[-1].body, found[-1].sender, found[-1].opt_out_type) == ("STOP", OTHER, None)
            assert {one.sent_at for one in found} == {began.replace(microsecond=0)}

    asyncio.run(main())


def test_s6_a_text_to_a_services_number_is_found_by_the_service():
    async def main():
        async with pretend(services=frozenset({SERVICE})) as (simulator, ours):
            began = clock.now()
            await ours.send(Outgoing(PHONE, "See you", "r", SERVICE, 600))
            simulator.text_from(PHONE, OURS, "C", began)
            simulator.text_from(
                OTHER, OURS, "who is this", began
            )  # no one ever texted them: the number is the service's
            simulator.text_from(PHONE, "+12025550111", "to a number of its own", began)
            found = await ours.inbound(to=SERVICE, since=began - timedelta(seconds=1))
            assert [one.body for one in found] == ["C", "who is this"]

    asyncio.run(main())


def test_s10_12_a_text_that_the_list_hides_for_a_while_is_found_by_asking_again():
    async def main():
        async with pretend(list_lag=300.0) as (simulator, ours):
            began = clock.now()
            sid = simulator.text_from(PHONE, OURS, "R", began).sid
            since = began - timedelta(minutes=15)
            assert await ours.inbound(to=OURS, since=since) == []
            simulator.forward(301, clock.now())
            assert [one.sid for one in await ours.inbound(to=OURS, since=since)] == [sid]

    asyncio.run(main())


def test_neither_number_nor_words_show_when_a_text_is_printed():
    shown = repr(InboundText("SM1", PHONE, OURS, "may I come at four", None, NOON))
    assert "2025550143" not in shown
    assert "four" not in shown
