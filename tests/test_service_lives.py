"""People's lives: new numbers, consents and their end, an opt-out at the desk, family, a birthday, typed texts."""

from datetime import UTC, date, datetime, timedelta

import pytest
from conftest import NOW, logged, open_context, send
from people import document, one_off
from sqlalchemy import select

from reminders import queries
from reminders.plans import PlanRefused, to_instant
from reminders.service import planning
from reminders.service.people import consents, patient_status, phone_numbers, staff_texts, supporters
from reminders.service.people.reader_case import Refused, Whom
from reminders.service.planning import changes, watch
from reminders.service.replies import inbound
from reminders.sms import InboundText
from reminders.store.database import schema
from reminders.store.planning.texts import Changes

ZONE = "America/New_York"
OLD_PHONE, NEW_PHONE, HER_PHONE = "+12025550143", "+12025550150", "+12025550144"
SOON = NOW + timedelta(minutes=1)
JORDAN = Whom("MRN-1")
SISTER = Whom("MRN-1", "sister")
YES = {
    "said": "yes",
    "on": "2026-11-30",
    "how": "signed form",
    "by": "A. Reyes",
    "categories": ["appointments"],
    "warned_of_risk": True,
}
HERS = {"said": "yes", "on": "2026-11-29", "how": "signed form", "by": "A. Reyes", "categories": ["family"]}
HER = {
    "key": "sister",
    "role": "supporter",
    "phone": "202-555-0144",
    "language": "es",
    "part2_consent_on": "2026-11-29",
    "consent": HERS | {"verified": "read aloud"},
}
FAMILY = one_off("family", "2026-12-04T15:00:00", kind="family_session")


def wall(text: str) -> datetime:
    return to_instant(datetime.fromisoformat(text), ZONE).astimezone(UTC)


def accept(context, now=NOW, **more):
    return planning.accept(context, document(**more), now, who="test")


def bodies(twilio, phone) -> list[str]:
    return [one.body for one in twilio.created(phone)]


def goes(context, **wanted) -> list[tuple[str, str]]:
    return [(text.key, text.to[-4:]) for text in logged(context, state="scheduled", **wanted)]


def open_kinds(context) -> list[str]:
    return sorted(task.kind for task in queries.tasks.list_tasks(context.database))


def number(context, phone):
    def look(tx):
        return tx.first(select(schema.numbers).where(schema.numbers.c.fingerprint == tx.fingerprint(phone)))

    return context.database.read(look)


@pytest.fixture
def welcoming(database_url, tmp_path, travel, twilio):
    """A house that sends the welcome and asks for a Y, on the pretend Twilio."""
    opened = open_context(
        database_url,
        tmp_path,
        sending__welcome="true",
        twilio__api_base_url=twilio.url,
        twilio__deadline_seconds="2",
        sending__lease_seconds="20",
        sending__settle_seconds="10",
    )
    yield opened
    opened.close()


# A new number (L-50).


def test_l50_with_a_new_number_the_old_one_gets_nothing_more_and_the_new_one_its_welcome(welcoming, twilio, travel):
    accept(welcoming)
    send(welcoming)
    assert len(bodies(twilio, OLD_PHONE)) == 1  # the welcome
    done = phone_numbers.new_number(welcoming, JORDAN, "(202) 555-0150", NOW, who="test", consent=YES)
    assert (done.texts.added > 0, done.texts.retracted > 0) == (True, True)
    assert any("not verified" in note for note in done.notes)
    assert {to for _, to in goes(welcoming)} == {"0150"}
    travel(NOW + timedelta(minutes=1))
    send(welcoming)
    assert "Reply Y to get visit texts" in bodies(twilio, NEW_PHONE)[0]
    phone_numbers.verify(welcoming, JORDAN, "read aloud", NOW + timedelta(minutes=2), who="test")
    travel(wall("2026-12-02T17:01"))
    send(welcoming)
    assert "tomorrow, Thu Dec 3" in bodies(twilio, NEW_PHONE)[1]
    assert len(bodies(twilio, OLD_PHONE)) == 1


def test_l50_without_a_consent_of_its_own_the_new_number_gets_nothing_and_there_is_a_task(line, twilio, travel):
    accept(line)
    done = phone_numbers.new_number(line, JORDAN, "202 555 0150", NOW, who="test")
    assert done.texts == Changes(retracted=3)
    assert any("no consent" in note for note in done.notes)
    assert goes(line) == []
    assert open_kinds(line) == ["no_consent"]
    watch.look(line, NOW)
    assert open_kinds(line).count("no_consent") == 1  # the watch job uses the same key
    travel(wall("2026-12-02T17:01"))
    assert send(line).accepted == 0
    # An edit of the plan's file has the old number, so it gives the new one no consent.
    accept(line, series=[one_off("therapy", "2026-12-03T16:00:00")])
    assert goes(line) == []
    consents.record_consent(line, JORDAN, YES | {"verified": "read aloud"}, NOW, who="test")
    assert {to for _, to in goes(line)} == {"0150"}
    assert "no_consent" not in open_kinds(line)


def test_a_notice_on_its_way_follows_to_the_new_number(line, twilio, travel):
    accept(line)
    now = NOW + timedelta(minutes=20)
    travel(now)
    changes.change_visit(line, "DC-1", "therapy", date(2026, 12, 3), now, who="test", to=datetime(2026, 12, 4, 11, 0))
    phone_numbers.new_number(line, JORDAN, "202-555-0150", now, who="test", consent=YES | {"verified": "read aloud"})
    send(line)
    assert bodies(twilio, OLD_PHONE) == []
    assert "moved from Thu Dec 3" in bodies(twilio, NEW_PHONE)[0]


def test_a_text_that_was_tried_does_not_follow_and_does_not_go_to_the_old_number(line, twilio, travel):
    accept(line)
    travel(wall("2026-11-30T17:01"))
    twilio.rule(fault="too_many", times=1)
    send(line)
    (tried,) = [text for text in logged(line, state="scheduled") if text.attempts]
    now = wall("2026-11-30T17:01") + timedelta(seconds=5)
    phone_numbers.new_number(line, JORDAN, "202-555-0150", now, who="test", consent=YES | {"verified": "read aloud"})
    assert next(text.state for text in logged(line) if text.text == tried.text) == "cancelled"


def test_what_went_to_the_old_number_takes_no_days_reminder_on_the_new_one(line, travel):
    accept(
        line,
        series=[
            one_off("therapy", "2026-12-03T15:00:00", leads=["1d@17:00"]),
            one_off("check", "2026-12-04T09:30:00", leads=["1d@17:00"]),
        ],
    )
    travel(wall("2026-12-02T17:01"))
    assert send(line).accepted == 1
    now = wall("2026-12-03T08:00")
    phone_numbers.new_number(line, JORDAN, "202-555-0150", now, who="test", consent=YES | {"verified": "read aloud"})
    (next_one,) = [text for text in logged(line) if text.key == "day:2026-12-04:1d@17:00"]
    assert (next_one.state, next_one.reason) == ("scheduled", None)


def test_others_on_the_old_number_keep_their_texts(context):
    accept(context)
    accept(
        context,
        plan={"ref": "DC-2"},
        patient={"ref": "MRN-2"},
        series=[one_off("other", "2026-12-08T15:00:00", leads=["1d@17:00"])],
    )
    phone_numbers.new_number(context, JORDAN, "202-555-0150", NOW, who="test", consent=YES | {"verified": "read aloud"})
    assert {to for _, to in goes(context, patient="MRN-2")} == {"0143"}
    assert {to for _, to in goes(context, patient="MRN-1")} == {"0150"}


@pytest.mark.parametrize(
    ("phone", "consent", "where"),
    [
        ("12", None, "number.phone"),
        ("202-555-0150 x12", None, "number.phone"),
        ("202-555-0150", {"said": "yes"}, "consent.on"),
        ("202-555-0150", YES | {"categories": ["everything"]}, "consent.categories[0]"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place_and_changes_nothing(context, phone, consent, where):
    accept(context)
    before = logged(context)
    with pytest.raises(PlanRefused) as refusal:
        phone_numbers.new_number(context, JORDAN, phone, NOW, who="test", consent=consent)
    assert where in {problem.where for problem in refusal.value.problems}
    assert phone not in str(refusal.value)
    assert logged(context) == before


def test_who_is_not_there_is_not_found(context):
    accept(context)
    assert phone_numbers.new_number(context, Whom("MRN-9"), "202-555-0150", NOW, who="test") is None
    assert phone_numbers.verify(context, Whom("MRN-1", "brother"), "read aloud", NOW, who="test") is None
    assert patient_status.show(context, Whom("MRN-1", site="north"), NOW, who="test") is None
    with pytest.raises(Refused, match="their number already"):
        phone_numbers.new_number(context, JORDAN, "+1 202 555 0143", NOW, who="test")


def test_a_change_of_number_is_on_record_sealed_by_the_patients_key(context):
    accept(context)
    phone_numbers.new_number(context, JORDAN, "202-555-0150", NOW, who="A. Reyes")
    rows = context.database.read(lambda tx: tx.all(select(schema.audit).where(schema.audit.c.what == "number changed")))
    assert [(row.who, row.table, row.before_sealed[:1]) for row in rows] == [("A. Reyes", "recipients", b"\x02")]


# Verification (L-39).


def test_l39_read_aloud_verifies_and_closes_the_task(welcoming):
    accept(welcoming, consent={"verified": None})
    watch.look(welcoming, NOW)
    assert "unverified" in open_kinds(welcoming)
    assert {key.split(":")[0] for key, _ in goes(welcoming)} == {"welcome"}
    done = phone_numbers.verify(welcoming, JORDAN, "read aloud", NOW, who="test")
    assert done.texts.added == 3
    assert "unverified" not in open_kinds(welcoming)
    phone_numbers.mark_wrong(welcoming, JORDAN, NOW, who="test")
    with pytest.raises(Refused, match="wrong"):
        phone_numbers.verify(welcoming, JORDAN, "read aloud", NOW, who="test")


# An opt-out that did not come by text (L-15), and a new consent (L-17).


def opt_out(context, now=NOW, received_at=NOW, whom=JORDAN):
    return consents.record_opt_out(
        context, whom, now, how="voicemail", received_at=received_at, by="A. Reyes", who="test"
    )


def test_l15_a_no_at_the_front_desk_works_like_a_stop(line, twilio, travel):
    accept(line)
    done = opt_out(line)
    assert done.texts == Changes(retracted=3)
    assert done.honour_by == date(2026, 12, 14)
    assert {text.reason for text in logged(line, state="suppressed")} == {"opted_out"}
    travel(wall("2026-12-02T17:01"))
    assert send(line).accepted == 0
    assert twilio.created() == []  # no confirmation: no one texted
    accept(line, series=[one_off("therapy", "2026-12-05T15:00:00")])
    assert goes(line) == []


def test_l11_the_last_day_of_the_law_is_shown_and_that_it_has_passed(context):
    accept(context)
    done = opt_out(context, received_at=wall("2026-11-02T12:00"))
    assert done.honour_by == date(2026, 11, 17)
    assert any("privacy officer" in note for note in done.notes)
    with pytest.raises(Refused, match="lies ahead"):
        opt_out(context, received_at=NOW + timedelta(hours=1))


def test_l16_it_holds_for_everybody_on_the_number(context):
    accept(context)
    accept(context, plan={"ref": "DC-2"}, patient={"ref": "MRN-2"})
    assert any("others" in note for note in opt_out(context).notes)
    assert goes(context) == []


def test_l17_a_new_consent_opens_what_staff_closed(context):
    accept(context)
    opt_out(context)
    done = consents.record_consent(context, JORDAN, YES, NOW + timedelta(hours=1), who="test")
    assert done.texts.added == 3
    assert number(context, OLD_PHONE).opted_out_at is None


def test_l17_no_consent_lifts_a_stop_that_came_from_the_phone(line, monkeypatch):
    accept(line)
    hear(line, monkeypatch, "stop")
    done = consents.record_consent(line, JORDAN, YES, NOW + timedelta(hours=1), who="test")
    assert any("START comes from that phone" in note for note in done.notes)
    assert number(line, OLD_PHONE).opted_out_at is not None
    assert [key for key, _ in goes(line) if key.startswith("day:")] == []


def test_l17_nor_one_that_the_phone_sent_after_staff_wrote_it_down(line, monkeypatch):
    accept(line)
    opt_out(line)
    hear(line, monkeypatch, "stop")
    consents.record_consent(line, JORDAN, YES, NOW + timedelta(hours=1), who="test")
    assert number(line, OLD_PHONE).opted_out_at is not None


def hear(context, monkeypatch, meaning):
    from reminders.conversation import Meaning, Understood

    monkeypatch.setattr(
        inbound.conversation, "understand", lambda *_, **__: Understood((Meaning(meaning),), ("test",), "test")
    )
    inbound.take_in(context, InboundText("SM" + "1" * 32, OLD_PHONE, "+15005550006", meaning, None), SOON)


def test_consents_are_appended_and_the_latest_holds(context):
    accept(context)
    said_no = consents.record_consent(context, JORDAN, {"said": "no", "on": "2026-11-30"}, NOW, who="test")
    assert said_no.texts == Changes(retracted=3)
    assert consents.record_consent(context, JORDAN, YES, NOW, who="test").texts == Changes(added=3)
    again = consents.record_consent(context, JORDAN, YES, NOW, who="test")
    assert (again.texts, len(again.notes)) == (Changes(), 1)
    older = consents.record_consent(
        context, JORDAN, YES | {"on": "2026-11-01", "categories": ["meetings"]}, NOW, who="test"
    )
    assert any("not in force" in note for note in older.notes)
    assert len(goes(context)) == 3
    said = context.database.read(
        lambda tx: [row.said for row in tx.all(select(schema.consents).order_by(schema.consents.c.id))]
    )
    assert said == ["yes", "no", "yes", "yes"]


def test_l38_a_yes_without_the_warning_does_not_count(context):
    accept(context, consent={"said": "no"})
    done = consents.record_consent(context, JORDAN, YES | {"warned_of_risk": False}, NOW, who="test")
    assert any("L-38" in note for note in done.notes)
    assert goes(context) == []


# Wrong numbers.


def test_staff_can_say_that_a_number_is_wrong_and_that_it_is_not(line, twilio, travel):
    accept(line)
    assert phone_numbers.mark_wrong(line, JORDAN, NOW, who="test").texts == Changes(retracted=3)
    assert open_kinds(line) == ["wrong_number"]
    with pytest.raises(Refused, match="already"):
        phone_numbers.mark_wrong(line, JORDAN, NOW, who="test")
    travel(wall("2026-12-02T17:01"))
    assert send(line).accepted == 0
    assert phone_numbers.mark_wrong(line, JORDAN, NOW, who="test", wrong=False).texts == Changes(added=3)
    assert open_kinds(line) == []
    with pytest.raises(Refused, match="not marked"):
        phone_numbers.mark_wrong(line, JORDAN, NOW, who="test", wrong=False)


def test_a_new_number_settles_what_was_to_be_done_about_the_old_one(context):
    accept(context)
    phone_numbers.mark_wrong(context, JORDAN, NOW, who="test")
    phone_numbers.new_number(context, JORDAN, "202-555-0150", NOW, who="test", consent=YES)
    assert open_kinds(context) == []


# Family (S-10, L-48, L-52).


def test_s10_a_sister_gets_the_family_sessions_with_both_consents(line, twilio, travel):
    accept(line, series=[FAMILY, one_off("therapy", "2026-12-08T15:00:00")])
    done = supporters.add_recipient(line, JORDAN, HER, NOW, who="test")
    assert done.texts.added == 3
    travel(wall("2026-12-03T17:01"))
    send(line)
    assert "4 de dic" in bodies(twilio, HER_PHONE)[0] or "4 dic" in bodies(twilio, HER_PHONE)[0]
    assert not [key for key, to in goes(line) if to == "0144" and "2026-12-08" in key]
    with pytest.raises(Refused, match="already"):
        supporters.add_recipient(line, JORDAN, HER, NOW, who="test")


def test_who_was_added_here_stays_when_the_plans_file_comes_again_and_when_time_passes(context):
    accept(context, series=[FAMILY])
    supporters.add_recipient(context, JORDAN, HER, NOW, who="test")
    accept(context, series=[FAMILY | {"starts": "2026-12-05T15:00:00"}])
    assert len([key for key, to in goes(context) if to == "0144" and "2026-12-05" in key]) == 3
    weekly = FAMILY | {"repeats": "FREQ=WEEKLY;COUNT=20"}
    accept(context, series=[weekly])
    planning.extend(context, NOW + timedelta(days=10))
    assert [key for key, to in goes(context) if to == "0144" and "2027-01-29" in key]
    # The file may remove people whom the file names.
    accept(context, series=[weekly | {"for": ["self", "sister"]}], recipients=[HER])
    accept(context, series=[weekly])
    assert not [key for key, to in goes(context) if to == "0144"]


def test_l48_nobody_is_added_without_the_patients_written_consent(context):
    accept(context, series=[FAMILY])
    for person in ({**HER, "part2_consent_on": None}, {**HER, "part2_consent_on": None, "consent": None}):
        with pytest.raises(PlanRefused, match="written consent"):
            supporters.add_recipient(context, JORDAN, person, NOW, who="test")
    without_hers = supporters.add_recipient(context, JORDAN, {**HER, "consent": None}, NOW, who="test")
    assert any("own consent" in note for note in without_hers.notes)
    assert not [key for key, to in goes(context) if to == "0144"]
    consents.record_consent(context, SISTER, HERS, NOW, who="test")
    assert [key for key, to in goes(context) if to == "0144"]


def test_what_they_are_told_of_must_be_there(context):
    accept(context)
    with pytest.raises(Refused, match="no family session"):
        supporters.add_recipient(context, JORDAN, HER, NOW, who="test")
    with pytest.raises(Refused, match="has the series group"):
        supporters.add_recipient(context, JORDAN, HER, NOW, who="test", series=["therapy", "group"])
    assert supporters.add_recipient(context, JORDAN, HER, NOW, who="test", series=["therapy"]).texts.added == 3


@pytest.mark.parametrize("by_patient", [False, True])
def test_l52_who_leaves_gets_nothing_more_at_once_and_comes_back_with_a_new_consent(line, twilio, travel, by_patient):
    accept(line, series=[FAMILY])
    supporters.add_recipient(line, JORDAN, HER, NOW, who="test")
    done = supporters.remove_recipient(line, SISTER, NOW, who="test", by_patient=by_patient)
    assert done.texts == Changes(retracted=3)
    travel(wall("2026-12-03T17:01"))
    send(line)
    assert bodies(twilio, HER_PHONE) == []
    with pytest.raises(Refused, match="no texts any more"):
        supporters.remove_recipient(line, SISTER, NOW, who="test")
    with pytest.raises(Refused, match="written consent"):
        consents.record_consent(line, SISTER, HERS | {"on": "2026-11-30"}, NOW, who="test")
    with pytest.raises(Refused, match="take it again"):
        supporters.add_recipient(line, JORDAN, HER, NOW, who="test")
    anew = HER | {"consent": HERS | {"on": "2026-11-30"}}
    supporters.add_recipient(line, JORDAN, anew, NOW, who="test")
    assert [key for key, to in goes(line) if to == "0144"]
    # Restored on the same day: it is valid again.
    supporters.remove_recipient(line, SISTER, NOW + timedelta(minutes=1), who="test", by_patient=by_patient)
    assert not [key for key, to in goes(line) if to == "0144"]
    with pytest.raises(Refused, match="this is the patient"):
        supporters.remove_recipient(line, JORDAN, NOW, who="test")


def test_l52_an_edit_of_the_plans_file_brings_nobody_back(context):
    family = FAMILY | {"for": ["self", "sister"]}
    accept(context, series=[family], recipients=[HER])
    supporters.remove_recipient(context, SISTER, NOW, who="test", by_patient=True)
    accept(context, series=[family | {"starts": "2026-12-05T15:00:00"}], recipients=[HER])
    assert not [key for key, to in goes(context) if to == "0144"]


# The 18th birthday (L-56).


YOUNG = {"patient": {"born_on": "2008-12-02"}, "consent": {"legal_basis": "minor alone, state law"}}


def test_l56_on_the_18th_birthday_consent_is_taken_anew(context):
    accept(context, **YOUNG)
    assert supporters.come_of_age(context, wall("2026-12-01T23:59")) == 0
    assert len(goes(context)) == 3
    birthday = wall("2026-12-02T00:01")
    watch.look(context, birthday)
    assert goes(context) == []
    assert "no_consent" in open_kinds(context)
    assert supporters.come_of_age(context, birthday) == 0
    accept(context, **YOUNG, series=[one_off("therapy", "2026-12-03T16:00:00")])  # the file says nothing new about it
    assert goes(context) == []
    with pytest.raises(PlanRefused, match="of age"):
        consents.record_consent(context, JORDAN, YES | {"legal_basis": "parent"}, birthday, who="test")
    consents.record_consent(context, JORDAN, YES | {"on": "2026-12-02"}, birthday, who="test")
    assert "day:2026-12-03:2h" in [key for key, _ in goes(context)]
    assert "no_consent" not in open_kinds(context)
    assert supporters.come_of_age(context, birthday + timedelta(days=1)) == 0


def test_l56_a_guardians_texts_end_with_it_and_a_supporters_go_on(context):
    guardian = HER | {"key": "mother", "role": "guardian", "phone": "202-555-0145"}
    family = FAMILY | {"for": ["self", "sister", "mother"]}
    accept(context, **YOUNG, recipients=[HER, guardian], series=[family])
    assert supporters.come_of_age(context, wall("2026-12-02T06:00")) == 2
    assert {to for _, to in goes(context)} == {"0144"}


def test_l56_what_somebody_of_age_gave_is_not_about_their_age(context):
    accept(context, patient={"born_on": "1994-05-17"}, consent={"legal_basis": "court order"})
    assert supporters.come_of_age(context, NOW) == 0


# A text that staff types.


def test_w2_what_staff_types_goes_through_the_privacy_lint(context):
    accept(context)
    for words, problem in (
        ("Your rehab group is at 3", "tells"),
        ("See https://example.test/x", "link"),
        ("  ", "is empty"),
        ("a " * 200, "too long"),
    ):
        with pytest.raises(Refused, match=problem):
            staff_texts.say(context, JORDAN, words, NOW, who="test")
    assert not any(text.class_ == "staff" for text in logged(context))


def test_a_typed_text_goes_once_in_plain_characters(line, twilio, travel):
    accept(line)
    shown = staff_texts.say(
        line, JORDAN, "We moved the chairs \u2013 come to the \u201cside door\u201d.", NOW, who="test", dry_run=True
    )
    assert (shown.text, shown.segments, shown.encoding) == (None, 1, "GSM-7")
    assert not any(text.class_ == "staff" for text in logged(line))
    typed = staff_texts.say(
        line, JORDAN, "We moved the chairs \u2013 come to the \u201cside door\u201d.", NOW, who="test"
    )
    row = next(text for text in logged(line) if text.class_ == "staff")
    assert (row.text, row.closes_at - row.opens_at) == (typed.text, timedelta(hours=4))
    assert row.key.startswith("staff:")
    send(line)
    send(line)
    assert bodies(twilio, OLD_PHONE) == ['We moved the chairs - come to the "side door".']
    sealed = line.database.read(
        lambda tx: tx.value(select(schema.audit.c.after_sealed).where(schema.audit.c.what == "text typed"))
    )
    assert sealed[:1] == b"\x02"


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (opt_out, "opted out"),
        (lambda context: consents.record_consent(context, JORDAN, {"said": "no"}, NOW, who="test"), "no consent"),
        (lambda context: phone_numbers.mark_wrong(context, JORDAN, NOW, who="test"), "cannot be reached"),
        (lambda context: changes.set_plan_status(context, "DC-1", "paused", NOW, who="test"), "no plan"),
        (lambda context: changes.set_plan_status(context, "DC-1", "ended", NOW, who="test", because="died"), "death"),
    ],
)
def test_what_may_not_go_is_refused_with_the_reason(context, prepare, why):
    accept(context)
    prepare(context)
    with pytest.raises(Refused, match=why):
        staff_texts.say(context, JORDAN, "See you soon.", NOW, who="test")


def test_l39_a_typed_text_needs_a_verified_number(welcoming):
    accept(welcoming, consent={"verified": None})
    with pytest.raises(Refused, match="not verified"):
        staff_texts.say(welcoming, JORDAN, "See you soon.", NOW, who="test")


def test_l22_a_typed_text_waits_for_the_morning_only_within_its_window(context):
    accept(context)
    with pytest.raises(Refused, match="8:00 am"):
        staff_texts.say(context, JORDAN, "See you soon.", wall("2026-11-30T22:00"), who="test")
    typed = staff_texts.say(context, JORDAN, "See you soon.", wall("2026-12-01T06:00"), who="test")
    assert typed.goes_at == wall("2026-12-01T08:00")


# What people see.


def test_a_patient_is_shown_with_who_gets_texts_and_why_not(context):
    accept(context, series=[FAMILY, one_off("therapy", "2026-12-03T15:00:00")])
    supporters.add_recipient(context, JORDAN, {**HER, "consent": None}, NOW, who="test")
    opt_out(context)
    watch.look(context, NOW)
    person = patient_status.show(context, JORDAN, NOW, who="A. Reyes")
    shown = {one.key: one for one in person.readers}
    assert shown["self"].to.endswith("0143")
    assert "202555" not in repr(person)
    assert shown["self"].opted_out_at == NOW
    assert shown["self"].why_not == "this number has opted out"
    assert shown["sister"].why_not == "there is no consent in force"
    assert [row.series_key for row in person.visits] == ["therapy", "family"]
    assert [plan.ref for plan in person.plans] == ["DC-1"]
    assert person.name == "Jordan Alvarez"
    read = context.database.read(lambda tx: tx.all(select(schema.audit).where(schema.audit.c.what == "patient read")))
    assert [(row.who, row.table) for row in read] == [("A. Reyes", "patients")]


@pytest.mark.parametrize(
    ("phone", "waiting"), [(OLD_PHONE, {"self", "sister"}), (HER_PHONE, {"sister"})], ids=["patient", "supporter"]
)
def test_c12_who_is_shown_as_waiting_is_whose_reminders_are_held(context, travel, phone, waiting):
    accept(context, series=[FAMILY])
    supporters.add_recipient(context, JORDAN, HER, NOW, who="test")
    inbound.take_in(context, InboundText("SM1", phone, "+15005550006", "I want to die", None), NOW)
    person = patient_status.show(context, JORDAN, NOW, who="test")
    assert {one.key for one in person.readers if one.waits} == waiting
    assert {one.key for one in person.readers if one.why_not is None} == {"self", "sister"}
    travel(wall("2026-12-03T15:00"))
    send(context)
    assert {text.recipient for text in logged(context) if text.held == "crisis"} == waiting


def test_l32_the_card_is_in_the_readers_language(context):
    accept(context, series=[FAMILY])
    supporters.add_recipient(context, JORDAN, HER, NOW, who="test")
    assert "STOP" in patient_status.card(context, JORDAN)
    assert "No more texts, please." in patient_status.card(context, JORDAN)
    assert "No more texts, please." not in patient_status.card(context, SISTER)
    assert patient_status.card(context, Whom("MRN-9")) is None
