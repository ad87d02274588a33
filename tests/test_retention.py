"""How long things are kept (L-57, L-58): words for ninety days, a person until they are erased."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from conftest import NOW, logged
from people import document, one_off
from test_proofs import accepted, claim, hear, unknown

from reminders.service import AppContext, planning
from reminders.service.office import audit
from reminders.service.operations import retention
from reminders.service.people import reader_case
from reminders.service.replies import inbound
from reminders.service.sending import recording
from reminders.settings import RetentionSettings
from reminders.sms.receipts import InboundText
from reminders.store.database import schema

DUE = [one_off("visit", "2026-11-30T12:00:00", leads=["3h"])]
LATER = NOW + timedelta(days=92)
BROTHER = {"plan": {"ref": "DC-2"}, "patient": {"ref": "MRN-2", "name": "Sam Alvarez"}}  # on the same phone
ANOTHER = {"plan": {"ref": "DC-3"}, "patient": {"ref": "MRN-3", "name": "Kim Boro", "phone": "(202) 555-0144"}}


def accept(context, now=NOW, **changes):
    planning.accept(context, document(**{"series": DUE} | changes), now, who="test")


def says(context, body, sid, phone="+12025550143", now=NOW):
    text = InboundText(sid=sid, sender=phone, to="+15005550006", body=body, opt_out_type=None, sent_at=now)
    inbound.take_in(context, text, now)


def lived_through(context):
    """A text that was delivered, one that staff typed, a reply."""
    (one,) = [started for started in claim(context, NOW) if started.to == "+12025550143"]
    recording.record(context, [accepted(one)], NOW)
    hear(context, one, "delivered")
    says(context, "is there parking by the heron pond", "SM91")


def words(context):
    """How many rows still have words: attempts, receipts, replies."""
    columns = (schema.attempts.c.body_sealed, schema.receipts.c.raw_sealed, schema.replies.c.body_sealed)

    def look(tx):
        return [tx.value(sa.select(sa.func.count()).where(column != b"")) for column in columns]

    return context.database.read(look)


def rows(context, table):
    return context.database.read(lambda tx: tx.all(sa.select(table)))


def test_l57_words_are_cleared_after_ninety_days_and_what_became_of_them_stays(context):
    accept(context)
    lived_through(context)
    before = logged(context)
    assert retention.purge(context, NOW + timedelta(days=89)) == 0
    assert words(context) == [1, 1, 1]
    assert retention.purge(context, LATER) == 3
    assert words(context) == [0, 0, 0]
    assert logged(context) == before
    (attempt,) = rows(context, schema.attempts)
    assert attempt.template
    assert attempt.segments == 1
    assert retention.purge(context, LATER) == 0


def test_l57_what_somebody_in_danger_wrote_stays_with_its_record(context):
    accept(context)
    says(context, "i want to die", "SM92")
    says(context, "which door is it", "SM93")
    retention.purge(context, LATER)
    assert [bool(row.body_sealed) for row in rows(context, schema.replies)] == [True, False]


def test_l58_under_a_legal_hold_nothing_is_cleared_and_afterwards_it_is(context):
    accept(context)
    lived_through(context)
    assert retention.hold(context, "MRN-1", NOW, who="test", on=True)
    assert not retention.hold(context, "MRN-1", NOW, who="test", on=True)
    assert retention.purge(context, LATER) == 0
    assert words(context) == [1, 1, 1]
    with pytest.raises(reader_case.Refused, match="legal hold"):
        retention.erase(context, "MRN-1", LATER, who="test")
    retention.hold(context, "MRN-1", LATER, who="test", on=False)
    assert retention.purge(context, LATER) == 3
    assert [row.what for row in rows(context, schema.audit)][-2:] == ["legal hold", "legal hold ended"]


def test_l57_an_erased_person_is_nowhere_any_more_and_what_must_be_kept_is(context):
    accept(context, series=[*DUE, one_off("later", "2026-12-10T15:00:00", place="Room 4", **{"with": "Dr. Lee"})])
    accept(context, **ANOTHER)
    lived_through(context)
    says(context, "STOP", "SM94")
    consents = rows(context, schema.consents)
    done = retention.erase(context, "MRN-1", NOW, who="test")
    assert retention.erase(context, "MRN-1", NOW, who="test") is None

    row = context.database.read(
        lambda tx: tx.first(sa.select(schema.patients).where(schema.patients.c.ref == done.ref))
    )
    context.database.data_keys.clear()
    with pytest.raises(LookupError, match="erased"):
        context.database.read(lambda tx: tx.data_key(row.key_id))
    assert (row.name_sealed, row.born_on_sealed) == (None, None)
    texts = logged(context, patient=done.ref)
    assert "delivered" in {text.state for text in texts}
    assert "scheduled" not in {text.state for text in texts}
    assert rows(context, schema.consents) == consents
    assert {row.body_sealed for row in rows(context, schema.replies)} == {b""}
    assert [text.state for text in logged(context, patient="MRN-3")] == [
        "sending"
    ]  # claimed before; nothing of hers went

    # The number's opt-out is permanent, and a person who comes back begins again.
    accept(context)
    assert {text.reason for text in logged(context, patient="MRN-1")} == {"opted_out"}
    says(context, "START", "SM95", now=NOW + timedelta(minutes=1))
    assert {text.reason for text in logged(context, patient="MRN-1")} == {"cap_day"}  # that phone had its text today


def test_l57_who_shares_a_phone_keeps_it_when_the_other_is_erased(context):
    accept(context)
    accept(context, **BROTHER)
    retention.erase(context, "MRN-1", NOW, who="test")
    assert [text.to[-4:] for text in logged(context, patient="MRN-2")] == ["0143"]
    assert [text.state for text in logged(context, patient="MRN-2")] == ["scheduled"]  # its day's text is free now


def test_nobody_is_erased_whose_text_may_be_under_way_or_who_may_be_in_danger(context):
    accept(context)
    (one,) = claim(context, NOW)
    with pytest.raises(reader_case.Refused, match="on its way"):
        retention.erase(context, "MRN-1", NOW, who="test")
    recording.record(context, [unknown(one, NOW)], NOW)
    with pytest.raises(reader_case.Refused, match="not known yet"):
        retention.erase(context, "MRN-1", NOW, who="test")
    hear(context, one, "delivered")
    says(context, "i want to die", "SM96")
    with pytest.raises(reader_case.Refused, match="danger"):
        retention.erase(context, "MRN-1", NOW, who="test")


def test_the_audits_chain_holds_when_somebody_is_erased(context):
    """Data lost with an erased key is told apart from data that someone removed."""
    accept(context)
    accept(context, **ANOTHER)
    lived_through(context)
    audit.chain(context, LATER)
    assert audit.verify(context).ok
    retention.erase(context, "MRN-1", NOW, who="test")
    context.database.data_keys.clear()
    audit.chain(context, LATER)
    verdict = audit.verify(context)
    assert (verdict.problems, verdict.waiting) == ((), 0)


def test_how_long_words_are_kept_is_a_setting_and_an_erasure_says_what_twilio_holds(context):
    """OPS-17."""
    accept(context)
    lived_through(context)
    short = context.settings.model_copy(update={"retention": RetentionSettings(words_days=30)})
    at = NOW + timedelta(days=32)
    assert retention.purge(context, at) == 0
    assert retention.purge(AppContext(short, context.secrets, context.database), at) > 0
    done = retention.erase(context, "MRN-1", LATER, who="test")
    assert done.at_twilio == 1
