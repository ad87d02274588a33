"""`python tests/simulation`: the whole service in simulated worlds, one for each seed, with its promises checked."""

import argparse
import gc
import logging
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Generator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

from rich.console import Console

TESTS = Path(__file__).parents[1]
sys.path[:1] = [str(TESTS), str(TESTS.parent)]  # no one installs the tests, nor the house for them

# ruff: disable[module-import-not-at-top-of-file]
from simulation.clinic import Asked, Lived, kept, live_clinic, table
from simulation.disk import Disk
from simulation.story import Outcome, run

# ruff: enable[module-import-not-at-top-of-file]

TRACE = 30  # steps of it that are shown
PIECE = 10  # seeds run in one batch
SAYS = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
NEWS = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="live through this seed only, and print its whole trace")
    parser.add_argument("--seeds", type=int, default=300, help="how many (default 300)")
    parser.add_argument("--start", type=int, default=0, help="from which on")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side; the worlds are the same")
    parser.add_argument("--on", action="store_true", help="go on after a failure")
    parser.add_argument("--world", choices=("small", "clinic"), default="small", help="a few people, or a whole clinic")
    parser.add_argument("--patients", type=int, default=40, help="clinic: how many (default 40)")
    parser.add_argument("--days", type=int, default=60, help="clinic: for how long (default 60)")
    parser.add_argument(
        "--over",
        type=date.fromisoformat,
        help="clinic: a day to live over, such as 2026-03-08; by default each change of the clocks in turn",
    )
    parser.add_argument("--show", help="clinic, with --seed: why the visits whose label holds this had no reminder")
    asked = parser.parse_args()
    if asked.world == "clinic":
        wanted = Asked(asked.patients, asked.days, asked.over, asked.show)
        seeds = (
            range(asked.start, asked.start + asked.seeds) if asked.seed is None else range(asked.seed, asked.seed + 1)
        )
        return _clinics(seeds, asked.database, asked.jobs, wanted)
    if asked.seed is not None:
        return _one(asked.seed, asked.database)
    return _many(range(asked.start, asked.start + asked.seeds), asked.database, asked.jobs, stop=not asked.on)


def _one(seed: int, database: str) -> int:
    (outcome,) = live(database, [seed])
    SAYS.print("\n".join(outcome.trace))
    SAYS.print(f"\nseed {seed}: {outcome.problem or 'every promise was kept'}\ntrace {outcome.digest}")
    return outcome.problem is not None


def _many(seeds: range, database: str, jobs: int, *, stop: bool) -> int:
    began, totals, failed, done = time.monotonic(), Counter(), [], 0
    pieces = [list(seeds[start : start + PIECE]) for start in range(0, len(seeds), PIECE)]
    with ProcessPoolExecutor(jobs) as pool:
        for outcomes in pool.map(_piece, [database] * len(pieces), pieces):
            for outcome in outcomes:
                done += 1
                totals += outcome.counts
                if outcome.problem is not None:
                    failed.append(outcome.seed)
                    NEWS.print(report(outcome, database))
            if done % 500 == 0 or done == len(seeds):
                NEWS.print(f"{done} seeds, {time.monotonic() - began:.0f} s, {len(failed)} failed")
            if failed and stop:
                pool.shutdown(cancel_futures=True)
                break
    SAYS.print(summary(totals, done, database))
    if failed:
        SAYS.print(f"failed: {' '.join(map(str, failed))}")
    if not totals["ended delivered"]:
        NEWS.print("nothing was delivered: these worlds say nothing")
        return True
    return bool(failed)


def _clinics(seeds: range, database: str, jobs: int, asked: Asked) -> int:
    """Run the clinics of these seeds; returns 1 if any broke a promise."""
    totals, broken = Counter(), 0
    with ProcessPoolExecutor(jobs) as pool:
        for lived in pool.map(_clinic, [database] * len(seeds), seeds, [asked] * len(seeds)):
            totals += lived.figures
            broken += len(lived.broken)
            if lived.details:
                SAYS.print("\n".join(lived.details))
            for line in lived.broken[: None if asked.show is not None or len(seeds) == 1 else TRACE]:
                NEWS.print(f"seed {lived.seed}: {line}")
            if len(lived.broken) > TRACE and len(seeds) > 1:
                NEWS.print(f"seed {lived.seed}: and {len(lived.broken) - TRACE} more; all with --seed {lived.seed}")
    SAYS.print(
        f"{len(seeds)} clinics of {asked.patients} patients and {asked.days} days on {database}, {broken} broken"
    )
    SAYS.print(table(totals))
    if not totals["visits"]:
        NEWS.print("no visit was eligible: these clinics say nothing")
        return True
    return bool(broken) or not kept(totals)


def _clinic(database: str, seed: int, asked: Asked) -> Lived:
    with _disk(database) as disk:
        lived = live_clinic(seed, disk, asked)
    lived.trace.clear()
    return lived


def _piece(database: str, seeds: list[int]) -> list[Outcome]:
    outcomes = live(database, seeds)
    for outcome in outcomes:
        if outcome.problem is None:
            outcome.trace.clear()
    return outcomes


def live(database: str, seeds: list[int]) -> list[Outcome]:
    """Run these seeds, one after another, on their own database."""
    with _disk(database) as disk:
        return [run(seed, disk) for seed in seeds]


@contextmanager
def _disk(database: str) -> Generator[Disk]:
    """A simulated database, with this process prepared for it."""
    logging.getLogger().addHandler(logging.NullHandler())  # nothing of these worlds is for this one's log
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=shared if shared.is_dir() else None))
    try:
        with closing(Disk(database, folder)) as disk:
            gc.disable()  # it takes a tenth of the time; the process frees a world's garbage at its end
            yield disk
    finally:
        gc.enable()
        shutil.rmtree(folder, ignore_errors=True)


def report(outcome: Outcome, database: str) -> str:
    """The broken promise, the steps before it, and the command that repeats it."""
    steps = [number for number, line in enumerate(outcome.trace) if "— " in line]
    last = outcome.trace[steps[-TRACE] if len(steps) > TRACE else 0 :]
    again = f"python tests/simulation --seed {outcome.seed}" + (
        " --database postgresql" if database != "sqlite" else ""
    )
    return "\n".join(
        (
            f"seed {outcome.seed}, step {outcome.step}: {outcome.problem}",
            *(f"    {line}" for line in last),
            f"again: {again}",
        )
    )


def summary(totals: Counter, seeds: int, database: str) -> str:
    """The figures of these worlds."""
    faults = sum(many for name, many in totals.items() if name.startswith("fault: "))
    wanted = ("texts", "attempts", "messages", "resends", "second messages", "replies", "crashes")
    lines = [f"{seeds} seeds on {database}: {', '.join(f'{totals[name]} {name}' for name in wanted)}, {faults} faults"]
    for start in ("crash: ", "ended ", "fault: "):
        found = sorted((name.removeprefix(start), many) for name, many in totals.items() if name.startswith(start))
        lines.append(f"{start.strip(' :')}: " + ", ".join(f"{name} {many}" for name, many in found))
    lines.append(f"lost {totals['lost']}, shown twice {totals['seen twice']}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
