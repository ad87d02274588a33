"""The counts that pages add up, made true again and again by the `tally` job."""

from datetime import datetime
from functools import partial

from reminders.app_context import AppContext
from reminders.store.operations.tallies import count, due_hours, hour_at, keep, looked, stretches

AT_ONCE = 24  # hours that are counted in one go


AHEAD_AT_ONCE = 7 * 24  # of those to come, in which little happened yet


MOST = 2_000  # hours that are counted in one run; the rest is next


def tally(context: AppContext, now: datetime) -> int:
    """Count again what may have changed, the `tally` job; how many hours. Safe at any time, twice and in parallel."""
    due = context.database.read(lambda tx: due_hours(tx, now))
    hours = due[:MOST]
    here = hour_at(now)
    past = stretches((hour for hour in hours if hour <= here), at_most=AT_ONCE)
    ahead = stretches((hour for hour in hours if hour > here), at_most=AHEAD_AT_ONCE, gap=AT_ONCE)
    for first, last in (*past, *ahead):
        counted = context.database.read(partial(count, first=first, last=last))
        context.database.write(partial(keep, counted=counted, now=now), again=True)
    if len(hours) == len(due):
        context.database.write(lambda tx: looked(tx, now), again=True)
    return len(hours)
