"""Pages for people. Until there is sign-in they answer on this machine only."""

from importlib.resources import files
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FunctionLoader

from reminders import clock, store
from reminders.lifecycle import State
from reminders.service import story
from reminders.sms import codes
from reminders.store.texts import LogFilter
from reminders.web.webhooks import TheHouse

router = APIRouter()

LOCAL = {"127.0.0.1", "::1", "localhost", "testclient", "testserver"}
PER_PAGE = 100


def _template(name: str) -> str:
    return (files("reminders.web") / "templates" / name).read_text(encoding="utf-8")


templates = Environment(loader=FunctionLoader(_template), autoescape=True, trim_blocks=True, lstrip_blocks=True)
templates.globals.update(states=story.STATES, reasons=story.REASONS, tell=story.tell, look_up=codes.look_up)
templates.filters["clock_time"] = story.clock_time


def is_local(request: Request) -> bool:
    """Whether a request comes straight from this machine.

    The Host is looked at too, so that no page of another site can make a browser here ask for us under its own name;
    and a request that a proxy passed on is somebody else's.
    """
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname
    forwarded = {"forwarded", "x-forwarded-for", "x-forwarded-host", "via"} & set(request.headers)
    return request.client is not None and request.client.host in LOCAL and host in LOCAL and not forwarded


def only_local(request: Request) -> None:
    """403 for a stranger."""
    if not is_local(request):
        raise HTTPException(403, "Pages answer on this machine only until sign-in is set up.")


@router.get("/", dependencies=[Depends(only_local)])
def home() -> RedirectResponse:
    """To the delivery log."""
    return RedirectResponse("/log", 303)


@router.get("/log", dependencies=[Depends(only_local)], response_class=HTMLResponse)
def log(
    house: TheHouse,
    state: Annotated[str, Query(max_length=20)] = "",
    plan: Annotated[str, Query(max_length=64)] = "",
    code: Annotated[str, Query(max_length=6)] = "",
) -> HTMLResponse:
    """The delivery log: what became of each text, newest first."""
    problems = []
    if state and state not in story.STATES:
        problems.append("Choose a state from the list.")
    if code and not code.isdecimal():
        problems.append("A code is a number, such as 30003.")
    wanted = LogFilter(
        state=State(state).value if state and not problems else None,
        plan=plan.strip() or None,
        code=int(code) if code and not problems else None,
        limit=PER_PAGE + 1,
    )
    texts = [] if problems else house.database.read(lambda tx: store.texts.log(tx, wanted))
    page = templates.get_template("log.html").render(
        texts=texts[:PER_PAGE],
        more=len(texts) > PER_PAGE,
        per_page=PER_PAGE,
        problems=problems,
        chosen={"state": state, "plan": plan, "code": code},
        filtered=bool(state or plan or code),
        zone=house.settings.site.zone,
        now=clock.now(),
        demo=not house.settings.twilio.live,
    )
    return HTMLResponse(page, 422 if problems else 200)
