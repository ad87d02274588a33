"""The pages and their lists on a year of history: how long the server takes to answer to who may see all of it.

Each is asked for through the application itself, in this process: query, judgement of access, template. First the hours
are counted as the worker's job does, for charts and facets add those up.
"""

import json
import sys
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
import turn

sys.path.insert(0, str(Path(__file__).parents[1]))  # somebody who is signed in
from web_caller import Caller

from reminders import clock
from reminders.service import House, stats
from reminders.store import schema

ASKED = 20  # times each, after two that are not counted


def pages(house: House) -> dict[str, str]:
    """What is asked for, by what it is."""
    now = clock.now()
    later = sa.select(schema.texts.c.opens_at, schema.texts.c.id).where(schema.texts.c.opens_at < now)
    row = house.database.read(
        lambda tx: tx.first(later.where(later.selected_columns.opens_at < now - timedelta(days=180)))
    )
    ref = house.database.read(lambda tx: tx.value(sa.select(schema.plans.c.ref).limit(1)))
    place = quote(f"{row.opens_at.isoformat()}~{row.id}")
    return {
        "the board": "/",
        "the delivery log": "/log",
        "the log, half a year back": f"/log?before={place}",
        "the log, not delivered": "/log?state=undelivered",
        "the log, one code": "/log?code=30003",
        "the log, of one plan": f"/log?plan={ref}",
        "health and charts, a day": "/health?range=24h",
        "health and charts, 90 days": "/health?range=90d",
        "plans": "/plans",
        "the inbox": "/inbox",
    }


def prepare(house: House) -> None:
    """Count every hour once, as the `tally` job does."""
    while stats.tally(house, clock.now()):
        pass


def measure(house: House) -> list[dict]:
    """Milliseconds of each."""
    caller = Caller(house, role="admin")
    return [_asked(caller, what, path) for what, path in pages(house).items()]


def _asked(caller: Caller, what: str, path: str) -> dict:
    took = []
    for _ in range(ASKED + 2):
        began = time.perf_counter()
        answer = caller.get(path)
        took.append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200:
            raise SystemExit(f"{path}: {answer.status_code}")
    took = sorted(took[2:])
    return {
        "query": what,
        "path": path.partition("~")[0],
        "p50_ms": round(took[ASKED // 2], 1),
        "p95_ms": round(took[-(-ASKED * 95 // 100) - 1], 1),
        "kilobytes": round(len(answer.content) / 1024, 1),
    }


def main() -> None:
    told = turn.config()
    house = House.open()
    if told["do"] == "prepare":
        prepare(house)
    else:
        turn.say(json.dumps({"rows": measure(house)}))
    house.close()


if __name__ == "__main__":
    main()
