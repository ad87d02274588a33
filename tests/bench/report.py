"""What a run found, for people: a table and a plot."""

import importlib.metadata
import platform
from html import escape

from rich.console import Console
from rich.table import Table

BOUNDS = {"naive_apscheduler": 25.0, "celery": 12.0, "bare_aiohttp": 0.6}
"""How many times as fast ours must at least be, on either database and without latency."""


_CPU = ("cpu_ms_per_message", "server_cpu_ms_per_message")


def versions() -> dict[str, str]:
    """What took part, and where."""
    found = {"Python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for name in ("aiohttp", "apscheduler", "celery", "psycopg", "pycurl", "redis", "sqlalchemy", "twilio"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def show(result: dict) -> None:
    """Print the table, and how ours stands to each of the others."""
    messages = result["rows"][0]["messages"]
    title = f"{messages:,} due messages until all are recorded, median of {result['rounds']}"
    table = Table("contender", title=title, caption=_caption(result))
    for heading in ("seconds", "per second", "CPU ms each", "its server's"):
        table.add_column(heading, justify="right")
    for row in result["rows"]:
        table.add_row(
            row["name"],
            f"{row['seconds']:.2f}",
            f"{row['per_second']:,.0f}",
            *("" if row[key] is None else f"{row[key]:.3f}" for key in _CPU),
        )
    console = Console()
    console.print(table)
    for name, why in result["left_out"].items():
        console.print(f"left out: {name} ({why})")
    for ours in ("ours_sqlite", "ours_postgresql"):
        for other, bound in BOUNDS.items():
            if (ratio := result["ratios"][f"{ours}/{other}"]) is not None:
                verdict = f" (at least {bound:g}: {'met' if ratio >= bound else 'NOT MET'})"
                console.print(f"{ours}/{other}: {ratio:,.2f}{'' if result['latency_ms'] else verdict}", highlight=False)


def _caption(result: dict) -> str:
    latency = f"the stand-in answers after {result['latency_ms']:g} ms" if result["latency_ms"] else "no latency"
    return f"{latency}; cores: {result['cores']}"


def plot(result: dict) -> str:
    """The same as an SVG: one bar for each contender, its length the messages per second."""
    rows, most = result["rows"], max(row["per_second"] for row in result["rows"])
    left, length, step = 170, 420, 36
    height = 70 + step * len(rows)
    title = f"Messages per second: {rows[0]['messages']:,} due until all are recorded"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {height}" width="680" height="{height}" role="img">',
        f"<title>{escape(title)}</title>",
        "<style>text{font:14px sans-serif;fill:#57606a}.small{font-size:12px}</style>",
        f'<text x="12" y="24">{escape(title)}</text>',
    ]
    for number, row in enumerate(rows):
        y = 44 + number * step
        width = max(1.0, length * row["per_second"] / most)
        colour = "#1f6f8b" if row["name"].startswith("ours") else "#b08b4f"
        lines += [
            f'<text x="{left - 10}" y="{y + 16}" text-anchor="end">{escape(row["name"])}</text>',
            f'<rect x="{left}" y="{y}" width="{width:.1f}" height="22" rx="2" fill="{colour}"/>',
            f'<text x="{left + width + 6:.1f}" y="{y + 16}">{row["per_second"]:,.0f}</text>',
        ]
    caption = f"Median of {result['rounds']}; {_caption(result)}. bare_aiohttp stores nothing."
    lines += [f'<text class="small" x="12" y="{height - 12}">{escape(caption)}</text>', "</svg>"]
    return "\n".join(lines) + "\n"
