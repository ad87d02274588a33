# ruff: file-ignore[ambiguous-unicode-character-string]  look-alike letters are what is tested
"""From typed text to the intended words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders.conversation.meaning import _lexicon
from reminders.conversation.spelling import Spelling, plain_words

SPELLING = _lexicon().spelling
typed = st.one_of(st.text(), st.text(st.sampled_from("aeiklmnorstuwy01345@$!*' .\u0301\u200b🙏"), max_size=60))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("I'm gonna", "i am going to"),
        ("I’ll can't WON'T", "i will can not will not"),
        ("ill", "ill"),
        ("od'd", "overdosed"),
        ("k i l l m e", "kill me"),
        ("r u i n d", "r you i n d"),
        ("k i l l  m y s e l f", "kill myself"),
        ("k.i.l.l", "kill"),
        ("r u ok", "r you ok"),
        ("k1ll su1cide m4tarme h3lp", "kill suicide matarme help"),
        ("k!ll myself!ok", "kill myself ok"),
        ("su*cide", "suicide"),
        ("dieeee yesss nooo stopppp", "die yes no stop"),
        ("apointment tommorow confrim", "appointment tomorrow confirm"),
        ("iwanttodie stoptexting", "i want to die stop texting"),
        ("3pm 4th 10h 2nd", "3pm 4th 10h 2nd"),
        ("¿Dónde está, mañana?", "donde esta manana"),
        ("cancer hills battle homeless mourning", "cancer hills battle homeless mourning"),
        ("Bratislava Wolfeschlegelstein", "bratislava wolfeschlegelstein"),
        ("привет שלום", "привет שלום"),
        ("", ""),
        ("🙏🙏 !!! '", ""),
    ],
)  # fmt: skip
def test_what_was_typed_is_read_as_it_was_meant(text, words):
    assert " ".join(SPELLING.words(text)) == words


@given(typed)
def test_words_that_were_read_are_read_the_same_again(text):
    words = SPELLING.words(text)
    assert SPELLING.words(" ".join(words)) == words


plain = st.lists(
    st.sampled_from(sorted(word for word in SPELLING._words if len(word) > 2 and word.isalpha())), max_size=8
)


@given(plain, st.sampled_from([str.upper, str.title, str.capitalize]))
def test_case_does_not_matter(words, style):
    text = " ".join(words)
    assert SPELLING.words(style(text)) == SPELLING.words(text)


@given(plain, st.sampled_from([".", ", ", "  ", "!\n", " 🙏 ", " - ", "…", "\u00a0", " \x00 "]))
def test_punctuation_spaces_and_emoji_between_words_do_not_matter(words, between):
    assert SPELLING.words(between.join(words)) == SPELLING.words(" ".join(words))


@given(plain, st.sampled_from(["\u0301", "\u200b", "\u200d", "\u00ad", "\u2060"]), st.integers(1, 3))
def test_accents_and_invisible_characters_do_not_matter(words, mark, place):
    marked = [word[:place] + mark + word[place:] for word in words]
    assert SPELLING.words(" ".join(marked)) == SPELLING.words(" ".join(words))


@given(st.sampled_from(sorted(word for word in SPELLING._correct if len(word) > 6)), st.data())
def test_c11_one_slip_of_the_thumb_in_a_long_word_is_mended(word, data):
    place = data.draw(st.integers(1, len(word) - 2))
    slipped = data.draw(
        st.sampled_from(
            [
                word[:place] + word[place + 1 :],
                word[:place] + "x" + word[place:],
                word[:place] + word[place + 1] + word[place] + word[place + 2 :],
            ]
        )
    )
    if slipped not in SPELLING._right:
        read = SPELLING.words(slipped)
        assert read in ([word], SPELLING.words(slipped.replace("x", ""))) or read[0] in SPELLING._correct


def test_a_short_word_is_left_alone():
    assert Spelling(["die", "used"], {}, correct=["used"], join=[], ordinary=[]).words("dye usd duse") == [
        "dye",
        "usd",
        "duse",
    ]


@given(st.text())
def test_plain_words_only_fold(text):
    assert plain_words(plain_words(text)) == plain_words(text)
