"""Each reader gets the news that they themselves lack; someone phones about news that cannot be sent."""

from datetime import timedelta

import pytest
from conftest import logged, send
from people import one_off, raw
from sqlalchemy import select
from test_service_changes import LATER, accept, bodies, move, notices, wall

from reminders import queries, store
from reminders.service.planning import attendance
from reminders.service.planning.replanning import replan
from reminders.store.database.schema import numbers, patients, sites

MOTHER = "+12025550144"
SUPPORTER = {
    "key": "mother",
    "role": "supporter",
    "phone": MOTHER,
    "part2_consent_on": "2026-11-29",
    "consent": {**raw()["consent"], "categories": ["family"]},
}
FAMILY = one_off("family", "2026-12-03T15:00:00", kind="family_session", leads=["1d@17:00"])
WITH_HER = {"for": ["self", "mother"]}


def of(context, recipient: str):
    return [
        (text.wording, text.state)
        for text in logged(context)
        if text.class_ == "notice" and text.recipient == recipient
    ]


def calls(context) -> list[str]:
    return [task.visit for task in queries.tasks.list_tasks(context.database) if task.kind == "tell_change"]


def test_long_run_3_who_comes_with_the_edit_that_moves_a_visit_is_told_of_no_move(context):
    accept(context, series=[FAMILY])
    moved = FAMILY | {"starts": "2026-12-03T16:00:00"} | WITH_HER
    accept(context, now=LATER, recipients=[SUPPORTER], series=[moved])
    assert of(context, "self") == [("moved", "scheduled")]
    assert of(context, "mother") == []
    # The next move is news to both.
    accept(
        context, now=LATER + timedelta(hours=1), recipients=[SUPPORTER], series=[moved | {"starts": "2026-12-03T17:00"}]
    )
    assert of(context, "mother") == [("moved", "scheduled")]


def test_long_run_3_who_is_named_in_a_series_by_the_edit_that_moves_it_is_told_of_no_move(context):
    other = one_off("other", "2026-12-10T15:00:00", kind="family_session") | WITH_HER
    accept(context, recipients=[SUPPORTER], series=[FAMILY, other])
    moved = FAMILY | {"starts": "2026-12-03T16:00:00"} | WITH_HER
    accept(context, now=LATER, recipients=[SUPPORTER], series=[moved, other])
    assert of(context, "self") == [("moved", "scheduled")]
    assert of(context, "mother") == []
    again = moved | {"starts": "2026-12-03T17:00:00"}
    accept(context, now=LATER + timedelta(hours=1), recipients=[SUPPORTER], series=[again, other])
    assert of(context, "mother") == [("moved", "scheduled")]


def test_who_came_before_a_visit_was_called_off_is_told(context):
    accept(context, series=[FAMILY])
    accept(context, now=LATER, recipients=[SUPPORTER], series=[FAMILY | WITH_HER])
    accept(
        context, now=LATER + timedelta(hours=1), recipients=[SUPPORTER], series=[one_off("a", "2026-12-20T09:00:00")]
    )
    assert of(context, "mother") == [("called_off", "scheduled")]


@pytest.mark.parametrize("lost", ["stop", "bad", "night", "lint"])
def test_long_run_8_a_notice_that_cannot_go_any_more_is_phoned_about(line, travel, lost):
    """A STOP or a bad number since it was queued; the night, or forbidden words, at its claim."""
    accept(line, series=[one_off("therapy", "2026-12-02T07:30:00", leads=["1d@17:00"])])
    now = wall("2026-12-01T19:30")
    travel(now)
    move(line, "2026-12-02T09:30", now, on="2026-12-02")
    assert notices(line, "scheduled") == [("moved", "scheduled", None)]
    assert calls(line) == []

    def lose(tx):
        number = queries.people.number_by_phone(tx, "+12025550101")
        if lost == "stop":
            store.people.opt_out(tx, number.id, now)
        elif lost == "bad":
            tx.run(numbers.update().where(numbers.c.id == number.id).values(bad_since=now))
        elif lost == "lint":
            tx.run(sites.update().values(alias="Addiction Clinic"))
        if lost in {"stop", "bad"}:
            replan(line, tx, [tx.value(select(patients.c.id))], now)

    line.database.write(lose)
    if lost == "night":
        travel(wall("2026-12-01T21:30"))
    assert send(line).accepted == 0
    reason = {"stop": "opted_out", "bad": "number_bad", "night": "quiet_hours", "lint": "lint"}[lost]
    assert notices(line) == [("moved", "suppressed", reason)]
    assert calls(line) == ["therapy@once"]


def test_two_patients_on_one_phone_with_the_same_words_are_one_text_and_one_call(line, twilio, travel):
    visits = [one_off("therapy", "2026-12-03T15:00:00", leads=["1d@17:00"])]
    accept(line, series=visits)
    accept(line, 2, patient={"phone": "202-555-0101"}, series=visits)
    travel(LATER)
    move(line, "2026-12-03T16:00")
    move(line, "2026-12-03T16:00", plan="DC-2")
    send(line)
    send(line)
    assert len(bodies(twilio)) == 1
    assert sorted(notices(line)) == [("moved", "sent", None), ("moved", "suppressed", "merged_into")]
    assert calls(line) == ["therapy@once"]


def test_a_missed_text_whose_day_gets_a_reminder_after_the_mark_waits_for_the_next_day(line, twilio, travel):
    first = one_off("a", "2026-12-01T10:00:00", leads=["2h"])
    accept(line, series=[first])
    marked = wall("2026-12-01T12:30")
    travel(marked)
    attendance.mark(line, "DC-1", "a", marked.date(), marked, what="missed", who="test")
    (row,) = [text for text in logged(line) if text.wording == "missed"]
    assert row.due_at == marked
    accept(line, now=marked, series=[first, one_off("b", "2026-12-02T10:00:00", leads=["1d@17:00"])])
    send(line)
    (row,) = [text for text in logged(line) if text.wording == "missed"]
    assert (row.state, row.due_at) == ("scheduled", wall("2026-12-02T09:00"))
    assert [body for body in bodies(twilio) if "glad to see you" in body] == []
    travel(wall("2026-12-01T17:01"))
    send(line)
    assert len(bodies(twilio)) == 1
    travel(wall("2026-12-02T09:00"))
    send(line)
    assert len(bodies(twilio)) == 2
