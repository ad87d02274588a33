"""The application: what is common to all routes, and the routes joined together."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.staticfiles import StaticFiles
from starlette.responses import PlainTextResponse

from reminders import store
from reminders.service import House, logs
from reminders.web import monitors, pages, webhooks

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def create_app(house: House | None = None) -> FastAPI:
    """The web application on `house`, or on one opened from this process's settings. Raises SettingsError."""
    if house is None:
        logs.set_up()
    home = house or House.open()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            home.close()

    app = FastAPI(title="Aftercare reminders", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.house = home

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.exception_handler(store.Unavailable)
    async def away(_: Request, __: store.Unavailable) -> Response:  # ruff: ignore[unused-async]  starlette awaits it
        # Twilio calls again on a 5xx: our callback addresses ask it to.
        return PlainTextResponse("The database is away. Try again soon.\n", 503, headers={"Retry-After": "5"})

    app.include_router(webhooks.router)
    app.include_router(monitors.router)
    app.include_router(pages.router)
    app.mount("/static", StaticFiles(packages=[("reminders.web", "static")]), name="static")
    return app
