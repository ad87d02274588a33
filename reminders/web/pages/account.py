"""One's own account: what one comes in by, and where one is signed in."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from reminders import clock, queries
from reminders.service import AppContext
from reminders.service.office import accounts, signing_in
from reminders.service.office.accounts import Actor
from reminders.web.access import ROLES, Themselves
from reminders.web.forms import Form
from reminders.web.render import draw, see
from reminders.web.sign_in import offer_of, too_many, wait_words
from reminders.web.webhooks import TheContext

router = APIRouter(prefix="/account")

DONE = {
    "password": "Your password is changed. Your other sign-ins have ended.",
    "others": "Your other sign-ins have ended.",
    "shortcuts": "Done.",
}


@dataclass(frozen=True, slots=True)
class _Deed:
    title: str
    says: str
    button: str


DEEDS: Mapping[str, _Deed] = MappingProxyType(
    {
        "password": _Deed("Change your password", "Your other sign-ins end.", "Change it"),
        "factor": _Deed(
            "Set up another phone",
            "The app on your present phone is good until the new one has shown a code. Then your other sign-ins end, "
            "and your recovery codes are replaced.",
            "Go on to the new phone",
        ),
        "recovery-codes": _Deed("New recovery codes", "Those you have are of no use from then on.", "Make new codes"),
    }
)


@router.get("", response_class=HTMLResponse)
def account(request: Request, context: TheContext, actor: Themselves, done: str = "") -> HTMLResponse:
    """Who I am here, what I may do, where I am signed in."""
    now = clock.now()
    since = now - timedelta(minutes=context.settings.web.idle_minutes)

    def look(tx: queries.Transaction) -> tuple[list[queries.SignInRow], int, dict[int | None, str]]:
        keys: dict[int | None, str] = {site.id: site.key for site in queries.people.all_sites(tx)}
        rows = list(queries.accounts.sign_ins_of(tx, actor.id, since))
        return rows, queries.accounts.recovery_codes_left(tx, actor.id), keys

    rows, left, keys = context.database.read(look)
    roles = [(ROLES[role], keys.get(site_id, "every site")) for site_id, role in actor.roles.items()]
    return draw(request, "account.html", sign_ins=rows, codes_left=left, roles=roles, done=DONE.get(done))


@router.post("/shortcuts")
def shortcuts(context: TheContext, actor: Themselves) -> Response:
    """Switch the keys of the pages on or off."""
    accounts.set_shortcuts(context, actor, clock.now(), on=not actor.shortcuts)
    return see("/account", done="shortcuts")


@router.get("/do/{deed}", response_class=HTMLResponse)
def ask(request: Request, actor: Themselves, deed: str) -> HTMLResponse:
    """The form that asks for the password and a code, before anything changes."""
    return _form(request, actor, deed)


@router.post("/do/{deed}")
def do(request: Request, context: TheContext, actor: Themselves, deed: str, form: Form) -> Response:
    """Do it, when password and code are right."""
    now = clock.now()
    problems = {}
    if deed not in DEEDS:
        raise HTTPException(404)
    if not form["password"]:
        problems["password"] = "Enter your password"  # ruff: ignore[hardcoded-password-string]  words about one
    if not form["code"]:
        problems["code"] = "Enter the code that your app shows now"
    if deed == "password" and (said := signing_in.check_password(form["new"], actor.login, actor.name)):
        problems["new"] = said
    if problems:
        return _form(request, actor, deed, problems)
    try:
        right = signing_in.confirm(context, actor, form["password"], form["code"], now)
        if not right:
            said = "Check both. A code is good once: after you used one, wait for the next"
            return _form(request, actor, deed, {"password": said})
        return _do(request, context, actor, deed, form["new"])
    except (signing_in.TooManyTries, signing_in.Busy) as refusal:
        return too_many(_form(request, actor, deed, {"password": wait_words(refusal)}, 429), refusal)


def _do(request: Request, context: AppContext, actor: Actor, deed: str, new: str) -> Response:
    now = clock.now()
    if deed == "password":
        signing_in.change_password(context, actor, new, now)
        return see("/account", done="password")
    if deed == "factor":
        return _another_phone(request, signing_in.offer_another_factor(context, actor, now))
    return draw(
        request, "recovery-codes.html", codes=signing_in.new_recovery_codes(context, actor, now), next="/account"
    )


@router.post("/factor")
def change_factor(request: Request, context: TheContext, actor: Themselves, form: Form) -> Response:
    """The code that another phone shows → the recovery codes, shown once. Until then the phone in use stays."""
    now = clock.now()
    offered = signing_in.offer_another_factor(context, actor, now, form["sealed"])
    try:
        codes = signing_in.change_factor(context, actor, form["sealed"], form["code"], now)
    except signing_in.TooManyTries as refusal:
        return too_many(_another_phone(request, offered, wait_words(refusal), 429), refusal)
    if codes is None:
        return _another_phone(request, offered, "Enter the six digits that your app shows now for Reminders", 422)
    return draw(request, "recovery-codes.html", codes=codes, next="/account")


def _another_phone(
    request: Request, offered: signing_in.Enrolment | None, problem: str | None = None, status: int = 200
) -> HTMLResponse:
    if offered is None:
        raise HTTPException(404, "This was offered too long ago. Begin again on the page Your account.")
    problems = {"code": problem} if problem else {}
    return draw(request, "enrol.html", status=status, another=True, problems=problems, **offer_of(offered))


def _form(
    request: Request, actor: Actor, deed: str, problems: Mapping[str, str] | None = None, status: int = 422
) -> HTMLResponse:
    if deed not in DEEDS:
        raise HTTPException(404)
    values = {"deed": DEEDS[deed], "what": deed, "problems": problems or {}, "login": actor.login}
    shortest = signing_in.SHORTEST_PASSWORD
    return draw(request, "account-do.html", status=status if problems else 200, shortest=shortest, **values)
