"""What a clinic's texts should have been, worked out independently of the service: from the plan documents and their
edits, the actions of staff and patients, and the phones.

It expands plan documents itself, on wall clocks, and follows only the rules of docs/design.md#the-promise and
docs/design.md#the-planner: it does not use the planner. At the end it checks every visit: was its reader reminded in
time, and if not, is the reason on the row true?
"""

import tomllib
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from dateutil import rrule

HOME = "America/New_York"
QUIET = (time(20), time(9))  # reminders
QUIET_FOR_NEWS = (time(21), time(8))  # notices about today or tomorrow
USEFUL = timedelta(minutes=45)
KNOWN_BEFORE = timedelta(hours=36)
HEARD_WITHIN = timedelta(minutes=20)  # a text with a lost webhook comes from the list
SLACK = timedelta(minutes=15)
PER_DAY, PER_WEEK = 1, 7
OPEN_MEETINGS = {"support_meeting", "house_meeting"}
NUMBER_CODES = {21211, 21610, 21614, 30003, 30004, 30005, 30006}
TELLING = (
    *("detox", "rehab", "recovery", "sober", "addict", "alcohol", "drug", "relapse", "clinic", "treatment", "therap"),
    *("counsel", "psych", "group", "program", "patient", "aftercare", "discharg", "terapia", "paciente", "recaida"),
)
PROGRAMS = Path(__file__).parents[2] / "reminders" / "plans" / "programs"
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


# Time


def instant(wall: datetime, zone: str) -> datetime:
    """The instant at which clocks in `zone` show `wall`; no visit here is in the hour of a clock change."""
    return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def wall_of(at: datetime, zone: str) -> datetime:
    """What clocks in `zone` show then."""
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


def is_quiet(at: datetime, zone: str, quiet: tuple[time, time] = QUIET) -> bool:
    """Whether it is night for a reader in `zone`."""
    shown = wall_of(at, zone).time()
    return shown >= quiet[0] or shown < quiet[1]


def after_quiet(at: datetime, zone: str) -> datetime:
    """That instant, or the next morning's first minute at which a reminder may be sent."""
    if not is_quiet(at, zone):
        return at
    shown = wall_of(at, zone)
    day = shown.date() + timedelta(days=shown.time() >= QUIET[0])
    return instant(datetime.combine(day, QUIET[1]), zone)


@dataclass(frozen=True)
class Window:
    """When a reminder of one lead may be sent; `quiet` if the night leaves no minute for it."""

    lead: str
    opens: datetime
    closes: datetime
    quiet: bool

    def usable(self, zone: str) -> list[datetime]:
        """Every tenth minute of it that is not at night."""
        return [at for at in every_ten_minutes(self.opens, self.closes) if not is_quiet(at, zone)]


def every_ten_minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += timedelta(minutes=10)


def window(lead: str, starts_at: datetime, zone: str) -> Window:
    """docs/design.md#windows. `zone` is the reader's."""
    days, _, clock = lead.partition("d@")
    if clock:
        day = wall_of(starts_at, zone).date() - timedelta(days=int(days))
        opens = instant(datetime.combine(day, time.fromisoformat(clock.zfill(5))), zone)
    elif lead.endswith("d"):
        opens = instant(wall_of(starts_at, zone) - timedelta(days=int(lead[:-1])), zone)
    else:
        opens = starts_at - timedelta(**{{"h": "hours", "m": "minutes"}[lead[-1]]: int(lead[:-1])})
    closes = starts_at - min(USEFUL, (starts_at - opens) / 2)
    if not is_quiet(opens, zone):
        return Window(lead, opens, closes, quiet=False)
    if clock or lead.endswith("d"):
        moved = after_quiet(opens, zone)
        return Window(lead, moved, closes, quiet=False) if moved < closes else Window(lead, opens, closes, quiet=True)
    shown = wall_of(opens, zone)
    evening = datetime.combine(shown.date() - timedelta(days=shown.time() < QUIET[1]), QUIET[0])
    moved = instant(evening, zone) - timedelta(hours=1)
    if moved <= starts_at - timedelta(hours=2):
        return Window(lead, moved, closes, quiet=False)
    return Window(lead, opens, closes, quiet=True)


class Fact:
    """A fact that is true from one instant until a later fact replaces it."""

    def __init__(self, value: Any = None) -> None:
        self._ats = [datetime.min.replace(tzinfo=UTC)]
        self._values = [value]

    def becomes(self, value: Any, at: datetime) -> None:
        """Set the fact from `at` on. Facts come in order, but one that comes late does not undo later ones."""
        place = bisect_right(self._ats, at)
        self._ats.insert(place, at)
        self._values.insert(place, value)

    def at(self, at: datetime) -> Any:
        return self._values[bisect_right(self._ats, at) - 1]

    def during(self, start: datetime, end: datetime) -> list[Any]:
        """Every value that was true at some instant from `start` to `end`."""
        return self._values[bisect_right(self._ats, start) - 1 : bisect_right(self._ats, end)]

    def changes(self) -> list[tuple[datetime, Any]]:
        return list(zip(self._ats, self._values, strict=True))[1:]


# Plan documents


@dataclass(frozen=True)
class Dated:
    """One date that a plan document agrees."""

    series: str
    rid: str
    wall: datetime
    zone: str
    status: str
    kind: str
    readers: tuple[str, ...]
    leads: tuple[str, ...] | None
    repeats: bool
    session: str | None
    named: bool  # the plan names this date itself: a one-off, or one that it moves


def dates_of(document: dict, until: date) -> list[Dated]:
    """Every date that a plan document agrees up to `until`, without skipped ones."""
    found = []
    for one in [*document.get("series", ()), *_of_program(document["plan"])]:
        first = datetime.fromisoformat(one["starts"])
        walls = [first] if "repeats" not in one else _walls(one["repeats"], first, until)
        moves = {datetime.fromisoformat(old): datetime.fromisoformat(new) for old, new in one.get("move", {}).items()}
        for wall in walls:
            if wall.date().isoformat() in one.get("skip", ()):
                continue
            found.append(
                Dated(
                    series=one["key"],
                    rid=wall.date().isoformat() if "repeats" in one else "once",
                    wall=moves.get(wall, wall),
                    zone=one.get("zone", HOME),
                    status=one.get("status", "booked"),
                    kind=one["kind"],
                    readers=tuple(one.get("for", ("self",))),
                    leads=tuple(one["leads"]) if "leads" in one else None,
                    repeats="repeats" in one,
                    session=one.get("session"),
                    named="repeats" not in one or wall in moves,
                )
            )
    return found


def _walls(rule: str, first: datetime, until: date) -> list[datetime]:
    walls = []
    for wall in rrule.rrulestr(rule, dtstart=first):
        if wall.date() > until:
            break
        walls.append(wall)
    return walls


@cache
def program_files() -> dict[str, list[dict]]:
    """The series of every program, from its file."""
    return {path.stem: tomllib.loads(path.read_text())["series"] for path in sorted(PROGRAMS.glob("*.toml"))}


def open_times(program: str) -> list[str]:
    """The series whose time of day a plan has to give."""
    return [one["key"] for one in program_files()[program] if "beside" not in one]


def _of_program(plan: dict) -> Iterator[dict]:
    if "program" not in plan:
        return
    left = date.fromisoformat(plan["discharged_on"])
    begins = plan.get("starts_on")
    first_day = date.fromisoformat(begins) if begins else left + timedelta(days=-left.weekday() % 7)
    at: dict[str, time] = {}
    for one in program_files()[plan["program"]]:
        given = plan.get("program_times", {}).get(one["key"])
        if given is not None:
            at[one["key"]] = time.fromisoformat(given)
        else:
            beside = datetime.combine(first_day, at[one["beside"]])
            at[one["key"]] = (beside + timedelta(minutes=one.get("minutes_later", 0))).time()
        if one.get("monthly"):
            continue  # months after the last day of any world here
        weeks = one.get("weeks") or list(range(one["from_week"], one["to_week"] + 1, one.get("every_weeks", 1)))
        weekdays = one.get("weekdays") or [WEEKDAYS[first_day.weekday()]]
        days = [first_day + timedelta(days=7 * (week - 1) + step) for week in weeks for step in range(7)]
        for day in days:
            if WEEKDAYS[day.weekday()] in weekdays:
                wall = datetime.combine(day, at[one["key"]])
                yield {
                    "key": f"{plan['program']}.{one['key']}",
                    "kind": one["kind"],
                    "starts": wall.isoformat(),
                    "repeats": "FREQ=DAILY;COUNT=1",  # one date of it; its name is its date
                    "status": one.get("status", "booked"),
                }


# What is known about people and visits


@dataclass
class Person:
    """One reader of one patient's texts. `consent` is the one in force for the current number, or None."""

    patient: str
    key: str
    role: str
    zone: str
    language: str
    phone: Fact
    consent: Fact

    def agrees(self, at: datetime, category: str | None = None) -> bool:
        given = self.consent.at(at)
        return given is not None and (category is None or category in given["categories"])


@dataclass
class Visit:
    """One date of a plan, as agreed and as it is; `stood` has its times, and since when each applied."""

    agreed: Dated
    wall: datetime
    status: str
    stood: Fact = field(default_factory=Fact)

    @property
    def starts_at(self) -> datetime:
        return instant(self.wall, self.agreed.zone)

    @property
    def is_staffs(self) -> bool:
        """Whether staff moved or canceled it, outside the plan."""
        return (self.wall, self.status) != (self.agreed.wall, self.agreed.status)


@dataclass
class Course:
    """One plan: its documents, its status, its visits by series and recurrence id."""

    ref: str
    patient: str
    status: Fact
    documents: list[tuple[datetime, dict]] = field(default_factory=list)
    visits: dict[tuple[str, str], Visit] = field(default_factory=dict)
    doubtful: set[datetime] = field(default_factory=set)  # instants of which neither is asked


@dataclass
class Told:
    """One text on its way to a phone: what the log says about it, and what the phone read."""

    text: int
    class_: str
    wording: str | None
    key: str
    reader: tuple[str, str] | None
    to: str
    at: datetime
    about: list[tuple[str, str, str, datetime, datetime]]  # plan, series, recurrence id, wall, instant
    body: str = ""
    taken: bool = False
    failed: bool = False


@dataclass
class Verdict:
    """What became of one visit for one reader."""

    label: str
    how: str  # reminded, notice, true, untrue, no row, outage, fault
    why: str
    standard: bool
    shared: bool
    plan: str
    starts_at: datetime
    rows: list[tuple] = field(default_factory=list)


class Oracle:
    """Follows everything that happens in a clinic, and judges at the end."""

    def __init__(self, until: date) -> None:
        self.until = until
        self.people: dict[tuple[str, str], Person] = {}
        self.courses: dict[str, Course] = {}
        self.stopped: dict[str, Fact] = defaultdict(lambda: Fact(False))
        self.started_again: dict[str, list[datetime]] = defaultdict(list)  # heard at once, or only with the list
        self.verified: dict[str, Fact] = defaultdict(lambda: Fact(False))
        self.bad: dict[str, Fact] = defaultdict(lambda: Fact(False))
        self.closed: dict[date, Fact] = defaultdict(lambda: Fact(False))
        self.held: dict[str, Fact] = defaultdict(lambda: Fact(False))
        self.outages: list[tuple[datetime, datetime]] = []
        self.told: dict[str, Told] = {}
        self.problems: list[tuple[str, str]] = []

    # What happens

    def accepts(self, ref: str, patient: str, document: dict, now: datetime) -> None:
        """Record an accepted plan document: new, or an edit.

        A change by staff stays until an edit names that date, even under another key. A visit that has begun is not
        moved.
        """
        course = self.courses.setdefault(ref, Course(ref, patient, Fact("active")))
        course.documents.append((now, document))
        agreed = {(one.series, one.rid): one for one in dates_of(document, self.until)}
        left = []
        for name, visit in course.visits.items():
            if visit.status != "gone" and name not in agreed and visit.starts_at > now:
                left.append((visit.agreed, visit.wall, visit.status))
                visit.status = "gone"
                visit.stood.becomes(None, now)
        for name, one in agreed.items():
            visit = course.visits.get(name)
            if visit is None:
                visit = course.visits[name] = Visit(one, one.wall, one.status)
                self._is_renamed(course, visit, left, now)
            elif visit.starts_at <= now:
                if (at := instant(one.wall, one.zone)) > now and visit.agreed.wall != one.wall:
                    course.doubtful.add(at)  # the old date has passed: moved, or a typo? Either may be right
                continue
            else:
                news = visit.status == "gone" or (visit.agreed.wall, visit.agreed.status) != (one.wall, one.status)
                stays = visit.is_staffs and visit.status != "gone" and not one.named
                visit.agreed = one
                if stays or not news or instant(one.wall, one.zone) <= now:
                    continue
                visit.wall, visit.status = one.wall, one.status
            stands = visit.status == "booked" and visit.starts_at > now
            self._stands(visit, now, stands=stands)

    @staticmethod
    def _is_renamed(course: "Course", visit: "Visit", left: list[tuple[Dated, datetime, str]], now: datetime) -> None:
        """Keep staff's change of a date that the plan only renames."""
        for place, (agreed, wall, status) in enumerate(left):
            if (agreed.wall, agreed.kind) == (visit.agreed.wall, visit.agreed.kind):
                visit.wall, visit.status = wall, status
                del left[place]
                return
        for agreed, wall, status in left:
            near = abs(agreed.wall - visit.agreed.wall) < timedelta(days=7) and agreed.kind == visit.agreed.kind
            if near and ((wall, status) != (agreed.wall, agreed.status) or visit.starts_at <= now):
                course.doubtful |= {visit.starts_at, instant(wall, agreed.zone)}  # that visit at another time, or not?

    @staticmethod
    def _stands(visit: Visit, now: datetime, *, stands: bool) -> None:
        value = visit.starts_at if stands else None
        if visit.stood.at(now) != value:
            visit.stood.becomes(value, now)

    def moves(self, visit: Visit, to: datetime | None, now: datetime) -> None:
        """Record that staff moved or canceled a visit."""
        if to is None:
            visit.status = "cancelled"
        else:
            visit.wall = to
        self._stands(visit, now, stands=to is not None)

    def of_session(self, session: str, on: date, now: datetime) -> list[Visit]:
        """The visits affected by a change of a session on a day."""
        return [
            visit
            for course in self.courses.values()
            if course.status.at(now) != "ended"
            for visit in course.visits.values()
            if visit.agreed.session == session and visit.wall.date() == on and visit.status in {"booked", "tentative"}
        ]

    def ahead(self, ref: str, now: datetime) -> list[Visit]:
        """The future visits of a plan that are on."""
        found = self.courses[ref].visits.values()
        return [one for one in found if one.status == "booked" and one.starts_at > now]

    # What goes out

    def posting(self, ref: str, told: Told) -> None:
        """Check a text that goes on the wire: what it says must be true now."""
        self.told[ref] = told
        if told.reader is None or told.class_ not in {"reminder", "notice"}:
            return
        name = f"{told.class_} {told.key} to {' '.join(told.reader)} at {wall_of(told.at, HOME):%m-%d %H:%M}"
        person = self.people.get(told.reader)
        zone = person.zone if person else HOME
        if is_quiet(told.at, zone, QUIET if told.class_ == "reminder" else QUIET_FOR_NEWS):
            self.problems.append(("at night", name))
        for plan, _, _, _, starts_at in told.about:
            course = self.courses[plan]
            if course.status.at(told.at) != "active":
                self.problems.append(("about a plan that does not run", f"{name}: {course.status.at(told.at)}"))
            if starts_at in course.doubtful:
                continue
            there = [one.agreed for one in course.visits.values() if one.stood.at(told.at) == starts_at]
            stands = bool(there)
            says_on = told.class_ == "reminder" or told.wording in {"moved", "moved_from", "added"}
            if says_on and starts_at <= told.at:
                self.problems.append(("told of a past time", name))
            elif says_on and not stands:
                self.problems.append(
                    ("wrong time", f"{name}: nothing stands at {wall_of(starts_at, HOME):%m-%d %H:%M}")
                )
            elif told.wording == "called_off" and any(told.reader[1] in one.readers for one in there):
                self.problems.append(("called off while it stands", name))
        since = told.at - HEARD_WITHIN
        wanted = any(since <= at <= told.at for at in self.started_again[told.to])
        if all(self.stopped[told.to].during(since, told.at)) and not wanted and not self._out(since, told.at):
            self.problems.append(("after STOP", name))

    def _out(self, start: datetime, end: datetime) -> bool:
        """Whether the workers were down at some time between."""
        return any(begins < end and start < ends + SLACK for begins, ends in self.outages)

    def took(self, messages: Sequence[Any]) -> None:
        """Read Twilio's messages at the end: which texts were handed over, with which words."""
        for message in messages:
            told = self.told.get((message.callback_url or "").partition("#")[0].rsplit("/", 1)[1])
            if told is not None:
                told.body, told.taken = message.body, True
                told.failed = str(message.status) in {"undelivered", "failed"}

    # The judgement

    def judge_texts(self) -> None:
        """Check what the phones show: no words twice a day, none that tell, the right time of day, within the caps."""
        taken = sorted((one for one in self.told.values() if one.taken), key=lambda one: one.at)
        words: dict[tuple[str, date, str], Told] = {}
        by_number: dict[str, dict[int, Told]] = defaultdict(dict)
        for told in taken:
            person = self.people.get(told.reader) if told.reader else None
            zone = person.zone if person else HOME
            name = (
                f"{told.class_} {told.key} to {' '.join(told.reader or ('no one',))} on {wall_of(told.at, zone):%m-%d}"
            )
            low = told.body.lower()
            if told.class_ != "answer" and any(word in low for word in TELLING):
                self.problems.append(("telling", name))
            if told.class_ in {"reminder", "notice"}:
                before = words.setdefault((told.to, wall_of(told.at, zone).date(), told.body), told)
                if before.text != told.text:
                    self.problems.append(("the same words twice in a day", name))
                self._check_clock(told, name)
            if told.class_ == "reminder" and not told.failed:
                by_number[told.to][told.text] = told
        for reminders in by_number.values():
            days: list[date] = []
            for told in sorted(reminders.values(), key=lambda one: one.at):
                zone = self.people[told.reader].zone
                days.append(wall_of(told.at, zone).date())
                per_day, per_week = self.caps(told.to, told.at)
                name = f"{told.key} to {' '.join(told.reader)}"
                if days.count(days[-1]) > per_day:
                    self.problems.append(("above the cap of a day", name))
                if sum(day > days[-1] - timedelta(days=7) for day in days) > per_week:
                    self.problems.append(("above the cap of a week", name))

    def _check_clock(self, told: Told, name: str) -> None:
        if not told.about or told.wording in {"missed", "closed"}:
            return
        about = sorted(told.about, key=itemgetter(4))
        days = {one[3].date() for one in about}
        if told.class_ == "reminder" and (len(days) > 1 or len(about) > 3):
            about = about[:1]  # how many there are, and the first
        # A notice about several visits names the days that are off, or their one new time; otherwise it asks for a
        # call.
        off = told.wording == "called_off" and len(about) > 1
        if told.class_ == "notice" and len(about) > 1 and ("Several of your" in told.body or "Varias de" in told.body):
            return
        for *_, wall, _ in about:
            if told.class_ == "notice" and len(about) > 3:
                return
            noon = wall.minute == 0 and wall.hour == 12
            shown = (
                "12:00" if noon else f"{(wall.hour + 11) % 12 + 1}:{wall.minute:02}{'am' if wall.hour < 12 else 'pm'}"
            )
            if (shown not in told.body and not off) or str(wall.day) not in told.body:
                self.problems.append(("wrong time", f"{name}: {told.body!r} does not say {wall}"))

    def caps(self, phone: str, at: datetime) -> tuple[int, int]:
        """The caps of a number: the least that anyone on it agreed to."""
        per_day, per_week = PER_DAY, PER_WEEK
        for person in self.people.values():
            if person.phone.at(at) == phone and (given := person.consent.at(at)) is not None:
                per_day = min(per_day, given.get("per_day", PER_DAY))
                per_week = min(per_week, given.get("per_week", PER_WEEK))
        return per_day, per_week

    def judge_visits(
        self, rows: Callable[[str, str, set[tuple[str, str]]], list[tuple]], now: datetime
    ) -> list[Verdict]:
        """Every visit that was eligible for a reminder and has begun by `now`, for each of its readers.

        `rows` gives the reminders' rows of a patient's reader about visits of a plan:
        (id, key, state, reason, opens_at, closes_at, due_at, attempts).
        """
        self._sent_by_number()
        self._counted = self._queued(rows)
        found = []
        for course in self.courses.values():
            slots: dict[datetime, list[tuple[tuple[str, str], Visit]]] = defaultdict(list)
            for name, visit in course.visits.items():
                for _, at in visit.stood.changes():
                    if at is not None and at <= now and visit.stood.at(at) == at:
                        slots[at].append((name, visit))
            for starts_at, standing in sorted(slots.items()):
                unique = dict(standing)
                since = self._since(course, starts_at)
                for key in sorted({reader for one in unique.values() for reader in one.agreed.readers}):
                    mine = {name: one for name, one in unique.items() if key in one.agreed.readers}
                    person = self.people.get((course.patient, key))
                    if person is not None and (one := self._judge(course, person, mine, starts_at, since, rows)):
                        found.append(one)
        return found

    def _since(self, course: Course, starts_at: datetime) -> datetime:
        """Since when some visit of the plan has been at that instant without a break."""
        since = starts_at
        for _ in range(len(course.visits) + 1):
            earlier = since
            for visit in course.visits.values():
                begun = None
                for at, value in visit.stood.changes():
                    if value == starts_at and begun is None:
                        begun = at
                    elif value != starts_at and begun is not None:
                        if begun < since <= at:
                            earlier = min(earlier, begun)
                        begun = None
                if begun is not None and begun < since:
                    earlier = min(earlier, begun)
            if earlier == since:
                break
            since = earlier
        return since

    def _judge(self, course, person, mine, starts_at, since, rows) -> Verdict | None:
        if starts_at - since < KNOWN_BEFORE or starts_at in course.doubtful:
            return None
        some = next(iter(mine.values())).agreed
        kinds = {one.agreed.kind for one in mine.values()}
        leads = some.leads or (("1d@17:00",) if some.repeats else ("3d@17:00", "1d@17:00", "2h"))
        windows = [window(lead, starts_at, person.zone) for lead in leads]
        able = [one for one in windows if not one.quiet and one.usable(person.zone)]
        if not able:
            return None
        last = max(able, key=lambda one: one.opens)
        # A visit that becomes the first after discharge, since those before it are off, gets a text three days ahead.
        earliest = min(one.opens for one in (*windows, window("3d@17:00", starts_at, person.zone)))
        if not self._eligible(course, person, kinds, starts_at, last.opens, last.closes, some.zone):
            return None
        phone = person.phone.at(last.opens)
        sharing = {one.patient for one in self.people.values() if phone in one.phone.during(last.opens, starts_at)}
        caps = {self.caps(phone, at) for at in (last.opens - timedelta(days=6), last.opens, starts_at)}
        names = ", ".join(f"{series}@{rid}" for series, rid in mine)
        wall = wall_of(starts_at, some.zone)
        verdict = Verdict(
            label=f"{course.ref} {names} {person.key} {wall:%a %Y-%m-%d %H:%M}",
            how="reminded",
            why="",
            standard=caps == {(PER_DAY, PER_WEEK)},
            shared=len(sharing) > 1,
            plan=course.ref,
            starts_at=starts_at,
        )
        verdict.rows = rows(course.patient, person.key, {(course.ref, series, rid) for series, rid in mine})
        verdict.how = self._how_told(course, person, starts_at, since, earliest)
        if verdict.how == "reminded":
            return verdict
        if any(row[2] != "cancelled" for row in verdict.rows):  # retracted rows are not shown any more
            verdict.rows = [row for row in verdict.rows if row[2] != "cancelled"]
        judged = [(row, self._is_untrue(row, course, person, kinds, starts_at, since)) for row in verdict.rows]
        untrue = [(row, why) for row, why in judged if why is not None]
        if verdict.how == "notice" and (any(row[3] == "merged_into" for row in verdict.rows) or not untrue):
            return verdict
        self._say_why(verdict, untrue, last.usable(person.zone))
        return verdict

    def _how_told(self, course, person, starts_at, since, earliest) -> str:
        """Whether a reminder or a notice named the visit in time, or neither."""
        how = ""
        wall = wall_of(starts_at, person.zone)
        sunday = wall.date() - timedelta(days=wall.weekday() + 1)
        digest_from = instant(datetime.combine(sunday, time(0)), person.zone)
        for told in self._by_reader.get((course.patient, person.key), ()):
            if not any((plan, at) == (course.ref, starts_at) for plan, *_, at in told.about) or told.at >= starts_at:
                continue
            opens = digest_from if told.key.startswith("week:") else earliest - SLACK
            if told.at >= opens and told.class_ == "reminder":
                return "reminded"
            if told.at >= since and told.class_ == "notice" and told.wording in {"moved", "moved_from", "added"}:
                how = "notice"
        return how

    def _say_why(self, verdict: Verdict, untrue: list[tuple], usable: list[datetime]) -> None:
        states = {row[2] for row in verdict.rows}
        if all(self._is_down(at) for at in usable):
            verdict.how, verdict.why = "outage", "the workers were down for the whole window"
        elif not verdict.rows:
            verdict.how, verdict.why = "no row", "no row is about it"
        elif untrue:
            row, why = untrue[0]
            verdict.how, verdict.why = "untrue", f"{row[1]} {row[3] or row[2]}: {why}"
        elif states & {"undelivered", "uncertain", "expired", "unconfirmed", "sent"}:
            verdict.how, verdict.why = "fault", ", ".join(sorted({row[2] for row in verdict.rows if row[3] is None}))
        else:
            verdict.how, verdict.why = "true", ", ".join(sorted({row[3] or row[2] for row in verdict.rows}))

    def _is_down(self, at: datetime) -> bool:
        return any(begins <= at <= ends + SLACK for begins, ends in self.outages)

    def _eligible(self, course, person, kinds, starts_at, opens, closes, zone) -> bool:
        return not self._obstacles(course, person, kinds, starts_at, opens, closes, zone)

    def _obstacles(self, course, person, kinds, starts_at, opens, closes, zone) -> set[str]:
        """What prevented the text at some time in a window."""
        found = set()
        phones = set(person.phone.during(opens, closes))
        consents = person.consent.during(opens, closes)
        categories = {_category(kind, person.role) for kind in kinds}
        if None in consents:
            found.add("no_consent")
        if any(given is not None and not categories & set(given["categories"]) for given in consents):
            found.add("category_off")
        if set(course.status.during(opens, closes)) != {"active"}:
            found |= {"paused", "not_booked"}
        for phone in phones:
            if any(self.stopped[phone].during(opens, closes)):
                found.add("opted_out")
            if not all(self.verified[phone].during(opens, closes)):
                found.add("unverified")
            if any(self.bad[phone].during(opens, closes)):
                found |= {"number_bad", "opted_out"}
        if len(phones) > 1:
            found |= {"no_consent", "unverified"}
        day = wall_of(starts_at, zone).date()
        if not kinds <= OPEN_MEETINGS and any(self.closed[day].during(opens, closes)):
            found.add("closed")
        if any(self.held[course.patient].during(opens, closes)):
            found.add("held")
        return found

    def _is_untrue(self, row, course, person, kinds, starts_at, since) -> str | None:
        """Why the reason on a row is not true; None if it is."""
        _, key, state, reason, opens, closes, due, *_ = row
        lead = key.rsplit(":", 1)[1] if key.count(":") == 2 else key.split(":", 2)[2]
        phone = person.phone.at(closes)
        if state in {"undelivered", "uncertain", "unconfirmed", "expired"}:
            faulty = (
                state != "expired"
                or self._out(opens, closes)
                or self._obstacles(course, person, kinds, starts_at, opens, closes, HOME)
                or row[7]
            )
            return None if faulty else "it was let expire"
        if state in {"sent", "delivered"}:
            return None
        if state in {"scheduled", "sending"}:
            return "its window has shut"
        if state == "cancelled":
            return "it was taken back, and the visit stands"
        window_ = window(lead, starts_at, person.zone) if not key.startswith("week:") else None
        match reason:
            case "cap_day" | "cap_week":
                first = max(opens, since)  # when it could first have gone
                first = max([first, *(ends for begins, ends in self.outages if begins <= first <= ends + SLACK)])
                first = after_quiet(first, person.zone)
                days = {wall_of(at, person.zone).date() for at in (opens, due, first)}
                if closes <= since:  # judged while it was open, before the visit was as it is now
                    days.add(wall_of(closes, person.zone).date())
                per_day, per_week = map(min, zip(self.caps(phone, opens), self.caps(phone, first), strict=True))
                counted = self._counted[phone]
                if reason == "cap_day":
                    most = max(counted[day] for day in days)
                    return None if most >= per_day else f"{most} of {per_day} reminders on that day"
                most = max(_busiest(counted, day) for day in days)
                return None if most >= per_week else f"{most} of {per_week} reminders in any seven days"
            case "merged_into":
                return "no text that names it went"
            case "too_late":
                shut = window_.closes if window_ else closes
                eligible_since = self._eligible_since(course, person, kinds, starts_at, shut)
                late = shut <= max(since, eligible_since) + timedelta(minutes=1)
                return None if late or min(shut, closes) <= since else "its window was open when the visit was known"
            case "quiet_hours":
                first = max([opens, *(ends for begins, ends in self.outages if begins <= opens <= ends + SLACK)])
                night = window_ is None or window_.quiet or after_quiet(first, person.zone) >= closes
                return None if night else "the night left room"
            case "no_wording" | "lint":
                return "every text here can be said"
            case _:
                zone = next(iter(course.visits.values())).agreed.zone
                true = self._obstacles(course, person, kinds, starts_at, opens - SLACK, closes, zone)
                return None if reason in true else "nothing of the kind stood in its way"

    def _eligible_since(self, course, person, kinds, starts_at, until) -> datetime:
        """The last time before `until` at which something else prevented the text: it was possible again too late."""
        at, step = until, timedelta(hours=3)
        for _ in range(32):
            if self._obstacles(course, person, kinds, starts_at, at - step, at, HOME):
                return at
            at -= step
        return datetime.min.replace(tzinfo=UTC)

    def _sent_by_number(self) -> None:
        self._by_reader: dict[tuple[str, str], list[Told]] = defaultdict(list)
        for told in self.told.values():
            if told.taken and told.reader is not None:
                self._by_reader[told.reader].append(told)

    def _queued(self, rows) -> dict[str, Counter[date]]:
        """For each number, the days on which reminders were sent, or would have been."""
        counted: dict[str, dict[int, date]] = defaultdict(dict)
        for told in self.told.values():
            if told.class_ == "reminder" and told.reader is not None:
                zone = self.people[told.reader].zone
                counted[told.to].setdefault(told.text, wall_of(told.at, zone).date())
        for person in self.people.values():
            for row in rows(person.patient, person.key, set()):
                if row[2] in {"expired", "uncertain", "undelivered", "cancelled", "scheduled"}:
                    counted[person.phone.at(row[4])].setdefault(row[0], wall_of(row[6], person.zone).date())
        return defaultdict(Counter, {phone: Counter(texts.values()) for phone, texts in counted.items()})


def _busiest(count: Counter[date], day: date) -> int:
    starts = [day - timedelta(days=back) for back in range(7)]
    return max(sum(count[start + timedelta(days=step)] for step in range(7)) for start in starts)


def _category(kind: str, role: str) -> str:
    if role != "self":
        return "family"
    if kind in OPEN_MEETINGS:
        return "meetings"
    return "wellness" if kind == "wellness" else "appointments"
