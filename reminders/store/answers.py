"""What came of the calls: a batch of answers is written down in a statement for each sort, however many there are."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from reminders.lifecycle import RANK, State, sources
from reminders.store.claims import Started
from reminders.store.engine import Transaction
from reminders.store.prepared import Prepared, given
from reminders.store.schema import Instant, attempts, is_one_of, texts

log = logging.getLogger(__name__)

_FINAL = ("delivered", "undelivered", "failed", "canceled", "read")


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a call: `answer` is accepted, refused or unknown.

    For a refusal, `again_at` is when to try again, or None when it is for good. For an unknown answer `look_at` is
    when to look it up.
    """

    started: Started
    answer: str
    sid: str | None = None
    status: str | None = None
    segments: int | None = None
    error_code: int = 0
    what: str | None = None
    again_at: datetime | None = None
    look_at: datetime | None = None
    ask_at: datetime | None = None


def record(tx: Transaction, answers: Sequence[Answered], now: datetime) -> None:
    """Write down a batch of answers. Safe to repeat: an attempt that has its answer keeps it.

    A callback may have come first (C9), or the lease may have lapsed and the text moved on (C12): then its state stays
    and the sid is kept on the attempt as evidence.
    """
    accepted = [one for one in answers if one.answer == "accepted"]
    for_good = [one for one in answers if one.answer == "refused" and one.again_at is None]
    again = [one for one in answers if one.answer == "refused" and one.again_at is not None]
    unknown = [one for one in answers if one.answer == "unknown"]
    # Texts before attempts, as everybody does who locks both.
    for statement, some in ((_SENT, accepted), (_UNDELIVERED, for_good), (_WAITS, again), (_UNCERTAIN, unknown)):
        _write(tx, statement, some, now)
    for statement, some in ((_ACCEPTED, accepted), (_REFUSED, for_good + again), (_UNKNOWN, unknown)):
        _write(tx, statement, some, now, _sids_of_others(tx, some))


def _write(
    tx: Transaction,
    statement: Prepared,
    answers: Sequence[Answered],
    now: datetime,
    taken: Collection[int] = (),
) -> None:
    if not answers:
        return
    rows = [
        {
            "text": one.started.text,
            "number": one.started.number,
            "attempt": one.started.attempt,
            "sid": None if one.started.attempt in taken else one.sid,
            # An end is believed when it is told: by a callback, or when we ask.
            "status": one.status if one.status in RANK and one.status not in _FINAL else None,
            "what": one.what,
            "code": one.error_code,
            "again_at": one.again_at,
            "look_at": one.look_at,
            "ask_at": one.ask_at,
        }
        for one in answers
    ]
    tx.do(statement, {"given": rows, "now": now})


_NOW = sa.bindparam("now", type_=Instant())
_GIVEN = given(
    text=sa.BigInteger(),
    number=sa.SmallInteger(),
    attempt=sa.BigInteger(),
    sid=sa.String(),
    status=sa.String(),
    what=sa.String(),
    code=sa.Integer(),
    again_at=Instant(),
    look_at=Instant(),
    ask_at=Instant(),
)
# `attempts` on the text says whose answer still counts.
_OF_TEXT = texts.update().where(texts.c.id == _GIVEN.c.text, texts.c.attempts == _GIVEN.c.number)
_OF_ATTEMPT = attempts.update().where(attempts.c.id == _GIVEN.c.attempt)
# What a receipt, or the same answer recorded before, has said already: the text may have gone further since, back into
# the queue if it was not delivered.
_KNOWN = (
    sa.select(attempts.c.id)
    .where(attempts.c.id == _GIVEN.c.attempt, attempts.c.answer == "accepted")
    .correlate(_GIVEN)
    .exists()
)
_STILL_MINE = _OF_TEXT.where(is_one_of(texts.c.state, (State.SENDING, State.UNCERTAIN)))

_SENT = Prepared(
    _OF_TEXT.where(is_one_of(texts.c.state, sources(State.SENT)), sa.not_(_KNOWN)).values(
        state=State.SENT.value, ready=False, leased_until=None, reason=None, waits_code=None
    )
)
_UNDELIVERED = Prepared(_STILL_MINE.values(state=State.UNDELIVERED.value, leased_until=None))
_WAITS = Prepared(
    _STILL_MINE.values(
        state=State.SCHEDULED.value, leased_until=None, due_at=_GIVEN.c.again_at, waits_code=_GIVEN.c.code
    )
)
_UNCERTAIN = Prepared(
    _OF_TEXT.where(texts.c.state == State.SENDING.value).values(state=State.UNCERTAIN.value, leased_until=None)
)
_ACCEPTED = Prepared(
    _OF_ATTEMPT.where(sa.or_(attempts.c.sid.is_(None), attempts.c.sid == _GIVEN.c.sid)).values(
        answer="accepted",
        answered_at=_NOW,
        sid=_GIVEN.c.sid,
        status=sa.func.coalesce(attempts.c.status, _GIVEN.c.status),
        status_at=sa.func.coalesce(attempts.c.status_at, _NOW),
        look_at=None,
        ask_at=sa.case((is_one_of(attempts.c.status, _FINAL), None), else_=_GIVEN.c.ask_at),
    )
)
_REFUSED = Prepared(
    _OF_ATTEMPT.where(attempts.c.sid.is_(None)).values(
        answer="refused", answered_at=_NOW, what=_GIVEN.c.what, error_code=_GIVEN.c.code, look_at=None
    )
)
_UNKNOWN = Prepared(
    _OF_ATTEMPT.where(attempts.c.sid.is_(None), attempts.c.answer.is_(None)).values(
        answer="unknown", answered_at=_NOW, what=_GIVEN.c.what, look_at=_GIVEN.c.look_at
    )
)
_GIVEN_SIDS = given(sid=sa.String())
_WITH_SIDS = Prepared(sa.select(attempts.c.sid, attempts.c.id).where(attempts.c.sid.in_(sa.select(_GIVEN_SIDS.c.sid))))


def _sids_of_others(tx: Transaction, answers: Sequence[Answered]) -> set[int]:
    """The attempts whose sid is another attempt's already. It must not be, and must not hold up the batch if it is."""
    sids = [{"sid": one.sid} for one in answers if one.sid is not None]
    owners = {row.sid: row.id for row in tx.rows(_WITH_SIDS, {"given": sids})} if sids else {}
    others = set()
    for one in answers:
        if one.sid is not None and owners.setdefault(one.sid, one.started.attempt) != one.started.attempt:
            log.error("attempt %d was given the sid of another", one.started.attempt)
            others.add(one.started.attempt)
    return others


def counts(answers: Sequence[Answered]) -> Mapping[str, int]:
    """How many answers there are of each sort."""
    return {word: sum(one.answer == word for one in answers) for word in ("accepted", "refused", "unknown")}
