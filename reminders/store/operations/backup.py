"""Backups of the whole database, and what a restored one must not forget.

A restored database believes that what went since the backup is unsent (K13). So a restore puts every text that may have
gone in doubt, in the same step; no sender sends before the doubts are settled (`service/sending/outcomes.py`).
"""

import os
import re
import sqlite3
import stat
import subprocess  # ruff: ignore[suspicious-subprocess-import]  only PostgreSQL's own programs make a dump
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from reminders.audit_actions import Action
from reminders.lifecycle import NOT_GONE, State
from reminders.store.database.engine import Transaction
from reminders.store.database.migrate import _known
from reminders.store.database.schema import (
    READY,
    WAITING,
    attempts,
    audit,
    doubts,
    keys,
    marks,
    numbers,
    patients,
    recipients,
    senders,
    sites,
    texts,
)
from reminders.store.database.sealing import sealing_key_of
from reminders.store.operations import age
from reminders.store.people import masked_of
from reminders.store.planning.texts import move

SOON = timedelta(minutes=5)  # what is due within so long of a restore may have gone: the clocks of two machines
REST = timedelta(days=3650)  # a sender that waits for the doubts to be settled
BEGUN, TAKEN = "backup begun", "backup"
SINCE, RESTORED, SWEPT, GUARD = "restored from", "restored", "swept", "guard"
ALL_WAITING = sa.text("state = 'scheduled'")  # held ones too: they may have been let go since
QUEUED = sa.or_(sa.text(f"({WAITING})"), sa.text(READY))
_FILE_OF = {"sqlite": b"SQLite format 3\0", "postgresql": b"PGDMP"}


class BadBackup(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """A backup that cannot be taken or restored. The message says why, and what to do."""


# The files.


def kind_of(url: str) -> str:
    """`sqlite` or `postgresql`."""
    return "sqlite" if make_url(url).get_backend_name() == "sqlite" else "postgresql"


def file_of(url: str) -> Path:
    """The file an SQLite database stands in."""
    name = make_url(url).database
    if not name or name == ":memory:":
        raise BadBackup("this database stands in no file")
    return Path(name)


def write(url: str, target: Path, client_folder: Path | None, recipients: Sequence[str] = ()) -> int:
    """Write a verified copy of the whole database to `target`, while others go on writing; its size.

    With `recipients` it is sealed for them. It appears under that name when it is whole and on disk, readable by its
    owner only. Raises BadBackup.
    """
    if recipients:
        with _beside(target) as sealed, _beside(target) as clear:
            _write(url, target, clear, client_folder)
            try:
                age.seal(clear, sealed, recipients)
            except ValueError as wrong:
                raise BadBackup(f"backup.recipients: {wrong}") from None
            return _appear(sealed, target)
    with _beside(target) as draft:
        _write(url, target, draft, client_folder)
        return _appear(draft, target)


def _appear(draft: Path, target: Path) -> int:
    _sync(draft)
    size = draft.stat().st_size
    draft.replace(target)
    _sync(target.parent)
    return size


def _write(url: str, target: Path, draft: Path, client_folder: Path | None) -> None:
    """A verified copy in `draft`: of SQLite by its integrity check, of PostgreSQL by reading all of the dump again."""
    if kind_of(url) == "sqlite":
        source = file_of(url)
        if not source.is_file():
            raise BadBackup("there is no database yet; run `reminders migrate` first")
        if target.exists() and target.samefile(source):
            raise BadBackup("that is the database itself; give the backup another name")
        _copy_sqlite(source, "rw", draft)
    else:
        _run(client_folder, "pg_dump", ["--format=custom", f"--file={draft}"], url)
        _listed(draft, client_folder)
        _run(client_folder, "pg_restore", [f"--file={os.devnull}", str(draft)])


@contextmanager
def _beside(target: Path) -> Generator[Path]:
    """An empty file beside `target`, for its owner only; gone afterwards unless it was renamed."""
    try:
        with NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as made:  # mode 600
            draft = Path(made.name)
    except OSError as error:
        raise BadBackup(f"cannot write there: {error.strerror}") from None
    try:
        yield draft
    except OSError as error:
        raise BadBackup(f"cannot be written: {error.strerror}") from None
    finally:
        for name in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm"), Path(f"{draft}-journal")):
            name.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy_sqlite(source: Path, mode: str, target: Path) -> None:
    """By SQLite's backup API, in one step: one moment of the source, and no writer waits for it."""
    try:
        with (
            closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode={mode}", uri=True, timeout=15)) as here,
            closing(sqlite3.connect(target, isolation_level=None)) as there,
        ):
            here.backup(there)
            (said,) = there.execute("PRAGMA integrity_check(1)").fetchone()
            if said != "ok":
                raise BadBackup("the copy does not pass SQLite's integrity check: the database is damaged")
            there.execute("PRAGMA journal_mode=DELETE")  # one file, complete in itself
    except sqlite3.Error as error:
        raise BadBackup(f"SQLite cannot copy it ({_named(error)})") from None


def _named(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


def _environment(url: str) -> dict[str, str]:
    """How the client reaches the server: all of it in the environment, for arguments are for everyone to read."""
    address = make_url(url).set(drivername="postgresql+psycopg")
    _, wanted = address.get_dialect()().create_connect_args(address)
    from psycopg import pq

    names = {known.keyword.decode(): known.envvar.decode() for known in pq.Conninfo.get_defaults() if known.envvar}
    given = {names[word]: str(value) for word, value in wanted.items() if word in names}
    return {**_without_secrets(), **given, "PGCLIENTENCODING": "UTF8"}


def _without_secrets() -> dict[str, str]:
    ours = ("REMINDERS_", "TWILIO_", "DATABASE_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def _run(client_folder: Path | None, program: str, arguments: Sequence[str], url: str | None = None) -> str:
    """Run one of PostgreSQL's own programs; what it printed. Raises BadBackup with its last words."""
    command = str(client_folder / program) if client_folder is not None else program
    environment = _without_secrets() if url is None else _environment(url)
    try:
        done = subprocess.run(  # ruff: ignore[subprocess-without-shell-equals-true]  our own words and the operator's
            [command, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError:
        raise BadBackup(
            f"{program} is not to be had; install PostgreSQL's client programs (at least as new as the server), or "
            "name their folder in database.client_folder"
        ) from None
    if done.returncode:
        said = re.sub(r"^\w+: (error: )?", "", (done.stderr.strip().splitlines() or ["it does not say why"])[0])
        raise BadBackup(f"{program} did not succeed: {said}")
    return done.stdout


def _listed(dump: Path, client_folder: Path | None) -> list[str]:
    """The contents of a dump, line by line. Raises BadBackup where it is none of ours."""
    lines = _run(client_folder, "pg_restore", ["--list", str(dump)]).splitlines()
    if not any(" TABLE DATA public texts " in line for line in lines):
        raise BadBackup("this is no backup of this service: it holds no texts")
    return lines


def revision_of(url: str, file: Path, client_folder: Path | None) -> str:
    """The schema that a backup is of. Raises BadBackup where the file is none, is damaged, or is of another kind."""
    kind = kind_of(url)
    try:
        with file.open("rb") as opened:
            head = opened.read(16)
    except OSError as error:
        raise BadBackup(f"the backup cannot be read: {error.strerror}") from None
    if not head.startswith(_FILE_OF[kind]):
        other = next((name for name, start in _FILE_OF.items() if head.startswith(start)), None)
        words = f"it is one of {other}, and database.url names {kind}" if other else "it is none, or damaged"
        raise BadBackup(f"this is no backup of such a database: {words}")
    if kind == "sqlite":
        try:
            with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as opened_:
                row = opened_.execute("SELECT version_num FROM alembic_version").fetchone()
        except sqlite3.Error as error:
            raise BadBackup(f"this is no backup of this service, or it is damaged ({_named(error)})") from None
        found = str(row[0]) if row else None
    else:
        _listed(file, client_folder)
        said = _run(client_folder, "pg_restore", ["--data-only", "--table=alembic_version", "--file=-", str(file)])
        match = re.search(r"^COPY public\.alembic_version .*\n(\S+)\n", said, re.MULTILINE)
        found = match[1] if match else None
    if found is None:
        raise BadBackup("this backup does not say which schema it is of")
    return found


@contextmanager
def opened(file: Path, beside: Path, identities: Sequence[str]) -> Generator[Path]:
    """The backup as it was before it was sealed, in a file of its own beside another; one that is not sealed as it is.

    Raises BadBackup where it does not open.
    """
    try:
        is_sealed = age.is_sealed(file)
    except OSError as error:
        raise BadBackup(f"the backup cannot be read: {error.strerror}") from None
    if not is_sealed:
        yield file
        return
    if not identities:
        raise BadBackup(
            "this backup is sealed (age); name the file with the key that opens it, AGE-SECRET-KEY-1…: --identity FILE"
        )
    with _beside(beside) as clear:
        try:
            age.open_to(file, clear, identities)
        except age.NotOpened as wrong:
            raise BadBackup(f"this sealed backup does not open: {wrong}") from None
        yield clear


def wanted_keys(url: str, file: Path, client_folder: Path | None) -> tuple[set[str], dict[int, bytes]]:
    """Which sealing keys a backup needs, by id; and the phone index key in it, as it lies wrapped: row → value."""
    found = _sealed_in_file(file) if kind_of(url) == "sqlite" else _sealed_in_dump(file, client_folder)
    ids, index = set(), {}
    for table, row, purpose, sealed in found:
        key_id = sealing_key_of(sealed)
        if key_id is not None:
            ids.add(key_id)
        if table == "keys" and purpose == "index":
            index[row] = sealed
    return ids, index


def _sealed_in_file(file: Path) -> Iterator[tuple[str, int, str, bytes]]:
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as opened_:
            yield from (("keys", *row) for row in opened_.execute("SELECT id, purpose, wrapped FROM keys"))
            yield from (("numbers", *row) for row in opened_.execute("SELECT id, '', phone_sealed FROM numbers"))
    except sqlite3.Error as error:
        raise BadBackup(f"this is no backup of this service, or it is damaged ({_named(error)})") from None


def _sealed_in_dump(file: Path, client_folder: Path | None) -> Iterator[tuple[str, int, str, bytes]]:
    for table, sealed in (("keys", "wrapped"), ("numbers", "phone_sealed")):
        said = _run(client_folder, "pg_restore", ["--data-only", f"--table={table}", "--file=-", str(file)])
        copied = re.search(rf"^COPY public\.{table} \((.*?)\) FROM stdin;\n(.*?)^\\\.$", said, re.MULTILINE | re.DOTALL)
        if copied is None:
            raise BadBackup(f"this is no backup of this service: it holds no table {table}")
        names = [name.strip('"') for name in copied[1].split(", ")]
        for line in copied[2].splitlines():
            row = dict(zip(names, line.split("\t"), strict=True))
            value = bytes.fromhex(row[sealed].removeprefix("\\\\x")) if row[sealed] != "\\N" else b""
            yield table, int(row["id"]), row.get("purpose", ""), value


def old_ones(folder: Path, suffix: str, keep: int) -> list[Path]:
    """The backups in a folder, by the names that we give, without the `keep` newest; the oldest first."""
    ours = re.compile(rf"reminders-[0-9]{{8}}T[0-9]{{6}}Z\.{suffix}(\.age)?")
    found = sorted(
        (one for one in folder.iterdir() if ours.fullmatch(one.name) and one.is_file()), key=lambda p: p.name
    )
    return found[:-keep]


def speaks(revision: str) -> bool:
    """Whether this code knows that schema, as its own or an older one."""
    return revision in _known()


@contextmanager
def draft_of(url: str, file: Path) -> Generator[tuple[str, Path]]:
    """A copy of an SQLite backup beside the database that it is to replace: (its address, its file)."""
    with _beside(file_of(url)) as draft:
        _copy_sqlite(file, "ro", draft)
        yield f"sqlite:///{draft}", draft


def is_open_elsewhere(url: str) -> bool:
    """Whether another process has this SQLite database open. False where there is none, or it cannot be read at all.

    SQLite leaves the write-ahead mode only for who is alone; doing so also folds the log into the file.
    """
    path = file_of(url)
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=1)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
            return str(mode) == "wal"
    except sqlite3.Error as error:
        return _named(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def put_in_place(url: str, draft: Path, at: datetime) -> Path | None:
    """Let the finished draft be the database; where the one that stood there was put, None where there was none."""
    path, aside = file_of(url), None
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
    if path.exists():
        was = path.stat()
        draft.chmod(stat.S_IMODE(was.st_mode))
        if os.geteuid() == 0:
            os.chown(draft, was.st_uid, was.st_gid)
        aside = path.with_name(f"{path.name}.before-{at:%Y%m%dT%H%M%SZ}")
        while aside.exists():
            aside = aside.with_name(f"{aside.name}x")
        for suffix in ("-wal", "-shm", "-journal"):  # they belong to the old one, and would spoil the new
            log = Path(f"{path}{suffix}")
            if log.exists():
                log.replace(f"{aside}{suffix}")
        aside.hardlink_to(path)  # so that there is a database under that name at every moment
    _sync(draft)
    draft.replace(path)
    _sync(path.parent)
    return aside


def is_empty(tx: Transaction) -> bool:
    """Whether there is no table at all in this database."""
    return not sa.inspect(tx.connection).get_table_names()


def load_dump(url: str, file: Path, client_folder: Path | None) -> None:
    """Load a dump into the empty PostgreSQL database of `url`: all of it, or nothing.

    But for the revision: until `set_revision` every process takes the database for an empty one and stays away, so that
    none sends before the doubts are written down. Raises BadBackup.
    """
    wanted = [line for line in _listed(file, client_folder) if " TABLE DATA public alembic_version " not in line]
    with TemporaryDirectory() as folder:
        contents = Path(folder) / "contents"
        contents.write_text("\n".join(wanted), encoding="utf-8")
        arguments = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
        database = make_url(url).database or ""
        _run(
            client_folder, "pg_restore", [*arguments, f"--use-list={contents}", f"--dbname={database}", str(file)], url
        )


def set_revision(tx: Transaction, revision: str, now: datetime) -> None:
    """Say which schema a loaded dump is of; nothing is sent before the doubts are written down all the same."""
    tx.run(senders.update().values(stopped_until=now + REST, stopped_code=None))
    tx.run(sa.table("alembic_version", sa.column("version_num")).insert().values(version_num=revision))


# Moments.


def set_mark(tx: Transaction, name: str, at: datetime) -> None:
    """Note when that was."""
    if not tx.run(marks.update().where(marks.c.name == name).values(at=at)):
        tx.insert_new(marks, {"name": name, "at": at})


def all_marks(tx: Transaction) -> Mapping[str, datetime]:
    """The moments on record: name → when."""
    return {row.name: row.at for row in tx.all(sa.select(marks))}


def forget_mark(tx: Transaction, name: str) -> bool:
    """It is over; whether it was on record."""
    return tx.run(marks.delete().where(marks.c.name == name)) == 1


def sealing_since(tx: Transaction) -> datetime | None:
    """Since when the present sealing key may seal: the last rotation on record, else the database's first key."""
    rotated = sa.select(sa.func.max(audit.c.at, type_=audit.c.at.type)).where(audit.c.what == Action.KEYS_ROTATED)
    first = sa.select(sa.func.min(keys.c.made_at, type_=keys.c.made_at.type))
    at: datetime | None = tx.value(rotated) or tx.value(first)
    return at


# Doubts.


def restored(tx: Transaction, backup_at: datetime, now: datetime) -> int:
    """Put in doubt what may have gone between the backup and `now`, and let every sender rest; how many texts.

    A sender that never listed what was texted to it is to list it from the backup on: every STOP since must come in.
    """
    tx.run(doubts.delete())
    for name in (SWEPT, GUARD):
        forget_mark(tx, name)
    for name, at in ((SINCE, backup_at), (RESTORED, now), (GUARD, now)):
        set_mark(tx, name, at)
    tx.run(senders.update().values(stopped_until=now + REST, stopped_code=None))
    tx.run(senders.update().where(senders.c.heard_until.is_(None)).values(heard_until=backup_at))
    return doubt(tx, ALL_WAITING, now)


def doubt(tx: Transaction, which: sa.ColumnElement[bool] | sa.TextClause, now: datetime) -> int:
    """Put the texts in doubt that are `which` and due by now, or soon; how many were not in doubt before."""
    due = sa.select(texts.c.id, texts.c.number_id, sa.literal(0), sa.literal(now, doubts.c.look_at.type), sa.false())
    known = sa.select(doubts.c.text_id).where(doubts.c.text_id == texts.c.id)
    fresh = due.where(which, texts.c.due_at <= now + SOON, ~known.exists())
    columns = ["text_id", "number_id", "looks", "look_at", "cleared"]
    made = tx.all(doubts.insert().from_select(columns, fresh).returning(doubts.c.text_id))
    hold_doubted(tx)
    return len(made)


def doubt_again(tx: Transaction, attempt_id: int, now: datetime) -> bool:
    """A text is to be tried again after this attempt: if that was made before a restore, the next may have gone too.

    Whether it is in doubt now.
    """
    at = all_marks(tx).get(RESTORED)
    if at is None:
        return False
    tried = tx.first(sa.select(attempts).where(attempts.c.id == attempt_id, attempts.c.started_at < at))
    if tried is None:
        return False
    values = {"looks": 0, "look_at": now, "cleared": False}
    if not tx.run(doubts.update().where(doubts.c.text_id == tried.text_id).values(**values)):
        tx.insert_new(doubts, {"text_id": tried.text_id, "number_id": tried.number_id, **values})
    hold_doubted(tx)
    return True


def hold_doubted(tx: Transaction) -> int:
    """Hold what is in doubt, also where planning again has let go of it; how many texts."""
    open_ = sa.select(doubts.c.text_id).where(sa.not_(doubts.c.cleared))
    return tx.run(texts.update().where(texts.c.id.in_(open_), QUEUED).values(held="restored", ready=False))


def all_heard(tx: Transaction, since: datetime) -> bool:
    """Whether what was texted to every sender before `since` is in: a STOP comes before anything goes."""
    late = sa.or_(senders.c.heard_until.is_(None), senders.c.heard_until < since)
    return tx.first(sa.select(senders.c.id).where(late).limit(1)) is None


class DoubtedNumber(NamedTuple):
    """A number with texts of which it is not known whether they went."""

    id: int
    phone_sealed: bytes


def take_doubts(tx: Transaction, now: datetime, busy_until: datetime, limit: int = 200) -> list[DoubtedNumber]:
    """Numbers with doubts to look up now; no one else takes them before `busy_until`."""
    query = sa.select(doubts.c.text_id, doubts.c.number_id).where(doubts.c.look_at <= now)
    rows = tx.all(query.order_by(doubts.c.look_at).limit(limit).with_for_update(skip_locked=True))
    tx.run(doubts.update().where(doubts.c.text_id.in_([row.text_id for row in rows])).values(look_at=busy_until))
    there = sa.select(numbers.c.id, numbers.c.phone_sealed)
    return tx.all_as(
        DoubtedNumber, there.where(numbers.c.id.in_({row.number_id for row in rows})).order_by(numbers.c.id)
    )


class DoubtedText(NamedTuple):
    """A text of which it is not known whether it went; `looks` is how often it was looked for."""

    id: int
    state: str
    looks: int


def doubts_about(tx: Transaction, number_id: int) -> list[DoubtedText]:
    """The doubts of a number that are not settled, with their texts locked, in the order of windows.

    One whose text was settled otherwise (a receipt came for an earlier attempt) is forgotten. The number is locked.
    """
    query = (
        sa.select(texts.c.id, texts.c.state, doubts.c.looks)
        .join(doubts, doubts.c.text_id == texts.c.id)
        .where(doubts.c.number_id == number_id, doubts.c.look_at.is_not(None))
        .order_by(texts.c.opens_at, texts.c.id)
        .with_for_update(of=texts)
    )
    rows = tx.all_as(DoubtedText, query)
    settle(tx, [row.id for row in rows if row.state not in NOT_GONE])
    return [row for row in rows if row.state in NOT_GONE]


def reopen(tx: Transaction, text_id: int, at: datetime) -> None:
    """Make a text in doubt what it was at `at`, when it may have gone: waiting, and due."""
    values = {"reason": None, "held": None, "ready": False, "due_at": at, "leased_until": None}
    tx.run(move(State.SCHEDULED, only=NOT_GONE).where(texts.c.id == text_id).values(**values))


def looked_for(tx: Transaction, text_id: int, looks: int, look_at: datetime | None, *, cleared: bool) -> None:
    """Note a look for a text in doubt that did not find it: when to look next, or with None that it was the last."""
    mine = doubts.update().where(doubts.c.text_id == text_id)
    tx.run(mine.values(looks=looks, look_at=look_at, cleared=cleared))


def settle(tx: Transaction, text_ids: Collection[int]) -> None:
    """These texts are in doubt no more."""
    tx.run(doubts.delete().where(doubts.c.text_id.in_(text_ids)))


def in_doubt(tx: Transaction) -> bool:
    """Whether there is anything to settle after a restore."""
    return GUARD in all_marks(tx) or tx.first(sa.select(doubts.c.text_id).limit(1)) is not None


def are_open(tx: Transaction) -> bool:
    """Whether any text in doubt is still looked for."""
    return tx.first(sa.select(doubts.c.text_id).where(sa.text("look_at IS NOT NULL")).limit(1)) is not None


def release(tx: Transaction, now: datetime, *, late_since: datetime, at_most: int) -> tuple[int, int]:
    """Let go what did not go after all; how many texts, and how many of them are held as a backlog instead.

    What was due before `late_since` piled up while we were down: if it is more than `at_most`, and that is not 0, a
    person is asked.
    """
    cleared = sa.select(doubts.c.text_id).where(doubts.c.cleared)
    held = sa.and_(texts.c.id.in_(cleared), texts.c.held == "restored", sa.text("state = 'scheduled'"))
    late = sa.and_(held, texts.c.due_at < late_since, texts.c.closes_at > now, texts.c["class"] != "answer")
    many = tx.value(sa.select(sa.func.count()).select_from(texts).where(late)) if at_most else 0
    piled_up = tx.run(texts.update().where(late).values(held="backlog")) if many > at_most else 0
    let_go = tx.run(texts.update().where(held).values(held=None))
    tx.run(doubts.delete().where(doubts.c.cleared))
    return let_go + piled_up, piled_up


def wake_senders(tx: Transaction, now: datetime) -> None:
    """The senders that waited for the doubts to be settled send again."""
    waiting = senders.update().where(senders.c.stopped_until > now + REST / 10)
    tx.run(waiting.values(stopped_until=None, stopped_code=None, stops=0))


@dataclass(frozen=True, slots=True)
class Left:
    """A text of which no one knows whether it went before a restore; the number is masked."""

    text: int
    class_: str
    patient: str | None
    to: str
    zone: str
    opens_at: datetime
    closes_at: datetime


_LEFT = sa.and_(doubts.c.look_at.is_(None), sa.not_(doubts.c.cleared))


def left(tx: Transaction) -> list[Left]:
    """What a person is to decide: texts that were looked for twice, of which no one knows whether they went."""
    query = (
        sa.select(texts, patients.c.ref, numbers.c.phone_sealed, sites.c.zone, doubts.c.number_id.label("asked"))
        .join(doubts, doubts.c.text_id == texts.c.id)
        .join(numbers, numbers.c.id == doubts.c.number_id)
        .join(sites, sites.c.id == texts.c.site_id)
        .outerjoin(recipients, recipients.c.id == texts.c.recipient_id)
        .outerjoin(patients, patients.c.id == recipients.c.patient_id)
        .where(_LEFT, texts.c.held == "restored")
        .order_by(texts.c.closes_at, texts.c.id)
    )
    return [
        Left(
            text=row.id,
            class_=row._mapping["class"],
            patient=row.ref,
            to=masked_of(tx, row.asked, row.phone_sealed),
            zone=row.zone,
            opens_at=row.opens_at,
            closes_at=row.closes_at,
        )
        for row in tx.all(query)
    ]


def how_many(tx: Transaction) -> tuple[int, int]:
    """How many texts are still looked for, and how many are left to a person."""
    count = sa.select(sa.func.count()).select_from(doubts)
    waiting = sa.exists(sa.select(texts.c.id).where(texts.c.id == doubts.c.text_id, texts.c.held == "restored"))
    return tx.value(count.where(doubts.c.look_at.is_not(None))), tx.value(count.where(_LEFT, waiting))


def end_left(tx: Transaction, now: datetime, *, drop: bool) -> int:
    """Let go what is left to a person, or let it expire; how many texts."""
    these = sa.select(doubts.c.text_id).where(_LEFT)
    left = sa.and_(texts.c.id.in_(these), texts.c.held == "restored")
    held = texts.update().where(left, sa.text("state = 'scheduled'"))
    if drop:
        many = tx.run(move(State.EXPIRED).where(left).values(held=None, ready=False))
    else:
        many = tx.run(held.where(texts.c.closes_at > now).values(held=None))
        tx.run(held.values(held=None))  # too late: the settle job says so
    tx.run(doubts.delete().where(_LEFT))
    return many
