"""Who changed what, and who looked at what: only ever appended to (45 CFR 164.312 (b))."""

import hashlib
import json
import secrets
from collections.abc import Collection
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa

from reminders.audit_actions import Action
from reminders.store.database.engine import Transaction
from reminders.store.database.ids import first_id, new_id
from reminders.store.database.schema import (
    appointments,
    audit,
    patients,
    plans,
    recipients,
    replies,
    senders,
    series,
    sites,
    tasks,
    texts,
)
from reminders.store.database.sealing import DataKey, Place, Unreadable
from reminders.store.records import AuditRow

SAME_READING = timedelta(minutes=10)  # a page that refreshes itself is read once, not every ten seconds


def count(tx: Transaction, *, who: str, what: Action, since: datetime) -> int:
    """How often that was put on record of `who` since then."""
    mine = sa.select(sa.func.count()).select_from(audit).where(audit.c.who == who[:64], audit.c.what == what)
    return int(tx.value(mine.where(audit.c.id >= first_id(since), audit.c.at >= since)) or 0)


def has_noted(
    tx: Transaction, *, who: str, what: Action, table: str, row: int, since: datetime, shown: Collection[int] = ()
) -> bool:
    """Whether it is on record since then that `who` did that on this row, and saw all of `shown` (`seen`) there."""
    mine = sa.select(audit).where(
        audit.c.who == who[:64],
        audit.c.what == what,
        audit.c.table == table,
        audit.c.row_id == row,
        audit.c.id >= first_id(since),
        audit.c.at >= since,
    )
    wanted = set(map(str, shown))
    for one in tx.all_as(AuditRow, mine.order_by(audit.c.id.desc()).limit(_MOST_LOOKED_AT)):
        try:
            _, after = noted(tx, one)
        except (LookupError, Unreadable):
            continue
        if wanted <= set((after or "").split()):
            return True
    return False


def seen(ids: Collection[int]) -> str | None:
    """What a list showed, as a row of the audit keeps it: the ids of its rows."""
    return " ".join(map(str, sorted(ids))) or None


def note(
    tx: Transaction,
    *,
    who: str,
    what: Action,
    table: str,
    row: int,
    now: datetime,
    before: str | None = None,
    after: str | None = None,
    key: DataKey | None = None,
    patient: int | None = None,
    site: int | None = None,
) -> None:
    """Append to the audit: who did what on which row; values are sealed, a patient's by the patient's own `key`.

    Whose it is and at which site follows
    from the row, unless it is given. Each value carries 16 random bytes, and a digest of both stays beside them: it
    proves later that a value is the one that was noted, also when it was sealed again, and is of no use for guessing
    one that an erasure has taken (data rule 1).
    """
    audit_id = new_id(now)
    if (already := noted_here.get()) is not None:
        already.append(what)
    if patient is None and table in _WHOSE:
        whose = tx.first(_WHOSE[table], {"row": row})
        patient, site = (whose.patient_id, site or whose.site_id) if whose is not None else (None, site)
    salted = [secrets.token_urlsafe(16) + value if value else None for value in (before, after)]
    sealed = [
        tx.seal(Place("audit", column, audit_id), value, key) if value is not None else None
        for column, value in zip(_VALUES, salted, strict=True)
    ]
    tx.run(
        _NOTE,
        {
            "id": audit_id,
            "at": now,
            "who": who[:64],
            "what": what,
            "table": table,
            "row_id": row,
            "site_id": site,
            "patient_id": patient,
            "where": came_from.get(),
            "before_sealed": sealed[0],
            "after_sealed": sealed[1],
            "said": digest(*salted),
        },
    )


class Noted(Protocol):
    """A row of the audit, by what its values are opened with."""

    @property
    def id(self) -> int:
        """Its id, to which they are bound."""

    @property
    def before_sealed(self) -> bytes | None:
        """What stood there before."""

    @property
    def after_sealed(self) -> bytes | None:
        """What stood there after."""


def noted(tx: Transaction, row: Noted) -> tuple[str | None, str | None]:
    """What stood there before and after, of a row of the audit. Raises Unreadable, LookupError for what was erased."""
    before, after = noted_salted(tx, row)
    return before and before[_SALT:], after and after[_SALT:]


def noted_salted(tx: Transaction, row: Noted) -> tuple[str | None, str | None]:
    """The same with the chance in front, as `digest` takes them."""
    before, after = (
        tx.open(Place("audit", column, row.id), sealed) if sealed is not None else None
        for column, sealed in zip(_VALUES, (row.before_sealed, row.after_sealed), strict=True)
    )
    return before, after


def digest(before: str | None, after: str | None) -> bytes | None:
    """What binds a row of the audit to its values."""
    if before is None and after is None:
        return None
    return hashlib.sha256(json.dumps([before, after]).encode()).digest()


came_from: ContextVar[str | None] = ContextVar("came_from", default=None)
"""The address that the request came from which is being answered, for the audit. The web process sets it."""

noted_here: ContextVar[list[str] | None] = ContextVar("noted_here", default=None)
"""What was put on record while the request at hand is answered, where its answer asks for that."""

_MOST_LOOKED_AT = 20
_NOTE = audit.insert()
_VALUES = ("before_sealed", "after_sealed")
_SALT = len(secrets.token_urlsafe(16))


def _whose(whose: sa.FromClause, table: sa.Table) -> sa.Select[Any]:
    query = sa.select(patients.c.id.label("patient_id"), patients.c.site_id).select_from(whose)
    return query.where(table.c.id == sa.bindparam("row"))


_OF_SERIES = series.join(plans).join(patients)
_WHOSE: dict[str, sa.Select[Any]] = {
    "patients": _whose(patients, patients),
    "plans": _whose(plans.join(patients), plans),
    "recipients": _whose(recipients.join(patients), recipients),
    "series": _whose(_OF_SERIES, series),
    "appointments": _whose(appointments.join(_OF_SERIES, series.c.id == appointments.c.series_id), appointments),
    "texts": _whose(texts.join(recipients, recipients.c.id == texts.c.recipient_id).join(patients), texts),
    "tasks": sa.select(tasks.c.patient_id, tasks.c.site_id).where(tasks.c.id == sa.bindparam("row")),
    "replies": sa.select(replies.c.patient_id, replies.c.site_id).where(replies.c.id == sa.bindparam("row")),
    "senders": sa.select(sa.null().label("patient_id"), senders.c.site_id).where(senders.c.id == sa.bindparam("row")),
    "sites": sa.select(sa.null().label("patient_id"), sites.c.id.label("site_id")).where(
        sites.c.id == sa.bindparam("row")
    ),
}
"""Of a row of these tables: the patient it is about, and the site."""
