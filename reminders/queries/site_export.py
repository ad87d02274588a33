"""Everything of one site, row by row: for a site that leaves, or a center that moves to another program.

A line is a JSON object: its table under `record`, and its columns. What is sealed is opened and stands without the
ending `_sealed`; it is null where it does not open any more. Ids are strings, for they have 63 bits. Left out are keys,
passwords and what finds a number without saying it, and every row of another site. `schema` says all of it.
"""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from reminders.audit_actions import Action
from reminders.queries import readings
from reminders.store import Database, audit_log
from reminders.store.database import schema as rows
from reminders.store.database.engine import Transaction
from reminders.store.database.sealing import Place, Unreadable
from reminders.store.records import AuditRow

FORMAT = "aftercare-reminders/site/1"
BATCH = 500
_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_LEFT_OUT = frozenset(
    {"key_id", "fingerprint", "place", "last_texted_at"}
)  # another site may have texted the number last


_PADDED = frozenset({"reading_sealed", "doubt_sealed", "ended_because_sealed"})  # as long as any other while sealed


def _of_patients(site: int) -> sa.Select[Any]:
    return sa.select(rows.patients.c.id).where(rows.patients.c.site_id == site)


def _of_recipients(site: int) -> sa.Select[Any]:
    return sa.select(rows.recipients.c.id).where(rows.recipients.c.patient_id.in_(_of_patients(site)))


def _of_series(site: int) -> sa.Select[Any]:
    return sa.select(rows.series.c.id).join(rows.plans).where(rows.plans.c.site_id == site)


def _of_texts(site: int) -> sa.Select[Any]:
    return sa.select(rows.texts.c.id).where(rows.texts.c.site_id == site)


def _to_others(site: int) -> sa.ColumnElement[bool]:
    """A reply to a line of another site, from a number on which a patient of another site is texted too.

    It stands with the first of its readers (`inbound`), and may be from any of them.
    """
    ours = sa.select(rows.senders.c.address).where(rows.senders.c.site_id == site)
    others = sa.select(rows.senders.c.address).where(rows.senders.c.site_id != site)
    elsewhere = sa.select(rows.recipients.c.number_id).join(rows.patients).where(rows.patients.c.site_id != site)
    sent_to = rows.replies.c.sent_to
    return sa.and_(sent_to.in_(others), sent_to.not_in(ours), rows.replies.c.number_id.in_(elsewhere))


def _numbers(site: int) -> sa.ColumnElement[bool]:
    """The numbers that anything of the site names."""
    named = sa.union(
        sa.select(rows.recipients.c.number_id).where(rows.recipients.c.patient_id.in_(_of_patients(site))),
        sa.select(rows.consents.c.number_id).where(rows.consents.c.recipient_id.in_(_of_recipients(site))),
        sa.select(rows.texts.c.number_id).where(rows.texts.c.site_id == site),
        sa.select(rows.replies.c.number_id).where(rows.replies.c.site_id == site),
        sa.select(rows.tasks.c.number_id).where(rows.tasks.c.site_id == site, rows.tasks.c.number_id.is_not(None)),
    ).subquery()
    return rows.numbers.c.id.in_(named.select())


def _conditions(site: int) -> Mapping[sa.Table, sa.ColumnElement[bool]]:
    """The tables, those that others name first, and which of their rows are the site's."""
    tried = sa.select(rows.attempts.c.id).where(rows.attempts.c.text_id.in_(_of_texts(site)))
    visits = sa.select(rows.appointments.c.id).where(rows.appointments.c.series_id.in_(_of_series(site)))
    theirs = sa.select(rows.tasks.c.id).where(rows.tasks.c.site_id == site)
    return {
        rows.sites: rows.sites.c.id == site,
        rows.senders: rows.senders.c.site_id == site,
        rows.numbers: _numbers(site),
        rows.patients: rows.patients.c.site_id == site,
        rows.recipients: rows.recipients.c.patient_id.in_(_of_patients(site)),
        rows.consents: rows.consents.c.recipient_id.in_(_of_recipients(site)),
        rows.plans: rows.plans.c.site_id == site,
        rows.sessions: rows.sessions.c.site_id == site,
        rows.series: rows.series.c.id.in_(_of_series(site)),
        rows.appointments: rows.appointments.c.series_id.in_(_of_series(site)),
        rows.confirmations: rows.confirmations.c.appointment_id.in_(visits),
        rows.replies: sa.and_(rows.replies.c.site_id == site, sa.not_(_to_others(site))),
        rows.texts: rows.texts.c.site_id == site,
        rows.text_items: rows.text_items.c.text_id.in_(_of_texts(site)),
        rows.attempts: rows.attempts.c.text_id.in_(_of_texts(site)),
        rows.receipts: rows.receipts.c.attempt_id.in_(tried),
        rows.tasks: rows.tasks.c.site_id == site,
        rows.task_events: rows.task_events.c.task_id.in_(theirs),
        rows.pages: rows.pages.c.task_id.in_(theirs),
        rows.audit: rows.audit.c.site_id == site,
    }


_TABLES = tuple(_conditions(0))


def lines(database: Database, site: int, now: datetime, *, who: str) -> Iterator[dict[str, Any]]:
    """Every row of a site, in transactions of at most `BATCH` rows that change nothing.

    That it was taken out is in the audit before the first line. What changes meanwhile may be on record as it was or as
    it is. Raises Unavailable.
    """
    readings.note(database, readings.Note(Action.SITE_EXPORTED, "sites", site), now=now, who=who)
    yield {"record": "export", "format": FORMAT, "made_at": now.isoformat()}
    patients = frozenset(row.id for row in database.read(lambda tx: tx.all(_of_patients(site))))
    for table, condition in _conditions(site).items():
        after: tuple[Any, ...] | None = None
        while True:
            found, after = database.read(lambda tx, place=after: _batch(tx, table, condition, place))  # type: ignore[misc]  # ruff: ignore[function-uses-loop-variable]  it is called at once
            for line in found:
                if line.get("patient_id") is not None and int(line["patient_id"]) not in patients:
                    line["patient_id"] = None  # someone of another site, on the same number
                yield line
            if len(found) < BATCH:
                break


def _batch(
    tx: Transaction, table: sa.Table, condition: sa.ColumnElement[bool], after: tuple[Any, ...] | None
) -> tuple[list[dict[str, Any]], tuple[Any, ...] | None]:
    keys = list(table.primary_key.columns)
    query = sa.select(table).where(condition).order_by(*keys).limit(BATCH)
    if after is not None:
        place = sa.tuple_(*(sa.literal(value, key.type) for value, key in zip(after, keys, strict=True)))
        query = query.where(sa.tuple_(*keys) > place)
    found = tx.all(query)
    last = tuple(found[-1]._mapping[key.name] for key in keys) if found else None
    return [{"record": table.name} | _opened(tx, table, row._asdict()) for row in found], last


def _opened(tx: Transaction, table: sa.Table, values: Mapping[str, Any]) -> dict[str, Any]:
    line: dict[str, Any] = {}
    for column in table.columns:
        value = values[column.name]
        if not _is_said(column):
            continue
        if column.name.endswith("_sealed"):
            if table is not rows.audit:
                place = Place(table.name, column.name, values["id"])
                said = tx.open_if_legible(place, value) if value is not None else None
                line[_said_as(column)] = said.rstrip() or None if said and column.name in _PADDED else said
        elif value is None or isinstance(value, bool):
            line[column.name] = value
        elif isinstance(column.type, sa.BigInteger):
            line[column.name] = str(value)
        else:
            line[column.name] = value.isoformat() if isinstance(value, date) else value
    if table is rows.audit:
        line |= _noted(tx, AuditRow(**values))
    return line


def _noted(tx: Transaction, row: AuditRow) -> dict[str, Any]:
    try:
        before, after = audit_log.noted(tx, row)
    except (LookupError, Unreadable):  # erased
        before = after = None
    return {"before": before, "after": after}


def _is_said(column: sa.Column[Any]) -> bool:
    """Whether a column is in the export: no key, no digest, and nothing of how a place in a queue is found."""
    if column.name in _LEFT_OUT:
        return False
    return column.name.endswith("_sealed") or not isinstance(column.type, sa.LargeBinary)


def _said_as(column: sa.Column[Any]) -> str:
    return column.name.removesuffix("_sealed")


# The schema of a line.


def schema() -> dict[str, Any]:
    """The JSON schema of a line of the export."""
    first = _object("export", {"format": {"const": FORMAT}, "made_at": {"type": "string", "format": "date-time"}})
    return {
        "$schema": _DIALECT,
        "title": "A line of a site's export",
        "description": "The first line is the record `export`. A sealed value that does not open any more is null.",
        "oneOf": [first, *(_object(table.name, _properties(table)) for table in _TABLES)],
    }


def _object(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    properties = {"record": {"const": name}} | properties
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _properties(table: sa.Table) -> dict[str, Any]:
    found = {}
    for column in table.columns:
        if not _is_said(column):
            continue
        said = _type_of(column)
        if (column.nullable or column.name.endswith("_sealed") or column.name == "patient_id") and said:
            said = {"anyOf": [said, {"type": "null"}]}
        found[_said_as(column)] = said
    return found


def _type_of(column: sa.Column[Any]) -> dict[str, Any]:
    if column.name.endswith("_sealed"):
        return {"type": "string"}
    for kind, said in _TYPES.items():
        if isinstance(column.type, kind):
            return said
    return {}  # JSON of its own


_TYPES: Mapping[type[Any], dict[str, Any]] = MappingProxyType(
    {
        rows.Instant: {"type": "string", "format": "date-time"},
        sa.Date: {"type": "string", "format": "date"},
        sa.Boolean: {"type": "boolean"},
        sa.BigInteger: {"type": "string", "pattern": "^-?[0-9]+$"},
        sa.Integer: {"type": "integer"},
        sa.Float: {"type": "number"},
        sa.String: {"type": "string"},
    }
)
