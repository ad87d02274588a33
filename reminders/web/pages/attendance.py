"""The attendance sheet: who came to today's visits and to those of the last seven days that no one marked yet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, Response

from reminders import clock, plans, queries
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.queries import readings, today
from reminders.queries.visits import ListedVisit
from reminders.service.office.accounts import Actor
from reminders.service.planning import attendance
from reminders.service.planning.watch import MARK_BACK
from reminders.web.access import Needs
from reminders.web.forms import Fields, Form
from reminders.web.render import draw, see
from reminders.web.webhooks import TheContext

router = APIRouter(prefix="/attendance")

MOST = 1_000
UNDO_FOR = timedelta(hours=24)
WORDS = {attendance.ATTENDED: "came", attendance.LATE: "late", attendance.MISSED: "missed it"}
DONE = {
    "marked": "Who came is on record.",
    "texted": "Who came is on record. Whom you left ticked gets one text without blame.",
    "undone": "The marks are taken back, and so are texts about a miss that had not gone.",
}

Looking = Annotated[Actor, Depends(Needs("look"))]
Planning = Annotated[Actor, Depends(Needs("plan"))]


@dataclass(frozen=True, slots=True)
class Sitting:
    """Visits that are marked together: those of one session at one time, or the individual ones of a day."""

    name: str | None
    wall: datetime
    visits: Sequence[ListedVisit]

    @property
    def id(self) -> str:
        """What the page calls it."""
        return f"sitting-{self.visits[0].id}"


@router.get("", response_class=HTMLResponse)
def sheet(request: Request, context: TheContext, actor: Looking, done: str = "") -> HTMLResponse:
    """The sheet, by session. It prints with a box for each person."""
    return _draw(request, context, actor, done=DONE.get(done))


def _draw(
    request: Request,
    context: AppContext,
    actor: Actor,
    *,
    form: Fields | None = None,
    problems: dict[str, str] | None = None,
    done: str | None = None,
) -> HTMLResponse:
    now, sites, people = clock.now(), actor.sites("look"), actor.sites("people")
    zone = context.settings.site.zone
    tomorrow = today.day_of(plans.to_wall(now, zone).date(), zone)[1]

    def visits(tx: queries.Transaction, since: datetime, until: datetime, **wanted: Any) -> list[ListedVisit]:
        return [
            one
            for places, names in ((people, True), (sites - people, False))
            if places
            for one in queries.visits.list_visits(tx, places, since, until, limit=MOST, names=names, **wanted)
        ]

    def look(
        tx: queries.Transaction, notes: readings.Notes
    ) -> tuple[list[ListedVisit], list[ListedVisit], list[ListedVisit]]:
        notes.add(Action.ATTENDANCE_READ, "sites", min(sites, default=0))
        back = now - MARK_BACK
        return (
            visits(tx, back, now, unmarked=True),
            visits(tx, now, tomorrow, unmarked=True),
            visits(tx, back, now, marked_since=now - UNDO_FOR),
        )

    to_mark, later, marked = readings.read(context.database, look, now, who=actor.who)
    return draw(
        request,
        "attendance.html",
        status=422 if problems else 200,
        to_mark=_sittings(to_mark),
        later=_sittings(later),
        marked=_sittings(marked),
        said=_said(form) if form is not None else {},
        words=WORDS,
        may_plan=actor.may("plan"),
        problems=problems or {},
        done=done,
    )


def _sittings(visits: Iterable[ListedVisit]) -> list[Sitting]:
    groups: dict[tuple[str, str, str], list[ListedVisit]] = {}
    for one in visits:
        when = f"{one.wall:%Y-%m-%dT%H:%M}" if one.session else f"{one.wall:%Y-%m-%d}"
        groups.setdefault((when, one.site, one.session or ""), []).append(one)
    return [Sitting(session or None, those[0].wall, those) for (_, _, session), those in sorted(groups.items())]


def _said(form: Fields) -> dict[int, str]:
    """What the form says: appointment → mark."""
    said = {}
    for name, value in form.pairs:
        number = name.removeprefix("visit-")
        is_id = number.isdecimal() and len(number) < 20 and int(number) < 2**63
        if name.startswith("visit-") and is_id and value in attendance.MARKS:
            said[int(number)] = value
    return said


@router.post("")
def mark(request: Request, context: TheContext, actor: Planning, form: Form) -> Response:
    """Put on record who came to the visits of one sitting, or take those marks back."""
    said = _said(form)
    if not said:
        field = form["sitting"] if form["sitting"].startswith("sitting-") else "sheet"
        return _draw(request, context, actor, form=form, problems={field: "Say of someone whether they came"})
    now, mine = clock.now(), actor.sites("plan")
    missed = {number for number, what in said.items() if what == attendance.MISSED}
    ticked = {number for number in missed if form[f"text-{number}"]}
    try:
        if missed and not form["sure"]:
            tried = attendance.mark_these(context, said, now, who=actor.who, sites=mine, dry_run=True)
            if texted := [one for one in tried if one.text == "scheduled" and one.goes_at is not None]:
                return _ask(request, context, actor, said, texted)
        silent = missed - ticked if form["sure"] else ()
        attendance.mark_these(context, said, now, who=actor.who, sites=mine, silent=silent)
    except ValueError as refusal:
        return _draw(request, context, actor, form=form, problems={"sheet": f"Nothing was marked: {refusal}"})
    undone = set(said.values()) == {attendance.UNMARK}
    return see("/attendance", done="undone" if undone else "texted" if ticked else "marked")


def _ask(
    request: Request, context: AppContext, actor: Actor, said: Mapping[int, str], texted: Sequence[attendance.Marked]
) -> HTMLResponse:
    """Who would get a text about a miss and when, before anything is marked; each can be unticked."""
    now, people = clock.now(), actor.sites("people")
    sites = actor.sites("plan")

    def look(tx: queries.Transaction, notes: readings.Notes) -> dict[int, ListedVisit | None]:
        notes.add(Action.ATTENDANCE_READ, "sites", min(sites, default=0))
        return {
            one.appointment: queries.visits.find_visit(tx, sites & people, one.appointment, names=True)
            or queries.visits.find_visit(tx, sites, one.appointment)
            for one in texted
        }

    return draw(
        request,
        "attendance-texts.html",
        said=said,
        texted=texted,
        about=readings.read(context.database, look, now, who=actor.who),
        soon=now + timedelta(minutes=5),
    )
