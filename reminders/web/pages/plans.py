"""Plans: the list, one plan with all its texts, and what can be done to plans and to one visit."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from reminders import clock, plans, queries
from reminders.audit_actions import Action
from reminders.lifecycle import PLANNED
from reminders.queries import PlanRow, SeriesOfPlan, history, readings
from reminders.queries.plans import ListedPlan, PlanFilter
from reminders.queries.visits import ListedVisit
from reminders.service import AppContext, planning
from reminders.service.office.accounts import Actor
from reminders.service.planning import cap_costs, changes
from reminders.service.planning.accepting import Previewed
from reminders.web.access import Looking, Planning, SeeingPeople
from reminders.web.forms import Fields, Form, RowId, day_in, row_id
from reminders.web.pages.new_plan import phone_in
from reminders.web.plan_form import recurs
from reminders.web.render import draw, see
from reminders.web.webhooks import TheContext
from reminders.wording import staff_words

router = APIRouter()

PER_PAGE = 50
VISITS = 12
DONE = {
    "paused": "Paused. Nothing goes for it until it is resumed.",
    "resumed": "Resumed. What lies ahead was planned again.",
    "ended": "Ended. What was still to go was taken back.",
    "transferred": "Handed on. The plan ended here; at the other site they get a new one and consent again.",
    "started": "The plan has started. This page shows each of its texts and when it was delivered.",
    "changed": "The change is saved, and the texts follow it.",
    "moved": "The visit was moved, and its texts with it.",
    "off": "The visit was called off, and its texts with it.",
    "discarded": "The draft is discarded.",
    "erased": "They were erased. What the law wants kept stands by number. Backups, Twilio and exported files are yours"
    " to clear.",
    "nothing": "There was nothing to change: those plans stand like that already.",
}
STATES = {"active": "Active", "paused": "Paused", "ended": "Ended"}
BLOCKED = {
    "no_consent": "no consent in force",
    "opted_out": "the number has opted out",
    "number_bad": "the number cannot be reached",
}
ENDINGS = {
    "completed": "completed",
    "left": "left early",
    "readmitted": "readmitted",
    "died": "the patient died: everything to anyone about them ends",
    "other": "another reason",
}
BECAUSE = ENDINGS | {"transferred": "handed on to another site"}
_STATUS = {"pause": "paused", "resume": "active", "end": "ended"}
_AFTER = {"pause": "paused", "resume": "resumed", "end": "ended"}


# The list.


@router.get("/plans", response_class=HTMLResponse)
def listed(
    request: Request,
    context: TheContext,
    actor: Looking,
    *,
    status: str = "",
    since: str = "",
    until: str = "",
    mine: str = "",
    site: str = "",
    before: str = "",
    done: str = "",
) -> HTMLResponse:
    """Plans, the latest discharge first. 422 with the problems for filters that are none."""
    chosen = {"status": status.strip(), "since": since.strip(), "until": until.strip(), "mine": mine.strip()}
    chosen["site"] = site.strip()
    problems = _problems(chosen)
    wanted = PlanFilter(limit=PER_PAGE + 1) if problems else _filter(chosen, actor, before)
    rows = [] if problems else _rows(context, actor, wanted, chosen["site"])
    asked = {name: value for name, value in chosen.items() if value}
    older = None
    if len(rows) > PER_PAGE:
        on, last = rows[PER_PAGE - 1].place
        older = "/plans?" + urlencode(asked | {"before": f"{on}~{last}"})
    return _list(
        request,
        context,
        actor,
        rows[:PER_PAGE],
        status=422 if problems else 200,
        problems=problems,
        chosen=chosen,
        older=older,
        newest=wanted.before and ("/plans?" + urlencode(asked) if asked else "/plans"),
        done=DONE.get(done),
    )


@router.post("/plans", response_class=HTMLResponse)
def search(request: Request, context: TheContext, actor: SeeingPeople, form: Form) -> HTMLResponse:
    """The plans of patients with that reference, those words in their name, or that number. None of it is in a URL."""
    words, now = form["search"][:200], clock.now()
    rows = []
    if words:
        phone = context.database.read(lambda tx: phone_in(context, tx, words, now))
        rows = _rows(context, actor, PlanFilter(search=words, phone=phone, limit=PER_PAGE))
    return _list(request, context, actor, rows, searched=words, chosen={}, problems={})


def _list(
    request: Request, context: AppContext, actor: Actor, rows: Sequence[ListedPlan], **values: Any
) -> HTMLResponse:
    sites = context.database.read(queries.people.all_sites)
    people = {site.key for site in sites if site.id in actor.sites("people")}
    may_change = {site.key for site in sites if site.id in actor.sites("plan")}
    drafts = context.database.read(lambda tx: queries.drafts.mine(tx, actor.id)) if actor.may("plan") else []
    values = {"older": None, "newest": None, "searched": None, "done": None} | values
    return draw(
        request,
        "plans.html",
        plans=rows,
        people=people,
        may_change=may_change,
        sites=[site.key for site in sites if site.id in actor.sites("look")],
        states=STATES,
        blocked=BLOCKED,
        because=BECAUSE,
        kinds=staff_words.KINDS,
        drafts=len(drafts),
        filtered=any(values["chosen"].values()),
        **values,
    )


def _rows(context: AppContext, actor: Actor, wanted: PlanFilter, at: str = "") -> list[ListedPlan]:
    """The plans `at` a site, or at all, with names where names may be seen; that they were read is on record."""
    now, sites = clock.now(), actor.sites("look")
    may = actor.sites("people")
    if at:
        rows = context.database.read(queries.people.all_sites)
        sites &= {row.id for row in rows if row.key == at}
    if wanted.search or wanted.phone:
        sites &= may

    def look(tx: queries.Transaction, notes: readings.Notes) -> list[ListedPlan]:
        rows = queries.plans.list_plans(tx, sites, wanted, now, names=bool(may))
        shown = [one.id for one in rows]
        site = min(actor.sites("look"))
        notes.add_unless_known(
            tx, Action.PLANS_LIST_READ, "sites", site, shown=shown, now=now, who=actor.who, again=False
        )
        return rows

    return readings.read(context.database, look, now, who=actor.who)


def _filter(chosen: dict[str, str], actor: Actor, before: str) -> PlanFilter:
    status, until = chosen["status"], day_in(chosen["until"])
    return PlanFilter(
        status=status if status in STATES else None,
        blocked=status == "blocked",
        needs_attention=status == "attention",
        discharged_since=day_in(chosen["since"]),
        discharged_until=until + timedelta(days=1) if until is not None else None,
        entered_by=actor.who if chosen["mine"] else None,
        before=_place(before),
        limit=PER_PAGE + 1,
    )


def _problems(chosen: dict[str, str]) -> dict[str, str]:
    problems = {}
    if chosen["status"] and chosen["status"] not in {*STATES, "blocked", "attention"}:
        problems["status"] = "Choose which plans from the list"
    for name in ("since", "until"):
        if chosen[name] and day_in(chosen[name]) is None:
            problems[name] = "Enter a day of discharge as year-month-day, such as 2026-11-30"
    return problems


def _place(before: str) -> tuple[date, int] | None:
    on, _, last = before.partition("~")
    found = row_id(last)
    day = day_in(on)
    return (day, found) if day is not None and found is not None else None


# Several at once.


@router.post("/plans/together", response_class=HTMLResponse)
def together(request: Request, context: TheContext, actor: Planning, form: Form) -> Response:
    """What happens if the ticked plans are paused, resumed or ended, in numbers; and then it happens."""
    now, do = clock.now(), form["do"]
    if do not in _STATUS:
        raise HTTPException(400)
    ids = {found for one in form.all("plan") if (found := row_id(one)) is not None}
    wanted = PlanFilter(ids=ids, limit=PER_PAGE + 1)
    rows = context.database.read(lambda tx: queries.plans.list_plans(tx, actor.sites("plan"), wanted, now))
    problems = {} if rows else {"plan": "Tick the plans first"}
    because = form["because"] or None
    if do == "end" and form["sure"] and because not in ENDINGS:
        problems["because"] = "Say why they end"
    if form["sure"] and not problems:
        done, _ = changes.set_statuses(
            context, [one.id for one in rows], _STATUS[do], now, who=actor.who, because=because
        )
        return see("/plans", done=_AFTER[do] if done else "nothing")
    where = {"action": "/plans/together", "back": "/plans"}
    return _ask_first(request, context, actor, rows, do, problems=problems, because=because, sites=(), **where)


def _ask_first(
    request: Request,
    context: AppContext,
    actor: Actor,
    plans: Sequence[ListedPlan],
    do: str,
    *,
    problems: dict[str, str],
    **values: Any,
) -> HTMLResponse:
    """What would come of it, in numbers, and whether it is meant."""
    stand, texts = changes.set_statuses(
        context,
        [one.id for one in plans],
        _STATUS.get(do, "ended"),
        clock.now(),
        who=actor.who,
        because="other",
        dry_run=True,
    )
    status = 422 if problems else 200
    values |= {"plans": plans, "stand": stand, "texts": texts, "problems": problems, "endings": ENDINGS}
    return draw(request, "plan_do.html", status=status, do=do, **values)


# One plan.


@dataclass(frozen=True, slots=True)
class Opened:
    """A plan as its page shows it."""

    plan: ListedPlan
    visits: list[ListedVisit]
    texts: list[Previewed]
    bodies: dict[int, str]
    series: Sequence[SeriesOfPlan]

    def without_reminder(self, now: datetime) -> set[int]:
        """The visits ahead of which reminders were weighed, and no text that goes, went or is to go tells."""
        reminders = [one for one in self.texts if one.class_ == "reminder"]
        weighed = {name for one in reminders for name in one.appointments}
        told = {name for one in reminders if one.goes or one.reason == "merged_into" for name in one.appointments}
        return {
            one.id
            for one in self.visits
            if one.status == "booked" and one.starts_at > now and f"{one.series}@{one.recurrence_id}" in weighed - told
        }


@router.get("/plans/{plan_id}", response_class=HTMLResponse)
def plan(
    request: Request, context: TheContext, actor: Looking, plan_id: RowId, *, every: str = "", done: str = ""
) -> HTMLResponse:
    """One plan: what was agreed, its visits, and every text with what became of it."""
    now = clock.now()
    again = request.headers.get("x-refresh") == "1"  # the same page, read again by itself
    opened = readings.read(
        context.database,
        lambda tx, notes: _open(context, tx, notes, actor, plan_id=plan_id, now=now, again=again),
        now,
        who=actor.who,
    )
    visits = opened.visits if every else [one for one in opened.visits if one.starts_at > now][:VISITS]
    may_see = actor.may("people", _site_id(context, opened.plan.site))
    return draw(
        request,
        "plan.html",
        plan=opened.plan,
        visits=visits,
        without=opened.without_reminder(now),
        hidden=len(opened.visits) - len(visits),
        every=bool(every),
        gone=[one for one in opened.texts if one.state not in PLANNED],
        ahead=[one for one in opened.texts if one.state in PLANNED],
        cap_cost=cap_costs.in_words(opened.texts, now.date()),
        bodies=opened.bodies,
        series=opened.series,
        may_see=may_see,
        may_change=actor.may("plan", _site_id(context, opened.plan.site)),
        kinds=staff_words.KINDS,
        words=STATES,
        blocked=BLOCKED,
        because=BECAUSE,
        recurs=recurs,
        done=DONE.get(done),
    )


def _open(
    context: AppContext,
    tx: queries.Transaction,
    notes: readings.Notes,
    actor: Actor,
    *,
    plan_id: int,
    now: datetime,
    again: bool,
) -> Opened:
    sites = actor.sites("look")
    row = history.plan(tx, sites, plan_id)
    if row is None:
        raise HTTPException(404)
    names = actor.may("people", row.site_id)
    notes.add_unless_known(tx, Action.PLAN_PAGE_READ, "plans", plan_id, shown=(), now=now, who=actor.who, again=again)
    (shown,) = queries.plans.list_plans(tx, sites, PlanFilter(ids=[plan_id]), now, names=names)
    visits = queries.visits.list_visits(tx, [row.site_id], None, None, plan=row.ref, limit=1000, names=names)
    texts = planning.texts_of(context, tx, row, now)
    tried = [one.id for one in texts if one.state not in PLANNED]
    bodies = queries.texts.bodies(tx, tried) if names else {}
    return Opened(shown, visits, texts, bodies, queries.plans.series_of(tx, plan_id))


def _site_id(context: AppContext, key: str) -> int:
    site = context.database.read(lambda tx: queries.people.site_by_key(tx, key))
    assert site is not None
    return int(site.id)


@router.get("/plans/{plan_id}/change/{do}", response_class=HTMLResponse)
def ask(request: Request, context: TheContext, actor: Planning, plan_id: RowId, do: str) -> HTMLResponse:
    """What happens if the plan is paused, resumed, ended or handed on."""
    return _asked(request, context, actor, plan_id, do, problems={})


@router.post("/plans/{plan_id}/change/{do}", response_class=HTMLResponse)
def change(request: Request, context: TheContext, actor: Planning, form: Form, *, plan_id: RowId, do: str) -> Response:
    """Pause, resume, end or hand on one plan."""
    row = _mine(context, actor, plan_id, do)
    now, because = clock.now(), form["because"] or None
    try:
        if do == "transfer":
            site = context.database.read(lambda tx: queries.people.site_of_patient(tx, row.patient_id))
            changes.transfer(context, row.ref, form["to_site"], now, who=actor.who, site=site.key)
            return see(f"/plans/{plan_id}", done="transferred")
        if do == "end" and because not in ENDINGS:
            return _asked(request, context, actor, plan_id, do, problems={"because": "Say why it ends"})
        done, _ = changes.set_statuses(context, [plan_id], _STATUS[do], now, who=actor.who, because=because)
    except ValueError as refused:
        return _asked(request, context, actor, plan_id, do, problems={"to_site": _sentence(refused)})
    return see(f"/plans/{plan_id}", done=_AFTER[do] if done else "nothing")


def _asked(
    request: Request, context: AppContext, actor: Actor, plan_id: int, do: str, *, problems: dict[str, str]
) -> HTMLResponse:
    now = clock.now()
    row = _mine(context, actor, plan_id, do)
    rows = context.database.read(lambda tx: queries.plans.list_plans(tx, [row.site_id], PlanFilter(ids=[plan_id]), now))
    others = [site.key for site in context.database.read(queries.people.all_sites) if site.id != row.site_id]
    where = {"action": f"/plans/{plan_id}/change/{do}", "back": f"/plans/{plan_id}"}
    return _ask_first(request, context, actor, rows, do, problems=problems, because=None, sites=others, **where)


def _mine(context: AppContext, actor: Actor, plan_id: int, do: str) -> PlanRow:
    row = context.database.read(lambda tx: history.plan(tx, actor.sites("plan"), plan_id))
    if row is None or do not in {*_STATUS, "transfer"}:
        raise HTTPException(404)
    return row


def _sentence(error: Exception) -> str:
    words = str(error)
    return words[:1].upper() + words[1:]


# One visit.


@router.get("/plans/{plan_id}/visits/{visit_id}", response_class=HTMLResponse)
def visit(request: Request, context: TheContext, actor: Planning, plan_id: RowId, visit_id: RowId) -> HTMLResponse:
    """Move one visit or call it off."""
    found, _ = _visit(context, actor, plan_id, visit_id)
    return _visit_page(request, actor, plan_id, found, Fields([]))


@router.post("/plans/{plan_id}/visits/{visit_id}", response_class=HTMLResponse)
def change_visit(
    request: Request, context: TheContext, actor: Planning, form: Form, *, plan_id: RowId, visit_id: RowId
) -> Response:
    """Show which texts change if the visit is moved or called off; once that was seen, do it."""
    now = clock.now()
    found, patient_id = _visit(context, actor, plan_id, visit_id)
    off = form["do"] in {"off", "off_sure"}
    to, problems = (None, {}) if off else _when(form)
    effects: list[planning.Effect] | None = None
    if not problems:

        def work(tx: queries.Transaction) -> object:
            return changes.change_one(context, tx, visit_id, now, who=actor.who, to=to)

        try:
            if form["do"] in {"move_sure", "off_sure"} and (off or form["shown"] == f"{to:%Y-%m-%dT%H:%M}"):
                if changes.change(context, visit_id, now, who=actor.who, to=to) is None:
                    raise HTTPException(409, "This visit is not on any more. Go back and look at the plan.")
                return see(f"/plans/{plan_id}", done="off" if off else "moved")
            _, effects = planning.effects(context, patient_id, work, now)
        except ValueError as refused:
            problems["date"] = _sentence(refused)
    return _visit_page(request, actor, plan_id, found, form, to=to, off=off, problems=problems, effects=effects)


def _visit(context: AppContext, actor: Actor, plan_id: int, visit_id: int) -> tuple[ListedVisit, int]:
    def look(tx: queries.Transaction) -> tuple[ListedVisit, int]:
        row = history.plan(tx, actor.sites("plan"), plan_id)
        found = queries.visits.find_visit(tx, actor.sites("plan"), visit_id)
        if row is None or found is None or found.plan != row.ref or found.patient_id != row.patient_id:
            raise HTTPException(404)
        return found, row.patient_id

    return context.database.read(look)


def _when(form: Fields) -> tuple[datetime | None, dict[str, str]]:
    problems = {}
    if day_in(form["date"]) is None:
        problems["date"] = "Enter the new date"
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d(:00)?", form["time"]):
        problems["time"] = "Enter the new time, such as 3:00 pm"
    if problems:
        return None, problems
    return datetime.fromisoformat(f"{form['date']}T{form['time'][:5]}"), {}


def _visit_page(
    request: Request,
    actor: Actor,
    plan_id: int,
    found: ListedVisit,
    form: Fields,
    *,
    to: datetime | None = None,
    off: bool = False,
    problems: dict[str, str] | None = None,
    effects: list[planning.Effect] | None = None,
) -> HTMLResponse:
    del actor
    now = clock.now()
    return draw(
        request,
        "visit.html",
        status=422 if problems else 200,
        visit=found,
        plan_id=plan_id,
        form=form,
        to=to,
        off=off,
        begun=found.starts_at <= now,
        stands=found.status in queries.plans.OPEN,
        problems=problems or {},
        effects=effects,
        kinds=staff_words.KINDS,
        instant=plans.to_instant(to, found.zone) if to is not None else None,
    )
