"""The day: what happens when, and the board that shows it."""

import asyncio
import json
import os
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reminders import clock, plans, queries
from reminders.demo.board import WORDS, in_a_word, outcome, shown
from reminders.demo.processes import Broken, Stage, environment_of, free_port, is_free, post, stopped_by_signals
from reminders.demo.scenes import (
    ASKS,
    GROUP_PHONES,
    PAGE_SECONDS,
    PHONES,
    QUESTION,
    REFS,
    SCENES,
    WRITES_AFTER,
    ZONE,
    Scene,
    group_at,
    plan_of,
)
from reminders.queries.texts import LogFilter, Logged
from reminders.service import AppContext
from reminders.service.office import accounts
from reminders.service.operations import upgrade
from reminders.service.planning import importing
from reminders.service.sending import outcomes
from reminders.service.sending.dispatch import ASK_AFTER, Dispatch
from reminders.settings import load
from reminders.sms import codes


def run_demo(*, seconds: float | None, port: int, pace: float = 1.0) -> int:
    """Play the demo until Ctrl-C, or for `seconds`, at `pace` times its normal speed.

    Prints the board and a line of counts to stdout at the end. Returns 0, or 1 if a process died or did not start. All
    processes end and the folder is removed.
    """
    console = Console(highlight=False, markup=False)
    with tempfile.TemporaryDirectory(prefix="reminders-demo-") as name:
        folder = Path(name)
        ports = {"web": port if port and is_free(port) else free_port(), "api": free_port(), "phones": free_port()}
        stage = Stage(folder, ports, environment_of(folder, ports))
        with stopped_by_signals(stage):
            # This process must see what its children see: neither keys nor accounts of someone's own.
            os.environ.clear()
            os.environ.update(stage.environment)
            context = AppContext.open(load(stage.environment, folder))
            try:
                Play(stage, context, console, pace).run(seconds)
            except Broken as broken:
                console.print(str(broken), soft_wrap=True)
                return 1
            except urllib.error.URLError as away:
                console.print(f"The pretend Twilio does not answer any more: {away.reason}.", soft_wrap=True)
                return 1
            finally:
                stage.close()
                context.close()
    console.print("Stopped. The database is gone; nothing left this machine.")
    return 0


class Play:
    """The day: what happens when, and the board that shows it."""

    def __init__(self, stage: Stage, context: AppContext, console: Console, pace: float) -> None:
        self.stage, self.context, self.console, self.pace = stage, context, console, pace
        self.keys: dict[str, str] = {}
        self.documents: dict[str, dict[str, Any]] = {}
        self.began = clock.now()

    def run(self, seconds: float | None) -> None:
        """Play it to the end, or for `seconds`."""
        stage = self.stage
        stage.start("simulator")
        upgrade.migrate(self.context, clock.now())
        stage.start("web")  # which refuses to start on an empty database
        accounts.keep_demo_staff(self.context, clock.now())
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
        """The actions and their times, in seconds of the play; the service does everything else by itself."""
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
        """Tell the pretend phones what to do."""
        phones = self.stage.phones
        post(phones("/settings"), {"sent_after": 0.6, "delivered_after": {"median": 2.0, "p99": 6.0, "longest": 8.0}})
        for place, scene in enumerate(SCENES):
            if scene.landline:
                post(phones(f"/phones/{PHONES[place]}"), {"line_type": "landline"})
            for rule in scene.rules:
                paced = {"after": rule["after"] / self.pace} if "after" in rule else {}
                post(phones("/rules"), {"to": PHONES[place], **rule, **paced})

    def _play_an_hour_ago(self, scene: Scene, place: int) -> None:
        """Send a text on a clock set back an hour, and look it up a quarter of an hour later.

        The table of codes waits 45 minutes after 30003, longer than anyone watches. So the first try is made before the
        worker starts, with the same calls, and the second try falls into the demo.
        """
        opens_in = scene.visits[-1].opens_in / self.pace
        then = self.began - timedelta(seconds=codes.look_up(30003).retry_after or 0) - ASK_AFTER
        self._enter(scene, place, then)
        opened = then + timedelta(seconds=opens_in)

        async def send_and_ask() -> None:
            gateway = self.context.gateway()
            try:
                with ThreadPoolExecutor(1) as executor:
                    clock.correct(opened - clock.machine())
                    await Dispatch(self.context, gateway, executor, threading.Event()).drain()
                await asyncio.to_thread(self._wait_for_the_carrier, PHONES[place])
                await outcomes.ask(self.context, gateway, opened + ASK_AFTER + timedelta(seconds=1))
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
        raise Broken("The pretend Twilio did not answer in time.")

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
        report = importing.import_files(self.context, paths, now, who="demo")
        if report.refused:
            raise Broken("\n".join(f"{path.stem}: {problem}" for path, problem in report.refused))

    def _enter_group(self) -> None:
        """Enter the plans of the group as of two days ago, since a change just after entry is not news.

        This morning's session is entered now, so that no text of the demo comes too late for it.
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
        """Text us from a pretend phone."""
        post(self.stage.phones(f"/phones/{phone}/texts"), {"body": body, "to": self.context.settings.twilio.sender})

    # The board

    def _texts(self) -> dict[str, Logged]:
        """The text of each scene, by the reference of its plan."""
        near = LogFilter(since=self.began - timedelta(days=5), until=self.began + timedelta(days=1), limit=1000)
        found = self.context.database.read(lambda tx: queries.texts.log(tx, near))
        return {one.plan: one for one in found if one.plan is not None and self.keys.get(one.plan) == one.key}

    def _tell(self, rows: Mapping[str, Logged], told: dict[str, str]) -> None:
        """Print a line for each change if there is no screen to watch."""
        for place, ref in enumerate(REFS):
            if ref in rows and (said := outcome(rows[ref]).plain) != told.get(ref):
                self.console.print(f"{self._time()}  {ref}  {SCENES[place].shows}: {said}", soft_wrap=True)
                told[ref] = said
        if "" not in told and shown(rows) == len(SCENES):
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
        """As many groups as fit on the screen; each `turn` shows the next page."""
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
            table.add_row(REFS[place], *([scene.program] if wide else []), scene.shows, said)
        return table

    def _summary(self, rows: Mapping[str, Logged]) -> Text:
        """The summary of the texts on the board."""
        counts = Counter(in_a_word(text) for text in rows.values())
        counted = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
        said = f"{shown(rows)} of {len(SCENES)} outcomes shown."
        return Text(f"{len(rows)} texts: {counted or 'none yet'}. {said}", "bold")
