"""Whatever sheet is made is read back the same in every dress; whatever bytes come, nothing crashes and nothing is made up."""

import csv
import io
from datetime import datetime
from operator import add, itemgetter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_intake_sheets import reading

from reminders.intake import delimited

FEW = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAYS = {
    "iso": lambda at: f"{at:%Y-%m-%d}",
    "month first": lambda at: f"{at.month}/{at.day}/{at.year}",
    "day first": lambda at: f"{at:%d.%m.%Y}",
    "short": lambda at: f"{at:%m/%d/%y}",
    "words": lambda at: f"{MONTHS[at.month - 1]} {at.day}, {at.year}",
    "compact": lambda at: f"{at:%Y%m%d}",
    "serial": lambda at: str((at.date() - datetime(1899, 12, 30).date()).days),
}
CLOCKS = {
    "24": lambda at: f"{at:%H:%M:%S}",
    "12": lambda at: f"{at.hour % 12 or 12}:{at:%M} {'AM' if at.hour < 12 else 'PM'}",
    "letter": lambda at: f"{at.hour % 12 or 12}:{at:%M}{'a' if at.hour < 12 else 'p'}",
    "spanish": lambda at: f"{at.hour % 12 or 12}:{at:%M} {'a. m.' if at.hour < 12 else 'p. m.'}",
}
starts = st.datetimes(datetime(2020, 1, 1), datetime(2032, 1, 1)).map(lambda at: at.replace(second=0, microsecond=0))
visits = st.lists(
    st.tuples(
        st.integers(1, 10**6),
        starts.filter(lambda at: at.hour or at.minute),
        st.text(
            st.characters(codec="cp1252", exclude_categories=("Cc", "Cf", "Zl", "Zp", "Zs", "Co")),
            min_size=1,
            max_size=12,
        ),
    ),
    min_size=1,
    max_size=6,
    unique_by=(itemgetter(0), itemgetter(1)),
)


@FEW
@given(
    visits,
    st.sampled_from(sorted(DAYS)),
    st.sampled_from(sorted(CLOCKS)),
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_i31_a_sheet_is_the_same_in_every_dress(visits, day, clock, delimiter, encoding, end):
    rows = [
        ("MRN", "Date", "Time", "Notes"),
        (0, DAYS[day](datetime(2026, 12, 31)), "3:00 PM" if clock != "24" else "15:00:00", ""),
    ]
    rows += [(mrn, DAYS[day](at), CLOCKS[clock](at), f"{note}\n{note}") for mrn, at, note in visits]
    kept = io.StringIO()
    csv.writer(kept, delimiter=delimiter, lineterminator=end).writerows(rows)
    found = reading(kept.getvalue().encode(encoding))
    assert not found.problems
    assert not found.questions
    assert [(one.patient, one.start) for one in found.arrivals[1:]] == [(str(mrn), at) for mrn, at, _ in visits]


@FEW
@given(visits, st.sampled_from(["month first", "short"]), st.sampled_from(sorted(CLOCKS)))
def test_i31_without_proof_a_date_is_its_own_or_asked_and_never_another(visits, day, clock):
    text = "MRN,Date,Time\n" + "".join(f"{mrn},{DAYS[day](at)},{CLOCKS[clock](at)}\n" for mrn, at, _ in visits)
    found = reading(text)
    right = {str(mrn): at for mrn, at, _ in visits}
    assert all(right[one.patient] == one.start for one in found.arrivals)
    assert len(found.arrivals) + sum(one.rows for one in found.questions) == len(visits)


@FEW
@given(
    st.one_of(
        st.binary(max_size=400),
        st.builds(
            add,
            st.sampled_from(
                [b"MRN,Date,Time\n", b"PK\x03\x04", b"[", b'{"plan":', b"\xff\xfe", b'[{"slug":"a","name":"b","day":']
            ),
            st.binary(max_size=300),
        ),
    )
)
def test_i2_arbitrary_bytes_are_read_or_refused_and_never_crash(raw):
    for name in ("a.csv", "a.toml"):
        reading(raw, name).as_documents(name)


CELLS = st.one_of(
    st.sampled_from(
        [
            "12/3/2026",
            "3pm",
            "Mon",
            "MWF 6pm x 8 wks",
            "2.03E+09",
            "Booked",
            "2026-12-03T15:00Z",
            "1",
            "-",
            "=1+1",
            "12:00 AM",
            "50 min",
        ]
    ),
    st.text(max_size=12),
)


@FEW
@given(
    st.lists(
        st.sampled_from(
            [
                "MRN",
                "Name",
                "Date",
                "Time",
                "Start",
                "End",
                "Schedule",
                "Days",
                "Weeks",
                "Status",
                "Phone",
                "Duration",
                "Discharge Date",
                "Program",
                "Consent",
                "Appointment ID",
                "Updated",
                "ID",
                "Time Zone",
                "Cancelled",
                "DOB",
            ]
        ),
        min_size=2,
        max_size=9,
        unique=True,
    ),
    st.data(),
)
def test_i2_whatever_stands_in_the_cells_every_row_is_an_arrival_a_problem_or_waits(header, data):
    rows = data.draw(st.lists(st.lists(CELLS, min_size=len(header), max_size=len(header)), min_size=1, max_size=5))
    kept = io.StringIO()
    csv.writer(kept).writerows([header, *rows])
    found = reading(kept.getvalue())
    for one in found.arrivals:
        one.as_document()
    assert found.arrivals or found.problems or found.questions


@pytest.mark.parametrize(
    "raw",
    [
        b"MRN,Date,Time\n" + b"1,2026-12-03,3pm\n" * 2_001,
        b"," * 2_000_000,
        b'"' * 1_000_000,
        b"MRN,Date\n" + b"x" * 1_000_000,
    ],
)
def test_what_is_larger_than_any_list_is_refused(raw, monkeypatch):
    monkeypatch.setattr(delimited, "MOST_ROWS", 2_000)
    found = reading(raw)
    assert not found.arrivals
    assert found.problems
