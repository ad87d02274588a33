"""The board of the day, and the texts that are held for a person."""

from datetime import timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from reminders import clock, plans
from reminders.queries import today
from reminders.service.office.accounts import Actor
from reminders.service.operations import backups, health
from reminders.service.sending import backlog
from reminders.web.access import Needs
from reminders.web.forms import Form
from reminders.web.render import draw, see
from reminders.web.webhooks import TheContext
from reminders.wording import house_style, staff_words

router = APIRouter()

DONE = {
    "taken": "It is yours, and no one else is called.",
    "gone": "The text goes within seconds.",
    "released": "What was held goes on its way, the most urgent first.",
    "dropped": "What was held is dropped. It counts as too late to send.",
}
HELD = {"backlog": "since an outage", "restored": "since the database was restored"}


@router.get("/", response_class=HTMLResponse)
def board(
    request: Request, context: TheContext, actor: Annotated[Actor, Depends(Needs("look"))], done: str = ""
) -> HTMLResponse:
    """What must be done now, what goes out today, and what became of the day's texts."""
    now = clock.now()
    again = request.headers.get("x-refresh") == "1"
    zone = context.settings.site.zone
    found = today.board(
        context.database, zone, actor.sites("look"), actor.sites("people"), now, who=actor.who, again=again
    )
    return draw(
        request,
        "today.html",
        board=found,
        sender=health.status(context, now).jobs["send"],
        now_clock=house_style.hour(plans.to_wall(now, zone), seconds=True),
        done=DONE.get(done),
        logged=lambda state: in_the_log(found, state),
        which=staff_words.which_text,
        reasons=staff_words.REASONS,
        held_words=staff_words.HELD,
        decided_at_once=[why for why in HELD if why in found.held_by_reason and _decides(actor)],
    )


def in_the_log(found: today.Board, state: str) -> str:
    """Where the delivery log lists the day's texts in that state."""
    return "/log?" + urlencode({"state": state, "since": found.day, "until": found.day + timedelta(days=1)})


def _decides(actor: Actor) -> bool:
    """Whether they may let go or drop what is held at every site at once."""
    return actor.sites("operate") == actor.all_sites


@router.get("/held/{why}", response_class=HTMLResponse)
def confirm_held(
    request: Request, context: TheContext, actor: Annotated[Actor, Depends(Needs("operate"))], why: str
) -> HTMLResponse:
    """What would go and what would be dropped, in numbers."""
    if why not in HELD or not _decides(actor):
        raise HTTPException(404)
    now = clock.now()
    by = backlog.held(context).by if why == "backlog" else ()
    many = context.database.read(lambda tx: today.held_by_reason(tx, actor.all_sites)).get(why, 0)
    looked_for = backups.open_doubts(context)[0] if why == "restored" else 0
    return draw(request, "held.html", why=why, since=HELD[why], many=many, by=by, looked_for=looked_for, at=now)


@router.post("/held/{why}")
def decide_held(
    context: TheContext, actor: Annotated[Actor, Depends(Needs("operate"))], why: str, form: Form
) -> RedirectResponse:
    """Let what is held go, or drop it."""
    if why not in HELD or not _decides(actor) or form["do"] not in {"release", "drop"}:
        raise HTTPException(404)
    drop = form["do"] == "drop"
    verb = backlog.end if why == "backlog" else backups.decide
    verb(context, clock.now(), drop=drop, who=actor.who)
    return see("/", done="dropped" if drop else "released")
