"""A plan is accepted, and its texts are scheduled: once, and exactly the right ones."""

from datetime import timedelta

import pytest
from conftest import NOW, logged
from people import KNOWN, document, one_off, raw
from sqlalchemy import select

from reminders.plans import PlanRefused, read
from reminders.service import planning
from reminders.service.planning import changes, importing, replanning
from reminders.store import people as stored_people
from reminders.store.database import sealing
from reminders.store.database.schema import audit
from reminders.store.planning.texts import Changes


def accept(context, **changes) -> planning.Accepted:
    return planning.accept(context, document(**changes), changes.pop("now", NOW), who="test")


def keys(context, *states: str) -> list[str]:
    return [text.key for text in logged(context) if not states or text.state in states]


def test_a_plan_lays_down_its_texts(context):
    accepted = accept(context)
    assert accepted.changed
    assert accepted.texts == Changes(added=3)
    assert keys(context) == ["day:2026-12-03:3d@17:00", "day:2026-12-03:1d@17:00", "day:2026-12-03:2h"]
    assert {text.state for text in logged(context)} == {"scheduled"}


def test_the_same_plan_again_changes_nothing(context):
    accept(context)
    before = logged(context)
    again = accept(context)
    assert (again.changed, again.texts) == (False, Changes())
    assert logged(context) == before


def test_a_change_to_another_day_retracts_the_old_texts(context):
    accept(context)
    moved = accept(context, series=[one_off("therapy", "2026-12-08T15:00:00", minutes=50)])
    assert moved.texts == Changes(added=3, retracted=3)
    assert keys(context, "cancelled") == ["day:2026-12-03:3d@17:00", "day:2026-12-03:1d@17:00", "day:2026-12-03:2h"]
    assert keys(context, "scheduled") == ["day:2026-12-08:3d@17:00", "day:2026-12-08:1d@17:00", "day:2026-12-08:2h"]


def test_a_change_on_the_same_day_moves_the_text_that_depends_on_the_hour(context):
    accept(context)
    moved = accept(context, series=[one_off("therapy", "2026-12-03T16:00:00", minutes=50)])
    # The 2 h text opens an hour later, so the day-before text may be sent an hour longer. All name the new time.
    assert moved.texts == Changes(moved=2)
    assert len(logged(context)) == 3


def test_a_retracted_text_is_revived_when_the_plan_comes_back(context):
    accept(context)
    rows = {text.text for text in logged(context)}
    accept(context, series=[one_off("therapy", "2026-12-08T15:00:00", minutes=50)])
    back = accept(context)
    assert back.texts == Changes(added=3, retracted=3)
    assert {text.text for text in logged(context, state="scheduled")} == rows


def test_a_series_keeps_its_identities_when_one_date_moves(context):
    weekly = one_off("therapy", "2026-12-03T15:00:00", repeats="FREQ=WEEKLY;COUNT=4")
    accept(context, series=[weekly])
    moved = accept(context, series=[weekly | {"move": {"2026-12-10T15:00": "2026-12-11T10:00"}}])
    assert moved.texts == Changes(added=1, retracted=1)
    skipped = accept(context, series=[weekly | {"skip": ["2026-12-10"]}])
    assert skipped.texts == Changes(retracted=1)
    assert "day:2026-12-10:1d@17:00" not in keys(context, "scheduled")


def test_two_visits_on_one_day_share_one_text_across_plans(context):
    accept(context)
    accept(
        context,
        plan={"ref": "DC-2", "alongside": True},
        series=[one_off("check-up", "2026-12-03T10:00:00", kind="check_up")],
    )
    # Two hours before the new first visit it is night: that text would move to the evening before, after one that
    # covers it.
    assert keys(context, "scheduled") == ["day:2026-12-03:3d@17:00", "day:2026-12-03:1d@17:00"]
    assert {text.key for text in logged(context, plan="DC-1")} == {text.key for text in logged(context, plan="DC-2")}
    # Ending one plan leaves the other's visit in the shared texts.
    changes.set_plan_status(context, "DC-2", "ended", NOW, who="test", because="completed")
    assert len(keys(context, "scheduled")) == 3
    assert logged(context, plan="DC-1")[-1].opens_at == NOW.replace(month=12, day=3, hour=18)


def test_a_second_current_plan_must_say_how_it_stands_to_the_first(context):
    accept(context)
    with pytest.raises(PlanRefused, match="DC-1"):
        accept(context, plan={"ref": "DC-2"})
    with pytest.raises(PlanRefused, match="no current plan"):
        accept(context, plan={"ref": "DC-2", "replaces": "DC-9"})
    replaced = accept(context, plan={"ref": "DC-2", "replaces": "DC-1"}, series=[one_off("x", "2026-12-09T15:00:00")])
    assert replaced.texts == Changes(added=3, retracted=3)
    assert {text.plan for text in logged(context, state="scheduled")} == {"DC-2"}


def test_a_reference_belongs_to_one_patient(context):
    accept(context)
    with pytest.raises(PlanRefused, match="another patient"):
        accept(context, patient={"ref": "MRN-2", "name": "Sam Okafor", "phone": "202-555-0145"})
    assert len(logged(context)) == 3


def test_pausing_resuming_and_ending(context):
    accept(context)
    paused = changes.set_plan_status(context, "DC-1", "paused", NOW, who="test")
    assert paused == Changes(retracted=3)
    assert {(text.state, text.reason) for text in logged(context)} == {("suppressed", "paused")}
    assert changes.set_plan_status(context, "DC-1", "paused", NOW, who="test") == Changes()
    assert changes.set_plan_status(context, "DC-1", "active", NOW, who="test") == Changes(added=3)
    assert changes.set_plan_status(context, "DC-1", "ended", NOW, who="test", because="left") == Changes(retracted=3)
    with pytest.raises(ValueError, match="has ended"):
        changes.set_plan_status(context, "DC-1", "active", NOW, who="test")
    assert changes.set_plan_status(context, "DC-9", "paused", NOW, who="test") is None


def test_an_import_does_not_undo_a_pause_unless_it_says_so(context):
    accept(context)
    changes.set_plan_status(context, "DC-1", "paused", NOW, who="test")
    accept(context)
    assert {text.state for text in logged(context)} == {"suppressed"}
    accept(context, series=[one_off("therapy", "2026-12-03T16:00:00")])
    assert {text.state for text in logged(context)} == {"suppressed"}


def test_l3_without_consent_every_text_is_a_row_with_its_reason(context):
    accept(context, consent={"said": "no"})
    assert {(text.state, text.reason) for text in logged(context)} == {("suppressed", "no_consent")}


def test_l38_a_yes_without_the_warning_is_no_consent(context):
    accept(context, consent={"warned_of_risk": False})
    assert {text.reason for text in logged(context)} == {"no_consent"}


def test_l50_a_revoked_yes_does_not_come_back_with_the_same_file(context):
    accept(context)
    accept(context, consent={"said": "no", "on": "2026-11-30"})
    accept(context)  # the old document again: its yes is older and already on record
    assert {text.reason for text in logged(context)} == {"no_consent"}
    accept(context, consent={"on": "2026-11-30", "how": "by phone"})
    assert {text.state for text in logged(context)} == {"scheduled"}


def test_l50_a_yes_of_the_same_day_that_was_taken_back_does_not_come_back_with_its_file(context):
    accept(context)
    accept(context, consent={"said": "no"})
    accept(context)  # word for word the record from before the opt-out
    assert {text.reason for text in logged(context)} == {"no_consent"}


def test_l50_a_new_number_needs_a_consent_of_its_own(context):
    accept(context)
    changed = raw(patient={"phone": "202-555-0188"})
    del changed["consent"]
    planning.accept(context, read(changed, KNOWN), NOW, who="test")
    assert {(text.state, text.reason) for text in logged(context)} == {("suppressed", "no_consent")}
    assert {text.to[-4:] for text in logged(context)} == {"0188"}


def test_l12_an_import_cannot_undo_a_stop(context):
    accept(context)

    def stop(tx):
        number = stored_people.keep_number(tx, "+12025550143", NOW)
        stored_people.mark_number(tx, number, opted_out_at=NOW)
        replanning.replan(context, tx, stored_people.patients_on(tx, number), NOW)

    context.database.write(stop)
    assert {text.reason for text in logged(context)} == {"opted_out"}
    accept(context, series=[one_off("therapy", "2026-12-04T15:00:00")])
    assert {text.state for text in logged(context)} == {"suppressed", "cancelled"}
    # Nor can another patient's plan on the same number.
    accept(context, plan={"ref": "DC-7"}, patient={"ref": "MRN-7"})
    assert not logged(context, state="scheduled")


def test_l48_a_supporter_gets_only_what_names_them(context):
    sister = {
        "key": "sister",
        "role": "supporter",
        "phone": "202-555-0144",
        "language": "es",
        "part2_consent_on": "2026-11-29",
        "consent": {"said": "yes", "on": "2026-11-29", "how": "form", "by": "A. Reyes", "categories": ["family"]},
    }
    accept(
        context,
        recipients=[sister],
        series=[
            one_off("therapy", "2026-12-03T15:00:00"),
            one_off("family", "2026-12-07T15:00:00", kind="family_session", **{"for": ["self", "sister"]}),
        ],
    )
    theirs = [text.key for text in logged(context) if text.recipient == "sister"]
    assert theirs == ["day:2026-12-07:3d@17:00", "day:2026-12-07:1d@17:00", "day:2026-12-07:2h"]


def test_a_preview_is_what_is_stored_and_leaves_nothing(context):
    asked = document(
        series=[
            one_off("therapy", "2026-12-03T15:00:00", repeats="FREQ=WEEKLY;COUNT=5"),
            one_off("group", "2026-12-03T18:00:00", kind="support_meeting", repeats="FREQ=WEEKLY;COUNT=3"),
            one_off("early", "2026-12-09T07:00:00"),
            one_off("maybe", "2026-12-15T07:00:00", status="tentative"),
        ]
    )
    before = planning.preview(context, asked, NOW)
    assert logged(context) == []
    planning.accept(context, asked, NOW, who="test")
    assert planning.preview_plan(context, "DC-1", NOW) == before
    stored = {text.key: (text.opens_at, text.closes_at, text.state, text.reason) for text in logged(context)}
    assert stored == {text.key: (text.opens_at, text.closes_at, text.state, text.reason) for text in before}
    assert all(text.text for text in before)
    assert {text.segments for text in before} == {1}
    assert planning.preview_plan(context, "DC-9", NOW) is None


def test_an_open_ended_series_is_laid_down_as_time_goes(context):
    accept(context, series=[one_off("therapy", "2026-12-03T15:00:00", repeats="FREQ=WEEKLY")])
    last = max(text.opens_at for text in logged(context))
    assert last < NOW + timedelta(days=64)
    assert planning.extend(context, NOW) == Changes()
    later = NOW + timedelta(days=30)
    assert planning.extend(context, later).added == 4
    assert planning.extend(context, later) == Changes()
    assert max(text.opens_at for text in logged(context)) > last + timedelta(days=20)


def test_zones_hold_across_the_days_the_clocks_change(context):
    spring = one_off("spring", "2026-03-02T18:00:00", repeats="FREQ=WEEKLY;COUNT=2")
    autumn = one_off("autumn", "2026-10-26T18:00:00", repeats="FREQ=WEEKLY;COUNT=2")
    known_then = NOW.replace(month=2, day=25)
    planning.accept(context, document(plan={"ref": "S"}, series=[spring]), known_then, who="test")
    planning.accept(
        context,
        document(plan={"ref": "A"}, patient={"ref": "MRN-2"}, series=[autumn]),
        NOW.replace(month=10, day=20),
        who="test",
    )
    opens = [text.opens_at.hour for text in logged(context) if text.key.endswith("1d@17:00")]
    # 17:00 in New York: 22 h UTC in winter, 21 h in summer. 8 March and 1 November 2026 are in between.
    assert opens == [22, 21, 21, 22]


@pytest.mark.parametrize(
    ("zone", "opens"),
    [
        ("Australia/Lord_Howe", "2026-12-02T06:00:00+00:00"),  # +11:00 in summer
        ("Pacific/Apia", "2026-12-02T04:00:00+00:00"),  # +13:00
        ("Asia/Kathmandu", "2026-12-02T11:15:00+00:00"),  # +05:45
    ],
)
def test_zones_far_away(context, zone, opens):
    accept(
        context,
        patient={"zone": zone},
        series=[one_off("therapy", "2026-12-03T15:00:00", zone=zone, leads=["1d@17:00"])],
    )
    (text,) = logged(context)
    assert text.opens_at.isoformat() == opens


def test_the_audit_says_who_and_keeps_its_values_sealed(context):
    accept(context)
    (row,) = context.database.read(lambda tx: tx.all(select(audit)))
    assert (row.who, row.what, row.table) == ("test", "plan accepted", "plans")
    assert b"Jordan" not in row.after_sealed
    assert "Jordan" in context.database.read(
        lambda tx: tx.open(sealing.Place("audit", "after_sealed", row.id), row.after_sealed)
    )


def plan_file(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


GOOD = """
[plan]
ref = "{ref}"
site = "main"
discharged_on = 2026-11-30
[patient]
ref = "MRN-{ref}"
name = "Jordan Alvarez"
phone = "(202) 555-0143"
[consent]
said = "yes"
on = 2026-11-29
how = "signed form"
by = "A. Reyes"
categories = ["appointments"]
warned_of_risk = true
[[series]]
key = "therapy"
kind = "therapy_individual"
starts = 2026-12-03T15:00:00
"""


def test_of_many_files_the_good_are_taken_and_the_bad_reported(context, tmp_path):
    good = plan_file(tmp_path, "a.toml", GOOD.format(ref="A"))
    bad = plan_file(tmp_path, "b.toml", GOOD.format(ref="B").replace("therapy_individual", "dancing"))
    report = importing.import_files(context, [good, bad], NOW, who="test")
    assert (report.accepted, report.texts.added) == (1, 3)
    assert [(path.name, problem.where) for path, problem in report.refused] == [("b.toml", "series[0].kind")]
    report = importing.import_files(context, [good, bad], NOW, who="test")
    assert (report.accepted, report.unchanged) == (0, 1)


def test_all_or_nothing_takes_none_for_one(context, tmp_path):
    good = plan_file(tmp_path, "a.toml", GOOD.format(ref="A"))
    second = plan_file(tmp_path, "b.toml", GOOD.format(ref="B").replace("MRN-B", "MRN-A"))  # a second current plan
    report = importing.import_files(context, [good, second], NOW, who="test", all_or_nothing=True)
    assert report.accepted == 0
    assert len(report.refused) == 1
    assert logged(context) == []


def test_a_dry_run_keeps_nothing(context, tmp_path):
    good = plan_file(tmp_path, "a.toml", GOOD.format(ref="A"))
    report = importing.import_files(context, [good], NOW, who="test", dry_run=True)
    assert (report.accepted, report.texts.added) == (1, 3)
    assert logged(context) == []


def test_a_watched_folder_moves_what_it_took(context, tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    plan_file(folder, "a.toml", GOOD.format(ref="A"))
    plan_file(folder, "b.toml", "[plan")
    later = NOW + timedelta(days=3650)  # well after the files were written
    importing.import_folder(context, folder, later)
    assert (folder / "done" / "a.toml").exists()
    assert (folder / "refused" / "b.toml").exists()
    assert "not valid TOML" in (folder / "refused" / "b.toml.problems.txt").read_text()
    assert importing.import_folder(context, folder, later).accepted == 0
