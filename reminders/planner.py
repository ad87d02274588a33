"""When to text. Pure: which texts a reader should get for their visits, in which window, and for each that will not
go, why (DESIGN §8). Preview, planning and the guard at the moment of sending are this one module, so what a
coordinator saw is what is stored and what goes.

Instants are aware UTC; wall-clock times are naive and belong to the zone beside them.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import partial
from itertools import groupby
from operator import attrgetter

from reminders.plans import Category, Kind, Lead, to_instant, to_wall

LAST_USEFUL = timedelta(minutes=45)  # a text later than this before the start helps nobody
BEFORE_QUIET = timedelta(minutes=60)  # a short lead that falls into quiet hours goes this long before they start …
STILL_AHEAD = timedelta(hours=2)  # … if that is at least this long before the visit (L-22)
A_DAY = timedelta(days=1)
RED_WITHIN = timedelta(hours=72)
DIGEST = Lead(days=1, at=time(17))  # Sunday 17:00, as if for a Monday


class Reason(StrEnum):
    """Why a text does not go (DESIGN §8)."""

    NO_CONSENT = "no_consent"
    OPTED_OUT = "opted_out"
    UNVERIFIED = "unverified"
    NUMBER_BAD = "number_bad"
    QUIET_HOURS = "quiet_hours"
    CAP_DAY = "cap_day"
    CAP_WEEK = "cap_week"
    CLOSED = "closed"
    TOO_LATE = "too_late"
    MERGED_INTO = "merged_into"
    NOT_BOOKED = "not_booked"
    CATEGORY_OFF = "category_off"
    PAUSED = "paused"
    NO_WORDING = "no_wording"
    LINT = "lint"


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From `starts` up to, not including, `ends`, on the reader's wall clock; over midnight when `starts` is later.

    Equal times mean that no hour is quiet.
    """

    starts: time
    ends: time

    def cover(self, at: time) -> bool:
        """Whether the wall-clock time `at` is quiet."""
        if self.starts <= self.ends:
            return self.starts <= at < self.ends
        return at >= self.starts or at < self.ends

    @classmethod
    def outside(cls, allowed_from: time, allowed_to: time) -> "QuietHours":
        """The quiet hours of a person who may be texted between two times of day."""
        return cls(starts=allowed_to, ends=allowed_from)


@dataclass(frozen=True, slots=True)
class Policy:
    """The house rules of a site: leads, the upper bounds of the caps, and the dates on which it is closed."""

    leads: tuple[Lead, ...]
    series_leads: tuple[Lead, ...]
    per_day: int
    per_week: int
    closures: frozenset[date] = frozenset()


@dataclass(frozen=True, slots=True)
class Reader:
    """A recipient as the planner sees one: who may be texted, about what, how often, and at which hours.

    `also_zones` are those the person may be in where nobody said which: a minute that is quiet in any is quiet (L-23).
    """

    id: int
    role: str
    zone: str
    quiet: tuple[QuietHours, ...]
    consented: bool
    categories: frozenset[Category]
    opted_out: bool = False
    number_bad: bool = False
    per_day: int | None = None
    per_week: int | None = None
    also_zones: tuple[str, ...] = ()
    digest: bool = False  # chose one text on Sunday with the week ahead


@dataclass(frozen=True, slots=True)
class Gone:
    """A text to the number that has gone, or is on the wire: to whom, which, when, about which visits.

    `key` is a reminder's key; texts of other classes count against the caps too.
    """

    reader: int
    key: str
    at: datetime
    visits: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Visit:
    """One appointment as the planner sees it. `id` is whatever the caller knows it by."""

    id: int
    kind: Kind
    wall: datetime
    zone: str
    starts_at: datetime
    status: str  # booked, tentative, cancelled, attended, missed
    repeats: bool  # one of a series that repeats
    first: bool  # the first visit after discharge (S-23)
    leads: tuple[Lead, ...] | None  # what the series asks for itself
    plan_status: str  # active, paused, ended


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
        standing = sorted(filter(_stands, visits), key=lambda visit: (visit.wall.date(), visit.starts_at, visit.id))
        by_day = [(day, list(of_day)) for day, of_day in groupby(standing, key=lambda visit: visit.wall.date())]
        for day, of_day in by_day:
            if of_day[-1].starts_at > now:
                candidates += _plan_day(reader, day, of_day, policy, now=now, gone=theirs)
        if reader.digest:
            candidates = _digest(reader, candidates, now, theirs)
    capped = _cap(candidates, [reader for reader, _ in parties], policy, gone)
    return sorted(capped, key=attrgetter("opens_at", "reader", "key"))


def _stands(visit: Visit) -> bool:
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
        going, obstacle = _sift(reader, sharing, policy.closures)
        about = tuple(going or sharing)
        opens_at, closes_at, quiet = _window(reader, lead, about[0].starts_at)
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
    if _day_of(earlier.goes_at, reader) < _day_of(later.opens_at, reader):
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


def _day_of(instant: datetime, reader: Reader) -> date:
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
    count = Counter(_day_of(one.at, home.get(one.reader, first)) for one in gone)
    has_gone = {(one.reader, one.key) for one in gone}
    for candidate in sorted(candidates, key=_rank):
        if candidate.goes_at is None or (candidate.reader, candidate.key) in has_gone:
            yield candidate
            continue
        reader = home[candidate.reader]
        day = _day_of(candidate.goes_at, reader)
        if max(count[day], count[_day_of(candidate.opens_at, reader)]) >= per_day:
            yield replace(candidate, goes_at=None, reason=Reason.CAP_DAY)
        elif busiest_week(count, day) >= per_week:
            yield replace(candidate, goes_at=None, reason=Reason.CAP_WEEK)
        else:
            count[day] += 1
            yield candidate


def busiest_week(count: Mapping[date, int], day: date) -> int:
    """The most texts there are in any seven days that have `day` in them."""
    return max(
        sum(count.get(start + timedelta(days=later), 0) for later in range(7))
        for start in (day - timedelta(days=back) for back in range(7))
    )


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


def leads_of(visit: Visit, policy: Policy) -> tuple[Lead, ...]:
    """How far ahead texts about this visit go (DESIGN §8: Leads)."""
    if visit.leads is not None:
        return visit.leads
    if visit.repeats and not visit.first:
        return policy.series_leads
    return policy.leads


def _sift(reader: Reader, visits: Sequence[Visit], closures: frozenset[date]) -> tuple[list[Visit], Reason | None]:
    """The visits a text to this reader may be about, and what stands in the way if there are none."""
    if not reader.consented:
        return [], Reason.NO_CONSENT
    if reader.opted_out:
        return [], Reason.OPTED_OUT
    if reader.number_bad:
        return [], Reason.NUMBER_BAD
    running = [visit for visit in visits if visit.plan_status == "active"]
    if visits and not running:
        return [], Reason.PAUSED
    booked = [visit for visit in running if visit.status == "booked"]
    if not booked:
        return [], Reason.NOT_BOOKED
    agreed = [visit for visit in booked if visit.kind.category(reader.role) in reader.categories]
    if not agreed:
        return [], Reason.CATEGORY_OFF
    # A closed site calls off its own visits, never a meeting elsewhere.
    on = [visit for visit in agreed if visit.kind.is_open_meeting or visit.wall.date() not in closures]
    if not on:
        return [], Reason.CLOSED
    return on, None


def _window(reader: Reader, lead: Lead, starts_at: datetime) -> tuple[datetime, datetime, Reason | None]:
    """When a text may go for a visit at `starts_at`, with the opening moved out of quiet hours (L-20, L-22)."""
    opens_at = _moment(lead, starts_at, reader.zone)
    ahead = starts_at - opens_at
    if ahead <= timedelta(0):  # '0d@08:00' for a visit at 07:00
        return starts_at - timedelta(minutes=1), starts_at, Reason.TOO_LATE
    closes_at = starts_at - min(LAST_USEFUL, ahead / 2)
    if not _is_quiet(reader, opens_at):
        return opens_at, closes_at, None
    if lead.days >= 1 or (lead.before or timedelta(0)) >= A_DAY:
        moved = next_allowed(reader, opens_at)
        return (moved, closes_at, None) if moved < closes_at else (opens_at, closes_at, Reason.QUIET_HOURS)
    moved = _quiet_began(reader, opens_at) - BEFORE_QUIET
    if moved <= starts_at - STILL_AHEAD and not _is_quiet(reader, moved):
        return moved, closes_at, None
    return opens_at, closes_at, Reason.QUIET_HOURS


def _moment(lead: Lead, starts_at: datetime, zone: str) -> datetime:
    if lead.before is not None:
        return starts_at - lead.before
    wall = to_wall(starts_at, zone) - timedelta(days=lead.days)
    if lead.at is not None:
        wall = datetime.combine(wall.date(), lead.at)
    return to_instant(wall, zone)


def _quiet_around(reader: Reader, instant: datetime) -> Iterator[tuple[QuietHours, str, datetime]]:
    """The quiet hours that `instant` falls into, each with the zone and the wall-clock time there."""
    for zone in (reader.zone, *reader.also_zones):
        wall = to_wall(instant, zone)
        for quiet in reader.quiet:
            if quiet.cover(wall.time()):
                yield quiet, zone, wall


def _is_quiet(reader: Reader, instant: datetime) -> bool:
    return next(_quiet_around(reader, instant), None) is not None


def next_allowed(reader: Reader, instant: datetime) -> datetime:
    """`instant` itself, or the first minute after it at which this reader may be texted.

    Where the hours leave no minute of the day, a year later: past the end of any window.
    """
    for _ in range(4 * len(reader.quiet) * (1 + len(reader.also_zones)) + 2):
        around = next(_quiet_around(reader, instant), None)
        if around is None:
            return instant
        quiet, zone, wall = around
        day = wall.date() if quiet.ends > wall.time() else wall.date() + A_DAY
        # On the day a zone falls back the first reading of `ends` may already lie behind us.
        instant = max(to_instant(datetime.combine(day, quiet.ends), zone), instant + timedelta(seconds=1))
    return instant + timedelta(days=366)


def _quiet_began(reader: Reader, instant: datetime) -> datetime:
    """When the quiet hours around `instant` began."""
    return min(
        to_instant(
            datetime.combine(wall.date() if quiet.starts <= wall.time() else wall.date() - A_DAY, quiet.starts), zone
        )
        for quiet, zone, wall in _quiet_around(reader, instant)
    )


@dataclass(frozen=True, slots=True)
class Go:
    """The text may go now, about these visits."""

    visits: tuple[Visit, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """The text may not go before `until`."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Stop:
    """The text does not go at all."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Due:
    """A text whose moment has come, to be judged once more.

    It is about visits in the `days` days from `day` on: one, or a digest's week. `day` and `lead` are its identity: a
    visit that was moved to another day since is another text's business, and one that was moved earlier shuts the
    window earlier. `gone` are when the number's other texts of the last two weeks went.
    """

    reader: Reader
    visits: tuple[Visit, ...]
    day: date
    lead: Lead
    closes_at: datetime
    gone: tuple[datetime, ...] = ()
    days: int = 1


def guard(due: Due, policy: Policy, now: datetime) -> Go | Wait | Stop:
    """Whether a text that is due may really go, judged anew on what holds at `now` (R0.3, promise 3).

    Called in the transaction that records the intent to send, with the rows it is judged on locked.
    """
    reader = due.reader
    over = due.day + timedelta(days=due.days)
    ahead = [one for one in due.visits if _stands(one) and one.starts_at > now and due.day <= one.wall.date() < over]
    going, obstacle = _sift(reader, ahead, policy.closures)
    if obstacle is not None or not going:
        return Stop(obstacle or Reason.NOT_BOOKED)
    closes_at = min(due.closes_at, _window(reader, due.lead, min(visit.starts_at for visit in going))[1])
    allowed = next_allowed(reader, now)
    if allowed >= closes_at:
        return Stop(Reason.QUIET_HOURS if now < closes_at else Reason.TOO_LATE)
    if allowed > now:
        return Wait(allowed.astimezone(UTC))
    count = Counter(_day_of(at, reader) for at in due.gone)
    today = _day_of(now, reader)
    if count[today] >= min(policy.per_day, reader.per_day or policy.per_day):
        return Stop(Reason.CAP_DAY)
    if busiest_week(count, today) >= min(policy.per_week, reader.per_week or policy.per_week):
        return Stop(Reason.CAP_WEEK)
    return Go(tuple(sorted(going, key=attrgetter("starts_at", "id"))))
