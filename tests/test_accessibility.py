"""Every screen in a real browser: axe-core finds nothing, nothing runs off a phone, nothing complains (WCAG 2.2 AA)."""

import gzip
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from screens import SCREENS, places
from town import Town, elsewhere
from walker import a_browser, walking

pytestmark = [pytest.mark.browser, pytest.mark.long, pytest.mark.timeout(300)]

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
RULES = {
    "light": {"runOnly": {"type": "tag", "values": WCAG}},
    # The same page in other colours: what looks at anything else has nothing new to find.
    "dark": {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}},
}
FIRST_LOAD = 60 * 1024  # bytes, compressed


@pytest.fixture(scope="module")
def town(sqlite_template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("town")
    shutil.copy(sqlite_template, folder / "town.db")
    clinic = Town(f"sqlite:///{folder / 'town.db'}", folder)
    yield clinic
    clinic.close()


@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_stands_in_the_way_on_any_screen(town, width):
    """Light and dark, on a phone and on a desk."""
    town.go_on()
    found = []
    with a_browser() as chromium:
        named = elsewhere(lambda: places(town.house))
        for role in dict.fromkeys(screen.role for screen in SCREENS):
            with walking(chromium, town, role, width=width) as page:
                for screen in (one for one in SCREENS if one.role == role):
                    assert page.goto(screen.path.format(**named)).status == 200, screen
                    found += [(screen.name, *said) for said in _faults(page, width)]
    assert not found, "\n".join(map(str, found))


def _faults(page, width: int):
    for scheme, rules in RULES.items():
        page.emulate_media(color_scheme=scheme)
        for violation in Axe().run(page, options=rules).response["violations"]:
            yield scheme, violation["id"], [node["html"][:160] for node in violation["nodes"][:3]]
    if page.evaluate("document.documentElement.scrollWidth") > width:
        yield ("is wider than the screen",)


def test_a_first_visit_is_light(town):
    """What a browser loads for the first page, compressed as any proxy does it."""
    town.go_on()
    sizes = []
    with a_browser() as chromium, walking(chromium, town, "coordinator") as page:
        page.on("response", lambda answer: sizes.append(len(gzip.compress(answer.body()))))
        page.goto("/", wait_until="networkidle")
    assert len(sizes) >= 4
    assert sum(sizes) < FIRST_LOAD
