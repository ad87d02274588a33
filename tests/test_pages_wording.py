"""The wording page: every text in every language with its size, and a field that says why a text is refused."""

import re
import shutil

import pytest
from conftest import open_context
from test_web_pages import Page
from web_caller import Caller

from reminders import wording
from reminders.web.pages.wording import ACCENTED, GROUPS
from reminders.wording.catalog import TEXTS, catalogs
from reminders.wording.segments import segments


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    yield opened
    opened.close()


def test_every_text_stands_there_in_every_language_with_what_it_takes(here):
    answer = Caller(here, role="read_only").page("/wording")
    shown = Page(answer)
    names = [line.split()[-1] for line in shown.said("h3") if line.split()[-1] in TEXTS]
    assert sorted(names) == sorted(TEXTS)
    assert len(names) == len(set(names))
    many = sum(len(catalog.texts) for catalog in catalogs().values())
    assert len(re.findall(r">\d+ characters, \d segments?, (?:GSM-7|UCS-2)<", answer.text)) == 3 * many
    assert {one["lang"] for one in shown.all("div") if "lang" in one} == set(catalogs())
    words = " ".join(shown.said("p"))
    for listed in wording.refused_words().values():
        assert all(word in words for word in listed)


@pytest.mark.parametrize("language", sorted(catalogs()))
@pytest.mark.parametrize("alias", ["Oak St", ACCENTED])
def test_samples_are_texts_that_might_be_sent(language, alias):
    samples = list(wording.examples(language, alias=alias, phone="+12025550100", line24="+12025550101"))
    assert [one.template for one in samples] == [name for name in TEXTS if name in catalogs()[language].texts]
    for one in samples:
        assert "{" not in one.body
        assert one.segments == segments(one.body).count
        if one.template not in {"crisis", "overdose"}:
            assert one.segments == 1
            assert not wording.telling_words(one.body)


def test_the_groups_take_every_text_once():
    assert [title for _, title, _ in GROUPS]
    assert GROUPS[-1][2] == ("",)


def tried(context, sentence: str) -> str:
    answer = Caller(context, role="coordinator").post("/wording", [("sentence", sentence)])
    assert answer.status_code == 200
    return " ".join(Page(answer).said("main")[0].split())


def test_a_sentence_is_tried_and_the_word_that_tells_is_named(here):
    assert "It could be sent" in tried(here, "Your visit is at 3pm. Call us with questions.")
    said = tried(here, "See you at detox group")
    assert "Refused It tells what kind of care it is: detox" in said
    assert "It could be sent" not in said
    assert "1 segment, UCS-2" in tried(here, "Nos vemos mañana, Íñigo")
    assert "typographic signs were made plain" in tried(here, "See you “Monday”")
    assert "is empty" in tried(here, "  ")


def test_what_is_tried_is_kept_nowhere_and_not_read_as_a_page(here, caplog):
    answer = Caller(here, role="coordinator").post("/wording", [("sentence", "<b>Jordan</b> is in rehab")])
    assert "<b>" not in answer.text
    assert not [one for one in caplog.records if "Jordan" in one.getMessage()]
    assert Caller(here, role="coordinator").post("/wording", [("sentence", "x" * 1_001)]).status_code == 422
