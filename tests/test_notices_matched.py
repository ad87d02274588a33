"""An edit of a plan changes visits, not just names: a reader who knows a visit is told only what is new."""

import random
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from conftest import NOW, send
from hypothesis import given
from hypothesis import strategies as st
from people import one_off
from sqlalchemy import select
from test_service_changes import accept, bodies, move, notices, wall

from reminders.planner import Arriving, Leaving, renamed
from reminders.plans import Kind
from reminders.service import planning
from reminders.store.database.schema import appointments, text_items, texts

SOON = NOW + timedelta(hours=1)
THAT = "2026-12-03T15:00:00"  # Thursday


def standing(context):
    """Every visit that is on: its wall clock and its row."""

    def look(tx):
        query = select(appointments.c.wall, appointments.c.id).where(appointments.c.status == "booked")
        return sorted((row.wall, row.id) for row in tx.all(query))

    return context.database.read(look)


def reminders_of(context):
    """Planned reminders, with their visits."""

    def look(tx):
        query = select(texts.c.key, texts.c.id, text_items.c.appointment_id).join(
            text_items, text_items.c.text_id == texts.c.id
        )
        query = query.where(texts.c["class"] == "reminder", texts.c.state == "scheduled")
        return sorted((row.key, row.id, row.appointment_id) for row in tx.all(query))

    return context.database.read(look)


WEEKLY = {"repeats": "FREQ=WEEKLY;COUNT=3"}
LEADS = {"leads": ["1d@17:00"]}
SAME = {
    "a one-off made weekly": (one_off("a", THAT, **LEADS), one_off("a", THAT, **LEADS, **WEEKLY)),
    "weekly made a one-off": (
        one_off("a", THAT, **LEADS, repeats="FREQ=WEEKLY;COUNT=1"),
        one_off("a", THAT, **LEADS),
    ),
    "another key": (one_off("a", THAT, **LEADS), one_off("b", THAT, **LEADS)),
    "another key, made weekly": (one_off("a", THAT, **LEADS), one_off("b", THAT, **LEADS, **WEEKLY)),
    "another kind and key": (
        one_off("a", THAT, **LEADS),
        one_off("b", THAT, **LEADS) | {"kind": "psychiatry"},
    ),
    "weekly, another key": (one_off("a", THAT, **LEADS, **WEEKLY), one_off("b", THAT, **LEADS, **WEEKLY)),
    "cancelled in one series, booked in another": (one_off("a", THAT, **LEADS), one_off("b", THAT, **LEADS)),
}


@pytest.mark.parametrize("name", SAME)
def test_field_report_2_the_same_instant_under_another_name_is_no_news(context, name):
    before, after = SAME[name]
    accept(context, series=[before])
    first, reminded = standing(context), reminders_of(context)
    series = [after]
    if name.startswith("cancelled"):
        series = [before | {"status": "cancelled"}, after]
    accept(context, now=SOON, series=series)
    assert notices(context) == []
    assert standing(context)[0] == first[0], "the visit is the same row"
    assert reminders_of(context)[: len(reminded)] == reminded, "its reminder is not disturbed"
    # And back again, and once more.
    for at, again in enumerate((before, after, before), start=1):
        accept(context, now=SOON + timedelta(minutes=at), series=[again])
        assert notices(context) == []
        assert standing(context)[0] == first[0]


def test_field_report_2_another_key_and_another_time_that_day_has_a_new_time(line, twilio, travel):
    accept(line, series=[one_off("a", THAT)])
    travel(SOON)
    accept(line, now=SOON, series=[one_off("b", "2026-12-03T16:30:00")])
    send(line)
    (body,) = bodies(twilio)
    assert "Your visit has a new time: Thu Dec 3, 4:30pm." in body


def test_field_report_2_another_weekday_has_moved_from_the_old_one(line, twilio, travel):
    accept(line, series=[one_off("a", THAT, repeats="FREQ=WEEKLY;COUNT=4")])
    travel(SOON)
    accept(line, now=SOON, series=[one_off("a", "2026-12-04T15:00:00", repeats="FREQ=WEEKLY;COUNT=4")])
    send(line)
    (body,) = bodies(twilio)
    assert "moved from Thu Dec 3 to Fri Dec 4, 3:00pm" in body
    assert len(standing(line)) == 4


def test_field_report_2_what_has_no_match_is_called_off(context):
    accept(context, series=[one_off("a", THAT), one_off("b", "2026-12-09T10:00:00") | {"kind": "psychiatry"}])
    accept(context, now=SOON, series=[one_off("b", "2026-12-09T10:00:00") | {"kind": "psychiatry"}])
    assert notices(context) == [("called_off", "scheduled", None)]


def test_field_report_2_a_visit_that_staff_moved_keeps_its_time_under_another_key(context):
    accept(context, series=[one_off("a", THAT)])
    move(context, "2026-12-04T11:00", SOON, series="a")
    accept(context, now=SOON + timedelta(minutes=5), series=[one_off("b", THAT, **WEEKLY)])
    assert standing(context)[0][0] == "2026-12-04T11:00:00"
    assert notices(context, "scheduled") == [("moved", "scheduled", None)]


def test_long_run_4_what_staff_called_off_is_not_revived_by_another_time_or_key(context):
    accept(context, series=[one_off("a", THAT, **WEEKLY)])
    move(context, None, SOON, series="a")
    later = SOON + timedelta(minutes=5)
    accept(context, now=later, series=[one_off("a", "2026-12-03T16:00:00", **WEEKLY)])
    accept(context, now=later, series=[one_off("b", "2026-12-03T16:00:00", **WEEKLY)])
    assert [at for at, _ in standing(context)] == ["2026-12-10T16:00:00", "2026-12-17T16:00:00"]
    assert notices(context, "scheduled") == [("called_off", "scheduled", None)]


def test_long_run_4_what_staff_called_off_comes_back_when_the_plan_names_that_date(context):
    accept(context, series=[one_off("a", THAT, **WEEKLY)])
    move(context, None, SOON, series="a")
    later = SOON + timedelta(minutes=5)
    accept(context, now=later, series=[one_off("a", THAT, **WEEKLY, move={"2026-12-03T15:00": "2026-12-04T10:00"})])
    assert standing(context)[0][0] == "2026-12-04T10:00:00"


def test_long_run_4_a_visit_that_staff_moved_is_not_moved_by_another_time_of_its_series(context):
    series = one_off("a", "2026-11-28T10:00:00", repeats="FREQ=WEEKLY;COUNT=4")
    accept(context, series=[series])
    move(context, "2026-12-03T11:00", SOON, on="2026-12-05", series="a")
    told = notices(context)
    accept(context, now=SOON + timedelta(minutes=5), series=[series | {"starts": "2026-11-28T10:30:00"}])
    assert [at for at, _ in standing(context)][1:] == [
        "2026-12-03T11:00:00",
        "2026-12-12T10:30:00",
        "2026-12-19T10:30:00",
    ]
    assert notices(context) == told


def test_long_run_4_an_edit_moves_nothing_into_the_past_and_nothing_that_has_begun(line, twilio, travel):
    daily = one_off("a", "2026-12-01T15:00:00", repeats="FREQ=DAILY;COUNT=2", leads=["2h"])
    accept(line, series=[daily])
    travel(wall("2026-12-01T12:13"))
    accept(line, now=wall("2026-12-01T12:13"), series=[daily | {"starts": "2026-12-01T10:00:00"}])
    assert [at for at, _ in standing(line)] == ["2026-12-01T15:00:00", "2026-12-02T10:00:00"]
    send(line)
    assert [body for body in bodies(twilio) if "today" in body] == []
    # Under another key as well.
    accept(line, now=wall("2026-12-01T12:14"), series=[daily | {"key": "b", "starts": "2026-12-01T09:00:00"}])
    assert [at for at, _ in standing(line)] == ["2026-12-01T15:00:00", "2026-12-02T09:00:00"]
    # What has begun stays where it is.
    accept(line, now=wall("2026-12-01T15:01"), series=[daily | {"key": "b", "starts": "2026-12-01T17:00:00"}])
    assert [at for at, _ in standing(line)] == ["2026-12-01T15:00:00", "2026-12-02T17:00:00"]
    assert all("today" not in body for body in bodies(twilio))


def test_long_run_4_a_one_off_that_passed_and_has_a_later_day_is_another_visit(context):
    accept(context, series=[one_off("a", THAT)])
    after = wall("2026-12-03T17:00")
    accept(context, now=after, series=[one_off("a", "2026-12-08T15:00:00")])
    assert [at for at, _ in standing(context)] == [THAT, "2026-12-08T15:00:00"]
    assert notices(context) == []
    assert not planning.extend(context, after + timedelta(days=1)).retracted
    assert [at for at, _ in standing(context)] == [THAT, "2026-12-08T15:00:00"]


# The matching alone.

KINDS = st.sampled_from((Kind.THERAPY_INDIVIDUAL, Kind.PSYCHIATRY, Kind.SUPPORT_MEETING))
TIMES = st.builds(lambda day, hour: datetime(2026, 12, day, hour), st.integers(1, 20), st.sampled_from((9, 10, 15)))
READERS = st.sampled_from((frozenset({"self"}), frozenset({"self", "mom"}), frozenset({"mom"})))


def instant(at: datetime) -> datetime:
    return wall(at.isoformat())


@st.composite
def edits(draw):
    leaving = [
        Leaving(number, at, instant(at), instant(draw(st.sampled_from((at, agreed)))), kind, readers, on=on)
        for number, (at, agreed, kind, readers, on) in enumerate(
            draw(st.lists(st.tuples(TIMES, TIMES, KINDS, READERS, st.booleans()), max_size=6))
        )
    ]
    arriving = [
        Arriving((1, str(number)), at, instant(at), kind, readers)
        for number, (at, kind, readers) in enumerate(draw(st.lists(st.tuples(TIMES, KINDS, READERS), max_size=6)))
    ]
    return leaving, arriving


@given(edits(), st.integers(0, 1000))
def test_visits_are_matched_one_to_one_in_any_order_and_the_same_instant_comes_first(edit, seed):
    leaving, arriving = edit
    found = renamed(leaving, arriving, NOW)
    assert len(set(found.values())) == len(found)
    shuffled = random.Random(seed)
    others = shuffled.sample(leaving, len(leaving)), shuffled.sample(arriving, len(arriving))
    assert renamed(*others, NOW) == found
    by_name = {one.name: one for one in arriving}
    for old in leaving:
        same = [one for one in arriving if one.starts_at == old.starts_at and one.readers & old.readers]
        if old.on and same and old.id not in found:  # then each of them is another's, as surely
            assert {one.name for one in same} <= set(found.values())
        if old.id in found and not old.on:
            assert by_name[found[old.id]].starts_at == old.agreed_at


@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 6))
def test_a_weekly_series_on_another_weekday_is_matched_week_by_week(weeks, old, new):
    monday = datetime(2026, 12, 7, 15)
    leaving = [
        Leaving(week, at, instant(at), instant(at), Kind.PSYCHIATRY, frozenset({"self"}))
        for week, at in enumerate(monday + timedelta(days=old, weeks=week) for week in range(weeks))
    ]
    arriving = [
        Arriving((1, str(week)), at, instant(at), Kind.PSYCHIATRY, frozenset({"self"}))
        for week, at in enumerate(monday + timedelta(days=new, weeks=week) for week in range(weeks))
    ]
    found = renamed(leaving, arriving, NOW)
    assert found == {week: (1, str(week)) for week in range(weeks)}
    assert all(a < b for a, b in pairwise(sorted(found)))
