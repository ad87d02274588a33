"""SEC-2: a signature does not show where a name ends, so a form is accepted only if Twilio can have sent it."""

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from people import document, one_off
from web_caller import Caller, signature

from reminders import clock
from reminders.service import planning
from reminders.sms.receipts import is_legal
from reminders.store.database import schema

PHONE, SENDER, ACCOUNT = "+12025550143", "+15005550006", "AC" + "0" * 32


def inbound(body: str, sid: str = "SM" + "1" * 32, **more: str) -> dict[str, str]:
    """An inbound text's form, as Twilio documents it."""
    return {
        "AccountSid": ACCOUNT,
        "ApiVersion": "2010-04-01",
        "Body": body,
        "From": PHONE,
        "FromCity": "WASHINGTON",
        "FromCountry": "US",
        "FromState": "DC",
        "FromZip": "20001",
        "MessageSid": sid,
        "MessagingServiceSid": "MG" + "a" * 32,
        "NumMedia": "0",
        "NumSegments": "1",
        "SmsMessageSid": sid,
        "SmsSid": sid,
        "SmsStatus": "received",
        "To": SENDER,
        "ToCity": "",
        "ToCountry": "US",
        "ToState": "",
        "ToZip": "",
        **more,
    }


def status(word: str = "undelivered", sid: str = "SM" + "a" * 32) -> dict[str, str]:
    """A status callback's form, as Twilio documents it."""
    return {
        "AccountSid": ACCOUNT,
        "ApiVersion": "2010-04-01",
        "ErrorCode": "30003",
        "From": SENDER,
        "MessageSid": sid,
        "MessageStatus": word,
        "MessagingServiceSid": "MG" + "a" * 32,
        "RawDlrDoneDate": "2611301005",
        "SmsSid": sid,
        "SmsStatus": word,
        "To": PHONE,
    }


def opted_out(context) -> list[bool]:
    query = sa.select(schema.numbers.c.opted_out_at).order_by(schema.numbers.c.id)
    return [row[0] is not None for row in context.database.read(lambda tx: tx.all(query))]


def test_s2_a_start_that_is_sent_again_with_a_byte_moved_does_not_undo_a_stop(context, travel):
    planning.accept(context, document(series=[one_off("v", "2026-12-03T15:00:00")]), clock.now(), who="test")
    caller = Caller(context)
    form = inbound("START", "SM" + "1" * 31 + "e")
    start = {name: value for name, value in form.items() if not name.startswith(("Num", "Sms", "To"))} | {"To": SENDER}
    assert caller.twilio("/sms/inbound", **start).status_code == 200
    assert caller.twilio("/sms/inbound", **inbound("STOP", "SM" + "2" * 32)).status_code == 200
    assert opted_out(context) == [True]
    path = "/sms/inbound"
    signed = signature(context.settings.web.public_url + path, start.items())
    moved = start | {"MessageSid": start["MessageSid"][:-1]}
    moved[start["MessageSid"][-1] + "MessagingServiceSid"] = moved.pop("MessagingServiceSid")
    moved["To"] = moved.pop("To")
    assert "".join(name + value for name, value in sorted(start.items())) == "".join(
        name + value for name, value in moved.items()
    )
    assert caller.post(path, list(moved.items()), signed).status_code == 403
    assert caller.post(path, list(start.items()), signed).status_code == 200  # the very same: nothing new
    assert opted_out(context) == [True]


@pytest.mark.parametrize(
    "changes",
    [
        {"AccountSid": "AC" + "1" * 32},
        {"AccountSid": ""},
        {"MessageSid": "SM1"},
        {"MessageSid": "SM" + "A" * 32},
        {"MessageSid": "SM" + "1" * 32 + "\n"},
        {"From": "2025550143"},
        {"From": "+1 202 555 0143"},
        {"From": ""},
        {"To": "someone"},
        {"SmsSid": "SM" + "2" * 32},
        {"eMessagingServiceSid": "x"},
        {"Body_Of text": "x"},
        {"": "x"},
        {"NumMedia": "-1"},
        {"OptOutType": "STARTLE"},
        {"Body": "SToFrom+12025550199MessageSidSM" + "3" * 32},
    ],
)
def test_s2_what_twilio_cannot_send_is_refused_although_it_is_signed(context, changes):
    caller = Caller(context)
    form = inbound("START") | changes
    assert caller.twilio("/sms/inbound", **form).status_code == 403
    assert context.database.read(lambda tx: tx.value(sa.select(sa.func.count()).select_from(schema.replies))) == 0


def test_s2_no_name_comes_twice(context):
    caller, path = Caller(context), "/sms/inbound"
    form = [*inbound("STOP").items(), ("Body", "START")]
    signed = signature(context.settings.web.public_url + path, form)
    assert caller.post(path, form, signed).status_code == 403


@pytest.mark.parametrize(
    "changes",
    [
        {"AccountSid": "AC" + "1" * 32},
        {"MessageSid": "SM1"},
        {"MessageStatus": "Delivered"},
        {"MessageStatus": ""},
        {"ErrorCode": "30003x"},
        {"SmsStatus": "sent"},
        {"From": "+"},
    ],
)
def test_s2_a_status_callback_of_another_shape_is_refused(context, changes):
    assert Caller(context).twilio("/sms/status/some-ref", **(status() | changes)).status_code == 403
    assert Caller(context).twilio("/sms/status/some-ref", **status()).status_code == 204


def test_s2_the_forms_that_twilio_documents_and_new_parameters_are_taken():
    for form, of in (
        (inbound("May I come At Four? To 5"), "inbound"),
        (status(), "status"),
        (status("read"), "status"),
    ):
        assert is_legal(list(form.items()), account_sid=ACCOUNT, of=of)
        more = form | {"ChannelMetadata": '{"type": "rcs"}', "MessageStatusReason": "none", "Zone": "us1"}
        assert is_legal(list(more.items()), account_sid=ACCOUNT, of=of)
    short = inbound("hello", From="72345", To="72346", OptOutType="STOP")
    media = inbound("", NumMedia="1", MediaUrl0="https://api.twilio.com/x", MediaContentType0="image/jpeg")
    for form in (short, media):
        assert is_legal(list(form.items()), account_sid=ACCOUNT, of="inbound")


WORDS = st.one_of(
    st.text(max_size=80),
    st.sampled_from(["START", "STOP", "I will be there", "Call Me At Home", "to From+12025550100", "MessageSid"]),
)


def test_s2_a_name_that_is_cut_off_is_refused():
    """`SmsSid` and its value, cut into two parameters that Twilio does not use."""
    form = [pair for pair in sorted(status().items()) if pair[0] != "SmsSid"]
    assert is_legal(form, account_sid=ACCOUNT, of="status")
    again = sorted([*form, ("S", "ms"), ("Si", "dSM" + "a" * 32)])
    assert not is_legal(again, account_sid=ACCOUNT, of="status")
    grown = {name: value for name, value in inbound("").items() if name != "NumMedia"} | {"MediaContentType0S": "TART"}
    assert not is_legal(list(grown.items()), account_sid=ACCOUNT, of="inbound")
    torn = inbound("") | {"ToState": "To", "Zip": ""}
    assert not is_legal([pair for pair in torn.items() if pair[0] != "ToZip"], account_sid=ACCOUNT, of="inbound")
    assert is_legal([*inbound("").items(), ("Zip", "")], account_sid=ACCOUNT, of="inbound")  # a name that is new
    for of, form, name in (
        ("inbound", inbound("hello"), "ChannelMetadata"),
        *(("status", status(), name) for name in ("ChannelStatusMessage", "EventType", "MessageStatusReason")),
    ):
        for value in ("", "none"):
            assert is_legal([*form.items(), (name, value)], account_sid=ACCOUNT, of=of)
            for cut in (-6, -1):
                moved = (name[:cut], name[cut:] + value)
                assert not is_legal([*form.items(), moved], account_sid=ACCOUNT, of=of), moved


@settings(max_examples=400, suppress_health_check=list(HealthCheck))
@given(body=WORDS, data=st.data())
def test_s2_no_form_read_in_another_way_from_the_same_signed_bytes_is_taken(body, data):
    """Cut names and values differently, so that the joined text and its order, which Twilio signs, stay the same."""
    kind = data.draw(st.sampled_from(["inbound", "status"]))
    genuine = (
        inbound(body) if kind == "inbound" else status(data.draw(st.sampled_from(["sent", "delivered", "failed"])))
    )
    pairs = sorted(genuine.items())
    where = data.draw(st.integers(0, len(pairs) - 1))
    many = data.draw(st.integers(1, 4))
    joined = "".join(name + value for name, value in pairs[where : where + many])
    parts = data.draw(st.integers(1, many + 1))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(joined)), min_size=2 * parts - 1, max_size=2 * parts - 1)))
    pieces = [joined[start:end] for start, end in zip([0, *cuts], [*cuts, len(joined)], strict=True)]
    again = [*pairs[:where], *zip(pieces[::2], pieces[1::2], strict=True), *pairs[where + many :]]
    if again == pairs or "".join(n + v for n, v in sorted(again)) != "".join(n + v for n, v in pairs):
        return
    taken = is_legal(again, account_sid=ACCOUNT, of=kind)
    assert not taken, [one for one in again if one not in pairs]
