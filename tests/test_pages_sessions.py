"""Sessions and attendance: a therapist with fourteen patients is ill today, and an attendance sheet."""

from datetime import date, datetime, timedelta

import pytest
import sqlalchemy as sa
from conftest import NOW, logged, open_context
from people import one_off
from test_web_pages import Page
from two_sites import accept, open_north
from web_caller import Caller

from reminders import clock, queries, store
from reminders.service.planning import attendance, changes
from reminders.service.replies import inbound
from reminders.store.database import schema
from reminders.web.pages import sessions

GROUP = {"kind": "therapy_group", "session": "oak-group", "leads": ["2h"]}
TONIGHT = [one_off("group", "2026-11-30T18:00:00", **GROUP)]
LONG_AGO = NOW - timedelta(days=3)
EARLY = {"on": "2026-11-20"}


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    """A house on SQLite at NOW."""
    path = tmp_path / "here.db"
    path.write_bytes(sqlite_template.read_bytes())
    opened = open_context(f"sqlite:///{path}", tmp_path)
    inbound.warm_up()
    yield opened
    opened.close()


def group(context, many=3, **more):
    """That many patients in tonight's group, entered three days ago; the last has not agreed to texts."""
    for number in range(1, many + 1):
        consent = EARLY | {"said": "no" if number == many else "yes"}
        accept(context, number, now=LONG_AGO, series=TONIGHT, consent=consent, **more)


def the_page(context, on="2026-11-30", key="oak-group"):
    number = context.database.read(
        lambda tx: tx.value(sa.select(schema.sessions.c.id).where(schema.sessions.c.key == key))
    )
    return f"/sessions/{number}/{on}"


def said(answer):
    (words,) = Page(answer).said("main")
    return words


def test_a_therapist_is_ill_today_with_fourteen_patients(here):
    group(here, 14)
    caller = Caller(here, role="coordinator")
    links = [one["href"] for one in Page(caller.page("/sessions")).all("a")]
    path = the_page(here)
    assert path in links
    assert "Who is in it 14" in said(caller.page(path))

    before = logged(here)
    preview = said(caller.request("POST", f"{path}/preview", data={"what": "off"}))
    assert "Call it off for everyone?" in preview
    assert "13 told by a text 1 must be phoned 13 texts added 0 texts moved 13 texts taken back" in preview
    assert "Jordan Alvarez 202-555-0114 there is no consent in force" in preview
    assert logged(here) == before
    assert queries.tasks.list_tasks(here.database, kind="tell_change") == []

    done = caller.request("POST", f"{path}/change", data={"what": "off"})
    assert done.headers["location"] == f"{path}?done=off"
    live = said(caller.page(f"{path}?done=off"))
    assert live.count("A text is on its way") == 13
    assert live.count("Must be phoned") == 1
    assert "0 of 14 know by a delivered text. 1 must be phoned." in live
    (call,) = queries.tasks.list_tasks(here.database, kind="tell_change")
    assert f"/inbox/{call.id}" in caller.page(path).text

    caller.request("POST", f"/inbox/{call.id}/close", data={"outcome": "reached"})
    assert "Phoned" in said(caller.page(path))
    assert "Must be phoned" not in said(caller.page(path))


def test_what_the_preview_says_is_what_then_is(context):
    group(context)
    to = datetime(2026, 12, 1, 10, 0)
    texts, told = changes.try_session(context, "oak-group", date(2026, 11, 30), clock.now(), to=to)
    assert changes.session_story(context, "oak-group", date(2026, 11, 30), clock.now())[0].told == changes.NOT_TOLD
    assert changes.change_session(context, "oak-group", date(2026, 11, 30), clock.now(), who="x", to=to) == texts
    became = changes.session_story(context, "oak-group", date(2026, 11, 30), clock.now())
    assert [(one.patient, one.told, one.wall, one.goes_at is None) for one in became] == [
        (one.patient, one.told, one.wall, one.goes_at is None) for one in told
    ]
    assert changes.try_session(context, "nobody", date(2026, 11, 30), clock.now(), to=to) is None


def test_it_moves_with_everybody_and_comes_back_until_a_text_went(here):
    group(here)
    caller, path = Caller(here, role="coordinator"), the_page(here)
    form = {"what": "move", "to_on": "2026-12-02", "to_at": "10:30"}
    assert "Move it to Wednesday, December 2, 10:30 am?" in said(caller.request("POST", f"{path}/preview", data=form))
    moved = caller.request("POST", f"{path}/change", data=form).headers["location"]
    assert moved == f"{the_page(here, '2026-12-02')}?done=moved"
    assert "Wed, Dec 2, 10:30 am" in said(caller.page(moved))
    undone = caller.request("POST", f"{the_page(here, '2026-12-02')}/undo").headers["location"]
    assert undone == f"{path}?done=undone"
    assert "Mon, Nov 30, 6:00 pm" in said(caller.page(undone))

    caller.request("POST", f"{path}/change", data={"what": "off"})
    here.database.write(spoken)
    assert "It cannot be taken back: a text about the change has gone" in said(caller.page(path))
    refused = caller.request("POST", f"{path}/undo")
    assert refused.status_code == 422
    assert "Not taken back: a text about the change has gone" in refused.text


def spoken(tx):
    """A notice has gone."""
    text = tx.first(
        sa.select(schema.texts).where(schema.texts.c["class"] == "notice", schema.texts.c.state == "scheduled")
    )
    tx.run(
        schema.attempts.insert(),
        {
            "id": text.id,
            "text_id": text.id,
            "number": 1,
            "ref": "r",
            "sender_id": text.sender_id,
            "number_id": text.number_id,
            "started_at": clock.now() + timedelta(seconds=5),
            "template": "called_off",
            "language": "en",
            "body_sealed": b"",
            "segments": 1,
            "encoding": "GSM-7",
        },
    )


@pytest.mark.parametrize(
    ("form", "field", "problem"),
    [
        ({}, "what", "Choose whether to move it or to call it off"),
        ({"what": "move", "to_at": "10:00"}, "to_on", "Enter the new date"),
        ({"what": "move", "to_on": "2026-12-02", "to_at": "late"}, "to_at", "Enter the new time"),
        ({"what": "move", "to_on": "2026-11-29", "to_at": "10:00"}, "to_on", "Not possible: that time has passed"),
    ],
)
def test_what_cannot_be_done_says_why_at_its_field(here, form, field, problem):
    group(here)
    caller = Caller(here, role="coordinator")
    for verb in ("preview", "change"):
        answer = caller.request("POST", f"{the_page(here)}/{verb}", data=form)
        assert answer.status_code == 422
        assert problem.replace("Not possible", "Not done" if verb == "change" else "Not possible") in answer.text
        assert f'href="#{field}"' in answer.text
    assert changes.session_story(here, "oak-group", date(2026, 11, 30), clock.now())[0].status == "booked"


def test_one_that_has_begun_is_marked_instead(here, travel):
    group(here)
    travel(NOW + timedelta(hours=9))
    caller = Caller(here, role="coordinator")
    assert "It has begun. Say who came" in said(caller.page(the_page(here)))
    answer = caller.request("POST", f"{the_page(here)}/change", data={"what": "off"})
    assert "Not done: it has begun already" in answer.text


def test_names_and_numbers_are_for_those_who_look_after_people(here):
    group(here)
    Caller(here, role="coordinator").request("POST", f"{the_page(here)}/change", data={"what": "off"})
    words = Caller(here, role="ops").page(the_page(here)).text
    assert "MRN-1" in words
    assert "Jordan" not in words
    assert "555-0103" not in words
    assert "Take the change back" not in words
    for verb in ("preview", "change", "undo"):
        assert Caller(here, role="ops").request("POST", f"{the_page(here)}/{verb}").status_code == 403


def test_another_sites_session_and_a_date_of_none_do_not_exist(here):
    open_north(here)
    group(here)
    path = the_page(here)
    caller = Caller(here, role="coordinator", site="north")
    assert path not in caller.page("/sessions").text
    assert caller.page(path).status_code == 404
    assert caller.request("POST", f"{path}/change", data={"what": "off"}).status_code == 404
    for number in ("1", str(2**63 - 1)):
        assert caller.request("POST", "/attendance", data={f"visit-{number}": "attended"}).status_code == 303
    assert caller.request("POST", "/attendance", data={f"visit-{2**63}": "attended"}).status_code == 422
    everywhere = Caller(here, role="coordinator")
    for wrong in (
        the_page(here, "2026-12-01"),
        the_page(here, "soon"),
        "/sessions/1/2026-11-30",
        f"/sessions/{2**70}/2026-11-30",
    ):
        assert everywhere.page(wrong).status_code == 404


def test_no_sessions_says_how_one_comes_to_be(here):
    assert "No sessions from 30 November to 14 December 2026" in said(Caller(here, role="ops").page("/sessions"))
    assert Caller(here, role="ops").page("/sessions?since=nonsense").status_code == 200
    group(here)
    earlier = said(Caller(here, role="ops").page("/sessions?since=2026-10-01"))
    assert "No sessions from 1 October" in earlier


def test_each_word_of_the_story_has_words_for_people():
    assert {changes.DELIVERED, changes.ON_ITS_WAY, changes.NO_ANSWER, changes.TO_PHONE, changes.NOT_TOLD} == set(
        sessions.TOLD
    )


# Who came


def sheet(context):
    """The visits on the sheet, by patient: their ids."""
    rows = context.database.read(
        lambda tx: queries.visits.list_visits(
            tx, [store.people.site_by_key(tx, "main").id], NOW - timedelta(days=8), clock.now(), unmarked=True
        )
    )
    return {row.patient: row.id for row in rows}


def test_all_came_but_those_who_are_named_and_it_can_be_taken_back(here, travel):
    group(here)
    travel(NOW + timedelta(hours=10))
    caller, visits = Caller(here, role="clinician"), sheet(here)
    shown = Page(caller.page("/attendance"))
    ticked = [one for one in shown.all("input") if "checked" in one]
    assert {(one["name"], one["value"]) for one in ticked} == {(f"visit-{n}", "attended") for n in visits.values()}
    form = {one["name"]: one["value"] for one in ticked} | {f"visit-{visits['MRN-2']}": "missed"}
    asked = caller.request("POST", "/attendance", data=form)
    sure = {one["name"]: one["value"] for one in Page(asked).all("input")}
    assert sure == form | {"sure": "yes", f"text-{visits['MRN-2']}": "yes"}
    assert caller.request("POST", "/attendance", data=sure).headers["location"] == "/attendance?done=texted"
    assert sheet(here) == {}
    after = caller.page("/attendance?done=marked")
    assert "Every visit of the last seven days is marked" in said(after)
    assert "MRN-2 missed it" in said(after)
    assert [text.wording for text in logged(here) if text.class_ == "notice"] == ["missed"]

    hidden = {one["name"]: one["value"] for one in Page(after).all("input") if one.get("value") == "unmark"}
    assert caller.request("POST", "/attendance", data=hidden).headers["location"] == "/attendance?done=undone"
    assert sheet(here) == visits
    assert [text.state for text in logged(here) if text.wording == "missed"] == ["cancelled"]


def test_visits_that_nobody_shares_are_marked_one_by_one(here, travel):
    accept(here, 1, now=LONG_AGO, series=[one_off("visit", "2026-11-30T11:00:00")], consent=EARLY)
    accept(here, 2, now=LONG_AGO, series=[one_off("visit", "2026-11-30T12:00:00")], consent=EARLY)
    travel(NOW + timedelta(hours=4))
    caller, visits = Caller(here, role="coordinator"), sheet(here)
    shown = Page(caller.page("/attendance"))
    assert "Individual visits, Monday, November 30" in shown.said("h2")
    assert {one["value"] for one in shown.all("input") if "checked" in one} == {""}
    assert caller.request("POST", "/attendance", data={"sitting": "sitting-1"}).status_code == 422
    caller.request("POST", "/attendance", data={f"visit-{visits['MRN-1']}": "late", f"visit-{visits['MRN-2']}": ""})
    assert sheet(here) == {"MRN-2": visits["MRN-2"]}


def test_later_today_stands_on_the_sheet_and_is_not_to_be_marked_yet(here):
    group(here)
    caller = Caller(here, role="coordinator")
    shown = Page(caller.page("/attendance"))
    assert "Later today" in shown.said("h2")
    assert [one for one in shown.all("input") if one.get("name", "").startswith("visit-")] == []
    visit = here.database.read(lambda tx: tx.value(sa.select(sa.func.min(schema.appointments.c.id))))
    answer = caller.request("POST", "/attendance", data={f"visit-{visit}": "attended"})
    assert answer.status_code == 422
    assert "Nothing was marked: it has not begun yet" in answer.text


def test_who_may_not_plan_sees_the_sheet_without_its_buttons(here, travel):
    group(here)
    travel(NOW + timedelta(hours=10))
    for role, name in (("read_only", True), ("ops", False)):
        caller = Caller(here, role=role)
        answer = caller.page("/attendance")
        assert ("Jordan" in answer.text) is name
        assert "Mark all" not in answer.text
        assert caller.request("POST", "/attendance", data={"visit-1": "attended"}).status_code == 403


def test_marks_of_all_or_of_none(context, travel):
    ids = open_north(context)
    group(context, 2)
    accept(context, 9, "north", now=LONG_AGO, series=TONIGHT, consent=EARLY)
    visits = context.database.read(
        lambda tx: queries.visits.list_visits(tx, ids.values(), NOW, NOW + timedelta(days=1))
    )
    marks = {one.id: attendance.ATTENDED for one in visits}
    with pytest.raises(ValueError, match="has not begun"):
        attendance.mark_these(context, marks, NOW, who="x", sites=ids.values())
    later = NOW + timedelta(hours=10)
    changes.change_visit(context, "DC-2", "group", None, NOW, who="x", to=None)
    with pytest.raises(ValueError, match="called off"):
        attendance.mark_these(context, marks, later, who="x", sites=ids.values())
    marked = attendance.mark_these(context, marks, later, who="x", sites=[ids["north"]])
    assert [one.patient for one in marked] == ["MRN-9"]


def test_reading_names_is_on_record(here):
    group(here)
    Caller(here, role="coordinator").page("/attendance")
    Caller(here, role="coordinator").page(the_page(here))
    Caller(here, role="ops").page("/attendance")
    whats = here.database.read(
        lambda tx: tx.all(sa.select(schema.audit.c.what).where(schema.audit.c.who.like("staff:%")))
    )
    reads = [row.what for row in whats if row.what.endswith("read")]
    assert reads == ["attendance read", "session read", "attendance read"]  # references are someone too
