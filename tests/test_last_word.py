"""The last opt-out or START decides, by the time when Twilio got it, however late and on whatever path it reaches us
(L-12, L-15, L-17); a wrong number undoes neither.
"""

from datetime import timedelta

import pytest
from conftest import NOW
from oncall import PHONE, SENDER
from test_rules_law import GOING, STOPPED, TOMORROW, an_office

from reminders import clock, store
from reminders.service.people import consents, phone_numbers, reader_case
from reminders.service.replies import inbound
from reminders.sms import InboundText

NO_MORE = "please don't text me any more"
WRONG = "wrong number"
BOTH = f"{WRONG}, {NO_MORE}"
LOST = "lost: "  # its webhook never comes; we find it in Twilio's list in the end
VOICEMAIL, RIGHT = "by voicemail", "staff says the number is right"  # what staff do
YES = {
    "said": "yes",
    "on": "2026-11-30",
    "how": "phone",
    "by": "A. Reyes",
    "categories": ["appointments"],
    "warned_of_risk": True,
}
LIVES = (  # what happens one minute after another; whether the number is stopped in the end, and whether it is wrong
    ((LOST + "STOP", WRONG), True, True),  # seed 476 of the simulation
    ((LOST + NO_MORE, WRONG), True, True),
    ((LOST + WRONG, "STOP"), True, True),
    ((LOST + WRONG, "START"), False, True),
    (("STOP", LOST + "START", WRONG), False, True),
    ((BOTH,), True, True),
    ((BOTH, RIGHT), True, False),
    ((WRONG, BOTH, RIGHT), True, False),
    ((LOST + BOTH, "START"), False, True),
    ((LOST + WRONG, WRONG, RIGHT), False, False),
    (("STOP", LOST + "START", VOICEMAIL), True, False),
    ((LOST + "START", VOICEMAIL), True, False),
    ((VOICEMAIL, LOST + "START"), False, False),
    ((LOST + "START", LOST + "STOP"), True, False),
    ((LOST + "STOP", LOST + "START"), False, False),
)


def phone_of(person):
    return f"+120255501{person:02}"


def happens(office, person, what):
    now, whom = clock.now(), reader_case.Whom(f"MRN-{person}")
    if what == VOICEMAIL:
        consents.record_opt_out(office.context, whom, now, how="voicemail", received_at=now, by="A. Reyes", who="test")
    elif what == RIGHT:
        phone_numbers.mark_wrong(office.context, whom, now, who="test", wrong=False)
    else:
        text = office.text(what.removeprefix(LOST), phone_of(person), heard=False)
        if not what.startswith(LOST):
            inbound.take_in(office.context, text, now)


@pytest.fixture
def office(database_url, tmp_path, travel, twilio):
    opened = an_office(database_url, tmp_path, travel, twilio)
    opened.accept(1, series=TOMORROW)
    yield opened
    opened.close()


def test_l17_the_last_word_holds_whatever_was_heard_first(office):
    for person, (life, *_) in enumerate(LIVES, 50):
        if {VOICEMAIL, RIGHT} & set(life):  # staff know them
            office.accept(person, phone_of(person), series=TOMORROW)
    for minute in range(3):
        office.travel(NOW + timedelta(minutes=minute))
        for person, (life, *_) in enumerate(LIVES, 50):
            if minute < len(life):
                happens(office, person, life[minute])
    office.travel(NOW + timedelta(minutes=4))
    office.brought()
    ends = []
    for person, (life, *_) in enumerate(LIVES, 50):
        number = office.number(phone_of(person))
        ends.append((life, number.opted_out_at is not None, number.wrong_since is not None))
    assert ends == list(LIVES)


def test_l17_a_new_consent_lifts_no_stop_that_was_sent_before_staff_wrote_theirs_down(office):
    office.text("STOP", heard=False)
    office.travel(NOW + timedelta(minutes=1))
    now, whom = clock.now(), reader_case.Whom("MRN-1")
    consents.record_opt_out(office.context, whom, now, how="voicemail", received_at=NOW, by="A. Reyes", who="test")
    office.travel(NOW + timedelta(minutes=2))
    office.brought()
    consents.record_consent(office.context, whom, YES, clock.now(), who="test")
    assert office.number().opted_out_at is not None
    assert office.states() == STOPPED


@pytest.mark.parametrize(("known", "found"), [("START", "STOP"), ("STOP", "START")])
@pytest.mark.parametrize("later", [0, 60])
def test_l17_twilios_times_are_compared_to_the_second_and_in_one_second_the_no_holds(office, known, found, later):
    """Our clock is ten minutes behind Twilio's: every text in the list is in its future."""
    at = NOW + timedelta(minutes=10)
    heard = inbound.take_in(office.context, InboundText("SM1", PHONE, SENDER, known, None), NOW)
    assert heard.fresh
    office.context.database.write(lambda tx: store.replies.set_sent_at(tx, sent={"SM1": at}))  # as the list says
    late = InboundText("SM2", PHONE, SENDER, found, None, sent_at=at + timedelta(seconds=later))
    inbound.take_in(office.context, late, NOW + timedelta(minutes=2), heard_by="list")
    assert (office.number().opted_out_at is not None) is (found == "STOP" or later == 0)


@pytest.mark.parametrize("last", ["STOP", "START"])
def test_l17_a_webhook_that_overtakes_another_does_not_make_the_earlier_word_the_last(office, last):
    """Seed 2921 of the simulation: a START's webhook took longer than that of the STOP after it."""
    first = "START" if last == "STOP" else "STOP"
    if last == "STOP":
        office.text("STOP")
    office.travel(NOW + timedelta(minutes=1))
    earlier = office.text(first, heard=False)
    office.travel(NOW + timedelta(minutes=1, seconds=5))
    office.text(last)
    office.hear(earlier)
    office.travel(NOW + timedelta(minutes=2))
    office.brought()
    assert (office.number().opted_out_at is not None) is (last == "STOP")
    assert office.states() == (STOPPED if last == "STOP" else GOING)
    office.travel(NOW + timedelta(minutes=3))
    assert office.brought() == []


def test_l17_a_start_that_was_overtaken_lifts_no_no_of_staff(office):
    earlier = office.text("STOP", heard=False)
    office.travel(NOW + timedelta(seconds=5))
    office.text("START")
    now = clock.now()
    consents.record_opt_out(
        office.context, reader_case.Whom("MRN-1"), now, how="voicemail", received_at=now, by="A. Reyes", who="test"
    )
    office.hear(earlier)
    office.travel(NOW + timedelta(minutes=1))
    office.brought()
    assert office.number().opted_out_at is not None
