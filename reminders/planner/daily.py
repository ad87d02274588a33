"""The possible reminders: one text for each reader, day of visits and lead, with its window moved out of quiet hours
(docs/design.md#the-planner). `selection` chooses among them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby
from operator import attrgetter

from reminders.planner.readers import (
    A_DAY,
    Gone,
    Policy,
    Reader,
    Reason,
    Visit,
    is_quiet,
    leads_of,
    next_allowed,
    quiet_began,
    sift,
)
from reminders.plans import Lead, to_instant, to_wall

LAST_USEFUL = timedelta(minutes=45)  # a text later than this before the start helps no one
BEFORE_QUIET = timedelta(minutes=60)  # a short lead in quiet hours moves to this long before they start …
STILL_AHEAD = timedelta(hours=2)  # … if that is still at least this long before the visit (L-22)
RED_WITHIN = timedelta(hours=72)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A possible reminder. `goes_at` is when to send it; None means that it is not sent, and `reason` says why.

    There is one candidate per reader, day of visits, and lead. `key` identifies it permanently
    (docs/design.md#natural-keys).
    """

    reader: int
    key: str
    day: date
    lead: Lead
    opens_at: datetime
    closes_at: datetime
    goes_at: datetime | None
    reason: Reason | None
    visits: tuple[Visit, ...]


def candidates_of(
    reader: Reader, visits: Sequence[Visit], policy: Policy, now: datetime, gone: Mapping[str, Gone]
) -> list[Candidate]:
    """Every possible reminder to one reader, each with the time it would be sent if there were no caps or other texts.

    `gone` are the reader's reminders that have already been sent, by key. Canceled visits, visits of an ended plan and
    past days give no candidates. A visit that has begun still shapes its day, marked or not: visits on one day share
    their texts, and planning later in the day must not change them.
    """
    standing = [_as_planned(visit, now) for visit in visits]
    standing = sorted(filter(stands, standing), key=lambda visit: (visit.wall.date(), visit.starts_at, visit.id))
    candidates = []
    for day, grouped in groupby(standing, key=lambda visit: visit.wall.date()):
        of_day = list(grouped)
        if of_day[-1].starts_at > now:
            candidates += _plan_day(reader, day, of_day, policy, now=now, gone=gone)
    return candidates


def _as_planned(visit: Visit, now: datetime) -> Visit:
    """The visit as it was before staff marked attendance: a mark made after the start changes no text of that day."""
    marked = visit.status in {"attended", "missed"} and visit.starts_at <= now
    return replace(visit, status="booked") if marked else visit


def stands(visit: Visit) -> bool:
    """Whether the visit can have texts at all."""
    return visit.status in {"booked", "tentative"} and visit.plan_status != "ended"


def _plan_day(
    reader: Reader,
    day: date,
    visits: list[Visit],
    policy: Policy,
    *,
    now: datetime,
    gone: Mapping[str, Gone],
) -> list[Candidate]:
    by_lead: dict[Lead, list[Visit]] = {}
    for visit in visits:
        for lead in leads_of(visit, policy):
            by_lead.setdefault(lead, []).append(visit)
    candidates = []
    for lead, sharing in by_lead.items():
        going, obstacle = sift(reader, sharing, policy)
        about = tuple(going or sharing)
        opens_at, closes_at, quiet = window(reader, lead, about[0].starts_at)
        candidates.append(
            Candidate(
                reader=reader.id,
                key=f"day:{day.isoformat()}:{lead}",
                day=day,
                lead=lead,
                opens_at=opens_at,
                closes_at=closes_at,
                goes_at=None,
                reason=obstacle or quiet,
                visits=about,
            )
        )
    candidates.sort(key=attrgetter("opens_at", "closes_at", "key"))
    return [
        _set_time(reader, candidate, candidates[place + 1 :], now, gone) for place, candidate in enumerate(candidates)
    ]


def _set_time(
    reader: Reader, candidate: Candidate, later: Sequence[Candidate], now: datetime, gone: Mapping[str, Gone]
) -> Candidate:
    """Set when a candidate is sent: before the next lead about any of its visits opens."""
    follows = (
        one.opens_at
        for one in later
        if one.reason is None and one.opens_at > candidate.opens_at and set(one.visits) & set(candidate.visits)
    )
    closes_at = min(candidate.closes_at, next(follows, candidate.closes_at))
    if candidate.reason is not None:
        return replace(candidate, closes_at=closes_at)
    if candidate.key in gone:
        return replace(candidate, closes_at=closes_at, goes_at=gone[candidate.key].at)
    goes_at = next_allowed(reader, max(candidate.opens_at, now))
    if goes_at >= closes_at:
        reason = Reason.TOO_LATE if now >= closes_at else Reason.QUIET_HOURS
        return replace(candidate, closes_at=closes_at, reason=reason)
    return replace(candidate, closes_at=closes_at, goes_at=goes_at)


def day_of(instant: datetime, reader: Reader) -> date:
    """The date of an instant on the reader's wall clock."""
    return to_wall(instant, reader.zone).date()


def busiest_week(count: Mapping[date, int], day: date) -> int:
    """The highest number of texts in any seven-day span that includes `day`."""
    around = [count.get(day + days, 0) for days in _AROUND]
    return max(sum(around[start : start + 7]) for start in range(7))


_AROUND = [timedelta(days=days) for days in range(-6, 7)]


def is_red(visit: Visit, now: datetime) -> bool:
    """Whether someone must phone if this visit gets no text: it is the first after discharge, or within 72 hours
    (docs/design.md#red).
    """
    ahead = visit.starts_at - now
    return visit.status == "booked" and ahead > timedelta(0) and (visit.first or ahead <= RED_WITHIN)


def window(reader: Reader, lead: Lead, starts_at: datetime) -> tuple[datetime, datetime, Reason | None]:
    """The sending window for a visit at `starts_at`, with its opening moved out of quiet hours (L-20, L-22)."""
    opens_at = _moment(lead, starts_at, reader.zone)
    closes_at = _close(opens_at, starts_at)
    if opens_at >= starts_at:  # '0d@08:00' for a visit at 07:00
        return starts_at - timedelta(minutes=1), starts_at, Reason.TOO_LATE
    if not is_quiet(reader, opens_at):
        return opens_at, closes_at, None
    # A lead that names a day means that day (`0d@08:00` is the morning of the visit), so it never moves a day earlier.
    if lead.before is None or lead.before >= A_DAY:
        moved = next_allowed(reader, opens_at)
        return (moved, closes_at, None) if moved < closes_at else (opens_at, closes_at, Reason.QUIET_HOURS)
    moved = quiet_began(reader, opens_at) - BEFORE_QUIET
    if moved <= starts_at - STILL_AHEAD and not is_quiet(reader, moved):
        return moved, closes_at, None
    return opens_at, closes_at, Reason.QUIET_HOURS


def window_end(reader: Reader, lead: Lead, starts_at: datetime) -> datetime:
    """When the sending window for a visit at `starts_at` closes, as in `window`."""
    return _close(_moment(lead, starts_at, reader.zone), starts_at)


def _close(opens_at: datetime, starts_at: datetime) -> datetime:
    return starts_at - min(LAST_USEFUL, max(timedelta(0), starts_at - opens_at) / 2)


def _moment(lead: Lead, starts_at: datetime, zone: str) -> datetime:
    if lead.before is not None:
        return starts_at - lead.before
    wall = to_wall(starts_at, zone) - timedelta(days=lead.days)
    if lead.at is not None:
        wall = datetime.combine(wall.date(), lead.at)
    return to_instant(wall, zone)
