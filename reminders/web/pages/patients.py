"""A patient: what happened and what is next, the conversation, their plans, what they said about texts, and who looked.

Everything that can be done for them stands here too, each with its own page that says what follows from it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from reminders import clock, languages, lifecycle, plans, queries, wording
from reminders.audit_actions import Action
from reminders.plans import Category, PlanRefused
from reminders.queries import RecipientRow, explanations, history, readings, records
from reminders.queries.history import Heard
from reminders.queries.texts import LogFilter, Logged
from reminders.queries.visits import ListedVisit
from reminders.service import AppContext
from reminders.service.office.accounts import Actor
from reminders.service.operations import retention
from reminders.service.operations.legible import legible
from reminders.service.people import consents, patient_status, phone_numbers, reader_case, staff_texts, supporters
from reminders.service.people.patient_status import Shown
from reminders.service.people.reader_case import Whom
from reminders.service.planning import Changes, changes
from reminders.web.access import Exporting, Planning, SeeingPeople
from reminders.web.forms import Fields, Form, RowId
from reminders.web.pages.plans import BLOCKED, ENDINGS, STATES
from reminders.web.plan_form import LATER, PlanForm, consent_in, explain, recipient_in
from reminders.web.render import draw, see
from reminders.web.webhooks import TheContext
from reminders.wording import staff_words

router = APIRouter()

TABS = {"": "Timeline", "messages": "Messages", "plans": "Plans", "consent": "Consent", "access": "Access log"}
SHOWN = 80
LOGGED = 100
DONE = {
    "said": "The text is on its way.",
    "number": "The new number is on record.",
    "consent": "What they said is on record.",
    "opt-out": "The no is on record, and holds at once.",
    "verify": "The number counts as checked.",
    "wrong": "The number is marked as a wrong one.",
    "right": "The number is theirs after all.",
    "add": "They were added.",
    "remove": "They get no more texts.",
    "pause": "Paused. Nothing goes until it is resumed.",
    "resume": "Resumed. What lies ahead was planned again.",
    "end": "Ended. What was still to go was taken back.",
    "hold": "There is a legal hold. Nothing is cleared or erased until it ends.",
    "unhold": "The legal hold has ended.",
}
HOWS = {
    "stop": "they texted STOP or something like it",
    "voicemail": "by voicemail",
    "e-mail": "by e-mail",
    "front desk": "at the front desk",
    "phone call": "by phone",
    "letter": "by letter",
}


@dataclass(frozen=True, slots=True)
class Case:
    """A patient whose page is shown, and to whom."""

    request: Request
    context: AppContext
    actor: Actor
    now: datetime
    row: history.PatientAtSite
    readers: Sequence[RecipientRow]

    def whom(self, reader: RecipientRow | None = None) -> Whom:
        """The patient, or one of their readers, as verbs name them."""
        return Whom(self.row.ref, reader.key if reader is not None else "self", self.row.site)

    def reader(self, text: str) -> RecipientRow:
        """The reader of that id among them; the patient where none is named. 404 for anyone else's."""
        if not text:
            return next(one for one in self.readers if one.role == "self")
        found = next((one for one in self.readers if str(one.id) == text), None)
        if found is None:
            raise HTTPException(404)
        return found


def _case(request: Request, context: AppContext, actor: Actor, patient_id: int, permission: str) -> Case:
    now = clock.now()

    def look(tx: queries.Transaction) -> Case:
        row = history.patient(tx, actor.sites(permission), patient_id)
        if row is None or row.ref == f"erased-{patient_id}":  # what is left of an erased person stands in the log
            raise HTTPException(404)
        readers = queries.people.recipients_of(tx, patient_id)
        if not readers:
            raise HTTPException(404)
        return Case(request, context, actor, now, row, readers)

    return context.database.read(look)


# The page and its parts.


@router.get("/patients/{patient_id}", response_class=HTMLResponse)
def timeline(
    request: Request, context: TheContext, actor: SeeingPeople, patient_id: RowId, *, done: str = ""
) -> HTMLResponse:
    """What happened, the latest first, and what is next."""
    case = _case(request, context, actor, patient_id, "people")
    return _page(case, "", done=_done(request, done), **context.database.read(lambda tx: _timeline(tx, case)))


@router.get("/patients/{patient_id}/messages", response_class=HTMLResponse)
def messages(
    request: Request, context: TheContext, actor: SeeingPeople, patient_id: RowId, *, done: str = ""
) -> HTMLResponse:
    """The conversation: what went to the patient and their readers, and what came back."""
    case = _case(request, context, actor, patient_id, "people")
    return _messages(case, done=_done(request, done))


@router.post("/patients/{patient_id}/messages", response_class=HTMLResponse)
def say(request: Request, context: TheContext, actor: Planning, form: Form, patient_id: RowId) -> Response:
    """Show what was typed as it would go, and then send it. 422 with what keeps it from going; the words are kept."""
    case = _case(request, context, actor, patient_id, "plan")
    reader = case.reader(form["reader"])
    typed, problems = None, {}
    try:
        sure = form["do"] == "send" and form["shown"] == form["body"]
        typed = staff_texts.say(context, case.whom(reader), form["body"], case.now, who=actor.who, dry_run=not sure)
        if sure and typed is not None:
            return see(f"/patients/{patient_id}/messages", done="said")
    except reader_case.Refused as refused:
        problems["body"] = _sentence(str(refused))
    return _messages(case, typed=typed, reader=reader, body=form["body"], problems=problems)


@router.get("/patients/{patient_id}/plans", response_class=HTMLResponse)
def theirs(request: Request, context: TheContext, actor: SeeingPeople, patient_id: RowId) -> HTMLResponse:
    """Every plan they have or had."""
    return _page(_case(request, context, actor, patient_id, "people"), "plans")


@router.get("/patients/{patient_id}/consent", response_class=HTMLResponse)
def consent(
    request: Request, context: TheContext, actor: SeeingPeople, patient_id: RowId, *, done: str = ""
) -> HTMLResponse:
    """Everything anyone of them ever said about texts."""
    case = _case(request, context, actor, patient_id, "people")
    said = context.database.read(lambda tx: history.consents_of(tx, patient_id))
    return _page(case, "consent", said=said, categories=staff_words.CATEGORIES, done=_done(request, done))


@router.get("/patients/{patient_id}/access", response_class=HTMLResponse)
def access(
    request: Request, context: TheContext, actor: SeeingPeople, patient_id: RowId, *, before: RowId | None = None
) -> HTMLResponse:
    """Who read or changed what of them."""
    case = _case(request, context, actor, patient_id, "people")
    rows = context.database.read(lambda tx: history.access(tx, patient_id, LOGGED + 1, before))
    older = f"/patients/{patient_id}/access?before={rows[LOGGED - 1].id}" if len(rows) > LOGGED else None
    newest = f"/patients/{patient_id}/access" if before is not None else None
    return _page(case, "access", rows=rows[:LOGGED], older=older, newest=newest)


@router.post("/patients/{patient_id}/show", response_class=HTMLResponse)
def show_number(
    request: Request, context: TheContext, actor: SeeingPeople, form: Form, patient_id: RowId
) -> HTMLResponse:
    """The number of a reader in full, to phone them; that it was shown is on record."""
    case = _case(request, context, actor, patient_id, "people")
    reader = case.reader(form["reader"])

    def look(tx: queries.Transaction, notes: readings.Notes) -> str:
        number = queries.people.find_numbers(tx, [reader.number_id])[reader.number_id]
        notes.add(Action.NUMBER_READ, "recipients", reader.id)
        return queries.people.phone_of(tx, number.id, number.phone_sealed)

    phone = readings.read(context.database, look, case.now, who=actor.who)
    return _page(case, "", shown=(reader.key, phone), **context.database.read(lambda tx: _timeline(tx, case)))


@router.get("/patients/{patient_id}/card", response_class=HTMLResponse)
def card(
    request: Request, context: TheContext, actor: SeeingPeople, patient_id: RowId, *, reader: str = ""
) -> HTMLResponse:
    """The card to take home, to be printed: it names no one."""
    case = _case(request, context, actor, patient_id, "people")
    whose = case.reader(reader)
    try:
        said = patient_status.card(context, case.whom(whose))
    except wording.Unsayable:
        said = None
    return draw(request, "card.html", card=said, language=whose.language, back=f"/patients/{patient_id}")


@router.get("/patients/{patient_id}/record")
def record(request: Request, context: TheContext, actor: Exporting, patient_id: RowId) -> Response:
    """All that is on record of a patient, as one page to hand out (45 CFR 164.524)."""
    found = _record(_case(request, context, actor, patient_id, "export"))
    return _taken_out(records.as_html(found, legible), "text/html", f"record-{patient_id}.html")


@router.get("/patients/{patient_id}/record.json")
def record_as_json(request: Request, context: TheContext, actor: Exporting, patient_id: RowId) -> Response:
    """The same for programs."""
    found = _record(_case(request, context, actor, patient_id, "export"))
    return _taken_out(records.as_json(found), "application/json", f"record-{patient_id}.json")


def _record(case: Case) -> dict[str, Any]:
    person = patient_status.show(case.context, case.whom(), case.now, who=case.actor.who)
    stands = {one.key: one.why_not for one in person.readers} if person is not None else {}
    sites = case.actor.sites("export") & case.actor.sites("people")
    found = records.take_out(case.context.database, sites, case.row.id, case.now, who=case.actor.who, stands=stands)
    if found is None:
        raise HTTPException(404)
    return found


def _taken_out(said: str, kind: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(said, media_type=f"{kind}; charset=utf-8", headers=headers)


def _page(case: Case, tab: str, **values: Any) -> HTMLResponse:
    """The head of a patient, and the part of that tab. That it was read is on record, once a request."""
    person = patient_status.show(case.context, case.whom(), case.now, who=case.actor.who)
    if person is None:
        raise HTTPException(404)
    own = next(one for one in person.readers if one.key == "self")
    ids = {one.key: one.id for one in case.readers}
    values = {"done": None, "problems": {}, "shown": None, "status": 200} | values
    return draw(
        case.request,
        "patient.html",
        person=person,
        own=own,
        crisis=next((task for task in person.tasks if task.kind == "crisis"), None),
        ids=ids,
        tab=tab,
        tabs=TABS,
        address=f"/patients/{case.row.id}",
        here=case.now,
        may_change=case.actor.may("plan", case.row.site_id),
        may_erase=case.actor.may("administer", case.row.site_id),
        may_export=case.actor.may("export", case.row.site_id),
        legal_hold=case.row.legal_hold,
        words=STATES,
        blocked=BLOCKED,
        kinds=staff_words.KINDS,
        health=_health,
        **values,
    )


def _health(reader: Shown) -> tuple[str, str]:
    """How a reader's number stands: a class of the sheet, and words."""
    if reader.opted_out_at is not None:
        return "bad", "opted out"
    if reader.wrong_since is not None:
        return "bad", "someone else's"
    if reader.bad_since is not None:
        return "bad", "cannot be reached"
    return ("good", "checked") if reader.verified_at is not None else ("wait", "not checked yet")


def _done(request: Request, word: str) -> str | None:
    """What was done, and what the texts did."""
    if word not in DONE:
        return None
    counts = []
    for name, said in (("added", "laid down"), ("moved", "moved"), ("retracted", "taken back")):
        count = request.query_params.get(name, "")
        if count.isascii() and count.isdecimal() and len(count) < 6 and count != "0":
            counts.append(f"{int(count)} {'text' if count == '1' else 'texts'} {said}")
    return DONE[word] + (f" {', '.join(counts).capitalize()}." if counts else "")


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:] + ("" if words.endswith(".") else ".")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened, or is to happen."""

    at: datetime
    zone: str
    mark: str
    title: str
    said: str | None = field(default=None, repr=False)
    address: str | None = None


def _timeline(tx: queries.Transaction, case: Case) -> dict[str, list[Entry]]:
    site = case.row.site_id
    texts = queries.texts.log(tx, LogFilter(sites=[site], patient=case.row.ref, until=case.now, limit=SHOWN))
    ahead = queries.texts.log(
        tx, LogFilter(sites=[site], patient=case.row.ref, since=case.now, state="scheduled", limit=500)
    )
    bodies = queries.texts.bodies(tx, [one.text for one in texts])
    heard = history.heard(tx, case.row.id, SHOWN)
    month = case.now - timedelta(days=60)
    visits = queries.visits.list_visits(tx, [site], month, None, patient=case.row.ref, limit=500, names=True)
    past = [
        *(_of_text(one, bodies) for one in texts),
        *(_of_reply(one, case.row.zone) for one in heard),
        *(_of_visit(one) for one in visits if one.starts_at <= case.now),
    ]
    coming = [
        *(_of_text(one, {}) for one in reversed(ahead)),
        *(_of_visit(one) for one in visits if one.starts_at > case.now and one.status in queries.plans.OPEN),
    ]
    return {
        "past": sorted(past, key=lambda one: one.at, reverse=True)[:SHOWN],
        "coming": sorted(coming, key=lambda one: one.at)[:60],
    }


def _of_text(text: Logged, bodies: Mapping[int, str]) -> Entry:
    mark = {"delivered": "good", "scheduled": "next"} | dict.fromkeys(lifecycle.NOT_GOT, "bad")
    at = text.attempts[-1].started_at if text.attempts else text.opens_at
    to = "" if text.recipient == "self" else f", to {text.recipient}"
    planned = text.state == "scheduled" and not text.attempts and text.held is None
    told = "" if planned else f": {explanations.tell(text)}"
    return Entry(
        at=at,
        zone=text.zone,
        mark=mark.get(text.state, ""),
        title=f"Text, {staff_words.lead_words(text.class_, text.key, text.opens_at, text.reader_zone)}{to}{told}",
        said=bodies.get(text.text),
        address=f"/texts/{text.text}",
    )


def _of_reply(reply: Heard, zone: str) -> Entry:
    who = "They wrote" if "self" in reply.recipients else f"{', '.join(reply.recipients)} wrote"
    marked = "" if reply.danger is None else ", marked as danger" if reply.danger else ", marked as no danger"
    return Entry(reply.received_at, zone, "in", f"{who} ({reply.meaning.replace('_', ' ')}{marked})", reply.words)


def _of_visit(visit: ListedVisit) -> Entry:
    kind = staff_words.KINDS[visit.kind] + ("" if visit.how == "in_person" else f", {staff_words.MODES[visit.how]}")
    mark = "bad" if visit.attendance == "missed" else "good" if visit.attendance else "visit"
    said = visit.attendance or ("called off" if visit.status == "cancelled" else visit.status)
    more = ", confirmed" if visit.confirmed else ""
    return Entry(visit.starts_at, visit.zone, mark, f"{kind}: {said}{more}")


@dataclass(frozen=True, slots=True)
class Bubble:
    """One text of the conversation."""

    at: datetime
    way: str
    words: str | None = field(repr=False)
    under: str
    address: str | None = None


def _messages(case: Case, **values: Any) -> HTMLResponse:
    def look(tx: queries.Transaction) -> list[Bubble]:
        wanted = LogFilter(sites=[case.row.site_id], patient=case.row.ref, until=case.now, limit=SHOWN)
        texts = queries.texts.log(tx, wanted)
        bodies = history.typed(tx, [one.text for one in texts]) | queries.texts.bodies(tx, [one.text for one in texts])
        out = [
            Bubble(
                one.attempts[-1].started_at if one.attempts else one.opens_at,
                "out",
                bodies[one.text],
                ("" if one.recipient == "self" else f"to {one.recipient}: ") + explanations.tell(one),
                f"/texts/{one.text}",
            )
            for one in texts
            if one.text in bodies
        ]
        heard = [
            Bubble(
                one.received_at,
                "in",
                one.words,
                ("" if "self" in one.recipients else f"from {', '.join(one.recipients)}: ")
                + f"taken as {one.meaning.replace('_', ' ')}",
            )
            for one in history.heard(tx, case.row.id, SHOWN)
        ]
        return sorted([*out, *heard], key=lambda one: one.at)[-SHOWN:]

    values = {"typed": None, "reader": case.reader(""), "body": "", "problems": {}} | values
    status = 422 if values["problems"] else 200
    return _page(case, "messages", talk=case.context.database.read(look), status=status, readers=case.readers, **values)


# What can be done.

Verb = Callable[[Case, Fields, RecipientRow], "Changes | None"]


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that can be done for a patient: what it is called, what it does, and whether it cannot be undone."""

    title: str
    button: str
    do: Verb
    danger: bool = False
    tab: str = ""
    permission: str = "plan"


class _Wrong(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is wrong
    def __init__(self, **problems: str) -> None:
        super().__init__()
        self.problems = {name.replace("__", "."): said for name, said in problems.items()}


def _texts_of(done: reader_case.Done | None) -> Changes | None:
    return done.texts if done is not None else None


def _new_number(case: Case, form: Fields, reader: RecipientRow) -> Changes | None:
    if not form["consent.said"]:
        raise _Wrong(
            consent__said="Say whether they agreed to texts to the new number, or that it is still to be asked"
        )
    consent = consent_in(form, "consent")
    return _texts_of(
        phone_numbers.new_number(
            case.context,
            case.whom(reader),
            form["phone"],
            case.now,
            who=case.actor.who,
            consent=consent,
            by_hand=True,
        )
    )


def _record_consent(case: Case, form: Fields, reader: RecipientRow) -> Changes | None:
    consent = consent_in(form, "consent")
    if consent is None:
        raise _Wrong(consent__said="Say whether they agreed to texts")
    return _texts_of(
        consents.record_consent(case.context, case.whom(reader), consent, case.now, who=case.actor.who, by_hand=True)
    )


def _opt_out(case: Case, form: Fields, reader: RecipientRow) -> Changes | None:
    if form["how"] not in HOWS:
        raise _Wrong(how="Say how the no came")
    try:
        at = datetime.fromisoformat(f"{form['received_on']}T{form['received_time']}")
        received = plans.to_instant(at, case.row.zone)
    except ValueError:
        raise _Wrong(received_on="Enter the day and the time at which the no came") from None
    if not form["by"]:
        raise _Wrong(by="Say who received it")
    return _texts_of(
        consents.record_opt_out(
            case.context,
            case.whom(reader),
            case.now,
            how=form["how"],
            received_at=received,
            by=form["by"][:200],
            who=case.actor.who,
        )
    )


def _verify(case: Case, form: Fields, reader: RecipientRow) -> Changes | None:
    if not form["how"]:
        raise _Wrong(how="Say how you made sure, such as: read the welcome text aloud together")
    return _texts_of(
        phone_numbers.verify(case.context, case.whom(reader), form["how"][:500], case.now, who=case.actor.who)
    )


def _wrong(case: Case, form: Fields, reader: RecipientRow) -> Changes | None:
    del form
    return _texts_of(phone_numbers.mark_wrong(case.context, case.whom(reader), case.now, who=case.actor.who))


def _right(case: Case, form: Fields, reader: RecipientRow) -> Changes | None:
    del form
    return _texts_of(
        phone_numbers.mark_wrong(case.context, case.whom(reader), case.now, who=case.actor.who, wrong=False)
    )


def _add(case: Case, form: Fields, reader: RecipientRow) -> Changes | None:
    del reader
    if not form["recipients.0.consent.said"]:
        problems = {"recipients__0__consent__said": "Say whether they agreed to texts, or that it is still to be asked"}
        if not form["recipients.0.part2_consent_on"]:
            problems["recipients__0__part2_consent_on"] = "Enter the day of the patient's written consent naming them"
        raise _Wrong(**problems)
    recipient = recipient_in(form, "recipients.0")
    series = form.all("series") or None
    return _texts_of(
        supporters.add_recipient(
            case.context, case.whom(), recipient, case.now, who=case.actor.who, series=series, by_hand=True
        )
    )


def _remove(case: Case, form: Fields, reader: RecipientRow) -> Changes | None:
    if form["asked"] not in {"they", "patient"}:
        raise _Wrong(asked="Say who asked for it")
    by_patient = form["asked"] == "patient"
    return _texts_of(
        supporters.remove_recipient(
            case.context, case.whom(reader), case.now, who=case.actor.who, by_patient=by_patient
        )
    )


def _set_all(status: str) -> Verb:
    def do(case: Case, form: Fields, reader: RecipientRow) -> Changes:
        del reader
        because = form["because"] or None
        if status == "ended" and because not in ENDINGS:
            raise _Wrong(because="Say why it ends")
        current = case.context.database.read(lambda tx: queries.plans.current_plans(tx, case.row.id))
        _, texts = changes.set_statuses(
            case.context, [plan.id for plan in current], status, case.now, who=case.actor.who, because=because
        )
        return texts

    return do


def _hold(*, on: bool) -> Verb:
    def do(case: Case, form: Fields, reader: RecipientRow) -> Changes:
        del form, reader
        retention.hold(case.context, case.row.ref, case.now, who=case.actor.who, on=on, site=case.row.site)
        return Changes()

    return do


def _erase(case: Case, form: Fields, reader: RecipientRow) -> Changes | None:
    del reader
    if form["ref"] != case.row.ref:
        raise _Wrong(ref=f"Enter the reference {case.row.ref}, so that no one is erased by mistake")
    done = retention.erase(case.context, case.row.ref, case.now, who=case.actor.who, site=case.row.site)
    return Changes(retracted=done.retracted) if done is not None else None


DEEDS: Mapping[str, Deed] = MappingProxyType(
    {
        "pause": Deed("Pause all their plans", "Pause", _set_all("paused")),
        "resume": Deed("Resume their plans", "Resume", _set_all("active")),
        "end": Deed("End all their plans", "End", _set_all("ended"), danger=True),
        "number": Deed("A new number", "Change the number", _new_number),
        "consent": Deed("Record what they said about texts", "Put it on record", _record_consent, tab="consent"),
        "opt-out": Deed("Record a no", "Put the no on record", _opt_out, danger=True, tab="consent"),
        "verify": Deed("The number was checked", "It is theirs", _verify),
        "wrong": Deed("The number is someone else's", "Mark it as wrong", _wrong, danger=True),
        "right": Deed("The number is theirs after all", "It is theirs", _right),
        "add": Deed("Add a supporter or guardian", "Add them", _add),
        "remove": Deed("No more texts to this person", "End their texts", _remove, danger=True),
        "hold": Deed("A legal hold", "Hold everything", _hold(on=True), permission="administer"),
        "unhold": Deed("End the legal hold", "End it", _hold(on=False), permission="administer"),
        "erase": Deed("Erase this person", "Erase them for good", _erase, danger=True, permission="administer"),
    }
)


@router.get("/patients/{patient_id}/do/{what}", response_class=HTMLResponse)
def ask(
    request: Request, context: TheContext, actor: Planning, patient_id: RowId, what: str, *, reader: str = ""
) -> HTMLResponse:
    """The page on which something is done for a patient, with what follows from it."""
    case = _case(request, context, actor, patient_id, "plan")
    today = plans.to_wall(case.now, case.row.zone)
    blank = [
        ("reader", reader),
        ("consent.on", f"{today:%Y-%m-%d}"),
        ("consent.by", actor.name),
        ("received_on", f"{today:%Y-%m-%d}"),
        ("received_time", f"{today:%H:%M}"),
        ("by", actor.name),
        ("recipients.0.consent.on", f"{today:%Y-%m-%d}"),
        ("recipients.0.consent.by", actor.name),
    ]
    return _do_page(case, what, Fields(blank), {})


@router.post("/patients/{patient_id}/do/{what}", response_class=HTMLResponse)
def act(
    request: Request, context: TheContext, actor: Planning, form: Form, *, patient_id: RowId, what: str
) -> Response:
    """Do it. 422 with what keeps it from being done; what was typed is kept."""
    case = _case(request, context, actor, patient_id, "plan")
    deed = _deed(case, what)
    try:
        texts = deed.do(case, form, case.reader(form["reader"]))
    except _Wrong as wrong:
        return _do_page(case, what, form, wrong.problems)
    except PlanRefused as refused:
        return _do_page(case, what, form, explain(refused.problems))
    except reader_case.Refused as refused:
        return _do_page(case, what, form, {"do": _sentence(str(refused))})
    if texts is None:
        raise HTTPException(404)
    if what == "erase":  # there is no page of theirs any more
        return see("/plans", done="erased")
    counts = {name: str(getattr(texts, name)) for name in ("added", "moved", "retracted") if getattr(texts, name)}
    tab = f"/{deed.tab}" if deed.tab else ""
    return see(f"/patients/{patient_id}{tab}", done=what, **counts)


def _deed(case: Case, what: str) -> Deed:
    deed = DEEDS.get(what)
    if deed is None or not case.actor.may(deed.permission, case.row.site_id):
        raise HTTPException(404)
    return deed


def _do_page(case: Case, what: str, form: Fields, problems: Mapping[str, str]) -> HTMLResponse:
    deed = _deed(case, what)
    reader = case.reader(form["reader"])

    def look(tx: queries.Transaction) -> dict[str, Any]:
        queued, on_number = history.waiting(tx, reader.number_id)
        number = queries.people.find_numbers(tx, [reader.number_id])[reader.number_id]
        current = queries.plans.current_plans(tx, case.row.id)
        series = [one for plan in current for one in queries.plans.series_of(tx, plan.id) if one.status != "cancelled"]
        return {
            "queued": queued,
            "others": on_number - 1,
            "to": queries.people.masked_of(tx, number.id, number.phone_sealed),
            "current": current,
            "series": {one.key: f"{one.key} ({staff_words.KINDS[one.kind]})" for one in series},
        }

    known = case.context.database.read(look)
    status = {"pause": "paused", "resume": "active", "end": "ended"}.get(what)
    texts = None
    if status is not None:
        ids = [plan.id for plan in known["current"]]
        _, texts = changes.set_statuses(
            case.context, ids, status, case.now, who=case.actor.who, because="other", dry_run=True
        )
    return draw(
        case.request,
        "patient_do.html",
        status=422 if problems else 200,
        what=what,
        deed=deed,
        form=PlanForm(form),
        reader=reader,
        problems=problems,
        texts=texts,
        back=f"/patients/{case.row.id}",
        hows=HOWS,
        endings=ENDINGS,
        later=LATER,
        categories={one.value: staff_words.CATEGORIES[one.value] for one in Category if one is not Category.FAMILY},
        all_categories={one.value: staff_words.CATEGORIES[one.value] for one in Category},
        languages=languages.offered(),
        **known,
    )
