"""What happens to a reply (C-1 … C-15, and the answers): each meaning with its effects, once, in both languages.

Danger itself is in test_crisis.py; STOP, START and who may be texted are in test_rules_law.py.
"""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from conftest import NOW, send
from oncall import PHONE
from people import one_off
from test_rules_law import JUST, LATER, LONG_AGO, NIGHT, SISTER, TOMORROW, asking, office, on_sqlite, supporter

from reminders import clock, store
from reminders.service.planning import changes
from reminders.sms import InboundText
from reminders.store.database import schema

__all__ = ["asking", "office"]  # fixtures

FIRST_TIME = one_off("first", "2026-12-01T09:30:00", leads=["1d@17:00"])
SECOND_TIME = one_off("second", "2026-12-01T15:00:00", leads=["1d@17:00"])


def confirmed(office):
    """Who has confirmed: how many readers of how many visits."""
    return len(office.context.database.read(lambda tx: tx.all(sa.select(schema.confirmations))))


def event_words(office, kind):
    (task,) = office.tasks(kind)
    return [event.words for event in office.story(task.id) if event.words is not None]


# C and R (R0.4, E-11)


@on_sqlite
@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "C"), ("en", "yes"), ("en", "ok"), ("en", "confrim"), ("es", "C"), ("es", "sí"), ("es", "confirmo")],
)
def test_e11_c_confirms_the_one_open_text(office, language, words):
    office.remind(patient={"language": language})
    office.text(words)
    office.text(words)
    assert confirmed(office) == 1
    assert office.answers() == ["confirmed"]
    assert "3:00" in office.said()
    assert office.kinds() == []


def test_e11_c_confirms_nothing_where_two_visits_are_open(office):
    office.remind(series=[FIRST_TIME, SECOND_TIME])
    office.text("C")
    assert confirmed(office) == 0
    assert office.answers() == ["unknown"]
    assert office.kinds() == ["reply"]


def test_e11_c_confirms_where_only_one_of_two_readers_has_a_visit_ahead(office):
    office.accept(1, series=[one_off("a", "2026-12-01T15:00:00", leads=["1d@17:00"])])
    office.accept(2, series=[one_off("b", "2026-12-02T15:00:00", leads=["1d@17:00"])])
    for day in (0, 1):
        office.travel(LATER + timedelta(days=day))
        assert send(office.context).accepted == 1
    office.text("C")  # the first visit is over
    assert confirmed(office) == 1


def test_e11_c_confirms_nothing_where_two_readers_visits_lie_ahead(office):
    office.accept(1, series=[one_off("a", "2026-12-03T15:00:00", leads=["3d@17:00"])])
    office.accept(2, series=[one_off("b", "2026-12-03T16:00:00", leads=["1d@17:00"])])
    for at in (LATER, LATER + timedelta(days=2)):
        office.travel(at)
        assert send(office.context).accepted == 1
    office.text("C")
    assert confirmed(office) == 0
    assert office.kinds() == ["reply"]
    (task,) = office.tasks("reply")
    assert task.patients == ("MRN-1", "MRN-2")


def test_e11_c_confirms_nothing_after_seventy_two_hours(office):
    office.remind(series=[one_off("visit", "2026-12-05T17:30:00", leads=["5d@17:00"])])
    office.travel(LATER + timedelta(hours=72, minutes=1))
    office.text("C")
    assert confirmed(office) == 0
    assert office.kinds() == ["reply"]


def test_e11_c_confirms_nothing_without_a_text_that_asked(office):
    office.accept(series=TOMORROW)
    office.text("C")
    assert confirmed(office) == 0
    assert office.kinds() == ["reply"]


def test_e11_c_does_not_confirm_a_time_that_no_one_has_read(office):
    office.remind(series=[one_off("visit", "2026-12-01T15:00:00", leads=["1d@17:00"], session="oak")])
    to = datetime(2026, 12, 1, 16, 30)  # wall clock of the place
    changes.change_session(office.context, "oak", to.date(), clock.now(), who="test", to=to)
    office.travel(LATER + timedelta(minutes=1))
    office.text("C")
    assert confirmed(office) == 0
    assert office.kinds() == ["reply"]
    send(office.context)  # the notice of it
    assert "4:30" in office.said()
    office.travel(LATER + timedelta(minutes=5))
    office.text("C")
    assert confirmed(office) == 1


def test_e11_a_confirmation_holds_for_the_time_it_answered(office):
    office.remind()
    office.text("C")
    moved = office.context.database.read(lambda tx: tx.first(sa.select(schema.appointments)))
    office.accept(series=[TOMORROW[0] | {"starts": "2026-12-01T16:30:00"}])
    (kept,) = office.context.database.read(lambda tx: tx.all(sa.select(schema.confirmations)))
    assert kept.version == moved.version
    now = office.context.database.read(lambda tx: tx.first(sa.select(schema.appointments)))
    assert now.version > kept.version


@on_sqlite
@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("c but i used last night", ["slip"]),
        ("C, i want to die", ["crisis"]),
        ("yes but can i bring my mom", ["reply"]),
        ("ok tengo una pregunta", ["reply"]),
    ],
)
def test_c2_a_confirmation_beside_something_graver_confirms_nothing(office, words, kinds):
    office.remind()
    office.text(words)
    assert confirmed(office) == 0
    assert office.kinds() == kinds


@on_sqlite
@pytest.mark.parametrize(
    ("language", "words"), [("en", "R"), ("en", "can't make it"), ("en", "cant make it tmrw"), ("es", "no puedo ir")]
)
def test_r_keeps_the_visit_and_its_reminders_and_is_a_call_before_it(office, language, words):
    early = one_off("visit", "2026-12-01T10:00:00", leads=["1d@17:00"])
    office.remind(patient={"language": language}, series=[early, one_off("next", "2026-12-04T15:00:00")])
    before = office.fates()
    office.text(words)
    assert office.fates() == before
    (task,) = office.tasks("change")
    assert (task.visit, task.patients) == ("visit@once", ("MRN-1",))
    assert task.due_at <= datetime(2026, 12, 1, 14, 0, tzinfo=UTC)  # an hour before
    assert office.answers() == ["change"]
    office.text("R")
    assert office.answers() == ["change"]  # no loop
    assert len(event_words(office, "change")) == 2


def test_r_on_a_text_about_several_visits_asks_which(office):
    office.remind(series=[FIRST_TIME, SECOND_TIME])
    office.text("R")
    assert office.answers() == ["change_which"]
    (task,) = office.tasks("change")
    assert task.visit is None
    assert task.due_at <= datetime(2026, 12, 1, 13, 30, tzinfo=UTC)
    office.travel(LATER + timedelta(minutes=2))
    office.text("the one in the afternoon")
    assert sorted(office.kinds()) == ["change", "reply"]


def test_s10_a_supporters_c_and_r_touch_only_them(office):
    office.accept(series=[TOMORROW[0] | {"for": ["self", "sister"]}], recipients=[supporter()])
    office.travel(LATER)
    assert send(office.context).accepted == 2
    office.text("C", SISTER)
    (one,) = office.context.database.read(
        lambda tx: tx.all(sa.select(schema.recipients.c.key).join(schema.confirmations))
    )
    assert one.key == "sister"
    office.text("R", SISTER)
    (visit,) = office.context.database.read(lambda tx: tx.all(sa.select(schema.appointments.c.status)))
    assert visit.status == "booked"
    assert len(office.received(PHONE)) == 1


def test_e11_after_a_missed_visit_r_is_a_call_and_answered_like_anything_else(office):
    office.remind()
    office.travel(datetime(2026, 12, 2, 15, 0, tzinfo=UTC))  # the visit is over
    office.text("is there parking")
    office.travel(datetime(2026, 12, 2, 22, 0, tzinfo=UTC))
    office.text("R")
    assert sorted(office.kinds()) == ["change", "reply"]
    assert office.answers() == ["unknown", "unknown"]  # once in six hours


# HELP (R0.7, C-6)


@on_sqlite
@pytest.mark.parametrize(("language", "word"), [("en", "HELP"), ("en", "help me"), ("en", "info"), ("es", "AYUDA")])
def test_c6_help_carries_988_and_the_line_that_answers_day_and_night(office, language, word):
    office.accept(patient={"language": language}, series=TOMORROW)
    office.travel(NIGHT)  # in the quiet hours
    office.text(word)
    line24 = office.context.settings.site.line24
    (said,) = [body for by, body in office.screen() if by == "us"]
    assert "988" in said
    assert f"{line24[2:5]}-{line24[5:8]}-{line24[8:]}" in said
    assert office.kinds() == []
    office.travel(NIGHT + timedelta(hours=5, minutes=59))
    office.text(word)  # a person who asks again may need more than the standard answer
    assert office.kinds() == ["reply"]
    assert office.answers() == ["help"]
    office.travel(NIGHT + timedelta(hours=6, minutes=1))
    office.text(word)
    assert office.answers() == ["help", "help"]


# A return to use (C-9), and intent


@on_sqlite
@pytest.mark.parametrize(
    ("language", "words", "answer"),
    [
        ("en", "i used last night", "slip"),
        ("en", "i relapsed", "slip"),
        ("es", "recaí", "slip"),
        ("en", "i might use tonight", "intent"),
        ("es", "tengo ganas de consumir", "intent"),
    ],
)
def test_c9_a_slip_in_the_first_thirty_days_pages_within_the_hour_at_any_hour(office, language, words, answer):
    office.accept(patient={"language": language}, series=TOMORROW)
    before = office.fates()
    office.travel(NIGHT)
    office.text(words)
    assert office.pager.called() == ["First"]
    (task,) = office.tasks("slip")
    assert task.urgency == "urgent"
    assert task.due_at - task.opened_at == timedelta(minutes=60)
    assert task.opened_at - NIGHT < JUST
    assert office.answers() == [answer]
    assert "988" in office.said()
    assert office.fates()[: len(before)] == before  # the plan stays as it is
    office.text(words)
    assert office.answers() == [answer]


@pytest.mark.parametrize("words", ["i used last night", "i want to use so bad"])
def test_c9_later_a_slip_is_a_task_and_pages_no_one(office, words):
    office.accept(plan=LONG_AGO, series=TOMORROW)
    office.text(words)
    assert office.pager.called() == []
    (task,) = office.tasks("slip")
    assert (task.urgency, task.due_at - task.opened_at) == ("soon", timedelta(hours=4))
    assert "988" in office.said()


@pytest.mark.parametrize("words", ["STOP", "please stop texting me i used last night"])
def test_c9_a_slip_pages_also_beside_a_stop_and_after_it(office, words):
    office.accept(series=TOMORROW)
    office.text(words)
    if words == "STOP":
        office.text("i used last night")
    assert office.number().opted_out_at is not None
    assert office.pager.called() == ["First"]
    (task,) = office.tasks("slip")
    assert task.urgency == "urgent"
    assert not {"slip", "intent"} & set(office.answers())


# Several meanings at once, and texts that are not understood (C-2, C-10, R0.8)


@pytest.mark.parametrize(
    ("language", "words"), [("en", "STOP i want to die"), ("es", "no me escriban mas, quiero morirme")]
)
def test_c2_a_crisis_with_a_stop_is_answered_paged_and_stopped(office, language, words):
    office.accept(patient={"language": language}, series=TOMORROW)
    office.text(words)
    assert office.number().opted_out_at is not None
    assert office.states("reminder") == {("suppressed", "opted_out")}
    assert office.answers() == ["crisis"]
    assert "988" in office.said()
    assert office.pager.called() == ["First"]
    assert "crisis" in office.kinds()


@on_sqlite
@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", "is there parking"),
        ("en", "my daughter drew a horse today"),
        ("es", "hay estacionamiento?"),
        ("en", "🙂🙂🙂"),
        ("en", "dying to see you all at thanksgiving lol"),
    ],
)
def test_c10_what_no_one_understands_reaches_a_person_within_four_waking_hours(office, language, words):
    office.accept(patient={"language": language}, series=TOMORROW)
    office.text(words)
    open_kinds = office.kinds()
    assert open_kinds in (["reply"], ["crisis"])  # never less than a person
    assert event_words(office, open_kinds[0]) == [words]
    (task,) = office.tasks()
    assert task.due_at - task.opened_at <= timedelta(hours=4)


@on_sqlite
@pytest.mark.parametrize(
    "saturday", [datetime(2026, 12, 6, 0, 0, tzinfo=UTC), datetime(2026, 12, 5, 23, 30, tzinfo=UTC)]
)
def test_c10_four_waking_hours_run_on_weekends_too(office, saturday):
    office.accept(series=TOMORROW)
    office.travel(saturday)  # 19:00 and 18:30 on a Saturday in New York
    office.text("is there parking")
    (task,) = office.tasks("reply")
    left = datetime(2026, 12, 6, 1, 0, tzinfo=UTC) - saturday
    assert abs(task.due_at - (datetime(2026, 12, 6, 14, 0, tzinfo=UTC) + timedelta(hours=4) - left)) < JUST


def test_c10_one_answer_in_twenty_four_hours_and_every_text_to_a_person(office):
    office.accept(series=TOMORROW)
    for hour, words in [(0, "is there parking"), (1, "hm"), (23, "and a lift"), (25, "one more thing")]:
        office.travel(NOW + timedelta(hours=hour))
        office.text(words)
    assert office.answers() == ["unknown", "unknown"]
    assert event_words(office, "reply") == ["is there parking", "hm", "and a lift", "one more thing"]


@on_sqlite
@pytest.mark.parametrize(("words", "media"), [("", 0), ("   ", 0), ("", 2), ("\0", 1)])
def test_c10_an_empty_text_and_pictures_alone_reach_a_person(office, words, media):
    office.accept(series=TOMORROW)
    office.text(words, media=media)
    assert office.kinds() == ["reply"]
    (kept,) = office.context.database.read(lambda tx: tx.all(sa.select(schema.replies.c.media)))
    assert kept.media == media


def test_r08_every_text_ends_in_an_answer_or_a_task(office):
    office.remind()
    said = ["C", "thanks", "R", "HELP", "help", "who is this", "hm", "yes", "i used", "STOP", "hello", "START", "C", ""]
    for minute, words in enumerate(said):
        office.travel(LATER + timedelta(minutes=minute))
        office.text(words)
    send(office.context)
    replies = office.context.database.read(lambda tx: tx.all(sa.select(schema.replies)))
    answered = {
        row.reply_id for row in office.context.database.read(lambda tx: tx.all(sa.select(schema.texts.c.reply_id)))
    }
    to_a_person = {
        row.reply_id
        for row in office.context.database.read(lambda tx: tx.all(sa.select(schema.task_events.c.reply_id)))
    }
    assert len(replies) == len(said)
    readings = office.context.database.read(
        lambda tx: store.replies.readings_of(tx, {one.id: one.reading_sealed for one in replies})
    )
    silent = [readings[row.id].meaning for row in replies if row.id not in answered | to_a_person]
    assert set(silent) <= {"start", "yes", "confirm"}  # Twilio has answered it; that visit is confirmed
    assert confirmed(office) == 1
    assert not any(text.state == "scheduled" for text in office.texts())


# Phones of several people, and of people who died


def test_two_patients_on_one_phone_are_both_named_and_each_hears_their_own_visit(office):
    office.accept(1, series=TOMORROW)
    office.accept(2, series=[one_off("b", "2026-12-08T15:00:00", leads=["1d@17:00"])])
    office.travel(LATER)
    assert send(office.context).accepted == 1
    office.text("C")
    assert confirmed(office) == 1
    office.text("we will both come by bus")
    (task,) = office.tasks("reply")
    assert task.patients == ("MRN-1", "MRN-2")


def end_by_death(office, ref="DC-1"):
    changes.set_plan_status(office.context, ref, "ended", clock.now(), who="test", because="died")


@on_sqlite
@pytest.mark.parametrize("words", ["hello?", "C", "R", "HELP", "STOP", "START", "who is this", "i used last night"])
def test_what_comes_from_the_phone_of_a_patient_who_died_is_the_supervisors_and_is_not_answered(office, words):
    office.accept(series=TOMORROW)
    end_by_death(office)
    office.text(words)
    assert office.kinds() == ["supervisor"]
    assert office.answers() == []
    assert office.pager.called() == []
    office.travel(LATER)
    send(office.context)
    assert [who for who, _ in office.screen() if who == "us"] == []


def test_danger_on_the_phone_of_a_patient_who_died_pages(office):
    office.accept(series=TOMORROW)
    end_by_death(office)
    office.text("i want to die too")
    (task,) = office.tasks("supervisor")
    assert task.urgency == "urgent"
    assert office.pager.called() == ["First"]
    assert office.answers() == []


def test_who_shares_a_phone_with_a_patient_who_died_is_heard(office):
    office.accept(1, series=TOMORROW)
    office.accept(2, series=TOMORROW)
    end_by_death(office)
    office.travel(LATER)
    assert send(office.context).accepted == 1
    office.text("C")
    assert confirmed(office) == 1
    office.text("i want to die")
    assert any("988" in body for body in office.received())
    assert office.kinds() == ["crisis"]


def test_a_supporter_of_a_patient_who_died_hears_nothing_more(office):
    office.accept(series=[TOMORROW[0] | {"for": ["self", "sister"]}], recipients=[supporter()])
    end_by_death(office)
    office.travel(LATER)
    send(office.context)
    office.text("what is this about", SISTER)
    send(office.context)
    assert office.received(SISTER) == []
    assert office.kinds() == ["supervisor"]


# Urgent texts do not wait


def test_c3_what_someone_waits_for_goes_with_the_webhook_and_the_rest_with_the_worker(office):
    office.remind()
    for number, (words, at_once) in enumerate(
        [("i want to die", True), ("i used last night", True), ("HELP", True), ("is there parking", False)]
    ):
        shown = len(office.received())
        office.hear(InboundText(f"SM{number:032d}", PHONE, "+15005550006", words, None))
        assert (len(office.received()) > shown) is at_once, words
    send(office.context)
    assert "988" in office.received()[-1]


def test_c13_the_record_of_a_crisis_names_the_rule_that_fired(office):
    office.accept(series=TOMORROW)
    office.text("i want to die")
    (reply,) = office.context.database.read(lambda tx: tx.all(sa.select(schema.replies)))
    reading = office.context.database.read(lambda tx: store.replies.readings_of(tx, {reply.id: reply.reading_sealed}))[
        reply.id
    ]
    assert reading.meaning == "crisis"
    assert reading.rules
    assert reply.lexicon
    (task,) = office.tasks("crisis")
    assert [event.rules for event in office.story(task.id) if event.what == "a text came"] == [reading.rules]
