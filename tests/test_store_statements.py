"""Statements that run with every batch: in order, together, and with the same errors as any other."""

from typing import NamedTuple

import psycopg
import pytest
import sqlalchemy as sa
from conftest import NOW
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reminders.store.database import schema
from reminders.store.database.fast_path import Prepared, PreparedInsert, PreparedSelect, among
from reminders.store.database.fast_path import given as given_rows

ADD = PreparedInsert(schema.job_runs.c.name, schema.job_runs.c.last_success)
RENAME = Prepared(
    schema.job_runs.update()
    .where(schema.job_runs.c.name == sa.bindparam("old"))
    .values(name=sa.bindparam("new", type_=sa.String()))
)


class Named(NamedTuple):
    name: str


class Counted(NamedTuple):
    many: int


class Word(NamedTuple):
    word: str


NAMES = PreparedSelect(Named, sa.select(schema.job_runs.c.name).order_by(schema.job_runs.c.name))
HOW_MANY = PreparedSelect(Counted, sa.select(sa.func.count().label("many")).select_from(schema.job_runs))

FIRST = ("first", NOW)
SECOND = ("second", NOW)


def names(database) -> list[str]:
    return [row.name for row in database.read(lambda tx: tx.rows(NAMES, {}))]


def test_what_is_not_waited_for_is_done_before_whatever_comes_next(database):
    def work(tx):
        tx.add(ADD, [FIRST, SECOND])
        tx.do_later(RENAME, {"old": "first", "new": "third"})
        prepared = [row.name for row in tx.rows(NAMES, {})]
        tx.do_later(RENAME, {"old": "third", "new": "fourth"})
        return prepared, tx.all(sa.select(schema.job_runs.c.name).order_by(schema.job_runs.c.name))

    prepared, others = database.write(work)
    assert prepared == ["second", "third"]
    assert [row.name for row in others] == ["fourth", "second"]


def test_what_is_not_waited_for_is_done_before_the_commit(database):
    database.write(lambda tx: tx.add(ADD, [FIRST]))
    assert names(database) == ["first"]
    assert database.write(lambda tx: tx.do(RENAME, {"old": "first", "new": "x"})) == 1
    assert database.write(lambda tx: tx.do(RENAME, {"old": "first", "new": "y"})) == 0


def test_rows_of_each_come_in_the_order_they_were_asked_for(database):
    def work(tx):
        tx.add(ADD, [FIRST, SECOND])
        return tx.rows_of_each((HOW_MANY, {}), (NAMES, {}), (HOW_MANY, {}))

    before, found, after = database.write(work)
    assert [row.many for row in before] == [row.many for row in after] == [2]
    assert [row.name for row in found] == ["first", "second"]


def test_k8_what_was_not_waited_for_and_cannot_be_is_no_uncertain_commit(database):
    """The error shows before the COMMIT: nothing was done, and nothing is uncertain."""
    database.write(lambda tx: tx.add(ADD, [FIRST]))

    def work(tx):
        tx.add(ADD, [SECOND])
        tx.add(ADD, [FIRST])

    with pytest.raises(sa.exc.IntegrityError):
        database.write(work)
    assert names(database) == ["first"]


def test_the_first_error_of_several_is_the_one_that_is_raised(database):
    database.write(lambda tx: tx.add(ADD, [FIRST]))
    seen = []

    def work(tx):
        tx.add(ADD, [FIRST])
        tx.do_later(RENAME, {"old": "first", "new": "first"})
        seen.append(tx.rows(NAMES, {}))

    with pytest.raises(sa.exc.IntegrityError):
        database.write(work)
    assert seen == []
    assert names(database) == ["first"]


def test_a_trial_leaves_nothing_of_what_was_not_waited_for(database):
    database.try_out(lambda tx: tx.add(ADD, [FIRST]))
    assert names(database) == []

    def half(tx):
        with tx.tried_out():
            tx.add(ADD, [FIRST])
            raise KeyError("half way")

    with pytest.raises(KeyError):
        database.write(half)

    def other(tx):
        with pytest.raises(KeyError):
            half(tx)
        tx.add(ADD, [SECOND])

    database.write(other)
    assert names(database) == ["second"]


def test_a_trial_says_what_cannot_be(database):
    database.write(lambda tx: tx.add(ADD, [FIRST]))
    with pytest.raises(sa.exc.IntegrityError):
        database.try_out(lambda tx: tx.add(ADD, [FIRST]))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("together", [False, True])
def test_f21_a_connection_that_is_lost_between_two_statements_is_not_used_again(database, postgresql_server, together):
    tries = []

    def work(tx):
        tries.append(tx.value(sa.text("SELECT pg_backend_pid()")))
        if len(tries) == 1:
            postgresql_server.run(f"SELECT pg_terminate_backend({tries[0]})")
        if together:
            tx.add(ADD, [FIRST])
        tx.rows(NAMES, {})

    database.write(work)
    assert len(set(tries)) == 2
    assert names(database) == (["first"] if together else [])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_f21_a_connection_that_is_lost_is_said_to_be(database, postgresql_server):
    def work(tx):
        postgresql_server.run(f"SELECT pg_terminate_backend({tx.value(sa.text('SELECT pg_backend_pid()'))})")
        with pytest.raises(sa.exc.OperationalError) as met:
            tx.rows(NAMES, {})
        assert met.value.connection_invalidated
        assert tx.connection.invalidated
        raise KeyError("there is no going on")

    with pytest.raises(KeyError):
        database.write(work)
    assert names(database) == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_batch_is_one_round_trip(database, monkeypatch):
    """Statements without a wait, and joint queries, share one of libpq's pipelines."""
    began = []
    monkeypatch.setattr(
        psycopg.Connection,
        "pipeline",
        lambda self, pipeline=psycopg.Connection.pipeline: began.append(1) or pipeline(self),
    )

    def work(tx):
        tx.add(ADD, [FIRST])
        tx.do_later(RENAME, {"old": "first", "new": "third"})
        tx.rows_of_each((NAMES, {}), (HOW_MANY, {}))

    database.write(work)
    assert len(began) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_libpq_without_pipelines_does_the_same_one_by_one(database, monkeypatch):
    monkeypatch.setattr(psycopg.Pipeline, "is_supported", lambda: False)
    monkeypatch.setattr(psycopg.Connection, "pipeline", lambda self: pytest.fail("there is none"))
    test_what_is_not_waited_for_is_done_before_whatever_comes_next(database)


WORDS = given_rows(word=sa.String())
OF_WORDS = PreparedSelect(Word, sa.select(WORDS.c.word).where(among(WORDS.c.word, "wanted")))


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), unique=True), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_words_are_found_whatever_they_are_made_of(database, words, data):
    wanted = data.draw(st.sets(st.sampled_from(words))) if words else set()
    rows = database.read(lambda tx: tx.rows(OF_WORDS, {"given": [(word,) for word in words], "wanted": wanted}))
    assert {row.word for row in rows} == wanted


def test_who_listens_to_statements_hears_of_these_too(database):
    heard = []

    def note(_connection, _cursor, statement, _values, _context, many):
        heard.append((statement.split()[0], many))

    sa.event.listen(database._engine, "before_cursor_execute", note)
    database.write(lambda tx: (tx.add(ADD, [FIRST]), tx.rows(NAMES, {})))
    sa.event.remove(database._engine, "before_cursor_execute", note)
    many = database.dialect == "sqlite"
    assert [one for one in heard if one[0] != "BEGIN"] == [("INSERT", many), ("SELECT", False)]
