"""What every text of every catalogue must be (W-1 … W-7), at its longest."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

import reminders
from reminders.wording import catalogue_code, languages, samples, telling_words
from reminders.wording.catalogue import TEXTS, _read, _read_folder, catalogues
from reminders.wording.segments import segments

ENGLISH = resources.files("reminders.wording").joinpath("catalogue/en.toml").read_text(encoding="utf-8")
EVERY = [(code, rendered) for code in sorted(languages()) for rendered in samples(code)]
every_text = pytest.mark.parametrize(
    ("language", "rendered"), EVERY, ids=[f"{code}-{rendered.template}" for code, rendered in EVERY]
)
every_reminder = pytest.mark.parametrize(
    ("language", "rendered"),
    [(code, rendered) for code, rendered in EVERY if rendered.template.startswith("reminder_")],
    ids=[f"{code}-{rendered.template}" for code, rendered in EVERY if rendered.template.startswith("reminder_")],
)


def test_w5_english_and_spanish_have_every_text():
    assert languages() >= {"en", "es"}
    for language in ("en", "es"):
        assert catalogues()[language].texts.keys() == TEXTS.keys()
        assert [rendered.template for rendered in samples(language)] == list(TEXTS)


@every_text
def test_w3_every_text_is_one_gsm_7_segment_at_its_longest(language, rendered):
    found = segments(rendered.body)
    assert (found.encoding, found.count) == (rendered.encoding, rendered.segments) == ("GSM-7", 1)
    assert found.units <= 160
    assert "Mt. Williams Annex" in rendered.body  # 18 characters, the most an alias may have


@every_text
def test_w2_no_text_tells(language, rendered):
    assert telling_words(rendered.body) == ()


@every_text
def test_w1_no_text_names_a_person_a_place_or_a_sort_of_care(language, rendered):
    too_much = r"group|grupo|patient|paciente|doctor|dr|nurse|enfermer.|program|programa|care|session|sesi|http|www"
    assert not re.search(rf"\b({too_much})\b", rendered.body, re.IGNORECASE)


@every_text
def test_w6_no_text_shouts_or_blames(language, rendered):
    shouted = set(re.findall(r"\b[A-ZÑÉ]{3,}\b", rendered.body)) - {"STOP", "START", "HELP", "AYUDA", "UTC"}
    assert not shouted
    assert not re.search(r"[!¡]", rendered.body)
    assert not re.search(r"\b(must|mandatory|missed|fail|debe|obligatorio|falt\w+|no vino)\b", rendered.body.lower())


@every_text
def test_r04_no_text_asks_for_a_word_that_opts_out_or_in_by_accident(language, rendered):
    accident = r"\b(cancel|cancele|cancelar|end|quit|yes|revoke|alto|baja)\b"
    said = rendered.body.replace("to end texts", "").replace("STOP to end", "")
    assert not re.search(accident, said, re.IGNORECASE)


@every_reminder
def test_w1_every_reminder_gives_the_office_phone_and_stop(language, rendered):
    assert rendered.body.count("202-555-0100") == 1
    assert len(re.findall(r"\bSTOP\b", rendered.body)) == 1
    assert rendered.body.startswith("Mt. Williams Annex: ")


@every_reminder
def test_w1_only_the_asking_texts_ask_for_c_and_r(language, rendered):
    asks = rendered.template.endswith("_ask")
    assert bool(re.search(r"\bC\b", rendered.body)) is bool(re.search(r"\bR\b", rendered.body)) is asks


def test_w5_in_spanish_c_cannot_be_mistaken_for_cambiar():
    for rendered in samples("es"):
        assert not re.search(r"\bcambi", rendered.body, re.IGNORECASE)
        if rendered.template.startswith("reminder_") and rendered.template.endswith("_ask"):
            assert "C para confirmar" in rendered.body
            assert "R para otra fecha" in rendered.body


def test_w5_spanish_says_usted():
    for rendered in samples("es"):
        assert not re.search(r"\b(tu|tus|te|ti|llama|responde|manda|puedes|tienes|quieres)\b", rendered.body.lower())


def test_s2_a_meeting_is_called_what_the_person_asked_for():
    for rendered in samples("en"):
        if "meeting" in rendered.template:
            assert "As you asked" in rendered.body
            assert "appointment" not in rendered.body


def test_c6_help_carries_988_the_office_and_the_line_that_answers_day_and_night():
    for language in languages():
        text = catalogues()[language].texts["help"]
        assert all(part in text for part in ("988", "911", "{phone}", "{line24}", "STOP"))


def test_l14_the_confirmation_of_a_stop_only_confirms():
    for language in languages():
        text = catalogues()[language].texts["stop_confirm"]
        assert "START" in text
        assert not re.search(r"\{phone\}|visit|cita", text)


def test_l32_the_first_text_tells_how_often_the_cost_help_and_stop():
    for name in ("welcome", "welcome_ask"):
        for language, (help_word, cost) in {"en": ("HELP", "rates"), "es": ("AYUDA", "costo")}.items():
            text = catalogues()[language].texts[name]
            assert all(part in text for part in (help_word, cost, "{per_week}", "STOP"))
            assert bool(re.search(r"\bY\b", text)) is (name == "welcome_ask")


def words_and_sentences(body):
    """The words of a text, less numbers and the office's own name, and how many sentences they stand in.

    As Flesch counts them, a colon ends one too.
    """
    said = body.removeprefix("Mt. Williams Annex: ").replace("Tel.", "Tel")
    parts = [part for part in re.split(r"[.?:](?:\s|$)", said) if re.search(r"[^\W\d]", part)]
    return re.findall(r"[^\W\d]+", re.sub(r"\S*\d\S*", "", said)), len(parts)


def english_syllables(word):
    runs = re.findall(r"[aeiouy]+", re.sub(r"(?<=[^aeiouyl])e$|(?<=[^aeiouytd])ed$", "", word.lower()))
    return max(1, len(runs))


def spanish_syllables(word):
    # A weak vowel joins its neighbour; two strong ones stand apart.
    return max(1, len(re.findall(r"[iuüy]?[aeoáéó][iuüy]?|[iuüíúy]+", word.lower())))


def test_the_syllables_are_counted_as_people_say_them():
    english = {"appointment": 3, "confirm": 2, "time": 1, "Reply": 2, "texts": 1, "Questions": 2, "asked": 1, "Done": 1}
    spanish = {"Responda": 3, "confirmar": 3, "cita": 2, "fecha": 2, "Tiene": 2, "mañana": 3, "aviso": 3, "sea": 2}
    assert {word: english_syllables(word) for word in english} == english
    assert {word: spanish_syllables(word) for word in spanish} == spanish


@pytest.mark.parametrize("rendered", list(samples("en")), ids=lambda rendered: rendered.template)
def test_w4_english_is_at_most_grade_six(rendered):
    words, sentences = words_and_sentences(rendered.body)
    syllables = sum(map(english_syllables, words))
    grade = 0.39 * len(words) / sentences + 11.8 * syllables / len(words) - 15.59  # Flesch-Kincaid
    assert grade <= 6, f"grade {grade:.1f}"


@pytest.mark.parametrize("rendered", list(samples("es")), ids=lambda rendered: rendered.template)
def test_w4_spanish_is_easy_to_read(rendered):
    words, sentences = words_and_sentences(rendered.body)
    syllables = sum(map(spanish_syllables, words))
    ease = 206.84 - 60 * syllables / len(words) - 1.02 * len(words) / sentences  # Fernández-Huerta
    assert ease >= 80, f"ease {ease:.0f}"


@pytest.mark.parametrize(
    ("tag", "code"),
    [("en", "en"), ("es-MX", "es"), ("ES", "es"), ("en-Latn-US", "en"), ("xx", None), ("", None), ("esx", None)],
)
def test_a_language_tag_leads_to_its_catalogue_or_none(tag, code):
    assert catalogue_code(tag) == code


@pytest.mark.processes
def test_w7_a_third_language_is_a_data_file_and_nothing_else(tmp_path):
    package = Path(reminders.__file__).parent
    shutil.copytree(package, tmp_path / "reminders", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "reminders" / "wording" / "catalogue"
    german = ENGLISH.replace("tomorrow, {date}", "morgen, {date}").replace('"Tue"', '"Di"').replace('"Dec"', '"Dez"')
    german = german.replace("{hour12}:{minute}{half}", "{hour24}.{minute} Uhr").replace("We hope to see you", "Bis")
    (folder / "de.toml").write_text(german, encoding="utf-8")
    program = """
from datetime import UTC, datetime
from reminders import wording
visit = wording.Visit(datetime(2026, 12, 15, 15, 5), "Europe/Berlin", datetime(2026, 12, 15, 14, 5, tzinfo=UTC),
    meeting=False, asks=False)
print(sorted(wording.languages()), wording.catalogue_code("de-AT"), all(text.segments == 1 for text in
    wording.samples("de")), wording.reminder([visit], language="de-AT", alias="Eiche 4", phone="+12025550100",
    reader_zone="Europe/Vienna", now=datetime(2026, 12, 14, 16, tzinfo=UTC)).body[:49])
"""
    said = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "['de', 'en', 'es'] de True Eiche 4: Bis morgen, Di Dez 15, 15.05 Uhr. If you"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("{alias}: You have a visit {day}", "{alias}: You have a visit", "reminder_ahead_ask: its placeholders"),
        ("{alias}: You have a visit {day}", "{alias}: You, {name}, have a visit {day}", "placeholders must be alias"),
        ("{alias}: You have a visit {day}", "{alias.upper}: You have a visit {day}", "a name in braces"),
        ("{alias}: You have a visit {day}", "{alias!r}: You have a visit {day}", "a name in braces"),
        ("{alias}: You have a visit {day}", "{alias:>99}: You have a visit {day}", "a name in braces"),
        ("{alias}: You have a visit {day}", "{}: You have a visit {day}", "a name in braces"),
        ("{alias}: You have a visit {day}", "{alias: You have a visit {day}", "reminder_ahead_ask"),
        ("reminder_ahead_ask", "reminder_once_ask", "no such text: reminder_once_ask"),
        ("noon =", "midday =", "midday, noon"),
        ("noon =", "extra = 1\nnoon =", "extra"),
        ("[texts]", "[phrases]", "phrases, texts"),
        ('"Mon", ', "", "weekdays: must be 7 names"),
        ('"12:00 noon"', '"{noon}"', "noon: its placeholders must be none"),
        ('"12:00 noon"', "12", "noon: must be text"),
        ('"{hour12}:{minute}{half}"', '"{hour12}:{minute}"', "time: its placeholders must be"),
        ('version = "2026-11"', "version = 2026", "version: must be text"),
    ],
)
def test_a_broken_catalogue_is_an_error_that_names_the_file_and_the_key(old, new, problem):
    assert old in ENGLISH
    with pytest.raises(ValueError, match="catalogue xx: ") as refused:
        _read("xx", tomllib.loads(ENGLISH.replace(old, new, 1)))
    assert problem in str(refused.value)


def test_no_catalogue_at_all_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no catalogue"):
        _read_folder(tmp_path)
