"""What one site can learn of, or do to, another site's patients by a phone number (S6, S7)."""

import pytest
import sqlalchemy as sa
from api_caller import Program, make_key
from conftest import NOW
from two_sites import accept, open_north
from web_caller import Caller

from reminders.service import lives
from reminders.store import schema

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
        return said.status_code, said.text.replace(phone, "")

    assert answer("202-555-0101") == answer("202-555-0177")


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
