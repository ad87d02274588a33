"""The demo: every outcome is shown, on any day and at any hour; and it leaves nothing behind, however it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conftest import open_context
from rich.console import Console

from reminders import intake
from reminders.demo import scenes
from reminders.demo.processes import Stage
from reminders.demo.run import Play
from reminders.demo.scenes import FAMILY, GROUP_PHONES, PHONES, REFS, SCENES
from reminders.plans import is_fictional, programs
from reminders.service import planning

ROOT = Path(__file__).resolve().parents[1]
PLACES = {scene.shows: place for place, scene in enumerate(SCENES)}


class Demo:
    """A demo as a separate process; its folder for temporary files is `folder`."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.output = folder / "output.txt"
        # The user's environment must not matter.
        theirs = {"TWILIO_ACCOUNT_SID": "AC" + "1" * 32, "TWILIO_AUTH_TOKEN": "x", "DATABASE_URL": "postgresql://a@b/c"}
        with self.output.open("w") as written:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={**os.environ, **theirs, "TMPDIR": str(self.temporary), "COLUMNS": "100"},
                stdout=written,
                stderr=written,
            )
        self.known: set[int] = set()

    @property
    def said(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while words not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < ends, self.said
            time.sleep(0.1)

    def children(self) -> dict[int, str]:
        """Process id → command of its running children, even after it has ended."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
        ours = {int(row[0]): row[2] for row in rows if int(row[1]) == self.process.pid or int(row[0]) in self.known}
        self.known |= ours.keys()
        return ours

    def ask(self, path: str):
        address = re.search(r"Pretend phones +(http://127\.0\.0\.1:[0-9]+)", self.said)[1]
        with urllib.request.urlopen(address + path, timeout=10) as answer:
            return json.load(answer)

    def end(self, number: signal.Signals | None = None, *, within: float) -> int:
        began = time.monotonic()
        if number is not None:
            self.process.send_signal(number)
        code = self.process.wait(60)
        assert time.monotonic() - began < within
        assert self.children() == {}
        assert list(self.temporary.iterdir()) == []
        return code


@pytest.fixture
def start(tmp_path):
    started: list[Demo] = []

    def run(*command: str) -> Demo:
        started.append(Demo(tmp_path, *command))
        return started[-1]

    yield run
    for one in started:
        for pid in one.children():
            os.kill(pid, signal.SIGKILL)
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(10)


QUICKLY = ("-c", "from reminders.demo.run import run_demo; raise SystemExit(run_demo(seconds=58, port=0, pace=3))")


@pytest.mark.long
@pytest.mark.processes
def test_every_outcome_is_seen_and_ctrl_c_leaves_nothing(start):
    play = start(*QUICKLY)
    play.wait_for("outcomes are shown", 58)
    messages, counters, pages = play.ask("/messages"), play.ask("/counters"), play.ask("/pager")
    phones = {place: [one["body"] for one in play.ask(f"/phones/{phone}")] for place, phone in enumerate(PHONES)}
    assert len(play.children()) == 3
    assert play.end(signal.SIGINT, within=12) == 0

    board = play.said[play.said.index("\nThey arrive ") :]
    for ref, scene in zip(REFS, SCENES, strict=True):
        assert re.search(rf"^{ref} {re.escape(scene.shows)} ", board, re.MULTILINE), board
    assert f"{len(SCENES)} of {len(SCENES)} outcomes shown." in board
    assert f"{len(SCENES)} texts: 1 without word yet, 10 delivered, 3 not delivered, 1 to be tried again" in board
    assert "1 held" in board

    def line(shows: str) -> str:
        return re.search(rf"^{REFS[PLACES[shows]]} {re.escape(shows)} +(.*?) *$", board, re.MULTILINE)[1]

    assert line("phone off for an hour").endswith("at try 2 after code 30003")
    assert line("Twilio's answer is lost").endswith("found by looking it up")
    assert line("40 seconds on the way").endswith("s on the way")
    assert line("phone off: tried again").startswith("Failed (code 30003): next try ")

    # And the phones agree with the log.
    to = Counter(one["to"] for one in messages)
    for place, scene in enumerate(SCENES):
        phone = FAMILY["phone"] if any(visit.reader == "sister" for visit in scene.visits) else PHONES[place]
        taken = scene.tries - ("Twilio is busy" in scene.shows) - (scene.because == 21610)
        assert to.pop(phone, 0) == taken + (scene.because == "cap_day") + (scene.writes is not None), scene.shows
    assert to.pop(GROUP_PHONES[scenes.ASKS]) == 1
    assert not to
    assert phones[PLACES["in Spanish"]][0].startswith("Oak Street Office: ")
    assert "C para confirmar" in phones[PLACES["in Spanish"]][0]
    assert "Your appointments" in phones[PLACES["two visits, one text"]][0]
    assert len(phones[PLACES["texts STOP in time"]]) == 0
    (answer,) = phones[PLACES["writes: cannot go on"]]
    assert "988" in answer
    assert pages
    assert all(re.fullmatch(r"Open urgent task \d+", page["message"]["title"]) for page in pages)
    assert counters["disorder doubled"] >= 1
    assert counters["disorder swapped"] == 1
    assert counters["fault close_after_create"] == counters["fault too_many"] == 1


@pytest.mark.processes
def test_it_stops_by_itself_with_its_summary(start):
    play = start("-m", "reminders", "demo", "--seconds", "5", "--port", "0")
    play.wait_for("Ctrl-C", 30)
    assert play.end(within=20) == 0
    assert "Handed over" in play.said
    assert re.search(rf"of {len(SCENES)} outcomes shown\.", play.said)
    assert "Nothing leaves this machine" in play.said
    address = re.search(r"Delivery log +(http://\S+)", play.said)[1]
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=2)


@pytest.mark.processes
def test_when_a_process_dies_it_says_so_and_ends_the_others(start):
    play = start("-m", "reminders", "demo", "--port", "0")
    play.wait_for("Ctrl-C", 30)
    (worker,) = (pid for pid, command in play.children().items() if command.endswith("-m jobs"))
    os.kill(worker, signal.SIGKILL)
    assert play.end(within=12) == 1
    assert "The worker process ended by itself (-9)." in play.said


@pytest.mark.processes
def test_ctrl_c_while_it_starts_leaves_nothing_either(start):
    play = start("-m", "reminders", "demo", "--port", "0")
    ends = time.monotonic() + 20
    while not play.children():
        assert time.monotonic() < ends, play.said
        time.sleep(0.02)
    assert play.end(signal.SIGINT, within=12) == 0
    assert "Traceback" not in play.said
    assert "Stopped." in play.said


# Checks without waiting

HOURS = [
    datetime(2026, 11, 23, 15, 0, tzinfo=UTC),
    datetime(2026, 11, 26, 4, 10, tzinfo=UTC),  # 23:10 in New York: the visit is tomorrow
    datetime(2026, 11, 27, 4, 59, 55, tzinfo=UTC),  # midnight comes while the demo runs
    datetime(2026, 11, 1, 4, 20, tzinfo=UTC),  # the visits are in the hour that comes twice
    datetime(2026, 3, 8, 6, 20, tzinfo=UTC),  # clocks go forward within the hour
    datetime(2028, 2, 28, 23, 45, tzinfo=UTC),
    datetime(2026, 12, 31, 23, 50, tzinfo=UTC),
]


@pytest.mark.parametrize("now", HOURS, ids=str)
def test_each_plan_gives_its_outcome_on_any_day_at_any_hour(sqlite_template, tmp_path, now):
    path = tmp_path / "demo.db"
    path.write_bytes(sqlite_template.read_bytes())
    more = {"sending__quiet_hours": '["00:00", "00:00"]', "sending__horizon_days": "3"}
    context = open_context(f"sqlite:///{path}", tmp_path, **more)
    try:
        known = context.database.read(lambda tx: context.known(tx, now))
        for place, scene in enumerate(SCENES):
            document, key = scenes.plan_of(scene, place, now)
            plan = intake.read_bytes(json.dumps(document).encode(), "demo.json", known)
            (text,) = (one for one in planning.preview(context, plan, now) if one.key == key)
            if scene.ends == "suppressed" and scene.stops_after is None:
                assert (text.goes, text.reason) == (False, scene.because), scene.shows
            else:
                assert text.goes, (scene.shows, text.reason)
                assert (text.goes_at - now).total_seconds() <= 90, scene.shows
                assert len(text.appointments) == (2 if scene.shows == "two visits, one text" else 1)
        days_ago = now - timedelta(days=2)
        for place, document in enumerate(scenes.group_at(now, met=False)):
            plan = intake.read_bytes(json.dumps(document).encode(), "demo.json", known)
            going = [one for one in planning.preview(context, plan, days_ago) if one.goes and one.closes_at > now]
            assert len(going) == (place != scenes.WITHOUT_CONSENT)
            assert all(one.goes_at > now + timedelta(minutes=20) for one in going)
        for document in scenes.group_at(now)[: scenes.MET_THIS_MORNING]:
            plan = intake.read_bytes(json.dumps(document).encode(), "demo.json", known)
            assert not [one for one in planning.preview(context, plan, now) if one.goes and one.goes_at < now]
    finally:
        context.close()


def test_the_people_are_invented_and_the_programs_real():
    assert len(SCENES) >= 20
    phones = {*PHONES, *GROUP_PHONES, FAMILY["phone"]}
    assert all(map(is_fictional, phones))
    assert len({*phones, "+12025550100", "+12025550101"}) == len(PHONES) + len(GROUP_PHONES) + 3
    assert {scene.program for scene in SCENES} <= programs().keys()
    assert len({scene.program for scene in SCENES}) >= 10
    assert len({scene.zone for scene in SCENES}) == 2
    assert len({scene.language[:2] for scene in SCENES}) == 2


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 16), (132, 50)])
def test_a_page_fits_the_screen_and_every_row_has_its_turn(context_of_the_demo, width, height):
    console = Console(width=width, height=height, force_terminal=True, highlight=False, markup=False, record=True)
    play = Play(Stage(Path(), {"web": 18000, "phones": 18001}, {}), context_of_the_demo, console, 1.0)
    seen = set()
    for turn in range(6):
        with console.capture() as shown:
            console.print(play._page({}, turn))
        lines = re.sub(r"\x1b\[[0-9;]*m", "", shown.get()).splitlines()
        assert len(lines) < height
        assert max(len(line.rstrip()) for line in lines) <= width
        seen |= {ref for ref in REFS if any(line.startswith(ref) for line in lines)}
    assert seen == set(REFS)


@pytest.fixture
def context_of_the_demo(sqlite_template, tmp_path):
    path = tmp_path / "board.db"
    path.write_bytes(sqlite_template.read_bytes())
    context = open_context(f"sqlite:///{path}", tmp_path)
    yield context
    context.close()
