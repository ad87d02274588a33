"""Statements that run for every batch.

SQLAlchemy makes their text once for each database; then the driver gets it as it is, a set of values comes in one
parameter, and rows come back as tuples with names. Measured for fifty rows: a list of bound values, with a text of its
own for each length, costs 0.05 ms more than one parameter, and reading ten columns of each row costs 0.15 ms by
SQLAlchemy's rows and 0.01 by tuples. SQLite reads sets out of JSON; PostgreSQL has arrays for ids.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class Words(sa.types.TypeDecorator[tuple[str, ...]]):
    """A JSON list of words, read. The same few lists stand on many rows: each is read once."""

    impl = sa.Text
    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], tuple[str, ...] | None]:
        """What the driver gave → the words. In one call: it is made for five columns of every text."""
        del dialect, coltype
        return _words


@lru_cache(maxsize=1024)
def _words(text: str | None) -> tuple[str, ...] | None:
    found = json.loads(text or "null")
    return None if found is None else tuple(found)


def words(column: sa.Column[Any]) -> sa.ColumnElement[tuple[str, ...]]:
    """A column that holds a JSON list of words, for a prepared statement to read."""
    return sa.cast(column, Words()).label(column.name)


class Prepared:
    """A statement that runs for every batch."""

    def __init__(self, statement: sa.Select[*tuple[Any, ...]] | sa.Update) -> None:
        self._statement = statement
        self._made: dict[str, _Made] = {}

    def on(self, dialect: sa.Dialect) -> "_Made":
        """The statement as this database takes it."""
        made = self._made.get(dialect.name)
        if made is None:
            made = self._made[dialect.name] = _Made(self._statement, dialect)
        return made


class _Made:
    """A statement's text, and how values go in and out."""

    def __init__(self, statement: sa.Select[*tuple[Any, ...]] | sa.Update | sa.Insert, dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        self.text = str(compiled)
        self._constant = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}
        self.places = None if compiled.positiontup is None else tuple(compiled.positiontup)
        self._bind = {
            name: bind
            for name, parameter in compiled.binds.items()
            if (bind := parameter.type.dialect_impl(dialect).bind_processor(dialect)) is not None
        }
        if isinstance(statement, sa.Select):
            columns = statement.selected_columns
            self._row = NamedTuple("Row", [(name, Any) for name in columns.keys()])  # type: ignore[misc]  # ruff: ignore[in-dict-keys]  a collection of columns, no dict
            self._read = [
                (place, read)
                for place, column in enumerate(columns)
                if (read := column.type.dialect_impl(dialect).result_processor(dialect, None)) is not None
            ]

    def bound(self, values: Mapping[str, Any]) -> Any:
        """The values as the driver takes them: a tuple, or by name."""
        given = {**self._constant, **values}
        bind = self._bind
        if self.places is None:
            return {name: bind[name](value) if name in bind else value for name, value in given.items()}
        return tuple(bind[name](given[name]) if name in bind else given[name] for name in self.places)

    def each(self, rows: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The values of many executions, each in the order of `places`."""
        assert self.places is not None
        binds = [(self.places.index(name), bind) for name, bind in self._bind.items()]
        return list(zip(*_with(binds, rows), strict=True))

    def rows(self, rows: Sequence[Any]) -> list[Any]:
        """The driver's rows, with names, and with values as Python has them."""
        return list(map(self._row._make, zip(*_with(self._read, rows), strict=True)))


class PreparedInsert:
    """An insert of rows with these columns of a table. PostgreSQL takes them all at once, SQLite one by one."""

    def __init__(self, *columns: sa.Column[Any]) -> None:
        self._columns = {column.name: column.type for column in columns}
        self._insert = columns[0].table.insert()
        self._made: dict[str, _Made] = {}

    def on(self, dialect: sa.Dialect) -> "_Made":
        """The insert as this database takes it."""
        made = self._made.get(dialect.name)
        if made is None:
            statement = self._insert.values({name: sa.bindparam(name) for name in self._columns})
            if dialect.name == "postgresql":
                statement = self._insert.from_select(list(self._columns), sa.select(given(**self._columns)))
            made = self._made[dialect.name] = _Made(statement, dialect)
            assert made.places in {None, tuple(self._columns)}, "the columns stand in another order than in the table"
        return made


class _Set(sa.types.TypeDecorator[Collection[Any]]):
    """Values of one type in one parameter."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, of: type[sa.BigInteger | sa.String]) -> None:
        super().__init__()
        self.of = of

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """An array, or a JSON document."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.types.NullType())  # it tells by what it is compared with
        return dialect.type_descriptor(sa.Text())

    def process_bind_param(self, value: Collection[Any] | None, dialect: sa.Dialect) -> Any:
        """What the driver takes."""
        values = list(value or ())
        if dialect.name != "postgresql":
            return json.dumps(values)
        return f"{{{','.join(map(str if self.of is sa.BigInteger else _quoted, values))}}}"


def _quoted(word: str) -> str:
    """A word in an array, as PostgreSQL reads it."""
    return '"{}"'.format(word.replace("\\", r"\\").replace('"', r"\""))


class _Among(FunctionElement[Any]):
    """A column is one of a set. Of no type: SQLite would be asked whether it equals 1, and use no index."""

    inherit_cache = True


def among(column: sa.ColumnElement[Any], name: str = "ids") -> sa.ColumnElement[bool]:
    """Whether `column`, an id or words, is one of the values that are bound as `name`."""
    of = sa.String if isinstance(column.type, sa.String) else sa.BigInteger
    return _Among(column, sa.bindparam(name, type_=_Set(of)))


@compiles(_Among, "sqlite")
def _among_sqlite(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # ruff: ignore[hardcoded-sql-expression]  what SQLAlchemy made


@compiles(_Among, "postgresql")
def _among_postgresql(element: _Among, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(part, **options) for part in element.clauses)
    return f"{column} = ANY ({ids})"


class _Rows(sa.types.TypeDecorator[Sequence[Sequence[Any]]]):
    """Rows in one parameter."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, columns: tuple[tuple[str, sa.types.TypeEngine[Any]], ...]) -> None:
        super().__init__()
        self.columns = columns

    def process_bind_param(self, value: Sequence[Sequence[Any]] | None, dialect: sa.Dialect) -> str:
        """A JSON document: a list for each row, with everything but bytes as the database would be given it."""
        binds = [
            (place, bind)
            for place, (_, of) in enumerate(self.columns)
            if not isinstance(of, sa.LargeBinary)
            and (bind := of.dialect_impl(dialect).bind_processor(dialect)) is not None
        ]
        return json.dumps(list(zip(*_with(binds, value or ()), strict=True)), default=_spelt)


def _with(processors: Sequence[tuple[int, Callable[[Any], Any]]], rows: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
    """The columns of these rows, with what stands in these places processed."""
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
    for place, process in processors if columns else ():
        columns[place] = [None if value is None else process(value) for value in columns[place]]
    return columns


def _spelt(value: Any) -> str:
    """What JSON has no word for, as PostgreSQL reads it."""
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


class _Given(FunctionElement[Any]):
    """Rows as a table."""

    inherit_cache = True


def given(**columns: sa.types.TypeEngine[Any]) -> sa.TableValuedAlias:
    """A table of the rows that are bound as `given`, each with these columns."""
    # Without a length: a cast would cut off what is too long, where an error is wanted.
    columns = {name: sa.String() if isinstance(of, sa.String) else of for name, of in columns.items()}
    rows = sa.bindparam("given", type_=_Rows(tuple(columns.items())))
    return _Given(rows).table_valued(*map(sa.column, columns, columns.values()), name="given")


def _columns_of(element: _Given) -> list[tuple[int, str, sa.types.TypeEngine[Any]]]:
    (rows,) = element.clauses
    assert isinstance(rows.type, _Rows)
    return [(place, name, of) for place, (name, of) in enumerate(rows.type.columns)]


@compiles(_Given, "sqlite")
def _given_sqlite(element: _Given, compiler: SQLCompiler, **options: Any) -> str:
    columns = ", ".join(f"json_extract(value, '$[{place}]') AS {name}" for place, name, _ in _columns_of(element))
    table = f"json_each({compiler.process(element.clauses, **options)})"
    return f"(SELECT {columns} FROM {table})"  # ruff: ignore[hardcoded-sql-expression]  as above


@compiles(_Given, "postgresql")
def _given_postgresql(element: _Given, compiler: SQLCompiler, **options: Any) -> str:
    spell = compiler.dialect.type_compiler_instance.process
    columns = ", ".join(f"CAST(value ->> {place} AS {spell(of)}) AS {name}" for place, name, of in _columns_of(element))
    # An array that is not known beforehand is taken to have ten elements, where a set of rows is taken to have a
    # hundred: of a table that is still small, all of it would be read.
    elements = f"jsonb_array_elements(CAST({compiler.process(element.clauses, **options)} AS JSONB))"
    table = f"unnest(ARRAY(SELECT {elements})) AS value"
    return f"(SELECT {columns} FROM {table})"  # ruff: ignore[hardcoded-sql-expression]  as above
