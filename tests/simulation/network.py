"""The wire between the service and the pretend Twilio, both ways, in virtual time.

Outbound: the SDK uses our HTTP client, with the gateway's own judgment above it. Below it a request travels for a
while, the simulator's core answers it, and the answer travels back, or does not. Inbound: the core's webhook calls go
through the web process's own checks and routes, called as functions.
"""

import asyncio
from urllib.parse import parse_qsl, urlsplit

from fastapi import BackgroundTasks, HTTPException
from simulation.loop import Died
from starlette.requests import Request as WebRequest
from twilio.http import AsyncHttpClient
from twilio.http.response import Response

from reminders import clock, store
from reminders.service.operations import runs
from reminders.simulator import Request
from reminders.sms import gateway
from reminders.sms.transport import CurlTransport, MaybeSent, NotSent, is_loopback
from reminders.web import webhooks

_LOST = {"hang": None, "drip": None, "close": "closed", "reset": "reset", "cut": "truncated"}


class Wire(CurlTransport):
    """Replaces libcurl. `world` is the running one."""

    world = None

    def __init__(self, *, deadline: float, connections: int, loopback_only: bool) -> None:
        AsyncHttpClient.__init__(self, None, is_async=True, timeout=deadline)
        self._deadline = deadline
        del connections
        assert loopback_only

    async def exchange(self, method: str, url: str, header: list[str], body: bytes, deadline: float) -> Response:
        assert is_loopback(url)
        world = self.world
        place = urlsplit(url)
        named = {name.lower(): value for name, _, value in (line.partition(": ") for line in header)}
        request = Request(method, place.path, place.query, named, body)
        refusing = world.twilio.refusing_until
        if refusing is not None and world.now < refusing:
            await asyncio.sleep(0.001)
            raise NotSent("refused")
        if method == "POST":
            world.promises.posting(dict(parse_qsl(body.decode())), clock.now())
        answer = asyncio.get_running_loop().create_future()
        world.outside(world.travel(), _arrive, world, request, answer)
        try:
            async with asyncio.timeout(deadline):
                found = await answer
        except TimeoutError:
            raise MaybeSent("timeout") from None
        if isinstance(found, str):
            raise MaybeSent(found)
        return found

    async def close(self) -> None:
        """Nothing is open."""


class Line(gateway._Line, Wire):
    """The gateway's judgment, above this wire."""


def _arrive(world, request: Request, answer: asyncio.Future) -> None:
    """Handle a request that reached Twilio, whether or not anyone still waits for its answer."""
    found = world.twilio.handle(request, world.now)
    world.arrived(request, found)
    world.arm()
    word = _LOST.get(found.transport.how, "")
    if word is None:
        return  # no one ever hears of it
    said = word or Response(found.status, found.body.decode())
    world.outside(found.transport.after + world.travel(), _answer, answer, said)


def _answer(answer: asyncio.Future, said: Response | str) -> None:
    if not answer.done():
        answer.set_result(said)


async def call(world, callback) -> None:
    """Make one webhook call as Twilio, wait with its patience, and record the outcome."""
    await asyncio.sleep(world.travel())
    outcome, body = "ct", b""
    process = world.web()
    if process is not None:
        task = process.begin(_serve(world, process, callback), quiet=True)
        done, _ = await asyncio.wait([task], timeout=min(callback.policy.read, callback.policy.total))
        outcome = "rt"
        if done and not task.cancelled() and task.exception() is not None:
            world.met(task.exception(), "a call of Twilio's")
            outcome = 500
        elif done and not task.cancelled() and process.is_alive:
            outcome, body = task.result()
            if world.loses_answer():
                outcome = "rt"
    world.twilio.called(callback, outcome, world.now, body)
    world.said(f"Twilio's call about {callback.status} of {world.name(callback.sid)}: {outcome}")
    world.arm()


async def _serve(world, process, callback) -> tuple[int, bytes]:
    """Let the web process handle a call: its own checks and routes, without sockets."""
    place = urlsplit(callback.url)
    scope = {
        "type": "http",
        "method": "POST",
        "path": place.path,
        "raw_path": place.path.encode(),
        "query_string": place.query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in callback.headers.items()],
    }
    body = callback.body

    async def receive():  # ruff: ignore[unused-async]  starlette awaits it
        return {"type": "http.request", "body": body, "more_body": False}

    context = process.context
    try:
        form = await webhooks.signed_form(WebRequest(scope, receive), context)
        await asyncio.sleep(world.slowness())
        if "/status/" in place.path:
            return webhooks.status(place.path.rsplit("/", 1)[1], form, context).status_code, b""
        later = BackgroundTasks()
        answer = webhooks.inbound_text(form, context, later)
    except HTTPException as refused:
        return refused.status_code, b""
    except (store.Unavailable, store.CommitUncertain):
        return 503, b""
    world.promises.acknowledged(callback.sid)
    for task in later.tasks:
        assert task.func is runs.answer_now
        process.begin(_answer_now(world, context, task.args[1]))
    return answer.status_code, bytes(answer.body)


async def _answer_now(world, context, taken) -> None:
    """`runs.answer_now`, in this loop instead of a new one."""
    if not (taken.urgent or taken.rang):
        return
    line = context.gateway()
    try:
        await runs.answer(context, line, [taken])
    except Died:
        raise
    except Exception as error:  # ruff: ignore[blind-except]  as in the web process; what is no fault of ours is told
        world.met(error, "the urgent answer")
    finally:
        await line.close()


class Phone:
    """Replaces the pager: pages go to the simulator's pretend pager."""

    world = None

    async def page(self, contact, title: str, body: str) -> bool:
        await asyncio.sleep(self.world.travel())
        status = self.world.twilio.page({"contact": contact.name, "title": title, "body": body}, self.world.now)
        await asyncio.sleep(self.world.travel())
        return status < 300
