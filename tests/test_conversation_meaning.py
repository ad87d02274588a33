# ruff: file-ignore[ambiguous-unicode-character-string]  look-alike letters are what is tested
import time
import tomllib
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders.conversation import Meaning, understand
from reminders.conversation.meaning import _compile

LISTED = tomllib.loads(resources.files("reminders.conversation").joinpath("opt_words.toml").read_text(encoding="utf-8"))
STOP_WORDS = [word for words in LISTED["stop"].values() for word in words]
START_WORDS = [word for words in LISTED["start"].values() for word in words]

TWILIO_BLOCKS_ON = [
    "STOP",
    "UNSUBSCRIBE",
    "END",
    "QUIT",
    "STOPALL",
    "REVOKE",
    "OPTOUT",
    "CANCEL",
    "ARRET",
    "ARRETE",
    "ARRETT",
]
L_12 = [
    *["stop", "stopall", "quit", "end", "revoke", "optout", "cancel", "unsubscribe", "remove", "arret"],
    *("stop all", "opt out"),
    *["alto", "parar", "pare", "basta", "cancelar", "baja", "salir"],
    *("no mas", "no más"),
]


@pytest.mark.parametrize("word", [*L_12, *TWILIO_BLOCKS_ON])
def test_l12_every_opt_out_word_of_the_law_twilio_and_the_networks_is_stop(word):
    assert understand(word) is Meaning.STOP
    assert understand(word.upper() + ".") is Meaning.STOP


@pytest.mark.parametrize(
    "text",
    [
        "Stop.", "STOP 🙏", "stop!!!", "  Stop\n", '"STOP"', "¡No más!", "NO   MÁS", "opt-out", "Stop all.", "🛑 stop",
        "stop stop STOP", "Stop. Cancel.", "PLEASE STOP", "ＳＴＯＰ", "st\u00adop", "stop\u200d", "STOP ℹ️", "stop 1️⃣",
        "por favor, pare", "Sto\u0301p",
    ],
)  # fmt: skip
def test_l12_case_accents_punctuation_spaces_and_emoji_do_not_matter(text):
    assert understand(text) is Meaning.STOP


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "🙏", "C", "R", "Y", "HELP", "s t o p", "stopp", "nonstop", "cancel my visit on Tuesday",
        "can I end at 5?", "The bus stop is closed", "dont stop", "stop 4", "start stop", "no", "mas", "gracias",
    ],
)  # fmt: skip
def test_l12_a_word_inside_a_message_is_not_the_message(text):
    assert understand(text) is Meaning.OTHER


@pytest.mark.parametrize("text", ["START", "start.", "Unstop!", "  sTaRt 🙂", "START START"])
def test_l17_start_and_unstop_begin_again(text):
    assert understand(text) is Meaning.START


@pytest.mark.parametrize("text", ["YES", "yes", "Y", "Si", "Sí", "ok", "subscribe", "restart", "start now please"])
def test_l17_nothing_else_lifts_a_stop_not_even_yes(text):
    assert understand(text) is Meaning.OTHER


@given(st.text())
def test_any_text_has_a_meaning(text):
    assert understand(text) in Meaning


decoration = st.text(st.sampled_from(" .,!?¡¿'\"-_*()\n\t🙏🛑❤\u200d\u00ad…"), max_size=6)


@given(st.sampled_from(STOP_WORDS), decoration, decoration, st.sampled_from([str.upper, str.title, str.lower]))
def test_l12_an_opt_out_word_in_any_dress_is_stop(word, before, after, style):
    assert understand(before + style(word) + after) is Meaning.STOP


@given(st.sampled_from(STOP_WORDS + START_WORDS), st.from_regex(r"[a-z]{1,8}", fullmatch=True))
def test_l12_an_opt_word_with_more_letters_is_no_opt_word(word, more):
    longer = word + more
    assert understand(longer) is (Meaning.STOP if longer in STOP_WORDS else Meaning.OTHER)


def test_a_message_made_to_be_slow_is_not():
    started = time.perf_counter()
    for text in ("stop please " * 130 + "x", "no mas " * 220 + "no", "opt out " * 200 + "opt", "a\ufe0f" * 800):
        assert understand(text) is Meaning.OTHER
    assert time.perf_counter() - started < 1


def test_stop_and_start_share_no_word():
    assert not set(STOP_WORDS) & set(START_WORDS)


@pytest.mark.parametrize("bad", [[], ["Stop"], ["no más"], ["stop  all"], ["stop*"], [""]])
def test_words_that_no_message_could_equal_are_an_error(bad):
    with pytest.raises(ValueError, match=r"opt_words\.toml: stop"):
        _compile(LISTED | {"stop": {"law": bad}})
