"""A database with much in it: due texts by the hundred thousand, and a year of history under them.

`lay_down` takes in one plan through the verb that the command line and the API use, and stamps as many more as are
wanted: the same rows with ids, references, a number and a data key of their own, each sealed value sealed again for its
place. Nothing tells them from rows that the verb wrote, but that writing them is quick.

`remember` puts a past beside them, in SQL on either database: for each hundred texts a patient of four series and fifty
visits, half of the texts gone (delivered, failed, expired …, an attempt for each that went) and half suppressed, as it
is where a text of the day before stands for the one two hours ahead. What is sealed in it is the same few bytes
everywhere: no one opens it. A share of it lies in the future, and waits. Ids grow with time, as they do in earnest, so
what is due now lies among a month of others' rows.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import psycopg
import sqlalchemy as sa
import turn

from reminders import plans, store
from reminders.service import AppContext, planning
from reminders.store.database import schema
from reminders.store.database.ids import new_id
from reminders.store.database.sealing import Place, fingerprint

EACH = 100  # texts of one patient's past
VISITS = EACH // 2
A_YEAR = timedelta(days=365)
SITES = 8
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BY_NOBODY = frozenset({"sites", "senders", "sessions", "shapes"})
_STAMPED = [table for table in schema.metadata.sorted_tables if table.name not in _BY_NOBODY]


def plan_of(number: int, starts: str, today: str) -> dict[str, Any]:
    """The plan document of the n-th invented patient, with one visit and one lead of a day."""
    return {
        "plan": {"ref": f"BENCH-{number}", "discharged_on": today},
        "patient": {"ref": f"MRN-{number}", "name": f"Invented Person {number}", "phone": turn.phone(number)},
        "consent": {
            "said": "yes",
            "on": today,
            "how": "signed form",
            "by": "A. Reyes",
            "categories": ["appointments"],
            "warned_of_risk": True,
            "alias_shown": True,
            "verified": "read aloud",
        },
        "series": [
            {"key": "first", "kind": "therapy_individual", "starts": starts, "minutes": 50, "leads": ["1d"]},
        ],
    }


def accept_one(context: AppContext, now: datetime, starts_at: datetime) -> None:
    """Take in the plan of the first patient, through the verb."""
    known = replace(context.database.read(lambda tx: context.known(tx, now)), ours=frozenset())
    starts = plans.to_wall(starts_at, context.settings.site.zone).isoformat(timespec="minutes") + ":00"
    document = plans.read(plan_of(0, starts, known.today.isoformat()), known)
    planning.accept(context, document, now, who="benchmark")


def lay_down(
    context: AppContext,
    many: int,
    now: datetime,
    *,
    over: timedelta = timedelta(0),
    closes: tuple[timedelta, timedelta] | None = None,
) -> None:
    """Lay down that many texts that are due now, each another patient's; their ids are spread over the time before.

    Their windows shut 19 hours from now, or evenly spread between the two `closes`. The database is migrated and empty.
    """
    accept_one(context, now, now + timedelta(hours=20))
    pattern = context.database.read(_rows_of_plan)
    index_key = context.database.read(partial(_index_key, context=context))
    batch: dict[str, list[dict[str, Any]]] = {}
    for number in range(1, many):
        at = now - over + over * number / many
        stamp = _Stamp(context, pattern, number, at, index_key)
        for table in _STAMPED:
            batch.setdefault(table.name, []).extend(stamp.rows(table))
        if number % 2_000 == 0 or number == many - 1:
            context.database.write(partial(_insert, batch=batch))
            batch = {}
    if closes is not None:
        context.database.write(partial(_spread, now=now, closes=closes))
    context.database.checkpoint()
    waiting = context.database.read(store.texts.counts_by_state)
    if waiting != {"scheduled": many}:
        raise SystemExit(f"not {many} due texts were laid down but {waiting}")


def _rows_of_plan(tx: store.Transaction) -> dict[str, list[dict[str, Any]]]:
    """Every row that the one plan brought with it, and what is sealed in it, opened."""
    found: dict[str, list[dict[str, Any]]] = {}
    for table in _STAMPED:
        rows = [dict(row._mapping) for row in tx.all(table.select())]
        if table.name == "keys":
            rows = [row for row in rows if row["purpose"] == "patient"]
        for row in rows:
            for column, value in row.items():
                if column.endswith("_sealed") and value is not None:
                    row[column] = tx.open(Place(table.name, column, row["id"]), value)
        found[table.name] = rows
    return found


class _Stamp:
    """The rows of the plan of one more patient."""

    def __init__(
        self, context: AppContext, pattern: dict[str, list[dict[str, Any]]], number: int, at: datetime, index_key: bytes
    ) -> None:
        self._pattern, self._ring = pattern, context.database.ring
        self._number, self._phone = number, turn.phone(number)
        ids = {row["id"] for rows in pattern.values() for row in rows if "id" in row}
        self._new = {old: new_id(at) for old in sorted(ids)}
        (key_row,) = pattern["keys"]
        self._key, self._wrapped = self._ring.new_data_key(self._new[key_row["id"]])
        self._mark = fingerprint(index_key, self._phone)

    def rows(self, table: sa.Table) -> Iterator[dict[str, Any]]:
        """Its rows of one table."""
        for old in self._pattern[table.name]:
            row = {name: self._new.get(value, value) if type(value) is int else value for name, value in old.items()}
            for column, value in old.items():
                if column.endswith("_sealed") and value is not None:
                    place = Place(table.name, column, row["id"])
                    whole = self._phone if table.name == "numbers" else value
                    by_ring = table.name == "numbers"
                    row[column] = self._ring.seal(place, whole.encode()) if by_ring else self._key.seal(place, whole)
            if table.name == "keys":
                row["wrapped"] = self._wrapped
            elif table.name == "numbers":
                row["fingerprint"] = self._mark
            elif table.name in {"patients", "plans"}:
                row["ref"] = f"{old['ref'].split('-')[0]}-{self._number}"
            yield row


def _index_key(tx: store.Transaction, context: AppContext) -> bytes:
    row = tx.first(sa.select(schema.keys).where(schema.keys.c.purpose == "index"))
    return context.database.index_key(row.id, row.wrapped)


def _insert(tx: store.Transaction, batch: dict[str, list[dict[str, Any]]]) -> None:
    for table in _STAMPED:
        tx.run_many(table.insert(), batch.get(table.name, []))


def _spread(tx: store.Transaction, now: datetime, closes: tuple[timedelta, timedelta]) -> None:
    """Let the windows shut evenly between two moments, in an order that has nothing to do with that of the rows."""
    rows = [row.id for row in tx.all(sa.select(schema.texts.c.id).order_by(schema.texts.c.id))]
    first, last = closes
    step = 7_919  # prime to any number of rows that is not a multiple of it
    tx.run_many(
        schema.texts.update().where(schema.texts.c.id == sa.bindparam("row")).values(closes_at=sa.bindparam("at")),
        [
            {"row": row, "at": now + first + (last - first) * (place * step % len(rows)) / len(rows)}
            for place, row in enumerate(rows)
        ],
    )


# The past


class _SQLite:
    """How SQLite says it. One connection, without a journal: a fill that breaks off is begun again."""

    def __init__(self, url: str) -> None:
        self._connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "foreign_keys=OFF", "cache_size=-1000000"):
            self.run(f"PRAGMA {pragma}")
        self.run("PRAGMA temp_store=FILE")

    def run(self, statement: str) -> list[Any]:
        return self._connection.execute(statement).fetchall()

    def counting(self, name: str, first: int, end: int) -> tuple[str, str]:
        """The numbers from `first` up to `end` as a table of that name: what precedes SELECT, and the table."""
        return (
            f"{name}({name}) AS (SELECT {first} UNION ALL SELECT {name} + 1 FROM {name} WHERE {name} + 1 < {end})",
            name,
        )

    def indexes(self, table: str) -> list[tuple[str, str]]:
        return self.run(
            f"SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = '{table}' AND sql IS NOT NULL"
        )

    def at(self, microseconds: str) -> str:
        return microseconds

    def microseconds(self, instant: str) -> str:
        return instant

    def day(self, microseconds: str) -> str:
        return f"date(({microseconds}) / 1000000, 'unixepoch')"

    def as_text(self, day: str) -> str:
        return day

    def hex(self, number: str) -> str:
        return f"printf('%016x', {number})"

    def sealed(self, size: int) -> str:
        return f"x'{'5a' * size}'"

    def json(self, text: str) -> str:
        return f"'{text}'"

    def finish(self, _: Sequence[str]) -> None:
        self._connection.close()


class _PostgreSQL:
    """How PostgreSQL says it. Foreign keys are not looked at, as in a restore."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        for setting in (
            "session_replication_role = replica",
            "synchronous_commit = off",
            "maintenance_work_mem = '1GB'",
            "work_mem = '256MB'",
            "timezone = 'UTC'",
        ):
            self.run(f"SET {setting}")

    def run(self, statement: str) -> list[Any]:
        cursor = self._connection.execute(statement)
        return cursor.fetchall() if cursor.description else []

    def counting(self, name: str, first: int, end: int) -> tuple[str, str]:
        return "", f"generate_series({first}::bigint, {end - 1}) AS {name}({name})"

    def indexes(self, table: str) -> list[tuple[str, str]]:
        return self.run(
            f"SELECT indexname, indexdef FROM pg_indexes WHERE tablename = '{table}'"
            " AND indexname NOT IN (SELECT conname FROM pg_constraint)"
        )

    def at(self, microseconds: str) -> str:
        return f"to_timestamp(({microseconds}) / 1000000.0)"

    def microseconds(self, instant: str) -> str:
        return f"(extract(epoch FROM {instant}) * 1000000)::bigint"

    def day(self, microseconds: str) -> str:
        return f"to_timestamp(({microseconds}) / 1000000)::date"

    def as_text(self, day: str) -> str:
        return f"to_char({day}, 'YYYY-MM-DD')"

    def hex(self, number: str) -> str:
        return f"lpad(to_hex(({number})::bigint), 16, '0')"

    def sealed(self, size: int) -> str:
        return f"'\\x{'5a' * size}'::bytea"

    def json(self, text: str) -> str:
        return f"'{text}'::json"

    def finish(self, tables: Sequence[str]) -> None:
        for table in tables:
            self.run(f"ALTER TABLE {table} RESET (autovacuum_enabled)")
        self.run("VACUUM ANALYZE")  # as autovacuum would have done long ago
        self.run("CHECKPOINT")
        self._connection.close()


_SEALED = ("keys", "numbers", "patients", "name_words")  # of everyone, with what is sealed
_PEOPLE = ("recipients", "consents", "plans", "series", "replies", "tasks")
_MANY = ("appointments", "texts", "text_items")
_CODES = (30003, 30005, 30006, 30007, 30008, 30034)
_REASONS = ("merged_into", "merged_into", "cap_day", "quiet_hours", "no_consent")
_ENDS = ("undelivered", "undelivered", "undelivered", "unconfirmed", "expired", "sent")
_ATTENDED = ("attended", "attended", "booked", "attended", "missed")
_KINDS = ("therapy_group", "therapy_individual", "group_education", "family_session")
_DAY = 86_400_000_000  # microseconds
_HOUR = 3_600_000_000


def remember(context: AppContext, stored: int, now: datetime) -> None:
    """Put a past beside what is laid down, so that `stored` texts are there in all; the house is closed by it."""
    there = sum(context.database.read(store.texts.counts_by_state).values())
    patients = max(0, stored - there) // EACH
    sites = context.database.write(partial(_more_sites, context=context, now=now))
    past = _Past(patients, sites, now)
    for first in range(0, patients, 5_000):
        some = range(first, min(first + 5_000, patients))
        context.database.write(partial(_know, past=past, some=some))
    url, is_postgresql = context.settings.database.url, context.database.dialect == "postgresql"
    context.close()
    say = _PostgreSQL(url) if is_postgresql else _SQLite(url)
    kept = [(name, sql) for table in (*_MANY, "attempts") for name, sql in say.indexes(table)]
    for name, _ in kept:
        say.run(f"DROP INDEX {name}")
    if is_postgresql:
        _fill_in_order(say, past, patients)
    else:
        for table in (*_PEOPLE, *_MANY):
            past.fill(say, table, 0, patients)
    past.fill_attempts(say)
    for _, sql in kept:
        say.run(sql)
    say.finish((*_MANY, "attempts"))


def _fill_in_order(say: "_PostgreSQL", past: "_Past", patients: int) -> None:
    """Rows stand where they were inserted: what is there is put aside, and comes in again in the order of the ids."""
    tables = (*_SEALED, *_PEOPLE, *_MANY)
    for table in tables:
        say.run(f"CREATE TEMP TABLE due_{table} AS TABLE {table}")
    index = say.run("SELECT * FROM keys WHERE purpose = 'index'")
    say.run(f"TRUNCATE {', '.join(tables)} CASCADE")
    for table in (*_MANY, "attempts"):
        say.run(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    slices = min(60, patients) or 1
    edges = [patients * place // slices for place in range(slices + 1)]
    for place, (first, end) in enumerate(pairwise(edges)):
        low = 0 if place == 0 else past.first_id(first)
        high = 2**63 - 1 if place == slices - 1 else past.first_id(end)
        for table in tables:
            if table not in _SEALED:
                past.fill(say, table, first, end)
            column = {"text_items": "text_id", "name_words": "patient_id"}.get(table, "id")
            theirs = f"SELECT * FROM due_{table} WHERE {column} >= {low} AND {column} < {high} ORDER BY {column}"
            say.run(f"INSERT INTO {table} {theirs}")
    assert index == say.run("SELECT * FROM keys WHERE purpose = 'index'")


def _know(tx: store.Transaction, past: "_Past", some: range) -> None:
    """Write down some patients of the past: key, number, name."""
    rows: dict[str, list[dict[str, Any]]] = {table: [] for table in _SEALED}
    for patient in some:
        base, at = past.first_id(patient), past.accepted_at(patient)
        key, wrapped = tx.ring.new_data_key(base)
        phone = turn.phone(100_000 + patient)
        sealed = tx.seal(Place("numbers", "phone_sealed", base), phone)
        number = {"id": base, "fingerprint": tx.fingerprint(phone), "phone_sealed": sealed}
        rows["numbers"].append(number | {"verified_at": at, "last_texted_at": at})
        rows["keys"].append({"id": base, "purpose": "patient", "wrapped": wrapped, "made_at": at})
        name = f"Someone Of{patient}"
        one = {"id": base, "ref": f"P-{patient}", "key_id": base, "legal_hold": False, "created_at": at}
        one |= {"site_id": past.site_of(patient)}
        rows["patients"].append(one | {"name_sealed": key.seal(Place("patients", "name_sealed", base), name)})
        marks = store.people.name_marks(tx, name)
        rows["name_words"] += [{"fingerprint": mark, "patient_id": base} for mark in marks]
    for table, made in rows.items():
        tx.run_many(schema.metadata.tables[table].insert(), made)


def _more_sites(tx: store.Transaction, context: AppContext, now: datetime) -> list[tuple[int, int]]:
    """The ids of the sites and of their senders: the default one, and others like it."""
    own = store.people.site_by_key(tx, context.settings.site.key)
    (pattern,) = tx.all(sa.select(schema.senders).where(schema.senders.c.site_id == own.id))
    found = [(own.id, pattern.id)]
    for number in range(1, SITES):
        site = {**own._asdict(), "id": new_id(now), "key": f"site-{number}"}
        sender = {
            **pattern._mapping,
            "id": new_id(now),
            "site_id": site["id"],
            "address": f"+1202555{number + 150:04d}",
        }
        tx.run(schema.sites.insert(), site)
        tx.run(schema.senders.insert(), sender)
        found.append((site["id"], sender["id"]))
    return found


class _Past:
    """The statements that fill each table. `i` is a patient, `j` one of their series, `m` a visit, `k` a text."""

    def __init__(self, patients: int, sites: list[tuple[int, int]], now: datetime) -> None:
        self._sites = sites
        self._now = (now - EPOCH) // timedelta(microseconds=1)
        self._step = max(1_000, (A_YEAR // timedelta(microseconds=1)) // max(1, patients))
        self._start = self._now - self._step * patients
        self._texts = patients * EACH
        t = f"({self._start} + i * {self._step})"
        self._t, self._base = t, f"(({t} / 1000) * 4194304)"
        self._site = _chosen("i", [site for site, _ in sites])
        self._sender = _chosen("i", [sender for _, sender in sites])

    def first_id(self, patient: int) -> int:
        """The id with which the rows of a patient begin."""
        return ((self._start + patient * self._step) // 1000) << 22

    def accepted_at(self, patient: int) -> datetime:
        """When the plan of a patient came in."""
        return EPOCH + timedelta(microseconds=self._start + patient * self._step)

    def site_of(self, patient: int) -> int:
        """The id of a patient's site."""
        return self._sites[patient % len(self._sites)][0]

    def fill(self, say: "_SQLite | _PostgreSQL", table: str, first: int, end: int) -> None:
        """Lay down a table's rows of the patients from `first` up to `end`."""
        if end <= first:
            return
        inner, columns = (self._people(say) | self._answers(say) | self._many(say))[table]
        counted = [say.counting("i", first, end)]
        if inner:
            name, many = inner
            counted.append(say.counting(name, 0, many))
        head = ", ".join(before for before, _ in counted if before)
        source = " CROSS JOIN ".join(table for _, table in counted)
        # SQLite counts in this order anyhow, and would sort.
        order = "" if head else f" ORDER BY i{f', {inner[0]}' if inner else ''}"
        say.run(
            f"{f'WITH RECURSIVE {head}' if head else ''} INSERT INTO {table} ({_listed(columns)})"
            f" SELECT {', '.join(columns.values())} FROM {source}{order}"
        )

    def _people(self, say: "_SQLite | _PostgreSQL") -> dict[str, tuple[tuple[str, int] | None, dict[str, str]]]:
        base, at = self._base, say.at(self._t)
        day, is_over = say.day(self._t), f"({self._t} + 102 * {_DAY} < {self._now})"
        own = {"id": base, "site_id": self._site}
        return {
            "recipients": (
                None,
                {
                    "id": base,
                    "patient_id": base,
                    "key": "'self'",
                    "role": "'self'",
                    "number_id": base,
                    "language": _chosen("i", ["en", "en", "es"]),
                    "zone": "'America/New_York'",
                    "weekly_digest": "false",
                    "guessed_zones": say.json("[]"),
                    "entered_at": at,
                    "consent_id": base,
                },
            ),
            "consents": (
                None,
                {
                    "id": base,
                    "recipient_id": base,
                    "number_id": base,
                    "said": "'yes'",
                    "said_on": day,
                    "how": "'signed form'",
                    "by": "'A. Reyes'",
                    "categories": say.json('["appointments"]'),
                    "warned_of_risk": "true",
                    "alias_shown": "true",
                    "verified": "'read aloud'",
                    "recorded_at": at,
                },
            ),
            "plans": (
                None,
                own
                | {
                    "patient_id": base,
                    "source": "'plan'",
                    "ref": "'P-' || i",
                    "version": "1",
                    "status": f"CASE WHEN {is_over} THEN 'ended' ELSE 'active' END",
                    "ended_because_sealed": f"CASE WHEN {is_over} THEN {say.sealed(69)} END",
                    "discharged_on": day,
                    "program": _chosen("i", ["matrix-iop", "iop", "weekly-cbt"]),
                    "alongside": "false",
                    "document_sealed": say.sealed(700),
                    "laid_down_until": say.day(str(self._now + 400 * _DAY)),
                    "created_at": at,
                    "changed_at": at,
                },
            ),
            "series": (
                ("j", len(_KINDS)),
                {
                    "id": f"{base} + j",
                    "plan_id": base,
                    "key": "'series-' || j",
                    "kind": _chosen("j", _KINDS),
                    "starts": f"{say.as_text(day)} || 'T15:00:00'",
                    "zone": "'America/New_York'",
                    "repeats": "'FREQ=WEEKLY'",
                    "minutes": "50",
                    "how": "'in_person'",
                    "recipients": say.json('["self"]'),
                    "status": "'booked'",
                },
            ),
        }

    def _answers(self, say: "_SQLite | _PostgreSQL") -> dict[str, tuple[tuple[str, int] | None, dict[str, str]]]:
        """Two replies of each patient, and a task, which is closed but for some of the last two months."""
        came = f"({self._t} + (r + 1) * 20 * {_DAY})"
        past = f"(CASE WHEN {came} < {self._now} THEN {came} ELSE {self._t} END)"
        is_open = f"(i % 100 = 7 AND {self._t} > {self._now - 60 * _DAY})"
        at = f"({self._t} + {_DAY})"
        heard = f"(CASE WHEN {at} < {self._now} THEN {at} ELSE {self._t} END)"
        return {
            "replies": (
                ("r", 2),
                {
                    "id": f"{self._base} + r",
                    "sid": f"'SM' || {say.hex('i * 7919 + r')} || {say.hex('i * 2 + r')}",
                    "number_id": self._base,
                    "sent_to": "'+15005550006'",
                    "site_id": self._site,
                    "patient_id": self._base,
                    "body_sealed": say.sealed(60),
                    "media": "0",
                    "doubt_sealed": say.sealed(293),
                    "reading_sealed": say.sealed(293),
                    "lexicon": "'2026-11'",
                    "heard_by": "'callback'",
                    "sent_at": say.at(past),
                    "received_at": say.at(past),
                },
            ),
            "tasks": (
                None,
                {
                    "site_id": self._site,
                    "kind": "'reply'",
                    "key": "'bench:' || i",
                    "urgency": "'soon'",
                    "patient_id": self._base,
                    "number_id": self._base,
                    "opened_at": say.at(heard),
                    "due_at": say.at(f"({heard} + {_DAY})"),
                    "closed_at": f"CASE WHEN {is_open} THEN NULL ELSE {say.at(heard)} END",
                    "outcome": f"CASE WHEN {is_open} THEN NULL ELSE 'done' END",
                    "rings": "0",
                    "step": "0",
                },
            ),
        }

    def _many(self, say: "_SQLite | _PostgreSQL") -> dict[str, tuple[tuple[str, int] | None, dict[str, str]]]:
        base, at = self._base, say.at(self._t)

        def visit(m: str) -> str:  # every other day at 20:00 UTC, from the second on
            return f"(({self._t} / {_DAY}) * {_DAY} + (2 * ({m}) + 2) * {_DAY} + 20 * {_HOUR})"

        lead = "CASE k % 2 WHEN 0 THEN ':1d@17:00' ELSE ':2h' END"
        wall = f"{say.as_text(say.day(visit('m')))} || 'T15:00:00'"
        status = f"CASE WHEN {visit('m')} < {self._now} THEN {_chosen('i + m', _ATTENDED)} ELSE 'booked' END"
        of_text = visit("k / 2")
        opens = f"({of_text} - CASE k % 2 WHEN 0 THEN 22 ELSE 2 END * {_HOUR})"
        state = (
            f"CASE WHEN k % 2 = 1 THEN 'suppressed' WHEN {opens} > {self._now + 2 * _DAY} THEN 'scheduled'"
            f" WHEN {opens} > {self._now - _HOUR} THEN 'cancelled'"
            f" ELSE CASE WHEN (i * 7 + k) % 100 < 88 THEN 'delivered' ELSE {_chosen('i * 7 + k', _ENDS)} END END"
        )
        return {
            "appointments": (
                ("m", VISITS),
                {
                    "id": f"{base} + m",
                    "series_id": f"{base} + m % {len(_KINDS)}",
                    "recurrence_id": say.as_text(say.day(visit("m"))),
                    "wall": wall,
                    "zone": "'America/New_York'",
                    "starts_at": say.at(visit("m")),
                    "status": status,
                    "agreed_wall": wall,
                    "agreed_status": "'booked'",
                    "known_wall": wall,
                    "known_status": "'booked'",
                    "entered_at": at,
                    "version": "1",
                    "written_at": at,
                },
            ),
            "texts": (
                ("k", EACH),
                {
                    "id": f"{base} + k",
                    "site_id": self._site,
                    "sender_id": self._sender,
                    "number_id": base,
                    "recipient_id": base,
                    "plan_id": base,
                    "class": "'reminder'",
                    "key": f"'day:' || {say.as_text(say.day(of_text))} || {lead}",
                    "day": say.day(of_text),
                    "state": state,
                    "reason": f"CASE WHEN k % 2 = 1 THEN {_chosen('i + k / 2', _REASONS)} END",
                    "ready": "false",
                    "due_at": say.at(opens),
                    "opens_at": say.at(opens),
                    "closes_at": say.at(f"({of_text} - {_HOUR})"),
                    "attempts": f"CASE WHEN k % 2 = 0 AND {opens} <= {self._now - _HOUR} THEN 1 ELSE 0 END",
                    "resent": "false",
                },
            ),
            "text_items": (("k", EACH), {"text_id": f"{base} + k", "appointment_id": f"{base} + k / 2"}),
        }

    def fill_attempts(self, say: "_SQLite | _PostgreSQL") -> None:
        """An attempt for each text that went, in the order in which they went."""
        opens = say.microseconds("texts.opens_at")
        at = say.at(f"({opens} + 3000000)")
        spread = 2**62 // max(
            1, self._texts
        )  # refs and sids come in order here, and lie as far apart as chance puts them
        mark = f"{say.hex(f'place * {spread}')} || {say.hex('place * 2654435761')}"
        code = f"CASE WHEN state = 'undelivered' THEN {_chosen('place', _CODES)} ELSE 0 END"
        columns = {
            "id": f"(({opens} / 1000 + 3000) * 4194304 + place % 4194304)",
            "text_id": "id",
            "number": "1",
            "ref": mark,
            "sid": f"CASE WHEN state <> 'expired' THEN 'SM' || {mark} END",
            "sender_id": "sender_id",
            "number_id": "number_id",
            "consent_id": "recipient_id",  # they have the same ids here
            "started_at": at,
            "answered_at": at,
            "answer": "CASE WHEN state = 'expired' THEN 'refused' ELSE 'accepted' END",
            "status": "CASE WHEN state IN ('delivered', 'undelivered', 'sent') THEN state ELSE 'sent' END",
            "error_code": code,
            "status_at": at,
            "template": "'one'",
            "language": "'en'",
            "body_sealed": say.sealed(150),
            "segments": "1",
            "encoding": "'GSM-7'",
        }
        ordered = "SELECT *, row_number() OVER (ORDER BY opens_at, id) AS place FROM texts WHERE attempts = 1"
        say.run(
            f"INSERT INTO attempts ({_listed(columns)})"
            f" SELECT {', '.join(columns.values())} FROM ({ordered}) AS texts ORDER BY place"
        )


def _chosen(number: str, values: Sequence[object]) -> str:
    """One of these values, by a number: an SQL expression."""
    whens = " ".join(f"WHEN {place} THEN {value!r}" for place, value in enumerate(values))
    return f"CASE ({number}) % {len(values)} {whens} END"


def _listed(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
