import re
import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders.sms.codes import _known, _read, look_up, tries_spent

# Every code of the table the service was designed on (docs/twilio.md 3), ranges split.
EXPECTED = {
    0, 10001, 20003, 20005, 20009, 20404, 20429, 20500, 20503,
    21211, 21212, 21265, 21266, 21268, 21408,
    *range(21601, 21607), 21608, 21609, 21610, 21611, 21612, 21614, 21617, 21618, 21619, 21624, 21635,
    *range(21654, 21657), *range(21659, 21662), *range(21701, 21706),
    *range(30001, 30011), *range(30017, 30028), 30029, 30030, *range(30032, 30039),
    30409, 30410, *range(30440, 30451), 30500,
    60728, 63017, 63038, 90007,
} - {30028}  # fmt: skip

CLASSES = {"retry", "number", "opted_out", "account", "sender", "volume", "message", "unknown"}


def test_every_code_of_the_table_is_there():
    assert set(_known()) == EXPECTED
    assert len(EXPECTED) >= 60


@pytest.mark.parametrize(
    ("code", "who", "number", "rests_sender", "pages_ops", "our_fault", "spends_try", "tried_again"),
    [
        (0, "ops", None, 5, False, True, False, True),
        (20003, "ops", None, 60, True, True, False, True),
        (20429, "no one", None, 5, False, False, False, True),
        (20500, "no one", None, None, False, False, True, False),
        (21211, "coordinator", "bad", None, False, False, True, False),
        (21408, "ops", None, None, False, True, True, True),
        (21610, "coordinator", "opted_out", None, False, False, True, False),
        (21606, "ops", None, 60, True, True, False, True),
        (30001, "ops", None, 5, False, False, False, True),
        (30002, "ops", None, 60, True, True, False, True),
        (30003, "coordinator", None, None, False, False, True, True),
        (30004, "coordinator", "bad", None, False, False, True, False),
        (30005, "coordinator", "bad", None, False, False, True, False),
        (30006, "coordinator", "bad", None, False, False, True, False),
        (30007, "ops", None, None, False, False, True, False),
        (30008, "coordinator", None, None, False, False, True, True),
        (30022, "ops", None, 5, False, False, False, True),
        (30023, "ops", None, None, False, False, False, True),
        (30034, "ops", None, 60, True, True, False, False),
        (30500, "no one", None, None, False, False, True, True),
    ],
)
def test_finding_5_the_codes_that_matter_most_say_all_that_they_lead_to(
    code, who, number, rests_sender, pages_ops, our_fault, spends_try, tried_again
):
    entry = look_up(code)
    assert (entry.code, entry.who, entry.number) == (code, who, number)
    assert (entry.rests_sender, entry.pages_ops, entry.our_fault) == (rests_sender, pages_ops, our_fault)
    assert (entry.spends_try, entry.retry_after is not None) == (spends_try, tried_again)


def test_a_number_that_said_no_or_cannot_be_reached_is_never_tried_again():
    for entry in _known().values():
        if entry.number:
            assert entry.retry_after is None, entry.code


def test_a_429_waits_ten_seconds_at_most_the_first_time():
    assert look_up(20429).retry_after <= 10


def test_a_connection_that_carried_nothing_is_tried_while_the_window_is_open():
    assert look_up(0).tries is None
    assert look_up(0).docs is None


def test_the_page_about_a_code_is_twilios():
    assert look_up(30003).docs == "https://www.twilio.com/docs/api/errors/30003"


def test_decision_11_only_what_reached_the_patient_spends_a_try():
    not_taken, passed_on = ("refused", 20429), ("accepted", 30022)
    assert tries_spent([not_taken, ("refused", 0), ("refused", None), passed_on, ("accepted", 30002)]) == 0
    assert tries_spent([passed_on, ("accepted", 30003), ("accepted", None), ("unknown", None), ("accepted", 0)]) == 4


def test_sentences_are_short_and_free_of_jargon():
    jargon = re.compile(
        r"\b(API|E\.164|MSISDN|handset|payload|HTTP|SMS|patient|client|treatment|A2P|10DLC)\b", re.IGNORECASE
    )
    for entry in _known().values():
        for text in (entry.meaning, entry.we_do, entry.you_do):
            assert len(text) <= 140, (entry.code, text)
            assert not jargon.search(text), (entry.code, text)


def test_one_code_has_one_entry_and_one_story():
    stories = [
        entry["meaning"] for entry in tomllib.loads(files("reminders.sms").joinpath("codes.toml").read_text())["entry"]
    ]
    assert len(stories) == len(set(stories))


@given(st.integers().filter(lambda code: code not in EXPECTED))
def test_an_unknown_code_is_for_a_person_and_never_retried(code):
    entry = look_up(code)
    assert entry.code == code
    assert (entry.class_, entry.number, entry.rests_sender, entry.pages_ops) == ("unknown", None, None, False)
    assert entry.retry_after is None
    assert entry.who == ("coordinator" if 30_000 <= code <= 39_999 else "ops")


GOOD = {"codes": [1], "class": "number", "meaning": "A.", "we_do": "B.", "you_do": "C.", "who": "ops"}


def test_a_sound_entry_is_read():
    assert _read({"entry": [GOOD | {"retry_after": 5, "tries": 2}]})[1].tries == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"class": "other"},
        {"number": "other"},
        {"number": "bad", "retry_after": 5},
        {"number": "bad", "rests_sender": 5, "spends_try": False},
        {"rests_sender": 5},
        {"rests_sender": 0, "spends_try": False},
        {"pages_ops": True},
        {"spends_try": "no"},
        {"spends_try": False, "retry_after": 5, "tries": 2},
        {"who": "patient"},
        {"meaning": ""},
        {"we_do": "no full stop"},
        {"you_do": 7},
        {"retry_after": 0},
        {"retry_after": 5, "tries": 1},
        {"tries": 2},
        {"colour": "red"},
        {"codes": [1, 1]},
    ],
)
def test_a_wrong_entry_stops_the_load_and_is_named(wrong):
    with pytest.raises(ValueError, match=r"codes\.toml: 1: "):
        _read({"entry": [GOOD | wrong]})
