"""One bad row costs only itself (long-run 1): jobs do the others, turn red with the cause, and a task names the row."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from api_caller import Program, make_key
from conftest import NOW, logged, send
from people import one_off
from test_service_changes import accept, bodies, open_kinds, wall
from test_service_planning import GOOD, plan_file
from web_caller import Caller

from reminders import clock, queries
from reminders.service import planning
from reminders.service.operations import runs
from reminders.service.planning import importing, replanning, watch
from reminders.service.replies import inbound
from reminders.service.sending import outcomes
from reminders.sms import InboundText
from reminders.store.database import schema

SENDER = "+15005550006"
TOMORROW = NOW + timedelta(days=1)


def unreadable(context, ref):
    """The plan's document is damaged on disk."""
    context.database.write(
        lambda tx: tx.run(schema.plans.update().where(schema.plans.c.ref == ref).values(document_sealed=b"x"))
    )


def stuck(context):
    return queries.tasks.list_tasks(context.database, kind="stuck")


def test_long_run_1_a_plan_that_cannot_be_planned_stops_no_other(context, travel):
    for number in (1, 2, 3):
        accept(context, number, series=[one_off("visit", "2027-01-27T15:00:00")])
    unreadable(context, "DC-1")
    later = wall("2026-12-20T10:00")
    travel(later)
    with pytest.raises(Exception):  # ruff: ignore[pytest-raises-too-broad, assert-raises-exception]  whatever it is
        planning.extend(context, later)
    laid_down = context.database.read(lambda tx: tx.all(sa.select(schema.plans.c.ref, schema.plans.c.laid_down_until)))
    days = {row.ref: row.laid_down_until for row in laid_down}
    assert days["DC-2"] == days["DC-3"] > days["DC-1"]
    (task,) = stuck(context)
    assert list(task.patients) == []  # it is for operations


def test_long_run_1_plans_that_always_fail_take_no_ones_turn(context, travel):
    for number in (1, 2, 3):
        accept(context, number, series=[one_off("visit", "2027-01-27T15:00:00")])
    unreadable(context, "DC-1")
    unreadable(context, "DC-2")
    later = wall("2026-12-20T10:00")
    travel(later)
    with pytest.raises(Exception):  # ruff: ignore[pytest-raises-too-broad, assert-raises-exception]  whatever it is
        planning.extend(context, later, limit=1)
    days = dict(context.database.read(lambda tx: tx.all(sa.select(schema.plans.c.ref, schema.plans.c.laid_down_until))))
    assert days["DC-3"] > days["DC-1"] == days["DC-2"]


def test_long_run_1_any_error_in_one_plan_costs_only_that_plan(context, travel, monkeypatch):
    for number in (1, 2, 3):
        accept(context, number)
    travel(TOMORROW)
    real = replanning.store.texts.reconcile
    broken = context.database.read(
        lambda tx: tx.value(sa.select(schema.recipients.c.id).order_by(schema.recipients.c.id))
    )

    def collide(tx, to, *arguments, **more):
        if to.recipient_id == broken:  # two rows of one key, as the digest of November had
            tx.run(schema.sites.insert().from_select([c.name for c in schema.sites.c], sa.select(schema.sites)))
        return real(tx, to, *arguments, **more)

    monkeypatch.setattr(replanning.store.texts, "reconcile", collide)
    runs.run(context, "plan")
    assert len(stuck(context)) == 1
    health = context.database.read(lambda tx: {row.name: row.last_error for row in tx.all(sa.select(schema.job_runs))})
    assert health["plan"] == "IntegrityError"
    monkeypatch.undo()
    runs.run(context, "plan")
    assert stuck(context) == []


def test_a_text_that_cannot_be_acted_on_is_read_by_a_person_and_its_stop_holds(context, travel, monkeypatch):
    accept(context, 1)
    accept(context, 2)
    monkeypatch.setattr(inbound, "replan", lambda *_: 1 / 0)
    stop = InboundText("SM" + "1" * 32, "+12025550101", SENDER, "STOP", None)
    assert inbound.take_in(context, stop, TOMORROW).fresh
    numbers = context.database.read(lambda tx: tx.all(sa.select(schema.numbers.c.opted_out_at)))
    assert sum(row.opted_out_at is not None for row in numbers) == 1
    assert "reply" in open_kinds(context)
    assert not inbound.take_in(context, stop, TOMORROW).fresh


def test_long_run_1_a_text_that_cannot_be_taken_in_hides_no_cry_for_help(line, twilio, travel, monkeypatch):
    """The webhook of someone in danger was lost, and before it in Twilio's list is a text that fails."""
    accept(line, 1)
    accept(line, 2)
    now = NOW + timedelta(minutes=10)
    travel(now)
    for phone, words in (("+12025550101", "START"), ("+12025550102", "i want to die")):
        twilio.do(lambda simulator, phone=phone, words=words: simulator.text_from(phone, SENDER, words, now))
    real = inbound._take_in

    def take_in(context, text, *arguments, **more):
        if text.body == "START":
            raise RuntimeError
        return real(context, text, *arguments, **more)

    monkeypatch.setattr(inbound, "_take_in", take_in)
    runs.run(line, "poll")
    assert "crisis" in open_kinds(line)
    assert len(stuck(line)) == 1
    monkeypatch.undo()
    runs.run(line, "poll")  # it is listed again, and processed
    assert stuck(line) == []


def test_a_look_up_that_fails_stops_no_other(line, twilio, travel, monkeypatch):
    twilio.rule(fault="close_after_create", times=2)
    for number in (1, 2):
        accept(line, number, series=[one_off("visit", "2026-12-03T15:00:00")])
    travel(wall("2026-11-30T17:01"))
    send(line)
    assert {text.state for text in logged(line) if text.attempts} == {"uncertain"}
    real, calls = outcomes._decide, []

    def decide(context, tx, *, one, seen, now):
        calls.append(one.text)
        if len(calls) == 1:
            raise RuntimeError
        return real(context, tx, one=one, seen=seen, now=now)

    monkeypatch.setattr(outcomes, "_decide", decide)
    travel(clock.now() + timedelta(seconds=13))
    runs.run(line, "settle")
    assert sorted(text.state for text in logged(line) if text.attempts) == ["delivered", "uncertain"]
    assert len(stuck(line)) == 1


def test_a_rule_of_the_watch_that_fails_stops_no_other(context, travel, monkeypatch):
    accept(context, 1)
    monkeypatch.setattr(watch._Watch, "_reviews", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        watch.look(context, wall("2026-12-04T12:00"))
    assert "to_mark" in open_kinds(context)
    assert len(stuck(context)) == 1


def test_a_file_that_cannot_be_processed_stops_no_other(context, travel, tmp_path, monkeypatch):
    folder = tmp_path / "plans"
    folder.mkdir()
    for name in ("a", "b"):
        plan_file(folder, f"{name}.toml", GOOD.format(ref=name))
    real = importing.import_files

    def some(opened, paths, *arguments, **more):
        if paths[0].name == "a.toml":
            raise RuntimeError
        return real(opened, paths, *arguments, **more)

    monkeypatch.setattr(importing, "import_files", some)
    with pytest.raises(RuntimeError):
        importing.import_folder(context, folder, NOW + timedelta(days=3650))
    assert [path.name for path in folder.glob("*.toml")] == ["a.toml"]
    assert len(stuck(context)) == 1
    assert (folder / "done" / "b.toml").exists()


def test_field_report_13_two_files_of_the_folder_that_differ_about_one_plan_are_both_refused(context, tmp_path):
    folder = tmp_path / "plans"
    folder.mkdir()
    plan_file(folder, "a.toml", GOOD.format(ref="A"))
    plan_file(folder, "b.toml", GOOD.format(ref="A").replace("15:00", "16:00"))
    plan_file(folder, "c.toml", GOOD.format(ref="C"))
    report = importing.import_folder(context, folder, NOW + timedelta(days=3650))
    assert report.accepted == 1
    assert sorted(path.name for path, _ in report.refused) == ["a.toml", "b.toml"]
    assert (folder / "refused" / "a.toml").exists()


# Rows with invalid values: damaged, or from another version.

AWAY = "America/Atlantis"


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("appointments", {"wall": "soon"}),
        ("appointments", {"zone": AWAY}),
        ("recipients", {"zone": AWAY}),
        ("recipients", {"guessed_zones": [AWAY]}),
        ("consents", {"categories": ["carrier pigeon"]}),
        ("series", {"leads": ["a while"]}),
        ("texts", {"key": "day:2026-12-03:a while"}),
        ("numbers", {"phone_sealed": b"x"}),
    ],
    ids=lambda one: one if isinstance(one, str) else next(iter(one)),
)
def test_long_run_1_a_row_that_cannot_be_read_holds_back_its_own_text_alone(line, twilio, travel, table, values):
    visit = [one_off("visit", "2026-12-03T15:00:00", leads=["1d@17:00"])]
    for number in (1, 2):
        accept(line, number, series=visit)
    rows = getattr(schema, table)
    (column,) = values

    def damage(tx):
        row = tx.first(sa.select(rows).order_by(rows.c.id).limit(1))
        tx.run(rows.update().where(rows.c.id == row.id).values(values))
        return row.id, row._mapping[column]

    row_id, was = line.database.write(damage)
    travel(wall("2026-12-02T17:01"))
    assert send(line).accepted == 1
    assert bodies(twilio, "+12025550101") == []
    assert "tomorrow, Thu Dec 3, 3:00pm" in bodies(twilio, "+12025550102")[0]
    assert [text.held for text in logged(line) if text.class_ == "reminder" and text.patient == "MRN-1"] == [
        "unreadable"
    ]
    # Once fixed, it is sent.
    line.database.write(lambda tx: tx.run(rows.update().where(rows.c.id == row_id).values({column: was})))
    runs.run(line, "plan")
    assert send(line).accepted == 1
    assert "tomorrow, Thu Dec 3, 3:00pm" in bodies(twilio, "+12025550101")[0]


@pytest.mark.parametrize(("table", "column"), [("numbers", "phone_sealed"), ("patients", "name_sealed")])
def test_long_run_1_a_person_whose_data_does_not_open_costs_no_page_or_list(line, travel, table, column):
    accept(line, 1)
    accept(line, 2)
    travel(NOW + timedelta(minutes=5))
    for number in (1, 2):
        text = InboundText("SM" + f"{number}" * 32, f"+1202555010{number}", SENDER, "i want to die", None)
        inbound.take_in(line, text, NOW + timedelta(minutes=5))
    rows = getattr(schema, table)
    first = line.database.read(lambda tx: tx.value(sa.select(rows.c.id).order_by(rows.c.id)))
    line.database.write(lambda tx: tx.run(rows.update().where(rows.c.id == first).values({column: b"x"})))
    ana, api = Caller(line, role="admin"), Program(line, make_key(line, "read", "people"))
    tasks_of_crisis = [task.id for task in queries.tasks.list_tasks(line.database, kind="crisis")]
    assert len(tasks_of_crisis) == 2
    for path in ("/", "/inbox", "/log", "/phones", *(f"/inbox/{task}" for task in tasks_of_crisis)):
        assert ana.page(path).status_code == 200, path
    for path in ("/texts", "/tasks", "/replies?names=true", "/patients?names=true"):
        assert api.get(path).status_code == 200, path
    assert len(line.database.read(lambda tx: queries.call_list.visits_ahead(tx, NOW, NOW + timedelta(days=7)))) == 2
