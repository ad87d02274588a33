"""The simulator on sockets: loopback only, HTTP/1.1 keep-alive, real time, and every way an answer can go wrong.

It uses `asyncio.Protocol` and httptools because a web framework cannot hang, reset or truncate an answer on purpose,
and is several times slower than the code that we measure against it.
"""

import asyncio
import contextlib
import signal
import socket
import struct
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import aiohttp
import httptools
from yarl import URL

from reminders import clock
from reminders.simulator.control import control
from reminders.simulator.exchange import Request, Response
from reminders.simulator.guard import is_loopback, refused
from reminders.simulator.rest import Simulator
from reminders.simulator.webhooks import Callback, Outcome

_LARGEST_REQUEST = 1 << 20
_LARGEST_TWIML = 64 * 1024
_CALLBACKS_AT_ONCE = 32
_SHORTEST_NAP = 0.005  # seconds; events due within it are handled together
_LONGEST_NAP = 0.05  # the wall clock may jump meanwhile


class NotLoopbackError(ValueError):
    """The simulator was asked to listen where others could reach it."""


class _Connection(asyncio.Protocol):
    """One client connection; it answers requests one after another, in order."""

    def __init__(self, door: "_Door") -> None:
        self._door = door
        self._transport: asyncio.Transport
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[str, bytes, dict[str, str], bytes, bool]] = deque()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._size = 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._door.connections.add(self)
        if not self._door.is_open:  # it was accepted just before
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # how it ended makes no difference
        self._door.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        self._finish()

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > _LARGEST_REQUEST:
            self._transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self._transport.close()
            return
        self._serve()

    # httptools' side

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body = b"", {}, []

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self._size = 0
        method = self._parser.get_method().decode("ascii")
        self._waiting.append((method, self._url, self._headers, b"".join(self._body), self._parser.should_keep_alive()))

    # ours

    @property
    def is_idle(self) -> bool:
        """Whether nothing is being answered."""
        return not self._busy

    def end(self) -> None:
        """End the connection now: cleanly if nothing is being answered."""
        if self._busy:
            self._transport.abort()
            return
        with contextlib.suppress(OSError):  # the other side may have ended it first
            # asyncio closes only in its next round, and the caller may use the connection before that.
            self._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._transport.close()

    def abort(self) -> None:
        """End the connection now, with any unsent bytes."""
        self._transport.abort()

    def _serve(self) -> None:
        while self._waiting and not self._busy and not self._transport.is_closing():
            method, url, headers, body, keep_alive = self._waiting.popleft()
            target = url.decode("latin-1")
            path, _, query = target.partition("?")
            keep_alive = keep_alive and self._door.is_open
            self._busy = True
            self._door.held += 1
            response = self._door.answer(Request(method, path, query, headers, body, self._door.held))
            if response.transport.after > 0:
                self._later(response.transport.after, partial(self._send, response, keep_alive=keep_alive))
            else:
                self._send(response, keep_alive=keep_alive)

    def _send(self, response: Response, *, keep_alive: bool) -> None:
        match response.transport.how:
            case "hang":
                return
            case "close":
                self._transport.close()
                return
            case "reset":
                # Linger 0 makes close(2) answer with RST instead of FIN.
                sock = self._transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._transport.abort()
                return
            case "cut":
                head, body = _wire(response, keep_alive=keep_alive)
                self._transport.write(head + body[: len(body) // 2])
                self._transport.close()
                return
            case "drip":
                self._drip(
                    b"".join(_wire(response, keep_alive=keep_alive)), response.transport.pace, keep_alive=keep_alive
                )
                return
        self._transport.write(b"".join(_wire(response, keep_alive=keep_alive)))
        self._finish()
        if not keep_alive:
            self._transport.close()

    def _drip(self, rest: bytes, pace: float, *, keep_alive: bool) -> None:
        self._transport.write(rest[:1])
        if rest[1:]:
            self._later(pace, partial(self._drip, rest[1:], pace, keep_alive=keep_alive))
            return
        self._finish()
        if keep_alive:
            self._serve()
        else:
            self._transport.close()

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        def wake() -> None:
            self._timer = None
            what()
            self._serve()

        self._timer = asyncio.get_running_loop().call_later(seconds, wake)

    def _finish(self) -> None:
        if self._busy:
            self._busy = False
            self._door.held -= 1


class _Door:
    """One listening socket, its handler and its connections. It can be shut and reopened."""

    def __init__(self, host: str, port: int, answer: Callable[[Request], Response]) -> None:
        self.answer = answer
        self.host, self.port = host, port
        self.connections: set[_Connection] = set()
        self.held = 0
        self._server: asyncio.Server | None = None

    @property
    def is_open(self) -> bool:
        return self._server is not None

    async def open(self) -> None:
        """Listen. Port 0 becomes a free one, which is then kept."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), self.host, self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def shut(self, *, idle_only: bool) -> None:
        """Stop listening, and end the connections: all of them, or only idle ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            if connection.is_idle or not idle_only:
                connection.end()

    async def empty(self) -> None:
        """Shut for good and drop every connection, even with unsent data."""
        self.shut(idle_only=False)
        for _ in range(5):  # the rounds asyncio needs between accepting a connection and telling us
            await asyncio.sleep(0)
        for connection in list(self.connections):
            connection.abort()
        for _ in range(2):  # and those between aborting one and closing its socket
            await asyncio.sleep(0)


class Shell:
    """A running simulator: `async with Shell(…) as shell`; it answers on `shell.port` and `shell.control_port`.

    It takes a loopback `host` (NotLoopbackError otherwise) and two ports, 0 for any free one; OSError if one is in use.
    Webhooks go to loopback only: to any other host they fail as if no one listened, so nothing leaves the machine.
    """

    def __init__(self, simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0, control_port: int = 0) -> None:
        if not is_loopback(host):
            raise NotLoopbackError(f"the simulator listens on loopback only, not on {host}")
        self.simulator = simulator
        self._api = _Door(host, port, self._answer)
        self._control = _Door(host, control_port, self._answer_control)
        self._calls: asyncio.Queue[Callback] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: datetime | None = None
        self._door_moved = asyncio.Event()

    @property
    def port(self) -> int:
        """Where the REST API answers."""
        return self._api.port

    @property
    def control_port(self) -> int:
        """Where the control API answers."""
        return self._control.port

    async def __aenter__(self) -> Self:
        await self._api.open()
        try:
            await self._control.open()
        except OSError:
            await self._api.empty()
            raise
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        self._tasks = [asyncio.create_task(self._make_calls()) for _ in range(_CALLBACKS_AT_ONCE)]
        self._tasks.append(asyncio.create_task(self._keep_door()))
        self._arm()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for door in (self._api, self._control):
            await door.empty()
        await self._session.close()
        for end in ended:
            if isinstance(end, Exception):
                raise end

    # Requests

    def _answer(self, request: Request) -> Response:
        if (refusal := refused(request)) is not None:
            return refusal
        response = self.simulator.handle(request, self._now())
        self._arm()
        return response

    def _now(self) -> datetime:
        """The simulator's time: this machine's, plus what it was set ahead."""
        return clock.now() + self.simulator.ahead

    def _answer_control(self, request: Request) -> Response:
        if (refusal := refused(request)) is not None:
            return refusal
        response = control(self.simulator, request, self._now())
        if self._refuses_for() > 0:
            self._api.shut(idle_only=True)  # before the answer is read: the author of the rule may rely on it
        self._door_moved.set()
        self._tick()  # the clock may have been set
        return response

    def _refuses_for(self) -> float:
        """The seconds from now for which a rule refuses connections."""
        until = self.simulator.refusing_until
        return 0.0 if until is None else (until - self._now()).total_seconds()

    async def _keep_door(self) -> None:
        """Reopen the API's socket once no rule keeps it shut."""
        while True:
            self._door_moved.clear()
            seconds = self._refuses_for()
            if seconds <= 0 and not self._api.is_open:
                await self._api.open()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds if seconds > 0 else None):
                    await self._door_moved.wait()

    # Time and webhooks

    def _arm(self) -> None:
        """Schedule `_tick` for the simulator's next event."""
        due_at = self.simulator.next_due_at()
        if due_at is None or (self._armed_for is not None and self._armed_for <= due_at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = due_at
        seconds = min(max((due_at - self._now()) / timedelta(seconds=1), _SHORTEST_NAP), _LONGEST_NAP)
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    def _tick(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._armed_for = None
        for call in self.simulator.due(self._now()):
            self._calls.put_nowait(call)
        self._arm()

    async def _make_calls(self) -> None:
        while True:
            call = await self._calls.get()
            outcome, answer = await self._post(call)
            self.simulator.called(call, outcome, self._now(), answer)
            self._arm()

    async def _post(self, call: Callback) -> tuple[Outcome, bytes]:
        if not is_loopback(urlsplit(call.url).hostname or ""):
            return "ct", b""
        policy = call.policy
        left = policy.total - (self._now() - call.first_at).total_seconds()
        timeout = aiohttp.ClientTimeout(total=max(left, 0.001), sock_connect=policy.connect, sock_read=policy.read)
        try:
            async with self._session.post(
                URL(call.url, encoded=True),
                data=call.body,
                headers=call.headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                return response.status, await response.content.read(_LARGEST_TWIML)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            return "ct", b""
        except (aiohttp.ClientError, TimeoutError):
            return "rt", b""


async def serve(
    host: str,
    port: int,
    simulator: Simulator,
    control_port: int,
    *,
    ready: Callable[[int, int], None] | None = None,
) -> None:
    """Serve the simulator until SIGTERM or SIGINT. Calls `ready` with both ports once they answer.

    Raises NotLoopbackError for a host that is not loopback, OSError if a port is in use.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    async with Shell(simulator, host=host, port=port, control_port=control_port) as shell:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if ready is not None:
            ready(shell.port, shell.control_port)
        try:
            await stop.wait()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def run(
    simulator: Simulator,
    *,
    host: str = "127.0.0.1",
    port: int = 4010,
    control_port: int = 4011,
    ready: Callable[[int, int], None] | None = None,
) -> None:
    """`serve`, for a process that does nothing else. Returns on SIGTERM or SIGINT; prints nothing."""
    asyncio.run(serve(host, port, simulator, control_port, ready=ready))


def _wire(response: Response, *, keep_alive: bool) -> tuple[bytes, bytes]:
    """Head and body as bytes."""
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    if response.status != HTTPStatus.NO_CONTENT:
        lines.append(f"Content-Length: {len(response.body)}")
    if not keep_alive:
        lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), response.body
