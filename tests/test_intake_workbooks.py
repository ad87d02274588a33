"""Excel workbooks: real dates, sheets that are seen, what is in a cell that reads as empty, and what is not opened."""

import io
import zipfile
from datetime import date, datetime, time

import openpyxl
import pytest
from openpyxl.utils.datetime import CALENDAR_MAC_1904
from test_intake_sheets import reading

HEAD = ["MRN", "Name", "Cell", "Date", "Time", "Duration"]


def workbook(*rows, head=HEAD, change=lambda _book: None, epoch=None):
    book = openpyxl.Workbook()
    if epoch:
        book.epoch = epoch
    for row in (head, *rows):
        book.active.append(row)
    change(book)
    kept = io.BytesIO()
    book.save(kept)
    return kept.getvalue()


def told(found):
    return [(one.patient, one.start.isoformat(timespec="minutes"), one.minutes, one.phone) for one in found.arrivals]


@pytest.mark.parametrize("epoch", [None, CALENDAR_MAC_1904])
def test_real_dates_times_and_numbers_are_read_as_they_are(epoch):
    serial = 46359 if epoch is None else 46359 - 1462
    raw = workbook(
        [1042, "Jordan", 2025550143.0, date(2026, 12, 3), time(15, 0), 50],
        ["A-7", "Sam", "202-555-0144", "12/13/2026", "3:30 PM", "1 hr"],
        [7.0, "Ana", None, serial, 0.625, time(0, 50)],
        [8, "Lee", None, datetime(2026, 12, 3, 16, 30), None, None],
        epoch=epoch,
    )
    found = reading(raw, "a.xlsx")
    assert told(found) == [
        ("1042", "2026-12-03T15:00", 50, "+12025550143"),
        ("A-7", "2026-12-13T15:30", 60, "+12025550144"),
        ("7", "2026-12-03T15:00", 50, None),
        ("8", "2026-12-03T16:30", None, None),
    ]
    assert not found.problems


def test_titles_two_header_rows_and_hidden_sheets():
    def change(book):
        sheet = book.active
        sheet.insert_rows(1, 3)
        sheet["A1"] = "Oak Street, week of December 7"
        sheet.merge_cells("A1:F1")
        sheet["A3"], sheet["D3"] = "Patient", "Appointment"
        sheet.merge_cells("A3:C3")
        sheet.append([])
        sheet.append(["Total: 1"])
        notes = book.create_sheet("Read me", 0)
        notes["B2"] = "Fill in the other sheet"
        hidden = book.create_sheet("Old", 0)
        hidden.sheet_state = "hidden"
        for row in (HEAD, [9, "Hidden", None, date(2026, 12, 9), time(9, 0), None]):
            hidden.append(row)

    found = reading(
        workbook(
            [1, "Jordan", None, date(2026, 12, 7), time(15, 0), None],
            head=["ID", "Name", "Phone", "Date", "Time", "Length"],
            change=change,
        ),
        "a.xlsx",
    )
    assert told(found) == [("1", "2026-12-07T15:00", None, None)]
    assert not found.problems


def test_a_cell_with_an_error_or_a_formula_without_a_result_is_no_empty_one():
    raw = workbook(
        [1, "Jordan", None, date(2026, 12, 3), "=A2+1", None],
        [2, "Sam", None, "#N/A", time(9, 0), None],
        [3, "Ana", None, None, time(9, 0), None],
    )
    found = reading(raw, "a.xlsx")
    said = {one.place: (one.column, one.problem) for one in found.problems}
    assert said["row 2"][0] == "Time"
    assert "formula" in said["row 2"][1]
    assert said["row 3"][0] == "Date"
    assert "error" in said["row 3"][1]
    assert "no date" in said["row 4"][1]


def test_real_dates_beside_texts_over_twelve_may_be_swapped_and_are_refused():
    rows = [
        [1, "A", None, date(2026, 3, 12), time(9, 0), None],
        [2, "B", None, "13/12/2026", time(9, 0), None],
        [3, "C", None, "04/12/2026", time(9, 0), None],
    ]
    found = reading(workbook(*rows), "a.xlsx")
    assert [(one.patient, str(one.start.date())) for one in found.arrivals] == [
        ("2", "2026-12-13"),
        ("3", "2026-12-04"),
    ]
    assert [(one.place, one.column) for one in found.problems] == [("row 2", "Date")]


def test_a_real_time_before_six_is_rather_an_afternoon_and_asked():
    found = reading(workbook([1, "A", None, date(2026, 12, 3), time(3, 0), None]), "a.xlsx")
    assert [one.about for one in found.questions] == ["clock"]


def packed(parts, *, encrypted=False):
    kept = io.BytesIO()
    with zipfile.ZipFile(kept, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    raw = kept.getvalue()
    return raw.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01") if encrypted else raw


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (packed({"xl/workbook.xml": "<w/>", "xl/a.xml": " " * 200_000_001}), "200 MB"),
        (packed({"xl/workbook.xml": "<w/>", **{f"x{n}": "" for n in range(1_001)}}), "1,000 parts"),
        (packed({"xl/workbook.xml": '<!DOCTYPE a [<!ENTITY b "c">]><w/>'}), "entities"),
        (packed({"xl/workbook.bin": "x"}), ".xlsb"), (packed({"content.xml": "<a/>"}), ".ods"), (packed({"word/document.xml": "<a/>"}), "Word"),
        (packed({"a.csv": "MRN"}), "no workbook"), (packed({"xl/workbook.xml": "<w/>"}), "damaged"), (b"PK\x03\x04cut off", "cut off"),
        (packed({"xl/workbook.xml": "<w/>"}, encrypted=True), "password"),
    ],
)  # fmt: skip
def test_what_must_not_be_opened_is_refused_in_words(raw, words):
    found = reading(raw, "a.xlsx")
    assert not found.arrivals
    (problem,) = found.problems
    assert words in problem.problem


def test_a_workbook_that_is_cut_off_is_one_problem():
    raw = workbook([1, "Jordan", None, date(2026, 12, 3), time(15, 0), None])
    for size in (len(raw) // 4, len(raw) // 2, len(raw) - 30):
        found = reading(raw[:size], "a.xlsx")
        assert not found.arrivals
        assert len(found.problems) == 1
