"""Backups while everything runs, and restores that send no one a text twice (K13, F32, F33)."""

import asyncio
import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import sqlalchemy as sa
import staff
from conftest import KEYS, NOW, free_port, logged, send, settle, until
from people import document, one_off
from test_disorder import Web

from reminders import clock, queries, store
from reminders.service import AppContext, planning, sending
from reminders.service.office import signing_in
from reminders.service.operations import backups, health, runs
from reminders.service.replies import inbound
from reminders.service.sending import backlog, outcomes
from reminders.settings import DatabaseSettings
from reminders.sms import Unreachable
from reminders.store.database import schema
from reminders.store.operations import processes
from reminders.store.operations.backup import BadBackup

SENDER = "+15005550006"
MINUTE = timedelta(minutes=1)


def phone(number: int) -> str:
    return f"+120255501{number:02}"


def after(minutes: float):
    return NOW + minutes * MINUTE


def opens(minutes: float) -> dict:
    """A visit whose only text is due that many minutes after NOW, and is useful for 45 minutes."""
    at = NOW + timedelta(minutes=minutes + 90)
    wall = at - timedelta(hours=5)
    return one_off(f"visit{minutes:g}", f"{wall:%Y-%m-%dT%H:%M:%S}", leads=["90m"])


TOMORROW = one_off("tomorrow", "2026-12-02T11:00:00", leads=["1d@17:00"])


def accept(context, number: int, *series, **more):
    changes = {
        "plan": {"ref": f"DC-{number}"},
        "patient": {"ref": f"MRN-{number}", "phone": phone(number), "name": f"Robin {number}"},
        "series": list(series),
    }
    return planning.accept(context, document(**changes | more), clock.now(), who="test")


async def _poll(context, gateway):
    with contextlib.suppress(Unreachable):  # the job would fail, and run again
        await runs.answer(context, gateway, await inbound.poll(context, gateway, clock.now()))


def poll(context):
    runs.with_gateway(context, lambda gateway: _poll(context, gateway))


def live(context, travel, until, *, step=MINUTE / 2):
    """A worker's jobs, every half a minute, until then."""

    async def work(gateway):
        await sending.Dispatch(context, gateway, executor, threading.Event()).drain()
        runs.succeeded(context, "send")
        await outcomes.settle(context, gateway, clock.now())
        await _poll(context, gateway)
        await outcomes.ask(context, gateway, clock.now())

    at = clock.now()
    with ThreadPoolExecutor(1) as executor:
        while at < until:
            travel(at)
            backlog.check(context, clock.now())
            runs.with_gateway(context, work)
            at += step
    travel(until)


def say(twilio, number: int, words: str):
    twilio.do(lambda simulator: simulator.text_from(phone(number), SENDER, words, clock.now()))


def went(twilio, number: int, words: str):
    """Send a text of ours that the database does not know."""
    said = {"to": phone(number), "sender": SENDER, "service": None, "body": words}
    twilio.do(lambda simulator: simulator.create(**said, now=clock.now()))


def seen_by(twilio) -> Counter:
    """(phone, words) → how often that phone got them from us."""
    return Counter((one.to, one.body) for one in twilio.created())


@pytest.fixture
def clinic(line, request):
    """`line`, with PostgreSQL's own programs at hand, and a web port that no one answers on."""
    folder = None
    if line.database.dialect == "postgresql":
        folder = request.getfixturevalue("postgresql_server").binaries
    settings = line.settings.model_copy(
        update={
            "database": DatabaseSettings(url=line.settings.database.url, client_folder=folder),
            "web": line.settings.web.model_copy(update={"port": free_port()}),
        }
    )
    return AppContext(settings, line.secrets, line.database)


@pytest.fixture
def empty(clinic, request):
    """Where the clinic's backup is restored to: its own SQLite file, or a new PostgreSQL database."""
    if clinic.database.dialect == "sqlite":
        yield clinic
        return
    server = request.getfixturevalue("postgresql_server")
    name = f"restored_{os.urandom(6).hex()}"
    server.run(f"CREATE DATABASE {name}")
    url = server.url(name)
    database = clinic.settings.database.model_copy(update={"url": url})
    settings = clinic.settings.model_copy(update={"database": database})
    context = AppContext(settings, clinic.secrets, store.Database(url, store.Ring(KEYS)))
    yield context
    context.close()
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


def take(context, folder):
    return backups.take(context, folder, clock.now(), who="test")


def restore(context, file, *, listed=True, **more):
    """Restore like the command: the database, then the texts sent and received since."""
    done = asyncio.run(backups.restore(context, file, clock.now(), who="test", **more))
    if listed:
        runs.with_gateway(context, lambda gateway: backups.catch_up(context, gateway, clock.now()))
    return done


def states(context) -> dict[str, str]:
    """Patient → the state of their first text."""
    return {text.patient: text.state for text in reversed(logged(context))}


EVENING = 60 * 31  # minutes from NOW until the text of TOMORROW is due


def test_f32_k13_a_restore_sends_nothing_twice_and_nothing_after_stop(clinic, empty, twilio, travel, tmp_path):
    first, second, third = range(6), range(6, 12), range(12, 15)
    for number in first:
        accept(clinic, number, opens(0), TOMORROW)
    for number in second:
        accept(clinic, number, opens(5), TOMORROW)
    for number in third:
        accept(clinic, number, opens(9), TOMORROW)
    live(clinic, travel, after(2))
    backup = take(clinic, tmp_path)
    live(clinic, travel, after(8))
    stopped = {0, 6, 7, 8, 9}
    for number in stopped - {9}:
        say(twilio, number, "STOP")
    live(clinic, travel, after(8.5))
    say(twilio, 9, "STOP")  # no one has heard it yet
    assert seen_by(twilio).total() == 12

    travel(after(10))
    done = restore(empty, backup.file)
    assert (done.backup_at, done.doubted) == (backup.at, 9)
    held = {text.patient for text in logged(empty) if text.held == "restored"}
    assert held == {f"MRN-{number}" for number in third}  # the others were found at the first look
    live(empty, travel, after(10.4))
    assert seen_by(twilio).total() == 12  # nothing due is sent before Twilio was asked twice
    assert {states(empty)[f"MRN-{number}"] for number in (*first, *second)} <= {"sent", "delivered"}
    live(empty, travel, after(12))
    assert {states(empty)[f"MRN-{number}"] for number in third} <= {"sent", "delivered"}

    travel(after(EVENING))
    live(empty, travel, after(EVENING + 2))
    seen = seen_by(twilio)
    assert set(seen.values()) == {1}
    reached = Counter(to for to, _ in seen)
    assert [reached[phone(number)] for number in range(15)] == [1 if number in stopped else 2 for number in range(15)]
    assert {text.state for text in logged(empty)} <= {"sent", "delivered", "suppressed"}
    (task,) = queries.tasks.list_tasks(empty.database, closed=True, kind="restored")
    assert task.outcome == "not_needed"


def once(twilio, number: int) -> bool:
    """Whether that phone got every text of ours once, and any at all."""
    counts = {many for (to, _), many in seen_by(twilio).items() if to == phone(number)}
    return counts == {1}


def test_f32_what_went_is_delivered_and_not_expired_when_its_window_is_past(clinic, empty, twilio, travel, tmp_path):
    accept(clinic, 1, opens(5))
    accept(clinic, 2, opens(200))
    backup = take(clinic, tmp_path)
    live(clinic, travel, after(6))
    travel(after(120))
    restore(empty, backup.file)
    live(empty, travel, after(121))
    assert states(empty) == {"MRN-1": "delivered", "MRN-2": "scheduled"}
    assert once(twilio, 1)
    (text,) = [text for text in logged(empty) if text.patient == "MRN-1"]
    (attempt,) = text.attempts
    assert (attempt.sid, attempt.answer) == (twilio.created()[0].sid, "accepted")
    assert abs((attempt.started_at - after(5)).total_seconds()) < 60  # when it went, not when it was found


def test_f32_a_text_that_was_tried_again_after_the_backup_is_not_tried_a_third_time(
    clinic, empty, twilio, travel, tmp_path
):
    twilio.rule(to=phone(1), outcome="undelivered", error_code=30022, times=1, after=0.1)
    twilio.rule(to=phone(2), fault="error_before_create", times=1)
    accept(clinic, 1, opens(1))
    accept(clinic, 2, opens(1))
    live(clinic, travel, after(1.5))
    backup = take(clinic, tmp_path)  # one is handed over, the other is unknown
    assert states(clinic) == {"MRN-1": "sent", "MRN-2": "uncertain"}
    travel(after(17))
    live(clinic, travel, after(24))
    assert len(twilio.created(phone(1))) == 2  # undelivered, and tried again
    assert len(twilio.created(phone(2))) == 1
    travel(after(25))
    restore(empty, backup.file)
    for begins in (25, 40, 60):
        travel(after(begins))
        live(empty, travel, after(begins + 1.5))
    assert len(twilio.created(phone(1))) == 2
    assert len(twilio.created(phone(2))) == 1
    assert states(empty) == {"MRN-1": "delivered", "MRN-2": "delivered"}


def test_f32_answers_to_what_was_answered_before_are_not_given_again(clinic, empty, twilio, travel, tmp_path):
    for number in range(4):
        accept(clinic, number, opens(0))
    live(clinic, travel, after(1))
    backup = take(clinic, tmp_path)
    live(clinic, travel, after(2))
    say(twilio, 1, "I used last night")
    say(twilio, 2, "C")
    say(twilio, 3, "the bus was blue")
    live(clinic, travel, after(3))
    assert {len(twilio.created(phone(number))) for number in (1, 2, 3)} == {2}
    travel(after(5))
    restore(empty, backup.file)
    say(twilio, 0, "I want to die")  # after the restore, before everything is looked up: answered at once
    poll(empty)
    assert len(twilio.created(phone(0))) == 2
    live(empty, travel, after(9))
    assert {len(twilio.created(phone(number))) for number in range(4)} == {2}
    assert all(once(twilio, number) for number in range(4))
    assert {text.state for text in logged(empty)} <= {"sent", "delivered"}
    assert {task.kind for task in queries.tasks.list_tasks(empty.database)} >= {"slip", "reply", "crisis"}


def test_f32_somebody_in_danger_whom_nobody_answered_is_paged_at_once_and_answered(
    clinic, empty, twilio, travel, tmp_path
):
    accept(clinic, 1, opens(200))
    backup = take(clinic, tmp_path)
    travel(after(3))
    say(twilio, 1, "I want to die")  # and nothing of ours was running
    travel(after(4))
    restore(empty, backup.file)
    (task,) = queries.tasks.list_tasks(empty.database, kind="crisis")
    assert task.rung_at is not None
    live(empty, travel, after(6))
    (answer,) = twilio.created(phone(1))
    assert "988" in answer.body


def test_f32_a_stop_and_a_start_since_the_backup_bring_no_text_back(clinic, empty, twilio, travel, tmp_path):
    accept(clinic, 1, opens(2))
    backup = take(clinic, tmp_path)
    live(clinic, travel, after(3))
    say(twilio, 1, "STOP")
    live(clinic, travel, after(4))
    say(twilio, 1, "START")
    live(clinic, travel, after(5))
    many = len(twilio.created(phone(1)))
    travel(after(6))
    restore(empty, backup.file)
    live(empty, travel, after(10))
    assert len(twilio.created(phone(1))) == many
    assert states(empty)["MRN-1"] == "delivered"


def test_f32_a_c_to_a_text_that_went_after_the_backup_confirms_its_visit(clinic, empty, twilio, travel, tmp_path):
    accept(clinic, 1, opens(2))
    backup = take(clinic, tmp_path)
    live(clinic, travel, after(3))
    say(twilio, 1, "C")
    live(clinic, travel, after(4))
    many = len(twilio.created(phone(1)))
    assert many == 2
    travel(after(6))
    restore(empty, backup.file)
    live(empty, travel, after(8.5))
    assert len(twilio.created(phone(1))) == many
    assert empty.database.read(lambda tx: len(tx.all(sa.select(schema.confirmations)))) == 1
    assert queries.tasks.list_tasks(empty.database) == []
    assert {text.state for text in logged(empty)} <= {"sent", "delivered"}


def test_f32_a_text_that_twilios_list_shows_late_is_found_at_the_second_look(clinic, empty, twilio, travel, tmp_path):
    twilio.do(lambda simulator: simulator.change(list_lag=25.0))
    accept(clinic, 1, opens(2))
    backup = take(clinic, tmp_path)
    travel(after(2.01))
    send(clinic)
    travel(after(2.1))
    restore(empty, backup.file)
    assert [text.held for text in logged(empty)] == ["restored"]
    live(empty, travel, after(5))
    assert once(twilio, 1)
    assert states(empty)["MRN-1"] == "delivered"


def test_f32_what_twilio_answers_by_itself_is_no_riddle(clinic, empty, twilio, travel, tmp_path):
    accept(clinic, 1, opens(5))
    backup = take(clinic, tmp_path)
    travel(after(2))
    say(twilio, 1, "STOP")
    travel(after(3))
    say(twilio, 1, "START")  # Twilio confirms both; nothing of ours was running
    travel(after(6))
    restore(empty, backup.file)
    live(empty, travel, after(9))
    assert states(empty)["MRN-1"] in {"sent", "delivered"}
    assert backups.open_doubts(empty) == (0, [])


def asking(context):
    """The same house, where a number is verified by the welcome's Y."""
    asks = context.settings.sending.model_copy(update={"welcome": True})
    return AppContext(context.settings.model_copy(update={"sending": asks}), context.secrets, context.database)


def test_f32_a_welcome_goes_once_and_the_y_since_counts(clinic, empty, twilio, travel, tmp_path):
    clinic, empty = asking(clinic), asking(empty)
    accept(clinic, 1, opens(600), consent={"verified": None})
    backup = take(clinic, tmp_path)
    live(clinic, travel, after(1))
    say(twilio, 1, "Y")
    live(clinic, travel, after(2))
    many = len(twilio.created(phone(1)))
    assert many == 2
    travel(after(3))
    restore(empty, backup.file)
    live(empty, travel, after(6))
    assert len(twilio.created(phone(1))) == many
    verified = sa.select(schema.numbers.c.verified_at)
    assert empty.database.read(lambda tx: tx.value(verified)) is not None


def test_f32_a_plan_that_is_imported_again_after_the_restore_texts_nobody_twice(
    clinic, empty, twilio, travel, tmp_path
):
    clinic, empty = asking(clinic), asking(empty)
    accept(clinic, 1, opens(600))
    live(clinic, travel, after(1))
    backup = take(clinic, tmp_path)
    travel(after(2))
    accept(clinic, 2, opens(3), consent={"verified": None})
    live(clinic, travel, after(4))
    say(twilio, 2, "Y")
    live(clinic, travel, after(8))
    went = len(twilio.created(phone(2)))
    assert went >= 2  # the welcome, and the answer to its Y
    travel(after(9))
    restore(empty, backup.file)
    accept(empty, 2, opens(3), consent={"verified": None})
    live(empty, travel, after(13))
    assert len([one for one in twilio.created(phone(2)) if "Your visit" in one.body]) == 1
    assert Counter(one.body for one in twilio.created(phone(2))).most_common(1)[0][1] == 1
    assert len(twilio.created(phone(2))) == went


def test_f32_where_something_went_that_nothing_explains_a_person_decides(clinic, empty, twilio, travel, tmp_path):
    for number in (1, 2, 3):
        accept(clinic, number, opens(5))
    backup = take(clinic, tmp_path)
    travel(after(6))
    for number in (1, 2):
        went(twilio, number, "Something else.")
    travel(after(7))
    restore(empty, backup.file)
    live(empty, travel, after(9))
    assert len(twilio.created(phone(3))) == 1  # nothing went to it, and the others do not hold it up
    looked_for, left = backups.open_doubts(empty)
    assert (looked_for, [one.patient for one in left]) == (0, ["MRN-1", "MRN-2"])
    (task,) = queries.tasks.list_tasks(empty.database, kind="restored")
    assert (task.urgency, task.rung_at is not None) == ("urgent", True)
    named = {
        event.text_id
        for event in queries.tasks.show(empty.database, task.id, clock.now(), who="test")[1]
        if event.text_id
    }
    assert named == {one.text for one in left}
    live(empty, travel, after(60), step=10 * MINUTE)
    assert len(twilio.created(phone(1))) == 1
    assert {text.held for text in logged(empty, patient="MRN-1")} == {"restored"}  # not even its window ends that

    assert backups.decide(empty, clock.now(), drop=True, who="test") == 2
    assert states(empty)["MRN-1"] == "expired"
    assert queries.tasks.list_tasks(empty.database, kind="restored") == []


def test_a_person_may_let_them_go_instead(clinic, empty, twilio, travel, tmp_path):
    accept(clinic, 1, opens(5))
    backup = take(clinic, tmp_path)
    travel(after(6))
    went(twilio, 1, "Other.")
    travel(after(7))
    restore(empty, backup.file)
    live(empty, travel, after(9))
    assert backups.decide(empty, clock.now(), drop=False, who="test") == 1
    live(empty, travel, after(10))
    assert [one.body == "Other." for one in twilio.created(phone(1))] == [True, False]


def test_f32_while_twilio_cannot_be_asked_nothing_goes(clinic, empty, twilio, travel, tmp_path):
    accept(clinic, 1, opens(2))
    accept(clinic, 2, opens(30))
    backup = take(clinic, tmp_path)
    live(clinic, travel, after(3))
    travel(after(29))
    restore(empty, backup.file)
    twilio.rule(fault="error_before_create", on="list")
    live(empty, travel, after(32))
    assert len(twilio.created(phone(2))) == 0
    assert any("restored" in trouble for trouble in health.status(empty, clock.now()).troubles)
    assert not next(check for check in asyncio.run(health.doctor(empty)) if check.check == "restore").ok
    twilio.do(lambda simulator: simulator.rules.clear())
    live(empty, travel, after(36))
    assert (once(twilio, 1), once(twilio, 2)) == (True, True)
    assert "restore" not in {check.check for check in asyncio.run(health.doctor(empty))}


def test_f32_nothing_is_released_before_every_stop_is_in(clinic, empty, twilio, travel, tmp_path):
    accept(clinic, 1, opens(2))
    backup = take(clinic, tmp_path)
    travel(after(3))
    say(twilio, 1, "STOP")
    travel(after(4))
    restore(empty, backup.file, listed=False)
    for minute in range(4, 12):
        travel(after(minute))
        settle(empty)
        send(empty)
    assert twilio.created(phone(1)) == []
    assert [text.held for text in logged(empty)] == ["restored"]
    live(empty, travel, after(14))
    assert twilio.created(phone(1)) == []
    assert states(empty) == {"MRN-1": "suppressed"}


def test_f32_many_texts_that_were_due_in_the_outage_are_a_backlog(clinic, empty, twilio, travel, tmp_path):
    settings = empty.settings.model_copy(update={"sending": empty.settings.sending.model_copy(update={"backlog": 3})})
    many = AppContext(settings, empty.secrets, empty.database)
    for number in range(4):
        accept(clinic, number, opens(1))
    backup = take(clinic, tmp_path)
    travel(after(20))  # down since the backup
    restore(many, backup.file)
    live(many, travel, after(22))
    assert twilio.created() == []
    assert {text.held for text in logged(many)} == {"backlog"}
    assert backlog.end(many, clock.now(), drop=False, who="test") == 4
    live(many, travel, after(23))
    assert seen_by(twilio).total() == 4


def test_a_backup_of_a_backup_of_a_restore_is_restored_just_so(clinic, empty, twilio, travel, tmp_path, request):
    accept(clinic, 1, opens(2))
    token = staff.token(clinic, "ops")
    first = take(clinic, tmp_path)
    live(clinic, travel, after(3))
    restore(empty, first.file)
    with pytest.raises(signing_in.NotSignedIn):  # it may have been ended since the backup
        signing_in.enter(empty, token, clock.now())
    live(empty, travel, after(5))
    if empty.database.dialect == "postgresql":
        return  # the next would need another database
    accept(empty, 2, opens(8))
    second = take(empty, tmp_path)
    live(empty, travel, after(9))
    restore(empty, second.file)
    live(empty, travel, after(12))
    assert (once(twilio, 1), once(twilio, 2)) == (True, True)
    restore(empty, first.file)  # and once more the older one
    accept(empty, 2, opens(8))
    live(empty, travel, after(15))
    assert (once(twilio, 1), once(twilio, 2)) == (True, True)


# The file.


def rows_of(context) -> int:
    return context.database.read(lambda tx: tx.value(sa.select(sa.func.count()).select_from(schema.audit)))


def write_audit(context, stop, written):
    while not stop.is_set():
        context.database.write(
            lambda tx: store.audit_log.note(tx, who="test", what="noise", table="sites", row=0, now=clock.now())
        )
        written.append(None)
        time.sleep(0.005)  # SQLite's busy handler is unfair: a writer without pauses lets no one else in


def test_f33_a_backup_under_load_lacks_nothing_that_was_committed_before_it(clinic, empty, tmp_path, travel):
    accept(clinic, 1, opens(30))
    stop, written = threading.Event(), []
    writers = [threading.Thread(target=write_audit, args=[clinic, stop, written]) for _ in range(2)]
    for writer in writers:
        writer.start()
    try:
        made = []
        for number in range(6):
            came = len(written)
            until(lambda came=came: len(written) > came)  # a machine may be slower than a backup
            before = rows_of(clinic)
            made.append((before, backups.take(clinic, tmp_path / f"{number}.backup", clock.now(), who="test")))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    before, backup = made[-1]
    if clinic.database.dialect == "sqlite":
        for before_, one in made:
            with contextlib.closing(sqlite3.connect(one.file)) as copy:
                assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert copy.execute("SELECT count(*) FROM audit").fetchone()[0] >= before_
        clinic.database.close()
    restore(empty, backup.file)
    assert rows_of(empty) >= before
    assert logged(empty, patient="MRN-1")


def test_a_backup_is_for_its_owner_only_dated_whole_and_sealed(clinic, tmp_path, travel):
    accept(clinic, 1, opens(30), patient={"ref": "MRN-1", "phone": phone(77), "name": "Zyxwen Quillfeather"})
    (tmp_path / "kept").mkdir()
    backup = take(clinic, tmp_path / "kept")
    suffix = "db" if clinic.database.dialect == "sqlite" else "dump"
    assert backup.file.name == f"reminders-{backup.at:%Y%m%dT%H%M%SZ}.{suffix}"
    assert stat.S_IMODE(backup.file.stat().st_mode) == 0o600
    assert backup.bytes == backup.file.stat().st_size > 1000
    assert [one.name for one in (tmp_path / "kept").iterdir()] == [backup.file.name]  # no draft, no log beside it
    content = backup.file.read_bytes()
    for personal in (b"Quillfeather", phone(77).encode(), KEYS["k1"]):
        assert personal not in content
    assert clinic.database.read(store.backup.all_marks)["backup"] == backup.at


def test_a_backup_that_fails_leaves_the_one_before_and_says_why(clinic, tmp_path, travel):
    target = tmp_path / "last.backup"
    first = take(clinic, target)
    folder = tmp_path / "none"
    with pytest.raises(BadBackup, match="cannot write there"):
        take(clinic, folder / "last.backup")
    if clinic.database.dialect == "sqlite":
        with pytest.raises(BadBackup, match="the database itself"):
            take(clinic, store.backup.file_of(clinic.settings.database.url))
        damage(store.backup.file_of(clinic.settings.database.url))
        with pytest.raises((BadBackup, store.Unavailable)):
            take(clinic, target)
    else:
        database = clinic.settings.database.model_copy(update={"client_folder": folder})
        without = AppContext(clinic.settings.model_copy(update={"database": database}), clinic.secrets, clinic.database)
        with pytest.raises(BadBackup, match=r"pg_dump is not to be had.*client_folder"):
            take(without, target)
    assert target.stat().st_size == first.bytes
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


def damage(file):
    """Damage a page in the middle, as a bad disk would."""
    with file.open("r+b") as opened:
        size = opened.seek(0, os.SEEK_END)
        for at in range(4096 * 2, size, 4096):
            opened.seek(at + 8)
            opened.write(b"\xa5" * 64)


def test_the_password_of_the_server_is_in_no_argument(clinic, tmp_path, travel):
    if clinic.database.dialect == "sqlite":
        pytest.skip("SQLite has no password")
    real, folder = clinic.settings.database.client_folder, tmp_path / "bin"
    folder.mkdir()
    for name in ("pg_dump", "pg_restore"):
        program = folder / name
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {folder}/arguments\nenv >> {folder}/environment\nexec {real}/{name} "$@"\n'
        )
        program.chmod(0o755)
    url = clinic.settings.database.url.replace("postgres@", "postgres:s3cret@") + "?application_name=kept"
    database = clinic.settings.database.model_copy(update={"url": url, "client_folder": folder})
    context = AppContext(clinic.settings.model_copy(update={"database": database}), clinic.secrets, clinic.database)
    take(context, tmp_path)
    arguments, environment = ((folder / name).read_text() for name in ("arguments", "environment"))
    assert "s3cret" not in arguments
    assert "PGPASSWORD=s3cret" in environment
    assert "PGAPPNAME=kept" in environment
    assert "127.0.0.1" not in arguments
    assert "REMINDERS_" not in environment


# What is refused.


def refuse(context, file, words: str, **more):
    with pytest.raises((BadBackup, store.WrongSchema), match=words):
        asyncio.run(backups.restore(context, file, clock.now(), who="test", **more))


def test_a_restore_is_refused_while_a_worker_or_the_web_process_is_at_work(clinic, tmp_path, travel):
    if clinic.database.dialect == "postgresql":
        pytest.skip("PostgreSQL's is restored into another database, which is empty")
    accept(clinic, 1, opens(30))
    backup = take(clinic, tmp_path)
    ours = {"kind": "worker", "host": "h", "pid": 7, "keys": {}}
    stopped = clinic.database.write(lambda tx: processes.arrive(tx, clock.now(), **ours))
    refuse(clinic, backup.file, "the worker process 7 on h seems to be at work.*--force")
    clinic.database.write(lambda tx: processes.leave(tx, stopped))  # as it does when it is stopped
    with contextlib.closing(sqlite3.connect(store.backup.file_of(clinic.settings.database.url))) as other:
        other.execute("SELECT count(*) FROM texts").fetchone()
        refuse(clinic, backup.file, "another process has the database open")
    web = Web(clinic, clinic.settings.web.port)
    try:
        refuse(clinic, backup.file, "web process answers on port")
    finally:
        web.close()
    clinic.database.write(lambda tx: processes.arrive(tx, clock.now(), **ours))
    clinic.database.close()
    restore(clinic, backup.file, force=True)
    assert clinic.database.read(store.backup.in_doubt)


def test_a_postgresql_backup_is_restored_into_an_empty_database_only(clinic, tmp_path, travel):
    if clinic.database.dialect == "sqlite":
        pytest.skip("SQLite's is put aside")
    backup = take(clinic, tmp_path)
    refuse(clinic, backup.file, "an empty database only.*createdb")


def test_f34_a_backup_of_a_newer_schema_is_refused_and_changes_nothing(clinic, empty, tmp_path, travel):
    accept(clinic, 1, opens(30))
    clinic.database.write(lambda tx: tx.run(sa.text("UPDATE alembic_version SET version_num = '9999'")))
    backup = take(clinic, tmp_path)
    clinic.database.write(lambda tx: tx.run(sa.text(f"UPDATE alembic_version SET version_num = '{store.head()}'")))
    refuse(empty, backup.file, "9999, which is newer than this code")
    if clinic.database.dialect == "sqlite":
        assert logged(clinic)
    else:
        assert empty.database.read(store.backup.is_empty)


def test_what_is_no_backup_is_refused_in_words(clinic, empty, tmp_path, travel):
    backup = take(clinic, tmp_path)
    nothing = tmp_path / "nothing"
    nothing.write_bytes(b"")
    refuse(empty, nothing, "no backup of such a database")
    other = tmp_path / "other"
    other.write_bytes(b"PGDMP and more" if clinic.database.dialect == "sqlite" else b"SQLite format 3\0 and more")
    refuse(empty, other, "database.url names")
    whole = backup.file.read_bytes()
    cut = tmp_path / "cut"
    cut.write_bytes(whole[: len(whole) // 3])
    refuse(empty, cut, "damaged|did not succeed|cannot copy")
    if clinic.database.dialect == "sqlite":
        foreign = tmp_path / "foreign"
        with contextlib.closing(sqlite3.connect(foreign)) as made:
            made.execute("CREATE TABLE notes (words TEXT)")
        refuse(empty, foreign, "no backup of this service")
        damaged = tmp_path / "damaged"
        damaged.write_bytes(whole)
        damage(damaged)
        refuse(empty, damaged, "damaged|cannot copy")
        assert logged(clinic) == []  # still there, and whole
        assert not [one for one in tmp_path.iterdir() if "before" in one.name or one.name.startswith(".")]
    else:
        assert empty.database.read(store.backup.is_empty)


def test_f50_without_its_keys_a_backup_is_not_restored(clinic, empty, tmp_path, travel):
    accept(clinic, 1, opens(30))
    backup = take(clinic, tmp_path)
    clinic.database.close()
    ring = store.Ring({"k9": b"9" * 32})
    strange = AppContext(empty.settings, empty.secrets, store.Database(empty.settings.database.url, ring))
    with pytest.raises(BadBackup, match=r"needs the key k1.*nothing was changed"):
        asyncio.run(backups.restore(strange, backup.file, clock.now(), who="test"))
    strange.database.close()
    if clinic.database.dialect == "sqlite":
        assert len(logged(clinic)) == 1
        assert not clinic.database.read(store.backup.in_doubt)
    else:
        assert empty.database.read(store.backup.is_empty)
    ring = store.Ring({"k1": b"9" * 32})
    other = AppContext(empty.settings, empty.secrets, store.Database(empty.settings.database.url, ring))
    with pytest.raises(BadBackup, match="another key by the name"):
        asyncio.run(backups.restore(other, backup.file, clock.now(), who="test"))
    other.database.close()


def test_f31_a_damaged_database_is_put_aside_and_the_backup_takes_its_place(clinic, tmp_path, travel, twilio):
    if clinic.database.dialect == "postgresql":
        pytest.skip("PostgreSQL's is another database")
    accept(clinic, 1, opens(2))
    backup = take(clinic, tmp_path)
    live(clinic, travel, after(3))
    clinic.database.checkpoint()
    clinic.database.close()
    file = store.backup.file_of(clinic.settings.database.url)
    file.chmod(0o640)
    damage(file)
    travel(after(5))
    done = restore(clinic, backup.file)
    assert done.aside is not None
    assert done.aside.is_file()
    assert stat.S_IMODE(file.stat().st_mode) == 0o640  # who could open the old one can open the new
    live(clinic, travel, after(7))
    assert states(clinic) == {"MRN-1": "delivered"}
    assert once(twilio, 1)


def test_a_restore_that_dies_half_way_leaves_the_old_database_or_one_that_nobody_sends_from(
    clinic, empty, tmp_path, travel, twilio, monkeypatch
):
    accept(clinic, 1, opens(2))
    backup = take(clinic, tmp_path)
    live(clinic, travel, after(3))

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(store.backup, "restored", die)
    travel(after(5))
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(backups.restore(empty, backup.file, clock.now(), who="test"))
    monkeypatch.undo()
    live(empty, travel, after(8))
    assert len(twilio.created()) == 1
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]
