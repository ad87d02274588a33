"""Every visit gets one reminder before any gets two, and a reason says what happened."""

from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from conftest import free_port, logged, open_context, send
from people import document, one_off
from test_service_changes import LATER, accept, bodies, wall

from reminders import store
from reminders.service import planning
from reminders.service.planning import attendance, cap_costs
from reminders.service.replies import inbound
from reminders.sms import InboundText
from reminders.store.database.ids import new_id
from reminders.store.database.schema import attempts
from reminders.wording import staff_words

PHONE, SENDER = "+12025550101", "+15005550006"


def weekly(key, starts, **more):
    return {"key": key, "kind": "therapy_individual", "starts": starts, "repeats": "FREQ=WEEKLY;COUNT=6"} | more


def standing(context, class_="reminder"):
    """Key → state and reason of the texts of a class."""
    return {text.key: (text.state, text.reason) for text in logged(context) if text.class_ == class_}


@pytest.mark.parametrize("day", ["2026-12-05", "2026-12-07", "2026-12-10", "2026-12-11", "2026-12-12", "2026-12-13"])
def test_long_run_1_a_weekly_digest_replans_on_every_weekday(line, twilio, travel, day):
    three = [weekly(f"group{n}", f"2026-12-{n:02d}T15:00:00", kind="therapy_group") for n in (7, 9, 11)]
    accept(line, patient={"weekly_digest": True}, series=three)
    sunday = wall("2026-12-06T17:01")
    if wall(f"{day}T03:00") > sunday:
        travel(sunday)
        assert send(line).accepted == 1
        assert "3 appointments" in bodies(twilio)[-1] or "3 visits" in bodies(twilio)[-1]
    for hour in (3, 12, 18):
        now = wall(f"{day}T{hour:02d}:00")
        travel(now)
        planning.extend(line, now)
    rows = standing(line)
    assert rows["day:2026-12-09:1d@17:00"] == ("suppressed", "merged_into")
    assert rows["day:2026-12-11:1d@17:00"] == ("suppressed", "merged_into")


def test_long_run_2_the_preview_of_a_first_visit_holds_through_the_nightly_replan(line, twilio, travel):
    monday = wall("2026-11-30T10:00")
    travel(monday)
    accept(line, now=monday, series=[one_off("first", "2026-12-03T09:30:00")])
    for now in ("2026-11-30T17:01", "2026-12-01T03:00", "2026-12-02T03:00", "2026-12-02T17:01"):
        travel(wall(now))
        planning.extend(line, wall(now))
        send(line)
    assert "tomorrow, Thu Dec 3, 9:30am" in bodies(twilio)[-1]


def test_long_run_2_what_was_merged_into_a_text_that_does_not_go_says_the_true_reason(line):
    """The day-before text covers the evening text of the 2-hour lead, but another visit's text takes its room."""
    first, other = one_off("first", "2026-12-01T15:00:00", leads=["2h"]), one_off("b", "2026-12-05T15:00:00")
    group = weekly("group", "2026-12-03T09:00:00", kind="therapy_group", leads=["1d@17:00", "2h"])
    accept(line, series=[first, group, other | {"leads": ["3d@12:00"]}])
    rows = standing(line)
    assert rows["day:2026-12-05:3d@12:00"] == ("scheduled", None)
    assert rows["day:2026-12-03:1d@17:00"] == ("suppressed", "cap_day")
    assert rows["day:2026-12-03:2h"] == ("suppressed", "cap_day")


@pytest.fixture
def welcoming(database_url, tmp_path, travel, twilio):
    """A house that welcomes new numbers."""
    opened = open_context(
        database_url,
        tmp_path,
        sending__welcome="true",
        twilio__api_base_url=twilio.url,
        twilio__segments_per_second="0",
        web__public_url=f"http://127.0.0.1:{free_port()}",
    )
    yield opened
    opened.close()


@pytest.mark.parametrize("leads", [["1d@17:00", "2h"], None])
def test_screens_1b_the_first_visit_has_a_reminder_whatever_else_goes_that_day(welcoming, twilio, travel, leads):
    """Entered on Saturday night for Monday morning: the welcome is sent on Sunday, and so is the reminder."""
    saturday = wall("2026-11-28T21:38")
    travel(saturday)
    visit = one_off("first", "2026-11-30T09:30:00", **({"leads": leads} if leads else {}))
    accept(welcoming, now=saturday, plan={"discharged_on": "2026-11-28"}, series=[visit])
    promised = [one for one in planning.preview_plan(welcoming, "DC-1", saturday) if one.class_ == "reminder"]
    assert len([one for one in promised if one.goes]) == 1
    assert {one.reason for one in promised if not one.goes} == {"merged_into"}
    for now in ("2026-11-29T03:00", "2026-11-29T09:01", "2026-11-29T17:01"):
        travel(wall(now))
        planning.extend(welcoming, wall(now))
        send(welcoming)
    said = bodies(twilio)
    assert len(said) == 2  # the welcome and the reminder
    assert len([body for body in said if "tomorrow, Mon Nov 30, 9:30am" in body]) == 1


def test_long_run_5_a_row_whose_window_has_shut_keeps_its_reason(line, travel):
    """The two groups of a day share a text; its reason stays when the first of them is marked."""
    two = [weekly("morning", "2026-12-03T09:30:00", kind="therapy_group"), one_off("doctor", "2026-12-02T15:00:00")]
    accept(line, consent={"per_week": 1}, series=two)
    before = standing(line)
    key = "day:2026-12-03:1d@17:00"
    assert before[key] == ("suppressed", "cap_week")
    # At night its window is practically closed; in the morning it is, and a STOP comes after it.
    night, morning, after_it = wall("2026-12-02T21:30"), wall("2026-12-03T08:50"), wall("2026-12-03T18:00")
    travel(night)
    planning.extend(line, night)
    assert standing(line)[key] == before[key]
    travel(morning)
    inbound.take_in(line, InboundText("SM" + "1" * 32, PHONE, SENDER, "STOP", None), morning)
    assert standing(line)[key] == before[key]
    travel(after_it)
    attendance.mark(line, "DC-1", "morning", date(2026, 12, 3), after_it, what="attended", who="test")
    planning.extend(line, after_it)
    after = standing(line)
    for key, (state, reason) in before.items():
        if key.startswith("day:2026-12-03") and state == "suppressed":
            assert after[key] == (state, reason)


def test_long_run_6_an_answer_and_a_notice_take_no_reminders_place(line, twilio, travel):
    accept(line, series=[weekly("therapy", "2026-12-03T15:00:00"), weekly("other", "2026-12-10T11:00:00")])
    travel(wall("2026-11-30T17:01"))
    assert send(line).accepted == 1
    noon = wall("2026-12-02T12:00")
    travel(noon)
    inbound.take_in(line, InboundText("SM" + "1" * 32, PHONE, SENDER, "where do i park", None), noon)
    send(line)
    evening = wall("2026-12-02T17:01")
    travel(evening)
    planning.extend(line, evening)
    assert send(line).accepted == 1
    assert "tomorrow, Thu Dec 3, 3:00pm" in bodies(twilio)[-1]


def test_long_run_8_a_text_counts_on_the_day_it_was_last_handed_over(line, travel):
    accept(line, series=[weekly("therapy", "2026-12-03T15:00:00")])
    evening, morning = wall("2026-12-02T17:01"), wall("2026-12-03T09:10")
    travel(evening)
    assert send(line).accepted == 1

    def again(tx):
        (first,) = tx.all(sa.select(attempts))
        second = dict(first._mapping) | {"id": new_id(morning), "number": 2, "ref": "ref-2", "sid": "SM" + "2" * 32}
        tx.run(attempts.insert().values(second | {"started_at": morning}))
        return store.texts.gone(tx, [first.number_id], evening - timedelta(days=7))

    (((_, gone),),) = line.database.write(again).values()
    assert gone.at == morning


def test_code_2_a_lead_on_the_day_itself_is_labeled_and_goes_that_day(line):
    accept(line, series=[weekly("therapy", "2026-12-03T15:00:00", leads=["0d@08:00"])])
    text = next(text for text in logged(line) if text.key == "day:2026-12-03:0d@08:00")
    assert text.opens_at == wall("2026-12-03T09:00")
    assert staff_words.lead_words(text.class_, text.key, text.opens_at, text.reader_zone) == "the same day, at 9:00 am"


def test_code_2_a_short_lead_moved_to_the_evening_before_is_labeled_so(line):
    accept(line, series=[weekly("therapy", "2026-12-03T10:30:00", leads=["2h"])])
    text = next(text for text in logged(line) if text.key == "day:2026-12-03:2h")
    assert (
        staff_words.lead_words(text.class_, text.key, text.opens_at, text.reader_zone) == "the day before, at 7:00 pm"
    )


WEEK = [
    weekly("iop1", "2026-12-07T18:00:00", kind="therapy_group"),
    weekly("iop2", "2026-12-09T18:00:00", kind="therapy_group"),
    weekly("iop3", "2026-12-11T18:00:00", kind="therapy_group"),
    weekly("therapy", "2026-12-08T15:00:00"),
    weekly("na", "2026-12-10T19:00:00", kind="support_meeting"),
]


def test_screens_5_the_preview_says_what_the_caps_cost_and_offers_the_digest(line):
    first = one_off("first", "2026-12-02T15:00:00")
    texts = planning.preview(line, document(consent={"per_week": 3}, series=[first, *WEEK]), LATER)
    words = cap_costs.in_words(texts, date(2026, 11, 30))
    assert words.startswith(
        "5 visits, 3 texts a week: 2 stay without a reminder in the week of Dec 7, and 5 more weeks"
    )
    assert words.endswith("One text a week with all of its visits would name every visit.")
    free = planning.preview(line, document(series=[first, *WEEK]), LATER)
    assert cap_costs.in_words(free, date(2026, 11, 30)) is None


def test_screens_6_a_reader_of_the_digest_gets_one_text_a_week(line):
    first = one_off("first", "2026-12-02T15:00:00")
    chosen = document(patient={"weekly_digest": True}, consent={"per_week": 3}, series=[first, *WEEK])
    texts = [one for one in planning.preview(line, chosen, LATER) if one.goes and one.class_ == "reminder"]
    in_the_week = [
        one.key for one in texts if one.key.split(":")[1] >= "2026-12-07" and one.opens_at < wall("2026-12-13T12:00")
    ]
    assert in_the_week == ["week:2026-12-07:1d@17:00"]
    assert cap_costs.in_words(texts, date(2026, 11, 30)) is None
