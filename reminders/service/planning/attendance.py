"""Who came: marks that a person sets, one visit or a whole session at a time, and what follows from a miss (C-15).

A miss is only ever what someone said. The text after it blames no one, goes once for each visit, and is taken back
when the mark is put right; in the first 30 days, and after two clinical misses in a row, someone calls the same day.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import TypeVar

from reminders import planner, plans, store, task_kinds
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.planner import Reason
from reminders.plans import Kind
from reminders.service import tasks
from reminders.service.planning.accepting import hold_to
from reminders.service.planning.replanning import policy_of, reader_now
from reminders.service.planning.watch import MARK_AFTER, MARK_BACK
from reminders.store.planning.attention import Unmarked
from reminders.store.planning.plans import AppointmentOfPatient
from reminders.store.planning.texts import Addressee, Window
from reminders.store.records import SiteRow

T = TypeVar("T")

ATTENDED, LATE, MISSED, UNMARK = "attended", "late", "missed", "unmark"
MARKS = (ATTENDED, LATE, MISSED, UNMARK)
_MARKED = {
    ATTENDED: Action.MARKED_ATTENDED,
    LATE: Action.MARKED_LATE,
    MISSED: Action.MARKED_MISSED,
    UNMARK: Action.MARK_TAKEN_BACK,
}
AFTER = timedelta(hours=2)  # until then they may come yet
OPEN_FOR = timedelta(hours=36)
TELL_WITHIN = timedelta(hours=36)  # a miss of longer ago is for a call: a text about it would come out of the blue
IN_A_ROW = timedelta(days=180)  # how far back a miss before this one counts

_HELD = ("booked", "tentative", "attended", "missed")


@dataclass(frozen=True, slots=True)
class Marked:
    """A visit of which someone said who came: whether it was news, and what it brought about.

    `text` is how the text after a miss stands (a state, with the `reason` if it does not go, and when it goes, on the
    reader's clock in `zone`), `call` whether someone is to call. `reason` alone: there is none, and why.
    """

    patient: str
    plan: str
    visit: str
    mark: str
    news: bool
    text: str | None = None
    reason: str | None = None
    call: bool = False
    appointment: int = 0
    goes_at: datetime | None = None
    zone: str | None = None


def mark(
    context: AppContext,
    plan_ref: str,
    series: str,
    on: date | None,
    now: datetime,
    *,
    what: str,
    who: str,
    site: str | None = None,
    text: bool = True,
    dry_run: bool = False,
) -> Marked | None:
    """Say `what` of one visit: the patient `attended`, was `late`, `missed` it, or `unmark` takes a mark back.

    `on` is the day on which it stood, or was first written down for; a one-off needs none. Without `text` no one is
    texted about a miss; with `dry_run` it is only said what would be. None where there is no such
    visit. Raises ValueError for a visit that has not begun or was called off.
    """

    def work(tx: store.Transaction) -> Marked | None:
        plan = store.plans.plan_by_ref(tx, plan_ref, site=site)
        if plan is None:
            return None
        _lock(tx, {plan.patient_id})
        named = store.plans.appointments_named(tx, plan.id, series, on)
        row = next((one for one in named if one.status in _HELD), None)
        if row is None:
            if named:
                raise ValueError("it was called off, so no one can have come")
            return None
        return _mark(context, tx, row, now, what=what, who=who, text=text)

    return _do(context, work, dry_run=dry_run)


def _do(context: AppContext, work: Callable[[store.Transaction], T], *, dry_run: bool) -> T:
    return context.database.try_out(work) if dry_run else context.database.write(work, again=True)


def mark_these(
    context: AppContext,
    marks: Mapping[int, str],
    now: datetime,
    *,
    who: str,
    sites: Collection[int],
    silent: Collection[int] = (),
    dry_run: bool = False,
) -> list[Marked]:
    """Say of several visits who came, appointment → mark. Patient by patient, each in a transaction of its own.

    About a miss of the appointments in `silent` no one is texted; with `dry_run` it is only said what would be.

    Visits of other sites than these do not exist. Raises ValueError for one that has not begun or was called off, and
    then nothing is marked.
    """

    def look(tx: store.Transaction) -> Sequence[AppointmentOfPatient]:
        rows = store.plans.appointments_by_id(tx, store.plans.appointments_at(tx, sites, marks))
        if any(row.status not in _HELD for row in rows):
            raise ValueError("one of them was called off, so no one can have come")
        return rows

    rows = context.database.read(look)
    return _mark_each(context, rows, marks, now, who=who, silent=silent, dry_run=dry_run)


def _mark_each(
    context: AppContext,
    rows: Sequence[AppointmentOfPatient],
    marks: Mapping[int, str],
    now: datetime,
    *,
    who: str,
    silent: Collection[int],
    dry_run: bool,
) -> list[Marked]:
    """Mark these visits, patient by patient; what was called off since is passed over. Raises ValueError."""
    for row in rows:
        _check_begun(row, now)
    by_patient: dict[int, list[int]] = {}
    for row in rows:
        by_patient.setdefault(row.patient_id, []).append(row.id)

    def mark_all(patient: int, mine: Sequence[int], tx: store.Transaction) -> list[Marked]:
        _lock(tx, {patient})
        held = [row for row in store.plans.appointments_by_id(tx, mine) if row.status in _HELD]
        return [_mark(context, tx, row, now, what=marks[row.id], who=who, text=row.id not in silent) for row in held]

    steps = [partial(mark_all, patient, mine) for patient, mine in by_patient.items()]
    if dry_run:
        each = context.database.try_each(steps) if steps else []
    else:
        each = [context.database.write(step, again=True) for step in steps]
    place = {row.id: at for at, row in enumerate(rows)}
    return sorted((one for done in each for one in done), key=lambda one: place[one.appointment])


def mark_appointment(
    context: AppContext,
    appointment_id: int,
    now: datetime,
    *,
    what: str,
    who: str,
    version: int | None = None,
    text: bool = True,
    dry_run: bool = False,
) -> Marked | None:
    """`mark` of the appointment with that id. Raises ChangedSince where it does not stand in `version`."""

    def work(tx: store.Transaction) -> Marked | None:
        _lock(tx, {row.patient_id for row in store.plans.appointments_by_id(tx, [appointment_id])})
        for row in store.plans.appointments_by_id(tx, [appointment_id]):
            hold_to(version, row)
            if row.status not in _HELD:
                raise ValueError("it was called off, so no one can have come")
            return _mark(context, tx, row, now, what=what, who=who, text=text)
        return None

    return _do(context, work, dry_run=dry_run)


def mark_session(
    context: AppContext,
    key: str,
    on: date,
    now: datetime,
    *,
    who: str,
    missed: Collection[str] = (),
    late: Collection[str] = (),
    site: str | None = None,
    text: bool = True,
    dry_run: bool = False,
) -> list[Marked]:
    """Say of everyone in a session on a date who came: these patients missed it or were late, all others attended.

    Without `text` no one is texted about a miss; with `dry_run` it is only said what would be. Patient by patient, each
    in a transaction of its own; empty where nothing of that session stood on that date. Raises ValueError before it
    began, and for a reference of no one in it or named as both, and then nothing is marked.
    """

    def look(tx: store.Transaction) -> Sequence[AppointmentOfPatient]:
        place = store.people.site_by_key(tx, site or context.settings.site.key)
        rows = store.plans.of_session(tx, place.id, key, on, _HELD) if place is not None else []
        if not rows:
            return []
        if both := set(missed) & set(late):
            raise ValueError(f"someone cannot both miss it and be late: {', '.join(sorted(both))}")
        if unknown := {*missed, *late} - {row.patient_ref for row in rows}:
            raise ValueError(f"not in it on that day: {', '.join(sorted(unknown))}")
        return rows

    rows = context.database.read(look)
    of = dict.fromkeys(missed, MISSED) | dict.fromkeys(late, LATE)
    marks = {row.id: of.get(row.patient_ref, ATTENDED) for row in rows}
    return _mark_each(context, rows, marks, now, who=who, silent=() if text else marks, dry_run=dry_run)


def unmarked(context: AppContext, now: datetime) -> list[Unmarked]:
    """The clinical visits of the last seven days of which no one said who came."""

    def look(tx: store.Transaction) -> list[Unmarked]:
        since, until = now - MARK_BACK, now - MARK_AFTER
        sites = store.people.all_sites(tx)
        return [row for site in sites for row in store.attention.unmarked(tx, site.id, since, until)]

    return context.database.read(look)


def _lock(tx: store.Transaction, patients: Collection[int]) -> None:
    store.people.lock_numbers(tx, store.people.numbers_of(tx, patients))


def _mark(
    context: AppContext,
    tx: store.Transaction,
    row: AppointmentOfPatient,
    now: datetime,
    *,
    what: str,
    who: str,
    text: bool = True,
) -> Marked:
    _check_begun(row, now)
    mark = None if what == UNMARK else what
    status = {None: _before(row), MISSED: "missed"}.get(mark, "attended")
    news = (row.attendance, row.status) != (mark, status)
    if news:
        store.plans.mark_attendance(tx, row.id, now, attendance=mark, status=status)
        key = store.plans.data_key_of_patient(tx, row.patient_id)
        was, becomes = json.dumps([row.attendance, row.status]), json.dumps([mark, status])
        said = _MARKED[what]
        store.audit_log.note(
            tx, who=who, what=said, table="appointments", row=row.id, now=now, before=was, after=becomes, key=key
        )
    site = store.people.site_of_patient(tx, row.patient_id)
    state, reason = _text_after(context, tx, row, site, now, missed=mark == MISSED and text)
    goes_at, zone = _goes(tx, row) if state == "scheduled" else (None, None)
    return Marked(
        patient=row.patient_ref,
        plan=row.plan_ref,
        visit=f"{row.series_key}@{row.recurrence_id}",
        mark=what,
        news=news,
        text=state,
        reason=reason,
        call=_calls(tx, row, site, now, news=news),
        appointment=row.id,
        goes_at=goes_at,
        zone=zone,
    )


def _check_begun(row: AppointmentOfPatient, now: datetime) -> None:
    if row.starts_at > now:
        raise ValueError("it has not begun yet")


def _goes(tx: store.Transaction, row: AppointmentOfPatient) -> tuple[datetime | None, str | None]:
    """When the text after a miss goes, and its reader's zone."""
    key = f"missed:{row.series_key}@{row.recurrence_id}"
    for person in store.people.recipients_of(tx, row.patient_id):
        for one in store.texts.unplanned_of(tx, person.id, "notice") if person.key == "self" else ():
            if one.key == key:
                return one.due_at, person.zone
    return None, None


def _before(row: AppointmentOfPatient) -> str:
    """How the visit stood before anyone said who came."""
    if row.attendance is None:
        return str(row.status)
    return str(row.agreed_status) if row.agreed_status in store.plans.OPEN else "booked"


def _text_after(
    context: AppContext, tx: store.Transaction, row: AppointmentOfPatient, site: SiteRow, now: datetime, *, missed: bool
) -> tuple[str | None, str | None]:
    """Lay down the text after a miss, once for each visit, or take it back; its state and reason."""
    person = next((one for one in store.people.recipients_of(tx, row.patient_id) if one.key == "self"), None)
    if person is None:
        return None, None
    key = f"missed:{row.series_key}@{row.recurrence_id}"
    before = store.texts.unplanned_of(tx, person.id, "notice")
    here = next((text for text in before if text.key == key), None)
    if not missed:
        if here is not None:
            store.texts.retract_one(tx, here.id)
        return None, None
    if here is not None and (here.attempts or here.state != "cancelled"):
        return here.state, here.reason
    if row.plan_status != "active":
        return None, None
    if now - row.starts_at > TELL_WITHIN:
        return None, Reason.TOO_LATE.value
    policy = policy_of(context)
    reader = reader_now(tx, person, site, now)
    opens_at = max(row.starts_at + AFTER, now)
    window, waits = _window_after(tx, reader, person.number_id, opens_at, now)
    due_at = window.due_at
    reason = planner.may_be_texted(reader, policy, dated=True)
    if reason is None and Kind(row.kind).category(reader.role) not in reader.categories:
        reason = Reason.CATEGORY_OFF
    if reason is None and (waits or due_at >= window.closes_at):
        reason = Reason.MERGED_INTO if waits else Reason.QUIET_HOURS
    day = plans.to_wall(due_at, reader.zone).date()
    others = [text for text in before if text.wording == "missed" and text.state != "cancelled" and text.key != key]
    if reason is None and any(plans.to_wall(text.due_at, reader.zone).date() == day for text in others):
        reason = Reason.MERGED_INTO  # one such text a day says it for all
    to = Addressee(
        person.id, site.id, store.people.sender_of(tx, site.id, context.settings.twilio.sender), person.number_id
    )
    if here is None:
        store.texts.add(
            tx,
            to,
            class_="notice",
            key=key,
            window=window,
            now=now,
            reason=reason.value if reason else None,
            about=[row.id],
            plan_id=row.plan_id,
            wording="missed",
        )
    elif reason is None:
        store.texts.revive(tx, here.id, to, window)
    else:
        store.texts.set_aside(tx, here.id, reason.value)
    return ("suppressed", reason.value) if reason else ("scheduled", None)


def _window_after(
    tx: store.Transaction, reader: planner.Reader, number_id: int, opens_at: datetime, now: datetime
) -> tuple[Window, bool]:
    """When the text after a miss goes; and whether it has no day, because a reminder goes on each that is left.

    The day's reminder comes first: the text goes on the next day that has none.
    """
    closes_at = opens_at + OPEN_FOR
    first = planner.next_allowed(reader, opens_at)
    due_at = day_without_reminder(tx, reader, number_id, first, closes_at=closes_at, now=now)
    waits = first < closes_at <= due_at
    return Window(opens_at, closes_at, first if waits else due_at), waits


def day_without_reminder(
    tx: store.Transaction,
    reader: planner.Reader,
    number_id: int,
    first: datetime,
    *,
    closes_at: datetime,
    now: datetime,
) -> datetime:
    """`first`, or the first allowed moment of the next day on which no reminder waits; `closes_at` or later if none."""
    reminded = {plans.to_wall(at, reader.zone).date() for at in store.texts.reminders_due(tx, number_id, now)}
    due_at = first
    while due_at < closes_at and plans.to_wall(due_at, reader.zone).date() in reminded:
        tomorrow = plans.to_wall(due_at, reader.zone).date() + timedelta(days=1)
        due_at = planner.next_allowed(reader, plans.to_instant(datetime.combine(tomorrow, time(0)), reader.zone))
    return due_at


def _calls(tx: store.Transaction, row: AppointmentOfPatient, site: SiteRow, now: datetime, *, news: bool) -> bool:
    """Open and close the calls that this mark asks for; whether someone is to call about this visit.

    `row` is the visit as it stood before. Marks come in any order, so the one marked after it is looked at too.
    """
    marked = store.plans.marked_visits(tx, row.patient_id, row.starts_at - IN_A_ROW)
    here = next((one for one in marked if one.id == row.id), None)
    after = next((one for one in marked if _is_clinical(one) and _when(one) > _when(row)), None)
    grave = here is not None and _asks_for_a_call(here, marked, site)
    if news:
        _call(tx, row, site, now, needed=grave)
    if news and after is not None and _is_clinical(row):
        before = [one for one in marked if one.id != row.id] + ([row] if row.attendance is not None else [])
        was, needed = _asks_for_a_call(after, before, site), _asks_for_a_call(after, marked, site)
        if was != needed:
            _call(tx, after, site, now, needed=needed)
    return grave


def _call(tx: store.Transaction, row: AppointmentOfPatient, site: SiteRow, now: datetime, *, needed: bool) -> None:
    if not needed:
        store.tasks.close_all(tx, task_kinds.MARK_PUT_RIGHT, now, [task_kinds.About(appointment_id=row.id)])
        return
    store.tasks.open_task(
        tx,
        task_kinds.MISSED,
        site_id=site.id,
        zone=site.zone,
        now=now,
        patient_id=row.patient_id,
        plan_id=row.plan_id,
        appointment_id=row.id,
    )


def _asks_for_a_call(row: AppointmentOfPatient, marked: Sequence[AppointmentOfPatient], site: SiteRow) -> bool:
    """Whether a visit was missed in the first 30 days, or is the second clinical one in a row that was (S-20)."""
    if row.status != "missed":
        return False
    if tasks.is_dangerous_time(row.discharged_on, row.starts_at, site.zone):
        return True
    earlier = [one for one in marked if _is_clinical(one) and _when(one) < _when(row)]
    return _is_clinical(row) and bool(earlier) and max(earlier, key=_when).status == "missed"


def _is_clinical(row: AppointmentOfPatient) -> bool:
    return Kind(row.kind).is_clinical


def _when(row: AppointmentOfPatient) -> tuple[datetime, int]:
    return row.starts_at, row.id
