"""Plans, their series, and the appointments laid down from them."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from reminders.audit_actions import Action
from reminders.planner import CORRECTED_WITHIN, NOTICE_WITHIN, Arriving, Leaving, Visit, renamed
from reminders.plans import Kind, Lead, Mode, Occurrence, Series, to_instant
from reminders.store.database import schema
from reminders.store.database.engine import Transaction
from reminders.store.database.fast_path import PreparedInsert, PreparedSelect, among, words
from reminders.store.database.ids import new_id
from reminders.store.database.schema import (
    appointments,
    attempts,
    audit,
    is_one_of,
    patients,
    plans,
    series,
    sessions,
    sites,
    text_items,
    texts,
)
from reminders.store.database.sealing import DataKey, Place, Unreadable, padded
from reminders.store.office.audit_log import noted
from reminders.store.records import (
    AppointmentRow,
    AuditRow,
    ChangedVisitRow,
    PlanRow,
    SeriesRow,
    TextVisitRow,
    VisitRow,
)

OPEN = ("booked", "tentative")
Name = tuple[int, str]  # an appointment's: its series, and its recurrence id

# Statements that run for every plan taken in or laid down are made once: making one again costs as much as running it.


def plan_by_ref(
    tx: Transaction,
    ref: str,
    *,
    site_id: int | None = None,
    site: str | None = None,
    source: str | None = None,
    lock: bool = True,
) -> PlanRow | None:
    """The plan of that reference, locked for a change unless told otherwise; of several sites' the newest.

    `site_id` or `site`, a key, says of which one.
    """
    query = sa.select(plans).where(plans.c.ref == ref).order_by(plans.c.id.desc())
    if lock:
        query = query.with_for_update()
    if site_id is not None:
        query = query.where(plans.c.site_id == site_id)
    if site is not None:
        query = query.where(plans.c.site_id.in_(sa.select(sites.c.id).where(sites.c.key == site)))
    if source is not None:
        query = query.where(plans.c.source == source)
    return tx.first_as(PlanRow, query)


def plans_by_id(tx: Transaction, ids: Collection[int]) -> list[PlanRow]:
    """These plans, always in one order; locked for a change unless the transaction only reads."""
    query = sa.select(plans).where(plans.c.id.in_(ids)).order_by(plans.c.id)
    return tx.all_as(PlanRow, query if tx.only_reads else query.with_for_update())


def current_plans(tx: Transaction, patient_id: int) -> list[PlanRow]:
    """The patient's plans that have not ended."""
    return tx.all_as(PlanRow, _CURRENT, {"patient": patient_id})


_CURRENT = sa.select(plans).where(plans.c.patient_id == sa.bindparam("patient"), plans.c.status != "ended")


def plans_of(tx: Transaction, patient_id: int) -> list[PlanRow]:
    """Every plan the patient has or had, the newest first."""
    return tx.all_as(PlanRow, sa.select(plans).where(plans.c.patient_id == patient_id).order_by(plans.c.id.desc()))


def has_died(tx: Transaction, patient_id: int) -> bool:
    """Whether a plan of theirs ended with the patient's death."""
    return patient_id in who_died(tx, [patient_id])


def who_died(tx: Transaction, patient_ids: Collection[int]) -> set[int]:
    """Of these patients those of whom a plan ended with their death."""
    columns = (plans.c.id, plans.c.patient_id, plans.c.ended_because_sealed)
    ended = sa.select(*columns).where(plans.c.patient_id.in_(patient_ids), plans.c.status == "ended")
    return {row.patient_id for row in tx.all(ended) if why_ended(tx, row.id, row.ended_because_sealed) == "died"}


_PADDED = 32


def why_ended(tx: Transaction, plan_id: int, sealed: bytes | None) -> str | None:
    """Why a plan ended; None where it has not, or its patient was erased."""
    if sealed is None:
        return None
    because = tx.open_if_legible(Place("plans", "ended_because_sealed", plan_id), sealed)
    return because.rstrip() or None if because is not None else None


def _seal_why(key: DataKey, plan_id: int, because: str | None) -> bytes | None:
    place = Place("plans", "ended_because_sealed", plan_id)
    return key.seal(place, padded(because, _PADDED)) if because is not None else None


def name_in_series(
    tx: Transaction, patient_id: int, recipient: str, keys: Collection[str] | None, now: datetime
) -> list[str]:
    """Let a recipient get texts about these series of the patient's current plans, by default the family sessions.

    The keys of the series that name the recipient now.
    """
    query = sa.select(series).join(plans, plans.c.id == series.c.plan_id)
    query = query.where(plans.c.patient_id == patient_id, plans.c.status != "ended", series.c.status != "cancelled")
    if keys is None:
        query = query.where(series.c.kind == Kind.FAMILY_SESSION.value)
    else:
        query = query.where(series.c.key.in_(keys))
    named = []
    for row in tx.all_as(SeriesRow, query.order_by(series.c.id)):
        named.append(row.key)
        if recipient not in row.recipients:
            values = {"recipients": [*row.recipients, recipient], "joined": _joined(row, [recipient], now)}
            tx.run(series.update().where(series.c.id == row.id).values(**values))
    return named


class PlanToExtend(NamedTuple):
    """A plan whose appointments are to be laid down further, with its patient's data key."""

    id: int
    laid_down_until: date
    key_id: int


def plans_to_extend(
    tx: Transaction, until: date, limit: int, after: tuple[date, int] = (date.min, 0)
) -> list[PlanToExtend]:
    """Current plans whose appointments are on record only up to a day before `until`; the furthest behind first.

    `after` is the (`laid_down_until`, id) of the last plan of the page before.
    """
    behind = sa.text("status <> 'ended'")
    query = sa.select(plans.c.id, plans.c.laid_down_until, patients.c.key_id)
    query = query.join(patients, patients.c.id == plans.c.patient_id)
    query = query.where(behind, plans.c.laid_down_until < until)
    query = query.where(sa.tuple_(plans.c.laid_down_until, plans.c.id) > sa.tuple_(*map(sa.literal, after)))
    return tx.all_as(PlanToExtend, query.order_by(plans.c.laid_down_until, plans.c.id).limit(limit))


def lock_plan(tx: Transaction, plan_id: int) -> PlanRow | None:
    """One plan, locked for a change."""
    return tx.first_as(PlanRow, _LOCKED, {"plan": plan_id})


_LOCKED = sa.select(plans).where(plans.c.id == sa.bindparam("plan")).with_for_update()


def add_plan(
    tx: Transaction, key: DataKey, *, document: str, ended_because: str | None, now: datetime, **values: Any
) -> int:
    """A new plan; its id."""
    plan_id = new_id(now)
    sealed = key.seal(Place("plans", "document_sealed", plan_id), document)
    tx.run(
        _ADD_PLAN,
        {
            "id": plan_id,
            "version": 1,
            "document_sealed": sealed,
            "ended_because_sealed": _seal_why(key, plan_id, ended_because),
            "created_at": now,
            "changed_at": now,
            **values,
        },
    )
    return plan_id


_ADD_PLAN = plans.insert()


def change_plan(tx: Transaction, plan: PlanRow, now: datetime, **values: Any) -> None:
    """Write a change to a plan, as its next version; `ended_because` is sealed."""
    if "ended_because" in values:
        key = data_key_of_patient(tx, plan.patient_id)
        values["ended_because_sealed"] = _seal_why(key, plan.id, values.pop("ended_because"))
    tx.run(plans.update().where(plans.c.id == plan.id).values(version=plan.version + 1, changed_at=now, **values))


def seal_document(key: DataKey, plan_id: int, document: str) -> bytes:
    """The plan document, sealed for its row."""
    return key.seal(Place("plans", "document_sealed", plan_id), document)


def document_of(tx: Transaction, plan: PlanRow) -> str:
    """The plan document as it was accepted, canonical JSON."""
    return tx.open(Place("plans", "document_sealed", plan.id), plan.document_sealed)


def has_visit(tx: Transaction, plan_id: int, first: date, last: date) -> bool:
    """Whether a visit of the plan stands on a day from `first` to `last`, on the wall clock of its place."""
    days = {"first": first.isoformat(), "last": last.isoformat()}
    return tx.first(_VISIT_ON, {"plan": plan_id, **days}) is not None


def _on() -> sa.ColumnElement[str]:
    return sa.func.substr(appointments.c.wall, 1, 10)


_VISIT_ON = (
    sa.select(appointments.c.id)
    .join(series, series.c.id == appointments.c.series_id)
    .where(series.c.plan_id == sa.bindparam("plan"), appointments.c.status.in_(OPEN))
    .where(_on() >= sa.bindparam("first"), _on() <= sa.bindparam("last"))
    .limit(1)
)


def set_laid_down(tx: Transaction, plan_id: int, until: date) -> None:
    """Note how far the plan's appointments are laid down."""
    tx.run(_LAID_DOWN, {"plan": plan_id, "until": until})


_LAID_DOWN = plans.update().where(plans.c.id == sa.bindparam("plan")).values(laid_down_until=sa.bindparam("until"))


def data_key_of_patient(tx: Transaction, patient_id: int) -> DataKey:
    """The data key of a patient."""
    return tx.data_key(tx.value(_KEY_OF_PATIENT, {"patient": patient_id}))


_KEY_OF_PATIENT = sa.select(patients.c.key_id).where(patients.c.id == sa.bindparam("patient"))


def keep_session(tx: Transaction, site_id: int, key: str, now: datetime) -> int:
    """The id of the site's session of that key, made if there is none."""
    query = sa.select(sessions.c.id).where(sessions.c.site_id == site_id, sessions.c.key == key)
    found = tx.value(query)
    if found is None:
        tx.insert_new(sessions, {"id": new_id(now), "site_id": site_id, "key": key})
        found = tx.value(query)
    return int(found)


def _joined(row: SeriesRow, names: Iterable[str], now: datetime) -> dict[str, str] | None:
    """Since when each recipient of a series is named in it, where that was not from its beginning."""
    return {**(row.joined or {}), **{name: now.isoformat() for name in names}} or None


def keep_series(
    tx: Transaction,
    *,
    plan_id: int,
    site_id: int,
    zone: str,
    key: DataKey,
    agreed: Iterable[Series],
    kept: Collection[str] = (),
    now: datetime,
) -> tuple[dict[str, int], list[int]]:
    """Make the plan's series what was agreed: series key → id, and the ids of those that are agreed no longer.

    The latter are cancelled; their visits stay as they are until `lay_down` is told of them all. `kept` are recipients
    of whom the plan's document never spoke: who was added here stays.
    """
    rows = {row.key: row for row in tx.all_as(SeriesRow, _SERIES_OF, {"plan": plan_id})}
    ids: dict[str, int] = {}
    added: list[dict[str, Any]] = []
    for one in agreed:
        row = rows.pop(one.key, None)
        values: dict[str, Any] = {
            "kind": one.kind.value,
            "starts": one.starts.isoformat(timespec="seconds"),
            "zone": one.zone or zone,
            "repeats": one.repeats,
            "minutes": one.minutes,
            "how": one.how.value,
            "session_id": keep_session(tx, site_id, one.session, now) if one.session else None,
            "recipients": [*one.for_, *(name for name in (row.recipients if row else ()) if name in kept)],
            "leads": [str(lead) for lead in one.leads] if one.leads is not None else None,
            "status": one.status,
        }
        if row is not None and (fresh := set(values["recipients"]) - set(row.recipients)):
            values["joined"] = _joined(row, sorted(fresh), now)
        series_id = row.id if row else new_id(now)
        ids[one.key] = series_id
        sealed: dict[str, bytes | None] = {}
        for column, text in (("place_sealed", one.place), ("with_sealed", one.with_)):
            place = Place("series", column, series_id)
            known = getattr(row, column) if row else None
            if (key.open(place, known) if known else None) != text:
                sealed[column] = key.seal(place, text) if text else None
        if row is None:
            names = {"id": series_id, "plan_id": plan_id, "key": one.key}
            added.append({"place_sealed": None, "with_sealed": None, "joined": None, **sealed, **names, **values})
        elif sealed or any(getattr(row, name) != value for name, value in values.items()):
            tx.run(series.update().where(series.c.id == series_id).values(**values, **sealed))
    tx.run_many(_ADD_SERIES, added)
    for row in rows.values():
        tx.run(series.update().where(series.c.id == row.id).values(status="cancelled"))
    return ids, [row.id for row in rows.values()]


_SERIES_OF = sa.select(series).where(series.c.plan_id == sa.bindparam("plan"))
_ADD_SERIES = series.insert()


def lay_down(tx: Transaction, occurrences: Mapping[int, Iterable[Occurrence]], now: datetime) -> None:
    """Make the appointments of a plan's series, each series by its id, what its occurrences say.

    Identity is (series, recurrence id): a moved occurrence keeps its row. One that has another name now keeps it too
    (`planner.renamed`); one that is gone is cancelled. What the plan said before and says again is no news: what staff
    moved or called off stays so until the plan speaks of that very date. What has begun stays as it is, and nothing is
    moved into the past; a one-off that passed and has a later day now is another visit.
    """
    if not occurrences:
        return
    said = {(series_id, one.recurrence_id): one for series_id, many in occurrences.items() for one in many}
    rows = {(row.series_id, row.recurrence_id): row for row in tx.rows(_APPOINTMENTS_OF, {"ids": list(occurrences)})}
    _rename(tx, rows, said, now)
    names = set(rows)
    added: list[tuple[Any, ...]] = []
    changed: list[dict[str, Any]] = []
    derived: list[dict[str, Any]] = []
    agreed_now: list[dict[str, Any]] = []
    for name, occurrence in said.items():
        row = rows.pop(name, None)
        agreed = {
            "agreed_wall": occurrence.wall.isoformat(timespec="seconds"),
            "zone": occurrence.zone,
            "agreed_status": occurrence.status,
        }
        is_new = row is not None and any(getattr(row, column) != value for column, value in agreed.items())
        starts_at = to_instant(occurrence.wall, occurrence.zone)
        if row is not None and row.starts_at <= now:
            if not (is_new and occurrence.recurrence_id == "once" and _is_later_day(row, occurrence, starts_at, now)):
                continue
            _keep_past(tx, row, name[0], names)
            row = None
        if row is None:
            wall, status = agreed["agreed_wall"], occurrence.status
            place = (*name, wall, occurrence.zone, starts_at, status)
            added.append((new_id(now), *place, wall, status, wall, status, now, 1, now))
            continue
        values = agreed | _standing(row, occurrence)
        starts_at = to_instant(datetime.fromisoformat(values["wall"]), occurrence.zone)
        if is_new and row.status in {*OPEN, "cancelled"}:
            if starts_at <= now:  # the past is no place to move a visit to; that it is off can still be said
                if values["status"] != "cancelled" or row.status == "cancelled":
                    continue
                values |= {"wall": row.wall, "zone": row.zone}
                starts_at = row.starts_at
            if (values["wall"], values["status"], values["zone"]) == (row.wall, row.status, row.zone):
                agreed_now.append({"row": row.id, **{name: values[name] for name in ("agreed_wall", "agreed_status")}})
                continue
            known = _known(tx, row, values, starts_at, now)
            changed.append({"row": row.id, "at": now, "starts_at": starts_at, **values, **known})
            continue
        starts_at = to_instant(datetime.fromisoformat(row.wall), row.zone)  # a session may have been moved here
        if starts_at != row.starts_at:
            derived.append({"row": row.id, "starts_at": starts_at})  # the rules of its zone changed (F38)
    off = {"status": "cancelled"}
    gone = [
        {"row": row.id, "at": now, **_known(tx, row, {"wall": row.wall, **off}, row.starts_at, now)}
        for row in rows.values()
        if row.status in OPEN and row.starts_at > now
    ]
    if added:
        tx.add(_ADD_APPOINTMENTS, added)
    tx.run_many(_CHANGE_APPOINTMENT, changed)
    tx.run_many(_DERIVE_APPOINTMENT, derived)
    tx.run_many(_AGREE_APPOINTMENT, agreed_now)
    tx.run_many(_CALL_OFF_APPOINTMENT, gone)


def _keep_past(tx: Transaction, row: AppointmentRow, series_id: int, names: set[Name]) -> None:
    """Name a one-off that passed by its day, since its name is another visit's now."""
    past = (row.wall[:10], *(f"once.{count}" for count in range(2, 1000)))
    free = next(one for one in past if (series_id, one) not in names)
    names.add((series_id, free))
    tx.run_many(_NAME_APPOINTMENT, [{"row": row.id, "series": series_id, "name": free}])


def _is_later_day(row: AppointmentRow, occurrence: Occurrence, starts_at: datetime, now: datetime) -> bool:
    return starts_at > now and occurrence.wall.date().isoformat() > row.wall[:10]


def _standing(row: AppointmentRow, occurrence: Occurrence) -> dict[str, Any]:
    """How a visit is once the plan says `occurrence` of it: what staff changed stays, unless it names this date."""
    wall, status = occurrence.wall.isoformat(timespec="seconds"), occurrence.status
    called_off = row.status != row.agreed_status
    if occurrence.named or not (called_off or row.wall != row.agreed_wall):
        return {"wall": wall, "status": status}
    return {"wall": row.wall, "status": row.status if called_off and status != "cancelled" else status}


def _rename(tx: Transaction, rows: dict[Name, AppointmentRow], said: Mapping[Name, Occurrence], now: datetime) -> None:
    """Give visits that have another name in the plan now that name, in the table and in `rows`, name → row.

    A visit's row keeps its texts, answers and tasks. A row that the plan had called off under that name before takes
    the old name.
    """
    leaving = {
        name: row
        for name, row in rows.items()
        if row.starts_at > now
        and (name not in said or said[name].status == "cancelled")
        and row.status in {*OPEN, "cancelled"}
        and (row.agreed_status in OPEN or row.known_status == "booked")  # what is off and known to be is no one's news
    }
    if not leaving:
        return
    arriving = {
        name: one
        for name, one in said.items()
        if one.status in OPEN and (name not in rows or rows[name].agreed_status == rows[name].status == "cancelled")
    }
    if not arriving:
        return
    ids = {series_id for series_id, _ in (*leaving, *arriving)}
    query = sa.select(series.c.id, series.c.kind, series.c.recipients).where(series.c.id.in_(ids))
    of = {row.id: (Kind(row.kind), frozenset(row.recipients)) for row in tx.all(query)}
    names = {row.id: name for name, row in leaving.items()}
    known = _known_instants(tx, leaving.values())
    found = renamed(
        [
            Leaving(
                row.id,
                datetime.fromisoformat(row.wall),
                row.starts_at,
                to_instant(datetime.fromisoformat(row.agreed_wall), row.zone) if row.agreed_status in OPEN else None,
                *of[name[0]],
                on=row.status in OPEN,
                known_at=known[row.id],
            )
            for name, row in leaving.items()
        ],
        [Arriving(name, one.wall, to_instant(one.wall, one.zone), *of[name[0]]) for name, one in arriving.items()],
        now,
    )
    if not found:
        return
    new_names = dict(found)
    for row_id, name in found.items():
        if name in rows and rows[name].id not in found:
            new_names[rows[name].id] = names[row_id]
    by_id = {row.id: row for row in rows.values()}
    for name in [name for name, row in rows.items() if row.id in new_names]:
        del rows[name]
    # No two rows may have one name, not even between two statements.
    aside = [
        {"row": row_id, "series": by_id[row_id].series_id, "name": f"~{place}"}
        for place, row_id in enumerate(new_names)
    ]
    tx.run_many(_NAME_APPOINTMENT, aside)
    tx.run_many(
        _NAME_APPOINTMENT,
        [{"row": row_id, "series": name[0], "name": name[1]} for row_id, name in new_names.items()],
    )
    rows.update({name: by_id[row_id] for row_id, name in new_names.items()})


def _known_instants(tx: Transaction, rows: Collection[AppointmentRow]) -> dict[int, datetime | None]:
    """When the readers of these visits think that each is: as a notice that went says, else as it was entered."""
    said = {row.id: (row.known_wall, row.known_status) for row in rows}
    for one in tx.all(_TOLD_OF, {"ids": list(said)}):
        wall, _, status = one.tells.partition(" ")
        said[one.appointment_id] = (wall, status)
    return {
        row.id: to_instant(datetime.fromisoformat(said[row.id][0]), row.zone) if said[row.id][1] == "booked" else None
        for row in rows
    }


_TOLD_OF = (
    sa.select(text_items.c.appointment_id, text_items.c.tells)
    .join(texts, texts.c.id == text_items.c.text_id)
    .where(text_items.c.appointment_id.in_(sa.bindparam("ids", expanding=True)), text_items.c.tells.is_not(None))
    .where(texts.c.attempts > 0)
    .order_by(texts.c.id)
)

_KEPT = (
    appointments.c.id,
    appointments.c.series_id,
    appointments.c.recurrence_id,
    appointments.c.wall,
    appointments.c.zone,
    appointments.c.starts_at,
    appointments.c.status,
    appointments.c.agreed_wall,
    appointments.c.agreed_status,
    appointments.c.known_wall,
    appointments.c.known_status,
    appointments.c.entered_at,
)
_APPOINTMENTS_OF = PreparedSelect(AppointmentRow, sa.select(appointments).where(among(appointments.c.series_id)))
_ADD_APPOINTMENTS = PreparedInsert(*_KEPT, appointments.c.version, appointments.c.written_at)
_ONE_APPOINTMENT = appointments.update().where(appointments.c.id == sa.bindparam("row"))
_CHANGE_APPOINTMENT = _ONE_APPOINTMENT.values(
    version=appointments.c.version + 1,
    wall=sa.bindparam("wall"),
    zone=sa.bindparam("zone"),
    status=sa.bindparam("status"),
    agreed_wall=sa.bindparam("agreed_wall"),
    agreed_status=sa.bindparam("agreed_status"),
    starts_at=sa.bindparam("starts_at"),
    written_at=sa.bindparam("at"),
    known_wall=sa.bindparam("known_wall"),
    known_status=sa.bindparam("known_status"),
)
_DERIVE_APPOINTMENT = _ONE_APPOINTMENT.values(starts_at=sa.bindparam("starts_at"))
_AGREE_APPOINTMENT = _ONE_APPOINTMENT.values(
    agreed_wall=sa.bindparam("agreed_wall"), agreed_status=sa.bindparam("agreed_status")
)
_NAME_APPOINTMENT = _ONE_APPOINTMENT.values(
    version=appointments.c.version + 1, series_id=sa.bindparam("series"), recurrence_id=sa.bindparam("name")
)
_CALL_OFF_APPOINTMENT = _ONE_APPOINTMENT.values(
    version=appointments.c.version + 1,
    status="cancelled",
    agreed_status="cancelled",
    written_at=sa.bindparam("at"),
    known_wall=sa.bindparam("known_wall"),
    known_status=sa.bindparam("known_status"),
)


class AppointmentOfPatient(NamedTuple):
    """An appointment with the names its plan knows it by, and whose it is."""

    id: int
    series_id: int
    recurrence_id: str
    wall: str
    zone: str
    starts_at: datetime
    status: str
    agreed_wall: str
    agreed_status: str
    known_wall: str
    known_status: str
    entered_at: datetime
    attendance: str | None
    marked_at: datetime | None
    version: int
    written_at: datetime
    series_key: str
    kind: str
    how: str
    recipients: list[str]
    plan_id: int
    plan_ref: str
    plan_status: str
    discharged_on: date
    patient_id: int
    patient_ref: str


def _known(
    tx: Transaction,
    row: AppointmentRow | AppointmentOfPatient,
    becomes: Mapping[str, Any],
    starts_at: datetime,
    now: datetime,
) -> dict[str, Any]:
    """What its readers know of a visit once it is changed: what they knew, where the change is news
    (docs/design.md#notices).

    It is none while both times are more than seven days off, where they did not expect the visit, and where a visit
    that was entered just now is put right before any text spoke of it: then the next text says how it stands.
    """
    known_at = to_instant(datetime.fromisoformat(row.known_wall), row.zone)
    far = min(row.starts_at, starts_at, known_at) - now > NOTICE_WITHIN
    corrected = now - row.entered_at <= CORRECTED_WITHIN and not spoken_of(tx, [row.id])
    if row.known_status != "booked" or far or corrected:
        return {"known_wall": becomes["wall"], "known_status": becomes["status"]}
    return {"known_wall": row.known_wall, "known_status": row.known_status}


def spoken_of(tx: Transaction, appointment_ids: Collection[int], since: datetime | None = None) -> bool:
    """Whether a text about one of these visits has gone, or may have; `since` then, if it is given."""
    query = (
        sa.select(attempts.c.id)
        .join(text_items, text_items.c.text_id == attempts.c.text_id)
        .where(text_items.c.appointment_id.in_(appointment_ids))
    )
    if since is not None:
        query = query.where(attempts.c.started_at >= since)
    return tx.first(query.limit(1)) is not None


def spoken_of_ahead(tx: Transaction, series_id: int, now: datetime) -> bool:
    """Whether a text about a visit of a series that is still ahead has gone, or may have."""
    mine = appointments.c.series_id == series_id
    query = sa.select(appointments.c.id).where(mine, appointments.c.starts_at > now, appointments.c.status.in_(OPEN))
    return spoken_of(tx, [row.id for row in tx.all(query)])


def of_session(
    tx: Transaction, site_id: int, key: str, on: date, statuses: Collection[str] = OPEN, *, patient: int | None = None
) -> list[AppointmentOfPatient]:
    """The appointments of a session on a date of the place's wall clock that are still on, each with its patient.

    Of one `patient` where one is given.
    """
    query = _of_patients().join(sessions, sessions.c.id == series.c.session_id)
    query = query.where(sessions.c.site_id == site_id, sessions.c.key == key, plans.c.status != "ended")
    query = query.where(appointments.c.status.in_(statuses), _on() == on.isoformat())
    if patient is not None:
        query = query.where(plans.c.patient_id == patient)
    return tx.all_as(AppointmentOfPatient, query.order_by(appointments.c.id))


def _of_patients() -> sa.Select[Any]:
    """Appointments with the names their plan knows them by, and whose they are."""
    return (
        sa.select(
            appointments,
            series.c.key.label("series_key"),
            series.c.kind,
            series.c.how,
            series.c.recipients,
            plans.c.id.label("plan_id"),
            plans.c.ref.label("plan_ref"),
            plans.c.status.label("plan_status"),
            plans.c.discharged_on,
            plans.c.patient_id,
            patients.c.ref.label("patient_ref"),
        )
        .join_from(appointments, series, series.c.id == appointments.c.series_id)
        .join(plans, plans.c.id == series.c.plan_id)
        .join(patients, patients.c.id == plans.c.patient_id)
    )


def appointments_by_id(tx: Transaction, ids: Collection[int]) -> list[AppointmentOfPatient]:
    """These appointments, each with its patient and the names its plan knows it by."""
    return tx.all_as(AppointmentOfPatient, _of_patients().where(appointments.c.id.in_(ids)).order_by(appointments.c.id))


def plan_of_appointment(tx: Transaction, appointment_id: int) -> int | None:
    """The plan that an appointment belongs to."""
    query = sa.select(series.c.plan_id).join(appointments, appointments.c.series_id == series.c.id)
    found = tx.value(query.where(appointments.c.id == appointment_id))
    return int(found) if found is not None else None


def appointments_named(tx: Transaction, plan_id: int, series_key: str, on: date | None) -> list[AppointmentOfPatient]:
    """The appointments of one series of a plan that stand on that date, or that were first written down for it.

    Those that stand on it come first. A one-off is found without a date.
    """
    mine = (series.c.plan_id == plan_id, series.c.key == series_key)
    if on is None:
        return tx.all_as(AppointmentOfPatient, _of_patients().where(*mine, appointments.c.recurrence_id == "once"))
    there = _on() == on.isoformat()
    query = _of_patients().where(*mine, sa.or_(there, appointments.c.recurrence_id == on.isoformat()))
    return tx.all_as(AppointmentOfPatient, query.order_by(sa.case((there, 0), else_=1), appointments.c.id))


def marked_visits(tx: Transaction, patient_id: int, since: datetime) -> list[AppointmentOfPatient]:
    """The patient's visits since then of which someone said who came, oldest first."""
    query = _of_patients().where(plans.c.patient_id == patient_id, appointments.c.starts_at >= since)
    query = query.where(appointments.c.attendance.is_not(None))
    return tx.all_as(AppointmentOfPatient, query.order_by(appointments.c.starts_at, appointments.c.id))


def next_visits(tx: Transaction, patient_id: int, now: datetime, limit: int) -> list[AppointmentOfPatient]:
    """The patient's next visits that are on, of every current plan."""
    query = (
        _of_patients()
        .where(plans.c.patient_id == patient_id, plans.c.status != "ended", appointments.c.starts_at > now)
        .where(appointments.c.status.in_(OPEN))
    )
    return tx.all_as(AppointmentOfPatient, query.order_by(appointments.c.starts_at, appointments.c.id).limit(limit))


@dataclass(frozen=True, slots=True)
class SessionChange:
    """One change of a session as it befell one appointment: how that stood before and after, as put on record."""

    appointment_id: int
    at: datetime
    what: str
    before: str
    after: str


def session_changes(tx: Transaction, site_id: int, key: str, *, patient: int | None = None) -> list[SessionChange]:
    """Every change of a session that was made here, oldest first; of one `patient` where one is given.

    What belongs to an erased patient is left out.
    """
    query = (
        sa.select(audit)
        .join(appointments, appointments.c.id == audit.c.row_id)
        .join(series, series.c.id == appointments.c.series_id)
        .join(sessions, sessions.c.id == series.c.session_id)
        .where(sessions.c.site_id == site_id, sessions.c.key == key, audit.c["table"] == "appointments")
        .where(audit.c.what.in_((Action.SESSION_MOVED, Action.SESSION_CALLED_OFF, Action.SESSION_CHANGE_UNDONE)))
        .order_by(audit.c.at, audit.c.id)
    )
    if patient is not None:
        query = query.where(audit.c.patient_id == patient)
    found = []
    for row in tx.all_as(AuditRow, query):
        with suppress(LookupError, Unreadable):
            before, after = noted(tx, row)
            assert before is not None
            assert after is not None
            found.append(SessionChange(row.row_id, row.at, row.what, before, after))
    return found


def change_appointment(tx: Transaction, row: AppointmentOfPatient, now: datetime, **values: Any) -> None:
    """Write a change that was made here, not in the plan: its next version.

    With `known_wall` and `known_status` it says itself what the visit's readers know of it; else they know what they
    knew, where the change is news.
    """
    becomes = {"wall": row.wall, "status": row.status, **values}
    if "known_wall" not in values:
        values |= _known(tx, row, becomes, values.get("starts_at", row.starts_at), now)
    tx.run(
        appointments.update()
        .where(appointments.c.id == row.id)
        .values(version=appointments.c.version + 1, written_at=now, **values)
    )


def mark_attendance(
    tx: Transaction, appointment_id: int, now: datetime, *, attendance: str | None, status: str
) -> None:
    """Put on record whether someone came; None takes a mark back."""
    values = {"attendance": attendance, "status": status, "marked_at": now if attendance else None}
    tx.run(appointments.update().where(appointments.c.id == appointment_id).values(**values))


@dataclass(frozen=True, slots=True)
class Changed:
    """A visit that may stand otherwise than its readers know: what they knew when it was entered, and its names."""

    visit: Visit
    known_wall: datetime
    known_at: datetime
    known_status: str
    version: int
    written_at: datetime
    series: str
    recurrence_id: str
    recipients: tuple[str, ...]
    joined: Mapping[str, str]
    plan_id: int

    def is_new_to(self, recipient: str) -> bool:
        """Whether this recipient was named in its series with its last change, or later."""
        joined = self.joined.get(recipient)
        return joined is not None and datetime.fromisoformat(joined) >= self.written_at


def perhaps_changed(tx: Transaction, patient_id: int, closures: Collection[date], now: datetime) -> list[Changed]:
    """The patient's visits that were changed, that a notice speaks of, or on whose day the site is closed."""
    on = sorted(day.isoformat() for day in closures)
    values = {"patient": patient_id, "since": now - timedelta(days=8), "closed": on}
    found = []
    for row in tx.all_as(ChangedVisitRow, _PERHAPS_CHANGED, values):
        known_wall = datetime.fromisoformat(row.known_wall)
        found.append(
            Changed(
                visit=visit_of(row, first=False),
                known_wall=known_wall,
                known_at=to_instant(known_wall, row.zone),
                known_status=row.known_status,
                version=row.version,
                written_at=row.written_at,
                series=row.series_key,
                recurrence_id=row.recurrence_id,
                recipients=row.recipients,
                joined=row.joined or {},
                plan_id=row.plan_id,
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A visit with the row ids and staff-only facts the store needs beside it."""

    visit: Visit
    plan_id: int
    recipients: tuple[str, ...]
    series: str
    recurrence_id: str


def visit_rows(*more: sa.Column[Any]) -> sa.Select[Any]:
    """Appointments with what the planner needs of their series and plan, for `visit_of`."""
    return (
        sa.select(
            appointments.c.id,
            appointments.c.wall,
            appointments.c.zone,
            appointments.c.starts_at,
            appointments.c.status,
            appointments.c.recurrence_id,
            series.c.key.label("series_key"),
            series.c.kind,
            series.c.how,
            series.c.repeats,
            words(series.c.leads),
            words(series.c.recipients),
            plans.c.id.label("plan_id"),
            plans.c.status.label("plan_status"),
            *more,
        )
        .join_from(appointments, series, series.c.id == appointments.c.series_id)
        .join(plans, plans.c.id == series.c.plan_id)
    )


def visit_of(row: VisitRow | ChangedVisitRow | TextVisitRow, *, first: bool) -> Visit:
    """A row of `visit_rows` as the planner sees it."""
    return Visit(
        id=row.id,
        kind=Kind(row.kind),
        wall=datetime.fromisoformat(row.wall),
        zone=row.zone,
        starts_at=row.starts_at,
        status=row.status,
        repeats=row.repeats is not None,
        first=first,
        leads=tuple(map(Lead.parse, row.leads)) if row.leads is not None else None,
        plan_status=row.plan_status,
        mode=Mode(row.how),
    )


_OF_NOTICE = (
    sa.select(text_items.c.appointment_id)
    .join(texts, texts.c.id == text_items.c.text_id)
    .where(texts.c["class"] == "notice", text_items.c.appointment_id == appointments.c.id)
)
_PERHAPS_CHANGED = (
    visit_rows(
        appointments.c.known_wall,
        appointments.c.known_status,
        appointments.c.version,
        appointments.c.written_at,
        series.c.joined,
    )
    .where(plans.c.patient_id == sa.bindparam("patient"), plans.c.status == "active")
    .where(appointments.c.status.in_((*OPEN, "cancelled")), appointments.c.starts_at > sa.bindparam("since"))
    .where(
        sa.or_(
            appointments.c.wall != appointments.c.known_wall,
            appointments.c.status != appointments.c.known_status,
            _on().in_(sa.bindparam("closed", expanding=True)),
            _OF_NOTICE.exists(),
        )
    )
)


def visits_between(tx: Transaction, patient_id: int, since: datetime, until: datetime) -> list[Scheduled]:
    """The patient's visits from `since` to `until`, of every current plan.

    One that had begun already when it was written down was never to be reminded of.
    """
    first_at = {row.id: row.first for row in tx.rows(_FIRST_OF_PLANS, {"patient": patient_id})}
    return [
        Scheduled(
            visit=visit_of(row, first=row.kind in _CLINICAL and row.starts_at == first_at.get(row.plan_id)),
            plan_id=row.plan_id,
            recipients=row.recipients,
            series=row.series_key,
            recurrence_id=row.recurrence_id,
        )
        for row in tx.rows(_VISITS_BETWEEN, {"patient": patient_id, "since": since, "until": until})
    ]


_CLINICAL = [kind.value for kind in Kind if kind.is_clinical]


class _FirstOfPlan(NamedTuple):
    id: int
    first: datetime


_FIRST_OF_PLANS = PreparedSelect(
    _FirstOfPlan,
    sa.select(plans.c.id, sa.func.min(appointments.c.starts_at, type_=appointments.c.starts_at.type).label("first"))
    .join(series, series.c.plan_id == plans.c.id)
    .join(appointments, appointments.c.series_id == series.c.id)
    .where(plans.c.patient_id == sa.bindparam("patient"), plans.c.status != "ended")
    .where(appointments.c.status != "cancelled", is_one_of(series.c.kind, _CLINICAL))
    .group_by(plans.c.id),
)
_VISITS_BETWEEN = PreparedSelect(
    VisitRow,
    visit_rows()
    .where(plans.c.patient_id == sa.bindparam("patient"), plans.c.status != "ended")
    .where(appointments.c.starts_at >= sa.bindparam("since"), appointments.c.starts_at < sa.bindparam("until"))
    .where(appointments.c.starts_at > appointments.c.written_at)
    .where(is_one_of(appointments.c.status, OPEN))
    .order_by(appointments.c.starts_at, appointments.c.id),
)


@dataclass(frozen=True, slots=True)
class NamedVisit:
    """A visit with the names its plan knows it by."""

    visit: Visit
    series: str
    recurrence_id: str


def visits_by_id(tx: Transaction, ids: Collection[int]) -> dict[int, NamedVisit]:
    """These visits, by row id."""
    return {
        row.id: NamedVisit(visit_of(row, first=False), row.series_key, row.recurrence_id)
        for row in tx.all_as(VisitRow, visit_rows().where(appointments.c.id.in_(ids)))
    }


class SeriesOfPlan(NamedTuple):
    """A series with the key of the session that it shares with other patients' plans."""

    id: int
    plan_id: int
    key: str
    kind: str
    starts: str
    zone: str
    repeats: str | None
    minutes: int | None
    how: str
    place_sealed: bytes | None
    with_sealed: bytes | None
    session_id: int | None
    recipients: list[str]
    joined: dict[str, str] | None
    leads: list[str] | None
    status: str
    session: str | None


def series_of(tx: Transaction, plan_id: int) -> list[SeriesOfPlan]:
    """The series of a plan in the order in which they begin, with the key of the session that each shares."""
    query = sa.select(series, sessions.c.key.label("session")).outerjoin(sessions, sessions.c.id == series.c.session_id)
    return tx.all_as(SeriesOfPlan, query.where(series.c.plan_id == plan_id).order_by(series.c.starts, series.c.id))


def appointments_at(tx: Transaction, sites: Collection[int], appointment_ids: Collection[int]) -> list[int]:
    """Of these appointments those that belong to these sites."""
    query = (
        sa.select(schema.appointments.c.id)
        .join(schema.series, schema.series.c.id == schema.appointments.c.series_id)
        .join(schema.plans, schema.plans.c.id == schema.series.c.plan_id)
        .where(schema.appointments.c.id.in_(appointment_ids), schema.plans.c.site_id.in_(sites))
    )
    return [row.id for row in tx.all(query)]
