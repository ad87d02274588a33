"""Appointments and the sessions that several patients share: list them, move them, call them off, say who came."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from reminders import clock, plans, queries
from reminders.audit_actions import Action
from reminders.queries.visits import ListedVisit
from reminders.service import AppContext
from reminders.service.office.api_keys import Caller
from reminders.service.planning import attendance, changes
from reminders.web.api.access import (
    Cursor,
    Door,
    Json,
    Limit,
    Names,
    On,
    TheCaller,
    TheContext,
    Version,
    When,
    etag,
    found,
    instant,
    look,
    needs,
    page,
    place,
    read_body,
    row_id,
    verdicts,
)
from reminders.web.api.plans import the_plan
from reminders.web.api.shapes import (
    AllMarked,
    Appointment,
    AppointmentDone,
    Attendance,
    Marked,
    Move,
    Page,
    Session,
    SessionAttendance,
    SessionDone,
    SessionInFull,
)

router = APIRouter(route_class=Door)

Which = Annotated[str, Path(description="The appointment's id.")]


@router.get("/appointments", tags=["appointments"], **needs("read", gives=Page[Appointment]))
def list_appointments(
    *,
    context: TheContext,
    caller: TheCaller,
    request: Request,
    response: Response,
    since: When = None,
    until: When = None,
    plan: Annotated[
        str | None, Query(max_length=65, description="A plan's id; ~ and its reference too, which proxies write down.")
    ] = None,
    patient: Annotated[str | None, Query(max_length=19, description="A patient's id.")] = None,
    session: Annotated[str | None, Query(max_length=19, description="A session's id.")] = None,
    unmarked: Annotated[
        bool, Query(description="Only clinical ones that began and of which no one said who came.")
    ] = False,
    names: Names = False,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Any:
    """Appointments that start from `since` on and before `until`, the earliest first; cancelled ones too."""
    after = place(cursor, datetime, int)
    first, last = instant(since, "since"), instant(until, "until")
    now = clock.now()

    def work(tx: queries.Transaction) -> list[ListedVisit]:
        sites: set[int] = set(caller.sites)
        wanted: dict[str, Any] = {}
        keys = {key: site_id for site_id, key in caller.sites.items()}
        if plan is not None:
            of_plan = the_plan(tx, caller, plan)
            sites, wanted["plan"] = sites & {keys[of_plan.site]}, of_plan.ref
        if patient is not None:
            of_patient = found(queries.patients.find_patient(tx, caller.sites, row_id(patient), now))
            sites, wanted["patient"] = sites & {keys[of_patient.site]}, of_patient.ref
        if session is not None:
            wanted["session"], at = found(queries.visits.find_session(tx, caller.sites, row_id(session)))
            sites &= {keys[at]}
        return queries.visits.list_visits(
            tx,
            sites,
            first,
            min(last or now, now) if unmarked else last,
            unmarked=unmarked,
            after=after,
            limit=limit + 1,
            names=names,
            **wanted,
        )

    rows = look(context, caller, work, names=names, of=Action.APPOINTMENTS_READ)
    return page(request, response, rows, limit)


@router.get("/appointments/{appointment}", tags=["appointments"], **needs("read", gives=Appointment))
def get_appointment(
    *, context: TheContext, caller: TheCaller, response: Response, appointment: Which, names: Names = False
) -> Any:
    """One appointment."""
    wanted = row_id(appointment)
    one = look(
        context,
        caller,
        lambda tx: found(queries.visits.find_visit(tx, caller.sites, wanted, names=names)),
        names=names,
        of=Action.APPOINTMENT_READ,
        table="appointments",
        row=wanted,
    )
    etag(response, one.version)
    return one


@router.post(
    "/appointments/{appointment}/move", tags=["appointments"], **needs("write", gives=AppointmentDone, takes=Move)
)
def move_appointment(
    *, context: TheContext, caller: TheCaller, response: Response, appointment: Which, body: Json, version: Version
) -> Any:
    """Move an appointment to another time; its readers are told as they need to know."""
    return _change(
        context, caller, response, appointment, to=read_body(context, caller, Move, body).to, version=version
    )


@router.post("/appointments/{appointment}/cancel", tags=["appointments"], **needs("write", gives=AppointmentDone))
def cancel_appointment(
    *, context: TheContext, caller: TheCaller, response: Response, appointment: Which, version: Version
) -> Any:
    """Call an appointment off."""
    return _change(context, caller, response, appointment, to=None, version=version)


def _change(
    context: AppContext, caller: Caller, response: Response, which: str, *, to: datetime | None, version: int | None
) -> Any:
    one = _appointment(context, caller, which)
    with verdicts():
        now = clock.now()
        done = changes.change(context, one.id, now, who=caller.who, to=to, version=version)
        if done is None:
            raise ValueError("it is not on any more")
    shown = _appointment(context, caller, which)
    etag(response, shown.version)
    return {"appointment": shown, "texts": done}


def _appointment(context: AppContext, caller: Caller, which: str) -> ListedVisit:
    wanted = row_id(which)
    return found(context.database.read(lambda tx: queries.visits.find_visit(tx, caller.sites, wanted)))


@router.post(
    "/appointments/{appointment}/attendance", tags=["appointments"], **needs("write", gives=Marked, takes=Attendance)
)
def mark_appointment(
    *, context: TheContext, caller: TheCaller, appointment: Which, body: Json, version: Version
) -> Any:
    """Say who came."""
    one = _appointment(context, caller, appointment)
    said = read_body(context, caller, Attendance, body)
    with verdicts():
        done = attendance.mark_appointment(
            context,
            one.id,
            clock.now(),
            what=said.mark,
            who=caller.who,
            version=version,
            text=said.text,
            dry_run=said.dry_run,
        )
    return found(done)


# Sessions.

OfSession = Annotated[str, Path(description="The session's id.")]
OnDate = Annotated[str, Path(description="The date on which it stands, or stood before a change.")]


@router.get("/sessions", tags=["sessions"], **needs("read", gives=Page[Session]))
def list_sessions(
    *,
    context: TheContext,
    caller: TheCaller,
    request: Request,
    response: Response,
    since: On = None,
    until: On = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Any:
    """The dates of sessions from `since` on (today) and before `until` (four weeks on), the earliest first."""
    after = place(cursor, date, int)
    first = since or plans.to_wall(clock.now(), context.settings.site.zone).date()
    first = min(max(first, date(2000, 1, 1)), date(2199, 1, 1))
    last = min(until or first + timedelta(weeks=4), date(2199, 12, 31))
    rows = context.database.read(
        lambda tx: queries.visits.list_sessions(tx, caller.sites, first, last, after=after, limit=limit + 1)
    )
    return page(request, response, rows, limit)


@router.get("/sessions/{session}/{on}", tags=["sessions"], **needs("read", gives=SessionInFull))
def get_session(*, context: TheContext, caller: TheCaller, session: OfSession, on: OnDate, names: Names = False) -> Any:
    """A date of a session: its appointments, and who of its readers knows of a change."""
    site, key, day = _session(context, caller, session, on)
    told = changes.session_story(context, key, day, clock.now(), site=site)

    def work(tx: queries.Transaction) -> list[ListedVisit]:
        start = plans.to_instant(datetime.combine(day, datetime.min.time()), "UTC")
        sites = [site_id for site_id, at in caller.sites.items() if at == site]
        around = (start - timedelta(days=1), start + timedelta(days=2))
        rows = queries.visits.list_visits(tx, sites, *around, session=key, limit=1000, names=names)
        return [row for row in rows if row.wall.date() == day]

    rows = look(context, caller, work, names=names, of=Action.SESSION_READ)
    if not (rows or told):
        found(None)
    return {"appointments": rows, "told": told}


def _session(context: AppContext, caller: Caller, session: str, on: str) -> tuple[str, str, date]:
    """The keys of the site and of the session that an address names, and the date. 404 where there is none."""
    wanted = row_id(session)
    key, site = found(context.database.read(lambda tx: queries.visits.find_session(tx, caller.sites, wanted)))
    try:
        day = date.fromisoformat(on)
    except ValueError:
        day = None
    if day is None or len(on) != 10 or not 2000 <= day.year <= 2199:
        return found(None)
    return site, key, day


@router.post("/sessions/{session}/{on}/move", tags=["sessions"], **needs("write", gives=SessionDone, takes=Move))
def move_session(*, context: TheContext, caller: TheCaller, session: OfSession, on: OnDate, body: Json) -> Any:
    """Move a session on a date to another time, for everyone in it."""
    site, key, day = _session(context, caller, session, on)
    to = read_body(context, caller, Move, body).to
    with verdicts():
        done = changes.change_session(context, key, day, clock.now(), who=caller.who, to=to, site=site)
    return {"texts": found(done)}


@router.post("/sessions/{session}/{on}/cancel", tags=["sessions"], **needs("write", gives=SessionDone))
def cancel_session(*, context: TheContext, caller: TheCaller, session: OfSession, on: OnDate) -> Any:
    """Call a session on a date off, for everyone in it."""
    site, key, day = _session(context, caller, session, on)
    with verdicts():
        done = changes.change_session(context, key, day, clock.now(), who=caller.who, to=None, site=site)
    return {"texts": found(done)}


@router.post("/sessions/{session}/{on}/undo", tags=["sessions"], **needs("write", gives=SessionDone))
def undo_session(*, context: TheContext, caller: TheCaller, session: OfSession, on: OnDate) -> Any:
    """Take the last change of a session back, as long as no text about it has gone."""
    site, key, day = _session(context, caller, session, on)
    with verdicts():
        done = changes.undo_session(context, key, day, clock.now(), who=caller.who, site=site)
    return {"texts": found(done)}


@router.post(
    "/sessions/{session}/{on}/attendance", tags=["sessions"], **needs("write", gives=AllMarked, takes=SessionAttendance)
)
def mark_session(*, context: TheContext, caller: TheCaller, session: OfSession, on: OnDate, body: Json) -> Any:
    """Say who of a session came: those named missed it or were late, all others attended."""
    site, key, day = _session(context, caller, session, on)
    said = read_body(context, caller, SessionAttendance, body)
    with verdicts():
        done = attendance.mark_session(
            context,
            key,
            day,
            clock.now(),
            who=caller.who,
            missed=said.missed,
            late=said.late,
            site=site,
            text=said.text,
            dry_run=said.dry_run,
        )
    return {"items": found(done or None)}
