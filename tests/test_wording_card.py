"""The printed card for the person to take home (issue 4, item 2)."""

import re

import pytest
from test_wording_catalog import english_syllables, spanish_syllables, words_and_sentences

from reminders.wording import Unsayable, card, card_parts, languages, telling_words
from reminders.wording.card import WIDTH

GIVEN = {
    "alias": "Mt. Williams Annex",
    "phone": "+12025550100",
    "line24": "+12025550101",
    "sender": "+15005550006",
}
every_language = pytest.mark.parametrize("language", sorted(languages()))


@every_language
def test_l31_the_card_has_the_numbers_the_replies_and_a_sample(language):
    printed = card(language=language, **GIVEN)
    assert printed.startswith("Mt. Williams Annex\n")
    assert all(number in printed for number in ("202-555-0100", "202-555-0101", "500-555-0006", "988", "911"))
    words = [word for word, _ in card_parts(language=language, **GIVEN).replies]
    assert words == ["C", "R", {"en": "HELP", "es": "AYUDA"}[language], "STOP", "START"]
    for word in words:
        assert re.search(rf"^    {word} +\S", printed, re.MULTILINE)


@every_language
def test_l31_the_sample_is_a_reminder_as_we_send_them(language):
    sample = card_parts(language=language, **GIVEN).sample
    assert sample.startswith("Mt. Williams Annex: ")
    assert "C" in sample.split()
    assert "R" in sample.split()
    assert re.sub(r"\s+", " ", sample) in re.sub(r"\s+", " ", card(language=language, **GIVEN))


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "We do not read texts right away."), ("es-MX", "No leemos los mensajes de inmediato.")],
)
def test_c1_the_card_says_that_texts_are_not_read_right_away(language, said):
    assert said in card(language=language, **GIVEN)


@pytest.mark.parametrize(("language", "said"), [("en", "Others may see the texts"), ("es", "Otra gente puede ver")])
def test_l38_the_card_says_that_others_may_see_the_texts(language, said):
    assert said in card(language=language, **GIVEN)


@every_language
def test_w2_no_word_on_the_card_tells(language):
    printed = card(language=language, **GIVEN)
    assert telling_words(printed) == ()
    too_much = r"group|grupo|patient|paciente|doctor|program|programa|care|session|sesi|http|www"
    assert not re.search(rf"\b({too_much})", printed, re.IGNORECASE)
    assert not re.search(r"[!¡]", printed)


@pytest.mark.parametrize(("alias", "words"), [("Oak Detox", ("detox",)), ("Oak AA", ("AA",))])
def test_w2_a_card_with_a_telling_alias_is_not_printed(alias, words):
    with pytest.raises(Unsayable) as refused:
        card(language="en", **(GIVEN | {"alias": alias}))
    assert (refused.value.reason, refused.value.words) == ("lint", words)


@every_language
def test_the_card_prints_on_one_page(language):
    lines = card(language=language, **GIVEN).splitlines()
    assert len(lines) < 50
    assert max(map(len, lines)) <= WIDTH


@every_language
@pytest.mark.parametrize("sender", [None, "", "MG0123456789abcdef0123456789abcdef"])
def test_where_many_numbers_send_the_card_names_none_of_them(language, sender):
    parts = card_parts(language=language, **(GIVEN | {"sender": sender}))
    assert parts.sender is None
    assert "MG" not in str(parts)
    assert "\n\n\n" not in str(parts)


def test_w5_a_language_without_texts_has_no_card():
    with pytest.raises(Unsayable, match="no_wording"):
        card(language="tlh", **GIVEN)


@every_language
def test_w4_the_card_is_as_easy_to_read_as_the_texts(language):
    parts = card_parts(language=language, **GIVEN)
    said = [parts.about, parts.sender, *(text for _, text in parts.replies), *parts.notes]
    body = " ".join(said)
    words, sentences = words_and_sentences(body)
    if language == "en":
        syllables = sum(map(english_syllables, words))
        assert 0.39 * len(words) / sentences + 11.8 * syllables / len(words) - 15.59 <= 6
    else:
        syllables = sum(map(spanish_syllables, words))
        assert 206.84 - 60 * syllables / len(words) - 1.02 * len(words) / sentences >= 80


def test_w5_the_spanish_card_says_usted():
    printed = card(language="es", **GIVEN).lower()
    assert not re.search(r"\b(tu|tus|te|ti|llama|responde|manda|puedes|tienes|quieres)\b", printed)
