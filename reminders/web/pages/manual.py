"""The pages that explain: how to use this, and how well it can be used by everybody."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from reminders.web.access import ANYBODY
from reminders.web.drawing import draw

router = APIRouter()


@router.get("/help", dependencies=[Depends(ANYBODY)], response_class=HTMLResponse)
def manual(request: Request) -> HTMLResponse:
    """How the pages work, the keys, and the accessibility statement."""
    return draw(request, "help.html")
