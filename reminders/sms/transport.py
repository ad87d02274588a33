# pycurl's names live in a C module, and the stub beside it lists none of them:
# mypy: disable-error-code="attr-defined, name-defined"
"""One HTTP request over libcurl, with an honest answer to "could it have been accepted?".

The SDK's own clients resend, wait forever, or measure their deadline per read (docs/twilio.md 1.2, 1.3). Here a request
is written at most once and ends by its deadline; a failure says whether the other side may have seen it.
"""

import functools
import ipaddress
import logging
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

import certifi
import pycurl
from twilio.http import AsyncHttpClient
from twilio.http.response import Response

from reminders.sms.wire import Wire

# At INFO the SDK's loggers write whole URLs, and with them phone numbers (docs/twilio.md 1.4).
for _name in ("twilio.http_client", "twilio.async_http_client"):
    logging.getLogger(_name).setLevel(logging.WARNING)

LARGEST_ANSWER = 1_000_000
"""The most bytes in a response's body; a longer one is an error, so that memory stays bounded (F12)."""

_WHY = {
    pycurl.E_COULDNT_RESOLVE_HOST: "dns",
    pycurl.E_COULDNT_CONNECT: "refused",
    pycurl.E_OPERATION_TIMEDOUT: "timeout",
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_PEER_FAILED_VERIFICATION: "tls",
    pycurl.E_SSL_CACERT_BADFILE: "tls",
    pycurl.E_SEND_ERROR: "reset",
    pycurl.E_RECV_ERROR: "reset",
    pycurl.E_GOT_NOTHING: "closed",
    pycurl.E_SEND_FAIL_REWIND: "closed",
    pycurl.E_PARTIAL_FILE: "truncated",
    pycurl.E_FILESIZE_EXCEEDED: "too big",
    pycurl.E_UNSUPPORTED_PROTOCOL: "not http",
    pycurl.E_FTP_WEIRD_SERVER_REPLY: "not http",
}


class NotSent(Exception):  # ruff: ignore[error-suffix-on-exception-name]  its name says what is known about the wire
    """No byte of the request was written, so no one can have accepted it.

    `why` is a fixed word: dns, refused, timeout, tls, reset, closed, or "curl" and libcurl's error number.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class MaybeSent(Exception):  # ruff: ignore[error-suffix-on-exception-name]  as above
    """Part of the request was written, and no complete answer came back: it may have been accepted.

    `why` is a fixed word: timeout, reset, closed, truncated, too big, not http, or "curl" and libcurl's number.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@functools.lru_cache(maxsize=256)
def is_loopback(url: str) -> bool:
    """Whether the URL's host is this machine: an address in 127.0.0.0/8, ::1, or the name localhost.

    libcurl resolves that name itself, without DNS (RFC 6761 §6.3). Anything unclear is not loopback.
    """
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@functools.lru_cache(maxsize=16)
def header_lines(named: tuple[tuple[str, str], ...], auth: tuple[str, str] | None) -> list[str]:
    """The header's lines in libcurl's form: one list for all requests with the same header."""
    lines = [f"{name}: {value}" for name, value in named]
    if auth:
        lines.append("Authorization: Basic " + b64encode(":".join(auth).encode()).decode())
    return [*lines, "Expect:"]  # never wait for a 100 Continue


class _Exchange:
    """One of libcurl's easy handles, with its request and its response; reusable for one request after another."""

    __slots__ = ("asked", "body", "chunks", "curl", "header")

    def __init__(self, *, ca_file: str, connect_timeout: float) -> None:
        self.body = b""
        self.chunks: list[bytes] = []
        self.asked: tuple[str, str, float] | None = None
        self.header: list[str] | None = None
        self.curl = curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.PROXY, "")  # an empty string also switches off the proxies of the environment
        curl.setopt(pycurl.CAINFO, ca_file)  # libcurl comes inside the wheel, without a CA file
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.TCP_NODELAY, 1)
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(connect_timeout * 1000))
        # Reusing a connection just as its server closes it costs an unknown answer; a new one costs some 50 ms. libcurl
        # checks whether an idle one is alive only after a second; we stop reusing one after 20 s.
        curl.setopt(pycurl.MAXAGE_CONN, 20)
        curl.setopt(pycurl.MAXFILESIZE, LARGEST_ANSWER)
        curl.setopt(pycurl.WRITEFUNCTION, self.chunks.append)
        # When a reused connection dies before the first byte of an answer, libcurl resends the request on a new one,
        # even a POST (Curl_retry_request). It must rewind the body for that. A body from a read function without a seek
        # function cannot be rewound, so the request fails instead. So never use POSTFIELDS here.
        curl.setopt(pycurl.READFUNCTION, self._read)

    def _read(self, size: int) -> bytes:
        part, self.body = self.body[:size], self.body[size:]
        return part

    def prepare(self, method: str, url: str, header: list[str], body: bytes, deadline: float) -> None:
        """Set up the next request. A handle keeps its options, so only changed ones are set, which is seldom."""
        curl = self.curl
        if self.asked != (method, url, deadline):
            self.asked = (method, url, deadline)
            curl.setopt(pycurl.URL, url)
            curl.setopt(pycurl.TIMEOUT_MS, int(deadline * 1000))
            curl.setopt(pycurl.POST if method == "POST" else pycurl.HTTPGET, 1)
        if method == "POST":
            curl.setopt(pycurl.POSTFIELDSIZE, len(body))
            self.body = body
        if header is not self.header:
            self.header = header
            curl.setopt(pycurl.HTTPHEADER, header)

    def answer(self) -> Response:
        """The response, with its text read as UTF-8; the request's data is released."""
        text = b"".join(self.chunks).decode("utf-8", "replace")
        self.chunks.clear()
        return Response(self.curl.getinfo(pycurl.RESPONSE_CODE), text)

    def failure(self, error: int) -> NotSent | MaybeSent:
        """The meaning of libcurl's error: REQUEST_SIZE counts the bytes that were really written."""
        self.body = b""
        self.chunks.clear()
        written = self.curl.getinfo(pycurl.REQUEST_SIZE)
        return (MaybeSent if written else NotSent)(_WHY.get(error, f"curl {error}"))


class CurlTransport(AsyncHttpClient):
    """An asynchronous HTTP client for the Twilio SDK, and for plain requests of our own.

    It takes the total `deadline` and the `connect_timeout` of a request (seconds), the number of `connections` to keep
    open (at least the requests in flight), whether it may call only this machine (`loopback_only`), and the file of
    trusted certificate authorities (`ca_file`, PEM; certifi's by default). It belongs to the event loop of its first
    request.
    """

    def __init__(
        self,
        *,
        deadline: float = 30.0,
        connect_timeout: float = 5.0,
        connections: int = 50,
        loopback_only: bool = False,
        ca_file: str | None = None,
    ) -> None:
        super().__init__(logging.getLogger(__name__), is_async=True, timeout=deadline)
        self._deadline = deadline
        self._connect_timeout = connect_timeout
        self._loopback_only = loopback_only
        self._ca_file = ca_file or certifi.where()
        self._idle: list[_Exchange] = []
        self._wire = Wire(connections)

    async def request(  # type: ignore[override]  # ruff: ignore[too-many-positional-arguments]  the SDK's signature
        self,
        method: str,
        url: str,
        params: Mapping[str, object] | None = None,
        data: Mapping[str, object] | bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # ruff: ignore[async-function-with-timeout]  libcurl keeps the time
        allow_redirects: bool = False,  # ruff: ignore[boolean-type-hint-positional-argument, boolean-default-value-positional-argument]  the SDK calls it
    ) -> Response:
        """Send one GET or POST, once, and return its response: status and text (UTF-8), no headers.

        `data` is a form, or a raw body; `auth` is for HTTP Basic; `timeout` (seconds, total) replaces the deadline.
        Raises NotSent or MaybeSent if no complete answer came. Raises ValueError for a request that is never made:
        another host where only loopback is allowed, another method, a POST without a body, redirects.
        """
        if allow_redirects or method not in {"GET", "POST"}:
            raise ValueError("only GET and POST, and no redirects")
        if params:
            url = f"{url}?{urlencode(params, doseq=True)}"
        header = header_lines(tuple((headers or {}).items()), auth)
        body = data if isinstance(data, bytes) else urlencode(data or {}, doseq=True).encode()
        return await self.exchange(method, url, header, body, timeout or self._deadline)

    async def exchange(self, method: str, url: str, header: list[str], body: bytes, deadline: float) -> Response:
        """The same, with a header from `header_lines` and an encoded form."""
        if self._loopback_only and not is_loopback(url):
            raise ValueError("only this machine may be called: the address is not on loopback")
        if method == "POST" and not body:
            raise ValueError("a POST without a body is not protected from a resend")
        exchange = (
            self._idle.pop() if self._idle else _Exchange(ca_file=self._ca_file, connect_timeout=self._connect_timeout)
        )
        exchange.prepare(method, url, header, body, deadline)
        if error := await self._wire.perform(exchange.curl):
            failure = exchange.failure(error)
            self._idle.append(exchange)
            raise failure
        answer = exchange.answer()
        self._idle.append(exchange)
        return answer

    async def close(self) -> None:
        """Close every connection. A request on the wire ends as NotSent or MaybeSent with `closed`."""
        self._idle.clear()
        self._wire.close()
