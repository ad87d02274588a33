"""Notices are merged by reader and change; a lost one becomes a call; no words are sent twice in a day."""

from datetime import timedelta

import pytest
from conftest import NOW, logged, send, settle
from people import one_off
from sqlalchemy import select
from test_service_changes import LATER, accept, bodies, move, notices, open_kinds, wall

from reminders import queries
from reminders.service import planning
from reminders.service.planning import attendance, changes, replanning
from reminders.store.database.schema import patients, sites, text_items, texts

DAILY = {"repeats": "FREQ=DAILY;COUNT=3"}


def told(context):
    """Each notice that was not retracted, and its number of visits."""

    def look(tx):
        query = select(texts.c.wording, texts.c.key, text_items.c.appointment_id, text_items.c.tells)
        query = query.join(text_items, text_items.c.text_id == texts.c.id)
        rows = tx.all(query.where(texts.c["class"] == "notice", texts.c.state != "cancelled"))
        return sorted((row.key, row.wording, row.appointment_id, row.tells) for row in rows)

    return context.database.read(look)


def test_long_run_3_a_daily_series_at_another_time_is_one_text(line, twilio, travel):
    series = one_off("a", "2026-12-01T09:00:00", **DAILY, leads=["2h"])
    accept(line, series=[series])
    travel(LATER)
    accept(line, now=LATER, series=[series | {"starts": "2026-12-01T10:00:00"}])
    assert notices(line) == [("moved", "scheduled", None)]
    assert len(told(line)) == 3
    send(line)
    send(line)
    (body,) = bodies(twilio)
    assert body.endswith(
        "Your visits Tue Dec 1, Wed Dec 2 and Thu Dec 3 are now at 10:00am. Questions? Call 202-555-0100. "
        "STOP to end texts."
    )


def test_long_run_3_more_than_three_days_or_times_are_one_text_that_asks_to_call(line, twilio, travel):
    series = one_off("a", "2026-12-01T09:00:00", repeats="FREQ=DAILY;COUNT=6", leads=["2h"])
    accept(line, series=[series])
    travel(LATER)
    accept(line, now=LATER, series=[series | {"starts": "2026-12-01T10:00:00"}])
    send(line)
    assert len(bodies(twilio)) == 1
    assert "Several of your visits have changed. Please call 202-555-0100" in bodies(twilio)[0]


def test_long_run_3_each_kind_of_change_is_one_text(line, twilio, travel):
    a = one_off("a", "2026-12-01T09:00:00", **DAILY, leads=["2h"])
    b = one_off("b", "2026-12-01T13:00:00", **DAILY, leads=["2h"]) | {"kind": "support_meeting"}
    accept(line, series=[a, b])
    travel(LATER)
    accept(line, now=LATER, series=[a | {"starts": "2026-12-01T09:30:00"}])
    send(line)
    assert sorted(body.split(": ")[1].split(" are ")[1].split(".")[0] for body in bodies(twilio)) == [
        "called off",
        "now at 9:30am",
    ]


def test_what_changes_again_joins_the_notice_that_waits_and_what_is_put_back_leaves_it(context):
    series = one_off("a", "2026-12-01T15:00:00", **DAILY, leads=["2h"])
    accept(context, series=[series])
    move(context, "2026-12-01T16:00", LATER, on="2026-12-01", series="a")
    move(context, "2026-12-03T16:00", LATER, on="2026-12-03", series="a")
    assert notices(context, "scheduled") == [("moved", "scheduled", None)]
    assert [tells for *_, tells in told(context)] == ["2026-12-01T16:00:00 booked", "2026-12-03T16:00:00 booked"]
    move(context, "2026-12-01T15:00", LATER, on="2026-12-01", series="a")
    assert [tells for *_, tells in told(context)] == ["2026-12-03T16:00:00 booked"]
    before = told(context)
    context.database.write(lambda tx: replanning.replan(context, tx, [_patient(tx)], LATER))
    assert told(context) == before


def _patient(tx):
    return tx.value(select(patients.c.id).limit(1))


def test_long_run_3_the_same_words_never_go_twice_in_a_day_and_somebody_phones(line, twilio, travel):
    accept(line)
    for minutes, to in ((20, "2026-12-03T16:00"), (40, "2026-12-03T15:00"), (60, "2026-12-03T16:00")):
        now = NOW + timedelta(minutes=minutes)
        travel(now)
        move(line, to, now)
        send(line)
    said = bodies(twilio)
    assert len(said) == len(set(said)) == 2
    assert "tell_change" in open_kinds(line)
    assert ("moved", "suppressed", "merged_into") in notices(line)
    # It is phoned about, and not texted the next day.
    travel(NOW + timedelta(days=1))
    planning.extend(line, NOW + timedelta(days=1))
    send(line)
    assert len([body for body in bodies(twilio) if "new time" in body]) == 2


def test_long_run_8_a_notice_whose_window_passed_in_an_outage_is_phoned_about(line, travel):
    accept(line, series=[one_off("therapy", "2026-12-01T15:00:00")])
    now = wall("2026-12-01T13:00")
    travel(now)
    move(line, "2026-12-01T17:00", now, on="2026-12-01")
    assert notices(line) == [("moved", "scheduled", None)]
    after = wall("2026-12-01T15:30")
    travel(after)
    planning.extend(line, after)
    move(line, "2026-12-01T18:00", after, on="2026-12-01")  # replanned before it is settled
    settle(line)
    assert notices(line, "cancelled") == []
    assert ("moved", "expired", None) in notices(line)
    (task,) = [task for task in queries.tasks.list_tasks(line.database) if task.kind == "tell_change"]
    assert task.visit == "therapy@once"


def test_a_missed_text_waits_for_the_days_reminder(context):
    series = one_off("a", "2026-12-01T10:00:00", repeats="FREQ=DAILY;COUNT=2", leads=["1d@17:00"])
    accept(context, series=[series])
    now = wall("2026-12-01T13:00")
    attendance.mark(context, "DC-1", "a", wall("2026-12-01T10:00").date(), now, what="missed", who="test")
    (row,) = [text for text in logged(context) if text.wording == "missed"]
    assert row.state == "scheduled"
    assert row.due_at == wall("2026-12-02T09:00")


@pytest.mark.parametrize("kind", ["closed", "called_off"])
def test_long_run_3_three_visits_of_one_day_are_one_text(line, twilio, travel, kind):
    series = [one_off(name, f"2026-12-03T{hour}:00:00") for name, hour in (("a", 10), ("b", 12), ("c", 15))]
    accept(line, series=series)
    travel(LATER)
    if kind == "closed":
        close = {"closures": ["2026-12-03"]}
        _close(line, close)
        line.database.write(lambda tx: replanning.replan(line, tx, [_patient(tx)], LATER))
    else:
        for one in series:
            move(line, None, LATER, series=one["key"])
    send(line)
    (body,) = bodies(twilio)
    assert "Thu Dec 3" in body
    assert "your visits are off" in body or "are called off" in body
    assert len(told(line)) == 3


def _close(context, values):
    context.database.write(lambda tx: tx.run(sites.update().values(**values)))


def test_a_visit_called_off_at_the_hour_of_another_that_stands_is_not_told_as_off(line, twilio, travel):
    """Texts name an hour, never a kind of visit: their reader would stay away from the other one too."""
    at = "2026-12-03T15:00:00"
    accept(line, series=[one_off("therapy", at, leads=["2h"]), one_off("psychiatry", at, leads=["2h"])])
    travel(LATER)
    move(line, None)
    assert notices(line, "scheduled") == []
    move(line, None, series="psychiatry")
    assert notices(line, "scheduled") == [("called_off", "scheduled", None)]
    send(line)
    (body,) = bodies(twilio)
    assert body.count("Dec 3") == 1


def test_after_a_miss_nothing_is_said_while_the_plan_is_paused(line, twilio, travel):
    accept(line, series=[one_off("a", "2026-12-01T10:00:00", repeats="FREQ=DAILY;COUNT=9", leads=["1d@17:00"])])
    now = wall("2026-12-01T19:00")
    travel(now)
    attendance.mark(line, "DC-1", "a", wall("2026-12-01T10:00").date(), now, what="missed", who="test")
    changes.set_plan_status(line, "DC-1", "paused", now, who="test", because=None)
    travel(wall("2026-12-02T09:00"))
    send(line)
    assert bodies(twilio) == []
    (row,) = [text for text in logged(line) if text.wording == "missed"]
    assert (row.state, row.reason) == ("suppressed", "paused")


def test_a_reminder_is_on_record_with_the_visits_that_it_says(line, twilio, travel):
    """A visit that a closure removes from it at sending gets a separate text once the day is open after all."""
    therapy = one_off("therapy", "2026-12-03T15:00:00", leads=["1d@17:00"])
    meeting = one_off("meeting", "2026-12-03T18:00:00", leads=["1d@17:00"], kind="support_meeting")
    accept(line, series=[therapy, meeting])
    now = wall("2026-12-02T17:00")
    travel(now)
    closed = sites.update().values(closures=["2026-12-03"])
    line.database.write(lambda tx: tx.run(closed))
    send(line)
    (body,) = bodies(twilio)
    assert "6:00pm" in body
    assert "3:00pm" not in body

    def items(tx):
        query = select(text_items.c.appointment_id).join(texts, texts.c.id == text_items.c.text_id)
        return len(tx.all(query.where(texts.c["class"] == "reminder")))

    assert line.database.read(items) == 1


def test_a_reminder_whose_words_a_notice_said_does_not_come_back_the_next_day(line, travel):
    """It would replace the only reminder of another visit, and its reason would be rewritten."""
    leads = {"leads": ["1d@17:00"]}
    accept(line, series=[one_off("therapy", "2026-12-03T15:00:00", **leads), one_off("b", "2026-12-04T09:30", **leads)])
    now = wall("2026-12-01T18:00")
    travel(now)
    move(line, "2026-12-03T16:00", now=now)
    send(line)
    for at in ("2026-12-02T12:00", "2026-12-03T00:10", "2026-12-03T08:00"):
        planning.extend(line, wall(at))
        rows = {text.key: (text.state, text.reason) for text in logged(line) if text.class_ == "reminder"}
        assert rows == {
            "day:2026-12-03:1d@17:00": ("suppressed", "merged_into"),
            "day:2026-12-04:1d@17:00": ("scheduled", None),
        }
