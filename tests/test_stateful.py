"""The services in any order, on one database, with a clock and a Twilio moved by hand; the promises checked after each
step (docs/design.md#the-promise; docs/simulation.md INV1 to INV6).
"""

import asyncio
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import EXAMPLES, NOW, ROOM, begun, open_context
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from people import document, one_off

from reminders import planner, queries, store
from reminders.lifecycle import MOVES, State
from reminders.plans import to_wall
from reminders.queries.texts import LogFilter
from reminders.service import planning, sending
from reminders.service.planning import changes
from reminders.service.replies import inbound
from reminders.service.sending import outcomes, recording
from reminders.sms import Seen
from reminders.sms.receipts import InboundText, Receipt
from reminders.store.database import schema
from reminders.store.sending.answers import Answered

LEASE = timedelta(seconds=120)
ZONE = "America/New_York"
PHONES = {"MRN-1": "+12025550143", "MRN-2": "+12025550102", "MRN-3": "+12025550143"}  # 1 and 3 share a phone
HOURS = ("07:30", "10:00", "12:30", "15:00", "23:00")
RESULTS = ("accepted", "lost", "lost, not taken", "nothing", "21614", "21610", "20429", "died", "died, taken")


class Service(RuleBasedStateMachine):
    """One house, three patients, one worker at a time, and a Twilio played by the rules."""

    template: Path

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="reminders-stateful-", dir=ROOM))
        shutil.copy(self.template, self.folder / "reminders.db")
        self.context = open_context(
            f"sqlite:///{self.folder / 'reminders.db'}", self.folder, twilio__segments_per_second="0"
        )
        self.now = NOW
        self.wire = []  # started, and not answered yet
        self.taken = {}  # sid → (started, when): what Twilio really has
        self.lost = set()  # sids that Twilio reported as not arrived
        self.doubts = {}  # text → how many look-ups did not find it
        self.states = {}
        self.stopped = {}  # phone → since
        self.plans = {}

    def teardown(self):
        self.context.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # The world

    def log(self):
        return self.context.database.read(lambda tx: queries.texts.log(tx, LogFilter(limit=100_000)))

    def rows(self):
        return self.context.database.read(lambda tx: tx.all(sa.select(schema.texts)))

    def take(self, one):
        sid = f"SM{len(self.taken):032x}"
        self.taken[sid] = (one, self.now)
        return sid

    async def find(self, to, *, since):
        return [
            Seen(sid, one.to, one.sender, one.body, "sent", None, at, 1)
            for sid, (one, at) in reversed(self.taken.items())
            if one.to == to and at >= since
        ]

    async def fetch(self, sid):
        one, at = self.taken[sid]
        return Seen(sid, one.to, one.sender, one.body, "sent", None, at, 1)

    # What people do

    @initialize()
    def begin(self):
        self.plan("MRN-1", day=2, hour="10:00", lead=["1d@17:00", "2h"], weekly=False, yes=True)

    @rule(
        patient=st.sampled_from(sorted(PHONES)),
        day=st.integers(0, 9),
        hour=st.sampled_from(HOURS),
        lead=st.sampled_from((["1d@17:00", "2h"], ["3h"], ["1d"], ["3d@17:00", "90m"])),
        weekly=st.booleans(),
        yes=st.sampled_from((True, True, True, False)),
    )
    def plan(self, patient, day, hour, lead, weekly, yes):
        starts = (to_wall(self.now, ZONE).date() + timedelta(days=day)).isoformat() + f"T{hour}:00"
        more = {"repeats": "FREQ=DAILY;COUNT=4"} if weekly else {}
        consent = {"said": "yes"} if yes else {"said": "no", "on": to_wall(self.now, ZONE).date().isoformat()}
        said = (
            document(
                plan={"ref": "P-" + patient},
                patient={"ref": patient, "phone": PHONES[patient]},
                consent=consent,
                series=[one_off("a", starts, leads=lead, **more), one_off("b", starts[:11] + "16:30:00", leads=["2h"])],
            )
            if yes or self.now - NOW < timedelta(hours=9)
            else None
        )
        if said is None:
            return
        first = planning.preview(self.context, said, self.now)
        planning.accept(self.context, said, self.now, who="test")
        again = planning.preview_plan(self.context, "P-" + patient, self.now)
        assert first == again, "what was previewed is what is stored"
        before = self.rows()
        assert not planning.accept(self.context, said, self.now, who="test").changed
        assert self.rows() == before, "importing twice is no import"
        self.plans[patient] = said

    @rule(patient=st.sampled_from(sorted(PHONES)), status=st.sampled_from(("paused", "active")))
    def status(self, patient, status):
        changes.set_plan_status(self.context, "P-" + patient, status, self.now, who="test")

    @rule(phone=st.sampled_from(sorted(set(PHONES.values()))), word=st.sampled_from(("STOP", "START")))
    def reply(self, phone, word):
        sid = f"IN{len(self.stopped):08x}{self.now.timestamp():.3f}".replace(".", "")[:34]
        text = InboundText(sid=sid, sender=phone, to="+15005550006", body=word, opt_out_type=None)
        inbound.take_in(self.context, text, self.now)
        if word == "STOP":
            self.stopped.setdefault(phone, self.now)
            waiting = [t for t in self.rows() if t.state == "scheduled" and self.phone_of(t) == phone]
            assert waiting == [], "STOP leaves nothing in the queue"
        else:
            self.stopped.pop(phone, None)
        self.now += timedelta(milliseconds=7)

    def phone_of(self, text):
        number = self.context.database.read(
            lambda tx: tx.first(sa.select(schema.numbers).where(schema.numbers.c.id == text.number_id))
        )
        return self.context.database.read(lambda tx: store.people.phone_of(tx, number.id, number.phone_sealed))

    # What the worker does

    @rule(limit=st.integers(1, 4))
    def claim(self, limit):
        started = begun(self.context, self.now, limit, LEASE)
        rows = {row.id: row for row in self.rows()}
        quiet = planner.QuietHours(*self.context.settings.sending.quiet_hours)
        for one in started:
            assert one.to not in self.stopped, "nothing is begun after a STOP"
            row = rows[one.text]
            assert row.opens_at <= self.now < row.closes_at, "in its window"
            if row._mapping["class"] == "reminder":  # an answer is sent at any hour, a notice has its own hours
                assert not quiet.cover(to_wall(self.now, ZONE).time()), "not at night"
            # A text that Twilio reported as not arrived may be tried again by its code (sms/codes.toml): that is
            # evidence.
            earlier = [sid for sid, (other, _) in self.taken.items() if other.text == one.text and sid not in self.lost]
            assert not earlier or self.doubts.get(one.text, 0) >= 2, "asked for again without evidence"
        self.wire += started

    @precondition(lambda self: self.wire)
    @rule(result=st.sampled_from(RESULTS), which=st.integers(0, 9), callback_first=st.booleans())
    def answer(self, result, which, callback_first):
        one = self.wire.pop(which % len(self.wire))
        settle_at = one.started_at + timedelta(seconds=330)
        sid = self.take(one) if result in {"accepted", "lost", "died, taken"} else None
        if sid is not None and callback_first:
            self.callback(one, sid, "sent", 0)
        said = {
            "accepted": Answered(one, "accepted", sid=sid, status="queued", ask_at=self.now + sending.ASK_AFTER),
            "lost": Answered(one, "unknown", what="timeout", look_at=settle_at),
            "lost, not taken": Answered(one, "unknown", what="timeout", look_at=settle_at),
            "nothing": Answered(one, "refused", what="no connection", again_at=self.now),
            "21614": Answered(one, "refused", error_code=21614),
            "21610": Answered(one, "refused", error_code=21610),
            "20429": Answered(one, "refused", error_code=20429, again_at=self.now),
        }.get(result)
        if result == "21610":
            self.stopped.setdefault(one.to, self.now)
        if said is not None:
            recording.record(self.context, [said], self.now)
            before = self.rows()
            recording.record(self.context, [said], self.now)
            assert self.rows() == before, "recording twice changes nothing"

    def callback(self, one, sid, status, code):
        form = {"MessageSid": sid, "MessageStatus": status}
        outcomes.receive(self.context, one.ref, Receipt(status, code, sid), form, self.now)

    @precondition(lambda self: self.taken)
    @rule(
        which=st.integers(0, 99),
        end=st.sampled_from((("queued", 0), ("sent", 0), ("delivered", 0), ("undelivered", 30003), ("failed", 30008))),
    )
    def receipt(self, which, end):
        sid = sorted(self.taken)[which % len(self.taken)]
        self.callback(self.taken[sid][0], sid, *end)
        self.lost |= {sid} if end[0] in {"undelivered", "failed"} else set()

    @rule()
    def settle(self):
        looks = self.looks()
        asyncio.run(outcomes.settle(self.context, self, self.now))
        for text, (before, _) in looks.items():
            after = self.looks().get(text, (before, None))[0]
            self.doubts[text] = self.doubts.get(text, 0) + max(0, after - before)

    def looks(self):
        rows = self.context.database.read(lambda tx: tx.all(sa.select(schema.attempts)))
        return {row.text_id: (sum(o.looks for o in rows if o.text_id == row.text_id), row.id) for row in rows}

    @rule()
    def ask(self):
        asyncio.run(outcomes.ask(self.context, self, self.now))

    @rule()
    def extend(self):
        planning.extend(self.context, self.now)

    @rule(minutes=st.sampled_from((1, 3, 10, 35, 90, 240, 600, 1500)))
    def wait(self, minutes):
        self.wait_until(self.now + timedelta(minutes=minutes))

    @rule(late=st.sampled_from((0, 5, 40)))
    def wait_for_the_next_text(self, late):
        due = [row.due_at for row in self.rows() if row.state == "scheduled" and row.due_at > self.now]
        if due:
            self.wait_until(min(due) + timedelta(minutes=late))

    @rule()
    def wait_for_the_next_look(self):
        rows = self.context.database.read(lambda tx: tx.all(sa.select(schema.attempts.c.look_at)))
        ahead = [row.look_at for row in rows if row.look_at is not None and row.look_at > self.now]
        if ahead:
            self.wait_until(min(ahead))

    def wait_until(self, then):
        if then - self.now > LEASE:  # a text on the wire for longer belongs to a dead worker
            self.wire.clear()
        self.now = then

    # The promises

    @invariant()
    def moves_are_legal(self):
        for row in self.rows():
            was = self.states.get(row.id)
            if was is not None and was != row.state:
                assert reachable(State(was), State(row.state)), f"{was} → {row.state}"
            self.states[row.id] = row.state

    @invariant()
    def nobody_is_texted_twice_without_evidence(self):
        seen = {}
        for one, _ in self.taken.values():
            seen[one.text] = seen.get(one.text, 0) + 1
        for text, many in seen.items():
            assert many == 1 or self.doubts.get(text, 0) >= 2

    @invariant()
    def what_was_taken_is_never_shown_as_not_sent(self):
        rows = {row.id: row for row in self.rows()}
        recorded = self.context.database.read(
            lambda tx: tx.all(sa.select(schema.attempts.c.text_id, schema.attempts.c.sid))
        )
        for row in recorded:
            text = rows[row.text_id]
            # A text that did not arrive for a temporary reason is in the queue again, and has the code for which it
            # waits.
            if row.sid is not None and text.waits_code is None:
                assert text.state not in {"suppressed", "cancelled", "expired", "scheduled", "sending"}

    @invariant()
    def nothing_waits_for_nobody(self):
        def look(tx):
            return tx.all(
                sa.select(schema.texts.c.id)
                .join(schema.attempts, schema.attempts.c.text_id == schema.texts.c.id)
                .where(schema.texts.c.state == "sent", schema.texts.c.attempts == schema.attempts.c.number)
                .where(schema.attempts.c.ask_at.is_(None))
            )

        assert self.context.database.read(look) == [], "a sent text that no one will ask after"


def reachable(source, target):
    """Between two checks a text may make several moves."""
    seen, new = set(), {source}
    while new:
        seen |= new
        new = {after for state in new for after in MOVES[state]} - seen
    return target in seen


@pytest.mark.long
def test_any_order_of_everything_keeps_the_promises(sqlite_template):
    Service.template = sqlite_template
    run_state_machine_as_test(
        Service,
        settings=settings(
            max_examples=10 * EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate,),  # shrinking a run with a database takes minutes
        ),
    )


pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
