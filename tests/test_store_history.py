"""The queries of a patient's page, drafts, and the effects of a change on texts; on both databases."""

from datetime import date, datetime, timedelta

import pytest
from conftest import NOW, logged
from people import document, one_off
from two_sites import accept, hear, open_north

from reminders import queries, store
from reminders.planner import Reason
from reminders.queries import history
from reminders.queries.patients import PatientFilter
from reminders.queries.plans import PlanFilter
from reminders.service import planning
from reminders.service.people import consents, staff_texts
from reminders.service.people.reader_case import Refused, Whom
from reminders.service.planning import changes
from reminders.store.database.ids import new_id

STAFF = 7


@pytest.fixture
def staffed(context):
    from reminders.store.database import schema

    def work(tx):
        store.people.keep_default_site(tx, context.settings, NOW)
        for number in (STAFF, STAFF + 1):
            tx.run(
                schema.staff.insert(),
                {"id": number, "login": f"s{number}", "name": "S", "shortcuts": True, "made_at": NOW},
            )
        return store.people.site_by_key(tx, "main").id

    return context, context.database.write(work)


def test_a_draft_is_its_owners_alone_and_is_forgotten_in_time(staffed):
    context, site_id = staffed
    draft = new_id(NOW)

    def keep(fields, now=NOW, staff_id=STAFF, draft_id=draft):
        return context.database.write(
            lambda tx: store.drafts.keep(tx, draft_id, fields, now, staff_id=staff_id, site_id=site_id)
        )

    def mine(staff_id=STAFF, draft_id=None):
        return context.database.read(lambda tx: queries.drafts.mine(tx, staff_id, draft_id))

    assert keep([("patient.name", "Jordan Alvarez")])
    assert keep([("patient.name", "Jordan"), ("patient.name", "again")], NOW + timedelta(minutes=1))
    assert [one.fields for one in mine()] == [(("patient.name", "Jordan"), ("patient.name", "again"))]
    assert not keep([("patient.name", "Mallory")], staff_id=STAFF + 1)
    assert mine(STAFF + 1) == []
    assert mine(STAFF + 1, draft) == []
    assert [one.id for one in mine(STAFF, draft)] == [draft]
    later = NOW + store.drafts.FORGOTTEN_AFTER + timedelta(days=1)
    keep([("patient.name", "Sam")], later, draft_id=draft + 1)
    assert [one.id for one in mine()] == [draft + 1]
    assert not context.database.write(lambda tx: store.drafts.discard(tx, STAFF + 1, draft + 1))
    assert context.database.write(lambda tx: store.drafts.discard(tx, STAFF, draft + 1))
    assert mine() == []


def test_keys_can_be_rotated_under_drafts_and_samples(staffed):
    context, site_id = staffed
    context.database.write(lambda tx: store.drafts.keep(tx, 5, [("a", "b")], NOW, staff_id=STAFF, site_id=site_id))
    staff_texts.send_sample(context, "We hope to see you tomorrow.", "202-555-0177", NOW, who="test")
    ring = store.Ring({"k2": bytes(32), **dict.fromkeys(())} | {"k1": bytes(range(32))})
    other = store.Database(context.settings.database.url, ring)
    try:
        while other.write(lambda tx: store.people.rotate_keys(tx, 100)):
            pass
    finally:
        other.close()
    only_new = store.Database(context.settings.database.url, store.Ring({"k2": bytes(32)}))
    try:
        (draft,) = only_new.read(lambda tx: queries.drafts.mine(tx, STAFF))
        assert draft.fields == (("a", "b"),)
        (text,) = only_new.read(lambda tx: queries.texts.log(tx, queries.texts.LogFilter()))
        assert only_new.read(lambda tx: history.typed(tx, [text.text]))[text.text] == "We hope to see you tomorrow."
    finally:
        only_new.close()


def test_a_sample_goes_to_a_phone_of_staffs_own_and_to_no_patients(context):
    planning.accept(context, document(), NOW, who="test")
    typed = staff_texts.send_sample(context, "We hope to see you tomorrow.", "(202) 555-0177", NOW, who="staff:ana")
    (text,) = [one for one in logged(context) if one.class_ == "staff"]
    assert (text.text, text.recipient, text.patient, text.state) == (typed.text, None, None, "scheduled")
    for phone, words in (("202-555-0143", "patients' texts"), ("202-555-0177", "tells")):
        body = "Come to detox tomorrow." if words == "tells" else "We hope to see you."
        with pytest.raises(Refused, match=words):
            staff_texts.send_sample(context, body, phone, NOW, who="staff:ana")
    context.database.write(
        lambda tx: store.people.opt_out(tx, queries.people.number_by_phone(tx, "+12025550177").id, NOW)
    )
    with pytest.raises(Refused, match="opted out"):
        staff_texts.send_sample(context, "We hope to see you.", "202-555-0177", NOW, who="staff:ana")


def test_what_a_change_does_to_texts_is_seen_before_it_is_made(context):
    planning.accept(context, document(series=[one_off("visit", "2026-12-03T15:00:00")]), NOW, who="test")
    plan = context.database.read(lambda tx: store.plans.plan_by_ref(tx, "DC-1", lock=False))
    (visit,) = context.database.read(lambda tx: store.plans.appointments_named(tx, plan.id, "visit", None))
    before = logged(context)

    def move(tx):
        return changes.change_one(context, tx, visit.id, NOW, who="test", to=datetime(2026, 12, 10, 11, 0))

    done, effects = planning.effects(context, plan.patient_id, move, NOW)
    assert logged(context) == before
    assert (done.added, done.retracted) == (
        sum(one.what == "added" for one in effects),
        sum(one.what == "retracted" for one in effects),
    )
    assert {one.what for one in effects} >= {"added", "retracted"}
    context.database.write(move)
    after = planning.preview_plan(context, "DC-1", NOW)
    assert [one.after for one in effects if one.after is not None and one.after.goes] == [
        one for one in after if one.goes and one not in [text.before for text in effects]
    ]
    off, effects = planning.effects(
        context, plan.patient_id, lambda tx: changes.change_one(context, tx, visit.id, NOW, who="test", to=None), NOW
    )
    assert off.retracted
    assert context.database.write(lambda tx: changes.change_one(context, tx, 1, NOW, who="test", to=None)) is None


def test_several_plans_change_at_once_or_are_only_counted(context):
    refs = [accept(context, number) for number in (1, 2)]
    rows = [context.database.read(lambda tx, ref=ref: store.plans.plan_by_ref(tx, ref, lock=False)) for ref in refs]
    ids = [row.id for row in rows]
    counted = changes.set_statuses(context, ids, "paused", NOW, who="test", dry_run=True)
    assert context.database.read(lambda tx: store.plans.plan_by_ref(tx, refs[0], lock=False)).status == "active"
    assert changes.set_statuses(context, ids, "paused", NOW, who="test") == counted
    assert counted[0] == 2
    assert counted[1].retracted > 0
    assert changes.set_statuses(context, ids, "paused", NOW, who="test")[0] == 0
    assert changes.set_statuses(context, ids[:1], "ended", NOW, who="test", because="left")[0] == 1
    assert changes.set_statuses(context, ids, "active", NOW, who="test")[0] == 1  # the ended one is skipped


def test_a_patients_history_is_theirs_alone(context, travel):
    del travel
    places = open_north(context)
    accept(context, 1)
    accept(context, 2, "north")
    hear(context, "C", 1, "SM1")
    hear(context, "running late", 2, "SM2")
    (one,) = context.database.read(
        lambda tx: queries.patients.list_patients(tx, places.values(), PatientFilter(search="MRN-1"), NOW)
    )

    def ask(work):
        return context.database.read(work)

    assert ask(lambda tx: history.patient(tx, [places["main"]], one.id)).ref == "MRN-1"
    assert ask(lambda tx: history.patient(tx, [places["north"]], one.id)) is None
    (plan,) = ask(lambda tx: queries.plans.list_plans(tx, places.values(), PlanFilter(patient="MRN-1"), NOW))
    assert ask(lambda tx: history.plan(tx, [places["main"]], plan.id)).ref == "DC-1"
    assert ask(lambda tx: history.plan(tx, [places["north"]], plan.id)) is None
    assert [said.words for said in ask(lambda tx: history.heard(tx, one.id, 10))] == ["C"]
    assert [said.said for said in ask(lambda tx: history.consents_of(tx, one.id))] == ["yes"]
    consents.record_opt_out(context, Whom("MRN-1"), NOW, how="letter", received_at=NOW, by="A. Reyes", who="staff:ana")
    rows = ask(lambda tx: history.access(tx, one.id, 50))
    assert {"plan accepted", "opt-out recorded"} <= {row.what for row in rows}
    assert len({row.id for row in rows}) == len(rows)
    assert [row.id for row in rows] == sorted((row.id for row in rows), reverse=True)
    assert ask(lambda tx: history.access(tx, one.id, 50, rows[-1].id)) == []
    assert (
        ask(lambda tx: queries.plans.list_plans(tx, places.values(), PlanFilter(ids=[plan.id]), NOW))[0].ref == "DC-1"
    )


def test_a_sample_is_judged_like_nobodys_text():
    from reminders import planner
    from reminders.planner.notices import Sort, Unplanned

    policy = planner.Policy((), (), per_day=1, per_week=7)
    for opted_out, verdict in ((False, planner.Go(())), (True, planner.Stop(Reason.OPTED_OUT))):
        due = Unplanned(Sort.STAFF, None, (), None, NOW + timedelta(hours=1), opted_out=opted_out)
        assert planner.guard_unplanned(due, policy, NOW) == verdict
    notice = Unplanned(Sort.NOTICE, None, (), None, NOW + timedelta(hours=1))
    assert planner.guard_unplanned(notice, policy, NOW) == planner.Stop(Reason.NO_CONSENT)


def test_entering_by_hand_minds_references_and_versions(context):
    from reminders.plans import PlanRefused

    plan_id, accepted = planning.enter(context, document(), NOW, who="staff:ana")
    assert accepted.changed
    assert planning.enter(context, document(), NOW, who="staff:ana")[0] == plan_id  # sent twice: no news
    other = document(plan={"discharged_on": date(2026, 11, 29)})
    with pytest.raises(PlanRefused, match="another plan has this reference"):
        planning.enter(context, other, NOW, who="staff:ana")
    with pytest.raises(PlanRefused, match="changed by someone else"):
        planning.enter(context, other, NOW, who="staff:ana", plan_id=plan_id, version=9)
    with pytest.raises(PlanRefused, match="stays as it is"):
        planning.enter(context, document(plan={"ref": "DC-9"}), NOW, who="staff:ana", plan_id=plan_id, version=1)
    assert planning.enter(context, other, NOW, who="staff:ana", plan_id=plan_id, version=1)[0] == plan_id
