"""Enter a plan, or change one: one form, and beside it every text as it would go, before anything is agreed.

What the preview shows is what the plan lays down: `planning.preview` of the very document that is accepted.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from reminders import clock, languages, plans, queries
from reminders.audit_actions import Action
from reminders.plans import Category, Kind, PlanDocument, PlanRefused, Problem
from reminders.queries import PlanRow, history, readings
from reminders.queries.patients import ListedPatient, PatientFilter
from reminders.service import AppContext, planning
from reminders.service.office.accounts import Actor
from reminders.service.office.api_keys import TooMany
from reminders.service.people import reader_case, sharing, staff_texts
from reminders.service.planning import cap_costs, drafts, previews
from reminders.service.planning.accepting import Previewed
from reminders.web.access import Planning
from reminders.web.forms import Fields, Form, RowId, row_id
from reminders.web.plan_form import LATER, REPEATS, WEEKDAYS, PlanForm, add_row, drop_row, fields_of, read_form, recurs
from reminders.web.render import ago, draw, see
from reminders.web.webhooks import TheContext
from reminders.wording import staff_words

router = APIRouter()

A_YEAR = timedelta(days=366)
DONE = {"sample": "The test is on its way to your phone.", "kept": "The draft is saved."}
_ABOUT_A_PERSON = ("patient.", "consent.", "recipients.")


@dataclass(frozen=True, slots=True)
class Place:
    """A site at which someone may enter plans."""

    id: int
    key: str
    zone: str
    region: str
    alias: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: who asks, of which service, and when."""

    request: Request
    context: AppContext
    actor: Actor
    now: datetime


@dataclass(frozen=True, slots=True)
class Agreed:
    """One series of the form in plain words: how often, how many visits, the first and the last of them.

    `odd` are visits at a time that does not exist on their day, each with the time that is meant instead.
    """

    kind: str
    how: str
    recurs: str
    visits: int
    endless: bool
    first: datetime
    last: datetime
    zone: str
    odd: tuple[tuple[datetime, datetime], ...]


@dataclass(slots=True)
class Seen:
    """What the form comes to: the document or what is wrong with it, its texts, and who is here already."""

    form: PlanForm
    document: PlanDocument | None
    problems: dict[str, str]
    texts: list[Previewed]
    remarks: tuple[str, ...]
    agreed: list[Agreed]
    notes: list[tuple[str, str | None]]
    number: str | None
    current: list[str]


@router.get("/plans/new", response_class=HTMLResponse)
def new(
    request: Request,
    context: TheContext,
    actor: Planning,
    *,
    draft: RowId | None = None,
    patient: RowId | None = None,
    replaces: RowId | None = None,
    done: str = "",
) -> HTMLResponse:
    """The empty form; or a draft of one's own, or what is known of a patient who gets another plan."""
    ask = Ask(request, context, actor, clock.now())
    fields = Fields(_empty(actor, _places(context, actor)[0], ask.now))
    draft_id = drafts.new_id(ask.now)
    if draft is not None:
        (kept,) = context.database.read(lambda tx: queries.drafts.mine(tx, actor.id, draft)) or (None,)
        if kept is None:
            raise HTTPException(404)
        fields, draft_id = Fields(list(kept.fields)), kept.id
    elif replaces is not None or patient is not None:
        fields = Fields(_known_of(ask, patient_id=patient, plan_id=replaces))
    begun = draft is not None or patient is not None or replaces is not None
    return _page(ask, fields, draft_id=draft_id, judged=begun, done=DONE.get(done))


@router.post("/plans/new", response_class=HTMLResponse)
def enter(request: Request, context: TheContext, actor: Planning, form: Form) -> Response:
    """Look someone up, add or drop a row, send a test, or start the plan. 422 with what is wrong, all of it kept."""
    return _work(Ask(request, context, actor, clock.now()), form, None)


@router.post("/plans/preview", response_class=HTMLResponse)
def preview(request: Request, context: TheContext, actor: Planning, form: Form) -> HTMLResponse:
    """The page with the texts of what is typed so far; the script takes the parts that change from it."""
    ask = Ask(request, context, actor, clock.now())
    return _page(ask, form, draft_id=row_id(form["draft"]), plan=_plan_of(context, actor, form))


@router.post("/plans/drafts/{draft_id}")
def keep_draft(context: TheContext, actor: Planning, form: Form, draft_id: RowId) -> Response:
    """Keep the form as it is, for the person who types it alone."""
    if not _keep(context, actor, form, draft_id):
        raise HTTPException(404)
    return Response(status_code=204)


@router.post("/plans/drafts/{draft_id}/discard")
def discard_draft(context: TheContext, actor: Planning, draft_id: RowId) -> Response:
    """Forget a draft."""
    if not drafts.discard(context, actor.id, draft_id):
        raise HTTPException(404)
    return see("/plans", done="discarded")


@router.get("/plans/{plan_id}/edit", response_class=HTMLResponse)
def edit(request: Request, context: TheContext, actor: Planning, plan_id: RowId) -> HTMLResponse:
    """The form filled from a plan as it was accepted."""
    now = clock.now()

    def look(tx: queries.Transaction, notes: readings.Notes) -> tuple[PlanRow, str]:
        plan = history.plan(tx, actor.sites("plan"), plan_id)
        if plan is None:
            raise HTTPException(404)
        notes.add(Action.PLAN_DOCUMENT_READ, "plans", plan_id)
        return plan, queries.plans.document_of(tx, plan)

    plan, document = readings.read(context.database, look, now, who=actor.who)
    fields = Fields([*fields_of(json.loads(document)), ("version", str(plan.version)), ("plan_id", str(plan.id))])
    return _page(Ask(request, context, actor, now), fields, plan=plan)


@router.post("/plans/{plan_id}/edit", response_class=HTMLResponse)
def change(request: Request, context: TheContext, actor: Planning, form: Form, plan_id: RowId) -> Response:
    """The same as for a new plan, of one there is."""
    plan = context.database.read(lambda tx: history.plan(tx, actor.sites("plan"), plan_id))
    if plan is None:
        raise HTTPException(404)
    return _work(Ask(request, context, actor, clock.now()), form, plan)


# What the buttons do.


def _work(ask: Ask, form: Fields, plan: PlanRow | None) -> Response:
    do = form["do"]
    draft_id = row_id(form["draft"])
    more: dict[str, Any] = {"draft_id": draft_id, "plan": plan}
    if do.startswith("add:"):
        section = do.removeprefix("add:")
        if section not in {"series", "recipients"}:
            raise HTTPException(400)
        values = {"role": "supporter"} if section == "recipients" else {}
        form, number = add_row(form, section, key="", **values)
        return _page(ask, form, fresh=f"{section}.{number}", judged=False, **more)
    if do.startswith("drop:"):
        return _page(ask, drop_row(form, do.removeprefix("drop:")), judged=False, **more)
    if do == "find":
        return _page(ask, form, judged=False, found=_find(ask, form["find"]), **more)
    if do == "keep" and draft_id is not None and plan is None:
        if not _keep(ask.context, ask.actor, form, draft_id):
            raise HTTPException(404)
        return see("/plans/new", draft=str(draft_id), done="kept")
    if do == "sample":
        return _sample(ask, form, more)
    if do == "start":
        return _start(ask, form, more)
    return _page(ask, form, **more)


def _start(ask: Ask, form: Fields, more: Mapping[str, Any]) -> Response:
    plan: PlanRow | None = more["plan"]
    place = _place(_places(ask.context, ask.actor), form)
    read = read_form(form)
    known = plan.id if plan is not None else None
    problems = {}
    try:
        document = _read(ask.context, read, place, ask.now)
        problems = read.explain(_uncounted(ask, document, place, plan))
        if not problems:
            version = row_id(form["version"])
            plan_id, _ = planning.enter(
                ask.context, document, ask.now, who=ask.actor.who, plan_id=known, version=version
            )
    except PlanRefused as refused:
        problems = read.explain(refused.problems)
    if problems:
        return _page(ask, form, problems=problems, status=422, **more)
    draft_id = more["draft_id"]
    if draft_id is not None:
        drafts.discard(ask.context, ask.actor.id, draft_id)
    return see(f"/plans/{plan_id}", done="changed" if plan is not None else "started")


def _sample(ask: Ask, form: Fields, more: Mapping[str, Any]) -> Response:
    place = _place(_places(ask.context, ask.actor), form)
    seen = _look(ask, form, place)
    going = [text for text in seen.texts if text.goes and text.text]
    problems, done = {}, None
    if not going:
        problems["sample"] = "There is no text to test yet; finish the plan first"
    else:
        try:
            staff_texts.send_sample(
                ask.context, going[0].text or "", form["sample"], ask.now, who=ask.actor.who, site=place.key
            )
            done = DONE["sample"]
        except PlanRefused as refused:
            problems["sample"] = f"Your number {refused.problems[0].problem}"
        except reader_case.Refused as refused:
            problems["sample"] = str(refused)[:1].upper() + str(refused)[1:]
    return _page(
        ask,
        form,
        judged=False,
        problems=problems,
        status=422 if problems else 200,
        done=done,
        **more,
    )


def _keep(context: AppContext, actor: Actor, form: Fields, draft_id: int) -> bool:
    places = _places(context, actor)
    site_id = _place(places, form).id
    pairs = [(name, value) for name, value in form.pairs if value and name not in {"do", "find", "sample"}]
    return drafts.keep(context, draft_id, pairs, clock.now(), staff_id=actor.id, site_id=site_id)


# What the page knows.


def _places(context: AppContext, actor: Actor) -> list[Place]:
    rows = context.database.read(queries.people.all_sites)
    mine = actor.sites("plan")
    places = [Place(row.id, row.key, row.zone, row.region, row.alias) for row in rows if row.id in mine]
    if not places:
        raise HTTPException(403, "There is no site at which you may enter plans.")
    return sorted(places, key=lambda one: one.key != context.settings.site.key)


def _place(places: Sequence[Place], form: Fields) -> Place:
    return next((one for one in places if one.key == form["plan.site"]), places[0])


def _plan_of(context: AppContext, actor: Actor, form: Fields) -> PlanRow | None:
    plan_id = row_id(form["plan_id"])
    if plan_id is None:
        return None
    return context.database.read(lambda tx: history.plan(tx, actor.sites("plan"), plan_id))


def _empty(actor: Actor, place: Place, now: datetime) -> list[tuple[str, str]]:
    today = plans.to_wall(now, place.zone).date().isoformat()
    return [
        ("plan.site", place.key),
        ("plan.discharged_on", today),
        ("consent.on", today),
        ("consent.by", actor.name),
        ("series.0.key", ""),
    ]


def _known_of(ask: Ask, *, patient_id: int | None, plan_id: int | None) -> list[tuple[str, str]]:
    """What the form of another plan of a patient begins with: the person as their latest plan has them.

    A number that was changed since needs a consent of its own, so neither the old one nor its consent is repeated.
    """

    def look(tx: queries.Transaction, notes: readings.Notes) -> list[tuple[str, str]]:
        sites = ask.actor.sites("plan")
        old = history.plan(tx, sites, plan_id) if plan_id is not None else None
        patient = history.patient(tx, sites, old.patient_id if old is not None else patient_id or 0)
        if patient is None:
            raise HTTPException(404)
        theirs = queries.plans.plans_of(tx, patient.id)
        own = next((one for one in queries.people.recipients_of(tx, patient.id) if one.role == "self"), None)
        notes.add(Action.PLAN_DOCUMENT_READ, "patients", patient.id)
        if not theirs or own is None:
            return [
                ("patient.ref", patient.ref),
                ("patient.name", queries.people.open_name(tx, patient.id, patient.name_sealed) or ""),
            ]
        pairs = fields_of(json.loads(queries.plans.document_of(tx, theirs[0])))
        pairs = [pair for pair in pairs if pair[0].startswith(_ABOUT_A_PERSON)]
        number = queries.people.find_numbers(tx, [own.number_id])[own.number_id]
        phone = queries.people.phone_of(tx, number.id, number.phone_sealed)
        if ("patient.phone", phone) not in pairs:
            pairs = [pair for pair in pairs if pair[0] != "patient.phone" and not pair[0].startswith("consent.")]
            pairs += [("patient.phone", phone), ("consent.said", LATER)]
        if old is not None and old.status != "ended":
            pairs.append(("plan.stands", f"replaces:{old.ref}"))
        today = plans.to_wall(ask.now, patient.zone).date().isoformat()
        return [*pairs, ("plan.site", patient.site), ("plan.discharged_on", today), ("series.0.key", "")]

    return readings.read(ask.context.database, look, ask.now, who=ask.actor.who)


def _known(context: AppContext, tx: queries.Transaction, place: Place, now: datetime) -> plans.Known:
    return replace(context.known(tx, now, place.key), sites=frozenset({place.key}))


def _read(context: AppContext, read: PlanForm, place: Place, now: datetime) -> PlanDocument:
    known = context.database.read(lambda tx: _known(context, tx, place, now))
    return plans.read(read.table, known)


def _admit(ask: Ask) -> None:
    try:
        previews.admit(ask.context, ask.actor.who, ask.now)
    except TooMany as refusal:
        wait = str(-(-refusal.wait // timedelta(seconds=1)))
        said = f"You looked at many plans within a minute. Wait {wait} seconds, then go on."
        raise HTTPException(429, said, {"Retry-After": wait}) from None


def _look(ask: Ask, form: Fields, place: Place) -> Seen:
    read = read_form(form)
    seen = Seen(read, None, {}, [], (), [], [], None, [])
    refused: Sequence[Problem] = ()
    try:
        seen.document = _read(ask.context, read, place, ask.now)
        seen.agreed = agreed(seen.document, place.zone, ask.now)
        refused = _uncounted(ask, seen.document, place, _plan_of(ask.context, ask.actor, form))
        if not read.problems:
            if form["do"] != "start":  # what was tried out often enough is saved all the same
                _admit(ask)
            places = ask.actor.sites("plan")
            seen.remarks, seen.texts = planning.try_out(ask.context, seen.document, ask.now, places=places)
    except PlanRefused as refusal:
        refused = refusal.problems
    seen.problems = read.explain(refused)
    ask.context.database.read(lambda tx: _who_is_here(ask, tx, seen, place))
    return seen


def _uncounted(ask: Ask, document: PlanDocument, place: Place, plan: PlanRow | None) -> list[Problem]:
    """What keeps a yes that was typed here from counting, at its box; what the plan said before is no news."""
    found = plans.uncounted_in(document, plans.to_wall(ask.now, place.zone).date())
    if not found or plan is None:
        return list(found)
    before = json.loads(ask.context.database.read(lambda tx: queries.plans.document_of(tx, plan)))
    said = json.loads(document.canonical())
    same = ["consent."] if said.get("consent") == before.get("consent") else []
    was = {other["key"]: other for other in before.get("recipients", ())}
    same += [f"recipients[{n}]." for n, one in enumerate(said.get("recipients", ())) if was.get(one["key"]) == one]
    return [one for one in found if not one.where.startswith(tuple(same))]


def agreed(document: PlanDocument, zone: str, now: datetime) -> list[Agreed]:
    """What a document comes to, series by series, for a year ahead."""
    until = plans.to_wall(now, zone).date() + A_YEAR
    found = []
    for one in document.all_series():
        visits = plans.occurrences(one, until=until, zone=zone)
        if not visits:
            continue
        meant = ((visit.wall, plans.to_wall(plans.to_instant(visit.wall, visit.zone), visit.zone)) for visit in visits)
        odd = tuple((wall, there.replace(tzinfo=None)) for wall, there in meant if there.replace(tzinfo=None) != wall)
        endless = one.repeats is not None and "COUNT=" not in one.repeats and "UNTIL=" not in one.repeats
        walls = [visit.wall for visit in visits]
        found.append(
            Agreed(
                kind=one.kind.value,
                how=one.how.value,
                recurs=recurs(one.repeats),
                visits=len(visits),
                endless=endless,
                first=walls[0],
                last=walls[-1],
                zone=one.zone or zone,
                odd=odd[:3],
            )
        )
    return found


def _who_is_here(ask: Ask, tx: queries.Transaction, seen: Seen, place: Place) -> None:
    """Note who has this reference or number already, so that no one is entered twice and no one's news goes astray."""
    form = seen.form
    sites = ask.actor.sites("plan")
    ref = form.value("patient.ref")
    known = queries.people.patient_by_ref(tx, place.id, ref) if ref else None
    editing = form.value("plan_id")
    if known is not None:
        current = [plan.ref for plan in queries.plans.current_plans(tx, known.id) if str(plan.id) != editing]
        seen.current = current
        if not editing:
            seen.notes.append((f"There is a patient with this reference: {ref}.", f"/patients/{known.id}"))
    if not form.value("patient.phone"):
        return
    try:
        phone = plans.read_phone(form.value("patient.phone"), _known(ask.context, tx, place, ask.now))
    except PlanRefused:
        return
    elsewhere = plans.other_zones(phone, form.value("patient.zone") or place.zone)
    region = plans.region_of(phone)
    seen.number = f"We will text {queries.people.masked(phone)}" + (f" ({region})" if region else "")
    if not form.value("patient.zone"):
        seen.number += f", by the clock of {place.zone}"
        if elsewhere:
            seen.number += f"; its area code is of {', '.join(elsewhere)}, so texts keep to the hours of both"
    seen.number += "."
    number = queries.people.number_by_phone(tx, phone)
    if number is None:
        return
    readers = {one.patient_id for one in sharing.known_readers(ask.context, tx, number.id, sites)}
    for other in sorted(readers - ({known.id} if known is not None else set())):
        row = history.patient(tx, sites, other)
        whom = row.ref if row is not None else "A patient of another site"
        said = f"{whom} is texted on this number too. They share its limit of texts a day."
        seen.notes.append((said, f"/patients/{row.id}" if row is not None else None))
    if not readers and not ask.context.settings.sites.one_program:  # another program's number is like no one's
        return
    if number.opted_out_at is not None:
        seen.notes.append(("This number has opted out. Nothing goes to it until START comes from that phone.", None))
    elif number.wrong_since is not None or number.bad_since is not None:
        seen.notes.append(("Texts to this number did not arrive, or it is someone else's. Ask for another.", None))


def _find(ask: Ask, words: str) -> list[ListedPatient]:
    if not words:
        return []

    def look(tx: queries.Transaction, notes: readings.Notes) -> list[ListedPatient]:
        sites = ask.actor.sites("people") & ask.actor.sites("plan")
        found = queries.patients.list_patients(
            tx, sites, search_of(ask.context, tx, words, ask.now), ask.now, names=True
        )
        notes.add(Action.PATIENTS_LIST_READ, "sites", min(sites, default=0))
        return found

    return readings.read(ask.context.database, look, ask.now, who=ask.actor.who)


def search_of(context: AppContext, tx: queries.Transaction, words: str, now: datetime) -> PatientFilter:
    """What someone typed into a search box: a reference, words of a name, or a phone number in any format."""
    return PatientFilter(search=words, phone=phone_in(context, tx, words, now), limit=20)


def phone_in(context: AppContext, tx: queries.Transaction, words: str, now: datetime) -> str | None:
    """The number that was typed, if it is one."""
    if sum(letter.isdigit() for letter in words) < 7:
        return None
    try:
        return plans.find_phone(words, context.known(tx, now))
    except PlanRefused:
        return None


# The page.


def _page(
    ask: Ask,
    fields: Fields,
    *,
    draft_id: int | None = None,
    plan: PlanRow | None = None,
    problems: Mapping[str, str] = {},
    judged: bool = True,
    found: Sequence[ListedPatient] | None = None,
    fresh: str = "",
    status: int = 200,
    done: str | None = None,
) -> HTMLResponse:
    places = _places(ask.context, ask.actor)
    place = _place(places, fields)
    seen = _look(ask, fields, place)
    named = [plans.programs()[key] for key in dict.fromkeys(fields.all("plan.program")) if key in plans.programs()]
    kinds = {one.key: one.kind.value for one in seen.document.all_series()} if seen.document is not None else {}
    drafts = ask.context.database.read(lambda tx: queries.drafts.mine(tx, ask.actor.id)) if plan is None else []
    return draw(
        ask.request,
        "new_plan.html",
        status=status,
        form=seen.form,
        problems=problems,
        needed=seen.problems if judged else {},
        begun=judged,
        texts=seen.texts,
        totals=totals(seen.texts, ask.now),
        cap_cost=cap_costs.in_words(seen.texts, ask.now.date()),
        kinds_of=kinds,
        document=seen.document,
        notes=seen.notes,
        people=planning.people_in(seen.document, seen.texts) if seen.document is not None and seen.texts else [],
        early=any(one.startswith(planning.NO_EARLY_VISIT) for one in seen.remarks),
        remarks=[one[:1].upper() + one[1:] for one in seen.remarks if not one.startswith(planning.NO_EARLY_VISIT)],
        agreed=seen.agreed,
        number=seen.number,
        current=seen.current,
        plan=plan,
        draft_id=draft_id,
        drafts=[(one, _name_of_draft(one), ago(one.changed_at, ask.now)) for one in drafts if one.id != draft_id],
        found=found,
        fresh=fresh,
        places=places,
        place=place,
        programs={key: one.title for key, one in plans.programs().items()},
        open_times=list({one.key: one for program in named for one in program.open_times({})}.values()),
        more_programs=[program.key for program in named[1:]],
        kinds={kind.value: staff_words.KINDS[kind.value] for kind in Kind},
        categories={one.value: staff_words.CATEGORIES[one.value] for one in Category if one is not Category.FAMILY},
        all_categories={one.value: staff_words.CATEGORIES[one.value] for one in Category},
        repeats=REPEATS,
        weekdays=WEEKDAYS,
        languages=languages.offered(),
        later=LATER,
        done=done,
    )


def _name_of_draft(draft: queries.drafts.Draft) -> str:
    fields = Fields(list(draft.fields))
    return fields["patient.ref"] or fields["plan.ref"] or "not named yet"


@dataclass(frozen=True, slots=True)
class Totals:
    """A preview in numbers: what goes, what does not, and which visits have no text at all."""

    going: int
    segments: int
    first: Previewed | None
    last: Previewed | None
    not_going: int
    red: int


def totals(texts: Collection[Previewed], now: datetime) -> Totals:
    """The texts of a preview, counted."""
    going = [one for one in texts if one.goes and one.goes_at >= now]
    red = {visit for one in texts if one.red for visit in one.appointments}
    return Totals(
        going=len(going),
        segments=sum(one.segments or 0 for one in going),
        first=min(going, key=lambda one: one.goes_at, default=None),
        last=max(going, key=lambda one: one.goes_at, default=None),
        not_going=sum(not one.goes for one in texts),
        red=len(red),
    )
