"""The audit: who did what, from where and to whom; and a chain that reveals later changes."""

import json
import shutil
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from threading import Thread

import pytest
import sqlalchemy as sa
from conftest import NOW, environment, open_context
from people import document
from typer.testing import CliRunner
from web_caller import Caller

from reminders import clock, queries, store
from reminders.audit_actions import Action
from reminders.cli import app
from reminders.service import planning
from reminders.service.office import audit
from reminders.service.operations import runs
from reminders.service.people import patient_status, reader_case
from reminders.store.database import schema
from reminders.store.database.sealing import Place
from reminders.store.office.audit import Wanted

WHO = "staff:ana.reyes"
LATER = NOW + timedelta(minutes=1)


def note(context, what="plan changed", *, after="(202) 555-0143", **more):
    values = {"who": WHO, "what": what, "table": "marks", "row": 0, "now": NOW, "after": after} | more
    context.database.write(lambda tx: store.audit_log.note(tx, **values))


def rows(context):
    return context.database.read(lambda tx: tx.all(sa.select(schema.audit).order_by(schema.audit.c.place)))


def spoil(context, place: int, /, **values) -> None:
    """What someone does who writes to the database directly."""
    context.database.write(
        lambda tx: tx.run(schema.audit.update().where(schema.audit.c.place == place).values(**values))
    )


@pytest.fixture
def chained(context):
    for number in range(1, 8):
        note(context, after=f"value {number}" if number % 2 else None, before="what was" if number == 3 else None)
    assert audit.chain(context, LATER) == 7
    return context


# What a row says


def test_whose_it_is_and_at_which_site_follows_from_the_row(context, travel):
    planning.accept(context, document(), clock.now(), who=WHO)
    patient_status.show(context, reader_case.Whom("MRN-1", "self", None), clock.now(), who=WHO)
    accepted, read = queries.audit.look(context.database, Wanted(), clock.now(), who=WHO)[::-1]
    assert (accepted.who, accepted.what, accepted.table) == (WHO, "plan accepted", "plans")
    assert (accepted.site, accepted.patient, accepted.where) == ("main", "MRN-1", None)
    assert (read.what, read.table, read.patient) == ("patient read", "patients", "MRN-1")


def test_every_row_of_every_table_that_belongs_to_a_patient_is_found_by_them(context, travel):
    planning.accept(context, document(), clock.now(), who=WHO)

    def first(tx, table):
        return tx.first(sa.select(table).limit(1))

    def work(tx):
        for table in (
            schema.patients,
            schema.plans,
            schema.recipients,
            schema.series,
            schema.appointments,
            schema.texts,
        ):
            row = first(tx, table)
            store.audit_log.note(tx, who="x", what=table.name, table=table.name, row=row.id, now=clock.now())
        for table in (schema.sites, schema.senders):
            row = first(tx, table)
            store.audit_log.note(tx, who="y", what=table.name, table=table.name, row=row.id, now=clock.now())
        store.audit_log.note(tx, who="y", what="tasks", table="tasks", row=12345, now=clock.now())

    context.database.write(work)
    found = queries.audit.look(context.database, Wanted(who="x", patient="MRN-1"), clock.now(), who=WHO)
    assert {row.what for row in found} == {"patients", "plans", "recipients", "series", "appointments", "texts"}
    assert {row.site for row in found} == {"main"}
    others = {row.what: row.site for row in queries.audit.look(context.database, Wanted(who="y"), clock.now(), who=WHO)}
    assert others == {"sites": "main", "senders": "main", "tasks": None}


def test_the_address_is_that_of_the_request(context, travel):
    caller = Caller(context, role="ops", client="198.51.100.7")
    caller.request("POST", "/sign-out/others")
    note(context)
    found = {row.what: row.where for row in queries.audit.look(context.database, Wanted(), clock.now(), who=WHO)}
    assert (found["other sign-ins ended"], found["plan changed"]) == ("198.51.100.7", None)


def test_values_are_sealed_and_come_back_without_the_chance_in_them(context, travel):
    note(context, before="one", after="two")
    (row,) = rows(context)
    assert b"one" not in row.before_sealed
    (entry,) = queries.audit.look(context.database, Wanted(), NOW, who="auditor", values=True)
    assert (entry.before, entry.after) == ("one", "two")
    (read, _) = queries.audit.look(context.database, Wanted(), NOW, who="auditor")
    assert (read.who, read.what) == ("auditor", "audit read")


def test_rows_are_found_by_who_what_when_and_kind(context):
    for minutes in range(5):
        note(context, "patient read", now=NOW + timedelta(minutes=minutes), after=None)
    note(context, "log exported", who="staff:ben", after=None, now=NOW + timedelta(minutes=9))
    note(context, "plan changed", who="staff:ben", now=NOW + timedelta(minutes=10))

    def found(**wanted):
        return [row.what for row in queries.audit.look(context.database, Wanted(**wanted), NOW, who=WHO)]

    assert found(who=WHO) == ["patient read"] * 5
    assert found(what="plan changed") == ["plan changed"]
    assert found(since=NOW + timedelta(minutes=3), until=NOW + timedelta(minutes=9)) == [
        "log exported",
        *["patient read"] * 2,
    ]
    assert found(who="staff:ben", kind="seen") == ["log exported"]  # what this user saw or took out
    assert found(who="staff:ben", kind="changed") == ["plan changed"]
    assert found(patient="MRN-9") == []
    everything = queries.audit.look(context.database, Wanted(), NOW, who=WHO)
    older = queries.audit.look(context.database, Wanted(before=everything[2].id, limit=2), NOW, who=WHO)
    assert [row.id for row in older] == [row.id for row in everything[3:5]]


# The chain


def test_new_rows_wait_ten_seconds_and_then_have_their_place(context):
    note(context)
    note(context, now=NOW + timedelta(seconds=55))
    assert audit.chain(context, NOW + timedelta(seconds=9)) == 0
    assert audit.chain(context, LATER) == 1
    verdict = audit.verify(context)
    assert (verdict.ok, verdict.rows, verdict.head.place, verdict.waiting) == (True, 1, 1, 1)
    assert audit.chain(context, LATER + timedelta(minutes=1)) == 1
    assert audit.verify(context).head.place == 2


def test_the_job_chains_in_batches(context, travel, monkeypatch):
    monkeypatch.setattr(audit, "BATCH", 3)
    for _ in range(7):
        note(context)
    travel(LATER)
    runs.run(context, "chain")
    verdict = audit.verify(context)
    assert (verdict.ok, verdict.rows, verdict.waiting) == (True, 7, 0)


def test_workers_that_chain_at_once_make_one_chain(context, database_url, tmp_path):
    for _ in range(60):
        note(context)
    others = [open_context(database_url, tmp_path) for _ in range(4)]
    threads = [Thread(target=audit.chain, args=(one, LATER)) for one in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in others:
        one.close()
    verdict = audit.verify(context)
    assert (verdict.problems, verdict.rows, verdict.head.place, verdict.waiting) == ((), 60, 60, 0)


@pytest.mark.parametrize(
    ("place", "values", "said"),
    [
        (3, {"who": "staff:somebody.else"}, "row 3 was changed"),
        (3, {"what": "nothing"}, "row 3 was changed"),
        (3, {"at": NOW + timedelta(seconds=1)}, "row 3 was changed"),
        (3, {"row_id": 2}, "row 3 was changed"),
        (3, {"table": "plans"}, "row 3 was changed"),
        (3, {"patient_id": 3}, "row 3 was changed"),
        (3, {"where": "127.0.0.1"}, "row 3 was changed"),
        (3, {"said": None}, "row 3 was changed"),
        (3, {"hash": bytes(32)}, "row 3 was changed"),
        (3, {"before_sealed": None}, "what stood before and after in row 3 was changed"),
        (3, {"after_sealed": None}, "what stood before and after in row 3 was changed"),
        (2, {"after_sealed": b"\x01"}, "what stood before and after in row 2 was changed"),
        (7, {"place": 9}, "rows 7 to 8 are missing"),
    ],
)
def test_a_changed_row_shows(chained, place, values, said):
    spoil(chained, place, **values)
    problems = audit.verify(chained).problems
    assert problems[0].startswith(said)


def test_a_value_cannot_be_put_in_the_place_of_another_even_with_the_keys(chained):
    row = rows(chained)[2]
    forged = chained.database.read(
        lambda tx: tx.seal(Place("audit", "after_sealed", row.id), "x" * 22 + "another value")
    )
    spoil(chained, 3, after_sealed=forged)
    assert audit.verify(chained).problems == ("what stood before and after in row 3 was changed",)


def test_a_row_taken_out_shows_and_one_put_in(chained):
    chained.database.write(lambda tx: tx.run(schema.audit.delete().where(schema.audit.c.place == 4)))
    assert audit.verify(chained).problems == ("row 4 is missing",)
    copy = rows(chained)[0]._asdict()
    chained.database.write(lambda tx: tx.run(schema.audit.insert(), copy | {"id": 5, "place": 4, "after_sealed": None}))
    assert audit.verify(chained).problems[0].startswith("row 4 was changed, or one was put in its place")


def test_rows_that_change_places_show(chained):
    for place, to in ((2, 99), (3, 2), (99, 3)):
        spoil(chained, place, place=to)
    assert not audit.verify(chained).ok


def test_an_end_that_was_cut_off_shows_against_a_head_kept_elsewhere(chained):
    kept = json.dumps(audit.export_head(chained, LATER))
    assert audit.verify(chained, audit.read_head(chained, kept)).ok
    note(chained)
    audit.chain(chained, LATER)
    assert audit.verify(chained, audit.read_head(chained, kept)).ok  # it has grown, and still contains the head
    chained.database.write(lambda tx: tx.run(schema.audit.delete().where(schema.audit.c.place >= 6)))
    assert audit.verify(chained).ok  # the chain alone cannot reveal it
    (problem,) = audit.verify(chained, audit.read_head(chained, kept)).problems
    assert problem.startswith("the head was taken at row 7, and the chain ends at row 5")


def test_a_chain_that_was_written_anew_shows_against_a_head(chained):
    kept = audit.read_head(chained, json.dumps(audit.export_head(chained, LATER)))

    def forge(tx):
        tx.run(schema.audit.update().values(place=None, hash=None))
        tx.run(
            schema.audit.update()
            .where(schema.audit.c.id == sa.select(sa.func.min(schema.audit.c.id)).scalar_subquery())
            .values(who="x")
        )

    chained.database.write(forge)
    audit.chain(chained, LATER)
    assert audit.verify(chained).ok
    assert "was written again" in audit.verify(chained, kept).problems[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"place": 6}, "its signature is wrong"),
        ({"hash": "00" * 32}, "its signature is wrong"),
        ({"at": "2026-11-30T15:02:00+00:00"}, "its signature is wrong"),
        ({"signature": "00" * 64}, "its signature is wrong"),
        ({"key": "zz"}, "it holds no head"),
        ({"place": None}, "it holds no head"),
    ],
)
def test_a_head_that_was_changed_is_none(chained, change, said):
    kept = audit.export_head(chained, LATER)
    with pytest.raises(audit.NoHead, match=said):
        audit.read_head(chained, json.dumps(kept | change))
    for text in ("", "[]", "null", "{}"):
        with pytest.raises(audit.NoHead, match="it holds no head"):
            audit.read_head(chained, text)


def test_a_head_of_another_service_is_none(chained, tmp_path, sqlite_template):
    kept = json.dumps(audit.export_head(chained, LATER))
    shutil.copy(sqlite_template, tmp_path / "other.db")
    with closing(open_context(f"sqlite:///{tmp_path / 'other.db'}", tmp_path)) as opened:
        other = replace(opened, secrets=replace(opened.secrets, secret_key="another secret"))
        with pytest.raises(audit.NoHead, match="another REMINDERS_SECRET_KEY"):
            audit.read_head(other, kept)


# What may happen to it


def test_rotated_keys_leave_the_chain_whole(chained, database_url):
    ring = store.Ring({"k2": bytes(range(1, 33)), "k1": bytes(range(32))})
    with closing(store.Database(database_url, ring)) as rotated:
        before = rows(chained)[0].after_sealed
        assert rotated.write(lambda tx: store.people.rotate_keys(tx, 500)) > 4
        context = type(chained)(chained.settings, chained.secrets, rotated)
        assert rows(context)[0].after_sealed != before
        verdict = audit.verify(context)
        assert (verdict.problems, verdict.erased) == ((), 0)


@pytest.mark.parametrize("cleared", [False, True])
def test_an_erased_patient_leaves_the_chain_whole(context, travel, cleared):
    planning.accept(context, document(), clock.now(), who=WHO)

    def erase(tx, *, noted):
        patient = tx.first(sa.select(schema.patients))
        if noted:
            store.audit_log.note(
                tx, who=WHO, what=Action.PATIENT_ERASED, table="patients", row=patient.id, now=clock.now()
            )
        # As an erasure does: the key is destroyed; what is left of the values may be cleared too.
        tx.run(schema.keys.update().where(schema.keys.c.id == patient.key_id).values(wrapped=store.retention.CLEARED))
        if cleared:
            mine = schema.audit.c.patient_id == patient.id
            tx.run(schema.audit.update().where(mine).values(before_sealed=None, after_sealed=None))

    audit.chain(context, clock.now() + timedelta(minutes=1))
    context.database.data_keys.clear()
    context.database.write(lambda tx: erase(tx, noted=False))
    context.database.data_keys.clear()
    assert not audit.verify(context).ok  # values that went without anyone saying so
    context.database.write(lambda tx: erase(tx, noted=True))
    audit.chain(context, clock.now() + timedelta(minutes=1))
    verdict = audit.verify(context)
    assert (verdict.problems, verdict.erased > 0) == ((), True)


def test_a_digest_tells_nothing_about_a_value_that_is_gone(context):
    for _ in range(2):
        note(context, after="(202) 555-0143")
    one, other = rows(context)
    assert one.said != other.said


# Commands


@pytest.fixture
def run(database_url, tmp_path, monkeypatch, travel):
    for name, value in environment(database_url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run(*arguments, code=0):
        done = CliRunner().invoke(app, ["audit", *arguments])
        assert done.exit_code == code, done.output
        return done

    return run


def test_who_reads_a_plans_texts_by_command_is_on_record(run, context, travel):
    planning.accept(context, document(), clock.now(), who=WHO)
    assert CliRunner().invoke(app, ["preview", "DC-1"]).exit_code == 0
    (read,) = queries.audit.look(context.database, Wanted(kind="seen"), clock.now(), who=WHO)
    assert (read.what, read.patient, read.who.partition(":")[0]) == ("plan texts read", "MRN-1", "cli")


def test_the_audit_by_command(run, context, travel, tmp_path):
    assert "Nothing is chained yet" in run("head", code=1).stderr
    note(context, after="=HYPERLINK(1)", who=WHO)
    travel(NOW + timedelta(seconds=30))
    exported = run("head").stdout
    (tmp_path / "head.json").write_text(exported)
    assert json.loads(exported)["place"] == 1
    assert "The chain is whole: 1 rows" in run("verify", "--head", "head.json").stderr
    lines = [json.loads(line) for line in run("list", "--json", "--who", WHO).stdout.splitlines()]
    assert [(one["what"], one["place"], "after" in one) for one in lines] == [("plan changed", 1, False)]
    lines = [json.loads(line) for line in run("list", "--json", "--values", "--who", WHO).stdout.splitlines()]
    assert [one["after"] for one in lines] == ["=HYPERLINK(1)"]
    assert "'=HYPERLINK" in run("list", "--csv", "--values", "--who", WHO).stdout
    assert "audit read" in run("list", "--seen").stdout
    run("list", "--since", "yesterday", code=2)
    assert "Nothing." in run("list", "--until", "2026-11-29").stderr
    spoil(context, 1, who="x")
    assert "BROKEN: row 1 was changed" in run("verify", code=1).stderr
    said = json.loads(run("verify", "--json", "--head", "head.json", code=1).stdout)
    assert (said["ok"], len(said["problems"])) == (False, 1)
    (tmp_path / "head.json").write_text(exported.replace('"place": 1', '"place": 2'))
    assert "its signature is wrong" in run("verify", "--head", "head.json", code=1).stderr
    run("verify", "--head", "nothing.json", code=3)
