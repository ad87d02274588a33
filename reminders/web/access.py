"""Who may ask for what. Every route says it: `Needs` a permission, `ANYBODY`, or `MONITORS`; a test walks them all.

    @router.get("/log")
    def log(house: TheHouse, actor: Looking) -> HTMLResponse:
        sites = actor.sites("look")

No cookie is ever accepted under /api, so a browser cannot be made to ask there. Elsewhere a request that changes
something must come from a page of ours (`SameOrigin`).
"""

import hmac
import re
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from reminders import clock
from reminders.queries import readings
from reminders.service import AppContext
from reminders.service.office import signing_in
from reminders.service.office.accounts import PERMISSIONS, Actor
from reminders.service.operations import proxies
from reminders.settings import Settings

__all__ = [
    "ANYBODY",
    "MONITORS",
    "ROLES",
    "SIGNED_IN",
    "Actor",
    "Administering",
    "Answering",
    "Auditing",
    "Exporting",
    "Looking",
    "Needs",
    "Operating",
    "Pausing",
    "Planning",
    "Raw",
    "SameOrigin",
    "SeeingPeople",
    "SignInFirst",
    "Themselves",
    "WithAddress",
    "passed_on",
]

ROLES = {
    "coordinator": "Coordinator",
    "clinician": "Clinician",
    "ops": "Ops",
    "admin": "Administrator",
    "read_only": "Read-only",
}
"""A role → its word for people."""

_PASSED_ON = {"forwarded", "via", "x-real-ip", "x-client-ip", "true-client-ip", "cf-connecting-ip"}
_SAFE = {"GET", "HEAD", "OPTIONS", "TRACE"}
_DO = {
    "look": "see this page",
    "people": "see people here",
    "plan": "change plans",
    "answer": "answer texts and tasks",
    "judge": "say which replies were danger",
    "pause": "stop sending",
    "operate": "run the service",
    "export": "take lists out",
    "raw": "see what Twilio sent",
    "audit": "read the audit",
    "administer": "administer users and sites",
}


class SignInFirst(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is to be done
    """A page was asked for that needs a sign-in, and there is none that holds."""

    def __init__(self, need: signing_in.NotSignedIn) -> None:
        super().__init__(need.need)
        self.need, self.was = need.need, need.was


class Needs:
    """A dependency: the actor who asks, who has this permission at one site at least.

    A stranger is sent to sign in (under /api they get 401); who may not is told so (403). What the actor may do at the
    site in question is the route's to ask: `actor.may("people", site_id)`, and 404 where they may not look.
    """

    def __init__(self, permission: str) -> None:
        assert any(permission in allowed for allowed in PERMISSIONS.values()), permission
        self.permission = permission

    def __call__(self, request: Request) -> Actor:
        """The actor. Raises SignInFirst, HTTPException."""
        if request.url.path.startswith("/api/"):
            raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
        actor = signed_in(request)
        if not actor.may(self.permission):
            roles = " and ".join(sorted({ROLES[role].lower() for role in actor.roles.values()})) or "none"
            raise HTTPException(
                403,
                f"Your role ({roles}) does not let you {_DO[self.permission]}. "
                "Someone who administers users can change that.",
            )
        return actor


def signed_in(request: Request) -> Actor:
    """Who is signed in. Raises SignInFirst."""
    context: AppContext = request.app.state.context
    try:
        actor = signing_in.enter(
            context, token_of(request), clock.now(), refresh=request.headers.get("x-refresh") == "1"
        )
    except signing_in.NotSignedIn as need:
        raise SignInFirst(need) from None
    request.state.actor = actor  # for the frame of the page
    return actor


class _Anybody:
    """Marks a route that is public on purpose."""

    async def __call__(self) -> None:
        """Nothing is asked."""


class _Monitors:
    """Marks a route for programs that watch: on this machine, at an address of `web.monitors`, or with the token."""

    async def __call__(self, request: Request) -> None:
        """403 for anyone else."""
        if not (is_local(request) or _has_token(request) or _is_monitor(request)):
            raise HTTPException(403)


class _SignedIn:
    """Marks a route for everyone who is signed in, whatever their role: their own account."""

    def __call__(self, request: Request) -> Actor:
        """The actor. Raises SignInFirst."""
        return signed_in(request)


ANYBODY, MONITORS, SIGNED_IN = _Anybody(), _Monitors(), _SignedIn()

Looking = Annotated[Actor, Depends(Needs("look"))]
SeeingPeople = Annotated[Actor, Depends(Needs("people"))]
Planning = Annotated[Actor, Depends(Needs("plan"))]
Answering = Annotated[Actor, Depends(Needs("answer"))]
Pausing = Annotated[Actor, Depends(Needs("pause"))]
Operating = Annotated[Actor, Depends(Needs("operate"))]
Exporting = Annotated[Actor, Depends(Needs("export"))]
Raw = Annotated[Actor, Depends(Needs("raw"))]
Auditing = Annotated[Actor, Depends(Needs("audit"))]
Administering = Annotated[Actor, Depends(Needs("administer"))]
Themselves = Annotated[Actor, Depends(SIGNED_IN)]


# The cookie


def cookie_name(settings: Settings) -> str:
    """The name of the cookie; under https browsers hold it to this host and path (`__Host-`)."""
    return "__Host-reminders" if _is_https(settings) else "reminders"


def token_of(request: Request) -> str:
    """The token of the cookie; empty where there is none."""
    context: AppContext = request.app.state.context
    return request.cookies.get(cookie_name(context.settings), "")


def give_token(answer: Response, settings: Settings, token: str) -> None:
    """Set the cookie. It ends with the browser; the sign-in itself ends earlier, in the database."""
    answer.set_cookie(cookie_name(settings), token, path="/", secure=_is_https(settings), httponly=True, samesite="lax")


def take_token(answer: Response, settings: Settings) -> None:
    """Take the cookie away, and what the browser has kept of our pages (ASVS 14.3.1)."""
    answer.delete_cookie(cookie_name(settings), path="/", secure=_is_https(settings), httponly=True, samesite="lax")
    answer.headers["Clear-Site-Data"] = '"cache", "storage"'


def device_of(request: Request) -> str:
    """The device token of the browser; empty where there is none."""
    context: AppContext = request.app.state.context
    return request.cookies.get(_device_cookie(context.settings), "")


def give_device(answer: Response, context: AppContext, token: str) -> None:
    """Let the browser be known again at the next sign-in of whoever is signed in by that token."""
    now = clock.now()
    if device := signing_in.device_token(context, signing_in.enter(context, token, now), now):
        name, age, https = _device_cookie(context.settings), signing_in.DEVICE_FOR, _is_https(context.settings)
        answer.set_cookie(
            name, device, max_age=int(age.total_seconds()), path="/", secure=https, httponly=True, samesite="strict"
        )


def _device_cookie(settings: Settings) -> str:
    return f"{cookie_name(settings)}-device"


def _is_https(settings: Settings) -> bool:
    return settings.web.public_url.startswith("https:")


def may_take_passwords(request: Request) -> bool:
    """Whether a password is safe on the way: over https, or without leaving this machine."""
    context: AppContext = request.app.state.context
    return _is_https(context.settings) or is_local(request)


# Where it comes from


def is_local(request: Request) -> bool:
    """Whether a request comes straight from this machine.

    The Host is looked at too, so that no page of another site can make a browser here ask for us under its own name;
    and a request that a proxy passed on is someone else's. The port must be the one we listen on: a proxy that says
    nothing of whom it speaks for mostly names our address without it, or its own.
    """
    try:
        named = urlsplit(f"//{request.headers.get('host', '')}")
        host, port = named.hostname or "", named.port or 80
    except ValueError:  # '[', for one
        return False
    return (
        request.client is not None
        and _is_loopback(request.client.host)
        and (host == "localhost" or _is_loopback(host))
        and port == (request.scope.get("server") or ("", None))[1]
        and request.scope.get("http_version") != "1.0"  # as nginx speaks to us unless told otherwise
        and passed_on(request) is None
    )


def _has_token(request: Request) -> bool:
    """Whether a request says the token of monitors, which is then good from anywhere."""
    context: AppContext = request.app.state.context
    token = context.secrets.monitor_token
    scheme, _, said = request.headers.get("authorization", "").partition(" ")
    return (
        token is not None and scheme.lower() == "bearer" and hmac.compare_digest(said.strip().encode(), token.encode())
    )


def _is_monitor(request: Request) -> bool:
    """Whether a request comes from an address of `web.monitors`.

    One that was passed on counts by the address behind a proxy of our own, never by the proxy's: it speaks for the
    whole world.
    """
    context: AppContext = request.app.state.context
    web = context.settings.web
    peer = request.client.host if request.client is not None else ""
    if (passed_on(request) is not None or request.scope.get("http_version") == "1.0") and peer not in web.proxies:
        return False
    try:
        address = ip_address(address_of(request))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    address = mapped or address
    return str(address) not in web.proxies and any(address in ip_network(one) for one in web.monitors)


def passed_on(request: Request) -> str | None:
    """The header by which a request says that someone passed it on; the one that we believe before any other."""
    names = [name for name in request.headers if name in _PASSED_ON or name.startswith("x-forwarded")]
    return min(names, key=lambda name: (name != proxies.BELIEVED, name), default=None)


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def address_of(request: Request) -> str:
    """The address a request comes from: the peer's, or what a proxy of our own says (`web.proxies`)."""
    context: AppContext = request.app.state.context
    ours = set(context.settings.web.proxies)
    # A proxy may write a line of its own behind the one that came: lines are one list, in the order they came.
    lines = request.headers.getlist("x-forwarded-for")
    hops = [hop.strip() for line in lines for hop in line.split(",")]
    hops.append(request.client.host if request.client else "")
    while len(hops) > 1 and hops[-1] in ours:
        hops.pop()
    try:
        return str(ip_address(hops[-1]))
    except ValueError:
        return "unknown"


class WithAddress:
    """Keeps the address of a request at hand while it is answered: the audit notes it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kept = readings.came_from.set(address_of(Request(scope)))
        try:
            await self._app(scope, receive, send)
        finally:
            readings.came_from.reset(kept)


class SameOrigin:
    """Lets requests that change something through only where one of our own pages makes them (ASVS 3.5).

    A browser says where a request comes from: Sec-Fetch-Site, or Origin where it does not send that. Without either
    it is no browser, and then it has no cookie to lend. Webhooks are signed and the API takes no cookie, so both are
    left alone. `refuse` draws the answer.
    """

    def __init__(self, app: ASGIApp, *, context: AppContext, refuse: Callable[[Request], Awaitable[Response]]) -> None:
        self._app, self._context, self._refuse = app, context, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        changes = scope["type"] == "http" and scope["method"] not in _SAFE
        if changes and not re.match(r"/(sms|api)/", scope["path"]) and not self._is_ours(Request(scope)):
            await (await self._refuse(Request(scope)))(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_ours(self, request: Request) -> bool:
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site in {"same-origin", "none"}:
            return True
        if site is not None:  # a browser that says so knows better than an Origin, which a proxy may write
            return False
        if site is None and origin is None:
            return cookie_name(self._context.settings) not in request.cookies
        parts = urlsplit(self._context.settings.web.public_url)
        ours = {f"{parts.scheme}://{parts.netloc}".lower()}
        if is_local(request):
            ours.add(f"http://{request.headers['host']}".lower())
        return origin is not None and origin.lower() in ours
