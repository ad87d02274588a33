"""Changes to what was agreed: a visit or a whole session moved or called off, and that taken back; a plan paused,
resumed, ended or handed on to another site. What its readers are told follows from how things stand (`replanning`).
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from reminders import planner, plans, store
from reminders.service.house import House
from reminders.service.planning import hold_to
from reminders.service.replanning import policy_of, replan
from reminders.store import Row
from reminders.store.plans import SESSION_MOVED, SESSION_OFF, SESSION_UNDONE, SessionChange
from reminders.store.texts import Changes

HEARD_WITHIN = timedelta(hours=1)  # a phone that is on takes a text in minutes

DELIVERED, ON_ITS_WAY, NO_ANSWER = "delivered", "on its way", "no answer"
TO_PHONE, NOT_TOLD = "must be phoned", "not told"
_ANY = ("booked", "tentative", "cancelled", "attended", "missed")
_DANGER = {
    "crisis",
    "possible",
    "slip",
    "supervisor",
    "reply",
    "stranger",
    "who",
    "wrong_number",
}  # tasks that outlive the visits


def change_session(
    house: House, key: str, on: date, now: datetime, *, who: str, to: datetime | None, site: str | None = None
) -> Changes | None:
    """Move a session on a date to another wall-clock time of its place, or call it off (`to` is None), for everybody.

    What all their texts did, or None where no visit of that session stands on that date. One transaction. Raises
    ValueError for a time that has passed.
    """

    def change(tx: store.Transaction) -> Changes | None:
        return _change_session(house, tx, key, on, now, who=who, to=to, site=site)

    return house.database.write(change, again=True)


def try_session(
    house: House, key: str, on: date, now: datetime, *, to: datetime | None, site: str | None = None
) -> "tuple[Changes, list[Told]] | None":
    """What `change_session` would do to the texts, and who would know of it how: done, read and rolled back.

    Raises ValueError.
    """

    def tried(tx: store.Transaction) -> tuple[Changes, list[Told]] | None:
        done = _change_session(house, tx, key, on, now, who="preview", to=to, site=site)
        return None if done is None else (done, _story(house, tx, key, on, now, site=site))

    return house.database.try_out(tried)


def _change_session(
    house: House,
    tx: store.Transaction,
    key: str,
    on: date,
    now: datetime,
    *,
    who: str,
    to: datetime | None,
    site: str | None,
) -> Changes | None:
    place = store.people.site_by_key(tx, site or house.settings.site.key)
    if place is None:
        return None
    patients = {row.patient_id for row in store.plans.of_session(tx, place.id, key, on)}
    store.people.lock_numbers(tx, store.people.numbers_of(tx, patients))
    rows = store.plans.of_session(tx, place.id, key, on)  # as they stand, now that nobody else changes them
    if not rows:
        return None
    what = SESSION_MOVED if to is not None else SESSION_OFF
    for row in rows:
        _change(tx, row, to, now, what=what, who=who)
    return replan(house, tx, patients | {row.patient_id for row in rows}, now)


def change_visit(
    house: House,
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
        return change_one(house, tx, row.id, now, who=who, to=to) if row is not None else None

    return house.database.write(change, again=True)


def change_one(
    house: House,
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
    for row in store.plans.appointments_by_id(tx, [appointment_id]):  # as it stands, now that nobody else changes it
        hold_to(version, row)
        if row.status in store.plans.OPEN:
            _change(tx, row, to, now, what="visit moved" if to is not None else "visit called off", who=who)
            return replan(house, tx, [row.patient_id], now)
    return None


def _change(tx: store.Transaction, row: Row[Any], to: datetime | None, now: datetime, *, what: str, who: str) -> None:
    values: dict[str, Any] = {"status": "cancelled"}
    if row.starts_at <= now:
        raise ValueError("it has begun already; say who came instead")
    if to is not None:
        starts_at = plans.to_instant(to, row.zone)
        if starts_at <= now:
            raise ValueError("that time has passed; give one that lies ahead")
        values = {"wall": to.isoformat(timespec="seconds"), "starts_at": starts_at}
    _write(tx, row, now, values, what=what, who=who)


def _write(tx: store.Transaction, row: Row[Any], now: datetime, values: dict[str, Any], *, what: str, who: str) -> None:
    store.plans.change_appointment(tx, row, now, **values)
    after = {"wall": row.wall, "status": row.status} | {
        name: values[name] for name in ("wall", "status") if name in values
    }
    store.records.note(
        tx,
        who=who,
        what=what,
        table="appointments",
        row=row.id,
        now=now,
        before=json.dumps({name: row._mapping[name] for name in _STANDING}),
        after=json.dumps(after | {"version": row.version + 1}),
        key=store.plans.data_key_of_patient(tx, row.patient_id),
    )


_STANDING = ("wall", "status", "known_wall", "known_status")  # how a visit stands, and what its readers know


def undo_session(
    house: House, key: str, on: date, now: datetime, *, who: str, site: str | None = None
) -> Changes | None:
    """Take back the last change of a session, as if it had never been made; `on` is the old date or the new one.

    Every visit that the change moved or called off stands as it did before, unless it was changed on its own since.
    What its texts did, or None where there is no such session on that date. Raises ValueError where there is nothing
    to take back, or a text about the change has gone, or may have: who was told is told again by another change.
    """

    def change(tx: store.Transaction) -> Changes | None:
        place = store.people.site_by_key(tx, site or house.settings.site.key)
        if place is None:
            return None
        ids, last = _touched(tx, place.id, key, on)
        if not ids:
            return None
        patients = {row.patient_id for row in store.plans.appointments_by_id(tx, ids)}
        store.people.lock_numbers(tx, store.people.numbers_of(tx, patients))
        undoing = _last_change(tx, last)
        rows = [
            row
            for row in store.plans.appointments_by_id(tx, undoing)
            if row.version == json.loads(undoing[row.id].after)["version"] and row.attendance is None
        ]
        if not rows:
            raise ValueError("every visit of it was changed on its own since")
        for row in rows:
            before = json.loads(undoing[row.id].before)
            starts_at = plans.to_instant(datetime.fromisoformat(before["wall"]), row.zone)
            if starts_at <= now:
                raise ValueError("the time at which it stood before has passed")
            _write(tx, row, now, before | {"starts_at": starts_at}, what=SESSION_UNDONE, who=who)
        return replan(house, tx, patients, now)

    return house.database.write(change, again=True)


def _last_change(tx: store.Transaction, last: dict[int, SessionChange]) -> dict[int, SessionChange]:
    """The last change of a session as it befell each appointment. Raises ValueError where it cannot be taken back."""
    if not last:
        raise ValueError("nothing of it was changed here")
    at = max(one.at for one in last.values())
    undoing = {row_id: one for row_id, one in last.items() if one.at == at}
    if all(one.what == SESSION_UNDONE for one in undoing.values()):
        raise ValueError("its last change was taken back already")
    if store.plans.spoken_of(tx, undoing, since=at):
        raise ValueError("a text about the change has gone; change it again, and everybody is told")
    return undoing


def last_change(house: House, key: str, on: date, *, site: str | None = None) -> tuple[datetime | None, str | None]:
    """When a session of that date was last changed, and why that cannot be taken back any more, if it cannot."""

    def look(tx: store.Transaction) -> tuple[datetime | None, str | None]:
        place = store.people.site_by_key(tx, site or house.settings.site.key)
        _, last = _touched(tx, place.id, key, on) if place is not None else (set(), {})
        at = max((one.at for one in last.values() if one.what != SESSION_UNDONE), default=None)
        try:
            _last_change(tx, last)
        except ValueError as why:
            return at, str(why)
        return at, None

    return house.database.read(look)


def _touched(tx: store.Transaction, site_id: int, key: str, on: date) -> tuple[set[int], dict[int, SessionChange]]:
    """The appointments of a session that stand on a date, or once stood on it; and the last change of each."""
    day = on.isoformat()
    ids = {row.id for row in store.plans.of_session(tx, site_id, key, on, _ANY)}
    last: dict[int, SessionChange] = {}
    for one in store.plans.session_changes(tx, site_id, key):
        last[one.appointment_id] = one
        if day in {json.loads(one.before)["wall"][:10], json.loads(one.after)["wall"][:10]}:
            ids.add(one.appointment_id)
    return ids, {row_id: one for row_id, one in last.items() if row_id in ids}


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


def session_story(house: House, key: str, on: date, now: datetime, *, site: str | None = None) -> list[Told]:
    """Who of a session knows how it stands: everybody whose visit stands on that date, or stood on it before a change.

    Empty where there is no such session on that date.
    """
    return house.database.read(lambda tx: _story(house, tx, key, on, now, site=site))


def _story(house: House, tx: store.Transaction, key: str, on: date, now: datetime, *, site: str | None) -> list[Told]:
    place = store.people.site_by_key(tx, site or house.settings.site.key)
    if place is None:
        return []
    ids, last = _touched(tx, place.id, key, on)
    policy = policy_of(house, frozenset(map(date.fromisoformat, place.closures)))
    visits = store.plans.visits_by_id(tx, ids)
    texts: dict[int, list[Row[Any]]] = {}
    for text in store.texts.about_visits(tx, ids):
        texts.setdefault(text.appointment_id, []).append(text)
    told = []
    for row in store.plans.appointments_by_id(tx, ids):
        stands = planner.standing_of(visits[row.id].visit, policy)
        since = last[row.id].at if row.id in last else None
        for reader in store.people.recipients_of(tx, row.patient_id):
            if reader.key not in row.recipients:
                continue
            mine = [text for text in texts.get(row.id, ()) if text.recipient_id == reader.id]
            line = _told(row, reader, stands, [text for text in mine if _says(text, stands, since)], now)
            # No notice goes for a paused plan: the patient hears of it by phone.
            silent = line.text is None and row.plan_status == "paused" and since is not None
            told.append(replace(line, told=TO_PHONE) if silent and reader.role == "self" else line)
    return sorted(told, key=lambda one: (one.patient, one.plan, one.recipient != "self", one.recipient))


def _told(row: Row[Any], reader: Row[Any], stands: planner.Standing, about: Sequence[Row[Any]], now: datetime) -> Told:
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


def _says(text: Row[Any], stands: planner.Standing, since: datetime | None) -> bool:
    """Whether a text says how the visit stands: a notice of it, or a reminder that went since it was changed."""
    if text.tells is not None:
        return bool(text.tells == str(stands) and text.state != "cancelled")
    return since is not None and text.wording is None and text.tried_at is not None and text.tried_at >= since


_WORDS = (DELIVERED, ON_ITS_WAY, NO_ANSWER, TO_PHONE)


def _word(text: Row[Any], now: datetime) -> str:
    """What a coordinator needs to know of a text that says how a visit stands."""
    if text.state == "delivered":
        return DELIVERED
    if text.state == "scheduled":
        return ON_ITS_WAY if text.held is None and text.closes_at > now else TO_PHONE
    if text.state == "sending":
        return ON_ITS_WAY
    if text.state == "sent":
        return ON_ITS_WAY if now - text.tried_at <= HEARD_WITHIN else NO_ANSWER
    return NO_ANSWER if text.state == "unconfirmed" else TO_PHONE


def set_plan_status(
    house: House,
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
    more: all of theirs end, and nothing goes to anybody about them. Raises ValueError when an ended plan is paused or
    resumed: a person who comes back gets a new plan, and consents anew. Raises ChangedSince where the plan does not
    stand in `version`.
    """

    def change(tx: store.Transaction) -> Changes | None:
        plan = store.plans.plan_by_ref(tx, ref, site=site)
        if plan is None:
            return None
        hold_to(version, plan)
        return _set_status(house, tx, plan, status, now, who=who, because=because)

    return house.database.write(change, again=True)


def set_statuses(
    house: House,
    plan_ids: Collection[int],
    status: str,
    now: datetime,
    *,
    who: str,
    because: str | None = None,
    dry_run: bool = False,
) -> tuple[int, Changes]:
    """The same for several plans at once, or not at all: how many now stand otherwise, and what the texts did.

    Ended plans are passed over where they are to be paused or resumed. With `dry_run` it is only counted.
    """

    def change(tx: store.Transaction) -> tuple[int, Changes]:
        patients = {plan.patient_id for plan in store.plans.plans_by_id(tx, plan_ids)}
        store.people.lock_numbers(tx, store.people.numbers_of(tx, patients))
        done, texts = 0, Changes()
        for plan in store.plans.plans_by_id(tx, plan_ids):
            if plan.status == status or (plan.status == "ended" and status != "ended"):
                continue
            texts += _set_status(house, tx, plan, status, now, who=who, because=because)
            done += 1
        return done, texts

    return house.database.try_out(change) if dry_run else house.database.write(change, again=True)


def _set_status(
    house: House, tx: store.Transaction, plan: Row[Any], status: str, now: datetime, *, who: str, because: str | None
) -> Changes:
    if plan.status == status and (status != "ended" or plan.ended_because == because):
        return Changes()
    if plan.status == "ended" and status != "ended":
        raise ValueError("the plan has ended; import a new plan that replaces it")
    if status == "ended":
        return _end(house, tx, plan, because or "other", now, who=who)
    store.plans.change_plan(tx, plan, now, status=status, ended_because=None)
    _note(tx, plan, {"paused": "plan paused", "active": "plan resumed"}[status], now, who=who)
    return replan(house, tx, [plan.patient_id], now)


def transfer(
    house: House, ref: str, to_site: str, now: datetime, *, who: str, site: str | None = None
) -> Changes | None:
    """Hand a patient on to another of our sites: the plan ends here, and there they get a new one.

    Consent was given to this site's texts, so no number goes along (L-36): they give it there anew. What the texts did,
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
        return _end(house, tx, plan, "transferred", now, who=who, to=to_site)

    return house.database.write(change, again=True)


def _end(
    house: House, tx: store.Transaction, plan: Row[Any], because: str, now: datetime, *, who: str, to: str | None = None
) -> Changes:
    died = because == "died"
    ending = [plan]
    if died:
        ending += [one for one in store.plans.current_plans(tx, plan.patient_id) if one.id != plan.id]
    store.people.lock_numbers(tx, store.people.numbers_of(tx, [plan.patient_id]))
    for one in ending:
        store.plans.change_plan(tx, one, now, status="ended", ended_because=because)
        _note(tx, one, "plan ended", now, who=who, after=because if to is None else f"{because} to {to}")
    changes = replan(house, tx, [plan.patient_id], now)
    for one in ending:
        changes.retracted += store.texts.retract_notices(tx, one.id)
    if died:
        readers = [one.id for one in store.people.recipients_of(tx, plan.patient_id)]
        changes.retracted += store.texts.retract_all(tx, readers)  # tried ones too
        keys = [task.key for task in store.attention.open_tasks_of(tx, plan.patient_id) if task.kind not in _DANGER]
        store.tasks.close_by_key(tx, keys, now, outcome="not_needed", why="the plan ended")
    return changes


def _note(
    tx: store.Transaction, plan: Row[Any], what: str, now: datetime, *, who: str, after: str | None = None
) -> None:
    store.records.note(
        tx,
        who=who,
        what=what,
        table="plans",
        row=plan.id,
        now=now,
        before=plan.ended_because or plan.status,
        after=after,
        key=store.plans.data_key_of_patient(tx, plan.patient_id),
    )
