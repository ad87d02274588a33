"""The audit: finding rows of it, and the chain that shows whether one was changed or taken out afterwards.

`audit_log.note` appends. Later a job gives each row its place, 1, 2, 3 …, and its hash over the row before and itself.
Changing a row means changing every hash after it; the heads that were taken out of the database stay as they were.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from reminders.audit_actions import Action
from reminders.store.database.engine import Transaction
from reminders.store.database.ids import first_id
from reminders.store.database.schema import audit, keys, patients, sites
from reminders.store.database.sealing import Unreadable
from reminders.store.office.audit_log import digest, noted_salted
from reminders.store.records import AuditRow

START = bytes(32)
"""What stands before the first row."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain: the place of its last row, and its hash."""

    place: int
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows are wanted. `patient` is a reference; `sites` None means all, and those that belong to no site.

    `kind` is `seen` (read or exported), `changed`, or None for both. `before` is the id below which to look.
    """

    who: str | None = None
    what: str | None = None
    patient: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    kind: str | None = None
    sites: frozenset[int] | None = None
    before: int | None = None
    limit: int = 100


class AuditEntry(NamedTuple):
    """A row of the audit with the key of its site and the reference of its patient."""

    id: int
    at: datetime
    who: str
    what: str
    table: str
    row_id: int
    site_id: int | None
    patient_id: int | None
    where: str | None
    before_sealed: bytes | None
    after_sealed: bytes | None
    said: bytes | None
    place: int | None
    hash: bytes | None
    site: str | None
    patient_ref: str | None


def find(tx: Transaction, wanted: Wanted) -> list[AuditEntry]:
    """Rows of the audit, newest first."""
    query = (
        sa.select(audit, sites.c.key.label("site"), patients.c.ref.label("patient_ref"))
        .outerjoin(sites, sites.c.id == audit.c.site_id)
        .outerjoin(patients, patients.c.id == audit.c.patient_id)
        .order_by(audit.c.id.desc())
        .limit(wanted.limit)
    )
    if wanted.who is not None:
        query = query.where(audit.c.who == wanted.who)
    if wanted.what is not None:
        query = query.where(audit.c.what == wanted.what)
    if wanted.patient is not None:
        query = query.where(audit.c.patient_id.in_(sa.select(patients.c.id).where(patients.c.ref == wanted.patient)))
    if wanted.since is not None:  # ids grow with time, but a worker's clock may have run ahead of another's
        query = query.where(audit.c.at >= wanted.since, audit.c.id >= first_id(wanted.since - timedelta(hours=1)))
    if wanted.until is not None:
        query = query.where(audit.c.at <= wanted.until, audit.c.id <= first_id(wanted.until + timedelta(hours=1)))
    if wanted.kind is not None:
        seen = audit.c.what.in_([one for one in Action if one.is_reading])
        query = query.where(seen if wanted.kind == "seen" else sa.not_(seen))
    if wanted.sites is not None:
        query = query.where(audit.c.site_id.in_(wanted.sites))
    if wanted.before is not None:
        query = query.where(audit.c.id < wanted.before)
    return tx.all_as(AuditEntry, query)


def by_id(tx: Transaction, audit_id: int) -> AuditEntry | None:
    """One row, as `find` gives it."""
    query = (
        sa.select(audit, sites.c.key.label("site"), patients.c.ref.label("patient_ref"))
        .outerjoin(sites, sites.c.id == audit.c.site_id)
        .outerjoin(patients, patients.c.id == audit.c.patient_id)
        .where(audit.c.id == audit_id)
    )
    return tx.first_as(AuditEntry, query)


# The chain


def head(tx: Transaction) -> Head:
    """The end of the chain; place 0 before there is any."""
    row = tx.first(sa.select(audit.c.place, audit.c.hash).where(audit.c.place.is_not(None)).order_by(_NEWEST).limit(1))
    return Head(row.place, bytes(row.hash)) if row is not None else Head(0, START)


def waiting(tx: Transaction) -> int:
    """How many rows have no place yet."""
    return int(tx.value(sa.select(sa.func.count()).select_from(audit).where(audit.c.place.is_(None))))


def chain(tx: Transaction, until: datetime, limit: int) -> int:
    """Give up to `limit` rows from before `until` their place and hash; how many.

    Two workers that do it at once meet at the unique place: the second is run again from the new head.
    """
    last = head(tx)
    query = sa.select(audit).where(audit.c.place.is_(None), audit.c.at <= until).order_by(audit.c.id).limit(limit)
    chained = []
    for place, row in enumerate(tx.all_as(AuditRow, query), last.place + 1):
        last = Head(place, link(last.hash, row, place))
        chained.append({"row": row.id, "to": last.place, "link": last.hash})
    tx.run_many(_CHAIN, chained)
    return len(chained)


def link(before: bytes, row: AuditRow, place: int) -> bytes:
    """The hash of a row at that place, after the row with the hash `before`. The values are in it by their digest."""
    said = row.said.hex() if row.said is not None else None
    at = row.at.isoformat(timespec="microseconds")
    content = [
        place,
        row.id,
        at,
        row.who,
        row.what,
        row.table,
        row.row_id,
        row.site_id,
        row.patient_id,
        row.where,
        said,
    ]
    return hashlib.sha256(before + json.dumps(content).encode()).digest()


@dataclass(frozen=True, slots=True)
class Link:
    """A row of the chain as it is found: what is wrong with it, if anything, and whether its values were erased."""

    place: int
    hash: bytes
    wrong: str | None
    erased: bool


def walk(tx: Transaction, after: Head, limit: int, gone: frozenset[int]) -> list[Link]:
    """The next rows of the chain after that one, each checked; `gone` are the patients that were erased."""
    query = sa.select(audit).where(audit.c.place > after.place).order_by(audit.c.place).limit(limit)
    last, links = after, []
    for row in tx.all_as(AuditRow, query):
        assert row.place is not None
        found = bytes(row.hash) if row.hash is not None else b""
        wrong = None
        if row.place != last.place + 1:
            one = row.place == last.place + 2
            wrong = (
                f"row {last.place + 1} is missing" if one else f"rows {last.place + 1} to {row.place - 1} are missing"
            )
        elif link(last.hash, row, row.place) != found:
            wrong = f"row {row.place} was changed, or one was put in its place"
        said, erased = _check_values(tx, row, gone)
        links.append(Link(row.place, found, wrong or said, erased))
        last = Head(row.place, found)
    return links


def _check_values(tx: Transaction, row: AuditRow, gone: frozenset[int]) -> tuple[str | None, bool]:
    """What is wrong with the values of a row, and whether they were erased."""
    changed = f"what stood before and after in row {row.place} was changed"
    may_be_gone = row.patient_id in gone
    try:
        values = noted_salted(tx, row)
    except (LookupError, Unreadable):
        return (None, True) if may_be_gone else (changed, False)
    if digest(*values) == (bytes(row.said) if row.said is not None else None):
        return None, False
    taken_out = may_be_gone and values == (None, None)
    return (None, True) if taken_out else (changed, False)


def erased_patients(tx: Transaction) -> frozenset[int]:
    """The patients of whom the audit says that they were erased, and whose key is gone: a row may be forged."""
    query = (
        sa.select(audit.c.patient_id)
        .join(patients, patients.c.id == audit.c.patient_id)
        .outerjoin(keys, keys.c.id == patients.c.key_id)
        .where(audit.c.what == Action.PATIENT_ERASED, sa.or_(keys.c.id.is_(None), keys.c.wrapped == b""))
    )
    return frozenset(row.patient_id for row in tx.all(query))


def hash_at(tx: Transaction, place: int) -> bytes | None:
    """The hash at that place of the chain."""
    found = tx.value(sa.select(audit.c.hash).where(audit.c.place == place))
    return bytes(found) if found is not None else None


_NEWEST = audit.c.place.desc()
_CHAIN = (
    audit.update()
    .where(audit.c.id == sa.bindparam("row"), audit.c.place.is_(None))
    .values(place=sa.bindparam("to"), hash=sa.bindparam("link"))
)
