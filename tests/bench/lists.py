"""The pages and their lists on a year of history: how long the server takes for a user who may see all of it.

Each request goes through the application itself, in this process: query, access check, template. First the hours are
counted as the worker's job does, since charts and facets add those up.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
import turn

from reminders.service.operations import counting

sys.path.insert(0, str(Path(__file__).parents[1]))  # someone who is signed in
import routes
from web_caller import Caller

from reminders import clock
from reminders.queries import statistics
from reminders.service import AppContext
from reminders.store.database import schema

ASKED = 20  # times each, after two that are not counted


def pages(context: AppContext) -> dict[str, str]:
    """The requests, by name."""
    texts, half_a_year_ago = schema.texts, clock.now() - timedelta(days=180)
    then = sa.select(texts.c.opens_at, texts.c.id).where(texts.c.opens_at < half_a_year_ago)
    row = context.database.read(lambda tx: tx.first(then.order_by(texts.c.opens_at.desc()).limit(1)))
    ref = context.database.read(lambda tx: tx.value(sa.select(schema.plans.c.ref).limit(1)))
    place = quote(f"{row.opens_at.isoformat()}~{row.id}")
    return {
        "the board": "/",
        "the delivery log": "/log",
        "the log, half a year back": f"/log?before={place}",
        "the log, not delivered": "/log?state=undelivered",
        "the log, one of Twilio's codes": "/log?code=30003",
        "the log, one reason": "/log?reason=cap_day",
        "the log, one plan": f"/log?plan={ref}",
        "health and charts, 24 hours": "/health?range=24h",
        "health and charts, 90 days": "/health?range=90d",
        "plans": "/plans",
        "the inbox": "/inbox",
    }


def prepare(context: AppContext) -> None:
    """Count every hour once, as the `tally` job does in several runs."""
    while counting.tally(context, clock.now()) == counting.MOST:
        pass


def measure(context: AppContext) -> list[dict]:
    """Milliseconds of each page, and of the numbers behind the charts."""
    caller = Caller(context, role="admin")
    there = {route.path for route in routes.walk(caller.app)}
    rows = []
    for what, path in pages(context).items():
        if path.partition("?")[0] in there:
            rows.append(_asked(what, partial(_get, caller, path)))
    zone, now = context.settings.site.zone, clock.now()
    for range_ in ("24h", "90d"):
        read = partial(statistics.numbers, now=now, range_=range_, zone=zone)
        rows.append(_asked(f"the numbers of {range_}", lambda read=read: context.database.read(read)))
    return rows


def _get(caller: Caller, path: str) -> None:
    answer = caller.get(path)
    if answer.status_code != 200:
        raise SystemExit(f"{path}: {answer.status_code}")


def _asked(what: str, ask: Callable[[], object]) -> dict:
    took = []
    for _ in range(ASKED + 2):
        began = time.perf_counter()
        ask()
        took.append((time.perf_counter() - began) * 1000)
    took = sorted(took[2:])
    return {
        "query": what,
        "p50_ms": round(took[ASKED // 2], 1),
        "p95_ms": round(took[-(-ASKED * 95 // 100) - 1], 1),
    }


def main() -> None:
    told = turn.config()
    context = AppContext.open()
    if told["do"] == "prepare":
        prepare(context)
    else:
        turn.say(json.dumps({"rows": measure(context)}))
    context.close()


if __name__ == "__main__":
    main()
