import base64
import json
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openapi_check import check, spec_is_here

from reminders.simulator import Request, Response, Rule, Simulator, SimulatorSettings

NOW = datetime(2026, 12, 1, 15, 0, 0, 250_000, tzinfo=UTC)
SETTINGS = SimulatorSettings(api_key="SK" + "1" * 32, api_secret="hush")
MESSAGES = f"/2010-04-01/Accounts/{SETTINGS.account_sid}/Messages.json"
OURS = "+15005550006"
PHONE = "+12025550143"
SERVICE = "MG" + "a" * 32


def seconds(number):
    return timedelta(seconds=number)


def basic(user=SETTINGS.account_sid, password=SETTINGS.auth_token):
    return {
        "authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode(),
        "content-type": "application/x-www-form-urlencoded",
    }


class Caller:
    """Calls a simulator and checks every exchange against Twilio's OpenAPI."""

    def __init__(self, settings=SETTINGS, seed=7):
        self.simulator = Simulator(settings, seed=seed)
        self.now = NOW

    def ask(self, method, path, query="", headers=None, form=()):
        request = Request(method, path, query, headers or basic(), urlencode(form).encode())
        response = self.simulator.handle(request, self.now)
        if response.headers["Content-Type"].startswith("application/json") and response.status != 405:
            check(request, response)
        self.response = response
        return json.loads(response.body) if response.body.startswith(b"{") else None

    def create(self, to=PHONE, body="See you then", **more):
        form = {"To": to, "Body": body, **({} if "MessagingServiceSid" in more else {"From": OURS}), **more}
        return self.ask("POST", MESSAGES, form={key: value for key, value in form.items() if value is not None})

    def fetch(self, sid):
        return self.ask("GET", path_of(sid))

    def list(self, **query):
        return self.ask("GET", MESSAGES, urlencode({key.replace("_", ""): value for key, value in query.items()}))


def path_of(sid):
    return MESSAGES.replace(".json", f"/{sid}.json")


@pytest.fixture
def caller():
    return Caller()


def refused(caller, code, status=400):
    found = json.loads(caller.response.body)
    assert (caller.response.status, found["code"], found["status"]) == (status, code, status)
    assert found["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert found["message"]


@pytest.mark.skipif(not spec_is_here(), reason="Twilio's OpenAPI is not beside this checkout")
def test_the_check_would_find_a_wrong_answer():
    request = Request("GET", MESSAGES, "", basic(), b"")
    wrong = Response(200, {"Content-Type": "application/json"}, b'{"messages": [{"num_segments": 1}]}')
    with pytest.raises(Exception, match=r"InvalidData|validation"):
        check(request, wrong)


# Create: docs/twilio.md 10.2


def test_s10_2_a_text_from_a_number_is_queued(caller):
    found = caller.create()
    assert caller.response.status == 201
    assert re.fullmatch(r"SM[0-9a-f]{32}", found["sid"])
    assert (found["status"], found["from"], found["messaging_service_sid"]) == ("queued", OURS, None)
    assert (found["num_segments"], found["num_media"], found["price"]) == ("1", "0", None)
    assert found["date_created"] == "Tue, 01 Dec 2026 15:00:00 +0000"
    assert found["date_sent"] is None
    assert found["uri"] == path_of(found["sid"])
    for header in ("Twilio-Request-Id", "Twilio-Concurrent-Requests", "Twilio-Request-Duration"):
        assert caller.response.headers[header]


def test_s10_2_a_text_from_a_service_is_accepted_and_gets_its_sender_later(caller):
    found = caller.create(MessagingServiceSid=SERVICE)
    assert (found["status"], found["from"], found["num_segments"]) == ("accepted", None, "0")
    caller.now += seconds(0.06)
    found = caller.fetch(found["sid"])
    assert (found["status"], found["from"], found["num_segments"]) == ("queued", OURS, "1")


def test_s10_2_a_plus_that_was_not_encoded_is_a_space_and_no_number(caller):
    body = f"To={PHONE}&From=%2B15005550006&Body=x".encode()
    caller.response = caller.simulator.handle(Request("POST", MESSAGES, "", basic(), body), NOW)
    refused(caller, 21211)


def test_s9_segments_are_counted_as_twilio_counts(caller):
    assert caller.create(body="a" * 160)["num_segments"] == "1"
    assert caller.create(body="a" * 161)["num_segments"] == "2"
    assert caller.create(body="é" * 160)["num_segments"] == "1"
    assert caller.create(body="ç" * 71)["num_segments"] == "2"


# Who may ask: docs/twilio.md 10.1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic(password="wrong"),
        basic(user="AC" + "9" * 32),
        basic(user="SK" + "1" * 32, password="wrong"),
        {"authorization": "Bearer x"},
        {"authorization": "Basic %%%"},
    ],
)
def test_s10_1_strangers_get_20003(caller, headers):
    caller.ask("GET", MESSAGES, headers={**headers, "x": "y"})
    refused(caller, 20003, 401)


def test_s10_1_an_api_key_opens_too(caller):
    caller.ask("GET", MESSAGES, headers=basic(SETTINGS.api_key, SETTINGS.api_secret))
    assert caller.response.status == 200


def test_s10_1_another_account_is_20404(caller):
    caller.ask("GET", MESSAGES.replace("AC00", "AC99"))
    refused(caller, 20404, 404)


def test_s10_1_an_unknown_message_is_20404_and_a_wrong_method_20004(caller):
    caller.fetch("SM" + "0" * 32)
    refused(caller, 20404, 404)
    caller.ask("DELETE", MESSAGES)
    refused(caller, 20004, 405)


def test_s10_9_too_many_at_once_are_not_processed(caller):
    request = Request("POST", MESSAGES, "", basic(), urlencode({"To": PHONE, "From": OURS, "Body": "x"}).encode(), 101)
    caller.response = caller.simulator.handle(request, NOW)
    refused(caller, 20429, 429)
    assert caller.simulator.created() == []


# Validation: docs/twilio.md 10.3 and 7


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Body": None}, 21602),
        ({"Body": ""}, 21602),
        ({"From": None}, 21603),
        ({"to": None}, 21604),
        ({"body": "a" * 1601}, 21617),
        ({"to": "2025550143"}, 21211),
        ({"to": "+1202555014"}, 21211),
        ({"to": "+1 202 555 0143"}, 21211),
        ({"to": "notaphone"}, 21211),
        ({"to": OURS}, 21266),
        ({"From": "+12025550199"}, 21606),
        ({"From": "Oak Office!!"}, 21212),
        ({"StatusCallback": "ftp://127.0.0.1/x"}, 21609),
        ({"StatusCallback": "/relative"}, 21609),
        ({"StatusCallback": "http://my_host/x"}, 21609),
        ({"StatusCallback": "http://[::1/x"}, 21609),
        ({"StatusCallback": "http://127.0.0.1:99999/"}, 21609),
        ({"StatusCallback": "http://127.0.0.1/a b"}, 21609),
        ({"StatusCallback": "http:///x"}, 21609),
        ({"StatusCallback": "http://127.0.0.1/" + "x" * 4000}, 21609),
        ({"ValidityPeriod": "0"}, 90007),
        ({"ValidityPeriod": "36001"}, 90007),
        ({"ValidityPeriod": "soon"}, 90007),
        ({"MessagingServiceSid": "MG12"}, 21701),
        ({"From": "+15005550001"}, 21212),
        ({"From": "+15005550007"}, 21606),
        ({"From": "+15005550008"}, 21611),
        ({"to": "+15005550001"}, 21211),
        ({"to": "+15005550002"}, 21612),
        ({"to": "+15005550003"}, 21408),
        ({"to": "+15005550004"}, 21610),
        ({"to": "+15005550009"}, 21614),
    ],
)
def test_s10_3_s7_refusals(caller, more, code):
    caller.create(**more)
    refused(caller, code)
    assert caller.simulator.created() == []
    assert caller.simulator.next_due_at() is None


@pytest.mark.parametrize("more", [{"body": "a" * 1600}, {"ValidityPeriod": "1"}, {"ValidityPeriod": "36000"}])
def test_s10_3_the_bounds_themselves_are_allowed(caller, more):
    caller.create(**more)
    assert caller.response.status == 201


def test_s10_3_senders_and_trial_are_settings():
    caller = Caller(SimulatorSettings(senders=None, trial_verified=frozenset({PHONE})))
    caller.create(From="+12025550199")
    assert caller.response.status == 201
    caller.create(to="+12025550144")
    refused(caller, 21608)


def test_s10_3_send_at_needs_a_service_and_its_window(caller):
    at = "2026-12-01T16:00:00Z"
    assert caller.create(ScheduleType="fixed", SendAt=at)["status"] == "queued"  # dropped, sent at once
    scheduled = {"MessagingServiceSid": SERVICE, "ScheduleType": "fixed"}
    assert caller.create(**scheduled, SendAt=at)["status"] == "scheduled"
    caller.create(**scheduled)
    refused(caller, 35111)
    for wrong in ("2026-12-01T15:10:00Z", "2027-02-01T00:00:00Z", "tomorrow"):
        caller.create(**scheduled, SendAt=wrong)
        refused(caller, 35114)


# Progression: docs/twilio.md 10.4


def states(caller, sid, *at):
    found = []
    for after in at:
        caller.now = NOW + seconds(after)
        found.append(caller.fetch(sid)["status"])
    return found


def test_s10_4_queued_sent_delivered(caller):
    sid = caller.create()["sid"]
    assert states(caller, sid, 0, 0.1, 0.2, 0.5, 0.6) == ["queued", "queued", "sent", "sent", "delivered"]
    assert caller.fetch(sid)["date_sent"] == "Tue, 01 Dec 2026 15:00:00 +0000"
    assert [received.sid for received in caller.simulator.phones[PHONE]] == [sid]


def test_s10_4_each_step_happens_at_its_own_instant_however_late_anybody_looks(caller):
    sid = caller.create()["sid"]
    caller.now = NOW + timedelta(hours=3)
    found = caller.fetch(sid)
    assert (found["date_sent"], found["date_updated"]) == (
        "Tue, 01 Dec 2026 15:00:00 +0000",
        "Tue, 01 Dec 2026 15:00:00 +0000",
    )
    assert caller.simulator.phones[PHONE][0].at == NOW + seconds(0.2)


@pytest.mark.parametrize(
    ("outcome", "code", "seen", "reaches_the_phone"),
    [
        ("delivered", None, ["queued", "sent", "delivered"], True),
        ("undelivered", 30003, ["queued", "sent", "undelivered"], False),
        ("failed", 30001, ["queued", "failed", "failed"], False),
        ("silent", None, ["queued", "sent", "sent"], True),
    ],
)
def test_s10_4_a_rule_settles_what_becomes_of_a_text(caller, outcome, code, seen, reaches_the_phone):
    caller.simulator.add_rule(Rule(to="0143", outcome=outcome, error_code=code), NOW)
    sid = caller.create()["sid"]
    assert states(caller, sid, 0, 0.3, 1000) == seen
    assert caller.fetch(sid)["error_code"] == code
    assert bool(caller.simulator.phones[PHONE]) == reaches_the_phone


def test_s10_10_the_newest_rule_holds_and_a_spent_one_no_more(caller):
    caller.simulator.add_rule(Rule(to=PHONE, outcome="silent"), NOW)
    caller.simulator.add_rule(Rule(to=PHONE, outcome="undelivered", error_code=30003, times=1), NOW)
    first, second, other = caller.create(), caller.create(), caller.create(to="+12025550144")
    caller.now += seconds(60)
    assert [caller.fetch(it["sid"])["status"] for it in (first, second, other)] == ["undelivered", "sent", "delivered"]


def test_s10_4_after_says_when_the_final_word_comes(caller):
    caller.simulator.add_rule(Rule(to=PHONE, outcome="undelivered", after=30), NOW)
    sid = caller.create()["sid"]
    assert states(caller, sid, 1, 29.9, 30) == ["sent", "sent", "undelivered"]


def test_s10_4_a_text_that_waits_past_its_validity_fails_with_30036():
    caller = Caller(SimulatorSettings(sent_after=20, delivered_after=30))
    sid = caller.create(ValidityPeriod="10")["sid"]
    assert states(caller, sid, 9, 10) == ["queued", "failed"]
    assert caller.fetch(sid)["error_code"] == 30036
    assert not caller.simulator.phones[PHONE]


def test_s10_4_a_scheduled_text_waits_and_can_be_canceled(caller):
    form = {"MessagingServiceSid": SERVICE, "ScheduleType": "fixed", "SendAt": "2026-12-01T16:00:00Z"}
    kept, dropped = caller.create(**form)["sid"], caller.create(**form)["sid"]
    assert caller.ask("POST", path_of(dropped), form={"Status": "canceled"})["status"] == "canceled"
    caller.now = NOW + timedelta(minutes=59)
    assert caller.fetch(kept)["status"] == "scheduled"
    caller.now = NOW + timedelta(minutes=61)
    assert [caller.fetch(sid)["status"] for sid in (kept, dropped)] == ["delivered", "canceled"]
    caller.ask("POST", path_of(kept), form={"Status": "canceled"})
    refused(caller, 30409)


# Reading, redacting, deleting: docs/twilio.md 10.12


def test_s10_12_redaction_empties_the_body_of_a_finished_text(caller):
    sid = caller.create()["sid"]
    caller.ask("POST", path_of(sid), form={"Body": ""})
    refused(caller, 20009)
    caller.now += seconds(5)
    redacted = caller.ask("POST", path_of(sid), form={"Body": ""})
    assert (redacted["body"], redacted["status"]) == ("", "delivered")
    assert caller.simulator.phones[PHONE][0].body == "See you then"
    caller.ask("POST", path_of(sid), form={"Body": "rewritten"})
    assert caller.response.status == 400


def test_s10_12_delete_needs_a_minute(caller):
    sid = caller.create()["sid"]
    caller.now += seconds(59)
    caller.ask("DELETE", path_of(sid))
    refused(caller, 20009)
    caller.now += seconds(1)
    caller.ask("DELETE", path_of(sid))
    assert (caller.response.status, caller.response.body) == (204, b"")
    caller.fetch(sid)
    refused(caller, 20404, 404)
    assert caller.list()["messages"] == []


def test_s10_12_filters(caller):
    first = caller.create()["sid"]
    caller.now += timedelta(days=1)
    second = caller.create(to="+12025550144")["sid"]
    caller.now += seconds(10)
    waiting = caller.create()["sid"]

    def sids(query):
        return [it["sid"] for it in caller.ask("GET", MESSAGES, query)["messages"]]

    assert sids("") == [waiting, second, first]
    assert sids(f"To=%2B{PHONE[1:]}") == [waiting, first]
    assert sids("From=%2B12025550199") == []
    assert sids("DateSent=2026-12-01") == [first]
    assert sids("DateSent=2026-12-02T00:00:00Z") == [second]
    assert sids("DateSent%3E=2026-12-02") == [second]
    assert sids("DateSent%3E=2026-12-01T15:00:00Z") == [second, first]  # whole seconds, bound included
    assert sids("DateSent%3C=2026-12-02") == [first]
    assert sids("DateSent%3E=2026-12-01&DateSent%3C=2026-12-02") == [first]
    for wrong in (
        "DateSent=yesterday",
        "DateSent=2026-13-01",
        "PageSize=x",
        "Page=-1",
        "PageToken=PA12",
        "PageToken=x",
    ):
        assert caller.simulator.handle(Request("GET", MESSAGES, wrong, basic(), b""), caller.now).status == 400
    caller.response = caller.simulator.handle(Request("GET", MESSAGES, "PageSize=1001", basic(), b""), caller.now)
    refused(caller, 20007)


def test_s10_12_a_lagging_list_hides_what_fetch_shows():
    caller = Caller(SimulatorSettings(list_lag=600))
    sid = caller.create()["sid"]
    caller.now += seconds(599)
    assert caller.fetch(sid)["status"] == "delivered"
    assert caller.list()["messages"] == []
    caller.now += seconds(1)
    assert [it["sid"] for it in caller.list()["messages"]] == [sid]


def walk(caller, query, direction="next_page_uri", start=None):
    uri = start or f"{MESSAGES}?{query}"
    pages = []
    while uri is not None:
        assert uri.startswith("/2010-04-01/")
        path, _, rest = uri.partition("?")
        page = caller.ask("GET", path, rest)
        pages.append(page)
        uri = page[direction]
    return pages


@settings(max_examples=40)
@given(
    made=st.lists(st.tuples(st.sampled_from(["+12025550143", "+12025550144"]), st.integers(0, 3)), max_size=12),
    size=st.integers(1, 7),
    filtered=st.booleans(),
    late=st.integers(0, 3),
)
def test_s10_12_pages_show_each_message_once_newest_first(made, size, filtered, late):
    caller = Caller()
    sids = []
    for to, pause in made:
        sid = caller.create(to=to)["sid"]
        if to == PHONE or not filtered:
            sids.insert(0, sid)
        caller.now += seconds(pause)
    query = urlencode({"PageSize": size, **({"To": PHONE} if filtered else {})})
    first = caller.ask("GET", MESSAGES, query)
    for _ in range(late):  # new messages between pages move nothing
        caller.create()
    rest = walk(caller, query, start=first["next_page_uri"]) if first["next_page_uri"] else []
    pages = [first, *rest]
    assert [it["sid"] for page in pages for it in page["messages"]] == sids
    assert all(len(page["messages"]) == size for page in pages[:-1])
    assert [page["page"] for page in pages] == list(range(len(pages)))
    for page, after in pairwise(pages):
        assert after["start"] == page["end"] + 1
    if len(pages) > 2 and not late:
        back = walk(caller, query, "previous_page_uri", start=pages[-1]["previous_page_uri"])
        assert [page["messages"] for page in back] == [page["messages"] for page in pages[-2::-1]]


# Faults: docs/twilio.md 10.8


def ask_with(caller, **rule):
    caller.simulator.add_rule(Rule(times=1, **rule), NOW)
    caller.create()
    return caller.response


@pytest.mark.parametrize(
    ("rule", "status", "code"),
    [
        ({"fault": "too_many"}, 429, 20429),
        ({"fault": "unauthorized"}, 401, 20003),
        ({"fault": "error_before_create"}, 500, 20500),
        ({"fault": "error_before_create", "status": 503}, 503, 20503),
        ({"fault": "refuse", "code": 21635}, 400, 21635),
    ],
)
def test_s10_8_faults_before_the_message_is_made(caller, rule, status, code):
    ask_with(caller, **rule)
    refused(caller, code, status)
    assert caller.simulator.created() == []
    caller.create()
    assert caller.response.status == 201  # once only


@pytest.mark.parametrize(
    ("rule", "status", "how"),
    [
        ({"fault": "error_after_create"}, 500, "whole"),
        ({"fault": "error_after_create", "status": 503}, 503, "whole"),
        ({"fault": "hang_after_create"}, 201, "hang"),
        ({"fault": "close_after_create"}, 201, "close"),
        ({"fault": "reset_after_create"}, 201, "reset"),
        ({"fault": "truncated"}, 201, "cut"),
        ({"fault": "slow_drip"}, 201, "drip"),
        ({"fault": "latency", "seconds": 3}, 201, "whole"),
    ],
)
def test_s10_8_faults_after_the_message_is_made(caller, rule, status, how):
    response = ask_with(caller, **rule)
    assert (response.status, response.transport.how) == (status, how)
    assert response.transport.after == rule.get("seconds", 0)
    caller.simulator.advance(NOW + seconds(1))
    assert len(caller.simulator.created()) == len(caller.simulator.phones[PHONE]) == 1
    assert caller.simulator.counters[f"fault {rule['fault']}"] == 1


def test_s10_8_html_pages(caller):
    made = ask_with(caller, fault="not_json")
    assert (made.status, made.headers["Content-Type"], len(caller.simulator.created())) == (201, "text/html", 1)
    gateway = ask_with(caller, fault="error_before_create", status=502)
    assert (gateway.status, gateway.headers["Content-Type"], len(caller.simulator.created())) == (502, "text/html", 1)


def test_s10_8_a_fault_waits_for_a_request_that_it_can_spoil(caller):
    caller.simulator.add_rule(Rule(to=PHONE, fault="hang_after_create", times=1), NOW)
    caller.create(Body="")
    refused(caller, 21602)
    caller.create(to="+12025550144")
    assert caller.response.transport.how == "whole"
    caller.create()
    assert caller.response.transport.how == "hang"


def test_s10_8_reads_can_fail_too(caller):
    sid = caller.create()["sid"]
    caller.simulator.add_rule(Rule(fault="error_before_create", on="list", status=503, times=1), NOW)
    caller.fetch(sid)
    assert caller.response.status == 200
    caller.list()
    refused(caller, 20503, 503)


def test_s10_8_probability_is_drawn_from_the_seed():
    def pattern(seed):
        caller = Caller(seed=seed)
        caller.simulator.add_rule(Rule(fault="too_many", probability=0.5), NOW)
        return [caller.create() and caller.response.status for _ in range(40)]

    assert pattern(1) == pattern(1) != pattern(2)
    assert set(pattern(1)) == {201, 429}


def test_refuse_connection_is_told_to_whoever_holds_the_socket(caller):
    caller.simulator.add_rule(Rule(fault="refuse_connection", seconds=4), NOW)
    assert caller.simulator.refusing_until == NOW + seconds(4)


# Opt-out: docs/twilio.md 5, 10.11


@pytest.mark.parametrize(
    "word", ["STOP", "stop", " Stop\n", "unsubscribe", "END", "Quit", "stopall", "REVOKE", "optout", "CANCEL"]
)
def test_s5_stop_words_block_until_start(caller, word):
    caller.simulator.text_from(PHONE, OURS, word, NOW)
    caller.create()
    refused(caller, 21610)
    assert caller.create(to="+12025550144")["status"] == "queued"
    caller.simulator.text_from(PHONE, OURS, "start", NOW)
    caller.create()
    assert caller.response.status == 201


@pytest.mark.parametrize("words", ["STOP PLEASE", "please stop", "no", "S T O P", ""])
def test_s5_only_the_whole_message_counts(caller, words):
    caller.simulator.text_from(PHONE, OURS, words, NOW)
    caller.create()
    assert caller.response.status == 201


def test_s5_toll_free_is_opened_by_start_and_not_by_yes():
    toll_free = "+18335550100"
    caller = Caller(SimulatorSettings(senders=None))
    for word, status in (("STOP", 400), ("YES", 400), ("START", 201)):
        caller.simulator.text_from(PHONE, toll_free, word, NOW)
        caller.create(From=toll_free)
        assert caller.response.status == status
    for word, status in (("STOP", 400), ("YES", 201)):
        caller.simulator.text_from(PHONE, OURS, word, NOW)
        caller.create()
        assert caller.response.status == status


def test_s5_a_stop_to_a_services_number_blocks_the_service(caller):
    caller.create(MessagingServiceSid=SERVICE)
    caller.now += seconds(1)
    caller.simulator.text_from(PHONE, OURS, "STOP", caller.now)
    caller.create(MessagingServiceSid=SERVICE)
    refused(caller, 21610)


def test_s5_a_text_scheduled_at_twilio_survives_a_stop(caller):
    caller.create(MessagingServiceSid=SERVICE)
    caller.now += seconds(1)
    form = {"MessagingServiceSid": SERVICE, "ScheduleType": "fixed", "SendAt": "2026-12-01T16:00:00Z"}
    sid = caller.create(**form)["sid"]
    caller.simulator.text_from(PHONE, OURS, "STOP", caller.now)
    caller.now += timedelta(hours=2)
    assert caller.fetch(sid)["status"] == "delivered"


def test_s5_twilio_answers_once_and_the_list_shows_both_texts(caller):
    for _ in range(2):
        caller.simulator.text_from(PHONE, OURS, "STOP", NOW)
    assert [bool(it.answer) for it in caller.simulator.texted[PHONE]] == [True, False]
    inbound = caller.list(To=OURS)["messages"]
    assert [(it["direction"], it["status"], it["from"], it["body"]) for it in inbound] == [
        ("inbound", "received", PHONE, "STOP")
    ] * 2
    assert [it["direction"] for it in caller.list(To=PHONE)["messages"]] == ["outbound-reply"]
    assert not caller.simulator.phones[PHONE]  # the oracle of our own texts


# Determinism: the same seed and calls give the same bytes


@given(
    seed=st.integers(0, 2**32),
    script=st.lists(
        st.tuples(st.sampled_from(["create", "service", "list", "due", "stop"]), st.floats(0, 2)), max_size=12
    ),
)
def test_same_seed_same_calls_same_answers(seed, script):
    def play(ask_for_callbacks):
        simulator = Simulator(SETTINGS, seed=seed)
        simulator.add_rule(Rule(fault="too_many", probability=0.3), NOW)
        simulator.add_rule(Rule(outcome="undelivered", probability=0.3), NOW)
        now, seen, calls = NOW, [], []
        for what, pause in script:
            now += seconds(pause)
            form = {"To": PHONE, "Body": "x", "StatusCallback": "http://127.0.0.1/s/1#rc=2"}
            if what in {"create", "service"}:
                form |= {"From": OURS} if what == "create" else {"MessagingServiceSid": SERVICE}
                seen.append(simulator.handle(Request("POST", MESSAGES, "", basic(), urlencode(form).encode()), now))
            elif what == "list":
                seen.append(simulator.handle(Request("GET", MESSAGES, "PageSize=3", basic(), b""), now))
            elif what == "stop":
                simulator.text_from(PHONE, OURS, "STOP", now)
            elif ask_for_callbacks:
                calls += simulator.due(now)
        calls += simulator.due(now + seconds(100))
        return seen, [(call.token, call.form, call.at) for call in calls]

    assert play(True) == play(True)
    assert play(True) == play(False)  # the time of looking changes nothing
