"""Sending what is due: claim and write the intent in one transaction, call Twilio with none open, record in batches.

One pass refills the free places on the wire until nothing is due. Database work runs in one executor thread, never on
the event loop; a claim is never more than can be on the wire now, so that a lease always outlives its deadline.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from reminders import clock, crash, store
from reminders.app_context import AppContext
from reminders.service.operations import metrics
from reminders.service.sending import final_check, recording
from reminders.sms import Accepted, Answer, Gateway, Outgoing, Refused, codes
from reminders.store.sending.answers import Answered
from reminders.store.sending.claims import Intent, Started

log = logging.getLogger(__name__)

T = TypeVar("T")

GATHER = 0.005  # seconds to wait for more answers before a batch is recorded
SCAN_AGAIN = 1.0  # seconds for which a scan holds while claims come back full
PACED = 0.2  # seconds until a sender's pace is looked at again
MOST_SKEW = timedelta(seconds=2)  # a worker whose clock is further off the database's does not claim (sending rule 2)
ASK_AFTER = timedelta(minutes=15)


@dataclass(slots=True)
class Tally:
    """What one pass did (README.md#commands)."""

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
        context: AppContext,
        gateway: Gateway,
        executor: Executor,
        stop: threading.Event,
        *,
        scanned: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
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
        self._lease = timedelta(seconds=context.settings.sending.lease_seconds)
        self._deadline = context.settings.twilio.deadline_seconds

    async def drain(self) -> Tally:
        """Send until nothing is due or `stop` is set, and all answers are recorded.

        Raises Unavailable when the database is away and nothing is on the wire any more; answers not yet recorded are
        kept for the next call.
        """
        tally = Tally()
        trouble: Exception | None = None
        while True:
            turn = _Turn()
            free = self._context.settings.twilio.in_flight - len(self._on_the_wire)
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
        """Send these texts now, out of their turn and past the sender's pace: an answer someone may need in danger.

        What is not to be had, because a worker has it already, is that worker's. Raises Unavailable.
        """
        tally, begun, now = Tally(), _Turn(), clock.now()
        take = partial(final_check.claim_these, self._context, text_ids=text_ids, now=now)
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
        half = max(1, self._context.settings.twilio.in_flight // 2)
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
            recording.record(self._context, batch, now)
        except (store.Unavailable, store.CommitUncertain):
            raise
        except Exception:  # ruff: ignore[blind-except]  found out below, one by one
            for one in batch:
                try:
                    recording.record(self._context, [one], now)
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
        database = self._context.database
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
                take = partial(final_check.claim, self._context, sender=sender, limit=budget, now=now)
                self._begin(take, now, tally, turn, batch)
            else:
                turn.paced = True

    def _reserve(self, sender: int, now: datetime, room: int) -> int:
        return self._context.database.write(lambda tx: store.queue.reserve(tx, sender, now, room), again=True)

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
                recording.write_down(self._context, tx, batch, now)
            claimed, intents, suppressed = take(tx)
            crash.point("K2")
            begun.extend(store.claims.start(tx, intents, now, self._lease))
            return claimed, suppressed

        crash.point("K1")
        try:
            claimed, suppressed = self._context.database.write(work)
            turn.recorded = turn.recorded or records
        except store.CommitUncertain:
            # A coin toss (K8): whatever is on record was claimed by us, and nothing else was.
            refs = [one.ref for one in begun]
            known = self._context.database.read(lambda tx: store.claims.which_started(tx, refs))
            begun = [one for one in begun if one.ref in known]
            claimed, suppressed = len(begun), 0
        if records:
            crash.point("K8")
        crash.point("K3")
        tally.claimed += claimed
        tally.suppressed += suppressed
        turn.claimed += claimed
        turn.started += begun

    async def _send(self, one: Started, claimed_at: float) -> Answered:
        # A process that was stopped, or slept with its machine, may hold a lease that is nearly over; what it starts
        # now could still be on the wire when someone else takes over (K12). Both clocks are asked: one stands still
        # while the machine sleeps, the other can be set. Nothing was sent, and we know it.
        now = clock.now()
        passed = max(time.monotonic() - claimed_at, (now - one.started_at).total_seconds())
        if passed > self._lease.total_seconds() - self._deadline:
            return Answered(one, "refused", what="lease too short", again_at=now)
        left = (one.closes_at - now).total_seconds()
        if left < 1:
            return Answered(one, "refused", what="window shut", again_at=one.closes_at)
        began = time.monotonic()
        answer = await self._gateway.send(
            Outgoing(to=one.to, body=one.body, ref=one.ref, sender=one.sender, valid_for=int(left))
        )
        told = self._answered(one, answer, clock.now())
        took = time.monotonic() - began
        metrics.answered(told.answer, took, segments=one.segments, error_code=told.error_code)
        return told

    def _answered(self, one: Started, answer: Answer, now: datetime) -> Answered:
        if isinstance(answer, Accepted):
            crash.point("K7")
            return Answered(one, "accepted", sid=answer.sid, status=answer.status, ask_at=now + ASK_AFTER)
        if isinstance(answer, Refused):
            crash.point("K6")
            code = codes.look_up(answer.code)
            # What waits for its sender's rest needs no time of its own.
            again = now if code.rests_sender is not None else codes.again_at(code, one.number, now)
            return Answered(one, "refused", error_code=answer.code, what=answer.what or None, again_at=again)
        crash.point("K5")
        settle = timedelta(seconds=self._deadline + self._context.settings.sending.settle_seconds)
        return Answered(one, "unknown", what=answer.what, look_at=one.started_at + settle)
