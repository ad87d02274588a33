"""Who did what, as pages, the command line and an export show it."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from reminders import store
from reminders.audit_actions import Action
from reminders.queries import readings
from reminders.store import Database
from reminders.store.office.audit import AuditEntry, Head, Wanted, head, waiting

__all__ = ["Entry", "Head", "Wanted", "as_csv", "head", "look", "show", "waiting"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the audit. `before` and `after` are there where they were asked for and can be read still."""

    id: int
    at: datetime
    who: str
    what: str
    table: str
    row: int
    site: str | None
    patient: str | None
    patient_id: int | None
    where: str | None
    place: int | None
    has_values: bool
    before: str | None = None
    after: str | None = None
    erased: bool = False


def look(
    database: Database, wanted: Wanted, now: datetime, *, who: str, values: bool = False, exported: bool = False
) -> list[Entry]:
    """Rows of the audit, newest first. That someone saw them, or took them out, is noted: they name patients."""

    def work(tx: store.Transaction, notes: readings.Notes) -> list[Entry]:
        found = [_entry(tx, row, values=values) for row in store.audit.find(tx, wanted)]
        if found or exported:
            what = Action.AUDIT_EXPORTED if exported else Action.AUDIT_READ
            notes.add(what, "audit", 0, after=str(len(found)))
        return found

    return readings.read(database, work, now, who=who)


def show(
    database: Database, audit_id: int, now: datetime, *, who: str, sites: frozenset[int] | None = None
) -> Entry | None:
    """One row with its values; that someone saw them is noted. None where there is none, at these sites."""

    def work(tx: store.Transaction, notes: readings.Notes) -> Entry | None:
        row = store.audit.by_id(tx, audit_id)
        if row is None or (sites is not None and row.site_id not in sites):
            return None
        entry = _entry(tx, row, values=True)
        if entry.has_values:
            notes.add(Action.AUDIT_READ, "audit", row.id, patient=row.patient_id, site=row.site_id)
        return entry

    return readings.read(database, work, now, who=who)


def _entry(tx: store.Transaction, row: AuditEntry, *, values: bool) -> Entry:
    before = after = None
    erased = False
    if values:
        try:
            before, after = store.audit_log.noted(tx, row)
            erased = row.said is not None and before is None and after is None
        except (LookupError, store.Unreadable):
            erased = True
    return Entry(
        id=row.id,
        at=row.at,
        who=row.who,
        what=row.what,
        table=row.table,
        row=row.row_id,
        site=row.site,
        patient=row.patient_ref,
        patient_id=row.patient_id,
        where=row.where,
        place=row.place,
        has_values=row.said is not None,
        before=before,
        after=after,
        erased=erased,
    )


def as_csv(entries: Iterable[Entry]) -> str:
    """Rows as CSV, with a byte order mark for Excel.

    A cell that begins with anything but a letter or digit has an apostrophe before it: no formula.
    """
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(COLUMNS)
    for entry in entries:
        cells = [getattr(entry, column) for column in COLUMNS]
        said = ["" if cell is None else cell.isoformat() if isinstance(cell, datetime) else str(cell) for cell in cells]
        writer.writerow([cell if not cell or cell[0].isalnum() else f"'{cell}" for cell in said])
    return "\ufeff" + written.getvalue()


COLUMNS = ("at", "who", "what", "table", "row", "site", "patient", "where", "place", "before", "after")
