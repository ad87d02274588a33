"""Attendance: the page says before saving who gets a text, and a session shows what became of it."""

from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from api_caller import Program, make_key
from conftest import NOW, logged
from people import document, one_off
from test_web_pages import Page
from web_caller import Caller

from reminders import queries, store
from reminders.service import planning
from reminders.service.planning import attendance, changes
from reminders.store.database import schema

GROUP = {"kind": "therapy_group", "session": "oak-group", "leads": ["2h"]}
TONIGHT = [one_off("group", "2026-11-30T18:00:00", **GROUP)]
BEFORE = NOW - timedelta(days=3)
AFTER = NOW + timedelta(hours=9, minutes=30)  # 19:30: begun at 18:00, not yet quiet
DAY = date(2026, 11, 30)


@pytest.fixture
def three(context):
    """Three patients who share tonight's group."""
    for number in (1, 2, 3):
        person = {"ref": f"MRN-{number}", "phone": f"202-555-{100 + number:04d}"}
        planning.accept(
            context,
            document(plan={"ref": f"DC-{number}"}, patient=person, series=TONIGHT, consent={"on": "2026-11-20"}),
            BEFORE,
            who="test",
        )
    return context


def words(answer):
    (said,) = Page(answer).said("main")
    return said


def visits(context, now):
    here = context.database.read(lambda tx: store.people.site_by_key(tx, "main").id)
    rows = context.database.read(lambda tx: queries.visits.list_visits(tx, [here], now - timedelta(days=30), now))
    return {row.patient: row.id for row in rows}


def statuses(context):
    return sorted(row.status for row in context.database.read(lambda tx: tx.all(sa.select(schema.appointments))))


def missed_texts(context):
    return [text for text in logged(context) if text.wording == "missed"]


# Screens 18


def test_screens_18_nothing_is_marked_before_it_is_said_who_gets_a_text(three, travel):
    now = NOW + timedelta(hours=24)  # 10:00 the next morning
    travel(now)
    ids, ana = visits(three, now), Caller(three, role="coordinator")
    marks = {f"visit-{ids[f'MRN-{number}']}": mark for number, mark in ((1, "attended"), (2, "missed"), (3, "missed"))}
    asked = ana.request("POST", "/attendance", data=marks)
    assert asked.status_code == 200
    assert "2 patients get a text now" in words(asked)
    assert words(asked).count("Jordan Alvarez missed group, Mon, Nov 30, 2026, 6:00 pm: now") == 2
    assert missed_texts(three) == []
    assert "attended" not in {
        row.status for row in three.database.read(lambda tx: tx.all(sa.select(schema.appointments)))
    }
    boxes = {one["name"]: one["value"] for one in Page(asked).all("input")}
    assert all("checked" in one for one in Page(asked).all("input") if one["type"] == "checkbox")
    del boxes[f"text-{ids['MRN-3']}"]  # unticked
    assert ana.request("POST", "/attendance", data=boxes).status_code == 303
    (text,) = missed_texts(three)
    assert (text.patient, text.state) == ("MRN-2", "scheduled")
    assert statuses(three) == ["attended", "missed", "missed"]


def test_screens_18_a_text_that_waits_for_the_morning_says_when(three, travel):
    travel(NOW + timedelta(hours=11))  # 21:00
    ids, ana = visits(three, NOW + timedelta(hours=11)), Caller(three, role="coordinator")
    asked = words(ana.request("POST", "/attendance", data={f"visit-{ids['MRN-1']}": "missed"}))
    assert "1 patient gets a text Nothing is marked yet" in asked
    assert "Tue, Dec 1, 2026, 9:00 am" in asked


def test_screens_18_last_week_s_visit_sends_nothing_and_asks_nothing(three, travel):
    now = NOW + timedelta(days=5)
    travel(now)
    ids, ana = visits(three, now), Caller(three, role="coordinator")
    assert ana.request("POST", "/attendance", data={f"visit-{ids['MRN-1']}": "missed"}).status_code == 303
    assert missed_texts(three) == []
    done = attendance.mark(three, "DC-2", "group", DAY, now, what="missed", who="test")
    assert (done.text, done.reason) == (None, "too_late")


def test_screens_18_api_and_verbs_say_it_first_and_may_leave_the_text_out(three, travel):
    now = NOW + timedelta(hours=24)
    travel(now)
    api = Program(three, make_key(three, "read", "write"))
    one = visits(three, now)["MRN-1"]
    would = api.post(f"/appointments/{one}/attendance", {"mark": "missed", "dry_run": True}).json()
    assert would["text"] == "scheduled"
    assert would["goes_at"] is not None
    assert missed_texts(three) == []
    done = api.post(f"/appointments/{one}/attendance", {"mark": "missed", "text": False}).json()
    assert (done["news"], done["text"], done["goes_at"]) == (True, None, None)
    assert missed_texts(three) == []
    (session,) = api.get("/sessions?since=2026-11-30&until=2026-12-01").json()["items"]
    body = {"missed": ["MRN-2"], "dry_run": True}
    items = api.post(f"/sessions/{session['id']}/2026-11-30/attendance", body).json()["items"]
    assert {item["patient"]: item["text"] for item in items}["MRN-2"] == "scheduled"
    assert missed_texts(three) == []
    attendance.mark_session(three, "oak-group", DAY, now, who="test", missed=["MRN-2"], text=False)
    assert missed_texts(three) == []


def test_screens_18_leaving_the_text_out_takes_one_back_that_has_not_gone(three):
    now = NOW + timedelta(hours=24)
    attendance.mark(three, "DC-1", "group", DAY, now, what="missed", who="test")
    assert [text.state for text in missed_texts(three)] == ["scheduled"]
    attendance.mark(three, "DC-1", "group", DAY, now, what="missed", who="test", text=False)
    assert [text.state for text in missed_texts(three)] == ["cancelled"]


# Screens 17


def the_page(context, on="2026-11-30"):
    number = context.database.read(lambda tx: tx.value(sa.select(schema.sessions.c.id)))
    return f"/sessions/{number}/{on}"


def test_screens_17_a_marked_group_took_place(three, travel):
    travel(NOW + timedelta(hours=24))
    attendance.mark_session(three, "oak-group", DAY, NOW + timedelta(hours=24), who="test", missed=["MRN-1"])
    ana = Caller(three, role="coordinator")
    page = words(ana.page(the_page(three)))
    assert "took place, 2 came" in page
    assert "not on" not in page
    assert "took place 2 came" in words(ana.page("/sessions?since=2026-11-30"))


def test_screens_17_a_called_off_session_shows_how_many_were_in_it(three, travel):
    travel(NOW)
    changes.change_session(three, "oak-group", DAY, NOW, who="test", to=None)
    api = Program(three, make_key(three, "read"))
    (session,) = api.get("/sessions?since=2026-11-30&until=2026-12-01").json()["items"]
    assert (session["status"], session["patients"], session["came"]) == ("cancelled", 3, 0)
    page = words(Caller(three, role="coordinator").page(the_page(three)))
    assert "called off" in page
    assert "Who is in it 3" in page
