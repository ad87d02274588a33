"""The record of one patient, to be handed out on their request (45 CFR 164.524): one document, as JSON and as a page.

It says everything that pages show of them, and nothing of anyone else. What could be another person's is left out and
named as left out: the number of a supporter, and what was written from a phone on which other patients are texted too.
"""

import html
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from reminders.audit_actions import Action
from reminders.queries import explanations, history, people, readings, texts, visits
from reminders.queries.exports import PART_2_NOTICE
from reminders.store import Database
from reminders.store.database.engine import Transaction
from reminders.store.database.schema import (
    appointments,
    audit,
    confirmations,
    consents,
    numbers,
    patients,
    plans,
    recipients,
    replies,
    senders,
    series,
    sessions,
    sites,
    task_events,
    tasks,
)
from reminders.store.database.schema import texts as text_rows
from reminders.store.database.sealing import Place
from reminders.store.people import open_birth, shown_name
from reminders.store.planning.plans import why_ended
from reminders.store.records import RecipientRow
from reminders.store.replies import mark_of, reading_of
from reminders.store.tasks import by_number, story
from reminders.task_kinds import KINDS
from reminders.wording import staff_words

FORMAT = "aftercare-reminders/patient-record/1"
WITHHELD = "not shown: it is not certain who wrote this"
"""No word of whom else it may be from: that someone else is texted there is theirs."""
_MANY = 1_000_000
_AT_ONCE = 5_000  # ids in one statement; both databases have a limit


def find(tx: Transaction, site_ids: Collection[int], ref: str) -> int | None:
    """The row of the patient with that reference at these sites; None where there is none, or they were erased."""
    query = sa.select(patients.c.id).where(patients.c.site_id.in_(site_ids), patients.c.ref == ref)
    return tx.value(query.order_by(patients.c.id).limit(1))  # type: ignore[no-any-return]  # as SQLAlchemy types it


def take_out(
    database: Database,
    site_ids: Collection[int],
    patient_id: int,
    now: datetime,
    *,
    who: str,
    stands: Mapping[str, str | None],
) -> dict[str, Any] | None:
    """The record of a patient at these sites; None where there is none. That it was taken out is in the audit first.

    `stands` says for each reader, by key, why nothing goes to them (None: texts go), as their page does.
    """

    def look(tx: Transaction, notes: readings.Notes) -> dict[str, Any] | None:
        row = history.patient(tx, site_ids, patient_id)
        if row is None or row.ref == f"erased-{patient_id}":
            return None
        notes.add(Action.RECORD_EXPORTED, "patients", patient_id)
        return _record(tx, row, now, stands)

    return readings.read(database, look, now, who=who)


def _record(
    tx: Transaction, row: history.PatientAtSite, now: datetime, stands: Mapping[str, str | None]
) -> dict[str, Any]:
    site = tx.first(sa.select(sites).where(sites.c.id == row.site_id))
    assert site is not None
    shared, elsewhere = _shared(tx, row.id, row.site_id), _shared(tx, row.id, None)
    readers = people.recipients_of(tx, row.id)
    born = open_birth(tx, row.id, row.born_on_sealed)
    return {
        "format": FORMAT,
        "made_at": now,
        "notice": PART_2_NOTICE,
        "site": {"key": site.key, "alias": site.alias, "phone": site.phone, "zone": site.zone},
        "patient": {
            "reference": row.ref,
            "name": shown_name(tx, row.id, row.name_sealed),
            "born_on": born,
            "legal_hold": row.legal_hold,
            "entered_at": row.created_at,
        },
        "who_gets_texts": [_reader(tx, one, stands) for one in readers],
        "consents": [_consent(one) for one in history.consents_of(tx, row.id)],
        "plans": _plans(tx, row.id),
        "visits": _visits(tx, row),
        "texts": _texts(tx, row),
        "replies": _replies(tx, row, shared, elsewhere),
        "tasks": _tasks(tx, row, shared, elsewhere, now),
        "who_looked": _looked(tx, row.id, shared | elsewhere),
    }


def _shared(tx: Transaction, patient_id: int, site_id: int | None) -> set[int]:
    """The numbers of a patient on which another patient of that site, or of any, is texted, was, or agreed to be."""
    mine = sa.select(recipients.c.id).where(recipients.c.patient_id == patient_id)
    others = sa.select(recipients.c.id).join(patients).where(patients.c.id != patient_id)
    if site_id is not None:
        others = others.where(patients.c.site_id == site_id)
    theirs = sa.union(
        sa.select(recipients.c.number_id).where(recipients.c.id.in_(mine)),
        sa.select(text_rows.c.number_id).where(text_rows.c.recipient_id.in_(mine)),
        sa.select(replies.c.number_id).where(replies.c.patient_id == patient_id),
    ).subquery()
    found = (
        sa.select(recipients.c.number_id).where(recipients.c.id.in_(others)),
        sa.select(consents.c.number_id).where(consents.c.recipient_id.in_(others)),
        sa.select(text_rows.c.number_id).where(text_rows.c.recipient_id.in_(others)),
    )
    query = sa.union(*(one.where(one.selected_columns[0].in_(theirs.select())) for one in found))
    return {row.number_id for row in tx.all(query)}


def _reader(tx: Transaction, row: RecipientRow, stands: Mapping[str, str | None]) -> dict[str, Any]:
    number = people.find_numbers(tx, [row.number_id])[row.number_id]
    own = row.role == "self"
    phone = people.shown_phone_by_id(tx, row.number_id) if own else people.masked_of(tx, number.id, number.phone_sealed)
    return {
        "who": row.key,
        "role": row.role,
        "number": phone,
        "language": row.language,
        "zone": row.zone,
        "texting_from": row.texting_from,
        "texting_to": row.texting_to,
        "weekly_digest": row.weekly_digest,
        "consent_naming_them_on": row.part2_consent_on,
        "entered_at": row.entered_at,
        "verified_at": number.verified_at,
        "opted_out_at": number.opted_out_at,
        "cannot_be_reached_since": number.bad_since,
        "someone_elses_since": number.wrong_since,
        "why_nothing_goes": stands.get(row.key),
    }


def _consent(one: history.ConsentSaid) -> dict[str, Any]:
    return {
        "who": one.recipient,
        "role": one.role,
        "number": one.to,
        "said": one.said,
        "said_on": one.said_on,
        "how": one.how,
        "taken_by": one.by,
        "categories": list(one.categories),
        "warned_of_risk": one.warned_of_risk,
        "wording": one.wording,
        "per_day": one.per_day,
        "per_week": one.per_week,
        "verified": one.verified,
        "legal_basis": one.legal_basis,
        "expires_on": one.expires_on,
        "recorded_at": one.recorded_at,
        "in_force": one.in_force,
    }


def _plans(tx: Transaction, patient_id: int) -> list[dict[str, Any]]:
    """Their plans with what was agreed; not the document as it was read, which holds the numbers of others."""
    found = []
    for plan in tx.all(sa.select(plans).where(plans.c.patient_id == patient_id).order_by(plans.c.id)):
        query = sa.select(series, sessions.c.key.label("session_key"))
        query = query.outerjoin(sessions, sessions.c.id == series.c.session_id).where(series.c.plan_id == plan.id)
        found.append(
            {
                "reference": plan.ref,
                "status": plan.status,
                "ended_because": why_ended(tx, plan.id, plan.ended_because_sealed),
                "discharged_on": plan.discharged_on,
                "program": plan.program,
                "replaces": plan.replaces,
                "version": plan.version,
                "entered_at": plan.created_at,
                "changed_at": plan.changed_at,
                "agreed": [
                    {
                        "series": one.key,
                        "kind": staff_words.KINDS[one.kind],
                        "starts": one.starts,
                        "zone": one.zone,
                        "repeats": one.repeats,
                        "minutes": one.minutes,
                        "how": staff_words.MODES[one.how],
                        "place": _open(tx, "series", "place_sealed", one.id, one.place_sealed),
                        "with": _open(tx, "series", "with_sealed", one.id, one.with_sealed),
                        "session": one.session_key,
                        "status": one.status,
                        "readers": list(one.recipients),
                        "reminders_ahead": one.leads,
                    }
                    for one in tx.all(query.order_by(series.c.id))
                ],
            }
        )
    return found


def _open(tx: Transaction, table: str, column: str, row_id: int, sealed: bytes | None) -> str | None:
    return tx.open_if_legible(Place(table, column, row_id), sealed) if sealed else None


def _visits(tx: Transaction, row: history.PatientAtSite) -> list[dict[str, Any]]:
    agreed = sa.select(
        appointments.c.id, appointments.c.agreed_wall, appointments.c.agreed_status, confirmations.c.confirmed_at
    )
    agreed = (
        agreed.join_from(appointments, series, series.c.id == appointments.c.series_id)
        .join(plans, plans.c.id == series.c.plan_id)
        .outerjoin(confirmations, confirmations.c.appointment_id == appointments.c.id)
        .where(plans.c.patient_id == row.id)
        .order_by(confirmations.c.confirmed_at)
    )
    more = {one.id: one for one in tx.all(agreed)}
    listed = visits.list_visits(tx, [row.site_id], None, None, patient=row.ref, limit=_MANY, names=True)
    return [
        {
            "plan": one.plan,
            "series": one.series,
            "recurrence": one.recurrence_id,
            "session": one.session,
            "kind": staff_words.KINDS[one.kind],
            "starts_at": one.starts_at,
            "local": one.wall,
            "zone": one.zone,
            "agreed_local": more[one.id].agreed_wall,
            "agreed_status": more[one.id].agreed_status,
            "minutes": one.minutes,
            "how": staff_words.MODES[one.how],
            "place": one.room,
            "with": one.with_,
            "status": one.status,
            "attendance": one.attendance,
            "marked_at": one.marked_at,
            "confirmed": one.confirmed,
            "confirmed_at": more[one.id].confirmed_at,
        }
        for one in listed
    ]


def _texts(tx: Transaction, row: history.PatientAtSite) -> list[dict[str, Any]]:
    wanted = texts.LogFilter(sites=[row.site_id], patient=row.ref, limit=_MANY)
    listed = texts.log(tx, wanted)[::-1]
    ids = [one.text for one in listed]
    said: dict[int, str] = {}
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        said |= history.typed(tx, some) | texts.bodies(tx, some)
    return [
        {
            "id": str(one.text),
            "plan": one.plan,
            "class": one.class_,
            "lead": staff_words.lead_words(one.class_, one.key, one.opens_at, one.reader_zone),
            "to": one.recipient,
            "number": one.to,
            "opens_at": one.opens_at,
            "closes_at": one.closes_at,
            "state": one.state,
            "what_happened": explanations.tell(one),
            "words": said.get(one.text),
            "tries": [
                {
                    "number": tried.number,
                    "started_at": tried.shown.started_at,
                    "answered_at": tried.answered_at,
                    "answer": tried.shown.answer,
                    "status": tried.shown.status,
                    "error_code": tried.shown.error_code,
                    "sid": tried.shown.sid,
                    "wording": tried.template,
                    "language": tried.language,
                    "segments": tried.shown.segments,
                    "words": tried.body,
                    "heard": [
                        {"status": heard.status, "error_code": heard.error_code or None, "at": heard.at, "by": heard.by}
                        for heard in tried.heard
                    ],
                }
                for tried in (texts.tries(tx, one.text, bodies=True, raw=False) if one.attempts else ())
            ],
        }
        for one in listed
    ]


def _replies(
    tx: Transaction, patient: history.PatientAtSite, shared: Collection[int], elsewhere: Collection[int]
) -> list[dict[str, Any]]:
    """What came from their readers' numbers, as their page has it, and from numbers that were theirs before."""
    present: dict[int, list[str]] = {}
    for one in people.recipients_of(tx, patient.id):
        present.setdefault(one.number_id, []).append(one.key)
    mine = sa.or_(
        replies.c.patient_id == patient.id,
        sa.and_(replies.c.patient_id.is_(None), replies.c.number_id.in_(present)),
    )
    query = sa.select(replies, numbers.c.phone_sealed).join(numbers, numbers.c.id == replies.c.number_id)
    query = query.where(replies.c.site_id == patient.site_id, mine)
    found = []
    for row in tx.all(query.order_by(replies.c.received_at, replies.c.id)):
        if row.number_id in elsewhere and is_to_another_site(tx, row.sent_to, patient.site_id):
            continue
        entry: dict[str, Any] = {
            "received_at": row.received_at,
            "from": present.get(row.number_id, ["a former number"]),
            "number": people.masked_of(tx, row.number_id, row.phone_sealed),
        }
        if row.number_id in shared:
            found.append({**entry, "withheld": WITHHELD})
            continue
        mark = mark_of(tx, row.id, row.mark_sealed)
        found.append(
            {
                **entry,
                "taken_as": reading_of(tx, row.id, row.reading_sealed).meaning,
                "media": row.media,
                "marked": None if mark is None else "danger" if mark else "no danger",
                "words": tx.open_if_legible(Place("replies", "body_sealed", row.id), row.body_sealed),
            }
        )
    return found


def is_to_another_site(tx: Transaction, sent_to: str, site_id: int) -> bool:
    """Whether a text that came in was addressed to a line of another site alone."""
    query = sa.select(senders.c.site_id).where(senders.c.address == sent_to)
    theirs = {row.site_id for row in tx.all(query)}
    return bool(theirs) and site_id not in theirs


def _tasks(
    tx: Transaction, patient: history.PatientAtSite, shared: Collection[int], elsewhere: Collection[int], now: datetime
) -> list[dict[str, Any]]:
    """What people had to do about them: tasks about them, or about a number that was never anyone else's."""
    own = sa.select(recipients.c.number_id).where(recipients.c.patient_id == patient.id)
    own = own.where(recipients.c.number_id.not_in({*shared, *elsewhere}))
    of_number = sa.and_(tasks.c.patient_id.is_(None), tasks.c.number_id.in_(own))
    query = sa.select(tasks.c.id).where(tasks.c.site_id == patient.site_id)
    query = query.where(sa.or_(tasks.c.patient_id == patient.id, of_number)).order_by(tasks.c.id)
    found = []
    for row in tx.all(query):
        task = by_number(tx, row.id)
        assert task is not None
        found.append(
            {
                "number": task.id,
                "what": KINDS[task.kind].title,
                "kind": task.kind,
                "urgency": task.urgency,
                "plan": task.plan,
                "visit": task.visit,
                "opened_at": task.opened_at,
                "due_at": task.due_at,
                "overdue": task.closed_at is None and task.due_at < now,
                "owner": task.owner,
                "acknowledged_at": task.acknowledged_at,
                "closed_at": task.closed_at,
                "outcome": task.outcome,
                "story": _story(tx, row.id, patient.site_id, shared, elsewhere),
            }
        )
    return found


def _story(
    tx: Transaction, task_id: int, site_id: int, shared: Collection[int], elsewhere: Collection[int]
) -> list[dict[str, Any]]:
    """What happened in a task. A reply that may be another person's is told without its words, as among replies."""
    query = sa.select(task_events.c.reply_id, replies.c.number_id, replies.c.sent_to)
    query = query.outerjoin(replies, replies.c.id == task_events.c.reply_id).where(task_events.c.task_id == task_id)
    heard = tx.all(query.order_by(task_events.c.at, task_events.c.id))
    found = []
    for event, reply in zip(story(tx, task_id), heard, strict=True):
        if reply.number_id in elsewhere and is_to_another_site(tx, reply.sent_to, site_id):
            continue
        withheld = reply.number_id in shared
        entry = {"at": event.at, "who": event.who, "what": explanations.happened(event)}
        found.append(entry | ({"withheld": WITHHELD} if withheld else {"words": event.words}))
    return found


def _looked(tx: Transaction, patient_id: int, shared: Collection[int]) -> list[dict[str, Any]]:
    """Who read or changed what of them; of a number that others use too only what names this patient."""
    own = sa.select(recipients.c.number_id).where(recipients.c.patient_id == patient_id)
    of_number = sa.and_(
        audit.c["table"] == "numbers",
        audit.c.row_id.in_(own.where(recipients.c.number_id.not_in(shared))),
        sa.or_(audit.c.patient_id.is_(None), audit.c.patient_id == patient_id),
    )
    query = sa.select(audit.c.id, audit.c.at, audit.c.who, audit.c.what, audit.c["table"])
    query = query.where(sa.or_(audit.c.patient_id == patient_id, of_number))
    return [
        {"at": row.at, "who": row.who.removeprefix("staff:"), "what": row.what, "of": row._mapping["table"]}
        for row in tx.all(query.order_by(audit.c.id))
    ]


# How it is written down.


def as_json(record: Mapping[str, Any]) -> str:
    """The record as JSON; instants and dates in ISO 8601. In ASCII, so that nothing in it turns a line around."""
    return json.dumps(record, default=_plain, indent=2) + "\n"


def _plain(value: object) -> object:
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    raise TypeError(type(value).__name__)


_TITLES = {
    "site": "Where",
    "patient": "Who",
    "who_gets_texts": "Who gets texts",
    "consents": "What was said about texts",
    "plans": "Plans, and what was agreed",
    "visits": "Visits",
    "texts": "Texts to you, and to whom you named",
    "replies": "Texts from you, and from whom you named",
    "tasks": "What we did about it",
    "who_looked": "Who looked at your record, or changed it",
}

_STYLE = """
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; font-size: .9rem } caption { text-align: left; font-weight: 600 }
th, td { border: 1px solid #ccc; padding: .25rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0 } dd { margin: 0 }
ul { margin: 0; padding-left: 1.2rem } @media print { body { max-width: none } }
"""


def as_html(record: Mapping[str, Any], legible: Callable[[str], str]) -> str:
    """The record as one page that needs nothing else: no script, no picture, no address.

    `legible` makes what others wrote safe to look at (`service/operations/legible`).
    """
    page = _Page(legible)
    parts = [f"<section><h2>{title}</h2>{page.laid_out(record[name])}</section>" for name, title in _TITLES.items()]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Record</title>'
        '<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">'
        f"<style>{_STYLE}</style></head><body><h1>Record</h1><p>Made {page.words(record['made_at'])}. "
        f"{page.words(record['notice'])}</p>{''.join(parts)}</body></html>\n"
    )


@dataclass(frozen=True, slots=True)
class _Page:
    legible: Callable[[str], str]

    def laid_out(self, value: Any) -> str:
        """A value as HTML: names with values, a table of such, a list, or words."""
        if isinstance(value, Mapping):
            rows = "".join(f"<dt>{_named(name)}</dt><dd>{self.laid_out(one)}</dd>" for name, one in value.items())
            return f"<dl>{rows}</dl>"
        if not isinstance(value, list):
            return self.words(value)
        if not value:
            return "<p>None.</p>"
        if isinstance(value[0], Mapping):
            return self._table(value)
        return "<ul>" + "".join(f"<li>{self.words(one)}</li>" for one in value) + "</ul>"

    def _table(self, rows: Sequence[Mapping[str, object]]) -> str:
        columns = list(dict.fromkeys(name for row in rows for name, value in row.items() if value not in (None, [])))
        head = "".join(f'<th scope="col">{_named(name)}</th>' for name in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{_unless_empty(self.laid_out, row.get(name))}</td>" for name in columns) + "</tr>"
            for row in rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def words(self, value: object) -> str:
        """One value, apart from what stands around it."""
        if value is None:
            return "-"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, datetime):
            return f"{value:%Y-%m-%d %H:%M}" + (" UTC" if value.tzinfo is not None else "")
        return f"<bdi>{html.escape(self.legible(str(value)))}</bdi>"


def _unless_empty(lay_out: Callable[[Any], str], value: Any) -> str:
    return "" if value is None or value == [] else lay_out(value)


def _named(name: str) -> str:
    return name.replace("_", " ").capitalize()
