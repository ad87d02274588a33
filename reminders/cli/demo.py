"""`reminders demo`: web, worker and a pretend Twilio as processes of their own, on a throw-away database.

Two dozen invented patients on real programmes, a day in two minutes: each shows one way in which a text can end. Their
plans are entered one after another, as a coordinator would; everything after that is the service itself at work.
"""

import asyncio
import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reminders import clock, plans, store
from reminders.service import House, accounts, importing, outcomes, story
from reminders.service.sending import ASK_AFTER, Dispatch
from reminders.settings import load
from reminders.sms import codes
from reminders.store.texts import LogFilter, Logged

ZONE = "America/New_York"
PAGE_SECONDS = 6.0
ARRIVE, TROUBLE, LOST, HELD = (
    "They arrive",
    "They arrive in spite of trouble",
    "They do not arrive, and we say so",
    "Held back, and we say why",
)
FAMILY = {
    "key": "sister",
    "role": "supporter",
    "phone": "+12025550139",
    "language": "es",
    "zone": ZONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A visit agreed beside the programme, on a date of its own.

    Its text opens `opens_in` seconds after the plan is entered.
    """

    kind: str = "therapy_individual"
    opens_in: float = 8
    lead: str = "1h"
    reader: str = "self"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One invented patient, and the one outcome they are here to show.

    `enters` is when the plan is entered, in seconds after the start. `weeks_in` says how many weeks ago the programme
    began, on today's weekday, so that it meets today; None: it begins in three days, and the `visits` come before. The
    last of the visits is the one whose text is shown. `ends` is the state it is to end in, `because` the reason or
    Twilio's code that goes with it, `tries` after how many calls to Twilio. What the patient `writes` comes before the
    text.
    """

    name: str
    shows: str
    group: str
    programme: str
    ends: str
    enters: float = 0
    weeks_in: int | None = None
    visits: tuple[Visit, ...] = ()
    because: str | int | None = None
    tries: int = 1
    zone: str = ZONE
    language: str = "en"
    said: str = "yes"
    status: str = "active"
    rules: tuple[Mapping[str, Any], ...] = ()
    landline: bool = False
    stops_after: float | None = None
    writes: str | None = None
    called_off_after: float | None = None
    an_hour_ago: bool = False


OFF = {"error_code": 30003, "after": 0.5}

SCENES = (
    Scene(
        name="Jordan Alvarez",
        shows="a reminder, as it should be",
        group=ARRIVE,
        programme="matrix-iop",
        visits=(Visit(opens_in=4),),
        ends="delivered",
    ),
    Scene(
        name="Lucia Ferrer",
        shows="in Spanish",
        group=ARRIVE,
        programme="weekly-cbt",
        weeks_in=3,
        language="es-MX",
        ends="delivered",
    ),
    Scene(
        name="Dana Petrov",
        shows="to a phone in California",
        group=ARRIVE,
        programme="telephone-continuing-care",
        weeks_in=5,
        zone="America/Los_Angeles",
        ends="delivered",
    ),
    Scene(
        name="Robin Castellano",
        shows="two visits, one text",
        group=ARRIVE,
        programme="php",
        enters=8,
        visits=(Visit(kind="psychiatry", opens_in=4), Visit(kind="check_up", opens_in=5)),
        ends="delivered",
    ),
    Scene(
        name="Noor Haddad",
        shows="to the sister she named",
        group=ARRIVE,
        programme="family-education",
        enters=16,
        visits=(Visit(kind="family_session", reader="sister"),),
        ends="delivered",
    ),
    Scene(
        name="Tess Moreau",
        shows="40 seconds on the way",
        group=ARRIVE,
        programme="contingency-management",
        enters=10,
        visits=(Visit(kind="check_up", opens_in=4),),
        rules=({"outcome": "delivered", "after": 40},),
        ends="delivered",
    ),
    Scene(
        name="Priya Nair",
        shows="receipts twice, disordered",
        group=ARRIVE,
        programme="weekly-outpatient",
        enters=24,
        weeks_in=9,
        rules=({"disorder": "doubled", "copies": 1}, {"disorder": "swapped", "about": "sent", "seconds": 20}),
        ends="delivered",
    ),
    Scene(
        name="Sam Okafor",
        shows="phone off for an hour",
        group=TROUBLE,
        programme="iop",
        visits=(Visit(kind="psychiatry", opens_in=30, lead="2h"),),
        # 30003, and its receipt is lost too: we ask. The next try finds the phone on.
        rules=({**OFF, "times": 1}, {"disorder": "dropped", "lasts": 6}),
        an_hour_ago=True,
        ends="delivered",
        tries=2,
    ),
    Scene(
        name="Gray Sandoval",
        shows="Twilio's answer is lost",
        group=TROUBLE,
        programme="mi-met",
        enters=30,
        weeks_in=5,
        # The text is taken and goes out, but neither the answer nor a receipt reaches us: only the look-up can tell.
        rules=({"fault": "close_after_create", "times": 1}, {"disorder": "dropped"}),
        ends="delivered",
    ),
    Scene(
        name="Alex Brandt",
        shows="Twilio is busy at first",
        group=TROUBLE,
        programme="monthly-aftercare",
        enters=45,
        weeks_in=2,
        rules=({"fault": "too_many", "times": 1},),
        ends="delivered",
        tries=2,
    ),
    Scene(
        name="Pat Lindgren",
        shows="a landline",
        group=LOST,
        programme="relapse-prevention",
        enters=14,
        visits=(Visit(opens_in=4),),
        landline=True,
        ends="undelivered",
        because=30006,
    ),
    Scene(
        name="Kim Delacroix",
        shows="nobody has the number",
        group=LOST,
        programme="weekly-outpatient",
        enters=34,
        weeks_in=20,
        rules=({"error_code": 30005},),
        ends="undelivered",
        because=30005,
    ),
    Scene(
        name="Lee Hawthorne",
        shows="phone off: tried again",
        group=LOST,
        programme="iop",
        enters=20,
        # A lead of two hours leaves the 45 minutes that the table of codes waits after 30003.
        visits=(Visit(kind="psychiatry", lead="2h", opens_in=4),),
        rules=(OFF,),
        ends="scheduled",
        because=30003,
    ),
    Scene(
        name="Toni Marchetti",
        shows="STOP is faster than we are",
        group=LOST,
        programme="weekly-cbt",
        enters=55,
        weeks_in=6,
        rules=({"fault": "stop_first", "times": 1},),
        ends="undelivered",
        because=21610,
    ),
    Scene(
        name="Ola Winther",
        shows="the network says nothing",
        group=LOST,
        programme="telephone-continuing-care",
        enters=40,
        weeks_in=8,
        rules=({"outcome": "silent"},),
        ends="sent",
    ),
    Scene(
        name="Max Whitfield",
        shows="called off in time",
        group=HELD,
        programme="matrix-iop",
        enters=2,
        visits=(Visit(opens_in=70),),
        called_off_after=34,
        ends="cancelled",
        tries=0,
    ),
    Scene(
        name="Ines Carvalho",
        shows="texts STOP in time",
        group=HELD,
        programme="matrix-iop",
        enters=2,
        visits=(Visit(opens_in=80),),
        stops_after=46,
        ends="suppressed",
        because="opted_out",
        tries=0,
    ),
    Scene(
        name="Charlie Novak",
        shows="never said yes",
        group=HELD,
        programme="weekly-cbt",
        weeks_in=2,
        said="no",
        ends="suppressed",
        because="no_consent",
        tries=0,
    ),
    Scene(
        name="Yuki Tanabe",
        shows="one text a day, no more",
        group=HELD,
        programme="psychiatry",
        enters=26,
        # Both texts open at one moment. The earlier visit has the day; the other's is dropped.
        visits=(Visit(opens_in=4), Visit(kind="check_up", opens_in=4, lead="2d")),
        ends="suppressed",
        because="cap_day",
        tries=0,
    ),
    Scene(
        name="Marta Eklund",
        shows="plan paused",
        group=HELD,
        programme="monthly-aftercare",
        enters=36,
        weeks_in=1,
        status="paused",
        ends="suppressed",
        because="paused",
        tries=0,
    ),
    Scene(
        name="Devon Ashby",
        shows="meetings were not agreed to",
        group=HELD,
        programme="matrix-iop",
        enters=44,
        visits=(Visit(kind="support_meeting"),),
        ends="suppressed",
        because="category_off",
        tries=0,
    ),
    Scene(
        name="Rory Calloway",
        shows="typed in 20 minutes before",
        group=HELD,
        programme="iop",
        enters=52,
        visits=(Visit(opens_in=-2400),),
        ends="suppressed",
        because="too_late",
        tries=0,
    ),
    Scene(
        name="Wren Abernathy",
        shows="next step not confirmed",
        group=HELD,
        programme="step-down",
        enters=60,
        weeks_in=12,
        ends="suppressed",
        because="not_booked",
        tries=0,
    ),
    Scene(
        name="Jules Marchbanks",
        shows="writes: cannot go on",
        group=HELD,
        programme="relapse-prevention",
        enters=12,
        visits=(Visit(opens_in=30),),
        writes="I can't go on, I don't want to live any more",
        ends="scheduled",
        because="crisis",
        tries=0,
    ),
)
# Who shares a group this evening, and some of whom one this morning: for the pages, where a session is moved for all.
GROUP = (
    "Ari Bergstrom",
    "Bea Fontaine",
    "Cal Ito",
    "Dee Osei",
    "Eli Rasmussen",
    "Fay Quintero",
    "Gus Halloran",
    "Hana Sokolova",
    "Ivo Brandao",
    "Joy Mbeki",
    "Kit Vandenberg",
    "Liv Arsenault",
    "Moe Castillo",
    "Nan Ferreira",
)
GROUP_REFS = tuple(f"G-{place:02}" for place in range(1, len(GROUP) + 1))
GROUP_PHONES = tuple(f"+1202555{place:04}" for place in range(140, 140 + len(GROUP)))
MET_THIS_MORNING, WITHOUT_CONSENT, ASKS = 6, 4, 1  # how many, who, and who texts a question
QUESTION = "Is there somewhere to park?"
WRITES_AFTER = 10  # seconds after the plan is entered
REFS = tuple(f"D-{place:02}" for place in range(1, len(SCENES) + 1))
PHONES = tuple(f"+1202555{place:04}" for place in range(110, 110 + len(SCENES)))


def plan_of(scene: Scene, place: int, now: datetime) -> tuple[dict[str, Any], str]:
    """The plan that is entered for a scene at `now`, as in a plan file; and the key of the text that it is about.

    How a real programme's plan gets a visit whose text opens at once: where the programme meets on the weekday it began
    on, it began so many whole weeks ago and meets in 75 minutes. The text was to go yesterday at 17:00; the plan comes
    late, the window is open, so it goes at once. Where its weekdays are fixed, it begins in three days, and individual
    visits come before it, with a lead that opens within seconds.
    """
    programme = plans.programmes()[scene.programme]
    today = plans.to_wall(now, ZONE).date()
    series = []
    if scene.weeks_in is not None:
        # A programme's times are the clinic's wall clock, wherever its reader is.
        soon = plans.to_wall(now + timedelta(minutes=76), ZONE).replace(second=0, microsecond=0)
        starts_on, at = soon.date() - timedelta(weeks=scene.weeks_in), f"{soon:%H:%M}"
        key = f"day:{soon.date()}:1d@17:00"
    else:
        starts_on, at, key = today + timedelta(days=3), "17:30", ""
    for number, visit in enumerate(scene.visits, 1):
        lead = plans.Lead.parse(visit.lead)
        opens_at = now + timedelta(seconds=visit.opens_in)
        starts = plans.to_wall(opens_at + (lead.before or timedelta(0)), scene.zone) + timedelta(days=lead.days)
        own = {"key": f"visit-{number}", "kind": visit.kind, "minutes": 50, "leads": [visit.lead]}
        own |= {"starts": starts.replace(microsecond=0).isoformat(), "zone": scene.zone, "for": [visit.reader]}
        series.append(own)
        key = f"day:{starts.date()}:{lead}"
    consent = _consent(today - timedelta(days=2), scene.said)
    readers = {visit.reader for visit in scene.visits}
    sister = {**FAMILY, "part2_consent_on": str(today), "consent": {**consent, "categories": ["family"]}}
    document = {
        "plan": {
            "ref": REFS[place],
            "discharged_on": str(min(starts_on, today) - timedelta(days=1)),
            "programme": scene.programme,
            "starts_on": str(starts_on),
            "programme_times": {one.key: at for one in programme.open_times({})},
            "status": scene.status,
        },
        "patient": {
            "ref": f"MRN-{REFS[place]}",
            "name": scene.name,
            "phone": PHONES[place],
            "language": scene.language,
            "zone": scene.zone,
        },
        "consent": {**consent, "categories": ["appointments"]},
        "recipients": [sister] if "sister" in readers else [],
        "series": series,
    }
    return document, key


def group_at(now: datetime, *, met: bool = True) -> list[dict[str, Any]]:
    """The plans of those who share a group: in three hours, or tomorrow morning where that is after midnight.

    Some of them shared another one two hours ago, of which nobody has said yet who came; not so if they have not `met`.
    """
    wall = plans.to_wall(now, ZONE).replace(minute=0, second=0, microsecond=0)
    evening, morning = wall + timedelta(hours=4), wall - timedelta(hours=2)
    if evening.date() != wall.date():
        evening = datetime.combine(wall.date() + timedelta(days=1), datetime.min.time()).replace(hour=10)
    discharged_on = wall.date() - timedelta(days=16)
    found = []
    for place, name in enumerate(GROUP):
        series = [_meeting("evening-group", evening, ["2h"])]
        if met and place < MET_THIS_MORNING:
            series.append(_meeting("morning-group", morning, ["30m"]))
        found.append(
            {
                "plan": {"ref": GROUP_REFS[place], "discharged_on": str(discharged_on)},
                "patient": {
                    "ref": f"MRN-{GROUP_REFS[place]}",
                    "name": name,
                    "phone": GROUP_PHONES[place],
                    "language": "es" if place % 5 == 3 else "en",
                    "zone": ZONE,
                },
                "consent": _consent(discharged_on, "no" if place == WITHOUT_CONSENT else "yes")
                | {"categories": ["appointments"]},
                "series": series,
            }
        )
    return found


def _meeting(key: str, wall: datetime, leads: list[str]) -> dict[str, Any]:
    own = {"key": key, "kind": "therapy_group", "session": f"oak-{key}", "minutes": 90, "leads": leads}
    return own | {"starts": wall.isoformat(), "zone": ZONE, "with": "Dr. Lee", "place": "Room 2"}


def _consent(on: date, said: str) -> dict[str, Any]:
    return {
        "said": said,
        "on": str(on),
        "how": "signed form",
        "by": "A. Reyes",
        "warned_of_risk": True,
        "wording": "2026-10",
        "alias_shown": True,
        "verified": "read aloud",
    }


class _Broken(Exception):  # ruff: ignore[error-suffix-on-exception-name]  a verdict for the person who watches
    """The demo cannot go on; the text says why."""


@dataclass(slots=True)
class _Stage:
    """Where the demo plays: its folder, its addresses, its processes."""

    folder: Path
    ports: Mapping[str, int]
    environment: Mapping[str, str]
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    stopping: bool = False

    def page(self, path: str) -> str:
        """An address of the pages."""
        return f"http://127.0.0.1:{self.ports['web']}{path}"

    @property
    def log_page(self) -> str:
        return self.page("/log?when=past")

    def phones(self, path: str) -> str:
        """An address of the pretend phones."""
        return f"http://127.0.0.1:{self.ports['phones']}{path}"

    def start(self, name: str) -> None:
        arguments = {
            "simulator": [
                "reminders",
                "simulator",
                f"--port={self.ports['api']}",
                f"--control-port={self.ports['phones']}",
            ],
            "web": ["reminders", "web"],
            "worker": ["jobs"],
        }[name]
        with (self.folder / f"{name}.log").open("wb") as written:
            self.children[name] = subprocess.Popen(  # ruff: ignore[subprocess-without-shell-equals-true]  our own modules
                [sys.executable, "-m", *arguments],
                env=dict(self.environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                start_new_session=True,  # Ctrl-C is ours to handle: the worker finishes what is on the wire
            )

    def wait_for(self, name: str, url: str) -> None:
        """Wait until a process answers. Raises _Broken when it has ended, or after 30 s."""
        ends = time.monotonic() + 30
        while not self.stopping:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=2):  # ruff: ignore[suspicious-url-open-usage]  our own address
                    return
            except OSError:
                if time.monotonic() > ends:
                    raise _Broken(f"The {name} process did not answer within 30 s.{self._last_words(name)}") from None
                time.sleep(0.05)

    def check(self) -> None:
        """Raise _Broken when a process has ended by itself."""
        for name, child in self.children.items():
            if child.poll() is not None:
                raise _Broken(f"The {name} process ended by itself ({child.returncode}).{self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        lines = (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        return "".join(f"\n  {line}" for line in ("The end of what it wrote:", *lines)) if lines else ""

    def close(self) -> None:
        """End all processes: politely, and after eight seconds not."""
        for child in self.children.values():
            child.terminate()
        ends = time.monotonic() + 8
        for child in self.children.values():
            try:
                child.wait(max(0.1, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def run_demo(*, seconds: float | None, port: int, pace: float = 1.0) -> int:
    """Play the demo until Ctrl-C, or for so many `seconds`, at so many times its `pace`.

    Ends with the board and a line of counts on stdout: 0, or 1 when a process died or did not come up. What is started
    here is ended here, and the folder is gone.
    """
    console = Console(highlight=False, markup=False)
    with tempfile.TemporaryDirectory(prefix="reminders-demo-") as name:
        folder = Path(name)
        ports = {"web": port if port and _is_free(port) else _free_port(), "api": _free_port(), "phones": _free_port()}
        stage = _Stage(folder, ports, _environment(folder, ports))
        with _stopped_by_signals(stage):
            # The house of this process must see what its children see: neither keys nor accounts of somebody's own.
            os.environ.clear()
            os.environ.update(stage.environment)
            house = House.open(load(stage.environment, folder))
            try:
                _Play(stage, house, console, pace).run(seconds)
            except _Broken as broken:
                console.print(str(broken), soft_wrap=True)
                return 1
            except urllib.error.URLError as away:
                console.print(f"The pretend Twilio does not answer any more: {away.reason}.", soft_wrap=True)
                return 1
            finally:
                stage.close()
                house.close()
    console.print("Stopped. The database is gone; nothing left this machine.")
    return 0


@contextmanager
def _stopped_by_signals(stage: _Stage) -> Generator[None]:
    def stop(*_: object) -> None:
        stage.stopping = True

    before = {wanted: signal.signal(wanted, stop) for wanted in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for wanted, handler in before.items():
            signal.signal(wanted, handler)


class _Play:
    """The day: what happens when, and the board that shows it."""

    def __init__(self, stage: _Stage, house: House, console: Console, pace: float) -> None:
        self.stage, self.house, self.console, self.pace = stage, house, console, pace
        self.keys: dict[str, str] = {}
        self.documents: dict[str, dict[str, Any]] = {}
        self.began = clock.now()

    def run(self, seconds: float | None) -> None:
        stage = self.stage
        stage.start("simulator")
        store.migrate(self.house.database, clock.now())
        stage.start("web")  # which refuses to start on an empty database
        accounts.keep_demo_staff(self.house, clock.now())
        stage.wait_for("simulator", stage.phones("/counters"))
        if stage.stopping:
            return
        self._brief_the_network()
        self.began = clock.now()
        for place, scene in enumerate(SCENES):
            if scene.an_hour_ago:
                self._play_an_hour_ago(scene, place)
        coming = sorted(self._cues(), key=itemgetter(0))
        while coming and coming[0][0] <= 0:
            coming.pop(0)[1]()
        stage.start("worker")
        stage.wait_for("web", stage.page("/healthz"))
        self.console.print("\nAftercare reminders: the demo", style="bold")
        self.console.print(self._where(), "", sep="\n", soft_wrap=True)
        until = time.monotonic() + seconds if seconds is not None else float("inf")
        told: dict[str, str] = {}
        with Live(console=self.console, refresh_per_second=4, transient=True, auto_refresh=False) as live:
            while not stage.stopping and time.monotonic() < until:
                stage.check()
                while coming and coming[0][0] <= self._passed():
                    coming.pop(0)[1]()
                rows = self._texts()
                if self.console.is_terminal:
                    live.update(self._page(rows, int(time.monotonic() / PAGE_SECONDS)), refresh=True)
                else:
                    self._tell(rows, told)
                time.sleep(0.4)
        if self.keys:
            rows = self._texts()
            self.console.print(*self._groups(rows, range(len(SCENES))), sep="\n")
            self.console.print(self._summary(rows), soft_wrap=not self.console.is_terminal)
            self.console.print(self._where(), soft_wrap=True)

    def _passed(self) -> float:
        return (clock.now() - self.began).total_seconds() * self.pace

    def _cues(self) -> Iterator[tuple[float, Callable[[], None]]]:
        """What is done when, in seconds of the play: everything else the service does by itself."""
        yield 0, self._enter_group
        yield WRITES_AFTER, partial(self._text, GROUP_PHONES[ASKS], QUESTION)
        for place, scene in enumerate(SCENES):
            if not scene.an_hour_ago:
                yield scene.enters, partial(self._enter, scene, place)
            if scene.called_off_after is not None:
                yield scene.called_off_after, partial(self._call_off, place)
            if scene.stops_after is not None:
                yield scene.stops_after, partial(self._text, PHONES[place], "STOP")
            if scene.writes is not None:
                yield scene.enters + WRITES_AFTER, partial(self._text, PHONES[place], scene.writes)

    def _brief_the_network(self) -> None:
        """Tell the pretend phones what they are to do."""
        phones = self.stage.phones
        _post(phones("/settings"), {"sent_after": 0.6, "delivered_after": {"median": 2.0, "p99": 6.0, "longest": 8.0}})
        for place, scene in enumerate(SCENES):
            if scene.landline:
                _post(phones(f"/phones/{PHONES[place]}"), {"line_type": "landline"})
            for rule in scene.rules:
                paced = {"after": rule["after"] / self.pace} if "after" in rule else {}
                _post(phones("/rules"), {"to": PHONES[place], **rule, **paced})

    def _play_an_hour_ago(self, scene: Scene, place: int) -> None:
        """Send a text by a clock set back an hour, and ask after it a quarter of an hour later.

        The table of codes lets 45 minutes pass after 30003, longer than anybody watches; so the first try is made
        before the worker runs, with the very calls it makes, and its second falls into the demo.
        """
        opens_in = scene.visits[-1].opens_in / self.pace
        then = self.began - timedelta(seconds=codes.look_up(30003).retry_after or 0) - ASK_AFTER
        self._enter(scene, place, then)
        opened = then + timedelta(seconds=opens_in)

        async def send_and_ask() -> None:
            gateway = self.house.gateway()
            try:
                with ThreadPoolExecutor(1) as executor:
                    clock.correct(opened - clock.machine())
                    await Dispatch(self.house, gateway, executor, threading.Event()).drain()
                await asyncio.to_thread(self._wait_for_the_carrier, PHONES[place])
                await outcomes.ask(self.house, gateway, opened + ASK_AFTER + timedelta(seconds=1))
            finally:
                clock.correct(timedelta(0))
                await gateway.close()

        asyncio.run(send_and_ask())

    def _wait_for_the_carrier(self, phone: str) -> None:
        ends = time.monotonic() + 5
        while time.monotonic() < ends:
            with urllib.request.urlopen(self.stage.phones("/messages"), timeout=5) as answer:  # ruff: ignore[suspicious-url-open-usage]  our own address
                if any(one["to"] == phone and one["error_code"] for one in json.load(answer)):
                    return
            time.sleep(0.1)
        raise _Broken("The pretend Twilio did not answer in time.")

    def _enter(self, scene: Scene, place: int, now: datetime | None = None) -> None:
        now = now or clock.now()
        self.documents[REFS[place]], self.keys[REFS[place]] = plan_of(self._at_pace(scene), place, now)
        self._import(place, now)

    def _at_pace(self, scene: Scene) -> Scene:
        visits = tuple(
            replace(one, opens_in=one.opens_in / self.pace) if one.opens_in > 0 else one for one in scene.visits
        )
        return replace(scene, visits=visits)

    def _import(self, place: int, now: datetime) -> None:
        path = self.stage.folder / f"{REFS[place]}.json"
        path.write_text(json.dumps(self.documents[REFS[place]]), encoding="utf-8")
        self._take_in([path], now)

    def _take_in(self, paths: Sequence[Path], now: datetime) -> None:
        report = importing.import_files(self.house, paths, now, who="demo")
        if report.refused:
            raise _Broken("\n".join(f"{path.stem}: {problem}" for path, problem in report.refused))

    def _enter_group(self) -> None:
        """Enter the plans of those who share a group two days ago, since a change within the hour is no news.

        That some of them met this morning is entered now, so that no text of the demo comes too late for it.
        """
        now = clock.now()
        for met, at in ((False, now - timedelta(days=2)), (True, now)):
            paths = []
            for document in group_at(now, met=met):
                paths.append(self.stage.folder / f"{document['plan']['ref']}.json")
                paths[-1].write_text(json.dumps(document), encoding="utf-8")
            self._take_in(paths, at)

    def _call_off(self, place: int) -> None:
        for series in self.documents[REFS[place]]["series"]:
            series["status"] = "cancelled"
        self._import(place, clock.now())

    def _text(self, phone: str, body: str) -> None:
        """A pretend phone texts us."""
        _post(self.stage.phones(f"/phones/{phone}/texts"), {"body": body, "to": self.house.settings.twilio.sender})

    # The board

    def _texts(self) -> dict[str, Logged]:
        """By reference of the plan, the text each scene is about."""
        near = LogFilter(since=self.began - timedelta(days=5), until=self.began + timedelta(days=1), limit=1000)
        found = self.house.database.read(lambda tx: store.texts.log(tx, near))
        return {one.plan: one for one in found if one.plan is not None and self.keys.get(one.plan) == one.key}

    def _tell(self, rows: Mapping[str, Logged], told: dict[str, str]) -> None:
        """Where nobody watches a screen, a line for each change."""
        for place, ref in enumerate(REFS):
            if ref in rows and (said := outcome(rows[ref]).plain) != told.get(ref):
                self.console.print(f"{self._time()}  {ref}  {SCENES[place].shows}: {said}", soft_wrap=True)
                told[ref] = said
        if "" not in told and _shown(rows) == len(SCENES):
            told[""] = f"{self._time()}  All {len(SCENES)} outcomes are shown."
            self.console.print(told[""])

    def _time(self) -> str:
        return f"{plans.to_wall(clock.now(), ZONE):%H:%M:%S}"

    def _where(self) -> str:
        return (
            "Nothing leaves this machine: Twilio, the phones and the patients are invented.\n"
            "Quiet hours are off here, so that it can be shown at any hour.\n"
            f"  Pages           {self.stage.page('/')}  (come in by a button, no password)\n"
            f"  Delivery log    {self.stage.log_page}\n"
            f"  Pretend phones  {self.stage.phones('/messages')}\n"
            f"  Pretend pager   {self.stage.phones('/pager')}\n"
            "  Ctrl-C ends the demo and removes everything it made."
        )

    def _page(self, rows: Mapping[str, Logged], turn: int) -> Group:
        """As many groups as the screen has room for; with each `turn` the next page."""
        room = self.console.height - 9
        pages: list[list[int]] = [[]]
        lines, group = 0, ""
        for place, scene in enumerate(SCENES):
            if scene.group != group:
                size = 1 + sum(other.group == scene.group for other in SCENES)
                if lines and lines + size > room:
                    pages.append([])
                    lines = 0
                lines, group = lines + 1, scene.group
            if lines >= room:
                pages.append([])
                lines = 1
            pages[-1].append(place)
            lines += 1
        number = turn % len(pages)
        head = Text.assemble(("Aftercare reminders: the demo", "bold"), f"   {self._time()} at the clinic")
        if len(pages) > 1:
            head.append(f"   page {number + 1} of {len(pages)}", "dim")
        foot = Text(
            f"Delivery log {self.stage.log_page}\nPretend phones {self.stage.phones('/messages')}\n"
            f"Pretend pager of on-call {self.stage.phones('/pager')}\n"
            "Nothing leaves this machine. Ctrl-C ends it.",
            "dim",
        )
        return Group(head, *self._groups(rows, pages[number]), self._summary(rows), foot)

    def _groups(self, rows: Mapping[str, Logged], places: Sequence[int]) -> list[Table]:
        return [
            self._table(rows, group, [place for place in places if SCENES[place].group == group])
            for group in dict.fromkeys(SCENES[place].group for place in places)
        ]

    def _table(self, rows: Mapping[str, Logged], group: str, places: Sequence[int]) -> Table:
        wide = self.console.width >= 110
        table = Table(box=None, show_header=False, padding=(0, 1, 0, 0), pad_edge=False, title=group)
        table.title_justify, table.title_style = "left", "bold cyan"
        table.add_column(width=4, no_wrap=True)
        if wide:
            table.add_column(width=26, no_wrap=True, style="dim")
        table.add_column(width=27, no_wrap=True)
        table.add_column(width=46, no_wrap=True)
        for place in places:
            scene, text = SCENES[place], rows.get(REFS[place])
            said = Text("plan not entered yet", "dim") if text is None else outcome(text)
            table.add_row(REFS[place], *([scene.programme] if wide else []), scene.shows, said)
        return table

    def _summary(self, rows: Mapping[str, Logged]) -> Text:
        """What the texts on the board came to."""
        counts = Counter(_in_a_word(text) for text in rows.values())
        counted = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
        shown = f"{_shown(rows)} of {len(SCENES)} outcomes shown."
        return Text(f"{len(rows)} texts: {counted or 'none yet'}. {shown}", "bold")


WORDS = (
    "planned",
    "without word yet",
    "delivered",
    "not delivered",
    "to be tried again",
    "taken back",
    "held",
    "not sent",
)


def _in_a_word(text: Logged) -> str:
    if text.held is not None:
        return "held"
    if text.state == "scheduled" and text.attempts:
        return "to be tried again"
    return {
        "scheduled": "planned",
        "delivered": "delivered",
        "undelivered": "not delivered",
        "cancelled": "taken back",
        "suppressed": "not sent",
    }.get(text.state, "without word yet")


def _shown(rows: Mapping[str, Logged]) -> int:
    return sum(ref in rows and as_announced(SCENES[place], rows[ref]) for place, ref in enumerate(REFS))


def as_announced(scene: Scene, text: Logged) -> bool:
    """Whether a text has ended as its scene says."""
    last = text.attempts[-1] if text.attempts else None
    met = {text.reason, text.held, text.waits_code, last.error_code if last else None}
    tries = len(text.attempts) == scene.tries
    return text.state == scene.ends and tries and (scene.because is None or scene.because in met)


def outcome(text: Logged) -> Text:
    """What became of a text, as short as a board needs it; `story.tell` says it in full on the log page."""
    at, first, last = partial(_clock, text.zone), None, None
    if text.attempts:
        first, last = text.attempts[0], text.attempts[-1]
    if text.held is not None:
        return Text("Held: may be in danger, on-call is paged", "bold red")
    if text.state == "suppressed":
        return Text(f"Not sent: {story.REASONS[text.reason or '']}", "yellow")
    if first is None or last is None:
        said = f"Planned for {at(text.due_at)}" if text.state == "scheduled" else story.STATES[text.state]
        return Text(said, "yellow" if text.state == "cancelled" else "dim")
    if text.state == "scheduled":
        code = f" (code {text.waits_code})" if text.waits_code else ""
        return Text(f"Failed{code}: next try {at(text.due_at)}", "magenta")
    if text.state == "delivered":
        return Text(f"Delivered {at(last.status_at)}{_how(text)}", "green")
    if text.state == "undelivered":
        return Text(f"Not delivered: code {last.error_code}, {_who(last.error_code or 0)}", "red")
    if text.state == "uncertain":
        return Text("No answer came: to be looked up, not repeated", "magenta")
    return Text(f"{story.STATES[text.state]} {at(last.started_at)}, no word yet", "blue")


def _how(text: Logged) -> str:
    """What was unusual about a delivery."""
    first, last = text.attempts[0], text.attempts[-1]
    if first is not last:
        why = f" after code {first.error_code}" if first.error_code else ""
        return f" at try {len(text.attempts)}{why}"
    if last.what:
        return ", found by looking it up"
    took = (last.status_at - last.started_at).total_seconds() if last.status_at else 0
    return f", {took:.0f} s on the way" if took >= 10 else ""


def _who(code: int) -> str:
    return {"opted_out": "opted out", "number": "no more texts to it"}.get(codes.look_up(code).class_, "")


def _clock(zone: str, at: datetime | None) -> str:
    return "" if at is None else f"{plans.to_wall(at, zone):%H:%M:%S}"


def _environment(folder: Path, ports: Mapping[str, int]) -> dict[str, str]:
    mine = {
        "REMINDERS_DATABASE__URL": f"sqlite:///{folder / 'demo.db'}",
        "REMINDERS_TWILIO__LIVE": "false",
        "REMINDERS_TWILIO__API_BASE_URL": f"http://127.0.0.1:{ports['api']}",
        "REMINDERS_TWILIO__PHONES_URL": f"http://127.0.0.1:{ports['phones']}",
        "REMINDERS_TWILIO__SENDER": "+15005550006",
        "REMINDERS_TWILIO__DEADLINE_SECONDS": "5",
        "REMINDERS_WEB__PUBLIC_URL": f"http://127.0.0.1:{ports['web']}",
        "REMINDERS_WEB__HOST": "127.0.0.1",
        "REMINDERS_WEB__PORT": str(ports["web"]),
        "REMINDERS_WEB__DEMO": "true",
        "REMINDERS_SENDING__QUIET_HOURS": '["00:00", "00:00"]',  # a demo may be shown in the evening
        "REMINDERS_SENDING__WELCOME": "false",  # it would be the day's text of everybody who is entered here
        "REMINDERS_SENDING__HORIZON_DAYS": "3",  # else the log page begins with two months of plans
        "REMINDERS_SENDING__LEASE_SECONDS": "15",
        "REMINDERS_SENDING__SETTLE_SECONDS": "6",  # look up what is unknown within seconds, not minutes
        "REMINDERS_SITE__ZONE": ZONE,
        "REMINDERS_JOBS__SEND_SECONDS": "1",
        "REMINDERS_SITE__ON_CALL": json.dumps([f"json://127.0.0.1:{ports['phones']}/pager"]),
        "REMINDERS_JOBS__SETTLE_SECONDS": "2",
        "REMINDERS_JOBS__POLL_SECONDS": "10",
        "REMINDERS_JOBS__PAGE_SECONDS": "2",
        "REMINDERS_JOBS__WATCH_SECONDS": "10",
        "REMINDERS_SEALING_KEYS": f"demo:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "REMINDERS_SECRET_KEY": secrets.token_urlsafe(32),
    }
    # Whatever real account the environment names has no business in a demo.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TWILIO_", "REMINDERS_"))}
    kept |= dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost")  # no proxy is asked to carry a page
    kept.pop("DATABASE_URL", None)
    kept.pop("PORT", None)
    source = Path(__file__).resolve().parents[2]
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(source), kept.get("PYTHONPATH")]))
    return kept | mine


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _post(url: str, document: Mapping[str, object]) -> None:
    request = urllib.request.Request(  # ruff: ignore[suspicious-url-open-usage]  our own address
        url, json.dumps(document).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=5):  # ruff: ignore[suspicious-url-open-usage]  as above
        pass
