"""Planning anew: making a patient's texts what their visits, consents and numbers ask for now.

Level-triggered: run late, twice or after a crash it gives the same rows. Reminders come from the planner; beside them
stand the welcome, once for each reader and number, and notices of what a reader does not know yet.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from reminders import planner, plans, store
from reminders.planner import Gone, Policy, Reason, Standing
from reminders.plans import Lead
from reminders.service import tasks
from reminders.service.house import House
from reminders.store import Row
from reminders.store.plans import Changed, Scheduled
from reminders.store.texts import Addressee, Changes, Window

GONE_COUNTS = timedelta(days=14)  # a rolling week on either side of today
WELCOME_OPEN = timedelta(days=3)


def policy_of(house: House, closures: frozenset[date] = frozenset()) -> Policy:
    """The house rules of sending, with the dates on which a site is closed."""
    sending = house.settings.sending
    return Policy(
        leads=tuple(map(Lead.parse, sending.leads)),
        series_leads=tuple(map(Lead.parse, sending.series_leads)),
        per_day=sending.per_day,
        per_week=sending.per_week,
        closures=closures,
        verify=sending.welcome,  # who is not asked for a Y cannot be waited for
    )


def replan(house: House, tx: store.Transaction, patient_ids: Iterable[int], now: datetime) -> Changes:
    """Make the reminders of these patients what their visits, consents and numbers ask for now.

    Planned number by number, since caps belong to numbers: who shares one with them is planned along with them.
    """
    wanted = store.people.numbers_of(tx, set(patient_ids))
    numbers = store.people.lock_numbers(tx, wanted)
    recipients = store.people.recipients_on(tx, wanted)
    consents = store.people.consents_in_force(tx, [recipient.id for recipient in recipients])
    gone = store.texts.gone(tx, wanted, now - GONE_COUNTS)
    sites = {patient: store.people.site_of_patient(tx, patient) for patient in {one.patient_id for one in recipients}}
    ahead = {patient: _visits_ahead(house, tx, patient, site, now) for patient, site in sites.items()}
    changed = {
        patient: store.plans.perhaps_changed(tx, patient, [date.fromisoformat(day) for day in site.closures], now)
        for patient, site in sites.items()
    }
    changes = Changes()
    for number_id, number in numbers.items():
        parties = [
            _Party(
                recipient=recipient,
                site=sites[recipient.patient_id],
                reader=_reader(recipient, sites[recipient.patient_id], number, consents.get(recipient.id), now),
                to=_addressee(house, tx, recipient, sites[recipient.patient_id]),
                visits=[one for one in ahead[recipient.patient_id] if recipient.key in one.recipients],
                changed=[one for one in changed[recipient.patient_id] if recipient.key in one.recipients],
            )
            for recipient in recipients
            if recipient.number_id == number_id
        ]
        changes += _replan_number(house, tx, parties, [one for _, one in gone.get(number_id, ())], now)
    return changes


@dataclass(frozen=True, slots=True)
class _Party:
    """A reader on a number, with the visits that name them."""

    recipient: Row[Any]
    site: Row[Any]
    reader: planner.Reader
    to: Addressee
    visits: Sequence[Scheduled]
    changed: Sequence[Changed]


def _replan_number(
    house: House, tx: store.Transaction, parties: Sequence[_Party], gone: Sequence[Gone], now: datetime
) -> Changes:
    closures = {day for party in parties for day in party.site.closures}
    policy = policy_of(house, frozenset(map(date.fromisoformat, closures)))
    changes = Changes()
    for party in parties:
        if house.settings.sending.welcome:
            changes += _welcome(tx, party, policy, now)
        changes += _notices(tx, party, policy, now)
    told = store.texts.told(tx, [party.recipient.id for party in parties], now - timedelta(days=2))
    visits = [(party.reader, [scheduled.visit for scheduled in party.visits]) for party in parties]
    candidates = planner.plan(visits, policy, now, gone, told)
    for party in parties:
        mine = [candidate for candidate in candidates if candidate.reader == party.reader.id]
        changes += store.texts.reconcile(
            tx,
            party.to,
            mine,
            {one.visit.id: one.plan_id for one in party.visits},
            since=plans.to_wall(now, party.site.zone).date() - timedelta(days=2),
            now=now,
        )
        changes.added += _tell_of_added(tx, party, planner.untold(mine, gone), policy, now)
    return changes


def _addressee(house: House, tx: store.Transaction, recipient: Row[Any], site: Row[Any]) -> Addressee:
    sender_id = store.people.sender_of(tx, site.id, house.settings.twilio.sender)
    return Addressee(recipient.id, site.id, sender_id, recipient.number_id)


def _welcome(tx: store.Transaction, party: _Party, policy: Policy, now: datetime) -> Changes:
    """One welcome for each reader and number, once a plan is running (L-32, S-23)."""
    to, reader = party.to, party.reader
    running = [plan for plan in store.plans.current_plans(tx, party.recipient.patient_id) if plan.status == "active"]
    before = store.texts.unplanned_of(tx, party.recipient.id, "welcome")
    open_ones = [row for row in before if row.attempts == 0 and row.state in {"scheduled", "suppressed"}]
    if not running:
        return Changes(retracted=store.texts.take_back(tx, open_ones))
    changes = Changes(retracted=store.texts.take_back(tx, [row for row in open_ones if row.number_id != to.number_id]))
    here = next((row for row in before if row.number_id == to.number_id), None)
    if here is not None and (here.attempts or here.state in {"scheduled", "delivered", "expired"}):
        return changes
    reason = planner.may_be_texted(reader, policy, dated=False)
    goes_at = planner.next_allowed(reader, now)
    window = Window(now, goes_at + WELCOME_OPEN, goes_at)
    if here is not None:
        changes.added += reason is None and store.texts.revive(tx, here.id, to, window)
        return changes
    key = f"welcome:{running[0].ref}" + (f":{to.number_id}" if before else "")
    store.texts.add(
        tx,
        to,
        class_="welcome",
        key=key,
        now=now,
        reason=reason.value if reason else None,
        plan_id=running[0].id,
        wording="welcome",
        window=window,
    )
    changes.added += reason is None
    return changes


def _notices(tx: store.Transaction, party: _Party, policy: Policy, now: datetime) -> Changes:
    """Make a reader's notices what they do not know yet, as their visits stand now (DESIGN §8).

    What was moved back before its notice went was never news; a notice that went is what the reader knows since.
    """
    changes = Changes()
    if not party.changed:
        return changes
    to, reader = party.to, party.reader
    standing = store.texts.notices_of(tx, party.recipient.id, [one.visit.id for one in party.changed])
    for one in party.changed:
        rows = [row for row in standing.get(one.visit.id, ()) if row.tells is not None]
        told = next((row for row in reversed(rows) if row.attempts), None)
        knows = Standing(one.known_wall, one.known_at, one.known_status)
        if told is not None:
            wall, _, status = told.tells.partition(" ")
            at = datetime.fromisoformat(wall)
            knows = Standing(at, plans.to_instant(at, one.visit.zone), status)
        wanted = planner.notice(reader, one.visit, knows, policy, now, told=told is not None)
        pending = [
            row
            for row in rows
            if row.attempts == 0 and row.state in {"scheduled", "suppressed"} and row.wording != "added"
        ]
        if wanted is not None and not _is_wanted(reader, wanted):
            wanted = None
        key = _notice_key(one, rows, wanted)
        changes.retracted += store.texts.take_back(tx, [row for row in pending if wanted is None or row.key != key])
        if wanted is None:
            if pending:
                tasks.nothing_to_tell(tx, party.recipient.id, one.visit.id, now)
            continue
        here = next((row for row in rows if row.key == key), None)
        due_at = wanted.goes_at or wanted.opens_at
        window = Window(wanted.opens_at, wanted.closes_at, due_at)
        if here is None:
            store.texts.add(
                tx,
                to,
                class_="notice",
                key=key,
                now=now,
                reason=wanted.reason.value if wanted.reason else None,
                about=[one.visit.id],
                plan_id=one.plan_id,
                wording=wanted.wording,
                tells=wanted.tells,
                was=knows.wall.isoformat(timespec="seconds"),
                window=window,
            )
            changes.added += wanted.reason is None
        elif wanted.reason is not None:
            changes.retracted += store.texts.set_aside(tx, here.id, wanted.reason.value)
        elif here.number_id != to.number_id and here.attempts == 0:  # they have another phone since
            changes.retracted += store.texts.take_back(tx, [here])
            changes.added += store.texts.revive(tx, here.id, to, window)
        elif here.state != "scheduled":
            changes.added += store.texts.revive(tx, here.id, to, window)
        if wanted.reason is not None:
            tasks.tell_of_change(
                tx,
                site=party.site,
                patient_id=party.recipient.patient_id,
                recipient_id=party.recipient.id,
                number_id=to.number_id,
                visit_id=one.visit.id,
                due_at=wanted.closes_at,
                now=now,
            )
    return changes


def _is_wanted(reader: planner.Reader, wanted: planner.Notice) -> bool:
    """Whether anybody expects to hear of it: what was never agreed to be texted about is not phoned about either."""
    if wanted.reason is Reason.CATEGORY_OFF:
        return False
    return reader.role == "self" or wanted.reason is not Reason.NO_CONSENT


def _notice_key(one: Changed, rows: Sequence[Row[Any]], wanted: planner.Notice | None) -> str:
    """`notice:<series>@<recurrence id>:v3`; a closure changes no version, so it is counted instead."""
    name = f"notice:{one.series}@{one.recurrence_id}"
    if wanted is None or wanted.wording != "closed":
        return f"{name}:v{one.version}" if wanted is None or wanted.wording != "moved" else _moved_key(name, one, rows)
    shut = sum(1 for row in rows if row.wording == "closed" and row.attempts)
    return f"{name}:closed{shut + 1}"


def _moved_key(name: str, one: Changed, rows: Sequence[Row[Any]]) -> str:
    """A visit whose site opens again after all stands in the same version as before."""
    told = sum(
        1 for row in rows if row.wording == "moved" and row.attempts and row.key.startswith(f"{name}:v{one.version}")
    )
    return f"{name}:v{one.version}" + (f".{told + 1}" if told else "")


def _tell_of_added(
    tx: store.Transaction, party: _Party, untold: Sequence[planner.Visit], policy: Policy, now: datetime
) -> int:
    """A notice of each visit that was added to a day whose text has gone (DESIGN §7), if none to come speaks of it."""
    if not untold:
        return 0
    made = 0
    names = {one.visit.id: one for one in party.visits}
    told = store.texts.notices_of(tx, party.recipient.id, [visit.id for visit in untold])
    for visit in untold:
        here = names[visit.id]
        added = planner.added(party.reader, visit, policy, now)
        if added is None or any(
            row.tells == added.tells and row.state != "cancelled" for row in told.get(visit.id, ())
        ):
            continue
        window = Window(added.opens_at, added.closes_at, added.opens_at)
        before = [row for row in told.get(visit.id, ()) if row.wording == "added"]
        if before:  # taken back, or the visit was changed before it went
            store.texts.take_back(tx, before)
            made += store.texts.revive(tx, before[0].id, party.to, window, tells=added.tells)
            continue
        fresh = store.texts.add(
            tx,
            party.to,
            class_="notice",
            key=f"notice:{here.series}@{here.recurrence_id}:added",
            now=now,
            window=window,
            about=[visit.id],
            plan_id=here.plan_id,
            wording="added",
            tells=added.tells,
        )
        made += fresh is not None
    return made


def reader_now(tx: store.Transaction, recipient: Row[Any], site: Row[Any], now: datetime) -> planner.Reader:
    """A recipient as the planner sees them now; the caller holds their number's lock."""
    number = store.people.lock_numbers(tx, [recipient.number_id])[recipient.number_id]
    consent = store.people.consents_in_force(tx, [recipient.id]).get(recipient.id)
    return _reader(recipient, site, number, consent, now)


def _visits_ahead(
    house: House, tx: store.Transaction, patient_id: int, site: Row[Any], now: datetime
) -> list[Scheduled]:
    last = plans.to_wall(now, site.zone).date() + timedelta(days=house.settings.sending.horizon_days + 61)
    until = plans.to_instant(datetime.combine(last, time(0)), site.zone)
    return store.plans.visits_between(tx, patient_id, now - timedelta(days=2), until)


def _reader(
    recipient: Row[Any], site: Row[Any], number: Row[Any], consent: Row[Any] | None, now: datetime
) -> planner.Reader:
    return store.texts.reader_of(
        recipient_id=recipient.id,
        role=recipient.role,
        zone=recipient.zone,
        guessed_zones=recipient.guessed_zones,
        digest=recipient.weekly_digest,
        texting=(recipient.texting_from, recipient.texting_to),
        site_quiet=(site.quiet_from, site.quiet_to),
        number_id=recipient.number_id,
        number=number,
        consent=consent,
        today=plans.to_wall(now, site.zone).date(),
    )
