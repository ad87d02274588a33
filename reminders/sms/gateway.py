# The SDK's client has no annotations:
# mypy: allow-untyped-calls
"""Our side of Twilio's REST API: send a text, look for one, fetch one. The only user of the SDK's client.

What Twilio and the network do comes back as a value (DESIGN: rules of data, 3). Whether a text was taken is read
from the answer on the wire, before the SDK interprets it: an SDK exception may carry a status that stands in the body
(RFC 9457) and not the one of the response.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from twilio.base.page import Page
from twilio.http.response import Response
from twilio.rest import Client
from twilio.rest.api.v2010.account.message import MessageInstance

from reminders.sms.receipts import callback_url
from reminders.sms.transport import CurlTransport, MaybeSent, NotSent, is_loopback

_log = logging.getLogger(__name__)

_TWILIO = "https://api.twilio.com"
_A_SID = re.compile(r"(SM|MM)[0-9A-Za-z]{1,62}")
_A_REF = re.compile(r"[0-9A-Za-z_-]+")
_PAGE = 100
_PAGES = 10


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One text to hand to Twilio.

    `to` is E.164; `ref` is the attempt's, unguessable and safe in a URL; `sender` is E.164 or a messaging service
    (MG…); `valid_for` are the seconds Twilio may hold it in its queue before it is useless, cut to 1..36000.
    """

    to: str = field(repr=False)
    body: str = field(repr=False)
    ref: str
    sender: str
    valid_for: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """Twilio took it: its sid, its status now (queued, accepted …), the segments where it knows them already."""

    sid: str
    status: str
    segments: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """Certainly not taken: Twilio's error code and the HTTP status.

    Or the connection carried nothing: code 0, no status, and `what` is "no connection".
    """

    code: int
    http: int | None
    what: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been taken. `what` is short and fixed: "timeout", "reset", "http 503", "not json", "no sid" …"""

    what: str


Answer = Accepted | Refused | Unknown


@dataclass(frozen=True, slots=True)
class Seen:
    """A message as Twilio holds it.

    `sender` is the messaging service where one was used, else the number; `created_at` is UTC, to the second.
    """

    sid: str
    to: str = field(repr=False)
    sender: str
    body: str = field(repr=False)
    status: str
    error_code: int | None
    created_at: datetime
    segments: int | None


class Unreachable(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it names a state of the world
    """Twilio could not be asked, or its answer proves nothing. The text is short and fixed, without personal data."""


class _Answered(Exception):  # ruff: ignore[error-suffix-on-exception-name]  how such an answer leaves the SDK
    """Twilio, or somebody on the way to it, answered with this HTTP status, and with this Twilio code if it had one."""

    def __init__(self, http: int, code: int | None) -> None:
        super().__init__(f"http {http}")
        self.http = http
        self.code = code


class _Line(CurlTransport):
    """The transport with the judgement above it: the SDK sees successes only, and only its own address is asked."""

    def __init__(self, base_url: str, *, deadline: float, in_flight: int, live: bool) -> None:
        super().__init__(deadline=deadline, connections=in_flight, loopback_only=not live)
        self._base_url = base_url

    async def request(  # type: ignore[override]  # ruff: ignore[too-many-positional-arguments]  the SDK's own shape
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # ruff: ignore[async-function-with-timeout]  libcurl keeps the time
        allow_redirects: bool = False,  # ruff: ignore[boolean-type-hint-positional-argument, boolean-default-value-positional-argument]
    ) -> Response:
        if not url.startswith(self._base_url + "/"):  # a next page could point anywhere, and take our key along
            raise ValueError("not an address below the base URL")
        response = await super().request(method, url, params, data, headers, auth, timeout, allow_redirects)
        if not 200 <= response.status_code < 300:
            raise _Answered(response.status_code, _twilio_code(response.text))
        return response


class Gateway:
    """Twilio, for one account.

    Takes the account's sid and its auth token, or an API key with its secret to sign in with instead; the `base_url` to
    call while not `live` (it must be on loopback: ValueError otherwise); the `public_url` that callbacks are built
    from; the total `deadline` of a request in seconds; how many texts are `in_flight` at most. With `live` the address
    is Twilio's own, whatever else is said. Belongs to the event loop of its first call.
    """

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        api_key: str | None = None,
        api_secret: str | None = None,
        base_url: str | None,
        public_url: str,
        live: bool,
        deadline: float,
        in_flight: int,
    ) -> None:
        if (api_key is None) != (api_secret is None):
            raise ValueError("an API key and its secret come together")
        address = _TWILIO if live else (base_url or "").rstrip("/")
        if not live and not (is_loopback(address) and urlsplit(address).scheme in {"http", "https"}):
            raise ValueError("while twilio.live is false, twilio.api_base_url must be on this machine (loopback)")
        self._public_url = public_url
        self._line = _Line(address, deadline=deadline, in_flight=in_flight, live=live)
        client = Client(
            api_key or account_sid, api_secret or auth_token, account_sid=account_sid, http_client=self._line
        )
        client.region = client.edge = None  # else TWILIO_REGION and TWILIO_EDGE rewrite the address
        client.api.base_url = address
        self._messages = client.messages

    async def send(self, text: Outgoing) -> Answer:
        """Hand one text to Twilio, once, and say what is known of it (twilio.md §1.4).

        Never raises for anything Twilio or the network does; ValueError for a `ref` that cannot stand in a URL.
        """
        if not _A_REF.fullmatch(text.ref):
            raise ValueError("a ref is made of letters, digits, _ and -")
        sender = "messaging_service_sid" if text.sender.startswith("MG") else "from_"
        try:
            message = await self._messages.create_async(
                to=text.to,
                body=text.body,
                status_callback=callback_url(self._public_url, text.ref),
                validity_period=max(1, min(36_000, text.valid_for)),
                **{sender: text.sender},
            )
        except NotSent as wire:
            _log.warning("no connection to Twilio: %s", wire.why)
            return Refused(0, None, "no connection")
        except MaybeSent as wire:
            return Unknown(wire.why)
        except _Answered as answer:
            return _refusal(answer)
        except json.JSONDecodeError:
            return Unknown("not json")
        except Exception as error:  # ruff: ignore[blind-except]  whatever the SDK made of the answer, it may be taken
            _log.warning("an answer of Twilio could not be read: %s", type(error).__name__)
            return Unknown("unreadable")
        if not (isinstance(message.sid, str) and _A_SID.fullmatch(message.sid)):
            return Unknown("no sid")
        return Accepted(message.sid, str(message.status or ""), _segments(message.num_segments))

    async def find(self, to: str, *, since: datetime) -> list[Seen]:
        """The messages to that number (E.164) created at `since` or later, newest first, sent or not.

        It can prove that a text was taken, never that it was not: Twilio's list lags, at times by hours (twilio.md
        §2.5). `since` must be aware. No filter on DateSent, which hides what still waits in the queue. Raises
        Unreachable, also when the list does not end.
        """
        if since.tzinfo is None:
            raise ValueError("since must be aware")
        since = since.replace(microsecond=0)  # Twilio writes seconds: 10:00:00.9 is in its list as 10:00:00
        found: list[Seen] = []
        try:
            page: Page | None = await self._messages.page_async(to=to, page_size=_PAGE)
            for _ in range(_PAGES):
                seen = [_seen(message) for message in page or ()]
                fresh = [one for one in seen if one.created_at >= since]
                found += fresh
                if page is None or not fresh:
                    return sorted(found, key=lambda one: one.created_at, reverse=True)
                page = await page.next_page_async()
        except Exception as error:  # ruff: ignore[blind-except]  nothing unread may pass for an empty list
            raise _unreachable(error) from None  # the chain would show the URL, and with it the number
        raise Unreachable("the list does not end")

    async def fetch(self, sid: str) -> Seen | None:
        """The message with this sid as it stands now; None if Twilio says there is none. Raises Unreachable."""
        if not _A_SID.fullmatch(sid):
            raise ValueError("not a message sid")
        try:
            return _seen(await self._messages(sid).fetch_async())
        except Exception as error:  # ruff: ignore[blind-except]  nothing unread may pass for an absent message
            if isinstance(error, _Answered) and error.http == 404 and error.code is not None:
                return None  # without a code the 404 would be somebody else's page
            raise _unreachable(error) from None

    async def close(self) -> None:
        """Close the connections. A send still under way answers Unknown, or Refused 0 if nothing of it was written."""
        await self._line.close()


def _refusal(answer: _Answered) -> Refused | Unknown:
    """A refusal is certain where Twilio says so itself: 4xx with a code. A bare 429 would be a proxy's page."""
    if answer.code is not None and 400 <= answer.http < 500:
        return Refused(answer.code, answer.http)
    return Unknown(f"http {answer.http}")


def _twilio_code(text: str) -> int | None:
    """Twilio's own error code in a JSON body, old style or RFC 9457; it has five digits, unlike an HTTP status."""
    try:
        code = json.loads(text)["code"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return code if type(code) is int and 10_000 <= code <= 99_999 else None


def _segments(count: object) -> int | None:
    """`num_segments` is a string, and "0" until a messaging service has chosen a sender."""
    return int(count) or None if isinstance(count, str) and count.isascii() and count.isdigit() else None


def _seen(message: MessageInstance) -> Seen:
    if not (message.sid and message.to and message.date_created):
        raise ValueError("a message without sid, to or date_created")
    return Seen(
        sid=message.sid,
        to=message.to,
        sender=message.messaging_service_sid or message.from_ or "",
        body=message.body or "",
        status=str(message.status or ""),
        error_code=message.error_code if isinstance(message.error_code, int) else None,
        created_at=message.date_created.astimezone(UTC),
        segments=_segments(message.num_segments),
    )


def _unreachable(error: Exception) -> Unreachable:
    match error:
        case NotSent() | MaybeSent():
            return Unreachable(error.why)
        case _Answered():
            return Unreachable(f"http {error.http}" + (f" code {error.code}" if error.code else ""))
        case json.JSONDecodeError():
            return Unreachable("not json")
        case _:
            _log.warning("an answer of Twilio could not be read: %s", type(error).__name__)
            return Unreachable("unreadable")
