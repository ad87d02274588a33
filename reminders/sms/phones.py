"""The pretend phones from their owner's view: what the screen shows, and what the owner can do."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 3.0  # seconds; they are on this machine


class PhonesAway(Exception):  # ruff: ignore[error-suffix-on-exception-name]  its name says what happened
    """The pretend phones do not answer: the simulator is not running."""


@dataclass(frozen=True, slots=True)
class Phone:
    """A pretend phone: the number of texts on its screen, the last one if any, and whether it is on."""

    number: str
    texts: int
    last: "OnScreen | None"
    is_on: bool


@dataclass(frozen=True, slots=True)
class OnScreen:
    """A text on a pretend phone's screen. `mine`: its owner wrote it; otherwise `by` is us or Twilio itself."""

    mine: bool
    by: str
    body: str = field(repr=False)
    at: datetime


class PretendPhones:
    """The pretend phones of the simulator with its control API at `url`. Every method raises PhonesAway."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port

    def all(self) -> list[Phone]:
        """Every phone that shows anything or was switched on or off, the latest activity first."""
        found = [
            Phone(
                number=one["phone"],
                texts=one["texts"],
                last=_on_screen(one["last"]) if one["last"] else None,
                is_on=one["line_status"] != "unreachable",
            )
            for one in self._ask("GET", "/phones")
        ]
        return sorted(found, key=lambda one: (one.last is None, -one.last.at.timestamp() if one.last else 0))

    def screen(self, number: str) -> list[OnScreen]:
        """The texts on a phone's screen, oldest first."""
        return [_on_screen(one) for one in self._ask("GET", f"/phones/{number}/screen")]

    def text(self, number: str, to: str, body: str) -> None:
        """Text one of our senders as the phone's owner."""
        self._ask("POST", f"/phones/{number}/texts", {"to": to, "body": body})

    def switch(self, number: str, *, on: bool) -> None:
        """Switch the phone on or off; texts to a phone that is off are not delivered."""
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


def _on_screen(text: Mapping[str, str]) -> OnScreen:
    return OnScreen(text["by"] == "phone", text["by"], text["body"], datetime.fromisoformat(text["at"]))
