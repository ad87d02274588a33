"""Staff reads what people of the region would write; no page shows a machine's words (screens 14, 15 and 26)."""

import re
import shutil
from datetime import date, datetime, time
from html.parser import HTMLParser

import httpx
import pytest
from conftest import NOW
from hypothesis import given
from hypothesis import strategies as st
from screens import FURTHER, SCREENS, places
from staff import signed_in
from town import Town

from reminders import clock, plans
from reminders.plans import Category, Kind
from reminders.web.forms import Fields
from reminders.wording import house_style

WALL = datetime(2026, 11, 28, 21, 4)


@pytest.fixture
def region():
    yield house_style.use
    house_style.use("US")


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("US", "Sat, Nov 28, 2026, 9:04 pm"),
        ("GB", "Sat, 28 Nov 2026, 21:04"),
        ("AU", "Sat 28 Nov 2026, 9:04 pm"),
        ("ZZ", "Sat, 28 Nov 2026, 9:04 pm"),
    ],
)
def test_screens_14_a_region_has_its_own_style(region, where, said):
    region(where)
    assert house_style.moment(WALL) == said


def test_screens_14_an_instant_is_as_short_as_today_allows():
    at = NOW  # 10:00 in New York, on November 30
    zone = "America/New_York"
    assert house_style.near(at, zone, NOW) == "10:00 am"
    assert house_style.clock_time(at, zone, NOW) == "Mon, Nov 30, 10:00 am"
    assert house_style.clock_time(at, zone) == "Mon, Nov 30, 2026, 10:00 am"
    assert house_style.day(WALL, long=True) == "Saturday, November 28, 2026"


@pytest.mark.parametrize(
    ("number", "said"),
    [("+12025550100", "(202) 555-0100"), ("+442079460123", "+44 20 7946 0123"), ("unknown", "unknown")],
)
def test_screens_14_a_phone_number_is_written_as_people_here_do(number, said):
    assert house_style.phone(number) == said


@given(st.times())
def test_a_time_is_never_read_as_another(at):
    said = house_style.hour(at)
    hour, minute, half = re.fullmatch(r"(\d{1,2}):(\d\d) (am|pm)", said).groups()
    assert time(int(hour) % 12 + (12 if half == "pm" else 0), int(minute)) == at.replace(second=0, microsecond=0)


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("12/3/2026", "2026-12-03"),
        ("Thu, Dec 3, 2026", "2026-12-03"),
        ("December 3 2026", "2026-12-03"),
        ("3 pm", "15:00"),
        ("3:30p", "15:30"),
        ("6:00 p. m.", "18:00"),
        ("12 am", "00:00"),
        ("noon", "12:00"),
        ("15:00", "15:00"),
        ("3", "3"),
        ("13 pm", "13 pm"),
        ("13/3/2026", "13/3/2026"),
        ("soon", "soon"),
    ],
)
def test_screens_14_a_date_and_a_time_are_taken_as_people_type_them(typed, sent):
    fields = Fields([("series.0.date", typed), ("series.0.time", typed), ("patient.name", typed)])
    assert (fields["series.0.date"], fields["series.0.time"], fields["patient.name"]) == (sent, sent, typed)


def test_screens_14_a_day_first_region_types_its_own_order(region):
    region("GB")
    assert house_style.read_day("3/12/2026") == date(2026, 12, 3)


class _Words(HTMLParser):
    """What a person sees of a page: no attributes, no code, no styles."""

    SILENT = frozenset({"script", "style", "code", "pre", "option", "template"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self._silent = 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self._silent += tag in self.SILENT

    def handle_endtag(self, tag):
        self._silent -= tag in self.SILENT

    def handle_data(self, data):
        if not self._silent and data.strip():
            self.seen.append(" ".join(data.split()))


_SLUGS = {*plans.programs(), *(kind.value for kind in Kind), *(one.value for one in Category)}
_MACHINE = {
    "an ISO date": re.compile(r"\b\d{4}-\d\d-\d\d\b"),
    "an ISO time": re.compile(r"T\d\d:\d\d\b"),
    "a clock of 24 hours": re.compile(r"(?<!:)\b(?:0\d|1[3-9]|2[0-3]):[0-5]\d\b"),
    "a rule of RFC 5545": re.compile(r"\b(?:FREQ|BYDAY|COUNT|INTERVAL|UNTIL)=|RFC 5545"),
    "a slug": re.compile(
        "|".join(rf"(?<![\w-]){slug}(?![\w-])" for slug in sorted(_SLUGS) if re.search(r"[_-]", slug))
    ),
    "a lead": re.compile(r"\b\d+[dhm](?:@|\b(?! ?(?:ago|$)))"),
    "a login": re.compile(r"\bstaff:\w|\bprogram:\w"),
    "a number of machines": re.compile(r"\+1\d{10}\b"),
}


def machine_words(page: str) -> list[tuple[str, str]]:
    """What on a page only a programmer would write: what it is, and where it stands."""
    return [(what, words) for words in _Words(page).seen for what, form in _MACHINE.items() if form.search(words)]


@pytest.mark.parametrize(
    "words", ["2026-12-03", "T15:00", "at 17:55", "FREQ=DAILY", "therapy_group", "1d@17:00", "+12025550100"]
)
def test_a_machines_words_are_found(words):
    assert machine_words(f"<p>{words}</p>")


def test_screens_14_15_26_no_page_shows_a_machines_words(sqlite_template, tmp_path):
    shutil.copy(sqlite_template, tmp_path / "town.db")
    town = Town(f"sqlite:///{tmp_path / 'town.db'}", tmp_path)
    found = []
    try:
        named = places(town.context)
        for role in dict.fromkeys(screen.role for screen in (*SCREENS, *FURTHER)):
            with httpx.Client(base_url=town.url, timeout=60) as client:
                if role is not None:
                    signed_in(client, town.context, role)
                for screen in (one for one in (*SCREENS, *FURTHER) if one.role == role):
                    answer = client.get(screen.path.format(**named))
                    assert answer.status_code == 200, screen
                    found += [(screen.name, *said) for said in machine_words(answer.text)]
    finally:
        town.close()
        clock.correct(clock.machine() - clock.machine())
    assert not found, "\n".join(map(str, found))
