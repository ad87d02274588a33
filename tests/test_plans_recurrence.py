from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from reminders.plans import Kind, Series, expand, occurrences, programs, to_instant
from reminders.plans.recurrence import check_dates, parse_rule

NEW_YORK = "America/New_York"
FAR = date(2028, 12, 31)


def series(starts="2026-12-03T15:00", repeats=None, **rest):
    return Series.model_validate(
        {
            "key": "therapy",
            "kind": "therapy_individual",
            "starts": starts,
            "repeats": repeats,
            **rest,
        }
    )


def dates(one, until=FAR):
    return [str(found.wall.date()) for found in occurrences(one, until=until, zone=NEW_YORK)]


def problems(one):
    return dict(check_dates(one, NEW_YORK))


# --- dates ---------------------------------------------------------------------------------------------------------


def test_a_one_off_is_one_occurrence_called_once():
    (found,) = occurrences(series(status="tentative"), until=FAR, zone=NEW_YORK)
    assert found.recurrence_id == "once"
    assert found.wall == datetime(2026, 12, 3, 15)
    assert (found.zone, found.status) == (NEW_YORK, "tentative")
    assert occurrences(series(), until=date(2026, 12, 2), zone=NEW_YORK) == []
    assert len(occurrences(series(), until=date(2026, 12, 3), zone=NEW_YORK)) == 1


@pytest.mark.parametrize(
    ("starts", "repeats", "until", "expected"),
    [
        ("2026-12-03T15:00", "FREQ=WEEKLY;COUNT=3", FAR, ["2026-12-03", "2026-12-10", "2026-12-17"]),
        ("2026-12-03T15:00", "freq=weekly;count=2;", FAR, ["2026-12-03", "2026-12-10"]),
        ("2026-12-03T15:00", "FREQ=WEEKLY", date(2026, 12, 17), ["2026-12-03", "2026-12-10", "2026-12-17"]),
        ("2026-12-03T15:00", "FREQ=WEEKLY;INTERVAL=2;COUNT=2", FAR, ["2026-12-03", "2026-12-17"]),
        ("2026-12-04T15:00", "FREQ=MONTHLY;BYDAY=1FR;COUNT=3", FAR, ["2026-12-04", "2027-01-01", "2027-02-05"]),
        ("2026-12-25T15:00", "FREQ=MONTHLY;BYDAY=-1FR;COUNT=2", FAR, ["2026-12-25", "2027-01-29"]),
        ("2026-12-31T15:00", "FREQ=MONTHLY;COUNT=3", FAR, ["2026-12-31", "2027-01-31", "2027-03-31"]),
        ("2026-12-03T15:00", "FREQ=MONTHLY;BYDAY=TU,TH;BYSETPOS=2;COUNT=2", FAR, ["2026-12-03", "2027-01-07"]),
        ("2026-12-03T15:00", "FREQ=WEEKLY;UNTIL=20261210", FAR, ["2026-12-03", "2026-12-10"]),
        ("2026-12-03T15:00", "FREQ=WEEKLY;UNTIL=20261210T145959", FAR, ["2026-12-03"]),
        # 15:00 in New York is 20:00 UTC.
        ("2026-12-03T15:00", "FREQ=WEEKLY;UNTIL=20261210T200000Z", FAR, ["2026-12-03", "2026-12-10"]),
        ("2026-12-03T15:00", "FREQ=WEEKLY;UNTIL=20261210T195959Z", FAR, ["2026-12-03"]),
        # 01:00 UTC on the 11th is the evening of the 10th.
        ("2026-12-03T15:00", "FREQ=WEEKLY;UNTIL=20261211T010000Z", FAR, ["2026-12-03", "2026-12-10"]),
        ("2028-02-29T09:00", "FREQ=YEARLY;COUNT=2", date(2033, 1, 1), ["2028-02-29", "2032-02-29"]),
        ("2026-12-28T09:00", "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO", date(2033, 1, 1), ["2026-12-28", "2032-12-27"]),
    ],
)
def test_a_rule_gives_its_dates(starts, repeats, until, expected):
    one = series(starts, repeats)
    assert problems(one) == {}
    assert dates(one, until) == expected


@pytest.mark.parametrize(
    ("zone", "starts", "instants"),
    [
        (NEW_YORK, "2026-03-01T18:00", ["2026-03-01T23:00", "2026-03-08T22:00", "2026-03-15T22:00"]),
        (NEW_YORK, "2026-03-01T02:30", ["2026-03-01T07:30", "2026-03-08T07:00", "2026-03-15T06:30"]),
        (NEW_YORK, "2026-10-25T18:00", ["2026-10-25T22:00", "2026-11-01T23:00", "2026-11-08T23:00"]),
        (NEW_YORK, "2026-10-25T01:30", ["2026-10-25T05:30", "2026-11-01T05:30", "2026-11-08T06:30"]),
        ("Australia/Lord_Howe", "2026-03-29T18:00", ["2026-03-29T07:00", "2026-04-05T07:30", "2026-04-12T07:30"]),
        ("Asia/Kathmandu", "2026-03-01T09:00", ["2026-03-01T03:15", "2026-03-08T03:15", "2026-03-15T03:15"]),
        ("Pacific/Apia", "2011-12-23T09:00", ["2011-12-23T19:00", "2011-12-30T10:00", "2012-01-05T19:00"]),
    ],
)
def test_i40_a_weekly_time_of_day_stays_when_clocks_change(zone, starts, instants):
    found = occurrences(series(starts, "FREQ=WEEKLY;COUNT=3", zone=zone), until=FAR, zone=NEW_YORK)
    assert [to_instant(one.wall, one.zone) for one in found] == [
        datetime.fromisoformat(instant).replace(tzinfo=UTC) for instant in instants
    ]


def test_skipped_dates_still_count():
    one = series(repeats="FREQ=WEEKLY;COUNT=3", skip=["2026-12-10"])
    assert dates(one) == ["2026-12-03", "2026-12-17"]


def test_a_moved_one_keeps_the_date_first_written_down_as_its_id():
    one = series(
        "2026-12-03T15:00:30", "FREQ=WEEKLY;COUNT=3", move={"2026-12-10T15:00": datetime(2026, 12, 18, 10, 0, 5)}
    )
    assert problems(one) == {}
    assert [(found.recurrence_id, found.wall) for found in occurrences(one, until=FAR, zone=NEW_YORK)] == [
        ("2026-12-03", datetime(2026, 12, 3, 15, 0, 30)),
        ("2026-12-17", datetime(2026, 12, 17, 15, 0, 30)),
        ("2026-12-10", datetime(2026, 12, 18, 10, 0, 5)),
    ]


def test_a_moved_one_is_within_by_its_old_or_its_new_date():
    later = series(repeats="FREQ=WEEKLY;COUNT=3", move={"2026-12-10T15:00": "2027-03-01T10:00"})
    assert dates(later, date(2026, 12, 10)) == ["2026-12-03", "2027-03-01"]
    earlier = series(repeats="FREQ=WEEKLY;COUNT=3", move={"2026-12-17T15:00": "2026-12-04T10:00"})
    assert dates(earlier, date(2026, 12, 5)) == ["2026-12-03", "2026-12-04"]
    assert dates(earlier, date(2026, 12, 3)) == ["2026-12-03"]


# --- rules that are refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("FREQ=HOURLY", "finer than a day"),
        ("FREQ=MINUTELY;COUNT=3", "finer than a day"),
        ("FREQ=SECONDLY", "finer than a day"),
        ("FREQ=DAILY;BYHOUR=9,17", "finer than a day"),
        ("FREQ=DAILY;BYMINUTE=30", "finer than a day"),
        ("FREQ=DAILY;BYSECOND=30", "finer than a day"),
        ("FREQ=FORTNIGHTLY", "must say FREQ="),
        ("COUNT=3", "must say FREQ="),
        ("weekly", "NAME=VALUE"),
        ("", "NAME=VALUE"),
        ("FREQ=WEEKLY;;COUNT=2", "NAME=VALUE"),
        ("FREQ=WEEKLY;FREQ=DAILY", "twice"),
        ("FREQ=WEEKLY;INTERVAL=0", "INTERVAL must be from 1"),
        ("FREQ=WEEKLY;INTERVAL=-1", "INTERVAL must be from 1"),
        ("FREQ=WEEKLY;INTERVAL=two", "INTERVAL must be from 1"),
        ("FREQ=WEEKLY;COUNT=0", "COUNT must be from 1 to 1000"),
        ("FREQ=WEEKLY;COUNT=1001", "COUNT must be from 1 to 1000"),
        ("FREQ=WEEKLY;COUNT=99999999999999999999", "COUNT must be from 1 to 1000"),
        ("FREQ=WEEKLY;COUNT=3;UNTIL=20270101", "cannot be used together"),
        ("FREQ=WEEKLY;UNTIL=20270230", "does not exist"),
        ("FREQ=WEEKLY;UNTIL=2027-02-03", "UNTIL must be"),
        ("FREQ=WEEKLY;BYEASTER=0", "does not have"),
        ("FREQ=WEEKLY;X-NOTE=1", "does not have"),
        ("FREQ=WEEKLY;EXDATE=20261224", "skip"),
        ("FREQ=WEEKLY;BYDAY=XX", "BYDAY must name days"),
        ("FREQ=WEEKLY;BYDAY=1MO", "only within a month"),
        ("FREQ=MONTHLY;BYDAY=6MO", "from 1 to 5"),
        ("FREQ=MONTHLY;BYDAY=0MO", "from 1 to 5"),
        ("FREQ=WEEKLY;BYMONTHDAY=3", "cannot be used with"),
        ("FREQ=MONTHLY;BYYEARDAY=3", "cannot be used with"),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "from 1 to 31"),
        ("FREQ=YEARLY;BYMONTH=13", "from 1 to 12"),
        ("FREQ=YEARLY;BYMONTH=-1", "from 1 to 12"),
        ("FREQ=YEARLY;BYWEEKNO=2", "BYDAY"),
        ("FREQ=MONTHLY;BYSETPOS=1", "another BY"),
        ("FREQ=WEEKLY;WKST=XX", "WKST"),
        ("DTSTART:20261203T150000\nRRULE:FREQ=WEEKLY", "nothing else"),
        ("RRULE:FREQ=WEEKLY", "nothing else"),
        ("FREQ=WEEKLY\nEXDATE=20261224", "nothing else"),
        ("FREQ=WEEKLY;BYDAY=" + "MO," * 200 + "MO", "nothing else"),
    ],
)
def test_rfc5545_a_rule_we_cannot_keep_is_refused(rule, problem):
    with pytest.raises(ValueError, match=problem):
        parse_rule(rule)


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=MONTHLY;BYMONTH=4;BYMONTHDAY=31",
        "FREQ=DAILY;INTERVAL=7;BYDAY=MO",
        "FREQ=YEARLY;BYMONTH=1;BYMONTHDAY=1;BYYEARDAY=2",
    ],
)
def test_a_rule_that_never_gives_a_date_is_refused_at_once(rule):
    assert problems(series(repeats=rule)) == {"repeats": "never gives a date"}


def test_rfc5545_starts_must_be_a_date_of_the_rule():
    problem = problems(series(repeats="FREQ=WEEKLY;BYDAY=MO,FR"))["repeats"]
    assert "Thursday 2026-12-03" in problem
    assert "Friday 2026-12-04" in problem


def test_until_before_the_start_is_refused():
    assert "UNTIL" in problems(series(repeats="FREQ=WEEKLY;UNTIL=20261202"))["repeats"]


# --- skip and move -------------------------------------------------------------------------------------------------


def test_skip_and_move_must_name_dates_of_the_series():
    one = series(
        repeats="FREQ=WEEKLY;COUNT=4",
        skip=["2026-12-23", "2026-12-17", "2025-01-01", "2099-01-01"],
        move={
            "2026-12-11T15:00": "2026-12-12T15:00",
            "2026-12-10T16:00": "2026-12-12T15:00",
            "2026-12-17T15:00": "2026-12-18T15:00",
        },
    )
    found = problems(one)
    assert found["skip[0]"] == "the series has nothing on 2026-12-23; nearest: 2026-12-17 and 2026-12-24"
    assert found["skip[2]"].endswith("nearest: 2026-12-03")
    assert found["skip[3]"].endswith("nearest: 2026-12-24")
    assert found["move.2026-12-11T15:00"].endswith("nearest: 2026-12-10 and 2026-12-17")
    assert "at 15:00 on that date, not at 16:00" in found["move.2026-12-10T16:00"]
    assert "skipped as well" in found["move.2026-12-17T15:00"]
    assert len(found) == 6


@pytest.mark.timeout(5)
def test_a_date_beyond_all_plans_does_not_walk_an_endless_series():
    assert "nothing on 2199-01-01" in problems(series(repeats="FREQ=DAILY", skip=["2199-01-01"]))["skip[0]"]


# --- properties ----------------------------------------------------------------------------------------------------

DAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
starts_at = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda wall: wall.replace(microsecond=0))


@st.composite
def rules(draw):
    """A start and a rule that includes it, with its COUNT if it has one."""
    starts = draw(starts_at)
    frequency = draw(st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]))
    parts = [f"FREQ={frequency}", f"INTERVAL={draw(st.integers(1, 5))}"]
    today = DAYS[starts.weekday()]
    if frequency == "WEEKLY" and draw(st.booleans()):
        parts.append(f"BYDAY={','.join({today, *draw(st.lists(st.sampled_from(DAYS)))})}")
    if frequency == "MONTHLY" and draw(st.booleans()):
        parts.append(f"BYDAY={(starts.day - 1) // 7 + 1}{today}")
    count = draw(st.none() | st.integers(1, 40))
    if count:
        parts.append(f"COUNT={count}")
    return starts.isoformat(), ";".join(parts), count


@settings(deadline=None)
@given(rules(), st.integers(0, 900))
def test_dates_are_unique_sorted_within_and_at_the_stated_time_of_day(rule, days):
    starts, repeats, count = rule
    one = series(starts, repeats)
    until = one.starts.date() + timedelta(days=days)
    assert problems(one) == {}
    found = occurrences(one, until=until, zone=NEW_YORK)
    walls = [occurrence.wall for occurrence in found]
    ids = [occurrence.recurrence_id for occurrence in found]
    assert walls[0] == one.starts
    assert walls == sorted(walls)
    assert len(set(ids)) == len(ids)
    assert {wall.time() for wall in walls} == {one.starts.time()}
    assert all(one.starts.date() <= wall.date() <= until for wall in walls)
    assert count is None or len(found) <= count


@settings(deadline=None)
@given(rules())
def test_count_is_respected(rule):
    starts, repeats, count = rule
    assume(count)
    assert len(occurrences(series(starts, repeats), until=date(2900, 1, 1), zone=NEW_YORK)) == count


@settings(deadline=None)
@given(rules(), st.integers(0, 400), st.integers(0, 400))
def test_a_longer_look_ahead_only_adds(rule, one_look, other_look):
    starts, repeats, _ = rule
    one = series(starts, repeats)
    near, far = sorted(one.starts.date() + timedelta(days=days) for days in (one_look, other_look))
    short = occurrences(one, until=near, zone=NEW_YORK)
    assert occurrences(one, until=far, zone=NEW_YORK)[: len(short)] == short


@settings(deadline=None)
@given(rules(), st.data())
def test_skip_removes_exactly_one_and_move_moves_exactly_one(rule, data):
    starts, repeats, _ = rule
    before = occurrences(series(starts, repeats), until=FAR, zone=NEW_YORK)
    chosen = data.draw(st.sampled_from(before))
    skipped = series(starts, repeats, skip=[chosen.recurrence_id])
    assert problems(skipped) == {}
    assert occurrences(skipped, until=FAR, zone=NEW_YORK) == [one for one in before if one != chosen]

    new = chosen.wall + timedelta(minutes=data.draw(st.integers(-100_000, 100_000)))
    moved = series(starts, repeats, move={chosen.wall.isoformat(): new.isoformat()})
    assert problems(moved) == {}
    after = {one.recurrence_id: one.wall for one in occurrences(moved, until=FAR, zone=NEW_YORK)}
    assert after == {one.recurrence_id: one.wall for one in before} | {chosen.recurrence_id: new}


part = st.sampled_from(
    [
        *(f"FREQ={f}" for f in ("DAILY", "WEEKLY", "MONTHLY", "YEARLY", "HOURLY")),
        *("INTERVAL=1", "INTERVAL=1000", "COUNT=2", "UNTIL=20270101", "UNTIL=20270101T000000Z", "WKST=SU"),
        *("BYDAY=TH", "BYDAY=MO,-1TH", "BYDAY=5TH", "BYMONTHDAY=3", "BYMONTHDAY=31,-31", "BYMONTH=2", "BYMONTH=12"),
        *("BYYEARDAY=366", "BYYEARDAY=-1", "BYWEEKNO=53", "BYWEEKNO=1,-1", "BYSETPOS=-1", "BYSETPOS=366", "BYDAY=53TH"),
    ]
)


@settings(deadline=None)
@given(st.lists(part, max_size=7).map(";".join))
def test_any_rule_is_refused_or_kept(rule):
    try:
        one = series(repeats=rule)
    except ValueError:
        return
    if not problems(one):
        assert occurrences(one, until=FAR, zone=NEW_YORK)[0].wall == one.starts


# --- programs ----------------------------------------------------------------------------------------------------

EVENING = {"therapy_group": time(17, 30)}


def by_key(expanded):
    return {one.key: one for one in expanded}


def test_p1_matrix_has_its_sessions():
    found = by_key(expand(programs()["matrix-iop"], date(2026, 12, 7), EVENING))
    days = {key: occurrences(one, until=FAR, zone=NEW_YORK) for key, one in found.items()}
    assert {key: (len(all_days), str(all_days[0].wall), found[key].minutes) for key, all_days in days.items()} == {
        "matrix-iop.relapse-prevention": (32, "2026-12-07 17:30:00", 90),
        "matrix-iop.early-recovery-skills": (8, "2026-12-07 16:30:00", 50),
        "matrix-iop.family-education": (12, "2026-12-09 17:30:00", 90),
        "matrix-iop.social-support": (36, "2027-03-03 17:30:00", 90),
    }
    assert {one.wall.strftime("%a") for one in days["matrix-iop.relapse-prevention"]} == {"Mon", "Fri"}
    # Family education ends the week before social support begins, on the same day of the week.
    assert days["matrix-iop.family-education"][-1].wall == datetime(2027, 2, 24, 17, 30)


def test_p1_a_time_given_by_key_beats_one_by_kind():
    given_times = {**EVENING, "social-support": time(9), "family_session": time(18)}
    found = by_key(expand(programs()["matrix-iop"], date(2026, 12, 7), given_times))
    assert found["matrix-iop.social-support"].starts.time() == time(9)
    assert found["matrix-iop.family-education"].starts.time() == time(18)
    assert found["matrix-iop.relapse-prevention"].starts.time() == time(17, 30)


def test_p6_weekly_cbt_keeps_the_weekday_of_its_first_day():
    (one,) = expand(programs()["weekly-cbt"], date(2026, 12, 2), {"session": time(10)})
    found = occurrences(one, until=FAR, zone=NEW_YORK)
    assert len(found) == 12
    assert {occurrence.wall.strftime("%a %H:%M") for occurrence in found} == {"Wed 10:00"}
    assert one.kind is Kind.THERAPY_INDIVIDUAL


@settings(deadline=None)
@given(st.sampled_from(list(programs().values())), st.dates(date(2026, 1, 1), date(2027, 12, 31)))
def test_every_program_stands_on_its_own_dates_from_any_first_day(program, starts_on):
    expanded = expand(program, starts_on, {series.kind: time(17, 30) for series in program.series})
    assert len({one.key for one in expanded}) == len(program.series)
    for one, item in zip(expanded, program.series, strict=True):
        assert problems(one) == {}
        week = starts_on + timedelta(weeks=item.from_week - 1)
        assert week <= one.starts.date() < week + timedelta(weeks=1)
        last = occurrences(one, until=date(2030, 1, 1), zone=NEW_YORK)[-1].wall.date()
        assert last < starts_on + timedelta(weeks=item.to_week)


def test_a_program_with_an_open_time_is_not_expanded():
    with pytest.raises(ValueError, match="relapse-prevention open"):
        expand(programs()["matrix-iop"], date(2026, 12, 7), {})


def test_no_program_announces_a_screen():
    for program in programs().values():
        assert not any("screen" in one.key or "urine" in one.key for one in program.series)
        assert program.source
