"""One HTTP exchange as values: the request, the response, and how the response travels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Request:
    """One complete HTTP request.

    `path` and `query` are as sent (still percent-encoded, no `?`); header names are lowercase; `concurrent` is the
    number of requests that the server is handling at this moment, including this one.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    concurrent: int = 1


@dataclass(frozen=True, slots=True)
class Transport:
    """How the socket sends an answer. Durations are seconds.

    After `after` seconds: `whole` writes it; `cut` announces all of it, writes half of the body and closes; `drip`
    writes a byte every `pace`; `close` ends the connection without a byte of answer; `reset` does so with an RST;
    `hang` does nothing until the caller gives up.
    """

    how: Literal["whole", "cut", "drip", "close", "reset", "hang"] = "whole"
    after: float = 0.0
    pace: float = 0.2


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response. The code that writes it to a socket adds Content-Length and Connection to `headers`."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    transport: Transport = Transport()
