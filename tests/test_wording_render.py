"""What a reader sees: the whole text at named moments, and properties at any moment."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders import plans
from reminders.plans.walltime import zones
from reminders.wording import Rendered, Unsayable, Visit, reminder, telling_words
from reminders.wording.segments import segments

NEW_YORK, CHICAGO, LONDON = "America/New_York", "America/Chicago", "Europe/London"
SHANGHAI, LORD_HOWE, KATHMANDU = "Asia/Shanghai", "Australia/Lord_Howe", "Asia/Kathmandu"
MONDAY_5PM = datetime(2026, 12, 14, 22, 0, tzinfo=UTC)  # in New York


def visit(*wall, zone=NEW_YORK, meeting=False, asks=False):
    at = datetime(*wall)
    return Visit(wall=at, zone=zone, starts_at=plans.to_instant(at, zone), meeting=meeting, asks=asks)


def say(*visits, language="en", alias="Oak Street Office", phone="+12025550100", zone=NEW_YORK, now=MONDAY_5PM):
    return reminder(visits, language=language, alias=alias, phone=phone, reader_zone=zone, now=now)


@pytest.mark.parametrize(
    ("language", "asks", "day", "template", "body"),
    [
        (
            "en", True, 17, "reminder_ahead_ask",
            (
                "Oak Street Office: You have a visit Thu Dec 17, 10:30am. Reply C to confirm, R for a new time, "
                "STOP to end texts. Questions? 202-555-0100"
            ),
        ),
        (
            "en", False, 15, "reminder_tomorrow",
            (
                "Oak Street Office: We hope to see you tomorrow, Tue Dec 15, 10:30am. If you need a new time, call "
                "202-555-0100. Reply STOP to end texts."
            ),
        ),
        (
            "en", True, 14, "reminder_today_ask",
            (
                "Oak Street Office: Your visit is today, Mon Dec 14, 10:30am. Reply C to confirm, R for a new time, "
                "STOP to end texts. Running late? 202-555-0100"
            ),
        ),
        (
            "es-MX", False, 17, "reminder_ahead",
            (
                "Oak Street Office: Su cita es el jue 17 dic, 10:30am. Si prefiere otra fecha, llame al 202-555-0100. "
                "Responda STOP para no recibir."
            ),
        ),
        (
            "es", True, 15, "reminder_tomorrow_ask",
            (
                "Oak Street Office: Le esperamos mañana, mar 15 dic, 10:30am. C para confirmar, R para otra fecha, "
                "STOP para no recibir mensajes. Tel. 202-555-0100"
            ),
        ),
        (
            "es", False, 14, "reminder_today",
            (
                "Oak Street Office: Su cita es hoy, lun 14 dic, 10:30am. Si se le hace tarde o no puede, llame al "
                "202-555-0100. STOP para no recibir mensajes."
            ),
        ),
    ],
)  # fmt: skip
def test_w4_one_visit_is_told_by_how_far_ahead_it_is(language, asks, day, template, body):
    now = datetime(2026, 12, 14, 13, 0, tzinfo=UTC)
    found = say(visit(2026, 12, day, 10, 30, asks=asks), language=language, now=now)
    assert found == Rendered(template, language[:2], body, "GSM-7", 1)


@pytest.mark.parametrize(
    ("hour", "minute", "english", "spanish"),
    [
        (9, 0, "9:00am", "9:00am"),
        (11, 59, "11:59am", "11:59am"),
        (12, 0, "12:00 noon", "12:00 de la tarde"),
        (12, 1, "12:01pm", "12:01pm"),
        (13, 5, "1:05pm", "1:05pm"),
        (23, 59, "11:59pm", "11:59pm"),
        (0, 1, "12:01am", "12:01am"),
        (0, 0, "12:00am (midnight)", "12:00am (medianoche)"),
    ],
)
def test_w4_noon_and_midnight_cannot_be_taken_for_each_other(hour, minute, english, spanish):
    at = visit(2026, 12, 17, hour, minute)
    assert f"Thu Dec 17, {english}. " in say(at).body
    assert f"jue 17 dic, {spanish}. " in say(at, language="es").body


def test_w4_midnight_is_never_tomorrow():
    """At 5pm "tomorrow at midnight" is tonight to one and tomorrow night to another."""
    assert "You have a visit Tue Dec 15, 12:00am (midnight)." in say(visit(2026, 12, 15, 0, 0)).body


def test_w4_seconds_are_not_told():
    assert "Dec 17, 3:00pm." in say(visit(2026, 12, 17, 15, 0, 59)).body


def test_the_same_text_says_tomorrow_before_midnight_and_today_after_it():
    morning = visit(2026, 12, 15, 9, 0)
    midnight = datetime(2026, 12, 15, 5, 0, tzinfo=UTC)
    assert "tomorrow, Tue Dec 15, 9:00am" in say(morning, now=midnight - timedelta(microseconds=1)).body
    assert "today, Tue Dec 15, 9:00am" in say(morning, now=midnight).body


def test_two_times_a_day_and_three_are_listed_earliest_first():
    three = [visit(2026, 12, 15, 14, 0), visit(2026, 12, 15, 9, 0, asks=True), visit(2026, 12, 15, 11, 0)]
    assert say(*three).template == "reminder_several"
    assert "Your appointments tomorrow, Tue Dec 15: 9:00am, 11:00am and 2:00pm. " in say(*three).body
    assert "Your appointments tomorrow, Tue Dec 15: 9:00am and 2:00pm. " in say(*three[:2]).body
    assert "Sus citas, mañana, mar 15 dic: 9:00am, 11:00am y 2:00pm. " in say(*three, language="es").body


def test_more_than_three_are_counted_and_the_first_is_told():
    four = [visit(2026, 12, 17, hour, 0) for hour in (16, 14, 9, 11)]
    assert say(*four).template == "reminder_many"
    assert "You have 4 appointments Thu Dec 17. First one: 9:00am. " in say(*four).body
    assert "Tiene 4 citas, jue 17 dic. La primera: 9:00am. " in say(*four, language="es").body


def test_two_visits_at_one_time_are_two_appointments_at_that_time():
    assert "Your appointments Thu Dec 17: 9:00am. " in say(visit(2026, 12, 17, 9, 0), visit(2026, 12, 17, 9, 0)).body


def test_s2_a_meeting_is_told_as_what_was_asked_for():
    one, two = (visit(2026, 12, 15, hour, 0, meeting=True, asks=True) for hour in (12, 19))
    assert say(one).template == "reminder_meeting"
    assert "As you asked, a reminder: tomorrow, Tue Dec 15, 12:00 noon. " in say(one).body
    assert "As you asked, a reminder: tomorrow, Tue Dec 15: 12:00 noon and 7:00pm. " in say(two, one).body
    assert say(one, one, two, two).template == "reminder_many_meetings"
    assert "un aviso: mañana, mar 15 dic, 7:00pm" in say(two, language="es").body


def test_meetings_among_visits_are_appointments_like_the_rest():
    mixed = [visit(2026, 12, 15, 9, 0), visit(2026, 12, 15, 19, 0, meeting=True)]
    assert say(*mixed).template == "reminder_several"
    assert "meeting" not in say(*mixed).body


@pytest.mark.parametrize(
    ("place", "reader", "told"),
    [
        (NEW_YORK, NEW_YORK, "tomorrow, Tue Dec 15, 9:00am. "),
        (NEW_YORK, "America/Toronto", "tomorrow, Tue Dec 15, 9:00am. "),
        (NEW_YORK, CHICAGO, " Tue Dec 15, 9:00am EST. "),
        (CHICAGO, NEW_YORK, " Tue Dec 15, 9:00am CST. "),
        ("America/Phoenix", NEW_YORK, " Tue Dec 15, 9:00am MST. "),
        (LONDON, NEW_YORK, " Tue Dec 15, 9:00am GMT. "),
        (LORD_HOWE, NEW_YORK, " Tue Dec 15, 9:00am UTC+11. "),
        (KATHMANDU, NEW_YORK, " Tue Dec 15, 9:00am UTC+5:45. "),
        ("America/Sao_Paulo", NEW_YORK, " Tue Dec 15, 9:00am UTC-3. "),
        (SHANGHAI, CHICAGO, " Tue Dec 15, 9:00am UTC+8. "),  # its CST is not Chicago's
        (SHANGHAI, NEW_YORK, " Tue Dec 15, 9:00am UTC+8. "),
        ("Asia/Manila", "America/Los_Angeles", " Tue Dec 15, 9:00am UTC+8. "),
        ("Asia/Kolkata", "Asia/Karachi", " Tue Dec 15, 9:00am IST. "),
    ],
)
def test_a_place_in_another_zone_is_told_with_its_zone_and_without_tomorrow(place, reader, told):
    assert (
        told in say(visit(2026, 12, 15, 9, 0, zone=place), zone=reader, now=datetime(2026, 12, 14, 19, tzinfo=UTC)).body
    )


def test_the_letters_that_two_zones_share_are_not_used_between_them():
    assert "9:00am UTC+1. " in say(visit(2026, 6, 15, 9, 0, zone="Europe/Dublin"), zone="Asia/Kolkata").body


def test_clocks_that_agree_only_in_winter_are_judged_at_the_start_of_the_visit():
    """Phoenix has no summer time: it is Denver's time in December and Los Angeles' in July."""
    winter, summer = (visit(2026, month, 15, 9, 0, zone="America/Phoenix") for month in (12, 7))
    assert " Tue Dec 15, 9:00am. " in say(winter, zone="America/Denver").body.replace("tomorrow,", "")
    assert (
        " Wed Jul 15, 9:00am MST. "
        in say(summer, zone="America/Denver", now=datetime(2026, 7, 14, 19, tzinfo=UTC)).body
    )


def test_several_visits_elsewhere_name_the_zone_once_and_each_if_they_differ():
    east, later = visit(2026, 12, 15, 9, 0), visit(2026, 12, 15, 14, 0)
    west = visit(2026, 12, 15, 9, 0, zone="America/Denver")
    assert "Tue Dec 15: 9:00am and 2:00pm EST. " in say(east, later, zone=CHICAGO).body
    assert "Tue Dec 15: 9:00am EST, 9:00am MST and 2:00pm EST. " in say(east, later, west, zone=CHICAGO).body


def test_a_time_that_clocks_skip_is_told_as_the_first_valid_minute():
    assert "Sun Mar 8, 3:00am. " in say(visit(2026, 3, 8, 2, 30)).body


def test_the_agreed_wall_clock_beats_an_instant_that_was_derived_from_older_zone_rules():
    stale = Visit(datetime(2026, 12, 17, 9, 0), NEW_YORK, datetime(2026, 12, 17, 13, 0, tzinfo=UTC), False, False)
    assert "Thu Dec 17, 9:00am. " in say(stale).body


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("+12025550100", "202-555-0100"),
        ("+15005550006", "500-555-0006"),
        ("+442079460958", "+44 20 7946 0958"),
        ("+999555010", "+999555010"),
    ],
)
def test_the_phone_is_written_as_people_read_it(phone, shown):
    assert f"call {shown}. " in say(visit(2026, 12, 17, 9, 0), phone=phone).body


@pytest.mark.parametrize("language", ["tlh", "", "fr-CA"])
def test_w5_a_language_without_texts_is_not_sent_in_another(language):
    with pytest.raises(Unsayable) as refused:
        say(visit(2026, 12, 17, 9, 0), language=language)
    assert (refused.value.reason, refused.value.words) == ("no_wording", ())


@pytest.mark.parametrize(
    ("alias", "words"), [("Oak Detox", ("detox",)), ("Clínica NA", ("clinica", "NA")), ("Sober{alias}", ("sober",))]
)
def test_w2_a_telling_alias_stops_the_text_and_the_words_are_named(alias, words):
    with pytest.raises(Unsayable) as refused:
        say(visit(2026, 12, 17, 9, 0), alias=alias)
    assert (refused.value.reason, refused.value.words) == ("lint", words)
    assert str(refused.value) == f"lint: {', '.join(words)}"


@pytest.mark.parametrize("alias", ["x" * 80, "Oficina Sánchez"])
def test_w3_what_does_not_fit_one_segment_is_not_sent(alias):
    with pytest.raises(Unsayable, match="no_wording"):
        say(visit(2026, 12, 17, 9, 0), alias=alias)


def test_w3_times_that_do_not_fit_are_counted_instead():
    three = [
        visit(2026, 12, 15, 12, 0, zone=zone) for zone in ("Asia/Kathmandu", "Australia/Adelaide", "Pacific/Marquesas")
    ]
    found = say(*three, alias="Mt. Williams Annex", language="es")
    assert (found.template, found.segments) == ("reminder_many", 1)
    assert "Tiene 3 citas, mar 15 dic. La primera: 12:00 de la tarde ACDT. " in found.body


def test_visits_on_several_days_of_a_week_are_counted_and_the_first_is_named():
    said = say(visit(2026, 12, 17, 9, 0), visit(2026, 12, 18, 9, 0))
    assert said.template == "reminder_week"
    assert "2 appointments this week" in said.body
    assert "9:00am" in said.body


def test_visits_a_week_apart_have_no_wording():
    with pytest.raises(Unsayable, match="no_wording"):
        say(visit(2026, 12, 17, 9, 0), visit(2026, 12, 24, 9, 0))


def test_no_visits_at_all_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="at least one visit"):
        say()


def test_braces_in_a_value_stay_braces():
    assert say(visit(2026, 12, 17, 9, 0), alias="{phone}{0}{}").body.startswith("{phone}{0}{}: You have a visit ")


def test_a_text_does_not_show_in_a_log_line():
    assert "visit" not in repr(say(visit(2026, 12, 17, 9, 0)))


any_zone = st.sampled_from(sorted(zones()))
any_moment = st.datetimes(datetime(2001, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC))
any_wall = st.datetimes(datetime(2001, 1, 1), datetime(2199, 1, 1)) | st.sampled_from(
    [
        datetime(2026, 3, 8, 2, 30),
        datetime(2026, 11, 1, 1, 30),
        datetime(2026, 10, 4, 2, 15),
        datetime(2011, 12, 30, 15, 0),
        datetime(2026, 12, 14, 0, 0),
        datetime(2026, 12, 14, 12, 0),
    ]
)
gsm = st.text(st.sampled_from("ABCDEFGHIJ abcdefghijklmnopqrstuvwxyz.'&0123456789ñé"), min_size=1, max_size=18)


@st.composite
def days_of_visits(draw):
    day = draw(any_wall)
    starts = [day, *draw(st.lists(st.times().map(lambda at: datetime.combine(day.date(), at)), max_size=5))]
    yes = st.booleans()
    return [visit(*at.timetuple()[:6], zone=draw(any_zone), meeting=draw(yes), asks=draw(yes)) for at in starts]


@given(days_of_visits(), st.sampled_from(["en", "es"]), any_zone, any_moment, gsm)
def test_w3_what_is_rendered_is_one_neutral_segment_and_nothing_else_is_ever_raised(visits, language, zone, now, alias):
    try:
        found = say(*visits, language=language, zone=zone, now=now, alias=alias)
    except Unsayable as unsayable:
        refused = unsayable
    else:
        refused = None
    if refused is not None:
        # One day of one zone always has words, unless the alias tells.
        several_zones = len({visit.zone for visit in visits}) > 1
        assert several_zones if refused.reason == "no_wording" else refused.words == telling_words(alias)
    else:
        length = segments(found.body)
        assert (length.encoding, length.count) == (found.encoding, found.segments) == ("GSM-7", 1)
        assert telling_words(found.body) == ()
        assert found.body.startswith(f"{alias}: ")
        assert "202-555-0100" in found.body
        assert "STOP" in found.body


@given(any_wall, any_zone, any_zone, st.integers(0, 90 * 24 * 60), st.sampled_from(["en", "es"]))
def test_today_and_tomorrow_are_true_on_the_readers_clock(wall, place, reader, minutes_ahead, language):
    at = visit(*wall.timetuple()[:5], zone=place)
    now = at.starts_at - timedelta(minutes=minutes_ahead)
    body = say(at, language=language, zone=reader, now=now).body
    there, here = plans.to_wall(at.starts_at, place), plans.to_wall(at.starts_at, reader)
    days = (here.date() - plans.to_wall(now, reader).date()).days
    near = there == here and (there.hour, there.minute) != (0, 0)
    today, tomorrow = {"en": ("today, ", "tomorrow, "), "es": ("hoy, ", "mañana, ")}[language]
    assert (today in body) is (near and days == 0)
    assert (tomorrow in body) is (near and days == 1)


@given(st.permutations([visit(2026, 12, 15, hour, 0, asks=hour == 9) for hour in (9, 11, 14, 16)]), st.integers(2, 4))
def test_the_order_in_which_visits_come_does_not_matter(visits, some):
    some_of_them = visits[:some]
    assert say(*some_of_them) == say(*sorted(some_of_them, key=lambda each: each.starts_at))
