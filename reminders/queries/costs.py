"""What texts cost, by site, plan, text and month."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Literal

import sqlalchemy as sa

from reminders import plans, store
from reminders.store.database.schema import attempts, sites, texts
from reminders.store.database.schema import plans as plan_rows
from reminders.store.sending.costs import SUMS, Cost, cost_of, month, taken, total

__all__ = ["Cost", "by", "month", "months", "total"]


def by(
    tx: store.Transaction,
    which: Literal["site", "plan", "text"],
    *,
    since: datetime,
    until: datetime,
    price: float | None,
    places: Collection[int] | None = None,
    limit: int = 1_000,
) -> list[tuple[str, Cost]]:
    """The same for each site (its key), plan (its reference) or text (its id), the most segments first."""
    name = {"site": sites.c.key, "plan": sa.func.coalesce(plan_rows.c.ref, ""), "text": texts.c.id}[which]
    query = (
        sa.select(name.label("name"), *SUMS)
        .join(texts, texts.c.id == attempts.c.text_id)
        .join(sites, sites.c.id == texts.c.site_id)
        .outerjoin(plan_rows, plan_rows.c.id == texts.c.plan_id)
        .where(*taken(since, until))
        .group_by(name)
        .order_by(sa.desc("segments"), name)
        .limit(limit)
    )
    if places is not None:
        query = query.where(texts.c.site_id.in_(places))
    return [
        (str(row.name) or "no plan", cost_of(row.texts, row.segments, row.told, row.unpriced, price=price))
        for row in tx.all(query)
    ]


def months(
    tx: store.Transaction, now: datetime, zone: str, *, price: float | None, places: Collection[int] | None = None
) -> list[tuple[str, Cost]]:
    """The cost of this month and of the eleven before it, the latest first; months without a text are left out."""
    found, day = [], plans.to_wall(now, zone).date()
    for _ in range(12):
        since, until = month(day, zone)
        cost = total(tx, since=since, until=until, price=price, places=places)
        if cost.texts:
            found.append((f"{day:%Y-%m}", cost))
        day = day.replace(day=1) - timedelta(days=1)
    return found
