"""Requests as operations see them: counted and timed by route, each with an id, and on request a line in the log.

A line and a label name the route's template, such as /patients/{ref}, never the address: that may name someone.
"""

import logging
import secrets
import time

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reminders.service import AppContext
from reminders.service.operations import logs, metrics

log = logging.getLogger("reminders.access")

NO_ROUTE = "none"
_API = "/api/v1"


class Traffic:
    """Counts, times and names the requests to `app`."""

    def __init__(self, app: ASGIApp, *, context: AppContext) -> None:
        self._app, self._says = app, context.settings.logging.access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began, name = 500, time.monotonic(), secrets.token_hex(8)

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = name
            await send(message)

        kept = logs.request_id.set(name)
        try:
            await self._app(scope, receive, named)
        finally:
            took = time.monotonic() - began
            metrics.request(scope["method"], route_of(scope), status, took)
            if self._says:
                log.info("%s %s %d in %.0f ms", scope["method"], route_of(scope), status, took * 1000)
            logs.request_id.reset(kept)


def route_of(scope: Scope) -> str:
    """The template of the address that a request was routed to; `none` where there is no such route."""
    template = getattr(scope.get("route"), "path", None)
    if template is None:
        return "/static" if scope["path"].startswith("/static/") else NO_ROUTE
    # A mounted application knows its own part of an address only.
    return f"{_API}{template}" if scope["path"].startswith(f"{_API}/") else str(template)
