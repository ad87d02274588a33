"""What one site can learn of, or do to, another site's patients by a phone number (SEC-6, SEC-7)."""

import re
from dataclasses import replace

import pytest
import sqlalchemy as sa
from api_caller import Program, make_key
from conftest import NOW
from people import one_off
from test_pages_plans import form
from two_sites import accept, open_north
from web_caller import Caller

from reminders import store
from reminders.service.people import lives
from reminders.store.database import schema

SHARED = {"phone": "202-555-0101"}


def rows(house, table) -> list:
    return house.database.read(lambda tx: tx.all(sa.select(table).order_by(table.c.id)))


@pytest.fixture
def shared(house, travel):
    """MRN-1 of main and MRN-2 of north are texted on one number."""
    travel(NOW)
    places = open_north(house)
    accept(house, 1)
    accept(house, 2, "north", patient=SHARED)
    return house, places


def test_s6_the_log_says_the_same_of_another_sites_number_and_of_no_ones(house, travel):
    travel(NOW)
    open_north(house)
    accept(house, 1)
    browser = Caller(house, role="coordinator", site="north")

    def answer(phone: str) -> tuple[int, str]:
        said = browser.request("POST", "/log", data={"number": phone})
        return said.status_code, re.sub(r"\d+(:\d\d)+", "", said.text.replace(phone, ""))  # but for the clock

    assert answer("202-555-0101") == answer("202-555-0177")


def one_program(house, *, is_one: bool):
    sites = house.settings.sites.model_copy(update={"one_program": is_one})
    return replace(house, settings=house.settings.model_copy(update={"sites": sites}))


@pytest.mark.parametrize("is_one", [False, True])
def test_s6_the_log_knows_another_sites_number_where_they_are_one_program(house, travel, is_one):
    travel(NOW)
    open_north(house)
    accept(house, 1)
    browser = Caller(one_program(house, is_one=is_one), role="coordinator", site="north")
    said = browser.request("POST", "/log", data={"number": "202-555-0101"})
    assert ("No text was ever planned" in said.text) is not is_one


@pytest.mark.parametrize("is_one", [False, True])
def test_s6_what_is_said_of_a_shared_number_counts_other_sites_only_in_one_program(shared, is_one):
    house = one_program(shared[0], is_one=is_one)
    done = lives.mark_wrong(house, lives.Whom("MRN-2", "self", "north"), NOW, who="test")
    assert bool(done.notes) is is_one


@pytest.mark.parametrize("is_one", [False, True])
def test_s6_the_form_of_a_plan_speaks_of_another_sites_number_only_in_one_program(house, travel, is_one):
    travel(NOW)
    open_north(house)
    accept(house, 43)
    phone = "+12025550143"
    house.database.write(
        lambda tx: store.people.mark_number(tx, store.people.keep_number(tx, phone, NOW), opted_out_at=NOW)
    )
    browser = Caller(one_program(house, is_one=is_one), role="coordinator", site="north")
    typed = form(("plan.site", "north"), ("patient.ref", "MRN-77"), ("patient.phone", "202-555-0143"), do="look")
    said = browser.post("/plans/preview", typed).text
    assert "MRN-43" not in said
    notes = ("A patient of another site", "This number has opted out. Nothing goes")
    assert [note in said for note in notes] == [is_one, is_one]  # a text it stops says so all the same


@pytest.mark.parametrize("is_one", [False, True])
def test_s6_the_caps_of_a_shared_number_hold_whatever_the_sites_are(house, travel, is_one):
    travel(NOW)
    open_north(house)
    both = one_program(house, is_one=is_one)
    visit = {"series": [one_off("v", "2026-12-03T15:00:00", leads=["1d@17:00"])]}
    accept(both, 1, **visit)
    accept(both, 2, "north", patient=SHARED, **visit)
    laid = [(row.opens_at, row.state) for row in rows(house, schema.texts)]
    assert len({one for one in laid if one[1] == "scheduled"}) == len(set(laid)) == 2  # one a day, whosever they are


def test_s6_the_api_counts_no_one_of_another_site(shared):
    house, places = shared
    program = Program(house, make_key(house, "read", "write", site="north"))
    (patient,) = (row.id for row in rows(house, schema.patients) if row.site_id == places["north"])
    said = program.post(f"/patients/{patient}/wrong", {"wrong": True})
    assert said.status_code == 200
    assert "others are texted" not in said.text


@pytest.mark.parametrize("what", ["wrong", "opt-out"])
def test_s7_what_one_site_says_of_a_shared_number_is_a_task_and_a_row_at_the_other(shared, what):
    house, places = shared
    whom = lives.Whom("MRN-2", "self", "north")
    if what == "wrong":
        lives.mark_wrong(house, whom, NOW, who="key:north")
    else:
        lives.record_opt_out(house, whom, NOW, how="phone", received_at=NOW, by="self", who="key:north")
    tasks = [row for row in rows(house, schema.tasks) if row.site_id == places["main"]]
    assert [row.kind for row in tasks] == [{"wrong": "wrong_number", "opt-out": "stop_asked"}[what]]
    audit = [row for row in rows(house, schema.audit) if row.row_id == tasks[0].id and row.table == "tasks"]
    assert [(row.site_id, "north" in row.who + row.what) for row in audit] == [(places["main"], False)]
    if what == "wrong":
        lives.mark_wrong(house, whom, NOW, who="key:north", wrong=False)
        assert all(row.closed_at is not None for row in rows(house, schema.tasks) if row.kind == "wrong_number")
