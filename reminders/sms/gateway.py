# The SDK's client has no annotations:
# mypy: allow-untyped-calls
"""Our side of Twilio's REST API: send a text, look for one, fetch one. The only user of the SDK's client.

Whatever Twilio and the network do is returned as a value (data rule 3). We decide whether a text was accepted from the
response on the wire, before the SDK interprets it: an SDK exception may have the status in the body (RFC 9457) instead
of the one of the response.
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote_plus, urlsplit

from twilio.base.page import Page
from twilio.http.response import Response
from twilio.rest import Client
from twilio.rest.api.v2010.account.message import MessageInstance

from reminders.sms.receipts import InboundText, callback_url, count_of
from reminders.sms.transport import CurlTransport, MaybeSent, NotSent, header_lines, is_loopback

_log = logging.getLogger(__name__)

_TWILIO = "https://api.twilio.com"
_MESSAGING = "https://messaging.twilio.com"
_A_SID = re.compile(r"(SM|MM)[0-9A-Za-z]{1,62}")
_A_REF = re.compile(r"[0-9A-Za-z_-]+")
_PAGE = 100
_PAGES = 10
# For inbound texts: 50 of the longest, with each character escaped in JSON, stay below transport.LARGEST_ANSWER.
_INBOUND_PAGE = 50
_INBOUND_PAGES = 1000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One text to hand to Twilio.

    `to` is E.164; `ref` is the attempt's, unguessable and safe in a URL; `sender` is E.164 or a messaging service
    (MG…); `valid_for` is how many seconds Twilio may hold it in its queue before it is useless, limited to 1..36000.
    """

    to: str = field(repr=False)
    body: str = field(repr=False)
    ref: str
    sender: str
    valid_for: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """Twilio took it: its sid, and its status now (queued, accepted …)."""

    sid: str
    status: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Certainly not accepted: Twilio's error code and the HTTP status.

    If nothing was sent, the code is 0, there is no status, and `what` is "no connection".
    """

    code: int
    http: int | None
    what: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been accepted. `what` is short and fixed: "timeout", "reset", "http 503", "not json", "no sid" …"""

    what: str


Answer = Accepted | Refused | Unknown


@dataclass(frozen=True, slots=True)
class Seen:
    """A message in Twilio's records.

    `sender` is the messaging service if one was used, else the number; `created_at` is UTC, to the second; `is_answer`
    says that TwiML or Twilio itself wrote it in answer to an inbound text, and not this program.
    """

    sid: str
    to: str = field(repr=False)
    sender: str
    body: str = field(repr=False)
    status: str
    error_code: int | None
    created_at: datetime
    segments: int | None
    is_answer: bool = False


class Unreachable(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it names a state of the world
    """Twilio cannot be reached, or its answer proves nothing. The message is short, fixed and without personal data."""


class _Answered(Exception):  # ruff: ignore[error-suffix-on-exception-name]  carries such an answer out of the SDK
    """Twilio, or a proxy on the way, answered with this HTTP status, and with this Twilio code if there was one."""

    def __init__(self, http: int, code: int | None) -> None:
        super().__init__(f"http {http}")
        self.http = http
        self.code = code


class _Line(CurlTransport):
    """The transport plus the judgment of answers: the SDK sees only successes, and only the base URL is called."""

    def __init__(self, *base_urls: str, deadline: float, in_flight: int, live: bool) -> None:
        super().__init__(deadline=deadline, connections=in_flight, loopback_only=not live)
        self._below = tuple(f"{url}/" for url in base_urls)

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
        if not url.startswith(self._below):  # a link to a next page could point anywhere and leak our key
            raise ValueError("not an address below the base URL")
        response = await super().request(method, url, params, data, headers, auth, timeout, allow_redirects)
        if not 200 <= response.status_code < 300:
            raise _Answered(response.status_code, _twilio_code(response.text))
        return response


class Gateway:
    """Twilio, for one account.

    It takes the account's sid and its auth token, or an API key with its secret; the `base_url` to call while not
    `live` (ValueError if it is not on loopback); the `public_url` from which callbacks are built; the total `deadline`
    of a request in seconds; and the most texts `in_flight`. With `live` the address is always Twilio's own. It belongs
    to the event loop of its first call.
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
            raise ValueError("an API key needs its secret, and a secret its key")
        address = _TWILIO if live else (base_url or "").rstrip("/")
        if not live and not (is_loopback(address) and urlsplit(address).scheme in {"http", "https"}):
            raise ValueError("while twilio.live is false, twilio.api_base_url must be on this machine (loopback)")
        services = _MESSAGING if live else address
        self._line = _Line(address, services, deadline=deadline, in_flight=in_flight, live=live)
        client = Client(
            api_key or account_sid, api_secret or auth_token, account_sid=account_sid, http_client=self._line
        )
        client.region = client.edge = None  # else TWILIO_REGION and TWILIO_EDGE rewrite the address
        client.api.base_url = address
        client.messaging.base_url = services
        self._messages = client.messages
        # A text is sent exactly as the SDK would send it, header for header, but without its twenty steps and its
        # response object: they cost as much as all the rest.
        self._header = header_lines(tuple(client.get_headers("POST", {}).items()), client.get_auth(None))
        self._deadline = deadline
        self._messages_url = f"{address}/2010-04-01/Accounts/{account_sid}/Messages.json"
        # A ref needs no quoting in a form; the text around it is quoted once.
        self._before_ref, self._after_ref = quote_plus(callback_url(public_url, "~")).rsplit("~", 1)
        self._numbers = client.incoming_phone_numbers
        self._services = client.messaging.v1.services

    async def send(self, text: Outgoing) -> Answer:
        """Hand one text to Twilio, once, and return what is known about it (docs/twilio.md 1.4).

        It never raises for anything Twilio or the network does. Raises ValueError for a `ref` that is unsafe in a URL.
        """
        if not _A_REF.fullmatch(text.ref):
            raise ValueError("a ref consists of letters, digits, _ and -")
        try:
            created = await self._line.exchange(
                "POST", self._messages_url, self._header, self._form(text), self._deadline
            )
            if not 200 <= created.status_code < 300:
                return _refusal(created.status_code, _twilio_code(created.text))
            message = json.loads(created.text or "{}")
            sid, status = message.get("sid"), message.get("status")
        except NotSent as wire:
            _log.warning("no connection to Twilio: %s", wire.why)
            return Refused(0, None, "no connection")
        except MaybeSent as wire:
            return Unknown(wire.why)
        except json.JSONDecodeError:
            return Unknown("not json")
        except Exception as error:  # ruff: ignore[blind-except]  whatever the SDK made of the answer, it may be taken
            _log.warning("an answer of Twilio could not be read: %s", type(error).__name__)
            return Unknown("unreadable")
        if not (isinstance(sid, str) and _A_SID.fullmatch(sid)):
            return Unknown("no sid")
        return Accepted(sid, str(status or ""))

    def _form(self, text: Outgoing) -> bytes:
        sender = "MessagingServiceSid" if text.sender.startswith("MG") else "From"
        return (
            f"To={_number(text.to)}&{sender}={_quoted(text.sender)}&Body={_quoted(text.body)}"
            f"&StatusCallback={self._before_ref}{text.ref}{self._after_ref}"
            f"&ValidityPeriod={max(1, min(36_000, text.valid_for))}"
        ).encode()

    async def find(self, to: str, *, since: datetime) -> list[Seen]:
        """The messages to that number (E.164) created at `since` or later, newest first, sent or not.

        It can prove that a text was accepted, never that it was not: Twilio's list lags, at times by hours
        (docs/twilio.md 2.5). `since` must be aware. There is no filter on DateSent, which hides messages still in the
        queue. Raises Unreachable, also if the list does not end.
        """
        found = [_seen(message) for message in await self._list(since, _PAGES, to=to, page_size=_PAGE)]
        return sorted(found, key=lambda one: one.created_at, reverse=True)

    async def inbound(self, *, to: str, since: datetime) -> list[InboundText]:
        """The texts that people sent to one of our senders at `since` or later, oldest first, each with its `sent_at`.

        `to` is a number or a messaging service (MG…); Twilio filters by number only, so for a service the account's
        whole list is read back to `since`. A caller that keeps a mark must overlap it: the list lags, at times by hours
        (docs/twilio.md 2.5), and a text may appear in it after newer ones. The list does not say whether Twilio
        answered a keyword, so `opt_out_type` is None. A text without From is skipped, as in the webhook. `since` must
        be aware. Raises Unreachable, also if the list does not end.

        There is no filter on DateSent here either: for an inbound text that is the time of its webhook call, which is
        what failed for the texts in question.
        """
        service = to if to.startswith("MG") else None
        numbers = {} if service else {"to": to}
        listed = await self._list(since, _INBOUND_PAGES, page_size=_INBOUND_PAGE, **numbers)
        listed.reverse()  # so that within one second the older text comes first
        return [
            InboundText(
                sid=message.sid or "",
                sender=message.from_ or "",
                to=message.to or "",
                body=message.body or "",
                opt_out_type=None,
                sent_at=_created_at(message),
                media=count_of(message.num_media),
            )
            for message in sorted(listed, key=_created_at)
            if str(message.direction) == "inbound" and message.from_
            if service is None or message.messaging_service_sid == service
        ]

    async def _list(self, since: datetime, pages: int, **wanted: object) -> list[MessageInstance]:
        """Twilio's list, newest first, back to `since`: pages are read until one has only older messages.

        Raises Unreachable, also if `pages` are not enough.
        """
        if since.tzinfo is None:
            raise ValueError("since must be aware")
        since = since.replace(microsecond=0)  # Twilio writes seconds: 10:00:00.9 is in its list as 10:00:00
        found: list[MessageInstance] = []
        try:
            page: Page | None = await self._messages.page_async(**wanted)
            for _ in range(pages):
                fresh = [message for message in page or () if _created_at(message) >= since]
                found += fresh
                if page is None or not fresh:
                    return found
                page = await page.next_page_async()
        except Exception as error:  # ruff: ignore[blind-except]  nothing unread may pass for an empty list
            raise _unreachable(error) from None  # the chain would show the URL, and with it the number
        raise Unreachable("the list does not end")

    async def fetch(self, sid: str) -> Seen | None:
        """The message with this sid as it is now; None if Twilio says there is none. Raises Unreachable."""
        if not _A_SID.fullmatch(sid):
            raise ValueError("not a message sid")
        try:
            return _seen(await self._messages(sid).fetch_async())
        except Exception as error:  # ruff: ignore[blind-except]  nothing unread may pass for an absent message
            if isinstance(error, _Answered) and error.http == 404 and error.code is not None:
                return None  # a 404 without a code is another server's page
            raise _unreachable(error) from None

    async def check(self, sender: str) -> str | None:
        """What is wrong with the credentials, or with that sender of the account; None if they are fine.

        It asks for the sender itself, a number or a messaging service (MG…): an API key may read that, but not the
        account. Raises Unreachable.
        """
        try:
            if sender.startswith("MG"):
                await self._services(sender).fetch_async()
                return None
            numbers = await self._numbers.list_async(phone_number=sender, limit=1)
        except Exception as error:  # ruff: ignore[blind-except]  nothing unread may pass for a yes
            if isinstance(error, _Answered) and error.http in {401, 403} and error.code is not None:
                return f"Twilio does not accept the credentials (code {error.code})"
            if isinstance(error, _Answered) and error.http == 404 and error.code is not None:
                return "Twilio knows no such messaging service in this account"
            raise _unreachable(error) from None
        return None if numbers else "Twilio knows no such number in this account"

    async def close(self) -> None:
        """Close the connections. A send in progress returns Unknown, or Refused 0 if none of it was written."""
        await self._line.close()


_quoted = lru_cache(maxsize=1024)(quote_plus)  # people with the same visit time get the same body


def _number(phone: str) -> str:
    """A phone number quoted for a form: E.164 has only the + to quote."""
    digits = phone.removeprefix("+")
    return f"%2B{digits}" if digits != phone and digits.isascii() and digits.isdigit() else quote_plus(phone)


def _refusal(http: int, code: int | None) -> Refused | Unknown:
    """Judge an HTTP error: only 4xx with a Twilio code is a sure refusal. A bare 429 may be a proxy's page."""
    if code is not None and 400 <= http < 500:
        return Refused(code, http)
    return Unknown(f"http {http}")


def _twilio_code(text: str) -> int | None:
    """Twilio's own error code in a JSON body, old style or RFC 9457; it has five digits, unlike an HTTP status."""
    try:
        code = json.loads(text)["code"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return code if type(code) is int and 10_000 <= code <= 99_999 else None


def _segments(count: object) -> int | None:
    """The number of segments: `num_segments` is a string, and "0" until a messaging service has chosen a sender."""
    return count_of(count) or None


def _created_at(message: MessageInstance) -> datetime:
    """When Twilio got the message, UTC. Raises ValueError for anything but a message."""
    if not (message.sid and message.to and message.date_created):
        raise ValueError("a message without sid, to or date_created")
    return message.date_created.astimezone(UTC)


def _seen(message: MessageInstance) -> Seen:
    return Seen(
        created_at=_created_at(message),
        sid=message.sid or "",
        to=message.to or "",
        sender=message.messaging_service_sid or message.from_ or "",
        body=message.body or "",
        status=str(message.status or ""),
        error_code=message.error_code if isinstance(message.error_code, int) else None,
        segments=_segments(message.num_segments),
        is_answer=str(message.direction) == "outbound-reply",
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
