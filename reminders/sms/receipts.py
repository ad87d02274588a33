# The SDK's validator and TwiML have no annotations:
# mypy: allow-untyped-calls
"""What Twilio sends us: status callbacks and inbound texts; and whether it was Twilio (twilio.md §2.2, §2.3, §6)."""

from collections import UserDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse

Form = Sequence[tuple[str, str]]
"""A decoded form in the order it came, blank values and repeated names kept."""

EMPTY_TWIML = str(MessagingResponse())
"""The answer to every inbound text: Twilio says nothing back, our own answers go through the queue."""


def callback_url(public_url: str, ref: str) -> str:
    """The address Twilio is asked to report an attempt to; `public_url` has scheme and host, `ref` is the attempt's.

    The fragment is for Twilio alone, never sent and never signed: five retries, whatever went wrong, each with 2 s to
    connect and 3 s to answer. Without it a callback we fail to take once is lost (twilio.md §2.2).
    """
    return f"{public_url.rstrip('/')}/sms/status/{ref}#rc=5&rp=all&ct=2000&rt=3000"


class _Fields(UserDict[str, list[str]]):
    """A form as the SDK's validator reads one with repeated names."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def is_signed(
    *, public_url: str, path_and_query: str, form: Form, signature: str | None, tokens: Sequence[str]
) -> bool:
    """Whether one of our auth tokens signed this request (X-Twilio-Signature, HMAC-SHA1, constant time).

    `public_url` is the configured one: what the request says of its host is anybody's. `path_and_query` are raw, as on
    the request line; `form` must keep blank values. `tokens` are several while one is being rotated. Never raises.
    A signature carries no time and can be replayed: whoever acts on the form must be idempotent.
    """
    if not signature or not path_and_query.startswith("/"):
        return False
    fields = _Fields()
    for name, value in form:
        fields.setdefault(name, []).append(value)
    url = public_url.rstrip("/") + path_and_query
    try:
        return any(RequestValidator(token).validate(url, fields, signature) for token in tokens)
    except UnicodeEncodeError:  # bytes that are no UTF-8: Twilio signs none such
        return False


@dataclass(frozen=True, slots=True)
class Receipt:
    """One status callback: Twilio's word for the status as it came, the error code (0: none), Twilio's sid."""

    status: str
    error_code: int
    sid: str


def read_receipt(form: Form) -> Receipt | None:
    """The receipt in a status callback's form; None if it names no message or no status.

    Twilio adds parameters and words without notice: unknown parameters are passed over, an unknown status is kept as
    it is, an error code that is absent, blank or no number is 0.
    """
    values = _first_of_each(form)
    sid = values.get("MessageSid") or values.get("SmsSid")
    status = values.get("MessageStatus") or values.get("SmsStatus")
    if not sid or not status:
        return None
    return Receipt(status=status, error_code=count_of(values.get("ErrorCode")), sid=sid)


@dataclass(frozen=True, slots=True)
class InboundText:
    """A text somebody sent us.

    `opt_out_type` is STOP, START or HELP where the webhook says that Advanced Opt-Out has answered already, else None;
    `media` counts the pictures and files with it. `sent_at` is when Twilio got it (UTC, to the second) where it stands
    in Twilio's list, None from a webhook, which does not say.
    """

    sid: str
    sender: str = field(repr=False)
    to: str
    body: str = field(repr=False)
    opt_out_type: str | None
    sent_at: datetime | None = None
    media: int = 0


def read_inbound(form: Form) -> InboundText | None:
    """The text in an inbound webhook's form, its body as it came; None if it names no message or no sender."""
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
    """A count as Twilio writes one, in a string; 0 for anything else."""
    return int(number) if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 10 else 0


def _first_of_each(form: Form) -> dict[str, str]:
    return dict(reversed(form))
