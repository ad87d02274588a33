"""The head of the audit's chain, kept outside of the database once a day, so that a cut or rewritten chain shows.

`jobs.audit_head` says where: a file, to which each head is added as a line, or an https address, to which it is posted.
Whoever can write to the database must not be able to write there, or it proves nothing.
"""

import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from reminders import store
from reminders.app_context import AppContext
from reminders.service.office import audit
from reminders.store.office.audit import Head

EVERY = timedelta(days=1)
STALE = timedelta(days=2)
_KEPT = "audit head"
_PATIENCE = 10  # seconds
_MOST = 1 << 20  # bytes of a file that are read back


class NotKept(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what happened
    """The head could not be kept, or what was kept before does not stand in the chain. The message says which."""


def keep(context: AppContext, now: datetime, *, at_once: bool = False) -> bool:
    """Keep the head where `jobs.audit_head` says, if that is a day ago, or `at_once`; whether it was kept now.

    A file whose last head stands in the chain no more is added to none the less, so that both are on record. Raises
    NotKept.
    """
    place = context.settings.jobs.audit_head
    last = last_kept(context)
    if place is None or not (at_once or last is None or now - last >= EVERY):
        return False
    exported = audit.export_head(context, now)
    if exported is None:
        return False
    line = json.dumps(exported)
    problem = None
    if place.startswith("https://"):
        _post(place, line)
    else:
        problem = _stands_no_more(context, Path(place))
        _append(Path(place), line)
    context.database.write(lambda tx: store.backup.set_mark(tx, _KEPT, now), again=True)
    if problem is not None:
        raise NotKept(problem)
    return True


def last_kept(context: AppContext) -> datetime | None:
    """When a head was kept last."""
    return context.database.read(store.backup.all_marks).get(_KEPT)


def read_all(context: AppContext, text: str) -> list[Head]:
    """Every head in a file: one, or one a line. Raises NoHead."""
    lines = list(_lines(text))
    return [audit.read_head(context, line) for line in lines] if lines else [audit.read_head(context, text)]


def _lines(text: str) -> Iterator[str]:
    whole = text.strip()
    if "\n" in whole and not whole.startswith("{\n"):
        yield from (line for line in whole.splitlines() if line.strip())


def _stands_no_more(context: AppContext, file: Path) -> str | None:
    """What is wrong with the last head of the file, by the chain as it is now."""
    try:
        with file.open("rb") as there:
            there.seek(max(0, there.seek(0, os.SEEK_END) - _MOST))
            kept = there.read().decode("utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NotKept(f"jobs.audit_head cannot be read: {error.strerror}") from None
    if not kept:
        return None
    try:
        head = audit.read_head(context, kept.splitlines()[-1])
    except audit.NoHead as wrong:
        return f"the last head in jobs.audit_head: {wrong}"
    if context.database.read(lambda tx: store.audit.hash_at(tx, head.place)) == head.hash:
        return None
    return "the last head in jobs.audit_head stands in the chain no more: run `reminders audit verify --head` on it"


def _append(file: Path, line: str) -> None:
    try:
        handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as there:
            there.write(f"{line}\n")
            there.flush()
            os.fsync(handle)
    except OSError as error:
        raise NotKept(f"jobs.audit_head cannot be written: {error.strerror}") from None


def _post(address: str, line: str) -> None:
    """Post it; a redirect is a failure too: what answers elsewhere is not what was named."""
    parts = urlsplit(address)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_PATIENCE)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, line.encode(), {"Content-Type": "application/json"})
        status = connection.getresponse().status
    except (OSError, HTTPException) as error:
        raise NotKept(f"jobs.audit_head does not answer: {type(error).__name__}") from None
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise NotKept(f"jobs.audit_head answers {status}")
