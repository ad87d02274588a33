"""Statements within one open transaction: SQLAlchemy's, and those that run with every batch.

These are prepared, and go to the driver past SQLAlchemy, whose way there and back costs a statement as much again. One
that gives no answer is not waited for: it goes along with the next that does, and PostgreSQL takes all of them in one
round trip (libpq's pipeline). Errors are raised as SQLAlchemy raises them, and who listens to `before_cursor_execute`
hears of each.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import DBAPIError

from reminders.store.database.prepared import Prepared, PreparedInsert


class _Execution(NamedTuple):
    """A statement's text and its values as the driver takes them; with `many`, those of several executions."""

    text: str
    values: Any
    many: bool = False


class Statements:
    """Statements in, rows out, each after the ones before it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
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

    def rows(self, statement: Prepared, values: Mapping[str, Any]) -> list[Any]:
        """Every row of a prepared statement's answer, as a tuple with names."""
        (rows,) = self.rows_of_each((statement, values))
        return rows

    def rows_of_each(self, *asked: tuple[Prepared, Mapping[str, Any]]) -> list[list[Any]]:
        """The rows of several prepared statements, asked for together."""
        made = [(statement.on(self._connection.dialect), values) for statement, values in asked]
        cursors = self._execute(*(_Execution(one.text, one.bound(values)) for one, values in made))
        return [one.rows(cursor.fetchall()) for (one, _), cursor in zip(made, cursors, strict=True)]

    def do(self, statement: Prepared, values: Mapping[str, Any]) -> int:
        """Execute a prepared statement; how many rows were touched."""
        made = statement.on(self._connection.dialect)
        (cursor,) = self._execute(_Execution(made.text, made.bound(values)))
        return int(cursor.rowcount)

    def do_later(self, statement: Prepared, values: Mapping[str, Any]) -> None:
        """Execute a prepared statement before whatever comes next, the COMMIT included; it is not waited for."""
        made = statement.on(self._connection.dialect)
        self._later(_Execution(made.text, made.bound(values)))

    def add(self, statement: PreparedInsert, rows: Sequence[Sequence[Any]]) -> None:
        """Insert these rows, each in the order of the statement's columns; it is not waited for either."""
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
