"""Typical days of other programs with the API: it shows the same as the command line, and its changes are made."""

import json
import logging
from datetime import datetime, timedelta

import pytest
from api_caller import Program, make_key
from conftest import NOW, environment, settle
from conftest import send as send_due
from people import one_off, raw
from prometheus_client.parser import text_string_to_metric_families
from two_sites import accept, hear
from typer.testing import CliRunner

from reminders import clock
from reminders.cli import app

GROUP = [one_off("g", "2026-12-03T15:00:00", kind="therapy_group", session="oak", place="Room 4")]


@pytest.fixture
def api(context, travel):
    """A program that may do everything, on each database at NOW."""
    return Program(context, make_key(context))


@pytest.fixture
def run(database_url, tmp_path, monkeypatch):
    """Commands of the same house, as lines of JSON."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment(database_url, sending__welcome="false").items():
        monkeypatch.setenv(name, value)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def command(*arguments, code=0):
        result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == code, result.stderr
        return [json.loads(line) for line in result.stdout.splitlines()]

    yield command
    root.handlers[:] = handlers
    root.setLevel(level)


def items(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def test_a_plan_from_its_document_to_its_end(api, run, tmp_path):
    # A preview says the same as the command line about the same file.
    document = raw(series=[*raw()["series"], one_off("second", "2026-12-10T11:00:00")])
    (tmp_path / "plan.json").write_text(json.dumps(document), encoding="utf-8")
    preview = items(api.post("/preview", document))
    assert preview == run("preview", "plan.json")[0]
    assert items(api.get("/plans")) == []

    taken = api.post("/plans", document)
    assert taken.status_code == 201
    plan = taken.json()["plan"]
    assert taken.headers["location"] == f"/api/v1/plans/{plan['id']}"
    assert taken.json()["texts"] == {"added": sum(one["goes"] for one in preview), "moved": 0, "retracted": 0}
    of_plan = f"/plans/{plan['id']}"
    assert items(api.get(f"{of_plan}/preview")) == preview == items(api.post("/preview", {"ref": "DC-1"}))
    texts = items(api.get(f"/texts?plan={plan['id']}"))
    assert {(one["key"], one["opens_at"]) for one in texts} == {(one["key"], one["opens_at"]) for one in preview}
    assert texts == items(api.get("/log?plan=~DC-1")) == run("log")
    assert api.get(f"/texts/{texts[0]['text']}").json()["became"].startswith("Goes ")
    assert api.get(f"{of_plan}/document").json()["patient"]["name"] == "Jordan Alvarez"

    # A visit is moved, with its texts; a client with the old version is told so.
    visits = items(api.get(f"/appointments?plan={plan['id']}"))
    assert [one["series"] for one in visits] == ["therapy", "second"]
    visit = api.get(f"/appointments/{visits[0]['id']}")
    moved = api.post(
        f"/appointments/{visits[0]['id']}/move", {"to": "2026-12-04T11:00"}, if_match=visit.headers["etag"]
    )
    assert moved.json()["appointment"]["wall"] == "2026-12-04T11:00:00"
    assert moved.json()["texts"] == {"added": 3, "moved": 0, "retracted": 3}
    assert moved.headers["etag"] == '"2"'
    stale = api.post(f"/appointments/{visits[0]['id']}/cancel", if_match=visit.headers["etag"])
    assert stale.status_code == 412
    keys = {one["key"] for one in items(api.get("/texts?state=scheduled"))}
    assert {one.split("@")[0] for one in keys} >= {"day:2026-12-04:1d", "day:2026-12-10:1d"}
    assert not any("2026-12-03" in one for one in keys)
    assert api.post(f"/appointments/{visits[1]['id']}/cancel").json()["appointment"]["status"] == "cancelled"
    assert api.post(f"/appointments/{visits[1]['id']}/cancel").status_code == 409
    assert api.post(f"/appointments/{visits[0]['id']}/move", {"to": "2026-11-01T11:00"}).status_code == 409
    assert api.post(f"/appointments/{visits[0]['id']}/move", {"to": "tomorrow"}).json()["errors"] == [
        {"where": "body.to", "problem": "must be a date and a time, such as 2026-12-03T15:00"}
    ]

    # It is paused, resumed and ended, each with its version.
    paused = api.post(f"{of_plan}/pause", if_match='"1"')
    assert (paused.json()["plan"]["status"], paused.headers["etag"]) == ("paused", '"2"')
    assert api.post(f"{of_plan}/resume", if_match='"1"').status_code == 412
    assert api.post(f"{of_plan}/resume", if_match="*").json()["texts"]["added"] == 3
    assert api.post(f"{of_plan}/end", {"because": "tired"}).json()["errors"][0]["where"] == "body.because"
    ended = api.post("/plans/~DC-1/end", {"because": "completed"}).json()
    assert (ended["plan"]["status"], ended["plan"]["ended_because"]) == ("ended", "completed")
    assert items(api.get("/texts?state=scheduled")) == []
    assert api.post(f"{of_plan}/resume").json()["detail"].startswith("The plan has ended")


def test_a_document_that_is_put_again_changes_the_plan_and_no_other(api):
    plan = api.post("/plans", raw()).json()["plan"]
    of_plan = f"/plans/{plan['id']}"
    later = raw(series=[one_off("therapy", "2026-12-04T15:00:00", minutes=50)])
    assert api.put(of_plan, later, if_match='"3"').status_code == 412
    changed = api.put(of_plan, later, if_match='"1"')
    assert (changed.status_code, changed.json()["changed"], changed.headers["etag"]) == (200, True, '"2"')
    assert api.put(of_plan, later).json()["changed"] is False
    assert api.put(of_plan, raw(plan={"ref": "DC-2"})).json()["errors"][0]["where"] == "plan"
    assert api.put("/plans/~DC-2", raw(plan={"ref": "DC-2"})).status_code == 404
    wrong = api.put(of_plan, raw(patient={"phone": "12"}, series=[one_off("x", "2026-02-30T15:00")], typo=1))
    assert wrong.status_code == 422
    assert {one["where"] for one in wrong.json()["errors"]} == {"typo", "patient.phone", "series[0].starts"}


def test_what_is_wrong_with_a_document_is_what_the_command_line_says(api, run, tmp_path):
    bad = raw(plan={"discharged_on": "soon"}, patient={"phone": "555"}, series=[])
    (tmp_path / "bad.json").write_text(json.dumps(bad), encoding="utf-8")
    (said,) = run("import", "bad.json", code=1)
    assert [{"where": one["where"], "problem": one["problem"]} for one in said["refused"]] == api.post(
        "/plans", bad
    ).json()["errors"]


def test_who_came_to_a_session_and_what_moves_it_for_all(api, travel):
    for number in (1, 2, 3):
        accept(api.caller.context, number, series=GROUP)
    (session,) = items(api.get("/sessions"))
    assert (session["session"], session["on"], session["patients"], session["status"]) == (
        "oak",
        "2026-12-03",
        3,
        "booked",
    )
    at = f"/sessions/{session['id']}/2026-12-03"
    shown = api.get(at).json()
    assert [one["patient"] for one in shown["appointments"]] == ["MRN-1", "MRN-2", "MRN-3"]
    assert {one["place"] for one in shown["appointments"]} == {None}
    assert {one["place"] for one in api.get(f"{at}?names=true").json()["appointments"]} == {"Room 4"}
    assert api.post(f"{at}/move", {"to": "2026-12-04T10:00"}).json()["texts"]["retracted"] == 9
    assert api.get(at).json()["appointments"] == []
    assert {one["wall"] for one in api.get(at).json()["told"]} == {"2026-12-04T10:00:00"}
    assert api.post(f"{at}/undo").status_code == 200
    assert api.post(f"{at}/undo").status_code == 409
    assert api.post(f"/sessions/{session['id']}/2026-12-05/cancel").status_code == 404
    assert api.post(f"{at}/attendance", {}).json()["detail"] == "It has not begun yet."
    travel(datetime.fromisoformat("2026-12-03T22:00:00+00:00"))
    marked = items(api.post(f"{at}/attendance", {"missed": ["MRN-2"], "late": ["MRN-3"]}))
    assert {one["patient"]: one["mark"] for one in marked} == {"MRN-1": "attended", "MRN-2": "missed", "MRN-3": "late"}
    assert api.post(f"{at}/attendance", {"missed": ["MRN-9"]}).status_code == 409
    (one,) = items(api.get("/sessions?since=2026-12-01"))
    assert (one["status"], one["unmarked"]) == ("held", 0)
    visit = next(one for one in items(api.get("/appointments")) if one["patient"] == "MRN-2")
    assert visit["attendance"] == "missed"
    undone = api.post(f"/appointments/{visit['id']}/attendance", {"mark": "unmark"}).json()
    assert (undone["mark"], undone["news"]) == ("unmark", True)
    assert [one["patient"] for one in items(api.get("/appointments?unmarked=true"))] == ["MRN-2"]


def test_a_patients_number_and_consent(api, travel):
    plan = api.post("/plans", raw()).json()["plan"]
    of = f"/patients/{plan['patient_id']}"
    (found,) = items(api.post("/patients/search", {"search": "(202) 555-0143"}))
    assert (found["id"], found["name"]) == (plan["patient_id"], "Jordan Alvarez")
    assert items(api.post("/patients/search", {"search": "jordan"})) == [found]
    assert items(api.post("/patients/search", {"search": "MRN-1"})) == [found]
    assert items(api.post("/patients/search", {"search": "nobody"})) == []
    assert api.get(of).json()["readers"] is None
    (reader,) = api.get(f"{of}?names=true").json()["readers"]
    assert (reader["key"], reader["said"], reader["to"]) == ("self", "yes", "•••••••0143")

    done = api.post(f"{of}/number", {"phone": "202-555-0177"}).json()
    assert done["texts"] == {"added": 0, "moved": 0, "retracted": 3}
    assert api.get(of).json()["blocked"] == "no_consent"
    assert api.post(f"{of}/number", {"phone": "202-555-0177"}).status_code == 409
    assert api.post(f"{of}/number", {"phone": "x"}).json()["errors"][0]["where"] == "body.phone"
    yes = raw()["consent"] | {"on": "2026-11-30"}
    assert api.post(f"{of}/consent", {"consent": yes}).json()["texts"]["added"] == 3
    assert api.post(f"{of}/consent", {"consent": {"said": "yes"}}).status_code == 422
    assert api.post(f"{of}/verify", {"how": "read aloud"}).status_code == 200
    assert api.post(f"{of}/wrong", {}).json()["texts"]["retracted"] == 3
    assert api.post(f"{of}/wrong", {"wrong": False}).json()["texts"]["added"] == 3
    out = api.post(f"{of}/opt-out", {"how": "voicemail", "received_on": "2026-11-30", "by": "front desk"}).json()
    assert out["honour_by"] == "2026-12-14"
    assert api.get(of).json()["blocked"] == "opted_out"
    ahead = {"how": "voicemail", "received_on": "2026-12-05", "by": "front desk"}
    assert api.post(f"{of}/opt-out", ahead).status_code == 409
    assert api.post(f"{of}/verify", {"how": "x", "recipient": "nobody"}).status_code == 404


def test_a_reply_its_task_and_its_end(api, run):
    accept(api.caller.context)
    hear(api.caller.context, "can someone call me")
    (reply,) = items(api.get("/replies?waiting=true"))
    assert (reply["patients"], reply["words"], reply["from"]) == (["MRN-1"], None, "•••••••0101")
    assert items(api.get("/replies?names=true"))[0]["words"] == "can someone call me"
    (task,) = items(api.get("/tasks"))
    assert [task] == run("tasks", "list")
    assert reply["task"] == task["id"]
    of = f"/tasks/{task['id']}"
    assert "can someone call me" not in api.get(of).text
    assert "can someone call me" in api.get(f"{of}?names=true").text
    assert api.post(f"{of}/take").json()["owner"].startswith("key:")
    assert api.post(f"{of}/note", {"note": "No answer yet."}).status_code == 200
    assert api.post(f"{of}/note", {"note": ""}).json()["errors"] == [{"where": "body.note", "problem": "is empty"}]
    assert api.post(f"{of}/close", {"outcome": "nonsense"}).status_code == 409
    closed = api.post(f"{of}/close", {"outcome": task_outcome(api, of), "note": "Called."}).json()
    assert closed["closed_at"] is not None
    assert api.post(f"{of}/close", {"outcome": "done"}).status_code == 409
    assert items(api.get("/tasks")) == []
    assert [one["id"] for one in items(api.get("/tasks?status=closed"))] == [task["id"]]
    story = api.get(f"{of}?names=true").json()["story"]
    assert [one["words"] for one in story if one["what"] == "note"] == ["No answer yet."]


def task_outcome(api, of):
    return api.get(of).json()["outcomes"][0]


def test_pages_of_every_list_join_without_a_gap(api):
    for number in range(1, 6):
        accept(api.caller.context, number, series=GROUP)
        hear(api.caller.context, "can someone call me", number, f"SM{number}")
    for task in items(api.get("/tasks"))[:3]:
        api.post(f"/tasks/{task['id']}/close", {"outcome": task_outcome(api, f"/tasks/{task['id']}")})
    for path in (
        "/plans?", "/patients?", "/appointments?", "/log?", "/texts?state=scheduled&", "/replies?", "/tasks?",
        "/tasks?status=closed&",
    ):  # fmt: skip
        whole, seen, at = items(api.get(path)), [], f"{path}limit=2"
        while at:
            answer = api.get(at)
            seen += items(answer)
            following = answer.json()["next"]
            link = answer.headers.get("link")
            assert (link is None) == (following is None)
            at = link and link.removeprefix("</api/v1").partition(">")[0]
        assert seen == whole, path
        assert len(whole) > 1


def test_plans_are_listed_by_filter(api, travel):
    for number, day in enumerate(("2026-11-26", "2026-11-28", "2026-11-30"), 1):
        accept(api.caller.context, number, plan={"discharged_on": day}, who=f"cli:{number}")
    hear(api.caller.context, "can someone call me", 1)
    refs = lambda query: [one["ref"] for one in items(api.get(f"/plans?{query}"))]  # ruff: ignore[lambda-assignment]  one line
    assert refs("") == ["DC-3", "DC-2", "DC-1"]
    assert refs("discharged_since=2026-11-28&discharged_until=2026-11-30") == ["DC-2"]
    assert refs("needs_attention=true") == ["DC-1"]
    assert refs("status=paused") == refs("blocked=true") == []
    assert refs("ref=DC-2") == refs("entered_by=cli:2") == ["DC-2"]
    patient = items(api.get("/plans?ref=DC-3"))[0]["patient_id"]
    assert refs(f"patient={patient}") == ["DC-3"]
    noon = "2026-12-03T17:00:00Z"
    assert len(items(api.get(f"/appointments?since={noon}"))) == 3
    assert items(api.get(f"/appointments?until={noon}")) == []
    assert (
        api.get("/appointments?since=2026-12-03T17:00:00").json()["errors"][0]["problem"].startswith("needs its offset")
    )
    assert api.get("/log?since=0001-01-01T00:00:00Z").status_code == 422


def test_the_api_the_metrics_and_the_command_line_show_the_same_numbers(api, run):
    accept(api.caller.context)
    accept(api.caller.context, 2)
    hear(api.caller.context, "can someone call me", 2)
    stats = api.get("/stats").json()
    (status,) = run("status", code=1)
    for shown in (stats, status):
        assert 0 <= shown["queue"].pop("oldest_due_seconds") < 60
    for name in ("ok", "queue", "troubles"):
        assert stats[name] == status[name]
    assert stats["jobs"].keys() == status["jobs"].keys()
    local = type(api.caller)(api.caller.context)
    shown = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(local.get("/metrics").text)
        for sample in family.samples
    }
    assert {state: shown["reminders_texts", state] for state in stats["texts"]} == stats["texts"]
    assert {urgency: shown["reminders_tasks_open", urgency] for urgency in stats["tasks"]} == stats["tasks"]
    assert stats["texts"]["scheduled"] == len(items(api.get("/log?state=scheduled&limit=200")))
    assert sum(stats["tasks"].values()) == len(items(api.get("/tasks")))


def test_sending_is_paused_by_who_may(api):
    assert api.post("/sites/main/pause").json() == {"paused": True, "changed": True}
    assert api.post("/sites/main/pause").json() == {"paused": True, "changed": False}
    assert items(api.get("/sites"))[0]["paused_at"] is not None
    assert api.post("/sites/main/resume").json() == {"paused": False, "changed": True}
    assert api.post("/sites/nowhere/pause").status_code == 404


def test_what_was_sent_is_told_as_the_log_tells_it(line, twilio, travel):
    accept(line)
    api = Program(line, make_key(line))
    travel(datetime.fromisoformat("2026-12-02T22:00:00+00:00"))
    assert send_due(line).accepted == 1
    (sent,) = items(api.get("/texts?state=sent"))
    (attempt,) = sent["attempts"]
    assert (attempt["answer"], attempt["status"]) == ("accepted", "queued")
    shown = api.get(f"/texts/{sent['text']}").json()
    assert "has not said yet whether it arrived" in shown["became"]
    assert items(api.get("/plans"))[0]["texts_sent"] == 1
    travel(clock.now() + timedelta(minutes=1))
    settle(line)
    assert clock.now() > NOW
