"""One test for each promise that a close review of the core questioned, named for the promise, not for the fault."""

import asyncio
import contextlib
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from conftest import KEYS, NOW, begun, open_context, working
from people import document, one_off

from jobs.sender_thread import Line
from reminders import queries, store
from reminders.plans import to_instant
from reminders.queries import explanations
from reminders.queries.texts import LogFilter
from reminders.service import planning, sending
from reminders.service.operations import runs
from reminders.service.planning import changes, importing
from reminders.service.replies import inbound
from reminders.service.sending import backlog, outcomes, recording
from reminders.sms import Accepted, Seen
from reminders.sms.receipts import InboundText, Receipt
from reminders.store.database import schema
from reminders.store.database.sealing import Place
from reminders.store.sending.answers import Answered

LEASE = timedelta(seconds=120)
SISTER = {
    "key": "sister",
    "role": "supporter",
    "phone": "(202) 555-0144",
    "part2_consent_on": "2026-11-29",
    "consent": {"said": "yes", "on": "2026-11-29", "how": "signed form", "by": "A. Reyes", "categories": ["family"]},
}


def ny(wall: str) -> datetime:
    return to_instant(datetime.fromisoformat(wall), "America/New_York")


def accept(context, now=NOW, **changes):
    return planning.accept(context, document(**changes), now, who="test")


def person(number: int, **changes):
    """A plan of another invented person."""
    patient = {"ref": f"MRN-{number}", "name": f"Pat {number}", "phone": f"(202) 555-0{100 + number}"}
    return {"plan": {"ref": f"DC-{number}"}, "patient": patient} | changes


def texts(context, **wanted):
    return context.database.read(lambda tx: queries.texts.log(tx, LogFilter(limit=1000, **wanted)))


def the_text(context):
    (text,) = texts(context)
    return text


def claim(context, now, limit=50):
    return begun(context, now, limit, LEASE)


def claimed_texts(context, now):
    """The texts of those attempts."""
    begun = {one.text for one in claim(context, now)}
    return [text for text in texts(context) if text.text in begun]


def accepted(one, sid="SM" + "a" * 32, now=NOW, status="queued"):
    return Answered(one, "accepted", sid=sid, status=status, ask_at=now + sending.ASK_AFTER)


def carried_nothing(one, now):
    return Answered(one, "refused", what="no connection", again_at=now)


def unknown(one, look_at):
    return Answered(one, "unknown", what="timeout", look_at=look_at)


def rested(context):
    context.database.write(
        lambda tx: tx.run(schema.senders.update().values(stopped_until=None, stopped_code=None, stops=0))
    )


def hear(context, one, status, sid="SM" + "a" * 32, code=0, now=NOW):
    form = {"MessageSid": sid, "MessageStatus": status}
    return outcomes.receive(context, one.ref, Receipt(status, code, sid), form, now)


class Phones:
    """A gateway for which the test sets the result of each call, and Twilio's list."""

    def __init__(self, listed=()):
        self.listed = list(listed)
        self.sent = []

    async def send(self, text):
        self.sent.append(text)
        return Accepted(f"SM{len(self.sent):032x}", "queued")

    async def find(self, to, *, since):
        return [one for one in self.listed if one.to == to and one.created_at >= since]

    async def fetch(self, sid):
        return next((one for one in self.listed if one.sid == sid), None)


def seen(one, sid, at, status="sent"):
    return Seen(sid, one.to, one.sender, one.body, status, None, at, 1)


def settle(context, phones, now):
    return asyncio.run(outcomes.settle(context, phones, now))


def drain(context, phones, seconds=20):
    with ThreadPoolExecutor(1) as executor:
        dispatch = sending.Dispatch(context, phones, executor, threading.Event())
        return asyncio.run(asyncio.wait_for(dispatch.drain(), seconds))


@pytest.fixture
def unpaced(database_url, tmp_path):
    """A house whose sender has no pace limit, since the clock of these tests stands still."""
    opened = open_context(database_url, tmp_path, twilio__segments_per_second="0")
    yield opened
    opened.close()


@pytest.fixture
def noon(monkeypatch):
    """The clock stands at NOW."""
    monkeypatch.setattr("reminders.clock.machine", lambda: NOW)


DUE = [
    one_off("visit", "2026-11-30T12:00:00", leads=["3h"])
]  # its window is open at NOW and closes at 11:15 in New York


# Never lost silently.


def test_promise_1_a_visit_that_began_does_not_turn_an_unsent_text_into_a_retracted_one(context):
    accept(context, series=[one_off("visit", "2026-12-01T12:00:00", leads=["3h"])])
    later = ny("2026-12-01T12:30:00")  # no one sent or settled meanwhile: the worker was down
    planning.extend(context, later)
    context.database.write(lambda tx: store.outcomes.expire(tx, later))
    assert the_text(context).state == "expired"


def test_promise_1_an_answer_that_cannot_be_written_does_not_hold_up_the_others(context):
    accept(context, series=DUE)
    accept(context, **person(2, series=DUE))
    first, second = claim(context, NOW)
    same = "SM" + "b" * 32  # one sid for two attempts: a stand-in's fault, or a look-up that took the wrong one
    recording.record(context, [accepted(first, same)], NOW)
    recording.record(context, [accepted(second, same)], NOW)
    assert {text.state for text in texts(context)} == {"sent"}


def test_promise_1_a_sid_longer_than_twilios_is_recorded_like_any_other(context):
    accept(context, series=DUE)
    (one,) = claim(context, NOW)
    recording.record(context, [accepted(one, "SM" + "c" * 50)], NOW)  # the gateway lets up to 64 characters through
    assert the_text(context).state == "sent"


def stopped_by_phone(context, now):
    said = InboundText(sid="SM9", sender="+12025550143", to="+15005550006", body="STOP", opt_out_type=None, sent_at=now)
    inbound.take_in(context, said, now)


def died(context, now):
    changes.set_plan_status(context, "DC-1", "ended", now, who="test", because="died")


def found_not_booked(context, now):
    context.database.write(lambda tx: tx.run(schema.appointments.update().values(status="cancelled")))
    assert claim(context, now) == []


def window_shut(context, now):
    context.database.write(lambda tx: store.outcomes.expire(tx, now + timedelta(hours=2)))


def dropped_from_the_backlog(context, now):
    context.database.write(lambda tx: tx.run(schema.texts.update().values(held="backlog")))
    backlog.end(context, now, drop=True, who="test")


@pytest.mark.parametrize("event", [stopped_by_phone, died, found_not_booked, window_shut, dropped_from_the_backlog])
def test_promise_1_what_twilios_list_may_have_hidden_is_not_shown_as_never_sent(context, event):
    """Absent twice, due for a resend, and then it must not be sent: it may still be on the phone."""
    accept(context, plan={"ref": "DC-1"}, series=DUE)
    (one,) = claim(context, NOW)
    recording.record(context, [unknown(one, NOW)], NOW)
    phones = Phones()
    settle(context, phones, NOW + timedelta(seconds=330))
    settle(context, phones, NOW + timedelta(seconds=940))
    assert the_text(context).state == "scheduled"
    event(context, NOW + timedelta(seconds=950))
    reminder = next(text for text in texts(context) if text.class_ == "reminder")
    assert (reminder.state, reminder.reason) == ("uncertain", None)
    assert "may or may not have gone" in explanations.tell(reminder)
    hear(context, one, "delivered", now=NOW + timedelta(seconds=960))
    assert "delivered" in {text.state for text in texts(context)}


def resent_and_found_for_the_first(context):
    """Attempt 2 is on the wire with the same body at attempt 1's last look-up, as the window closes."""
    accept(context, series=[one_off("visit", "2026-11-30T11:10:00", leads=["3h"])])
    (one,) = claim(context, NOW)
    recording.record(context, [unknown(one, NOW)], NOW)
    phones = Phones()
    settle(context, phones, NOW + timedelta(seconds=330))
    settle(context, phones, NOW + timedelta(seconds=940))
    resent_at = NOW + timedelta(minutes=24)  # the sender rested for a while
    (two,) = claim(context, resent_at)
    assert (two.number, two.body) == (2, one.body)
    phones.listed = [seen(two, "SM" + "d" * 32, resent_at)]
    settle(context, phones, NOW + timedelta(minutes=25))
    return two


def test_promise_1_a_receipt_is_kept_although_its_sid_was_given_to_another_attempt(context):
    two = resent_and_found_for_the_first(context)
    hear(context, two, "delivered", "SM" + "d" * 32, now=NOW + timedelta(minutes=26))
    assert the_text(context).state == "delivered"


def test_promise_1_an_answer_is_kept_although_its_sid_was_given_to_another_attempt(context):
    two = resent_and_found_for_the_first(context)
    recording.record(context, [accepted(two, "SM" + "d" * 32)], NOW + timedelta(minutes=26))
    assert the_text(context).state == "sent"


def test_rule_9_one_answer_that_cannot_be_written_ends_neither_the_others_nor_the_line(unpaced, noon):
    context = unpaced
    for number in (1, 2, 3):
        accept(context, **person(number, series=DUE))

    class Same(Phones):
        async def send(self, text):
            answer = await super().send(text)
            place = len(self.sent)
            await asyncio.sleep(0.05 * place)
            return Accepted("SM" + "e" * 32, "queued") if place < 3 else answer

    phones = Same()
    with ThreadPoolExecutor(1) as executor:
        dispatch = sending.Dispatch(context, phones, executor, threading.Event())

        async def wakes():
            for _ in range(3):
                with contextlib.suppress(sa.exc.IntegrityError):  # turning red is right
                    await asyncio.wait_for(dispatch.drain(), 5)
            accept(context, **person(4, series=DUE))
            with contextlib.suppress(sa.exc.IntegrityError):
                await asyncio.wait_for(dispatch.drain(), 5)

        asyncio.run(wakes())
    assert "+12025550104" in [one.to for one in phones.sent]


def test_k12_a_worker_that_slept_with_its_machine_does_not_call(context, monkeypatch):
    """CLOCK_MONOTONIC stands still while a machine sleeps or a guest is paused; meanwhile another worker resent it."""
    accept(context, series=DUE)
    (one,) = claim(context, NOW)
    monkeypatch.setattr("reminders.clock.machine", lambda: NOW + timedelta(minutes=20))
    phones = Phones()
    with ThreadPoolExecutor(1) as executor:
        dispatch = sending.Dispatch(context, phones, executor, threading.Event())
        asyncio.run(dispatch._send(one, time.monotonic()))
    assert phones.sent == []


def test_rule_5_a_text_found_by_a_look_up_is_asked_after_until_its_end_is_known(context):
    accept(context, series=DUE)
    (one,) = claim(context, NOW)
    recording.record(context, [unknown(one, NOW)], NOW)
    now = NOW + timedelta(seconds=330)
    phones = Phones([seen(one, "SM" + "a" * 32, NOW)])
    assert settle(context, phones, now).found == 1
    for hours in (1, 2, 25, 26, 50):
        asyncio.run(outcomes.ask(context, phones, now + timedelta(hours=hours)))
    assert the_text(context).state == "unconfirmed"


def test_k9_a_text_whose_only_word_was_an_early_callback_is_asked_after(context):
    accept(context, series=DUE)
    (one,) = claim(context, NOW)
    hear(context, one, "sent")  # and the worker died before it wrote the answer
    phones = Phones([seen(one, "SM" + "a" * 32, NOW)])
    for hours in (1, 2, 25, 26, 50):
        asyncio.run(outcomes.ask(context, phones, NOW + timedelta(hours=hours)))
    assert the_text(context).state == "unconfirmed"


def test_k9_a_callback_with_a_word_we_do_not_know_does_not_strand_the_text(context):
    accept(context, series=DUE)
    (one,) = claim(context, NOW)
    hear(context, one, "scheduled_for_carrier")  # Twilio adds words without notice; then the worker died
    phones = Phones([seen(one, "SM" + "a" * 32, NOW)])
    now = NOW
    for _ in range(10):
        now += timedelta(hours=6)
        settle(context, phones, now)
        asyncio.run(outcomes.ask(context, phones, now))
    assert the_text(context).state in {"sent", "unconfirmed"}


@pytest.mark.parametrize("end", ["failed", "delivered"])
def test_f17_an_end_that_came_with_the_answer_is_not_forgotten(context, end):
    accept(context, series=DUE)
    (one,) = claim(context, NOW)
    recording.record(context, [accepted(one, status=end)], NOW)
    hear(context, one, end)
    assert the_text(context).state == {"failed": "undelivered"}.get(end, end)


def test_the_same_day_a_visit_moved_later_gets_its_reminder_though_the_first_had_expired(database_url, tmp_path):
    context = open_context(database_url, tmp_path, sending__per_day="2")  # the notice of the move counts too
    accept(context, series=[one_off("visit", "2026-12-01T12:00:00", leads=["2h"])])
    context.database.write(lambda tx: store.outcomes.expire(tx, ny("2026-12-01T11:30:00")))
    accept(context, ny("2026-12-01T11:30:00"), series=[one_off("visit", "2026-12-01T18:00:00", leads=["2h"])])
    # The notice of the move says the same visit and time within the day, so it takes the reminder's place.
    assert {text.class_: text.state for text in texts(context)} == {"reminder": "expired", "notice": "scheduled"}
    context.close()


# One unreadable row must cost only itself.


def spoil_key_of(context, ref):
    def work(tx):
        key_id = tx.value(sa.select(schema.patients.c.key_id).where(schema.patients.c.ref == ref))
        tx.run(schema.keys.update().where(schema.keys.c.id == key_id).values(wrapped=b"\x01\x02k1" + b"\0" * 40))

    context.database.write(work)
    context.database.data_keys.clear()


def test_f50_one_unreadable_patient_does_not_stop_the_sender(context):
    accept(context, series=DUE)
    accept(context, **person(2, series=DUE))
    spoil_key_of(context, "MRN-1")
    assert [one.to for one in claim(context, NOW)] == ["+12025550102"]


def test_f50_one_unreadable_plan_does_not_stop_the_planning_of_the_others(context):
    weekly = [one_off("group", "2026-12-03T15:00:00", repeats="FREQ=WEEKLY")]
    accept(context, series=weekly)
    accept(context, **person(2, series=weekly))
    spoil_key_of(context, "MRN-1")
    before = len(texts(context, patient="MRN-2"))
    with contextlib.suppress(store.Unreadable):  # reporting it is right, after the others had their turn
        planning.extend(context, NOW + timedelta(days=30))
    assert len(texts(context, patient="MRN-2")) > before


def test_f50_one_unreadable_attempt_does_not_stop_the_look_up_of_the_others(context):
    accept(context, series=DUE)
    accept(context, **person(2, series=DUE))
    both = claim(context, NOW)
    recording.record(context, [unknown(one, NOW) for one in both], NOW)
    good = next(one for one in both if one.to == "+12025550102")
    spoil_key_of(context, "MRN-1")
    phones = Phones([seen(one, f"SM{number:032x}", NOW) for number, one in enumerate(both)])
    for minutes in (6, 8, 10):
        with contextlib.suppress(store.Unreadable):
            settle(context, phones, NOW + timedelta(minutes=minutes))
    assert {text.state for text in texts(context, patient="MRN-2")} == {"sent"}, good.attempt


def test_rule_9_what_was_claimed_is_sent_although_another_senders_claim_failed(unpaced, noon):
    context = unpaced
    accept(context, series=DUE)

    def second_sender(tx):
        site = tx.value(sa.select(schema.sites.c.id))
        tx.run(
            schema.senders.insert(),
            {"id": 2**63 - 1, "site_id": site, "address": "+15005550016", "segments_per_second": 0, "stops": 0},
        )

    accept(context, **person(2, series=DUE))
    context.database.write(second_sender)
    context.database.write(
        lambda tx: tx.run(
            schema.texts.update()
            .where(
                schema.texts.c.number_id
                == sa.select(schema.numbers.c.id).order_by(schema.numbers.c.id.desc()).limit(1).scalar_subquery()
            )
            .values(sender_id=2**63 - 1)
        )
    )
    spoil_key_of(context, "MRN-2")
    phones = Phones()
    drain(context, phones)
    leased = [text for text in texts(context) if text.attempts]
    assert len(phones.sent) == len(leased)  # nothing is recorded as begun that never went on the wire


def test_rule_9_a_pass_goes_on_after_a_claim_of_which_nothing_may_go(unpaced, noon, tmp_path, database_url):
    context = unpaced
    for number in range(2, 5):
        accept(context, **person(number, series=DUE))
    accept(context, **person(5, series=[one_off("visit", "2026-11-30T12:30:00", leads=["3h"])]))  # the latest deadline
    expired = [f"MRN-{number}" for number in range(2, 5)]
    ids = sa.select(schema.recipients.c.consent_id).join(
        schema.patients, schema.patients.c.id == schema.recipients.c.patient_id
    )
    context.database.write(
        lambda tx: tx.run(
            schema.consents.update()
            .where(schema.consents.c.id.in_(ids.where(schema.patients.c.ref.in_(expired))))
            .values(expires_on=datetime(2026, 11, 29).date())
        )
    )
    narrow = open_context(database_url, tmp_path, twilio__in_flight="1", twilio__segments_per_second="0")
    phones = Phones()
    drain(narrow, phones)
    narrow.close()
    assert [one.to for one in phones.sent] == ["+12025550105"]


# Never against the current facts: a text that was tried once is judged like any other.


def tried_once(context, **changes):
    """A text whose first call sent nothing: due again, with an attempt, so reconcile leaves it alone."""
    accept(context, **changes)
    recording.record(context, [carried_nothing(one, NOW) for one in claim(context, NOW)], NOW)
    rested(context)


def test_k15_a_visit_moved_to_another_day_takes_a_tried_text_along(context):
    tried_once(context, series=DUE)
    later = NOW + timedelta(minutes=1)
    accept(context, later, series=[one_off("visit", "2026-12-10T12:00:00", leads=["3h"])])
    assert [one.key for one in claimed_texts(context, later)] == [
        "notice:visit@once:v2"
    ]  # the change, and nothing else


def test_k15_a_tried_text_of_a_visit_moved_earlier_keeps_the_last_useful_minute(context):
    tried_once(context, series=[one_off("visit", "2026-11-30T12:00:00", leads=["3h"])])
    later = NOW + timedelta(minutes=1)
    accept(context, later, series=[one_off("visit", "2026-11-30T10:30:00", leads=["3h"])])
    late = claimed_texts(context, ny("2026-11-30T10:20:00"))
    assert [one.key for one in late] == ["notice:visit@once:v2"]  # a reminder ten minutes before the start helps no one


def test_l48_a_supporter_taken_off_a_series_gets_no_text_that_was_tried(context):
    family = {"kind": "family_session", "leads": ["3h"]}
    visit = one_off("visit", "2026-11-30T12:00:00", **family)
    tried_once(context, recipients=[SISTER], series=[visit | {"for": ["self", "sister"]}])
    accept(context, recipients=[SISTER], series=[visit | {"for": ["self"]}])
    assert "+12025550144" not in [one.to for one in claim(context, NOW)]


def test_l48_a_supporter_no_longer_named_by_the_plan_gets_no_text_that_was_tried(context):
    visit = one_off("visit", "2026-11-30T12:00:00", kind="family_session", leads=["3h"])
    tried_once(context, recipients=[SISTER], series=[visit | {"for": ["self", "sister"]}])
    accept(context, series=[visit])
    assert "+12025550144" not in [one.to for one in claim(context, NOW)]


def test_l50_a_text_that_was_tried_does_not_go_to_the_number_the_person_gave_up(context):
    tried_once(context, series=DUE)
    accept(context, patient={"phone": "(202) 555-0199"}, series=DUE)
    assert "+12025550143" not in [one.to for one in claim(context, NOW)]


def test_l50_an_edit_to_an_older_plan_does_not_bring_back_the_number_it_was_accepted_with(context):
    accept(context)
    accept(context, plan={"ref": "DC-2", "alongside": True}, patient={"phone": "(202) 555-0199"}, series=DUE)
    accept(context, series=[one_off("therapy", "2026-12-03T16:00:00")])  # the first plan's file, only its time changed
    assert {one.to for one in claim(context, NOW)} == {"+12025550199"}


def test_a_pause_of_the_site_holds_from_its_commit(context):
    accept(context, series=DUE)

    def look(tx):
        store.queue.mark_ready(tx, NOW)
        return working(tx, NOW)

    (sender,) = context.database.write(look)
    context.database.write(lambda tx: tx.run(schema.sites.update().values(paused_at=NOW)))
    assert context.database.write(lambda tx: store.claims.claim(tx, sender, 50, NOW)) == ([], [])


def test_promise_3_stricter_quiet_hours_hold_once_the_worker_has_them(context, database_url, tmp_path):
    accept(context, series=[one_off("visit", "2026-12-02T15:00:00", leads=["1d@18:30"])])
    stricter = open_context(database_url, tmp_path, sending__quiet_hours='["18:00", "09:00"]')
    planning.extend(stricter, ny("2026-12-01T06:00:00"))  # the worker was started again with them, and its jobs ran
    started = claim(stricter, ny("2026-12-01T18:45:00"))
    stricter.close()
    assert started == []


# Back-off.


def test_f10_a_429_rests_the_sender_although_another_text_of_the_batch_was_taken(context):
    accept(context, series=DUE)
    accept(context, **person(2, series=DUE))
    first, second = claim(context, NOW)
    refused = Answered(second, "refused", error_code=20429, again_at=NOW)
    recording.record(context, [accepted(first), refused], NOW)
    assert claim(context, NOW + timedelta(seconds=1)) == []


def test_f11_one_number_in_a_country_we_may_not_text_does_not_rest_the_sender_for_all(context):
    accept(context, series=DUE)
    (one,) = claim(context, NOW)
    recording.record(context, [Answered(one, "refused", error_code=21408, again_at=NOW)], NOW)
    accept(context, **person(2, series=DUE))
    assert [two.to for two in claim(context, NOW + timedelta(seconds=1)) if two.to == "+12025550102"]


@pytest.mark.parametrize("code", [30001, 30022])
def test_finding_5_a_receipt_that_blames_our_volume_rests_the_sender_and_spends_no_try(context, code):
    wide = [one_off("visit", "2026-12-03T15:00:00", leads=["2d@11:00"])]  # of use for hours
    accept(context, series=wide)
    now = ny("2026-12-01T11:00:00")
    for number in range(1, 5):  # more often than any code's tries
        (one,) = claim(context, now)
        assert one.number == number
        recording.record(context, [accepted(one, f"SM{number:032x}", now)], now)
        rested(context)
        hear(context, one, "undelivered", f"SM{number:032x}", code, now)
        sender = context.database.read(lambda tx: tx.first(sa.select(schema.senders)))
        assert (sender.stopped_until > now, sender.stopped_code) == (True, code)
        assert the_text(context).state == "scheduled"
        now = max(the_text(context).due_at, now) + timedelta(seconds=1)
    for number, state in ((5, "scheduled"), (6, "scheduled"), (7, "undelivered")):  # 30003 has its three all the same
        rested(context)
        (one,) = claim(context, now)
        recording.record(context, [accepted(one, f"SM{number:032x}", now)], now)
        hear(context, one, "undelivered", f"SM{number:032x}", 30003, now)
        assert the_text(context).state == state
        now = max(the_text(context).due_at, now) + timedelta(seconds=1)


def test_a_window_that_shuts_within_the_second_costs_one_attempt_at_most(unpaced, monkeypatch):
    context = unpaced
    accept(context, series=DUE)
    last = the_text(context).closes_at - timedelta(milliseconds=500)
    monkeypatch.setattr("reminders.clock.machine", lambda: last)
    with contextlib.suppress(TimeoutError):
        drain(context, Phones(), seconds=0.5)
    assert len(the_text(context).attempts) <= 1


# Races and doubles.


def test_f45_the_same_plan_from_two_hands_at_once_is_taken_once(context):
    together = threading.Barrier(2)
    documents = [document(**person(number)) for number in range(2, 12)]
    broke = []

    def import_all():
        changed = 0
        for one in documents:
            together.wait(30)
            try:
                changed += planning.accept(context, one, NOW, who="test").changed
            except sa.exc.IntegrityError as error:
                broke.append(type(error).__name__)
        return changed

    with ThreadPoolExecutor(2) as hands:
        try:
            both = [hands.submit(import_all) for _ in range(2)]
            changed = [one.result() for one in both]
        finally:
            together.abort()
    assert (sum(changed), broke) == (10, [])


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_k14_a_stop_is_taken_in_while_the_settle_job_expires_the_numbers_texts(context, monkeypatch):
    accept(context, series=DUE)
    late = ny("2026-11-30T11:20:00")
    items_of = store.texts._items_of

    def then_expire(tx, ids):
        monkeypatch.setattr(store.texts, "_items_of", items_of)
        found = items_of(tx, ids)
        context.database.write(lambda other: store.outcomes.expire(other, late))
        return found

    monkeypatch.setattr(store.texts, "_items_of", then_expire)
    text = InboundText(sid="SM" + "1" * 32, sender="+12025550143", to="+15005550006", body="STOP", opt_out_type=None)
    inbound.take_in(context, text, late)
    assert context.database.read(lambda tx: tx.value(sa.select(schema.numbers.c.opted_out_at))) is not None


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_new_index_key_survives_a_rotation_of_sealing_keys_beside_it(context):
    """Both are one command each, and on PostgreSQL both may run at once."""
    accept(context)
    ring = store.Ring({"k2": bytes(range(1, 33)), **KEYS})
    beside = store.Database(context.database._engine.url.render_as_string(hide_password=False), ring)
    held = threading.Event()
    wait_for = threading.Event()
    opened = ring.open

    def slow_open(place, sealed):
        value = opened(place, sealed)
        if place.table == "keys" and not held.is_set():
            held.set()
            wait_for.wait(3)
        return value

    ring.open = slow_open
    with ThreadPoolExecutor(2) as hands:
        rotation = hands.submit(beside.write, lambda tx: store.people.rotate_keys(tx, 500))
        assert held.wait(10)
        index = hands.submit(store.people.new_index_key, context.database, NOW)
        with contextlib.suppress(TimeoutError, store.Unreadable):  # waiting or refusing is right too
            index.result(2)
        wait_for.set()
        rotation.result(30)
        with contextlib.suppress(store.Unreadable):  # it lacks the key that the numbers are sealed with by now
            index.result(60)
    count = sa.select(sa.func.count()).select_from(schema.numbers)
    before = beside.read(lambda tx: tx.value(count))
    beside.write(lambda tx: store.people.keep_number(tx, "+12025550143", NOW))
    after = beside.read(lambda tx: tx.value(count))
    beside.close()
    assert before == after  # the number, and a STOP on it, are still found


def test_f6_the_line_outlives_a_failure_that_cannot_be_put_on_record(context):
    """As in the middle of a migration: the table of job runs is missing for a while."""
    context.database.write(lambda tx: tx.run(sa.text("ALTER TABLE job_runs RENAME TO job_runs_away")))
    line = Line(context)
    line.start()
    try:
        line.wake()
        line._thread.join(3)
        alive = line._thread.is_alive()
        context.database.write(lambda tx: tx.run(sa.text("ALTER TABLE job_runs_away RENAME TO job_runs")))
    finally:
        line.stop()
    assert alive


# Flat cost.


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_rule_7_how_the_queue_stands_is_found_without_reading_every_text(context):
    said = []

    @sa.event.listens_for(context.database._engine, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, context, many):
        if statement.startswith("SELECT") and "FROM texts" in statement:
            said.append((statement, parameters))

    context.database.read(lambda tx: store.queue.depth(tx, NOW))
    plans = []
    with context.database._engine.connect() as connection:
        for statement, parameters in said:
            rows = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, parameters).all()
            plans += [row[-1] for row in rows]
    assert [plan for plan in plans if plan.startswith("SCAN texts") and "USING" not in plan] == []


def test_rule_7_how_the_queue_stands_is_exact_however_much_is_due(context, monkeypatch):
    """More than the counted ones; texts past their window are not included."""
    for number in range(5):
        accept(context, **person(number, series=DUE))
    at = NOW + timedelta(minutes=1)
    late = NOW + timedelta(days=1)
    whole = [context.database.read(lambda tx, when=when: store.queue.depth(tx, when)) for when in (at, late)]
    assert [depth.due for depth in whole] == [5, 0]
    for first in (3, 5):
        monkeypatch.setattr(store.queue, "COUNTED_FIRST", first)
        again = [context.database.read(lambda tx, when=when: store.queue.depth(tx, when)) for when in (at, late)]
        assert again == whole


# Privacy, planning, bad input.


def test_erasing_a_patients_key_erases_the_plan_from_the_audit_too(context):
    accept(context)
    spoil_key_of(context, "MRN-1")  # data rule 1: erasing a person destroys one row
    readable = []

    def read_audit(tx):
        for row in tx.all(sa.select(schema.audit)):
            if row.after_sealed is not None:
                try:
                    readable.append(tx.open(Place("audit", "after_sealed", row.id), row.after_sealed))
                except (store.Unreadable, LookupError):
                    continue

    context.database.read(read_audit)
    assert [one for one in readable if "Alvarez" in one] == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_patients_reference_stands_in_an_error_that_is_logged(context, caplog):
    accept(context)

    def twice(tx):
        row = dict(tx.first(sa.select(schema.patients))._mapping)
        tx.run(schema.patients.insert(), row | {"id": row["id"] + 1})

    with pytest.raises(sa.exc.IntegrityError) as met:
        context.database.write(twice)
    runs.failed(context, "import", met.value)
    assert "MRN-1" not in caplog.text


def test_f41_a_rule_as_long_as_the_reader_takes_is_stored(context):
    days = ",".join(str(day) for day in range(1, 91))
    accept(context, series=[one_off("visit", "2026-12-01T12:00:00", repeats=f"FREQ=YEARLY;BYYEARDAY=335,{days}")])


def test_s23_only_a_clinical_visit_is_a_first_visit(context):
    accept(
        context,
        series=[
            one_off("group", "2026-12-08T18:00:00", repeats="FREQ=WEEKLY;COUNT=4", kind="therapy_group"),
            one_off("meeting", "2026-12-08T18:00:00", repeats="FREQ=WEEKLY;COUNT=4", kind="support_meeting"),
        ],
    )
    first = context.database.read(
        lambda tx: [
            one.visit.kind.value
            for one in store.plans.visits_between(
                tx, tx.value(sa.select(schema.patients.c.id)), NOW, NOW + timedelta(days=30)
            )
            if one.visit.first
        ]
    )
    assert first == ["therapy_group"]


def test_what_took_place_is_not_rewritten_when_the_rest_of_a_series_changes(context):
    weekly = {"repeats": "FREQ=WEEKLY;COUNT=6"}
    accept(context, series=[one_off("therapy", "2026-12-01T15:00:00", **weekly)])
    accept(
        context,
        ny("2026-12-10T12:00:00"),
        series=[one_off("therapy", "2026-12-17T16:00:00", **weekly)],  # from now on Thursdays
    )
    past = context.database.read(
        lambda tx: tx.all(
            sa.select(schema.appointments).where(schema.appointments.c.starts_at < ny("2026-12-10T12:00:00"))
        )
    )
    assert {(row.recurrence_id, row.status) for row in past} == {("2026-12-01", "booked"), ("2026-12-08", "booked")}


def test_planning_is_the_same_run_late_a_visit_that_began_does_not_change_the_days_other_texts(context):
    """docs/design.md#the-life-of-a-text: planning late, twice or after a crash gives the same rows."""
    two = [one_off("a", "2026-12-01T10:00:00", leads=["2h"]), one_off("b", "2026-12-01T15:00:00", leads=["2h"])]
    accept(context, series=two)
    before = {(text.key, text.state, text.opens_at) for text in texts(context)}
    planning.extend(context, ny("2026-12-01T10:30:00"))
    assert {(text.key, text.state, text.opens_at) for text in texts(context)} == before


def test_a_plan_file_from_a_machine_whose_clock_is_ahead_is_taken_in(context, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    file = folder / "plan.json"
    file.write_bytes(document().canonical())
    ahead = (NOW + timedelta(hours=3)).timestamp()
    os.utime(file, (ahead, ahead))
    importing.import_folder(context, folder, NOW)
    assert not file.exists()


def test_a_preview_of_an_edit_says_what_is_stored_when_the_hours_are_narrowed(context):
    accept(context, series=[one_off("visit", "2026-12-01T12:00:00", leads=["2h"])])
    narrowed = {"texting_hours": ["18:30", "19:00"]}  # 10:00 is quiet now, and so is an hour before the quiet begins
    accept(context, patient=narrowed, series=[one_off("visit", "2026-12-01T12:00:00", leads=["2h"])])
    assert (the_text(context).state, the_text(context).reason) == ("suppressed", "quiet_hours")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_checkpoint_of_the_settle_job_folds_the_log_in(context, tmp_path):
    accept(context)
    log = next(tmp_path.glob("*.db-wal"))
    assert log.stat().st_size > 0
    context.database.checkpoint()
    assert log.stat().st_size == 0


def test_json_is_read_back_as_it_was_accepted_with_everything_a_plan_can_say(context):
    accept(
        context,
        patient={"texting_hours": ["09:00", "19:00"], "born_on": "1994-05-17"},
        recipients=[SISTER],
        series=[
            one_off(
                "group",
                "2026-12-03T15:00:00",
                repeats="FREQ=WEEKLY",
                skip=["2026-12-10"],
                move={"2026-12-17T15:00": "2026-12-18T10:00"},
                leads=["1d", "2h"],
                session="oak",
                place="Room 4",
                **{"with": "Dr. Lee", "for": ["self", "sister"]},
            )
        ],
    )
    before = {(text.key, text.recipient, text.state) for text in texts(context)}
    planning.extend(context, NOW + timedelta(days=1))
    after = {(text.key, text.recipient, text.state) for text in texts(context)}
    assert before <= after
    assert json.dumps(sorted(map(str, after - before))).count("day:2027-02") >= 0
