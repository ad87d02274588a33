from datetime import time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reminders.plans import Category, Kind, Lead


@pytest.mark.parametrize(
    ("text", "lead", "canonical"),
    [
        ("3d@17:00", Lead(days=3, at=time(17)), "3d@17:00"),
        ("0d@8:00", Lead(days=0, at=time(8)), "0d@08:00"),
        ("60d@23:59", Lead(days=60, at=time(23, 59)), "60d@23:59"),
        ("2d", Lead(days=2), "2d"),
        ("2h", Lead(before=timedelta(hours=2)), "2h"),
        ("90m", Lead(before=timedelta(minutes=90)), "90m"),
        ("120m", Lead(before=timedelta(hours=2)), "2h"),
        ("24h", Lead(before=timedelta(hours=24)), "24h"),  # elapsed time, unlike 1d across a change of clocks
        (" 1D@17:00 ", Lead(days=1, at=time(17)), "1d@17:00"),
        ("1440h", Lead(before=timedelta(days=60)), "1440h"),
    ],
)
def test_a_lead_is_read(text, lead, canonical):
    assert Lead.parse(text) == lead
    assert str(lead) == canonical


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "written like"),
        ("2", "written like"),
        ("two hours", "written like"),
        ("-2h", "written like"),
        ("1.5h", "written like"),
        ("٢h", "written like"),
        ("2h@17:00", "written like"),
        ("0m", "between 1 minute and 60 days"),
        ("0d", "between 1 minute and 60 days"),
        ("61d", "between 1 minute and 60 days"),
        ("1441h", "between 1 minute and 60 days"),
        ("61d@17:00", "at most 60 days"),
        ("1d@24:00", "time of day"),
        ("1d@17:60", "time of day"),
    ],
)
def test_what_is_no_lead_is_refused(text, problem):
    with pytest.raises(ValueError, match=problem):
        Lead.parse(text)


leads = st.one_of(
    st.builds(Lead, days=st.integers(0, 60), at=st.times().map(lambda t: t.replace(second=0, microsecond=0, fold=0))),
    st.builds(Lead, days=st.integers(1, 60)),
    st.builds(Lead, before=st.integers(1, 60 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))),
)


@settings(deadline=None)
@given(leads)
def test_the_text_of_a_lead_reads_back(lead):
    assert Lead.parse(str(lead)) == lead
    assert str(Lead.parse(str(lead))) == str(lead)


def parsed(text):
    try:
        return Lead.parse(text)
    except ValueError:
        return None


@settings(deadline=None)
@given(st.text(max_size=12) | st.from_regex(r"[0-9]{0,6}[dhm](@[0-9]{1,2}:[0-9]{2})?", fullmatch=True))
def test_any_other_text_is_refused_with_a_value_error_only(text):
    lead = parsed(text)
    assert lead is None or parsed(str(lead)) == lead


def test_l3_each_kind_has_its_consent_category():
    meetings = {Kind.SUPPORT_MEETING, Kind.HOUSE_MEETING}
    for kind in Kind:
        expected = Category.MEETINGS if kind in meetings else Category.APPOINTMENTS
        if kind is Kind.WELLNESS:
            expected = Category.WELLNESS
        assert kind.category("self") is expected


@pytest.mark.parametrize("role", ["supporter", "guardian"])
def test_s10_others_get_family_texts_only(role):
    assert {kind.category(role) for kind in Kind} == {Category.FAMILY}


def test_p21_only_clinical_kinds_are_a_first_visit():
    assert {kind for kind in Kind if not kind.is_clinical} == {
        Kind.SUPPORT_MEETING,
        Kind.HOUSE_MEETING,
        Kind.WELLNESS,
        Kind.VOCATIONAL,
        Kind.PEER_MENTOR,
    }


def test_individual_kinds_are_one_to_one():
    individual = {Kind.THERAPY_INDIVIDUAL, Kind.PSYCHIATRY, Kind.CHECK_UP, Kind.PEER_MENTOR}
    assert {kind for kind in Kind if kind.is_individual} == individual
