"""SEC-16: an address names no person. A typed value leads to the id of a row; old links do too, or find nothing."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from conftest import NOW
from two_sites import accept, open_north
from web_caller import Caller

from reminders.store.database import schema

MINE = {"headers": {"Sec-Fetch-Site": "same-origin"}}


@pytest.fixture
def two(context, travel):
    travel(NOW)
    open_north(context)
    accept(context, 1)
    accept(context, 2)
    accept(context, 3, "north")
    return context


def id_of(context, table, ref: str) -> int:
    return context.database.read(lambda tx: tx.value(sa.select(table.c.id).where(table.c.ref == ref)))


def plain(answer) -> str:
    """A page without the seconds left in the session, which may change between two requests."""
    return re.sub(r'data-ends="\d+"', "", answer.text)


@pytest.mark.parametrize(
    ("page", "field", "ref"),
    [("/log", "patient", "MRN-1"), ("/log", "plan", "DC-1"), ("/audit", "patient", "MRN-1")],
)
def test_s16_a_reference_that_is_looked_for_stands_in_no_address(two, page, field, ref):
    browser = Caller(two, role="admin", site="main")
    table = schema.plans if field == "plan" else schema.patients
    wanted = {f"{field}_id": [str(id_of(two, table, ref))]}
    asked = {field: ref} | ({"when": "any"} if page == "/log" else {})
    typed = browser.request("POST", page, data=asked, **MINE)
    old = browser.page(f"{page}?{field}={ref}")
    for answer in (typed, old):
        assert answer.status_code == 303
        assert ref not in answer.headers["location"]
        assert wanted.items() <= parse_qs(urlsplit(answer.headers["location"]).query).items()
    shown = browser.page(typed.headers["location"])
    assert shown.status_code == 200
    assert ref in shown.text
    assert "MRN-2" not in shown.text
    taken_out = browser.get(f"{'/audit.csv' if page == '/audit' else '/log/export/csv'}?{field}={ref}")
    assert taken_out.status_code == 303
    assert ref not in taken_out.headers["location"]
    taken_out = browser.get(taken_out.headers["location"])
    assert ref in taken_out.text
    assert "MRN-2" not in taken_out.text


@pytest.mark.parametrize(("page", "field"), [("/log", "patient"), ("/log", "plan"), ("/audit", "patient")])
def test_s16_an_old_link_to_no_one_and_to_another_sites_patient_says_not_found(two, page, field):
    browser = Caller(two, role="admin", site="main")
    table, ref = (schema.plans, "DC-north-3") if field == "plan" else (schema.patients, "MRN-3")
    theirs, no_ones = id_of(two, table, ref), 7_000_000_000_000_000_001
    for one, other in ((f"{field}={ref}", f"{field}=NO-ONE"), (f"{field}_id={theirs}", f"{field}_id={no_ones}")):
        said = [browser.page(f"{page}?{query}") for query in (one, other)]
        assert [answer.status_code for answer in said] == [404, 404]
        assert plain(said[0]).replace(ref, "NO-ONE") == plain(said[1])
    posted = [browser.request("POST", page, data={field: typed}, **MINE) for typed in (ref, "NO-ONE")]
    assert posted[0].status_code == posted[1].status_code >= 400
    assert plain(posted[0]).replace(ref, "NO-ONE") == plain(posted[1])
