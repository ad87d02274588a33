"""Who may be texted, about what, and when: readers, their quiet hours, visits, and the site rules
(docs/design.md#the-planner).

Instants are aware UTC. Wall-clock times are naive; each has its zone next to it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum

from reminders.plans import Category, Kind, Lead, Mode, to_instant, to_wall

A_DAY = timedelta(days=1)


class Reason(StrEnum):
    """Why a text is not sent (docs/design.md#reasons)."""

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
    """From `starts` to just before `ends` on the reader's wall clock, across midnight if `starts` is later.

    Equal times mean no quiet hours.
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
    """The rules of a site: leads, the upper limits of the caps, and the dates on which it is closed."""

    leads: tuple[Lead, ...]
    series_leads: tuple[Lead, ...]
    per_day: int
    per_week: int
    closures: frozenset[date] = frozenset()
    verify: bool = True  # an unverified number gets no text about a visit (L-39)


@dataclass(frozen=True, slots=True)
class Reader:
    """A recipient as the planner sees one: who may be texted, about what, how often, and at which hours.

    `also_zones` are other zones the person may be in when the zone is a guess: quiet in one of them is quiet (L-23).
    """

    id: int
    role: str
    zone: str
    quiet: tuple[QuietHours, ...]
    consented: bool
    categories: frozenset[Category]
    opted_out: bool = False
    number_bad: bool = False
    verified: bool = True
    per_day: int | None = None
    per_week: int | None = None
    also_zones: tuple[str, ...] = ()
    digest: bool = False  # chose one text on Sunday for the week ahead


@dataclass(frozen=True, slots=True)
class Gone:
    """A reminder to the number that was sent or is on the wire: its reader and key, when it was last handed over, and
    its visits. Only reminders count against the caps. A `failed` one did not reach a phone, as far as we know: it
    counts but reminds no one. One sent `elsewhere`, to the reader's earlier phone, does not count either.
    """

    reader: int
    key: str
    at: datetime
    visits: frozenset[int] = frozenset()
    failed: bool = False
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """A notice that tells a reader when a visit is, sent or due at `at`. `wall` is the place's clock."""

    reader: int
    visit: int
    wall: datetime
    at: datetime


@dataclass(frozen=True, slots=True)
class Visit:
    """One appointment as the planner sees it. The caller chooses `id`."""

    id: int
    kind: Kind
    wall: datetime
    zone: str
    starts_at: datetime
    status: str  # booked, tentative, cancelled, attended, missed
    repeats: bool  # one of a series that repeats
    first: bool  # the first visit after discharge (S-23)
    leads: tuple[Lead, ...] | None  # the series' own leads
    plan_status: str  # active, paused, ended
    mode: Mode = Mode.IN_PERSON  # decides the words


def leads_of(visit: Visit, policy: Policy) -> tuple[Lead, ...]:
    """How far ahead texts about this visit are sent (docs/design.md#leads)."""
    if visit.leads is not None:
        return visit.leads
    if visit.repeats and not visit.first:
        return policy.series_leads
    return policy.leads


def sift(reader: Reader, visits: Sequence[Visit], policy: Policy) -> tuple[list[Visit], Reason | None]:
    """The visits that a text to this reader may name, and the reason if there are none."""
    if not reader.consented:
        return [], Reason.NO_CONSENT
    if reader.opted_out:
        return [], Reason.OPTED_OUT
    if reader.number_bad:
        return [], Reason.NUMBER_BAD
    if policy.verify and not reader.verified:
        return [], Reason.UNVERIFIED
    running = [visit for visit in visits if visit.plan_status == "active"]
    if visits and not running:
        return [], Reason.PAUSED
    booked = [visit for visit in running if visit.status == "booked"]
    if not booked:
        return [], Reason.NOT_BOOKED
    agreed = [visit for visit in booked if visit.kind.category(reader.role) in reader.categories]
    if not agreed:
        return [], Reason.CATEGORY_OFF
    # A closed site cancels its own visits, never a meeting elsewhere.
    on = [visit for visit in agreed if visit.kind.is_open_meeting or visit.wall.date() not in policy.closures]
    if not on:
        return [], Reason.CLOSED
    return on, None


def quiet_around(reader: Reader, instant: datetime) -> Iterator[tuple[QuietHours, str, datetime]]:
    """The quiet hours that include `instant`, each with its zone and the wall-clock time there."""
    for zone in (reader.zone, *reader.also_zones):
        wall = to_wall(instant, zone)
        for quiet in reader.quiet:
            if quiet.cover(wall.time()):
                yield quiet, zone, wall


def is_quiet(reader: Reader, instant: datetime) -> bool:
    """Whether this reader may not be texted at that instant."""
    return next(quiet_around(reader, instant), None) is not None


def next_allowed(reader: Reader, instant: datetime) -> datetime:
    """`instant` itself, or the first minute after it at which this reader may be texted.

    If the quiet hours cover the whole day, it is a year later, past the end of any window.
    """
    for _ in range(4 * len(reader.quiet) * (1 + len(reader.also_zones)) + 2):
        around = next(quiet_around(reader, instant), None)
        if around is None:
            return instant
        quiet, zone, wall = around
        day = wall.date() if quiet.ends > wall.time() else wall.date() + A_DAY
        # On the day a zone falls back, the first reading of `ends` may already be past.
        instant = max(to_instant(datetime.combine(day, quiet.ends), zone), instant + timedelta(seconds=1))
    return instant + timedelta(days=366)


def quiet_began(reader: Reader, instant: datetime) -> datetime:
    """When the quiet hours around `instant` began."""
    return min(
        to_instant(
            datetime.combine(wall.date() if quiet.starts <= wall.time() else wall.date() - A_DAY, quiet.starts), zone
        )
        for quiet, zone, wall in quiet_around(reader, instant)
    )
