"""OPS-16: a patient's record holds all that pages show of them and nothing of anyone else; a site's holds all of it."""

import html
import json
import os
import re
import shutil
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa
from api_caller import Program, make_key
from conftest import NOW, send
from jsonschema import Draft202012Validator
from people import one_off, raw
from test_cli import Terminal
from test_pages_plans import words
from two_sites import accept, hear, open_north
from web_caller import Caller

from reminders import clock, store
from reminders.queries import records, site_export
from reminders.service.office import audit
from reminders.service.operations import retention
from reminders.service.people import reader_case, staff_texts, supporters
from reminders.service.replies import marks
from reminders.store.database import schema

GROUP = one_off("group", "2026-12-03T18:00:00", kind="therapy_group", session="oak-group", place="Room 4")
SISTER = {
    "key": "sister",
    "role": "supporter",
    "phone": "202-555-0188",
    "language": "en",
    "part2_consent_on": "2026-11-20",
    "consent": {
        "said": "yes",
        "on": "2026-11-29",
        "how": "by phone",
        "by": "A. Reyes",
        "categories": ["appointments", "family"],
        "warned_of_risk": True,
        "verified": "read aloud",
    },
}


def first(context, table, *where):
    return context.database.read(lambda tx: tx.first(sa.select(table).where(*where)))


def patient_of(context, ref: str):
    return first(context, schema.patients, schema.patients.c.ref == ref)


def of(context, ref: str) -> dict:
    row = patient_of(context, ref)
    found = records.take_out(context.database, [row.site_id], row.id, clock.now(), who="test", stands={})
    return json.loads(records.as_json(found))


@pytest.fixture
def lived(line):
    """Two patients of one group; the first has a supporter, texts that went, replies, tasks, marks and readings."""
    due = one_off("intake", "2026-11-30T12:00:00", leads=["2h"], **{"with": "Dr. Okafor"})
    for number, name in ((1, "Jordan Alvarez"), (2, "Mirela Tanaka")):
        accept(line, number, patient={"name": name}, series=[due, GROUP])
    supporters.add_recipient(line, reader_case.Whom("MRN-1"), SISTER, NOW, who="test", series=["group"])
    send(line)
    hear(line, "can someone call me about the bus", 1, "SM1")
    hear(line, "my own words alone", 2, "SM2")
    staff_texts.say(line, reader_case.Whom("MRN-1"), "Please call us today.", NOW, who="test")
    return line


def test_the_record_holds_what_every_page_of_theirs_shows(lived):
    row = patient_of(lived, "MRN-1")
    browser = Caller(lived, role="admin")
    browser.page(f"/patients/{row.id}")
    reply = first(lived, schema.replies, schema.replies.c.sid == "SM1")
    task = first(lived, schema.tasks, schema.tasks.c.patient_id == row.id)
    marks.mark(lived, task.id, reply.id, NOW, danger=False, who="test", sites=[row.site_id])
    said = records.as_html(
        records.take_out(lived.database, [row.site_id], row.id, clock.now(), who="test", stands={"self": None}), str
    )
    record = of(lived, "MRN-1")
    flat = " ".join(re.sub(r"<[^>]+>", " ", html.unescape(said)).split())
    for shown in (
        "Jordan Alvarez",
        "+12025550101",
        "sister",
        "can someone call me about the bus",
        "Please call us today.",
        "oak-group",
        "Room 4",
        "Dr. Okafor",
        "signed form",
        "patient read",
        "no danger",
    ):
        assert shown in flat, shown
        assert shown in json.dumps(record, ensure_ascii=False), shown
    pages = {tab: words(browser.page(f"/patients/{row.id}{tab}")) for tab in ("", "/messages", "/consent", "/access")}
    everything = json.dumps(record, ensure_ascii=False)
    for one in record["texts"]:
        assert one["what_happened"] in everything
    bubbles = re.findall(
        r'<li class="bubble (?:in|out)">.*?<p>(.*?)</p>', browser.page(f"/patients/{row.id}/messages").text, re.DOTALL
    )
    assert len(bubbles) > 2
    for bubble in bubbles:
        assert html.unescape(re.sub(r"<[^>]+>", "", bubble)) in everything
    assert "can someone call me about the bus" in pages["/messages"]
    for table, part in ((schema.consents, "consents"), (schema.plans, "plans")):
        assert record[part], table.name
    assert len(record["visits"]) == 2
    assert {task["kind"] for task in record["tasks"]} >= {"reply"}
    assert any(event["words"] for task in record["tasks"] for event in task["story"])
    looked = [one["what"] for one in of(lived, "MRN-1")["who_looked"]]
    assert looked.count("patient read") == len(pages) + 2  # and the one before, and the page of the bubbles


def test_nothing_of_anyone_else_is_in_it(lived):
    said = json.dumps(of(lived, "MRN-1"), ensure_ascii=False)
    for alien in ("Mirela", "Tanaka", "MRN-2", "DC-2", "my own words alone", "0102", "2025550188"):
        assert alien not in said, alien
    other = json.dumps(of(lived, "MRN-2"), ensure_ascii=False)
    for alien in ("Jordan", "MRN-1", "DC-1", "bus", "sister", "0101", "Please call us"):
        assert alien not in other, alien


@pytest.mark.parametrize("way", ["two patients", "a supporter of another"])
def test_what_came_from_a_shared_number_is_in_no_ones_record(context, travel, way):
    travel(NOW)
    accept(context, 3)
    if way == "two patients":
        accept(context, 2, patient={"phone": "202-555-0103", "name": "Mirela Tanaka"})
    else:
        accept(context, 2, patient={"name": "Mirela Tanaka"})
        sister = SISTER | {"phone": "202-555-0103"}
        supporters.add_recipient(context, reader_case.Whom("MRN-2"), sister, NOW, who="test", series=["therapy"])
    hear(context, "I hid it from all of you", 3, "SM1")
    for ref in ("MRN-3", "MRN-2"):
        record = of(context, ref)
        said = json.dumps(record)
        assert "hid it" not in said
        assert "other patient" not in said
    withheld = [one for ref in ("MRN-3", "MRN-2") for one in of(context, ref)["replies"]]
    assert withheld
    assert {one["withheld"] for one in withheld} == {records.WITHHELD}


def test_another_sites_patient_on_the_number_changes_nothing_here(context, travel):
    """SEC-6: that someone else is known there is not to be seen here; what they wrote went to the other site."""
    travel(NOW)
    open_north(context)
    accept(context, 1)
    hear(context, "call me about the bus", 1, "SM1")
    before = of(context, "MRN-1")
    accept(context, 2, "north", patient={"phone": "202-555-0101", "name": "Mirela Tanaka"})
    hear(context, "north only", 1, "SM2", "+15005550009")
    after = of(context, "MRN-1")
    assert after["replies"] == before["replies"]
    assert "call me" in json.dumps(after)
    said = json.dumps(after)
    assert not any(alien in said for alien in ("north", "Mirela", "MRN-2"))


def test_it_is_taken_out_by_page_and_api_by_who_may_and_on_record(lived):
    row = patient_of(lived, "MRN-1")
    browser = Caller(lived, role="coordinator")
    assert f'href="/patients/{row.id}/record"' in browser.page(f"/patients/{row.id}/access").text
    answer = browser.get(f"/patients/{row.id}/record")
    assert answer.headers["content-disposition"] == f'attachment; filename="record-{row.id}.html"'
    assert "Jordan Alvarez" in answer.text
    assert browser.get(f"/patients/{row.id}/record.json").json()["patient"]["reference"] == "MRN-1"
    clinician = Caller(lived, role="clinician")
    assert clinician.get(f"/patients/{row.id}/record").status_code in {403, 404}
    assert "/record" not in clinician.page(f"/patients/{row.id}/access").text
    found = Program(lived, make_key(lived, "people")).get(f"/patients/{row.id}/record")
    assert (found.status_code, found.json()["patient"]["name"]) == (200, "Jordan Alvarez")
    assert Program(lived, make_key(lived, "read")).get(f"/patients/{row.id}/record").status_code == 403
    what = lived.database.read(
        lambda tx: [one.what for one in tx.all(sa.select(schema.audit)) if one.patient_id == row.id]
    )
    assert what.count("record exported") == 3


@pytest.fixture
def run(sqlite_template, tmp_path, monkeypatch, travel):
    travel(NOW)
    shutil.copy(sqlite_template, tmp_path / "reminders.db")
    terminal = Terminal(f"sqlite:///{tmp_path / 'reminders.db'}", tmp_path, monkeypatch)
    terminal.set(REMINDERS_SENDING__WELCOME="false")
    (tmp_path / "1.json").write_text(json.dumps(raw()), encoding="utf-8")
    terminal("import", "1.json")
    return terminal


def test_the_command_writes_a_page_and_json_for_its_owner_only(run, tmp_path):
    os.umask(0o022)
    (tmp_path / "out").mkdir()
    files = run.json("people", "export", "MRN-1", "--to", "out")["files"]
    assert sorted(Path(file).suffix for file in files) == [".html", ".json"]
    for file in files:
        assert "MRN" not in Path(file).name
        assert stat.S_IMODE((tmp_path / file).stat().st_mode) == 0o600
    assert json.loads((tmp_path / files[1]).read_text())["patient"]["name"] == "Jordan Alvarez"
    again = run("people", "export", "MRN-1", "--to", "out", code=1)
    assert "is there already" in again.stderr
    run("people", "export", "MRN-1", "--to", "one.json")
    assert (tmp_path / "one.json").exists()
    assert "ends neither" in run("people", "export", "MRN-1", "--to", "one.pdf", code=2).stderr
    assert run("people", "export", "MRN-9", "--to", "out", code=3).stderr


def test_an_erased_person_has_no_record(lived):
    row = patient_of(lived, "MRN-2")
    for task in lived.database.read(lambda tx: tx.all(sa.select(schema.tasks))):
        lived.database.write(lambda tx, task=task: store.tasks.change_task(tx, task.id, closed_at=NOW, outcome="done"))
    retention.erase(lived, "MRN-2", NOW, who="test")
    assert records.take_out(lived.database, [row.site_id], row.id, NOW, who="test", stands={}) is None


def test_a_sites_export_fits_its_schema_and_holds_no_other_site(lived):
    places = open_north(lived)
    accept(lived, 5, "north", patient={"phone": "202-555-0101", "name": "Amara Nwosu"})
    hear(lived, "north only words", 1, "SM9", "+15005550009")
    audit.chain(lived, clock.now())
    lines = list(site_export.lines(lived.database, places["main"], clock.now(), who="test"))
    check = Draft202012Validator(site_export.schema())
    for line in lines:
        check.validate(json.loads(json.dumps(line)))
    said = json.dumps(lines, ensure_ascii=False)
    for alien in ("Amara", "MRN-5", "DC-north-5", "north only words"):
        assert alien not in said
    for shown in ("Jordan Alvarez", "Mirela Tanaka", "+12025550101", "my own words alone", "Please call us today."):
        assert shown in said
    counts = {table: sum(line["record"] == table for line in lines) for table in ("patients", "plans", "replies")}
    assert counts == {"patients": 2, "plans": 2, "replies": 2}
    assert first(lived, schema.audit, schema.audit.c.what == "site exported") is not None


def test_every_table_is_in_a_sites_export_or_said_to_be_left_out():
    left_out = {
        "keys", "former_keys", "name_words", "job_runs", "processes", "forwarders", "tallies", "figures", "tallied",
        "marks", "shapes", "doubts", "staff", "grants", "recovery_codes", "sign_ins", "sign_in_failures", "api_keys",
        "api_answers", "drafts", "reply_counts",
    }  # fmt: skip
    exported = {one["properties"]["record"]["const"] for one in site_export.schema()["oneOf"]} - {"export"}
    assert exported | left_out == {table.name for table in schema.metadata.sorted_tables}
    assert not exported & left_out


def test_a_batch_ends_where_the_next_begins(lived, monkeypatch):
    places = first(lived, schema.sites).id
    whole = list(site_export.lines(lived.database, places, NOW, who="test"))
    monkeypatch.setattr(site_export, "BATCH", 1)
    one_by_one = list(site_export.lines(lived.database, places, NOW, who="test"))
    assert [one for one in one_by_one if one["record"] != "audit"] == [one for one in whole if one["record"] != "audit"]


def test_the_command_takes_a_site_out(run, tmp_path):
    done = run.json("site", "export", "--to", "site.ndjson")
    lines = (tmp_path / "site.ndjson").read_text(encoding="utf-8").splitlines()
    assert done["lines"] == len(lines) > 5
    assert stat.S_IMODE((tmp_path / "site.ndjson").stat().st_mode) == 0o600
    assert json.loads(lines[0])["format"] == site_export.FORMAT
    assert json.loads(run("site", "schema").stdout) == json.loads(json.dumps(site_export.schema()))
    assert "is there already" in run("site", "export", "--to", "site.ndjson", code=1).stderr
    assert run("site", "export", "--to", "other.ndjson", "--site", "nowhere", code=3).stderr
