"""The pretend Twilio's inbound side: which words it obeys and answers, STOP in transit, lost calls, the pager."""

import json
from urllib.parse import urlencode

import pytest
from test_simulator_rest import NOW, OURS, PHONE, SERVICE, Caller, seconds
from twilio.request_validator import RequestValidator

from reminders.simulator import Request, Rule, SimulatorSettings, control
from reminders.sms.receipts import InboundText, read_inbound

INBOUND = "http://127.0.0.1:8000/sms/inbound"
FALLBACK = "http://127.0.0.1:8001/fallback"
TOLL_FREE = "+18005550100"
CERTAIN = {"surprise_parameter": 0.0, "done_date_missing": 0.0, "done_date_elsewhere": 0.0}


def a_caller(**settings):
    return Caller(SimulatorSettings(**{"senders": None, "inbound_url": INBOUND, **CERTAIN, **settings}))


def steer(caller, method, path, document=None, headers=()):
    body = document if isinstance(document, bytes) else b"" if document is None else json.dumps(document).encode()
    answer = control(caller.simulator, Request(method, path, "", dict(headers), body), caller.now)
    return answer.status, json.loads(answer.body)


def screen(caller):
    """The texts on the phone: who wrote each, and what."""
    return [(one["by"], one["body"]) for one in steer(caller, "GET", f"/phones/{PHONE}/screen")[1]]


def say(caller, body, to=OURS, **more):
    return caller.simulator.text_from(PHONE, to, body, caller.now, **more)


def later(caller, number):
    """Let that many seconds pass; returns the due webhook calls."""
    caller.now += seconds(number)
    return caller.simulator.due(caller.now)


def refused(caller):
    """The code with which Twilio refuses a text to the phone now; None if it accepts it."""
    return (caller.create() or {}).get("code")


# What the phone shows


def test_s10_14_a_phone_shows_both_ways_in_order_and_who_wrote_what():
    caller = a_caller()
    caller.create(body="See you tomorrow")
    later(caller, 5)
    say(caller, "What time?")
    (call,) = [call for call in later(caller, 0) if call.kind == "inbound"]
    caller.simulator.called(call, 200, caller.now, b"<Response><Message>One moment</Message></Response>")
    later(caller, 5)
    say(caller, "STOP")
    shown = steer(caller, "GET", f"/phones/{PHONE}/screen")[1]
    assert [(one["by"], one["from"], one["to"], one["body"]) for one in shown[:4]] == [
        ("us", OURS, PHONE, "See you tomorrow"),
        ("phone", PHONE, OURS, "What time?"),
        ("twiml", OURS, PHONE, "One moment"),
        ("phone", PHONE, OURS, "STOP"),
    ]
    assert (shown[4]["by"], shown[4]["from"], "START" in shown[4]["body"]) == ("twilio", OURS, True)
    assert [one["at"] for one in shown] == sorted(one["at"] for one in shown)
    assert len({one["sid"] for one in shown}) == 5
    # Its own answers do not use the API, so we cannot have sent them twice.
    assert [one["body"] for one in steer(caller, "GET", "/messages")[1]] == ["See you tomorrow"]
    assert [one["body"] for one in steer(caller, "GET", f"/phones/{PHONE}")[1]] == ["See you tomorrow", "One moment"]


def test_s10_14_an_untouched_phone_shows_nothing_and_a_reset_one_neither():
    caller = a_caller()
    assert screen(caller) == []
    say(caller, "hello")
    assert screen(caller) == [("phone", "hello")]
    steer(caller, "POST", "/reset")
    assert screen(caller) == []


# Whose words count: Twilio's own, none, Advanced Opt-Out's


@pytest.mark.parametrize(("word", "begins"), [("STOP", "You have opted out"), ("info", "Reply STOP")])
def test_s5_by_default_twilio_answers_its_words_and_the_webhook_comes_without_opt_out_type(word, begins):
    caller = a_caller()
    say(caller, word)
    (call,) = later(caller, 0)
    text = read_inbound(call.form)
    assert (text.body, text.opt_out_type) == (word, None)
    assert [by for by, _ in screen(caller)] == ["phone", "twilio"]
    assert screen(caller)[1][1].startswith(begins)


def test_s5_twilio_says_it_once():
    caller = a_caller()
    for word in ("STOP", "STOP", "START", "START"):
        say(caller, word)
    assert [by for by, _ in screen(caller)] == ["phone", "twilio", "phone", "phone", "twilio", "phone"]


@pytest.mark.parametrize("word", ["STOP", "CANCEL", "HELP", "START"])
def test_s5_switched_off_twilio_heeds_no_word_and_leaves_it_to_us(word):
    caller = a_caller()
    assert steer(caller, "POST", "/settings", {"default_opt_out": False})[0] == 200
    say(caller, word)
    assert screen(caller) == [("phone", word)]
    assert len(later(caller, 0)) == 1
    assert refused(caller) is None


def test_s5_switched_off_the_network_still_heeds_a_toll_free_number():
    caller = a_caller(default_opt_out=False)
    say(caller, "STOP", TOLL_FREE)
    assert [by for by, _ in screen(caller)] == ["phone", "twilio"]
    assert caller.create(From=TOLL_FREE)["code"] == 21610


def test_s5_advanced_opt_out_answers_in_the_words_it_was_given():
    ours = {
        "help_words": ["HELP", "ayuda"],
        "answers": {"HELP": "Oak: call us. 988.", "Ayuda": "Oak: llame. 988 y oprima 2.", "STOP": ""},
    }
    caller = a_caller(advanced_opt_out=True)
    assert steer(caller, "POST", "/settings", ours)[0] == 200
    said = {}
    for word in ("Help", "AYUDA", "INFO", "stop", "START"):
        say(caller, word)
        (call,) = later(caller, 0)
        said[word] = (read_inbound(call.form).opt_out_type, caller.simulator.texted[PHONE][-1].answer)
    assert said == {
        "Help": ("HELP", "Oak: call us. 988."),
        "AYUDA": ("HELP", "Oak: llame. 988 y oprima 2."),
        "INFO": (None, None),  # not one of its words any more
        "stop": ("STOP", None),
        "START": ("START", "You will get texts from this number again. Reply STOP to opt out."),
    }
    assert ("twilio", "") not in screen(caller)


def test_s5_of_a_toll_free_number_only_helps_answer_can_be_ones_own():
    answers = {"STOP": "Our stop.", "START": "Our start.", "HELP": "Our help: 988."}
    caller = a_caller(advanced_opt_out=True, answers=answers)
    said = []
    for word in ("HELP", "STOP", "HELP", "UNSTOP"):
        say(caller, word, TOLL_FREE)
        said.append(caller.simulator.texted[PHONE][-1].answer)
    assert said[0] == "Our help: 988."
    assert said[1].startswith("You have opted out")
    assert said[2] is None
    assert said[3].startswith("You will get texts")


def test_s5_without_advanced_opt_out_its_answers_mean_nothing():
    caller = a_caller(answers={"HELP": "Our help"})
    say(caller, "HELP")
    assert screen(caller)[1] == ("twilio", "Reply STOP to opt out.")


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"answers": ["HELP"]}, "answers"),
        ({"answers": {"HELP": 988}}, "answers"),
        ({"default_opt_out": "no"}, "default_opt_out"),
        ({"fallback_url": "fallback"}, "fallback_url"),
        ({"fallback_twiml": 7}, "fallback_twiml"),
    ],
)
def test_a_wrong_setting_is_named(document, named):
    caller = a_caller()
    status, answer = steer(caller, "POST", "/settings", document)
    assert (status, answer["problem"].partition(":")[0]) == (400, named)


# STOP, START and the numbers they apply to


@pytest.mark.parametrize(
    ("sender", "word", "opens"),
    [
        (OURS, "START", True),
        (OURS, "UNSTOP", True),
        (OURS, "YES", True),
        (OURS, "Y", False),
        (OURS, "START please", False),
        (TOLL_FREE, "START", True),
        (TOLL_FREE, "UNSTOP", True),
        (TOLL_FREE, "YES", False),
    ],
)
def test_s5_21610_from_stop_until_the_word_that_opens(sender, word, opens):
    caller = a_caller()
    say(caller, "STOP", sender)
    assert caller.create(From=sender)["code"] == 21610
    say(caller, word, sender)
    caller.create(From=sender)
    assert caller.response.status == (201 if opens else 400)
    assert caller.create(to="+12025550144", From=sender)["status"] == "queued"  # no one else is concerned


def test_s5_where_our_service_is_named_a_strangers_stop_holds_for_all_of_it():
    caller = a_caller(services=frozenset({SERVICE}))
    say(caller, "STOP")
    (call,) = later(caller, 0)
    assert dict(call.form)["MessagingServiceSid"] == SERVICE
    assert caller.create(MessagingServiceSid=SERVICE)["code"] == 21610


def test_s5_a_text_accepted_before_stop_still_arrives_and_the_next_is_refused():
    caller = a_caller(sent_after=10.0)
    made = caller.create(body="on its way")
    caller.now += seconds(1)
    say(caller, "STOP")
    assert refused(caller) == 21610
    later(caller, 60)
    assert caller.simulator.find(made["sid"]).status == "delivered"
    assert [one for one in screen(caller) if one[0] in {"phone", "us"}] == [("phone", "STOP"), ("us", "on its way")]


@pytest.mark.parametrize("more", [{}, {"MessagingServiceSid": SERVICE}])
def test_s10_11_stop_first_wins_over_the_text_that_is_just_being_made(more):
    caller = a_caller()
    assert steer(caller, "POST", "/rules", {"fault": "stop_first", "to": PHONE, "times": 1})[0] == 201
    assert caller.create(**more)["code"] == 21610
    assert [call.kind for call in later(caller, 0)] == ["inbound"]
    later(caller, 60)
    assert [by for by, _ in screen(caller)] == ["phone", "twilio"]
    assert caller.simulator.rules[0].times == 0
    assert caller.simulator.created() == []


@pytest.mark.parametrize("more", [{}, {"MessagingServiceSid": SERVICE}])
def test_s10_11_stop_meanwhile_is_too_late_for_the_text_on_the_wire_and_in_time_for_the_next(more):
    caller = a_caller()
    steer(caller, "POST", "/rules", [{"fault": "stop_meanwhile", "times": 1}, {"fault": "hang_after_create"}])
    assert caller.create(body="on the wire", **more)["sid"]
    assert caller.response.transport.how == "hang"  # other stages act as well
    assert caller.create(**more)["code"] == 21610
    later(caller, 60)
    assert [by for by, _ in screen(caller)] == ["phone", "twilio", "us"]
    assert [one.status for one in caller.simulator.created()] == ["delivered"]


def test_s10_11_a_create_that_is_not_processed_meets_no_stop():
    caller = a_caller()
    steer(caller, "POST", "/rules", [{"fault": "stop_first"}, {"fault": "too_many", "times": 1}])
    assert caller.create()["code"] == 20429
    assert screen(caller) == []
    assert caller.simulator.counters["overruled stop_first"] == 1
    caller.create(to=None)
    assert caller.response.status == 400  # no phone, no STOP
    steer(caller, "POST", "/rules", {"fault": "stop_first", "on": "any", "times": 1})
    caller.list(To=PHONE)  # only what is created meets one
    assert caller.simulator.rules[-1].times == 1
    assert caller.create()["code"] == 21610


# Pictures


def test_s6_pictures_are_counted_in_the_webhook_and_in_the_list():
    caller = a_caller()
    status, made = steer(caller, "POST", f"/phones/{PHONE}/texts", {"to": OURS, "body": "", "media": 2})
    assert (status, made["sid"][:2]) == (201, "MM")
    (call,) = later(caller, 0)
    assert read_inbound(call.form) == InboundText(made["sid"], PHONE, OURS, "", None, media=2)
    form = dict(call.form)
    assert (form["NumMedia"], form["MediaContentType1"]) == ("2", "image/jpeg")
    assert form["MediaUrl0"] != form["MediaUrl1"]
    (listed,) = caller.list(To=OURS)["messages"]
    assert (listed["num_media"], listed["direction"], listed["status"]) == ("2", "inbound", "received")
    for wrong in (-1, 11, True, "2"):
        assert steer(caller, "POST", f"/phones/{PHONE}/texts", {"to": OURS, "body": "", "media": wrong})[0] == 400


# Our host is down


def lose(caller, outcome, answer=b""):
    """Let the inbound call and its immediate follow-ups end this way; returns the calls made."""
    made = []
    while calls := later(caller, 0.3):
        for call in calls:
            made.append(call)
            caller.simulator.called(call, outcome if call.kind == "inbound" else 200, caller.now, answer)
    return made


@pytest.mark.parametrize(
    ("outcome", "tries", "code"), [("ct", 2, "11205"), ("rt", 1, "11200"), (503, 1, "11200"), (403, 1, "11200")]
)
def test_s6_a_lost_webhook_brings_the_fallback_once_signed_and_never_the_webhook_again(outcome, tries, code):
    caller = a_caller(fallback_url=FALLBACK)
    sid = say(caller, "are you there?").sid
    twiml = b"<Response><Message>Not read right away. Call or text 988.</Message></Response>"
    made = lose(caller, outcome, twiml)
    assert [call.kind for call in made] == ["inbound"] * tries + ["fallback"]
    form = dict(made[-1].form)
    assert (form["MessageSid"], form["Body"], form["ErrorCode"], form["ErrorUrl"]) == (
        sid,
        "are you there?",
        code,
        INBOUND,
    )
    validator = RequestValidator(caller.simulator.settings.auth_token)
    assert made[-1].url == FALLBACK
    assert validator.validate(FALLBACK, form, made[-1].headers["X-Twilio-Signature"])
    later(caller, 86_400)
    assert screen(caller) == [("phone", "are you there?"), ("twiml", "Not read right away. Call or text 988.")]
    assert caller.simulator.counters["callback tries"] == tries + 1
    assert [one["sid"] for one in caller.list(To=OURS)["messages"]] == [sid]
    assert [entry["kind"] for entry in steer(caller, "GET", "/callbacks")[1]] == ["inbound"] * tries + ["fallback"]


def test_s6_a_fallback_that_is_down_too_leaves_the_text_in_the_list_only():
    caller = a_caller(fallback_url=FALLBACK)
    sid = say(caller, "are you there?").sid
    for _ in range(4):
        for call in later(caller, 1):
            caller.simulator.called(call, 500, caller.now)
    assert [entry.callback.kind for entry in caller.simulator.journal] == ["inbound", "fallback"]
    assert all(entry.lost for entry in caller.simulator.journal)
    assert caller.simulator.next_due_at() is None
    assert [one["sid"] for one in caller.list(To=OURS)["messages"]] == [sid]


def test_s6_without_a_fallback_a_lost_text_is_in_the_list_only():
    caller = a_caller()
    sid = say(caller, "are you there?").sid
    assert [call.kind for call in lose(caller, 500)] == ["inbound"]
    assert later(caller, 86_400) == []
    assert [one["sid"] for one in caller.list(To=OURS)["messages"]] == [sid]
    assert screen(caller) == [("phone", "are you there?")]


def test_s6_an_answer_that_is_no_twiml_counts_as_lost():
    caller = a_caller(fallback_url=FALLBACK)
    say(caller, "hello")
    made = lose(caller, 200, b"<html><p>not well-formed")
    assert [call.kind for call in made] == ["inbound", "fallback"]  # and a fallback that is none ends it
    assert dict(made[-1].form)["ErrorCode"] == "12100"
    assert caller.simulator.counters["twiml unreadable"] == 2


def test_s6_a_twiml_bin_answers_by_itself_and_not_a_phone_that_said_stop():
    caller = a_caller()
    bin_ = "<Response><Message>English: 988</Message><Message>Espa\u00f1ol: 988</Message></Response>"
    assert steer(caller, "POST", "/settings", {"fallback_twiml": bin_})[0] == 200
    say(caller, "help me please")
    lose(caller, "ct")
    later(caller, 5)
    assert screen(caller)[1:] == [("twiml", "English: 988"), ("twiml", "Espa\u00f1ol: 988")]
    say(caller, "STOP")
    say(caller, "help me please")
    lose(caller, "ct")
    later(caller, 5)
    assert [by for by, _ in screen(caller)][3:] == ["phone", "twilio", "phone"]


def test_s6_a_webhook_that_is_taken_brings_no_fallback_and_no_status_callback_does():
    caller = a_caller(fallback_url=FALLBACK, fallback_twiml="<Response><Message>988</Message></Response>")
    say(caller, "hello")
    caller.create(StatusCallback="http://127.0.0.1:8000/sms/status/r")
    made = []
    for _ in range(5):
        for call in later(caller, 1):
            made.append(call.kind)
            caller.simulator.called(call, 200 if call.kind == "inbound" else 500, caller.now, b"<Response/>")
    assert sorted(made) == ["inbound", "status", "status"]
    assert "twiml" not in [by for by, _ in screen(caller)]


def test_s10_7_a_dropped_call_is_never_made_and_brings_no_fallback():
    caller = a_caller(fallback_url=FALLBACK)
    caller.simulator.add_rule(Rule(disorder="dropped", about="received"), NOW)
    say(caller, "hello")
    assert later(caller, 60) == []


# The pager


def test_the_pager_keeps_what_comes_with_its_time():
    caller = a_caller()
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert steer(caller, "POST", "/pager", {"title": "Task 7", "message": "Please look"}) == (200, {})
    caller.now += seconds(900)
    assert steer(caller, "POST", "/pager", urlencode({"title": "Task 7"}).encode(), form) == (200, {})
    assert steer(caller, "POST", "/pager/", b"\xff plain")[0] == 200
    assert steer(caller, "GET", "/pager") == (
        200,
        [
            {"message": {"title": "Task 7", "message": "Please look"}, "at": NOW.isoformat(), "status": 200},
            {"message": {"title": "Task 7"}, "at": caller.now.isoformat(), "status": 200},
            {"message": "\ufffd plain", "at": caller.now.isoformat(), "status": 200},
        ],
    )
    steer(caller, "POST", "/reset")
    assert steer(caller, "GET", "/pager")[1] == []


def test_the_pager_refuses_as_often_as_it_is_told():
    caller = a_caller()
    rule = {"fault": "refuse_page", "times": 2, "status": 503}
    assert steer(caller, "POST", "/rules", rule)[0] == 201
    caller.create()  # it concerns pages only
    assert caller.response.status == 201
    assert [steer(caller, "POST", "/pager", {"n": n})[0] for n in range(3)] == [503, 503, 200]
    assert [one["status"] for one in steer(caller, "GET", "/pager")[1]] == [503, 503, 200]
    assert (caller.simulator.counters["pages"], caller.simulator.counters["fault refuse_page"]) == (3, 2)
    status, answer = steer(caller, "POST", "/rules", {"fault": "refuse_page", "to": PHONE})
    assert (status, answer["problem"].partition(":")[0]) == (400, "refuse_page")


def test_other_faults_leave_the_pager_alone():
    caller = a_caller()
    steer(caller, "POST", "/rules", [{"fault": "suspended"}, {"fault": "error_before_create", "on": "any"}])
    assert steer(caller, "POST", "/pager", {})[0] == 200
