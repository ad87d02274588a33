from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reminders.plans import is_zone, to_instant, to_wall
from reminders.plans.walltime import zones

NEW_YORK, LORD_HOWE, APIA, KATHMANDU = "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"

any_zone = st.sampled_from(sorted(zones()))
any_instant = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))


def local(zone, *when):
    return to_wall(to_instant(datetime(*when), zone), zone)


@pytest.mark.parametrize(
    ("zone", "wall", "instant"),
    [
        (NEW_YORK, (2026, 3, 7, 18, 0), (2026, 3, 7, 23, 0)),
        (NEW_YORK, (2026, 3, 8, 18, 0), (2026, 3, 8, 22, 0)),
        (NEW_YORK, (2026, 10, 31, 18, 0), (2026, 10, 31, 22, 0)),
        (NEW_YORK, (2026, 11, 1, 18, 0), (2026, 11, 1, 23, 0)),
        (LORD_HOWE, (2026, 4, 5, 18, 0), (2026, 4, 5, 7, 30)),
        (LORD_HOWE, (2026, 4, 4, 18, 0), (2026, 4, 4, 7, 0)),
        (APIA, (2011, 12, 29, 9, 0), (2011, 12, 29, 19, 0)),
        (APIA, (2011, 12, 31, 9, 0), (2011, 12, 30, 19, 0)),
        (KATHMANDU, (2026, 6, 1, 9, 0), (2026, 6, 1, 3, 15)),
    ],
)
def test_the_wall_clock_of_a_place_gives_its_instant(zone, wall, instant):
    assert to_instant(datetime(*wall), zone) == datetime(*instant, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "skipped", "first_valid"),
    [
        (NEW_YORK, (2026, 3, 8, 2, 0), (2026, 3, 8, 3, 0)),
        (NEW_YORK, (2026, 3, 8, 2, 30), (2026, 3, 8, 3, 0)),
        (NEW_YORK, (2026, 3, 8, 2, 59, 59), (2026, 3, 8, 3, 0)),
        (LORD_HOWE, (2026, 10, 4, 2, 15), (2026, 10, 4, 2, 30)),  # half an hour only
        (APIA, (2011, 12, 30, 0, 0), (2011, 12, 31, 0, 0)),  # a whole day
        (APIA, (2011, 12, 30, 15, 0), (2011, 12, 31, 0, 0)),
        (APIA, (2011, 12, 30, 23, 59), (2011, 12, 31, 0, 0)),
        ("Africa/Monrovia", (1972, 1, 7, 0, 10), (1972, 1, 7, 0, 45)),  # clocks went on by 44 minutes 30 seconds
    ],
)
def test_a_time_that_clocks_skip_moves_to_the_first_valid_minute(zone, skipped, first_valid):
    assert local(zone, *skipped) == datetime(*first_valid)


def test_a_time_that_clocks_show_twice_means_the_first():
    assert to_instant(datetime(2026, 11, 1, 1, 30), NEW_YORK) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert to_instant(datetime(2026, 11, 1, 1, 30, fold=1), NEW_YORK) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert to_instant(datetime(2026, 4, 5, 1, 45), LORD_HOWE) == datetime(2026, 4, 4, 14, 45, tzinfo=UTC)


def test_both_instants_of_a_fold_show_the_same_wall_clock():
    first = datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert to_wall(first, NEW_YORK) == to_wall(first + timedelta(hours=1), NEW_YORK) == datetime(2026, 11, 1, 1, 30)


@settings(deadline=None)
@given(any_instant, any_zone)
def test_a_wall_clock_that_exists_maps_back_to_itself(instant, zone):
    wall = to_wall(instant, zone)
    back = to_instant(wall, zone)
    assert to_wall(back, zone) == wall
    assert back <= instant  # the first of two


@settings(deadline=None)
@given(st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)), any_zone)
def test_no_time_ever_moves_backward(wall, zone):
    shown = to_wall(to_instant(wall, zone), zone)
    assert shown >= wall
    assert shown == wall or (shown.second, shown.microsecond) == (0, 0)


@settings(deadline=None)
@given(any_zone)
def test_every_zone_of_tzdata_can_be_used(zone):
    assert is_zone(zone)
    assert to_instant(datetime(2026, 7, 1, 12), zone).tzinfo is UTC


@pytest.mark.parametrize("name", ["", "EDT", "america/new_york", "Factory", "../etc/passwd", "America", "New York"])
def test_other_names_are_no_zones(name):
    assert not is_zone(name)
    with pytest.raises(ValueError, match="IANA"):
        to_instant(datetime(2026, 7, 1, 12), name)


def test_wall_clocks_and_instants_are_not_confused():
    with pytest.raises(ValueError, match="no offset"):
        to_instant(datetime(2026, 7, 1, tzinfo=UTC), NEW_YORK)
    with pytest.raises(ValueError, match="has an offset"):
        to_wall(datetime(2026, 7, 1), NEW_YORK)
