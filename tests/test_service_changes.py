"""Changes of visits: who is told, once, when and how; sessions with their live list and undo; attendance."""

from datetime import UTC, date, datetime, timedelta

import pytest
from conftest import NOW, logged, open_context, send
from people import document, one_off
from sqlalchemy import select

from reminders import clock, queries, store
from reminders.planner.business_days import honour_by, is_business_day
from reminders.plans import PlanRefused, to_instant
from reminders.service import planning, tasks
from reminders.service.operations import runs
from reminders.service.planning import attendance, changes, replanning, watch
from reminders.service.replies import inbound
from reminders.sms import InboundText
from reminders.store.database.schema import audit
from reminders.store.planning.texts import Changes

ZONE = "America/New_York"
LATER = NOW + timedelta(minutes=20)  # a change is news: it is no longer a typo at entry
GROUP = {"kind": "therapy_group", "session": "oak-monday"}


def wall(text: str) -> datetime:
    """The instant of a wall-clock time at the office."""
    return to_instant(datetime.fromisoformat(text), ZONE).astimezone(UTC)


def accept(context, number=1, now=NOW, **more):
    person = {
        "plan": {"ref": f"DC-{number}"},
        "patient": {"ref": f"MRN-{number}", "phone": f"202-555-{100 + number:04d}"},
    }
    for name, values in person.items():
        more[name] = values | more.get(name, {})
    return planning.accept(context, document(**more), now, who="test")


def notices(context, *states, **wanted):
    return [
        (text.wording, text.state, text.reason)
        for text in logged(context, **wanted)
        if text.class_ == "notice" and (not states or text.state in states)
    ]


def move(context, to: str | None, now=LATER, on="2026-12-03", plan="DC-1", series="therapy"):
    at = datetime.fromisoformat(to) if to else None
    return changes.change_visit(context, plan, series, date.fromisoformat(on), now, who="test", to=at)


def open_kinds(context) -> list[str]:
    return sorted(task.kind for task in queries.tasks.list_tasks(context.database))


def bodies(twilio, phone="+12025550101") -> list[str]:
    return [one.body for one in twilio.created(phone)]


# Notices (docs/design.md#notices).


@pytest.mark.parametrize("reminded", [False, True])
def test_a_move_within_seven_days_is_told_whether_or_not_a_reminder_went(line, twilio, travel, reminded):
    accept(line)
    if reminded:
        travel(wall("2026-11-30T17:01"))
        assert send(line).accepted == 1
    now = wall("2026-11-30T17:30")
    travel(now)
    assert move(line, "2026-12-04T11:00", now) == Changes(
        added=3, retracted=3 - reminded
    )  # the notice says the same as the text of Dec 1
    assert send(line).accepted == 1
    assert send(line).accepted == 0
    assert "moved from Thu Dec 3 to Fri Dec 4, 11:00am" in bodies(twilio)[-1]
    assert notices(line) == [("moved", "sent", None)]


def test_a_visit_called_off_is_told(line, twilio, travel):
    accept(line)
    travel(LATER)
    move(line, None)
    send(line)
    assert "visit Thu Dec 3, 3:00pm, is called off" in bodies(twilio)[0]
    assert [text.state for text in logged(line) if text.class_ == "reminder"] == ["cancelled"] * 3


def test_a_closure_is_told_within_seven_days_and_so_is_its_end(database_url, tmp_path, twilio, travel):
    def context_with(closures):
        return open_context(
            database_url,
            tmp_path,
            twilio__api_base_url=twilio.url,
            twilio__deadline_seconds="2",
            sending__lease_seconds="20",
            sending__settle_seconds="10",
            site__closures=closures,
        )

    context = context_with("[]")
    accept(context)
    accept(context, 2, series=[one_off("therapy", "2026-12-20T15:00:00")], plan={"late_start_because": "away"})
    context.close()
    context = context_with('["2026-12-03", "2026-12-20"]')
    travel(LATER)
    planning.extend(context, LATER)  # the plan job
    assert planning.extend(context, LATER) == Changes()
    assert send(context).accepted == 1  # a change three weeks ahead is not news yet
    assert "Our office is closed Thu Dec 3, so your visit is off" in bodies(twilio)[-1]
    context.close()
    context = context_with("[]")
    planning.extend(context, LATER)
    send(context)
    assert "has a new time: Thu Dec 3, 3:00pm" in bodies(twilio)[-1]
    assert len(bodies(twilio)) == 2
    context.close()


def test_both_times_beyond_seven_days_is_no_news(context):
    accept(context, series=[one_off("therapy", "2026-12-15T15:00:00")], plan={"late_start_because": "away"})
    assert move(context, "2026-12-16T15:00", on="2026-12-15") is not None
    assert notices(context) == []
    # Readers know the new time from its reminders, so a later move is told from there.
    near = wall("2026-12-11T12:00")
    move(context, "2026-12-17T15:00", near, on="2026-12-16")
    assert notices(context) == [("moved", "scheduled", None)]
    row = next(text for text in logged(context) if text.class_ == "notice")
    assert row.key == "notice:therapy@once:v3"


@pytest.mark.parametrize(("minutes", "told"), [(14, 0), (16, 1)])
def test_a_slip_of_the_pen_put_right_within_fifteen_minutes_is_nobodys_news(context, minutes, told):
    accept(context)
    move(context, "2026-12-04T11:00", NOW + timedelta(minutes=minutes))
    assert len(notices(context)) == told


def test_a_correction_after_a_text_of_it_is_told_even_within_fifteen_minutes(line, twilio, travel):
    accept(line, series=[one_off("therapy", "2026-12-01T15:00:00")])  # tomorrow: a text is sent at once
    assert send(line).accepted == 1
    at = NOW + timedelta(minutes=5)
    travel(at)
    move(line, "2026-12-01T16:00", at, on="2026-12-01")
    assert send(line).accepted == 1
    assert "has a new time: tomorrow, Tue Dec 1, 4:00pm" in bodies(twilio)[-1]


def test_moved_twice_before_the_notice_went_only_the_last_is_told(line, twilio, travel):
    accept(line)
    move(line, "2026-12-04T11:00")
    move(line, "2026-12-05T10:00", LATER + timedelta(minutes=1), on="2026-12-04")
    travel(LATER + timedelta(minutes=2))
    assert send(line).accepted == 1
    assert "from Thu Dec 3 to Sat Dec 5, 10:00am" in bodies(twilio)[0]
    assert notices(line) == [("moved", "cancelled", None), ("moved", "sent", None)]


def test_moved_back_before_the_notice_went_nothing_is_told(line, twilio, travel):
    accept(line)
    move(line, "2026-12-04T11:00")
    move(line, "2026-12-03T15:00", LATER + timedelta(minutes=1), on="2026-12-04")
    travel(LATER + timedelta(minutes=2))
    assert send(line).accepted == 0
    assert notices(line) == [("moved", "cancelled", None)]
    assert len([text for text in logged(line, state="scheduled") if text.class_ == "reminder"]) == 3


def test_moved_back_after_the_notice_went_is_told_too(line, twilio, travel):
    accept(line)
    travel(LATER)
    move(line, "2026-12-04T11:00")
    send(line)
    later = LATER + timedelta(hours=1)
    travel(later)
    move(line, "2026-12-03T15:00", later, on="2026-12-04")
    send(line)
    assert [body.split("moved ")[1][:35] for body in bodies(twilio)] == [
        "from Thu Dec 3 to Fri Dec 4, 11:00a",
        "from Fri Dec 4 to Thu Dec 3, 3:00pm",
    ]


def test_called_off_and_on_again_after_it_was_told_is_told(line, twilio, travel):
    accept(line, series=[one_off("group", "2026-12-03T15:00:00", **GROUP)])
    travel(LATER)
    changes.change_session(line, "oak-monday", date(2026, 12, 3), LATER, who="test", to=None)
    send(line)
    accept(line, now=LATER, series=[one_off("group", "2026-12-03T16:00:00", **GROUP)])
    send(line)
    assert "is called off" in bodies(twilio)[0]
    assert "has a new time: Thu Dec 3, 4:00pm" in bodies(twilio)[1]


def test_l22_a_change_at_night_about_tomorrow_is_told_at_eight(line, twilio, travel):
    accept(line)
    now = wall("2026-12-02T21:30")
    travel(now)
    move(line, "2026-12-03T16:30", now)
    send(line)
    assert not [body for body in bodies(twilio) if "new time:" in body]
    row = next(text for text in logged(line) if text.class_ == "notice")
    assert (row.state, row.due_at) == ("scheduled", wall("2026-12-03T08:00"))
    travel(wall("2026-12-03T08:00"))
    send(line)
    assert "new time: today, Thu Dec 3, 4:30pm" in bodies(twilio)[-1]


def test_a_change_for_which_no_hour_is_left_becomes_a_call(context):
    accept(context, series=[one_off("therapy", "2026-12-03T07:30:00")])
    now = wall("2026-12-02T21:30")
    move(context, "2026-12-03T11:30", now)
    assert notices(context) == [("moved", "suppressed", "quiet_hours")]
    (task,) = [task for task in queries.tasks.list_tasks(context.database) if task.kind == "tell_change"]
    assert task.due_at <= wall("2026-12-03T07:30")
    # After the change is undone, there is no news.
    move(context, "2026-12-03T07:30", now + timedelta(minutes=5))
    assert "tell_change" not in open_kinds(context)


def test_l3_a_patient_without_consent_is_phoned_not_texted(context):
    accept(context, consent={"said": "no"})
    move(context, "2026-12-04T11:00")
    assert notices(context) == [("moved", "suppressed", "no_consent")]
    assert open_kinds(context) == ["tell_change"]


def test_what_was_never_agreed_to_is_neither_texted_nor_phoned_about(context):
    accept(context, consent={"categories": ["meetings"]})
    move(context, "2026-12-04T11:00")
    assert notices(context) == []
    assert open_kinds(context) == []


SISTER = {
    "key": "sister",
    "role": "supporter",
    "phone": "202-555-0144",
    "language": "es",
    "part2_consent_on": "2026-11-29",
}
HERS = {"said": "yes", "on": "2026-11-29", "how": "signed form", "by": "A. Reyes", "categories": ["family"]}


@pytest.mark.parametrize("said", ["yes", "no", None])
def test_l48_a_supporter_is_told_only_with_their_own_consent(line, twilio, travel, said):
    consent = {} if said is None else {"consent": HERS | {"said": said, "verified": "read aloud"}}
    family = one_off("family", "2026-12-03T15:00:00", kind="family_session", **{"for": ["self", "sister"]})
    accept(line, recipients=[SISTER | consent], series=[family])
    travel(LATER)
    move(line, "2026-12-04T11:00", series="family")
    send(line)
    assert len(bodies(twilio)) == 1
    hers = bodies(twilio, "+12025550144")
    assert len(hers) == (said == "yes")
    assert not hers or "vie. 4 de dic" in hers[0].replace("viernes", "vie.") or "4 dic" in hers[0]


def test_a_visit_added_to_a_day_whose_text_has_gone_gets_a_notice(line, twilio, travel):
    morning = one_off("therapy", "2026-12-03T10:00:00")
    accept(line, series=[morning])
    for at in ("2026-11-30T17:01", "2026-12-02T17:01"):
        travel(wall(at))
        send(line)
    now = wall("2026-12-03T08:30")
    travel(now)
    accept(line, now=now, series=[morning, one_off("doctor", "2026-12-03T15:00:00", kind="psychiatry")])
    again = line.database.write(lambda tx: _replan_at(line, tx, now))
    assert again == Changes()  # stated again it stays as it is
    send(line)
    assert any("today, Thu Dec 3, 3:00pm" in body for body in bodies(twilio))
    assert [text.key for text in logged(line) if text.class_ == "notice"] == ["notice:doctor@once:added"]


def _replan_at(context, tx, now):
    site = store.people.keep_default_site(tx, context.settings, now)
    return replanning.replan(context, tx, [store.people.patient_by_ref(tx, site, "MRN-1").id], now)


def test_an_added_visit_that_moves_before_its_notice_went_is_told_as_it_stands(line, twilio, travel):
    morning = one_off("therapy", "2026-12-03T10:00:00")
    accept(line, series=[morning])
    for at in ("2026-11-30T17:01", "2026-12-02T17:01"):
        travel(wall(at))
        send(line)
    now = wall("2026-12-03T08:10")
    travel(now)
    accept(line, now=now, series=[morning, one_off("doctor", "2026-12-03T15:00:00", kind="psychiatry")])
    move(line, "2026-12-03T16:00", now + timedelta(minutes=1), series="doctor")
    travel(now + timedelta(minutes=2))
    before = len(bodies(twilio))
    send(line)
    assert [("4:00pm" in body, "3:00pm" in body) for body in bodies(twilio)[before:]] == [(True, False)]


def understood_as(monkeypatch, meaning):
    from reminders.conversation import Meaning, Understood

    monkeypatch.setattr(
        inbound.conversation, "understand", lambda *_, **__: Understood((Meaning(meaning),), ("test",), "test")
    )


def hear(context, body, phone="+12025550101", *, sid="1"):
    text = InboundText(f"SM{sid:0>32}", phone, "+15005550006", body, None)
    taken = inbound.take_in(context, text, clock.now())
    runs.answer_now(context, taken)


def test_stop_between_plan_and_send_wins_and_start_brings_the_same_rows_back(line, twilio, travel, monkeypatch):
    accept(line)
    travel(LATER)
    move(line, "2026-12-04T11:00")
    rows = {text.text for text in logged(line, state="scheduled")}
    understood_as(monkeypatch, "stop")
    hear(line, "STOP")
    assert notices(line) == [("moved", "suppressed", "opted_out")]
    assert "tell_change" in open_kinds(line)
    sent = len(bodies(twilio))  # the confirmation, unless Twilio gave it
    send(line)
    assert len(bodies(twilio)) == sent
    understood_as(monkeypatch, "start")
    hear(line, "START", sid="2")
    assert {text.text for text in logged(line, state="scheduled") if text.class_ != "answer"} == rows
    send(line)
    assert any("moved from Thu Dec 3" in body for body in bodies(twilio))


# One visit.


def test_one_visit_is_found_by_its_day_or_by_the_day_it_was_written_down_for(context):
    weekly = one_off("therapy", "2026-12-03T15:00:00", repeats="FREQ=WEEKLY;COUNT=3")
    accept(context, series=[weekly])
    assert move(context, "2026-12-11T10:00", on="2026-12-10") is not None
    assert move(context, "2026-12-12T10:00", on="2026-12-11") is not None  # by its current day
    assert move(context, "2026-12-09T10:00", on="2026-12-10") is not None  # by its identity
    assert move(context, None, on="2026-12-24") is None
    assert move(context, None, plan="DC-9") is None
    assert move(context, None, series="other") is None
    with pytest.raises(ValueError, match="has passed"):
        move(context, "2026-11-01T10:00", on="2026-12-09")
    assert "day:2026-12-09:1d@17:00" in [text.key for text in logged(context, state="scheduled")]


def test_a_visit_that_has_begun_is_moved_no_more(context):
    accept(context)
    with pytest.raises(ValueError, match="has begun"):
        move(context, "2026-12-05T15:00", wall("2026-12-03T15:01"))


# A session for all its patients.


THAT_DAY = date(2026, 12, 3)
WEEKLY = {"repeats": "FREQ=WEEKLY;COUNT=3", **GROUP}


def in_group(context, count=3, **more):
    for number in range(1, count + 1):
        accept(context, number, series=[one_off("group", "2026-12-03T18:00:00", **WEEKLY)], **more)


def story(context, on=THAT_DAY, now=LATER) -> dict[str, tuple]:
    found = changes.session_story(context, "oak-monday", on, now)
    assert len({(one.patient, one.recipient, one.visit) for one in found}) == len(found)
    return {one.patient: (one.told, one.state) for one in found if one.wall.date() >= THAT_DAY}


def test_the_live_list_says_who_knows_and_who_must_be_phoned(line, twilio, travel):
    in_group(line, 5)
    accept(line, 6, consent={"said": "no"}, series=[one_off("group", "2026-12-03T18:00:00", **WEEKLY)])
    assert set(story(line).values()) == {("not told", None)}
    travel(LATER)
    to = datetime(2026, 12, 4, 18, 0)
    changes.change_session(line, "oak-monday", THAT_DAY, LATER, who="test", to=to)
    assert story(line) == {f"MRN-{n}": ("on its way", "scheduled") for n in range(1, 6)} | {
        "MRN-6": ("must be phoned", "suppressed")
    }
    send(line)
    for number, state in ((2, "delivered"), (3, "undelivered"), (4, "unconfirmed"), (5, "uncertain")):
        _settle_as(line, f"DC-{number}", state)
    told = story(line)
    assert told["MRN-1"] == ("on its way", "sent")
    assert story(line, now=LATER + timedelta(hours=2))["MRN-1"] == ("no answer", "sent")
    assert told["MRN-2"] == ("delivered", "delivered")
    assert told["MRN-3"] == ("must be phoned", "undelivered")
    assert told["MRN-4"] == ("no answer", "unconfirmed")
    assert told["MRN-5"] == ("must be phoned", "uncertain")
    assert story(line, date(2026, 12, 4)) == told  # by the new date as well
    assert changes.session_story(line, "nobody", THAT_DAY, LATER) == []


def _settle_as(context, plan, state):
    """Set the state that receipts, or their absence, would leave."""
    from reminders.store.database.schema import texts

    ids = [text.text for text in logged(context, plan=plan) if text.class_ == "notice"]
    assert len(ids) == 1
    context.database.write(lambda tx: tx.run(texts.update().where(texts.c.id == ids[0]).values(state=state)))


def test_a_patient_whose_plan_is_paused_must_be_phoned(context):
    in_group(context, 1)
    changes.set_plan_status(context, "DC-1", "paused", LATER, who="test")
    assert story(context) == {"MRN-1": ("not told", None)}
    changes.change_session(context, "oak-monday", THAT_DAY, LATER, who="test", to=None)
    assert story(context) == {"MRN-1": ("must be phoned", None)}


@pytest.mark.parametrize("to", [datetime(2026, 12, 4, 18, 0), None])
@pytest.mark.parametrize("by", [THAT_DAY, date(2026, 12, 4)])
def test_a_session_is_put_back_as_if_it_had_never_been_changed(context, to, by):
    in_group(context)
    before = _standing(context)
    texts = [(text.text, text.opens_at) for text in logged(context, state="scheduled")]
    changes.change_session(context, "oak-monday", THAT_DAY, LATER, who="test", to=to)
    by = by if to is not None else THAT_DAY
    undone = changes.undo_session(context, "oak-monday", by, LATER + timedelta(minutes=1), who="test")
    assert undone is not None
    assert _standing(context) == before
    assert [(text.text, text.opens_at) for text in logged(context, state="scheduled")] == texts
    assert set(notices(context)) == {(("moved" if to else "called_off"), "cancelled", None)}
    with pytest.raises(ValueError, match="taken back already"):
        changes.undo_session(context, "oak-monday", THAT_DAY, LATER + timedelta(minutes=2), who="test")


def _standing(context):
    from reminders.store.database.schema import appointments

    columns = ("id", "wall", "status", "starts_at", "known_wall", "known_status", "agreed_wall")
    query = select(*(appointments.c[name] for name in columns)).order_by(appointments.c.id)
    return [tuple(row) for row in context.database.read(lambda tx: tx.all(query))]


def test_put_back_after_a_change_that_nobody_was_to_hear_of_nobody_hears_of_it(context):
    """Right after entry the move was not news; undoing it an hour later is not news either."""
    in_group(context, 1)
    at = NOW + timedelta(minutes=5)
    changes.change_session(context, "oak-monday", THAT_DAY, at, who="test", to=datetime(2026, 12, 4, 18, 0))
    assert notices(context) == []
    changes.undo_session(context, "oak-monday", THAT_DAY, NOW + timedelta(hours=1), who="test")
    assert notices(context) == []


def test_what_a_text_has_told_cannot_be_put_back(line, travel):
    in_group(line)
    travel(LATER)
    changes.change_session(line, "oak-monday", THAT_DAY, LATER, who="test", to=datetime(2026, 12, 4, 18, 0))
    send(line)
    before = _standing(line)
    with pytest.raises(ValueError, match="a text about the change has gone"):
        changes.undo_session(line, "oak-monday", THAT_DAY, LATER, who="test")
    assert _standing(line) == before


def test_only_the_last_change_is_put_back_and_who_was_changed_since_stays(context):
    in_group(context, 2)
    changes.change_session(context, "oak-monday", THAT_DAY, LATER, who="test", to=datetime(2026, 12, 4, 18, 0))
    second = LATER + timedelta(minutes=1)
    changes.change_session(context, "oak-monday", date(2026, 12, 4), second, who="test", to=datetime(2026, 12, 5, 9, 0))
    move(context, "2026-12-06T12:00", second, on="2026-12-05", plan="DC-2", series="group")
    changes.undo_session(context, "oak-monday", THAT_DAY, second + timedelta(minutes=1), who="test")
    walls = {one.patient: one.wall.day for one in changes.session_story(context, "oak-monday", THAT_DAY, second)}
    assert walls == {"MRN-1": 4, "MRN-2": 6}


def test_there_is_nothing_to_put_back_where_nothing_was_changed(context):
    in_group(context, 1)
    assert changes.undo_session(context, "oak-monday", date(2026, 12, 1), LATER, who="test") is None
    assert changes.undo_session(context, "nobody", THAT_DAY, LATER, who="test") is None
    with pytest.raises(ValueError, match="nothing of it was changed"):
        changes.undo_session(context, "oak-monday", THAT_DAY, LATER, who="test")


def test_what_stood_before_must_lie_ahead_to_be_put_back(context):
    accept(context, series=[one_off("group", "2026-11-30T16:00:00", **GROUP)])
    today = date(2026, 11, 30)
    changes.change_session(context, "oak-monday", today, LATER, who="test", to=datetime(2026, 12, 4, 18, 0))
    with pytest.raises(ValueError, match="has passed"):
        changes.undo_session(context, "oak-monday", today, wall("2026-11-30T16:30"), who="test")


def test_changes_are_on_record_sealed_by_the_patients_key(context):
    in_group(context, 1)
    changes.change_session(context, "oak-monday", THAT_DAY, LATER, who="A. Reyes", to=datetime(2026, 12, 4, 18, 0))
    rows = context.database.read(lambda tx: tx.all(select(audit).where(audit.c.what == "session moved")))
    assert [(row.who, row.before_sealed[:1], row.after_sealed[:1]) for row in rows] == [("A. Reyes", b"\x02", b"\x02")]


# Attendance (C-15).


def mark(context, what, now, on="2026-12-03", plan="DC-1", series="therapy"):
    return attendance.mark(context, plan, series, date.fromisoformat(on), now, what=what, who="test")


AFTER = wall("2026-12-03T16:00")
OLD = {"discharged_on": "2026-10-01", "late_start_because": "was away"}


def test_c15_the_text_after_a_miss_goes_two_hours_after_the_start_and_blames_nobody(line, twilio, travel):
    accept(line)
    done = mark(line, "missed", AFTER)
    assert (done.text, done.reason, done.news) == ("scheduled", None, True)
    row = next(text for text in logged(line) if text.wording == "missed")
    assert (row.class_, row.key, row.opens_at) == ("notice", "missed:therapy@once", wall("2026-12-03T17:00"))
    assert row.closes_at == wall("2026-12-05T05:00")
    travel(wall("2026-12-03T16:59"))
    send(line)
    assert not any("glad to see you" in body for body in bodies(twilio))
    travel(wall("2026-12-03T17:01"))
    send(line)
    send(line)
    assert sum("We would be glad to see you" in body for body in bodies(twilio)) == 1
    assert mark(line, "missed", wall("2026-12-03T18:00")).news is False
    send(line)
    assert sum("We would be glad to see you" in body for body in bodies(twilio)) == 1


def test_c15_an_evening_miss_is_texted_about_the_next_morning(context):
    accept(context, series=[one_off("therapy", "2026-12-03T19:00:00")])
    mark(context, "missed", wall("2026-12-03T20:00"))
    row = next(text for text in logged(context) if text.wording == "missed")
    assert row.due_at == wall("2026-12-04T09:00")


def test_c15_no_mark_is_no_miss(context):
    accept(context)
    watch.look(context, wall("2026-12-04T18:30"))
    planning.extend(context, wall("2026-12-04T18:31"))
    assert not any(text.wording == "missed" for text in logged(context))
    assert [row.series for row in attendance.unmarked(context, wall("2026-12-04T18:30"))] == ["therapy"]
    assert "to_mark" in open_kinds(context)
    mark(context, "attended", wall("2026-12-04T18:32"))
    assert list(attendance.unmarked(context, wall("2026-12-04T18:33"))) == []
    watch.look(context, wall("2026-12-04T18:33"))
    assert "to_mark" not in open_kinds(context)


@pytest.mark.parametrize("what", ["attended", "late", "unmark"])
def test_c15_a_mark_put_right_takes_text_and_task_back(context, what):
    accept(context)
    assert mark(context, "missed", AFTER).call is True  # within 30 days of discharge
    assert "missed" in open_kinds(context)
    done = mark(context, what, AFTER + timedelta(minutes=5))
    assert (done.text, done.call) == (None, False)
    assert [text.state for text in logged(context) if text.wording == "missed"] == ["cancelled"]
    assert "missed" not in open_kinds(context)
    assert mark(context, "missed", AFTER + timedelta(minutes=6)).text == "scheduled"
    assert [text.state for text in logged(context) if text.wording == "missed"] == ["scheduled"]
    assert "missed" in open_kinds(context)


def test_c15_the_same_mark_again_asks_for_no_second_call(context):
    accept(context)
    mark(context, "missed", AFTER)
    (number,) = [task.id for task in queries.tasks.list_tasks(context.database) if task.kind == "missed"]
    tasks.close(context, number, "reached", AFTER + timedelta(hours=1), who="test")
    mark(context, "missed", AFTER + timedelta(hours=2))
    assert "missed" not in open_kinds(context)


def test_s20_after_30_days_the_second_clinical_miss_in_a_row_asks_for_a_call(context):
    weekly = one_off("therapy", "2026-12-03T15:00:00", repeats="FREQ=WEEKLY;COUNT=4")
    accept(context, plan=OLD, series=[weekly])
    assert mark(context, "missed", AFTER).call is False
    assert mark(context, "attended", wall("2026-12-10T16:00"), on="2026-12-10").call is False
    assert mark(context, "missed", wall("2026-12-17T16:00"), on="2026-12-17").call is False
    assert mark(context, "missed", wall("2026-12-24T16:00"), on="2026-12-24").call is True
    # Marking in another order gives the same result.
    assert mark(context, "attended", wall("2026-12-24T17:00"), on="2026-12-17").call is False
    assert "missed" not in open_kinds(context)
    assert mark(context, "missed", wall("2026-12-24T17:10"), on="2026-12-10").call is True
    mark(context, "missed", wall("2026-12-24T17:20"), on="2026-12-17")
    assert open_kinds(context).count("missed") == 3


def test_a_mark_before_the_start_is_refused(context):
    accept(context)
    with pytest.raises(ValueError, match="not begun"):
        mark(context, "missed", wall("2026-12-03T14:59"))
    move(context, None)
    with pytest.raises(ValueError, match="called off"):
        mark(context, "missed", AFTER)
    assert mark(context, "missed", AFTER, plan="DC-9") is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"consent": {"said": "no"}}, "no_consent"),
        ({"consent": {"categories": ["meetings"]}}, "category_off"),
    ],
)
def test_c15_a_miss_is_texted_about_only_where_that_was_agreed(context, change, reason):
    accept(context, **change)
    assert mark(context, "missed", AFTER).reason == reason


def test_c15_a_miss_of_a_paused_plan_has_no_text(context):
    accept(context)
    changes.set_plan_status(context, "DC-1", "paused", LATER, who="test")
    assert mark(context, "missed", AFTER).text is None
    assert not any(text.wording == "missed" for text in logged(context))


def test_c15_two_misses_on_one_day_are_one_text(context):
    accept(context, series=[one_off("a", "2026-12-03T13:00:00"), one_off("b", "2026-12-03T15:00:00")])
    assert mark(context, "missed", AFTER, series="a").text == "scheduled"
    assert mark(context, "missed", AFTER, series="b").reason == "merged_into"


def test_a_whole_session_is_marked_at_once(context):
    in_group(context, 4)
    now = wall("2026-12-03T19:00")
    with pytest.raises(ValueError, match="MRN-9"):
        attendance.mark_session(context, "oak-monday", THAT_DAY, now, who="test", missed=["MRN-9", "MRN-1"])
    with pytest.raises(ValueError, match="both"):
        attendance.mark_session(context, "oak-monday", THAT_DAY, now, who="test", missed=["MRN-1"], late=["MRN-1"])
    with pytest.raises(ValueError, match="not begun"):
        attendance.mark_session(context, "oak-monday", THAT_DAY, LATER, who="test")
    assert len(attendance.unmarked(context, now)) == 4
    done = attendance.mark_session(context, "oak-monday", THAT_DAY, now, who="test", missed=["MRN-2"], late=["MRN-3"])
    assert {one.patient: one.mark for one in done} == {
        "MRN-1": "attended",
        "MRN-2": "missed",
        "MRN-3": "late",
        "MRN-4": "attended",
    }
    assert len(attendance.unmarked(context, now)) == 0
    assert [text.patient for text in logged(context) if text.wording == "missed"] == ["MRN-2"]
    assert attendance.mark_session(context, "oak-monday", date(2026, 12, 1), now, who="test") == []


# How a plan ends.


def test_a_plan_that_ends_takes_its_notices_back(context):
    accept(context)
    move(context, "2026-12-04T11:00")
    done = changes.set_plan_status(context, "DC-1", "ended", LATER, who="test", because="readmitted")
    assert done == Changes(retracted=4)
    assert logged(context, state="scheduled") == []
    with pytest.raises(ValueError, match="has ended"):
        changes.set_plan_status(context, "DC-1", "active", LATER, who="test")
    # A person who comes back gets a new plan.
    accept(context, 1, now=LATER, plan={"ref": "DC-1b", "replaces": None})
    assert len(logged(context, state="scheduled")) == 3


def test_who_died_is_never_texted_about_again_and_nor_is_their_family(line, twilio, travel):
    family = one_off("family", "2026-12-03T15:00:00", kind="family_session", **{"for": ["self", "sister"]})
    sister = SISTER | {"consent": HERS | {"verified": "read aloud"}}
    accept(line, recipients=[sister], series=[family])
    accept(line, 1, plan={"ref": "DC-1b", "alongside": True}, recipients=[sister])
    accept(line, 2, patient={"phone": "202-555-0144"})  # the sister is a patient herself, with a plan of her own
    travel(LATER)
    move(line, "2026-12-04T11:00", series="family")
    hers = {text.text for text in logged(line, patient="MRN-2", state="scheduled")}
    changes.set_plan_status(line, "DC-1b", "ended", LATER, who="test", because="died")
    assert logged(line, patient="MRN-1", state="scheduled") == []
    assert hers <= {text.text for text in logged(line, patient="MRN-2", state="scheduled")}
    assert send(line).accepted == 0
    assert twilio.created() == []
    with pytest.raises(PlanRefused, match="death"):
        accept(line, 1, now=LATER, plan={"ref": "DC-1c"})
    with pytest.raises(PlanRefused, match="death"):
        accept(line, 1, now=LATER, series=[one_off("other", "2026-12-03T15:00:00")])
    # It was a mistake: the reason is corrected, and a new plan may follow.
    for ref in ("DC-1", "DC-1b"):
        changes.set_plan_status(line, ref, "ended", LATER, who="test", because="other")
    assert accept(line, 1, now=LATER, plan={"ref": "DC-1c"}).changed


def test_a_text_from_the_phone_of_who_died_goes_to_the_supervisor(line, twilio, travel, monkeypatch):
    accept(line)
    changes.set_plan_status(line, "DC-1", "ended", NOW, who="test", because="died")
    understood_as(monkeypatch, "other")
    hear(line, "hello?")
    assert open_kinds(line) == ["supervisor"]
    assert twilio.created() == []


def test_who_died_is_on_no_list_of_calls(context):
    accept(context, consent={"said": "no"})
    move(context, "2026-12-04T11:00")
    watch.look(context, LATER)
    assert {"tell_change", "no_consent"} <= set(open_kinds(context))
    changes.set_plan_status(context, "DC-1", "ended", LATER, who="test", because="died")
    assert open_kinds(context) == []


def test_l36_a_transfer_ends_the_plan_and_takes_no_number_along(context):
    accept(context)
    with pytest.raises(ValueError, match="no other site"):
        changes.transfer(context, "DC-1", "north", LATER, who="test")
    context.database.write(_second_site)
    assert changes.transfer(context, "DC-1", "north", LATER, who="test") == Changes(retracted=3)
    assert changes.transfer(context, "DC-9", "north", LATER, who="test") is None
    with pytest.raises(ValueError, match="has ended"):
        changes.transfer(context, "DC-1", "north", LATER, who="test")
    plan = context.database.read(lambda tx: store.plans.plan_by_ref(tx, "DC-1", lock=False))
    assert plan.status == "ended"
    assert (
        context.database.read(lambda tx: store.plans.why_ended(tx, plan.id, plan.ended_because_sealed)) == "transferred"
    )
    there = planning.accept(
        context,
        _at_north(),
        LATER,
        who="test",
    )
    assert there.texts == Changes()  # the number is known, but consent was given to the other site
    assert {text.reason for text in logged(context, plan="DC-N")} == {"no_consent"}


def _second_site(tx):
    from reminders.store.database.schema import senders, sites

    row = tx.first(select(sites))
    values = dict(row._mapping) | {"id": row.id + 1, "key": "north", "alias": "North Office"}
    tx.run(sites.insert(), values)
    sender = tx.first(select(senders))
    tx.run(senders.insert(), dict(sender._mapping) | {"id": sender.id + 1, "site_id": row.id + 1})


def _at_north():
    from dataclasses import replace

    from people import KNOWN, raw

    from reminders.plans import read

    data = raw(plan={"ref": "DC-N", "site": "north"}, patient={"phone": "202-555-0101"})
    del data["consent"]
    return read(data, replace(KNOWN, sites=frozenset({"main", "north"})))


# Ten business days (L-11).


def test_l11_ten_business_days_pass_over_weekends_and_federal_holidays():
    assert honour_by(date(2026, 11, 20)) == date(2026, 12, 7)  # over Thanksgiving
    assert honour_by(date(2026, 12, 21)) == date(2027, 1, 6)  # Christmas and New Year
    assert honour_by(date(2026, 11, 21)) == date(2026, 12, 7)  # from a Saturday


@pytest.mark.parametrize(
    "day",
    [
        "2026-01-01", "2026-01-19", "2026-02-16", "2026-05-25", "2026-06-19", "2026-07-03", "2026-09-07", "2026-10-12",
        "2026-11-11", "2026-11-26", "2026-12-25", "2021-12-31", "2027-07-05", "2026-11-21", "2026-11-22",
    ],
)  # fmt: skip
def test_l11_no_business_day(day):
    assert not is_business_day(date.fromisoformat(day))
