"""The audit: who did what, from where and on whom; what someone saw or took out; and whether the record is whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from reminders import clock, queries
from reminders.plans import to_instant
from reminders.queries.audit import Wanted
from reminders.service import AppContext
from reminders.service.office import audit
from reminders.service.office.accounts import Actor
from reminders.web.access import Auditing
from reminders.web.forms import Form, RowId, day_in, row_id
from reminders.web.render import draw, see
from reminders.web.webhooks import TheContext

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


FIELDS = ("who", "what", "patient", "kind", "since", "until")


@dataclass(frozen=True, slots=True)
class _Question:
    """What was asked of the audit: by field as typed, what is wrong with it, and the patient's row if there is one."""

    chosen: Mapping[str, str]
    problems: Mapping[str, str]
    patient_id: int | None

    @property
    def address(self) -> dict[str, str]:
        """What the address says: a patient by the id of their row, never by their reference (SEC-16)."""
        said = {name: value for name, value in self.chosen.items() if value and name != "patient"}
        return said | ({"patient_id": str(self.patient_id)} if self.patient_id else {})


def _read(context: AppContext, actor: Actor, fields: Mapping[str, str]) -> _Question:
    chosen = {name: fields.get(name, "").strip() for name in FIELDS}
    problems, patient_id = _problems(chosen), None
    if "patient_id" in fields or (chosen["patient"] and "patient" not in problems):
        sites, asked = _sites(actor), row_id(fields.get("patient_id", ""))

        def look(tx: queries.Transaction) -> tuple[int | None, str | None]:
            if "patient_id" not in fields:
                return queries.people.row_of_reference(tx, "patient", chosen["patient"], sites), chosen["patient"]
            return asked, queries.people.reference_of(tx, "patient", asked or 0, sites)

        patient_id, ref = context.database.read(look)
        if patient_id is None or ref is None:
            patient_id, problems["patient"] = None, _NO_ONE
        chosen["patient"] = ref or ""
    return _Question(chosen, problems, patient_id)


_NO_ONE = "No patient here has this reference"


@router.get("/audit", response_class=HTMLResponse)
def page(
    request: Request,
    context: TheContext,
    actor: Auditing,
    before: str = "",
) -> Response:
    """Rows of the audit, newest first. 422 with the problems for filters that are none.

    A patient's reference in the address, as old links have it, leads to the address without it; 404 where it is
    no one's here. `before` is the id of the last row of the page before this one; one that is none is the newest page.
    """
    question = _read(context, actor, request.query_params)
    if request.query_params.get("patient") and not question.problems:
        return see("/audit", **question.address)
    return _page(request, context, actor, question, before)


@router.post("/audit", response_class=HTMLResponse)
def search(request: Request, context: TheContext, actor: Auditing, form: Form) -> Response:
    """The filters: on to the address that says the same without the reference."""
    question = _read(context, actor, form.as_dict())
    return _page(request, context, actor, question, "") if question.problems else see("/audit", **question.address)


def _page(request: Request, context: AppContext, actor: Actor, question: _Question, before: str) -> HTMLResponse:
    chosen, problems = question.chosen, question.problems
    after = _place(before)
    rows = []
    if not problems:
        wanted = _wanted(context, actor, chosen, before=after, limit=PER_PAGE + 1)
        rows = queries.audit.look(context.database, wanted, clock.now(), who=actor.who)
    asked = question.address
    shown = rows[:PER_PAGE]
    older = f"/audit?{urlencode(asked | {'before': str(shown[-1].id)})}" if len(rows) > PER_PAGE else None
    return draw(
        request,
        "audit.html",
        status=404 if set(problems.values()) == {_NO_ONE} else 422 if problems else 200,
        rows=shown,
        older=older,
        newest=after and ("/audit?" + urlencode(asked) if asked else "/audit"),
        export="/audit.csv?" + urlencode(asked),
        chosen=chosen,
        problems=problems,
        kinds=KINDS,
        tables=TABLES,
        chain=context.database.read(lambda tx: (queries.audit.head(tx).place, queries.audit.waiting(tx))),
        whole=actor.everywhere("audit"),
    )


@router.get("/audit.csv")
def export(request: Request, context: TheContext, actor: Auditing) -> Response:
    """The same rows as CSV, without what stood before and after. That they were taken out is noted."""
    question = _read(context, actor, request.query_params)
    if question.problems:
        status = 404 if set(question.problems.values()) == {_NO_ONE} else 422
        raise HTTPException(status, ". ".join(question.problems.values()))
    if request.query_params.get("patient"):
        return see("/audit.csv", **question.address)
    wanted = _wanted(context, actor, question.chosen, before=None, limit=MOST_EXPORTED)
    rows = queries.audit.look(context.database, wanted, clock.now(), who=actor.who, exported=True)
    name = f"audit-{clock.now():%Y-%m-%d}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(queries.audit.as_csv(rows), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/audit/{audit_id}", response_class=HTMLResponse)
def entry(request: Request, context: TheContext, actor: Auditing, audit_id: RowId) -> HTMLResponse:
    """One row, with what stood there before and after. That it was looked at is noted."""
    found = queries.audit.show(context.database, audit_id, clock.now(), who=actor.who, sites=_sites(actor))
    if found is None:
        raise HTTPException(404)
    before, after = _laid_out(found.before), _laid_out(found.after)
    return draw(request, "audit-entry.html", row=found, before=before, after=after, tables=TABLES)


@router.post("/audit/verify")
def verify(request: Request, context: TheContext, actor: Auditing) -> HTMLResponse:
    """Walk along the chain. 404 for whoever may not read all of the audit."""
    if not actor.everywhere("audit"):
        raise HTTPException(404)
    verdict = audit.verify(context)
    audit.note_verified(context, verdict, clock.now(), who=actor.who)
    return draw(request, "audit-verdict.html", verdict=verdict)


def _laid_out(value: str | None) -> str | None:
    """A value that is JSON, line by line."""
    try:
        return value and json.dumps(json.loads(value), indent=2, ensure_ascii=False)
    except ValueError:
        return value


def _sites(actor: Actor) -> frozenset[int] | None:
    return None if actor.everywhere("audit") else actor.sites("audit")


def _wanted(context: AppContext, actor: Actor, chosen: Mapping[str, str], *, before: int | None, limit: int) -> Wanted:
    since, until = day_in(chosen["since"]), day_in(chosen["until"])
    who = chosen["who"]
    return Wanted(
        who=who or None,
        what=chosen["what"] or None,
        patient=chosen["patient"] or None,
        kind=chosen["kind"] or None,
        since=_midnight(context, since) if since is not None else None,
        until=_midnight(context, until + timedelta(days=1)) if until is not None else None,
        sites=_sites(actor),
        before=before,
        limit=limit,
    )


def _midnight(context: AppContext, day: date) -> datetime:
    return to_instant(datetime.combine(day, time()), context.settings.site.zone).astimezone(UTC)


def _place(before: str) -> int | None:
    found = int(before) if before.isascii() and before.isdecimal() and len(before) < 20 else 0
    return found if 0 < found < 2**63 else None


def _problems(chosen: Mapping[str, str]) -> dict[str, str]:
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
