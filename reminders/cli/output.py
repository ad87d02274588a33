"""How a command speaks: data to stdout as a table or as JSON, words to stderr, and how it ends."""

import json
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from reminders import store
from reminders.service import House, health
from reminders.settings import SettingsError
from reminders.sms import Unreachable

err = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
out = Console(soft_wrap=False, highlight=False, markup=False)


class Exit(IntEnum):
    """How a command ends (CONTRACT: Commands)."""

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


@contextmanager
def the_house(*, checked: bool = True) -> Generator[House]:
    """The house of this process, its schema checked. What goes wrong in ways a person can mend ends the command."""
    house = None
    try:
        house = House.open()
        if house.secrets.made_here:
            err.print("Note: sealing keys were made on this machine and are kept beside the database.")
        if checked:
            store.check(house.database)
        yield house
    except (SettingsError, store.WrongSchema, store.Unreadable, health.NotReady) as refusal:
        end(Exit.REFUSED, str(refusal))
    except store.Unavailable as away:
        end(Exit.UNREACHABLE, f"The database cannot be used now: {away}. Nothing was changed.")
    except Unreachable as away:
        end(Exit.UNREACHABLE, f"Twilio could not be reached: {away}")
    finally:
        if house is not None:
            house.close()


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(type(value).__name__)


def print_json(document: object) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, default=_plain, ensure_ascii=False, indent=None))


def print_json_lines(documents: Iterable[Mapping[str, Any]]) -> None:
    """JSON Lines on stdout."""
    for document in documents:
        print_json(document)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """A table on stdout, or the words for an empty one on stderr."""
    table = Table(title=title, title_justify="left", header_style="bold", expand=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    if not table.row_count:
        err.print(empty)
        return
    wide = out if sys.stdout.isatty() else Console(width=200, highlight=False, markup=False)
    wide.print(table)
