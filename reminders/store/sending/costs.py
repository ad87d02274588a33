"""What texts cost: Twilio's own price where it told us one, else a price for each segment.

Twilio says the price of a message some time after it went, when it is asked for that message; a callback has none. All
is in the currency of the account. What Twilio took is counted, whether it arrived or not: it is billed.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import sqlalchemy as sa

from reminders.plans import to_instant
from reminders.store.database.engine import Transaction
from reminders.store.database.ids import first_id
from reminders.store.database.schema import attempts, texts

_ANSWERED_WITHIN = timedelta(minutes=10)
_MOST = 1000  # no text costs so much: it is no price


def price_of(said: str | None) -> str | None:
    """A price as Twilio writes one, such as -0.00790, as it is kept: 0.0079. None for what is none."""
    try:
        price = abs(Decimal(said or ""))
    except InvalidOperation:
        return None
    return f"{price.normalize():f}"[:16] if price.is_finite() and price < _MOST else None


def note_price(tx: Transaction, attempt_id: int, price: str) -> None:
    """Keep what Twilio billed for an attempt; the last word holds."""
    tx.run(attempts.update().where(attempts.c.id == attempt_id).values(price=price))


@dataclass(frozen=True, slots=True)
class Cost:
    """What some texts cost. `told` is the part that Twilio gave prices for, `estimated` what the rest comes to; None
    where no price per segment is set. `unpriced` are the segments that no one knows a price of.
    """

    texts: int
    segments: int
    told: float
    unpriced: int
    estimated: float | None

    @property
    def total(self) -> float:
        """All that is known of it."""
        return round(self.told + (self.estimated or 0), 6)

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "texts": self.texts,
            "segments": self.segments,
            "cost": self.total,
            "told": self.told,
            "estimated": self.estimated,
            "segments_without_price": self.unpriced,
        }


def total(
    tx: Transaction,
    *,
    since: datetime,
    until: datetime,
    price: float | None,
    places: Collection[int] | None = None,
) -> Cost:
    """What the texts of these sites (None: all) cost that Twilio took from `since` on and before `until`."""
    query = sa.select(*SUMS).where(*taken(since, until))
    if places is not None:
        query = query.join(texts, texts.c.id == attempts.c.text_id).where(texts.c.site_id.in_(places))
    row = tx.first(query)
    assert row is not None
    return cost_of(row.texts, row.segments, row.told, row.unpriced, price=price)


SUMS: tuple[sa.ColumnElement[Any], ...] = (
    sa.func.count().label("texts"),
    sa.func.coalesce(sa.func.sum(attempts.c.segments), 0).label("segments"),
    sa.func.coalesce(sa.func.sum(sa.cast(attempts.c.price, sa.Float)), 0.0).label("told"),
    sa.func.coalesce(sa.func.sum(attempts.c.segments).filter(attempts.c.price.is_(None)), 0).label("unpriced"),
)


def taken(since: datetime, until: datetime) -> list[sa.ColumnElement[bool]]:
    """Of the attempts that Twilio took then."""
    first = first_id(max(since - _ANSWERED_WITHIN, datetime(2000, 1, 1, tzinfo=UTC)))  # ids grow with time
    answered = attempts.c.answered_at
    return [attempts.c.id >= first, answered >= since, answered < until, attempts.c.answer == "accepted"]


def cost_of(texts: int, segments: int, told: float, unpriced: int, *, price: float | None) -> Cost:
    """The cost of what SUMS add up; a database may give its numbers as decimals."""
    return Cost(
        texts=texts,
        segments=int(segments),
        told=round(float(told), 6),
        unpriced=int(unpriced),
        estimated=round(int(unpriced) * price, 6) if price is not None else None,
    )


def month(day: date, zone: str) -> tuple[datetime, datetime]:
    """The calendar month of that day on the wall clock of `zone`: from when on, and before when."""
    first = day.replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    begin, end = (to_instant(datetime.combine(one, time(0)), zone).astimezone(UTC) for one in (first, following))
    return begin, end
