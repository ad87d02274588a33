import re
import tomllib
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders.sms.codes import _known, _read, look_up

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
    ("code", "class_", "who", "tried_again"),
    [
        (0, "retry", "ops", True),
        (20003, "account", "ops", True),
        (20429, "volume", "nobody", True),
        (21211, "number", "coordinator", False),
        (21610, "opted_out", "coordinator", False),
        (21606, "sender", "ops", True),
        (30003, "retry", "coordinator", True),
        (30004, "number", "coordinator", False),
        (30005, "number", "coordinator", False),
        (30006, "number", "coordinator", False),
        (30007, "message", "ops", False),
        (30008, "retry", "coordinator", True),
        (30034, "sender", "ops", False),
        (30500, "retry", "nobody", True),
    ],
)
def test_the_codes_that_matter_most(code, class_, who, tried_again):
    entry = look_up(code)
    assert (entry.code, entry.class_, entry.who, entry.retry_after is not None) == (code, class_, who, tried_again)


def test_a_number_that_said_no_or_cannot_be_reached_is_never_tried_again():
    for entry in _known().values():
        if entry.class_ in {"number", "opted_out", "unknown"}:
            assert entry.retry_after is None, entry.code


def test_a_429_waits_ten_seconds_at_most_the_first_time():
    assert look_up(20429).retry_after <= 10


def test_a_connection_that_carried_nothing_is_tried_while_the_window_is_open():
    assert look_up(0).tries is None
    assert look_up(0).docs is None


def test_the_page_about_a_code_is_twilios():
    assert look_up(30003).docs == "https://www.twilio.com/docs/api/errors/30003"


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
    assert entry.class_ == "unknown"
    assert entry.retry_after is None
    assert entry.who == ("coordinator" if 30_000 <= code <= 39_999 else "ops")


GOOD = {"codes": [1], "class": "number", "meaning": "A.", "we_do": "B.", "you_do": "C.", "who": "ops"}


def test_a_sound_entry_is_read():
    assert _read({"entry": [GOOD | {"retry_after": 5, "tries": 2}]})[1].tries == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"class": "other"},
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
