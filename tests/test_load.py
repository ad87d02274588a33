"""How much work the service makes: a site with 40 discharges a month and one coordinator, day by day, through the real
services. `make load` plays sixty days four times over and prints the table of docs/tasks.md; the test three weeks.

Nothing here waits for a network: claimed texts get answers and receipts at once, and replies of pretend patients are
processed as from a webhook. Chance comes from one seed, so that a run can be repeated.
"""

import functools
import heapq
import itertools
import operator
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from statistics import mean, quantiles

import pytest
import sqlalchemy as sa
from conftest import NOW, _migrated, open_context, working
from oncall import SENDER

from reminders import plans, queries, store, task_kinds
from reminders.plans import read
from reminders.service import AppContext, planning, tasks
from reminders.service.planning import attendance, watch
from reminders.service.replies import inbound
from reminders.service.sending import final_check, outcomes, recording
from reminders.sms import InboundText
from reminders.sms.receipts import Receipt
from reminders.store.database import schema
from reminders.store.sending.answers import Answered
from reminders.store.sending.claims import Started

ZONE = "America/New_York"
PER_MONTH = 40
BEFORE = 60  # days of discharges before the first day: plans run for months
WARM_UP = 7
SOON = timedelta(hours=2)
BOUND = 15
STEP = timedelta(minutes=30)
PROGRAMS = {  # what they leave with, by weight
    "matrix-iop": 3,
    "iop": 1,
    "weekly-cbt": 4,
    "weekly-outpatient": 4,
    "relapse-prevention": 3,
    "telephone-continuing-care": 4,
    "monthly-aftercare": 3,
}
CONFIRM = ("C", "c", "yes", "Confirm", "ok", "C thanks", "si", "confirmo")
CHANGE = ("R", "can't make it", "can we do another day", "no puedo ir")
CHATTER = ("what is the address again", "my car broke down last week", "tell her i said hello", "which door")
SLIP = ("i used last night", "i drank yesterday", "recai anoche")
NO_MORE = ("STOP", "STOP", "stop", "please don't text me any more")


@dataclass
class Person:
    """One invented patient, and their fate by chance."""

    number: int
    discharged: date
    program: str
    spanish: bool
    verifies: bool
    bad: bool
    wrong: bool
    stops_at: datetime | None
    slips_at: datetime | None
    verified: bool = False
    phones: int = 0

    @property
    def phone(self) -> str:
        # More phones than the fictional block has: these are used only in this database.
        return f"+1202555{self.number + 1000 * (2 + self.phones):04d}"


@dataclass
class Site:
    """A site at work: its coordinator, its patients, and the service."""

    context: AppContext
    days: int
    random: Random
    people: dict[str, Person] = field(default_factory=dict)
    inbox: list[tuple[datetime, int, str, str]] = field(default_factory=list)
    marked_late: list[tuple[date, str, str, date]] = field(default_factory=list)
    sids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def play(self) -> None:
        """All the days, from seven in the morning to ten at night, each half hour."""
        first = plans.to_wall(NOW, ZONE).date()
        for days_ago in range(BEFORE, 0, -1):
            for _ in range(self._discharges(first - timedelta(days=days_ago))):
                self._discharge(first - timedelta(days=days_ago), _at(first, time(7)))
        self.crisis_at = _at(first + timedelta(days=self.days // 2), time(3))
        for number in range(self.days):
            day = first + timedelta(days=number)
            now = _at(day, time(7))
            if number % 28 == 27:  # in operation it runs all the time; reminders are scheduled for sixty days
                planning.extend(self.context, now)
            leaving = self._discharges(day)
            while now <= _at(day, time(22)):
                wall = plans.to_wall(now, ZONE)
                if wall.time() == time(11):
                    for _ in range(leaving):
                        self._discharge(day, now)
                self._hear(now)
                self._send(now)
                if wall.time() in {time(9), time(11, 30), time(14), time(17), time(20)}:
                    watch.look(self.context, now)
                if wall.time() in {time(12), time(17, 30)}:
                    self._mark(now)
                if wall.minute == 30 and 9 <= wall.hour < 18:
                    self._work(now)
                now += STEP

    # Patients.

    def _discharges(self, day: date) -> int:
        if day.weekday() >= 5:
            return 0
        whole, rest = divmod(PER_MONTH / 21.7, 1)
        return int(whole) + (self.random.random() < rest)

    def _discharge(self, day: date, now: datetime) -> None:
        chance = self.random
        number = len(self.people) + 1
        sometime = now + timedelta(days=chance.uniform(0.2, 60))
        person = Person(
            number=number,
            discharged=day,
            program=chance.choices(list(PROGRAMS), PROGRAMS.values())[0],
            spanish=chance.random() < 0.2,
            verifies=chance.random() < 0.9,
            bad=chance.random() < 0.03,
            wrong=chance.random() < 0.02,
            stops_at=sometime if chance.random() < 0.04 else None,
            slips_at=now + timedelta(days=chance.uniform(0.2, 45)) if chance.random() < 0.06 else None,
            verified=day < plans.to_wall(now, ZONE).date() and chance.random() < 0.95,
        )
        self.people[f"MRN-{number}"] = person
        self._enter(person, now)
        for at, body in ((person.stops_at, NO_MORE), (person.slips_at, SLIP)):
            if at is not None and not person.bad:
                self._says(person, chance.choice(body), at)

    def _enter(self, person: Person, now: datetime) -> None:
        """Enter the plan, or enter it again with later changes."""
        ref = f"MRN-{person.number}"
        program = plans.programs()[person.program]
        hour = f"{9 + person.number % 8:02d}:{(person.number * 5) % 60:02d}"
        # They come on different weekdays, the first time within a week.
        starts_on = person.discharged + timedelta(days=1 + person.number % 5)
        consent = {
            "said": "yes",
            "on": str(person.discharged),
            "how": "signed form",
            "by": "A. Reyes",
            "categories": ["appointments"],
            "warned_of_risk": True,
            "wording": "2026-10",
            "alias_shown": True,
        }
        if person.verified:
            consent["verified"] = "read aloud"
        raw = {
            "plan": {
                "ref": f"DC-{person.number}",
                "discharged_on": str(person.discharged),
                "program": person.program,
                "starts_on": str(starts_on),
                "program_times": {one.key: hour for one in program.open_times({})},
            },
            "patient": {
                "ref": ref,
                "name": f"Invented Person {person.number}",
                "phone": person.phone,
                "language": "es" if person.spanish else "en",
                "zone": ZONE,
            },
            "consent": consent,
        }
        known = replace(self.context.database.read(lambda tx: self.context.known(tx, now)), ours=frozenset())
        planning.accept(self.context, read(raw, known), now, who="load")

    def _says(self, person: Person, body: str, at: datetime) -> None:
        heapq.heappush(self.inbox, (at, next(self.sids), person.phone, body))

    def _hear(self, now: datetime) -> None:
        if self.crisis_at <= now:
            self._says(self.people["MRN-3"], "i want to die", self.crisis_at)
            self.crisis_at = datetime.max.replace(tzinfo=UTC)
        while self.inbox and self.inbox[0][0] <= now:
            at, sid, phone, body = heapq.heappop(self.inbox)
            inbound.take_in(self.context, InboundText(f"SM{sid:032x}", phone, SENDER, body, None), at)

    def _got(self, person: Person, class_: str, wording: str | None, body: str, now: datetime) -> None:
        """What this person does after one of our texts arrived."""
        chance = self.random
        soon = now + timedelta(minutes=chance.expovariate(1 / 40))
        if person.wrong:
            if class_ == "welcome":
                self._says(person, "wrong number", soon)
            return
        if class_ == "welcome":
            if person.verifies:
                self._says(person, chance.choice(("Y", "yes", "y", "Yes")), soon)
        elif class_ == "reminder" or wording == "moved":
            what, asks = chance.random(), "Reply C" in body or "C para confirmar" in body
            if what < (0.70 if asks else 0.05):  # some thank for what asks nothing
                self._says(person, chance.choice(CONFIRM), soon)
            elif what > 0.98:
                self._says(person, chance.choice(CHANGE), soon)
            elif what > 0.96:
                self._says(person, chance.choice(CHATTER), soon)
        elif wording == "missed" and chance.random() < 0.15:
            self._says(person, chance.choice(CHANGE), soon)

    # The network.

    def _send(self, now: datetime) -> None:
        """Send due texts like the worker; the network reports the outcome at once."""
        context = self.context
        by_phone = {person.phone: person for person in self.people.values()}
        while (found := context.database.read(lambda tx: store.queue.scan(tx, now))).opened or found.senders:
            context.database.write(lambda tx: store.queue.mark_ready(tx, now), again=True)
            went: list[tuple[Started, str, str | None]] = []

            def work(tx: store.Transaction, went: list = went) -> int:
                claimed = 0
                for sender in working(tx, now):
                    count, intents, _ = final_check.claim(context, tx, sender, 200, now)
                    claimed += count
                    started = store.claims.start(tx, intents, now, timedelta(seconds=120))
                    went.extend(
                        (one, intent.claimed.class_, intent.claimed.wording)
                        for one, intent in zip(started, intents, strict=True)
                    )
                return claimed

            if not context.database.write(work):
                break
            answers = [
                Answered(
                    one, "accepted", sid=f"SM{next(self.sids):032x}", status="queued", ask_at=now + timedelta(days=1)
                )
                for one, _, _ in went
            ]
            recording.record(context, answers, now)
            for answer, (one, class_, wording) in zip(answers, went, strict=True):
                person = by_phone.get(one.to)
                code = self._fate(person)
                receipt = Receipt("undelivered" if code else "delivered", code, answer.sid or "")
                outcomes.receive(context, one.ref, receipt, {"MessageStatus": receipt.status}, now)
                if person is not None and not code:
                    self._got(person, class_, wording, one.body, now)
        context.database.write(lambda tx: store.outcomes.expire(tx, now), again=True)

    def _fate(self, person: Person | None) -> int:
        """The error code of a text to them; 0: it arrives."""
        if person is not None and person.bad:
            return 30006
        return 30003 if self.random.random() < 0.015 else 0

    # The coordinator.

    def _mark(self, now: datetime) -> None:
        """Mark who came; one visit in fifty is forgotten until the list asks for it."""
        asked = bool(queries.tasks.list_tasks(self.context.database, kind="to_mark"))
        for row in attendance.unmarked(self.context, now):
            if not asked and self.random.random() < 0.02:
                continue
            what = "missed" if self.random.random() < 0.15 else "attended"
            day = datetime.fromisoformat(row.wall).date()
            attendance.mark(self.context, row.plan, row.series, day, now, what=what, who="load")

    def _work(self, now: datetime) -> None:
        """Do what is open for an hour or more."""
        for task in queries.tasks.list_tasks(self.context.database):
            if now - task.opened_at < timedelta(hours=1) or task.kind == "to_mark":
                continue
            outcome = "reached" if task.kind in {"crisis", "slip"} else task_kinds.KINDS[task.kind].outcomes[0]
            tasks.close(self.context, task.id, outcome, now, who="load")
            person = self.people.get(task.patients[0]) if task.patients else None
            if person is None or self.random.random() < 0.3:
                continue  # no one was to be had
            if task.kind == "unverified":
                person.verified = True
                self._enter(person, now)
            elif task.kind in {"number_bad", "wrong_number"}:
                person.bad = person.wrong = False
                person.phones += 1
                person.verified = True
                self._enter(person, now)


def _at(day: date, at: time) -> datetime:
    return plans.to_instant(datetime.combine(day, at), ZONE).astimezone(UTC)


@dataclass
class Load:
    """Tasks opened after the warm-up, by local day and kind, and those that needed no one.

    The latter closed by themselves within `SOON`, before anyone could look: a number's Y came after all.
    """

    days: list[tuple[date, Counter[str]]]
    by_themselves: Counter[str]

    def __add__(self, other: "Load") -> "Load":
        return Load(self.days + other.days, self.by_themselves + other.by_themselves)

    def per_day(self) -> list[int]:
        """How many each working day brought."""
        return [sum(kinds.values()) for day, kinds in self.days if day.weekday() < 5]

    def p95(self) -> float:
        return quantiles(self.per_day(), n=20, method="inclusive")[-1]

    def by_kind(self) -> Counter[str]:
        return sum((kinds for _, kinds in self.days), Counter())

    def table(self) -> str:
        """The table of docs/tasks.md."""
        count, kinds = len(self.days), self.by_kind()
        lines = ["| kind | tasks | a day | closed by themselves |", "|---|---|---|---|"]
        names = sorted(kinds | self.by_themselves, key=lambda kind: -kinds[kind])
        lines += [f"| `{one}` | {kinds[one]} | {kinds[one] / count:.1f} | {self.by_themselves[one]} |" for one in names]
        total, alone = sum(kinds.values()), sum(self.by_themselves.values())
        lines += [f"| all | {total} | {total / count:.1f} | {alone} |", ""]
        working = self.per_day()
        said = (
            f"{count} days, {len(working)} of them working days. A working day brings {mean(working):.1f} tasks in the "
            f"mean, at most {self.p95():.1f} on 95 of 100, and {max(working)} on the worst."
        )
        return "\n".join([*lines, said])


def load_of(context: AppContext, days: int, seed: int) -> Load:
    """Play that many days and count."""
    Site(context, days, Random(seed)).play()
    first = plans.to_wall(NOW, ZONE).date()
    counted = {first + timedelta(days=number): Counter[str]() for number in range(WARM_UP, days)}
    by_themselves: Counter[str] = Counter()
    for row in context.database.read(lambda tx: tx.all(sa.select(schema.tasks))):
        day = plans.to_wall(row.opened_at, ZONE).date()
        if day not in counted:
            continue
        if row.closed_at is not None and row.owner is None and row.closed_at - row.opened_at <= SOON:
            by_themselves[row.kind] += row.kind != "to_mark"  # that list closes when the coordinator has marked
            counted[day][row.kind] += row.kind == "to_mark"
        else:
            counted[day][row.kind] += 1
    return Load(list(counted.items()), by_themselves)


SETTINGS = {"sending__welcome": "true", "site__on_call": '["json://127.0.0.1:9/"]'}


@pytest.mark.long
@pytest.mark.timeout(180)
def test_forty_discharges_a_month_stay_at_or_under_fifteen_tasks_a_day(sqlite_template, tmp_path):
    shutil.copy(sqlite_template, tmp_path / "load.db")
    context = open_context(f"sqlite:///{tmp_path / 'load.db'}", tmp_path, **SETTINGS)
    try:
        load = load_of(context, 14, seed=3)
    finally:
        context.close()
    assert mean(load.per_day()) <= BOUND, load.table()
    assert load.p95() <= BOUND, load.table()
    # And the site was busy.
    assert {"change", "reply", "unverified", "review", "missed", "crisis"} <= load.by_kind().keys(), load.table()


def _main(days: int, seeds: int) -> None:
    loads = []
    for seed in range(1, seeds + 1):
        with tempfile.TemporaryDirectory() as name:
            url = f"sqlite:///{Path(name) / 'load.db'}"
            _migrated(url)
            context = open_context(url, Path(name), **SETTINGS)
            try:
                loads.append(load_of(context, days, seed))
            finally:
                context.close()
    sys.stdout.write(functools.reduce(operator.add, loads).table() + "\n")


if __name__ == "__main__":
    _main(*map(int, sys.argv[1:] or ("60", "4")))
