"""Backups of the database, and the restore with its guard: what may have gone since the backup does not go again (K13).

A backup holds no keys: what is sealed in it opens with REMINDERS_SEALING_KEYS only, which are kept elsewhere.
"""

import logging
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from reminders import store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.service.operations import presence
from reminders.service.replies import inbound
from reminders.service.sending import outcomes
from reminders.service.tasks import oncall
from reminders.sms import Gateway
from reminders.sms.probe import is_shown
from reminders.store.operations.backup import BadBackup, Left
from reminders.task_kinds import DROPPED, RELEASED, RESTORED, Happened

__all__ = ["Backup", "BadBackup", "Left", "Restored", "decide", "log", "open_doubts", "take"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was taken: its file, its size, and the moment before which everything is in it."""

    file: Path
    bytes: int
    at: datetime
    sealed: bool = False
    removed: tuple[Path, ...] = ()


def take(context: AppContext, target: Path, now: datetime, *, who: str, keep: int = 0) -> Backup:
    """Take a backup while everything runs; `target` is a file, or a folder for a file with the date in its name.

    It is verified before it gets its name, and sealed where `backup.recipients` says for whom. Then, with `keep`, all
    but so many of the newest backups in the folder are removed. Raises BadBackup, Unavailable.
    """
    recipients = context.settings.backup.recipients
    suffix = "db" if context.database.dialect == "sqlite" else "dump"
    folder = target if target.is_dir() else None
    if folder is not None:
        target = folder / f"reminders-{now:%Y%m%dT%H%M%SZ}.{suffix}{'.age' if recipients else ''}"
    elif keep:
        raise BadBackup(f"{target} is no folder, and only in a folder are older backups removed")
    # In the backup too: a restore goes by it.
    context.database.write(lambda tx: store.backup.set_mark(tx, store.backup.BEGUN, now), again=True)
    database = context.settings.database
    size = store.backup.write(database.url, target, database.client_folder, recipients)

    def note(tx: store.Transaction) -> None:
        store.backup.set_mark(tx, store.backup.TAKEN, now)
        store.audit_log.note(tx, who=who, what=Action.BACKUP_TAKEN, table="marks", row=0, now=now)

    context.database.write(note, again=True)
    old = store.backup.old_ones(folder, suffix, keep) if folder is not None and keep else []
    for one in old:
        one.unlink(missing_ok=True)
    return Backup(target, size, now, bool(recipients), tuple(old))


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did: the moment of the backup, its schema and ours, and how many texts are in doubt.

    `aside` is where the database that stood there was put; PostgreSQL's is another database, and stays.
    """

    file: Path
    backup_at: datetime
    schema: tuple[str, str]
    aside: Path | None
    doubted: int


async def restore(
    context: AppContext, file: Path, now: datetime, *, who: str, force: bool = False, identities: Sequence[str] = ()
) -> Restored:
    """Make the database what it was at the backup; what is due by now, or soon, is held until Twilio was asked for it.

    All of it or nothing: the keys are tried on the file first, and the new database is finished before it takes the
    place of the old one. Into PostgreSQL only where the database is empty. `identities` open a sealed backup. With
    `force` also while a process seems to be at work. Raises BadBackup, WrongSchema, Unavailable, Unreadable.
    """
    url, is_file = context.settings.database.url, context.database.dialect == "sqlite"
    beside = store.backup.file_of(url) if is_file else Path(tempfile.gettempdir(), "backup")
    with store.backup.opened(file, beside, identities) as clear:
        return replace(await _restore(context, clear, now, who=who, force=force), file=file)


async def _restore(context: AppContext, file: Path, now: datetime, *, who: str, force: bool) -> Restored:
    url, client_folder = context.settings.database.url, context.settings.database.client_folder
    revision = store.backup.revision_of(url, file, client_folder)
    if not store.backup.speaks(revision):
        raise BadBackup(f"the backup is of the schema {revision}, which is newer than this code; run the newer version")
    _refuse_other_keys(context, *store.backup.wanted_keys(url, file, client_folder))
    if not force:
        await _refuse_at_work(context, now)
    context.database.close()  # our own connections
    if context.database.dialect == "sqlite":
        return _restore_file(context, file, now, revision=revision, who=who, force=force)
    if not context.database.read(store.backup.is_empty):
        raise BadBackup(
            "a backup is restored into an empty database only, so that the present one stays as it is: make a new one "
            "(createdb), let database.url name it, and repeat this"
        )
    store.backup.load_dump(url, file, client_folder)
    context.database.write(lambda tx: store.backup.set_revision(tx, revision, now))
    backup_at, doubted = _guard(context, context.database, now, who)
    return Restored(file, backup_at, (revision, store.head()), None, doubted)


def _refuse_other_keys(context: AppContext, wanted: Collection[str], index: Mapping[int, bytes]) -> None:
    """Raise BadBackup unless our sealing keys open what is in a backup."""
    ring = context.database.ring
    if missing := sorted(set(wanted) - set(ring)):
        raise BadBackup(
            f"what is sealed in it needs the key {', '.join(missing)}, which REMINDERS_SEALING_KEYS does not give:"
            " put it behind the present ones, separated by a comma; nothing was changed"
        )
    for row, wrapped in index.items():
        try:
            ring.unwrap(row, wrapped)
        except store.Unreadable:
            raise BadBackup(
                "REMINDERS_SEALING_KEYS gives another key by the name that the backup was sealed with: bring that key"
                " back from where it is kept; nothing was changed"
            ) from None


async def _refuse_at_work(context: AppContext, now: datetime) -> None:
    """Raise BadBackup while a worker or the web process is at work on the database, or was killed just now."""
    try:
        rows = context.database.read(lambda tx: store.processes.live(tx, now - presence.LIVE_FOR))
    except store.Unavailable:
        rows = []  # no one works on what is not there, or damaged
    stop = "stop every worker and web process first, or say --force"
    if rows:
        names = ", ".join(f"the {row.kind} process {row.pid} on {row.host}" for row in rows)
        wait = f"one that was killed counts for {presence.LIVE_FOR.total_seconds():.0f} s"
        raise BadBackup(f"{names} seems to be at work ({wait}); {stop}")
    web = context.settings.web
    host = "127.0.0.1" if web.host in {"0.0.0.0", "::"} else web.host  # ruff: ignore[hardcoded-bind-all-interfaces]  compared, not bound
    if await is_shown(f"http://{host}:{web.port}", "/healthz"):
        raise BadBackup(f"a web process answers on port {web.port}; {stop}")


def _restore_file(context: AppContext, file: Path, now: datetime, *, revision: str, who: str, force: bool) -> Restored:
    url = context.settings.database.url
    if not force and store.backup.is_open_elsewhere(url):
        raise BadBackup("another process has the database open; stop it first, or say --force")
    with store.backup.draft_of(url, file) as (address, draft):
        database = store.Database(address, context.database.ring)
        try:
            backup_at, doubted = _guard(context, database, now, who)
        finally:
            database.close()
        aside = store.backup.put_in_place(url, draft, now)
    return Restored(file, backup_at, (revision, store.head()), aside, doubted)


def _guard(context: AppContext, database: store.Database, now: datetime, who: str) -> tuple[datetime, int]:
    """Bring a restored database to our schema and put in doubt what may have gone; (backup's moment, how many texts).

    Raises Unreadable where our keys do not open what is in it.
    """
    store.migrate(database, now)
    database.read(lambda tx: tx.fingerprints("+12025550100"))

    def work(tx: store.Transaction) -> tuple[datetime, int]:
        marks = store.backup.all_marks(tx)
        backup_at = marks.get(store.backup.BEGUN)
        if backup_at is None:
            raise BadBackup("this database was not written by reminders backup: it does not say of which moment it is")
        store.people.keep_default_site(tx, context.settings, now)  # also a sender that is new since is to rest
        doubted = store.backup.restored(tx, backup_at, now)
        task_id = outcomes.tell_of_restore(tx, now)
        store.tasks.add_event(
            tx, task_id, now, Happened.RESTORED, {"backup_at": backup_at.isoformat(), "texts": doubted}, who=who
        )
        oncall.ring(context, tx, task_id, now)
        store.accounts.end(tx, now)  # a sign-in that was ended since the backup must not hold again
        store.audit_log.note(tx, who=who, what=Action.RESTORED, table="marks", row=0, now=now)
        return backup_at, doubted

    return database.write(work)


async def catch_up(context: AppContext, gateway: Gateway, now: datetime) -> int:
    """After a restore: look for what went since the backup, then take in what people texted to us; how many texts.

    In this order, for a C or a Y speaks of what went before it. Nothing is answered here: what was answered before is
    looked for first. Raises Unreachable; then the worker does it, before it sends.
    """
    await outcomes.settle(context, gateway, now)
    return sum(one.fresh for one in await inbound.poll(context, gateway, now))


def open_doubts(context: AppContext) -> tuple[int, list[Left]]:
    """How many texts are still looked for after a restore, and those that are left to a person."""
    return context.database.read(lambda tx: (store.backup.how_many(tx)[0], store.backup.left(tx)))


def decide(context: AppContext, now: datetime, *, drop: bool, who: str) -> int:
    """Let go what is left to a person after a restore, or drop it: then it counts as expired. How many texts."""

    def work(tx: store.Transaction) -> int:
        many = store.backup.end_left(tx, now, drop=drop)
        cause = DROPPED if drop else RELEASED
        if not store.backup.in_doubt(tx):
            store.tasks.close_by_key(tx, [RESTORED.key()], cause, now, texts=many)
        site = store.people.all_sites(tx)[0]
        what = Action.RESTORED_TEXTS_DROPPED if drop else Action.RESTORED_TEXTS_RELEASED
        store.audit_log.note(tx, who=who, what=what, table="sites", row=site.id, now=now)
        return many

    return context.database.write(work, again=True)
