"""SEC-13: a stolen database without its keys does not show what a reply was taken for, or why a plan ended."""

import gzip
import re
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import KEYS, KINDS, NOW, open_context
from dumps import make
from test_frozen import empty, sealed_values_open
from two_sites import accept, hear

from reminders import clock, queries, store
from reminders.queries.replies import ReplyFilter, list_replies
from reminders.service.operations import counting, retention
from reminders.service.planning import changes
from reminders.store.database import migrate, schema, shape
from reminders.store.database.sealing import Place, Ring, data_key_of, sealing_key_of
from reminders.store.operations import tallies

TELLING = re.compile(r"(?<![a-z])(?:crisis|overdose|possible|slip|stop|stop_asked|wrong_number|died)(?![a-z])")
# What still tells, and why: decision 39 names each of them.
IN_THE_CLEAR = {
    ("tasks", "kind"),
    ("tasks", "key"),
    ("texts", "wording"),
    ("attempts", "template"),
    ("audit", "what"),
}
SAID = {1: "i want to die", 2: "i used last night", 3: "STOP", 4: "C", 5: "is there parking", 99: "i relapsed"}
MEANT = {1: "crisis", 2: "slip", 3: "stop", 4: "confirm", 5: "other", 99: "slip"}


def telling(database) -> set[tuple[str, str]]:
    """The columns, whatever they are called, in which a thief reads what a reply was taken for or why a plan ended."""
    with database._engine.connect() as connection:
        there = sa.MetaData()
        there.reflect(connection)
        found = set()
        for table in there.sorted_tables:
            for row in connection.execute(sa.text(f'SELECT * FROM "{table.name}"')).mappings():
                for column, value in row.items():
                    said = value.decode("latin-1") if isinstance(value, bytes) else str(value)
                    if TELLING.search(said):
                        found.add((table.name, column))
    return found


def plan_six(context):
    return context.database.read(lambda tx: tx.first(sa.select(schema.plans).where(schema.plans.c.ref == "DC-6")))


@pytest.fixture
def here(database_url, tmp_path, travel):
    """Replies of each kind, from patients 1 to 5 and from no one's number, answered and counted; plan 6 ended."""
    travel(NOW)
    opened = open_context(database_url, tmp_path, site__on_call='["json://127.0.0.1:9/pager"]')
    for number in range(1, 7):
        accept(opened, number)
    for number, body in SAID.items():
        hear(opened, body, number, f"SM{number}")
    plan = plan_six(opened)
    changes.set_statuses(opened, [plan.id], "ended", NOW, who="test", because="died")
    counting.tally(opened, NOW)
    yield opened
    opened.close()


def meant(context) -> dict[str, store.replies.Reading]:
    """Every reply's sid → its reading."""

    def look(tx):
        rows = tx.all(sa.select(schema.replies))
        readings = store.replies.readings_of(tx, {row.id: row.reading_sealed for row in rows})
        return {row.sid: readings[row.id] for row in rows}

    return context.database.read(look)


def test_sec13_no_column_tells_what_a_reply_was_taken_for(here):
    assert {sid: one.meaning for sid, one in meant(here).items()} == {f"SM{key}": one for key, one in MEANT.items()}
    assert all(one.meanings and one.rules for one in meant(here).values() if one.meaning not in {"other", "confirm"})
    assert telling(here.database) == IN_THE_CLEAR - {("attempts", "template")}  # nothing has gone yet
    decided = (Path(__file__).parents[1] / "docs" / "decisions.md").read_text(encoding="utf-8").partition("\n39. ")[2]
    for table, column in IN_THE_CLEAR:
        assert f"`{table}.{column}`" in decided


def test_sec13_what_is_sealed_tells_nothing_by_its_length(here):
    rows = here.database.read(lambda tx: tx.all(sa.select(schema.replies)))
    for row, danger in zip(rows, [True, False] * 3, strict=True):
        key = here.database.read(lambda tx, row=row: tx.data_key(k) if (k := data_key_of(row.body_sealed)) else None)
        here.database.write(
            lambda tx, row=row, key=key, danger=danger: store.replies.mark(
                tx, row.id, key, danger=danger, who="test", now=NOW
            )
        )
    rows = here.database.read(lambda tx: tx.all(sa.select(schema.replies)))
    for column in ("reading_sealed", "doubt_sealed", "mark_sealed"):
        for of_patient in (True, False):
            sealed = [row._mapping[column] for row in rows if (row.patient_id is not None) is of_patient]
            assert len({len(one) for one in sealed}) == 1, column
    assert {
        here.database.read(lambda tx, row=row: store.replies.mark_of(tx, row.id, row.mark_sealed)) for row in rows
    } == {True, False}
    plan = plan_six(here)
    assert len(plan.ended_because_sealed) == 9 + 12 + 32 + 16  # key, nonce, any of the words, tag


def listed(context, meaning, **more):
    def look(tx):
        sites = [site.id for site in store.people.all_sites(tx)]
        return list_replies(tx, sites, ReplyFilter(meaning=meaning, **more))

    return context.database.read(look)


def test_sec13_a_meaning_is_found_and_counted_although_it_is_sealed(here, travel, monkeypatch):
    monkeypatch.setattr(queries.replies, "_AT_ONCE", 2)
    travel(NOW + timedelta(hours=3))
    hear(here, "i want to die", 4, "SM-later")
    assert [one.meaning for one in listed(here, "crisis")] == ["crisis", "crisis"]  # the later one is not counted yet
    counting.tally(here, clock.now())
    travel(NOW + timedelta(hours=6))
    counting.tally(here, clock.now())
    later, sooner = listed(here, "crisis")
    assert (later.received_at - sooner.received_at) > timedelta(hours=2)
    first, second = listed(here, "slip")
    assert [one.id for one in listed(here, "slip", limit=1, before=first.place)] == [second.id]
    assert listed(here, "slip", limit=1) == [first]
    assert listed(here, "crisis", until=NOW) == listed(here, "crisis", since=NOW + timedelta(hours=4)) == []
    assert [one.meaning for one in listed(here, "stop", patient="MRN-3")] == ["stop"]
    assert [one.meaning for one in listed(here, "slip", waiting=True)] == ["slip", "slip"]
    assert listed(here, "nothing of ours") == []

    def kept(tx):
        return {(row[0] - tallies.hour_at(NOW), *row[2:]) for row in tallies.kept_reply_rows(tx)}

    counts = {(0, "reply", "slip", 2), (3, "reply", "crisis", 1)}
    counts |= {(0, "reply", meaning, 1) for meaning in ("crisis", "stop", "confirm", "other")}
    assert here.database.read(kept) == counts


def test_sec13_rotation_covers_what_was_sealed(here, database_url):
    both = store.Database(database_url, Ring({"k2": bytes(32), **KEYS}))
    while both.write(lambda tx: store.people.rotate_keys(tx, 50)):
        pass
    both.close()
    here.database.ring = Ring({"k2": bytes(32)})
    here.database.data_keys.clear()
    assert sealed_values_open(here) > 40
    assert {one.meaning for one in meant(here).values()} == set(MEANT.values())
    by = {
        sealing_key_of(row[0])
        for column in (schema.replies.c.reading_sealed, schema.reply_counts.c.counts_sealed)
        for row in here.database.read(lambda tx, column=column: tx.all(sa.select(column)))
    }
    assert by == {"k2", None}  # the key of a patient


def test_sec13_erasure_covers_what_was_sealed(here):
    assert retention.erase(here, "MRN-5", NOW, who="test") is not None
    assert retention.erase(here, "MRN-6", NOW, who="test") is not None
    assert meant(here)["SM5"] == store.replies.ILLEGIBLE
    assert meant(here)["SM4"].meaning == "confirm"
    sealed = sa.select(schema.replies.c.reading_sealed).where(schema.replies.c.sid == "SM5")
    assert here.database.read(lambda tx: tx.value(sealed)) == b""
    ended = sa.select(schema.plans).where(schema.plans.c.status == "ended")
    plans = here.database.read(lambda tx: tx.all(ended))
    assert [plan.ended_because_sealed for plan in plans] == [b"", b""]
    assert [
        here.database.read(lambda tx, plan=plan: store.plans.why_ended(tx, plan.id, plan.ended_because_sealed))
        for plan in plans
    ] == [None] * 2
    assert [one.meaning for one in listed(here, None)].count("illegible") == 1


# The database of 0.2.0


def left(kind, folder, request) -> str:
    """The address of the database that 0.2.0 left, with a plan that ended, a doubt, and a person who was erased."""
    url = empty(kind, folder, request, f"sec13_{kind}")
    make.load(url, gzip.decompress((make.HERE / f"0.2.0.{kind}.sql.gz").read_bytes()).decode())
    database = store.Database(url, Ring(KEYS))

    def change(tx):
        tx.run(sa.text("UPDATE plans SET status = 'ended', ended_because = 'died' WHERE ref IN ('DC-1', 'DC-2')"))
        reply = tx.first(
            sa.text("SELECT r.id, p.key_id FROM replies r JOIN patients p ON p.id = r.patient_id WHERE r.sid = 'SM1'")
        )
        place = Place("replies", "doubt_sealed", reply.id)
        doubt = tx.seal(place, '["qué", "rope"]', tx.data_key(reply.key_id))
        tx.run(sa.text("UPDATE replies SET doubt_sealed = :doubt WHERE id = :id").bindparams(doubt=doubt, id=reply.id))
        tx.run(
            sa.text(
                "UPDATE keys SET wrapped = :none WHERE id IN (SELECT key_id FROM patients WHERE ref = 'MRN-2')"
            ).bindparams(none=b"")
        )

    database.write(change)
    database.close()
    return url


@pytest.mark.parametrize("kind", KINDS)
def test_sec13_the_database_of_0_2_0_is_sealed_and_shows_the_same(kind, tmp_path, request):
    context = open_context(left(kind, tmp_path, request), tmp_path)
    database = context.database
    try:
        with database._engine.connect() as connection:
            was = connection.execute(sa.text("SELECT sid, meaning, meanings, rules FROM replies")).all()
            counted = connection.execute(sa.text("SELECT name, many FROM figures WHERE what = 'reply'")).all()
        assert telling(database) >= {("replies", "meaning"), ("replies", "meanings"), ("plans", "ended_because")}
        assert ("replies", "rules") in telling(database)
        assert ("figures", "name") in telling(database)

        other = store.Database(str(database._engine.url.render_as_string(hide_password=False)), Ring({"k9": bytes(32)}))
        with database._engine.connect() as connection:
            before = shape.read(connection)
        with pytest.raises(store.WrongSchema, match=r"needs the sealing key 'k1'.*nothing was changed; put every"):
            store.migrate(other, NOW)
        other.close()
        with database._engine.connect() as connection:
            assert shape.read(connection) == before
        assert migrate.current(database) == "0001"

        assert store.migrate(database, NOW) == ("0001", store.head())
        assert telling(database) <= IN_THE_CLEAR
        found = meant(context)
        same = {row[0]: row[1] for row in was}
        assert {sid: one.meaning for sid, one in found.items()} == same
        assert set(same.values()) >= {"stop", "confirm"}
        assert all(found[row[0]].rules for row in was if row[1] == "stop")
        kept = database.read(tallies.kept_reply_rows)
        assert sorted((row[3], row[4]) for row in kept) == sorted(tuple(row) for row in counted)
        why = {
            plan.ref: database.read(lambda tx, plan=plan: store.plans.why_ended(tx, plan.id, plan.ended_because_sealed))
            for plan in database.read(lambda tx: tx.all(sa.select(schema.plans)))
            if plan.status == "ended"
        }
        assert why == {"DC-1": "died", "DC-2": None}  # of one who was erased nothing opens
        reply = database.read(lambda tx: tx.first(sa.select(schema.replies).where(schema.replies.c.sid == "SM1")))
        assert database.read(lambda tx: store.replies._because(tx, reply.id, reply.doubt_sealed)) == ("qué", "rope")
        lengths = database.read(lambda tx: {len(row[0]) for row in tx.all(sa.select(schema.replies.c.doubt_sealed))})
        assert len(lengths) == 1
        with database._engine.connect() as connection:
            file = Path(database._engine.url.database or "")
            if kind == "sqlite":
                assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
                for one in (file, Path(f"{file}-wal")):
                    assert b'["stop"]' not in (one.read_bytes() if one.exists() else b"")
    finally:
        context.close()
