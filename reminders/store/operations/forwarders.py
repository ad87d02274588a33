"""Peers that say whom they speak for and are believed in nothing: proxies that `web.proxies` does not name."""

from datetime import datetime

import sqlalchemy as sa

from reminders.store.database.engine import Transaction
from reminders.store.database.schema import forwarders
from reminders.store.records import ForwarderRow

MOST = 20


def note(tx: Transaction, peer: str, header: str, now: datetime) -> None:
    """Such a peer was seen, with that header."""
    values = {"header": header[:24], "seen_at": now}
    if tx.run(forwarders.update().where(forwarders.c.peer == peer).values(**values)):
        return
    if int(tx.value(sa.select(sa.func.count()).select_from(forwarders)) or 0) < MOST:
        tx.insert_new(forwarders, {"peer": peer} | values)


def seen(tx: Transaction, since: datetime) -> list[ForwarderRow]:
    """Those seen since then, by address."""
    return tx.all_as(
        ForwarderRow, sa.select(forwarders).where(forwarders.c.seen_at >= since).order_by(forwarders.c.peer)
    )


def forget(tx: Transaction, before: datetime) -> None:
    """Those not seen since then go."""
    tx.run(forwarders.delete().where(forwarders.c.seen_at < before))
