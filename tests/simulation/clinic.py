"""A clinic in the simulation: dozens of patients for weeks or months, and an oracle that checks for every visit whether
its reader was reminded in time, and if not, whether the reason shown is true.

Time jumps from one due event to the next. Every draw comes from the seed.
"""

import asyncio
import heapq
import itertools
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any

from people import raw
from simulation.disk import Disk
from simulation.oracle import (
    HOME,
    NUMBER_CODES,
    WEEKDAYS,
    Fact,
    Oracle,
    Person,
    Told,
    Verdict,
    dates_of,
    instant,
    open_times,
    program_files,
    wall_of,
)
from simulation.promises import Broken, Promises
from simulation.story import CANARY, WEATHER, Story
from simulation.story import NUMBER_CODES as STORY_CODES
from simulation.world import EXPECTED, POINTS, World

from reminders import clock, plans
from reminders.plans import Known
from reminders.service import planning
from reminders.service.office import sites
from reminders.service.operations import runs
from reminders.service.people import consents, phone_numbers, reader_case, staff_texts
from reminders.service.planning import attendance, changes

ZONES = (
    *("America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles"),
    *("America/Anchorage", "Pacific/Honolulu", "America/Puerto_Rico", "America/Boise", "America/Detroit"),
    "America/Indiana/Indianapolis",
)
AREAS = ("212", "312", "415", "303", "602", "206", "617", "713", "404", "612")
FIRST = ("Zephyrine", "Ottoline", "Peregrine", "Thaddea", "Wilhelmus", "Quenby", "Isolde", "Barnaby", "Evadne", "Lucan")
LAST = ("Quillfeather", "Brackwater", "Thornabee", "Mossgrove", "Pennywhist", "Larkhollow", "Winterbourn", "Ashgrove")
KINDS = (
    *("therapy_individual", "therapy_group", "group_education", "support_meeting", "family_session", "psychiatry"),
    *("check_up", "peer_mentor", "house_meeting", "wellness", "vocational"),
)
TIMES = ("08:00", "09:30", "10:00", "11:15", "12:00", "13:00", "14:30", "15:00", "16:30", "17:30", "18:00", "19:15")
GROUPS = {"oak": ("16:30", "MO,WE,FR"), "elm": ("10:00", "TU,TH"), "ash": ("18:00", "MO")}
ALL_CATEGORIES = ["appointments", "meetings", "wellness", "checkins", "family"]
EDITS = (
    *("move_one", "move_one", "skip_one", "add_one", "add_one", "new_time", "weekly_from_one_off"),
    *("one_off_from_weekly", "another_key", "another_weekday", "drop_a_series", "another_key_and_time"),
)
ACTIONS = (
    ("edit", 30),
    ("staff_moves", 10),
    ("staff_calls_off", 5),
    ("session_moves", 4),
    ("closure", 2),
    ("pause", 4),
    ("ends", 2),
    ("second_plan", 3),
    ("new_phone", 3),
    ("consent_changes", 4),
    ("somebody_texts", 8),
    ("says", 2),
)
FREE_TEXTS = (
    (f"can i bring my {CANARY} along?", "CHATTER"),
    ("who is this", "WHO"),
    ("HELP", "HELP"),
    ("thanks", "CHATTER"),
    ("i used last night", "SLIP"),
)
PASSING = [
    one
    for one in WEATHER
    if one.get("error_code") not in STORY_CODES
    and one.get("code") not in NUMBER_CODES
    and not str(one.get("fault")).startswith("stop_")  # the oracle would not know of those STOPs
]
PROMISED_SHARE = 0.98


@dataclass
class Asked:
    """The kind of clinic to run."""

    patients: int = 40
    days: int = 60
    begins: date | None = None
    show: str | None = None


@dataclass
class Lived:
    """What became of one clinic."""

    seed: int
    figures: Counter = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    details: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)


def live_clinic(seed: int, disk: Disk, asked: Asked) -> Lived:
    """Run the clinic of one seed and judge it."""
    chosen = Random(f"the clinic of {seed}")
    if asked.begins is not None:
        day = asked.begins - timedelta(days=min(14, asked.days // 3))
    else:  # over each change of the clocks
        day = (date(2026, 2, 16), date(2026, 10, 12))[seed % 2]
    began = instant(datetime.combine(day, time(7)), HOME)
    world = ClinicWorld(seed, disk, began)
    lived = Lived(seed, trace=world.trace)
    asyncio.set_event_loop(world.loop)
    try:
        clinic = Clinic(world, chosen, asked, lived)
        clinic.live()
        clinic.judge()
    finally:
        world.close()
        asyncio.set_event_loop(None)
    return lived


class ClinicWorld(World):
    """A world that counts errors and goes on, so that one fault does not hide the others."""

    def __init__(self, seed: int, disk: Disk, began: datetime) -> None:
        self.errors: list[tuple[str, str]] = []  # where, what: an error would keep its connection open
        more = {"sending__welcome": "true", "sending__per_day": "1", "sending__backlog": "200"}
        more |= {"twilio__segments_per_second": "0", "twilio__in_flight": "50"}
        more["sending__horizon_days"] = "21"  # far enough for any lead here; most of the work is planning
        super().__init__(seed, disk, began=began, more=more)
        self.promises = ClinicPromises(self)
        self.oracle = Oracle((began + timedelta(days=200)).date())

    def met(self, error: Exception, where: str) -> None:
        if not isinstance(error, EXPECTED):
            self.errors.append((where, _named(error)))
        self.said(f"{where} ends with {type(error).__name__}")


class ClinicPromises(Promises):
    """The promises of the small worlds, and an oracle that sees every text sent."""

    def posting(self, form: dict[str, str], now: datetime) -> None:
        super().posting(form, now)
        ref = form["StatusCallback"].partition("#")[0].rsplit("/", 1)[1]
        look = self._disk.look
        found = look(
            "SELECT t.id, t.class, t.wording, t.key, p.ref, r.key FROM attempts a JOIN texts t ON t.id = a.text_id"
            " LEFT JOIN recipients r ON r.id = t.recipient_id LEFT JOIN patients p ON p.id = r.patient_id"
            " WHERE a.ref = ?",
            ref,
        )
        if not found:
            return
        text, class_, wording, key, patient, reader = found[0]
        about = look(
            "SELECT plans.ref, s.key, p.recurrence_id, p.wall, p.starts_at FROM text_items i"
            " JOIN appointments p ON p.id = i.appointment_id JOIN series s ON s.id = p.series_id"
            " JOIN plans ON plans.id = s.plan_id WHERE i.text_id = ?",
            text,
        )
        told = Told(
            text,
            class_,
            wording,
            key,
            (patient, reader) if patient else None,
            form["To"],
            self._world.now,
            [
                (plan, series, rid, datetime.fromisoformat(wall), self._disk.instant(at).astimezone(UTC))
                for plan, series, rid, wall, at in about
            ],
        )
        self._world.oracle.posting(ref, told)


class Clinic(Story):
    """The events of a clinic, from the seed."""

    def __init__(self, world: ClinicWorld, chosen: Random, asked: Asked, lived: Lived) -> None:
        self.world, self.random, self.asked, self.lived = world, chosen, asked, lived
        self.oracle = world.oracle
        self.raws: dict[str, dict] = {}
        self.names: dict[str, str] = {}
        self.phones: list[str] = []
        self.dates = set()
        self.is_ending = False
        self.watched_at = world.began
        self._events: list[tuple[datetime, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._read: Counter[str] = Counter()  # how many of each phone's texts its owner has read
        self._down_since: datetime | None = None
        self._planned_on: date | None = None
        self.phone_count = itertools.count()
        self._prints: dict[bytes, str] = {}
        world.phone_of = lambda print_: self._prints.get(bytes(print_), "")
        world.secrets = lambda: [
            *(word for name in self.names.values() for word in name.split()),
            *(phone[2:] for phone in self.phones),
            CANARY,
        ]
        world.may_hide = False
        self._plan_fresh = True

    # Its days

    def live(self) -> None:
        """Everyone who comes, and every day of it."""
        world, chosen = self.world, self.random
        self.finish_a_job("plan")
        self.finish_a_job("poll")
        for number in range(self.asked.patients):
            spread = 0 if number < self.asked.patients // 2 else chosen.randrange(max(1, self.asked.days * 2 // 3))
            at = world.began + timedelta(days=spread, hours=chosen.uniform(2, 9))
            self.plan_event(at, lambda number=number: self.arrives(number))
        for day in range(self.asked.days):
            self._plan_day(day)
        self.ends_at = world.began + timedelta(days=self.asked.days)
        self.run_until(self.ends_at)
        self.check()
        self.mend()
        self.run_until(self.ends_at + timedelta(hours=3))
        self.check()

    def plan_event(self, at: datetime, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (at, next(self._count), what))

    def _plan_day(self, day: int) -> None:
        chosen = self.random
        morning = self.world.began + timedelta(days=day)
        names, weights = zip(*ACTIONS, strict=True)
        many = self.asked.patients * 0.12
        for _ in range(int(many) + (chosen.random() < many % 1)):
            name = chosen.choices(names, weights)[0]
            self.plan_event(morning + timedelta(hours=chosen.uniform(1, 12)), getattr(self, name))
        self.plan_event(morning + timedelta(hours=14), self.marks)
        self.plan_event(morning + timedelta(hours=chosen.uniform(3, 13)), self.people_answer)
        self.plan_event(morning + timedelta(hours=15), self.check)
        draw = chosen.random()
        at = morning + timedelta(hours=chosen.uniform(0, 14))
        if draw < 0.25:
            self.plan_event(at, self.passing_weather)
        elif draw < 0.33:
            self.plan_event(at, self.a_worker_dies)
        elif draw < 0.38:
            self.plan_event(at, self.a_worker_commit_fails)
        elif draw < 0.42:
            self.plan_event(at, self.workers_go_down)
        elif draw < 0.47:
            self.plan_event(at, self.web_goes_down)
        elif draw < 0.49:
            self.plan_event(at, self.a_number_goes_bad)

    def run_until(self, ends: datetime) -> None:
        """Run until then: from one due event, or someone's action, to the next."""
        world = self.world
        stuck = 0
        while world.now < ends:
            if self._down_since is None:
                self._work()
            now, events = world.now, self._events
            while events and events[0][0] <= now:
                heapq.heappop(events)[2]()
            following = [ends]
            if events:
                following.append(events[0][0])
            if self._down_since is None:
                following += [at + timedelta(seconds=1) for at in self.agenda().values()]
                if self.is_unheard():
                    following.append(world.now + timedelta(seconds=60))
                midnight = datetime.combine(wall_of(world.now, HOME).date() + timedelta(days=1), time(0, 10))
                following.append(instant(midnight, HOME))
            stuck = stuck + 1 if min(following) <= world.now else 0
            self.wait(min(max(5.0 if not stuck else 30.0, (min(following) - world.now).total_seconds()), 86_400))

    def _work(self) -> None:
        today = wall_of(self.world.now, HOME).date()
        now = clock.now()
        due = {job for job, at in self.agenda().items() if at <= now}
        if self.is_unheard():
            due.add("poll")
        if today != self._planned_on or not self._plan_fresh:
            self._planned_on, self._plan_fresh = today, True
            runs.succeeded(self.world.desk.context, "send")  # as the scans that found nothing meanwhile
            due |= {"plan", "watch"}
        for job in ("send", "settle", "ask", "plan", "poll", "page", "watch"):
            if job in due:
                self.finish_a_job(job)
        if "page" in due:
            self.acknowledge()

    def finish_a_job(self, job: str) -> None:
        super().finish_a_job(job)
        self._broken_things(f"the {job} job")

    def _broken_things(self, where: str) -> None:
        broken = self.world.loop.broken
        self.world.errors += [(where, _named(error)) for error in broken]
        broken.clear()

    def person(self, what):
        found = []

        def do():
            found.append((what(), True))
            return True

        done = super().person(do)
        self._broken_things("the desk")
        self.lived.figures["desk: done" if done else "desk: refused or failed"] += 1
        return found[0] if done else None

    def check(self) -> None:
        """Once a day: what the small worlds promise after every step."""
        promises = self.world.promises
        self._broken_things("somewhere")
        for ask in (promises.check, *(() if self._down_since else (lambda: promises.check_running(self.world.began),))):
            try:
                ask()
            except Broken as broken:
                self.lived.broken.append(str(broken))
            promises.broken = None

    # Who comes

    def new_phone_number(self) -> str:
        number = next(self.phone_count)
        phone = f"+1{AREAS[number // 100]}55501{number % 100:02}"
        self.phones.append(phone)
        self._prints |= self.world.desk.context.database.read(lambda tx: {bytes(tx.fingerprint(phone)): phone})
        return phone

    def arrives(self, number: int) -> None:
        """Discharge a patient and enter their plan."""
        chosen, now = self.random, self.world.now
        ref = f"MRN-{number}"
        today = wall_of(now, HOME).date()
        shared = number % 10 == 9 and f"MRN-{number - 1}" in self.names
        phone = self.oracle.people[f"MRN-{number - 1}", "self"].phone.at(now) if shared else self.new_phone_number()
        self.names[ref] = f"{FIRST[number % len(FIRST)]} {LAST[number // len(FIRST) % len(LAST)]}"
        zone = ZONES[number % len(ZONES)] if number % 5 < 2 else HOME
        consent = self._consent(today)
        if chosen.random() < 0.15:
            del consent["verified"]
        patient = {
            "ref": ref,
            "name": self.names[ref],
            "phone": phone,
            "zone": zone,
            "language": chosen.choice(("en", "en", "es")),
            "weekly_digest": number % 8 == 3,
        }
        said: dict[str, Any] = {"patient": patient, "consent": consent}
        self._heard_of(ref, "self", patient, consent, now)
        if number % 6 == 4:
            helper = {
                "key": "helper",
                "role": "supporter",
                "phone": self.new_phone_number(),
                "zone": HOME,
                "language": "en",
                "part2_consent_on": today.isoformat(),
                "consent": self._consent(today) | {"categories": ["family"]},
            }
            said["recipients"] = [helper]
            self._heard_of(ref, "helper", helper, helper["consent"], now)
        self._enter(f"P-{ref}", ref, said, number)

    def _consent(self, today: date) -> dict:
        chosen = self.random
        categories = ALL_CATEGORIES if chosen.random() < 0.85 else ["appointments"]
        given = raw()["consent"] | {"on": today.isoformat(), "categories": list(categories)}
        if chosen.random() < 0.2:
            given["per_week"] = chosen.choice((2, 3))
        return given

    def _heard_of(self, ref: str, key: str, said: dict, consent: dict, now: datetime) -> None:
        """Tell the oracle of a reader; their consent applies once the plan is in."""
        if (ref, key) in self.oracle.people:
            return
        role = said.get("role", "self")
        person = Person(ref, key, role, said["zone"], said["language"], Fact(said["phone"]), Fact(None))
        self.oracle.people[ref, key] = person
        person.consent.becomes(consent, now)
        if "verified" in consent:
            self.oracle.verified[said["phone"]].becomes(True, now)

    def _enter(self, plan: str, ref: str, said: dict, number: int, **more: Any) -> None:
        """A first document: a program, its own series, or both."""
        chosen = self.random
        today = wall_of(self.world.now, HOME).date()
        head: dict[str, Any] = {"ref": plan, "discharged_on": today.isoformat()} | more
        series: list[dict] = []
        programs = list(program_files())
        if number % 2 == 0:
            head["program"] = programs[number // 2 % len(programs)]
            at = chosen.choice(TIMES)
            head["program_times"] = dict.fromkeys(open_times(head["program"]), at)
            head["starts_on"] = (today + timedelta(days=chosen.randint(1, 4))).isoformat()
        else:
            series.extend(
                self._series(key, today, KINDS[(number // 2 + ord(key)) % len(KINDS)])
                for key in ("a", "b", "c")[: chosen.choice((1, 1, 2, 3))]
            )
        if chosen.random() < 0.6:
            series.append(self._one_off("first", today + timedelta(days=chosen.randint(1, 6))))
        if chosen.random() < 0.3:
            series.append(self._group(chosen.choice(sorted(GROUPS)), today))
        helpers = [one["key"] for one in said.get("recipients", ())]
        for one in series:
            if helpers and chosen.random() < 0.7:
                one["for"] = ["self", *helpers]
        self._accept(plan, ref, said | {"plan": head, "series": series})

    def _one_off(self, key: str, day: date) -> dict:
        kind = self.random.choice(("therapy_individual", "psychiatry", "check_up", "family_session", "vocational"))
        return {"key": key, "kind": kind, "starts": f"{day}T{self.random.choice(TIMES)}:00"}

    def _series(self, key: str, today: date, kind: str) -> dict:
        chosen = self.random
        at = chosen.choice(TIMES)
        if chosen.random() < 0.15:
            rule, days = f"FREQ=DAILY;COUNT={chosen.choice((10, 20, 30))}", WEEKDAYS
        else:
            days = tuple(sorted(chosen.sample(WEEKDAYS, chosen.choice((1, 1, 2, 3))), key=WEEKDAYS.index))
            every = chosen.choice(("", "", "", "INTERVAL=2;"))
            rule = f"FREQ=WEEKLY;{every}BYDAY={','.join(days)};COUNT={chosen.choice((6, 12, 24))}"
        one = {"key": key, "kind": kind, "starts": f"{_next(today, days)}T{at}:00", "repeats": rule}
        if chosen.random() < 0.1:
            one["leads"] = chosen.choice((["1d@17:00", "2h"], ["3h"], ["1d"], ["2d@12:00", "90m"]))
        return one

    def _group(self, session: str, today: date) -> dict:
        at, days = GROUPS[session]
        first = _next(today, days.split(","))
        rule = f"FREQ=WEEKLY;BYDAY={days};COUNT=24"
        return {
            "key": f"group-{session}",
            "kind": "therapy_group",
            "session": session,
            "starts": f"{first}T{at}:00",
            "repeats": rule,
        }

    def _accept(self, plan: str, ref: str, said: dict) -> bool:
        document = raw(**deepcopy(said))
        today = wall_of(self.world.now, HOME).date()
        known = Known(
            today=today,
            languages=frozenset({"en", "es"}),
            zone=HOME,
            site="main",
            sites=frozenset({"main"}),
            fictional_numbers=True,
        )
        try:
            read = plans.read(document, known)
        except plans.PlanRefused as refused:
            self.lived.figures["documents refused when read"] += 1
            self.world.said(f"{plan} is refused: {refused}")
            return False
        done = self.person(lambda: planning.accept(self.world.desk.context, read, clock.now(), who="the desk"))
        if done is None:
            return False
        self.raws[plan] = document
        self.oracle.accepts(plan, ref, document, self.world.now)
        if (replaced := document["plan"].get("replaces")) in self.oracle.courses:
            self.oracle.courses[replaced].status.becomes("ended", self.world.now)
        self.world.said(f"{plan} is accepted")
        return True

    # What staff do

    def _some_plan(self, *statuses: str) -> str | None:
        now = self.world.now
        wanted = statuses or ("active",)
        found = [ref for ref, one in self.oracle.courses.items() if one.status.at(now) in wanted]
        return self.random.choice(found) if found else None

    def edit(self) -> None:
        """Import a plan's file again with a change."""
        ref = self._some_plan("active", "active", "paused")
        if ref is None:
            return
        said = deepcopy(self.raws[ref])
        how = self.random.choice(EDITS)
        if how != "add_one" and not said["series"]:
            how = "add_one"
        if getattr(self, f"_{how}")(said) and self._accept(ref, self.oracle.courses[ref].patient, said):
            self.world.said(f"  {ref}: {how}")
            self.lived.figures[f"edit: {how}"] += 1

    def _pick(self, said: dict, *, repeats: bool | None) -> dict | None:
        found = [one for one in said["series"] if repeats is None or ("repeats" in one) is repeats]
        return self.random.choice(found) if found else None

    def _ahead_of(self, one: dict) -> list[datetime]:
        """The original future dates of a series of a document."""
        now = wall_of(self.world.now, HOME)
        document = {"plan": {}, "series": [{**one, "move": {}, "skip": one.get("skip", [])}]}
        taken = one.get("move", {})
        walls = [dated.wall for dated in dates_of(document, now.date() + timedelta(days=30))]
        return [wall for wall in walls if wall > now and f"{wall:%Y-%m-%dT%H:%M}" not in taken]

    def _move_one(self, said: dict) -> bool:
        one = self._pick(said, repeats=True)
        ahead = self._ahead_of(one) if one else []
        if not ahead:
            return False
        old = self.random.choice(ahead[:6])
        new = datetime.combine(old.date() + timedelta(days=self.random.choice((0, 0, 1, 2))), _at(self.random))
        one.setdefault("move", {})[f"{old:%Y-%m-%dT%H:%M}"] = f"{new:%Y-%m-%dT%H:%M}:00"
        return True

    def _skip_one(self, said: dict) -> bool:
        one = self._pick(said, repeats=True)
        ahead = self._ahead_of(one) if one else []
        if not ahead:
            return False
        one.setdefault("skip", []).append(self.random.choice(ahead[:6]).date().isoformat())
        return True

    def _add_one(self, said: dict) -> bool:
        today = wall_of(self.world.now, HOME).date()
        day = today + timedelta(days=self.random.choice((0, 1, 1, 2, 3, 5, 8, 13)))
        said["series"].append(self._one_off(f"more-{len(said['series'])}-{today:%m%d}", day))
        return True

    def _new_time(self, said: dict) -> bool:
        one = self._pick(said, repeats=None)
        one["starts"] = f"{one['starts'][:10]}T{self.random.choice(TIMES)}:00"
        one.pop("move", None)
        return True

    def _weekly_from_one_off(self, said: dict) -> bool:
        one = self._pick(said, repeats=False)
        if one is None:
            return False
        day = WEEKDAYS[date.fromisoformat(one["starts"][:10]).weekday()]
        one["repeats"] = f"FREQ=WEEKLY;BYDAY={day};COUNT={self.random.choice((4, 8))}"
        return True

    def _one_off_from_weekly(self, said: dict) -> bool:
        one = self._pick(said, repeats=True)
        ahead = self._ahead_of(one) if one else []
        if not ahead or one.get("session"):
            return False
        one["starts"] = f"{ahead[0]:%Y-%m-%dT%H:%M}:00"
        for name in ("repeats", "move", "skip"):
            one.pop(name, None)
        return True

    def _another_key(self, said: dict) -> bool:
        one = self._pick(said, repeats=None)
        one["key"] = f"{one['key'].split('.')[0]}.{self.random.randrange(100)}"
        return True

    def _another_key_and_time(self, said: dict) -> bool:
        return self._another_key(said) and self._new_time(said)

    def _another_weekday(self, said: dict) -> bool:
        one = self._pick(said, repeats=True)
        if one is None or "BYDAY" not in one["repeats"] or one.get("session"):
            return False
        parts = dict(part.split("=") for part in one["repeats"].split(";"))
        days = [WEEKDAYS[(WEEKDAYS.index(day) + 1) % 7] for day in parts["BYDAY"].split(",")]
        parts["BYDAY"] = ",".join(sorted(days, key=WEEKDAYS.index))
        first = datetime.fromisoformat(one["starts"]) + timedelta(days=1)
        one["starts"], one["repeats"] = first.isoformat(), ";".join(f"{name}={value}" for name, value in parts.items())
        one.pop("move", None)
        one.pop("skip", None)
        return True

    def _drop_a_series(self, said: dict) -> bool:
        if len(said["series"]) < 2:
            return False
        said["series"].remove(self._pick(said, repeats=None))
        return True

    def _some_visit(self) -> tuple[str, tuple[str, str], Any] | None:
        ref = self._some_plan()
        if ref is None:
            return None
        now = self.world.now
        course = self.oracle.courses[ref]
        near = [
            (name, one)
            for name, one in course.visits.items()
            if one.status == "booked" and now < one.starts_at < now + timedelta(days=14)
        ]
        return (ref, *self.random.choice(near)) if near else None

    def staff_moves(self, *, off: bool = False) -> None:
        found = self._some_visit()
        if found is None:
            return
        ref, (series, rid), visit = found
        on = None if rid == "once" else date.fromisoformat(rid)
        day = visit.wall.date() + timedelta(days=self.random.choice((0, 0, 1, 3)))
        to = None if off else datetime.combine(day, _at(self.random))
        context, now = self.world.desk.context, self.world.now
        if rid != "once" and len([one for one in self.oracle.ahead(ref, now) if one.wall.date() == on]) > 1:
            return  # the day alone would not say which
        done = self.person(lambda: changes.change_visit(context, ref, series, on, clock.now(), who="the desk", to=to))
        if done is not None and done[0] is not None:
            self.oracle.moves(visit, to, now)
            self.world.said(f"{ref} {series}@{rid} is {'called off' if off else f'moved to {to}'}")

    def staff_calls_off(self) -> None:
        self.staff_moves(off=True)

    def session_moves(self) -> None:
        now, chosen = self.world.now, self.random
        today = wall_of(now, HOME).date()
        days = sorted(
            {
                (one.agreed.session, one.wall.date())
                for course in self.oracle.courses.values()
                for one in course.visits.values()
                if one.agreed.session and one.status == "booked" and 0 < (one.wall.date() - today).days < 10
            }
        )
        if not days:
            return
        session, on = chosen.choice(days)
        to = (
            None if chosen.random() < 0.3 else datetime.combine(on + timedelta(days=chosen.choice((0, 1))), _at(chosen))
        )
        context = self.world.desk.context
        done = self.person(lambda: changes.change_session(context, session, on, clock.now(), who="the desk", to=to))
        if done is not None and done[0] is not None:
            for visit in self.oracle.of_session(session, on, now):
                self.oracle.moves(visit, to, now)
            self.world.said(f"{session} of {on} is {'called off' if to is None else f'moved to {to}'}")

    def closure(self) -> None:
        """Announce a closed day; some are lifted again."""
        chosen, now = self.random, self.world.now
        today = wall_of(now, HOME).date()
        closed = sorted(day for day, fact in self.oracle.closed.items() if fact.at(now) and day > today)
        lift = bool(closed) and chosen.random() < 0.5
        day = chosen.choice(closed) if lift else today + timedelta(days=chosen.choice((1, 2, 4, 9)))
        context = self.world.desk.context
        done = self.person(
            lambda: sites.set_closure(context, "main", day, clock.now(), closed=not lift, sites=None, who="the desk")
        )
        if done is not None:
            self.oracle.closed[day].becomes(not lift, now)
            self._plan_fresh = False
            self.world.said(f"{day} is {'open again' if lift else 'closed'}")

    def _set_status(self, ref: str, status: str, because: str | None = None) -> None:
        context = self.world.desk.context
        done = self.person(
            lambda: changes.set_plan_status(context, ref, status, clock.now(), who="the desk", because=because)
        )
        if done is not None:
            patient = self.oracle.courses[ref].patient
            for course in self.oracle.courses.values():
                if course.ref == ref or (because == "died" and course.patient == patient):
                    course.status.becomes(status, self.world.now)
            self.world.said(f"{ref} is {status} {because or ''}")

    def pause(self) -> None:
        ref = self._some_plan()
        if ref is None:
            return
        self._set_status(ref, "paused")
        again = self.world.now + timedelta(days=self.random.uniform(0.2, 8))

        def resume() -> None:
            if self.oracle.courses[ref].status.at(self.world.now) == "paused":
                self._set_status(ref, "active")

        self.plan_event(again, resume)

    def ends(self) -> None:
        """End a plan: completed, left, readmitted for a while, or died."""
        ref = self._some_plan()
        if ref is None or self.random.random() < 0.4:
            return
        because = self.random.choice(("completed", "left", "readmitted", "readmitted", "died"))
        self._set_status(ref, "ended", because)
        patient = self.oracle.courses[ref].patient
        if because == "readmitted":
            again = self.world.now + timedelta(days=self.random.uniform(3, 10))
            self.plan_event(again, lambda: self._again(patient, {}))

    def second_plan(self) -> None:
        ref = self._some_plan()
        if ref is not None:
            more = self.random.choice(({"alongside": True}, {"replaces": ref}))
            self._again(self.oracle.courses[ref].patient, more)

    def _again(self, patient: str, more: dict) -> None:
        """Enter another plan of a known patient."""
        person = self.oracle.people[patient, "self"]
        first = self.raws.get(f"P-{patient}")
        if first is None:
            return
        said = {name: deepcopy(first[name]) for name in ("patient", "consent", "recipients") if name in first}
        said["patient"]["phone"] = person.phone.at(self.world.now)
        count = sum(1 for one in self.oracle.courses.values() if one.patient == patient)
        if person.consent.at(self.world.now) is None or count > 2:
            return
        said["consent"] = person.consent.at(self.world.now)
        self._enter(f"P{count + 1}-{patient}", patient, said, self.random.randrange(28), **more)

    def _some_person(self) -> Person | None:
        now = self.world.now
        running = {one.patient for one in self.oracle.courses.values() if one.status.at(now) == "active"}
        found = [one for one in self.oracle.people.values() if one.patient in running and one.key == "self"]
        return self.random.choice(found) if found else None

    def new_phone(self) -> None:
        person = self._some_person()
        if person is None or next(self.phone_count) > 100 * len(AREAS) - 10:
            return
        phone = self.new_phone_number()
        today = wall_of(self.world.now, HOME).date().isoformat()
        given = self.random.random() < 0.8
        consent = raw()["consent"] | {"on": today, "categories": ALL_CATEGORIES} if given else None
        context, whom = self.world.desk.context, reader_case.Whom(person.patient)
        done = self.person(
            lambda: phone_numbers.new_number(context, whom, phone, clock.now(), who="the desk", consent=consent)
        )
        if done is not None:
            now = self.world.now
            person.phone.becomes(phone, now)
            person.consent.becomes(consent, now)
            self.oracle.verified[phone].becomes(given, now)
            self.world.said(f"{person.patient} has a new phone, {'with' if given else 'without'} consent")

    def consent_changes(self) -> None:
        person = self._some_person()
        if person is None:
            return
        now = self.world.now
        today = wall_of(now, HOME).date().isoformat()
        said = self.random.choice(("yes", "yes", "no"))
        categories = self.random.choice((ALL_CATEGORIES, ["appointments"], ["meetings", "appointments"]))
        consent = raw()["consent"] | {"said": said, "on": today, "categories": list(categories)}
        if self.random.random() < 0.3:
            consent["per_week"] = self.random.choice((2, 3, 5))
        context, whom = self.world.desk.context, reader_case.Whom(person.patient)
        done = self.person(lambda: consents.record_consent(context, whom, consent, clock.now(), who="the desk"))
        if done is not None:
            person.consent.becomes(consent if said == "yes" else None, now)
            if said == "yes":
                self.oracle.verified[person.phone.at(now)].becomes(True, now)
            self.world.said(f"{person.patient} says {said} to {categories}")
            if said == "no":
                return

    def says(self) -> None:
        person = self._some_person()
        if person is not None:
            context, whom = self.world.desk.context, reader_case.Whom(person.patient)
            words = "Please call us when you have a minute."
            self.person(lambda: staff_texts.say(context, whom, words, clock.now(), who="the desk"))

    def marks(self) -> None:
        """Mark some of the day's visits in the evening."""
        context, now = self.world.desk.context, self.world.now
        for ref, course in list(self.oracle.courses.items()):
            for (series, rid), visit in list(course.visits.items()):
                begun = visit.status == "booked" and now - timedelta(hours=24) < visit.starts_at < now
                if not begun or course.status.at(now) == "ended" or self.random.random() > 0.25:
                    continue
                what = self.random.choice(("attended", "attended", "late", "missed"))
                on = None if rid == "once" else date.fromisoformat(rid)
                self.person(
                    lambda ref=ref, series=series, on=on, what=what: attendance.mark(
                        context, ref, series, on, clock.now(), what=what, who="the desk"
                    )
                )

    # What people write

    def people_answer(self) -> None:
        """Let people read their new texts; some answer."""
        chosen, now = self.random, self.world.now
        for phone, texts in list(self.world.twilio.phones.items()):
            fresh, self._read[phone] = texts[self._read[phone] :], len(texts)
            for one in fresh:
                draw = chosen.random()
                if "Reply Y" in one.body or "Responda SI" in one.body:
                    if draw < 0.75:
                        wait = timedelta(hours=chosen.choice((0.1, 1, 5, 30, 70)))
                        self.plan_event(now + wait, lambda phone=phone: self.answers_y(phone))
                elif "Reply C" in one.body or "C para confirmar" in one.body:
                    body = "C" if draw < 0.3 else "R" if draw < 0.33 else ""
                    if body:
                        self.plan_event(
                            now + timedelta(minutes=chosen.uniform(1, 200)),
                            lambda phone=phone, body=body: self.text(phone, body, body),
                        )

    def answers_y(self, phone: str) -> None:
        self.text(phone, "Y", "Y")
        verified = self.oracle.verified[phone]
        if not verified.at(self.world.now):
            verified.becomes(True, self.world.now + timedelta(minutes=20))

    def somebody_texts(self) -> None:
        chosen, now = self.random, self.world.now
        person = self._some_person()
        if person is None:
            return
        phone = person.phone.at(now)
        draw = chosen.random()
        stopped = self.oracle.stopped[phone]
        if draw < 0.12 and not stopped.at(now):
            self.text(phone, "STOP", "STOP")
            stopped.becomes(True, now)

            def starts_again() -> None:
                self.text(phone, "START", "START")
                self.oracle.started_again[phone].append(self.world.now)
                stopped.becomes(False, self.world.now + timedelta(minutes=20))

            if chosen.random() < 0.6:
                self.plan_event(now + timedelta(hours=chosen.uniform(1, 100)), starts_again)
        elif draw < 0.18:
            self.text(phone, "i want to die", "CRISIS")
            ends = now + timedelta(hours=chosen.uniform(1, 6))
            concerned = {one.patient for one in self.oracle.people.values() if one.phone.at(now) == phone}
            for patient in concerned:
                self.oracle.held[patient].becomes(True, now)

            def closes() -> None:
                self.close_crises()
                for held in self.oracle.held.values():
                    held.becomes(False, self.world.now + timedelta(minutes=20))

            self.plan_event(ends, closes)
        else:
            self.text(phone, *chosen.choice(FREE_TEXTS))

    # What goes wrong

    def passing_weather(self) -> None:
        said = dict(self.random.choice(PASSING))
        if said.get("fault") != "refuse_connection":
            said |= {"times": self.random.choice((1, 1, 2, 5))}
        self.weather_is(said)
        self.plan_event(self.world.now + timedelta(hours=self.random.uniform(2, 20)), self.fair_weather)

    def a_number_goes_bad(self) -> None:
        self.weather_is({"error_code": self.random.choice(STORY_CODES), "times": 1})

    def a_worker_dies(self) -> None:
        point = self.random.choice(POINTS)
        for process in self.world.workers:
            process.dies_at = (point, 0)
        self.plan_event(self.world.now + timedelta(hours=20), self.all_processes_are_well)

    def a_worker_commit_fails(self) -> None:
        kinds = ("before connection", "after connection", "before death", "after death")
        self.random.choice(self.world.workers).commit_fault = self.random.choice(kinds)

    def workers_go_down(self) -> None:
        if self._down_since is not None:
            return
        self._down_since = self.world.now
        self.lived.figures["outages of the workers"] += 1

        def come_back() -> None:
            self.oracle.outages.append((self._down_since, self.world.now))
            self._down_since = None

        self.plan_event(self.world.now + timedelta(hours=self.random.choice((1, 4, 10, 22))), come_back)

    def web_goes_down(self) -> None:
        self.world.stop_web()
        self.lived.figures["outages of the web"] += 1
        self.plan_event(self.world.now + timedelta(hours=self.random.choice((0.5, 3, 12))), self.world.start_web)

    def mend(self) -> None:
        """Recover at the end, so that everything in progress ends."""
        if self._down_since is not None:
            self.oracle.outages.append((self._down_since, self.world.now))
            self._down_since = None
        self._events = []
        self.fair_weather()
        self.all_processes_are_well()
        self.world.start_web()
        self.world.twilio.refusing_until = None
        self.close_crises()

    # The judgement

    def judge(self) -> None:
        """The oracle's verdict, as figures, broken promises and details."""
        world, oracle, lived = self.world, self.oracle, self.lived
        promises = world.promises
        for ask in (promises.check_whole,):
            try:
                ask()
            except Broken as broken:
                lived.broken.append(str(broken))
        self._hear_of_bad_numbers()
        oracle.took(world.twilio.created())
        oracle.judge_texts()
        verdicts = oracle.judge_visits(self._rows_by_reader(), self.ends_at)
        figures = lived.figures
        for one in verdicts:
            group = "standard" if one.standard and not one.shared else "shared" if one.standard else "low caps"
            figures[f"eligible: {group}"] += 1
            figures[f"{group}: {one.how}"] += 1
            if one.how in {"untrue", "no row"}:
                lived.broken.append(f"{one.label}: {one.how}: {one.why}")
            elif one.how == "true":
                figures[f"true reason: {one.why}"] += 1
            if self.asked.show is not None and self.asked.show in one.label:
                lived.details += self._detail(one)
        for what, which in oracle.problems:
            figures[f"problem: {what}"] += 1
            lived.broken.append(f"{what}: {which}")
        for where, error in world.errors:
            figures[f"stopped: {where}"] += 1
            lived.broken.append(f"{where} was stopped by {error}")
        figures["texts"] = len(oracle.told)
        figures["reminders"] = sum(1 for one in oracle.told.values() if one.class_ == "reminder" and one.taken)
        figures["patient-days"] = self.asked.patients * self.asked.days
        figures["visits"] = len(verdicts)

    def _hear_of_bad_numbers(self) -> None:
        """Twilio's codes about numbers, from our attempts."""
        codes = ",".join(map(str, sorted(NUMBER_CODES)))
        rows = self.world.disk.look(
            "SELECT n.fingerprint, a.started_at FROM attempts a JOIN numbers n ON n.id = a.number_id"
            f" WHERE a.error_code IN ({codes}) ORDER BY a.started_at"
        )
        for print_, at in rows:
            phone = self.world.phone_of(print_)
            if not self.oracle.bad[phone].at(self.world.disk.instant(at)):
                self.oracle.bad[phone].becomes(True, self.world.disk.instant(at))

    def _rows_by_reader(self) -> Callable[[str, str, set[tuple[str, str, str]]], list[tuple]]:
        disk = self.world.disk
        items: dict[int, set[tuple[str, str, str]]] = {}
        for text, *name in disk.look(
            "SELECT i.text_id, plans.ref, s.key, p.recurrence_id FROM text_items i"
            " JOIN appointments p ON p.id = i.appointment_id JOIN series s ON s.id = p.series_id"
            " JOIN plans ON plans.id = s.plan_id"
        ):
            items.setdefault(text, set()).add(tuple(name))
        of_reader: dict[tuple[str, str], list[tuple]] = {}
        for patient, reader, *row in disk.look(
            "SELECT p.ref, r.key, t.id, t.key, t.state, t.reason, t.opens_at, t.closes_at, t.due_at, t.attempts"
            " FROM texts t JOIN recipients r ON r.id = t.recipient_id JOIN patients p ON p.id = r.patient_id"
            " WHERE t.class = 'reminder' ORDER BY t.opens_at"
        ):
            row[4:7] = [disk.instant(value).astimezone(UTC) for value in row[4:7]]
            of_reader.setdefault((patient, reader), []).append(tuple(row))

        def rows(patient: str, reader: str, about: set[tuple[str, str, str]]) -> list[tuple]:
            theirs = of_reader.get((patient, reader), [])
            return [row for row in theirs if items.get(row[0], set()) & about] if about else theirs

        return rows

    def _detail(self, one: Verdict) -> list[str]:
        """Why a visit had no reminder: the verdict, the rows, the texts, the documents."""
        course = self.oracle.courses[one.plan]
        lines = [f"— {one.label}: {one.how} {one.why}"]
        person = self.oracle.people[course.patient, one.label.split()[-4]]
        lines.append(f"  {person.zone}, agreed {person.consent.at(one.starts_at)}")
        lines += [f"  the plan is {value} from {at:%m-%d %H:%M} UTC" for at, value in course.status.changes()]
        for row in one.rows:
            _, key, state, reason, opens, closes, due, tries = row
            when = f"{wall_of(opens, person.zone):%m-%d %H:%M}…{wall_of(closes, person.zone):%m-%d %H:%M}"
            at = f"due {wall_of(due, person.zone):%m-%d %H:%M}"
            lines.append(f"  row {key}: {state} {reason or ''} {when}, {at}, {tries} tries")
        near = timedelta(days=7)
        phones = {person.phone.at(one.starts_at - near), person.phone.at(one.starts_at)}
        for told in self.oracle.told.values():
            if told.to in phones and one.starts_at - near < told.at < one.starts_at + timedelta(hours=1):
                taken = "taken" if told.taken else "not taken"
                lines.append(f"  text {wall_of(told.at, person.zone):%m-%d %H:%M} {told.class_} {told.key} ({taken})")
        lines += [f"  {line}" for line in self.world.trace if one.plan in line and "  [" not in line]
        for at, document in course.documents:
            told = [f"    series {series}" for series in document["series"]]
            lines += [f"  document of {at:%m-%d %H:%M} UTC: plan {document['plan']}", *told]
        return lines


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:120]}"


def _next(today: date, days) -> date:
    """The first day after `today` that is one of these weekdays."""
    return next(day for step in range(1, 8) if WEEKDAYS[(day := today + timedelta(days=step)).weekday()] in days)


def _at(chosen: Random) -> time:
    return time.fromisoformat(chosen.choice(TIMES))


_COLUMNS = ("reminded", "notice", "true", "untrue", "no row", "outage", "fault")


def table(totals: Counter) -> str:
    """The figures of some clinics, as a table; a visit told by a notice counts as reminded."""
    lines = [f"{'':10}{'eligible':>9}{'share':>8}" + "".join(f"{how:>9}" for how in _COLUMNS)]
    for group in ("standard", "shared", "low caps"):
        eligible = totals[f"eligible: {group}"]
        shown = f"{_share(totals, group):.1%}" if eligible else "-"
        lines.append(
            f"{group:10}{eligible:>9}{shown:>8}" + "".join(f"{totals[f'{group}: {how}']:>9}" for how in _COLUMNS)
        )
    for start in ("problem: ", "stopped: ", "true reason: ", "edit: ", "desk: "):
        found = sorted((name.removeprefix(start), many) for name, many in totals.items() if name.startswith(start))
        if found:
            lines.append(start + ", ".join(f"{name} {many}" for name, many in found))
    weeks = totals["patient-days"] / 7 or 1
    lines.append(
        f"texts {totals['texts']}, reminders {totals['reminders']},"
        f" {totals['reminders'] / weeks:.1f} a patient and week;"
        f" outages: {totals['outages of the workers']} of the workers, {totals['outages of the web']} of the web"
    )
    return "\n".join(lines)


def _share(totals: Counter, group: str) -> float:
    """The share of eligible visits reminded, except those during an outage of the workers."""
    blamed = totals[f"eligible: {group}"] - totals[f"{group}: outage"] - totals[f"{group}: fault"]
    told = totals[f"{group}: reminded"] + totals[f"{group}: notice"]
    return told / blamed if blamed else 1.0


def kept(totals: Counter) -> bool:
    """Whether enough visits were reminded at the standard caps."""
    return _share(totals, "standard") >= PROMISED_SHARE
