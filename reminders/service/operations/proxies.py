"""Proxies that we do not know: they say whom they speak for, and are not believed (`web.proxies`).

Then everyone behind one has its address: the audit tells no one from another, and one who guesses passwords makes all
wait. What such a proxy named is not kept; its own address is, for a day.
"""

from datetime import datetime, timedelta

from reminders import store
from reminders.app_context import AppContext

KEPT_FOR = timedelta(days=1)
BELIEVED = "x-forwarded-for"


def note(context: AppContext, peer: str, header: str, now: datetime) -> None:
    """A request came from `peer` with a forwarded header that is not gone by. Raises Unavailable."""
    context.database.write(lambda tx: store.forwarders.note(tx, peer, header, now), again=True)


def forget(context: AppContext, now: datetime) -> None:
    """Forget those that were not seen for a day."""
    context.database.write(lambda tx: store.forwarders.forget(tx, now - KEPT_FOR), again=True)


def troubles(context: AppContext, tx: store.Transaction, now: datetime) -> list[tuple[str, str]]:
    """What is wrong with each, and what to do about it."""
    ours, found = context.settings.web.proxies, []
    for row in store.forwarders.seen(tx, now - KEPT_FOR):
        shares = "so all who come through it have one address, and share its limit of wrong passwords"
        if row.peer not in ours:
            listed = ", ".join(f'"{one}"' for one in (*ours, row.peer))
            said = f"a proxy at {row.peer} says whom it speaks for ({row.header}) and is not believed, {shares}"
            found.append((said, f"write web.proxies = [{listed}] if it is yours, and restart the web process"))
        elif row.header != BELIEVED:
            said = f"the proxy at {row.peer} sends {row.header} but no X-Forwarded-For, {shares}"
            found.append((said, "let it set X-Forwarded-For, the one header that is believed (README.md)"))
    return found
