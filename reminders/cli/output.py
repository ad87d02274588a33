"""How a command speaks: data to stdout as a table or as JSON, words to stderr, and how it ends.

What takes long to import is imported where it is used, so that `--help` and shell completion answer at once.
"""

import json
import logging
import os
import pwd
import re
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from reminders.service import AppContext
    from reminders.service.planning import Changes

err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
out = Console(highlight=False, markup=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


class Exit(IntEnum):
    """How a command ends (README.md#commands)."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 5


def end(code: Exit, words: str | None = None) -> NoReturn:
    """Say `words` on stderr and end."""
    if words:
        err.print(words)
    raise typer.Exit(code)


class Voice:
    """How much is said on stderr: `level` is what is logged from, as in `logging`."""

    level = logging.WARNING


@contextmanager
def app_context(*, checked: bool = True, make_keys: bool = False) -> "Generator[AppContext]":
    """What this process works on, its schema checked. What goes wrong in ways a person can mend ends the command.

    Only `make_keys` makes and keeps keys where there are none: a read in the wrong directory leaves nothing behind.
    """
    from reminders import queries
    from reminders.service import AppContext
    from reminders.service.operations import health, logs, upgrade
    from reminders.settings import SettingsError
    from reminders.sms import Unreachable

    logs.set_up(Voice.level)
    context = None
    try:
        context = AppContext.open(make_keys=make_keys)
        if made := context.secrets.new_keys_file:
            err.print(
                f"Warning: no keys were given, so new ones were made and are kept in {made}, beside the database. "
                "Without that file nothing in the database can be read."
            )
        if checked:
            upgrade.check(context.database)
        yield context
    except (SettingsError, queries.WrongSchema, queries.Unreadable, health.NotReady) as refusal:
        end(Exit.REFUSED, str(refusal))
    except queries.CommitUncertain:
        end(
            Exit.UNREACHABLE, "The database went away while it wrote: what was asked may or may not be done. Repeat it."
        )
    except queries.Unavailable as away:
        where = context.database.url if context is not None else "database"
        end(Exit.UNREACHABLE, f"The database {where} cannot be used now: {away}. Nothing was changed.")
    except Unreachable as away:
        end(Exit.UNREACHABLE, f"Twilio could not be reached: {away}.")
    finally:
        if context is not None:
            context.close()


def who() -> str:
    """Who gives this command, for the audit."""
    return _account(os.getuid(), os.environ.get("SUDO_USER"), _login_uid())


def _account(uid: int, sudo_user: str | None, login_uid: int | None) -> str:
    """The account of the process, by its uid: LOGNAME and the like are anyone's to set.

    Where they differ from it, who called sudo, and who logged in as the kernel knows it, are beside it.
    """
    name = _name_of(uid)
    said = [f"cli:{name}"]
    if sudo_user and (called := re.sub(r"[^\w.@-]", "?", sudo_user)[:16]) != name:
        said.append(f"sudo:{called}")
    if login_uid is not None and (logged_in := _name_of(login_uid)) != name:
        said.append(f"login:{logged_in}")
    return " ".join(said)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name[:16]
    except KeyError:
        return f"uid-{uid}"


def _login_uid() -> int | None:
    """Who logged in, by the kernel's audit; None where it does not say."""
    try:
        uid = int(Path("/proc/self/loginuid").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return uid if uid != 2**32 - 1 else None


def told(changes: "Changes") -> str:
    """What texts did, in words."""
    return f"Texts added: {changes.added}, moved: {changes.moved}, retracted: {changes.retracted}."


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(type(value).__name__)


def print_json(document: object) -> None:
    """One JSON document on stdout; in ASCII where stdout cannot take it as it is, such as a file's odd name."""
    said = json.dumps(document, default=_plain, ensure_ascii=False, allow_nan=False)
    try:
        said.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        said = json.dumps(document, default=_plain, allow_nan=False)
    print(said)


def print_json_lines(documents: Iterable[Mapping[str, Any]]) -> None:
    """JSON Lines on stdout."""
    for document in documents:
        print_json(document)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table on stdout under its title on stderr, or the words for an empty one on stderr.

    On a terminal cells wrap, the last column taking the room that is left; in a pipe every row is one line.
    """
    from reminders.service.operations.legible import legible

    terminal = sys.stdout.isatty()
    table = Table(box=box.SIMPLE_HEAD if terminal else None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=not terminal)
    for row in rows:
        cells = ["" if cell is None else legible(str(cell)) for cell in row]
        table.add_row(*map(Text, cells if terminal else (" ".join(cell.split()) for cell in cells)))
    if not table.row_count:
        err.print(empty)
        return
    err.print(title)
    if terminal:
        out.print(table)
        return
    piped = Console(width=2000, highlight=False, markup=False, no_color=True)
    with piped.capture() as lines:
        piped.print(table)
    for line in lines.get().splitlines():
        print(line.rstrip())
