"""Changes to what was agreed: a visit or a whole session moved or called off, and that taken back; a plan paused,
resumed, ended or handed on to another site. What its readers are told follows from how things stand (`replanning`).
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from reminders import planner, plans, store, task_kinds
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.service.planning.accepting import hold_to
from reminders.service.planning.replanning import policy_of, replan
from reminders.store.planning.plans import AppointmentOfPatient, SessionChange
from reminders.store.planning.texts import Changes, TextOfVisit
from reminders.store.records import PlanRow, RecipientRow

HEARD_WITHIN = timedelta(hours=1)  # a phone that is on takes a text in minutes

DELIVERED, ON_ITS_WAY, NO_ANSWER = "delivered", "on its way", "no answer"
TO_PHONE, NOT_TOLD = "must be phoned", "not told"
_ANY = ("booked", "tentative", "cancelled", "attended", "missed")


def change_session(
    context: AppContext, key: str, on: date, now: datetime, *, who: str, to: datetime | None, site: str | None = None
) -> Changes | None:
    """Move a session on a date to another wall-clock time of its place, or call it off (`to` is None), for everyone.

    What all their texts did, or None where no visit of that session stands on that date. Patient by patient, each in a
    transaction of its own, so that a large group keeps no one waiting; asked for again it goes on where it broke off.
    Raises ValueError for a time that has passed, and then nothing is changed.
    """
    done, any_changed = Changes(), False
    for patient in context.database.read(lambda tx: _in_session(context, tx, key, on, now, to=to, site=site)):
        change = partial(_change_session, context, key, on, now, patient=patient, who=who, to=to, site=site)
        if (one := context.database.write(change, again=True)) is not None:
            done += one
            any_changed = True
    return done if any_changed else None


def try_session(
    context: AppContext, key: str, on: date, now: datetime, *, to: datetime | None, site: str | None = None
) -> "tuple[Changes, list[Told]] | None":
    """What `change_session` would do to the texts, and who would know of it how: done, read and rolled back.

    Raises ValueError.
    """

    def tried(patient: int, tx: store.Transaction) -> tuple[Changes, list[Told]]:
        done = _change_session(context, key, on, now, tx, patient=patient, who="preview", to=to, site=site)
        told = _story(context, tx, key, on, now, site=site, patient=patient)
        return done or Changes(), told

    patients = context.database.read(lambda tx: _in_session(context, tx, key, on, now, to=to, site=site))
    if not patients:
        return None
    each = context.database.try_each([partial(tried, patient) for patient in patients])
    told = context.database.read(lambda tx: _story(context, tx, key, on, now, site=site))
    told = [one for one in told if one.patient_id not in patients] + [one for _, mine in each for one in mine]
    return _added_up(done for done, _ in each), sorted(told, key=_in_order)


def _added_up(each: Iterable[Changes]) -> Changes:
    done = Changes()
    for one in each:
        done += one
    return done


def _in_session(
    context: AppContext,
    tx: store.Transaction,
    key: str,
    on: date,
    now: datetime,
    *,
    to: datetime | None,
    site: str | None,
) -> list[int]:
    """The patients whose visits of a session stand on a date. Raises ValueError for a time that has passed."""
    place = store.people.site_by_key(tx, site or context.settings.site.key)
    rows = store.plans.of_session(tx, place.id, key, on) if place is not None else []
    for row in rows:
        _new_values(row, to, now)
    return list(dict.fromkeys(row.patient_id for row in rows))


def _change_session(
    context: AppContext,
    key: str,
    on: date,
    now: datetime,
    tx: store.Transaction,
    *,
    patient: int,
    who: str,
    to: datetime | None,
    site: str | None,
) -> Changes | None:
    """The same for one patient of it."""
    place = store.people.site_by_key(tx, site or context.settings.site.key)
    if place is None:
        return None
    store.people.lock_numbers(tx, store.people.numbers_of(tx, {patient}))
    # As they stand, now that no one else changes them.
    rows = store.plans.of_session(tx, place.id, key, on, patient=patient)
    if not rows:
        return None
    for row in rows:
        if to is None or row.wall != _written(to):  # else it was moved before this was asked for again
            _change(
                tx, row, to, now, what=Action.SESSION_MOVED if to is not None else Action.SESSION_CALLED_OFF, who=who
            )
    return replan(context, tx, {patient}, now)


def change_visit(
    context: AppContext,
    plan_ref: str,
    series: str,
    on: date | None,
    now: datetime,
    *,
    who: str,
    to: datetime | None,
    site: str | None = None,
) -> Changes | None:
    """Move one visit of one plan to another wall-clock time of its place, or call it off (`to` is None).

    `on` is the day on which it stands, or was first written down for; a one-off needs none. What its texts did, or None
    where there is no such visit that is still on. Raises ValueError for a time that has passed.
    """

    def change(tx: store.Transaction) -> Changes | None:
        plan = store.plans.plan_by_ref(tx, plan_ref, site=site)
        if plan is None:
            return None
        named = store.plans.appointments_named(tx, plan.id, series, on)
        row = next((one for one in named if one.status in store.plans.OPEN), None)
        return change_one(context, tx, row.id, now, who=who, to=to) if row is not None else None

    return context.database.write(change, again=True)


def change(
    context: AppContext,
    appointment_id: int,
    now: datetime,
    *,
    who: str,
    to: datetime | None,
    version: int | None = None,
) -> Changes | None:
    """Move the visit of that id to an instant, or with None call it off; None where it is not on any more.

    Raises ChangedSince where it does not stand in `version`, and ValueError for what cannot be.
    """
    return context.database.write(
        lambda tx: change_one(context, tx, appointment_id, now, who=who, to=to, version=version), again=True
    )


def change_one(
    context: AppContext,
    tx: store.Transaction,
    appointment_id: int,
    now: datetime,
    *,
    who: str,
    to: datetime | None,
    version: int | None = None,
) -> Changes | None:
    """`change_visit` of the visit of that id, inside a transaction of the caller's.

    Raises ChangedSince where it does not stand in `version`.
    """
    for row in store.plans.appointments_by_id(tx, [appointment_id]):
        store.people.lock_numbers(tx, store.people.numbers_of(tx, [row.patient_id]))
    for row in store.plans.appointments_by_id(tx, [appointment_id]):  # as it stands, now that no one else changes it
        hold_to(version, row)
        if row.status in store.plans.OPEN:
            _change(tx, row, to, now, what=Action.VISIT_MOVED if to is not None else Action.VISIT_CALLED_OFF, who=who)
            return replan(context, tx, [row.patient_id], now)
    return None


def _change(
    tx: store.Transaction, row: AppointmentOfPatient, to: datetime | None, now: datetime, *, what: Action, who: str
) -> None:
    _write(tx, row, now, _new_values(row, to, now), what=what, who=who)


def _new_values(row: AppointmentOfPatient, to: datetime | None, now: datetime) -> dict[str, Any]:
    """What changes of a visit that is moved or called off. Raises ValueError for a time that has passed."""
    if row.starts_at <= now:
        raise ValueError("it has begun already; say who came instead")
    if to is None:
        return {"status": "cancelled"}
    starts_at = plans.to_instant(to, row.zone)
    if starts_at <= now:
        raise ValueError("that time has passed; give one that lies ahead")
    return {"wall": _written(to), "starts_at": starts_at}


def _written(wall: datetime) -> str:
    return wall.isoformat(timespec="seconds")


def _write(
    tx: store.Transaction, row: AppointmentOfPatient, now: datetime, values: dict[str, Any], *, what: Action, who: str
) -> None:
    store.plans.change_appointment(tx, row, now, **values)
    after = {"wall": row.wall, "status": row.status} | {
        name: values[name] for name in ("wall", "status") if name in values
    }
    store.audit_log.note(
        tx,
        who=who,
        what=what,
        table="appointments",
        row=row.id,
        now=now,
        before=json.dumps({name: getattr(row, name) for name in _STANDING}),
        after=json.dumps(after | {"version": row.version + 1}),
        key=store.plans.data_key_of_patient(tx, row.patient_id),
    )


_STANDING = ("wall", "status", "known_wall", "known_status")  # how a visit stands, and what its readers know


def undo_session(
    context: AppContext, key: str, on: date, now: datetime, *, who: str, site: str | None = None
) -> Changes | None:
    """Take back the last change of a session, as if it had never been made; `on` is the old date or the new one.

    Every visit that the change moved or called off stands as it did before, unless it was changed on its own since.
    What its texts did, or None where there is no such session on that date. Raises ValueError where there is nothing
    to take back, or a text about the change has gone, or may have: who was told is told again by another change.
    """

    def look(tx: store.Transaction) -> dict[int, list[SessionChange]] | None:
        """What is taken back, patient by patient."""
        place = store.people.site_by_key(tx, site or context.settings.site.key)
        ids, story = _touched(tx, place.id, key, on) if place is not None else (set(), {})
        if not ids:
            return None
        undoing = _last_change(tx, story)
        rows = [row for row in store.plans.appointments_by_id(tx, undoing) if _stands_since(row, undoing[row.id])]
        if not rows:
            raise ValueError("every visit of it was changed on its own since")
        by_patient: dict[int, list[SessionChange]] = {}
        for row in rows:
            _values_before(row, undoing[row.id], now)
            by_patient.setdefault(row.patient_id, []).append(undoing[row.id])
        return by_patient

    def undo(patient: int, mine: list[SessionChange], tx: store.Transaction) -> Changes:
        store.people.lock_numbers(tx, store.people.numbers_of(tx, {patient}))
        undoing = {one.appointment_id: one for one in mine}
        for row in store.plans.appointments_by_id(tx, undoing):
            if _stands_since(row, undoing[row.id]):
                values = _values_before(row, undoing[row.id], now)
                _write(tx, row, now, values, what=Action.SESSION_CHANGE_UNDONE, who=who)
        return replan(context, tx, {patient}, now)

    by_patient = context.database.read(look)
    if by_patient is None:
        return None
    done = Changes()
    for patient, mine in by_patient.items():  # who is told of the change meanwhile is told of this too
        done += context.database.write(partial(undo, patient, mine), again=True)
    return done


def _stands_since(row: AppointmentOfPatient, change: SessionChange) -> bool:
    """Whether a visit stands as that change left it."""
    return bool(row.version == json.loads(change.after)["version"] and row.attendance is None)


def _values_before(row: AppointmentOfPatient, change: SessionChange, now: datetime) -> dict[str, Any]:
    """How a visit stood before that change. Raises ValueError where its time has passed."""
    before: dict[str, Any] = json.loads(change.before)
    starts_at = plans.to_instant(datetime.fromisoformat(before["wall"]), row.zone)
    if starts_at <= now:
        raise ValueError("the time at which it stood before has passed")
    return before | {"starts_at": starts_at}


def _last_change(tx: store.Transaction, story: dict[int, list[SessionChange]]) -> dict[int, SessionChange]:
    """The last change of a session as it befell each appointment. Raises ValueError where it cannot be taken back.

    `story` is every change of each, in their order.
    """
    if not story:
        raise ValueError("nothing of it was changed here")
    at = max(_undoable(changes).at for changes in story.values())
    undoing = {row_id: changes[-1] for row_id, changes in story.items() if _undoable(changes).at == at}
    undoing = {row_id: one for row_id, one in undoing.items() if one.what != Action.SESSION_CHANGE_UNDONE}
    if not undoing:
        raise ValueError("its last change was taken back already")
    if store.plans.spoken_of(tx, undoing, since=at):
        raise ValueError("a text about the change has gone; change it again, and everyone is told")
    return undoing


def _undoable(changes: Sequence[SessionChange]) -> SessionChange:
    """The last change of an appointment, or the one that its last change took back."""
    return changes[-2] if changes[-1].what == Action.SESSION_CHANGE_UNDONE and len(changes) > 1 else changes[-1]


def last_change(
    context: AppContext, key: str, on: date, *, site: str | None = None
) -> tuple[datetime | None, str | None]:
    """When a session of that date was last changed, and why that cannot be taken back any more, if it cannot."""

    def look(tx: store.Transaction) -> tuple[datetime | None, str | None]:
        place = store.people.site_by_key(tx, site or context.settings.site.key)
        _, story = _touched(tx, place.id, key, on) if place is not None else (set(), {})
        last = [changes[-1] for changes in story.values()]
        at = max((one.at for one in last if one.what != Action.SESSION_CHANGE_UNDONE), default=None)
        try:
            _last_change(tx, story)
        except ValueError as why:
            return at, str(why)
        return at, None

    return context.database.read(look)


def _touched(
    tx: store.Transaction, site_id: int, key: str, on: date, *, patient: int | None = None
) -> tuple[set[int], dict[int, list[SessionChange]]]:
    """The appointments of a session that stand on a date, or once stood on it; and the changes of each, in order."""
    day = on.isoformat()
    ids = {row.id for row in store.plans.of_session(tx, site_id, key, on, _ANY, patient=patient)}
    story: dict[int, list[SessionChange]] = {}
    for one in store.plans.session_changes(tx, site_id, key, patient=patient):
        story.setdefault(one.appointment_id, []).append(one)
        if day in {json.loads(one.before)["wall"][:10], json.loads(one.after)["wall"][:10]}:
            ids.add(one.appointment_id)
    return ids, {row_id: changes for row_id, changes in story.items() if row_id in ids}


@dataclass(frozen=True, slots=True)
class Told:
    """One line of a session's live list: a reader of a visit of it, how the visit stands, and whether they know.

    `told` is one of the words above; `text` the text that says so, with its `state`, its `reason` and when it goes, if
    there is one.
    """

    patient: str
    plan: str
    recipient: str
    visit: str
    wall: datetime
    status: str
    told: str
    text: int | None = None
    state: str | None = None
    reason: str | None = None
    goes_at: datetime | None = None
    visit_id: int = 0
    patient_id: int = 0
    recipient_id: int = 0
    number_id: int = 0
    how: str = "in_person"


def session_story(context: AppContext, key: str, on: date, now: datetime, *, site: str | None = None) -> list[Told]:
    """Who of a session knows how it stands: everyone whose visit stands on that date, or stood on it before a change.

    Empty where there is no such session on that date.
    """
    return context.database.read(lambda tx: _story(context, tx, key, on, now, site=site))


def _story(
    context: AppContext,
    tx: store.Transaction,
    key: str,
    on: date,
    now: datetime,
    *,
    site: str | None,
    patient: int | None = None,
) -> list[Told]:
    """`session_story`, of one patient where one is given."""
    place = store.people.site_by_key(tx, site or context.settings.site.key)
    if place is None:
        return []
    ids, changed = _touched(tx, place.id, key, on, patient=patient)
    policy = policy_of(context, frozenset(map(date.fromisoformat, place.closures)))
    visits = store.plans.visits_by_id(tx, ids)
    texts: dict[int, list[TextOfVisit]] = {}
    for text in store.texts.about_visits(tx, ids):
        texts.setdefault(text.appointment_id, []).append(text)
    told = []
    for row in store.plans.appointments_by_id(tx, ids):
        stands = planner.standing_of(visits[row.id].visit, policy)
        since = changed[row.id][-1].at if row.id in changed else None
        for reader in store.people.recipients_of(tx, row.patient_id):
            if reader.key not in row.recipients:
                continue
            mine = [text for text in texts.get(row.id, ()) if text.recipient_id == reader.id]
            line = _told(row, reader, stands, [text for text in mine if _says(text, stands, since)], now)
            # No notice goes for a paused plan: the patient hears of it by phone.
            silent = line.text is None and row.plan_status == "paused" and since is not None
            told.append(replace(line, told=TO_PHONE) if silent and reader.role == "self" else line)
    return sorted(told, key=_in_order)


def _in_order(one: Told) -> tuple[str, str, bool, str]:
    return one.patient, one.plan, one.recipient != "self", one.recipient


def _told(
    row: AppointmentOfPatient,
    reader: RecipientRow,
    stands: planner.Standing,
    about: Sequence[TextOfVisit],
    now: datetime,
) -> Told:
    """`about` are the texts that say how the visit stands."""
    words = {text.id: _word(text, now) for text in about}
    best = min(about, key=lambda text: (_WORDS.index(words[text.id]), -text.id), default=None)
    told = words[best.id] if best is not None else NOT_TOLD
    return Told(
        patient=row.patient_ref,
        plan=row.plan_ref,
        recipient=reader.key,
        visit=f"{row.series_key}@{row.recurrence_id}",
        wall=datetime.fromisoformat(row.wall),
        status=stands.status,
        told=told,
        text=best.id if best is not None else None,
        state=best.state if best is not None else None,
        reason=best.reason if best is not None else None,
        goes_at=best.due_at if best is not None and best.state == "scheduled" else None,
        visit_id=row.id,
        patient_id=row.patient_id,
        recipient_id=reader.id,
        number_id=reader.number_id,
        how=row.how,
    )


def _says(text: TextOfVisit, stands: planner.Standing, since: datetime | None) -> bool:
    """Whether a text says how the visit stands: a notice of it, or a reminder that went since it was changed."""
    if text.tells is not None:
        return bool(text.tells == str(stands) and text.state != "cancelled")
    return since is not None and text.wording is None and text.tried_at is not None and text.tried_at >= since


_WORDS = (DELIVERED, ON_ITS_WAY, NO_ANSWER, TO_PHONE)


def _word(text: TextOfVisit, now: datetime) -> str:
    """What a coordinator needs to know of a text that says how a visit stands."""
    if text.state == "delivered":
        return DELIVERED
    if text.state == "scheduled":
        return ON_ITS_WAY if text.held is None and text.closes_at > now else TO_PHONE
    if text.state == "sending":
        return ON_ITS_WAY
    if text.state == "sent":
        return ON_ITS_WAY if text.tried_at is not None and now - text.tried_at <= HEARD_WITHIN else NO_ANSWER
    return NO_ANSWER if text.state == "unconfirmed" else TO_PHONE


def set_plan_status(
    context: AppContext,
    ref: str,
    status: str,
    now: datetime,
    *,
    who: str,
    because: str | None = None,
    site: str | None = None,
    version: int | None = None,
) -> Changes | None:
    """Pause, resume (`active`) or end a plan; what its texts did, or None where there is no such plan.

    `because` is needed to end one, and puts the reason right of one that has ended. A patient who died has no plan any
    more: all of theirs end, and nothing goes to anyone about them. Raises ValueError when an ended plan is paused or
    resumed: a person who comes back gets a new plan, and consents again. Raises ChangedSince where the plan does not
    stand in `version`.
    """

    def change(tx: store.Transaction) -> Changes | None:
        plan = store.plans.plan_by_ref(tx, ref, site=site)
        if plan is None:
            return None
        hold_to(version, plan)
        return _set_status(context, tx, plan, status, now, who=who, because=because)

    return context.database.write(change, again=True)


def set_statuses(
    context: AppContext,
    plan_ids: Collection[int],
    status: str,
    now: datetime,
    *,
    who: str,
    because: str | None = None,
    dry_run: bool = False,
) -> tuple[int, Changes]:
    """The same for several plans: how many now stand otherwise, and what the texts did.

    Ended plans are passed over where they are to be paused or resumed. Patient by patient, each in a transaction of its
    own; asked for again it goes on where it broke off. With `dry_run` it is only counted.
    """

    def change(mine: Sequence[int], tx: store.Transaction) -> tuple[int, Changes]:
        patients = {plan.patient_id for plan in store.plans.plans_by_id(tx, mine)}
        store.people.lock_numbers(tx, store.people.numbers_of(tx, patients))
        done, texts = 0, Changes()
        for plan in store.plans.plans_by_id(tx, mine):
            if plan.status == status or (plan.status == "ended" and status != "ended"):
                continue
            texts += _set_status(context, tx, plan, status, now, who=who, because=because)
            done += 1
        return done, texts

    by_patient: dict[int, list[int]] = {}
    for plan in context.database.read(lambda tx: store.plans.plans_by_id(tx, plan_ids)):
        by_patient.setdefault(plan.patient_id, []).append(plan.id)
    steps = [partial(change, mine) for mine in by_patient.values()]
    if dry_run:
        each = context.database.try_each(steps) if steps else []
    else:
        each = [context.database.write(step, again=True) for step in steps]
    return sum(done for done, _ in each), _added_up(texts for _, texts in each)


def _set_status(
    context: AppContext,
    tx: store.Transaction,
    plan: PlanRow,
    status: str,
    now: datetime,
    *,
    who: str,
    because: str | None,
) -> Changes:
    if plan.status == status and (
        status != "ended" or store.plans.why_ended(tx, plan.id, plan.ended_because_sealed) == because
    ):
        return Changes()
    if plan.status == "ended" and status != "ended":
        raise ValueError("the plan has ended; import a new plan that replaces it")
    if status == "ended":
        return _end(context, tx, plan, because or "other", now, who=who)
    store.plans.change_plan(tx, plan, now, status=status, ended_because=None)
    _note(tx, plan, {"paused": Action.PLAN_PAUSED, "active": Action.PLAN_RESUMED}[status], now, who=who)
    return replan(context, tx, [plan.patient_id], now)


def transfer(
    context: AppContext, ref: str, to_site: str, now: datetime, *, who: str, site: str | None = None
) -> Changes | None:
    """Hand a patient on to another of our sites: the plan ends here, and there they get a new one.

    Consent was given to this site's texts, so no number goes along (L-36): it is given there again. What the texts did,
    or None where there is no such plan. Raises ValueError where there is no such other site, or the plan has ended.
    """

    def change(tx: store.Transaction) -> Changes | None:
        plan = store.plans.plan_by_ref(tx, ref, site=site)
        if plan is None:
            return None
        here = store.people.site_of_patient(tx, plan.patient_id).key
        others = [key for key in store.people.site_keys(tx) if key != here]
        if to_site not in others:
            there = f"there is {', '.join(others)}" if others else "there is no other site"
            raise ValueError(f"{to_site} is no other site of ours; {there}")
        if plan.status == "ended":
            raise ValueError("the plan has ended")
        return _end(context, tx, plan, "transferred", now, who=who, to=to_site)

    return context.database.write(change, again=True)


def _end(
    context: AppContext,
    tx: store.Transaction,
    plan: PlanRow,
    because: str,
    now: datetime,
    *,
    who: str,
    to: str | None = None,
) -> Changes:
    died = because == "died"
    ending = [plan]
    if died:
        ending += [one for one in store.plans.current_plans(tx, plan.patient_id) if one.id != plan.id]
    store.people.lock_numbers(tx, store.people.numbers_of(tx, [plan.patient_id]))
    for one in ending:
        store.plans.change_plan(tx, one, now, status="ended", ended_because=because)
        _note(tx, one, Action.PLAN_ENDED, now, who=who, after=because if to is None else f"{because} to {to}")
    changes = replan(context, tx, [plan.patient_id], now)
    for one in ending:
        changes.retracted += store.texts.retract_notices(tx, one.id)
    if died:
        readers = [one.id for one in store.people.recipients_of(tx, plan.patient_id)]
        changes.retracted += store.texts.retract_all(tx, readers)  # tried ones too
        standing = store.attention.open_tasks_of(tx, plan.patient_id)
        keys = [task.key for task in standing if not task_kinds.KINDS[task.kind].outlives]
        store.tasks.close_by_key(tx, keys, task_kinds.PLAN_ENDED, now)
    return changes


def _note(
    tx: store.Transaction, plan: PlanRow, what: Action, now: datetime, *, who: str, after: str | None = None
) -> None:
    store.audit_log.note(
        tx,
        who=who,
        what=what,
        table="plans",
        row=plan.id,
        now=now,
        before=store.plans.why_ended(tx, plan.id, plan.ended_because_sealed) or plan.status,
        after=after,
        key=store.plans.data_key_of_patient(tx, plan.patient_id),
    )
