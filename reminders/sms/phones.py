"""The pretend phones, as somebody who holds one sees it: what it shows, and what can be done with it."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 3.0  # seconds: they are on this machine


class PhonesAway(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what happened
    """The pretend phones do not answer: the simulator does not run."""


@dataclass(frozen=True, slots=True)
class Phone:
    """A pretend phone: how many texts its screen shows, the last of them, and whether it is switched on."""

    number: str
    texts: int
    last: str = field(repr=False)
    last_by: str
    last_at: datetime
    is_on: bool


@dataclass(frozen=True, slots=True)
class OnScreen:
    """A text on a pretend phone's screen. `mine`: its owner wrote it; `by` is else us or Twilio itself."""

    mine: bool
    by: str
    body: str = field(repr=False)
    at: datetime


class PretendPhones:
    """The pretend phones of the simulator whose control API answers at `url`. Every verb raises PhonesAway."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port

    def all(self) -> list[Phone]:
        """Every phone that shows anything, the latest news first."""
        found = [
            Phone(
                number=one["phone"],
                texts=one["texts"],
                last=one["last"]["body"],
                last_by=one["last"]["by"],
                last_at=datetime.fromisoformat(one["last"]["at"]),
                is_on=one["line_status"] != "unreachable",
            )
            for one in self._ask("GET", "/phones")
        ]
        return sorted(found, key=lambda one: one.last_at, reverse=True)

    def screen(self, number: str) -> list[OnScreen]:
        """What a phone shows, oldest first."""
        return [
            OnScreen(one["by"] == "phone", one["by"], one["body"], datetime.fromisoformat(one["at"]))
            for one in self._ask("GET", f"/phones/{number}/screen")
        ]

    def text(self, number: str, to: str, body: str) -> None:
        """Its owner texts one of our senders."""
        self._ask("POST", f"/phones/{number}/texts", {"to": to, "body": body})

    def switch(self, number: str, *, on: bool) -> None:
        """Switch it on or off; texts to one that is off are not delivered."""
        self._ask("POST", f"/phones/{number}", {"line_status": "active" if on else "unreachable"})

    def _ask(self, method: str, path: str, document: dict[str, object] | None = None) -> Any:
        line = HTTPConnection(self._host, self._port, timeout=PATIENCE)
        try:
            body = json.dumps(document) if document is not None else None
            line.request(method, path, body, {"Content-Type": "application/json"})
            answer = line.getresponse()
            said = answer.read()
        except (OSError, HTTPException):
            raise PhonesAway from None
        finally:
            line.close()
        if answer.status >= 400:
            raise PhonesAway
        return json.loads(said)
