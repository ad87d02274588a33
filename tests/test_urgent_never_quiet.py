"""An urgent task that no one takes pages on-call until it is closed, within limits; and no text is overlooked because
someone took an earlier one (conversation 3).
"""

from datetime import UTC, datetime, timedelta

import pytest
from oncall import PHONE, Clinic

from reminders import clock, store, task_kinds
from reminders.service import tasks

ROTA = (("First", {}), ("Second", {}), ("Lead", {"supervisor": True, "days": []}))
NIGHT = datetime(2026, 12, 5, 8, 0, tzinfo=UTC)  # Saturday, 3 a.m. in New York


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio):
    opened = Clinic(database_url, tmp_path, travel, twilio, *ROTA)
    yield opened
    opened.close()


def possible(clinic):
    """A task of the kind that the second reader opens."""

    def work(tx):
        number = store.people.keep_number(tx, PHONE, clock.now())
        site = store.people.all_sites(tx)[0]
        store.tasks.open_task(
            tx, task_kinds.POSSIBLE, site_id=site.id, zone=site.zone, now=clock.now(), number_id=number
        )

    clinic.context.database.write(work)


URGENT = {
    "crisis": lambda clinic: clinic.text("i want to die"),
    "slip": lambda clinic: clinic.text("i used last night"),
    "possible": possible,
    "reply": lambda clinic: clinic.text("it is so quiet here by the river"),  # of the first 30 days, once it is due
}


@pytest.mark.parametrize("kind", URGENT)
def test_c7_a_task_that_no_one_takes_pages_every_quarter_of_an_hour_until_it_is_closed(clinic, kind):
    clinic.accept()
    clinic.travel(NIGHT)
    URGENT[kind](clinic)
    (task,) = clinic.tasks(kind)
    begun = max(task.due_at, task.rung_at or task.due_at) + timedelta(minutes=1)
    for hour in (0, 1, 30):  # the worker was down for a day in between
        clinic.pager.called()
        for minute in range(0, 60, 15):
            clinic.travel(begun + timedelta(hours=hour, minutes=minute))
            clinic.page()
            clinic.page()  # a second worker at the same time pages no one twice
        called = clinic.pager.called()
        assert len(called) >= 4, hour
        assert max(map(called.count, called)) <= 5, (hour, called)  # no one more than every quarter of an hour
    tasks.close(clinic.context, task.id, task_kinds.KINDS[kind].outcomes[0], clock.now(), who="cli:night")
    clinic.pager.called()
    for hour in range(32, 36):
        clinic.travel(begun + timedelta(hours=hour))
        clinic.page()
    assert clinic.pager.called() == []


def test_conversation_3_a_text_that_comes_to_a_task_someone_took_is_paged_when_it_is_due(clinic):
    clinic.accept()
    clinic.travel(NIGHT - timedelta(hours=17))  # Friday morning
    clinic.text("is there parking")
    (task,) = clinic.tasks("reply")
    tasks.take(clinic.context, task.id, clock.now(), who="cli:day")
    clinic.travel(NIGHT - timedelta(hours=8))
    clinic.page()
    assert clinic.pager.called() == []  # someone has taken it
    clinic.travel(NIGHT)
    clinic.text("it is so quiet here by the river")
    (again,) = clinic.tasks("reply")
    assert (again.id, again.owner, again.acknowledged_at) == (task.id, "cli:day", None)
    assert again.due_at > NIGHT
    clinic.travel(again.due_at - timedelta(seconds=5))
    clinic.page()
    assert clinic.pager.called() == []
    clinic.travel(again.due_at + timedelta(minutes=1))
    clinic.page()
    assert clinic.pager.called() == ["First"]
    tasks.take(clinic.context, task.id, clock.now(), who="cli:day")
    clinic.travel(again.due_at + timedelta(hours=1))
    clinic.page()
    assert clinic.pager.called() == []


def test_c7_a_task_that_turns_urgent_is_shown_as_urgent(clinic):
    clinic.accept(plan={"discharged_on": "2026-10-01"}, patient={"ref": "MRN-7"})  # after the most dangerous days
    clinic.travel(NIGHT)
    clinic.text("i used last night")
    (task,) = clinic.tasks("slip")
    assert (task.urgency, clinic.pager.called()) == ("soon", [])
    clinic.accept(2, plan={"discharged_on": "2026-12-04"})  # someone else, just discharged, on the same phone
    clinic.text("i used again")
    (again,) = clinic.tasks("slip")
    assert (again.id, again.urgency) == (task.id, "urgent")
    assert clinic.pager.called() == ["First"]
