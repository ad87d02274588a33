"""Patients: list them, find one, and put on record what becomes of their numbers and consents.

An address names a patient by id alone: a reference may be a medical record number, and addresses are written down by
every proxy on the way. For the same reason a search goes in a body.
"""

from datetime import datetime, time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from reminders import clock, plans, queries
from reminders.audit_actions import Action
from reminders.plans import PlanRefused
from reminders.queries import records
from reminders.queries.patients import ListedPatient, PatientFilter
from reminders.service import AppContext
from reminders.service.office.api_keys import Caller
from reminders.service.people import consents, patient_status, phone_numbers
from reminders.service.people.reader_case import Done, Whom
from reminders.web.api.access import (
    Cursor,
    Door,
    Json,
    Limit,
    Names,
    TheCaller,
    TheContext,
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
from reminders.web.api.shapes import (
    NewConsent,
    NewNumber,
    OptOut,
    Page,
    Patient,
    PatientDone,
    PatientInFull,
    Record,
    Search,
    Verification,
    Wrong,
)

router = APIRouter(route_class=Door, tags=["patients"])

Which = Annotated[str, Path(description="The patient's id.")]


@router.get("/patients", **needs("read", gives=Page[Patient]))
def list_patients(
    *,
    context: TheContext,
    caller: TheCaller,
    request: Request,
    response: Response,
    needs_attention: Annotated[bool, Query(description="Only those with an open task.")] = False,
    names: Names = False,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Any:
    """Patients, who was entered last first."""
    wanted = PatientFilter(needs_attention=needs_attention, before=place(cursor, int), limit=limit + 1)
    rows = look(
        context,
        caller,
        lambda tx: queries.patients.list_patients(tx, caller.sites, wanted, clock.now(), names=names),
        names=names,
        of=Action.PATIENTS_READ,
    )
    return page(request, response, rows, limit)


@router.post("/patients/search", **needs("people", gives=Page[Patient], takes=Search))
def search_patients(*, context: TheContext, caller: TheCaller, request: Request, response: Response, body: Json) -> Any:
    """Patients of that reference, of all these words in their name, or with a reader on that number."""
    asked = read_body(context, caller, Search, body)
    before = place(asked.cursor or "", int)
    now = clock.now()

    def work(tx: queries.Transaction) -> list[ListedPatient]:
        try:
            phone = plans.find_phone(asked.search, known(context, tx, caller, now))
        except PlanRefused:
            phone = None
        wanted = PatientFilter(search=asked.search, phone=phone, before=before, limit=asked.limit + 1)
        return queries.patients.list_patients(tx, caller.sites, wanted, now, names=True)

    rows = look(context, caller, work, names=True, of=Action.PATIENTS_READ)
    return page(request, response, rows, asked.limit)


@router.get("/patients/{patient}", **needs("read", gives=PatientInFull))
def get_patient(*, context: TheContext, caller: TheCaller, patient: Which, names: Names = False) -> Any:
    """One patient; with `names` also everyone who gets texts about them."""
    one = the_patient(context, caller, patient)
    shown = PatientInFull.model_validate(one)
    if names:
        require(caller, "people")
        person = found(patient_status.show(context, Whom(one.ref, site=one.site), clock.now(), who=caller.who))
        seen = PatientInFull.model_validate({"readers": person.readers, **shown.model_dump(exclude={"readers"})})
        shown = seen.model_copy(update={"name": person.name})
    return shown


@router.get("/patients/{patient}/record", **needs("people", gives=Record))
def get_record(*, context: TheContext, caller: TheCaller, patient: Which) -> Any:
    """All that is on record of a patient. That it was taken out is on record too."""
    one, now = the_patient(context, caller, patient), clock.now()
    person = found(patient_status.show(context, Whom(one.ref, site=one.site), now, who=caller.who))
    stands = {reader.key: reader.why_not for reader in person.readers}
    return found(records.take_out(context.database, caller.sites, one.id, now, who=caller.who, stands=stands))


def the_patient(context: AppContext, caller: Caller, which: str) -> ListedPatient:
    """The patient that an address names. 404 where there is none."""
    return found(
        context.database.read(lambda tx: queries.patients.find_patient(tx, caller.sites, row_id(which), clock.now()))
    )


@router.post("/patients/{patient}/consent", **needs("write", gives=PatientDone, takes=NewConsent))
def record_consent(*, context: TheContext, caller: TheCaller, patient: Which, body: Json) -> Any:
    """Put on record what a reader said about texts to their number. It never lifts a STOP that came from the phone."""
    whom = _whom(context, caller, patient, read_body(context, caller, NewConsent, body).recipient)
    with verdicts():
        done = consents.record_consent(context, whom, body["consent"], clock.now(), who=caller.who)
    return _done(done)


@router.post("/patients/{patient}/verify", **needs("write", gives=PatientDone, takes=Verification))
def verify(*, context: TheContext, caller: TheCaller, patient: Which, body: Json) -> Any:
    """Put on record that staff made sure of a reader's number."""
    asked = read_body(context, caller, Verification, body)
    with verdicts():
        done = phone_numbers.verify(
            context, _whom(context, caller, patient, asked.recipient), asked.how, clock.now(), who=caller.who
        )
    return _done(done)


@router.post("/patients/{patient}/number", **needs("write", gives=PatientDone, takes=NewNumber))
def new_number(*, context: TheContext, caller: TheCaller, patient: Which, body: Json) -> Any:
    """Give a reader a new number. Without a consent for it nothing goes, and someone is asked to take it."""
    asked = read_body(context, caller, NewNumber, body)
    whom = _whom(context, caller, patient, asked.recipient)
    consent = body.get("consent")
    with verdicts():
        done = phone_numbers.new_number(context, whom, asked.phone, clock.now(), who=caller.who, consent=consent)
    return _done(done)


@router.post("/patients/{patient}/opt-out", **needs("write", gives=PatientDone, takes=OptOut))
def opt_out(*, context: TheContext, caller: TheCaller, patient: Which, body: Json) -> Any:
    """Put on record a no that came another way than by text. It holds at once, for everyone on the number."""
    asked = read_body(context, caller, OptOut, body)
    one = the_patient(context, caller, patient)
    received_at = plans.to_instant(datetime.combine(asked.received_on, time()), one.zone)
    whom = Whom(one.ref, asked.recipient, one.site)
    with verdicts():
        done = consents.record_opt_out(
            context, whom, clock.now(), how=asked.how, received_at=received_at, by=asked.by, who=caller.who
        )
    return _done(done)


@router.post("/patients/{patient}/wrong", **needs("write", gives=PatientDone, takes=Wrong))
def mark_wrong(*, context: TheContext, caller: TheCaller, patient: Which, body: Json) -> Any:
    """Say that a reader's number is someone else's, or with `wrong` false that it is theirs after all."""
    asked = read_body(context, caller, Wrong, body)
    whom = _whom(context, caller, patient, asked.recipient)
    with verdicts():
        done = phone_numbers.mark_wrong(context, whom, clock.now(), who=caller.who, wrong=asked.wrong)
    return _done(done)


def _whom(context: AppContext, caller: Caller, which: str, recipient: str) -> Whom:
    one = the_patient(context, caller, which)
    return Whom(one.ref, recipient, one.site)


def _done(done: Done | None) -> Done:
    return found(done)
