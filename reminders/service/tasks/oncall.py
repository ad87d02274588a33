"""On call: who is to be told, by which step, and the pages that tell them, repeated until their service takes them.

A page says the number of a task, and at most that our answer reached no one: nothing of a person (C-7, L-40).
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta

from reminders import plans, store
from reminders.app_context import AppContext
from reminders.paging import Contact, Pager, Rota
from reminders.service import tasks
from reminders.store.oncall import Page
from reminders.task_kinds import Happened
from reminders.wording.task_words import UNREACHED

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=15)  # to acknowledge, and between two steps of the escalation
BUSY = timedelta(seconds=45)
AGAIN = timedelta(seconds=20)
LONGEST = timedelta(minutes=2)


def rota(context: AppContext) -> Rota:
    """Who is on call when, as settings say."""
    return Rota.parse(context.settings.site.on_call)


def on_duty(context: AppContext, now: datetime) -> tuple[Contact, ...]:
    """Who is on call now, by the wall clock of the default site."""
    return rota(context).on_duty(plans.to_wall(now, context.settings.site.zone))


def pager(context: AppContext) -> Pager:
    """What tells them; in development and demo nothing leaves the machine."""
    return Pager(live=context.settings.twilio.live)


def ring(context: AppContext, tx: store.Transaction, task_id: int, now: datetime, *, anew: bool = True) -> None:
    """Ring the alarm of an urgent task: page at once, and start its clock unless it runs.

    While no one has acknowledged it, it pages again and escalates as it would have: someone who writes every ten
    minutes must not keep the second person from being called. An acknowledged one rings from the beginning if `again`.
    """
    ring_number, step = store.oncall.ring(tx, task_id, now, EVERY, anew=anew)
    called = dict.fromkeys([*_contacts(context, now, 0), *_contacts(context, now, step)])
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


def _contacts(context: AppContext, now: datetime, step: int) -> list[str]:
    known = rota(context)
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
            called = _contacts(context, now, step)
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


async def deliver(context: AppContext, now: datetime) -> tuple[int, int]:
    """Send the pages that are due; how many were taken, and how many are to be tried again.

    Safe in two processes at once: a page is taken for some seconds, and told at least once.
    """
    taken = context.database.write(lambda tx: store.oncall.take_pages(tx, now, now + BUSY), again=True)
    if not taken:
        return 0, 0
    lost = context.database.read(lambda tx: store.oncall.with_lost_answers(tx, {page.task_id for page in taken}))
    known = {name: contact for contact, name in _names(rota(context)).items()}
    line = pager(context)

    async def one(page: Page) -> bool | None:
        contact = known.get(page.contact)
        if contact is None:
            return None
        title = f"Open urgent task {page.task_id}"
        why = f" {UNREACHED.capitalize()}." if page.task_id in lost else ""
        body = f"{title}.{why} Acknowledge it: reminders tasks take {page.task_id}"
        return await line.page(contact, title, body)

    answers = await asyncio.gather(*map(one, taken))

    def note(tx: store.Transaction) -> None:
        for page, answer in zip(taken, answers, strict=True):
            if answer is None:  # off the rota since: who is on it now is called in their place
                store.oncall.drop_page(tx, page, now)
                called = _contacts(context, now, page.step)
                _call(tx, page.task_id, called, now, ring_number=page.ring, step=page.step)
            else:
                again_at = now + min(LONGEST, AGAIN * (page.tries + 1))
                store.oncall.note_page(tx, page, now, accepted=answer, again_at=again_at)

    context.database.write(note, again=True)
    failed = sum(answer is False for answer in answers)
    if failed:
        log.error("%d pages were not taken; they are repeated", failed)
    return sum(answer is True for answer in answers), failed


def tell_of_lost_answers(context: AppContext, tx: store.Transaction, now: datetime) -> int:
    """Ring again for every person in danger whom our answer could not reach; how many answers that was.

    Twilio refuses a number that sent STOP (21610), phones are off, windows shut: then only a call is left. Who has
    acknowledged the alarm is told, and keeps it.
    """
    lost = store.oncall.lost_answers(tx, now)
    for row in lost:
        values = {"state": row.state} | ({"code": row.error_code} if row.error_code else {})
        store.tasks.add_event(tx, row.task_id, now, Happened.ANSWER_LOST, values, text_id=row.text_id)
        ring(context, tx, row.task_id, now, anew=False)
    return len(lost)
