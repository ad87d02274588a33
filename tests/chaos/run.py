"""One run: real processes on one database, some hundred people, and no mercy; then calm, and the verdict.

The simulator's pretend phones are the oracle. It is the only process that survives everything, and Twilio obeys no STOP
here (`default_opt_out` is off): only we protect a person who texts one.
"""

import heapq
import itertools
import json
import os
import queue
import re
import signal
import sqlite3
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random

import sqlalchemy as sa
from chaos.proxy import Proxy
from chaos.verdict import Attempt, Made, Text, Verdict, judge
from conftest import KEYS, PostgreSQL, environment, free_port
from nursery import Nursery

from reminders import clock, plans, store
from reminders.service import AppContext, planning
from reminders.service.operations import runs
from reminders.service.planning import watch
from reminders.service.sending import outcomes
from reminders.settings import Secrets, load
from reminders.store.database import schema
from reminders.store.database.sealing import Place

ROOT = Path(__file__).resolve().parents[2]
ZONE = "America/New_York"
SENDER = "+15005550006"
PAUSE = (0.15, 0.5)  # seconds between two kills
DEADLINE, LEASE, SETTLE = 0.8, 5.8, 1.2  # as short as settings may be
FROZEN = (LEASE + 0.5, LEASE + 4 * SETTLE + 2)  # seconds: past the lease, and at times past the resend
WORDS = ("STOP", "C", "stop!", "is this the office", "ALTO")  # what people text us
BEGINS = 1.5  # seconds after loading the first texts are due
SLEEPER_DIES = 0.15
LOOKED_EVERY = 0.3  # seconds between two checks of received texts
AT_REST = 60.0  # seconds that calm may take

# The kinds of mischief and their relative frequency. The last two only where they are possible.
MISCHIEF = {"a worker": 8, "a worker at a point": 6, "web": 3, "a worker frozen": 2, "PostgreSQL": 1}


@dataclass(frozen=True)
class Plan:
    """The orders of a run. `pause` is the number of seconds between two kills, `only` the mischief to choose from."""

    url: str
    workers: int
    seed: int
    kills: int
    people: int = 120
    pause: tuple[float, float] = PAUSE
    only: tuple[str, ...] = tuple(MISCHIEF)
    fates: float = 0.05  # the share of requests that the network ill-treats
    watched: float = 2.0  # seconds the phones are watched after everything is at rest
    postgresql: PostgreSQL | None = None


@dataclass
class Report:
    """The result of a run."""

    verdict: Verdict
    kills: Counter = field(default_factory=Counter)
    fates: Counter = field(default_factory=Counter)
    points: Counter = field(default_factory=Counter)
    uncalm: list[str] = field(default_factory=list)
    leaks: list[str] = field(default_factory=list)
    seconds: float = 0
    calm_after: float = 0

    @property
    def wrongs(self) -> list[str]:
        """All that was wrong."""
        return [*self.verdict.wrongs, *self.uncalm, *self.leaks]

    def __str__(self) -> str:
        lines = [
            str(self.verdict),
            f"kills: {_listed(self.kills)} · points: {_listed(self.points)} · network: {_listed(self.fates)}",
            f"{self.seconds:.0f} s, at rest {self.calm_after:.0f} s after the last kill",
        ]
        return "\n".join(lines + self.wrongs[:40])


def _listed(counts: Counter) -> str:
    return ", ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "none"


def points() -> list[str]:
    """The crash points of a worker or the web process, as named in the code."""
    sources = [*(ROOT / "reminders").rglob("*.py"), *(ROOT / "jobs").rglob("*.py")]
    found = {name for source in sources for name in re.findall(r'crash\.point\("(K\d+)"\)', source.read_text())}
    return sorted(found - {"K0", "K15"}, key=lambda name: int(name[1:]))  # those are an import's and a command's


def phone_of(number: int) -> str:
    """The n-th number that belongs to no one: 555-0100 … 555-0199 in each area code."""
    return f"+1{202 + number // 100}55501{number % 100:02d}"


class Run:
    """One run in `folder`, on a migrated, empty database."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.random = Random(plan.seed)
        self.web, self.api, self.phones = free_port(), free_port(), free_port()
        self.proxy = Proxy(self.api, seed=plan.seed, chance=plan.fates)
        settings = {
            "twilio__api_base_url": f"http://127.0.0.1:{self.proxy.port}",
            "twilio__deadline_seconds": str(DEADLINE),
            "twilio__segments_per_second": "0",
            "twilio__in_flight": "8",
            "twilio__answers_keywords": "false",
            "web__port": str(self.web),
            "web__public_url": f"http://127.0.0.1:{self.web}",
            "sending__quiet_hours": '["00:00", "00:00"]',
            "sending__welcome": "false",
            "sending__per_day": "3",
            "sending__per_week": "21",
            "sending__lease_seconds": str(LEASE),
            "sending__settle_seconds": str(SETTLE),
            "jobs__send_seconds": "0.3",
            "jobs__settle_seconds": "0.7",
            "jobs__poll_seconds": "2",
        }
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **environment(plan.url, **settings),
            "PYTHONPATH": str(ROOT),
        }
        read = load(environment(plan.url, **settings), folder)
        secrets = Secrets(
            "AC" + "0" * 32,
            "simulator",
            None,
            None,
            "a secret of all tests, 32 bytes!",
            KEYS,
            made_here=False,
        )
        self.context = AppContext(read, secrets, store.Database(plan.url, store.Ring(KEYS)))
        self.nursery = Nursery()
        self.alive: set[str] = set()
        self.frozen: dict[str, float] = {}
        self.armed: dict[str, str] = {}
        self.is_closed = False
        self.kills: Counter = Counter()
        self.points: Counter = Counter()
        self.agenda: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.plans_made = itertools.count()
        self.clerk = ThreadPoolExecutor(1, "clerk")
        self.late: list[Future] = []
        self.known_points = points()
        self.taken_in: dict[str, datetime] = {}
        self.looked_at = float("-inf")

    # Processes

    def start(self, name: str, crash: str | None = None) -> None:
        """Start a process, optionally with a point at which to die."""
        kind = name.partition("-")[0]
        run = {
            "simulator": ["simulator", f"--port={self.api}", f"--control-port={self.phones}"],
            "web": ["web"],
            "worker": ["jobs"],
        }[kind]
        self.alive.add(name)
        self.armed.pop(name, None)
        if crash:
            self.armed[name] = crash
        log = self.folder / f"{name}.log"
        self.nursery.start(name, run, environment=self.environment, folder=self.folder, log=log, crash=crash)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one of them."""
        self.nursery.signal(name, number)

    def hear(self) -> None:
        """Handle events: dead processes are restarted, stopped ones continue after a while."""
        with suppress(queue.Empty):
            while True:
                self._take_in(self.nursery.news.get_nowait())

    def _take_in(self, news: dict) -> None:
        if news["what"] == "ended":
            self._ended(news["name"], news["code"])
        elif news["what"] == "stopped":
            self._stopped(news["name"])

    def _ended(self, name: str, code: int) -> None:
        self.frozen.pop(name, None)
        point = self.armed.pop(name, None)
        if point is not None and code == -signal.SIGKILL:
            self.points[point.partition(":")[0]] += 1
        assert name != "simulator", "the pretend Twilio died"
        if code not in {-signal.SIGKILL, 0} and not self._may_refuse_to_start():
            self._say(f"{name} ended with {code}")
        self.start(name)

    def _may_refuse_to_start(self) -> bool:
        return (
            self.plan.postgresql is not None
        )  # web does, while the database is away; the person who runs it starts it again

    def _stopped(self, name: str) -> None:
        if name in self.armed:
            self.points[self.armed.pop(name).replace(":", " ").split()[0] + " frozen"] += 1
        if name not in self.frozen:
            self.frozen[name] = time.monotonic()
        self.later(self.random.uniform(*FROZEN), lambda: self._go_on(name))

    def _go_on(self, name: str) -> None:
        if name in self.frozen:
            del self.frozen[name]
            self.signal(name, signal.SIGCONT)

    # Time

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something after that many seconds."""
        heapq.heappush(self.agenda, (time.monotonic() + seconds, next(self.order), what))

    def live(self, seconds: float) -> None:
        """Let that many seconds pass, with everything due in them."""
        ends = time.monotonic() + seconds
        while True:
            self.hear()
            now = time.monotonic()
            while self.agenda and self.agenda[0][0] <= now:
                heapq.heappop(self.agenda)[2]()
            if now > self.looked_at + LOOKED_EVERY:
                self.looked_at = now
                self._look_at_replies()
            if now >= ends:
                return
            time.sleep(min(0.02, ends - now))

    # The people

    def load(self, seconds: float) -> float:
        """Everyone's texts, due over that many seconds, and what they will text us meanwhile; in how many it begins.

        Laying down takes its time, and on a busy machine more: the first few say how much.
        """
        began = time.monotonic()
        first = 5
        self._lay_down({number: clock.now() + timedelta(seconds=BEGINS) for number in range(first)})
        takes = (time.monotonic() - began) / first * self.plan.people
        begins_at = clock.now() + timedelta(seconds=BEGINS + 1.3 * takes)
        opens = {
            number: begins_at + timedelta(seconds=self.random.uniform(0, seconds))
            for number in range(first, self.plan.people)
        }
        self._lay_down(opens)
        self._plan_talk(opens, begins_at, seconds)
        return (begins_at - clock.now()).total_seconds()

    def _lay_down(self, opens: dict[int, datetime]) -> None:
        now = clock.now()
        documents = []
        for number, at in opens.items():
            series = [_visit("today", at + timedelta(hours=1), "60m")]
            if number % 3 == 0:
                soon = at + timedelta(seconds=self.random.uniform(1, 4))
                series.append(_visit("soon", soon + timedelta(hours=48), "48h"))
            documents.append(self._document(number, series))
        for first in range(0, len(documents), 50):
            some = documents[first : first + 50]
            self.context.database.write(
                lambda tx, some=some: [planning.accept_in(self.context, tx, one, now, "chaos") for one in some],
                again=True,
            )

    def _plan_talk(self, opens: dict[int, datetime], begins_at: datetime, seconds: float) -> None:
        """Some text us just when their text is on the wire, some between their two; and some plans come late."""
        with_more = [number for number in opens if number % 3 == 0]
        talkers = self.random.sample(with_more, max(3, self.plan.people // 6))
        for number, word in zip(talkers, itertools.cycle(WORDS), strict=False):
            self._at(opens[number] + timedelta(seconds=self.random.uniform(-0.5, 3)), partial(self._text, number, word))
        for late in range(max(4, self.plan.people // 10)):
            at = begins_at + timedelta(seconds=self.random.uniform(0, seconds))
            self._at(at, partial(self._accept_late, self.plan.people + late))

    def _at(self, moment: datetime, what: Callable[[], None]) -> None:
        self.later((moment - clock.now()).total_seconds(), what)

    def _document(self, number: int, series: list[dict]) -> plans.PlanDocument:
        today = plans.to_wall(clock.now(), ZONE).date().isoformat()
        raw = {
            "plan": {"ref": f"CHAOS-{next(self.plans_made)}", "discharged_on": today},
            "patient": {"ref": f"MRN-{number}", "name": f"Invented Person {number}", "phone": phone_of(number)},
            "consent": {
                "said": "yes",
                "on": today,
                "how": "signed form",
                "by": "A. Reyes",
                "categories": ["appointments"],
                "warned_of_risk": True,
                "alias_shown": True,
                "verified": "read aloud",
                "per_day": 3,
                "per_week": 21,
            },
            "series": series,
        }
        return plans.read(
            raw, replace(self.context.database.read(lambda tx: self.context.known(tx, clock.now())), ours=frozenset())
        )

    def _accept_late(self, number: int) -> None:
        """A plan that comes when its text is due already, and of use for a few seconds more.

        Beside everything else: it may have to wait for a lock that a frozen worker holds.
        """
        useful = self.random.uniform(2, 8)
        self.late.append(self.clerk.submit(self._accept_shutting, number, useful))

    def _accept_shutting(self, number: int, useful: float) -> None:
        while True:  # as a person would: again, when the service says it cannot now
            shuts = clock.now() + timedelta(seconds=useful)
            try:
                document = self._document(number, [_visit("late", shuts + timedelta(minutes=30), "60m")])
                planning.accept(self.context, document, clock.now(), who="chaos")
            except store.Unavailable:
                time.sleep(0.5)
            else:
                return

    def _text(self, number: int, word: str) -> None:
        self.ask(f"/phones/{phone_of(number)}/texts", {"to": SENDER, "body": word})

    def ask(self, path: str, document: dict | None = None):
        """Ask the pretend Twilio's control API."""
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.phones}{path}", body)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    # Mischief

    def do_mischief(self) -> None:
        """One kill, or something similar."""
        usable = {name: weight for name, weight in MISCHIEF.items() if name in self.plan.only}
        if self.plan.postgresql is None:
            usable.pop("PostgreSQL", None)
        what = self.random.choices(list(usable), list(usable.values()))[0]
        if "PostgreSQL" in usable and not self.kills:
            what = "PostgreSQL"  # the first, so that the shortest run has one
        workers = [name for name in sorted(self.alive) if name.startswith("worker") and name not in self.frozen]
        if what == "PostgreSQL":
            self._stop_database()
        elif what == "web":
            self.signal("web", signal.SIGKILL)
        elif not workers:  # all are frozen: now and then one never wakes up
            if self.random.random() > SLEEPER_DIES:
                return
            what = "a frozen worker"
            self.signal(self.random.choice(sorted(self.frozen)), signal.SIGKILL)
        elif what == "a worker frozen":
            self.frozen[worker := self.random.choice(workers)] = time.monotonic()
            self.signal(worker, signal.SIGSTOP)
        else:
            worker = self.random.choice(workers)
            self.signal(worker, signal.SIGKILL)
            if what == "a worker at a point" and self.known_points:
                self._arm_next(worker)
        self.kills[what] += 1

    def _arm_next(self, name: str) -> None:
        """Once this one is dead, let the next die at a point in the code."""
        ends = time.monotonic() + 5
        while time.monotonic() < ends:
            news = self.nursery.news.get(timeout=5)
            if news["name"] == name and news["what"] == "ended":
                break
            self._take_in(news)
        death = "SIGSTOP" if self.random.random() < 0.2 else "SIGKILL"
        self.armed.pop(name, None)
        self.start(name, f"{self.random.choice(self.known_points)}:{self.random.randint(1, 3)}:{death}")

    def _stop_database(self) -> None:
        server = self.plan.postgresql
        server.stop_at_once()
        self.live(self.random.uniform(0.1, 0.8))
        server.start()

    # The run

    def go(self) -> Report:
        """All of it."""
        began = time.monotonic()
        self._up()
        self._say(f"seed {self.plan.seed}: {self.plan.kills} kills, {self.plan.workers} workers")
        mean = sum(self.plan.pause) / 2
        begins_in = self.load(max(4.0, self.plan.kills * mean))
        for number in range(self.plan.workers):
            self.start(f"worker-{number}")
        self.live(max(0.5, begins_in))
        while self.kills.total() < self.plan.kills:
            self.live(self.random.uniform(*self.plan.pause))
            self.do_mischief()
        ended = time.monotonic()
        uncalm = self._calm()
        at_rest = time.monotonic() - ended
        fates = Counter(self.proxy.met)
        self._do_what_takes_its_time()
        self.live(self.plan.watched)
        self._look_at_answers_to_twilio()
        verdict = self._judge()
        self.close()
        return Report(
            verdict,
            kills=self.kills,
            fates=fates,
            points=self.points,
            uncalm=uncalm + self._check_file(),
            leaks=self._leaks(),
            seconds=time.monotonic() - began,
            calm_after=at_rest,
        )

    def _up(self) -> None:
        self.start("simulator")
        self._wait_until_it_answers(self.phones, "/messages")
        self.ask("/settings", {"default_opt_out": False, "created_after": {"median": 0.2, "p99": 0.5, "longest": 0.5}})
        # Twilio makes no calls about half of the phones, neither receipts nor inbound texts: if a callback settled what
        # a killed worker left, no look-up would be tested.
        self.ask("/rules", [{"disorder": "dropped", "to": digit} for digit in "13579"])
        self.start("web")
        self._wait_until_it_answers(self.web, "/healthz")

    def _wait_until_it_answers(self, port: int, path: str) -> None:
        ends = time.monotonic() + 90
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2):
                    return
            except OSError:
                assert time.monotonic() < ends, f"nothing answers on port {port}"
                self.live(0.05)

    def _calm(self) -> list[str]:
        """No more mischief; wait until nothing is left to do. What kept it from that."""
        self.proxy.chance = 0
        for name in list(self.frozen):
            self._go_on(name)
        for name in list(self.armed):
            self.signal(name, signal.SIGKILL)
        ends = time.monotonic() + AT_REST
        while True:
            self.live(0.3)
            with suppress(store.Unavailable):
                restless = self._restless()
                if not restless and not self.agenda and all(one.done() for one in self.late):
                    for one in self.late:
                        one.result()
                    return []
                if time.monotonic() > ends:
                    return [f"not at rest after {AT_REST:.0f} s: {restless}"]

    def _restless(self) -> list[str]:
        """What is still to be done, in words."""
        texts, attempts = schema.texts.c, schema.attempts.c
        waiting = sa.select(texts.state).where(texts.state.in_(("scheduled", "sending")))
        unsettled = (
            sa.select(texts.state)
            .join(schema.attempts, attempts.text_id == texts.id)
            .where(texts.state == "uncertain", attempts.look_at.is_not(None), attempts.looks < 2)
        )
        found = self.context.database.read(lambda tx: [row.state for row in tx.all(waiting.union_all(unsettled))])
        return [f"{count} {state}" for state, count in Counter(found).items()] + [
            f"{count} not taken in" for count in [len(self._unheard())] if count
        ]

    def _do_what_takes_its_time(self) -> None:
        """Run the worker's slow jobs: ask about missing receipts, and tell people about texts that did not arrive."""
        now = clock.now()
        runs.with_gateway(
            self.context,
            lambda gateway: outcomes.ask(self.context, gateway, now + outcomes.ASK_AFTER + timedelta(minutes=1)),
        )
        watch.look(self.context, now)

    def _look_at_answers_to_twilio(self) -> None:
        """A webhook that was answered was committed: to the millisecond, where the look came a little late."""
        for call in self.ask("/callbacks"):
            if call["kind"] == "inbound" and call["outcome"] == 200:
                at = datetime.fromisoformat(call["answered_at"])
                self.taken_in[call["sid"]] = min(at, self.taken_in.get(call["sid"], at))

    # The verdict

    def _judge(self) -> Verdict:
        texts = self.context.database.read(self._texts)
        made = [
            Made(one["sid"], one["to"], one["body"], datetime.fromisoformat(one["created_at"]))
            for one in self.ask("/messages")
        ]
        phones = {text.phone for text in texts} | {one.phone for one in made}
        arrived = {phone: [one["sid"] for one in self.ask(f"/phones/{phone}")] for phone in phones}
        return judge(
            texts,
            made,
            arrived,
            stopped=self.context.database.read(self._stops),
            unheard=self._unheard(),
            ended_at=clock.now(),
        )

    def _texts(self, tx: store.Transaction) -> list[Text]:
        numbers = self._numbers(tx)
        told = {row.text_id for row in tx.all(sa.select(schema.tasks.c.text_id))}
        tried: dict[int, list[Attempt]] = {}
        for row in tx.all(sa.select(schema.attempts).order_by(schema.attempts.c.number)):
            body = tx.open(Place("attempts", "body_sealed", row.id), row.body_sealed)
            tried.setdefault(row.text_id, []).append(Attempt(row.sid, body, row.answer, row.started_at, row.looks))
        return [
            Text(
                id=row.id,
                phone=numbers[row.number_id],
                class_=row._mapping["class"],
                state=row.state,
                reason=row.reason,
                opens_at=row.opens_at,
                closes_at=row.closes_at,
                resent=row.resent,
                told=row.id in told,
                attempts=tried.get(row.id, []),
            )
            for row in tx.all(sa.select(schema.texts))
        ]

    @staticmethod
    def _numbers(tx: store.Transaction) -> dict[int, str]:
        rows = tx.all(sa.select(schema.numbers.c.id, schema.numbers.c.phone_sealed))
        return {row.id: store.people.phone_of(tx, row.id, row.phone_sealed) for row in rows}

    def _stops(self, tx: store.Transaction) -> dict[str, datetime]:
        """When we received each STOP."""
        numbers, replies = self._numbers(tx), schema.replies.c
        rows = tx.all(sa.select(replies.id, replies.number_id, replies.sid, replies.reading_sealed))
        readings = store.replies.readings_of(tx, {row.id: row.reading_sealed for row in rows})
        stops = (row for row in rows if readings[row.id].meaning == "stop")
        return {numbers[row.number_id]: self.taken_in[row.sid] for row in stops}

    def _look_at_replies(self) -> None:
        """When we took in what phones texted, at the latest: the row's own time is that of the transaction's begin."""
        with suppress(store.Unavailable):
            sids = self.context.database.read(lambda tx: [row.sid for row in tx.all(sa.select(schema.replies.c.sid))])
            seen_at = clock.now()
            for sid in sids:
                self.taken_in.setdefault(sid, seen_at)

    def _unheard(self) -> list[str]:
        """The texts from phones that we never received."""
        sent = {entry["sid"] for number in range(self.plan.people) for entry in self._sent_by(number)}
        heard = self.context.database.read(lambda tx: {row.sid for row in tx.all(sa.select(schema.replies.c.sid))})
        return sorted(sent - heard)

    def _sent_by(self, number: int) -> list[dict]:
        return self.ask(f"/phones/{phone_of(number)}/texts") if number % 3 == 0 else []

    def _check_file(self) -> list[str]:
        """INV9: the file is intact."""
        if not self.plan.url.startswith("sqlite"):
            return []
        with sqlite3.connect(self.plan.url.removeprefix("sqlite:///")) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchall()
            orphans = connection.execute("PRAGMA foreign_key_check").fetchall()
        connection.close()
        return [] if found == [("ok",)] and not orphans else [f"the database file is not whole: {found[:3]}"]

    def _leaks(self) -> list[str]:
        """INV10: no one's number or name is in a log, whatever happened to the process that wrote it."""
        personal = re.compile(rb"555-?01\d\d|Invented Person")
        return [
            f"{log.name} names someone"
            for log in sorted(self.folder.glob("*.log"))
            if log.name != "simulator.log" and personal.search(log.read_bytes())
        ]

    @staticmethod
    def _say(words: str) -> None:
        sys.stderr.write(words + "\n")

    def close(self) -> None:
        """End everything that was started."""
        if not self.is_closed:
            self.is_closed = True
            self.nursery.close()
            self.clerk.shutdown(cancel_futures=True)
        self.proxy.close()
        self.context.close()


def _visit(key: str, starts: datetime, lead: str) -> dict:
    wall = plans.to_wall(starts, ZONE).replace(microsecond=0)
    return {"key": key, "kind": "therapy_individual", "starts": wall.isoformat(), "zone": ZONE, "leads": [lead]}


def run(plan: Plan, folder: Path) -> Report:
    """One run in an empty folder; it is always closed at the end."""
    one = Run(plan, folder)
    try:
        return one.go()
    finally:
        one.close()
        if plan.postgresql is not None and plan.postgresql.process.poll() is not None:
            plan.postgresql.start()


def migrated(url: str) -> None:
    """Bring an empty database to the schema."""
    database = store.Database(url, store.Ring(KEYS))
    store.migrate(database, clock.now())
    database.close()
