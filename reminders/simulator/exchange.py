"""One HTTP exchange as values: what came in, what goes out, and how the answer is to travel."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, already read whole.

    `path` and `query` are as sent (still percent-encoded, no `?`); header names are lower-case; `concurrent` is how
    many requests the server is holding at this moment, this one included.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    concurrent: int = 1


@dataclass(frozen=True, slots=True)
class Transport:
    """How an answer travels, for what holds the socket. Durations are seconds.

    After `after` seconds: `whole` writes it; `cut` promises all of it, writes half of the body and closes; `drip`
    writes a byte every `pace`; `close` ends the connection without a byte of answer; `reset` does so with an RST;
    `hang` does nothing until the caller gives up.
    """

    how: Literal["whole", "cut", "drip", "close", "reset", "hang"] = "whole"
    after: float = 0.0
    pace: float = 0.2


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP answer. `headers` lack Content-Length and Connection: those belong to what writes it to a socket."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    transport: Transport = Transport()
