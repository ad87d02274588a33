"""Sets of values in one parameter: ids to look for, and rows to write by, as the statements of every batch take them.

A list of bound values makes another statement for each length, and text to build each time it is run: that cost four
times as much as running it. Here a statement is always the same, so both databases prepare it once. SQLite reads a set
out of JSON, PostgreSQL has arrays for ids.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _Ids(sa.types.TypeDecorator[Collection[int]]):
    """Ids in one parameter."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """An array, or a JSON document."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.ARRAY(sa.BigInteger()))
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: Collection[int] | None, dialect: sa.Dialect) -> Any:
        """What the driver takes."""
        ids = list(value or ())
        return ids if dialect.name == "postgresql" else json.dumps(ids)


class _Among(FunctionElement[Any]):
    """A column is one of a set of ids. Of no type: SQLite would be asked whether it equals 1, and use no index."""

    inherit_cache = True


def among(column: sa.ColumnElement[Any], name: str = "ids") -> sa.ColumnElement[bool]:
    """Whether `column` is one of the ids that are bound as `name`."""
    return _Among(column, sa.bindparam(name, type_=_Ids()))


@compiles(_Among, "sqlite")
def _among_sqlite(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # ruff: ignore[hardcoded-sql-expression]  what SQLAlchemy made


@compiles(_Among, "postgresql")
def _among_postgresql(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY ({ids})"


class _Rows(sa.types.TypeDecorator[Sequence[Mapping[str, Any]]]):
    """Rows in one parameter."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, columns: tuple[tuple[str, sa.types.TypeEngine[Any]], ...]) -> None:
        super().__init__()
        self.columns = columns

    def process_bind_param(self, value: Sequence[Mapping[str, Any]] | None, dialect: sa.Dialect) -> str:
        """A JSON document: a list for each row. Instants become numbers or words, as the database has them."""
        ours = [(name, of.bind_processor(dialect)) for name, of in self.columns]
        rows = [[row[name] if bind is None else bind(row[name]) for name, bind in ours] for row in value or ()]
        return json.dumps(rows, default=str)


class _Given(FunctionElement[Any]):
    """Rows as a table."""

    inherit_cache = True


def given(**columns: sa.types.TypeEngine[Any]) -> sa.TableValuedAlias:
    """A table of the rows that are bound as `given`, each with these columns."""
    rows = sa.bindparam("given", type_=_Rows(tuple(columns.items())))
    return _Given(rows).table_valued(*map(sa.column, columns, columns.values()), name="given")


@compiles(_Given, "sqlite")
def _given_sqlite(element: _Given, compiler: SQLCompiler, **options: Any) -> str:
    (rows,) = element.clauses
    columns = ", ".join(f"json_extract(value, '$[{i}]') AS {name}" for i, (name, _) in enumerate(rows.type.columns))
    table = f"json_each({compiler.process(rows, **options)})"
    return f"(SELECT {columns} FROM {table})"  # ruff: ignore[hardcoded-sql-expression]  names of columns, ours


@compiles(_Given, "postgresql")
def _given_postgresql(element: _Given, compiler: SQLCompiler, **options: Any) -> str:
    (rows,) = element.clauses
    columns = ", ".join(
        f"CAST(value ->> {i} AS {compiler.dialect.type_compiler_instance.process(of)}) AS {name}"
        for i, (name, of) in enumerate(rows.type.columns)
    )
    table = f"json_array_elements(CAST({compiler.process(rows, **options)} AS JSON))"
    return f"(SELECT {columns} FROM {table})"  # ruff: ignore[hardcoded-sql-expression]  names of columns, ours
