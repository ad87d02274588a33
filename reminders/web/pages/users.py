"""Staff: who may sign in, and what they may do where."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from reminders import clock, queries
from reminders.service import AppContext
from reminders.service.office import accounts
from reminders.service.office.accounts import Actor, Invitation, Member
from reminders.web.access import ROLES, Administering
from reminders.web.forms import Form, RowId
from reminders.web.render import draw, see
from reminders.web.webhooks import TheContext

router = APIRouter(prefix="/users")

EVERYWHERE = "*"  # in a form: every site
DONE = {
    "role": "The role holds from their next click on.",
    "sign-ins": "Their sign-ins have ended.",
    "end": "Their access has ended, with all sign-ins and keys.",
}
STATES = {
    "active": "active",
    "invited": "invited",
    "invitation over": "invitation is over",
    "without second factor": "has no second factor yet",
    "ended": "ended",
}


@dataclass(frozen=True, slots=True)
class _Deed:
    title: str
    says: str
    button: str
    danger: bool = False


DEEDS: Mapping[str, _Deed] = MappingProxyType(
    {
        "reset": _Deed(
            "A new password",
            "Their password is of no use from then on, and all their sign-ins end. You get an invitation to pass on. "
            "Their second factor stays.",
            "Make an invitation",
        ),
        "reset-factor": _Deed(
            "A new password and second factor",
            "For someone who has lost their phone and their recovery codes. Make sure that it is they who ask. "
            "Password, second factor and recovery codes are of no use from then on, and all their sign-ins end.",
            "Reset both and make an invitation",
            danger=True,
        ),
        "sign-ins": _Deed("End their sign-ins", "They can sign in again at once.", "End their sign-ins"),
        "end": _Deed(
            "End their access",
            "Sign-ins and API keys that they made end at once. What they did stays on record.",
            "End their access",
            danger=True,
        ),
    }
)


@router.get("", response_class=HTMLResponse)
def users(request: Request, context: TheContext, actor: Administering) -> HTMLResponse:
    """Everyone whom the actor administers."""
    return draw(request, "users.html", members=accounts.everybody(context, actor), roles=ROLES, words=STATES)


@router.get("/new", response_class=HTMLResponse)
def new(request: Request, context: TheContext, actor: Administering) -> HTMLResponse:
    """The form to invite someone."""
    return _new(request, context, actor, {})


@router.post("/new")
def invite(request: Request, context: TheContext, actor: Administering, form: Form) -> Response:
    """Invite someone; the invitation is shown once."""
    site = _site(context, actor, form["site"])
    problems = {}
    if not accounts.is_login(accounts.fold(form["login"])):
        problems["login"] = "Enter a login of 2 to 50 small letters, digits and . _ @ + -, such as ana.reyes"
    if not form["name"]:
        problems["name"] = "Enter the name of the person"
    if form["role"] not in ROLES:
        problems["role"] = "Choose a role"
    if problems:
        return _new(request, context, actor, form.as_dict(), problems)
    try:
        invitation = accounts.invite(
            context, form["login"], form["name"], form["role"], clock.now(), who=actor.who, site=site
        )
    except accounts.Refused as refusal:
        return _new(request, context, actor, form.as_dict(), {"login": f"{refusal}. Choose another one"})
    return _invited(request, context, invitation)


@router.get("/{staff_id}", response_class=HTMLResponse)
def user(request: Request, context: TheContext, actor: Administering, staff_id: RowId, done: str = "") -> HTMLResponse:
    """One of them: their roles, and what can be done."""
    return _user(request, context, actor, _member(context, actor, staff_id), done=DONE.get(done))


@router.post("/{staff_id}/role")
def set_role(request: Request, context: TheContext, actor: Administering, staff_id: RowId, form: Form) -> Response:
    """Give a role at a site, or take it away."""
    member = _member(context, actor, staff_id)
    site, role = _site(context, actor, form["site"]), form["role"]
    if role not in {*ROLES, "none"}:
        return _user(request, context, actor, member, {"role": "Choose a role"})
    try:
        given = None if role == "none" else role
        accounts.set_role(context, member.login, given, clock.now(), who=actor.who, site=site)
    except accounts.Refused as refusal:
        return _user(request, context, actor, member, {"role": f"{refusal}"})
    return see(f"/users/{staff_id}", done="role")


@router.get("/{staff_id}/do/{deed}", response_class=HTMLResponse)
def ask(request: Request, context: TheContext, actor: Administering, staff_id: RowId, deed: str) -> HTMLResponse:
    """What would follow, before it is done."""
    return _ask(request, context, _member(context, actor, staff_id), deed)


@router.post("/{staff_id}/do/{deed}")
def do(request: Request, context: TheContext, actor: Administering, staff_id: RowId, deed: str) -> Response:
    """Do it."""
    member, now = _member(context, actor, staff_id), clock.now()
    try:
        if deed in {"reset", "reset-factor"}:
            factor = deed == "reset-factor"
            return _invited(request, context, accounts.reset(context, member.login, now, who=actor.who, factor=factor))
        if deed == "sign-ins":
            accounts.end_sign_ins(context, member.login, now, who=actor.who)
        elif deed == "end":
            accounts.end_access(context, member.login, now, who=actor.who)
        else:
            raise HTTPException(404)
    except accounts.Refused as refusal:
        return _ask(request, context, member, deed, f"{refusal}.")
    return see(f"/users/{staff_id}", done=deed)


def _member(context: AppContext, actor: Actor, staff_id: int) -> Member:
    found = [one for one in accounts.everybody(context, actor) if one.id == staff_id]
    if not found:
        raise HTTPException(404)
    return found[0]


def _sites(context: AppContext, actor: Actor) -> dict[str, str]:
    """Where the actor may give roles: what the form sends → its word."""
    rows = context.database.read(queries.people.all_sites)
    everywhere = {EVERYWHERE: "Every site, also those to come"} if actor.everywhere("administer") else {}
    return everywhere | {row.key: f"{row.alias} ({row.key})" for row in rows if actor.may("administer", row.id)}


def _site(context: AppContext, actor: Actor, sent: str) -> str | None:
    """The key of the site that was chosen, None for every one. 404 for one where the actor may not."""
    if sent not in _sites(context, actor):
        raise HTTPException(404)
    return None if sent == EVERYWHERE else sent


def _new(
    request: Request,
    context: AppContext,
    actor: Actor,
    typed: Mapping[str, str],
    problems: Mapping[str, str] | None = None,
) -> HTMLResponse:
    values: dict[str, Any] = {
        "sites": _sites(context, actor),
        "roles": ROLES,
        "typed": typed,
        "problems": problems or {},
    }
    return draw(request, "users-new.html", status=422 if problems else 200, **values)


def _user(
    request: Request,
    context: AppContext,
    actor: Actor,
    member: Member,
    problems: Mapping[str, str] | None = None,
    *,
    done: str | None = None,
) -> HTMLResponse:
    values: dict[str, Any] = {"sites": _sites(context, actor), "roles": ROLES, "words": STATES, "done": done}
    values |= {"member": member, "signed_in": _holding(context, member), "problems": problems or {}}
    return draw(request, "user.html", status=422 if problems else 200, **values)


def _ask(request: Request, context: AppContext, member: Member, deed: str, problem: str | None = None) -> HTMLResponse:
    if deed not in DEEDS:
        raise HTTPException(404)
    values = {"deed": DEEDS[deed], "what": deed, "signed_in": _holding(context, member), "problem": problem}
    return draw(request, "user-do.html", status=422 if problem else 200, member=member, **values)


def _holding(context: AppContext, member: Member) -> int:
    since = clock.now() - timedelta(minutes=context.settings.web.idle_minutes)
    return len(context.database.read(lambda tx: queries.accounts.sign_ins_of(tx, member.id, since)))


def _invited(request: Request, context: AppContext, invitation: Invitation) -> HTMLResponse:
    address = f"{context.settings.web.public_url}{invitation.path}"
    return draw(request, "users-invited.html", login=invitation.login, address=address, until=invitation.until)
