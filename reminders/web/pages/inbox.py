"""The inbox: what a person must do, in queues, and one task with its conversation."""

import secrets
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from reminders import clock, plans, queries, task_kinds
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.queries import explanations, inbox, readings
from reminders.queries.tasks import Task
from reminders.service import tasks
from reminders.service.office.accounts import Actor
from reminders.service.people import reader_case, staff_texts
from reminders.service.replies import marks
from reminders.service.sending import releasing
from reminders.service.tasks import oncall
from reminders.web.access import Needs
from reminders.web.forms import Fields, Form
from reminders.web.render import draw, see
from reminders.web.webhooks import TheContext
from reminders.wording import house_style, staff_words

router = APIRouter(prefix="/inbox")

PER_PAGE = 50
LONGEST_NOTE = 2_000
QUEUES = {
    "urgent": "Urgent",
    "mine": "Mine",
    "unassigned": "Unassigned",
    "open": "All open",
    "red": "Visits without a reminder",
    "done": "Done",
}
READ = Action.INBOX_READ
DONE = {
    "taken": "It is yours, and no one else is called.",
    "noted": "Your note is in the story.",
    "said": "Your text is on its way.",
    "twice": "That text was on its way already; it goes once.",
    "gone": "The text is released. This task stays open until it is handed over; the story says if it cannot go.",
    "waits": "The text is released, and waits for its moment. This task stays open until it is handed over.",
    "closed": "The task is closed.",
    "marked": "Your mark is kept with the reply, and counts in what is found and missed.",
    "unmarked": "The mark is taken back.",
    "released": "The task is closed, and their held texts go on their way again.",
}

Looking = Annotated[Actor, Depends(Needs("look"))]
Answering = Annotated[Actor, Depends(Needs("answer"))]
Judging = Annotated[Actor, Depends(Needs("judge"))]


@router.get("", response_class=HTMLResponse)
def inbox_page(
    request: Request, context: TheContext, actor: Looking, *, queue: str = "open", after: str = "", done: str = ""
) -> HTMLResponse:
    """A queue of tasks, the urgent first, then by when they are due. 404 for a queue that is none."""
    if queue not in QUEUES:
        raise HTTPException(404)
    now, sites, people = clock.now(), actor.sites("look"), actor.sites("people")

    def look(tx: queries.Transaction) -> tuple[list[Task], dict[str, Any]]:
        found = queries.tasks.listed(
            tx,
            sites=sites,
            closed=queue == "done",
            urgent=True if queue == "urgent" else None,
            owner=actor.who if queue == "mine" else None,
            unowned=queue == "unassigned",
            kind="red" if queue == "red" else None,
            after=_place(after),
            limit=PER_PAGE + 1,
        )
        counts = queries.tasks.queues(tx, sites, actor.who)
        seen = {patient for task in found for patient in task.patient_ids}
        more = {
            "counts": {name: getattr(counts, name) for name in QUEUES if name != "done"},
            "heard": queries.tasks.heard(tx, [task.id for task in found if task.site_id in people]),
            "known": queries.listing.known_as(tx, people, seen),
        }
        return found, more

    found, more = context.database.read(look)
    shown = found[:PER_PAGE]
    if shown:
        ids = [task.id for task in shown]
        _note_reading(context, actor, ids, now, again=request.headers.get("x-refresh") == "1")
    older = None
    if len(found) > PER_PAGE:
        rank, at, number = shown[-1].place
        older = "/inbox?" + urlencode({"queue": queue, "after": f"{rank}~{at.isoformat()}~{number}"})
    return draw(
        request,
        "inbox.html",
        queue=queue,
        queues=QUEUES,
        tasks=shown,
        older=older,
        newest=f"/inbox?queue={queue}" if _place(after) else None,
        outcomes=staff_words.OUTCOMES,
        done=DONE.get(done),
        now_clock=house_style.hour(plans.to_wall(now, context.settings.site.zone), seconds=True),
        **more,
    )


def _note_reading(context: AppContext, actor: Actor, shown: Collection[int], now: datetime, *, again: bool) -> None:
    def look(tx: queries.Transaction, notes: readings.Notes) -> None:
        site = min(actor.sites("look"), default=0)
        notes.add_unless_known(tx, READ, "sites", site, shown=shown, now=now, who=actor.who, again=again)

    readings.read(context.database, look, now, who=actor.who)


def _place(after: str) -> tuple[int, datetime, int] | None:
    rank, _, rest = after.partition("~")
    at, _, number = rest.partition("~")
    try:
        place = int(rank), datetime.fromisoformat(at).astimezone(UTC), int(number)
    except (ValueError, OverflowError):
        return None
    return place if place[0] in {0, 1} and 0 < place[2] < 2**31 else None


@router.get("/{number:int}", response_class=HTMLResponse)
def task_page(
    request: Request, context: TheContext, actor: Looking, number: int, *, saved: str = "", done: str = ""
) -> HTMLResponse:
    """One task: what was said, what to do, and what happened. `saved` names a reply to begin with."""
    return _draw(request, context, actor, number, saved=saved, done=DONE.get(done))


def _draw(
    request: Request,
    context: AppContext,
    actor: Actor,
    number: int,
    *,
    form: Fields | None = None,
    problems: dict[str, str] | None = None,
    trying: staff_texts.Typed | None = None,
    saved: str = "",
    done: str | None = None,
) -> HTMLResponse:
    now = clock.now()
    if not 0 < number < 2**31:
        raise HTTPException(404)
    found = inbox.open_task(
        context.database, number, now, who=actor.who, sites=actor.sites("look"), people=actor.sites("people")
    )
    if found is None:
        raise HTTPException(404)
    may_answer = actor.may("answer", found.task.site_id)
    reader = next((one for one in found.readers if form is not None and str(one.id) == form["to"]), None)
    reader = reader or next(iter(found.readers), None)
    replies = found.saved(reader.language) if reader is not None else {}
    words = form["words"] if form is not None else replies[saved].body if saved in replies else ""
    return draw(
        request,
        "task.html",
        status=422 if problems else 200,
        opened=found,
        why_not=staff_texts.why_not_to(context, [one.id for one in found.readers], now),
        on_duty=[contact.name for contact in oncall.on_duty(context, now, found.task.kind)],
        task=found.task,
        kind=task_kinds.KINDS[found.task.kind],
        happened=explanations.happened,
        became=explanations.became,
        outcomes={name: staff_words.OUTCOMES[name] for name in task_kinds.KINDS[found.task.kind].outcomes},
        all_outcomes=staff_words.OUTCOMES,
        may_answer=may_answer,
        may_judge=actor.may("judge", found.task.site_id),
        reader=reader,
        replies=replies,
        form={name: form[name] if form is not None else "" for name in _FIELDS} | {"words": words},
        once=(form["once"] if form is not None else "") or secrets.token_hex(8),
        trying=trying,
        problems=problems or {},
        longest_note=LONGEST_NOTE,
        done=done,
    )


_FIELDS = ("to", "words", "note", "outcome", "ended", "disclosed_to", "emergency")


def _task(context: AppContext, actor: Actor, number: int) -> Task:
    """The task, if they may answer it. Raises 404."""
    sites = actor.sites("look")
    found = context.database.read(lambda tx: queries.tasks.by_number(tx, number, sites)) if 0 < number < 2**31 else None
    if found is None:
        raise HTTPException(404)
    if not actor.may("answer", found.site_id):
        raise HTTPException(403, "Your role does not let you answer texts and tasks of this site.")
    return found


@router.post("/{number:int}/take")
def take(context: TheContext, actor: Answering, number: int) -> RedirectResponse:
    """It is theirs from now on, and the alarm is acknowledged."""
    _task(context, actor, number)
    try:
        tasks.take(context, number, clock.now(), who=actor.who, sites=actor.sites("answer"))
    except tasks.Settled:
        return see(f"/inbox/{number}")
    return see(f"/inbox/{number}", done="taken")


@router.post("/{number:int}/note")
def note(request: Request, context: TheContext, actor: Answering, number: int, form: Form) -> Response:
    """A note in the story; it is sealed."""
    _task(context, actor, number)
    if problem := _wrong_note(form["note"], "Write what is worth knowing"):
        return _draw(request, context, actor, number, form=form, problems={"note": problem})
    tasks.remark(context, number, form["note"], clock.now(), who=actor.who, sites=actor.sites("answer"))
    return see(f"/inbox/{number}", done="noted")


def _wrong_note(words: str, missing: str) -> str | None:
    if not words:
        return missing
    return f"Shorten it to {LONGEST_NOTE} characters" if len(words) > LONGEST_NOTE else None


_MARKS: Mapping[str, bool | None] = MappingProxyType({"danger": True, "harmless": False, "none": None})


@router.post("/{number:int}/mark")
def mark(context: TheContext, actor: Judging, number: int, form: Form) -> RedirectResponse:
    """Say of a reply whether it was danger, or take that back. 404 for a reply that is not of this conversation."""
    reply = int(form["reply"]) if form["reply"].isascii() and form["reply"].isdigit() and len(form["reply"]) < 20 else 0
    if form["mark"] not in _MARKS or not (0 < number < 2**31 and 0 < reply < 2**63):
        raise HTTPException(404)
    danger = _MARKS[form["mark"]]
    try:
        marks.mark(context, number, reply, clock.now(), danger=danger, who=actor.who, sites=actor.sites("judge"))
    except (tasks.NoSuchTask, marks.NoSuchReply):
        raise HTTPException(404) from None
    return see(f"/inbox/{number}", done="unmarked" if danger is None else "marked")


@router.post("/{number:int}/say")
def say(request: Request, context: TheContext, actor: Answering, number: int, form: Form) -> Response:
    """Answer by a text; `do=check` shows how it reads and when it goes, and sends nothing."""
    task = _task(context, actor, number)
    here = {task.site_id}
    found = inbox.open_task(context.database, number, clock.now(), who=actor.who, sites=here, people=here)
    reader = next((one for one in found.readers if str(one.id) == form["to"]), None) if found is not None else None
    if reader is None:
        return _draw(request, context, actor, number, form=form, problems={"to": "Choose whom the text goes to"})
    if not form["words"]:
        return _draw(request, context, actor, number, form=form, problems={"words": "Write the text"})
    checking = form["do"] == "check"
    try:
        typed = staff_texts.say(
            context,
            reader_case.Whom(reader.patient, reader.key, reader.site),
            form["words"],
            clock.now(),
            who=actor.who,
            dry_run=checking,
            once=form["once"] if form["once"].isalnum() and len(form["once"]) <= 32 else None,
        )
    except reader_case.Refused as refusal:
        said = str(refusal)
        return _draw(request, context, actor, number, form=form, problems={"words": f"Not sent: {said}"})
    if typed is None:
        raise HTTPException(404)
    if checking:
        return _draw(request, context, actor, number, form=form, trying=typed)
    return see(f"/inbox/{number}", done="said" if typed.text is not None else "twice")


@router.post("/{number:int}/close")
def close(request: Request, context: TheContext, actor: Answering, number: int, form: Form) -> Response:
    """Close it with its outcome. An urgent one wants it in writing, too (C-13)."""
    task = _task(context, actor, number)
    problems = {}
    if form["outcome"] not in task_kinds.KINDS[task.kind].outcomes:
        problems["outcome"] = "Choose how it ended"
    if task.urgency == "urgent" and (wrong := _wrong_note(form["ended"], "Write what became of it")):
        problems["ended"] = wrong
    elif len(form["ended"]) > LONGEST_NOTE:
        problems["ended"] = f"Shorten it to {LONGEST_NOTE} characters"
    for name, words in (("disclosed_to", "to whom it was told"), ("emergency", "what emergency it was")):
        if not form[name] and (form["disclosed_to"] or form["emergency"]):
            problems[name] = f"Write {words}"
    if problems:
        return _draw(request, context, actor, number, form=form, problems=problems)
    disclosed = tasks.Disclosure(form["disclosed_to"], form["emergency"]) if form["disclosed_to"] else None
    try:
        _, released = tasks.close(
            context,
            number,
            form["outcome"],
            clock.now(),
            who=actor.who,
            note=form["ended"] or None,
            disclosed=disclosed,
            sites=actor.sites("answer"),
        )
    except tasks.Settled as settled:
        return _draw(request, context, actor, number, form=form, problems={"outcome": f"Not done: {settled}"})
    return see(f"/inbox/{number}", done="released" if released else "closed")


@router.get("/{number:int}/let-go", response_class=HTMLResponse)
def send_now_page(request: Request, context: TheContext, actor: Answering, number: int) -> Response:
    """What would happen to the text that a task holds, and whether to send it now. It changes no text."""
    task, now = _task(context, actor, number), clock.now()
    try:
        outlook = releasing.what_would_happen(context, number, now, sites=actor.sites("answer"))
    except tasks.Settled as settled:
        return _draw(request, context, actor, number, problems={"let-go": f"Not done: {settled}"})
    words = outlook.words if task.site_id in actor.sites("people") else None
    if words is not None:
        readings.note(context.database, readings.Note(Action.HELD_TEXT_READ, "tasks", number), now=now, who=actor.who)
    said = outlook.sentence(now)
    return draw(request, "send_now.html", task=task, outlook=outlook, said=said, words=words)


@router.post("/{number:int}/let-go")
def let_go(request: Request, context: TheContext, actor: Answering, number: int) -> Response:
    """Let the text go that a task holds, if it can."""
    _task(context, actor, number)
    now = clock.now()
    try:
        went, outlook = releasing.send_now(context, number, now, who=actor.who, sites=actor.sites("answer"))
        if went:
            return see(f"/inbox/{number}", done="gone" if outlook.what == "goes" else "waits")
        said = outlook.sentence(now)
    except tasks.Settled as settled:
        said = f"Not done: {settled}"
    return _draw(request, context, actor, number, problems={"let-go": said})
