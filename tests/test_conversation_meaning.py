# ruff: file-ignore[ambiguous-unicode-character-string]  look-alike letters are what is tested
import time
import tomllib
from importlib import resources

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reminders.conversation import Meaning, Understood, understand
from reminders.conversation.meaning import MOST_RULES, _compile, _lexicon

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


def meanings(text: str, language: str = "en", *, asked: bool = False) -> tuple[str, ...]:
    return tuple(meaning.value for meaning in understand(text, language, asked=asked).meanings)


# Opt-out words, and words that restart texts.


@pytest.mark.parametrize("word", [*L_12, *TWILIO_BLOCKS_ON])
def test_l12_every_opt_out_word_of_the_law_twilio_and_the_networks_is_stop(word):
    assert meanings(word) == ("stop",)
    assert meanings(word.upper() + ".") == ("stop",)


@pytest.mark.parametrize(
    "text",
    [
        "Stop.", "STOP 🙏", "stop!!!", "  Stop\n", '"STOP"', "¡No más!", "NO   MÁS", "opt-out", "Stop all.", "🛑 stop",
        "stop stop STOP", "Stop. Cancel.", "PLEASE STOP", "ＳＴＯＰ", "st\u00adop", "stop\u200d", "STOP ℹ️", "stop 1️⃣",
        "por favor, pare", "Sto\u0301p", "s t o p", "stopp", "sotp", "ST0P", "ok stop, thanks",
    ],
)  # fmt: skip
def test_l12_case_accents_punctuation_spaces_emoji_and_slips_of_the_thumb_do_not_matter(text):
    assert meanings(text) == ("stop",)


@pytest.mark.parametrize(
    "text", ["nonstop", "dont stop", "The bus stop is closed", "stop by at 3?", "end of the month", "my sister quit"]
)
def test_l12_a_word_inside_a_message_is_not_the_message(text):
    assert meanings(text) == ("other",)


@pytest.mark.parametrize(
    "text", ["cancel my visit on Tuesday", "can I end at 5?", "cancel tomorrow", "Cancelar la cita"]
)
def test_l13_an_opt_out_word_beside_a_visit_is_about_the_visit(text):
    assert meanings(text) == ("change",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("STOP i want to die", ("crisis", "stop")),
        ("stop, wrong number", ("stop", "wrong_number")),
        ("who is this stop", ("stop", "who")),
        ("stop i relapsed", ("stop", "slip")),
        ("stop, i can't make it", ("stop", "change")),
        ("cancel, i can't make it", ("change",)),
    ],
)
def test_c2_several_meanings_hold_at_once_in_their_order(text, expected):
    assert meanings(text) == expected
    assert understand(text).answer == expected[0]


@pytest.mark.parametrize("text", ["START", "start.", "Unstop!", "  sTaRt 🙂", "START START"])
def test_l17_start_and_unstop_begin_again(text):
    assert meanings(text) == ("start",)


@pytest.mark.parametrize(
    "text", ["YES", "yes", "Y", "Si", "Sí", "ok", "subscribe", "restart", "start now please", "start stop"]
)
def test_l17_nothing_else_lifts_a_stop_not_even_yes(text):
    assert "start" not in meanings(text)


def test_l10_a_person_who_says_start_and_stop_is_stopped():
    assert meanings("start stop") == ("stop_asked",)


@pytest.mark.parametrize(
    "text",
    [
        "can you stop sending the sunday one but keep the rest",
        "don't text my old number, use this one",
        "please dont text me so late",
    ],
)
def test_l10_who_wants_some_texts_otherwise_is_asked_by_a_person_and_not_stopped(text):
    assert meanings(text) == ("other",)


# Danger, and words that only sound like it.


@pytest.mark.parametrize("text", ["OD", "i od'd", "she's OD'ing", "O.D.", "overdosed", "sobredosis"])
def test_c9_overdose_words_are_words_of_their_own(text):
    assert understand(text).answer is Meaning.OVERDOSE


@pytest.mark.parametrize("text", ["my body is tired", "good food", "un modo", "that's odd"])
def test_c9_od_inside_another_word_is_nothing(text):
    assert meanings(text) == ("other",)


@pytest.mark.parametrize(
    "text",
    [
        "k i l l  myself", "k.i.l.l. m.y.s.e.l.f", "k1ll myself", "K!LL MYSELF", "kiiiill myself", "i wanttodie",
        "su1c1de", "su*cide",
        "SUICÍDAL", "suicdie", "I want to d\u200bie", "ｓｕｉｃｉｄｅ", "me quiero m4tar", "suisidio",
    ],
)  # fmt: skip
def test_c11_a_crisis_is_seen_through_spaces_leet_long_letters_and_slips_of_the_thumb(text):
    assert "crisis" in meanings(text)


@pytest.mark.parametrize("text", ["i am not suicidal", "no quiero morir", "my brother said he wants to kill himself"])
def test_c10_a_no_or_another_person_is_still_a_crisis(text):
    assert "crisis" in meanings(text)


@pytest.mark.parametrize(
    "text",
    [
        "dying to see you",
        "this traffic is killing me",
        "just killing time",
        "dead tired",
        "muerto de hambre",
        "me muero de risa",
    ],
)
def test_c10_a_figure_of_speech_reaches_a_person_and_pages_no_one(text):
    assert meanings(text) == ("other",)


@pytest.mark.parametrize(
    "text", ["this traffic is killing me and i want to die", "dying to see you. i'm going to kill myself"]
)
def test_c10_a_figure_of_speech_hides_only_itself(text):
    assert "crisis" in meanings(text)


CHATTER = [
    "",
    "hi its me again",
    "thanks for the text",
    "the bus was late today ok",
    "hola buenas tardes",
    "👍😭",
    "see you monday",
]


@given(
    st.sampled_from(CHATTER),
    st.sampled_from(
        [
            "i want to die", "im gonna kill myself", "suicidal", "end my life", "better off dead", "hurt myself",
            "no reason to live", "i have a gun", "he is going to kill me", "me quiero matar", "no quiero vivir",
            "quitarme la vida", "hacerme daño",
        ]
    ),
    st.sampled_from(CHATTER),
)  # fmt: skip
def test_c11_a_crisis_between_chatter_is_a_crisis(before, crisis, after):
    found = meanings(f"{before} {crisis} {after}")
    assert found[0] == "crisis"
    assert not {"confirm", "yes"} & set(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i haven't used", ("other",)),
        ("llevo 30 días sin tomar", ("other",)),
        ("i didn't want to but i used", ("slip",)),
        ("i used to come on mondays", ("other",)),
        ("ok i used last night", ("slip",)),
        ("i can't make it, i relapsed", ("slip", "change")),
        ("i might use tonight", ("intent",)),
        ("i drank my coffee", ("other",)),
    ],
)
def test_c9_slips_and_intent(text, expected):
    assert meanings(text) == expected


# Agreement, and the effect of the rest of the message.


@pytest.mark.parametrize(
    "text", ["C", "c thanks", "ok", "ok see you tuesday at 3", "See you then!", "Sí, ahí estaré", "confrim"]
)
def test_an_agreement_with_courtesy_and_times_confirms(text):
    assert meanings(text) == ("confirm",)


@pytest.mark.parametrize("text", ["Y", "yes", "Sí", "yes please", "si gracias"])
def test_w8_a_bare_yes_is_left_to_what_was_asked(text):
    assert meanings(text) == ("yes",)


@pytest.mark.parametrize(
    "text", ["yes but can i bring my mom", "ok but what time", "C you later alligator", "sí pero tengo una pregunta"]
)
def test_an_agreement_with_more_to_it_confirms_nothing(text):
    assert meanings(text) == ("other",)


def _says_nothing(word: str) -> bool:
    return not _lexicon().find(_lexicon().spelling.words(word))


@given(
    st.sampled_from(
        ["C", "c", "ok", "yes", "confirmed", "i'll be there", "see you then", "sí", "confirmo", "ahí estaré"]
    ),
    st.from_regex(r"[a-z]{3,9}", fullmatch=True),
    st.booleans(),
    st.booleans(),
)
def test_an_agreement_and_one_unexplained_word_confirm_nothing(agreement, word, first, asked):
    assume(_says_nothing(word))
    text = f"{word} {agreement}" if first else f"{agreement} {word}"
    assert not {"confirm", "yes"} & set(meanings(text, asked=asked)), text


@pytest.mark.parametrize(
    "other",
    ["i relapsed", "i want to die", "stop", "wrong number", "i need to reschedule", "who is this", "i might drink"],
)
def test_an_agreement_beside_anything_else_confirms_nothing(other):
    for text in (f"C {other}", f"{other}, ok", f"yes. {other}"):
        assert not {"confirm", "yes"} & set(meanings(text, asked=True)), text


def test_what_was_asked_decides_what_a_thumb_and_a_no_mean():
    assert meanings("👍") == meanings("no") == ("other",)
    assert meanings("👍", asked=True) == ("confirm",)
    assert meanings("no", asked=True) == ("change",)


def test_the_language_of_the_reader_breaks_a_tie():
    assert meanings("ya", "en-US") == ("yes",)
    assert meanings("ya", "es-MX") == ("other",)


@pytest.mark.parametrize(
    "text", ["who is this? my mother is in hospital", "wrong number, this is her sister Ana", "help my dog"]
)
def test_r08_what_is_said_beside_a_question_still_reaches_a_person(text):
    assert "other" in meanings(text)


# Any text.


def test_signs_among_letters_end_somewhere():
    for text in ("0@'|0", "@'", "a'", "$'a'!'b'", "x" * 10_000, "x!" * 5000, "\x00" * 50):
        assert understand(text).meanings


@given(
    st.one_of(st.text(), st.text(st.sampled_from("ab1@!*'| \x00\u202e🙏ıİßﬁ"), max_size=200)),
    st.text(max_size=8),
    st.booleans(),
)
def test_any_text_has_a_meaning(text, language, asked):
    found = understand(text, language, asked=asked)
    assert found.meanings
    assert len(set(found.meanings)) == len(found.meanings)
    assert list(found.meanings) == sorted(found.meanings, key=list(Meaning).index)
    assert found.answer is found.meanings[0]
    assert len(found.rules) <= MOST_RULES
    assert bool(found.rules) or found.meanings == (Meaning.OTHER,)


@given(st.text())
def test_c13_the_rules_that_fired_never_hold_the_text(text):
    known = {rule.id for rule, *_ in _lexicon()._patterns} | {"opt.stop", "opt.start", "any.confirm.thumb_up"}
    known |= {"second.crisis", "second.overdose", "second.possible"}
    assert set(understand(text).rules) <= known


def test_c13_what_was_understood_names_rules_and_version():
    assert understand("i want to die") == Understood((Meaning.CRISIS,), ("en.crisis.die",), _lexicon().version)


def test_meanings_fit_where_they_are_stored():
    assert all(len(meaning) <= 16 and meaning == meaning.lower() for meaning in Meaning)


decoration = st.text(st.sampled_from(" .,!?¡¿'\"-_*()\n\t🙏🛑❤\u200d\u00ad…"), max_size=6)


@given(st.sampled_from(STOP_WORDS), decoration, decoration, st.sampled_from([str.upper, str.title, str.lower]))
def test_l12_an_opt_out_word_in_any_dress_is_stop(word, before, after, style):
    assert meanings(before + style(word) + after) == ("stop",)


@given(st.sampled_from(START_WORDS), st.from_regex(r"[a-z]{1,8}", fullmatch=True))
def test_l17_a_start_word_with_more_letters_is_no_start_word(word, more):
    assert meanings(word + more) != ("start",)


def test_a_message_made_to_be_slow_is_not():
    understand("the lexicon is read once")
    started = time.process_time()
    for unit in (
        "stop please ",
        "no mas ",
        "a\ufe0f",
        "i want to ",
        "took a whole bunch of the my ",
        "x!",
        "k i l l ",
        "so very just ",
        "1|",
    ):
        understand((unit * 1600)[:1600])
    understand("a " * 5000)
    understand("want" * 2500)
    assert time.process_time() - started < 2


# opt_words.toml.


def test_stop_and_start_share_no_word():
    assert not set(STOP_WORDS) & set(START_WORDS)


@pytest.mark.parametrize("bad", [[], ["Stop"], ["no más"], ["stop  all"], ["stop*"], [""]])
def test_words_that_no_message_could_equal_are_an_error(bad):
    with pytest.raises(ValueError, match=r"opt_words\.toml: stop"):
        _compile(LISTED | {"stop": {"law": bad}})


def test_words_said_of_visits_must_be_opt_out_words():
    with pytest.raises(ValueError, match=r"opt_words\.toml: of_visits: not opt-out words: postpone"):
        _compile(LISTED | {"of_visits": ["postpone"]})
