"""The results of a run, for people: tables and plots."""

import importlib.metadata
import json
import platform
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from rich.console import Console
from rich.table import Table

NEWS = Console(stderr=True)
BOUNDS = {"naive_apscheduler": 25.0, "celery": 12.0, "bare_aiohttp": 0.6}
"""How many times as fast ours must at least be, on either database and without latency."""
GROWTH = {"idle_scan": {"sqlite": 1.5, "postgresql": 1.5}, "claim": {"sqlite": 4.0, "postgresql": 2.0}}
"""How much longer it may at most take with the most stored than with the least."""
MEMORY = 150
"""Megabytes a worker may have at most."""
LIST_MS = 300
READING_MS = {"a usual text": 1, "the longest body Twilio brings": 100}
"""Milliseconds of server time that a page may take, 95 times of 100."""
WEBHOOK_MS = 500
"""Milliseconds that a crisis webhook may take, 99 times of 100, while the largest plans are taken in."""

_OURS, _OTHERS = "#1f6f8b", "#b08b4f"


def versions() -> dict[str, str]:
    """What took part, and where."""
    found = {"Python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in ("aiohttp", "apscheduler", "celery", "psycopg", "pycurl", "redis", "sqlalchemy", "twilio"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def merged(kept: Path, part: str, found: dict, taking_part: dict[str, str]) -> dict:
    """The results of earlier parts, with this one in its place; `sending` is first (docs/benchmark.md)."""
    result = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {"rows": [], "ratios": {}}
    result |= found if part == "sending" else {part: found}
    return result | {"versions": taking_part}


def show(part: str, found: dict) -> None:
    """Print a part's results, compared with the goals."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    if part in {"sending", "latency"}:
        _show_contest(console, found)
    else:
        console.print(_table(part, found["rows"]))
    for line in verdicts(part, found):
        console.print(line, highlight=False)


def _show_contest(console: Console, found: dict) -> None:
    messages = found["rows"][0]["messages"]
    title = f"{messages:,} due messages until all are recorded, median of {found['rounds']}"
    table = Table(title=title, caption=_caption(found))
    table.add_column("contender", no_wrap=True)
    for heading in ("seconds", "per second", "CPU ms each", "its server's", "MB at most"):
        table.add_column(heading, justify="right")
    for row in found["rows"]:
        table.add_row(
            row["name"],
            f"{row['seconds']:.2f}",
            f"{row['per_second']:,.0f}",
            *(
                "" if row[key] is None else f"{row[key]:.3f}"
                for key in ("cpu_ms_per_message", "server_cpu_ms_per_message")
            ),
            "" if row["peak_rss_mb"] is None else f"{row['peak_rss_mb']:.0f}",
        )
    console.print(table)
    for name, why in found["left_out"].items():
        console.print(f"left out: {name} ({why})")


def _table(part: str, rows: Sequence[dict]) -> Table:
    table = Table(title=part)
    for heading in rows[0]:
        table.add_column(heading.replace("_", " "), justify="left" if isinstance(rows[0][heading], str) else "right")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int | float) else str(value) for value in row.values()))
    return table


def verdicts(part: str, found: dict) -> list[str]:
    """Each goal of a part, with the measured figure."""
    if part == "latency":
        return [f"{name}: {ratio:,.2f}" for name, ratio in found["ratios"].items() if ratio is not None]
    lines = []
    for what, value, word, bound in _BOUNDS_OF.get(part, lambda _: [])(found):
        met = value >= bound if word == "at least" else value <= bound
        lines.append(f"{what}: {value:,.2f} ({word} {bound:g}: {'met' if met else 'NOT MET'})")
    return lines


def _of_sending(found: dict) -> Iterator[tuple[str, float, str, float]]:
    for ours in ("ours_sqlite", "ours_postgresql"):
        for other, bound in BOUNDS.items():
            if (ratio := found["ratios"][f"{ours}/{other}"]) is not None:
                yield f"{ours}/{other}", ratio, "at least", bound


def _of_growth(found: dict) -> Iterator[tuple[str, float, str, float]]:
    for what, bounds in GROWTH.items():
        for database, bound in bounds.items():
            if (ratio := found["ratios"].get(f"{database}/{what}")) is not None:
                yield f"{what} on {database}, most stored to least", ratio, "at most", bound


def _of_backlog(found: dict) -> Iterator[tuple[str, float, str, float]]:
    for row in found["rows"]:
        yield f"megabytes while draining on {row['database']}", row["peak_rss_mb"], "at most", MEMORY


def _of_slow(found: dict) -> Iterator[tuple[str, float, str, float]]:
    for row in found["rows"]:
        yield "texts after their window", row["after_window"], "at most", 0
        yield "texts out of order", row["out_of_order"], "at most", 0


def _of_lists(found: dict) -> Iterator[tuple[str, float, str, float]]:
    for row in found["rows"]:
        yield f"{row['query']}, p95 in ms", row["p95_ms"], "at most", LIST_MS


def _of_reading(found: dict) -> Iterator[tuple[str, float, str, float]]:
    for row in found["rows"]:
        if row["text"] in READING_MS:
            yield f"{row['text']}, CPU ms", row["cpu_ms"], "at most", READING_MS[row["text"]]


def _of_webhooks(found: dict) -> Iterator[tuple[str, float, str, float]]:
    for row in found["rows"]:
        yield f"crisis webhooks on {row['database']}, p99 in ms", row["p99_ms"], "at most", WEBHOOK_MS


_BOUNDS_OF = {
    "webhooks": _of_webhooks,
    "lists": _of_lists,
    "reading": _of_reading,
    "sending": _of_sending,
    "growth": _of_growth,
    "backlog": _of_backlog,
    "slow": _of_slow,
}


def _caption(found: dict) -> str:
    latency = f"the stand-in answers after {found['latency_ms']:g} ms" if found["latency_ms"] else "no latency"
    return f"{latency}; cores: {found['cores']}"


def plots(part: str, found: dict) -> dict[str, str]:
    """The same as SVG, by file name."""
    rows = found["rows"]
    if part in {"sending", "latency"}:
        bars = [(row["name"], row["per_second"], row["name"].startswith("ours")) for row in rows]
        title = f"Messages per second: {rows[0]['messages']:,} due until all are recorded"
        caption = f"Median of {found['rounds']}; {_caption(found)}. bare_aiohttp stores nothing."
        return {"bench.svg" if part == "sending" else f"bench-{part}.svg": _bars(title, bars, caption)}
    if part == "growth":
        named = {f"{row['database']}, {row['stored']:,} stored": row for row in rows}
        claims = [(name, row["claim_ms"], row["database"] == "sqlite") for name, row in named.items()]
        scans = [(name, row["idle_scan_ms"], row["database"] == "sqlite") for name, row in named.items()]
        return {
            "bench-claim.svg": _bars(
                f"Milliseconds to claim {found['claimed']:,} due texts", claims, "From BEGIN to COMMIT."
            ),
            "bench-scan.svg": _bars(
                "Milliseconds of a scan when nothing is due", scans, "What every pass of the worker begins with."
            ),
        }
    if part == "planning":
        bars = [
            (f"{what}, {row['database']}", row[f"{what}_per_second"], row["database"] == "sqlite")
            for row in rows
            for what in ("accept", "extend")
        ]
        return {
            "bench-planning.svg": _bars("Plans per second, each with sixteen weeks of sessions", bars, "One worker.")
        }
    if part == "lists":
        bars = [(row["query"], row["p95_ms"], True) for row in rows]
        return {"bench-lists.svg": _bars("Milliseconds of a list, the slowest of twenty", bars, "PostgreSQL.")}
    return {}


def _bars(title: str, rows: Sequence[tuple[str, float, bool]], caption: str) -> str:
    """One bar for each of `rows` (name, value, ours), its length the value."""
    most = max(value for _, value, _ in rows) or 1
    left, length, step = 250, 380, 36
    height = 70 + step * len(rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 {height}" width="720" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        "<style>text{font:14px sans-serif;fill:#57606a}.small{font-size:12px}</style>",
        f'<text x="12" y="24">{escape(title)}</text>',
    ]
    for number, (name, value, ours) in enumerate(rows):
        y = 44 + number * step
        width = max(1.0, length * value / most)
        told = f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
        lines += [
            f'<text x="{left - 10}" y="{y + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{left}" y="{y}" width="{width:.1f}" height="22" rx="2" fill="{_OURS if ours else _OTHERS}"/>',
            f'<text x="{left + width + 6:.1f}" y="{y + 16}">{told}</text>',
        ]
    lines += [f'<text class="small" x="12" y="{height - 12}">{escape(caption)}</text>', "</svg>"]
    return "\n".join(lines) + "\n"
