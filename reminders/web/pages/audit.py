"""The audit: who did what, from where and on whom; what somebody saw or took out; and whether the record is whole."""

import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from reminders import clock, store
from reminders.plans import to_instant
from reminders.service import House, audit
from reminders.service.accounts import Actor
from reminders.store.audit import Wanted
from reminders.web.access import Auditing
from reminders.web.drawing import draw
from reminders.web.forms import RowId, day_in
from reminders.web.webhooks import TheHouse

router = APIRouter()

PER_PAGE = 100
MOST_EXPORTED = 100_000
KINDS = {"seen": "Seen or taken out", "changed": "Changed"}
TABLES = {
    "patients": "a patient",
    "plans": "a plan",
    "recipients": "who gets texts",
    "numbers": "a number",
    "appointments": "a visit",
    "series": "visits",
    "tasks": "a task",
    "texts": "a text",
    "replies": "a reply",
    "sites": "a site",
    "senders": "a sender",
    "staff": "a member of staff",
    "api_keys": "an API key",
    "keys": "the sealing keys",
    "audit": "the audit",
}


def _chosen(
    *, who: str = "", what: str = "", patient: str = "", kind: str = "", since: str = "", until: str = ""
) -> dict[str, str]:
    chosen = {"who": who, "what": what, "patient": patient, "kind": kind, "since": since, "until": until}
    return {name: value.strip() for name, value in chosen.items()}


Chosen = Annotated[dict[str, str], Depends(_chosen)]


@router.get("/audit", response_class=HTMLResponse)
def page(
    request: Request,
    house: TheHouse,
    actor: Auditing,
    chosen: Chosen,
    before: str = "",
) -> HTMLResponse:
    """Rows of the audit, newest first. 422 with the problems for filters that are none.

    `before` is the id of the last row of the page before this one; one that is none is the newest page.
    """
    problems = _problems(chosen)
    after = _place(before)
    rows = []
    if not problems:
        wanted = _wanted(house, actor, chosen, before=after, limit=PER_PAGE + 1)
        rows = audit.look(house, wanted, clock.now(), who=actor.who)
    asked = {name: value for name, value in chosen.items() if value}
    shown = rows[:PER_PAGE]
    older = f"/audit?{urlencode(asked | {'before': str(shown[-1].id)})}" if len(rows) > PER_PAGE else None
    return draw(
        request,
        "audit.html",
        status=422 if problems else 200,
        rows=shown,
        older=older,
        newest=after and ("/audit?" + urlencode(asked) if asked else "/audit"),
        export="/audit.csv?" + urlencode(asked),
        chosen=chosen,
        problems=problems,
        kinds=KINDS,
        tables=TABLES,
        chain=house.database.read(lambda tx: (store.audit.head(tx).place, store.audit.waiting(tx))),
        whole=actor.everywhere("audit"),
    )


@router.get("/audit.csv")
def export(house: TheHouse, actor: Auditing, chosen: Chosen) -> Response:
    """The same rows as CSV, without what stood before and after. That they were taken out is noted."""
    if problems := _problems(chosen):
        raise HTTPException(422, ". ".join(problems.values()))
    wanted = _wanted(house, actor, chosen, before=None, limit=MOST_EXPORTED)
    rows = audit.look(house, wanted, clock.now(), who=actor.who, exported=True)
    name = f"audit-{clock.now():%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(audit.as_csv(rows), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/audit/{audit_id}", response_class=HTMLResponse)
def entry(request: Request, house: TheHouse, actor: Auditing, audit_id: RowId) -> HTMLResponse:
    """One row, with what stood there before and after. That it was looked at is noted."""
    found = audit.show(house, audit_id, clock.now(), who=actor.who, sites=_sites(actor))
    if found is None:
        raise HTTPException(404)
    before, after = _laid_out(found.before), _laid_out(found.after)
    return draw(request, "audit-entry.html", row=found, before=before, after=after, tables=TABLES)


@router.post("/audit/verify")
def verify(request: Request, house: TheHouse, actor: Auditing) -> HTMLResponse:
    """Walk along the chain. 404 for whoever may not read all of the audit."""
    if not actor.everywhere("audit"):
        raise HTTPException(404)
    verdict = audit.verify(house)
    audit.note_verified(house, verdict, clock.now(), who=actor.who)
    return draw(request, "audit-verdict.html", verdict=verdict)


def _laid_out(value: str | None) -> str | None:
    """A value that is JSON, line by line."""
    try:
        return value and json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except ValueError:
        return value


def _sites(actor: Actor) -> frozenset[int] | None:
    return None if actor.everywhere("audit") else actor.sites("audit")


def _wanted(house: House, actor: Actor, chosen: dict[str, str], *, before: int | None, limit: int) -> Wanted:
    since, until = day_in(chosen["since"]), day_in(chosen["until"])
    who = chosen["who"]
    return Wanted(
        who=who or None,
        what=chosen["what"] or None,
        patient=chosen["patient"] or None,
        kind=chosen["kind"] or None,
        since=_midnight(house, since) if since is not None else None,
        until=_midnight(house, until + timedelta(days=1)) if until is not None else None,
        sites=_sites(actor),
        before=before,
        limit=limit,
    )


def _midnight(house: House, day: date) -> datetime:
    return to_instant(datetime.combine(day, time()), house.settings.site.zone).astimezone(UTC)


def _place(before: str) -> int | None:
    found = int(before) if before.isascii() and before.isdecimal() and len(before) < 20 else 0
    return found if 0 < found < 2**63 else None


def _problems(chosen: dict[str, str]) -> dict[str, str]:
    """What is wrong with the filters, by field, in words that say what to do."""
    problems = {}
    for name in ("since", "until"):
        if chosen[name] and day_in(chosen[name]) is None:
            problems[name] = "Enter a day as year, month and day, such as 2026-11-30"
    if chosen["kind"] and chosen["kind"] not in KINDS:
        problems["kind"] = "Choose from the list"
    for name, longest in (("who", 64), ("what", 64), ("patient", 64)):
        if len(chosen[name]) > longest or not chosen[name].isprintable():
            problems[name] = f"Enter {longest} characters or fewer, as it stands in the audit"
    return problems
