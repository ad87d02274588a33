"""When to text. Pure: which texts a reader should get for their visits, in which window, and for each that will not
go, why (DESIGN §8). Preview, planning and the guard at the moment of sending are this one module, so what a
coordinator saw is what is stored and what goes.

Instants are aware UTC; wall-clock times are naive and belong to the zone beside them.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from itertools import groupby
from operator import attrgetter, itemgetter

from reminders.plans import Category, Kind, Lead, to_instant, to_wall

LAST_USEFUL = timedelta(minutes=45)  # a text later than this before the start helps nobody
BEFORE_QUIET = timedelta(minutes=60)  # a short lead that falls into quiet hours goes this long before they start …
STILL_AHEAD = timedelta(hours=2)  # … if that is at least this long before the visit (L-22)
A_DAY = timedelta(days=1)


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
    """The house rules that hold for one reader: the site's, or the plan's where it says so."""

    leads: tuple[Lead, ...]
    series_leads: tuple[Lead, ...]


@dataclass(frozen=True, slots=True)
class Reader:
    """A recipient as the planner sees one: who may be texted, about what, and at which hours."""

    role: str
    zone: str
    quiet: tuple[QuietHours, ...]
    consented: bool
    categories: frozenset[Category]
    opted_out: bool = False
    number_bad: bool = False


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

    key: str
    day: date
    lead: Lead
    opens_at: datetime
    closes_at: datetime
    goes_at: datetime | None
    reason: Reason | None
    visits: tuple[Visit, ...]


def plan(reader: Reader, visits: Iterable[Visit], policy: Policy, now: datetime) -> list[Candidate]:
    """Every text that could go for these visits, in the order in which their windows open.

    Give the visits of whole days, also those that have begun: visits on one day share their texts, and asking late
    must not change them. Visits that are off (cancelled, or of an ended plan) and days that are over give none. The
    same input gives the same answer, however often it is asked.
    """
    standing = sorted(filter(_stands, visits), key=lambda visit: (visit.wall.date(), visit.starts_at, visit.id))
    by_day = [(day, list(of_day)) for day, of_day in groupby(standing, key=lambda visit: visit.wall.date())]
    candidates = [
        candidate
        for day, of_day in by_day
        if of_day[-1].starts_at > now
        for candidate in _plan_day(reader, day, of_day, policy, now)
    ]
    return sorted(candidates, key=attrgetter("opens_at", "key"))


def _stands(visit: Visit) -> bool:
    return visit.status in {"booked", "tentative"} and visit.plan_status != "ended"


def _plan_day(reader: Reader, day: date, visits: list[Visit], policy: Policy, now: datetime) -> Iterator[Candidate]:
    by_lead: dict[Lead, list[Visit]] = {}
    for visit in visits:
        for lead in leads_of(visit, policy):
            by_lead.setdefault(lead, []).append(visit)
    windows = []
    for lead, sharing in by_lead.items():
        going, obstacle = _sift(reader, sharing)
        about = tuple(going or sharing)
        opens_at, closes_at, quiet = _window(reader, lead, about[0].starts_at)
        windows.append((opens_at, closes_at, lead, about, obstacle or quiet))
    windows.sort(key=itemgetter(0, 1))
    for place, (opens_at, last, lead, about, obstacle) in enumerate(windows):
        closes_at, reason = last, obstacle
        for later_opens, _, _, later_about, later_obstacle in windows[place + 1 :]:
            if later_obstacle is None and later_opens > opens_at and set(about) & set(later_about):
                closes_at = min(closes_at, later_opens)
                break
        goes_at = None
        if reason is None:
            goes_at = next_allowed(reader, max(opens_at, now))
            if goes_at >= closes_at:
                reason = Reason.TOO_LATE if now >= opens_at else Reason.QUIET_HOURS
                goes_at = None
        yield Candidate(
            key=f"day:{day.isoformat()}:{lead}",
            day=day,
            lead=lead,
            opens_at=opens_at,
            closes_at=closes_at,
            goes_at=goes_at,
            reason=reason,
            visits=about,
        )


def leads_of(visit: Visit, policy: Policy) -> tuple[Lead, ...]:
    """How far ahead texts about this visit go (DESIGN §8: Leads)."""
    if visit.leads is not None:
        return visit.leads
    if visit.repeats and not visit.first:
        return policy.series_leads
    return policy.leads


def _sift(reader: Reader, visits: Sequence[Visit]) -> tuple[list[Visit], Reason | None]:
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
    return agreed, None


def _window(reader: Reader, lead: Lead, starts_at: datetime) -> tuple[datetime, datetime, Reason | None]:
    """When a text may go for a visit at `starts_at`, with the opening moved out of quiet hours (L-20, L-22)."""
    opens_at = _moment(lead, starts_at, reader.zone)
    ahead = starts_at - opens_at
    if ahead <= timedelta(0):  # '0d@08:00' for a visit at 07:00
        return starts_at - timedelta(minutes=1), starts_at, Reason.TOO_LATE
    closes_at = starts_at - min(LAST_USEFUL, ahead / 2)
    if not _is_quiet(reader, opens_at):
        return opens_at, closes_at, None
    if lead.before is None:
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


def _is_quiet(reader: Reader, instant: datetime) -> bool:
    at = to_wall(instant, reader.zone).time()
    return any(quiet.cover(at) for quiet in reader.quiet)


def next_allowed(reader: Reader, instant: datetime) -> datetime:
    """`instant` itself, or the first minute after it at which this reader may be texted.

    Where the hours leave no minute of the day, a year later: past the end of any window.
    """
    for _ in range(2 * len(reader.quiet) + 2):
        wall = to_wall(instant, reader.zone)
        covering = next((quiet for quiet in reader.quiet if quiet.cover(wall.time())), None)
        if covering is None:
            return instant
        day = wall.date() if covering.ends > wall.time() else wall.date() + A_DAY
        # On the day a zone falls back the first reading of `ends` may already lie behind us.
        instant = max(to_instant(datetime.combine(day, covering.ends), reader.zone), instant + timedelta(seconds=1))
    return instant + timedelta(days=366)


def _quiet_began(reader: Reader, instant: datetime) -> datetime:
    """When the quiet hours around `instant` began."""
    wall = to_wall(instant, reader.zone)
    began = []
    for quiet in reader.quiet:
        if quiet.cover(wall.time()):
            day = wall.date() if quiet.starts <= wall.time() else wall.date() - A_DAY
            began.append(to_instant(datetime.combine(day, quiet.starts), reader.zone))
    return min(began)


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


def guard(
    reader: Reader, visits: Sequence[Visit], *, day: date, lead: Lead, closes_at: datetime, now: datetime
) -> Go | Wait | Stop:
    """Whether a text that is due may really go, judged anew on what holds at `now` (R0.3, promise 3).

    `day` and `lead` are the text's identity: a visit that was moved to another day since is another text's business,
    and one that was moved earlier shuts the window earlier. Called in the transaction that records the intent to send,
    with the rows it is judged on locked.
    """
    ahead = [visit for visit in visits if _stands(visit) and visit.starts_at > now and visit.wall.date() == day]
    going, obstacle = _sift(reader, ahead)
    if obstacle is not None or not going:
        return Stop(obstacle or Reason.NOT_BOOKED)
    closes_at = min(closes_at, _window(reader, lead, min(visit.starts_at for visit in going))[1])
    allowed = next_allowed(reader, now)
    if allowed >= closes_at:
        return Stop(Reason.QUIET_HOURS if now < closes_at else Reason.TOO_LATE)
    if allowed > now:
        return Wait(allowed.astimezone(UTC))
    return Go(tuple(sorted(going, key=attrgetter("starts_at", "id"))))
