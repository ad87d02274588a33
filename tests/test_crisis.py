"""Someone writes that they want to die (C-2 … C-13): answered and paged within a minute at any hour, until someone
takes it; their other texts are held meanwhile.
"""

import json
import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from conftest import open_context, send, settle
from oncall import PHONE, SENDER, STRANGER, Clinic
from people import one_off
from test_processes import Service, wait_for
from web_caller import Caller, signature

from reminders import clock, store
from reminders.plans import to_wall
from reminders.queries import explanations
from reminders.service import tasks
from reminders.service.operations import health, runs
from reminders.service.planning import watch

ROTA = (("First", {}), ("Second", {}), ("Lead", {"supervisor": True, "days": []}))
NIGHT = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)  # 03:00 in New York, in everyone's quiet hours
DIE = {"en": "i want to die", "es": "me quiero morir"}
NOTHING_ELSE = re.compile(r"Open urgent task \d+ \| Open urgent task \d+\. Acknowledge it: reminders tasks take \d+")
UNREACHED = re.compile(
    r"Open urgent task \d+ \| Open urgent task \d+\. Our answer could not reach them: call now\."
    r" Acknowledge it: reminders tasks take \d+"
)


def minutes(number):
    return timedelta(minutes=number)


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio):
    opened = Clinic(database_url, tmp_path, travel, twilio, *ROTA)
    yield opened
    opened.close()


def the(clinic, kind):
    (task,) = clinic.tasks(kind)
    return task


def crises(clinic):
    """The answers for someone in danger, oldest first."""
    return [text for text in clinic.texts() if text.wording in {"crisis", "overdose"}]


@pytest.mark.parametrize("language", ["en", "es"])
def test_c7_a_crisis_text_at_three_in_the_morning_from_a_number_that_had_sent_stop(clinic, language):
    clinic.accept(patient={"language": language})
    clinic.text("STOP")
    clinic.travel(NIGHT)
    clinic.text(DIE[language])
    assert clock.now() - NIGHT < timedelta(seconds=60)

    # Attempted at once, at night and after STOP; refused by Twilio; and both pages were sent.
    (answer,) = crises(clinic)
    assert (answer.state, answer.attempts[0].error_code, answer.recipient) == ("undelivered", 21610, "self")
    assert clinic.received() == []
    assert [page.contact for page in clinic.pager.pages] == ["First", "First"]
    assert all(page.at - NIGHT < timedelta(seconds=60) for page in clinic.pager.pages)
    assert UNREACHED.fullmatch(clinic.pager.pages[1].said)
    task = the(clinic, "crisis")
    assert (task.urgency, task.patients, task.outcome) == ("urgent", ("MRN-1",), None)
    assert task.due_at - task.opened_at == minutes(15)

    # No one acknowledges: exactly at 15, 30, 45, 60, 75 minutes from receipt, and not before.
    clinic.pager.called()
    steps = {15: ["Second"], 30: ["First"], 45: ["Lead"], 60: ["First", "Lead", "Second"]}
    for minute, called in {**steps, 75: steps[60]}.items():
        clinic.travel(task.rung_at + minutes(minute) - timedelta(seconds=5))
        clinic.page()
        assert clinic.pager.called() == [], minute
        clinic.travel(task.rung_at + minutes(minute))
        clinic.page()
        assert sorted(clinic.pager.called()) == called, minute
    assert (
        "urgent tasks that no one has acknowledged: 1, the oldest for 75 min"
        in health.status(clinic.context, clock.now()).troubles
    )

    # Someone takes it: nothing after.
    clinic.travel(task.rung_at + minutes(80))
    tasks.take(clinic.context, task.id, clock.now(), who="cli:night")
    for minute in (90, 105, 600):
        clinic.travel(task.rung_at + minutes(minute))
        clinic.page()
    assert clinic.pager.called() == []
    assert not any("acknowledged" in trouble for trouble in health.status(clinic.context, clock.now()).troubles)

    # And all of it is in the history, in order.
    tasks.close(clinic.context, task.id, "reached", clock.now(), who="cli:night")
    story = clinic.story(task.id)
    assert [event.what for event in story if event.what != "paged"] == [
        "opened",
        "a text came",
        "answered",
        "answer lost",
        *["escalated"] * 5,
        "taken",
        "closed",
    ]
    came = next(event for event in story if event.what == "a text came")
    assert came.words == DIE[language]
    assert came.rules
    lost = next(event for event in story if event.what == "answer lost")
    assert (explanations.detail(lost), lost.text_state, lost.text_code) == (
        "our answer could not reach them: call now (code 21610)",
        "undelivered",
        21610,
    )
    assert [explanations.detail(event) for event in story if event.what == "paged"][:2] == ["First", "First"]


@pytest.mark.parametrize("language", ["en", "es"])
def test_c4_the_answer_reaches_a_phone_in_the_night_in_its_language(clinic, language):
    clinic.accept(patient={"language": language})
    clinic.travel(NIGHT)
    clinic.text(DIE[language])
    (said,) = clinic.received()
    assert "988" in said
    assert "911" in said
    assert ("Llame" in said or "llame" in said) is (language == "es")
    (answer,) = crises(clinic)
    assert answer.attempts[0].answer == "accepted"
    assert clinic.pager.called() == ["First"]


def test_c7_a_page_says_the_tasks_number_and_nothing_of_a_person(clinic):
    clinic.accept()
    clinic.text("i want to die")
    clinic.text("i used last night", STRANGER)
    clinic.travel(clock.now() + minutes(60))
    clinic.page()
    assert len(clinic.pager.pages) == 4
    assert all(NOTHING_ELSE.fullmatch(page.said) for page in clinic.pager.pages)


def test_c7_every_further_text_pages_again_and_none_slows_the_escalation_down(clinic):
    clinic.accept()
    clinic.travel(NIGHT)
    clinic.text("i want to die")
    task = the(clinic, "crisis")
    called = [clinic.pager.called()]
    also = ("now", "tonight", "soon", "really", "today", "again")  # the same words would ring once an hour
    for minute, word in zip((5, 10, 15, 20, 25, 30), also, strict=True):
        clinic.travel(task.rung_at + minutes(minute))
        clinic.page()
        clinic.text(f"i want to die {word}")
        called.append(sorted(clinic.pager.called()))
    first, both = ["First"], ["First", "Second"]
    assert called == [first, first, first, ["First", "Second", "Second"], both, both, ["First", "First"]]
    assert the(clinic, "crisis").step == 2
    assert [event.what for event in clinic.story(task.id)].count("a text came") == 7


def test_c7_after_acknowledgement_a_further_text_rings_from_the_beginning(clinic):
    clinic.accept()
    clinic.travel(NIGHT)
    clinic.text("i want to die")
    task = the(clinic, "crisis")
    clinic.travel(NIGHT + minutes(20))
    clinic.page()
    tasks.take(clinic.context, task.id, clock.now(), who="cli:night")
    clinic.pager.called()
    clinic.travel(NIGHT + minutes(40))
    clinic.text("i can not go on, i want to die")
    again = the(clinic, "crisis")
    assert (again.id, again.owner, again.acknowledged_at, again.step) == (task.id, "cli:night", None, 0)
    assert clinic.pager.called() == ["First"]
    clinic.travel(again.rung_at + minutes(15))
    clinic.page()
    assert clinic.pager.called() == ["Second"]


def test_c7_an_outage_of_ours_does_not_slow_the_escalation_down(clinic):
    clinic.accept()
    clinic.text("i want to die")
    task = the(clinic, "crisis")
    clinic.pager.called()
    clinic.travel(task.rung_at + minutes(47))  # no job has run since
    clinic.page()
    assert clinic.pager.called() == ["Lead"]
    assert the(clinic, "crisis").escalates_at == task.rung_at + minutes(60)


def test_c7_a_page_is_repeated_until_its_service_takes_it(clinic):
    clinic.accept()
    clinic.pager.answers = [500, 500, 500, 200]
    clinic.text("i want to die")
    began = the(clinic, "crisis").rung_at
    assert "pages that were not taken and are repeated: 1" in health.status(clinic.context, clock.now()).troubles
    for second in range(5, 600, 5):
        clinic.travel(began + timedelta(seconds=second))
        clinic.page()
    assert len(clinic.pager.called()) == 4
    assert not any("pages" in trouble for trouble in health.status(clinic.context, clock.now()).troubles)
    told = [event.what for event in clinic.story(the(clinic, "crisis").id) if "page" in event.what]
    assert told == ["page not taken", "paged"]


def test_c7_who_takes_the_task_is_paged_no_more(clinic):
    clinic.accept()
    clinic.pager.answers = [500]
    clinic.text("i want to die")
    task = the(clinic, "crisis")
    tasks.take(clinic.context, task.id, clock.now(), who="cli:night")
    clinic.pager.called()
    clinic.travel(task.rung_at + minutes(20))
    clinic.page()
    assert clinic.pager.called() == []
    assert not any("pages" in trouble for trouble in health.status(clinic.context, clock.now()).troubles)


def test_c7_a_webhook_that_comes_a_hundred_times_rings_once(clinic):
    clinic.accept()
    caller = Caller(clinic.context)
    form = {"MessageSid": "SM" + "e" * 32, "From": PHONE, "To": SENDER, "Body": "i want to die", "NumMedia": "0"}
    with ThreadPoolExecutor(8) as together:
        codes = list(together.map(lambda _: caller.twilio("/sms/inbound", **form).status_code, range(100)))
    assert set(codes) == {200}
    assert clinic.pager.called() == ["First"]
    send(clinic.context)  # if another call held the number at that moment, the worker sends the answer
    assert len(clinic.received()) == 1
    task = the(clinic, "crisis")
    assert [event.what for event in clinic.story(task.id)].count("a text came") == 1


def test_c7_an_answer_that_is_lost_later_is_told_and_takes_nobodys_acknowledgement_away(clinic):
    clinic.accept()
    clinic.twilio.rule(to=PHONE, error_code=30003, after=0.1)
    clinic.travel(NIGHT)
    clinic.text("i want to die")
    task = the(clinic, "crisis")
    tasks.take(clinic.context, task.id, clock.now(), who="cli:night")
    assert clinic.pager.called() == ["First"]
    clinic.travel(NIGHT + minutes(16))  # no receipt came: we ask
    runs._ask(clinic.context, clock.now())
    clinic.travel(NIGHT + minutes(70))  # the answer is of no use any more
    settle(clinic.context)
    clinic.page()
    assert clinic.pager.pages
    assert {page.contact for page in clinic.pager.pages} == {"First"}
    assert all(UNREACHED.fullmatch(page.said) for page in clinic.pager.pages)
    assert the(clinic, "crisis").acknowledged_at == the(clinic, "crisis").acknowledged_at
    assert the(clinic, "crisis").acknowledged_at is not None
    assert [event.what for event in clinic.story(task.id)].count("answer lost") == 1


def test_c8_with_nobody_on_call_the_text_is_answered_and_the_gap_is_red(database_url, tmp_path, travel, twilio):
    clinic = Clinic(database_url, tmp_path, travel, twilio)
    try:
        clinic.accept()
        clinic.text("i want to die")
        assert len(clinic.received()) == 1
        task = the(clinic, "crisis")
        assert "no one is on call" in [event.what for event in clinic.story(task.id)]
        assert clinic.context.settings.site.on_call == ()
    finally:
        clinic.close()


# The answer (C-3).


def test_c3_the_answer_comes_at_most_once_in_six_hours_and_once_more_to_overdose_words(clinic):
    clinic.accept()
    clinic.travel(NIGHT)
    for minute, body in [(0, "i want to die"), (10, "i want to kill myself"), (20, "took too many pills"), (30, "od")]:
        clinic.travel(NIGHT + minutes(minute))
        clinic.text(body)
    assert [text.wording for text in crises(clinic)] == ["crisis", "overdose"]
    clinic.travel(NIGHT + minutes(6 * 60 + 15))  # six hours after the last answer but five minutes
    clinic.text("i want to die")
    assert len(crises(clinic)) == 2
    clinic.travel(NIGHT + minutes(6 * 60 + 31))
    clinic.text("i want to die")
    assert [text.wording for text in crises(clinic)][2:] == ["crisis"]
    assert "911" in clinic.received()[1].split(".")[0]
    told = [event.what for event in clinic.story(the(clinic, "crisis").id)]
    assert told.count("answered within six hours") == 3


@pytest.mark.parametrize("body", ["i want to die", "took too many pills"])
def test_c3_a_stranger_in_danger_is_answered_in_both_languages_and_paged(clinic, body):
    clinic.travel(NIGHT)
    clinic.text(body, STRANGER)
    shown = clinic.received(STRANGER)
    assert len(shown) == 2
    assert all("988" in one or "911" in one for one in shown)
    assert len({"Llame" in one or "llame" in one for one in shown}) == 2
    task = the(clinic, "crisis")
    assert (task.patients, task.to) == ((), "•••••••0178")
    assert clinic.pager.called() == ["First"]


def test_c13_all_patients_on_that_number_are_listed(clinic):
    clinic.accept(1)
    clinic.accept(2)
    clinic.text("i want to die")
    assert the(clinic, "crisis").patients == ("MRN-1", "MRN-2")
    assert len(clinic.received()) == 1


def test_c13_what_medical_personnel_were_told_is_kept_sealed(clinic):
    clinic.accept()
    clinic.text("i want to die")
    task = the(clinic, "crisis")
    told = tasks.Disclosure("Dr. Quagmire, county hospital", "unconscious at home")
    with pytest.raises(tasks.Settled, match="reached, welfare_check, handed_over, false_alarm"):
        tasks.close(clinic.context, task.id, "done", clock.now(), who="cli:night")
    tasks.close(clinic.context, task.id, "handed_over", clock.now(), who="cli:night", note="She waits.", disclosed=told)
    disclosed, closed = clinic.story(task.id)[-2:]
    assert (disclosed.what, explanations.detail(disclosed), disclosed.who) == ("disclosed", "42 CFR 2.51", "cli:night")
    assert disclosed.words == "To: Dr. Quagmire, county hospital\nEmergency: unconscious at home"
    assert (closed.what, explanations.detail(closed), closed.words) == ("closed", "handed_over", "She waits.")
    with pytest.raises(tasks.Settled, match="closed already"):
        tasks.close(clinic.context, task.id, "reached", clock.now(), who="cli:night")
    assert "Quagmire" not in repr(told) + repr(disclosed)


# Their other texts (C-12).

VISIT = {"series": [one_off("visit", "2026-12-02T15:00:00", leads=["1d@17:00", "2h"])]}
EVENING = datetime(2026, 12, 1, 22, 0, 30, tzinfo=UTC)  # 17:00 in New York on the day before


def reminder(clinic):
    return next(text for text in clinic.texts("reminder") if text.key == "day:2026-12-02:1d@17:00")


def test_c12_texts_of_somebody_in_danger_stand_with_a_task_before_the_visit_and_go_when_it_is_closed(clinic):
    clinic.accept(**VISIT)
    clinic.text("i want to die")
    clinic.travel(EVENING)
    send(clinic.context)
    assert (reminder(clinic).state, reminder(clinic).held) == ("scheduled", "crisis")
    held = the(clinic, "held_text")
    assert held.due_at <= held.starts_at - minutes(60)
    assert (held.visit, held.patients) == ("visit@once", ("MRN-1",))
    send(clinic.context)
    assert len(clinic.tasks("held_text")) == 1
    clinic.travel(EVENING + minutes(30))
    _, released = tasks.close(clinic.context, the(clinic, "crisis").id, "reached", clock.now(), who="test")
    assert released == 1
    assert len(clinic.tasks("held_text")) == 1, "open until its text is handed over"
    send(clinic.context)
    assert reminder(clinic).state in {"sent", "delivered"}
    watch.look(clinic.context, clock.now())
    assert clinic.tasks("held_text") == []


def test_c12_no_held_text_expires_unseen(clinic):
    clinic.accept(**VISIT)
    clinic.text("i want to die")
    for at in (EVENING, EVENING + minutes(20 * 60)):  # to the visit itself
        clinic.travel(at)
        send(clinic.context)
        settle(clinic.context)
    assert {text.state for text in clinic.texts("reminder")} <= {"expired", "suppressed", "scheduled"}
    assert reminder(clinic).state == "expired"
    assert all(task.due_at < task.starts_at for task in clinic.tasks("held_text"))
    assert clinic.tasks("held_text")
    tasks.close(clinic.context, the(clinic, "crisis").id, "reached", clock.now(), who="test")
    assert clinic.tasks("held_text"), "nobody has phoned about it yet"


def test_c12_one_held_text_is_let_go_and_the_others_stand(clinic):
    clinic.accept(1, **VISIT)
    clinic.accept(2, series=[one_off("visit", "2026-12-02T16:00:00", leads=["1d@17:00"])], phone="+12025550144")
    clinic.text("i want to die")
    clinic.text("i want to die", "+12025550144")
    clinic.travel(EVENING)
    send(clinic.context)
    one = next(task for task in clinic.tasks("held_text") if task.patients == ("MRN-1",))
    assert tasks.let_text_go(clinic.context, one.id, clock.now(), who="cli:night")
    send(clinic.context)
    states = {text.patient: text.state for text in clinic.texts("reminder") if "1d@17:00" in text.key}
    assert states["MRN-1"] in {"sent", "delivered"}
    assert states["MRN-2"] == "scheduled"
    watch.look(clinic.context, clock.now())
    assert [task.patients for task in clinic.tasks("held_text")] == [("MRN-2",)]
    with pytest.raises(tasks.Settled):
        tasks.let_text_go(clinic.context, one.id, clock.now(), who="cli:night")
    with pytest.raises(tasks.Settled, match="holds no text"):
        tasks.let_text_go(clinic.context, clinic.tasks("crisis")[0].id, clock.now(), who="cli:night")
    with pytest.raises(tasks.NoSuchTask):
        tasks.let_text_go(clinic.context, 999, clock.now(), who="cli:night")


def test_c12_a_text_whose_time_has_passed_is_not_let_go(clinic):
    clinic.accept(**VISIT)
    clinic.text("i want to die")
    clinic.travel(EVENING)
    send(clinic.context)
    held = the(clinic, "held_text")
    clinic.travel(EVENING + minutes(24 * 60))
    assert tasks.let_text_go(clinic.context, held.id, clock.now(), who="test") is False
    assert the(clinic, "held_text").closed_at is None


# The whole service as it runs.

LATER = """
[[series]]
key = "later"
kind = "therapy_individual"
starts = {starts}
leads = ["2h"]
"""


@pytest.fixture
def service(nursery, database_url, tmp_path):
    running = Service(
        nursery,
        tmp_path,
        database_url,
        sending__welcome="false",
        jobs__poll_seconds="2",
        jobs__page_seconds="1",
        jobs__watch_seconds="3600",
    )
    pager = f"json://127.0.0.1:{running.phones}/pager"
    running.environment["REMINDERS_SITE__ON_CALL"] = json.dumps([{"name": "Night nurse", "page": pager}])
    yield running
    running.close()


def says(service, phone, body):
    return service.ask(f"/phones/{phone}/texts", {"body": body, "to": SENDER})["sid"]


def phone_shows(service, phone):
    return [one["body"] for one in service.ask(f"/phones/{phone}")]


def webhook(service, **form):
    """A signed call to the web process, as Twilio makes it."""
    url = f"http://127.0.0.1:{service.web}/sms/inbound"
    pairs = [("AccountSid", "AC" + "0" * 32), *form.items()]
    headers = {"X-Twilio-Signature": signature(url, pairs)}
    with urllib.request.urlopen(urllib.request.Request(url, urlencode(pairs).encode(), headers), timeout=10) as answer:
        return answer.status


@pytest.mark.processes
@pytest.mark.timeout(180)
def test_c7_through_real_processes_a_crisis_text_is_answered_and_paged_and_none_is_lost(service):
    service.up()
    service.reminders("import", str(service.plan("DC-1", opens_in=3600)))
    began = time.monotonic()
    says(service, PHONE, "i want to die")
    (answer,) = wait_for(lambda: phone_shows(service, PHONE), 60)
    (page,) = wait_for(lambda: service.ask("/pager"), 60)
    assert time.monotonic() - began < 60
    assert "988" in answer
    (task,) = [json.loads(line) for line in service.reminders("tasks", "--json").splitlines()]
    assert page["message"]["title"] == f"Open urgent task {task['id']}"
    assert "i want to die" not in json.dumps(task) + json.dumps(page)
    assert json.loads(service.reminders("status", "--json", code=1))["troubles"]
    service.reminders("tasks", "take", str(task["id"]))
    story = json.loads(service.reminders("tasks", "show", str(task["id"]), "--json"))["story"]
    assert [event["what"] for event in story] == ["opened", "a text came", "answered", "paged", "taken"]
    assert story[1]["words"] == "i want to die"
    assert story[2]["text_state"] in {"sent", "delivered"}

    # The same webhook, several at once: one effect.
    twice = {"MessageSid": "SM" + "d" * 32, "From": STRANGER, "To": SENDER, "Body": "took too many pills"}
    with ThreadPoolExecutor(4) as together:
        assert set(together.map(lambda _: webhook(service, **twice), range(8))) == {200}
    wait_for(lambda: len(phone_shows(service, STRANGER)) == 2)
    assert len(wait_for(lambda: len(service.ask("/pager")) == 2 and service.ask("/pager"))) == 2

    # Nothing of ours runs while a text arrives, and its webhook is lost.
    service.kill("web")
    service.kill("worker")
    third = "+12025550146"
    says(service, third, "quiero morir")
    time.sleep(2)
    service.start("worker")
    service.start("web")
    began = time.monotonic()
    assert wait_for(lambda: len(phone_shows(service, third)) == 2 and phone_shows(service, third), 60)
    assert len(wait_for(lambda: len(service.ask("/pager")) == 3 and service.ask("/pager"), 60)) == 3
    assert time.monotonic() - began < 60
    tasks_now = [json.loads(line) for line in service.reminders("tasks", "--json").splitlines()]
    assert [one["kind"] for one in tasks_now] == ["crisis"] * 3
    wait_for(lambda: _answers(service))
    says(service, third, "quiero morir ya")  # other words ring again, and it is the same task, known by its phone
    wait_for(lambda: len(service.ask("/pager")) == 4)
    assert len(service.reminders("tasks", "--json").splitlines()) == 3


MISSED = ("the river keeps saying my name", "it is so quiet here by the river")  # no rule finds these, and no model
NIGHTS = ("America/New_York", "Europe/Paris", "Asia/Tokyo", "Pacific/Honolulu", "Asia/Karachi", "Pacific/Auckland")


@pytest.mark.processes
@pytest.mark.timeout(180)
def test_conversation_3_through_real_processes_a_missed_danger_at_night_gets_every_line_and_is_paged_when_overdue(
    service, database_url, tmp_path
):
    # A place where the office is closed at this hour, as on any Saturday at 3 a.m.
    zone = next(one for one in NIGHTS if not 8 <= to_wall(clock.now(), one).hour < 20)
    service.environment["REMINDERS_SITE__ZONE"] = zone
    service.up()
    service.reminders("import", str(service.plan("DC-1", opens_in=3600)))
    for count, words in enumerate(MISSED, 1):
        began = time.monotonic()
        says(service, PHONE, words)
        shown = wait_for(
            lambda count=count: len(phone_shows(service, PHONE)) == count and phone_shows(service, PHONE), 60
        )
        assert time.monotonic() - began < 60
        assert all(number in shown[-1] for number in ("988", "911", "202-555-0101"))
    (task,) = [json.loads(line) for line in service.reminders("tasks", "--json").splitlines()]
    assert (task["kind"], service.ask("/pager")) == ("reply", [])

    # No one takes it, and its time comes.
    context = open_context(database_url, tmp_path)
    overdue = clock.now() - timedelta(seconds=1)
    context.database.write(lambda tx: store.tasks.change_task(tx, task["id"], due_at=overdue))
    context.close()
    (page,) = wait_for(lambda: service.ask("/pager"), 60)
    assert page["message"]["title"] == f"Open urgent task {task['id']}"


def _answers(service):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{service.web}/healthz", timeout=2):
            return True
    except OSError:
        return False


@pytest.mark.processes
@pytest.mark.timeout(180)
def test_l11_through_real_processes_stop_while_a_text_is_on_the_wire_and_start_after_it(service):
    """STOP wins, or is honest about the one text already on the wire; START restores the same rows."""
    service.up()
    phones = {"stop_meanwhile": "+12025550147", "stop_first": "+12025550148"}
    starts = (clock.now() + timedelta(days=5)).date()
    for number, (fault, phone) in enumerate(phones.items()):
        service.ask("/rules", {"fault": fault, "to": phone, "times": 1})
        path = service.plan(f"P-{number}", opens_in=5, phone=phone, name=f"Invented {number}")
        path.write_text(path.read_text() + LATER.format(starts=f"{starts}T15:00:00"))
    service.reminders("import", str(service.folder))

    def stopped():
        texts = {(text["plan"], text["key"].startswith(f"day:{starts}")): text for text in service.log()}
        later = {texts[plan, True]["reason"] for plan in ("P-0", "P-1")}
        return texts if later == {"opted_out"} and texts["P-0", False]["state"] == "delivered" else None

    texts = wait_for(stopped)
    refused = texts["P-1", False]
    assert (refused["state"], refused["attempts"][-1]["error_code"]) == ("undelivered", 21610)
    assert [len(phone_shows(service, phone)) for phone in phones.values()] == [1, 0]
    for phone in phones.values():
        says(service, phone, "START")

    def revived():
        found = [text for text in service.log() if text["key"].startswith(f"day:{starts}")]
        return found if {text["state"] for text in found} == {"scheduled"} else None

    again = wait_for(revived)
    assert {text["text"] for text in again} == {texts[plan, True]["text"] for plan in ("P-0", "P-1")}
    assert len([text for text in service.log() if text["class"] == "reminder"]) == 4
