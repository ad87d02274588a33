"""Every setting of the pretend Twilio by its number in docs/twilio.md 10; all exchanges are checked against the
OpenAPI.
"""

import json
import statistics
from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_simulator_rest import NOW, OURS, PHONE, SERVICE, Caller, basic, refused, seconds, states
from twilio.request_validator import RequestValidator

from reminders.simulator import PhoneFacts, Request, Rule, SimulatorSettings, Spread, control

CALLBACK = "http://127.0.0.1:8000/sms/status/abc#rc=5&rp=all&ct=2000&rt=3000"
OTHER = "+12025550144"
TOLL_FREE = "+18335550100"
PLAIN = {"surprise_parameter": 0.0, "done_date_missing": 0.0, "done_date_elsewhere": 0.0}


def a_caller(seed=7, **settings):
    return Caller(SimulatorSettings(**(PLAIN | settings)), seed=seed)


def rule(caller, **raw):
    caller.simulator.add_rule(Rule.parse(raw), caller.now)


def made(caller, after=0.0):
    """The calls made by then, each in its order: (seconds from NOW, status)."""
    caller.now = NOW + seconds(after)
    return [((call.at - NOW).total_seconds(), call.status) for call in caller.simulator.due(caller.now)]


def sent_times(caller, to=PHONE):
    return [(one.at - NOW).total_seconds() for one in caller.simulator.phones[to]]


def end_of(caller, sid, after=100_000.0):
    caller.now = max(caller.now, NOW + seconds(after))
    found = caller.fetch(sid)
    return found["status"], found["error_code"]


def enqueue(caller, **more):
    """A message without an HTTP exchange, for tests that need many."""
    return caller.simulator.create(to=PHONE, sender=OURS, service=None, body="x", now=caller.now, **more)


# Item 4: the sender's queue


def test_s10_4_a_sender_is_drained_in_order_by_segments():
    caller = a_caller(segments_per_second=2, sent_after=0)
    for body in ("a" * 160, "b" * 161, "c", "d"):  # 1, 2, 1, 1 segments
        caller.create(body=body)
    caller.simulator.advance(NOW + seconds(10))
    assert [one.body[0] for one in caller.simulator.phones[PHONE]] == ["a", "b", "c", "d"]
    assert sent_times(caller) == [0, 0.5, 1.5, 2]


def test_s10_4_each_sender_has_its_own_queue_and_pace():
    caller = a_caller(segments_per_second=1, sender_paces={TOLL_FREE: 10}, senders=None, sent_after=0)
    for _ in range(3):
        caller.create()
        caller.create(to=OTHER, From=TOLL_FREE)
    caller.simulator.advance(NOW + seconds(10))
    assert (sent_times(caller), sent_times(caller, OTHER)) == ([0, 1, 2], [0, 0.1, 0.2])


def test_s10_4_a_queue_that_ran_empty_starts_at_once():
    caller = a_caller(segments_per_second=1, sent_after=0)
    caller.create()
    caller.now += seconds(5)
    caller.create()
    caller.simulator.advance(NOW + seconds(10))
    assert sent_times(caller) == [0, 5]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0, 3)), min_size=1, max_size=8))
def test_s10_4_no_queue_is_faster_than_its_pace_and_none_idles(texts):
    caller = a_caller(segments_per_second=3, sent_after=0)
    arrived, parts = [], []
    for length, pause in texts:
        caller.now += seconds(pause)
        parts.append(int(caller.create(body="x" * length)["num_segments"]))
        arrived.append((caller.now - NOW).total_seconds())
    caller.simulator.advance(NOW + seconds(1000))
    free = 0.0
    for came, count, sent in zip(arrived, parts, sent_times(caller), strict=True):
        assert sent == pytest.approx(max(came, free), abs=1e-4)
        free = max(came, free) + count / 3


def test_s10_4_what_outlives_its_validity_fails_with_30036_and_holds_nobody_up():
    caller = a_caller(segments_per_second=0.1, sent_after=0)
    first, second, third = (caller.create(ValidityPeriod=valid)["sid"] for valid in ("60", "5", "60"))
    assert states(caller, second, 4, 5) == ["queued", "failed"]
    assert end_of(caller, second) == ("failed", 30036)
    assert [end_of(caller, sid)[0] for sid in (first, third)] == ["delivered"] * 2
    assert sent_times(caller) == [0, 10]


def test_s10_4_a_full_queue_refuses_a_number_with_21611():
    caller = a_caller(segments_per_second=1, longest_queue=2)
    for _ in range(3):
        caller.create()
        assert caller.response.status == 201
    caller.create()
    refused(caller, 21611)
    caller.now += seconds(1)
    caller.create()
    assert caller.response.status == 201


def test_s10_4_a_full_queue_fails_a_services_text_with_30001():
    caller = a_caller(segments_per_second=1, longest_queue=2)
    sids = [caller.create(MessagingServiceSid=SERVICE)["sid"] for _ in range(4)]
    assert caller.response.status == 201
    assert [end_of(caller, sid) for sid in sids] == [("delivered", None)] * 3 + [("failed", 30001)]


def test_s10_4_ten_hours_is_the_default():
    assert SimulatorSettings().longest_queue == 36_000


def test_s10_4_sending_is_seen_by_fetch_and_told_to_nobody():
    caller = a_caller(sending_for=0.1)
    sid = caller.create(StatusCallback=CALLBACK)["sid"]
    assert states(caller, sid, 0.05, 0.15, 0.25) == ["queued", "sending", "sent"]
    assert [status for _, status in made(caller, 10)] == ["sent", "delivered"]


# Item 5: timings


def test_s10_5_a_spread_has_its_median_its_p99_and_its_end():
    spread, random = Spread(3.0, 60.0, 7200.0), Random(1)
    drawn = sorted(spread.draw(random) for _ in range(20_000))
    assert statistics.median(drawn) == pytest.approx(3, rel=0.05)
    assert drawn[19_800] == pytest.approx(60, rel=0.2)
    assert max(Spread(1, 50, 60).draw(random) for _ in range(5000)) == 60


@pytest.mark.parametrize("wrong", [(0, 1), (2, 1), (3, 5, 2)])
def test_s10_5_a_spread_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="median"):
        Spread(*wrong)


def test_s10_5_the_answer_to_a_create_takes_its_time():
    caller = a_caller(created_after=Spread(0.075, 0.4, 26.0))
    waits = []
    for _ in range(100):
        caller.create()
        waits.append(caller.response.transport.after)
        assert float(caller.response.headers["Twilio-Request-Duration"]) == pytest.approx(waits[-1], abs=0.001)
    assert statistics.median(waits) == pytest.approx(0.075, rel=0.3)
    assert len(set(waits)) == 100
    caller.list()
    assert caller.response.transport.after == 0


def test_s10_5_sent_to_delivered_is_spread_and_a_share_is_never_receipted():
    caller = a_caller(sent_after=Spread(0.4, 2), delivered_after=Spread(3, 60, 7200), unreceipted=0.05)
    for _ in range(1000):
        enqueue(caller, callback_url=CALLBACK)
    caller.simulator.advance(NOW + timedelta(days=1))
    told = {}
    for call in caller.simulator.due(NOW + timedelta(days=1)):
        told.setdefault(call.sid, {})[call.status] = call.at
    silent = [one for one in told.values() if "delivered" not in one]
    waits = [(one["delivered"] - one["sent"]).total_seconds() for one in told.values() if "delivered" in one]
    assert len(silent) == pytest.approx(50, abs=25)
    assert statistics.median(waits) == pytest.approx(3, rel=0.25)
    assert max(waits) > 30
    assert len(caller.simulator.phones[PHONE]) == 1000


def test_s10_5_lifelike_is_all_of_it_at_once_and_follows_from_the_seed():
    def life(seed):
        caller = Caller(SimulatorSettings.lifelike(), seed=seed)
        for _ in range(30):
            caller.create(StatusCallback=CALLBACK)
        calls = caller.simulator.due(NOW + timedelta(hours=3))
        return [(call.sid, call.status, call.at, call.form) for call in calls]

    assert life(1) == life(1)
    assert life(1) != life(2)


# Item 7: disorder of calls


def test_s10_7_swapped():
    caller = a_caller()
    rule(caller, disorder="swapped")
    caller.create(StatusCallback=CALLBACK)
    assert made(caller, 0.5) == []
    assert made(caller, 10) == [(0.6, "delivered"), (0.8, "sent")]


def test_s10_7_swapped_with_nothing_to_come_goes_by_itself_in_the_end():
    caller = a_caller()
    rule(caller, outcome="silent")
    rule(caller, disorder="swapped", seconds=30)
    rule(caller, disorder="swapped", about="queued")
    caller.create(StatusCallback=CALLBACK)
    assert made(caller, 10) == [(0.2, "sent")]  # the last of its message, so there is no other to swap it with
    caller.simulator.clear_rules()
    rule(caller, outcome="delivered", after=500)
    rule(caller, disorder="swapped", seconds=30)
    caller.create(StatusCallback=CALLBACK)
    assert made(caller, 300) == [(10 + 30.2, "sent")]
    assert made(caller, 600) == [(510, "delivered")]


def test_s10_7_doubled_with_the_same_token():
    caller = a_caller()
    rule(caller, disorder="doubled", copies=3, about="sent", times=1)
    caller.create(StatusCallback=CALLBACK)
    calls = caller.simulator.due(NOW + seconds(10))
    assert Counter(call.status for call in calls) == {"sent": 4, "delivered": 1}
    assert len({call.token for call in calls if call.status == "sent"}) == 1
    for call in calls:  # each has a life of its own
        caller.simulator.called(call, 500, NOW + seconds(10))
    assert len(caller.simulator.due(NOW + seconds(11))) == 5
    assert caller.simulator.counters["disorder doubled"] == 1


def test_s10_7_callback_before_the_201_is_written():
    caller = a_caller()
    rule(caller, fault="callback_first", seconds=1.5, times=1)
    for more in ({}, {"MessagingServiceSid": SERVICE}):
        caller.create(StatusCallback=CALLBACK, **more)
        told = [call.status for call in caller.simulator.due(caller.now)]
        if not more:
            assert (told, caller.response.transport.after) == (["sent"], 1.5)
        else:
            assert (told, caller.response.transport.after) == ([], 0)  # once only
    rule(caller, fault="callback_first", times=1)
    caller.create(StatusCallback=CALLBACK, MessagingServiceSid=SERVICE)
    assert [call.status for call in caller.simulator.due(caller.now)] == ["queued", "sent"]


def test_s10_7_hours_late():
    caller = a_caller()
    rule(caller, disorder="late", seconds=10_800, about="delivered")
    caller.create(StatusCallback=CALLBACK)
    assert made(caller, 10_000) == [(0.2, "sent")]
    assert made(caller, 20_000) == [(10_800.6, "delivered")]


def test_s10_7_bursts():
    caller = a_caller()
    rule(caller, disorder="burst", seconds=60)
    for _ in range(5):
        caller.create(StatusCallback=CALLBACK)
        caller.now += seconds(7)
    assert made(caller, 59.9) == []
    assert made(caller, 60) == [(60, status) for status in ("sent", "delivered") * 5]


def test_s10_7_unknown_sids():
    caller = a_caller()
    rule(caller, disorder="unknown_sid", about="sent")
    sid = caller.create(StatusCallback=CALLBACK)["sid"]
    calls = caller.simulator.due(NOW + seconds(10))
    assert [call.status for call in calls] == ["sent", "sent", "delivered"]
    stray = calls[1]
    assert dict(stray.form)["MessageSid"] == dict(stray.form)["SmsSid"] == stray.sid != sid
    assert signed_by(stray, "simulator")
    assert caller.simulator.find(stray.sid) is None


def signed_by(call, token):
    signature = call.headers.get("X-Twilio-Signature")
    form = dict(parse_qsl(call.body.decode(), keep_blank_values=True))
    return signature is not None and RequestValidator(token).validate(call.url, form, signature)


@pytest.mark.parametrize("disorder", ["bad_signature", "no_signature", "former_token"])
def test_s10_7_signatures(disorder):
    caller = a_caller(inbound_url="http://127.0.0.1:8000/sms/inbound")
    rule(caller, disorder=disorder)
    caller.create(StatusCallback=CALLBACK)
    caller.simulator.text_from(PHONE, OURS, "C", NOW)
    calls = caller.simulator.due(NOW + seconds(10))
    assert [call.kind for call in calls] == ["inbound", "status", "status"]
    for call in calls:
        assert ("X-Twilio-Signature" in call.headers) == (disorder != "no_signature")
        assert not signed_by(call, "simulator")
        assert signed_by(call, "simulator once") == (disorder == "former_token")


def test_s10_7_terminal_contradiction():
    caller = a_caller()
    rule(caller, outcome="undelivered", error_code=30008, then="delivered", then_after=5)
    sid = caller.create(StatusCallback=CALLBACK)["sid"]
    assert states(caller, sid, 1, 5.7) == ["undelivered", "delivered"]
    calls = caller.simulator.due(caller.now)
    assert [(call.status, dict(call.form).get("ErrorCode")) for call in calls] == [
        ("sent", None),
        ("undelivered", "30008"),
        ("delivered", None),
    ]
    assert len(caller.simulator.phones[PHONE]) == 1
    assert end_of(caller, sid) == ("delivered", None)


def test_s10_7_failed_then_delivered_and_delivered_then_undelivered():
    caller = a_caller()
    rule(caller, to=PHONE, error_code=30410, then="delivered")
    rule(caller, to=OTHER, outcome="delivered", then="undelivered")
    one, other = caller.create()["sid"], caller.create(to=OTHER)["sid"]
    assert (end_of(caller, one), end_of(caller, other)) == (("delivered", None), ("undelivered", 30008))
    assert len(caller.simulator.phones[PHONE]) == len(caller.simulator.phones[OTHER]) == 1


def test_s10_7_drop_all_for_a_period():
    caller = a_caller()
    rule(caller, disorder="dropped", begins=10, lasts=60)
    for start in (0, 20, 80):
        caller.now = NOW + seconds(start)
        caller.create(StatusCallback=CALLBACK)
    assert [at for at, _ in made(caller, 200)] == [0.2, 0.6, 80.2, 80.6]
    dropped = [entry for entry in caller.simulator.journal if entry.lost]
    assert [entry.callback.status for entry in dropped] == ["sent", "delivered"]
    assert caller.simulator.counters["disorder dropped"] == 2


def test_s10_7_disorders_of_different_stages_act_together():
    caller = a_caller()
    for word in ("bad_signature", "doubled", "late"):
        rule(caller, disorder=word, about="sent")
    rule(caller, disorder="burst", about="sent", to=OTHER)
    caller.create(StatusCallback=CALLBACK)
    assert made(caller, 10) == [(0.6, "delivered")]
    calls = caller.simulator.due(NOW + timedelta(hours=3))
    assert [(call.status, signed_by(call, "simulator")) for call in calls] == [("sent", False)] * 2


# Item 8: faults of creates


def test_s10_8_rules_hold_in_their_window_only():
    caller = a_caller()
    rule(caller, fault="too_many", begins=10, lasts=20)
    seen = []
    for after in (0, 9.9, 10, 29.9, 30):
        caller.now = NOW + seconds(after)
        caller.create()
        seen.append(caller.response.status)
    assert seen == [201, 201, 429, 429, 201]


@pytest.mark.parametrize("status", [500, 502, 503])
@pytest.mark.parametrize("html", [True, False])
@pytest.mark.parametrize("is_made", [True, False])
def test_s10_8_server_errors_with_and_without_the_message(status, html, is_made):
    caller = a_caller()
    rule(caller, fault=f"error_{'after' if is_made else 'before'}_create", status=status, html=html, times=1)
    caller.create()
    assert caller.response.status == status
    assert (caller.response.headers["Content-Type"] == "text/html") == (html or status == 502)
    assert len(caller.simulator.created()) == is_made


def test_s10_8_faults_of_different_stages_act_together():
    caller = a_caller()
    rule(caller, fault="error_after_create", status=503, times=1)
    rule(caller, fault="truncated", times=1)
    rule(caller, fault="latency", seconds=4, times=1)
    caller.create()
    transport = caller.response.transport
    assert (caller.response.status, transport.how, transport.after) == (503, "cut", 4)
    assert len(caller.simulator.created()) == 1
    assert [one.times for one in caller.simulator.rules] == [0, 0, 0]
    assert not [name for name in caller.simulator.counters if name.startswith("overruled")]


def test_s10_8_of_one_stage_the_newest_acts_and_the_other_is_counted_and_kept():
    caller = a_caller()
    rule(caller, fault="hang_after_create", times=1)
    rule(caller, fault="close_after_create", times=1)
    caller.create()
    assert caller.response.transport.how == "close"
    assert caller.simulator.counters["overruled hang_after_create"] == 1
    caller.create()
    assert caller.response.transport.how == "hang"


def test_s10_8_what_is_not_processed_overrules_what_befalls_answers_but_not_the_latency():
    caller = a_caller()
    rule(caller, fault="not_json", times=1)
    rule(caller, fault="hang_after_create", times=1)
    rule(caller, fault="latency", seconds=2, times=1)
    rule(caller, fault="too_many", times=1)
    caller.create()
    transport = caller.response.transport
    assert (caller.response.status, transport.how, transport.after) == (429, "whole", 2)
    counters = caller.simulator.counters
    assert (counters["overruled not_json"], counters["overruled hang_after_create"]) == (1, 1)
    caller.create()
    assert (caller.response.status, caller.response.transport.how) == (201, "hang")


def test_s10_8_chances_do_not_depend_on_each_other():
    caller = a_caller()
    rule(caller, fault="too_many", probability=0.5)
    rule(caller, fault="error_before_create", probability=0.5)
    statuses = Counter(caller.create() and caller.response.status for _ in range(200))
    assert statuses[500] == pytest.approx(100, abs=30)
    assert statuses[429] == pytest.approx(50, abs=25)
    assert statuses[201] == pytest.approx(50, abs=25)
    assert caller.simulator.counters["overruled too_many"] == pytest.approx(50, abs=25)


def test_s10_8_an_account_suspended_in_mid_run():
    caller = a_caller(segments_per_second=0.1, sent_after=0)
    sent, waiting, accepted = (
        caller.create(StatusCallback=CALLBACK)["sid"],
        caller.create(StatusCallback=CALLBACK)["sid"],
        caller.create(MessagingServiceSid=SERVICE, to=OTHER)["sid"],
    )
    scheduled, later = (
        caller.create(MessagingServiceSid=SERVICE, ScheduleType="fixed", SendAt=f"2026-12-01T{at}Z")["sid"]
        for at in ("15:20:00", "16:30:00")
    )
    rule(caller, fault="suspended", begins=0.01, lasts=3600)
    caller.now += seconds(0.01)
    for ask in (caller.create, caller.list, lambda: caller.fetch(sent)):
        ask()
        refused(caller, 20003, 401)
    caller.now = NOW + seconds(3601)
    assert end_of(caller, sent, 3601) == ("delivered", None)
    assert [end_of(caller, sid, 3601) for sid in (waiting, accepted, scheduled)] == [("failed", 30002)] * 3
    assert end_of(caller, later, 6000) == ("delivered", None)
    assert [call.status for call in caller.simulator.due(caller.now)] == ["sent", "failed", "delivered"]
    assert len(caller.simulator.phones[PHONE]) == 2
    caller.create()
    assert caller.response.status == 201


def test_s10_8_a_suspension_taken_back_before_it_began_suspends_nobody():
    caller = a_caller(sent_after=5)
    rule(caller, fault="suspended", begins=1)
    sid = caller.create()["sid"]
    caller.simulator.clear_rules()
    assert end_of(caller, sid, 60) == ("delivered", None)


# Item 10: faults of delivery


@pytest.mark.parametrize("code", [30003, 30004, 30005, 30006, 30007, 30008, 30022, 30034])
def test_s10_10_undelivered(code):
    caller = a_caller()
    rule(caller, to="0143", error_code=code)
    assert end_of(caller, caller.create(StatusCallback=CALLBACK)["sid"], 10) == ("undelivered", code)
    assert [status for _, status in made(caller, 10)] == ["sent", "undelivered"]
    assert not caller.simulator.phones[PHONE]


@pytest.mark.parametrize("code", [30410, 30500])
def test_s10_10_failed(code):
    caller = a_caller()
    rule(caller, to="0143", error_code=code)
    assert end_of(caller, caller.create(StatusCallback=CALLBACK)["sid"], 10) == ("failed", code)
    assert [status for _, status in made(caller, 10)] == ["failed"]
    assert not caller.simulator.phones[PHONE]


def test_s10_10_30410_may_have_reached_the_phone_all_the_same():
    caller = a_caller()
    rule(caller, error_code=30410, reaches=True)
    assert end_of(caller, caller.create()["sid"], 10) == ("failed", 30410)
    assert len(caller.simulator.phones[PHONE]) == 1


def test_s10_10_30003_once_then_ok():
    caller = a_caller()
    rule(caller, error_code=30003, times=1)
    assert [end_of(caller, caller.create()["sid"], 60 * n)[0] for n in (1, 2)] == ["undelivered", "delivered"]


def test_s10_10_30023_until_midnight_pacific():
    caller = a_caller()
    rule(caller, error_code=30023)
    midnight = datetime(2026, 12, 2, 8, 0, tzinfo=UTC)
    ends = []
    for at in (NOW, midnight - seconds(1), midnight):
        caller.now = at
        sid = caller.create()["sid"]
        caller.now += seconds(30)
        ends.append(caller.fetch(sid)["error_code"])
    assert ends == [30023, 30023, None]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_s10_10_30450_for_15_to_30_minutes(seed):
    caller = a_caller(seed=seed)
    rule(caller, error_code=30450)
    until = caller.simulator.rules[0].until
    assert timedelta(minutes=15) <= until - NOW <= timedelta(minutes=30)
    sid = caller.create()["sid"]
    assert end_of(caller, sid, 10) == ("failed", 30450)
    caller.now = until
    sid = caller.create()["sid"]
    caller.now += seconds(10)
    assert caller.fetch(sid)["status"] == "delivered"


def test_s10_10_a_share_of_all_texts():
    caller = a_caller()
    rule(caller, error_code=30003, probability=0.3)
    for _ in range(200):
        enqueue(caller)
    caller.simulator.advance(NOW + seconds(10))
    assert Counter(one.error_code for one in caller.simulator.created())[30003] == pytest.approx(60, abs=25)


# Item 11: opt-out


def say(caller, word, to=OURS):
    caller.simulator.text_from(PHONE, to, word, caller.now)
    return caller.simulator.texted[PHONE][-1].answer


def test_s10_11_a_stop_to_one_number_of_a_service_holds_for_all_of_it():
    pool = ("+12025550110", "+12025550111", "+12025550112")
    caller = a_caller(senders=None, service_senders=pool)
    caller.create(MessagingServiceSid=SERVICE)
    caller.now += seconds(1)
    say(caller, "STOP", pool[0])
    for more in ({"MessagingServiceSid": SERVICE}, *({"From": number} for number in pool)):
        caller.create(**more)
        refused(caller, 21610)
    caller.create(From="+12025550119")
    assert caller.response.status == 201  # a number of its own
    caller.create(to=OTHER, MessagingServiceSid=SERVICE)
    assert caller.response.status == 201
    say(caller, "START", pool[1])
    for more in ({"MessagingServiceSid": SERVICE}, *({"From": number} for number in pool)):
        caller.create(**more)
        assert caller.response.status == 201


def test_s10_11_a_toll_free_number_gives_no_help_while_it_is_shut():
    caller = a_caller(senders=None)
    assert say(caller, "HELP", TOLL_FREE)
    assert say(caller, "STOP", TOLL_FREE)
    assert say(caller, "HELP", TOLL_FREE) is None
    assert say(caller, "YES", TOLL_FREE) is None
    assert say(caller, "UNSTOP", TOLL_FREE)
    assert say(caller, "HELP", TOLL_FREE)


def test_s10_11_advanced_opt_out_has_words_of_its_own():
    words = {"stop_words": frozenset({"STOP", "BASTA"}), "start_words": frozenset({"ALTA"})}
    for advanced, shut_by_basta, shut_by_cancel in ((True, True, False), (False, False, True)):
        for word, shut in (("basta", shut_by_basta), ("CANCEL", shut_by_cancel)):
            caller = a_caller(advanced_opt_out=advanced, **words)
            say(caller, word)
            caller.create()
            assert caller.response.status == (400 if shut else 201)
    caller = a_caller(advanced_opt_out=True, senders=None, **words)
    say(caller, "basta", TOLL_FREE)  # the network's words cannot be changed
    caller.create(From=TOLL_FREE)
    assert caller.response.status == 201


# Item 12: the lagging list


def test_s10_12_each_message_has_its_own_lag_up_to_fifteen_minutes():
    caller = a_caller(list_lag=Spread(60, 900, 900))
    sids = {enqueue(caller).sid for _ in range(50)}
    caller.now += seconds(60)
    shown = {one["sid"] for one in caller.list(Page_Size="100")["messages"]}
    assert 10 < len(shown) < 40
    caller.now = NOW + seconds(900)
    assert {one["sid"] for one in caller.list(Page_Size="100")["messages"]} == sids


# Item 13: Lookup


def looked_up(caller, number=PHONE, query=""):
    headers = {**basic(), "host": "127.0.0.1:4010"}
    caller.response = caller.simulator.handle(
        Request("GET", f"/v2/PhoneNumbers/{number}", query, headers, b""), caller.now
    )
    return json.loads(caller.response.body)


def test_s10_13_the_basics_are_free():
    found = looked_up(a_caller())
    assert (found["valid"], found["validation_errors"], found["country_code"]) == (True, [], "US")
    assert (found["phone_number"], found["national_format"]) == (PHONE, "(202) 555-0143")
    assert found["url"] == f"http://127.0.0.1:4010/v2/PhoneNumbers/{PHONE}"
    assert found["line_type_intelligence"] is found["reassigned_number"] is None


def test_s10_13_packages():
    caller = a_caller()
    caller.simulator.facts[PHONE] = PhoneFacts(line_type="landline", reassigned="yes", pumping_score=80)
    fields = "line_type_intelligence,reassigned_number,sms_pumping_risk,line_status"
    found = looked_up(caller, query=f"Fields={fields}&LastVerifiedDate=20260801")
    assert found["line_type_intelligence"]["type"] == "landline"
    assert found["reassigned_number"] == {
        "last_verified_date": "20260801",
        "is_number_reassigned": "yes",
        "error_code": None,
    }
    assert (found["sms_pumping_risk"]["sms_pumping_risk_score"], found["line_status"]["status"]) == (80, "active")
    assert looked_up(caller, OTHER, "Fields=line_type_intelligence")["line_type_intelligence"]["type"] == "mobile"


def test_s10_13_a_package_that_fails_says_so_inside_a_200():
    caller = a_caller()
    caller.simulator.facts[PHONE] = PhoneFacts(lookup_error=60601)
    package = looked_up(caller, query="Fields=line_type_intelligence")["line_type_intelligence"]
    assert caller.response.status == 200
    assert (package["error_code"], package["type"]) == (60601, None)


@pytest.mark.parametrize(
    ("number", "error"),
    [
        ("%2B1202555", "TOO_SHORT"),
        ("%2B120255501439", "TOO_LONG"),
        ("%2B999123", "NOT_A_NUMBER"),
        ("x", "NOT_A_NUMBER"),
    ],
)
def test_s10_13_numbers_that_are_none(number, error):
    caller = a_caller()
    found = looked_up(caller, number, "Fields=line_type_intelligence")
    assert caller.response.status == 200
    assert (found["valid"], found["validation_errors"], found["line_type_intelligence"]) == (False, [error], None)


@pytest.mark.parametrize(
    "query", ["Fields=horoscope", "Fields=reassigned_number", "Fields=reassigned_number&LastVerifiedDate=2026-08-01"]
)
def test_s10_13_what_cannot_be_asked(query):
    caller = a_caller()
    looked_up(caller, query=query)
    refused(caller, 20001)


def test_s10_13_lookups_can_fail_too():
    caller = a_caller()
    rule(caller, fault="error_before_create", on="lookup", to=PHONE, status=503, times=1)
    looked_up(caller, OTHER)
    assert caller.response.status == 200
    looked_up(caller)
    refused(caller, 20503, 503)
    caller.response = caller.simulator.handle(
        Request("POST", f"/v2/PhoneNumbers/{PHONE}", "", basic(), b""), caller.now
    )
    refused(caller, 20004, 405)


def test_s10_13_a_text_to_a_landline_ends_with_30006():
    caller = a_caller()
    caller.simulator.facts[PHONE] = PhoneFacts(line_type="landline")
    assert end_of(caller, caller.create()["sid"]) == ("undelivered", 30006)


def test_a_text_to_a_phone_that_is_switched_off_ends_with_30003_until_it_is_on():
    for status, ends in (("unreachable", ("undelivered", 30003)), ("active", ("delivered", None))):
        caller = a_caller()
        caller.simulator.facts[PHONE] = PhoneFacts(line_status=status)
        assert end_of(caller, caller.create()["sid"]) == ends


# Item 14: all of it over the control API


def test_the_phones_that_show_anything_are_listed():
    caller = a_caller()
    assert steer(caller, "GET", "/phones") == (200, [])
    steer(caller, "POST", f"/phones/{PHONE}/texts", {"to": "+15005550006", "body": "C"})
    status, (one,) = steer(caller, "GET", "/phones")
    assert (status, one["phone"], one["texts"], one["line_status"]) == (200, PHONE, 1, "active")
    assert (one["last"]["by"], one["last"]["body"]) == ("phone", "C")


def steer(caller, method, path, document=None):
    body = b"" if document is None else json.dumps(document).encode()
    answer = control(caller.simulator, Request(method, path, "", {}, body), caller.now)
    return answer.status, json.loads(answer.body)


def test_s10_14_every_setting_can_be_read_and_set_again():
    caller = Caller(SimulatorSettings.lifelike(sender_paces={OURS: 2.0}))
    status, found = steer(caller, "GET", "/settings")
    assert status == 200
    assert found["delivered_after"] == {"median": 3.0, "p99": 60.0, "longest": 7200.0}
    before = caller.simulator.settings
    assert steer(caller, "POST", "/settings", found) == (200, found)
    assert caller.simulator.settings == before
    assert "auth_token" not in found


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"delivered_after": {"median": 3}}, "delivered_after"),
        ({"delivered_after": {"median": 3, "p99": 1}}, "delivered_after"),
        ({"delivered_after": {"median": 3, "p99": 9, "mean": 4}}, "delivered_after"),
        ({"unreceipted": 1.1}, "unreceipted"),
        ({"sender_paces": {OURS: "fast"}}, "sender_paces"),
        ({"sender_paces": 3}, "sender_paces"),
        ({"stop_words": "STOP"}, "stop_words"),
        ({"service_senders": []}, "service_senders"),
        ({"max_concurrent": 0}, "max_concurrent"),
        ({"advanced_opt_out": 1}, "advanced_opt_out"),
        ({"auth_token": "x"}, "auth_token"),
    ],
)
def test_s10_14_a_wrong_setting_is_named_and_changes_nothing(document, named):
    caller = a_caller()
    before = caller.simulator.settings
    status, answer = steer(caller, "POST", "/settings", {"list_lag": 5, **document})
    assert (status, answer["problem"].partition(":")[0]) == (400, named)
    assert caller.simulator.settings == before


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"disorder": "jumbled"}, "disorder"),
        ({"disorder": "late", "about": "read"}, "about"),
        ({"disorder": "late", "error_code": 30003}, "outcome, fault, disorder"),
        ({"disorder": "late", "status": 500}, "status"),
        ({"fault": "too_many", "copies": 2}, "copies"),
        ({"error_code": 30003, "then": []}, "then"),
        ({"error_code": 30003, "then": "silent"}, "then"),
        ({"fault": "suspended", "to": PHONE}, "suspended"),
        ({"fault": "refuse_connection", "begins": 5}, "refuse_connection"),
        ({"disorder": "doubled", "copies": 1001}, "copies"),
    ],
)
def test_s10_14_a_wrong_rule_is_named(document, named):
    caller = a_caller()
    status, answer = steer(caller, "POST", "/rules", document)
    assert (status, answer["problem"].partition(":")[0]) == (400, named)
    assert caller.simulator.rules == []


def test_s10_14_rules_show_their_window():
    caller = a_caller()
    steer(caller, "POST", "/rules", {"error_code": 30023, "to": PHONE})
    ((shown),) = steer(caller, "GET", "/rules")[1]
    assert (shown["since"], shown["until"]) == (NOW.isoformat(), "2026-12-02T08:00:00+00:00")
    assert (shown["outcome"], shown["to"]) == ("undelivered", PHONE)


def test_s10_14_the_clock_can_be_set_ahead():
    caller = a_caller()
    rule(caller, outcome="delivered", after=3600)
    sid = caller.create()["sid"]
    status, answer = steer(caller, "POST", "/clock", {"forward": 4000})
    assert (status, answer["ahead"]) == (200, 4000)
    assert answer["now"] == (NOW + seconds(4000)).isoformat()
    assert caller.simulator.find(sid).status == "delivered"
    assert steer(caller, "GET", "/clock")[1]["ahead"] == 4000
    for wrong in ({}, {"forward": -1}, {"back": 1}, 7):
        assert steer(caller, "POST", "/clock", wrong)[0] == 400
    steer(caller, "POST", "/reset")
    assert steer(caller, "GET", "/clock")[1]["ahead"] == 0


def test_s10_14_what_lookup_knows_is_set_per_phone():
    caller = a_caller()
    status, found = steer(caller, "POST", f"/phones/{PHONE}", {"line_type": "nonFixedVoip"})
    assert (status, found["line_type"], found["reassigned"]) == (200, "nonFixedVoip", "no")
    assert caller.simulator.facts[PHONE].line_type == "nonFixedVoip"
    for wrong in ({"line_type": "tin can"}, {"pumping_score": "high"}, {"carrier": 7}, {"colour": 1}, 7):
        assert steer(caller, "POST", f"/phones/{PHONE}", wrong)[0] == 400


# The whole of it at once, from a seed


RULES = [
    {"fault": "too_many", "probability": 0.1},
    {"fault": "error_after_create", "probability": 0.1},
    {"fault": "truncated", "probability": 0.1},
    {"fault": "latency", "probability": 0.2, "seconds": 3},
    {"fault": "callback_first", "probability": 0.1},
    {"fault": "suspended", "begins": 40, "lasts": 5},
    {"error_code": 30003, "probability": 0.2},
    {"error_code": 30008, "then": "delivered", "probability": 0.1},
    {"error_code": 30450},
    *({"disorder": word, "probability": 0.2, "seconds": 7} for word in ("swapped", "late", "burst")),
    *({"disorder": word, "probability": 0.2} for word in ("dropped", "doubled", "unknown_sid", "bad_signature")),
]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    script=st.lists(
        st.tuples(st.sampled_from(["create", "service", "list", "due", "stop", "start"]), st.floats(0, 10)),
        max_size=8,
    ),
    chosen=st.sets(st.integers(0, len(RULES) - 1)),
)
def test_same_seed_same_calls_same_results_whatever_is_switched_on(seed, script, chosen):
    def play(look):
        caller = Caller(SimulatorSettings.lifelike(), seed=seed)
        for number in sorted(chosen):
            rule(caller, **RULES[number])
        seen, calls = [], []
        for what, pause in script:
            caller.now += seconds(pause)
            if what in {"create", "service"}:
                caller.create(
                    StatusCallback=CALLBACK, **({"MessagingServiceSid": SERVICE} if what == "service" else {})
                )
                seen.append(caller.response)
            elif what == "list":
                caller.list()
                seen.append(caller.response)
            elif what == "due":
                calls += caller.simulator.due(caller.now) if look else []
            else:
                caller.simulator.text_from(PHONE, OURS, what, caller.now)
        calls += caller.simulator.due(caller.now + timedelta(days=1))
        return seen, [(call.token, call.form, call.at, dict(call.headers)) for call in calls], caller.simulator

    seen, calls, network = play(look=True)
    assert play(look=True)[:2] == (seen, calls)
    assert play(look=False)[:2] == (seen, calls)  # the time of looking changes nothing
    for phone, received in network.phones.items():
        assert len({one.sid for one in received}) == len(received), phone  # no message is seen twice
    for message in network.created():
        assert message.status in {"sent", "delivered", "undelivered", "failed"}


def test_s10_4_on_a_busy_day_what_cannot_go_in_time_fails():
    caller = Caller(SimulatorSettings.lifelike(), seed=3)
    for _ in range(300):
        enqueue(caller, valid_for=60)
    caller.simulator.advance(NOW + timedelta(days=1))
    ends = Counter(message.error_code for message in caller.simulator.created())
    assert ends[30036] == pytest.approx(300 - 3.75 * 60, abs=10)
    assert len(caller.simulator.phones[PHONE]) == 300 - ends[30036]
