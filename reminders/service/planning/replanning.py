"""Planning again: making a patient's texts what their visits, consents and numbers ask for now.

Level-triggered: run late, twice or after a crash it gives the same rows. Reminders come from the planner; beside them
stand the welcome, once for each reader and number, and notices of what a reader does not know yet.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from reminders import planner, plans, store
from reminders.app_context import AppContext
from reminders.lifecycle import PLANNED, SAID_ONCE
from reminders.planner import Gone, Policy, Reason, Standing
from reminders.plans import Lead
from reminders.service import tasks
from reminders.store.planning.plans import Changed, Scheduled
from reminders.store.planning.texts import Addressee, Changes, NoticeOfVisit, Said, Window
from reminders.store.records import ConsentRow, NumberRow, RecipientRow, SiteRow

GONE_COUNTS = timedelta(days=14)  # a rolling week on either side of today
WELCOME_OPEN = timedelta(days=3)


def policy_of(context: AppContext, closures: frozenset[date] = frozenset()) -> Policy:
    """The rules of sending, with the dates on which a site is closed."""
    sending = context.settings.sending
    return Policy(
        leads=tuple(map(Lead.parse, sending.leads)),
        series_leads=tuple(map(Lead.parse, sending.series_leads)),
        per_day=sending.per_day,
        per_week=sending.per_week,
        closures=closures,
        verify=sending.welcome,  # who is not asked for a Y cannot be waited for
    )


def replan(context: AppContext, tx: store.Transaction, patient_ids: Iterable[int], now: datetime) -> Changes:
    """Make the reminders of these patients what their visits, consents and numbers ask for now.

    Planned number by number, since caps belong to numbers: who shares one with them is planned along with them.
    """
    wanted = store.people.numbers_of(tx, set(patient_ids))
    numbers = store.people.lock_numbers(tx, wanted)
    recipients = store.people.recipients_on(tx, wanted)
    consents = store.people.consents_in_force(tx, [recipient.id for recipient in recipients])
    gone = store.texts.gone(tx, wanted, now - GONE_COUNTS)
    elsewhere = store.texts.gone_elsewhere(tx, [recipient.id for recipient in recipients], now - GONE_COUNTS)
    sites = {patient: store.people.site_of_patient(tx, patient) for patient in {one.patient_id for one in recipients}}
    ahead = {patient: _visits_ahead(context, tx, patient, site, now) for patient, site in sites.items()}
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
                to=_addressee(context, tx, recipient, sites[recipient.patient_id]),
                visits=[one for one in ahead[recipient.patient_id] if recipient.key in one.recipients],
                changed=[one for one in changed[recipient.patient_id] if recipient.key in one.recipients],
            )
            for recipient in recipients
            if recipient.number_id == number_id
        ]
        readers = {party.reader.id for party in parties}
        went = [one for one in elsewhere if one.reader in readers] + [one for _, one in gone.get(number_id, ())]
        changes += _replan_number(context, tx, parties, went, now)
    return changes


@dataclass(frozen=True, slots=True)
class _Party:
    """A reader on a number, with the visits that name them."""

    recipient: RecipientRow
    site: SiteRow
    reader: planner.Reader
    to: Addressee
    visits: Sequence[Scheduled]
    changed: Sequence[Changed]


def _replan_number(
    context: AppContext, tx: store.Transaction, parties: Sequence[_Party], gone: Sequence[Gone], now: datetime
) -> Changes:
    closures = {day for party in parties for day in party.site.closures}
    policy = policy_of(context, frozenset(map(date.fromisoformat, closures)))
    changes = Changes()
    for party in parties:
        if context.settings.sending.welcome:
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


def _addressee(context: AppContext, tx: store.Transaction, recipient: RecipientRow, site: SiteRow) -> Addressee:
    sender_id = store.people.sender_of(tx, site.id, context.settings.twilio.sender)
    return Addressee(recipient.id, site.id, sender_id, recipient.number_id)


def _welcome(tx: store.Transaction, party: _Party, policy: Policy, now: datetime) -> Changes:
    """One welcome for each reader and number, once a plan is running (L-32, S-23)."""
    to, reader = party.to, party.reader
    running = [plan for plan in store.plans.current_plans(tx, party.recipient.patient_id) if plan.status == "active"]
    before = store.texts.unplanned_of(tx, party.recipient.id, "welcome")
    open_ones = [row for row in before if row.attempts == 0 and row.state in PLANNED]
    if not running:
        return Changes(retracted=store.texts.take_back(tx, open_ones))
    changes = Changes(retracted=store.texts.take_back(tx, [row for row in open_ones if row.number_id != to.number_id]))
    here = next((row for row in before if row.number_id == to.number_id), None)
    if here is not None and (here.attempts or here.state in SAID_ONCE):
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
    """Make a reader's notices what they do not know yet, as their visits stand now (docs/design.md#notices).

    One text for each kind of change. What was moved back before its notice went was never news; a notice that went is
    what the reader knows since.
    """
    changes = Changes()
    if not party.changed:
        return changes
    before = store.texts.notices_of(tx, party.recipient.id, [one.visit.id for one in party.changed])
    news: list[planner.News] = []
    told_by_phone: set[int] = set()
    standing = planner.standing(party.reader, [one.visit for one in party.visits], policy)
    names: dict[int, Changed] = {}
    for one in party.changed:
        names[one.visit.id] = one
        rows = [row for row in before.get(one.visit.id, ()) if row.tells is not None]
        told = next((row for row in reversed(rows) if row.attempts), None)
        knows = Standing(one.known_wall, one.known_at, one.known_status)
        # They came with this change or after it, or were named in the series then.
        if party.recipient.entered_at >= one.written_at or one.is_new_to(party.recipient.key):
            knows = Standing(one.visit.wall, one.visit.starts_at, one.visit.status)
        if told is not None and told.tells is not None:
            wall, _, status = told.tells.partition(" ")
            at = datetime.fromisoformat(wall)
            knows = Standing(at, plans.to_instant(at, one.visit.zone), status)
        wanted = planner.notice(party.reader, one.visit, knows, policy, now, told=told is not None)
        if wanted is not None and not (
            _is_wanted(party.reader, wanted) and planner.is_news(one.visit, wanted, standing)
        ):
            wanted = None
        if wanted is None:
            if rows and not any(row.state == "expired" for row in rows):
                told_by_phone.add(one.visit.id)
        elif not any(_is_phoned(row) and row.tells == wanted.tells for row in rows):
            news.append(planner.News(one.visit, knows.wall, wanted))
    pending = {
        row.id: row
        for rows in before.values()
        for row in rows
        if row.attempts == 0
        and row.tells is not None
        and row.wording != "added"
        and row.state in PLANNED
        and row.closes_at > now  # else it expires, and a person is told
        and not _is_phoned(row)
    }
    open_visits = {visit for visit, rows in before.items() for row in rows if row.id in pending}
    groups = {}
    for group in planner.merged(news):
        first = group[0].visit.id
        rows = [row for row in before.get(first, ()) if row.tells is not None]
        groups[_notice_key(names[first], rows, group[0].notice)] = group
    changes.retracted += store.texts.take_back(tx, [row for row in pending.values() if row.key not in groups])
    for visit_id in told_by_phone & (open_visits | {one for one in told_by_phone if _was_phoned(before[one])}):
        tasks.nothing_to_tell(tx, party.recipient.id, visit_id, now)
    all_rows = {row.key: row for rows in before.values() for row in rows if row.attempts == 0}
    said = {
        row.key: {visit: (one.tells, one.was) for visit, rows in before.items() for one in rows if one.key == row.key}
        for row in all_rows.values()
    }
    for key, group in groups.items():
        changes += _tell(tx, party, key, group, names, here=all_rows.get(key), said=said.get(key, {}), now=now)
    return changes


def _is_phoned(row: NoticeOfVisit) -> bool:
    """Whether a notice would have said what another text said that day, so that someone phones instead."""
    return bool(row.state == "suppressed" and row.reason == Reason.MERGED_INTO.value)


def _was_phoned(rows: Sequence[NoticeOfVisit]) -> bool:
    return any(_is_phoned(row) for row in rows)


def _tell(
    tx: store.Transaction,
    party: _Party,
    key: str,
    group: Sequence[planner.News],
    names: Mapping[int, Changed],
    *,
    here: NoticeOfVisit | None,
    said: Mapping[int, tuple[str | None, str | None]],
    now: datetime,
) -> Changes:
    """Lay down the notice that tells this news, or make the one that is there (`here`, which says `said`) tell it."""
    changes = Changes()
    to, window_of = party.to, planner.window_of(group)
    reason = group[0].notice.reason
    window = Window(window_of.opens_at, window_of.closes_at, window_of.goes_at or window_of.opens_at)
    about = {one.visit.id: Said(one.notice.tells, one.was.isoformat(timespec="seconds")) for one in group}
    same = said == {visit: (one.tells, one.was) for visit, one in about.items()}
    if here is None:
        for name in (key, *(f"{key}.{count}" for count in range(2, 100))):  # another plan may name a visit the same
            made = store.texts.add(
                tx,
                to,
                class_="notice",
                key=name,
                now=now,
                reason=reason.value if reason else None,
                about=about,
                plan_id=names[group[0].visit.id].plan_id,
                wording=group[0].notice.wording,
                window=window,
            )
            if made is not None:
                break
        changes.added += reason is None
    else:
        if not same:
            store.texts.set_items(tx, here.id, about)
        if reason is not None:
            changes.retracted += store.texts.set_aside(tx, here.id, reason.value)
        elif here.number_id != to.number_id:  # they have another phone since
            changes.retracted += store.texts.take_back(tx, [here])
            changes.added += store.texts.revive(tx, here.id, to, window)
        elif here.state != "scheduled":
            changes.added += store.texts.revive(tx, here.id, to, window)
        elif not same:
            store.texts.set_window(tx, here.id, window)
    if reason is not None:
        for one in group:
            tasks.tell_of_change(
                tx,
                site=party.site,
                patient_id=party.recipient.patient_id,
                recipient_id=party.recipient.id,
                number_id=to.number_id,
                visit_id=one.visit.id,
                until=one.notice.closes_at,
                now=now,
            )
    return changes


def _is_wanted(reader: planner.Reader, wanted: planner.Notice) -> bool:
    """Whether anyone expects to hear of it: what was never agreed to be texted about is not phoned about either."""
    if wanted.reason is Reason.CATEGORY_OFF:
        return False
    return reader.role == "self" or wanted.reason is not Reason.NO_CONSENT


def _notice_key(one: Changed, rows: Sequence[NoticeOfVisit], wanted: planner.Notice | None) -> str:
    """`notice:<series>@<recurrence id>:v3`; a closure changes no version, so it is counted instead."""
    name = f"notice:{one.series}@{one.recurrence_id}"
    if wanted is None or wanted.wording != "closed":
        return f"{name}:v{one.version}" if wanted is None or wanted.wording != "moved" else _moved_key(name, one, rows)
    shut = sum(1 for row in rows if row.wording == "closed" and row.attempts)
    return f"{name}:closed{shut + 1}"


def _moved_key(name: str, one: Changed, rows: Sequence[NoticeOfVisit]) -> str:
    """A visit whose site opens again after all stands in the same version as before."""
    told = sum(
        1 for row in rows if row.wording == "moved" and row.attempts and row.key.startswith(f"{name}:v{one.version}")
    )
    return f"{name}:v{one.version}" + (f".{told + 1}" if told else "")


def _tell_of_added(
    tx: store.Transaction, party: _Party, untold: Sequence[planner.Visit], policy: Policy, now: datetime
) -> int:
    """One notice of the visits that were added to days whose text has gone (docs/design.md#natural-keys), if none to
    come speaks of them.

    Those that an earlier notice of this kind is still to tell, and that still stand so, are told with the new ones.
    """
    if not untold:
        return 0
    names = {one.visit.id: one for one in party.visits}
    told = store.texts.notices_of(tx, party.recipient.id, [visit.id for visit in untold])
    waiting: dict[int, NoticeOfVisit] = {}
    news: list[planner.News] = []
    fresh = False
    for visit in untold:
        added = planner.added(party.reader, visit, policy, now)
        rows = told.get(visit.id, ())
        standing = [row for row in rows if added is not None and row.tells == added.tells and row.state != "cancelled"]
        mine = [row for row in rows if row.wording == "added" and row.attempts == 0 and row.state == "scheduled"]
        waiting |= {row.id: row for row in mine}
        if added is None or any(row not in mine for row in standing):
            continue
        fresh = fresh or not standing
        news.append(planner.News(visit, visit.wall, added))
    if not fresh:
        return 0
    (group,) = planner.merged(news)
    store.texts.take_back(tx, list(waiting.values()))
    first = planner.window_of(group)
    window = Window(first.opens_at, first.closes_at, first.opens_at)
    about = {one.visit.id: Said(one.notice.tells) for one in group}
    here = names[group[0].visit.id]
    back = next((row for row in told.get(here.visit.id, ()) if row.wording == "added" and row.attempts == 0), None)
    if back is not None:  # taken back, or the visit was changed before it went
        store.texts.set_items(tx, back.id, about)
        return int(store.texts.revive(tx, back.id, party.to, window)) - (len(waiting) > 0)
    for count in range(1, 100):
        made = store.texts.add(
            tx,
            party.to,
            class_="notice",
            key=f"notice:{here.series}@{here.recurrence_id}:added" + (f".{count}" if count > 1 else ""),
            now=now,
            window=window,
            about=about,
            plan_id=here.plan_id,
            wording="added",
        )
        if made is not None:
            break
    return 1 - (len(waiting) > 0)


def reader_now(tx: store.Transaction, recipient: RecipientRow, site: SiteRow, now: datetime) -> planner.Reader:
    """A recipient as the planner sees them now; the caller holds their number's lock."""
    number = store.people.lock_numbers(tx, [recipient.number_id])[recipient.number_id]
    consent = store.people.consents_in_force(tx, [recipient.id]).get(recipient.id)
    return _reader(recipient, site, number, consent, now)


def _visits_ahead(
    context: AppContext, tx: store.Transaction, patient_id: int, site: SiteRow, now: datetime
) -> list[Scheduled]:
    last = plans.to_wall(now, site.zone).date() + timedelta(days=context.settings.sending.horizon_days + 61)
    until = plans.to_instant(datetime.combine(last, time(0)), site.zone)
    return store.plans.visits_between(tx, patient_id, now - timedelta(days=2), until)


def _reader(
    recipient: RecipientRow, site: SiteRow, number: NumberRow, consent: ConsentRow | None, now: datetime
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
