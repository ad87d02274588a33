"""The pretend phones, as someone who holds one sees it: what it shows, and what can be done with it."""

import json
from collections.abc import Mapping
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
    """A pretend phone: how many texts its screen shows, the last of them if there is one, and whether it is on."""

    number: str
    texts: int
    last: "OnScreen | None"
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
        """Every phone that shows anything or was switched, the latest news first."""
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
        """What a phone shows, oldest first."""
        return [_on_screen(one) for one in self._ask("GET", f"/phones/{number}/screen")]

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


def _on_screen(text: Mapping[str, str]) -> OnScreen:
    return OnScreen(text["by"] == "phone", text["by"], text["body"], datetime.fromisoformat(text["at"]))
