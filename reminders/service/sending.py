"""Sending what is due: claim and write the intent in one transaction, call Twilio with none open, record in batches.

One pass refills the free places on the wire until nothing is due. Database work runs in one executor thread, never on
the event loop; a claim is never more than can be on the wire now, so that a lease always outlives its deadline.
"""

import asyncio
import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from reminders import clock, crash, planner, store, wording
from reminders.service import oncall, tasks
from reminders.service.house import House
from reminders.service.rendering import render, render_unplanned
from reminders.service.replanning import policy_of
from reminders.sms import Accepted, Answer, Gateway, Outgoing, Refused, codes
from reminders.store.answers import Answered
from reminders.store.claims import Claimed, Intent, Started

log = logging.getLogger(__name__)

T = TypeVar("T")

GATHER = 0.005  # seconds to wait for more answers before a batch is recorded
SCAN_AGAIN = 1.0  # seconds for which a scan holds while claims come back full
PACED = 0.2  # seconds until a sender's pace is looked at again
MOST_SKEW = timedelta(seconds=2)  # a worker whose clock is further off the database's does not claim (rule 2)
NO_CONNECTION_REST = 5.0  # seconds; doubled each time in a row, up to LONGEST_REST
FAULT_REST = 60.0
VOLUME_REST = 5.0  # the first back-off after a 429 is at most 10 s (CONTRACT)
LONGEST_REST = 300.0
ASK_AFTER = timedelta(minutes=15)


@dataclass(slots=True)
class Tally:
    """What one pass did (CONTRACT: send)."""

    claimed: int = 0
    accepted: int = 0
    refused: int = 0
    unknown: int = 0
    suppressed: int = 0
    no_connection: int = 0


@dataclass(slots=True)
class _Turn:
    """What a turn at the database did: whether the answers were recorded, how many texts were claimed, which of them go
    now, and whether a sender's pace holds more back. `trouble` came while claiming; `unwritten` says why the answers
    have to wait.
    """

    recorded: bool = False
    claimed: int = 0
    started: list[Started] = field(default_factory=list)
    paced: bool = False
    trouble: Exception | None = None
    unwritten: store.Unavailable | None = None


class Dispatch:
    """One worker's line: takes what is due and hands it to Twilio.

    Database work runs in `executor` (one thread); `scanned` is called there after every successful scan. `stop` ends
    claiming; what is on the wire is finished.
    """

    def __init__(
        self,
        house: House,
        gateway: Gateway,
        executor: Executor,
        stop: threading.Event,
        *,
        scanned: Callable[[], None] = lambda: None,
    ) -> None:
        self._house = house
        self._gateway = gateway
        self._executor = executor
        self._stop = stop
        self._scanned = scanned
        self._on_the_wire: set[asyncio.Task[None]] = set()
        self._unrecorded: list[Answered] = []
        self._senders: list[tuple[int, bool]] = []
        self._scanned_at = 0.0
        self._plenty = False  # the last claim was as large as it could be
        self._wanted = 0
        self._came: asyncio.Future[None] | None = None
        self._broken: Exception | None = None
        self._lease = timedelta(seconds=house.settings.sending.lease_seconds)
        self._deadline = house.settings.twilio.deadline_seconds

    async def drain(self) -> Tally:
        """Send until nothing is due or `stop` is set, and all answers are recorded.

        Raises Unavailable when the database is away and nothing is on the wire any more; answers not yet recorded are
        kept for the next call.
        """
        tally = Tally()
        trouble: Exception | None = None
        while True:
            turn = _Turn()
            free = self._house.settings.twilio.in_flight - len(self._on_the_wire)
            if trouble is not None or self._stop.is_set():
                free = 0
            if self._unrecorded or free > 0:
                turn = await self._in_turn(free, tally)
                trouble = trouble or turn.trouble
                self._put_on_the_wire(turn.started)
            if turn.unwritten is not None:
                # What Twilio said is not lost: it is written as soon as the database is back. Until then nothing is
                # claimed, and should we die the leases bring the texts to the look-up.
                log.warning("answers wait for the database: %d", len(self._unrecorded))
                if not self._on_the_wire:
                    raise turn.unwritten
                await asyncio.sleep(PACED)
            if self._on_the_wire:
                await self._answers(PACED if turn.paced else None)
            elif turn.paced and not self._stop.is_set():
                await asyncio.sleep(PACED)
            elif not self._unrecorded and (trouble is not None or not turn.claimed):
                broken, self._broken = self._broken, None
                if met := trouble or broken:
                    raise met
                return tally

    async def send_these(self, text_ids: Sequence[int]) -> Tally:
        """Send these texts now, out of their turn and past the sender's pace: an answer somebody may need in danger.

        What is not to be had, because a worker has it already, is that worker's. Raises Unavailable.
        """
        tally, begun, now = Tally(), _Turn(), clock.now()
        take = partial(claim_these, self._house, text_ids=text_ids, now=now)
        await self._in_database(partial(self._begin, take, now, tally, begun))
        self._put_on_the_wire(begun.started)
        if self._on_the_wire:
            await asyncio.wait(set(self._on_the_wire))
        if self._unrecorded and (turn := await self._in_turn(0, tally)).unwritten is not None:
            raise turn.unwritten
        return tally

    def _put_on_the_wire(self, started: Sequence[Started]) -> None:
        claimed_at = time.monotonic()
        self._on_the_wire |= {asyncio.create_task(self._send_one(one, claimed_at)) for one in started}

    async def _send_one(self, one: Started, claimed_at: float) -> None:
        try:
            self._unrecorded.append(await self._send(one, claimed_at))
        except Exception as error:  # ruff: ignore[blind-except]  it goes red at the end of the pass
            log.error("attempt %d broke off", one.attempt)  # ruff: ignore[error-instead-of-exception]  its text may be personal
            self._broken = error
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._on_the_wire.discard(task)
            if self._came is not None and self._is_enough(self._wanted) and not self._came.done():
                self._came.set_result(None)

    def _is_enough(self, wanted: int) -> bool:
        return len(self._unrecorded) >= wanted or not self._on_the_wire

    async def _answers(self, patience: float | None) -> None:
        """Wait for answers: for the first until patience ends, then for a batch that is worth its transaction.

        While one half is written down and the next texts are claimed, the other half is on the wire.
        """
        half = max(1, self._house.settings.twilio.in_flight // 2)
        for wanted, seconds in ((1, patience), (half, GATHER)):
            if not self._is_enough(wanted):
                self._wanted, self._came = wanted, asyncio.get_running_loop().create_future()
                await asyncio.wait([self._came], timeout=seconds)
                self._came = None

    async def _in_database(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _record_all(self, batch: Sequence[Answered]) -> None:
        """Record a batch; if one answer cannot be written, the others are, and its lease brings it to the look-up."""
        now = clock.now()
        try:
            record(self._house, batch, now)
        except (store.Unavailable, store.CommitUncertain):
            raise
        except Exception:  # ruff: ignore[blind-except]  found out below, one by one
            for one in batch:
                try:
                    record(self._house, [one], now)
                except store.Unavailable:
                    raise
                except Exception as error:  # ruff: ignore[blind-except]  it goes red at the end of the pass
                    log.error("the answer of attempt %d cannot be written", one.started.attempt)  # ruff: ignore[error-instead-of-exception]  its text may be personal
                    self._broken = error

    async def _in_turn(self, free: int, tally: Tally) -> _Turn:
        """A turn at the database: what came back is recorded, and up to `free` texts are claimed."""
        batch = list(self._unrecorded)
        turn = await self._in_database(partial(self._turn, batch, free, tally))
        if turn.recorded:
            del self._unrecorded[: len(batch)]
            for word, count in store.answers.counts(batch).items():
                setattr(tally, word, getattr(tally, word) + count)
            tally.no_connection += sum(one.what == "no connection" for one in batch)
        return turn

    def _turn(self, batch: list[Answered], free: int, tally: Tally) -> _Turn:
        """In one transaction where nothing is in the way, else apart, so that neither holds up the other."""
        turn = _Turn()
        together = free > 0 and all(one.answer == "accepted" for one in batch)
        if together:
            turn = self._claim(free, batch, tally)
        if batch and not turn.recorded:
            try:
                self._record_all(batch)
            except store.Unavailable as error:
                turn.unwritten, turn.trouble = error, None
                return turn
            if free > 0 and not turn.started and (turn.trouble is not None or not together):
                turn = self._claim(free, [], tally)
            turn.recorded = True
        return turn

    def _claim(self, free: int, batch: list[Answered], tally: Tally) -> _Turn:
        """Claim up to `free` texts; the first transaction that claims any also records the batch."""
        turn, now = _Turn(), clock.now()
        try:
            if self._plenty and time.monotonic() - self._scanned_at < SCAN_AGAIN:
                self._take(free, batch, now, tally, turn)
            if turn.claimed < free:
                self._scan(now)
                self._take(free, batch, now, tally, turn)
            self._plenty = turn.claimed >= free
            self._scanned()
        except Exception as error:  # ruff: ignore[blind-except]  what was begun goes on the wire first
            turn.trouble = error
        return turn

    def _scan(self, now: datetime) -> None:
        """Look which senders have work. While claims come back full, that holds for a moment."""
        database = self._house.database
        self._scanned_at = time.monotonic()
        scan = database.read(lambda tx: store.queue.scan(tx, now))
        if scan.opened:
            database.write(lambda tx: store.queue.mark_ready(tx, now), again=True)
            scan = database.read(lambda tx: store.queue.scan(tx, now))
        self._senders = scan.senders

    def _take(self, free: int, batch: list[Answered], now: datetime, tally: Tally, turn: _Turn) -> None:
        share = max(1, free // max(1, len(self._senders)))  # no sender fills the wire alone while others wait
        for sender, has_no_pace in self._senders:
            room = min(share, free - len(turn.started))
            if room <= 0:
                break
            budget = room if has_no_pace else self._reserve(sender, now, room)
            if budget:
                take = partial(claim, self._house, sender=sender, limit=budget, now=now)
                self._begin(take, now, tally, turn, batch)
            else:
                turn.paced = True

    def _reserve(self, sender: int, now: datetime, room: int) -> int:
        return self._house.database.write(lambda tx: store.queue.reserve(tx, sender, now, room), again=True)

    def _begin(
        self,
        take: Callable[[store.Transaction], tuple[int, list[Intent], int]],
        now: datetime,
        tally: Tally,
        turn: _Turn,
        batch: Sequence[Answered] = (),
    ) -> None:
        """Claim by `take` and write the intents in one transaction; it records the batch too if that is to do yet."""
        begun: list[Started] = []
        records = bool(batch) and not turn.recorded

        def work(tx: store.Transaction) -> tuple[int, int]:
            begun.clear()
            if records:
                _record(self._house, tx, batch, now)
            claimed, intents, suppressed = take(tx)
            crash.point("C2")
            begun.extend(store.claims.start(tx, intents, now, self._lease))
            return claimed, suppressed

        crash.point("C1")
        try:
            claimed, suppressed = self._house.database.write(work)
            turn.recorded = turn.recorded or records
        except store.CommitUncertain:
            # A coin toss (C8): whatever is on record was claimed by us, and nothing else was.
            refs = [one.ref for one in begun]
            known = self._house.database.read(lambda tx: store.claims.which_started(tx, refs))
            begun = [one for one in begun if one.ref in known]
            claimed, suppressed = len(begun), 0
        if records:
            crash.point("C8")
        crash.point("C3")
        tally.claimed += claimed
        tally.suppressed += suppressed
        turn.claimed += claimed
        turn.started += begun

    async def _send(self, one: Started, claimed_at: float) -> Answered:
        # A process that was stopped, or slept with its machine, may hold a lease that is nearly over; what it starts
        # now could still be on the wire when somebody else takes over (C12). Both clocks are asked: one stands still
        # while the machine sleeps, the other can be set. Nothing was sent, and we know it.
        now = clock.now()
        passed = max(time.monotonic() - claimed_at, (now - one.started_at).total_seconds())
        if passed > self._lease.total_seconds() - self._deadline:
            return Answered(one, "refused", what="lease too short", again_at=now)
        left = (one.closes_at - now).total_seconds()
        if left < 1:
            return Answered(one, "refused", what="window shut", again_at=one.closes_at)
        answer = await self._gateway.send(
            Outgoing(to=one.to, body=one.body, ref=one.ref, sender=one.sender, valid_for=int(left))
        )
        return self._answered(one, answer, clock.now())

    def _answered(self, one: Started, answer: Answer, now: datetime) -> Answered:
        if isinstance(answer, Accepted):
            crash.point("C7")
            return Answered(one, "accepted", sid=answer.sid, status=answer.status, ask_at=now + ASK_AFTER)
        if isinstance(answer, Refused):
            crash.point("C6")
            code = codes.look_up(answer.code)
            at_fault = answer.code == 0 or code.class_ in _SENDER_AT_FAULT
            again = now if at_fault else _retry_at(code, one, now)
            return Answered(one, "refused", error_code=answer.code, what=answer.what or None, again_at=again)
        crash.point("C5")
        settle = timedelta(seconds=self._deadline + self._house.settings.sending.settle_seconds)
        return Answered(one, "unknown", what=answer.what, look_at=one.started_at + settle)


_SENDER_AT_FAULT = {"account", "sender", "volume"}


def _retry_at(code: codes.Code, one: Started, now: datetime) -> datetime | None:
    """When a text that was refused may be tried again by itself; None for never."""
    return codes.again_at(code, one.number, now) if code.class_ == "retry" else None


def claim(house: House, tx: store.Transaction, sender: int, limit: int, now: datetime) -> tuple[int, list[Intent], int]:
    """Take up to `limit` due texts of a sender; how many, the intents to send, and how many were suppressed."""
    day = store.queue.day_of(tx, sender, now)
    if day is None:
        return _judged(house, tx, store.claims.claim(tx, sender, limit, now), now)
    claimed, suppressed = 0, 0
    intents: list[Intent] = []
    if day.left:
        taken = store.claims.claim(tx, sender, min(limit, day.left), now)
        claimed, intents, suppressed = _judged(house, tx, taken, now)
    going = _within(day.left, intents)
    if not day.left or len(going) < len(intents):
        if day.is_settled and not going:
            store.queue.end_day(tx, sender, now)
        claimed -= len(intents) - len(going)
    return claimed, going, suppressed


def _within(segments: int, intents: list[Intent]) -> list[Intent]:
    """The first of them that are so many segments; the others stay due."""
    sums = itertools.accumulate(one.segments for one in intents)
    return [one for one, together in zip(intents, sums, strict=True) if together <= segments]


def claim_these(
    house: House, tx: store.Transaction, text_ids: Sequence[int], now: datetime
) -> tuple[int, list[Intent], int]:
    """The same for these texts, out of their turn."""
    return _judged(house, tx, store.claims.claim_these(tx, text_ids, now), now)


def _judged(
    house: House, tx: store.Transaction, taken: tuple[list[Claimed], list[int]], now: datetime
) -> tuple[int, list[Intent], int]:
    due, unreadable = taken
    if unreadable:
        log.error("%d texts are held: their personal data does not open", len(unreadable))
        store.claims.hold_unreadable(tx, unreadable)
    intents, suppressed = judge(house, tx, due, now)
    return len(due) + len(unreadable), intents, suppressed


def judge(house: House, tx: store.Transaction, claimed: Sequence[Claimed], now: datetime) -> tuple[list[Intent], int]:
    """Judge claimed texts once more and render those that go; the intents, and how many were suppressed.

    Fails closed: what cannot be said within the rules is not sent.
    """
    intents: list[Intent] = []
    stopped: dict[str, list[int]] = {}
    waiting: dict[datetime, list[int]] = {}
    going_to: dict[int, int] = {}
    held = [one for one in claimed if one.held]
    policies = {closures: policy_of(house, closures) for closures in {one.closures for one in claimed}}
    for one in claimed:
        if one.held:
            continue
        policy = policies[one.closures]
        # What of this very batch goes to the same number counts too.
        verdict = _verdict(one, policy, (now,) * going_to.get(one.number_id, 0), now)
        if isinstance(verdict, planner.Stop):
            stopped.setdefault(verdict.reason.value, []).append(one.text)
        elif isinstance(verdict, planner.Wait):
            waiting.setdefault(verdict.until, []).append(one.text)
        else:
            try:
                said = _render(one, verdict.visits, policy, now)
            except wording.Unsayable as unsayable:
                stopped.setdefault(unsayable.reason, []).append(one.text)
                continue
            going_to[one.number_id] = going_to.get(one.number_id, 0) + 1
            intents.append(
                Intent(
                    one,
                    body=said.body,
                    template=said.template,
                    language=said.language,
                    segments=said.segments,
                    encoding=said.encoding,
                )
            )
    suppressed = sum(store.claims.suppress(tx, texts, reason) for reason, texts in stopped.items())
    for until, texts in waiting.items():
        store.claims.put_off(tx, texts, until.astimezone(UTC))
    if held:
        store.claims.hold(tx, [one.text for one in held], "crisis")
        for one in held:
            tasks.phone_instead(tx, one, now)
    return intents, suppressed


def _verdict(
    one: Claimed, policy: planner.Policy, also: tuple[datetime, ...], now: datetime
) -> planner.Go | planner.Wait | planner.Stop:
    if one.unplanned is not None:
        return planner.guard_unplanned(one.unplanned, policy, now)
    assert one.due is not None
    return planner.guard(replace(one.due, gone=one.due.gone + also) if also else one.due, policy, now)


def _render(one: Claimed, visits: Sequence[planner.Visit], policy: planner.Policy, now: datetime) -> wording.Rendered:
    if one.unplanned is None:
        return render(
            visits,
            language=one.language,
            alias=one.alias,
            phone=one.site_phone,
            reader_zone=one.reader_zone,
            now=now,
        )
    reader = one.unplanned.reader
    return render_unplanned(
        one.wording,
        typed=one.typed,
        visits=visits,
        was=one.was,
        language=one.language,
        alias=one.alias,
        phone=one.site_phone,
        line24=one.line24,
        per_week=min(policy.per_week, one.per_week or policy.per_week),
        reader_zone=one.reader_zone,
        verified=reader is not None and reader.verified,
        now=now,
    )


def record(house: House, answers: Sequence[Answered], now: datetime) -> None:
    """Write down a batch of answers and do what they ask for. Safe to repeat."""
    house.database.write(lambda tx: _record(house, tx, answers, now), again=True)
    crash.point("C8")


def _record(house: House, tx: store.Transaction, answers: Sequence[Answered], now: datetime) -> None:
    refused = [(one, codes.look_up(one.error_code)) for one in answers if one.answer == "refused" and one.error_code]
    theirs = {one.started.number_id for one, code in refused if code.class_ in {"opted_out", "number"}}
    if theirs:
        store.people.lock_numbers(tx, theirs)  # before any text: the order that everybody keeps
    store.answers.record(tx, answers, now)
    for one, code in refused:
        react_to_number(tx, one.started.number_id, code, now)
    for one, code in refused:
        if code.class_ in _SENDER_AT_FAULT:
            _rest(tx, one, VOLUME_REST if code.class_ == "volume" else FAULT_REST, now)
        if code.class_ in {"sender", "account"}:
            sender_at_fault(house, tx, one.started.sender_id, code, now)
    for one in answers:
        if one.what == "no connection":
            _rest(tx, one, NO_CONNECTION_REST, now)
    if any(one.started.answers_danger and one.answer != "accepted" for one in answers):
        oncall.tell_of_lost_answers(house, tx, now)
    # One that rests since the text was claimed stays so: what is accepted now was on the wire before.
    working = {one.started.sender_id for one in answers if one.answer == "accepted" and one.started.sender_rested}
    if working and store.queue.free_sender(tx, working, now):
        keys = [f"sender_fault:{sender}" for sender in working]
        store.tasks.close_by_key(tx, keys, now, outcome="not_needed", why="texts go out again")


def react_to_number(tx: store.Transaction, number_id: int, code: codes.Code, now: datetime) -> None:
    """What an error code says about the number itself: no more texts to it, whoever it belongs to."""
    if code.class_ == "opted_out":  # 21610: Twilio's list and ours agree (L-12)
        store.people.opt_out(tx, number_id, now)
        store.texts.suppress_queued(tx, number_id, "opted_out")
    elif code.class_ == "number":
        store.people.mark_number(tx, number_id, bad_since=now, bad_code=code.code)
        store.texts.suppress_queued(tx, number_id, "number_bad")


def sender_at_fault(house: House, tx: store.Transaction, sender_id: int, code: codes.Code, now: datetime) -> None:
    """The fault lies with a sender or the account: no patient pays for it. Ops are paged once, until it works again."""
    until = now + timedelta(seconds=FAULT_REST)
    store.queue.stop_sender(tx, sender_id, code=code.code, now=now, until=until)
    task_id, fresh = store.tasks.open_task(
        tx,
        kind="sender_fault",
        key=f"sender_fault:{sender_id}",
        urgency="urgent",
        site_id=store.people.site_of_sender(tx, sender_id).id,
        now=now,
        due_at=now + timedelta(minutes=30),
    )
    if fresh:
        store.tasks.add_event(
            tx, task_id, now, what="stopped", who="the service", detail=f"{code.meaning} (code {code.code})"
        )
        oncall.ring(house, tx, task_id, now)


def _rest(tx: store.Transaction, one: Answered, first: float, now: datetime) -> None:
    """Let the sender rest: no patient's tries are spent on a fault of ours or of the line."""
    rest = min(LONGEST_REST, first * 2 ** min(10, store.queue.stops_of(tx, one.started.sender_id)))
    until = now + timedelta(seconds=rest)
    store.queue.stop_sender(tx, one.started.sender_id, code=one.error_code, now=now, until=until)
