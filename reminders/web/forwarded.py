"""Proxies in front of us that no one told us of."""

import logging
import time
from ipaddress import ip_address

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reminders import clock
from reminders.service import AppContext
from reminders.service.operations import logs, proxies
from reminders.web import access

log = logging.getLogger(__name__)


class WatchProxies:
    """Puts on record a proxy that says whom it speaks for and is not believed, so that ops hear of it.

    Anyone may send such a header straight to us. So a peer on the internet at large counts only where the request was
    a signed webhook or came from someone signed in. Each is noted once in a while, behind the answer.
    """

    _AGAIN = 300.0  # seconds
    _MOST = 100

    def __init__(self, app: ASGIApp, *, context: AppContext) -> None:
        self._app, self._context = app, context
        self._noted: dict[str, float] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        header = access.passed_on(Request(scope)) if scope["type"] == "http" else None
        if header is None or header == "via":  # which names a proxy, and no one behind it
            await self._app(scope, receive, send)
            return
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        await self._app(scope, receive, watched)
        peer = self._unknown(scope, header, status)
        if peer is not None and time.monotonic() - self._noted.get(peer, float("-inf")) > self._AGAIN:
            if len(self._noted) >= self._MOST:
                self._noted.clear()
            self._noted[peer] = time.monotonic()
            await run_in_threadpool(self._note, peer, header)

    def _unknown(self, scope: Scope, header: str, status: int) -> str | None:
        """The address of a peer that is not believed."""
        try:
            address = ip_address((scope.get("client") or ("",))[0])
        except ValueError:
            return None
        if str(address) in self._context.settings.web.proxies and header == proxies.BELIEVED:
            return None
        is_vouched_for = "actor" in scope.get("state", {}) or (scope["path"].startswith("/sms/") and status // 100 == 2)
        return str(address) if is_vouched_for or not address.is_global else None

    def _note(self, peer: str, header: str) -> None:
        try:
            proxies.note(self._context, peer, header, clock.now())
        except Exception as error:  # ruff: ignore[blind-except]  the request was answered
            log.warning("an unknown proxy cannot be noted: %s", logs.describe(error))
