"""The rules of wording at sending (W-1, W-2, W-8 … W-10): which text is sent when, and that no telling one is sent.

The content of texts, their length, readability and languages are in test_wording_*.py.
"""

import re
from datetime import date, datetime, timedelta
from importlib import resources

import pytest
import sqlalchemy as sa
from conftest import NOW, logged, send
from oncall import PHONE, SENDER
from people import document, one_off
from test_rules_law import (
    LATER,
    SISTER,
    TOMORROW,
    an_office,
    asking,
    lay_down_typed,
    office,
    on_sqlite,
    supporter,
    take,
    unverified,
)

from reminders import clock, task_kinds, wording
from reminders.service.planning import changes
from reminders.service.replies import inbound
from reminders.sms import InboundText
from reminders.store.database import schema
from reminders.wording import staff_words

__all__ = ["asking", "office"]  # fixtures


def templates(office):
    """The catalog texts that were sent, oldest first."""
    rows = office.context.database.read(
        lambda tx: tx.all(sa.select(schema.attempts.c.template).order_by(schema.attempts.c.id))
    )
    return [row.template for row in rows]


def name_it(office, alias):
    """Set the alias in the database, past the checks of the settings."""
    office.context.database.write(lambda tx: tx.run(schema.sites.update().values(alias=alias)))


# The lint, when it goes (W-1, W-2, R0.1)


def move(office, to):
    changes.change_session(office.context, "oak", to.date(), clock.now(), who="test", to=to)


def a_reminder(office):
    office.accept(series=TOMORROW)
    office.travel(LATER)


def a_notice(office):
    office.accept(series=[one_off("visit", "2026-12-01T15:00:00", session="oak", leads=["2h"])])
    office.travel(NOW + timedelta(minutes=20))
    move(office, datetime(2026, 12, 1, 16, 0))  # wall clock of the place


def a_welcome(office):
    take(office, unverified())


def an_answer(office):
    office.accept(series=TOMORROW)
    office.text("is there parking", heard=False)
    office.brought()


def a_confirmed_stop(office):
    office.accept(series=TOMORROW)
    office.text("alto", heard=False)
    office.brought()


def a_typed_one(office):
    office.accept(series=TOMORROW)
    lay_down_typed(office, "Your methadone is here.")


@pytest.mark.parametrize(
    ("class_", "lay_down"),
    [
        ("reminder", a_reminder),
        ("notice", a_notice),
        ("welcome", a_welcome),
        ("answer", an_answer),
        ("answer", a_confirmed_stop),
        ("staff", a_typed_one),
    ],
)
def test_w2_a_telling_word_stops_every_class_of_text_at_the_last_moment(office, asking, class_, lay_down):
    here = asking if class_ == "welcome" else office
    lay_down(here)
    name_it(here, "Oak Detox")
    send(here.context)
    (text,) = [text for text in logged(here.context) if text.class_ == class_ and text.state != "scheduled"]
    assert (text.state, text.reason, text.attempts) == ("suppressed", "lint", [])
    assert here.received() == []


def test_w2_only_the_answer_to_somebody_in_danger_goes_whatever_the_alias(office):
    office.accept(series=TOMORROW)
    for number, words in enumerate(("i want to die", "is there parking")):
        inbound.take_in(office.context, InboundText(f"SM{number:032d}", PHONE, SENDER, words, None), clock.now())
    name_it(office, "Oak Detox")
    send(office.context)
    (said,) = office.received()
    assert "988" in said
    assert "Detox" not in said


def test_w1_no_text_says_who_where_or_with_whom(office):
    visit = one_off("visit", "2026-12-01T15:00:00", place="Room Quagmire", leads=["1d@17:00"], **{"with": "Dr. Lund"})
    office.accept(patient={"name": "Zyxwen Quillfeather"}, series=[visit])
    office.travel(LATER)
    send(office.context)
    said = ("C", "R", "HELP", "who is this", "is there parking", "i used last night", "i want to die", "START")
    for hours, words in enumerate(said, start=1):  # an hour has two answers at most
        office.travel(LATER + timedelta(hours=hours))
        office.text(words)
        send(office.context)
    shown = " ".join(office.received())
    assert len(office.received()) == 8
    assert not re.search(r"zyxwen|quill|quagmire|lund|therapy|dc-1|mrn", shown, re.IGNORECASE)


# Which text when (W-8)

GROUP = {"kind": "therapy_group", "repeats": "FREQ=WEEKLY;COUNT=3"}
MEETING = {"key": "circle", "kind": "support_meeting", "starts": "2026-12-01T18:00:00", "leads": ["1d@17:00"]}


@on_sqlite
@pytest.mark.parametrize(
    ("series", "at", "wanted"),
    [
        ([one_off("v", "2026-12-03T15:00:00", leads=["3d@17:00"])], LATER, "reminder_ahead_ask"),
        ([one_off("v", "2026-12-01T15:00:00", leads=["1d@17:00"])], LATER, "reminder_tomorrow_ask"),
        (
            [one_off("v", "2026-11-30T14:00:00", leads=["2h"])],
            NOW + timedelta(hours=2, minutes=1),
            "reminder_today_ask",
        ),
        ([one_off("v", "2026-12-01T15:00:00", leads=["1d@17:00"], **GROUP)], LATER, "reminder_tomorrow"),
        (
            [one_off("v", "2026-11-30T14:00:00", leads=["2h"], **GROUP)],
            NOW + timedelta(hours=2, minutes=1),
            "reminder_today",
        ),
        ([one_off("v", "2026-12-03T15:00:00", leads=["3d@17:00"], **GROUP)], LATER, "reminder_ahead"),
        ([MEETING], LATER, "reminder_meeting"),
        ([MEETING, MEETING | {"key": "other", "starts": "2026-12-01T20:00:00"}], LATER, "reminder_meetings"),
        ([MEETING, *TOMORROW], LATER, "reminder_several"),
        (
            [one_off(f"v{hour}", f"2026-12-01T{hour}:00:00", leads=["1d@17:00"]) for hour in (10, 11, 13, 15)],
            LATER,
            "reminder_many",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_w8_which_reminder_when(office, series, at, wanted):
    office.accept(series=series)
    office.travel(at)
    assert send(office.context).accepted == 1
    assert templates(office) == [wanted]
    offered = "Reply C" in office.said()
    assert offered is wanted.endswith("_ask")


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"to": datetime(2026, 12, 3, 17, 0)}, "moved"),
        ({"to": datetime(2026, 12, 4, 9, 0)}, "moved_from"),
        ({"to": None}, "called_off"),
    ],
)
def test_w8_which_notice_when(office, change, wanted):
    office.accept(series=[one_off("visit", "2026-12-03T15:00:00", session="oak", leads=["2h"])])
    office.travel(NOW + timedelta(minutes=20))
    changes.change_session(office.context, "oak", date(2026, 12, 3), clock.now(), who="test", **change)
    send(office.context)
    assert templates(office) == [wanted]


@pytest.mark.parametrize(("read", "wanted"), [(True, "welcome"), (False, "welcome_ask")])
def test_w8_the_welcome_asks_for_a_y_only_where_nobody_checked_the_number(asking, read, wanted):
    take(asking, document(series=TOMORROW) if read else unverified())
    send(asking.context)
    assert templates(asking) == [wanted]
    assert bool(re.search(r"\bY\b", asking.said())) is (not read)


def test_w8_answers_are_only_ever_answers(office):
    office.remind(series=[*TOMORROW, one_off("next", "2026-12-03T15:00:00", leads=["2h"])])
    lay_down_typed(office)
    said = ("C", "R", "HELP", "who is this", "is there parking", "i used last night", "i want to die")
    for hours, words in enumerate(said, start=1):  # an hour has two answers at most
        office.travel(LATER + timedelta(hours=hours))
        office.text(words)
        send(office.context)
    query = sa.select(schema.texts.c["class"], schema.attempts.c.template, schema.texts.c.reply_id).join(
        schema.attempts, schema.attempts.c.text_id == schema.texts.c.id
    )
    rows = office.context.database.read(lambda tx: tx.all(query))
    answers = {row.template for row in rows if row._mapping["class"] == "answer"}
    assert answers == {"confirmed", "change", "help", "who", "unknown", "slip", "crisis"}
    others = {row.template for row in rows if row._mapping["class"] != "answer"}
    assert others == {"reminder_tomorrow_ask", "typed"}
    assert all((row.reply_id is not None) is (row._mapping["class"] == "answer") for row in rows)


def test_w5_each_reader_is_written_to_in_their_own_language(office):
    hers = supporter() | {"language": "es"}
    office.accept(series=[TOMORROW[0] | {"for": ["self", "sister"]}], recipients=[hers])
    office.travel(LATER)
    assert send(office.context).accepted == 2
    assert "Reply C" in office.received(PHONE)[0]
    assert "C para confirmar" in office.received(SISTER)[0]
    office.text("hay estacionamiento?", SISTER)
    assert "Gracias" in office.said(SISTER)


# Whose numbers, and what staff read: W-9, W-10


def test_w9_the_numbers_in_texts_are_the_sites_own(database_url, tmp_path, travel, twilio):
    numbers = {"site__phone": "+12025550111", "site__line24": "+12025550122"}
    office = an_office(database_url, tmp_path, travel, twilio, **numbers)
    try:
        office.accept(series=TOMORROW)
        for words in ("HELP", "is there parking", "i used last night", "i want to die"):
            office.text(words)
        send(office.context)
        found = set(re.findall(r"\d{3}-\d{3}-\d{4}", " ".join(office.received())))
        assert found == {"202-555-0111", "202-555-0122"}
    finally:
        office.close()


def test_w9_the_catalog_has_no_number_of_its_own_but_988_and_911():
    for language in wording.languages():
        text = resources.files("reminders.wording").joinpath("catalog", f"{language}.toml").read_text("utf-8")
        said = [line for line in text.splitlines() if not line.startswith("#")]
        assert set(re.findall(r"\d{3,}", " ".join(said))) <= {"2026", "988", "911"}


LABELS = re.compile(
    r"\b(addict\w*|abuser?s?|alcoholics?|junkies?|dirty|clean|relapsed|non-?complian\w+|committed suicide|no-show)\b",
    re.IGNORECASE,
)


def test_w10_staff_read_person_first_words():
    said = [
        *(word for kind in task_kinds.KINDS.values() for word in (kind.title, kind.to_do, *kind.outcomes)),
        *map(str, staff_words.STATES.values()),
        *map(str, staff_words.REASONS.values()),
    ]
    pages = [
        one.read_text("utf-8")
        for one in resources.files("reminders.web").joinpath("templates").iterdir()
        if one.name.endswith(".html")
    ]
    assert pages
    for text in (*said, *pages):
        assert not LABELS.search(text), text
        assert not re.search(r"\bfail(ed|ure)\b", text, re.IGNORECASE), text
