"""When to text (docs/design.md#the-planner, first part): leads, windows, quiet hours, and why a text is not sent."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders.planner import (
    Candidate,
    Go,
    Policy,
    QuietHours,
    Reader,
    Reason,
    Stop,
    Visit,
    Wait,
    next_allowed,
)
from reminders.planner import Due as TheDue
from reminders.planner import guard as the_guard
from reminders.planner import plan as plan_number
from reminders.plans import Category, Kind, Lead, to_instant, to_wall

NEW_YORK = "America/New_York"
NIGHT = QuietHours(time(20), time(9))
HOUSE = Policy(
    leads=(Lead.parse("3d@17:00"), Lead.parse("1d@17:00"), Lead.parse("2h")),
    series_leads=(Lead.parse("1d@17:00"),),
    per_day=1,
    per_week=7,
)


def plan(who: Reader, visits, policy: Policy, now: datetime, gone=()) -> list[Candidate]:
    """The texts of one reader who does not share a number."""
    return plan_number([(who, visits)], policy, now, gone)


def guard(who: Reader, visits, *, day, lead, closes_at, now, gone=(), reminded=()):
    due = TheDue(who, tuple(visits), day, lead, closes_at, tuple(gone), reminded=frozenset(reminded))
    return the_guard(due, HOUSE, now)


def reader(**changes) -> Reader:
    values = {
        "id": 1,
        "role": "self",
        "zone": NEW_YORK,
        "quiet": (NIGHT,),
        "consented": True,
        "categories": frozenset({Category.APPOINTMENTS, Category.MEETINGS}),
    }
    return Reader(**values | changes)


def visit(wall: str, **changes) -> Visit:
    starts = datetime.fromisoformat(wall)
    zone = changes.get("zone", NEW_YORK)
    values = {
        "id": 1,
        "kind": Kind.THERAPY_INDIVIDUAL,
        "wall": starts,
        "zone": zone,
        "starts_at": to_instant(starts, zone),
        "status": "booked",
        "repeats": False,
        "first": False,
        "leads": None,
        "plan_status": "active",
    }
    return Visit(**values | changes)


def at(wall: str, zone: str = NEW_YORK) -> datetime:
    return to_instant(datetime.fromisoformat(wall), zone)


def shown(candidates: list[Candidate], zone: str = NEW_YORK) -> list[tuple[str, str, str]]:
    """Key, opening on the reader's clock, and the reason or 'goes'."""
    return [
        (one.key, f"{to_wall(one.opens_at, zone):%a %d %H:%M}", one.reason.value if one.reason else "goes")
        for one in candidates
    ]


EARLY = at("2026-11-20T12:00")


def test_a_one_off_gets_three_texts():
    assert shown(plan(reader(), [visit("2026-12-03T15:00")], HOUSE, EARLY)) == [
        ("day:2026-12-03:3d@17:00", "Mon 30 17:00", "goes"),
        ("day:2026-12-03:1d@17:00", "Wed 02 17:00", "goes"),
        ("day:2026-12-03:2h", "Thu 03 13:00", "goes"),
    ]


def test_a_series_gets_one_text_and_its_first_visit_three():
    series = [visit("2026-12-03T15:00", repeats=True, first=True), visit("2026-12-10T15:00", repeats=True, id=2)]
    keys = [key for key, _, _ in shown(plan(reader(), series, HOUSE, EARLY))]
    assert keys == [
        "day:2026-12-03:3d@17:00",
        "day:2026-12-03:1d@17:00",
        "day:2026-12-03:2h",
        "day:2026-12-10:1d@17:00",
    ]


def test_a_window_shuts_45_minutes_before_or_at_half_the_lead_and_never_after_the_next_lead_opens():
    far, day_before, soon = plan(reader(), [visit("2026-12-03T15:00")], HOUSE, EARLY)
    assert far.closes_at == day_before.opens_at
    assert day_before.closes_at == soon.opens_at
    assert soon.closes_at == at("2026-12-03T14:15")
    (only,) = plan(reader(), [visit("2026-12-03T15:00", leads=(Lead.parse("60m"),))], HOUSE, EARLY)
    assert (only.opens_at, only.closes_at) == (at("2026-12-03T14:00"), at("2026-12-03T14:30"))


@pytest.mark.parametrize(
    ("starts", "texts"),
    [
        # L-22: a short lead in quiet hours moves to an hour before they start, if that is two hours ahead.
        ("2026-12-03T10:30", ("day:2026-12-03:2h", "Wed 02 19:00", "goes")),
        ("2026-12-03T09:00", ("day:2026-12-03:2h", "Wed 02 19:00", "goes")),
        ("2026-12-03T07:00", ("day:2026-12-03:2h", "Wed 02 19:00", "goes")),
        ("2026-12-03T11:00", ("day:2026-12-03:2h", "Thu 03 09:00", "goes")),
        ("2026-12-03T22:00", ("day:2026-12-03:2h", "Thu 03 19:00", "goes")),
        # 19:00 would be less than two hours ahead, and later it is quiet.
        ("2026-12-03T20:45", ("day:2026-12-03:45m", "Thu 03 20:00", "quiet_hours")),
    ],
)
def test_l22_short_leads_keep_out_of_the_night(starts, texts):
    lead = Lead.parse(texts[0].split(":")[-1])
    assert shown(plan(reader(), [visit(starts, leads=(lead,))], HOUSE, EARLY)) == [texts]


def test_l20_a_lead_of_a_day_moves_later_to_the_morning():
    (text,) = plan(reader(), [visit("2026-12-03T15:00", leads=(Lead.parse("1d@07:00"),))], HOUSE, EARLY)
    assert to_wall(text.opens_at, NEW_YORK) == datetime(2026, 12, 2, 9, 0)


def test_l20_quiet_hours_are_the_readers_and_the_visit_is_the_places():
    far_west = reader(zone="America/Los_Angeles")
    (text,) = plan(far_west, [visit("2026-12-03T11:00", leads=(Lead.parse("2h"),))], HOUSE, EARLY)
    # Two hours before is 06:00 in Los Angeles: the evening before instead, on the reader's clock.
    assert to_wall(text.opens_at, "America/Los_Angeles") == datetime(2026, 12, 2, 19, 0)


def test_quiet_hours_can_be_switched_off():
    (text,) = plan(
        reader(quiet=(QuietHours(time(0), time(0)),)),
        [visit("2026-12-03T07:00", leads=(Lead.parse("2h"),))],
        HOUSE,
        EARLY,
    )
    assert to_wall(text.opens_at, NEW_YORK) == datetime(2026, 12, 3, 5, 0)


def test_l20_a_persons_own_hours_narrow_the_sites():
    own = QuietHours.outside(time(12), time(18))
    (text,) = plan(
        reader(quiet=(NIGHT, own)), [visit("2026-12-03T15:00", leads=(Lead.parse("1d@10:00"),))], HOUSE, EARLY
    )
    assert to_wall(text.opens_at, NEW_YORK) == datetime(2026, 12, 2, 12, 0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"consented": False}, "no_consent"),
        ({"opted_out": True}, "opted_out"),
        ({"number_bad": True}, "number_bad"),
        ({"categories": frozenset({Category.MEETINGS})}, "category_off"),
    ],
)
def test_l3_a_reader_who_may_not_be_texted_is_not(changes, reason):
    texts = plan(reader(**changes), [visit("2026-12-03T15:00")], HOUSE, EARLY)
    assert {one.reason for one in texts} == {Reason(reason)}
    assert all(one.goes_at is None for one in texts)


def test_l5_a_support_meeting_needs_its_own_category():
    meeting = visit("2026-12-03T18:30", kind=Kind.SUPPORT_MEETING, repeats=True)
    (text,) = plan(reader(categories=frozenset({Category.APPOINTMENTS})), [meeting], HOUSE, EARLY)
    assert text.reason is Reason.CATEGORY_OFF
    (text,) = plan(reader(), [meeting], HOUSE, EARLY)
    assert text.reason is None


@pytest.mark.parametrize(
    ("changes", "reason"), [({"status": "tentative"}, "not_booked"), ({"plan_status": "paused"}, "paused")]
)
def test_a_visit_that_is_not_on_yet_gets_no_text(changes, reason):
    assert {one.reason for one in plan(reader(), [visit("2026-12-03T15:00", **changes)], HOUSE, EARLY)} == {
        Reason(reason)
    }


@pytest.mark.parametrize("changes", [{"status": "cancelled"}, {"status": "attended"}, {"plan_status": "ended"}])
def test_a_visit_that_is_off_is_no_candidate(changes):
    assert plan(reader(), [visit("2026-12-03T15:00", **changes)], HOUSE, EARLY) == []


def test_visits_on_one_day_share_their_texts():
    texts = plan(reader(), [visit("2026-12-03T15:00"), visit("2026-12-03T10:00", id=2)], HOUSE, EARLY)
    assert [one.key for one in texts] == [
        "day:2026-12-03:3d@17:00",
        "day:2026-12-03:1d@17:00",
        "day:2026-12-03:2h",
    ]
    assert [[about.id for about in one.visits] for one in texts] == [[2, 1]] * 3


def test_asking_late_does_not_change_the_days_other_texts():
    two = [visit("2026-12-03T10:00"), visit("2026-12-03T15:00", id=2)]
    before = plan(reader(), two, HOUSE, EARLY)
    late = plan(reader(), two, HOUSE, at("2026-12-03T10:30"))
    assert [(one.key, one.opens_at) for one in late] == [(one.key, one.opens_at) for one in before]
    assert {one.goes_at for one in late} == {None}
    assert plan(reader(), two, HOUSE, at("2026-12-03T15:00")) == []


def test_a_visit_that_may_not_be_named_is_left_out_of_a_shared_text():
    off = visit("2026-12-03T10:00", id=2, kind=Kind.SUPPORT_MEETING)
    texts = plan(reader(categories=frozenset({Category.APPOINTMENTS})), [visit("2026-12-03T15:00"), off], HOUSE, EARLY)
    assert all(one.reason is None and [about.id for about in one.visits] == [1] for one in texts)


def test_a_plan_typed_friday_afternoon_for_monday_morning():
    typed = at("2026-11-27T16:30")
    assert shown(plan(reader(), [visit("2026-11-30T09:00")], HOUSE, typed)) == [
        ("day:2026-11-30:3d@17:00", "Fri 27 17:00", "goes"),
        ("day:2026-11-30:1d@17:00", "Sun 29 17:00", "goes"),
        ("day:2026-11-30:2h", "Sun 29 19:00", "merged_into"),
    ]


def test_a_plan_typed_sunday_evening_for_monday_morning():
    typed = at("2026-11-29T20:30")
    texts = plan(reader(), [visit("2026-11-30T10:30")], HOUSE, typed)
    assert [(one.key[-3:], one.reason) for one in texts] == [
        (":00", Reason.TOO_LATE),
        (":00", Reason.TOO_LATE),
        (":2h", None),
    ]
    # Its evening has passed and it is night: the first allowed minute is still in its window.
    assert texts[-1].goes_at == at("2026-11-30T09:00")


def test_a_lead_whose_moment_passed_goes_at_once_while_its_window_is_open():
    now = at("2026-12-01T11:00")
    far, *_ = plan(reader(), [visit("2026-12-03T15:00")], HOUSE, now)
    assert far.opens_at < now
    assert far.goes_at == now


def test_the_clocks_change_between_text_and_visit():
    # 8 March 2026: the day before at 17:00 is still 17:00, and 2 h before 10:00 is 08:00 of real time.
    texts = plan(reader(quiet=()), [visit("2026-03-08T10:00")], HOUSE, at("2026-03-01T12:00"))
    assert [f"{to_wall(one.opens_at, NEW_YORK):%d %H:%M}" for one in texts] == ["05 17:00", "07 17:00", "08 08:00"]
    # A visit at 03:30 that morning: two hours of real time before is 00:30.
    (text,) = plan(
        reader(quiet=()), [visit("2026-03-08T03:30", leads=(Lead.parse("2h"),))], HOUSE, at("2026-03-01T12:00")
    )
    assert to_wall(text.opens_at, NEW_YORK) == datetime(2026, 3, 8, 0, 30)


# The guard: the same judgment, in the transaction that records the intent to send.

THEN = {"day": date(2026, 12, 3), "lead": Lead.parse("1d@17:00")}


def test_k15_the_guard_leaves_a_visit_that_moved_to_another_day_to_that_days_text():
    verdict = guard(
        reader(), [visit("2026-12-04T15:00")], **THEN, closes_at=at("2026-12-03T13:00"), now=at("2026-12-02T17:00")
    )
    assert verdict == Stop(Reason.NOT_BOOKED)


def test_k15_the_guard_keeps_the_last_useful_minute_of_a_visit_that_moved_earlier():
    moved = [visit("2026-12-03T10:00")]
    verdict = guard(reader(), moved, **THEN, closes_at=at("2026-12-03T13:00"), now=at("2026-12-03T09:20"))
    assert verdict == Stop(Reason.TOO_LATE)


def test_the_guard_lets_a_good_text_go_about_its_standing_visits():
    one, two = visit("2026-12-03T15:00"), visit("2026-12-03T10:00", id=2, status="cancelled")
    verdict = guard(reader(), [one, two], **THEN, closes_at=at("2026-12-03T13:00"), now=at("2026-12-02T17:00"))
    assert verdict == Go((one,))


def test_promise_3_the_guard_waits_through_the_night():
    now = at("2026-12-02T20:00")
    verdict = guard(reader(), [visit("2026-12-03T15:00")], **THEN, closes_at=at("2026-12-03T13:00"), now=now)
    assert verdict == Wait(at("2026-12-03T09:00"))


def test_promise_3_the_guard_stops_what_only_the_night_is_left_for():
    now = at("2026-12-02T20:00")
    verdict = guard(reader(), [visit("2026-12-03T09:30")], **THEN, closes_at=at("2026-12-03T08:45"), now=now)
    assert verdict == Stop(Reason.QUIET_HOURS)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"opted_out": True}, Reason.OPTED_OUT), ({"consented": False}, Reason.NO_CONSENT)],
)
def test_k14_an_opt_out_after_planning_still_wins(changes, reason):
    verdict = guard(
        reader(**changes),
        [visit("2026-12-03T15:00")],
        **THEN,
        closes_at=at("2026-12-03T13:00"),
        now=at("2026-12-02T17:00"),
    )
    assert verdict == Stop(reason)


def test_k15_a_visit_called_off_after_planning_stops_its_text():
    off = visit("2026-12-03T15:00", status="cancelled")
    verdict = guard(reader(), [off], **THEN, closes_at=at("2026-12-03T13:00"), now=at("2026-12-02T17:00"))
    assert verdict == Stop(Reason.NOT_BOOKED)


# Properties.

ZONES = st.sampled_from(
    [NEW_YORK, "America/Los_Angeles", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "Europe/London", "UTC"]
)
WALLS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda wall: wall.replace(microsecond=0))
LEADS = st.sampled_from(["3d@17:00", "1d@17:00", "1d@07:30", "2d", "2h", "60m", "5h", "12h", "0d@08:00", "30m"])
QUIET = st.sampled_from(
    [(NIGHT,), (QuietHours(time(21), time(8)),), (), (NIGHT, QuietHours.outside(time(11), time(16, 30)))]
)


@st.composite
def readers(draw):
    return reader(zone=draw(ZONES), quiet=draw(QUIET))


@st.composite
def visits(draw):
    found = []
    for number in range(draw(st.integers(1, 4))):
        zone = draw(ZONES)
        wall = draw(WALLS)
        leads = draw(st.none() | st.lists(LEADS, min_size=1, max_size=3).map(lambda some: tuple(map(Lead.parse, some))))
        found.append(
            visit(
                wall.isoformat(),
                id=number,
                zone=zone,
                leads=leads,
                repeats=draw(st.booleans()),
                status=draw(st.sampled_from(["booked", "booked", "tentative", "cancelled"])),
            )
        )
    return found


NOWS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


@given(readers(), visits(), NOWS)
def test_no_text_goes_at_night_before_its_window_or_after_its_visit(who, about, now):
    for text in plan(who, about, HOUSE, now):
        assert text.opens_at < text.closes_at
        if text.goes_at is None:
            assert text.reason is not None
            continue
        assert text.reason is None
        assert max(text.opens_at, now) <= text.goes_at < text.closes_at
        assert text.closes_at < min(one.starts_at for one in text.visits)
        at_home = to_wall(text.goes_at, who.zone).time()
        assert not any(quiet.cover(at_home) for quiet in who.quiet)


@given(readers(), visits(), NOWS)
def test_planning_is_idempotent_and_each_text_has_one_key(who, about, now):
    texts = plan(who, about, HOUSE, now)
    assert texts == plan(who, list(reversed(about)), HOUSE, now)
    assert len({text.key for text in texts}) == len(texts)


@given(readers(), visits(), NOWS)
def test_every_standing_visit_ahead_is_in_some_text_or_in_none_with_a_reason(who, about, now):
    texts = plan(who, about, HOUSE, now)
    named = {one.id for text in texts for one in text.visits}
    for one in about:
        if one.status == "booked" and one.starts_at > now:
            assert one.id in named


@given(readers(), visits(), NOWS, st.timedeltas(timedelta(0), timedelta(hours=30)))
def test_the_guard_never_lets_go_at_night_or_late(who, about, now, later):
    for text in plan(who, about, HOUSE, now):
        verdict = guard(who, text.visits, day=text.day, lead=text.lead, closes_at=text.closes_at, now=now + later)
        if isinstance(verdict, Go):
            assert now + later < text.closes_at
            at_home = to_wall(now + later, who.zone).time()
            assert not any(quiet.cover(at_home) for quiet in who.quiet)
        elif isinstance(verdict, Wait):
            assert now + later < verdict.until < text.closes_at


@given(ZONES, QUIET, NOWS)
def test_the_next_allowed_minute_is_allowed_and_not_earlier(zone, quiet, now):
    who = reader(zone=zone, quiet=quiet)
    moment = next_allowed(who, now)
    assert moment >= now
    assert not any(hours.cover(to_wall(moment, zone).time()) for hours in quiet)


@pytest.mark.parametrize(
    ("now", "allowed"),
    [
        ("2026-11-01T23:30", "2026-11-02T09:00"),  # the night the clocks went back
        ("2026-03-07T23:30", "2026-03-08T09:00"),  # the night they go forward
        ("2026-12-01T08:59:59", "2026-12-01T09:00"),
        ("2026-12-01T09:00", "2026-12-01T09:00"),
        ("2026-12-01T19:59:59", "2026-12-01T19:59:59"),
        ("2026-12-01T20:00", "2026-12-02T09:00"),
    ],
)
def test_l20_the_edges_of_the_night(now, allowed):
    assert next_allowed(reader(), at(now)) == at(allowed)


def test_quiet_hours_that_leave_no_minute_stop_every_text():
    never = (QuietHours(time(0), time(12)), QuietHours(time(12), time(0)))
    texts = plan(reader(quiet=never), [visit("2026-12-03T15:00")], HOUSE, EARLY)
    assert {one.reason for one in texts} == {Reason.QUIET_HOURS}


def test_the_day_is_the_wall_clock_day_of_the_place():
    (text,) = plan(reader(quiet=()), [visit("2026-12-03T00:15", leads=(Lead.parse("2h"),))], HOUSE, EARLY)
    assert text.day == date(2026, 12, 3)
