"""On call: who is to be told, by which step, and the pages that tell them, repeated until their service takes them.

A page says the number of a task, and at most that our answer reached no one: nothing of a person (C-7, L-40).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from reminders import plans, store, task_kinds
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.paging import Contact, Pager, Rota
from reminders.service import tasks
from reminders.service.operations import metrics
from reminders.service.tasks import page_links
from reminders.store.oncall import Page
from reminders.task_kinds import Happened
from reminders.wording.task_words import UNREACHED

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=15)  # to acknowledge, and between two steps of the escalation
BUSY = timedelta(seconds=45)
AGAIN = timedelta(seconds=20)
LONGEST = timedelta(minutes=2)


def rota(context: AppContext, kind: str = "crisis") -> Rota:
    """Who is on call when for tasks of that kind, as settings say.

    Faults of the service have a rota of their own. Where no one is on it the other one is called: better the wrong
    person than no one.
    """
    site = context.settings.site
    is_ops = task_kinds.KINDS[kind].ops and site.on_call_ops
    return Rota.parse(site.on_call_ops if is_ops else site.on_call)


def on_duty(context: AppContext, now: datetime, kind: str = "crisis") -> tuple[Contact, ...]:
    """Who is on call now for tasks of that kind, by the wall clock of the default site."""
    return rota(context, kind).on_duty(plans.to_wall(now, context.settings.site.zone))


def pager(context: AppContext) -> Pager:
    """What tells them; in development and demo nothing leaves the machine."""
    return Pager(live=context.settings.twilio.live)


def ring(context: AppContext, tx: store.Transaction, task_id: int, now: datetime, *, again: bool = True) -> None:
    """Ring the alarm of an urgent task: page at once, and start its clock unless it runs.

    While no one has acknowledged it, it pages again and escalates as it would have: someone who writes every ten
    minutes must not keep the second person from being called. An acknowledged one rings from the beginning if `again`.
    """
    ring_number, step = store.oncall.ring(tx, task_id, now, EVERY, again=again)
    kind = store.oncall.kinds_of(tx, [task_id])[task_id]
    called = dict.fromkeys([*_contacts(context, kind, now, 0), *_contacts(context, kind, now, step)])
    _call(tx, task_id, list(called), now, ring_number=ring_number, step=step)


def _call(
    tx: store.Transaction, task_id: int, called: list[str], now: datetime, *, ring_number: int, step: int
) -> None:
    store.oncall.call(tx, task_id, called, now, ring_number=ring_number, step=step)
    if not called:
        store.tasks.add_event(tx, task_id, now, Happened.NO_ONE_ON_CALL)


def _names(known: Rota) -> Mapping[Contact, str]:
    """What each contact is called in pages: by name, and with the place in the rota where several share one."""
    count = Counter(contact.name for contact in known.contacts)
    return {
        contact: contact.name[:64] + (f" (no. {contact.place})" if count[contact.name] > 1 else "")
        for contact in known.contacts
    }


def _contacts(context: AppContext, kind: str, now: datetime, step: int) -> list[str]:
    known = rota(context, kind)
    names = _names(known)
    return [names[contact] for contact in known.at_step(plans.to_wall(now, context.settings.site.zone), step)]


def escalate(context: AppContext, now: datetime) -> int:
    """Take every alarm that no one acknowledged in time a step further: 15, 30, 45 minutes, then every 15; how many.

    Run late, it goes to the step that the clock says, so that an outage of ours does not slow the ladder down.
    """

    def work(tx: store.Transaction) -> int:
        rows = store.oncall.escalating(tx, now)
        for row in rows:
            step = max(row.step + 1, (now - row.rung_at) // EVERY)
            called = _contacts(context, row.kind, now, step)
            store.tasks.change_task(tx, row.id, step=step, escalates_at=row.rung_at + EVERY * (step + 1))
            store.tasks.add_event(tx, row.id, now, Happened.ESCALATED, {"minutes": step * 15})
            _call(tx, row.id, called, now, ring_number=row.rings, step=step)
        return len(rows)

    return context.database.write(work, again=True)


def call_about_unread(context: AppContext, now: datetime) -> int:
    """Call someone about each task that is due and that no one took: urgent ones, and replies of the first 30 days.

    A danger that no rule found lies in an ordinary task: it must not wait for the office to open. How many were rung;
    from then on they escalate like any alarm until someone takes them.
    """

    def work(tx: store.Transaction) -> int:
        rung = 0
        for row in store.oncall.overdue_unheard(tx, now):
            if row.urgency != "urgent" and not tasks.is_dangerous_time(row.discharged_on, now, row.zone):
                continue
            store.tasks.add_event(tx, row.id, now, Happened.OVERDUE)
            ring(context, tx, row.id, now)
            rung += 1
        return rung

    return context.database.write(work, again=True)


@dataclass(frozen=True, slots=True)
class _About:
    """What a page may say of its task: its kind, whether our answer reached no one, and of a fault what it is."""

    kind: str
    lost: bool
    fault: str | None


def _about(tx: store.Transaction, task_ids: set[int]) -> Mapping[int, _About]:
    lost = store.oncall.with_lost_answers(tx, task_ids)
    kinds = store.oncall.kinds_of(tx, task_ids)
    faults = {one: fault for one, kind in kinds.items() if task_kinds.KINDS[kind].ops and (fault := fault_of(tx, one))}
    return {task_id: _About(kind, task_id in lost, faults.get(task_id)) for task_id, kind in kinds.items()}


def fault_of(tx: store.Transaction, task_id: int) -> str | None:
    """What a fault of the service is, in words; it names no one, for a page says it."""
    said = [event.values for event in store.tasks.story(tx, task_id, words=False) if event.what == Happened.FAULT]
    return f"{said[-1]['first']}{said[-1]['then']}" if said else None


def _words(task_id: int, about: _About) -> tuple[str, str]:
    """The title of a page and what more it says: a nurse and who runs the service must not read the same (C-7)."""
    kind = task_kinds.KINDS[about.kind]
    if kind.ops:
        return f"Service fault, task {task_id}", f" {(about.fault or kind.title).rstrip('.')}."
    return f"Open urgent task {task_id}", f" {UNREACHED.capitalize()}." if about.lost else ""


async def deliver(context: AppContext, now: datetime) -> tuple[int, int]:
    """Send the pages that are due; how many were taken, and how many are to be tried again.

    Safe in two processes at once: a page is taken for some seconds, and told at least once.
    """
    taken = context.database.write(lambda tx: store.oncall.take_pages(tx, now, now + BUSY), again=True)
    if not taken:
        return 0, 0
    about = context.database.read(lambda tx: _about(tx, {page.task_id for page in taken}))
    known = {
        kind: {name: contact for contact, name in _names(rota(context, kind)).items()}
        for kind in {one.kind for one in about.values()}
    }
    line = pager(context)

    async def one(page: Page) -> bool | None:
        contact = known[about[page.task_id].kind].get(page.contact)
        if contact is None:
            return None
        title, said = _words(page.task_id, about[page.task_id])
        link = page_links.address(context, contact, page.task_id, now)
        how = f"Acknowledge it: {link}" if link is not None else f"Acknowledge it: reminders tasks take {page.task_id}"
        return await line.page(contact, title, f"{title}.{said} {how}")

    answers = await asyncio.gather(*map(one, taken))
    for result in answers:
        metrics.PAGES.labels({True: "taken", False: "not_taken", None: "off_the_rota"}[result]).inc()

    def note(tx: store.Transaction) -> None:
        for page, answer in zip(taken, answers, strict=True):
            if answer:
                page_links.taken(context, tx, known[about[page.task_id].kind][page.contact], now)
            if answer is None:  # off the rota since: who is on it now is called in their place
                store.oncall.drop_page(tx, page, now)
                called = _contacts(context, about[page.task_id].kind, now, page.step)
                _call(tx, page.task_id, called, now, ring_number=page.ring, step=page.step)
            else:
                again_at = now + min(LONGEST, AGAIN * (page.tries + 1))
                store.oncall.note_page(tx, page, now, accepted=answer, again_at=again_at)

    context.database.write(note, again=True)
    failed = sum(answer is False for answer in answers)
    if failed:
        log.error("%d pages were not taken; they are repeated", failed)
    return sum(answer is True for answer in answers), failed


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of a test page: to whom, of which rota, and whether their service took it."""

    name: str
    rota: str
    taken: bool


async def try_everyone(context: AppContext, now: datetime, *, who: str) -> list[Tested]:
    """Page everyone on both rotas, each once, that this is a test; what came of it. No one need do more than say so."""
    line, everyone = pager(context), page_links.proofs(context)

    async def one(proof: page_links.Proof) -> bool:
        link = page_links.address(context, proof.contact, page_links.TEST, now)
        how = f" Say that you have it: {link}" if link is not None else ""
        title = "Test page"
        return await line.page(proof.contact, title, f"{title}: nothing is wrong, and no one is in danger.{how}")

    answers = await asyncio.gather(*map(one, everyone))

    def note(tx: store.Transaction) -> None:
        for proof, answer in zip(everyone, answers, strict=True):
            if answer:
                page_links.taken(context, tx, proof.contact, now)
        site = store.people.keep_default_site(tx, context.settings, now)
        store.audit_log.note(tx, who=who, what=Action.ON_CALL_TESTED, table="sites", row=site, now=now)

    context.database.write(note, again=True)
    found = zip(everyone, answers, strict=True)
    return [Tested(proof.contact.name, proof.rota, answer) for proof, answer in found]


def tell_of_lost_answers(context: AppContext, tx: store.Transaction, now: datetime) -> int:
    """Ring again for every person in danger whom our answer could not reach; how many answers that was.

    Twilio refuses a number that sent STOP (21610), phones are off, windows shut: then only a call is left. Who has
    acknowledged the alarm is told, and keeps it.
    """
    lost = store.oncall.lost_answers(tx, now)
    for row in lost:
        values = {"state": row.state} | ({"code": row.error_code} if row.error_code else {})
        store.tasks.add_event(tx, row.task_id, now, Happened.ANSWER_LOST, values, text_id=row.text_id)
        ring(context, tx, row.task_id, now, again=False)
    return len(lost)
