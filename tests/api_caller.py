"""Calls to the API in this process, with a key."""

import httpx
from web_caller import Caller

from reminders import clock
from reminders.service import AppContext
from reminders.service.office import api_keys


def make_key(context: AppContext, *scopes: str, site: str | None = None, **more) -> str:
    """A key with these scopes, by default all of them."""
    return api_keys.make(context, "test", scopes or api_keys.SCOPES, clock.now(), who="test", site=site, **more).text


class Program:
    """Another program with a key; `key=None` has none."""

    def __init__(self, context: AppContext, key: str | None, caller: Caller | None = None) -> None:
        self.caller = caller or Caller(context, client="203.0.113.9", host="reminders.example")
        self.key = key

    def ask(self, method: str, path: str, body=None, **headers: str) -> httpx.Response:
        """One request; `if_match` is sent as If-Match, and so on. An ETag is given without its quotation marks."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key is not None:
            sent["authorization"] = f"Bearer {self.key}"
        more = {"json": body} if body is not None else {}
        return self.caller.request(method, f"/api/v1{path}", headers=sent, **more)

    def get(self, path: str, **headers: str):
        return self.ask("GET", path, **headers)

    def post(self, path: str, body=None, **headers: str):
        return self.ask("POST", path, body, **headers)

    def put(self, path: str, body, **headers: str):
        return self.ask("PUT", path, body, **headers)
