"""Every screen in a real browser: axe-core finds nothing, a phone shows all of it, no errors (WCAG 2.2 AA)."""

import gzip
import shutil

import pytest
from screens import FURTHER, SCREENS, places
from town import Town, elsewhere
from walker import LOOKS, a_browser, faults, walking

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(300)]

FIRST_LOAD = 60 * 1024  # bytes, compressed


@pytest.fixture(scope="module")
def town(sqlite_template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("town")
    shutil.copy(sqlite_template, folder / "town.db")
    clinic = Town(f"sqlite:///{folder / 'town.db'}", folder)
    yield clinic
    clinic.close()


def test_nothing_stands_in_the_way_on_any_screen(town):
    """Light on a desk and dark on a phone; `make thorough` also looks the other way around."""
    town.go_on()
    found = []
    with a_browser() as chromium:
        named = elsewhere(lambda: places(town.context))
        for role in dict.fromkeys(screen.role for screen in (*SCREENS, *FURTHER)):
            with walking(chromium, town, role) as page:
                for screen in (one for one in (*SCREENS, *FURTHER) if one.role == role):
                    assert page.goto(screen.path.format(**named)).status == 200, screen
                    for width, looks in LOOKS.items():
                        page.set_viewport_size({"width": width, "height": 900})
                        found += [(screen.name, width, *said) for said in faults(page, looks)]
    assert not found, "\n".join(map(str, found))


def test_a_first_visit_is_light(town):
    """What a browser loads for the first page, compressed as any proxy does it."""
    town.go_on()
    answers = []
    with a_browser() as chromium, walking(chromium, town, "coordinator") as page:
        page.on("response", lambda answer: answers.append(answer))  # ruff: ignore[unnecessary-lambda]  Playwright takes no builtin
        page.goto("/", wait_until="networkidle")
        sizes = [len(gzip.compress(answer.body())) for answer in answers]
    assert len(sizes) >= 4
    assert sum(sizes) < FIRST_LOAD
