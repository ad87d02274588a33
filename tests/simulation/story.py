"""What happens in a world: people, faults of the phone network, machines that die, jobs that run; one step at a time.

Each step is drawn from the seed, and the promises are checked after it. At the end everything recovers and two weeks
pass.
"""

import asyncio
import hashlib
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from people import raw
from simulation.disk import Disk
from simulation.promises import Broken, Said
from simulation.world import EXPECTED, JOBS, POINTS, SENDER, World

from reminders import clock, plans, task_kinds
from reminders.plans import Known, to_wall
from reminders.service import planning, tasks
from reminders.service.operations import runs
from reminders.service.people import consents, phone_numbers, reader_case, staff_texts
from reminders.service.planning import attendance, changes
from reminders.service.sending import backlog
from reminders.simulator import Rule

ZONE = "America/New_York"
PEOPLE = (  # reference, phone, zone, name; the first and the last share a phone
    ("MRN-1", "+12025550143", ZONE, "Zephyrine Quillfeather"),
    ("MRN-2", "+13125550102", "America/Chicago", "Ottoline Brackwater"),
    ("MRN-3", "+12025550143", ZONE, "Peregrine Quillfeather"),
)
SISTER = "+12025550177"
STRANGER = "+14155550166"
ANOTHER = "+13125550188"
PHONES = ("+12025550143", "+13125550102", SISTER, STRANGER, ANOTHER)
CANARY = "xylocanary"
HOURS = ("07:30", "10:00", "12:30", "15:00", "19:15", "23:00")
LEADS = (["1d@17:00", "2h"], ["3h"], ["1d"], ["3d@17:00", "90m"], ["2h"])
REPLIES = (
    ("STOP", "STOP", 5),
    (" stop. ", "STOP", 2),
    ("START", "START", 4),
    ("C", "C", 3),
    ("R", "R", 2),
    ("Y", "Y", 2),
    ("HELP", "HELP", 2),
    ("i want to die", "CRISIS", 2),
    ("ya no quiero vivir", "CRISIS", 1),
    ("i used last night", "SLIP", 1),
    ("who is this", "WHO", 1),
    ("wrong number", "WRONG", 1),
    ("please don't text me any more", "PLEASE", 1),
    (f"can i bring my {CANARY} along?", "CHATTER", 2),
    ("ok, in a meeting", "AUTOMATIC", 1),
    ("Thank you for your message. For emergencies call 911.", "AUTOMATIC", 1),
    ("Estoy manejando, te llamo luego", "AUTOMATIC", 1),
    ("Your message could not be delivered.", "AUTOMATIC", 1),
)
TALK = (
    (f"is the {CANARY} open", "CHATTER"),
    ("what time was it again", "CHATTER"),
    ("can you call me", "CHATTER"),
    ("i can't make it", "CHATTER"),
    ("who is this", "WHO"),
    ("i used last night", "SLIP"),
    ("HELP", "HELP"),
    ("i want to die", "CRISIS"),
    ("Thank you for your message. For emergencies call 911.", "AUTOMATIC"),
)
REACTIONS = (
    "Liked “{}”",
    "Disliked “{}”",
    "Questioned “{}”",
    "Removed a heart from “{}”",
    "👍 to “{}”",
    "Le encantó “{}”",
    "Reaccionó con 😢 a “{}”",
)
NUMBER_CODES = (30003, 30005, 30006)
PASSING_CODES = (30008, 30022, 30410, 30500)
WEATHER = (
    {"fault": "error_after_create"},
    {"fault": "error_after_create", "status": 503, "html": True},
    {"fault": "error_before_create"},
    {"fault": "not_json"},
    {"fault": "hang_after_create"},
    {"fault": "close_after_create"},
    {"fault": "reset_after_create"},
    {"fault": "truncated"},
    {"fault": "slow_drip"},
    {"fault": "latency", "seconds": 12},
    {"fault": "latency", "seconds": 40},
    {"fault": "callback_first", "seconds": 2},
    {"fault": "callback_first", "seconds": 45},
    {"fault": "too_many"},
    {"fault": "unauthorized", "times": 1},
    {"fault": "refuse", "code": 21614},
    {"fault": "refuse", "code": 21610},
    {"fault": "refuse", "code": 30001},
    {"fault": "refuse_connection", "seconds": 20},
    {"fault": "stop_first"},
    {"fault": "stop_meanwhile"},
    {"fault": "error_before_create", "on": "list"},
    {"fault": "error_before_create", "on": "fetch"},
    {"fault": "refuse_page", "status": 503},
    *({"error_code": code} for code in (*NUMBER_CODES, *PASSING_CODES)),
    {"outcome": "silent"},
    {"error_code": 30008, "then": "delivered", "then_after": 30},
    {"outcome": "delivered", "then": "undelivered", "then_after": 5},
    {"disorder": "swapped"},
    {"disorder": "late", "seconds": 600, "about": "sent"},
    {"disorder": "late", "seconds": 7200, "about": "delivered"},
    {"disorder": "dropped"},
    {"disorder": "dropped", "about": "received"},
    {"disorder": "doubled", "copies": 2},
    {"disorder": "unknown_sid"},
    {"disorder": "bad_signature"},
    {"disorder": "no_signature"},
)
FIRST_WEATHER = (
    {"fault": "refuse", "code": 30001},
    {"fault": "too_many"},
    {"fault": "error_before_create"},
    {"fault": "refuse", "code": 21614},
)
THEN_WEATHER = ({"fault": "hang_after_create"}, {"fault": "latency", "seconds": 25}, {"fault": "close_after_create"})
COMMITS = ("before connection", "after connection", "before disk", "after disk", "before death", "after death")
STEPS = (
    ("some_seconds", 8),
    ("some_minutes", 8),
    ("to_the_next", 16),
    ("some_hours", 5),
    ("a_day", 2),
    ("the_clock_jumps", 2),
    ("a_job", 24),
    ("the_service_runs", 10),
    ("a_plan", 8),
    ("another_identity", 4),
    ("a_status", 3),
    ("a_session", 4),
    ("a_reply", 12),
    ("a_reaction", 5),
    ("a_talk", 3),
    ("staff", 4),
    ("somebody_came", 3),
    ("a_life_changes", 4),
    ("weather", 12),
    ("nobody_tells", 6),
    ("a_stop_crosses", 3),
    ("fair_weather", 3),
    ("a_crash", 9),
    ("a_commit_fails", 5),
    ("a_kill", 4),
    ("a_worker_hangs", 5),
    ("the_web_stops", 2),
    ("the_database_is_away", 2),
    ("it_gets_slow", 3),
)
MOST_TICKS = 400


@dataclass
class Outcome:
    """The result of one seed: its counts and its trace; with a `problem`, the broken promise and the step."""

    seed: int
    counts: Counter = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    problem: str | None = None
    step: int = 0

    @property
    def digest(self) -> str:
        """The same for the same seed, always."""
        return hashlib.sha256("\n".join(self.trace).encode()).hexdigest()


def run(seed: int, disk: Disk) -> Outcome:
    """Run one seed's world."""
    world = World(seed, disk)
    outcome = Outcome(seed, world.counts, world.trace)
    asyncio.set_event_loop(world.loop)
    try:
        _live(Story(world), outcome)
    except Broken as broken:
        outcome.problem = str(broken)
    except EXPECTED as error:
        outcome.problem = f"the simulation itself: {type(error).__name__}"
    finally:
        world.close()
        asyncio.set_event_loop(None)
    return outcome


def _live(story: "Story", outcome: Outcome) -> None:
    steps = story.random.randint(5, 15)
    story.begin()
    for outcome.step in range(1, steps + 1):
        story.step()
        story.world.promises.check()
    outcome.step = steps + 1
    story.end()


class Story:
    """The events of a world, from the seed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.random = world.random
        self.plans: dict[str, dict] = {}
        self.dates: set[tuple[str, date]] = set()
        prints = world.desk.context.database.read(lambda tx: {tx.fingerprint(phone): phone for phone in PHONES})
        world.phone_of = lambda print_: prints.get(bytes(print_))
        world.secrets = lambda: [
            *(name for _, _, _, person in PEOPLE for name in person.split()),
            *(phone[2:] for phone in PHONES),
            CANARY,
        ]
        world.may_hide = False
        self.is_ending = False
        self.watched_at = world.began  # when the watch last looked, by the service's clock

    def begin(self) -> None:
        """Start the service, and give someone a plan."""
        self.finish_a_job("plan")
        self.finish_a_job("poll")
        self.a_plan(PEOPLE[0])
        self.a_plan(self.random.choice(PEOPLE[1:]))

    def step(self) -> None:
        """Take one step."""
        names, weights = zip(*STEPS, strict=True)
        name = self.random.choices(names, weights)[0]
        self.world.said(f"— {name.replace('_', ' ')}")
        getattr(self, name)()

    # Time

    def wait(self, seconds: float) -> None:
        self.world.loop.pass_time(seconds)

    def some_seconds(self) -> None:
        self.wait(self.random.choice((1, 5, 20, 31, 45, 90)))

    def some_minutes(self) -> None:
        self.wait(60 * self.random.choice((2, 5, 6, 11, 16, 35, 61)))

    def some_hours(self) -> None:
        self.wait(3600 * self.random.choice((2, 5, 9)))

    def a_day(self) -> None:
        self.wait(3600 * self.random.choice((20, 25, 40)))

    def to_the_next(self) -> None:
        """Move to the next due event, or a little later; begin due work without waiting for it."""
        if (at := min(self.agenda().values(), default=None)) is not None:
            self.wait(max(0.0, (at - clock.now()).total_seconds()) + self.random.choice((0, 0, 1, 40, 1500)))
        self.a_job("send")

    def agenda(self) -> dict[str, datetime]:
        """When each job has something to do next, by the service's clock."""
        disk = self.world.disk
        (send, closes, lease, look, ask, page, escalates, rests, missed), *_ = disk.look(
            "SELECT (SELECT MIN(due_at) FROM texts WHERE state = 'scheduled' AND held IS NULL),"
            " (SELECT MIN(closes_at) FROM texts WHERE state = 'scheduled'),"
            " (SELECT MIN(leased_until) FROM texts WHERE state = 'sending'),"
            " (SELECT MIN(look_at) FROM attempts), (SELECT MIN(ask_at) FROM attempts),"
            " (SELECT MIN(due_at) FROM pages WHERE accepted_at IS NULL AND dropped_at IS NULL),"
            " (SELECT MIN(escalates_at) FROM tasks WHERE closed_at IS NULL),"
            " (SELECT MIN(stopped_until) FROM senders),"
            " (SELECT MIN(closes_at) FROM texts"
            " WHERE state IN ('uncertain', 'expired', 'undelivered') AND closes_at >= ?)",
            disk.stored(self.watched_at),
        )
        found: dict[str, datetime] = {}
        for job, value in (("send", send), ("settle", closes), ("settle", lease), ("settle", look)):
            if value is not None:
                found[job] = min(disk.instant(value), found.get(job, disk.instant(value)))
        for job, value in (("ask", ask), ("page", page), ("page", escalates), ("watch", missed)):
            if value is not None:
                found[job] = min(disk.instant(value), found.get(job, disk.instant(value)))
        if "send" in found and rests is not None:
            found["send"] = max(found["send"], disk.instant(rests))
        return found

    def the_clock_jumps(self) -> None:
        minutes = self.random.choice((-10, -3, -1, 1, 3, 10, 61))
        self.world.skew += timedelta(minutes=minutes)
        self.world.may_hide = self.world.may_hide or minutes > 0
        self.world.went_back += timedelta(minutes=max(0, -minutes))
        self.world.said(f"the clock jumps by {minutes} minutes")
        self.world.counts["fault: the clock jumps"] += 1

    # The service

    def a_job(self, name: str | None = None) -> None:
        """Let a worker begin a job, while others continue theirs."""
        weights = (12, 6, 3, 1, 4, 3, 1)
        name = name or self.random.choices(JOBS, weights)[0]
        worker = self.random.choice(self.world.workers)
        self.world.said(f"{worker.name}: {name}")
        worker.begin(worker.job(name))
        self.wait(self.random.choice((0.0, 0.005, 0.03, 0.3, 3)))

    def the_service_runs(self, seconds: float | None = None) -> None:
        """Run everything, with all jobs, for some time."""
        self.world.start_web()
        self.all_processes_are_well()
        began = self.world.now
        self.run_for(seconds or self.random.choice((120, 600, 3600, 20_000)))
        self.world.promises.check_running(began)

    def all_processes_are_well(self) -> None:
        self.world.disk.is_away = False
        for process in self.world.processes():
            process.dies_at = process.commit_fault = None

    def run_for(self, seconds: float) -> None:
        """Run all jobs until then, each only when it has something to do."""
        world, ends = self.world, self.world.now + timedelta(seconds=seconds)
        for tick in range(MOST_TICKS):
            now = clock.now()
            due = {job for job, at in self.agenda().items() if at <= now}
            over = world.now >= ends
            for job in JOBS:
                anyway = (tick == 0 and self.random.random() < 0.3) or (tick % 30 == 29 and job in {"watch", "plan"})
                unheard = job == "poll" and self.is_unheard()
                if job in due or anyway or unheard or (over and job in {"watch", "poll"}):
                    self.finish_a_job(job)
            self.acknowledge()
            left = (ends - world.now).total_seconds()
            if left <= 0:
                return
            ahead = min(self.agenda().values(), default=None)
            wait = left if ahead is None else max(5.0, (ahead - clock.now()).total_seconds() + 1)
            self.wait(min(left, wait))
            runs.succeeded(world.desk.context, "send")  # as the scans that found nothing meanwhile
        raise Broken("the service comes to rest", f"{MOST_TICKS} rounds within {seconds:g} s")

    def finish_a_job(self, job: str) -> None:
        """Let a worker do a job, and wait for its end."""
        worker = self.random.choice(self.world.workers)
        if job == "watch":
            self.watched_at = clock.now()
        if not self.world.loop.finish(worker.begin(worker.job(job)), 300):
            self.world.promises.check()  # an endless loop may have broken a promise first
            raise Broken("no job hangs", f"{job} of {worker.name}")
        if self.world.loop.broken:
            self.world.promises.check()

    def is_unheard(self) -> bool:
        """Whether a phone sent a text that we have not acknowledged."""
        said = self.world.promises.said.values()
        return any(not one.is_acknowledged and self.world.polled_at <= one.until_listed for one in said)

    def acknowledge(self) -> None:
        """Let someone on call take the urgent tasks, some time after the page."""
        disk = self.world.disk
        since = disk.stored(clock.now() - timedelta(minutes=self.random.choice((3, 20, 50))))
        for (number,) in disk.look(
            "SELECT id FROM tasks WHERE closed_at IS NULL AND escalates_at IS NOT NULL AND rung_at < ?", since
        ):
            self.person(lambda number=number: tasks.take(self.world.desk.context, number, clock.now(), who="on call"))
            if self.is_ending:
                self.close_crises()

    def close_crises(self) -> None:
        """Reach everyone who may have been in danger."""
        context = self.world.desk.context
        for (number,) in self.world.disk.look("SELECT id FROM tasks WHERE closed_at IS NULL AND kind = 'crisis'"):
            self.person(lambda number=number: tasks.close(context, number, "reached", clock.now(), who="on call"))

    # People

    def person(self, what):
        """Do something at a desk; returns the result, None if the database was unavailable or the process died."""
        desk = self.world.desk
        found = []

        async def do() -> None:  # ruff: ignore[unused-async]  so that it belongs to the desk's process
            try:
                found.append(what())
            except EXPECTED as error:
                self.world.said(f"the desk was told: {type(error).__name__}")
            except (ValueError, LookupError, plans.PlanRefused) as refusal:
                self.world.said(f"the desk was refused: {refusal}")

        self.world.loop.finish(desk.begin(do()), 60)
        return found[0] if found else None

    def a_plan(self, who: tuple | None = None) -> None:
        """Accept a plan, or edit one."""
        chosen = self.random
        ref, phone, zone, name = who or chosen.choice(PEOPLE)
        today = to_wall(clock.now(), zone).date()
        series = []
        for key in ("a", "b")[: chosen.choice((1, 1, 2))]:
            day = today + timedelta(days=chosen.choice((0, 1, 1, 2, 3, 5)))
            one = {
                "key": key,
                "kind": chosen.choice(("therapy_individual", "psychiatry", "support_meeting")),
                "starts": f"{day}T{chosen.choice(HOURS)}:00",
                "leads": chosen.choice(LEADS),
            }
            if key == "b":
                one |= {"session": "oak-group", "kind": "therapy_group", "starts": f"{day}T16:30:00"}
                if chosen.random() < 0.4:
                    one["repeats"] = f"FREQ=DAILY;COUNT={chosen.choice((2, 3))}"
                self.dates.add(("oak-group", day))
            series.append(one)
        digest = chosen.random() < 0.2
        if digest and chosen.random() < 0.6:  # a week with enough in it for a digest
            series[0] |= {"repeats": "FREQ=DAILY;COUNT=8"}
        said = {
            "plan": {"ref": f"P-{ref}", "discharged_on": today.isoformat()},
            "patient": {
                "ref": ref,
                "name": name,
                "phone": phone,
                "zone": zone,
                "language": chosen.choice(("en", "es")),
                "weekly_digest": digest,
            },
            "consent": {"on": (today - timedelta(days=1)).isoformat()},
            "series": series,
        }
        if chosen.random() < 0.12:
            said["consent"] |= {"said": "no", "on": today.isoformat()}
        if chosen.random() < 0.3:
            said["recipients"] = [self._sister(today)]
            for one in series:
                one["for"] = ["self", "sister"]
        self._read_and_accept(ref, said)

    def another_identity(self) -> None:
        """Import a plan's file again with the same visits under another identity: nothing changes."""
        if not self.plans:
            return
        chosen = self.random
        ref = chosen.choice(sorted(self.plans))
        said = deepcopy(self.plans[ref])
        one = chosen.choice(said["series"])
        day = date.fromisoformat(one["starts"][:10])
        match chosen.choice(("weekly", "one-off", "another key", "another key and time", "another weekday")):
            case "weekly" if "repeats" not in one:
                one["repeats"] = "FREQ=WEEKLY;COUNT=2"
            case "one-off" if "repeats" in one:
                del one["repeats"]
            case "another weekday":
                one["starts"] = f"{day + timedelta(days=1)}{one['starts'][10:]}"
            case "another key and time":
                one["starts"] = f"{day}T{chosen.choice(HOURS)}:00"
                one["key"] += "x"
            case _:
                one["key"] += "x"
        self._read_and_accept(ref, said)

    def _read_and_accept(self, ref: str, said: dict) -> None:
        known = Known(
            today=to_wall(clock.now(), ZONE).date(),
            languages=frozenset({"en", "es"}),
            zone=ZONE,
            site="main",
            sites=frozenset({"main"}),
            fictional_numbers=True,
        )
        try:
            document = plans.read(raw(**said), known)
        except plans.PlanRefused as refused:
            self.world.said(f"the plan is refused: {refused}")
            return
        if self._accept(ref, document):
            self.plans[ref] = said

    @staticmethod
    def _sister(today: date) -> dict:
        agreed = {"said": "yes", "on": (today - timedelta(days=1)).isoformat(), "how": "signed form", "by": "A. Reyes"}
        return {
            "key": "sister",
            "role": "supporter",
            "phone": SISTER,
            "zone": ZONE,
            "language": "es",
            "part2_consent_on": (today - timedelta(days=1)).isoformat(),
            "consent": agreed | {"categories": ["family"], "warned_of_risk": True, "verified": "read aloud"},
        }

    def _accept(self, ref, document) -> bool:
        def accept():
            return planning.accept(self.world.desk.context, document, clock.now(), who="the desk")

        done = self.person(accept)
        if done is None:
            return False
        self.world.said(
            f"the plan of {ref}: {done.texts.added} added, {done.texts.moved} moved, {done.texts.retracted} off"
        )
        self.world.promises.confirmed.add(document.plan.ref)
        again = self.person(accept)
        if again is not None and again.changed:
            raise Broken("INV1 the same plan twice is one plan", ref)
        return True

    def a_status(self) -> None:
        ref, *_ = self.random.choice(PEOPLE)
        status = self.random.choice(("paused", "active", "active", "ended"))
        why = self.random.choice(("completed", "left", "readmitted", "died")) if status == "ended" else None
        if status == "ended" and self.random.random() < 0.6:
            return
        self.world.said(f"the plan of {ref} is {status} {why or ''}")
        context = self.world.desk.context
        self.person(
            lambda: changes.set_plan_status(context, f"P-{ref}", status, clock.now(), who="the desk", because=why)
        )

    def a_session(self) -> None:
        if not self.dates:
            return
        key, day = self.random.choice(sorted(self.dates))
        to = None
        if self.random.random() < 0.7:
            on = day + timedelta(days=self.random.choice((0, 0, 1, 2)))
            to = datetime.fromisoformat(f"{on}T{self.random.choice(HOURS)}:00")
            self.dates.add((key, on))
        self.world.said(f"the session of {day} is {'called off' if to is None else f'moved to {to}'}")
        context = self.world.desk.context
        done = self.person(lambda: changes.change_session(context, key, day, clock.now(), who="the desk", to=to))
        self.world.said(f"that was {done}")

    def a_reply(self, sort: str | None = None) -> None:
        chosen = self.random
        phone = chosen.choice(PHONES[:1] * 3 + PHONES[1:2] * 2 + PHONES)
        body, sort, _ = chosen.choices(REPLIES, [weight for *_, weight in REPLIES])[0]
        world = self.world
        self.text(phone, body, sort)
        if chosen.random() < 0.3:  # workers scan while the web process is about to send the answer itself
            for _ in range(5):
                self.wait(chosen.uniform(0.01, 0.03))
                worker = chosen.choice(world.workers)
                worker.begin(worker.job("send"))
        self.wait(chosen.choice((0, 0.05, 0.5, 10)))

    def a_talk(self) -> None:
        """Text again and again from one phone within the hour, in the same words or others, while it is answered."""
        chosen = self.random
        phone = chosen.choice(PHONES)
        for _ in range(chosen.choice((3, 4, 6))):
            self.text(phone, *chosen.choice(TALK))
            self.wait(chosen.choice((1, 30, 300)))
            self.a_job("send")

    def a_reaction(self) -> None:
        """React to a text on a phone: the reply quotes ours, in full or shortened (field report 1)."""
        chosen, phones = self.random, self.world.twilio.phones
        showing = [phone for phone in PHONES if phones.get(phone)]
        if not showing:
            return
        phone = chosen.choice(showing)
        body = chosen.choice(phones[phone]).body
        quoted = body if chosen.random() < 0.6 else body[: len(body) // 2] + "…"
        self.text(phone, chosen.choice(REACTIONS).format(quoted), "REACTION")

    def somebody_came(self) -> None:
        """Mark who came to a visit."""
        ref, *_ = self.random.choice(PEOPLE)
        key, day = self.random.choice(("a", "b")), to_wall(clock.now(), ZONE).date()
        what = self.random.choice(attendance.MARKS)
        on = None if key == "a" else day - timedelta(days=self.random.choice((0, 1)))
        self.world.said(f"{key} of {ref} is marked {what}")
        context = self.world.desk.context
        self.person(lambda: attendance.mark(context, f"P-{ref}", key, on, clock.now(), what=what, who="the desk"))

    def a_life_changes(self) -> None:
        """A new phone, an opt-out by voicemail, a wrong number, a verified number, or a text typed by staff."""
        ref, *_ = self.random.choice(PEOPLE)
        whom, context, now = reader_case.Whom(ref), self.world.desk.context, clock.now()
        what = self.random.choice(("new phone", "old phone", "voicemail", "wrong", "not wrong", "verify", "say", "say"))
        self.world.said(f"{ref}: {what}")
        today = to_wall(now, ZONE).date()
        consent = raw()["consent"] | {"on": today.isoformat()}
        match what:
            case "new phone" | "old phone":
                phone = ANOTHER if what == "new phone" else next(one for of, one, *_ in PEOPLE if of == ref)
                given = self.random.choice((consent, None))
                self.person(
                    lambda: phone_numbers.new_number(context, whom, phone, clock.now(), who="the desk", consent=given)
                )
            case "voicemail":
                self.person(
                    lambda: consents.record_opt_out(
                        context, whom, clock.now(), how="voicemail", received_at=now, by="A. Reyes", who="the desk"
                    )
                )
            case "verify":
                self.person(lambda: phone_numbers.verify(context, whom, "read aloud", clock.now(), who="the desk"))
            case "say":
                words = "Please call us when you have a minute."
                self.person(lambda: staff_texts.say(context, whom, words, clock.now(), who="the desk"))
            case _:
                wrong = what == "wrong"
                self.person(lambda: phone_numbers.mark_wrong(context, whom, clock.now(), who="the desk", wrong=wrong))
        self.wait(self.random.choice((0, 0, 1)))

    def text(self, phone: str, body: str, sort: str) -> None:
        """Text us from a phone."""
        world = self.world
        message = world.twilio.text_from(phone, SENDER, body, world.now)
        world.said(f"a phone texts {sort} ({world.name(message.sid)})")
        world.promises.said[message.sid] = Said(message.sid, phone, body, world.now, sort, message.listed_at)
        world.counts["replies"] += 1
        world.arm()

    def staff(self) -> None:
        """Work on a task of the board."""
        world, context = self.world, self.world.desk.context
        rows = world.disk.look("SELECT id, kind FROM tasks WHERE closed_at IS NULL ORDER BY id")
        if not rows:
            return
        number, kind = self.random.choice(rows)
        world.said(f"the desk works on task {number}, {kind}")
        if kind == "backlog":
            drop = self.random.random() < 0.3
            self.person(lambda: backlog.end(context, clock.now(), drop=drop, who="the desk"))
        elif kind == "held_text" and self.random.random() < 0.5:
            self.person(lambda: tasks.let_text_go(context, number, clock.now(), who="the desk"))
        elif self.random.random() < 0.4:
            self.person(lambda: tasks.take(context, number, clock.now(), who="the desk"))
        else:
            outcome = task_kinds.KINDS[kind].outcomes[0]
            self.person(
                lambda: tasks.close(context, number, outcome, clock.now(), who="the desk", note=f"said {CANARY}")
            )

    # What goes wrong

    def weather(self) -> None:
        chosen = self.random
        for _ in range(chosen.choice((1, 1, 2))):
            said = dict(chosen.choice(WEATHER))
            if "fault" in said and said["fault"] not in {"refuse_connection", "refuse_page"}:
                said.setdefault("times", chosen.choice((1, 1, 2, 5)))
            elif said.get("fault") != "refuse_connection":
                said |= {"times": chosen.choice((1, 2, 6))}
            self.weather_is(said)

    def weather_is(self, said: dict) -> None:
        """Add a rule for the phone network."""
        world = self.world
        name = said.get("fault") or said.get("disorder") or said.get("error_code") or said["outcome"]
        world.said(f"weather: {said}")
        world.counts[f"fault: {name}"] += 1
        world.twilio.add_rule(Rule.parse(said), world.now)

    def nobody_tells(self) -> None:
        """Let Twilio accept a text and lose its answer and receipts, so that only the list has it; or accept none."""
        taken = self.random.random() < 0.6
        faults = (
            ("hang_after_create", "close_after_create", "truncated", "not_json") if taken else ("error_before_create",)
        )
        self.weather_is({"fault": self.random.choice(faults), "times": 1 if taken else 3})
        self.weather_is({"disorder": "dropped", "times": 6})
        self.to_the_next()
        self.wait(self.random.choice((0, 40)))
        if self.random.random() < 0.6:
            self.the_service_runs(None if taken else 5000)

    def a_stop_crosses(self) -> None:
        """Return a text as undelivered, to be tried again, after its reader texted STOP."""
        world = self.world
        self.weather_is({"error_code": self.random.choice(PASSING_CODES), "after": 30, "times": 2})
        before = len(world.twilio.created())
        self.to_the_next()
        self.wait(1)
        made = world.twilio.created()[before:]
        if made:
            self.text(made[-1].to, " stop. ", "STOP")
            self.wait(60)
            if self.random.random() < 0.6:
                self.the_service_runs(3000)

    def fair_weather(self) -> None:
        self.world.twilio.clear_rules()
        self.world.is_slow, self.world.loses_answers = False, 0.0

    def it_gets_slow(self) -> None:
        self.world.is_slow = True
        self.world.loses_answers = self.random.choice((0.0, 0.2))

    def a_crash(self) -> None:
        """Let one of the processes die at a crash point, and begin work that passes it."""
        world, chosen = self.world, self.random
        point = chosen.choice(POINTS)
        after = chosen.choice((0, 0, 0, 1))
        for process in world.processes():
            process.dies_at = (point, after)
        world.said(f"the next to pass {point} dies there")
        if point in {"K0", "K15"}:
            self.a_plan() if point == "K0" else self.a_session()
        elif point in {"K1", "K2", "K3", "K5", "K6", "K7", "K8"}:
            self.to_the_next()
            self.wait(chosen.choice((0, 1, 40)))
        elif point == "K14":
            self.a_reply()
        else:
            self.a_job("ask" if point == "K10" else "settle")

    def a_commit_fails(self) -> None:
        world = self.world
        process = self.random.choice(world.processes())
        process.commit_fault = self.random.choice(COMMITS)
        world.said(f"a COMMIT of {process.name} will fail: {process.commit_fault}")
        if process is world.desk:
            self.a_plan()
        elif process in world.workers:
            self.to_the_next()
        else:
            self.a_reply()

    def a_kill(self) -> None:
        """Kill a worker at any instant of its work."""
        worker = self.random.choice(self.world.workers)
        worker.begin(worker.job(self.random.choice(("send", "send", "settle", "poll"))))
        self.wait(self.random.choice((0.0, 0.01, 0.03, 0.06, 0.1, 1)))
        worker.die("by a kill")

    def a_worker_hangs(self) -> None:
        """Freeze a worker with a call on the wire; it continues long after others have done its work."""
        world, chosen = self.world, self.random
        worker = chosen.choice(world.workers)
        first, then = chosen.choice(FIRST_WEATHER), chosen.choice(THEN_WEATHER)
        world.twilio.add_rule(Rule.parse(first | {"times": 1}), world.now)
        if chosen.random() < 0.6:
            self.weather_is({"disorder": "dropped", "times": 8})
        if (at := self.agenda().get("send")) is not None:
            self.wait(max(0.0, (at - clock.now()).total_seconds()) + 1)
        seconds = chosen.choice((200, 1150, 1300, 1500, 2500))
        if chosen.random() < 0.3:
            worker.will_hang = seconds
        worker.begin(worker.job("send"))
        began = len(world.twilio.created()) + world.twilio.counters["requests"]
        for _ in range(20):
            self.wait(0.005)
            if len(world.twilio.created()) + world.twilio.counters["requests"] != began:
                break
        worker.hangs_until, worker.will_hang = world.loop.seconds + seconds, 0.0
        world.counts["fault: a worker hangs"] += 1
        world.said(f"{worker.name} hangs for {seconds} s; weather: {first}, then {then}")
        others = [one for one in world.workers if one is not worker]
        if not others:
            self.wait(seconds)
            return
        world.twilio.add_rule(Rule.parse(then | {"times": 1, "begins": 60}), world.now)
        while world.loop.seconds < worker.hangs_until - 1:
            other, agenda = chosen.choice(others), self.agenda()
            for job in ("settle", "send"):
                if agenda.get(job, clock.now()) <= clock.now() or chosen.random() < 0.2:
                    other.begin(other.job(job))
                    self.wait(0.4)
            self.wait(min(chosen.choice((5, 60, 120)), max(0.0, worker.hangs_until - world.loop.seconds)))
        self.wait(3)

    def the_web_stops(self) -> None:
        self.world.stop_web()

    def the_database_is_away(self) -> None:
        self.world.disk.is_away = True
        self.world.counts["fault: the database is away"] += 1
        self.a_job()
        if self.random.random() < 0.5:
            self.a_reply()
        self.wait(self.random.choice((1, 30, 200)))
        self.world.disk.is_away = False

    # The end

    def end(self) -> None:
        """Let everything recover, and let two weeks pass."""
        world, disk = self.world, self.world.disk
        self.fair_weather()
        self.all_processes_are_well()
        world.start_web()
        world.twilio.refusing_until = None
        self.wait(60)
        healed_at = clock.now()
        context = world.desk.context
        self.is_ending = True
        self.close_crises()
        if disk.look("SELECT 1 FROM texts WHERE held = 'backlog' LIMIT 1"):
            self.person(lambda: backlog.end(context, clock.now(), drop=False, who="the desk"))
        world.said("— all is well again; two weeks pass")
        began = world.now
        for job in JOBS:
            self.finish_a_job(job)
        self.run_for(1800)
        world.promises.check()
        world.promises.check_running(began)
        self._same_again()
        ahead = disk.look(
            "SELECT id FROM texts WHERE state = 'scheduled' AND held IS NULL AND attempts = 0 AND due_at > ?",
            disk.stored(healed_at),
        )
        self.run_for(14 * 86_400)
        world.promises.check()
        world.promises.check_end(healed_at, {row[0] for row in ahead})

    def _same_again(self) -> None:
        """Check that planning twice changes nothing."""
        context = self.world.desk.context
        self.person(lambda: planning.extend(context, clock.now()))
        before = self.world.disk.look("SELECT id, state, due_at, closes_at, reason FROM texts ORDER BY id")
        self.person(lambda: planning.extend(context, clock.now()))
        if self.world.disk.look("SELECT id, state, due_at, closes_at, reason FROM texts ORDER BY id") != before:
            raise Broken("planning twice is planning once", "rows changed")
