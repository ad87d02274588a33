"""Plans: list them, take a plan document in, see its texts before they go, pause, resume and end it.

An address names a plan by its id. A search by reference goes in a body, since every proxy on the way writes addresses
down; `~` and a reference (`/plans/~DC-2026-1187`) is kept for who uses it.
"""

import json
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from reminders import clock, plans, queries
from reminders.audit_actions import Action
from reminders.plans import PlanDocument, PlanRefused, Problem
from reminders.queries import readings
from reminders.queries.plans import ListedPlan, PlanFilter
from reminders.service import AppContext, planning
from reminders.service.office.api_keys import Caller
from reminders.service.planning import Changes, changes, previews
from reminders.web.api.access import (
    Cursor,
    Door,
    Json,
    Limit,
    Names,
    On,
    Text,
    TheCaller,
    TheContext,
    Version,
    etag,
    found,
    known,
    look,
    needs,
    page,
    place,
    read_body,
    require,
    row_id,
    verdicts,
)
from reminders.web.api.problems import Refusal
from reminders.web.api.shapes import Ending, Page, Plan, PlanDone, PlanSearch, PlanTaken, Preview

router = APIRouter(route_class=Door, tags=["plans"])

Which = Annotated[
    str,
    Path(
        description="The plan's id. ~ and its reference too, unless that has a slash; proxies write addresses down, "
        "so better ask `POST /plans/search` for the id."
    ),
]

Ref = Annotated[
    str | None,
    Query(
        max_length=64,
        pattern="^[^\\x00-\\x1f\\x7f]*$",
        deprecated=True,
        description="A plan's reference. Proxies write addresses down: better ask `POST /plans/search`.",
    ),
]


def the_plan(tx: queries.Transaction, caller: Caller, which: str, *, names: bool = False) -> ListedPlan:
    """The plan that an address names. 404 where there is none, 409 where two sites have one of that reference."""
    now = clock.now()
    if not which.startswith("~"):
        return found(queries.plans.find_plan(tx, caller.sites, row_id(which), now, names=names))
    ref = which[1:]
    if not ref or len(ref) > 64 or not ref.isprintable():
        raise Refusal("not-found")
    alike = queries.plans.list_plans(tx, caller.sites, PlanFilter(ref=ref, limit=2), now)
    if len(alike) > 1:
        raise Refusal("not-possible", "Several plans have that reference; name the one by its id.")
    return found(queries.plans.find_plan(tx, caller.sites, alike[0].id, now, names=names) if alike else None)


@router.get("/plans", **needs("read", gives=Page[Plan]))
def list_plans(
    *,
    context: TheContext,
    caller: TheCaller,
    request: Request,
    response: Response,
    status: Annotated[Literal["active", "paused", "ended"] | None, Query()] = None,
    blocked: Annotated[bool, Query(description="Only those of whose texts none can go.")] = False,
    needs_attention: Annotated[bool, Query(description="Only those with an open task.")] = False,
    discharged_since: On = None,
    discharged_until: On = None,
    ref: Ref = None,
    patient: Annotated[str | None, Query(max_length=19, description="A patient's id.")] = None,
    entered_by: Text = None,
    names: Names = False,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Any:
    """Plans, the latest discharge first. `discharged_until` is not included."""
    before = place(cursor, date, int)

    def work(tx: queries.Transaction) -> list[ListedPlan]:
        sites, patient_ref = list(caller.sites), None
        now = clock.now()
        if patient is not None:
            one = queries.patients.find_patient(tx, caller.sites, row_id(patient), now)
            if one is None:
                return []
            sites, patient_ref = [key for key, site in caller.sites.items() if site == one.site], one.ref
        wanted = PlanFilter(
            status=status,
            blocked=blocked,
            needs_attention=needs_attention,
            discharged_since=discharged_since,
            discharged_until=discharged_until,
            ref=ref,
            patient=patient_ref,
            entered_by=entered_by,
            before=before,
            limit=limit + 1,
        )
        return queries.plans.list_plans(tx, sites, wanted, now, names=names)

    rows = look(context, caller, work, names=names, of=Action.PLANS_READ)
    return page(request, response, rows, limit)


@router.post("/plans/search", **needs("read", gives=Page[Plan], takes=PlanSearch))
def search_plans(*, context: TheContext, caller: TheCaller, request: Request, response: Response, body: Json) -> Any:
    """Plans by their reference, their patient's reference or their site, as `GET /plans` lists them."""
    asked = read_body(context, caller, PlanSearch, body)
    sites = [number for number, key in caller.sites.items() if asked.site in {None, key}]
    before = place(asked.cursor or "", date, int)
    wanted = PlanFilter(ref=asked.ref, patient=asked.patient, before=before, limit=asked.limit + 1)

    def work(tx: queries.Transaction) -> list[ListedPlan]:
        return queries.plans.list_plans(tx, sites, wanted, clock.now(), names=asked.names)

    rows = look(context, caller, work, names=asked.names, of=Action.PLANS_READ)
    return page(request, response, rows, asked.limit)


@router.post(
    "/plans",
    status_code=201,
    responses={200: {"model": PlanTaken, "description": "It was known before."}},
    **needs("write", gives=PlanTaken, takes=PlanDocument),
)
def take_plan(*, context: TheContext, caller: TheCaller, response: Response, body: Json, version: Version) -> Any:
    """Take in a plan document. The same reference again updates the plan, the same document again changes nothing."""
    return _take(context, caller, response, body, version=version)


@router.get("/plans/{plan}", **needs("read", gives=Plan))
def get_plan(*, context: TheContext, caller: TheCaller, response: Response, plan: Which, names: Names = False) -> Any:
    """One plan."""
    row = 0

    def work(tx: queries.Transaction) -> ListedPlan:
        return the_plan(tx, caller, plan, names=names)

    if names:
        row = context.database.read(lambda tx: the_plan(tx, caller, plan)).id
    one = look(context, caller, work, names=names, of=Action.PLAN_READ, table="plans", row=row)
    etag(response, one.version)
    return one


@router.put("/plans/{plan}", **needs("write", gives=PlanTaken, takes=PlanDocument))
def change_plan(
    *, context: TheContext, caller: TheCaller, response: Response, plan: Which, body: Json, version: Version
) -> Any:
    """Take in a new document of a plan that there is. The reference, the site and the patient stay."""
    one = context.database.read(lambda tx: the_plan(tx, caller, plan))
    return _take(context, caller, response, body, version=version, one=one)


def _take(
    context: AppContext,
    caller: Caller,
    response: Response,
    body: Json,
    *,
    version: int | None,
    one: ListedPlan | None = None,
) -> Any:
    now = clock.now()
    document = context.database.read(lambda tx: _document(context, tx, caller, body))
    if one is not None and (document.plan.ref, document.plan.site) != (one.ref, one.site):
        raise PlanRefused([Problem("plan", "reference and site must be those of the plan that the address names")])
    done = planning.accept(context, document, now, who=caller.who, version=version)
    shown = _shown(context, caller, done.plan_id, response)
    response.headers["Location"] = f"/api/v1/plans/{done.plan_id}"
    if not done.new:
        response.status_code = 200
    return {"plan": shown, "texts": done.texts, "changed": done.changed, "note": done.note, "notes": list(done.notes)}


def _document(context: AppContext, tx: queries.Transaction, caller: Caller, body: Json) -> PlanDocument:
    said = body.get("plan")
    site = said.get("site") if isinstance(said, dict) else None
    return plans.read(body, known(context, tx, caller, clock.now(), site))


def _shown(context: AppContext, caller: Caller, plan_id: int, response: Response) -> ListedPlan:
    # A site that the plan itself brought is the caller's too, if every site is.
    sites = caller.sites
    if caller.every_site:
        sites = context.database.read(lambda tx: {site.id: site.key for site in queries.people.all_sites(tx)})
    one = found(context.database.read(lambda tx: queries.plans.find_plan(tx, sites, plan_id, clock.now())))
    etag(response, one.version)
    return one


@router.get("/plans/{plan}/document", **needs("people", gives=dict[str, Any]))
def get_document(*, context: TheContext, caller: TheCaller, response: Response, plan: Which) -> Any:
    """The plan document as it was accepted; what was changed here since stands in the appointments."""
    one = context.database.read(lambda tx: the_plan(tx, caller, plan))

    def work(tx: queries.Transaction) -> str:
        row = queries.plans.plan_by_ref(tx, one.ref, site=one.site, lock=False)
        return queries.plans.document_of(tx, found(row))

    said = look(context, caller, work, names=True, of=Action.PLAN_DOCUMENT_READ, table="plans", row=one.id)
    etag(response, one.version)
    return json.loads(said)


@router.get("/plans/{plan}/preview", **needs("people", gives=Preview))
def preview_plan(*, context: TheContext, caller: TheCaller, plan: Which) -> Any:
    """Every text of a plan: when it goes and its words, or why it does not go."""
    return _preview(context, caller, plan)


def _preview(context: AppContext, caller: Caller, which: str) -> Any:
    one = context.database.read(lambda tx: the_plan(tx, caller, which))
    now = clock.now()
    previews.admit(context, caller.who, now)
    texts = found(planning.preview_plan(context, one.ref, now, site=one.site))
    readings.note(context.database, readings.Note(Action.TEXTS_READ, "plans", one.id), now=now, who=caller.who)
    people = planning.people_of(context, one.ref, texts, site=one.site)
    return {"items": [text.as_json() for text in texts], "people": people}


@router.post("/plans/{plan}/pause", **needs("write", gives=PlanDone))
def pause_plan(*, context: TheContext, caller: TheCaller, response: Response, plan: Which, version: Version) -> Any:
    """Send nothing for this plan until it is resumed."""
    return _set_status(context, caller, response, plan, "paused", version=version)


@router.post("/plans/{plan}/resume", **needs("write", gives=PlanDone))
def resume_plan(*, context: TheContext, caller: TheCaller, response: Response, plan: Which, version: Version) -> Any:
    """Take a paused plan up again; what lies ahead is planned again."""
    return _set_status(context, caller, response, plan, "active", version=version)


@router.post("/plans/{plan}/end", **needs("write", gives=PlanDone, takes=Ending))
def end_plan(
    *, context: TheContext, caller: TheCaller, response: Response, plan: Which, body: Json, version: Version
) -> Any:
    """End this plan for good and take its texts back. Of who died all plans end."""
    because = read_body(context, caller, Ending, body).because
    return _set_status(context, caller, response, plan, "ended", version=version, because=because)


def _set_status(
    context: AppContext,
    caller: Caller,
    response: Response,
    which: str,
    status: str,
    *,
    version: int | None,
    because: str | None = None,
) -> Any:
    one = context.database.read(lambda tx: the_plan(tx, caller, which))
    with verdicts():
        done: Changes | None = changes.set_plan_status(
            context, one.ref, status, clock.now(), who=caller.who, because=because, site=one.site, version=version
        )
    return {"texts": found(done), "plan": _shown(context, caller, one.id, response)}


@router.post("/preview", **needs("write", gives=Preview, takes=PlanDocument))
def preview(*, context: TheContext, caller: TheCaller, body: Json) -> Any:
    """Every text that a plan document would lay down; nothing is kept.

    `{"ref": "DC-2026-1187"}` alone asks for the texts of a plan that there is, and needs the scope `people` too.
    """
    if body.keys() == {"ref"}:
        require(caller, "people")
        ref = body["ref"]
        return _preview(context, caller, f"~{ref if isinstance(ref, str) else ''}")
    document = context.database.read(lambda tx: _document(context, tx, caller, body))
    previews.admit(context, caller.who, clock.now())
    places = None if caller.every_site else caller.sites
    texts = planning.preview(context, document, clock.now(), places=places)
    return {"items": [text.as_json() for text in texts], "people": planning.people_in(document, texts)}
