"""The coordinator's pages: entering a plan with all its texts shown, the list, one plan, one visit."""

import html
import re
import shutil
import time
from datetime import date
from itertools import count

import pytest
from conftest import NOW, logged, open_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_plan_form import FILLED
from two_sites import accept, open_north
from web_caller import Caller

from reminders import clock, queries, store
from reminders.queries.plans import PlanFilter
from reminders.service import planning
from reminders.service.planning import replanning
from reminders.store.database import schema
from reminders.wording import staff_words


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    """A house on SQLite at NOW, for what does not depend on the database."""
    del travel
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    opened.database.write(lambda tx: store.people.keep_default_site(tx, opened.settings, NOW))
    yield opened
    opened.close()


@pytest.fixture
def ana(here) -> Caller:
    return Caller(here, role="coordinator")


@pytest.fixture
def ops(here) -> Caller:
    return Caller(here, role="ops")


def form(*more: tuple[str, str], do: str = "start", without: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    names = {name for name, _ in more} | set(without)
    return [pair for pair in FILLED if pair[0] not in names] + [*more, ("do", do)]


def words(answer) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.text)).split())


def plan_of(context, ref: str = "MRN-1-20261130"):
    return context.database.read(lambda tx: store.plans.plan_by_ref(tx, ref, lock=False))


def why_ended(context, ref: str):
    plan = context.database.read(lambda tx: store.plans.plan_by_ref(tx, ref, lock=False))
    return context.database.read(lambda tx: store.plans.why_ended(tx, plan.id, plan.ended_because_sealed))


def field(answer, name: str) -> str:
    found = re.search(rf'name="{re.escape(name)}"[^>]*value="([^"]*)"', answer.text)
    return html.unescape(found[1]) if found else ""


def bubbles(answer) -> list[tuple[str, str, bool]]:
    """What the preview shows: when each window opens, the words, and whether the text is sent."""
    part = answer.text.split('id="texts"', 1)[1].split("</section>", 1)[0]
    found = []
    for one in re.findall(r'<li class="bubble out( not)?">(.*?)</li>', part, re.DOTALL):
        said = html.unescape(re.search(r"<p>(.*?)</p>", one[1], re.DOTALL)[1])
        found.append((re.search(r'datetime="([^"]+)"', one[1])[1], said, not one[0]))
    return found


# Entering a plan.


def test_a_plan_is_seen_text_by_text_and_then_started(here, ana):
    seen = ana.post("/plans/new", form(do="look"))
    assert seen.status_code == 200
    assert len(bubbles(seen)) == 3
    assert "3 texts, 3 segments , first" in words(seen)
    assert "the day before, at 5:00 pm" in words(seen)
    assert "We will text •••••••0143 (US), by the clock of America/New_York." in words(seen)
    assert logged(here) == []
    started = ana.post("/plans/new", form())
    plan = plan_of(here)
    assert (started.status_code, started.headers["location"]) == (303, f"/plans/{plan.id}?done=started")
    page = ana.page(started.headers["location"])
    assert "The plan has started" in words(page)
    assert "Jordan Alvarez" in page.text
    assert "Jordan" not in re.search(r"<title>(.*?)</title>", page.text, re.DOTALL)[1]
    audit = here.database.read(lambda tx: tx.all(schema.audit.select()))
    assert ("staff:coordinator.everywhere", "plan accepted") in [(row.who, row.what) for row in audit]
    assert ("staff:coordinator.everywhere", "plan page read") in [(row.who, row.what) for row in audit]


shapes = st.lists(
    st.fixed_dictionaries(
        {
            "kind": st.sampled_from(["therapy_individual", "support_meeting", "therapy_group"]),
            "date": st.dates(date(2026, 12, 1), date(2027, 1, 10)).map(str),
            "time": st.sampled_from(["08:00", "10:30", "15:00", "21:45"]),
            "every": st.sampled_from(["", "weekly", "daily", "month_weekday"]),
            "count": st.sampled_from(["2", "5"]),
            "leads": st.sampled_from(["", "2h", "3d@09:15 45m"]),
        }
    ),
    min_size=1,
    max_size=3,
)
_numbers = count(1)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shapes, st.sampled_from(["yes", "no", "later"]), st.sampled_from(["", "weekly-cbt", "matrix-iop"]))
def test_what_the_page_shows_is_what_is_stored(here, ana, rows, said, program):
    number = next(_numbers)
    more = [
        ("patient.ref", f"P-{number}"),
        ("patient.phone", f"+1{200 + number}5550150"),
        ("consent.said", said),
        ("plan.program", program),
        ("plan.program_times.session", "11:00"),
        ("plan.program_times.relapse-prevention", "17:30"),
    ]
    keep = {"weekly-cbt": "session", "matrix-iop": "relapse-prevention"}.get(program, "none")
    more = [pair for pair in more if "program_times" not in pair[0] or pair[0].endswith(keep)]
    for index, row in enumerate(rows):
        typed = {name: value for name, value in row.items() if value and (name != "count" or row["every"])}
        more += [(f"series.{index}.{name}", value) for name, value in typed.items()]
    without = ("series.0.kind", "series.0.date", "series.0.time")
    shown = bubbles(ana.post("/plans/new", form(*more, do="look", without=without)))
    started = ana.post("/plans/new", form(*more, without=without))
    assert started.status_code == 303, words(started)
    stored = planning.preview_plan(here, f"P-{number}-20261130", clock.now())
    assert shown == [(one.opens_at.isoformat(), one.text or shown_for(one), one.goes) for one in stored]
    plan = plan_of(here, f"P-{number}-20261130")
    rows = here.database.read(lambda tx: store.texts.drafts(tx, plan_id=plan.id))
    assert [(one.opens_at.isoformat(), one.state == "scheduled") for one in rows] == [
        (opens_at, goes) for opens_at, _, goes in shown
    ]


def shown_for(one) -> str:

    return f"(no words: {staff_words.REASONS[one.reason]})"


def test_what_is_wrong_stands_at_its_field_and_what_was_typed_is_kept(here, ana):
    answer = ana.post("/plans/new", form(("patient.phone", "12"), ("series.0.minutes", "fifty")))
    assert answer.status_code == 422
    assert "<title>Error: New plan" in answer.text
    assert 'href="#patient.phone"' in answer.text
    assert "The mobile number is too short for a phone number" in words(answer)
    assert 'id="series.0.minutes-problem"' in answer.text
    assert field(answer, "patient.name") == "Jordan Alvarez"
    assert field(answer, "patient.phone") == "12"
    assert plan_of(here) is None
    empty = ana.post("/plans/new", [("do", "start")])
    assert empty.status_code == 422
    assert "Say whether the patient agreed to texts" in words(empty)


def test_a_plan_may_start_while_consent_is_on_its_way(here, ana):
    seen = ana.post("/plans/new", form(("consent.said", "later"), do="look"))
    assert {goes for _, _, goes in bubbles(seen)} == {False}
    assert "there is no consent in force" in words(seen)
    assert ana.post("/plans/new", form(("consent.said", "later"))).status_code == 303
    assert {one.reason for one in logged(here)} == {"no_consent"}
    plan = plan_of(here)
    page = ana.page(f"/plans/{plan.id}")
    assert "no consent in force: record consent" in words(page)
    assert f'href="/patients/{plan.patient_id}/do/consent"' in page.text


def test_a_plan_without_a_visit_in_its_first_week_is_asked_why(ana):
    late = [("series.0.date", "2026-12-10")]
    said = "No visit in the first seven days after discharge"
    assert said in words(ana.post("/plans/new", form(*late, do="look")))
    because = [*late, ("plan.late_start_because", "away until then")]
    assert said not in words(ana.post("/plans/new", form(*because, do="look")))
    assert said not in words(ana.post("/plans/new", form(do="look")))


def test_what_was_agreed_is_said_in_words_and_a_time_that_does_not_exist_is_named(ana):
    weekly = [("series.0.every", "weekly"), ("series.0.count", "12"), ("series.0.kind", "support_meeting")]
    seen = words(ana.post("/plans/new", form(*weekly, do="look")))
    said = "every week, 12 times, first Thu, Dec 3, 2026, 3:00 pm, 12 visits, last Thu, Feb 18, 2027, 3:00 pm"
    assert f"Support meeting: {said}" in seen
    gap = [("series.0.date", "2027-03-14"), ("series.0.time", "02:30"), ("plan.discharged_on", "2027-03-13")]
    odd = ana.post(
        "/plans/new",
        form(
            *gap, ("series.1.date", "2026-12-04"), ("series.1.time", "09:00"), ("series.1.kind", "check_up"), do="look"
        ),
    )
    assert "2:30 am does not exist on Sun, Mar 14, 2027 in America/New_York" in words(odd)
    assert "It is taken as 3:00 am" in words(odd)


def test_rows_are_added_and_taken_out_without_a_script(ana):
    more = ana.post("/plans/new", form(do="add:series"))
    assert 'id="series.1.kind" name="series.1.kind" autofocus' in more.text
    assert field(more, "patient.name") == "Jordan Alvarez"
    fewer = ana.post("/plans/new", form(do="drop:series.0"))
    assert 'id="series.0.kind"' not in fewer.text
    person = ana.post("/plans/new", form(do="add:recipients"))
    assert 'id="recipients.0.phone"' in person.text


def test_who_is_here_already_is_said(here, ana):
    accept(here, 1)
    accept(here, 43, patient={"ref": "MRN-43", "phone": "202-555-0143", "name": "Sam Quimby"})
    seen = words(ana.post("/plans/new", form(do="look")))
    assert "There is a patient with this reference: MRN-1." in seen
    assert "MRN-43 is texted on this number too." in seen
    assert "They have a current plan" in seen
    refused = ana.post("/plans/new", form(("plan.ref", "DC-new")))
    assert refused.status_code == 422
    assert "say whether the new one replaces it or stands beside it" in words(refused)
    assert ana.post("/plans/new", form(("plan.ref", "DC-new"), ("plan.stands", "replaces:DC-1"))).status_code == 303
    assert plan_of(here, "DC-1").status == "ended"
    found = ana.post("/plans/new", form(("find", "quimby"), do="find"))
    assert "Plan for Sam Quimby" in words(found)
    assert "No one here" in words(ana.post("/plans/new", form(("find", "nemo"), do="find")))
    again = ana.page(f"/plans/new?replaces={plan_of(here, 'DC-new').id}")
    assert field(again, "patient.name") == "Jordan Alvarez"
    assert 'value="replaces:DC-new" checked' in re.sub(r'" id="[^"]*"', '"', again.text)


def test_a_number_that_opted_out_is_named_before_anything_is_agreed(here, ana):
    accept(here, 1, patient={"phone": "202-555-0143"})
    here.database.write(lambda tx: store.people.opt_out(tx, queries.people.number_by_phone(tx, "+12025550143").id, NOW))
    assert "This number has opted out." in words(ana.post("/plans/new", form(("patient.ref", "X"), do="look")))


def test_a_reference_is_not_taken_twice(here, ana):
    accept(here, 5, plan={"ref": "MRN-1-20261130"})
    answer = ana.post("/plans/new", form())
    assert answer.status_code == 422
    assert "another plan has this reference" in words(answer)


def test_a_draft_is_kept_found_again_and_gone_once_the_plan_has_started(here, ana):
    blank = ana.page("/plans/new")
    draft = field(blank, "draft")
    kept = ana.post(f"/plans/drafts/{draft}", form(("draft", draft)))
    assert kept.status_code == 204
    page = ana.page("/plans/new")
    assert f'href="/plans/new?draft={draft}"' in page.text
    assert field(ana.page(f"/plans/new?draft={draft}"), "patient.name") == "Jordan Alvarez"
    other = Caller(here, role="clinician")
    assert other.page(f"/plans/new?draft={draft}").status_code == 404
    assert other.post(f"/plans/drafts/{draft}", form()).status_code == 404
    assert other.post(f"/plans/drafts/{draft}/discard", []).status_code == 404
    assert ana.post("/plans/new", form(("draft", draft), do="keep")).headers["location"].endswith("done=kept")
    assert ana.post("/plans/new", form(("draft", draft))).status_code == 303
    assert ana.page(f"/plans/new?draft={draft}").status_code == 404
    second = field(ana.page("/plans/new"), "draft")
    ana.post(f"/plans/drafts/{second}", form())
    assert ana.post(f"/plans/drafts/{second}/discard", []).status_code == 303
    assert "Your drafts" not in ana.page("/plans/new").text
    with here.database._engine.connect() as connection:  # sealed at rest
        assert "Jordan" not in str(connection.exec_driver_sql("SELECT * FROM drafts").all())


def test_a_test_goes_to_staffs_own_phone(here, ana):
    answer = ana.post("/plans/new", form(("sample", "202-555-0177"), do="sample"))
    assert "on its way to your phone" in words(answer)
    (text,) = logged(here)
    assert (text.class_, text.to[-4:], text.patient) == ("staff", "0177", None)
    nothing = ana.post("/plans/new", [("sample", "202-555-0177"), ("do", "sample")])
    assert (nothing.status_code, len(logged(here))) == (422, 1)
    assert "Your number " in words(ana.post("/plans/new", form(("sample", "1"), do="sample")))


def test_a_plan_is_changed_by_the_same_form(here, ana):
    ana.post("/plans/new", form())
    plan = plan_of(here)
    page = ana.page(f"/plans/{plan.id}/edit")
    assert field(page, "patient.name") == "Jordan Alvarez"
    assert field(page, "version") == str(plan.version)
    held = [("plan_id", str(plan.id)), ("plan.ref", plan.ref), ("series.0.key", "therapy-individual")]
    change = form(*held, ("version", str(plan.version)), ("series.0.time", "16:00"))
    assert ana.post(f"/plans/{plan.id}/edit", change).headers["location"] == f"/plans/{plan.id}?done=changed"
    assert "4:00pm" in ana.page(f"/plans/{plan.id}").text
    stale = ana.post(f"/plans/{plan.id}/edit", form(*held, ("version", str(plan.version)), ("series.0.time", "17:00")))
    assert stale.status_code == 422
    assert "changed by someone else" in words(stale)


# The list.


def test_the_list_is_filtered_by_its_address_and_searched_without_one(here, ana):
    assert "No plans yet" in words(ana.page("/plans"))
    for number in range(1, 5):
        accept(
            here,
            number,
            plan={"discharged_on": f"2026-11-2{number}", "status": "paused" if number == 2 else "active"},
            consent={"said": "no"} if number == 3 else {},
            patient={"name": f"Sam Quimby{number}"},
            who="staff:coordinator.everywhere" if number == 4 else "staff:other",
        )

    def refs(path: str) -> list[str]:
        return re.findall(r"Choose (DC-\d)", ana.page(path).text)

    assert refs("/plans") == ["DC-4", "DC-3", "DC-2", "DC-1"]
    assert refs("/plans?status=paused") == ["DC-2"]
    assert refs("/plans?status=blocked") == ["DC-3"]
    assert refs("/plans?mine=yes") == ["DC-4"]
    assert (len(refs("/plans?site=main")), refs("/plans?site=moon")) == (4, [])
    assert refs("/plans?since=2026-11-22&until=2026-11-23") == ["DC-3", "DC-2"]
    assert refs("/plans?before=2026-11-23~1") == ["DC-2", "DC-1"]
    page = ana.page("/plans?status=blocked")
    assert "no consent in force" in words(page)
    assert "No plan matches" in words(ana.page("/plans?status=ended"))
    wrong = ana.page("/plans?since=yesterday")
    assert (wrong.status_code, 'href="#since"' in wrong.text) == (422, True)
    found = ana.post("/plans", [("search", "quimby2")])
    assert re.findall(r"Choose (DC-\d)", found.text) == ["DC-2"]
    assert re.findall(r"Choose (DC-\d)", ana.post("/plans", [("search", "(202) 555-0103")]).text) == ["DC-3"]
    assert "No one here" in words(ana.post("/plans", [("search", "nemo")]))


def test_pages_of_the_list_follow_each_other(here, ana, monkeypatch):
    monkeypatch.setattr("reminders.web.pages.plans.PER_PAGE", 2)
    for number in range(1, 6):
        accept(here, number, plan={"discharged_on": f"2026-11-2{number}"})
    seen, path = [], "/plans"
    while path:
        page = ana.page(path)
        seen += re.findall(r"Choose (DC-\d)", page.text)
        older = re.search(r'rel="next" href="([^"]+)"', page.text)
        path = html.unescape(older[1]) if older else None
    assert seen == ["DC-5", "DC-4", "DC-3", "DC-2", "DC-1"]


def test_who_may_not_see_people_sees_references(here, ops):
    accept(here, 1)
    page = ops.page("/plans")
    assert "MRN-1" in page.text
    assert "Jordan" not in page.text
    assert "Find a patient" not in page.text
    plan = plan_of(here, "DC-1")
    opened = ops.page(f"/plans/{plan.id}")
    assert opened.status_code == 200
    assert not any(told in opened.text for told in ("Jordan", "We hope to see you", "Dr. Lee"))
    for path in ("/plans/new", f"/plans/{plan.id}/edit", f"/plans/{plan.id}/change/end"):
        assert ops.page(path).status_code == 403, path
    assert ops.post("/plans", [("search", "jordan")]).status_code == 403


def test_another_sites_plans_do_not_exist(here):
    open_north(here)
    ref = accept(here, 1, "north")
    plan = plan_of(here, ref)
    visit = here.database.read(lambda tx: store.plans.appointments_named(tx, plan.id, "therapy", None))[0]
    main = Caller(here, role="coordinator", site="main")
    for path in ("", "/edit", "/change/end", f"/visits/{visit.id}"):
        assert main.page(f"/plans/{plan.id}{path}").status_code == 404, path
        if path:
            assert main.post(f"/plans/{plan.id}{path}", form()).status_code == 404, path
    assert main.page(f"/plans/new?replaces={plan.id}").status_code == 404
    assert ref not in main.page("/plans").text
    assert "No one here" in words(main.post("/plans", [("search", ref)]))
    main.post("/plans/together", [("plan", str(plan.id)), ("do", "end"), ("sure", "yes"), ("because", "left")])
    assert plan_of(here, ref).status == "active"
    assert main.post("/plans/new", form(("plan.site", "north"))).status_code == 422
    assert plan_of(here) is None


def test_several_plans_at_once_are_asked_about_in_numbers(here, ana):
    ids = [str(plan_of(here, accept(here, number)).id) for number in (1, 2)]
    ticked = [("plan", one) for one in ids]
    asked = ana.post("/plans/together", [*ticked, ("do", "pause")])
    assert "Pause 2 plans?" in words(asked)
    assert "6 texts will not go" in words(asked)
    assert plan_of(here, "DC-1").status == "active"
    done = ana.post("/plans/together", [*ticked, ("do", "pause"), ("sure", "yes")])
    assert done.headers["location"] == "/plans?done=paused"
    assert {plan_of(here, ref).status for ref in ("DC-1", "DC-2")} == {"paused"}
    why = ana.post("/plans/together", [*ticked, ("do", "end"), ("sure", "yes")])
    assert (why.status_code, "Say why they end" in words(why)) == (422, True)
    assert "No plan was ticked" in words(ana.post("/plans/together", [("do", "end")]))
    assert ana.post("/plans/together", [("do", "burn")]).status_code == 400


# One plan, one visit.


def test_a_plan_is_paused_resumed_and_ended_with_its_consequences_in_sight(here, ana):
    accept(here, 1)
    plan = plan_of(here, "DC-1")
    assert "3 texts will not go" in words(ana.page(f"/plans/{plan.id}/change/pause"))
    assert ana.post(f"/plans/{plan.id}/change/pause", []).headers["location"] == f"/plans/{plan.id}?done=paused"
    assert "3 texts will go" in words(ana.page(f"/plans/{plan.id}/change/resume"))
    ana.post(f"/plans/{plan.id}/change/resume", [])
    assert ana.post(f"/plans/{plan.id}/change/end", []).status_code == 422
    ana.post(f"/plans/{plan.id}/change/end", [("because", "left")])
    assert (plan_of(here, "DC-1").status, why_ended(here, "DC-1")) == ("ended", "left")
    assert ana.page(f"/plans/{plan.id}/change/burn").status_code == 404
    assert "left early" in words(ana.page(f"/plans/{plan.id}"))


def test_a_plan_is_handed_on_to_another_site(here, ana):
    accept(here, 1)
    plan = plan_of(here, "DC-1")
    assert "no other site" in words(ana.page(f"/plans/{plan.id}/change/transfer"))
    open_north(here)
    assert ana.post(f"/plans/{plan.id}/change/transfer", [("to_site", "moon")]).status_code == 422
    assert ana.post(f"/plans/{plan.id}/change/transfer", [("to_site", "north")]).status_code == 303
    assert why_ended(here, "DC-1") == "transferred"


def test_a_visit_is_moved_once_its_texts_were_seen(here, ana):
    accept(here, 1)
    plan = plan_of(here, "DC-1")
    (row,) = here.database.read(lambda tx: store.plans.appointments_named(tx, plan.id, "therapy", None))
    path = f"/plans/{plan.id}/visits/{row.id}"
    before = logged(here)
    assert ana.page(path).status_code == 200
    when = [("date", "2026-12-10"), ("time", "11:00")]
    seen = ana.post(path, [*when, ("do", "move")])
    assert "If it is moved to Thu, Dec 10, 2026, 11:00 am" in words(seen)
    assert "Taken back" in words(seen)
    assert "New text" in words(seen)
    assert logged(here) == before
    unseen = ana.post(path, [*when, ("do", "move_sure"), ("shown", "2026-12-11T11:00")])
    assert (unseen.status_code, logged(here) == before) == (200, True)
    done = ana.post(path, [*when, ("do", "move_sure"), ("shown", "2026-12-10T11:00")])
    assert done.headers["location"] == f"/plans/{plan.id}?done=moved"
    page = words(ana.page(f"/plans/{plan.id}"))
    assert "Thu, Dec 10, 2026, 11:00 am" in page
    assert "Thu Dec 10, 11:00am" in page
    past = ana.post(path, [("date", "2026-11-01"), ("time", "11:00"), ("do", "move")])
    assert (past.status_code, "That time has passed" in words(past)) == (422, True)
    assert ana.post(path, [("date", ""), ("time", "noon"), ("do", "move")]).status_code == 422
    off = ana.post(path, [("do", "off")])
    assert "If it is called off" in words(off)
    assert ana.post(path, [("do", "off_sure")]).headers["location"] == f"/plans/{plan.id}?done=off"
    assert "not on any more" in words(ana.page(path))
    assert ana.page(f"/plans/{plan.id + 1}/visits/{row.id}").status_code == 404


def test_what_went_stands_on_the_plan_with_its_state(here, ana):
    accept(here, 1)
    plan = plan_of(here, "DC-1")
    text = logged(here)[0].text
    here.database.write(
        lambda tx: tx.run(schema.texts.update().where(schema.texts.c.id == text).values(state="expired"))
    )
    page = ana.page(f"/plans/{plan.id}?every=yes")
    assert "Gone, or tried" in words(page)
    assert "Came too late to send" in words(page)
    assert f'href="/texts/{text}"' in page.text
    assert "every week" not in words(page)


def test_screens_1_a_visit_without_a_reminder_is_marked_as_such(here, ana):
    accept(here, 1)
    plan = plan_of(here, "DC-1")
    assert "no reminder" not in words(ana.page(f"/plans/{plan.id}"))
    ended = schema.consents.update().values(categories=["meetings"])
    here.database.write(lambda tx: (tx.run(ended), replanning.replan(here, tx, [plan.patient_id], NOW)))
    assert "no reminder" in words(ana.page(f"/plans/{plan.id}"))


def test_the_list_and_the_plan_say_the_same_of_texts(here, ana):
    accept(here, 1)
    plan = plan_of(here, "DC-1")
    sites = {plan.site_id}
    (listed,) = here.database.read(
        lambda tx: queries.plans.list_plans(tx, sites, PlanFilter(ids=[plan.id]), clock.now())
    )
    said = f"{listed.texts_sent} handed over, {listed.texts_to_go} to go"
    assert said in words(ana.page("/plans"))
    assert said in words(ana.page(f"/plans/{plan.id}"))


@pytest.mark.parametrize(
    "path", ["/plans/abc", "/plans/0", f"/plans/{2**63}", "/plans/7/visits/x", "/plans/new?draft=x"]
)
def test_what_names_nothing_is_not_found(ana, path):
    assert ana.page(path).status_code == 404


def test_a_preview_is_quick_enough_to_type_along(here, ana):
    del here
    more = form(("plan.program", "matrix-iop"), ("plan.program_times.relapse-prevention", "17:30"))
    ana.post("/plans/preview", more)  # the first one reads programs and catalogs
    began = time.monotonic()
    answer = ana.post("/plans/preview", more)
    assert time.monotonic() - began < 2
    assert len(bubbles(answer)) > 20
