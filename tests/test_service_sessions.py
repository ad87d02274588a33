"""Shared things: a session moved for all, a number of two patients, a closed site; and red visits."""

from datetime import date, datetime, timedelta

import pytest
from conftest import NOW, logged, open_context
from people import document, one_off

from reminders.service import planning
from reminders.service.planning import changes
from reminders.store.planning.texts import Changes

WEEKLY = {"repeats": "FREQ=WEEKLY;COUNT=3", "kind": "therapy_group", "session": "oak-monday"}


def accept(context, number=1, now=NOW, **changes):
    person = {
        "plan": {"ref": f"DC-{number}"},
        "patient": {"ref": f"MRN-{number}", "phone": f"202-555-{100 + number:04d}"},
    }
    for name, values in person.items():
        changes[name] = values | changes.get(name, {})
    return planning.accept(context, document(**changes), now, who="test")


def keys(context, *states, **wanted):
    return [text.key for text in logged(context, **wanted) if text.state in states]


def test_one_verb_moves_a_session_for_all_its_patients(context):
    for number in (1, 2, 3):
        accept(context, number, series=[one_off("group", "2026-12-07T18:00:00", **WEEKLY)])
    accept(context, 4, series=[one_off("other", "2026-12-14T18:00:00", repeats="FREQ=WEEKLY;COUNT=2")])
    to = datetime(2026, 12, 16, 10, 30)
    moved = changes.change_session(context, "oak-monday", date(2026, 12, 14), NOW, who="test", to=to)
    assert moved == Changes(added=3, retracted=3)
    for number in (1, 2, 3):
        assert "day:2026-12-16:1d@17:00" in keys(context, "scheduled", plan=f"DC-{number}")
        assert "day:2026-12-14:1d@17:00" in keys(context, "cancelled", plan=f"DC-{number}")
    assert "day:2026-12-14:3d@17:00" in keys(context, "scheduled", plan="DC-4")


def test_one_verb_calls_a_session_off(context):
    for number in (1, 2):
        accept(context, number, series=[one_off("group", "2026-12-07T18:00:00", **WEEKLY)])
    off = changes.change_session(context, "oak-monday", date(2026, 12, 14), NOW, who="test", to=None)
    assert off == Changes(retracted=2)
    again = changes.change_session(context, "oak-monday", date(2026, 12, 14), NOW, who="test", to=None)
    assert again is None
    assert changes.change_session(context, "nobody", date(2026, 12, 14), NOW, who="test", to=None) is None


def test_what_was_moved_here_stays_moved_until_the_plan_says_something_new(context):
    group = one_off("group", "2026-12-07T18:00:00", **WEEKLY)
    accept(context, series=[group])
    to = datetime(2026, 12, 16, 10, 30)
    changes.change_session(context, "oak-monday", date(2026, 12, 14), NOW, who="test", to=to)
    planning.extend(context, NOW + timedelta(days=1))
    accept(context, series=[group | {"place": "Room 9"}])
    assert "day:2026-12-16:1d@17:00" in keys(context, "scheduled")
    accept(context, series=[group | {"move": {"2026-12-14T18:00": "2026-12-17T18:00"}}])
    assert "day:2026-12-16:1d@17:00" in keys(context, "cancelled")
    assert "day:2026-12-17:1d@17:00" in keys(context, "scheduled")


def test_a_session_cannot_move_into_the_past(context):
    accept(context, series=[one_off("group", "2026-12-07T18:00:00", **WEEKLY)])
    with pytest.raises(ValueError, match="has passed"):
        changes.change_session(
            context,
            "oak-monday",
            date(2026, 12, 14),
            NOW,
            who="test",
            to=datetime(2026, 11, 1, 10, 0),
        )
    assert "day:2026-12-14:1d@17:00" in keys(context, "scheduled")


def test_l6_two_patients_on_one_number_share_its_caps(context):
    accept(context, 1, series=[one_off("group", "2026-12-08T09:30:00", leads=["1d@17:00"], kind="therapy_group")])
    assert keys(context, "scheduled", plan="DC-1")
    shared = {"phone": "202-555-0101"}
    done = accept(
        context, 2, patient=shared, series=[one_off("visit", "2026-12-08T09:15:00", leads=["1d@17:00"])]
    ).texts
    assert (done.added, done.retracted) == (1, 1)
    assert {(text.plan, text.state, text.reason) for text in logged(context)} == {
        ("DC-1", "suppressed", "cap_day"),
        ("DC-2", "scheduled", None),
    }
    changes.set_plan_status(context, "DC-2", "ended", NOW, who="test", because="completed")
    assert keys(context, "scheduled", plan="DC-1") == ["day:2026-12-08:1d@17:00"]


def test_l6_the_consent_in_force_sets_the_caps(context):
    daily = [one_off("group", "2026-12-07T18:00:00", repeats="FREQ=DAILY;COUNT=10", kind="therapy_group")]
    accept(context, series=daily, consent={"per_week": 3})
    reasons = [text.reason for text in logged(context) if text.state == "suppressed"]
    # Two visits on a day taken by the first visit's three-day text, and others beyond three a week.
    assert set(reasons) == {"cap_day", "cap_week"}
    assert len(keys(context, "scheduled")) == 6
    accept(context, series=daily, consent={"per_week": 7, "on": "2026-11-30"})
    assert len(keys(context, "scheduled")) > 8


def test_a_closed_day_has_no_text(database_url, tmp_path):
    context = open_context(database_url, tmp_path, site__closures='["2026-12-25"]')
    accept(context, series=[one_off("visit", "2026-12-25T15:00:00")])
    assert {(text.state, text.reason) for text in logged(context)} == {("suppressed", "closed")}
    assert all(text.red for text in planning.preview_plan(context, "DC-1", NOW))  # the first visit after discharge
    context.close()


def test_a_visit_left_without_any_text_is_red(context):
    soon = one_off("visit", "2026-12-01T15:00:00")
    accept(context, series=[soon], consent={"said": "no"})
    assert {text.red for text in planning.preview_plan(context, "DC-1", NOW)} == {True}
    accept(context, 2, series=[soon])
    assert not any(text.red for text in planning.preview_plan(context, "DC-2", NOW))


def test_a_matrix_plan_with_two_one_offs_and_a_meeting_is_within_its_caps(context):
    asked = document(
        plan={
            "ref": "DC-9",
            "discharged_on": "2026-11-30",
            "program": "matrix-iop",
            "starts_on": "2026-12-07",
            "program_times": {"therapy_group": "17:30"},
        },
        series=[
            one_off("intake", "2026-12-03T10:00:00"),
            one_off("doctor", "2026-12-09T14:00:00", kind="psychiatry"),
            one_off("meeting", "2026-12-05T19:00:00", kind="support_meeting", repeats="FREQ=WEEKLY"),
        ],
    )
    before = planning.preview(context, asked, NOW)
    planning.accept(context, asked, NOW, who="test")
    stored = logged(context)
    assert [(text.key, text.state, text.reason) for text in stored] == [
        (text.key, text.state, text.reason) for text in before
    ]
    days = [text.opens_at for text in stored if text.state == "scheduled"]
    assert len(days) == len({day.date() for day in days})
    for text in stored:
        assert (text.reason is None) == (text.state == "scheduled")


def test_p21_a_plan_without_a_visit_in_its_first_week_asks_for_a_reason(context):
    far = [one_off("visit", "2026-12-20T15:00:00")]
    assert "first seven days" in accept(context, 1, series=far).note
    assert accept(context, 2, series=far, plan={"late_start_because": "travels until the 18th"}).note is None
    assert accept(context, 3, series=[one_off("visit", "2026-12-07T09:00:00")]).note is None
    assert accept(context, 4, series=[one_off("visit", "2026-11-30T18:00:00")]).note is not None  # the day itself
