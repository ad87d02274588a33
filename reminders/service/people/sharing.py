"""A number that several sites text: what one of them is told of it holds for all, so each has to hear of it.

Sites are separate programs (42 CFR Part 2): no site learns which other one it was, or whom that one treats. Where they
are one program (`sites.one_program`), who works at one site may know that a number is texted by another.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from reminders import store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.store.records import RecipientRow
from reminders.task_kinds import NUMBER_BAD, STOP_ASKED, WRONG_NUMBER

_AT_OTHERS = {
    Action.NUMBER_IS_WRONG: (WRONG_NUMBER, Action.NUMBER_IS_WRONG_ELSEWHERE),
    Action.NUMBER_IS_BAD: (NUMBER_BAD, Action.NUMBER_IS_BAD_ELSEWHERE),
    Action.NUMBER_STOP: (STOP_ASKED, Action.NUMBER_STOP_ELSEWHERE),
}
"""What was said of a number: what another site does about it, and what the audit says there."""


def known_readers(
    context: AppContext, tx: store.Transaction, number_id: int, sites: Collection[int]
) -> Sequence[RecipientRow]:
    """Who is texted on a number, as far as someone may know of it who works at these sites."""
    if context.settings.sites.one_program:
        return store.people.recipients_on(tx, [number_id])
    return [one for site in sorted(sites) for one in store.people.recipients_at(tx, number_id, site)]


def tell_other_sites(tx: store.Transaction, number_id: int, now: datetime, *, what: Action, but: int | None) -> None:
    """Open a task, and write a row of the audit, at every site but one that has a reader on this number.

    With `but` None no site knows of it yet. The audit there says only that it came from outside of the site, never from
    which other one.
    """
    kind, said = _AT_OTHERS[what]
    places = store.people.sites_on(tx, number_id)
    for place in places if len(places) > 1 else ():
        if place.site_id == but:
            continue
        task, new = store.tasks.open_task(
            tx,
            kind,
            site_id=place.site_id,
            zone=place.zone,
            now=now,
            patient_id=place.patient_id,
            number_id=number_id,
            at_site=place.site_id,
        )
        if new:
            store.audit_log.note(
                tx,
                who=_AS,
                what=said,
                table="tasks",
                row=task,
                now=now,
                site=place.site_id,
                patient=place.patient_id,
            )


_AS = "elsewhere"
