"""Pages to come in by: sign in, show or set up the second factor, take up an invitation, sign out.

Whoever is signed out while they fill in a form finds it again: the sign-in pages carry what was typed, sealed, and
offer it after the sign-in to the same person.
"""

import re
from typing import Any
from urllib.parse import quote

import segno
from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import Markup

from reminders import clock
from reminders.service import AppContext
from reminders.service.office import accounts, signing_in
from reminders.web import access
from reminders.web.access import ANYBODY, ROLES, SignInFirst, Themselves
from reminders.web.forms import Fields, Form, read_form
from reminders.web.render import draw
from reminders.web.webhooks import TheContext

router = APIRouter()
PUBLIC = [Depends(ANYBODY)]

MOST_KEPT = 64 * 1024  # characters; sealed and sent back they must fit a form


async def ask(request: Request, error: Exception) -> Response:
    """What someone gets who must sign in first: the way there, and what they had typed goes with them."""
    assert isinstance(error, SignInFirst)
    if request.method in {"GET", "HEAD"}:
        there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(_with_next(_PATHS[error.need], there), 303)
    kept = await _keep(request, error.was)
    return _page(request, _start(request, need=error.need, kept=kept, ended=True), 401)


_PATHS = {"password": "/sign-in", "code": "/sign-in/code", "enrol": "/enrol"}


async def _keep(request: Request, was: int | None) -> str:
    """The fields of a form, sealed; empty where no one was signed in, or it is none."""
    if was is None or not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return ""
    fields: Fields = getattr(request.state, "fields", None) or await read_form(request)
    if sum(len(name) + len(value) for name, value in fields.pairs) > MOST_KEPT:
        return ""
    context: AppContext = request.app.state.context
    return signing_in.keep_form(context, was, request.url.path, fields.pairs, clock.now())


def _with_next(path: str, there: str) -> str:
    return path if there in {"", "/"} else f"{path}?next={quote(there, safe='/')}"


def _safe(there: str) -> str:
    """A path of ours to go on to; the first page where it is anything else."""
    is_ours = re.fullmatch(r"/(?![/\\])[!-~]*", there) and not there.startswith(("/sign-", "/enrol"))
    return there if is_ours else "/"


def _start(request: Request, *, need: str = "password", **values: Any) -> tuple[str, dict[str, Any]]:
    """The first page to come in by, and what it shows."""
    context: AppContext = request.app.state.context
    name = "second-factor.html" if need == "code" else "sign-in.html"
    demo = context.settings.web.demo and access.is_local(request)
    shown = dict(accounts.DEMO_STAFF) if demo else {}
    return name, {
        "next": "/",
        "login": "",
        "problems": {},
        "kept": "",
        "ended": False,
        "staff": shown,
        "roles": ROLES,
    } | values


def _page(request: Request, page: tuple[str, dict[str, Any]], status: int = 200) -> HTMLResponse:
    name, values = page
    return draw(request, name, status=status, **values)


@router.get("/sign-in", dependencies=PUBLIC)
def sign_in_page(request: Request, next: str = "/") -> Response:  # ruff: ignore[builtin-argument-shadowing]  its name in addresses
    """The form for login and password; whoever is signed in goes on."""
    try:
        access.signed_in(request)
    except SignInFirst:
        return _page(request, _start(request, next=_safe(next)))
    return RedirectResponse(_safe(next), 303)


@router.post("/sign-in", dependencies=PUBLIC)
def sign_in(request: Request, context: TheContext, form: Form) -> Response:
    """Login and password → the second page."""
    _check_the_way(request)
    login, password = form["login"], form["password"]
    carried = {"next": _safe(form["next"]), "kept": form["kept"]}
    problems = {}
    if not login:
        problems["login"] = "Enter your login"
    if not password:
        problems["password"] = "Enter your password"  # ruff: ignore[hardcoded-password-string]  words about one
    if problems:
        return _page(request, _start(request, login=login, problems=problems, **carried), 422)
    try:
        where, device = access.address_of(request), access.device_of(request)
        half = signing_in.sign_in(context, login, password, clock.now(), where=where, device=device)
    except (signing_in.TooManyTries, signing_in.Busy) as refusal:
        problems = {"login": wait_words(refusal)}
        return too_many(_page(request, _start(request, login=login, problems=problems, **carried), 429), refusal)
    if half is None:
        problems = {"login": "Login and password do not go together. Check both and try again"}
        return _page(request, _start(request, login=login, problems=problems, **carried), 422)
    if half.enrolled:
        answer: Response = _page(request, _start(request, need="code", **carried))
    else:
        answer = RedirectResponse(_with_next("/enrol", carried["next"]), 303)
    access.give_token(answer, context.settings, half.token)
    return answer


@router.post("/sign-in/demo", dependencies=PUBLIC)
def enter_demo(request: Request, context: TheContext, form: Form) -> Response:
    """In the demo, on this machine: come in as one of its staff. 404 anywhere else."""
    token = None
    if access.is_local(request):
        token = signing_in.enter_demo(context, form["login"], clock.now(), where=access.address_of(request))
    if token is None:
        raise HTTPException(404)
    return _inside(request, token, _safe(form["next"]), form["kept"])


@router.get("/sign-in/code", dependencies=PUBLIC)
def second_page(request: Request, context: TheContext, next: str = "/") -> Response:  # ruff: ignore[builtin-argument-shadowing]  as above
    """The form for the second factor, after the password."""
    try:
        member = signing_in.unproved(context, access.token_of(request), clock.now())
    except signing_in.NotSignedIn:
        return RedirectResponse(_with_next("/sign-in", _safe(next)), 303)
    if member.enrolled_at is None:
        return RedirectResponse(_with_next("/enrol", _safe(next)), 303)
    return _page(request, _start(request, need="code", next=_safe(next)))


@router.post("/sign-in/code", dependencies=PUBLIC)
def second_factor(request: Request, context: TheContext, form: Form) -> Response:
    """The second factor, or a recovery code → in."""
    _check_the_way(request)
    code, carried = form["code"], {"next": _safe(form["next"]), "kept": form["kept"]}
    said = "Enter the code that your app shows now, or a recovery code you have not used"
    try:
        token = signing_in.prove(context, access.token_of(request), code, clock.now()) if code else None
    except signing_in.NotSignedIn as need:
        if need.need == "enrol":
            return RedirectResponse(_with_next("/enrol", carried["next"]), 303)
        return _page(request, _start(request, ended=True, **carried), 401)
    except signing_in.TooManyTries as refusal:
        page = _start(request, need="code", problems={"code": wait_words(refusal)}, **carried)
        return too_many(_page(request, page, 429), refusal)
    if token is None:
        return _page(request, _start(request, need="code", problems={"code": said}, **carried), 422)
    return _inside(request, token, carried["next"], carried["kept"])


def _inside(request: Request, token: str, there: str, kept: str) -> Response:
    """Where someone goes on who has just signed in: to the form they were filling in, or to the page they wanted."""
    context: AppContext = request.app.state.context
    form = None
    if kept:
        actor = signing_in.enter(context, token, clock.now())
        form = signing_in.kept_form(context, actor.id, kept, clock.now())
        request.state.actor = actor
    if form is None:
        answer: Response = RedirectResponse(there, 303)
    else:
        answer = _page(request, ("carry-on.html", {"address": form[0], "fields": form[1], "next": there}))
    access.give_token(answer, context.settings, token)
    access.give_device(answer, context, token)
    return answer


# The second factor is set up at the first sign-in


@router.get("/enrol", dependencies=PUBLIC)
def enrol_page(request: Request, context: TheContext, next: str = "/") -> Response:  # ruff: ignore[builtin-argument-shadowing]  as above
    """A second factor is offered, for an app to take up."""
    try:
        member = signing_in.unproved(context, access.token_of(request), clock.now())
    except signing_in.NotSignedIn:
        return RedirectResponse(_with_next("/sign-in", "/enrol"), 303)
    if member.enrolled_at is not None:
        return RedirectResponse(_with_next("/sign-in/code", _safe(next)), 303)
    return _enrol_page(request, signing_in.offer_factor(context, member.id, member.login, clock.now()), _safe(next))


@router.post("/enrol", dependencies=PUBLIC)
def enrol(request: Request, context: TheContext, form: Form) -> Response:
    """The code that confirms it → the recovery codes, shown once."""
    _check_the_way(request)
    token, now, problem, there = access.token_of(request), clock.now(), "", _safe(form["next"])
    try:
        member = signing_in.unproved(context, token, now)
        done = signing_in.enrol(context, token, form["sealed"], form["code"], now)
    except signing_in.NotSignedIn as need:
        return RedirectResponse(_with_next(_PATHS[need.need], there), 303)
    except signing_in.TooManyTries as refusal:
        done, problem = None, wait_words(refusal)
    if done is None:
        offered = signing_in.offered_again(context, member.id, member.login, form["sealed"], now)
        problem = problem or "Enter the six digits that your app shows now for Reminders"
        return _enrol_page(request, offered, there, {"code": problem}, 422)
    request.state.actor = signing_in.enter(context, done[0], now)
    answer = _page(request, ("recovery-codes.html", {"codes": done[1], "next": there}))
    access.give_token(answer, context.settings, done[0])
    access.give_device(answer, context, done[0])
    return answer


def _enrol_page(
    request: Request,
    offered: signing_in.Enrolment,
    there: str,
    problems: dict[str, str] | None = None,
    status: int = 200,
) -> HTMLResponse:
    values = offer_of(offered) | {"another": False, "next": there, "problems": problems or {}}
    return _page(request, ("enrol.html", values), status)


def offer_of(offered: signing_in.Enrolment) -> dict[str, Any]:
    """What the page of an offered second factor shows of it."""
    drawn = segno.make(offered.uri, error="m").svg_inline(
        scale=5, omitsize=True, svgclass=None, lineclass=None, dark="#000", light="#fff"
    )
    return {
        "qr": Markup(drawn),  # ruff: ignore[unsafe-markup-use]  drawn by us, of numbers
        "groups": [offered.secret[at : at + 4] for at in range(0, len(offered.secret), 4)],
        "sealed": offered.sealed,
        "uri": offered.uri,
    }


# An invitation


@router.get("/invitation/{token}", dependencies=PUBLIC)
def invitation_page(request: Request, context: TheContext, token: str) -> Response:
    """The form in which someone who was invited chooses a password. 404 for an invitation that does not hold."""
    return _invitation_page(request, context, token)


@router.post("/invitation/{token}", dependencies=PUBLIC)
def take_up(request: Request, context: TheContext, token: str, form: Form) -> Response:
    """The password → the second factor."""
    _check_the_way(request)
    try:
        half = signing_in.take_up(context, token, form["password"], clock.now(), where=access.address_of(request))
    except accounts.Refused as refusal:
        return _invitation_page(request, context, token, {"password": str(refusal)}, 422)
    except signing_in.Busy as refusal:
        return too_many(_invitation_page(request, context, token, {"password": wait_words(refusal)}, 429), refusal)
    except LookupError:
        raise _no_invitation() from None
    answer = RedirectResponse("/sign-in/code" if half.enrolled else "/enrol", 303)
    access.give_token(answer, context.settings, half.token)
    return answer


def _invitation_page(
    request: Request, context: AppContext, token: str, problems: dict[str, str] | None = None, status: int = 200
) -> HTMLResponse:
    member = signing_in.invited(context, token, clock.now())
    if member is None:
        raise _no_invitation()
    values = {
        "person": member.name,
        "login": member.login,
        "address": f"/invitation/{token}",
        "problems": problems or {},
        "shortest": signing_in.SHORTEST_PASSWORD,
    }
    return _page(request, ("invitation.html", values), status)


def _no_invitation() -> HTTPException:
    return HTTPException(
        404, "This invitation was used, or its three days are over. Ask whoever sent it for a new one."
    )


# Out


@router.post("/sign-out", dependencies=PUBLIC)
def sign_out(request: Request, context: TheContext) -> Response:
    """End the sign-in, in the database and in the browser."""
    signing_in.sign_out(context, access.token_of(request), clock.now())
    answer = RedirectResponse("/sign-in", 303)
    access.take_token(answer, context.settings)
    return answer


@router.post("/sign-out/others")
def end_others(context: TheContext, actor: Themselves) -> Response:
    """End one's sign-ins at all other browsers."""
    signing_in.end_others(context, actor, clock.now())
    return RedirectResponse("/account?done=others", 303)


def _check_the_way(request: Request) -> None:
    if not access.may_take_passwords(request):
        raise HTTPException(
            403, "Over plain HTTP no one can sign in from another machine. Set web.public_url to an https address."
        )


def wait_words(refusal: signing_in.TooManyTries | signing_in.Busy) -> str:
    """How long to wait, in words."""
    if isinstance(refusal, signing_in.Busy):
        return "Many people are signing in at this moment. Try again in a few seconds"
    seconds = refusal.seconds
    long = f"{-(-seconds // 60)} minutes" if seconds > 90 else f"{seconds} second{'' if seconds == 1 else 's'}"
    return f"Too many wrong tries. Wait {long}, then try again"


def too_many(answer: HTMLResponse, refusal: signing_in.TooManyTries | signing_in.Busy) -> HTMLResponse:
    """The page, with how long to wait for programs."""
    answer.headers["Retry-After"] = str(getattr(refusal, "seconds", 3))
    return answer
