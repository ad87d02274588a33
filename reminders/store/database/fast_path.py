"""The fast path: statements that run for every batch, and the transaction they run in (docs/fast-path.md).

SQLAlchemy makes their text once for each database; then the driver gets it as it is, a set of values comes in one
parameter, and rows come back as tuples with names. SQLite reads sets out of JSON; PostgreSQL has arrays for ids. A
statement that gives no answer is not waited for: it goes along with the next that does, and PostgreSQL takes all of
them in one round trip (libpq's pipeline). Errors are raised as SQLAlchemy raises them, and who listens to
`before_cursor_execute` hears of each. With `fast=False` the same statements run on plain SQLAlchemy Core.
"""

import json
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from typing import Any, Generic, NamedTuple, TypeVar, overload

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from reminders.store.database.record_check import check_record


class Words(sa.types.TypeDecorator[tuple[str, ...]]):
    """A JSON list of words, read. The same few lists stand on many rows: each is read once."""

    impl = sa.Text
    cache_ok = True

    @property
    def python_type(self) -> type[tuple[str, ...]]:
        """What its values are in Python."""
        return tuple

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


R = TypeVar("R", bound=tuple[Any, ...])
R2 = TypeVar("R2", bound=tuple[Any, ...])
R3 = TypeVar("R3", bound=tuple[Any, ...])


class Prepared:
    """A statement that runs for every batch."""

    def __init__(self, statement: sa.Select[*tuple[Any, ...]] | sa.Update) -> None:
        self.statement = statement
        self._made: dict[str, _Made] = {}

    def on(self, dialect: sa.Dialect) -> "_Made":
        """The statement as this database takes it."""
        made = self._made.get(dialect.name)
        if made is None:
            made = self._made[dialect.name] = _Made(self.statement, dialect)
        return made


class PreparedSelect(Prepared, Generic[R]):
    """A prepared statement that gives rows, each as a `record`. Raises TypeError where the two do not agree."""

    def __init__(self, record: type[R], statement: sa.Select[*tuple[Any, ...]]) -> None:
        super().__init__(statement)
        check_record(record, tuple(statement.selected_columns.keys()), statement)
        self.record = record


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
            self._read = [
                (place, read)
                for place, column in enumerate(statement.selected_columns)
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

    def rows(self, record: type[R], rows: Sequence[Sequence[Any]]) -> list[R]:
        """The driver's rows as records, with values as Python has them."""
        return list(map(partial(tuple.__new__, record), zip(*_with(self._read, rows), strict=True)))


class PreparedInsert:
    """An insert of rows with these columns of a table. PostgreSQL takes them all at once, SQLite one by one."""

    def __init__(self, *columns: sa.Column[Any]) -> None:
        self._columns = {column.name: column.type for column in columns}
        self._insert = columns[0].table.insert()
        self._made: dict[str, _Made] = {}

    @property
    def plain(self) -> sa.Insert:
        """The same insert of one row, as SQLAlchemy runs it."""
        return self._insert.values({name: sa.bindparam(name, type_=of) for name, of in self._columns.items()})

    def named(self, row: Sequence[Any]) -> dict[str, Any]:
        """The values of a row by the names of their columns."""
        return dict(zip(self._columns, row, strict=True))

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


class _Execution(NamedTuple):
    """A statement's text and its values as the driver takes them; with `many`, those of several executions."""

    text: str
    values: Any
    many: bool = False


class Statements:
    """Statements in, rows out, each after the ones before it."""

    def __init__(self, connection: Connection, *, fast: bool = True) -> None:
        self._connection = connection
        self._fast = fast
        self.is_postgresql = connection.dialect.name == "postgresql"
        pipeline = getattr(connection.dialect.loaded_dbapi, "Pipeline", None)
        self._pipelines = pipeline is not None and pipeline.is_supported()  # libpq has it since 14
        self._waiting: list[_Execution] = []

    def all(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
        """Every row of the answer."""
        return self.connection.execute(statement, values or {}).all()

    def first(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> Row[Any] | None:
        """The first row of the answer, or None."""
        return self.connection.execute(statement, values or {}).first()

    def all_as(self, record: type[R], statement: sa.Executable, values: Mapping[str, Any] | None = None) -> list[R]:
        """Every row of the answer as a record: a NamedTuple with a field for each column, of the same name."""
        result = self.connection.execute(statement, values or {})
        check_record(record, tuple(result.keys()), statement)
        return [tuple.__new__(record, row) for row in result]

    def first_as(self, record: type[R], statement: sa.Executable, values: Mapping[str, Any] | None = None) -> R | None:
        """The first row of the answer as such a record, or None."""
        result = self.connection.execute(statement, values or {})
        check_record(record, tuple(result.keys()), statement)
        row = result.first()
        return None if row is None else tuple.__new__(record, row)

    def value(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> Any:
        """The first column of the first row, or None."""
        return self.connection.execute(statement, values or {}).scalar()

    def run(self, statement: sa.Executable, values: Mapping[str, Any] | None = None) -> int:
        """Execute; how many rows were touched."""
        return self.connection.execute(statement, values or {}).rowcount

    def run_many(self, statement: sa.Executable, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute once for each of `rows`, in one go. Nothing to do for no rows."""
        if rows:
            self.connection.execute(statement, rows)

    def rows(self, statement: PreparedSelect[R], values: Mapping[str, Any]) -> list[R]:
        """Every row of a prepared statement's answer, as its record."""
        (rows,) = self.rows_of_each((statement, values))
        return rows

    @overload
    def rows_of_each(self, one: tuple[PreparedSelect[R], Mapping[str, Any]], /) -> tuple[list[R]]: ...

    @overload
    def rows_of_each(
        self,
        one: tuple[PreparedSelect[R], Mapping[str, Any]],
        two: tuple[PreparedSelect[R2], Mapping[str, Any]],
        three: tuple[PreparedSelect[R3], Mapping[str, Any]],
        /,
    ) -> tuple[list[R], list[R2], list[R3]]: ...

    def rows_of_each(self, *asked: tuple[PreparedSelect[Any], Mapping[str, Any]]) -> tuple[list[Any], ...]:
        """The rows of several prepared statements, asked for together."""
        if not self._fast:
            return tuple(self.all_as(one.record, one.statement, values) for one, values in asked)
        made = [(one.record, one.on(self._connection.dialect), values) for one, values in asked]
        cursors = self._execute(*(_Execution(one.text, one.bound(values)) for _, one, values in made))
        return tuple(
            one.rows(record, cursor.fetchall()) for (record, one, _), cursor in zip(made, cursors, strict=True)
        )

    def do(self, statement: Prepared, values: Mapping[str, Any]) -> int:
        """Execute a prepared statement; how many rows were touched."""
        if not self._fast:
            return self.run(statement.statement, values)
        made = statement.on(self._connection.dialect)
        (cursor,) = self._execute(_Execution(made.text, made.bound(values)))
        return int(cursor.rowcount)

    def do_later(self, statement: Prepared, values: Mapping[str, Any]) -> None:
        """Execute a prepared statement before whatever comes next, the COMMIT included; it is not waited for."""
        if not self._fast:
            self.run(statement.statement, values)
            return
        made = statement.on(self._connection.dialect)
        self._later(_Execution(made.text, made.bound(values)))

    def add(self, statement: PreparedInsert, rows: Sequence[Sequence[Any]]) -> None:
        """Insert these rows, each in the order of the statement's columns; it is not waited for either."""
        if not self._fast:
            self.run_many(statement.plain, [statement.named(row) for row in rows])
            return
        made = statement.on(self._connection.dialect)
        if self.is_postgresql:
            self._later(_Execution(made.text, made.bound({"given": rows})))
        else:
            self._later(_Execution(made.text, made.each(rows), many=True))

    def flush(self) -> None:
        """Execute what was not waited for."""
        if self._waiting:
            self._execute()

    @contextmanager
    def tried_out(self) -> Generator[None]:
        """What is done within is rolled back at its end."""
        savepoint = self.connection.begin_nested()
        try:
            yield
            self.flush()
        finally:
            self._waiting.clear()
            savepoint.rollback()

    @property
    def connection(self) -> Connection:
        """The connection under it, with everything executed that was said so far."""
        self.flush()
        return self._connection

    def _later(self, execution: _Execution) -> None:
        if self._pipelines:
            self._waiting.append(execution)
        else:
            self._execute(execution)

    def _execute(self, *asked: _Execution) -> list[Any]:
        """Execute what waits, and then these; the driver's cursor of each of these. Raises DBAPIError."""
        executions = [*self._waiting, *asked]
        self._waiting.clear()
        raw: Any = self._connection.connection.driver_connection
        cursors = [raw.cursor() for _ in executions]
        try:
            with raw.pipeline() if self._pipelines and len(executions) > 1 else nullcontext():
                for cursor, execution in zip(cursors, executions, strict=True):
                    text, values, many = execution
                    for hear in self._connection.dispatch.before_cursor_execute:
                        text, values = hear(self._connection, cursor, text, values, None, many)
                    if many:
                        cursor.executemany(text, values)
                    else:
                        cursor.execute(text, values)
        except self._connection.dialect.loaded_dbapi.Error as error:
            raise self._failed(error) from error
        return cursors[len(cursors) - len(asked) :]

    def _failed(self, error: Any) -> DBAPIError:
        """The driver's error as SQLAlchemy's. A connection that is lost is not used again."""
        connection, dialect = self._connection, self._connection.dialect
        is_lost = dialect.is_disconnect(error, connection.connection.dbapi_connection, None)
        if is_lost and not connection.invalidated:
            connection.invalidate(error)
        made = DBAPIError.instance(
            None,
            None,
            error,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=is_lost,
            dialect=dialect,
        )
        assert isinstance(made, DBAPIError)
        return made
