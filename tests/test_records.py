"""Rows that cross a module boundary are records, and a record says what its statement gives (issue 17.3)."""

import ast
import re
from datetime import datetime
from typing import NamedTuple

import pytest
import sqlalchemy as sa
from conftest import NOW
from test_one_home import FILES

from reminders.store import records
from reminders.store.database import schema
from reminders.store.database.fast_path import PreparedSelect
from reminders.store.database.record_check import check_record, never_null

TABLES = {
    "sites": records.SiteRow,
    "senders": records.SenderRow,
    "numbers": records.NumberRow,
    "patients": records.PatientRow,
    "recipients": records.RecipientRow,
    "consents": records.ConsentRow,
    "plans": records.PlanRow,
    "series": records.SeriesRow,
    "appointments": records.AppointmentRow,
    "texts": records.TextRow,
    "job_runs": records.JobRunRow,
    "processes": records.ProcessRow,
    "forwarders": records.ForwarderRow,
    "staff": records.StaffRow,
    "sign_ins": records.SignInRow,
    "api_answers": records.ApiAnswerRow,
    "audit": records.AuditRow,
}


@pytest.mark.parametrize("table", TABLES)
def test_a_tables_record_has_its_columns(table):
    check_record(TABLES[table], tuple(schema.metadata.tables[table].c.keys()), sa.select(schema.metadata.tables[table]))


class Right(NamedTuple):
    name: str
    last_success: datetime | None


class Misspelled(NamedTuple):
    name: str
    last_succes: datetime | None


class Swapped(NamedTuple):
    last_success: datetime | None
    name: str


class Less(NamedTuple):
    name: str


class OfAnotherType(NamedTuple):
    name: str
    last_success: int | None


class NeverNone(NamedTuple):
    name: str
    last_success: datetime


RUNS = sa.select(schema.job_runs.c.name, schema.job_runs.c.last_success)


@pytest.mark.parametrize("record", [Misspelled, Swapped, Less, OfAnotherType, NeverNone])
def test_a_record_that_says_otherwise_than_its_statement_is_refused(database, record):
    for refused in (
        lambda: PreparedSelect(record, RUNS),
        lambda: database.read(lambda tx: tx.all_as(record, RUNS)),
        lambda: database.read(lambda tx: tx.first_as(record, RUNS)),
    ):
        with pytest.raises(TypeError, match=record.__name__):
            refused()


def test_a_record_that_says_the_same_is_read(database):
    database.write(lambda tx: tx.insert_new(schema.job_runs, {"name": "plan", "last_success": NOW}))
    (row,) = database.read(lambda tx: tx.all_as(Right, RUNS))
    assert row == database.read(lambda tx: tx.first_as(Right, RUNS)) == ("plan", NOW)
    assert type(row) is Right
    assert database.read(lambda tx: tx.rows(PreparedSelect(Right, RUNS), {})) == [row]
    ever = sa.select(schema.job_runs.c.name, never_null(schema.job_runs.c.last_success))
    assert database.read(lambda tx: tx.all_as(NeverNone, ever)) == [row]


ANY_ROWS = re.compile(
    r"(?<!\[)\b(Sequence|list|Iterable|Collection)\[Any\]|\[int, Any\]|(list|set)\[tuple\[Any, \.\.\.\]\]"
)
ANY_ROW = re.compile(r"\bAny\b(?!\])|(dict|Mapping)\[str, Any\]|tuple\[Any, \.\.\.\]")
ROWS = {"row", "rows", "site", "patient", "reader", "plan", "number", "text", "visit", "reply", "member", "sender"}
LIBRARYS_OWN = "store/database/"  # where a statement meets the driver, whose rows have no names yet


def _seams(tree):
    """Each annotation that others see: of a parameter, a result, or a field; not those of local names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            of = node.args
            for one in (*of.posonlyargs, *of.args, *of.kwonlyargs):
                yield f"{node.name}({one.arg})", one.arg, one.annotation
            yield f"{node.name}()", "", node.returns
        elif isinstance(node, ast.ClassDef | ast.Module):
            for one in node.body:
                if isinstance(one, ast.AnnAssign):
                    yield ast.unparse(one.target), ast.unparse(one.target), one.annotation


def test_no_row_crosses_a_module_boundary_untyped():
    found = [
        f"{file}: {place}"
        for file, words in FILES.items()
        if not file.startswith(LIBRARYS_OWN)
        for place, name, annotation in _seams(ast.parse(words))
        if annotation is not None
        and (ANY_ROWS.search(said := ast.unparse(annotation)) or (name in ROWS and ANY_ROW.search(said)))
    ]
    assert found == []


def test_sqlalchemys_row_has_a_name_where_statements_run_alone():
    """What `all` and `first` give stays inside the function that asked; it cannot be said of anything else."""
    found = {
        file
        for file, words in FILES.items()
        for node in ast.walk(ast.parse(words))
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("sqlalchemy")
            and {"Row", "RowMapping"} & {one.name for one in node.names}
        )
        or (isinstance(node, ast.Attribute) and ast.unparse(node) in {"sa.Row", "sa.RowMapping"})
    }
    assert found == {"store/database/fast_path.py"}
