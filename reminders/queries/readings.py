"""That someone read personal data is put on record here, and nowhere else (45 CFR 164.312(b)).

A page or an answer is read in a read-only transaction. What it shows is noted in a short one of its own, before
anything is shown: on SQLite a long look would otherwise keep every webhook waiting for the write lock.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from reminders import store
from reminders.audit_actions import Action
from reminders.store import Database, Transaction
from reminders.store.office.audit_log import came_from, noted_here

__all__ = ["Note", "Notes", "came_from", "note", "noted_here", "read"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the audit: what was read, on which row of which table, and what else it names.

    Whose row it is and at which site follows from the row, unless given.
    """

    what: Action
    table: str
    row: int
    before: str | None = None
    after: str | None = None
    patient: int | None = None
    site: int | None = None


class Notes:
    """What a look has to put on record."""

    def __init__(self) -> None:
        self.all: list[Note] = []

    def add(self, what: Action, table: str, row: int, **more: Any) -> None:
        """Note that this was read; `more` as `Note` takes it."""
        self.all.append(Note(what, table, row, **more))

    def add_unless_known(
        self,
        tx: Transaction,
        what: Action,
        table: str,
        row: int,
        *,
        shown: Collection[int],
        now: datetime,
        who: str,
        again: bool,
    ) -> None:
        """Note that these rows were shown.

        `again` says that an open page refreshed itself, which is no new reading for some minutes unless it shows a
        row more.
        """
        since = now - store.audit_log.SAME_READING
        if again and store.audit_log.has_noted(tx, who=who, what=what, table=table, row=row, since=since, shown=shown):
            return
        self.add(what, table, row, after=store.audit_log.seen(shown))


def read(database: Database, work: Callable[[Transaction, Notes], T], now: datetime, *, who: str) -> T:
    """Do `work` in a transaction that changes nothing, and put on record what it notes. Raises Unavailable."""
    notes = Notes()

    def look(tx: Transaction) -> T:
        notes.all.clear()  # a transaction may be run again
        return work(tx, notes)

    found = database.read(look)
    note(database, *notes.all, now=now, who=who)
    return found


def note(database: Database, *notes: Note, now: datetime, who: str) -> None:
    """Put on record that `who` reads this. Raises Unavailable, and then nothing may be shown."""

    def keep(tx: Transaction) -> None:
        for one in notes:
            store.audit_log.note(
                tx,
                who=who,
                what=one.what,
                table=one.table,
                row=one.row,
                now=now,
                before=one.before,
                after=one.after,
                patient=one.patient,
                site=one.site,
            )

    if notes:
        database.write(keep, again=True)
