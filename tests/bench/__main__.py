"""`python tests/bench`: ours and the usual alternatives, in turns, in one run, against one stand-in for Twilio.

Each turn is a separate process on one core; the stand-in, PostgreSQL and Redis run on another. Every contender must
send the same number of due messages until all are recorded, from a fresh copy of data prepared once. The turns are
interleaved, each round in another order, and every figure is the median of its rounds. Other parts measure how ours
scales with stored data, drains a backlog, accepts plans, keeps a slow sender's pace, and answers the pages' queries.
"""

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import parts
import report
from bench import Bench, Failed
from turn import MOST

ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    told = _told()
    # Not in the system's temporary folder: that may be memory, where a commit costs nothing.
    place = Path("/var/tmp") if os.access("/var/tmp", os.W_OK) else None
    told.folder.mkdir(parents=True, exist_ok=True)
    kept = told.folder / "bench.json"
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reminders-bench-", dir=place)))
        work.chmod(0o755)
        bench = Bench(told, work, stack)
        for name in told.part:
            try:
                found = parts.PARTS[name](bench)
            except Failed as failure:
                report.NEWS.print(str(failure), highlight=False)
                return 1
            # One part at a time, added to earlier results: each may take a while.
            result = report.merged(kept, name, found, bench.versions)
            kept.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
            for plot, picture in report.plots(name, found).items():
                (told.folder / plot).write_text(picture, encoding="utf-8")
                report.NEWS.print(str(told.folder / plot), highlight=False, soft_wrap=True)
            report.show(name, found)
    report.NEWS.print(str(kept), highlight=False, soft_wrap=True)
    return 0


def _told() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=None, help=f"due messages in each turn, at most {MOST}")
    parser.add_argument("--rounds", type=int, default=None, help="turns of each contender")
    parser.add_argument(
        "--latency-ms", type=float, default=100, help="in the part `latency`: before the stand-in answers"
    )
    parser.add_argument(
        "--without", action="append", default=[], help="leave a contender out", choices=parts.CONTENDERS
    )
    parser.add_argument("--part", action="append", help="only this part", choices=parts.PARTS)
    parser.add_argument("--full", action="store_true", help="every part, at full size: an hour, and 20 GB of disk")
    parser.add_argument("--quick", action="store_true", help="tiny: whether it runs, not how fast")
    parser.add_argument("--database", action="append", choices=parts.DATABASES, help="only on this one")
    parser.add_argument("--stored", action="append", type=int, help="in the part `growth`: only at that many texts")
    parser.add_argument("--databases", type=Path, help="where filled databases are kept, and found again")
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="where bench.json and the plots go")
    told = parser.parse_args()
    told.messages = told.messages if told.messages is not None else (60 if told.quick else 10_000)
    told.rounds = told.rounds if told.rounds is not None else (1 if told.quick else 3)
    told.part = told.part or list(parts.PARTS if told.full else parts.USUAL)
    told.database = told.database or list(parts.DATABASES)
    if not 1 <= told.messages <= MOST or told.rounds < 1:
        parser.error(f"1 to {MOST} messages, and one round at least")
    return told


if __name__ == "__main__":
    sys.exit(main())
