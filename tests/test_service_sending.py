"""A due text is sent once, and its outcome is recorded (docs/design.md#the-life-of-a-text,
docs/design.md#rules-of-sending).
"""

import asyncio
import contextlib
import json
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from conftest import KEYS, NOW, begun, logged, send, settle, until
from people import document, one_off
from sqlalchemy import event, func, select

from reminders import clock, store
from reminders.plans import to_instant
from reminders.service import planning, sending
from reminders.service.operations import health, runs
from reminders.service.replies import inbound
from reminders.service.sending import outcomes, recording
from reminders.sms import Accepted, Outgoing
from reminders.sms.receipts import InboundText, read_receipt
from reminders.store.database import schema, sealing

SOON = "2026-11-30T11:30:00"  # 90 minutes from NOW, New York
PHONE = "+12025550143"


def accept(context, **changes):
    changes.setdefault("series", [one_off("visit", SOON, leads=["90m"])])
    return planning.accept(context, document(**changes), clock.now(), who="test")


def receive(context, twilio, *statuses: str) -> None:
    for ref, form in twilio.receipts(statuses):
        outcomes.receive(context, ref, read_receipt(list(form.items())), form, clock.now())


def states(context) -> list[str]:
    return [text.state for text in logged(context)]


def inbound_text(context, body: str, sid: str = "SM" + "1" * 32) -> None:
    text = InboundText(sid=sid, sender=PHONE, to="+15005550006", body=body, opt_out_type=None)
    inbound.take_in(context, text, clock.now())


def test_the_whole_life_of_a_text(line, twilio):
    accept(line)
    (before,) = planning.preview_plan(line, "DC-1", clock.now())
    assert states(line) == ["scheduled"]
    tally = send(line)
    assert (tally.claimed, tally.accepted) == (1, 1)
    assert states(line) == ["sent"]
    (message,) = twilio.created()
    assert (message.to, message.body) == (PHONE, before.text)
    assert message.valid_for <= 3600  # Twilio may not hold it past its window
    until(lambda: twilio.receipts(("delivered",)))
    receive(line, twilio, "delivered")
    (text,) = logged(line)
    assert text.state == "delivered"
    assert [(one.sid, one.answer, one.status) for one in text.attempts] == [(message.sid, "accepted", "delivered")]
    assert send(line) == sending.Tally()
    assert len(twilio.created()) == 1


def test_nothing_goes_before_its_window_or_after(line, twilio, travel):
    accept(line, series=[one_off("visit", SOON, leads=["1h"])])
    assert send(line).claimed == 0
    travel(to_instant(datetime.fromisoformat("2026-11-30T11:00:01"), "America/New_York"))
    assert send(line).claimed == 0  # the window closed at 11:00
    assert settle(line).expired == 1
    assert states(line) == ["expired"]
    assert twilio.created() == []


def test_promise_3_quiet_hours_are_looked_at_again_when_it_goes(line, twilio, travel):
    accept(line, series=[one_off("visit", "2026-12-01T15:00:00", leads=["1d@19:30"])])
    travel(to_instant(datetime.fromisoformat("2026-11-30T20:00:00"), "America/New_York"))
    assert send(line) == sending.Tally(claimed=1)
    assert states(line) == ["scheduled"]
    travel(to_instant(datetime.fromisoformat("2026-12-01T09:00:01"), "America/New_York"))
    assert send(line).accepted == 1
    assert "today" in twilio.created()[0].body  # rendered when it was sent, not when it was planned


def test_a_paused_site_sends_nothing_and_nothing_is_lost(line, twilio):
    accept(line)
    health.pause_site(line, None, clock.now(), pause=True, who="test")
    assert send(line).claimed == 0
    assert "sending is paused for the site main" in health.status(line, clock.now()).troubles
    health.pause_site(line, None, clock.now(), pause=False, who="test")
    assert send(line).accepted == 1
    assert len(twilio.created()) == 1


def test_k14_a_stop_before_the_claim_wins(line, twilio):
    accept(line)
    inbound_text(line, "STOP")
    assert {(text.state, text.reason) for text in logged(line)} == {("suppressed", "opted_out")}
    assert send(line).claimed == 0
    inbound_text(line, "stop.", sid="SM" + "2" * 32)
    inbound_text(line, "START", sid="SM" + "3" * 32)
    assert states(line) == ["scheduled"]
    assert send(line).accepted == 1
    assert len(twilio.created()) == 1


def test_a_text_that_twilio_brings_twice_is_taken_in_once(line):
    accept(line)
    inbound_text(line, "STOP")
    inbound_text(line, "START", sid="SM" + "2" * 32)
    inbound_text(line, "STOP")  # the first one again, late
    assert states(line) == ["scheduled"]
    assert line.database.read(lambda tx: tx.value(select(func.count()).select_from(schema.replies))) == 2


def test_21610_writes_the_opt_out_of_the_number(line, twilio):
    twilio.do(lambda simulator: simulator.text_from(PHONE, "+15005550006", "STOP", clock.now()))
    accept(line)
    accept(line, plan={"ref": "DC-2"}, patient={"ref": "MRN-2"}, series=[one_off("later", "2026-12-08T15:00:00")])
    assert send(line).refused == 1
    assert [(text.state, text.reason) for text in logged(line)] == [
        ("undelivered", None),
        *[("suppressed", "opted_out")] * 3,
    ]


def test_a_landline_is_not_tried_again(line, twilio):
    twilio.rule(to=PHONE, outcome="undelivered", error_code=30006)
    accept(line)
    send(line)
    until(lambda: twilio.receipts(("undelivered",)))
    receive(line, twilio, "undelivered")
    (text,) = logged(line)
    assert (text.state, text.attempts[0].error_code) == ("undelivered", 30006)
    accept(line, plan={"ref": "DC-2", "alongside": True}, series=[one_off("later", "2026-12-08T15:00:00")])
    assert {(text.state, text.reason) for text in logged(line, plan="DC-2")} == {("suppressed", "number_bad")}


@pytest.mark.parametrize(
    ("fault", "code"),
    [("too_many", 20429), ("unauthorized", 20003)],
)
def test_f10_f11_a_refusal_of_twilios_own_spends_no_patients_try(line, twilio, fault, code, travel):
    twilio.rule(fault=fault, times=1)
    accept(line)
    tally = send(line)
    assert (tally.refused, states(line)) == (1, ["scheduled"])
    status = health.status(line, clock.now())
    assert not status.ok
    assert any("a sender rests" in trouble for trouble in status.troubles)
    assert send(line).claimed == 0  # the sender rests
    travel(clock.now() + timedelta(seconds=61))
    assert send(line).accepted == 1
    (text,) = logged(line)
    assert [one.error_code for one in text.attempts] == [code, None]
    assert len(twilio.created()) == 1
    assert not any("rests" in trouble for trouble in health.status(line, clock.now()).troubles)


def test_after_a_429_the_first_back_off_is_at_most_ten_seconds(line, twilio, travel):
    twilio.rule(fault="too_many", times=1)
    accept(line)
    send(line)
    travel(clock.now() + timedelta(seconds=10))
    assert send(line).accepted == 1


def test_f13_twilio_that_does_not_answer_the_door_leaves_texts_waiting(line, twilio, travel):
    twilio.close()
    accept(line)
    tally = send(line)
    assert (tally.refused, tally.no_connection) == (1, 1)
    assert states(line) == ["scheduled"]
    assert not health.status(line, clock.now()).ok


@pytest.mark.parametrize(
    "fault", ["close_after_create", "error_after_create", "not_json", "truncated", "hang_after_create"]
)
def test_f8_f9_f12_an_answer_that_was_lost_is_looked_up_not_repeated(line, twilio, travel, fault):
    twilio.rule(fault=fault, times=1)
    accept(line)
    assert send(line).unknown == 1
    assert states(line) == ["uncertain"]
    assert settle(line).found == 0  # not before its time
    travel(clock.now() + timedelta(seconds=13))
    assert settle(line).found == 1
    (text,) = logged(line)
    assert text.state in {"sent", "delivered"}
    assert text.attempts[0].sid == twilio.created()[0].sid
    assert len(twilio.created()) == 1


def test_f9_a_text_that_was_not_taken_is_resent_once_after_two_looks(line, twilio, travel):
    twilio.rule(fault="error_before_create", times=1)
    accept(line)
    send(line)
    assert states(line) == ["uncertain"]
    travel(clock.now() + timedelta(seconds=13))
    settle(line)
    assert send(line).claimed == 0  # absent once proves nothing: the list lags
    travel(clock.now() + timedelta(seconds=21))
    settle(line)
    assert states(line) == ["scheduled"]
    assert send(line).accepted == 1
    assert len(twilio.created()) == 1


def test_there_is_one_resend_ever(line, twilio, travel):
    twilio.rule(fault="error_before_create", times=5)
    accept(line)
    for _ in range(12):
        send(line)
        travel(clock.now() + timedelta(seconds=40))
        settle(line)
    (text,) = logged(line)
    assert (text.state, len(text.attempts)) == ("uncertain", 2)
    assert twilio.created() == []


def test_never_resend_looks_up_and_leaves_the_rest_to_a_person(line, twilio, travel):
    settings = line.settings.model_copy(
        update={"sending": line.settings.sending.model_copy(update={"on_unknown": "never-resend"})}
    )
    context = type(line)(settings, line.secrets, line.database)
    twilio.rule(fault="error_before_create", times=1)
    accept(context)
    for _ in range(6):
        send(context)
        travel(clock.now() + timedelta(seconds=60))
        settle(context)
    (text,) = logged(context)
    assert (text.state, len(text.attempts)) == ("uncertain", 1)


def test_f15_a_late_list_calls_off_the_doubt(line, twilio, travel):
    twilio.do(lambda simulator: simulator.change(list_lag=15.0))
    twilio.rule(fault="close_after_create", times=1)
    accept(line)
    send(line)
    travel(clock.now() + timedelta(seconds=13))
    assert settle(line).found == 0
    travel(clock.now() + timedelta(seconds=21))
    assert settle(line).found == 1
    assert len(twilio.created()) == 1


def test_f16_a_receipt_before_the_answer_settles_it(line, twilio):
    twilio.rule(fault="hang_after_create", times=1)
    accept(line)
    worker = threading.Thread(target=send, args=[line])
    worker.start()
    until(lambda: twilio.receipts(("delivered",)))
    receive(line, twilio, "sent", "delivered")
    assert states(line) == ["delivered"]
    worker.join()
    assert states(line) == ["delivered"]
    assert logged(line)[0].attempts[0].sid == twilio.created()[0].sid


def test_f17_receipts_doubled_and_disordered_end_the_same(line, twilio):
    accept(line)
    send(line)
    until(lambda: twilio.receipts(("delivered",)))
    for statuses in (("delivered",), ("sent",), ("delivered",), ("queued", "sent", "delivered")):
        receive(line, twilio, *statuses)
    assert states(line) == ["delivered"]
    count = select(func.count()).select_from(schema.receipts)
    stored = line.database.read(lambda tx: tx.value(count))
    for _ in range(20):
        receive(line, twilio, "sent", "delivered")
    assert line.database.read(lambda tx: tx.value(count)) == stored


def test_f18_a_receipt_for_a_ref_of_nobody_has_no_effect(line, twilio):
    accept(line)
    send(line)
    form = {"MessageSid": "SM" + "9" * 32, "MessageStatus": "delivered"}
    assert not outcomes.receive(line, "0" * 32, read_receipt(list(form.items())), form, clock.now())
    assert states(line) == ["sent"]


def test_f48_a_silent_text_is_asked_after_and_ends_unconfirmed(line, twilio, travel):
    twilio.rule(to=PHONE, outcome="silent")
    accept(line)
    send(line)

    def ask() -> int:
        return runs.with_gateway(line, lambda gateway: outcomes.ask(line, gateway, clock.now()))

    assert ask() == 0
    for later in (timedelta(minutes=16), timedelta(hours=1), timedelta(hours=24)):
        travel(clock.now() + later)
        assert ask() == 1
    assert states(line) == ["unconfirmed"]
    assert ask() == 0
    # If Twilio ever says that it was delivered, then it was.
    (message,) = twilio.created()
    ref = logged(line)[0].attempts[0].ref
    form = {"MessageSid": message.sid, "MessageStatus": "delivered"}
    outcomes.receive(line, ref, read_receipt(list(form.items())), form, clock.now())
    assert states(line) == ["delivered"]


def test_c10_a_lost_callback_is_repaired_by_asking(line, twilio, travel):
    accept(line)
    send(line)
    until(lambda: twilio.receipts(("delivered",)))
    travel(clock.now() + timedelta(minutes=16))
    runs.with_gateway(line, lambda gateway: outcomes.ask(line, gateway, clock.now()))
    assert states(line) == ["delivered"]


def claimed(context, now, lease=timedelta(seconds=20)):
    """Claim as a worker does, and die before the call."""
    return begun(context, now, lease=lease)


def test_k3_a_worker_that_died_after_its_claim_loses_and_doubles_nothing(line, twilio, travel):
    accept(line)
    claimed(line, clock.now())
    assert states(line) == ["sending"]
    assert send(line).claimed == 0
    travel(clock.now() + timedelta(seconds=21))
    assert settle(line).released == 1
    assert states(line) == ["uncertain"]
    for _ in range(2):
        travel(clock.now() + timedelta(seconds=31))
        settle(line)
    assert send(line).accepted == 1
    assert len(twilio.created()) == 1


def test_k7_a_worker_that_died_after_the_call_is_found_out(line, twilio, travel):
    accept(line)
    (started,) = claimed(line, clock.now())
    answer = runs.with_gateway(
        line,
        lambda gateway: gateway.send(
            Outgoing(to=started.to, body=started.body, ref=started.ref, sender=started.sender, valid_for=60)
        ),
    )
    assert isinstance(answer, Accepted)
    travel(clock.now() + timedelta(seconds=21))
    settle(line)
    travel(clock.now() + timedelta(seconds=11))
    assert settle(line).found == 1
    assert states(line)[0] in {"sent", "delivered"}
    assert len(twilio.created()) == 1


def test_k12_an_answer_after_the_lease_lapsed_is_kept_as_evidence(line, twilio, travel):
    accept(line)
    (started,) = claimed(line, clock.now())
    travel(clock.now() + timedelta(seconds=21))
    settle(line)
    late = store.answers.Answered(started, "accepted", sid="SM" + "7" * 32, status="queued", ask_at=clock.now())
    recording.record(line, [late], clock.now())
    (text,) = logged(line)
    assert (text.state, text.attempts[0].sid) == ("sent", "SM" + "7" * 32)
    travel(clock.now() + timedelta(seconds=60))
    settle(line)
    assert send(line).claimed == 0


def test_rule_3_a_late_answer_to_an_earlier_attempt_does_not_speak_for_the_one_on_the_wire(line, travel):
    accept(line)
    (one,) = claimed(line, clock.now())
    for _ in range(4):
        travel(clock.now() + timedelta(seconds=31))
        settle(line)
    (two,) = claimed(line, clock.now())
    assert (one.text, two.number) == (two.text, 2)
    for late in (
        store.answers.Answered(one, "accepted", sid="SM" + "7" * 32, status="queued", ask_at=clock.now()),
        store.answers.Answered(one, "unknown", what="timeout", look_at=clock.now()),
        store.answers.Answered(one, "refused", what="no connection", again_at=clock.now()),
    ):
        recording.record(line, [late], clock.now())
        assert states(line) == ["sending"]
    assert logged(line)[0].attempts[0].sid == "SM" + "7" * 32  # kept as evidence


def test_a_worker_whose_lease_is_nearly_over_does_not_call(line, twilio):
    accept(line)
    (started,) = claimed(line, clock.now())
    with ThreadPoolExecutor(1) as executor:
        dispatch = sending.Dispatch(line, line.gateway(), executor, threading.Event())
        answer = asyncio.run(dispatch._send(started, time.monotonic() - 19))
    assert (answer.answer, answer.what) == ("refused", "lease too short")
    assert twilio.created() == []
    recording.record(line, [answer], clock.now())
    assert states(line) == ["scheduled"]


def test_recording_twice_changes_nothing(line):
    accept(line)
    (started,) = claimed(line, clock.now())
    answer = store.answers.Answered(started, "accepted", sid="SM" + "7" * 32, status="queued", ask_at=clock.now())
    recording.record(line, [answer], clock.now())
    before = logged(line)
    recording.record(line, [answer], clock.now())
    recording.record(line, [store.answers.Answered(started, "unknown", what="late", look_at=clock.now())], clock.now())
    assert logged(line) == before


def test_k15_a_visit_called_off_while_its_text_waits_takes_it_along(line, twilio):
    accept(line)
    accept(line, series=[one_off("visit", SOON, leads=["90m"], status="cancelled")])
    assert states(line) == ["cancelled"]
    assert send(line).claimed == 0
    assert twilio.created() == []


def many(context, count: int, *, first: int = 0, **changes) -> None:
    for number in range(first, first + count):
        accept(
            context,
            plan={"ref": f"P-{number}"},
            patient={"ref": f"M-{number}", "phone": f"202-555-{100 + number:04d}"},
            **changes,
        )


def test_rule_6_workers_at_once_claim_each_text_once(line, database_url):
    many(line, 30)
    now = clock.now()
    others = [store.Database(database_url, store.Ring(KEYS)) for _ in range(4)]
    got: list[str] = []
    barrier = threading.Barrier(4)

    def work(database):
        context = type(line)(line.settings, line.secrets, database)
        barrier.wait()
        for _ in range(15):
            try:
                got.extend(started.to for started in claimed(context, now))
            except ValueError:  # nothing is ready any more
                return

    threads = [threading.Thread(target=work, args=[database]) for database in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for database in others:
        database.close()
    assert len(got) == len(set(got)) == 30


def test_rule_8_a_slow_sender_is_not_outrun(line, twilio, database_url):
    slow = line.settings.model_copy(
        update={"twilio": line.settings.twilio.model_copy(update={"segments_per_second": 10})}
    )
    context = type(line)(slow, line.secrets, line.database)
    many(context, 25)
    began = time.monotonic()
    assert send(context).accepted == 25
    # Two whole seconds must lie between the first ten and the last five.
    assert time.monotonic() - began >= 2
    assert len(twilio.created()) == 25


@pytest.mark.parametrize("pace", [10, 1, 0.5])
def test_rule_8_a_slow_sender_loses_no_time_between_looks_and_never_runs_ahead(line, pace):
    """Polled some four times a second: a minute loses nothing, and no ten seconds have more than 11.25 may."""

    accept(line)

    def pass_a_minute(tx):
        tx.run(schema.senders.update().values(segments_per_second=pace))
        sender = tx.value(select(schema.senders.c.id))
        looks = [NOW + number * timedelta(milliseconds=230) for number in range(261)]
        return [(at, store.queue.reserve(tx, sender, at, 1000)) for at in looks]

    got = line.database.write(pass_a_minute)
    assert 60 * pace - 1 <= sum(many for _, many in got) <= 61 * pace
    for first, _ in got:
        within = sum(many for at, many in got if first <= at < first + timedelta(seconds=10))
        assert within <= 11.25 * max(pace, 1)
    later = NOW + timedelta(hours=1)  # unused budget is lost
    sender = line.database.read(lambda tx: tx.value(select(schema.senders.c.id)))
    assert [line.database.write(lambda tx: store.queue.reserve(tx, sender, later, 1000)) for _ in range(2)] == [
        max(1, int(pace)),
        0,
    ]


def test_rule_8_a_clock_that_was_set_back_does_not_rest_the_sender_until_it_has_caught_up(line):
    accept(line)
    line.database.write(lambda tx: tx.run(schema.senders.update().values(segments_per_second=10)))
    sender = line.database.read(lambda tx: tx.value(select(schema.senders.c.id)))

    def reserved(at):
        return line.database.write(lambda tx: store.queue.reserve(tx, sender, at, 1000))

    assert reserved(NOW) == 10
    assert reserved(NOW - timedelta(seconds=3)) == 0  # another worker's clock is a little behind
    assert reserved(NOW - timedelta(minutes=13)) == 10
    assert reserved(NOW - timedelta(minutes=13)) == 0


def limited(line, limit):
    twilio = line.settings.twilio.model_copy(update={"segments_per_day": limit})
    return type(line)(line.settings.model_copy(update={"twilio": twilio}), line.secrets, line.database)


def test_a_limit_of_the_day_holds_for_all_workers_together_and_what_is_over_waits(line, database_url, travel):
    """The network counts from midnight Pacific, 08:00 UTC, and segments."""
    context = limited(line, 5)
    many(context, 9, series=[one_off("visit", "2026-12-01T15:00:00", leads=["30h"])])
    many(context, 2, first=50, series=[one_off("visit", "2026-11-30T16:00:00", leads=["7h"])])  # these close today
    barrier = threading.Barrier(4)

    def work():
        own = type(line)(context.settings, line.secrets, store.Database(database_url, store.Ring(KEYS)))
        barrier.wait()
        for _ in range(4):
            send(own)
        own.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gone = [text for text in logged(context) if text.attempts]
    assert sum(text.attempts[0].segments for text in gone) == len(gone) == 5
    assert {text.plan for text in gone} > {"P-50", "P-51"}  # the earliest deadline first
    status = health.status(context, clock.now())
    assert any("daily limit for our sender" in trouble for trouble in status.troubles)
    (day,) = (check for check in asyncio.run(health.doctor(context)) if check.check == "limit of the day")
    assert (day.ok, day.detail) == (False, "5 of 5 segments that +15005550006 may send a day")

    travel(datetime(2026, 12, 1, 7, 59, tzinfo=UTC))
    assert send(context).claimed == 0
    travel(datetime(2026, 12, 1, 14, 30, tzinfo=UTC))  # past midnight there, and past the reader's night
    assert send(context).accepted == 5
    assert states(context).count("scheduled") == 1


def test_what_was_refused_does_not_count_against_the_limit_of_the_day(line, twilio, travel):
    context = limited(line, 2)
    twilio.rule(fault="too_many", times=3)
    many(context, 2)
    for _ in range(6):
        send(context)
        travel(clock.now() + timedelta(seconds=40))
    assert len(twilio.created()) == 2


def test_rule_7_the_earliest_deadline_goes_first(line, twilio):
    for number, starts in enumerate(("2026-11-30T13:00:00", "2026-11-30T11:00:00", "2026-11-30T12:00:00")):
        accept(
            line,
            plan={"ref": f"P-{number}"},
            patient={"ref": f"M-{number}", "phone": f"202-555-{100 + number:04d}"},
            series=[one_off("visit", starts, leads=["4h"])],
        )
    one_at_a_time = line.settings.model_copy(
        update={"twilio": line.settings.twilio.model_copy(update={"in_flight": 1})}
    )
    send(type(line)(one_at_a_time, line.secrets, line.database))
    assert [message.to for message in twilio.created()] == ["+12025550101", "+12025550102", "+12025550100"]


def test_sigterm_finishes_what_is_on_the_wire_and_claims_nothing_more(line, twilio):
    many(line, 3)
    twilio.rule(fault="latency", seconds=0.5, times=100)
    stop = threading.Event()
    tallies = []

    def work():
        with ThreadPoolExecutor(1) as executor:
            tallies.append(
                runs.with_gateway(line, lambda gateway: sending.Dispatch(line, gateway, executor, stop).drain())
            )

    worker = threading.Thread(target=work)
    worker.start()
    until(lambda: len(twilio.created()) == 3)
    stop.set()
    accept(line, plan={"ref": "late"}, patient={"ref": "late", "phone": "202-555-0199"})
    worker.join(10)
    assert tallies[0].accepted == 3
    assert sorted(states(line)) == ["scheduled", "sent", "sent", "sent"]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_f22_answers_wait_for_a_database_that_went_away(line, twilio, postgresql_server):
    many(line, 5)
    twilio.rule(fault="latency", seconds=1.5, times=100)

    async def passes(gateway, executor):
        dispatch = sending.Dispatch(line, gateway, executor, threading.Event())
        for _ in range(40):  # as the worker's line does, each time it is woken
            with contextlib.suppress(store.Unavailable):
                return await dispatch.drain()
            await asyncio.sleep(0.5)
        return None

    def work():
        with ThreadPoolExecutor(1) as executor:
            runs.with_gateway(line, lambda gateway: passes(gateway, executor))

    worker = threading.Thread(target=work)
    worker.start()
    until(lambda: len(twilio.created()) == 5)
    postgresql_server.stop_at_once()
    time.sleep(2)
    postgresql_server.start()
    worker.join(30)
    assert states(line) == ["sent"] * 5
    assert len(twilio.created()) == 5


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_f27_a_locked_file_is_waited_for(line, twilio, tmp_path):
    many(line, 3)
    holder = sqlite3.connect(tmp_path / "reminders.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    threading.Timer(1.5, lambda: holder.execute("ROLLBACK")).start()
    assert send(line).accepted == 3
    holder.close()


def test_promise_5_what_could_tell_is_not_sent(line, twilio):
    accept(line)

    def rename(tx):
        tx.run(schema.sites.update().values(alias="Sober House"))

    line.database.write(rename)
    assert send(line).suppressed == 1
    assert [(text.state, text.reason) for text in logged(line)] == [("suppressed", "lint")]
    assert twilio.created() == []


def test_promise_5_a_receipts_raw_form_is_sealed(line, twilio):
    accept(line)
    send(line)
    until(lambda: twilio.receipts(("delivered",)))
    receive(line, twilio, "delivered")
    rows = line.database.read(lambda tx: tx.all(select(schema.receipts)))
    for row in rows:
        assert b"555" not in row.raw_sealed
        place = sealing.Place("receipts", "raw_sealed", row.id)
        raw = line.database.read(lambda tx, row=row, place=place: tx.open(place, row.raw_sealed))
        assert json.loads(raw)["To"] == PHONE


def test_the_idle_scan_writes_nothing(line):
    accept(line, series=[one_off("visit", "2026-12-08T15:00:00")])
    seen = []

    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    event.listen(line.database._engine, "before_cursor_execute", note)
    send(line)
    event.remove(line.database._engine, "before_cursor_execute", note)
    assert not any(statement.startswith(("UPDATE", "INSERT", "BEGIN IMMEDIATE")) for statement in seen)


def test_a_digest_goes_on_sunday_and_names_the_week(line, twilio, travel):
    accept(
        line,
        patient={"weekly_digest": True},
        series=[
            one_off("group", "2026-12-07T17:30:00", repeats="FREQ=WEEKLY;BYDAY=MO,WE,FR;COUNT=3", kind="therapy_group"),
            one_off("before", "2026-12-01T15:00:00", leads=["1d@17:00"]),
        ],
    )
    travel(to_instant(datetime.fromisoformat("2026-12-06T17:00:01"), "America/New_York"))
    assert send(line).accepted == 1
    (message,) = twilio.created()
    assert "3 appointments this week" in message.body
    assert "Mon Dec 7, 5:30pm" in message.body
