"""Calls to the web application in this process: as Twilio makes them, and as a browser on some machine does."""

import asyncio
import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from urllib.parse import urlencode

import httpx
import staff

from reminders.web import create_app

TOKEN = "simulator"


def without_values(metrics: str) -> str:
    """Names, labels and help of a page of metrics: a value has digits by chance that may be those of a phone."""
    return re.sub(r"^([^#].*) \S+$", r"\1", metrics, flags=re.MULTILINE)


def signature(url: str, form: Iterable[tuple[str, str]], token: str = TOKEN) -> str:
    """X-Twilio-Signature, as described in docs/twilio.md 2.3."""
    said = url + "".join(name + value for name, value in sorted(set(form)))
    return base64.b64encode(hmac.new(token.encode(), said.encode(), hashlib.sha1).digest()).decode()


class Caller:
    """A client of the application on `context`; `client` is its address, `host` the requested Host.

    With a `role` someone with that role is signed in, at `site` or at every one.
    """

    def __init__(
        self,
        context,
        *,
        role: str | None = None,
        site: str | None = None,
        client: str = "127.0.0.1",
        host: str = "127.0.0.1:8000",
    ) -> None:
        self.context, self.app, self.client, self.host = context, create_app(context), client, host
        self.headers: dict[str, str] = {}
        self.cookies = httpx.Cookies()
        if role is not None:
            staff.signed_in(self, context, role, site)

    def request(self, method: str, path: str, **more) -> httpx.Response:
        async def call():
            line = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(self.client, 50000))
            async with httpx.AsyncClient(transport=line, base_url="http://127.0.0.1:8000") as session:
                session.cookies = self.cookies
                headers = {"host": self.host} | self.headers | more.pop("headers", {})
                answer = await session.request(method, path, headers=headers, **more)
                self.cookies = session.cookies
                return answer

        return asyncio.run(call())

    def get(self, path: str, **more) -> httpx.Response:
        return self.request("GET", path, **more)

    def page(self, path: str, **more) -> httpx.Response:
        return self.get(path, headers={"accept": "text/html,*/*"}, **more)

    def post(self, path: str, form: Iterable[tuple[str, str]] | bytes, signed: str | None = None) -> httpx.Response:
        """A form, or raw bytes, with that signature header."""
        body = form if isinstance(form, bytes) else urlencode(list(form)).encode()
        headers = {"content-type": "application/x-www-form-urlencoded; charset=UTF-8"}
        if signed is not None:
            headers["x-twilio-signature"] = signed.encode("latin-1")
        return self.request("POST", path, content=body, headers=headers)

    def twilio(self, path: str, **form: str) -> httpx.Response:
        """A signed call, as Twilio makes it: for our account, unless the form names another."""
        pairs = list(({"AccountSid": self.context.secrets.account_sid} | form).items())
        return self.post(path, pairs, signature(self.context.settings.web.public_url + path, pairs))
