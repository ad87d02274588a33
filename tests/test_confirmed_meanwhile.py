"""A text that can no longer be rendered does not delay others due with it (seed 426 of the simulation)."""

from datetime import timedelta

import pytest
from conftest import logged, send
from oncall import SENDER
from people import one_off
from test_rules_law import OTHER, TOMORROW, an_office, supporter

from reminders import clock, store
from reminders.service.replies import inbound


@pytest.fixture
def office(database_url, tmp_path, travel, twilio):
    opened = an_office(database_url, tmp_path, travel, twilio)
    yield opened
    opened.close()


def confirms(office):
    """A reader texts C, and before any worker runs something else is due too."""
    office.remind(series=TOMORROW)
    office.accept(2, OTHER, series=TOMORROW)
    inbound.take_in(office.context, office.text("C", heard=False), clock.now())
    assert [(text.wording, text.state) for text in office.texts()] == [("confirmed", "scheduled")]


@pytest.mark.parametrize("how", ["called off", "another's"])
def test_e11_a_c_is_not_answered_once_its_visit_is_off_or_anothers(office, how):
    confirms(office)
    changed = {"status": "cancelled"} if how == "called off" else {"for": ["sister"]}
    recipients = [supporter()]
    office.accept(series=[TOMORROW[0] | changed, one_off("other", "2026-12-09T15:00:00")], recipients=recipients)
    send(office.context)
    assert [(text.state, text.reason) for text in office.texts()] == [("suppressed", "not_booked")]
    assert office.received(OTHER) != []


def test_r08_a_text_that_cannot_be_rendered_costs_no_other_and_has_a_task(office):
    confirms(office)
    number = office.number()

    def lay_down(tx):
        reader = store.replies.readers_on(tx, number.id)[0]
        now = clock.now()
        sender = store.people.sender_of(tx, reader.site_id, SENDER)
        store.texts.add(
            tx,
            store.texts.Addressee(reader.id, reader.site_id, sender, number.id),
            class_="answer",
            key="answer:of no wording",
            now=now,
            window=store.texts.Window(now, now + timedelta(hours=1), now),
            wording="never written",
        )

    office.context.database.write(lay_down)
    send(office.context)
    ends = {text.wording: (text.state, text.reason) for text in office.texts()}
    assert ends == {"confirmed": ("sent", None), "never written": ("suppressed", "no_wording")}
    assert "stuck" in office.kinds()
    assert office.received(OTHER) != []
    assert [one for one in logged(office.context, state="scheduled") if one.opens_at <= clock.now()] == []
