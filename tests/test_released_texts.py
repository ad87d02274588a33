"""A released text is sent, or its task says why not; a visit without a text is always shown."""

from datetime import UTC, datetime

import pytest
from api_caller import Program, make_key
from conftest import send, settle
from oncall import Clinic
from people import one_off
from web_caller import Caller

from reminders import clock, queries, store
from reminders.queries import explanations
from reminders.service.planning import watch
from reminders.service.sending import releasing
from reminders.store.database import schema

VISIT = {"series": [one_off("visit", "2026-12-02T15:00:00", leads=["1d@17:00"])]}
EVENING = datetime(2026, 12, 1, 22, 0, 30, tzinfo=UTC)  # 17:00 in New York on the day before


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio):
    opened = Clinic(database_url, tmp_path, travel, twilio)
    yield opened
    opened.close()


@pytest.fixture
def held(clinic):
    """A clinic with one held text, at its due time."""
    clinic.accept(**VISIT)
    clinic.text("i want to die")
    clinic.travel(EVENING)
    send(clinic.context)
    (task,) = clinic.tasks("held_text")
    return clinic, task


def row(clinic, task):
    return clinic.context.database.read(lambda tx: store.queue.fate_of(tx, task.text_id))


def consent_ends(clinic):
    clinic.context.database.write(lambda tx: tx.run(schema.consents.update().values(said="no")))


def test_screens_1_what_would_happen_changes_nothing_and_says_that_it_goes(held):
    clinic, task = held
    before = row(clinic, task)
    outlook = releasing.what_would_happen(clinic.context, task.id, clock.now())
    assert (outlook.what, outlook.sentence(clock.now())) == ("goes", "It goes now.")
    assert outlook.words
    assert row(clinic, task) == before
    assert before.held == "crisis"
    assert releasing.send_now(clinic.context, task.id, clock.now(), who="test")[0]
    send(clinic.context)
    settle(clinic.context)
    watch.look(clinic.context, clock.now())
    assert clinic.tasks("held_text") == []


def test_screens_1_a_text_that_cannot_go_is_not_released_and_says_to_phone(held):
    clinic, task = held
    consent_ends(clinic)
    went, outlook = releasing.send_now(clinic.context, task.id, clock.now(), who="test")
    assert not went
    assert "there is no consent in force" in outlook.sentence(clock.now())
    assert "phone instead" in outlook.sentence(clock.now())
    assert row(clinic, task).held == "crisis"


def test_screens_1_a_text_in_quiet_hours_waits_and_says_until_when(held):
    clinic, task = held
    clinic.travel(datetime(2026, 12, 2, 4, 0, tzinfo=UTC))  # 11 pm in New York
    outlook = releasing.what_would_happen(clinic.context, task.id, clock.now())
    assert outlook.what in {"waits", "stops"}
    assert "because" in outlook.sentence(clock.now())
    assert outlook.what == "stops" or outlook.until > clock.now()


def test_screens_1_a_released_text_that_is_stopped_later_keeps_its_task_and_shows_the_visit(held):
    clinic, task = held
    assert releasing.send_now(clinic.context, task.id, clock.now(), who="test")[0]
    consents = schema.consents
    clinic.context.database.write(lambda tx: tx.run(consents.update().values(categories=["meetings"])))
    send(clinic.context)
    settle(clinic.context)
    assert row(clinic, task).state == "suppressed"
    assert [one.id for one in clinic.tasks("held_text")] == [task.id]
    _, told = queries.tasks.show(clinic.context.database, task.id, clock.now(), who="test")
    assert any(
        explanations.happened(one).startswith("It did not go: this sort of text was not agreed to") for one in told
    )
    clinic.context.database.write(lambda tx: tx.run(consents.update().values(categories=["appointments"])))
    watch.look(clinic.context, clock.now())
    assert len(clinic.tasks("red")) == 1, "a visit without a text is shown, although a held text's task is open"


def test_screens_11_send_now_asks_first_and_says_what_will_happen(held):
    clinic, task = held
    caller = Caller(clinic.context, role="clinician")
    assert "Let it go" not in caller.page("/").text
    page = caller.page(f"/inbox/{task.id}/let-go").text
    assert "It goes now." in page
    assert "Send now" in page
    assert "Keep it held" in page
    assert row(clinic, task).held == "crisis"
    consent_ends(clinic)
    page = caller.page(f"/inbox/{task.id}/let-go").text
    assert "It cannot go, because there is no consent in force" in page
    assert 'id="send-now"' not in page
    answer = caller.request("POST", f"/inbox/{task.id}/let-go")
    assert answer.status_code == 422
    assert "phone instead" in answer.text


def test_screens_1_the_api_says_what_becomes_of_a_released_text(held):
    clinic, task = held
    consent_ends(clinic)
    answer = Program(clinic.context, make_key(clinic.context)).post(f"/tasks/{task.id}/release")
    assert answer.status_code == 200, answer.text
    assert answer.json()["went"] is False
    assert "there is no consent in force" in answer.json()["says"]
