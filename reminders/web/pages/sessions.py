"""Sessions: the dates that lie ahead, and one of them, to be moved or called off for everyone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from reminders import clock, plans, queries, wording
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.queries import readings
from reminders.queries.listing import KnownAs
from reminders.queries.visits import ListedSession, ListedVisit
from reminders.service.office.accounts import Actor
from reminders.service.planning import changes
from reminders.task_kinds import TELL_CHANGE
from reminders.web.access import Needs
from reminders.web.forms import Fields, Form, day_in
from reminders.web.render import draw, see
from reminders.web.webhooks import TheContext
from reminders.wording import house_style, staff_words

router = APIRouter(prefix="/sessions")

WEEKS = 2
MOST = 300
READ = Action.SESSION_READ
DONE = {
    "moved": "The session is moved for everyone in it. See below who knows.",
    "off": "The session is called off for everyone in it. See below who knows.",
    "undone": "The session stands as it did before its last change.",
    "marked": "Who came is on record.",
}
TOLD = {
    changes.DELIVERED: ("A text was delivered", "good"),
    changes.ON_ITS_WAY: ("A text is on its way", "wait"),
    changes.NO_ANSWER: ("A text went, without word of delivery", "wait"),
    changes.TO_PHONE: ("Must be phoned", "bad"),
    changes.NOT_TOLD: ("Nothing new to tell", ""),
}

Looking = Annotated[Actor, Depends(Needs("look"))]
Planning = Annotated[Actor, Depends(Needs("plan"))]


@router.get("", response_class=HTMLResponse)
def sessions_page(request: Request, context: TheContext, actor: Looking, since: str = "") -> HTMLResponse:
    """The sessions of two weeks, from today or from the date `since` on."""
    now = clock.now()
    today = plans.to_wall(now, context.settings.site.zone).date()
    first = day_in(since) or today
    until = first + timedelta(weeks=WEEKS)
    found = context.database.read(
        lambda tx: queries.visits.list_sessions(tx, actor.sites("look"), first, until, limit=MOST + 1)
    )
    days: dict[date, list[ListedSession]] = {}
    for one in sorted(found[:MOST], key=lambda one: (one.on, one.wall)):
        days.setdefault(one.on, []).append(one)
    return draw(
        request,
        "sessions.html",
        days=days,
        cut=len(found) > MOST,
        first=first,
        until=until,
        today=today,
        earlier=first - timedelta(weeks=WEEKS),
    )


@dataclass(frozen=True, slots=True)
class _Sheet:
    """One date of a session, as the page shows it: who is in it, and who knows how it stands."""

    session_id: int
    key: str
    site: str
    site_id: int
    on: date
    visits: Sequence[ListedVisit]
    told: Sequence[changes.Told]
    known: dict[int, KnownAs]
    phones: dict[int, str] = field(repr=False)
    calls: dict[str, Any]

    @property
    def wall(self) -> datetime:
        """When it stands, or stood."""
        return next((one.wall for one in self.visits), None) or self.told[0].wall

    @property
    def is_on(self) -> bool:
        """Whether any visit of it is on yet."""
        return any(one.status in queries.plans.OPEN for one in self.visits)

    @property
    def came(self) -> int:
        """How many came, late or not."""
        return len({one.patient_id for one in self.visits if one.status == "attended"})

    @property
    def is_held(self) -> bool:
        """Whether it took place: someone said who came, of all its visits that were on."""
        return not self.is_on and any(one.attendance for one in self.visits)

    @property
    def patients(self) -> int:
        """How many people are in it."""
        return len({one.patient_id for one in self.told})

    def call(self, one: changes.Told) -> Any:
        """The task to phone that reader of the change, if there is one."""
        return self.calls.get(_call_about(one))


def _call_about(one: changes.Told) -> str:
    return TELL_CHANGE.key(recipient_id=one.recipient_id, appointment_id=one.visit_id)


def _sheet(
    context: AppContext, actor: Actor, session_id: int, day: str, *, told: Sequence[changes.Told] | None = None
) -> _Sheet:
    """The sheet; `told` stands in for who knows now. Raises 404."""
    on, now = day_in(day), clock.now()
    sites = actor.sites("look")
    named = (
        context.database.read(lambda tx: queries.visits.find_session(tx, sites, session_id))
        if session_id < 2**63
        else None
    )
    if on is None or named is None:
        raise HTTPException(404)
    key, site = named
    lines = told if told is not None else changes.session_story(context, key, on, now, site=site)
    if not lines:
        raise HTTPException(404)

    def look(tx: queries.Transaction) -> _Sheet:
        place = queries.people.site_by_key(tx, site)
        assert place is not None
        seen = actor.may("people", place.id)
        return _Sheet(
            session_id=session_id,
            key=key,
            site=site,
            site_id=place.id,
            on=on,
            visits=_visits(tx, place.id, key, on),
            told=lines,
            known=queries.listing.known_as(tx, [place.id] if seen else [], {one.patient_id for one in lines}),
            phones=_phones(tx, lines) if seen else {},
            calls=queries.tasks.latest_by_key(tx, [_call_about(one) for one in lines]),
        )

    return context.database.read(look)


def _visits(tx: queries.Transaction, site_id: int, key: str, on: date) -> list[ListedVisit]:
    midnight = datetime.fromisoformat(f"{on}T00:00+00:00")
    day = timedelta(days=1)
    found = queries.visits.list_visits(tx, [site_id], midnight - day, midnight + 2 * day, session=key, limit=2000)
    return [one for one in found if one.wall.date() == on]


def _phones(tx: queries.Transaction, lines: Collection[changes.Told]) -> dict[int, str]:
    numbers = {one.number_id for one in lines if one.told == changes.TO_PHONE}
    known = {number: queries.people.shown_phone_by_id(tx, number) for number in numbers}
    return {number: wording.shown_phone(phone) for number, phone in known.items() if phone is not None}


def _note(context: AppContext, actor: Actor, sheet: _Sheet, *, again: bool) -> None:
    """Put on record that someone read who is in it."""
    now = clock.now()

    def look(tx: queries.Transaction, notes: readings.Notes) -> None:
        shown = [one.id for one in sheet.visits]
        if shown:
            notes.add_unless_known(
                tx, READ, "sessions", sheet.session_id, shown=shown, now=now, who=actor.who, again=again
            )

    readings.read(context.database, look, now, who=actor.who)


@router.get("/{session_id:int}/{on}", response_class=HTMLResponse)
def session_page(
    request: Request, context: TheContext, actor: Looking, session_id: int, on: str, *, done: str = ""
) -> HTMLResponse:
    """Who is in a session on a date, and who knows how it stands; to be moved or called off for all."""
    return _draw(request, context, actor, session_id, on, done=DONE.get(done))


def _draw(
    request: Request,
    context: AppContext,
    actor: Actor,
    session_id: int,
    on: str,
    *,
    form: Fields | None = None,
    problems: dict[str, str] | None = None,
    done: str | None = None,
) -> HTMLResponse:
    sheet = _sheet(context, actor, session_id, on)
    _note(context, actor, sheet, again=request.headers.get("x-refresh") == "1")
    changed_at, stuck = changes.last_change(context, sheet.key, sheet.on, site=sheet.site)
    return draw(
        request,
        "session.html",
        status=422 if problems else 200,
        sheet=sheet,
        words=TOLD,
        counts={word: sum(one.told == word for one in sheet.told) for word in TOLD},
        confirmed={one.patient_id for one in sheet.visits if one.confirmed},
        changed_at=changed_at,
        stuck=stuck,
        may_plan=actor.may("plan", sheet.site_id),
        form={name: form[name] if form is not None else "" for name in ("what", "to_on", "to_at")},
        problems=problems or {},
        reasons=staff_words.REASONS,
        done=done,
        now_clock=house_style.hour(plans.to_wall(clock.now(), context.settings.site.zone), seconds=True),
    )


def _wanted(form: Fields) -> tuple[datetime | None, dict[str, str]]:
    """The new wall-clock time (None: it is called off), and what is wrong with the form."""
    if form["what"] == "off":
        return None, {}
    if form["what"] != "move":
        return None, {"what": "Choose whether to move it or to call it off"}
    problems = {}
    day = day_in(form["to_on"])
    if day is None:
        problems["to_on"] = "Enter the new date, such as 12/16/2026"
    try:
        at = datetime.strptime(form["to_at"], "%H:%M").time()  # ruff: ignore[call-datetime-strptime-without-zone]  a wall clock
    except ValueError:
        problems["to_at"] = "Enter the new time, such as 10:30 am"
    if problems or day is None:
        return None, problems
    return datetime.combine(day, at), {}


@router.post("/{session_id:int}/{on}/preview", response_class=HTMLResponse)
def preview(
    request: Request, context: TheContext, actor: Planning, session_id: int, on: str, *, form: Form
) -> HTMLResponse:
    """What moving it or calling it off would do: tried in the database, and rolled back."""
    sheet = _mine(context, actor, session_id, on)
    to, problems = _wanted(form)
    if not problems:
        try:
            tried = changes.try_session(context, sheet.key, sheet.on, clock.now(), to=to, site=sheet.site)
        except ValueError as refusal:
            problems["to_on" if to is not None else "what"] = f"Not possible: {refusal}"
        else:
            if tried is None:
                raise HTTPException(404)
            would = _sheet(context, actor, session_id, on, told=tried[1])
            _note(context, actor, would, again=False)
            return draw(
                request,
                "session-preview.html",
                sheet=would,
                texts=tried[0],
                to=to,
                words=TOLD,
                lines={word: [one for one in tried[1] if one.told == word] for word in TOLD},
                form={name: form[name] for name in ("what", "to_on", "to_at")},
                reasons=staff_words.REASONS,
            )
    return _draw(request, context, actor, session_id, on, form=form, problems=problems)


@router.post("/{session_id:int}/{on}/change")
def change(request: Request, context: TheContext, actor: Planning, session_id: int, on: str, *, form: Form) -> Response:
    """Move it or call it off, for everyone."""
    sheet = _mine(context, actor, session_id, on)
    to, problems = _wanted(form)
    if not problems:
        try:
            done = changes.change_session(
                context, sheet.key, sheet.on, clock.now(), who=actor.who, to=to, site=sheet.site
            )
        except ValueError as refusal:
            problems["to_on" if to is not None else "what"] = f"Not done: {refusal}"
        else:
            if done is None:
                problems["what"] = "Nothing of it stands on that date any more; see below what became of it"
    if problems:
        return _draw(request, context, actor, session_id, on, form=form, problems=problems)
    where = to.date() if to is not None else sheet.on
    return see(f"/sessions/{session_id}/{where}", done="moved" if to is not None else "off")


@router.post("/{session_id:int}/{on}/undo")
def undo(request: Request, context: TheContext, actor: Planning, session_id: int, on: str) -> Response:
    """Take its last change back, as long as no text about it has gone."""
    sheet = _mine(context, actor, session_id, on)
    try:
        changes.undo_session(context, sheet.key, sheet.on, clock.now(), who=actor.who, site=sheet.site)
    except ValueError as refusal:
        return _draw(request, context, actor, session_id, on, problems={"undo": f"Not taken back: {refusal}"})
    now = _sheet(context, actor, session_id, on)
    return see(f"/sessions/{session_id}/{now.told[0].wall.date()}", done="undone")


def _mine(context: AppContext, actor: Actor, session_id: int, on: str) -> _Sheet:
    """The sheet, if they may plan at its site. Raises 404, and 403."""
    sheet = _sheet(context, actor, session_id, on)
    if not actor.may("plan", sheet.site_id):
        raise HTTPException(403, "Your role does not let you change plans of this site.")
    return sheet
