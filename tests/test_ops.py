"""Bad days: the backlog of an outage, a stopped sender, whom to phone meanwhile, and the checks of `doctor`."""

import asyncio
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from conftest import KEYS, NOW, logged, send, settle
from oncall import Clinic
from people import one_off
from test_backup import SENDER, accept, after, live, opens, phone, say, seen_by, take
from test_cli import PART_2_NOTICE, Terminal, _logging_of_the_tests  # ruff: ignore[unused-import]  a fixture for all here
from test_service_sending import until

from jobs.sender_thread import Line
from reminders import clock, queries, store
from reminders.plans import to_instant, to_wall
from reminders.queries import call_list, explanations
from reminders.service import AppContext
from reminders.service.operations import health, runs
from reminders.service.sending import backlog, outcomes
from reminders.settings import Secrets
from reminders.sms.receipts import read_receipt
from reminders.store.database import schema
from reminders.store.office import job_runs

PACIFIC = ZoneInfo("America/Los_Angeles")


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio):
    opened = Clinic(database_url, tmp_path, travel, twilio, ("Ops", {}), sending__backlog="5")
    yield opened
    opened.close()


# After an outage.


def scan(context):
    """Do what a worker's line does: look for an outage, send, and record the success."""
    backlog.check(context, clock.now())
    tally = send(context)
    runs.succeeded(context, "send")
    return tally


def test_an_outage_with_many_texts_overdue_is_held_paged_and_goes_earliest_deadline_first(clinic, twilio, travel):
    context = clinic.context
    scan(context)
    for number in range(8):
        accept(context, number, opens(20 + 3 * (7 - number)))
    accept(context, 8, opens(5))  # useful until 12:55
    travel(after(60))
    say(twilio, 9, "HELP")
    scan(context)
    assert seen_by(twilio).total() == 0
    assert Counter(text.held for text in logged(context)) == {"backlog": 8, None: 1}
    (task,) = queries.tasks.list_tasks(context.database, kind="backlog")
    assert (task.urgency, task.rung_at is not None) == ("urgent", True)
    clinic.page()
    assert clinic.pager.called() == ["Ops"]
    held = backlog.held(context)
    assert held.texts == 8
    assert [many for _, many in held.by] == [8]
    assert [until.minute for until, _ in held.by] == [0]

    clinic.text("I want to die", phone(0))  # answers are still sent
    scan(context)
    assert ["988" in one.body for one in twilio.created()] == [True]
    travel(after(66))
    settle(context)
    assert backlog.end(context, clock.now(), drop=False, who="test") >= 1
    began = len(twilio.created())
    before = {text.patient: text.closes_at for text in logged(context)}
    scan(context)
    went = [one.to for one in twilio.created()[began:]]
    due = [patient for patient, closes in sorted(before.items(), key=itemgetter(1)) if closes > after(66)]
    # Patient 0 may be in danger: their text waits for a call.
    assert went == [phone(int(patient[4:])) for patient in due if patient != "MRN-0"]
    assert {text.state for text in logged(context) if text.closes_at <= after(66)} <= {"expired"}
    assert queries.tasks.list_tasks(context.database, kind="backlog") == []


def test_a_backlog_that_is_dropped_counts_as_expired_and_its_task_is_closed(clinic, travel, twilio):
    context = clinic.context
    scan(context)
    for number in range(6):
        accept(context, number, opens(20))
    travel(after(40))
    scan(context)
    assert backlog.end(context, clock.now(), drop=True, who="test") == 6
    assert {text.state for text in logged(context)} == {"expired"}
    (task,) = queries.tasks.list_tasks(context.database, closed=True, kind="backlog")
    assert task.outcome == "dropped"
    scan(context)
    assert twilio.created() == []


@pytest.mark.parametrize(("many", "pause"), [(5, 40), (12, 5)])
def test_few_texts_or_a_rush_hour_are_no_backlog(clinic, travel, twilio, many, pause):
    context = clinic.context
    for number in range(many):
        accept(context, number, opens(20))
    travel(after(21 - pause))
    scan(context)
    travel(after(21))
    scan(context)
    assert len(twilio.created()) == many
    assert queries.tasks.list_tasks(context.database, kind="backlog") == []


def test_the_worker_itself_looks_for_a_backlog_before_its_first_claim(database_url, tmp_path, travel, twilio):
    clock.correct(timedelta(0))  # the line keeps its own time
    more = {"sending__backlog": "5", "sending__quiet_hours": '["00:00", "00:00"]'}
    clinic = Clinic(database_url, tmp_path, travel, twilio, ("Ops", {}), **more)
    clock.correct(timedelta(0))
    context, now = clinic.context, clock.now()
    wall = to_wall(now + timedelta(hours=1), "America/New_York")
    visit = one_off("visit", f"{wall:%Y-%m-%dT%H:%M:%S}", leads=["90m"])
    for number in range(6):
        accept(context, number, visit, plan={"ref": f"DC-{number}", "discharged_on": "2026-11-20"})
    context.database.write(lambda tx: job_runs.job_succeeded(tx, "send", now - timedelta(hours=1)))
    line = Line(context)
    line.start()
    line.wake()
    until(lambda: queries.tasks.list_tasks(context.database, kind="backlog"))
    line.stop()
    assert {text.held for text in logged(context)} == {"backlog"}
    assert twilio.created() == []
    clinic.close()


# A sender that is stopped.


@pytest.mark.parametrize("code", [20003, 21606, 30034, 21660])
def test_f11_a_sender_at_fault_is_stopped_paged_once_and_spends_no_patients_try(clinic, twilio, travel, code):
    context = clinic.context
    fault = {"fault": "unauthorized"} if code == 20003 else {"fault": "refuse", "code": code}
    twilio.rule(**fault)
    for number in range(3):
        accept(context, number, opens(0))
    for minute in range(6):
        travel(after(minute))
        send(context)
        clinic.page()
    (task,) = queries.tasks.list_tasks(context.database, kind="sender_fault")
    assert task.urgency == "urgent"
    assert len(clinic.pager.called()) == 1
    (told,) = [explanations.detail(event) for event in clinic.story(task.id) if event.what == "stopped"]
    assert f"(code {code})" in told
    tried = Counter(len(text.attempts) for text in logged(context))
    assert max(tried) <= 6  # once a minute at most, not once a scan
    assert {text.state for text in logged(context)} == {"scheduled"}
    assert not health.status(context, clock.now()).ok
    twilio.do(lambda simulator: simulator.rules.clear())
    travel(after(12))
    send(context)
    assert len(twilio.created()) == 3
    assert {text.state for text in logged(context)} == {"sent"}
    (task,) = queries.tasks.list_tasks(context.database, kind="sender_fault", closed=True)
    assert task.outcome == "not_needed"
    assert not [trouble for trouble in health.status(context, clock.now()).troubles if "rests" in trouble]


def hear(context, twilio):
    """Deliver a receipt of failure for each text made."""
    until = time.monotonic() + 10
    made = len(twilio.created())
    while len({ref for ref, _ in twilio.receipts(("undelivered", "failed"))}) < made and time.monotonic() < until:
        time.sleep(0.01)
    for ref, form in twilio.receipts(("undelivered", "failed")):
        outcomes.receive(context, ref, read_receipt(list(form.items())), form, clock.now())


@pytest.mark.parametrize(("code", "minutes", "tries"), [(30003, 45, 3), (30008, 120, 2), (30450, 35, 2)])
def test_a_failure_that_may_pass_is_tried_as_often_as_the_table_says(line, twilio, travel, code, minutes, tries):
    wide = one_off("visit", "2026-12-03T15:00:00", leads=["2d@11:00"])  # of use for hours
    accept(line, 1, wide)
    travel(to_instant(datetime(2026, 12, 1, 11), "America/New_York").astimezone(UTC))
    made = 0
    for _ in range(5):
        twilio.rule(to=phone(1), error_code=code, after=0.01)  # again: Twilio itself lifts its own block
        send(line)
        _play_out(twilio)
        hear(line, twilio)
        made, before = len(twilio.created()), made
        if made == before:
            break
        waits = [text for text in logged(line) if text.state == "scheduled"]
        if waits:
            assert abs((waits[0].due_at - clock.now()).total_seconds() - 60 * minutes) < 30
            assert waits[0].waits_code == code
        travel(clock.now() + timedelta(minutes=minutes - 1))
        assert send(line).claimed == 0
        travel(clock.now() + timedelta(minutes=1, seconds=30))
    assert made == tries
    assert {text.state for text in logged(line)} == {"undelivered"}


def _play_out(twilio):
    twilio.do(lambda simulator: simulator.forward(30, clock.now()))


def test_a_failure_that_may_pass_is_not_tried_once_the_window_is_shut(line, twilio, travel):
    twilio.rule(to=phone(1), error_code=30003, after=0.01)
    accept(line, 1, opens(0))  # of use for 45 minutes: as long as the wait
    send(line)
    _play_out(twilio)
    hear(line, twilio)
    assert [text.state for text in logged(line)] == ["undelivered"]
    travel(after(46))
    assert send(line).claimed == 0
    assert len(twilio.created()) == 1


def test_a_daily_cap_of_the_carrier_waits_for_midnight_pacific(line, twilio, travel):
    accept(line, 1, one_off("visit", "2026-12-04T15:00:00", leads=["3d@17:00"]))
    travel(to_instant(datetime(2026, 12, 1, 17), "America/New_York").astimezone(UTC))
    twilio.rule(to=phone(1), error_code=30023, after=0.01, times=1)
    send(line)
    _play_out(twilio)
    hear(line, twilio)
    (text,) = logged(line)
    assert text.due_at.astimezone(PACIFIC) == datetime(2026, 12, 2, 0, 0, tzinfo=PACIFIC)
    travel(text.due_at + timedelta(seconds=1))
    send(line)  # three in the morning in New York: quiet hours come first
    assert len(twilio.created()) == 1
    travel(to_instant(datetime(2026, 12, 2, 9, 1), "America/New_York").astimezone(UTC))
    send(line)
    assert len(twilio.created()) == 2


# Whom to phone.


def test_the_call_list_has_first_visits_first_and_whether_a_text_arrived(line, twilio, travel):
    later = one_off("second", "2026-12-01T15:00:00", leads=["1d"])
    accept(line, 1, opens(0), later)
    accept(line, 2, one_off("far", "2026-12-02T15:00:00", leads=["2h"]))
    accept(line, 3, one_off("too far", "2026-12-07T15:00:00"))
    accept(line, 4, one_off("off", "2026-12-01T10:00:00", status="cancelled"))
    live(line, travel, after(2))
    found = call_list.ahead(line.database, clock.now(), timedelta(hours=72), who="test")
    assert [(one.patient, one.is_first, f"{one.wall:%d %H:%M}") for one in found] == [
        ("MRN-1", True, "30 11:30"),
        ("MRN-2", True, "02 15:00"),
        ("MRN-1", False, "01 15:00"),
    ]
    assert [one.told for one in found] in (["yes", "no", "no"], ["perhaps", "no", "no"])
    assert (found[0].name, found[0].phone, found[0].role) == ("Robin 1", phone(1), "self")
    travel(after(20))
    runs.run(line, "ask")
    assert call_list.ahead(line.database, clock.now(), timedelta(hours=1, minutes=30), who="test")[0].told == "yes"
    noted = sa.select(sa.func.count()).select_from(schema.audit).where(schema.audit.c.what == "call list read")
    assert line.database.read(lambda tx: tx.value(noted)) == 2


def test_l48_a_supporter_is_on_the_call_list_only_with_a_consent_of_their_own(line):
    sister = {
        "key": "sister",
        "role": "supporter",
        "phone": "(202) 555-0144",
        "language": "es",
        "part2_consent_on": "2026-11-29",
    }
    said = {"said": "yes", "on": "2026-11-29", "how": "signed form", "by": "A. Reyes", "categories": ["family"]}
    visit = one_off("session", "2026-12-01T15:00:00", **{"for": ["self", "sister"]})
    accept(line, 1, visit, recipients=[sister | {"consent": said}])
    accept(line, 2, visit, recipients=[sister | {"phone": "(202) 555-0145", "consent": said | {"said": "no"}}])
    found = call_list.ahead(line.database, clock.now(), timedelta(hours=48), who="test")
    assert [(one.patient, one.role) for one in found] == [("MRN-1", "self"), ("MRN-1", "supporter"), ("MRN-2", "self")]


# The doctor.


def doctor(context) -> dict[str, health.Check]:
    return {check.check: check for check in asyncio.run(health.doctor(context))}


def changed(context, table: str, **values) -> AppContext:
    settings = context.settings.model_copy(update={table: getattr(context.settings, table).model_copy(update=values)})
    return AppContext(settings, context.secrets, context.database)


def test_the_doctor_finds_credentials_that_twilio_does_not_take(line):
    assert doctor(line)["sender"].ok
    secrets = line.secrets
    wrong = Secrets(secrets.account_sid, "another token", None, None, secrets.secret_key, KEYS, made_here=False)
    check = doctor(AppContext(line.settings, wrong, line.database))["sender"]
    assert not check.ok
    assert "code 20003" in check.detail
    assert "TWILIO_AUTH_TOKEN" in check.fix


@pytest.mark.parametrize("sender", ["+12025550199", "MG" + "1" * 32])
def test_the_doctor_finds_a_sender_that_twilio_does_not_know(line, twilio, sender):
    context = changed(line, "twilio", sender=sender)
    assert doctor(context)["sender"].ok  # the pretend Twilio takes any
    twilio.do(lambda simulator: simulator.change(senders=frozenset({SENDER}), services=frozenset()))
    check = doctor(context)["sender"]
    assert not check.ok
    assert "knows no such" in check.detail
    assert "twilio.sender" in check.fix
    assert doctor(line)["sender"].ok


def test_a_simulator_that_does_not_run_is_no_trouble_and_a_twilio_out_of_reach_is_one(line, twilio):
    twilio.close()
    check = doctor(line)["sender"]
    assert check.ok
    assert "simulator" in check.detail


def test_the_doctor_finds_backups_too_old_when_live(line, travel, tmp_path):
    check = doctor(line)["backup"]
    assert (check.ok, check.detail) == (True, "none was ever taken")

    def live_check():
        return next(one for one in health._backups(changed(line, "twilio", live=True), clock.now()))

    assert not live_check().ok
    assert "reminders backup" in live_check().fix
    if line.database.dialect == "sqlite":
        take(line, tmp_path)
    else:
        line.database.write(lambda tx: store.backup.set_mark(tx, store.backup.TAKEN, clock.now()))
    assert live_check().ok
    travel(NOW + timedelta(hours=27))
    check = live_check()
    assert not check.ok
    assert "27 h ago" in check.detail


@pytest.mark.parametrize(
    ("name", "at", "well"),
    [
        ("202611a1b2", NOW, True),
        ("202509a1b2", NOW, False),
        ("k1", NOW + timedelta(days=30), True),
        ("k1", NOW + timedelta(days=400), False),
    ],
)
def test_the_doctor_finds_sealing_keys_that_are_too_old(line, travel, name, at, well):
    keys = {name: KEYS["k1"], "k1": KEYS["k1"]}
    secrets = Secrets(line.secrets.account_sid, "simulator", None, None, line.secrets.secret_key, keys, made_here=False)
    context = AppContext(line.settings, secrets, line.database)
    travel(at)
    check = doctor(context)["sealing keys"]
    assert check.ok is well
    if not well:
        assert "reminders keys rotate" in check.fix
        context.database.write(
            lambda tx: store.audit_log.note(tx, who="t", what="keys rotated", table="keys", row=0, now=clock.now())
        )
        assert doctor(context)["sealing keys"].ok is (name == "k1")


def test_the_doctor_says_what_to_do_about_an_sqlite_that_is_too_old(line):
    checks = doctor(line)
    if line.database.dialect == "postgresql":
        assert "SQLite" not in checks
        return
    old = tuple(map(int, line.database.server_version.split("."))) < health.FIXED_SQLITE
    assert ("older than 3.51.3" in checks["SQLite"].detail) is old
    assert ("use PostgreSQL or a newer SQLite" in checks["SQLite"].detail) is old


def test_the_doctor_finds_a_job_that_is_stuck(line, travel):
    for name in health.job_intervals(line):
        runs.succeeded(line, name)
    assert all(check.ok for name, check in doctor(line).items() if name.startswith("job "))
    travel(NOW + timedelta(minutes=10))
    runs.succeeded(line, "send")
    checks = doctor(line)
    assert (checks["job send"].ok, checks["job settle"].ok) == (True, False)
    assert "python -m jobs" in checks["job settle"].fix


# The commands.


@pytest.fixture
def run(line, monkeypatch, tmp_path, request):
    if line.database.dialect == "postgresql":
        monkeypatch.setenv("PATH", "")
    terminal = Terminal(line.settings.database.url, tmp_path, monkeypatch)
    terminal.set(
        REMINDERS_TWILIO__API_BASE_URL=line.settings.twilio.api_base_url,
        REMINDERS_WEB__PORT=line.settings.web.public_url.rpartition(":")[2],
        REMINDERS_SENDING__WELCOME="false",
        REMINDERS_SENDING__SETTLE_SECONDS="10",
        REMINDERS_TWILIO__DEADLINE_SECONDS="2",
        REMINDERS_SENDING__LEASE_SECONDS="20",
    )
    if line.database.dialect == "postgresql":
        binaries = request.getfixturevalue("postgresql_server").binaries
        terminal.set(REMINDERS_DATABASE__CLIENT_FOLDER=str(binaries))
    return terminal


def test_backup_and_restore_from_a_terminal(line, run, twilio, travel, tmp_path, request):
    accept(line, 1, opens(2))
    said = run.json("backup", tmp_path / "one.backup")
    assert said == {
        "file": str(tmp_path / "one.backup"),
        "bytes": (tmp_path / "one.backup").stat().st_size,
        "at": said["at"],
        "sealed": False,
        "removed": [],
    }
    assert "keys are not in it" in run("backup", tmp_path / "one.backup").stderr
    live(line, travel, after(3))
    line.database.close()
    travel(after(5))
    assert "--yes" in run("restore", tmp_path / "one.backup", code=2).stderr
    run("restore", tmp_path / "missing", "--yes", code=2)
    (tmp_path / "none").write_text("not a backup")
    assert "no backup of such a database" in run("restore", tmp_path / "none", "--yes", code=1).stderr
    if line.database.dialect == "postgresql":
        assert "createdb" in run("restore", tmp_path / "one.backup", "--yes", code=1).stderr
        server = request.getfixturevalue("postgresql_server")
        name = f"again_{NOW:%s}_{id(run)}"
        server.run(f"CREATE DATABASE {name}")
        run.set(DATABASE_URL=server.url(name))
    # `live` records no success of jobs except the send job's, which is five minutes old by now.
    told = run.json("restore", tmp_path / "one.backup", "--yes")
    assert (told["doubted"], told["heard"], told["schema"]) == (1, 0, {"from": store.head(), "to": store.head()})
    assert run.lines("restored", "show") == []
    for minute in (5, 6, 7):
        travel(after(minute))
        run("settle")
        run("send")
    assert len(twilio.created()) == 1
    assert [one["state"] for one in run.lines("log")] in (["sent"], ["delivered"])
    assert run.json("restored", "release") == {"released": 0}
    assert run.json("restored", "drop") == {"dropped": 0}
    if line.database.dialect == "postgresql":
        server.run(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_restore_that_cannot_ask_twilio_says_so_and_ends_with_5(line, run, twilio, travel, tmp_path):
    if line.database.dialect == "postgresql":
        pytest.skip("the same command, into another database")
    run("backup", tmp_path / "one.backup")
    line.database.close()
    twilio.close()
    told = run.json("restore", tmp_path / "one.backup", "--yes", code=5)
    assert told["heard"] is None
    assert "worker does it before it sends" in run("restore", tmp_path / "one.backup", "--yes", code=5).stderr


def test_the_backlog_from_a_terminal(line, run, travel):
    assert run.json("backlog", "show") == {"texts": 0, "by": []}
    small = changed(line, "sending", backlog=1)
    scan(small)
    for number in range(3):
        accept(line, number, opens(20))
    travel(after(40))
    scan(small)
    said = run.json("backlog", "show")
    assert said["texts"] == 3
    assert said["by"] == [{"until": "2026-11-30T17:00:00+00:00", "texts": 3}]
    assert "3 texts" in run("backlog", "show").stderr
    assert run.json("backlog", "release") == {"released": 3}
    assert run.json("backlog", "drop") == {"dropped": 0}


def test_the_call_list_is_printed_with_the_notice_and_keeps_names_to_stdout(line, run):
    accept(line, 1, one_off("visit", "2026-12-01T15:00:00"))
    shown = run("calls")
    assert shown.stdout.splitlines()[0] == PART_2_NOTICE
    assert "Robin 1" in shown.stdout
    assert phone(1) in shown.stdout
    assert "Robin" not in shown.stderr
    assert "0101" not in shown.stderr
    (told,) = run.lines("calls", "--hours", "72")
    assert {"patient", "name", "phone", "wall", "zone", "role", "is_first", "told", "notice"} <= told.keys()
    assert not run("calls", "--hours", "1").stdout
    run("calls", "--hours", "0", code=2)
