"""Languages: one is offered if all of its parts exist; `doctor` names what others lack (W-5)."""

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import environment, send
from oncall import Clinic
from people import raw

import reminders
from reminders import clock, languages, plans
from reminders.conversation.rules import files
from reminders.service.operations import health

PACKAGE = Path(reminders.__file__).parent
ENGLISH = (PACKAGE / "wording" / "catalog" / "en.toml").read_text(encoding="utf-8")


@pytest.fixture
def package(tmp_path):
    """A copy of the folders with the parts of a language, to change."""
    for part in ("wording", "conversation"):
        shutil.copytree(PACKAGE / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    shutil.copy(PACKAGE / "languages.toml", tmp_path)
    return tmp_path


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_w5_english_and_spanish_are_whole_and_nothing_else_is_offered():
    assert dict(languages.offered()) == {"en": "English", "es": "Spanish"}
    assert languages.missing() == ()
    assert [languages.offered_code(tag) for tag in ("es-MX", "EN", "fr", "")] == ["es", "en", None, None]
    assert set(files()) == {"en.toml", "es.toml"}


def test_w5_a_third_language_with_a_catalog_alone_is_not_whole_and_each_part_it_lacks_is_named(package):
    (package / "wording" / "catalog" / "fr.toml").write_text(ENGLISH, encoding="utf-8")
    lacks = languages.look(package)["fr"].lacks
    assert set(lacks) == {"lexicon", "saved replies", "words", "label"}
    assert lacks["lexicon"] == "conversation/lexicon/fr.toml is missing or cannot be read"
    assert re.fullmatch(r"none for \w+, \w+, \w+ and \d+ more", lacks["saved replies"])
    assert lacks["words"] == "no list for ask, never, skip and 1 more"


SPANISH_PARTS = {
    "catalog": lambda at: (at / "wording" / "catalog" / "es.toml").unlink(),
    "lexicon": lambda at: (at / "conversation" / "lexicon" / "es.toml").unlink(),
    "a text": lambda at: change(at / "wording" / "catalog" / "es.toml", "\ncrisis = ", "\n# crisis = "),
    "a broken catalog": lambda at: change(at / "wording" / "catalog" / "es.toml", "[texts]", "[texts"),
    "a meaning": lambda at: (at / "conversation" / "lexicon" / "es.toml").write_text(
        'language = "es"\n[crisis.x]\nsay = ["x"]\n'
    ),
    "a saved reply": lambda at: change(at / "wording" / "saved_replies.toml", "\nes = ", "\n# es = "),
    "telling words": lambda at: change(at / "wording" / "telling_words.toml", "\nes = [", "\nxx = ["),
    "asked words": lambda at: change(at / "wording" / "asked_words.toml", "\nes = [", "\nxx = ["),
    "label": lambda at: change(at / "languages.toml", "\nes = ", "\n# es = "),
}


@pytest.mark.parametrize("part", SPANISH_PARTS)
def test_w5_without_any_one_part_a_language_is_not_whole(package, part):
    assert not languages.look(package)["es"].lacks
    SPANISH_PARTS[part](package)
    assert len(languages.look(package)["es"].lacks) == 1


def test_w5_without_english_nothing_starts(package):
    (package / "conversation" / "lexicon" / "en.toml").unlink()
    with pytest.raises(ValueError, match="the default language is not complete: en: lexicon: "):
        languages.look(package)


@pytest.fixture
def half_spanish(monkeypatch):
    """Spanish without its lexicon, as `doctor` and everything else see it."""
    there = languages._languages()
    lost = languages.Language("es", "Spanish", {"lexicon": "is missing"})
    monkeypatch.setattr(languages, "_languages", lambda: there | {"es": lost})
    languages._offered.cache_clear()
    yield
    languages._offered.cache_clear()


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio):
    opened = Clinic(database_url, tmp_path, travel, twilio, ("First", {}))
    yield opened
    opened.close()


def test_w5_who_reads_a_language_that_is_no_longer_whole_gets_no_text_in_it_but_is_answered(clinic, request):
    clinic.accept(patient={"language": "es"})
    request.getfixturevalue("half_spanish")

    # No plan can name it, and planned texts are not sent: they are red, for a person.
    with pytest.raises(plans.PlanRefused, match="no texts in this language; choose one of en"):
        clinic.context.database.read(
            lambda tx: plans.read(raw(patient={"language": "es"}), clinic.context.known(tx, clock.now()))
        )
    clinic.travel(clock.now().replace(month=12, day=2, hour=23))
    send(clinic.context)
    stopped = {text.reason for text in clinic.texts("reminder") if text.state == "suppressed"}
    assert stopped == {"no_wording"}
    assert clinic.received() == []

    # Danger is answered in every existing language, HELP and the rest in English, and a person reads the rest.
    clinic.text("me quiero morir")
    (answer,) = [text for text in clinic.texts() if text.wording == "crisis"]
    assert answer.attempts[0].answer == "accepted"
    clinic.travel(clock.now() + timedelta(minutes=5))
    assert clinic.received()[-1].startswith("Thank you for writing.")
    clinic.text("AYUDA")
    send(clinic.context)
    clinic.travel(clock.now() + timedelta(minutes=5))
    assert "988" in clinic.received()[-1]
    assert len(clinic.received()) == 2


@pytest.mark.processes
def test_w5_through_a_real_process_a_half_language_is_named_by_doctor_and_not_offered(tmp_path, sqlite_template):
    shutil.copytree(PACKAGE, tmp_path / "reminders")
    shutil.copy(sqlite_template, tmp_path / "here.db")
    (tmp_path / "reminders" / "wording" / "catalog" / "fr.toml").write_text(ENGLISH, encoding="utf-8")
    said = subprocess.run(
        [sys.executable, "-m", "reminders", "doctor", "--json"],
        cwd=tmp_path,
        env=os.environ | environment(f"sqlite:///{tmp_path / 'here.db'}") | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    checks = json.loads(said.stdout)
    assert [one["detail"] for one in checks if one["check"] == "languages"] == ["English, Spanish"]
    named = [one["detail"] for one in checks if one["check"] == "language not offered"]
    assert [detail.split(":")[1].strip() for detail in named] == ["lexicon", "saved replies", "words", "label"]
    assert all(detail.startswith("fr: ") for detail in named)


def test_w5_start_up_names_what_a_language_lacks(clinic, half_spanish, caplog):
    health.gate(clinic.context)
    assert "a language is not offered: es: lexicon: is missing" in caplog.messages
