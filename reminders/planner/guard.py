"""The final check of a due text, on the facts as they are now (R0.3, promise 3). It runs in the transaction that
records the intent to send, with the rows it judges locked.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from operator import attrgetter

from reminders.planner.daily import busiest_week, day_of, stands, window_end
from reminders.planner.readers import Policy, Reader, Reason, Visit, next_allowed, sift
from reminders.plans import Lead, to_instant


@dataclass(frozen=True, slots=True)
class Go:
    """The text may be sent now, about these visits."""

    visits: tuple[Visit, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """The text may not be sent before `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Stop:
    """The text must not be sent."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Due:
    """A due text, for its final check.

    It covers visits in the `days` days from `day` on: one day, or the week of a digest. `day` and `lead` identify it: a
    visit that has moved to another day belongs to another text, and a visit that has moved earlier closes the window
    earlier. `gone` has the times at which the number's other reminders of the last week were last handed over, and
    `reminded` the visits that they named to this reader.
    """

    reader: Reader
    visits: tuple[Visit, ...]
    day: date
    lead: Lead
    closes_at: datetime
    gone: tuple[datetime, ...] = ()
    days: int = 1
    reminded: frozenset[int] = frozenset()


def guard(due: Due, policy: Policy, now: datetime) -> Go | Wait | Stop:
    """Whether a due text may still be sent, on the facts as they are at `now` (R0.3, promise 3)."""
    reader = due.reader
    over = due.day + timedelta(days=due.days)
    ahead = [one for one in due.visits if stands(one) and one.starts_at > now and due.day <= one.wall.date() < over]
    going, obstacle = sift(reader, ahead, policy)
    if obstacle is not None or not going:
        return Stop(obstacle or Reason.NOT_BOOKED)
    closes_at = min(due.closes_at, window_end(reader, due.lead, min(visit.starts_at for visit in going)))
    allowed = next_allowed(reader, now)
    if allowed >= closes_at:
        return Stop(Reason.QUIET_HOURS if now < closes_at else Reason.TOO_LATE)
    if allowed > now:
        return Wait(allowed.astimezone(UTC))
    full = _full(due, policy, now)
    if full is not None:
        # A visit's only reminder waits for a day with room; a second one does not.
        tomorrow = to_instant(datetime.combine(day_of(now, reader) + timedelta(days=1), time(0)), reader.zone)
        next_day = next_allowed(reader, tomorrow)
        if next_day < closes_at and not {visit.id for visit in going} <= due.reminded:
            return Wait(next_day.astimezone(UTC))
        return Stop(full)
    return Go(tuple(sorted(going, key=attrgetter("starts_at", "id"))))


def _full(due: Due, policy: Policy, now: datetime) -> Reason | None:
    """The cap that leaves the number no room for another reminder today (L-6), or None."""
    if not due.gone:
        return None
    reader = due.reader
    per_day = min(policy.per_day, reader.per_day or policy.per_day)
    per_week = min(policy.per_week, reader.per_week or policy.per_week)
    count = Counter(day_of(at, reader) for at in due.gone)
    today = day_of(now, reader)
    if count[today] >= per_day:
        return Reason.CAP_DAY
    if len(due.gone) >= per_week and busiest_week(count, today) >= per_week:
        return Reason.CAP_WEEK
    return None
