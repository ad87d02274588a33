from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_simulator_rest import MESSAGES, NOW, OURS, PHONE, SERVICE, Caller, basic, path_of, seconds
from twilio.request_validator import RequestValidator

from reminders.simulator import Policy, Request, Rule, Simulator, SimulatorSettings
from reminders.simulator.webhooks import signed

CALLBACK = "http://127.0.0.1:8000/sms/status/abc?x=1"
CERTAIN = {"surprise_parameter": 0.0, "done_date_missing": 0.0, "done_date_elsewhere": 0.0}


def told(caller, after=1000.0):
    return caller.simulator.due(caller.now + seconds(after))


def statuses(calls):
    return [dict(call.form)["MessageStatus"] for call in calls]


def test_s2_3_signature_vector():
    form = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+12349013030"),
        ("Digits", "1234"),
        ("From", "+12349013030"),
        ("To", "+18005551212"),
    ]
    call = signed(
        "status",
        "https://example.com/myapp.php?foo=1&bar=2#rc=5",
        form,
        sid="SM",
        status="sent",
        auth_token="12345",
        token="t",
        at=NOW,
    )
    assert call.headers["X-Twilio-Signature"] == "vNe7KK2kJwCsxc9K3OLkkKB3qqI="
    assert call.url == "https://example.com/myapp.php?foo=1&bar=2"


def test_s10_6_no_callback_for_the_first_status_then_each_in_turn():
    caller = Caller(SimulatorSettings(**CERTAIN))
    sid = caller.create(StatusCallback=CALLBACK)["sid"]
    assert told(caller, 0) == []
    assert caller.simulator.next_due_at() == NOW + seconds(0.2)
    sent = told(caller, 0.2)
    assert statuses(sent) == ["sent"]
    assert told(caller, 0.2) == []  # handed out once
    delivered = told(caller, 0.6)
    form = dict(delivered[0].form)
    assert form == {
        "AccountSid": "AC" + "0" * 32,
        "ApiVersion": "2010-04-01",
        "From": OURS,
        "To": PHONE,
        "MessageSid": sid,
        "SmsSid": sid,
        "MessageStatus": "delivered",
        "SmsStatus": "delivered",
        "RawDlrDoneDate": "2612011500",
    }
    assert dict(parse_qsl(delivered[0].body.decode(), keep_blank_values=True)) == form
    assert caller.simulator.next_due_at() is None


def test_s10_6_a_service_tells_of_queued_and_names_itself():
    caller = Caller()
    caller.create(MessagingServiceSid=SERVICE, StatusCallback=CALLBACK)
    calls = told(caller)
    assert statuses(calls) == ["queued", "sent", "delivered"]
    assert {dict(call.form)["MessagingServiceSid"] for call in calls} == {SERVICE}


@pytest.mark.parametrize(("outcome", "code"), [("failed", "30500"), ("undelivered", "30003")])
def test_s10_6_error_codes_come_with_failed_and_undelivered_only(outcome, code):
    caller = Caller()
    caller.simulator.add_rule(Rule(outcome=outcome, error_code=int(code)), NOW)
    caller.create(StatusCallback=CALLBACK)
    calls = told(caller)
    assert statuses(calls)[-1] == outcome
    assert dict(calls[-1].form)["ErrorCode"] == code
    assert all("ErrorCode" not in dict(call.form) for call in calls[:-1])


def test_s10_6_a_canceled_text_tells_so():
    caller = Caller()
    sid = caller.create(
        MessagingServiceSid=SERVICE, ScheduleType="fixed", SendAt="2026-12-01T16:00:00Z", StatusCallback=CALLBACK
    )["sid"]
    caller.ask("POST", path_of(sid), form={"Status": "canceled"})
    assert statuses(told(caller, 7200)) == ["canceled"]


def test_s10_6_strange_parameters_and_done_dates_come_now_and_then():
    caller = Caller(SimulatorSettings(surprise_parameter=0.5, done_date_missing=0.3, done_date_elsewhere=0.3))
    for _ in range(40):
        caller.create(StatusCallback=CALLBACK)
    forms = [dict(call.form) for call in told(caller) if call.status == "delivered"]
    known = {"AccountSid", "ApiVersion", "From", "To", "MessageSid", "SmsSid", "MessageStatus", "SmsStatus"}
    surprised = [set(form) - known - {"RawDlrDoneDate"} for form in forms]
    assert 0 < sum(map(bool, surprised)) < 40
    dates = {form.get("RawDlrDoneDate") for form in forms}
    assert None in dates
    assert "2612011500" in dates
    assert len(dates) > 2


@given(
    settings=st.builds(SimulatorSettings, auth_token=st.text("abcdef0123456789", min_size=1, max_size=32)),
    seed=st.integers(0, 1000),
    query=st.sampled_from(["", "?a=1&b=%20", "?a=+"]),
    fragment=st.sampled_from(["", "#rc=5&rp=all&ct=2000&rt=3000", "#"]),
    body=st.text(max_size=20),
)
def test_s2_3_every_call_is_signed_over_the_url_without_its_fragment(settings, seed, query, fragment, body):
    simulator = Simulator(settings, seed=seed)
    inbound = "http://127.0.0.1:8000/sms/inbound" + query
    simulator.change(inbound_url=inbound + fragment)
    simulator.text_from(PHONE, OURS, body, NOW)
    url = "http://127.0.0.1:8000/sms/status/r" + query
    form = {"To": PHONE, "From": OURS, "Body": "x", "StatusCallback": url + fragment}
    headers = basic(password=settings.auth_token)
    simulator.handle(Request("POST", MESSAGES, "", headers, urlencode(form).encode()), NOW)
    calls = simulator.due(NOW + seconds(5))
    assert {call.url for call in calls} <= {inbound, url}
    validator = RequestValidator(settings.auth_token)
    for call in calls:
        got = dict(parse_qsl(call.body.decode(), keep_blank_values=True))
        assert validator.validate(call.url, got, call.headers["X-Twilio-Signature"])


def test_s6_an_inbound_text_comes_with_its_parameters():
    caller = Caller(SimulatorSettings(inbound_url="http://127.0.0.1:8000/sms/inbound", **CERTAIN))
    sid = caller.simulator.text_from(PHONE, OURS, "C", NOW).sid
    (call,) = told(caller, 0)
    form = dict(call.form)
    assert (form["MessageSid"], form["From"], form["To"], form["Body"]) == (sid, PHONE, OURS, "C")
    assert (form["SmsStatus"], form["NumMedia"], form["NumSegments"]) == ("received", "0", "1")
    assert (form["FromCity"], form["ToZip"]) == ("", "")
    assert "OptOutType" not in form


@pytest.mark.parametrize(("word", "kind"), [("stop", "STOP"), ("UNSTOP", "START"), ("info", "HELP"), ("C", None)])
def test_s5_opt_out_type_comes_with_advanced_opt_out_only(word, kind):
    for advanced in (True, False):
        settings = SimulatorSettings(inbound_url="http://127.0.0.1:8000/sms/inbound", advanced_opt_out=advanced)
        caller = Caller(settings)
        caller.simulator.text_from(PHONE, OURS, word, NOW)
        assert dict(told(caller)[0].form).get("OptOutType") == (kind if advanced else None)


def test_s10_14_message_verbs_of_the_answer_are_texts_back():
    caller = Caller(SimulatorSettings(inbound_url="http://127.0.0.1:8000/sms/inbound"))
    twiml = b"""<?xml version="1.0" encoding="UTF-8"?>
        <Response><Message>One</Message><Message><Body>Two</Body></Message><Message/><Hangup/></Response>"""
    for word, answer in (("C", twiml), ("C", b"<Response/>"), ("C", b""), ("C", b"not xml"), ("STOP", twiml)):
        caller.simulator.text_from(PHONE, OURS, word, NOW)
        (call,) = told(caller, 0)
        caller.simulator.called(call, 200, NOW, answer)
    caller.simulator.advance(NOW + seconds(5))
    assert [(it.sender, it.body) for it in caller.simulator.phones[PHONE]] == [(OURS, "One"), (OURS, "Two")]
    assert caller.simulator.counters["twiml unreadable"] == 1
    assert caller.simulator.created() == []


# Patience: docs/twilio.md 2.2


@pytest.mark.parametrize(
    ("fragment", "policy"),
    [
        ("", Policy(5, 15, 15, 1, frozenset({"ct"}))),
        ("rc=5&rp=all&ct=2000&rt=3000", Policy(2, 3, 15, 5, frozenset({"all"}))),
        ("rc=2&rp=5xx,ct,rt&tt=9000", Policy(5, 15, 9, 2, frozenset({"5xx", "ct", "rt"}))),
        ("rc=6&ct=99&rt=15001&tt=x&rp=sometimes", Policy()),
        ("rc=-1&ct=&unknown=1", Policy()),
    ],
)
def test_s2_2_connection_overrides(fragment, policy):
    assert Policy.of(fragment) == policy


def lives(fragment, outcome, gap=0.0):
    """The tries of one call that always ends the same way."""
    caller = Caller()
    caller.simulator.add_rule(Rule(outcome="silent"), NOW)
    caller.create(StatusCallback=CALLBACK + fragment)
    tries, now = [], NOW
    while (at := caller.simulator.next_due_at()) is not None:
        now = max(now, at)
        for call in caller.simulator.due(now):
            tries.append(call)
            now += seconds(gap)
            caller.simulator.called(call, outcome, now)
    return caller.simulator, tries


@pytest.mark.parametrize(
    ("fragment", "outcome", "tries"),
    [
        ("", 204, 1),
        ("", "ct", 2),
        ("", "rt", 1),
        ("", 500, 1),
        ("#rc=5&rp=all", 500, 6),
        ("#rc=5&rp=all", 404, 6),
        ("#rc=5&rp=all", "rt", 6),
        ("#rc=5&rp=all", 200, 1),
        ("#rc=5&rp=all", 302, 1),
        ("#rc=0", "ct", 1),
        ("#rc=3&rp=5xx", 503, 4),
        ("#rc=3&rp=5xx", 403, 1),
    ],
)
def test_s2_2_retries(fragment, outcome, tries):
    simulator, made = lives(fragment, outcome)
    assert [call.attempt for call in made] == list(range(tries))
    assert len({call.token for call in made}) == 1
    assert len({call.headers["X-Twilio-Signature"] for call in made}) == 1
    assert [entry.lost for entry in simulator.journal] == [False] * (tries - 1) + [outcome not in {200, 204, 302}]
    assert simulator.counters["callbacks lost"] == (outcome not in {200, 204, 302})


def test_s2_2_all_tries_fit_into_the_total_time():
    _, made = lives("#rc=5&rp=all&rt=6000", "rt", gap=6.0)
    assert len(made) == 3  # 0, 6.2 and 12.4 s after the first


def test_a_call_from_before_a_reset_is_no_concern():
    caller = Caller()
    caller.create(StatusCallback=CALLBACK)
    (call,) = told(caller, 0.2)
    caller.simulator.reset()
    caller.simulator.called(call, "ct", NOW)
    assert caller.simulator.next_due_at() is None
    assert caller.simulator.journal == []
