"""`python tests/chaos --kills 500`: real processes killed while the pretend phones watch (make chaos KILLS=500).

On each database there is one worker and then four, with half of the kills each. A failed run prints its seed and keeps
its folder; the same seed makes the same choices, but the machine's timing differs.
"""

import argparse
import secrets
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
for place in (HERE.parents[1], HERE.parent):
    sys.path.insert(0, str(place))

from chaos.run import Plan, migrated, run  # ruff: ignore[module-import-not-at-top-of-file]  the path comes first
from conftest import PostgreSQL  # ruff: ignore[module-import-not-at-top-of-file]
from rich.console import Console  # ruff: ignore[module-import-not-at-top-of-file]

NEWS = Console()


@dataclass(frozen=True)
class Turn:
    """One of the requested runs."""

    database: str
    workers: int
    kills: int


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=500, help="kills on each database")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--workers", type=int, help="default: one, then four")
    parser.add_argument("--people", type=int, help="default: 100 and two for each kill")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    parser.add_argument("--pause", type=float, nargs=2, default=(0.15, 0.5), help="seconds between two kills")
    parser.add_argument("--watched", type=float, default=20, help="seconds the phones are watched at the end")
    told = parser.parse_args()
    databases = ("sqlite", "postgresql") if told.database == "both" else (told.database,)
    workers = (told.workers,) if told.workers else (1, 4)
    turns = [Turn(database, many, told.kills // len(workers)) for database in databases for many in workers]
    wrong = 0
    for turn in turns:
        NEWS.print(f"{turn.database}, {turn.workers} workers", highlight=False)
        report, folder = _take(turn, told)
        NEWS.print(str(report), highlight=False, soft_wrap=True, markup=False)
        if report.wrongs:
            wrong += 1
            again = f"again with --seed {told.seed} --database {turn.database} --workers {turn.workers}; logs: {folder}"
            NEWS.print(again, highlight=False, soft_wrap=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return min(wrong, 1)


def _take(turn: Turn, told: argparse.Namespace):
    folder = Path(tempfile.mkdtemp(prefix="reminders-chaos-"))
    server = PostgreSQL() if turn.database == "postgresql" else None
    try:
        url = f"sqlite:///{folder / 'reminders.db'}"
        if server is not None:
            server.run("CREATE DATABASE chaos")
            url = server.url("chaos")
        migrated(url)
        plan = Plan(
            url,
            workers=turn.workers,
            seed=told.seed,
            kills=turn.kills,
            people=told.people or 100 + 2 * turn.kills,
            pause=tuple(told.pause),
            watched=told.watched,
            postgresql=server,
        )
        return run(plan, folder), folder
    finally:
        if server is not None:
            server.close()


if __name__ == "__main__":
    sys.exit(main())
