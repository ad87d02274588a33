"""One turn of one contender, in its own process on its own core: prepare, wait for the signal, be timed."""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

MOST = 1_000_000  # messages in one turn
_FICTION = 80_000  # numbers of fiction: a hundred in each of 800 area codes


def phone(number: int) -> str:
    """The n-th number that is no one's: 555-0100 … 555-0199 in each area code, and then those that begin with 1 after
    the area code, which no exchange ever had.
    """
    if number < _FICTION:
        return f"+1{200 + number // 100}55501{number % 100:02d}"
    return f"+1{200 + (number - _FICTION) // 1_000_000}1{(number - _FICTION) % 1_000_000:06d}"


def config() -> dict:
    """What this turn was told, from the command line; from now on the process keeps to its core."""
    told = json.loads(sys.argv[1])
    pin(told["core"])
    return told


def pin(core: int | None) -> None:
    """Keep this process, and every process and thread it starts from now on, to one core; None, or a system that
    cannot: wherever it likes.
    """
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def say(words: str) -> None:
    """Send one line to the parent process."""
    print(words, flush=True)  # ruff: ignore[print]  it is how the processes of the benchmark talk


def take(work: Callable[[], None], recorded: Callable[[], int], *, cpu: Callable[[], float | None] = time.process_time):
    """Say `ready`, wait for a line, do the `work`, and report: seconds, seconds of CPU, the most memory, and how many
    texts `recorded` finds on record afterwards (untimed).
    """
    say("ready")
    if not sys.stdin.readline():
        return
    used, began = cpu(), time.perf_counter()
    work()
    seconds, used_since = time.perf_counter() - began, cpu()
    used = None if used is None or used_since is None else used_since - used
    memory = peak_rss_mb()
    say(json.dumps({"seconds": seconds, "cpu_seconds": used, "peak_rss_mb": memory, "recorded": recorded()}))


def cpu_of_tree(root: int) -> float | None:
    """Seconds of CPU that a process and all its descendants have used, those that ended and were waited for included;
    None where there is no /proc.
    """
    parents, ticks = {}, {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it ended while we looked
            continue
        process = int(entry.parent.name)
        parents[process] = int(fields[1])
        ticks[process] = sum(map(int, fields[11:15]))  # utime, stime, and both of children that ended
    if root not in ticks:
        return None
    family = {root}
    while more := {one for one, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(ticks.get(one, 0) for one in family) / os.sysconf("SC_CLK_TCK")


def peak_rss_mb() -> float:
    """The most memory this process has had so far, in megabytes."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(most / (1 << 20 if sys.platform == "darwin" else 1 << 10), 1)
    # Not `ru_maxrss`: on Linux it begins with what the process that started this one had.
    return round(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024, 1)


def rss_mb() -> float:
    """The memory this process has now, in megabytes; the most it ever had where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return peak_rss_mb()
    return round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1)
