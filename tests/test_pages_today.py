"""The day's board: its sections, its numbers, which are the log's, who sees whom, and a silent sender."""

import re
import time
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
import sqlalchemy as sa
from conftest import NOW, logged, open_context
from people import one_off
from test_web_pages import Page
from two_sites import accept, hear, open_north
from web_caller import Caller

from reminders import clock, queries, store, task_kinds
from reminders.lifecycle import State
from reminders.queries import delivery_log, today
from reminders.service.operations import runs
from reminders.service.replies import inbound
from reminders.service.sending import backlog
from reminders.store.database import schema
from reminders.web.pages import today as page

SOON = [one_off("visit", "2026-11-30T12:00:00", leads=["90m"])]
TONIGHT = [one_off("visit", "2026-11-30T18:00:00", leads=["2h"])]
CRISIS = "I can't go on, I don't want to live any more"


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    """A house on SQLite at NOW, for what does not depend on the database."""
    path = tmp_path / "here.db"
    path.write_bytes(sqlite_template.read_bytes())
    opened = open_context(f"sqlite:///{path}", tmp_path)
    inbound.warm_up()
    yield opened
    opened.close()


def at(context, key="main"):
    return context.database.read(lambda tx: store.people.site_by_key(tx, key)).id


def states(context, **values):
    """Set the states of the texts of the house, the newest first."""
    context.database.write(lambda tx: tx.run(schema.texts.update().values(**values)))


def audited(context, what):
    query = sa.select(sa.func.count()).select_from(schema.audit).where(schema.audit.c.what == what)
    return context.database.read(lambda tx: tx.value(query))


# What it asks the database


def test_what_goes_out_is_in_order_of_its_time_and_ends_at_midnight(context):
    accept(context, 1, series=TONIGHT)
    accept(context, 2, series=SOON)
    accept(context, 3, series=[one_off("visit", "2026-12-01T12:00:00", leads=["90m"])])
    sites = [at(context)]
    until = today.day_of(NOW.date(), "America/New_York")[1]
    found = context.database.read(lambda tx: today.going_out(tx, sites, until, names=sites))
    assert [one.patient for one in found] == ["MRN-2", "MRN-1"]
    assert [(one.kind, one.place, one.of, one.name) for one in found] == [
        ("therapy_individual", 1, 1, "Jordan Alvarez")
    ] * 2
    assert context.database.read(lambda tx: today.going_out(tx, [], until)) == []
    after = context.database.read(lambda tx: today.next_text(tx, sites, names=sites))
    assert after.patient == "MRN-2"


def test_marked_ready_and_on_the_wire_it_still_goes_out(context):
    accept(context, 1, series=SOON)
    sites, until = [at(context)], NOW + timedelta(hours=12)
    context.database.write(lambda tx: store.queue.mark_ready(tx, NOW + timedelta(hours=1)))
    (ready,) = context.database.read(lambda tx: today.going_out(tx, sites, until))
    assert ready.state == "scheduled"
    states(context, state="sending", leased_until=NOW, ready=False)
    (flying,) = context.database.read(lambda tx: today.going_out(tx, sites, until))
    assert (flying.state, flying.name) == ("sending", None)


def test_held_texts_are_found_by_their_reason_and_at_their_site(context):
    ids = open_north(context)
    accept(context, 1, series=SOON)
    accept(context, 2, "north", series=TONIGHT)
    states(context, held="backlog")
    for place, ref in (("main", "MRN-1"), ("north", "MRN-2")):
        (one,) = context.database.read(lambda tx, place=place: today.held(tx, [ids[place]]))
        assert (one.patient, one.held) == (ref, "backlog")
    assert context.database.read(lambda tx: today.held_by_reason(tx, ids.values())) == {"backlog": 2}
    states(context, state="expired")
    assert context.database.read(lambda tx: today.held(tx, ids.values())) == []


def test_which_of_several_reminders_it_is(context):
    accept(context, 1, series=[one_off("visit", "2026-12-03T15:00:00", leads=["3d@17:00", "1d@17:00", "2h"])])
    sites = [at(context)]
    found = context.database.read(lambda tx: today.going_out(tx, sites, NOW + timedelta(days=9)))
    assert [(one.place, one.of) for one in found] == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("state", [state.value for state in State])
def test_each_number_of_the_day_is_what_the_log_lists(here, state):
    ids = open_north(here)
    for number in range(1, 4):
        accept(here, number, series=SOON)
    accept(here, 4, "north", series=SOON)
    accept(here, 5, series=[one_off("visit", "2026-12-02T12:00:00", leads=["90m"])])
    values = {"state": state, "ready": False, "leased_until": NOW if state == "sending" else None}
    states(here, **values | {"reason": "paused" if state == "suppressed" else None})
    for sites in (frozenset({ids["main"]}), frozenset(ids.values())):
        board = today.board(here.database, here.settings.site.zone, sites, sites, NOW, who="test")
        fields = dict(parse_qsl(urlsplit(page.in_the_log(board, state)).query))

        def listed_there(tx, fields=fields, sites=sites):
            asked = delivery_log.ask(here, tx, fields, NOW, sites=sites)
            assert asked.problems == {}
            return queries.texts.log(tx, replace(asked.wanted, limit=1000))

        listed = here.database.read(listed_there)
        assert board.states == {state: len(listed)}
        assert len(listed) == (3 if len(sites) == 1 else 4)


# The page


def test_an_empty_board_says_what_comes_next(here):
    caller = Caller(here, role="coordinator")
    shown = Page(caller.page("/"))
    (words,) = shown.said("main")
    assert "Nothing urgent." in words
    assert "Nothing is due today." in words
    assert "Make a plan" in words
    accept(here, 1, series=[one_off("visit", "2026-12-03T15:00:00", leads=["1d@17:00"])])
    (words,) = Page(caller.page("/")).said("main")
    assert "Next text: Wed, Dec 2, 5:00 pm to Jordan A." in words


def test_the_sections_stand_in_order_of_urgency(here):
    accept(here, 1, series=SOON)
    accept(here, 2, series=TONIGHT)
    accept(here, 3, series=[one_off("first", "2026-11-30T10:30:00", leads=["2h"])])
    hear(here, CRISIS, 1)
    hear(here, "is there parking", 2, "SM2")
    runs._watch(here, clock.now())
    states(here, held=None)
    here.database.write(
        lambda tx: tx.run(schema.texts.update().where(schema.texts.c.key.like("%90m")).values(held="crisis"))
    )
    shown = Page(Caller(here, role="coordinator").page("/"))
    heads = [re.split(r" \d", head)[0] for head in shown.said("h2")]
    assert heads == [
        "Urgent",
        "Held texts",
        "Visits without a reminder",
        "Needs a person",
        "Going out today",
        "Done today",
    ]
    (words,) = shown.said("main")
    assert "I can't go on" in words
    assert "No one has taken it" in words
    assert "Its moment had passed already" in words
    assert "is there parking" in words
    assert shown.by_id("board")["data-refresh"] == "10"
    assert [one for one in shown.all("button") if "data-pause" in one]
    assert "Jordan" not in shown.said("title")[0]
    assert all("202555" not in (one.get("href") or "") for one in shown.all("a"))


def test_whoever_may_not_see_people_sees_references(here):
    accept(here, 1, series=SOON)
    hear(here, CRISIS, 1)
    said = Caller(here, role="ops").page("/").text
    assert "MRN-1" in said
    assert "Jordan" not in said
    assert "go on" not in said
    assert "Take it" not in said


def test_another_sites_day_does_not_exist(here):
    open_north(here)
    accept(here, 1, series=SOON)
    accept(here, 2, "north", series=SOON)
    hear(here, CRISIS, 2)
    said = Caller(here, role="coordinator", site="main").page("/").text
    assert "/patients/" in said
    assert "MRN-2" not in said


def test_reading_the_board_is_on_record_once_and_not_each_ten_seconds(here, travel):
    accept(here, 1, series=SOON)
    caller = Caller(here, role="coordinator")
    for refresh in ({}, {"x-refresh": "1"}, {"x-refresh": "1"}):
        caller.request("GET", "/", headers={"accept": "text/html"} | refresh)
    assert audited(here, today.READ) == 1
    caller.page("/")
    assert audited(here, today.READ) == 2
    travel(clock.now() + store.audit_log.SAME_READING)
    caller.request("GET", "/", headers={"x-refresh": "1"})
    assert audited(here, today.READ) == 3
    Caller(here, role="ops").page("/")
    assert audited(here, today.READ) == 4  # references are someone too


def test_a_sender_that_is_silent_is_a_red_bar(here, travel):
    caller = Caller(here, role="coordinator")
    assert "The sender has not checked in yet." in caller.page("/").text
    runs.succeeded(here, "send")
    assert "No texts are going out" not in caller.page("/").text
    travel(clock.now() + timedelta(minutes=14))
    bar = Page(caller.page("/"))
    assert any("The sender last checked in 14 min ago (10:00 am). See what to do" in said for said in bar.said("p"))
    assert bar.by_id("sender")["data-refresh"] == "10"


def test_each_number_of_the_day_leads_into_the_log(here):
    accept(here, 1, series=SOON)
    states(here, state="delivered")
    links = [one["href"] for one in Page(Caller(here, role="ops").page("/")).all("a")]
    assert "/log?state=delivered&since=2026-11-30&until=2026-12-01" in links


def test_not_delivered_is_a_share_of_what_is_known(here):
    for number in range(1, 5):
        accept(here, number, series=SOON)
    states(here, state="delivered")
    here.database.write(
        lambda tx: tx.run(
            schema.texts.update()
            .where(schema.texts.c.id == sa.select(sa.func.min(schema.texts.c.id)).scalar_subquery())
            .values(state="undelivered")
        )
    )
    (words,) = Page(Caller(here, role="ops").page("/")).said("main")
    assert "3 delivered" in words
    assert "1 not delivered \N{EN DASH} 25.0 %" in words


def test_a_board_of_two_thousand_texts_is_quick(here):
    accept(here, 1, series=SOON)
    hear(here, "is there parking", 1)

    def many(tx):
        row = tx.first(sa.select(schema.texts).where(schema.texts.c["class"] == "reminder"))._mapping
        task = tx.first(sa.select(schema.tasks))._mapping
        item = tx.first(sa.select(schema.text_items))
        rows = [
            dict(row) | {"id": row["id"] + 100_000 + n, "key": f"day:2026-11-30:{n + 100}m"} for n in range(1, 2000)
        ]
        tx.run_many(schema.texts.insert(), rows)
        about = [{"text_id": one["id"], "appointment_id": item.appointment_id} for one in rows]
        tx.run_many(schema.text_items.insert(), about)
        more = [{name: task[name] for name in task if name != "id"} | {"key": f"more:{n}"} for n in range(200)]
        tx.run_many(schema.tasks.insert(), more)

    here.database.write(many)
    caller = Caller(here, role="coordinator")
    caller.page("/")
    took = []
    for _ in range(3):
        began = time.process_time()
        answer = caller.page("/")
        took.append(time.process_time() - began)
    assert answer.status_code == 200
    assert answer.text.count("See all") == 2
    assert answer.text.count('<a href="/texts/') == 200
    assert min(took) < 0.2  # of the processor's time, which a busy machine does not stretch


# Held texts


def test_what_piled_up_is_let_go_or_dropped_by_who_may_decide_for_all(here):
    for number in (1, 2):
        accept(here, number, series=SOON)
    states(here, held="backlog")
    admin = Caller(here, role="admin")
    assert "Decide about the 2 held since an outage" in admin.page("/").text
    (words,) = Page(admin.page("/held/backlog")).said("main")
    assert "2 texts are held since an outage" in words
    assert "Drop all 2" in words
    assert admin.request("POST", "/held/backlog", data={"do": "perhaps"}).status_code == 404
    assert backlog.held(here).texts == 2
    answer = admin.request("POST", "/held/backlog", data={"do": "release"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?done=released")
    assert backlog.held(here).texts == 0
    assert [text.held for text in logged(here)] == [None, None]
    assert "Nothing is held" in admin.page("/held/backlog").text
    assert "goes on its way" in admin.page("/?done=released").text


def test_dropped_texts_came_too_late(here):
    accept(here, 1, series=SOON)
    states(here, held="backlog")
    Caller(here, role="ops").request("POST", "/held/backlog", data={"do": "drop"})
    assert [text.state for text in logged(here)] == ["expired"]


@pytest.mark.parametrize(
    ("role", "site", "status"), [("coordinator", None, 403), ("ops", "main", 404), ("ops", None, 200)]
)
def test_only_who_runs_every_site_decides_for_every_site(here, role, site, status):
    open_north(here)
    caller = Caller(here, role=role, site=site)
    assert caller.page("/held/backlog").status_code == status
    assert caller.page("/held/elsewhere").status_code in {403, 404}


def test_a_held_text_is_let_go_from_the_board(here):
    accept(here, 1, series=SOON)
    hear(here, CRISIS, 1)
    text = next(one for one in logged(here) if one.class_ == "reminder")
    states(here, held=None)
    here.database.write(
        lambda tx: (
            tx.run(schema.texts.update().where(schema.texts.c.id == text.text).values(held="crisis")),
            store.tasks.open_task(
                tx,
                task_kinds.HELD_TEXT,
                site_id=at(here),
                zone="UTC",
                now=clock.now(),
                until=clock.now(),
                text_id=text.text,
            ),
        )
    )
    caller = Caller(here, role="clinician")
    action = re.search(r'href="(/inbox/\d+/let-go)"', caller.page("/").text)[1]
    assert "Keep it held" in caller.page(action).text
    answer = caller.request("POST", action)
    assert "?done=" in answer.headers["location"]
    assert next(one for one in logged(here) if one.text == text.text).held is None
    assert len(queries.tasks.list_tasks(here.database, kind="held_text")) == 1, "open until the text is handed over"


def test_what_the_page_says_for_each_word_is_known():
    assert {"taken", "gone", "released", "dropped"} <= page.DONE.keys()
