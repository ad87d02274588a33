"""The application: what is common to all routes, and the routes joined together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reminders import queries
from reminders.service import AppContext
from reminders.service.operations import logs, presence, standing_in
from reminders.service.replies import inbound
from reminders.web import access, api, forwarded, monitors, sign_in, traffic, webhooks
from reminders.web.pages import (
    account,
    acknowledge,
    attendance,
    audit,
    health,
    inbox,
    log,
    manual,
    new_plan,
    patients,
    phones,
    plans,
    sessions,
    sites,
    text,
    today,
    users,
    wording,
)
from reminders.web.render import problem

PAGES = (
    sign_in,
    today,
    inbox,
    sessions,
    attendance,
    new_plan,
    plans,
    patients,
    phones,
    log,
    text,
    health,
    sites,
    wording,
    users,
    audit,
    account,
    acknowledge,
    manual,
)

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",  # without meaning on plain HTTP
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer, whatever it is (ASVS 3.4, 14.3.2)."""


class _Headed:
    """Puts HEADERS on every answer of `app`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                own = headers.get("Content-Security-Policy")  # the API's documentation has one of its own
                headers.update(HEADERS | ({"Content-Security-Policy": own} if own is not None else {}))
            await send(message)

        await self._app(scope, receive, headed)


def create_app(context: AppContext | None = None) -> FastAPI:
    """The web application on `context`, or on one opened from this process's settings; it closes it at its end.

    Raises SettingsError.
    """
    if context is None:
        logs.set_up()
    home = context or AppContext.open(quick=True)
    if context is None:
        logs.set_up(how=home.settings.logging)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        inbound.warm_up()  # before the first reply, which may be urgent
        here = presence.Presence(home, "web")
        here.start()
        stand_in = standing_in.StandIn(home)
        stand_in.start()
        try:
            yield
        finally:
            stand_in.stop()
            here.stop()
            home.close()

    app = FastAPI(
        title="Aftercare reminders",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # such a redirect would name the request's Host, which is anyone's
        lifespan=lifespan,
    )
    app.state.context = home
    app.add_middleware(access.WithAddress)
    app.add_middleware(forwarded.WatchProxies, context=home)
    app.add_middleware(access.SameOrigin, context=home, refuse=_elsewhere)
    app.add_middleware(_Headed)
    app.add_middleware(traffic.Traffic, context=home)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(access.SignInFirst, sign_in.ask)
    app.add_exception_handler(queries.Unavailable, _away)
    app.add_exception_handler(Exception, _broken)
    app.include_router(webhooks.router)
    app.include_router(monitors.router)
    for page in PAGES:
        app.include_router(page.router)
    app.mount("/api", api.create(home))
    app.mount("/static", StaticFiles(packages=[("reminders.web", "static")]), name="static")
    return app


_WORDS = {
    403: ("Not from here", "This address does not answer such a request."),
    404: ("Page not found", "There is no such page. Check the address, or go to the delivery log."),
    405: ("Not that way", "This address does not take that kind of request."),
}


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if request.url.path.startswith("/api/"):  # one that holds a line break, which the mount does not take
        return await api.refuse(request, error)
    phrase = HTTPStatus(error.status_code).phrase
    title, words = _WORDS.get(error.status_code, (phrase, phrase))
    said = error.detail if error.detail != phrase else words
    return problem(request, error.status_code, title, said, error.headers)


async def _elsewhere(request: Request) -> Response:  # ruff: ignore[unused-async]  the middleware awaits it
    return problem(
        request, 403, "Not from there", "Another site asked for this, so nothing was done. Do it from a page of ours."
    )


async def _away(request: Request, _: Exception) -> Response:  # ruff: ignore[unused-async]  starlette awaits it
    # Twilio calls again on a 5xx: our callback addresses ask it to.
    return problem(
        request,
        503,
        "The database is away",
        "It cannot be used just now. Nothing was changed and nothing is lost; try again in a moment.",
        {"Retry-After": "5"},
    )


async def _broken(request: Request, _: Exception) -> Response:  # ruff: ignore[unused-async]  starlette awaits it
    # Outside of all middleware, so that the headers are put on here.
    return problem(request, 500, "Something is broken here", "The log of the web process says what and where.", HEADERS)
