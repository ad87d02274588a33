"""However disorderly Twilio is (docs/twilio.md 10.7, 10.8, 10.10), our rows end with its final status, and no one gets
a text twice.

These tests use real services on both databases, a real web process's application on a port, and the pretend Twilio on
another; callbacks are signed and travel over HTTP. Time is the house's clock: it jumps to the next event.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import pytest
import uvicorn
from conftest import NOW, free_port, logged, open_context
from people import document, one_off

from reminders import clock, queries
from reminders.lifecycle import State, state_of
from reminders.service import planning, sending
from reminders.service.operations import runs
from reminders.service.sending import outcomes
from reminders.simulator import Spread
from reminders.web import create_app

PHONE = "+12025550143"
SOON = "2026-11-30T11:30:00"  # 90 minutes from NOW: the window closes after 45
STEPS = (0, 13, 40, 75, 150, 400, 1000, 1900, 2600, 3700, 15_000, 90_000)  # seconds from NOW: 25 hours in all
QUICK = {"queued_after": 0.01, "sent_after": 0.02, "delivered_after": 0.02, "callback_pause": 0.05}


class Web:
    """Our web application on a port, in its own thread."""

    def __init__(self, context, port):
        config = uvicorn.Config(create_app(context), port=port, lifespan="off", log_config=None, access_log=False)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        ends = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < ends, "the web application did not come up"
            time.sleep(0.005)

    def close(self):
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive()


@dataclass
class Clinic:
    """The whole service: database, web application, a worker's passes; and the pretend Twilio it speaks to."""

    context: object
    twilio: object
    travel: object

    def live(self):
        """Let 25 hours pass: the worker's jobs run at each of STEPS, the web application all the time."""
        with ThreadPoolExecutor(1) as executor:
            for step, following in zip(STEPS, (*STEPS[1:], 100_000), strict=True):
                if step > 0 and step < STEPS[-1] and self.is_settled():
                    continue  # to the last step: there, too, nothing may happen any more
                self.leap(NOW + timedelta(seconds=step))
                runs.with_gateway(self.context, lambda gateway: self._work(gateway, executor))
                self.play_out(NOW + timedelta(seconds=following))

    async def _work(self, gateway, executor):
        await sending.Dispatch(self.context, gateway, executor, threading.Event()).drain()
        await outcomes.settle(self.context, gateway, clock.now())
        await outcomes.ask(self.context, gateway, clock.now())

    def is_settled(self):
        """Whether everything is settled: every text has its end, and Twilio has nothing pending."""
        return self.next_due_at() is None and all(
            text.state in {"delivered", "undelivered"} for text in logged(self.context)
        )

    def next_due_at(self):
        return self.twilio.do(lambda simulator: simulator.next_due_at())

    def leap(self, to):
        if to > clock.now():
            self.travel(to)

    def play_out(self, until):
        """Let everything pending at Twilio before `until` happen."""
        ends = time.monotonic() + 20
        while True:
            assert time.monotonic() < ends, "Twilio comes to no end"
            under_way = self.twilio.do(
                lambda simulator: [one for one in simulator.journal if one.outcome is None and not one.lost]
            )
            due_at = self.next_due_at()
            if not under_way and (due_at is None or due_at >= until):
                return
            if not under_way and due_at is not None:
                self.leap(due_at)
            time.sleep(0.01)

    def truth(self):
        """Twilio's final statuses of the patient's messages, oldest first: (sid, status, error code)."""
        return [(one.sid, one.status, one.error_code) for one in self.twilio.created(PHONE)]

    def received(self):
        return self.twilio.do(lambda simulator: list(simulator.phones[PHONE]))


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio):
    port = free_port()
    context = open_context(
        database_url,
        tmp_path,
        twilio__api_base_url=twilio.url,
        twilio__segments_per_second="0",
        twilio__deadline_seconds="1",
        sending__lease_seconds="20",
        sending__settle_seconds="10",
        web__public_url=f"http://127.0.0.1:{port}",
    )
    planning.accept(context, document(series=[one_off("visit", SOON, leads=["90m"])]), clock.now(), who="test")
    twilio.do(lambda simulator: simulator.change(**QUICK))
    web = Web(context, port)
    yield Clinic(context, twilio, travel)
    web.close()
    context.close()


def live(clinic, *rules, **settings):
    """Run the text's whole life under these rules; return its final row."""
    clinic.twilio.do(lambda simulator: simulator.change(**settings))
    for rule in rules:
        clinic.twilio.rule(**rule)
    clinic.live()
    (text,) = logged(clinic.context)
    return text


def live_with_each(clinic, cases):
    """Run many lives at once, each with its own phone and rules: (text, its messages, what its phone saw) by name."""
    phones = {name: f"+1202555{150 + number:04d}" for number, name in enumerate(cases)}
    for name, phone in phones.items():
        planning.accept(
            clinic.context,
            document(
                plan={"ref": f"plan of {name}"},
                patient={"ref": f"patient of {name}", "phone": phone},
                series=[one_off("visit", SOON, leads=["90m"])],
            ),
            clock.now(),
            who="test",
        )
        for rule in cases[name]:
            clinic.twilio.rule(to=phone, **rule)
    clinic.live()
    texts = {text.plan: text for text in logged(clinic.context)}
    received = clinic.twilio.do(lambda simulator: {phone: list(got) for phone, got in simulator.phones.items()})
    return {
        name: (texts[f"plan of {name}"], clinic.twilio.created(phone), received.get(phone, []))
        for name, phone in phones.items()
    }


def is_right(clinic, text):
    """Check that the row agrees with Twilio on its last message, and that the phone saw it once, or never."""
    agree(text, clinic.twilio.created(PHONE), clinic.received())


def agree(text, made, received):
    last = made[-1]
    (attempt,) = [one for one in text.attempts if one.sid == last.sid]
    assert text.attempts[-1] == attempt
    expected = State.UNCONFIRMED if last.status == "sent" else state_of(last.status)
    assert (text.state, attempt.status, attempt.error_code or None) == (expected, last.status, last.error_code)
    assert len(received) == (last.status in {"sent", "delivered"})


def took_all_calls(clinic):
    """Every call was answered 204; none was lost."""
    entries = clinic.twilio.do(lambda simulator: [(one.outcome, one.lost) for one in simulator.journal])
    assert entries
    assert set(entries) == {(204, False)}


# Item 7: disorder of callbacks


@pytest.mark.parametrize(
    ("disorder", "told"),
    [
        ({"disorder": "swapped"}, ["delivered", "sent"]),
        ({"disorder": "doubled", "copies": 4}, ["sent"] * 5 + ["delivered"] * 5),
        ({"disorder": "late", "seconds": 600}, ["sent", "delivered"]),
        ({"disorder": "late", "seconds": 10_800}, ["sent", "delivered"]),
        ({"disorder": "late", "about": "sent"}, ["delivered", "sent"]),
        ({"disorder": "burst", "seconds": 300}, ["sent", "delivered"]),
        ({"disorder": "unknown_sid"}, ["sent", "sent", "delivered", "delivered"]),
        ({"fault": "callback_first", "seconds": 0.3}, ["sent", "delivered"]),
        ({"fault": "callback_first", "seconds": 5}, ["sent", "delivered"]),  # and the answer after our deadline
    ],
    ids=[
        "swapped",
        "doubled",
        "minutes late",
        "hours late",
        "sent hours late",
        "burst",
        "unknown sid",
        "first",
        "only",
    ],
)
def test_s10_7_disorder_of_callbacks_ends_as_delivered_once(clinic, disorder, told):
    text = live(clinic, disorder)
    is_right(clinic, text)
    assert (text.state, len(text.attempts)) == ("delivered", 1)
    journal = clinic.twilio.do(lambda simulator: [one.callback.status for one in simulator.journal])
    assert sorted(journal) == sorted(told)
    if "doubled" not in disorder.values():
        assert journal == told
    took_all_calls(clinic)


@pytest.mark.parametrize("signature", ["bad_signature", "no_signature", "former_token"])
def test_s10_7_calls_that_are_not_signed_are_refused_and_the_end_is_asked_for(clinic, signature):
    text = live(clinic, {"disorder": signature})
    is_right(clinic, text)
    assert text.state == "delivered"
    journal = clinic.twilio.do(lambda simulator: list(simulator.journal))
    assert {one.outcome for one in journal} == {403}
    assert [one.callback.attempt for one in journal if one.lost] == [5, 5]  # it was tried again, as we ask for
    assert clinic.twilio.do(lambda simulator: simulator.counters["requests"]) == 2  # the create, and our question


def test_s10_7_calls_dropped_for_a_period_are_repaired_by_asking(clinic):
    text = live(clinic, {"disorder": "dropped", "lasts": 600})
    is_right(clinic, text)
    assert text.state == "delivered"
    assert clinic.twilio.do(lambda simulator: simulator.counters["callback tries"]) == 0


def test_s10_7_a_text_that_is_never_receipted_ends_unconfirmed(clinic):
    text = live(clinic, unreceipted=1.0)
    is_right(clinic, text)
    assert text.state == "unconfirmed"


CONTRADICTIONS = {
    "30008": [{"error_code": 30008, "then": "delivered", "then_after": 0.1}],
    "30003": [{"error_code": 30003, "then": "delivered", "then_after": 600}],
    "30410": [{"error_code": 30410, "then": "delivered", "then_after": 0.1}],
    "delivered": [{"outcome": "delivered", "then": "undelivered", "then_after": 0.1}],
}


@pytest.mark.parametrize("disorder", [None, "swapped", "doubled"])
def test_s10_7_of_two_contradicting_ends_delivered_stands(clinic, disorder):
    if disorder:
        clinic.twilio.rule(disorder=disorder)
    for name, (text, made, received) in live_with_each(clinic, CONTRADICTIONS).items():
        # If Twilio says it was delivered then it was (docs/design.md#states-and-moves).
        assert (name, text.state, len(made), len(received)) == (name, "delivered", 1, 1)
    took_all_calls(clinic)


def test_a_delivered_that_contradicts_and_whose_callback_is_lost_is_found_out(clinic):
    contradiction = {"error_code": 30008, "then": "delivered"}
    text = live(clinic, contradiction, {"disorder": "dropped", "about": "delivered"})
    assert clinic.truth()[-1][1] == "delivered"
    assert text.state == "delivered"


# Item 8: faults of creates

MADE = {
    "500": {"fault": "error_after_create"},
    "503": {"fault": "error_after_create", "status": 503},
    "502 page": {"fault": "error_after_create", "status": 502},
    "503 page": {"fault": "error_after_create", "status": 503, "html": True},
    "201 page": {"fault": "not_json"},
    "FIN": {"fault": "close_after_create"},
    "RST": {"fault": "reset_after_create"},
    "truncated": {"fault": "truncated"},
    "hang": {"fault": "hang_after_create"},
    "drip": {"fault": "slow_drip"},
    "late": {"fault": "latency", "seconds": 3},
}
NOT_MADE = {
    "500": {"fault": "error_before_create"},
    "503": {"fault": "error_before_create", "status": 503},
    "502 page": {"fault": "error_before_create", "status": 502},
    "503 page": {"fault": "error_before_create", "status": 503, "html": True},
}


def once(faults):
    return {name: [fault | {"times": 1}] for name, fault in faults.items()}


@pytest.mark.parametrize("silent", [False, True], ids=["called back", "looked up"])
def test_s10_8_made_and_not_told_of_is_not_made_again(clinic, silent):
    if silent:
        clinic.twilio.rule(disorder="dropped")
    for name, (text, made, received) in live_with_each(clinic, once(MADE)).items():
        agree(text, made, received)
        assert (name, text.state, len(text.attempts), len(made)) == (name, "delivered", 1, 1)


def test_s10_8_server_errors_that_made_nothing_are_made_good_once(clinic):
    for name, (text, made, received) in live_with_each(clinic, once(NOT_MADE)).items():
        agree(text, made, received)
        assert (name, text.state, len(text.attempts), len(made)) == (name, "delivered", 2, 1)


@pytest.mark.parametrize("fault", ["error_after_create", "truncated"])
def test_s10_8_made_and_not_told_of_nor_called_back_about_is_found_in_a_lagging_list(clinic, fault):
    rules = ({"fault": fault, "times": 1}, {"disorder": "dropped"})
    text = live(clinic, *rules, list_lag=Spread(20, 22, 24))
    is_right(clinic, text)
    assert (text.state, len(text.attempts), len(clinic.truth())) == ("delivered", 1, 1)


@pytest.mark.parametrize("fault", ["too_many", "unauthorized"])
def test_s10_8_not_processed_is_asked_for_again(clinic, fault):
    text = live(clinic, {"fault": fault, "times": 1})
    is_right(clinic, text)
    assert (text.state, len(text.attempts), len(clinic.truth())) == ("delivered", 2, 1)


def test_s10_8_nobody_listens_for_a_while(clinic):
    text = live(clinic, {"fault": "refuse_connection", "seconds": 8})
    is_right(clinic, text)
    assert (text.state, len(clinic.truth())) == ("delivered", 1)


def test_s10_8_faults_of_every_stage_at_once(clinic):
    rules = (
        {"fault": "error_after_create", "status": 503, "times": 1},
        {"fault": "truncated", "times": 1},
        {"fault": "callback_first", "seconds": 0.2, "times": 1},
        {"disorder": "swapped"},
        {"disorder": "doubled"},
        {"disorder": "unknown_sid"},
    )
    text = live(clinic, *rules)
    assert (text.state, len(text.attempts), len(clinic.truth()), len(clinic.received())) == ("delivered", 1, 1, 1)
    took_all_calls(clinic)


def test_s10_8_an_account_suspended_before_we_send_costs_no_text(clinic):
    text = live(clinic, {"fault": "suspended", "lasts": 50})
    is_right(clinic, text)
    assert (text.state, len(clinic.truth())) == ("delivered", 1)


def test_s10_8_what_is_queued_when_the_account_is_suspended_has_failed(clinic):
    text = live(clinic, {"fault": "suspended", "begins": 5, "lasts": 100_000}, sent_after=10.0)
    assert (text.attempts[0].status, text.attempts[0].error_code) == ("failed", 30002)
    # It is tried again while it is useful, and the account is still suspended: no phone saw it.
    assert [one.error_code for one in text.attempts[1:]] == [20003] * (len(text.attempts) - 1)
    assert (text.state, clinic.received()) == ("expired", [])
    (task,) = queries.tasks.list_tasks(clinic.context.database, kind="sender_fault")
    assert task.urgency == "urgent"


# Item 10: faults of delivery


CODES = (30003, 30004, 30005, 30006, 30007, 30008, 30022, 30023, 30034, 30036, 30410, 30450, 30500)


@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
def test_s10_10_a_text_ends_as_the_network_said(clinic, times):
    cases = {str(code): [{"error_code": code, "times": times}] for code in CODES}
    for name, (text, made, received) in live_with_each(clinic, cases).items():
        agree(text, made, received)
        said = {one.error_code for one in text.attempts if one.status in {"undelivered", "failed"}}
        assert said == {int(name)}
    took_all_calls(clinic)


def test_s10_4_what_waits_too_long_in_twilios_queue_ends_undelivered_with_30036(clinic):
    text = live(clinic, sent_after=3600.0)
    is_right(clinic, text)
    assert (text.state, text.attempts[-1].error_code) == ("undelivered", 30036)


def test_s10_11_a_stop_heard_by_twilio_first_ends_with_21610(clinic):
    twilio, public_url = clinic.twilio, clinic.context.settings.web.public_url
    twilio.do(lambda simulator: simulator.change(inbound_url=f"{public_url}/sms/inbound"))
    twilio.rule(disorder="dropped", about="received", times=1)
    twilio.do(lambda simulator: simulator.text_from(PHONE, "+15005550006", "STOP", clock.now()))
    clinic.play_out(NOW + timedelta(seconds=5))
    text = live(clinic)
    assert (text.state, text.attempts[-1].error_code, clinic.truth()) == ("undelivered", 21610, [])
    assert clinic.received() == []


# All of it, by chance


def test_a_bad_day_ends_right_for_everybody(clinic):
    twilio = clinic.twilio
    for fault in ("too_many", "error_before_create", "error_after_create", "truncated", "close_after_create"):
        twilio.rule(fault=fault, probability=0.1, lasts=20)
    for disorder in ("swapped", "doubled", "dropped", "late", "no_signature"):
        twilio.rule(disorder=disorder, probability=0.15)
    twilio.rule(error_code=30007, probability=0.1)
    lives = live_with_each(clinic, {f"case {number}": [] for number in range(25)})
    for text, made, received in lives.values():
        agree(text, made, received)
        assert len(made) == 1
    assert twilio.do(lambda simulator: {one.outcome for one in simulator.journal}) <= {
        204,
        403,
        None,
        "rt",
    }  # on a busy machine one is read too late, and Twilio calls again
