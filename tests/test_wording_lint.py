# ruff: file-ignore[ambiguous-unicode-character-string]  look-alike letters are what is tested
import tomllib
from importlib import resources

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reminders.wording import check_alias, languages, samples, telling_words
from reminders.wording.lint import _compile

LISTED = tomllib.loads(resources.files("reminders.wording").joinpath("telling_words.toml").read_text(encoding="utf-8"))
WORDS = sorted({word for language in LISTED["words"].values() for word in language})
BODIES = [rendered.body for language in sorted(languages()) for rendered in samples(language)]
ACCENTED = str.maketrans("aeioun", "áéíóúñ")

# W-2 itself, a form of each entry.
W_2 = [
    "rehab",
    "detox",
    "recovery",
    "recovering",
    "sober",
    "sobriety",
    "clean",
    "addict",
    "addiction",
    "substance",
    "drugs",
    "alcoholism",
    "cocaine",
    "opioid",
    "heroin",
    "relapse",
    "treatment",
    "therapist",
    "therapy",
    "counselor",
    "counselling",
    "clinic",
    "clinical",
    "suboxone",
    "methadone",
    "buprenorphine",
    "naltrexone",
    "12-step",
    "step",
    "sponsor",
    "serenity",
    "alano",
    "urine",
    "screen",
    "test",
    "probation",
    "court",
    "mental",
    "behavioral",
    "psychiatry",
    "psiquiatra",
    "psicóloga",
    "drogas",
    "adicción",
    "adicto",
    "terapia",
    "tratamiento",
    "sobriedad",
    "recaída",
    "recaer",
    "clínica",
    "alcohólicos",
    "junta",
]


@pytest.mark.parametrize("word", W_2)
def test_w2_every_word_of_the_rule_tells(word):
    assert telling_words(f"See you at the {word}, 9:00am.")
    assert telling_words(f"{word.upper()} 9:00am")


@pytest.mark.parametrize("word", ["IOP", "PHP", "MAT", "AA", "NA", "CA", "SMART", "UDS"])
def test_w2_abbreviations_tell_in_capitals_only(word):
    assert telling_words(f"Your {word} visit") == (word,)
    assert telling_words(f"Your {word.lower()} visit") == ()
    assert telling_words(f"Your {word.title()} visit") == ()
    assert telling_words(f"Your {'.'.join(word)}. visit") == (".".join(word),)
    assert telling_words(f"Your X{word} visit, {word}X") == ()


@pytest.mark.parametrize(
    "text",
    [
        "Please call us. Reply C to confirm or R for a new time. Reply STOP to end texts.",
        "Questions? Call 202-555-0100 at the latest. Contest, stepping, smart, Mathews, naan, ca",
        "Her niece, su sobrina, un dato adicional, please recall the attestation, cleaner, courtesy, drogueria",
        "Mr. Aaron Napier, Camden, Iowa",
        "mañana, mar 15 dic, 9:00am",
        "",
    ],
)
def test_w2_innocent_words_do_not_tell(text):
    assert telling_words(text) == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Rehab_center", ("rehab",)),
        ("2rehab4", ("rehab",)),
        ("re\u00adhab", ("rehab",)),
        ("re\u200bhab", ("rehab",)),
        ("ＲＥＨＡＢ", ("rehab",)),
        ("rèháb", ("rehab",)),
        ("reha\u0301b", ("rehab",)),
        ("Al Anon, AlAnon, al-anon", ("al anon", "alanon", "al-anon")),
        ("12 Step, 12-step, twelve  steps", ("12 step", "12-step", "twelve  steps")),
        ("the detox clinic and the clinic again, NA", ("detox", "clinic", "NA")),
    ],
)
def test_w2_simple_disguises_do_not_hide_a_word(text, words):
    assert telling_words(text) == words


def forms(entry):
    """An entry as someone might write it: with an ending, in capitals, with accents, with a space for its hyphen."""
    ends = st.sampled_from(["", "s", "ing", "ción"]) if entry.endswith("*") else st.just("")
    styles = st.sampled_from([str.upper, str.title, str.lower, lambda word: word.translate(ACCENTED)])
    gaps = st.sampled_from(["-", " ", ""])
    return st.builds(lambda end, style, gap: style(entry.removesuffix("*").replace("-", gap) + end), ends, styles, gaps)


telling = st.sampled_from(WORDS).flatmap(forms) | st.sampled_from(LISTED["abbreviations"])
edge = st.sampled_from([" ", ", ", ". ", "\n", "_", "¿", "/", "7 ", "-"])


@given(telling, st.text(), st.text(), edge, edge)
def test_w2_a_telling_word_is_found_between_any_two_texts(word, before, after, left, right):
    assert telling_words(before + left + word + right + after)


@given(telling, st.sampled_from(BODIES), st.data())
def test_w2_a_telling_word_is_found_at_any_word_boundary_of_our_texts(word, body, data):
    boundaries = [at for at, character in enumerate(body) if character == " "]
    at = data.draw(st.sampled_from([*boundaries, len(body)]))
    assert telling_words(f"{body[:at]} {word}{body[at:]}")
    assert telling_words(body) == ()


@given(st.text())
def test_w2_the_lint_reads_anything_and_every_word_it_names_tells_by_itself(text):
    for word in telling_words(text):
        assert telling_words(word)


@given(st.from_regex(r"[a-z]{1,12}", fullmatch=True), st.sampled_from(WORDS))
def test_w2_only_words_of_the_list_tell(word, entry):
    assume(not any(word.startswith(listed.rstrip("*").replace("-", "")) for listed in WORDS))
    assert telling_words(word) == ()
    assert telling_words(f"x{entry.removesuffix('*').partition('-')[0]}") == ()


def test_w2_every_catalog_has_telling_words_of_its_own_language():
    assert languages() <= LISTED["words"].keys()


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"version": "1", "abbreviations": ["AA"]},
        LISTED | {"abbreviations": []},
        LISTED | {"words": {}},
        LISTED | {"words": ["rehab"]},
        LISTED | {"words": {"en": []}},
        LISTED | {"words": {"en": "rehab"}},
        LISTED | {"words": {"en": ["rehab", "Détox"]}},
        LISTED | {"words": {"en": ["re*hab"]}},
        LISTED | {"words": {"en": [""]}},
        LISTED | {"abbreviations": ["aa"]},
        LISTED | {"extra": 1},
    ],
)
def test_w2_a_list_that_is_empty_or_broken_is_an_error_and_never_nothing_found(broken):
    with pytest.raises(ValueError, match=r"telling_words\.toml"):
        _compile(broken)


@pytest.mark.parametrize("alias", ["Oak Street Office", "Dr. Lee's Office", "Mt. Williams Annex", "Peña", "A"])
def test_l43_a_neutral_alias_is_fine(alias):
    assert check_alias(alias) == []


@pytest.mark.parametrize(
    ("alias", "problem"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        (" Oak", "space"),
        ("Oak\nStreet", "one line"),
        ("Oak Street Office 12", "longer than 18"),
        ("[Oak Street Off.]", "counts as two"),
        ("Oficina Sánchez", "'á'"),
        ("Oak\u200bStreet", r"'\u200b'"),
        ("Oak Detox", "detox"),
        ("Clínica Roble", "clinica"),
        ("Oak AA", "AA"),
    ],
)
def test_l43_an_alias_is_short_plain_and_neutral(alias, problem):
    assert any(problem in found for found in check_alias(alias)), check_alias(alias)


def test_an_alias_has_every_problem_told_at_once():
    assert len(check_alias(" Clínica de Rehabilitación\n")) == 5
