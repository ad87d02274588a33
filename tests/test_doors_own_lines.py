"""SEC-16: a text from one of our senders gets no answer, so two of our senders never text each other."""

import pytest
import sqlalchemy as sa
from conftest import NOW, logged
from two_sites import accept, open_north

from reminders import clock
from reminders.service.replies import inbound
from reminders.sms import InboundText
from reminders.store.database import schema

SENDER, NORTH = "+15005550006", "+15005550009"
WORDS = ("hello", "HELP", "START", "STOP", "who is this", "i want to die", "R", "C", "i used last night")


@pytest.mark.parametrize("line", [SENDER, NORTH])
def test_s16_what_a_sender_of_our_own_texts_is_answered_by_no_text(context, travel, line):
    travel(NOW)
    open_north(context)
    accept(context, 3)
    for number, body in enumerate(WORDS):
        taken = inbound.take_in(context, InboundText(f"SM{number:032}", line, SENDER, body, None), clock.now())
        assert taken.fresh
        assert taken.urgent == ()
    assert [one for one in logged(context) if one.class_ == "answer"] == []
    kinds = context.database.read(lambda tx: {row.kind for row in tx.all(sa.select(schema.tasks.c.kind))})
    assert kinds == {"crisis", "reply"}  # a person reads it, and danger alarms whoever wrote it
