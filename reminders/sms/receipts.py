# The SDK's validator and TwiML have no annotations:
# mypy: allow-untyped-calls
"""What Twilio sends us: status callbacks and inbound texts, with the check that it was Twilio
(docs/twilio.md 2.2, 2.3, 6).
"""

import re
from collections import UserDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse

Form = Sequence[tuple[str, str]]
"""A decoded form in its original order, with blank values and repeated names."""

EMPTY_TWIML = str(MessagingResponse())
"""The response to every inbound text: Twilio sends nothing back, since our answers go through the queue."""


def callback_url(public_url: str, ref: str) -> str:
    """The address for Twilio's reports on an attempt; `public_url` has scheme and host, `ref` is the attempt's.

    The fragment is for Twilio alone, never sent and never signed. It asks for five retries after any failure, each with
    2 s to connect and 3 s to answer. Without it a callback that fails once is lost (docs/twilio.md 2.2).
    """
    return f"{public_url.rstrip('/')}/sms/status/{ref}#rc=5&rp=all&ct=2000&rt=3000"


class _Fields(UserDict[str, list[str]]):
    """A form in the type that the SDK's validator needs for repeated names."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def is_signed(
    *, public_url: str, path_and_query: str, form: Form, signature: str | None, tokens: Sequence[str]
) -> bool:
    """Whether one of our auth tokens signed this request (X-Twilio-Signature, HMAC-SHA1, constant time).

    `public_url` is the configured one, since anyone can forge a request's host. `path_and_query` is raw, as on the
    request line; `form` must keep blank values. There are several `tokens` during a rotation. It never raises. A
    signature has no time and can be replayed, so anything that acts on the form must be idempotent.
    """
    if not signature or not path_and_query.startswith("/"):
        return False
    fields = _Fields()
    for name, value in form:
        fields.setdefault(name, []).append(value)
    url = public_url.rstrip("/") + path_and_query
    try:
        return any(RequestValidator(token).validate(url, fields, signature) for token in tokens)
    except UnicodeEncodeError:  # bytes that are not UTF-8; Twilio signs no such form
        return False


# Twilio signs names and values joined without separators. So the signature still holds if a letter moves between a name
# and its value, or if one value swallows its neighbors. We accept a form only if it cannot be read in another way. The
# check includes the patient's own words (Body); if it wrongly refuses a text, the `poll` job finds it in Twilio's list.
_SID = "(?:SM|MM)[0-9a-f]{32}"
_PHONE = r"\+[1-9][0-9]{6,14}|[1-9][0-9]{2,7}"
_COUNT = "[0-9]{1,4}"
_SHAPES = {
    name: re.compile(shape)
    for name, shape in {
        "AccountSid": "AC[0-9a-f]{32}",
        "ApiVersion": r"[0-9]{4}-[0-9]{2}-[0-9]{2}",
        "ErrorCode": "(?:[0-9]{1,6})?",
        "From": f"{_PHONE}|MG[0-9a-f]{{32}}",
        "FromCountry": "(?:[A-Z]{2})?",
        "FromZip": "[A-Za-z0-9 -]{0,12}",
        "MessageSid": _SID,
        "MessageStatus": "[a-z]+(?:[_-][a-z]+)*",
        "MessagingServiceSid": "(?:MG[0-9a-f]{32})?",
        "NumMedia": _COUNT,
        "NumSegments": _COUNT,
        "OptOutType": "(?:STOP|START|HELP)?",
        "OriginalRepliedMessageSid": _SID,
        "RawDlrDoneDate": "[0-9]{0,14}",
        "SmsMessageSid": _SID,
        "SmsSid": _SID,
        "SmsStatus": "[a-z]+(?:[_-][a-z]+)*",
        "To": _PHONE,
        "ToCountry": "(?:[A-Z]{2})?",
        "ToZip": "[A-Za-z0-9 -]{0,12}",
    }.items()
}
_FREE = {
    *("Body", "FromCity", "FromState", "ToCity", "ToState", "ErrorMessage", "ErrorUrl", "EventType"),
    *("ChannelInstallSid", "ChannelMetadata", "ChannelPrefix", "ChannelStatusMessage", "MessageStatusReason"),
}
_NAME = re.compile(r"[A-Z][A-Za-z0-9_]{0,99}")
# A new parameter right after someone's words must have a name of several words, as nearly all do: otherwise a word with
# a capital letter could be cut off the end of a text.
_SEVERAL = re.compile(r"(?:[A-Z][a-z0-9]+){2,8}")
_WORDS = {"inbound": "Body", "status": "ErrorMessage"}
_KNOWN = sorted({*_SHAPES, *_FREE, "MediaUrl", "MediaContentType"}, key=len, reverse=True)
_SEVERAL_WORDS = [name for name in _KNOWN if len(re.findall(r"[A-Z]", name)) > 1]
_SWALLOWED = re.compile(
    "|".join(_SEVERAL_WORDS) + rf"|From(?:{_PHONE}|MG[0-9a-f]{{32}})|To(?:{_PHONE})|Body(?=[A-Z])", re.ASCII
)
_MEDIUM = re.compile(r"Media(?:Url|ContentType)[0-9]")
_NEEDED = {"status": ("MessageSid", "MessageStatus"), "inbound": ("MessageSid", "From", "To", "Body")}


def is_legal(form: Form, *, account_sid: str, of: str) -> bool:
    """Whether Twilio can have sent this form for our account; `of` is `status` (a callback) or `inbound` (a text).

    Every name must be one that Twilio uses, and none may come twice; every value must have its parameter's form, and
    none may contain another parameter. A form with only our account comes from `doctor`, which tests the webhook.
    """
    values = dict(form)
    if len(values) != len(form) or values.get("AccountSid") != account_sid:
        return False
    if list(values) == ["AccountSid"]:
        return True
    if any(name not in values for name in _NEEDED[of]):
        return False
    if any(values.get(name, values["MessageSid"]) != values["MessageSid"] for name in ("SmsSid", "SmsMessageSid")):
        return False
    if of == "status" and values.get("SmsStatus", values["MessageStatus"]) != values["MessageStatus"]:
        return False
    if any(_is_torn(before, name) for (_, before), (name, _) in pairwise(sorted(form))):
        return False
    words = _WORDS[of] if _WORDS[of] in values else "From"
    return all(
        _is_legal(name, value) and (_is_known(name) or not words < name < "From" or bool(_SEVERAL.fullmatch(name)))
        for name, value in form
    )


def _is_torn(before: str, name: str) -> bool:
    """Whether a name is the end of a known one, and the value before it in signing order ends with its beginning."""
    return not _is_known(name) and any(
        known.endswith(name) and before.endswith(known.removesuffix(name)) for known in _KNOWN
    )


def _is_known(name: str) -> bool:
    return name in _SHAPES or name in _FREE or _MEDIUM.fullmatch(name) is not None


def _is_legal(name: str, value: str) -> bool:
    shape = _SHAPES.get(name)
    if shape is not None:
        return shape.fullmatch(value) is not None
    if _SWALLOWED.search(value):
        return False
    if _is_known(name):
        return True
    is_cut_off = any(known.startswith(name) for known in _KNOWN)  # the rest of that name is in a value
    has_grown = _MEDIUM.match(name) is not None  # a numbered name with the beginning of its value
    return _NAME.fullmatch(name) is not None and not is_cut_off and not has_grown and not _is_run_together(name + value)


def _is_run_together(joined: str) -> bool:
    """Whether known parameters, joined with possible values, were sent as the name of another parameter."""
    return _SWALLOWED.search(joined, 1) is not None or any(
        joined.startswith(name) and (name in _FREE or _SHAPES[name].fullmatch(joined, len(name)) is not None)
        for name in (*_SHAPES, *_FREE)
    )


@dataclass(frozen=True, slots=True)
class Receipt:
    """One status callback: Twilio's status unchanged, the error code (0: none), Twilio's sid."""

    status: str
    error_code: int
    sid: str


def read_receipt(form: Form) -> Receipt | None:
    """The receipt in a status callback's form; None if it names no message or no status.

    Twilio adds parameters and statuses without notice. We skip an unknown parameter and keep an unknown status. An
    error code that is absent, blank or not a number is 0.
    """
    values = _first_of_each(form)
    sid = values.get("MessageSid") or values.get("SmsSid")
    status = values.get("MessageStatus") or values.get("SmsStatus")
    if not sid or not status:
        return None
    return Receipt(status=status, error_code=count_of(values.get("ErrorCode")), sid=sid)


@dataclass(frozen=True, slots=True)
class InboundText:
    """A text someone sent us.

    `opt_out_type` is STOP, START or HELP if the webhook says that Advanced Opt-Out has already answered, else None.
    `media` is the number of pictures and files. `sent_at` is when Twilio got it (UTC, to the second) if it comes from
    Twilio's list, and None from a webhook, which does not say.
    """

    sid: str
    sender: str = field(repr=False)
    to: str
    body: str = field(repr=False)
    opt_out_type: str | None
    sent_at: datetime | None = None
    media: int = 0


def read_inbound(form: Form) -> InboundText | None:
    """The text in an inbound webhook's form, with its body unchanged; None if it names no message or no sender."""
    values = _first_of_each(form)
    sid = values.get("MessageSid") or values.get("SmsSid")
    sender = values.get("From")
    if not sid or not sender:
        return None
    return InboundText(
        sid=sid,
        sender=sender,
        to=values.get("To", ""),
        body=values.get("Body", ""),
        opt_out_type=values.get("OptOutType") or None,
        media=count_of(values.get("NumMedia")),
    )


def count_of(number: object) -> int:
    """A count in Twilio's form, a string; 0 for anything else."""
    return int(number) if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 10 else 0


def _first_of_each(form: Form) -> dict[str, str]:
    return dict(reversed(form))
