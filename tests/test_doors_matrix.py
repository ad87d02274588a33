"""What is another site's is answered like what is no one's: the same status, the same body, as many statements."""

import re

import pytest
import sqlalchemy as sa
from api_caller import Program, make_key
from conftest import NOW
from two_sites import accept, hear, open_north
from web_caller import Caller

from reminders.store import schema

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NO_ONES = 7_000_000_000_000_000_001
PAGES = (
    *("/patients/{patients}", "/patients/{patients}/messages", "/patients/{patients}/card", "/plans/{plans}"),
    *("/plans/{plans}/edit", "/texts/{texts}", "/log?patient_id={patients}", "/log?plan_id={plans}"),
    *("/log/export/csv?patient_id={patients}", "/audit?patient_id={patients}", "/audit.csv?patient_id={patients}"),
)
OPERATIONS = ("/patients/{patients}", "/plans/{plans}", "/plans/{plans}/preview", "/texts/{texts}", "/log?plan={plans}",
              "/plans?patient={patients}", "/appointments?patient={patients}")  # fmt: skip


@pytest.fixture
def two(house, travel):
    travel(NOW)
    open_north(house)
    accept(house, 1)
    accept(house, 2, "north")
    hear(house, "hello there", 2, sid="SM" + "2" * 32)
    return house


def theirs(house, table: str) -> int:
    """A row of the other site."""
    one = schema.metadata.tables[table]
    north = sa.select(schema.sites.c.id).where(schema.sites.c.key == "north").scalar_subquery()
    query = sa.select(one.c.id).where(one.c.site_id == north).order_by(one.c.id)
    return house.database.read(lambda tx: tx.first(query)).id


def ask(house, call, path: str) -> tuple[list[tuple[int, str]], list[int]]:
    """The answers about another site's row and about no one's, without what names the request; their statements."""
    table = re.search(r"\{(\w+)\}", path)[1]
    answers, counts, said = [], [], []
    engine = house.database._engine
    sa.event.listen(engine, "before_cursor_execute", lambda *_: said.append(1))
    for row in (theirs(house, table), NO_ONES):
        call(path.replace(f"{{{table}}}", str(row)))  # what is made once is made
        said.clear()
        answer = call(path.replace(f"{{{table}}}", str(row)))
        counts.append(len(said))
        answers.append(
            (answer.status_code, re.sub(r'"(request_id|instance)":"[^"]*"', "", answer.text).replace(str(row), "ID"))
        )
    return answers, counts


@pytest.mark.parametrize("role", ["admin"])  # who may see every page: the others are refused before it looks
def test_s6_no_page_tells_another_sites_patient_from_no_one(two, role):
    browser = Caller(two, role=role, site="main")
    for path in PAGES:
        (one, other), counts = ask(two, browser.page, path)
        assert one == other, path
        assert one[0] in {403, 404, 422}, path
        assert abs(counts[0] - counts[1]) <= 1, (path, counts)


def test_s6_no_operation_of_the_api_tells_another_sites_patient_from_no_one(two):
    program = Program(two, make_key(two, site="main"))
    for path in OPERATIONS:
        (one, other), counts = ask(two, program.get, path)
        assert one == other, path
        assert abs(counts[0] - counts[1]) <= 1, (path, counts)
    searches = [program.post("/patients/search", {"search": word}).json() for word in ("MRN-2", "NO-ONE")]
    assert searches[0] == searches[1]
