"""Every route of the application, and whom it lets in: read from the router, so that none can be forgotten."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi.routing import APIRoute

from reminders.web import access


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    lets_in: object
    """A permission, or `anyone`, `local`, `signed in`, `key`; None where the route says nothing."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


_MARKS = {access.ANYBODY: "anybody", access.LOCAL: "local", access.SIGNED_IN: "signed in"}


def walk(app) -> list[Route]:
    """Every route except static files, which are public, and the API, which has its own test of its document."""
    found = []
    for route in _all(app.routes):
        if getattr(route, "path", "") in {"/static", "/api"}:
            continue
        assert isinstance(route, APIRoute), route
        marks = {_mark(call) for call in _calls(route.dependant)} - {None}
        assert len(marks) <= 1, (route.path, marks)
        path = re.sub(r":\w+\}", "}", route.path)  # what a place must look like is no matter here
        found += [Route(method, path, next(iter(marks), None)) for method in sorted(route.methods)]
    return found


def _all(routes) -> Iterator[object]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from _all(inner.routes)


def _calls(dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)


def _mark(call) -> object:
    try:
        return call.permission if isinstance(call, access.Needs) else _MARKS.get(call)
    except TypeError:  # what cannot be hashed is no mark
        return None
