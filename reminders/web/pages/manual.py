"""The pages that explain: how to use this, how well it can be used by everyone, and what is found in replies."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from reminders import conversation
from reminders.queries import marks
from reminders.service.office.accounts import Actor
from reminders.web.access import ANYBODY, Needs
from reminders.web.render import draw
from reminders.web.webhooks import TheContext

router = APIRouter()


@router.get("/help", dependencies=[Depends(ANYBODY)], response_class=HTMLResponse)
def manual(request: Request) -> HTMLResponse:
    """How the pages work, the keys, and the accessibility statement."""
    return draw(request, "help.html")


@router.get("/help/replies", response_class=HTMLResponse)
def found_in_replies(
    request: Request, context: TheContext, actor: Annotated[Actor, Depends(Needs("look"))]
) -> HTMLResponse:
    """What is found, missed and falsely alarmed, how that was measured, and how to report a miss."""
    counted = marks.tally(marks.listed(context.database, sites=actor.sites("look")))
    return draw(request, "replies.html", measured=conversation.measured(), tally=counted)
