"""What came of the calls: a batch of answers is written down in a statement for each sort, however many there are."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from reminders.lifecycle import ON_THE_WIRE, RANK, State
from reminders.store.database.engine import Transaction
from reminders.store.database.fast_path import Prepared, PreparedSelect, among, given
from reminders.store.database.schema import Instant, attempts, is_one_of, texts
from reminders.store.planning.texts import move
from reminders.store.sending.claims import Started

log = logging.getLogger(__name__)

_FINAL = ("delivered", "undelivered", "failed", "canceled", "read")


@dataclass(slots=True)
class Answered:
    """What came of a call: `answer` is accepted, refused or unknown.

    For a refusal, `again_at` is when to try again, or None when it is for good. For an unknown answer `look_at` is
    when to look it up.
    """

    started: Started
    answer: str
    sid: str | None = None
    status: str | None = None
    error_code: int = 0
    what: str | None = None
    again_at: datetime | None = None
    look_at: datetime | None = None
    ask_at: datetime | None = None


def record(tx: Transaction, answers: Sequence[Answered], now: datetime) -> None:
    """Write down a batch of answers. Safe to repeat: an attempt that has its answer keeps it.

    A callback may have come first (K9), or the lease may have lapsed and the text moved on (K12): then its state stays
    and the sid is kept on the attempt as evidence.
    """
    accepted = [one for one in answers if one.answer == "accepted"]
    for_good = [one for one in answers if one.answer == "refused" and one.again_at is None]
    again = [one for one in answers if one.answer == "refused" and one.again_at is not None]
    unknown = [one for one in answers if one.answer == "unknown"]
    # Texts before attempts, as everyone does who locks both.
    _each(tx, _SENT, [(one.started.text, one.started.number, one.started.attempt) for one in accepted])
    _each(tx, _UNDELIVERED, [(one.started.text, one.started.number) for one in for_good])
    _each(tx, _WAITS, [(one.started.text, one.started.number, one.again_at, one.error_code) for one in again])
    _each(tx, _UNCERTAIN, [(one.started.text, one.started.number) for one in unknown])
    taken = _sids_of_others(tx, accepted)
    _each(
        tx,
        _ACCEPTED,
        [
            (
                one.started.attempt,
                None if one.started.attempt in taken else one.sid,
                # An end is believed when it is told: by a callback, or when we ask.
                one.status if one.status in RANK and one.status not in _FINAL else None,
                one.ask_at,
            )
            for one in accepted
        ],
        now,
    )
    _each(tx, _REFUSED, [(one.started.attempt, one.what, one.error_code) for one in for_good + again], now)
    _each(tx, _UNKNOWN, [(one.started.attempt, one.what, one.look_at) for one in unknown], now)


def _each(tx: Transaction, statement: Prepared, rows: Sequence[Sequence[Any]], now: datetime | None = None) -> None:
    if rows:
        tx.do_later(statement, {"given": rows} if now is None else {"given": rows, "now": now})


_ID, _WORDS = sa.BigInteger(), sa.String()
_TRIED = given(text=_ID, number=sa.SmallInteger())
_TAKEN = given(text=_ID, number=sa.SmallInteger(), attempt=_ID)
_PUT_OFF = given(text=_ID, number=sa.SmallInteger(), again_at=Instant(), code=sa.Integer())
_SAID_YES = given(attempt=_ID, sid=_WORDS, status=_WORDS, ask_at=Instant())
_SAID_NO = given(attempt=_ID, what=_WORDS, code=sa.Integer())
_SAID_NOTHING = given(attempt=_ID, what=_WORDS, look_at=Instant())
_NOW = sa.bindparam("now", type_=Instant())


def _of_text(rows: sa.TableValuedAlias, to: State, only: Collection[str] | None = None) -> sa.Update:
    """The texts of these rows whose last attempt it was: `attempts` on the text says whose answer still counts."""
    return move(to, only=only).where(texts.c.id == rows.c.text, texts.c.attempts == rows.c.number)


# What a receipt, or the same answer recorded before, has said already: the text may have gone further since, back into
# the queue if it was not delivered.
_KNOWN = (
    sa.select(attempts.c.id)
    .where(attempts.c.id == _TAKEN.c.attempt, attempts.c.answer == "accepted")
    .correlate(_TAKEN)
    .exists()
)
_SENT = Prepared(
    _of_text(_TAKEN, State.SENT)
    .where(sa.not_(_KNOWN))
    .values(ready=False, leased_until=None, reason=None, waits_code=None)
)
_UNDELIVERED = Prepared(_of_text(_TRIED, State.UNDELIVERED, ON_THE_WIRE).values(leased_until=None))
_WAITS = Prepared(
    _of_text(_PUT_OFF, State.SCHEDULED, ON_THE_WIRE).values(
        leased_until=None, due_at=_PUT_OFF.c.again_at, waits_code=_PUT_OFF.c.code
    )
)
_UNCERTAIN = Prepared(_of_text(_TRIED, State.UNCERTAIN, (State.SENDING,)).values(leased_until=None))
_ACCEPTED = Prepared(
    attempts.update()
    .where(attempts.c.id == _SAID_YES.c.attempt)
    .where(sa.or_(attempts.c.sid.is_(None), attempts.c.sid == _SAID_YES.c.sid))
    .values(
        answer="accepted",
        answered_at=_NOW,
        sid=_SAID_YES.c.sid,
        status=sa.func.coalesce(attempts.c.status, _SAID_YES.c.status),
        status_at=sa.func.coalesce(attempts.c.status_at, _NOW),
        look_at=None,
        ask_at=sa.case((is_one_of(attempts.c.status, _FINAL), None), else_=_SAID_YES.c.ask_at),
    )
)
_REFUSED = Prepared(
    attempts.update()
    .where(attempts.c.id == _SAID_NO.c.attempt, attempts.c.sid.is_(None))
    .values(answer="refused", answered_at=_NOW, what=_SAID_NO.c.what, error_code=_SAID_NO.c.code, look_at=None)
)
_UNKNOWN = Prepared(
    attempts.update()
    .where(attempts.c.id == _SAID_NOTHING.c.attempt, attempts.c.sid.is_(None), attempts.c.answer.is_(None))
    .values(answer="unknown", answered_at=_NOW, what=_SAID_NOTHING.c.what, look_at=_SAID_NOTHING.c.look_at)
)


class _WithSid(NamedTuple):
    sid: str | None
    id: int


_WITH_SIDS = PreparedSelect(_WithSid, sa.select(attempts.c.sid, attempts.c.id).where(among(attempts.c.sid, "sids")))


def _sids_of_others(tx: Transaction, answers: Sequence[Answered]) -> set[int]:
    """The attempts whose sid is another attempt's already. It must not be, and must not hold up the batch if it is."""
    sids = [one.sid for one in answers if one.sid is not None]
    owners = {row.sid: row.id for row in tx.rows(_WITH_SIDS, {"sids": sids})} if sids else {}
    others = set()
    for one in answers:
        if one.sid is not None and owners.setdefault(one.sid, one.started.attempt) != one.started.attempt:
            log.error("attempt %d was given the sid of another", one.started.attempt)
            others.add(one.started.attempt)
    return others


def counts(answers: Sequence[Answered]) -> Mapping[str, int]:
    """How many answers there are of each sort."""
    return {word: sum(one.answer == word for one in answers) for word in ("accepted", "refused", "unknown")}
