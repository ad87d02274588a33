"""After an outage: what piled up goes earliest deadline first, never past its window; above a number a person is asked.

Hundreds of texts hours late, all at once, are an event of their own: a clinic's patients compare phones.
"""

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reminders import store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.service.sending.recording import NO_CONNECTION
from reminders.service.tasks import oncall
from reminders.sms import codes
from reminders.store.office import job_runs
from reminders.store.sending.queue import FirstRefusal
from reminders.task_kinds import BACKLOG, DROPPED, RELEASED, Happened

log = logging.getLogger(__name__)

OUTAGE = timedelta(minutes=10)  # nothing was scanned, or nothing got through, for so long
_ENDED = "backlog ended"


def check(context: AppContext, now: datetime) -> int:
    """Hold what is overdue if there was an outage and too much of it piled up; how many texts.

    Call before each claim of a worker. There was an outage where the last successful scan is old, and where a sender
    has got nothing through for as long although it tried. A rush hour is none, however much is due at once. What a
    person has let go is tried for as long again before it is held again.
    """
    limit = context.settings.sending.backlog
    if not limit:
        return 0

    def outage(tx: store.Transaction) -> tuple[int, list[int] | None]:
        """How many texts are to be held, and of which senders; None for all."""
        last = next((row.last_success for row in job_runs.runs(tx) if row.name == "send"), None)
        of = None if last is not None and now - last > OUTAGE else _cut_off(tx, now)
        many = store.queue.overdue(tx, now, of) if of is None or of else 0
        return (many, of) if many > limit else (0, None)

    def tell_first(tx: store.Transaction) -> tuple[int, list[int] | None]:
        many, of = outage(tx)
        if many:
            tell(context, tx, many, now)
        return many, of

    if not context.database.read(outage)[0]:
        return 0
    many, of = context.database.write(tell_first, again=True)
    while many and context.database.write(lambda tx: store.queue.hold_overdue(tx, now, of), again=True):
        pass
    if many:
        log.warning("%d texts piled up in an outage and are held: reminders backlog", many)
    return many


def _cut_off(tx: store.Transaction, now: datetime) -> list[int]:
    """The senders that have got nothing through for so long, although they tried."""
    failed = [row for row in store.queue.failed_since_it_worked(tx, now) if _is_of_the_line(row)]
    released = store.backup.all_marks(tx).get(_ENDED, datetime.min.replace(tzinfo=UTC)) if failed else now
    return sorted({row.sender_id for row in failed if now - max(row.at, released) > OUTAGE})


def _is_of_the_line(row: FirstRefusal) -> bool:
    stops = codes.look_up(row.error_code).rests_sender is not None
    return stops and (row.error_code != 0 or row.what == NO_CONNECTION)


def tell(context: AppContext, tx: store.Transaction, many: int, now: datetime) -> None:
    """So many texts were held: open the task, and ring."""
    site = store.people.all_sites(tx)[0]
    task_id, _ = store.tasks.open_task(tx, BACKLOG, site_id=site.id, zone=site.zone, now=now)
    store.tasks.add_event(tx, task_id, now, Happened.HELD, {"texts": many})
    oncall.ring(context, tx, task_id, now)


@dataclass(frozen=True, slots=True)
class Held:
    """What is held since an outage: how many texts, and by which hour (its end) how many stop being of use."""

    texts: int
    by: tuple[tuple[datetime, int], ...]


def held(context: AppContext) -> Held:
    """What is held since an outage."""
    rows = context.database.read(store.queue.backlog)
    hours: Counter[datetime] = Counter()
    for row in rows:
        begun = row.closes_at.replace(minute=0, second=0, microsecond=0)
        hours[begun if begun == row.closes_at else begun + timedelta(hours=1)] += row.many
    return Held(hours.total(), tuple(sorted(hours.items())))


def end(context: AppContext, now: datetime, *, drop: bool, who: str) -> int:
    """Let what is held go, or drop it; how many texts. What is dropped counts as expired, and people are told."""
    many = 0
    while some := context.database.write(lambda tx: store.queue.end_backlog(tx, now, drop=drop), again=True):
        many += some

    def close(tx: store.Transaction) -> None:
        cause = DROPPED if drop else RELEASED
        store.tasks.close_by_key(tx, [BACKLOG.key()], cause, now, texts=many)
        site = store.people.all_sites(tx)[0]
        store.backup.set_mark(tx, _ENDED, now)
        store.audit_log.note(
            tx,
            who=who,
            what=Action.BACKLOG_DROPPED if drop else Action.BACKLOG_RELEASED,
            table="sites",
            row=site.id,
            now=now,
        )

    context.database.write(close, again=True)
    return many
