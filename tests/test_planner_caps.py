"""Few texts (docs/design.md#caps): one a day about a day, caps of the number, priorities, closures, and red visits."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_planner import HOUSE, NEW_YORK, NIGHT, at, reader, shown, visit

from reminders.planner import Gone, Policy, Reason, Stop, Told, Wait, is_red, plan
from reminders.plans import Kind, Lead, to_wall

EARLY = at("2026-11-20T12:00")


def one(*visits, now=EARLY, policy=HOUSE, gone=(), **changes):
    return plan([(reader(**changes), list(visits))], policy, now, gone)


def going(candidates, zone=NEW_YORK):
    return [key for key, _, what in shown(candidates, zone) if what == "goes"]


def test_screens_5_one_text_for_each_visit_comes_before_a_second_for_any():
    texts = one(
        visit("2026-12-03T15:00", id=1, repeats=True, kind=Kind.THERAPY_GROUP),
        visit("2026-12-05T15:00", id=2, first=True),
    )
    # Both want Wednesday 17:00: the first visit's three-day text and the group's day-before one.
    assert shown(texts) == [
        ("day:2026-12-03:1d@17:00", "Wed 02 17:00", "goes"),
        ("day:2026-12-05:3d@17:00", "Wed 02 17:00", "cap_day"),
        ("day:2026-12-05:1d@17:00", "Fri 04 17:00", "goes"),
        ("day:2026-12-05:2h", "Sat 05 13:00", "goes"),
    ]


@pytest.mark.parametrize(
    ("winner", "loser"),
    [
        ({"first": True, "repeats": True, "kind": Kind.THERAPY_GROUP}, {}),
        ({}, {"repeats": True}),
        ({"repeats": True}, {"repeats": True, "kind": Kind.THERAPY_GROUP}),
        ({"repeats": True, "kind": Kind.THERAPY_GROUP}, {"repeats": True, "kind": Kind.SUPPORT_MEETING}),
    ],
)
def test_l6_who_wins_when_a_cap_binds(winner, loser):
    lead = {"leads": (Lead.parse("1d@17:00"),)}
    later = {"leads": (Lead.parse("2d@17:00"),)}
    # The window of a visit at 9:30 has closed when the next day's quiet hours end, so its text cannot wait for that
    # day.
    texts = one(visit("2026-12-03T09:30", id=1, **lead, **loser), visit("2026-12-04T15:00", id=2, **later, **winner))
    assert {text.visits[0].id: text.reason for text in texts} == {1: Reason.CAP_DAY, 2: None}


def test_l6_among_equals_the_earlier_visit_wins():
    lead, later = (Lead.parse("1d@17:00"),), (Lead.parse("2d@17:00"),)
    texts = one(visit("2026-12-03T09:30", id=1, leads=lead), visit("2026-12-04T09:30", id=2, leads=later), per_week=1)
    assert {text.visits[0].id: text.reason for text in texts} == {1: None, 2: Reason.CAP_DAY}


def test_l6_a_rolling_week_holds_no_more_than_the_cap():
    days = [visit(f"2026-12-{day:02d}T15:00", id=day, repeats=True) for day in range(1, 15)]
    texts = one(*days, policy=Policy(HOUSE.leads, HOUSE.series_leads, per_day=1, per_week=3))
    sent = [to_wall(text.goes_at, NEW_YORK).date() for text in texts if text.goes_at]
    assert sent == [
        date(2026, 11, 30),
        date(2026, 12, 1),
        date(2026, 12, 2),
        date(2026, 12, 7),
        date(2026, 12, 8),
        date(2026, 12, 9),
    ]
    assert {text.reason for text in texts if not text.goes_at} == {Reason.CAP_WEEK}


def test_l6_the_consent_may_say_less_than_the_house_and_never_more():
    days = [visit(f"2026-12-{day:02d}T15:00", id=day, repeats=True) for day in range(1, 8)]
    assert len(going(one(*days))) == 7
    assert len(going(one(*days, per_week=2))) == 2
    assert len(going(one(*days, per_week=20))) == 7


def test_five_clinic_days_a_week_are_five_texts():
    days = [
        visit(f"2026-12-{day:02d}T{hour}:00", id=100 * day + int(hour), repeats=True, kind=Kind.THERAPY_GROUP)
        for day in (7, 8, 9, 10, 11)
        for hour in ("09", "13")
    ]
    assert len(going(one(*days))) == 5


def test_a_second_reminder_whose_day_was_full_does_not_come_back():
    visits = [visit("2026-12-03T09:30", id=1, repeats=True), visit("2026-12-05T15:00", id=2, first=True)]
    went = [Gone(1, "day:2026-12-03:1d@17:00", at("2026-12-02T17:00"), frozenset({1}))]
    for now in ("2026-12-02T17:30", "2026-12-03T09:30"):
        texts = {text.key: text.reason for text in one(*visits, now=at(now), gone=went)}
        assert texts["day:2026-12-05:3d@17:00"] is Reason.CAP_DAY


def test_long_run_6_the_only_reminder_of_a_visit_waits_for_a_day_with_room():
    visits = [visit("2026-12-03T15:00", id=1, repeats=True), visit("2026-12-05T15:00", id=2, first=True)]
    went = [Gone(1, "day:2026-12-05:3d@17:00", at("2026-12-02T16:00"), frozenset({2}))]
    waiting = {text.key: text for text in one(*visits, now=at("2026-12-02T16:30"), gone=went)}[
        "day:2026-12-03:1d@17:00"
    ]
    assert (waiting.opens_at, waiting.goes_at) == (at("2026-12-03T09:00"), at("2026-12-03T09:00"))
    late = {text.key: text for text in one(*visits, now=at("2026-12-03T09:05"), gone=went)}["day:2026-12-03:1d@17:00"]
    assert late.goes_at == at("2026-12-03T09:05")


def test_long_run_2_the_day_before_text_is_never_merged_into_one_that_does_not_go():
    about = [visit("2026-12-03T09:30", id=1, first=True)]  # a Thursday; entered on Monday at 10:00
    went = [Gone(2, "day:2026-11-30:2h", at("2026-11-30T11:00"), frozenset({9}))]
    for now in ("2026-11-30T10:00", "2026-12-02T03:00", "2026-12-02T16:59"):
        texts = {text.key: text for text in one(*about, now=at(now), gone=went, policy=ONE_A_DAY)}
        assert texts["day:2026-12-03:1d@17:00"].goes_at == at("2026-12-02T17:00"), now


ONE_A_DAY = Policy(HOUSE.leads, HOUSE.series_leads, per_day=1, per_week=7)


def test_long_run_2_what_was_merged_into_a_text_that_does_not_go_is_judged_again():
    # The day-before text covers the evening text of the 2-hour lead; if one has no room, neither has the other.
    went = [Gone(1, "day:2026-12-02:2h", at("2026-12-02T13:00"), frozenset({9}))]
    texts = {text.key: text.reason for text in one(visit("2026-12-03T09:00"), now=at("2026-12-02T14:00"), gone=went)}
    assert texts["day:2026-12-03:1d@17:00"] is Reason.CAP_DAY
    assert texts["day:2026-12-03:2h"] is Reason.CAP_DAY


def test_screens_5_three_a_week_are_given_to_five_visits_by_importance():
    week = [
        visit("2026-12-07T18:00", id=1, repeats=True, kind=Kind.THERAPY_GROUP),
        visit("2026-12-08T15:00", id=2, repeats=True),
        visit("2026-12-09T18:00", id=3, repeats=True, kind=Kind.THERAPY_GROUP),
        visit("2026-12-10T19:00", id=4, repeats=True, kind=Kind.SUPPORT_MEETING),
        visit("2026-12-11T18:00", id=5, repeats=True, kind=Kind.THERAPY_GROUP),
    ]
    texts = one(*week, per_week=3)
    assert {text.visits[0].id: text.reason for text in texts} == {
        1: None,
        2: None,
        3: None,
        4: Reason.CAP_WEEK,
        5: Reason.CAP_WEEK,
    }


def test_a_notice_that_says_the_same_visit_and_time_takes_the_reminders_place():
    about = visit("2026-12-03T15:00", id=1, repeats=True)
    now = at("2026-12-02T10:00")
    said = Told(1, 1, about.wall, at("2026-12-02T10:00"))
    (text,) = plan([(reader(), [about])], HOUSE, now, told=[said])
    assert text.reason is Reason.MERGED_INTO
    for other in (
        replace(said, wall=datetime(2026, 12, 3, 14)),  # another time
        replace(said, at=at("2026-12-01T16:00")),  # more than a day before
        replace(said, at=at("2026-12-02T18:00")),  # after the reminder
        replace(said, reader=2),
    ):
        (text,) = plan([(reader(), [about])], HOUSE, now, told=[other])
        assert text.reason is None


def test_two_patients_on_one_number_share_the_caps_and_never_a_text():
    parties = [
        (reader(id=1), [visit("2026-12-03T09:30", id=1, repeats=True, kind=Kind.THERAPY_GROUP)]),
        (reader(id=2), [visit("2026-12-03T16:00", id=2, repeats=True)]),
    ]
    texts = plan(parties, HOUSE, EARLY)
    assert {(text.reader, len(text.visits), text.reason) for text in texts} == {(1, 1, Reason.CAP_DAY), (2, 1, None)}


def test_the_smaller_of_two_consents_on_one_number_holds():
    wide = Policy(HOUSE.leads, HOUSE.series_leads, per_day=3, per_week=9)
    parties = [
        (reader(id=1, per_day=1), [visit("2026-12-03T09:15", id=1, repeats=True)]),
        (reader(id=2, per_day=3), [visit("2026-12-03T09:30", id=2, repeats=True)]),
    ]
    assert sum(text.goes_at is not None for text in plan(parties, wide, EARLY)) == 1


def test_thanksgiving_closes_the_sites_own_visits_and_no_meeting_elsewhere():
    closed = Policy(HOUSE.leads, HOUSE.series_leads, 1, 7, frozenset({date(2026, 11, 26)}))
    texts = one(
        visit("2026-11-26T15:00", id=1, repeats=True),
        visit("2026-11-26T19:00", id=2, repeats=True, kind=Kind.SUPPORT_MEETING),
        policy=closed,
        now=at("2026-11-20T12:00"),
    )
    assert [(text.reason, [about.id for about in text.visits]) for text in texts] == [(None, [2])]
    (text,) = one(visit("2026-11-26T15:00", id=1, repeats=True), policy=closed, now=at("2026-11-20T12:00"))
    assert text.reason is Reason.CLOSED


def test_l22_a_short_lead_that_lands_on_the_evening_before_is_said_by_the_day_before_text():
    far, day_before, soon = one(visit("2026-12-03T09:00"))
    assert (far.reason, day_before.reason, soon.reason) == (None, None, Reason.MERGED_INTO)
    # The text for both may be sent as long as either could.
    assert day_before.closes_at == at("2026-12-03T08:15")


def test_a_merged_text_names_what_both_would_have_said():
    texts = one(
        visit("2026-12-03T09:00", id=1, leads=(Lead.parse("2h"),)),
        visit("2026-12-03T15:00", id=2, leads=(Lead.parse("1d@17:00"),)),
    )
    assert [(text.reason, [about.id for about in text.visits]) for text in texts] == [
        (None, [1, 2]),
        (Reason.MERGED_INTO, [1]),
    ]


def test_a_text_that_has_gone_does_not_speak_for_a_visit_added_since():
    went = [Gone(1, "day:2026-12-03:1d@17:00", at("2026-12-02T17:00"), frozenset({1}))]
    visits = [visit("2026-12-03T09:00", id=1), visit("2026-12-03T08:45", id=2)]
    texts = {text.key: text for text in one(*visits, now=at("2026-12-02T18:00"), gone=went, quiet=())}
    assert texts["day:2026-12-03:2h"].reason is not Reason.MERGED_INTO


def test_l23_where_nobody_stated_a_zone_a_minute_that_is_quiet_in_any_is_quiet():
    about = visit("2026-12-03T15:00", leads=(Lead.parse("1d@09:00"),))
    (text,) = one(about, also_zones=("America/Los_Angeles",))
    assert to_wall(text.opens_at, NEW_YORK) == datetime(2026, 12, 2, 12, 0)
    (text,) = one(about)
    assert to_wall(text.opens_at, NEW_YORK) == datetime(2026, 12, 2, 9, 0)


def test_a_zone_two_hours_from_the_sites_is_the_readers():
    (text,) = one(visit("2026-12-03T15:00", repeats=True), zone="America/Denver")
    assert to_wall(text.opens_at, "America/Denver") == datetime(2026, 12, 2, 17, 0)


@pytest.mark.parametrize(
    ("changes", "red"),
    [
        ({}, True),
        ({"wall": "2026-12-10T15:00"}, False),
        ({"wall": "2026-12-10T15:00", "first": True}, True),
        ({"status": "tentative"}, False),
    ],
)
def test_what_is_red(changes, red):
    wall = changes.pop("wall", "2026-12-02T15:00")
    assert is_red(visit(wall, **changes), at("2026-12-01T12:00")) is red


def test_l6_the_guard_keeps_the_caps_when_it_goes():
    from test_planner import THEN, guard

    about = [visit("2026-12-03T15:00")]
    now, shuts = at("2026-12-02T17:00"), at("2026-12-03T13:00")
    # A second reminder is not sent; the only one waits for the next morning.
    went = {"gone": [at("2026-12-02T10:00")]}
    assert guard(reader(), about, **THEN, closes_at=shuts, now=now, **went, reminded={1}) == Stop(Reason.CAP_DAY)
    assert guard(reader(), about, **THEN, closes_at=shuts, now=now, **went) == Wait(at("2026-12-03T09:00"))
    early = at("2026-12-03T08:00")
    assert guard(reader(), about, **THEN, closes_at=early, now=now, **went) == Stop(Reason.CAP_DAY)
    week = [at(f"2026-11-{day}T10:00") for day in (26, 27, 28, 29, 30)] + [at("2026-12-01T10:00")]
    full = guard(reader(per_week=6), about, **THEN, closes_at=shuts, now=now, gone=week, reminded={1})
    assert full == Stop(Reason.CAP_WEEK)


KINDS = st.sampled_from([Kind.THERAPY_INDIVIDUAL, Kind.THERAPY_GROUP, Kind.SUPPORT_MEETING, Kind.PSYCHIATRY])


@st.composite
def numbers(draw):
    """A number: one or two readers with up to twelve visits each over three weeks, and the texts sent to it."""
    parties, next_id = [], 0
    for reader_id in range(1, draw(st.integers(1, 2)) + 1):
        visits = []
        for _ in range(draw(st.integers(1, 12))):
            next_id += 1
            wall = datetime(2026, 12, 1) + timedelta(days=draw(st.integers(0, 20)), hours=draw(st.integers(6, 21)))
            visits.append(
                visit(
                    wall.isoformat(),
                    id=next_id,
                    kind=draw(KINDS),
                    repeats=draw(st.booleans()),
                    first=draw(st.integers(0, 9)) == 0,
                )
            )
        quiet = draw(st.sampled_from([(NIGHT,), ()]))
        parties.append((reader(id=reader_id, quiet=quiet, per_week=draw(st.none() | st.integers(1, 7))), visits))
    gone = [
        Gone(
            1,
            f"day:2026-11-20:{number}m",
            datetime(2026, 12, 1, 15, tzinfo=UTC) + timedelta(days=draw(st.integers(-8, 5))),
        )
        for number in range(draw(st.integers(0, 4)))
    ]
    return parties, gone


POLICIES = st.builds(
    Policy,
    st.just(HOUSE.leads),
    st.just(HOUSE.series_leads),
    st.integers(1, 3),
    st.integers(1, 7),
    st.just(frozenset({date(2026, 12, 8)})),
)
NOWS = st.datetimes(datetime(2026, 11, 25), datetime(2026, 12, 22), timezones=st.just(UTC))


@given(numbers(), POLICIES, NOWS)
def test_never_above_a_cap_in_any_day_or_rolling_week(number, policy, now):
    parties, gone = number
    texts = plan(parties, policy, now, gone)
    per_day = policy.per_day
    per_week = min([policy.per_week, *(who.per_week for who, _ in parties if who.per_week)])
    before = Counter(to_wall(went.at, NEW_YORK).date() for went in gone)
    after = before + Counter(to_wall(text.goes_at, NEW_YORK).date() for text in texts if text.goes_at)
    for day in after:
        if after[day] > before[day]:
            assert after[day] <= per_day
            for start in (day - timedelta(days=back) for back in range(7)):
                assert sum(after[start + timedelta(days=later)] for later in range(7)) <= per_week


@given(numbers(), POLICIES, NOWS)
def test_planning_a_number_is_idempotent_and_never_mixes_readers(number, policy, now):
    parties, gone = number
    texts = plan(parties, policy, now, gone)
    assert texts == plan(parties, policy, now, gone)
    assert len({(text.reader, text.key) for text in texts}) == len(texts)
    theirs = {who.id: {about.id for about in visits} for who, visits in parties}
    for text in texts:
        assert text.opens_at < text.closes_at
        assert {about.id for about in text.visits} <= theirs[text.reader]
        if text.goes_at:
            assert max(text.opens_at, now) <= text.goes_at < text.closes_at
            assert text.goes_at < text.visits[0].starts_at


@given(numbers(), POLICIES, NOWS, st.data())
def test_a_replan_after_any_edit_keeps_what_has_gone_and_says_it_once(number, policy, now, data):
    parties, gone = number
    texts = [text for text in plan(parties, policy, now, gone) if text.goes_at]
    if not texts:
        return
    first = min(texts, key=lambda text: text.goes_at)
    went = [*gone, Gone(first.reader, first.key, first.goes_at, frozenset(about.id for about in first.visits))]
    later = first.goes_at + timedelta(minutes=data.draw(st.integers(1, 600)))
    again = plan(parties, policy, later, went)
    day = to_wall(first.goes_at, NEW_YORK).date()
    others = [text for text in again if text.goes_at and text.key != first.key]
    same_day = sum(to_wall(text.goes_at, NEW_YORK).date() == day for text in others)
    already = sum(to_wall(one_gone.at, NEW_YORK).date() == day for one_gone in went)
    assert same_day == 0 or same_day + already <= policy.per_day


def week(*days, hour="15", **more):
    return [visit(f"2026-12-{day:02d}T{hour}:00", id=day, repeats=True, **more) for day in days]


def test_screens_6_a_digest_replaces_all_reminders_of_its_week():
    # Monday 7 to Friday 11 December.
    chosen = one(*week(7, 9, 11), digest=True)
    assert shown(chosen) == [
        ("day:2026-12-07:1d@17:00", "Sun 06 17:00", "merged_into"),
        ("week:2026-12-07:1d@17:00", "Sun 06 17:00", "goes"),
        ("day:2026-12-09:1d@17:00", "Tue 08 17:00", "merged_into"),
        ("day:2026-12-11:1d@17:00", "Thu 10 17:00", "merged_into"),
    ]
    assert [about.id for about in chosen[1].visits] == [7, 9, 11]
    assert not any(key.startswith("week:") for key, _, _ in shown(one(*week(7, 9, 11))))


def test_a_week_with_one_visit_needs_no_digest():
    assert going(one(*week(7), digest=True)) == ["day:2026-12-07:1d@17:00"]


def test_a_digest_that_is_too_late_leaves_mondays_text_alone():
    texts = one(*week(7, 9), digest=True, now=at("2026-12-07T15:30"))
    assert ("week:2026-12-07:1d@17:00", "Sun 06 17:00", "goes") not in shown(texts)
    assert "day:2026-12-09:1d@17:00" in going(texts)


def test_a_digest_that_has_gone_stays_said():
    went = [Gone(1, "week:2026-12-07:1d@17:00", at("2026-12-06T17:00"), frozenset({7, 9}))]
    texts = {text.key: text.reason for text in one(*week(7, 9), digest=True, now=at("2026-12-06T18:00"), gone=went)}
    assert texts["day:2026-12-07:1d@17:00"] is Reason.MERGED_INTO


def test_after_a_digest_that_no_phone_got_the_week_has_its_own_reminders():
    went = [Gone(1, "week:2026-12-07:1d@17:00", at("2026-12-06T17:00"), frozenset({7, 9}), failed=True)]
    texts = {text.key: text.reason for text in one(*week(7, 9), digest=True, now=at("2026-12-06T18:00"), gone=went)}
    assert texts["day:2026-12-09:1d@17:00"] is None


def test_a_reminder_that_no_phone_got_speaks_for_no_later_one():
    leads = (Lead.parse("1d@17:00"), Lead.parse("2h"))
    about = visit("2026-12-03T15:00", id=1, leads=leads)
    for failed, reason in ((False, None), (True, None)):
        went = [Gone(1, "day:2026-12-03:1d@17:00", at("2026-12-02T17:00"), frozenset({1}), failed=failed)]
        texts = {text.key: text.reason for text in one(about, now=at("2026-12-02T18:00"), gone=went)}
        assert texts["day:2026-12-03:2h"] is reason
    went = [Gone(1, "day:2026-12-03:1d@17:00", at("2026-12-03T13:00"), frozenset({1}), failed=True)]
    texts = {text.key: text for text in one(about, now=at("2026-12-03T13:01"), gone=went)}
    assert texts["day:2026-12-03:2h"].reason is not Reason.MERGED_INTO


def test_screens_6_a_digest_leaves_the_first_visits_reminder_and_what_it_did_not_say():
    first = visit("2026-12-08T15:00", id=8, first=True, leads=(Lead.parse("1d@17:00"),))
    texts = {text.key: text.reason for text in one(*week(7, 9), first, digest=True)}
    assert texts == {
        "week:2026-12-07:1d@17:00": None,
        "day:2026-12-07:1d@17:00": Reason.MERGED_INTO,
        "day:2026-12-08:1d@17:00": None,
        "day:2026-12-09:1d@17:00": Reason.MERGED_INTO,
    }
    went = [Gone(1, "week:2026-12-07:1d@17:00", at("2026-12-06T17:00"), frozenset({7, 9}))]
    added = {text.key: text.reason for text in one(*week(7, 9, 11), digest=True, now=at("2026-12-07T12:00"), gone=went)}
    assert added["day:2026-12-09:1d@17:00"] is Reason.MERGED_INTO
    assert added["day:2026-12-11:1d@17:00"] is None


def test_a_digest_for_which_the_week_has_no_room_replaces_nothing():
    went = [Gone(1, "day:2026-12-06:2h", at("2026-12-06T13:00"), frozenset({99}))]
    texts = {text.key: text.reason for text in one(*week(7, 9), digest=True, now=at("2026-12-06T14:00"), gone=went)}
    assert texts["week:2026-12-07:1d@17:00"] is Reason.CAP_DAY
    assert texts["day:2026-12-09:1d@17:00"] is None


@given(numbers(), POLICIES, NOWS)
def test_every_visit_without_a_reminder_has_a_true_reason(number, policy, now):
    """Coverage (docs/design.md#coverage): a visit has no reminder only if each of its texts has a true reason."""
    parties, gone = number
    texts = plan(parties, policy, now, gone)
    per_week = min([policy.per_week, *(who.per_week for who, _ in parties if who.per_week)])
    sent = Counter(to_wall(went.at, NEW_YORK).date() for went in gone)
    sent += Counter(to_wall(text.goes_at, NEW_YORK).date() for text in texts if text.goes_at)
    said = {(text.reader, about.id) for text in texts if text.goes_at for about in text.visits}
    for text in texts:
        opens_on = to_wall(text.opens_at, NEW_YORK).date()
        later_on = to_wall(max(text.opens_at, now), NEW_YORK).date()
        days = {opens_on, later_on, later_on + timedelta(days=1)}
        if text.reason is Reason.CAP_DAY:
            assert any(sent[day] >= policy.per_day for day in days)
        elif text.reason is Reason.CAP_WEEK:
            assert any(
                sum(sent[day + timedelta(days=n - m)] for n in range(7)) >= per_week for day in days for m in range(7)
            )
        elif text.reason is Reason.MERGED_INTO:
            assert all((text.reader, about.id) in said for about in text.visits)
        elif text.reason is Reason.TOO_LATE:
            assert text.closes_at <= now or text.opens_at >= text.closes_at - timedelta(minutes=1)


@st.composite
def one_reader(draw):
    """The visits of one reader over three weeks, each with a text on the day before, and some with more."""
    more = [HOUSE.leads, HOUSE.series_leads, (*HOUSE.series_leads, Lead.parse("0d@08:00")), None]
    visits = []
    for number in range(draw(st.integers(1, 20))):
        wall = datetime(2026, 12, 3) + timedelta(days=draw(st.integers(0, 20)), hours=draw(st.integers(6, 21)))
        visits.append(
            visit(
                wall.isoformat(),
                id=number + 1,
                kind=draw(KINDS),
                repeats=draw(st.booleans()),
                first=number == 0,
                leads=draw(st.sampled_from(more)),
            )
        )
    return visits


@given(one_reader(), st.datetimes(datetime(2026, 12, 1), datetime(2026, 12, 20), timezones=st.just(UTC)))
def test_with_the_standard_caps_every_visit_36_hours_ahead_has_a_reminder(visits, now):
    ahead = [one for one in visits if one.starts_at - now > timedelta(hours=36)]
    texts = plan([(reader(), ahead)], ONE_A_DAY, now)
    assert {one.id for one in ahead} == {about.id for text in texts if text.goes_at for about in text.visits}


@settings(max_examples=25)  # each plans again hundreds of times
@given(one_reader(), st.lists(st.integers(1, 120), min_size=1, max_size=60))
def test_what_goes_day_by_day_reminds_of_every_visit_that_the_first_plan_promised(visits, minutes):
    """Replanned at any moment, with the texts sent so far, no visit loses the reminder that the preview promised."""
    now = datetime(2026, 12, 1, 15, tzinfo=UTC)
    gone: list[Gone] = []
    promised = {
        about.id for text in plan([(reader(), visits)], ONE_A_DAY, now) if text.goes_at for about in text.visits
    }
    last = max(about.starts_at for about in visits)
    for step in minutes * 60:
        if now > last:
            break
        for text in plan([(reader(), visits)], ONE_A_DAY, now, gone):
            if (
                text.goes_at
                and text.goes_at <= now
                and (text.reader, text.key) not in {(g.reader, g.key) for g in gone}
            ):
                gone.append(Gone(text.reader, text.key, now, frozenset(about.id for about in text.visits)))
        now += timedelta(minutes=step)
    said = {visit_id for one_gone in gone for visit_id in one_gone.visits}
    begun = {about.id for about in visits if about.starts_at < now}
    assert promised & begun <= said
    per_day = Counter(to_wall(one_gone.at, NEW_YORK).date() for one_gone in gone)
    assert max(per_day.values(), default=0) <= 1
