"""The delivery log's page: every state has an address, words and form mean the same, every export is on record."""

import csv
import io
import json
import re
import shutil
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import openpyxl
import pytest
import sqlalchemy as sa
from conftest import NOW, logged, open_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from people import one_off
from test_stats import send
from test_web_pages import Page
from two_sites import accept, open_north
from web_caller import Caller

from reminders.lifecycle import State
from reminders.queries import counts, delivery_log, exports
from reminders.service.operations import counting
from reminders.store.database import schema
from reminders.wording import staff_words

TODAY = [one_off("visit", "2026-11-30T11:30:00", leads=["90m"])]
FORMULA = '=HYPERLINK("http://x")'


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    """A house on SQLite at NOW, with a second site."""
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    open_north(opened)
    yield opened
    opened.close()


def page(context, path: str, role: str = "ops", site: str | None = None) -> Page:
    return Page(Caller(context, role=role, site=site).page(path))


def post(context, path: str, role: str = "ops", **fields):
    return Caller(context, role=role).post(path, list(fields.items()))


def plans_on(shown: Page) -> list[str]:
    return [cell.split("plan ")[1] for cell in shown.said("td")[2::8] if "plan " in cell]


def set_texts(context, plan: str, **values) -> None:
    mine = sa.select(schema.plans.c.id).where(schema.plans.c.ref == plan)
    change = schema.texts.update().where(schema.texts.c.plan_id.in_(mine)).values(**values)
    context.database.write(lambda tx: tx.run(change))


def fail(context, plan: str, code: int = 30003, state: str = "undelivered") -> int:
    """Let the texts of that plan fail with that code; returns the id of the last."""

    def work(tx):
        mine = sa.select(schema.texts).join(schema.plans).where(schema.plans.c.ref == plan)
        for row in tx.all(mine):
            send(tx, row, state, code, row.attempts + 1)
        return row.id

    return context.database.write(work)


def three(context) -> None:
    accept(context, 1, series=TODAY)
    accept(context, 2, series=TODAY, consent={"said": "no"})
    accept(context, 3, "north", series=TODAY)
    fail(context, "DC-1")


def test_eight_columns_that_are_all_there_on_a_phone(here):
    accept(here, series=TODAY)
    shown = page(here, "/log?when=any")
    assert shown.said("caption") == ["1 text, newest first"]
    headings = ["Window opens", "To", "Patient", "Text", "State", "What became of it", "Tries", "Segments"]
    assert shown.said("th") == headings == [one["data-label"] for one in shown.all("td")]
    assert shown.said("time") == ["Mon, Nov 30, 2026, 10:00 am"]
    assert shown.said("td")[2] == "MRN-1 plan DC-1"
    text = logged(here)[0].text
    assert {"href": f"/texts/{text}"} in shown.all("a")


def test_the_readers_own_clock_is_shown_where_it_differs(here):
    series = [one_off("v", "2026-12-03T15:00:00", leads=["2h"])]
    accept(here, patient={"zone": "America/Los_Angeles"}, series=series)
    assert page(here, "/log?when=any").said("time") == ["Thu, Dec 3, 2026, 1:00 pm"]
    assert "Thu, Dec 3, 2026, 10:00 am where they are" in page(here, "/log?when=any").said("td")[0]


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_its_words_and_its_filter(here, state):
    accept(here, series=TODAY)
    lease = {"leased_until": NOW + timedelta(minutes=2)} if state is State.SENDING else {}
    reason = {"reason": "no_consent"} if state is State.SUPPRESSED else {}
    set_texts(here, "DC-1", state=state.value, **lease, **reason)
    shown = page(here, f"/log?state={state}")
    assert shown.said("td")[4] == staff_words.STATES[state]
    assert {one["value"] for one in shown.all("option") if "selected" in one} == {state.value}
    other = "sent" if state is not State.SENT else "delivered"
    assert "No text matches" in Caller(here, role="ops").page(f"/log?state={other}").text


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("plan:DC-1", ["DC-1"]),
        ("patient:MRN-2", ["DC-2"]),
        ("code:30003", ["DC-1"]),
        ("30003", ["DC-1"]),
        ("state:undelivered", ["DC-1"]),
        ("suppressed", ["DC-2"]),
        ("reason:no_consent", ["DC-2"]),
        ("site:north", ["DC-north-3"]),
        ("class:reminder site:main code:30003", ["DC-1"]),
        ("class:notice", []),
        ("before:2026-11-30", []),
        ("before:2026-12-01 after:2026-11-30 state:undelivered", ["DC-1"]),
        ("hour:10 plan:DC-1", ["DC-1"]),
        ("hour:11 plan:DC-1", []),
        ("when:yesterday", []),
        ("phone:(202)555-0101", ["DC-1"]),
        ('number:"(202) 555-0102"', ["DC-2"]),
        ("state:handed_over", []),
        ("state:held", []),
    ],
)
def test_words_and_form_mean_the_same(here, words, found):
    three(here)
    answer = post(here, "/log", q=words)
    assert answer.status_code == 303
    address = answer.headers["location"]
    assert "555" not in re.sub(r"\d{18,}", "id", address)
    assert sorted(plans_on(page(here, address))) == found
    fields = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert post(here, "/log", **fields).headers["location"] == address
    old = Caller(here, role="ops").page(f"/log?q={quote(words)}")
    if {"plan_id", "patient_id", "number"} & fields.keys():
        assert old.headers["location"] == address
    else:
        assert sorted(plans_on(Page(old))) == found


def test_a_message_is_found_by_its_sid(here):
    three(here)
    sid = "SM" + "ab" * 16
    here.database.write(lambda tx: tx.run(schema.attempts.update().values(sid=sid)))
    assert plans_on(page(here, f"/log?sid={sid}")) == plans_on(page(here, f"/log?q={sid}")) == ["DC-1"]


NO_CODES = ("abc", "0", "٣٠", "-1", "1" * 7)


@pytest.mark.parametrize(
    ("field", "typed", "problem"),
    [
        ("q", "colour:red", "“colour” is no search word"),
        ("q", "hello", "“hello” is no search word"),
        ("state", "arrived", "Choose a state from the list"),
        ("reason", "rain", "Choose a reason from the list"),
        ("class", "poem", "Choose a sort of text from the list"),
        ("site", "moon", "Choose a site from the list"),
        ("when", "soon", "Choose when from the list"),
        ("since", "May", "Enter a date, such as 2026-12-01"),
        ("until", "0001-01-01", "Enter a date, such as 2026-12-01"),
        ("hour", "24", "Enter an hour of the day, 0 to 23"),
        ("plan", "x" * 65, "Plan reference must be 64 characters or fewer"),
        ("plan", "DC\0-1", "Enter a plan reference as it stands in the plan, such as DC-2026-1187"),
        ("number", "12", "Enter a whole phone number, such as (202) 555-0143"),
        ("number", "202-555-0199", "No text was ever planned for this number"),
        ("sid", "SM1", "Enter a message's SID"),
        *[("code", typed, "Enter a Twilio code as a number, such as 30003") for typed in NO_CODES],
    ],
)
def test_a_filter_that_makes_no_sense_says_what_to_do(here, field, typed, problem):
    accept(here, series=TODAY)
    answer = Caller(here, role="ops").page(f"/log?{field}={quote(typed)}")
    shown = Page(answer)
    assert answer.status_code == 422
    assert shown.said("title")[0].startswith("Error: Delivery log")
    assert {"autofocus", "tabindex"} <= set(next(one for one in shown.all("div") if one.get("class") == "problems"))
    assert any(line.startswith(problem) for line in shown.said("li"))
    if field != "site" or len(shown.all("select")) > 4:
        assert {"href": f"#{field}"} in shown.all("a")
        assert shown.by_id(field)["aria-invalid"] == "true"
    if field in {"plan", "code", "since", "sid"}:
        assert shown.by_id(field)["value"] == typed.replace("\0", "\0")
    assert not shown.all("table")
    assert not re.search(r"please|sorry|invalid(?!=)|forbidden|oops", answer.text, re.IGNORECASE)


def test_a_phone_number_is_repeated_nowhere(here):
    answer = post(here, "/log", number="202-555-0199")
    assert answer.status_code == 422
    assert "0199" not in answer.text


def test_every_field_has_its_label(here):
    shown = page(here, "/log")
    labelled = {one["for"] for one in shown.all("label")}
    assert labelled == {one["id"] for tag in ("input", "select") for one in shown.all(tag)}


def test_what_was_typed_comes_back_as_text(here):
    answer = Caller(here, role="ops").page("/log?plan=" + quote('"><script>alert(1)</script>'))
    assert "<script>" not in answer.text


@given(st.text(max_size=70), st.text(max_size=70), st.text(max_size=8), st.text(max_size=40))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_filter_breaks_the_page(context, state, plan, code, words):
    asked = urlencode(
        {"state": state, "plan": plan, "code": code, "q": words, "hour": code, "since": words, "other": 1}
    )
    assert Caller(context, role="ops").page(f"/log?{asked}").status_code in {200, 303, 404, 422}


def daily_for_fifty_days(context, number: int) -> None:
    daily = one_off("daily", "2026-12-02T15:00:00", repeats="FREQ=DAILY;COUNT=50", leads=["1d@17:00"])
    accept(context, number, series=[daily])


def test_every_text_can_be_reached_by_going_back_and_forth(here, monkeypatch):
    for number in range(1, 6):
        daily_for_fifty_days(here, number)  # five texts at each instant: a page ends among equals
    whole = [text.text for text in logged(here)[::-1]]

    def walk(path, way):
        seen = []
        while path:
            shown = page(here, path)
            seen.append([int(one["href"].split("/")[2]) for one in shown.all("a") if one["href"].startswith("/texts/")])
            last, path = path, next((one["href"] for one in shown.all("a") if one.get("rel") == way), None)
        return seen, last

    there, end = walk("/log?state=scheduled", "next")
    assert [text for lines in there for text in lines] == whole
    back, _ = walk(end, "prev")
    assert [len(lines) for lines in back] == [50, 100, 100]
    assert [text for lines in back[::-1] for text in lines] == whole


def test_a_place_that_is_none_is_the_newest_page(here):
    accept(here, series=TODAY)
    for place in ("x", "~", "2026-11-30~x", "0001-01-01T00:00:00+23:00~1", f"2026-11-30T00:00:00~{2**70}"):
        for way in ("before", "after"):
            assert page(here, f"/log?when=any&{way}=" + quote(place)).said("caption") == ["1 text, newest first"]


def test_empty_pages_say_what_to_do(here, travel):
    assert "reminders import" in Caller(here, role="ops").page("/log").text
    accept(here, series=[one_off("v", "2026-12-03T15:00:00", leads=["1d@17:00"])])
    assert {"href": "/log?when=ahead"} in page(here, "/log").all("a")
    nothing_found = page(here, "/log?plan=DC-9")
    assert {"href": "/log"} in nothing_found.all("a")
    assert not nothing_found.all("table")
    travel(NOW + timedelta(days=3))
    assert page(here, "/log").said("time") == page(here, "/log?when=past").said("time") == ["Wed, Dec 2, 2026, 5:00 pm"]
    assert not page(here, "/log?when=ahead").all("table")


def facets(shown: Page) -> set[str]:
    """The facets of a page, each with its number."""
    return {line.split(": chosen")[0] for line in shown.said("li") if re.search(r" [\d,]+(: chosen|$)", line)}


def test_facets_count_what_each_further_choice_would_leave(here):
    three(here)
    seen = facets(page(here, "/log?when=any"))
    assert {"Not delivered 1", "Not sent 1", "Planned 1", "there is no consent in force 1", "30003 1"} <= seen
    assert {"main 2", "north 1"} <= seen
    assert "10:00 3" not in seen
    seen = facets(page(here, "/log?code=30003"))
    assert "30003 1" in seen
    assert {"Not delivered 1", "main 1"} & seen == set()  # what all of them are is no choice


def test_facets_of_what_was_counted_beforehand_are_the_same(here, monkeypatch):
    for number in (4, 5, 6):
        daily_for_fifty_days(here, number)
    three(here)
    fail(here, "DC-4", 30005)
    fail(here, "DC-4", 30003, "delivered")  # a second try, and another code
    counting.tally(here, NOW)

    def ask(**fields):
        def look(tx):
            asked = delivery_log.ask(here, tx, {"when": "any"} | fields, NOW)
            found = counts.facets(tx, asked.wanted)
            return found.total, {name: dict(by) for name, by in found.by.items()}, dict(found.hours)

        return here.database.read(look)

    for fields in (
        {},
        {"state": "delivered"},
        {"state": "handed_over"},
        {"code": "30003"},
        {"code": "30003", "state": "delivered", "site": "main"},
        {"reason": "no_consent"},
        {"hour": "17"},
        {"hour": "17", "class": "reminder", "since": "2026-12-04", "until": "2026-12-20T11:17"},
    ):
        live = ask(**fields)
        with monkeypatch.context() as patch:
            patch.setattr(counts, "FEW", 0)
            total, by, hours = ask(**fields)
        assert (total, by) == live[:2]
        assert hours == (live[2] if "until" in fields else {})  # over all time they would be too dear
        asked = here.database.read(lambda tx, fields=fields: delivery_log.ask(here, tx, {"when": "any"} | fields, NOW))
        everything = list(delivery_log.rows(here.database, replace(asked.wanted, limit=9_999)))
        assert live[0] == len(everything)
        if "code" not in fields:
            assert sum(live[1]["state"].values()) >= live[0]


def test_above_ten_thousand_a_number_is_said_as_about():
    assert [delivery_log.about(many) for many in (0, 9_999, 10_000, 12_449)] == ["0", "9,999", "10,000", "about 12,400"]


def test_a_site_sees_its_own(here):
    three(here)
    shown = page(here, "/log?when=any", role="coordinator", site="north")
    assert plans_on(shown) == ["DC-north-3"]
    assert "main" not in " ".join(shown.said("main"))
    other = logged(here, plan="DC-1")[0].text
    caller = Caller(here, role="coordinator", site="north")
    answer = caller.post("/log/do", [("do", "task"), ("text", str(other)), ("sure", "yes")])
    assert "it is not there" in answer.text
    assert b"DC-1" not in caller.get("/log/export/csv?when=any").content


# What leaves


def exported(context, form: str, query: str = "when=any", role: str = "ops") -> bytes:
    answer = Caller(context, role=role).get(f"/log/export/{form}?{query}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="texts-2026-11-30.{form}"'
    return answer.content


def test_every_form_carries_the_notice_every_row_and_no_formula(here, monkeypatch):
    monkeypatch.setattr(delivery_log, "AT_ONCE", 2)
    three(here)
    accept(here, 8, plan={"ref": FORMULA}, series=TODAY)
    many = len(logged(here))
    header, *lines = csv.reader(io.StringIO(exported(here, "csv").decode("utf-8-sig")))
    assert header[0] == "opens_at"
    assert [exports.PART_2_NOTICE] in lines[many:]
    rows = [dict(zip(header, line, strict=True)) for line in lines if len(line) == len(header) and line != header]
    assert len(rows) == many
    assert {row["plan"] for row in rows} == {"DC-1", "DC-2", "DC-north-3", f"'{FORMULA}"}
    assert {row["consent_scope"] for row in rows} == {"appointments, meetings", "no"}
    sheet = openpyxl.load_workbook(io.BytesIO(exported(here, "xlsx"))).active
    cells = list(sheet.iter_rows(values_only=True))
    assert cells[0][0] == exports.PART_2_NOTICE
    assert len(cells) == many + len(exports.NOTICE) + 1
    assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "n"}  # none is a formula
    first, *texts = [json.loads(line) for line in exported(here, "jsonl").splitlines()]
    assert exports.PART_2_NOTICE in first["notice"]
    assert len(texts) == many
    assert len(exported(here, "jsonl", "state=undelivered").splitlines()) == 2


def test_who_takes_texts_out_is_on_record_and_needs_to_be_let(here):
    three(here)
    exported(here, "csv", "state=undelivered")
    row = here.database.read(lambda tx: tx.first(sa.select(schema.audit).where(schema.audit.c.what == "log exported")))
    assert row.who == "staff:ops.everywhere"
    assert row.after_sealed is not None
    assert Caller(here, role="clinician").get("/log/export/csv").status_code == 403
    assert Caller(here, role="ops").get("/log/export/pdf").status_code == 404
    assert Caller(here, role="ops").get("/log/export/csv?state=no").status_code == 422
    assert "/log/export" not in Caller(here, role="clinician").page("/log?when=any").text


# Actions on checked texts


def do(context, role: str, action: str, *texts: int, sure: bool = True):
    fields = [("do", action), ("back", "state=undelivered"), *(("text", str(text)) for text in texts)]
    return Caller(context, role=role).post("/log/do", fields + [("sure", "yes")] * sure)


def test_trying_again_asks_first_and_goes_through_the_queue(here):
    three(here)
    text = logged(here, plan="DC-1")[0].text
    asked = do(here, "ops", "again", text, sure=False)
    assert "Try 1 text again?" in asked.text
    assert logged(here, plan="DC-1")[0].state == "undelivered"
    assert "Texts queued again: 1" in do(here, "ops", "again", text).text
    assert logged(here, plan="DC-1")[0].state == "scheduled"
    assert "Texts queued again: 0" in do(here, "ops", "again", text).text


@pytest.mark.parametrize(
    ("state", "code", "said"),
    [
        ("sent", 0, "only a text that was not delivered"),
        ("delivered", 0, "only a text that was not delivered"),
        ("uncertain", 0, "only a text that was not delivered"),
        ("unconfirmed", 0, "only a text that was not delivered"),
        ("undelivered", 21610, "this number cannot be texted"),
    ],
)
def test_what_was_taken_or_may_have_been_is_never_tried_again(here, state, code, said):
    accept(here, series=TODAY)
    text = fail(here, "DC-1", code, state)
    assert said in do(here, "ops", "again", text, sure=False).text
    assert said in do(here, "ops", "again", text).text
    assert logged(here)[0].state == state


def test_what_may_have_arrived_before_or_is_too_late_is_not_tried_again(here, travel):
    accept(here, series=TODAY)
    text = fail(here, "DC-1")
    here.database.write(lambda tx: tx.run(schema.attempts.update().values(answer="unknown")))
    assert "one of its tries may have arrived" in do(here, "ops", "again", text).text
    here.database.write(lambda tx: tx.run(schema.attempts.update().values(answer="refused")))
    travel(NOW + timedelta(hours=2))
    assert "its moment has passed" in do(here, "ops", "again", text).text
    assert logged(here)[0].state == "undelivered"


def test_a_task_of_each_and_a_number_that_is_wrong(here):
    three(here)
    text = logged(here, plan="DC-1")[0].text
    assert "Tasks made: 1" in do(here, "coordinator", "task", text).text
    assert "there is a task already" in do(here, "coordinator", "task", text).text
    assert "Mark 1 number wrong?" in do(here, "coordinator", "wrong", text, sure=False).text
    assert "Numbers marked wrong: 1" in do(here, "coordinator", "wrong", text).text
    wrong = sa.select(sa.func.count()).where(schema.numbers.c.wrong_since.is_not(None))
    assert here.database.read(lambda tx: tx.value(wrong)) == 1
    assert "marked as a wrong one already" in do(here, "coordinator", "wrong", text).text


def test_who_may_not_do_it_is_told_so_and_is_not_offered_it(here):
    three(here)
    for role, action in (("ops", "task"), ("ops", "wrong"), ("coordinator", "again"), ("read_only", "task")):
        assert do(here, role, action, 1).status_code == 403
        assert f'value="{action}"' not in Caller(here, role=role).page("/log?when=any").text
    assert do(here, "ops", "burn", 1).status_code == 404
    assert do(here, "ops", "again").headers["location"] == "/log?state=undelivered&done=none"
