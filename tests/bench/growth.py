"""The cost of a worker's scan when nothing is due, and of claiming a thousand texts, at several sizes of the database.

Every pass of the worker begins with the scan. The claim is the worker's real transaction, from BEGIN to COMMIT: lock a
thousand due texts of a sender, read what they are judged on, judge, render, lint, seal, write the attempts and the
leases. Each text belongs to another patient. One claim runs first, since a real worker is warm.
"""

import json
import statistics
import time
from datetime import timedelta
from pathlib import Path
from unittest import mock

import sqlalchemy as sa
import stored
import turn

from reminders import clock, store
from reminders.service import AppContext
from reminders.service.sending import final_check
from reminders.store.database import schema

AT_ONCE = 1_000
CLAIMS = 6  # the first is not counted


def fill(context: AppContext, many: int, claim: int) -> None:
    """Migrate the empty database, add texts to claim, spread over the last month, and a past."""
    now = clock.now()
    store.migrate(context.database, now)
    stored.lay_down(context, claim * CLAIMS, now, over=timedelta(days=30))
    stored.remember(context, many, now)


def measure(context: AppContext, claim: int, scans: int) -> dict:
    """Milliseconds of a scan and of a claim, the store's share of the claim, and other details."""
    now = clock.now()
    context.database.write(_as_laid_down)
    context.database.checkpoint()
    earlier = now - timedelta(days=400)  # nothing was due then
    scan = [_milliseconds(lambda: _scan(context, earlier)) for _ in range(scans)]
    marks = []
    while context.database.read(lambda tx: store.queue.scan(tx, now)).opened:
        marks.append(_milliseconds(lambda: context.database.write(lambda tx: store.queue.mark_ready(tx, now))))
    context.database.checkpoint()
    ((sender, _),) = context.database.read(lambda tx: store.queue.scan(tx, now)).senders
    claims, of_store = [], []
    for _ in range(CLAIMS):
        begun: list = []
        spent = 0.0

        def work(tx: store.Transaction, begun: list = begun) -> None:
            nonlocal spent
            _, intents, _ = final_check.claim(context, tx, sender, claim, now)
            spent -= time.perf_counter()
            begun.extend(store.claims.start(tx, intents, now, timedelta(minutes=2)))

        def locking(*told, take=store.claims.claim):
            nonlocal spent
            began = time.perf_counter()
            taken = take(*told)
            spent += time.perf_counter() - began
            return taken

        with mock.patch.object(store.claims, "claim", locking):
            claims.append(_milliseconds(lambda work=work: context.database.write(work)))
        of_store.append((spent + time.perf_counter()) * 1000)  # since `start` began, the COMMIT is in it
        if len(begun) != claim:
            raise SystemExit(f"{len(begun)} of {claim} were claimed")
        context.database.checkpoint()
    return {
        "stored": context.database.read(lambda tx: tx.value(sa.select(sa.func.count()).select_from(schema.texts))),
        "claimed": claim,
        "idle_scan_ms": round(statistics.median(scan), 4),
        "mark_ready_ms": round(statistics.median(marks), 2),
        "claim_ms": round(statistics.median(claims[1:]), 2),
        "database_ms": round(statistics.median(of_store[1:]), 2),
        "claims_ms": [round(one, 1) for one in claims],
        "peak_rss_mb": turn.peak_rss_mb(),
        "bytes": _size(context),
        "version": context.database.server_version,
    }


def _scan(context: AppContext, now) -> None:
    assert context.database.read(lambda tx: store.queue.scan(tx, now)) == store.queue.Scan(opened=False, senders=[])


def _as_laid_down(tx: store.Transaction) -> None:
    """Make texts that an earlier measurement claimed due again."""
    texts, attempts = schema.texts, schema.attempts
    claimed = [row.id for row in tx.all(sa.select(texts.c.id).where(sa.text(schema.IN_FLIGHT)))]
    for first in range(0, len(claimed), 1_000):
        some = claimed[first : first + 1_000]
        tx.run(attempts.delete().where(attempts.c.text_id.in_(some)))
        values = {"state": "scheduled", "leased_until": None, "attempts": 0, "ready": False}
        tx.run(texts.update().where(texts.c.id.in_(some)).values(**values))
    tx.run(texts.update().where(sa.text(schema.READY)).values(ready=False))


def _milliseconds(work) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _size(context: AppContext) -> int:
    if context.database.dialect == "sqlite":
        return Path(context.settings.database.url.removeprefix("sqlite:///")).stat().st_size
    return context.database.read(lambda tx: tx.value(sa.text("SELECT pg_database_size(current_database())")))


def main() -> None:
    told = turn.config()
    context = AppContext.open()
    if told["do"] == "fill":
        fill(context, told["stored"], told["claim"])
        return
    turn.say(json.dumps(measure(context, told["claim"], told["scans"])))
    context.close()


if __name__ == "__main__":
    main()
