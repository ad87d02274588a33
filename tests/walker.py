"""A browser that walks through the town: Chromium driven by Playwright, with JavaScript or without."""

import os
import shutil
from collections import UserList
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from conftest import EXAMPLES
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright
from staff import token

from reminders.web import access

QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    "--disable-gpu",
    "--disable-software-rasterizer",
]
"""What Chromium is told not to do: to ask its maker's servers for things, and to draw in software what no one sees."""


def chromium_path() -> str:
    """The browser's path. Skips the test if there is none, except in CI, which must have one."""
    found = os.environ.get("REMINDERS_TEST_BROWSER") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        assert not os.environ.get("CI"), "CI walks the journeys: install chromium"
        pytest.skip("no browser: install chromium")
    return found


@contextmanager
def a_browser():
    """A headless Chromium."""
    path = chromium_path()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        try:
            yield browser
        finally:
            with suppress(Exception):
                browser.close()


WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa"]
EVERYTHING = {"type": "tag", "values": WCAG}
COLORS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
ROOM = {"type": "rule", "values": [*COLORS["values"], "target-size", "scrollable-region-focusable"]}
# The same page in other colors, or as wide as a phone: what looks at anything else has nothing new to find.
DESK = {"light": EVERYTHING, "dark": COLORS}
LOOKS = (
    {1280: DESK, 320: {"dark": ROOM, "light": ROOM}}
    if EXAMPLES > 1
    else {1280: {"light": EVERYTHING}, 320: {"dark": ROOM}}
)
"""By width, what is asked in which colors: each width and each colors once, all of it in `make thorough`."""
_RUN = "wanted => axe.run({runOnly: wanted, resultTypes: ['violations']}).then(found => found.violations)"


def faults(page: Page, looks: Mapping[str, Any] = DESK) -> list[tuple]:
    """What axe-core finds on the page as it stands, light and dark, and whether it runs off the screen."""
    found = []
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    for scheme, rules in looks.items():
        page.emulate_media(color_scheme=scheme)
        found += [
            (scheme, one["id"], [node["html"][:160] for node in one["nodes"][:3]]) for one in page.evaluate(_RUN, rules)
        ]
    page.emulate_media(color_scheme="light")
    if page.evaluate("document.documentElement.scrollWidth") > page.viewport_size["width"]:
        found.append(("is wider than the screen",))
    return found


class Trouble(UserList):
    """A page's complaints: errors on the console, exceptions, broken answers, violations of the policy."""

    def _hear(self, said: ConsoleMessage) -> None:
        # A form that returns with problems is a 422, which Chromium reports as a failure.
        if said.type in {"error", "warning"} and "status of 422" not in said.text:
            self.append(said.text)

    def listen(self, page: Page) -> None:
        """Listen to that page."""
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.append(str(error)))
        page.on(
            "response", lambda answer: self.append(f"{answer.status} {answer.url}") if answer.status >= 500 else None
        )


@contextmanager
def walking(browser: Browser, town, role: str | None = None, *, javascript: bool = True, width: int = 1280, dark=False):
    """A page of a new window in which someone with that role is signed in; it must have no complaints at the end."""
    context = browser.new_context(
        base_url=town.url,
        java_script_enabled=javascript,
        viewport={"width": width, "height": 900},
        color_scheme="dark" if dark else "light",
    )
    context.set_default_timeout(10_000)
    trouble = Trouble()
    context.on("page", trouble.listen)
    if role is not None:
        name = access.cookie_name(town.context.settings)
        context.add_cookies([{"name": name, "value": token(town.context, role), "url": town.url}])
    page = context.new_page()
    try:
        yield page
    finally:
        context.close()
    assert not trouble, trouble
