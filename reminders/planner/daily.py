"""Which reminders there should be: a text for each reader, day of visits and lead, merged, capped, and moved out of
quiet hours (DESIGN §8). Preview and planning are this one function, so what a coordinator saw is what is stored.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import partial
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

LAST_USEFUL = timedelta(minutes=45)  # a text later than this before the start helps nobody
BEFORE_QUIET = timedelta(minutes=60)  # a short lead that falls into quiet hours goes this long before they start …
STILL_AHEAD = timedelta(hours=2)  # … if that is at least this long before the visit (L-22)
RED_WITHIN = timedelta(hours=72)
DIGEST = Lead(days=1, at=time(17))  # Sunday 17:00, as if for a Monday


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that could go. It goes at `goes_at`; where that is None, `reason` says why it does not.

    One candidate per reader, day of the visits, and lead: `key` is its identity for ever (DESIGN §7).
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


def plan(
    parties: Sequence[tuple[Reader, Sequence[Visit]]], policy: Policy, now: datetime, gone: Sequence[Gone] = ()
) -> list[Candidate]:
    """Every text that could go to one number, in the order in which their windows open.

    `parties` are the readers who use the number, each with their visits: two patients on one number never share a
    text, but they share the caps. `gone` are the number's texts of the last two weeks. Give the visits of whole days,
    also those that have begun: visits on one day share their texts, and asking late must not change them. Visits that
    are off (cancelled, or of an ended plan) and days that are over give none. The same input gives the same answer,
    however often it is asked.
    """
    candidates = []
    for reader, visits in parties:
        theirs = {one.key: one for one in gone if one.reader == reader.id}
        standing = sorted(filter(stands, visits), key=lambda visit: (visit.wall.date(), visit.starts_at, visit.id))
        by_day = [(day, list(of_day)) for day, of_day in groupby(standing, key=lambda visit: visit.wall.date())]
        for day, of_day in by_day:
            if of_day[-1].starts_at > now:
                candidates += _plan_day(reader, day, of_day, policy, now=now, gone=theirs)
        if reader.digest:
            candidates = _digest(reader, candidates, now, theirs)
    capped = _cap(candidates, [reader for reader, _ in parties], policy, gone)
    return sorted(capped, key=attrgetter("opens_at", "reader", "key"))


def stands(visit: Visit) -> bool:
    """Whether texts may be about this visit at all."""
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
    timed = [
        _set_time(reader, candidate, candidates[place + 1 :], now, gone) for place, candidate in enumerate(candidates)
    ]
    return _merge(reader, timed, gone)


def _set_time(
    reader: Reader, candidate: Candidate, later: Sequence[Candidate], now: datetime, gone: Mapping[str, Gone]
) -> Candidate:
    """When a candidate goes: not after the next lead about any of its visits opens."""
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


def _merge(reader: Reader, candidates: Sequence[Candidate], gone: Mapping[str, Gone]) -> list[Candidate]:
    """One text a day about the same day: what an earlier one says on the day a later one opens, that one need not say.

    A text that has gone says what it said; one that is to go takes the later one's visits in, and its window.
    """
    kept: list[Candidate] = []
    for candidate in candidates:
        into = next(filter(partial(_takes_in, reader, candidate, gone), enumerate(kept)), None)
        if into is None:
            kept.append(candidate)
            continue
        place, earlier = into
        if earlier.key not in gone:
            about = sorted({*earlier.visits, *candidate.visits}, key=attrgetter("starts_at", "id"))
            kept[place] = replace(earlier, closes_at=_merged_close(earlier, candidate), visits=tuple(about))
        kept.append(replace(candidate, goes_at=None, reason=Reason.MERGED_INTO))
    return kept


def _takes_in(reader: Reader, later: Candidate, gone: Mapping[str, Gone], kept: tuple[int, Candidate]) -> bool:
    earlier = kept[1]
    if earlier.goes_at is None or later.goes_at is None or later.key in gone:
        return False
    if day_of(earlier.goes_at, reader) < day_of(later.opens_at, reader):
        return False
    if earlier.key in gone:
        return {visit.id for visit in later.visits} <= gone[earlier.key].visits
    return earlier.goes_at < _merged_close(earlier, later)


def _merged_close(earlier: Candidate, later: Candidate) -> datetime:
    """When a text about both shuts: with that of the earlier visit."""
    first, second = earlier.visits[0].starts_at, later.visits[0].starts_at
    if first == second:
        return max(earlier.closes_at, later.closes_at)
    return earlier.closes_at if first < second else later.closes_at


def _digest(
    reader: Reader, candidates: Sequence[Candidate], now: datetime, gone: Mapping[str, Gone]
) -> list[Candidate]:
    """The texts of a reader who chose a digest: on Sunday 17:00 the week ahead, in place of Monday's day-before text.

    One visit in a week needs no digest.
    """
    weeks: dict[date, list[Candidate]] = {}
    for candidate in candidates:
        if candidate.reader == reader.id:
            weeks.setdefault(candidate.day - timedelta(days=candidate.day.weekday()), []).append(candidate)
    kept = [candidate for candidate in candidates if candidate.reader != reader.id]
    for monday, of_week in sorted(weeks.items()):
        stand_in = _week_ahead(reader, monday, of_week, now, gone)
        goes = stand_in is not None and stand_in.goes_at is not None
        for one in of_week:
            said = goes and one.day == monday and one.lead == DIGEST and one.goes_at is not None and one.key not in gone
            kept.append(replace(one, goes_at=None, reason=Reason.MERGED_INTO) if said else one)
        kept += filter(None, [stand_in])
    return kept


def _week_ahead(
    reader: Reader, monday: date, of_week: Sequence[Candidate], now: datetime, gone: Mapping[str, Gone]
) -> Candidate | None:
    key = f"week:{monday.isoformat()}:{DIGEST}"
    said = {visit for one in of_week if one.goes_at is not None for visit in one.visits}
    about = tuple(sorted(said, key=attrgetter("starts_at", "id")))
    if len(about) < 2:
        return None
    sunday = datetime.combine(monday - A_DAY, DIGEST.at or time(17))
    opens_at = next_allowed(reader, to_instant(sunday, reader.zone))
    closes_at = min(about[0].starts_at - LAST_USEFUL, opens_at + A_DAY)
    digest = Candidate(reader.id, key, monday, DIGEST, opens_at, closes_at, None, None, about)
    if key in gone:
        return replace(digest, goes_at=gone[key].at)
    if closes_at <= opens_at:
        return None
    goes_at = next_allowed(reader, max(opens_at, now))
    if goes_at >= closes_at:
        return replace(digest, reason=Reason.TOO_LATE)
    return replace(digest, goes_at=goes_at)


def day_of(instant: datetime, reader: Reader) -> date:
    """The date of an instant on the reader's wall clock."""
    return to_wall(instant, reader.zone).date()


def _cap(
    candidates: Sequence[Candidate], readers: Sequence[Reader], policy: Policy, gone: Sequence[Gone]
) -> Iterator[Candidate]:
    """Drop what is above the caps of the number (L-6): so many texts a day, and in any seven days.

    Who wins: the first visit after discharge, then one-offs, individual visits, groups, meetings; among equals the
    earlier visit; of one visit's texts that of the day before, then the shortest lead (P-30). What has gone counts and
    stays; a text whose day was full does not come back on the next.
    """
    if not candidates:
        return
    home = {reader.id: reader for reader in readers}
    agreed = [reader for reader in readers if reader.consented]
    per_day = min([policy.per_day, *(reader.per_day for reader in agreed if reader.per_day is not None)])
    per_week = min([policy.per_week, *(reader.per_week for reader in agreed if reader.per_week is not None)])
    first = readers[0]
    count = Counter(day_of(one.at, home.get(one.reader, first)) for one in gone)
    has_gone = {(one.reader, one.key) for one in gone}
    for candidate in sorted(candidates, key=_rank):
        if candidate.goes_at is None or (candidate.reader, candidate.key) in has_gone:
            yield candidate
            continue
        reader = home[candidate.reader]
        day = day_of(candidate.goes_at, reader)
        if max(count[day], count[day_of(candidate.opens_at, reader)]) >= per_day:
            yield replace(candidate, goes_at=None, reason=Reason.CAP_DAY)
        elif busiest_week(count, day) >= per_week:
            yield replace(candidate, goes_at=None, reason=Reason.CAP_WEEK)
        else:
            count[day] += 1
            yield candidate


def busiest_week(count: Mapping[date, int], day: date) -> int:
    """The most texts there are in any seven days that have `day` in them."""
    around = [count.get(day + days, 0) for days in _AROUND]
    return max(sum(around[start : start + 7]) for start in range(7))


_AROUND = [timedelta(days=days) for days in range(-6, 7)]


def _rank(candidate: Candidate) -> tuple[int, datetime, int, datetime, int, str]:
    def importance(visit: Visit) -> int:
        if visit.first:
            return 0
        if visit.kind.is_open_meeting:
            return 4
        if not visit.repeats:
            return 1
        return 2 if visit.kind.is_individual else 3

    most = min(map(importance, candidate.visits))
    ahead = candidate.lead.before or timedelta(days=candidate.lead.days)
    lead = 0 if ahead == A_DAY else 1 if ahead < A_DAY else 2
    return most, candidate.visits[0].starts_at, lead, candidate.opens_at, candidate.reader, candidate.key


def is_red(visit: Visit, now: datetime) -> bool:
    """Whether somebody must phone if no text goes about this visit: the first after discharge, or within 72 hours.

    (DESIGN §8: Red.)
    """
    ahead = visit.starts_at - now
    return visit.status == "booked" and ahead > timedelta(0) and (visit.first or ahead <= RED_WITHIN)


def window(reader: Reader, lead: Lead, starts_at: datetime) -> tuple[datetime, datetime, Reason | None]:
    """When a text may go for a visit at `starts_at`, with the opening moved out of quiet hours (L-20, L-22)."""
    opens_at = _moment(lead, starts_at, reader.zone)
    closes_at = _close(opens_at, starts_at)
    if opens_at >= starts_at:  # '0d@08:00' for a visit at 07:00
        return starts_at - timedelta(minutes=1), starts_at, Reason.TOO_LATE
    if not is_quiet(reader, opens_at):
        return opens_at, closes_at, None
    if lead.days >= 1 or (lead.before or timedelta(0)) >= A_DAY:
        moved = next_allowed(reader, opens_at)
        return (moved, closes_at, None) if moved < closes_at else (opens_at, closes_at, Reason.QUIET_HOURS)
    moved = quiet_began(reader, opens_at) - BEFORE_QUIET
    if moved <= starts_at - STILL_AHEAD and not is_quiet(reader, moved):
        return moved, closes_at, None
    return opens_at, closes_at, Reason.QUIET_HOURS


def window_end(reader: Reader, lead: Lead, starts_at: datetime) -> datetime:
    """Until when a text may go for a visit at `starts_at`: as in `window`."""
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
