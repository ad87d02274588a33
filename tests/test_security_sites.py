"""What one site can learn about, or do to, another site's patients through a phone number (SEC-6, SEC-7)."""

import re
from dataclasses import replace

import pytest
import sqlalchemy as sa
from api_caller import Program, make_key
from conftest import NOW
from people import one_off, raw
from test_pages_plans import form
from two_sites import accept, open_north
from web_caller import Caller

from reminders import plans, store
from reminders.service import planning
from reminders.service.people import consents, phone_numbers, reader_case
from reminders.store.database import schema

SHARED = {"phone": "202-555-0101"}


def rows(context, table) -> list:
    return context.database.read(lambda tx: tx.all(sa.select(table).order_by(table.c.id)))


@pytest.fixture
def shared(context, travel):
    """MRN-1 of main and MRN-2 of north are texted on one number."""
    travel(NOW)
    places = open_north(context)
    accept(context, 1)
    accept(context, 2, "north", patient=SHARED)
    return context, places


def _without_clock(page: str) -> str:
    return re.sub(r"\d+(:\d\d)+|data-ends=\"\d+\"", "", page)


def test_s6_the_log_says_the_same_of_another_sites_number_and_of_no_ones(context, travel):
    travel(NOW)
    open_north(context)
    accept(context, 1)
    browser = Caller(context, role="coordinator", site="north")

    def answer(phone: str) -> tuple[int, str]:
        said = browser.request("POST", "/log", data={"number": phone})
        return said.status_code, _without_clock(said.text.replace(phone, ""))

    assert answer("202-555-0101") == answer("202-555-0177")


def one_program(context, *, is_one: bool):
    sites = context.settings.sites.model_copy(update={"one_program": is_one})
    return replace(context, settings=context.settings.model_copy(update={"sites": sites}))


@pytest.mark.parametrize("is_one", [False, True])
def test_s6_the_log_knows_another_sites_number_where_they_are_one_program(context, travel, is_one):
    travel(NOW)
    open_north(context)
    accept(context, 1)
    browser = Caller(one_program(context, is_one=is_one), role="coordinator", site="north")
    said = browser.request("POST", "/log", data={"number": "202-555-0101"})
    assert ("No text was ever planned" in said.text) is not is_one


@pytest.mark.parametrize("is_one", [False, True])
def test_s6_what_is_said_of_a_shared_number_counts_other_sites_only_in_one_program(shared, is_one):
    context = one_program(shared[0], is_one=is_one)
    done = phone_numbers.mark_wrong(context, reader_case.Whom("MRN-2", "self", "north"), NOW, who="test")
    assert bool(done.notes) is is_one


@pytest.mark.parametrize("is_one", [False, True])
def test_s6_the_form_of_a_plan_speaks_of_another_sites_number_only_in_one_program(context, travel, is_one):
    travel(NOW)
    open_north(context)
    accept(context, 43)
    phone = "+12025550143"
    context.database.write(
        lambda tx: store.people.mark_number(tx, store.people.keep_number(tx, phone, NOW), opted_out_at=NOW)
    )
    browser = Caller(one_program(context, is_one=is_one), role="coordinator", site="north")
    typed = form(("plan.site", "north"), ("patient.ref", "MRN-77"), ("patient.phone", "202-555-0143"), do="look")
    said = browser.post("/plans/preview", typed).text
    assert "MRN-43" not in said
    notes = ("A patient of another site", "This number has opted out. Nothing goes")
    assert [note in said for note in notes] == [is_one, is_one]  # a text that it stops still says so


@pytest.mark.parametrize("is_one", [False, True])
def test_s6_the_caps_of_a_shared_number_hold_whatever_the_sites_are(context, travel, is_one):
    travel(NOW)
    open_north(context)
    both = one_program(context, is_one=is_one)
    visit = {"series": [one_off("v", "2026-12-03T15:00:00", leads=["1d@17:00"])]}
    accept(both, 1, **visit)
    accept(both, 2, "north", patient=SHARED, **visit)
    laid = [(row.opens_at, row.state) for row in rows(context, schema.texts)]
    assert len({one for one in laid if one[1] == "scheduled"}) == len(set(laid)) == 2  # one a day, whosever they are


def test_s6_the_api_counts_no_one_of_another_site(shared):
    context, places = shared
    program = Program(context, make_key(context, "read", "write", site="north"))
    (patient,) = (row.id for row in rows(context, schema.patients) if row.site_id == places["north"])
    said = program.post(f"/patients/{patient}/wrong", {"wrong": True})
    assert said.status_code == 200
    assert "others are texted" not in said.text


@pytest.mark.parametrize("what", ["wrong", "opt-out"])
def test_s7_what_one_site_says_of_a_shared_number_is_a_task_and_a_row_at_the_other(shared, what):
    context, places = shared
    whom = reader_case.Whom("MRN-2", "self", "north")
    if what == "wrong":
        phone_numbers.mark_wrong(context, whom, NOW, who="key:north")
    else:
        consents.record_opt_out(context, whom, NOW, how="phone", received_at=NOW, by="self", who="key:north")
    tasks = [row for row in rows(context, schema.tasks) if row.site_id == places["main"]]
    assert [row.kind for row in tasks] == [{"wrong": "wrong_number", "opt-out": "stop_asked"}[what]]
    audit = [row for row in rows(context, schema.audit) if row.row_id == tasks[0].id and row.table == "tasks"]
    assert [(row.site_id, "north" in row.who + row.what) for row in audit] == [(places["main"], False)]
    if what == "wrong":
        phone_numbers.mark_wrong(context, whom, NOW, who="key:north", wrong=False)
        assert all(row.closed_at is not None for row in rows(context, schema.tasks) if row.kind == "wrong_number")


def _document(phone: str, *also: str) -> dict:
    """A plan of north whose two visits are on the days of MRN-43's, with supporters on these numbers as well."""
    visits = [one_off(f"v{day}", f"2026-12-0{day}T15:00:00", leads=["1d@17:00"]) for day in (3, 4)]
    others = [
        {"key": f"aunt{n}", "role": "supporter", "phone": one, "language": "en", "consent": raw()["consent"]}
        | {"part2_consent_on": "2026-11-20"}
        for n, one in enumerate(also)
    ]
    return raw(
        plan={"ref": "DC-N", "site": "north"},
        patient={"ref": "MRN-N", "phone": phone},
        recipients=others,
        series=[visit | {"for": ["self", *(one["key"] for one in others)]} for visit in visits],
    )


def _made(context, values: dict) -> None:
    """MRN-43 of main has a text on each of the days, and this is the state of their number."""
    accept(context, 43, series=[one_off(f"m{day}", f"2026-12-0{day}T14:00:00", leads=["1d@17:00"]) for day in (3, 4)])
    (number,) = (row.number_id for row in rows(context, schema.recipients))
    if values:
        context.database.write(lambda tx: store.people.mark_number(tx, number, **values))


@pytest.mark.parametrize(
    ("values", "is_one"), [({}, False), ({"opted_out_at": NOW}, False), ({"bad_since": NOW}, False), ({}, True)]
)
def test_s6_the_preview_of_another_sites_number_is_that_of_no_ones(context, travel, values, is_one):
    travel(NOW)
    open_north(context)
    _made(context, values)
    before = [rows(context, table) for table in (schema.numbers, schema.recipients, schema.texts)]
    program = Program(one_program(context, is_one=is_one), make_key(context, "read", "write", site="north"))
    said = [program.post("/preview", _document(phone)).json() for phone in ("202-555-0143", "202-555-0177")]
    assert any(one["goes"] for one in said[1]["items"])
    assert (said[0] == said[1]) is not is_one
    said = [
        program.post("/preview", _document("202-555-0178", phone)).json() for phone in ("202-555-0143", "202-555-0177")
    ]
    assert (said[0] == said[1]) is not is_one
    assert before == [rows(context, table) for table in (schema.numbers, schema.recipients, schema.texts)]


def test_s6_the_preview_knows_its_own_sites_readers_of_a_shared_number(context, travel):
    travel(NOW)
    places = open_north(context)
    _made(context, {})
    accept(
        context,
        2,
        "north",
        patient={"phone": "202-555-0143"},
        series=[one_off("n", "2026-12-03T13:00:00", leads=["1d@17:00"])],
    )
    document = plans.read(_document("202-555-0143"), replace(context.database.read(lambda tx: context.known(tx, NOW))))

    def reasons(*places: int) -> list[str | None]:
        return [one.reason for one in planning.preview(context, document, NOW, places=places or None)]

    assert (reasons().count("cap_day"), reasons(places["north"]).count("cap_day")) == (2, 0)
    number = context.database.read(lambda tx: store.people.number_by_phone(tx, "+12025550143")).id
    context.database.write(lambda tx: store.people.mark_number(tx, number, opted_out_at=NOW))
    assert "opted_out" in reasons(places["north"])  # north has its own reader on it, and so knows of the STOP


def test_s6_the_form_of_a_plan_shows_the_same_texts_for_another_sites_number_as_for_no_ones(context, travel):
    travel(NOW)
    open_north(context)
    _made(context, {"opted_out_at": NOW})
    browser = Caller(context, role="coordinator", site="north")
    said = []
    for phone in ("202-555-0143", "202-555-0177"):
        typed = form(("plan.site", "north"), ("patient.ref", "MRN-N"), ("patient.phone", phone), do="look")
        said.append(_without_clock(browser.post("/plans/preview", typed).text.replace(phone[-4:], "")))
    assert said[0] == said[1]
