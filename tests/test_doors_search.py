"""SEC-16: plans and patients are found by a reference in a body, so that no address needs one."""

import pytest
import sqlalchemy as sa
from api_caller import Program, make_key
from conftest import NOW
from two_sites import accept, open_north

from reminders import store
from reminders.store.database import schema


@pytest.fixture
def api(context, travel):
    """A program that may do everything everywhere: one plan at `main`, three at `north`, one reference at both."""
    travel(NOW)
    open_north(context)
    accept(context, 1, plan={"ref": "SAME"})
    for number, ref in enumerate(("DC-a", "DC-b", "SAME"), 2):
        accept(context, number, "north", plan={"ref": ref})
    return Program(context, make_key(context))


def found(program, area: str, **asked) -> list[dict]:
    answer = program.post(f"/{area}/search", asked)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


def rows(context) -> list:
    query = sa.select(schema.audit).where(schema.audit.c.who.like("key:%")).order_by(schema.audit.c.id)
    return context.database.read(lambda tx: tx.all(query))


def test_s16_a_search_of_plans_answers_what_the_list_answers(api):
    every = api.get("/plans").json()["items"]
    assert found(api, "plans") == every
    for asked, filtered in (
        ({"ref": "SAME"}, "ref=SAME"),
        ({"ref": "DC-a"}, "ref=DC-a"),
        ({"ref": "dc-a"}, "ref=dc-a"),
    ):
        assert found(api, "plans", **asked) == api.get(f"/plans?{filtered}").json()["items"]
    of_patient = api.get(f"/plans?patient={every[0]['patient_id']}").json()["items"]
    assert found(api, "plans", patient=every[0]["patient"]) == of_patient == [every[0]]
    assert found(api, "plans", site="north") == [one for one in every if one["site"] == "north"]
    (one,) = found(api, "plans", ref="SAME", site="main")
    assert (one["patient"], one["name"]) == ("MRN-1", None)
    assert found(api, "plans", ref="SAME", patient="MRN-2") == found(api, "plans", site="nosuch") == []
    named = found(api, "plans", ref="SAME", names=True)
    assert named == api.get("/plans?ref=SAME&names=true").json()["items"]
    assert all(one["name"] for one in named)


def test_s16_a_search_sees_the_sites_and_the_names_that_its_key_may_see(api):
    context = api.caller.context
    here = Program(context, make_key(context, "read", site="main"), api.caller)
    assert [one["site"] for one in found(here, "plans")] == [one["site"] for one in found(here, "plans", ref="SAME")]
    assert [one["patient"] for one in found(here, "plans")] == ["MRN-1"]
    for asked in ({"ref": "DC-a"}, {"patient": "MRN-2"}, {"site": "north"}):
        assert found(here, "plans", **asked) == []
    assert here.post("/plans/search", {"names": True}).status_code == 403
    assert here.post("/patients/search", {"search": "MRN-1"}).status_code == 403
    blind = Program(context, make_key(context, "people", "write", "operate"), api.caller)
    assert blind.post("/plans/search", {"ref": "SAME"}).status_code == 403


@pytest.mark.parametrize(("area", "asked"), [("plans", {}), ("patients", {"search": "jordan"})])
def test_s16_pages_of_a_search_join_without_a_gap(api, area, asked):
    whole, seen, cursor = found(api, area, **asked), [], None
    while len(seen) < 9:
        answer = api.post(f"/{area}/search", asked | {"limit": 1, "cursor": cursor})
        assert "link" not in answer.headers
        seen += answer.json()["items"]
        cursor = answer.json()["next"]
        if cursor is None:
            break
    assert seen == whole
    assert len(whole) == 4
    assert api.post(f"/{area}/search", asked | {"cursor": "none of ours"}).status_code == 400
    for wrong in ({"limit": 0}, {"limit": 201}, {"limit": "2"}, {"typo": 1}, {"cursor": 7}):
        (problem,) = api.post(f"/{area}/search", asked | wrong).json()["errors"]
        assert problem["where"] in {f"body.{name}" for name in wrong}


@pytest.mark.parametrize("names", [False, True])
def test_s16_a_search_is_on_record_as_the_list_is(api, names):
    context = api.caller.context
    api.get(f"/plans?ref=SAME&names={str(names).lower()}")
    found(api, "plans", ref="SAME", names=names)
    found(api, "plans", ref="NO-ONE", names=names)  # shows no one, as the list would
    listed, searched = rows(context)
    assert (searched.what, searched.table, searched.row_id) == (listed.what, listed.table, listed.row_id)
    assert searched.what == "plans read"
    shown = [context.database.read(lambda tx, row=row: store.audit_log.noted(tx, row)[1]) for row in (listed, searched)]
    assert shown[0] == shown[1]
    assert len(shown[1].split()) == 2
