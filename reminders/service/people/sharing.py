"""A number that several sites text: what one of them is told of it holds for all, so each has to hear of it.

Sites are separate programs (42 CFR Part 2): no site learns which other one it was, or whom that one treats. Where they
are one program (`sites.one_program`), who works at one site may know that a number is texted by another.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from reminders import store
from reminders.app_context import AppContext
from reminders.service import tasks

KINDS = {"number is wrong": "wrong_number", "number is bad": "number_bad", "number stop": "stop_asked"}
"""What was said of a number, and what a site does about it."""


def known_readers(
    context: AppContext, tx: store.Transaction, number_id: int, sites: Collection[int]
) -> Sequence[store.Row[Any]]:
    """Who is texted on a number, as far as someone may know of it who works at these sites."""
    if context.settings.sites.one_program:
        return store.people.recipients_on(tx, [number_id])
    return [one for site in sorted(sites) for one in store.people.recipients_at(tx, number_id, site)]


def tell_other_sites(tx: store.Transaction, number_id: int, now: datetime, *, what: str, but: int | None) -> None:
    """Open a task, and write a row of the audit, at every site but one that has a reader on this number.

    With `but` None no site knows of it yet. The audit there says only that it came from outside of the site, never from
    which other one.
    """
    places = store.people.sites_on(tx, number_id)
    for place in places if len(places) > 1 else ():
        if place.site_id == but:
            continue
        task, new = store.tasks.open_task(
            tx,
            kind=KINDS[what],
            key=_key(KINDS[what], number_id, place.site_id),
            urgency="soon",
            site_id=place.site_id,
            now=now,
            due_at=tasks.waking(now, place.zone),
            patient_id=place.patient_id,
            number_id=number_id,
        )
        if new:
            said = f"{what}: said outside of this site"
            whose = {"site": place.site_id, "patient": place.patient_id}
            store.audit_log.note(tx, who=_AS, what=said, table="tasks", row=task, now=now, **whose)


def keys_at_other_sites(tx: store.Transaction, number_id: int) -> list[str]:
    """The keys of the tasks that `tell_other_sites` may have opened."""
    return [_key(KINDS["number is wrong"], number_id, place.site_id) for place in store.people.sites_on(tx, number_id)]


_AS = "elsewhere"


def _key(kind: str, number_id: int, site_id: int) -> str:
    return f"{kind}:{number_id}:at:{site_id}"
