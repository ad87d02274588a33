"""What the API answers when it does not do what was asked: RFC 9457, problem+json."""

import logging
from collections.abc import Iterable, Mapping
from http import HTTPStatus

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from reminders import queries
from reminders.plans import PlanRefused
from reminders.plans import Problem as Wrong
from reminders.service.office.api_keys import NoKey, Repeated, TooMany
from reminders.service.operations import logs
from reminders.service.planning.accepting import ChangedSince

log = logging.getLogger(__name__)

MEDIA = "application/problem+json"

KINDS: dict[str, tuple[int, str, str]] = {
    "malformed": (400, "It cannot be read", "The body is no JSON object, or the cursor or a header is none of ours."),
    "no-key": (401, "A key is needed", "Send Authorization: Bearer rk_…, a key that has not ended."),
    "no-scope": (403, "This key may not do that", "The key lacks a scope; `reminders api-keys make` gives others."),
    "not-found": (404, "There is no such thing", "It does not exist, or not at a site of this key."),
    "no-method": (405, "Not that way", "The address does not take that method."),
    "slow": (408, "It did not arrive", "The body took longer than ten seconds."),
    "not-possible": (409, "It cannot be done as things stand", "The detail says why. Nothing was changed."),
    "being-done": (409, "It is being done", "The same request, with the same Idempotency-Key, has not ended yet."),
    "changed-since": (412, "It was changed since", "The If-Match is not its ETag any more: look again, then decide."),
    "too-large": (413, "The body is too large", "At most a megabyte."),
    "not-json": (415, "Only JSON is read", "Send Content-Type: application/json."),
    "refused": (422, "It is refused", "`errors` names every problem with its place. Nothing was changed."),
    "key-reused": (422, "The Idempotency-Key was used before", "It belongs to another request; make a new one."),
    "too-many": (429, "Too many requests", "Wait as long as Retry-After says."),
    "broken": (500, "Something is broken here", "The log of the web process says what."),
    "away": (503, "The database is away", "Nothing was changed, unless the detail says otherwise. Try again."),
}
"""Every problem there is: its status, title, and what it means. The name is the end of its `type`."""


class Place(BaseModel):
    """One thing that is wrong."""

    where: str = Field(description="Such as series[1].repeats, counted from 0, or query.limit")
    problem: str = Field(description="In plain words, without repeating the value")


class Problem(BaseModel):
    """Why it was not done (RFC 9457)."""

    type: str = Field(description="Which problem it is; the API's documentation page explains each")
    title: str
    status: int
    detail: str | None = None
    errors: list[Place] | None = None


class Refusal(Exception):  # ruff: ignore[error-suffix-on-exception-name]  a verdict, no error of ours
    """The request is not done; `kind` is one of KINDS."""

    def __init__(
        self,
        kind: str,
        detail: str | None = None,
        errors: Iterable[Wrong] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind)
        self.kind, self.detail, self.errors, self.headers = kind, detail, tuple(errors), headers


def document(kind: str, detail: str | None = None, errors: Iterable[Wrong] = ()) -> dict[str, object]:
    """The problem as it is answered."""
    status, title, _ = KINDS[kind]
    said: dict[str, object] = {"type": f"/api/docs#{kind}", "title": title, "status": status}
    if detail is not None:
        said["detail"] = detail
    if places := [{"where": one.where, "problem": one.problem} for one in errors]:
        said["errors"] = places
    return said


def answer(refusal: Refusal) -> Response:
    """The answer to a request that is not done."""
    said = document(refusal.kind, refusal.detail, refusal.errors)
    headers = dict(refusal.headers) if refusal.headers else None
    return JSONResponse(said, KINDS[refusal.kind][0], headers, MEDIA)


def refusal_of(error: Exception) -> Refusal | None:
    """The refusal that an exception of the services stands for; None for a bug of ours."""
    match error:
        case Refusal():
            return error
        case PlanRefused():
            return Refusal("refused", errors=error.problems)
        case RequestValidationError():
            return Refusal("refused", errors=map(_wrong, error.errors()))
        case NoKey():
            return Refusal("no-key", headers={"WWW-Authenticate": 'Bearer realm="reminders"'})
        case TooMany():
            return Refusal("too-many", headers={"Retry-After": str(max(1, round(error.wait.total_seconds() + 0.5)))})
        case Repeated():
            return Refusal("being-done", headers={"Retry-After": "1"}) if error.busy else Refusal("key-reused")
        case ChangedSince():
            return Refusal("changed-since")
        case queries.CommitUncertain():
            detail = "The database went away while it wrote: it may or may not be done. Ask again with the same key."
            return Refusal("away", detail, headers={"Retry-After": "5"})
        case queries.Unavailable():
            return Refusal("away", headers={"Retry-After": "5"})
        case HTTPException():
            return _of_status(error)
    return None


def _of_status(error: HTTPException) -> Refusal:
    kinds = {404: "not-found", 405: "no-method", 413: "too-large", 415: "not-json"}
    kind = kinds.get(error.status_code, "malformed")
    phrase = HTTPStatus(error.status_code).phrase
    return Refusal(kind, error.detail if kind == "malformed" and error.detail != phrase else None, (), error.headers)


async def refuse(_: Request, error: Exception) -> Response:  # ruff: ignore[unused-async]  starlette awaits it
    """The answer to a request that met no route of ours, or a bug."""
    refusal = refusal_of(error)
    if refusal is None:
        log.error("the API met a bug: %s", logs.describe(error))
        refusal = Refusal("broken")
    return answer(refusal)


_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is unknown here",
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "timezone_aware": "needs its offset, as in 2026-12-01T09:00:00-05:00",
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
    "string_too_long": "is longer than {max_length} characters",
    "string_pattern_mismatch": "holds a sign that it cannot have",
}


def _wrong(detail: Mapping[str, object]) -> Wrong:
    """One problem of a query, in plain words, without the value."""
    kind, context, place = str(detail["type"]), detail.get("ctx"), detail["loc"]
    assert isinstance(place, tuple)
    words = _WORDS.get(kind)
    if words is None:
        words = "must be a date, such as 2026-12-01" if kind.startswith("date_from") else "cannot be read"
        words = "must be an instant, such as 2026-12-01T09:00:00-05:00" if kind.startswith("datetime") else words
    return Wrong(".".join(map(str, place)), words.format(**(context if isinstance(context, dict) else {})))
