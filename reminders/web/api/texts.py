"""Texts and what became of them, and what was texted to us."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from reminders import clock, queries
from reminders.audit_actions import Action
from reminders.queries import delivery_log, explanations
from reminders.queries.replies import ListedReply, ReplyFilter
from reminders.queries.texts import LogFilter, Logged
from reminders.service import AppContext
from reminders.service.office.api_keys import Caller
from reminders.web.api.access import (
    Cursor,
    Door,
    Limit,
    Names,
    Text,
    TheCaller,
    TheContext,
    When,
    found,
    instant,
    look,
    needs,
    page,
    place,
    row_id,
)
from reminders.web.api.plans import the_plan
from reminders.web.api.shapes import Page, Reply, StateName, TextInFull
from reminders.web.api.shapes import Text as TextShape

router = APIRouter(route_class=Door, tags=["texts"])

OfPlan = Annotated[
    str | None, Query(max_length=65, description="A plan's id; ~ and its reference too, which proxies write down.")
]
OfPatient = Annotated[str | None, Query(max_length=19, description="A patient's id.")]
Code = Annotated[int | None, Query(ge=1, le=999_999, description="A Twilio code that one of its attempts met.")]


@router.get("/log", **needs("read", gives=Page[TextShape]))
def list_log(
    *,
    context: TheContext,
    caller: TheCaller,
    request: Request,
    response: Response,
    state: Annotated[StateName | None, Query()] = None,
    plan: OfPlan = None,
    patient: OfPatient = None,
    code: Code = None,
    since: When = None,
    until: When = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Any:
    """The delivery log, newest first; `since` and `until` are on `opens_at`. Lines as of `reminders log --json`."""
    wanted = LogFilter(
        state=state,
        code=code,
        since=instant(since, "since"),
        until=instant(until, "until"),
        before=place(cursor, datetime, int),
        limit=limit + 1,
    )
    rows = _log(context, caller, wanted, plan, patient)
    listed = page(request, response, [_Line(row) for row in rows], limit)
    return listed | {"items": [delivery_log.in_full(line.text) for line in listed["items"]]}


class _Line:
    """A text with its place in the log."""

    def __init__(self, text: Logged) -> None:
        self.text, self.place = text, (text.opens_at, text.text)


def _log(context: AppContext, caller: Caller, wanted: LogFilter, plan: str | None, patient: str | None) -> list[Logged]:
    def work(tx: queries.Transaction) -> list[Logged]:
        from dataclasses import replace

        sites, narrowed = set(caller.sites), wanted
        keys = {key: site_id for site_id, key in caller.sites.items()}
        if plan is not None:
            of_plan = the_plan(tx, caller, plan)
            sites, narrowed = sites & {keys[of_plan.site]}, replace(narrowed, plan=of_plan.ref)
        if patient is not None:
            of_patient = found(queries.patients.find_patient(tx, caller.sites, row_id(patient), clock.now()))
            sites, narrowed = sites & {keys[of_patient.site]}, replace(narrowed, patient=of_patient.ref)
        return queries.texts.log(tx, replace(narrowed, sites=sites))

    return context.database.read(work)


router.get("/texts", name="list_texts", **needs("read", gives=Page[TextShape]))(list_log)


@router.get("/texts/{text}", **needs("read", gives=TextInFull))
def get_text(
    *, context: TheContext, caller: TheCaller, text: Annotated[str, Path(description="The text's id.")]
) -> Any:
    """One text: what became of it in a sentence, and what is done about it."""
    (one,) = _log(context, caller, LogFilter(text=row_id(text), limit=1), None, None) or [found(None)]
    advice = explanations.advice(one)
    more = {"we_do": advice[0], "you_do": advice[1]} if advice is not None else None
    return delivery_log.in_full(one) | {"became": explanations.tell(one), "advice": more}


@router.get("/replies", tags=["replies"], **needs("read", gives=Page[Reply]))
def list_replies(
    *,
    context: TheContext,
    caller: TheCaller,
    request: Request,
    response: Response,
    meaning: Text = None,
    patient: OfPatient = None,
    waiting: Annotated[bool, Query(description="Only those with an open task.")] = False,
    since: When = None,
    until: When = None,
    names: Names = False,
    limit: Limit = 50,
    cursor: Cursor = "",
) -> Any:
    """What was texted to us, the newest first; `since` and `until` are on `received_at`."""
    before = place(cursor, datetime, int)
    first, last = instant(since, "since"), instant(until, "until")

    def work(tx: queries.Transaction) -> list[ListedReply]:
        sites, ref = set(caller.sites), None
        if patient is not None:
            one = found(queries.patients.find_patient(tx, caller.sites, row_id(patient), clock.now()))
            sites, ref = {site_id for site_id, key in caller.sites.items() if key == one.site}, one.ref
        wanted = ReplyFilter(
            meaning=meaning, patient=ref, waiting=waiting, since=first, until=last, before=before, limit=limit + 1
        )
        return queries.replies.list_replies(tx, sites, wanted, names=names)

    rows = look(context, caller, work, names=names, of=Action.REPLIES_READ)
    return page(request, response, rows, limit)
