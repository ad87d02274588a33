"""The way in: who asks with which key, how much and how often, and a request that is made again.

Every route says in its `needs(…)` which scopes it asks for. What it refuses is a problem; what it does is on record
with the key's prefix as who did it. No cookie is ever looked at, so a browser cannot be made to ask here.
"""

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from itertools import starmap
from typing import Annotated, Any, Protocol, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import AwareDatetime, BaseModel, BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from reminders import clock, intake, plans, queries
from reminders.audit_actions import Action
from reminders.plans import Known, PlanRefused
from reminders.plans import Problem as Wrong
from reminders.queries import readings
from reminders.service import AppContext
from reminders.service.office import api_keys
from reminders.service.office.api_keys import Caller
from reminders.web.api.problems import Refusal, answer, refusal_of
from reminders.web.api.shapes import MOST_ROWS
from reminders.web.webhooks import TheContext

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

MOST_SECONDS = 10.0
_KEPT_HEADERS = ("content-type", "location", "etag", "link")
_ETAG = re.compile(r'"([0-9]{1,9})"')


def needs(*scopes: str, gives: Any, takes: type[BaseModel] | None = None) -> dict[str, Any]:
    """What a route asks for, what it answers and takes: `**needs("write", gives=PlanDone, takes=Ending)`.

    It stands in the OpenAPI document, and it is what is checked.
    """
    said: dict[str, Any] = {"security": [{"key": list(scopes)}]}
    if takes is not None:
        content = {"schema": {"$ref": f"#/components/schemas/{takes.__name__}"}}
        said["requestBody"] = {"required": True, "content": {"application/json": content}}
    return {"response_model": gives, "openapi_extra": said}


class Door(APIRoute):
    """A route that only a key opens."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's own handler, with all that comes before it and after it."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await self._let_in(request, inner)
            except Exception as error:
                refusal = refusal_of(error)
                if refusal is None:
                    raise
                return _counted(request, answer(refusal))

        return handle

    async def _let_in(self, request: Request, inner: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
        context: AppContext = request.app.state.context
        caller = await run_in_threadpool(_caller, context, request.headers.get("authorization", ""))
        request.state.caller = caller
        assert self.openapi_extra is not None
        require(caller, *self.openapi_extra["security"][0]["key"])
        self._check_names(request)
        request = Request(request.scope, _limited(request))
        key = request.headers.get("idempotency-key") if request.method == "POST" else None
        if key is None:
            return _counted(request, await _answered(context, caller, request, inner))
        if not re.fullmatch(r"[!-~]{1,128}", key):
            raise Refusal("malformed", "The Idempotency-Key must be 1 to 128 printable ASCII characters.")
        asked = json.dumps([request.url.path, request.url.query, request.headers.get("if-match")]).encode()
        asked += b"\n" + await _body(request)
        known = await run_in_threadpool(api_keys.begin, context, caller, key, asked, clock.now())
        if known is not None:
            await run_in_threadpool(_note, context, caller, request, known.body, Action.REPEATED_ANSWER_READ)
            return _counted(request, Response(known.body, known.status, dict(known.headers)))
        try:
            response = await _answered(context, caller, request, inner)
        except Exception as error:
            refusal = refusal_of(error)
            if refusal is None or answer(refusal).status_code >= 500:
                await run_in_threadpool(api_keys.give_up, context, caller, key)
                raise
            response = answer(refusal)
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        said = api_keys.Answer(response.status_code, headers, bytes(response.body).decode())
        await run_in_threadpool(api_keys.keep, context, caller, key, said)
        return _counted(request, response)

    def _check_names(self, request: Request) -> None:
        """A filter that is misspelt must not be passed over: the answer would be another one's."""
        known = {field.alias for field in self.dependant.query_params}
        wrong = [name for name in request.query_params if name not in known]
        if wrong:
            unknown = "is unknown here" + (f"; there is {', '.join(sorted(known))}" if known else "")
            raise Refusal("refused", errors=[Wrong(f"query.{_shown(name)}", unknown) for name in wrong])


async def _answered(
    context: AppContext, caller: Caller, request: Request, inner: Callable[[Request], Coroutine[Any, Any, Response]]
) -> Response:
    """The answer. That it shows someone is on record before it leaves: a reference alone is someone."""
    noted: list[str] = []
    kept = readings.noted_here.set(noted)
    try:
        response = await inner(request)
    finally:
        readings.noted_here.reset(kept)
    # What a preview of a new document notes is rolled back with it.
    tried_out = request.method == "POST" and request.url.path.endswith("/preview")
    looked = request.method == "GET" or request.url.path.endswith("/search")
    if response.status_code < 300 and (tried_out or (looked and not noted)):
        at = _AT.search(request.url.path)
        what = _READ.get(at[1] if at is not None else "", Action.ANSWER_READ)
        await run_in_threadpool(_note, context, caller, request, bytes(response.body).decode(), what)
    return response


_AT = re.compile(r"/api/(?:v[0-9]+/)?([a-z]+)")
_AREAS = ("patients", "plans", "preview", "tasks", "log", "texts", "replies", "appointments", "sessions", "stats")
_READ = {area: Action(f"{area} read") for area in _AREAS}
_TABLES = {"patients", "plans", "texts", "appointments"}
_OF_NO_ONE = {"sites", "openapi", "docs"}


def _note(context: AppContext, caller: Caller, request: Request, body: str, what: Action) -> None:
    """Put on record whom an answer shows: one row, with the ids of what is in it."""
    at = _AT.search(request.url.path)
    area = at[1] if at is not None else ""
    said = json.loads(body) if body else None
    items = said.get("items", [said]) if isinstance(said, dict) else said
    if area in _OF_NO_ONE or not items:
        return
    ids = [str(one.get("id") or one.get("text")) for one in items if isinstance(one, dict) and "items" not in one]
    one = isinstance(said, dict) and "items" not in said
    table, row = (area, int(ids[0])) if one and area in _TABLES and ids[0].isdecimal() else ("sites", min(caller.sites))
    now, after = clock.now(), " ".join(each for each in ids if each.isdecimal()) or None
    readings.note(context.database, readings.Note(what, table, row, after=after), now=now, who=caller.who)


def _shown(name: str) -> str:
    return re.sub(r"[^\w-]", "?", name[:40])


def _caller(context: AppContext, authorization: str) -> Caller:
    scheme, _, text = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise api_keys.NoKey
    return api_keys.admit(context, text.strip(), clock.now())


def _counted(request: Request, response: Response) -> Response:
    """How often this key may ask (draft-ietf-httpapi-ratelimit-headers)."""
    caller: Caller | None = getattr(request.state, "caller", None)
    context: AppContext = request.app.state.context
    most = context.settings.web.api_per_minute
    response.headers["RateLimit-Policy"] = f'"key";q={most};w=60'
    if caller is not None:
        response.headers["RateLimit"] = f'"key";r={caller.left};t=60'
    return response


def _limited(request: Request) -> Receive:
    context: AppContext = request.app.state.context
    most, arrived = context.settings.web.api_bytes, 0

    async def receive() -> Message:
        nonlocal arrived
        message = await request.receive()
        arrived += len(message.get("body", b""))
        if arrived > most:
            raise Refusal("too-large")
        return message

    return receive


async def _body(request: Request) -> bytes:
    try:
        async with asyncio.timeout(MOST_SECONDS):
            return await request.body()
    except TimeoutError:
        raise Refusal("slow") from None
    except ClientDisconnect:
        raise Refusal("malformed") from None


# What routes take.


async def _the_caller(request: Request) -> Caller:  # ruff: ignore[unused-async]  a plain function would cost a thread
    caller: Caller = request.state.caller
    return caller


async def _json(request: Request) -> Mapping[str, Any]:
    raw = await _body(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise Refusal("not-json")
    try:
        return intake.read_json(raw)
    except PlanRefused as wrong:
        raise Refusal("malformed", errors=wrong.problems) from None


async def the_version(request: Request) -> int | None:  # ruff: ignore[unused-async]  as above
    """The version that a change is held to: an ETag of ours in If-Match, or None. 412 for any other tag."""
    asked = request.headers.get("if-match")
    if asked is None or asked.strip() == "*":
        return None
    tag = _ETAG.fullmatch(asked.strip())
    if tag is None:  # a weak tag, or one that is none of ours, is not the one it has (RFC 9110, 13.1.1)
        raise Refusal("changed-since")
    return int(tag[1])


TheCaller = Annotated[Caller, Depends(_the_caller)]
Json = Annotated[Mapping[str, Any], Depends(_json)]
Version = Annotated[int | None, Depends(the_version)]
Names = Annotated[
    bool, Query(description="Open what is sealed, names first of all: needs the scope `people`, and is put on record.")
]
Limit = Annotated[int, Query(ge=1, le=MOST_ROWS, description="At most so many.")]
Cursor = Annotated[str, Query(max_length=200, description="`next` of the page before.", pattern="^[A-Za-z0-9_-]*$")]
Text = Annotated[str | None, Query(max_length=64, pattern="^[^\\x00-\\x1f\\x7f]*$")]


def _written_out(value: object, kind: str) -> object:
    """Of a date or an instant: pydantic would take a number for so many seconds since 1970."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        raise PydanticCustomError(kind, "it does not begin with year-month-day")
    return value


_INSTANT = BeforeValidator(partial(_written_out, kind="datetime_from_text"))
_DAY = BeforeValidator(partial(_written_out, kind="date_from_text"))
When = Annotated[AwareDatetime | None, _INSTANT, Query(description="An instant, with its offset.")]
On = Annotated[date | None, _DAY, Query(description="A date of the site, such as 2026-12-01.")]


def require(caller: Caller, *scopes: str) -> None:
    """403 unless the key has these scopes."""
    if missing := [scope for scope in scopes if scope not in caller.scopes]:
        raise Refusal("no-scope", f"It needs the scope {' and '.join(missing)}.")


def row_id(text: str) -> int:
    """The row that an address names. 404 for what can be none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and 0 < int(text) < 2**63):
        raise Refusal("not-found")
    return int(text)


def found(thing: T | None) -> T:
    """The thing. 404 where there is none."""
    if thing is None:
        raise Refusal("not-found")
    return thing


def instant(at: datetime | None, name: str) -> datetime | None:
    """An instant of a query, within what databases can hold. 422 beyond."""
    if at is not None and not 2000 <= at.year <= 2199:
        raise Refusal("refused", errors=[Wrong(f"query.{name}", "lies outside the years 2000 to 2199")])
    return at.astimezone(UTC) if at is not None else None


def known(context: AppContext, tx: queries.Transaction, caller: Caller, now: datetime, site: object = None) -> Known:
    """What a document of this caller is read against: other sites than theirs do not exist."""
    mine = frozenset({*caller.sites.values(), *([caller.home] if caller.every_site else ())})
    at = site if isinstance(site, str) and site in mine else caller.home
    return replace(context.known(tx, now, at), site=caller.home, sites=mine)


def read_body(context: AppContext, caller: Caller, model: type[M], body: Mapping[str, Any]) -> M:
    """The body of a request. Raises PlanRefused."""
    now = clock.now()
    return plans.read_section(model, "body", body, context.database.read(lambda tx: known(context, tx, caller, now)))


@contextmanager
def verdicts() -> Generator[None]:
    """409 for what a verb will not do as things stand: it says why, and names no one."""
    try:
        yield
    except ValueError as refused:
        raise Refusal("not-possible", f"{str(refused)[:1].upper()}{str(refused)[1:]}.") from None


def look(
    context: AppContext,
    caller: Caller,
    work: Callable[[queries.Transaction], T],
    *,
    names: bool,
    of: Action,
    table: str = "",
    row: int = 0,
) -> T:
    """Read something; with `names` what is sealed too, and then that it was read is put on record, once a request."""
    if not names:
        return context.database.read(work)
    require(caller, "people")
    now = clock.now()

    def noted(tx: queries.Transaction, notes: readings.Notes) -> T:
        seen = work(tx)
        ids = [str(one.id) for one in seen] if isinstance(seen, list) else []
        if row or ids:
            at, on = (table, row) if row else ("sites", min(caller.sites))  # a list stands at a site, with whose it was
            after = " ".join(ids) or None
            notes.add(of, at, on, after=after)
        return seen

    return readings.read(context.database, noted, now, who=caller.who)


# Pages.


def place(cursor: str, *kinds: type) -> tuple[Any, ...] | None:
    """Where a page begins, as the values of these kinds that a cursor holds. 400 for one that is none of ours."""
    if not cursor:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        return tuple(starmap(_value, zip(values, kinds, strict=True)))
    except (ValueError, TypeError, OverflowError, binascii.Error):
        raise Refusal("malformed", "The cursor is none of ours: take `next` of a page as it is.") from None


def _value(value: object, kind: type) -> Any:
    if kind is int:
        if type(value) is not int or abs(value) >= 2**63:
            raise ValueError
        return value
    if not isinstance(value, str):
        raise TypeError
    if kind is datetime:
        at = datetime.fromisoformat(value)
        if at.tzinfo is None or not 1900 <= at.year <= 2300:
            raise ValueError
        return at.astimezone(UTC)
    return date.fromisoformat(value)


class Placed(Protocol):
    """What stands in a list, with what its place in the order is."""

    @property
    def place(self) -> tuple[object, ...]:
        """Where it stands."""


def page(request: Request, response: Response, rows: Sequence[Placed], limit: int) -> dict[str, Any]:
    """A page of `rows`, of which there is one more than `limit` where another page follows.

    A search goes on by `cursor` in its body: a link would lead to another operation.
    """
    items, following = list(rows[:limit]), None
    if len(rows) > limit:
        values = [one.isoformat() if isinstance(one, date) else one for one in items[-1].place]
        following = base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")
        if request.method == "GET":
            query = {name: value for name, value in request.query_params.items() if name != "cursor"}
            response.headers["Link"] = f'<{request.url.path}?{urlencode(query | {"cursor": following})}>; rel="next"'
    return {"items": items, "next": following}


def etag(response: Response, version: int) -> None:
    """Say which version it is that was answered."""
    response.headers["ETag"] = f'"{version}"'


__all__ = [
    "Cursor",
    "Door",
    "Json",
    "Limit",
    "Names",
    "On",
    "Text",
    "TheCaller",
    "TheContext",
    "Version",
    "When",
    "etag",
    "found",
    "instant",
    "known",
    "look",
    "needs",
    "page",
    "place",
    "read_body",
    "require",
    "row_id",
    "verdicts",
]
