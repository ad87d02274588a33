"""Every view of a person is on record, on any path (SEC-5)."""

import pytest
import sqlalchemy as sa
from api_caller import Program, make_key
from conftest import NOW
from two_sites import accept, open_north
from web_caller import Caller

from reminders import store, task_kinds
from reminders.store.database import schema


def rows(context, *, what: str | None = None) -> list:
    query = sa.select(schema.audit).order_by(schema.audit.c.id)
    if what is not None:
        query = query.where(schema.audit.c.what == what)
    return context.database.read(lambda tx: tx.all(query))


def ids(context, table) -> list[int]:
    return [row.id for row in context.database.read(lambda tx: tx.all(sa.select(table.c.id).order_by(table.c.id)))]


@pytest.fixture
def two(context, travel):
    travel(NOW)
    open_north(context)
    accept(context, 1)
    accept(context, 2)
    return context


def test_s5_a_page_that_says_it_refreshes_itself_is_on_record_for_each_plan(two):
    browser = Caller(two, role="coordinator", site="main")
    for plan in ids(two, schema.plans):
        for _ in range(2):
            assert browser.get(f"/plans/{plan}", headers={"X-Refresh": "1"}).status_code == 200
    seen = [row.row_id for row in rows(two, what="plan page read")]
    assert seen == ids(two, schema.plans)


def test_s5_the_board_and_the_inbox_are_on_record_again_when_they_show_somebody_else(two):
    browser = Caller(two, role="coordinator", site="main")
    again = {"X-Refresh": "1"}

    def task(number: int) -> None:
        patient = ids(two, schema.patients)[number]
        two.database.write(
            lambda tx: store.tasks.open_task(
                tx,
                task_kinds.STUCK,
                site_id=min(ids(two, schema.sites)),
                zone="UTC",
                now=NOW,
                job="test",
                what="patient",
                row=patient,
                patient_id=patient,
            )
        )

    for number in (0, 1):
        task(number)
        for _ in range(2):
            browser.get("/inbox", headers=again)
            browser.get("/", headers=again)
    assert len(rows(two, what="inbox read")) == 2
    assert len(rows(two, what="board read")) == 2


def test_s5_the_log_a_number_looked_for_and_the_audit_are_on_record(two):
    browser = Caller(two, role="admin")
    browser.get("/log?when=any")
    (row,) = rows(two, what="log read")
    shown = two.database.read(lambda tx: store.audit_log.noted(tx, row))[1]
    assert set(shown.split()) == {str(one) for one in ids(two, schema.texts)}
    for phone in ("202-555-0101", "202-555-0199"):  # a patient's, and no one's: either is an answer
        before = len(rows(two, what="log of a number read"))
        browser.request("POST", "/log", data={"number": phone}, headers={"Sec-Fetch-Site": "same-origin"})
        assert len(rows(two, what="log of a number read")) == before + 1
    browser.get("/audit")
    assert len(rows(two, what="audit read")) == 1


@pytest.mark.parametrize("path", ["/patients", "/plans", "/log", "/appointments", "/patients/{}", "/plans/{}"])
def test_s5_an_api_read_without_names_is_on_record(two, path):
    program = Program(two, make_key(two, "read", site="main"))
    table = schema.plans if path.startswith("/plans") else schema.patients
    one = ids(two, table)[0]
    before = len(rows(two))
    assert program.get(path.format(one)).status_code == 200
    after = rows(two)[before:]
    assert [row.who.split(":")[0] for row in after] == ["key"]
    assert after[0].what.endswith(" read")
    if "{}" in path:
        assert (after[0].table, after[0].row_id) == (table.name, one)


def test_s5_a_repeated_answer_is_on_record(two):
    program = Program(two, make_key(two, site="main"))
    for _ in range(3):
        said = program.post("/patients/search", {"search": "MRN-1"}, idempotency_key="once")
        assert said.status_code == 200
        assert "MRN-1" in said.text
    assert len(rows(two, what="patients read")) == 1
    assert len(rows(two, what="repeated answer read")) == 2
