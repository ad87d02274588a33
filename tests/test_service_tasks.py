"""Things that need a person unasked (R0.9): each task opens once, at its moment, and closes by itself if its cause is
gone; when it is due; and who is on call when.
"""

import asyncio
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from conftest import NOW, send, settle
from hypothesis import given
from hypothesis import strategies as st
from oncall import PHONE, SENDER, STRANGER, Clinic
from people import KNOWN, one_off, raw

from reminders import clock, plans, queries, task_kinds
from reminders.plans import read
from reminders.queries import explanations
from reminders.service import AppContext, planning, tasks
from reminders.service.operations import health, runs
from reminders.service.replies import inbound
from reminders.sms import InboundText
from reminders.store.database import schema

DAY = timedelta(days=1)
NEW_YORK = "America/New_York"


def local(text):
    """The instant of a wall-clock time in New York."""
    return plans.to_instant(datetime.fromisoformat(text), NEW_YORK).astimezone(UTC)


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio):
    opened = Clinic(database_url, tmp_path, travel, twilio, ("Nurse", {}))
    yield opened
    opened.close()


@pytest.fixture
def welcoming(database_url, tmp_path, travel, twilio):
    """A clinic that verifies numbers by its welcome."""
    opened = Clinic(database_url, tmp_path, travel, twilio, ("Nurse", {}), sending__welcome="true")
    yield opened
    opened.close()


def accept_unverified(clinic, **more):
    data = raw(**more)
    del data["consent"]["verified"]
    planning.accept(clinic.context, read(data, KNOWN), clock.now(), who="test")


def opened_at(clinic, kind, moments):
    """The wall-clock times at which the watch opened a task of that kind; it runs twice at each."""
    found = []
    for moment in moments:
        clinic.travel(local(moment))
        before = len(clinic.tasks(kind, closed=None))
        clinic.watch()
        assert clinic.watch() == 0, moment
        found += [moment] * (len(clinic.tasks(kind, closed=None)) - before)
    return found


def the(clinic, kind):
    (task,) = clinic.tasks(kind)
    return task


def near(at, wanted):
    """Whether an instant is that one, within the running time of the test."""
    return timedelta(0) <= at - wanted < timedelta(seconds=20)


# The watch: each kind at its moment.


def test_l39_a_number_not_verified_on_the_day_of_discharge_is_one_task(welcoming):
    welcoming.travel(NOW - 2 * DAY)
    accept_unverified(welcoming)
    moments = ["2026-11-29T18:00", "2026-11-30T09:30", "2026-11-30T15:00", "2026-12-02T10:00"]
    assert opened_at(welcoming, "unverified", moments) == ["2026-11-30T09:30"]
    task = the(welcoming, "unverified")
    assert (task.patients, task.urgency) == (("MRN-1",), "soon")
    assert near(task.due_at, local("2026-11-30T13:30"))
    tasks.close(welcoming.context, task.id, "done", clock.now(), who="test")
    assert opened_at(welcoming, "unverified", ["2026-12-03T10:00"]) == []


def test_l39_its_y_closes_the_task(welcoming):
    accept_unverified(welcoming)
    send(welcoming.context)
    assert opened_at(welcoming, "unverified", ["2026-11-30T11:00"])
    welcoming.text("Y")
    assert welcoming.tasks("unverified") == []
    (task,) = welcoming.tasks("unverified", closed=True)
    assert (task.outcome, explanations.detail(welcoming.story(task.id)[-1])) == (
        "done",
        "the number was verified by its Y",
    )


def test_l39_so_does_a_plan_that_says_how_it_was_verified(welcoming):
    accept_unverified(welcoming)
    assert opened_at(welcoming, "unverified", ["2026-11-30T11:00"])
    welcoming.accept()
    welcoming.watch()
    assert welcoming.tasks("unverified") == []


def test_s5_the_relapse_prevention_plan_is_reviewed_on_days_7_30_and_90(clinic):
    clinic.accept(series=[one_off("visit", "2027-06-01T15:00:00")])
    days = [NOW + day * DAY for day in (0, 6, 7, 8, 9, 29, 30, 32, 33, 89, 90, 91, 120)]
    moments = [f"{day:%Y-%m-%d}T09:30" for day in days]
    wanted = ["2026-12-07T09:30", "2026-12-30T09:30", "2027-02-28T09:30"]
    assert opened_at(clinic, "review", moments) == wanted
    assert {near(task.due_at, local(f"{task.opened_at:%Y-%m-%d}T17:00")) for task in clinic.tasks("review")} == {True}


def test_s5_a_review_whose_day_passed_while_nothing_ran_is_opened_within_three_days_and_then_no_more(clinic):
    clinic.accept(series=[one_off("visit", "2027-06-01T15:00:00")])
    assert opened_at(clinic, "review", ["2026-12-09T09:30"]) == ["2026-12-09T09:30"]
    assert opened_at(clinic, "review", ["2027-01-02T09:30"]) == []


def test_s5_an_ended_plan_is_reviewed_no_more(clinic):
    clinic.accept(plan={"status": "ended", "ended_because": "completed"})
    assert opened_at(clinic, "review", ["2026-12-07T09:30"]) == []


def test_p21_a_first_visit_without_any_text_is_red(clinic):
    clinic.accept(series=[one_off("visit", "2026-11-30T10:40:00", leads=["1d@17:00"])])  # too late for its text
    assert opened_at(clinic, "red", ["2026-11-30T10:01", "2026-11-30T10:30"]) == ["2026-11-30T10:01"]
    task = the(clinic, "red")
    assert (task.visit, task.plan, task.patients) == ("visit@once", "DC-1", ("MRN-1",))
    assert near(task.due_at, task.opened_at)  # it is due before the visit, which is now


def test_p21_a_later_visit_is_red_from_three_days_before(clinic):
    visits = [one_off(f"visit-{day}", f"2026-12-{day:02}T15:00:00", leads=["1d@17:00"]) for day in (1, 5)]
    clinic.accept(consent={"per_week": 1}, series=visits)  # the first one's text fills the week
    moments = ["2026-11-30T11:00", "2026-12-02T14:59", "2026-12-02T15:01", "2026-12-04T15:00"]
    assert opened_at(clinic, "red", moments) == ["2026-12-02T15:01"]
    assert the(clinic, "red").visit == "visit-5@once"


def test_p21_of_two_calls_one_is_noise_and_the_other_comes_in_time(welcoming):
    welcoming.travel(local("2026-11-30T13:00"))
    accept_unverified(welcoming, series=[one_off("visit", "2026-11-30T16:30:00", leads=["1d@17:00"])])
    assert opened_at(welcoming, "red", ["2026-11-30T13:05"]) == []
    assert welcoming.kinds() == ["unverified"]
    assert near(the(welcoming, "unverified").due_at, local("2026-11-30T14:30"))  # two hours before the visit
    tasks.close(welcoming.context, the(welcoming, "unverified").id, "not_reached", clock.now(), who="test")
    assert opened_at(welcoming, "red", ["2026-11-30T14:00"]) == ["2026-11-30T14:00"]


def weekly(count, **more):
    return one_off("group", "2026-12-01T15:00:00", repeats=f"FREQ=WEEKLY;COUNT={count}", leads=["1d@17:00"], **more)


def test_p21_who_sent_stop_is_called_once_and_not_before_every_visit(clinic):
    clinic.accept(series=[weekly(3)])
    clinic.text("STOP")
    assert clinic.kinds() == ["stop_early"]
    days = [f"2026-12-{day:02}T14:00" for day in range(1, 15)]
    assert opened_at(clinic, "red", days) == []
    tasks.close(clinic.context, the(clinic, "stop_early").id, "reached", clock.now(), who="test")
    assert opened_at(clinic, "red", [f"2026-12-{day:02}T14:30" for day in range(14, 16)]) == []


def test_p21_visits_of_a_lost_number_are_called_about_for_thirty_days(clinic):
    clinic.accept(series=[weekly(8)])
    clinic.twilio.rule(to=PHONE, error_code=30006, after=0.1)
    clinic.travel(local("2026-11-30T17:00"))
    send(clinic.context)
    clinic.travel(local("2026-11-30T17:20"))
    runs._ask(clinic.context, clock.now())
    assert opened_at(clinic, "red", ["2026-11-30T17:30", "2026-12-01T09:00"]) == []  # someone calls about the number
    for kind in ("number_bad", "undelivered"):
        tasks.close(clinic.context, the(clinic, kind).id, "not_reached", clock.now(), who="test")
    days = [f"{NOW + day * DAY:%Y-%m-%d}T14:00" for day in (5, 6, 7, 13, 20, 27, 28, 34, 41)]
    found = opened_at(clinic, "red", days)
    assert found == ["2026-12-06T14:00", "2026-12-13T14:00", "2026-12-20T14:00", "2026-12-27T14:00"]


def test_s20_the_first_visit_that_nobody_confirmed_is_called_about_the_day_before(clinic):
    clinic.accept(series=[one_off("visit", "2026-12-03T15:00:00", leads=["1d@17:00"])])
    clinic.travel(local("2026-12-02T17:00"))
    send(clinic.context)
    moments = ["2026-12-02T19:00", "2026-12-02T19:59", "2026-12-02T20:01", "2026-12-03T09:00"]
    assert opened_at(clinic, "unconfirmed_first", moments) == ["2026-12-02T20:01"]
    assert near(the(clinic, "unconfirmed_first").due_at, local("2026-12-03T13:00"))
    clinic.text("C")
    assert clinic.tasks("unconfirmed_first") == []


def test_s20_a_confirmed_first_visit_is_nobodys_task_nor_is_the_second(clinic):
    visits = [one_off("visit", "2026-12-03T15:00:00", leads=["1d@17:00"])]
    clinic.accept(series=[*visits, one_off("second", "2026-12-07T15:00:00", leads=["1d@17:00"])])
    for evening in ("2026-12-02", "2026-12-06"):
        clinic.travel(local(f"{evening}T17:00"))
        send(clinic.context)
        if evening == "2026-12-02":
            clinic.text("C")
        assert opened_at(clinic, "unconfirmed_first", [f"{evening}T20:30"]) == []


def test_l3_visits_without_consent_are_one_task_a_plan(clinic):
    clinic.accept(
        consent={"said": "no"}, series=[one_off("a", "2026-12-03T15:00:00"), one_off("b", "2026-12-08T15:00")]
    )
    assert opened_at(clinic, "no_consent", ["2026-11-30T10:30", "2026-12-04T10:00"]) == ["2026-11-30T10:30"]
    assert the(clinic, "no_consent").urgency == "normal"


def test_r09_a_text_that_did_not_arrive_is_a_task_in_the_first_thirty_days(clinic):
    clinic.twilio.rule(error_code=30007, after=0.1)
    for number, discharged in ((1, "2026-11-30"), (2, "2026-10-15")):
        clinic.accept(
            number,
            f"+1202555{110 + number:04d}",
            plan={"discharged_on": discharged},
            series=[one_off("visit", "2026-12-02T15:00:00", leads=["1d@17:00"])],
        )
    clinic.travel(local("2026-12-01T17:00"))
    send(clinic.context)
    assert opened_at(clinic, "undelivered", ["2026-12-01T17:05"]) == []
    clinic.travel(local("2026-12-01T17:20"))
    runs._ask(clinic.context, clock.now())  # no receipt came, so we ask
    assert opened_at(clinic, "undelivered", ["2026-12-01T17:21", "2026-12-01T18:00"]) == ["2026-12-01T17:21"]
    task = the(clinic, "undelivered")
    assert (task.patients, task.visit) == (("MRN-1",), "visit@once")
    assert near(task.due_at, local("2026-12-02T10:21"))  # four waking hours


def test_r09_a_number_that_cannot_be_reached_is_one_task(clinic):
    clinic.twilio.rule(to=PHONE, error_code=30006, after=0.1)
    clinic.accept(series=[one_off("visit", "2026-12-02T15:00:00", leads=["1d@17:00", "2h"])])
    clinic.travel(local("2026-12-01T17:00"))
    send(clinic.context)
    clinic.travel(local("2026-12-01T17:20"))
    runs._ask(clinic.context, clock.now())
    moments = ["2026-12-01T17:21", "2026-12-02T09:00", "2026-12-03T09:00"]
    assert opened_at(clinic, "number_bad", moments) == ["2026-12-01T17:21"]
    assert the(clinic, "number_bad").patients == ("MRN-1",)


@pytest.mark.parametrize(("class_", "opened"), [("reminder", 0), ("notice", 20)])
def test_r09_what_nobody_knows_of_is_called_about_when_its_time_is_over(
    database_url, tmp_path, travel, twilio, class_, opened
):
    """Whatever its window: the notice of a visit moved to next month is open until then."""
    clinic = Clinic(database_url, tmp_path, travel, twilio, ("Nurse", {}), sending__on_unknown="never-resend")
    try:
        clinic.accept(series=[one_off("visit", "2026-12-02T15:00:00", leads=["1d@17:00"])])
        clinic.twilio.rule(fault="error_before_create")
        clinic.travel(local("2026-12-01T17:00"))
        send(clinic.context)
        (text,) = clinic.texts("reminder")
        for after in (timedelta(minutes=1), timedelta(minutes=5), timedelta(hours=1)):
            clinic.travel(local("2026-12-01T17:00") + after)
            settle(clinic.context)
        (text,) = clinic.texts("reminder")
        assert text.state == "uncertain"
        closes = plans.to_wall(text.closes_at, NEW_YORK)
        before, after = ((closes + timedelta(minutes=late)).isoformat() for late in (-5, 5))
        as_if = {"class": class_, "opens_at": text.opens_at - timedelta(days=opened)}
        clinic.context.database.write(lambda tx: tx.run(schema.texts.update().values(as_if)))
        assert opened_at(clinic, "uncertain", [before, after]) == [after]
        assert the(clinic, "uncertain").text_id == text.text
    finally:
        clinic.close()


def test_r09_the_watch_only_reads_a_notice_that_lost_its_number(clinic):
    """Settling opens its task. The watch looks in a transaction that may change nothing, and no rule of it fails."""
    clinic.accept(series=[one_off("visit", "2026-12-04T15:00:00")])
    as_if = {"class": "notice", "state": "suppressed", "reason": "opted_out"}

    def lose(tx):
        tx.run(schema.texts.update().values(as_if))
        tx.run(schema.text_items.update().values(tells="2026-12-04T15:00:00"))

    clinic.context.database.write(lose)
    assert opened_at(clinic, "stuck", ["2026-11-30T10:05"]) == []
    settle(clinic.context)
    assert [task.visit for task in clinic.tasks("tell_change")] == ["visit@once"]


def mark(clinic, status):
    appointments = schema.appointments
    clinic.context.database.write(lambda tx: tx.run(appointments.update().values(status=status)))


def test_c15_visits_to_mark_are_one_list_a_day_that_closes_itself(clinic):
    visits = ["2026-12-01T10:00:00", "2026-12-01T15:45:00", "2026-12-02T10:00:00"]
    clinic.accept(series=[one_off(f"visit-{number}", starts) for number, starts in enumerate(visits)])
    moments = ["2026-12-01T11:00", "2026-12-01T17:59", "2026-12-01T18:01", "2026-12-01T19:00", "2026-12-02T18:30"]
    assert opened_at(clinic, "to_mark", moments) == ["2026-12-01T18:01"]
    assert near(the(clinic, "to_mark").due_at, local("2026-12-02T12:00"))
    mark(clinic, "attended")
    assert opened_at(clinic, "to_mark", ["2026-12-02T19:00"]) == []
    assert clinic.tasks("to_mark") == []
    (closed,) = clinic.tasks("to_mark", closed=True)
    assert (closed.outcome, closed.owner) == ("done", None)


def test_c15_a_visit_that_is_not_half_an_hour_old_is_not_asked_about(clinic):
    clinic.accept(series=[one_off("visit", "2026-12-01T18:00:00")])
    assert opened_at(clinic, "to_mark", ["2026-12-01T18:29", "2026-12-01T18:31"]) == ["2026-12-01T18:31"]


def test_c15_what_was_not_marked_yesterday_is_on_the_list_in_the_morning(clinic):
    clinic.accept(series=[one_off("visit", "2026-12-01T19:00:00")])
    moments = ["2026-12-01T19:20", "2026-12-02T09:00"]
    assert opened_at(clinic, "to_mark", moments) == ["2026-12-02T09:00"]


# When a task is due.

ZONES = st.sampled_from([NEW_YORK, "America/Los_Angeles", "America/Phoenix", "Pacific/Honolulu"])
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31))
SPELLS = st.integers(1, 40).map(lambda quarters: timedelta(minutes=15 * quarters))


@given(MOMENTS, ZONES, SPELLS)
def test_due_after_so_many_waking_hours_weekends_included_and_whatever_the_clocks_do(moment, zone, spell):
    now = moment.replace(tzinfo=UTC)
    due = task_kinds.waking(now, zone, spell)
    passed, day = timedelta(0), plans.to_wall(now, zone).date()
    while day <= plans.to_wall(due, zone).date():
        opens, shuts = (datetime.combine(day, at, ZoneInfo(zone)).astimezone(UTC) for at in (time(9), time(20)))
        passed += max(timedelta(0), min(due, shuts) - max(now, opens))
        day += DAY
    assert passed == spell
    assert time(9) < plans.to_wall(due, zone).time() <= time(20)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-12-04T10:00", "2026-12-04T14:00"),
        ("2026-12-04T18:00", "2026-12-05T11:00"),  # Friday evening: Saturday
        ("2026-12-06T02:30", "2026-12-06T13:00"),
        ("2026-10-31T19:00", "2026-11-01T12:00"),  # the night with a repeated hour
        ("2027-03-13T18:00", "2027-03-14T11:00"),  # and that with one less
    ],
)
def test_due_times_one_by_one(now, due):
    assert task_kinds.waking(local(now), NEW_YORK, timedelta(hours=4)) == local(due)


# Who is on call.

SHIFTS = (
    ("Nurse", {"days": "mon-fri", "hours": ["08:00", "20:00"]}),
    ("Backup", {"days": "mon-fri", "hours": ["08:00", "20:00"]}),
    ("Night", {"days": "mon-sun", "hours": ["20:00", "08:00"]}),
    ("Lead", {"days": [], "supervisor": True}),
)


@pytest.fixture
def rota(database_url, tmp_path, travel, twilio):
    opened = Clinic(database_url, tmp_path, travel, twilio, *SHIFTS)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("at", "first", "second"),
    [
        ("2026-12-01T10:00", ["Nurse"], ["Backup"]),
        ("2026-12-01T19:50", ["Nurse"], ["Night"]),  # the shift ends meanwhile
        ("2026-12-02T03:00", ["Night"], ["Night"]),
        ("2026-12-05T12:00", ["Lead"], ["Lead"]),  # no one is on call: the supervisor, rather than no one
    ],
)
def test_c8_the_rota_says_who_is_paged_and_who_after_them(rota, at, first, second):
    rota.travel(local(at))
    rota.text("i want to die")
    assert rota.pager.called() == first
    (task,) = rota.tasks("crisis")
    rota.travel(task.rung_at + timedelta(minutes=15))
    rota.page()
    assert rota.pager.called() == second


def go_live(clinic):
    check = {one.check: one for one in asyncio.run(health.go_live(clinic.context, webhooks=False))}["on-call"]
    return check.ok, check.detail


def live(clinic):
    """The same house, live; it sends nothing here."""
    twilio = clinic.context.settings.twilio.model_copy(update={"live": True})
    return AppContext(
        clinic.context.settings.model_copy(update={"twilio": twilio}), clinic.context.secrets, clinic.context.database
    )


def test_c8_a_gap_in_the_rota_is_red_once_live_and_the_doctor_names_its_hours(rota, clinic):
    gap = "Sat 08:00\N{EN DASH}Sat 20:00, Sun 08:00\N{EN DASH}Sun 20:00"
    assert go_live(rota) == (False, f"no one {gap}")
    troubles = health.status(live(rota), clock.now()).troubles
    assert [trouble for trouble in troubles if "on call" in trouble] == [
        f"no one is on call: {part}" for part in gap.split(", ")
    ]
    assert not any("on call" in trouble for trouble in health.status(rota.context, clock.now()).troubles)
    assert go_live(clinic) == (True, "1, without a gap")
    assert not any("on call" in trouble for trouble in health.status(live(clinic), clock.now()).troubles)


def test_c8_with_nobody_on_the_rota_only_a_live_service_is_not_ok(context, travel):
    quiet = health.status(context, clock.now()).troubles
    assert not any("on call" in trouble for trouble in quiet)
    twilio = context.settings.twilio.model_copy(update={"live": True})
    alive = AppContext(context.settings.model_copy(update={"twilio": twilio}), context.secrets, context.database)
    assert "no one is on call: the whole week" in health.status(alive, clock.now()).troubles


def test_c8_two_shifts_of_one_person_are_paged_each_at_its_own_address(database_url, tmp_path, travel, twilio):
    day, night = {"hours": ["08:00", "20:00"]}, {"hours": ["20:00", "08:00"]}
    clinic = Clinic(database_url, tmp_path, travel, twilio, ("Dana day", day), ("Dana night", night))
    entries = [one.model_copy(update={"name": "Dana"}) for one in clinic.context.settings.site.on_call]
    site = clinic.context.settings.site.model_copy(update={"on_call": tuple(entries)})
    clinic.context = AppContext(
        clinic.context.settings.model_copy(update={"site": site}), clinic.context.secrets, clinic.context.database
    )
    try:
        clinic.text("i want to die")
        assert clinic.pager.called() == ["Dana day"]
        clinic.travel(local("2026-11-30T23:00"))
        clinic.text("i want to die", STRANGER)
        assert "Dana night" in clinic.pager.called()
        assert clinic.pager.called() == []
    finally:
        clinic.close()


def test_c8_who_left_the_rota_before_a_page_went_is_replaced(clinic, travel):
    clinic.pager.answers = [500]
    clinic.text("i want to die")
    assert clinic.pager.called() == ["Nurse"]
    clinic.pager.answers = [200]
    (entry,) = clinic.context.settings.site.on_call
    url = clinic.pager.contact("Colleague")["page"]
    other = entry.model_copy(update={"name": "Colleague", "page": url})
    site = clinic.context.settings.site.model_copy(update={"on_call": (other,)})
    clinic.context = AppContext(
        clinic.context.settings.model_copy(update={"site": site}), clinic.context.secrets, clinic.context.database
    )
    clinic.travel(clock.now() + timedelta(minutes=3))
    clinic.page()
    clinic.page()
    assert clinic.pager.called() == ["Colleague"]


# Lists.


def test_tasks_stand_in_the_order_in_which_they_must_be_done(clinic):
    clinic.accept()
    inbound.take_in(clinic.context, InboundText("SM" + "1" * 32, PHONE, SENDER, "hello there", None), clock.now())
    clinic.travel(NOW + timedelta(hours=1))
    clinic.text("what is this about", STRANGER)
    clinic.travel(NOW + timedelta(hours=2))
    clinic.text("i used last night")
    assert clinic.kinds() == ["slip", "reply", "stranger"]
    assert the(clinic, "slip").due_at - the(clinic, "slip").opened_at == timedelta(minutes=60)
    reply = the(clinic, "reply")
    tasks.take(clinic.context, reply.id, clock.now(), who="cli:a")
    assert [task.id for task in queries.tasks.list_tasks(clinic.context.database, owner="cli:a")] == [reply.id]
    tasks.close(clinic.context, reply.id, "done", clock.now(), who="cli:b")
    assert clinic.kinds() == ["slip", "stranger"]
    assert [task.kind for task in clinic.tasks(closed=True)] == ["reply"]
    assert [task.kind for task in clinic.tasks(closed=None)] == ["slip", "stranger", "reply"]
    assert the(clinic, "slip").owner is None


def test_one_cause_is_one_task_with_every_text_in_its_story(clinic):
    clinic.accept()
    for body in ("hello there", "anyone home", "hello?"):
        clinic.text(body)
    task = the(clinic, "reply")
    assert [event.words for event in clinic.story(task.id) if event.what == "a text came"] == [
        "hello there",
        "anyone home",
        "hello?",
    ]
    tasks.close(clinic.context, task.id, "done", clock.now(), who="test")
    clinic.text("and now?")
    assert the(clinic, "reply").id != task.id


def test_the_numbers_of_tasks_are_in_the_metrics_and_say_nothing_of_anybody(clinic):
    from web_caller import Caller, without_values

    clinic.accept()
    clinic.pager.answers = [500]
    clinic.text("i want to die")
    clinic.text("what is this about", STRANGER)
    shown = Caller(clinic.context).get("/metrics").text
    assert 'reminders_tasks_open{urgency="urgent"} 1.0' in shown
    assert 'reminders_tasks_open{urgency="soon"} 1.0' in shown
    assert 'reminders_tasks_open{urgency="normal"} 0.0' in shown
    assert "reminders_tasks_ringing 1.0" in shown
    assert "reminders_pages_waiting 1.0" in shown
    assert "MRN" not in shown
    assert "0143" not in without_values(shown)
