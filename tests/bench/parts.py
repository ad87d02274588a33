"""The parts of the benchmark: each takes its turns and returns its results."""

import os
import statistics
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from operator import itemgetter
from pathlib import Path

import report
import servers
from bench import Bench, Failed
from contest import CONTENDERS, Contest

__all__ = ["CONTENDERS", "DATABASES", "PARTS", "USUAL"]

DATABASES = ("sqlite", "postgresql")


def sending(bench: Bench) -> dict:
    """Ours and the others, until all is on record; the stand-in answers at once."""
    return Contest(bench, 0, bench.told.messages).run()


def latency(bench: Bench) -> dict:
    """The same, with a stand-in that takes its time, and fewer messages."""
    return Contest(bench, bench.told.latency_ms, max(1, bench.told.messages // 5)).run()


def planning(bench: Bench) -> dict:
    """Plans accepted and extended, on either database, in turns."""
    plans = 5 if bench.told.quick else 400
    turns: dict[str, list[dict]] = {name: [] for name in bench.told.database}
    for number in range(bench.told.rounds):
        for name in bench.told.database:
            url = _fresh(bench, name, f"plans_{number}")
            turns[name].append(bench.ask("accepting.py", {"messages": plans}, {"DATABASE_URL": url}))
            rate = plans / turns[name][-1]["accept"]["seconds"]
            report.NEWS.print(f"round {number + 1}: planning on {name}: {rate:,.0f} plans/s", highlight=False)
    return {"plans": plans, "rows": [_planned(name, plans, found) for name, found in turns.items()]}


def _planned(name: str, plans: int, turns: list[dict]) -> dict:
    row: dict = {"database": name}
    for what in ("accept", "extend"):
        seconds = statistics.median(turn[what]["seconds"] for turn in turns)
        cpu = statistics.median(turn[what]["cpu_seconds"] for turn in turns)
        row[f"{what}_per_second"] = round(plans / seconds, 1)
        row[f"{what}_cpu_ms"] = round(cpu * 1000 / plans, 2)
    row["texts_per_plan"] = round(turns[0]["accept"]["texts"] / plans, 1)
    return row


def backlog(bench: Bench) -> dict:
    """A great many texts due at once: how fast one worker drains them, and its peak memory."""
    messages = 200 if bench.told.quick else 200_000
    stand_in = servers.StandIn(bench.server_core, 0)
    bench.stack.callback(stand_in.close)
    rows = []
    for name in bench.told.database:
        environment = {
            "DATABASE_URL": _fresh(bench, name, "backlog"),
            "REMINDERS_TWILIO__API_BASE_URL": stand_in.url,
        }
        report.NEWS.print(f"backlog: {messages:,} on {name}", highlight=False)
        bench.ask("ours.py", {"do": "lay down", "messages": messages}, environment)
        if name == "postgresql":
            bench.on_postgresql().run("VACUUM ANALYZE", "backlog")
        stand_in.count()
        found = bench.ask("ours.py", {"do": "send", "messages": messages}, environment)
        counted = stand_in.count()
        if found["recorded"] != messages or counted != {"taken": messages, "again": 0}:
            raise Failed(f"{messages} due, {found['recorded']} on record, at the stand-in {counted}")
        rows.append(
            {
                "database": name,
                "messages": messages,
                "seconds": round(found["seconds"], 2),
                "per_second": round(messages / found["seconds"], 1),
                "peak_rss_mb": found["peak_rss_mb"],
            }
        )
    return {"rows": rows}


def slow(bench: Bench) -> dict:
    """Everything due at once on a slow sender, in simulated time. In memory: no commit is timed here."""
    messages = 300 if bench.told.quick else 100_000
    place = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else None
    rows = []
    with tempfile.TemporaryDirectory(dir=place) as folder:
        environment = {"DATABASE_URL": f"sqlite:///{folder}/slow.db", "REMINDERS_TWILIO__SEGMENTS_PER_SECOND": "10"}
        report.NEWS.print(f"slow sender: {messages:,} due at once, in simulated time", highlight=False)
        laid = bench.ask("slow_sender.py", {"do": "lay down", "messages": messages}, environment)
        found = bench.ask("slow_sender.py", {"do": "run", "messages": messages} | laid, environment)
        rss = found.pop("rss_mb")
        tenth = len(rss) // 10
        rows.append({"database": "sqlite"} | found | {"rss_mb_after_a_tenth": rss[tenth], "rss_mb_at_the_end": rss[-1]})
    return {"rows": rows}


def growth(bench: Bench) -> dict:
    """A scan and a claim at several sizes of the database."""
    quick = bench.told.quick
    sizes = bench.told.stored or ([300, 2_000] if quick else [10_000, 1_000_000, 10_000_000])
    claim = 20 if quick else 1_000
    told = {"claim": claim, "scans": 20 if quick else 400}
    places = {}
    for name in bench.told.database:
        for stored in sizes:
            places[name, stored] = _filled(bench, name, stored, claim)
    turns: dict[tuple[str, int], list[dict]] = {place: [] for place in places}
    for number in range(bench.told.rounds):
        for place, url in places.items():
            found = bench.ask("growth.py", {"do": "measure", **told}, {"DATABASE_URL": url})
            turns[place].append(found)
            report.NEWS.print(
                f"round {number + 1}: {place[0]} with {found['stored']:,} texts: scan {found['idle_scan_ms']} ms,"
                f" claim {found['claim_ms']} ms",
                highlight=False,
            )
    rows = [_grown(name, found) for (name, _), found in turns.items()]
    return {"claimed": claim, "rows": rows, "ratios": _growth_ratios(rows)}


def lists(bench: Bench) -> dict:
    """The pages on a year of history on PostgreSQL, half as many attempts as texts."""
    stored = 2_000 if bench.told.quick else (bench.told.stored or [10_000_000])[-1]
    environment = {"DATABASE_URL": _filled(bench, "postgresql", stored, 20 if bench.told.quick else 1_000)}
    report.NEWS.print(f"lists: the pages on {stored:,} texts", highlight=False)
    counted = bench.databases / f"postgresql-{stored}.counted"
    if not counted.exists():
        bench.ask("lists.py", {"do": "prepare"}, environment)
        counted.touch()
    return {"stored": stored, "rows": bench.ask("lists.py", {"do": "measure"}, environment)["rows"]}


def reading(bench: Bench) -> dict:
    """Replies of several lengths understood, without any database."""
    return bench.ask("reading.py", {"turns": 5 if bench.told.quick else 200}, {})


def webhooks(bench: Bench) -> dict:
    """Signed crisis webhooks at the real web process, while the largest plans are previewed, accepted and watched."""
    plans = 1 if bench.told.quick else 20
    rows = []
    for name in bench.told.database:
        port = str(servers.free_port())
        environment = {"DATABASE_URL": _fresh(bench, name, "webhooks"), "REMINDERS_WEB__PORT": port}
        report.NEWS.print(f"webhooks: {plans} of the largest plans on {name}", highlight=False)
        rows.append({"database": name} | bench.ask("webhooks.py", {"messages": plans}, environment))
    return {"plans": plans, "rows": rows}


def _filled(bench: Bench, name: str, stored: int, claim: int) -> str:
    """The address of a database with that many texts, filled now unless it was kept from an earlier run."""
    database = f"stored_{stored}"
    done = bench.databases / f"{name}-{stored}.filled"
    if done.exists():
        return bench.on_postgresql().url(database) if name == "postgresql" else _sqlite(bench.databases, database)
    report.NEWS.print(f"growth: filling {name} with {stored:,} texts", highlight=False)
    url = _fresh(bench, name, database, bench.databases)
    with bench.on_postgresql().careless() if name == "postgresql" else nullcontext():
        bench.ask("growth.py", {"do": "fill", "stored": stored, "claim": claim}, {"DATABASE_URL": url})
    done.touch()
    return url


def _grown(name: str, turns: list[dict]) -> dict:
    def median(key: str) -> float:
        return round(statistics.median(turn[key] for turn in turns), 4)

    figures = {key: median(key) for key in ("idle_scan_ms", "mark_ready_ms", "claim_ms", "database_ms", "peak_rss_mb")}
    return (
        {"database": name, "stored": turns[0]["stored"]} | figures | {"gigabytes": round(turns[-1]["bytes"] / 1e9, 3)}
    )


def _growth_ratios(rows: list[dict]) -> dict[str, float]:
    """The largest database against the smallest, of each kind."""
    ratios = {}
    for name in DATABASES:
        mine = sorted((row for row in rows if row["database"] == name), key=itemgetter("stored"))
        if len(mine) > 1:
            for what in ("idle_scan", "claim", "database"):
                ratios[f"{name}/{what}"] = round(mine[-1][f"{what}_ms"] / mine[0][f"{what}_ms"], 3)
    return ratios


def _fresh(bench: Bench, name: str, database: str, folder: Path | None = None) -> str:
    """The address of a new and empty database."""
    if name == "postgresql":
        return bench.on_postgresql().fresh(database)
    for file in (folder or bench.work).glob(f"{database}.db*"):
        file.unlink()
    return _sqlite(folder or bench.work, database)


def _sqlite(folder: Path, database: str) -> str:
    return f"sqlite:///{folder.resolve()}/{database}.db"


PARTS: dict[str, Callable[[Bench], dict]] = {
    "sending": sending,
    "latency": latency,
    "planning": planning,
    "backlog": backlog,
    "slow": slow,
    "growth": growth,
    "lists": lists,
    "reading": reading,
    "webhooks": webhooks,
}
USUAL = ("sending", "latency", "planning")
