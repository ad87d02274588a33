"""The corpus gives the meanings of its labels, and docs/replies.md has its true figures."""

from collections import Counter
from pathlib import Path

from corpus_table import FIRST_TIME, phrases, table

REPLIES = (Path(__file__).parents[1] / "docs" / "replies.md").read_text(encoding="utf-8")
PHRASES = list(phrases())


# Each in one test for all phrases: there are too many for a test each, and what fails is named.


def test_c10_every_phrase_of_the_corpus_means_what_its_label_says():
    understood = [(phrase, phrase.understood()) for phrase in PHRASES if not phrase.missed]
    wrong = [(one.text, said) for one, said in understood if not one.met_by(frozenset(said.meanings))]
    assert not wrong, "\n".join(map(str, wrong))


def test_c10_a_known_miss_still_reaches_a_person_and_is_still_missed():
    found = [(one, frozenset(one.understood().meanings)) for one in PHRASES if one.missed]
    assert found
    no_longer = [one.text for one, meanings in found if one.met_by(meanings)]
    assert not no_longer, "no longer missed: move it among the texts"
    assert not [one.text for one, meanings in found if meanings not in ({"other"}, {"possible"})]


def test_the_corpus_is_large_bilingual_and_names_no_phrase_twice():
    counts = Counter((phrase.text, phrase.language, phrase.asked) for phrase in PHRASES)
    assert not [text for text, count in counts.items() if count > 1]
    assert len(PHRASES) >= 450
    assert sum(phrase.language == "es" for phrase in PHRASES) >= 150
    assert len([phrase for phrase in PHRASES if phrase.missed]) < len(PHRASES) / 50


def test_the_first_measurement_counts_the_held_out_phrases():
    held_out = Counter(meaning for phrase in PHRASES if phrase.held_out for meaning in phrase.means)
    assert held_out == {meaning: total for meaning, (_, total) in FIRST_TIME.items()}
    assert all(found <= total for found, total in FIRST_TIME.values())


def test_the_table_in_the_docs_is_what_the_corpus_gives():
    assert table() in REPLIES, "run `python -m tests.corpus_table` and put the table into docs/replies.md"
