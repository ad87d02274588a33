"""The page behind the link of a page: one button acknowledges the alarm. It needs no sign-in and names no one."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from reminders import clock
from reminders.service.tasks import page_links
from reminders.web.access import ANYBODY
from reminders.web.render import draw
from reminders.web.webhooks import TheContext

router = APIRouter(dependencies=[Depends(ANYBODY)])  # the signature is what lets them in

SAID = {
    "rings": "No one has acknowledged this alarm yet. It goes on to the next person until someone does.",
    "acknowledged": "Someone has acknowledged this alarm already.",
    "newer": "The alarm began again after this page was sent. Use the link of the page that came last.",
    "over": "This is over: nothing rings any more.",
    "test": "This is a test. Say that you have it, so that we know that pages reach you.",
}
DONE = "Thank you. You have it now: no one else is called. Sign in to see what to do."


@router.get("/on-call/{token}", response_class=HTMLResponse)
def show(request: Request, context: TheContext, token: str) -> HTMLResponse:
    """The button. Nothing is done yet: mail programs and chats look at links by themselves. 404 for no link of ours."""
    try:
        link = page_links.read(context, token, clock.now())
    except page_links.NoSuchLink:
        return _no_link(request)
    state = page_links.state(context, link)
    return _draw(request, link, SAID[state], may=state in {"rings", "test"})


@router.post("/on-call/{token}", response_class=HTMLResponse)
def acknowledge(request: Request, context: TheContext, token: str) -> HTMLResponse:
    """Acknowledge the alarm; again does nothing more. 404 for no link of ours."""
    now = clock.now()
    try:
        link = page_links.read(context, token, now)
    except page_links.NoSuchLink:
        return _no_link(request)
    before = page_links.acknowledge(context, link, now)
    said = {"rings": DONE, "test": "Thank you. Pages reach you."}.get(before, SAID[before])
    return _draw(request, link, said, may=False)


def _draw(request: Request, link: page_links.Link, said: str, *, may: bool) -> HTMLResponse:
    return draw(request, "on-call.html", said=said, may=may, task_id=link.task_id)


def _no_link(request: Request) -> HTMLResponse:
    said = (
        "This link does not hold: it is older than twelve hours, or not whole. Sign in, or use the page that came last."
    )
    return draw(request, "on-call.html", status=404, said=said, may=False, task_id=0)
