import json
import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reminders.intake import plan_files, read_bytes, read_file
from reminders.plans import Known, PlanRefused

KNOWN = Known(
    today=date(2026, 12, 1),
    languages=frozenset({"en", "es"}),
    zone="America/New_York",
    site="main",
    sites=frozenset({"main"}),
    fictional_numbers=True,
)
TOML = """\
[plan]
ref = "P1"
discharged_on = 2026-12-01

[patient]
ref = "M1"
name = "Zoë Sample"
phone = "202 555 0143"

[[series]]
key = "visit"
kind = "psychiatry"
starts = 2026-12-05T10:00:00
"""
JSON = json.dumps(
    {
        "plan": {"ref": "P1", "discharged_on": "2026-12-01"},
        "patient": {"ref": "M1", "name": "Zoë Sample", "phone": "202 555 0143"},
        "series": [{"key": "visit", "kind": "psychiatry", "starts": "2026-12-05T10:00"}],
    }
)


def refusal(raw, name="plan.toml"):
    with pytest.raises(PlanRefused) as caught:
        read_bytes(raw if isinstance(raw, bytes) else raw.encode(), name, KNOWN)
    (problem,) = caught.value.problems
    return problem


def test_toml_and_json_files_give_the_same_plan(tmp_path):
    (tmp_path / "a.toml").write_text(TOML, encoding="utf-8")
    (tmp_path / "b.JSON").write_text(JSON, encoding="utf-8")
    one, other = read_file(tmp_path / "a.toml", KNOWN), read_file(tmp_path / "b.JSON", KNOWN)
    assert one == other
    assert one.patient.name == "Zoë Sample"


@pytest.mark.parametrize("raw", [TOML.encode("utf-8-sig"), TOML.replace("\n", "\r\n").encode()])
def test_a_byte_order_mark_and_windows_line_ends_are_fine(raw):
    assert read_bytes(raw, "plan.toml", KNOWN) == read_bytes(TOML.encode(), "plan.toml", KNOWN)


def test_the_canonical_form_is_a_plan_file():
    document = read_bytes(TOML.encode(), "plan.toml", KNOWN)
    assert read_bytes(document.canonical(), "plan.json", KNOWN) == document


@pytest.mark.parametrize(
    ("raw", "name", "where", "problem"),
    [
        (b"", "plan.toml", "file", "empty"),
        (b" \r\n\t", "plan.json", "file", "empty"),
        (b"\xef\xbb\xbf\n", "plan.toml", "file", "empty"),
        (TOML.encode(), "plan.yaml", "file", ".toml or .json"),
        (TOML.encode(), "plan", "file", ".toml or .json"),
        (TOML.encode("utf-16"), "plan.toml", "file", "UTF-16"),
        (JSON.encode("utf-16-be"), "plan.json", "file", "UTF-16"),
        (TOML.encode("cp1252"), "plan.toml", "line 7", "Windows-1252"),
        (b"[plan]\nref = 'a\0b'\n", "plan.toml", "line 2", "NUL"),
        (b"[plan]\nref = P1\n", "plan.toml", "line 2, column 7", "not valid TOML"),
        (b'[plan]\nref = "P1', "plan.toml", "end of file", "not valid TOML"),
        (b"[plan]\ndischarged_on = 2026-02-30\n", "plan.toml", "line 2, column 17", "no such date"),
        (b"[plan]\n[plan]\n", "plan.toml", "line 2, column 6", "written twice"),
        (b"a = 1\na = 2\n", "plan.toml", "line 2, column 6", "written twice"),
        (b"a = " + b"9" * 5000, "plan.toml", "file", "beyond all bounds"),
        (b"a = " + b"[" * 50_000, "plan.toml", "file", "nested too deeply"),
        (b'{"plan": }', "plan.json", "line 1, column 10", "not valid JSON"),
        (b'{\n"plan": {},}', "plan.json", "line 2, column 12", "not valid JSON"),
        (b'{"plan": {"ref": "a", "ref": "b"}}', "plan.json", "file", "twice"),
        (b'{"plan": NaN}', "plan.json", "file", "NaN"),
        (b'{"plan": -Infinity}', "plan.json", "file", "NaN or Infinity"),
        (b'{"plan": ' + b"9" * 5000 + b"}", "plan.json", "file", "thousands of digits"),
        (b"[" * 200_000, "plan.json", "file", "nested too deeply"),
        (b"[]", "plan.json", "file", "object"),
        (b'"plan"', "plan.json", "file", "object"),
        (b"null", "plan.json", "file", "object"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_with_its_place(raw, name, where, problem):
    found = refusal(raw, name)
    assert (found.where, problem in found.problem) == (where, True), found


def test_broken_content_is_not_repeated():
    for raw, name in [
        ('name = "Casey\n', "p.toml"),
        ('{"name": "Casey', "p.json"),
        ('"Casey" = 1\n"Casey" = 2', "p.toml"),
    ]:
        assert "Casey" not in str(refusal(raw, name))


def test_a_huge_file_is_refused_without_reading_it_whole(tmp_path):
    huge = tmp_path / "huge.toml"
    with huge.open("wb") as file:
        os.truncate(file.fileno(), 50_000_000_000)  # sparse; reading it whole would fail
    with pytest.raises(PlanRefused, match="larger than a megabyte"):
        read_file(huge, KNOWN)


def test_a_file_of_exactly_a_megabyte_is_read():
    padded = TOML.encode() + b"#" * (1_000_000 - len(TOML.encode()))
    assert read_bytes(padded, "plan.toml", KNOWN).plan.ref == "P1"
    assert "megabyte" in refusal(padded + b"#").problem


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "none.toml", KNOWN)


def test_a_folder_means_its_plan_files_by_name(tmp_path):
    for name in ("b.toml", "a.json", "C.TOML", ".hidden.toml", "notes.txt", "a.toml.problems"):
        (tmp_path / name).write_text("", encoding="utf-8")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "folder.toml" / "inside.toml").write_text("", encoding="utf-8")
    single = tmp_path / "notes.txt"
    missing = Path("none.toml")
    found = plan_files([missing, tmp_path, single, tmp_path / "b.toml"])
    assert found == [missing, *(tmp_path / name for name in ("C.TOML", "a.json", "b.toml")), single]


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_refused_and_nothing_else(raw):
    for name in ("plan.toml", "plan.json"):
        with pytest.raises(PlanRefused) as caught:
            read_bytes(raw, name, KNOWN)
        assert all(problem.where and problem.problem for problem in caught.value.problems)


@settings(deadline=None)
@given(st.integers(0, len(TOML)), st.text(max_size=3), st.sampled_from([(TOML, "p.toml"), (JSON, "p.json")]))
def test_a_plan_with_a_slip_of_the_pen_is_read_or_refused(at, slip, plan):
    text, name = plan
    raw = (text[:at] + slip + text[at + 1 :]).encode("utf-8", "replace")
    try:
        document = read_bytes(raw, name, KNOWN)
    except PlanRefused:
        return
    assert document.series
