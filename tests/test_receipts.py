from collections import UserDict
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from reminders.sms.receipts import (
    EMPTY_TWIML,
    InboundText,
    Receipt,
    callback_url,
    is_signed,
    read_inbound,
    read_receipt,
)

PUBLIC = "https://reminders.example.org"
PATH = "/sms/status/r3fE?day=1%202&x=a+b"
TOKEN = "12345"
FORM = [
    ("AccountSid", "AC0"),
    ("From", "+15005550006"),
    ("MessageSid", "SM1"),
    ("MessageStatus", "delivered"),
    ("To", "+12025550143"),
    ("MessagingServiceSid", ""),
    ("Body", "  á €  "),
]


class Multi(UserDict):
    def getlist(self, name):
        return self[name]


def sign(url, form, token=TOKEN):
    fields = Multi()
    for name, value in form:
        fields.setdefault(name, []).append(value)
    return RequestValidator(token).compute_signature(url, fields)


GOOD = sign(PUBLIC + PATH, FORM)


def check(**changed):
    asked = {"public_url": PUBLIC, "path_and_query": PATH, "form": FORM, "signature": GOOD, "tokens": [TOKEN]}
    return is_signed(**(asked | changed))


def test_twilios_own_example_is_signed():
    form = [
        ("CallSid", "CA1234567890ABCDE"),
        ("Caller", "+12349013030"),
        ("Digits", "1234"),
        ("From", "+12349013030"),
        ("To", "+18005551212"),
    ]
    assert is_signed(
        public_url="https://example.com",
        path_and_query="/myapp.php?foo=1&bar=2",
        form=form,
        signature="vNe7KK2kJwCsxc9K3OLkkKB3qqI=",
        tokens=["12345"],
    )


def test_a_good_signature_also_in_another_order_of_the_form_and_with_a_slash_after_the_public_url():
    assert check()
    assert check(form=FORM[::-1])
    assert check(public_url=PUBLIC + "/")


@pytest.mark.parametrize(
    "changed",
    [
        {"signature": None},
        {"signature": ""},
        {"signature": GOOD[:-1]},
        {"signature": GOOD + "="},
        {"signature": "é" * len(GOOD)},
        {"tokens": []},
        {"tokens": ["another"]},
        {"public_url": "http://reminders.example.org"},
        {"public_url": "https://reminders.example.com"},
        {"path_and_query": PATH.replace("?", "/?")},
        {"path_and_query": PATH.replace("%20", "+")},
        {"path_and_query": PATH.replace("a+b", "a%20b")},
        {"path_and_query": "/sms/status/r3fE?x=a+b&day=1%202"},
        {"path_and_query": "/sms/status/r3fE"},
        {"path_and_query": PATH + "#rc=5"},
        {"path_and_query": "@example.org" + PATH},
        {"path_and_query": ":no port"},
        {"path_and_query": ""},
        {"form": [one for one in FORM if one[1]]},
        {"form": [(name, value.strip()) for name, value in FORM]},
        {"form": [*FORM, ("Extra", "")]},
        {"form": []},
        {"form": [*FORM, ("Odd", "\udc80")]},
    ],
)
def test_anything_else_than_what_was_signed_is_not_signed(changed):
    assert not check(**changed)


@given(st.integers(0, len(GOOD) - 2), st.integers(1, 127))
def test_one_flipped_byte_is_not_signed(place, flip):
    assert not check(signature=GOOD[:place] + chr(ord(GOOD[place]) ^ flip) + GOOD[place + 1 :])


def test_two_tokens_are_good_while_one_is_rotated():
    assert check(tokens=["the next one", TOKEN])
    assert check(tokens=[TOKEN, "the next one"])


def test_twilio_may_sign_with_the_standard_port_or_without():
    with_port = sign(PUBLIC + ":443" + PATH, FORM)
    assert check(signature=with_port)
    assert check(public_url=PUBLIC + ":443")
    assert check(public_url=PUBLIC + ":8443")
    assert not check(signature=sign(PUBLIC + ":8443" + PATH, FORM))


def test_the_host_of_the_request_has_no_say():
    assert not check(signature=sign("https://attacker.example.net" + PATH, FORM))


def test_a_callback_of_ours_is_signed_without_its_fragment():
    url, _, fragment = callback_url(PUBLIC + "/", "r3fE").partition("#")
    assert url == PUBLIC + "/sms/status/r3fE"
    assert fragment == "rc=5&rp=all&ct=2000&rt=3000"
    assert check(path_and_query="/sms/status/r3fE", signature=sign(url, FORM))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
FORMS = st.lists(st.tuples(TEXTS, TEXTS), max_size=8)


@given(FORMS, st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3), TEXTS)
def test_any_form_signed_by_twilios_validator_is_signed(form, query, token):
    path = "/sms/inbound?" + urlencode(query)
    asked = {"public_url": PUBLIC, "path_and_query": path, "tokens": [token]}
    assert is_signed(form=form, signature=sign(PUBLIC + path, form, token), **asked)
    over_the_wire = parse_qsl(urlencode(form), keep_blank_values=True)
    assert is_signed(form=over_the_wire, signature=sign(PUBLIC + path, form, token), **asked)
    assert not is_signed(form=[*form, ("Added", "x")], signature=sign(PUBLIC + path, form, token), **asked)


def test_a_repeated_parameter_counts_with_each_of_its_values():
    form = [*FORM, ("MediaUrl", "b"), ("MediaUrl", "a")]
    assert check(form=form, signature=sign(PUBLIC + PATH, form))
    assert not check(form=form[:-1], signature=sign(PUBLIC + PATH, form))


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (FORM, Receipt("delivered", 0, "SM1")),
        ([("SmsSid", "SM1"), ("SmsStatus", "sent")], Receipt("sent", 0, "SM1")),
        (
            [("MessageSid", "SM1"), ("MessageStatus", "undelivered"), ("ErrorCode", "30003"), ("New", "x")],
            Receipt("undelivered", 30003, "SM1"),
        ),
        ([("MessageSid", "SM1"), ("MessageStatus", "sent"), ("ErrorCode", "")], Receipt("sent", 0, "SM1")),
        ([("MessageSid", "SM1"), ("MessageStatus", "sent"), ("ErrorCode", "none")], Receipt("sent", 0, "SM1")),
        ([("MessageSid", "SM1"), ("MessageStatus", "sent"), ("ErrorCode", "-1")], Receipt("sent", 0, "SM1")),
        ([("MessageSid", "SM1"), ("MessageStatus", "sent"), ("ErrorCode", "٣")], Receipt("sent", 0, "SM1")),
        ([("MessageSid", "SM1"), ("MessageStatus", "sent"), ("ErrorCode", "9" * 5000)], Receipt("sent", 0, "SM1")),
        ([("MessageSid", "SM1"), ("MessageStatus", "teleported")], Receipt("teleported", 0, "SM1")),
        ([("MessageSid", "SM1"), ("MessageSid", "SM2"), ("MessageStatus", "sent")], Receipt("sent", 0, "SM1")),
        ([("MessageSid", "SM1")], None),
        ([("MessageStatus", "sent")], None),
        ([("MessageSid", ""), ("MessageStatus", "sent")], None),
        ([], None),
    ],
)
def test_a_receipt_is_read_whatever_comes_with_it(form, expected):
    assert read_receipt(form) == expected


@given(FORMS)
def test_no_form_makes_the_reading_fail(form):
    assert read_receipt([*form, ("MessageSid", "SM1"), ("MessageStatus", "sent")]) is not None
    read_inbound(form)


def test_an_inbound_text_keeps_its_body_as_it_came():
    form = [("MessageSid", "SM1"), ("From", "+12025550143"), ("To", "+15005550006"), ("Body", " Stop. \n")]
    assert read_inbound(form) == InboundText("SM1", "+12025550143", "+15005550006", " Stop. \n", None)
    assert read_inbound([*form, ("OptOutType", "STOP")]).opt_out_type == "STOP"
    assert read_inbound([*form, ("OptOutType", "")]).opt_out_type is None
    assert read_inbound(form[:2]) == InboundText("SM1", "+12025550143", "", "", None)
    assert "2025550143" not in repr(read_inbound(form))
    assert "Stop" not in repr(read_inbound(form))


@pytest.mark.parametrize("form", [[], [("MessageSid", "SM1")], [("From", "+12025550143")]])
def test_what_names_no_message_or_no_sender_is_no_inbound_text(form):
    assert read_inbound(form) is None


def test_the_answer_to_an_inbound_text_says_nothing():
    assert EMPTY_TWIML == '<?xml version="1.0" encoding="UTF-8"?><Response />'
