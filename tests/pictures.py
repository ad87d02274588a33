"""`make screens`: a picture of every screen, taken from the demo, for docs/screens; and its board, docs/demo.svg.

Each screen twice: light on a desk, dark on a phone. The demo is started, given time to play, and ended.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import IO

from conftest import free_port
from playwright.sync_api import Page
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text
from screens import SCREENS, Screen
from walker import a_browser

from reminders import clock

FOLDER = Path(__file__).parents[1] / "docs" / "screens"
LOGINS = {"admin": "dev.iyer"}
PLAYED = 130  # seconds until every scene of the demo has ended
COLUMNS = 112  # of the terminal in which the board is drawn
TALLEST = 1500  # pixels of a picture; the rest of a page shows nothing new


def main() -> None:
    """Take all the pictures."""
    with tempfile.TemporaryFile() as written:
        _take_all(written)
        written.seek(0)
        _draw_board(written.read().decode())


def _take_all(written: IO[bytes]) -> None:
    """Start the demo, take the pictures, and end it."""
    port = free_port()
    demo = subprocess.Popen(
        [sys.executable, "-m", "reminders", "demo", "--port", str(port)],
        stdout=written,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(COLUMNS)},
    )
    try:
        _wait(f"http://127.0.0.1:{port}/healthz")
        time.sleep(PLAYED)
        FOLDER.mkdir(parents=True, exist_ok=True)
        with a_browser() as browser:
            for suffix, width, scheme in (("", 1280, "light"), ("-phone", 320, "dark")):
                context = browser.new_context(
                    base_url=f"http://127.0.0.1:{port}",
                    viewport={"width": width, "height": 800},
                    color_scheme=scheme,
                )
                page = context.new_page()
                for screen in sorted(SCREENS, key=lambda one: one.role is not None):
                    _take(page, screen, FOLDER / f"{screen.name}{suffix}.png", width)
                context.close()
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(30)


def _draw_board(said: str) -> None:
    """The board at the end of the demo, from its first group to its total. No font is downloaded."""
    begins = said.rindex("\n", 0, said.rindex("They arrive", 0, said.rindex("They arrive in spite"))) + 1
    ends = said.index("shown.", said.rindex("outcomes")) + len("shown.")
    with StringIO() as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(said[begins:ends]))
    plain = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    plain = plain.replace("Fira Code", "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono'")
    (FOLDER.parent / "demo.svg").write_text(
        console.export_svg(title="reminders demo", code_format=plain), encoding="utf-8"
    )


def _wait(address: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the demo did not start")


def _take(page: Page, screen: Screen, file: Path, width: int) -> None:
    path = re.sub(r"\{(\w+)\}", lambda named: _found(page, named[1]), screen.path)
    if screen.role is not None and not page.context.cookies():
        page.goto("/sign-in")
        page.locator(f'form:has(input[value="{LOGINS[screen.role]}"]) button').click()
        page.wait_for_load_state()
    page.goto(path)
    if screen.name == "new-plan":
        _fill(page)
    tall = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
    page.set_viewport_size({"width": width, "height": max(600, tall)})
    page.screenshot(path=file)
    sys.stdout.write(f"{file.name}\n")


def _fill(page: Page) -> None:
    """A plan being entered: its data is in, and its texts are shown."""
    typed = {
        "patient.ref": "MRN-2041",
        "patient.name": "Quinn Abara",
        "patient.phone": "(202) 555-0190",
        "consent.how": "signed form",
        "consent.verified": "read aloud together",
        "series.0.date": str(clock.now().date() + timedelta(days=4)),
        "series.0.time": "15:00",
    }
    for field, words in typed.items():
        page.locator(f'[id="{field}"]').fill(words)
    for field in ("consent.said", "consent.categories", "consent.warned_of_risk", "consent.alias_shown"):
        page.locator(f'[id="{field}"]').check()
    page.locator('[id="look"]').click()
    page.locator("#texts .bubble").first.wait_for()


WHERE = {
    "plan": ("/plans", r"/plans/(\d+)$"),
    "patient": ("/inbox?queue=urgent", None),
    "session": ("/sessions", r"/sessions/(\d+/[0-9-]+)$"),
    "task": ("/inbox?queue=urgent", r"/inbox/(\d+)$"),
    "text": ("/log?state=undelivered", r"/texts/(\d+)$"),
}


def _found(page: Page, name: str) -> str:
    """The first of its kind on the page that lists them."""
    path, pattern = WHERE[name]
    if pattern is None:  # the patient of the urgent task
        page.goto(f"/inbox/{_found(page, 'task')}")
        pattern = r"/patients/(\d+)$"
    else:
        page.goto(path)
    links = page.eval_on_selector_all("main a[href]", "all => all.map(one => one.getAttribute('href'))")
    found = [match[1] for link in links if (match := re.search(pattern, link))]
    assert found, f"{path} names no {name}"
    return found[0]


if __name__ == "__main__":
    main()
