"""Promise 5, end to end: a patient with unmistakable data goes through everything that the service does, and then
appears nowhere in the clear: no log, URL, metric, page, exception, file name or plain column (L-40, data rule 1).
"""

import json
import logging
import re
import sqlite3
import urllib.error
import urllib.request
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
import sqlalchemy as sa
from conftest import logged, open_context, send, settle
from oncall import SENDER, STRANGER
from people import one_off, raw
from staff import cookies, signed_in
from test_processes import Service, wait_for
from test_rules_law import Office, lay_down_typed

from reminders import clock, plans, queries
from reminders.plans import to_wall
from reminders.service import planning, tasks
from reminders.service.operations import health, runs
from reminders.service.planning import changes
from reminders.sms import InboundText
from reminders.store.database import schema

ZONE = "America/New_York"
NAME = "Zyxwen Quillfeather"
PHONE, SISTER, NEW_PHONE = "+12025550177", "+12025550188", "+12025550199"
BORN = "1987-03-21"
PLACE, WITH = "Room Quagmire", "Dr. Blumenkrantz"
SAID = (
    "my heron brindlemoss is ill",
    "i want to die at morrowglass pier",
    "i used behind tilliwack mill",
    "od fennimore",
)
TYPED = "Please ring the Larkspurrow desk when you can."
NOTE = "spoke with aunt Wolverhampsted"
TOLD_TO, EMERGENCY = "Dr. Ottershaw, county hospital", "unconscious near Pumblechook"
BROKEN = "Zebulontrick"  # in the plan file that is refused

WORDS = tuple(
    word.lower()
    for word in (
        *("Zyxwen", "Quillfeather", "Quagmire", "Blumenkrantz", "brindlemoss", "morrowglass", "tilliwack", "fennimore"),
        *("Larkspurrow", "Wolverhampsted", "Ottershaw", "Pumblechook", "Zebulontrick", "Kestrelby", BORN),
    )
)
NUMBERS = tuple(phone[2:] for phone in (PHONE, SISTER, NEW_PHONE))


def found_in(value: object) -> list[str]:
    """The parts of the canary in a text or in bytes, in any format of its numbers."""
    text = value.decode("latin-1") if isinstance(value, bytes | memoryview) else str(value)
    folded = text.lower()
    bare = re.sub(r"(?<=\d)[\s().+\-/]{1,3}(?=\d)", "", folded)
    percent = folded.replace("%20", " ")
    return [word for word in WORDS if word in folded or word in percent] + [one for one in NUMBERS if one in bare]


def test_the_canary_is_found_where_it_is():
    for phone in ("+12025550177", "(202) 555-0177", "202-555-0177", "202.555.0177", "1 202 555 0177", "%2B12025550177"):
        assert found_in(f"to {phone}.") == ["2025550177"]
    assert found_in(b"\x00Quillfeather\xff") == ["quillfeather"]
    assert found_in({"who": "ZYXWEN"}) == ["zyxwen"]
    assert not found_in("•••••••0177, 2026-11-30T15:00:00, 12:02:55.50177")


def in_the_clear(url: str) -> list[tuple[str, str, list[str]]]:
    """Where it is in the database: every value of every column of every table, sealed ones as stored."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    hits, read = [], 0
    with engine.connect() as connection:
        tables = set(sa.inspect(connection).get_table_names())
        assert set(schema.metadata.tables) <= tables
        for table in sorted(tables):
            for row in connection.execute(sa.text(f'SELECT * FROM "{table}"')).mappings():
                read += 1
                hits += [(table, name, there) for name, value in row.items() if (there := found_in(value))]
    engine.dispose()
    assert read > 20
    return hits


def raw_files(folder: Path) -> list[tuple[str, list[str]]]:
    """Where it is in the files of a folder, or in their names."""
    hits = []
    for path in folder.rglob("*"):
        if there := found_in(str(path.relative_to(folder))):
            hits.append((path.name, there))
        if path.is_file() and (there := found_in(path.read_bytes())):
            hits.append((path.name, there))
    return hits


def canary(**more):
    plan = raw(
        patient={"name": NAME, "phone": PHONE, "born_on": BORN},
        series=[
            one_off("visit", "2026-11-30T11:30:00", leads=["90m"], place=PLACE, session="oak", **{"with": WITH}),
            one_off(
                "later", "2026-12-02T15:00:00", place=PLACE, session="elm", **{"with": WITH, "for": ["self", "sister"]}
            ),
        ],
    )
    plan["recipients"] = [
        {
            "key": "sister",
            "role": "supporter",
            "phone": SISTER,
            "part2_consent_on": "2026-11-29",
            "consent": plan["consent"] | {"categories": ["family"]},
        }
    ]
    return plan | more


def accept(context, data):
    known = context.database.read(lambda tx: context.known(tx, clock.now()))
    return planning.accept(context, plans.read(data, known), clock.now(), who="test")


@pytest.fixture
def office(database_url, tmp_path, travel, twilio):
    opened = Office(database_url, tmp_path, travel, twilio, ("First", {}), sending__welcome="true")
    yield opened
    opened.close()


@contextmanager
def broken_table(url: str, table: str):
    """A database in which nothing can be written to that table: a bug of ours, or a migration that went wrong."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=30)
        no = f"BEFORE {{}} ON {table} BEGIN SELECT RAISE(ABORT, 'no'); END"
        breaks = [f"CREATE TRIGGER no_{verb} {no.format(verb)}" for verb in ("INSERT", "UPDATE")]
        mends = [f"DROP TRIGGER no_{verb}" for verb in ("INSERT", "UPDATE")]
    else:
        connection = psycopg.connect(url, autocommit=True)
        breaks = [f"ALTER TABLE {table} ADD CONSTRAINT no CHECK (false) NOT VALID"]  # its error shows the whole row
        mends = [f"ALTER TABLE {table} DROP CONSTRAINT no"]
    try:
        for statement in breaks:
            connection.execute(statement)
        yield
    finally:
        for statement in mends:
            connection.execute(statement)
        connection.close()


def test_promise_5_in_every_step_nothing_of_a_person_is_logged_raised_or_left_in_the_clear(
    office, database_url, tmp_path, caplog, capsys
):
    caplog.set_level(logging.DEBUG, logger="reminders")
    caplog.set_level(logging.DEBUG, logger="jobs")
    context = office.context
    raised: list[BaseException] = []

    # Refused plans, each with some of her data in the wrong place; then the good one.
    for phone in (f"{PHONE} x12", f"{PHONE}{BROKEN}", f"{PHONE}77777", f"{BROKEN} {PHONE}"):
        wrong = canary(plan={"ref": "DC-1", "discharged_on": BROKEN})
        wrong["patient"] |= {"phone": phone, "zone": f"{BROKEN}/{BROKEN}", "language": BROKEN, "born_on": NAME}
        wrong["consent"] = {"said": NAME, "on": PHONE, "how": 7}
        wrong["series"][0] |= {"kind": PLACE, "starts": WITH, "repeats": NAME, "leads": [NAME]}
        with pytest.raises(plans.PlanRefused) as refused:
            accept(context, wrong)
        raised.append(refused.value)
    accept(context, canary())
    planning.preview_plan(context, "DC-1", clock.now())

    # The welcome, reminders, receipts; every fault of Twilio's.
    send(context)
    office.text("Y", PHONE)
    faults = [
        {"error_code": 30003},
        {"fault": "refuse", "code": 21211},
        {"fault": "error_after_create", "status": 503},
        {"fault": "not_json"},
        {"fault": "too_many"},
        {"fault": "unauthorized"},
    ]
    for minute, fault in enumerate(faults):
        office.twilio.rule(to=PHONE, times=1, **fault)
        lay_down_typed(office, TYPED, PHONE)
        office.travel(clock.now() + timedelta(minutes=10 * minute + 1))
        send(context)
        settle(context)
    office.travel(clock.now() + timedelta(minutes=20))  # the sender has rested from its faults
    free = schema.numbers.update().values(bad_since=None, bad_code=None)
    context.database.write(lambda tx: tx.run(free))
    lay_down_typed(office, TYPED, PHONE)
    send(context)
    assert any(TYPED in body for body in office.received(PHONE))
    for text in logged(context):
        for attempt in text.attempts:
            form = {
                "MessageSid": attempt.sid or "SM" + "0" * 32,
                "MessageStatus": "delivered",
                "To": PHONE,
                "ErrorMessage": NAME,
            }
            assert office.caller.twilio(f"/sms/status/{attempt.ref}", **form).status_code == 204

    # What she texts, by webhook and by list; a webhook that breaks; forged calls.
    for words in SAID:
        office.text(words, PHONE)
        office.text(words, SISTER)
    office.text(SAID[0], PHONE, heard=False)
    office.brought()
    said = InboundText("SM" + "9" * 32, PHONE, SENDER, SAID[0], None)
    form = {"MessageSid": said.sid, "From": PHONE, "To": SENDER, "Body": SAID[0]}
    answers = []
    with broken_table(database_url, "replies"):
        answers.append(office.caller.twilio("/sms/inbound", **form))
        runs.run(context, "watch")
    assert answers[0].status_code == 500
    answers += [
        office.caller.get("/metrics"),
        office.caller.get("/readyz"),
        signed_in(office.caller, context, "ops").page("/log"),
        office.caller.page(f"/{quote(NAME)}/{quote(PHONE)}"),
        office.caller.post(f"/sms/status/{quote(NAME)}", [("To", PHONE)]),
        office.caller.post("/sms/inbound", [("From", PHONE), ("Body", SAID[1])], "forged"),
    ]
    assert {answer.status_code for answer in answers} >= {200, 403, 404, 500}

    # What people do with it.
    for task in office.tasks():
        queries.tasks.show(context.database, task.id, clock.now(), who="test")
        tasks.take(context, task.id, clock.now(), who="test")
        tasks.remark(context, task.id, NOTE, clock.now(), who="test")
    disclosed = tasks.Disclosure(TOLD_TO, EMERGENCY)
    crisis = next(task for task in office.tasks("crisis"))
    with pytest.raises(tasks.Settled) as settled:
        tasks.close(context, crisis.id, NAME, clock.now(), who="test")
    raised.append(settled.value)
    tasks.close(context, crisis.id, "reached", clock.now(), who="test", note=NOTE, disclosed=disclosed)
    on = datetime(2026, 12, 2, 16, 0)  # wall clock of the place
    changes.change_session(context, "elm", on.date(), clock.now(), who="test", to=on)
    accept(context, canary(patient=canary()["patient"] | {"phone": NEW_PHONE}))
    for job in ("watch", "page", "plan", "settle", "ask", "poll"):
        runs.run(context, job)
    office.text("STOP", PHONE)
    office.text("STOP", NEW_PHONE)
    office.text(SAID[0], STRANGER)  # whose answer is due
    office.travel(clock.now() + timedelta(minutes=20))
    with broken_table(database_url, "attempts"):
        for job in ("settle", "ask"):
            runs.run(context, job)
        with pytest.raises(sa.exc.DBAPIError) as broken:
            send(context)
    raised.append(broken.value)
    shown = [json.dumps(health.status(context, clock.now()), default=str), repr(logged(context)), repr(office.tasks())]

    assert office.pager.pages
    assert {"the watch job failed", "the settle job failed"} & {line.partition(":")[0] for line in caplog.messages}
    formatted = [record.getMessage() + str(record.__dict__.get("exc_text") or "") for record in caplog.records]
    said_aloud = [*formatted, *capsys.readouterr(), *(page.said for page in office.pager.pages), *shown]
    assert not [(line, there) for line in said_aloud if (there := found_in(line))]
    assert not [(repr(one), there) for one in raised if (there := found_in(f"{one} {one!r}"))]
    for answer in answers:
        assert not found_in(answer.text + str(answer.headers)), answer.url.path.partition("/")[0]
    assert not in_the_clear(database_url)
    urls = [entry.callback.url for entry in office.twilio.do(lambda simulator: list(simulator.journal))]
    assert not [url for url in urls if found_in(url)]
    assert not raw_files(tmp_path)


# As in operation: separate processes, each with its log, and the command line with --verbose.

PLAN = """
[plan]
ref = "DC-1"
discharged_on = {today}
[patient]
ref = "MRN-1"
name = "{name}"
phone = "{phone}"
born_on = {born}
zone = "America/New_York"
[consent]
said = "yes"
on = {today}
how = "signed form"
by = "A. Reyes"
categories = ["appointments"]
warned_of_risk = true
[[series]]
key = "visit"
kind = "therapy_individual"
starts = {starts}
place = "{place}"
with = "{with_}"
leads = ["1h"]
session = "oak"
"""


@pytest.fixture
def service(nursery, database_url, tmp_path):
    running = Service(
        nursery, tmp_path, database_url, sending__welcome="true", sending__per_day="5", jobs__poll_seconds="2"
    )
    rota = [{"name": "First", "page": f"json://127.0.0.1:{running.phones}/pager"}]
    running.environment["REMINDERS_SITE__ON_CALL"] = json.dumps(rota)
    running.environment["REMINDERS_JOBS__PAGE_SECONDS"] = "1"
    yield running
    running.close()


def get(service, path: str, cookie: str) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{service.web}{path}", headers={"cookie": cookie})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.processes
@pytest.mark.timeout(180)
def test_promise_5_in_real_processes_nobody_is_found_in_logs_figures_pages_or_files(service, database_url, tmp_path):
    service.up()
    now = clock.now()
    starts = to_wall(now + timedelta(hours=1, seconds=9), ZONE).replace(microsecond=0)
    path = service.folder / "DC-1.toml"
    values = {"name": NAME, "phone": "(202) 555-0177", "born": BORN, "place": PLACE, "with_": WITH}
    path.write_text(PLAN.format(today=to_wall(now, ZONE).date(), starts=starts.isoformat(), **values))
    bad = service.folder / "bad.toml"
    bad.write_text(path.read_text().replace('zone = "America/New_York"', f'zone = "{BROKEN}"'))
    verbose = ("--verbose",)
    shown = service.reminders(*verbose, "import", str(bad), code=1)
    shown += service.reminders(*verbose, "import", str(path))

    def delivered():
        return [one["body"] for one in service.messages() if one["status"] == "delivered"]

    def heard():
        return sum(call["outcome"] == 200 for call in service.ask("/callbacks") if call["kind"] == "inbound")

    def says(words, phone=PHONE):
        service.ask(f"/phones/{phone}/texts", {"body": words, "to": SENDER})

    wait_for(lambda: len(delivered()) == 1)
    says("Y")
    wait_for(lambda: any(word in body for body in delivered() for word in ("today", "tomorrow")))
    for words in SAID:
        says(words)
    wait_for(lambda: service.ask("/pager"))
    task = json.loads(service.reminders("tasks", "--json").splitlines()[0])
    service.reminders(*verbose, "tasks", "note", str(task["id"]), NOTE)
    shown += service.reminders(*verbose, "tasks", "list", "--all")
    service.reminders(*verbose, "tasks", "show", str(task["id"]))  # who asks for the words sees them; the log does not
    service.reminders(*verbose, "people", "say", "MRN-1", TYPED)
    service.reminders(*verbose, "people", "show", "MRN-1")
    service.reminders(*verbose, "people", "number", "MRN-1", f"{PHONE}x{BROKEN}", code=1)
    to = (starts + timedelta(hours=1)).isoformat(timespec="minutes")
    shown += service.reminders(*verbose, "sessions", "move", "oak", str(starts.date()), "--to", to)
    with broken_table(database_url, "task_events"):
        says(SAID[0])
        wait_for(lambda: any(call["outcome"] == 500 for call in service.ask("/callbacks") if call["kind"] == "inbound"))
        service.reminders(*verbose, "tasks", "note", str(task["id"]), NOTE, code=1)
    before = heard()
    says("STOP")
    wait_for(lambda: heard() > before)
    with closing(open_context(database_url, tmp_path)) as opened:
        cookie = "; ".join(f"{name}={token}" for name, token in cookies(opened, "ops").items())
    for path_ in ("/metrics", "/readyz", "/log", f"/{quote(NAME)}", f"/log/{quote(PHONE)}"):
        status, page = get(service, path_, cookie)
        assert status in {200, 404, 503}
        shown += page
    get(service, f"/log?patient={quote(NAME)}", cookie)  # what was typed stands in its field again, and in no log
    for command, code in (("log", 0), ("log --csv", 0), ("status --json", 1)):
        shown += service.reminders(*verbose, *command.split(), code=code)
    shown += json.dumps(service.ask("/pager"))
    for name in ("worker", "web", "simulator"):
        service.stop(name)
    path.unlink()
    bad.unlink()
    assert "[patient]" not in shown
    assert not found_in(shown)
    assert not raw_files(service.folder)
    assert not in_the_clear(database_url)
    logs = {one.name: one.read_text() for one in service.folder.glob("*.log")}
    assert {"web.log", "worker.log", "simulator.log", "commands.log"} <= logs.keys()
    assert "500" in logs["web.log"] or "Error" in logs["web.log"]
