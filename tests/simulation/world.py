"""One simulated world: a seed, a clock, the phone network, the database, and the processes of the service in it.

Everything that happens comes from the seed: no thread, no socket, no wall clock. The same seed gives the same trace.
"""

import asyncio
import logging
import tempfile
import threading
from collections import Counter
from collections.abc import Coroutine
from contextlib import ExitStack
from contextvars import copy_context
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any
from unittest import mock

from conftest import KEYS, environment
from simulation import network
from simulation.disk import Disk
from simulation.loop import WHOSE, Died, Loop
from simulation.promises import Promises

from reminders import clock, conversation, crash, store
from reminders.service import AppContext, planning, sending
from reminders.service.operations import runs
from reminders.service.planning import watch
from reminders.service.replies import inbound
from reminders.service.sending import backlog, dispatch, outcomes
from reminders.service.tasks import oncall
from reminders.settings import Secrets, load
from reminders.simulator import Simulator, SimulatorSettings, Spread
from reminders.sms import Unreachable, gateway
from reminders.store.database import engine as store_engine
from reminders.store.database import ids

SENDER = "+15005550006"
PUBLIC = "http://127.0.0.1:8000"
ON_CALL = '[{"name": "first", "page": "json://127.0.0.1:9/"}, {"name": "second", "page": "json://127.0.0.1:9/2"}]'
POINTS = ("K0", "K1", "K2", "K3", "K5", "K6", "K7", "K8", "K9", "K10", "K11", "K14", "K15")
JOBS = ("send", "settle", "ask", "plan", "poll", "page", "watch")
EXPECTED = (store.Unavailable, store.CommitUncertain, Unreachable)  # what faults of others may make a job end with


_understand = cache(conversation.understand)  # it is pure, and slow for thousands of calls


@cache
def _settings(more: tuple[tuple[str, str], ...], url: str) -> Any:
    with tempfile.TemporaryDirectory() as nothing:
        return load(environment(url, **dict(more)), Path(nothing))


class Process:
    """One process of the service: its knowledge is in its house, and is lost when it dies."""

    def __init__(self, world: "World", name: str, *, quick: bool = False) -> None:
        self.world = world
        self.name = name
        self.tasks: dict[asyncio.Task, None] = {}
        self.is_alive = True
        self.hangs_until = 0.0  # stopped until then, as by SIGSTOP, before its next transaction
        self.will_hang = 0.0  # seconds for which it will be stopped, right after its next transaction
        self.commit_fault: str | None = None
        self.dies_at: tuple[str, int] | None = None
        ring = store.Ring(KEYS)
        url = world.disk.url
        database = store.Database(url, ring, patience=1, tries=2) if quick else store.Database(url, ring)
        secrets = Secrets(
            "AC" + "0" * 32,
            "simulator",
            None,
            None,
            "a secret of all tests, 32 bytes!",
            KEYS,
            made_here=False,
        )
        self.context = AppContext(world.settings, secrets, database)
        self._line: Any = None
        self._sends = False

    def begin(self, work: Coroutine, *, quiet: bool = False) -> asyncio.Task:
        """Let the process do that."""

        async def guarded() -> Any:
            try:
                return await work
            except Died:
                return None

        context = copy_context()
        context.run(WHOSE.set, self)
        task = self.world.loop.create_task(guarded(), context=context)
        if not quiet:
            task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.world.loop.broken.append(error)

    def lives(self) -> None:
        """Raises Died in a dead process."""
        if not self.is_alive:
            raise Died

    def meets(self, fault: str) -> None:
        """Record an injected fault."""
        self.world.counts[f"fault: {fault}"] += 1
        self.world.said(f"{self.name} meets {fault}")

    def passes(self, point: str) -> None:
        """Pass a crash point, which may end the process."""
        self.lives()
        if self.dies_at is not None and self.dies_at[0] == point:
            if self.dies_at[1] > 0:
                self.dies_at = (point, self.dies_at[1] - 1)
                return
            self.die(f"at {point}")
            raise Died

    def die(self, where: str) -> None:
        """End here, as by SIGKILL; another one of that name starts with only the database."""
        if not self.is_alive:
            return
        self.is_alive = False
        for task in list(self.tasks):
            task.cancel()
        self.world.counts["crashes"] += 1
        self.world.counts[f"crash: {where.split(' ', 1)[0] if 'C' not in where else where}"] += 1
        self.world.said(f"{self.name} dies {where}")
        self.world.replace(self)

    # What it does

    async def job(self, name: str) -> None:
        """Run a job once, like `runs.run` and the line. Only the success of `send` is recorded: others read it."""
        world, context = self.world, self.context
        try:
            match name:
                case "send":
                    await self._send()
                case "settle":
                    await self._with_line(lambda line: outcomes.settle(context, line, clock.now()))
                case "ask":
                    await self._with_line(lambda line: outcomes.ask(context, line, clock.now()))
                case "poll":
                    began = world.now
                    await self._with_line(self._poll)
                    world.polled_at = began
                case "plan":
                    planning.extend(context, clock.now())
                case "page":
                    oncall.escalate(context, clock.now())
                    await oncall.deliver(context, clock.now())
                case "watch":
                    watch.look(context, clock.now())
        except Exception as error:  # ruff: ignore[blind-except]  as in the service: it goes red and is run again
            world.met(error, f"the {name} job")
            runs.failed(context, name, error)

    async def _with_line(self, work) -> None:
        line = self.context.gateway()
        try:
            await work(line)
        finally:
            await line.close()

    async def _poll(self, line) -> None:
        taken = await inbound.poll(self.context, line, clock.now())
        await runs.answer(self.context, line, taken)

    async def _send(self) -> None:
        if self._sends:
            return  # one pass at a time, as in the line
        self._sends = True
        try:
            if self._line is None:
                stop = threading.Event()
                self._line = sending.Dispatch(self.context, self.context.gateway(), None, stop, scanned=self._scanned)
            backlog.check(self.context, clock.now())
            tally = await self._line.drain()
            if tally.claimed:
                self.world.said(f"{self.name} sent: {tally.accepted} taken, {tally.refused} refused, {tally.unknown} ?")
        finally:
            self._sends = False

    def _scanned(self) -> None:
        runs.succeeded(self.context, "send")


class World:
    """The world of one seed on a disk. `close` it when done."""

    def __init__(
        self, seed: int, disk: Disk, *, began: datetime | None = None, more: dict[str, str] | None = None
    ) -> None:
        """`began` and `more` settings replace the seed's choices."""
        self.seed = seed
        self.random = Random(f"the world of {seed}")
        self._chance = Random(f"what no one decides, of {seed}")  # the wire and the turns at the database
        self.disk = disk
        self.counts: Counter[str] = Counter()
        self.trace: list[str] = []
        self.loop = Loop(self._turn)
        chosen = self.random
        self.began = chosen.choice(
            [
                datetime(2026, 10, 29, 13, 5, tzinfo=clock.UTC),  # the clocks go back on 1 November
                datetime(2026, 11, 30, 15, 0, tzinfo=clock.UTC),
                datetime(2027, 3, 11, 14, 30, tzinfo=clock.UTC),  # and forward on 14 March
            ]
        )
        self.began = began or self.began
        self.skew = timedelta(0)
        self.polled_at = self.began
        self.went_back = timedelta(0)  # by how much the clock was set back, in all
        drawn = {
            "sending__welcome": chosen.choice(["false", "false", "true"]),
            "sending__per_day": chosen.choice(["1", "1", "2"]),
            "twilio__segments_per_second": chosen.choice(["0", "0", "1"]),
            "twilio__in_flight": chosen.choice(["50", "2"]),
            "sending__backlog": chosen.choice(["200", "2"]),
            "site__on_call": ON_CALL,
        }
        self.settings = _settings(tuple((drawn | (more or {})).items()), disk.url)
        self.most_lag = chosen.choice([0.0, 2.0, 60.0, 600.0, 600.0])
        self.twilio = Simulator(
            SimulatorSettings(
                senders=frozenset({SENDER}),
                inbound_url=f"{PUBLIC}/sms/inbound",
                unreceipted=chosen.choice([0.0, 0.05]),
                list_lag=Spread(self.most_lag * 0.7, self.most_lag, self.most_lag) if self.most_lag else 0.0,
                delivered_after=chosen.choice([0.4, 5.0, 600.0]),
                segments_per_second=chosen.choice([0.0, 1.0]),
            ),
            seed=seed,
        )
        self.is_slow = False
        self.loses_answers = 0.0
        self._armed: asyncio.TimerHandle | None = None
        self._names: dict[str, str] = {}
        disk.fresh()
        self._patches = ExitStack()
        self._patch()
        self.promises = Promises(self)
        self.workers = [Process(self, f"worker {number}") for number in range(1, chosen.choice([1, 2, 3]) + 1)]
        self.desk = Process(self, "the desk")
        self._web: Process | None = Process(self, "web", quick=True)

    def _patch(self) -> None:
        chance = Random(f"ids of {self.seed}")
        network.Wire.world = network.Phone.world = self
        quiet = SimpleNamespace(uniform=lambda low, high: low)
        for where, name, value in (
            (clock, "machine", lambda: self.now + self.skew),
            (dispatch, "time", SimpleNamespace(monotonic=self.loop.time)),
            (store_engine, "time", SimpleNamespace(sleep=lambda seconds: None)),
            (store_engine, "random", quiet),
            (store_engine, "_make_engine", lambda url, patience: self.disk.engine),
            (ids, "secrets", SimpleNamespace(token_hex=lambda size: f"{chance.getrandbits(8 * size):0{2 * size}x}")),
            (ids, "_millisecond", 0),
            (ids, "_counter", 0),
            (gateway, "_Line", network.Line),
            (oncall, "pager", lambda context: network.Phone()),
            (conversation, "understand", _understand),
        ):
            self._patches.enter_context(mock.patch.object(where, name, value))
        clock.correct(timedelta(0))
        crash.arm(self._pass)
        self._patches.callback(crash.arm, None)
        self.log = _Kept()
        root = logging.getLogger()
        level = root.level
        root.addHandler(self.log)
        root.setLevel(logging.INFO)
        self._patches.callback(root.setLevel, level)
        self._patches.callback(root.removeHandler, self.log)

    def close(self) -> None:
        """End everything of this world."""
        for process in self.processes():
            process.is_alive = False
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        self._patches.close()
        self.disk.forget()

    # Time and chance

    @property
    def now(self) -> datetime:
        """The true time. The service's clock is `clock.now()`."""
        return self.began + timedelta(microseconds=round(self.loop.seconds * 1e6))

    def _turn(self) -> float:
        return self._chance.choice((0.0, 0.0, 0.001, 0.01, 0.2 if self.is_slow else 0.02))

    def travel(self) -> float:
        """How long something is on the wire: always less than its waiter's deadline."""
        if self.is_slow and self._chance.random() < 0.3:
            return self._chance.uniform(1, 14)
        return self._chance.choice((0.01, 0.02, 0.05))

    def slowness(self) -> float:
        """How long our web process takes before it handles a call."""
        return self._chance.choice((0.0, 0.5, 4.0)) if self.is_slow else 0.0

    def loses_answer(self) -> bool:
        """Whether our answer to Twilio's call is lost."""
        return self._chance.random() < self.loses_answers

    def outside(self, seconds: float, what, *arguments) -> None:
        """Schedule something in `seconds` that belongs to none of our processes."""
        context = copy_context()
        context.run(WHOSE.set, None)
        self.loop.call_later(seconds, what, *arguments, context=context)

    def arm(self) -> None:
        """Schedule the phone network's next event at its instant."""
        due_at = self.twilio.next_due_at()
        if self._armed is not None:
            self._armed.cancel()
            self._armed = None
        if due_at is not None:
            context = copy_context()
            context.run(WHOSE.set, None)
            wait = max(0.0, (due_at - self.now).total_seconds())
            self._armed = self.loop.call_later(wait, self._tick, context=context)

    def _tick(self) -> None:
        self._armed = None
        for callback in self.twilio.due(self.now):
            self.loop.create_task(network.call(self, callback))
        self.arm()

    def arrived(self, request, response) -> None:
        """Record a request to Twilio and its answer."""
        word = response.transport.how
        if request.method == "POST":
            told = (
                "" if word == "whole" and not response.transport.after else f", {word} {response.transport.after:g} s"
            )
            self.said(f"Twilio: {response.status}{told}")
            self.promises.posted()

    # The processes

    def processes(self) -> list[Process]:
        """The living processes."""
        return [one for one in (*self.workers, self.desk, self._web) if one is not None]

    def web(self) -> Process | None:
        """The web process, if it runs."""
        return self._web

    def stop_web(self) -> None:
        """Stop the web process until it is started."""
        if self._web is not None:
            self._web.die("by hand")
            self._web = None

    def start_web(self) -> None:
        """Start the web process, if it is down."""
        self._web = self._web or Process(self, "web", quick=True)

    def replace(self, dead: Process) -> None:
        """Replace a dead process with another."""
        if dead is self.desk:
            self.desk = Process(self, dead.name)
        elif dead is self._web:
            self._web = Process(self, dead.name, quick=True)
        else:
            self.workers = [Process(self, one.name) if one is dead else one for one in self.workers]

    def _pass(self, point: str) -> None:
        process = WHOSE.get()
        if process is not None:
            self.counts[f"passed {point}"] += 1
            process.passes(point)

    def met(self, error: Exception, where: str) -> None:
        """Handle a job's error: one that the injected faults explain, or a bug."""
        if not isinstance(error, EXPECTED):
            self.loop.broken.append(error)
        self.said(f"{where} ends with {type(error).__name__}")

    # Words

    def said(self, words: str) -> None:
        """A line of the trace."""
        local = self.now.astimezone(clock.UTC)
        self.trace.append(f"{local:%m-%d %H:%M:%S}.{local.microsecond // 1000:03d}  {words}")

    def name(self, sid: str) -> str:
        """A short name for a message."""
        return self._names.setdefault(sid, f"message {len(self._names) + 1}")


class _Kept(logging.Handler):
    """Keeps every log line, to search for data that must not be there."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
        if record.exc_info and record.exc_info[1] is not None:
            self.lines.append(str(record.exc_info[1]))
