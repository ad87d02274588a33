"""The pretend phones, in development and demo only: what a patient's phone shows, and a box to answer."""

from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from reminders import clock, plans, queries, wording
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.queries import readings
from reminders.queries.people import PhoneOf
from reminders.service.office.accounts import Actor
from reminders.sms.phones import PhonesAway, PretendPhones
from reminders.web.access import Needs
from reminders.web.forms import Form
from reminders.web.render import draw, see
from reminders.web.webhooks import TheContext
from reminders.wording import house_style

router = APIRouter(prefix="/phones")

QUICK = ("C", "R", "Y", "STOP", "HELP", "START", "Can I come an hour later?", "I can't do this anymore")
LONGEST = 1_000
DONE = {
    "sent": "The phone has sent it.",
    "on": "The phone is on.",
    "off": "The phone is off. What is sent to it is not delivered (30003), and tried again while its window is open.",
}

SeeingPeople = Annotated[Actor, Depends(Needs("people"))]


def _phones(context: AppContext) -> PretendPhones:
    """The phones. Raises 404 where texts are real."""
    if context.settings.twilio.live:
        raise HTTPException(404)
    return PretendPhones(context.settings.twilio.phones_url)


def _clock(context: AppContext) -> str:
    return house_style.hour(plans.to_wall(clock.now(), context.settings.site.zone), seconds=True)


@router.get("", response_class=HTMLResponse)
def phones_page(request: Request, context: TheContext, actor: SeeingPeople) -> HTMLResponse:
    """Every pretend phone that is known here, those with the latest news first."""
    phones, now = _phones(context), clock.now()

    def look(tx: queries.Transaction, notes: readings.Notes) -> list[PhoneOf]:
        notes.add(Action.PRETEND_PHONES_READ, "numbers", 0)
        return queries.people.phones_at(tx, actor.sites("people"))

    known = readings.read(context.database, look, now, who=actor.who)
    try:
        shown, away = {one.number: one for one in phones.all()}, False
    except PhonesAway:
        shown, away = {}, True
    order = {number: place for place, number in enumerate(shown)}
    return draw(
        request,
        "phones.html",
        phones=[
            (one, shown.get(one.phone), wording.shown_phone(one.phone))
            for one in sorted(known, key=lambda one: order.get(one.phone, len(order)))
        ],
        away=away,
        now_clock=_clock(context),
    )


@router.get("/{key:int}", response_class=HTMLResponse)
def phone_page(request: Request, context: TheContext, actor: SeeingPeople, key: int, done: str = "") -> HTMLResponse:
    """One phone's screen, and what its owner may do."""
    return _draw(request, context, actor, key, done=DONE.get(done))


def _draw(
    request: Request,
    context: AppContext,
    actor: Actor,
    key: int,
    *,
    body: str = "",
    problems: dict[str, str] | None = None,
    done: str | None = None,
) -> HTMLResponse:
    phones, one = _phones(context), _one(context, actor, key)
    try:
        screen, away = phones.screen(one.phone), False
        is_on = next((phone.is_on for phone in phones.all() if phone.number == one.phone), True)
    except PhonesAway:
        screen, away, is_on = [], True, True
    return draw(
        request,
        "phone.html",
        status=422 if problems else 200,
        one=one,
        number=wording.shown_phone(one.phone),
        screen=screen,
        away=away,
        is_on=is_on,
        quick=QUICK,
        body=body,
        problems=problems or {},
        done=done,
        now_clock=_clock(context),
    )


def _one(context: AppContext, actor: Actor, key: int) -> PhoneOf:
    now, sites = clock.now(), actor.sites("people")

    def look(tx: queries.Transaction, notes: readings.Notes) -> PhoneOf | None:
        found = next(iter(queries.people.phones_at(tx, sites, number_id=key)), None)
        if found is not None:
            notes.add(Action.PRETEND_PHONE_READ, "numbers", key)
        return found

    found = readings.read(context.database, look, now, who=actor.who) if 0 < key < 2**63 else None
    if found is None:
        raise HTTPException(404)
    return found


@router.post("/{key:int}/text")
def text(request: Request, context: TheContext, actor: SeeingPeople, key: int, form: Form) -> Response:
    """The phone texts us what was typed, or one of the quick answers."""
    phones, one = _phones(context), _one(context, actor, key)
    body = form["quick"] or form["body"]
    if not body or len(body) > LONGEST:
        problem = "Type what the phone sends" if not body else f"Shorten it to {LONGEST} characters"
        return _draw(request, context, actor, key, body=body, problems={"body": problem})
    try:
        phones.text(one.phone, one.sender or context.settings.twilio.sender, body)
    except PhonesAway:
        return _draw(request, context, actor, key, body=body, problems={"body": "The pretend phones do not answer"})
    return see(f"/phones/{key}", done="sent")


@router.post("/{key:int}/switch")
def switch(request: Request, context: TheContext, actor: SeeingPeople, key: int, form: Form) -> Response:
    """Switch the phone on or off."""
    phones, one = _phones(context), _one(context, actor, key)
    try:
        phones.switch(one.phone, on=form["to"] == "on")
    except PhonesAway:
        return _draw(request, context, actor, key, problems={"body": "The pretend phones do not answer"})
    return see(f"/phones/{key}", done="on" if form["to"] == "on" else "off")
