"""Clinicians mark whether replies were danger, so that a center can count hits and misses."""

import csv
import io
import json

import pytest
import sqlalchemy as sa
from conftest import NOW, environment, open_context
from measured import FILE, figures
from test_web_pages import Page
from two_sites import accept, hear, open_north
from typer.testing import CliRunner
from web_caller import Caller

from reminders import cli, queries, store
from reminders.conversation import measured
from reminders.service import tasks
from reminders.service.operations import retention
from reminders.service.replies import marks
from reminders.store.database import schema

SAID = {
    "i want to die": True,  # found
    "the river keeps saying my name": True,  # missed: no word of danger in it
    "is there parking": False,  # rightly quiet
    "my brother wants to kill himself in that video game": False,
}


@pytest.fixture
def here(database_url, tmp_path, travel):
    travel(NOW)
    opened = open_context(database_url, tmp_path, site__on_call='["json://127.0.0.1:9/pager"]')
    accept(opened, 1)
    for place, words in enumerate(SAID):
        hear(opened, words, 1, f"SM{place}")
    yield opened
    opened.close()


def replies(context):
    """The replies in the order in which they came."""
    return context.database.read(lambda tx: tx.all(sa.select(schema.replies).order_by(schema.replies.c.id)))


def task_of(context, kind="crisis"):
    return next(task for task in queries.tasks.list_tasks(context.database) if task.kind == kind)


def mark(caller, task, reply, how):
    return caller.request("POST", f"/inbox/{task.id}/mark", data={"reply": str(reply.id), "mark": how})


def mark_all(context, caller):
    task = task_of(context)
    for reply, danger in zip(replies(context), SAID.values(), strict=True):
        assert mark(caller, task, reply, "danger" if danger else "harmless").status_code == 303


def audited(context, what):
    query = sa.select(schema.audit).where(schema.audit.c.what == what).order_by(schema.audit.c.id)
    return context.database.read(
        lambda tx: [(row.who, row.row_id, store.audit_log.noted(tx, row)) for row in tx.all(query)]
    )


def test_c13_a_clinician_marks_a_reply_and_takes_it_back_and_all_is_on_record(here):
    caller, task = Caller(here, role="clinician"), task_of(here)
    reply = replies(here)[1]
    page = caller.page(f"/inbox/{task.id}").text
    assert page.count("This was danger") == len(SAID)
    assert mark(caller, task, reply, "danger").headers["location"] == f"/inbox/{task.id}?done=marked"
    assert "Marked: this was danger" in caller.page(f"/inbox/{task.id}").text
    assert [
        (one.id, one.danger, queries.marks.outcome(one))
        for one in queries.marks.listed(here.database, sites={reply.site_id})
    ] == [(reply.id, True, "missed")]
    mark(caller, task, reply, "danger")  # marking twice counts once
    mark(caller, task, reply, "none")
    assert "Marked: this was" not in caller.page(f"/inbox/{task.id}").text
    ((who, row, values),) = audited(here, "reply marked")
    assert (row, values) == (reply.id, (None, "danger"))
    assert who.startswith("staff:")
    ((_, _, values),) = audited(here, "reply mark taken back")
    assert values == ("danger", None)


def test_c13_a_mark_is_sealed_and_changes_nothing_else(here):
    caller = Caller(here, role="clinician")
    before = [(task.id, task.closed_at, task.owner) for task in queries.tasks.list_tasks(here.database, closed=None)]
    mark_all(here, caller)
    for reply in replies(here):
        assert reply.mark_sealed
        assert b"danger" not in reply.mark_sealed
    assert [
        (task.id, task.closed_at, task.owner) for task in queries.tasks.list_tasks(here.database, closed=None)
    ] == before


@pytest.mark.parametrize("role", ["coordinator", "ops", "read_only"])
def test_c13_who_is_no_clinician_sees_the_mark_at_most(here, role):
    mark_all(here, Caller(here, role="clinician"))
    caller, task, reply = Caller(here, role=role), task_of(here), replies(here)[0]
    assert mark(caller, task, reply, "none").status_code == 403
    page = caller.page(f"/inbox/{task.id}").text
    assert "This was danger" not in page
    assert "Take it back" not in page
    assert ("Marked: this was danger" in page) is (role != "ops")  # where the conversation is


def test_c13_a_reply_of_another_conversation_or_site_is_not_marked(here):
    open_north(here)
    accept(here, 2, site="north")
    hear(here, "hello", 2, "SMN", to="+15005550009")
    there = next(reply for reply in replies(here) if reply.sid == "SMN")
    caller, task = Caller(here, role="clinician", site="main"), task_of(here)
    other = next(one for one in queries.tasks.list_tasks(here.database) if one.site == "north")
    assert mark(caller, other, there, "danger").status_code == 404
    assert mark(caller, task, there, "danger").status_code == 404
    for form in (
        {},
        {"reply": "x", "mark": "danger"},
        {"reply": "9" * 40, "mark": "danger"},
        {"reply": "1", "mark": "so"},
    ):
        assert caller.request("POST", f"/inbox/{task.id}/mark", data=form).status_code == 404
    assert queries.marks.listed(here.database, sites={there.site_id}) == []


def test_c13_erasing_a_patient_erases_marks_and_none_can_be_made_after(here):
    mark_all(here, Caller(here, role="clinician"))
    site, task = replies(here)[0].site_id, task_of(here)
    tasks.close(here, task.id, "reached", NOW, who="test", note="spoke with them")
    retention.erase(here, "MRN-1", NOW, who="test")
    assert [reply.mark_sealed for reply in replies(here)] == [None] * len(SAID)
    assert queries.marks.listed(here.database, sites={site}) == []
    with pytest.raises((marks.NoSuchReply, tasks.NoSuchTask)):
        marks.mark(here, task.id, replies(here)[0].id, NOW, danger=True, who="test", sites={site})


def test_c13_the_timeline_shows_the_mark_where_it_shows_the_reply(here):
    mark_all(here, Caller(here, role="clinician"))
    patient = here.database.read(lambda tx: tx.first(sa.select(schema.patients)))
    page = Caller(here, role="clinician").page(f"/patients/{patient.id}").text
    assert page.count(", marked as danger)") == 2
    assert page.count(", marked as no danger)") == 2


def run(context, database_url, tmp_path, monkeypatch, *arguments):
    for name, value in environment(database_url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return CliRunner().invoke(cli.app, ["replies", "marks", *arguments])


def test_c13_the_export_says_what_was_understood_and_words_only_where_asked_for(
    here, database_url, tmp_path, monkeypatch
):
    mark_all(here, Caller(here, role="clinician"))
    answer = run(here, database_url, tmp_path, monkeypatch, "--csv")
    assert answer.exit_code == 0, answer.output
    rows = list(csv.DictReader(io.StringIO(answer.stdout.lstrip("\ufeff"))))
    assert [(row["marked"], row["outcome"], row["understood"].split()[0]) for row in rows] == [
        ("danger", "found", "crisis"),
        ("danger", "missed", "other"),
        ("no danger", "quiet", "other"),
        ("no danger", "false alarm", "crisis"),
    ]
    assert rows[0]["rules"].startswith("en.crisis.")
    assert rows[0]["lexicon"] == measured().lexicon
    assert "words" not in rows[0]
    assert not any(words in answer.stdout for words in SAID)
    assert "Found 1, missed 1, falsely alarmed 1, rightly quiet 1 (50 % of marked danger was found)." in " ".join(
        answer.stderr.split()
    )
    with_words = run(here, database_url, tmp_path, monkeypatch, "--json", "--words")
    assert [json.loads(line)["words"] for line in with_words.stdout.splitlines()] == list(SAID)
    noted = [values[1] for _, _, values in audited(here, "reply marks exported")]
    assert noted == ["4 marks, 0 with words", "4 marks, 4 with words"]


def test_c10_the_page_says_what_is_found_and_missed_on_which_corpus_and_how_to_report_it(here):
    page = " ".join(Page(Caller(here, role="clinician").page("/help/replies")).said("main")[0].split())
    assert "No reply of your sites is marked yet." in page
    mark_all(here, Caller(here, role="clinician"))
    page = " ".join(Page(Caller(here, role="ops").page("/help/replies")).said("main")[0].split())
    assert "50 % of the marked danger was found." in page
    assert f"corpus {measured().corpus}" in page
    assert f"with rules {measured().lexicon}" in page
    assert "reminders replies marks --csv" in page
    crisis = next(row for row in measured().rows if row.meaning == "crisis")
    assert crisis.missed == crisis.phrases - crisis.found
    assert crisis.unseen in page


def test_the_packaged_figures_are_those_of_the_docs():
    assert json.loads(FILE.read_text(encoding="utf-8")) == figures(), "run `python -m tests.measured`"
