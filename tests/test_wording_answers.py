"""The texts that are not reminders, as they are sent."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders import plans
from reminders.plans.walltime import zones
from reminders.wording import Rendered, Unsayable, Visit, answer, languages, telling_words
from reminders.wording.catalog import TEXTS
from reminders.wording.segments import segments

NEW_YORK, CHICAGO = "America/New_York", "America/Chicago"
MONDAY_5PM = datetime(2026, 12, 14, 22, 0, tzinfo=UTC)  # in New York
OTHERS = {"moved_from", "moved_several", "called_off_several", "closed_several"}
ANSWERS = sorted(name for name in TEXTS if not name.startswith("reminder_") and name not in OTHERS)


def visit(*wall, zone=NEW_YORK):
    at = datetime(*wall)
    return Visit(wall=at, zone=zone, starts_at=plans.to_instant(at, zone), meeting=False, asks=True)


def say(wording, *, language="en", alias="Oak Street Office", phone="+12025550100", line24="+12025550101", **more):
    return answer(wording, language=language, alias=alias, phone=phone, line24=line24, **more)


@pytest.mark.parametrize(
    ("wording", "language", "body"),
    [
        (
            "confirmed", "en",
            (
                "Oak Street Office: Thank you. We will see you tomorrow, Tue Dec 15, 10:30am. If your plans change, "
                "call 202-555-0100. Reply STOP to end texts."
            ),
        ),
        (
            "confirmed", "es-MX",
            (
                "Oak Street Office: Gracias. Le esperamos: mañana, mar 15 dic, 10:30am. Si no puede venir, llame al "
                "202-555-0100. Responda STOP para no recibir."
            ),
        ),
        (
            "called_off", "en",
            (
                "Oak Street Office: Your visit tomorrow, Tue Dec 15, 10:30am, is called off. Call 202-555-0100 to find "
                "a new time. Reply STOP to end texts."
            ),
        ),
        (
            "closed", "es",
            (
                "Oak Street Office: La oficina cierra mañana, mar 15 dic y se suspende su cita. Para otra fecha, "
                "llame al 202-555-0100. STOP para no recibir mensajes."
            ),
        ),
        (
            "welcome_ask", "en",
            (
                "Oak Street Office: Reply Y to get visit texts, up to 3 a week. Others may see them. Msg & data rates "
                "may apply. Call 202-555-0100. HELP for help, STOP to end."
            ),
        ),
        (
            "overdose", "en",
            (
                "Call 911 now, even if you are not sure. Then call or text 988, or call us: 202-555-0101. We do not "
                "read texts right away."
            ),
        ),
    ],
)  # fmt: skip
def test_an_answer_is_filled_as_a_reminder_is(wording, language, body):
    found = say(wording, language=language, per_week=3, visit=visit(2026, 12, 15, 10, 30), now=MONDAY_5PM)
    assert found == Rendered(wording, language[:2], body, "GSM-7", 1)


def test_without_the_moment_no_day_is_called_today():
    at = visit(2026, 12, 14, 18, 0)
    assert "see you Mon Dec 14, 6:00pm." in say("confirmed", visit=at).body
    assert "see you today, Mon Dec 14, 6:00pm." in say("confirmed", visit=at, now=MONDAY_5PM).body


def test_a_reader_in_another_zone_is_told_the_zone_of_the_place():
    at = visit(2026, 12, 15, 9, 0)
    assert "you Tue Dec 15, 9:00am EST." in say("confirmed", visit=at, reader_zone=CHICAGO, now=MONDAY_5PM).body


def test_a_visit_moved_to_another_day_is_told_from_which_day():
    old, new = visit(2026, 12, 15, 10, 30), visit(2026, 12, 17, 15, 0)
    english = say("moved", visit=new, was=old, now=MONDAY_5PM)
    assert english.template == "moved_from"
    assert "moved from tomorrow, Tue Dec 15 to Thu Dec 17, 3:00pm." in english.body
    spanish = say("moved", visit=new, was=old, now=MONDAY_5PM, language="es")
    assert "Su cita de mañana, mar 15 dic pasa a jue 17 dic, 3:00pm." in spanish.body


def test_a_visit_moved_within_its_day_or_from_an_unknown_one_is_told_its_new_time():
    new = visit(2026, 12, 17, 15, 0)
    for was in (None, visit(2026, 12, 17, 9, 0)):
        found = say("moved", visit=new, was=was, now=MONDAY_5PM)
        assert found.template == "moved"
        assert "Your visit has a new time: Thu Dec 17, 3:00pm." in found.body


def test_w3_the_old_day_is_left_out_where_it_does_not_fit():
    old, new = visit(2026, 12, 15, 10, 30), visit(2026, 12, 24, 0, 0, zone="Australia/Lord_Howe")
    given = {"visit": new, "was": old, "reader_zone": NEW_YORK, "now": MONDAY_5PM, "alias": "Mt. Williams Annex"}
    assert say("moved", **given).template == "moved_from"
    found = say("moved", **given, phone="+442079460958")
    assert (found.template, found.segments) == ("moved", 1)
    assert "new time: Thu Dec 24, 12:00am (midnight) UTC+11." in found.body


@pytest.mark.parametrize("wording", ["crisis", "overdose"])
@pytest.mark.parametrize("language", sorted(languages()))
def test_c3_neither_length_nor_alias_stops_the_answer_to_a_crisis(wording, language):
    line24 = "+12025550101" * 12  # no phone number is that long; whatever is set, the words are sent
    found = say(wording, language=language, alias="Oak Detox", line24=line24)
    assert (found.template, "911" in found.body, "988" in found.body) == (wording, True, True)
    assert telling_words(say(wording, language=language).body) == ()


@pytest.mark.parametrize("language", sorted(languages()))
def test_l44_stranger_answer_names_no_one(language):
    at = visit(2026, 12, 15, 10, 30)
    given = {"language": language, "visit": at, "was": at, "now": MONDAY_5PM, "reader_zone": NEW_YORK}
    bodies = {say(wording, **given).body for wording in ("stranger", "who", "wrong_number")}
    for body in bodies:
        assert body.startswith("Oak Street Office: ")
        assert not any(told in body for told in ("Dec", "dic", "10:30", "15"))


@pytest.mark.parametrize("wording", ANSWERS)
def test_w5_a_language_without_texts_is_not_answered_in_another(wording):
    with pytest.raises(Unsayable, match="no_wording"):
        say(wording, language="tlh", visit=visit(2026, 12, 15, 10, 30))


@pytest.mark.parametrize("wording", [name for name in ANSWERS if "alias" in TEXTS[name]])
def test_w2_a_telling_alias_stops_every_answer_that_is_signed(wording):
    with pytest.raises(Unsayable) as refused:
        say(wording, alias="Oak Detox", visit=visit(2026, 12, 15, 10, 30))
    assert (refused.value.reason, refused.value.words) == ("lint", ("detox",))


def test_w3_an_answer_that_does_not_fit_one_segment_is_not_sent():
    with pytest.raises(Unsayable, match="no_wording"):
        say("unknown", alias="x" * 80)


@pytest.mark.parametrize("wording", ["reminder_ahead", "reminder_week", "moved_from", "nothing", ""])
def test_only_answers_welcomes_and_notices_are_asked_for_here(wording):
    with pytest.raises(ValueError, match="no such answer"):
        say(wording, visit=visit(2026, 12, 15, 10, 30))


@pytest.mark.parametrize("wording", ["confirmed", "moved", "called_off", "closed"])
def test_a_text_that_says_a_day_needs_its_visit(wording):
    with pytest.raises(ValueError, match=f"{wording} names a day"):
        say(wording)


any_moment = st.datetimes(datetime(2001, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC))
any_wall = st.datetimes(datetime(2001, 1, 1), datetime(2199, 1, 1))
any_zone = st.sampled_from(sorted(zones()))
short_alias = st.text(st.sampled_from("BDFGHJKL bdfghjklqvwxyz.'&0123456789ñé"), min_size=1, max_size=18)


@given(
    st.sampled_from(ANSWERS), st.sampled_from(sorted(languages())), any_wall, any_wall, any_zone, any_zone, any_moment,
    short_alias, st.integers(1, 70),
)  # fmt: skip
def test_w3_any_answer_of_any_moment_is_one_neutral_segment(
    wording, language, new, old, place, reader, now, alias, per_week
):
    found = say(
        wording,
        language=language,
        alias=alias,
        per_week=per_week,
        visit=visit(*new.timetuple()[:6], zone=place),
        was=visit(*old.timetuple()[:6], zone=place),
        reader_zone=reader,
        now=now,
    )
    length = segments(found.body)
    assert (length.encoding, length.count) == (found.encoding, found.segments) == ("GSM-7", 1)
    assert telling_words(found.body) == ()
    assert "{" not in found.body
