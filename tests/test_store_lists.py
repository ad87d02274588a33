"""The lists shared by pages and API: what they show, for which sites, and that pages have no gaps."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
import sqlalchemy as sa
from conftest import NOW
from people import one_off
from two_sites import accept, hear, open_north

from reminders import queries, store, task_kinds
from reminders.queries.patients import PatientFilter
from reminders.queries.plans import PlanFilter
from reminders.queries.replies import ReplyFilter
from reminders.service.planning import attendance, changes
from reminders.store.database import schema

LATER = NOW + timedelta(days=1)


@pytest.fixture
def sites(context):
    return open_north(context)


@pytest.fixture
def both(sites):
    return list(sites.values())


def plans(context, sites, *, names=False, now=NOW, **wanted):
    return context.database.read(lambda tx: queries.plans.list_plans(tx, sites, PlanFilter(**wanted), now, names=names))


def refs(context, sites, **wanted):
    return [plan.ref for plan in plans(context, sites, **wanted)]


def patients(context, sites, *, names=False, **wanted):
    return context.database.read(
        lambda tx: queries.patients.list_patients(tx, sites, PatientFilter(**wanted), NOW, names=names)
    )


def visits(context, sites, since=None, until=None, **wanted):
    return context.database.read(lambda tx: queries.visits.list_visits(tx, sites, since, until, **wanted))


def replies(context, sites, *, names=False, **wanted):
    return context.database.read(lambda tx: queries.replies.list_replies(tx, sites, ReplyFilter(**wanted), names=names))


def pages(of, limit, key="before", **wanted):
    """Every row, page by page."""
    found, place = [], None
    while page := of(limit=limit, **{key: place}, **wanted):
        found += page
        place = page[-1].place
    return found


def test_a_plan_is_listed_with_what_a_coordinator_asks_of_it(context, sites):
    accept(context, who="cli:amy")
    (plan,) = plans(context, [sites["main"]])
    assert (plan.ref, plan.site, plan.patient, plan.status, plan.blocked) == ("DC-1", "main", "MRN-1", "active", None)
    assert (plan.discharged_on, plan.program, plan.name) == (date(2026, 11, 30), None, None)
    assert plan.next_visit is not None
    assert plan.next_visit.kind == "therapy_individual"
    assert plan.next_visit.starts_at == datetime.fromisoformat("2026-12-03T20:00:00+00:00")
    assert plan.next_text is not None
    assert plan.next_text.key == "day:2026-12-03:3d@17:00"
    assert (plan.texts, plan.texts_sent, plan.texts_to_go) == ({"scheduled": 3}, 0, 3)
    assert plan.entered == queries.plans.Entered("cli:amy", NOW)
    assert "Jordan" not in repr(replace(plan, name="Jordan Alvarez"))
    assert [one.name for one in plans(context, [sites["main"]], names=True)] == ["Jordan Alvarez"]
    assert context.database.read(lambda tx: queries.plans.find_plan(tx, [sites["main"]], "DC-1", NOW)) == plan


def test_what_belongs_to_another_site_does_not_exist(context, sites, both):
    accept(context)
    hers = accept(context, 2, site="north")
    hear(context, "what is this?", 1, "SM1")
    hear(context, "what is this?", 2, "SM2")
    here, there = [sites["main"]], [sites["north"]]
    read = context.database.read
    assert refs(context, here) == ["DC-1"]
    assert refs(context, there) == [hers]
    assert sorted(refs(context, both)) == ["DC-1", hers]
    assert refs(context, []) == []
    assert refs(context, here, search=hers) == refs(context, here, search="MRN-2") == []
    assert refs(context, here, phone="+12025550102") == []
    assert [one.ref for one in patients(context, here)] == ["MRN-1"]
    assert [one.ref for one in patients(context, there, search="alvarez")] == ["MRN-2"]
    (visit,) = visits(context, there)
    assert visit.plan == hers
    assert visits(context, here, plan=hers) == visits(context, here, patient="MRN-2") == []
    assert read(lambda tx: queries.visits.find_visit(tx, here, visit.id)) is None
    assert read(lambda tx: queries.visits.find_visit(tx, there, visit.id)) == visit
    assert read(lambda tx: queries.plans.find_plan(tx, here, hers, NOW)) is None
    assert read(lambda tx: queries.patients.find_patient(tx, here, "MRN-2", NOW)) is None
    assert [one.patients for one in replies(context, there)] == [("MRN-2",)]
    assert [one.patients for one in replies(context, here)] == [("MRN-1",)]
    logged = read(lambda tx: queries.texts.log(tx, queries.texts.LogFilter(sites=there)))
    assert {text.plan for text in logged} == {hers, None}  # None: the answer to what she wrote
    assert {text.patient for text in logged} == {"MRN-2"}


def test_plans_are_found_by_reference_name_and_phone(context, sites, both):
    accept(context, 1, patient={"name": "José Álvarez-Núñez"})
    accept(context, 2, patient={"name": "Jose Bell"})
    accept(context, 3, patient={"name": "Wei"})
    find = lambda **wanted: sorted(refs(context, both, **wanted))  # ruff: ignore[lambda-assignment]  one line of a test
    assert find(search="jose") == ["DC-1", "DC-2"]
    assert find(search="NUÑEZ jose") == ["DC-1"]
    assert find(search="jose no one") == find(search="jos") == find(search="***") == []
    assert find(search="DC-2") == find(search="MRN-2") == ["DC-2"]
    assert find(search="202-555-0103", phone="+12025550103") == ["DC-3"]
    assert find(phone="+12025550199") == []
    # A person with a new name is not found by the old one.
    accept(context, 1, patient={"name": "Jo Alvarez"})
    assert find(search="jose") == ["DC-2"]
    context.database.write(lambda tx: store.people.index_name(tx, plans(context, both)[1].patient_id, None))
    assert find(search="jose") == find(search="bell") == []
    assert find(search="jo") == ["DC-1"]


def test_a_new_index_key_finds_names_and_phones_as_before(context, sites):
    accept(context)
    mark = lambda tx: tx.value(sa.select(schema.name_words.c.fingerprint))  # ruff: ignore[lambda-assignment]  as above
    before = context.database.read(mark)
    store.people.new_index_key(context.database, NOW)
    assert context.database.read(mark) != before
    assert refs(context, [sites["main"]], search="jordan alvarez") == ["DC-1"]
    assert refs(context, [sites["main"]], phone="+12025550101") == ["DC-1"]


def test_plans_are_filtered(context, sites, both):
    for number, day in enumerate(("2026-11-26", "2026-11-28", "2026-11-30"), 1):
        accept(context, number, plan={"discharged_on": day}, who=f"cli:{number}")
    changes.set_plan_status(context, "DC-2", "paused", NOW, who="test")
    assert refs(context, both) == ["DC-3", "DC-2", "DC-1"]
    assert refs(context, both, status="paused") == ["DC-2"]
    assert refs(context, both, discharged_since=date(2026, 11, 28)) == ["DC-3", "DC-2"]
    assert refs(context, both, discharged_until=date(2026, 11, 28)) == ["DC-1"]
    assert refs(context, both, entered_by="cli:3") == ["DC-3"]
    assert refs(context, both, patient="MRN-1") == ["DC-1"]


def test_why_nothing_can_go_stands_beside_a_plan(context, sites, both):
    accept(context, 1)
    accept(context, 2, consent={"said": "no"})
    accept(context, 3, consent={"expires_on": "2026-12-01"})
    accept(context, 4)
    accept(context, 5)
    accept(context, 6, consent={"warned_of_risk": True})

    def spoil(tx):
        for number, values in ((4, {"bad_since": NOW}), (5, {"opted_out_at": NOW}), (6, {"wrong_since": NOW})):
            store.people.mark_number(tx, store.people.keep_number(tx, f"+120255501{number:02}", NOW), **values)

    context.database.write(spoil)
    after = NOW + timedelta(days=2)
    why = {plan.ref: plan.blocked for plan in plans(context, both, now=after) if plan.blocked}
    assert why == {
        "DC-2": "no_consent",
        "DC-3": "no_consent",
        "DC-4": "number_bad",
        "DC-5": "opted_out",
        "DC-6": "number_bad",
    }
    assert set(refs(context, both, blocked=True, now=after)) == set(why)
    assert "DC-3" not in refs(context, both, blocked=True)  # not expired yet


def test_a_plan_needs_attention_while_a_task_about_it_is_open(context, sites, both):
    accept(context, 1)
    accept(context, 2)
    accept(context, 2, plan={"ref": "DC-2b", "alongside": True})
    accept(context, 3, patient={"phone": "202-555-0101"})  # shares a phone with the first
    assert refs(context, both, needs_attention=True) == []
    hear(context, "can someone call me", 2)

    def open_one(tx):
        plan = store.plans.plan_by_ref(tx, "DC-2b", lock=False)
        at = {"site_id": sites["main"], "zone": "UTC", "now": NOW}
        store.tasks.open_task(tx, task_kinds.REVIEW, plan_id=plan.id, day=7, patient_id=plan.patient_id, **at)
        number = store.people.keep_number(tx, "+12025550101", NOW)
        store.tasks.open_task(tx, task_kinds.WHO, number_id=number, **at)
        return [task_kinds.REVIEW.key(plan_id=plan.id, day=7), task_kinds.WHO.key(number_id=number)]

    keys = context.database.write(open_one)
    assert {plan.ref: plan.open_tasks for plan in plans(context, both)} == {"DC-1": 1, "DC-2": 1, "DC-2b": 2, "DC-3": 1}
    assert sorted(refs(context, both, needs_attention=True)) == ["DC-1", "DC-2", "DC-2b", "DC-3"]
    assert {one.ref: one.open_tasks for one in patients(context, both)} == {"MRN-1": 1, "MRN-2": 2, "MRN-3": 1}
    context.database.write(lambda tx: store.tasks.close_by_key(tx, keys, task_kinds.NEW_NUMBER, NOW))
    assert sorted(refs(context, both, needs_attention=True)) == ["DC-2", "DC-2b"]
    assert [one.ref for one in patients(context, both, needs_attention=True)] == ["MRN-2"]


def test_pages_join_without_a_gap(context, sites, both):
    for number in range(1, 8):
        accept(context, number, site="main" if number % 2 else "north", plan={"discharged_on": "2026-11-30"})
        hear(context, "who is this", number, f"SM{number}")
    every = plans(context, both)
    assert len(every) == 7
    assert pages(lambda **wanted: plans(context, both, **wanted), 2) == every
    assert pages(lambda **wanted: patients(context, both, **wanted), 3) == patients(context, both)
    assert pages(lambda **wanted: replies(context, both, **wanted), 2) == replies(context, both)
    assert pages(lambda **wanted: visits(context, both, **wanted), 2, "after") == visits(context, both)
    assert [one.plan for one in visits(context, both)] == [one.plan for one in sorted(visits(context, both), key=place)]


def place(one):
    return one.place


def test_a_patient_is_listed_with_their_plans(context, sites, both):
    accept(context, 1)
    accept(context, 1, plan={"ref": "DC-1b", "alongside": True, "discharged_on": "2026-11-29"})
    (one,) = patients(context, both)
    assert [plan.ref for plan in one.plans] == ["DC-1b", "DC-1"]
    assert (one.name, one.to, one.verified, one.opted_out_at, one.blocked) == (None, "•••••••0101", True, None, None)
    assert one.next_visit is not None
    assert patients(context, both, names=True)[0].name == "Jordan Alvarez"
    assert context.database.read(lambda tx: queries.patients.find_patient(tx, both, "MRN-1", NOW)) == one


def test_appointments_show_staff_only_fields_only_when_asked(context, sites, both):
    accept(context, series=[one_off("a", "2026-12-03T15:00:00", place="Room 4", **{"with": "Dr. Lee"})])
    (one,) = visits(context, both)
    assert (one.patient_name, one.room, one.with_) == (None, None, None)
    (one,) = visits(context, both, names=True)
    assert (one.patient_name, one.room, one.with_) == ("Jordan Alvarez", "Room 4", "Dr. Lee")
    assert not {"Jordan", "Room", "Lee"} & set(repr(one).split())


def test_appointments_of_a_time_a_plan_and_a_session_and_those_nobody_marked(context, sites, both):
    group = [one_off("g", "2026-12-01T15:00:00", kind="therapy_group", session="oak")]
    accept(context, 1, series=[*group, one_off("m", "2026-12-01T16:00:00", kind="support_meeting")])
    accept(context, 2, series=group)
    noon = datetime.fromisoformat("2026-12-02T17:00:00+00:00")
    assert [one.series for one in visits(context, both, None, noon)] == ["g", "g", "m"]
    assert visits(context, both, noon, None) == []
    assert [one.patient for one in visits(context, both, session="oak")] == ["MRN-1", "MRN-2"]
    assert [one.series for one in visits(context, both, plan="DC-1")] == ["g", "m"]
    assert [one.patient for one in visits(context, both, None, noon, unmarked=True)] == ["MRN-1", "MRN-2"]
    attendance.mark(context, "DC-1", "g", None, noon, what="attended", who="test")
    assert [one.patient for one in visits(context, both, None, noon, unmarked=True)] == ["MRN-2"]
    (first, _) = visits(context, both, session="oak")
    assert (first.attendance, first.status, first.marked_at) == ("attended", "attended", noon)


def test_sessions_by_date(context, sites, both):
    weekly = {"key": "g", "kind": "therapy_group", "session": "oak", "repeats": "FREQ=WEEKLY;COUNT=3"}
    accept(context, 1, series=[weekly | {"starts": "2026-12-01T23:30:00"}])
    accept(context, 2, series=[weekly | {"starts": "2026-12-01T23:30:00"}])
    accept(context, 3, site="north", series=[weekly | {"starts": "2026-12-02T10:00:00"}])

    def listed(where, since="2026-12-01", until="2026-12-20", **wanted):
        since, until = date.fromisoformat(since), date.fromisoformat(until)
        found = context.database.read(lambda tx: queries.visits.list_sessions(tx, where, since, until, **wanted))
        return [(one.site, one.on.day, one.patients, one.status) for one in found]

    here = [sites["main"]]
    assert listed(here) == [("main", 1, 2, "booked"), ("main", 8, 2, "booked"), ("main", 15, 2, "booked")]
    assert listed(here, "2026-12-01", "2026-12-02") == [("main", 1, 2, "booked")]
    assert [day for _, day, _, _ in listed(both)] == [1, 2, 8, 9, 15, 16]
    first = context.database.read(
        lambda tx: queries.visits.list_sessions(tx, both, date(2026, 12, 1), date(2026, 12, 20), limit=2)
    )
    assert [day for _, day, _, _ in listed(both, after=first[-1].place)] == [8, 9, 15, 16]
    changes.change_session(context, "oak", date(2026, 12, 8), LATER, who="test", to=None)
    changes.change_session(context, "oak", date(2026, 12, 15), LATER, who="test", to=datetime(2026, 12, 16, 23, 30))
    changes.set_plan_status(context, "DC-2", "ended", LATER, who="test", because="left")
    assert listed(here) == [("main", 1, 1, "booked"), ("main", 8, 1, "cancelled"), ("main", 16, 1, "booked")]
    attendance.mark_session(context, "oak", date(2026, 12, 1), NOW + timedelta(days=3), missed=[], who="test")
    assert listed(here)[0] == ("main", 1, 1, "held")


def test_replies_show_whose_they_may_be_and_what_is_open(context, sites, both, travel):
    accept(context, 1)
    accept(context, 2, patient={"phone": "202-555-0101"})
    travel(NOW)
    hear(context, "can I move my visit?", 1, "SM1")
    travel(NOW + timedelta(minutes=5))
    hear(context, "thanks", 1, "SM2")
    hear(context, "hello there", 77, "SM3")
    (stranger, last, first) = replies(context, both)
    assert stranger.patients == ()
    assert first.patients == last.patients == ("MRN-1", "MRN-2")
    assert (first.from_, first.words, first.meaning) == ("•••••••0101", None, "change")
    assert first.task is not None
    assert first in replies(context, both, waiting=True)
    assert replies(context, both, meaning="change") == [first]
    assert replies(context, both, patient="MRN-2") == [last, first]
    assert replies(context, both, since=NOW + timedelta(minutes=1)) == [stranger, last]
    assert replies(context, both, until=NOW + timedelta(minutes=1)) == [first]
    assert [one.words for one in replies(context, both, names=True)][-1] == "can I move my visit?"


def test_an_erased_patient_stays_listed_without_a_name(context, sites, both):
    accept(context, series=[one_off("a", "2026-12-03T15:00:00", place="Room 4")])

    def erase(tx):
        key_id = tx.value(sa.select(schema.patients.c.key_id))
        tx.run(schema.keys.update().where(schema.keys.c.id == key_id).values(wrapped=b"destroyed"))

    context.database.write(erase)
    context.database.data_keys.clear()
    assert [one.name for one in plans(context, both, names=True)] == [None]
    assert [one.name for one in patients(context, both, names=True)] == [None]
    assert [(one.patient_name, one.room) for one in visits(context, both, names=True)] == [(None, None)]
