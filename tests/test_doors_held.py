"""SEC-1: a change for many people runs in small steps, so that no one waits for the database."""

import json
import threading
import time
from datetime import date, datetime, timedelta

import pytest
from conftest import KEYS, NOW
from held import measured
from people import document, one_off, raw

from reminders import clock, store
from reminders.service import planning
from reminders.service.planning import attendance, changes, importing
from reminders.store.database import engine
from reminders.store.office import job_runs

MEMBERS, FEW = 6, 2
DAY = date(2026, 12, 7)


def member(number: int, session: str = "oak") -> dict:
    group = one_off("group", "2026-12-07T18:00:00", kind="therapy_group", session=session, minutes=90)
    patient = {"ref": f"MRN-{number}", "name": f"Invented Person{number}", "phone": f"(202) 555-01{50 + number}"}
    return {"plan": {"ref": f"DC-{number}"}, "patient": patient, "series": [group]}


@pytest.fixture
def group(context, travel):
    for number in range(MEMBERS):
        planning.accept(context, document(**member(number)), NOW, who="test")
    for number in range(MEMBERS, MEMBERS + FEW):
        planning.accept(context, document(**member(number, "elm")), NOW, who="test")
    return context


def steps(work, few) -> tuple[object, int]:
    """The result and the number of write transactions; none does more than those of `few`, for fewer people."""
    with measured() as held:
        few()
    bound = max(one.statements for one in held)
    with measured() as held:
        done = work()
    assert bound >= max(one.statements for one in held) > 1
    return done, len(held)


def test_s1_a_session_is_changed_and_that_taken_back_patient_by_patient(group):
    to = datetime(2026, 12, 8, 18)
    tried = changes.try_session(group, "oak", DAY, NOW, to=to)
    done, many = steps(
        lambda: changes.change_session(group, "oak", DAY, NOW, who="test", to=to),
        lambda: changes.change_session(group, "elm", DAY, NOW, who="test", to=to),
    )
    assert many == MEMBERS
    assert tried is not None
    assert done == tried[0]
    assert len({line.patient for line in tried[1]}) == MEMBERS
    later = NOW + timedelta(minutes=1)
    _, many = steps(
        lambda: changes.undo_session(group, "oak", DAY, later, who="test"),
        lambda: changes.undo_session(group, "elm", DAY, later, who="test"),
    )
    assert many == MEMBERS
    assert [line.wall.date() for line in changes.session_story(group, "oak", DAY, later)] == [DAY] * MEMBERS


class BrokenError(Exception):
    """A crash in the middle."""


def broken_off(monkeypatch, after: int):
    """Make writing fail after that many more transactions, until it is undone."""
    write, done = store.Database.write, []

    def once(self, work, *, again=False):
        if len(done) == after:
            raise BrokenError
        done.append(work)
        return write(self, work, again=again)

    monkeypatch.setattr(store.Database, "write", once)


@pytest.mark.parametrize("undone", [False, True])
def test_s1_a_change_that_broke_off_goes_on_when_it_is_asked_for_again(group, monkeypatch, undone):
    to, later = datetime(2026, 12, 7, 19), NOW + timedelta(minutes=1)

    def ask():
        if undone:
            return changes.undo_session(group, "oak", DAY, later, who="test")
        return changes.change_session(group, "oak", DAY, NOW, who="test", to=to)

    if undone:
        changes.change_session(group, "oak", DAY, NOW, who="test", to=to)
    with monkeypatch.context() as patch:
        broken_off(patch, 2)
        with pytest.raises(BrokenError):
            ask()
    assert ask() is not None
    walls = {line.wall for line in changes.session_story(group, "oak", DAY, later)}
    assert walls == {datetime(2026, 12, 7, 18) if undone else to}
    versions = group.database.read(lambda tx: [row.version for row in tx.all(store.plans.appointments.select())])
    assert sorted(versions) == [1] * FEW + [3 if undone else 2] * MEMBERS  # each was changed once
    if undone:
        with pytest.raises(ValueError, match="taken back already"):
            ask()


def test_s1_marks_and_plans_of_many_are_set_patient_by_patient(group, travel):
    plans = store.plans.plans
    ids = group.database.read(lambda tx: [row.id for row in tx.all(plans.select().order_by(plans.c.id))])
    (done, _), many = steps(
        lambda: changes.set_statuses(group, ids[:MEMBERS], "paused", NOW, who="test"),
        lambda: changes.set_statuses(group, ids[MEMBERS:], "paused", NOW, who="test"),
    )
    assert (done, many) == (MEMBERS, MEMBERS)
    changes.set_statuses(group, ids, "active", NOW, who="test")
    after = datetime(2026, 12, 9, 12, tzinfo=NOW.tzinfo)
    marked, many = steps(
        lambda: attendance.mark_session(group, "oak", DAY, after, who="test", missed=["MRN-1"]),
        lambda: attendance.mark_session(group, "elm", DAY, after, who="test", missed=[f"MRN-{MEMBERS}"]),
    )
    assert ([one.mark for one in marked].count("missed"), many) == (1, MEMBERS)


def test_s1_files_of_all_or_nothing_are_tried_first_and_taken_in_patient_by_patient(context, travel, tmp_path):
    paths = [tmp_path / f"{number}.json" for number in range(FEW + MEMBERS)]
    for number, path in enumerate(paths):
        path.write_text(json.dumps(raw(**member(number))), encoding="utf-8")

    def ask(these):
        return importing.import_files(context, these, NOW, who="test", all_or_nothing=True)

    report, many = steps(lambda: ask(paths[FEW:]), lambda: ask(paths[:FEW]))
    # On PostgreSQL a preview is a transaction too.
    assert (report.accepted, many) == (MEMBERS, MEMBERS * (1 if context.database.dialect == "sqlite" else 2))


def test_s1_whoever_reads_for_long_makes_no_checkpoint_keep_writers_out(tmp_path, sqlite_template):
    path = tmp_path / "x.db"
    path.write_bytes(sqlite_template.read_bytes())
    database = store.Database(f"sqlite:///{path}", store.Ring(KEYS), patience=10)
    reading, over = threading.Event(), threading.Event()

    def export(tx: store.Transaction) -> None:
        job_runs.runs(tx)
        reading.set()
        over.wait(10)

    reader = threading.Thread(target=database.read, args=[export])
    reader.start()
    assert reading.wait(10)
    database.write(lambda tx: job_runs.job_succeeded(tx, "send", NOW))
    checkpoint = threading.Thread(target=database.checkpoint)
    begun = time.monotonic()
    checkpoint.start()
    time.sleep(0.05)
    database.write(lambda tx: job_runs.job_succeeded(tx, "watch", NOW))
    took = time.monotonic() - begun
    over.set()
    reader.join()
    checkpoint.join()
    assert took < 2  # it waited for as long as the reader read, up to 15 s
    database.checkpoint()
    assert path.with_name("x.db-wal").stat().st_size == 0
    database.close()


def test_s1_the_write_ahead_log_is_folded_in_before_it_is_long(tmp_path, sqlite_template, monkeypatch):
    path = tmp_path / "x.db"
    path.write_bytes(sqlite_template.read_bytes())
    monkeypatch.setattr(engine, "_LONGEST_LOG", 50_000)
    database = store.Database(f"sqlite:///{path}", store.Ring(KEYS))
    for number in range(40):
        database.write(lambda tx, number=number: job_runs.job_succeeded(tx, f"job {number}", clock.now()))
    assert path.with_name("x.db-wal").stat().st_size < 100_000
    database.close()
