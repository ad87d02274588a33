"""Everything due at once on a sender of ten segments a second, in simulated time: the worker's own line and its
`settle` job against the clock of the simulation, on a wire that takes what it is given.

It must send the earliest deadline first, nothing after its window, no faster than the sender's pace, and its memory
must not grow with what waits. The windows shut at such moments that some texts cannot go in theirs.
"""

import asyncio
import json
import sys
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import sqlalchemy as sa
import stored
import turn

sys.path.insert(0, str(Path(__file__).parents[1]))  # the clock of the simulation
from simulation.loop import Loop

from reminders import clock, store
from reminders.service import AppContext, sending
from reminders.service.sending import dispatch as dispatching
from reminders.service.sending import outcomes
from reminders.sms import Accepted
from reminders.store.database import schema
from reminders.store.sending.queue import READY_AT_ONCE

PACE = 10  # segments a second
LONGER = 0.85  # of the time that all would need, is when the last window shuts: some cannot go
EACH = 5  # seconds between passes of the worker, as in settings.toml
SETTLE_EACH = 30


class _Wire:
    """A line that takes every text, a tenth of a second after it is given."""

    def __init__(self) -> None:
        self.taken = 0

    async def send(self, _) -> Accepted:
        await asyncio.sleep(0.1)
        self.taken += 1
        return Accepted(f"SM{self.taken:032x}", "queued")


@dataclass
class Found:
    """What a run came to."""

    due: int
    sent: int
    expired: int
    after_window: int
    out_of_order: int
    per_second: float
    most_in_a_minute: int
    simulated_seconds: float
    rss_mb: list[float]


def lay_down(context: AppContext, many: int, now: datetime) -> None:
    """Lay down that many texts that are due now, on a sender with that pace."""
    store.migrate(context.database, now)
    longest = timedelta(seconds=many / PACE * LONGER)
    stored.lay_down(context, many, now, closes=(longest / 20, longest))


def run(context: AppContext, many: int, now: datetime) -> Found:
    """Let the time pass until nothing waits any more."""
    loop = Loop(lambda: 0.0)
    dispatch = sending.Dispatch(context, _Wire(), None, threading.Event())
    rss: list[float] = []

    async def send() -> None:
        while _waiting(context):
            await dispatch.drain()
            await asyncio.sleep(EACH)

    async def settle() -> None:
        while True:
            await asyncio.sleep(SETTLE_EACH)
            await outcomes.settle(context, dispatch, clock.now())
            rss.append(turn.rss_mb())

    def machine() -> datetime:
        return now + timedelta(microseconds=round(loop.seconds * 1e6))

    with (
        mock.patch.object(clock, "machine", machine),
        mock.patch.object(dispatching, "time", SimpleNamespace(monotonic=loop.time)),
    ):
        beside = loop.create_task(settle())
        loop.run_until_complete(send())
        beside.cancel()
        loop.run_until_complete(asyncio.gather(beside, return_exceptions=True))
    simulated = loop.seconds
    loop.close()
    return _judge(context, many, simulated, rss)


def _waiting(context: AppContext) -> bool:
    return (
        context.database.read(lambda tx: tx.first(sa.text("SELECT 1 FROM texts WHERE state = 'scheduled' LIMIT 1")))
        is not None
    )


def _judge(context: AppContext, many: int, simulated: float, rss: list[float]) -> Found:
    texts, attempts = schema.texts, schema.attempts
    query = sa.select(attempts.c.started_at, texts.c.closes_at).join(texts, texts.c.id == attempts.c.text_id)
    gone = context.database.read(lambda tx: tx.all(query.order_by(attempts.c.started_at, texts.c.closes_at)))
    states = context.database.read(store.texts.counts_by_state)
    # A pass marks so many as ready: until all are, only those among them can be told apart.
    first = gone[0].started_at + timedelta(seconds=-(-many // READY_AT_ONCE)) if many > READY_AT_ONCE else None
    ordered = [row for row in gone if first is None or row.started_at > first]
    minute, most, first_of_it = timedelta(minutes=1), 0, 0
    for place, row in enumerate(gone):
        while gone[first_of_it].started_at <= row.started_at - minute:
            first_of_it += 1
        most = max(most, place - first_of_it + 1)
    lasted = (gone[-1].started_at - gone[0].started_at).total_seconds()
    return Found(
        due=many,
        sent=states.get("sent", 0),
        expired=states.get("expired", 0),
        after_window=sum(row.started_at >= row.closes_at for row in gone),
        out_of_order=sum(later.closes_at < earlier.closes_at for earlier, later in pairwise(ordered)),
        per_second=round(len(gone) / (lasted + 1), 2),
        most_in_a_minute=most,
        simulated_seconds=round(simulated, 1),
        rss_mb=rss,
    )


def main() -> None:
    told = turn.config()
    context = AppContext.open()
    if told["do"] == "lay down":  # a process of its own: what it took to lay down is not what it takes to send
        now = clock.now()
        lay_down(context, told["messages"], now)
        turn.say(json.dumps({"now": now.isoformat()}))
    else:
        found = run(context, told["messages"], datetime.fromisoformat(told["now"]))
        turn.say(json.dumps(vars(found) | {"version": context.database.server_version}))
    context.close()


if __name__ == "__main__":
    main()
