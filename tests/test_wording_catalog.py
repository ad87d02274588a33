"""The requirements for every text of every catalog (W-1 … W-7), at its longest."""

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
from reminders.wording import catalog_code, languages, samples, telling_words
from reminders.wording.catalog import TEXTS, _read, _read_folder, catalogs
from reminders.wording.segments import segments

ENGLISH = resources.files("reminders.wording").joinpath("catalog/en.toml").read_text(encoding="utf-8")
URGENT = {"crisis", "overdose", "slip", "intent"}  # the room of an alias is needed for what helps


def every(begins: str):
    """A test of one text becomes one for each language, of all its texts that begin so: a test each is too many."""

    def of(test):
        @pytest.mark.parametrize("language", sorted(languages()))
        def of_each(language):
            texts = [rendered for rendered in samples(language) if rendered.template.startswith(begins)]
            assert texts
            for rendered in texts:
                test(language, rendered)

        return of_each

    return of


every_text, every_reminder = every(""), every("reminder_")


def test_w5_english_and_spanish_have_every_text():
    assert languages() >= {"en", "es"}
    for language in ("en", "es"):
        assert catalogs()[language].texts.keys() == TEXTS.keys()
        assert [rendered.template for rendered in samples(language)] == list(TEXTS)


@every_text
def test_w3_every_text_is_one_gsm_7_segment_at_its_longest(language, rendered):
    found = segments(rendered.body)
    assert (found.encoding, found.count) == (rendered.encoding, rendered.segments) == ("GSM-7", 1)
    assert found.units <= 160
    signed = "Mt. Williams Annex: "  # 18 characters, the most an alias may have
    assert rendered.body.startswith(signed) is (rendered.template not in URGENT)


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
    assert not re.search(
        r"\b(must|mandatory|missed (?!you, and that is ok)|fail|debe|obligatorio|falt\w+|no vino)\b",
        rendered.body.lower(),
    )


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
        text = catalogs()[language].texts["help"]
        assert all(part in text for part in ("988", "911", "{phone}", "{line24}", "STOP"))


def test_l14_the_confirmation_of_a_stop_only_confirms():
    for language in languages():
        text = catalogs()[language].texts["stop_confirm"]
        assert "START" in text
        assert not re.search(r"\{phone\}|visit|cita", text)


def test_l32_the_first_text_tells_who_how_often_the_cost_help_and_stop():
    for name in ("welcome", "welcome_ask"):
        for language, (help_word, cost) in {"en": ("HELP", "rates"), "es": ("AYUDA", "costo")}.items():
            text = catalogs()[language].texts[name]
            assert all(part in text for part in ("{alias}", "{phone}", help_word, cost, "{per_week}", "STOP"))
            assert bool(re.search(r"\b(Reply Y|Responda SI)\b", text)) is (name == "welcome_ask")


def test_l38_the_first_text_warns_that_others_may_see_it():
    assert "Others may see" in catalogs()["en"].texts["welcome_ask"]
    assert "Otros los pueden ver" in catalogs()["es"].texts["welcome_ask"]


NOT_READ = {"en": r"not read|not right away", "es": r"[Nn]o leemos|no al momento|de inmediato"}
SPANISH_988 = "988 y oprima 2"


@pytest.mark.parametrize("name", ["help", "unknown", "stranger", "crisis", "overdose"])
@pytest.mark.parametrize("language", ["en", "es"])
def test_c1_the_answers_say_that_texts_are_not_read_right_away_and_name_988(language, name):
    text = catalogs()[language].texts[name]
    assert re.search(NOT_READ[language], text)
    assert "988" in text


@pytest.mark.parametrize("language", ["en", "es"])
def test_c4_the_crisis_text_gives_every_way_to_a_person_and_asks_and_promises_nothing(language):
    text = catalogs()[language].texts["crisis"]
    assert all(part in text for part in ("988", "911", "{line24}"))
    assert not re.search(r"[?¿]", text)
    assert not re.search(r"\b(will|promise|soon|vamos|va a|pronto|promet\w+)\b", text)
    assert "STOP" not in text


def test_c4_in_spanish_988_is_said_with_its_2_wherever_it_is_called_and_ayuda_for_a_text():
    assert "mande AYUDA al 988" in catalogs()["es"].texts["crisis"]
    for name, text in catalogs()["es"].texts.items():
        if "988" in text:
            assert SPANISH_988 in text, name
    assert SPANISH_988 in catalogs()["es"].card["crisis"]


@pytest.mark.parametrize("language", ["en", "es"])
def test_c9_an_overdose_is_answered_with_911_first(language):
    text = catalogs()[language].texts["overdose"]
    assert 0 < text.index("911") < text.index("988") < text.index("{line24}")
    assert re.match(r"(Call|Llame al) 911 (now|ahora)", text)


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("name", ["slip", "intent"])
def test_c9_who_tells_of_a_hard_day_is_thanked_and_given_a_person(language, name):
    text = catalogs()[language].texts[name]
    assert re.match(r"Thank you|Gracias", text)
    assert all(part in text for part in ("988", "{line24}"))
    told = r"slip|relaps|reca|use|used|consum|tropiezo|craving|ganas|setback|but|pero"
    assert not re.search(rf"\b({told})", text, re.IGNORECASE)


@every_text
def test_c9_long_numbers_of_other_countries_leave_the_urgent_texts_in_one_segment(language, rendered):
    if rendered.template in URGENT:
        assert segments(rendered.body.replace("202-555-0101", "+44 20 7946 0958")).count == 1


@pytest.mark.parametrize("language", ["en", "es"])
def test_l44_the_answers_to_a_stranger_name_no_one_and_no_day(language):
    for name in ("stranger", "who", "wrong_number", "unknown"):
        assert TEXTS[name] <= {"alias", "phone", "line24"}
    stranger = catalogs()[language].texts["stranger"]
    assert not re.search(r"visit|appointment|cita|thank|gracias|your|usted|\bsu", stranger, re.IGNORECASE)


def test_r_says_that_the_visit_stands_until_we_call():
    for name in ("change", "change_which"):
        assert re.search(r"your visits? stands?|All stand until we call", catalogs()["en"].texts[name])
        assert re.search(r"siguen? en pie", catalogs()["es"].texts[name])


def test_e11_after_a_missed_visit_r_is_enough_for_a_new_time():
    assert "reply R or call {phone}" in catalogs()["en"].texts["missed"]
    assert "responda R o llame al {phone}" in catalogs()["es"].texts["missed"]


def words_and_sentences(body):
    """The words of a text, without numbers and the office's name, and the number of sentences.

    As Flesch counts them, a colon ends one too.
    """
    said = body.removeprefix("Mt. Williams Annex: ").replace("Tel.", "Tel")
    parts = [part for part in re.split(r"[.?:](?:\s|$)", said) if re.search(r"[^\W\d]", part)]
    return re.findall(r"[^\W\d]+", re.sub(r"\S*\d\S*", "", said)), len(parts)


def english_syllables(word):
    runs = re.findall(r"[aeiouy]+", re.sub(r"(?<=[^aeiouyl])e$|(?<=[^aeiouytd])ed$", "", word.lower()))
    return max(1, len(runs))


def spanish_syllables(word):
    # A weak vowel joins its neighbor; two strong ones are separate.
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
def test_a_language_tag_leads_to_its_catalog_or_none(tag, code):
    assert catalog_code(tag) == code


@pytest.mark.processes
def test_w7_a_third_language_is_a_data_file_and_nothing_else(tmp_path):
    package = Path(reminders.__file__).parent
    shutil.copytree(package, tmp_path / "reminders", ignore=shutil.ignore_patterns("__pycache__"))
    folder = tmp_path / "reminders" / "wording" / "catalog"
    german = ENGLISH.replace("tomorrow, {date}", "morgen, {date}").replace('"Tue"', '"Di"').replace('"Dec"', '"Dez"')
    german = german.replace("{hour12}:{minute}{half}", "{hour24}.{minute} Uhr").replace("We hope to see you", "Bis")
    (folder / "de.toml").write_text(german, encoding="utf-8")
    program = """
from datetime import UTC, datetime
from reminders import wording
visit = wording.Visit(datetime(2026, 12, 15, 15, 5), "Europe/Berlin", datetime(2026, 12, 15, 14, 5, tzinfo=UTC),
    meeting=False, asks=False)
print(sorted(wording.languages()), wording.catalog_code("de-AT"), all(text.segments == 1 for text in
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
        ('version = "2026-12"', "version = 2026", "version: must be text"),
        ("[card]", "[extra]\n[card]", "missing or unknown: extra"),
        ("about =", "above =", "about, above"),
        ('call {phone}."\nday_and_night', 'call us."\nday_and_night', "card.not_read: its placeholders must be phone"),
        ('C = "I will come."', 'C = "I will come, {name}."', "card.replies.C: its placeholders must be none"),
        ('R = "I need a new time. The visit stands until you call me."\n', "", "card.replies: must be C, R"),
    ],
)
def test_a_broken_catalog_is_an_error_that_names_the_file_and_the_key(old, new, problem):
    assert old in ENGLISH
    with pytest.raises(ValueError, match="catalog xx: ") as refused:
        _read("xx", tomllib.loads(ENGLISH.replace(old, new, 1)))
    assert problem in str(refused.value)


def test_no_catalog_at_all_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no catalog"):
        _read_folder(tmp_path)
