"""The watch: what needs a person although no one asked. Looks again and again, and opens each task once.

A missed first visit, a text that did not arrive, a number no one verified: in the first weeks after discharge each is
work for a person the same day, not a line in a log (R0.9).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from operator import attrgetter
from typing import Unpack

from reminders import plans, store, task_kinds
from reminders.app_context import AppContext
from reminders.plans import Kind
from reminders.service import tasks
from reminders.service.people import supporters
from reminders.service.tasks.isolation import OneByOne
from reminders.store.planning.attention import VisitSoon
from reminders.store.records import SiteRow
from reminders.task_kinds import About, Cause, Happened

REVIEWS = (7, 30, 90)  # days after discharge (S-5)
REVIEW_FOR = 3  # days in which a review that no one was told of is still opened
RED_WITHIN = timedelta(hours=72)
UNCONFIRMED_WITHIN = timedelta(hours=24)
ANSWER_WITHIN = timedelta(hours=3)
MARK_AFTER = timedelta(minutes=30)  # C-15
MARK_BACK = timedelta(days=7)
MARK_AT = time(18)  # the day's list, once those who mark at the end of the day have done so


def look(context: AppContext, now: datetime) -> int:
    """Look at every site once, the `watch` job; how many tasks were opened. Safe at any time, and twice.

    Site by site and rule by rule: each reads first, and writes what is new in transactions of its own, a few tasks at
    a time. What fails costs only itself; its error is raised once all the others had their turn.
    """
    each = OneByOne(context, "watch", now)
    each.do("rule", "of age", partial(supporters.come_of_age, context, now))
    context.database.write(lambda tx: store.people.keep_default_site(tx, context.settings, now), again=True)
    opened = 0
    for site in context.database.read(store.people.all_sites):
        for rule in _RULES:
            if rule == "unverified" and not context.settings.sending.welcome:
                continue
            look_at = partial(context.database.read, partial(_read, _Look(context, site, now, each), rule))
            changes = each.do(f"rule {rule} of site", site.id, look_at, site_id=site.id) or []
            for first in range(0, len(changes), AT_ONCE):
                write = partial(_write, context, changes[first : first + AT_ONCE])
                opened += each.do(f"rule {rule} of site", site.id, write, site_id=site.id) or 0
    each.finish()
    return opened


_Change = Callable[[store.Transaction], int]
# In this order: a task to call about a number is there before the visits, which need no call of their own then.
_RULES = ("unverified", "without_consent", "reviews", "arrivals", "visits", "marks", "released")
AT_ONCE = 5  # tasks that are written in one transaction


@dataclass(frozen=True, slots=True)
class _Look:
    context: AppContext
    site: SiteRow
    now: datetime
    each: OneByOne


def _read(at: _Look, rule: str, tx: store.Transaction) -> list[_Change]:
    watch = _Watch(at, tx)
    getattr(watch, f"_{rule}")()
    return watch.changes()


def _write(context: AppContext, changes: Sequence[_Change]) -> int:
    """Write these changes at once, or, where one of them fails, each alone; how many tasks were opened.

    Raises the first error once all the others are written.
    """

    def all_of(some: Sequence[_Change], tx: store.Transaction) -> int:
        return sum(change(tx) for change in some)

    try:
        return context.database.write(partial(all_of, changes), again=True)
    except store.Unavailable:
        raise
    except Exception:
        if len(changes) == 1:
            raise
    opened, first = 0, None
    for change in changes:
        try:
            opened += _write(context, [change])
        except Exception as error:  # ruff: ignore[blind-except]  the others have their turn
            first = first or error
    if first is not None:
        raise first
    return opened


class _Watch:
    """One look at a site: it only reads; what is to be written is kept as `changes`."""

    def __init__(self, at: _Look, tx: store.Transaction) -> None:
        self._context = at.context
        self._tx = tx
        self._site = at.site
        self._now = at.now
        self._each = at.each
        self._wall = plans.to_wall(at.now, at.site.zone)
        self._wanted: dict[str, tuple[datetime, _Change]] = {}
        self._others: list[_Change] = []

    def changes(self) -> list[_Change]:
        """What there is to write: no task that is there already, unless it is due sooner than it says."""
        known = store.tasks.latest_by_key(self._tx, list(self._wanted))
        return [
            *self._others,
            *(
                change
                for key, (due_at, change) in self._wanted.items()
                if key not in known or (known[key].closed_at is None and due_at < known[key].due_at)
            ),
        ]

    def _open(self, kind: task_kinds.Kind, visits: Collection[datetime] = (), **about: Unpack[About]) -> None:
        key, due = kind.key(**about), kind.due.by(self._now, self._site.zone, visits=visits)
        site, now = self._site, self._now

        def change(tx: store.Transaction) -> int:
            task_id, fresh = store.tasks.open_task(
                tx, kind, site_id=site.id, zone=site.zone, now=now, visits=visits, once=True, **about
            )
            if fresh and kind in {
                task_kinds.UNCERTAIN,
                task_kinds.UNDELIVERED,
            }:  # the line names its text, and so its code
                store.tasks.add_event(tx, task_id, now, Happened.NOT_ARRIVED, text_id=about.get("text_id"))
            return int(fresh)

        there = self._wanted.get(key)
        if there is None or due < there[0]:
            self._wanted[key] = (due, change)

    def _close(self, keys: Collection[str], cause: Cause) -> None:
        if keys:
            now = self._now

            def change(tx: store.Transaction) -> int:
                store.tasks.close_by_key(tx, keys, cause, now)
                return 0

            self._others.append(change)

    def _released(self) -> None:
        """A held text that a person sent on its way: its task ends when the text has really gone (C-12)."""
        keys = store.tasks.handed_over_after_all(self._tx, self._site.id)
        self._close(keys, task_kinds.HANDED_OVER)

    def _unverified(self) -> None:
        for row in store.attention.unverified(self._tx, self._site.id, self._wall.date()):
            self._open(
                task_kinds.UNVERIFIED,
                recipient_id=row.recipient_id,
                number_id=row.number_id,
                patient_id=row.patient_id,
            )
        self._close(store.tasks.verified_since(self._tx), task_kinds.VERIFIED)

    def _without_consent(self) -> None:
        for row in store.attention.without_consent(self._tx, self._site.id, self._now):
            self._open(task_kinds.NO_CONSENT, plan_id=row.plan_id, patient_id=row.patient_id)

    def _reviews(self) -> None:
        today = self._wall.date()
        discharged = {today - timedelta(days=day + late): day for day in REVIEWS for late in range(REVIEW_FOR)}
        for row in store.attention.reviews(self._tx, self._site.id, sorted(discharged)):
            day = discharged[row.discharged_on]
            self._open(task_kinds.REVIEW, plan_id=row.plan_id, day=day, patient_id=row.patient_id)

    def _visits(self) -> None:
        near, until = self._now + RED_WITHIN, self._now + timedelta(days=60)
        for row in store.attention.visits_soon(self._tx, self._site.id, self._now, near, until):
            self._each.do("visit", row.appointment_id, partial(self._visit, row))

    def _visit(self, row: VisitSoon) -> None:
        kind = (
            task_kinds.RED if self._is_red(row) else task_kinds.UNCONFIRMED_FIRST if self._is_unconfirmed(row) else None
        )
        visits = [row.starts_at]
        if kind is None or self._somebody_calls(row, kind.due.by(self._now, self._site.zone, visits=visits)):
            return
        self._open(
            kind,
            visits,
            appointment_id=row.appointment_id,
            day=row.wall[:10],
            patient_id=row.patient_id,
            number_id=row.number_id,
            plan_id=row.plan_id,
        )

    def _is_unconfirmed(self, row: VisitSoon) -> bool:
        """A first visit soon, of which the patient was asked some hours ago and has said nothing (S-20)."""
        if not row.is_first or row.confirmed or row.asked_at is None:
            return False
        return bool(row.starts_at - self._now <= UNCONFIRMED_WITHIN and self._now - row.asked_at >= ANSWER_WITHIN)

    def _is_red(self, row: VisitSoon) -> bool:
        """No text is on its way, although one was agreed to.

        Who never agreed to any, or sent STOP, is one task, not one a visit; so is, after the first 30 days, whose
        number does not serve: someone was told of that.
        """
        if row.texted:
            return False
        kind = Kind(row.kind)
        unserved = row.lost or (self._context.settings.sending.welcome and not row.verified)
        if not row.consented or row.opted_out or (unserved and not self._is_dangerous(row.discharged_on)):
            return bool(row.is_first)
        return kind.category("self").value in (row.categories or ()) and not kind.is_open_meeting

    def _somebody_calls(self, row: VisitSoon, due_at: datetime) -> bool:
        """Whether another task makes someone call this patient before the visit anyway: of two calls one is noise.

        Such a task is due by `due_at` then. A closed one counts only if it is about this very visit and its outcome
        says that someone spoke to the patient.
        """
        standing = store.tasks.calls_about(
            self._tx, patient_id=row.patient_id, number_id=row.number_id, appointment_id=row.appointment_id
        )
        if still := [task for task in standing if task.closed_at is None]:
            first = min(still, key=attrgetter("due_at"))
            if due_at < first.due_at:
                self._bring_forward(first.id, due_at)
        return bool(standing)

    def _bring_forward(self, task_id: int, due_at: datetime) -> None:
        def change(tx: store.Transaction) -> int:
            row = store.tasks.lock_task(tx, task_id)
            if row is not None and row.closed_at is None and due_at < row.due_at:
                store.tasks.change_task(tx, task_id, due_at=due_at)
            return 0

        self._others.append(change)

    def _is_dangerous(self, discharged_on: date | None) -> bool:
        return tasks.is_dangerous_time(discharged_on, self._now, self._site.zone)

    def _marks(self) -> None:
        since, until = self._now - MARK_BACK, self._now - MARK_AFTER
        there = store.attention.unmarked(self._tx, self._site.id, since, until)
        standing = store.tasks.open_keys(self._tx, task_kinds.TO_MARK, self._site.id)
        if not there:
            self._close(standing, task_kinds.ALL_MARKED)
        elif not standing and (self._wall.time() >= MARK_AT or there[0].wall[:10] < str(self._wall.date())):
            self._open(task_kinds.TO_MARK, at_site=self._site.id, day=self._wall.date())

    def _arrivals(self) -> None:
        for bad in store.attention.bad_numbers(self._tx, self._site.id, self._now - timedelta(days=7)):
            self._open(task_kinds.NUMBER_BAD, number_id=bad.number_id, since=bad.bad_since, patient_id=bad.patient_id)
        for row in store.attention.not_arrived(self._tx, self._site.id, self._now):
            if row.class_ == "notice" and row.state == "expired":
                continue  # it is a change to be told by phone
            if row.state == "undelivered" and row.class_ != "notice" and not self._is_dangerous(row.discharged_on):
                continue
            self._open(
                task_kinds.UNCERTAIN if row.state == "uncertain" else task_kinds.UNDELIVERED,
                [row.starts_at],
                text_id=row.text_id,
                number_id=row.number_id,
                patient_id=row.patient_id,
                appointment_id=row.appointment_id,
            )
