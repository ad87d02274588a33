"""A house with two sites, and plans of invented people at either."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from conftest import NOW
from people import raw

from reminders import clock, plans, store
from reminders.service import AppContext, planning
from reminders.service.replies import inbound
from reminders.sms import InboundText
from reminders.store.database import schema


def open_north(context: AppContext) -> dict[str, int]:
    """Give the house a second site, `north`; the ids of both."""

    def work(tx: store.Transaction) -> dict[str, int]:
        here = store.people.keep_default_site(tx, context.settings, NOW)
        site = tx.first(sa.select(schema.sites).where(schema.sites.c.id == here))
        tx.run(schema.sites.insert(), dict(site._mapping) | {"id": here + 1, "key": "north", "alias": "North Office"})
        sender = tx.first(sa.select(schema.senders))
        there = {"id": sender.id + 1, "site_id": here + 1, "address": "+15005550009"}
        tx.run(schema.senders.insert(), dict(sender._mapping) | there)
        return {"main": here, "north": here + 1}

    return context.database.write(work)


def accept(
    context: AppContext, number: int = 1, site: str = "main", *, now: datetime = NOW, who="test", **changes: Any
) -> str:
    """Enter Jordan's plan for patient MRN-<number> with their own number at that site; returns its reference."""
    ref = f"DC-{number}" if site == "main" else f"DC-{site}-{number}"
    changes["plan"] = {"ref": ref, "site": site} | changes.get("plan", {})
    changes["patient"] = {"ref": f"MRN-{number}", "phone": f"202-555-01{number % 100:02}"} | changes.get("patient", {})
    known = replace(
        context.database.read(lambda tx: context.known(tx, now)), ours=frozenset()
    )  # 555-0101 is a patient's here
    planning.accept(context, plans.read(raw(**changes), known), now, who=who)
    return changes["plan"]["ref"]


def hear(context: AppContext, body: str, number: int = 1, sid: str = "SM1", to: str = "+15005550006") -> None:
    """Text us as patient MRN-<number>."""
    text = InboundText(sid, f"+1202555{100 + number % 100:04}", to, body, None)
    inbound.take_in(context, text, clock.now())
