"""The texts that no lead asks for: notices of a change, the welcome, answers, and texts typed by staff. Who gets one,
when, and whether it may still be sent (docs/design.md#notices: they do not count against the caps or wait for them).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

from reminders.planner.daily import LAST_USEFUL, Candidate
from reminders.planner.guard import Go, Stop, Wait
from reminders.planner.readers import Gone, Policy, QuietHours, Reader, Reason, Visit, next_allowed, sift
from reminders.plans import to_wall

NOTICE_WITHIN = timedelta(days=7)
CORRECTED_WITHIN = timedelta(minutes=15)  # a typo fixed right after entry is not news
SOON = QuietHours(starts=time(21), ends=time(8))  # notices about today or tomorrow
BOOKED, CANCELLED, CLOSED = "booked", "cancelled", "closed"


class Sort(StrEnum):
    """The sort of a text under the rules of sending."""

    SAFETY = "safety"  # to a person in danger, or required by law or a network: at any hour, even after STOP
    ANSWER = "answer"  # to a reply that just came: at any hour
    WELCOME = "welcome"
    NOTICE = "notice"
    STAFF = "staff"


_SAFETY = frozenset({"crisis", "overdose", "help", "stop_confirm", "stop_asked", "wrong_number"})


def sort_of(class_: str, wording: str | None) -> Sort:
    """The sort of a text of that class and wording (its id in the catalog)."""
    if class_ == "answer":
        return Sort.SAFETY if wording in _SAFETY else Sort.ANSWER
    return Sort(class_)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is true of a visit, or what a reader knows of it: its wall clock at the place, its instant and its status.

    `status` is booked, cancelled or closed (the site is closed that day). Other statuses are not news.
    """

    wall: datetime
    starts_at: datetime
    status: str

    def __str__(self) -> str:
        return f"{self.wall.isoformat(timespec='seconds')} {self.status}"


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice that is due: its catalog text, its window, and the reason if it cannot be sent."""

    wording: str
    tells: str
    opens_at: datetime
    closes_at: datetime
    goes_at: datetime | None
    reason: Reason | None


def standing_of(visit: Visit, policy: Policy) -> Standing:
    """What is true of a visit now. A closed site cancels its own visits, never a meeting elsewhere."""
    status = visit.status
    if status == BOOKED and not visit.kind.is_open_meeting and visit.wall.date() in policy.closures:
        status = CLOSED
    return Standing(visit.wall, visit.starts_at, status)


def notice(
    reader: Reader, visit: Visit, knows: Standing, policy: Policy, now: datetime, *, told: bool = False
) -> Notice | None:
    """The notice due to this reader about a visit that has changed since they last heard; None if none is due.

    `knows` is what the reader last heard, and `told` whether a notice said it: only then is it news that a canceled
    visit is on again. A change is news if the old or the new time is less than seven days ahead.
    """
    stands = standing_of(visit, policy)
    if visit.plan_status != "active" or str(stands) == str(knows):
        return None
    if stands.status == BOOKED and knows.status == BOOKED and stands.starts_at == knows.starts_at:
        return None
    if stands.status not in {BOOKED, CANCELLED, CLOSED} or not (
        knows.status == BOOKED or (told and stands.status == BOOKED)
    ):
        return None
    concerned = [one.starts_at for one in (knows, stands) if one.status == BOOKED and one.starts_at > now]
    if stands.status == CLOSED:
        concerned.append(stands.starts_at)
    if knows.status == BOOKED and knows.starts_at <= now:
        return None  # the visit has begun
    if not concerned or min(concerned) - now > NOTICE_WITHIN:
        return None
    closes_at = max(min(concerned), now + timedelta(seconds=1))
    wording = {BOOKED: "moved", CANCELLED: "called_off", CLOSED: "closed"}[stands.status]
    _, reason = sift(reader, [replace(visit, status=BOOKED)], replace(policy, closures=frozenset()))
    opens_at = now
    if reason is None:
        opens_at = next_allowed(for_news(reader, closes_at, now), now)
        if opens_at >= closes_at:
            opens_at, reason = now, Reason.QUIET_HOURS
    goes_at = opens_at if reason is None else None
    return Notice(wording, str(stands), opens_at, closes_at, goes_at, reason)


def standing(reader: Reader, visits: Sequence[Visit], policy: Policy) -> Mapping[datetime, frozenset[int]]:
    """The reader's booked visits by start: those of a running plan, and not on a closed day."""
    found: dict[datetime, frozenset[int]] = {}
    for visit in visits:
        agreed = visit.kind.category(reader.role) in reader.categories
        if agreed and visit.plan_status == "active" and standing_of(visit, policy).status == BOOKED:
            found[visit.starts_at] = found.get(visit.starts_at, frozenset()) | {visit.id}
    return found


def is_news(visit: Visit, wanted: Notice, standing: Mapping[datetime, frozenset[int]]) -> bool:
    """Whether a notice is true of its hour: "called off" is wrong if the reader has another visit at that time.

    A text names an hour, never a kind of visit, so its reader would miss the other visit too.
    """
    return wanted.wording not in {"called_off", "closed"} or standing.get(visit.starts_at, frozenset()) <= {visit.id}


@dataclass(frozen=True, slots=True)
class News:
    """The news of one visit: the notice it would get by itself, and the wall clock its reader knew."""

    visit: Visit
    was: datetime
    notice: Notice


def merged(news: Sequence[News]) -> list[list[News]]:
    """One reader's news grouped into texts: one for each kind of change, the earliest visit first.

    News that cannot be sent is grouped apart, by its reason. The order of the input does not matter.
    """
    groups: dict[tuple[str, Reason | None], list[News]] = {}
    for one in sorted(news, key=lambda one: (one.visit.starts_at, one.visit.id)):
        groups.setdefault((one.notice.wording, one.notice.reason), []).append(one)
    return list(groups.values())


def window_of(group: Sequence[News]) -> Notice:
    """The notice whose window closes first; its window is that of the text for the whole group."""
    return min((one.notice for one in group), key=lambda one: (one.closes_at, one.opens_at))


def untold(candidates: Sequence[Candidate], gone: Sequence[Gone]) -> list[Visit]:
    """The visits added to a day after its text was sent, which no future text covers."""
    went = {(one.reader, one.key): one.visits for one in gone}
    missed: dict[int, Visit] = {}
    covered: set[int] = set()
    for candidate in candidates:
        said = went.get((candidate.reader, candidate.key))
        for visit in candidate.visits:
            if said is None:
                covered |= {visit.id} if candidate.goes_at is not None else set()
            elif visit.id in said:
                covered.add(visit.id)
            else:
                missed[visit.id] = visit
    return [visit for visit in missed.values() if visit.id not in covered]


def added(reader: Reader, visit: Visit, policy: Policy, now: datetime) -> Notice | None:
    """The notice of a visit added to a day after its text was sent; None if there is no time left to send it."""
    _, reason = sift(reader, [visit], policy)
    closes_at = visit.starts_at - LAST_USEFUL
    opens_at = next_allowed(for_news(reader, visit.starts_at, now), now)
    if reason is not None or opens_at >= closes_at:
        return None
    return Notice("added", str(standing_of(visit, policy)), opens_at, closes_at, opens_at, None)


def for_news(reader: Reader, at: datetime, now: datetime) -> Reader:
    """The reader with the quiet hours for news about `at`: for today and tomorrow, news may go from 8 a.m. to 9 p.m.

    It replaces the site's hours, which are first in `Reader.quiet`. The person's own hours stay.
    """
    days = (to_wall(at, reader.zone).date() - to_wall(now, reader.zone).date()).days
    site, *own = reader.quiet
    if days > 1 or site.starts == site.ends:
        return reader
    return replace(reader, quiet=(SOON, *own))


def may_be_texted(reader: Reader, policy: Policy, *, dated: bool) -> Reason | None:
    """The reason why no text may go to this reader, or None; `dated` texts also need a verified number (L-39)."""
    if not reader.consented:
        return Reason.NO_CONSENT
    if reader.opted_out:
        return Reason.OPTED_OUT
    if reader.number_bad:
        return Reason.NUMBER_BAD
    if dated and policy.verify and not reader.verified:
        return Reason.UNVERIFIED
    return None


@dataclass(frozen=True, slots=True)
class Unplanned:
    """A due text that no lead asked for.

    `reader` is None for a number that belongs to no one; `opted_out` says whether the number sent STOP.
    """

    sort: Sort
    reader: Reader | None
    visits: tuple[Visit, ...]
    tells: Mapping[int, str]  # a notice: what it tells, by visit
    closes_at: datetime
    opted_out: bool = False


def guard_unplanned(due: Unplanned, policy: Policy, now: datetime) -> Go | Wait | Stop:
    """Whether a due text may still be sent: a STOP, a changed visit or quiet hours may have come in between."""
    reader = due.reader
    if due.sort is Sort.SAFETY:
        return Go(due.visits)
    if due.sort is Sort.ANSWER:
        return Stop(Reason.OPTED_OUT) if due.opted_out else Go(due.visits)
    if reader is None:
        if due.sort is not Sort.STAFF:
            return Stop(Reason.NO_CONSENT)
        return Stop(Reason.OPTED_OUT) if due.opted_out else Go(())  # a sample that staff sent to their own phone
    visits = due.visits
    if due.sort is Sort.NOTICE and due.tells:
        # A visit that changed again has another notice.
        visits = tuple(one for one in visits if str(standing_of(one, policy)) == due.tells.get(one.id))
        if not visits:
            return Stop(Reason.NOT_BOOKED)
        booked = [replace(visit, status=BOOKED) for visit in visits]
        _, reason = sift(reader, booked, replace(policy, closures=frozenset()))
    elif due.sort is Sort.NOTICE and visits and not any(visit.plan_status == "active" for visit in visits):
        reason = Reason.PAUSED
    else:
        reason = may_be_texted(reader, policy, dated=due.sort is not Sort.WELCOME)
    if reason is not None:
        return Stop(reason)
    hours = reader if due.sort is Sort.WELCOME else for_news(reader, due.closes_at, now)
    allowed = next_allowed(hours, now)
    if allowed >= due.closes_at:
        return Stop(Reason.QUIET_HOURS if now < due.closes_at else Reason.TOO_LATE)
    return Wait(allowed.astimezone(UTC)) if allowed > now else Go(visits)
