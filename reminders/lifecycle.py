"""The states of a text and the moves between them. Pure: the table of docs/design.md#states-and-moves, and how Twilio's
statuses map to it.

A move is legal only if it is in `MOVES`. The store turns the same table into the WHERE clause of its one UPDATE, so the
row count says who won a race. `delivered` is final: we believe Twilio when it says so.
"""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """The state of a text (docs/design.md#the-life-of-a-text). `held` is a separate column."""

    SCHEDULED = "scheduled"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    UNCONFIRMED = "unconfirmed"
    UNCERTAIN = "uncertain"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPPRESSED = "suppressed"


_HANDED_OVER = frozenset({State.SENT, State.UNDELIVERED, State.DELIVERED})

MOVES: Mapping[State, frozenset[State]] = {
    State.SCHEDULED: frozenset({State.SENDING, State.SUPPRESSED, State.CANCELLED, State.EXPIRED, State.UNCERTAIN})
    | _HANDED_OVER,
    State.SENDING: frozenset({State.SCHEDULED, State.UNCERTAIN}) | _HANDED_OVER,
    State.UNCERTAIN: frozenset({State.SCHEDULED}) | _HANDED_OVER,
    State.SENT: frozenset({State.DELIVERED, State.UNDELIVERED, State.UNCONFIRMED}),
    State.UNDELIVERED: frozenset({State.SCHEDULED, State.DELIVERED}),
    State.UNCONFIRMED: frozenset({State.DELIVERED, State.UNDELIVERED}),
    State.EXPIRED: frozenset({State.SCHEDULED}) | _HANDED_OVER,
    State.CANCELLED: frozenset({State.SCHEDULED, State.SUPPRESSED}) | _HANDED_OVER,
    State.SUPPRESSED: frozenset({State.SCHEDULED, State.CANCELLED}) | _HANDED_OVER,
    State.DELIVERED: frozenset(),
}
"""From → to.

The earlier attempt of a text with a pending resend (`scheduled`) may have been handed over. If the resend is not sent,
the text becomes `uncertain` again, and never `expired`, `cancelled` or `suppressed`: those mean that it was not sent. A
receipt settles an attempt at any time (sending rule 5), so every open or given-up state may still move to the outcome
that Twilio reports.
"""

WITHOUT_AN_ATTEMPT = frozenset(
    (source, target)
    for source in (State.CANCELLED, State.SUPPRESSED)
    for target in (State.SCHEDULED, State.CANCELLED, State.SUPPRESSED)
    if source != target
) | {(State.EXPIRED, State.SCHEDULED)}
"""Moves that only reconcile makes, and only if no attempt was ever made.

An expired text is scheduled again if its visit moves to later that day: the key stays, the window changes.
"""


def _named(*states: State) -> tuple[str, ...]:
    return tuple(state.value for state in states)


# The groups of states that the rest of the program uses. Plain strings, as in rows.
IN_THE_QUEUE = _named(State.SCHEDULED)
ON_THE_WIRE = _named(State.SENDING, State.UNCERTAIN)  # an attempt has begun and has no answer
TO_GO = _named(State.SCHEDULED, State.SENDING)
PLANNED = _named(State.SCHEDULED, State.SUPPRESSED)  # shown as planned: it will be sent, or shows why it will not
UNTRIED = (*PLANNED, *_named(State.CANCELLED))
SET_ASIDE = _named(State.SUPPRESSED, State.CANCELLED)
WITHDRAWN = _named(State.SUPPRESSED, State.CANCELLED, State.EXPIRED)  # its reader gets nothing
NOT_GONE = (*IN_THE_QUEUE, *WITHDRAWN)
HANDED_OVER = _named(State.SENT, State.DELIVERED, State.UNCONFIRMED)
"""Twilio accepted it and has not reported a failure. Handed over is not delivered."""
MAYBE_ARRIVED = (*ON_THE_WIRE, *_named(State.SENT, State.UNCONFIRMED))
WENT = (*MAYBE_ARRIVED, *_named(State.DELIVERED, State.UNDELIVERED))
ON_ITS_WAY = (*IN_THE_QUEUE, *MAYBE_ARRIVED, *_named(State.DELIVERED))  # nothing says that it will not arrive
SHOWS_ITS_CODE = _named(State.UNDELIVERED, State.SCHEDULED)  # the code of the last attempt explains the state
SHOWS_WHAT_IT_MET = _named(State.UNDELIVERED, State.UNCERTAIN)
SAID_ONCE = _named(
    State.SCHEDULED, State.DELIVERED, State.EXPIRED
)  # a one-time text in these states is not scheduled again
FAILED = _named(State.UNDELIVERED, State.EXPIRED)
NOT_GOT = (*FAILED, *_named(State.UNCERTAIN))  # not known to have reached a phone
NOT_KNOWN_TO_ARRIVE = (*NOT_GOT, *_named(State.UNCONFIRMED))
UNHEARD = (*WITHDRAWN, *_named(State.UNDELIVERED))  # its reader certainly does not have it
NOT_SURE_TO_BE_HEARD = (*UNHEARD, *_named(State.UNCERTAIN, State.UNCONFIRMED))
SELDOM = (
    *_named(State.SENT, State.UNDELIVERED, State.UNCONFIRMED, State.UNCERTAIN),
    *_named(State.EXPIRED, State.CANCELLED, State.SUPPRESSED),
)
"""The states for which the log is searched: few texts are in them at any time.

An index has them in its condition, in this order.
"""


def may(source: State, target: State) -> bool:
    """Whether a text may move from `source` to `target`."""
    return target in MOVES[source]


def untried_sources(target: State) -> tuple[str, ...]:
    """The states from which reconcile may move a text that was never tried to `target`, including `target`."""
    return tuple(source for source in NOT_GONE if source == target or may(State(source), target))


def sources(target: State) -> tuple[State, ...]:
    """The states from which a text may move to `target`, in table order."""
    return tuple(source for source, targets in MOVES.items() if target in targets)


# Twilio's message statuses (docs/twilio.md 2.1), ranked by progress. A lower rank never undoes a higher one.
RANK: Mapping[str, int] = {
    "accepted": 0,
    "scheduled": 0,
    "queued": 1,
    "sending": 2,
    "sent": 3,
    "undelivered": 4,
    "failed": 4,
    "canceled": 4,
    "delivered": 5,
    "read": 6,
}

_STATE_OF_STATUS: Mapping[str, State] = {
    "accepted": State.SENT,
    "scheduled": State.SENT,
    "queued": State.SENT,
    "sending": State.SENT,
    "sent": State.SENT,
    "undelivered": State.UNDELIVERED,
    "failed": State.UNDELIVERED,
    "canceled": State.UNDELIVERED,
    "delivered": State.DELIVERED,
    "read": State.DELIVERED,
}


def state_of(status: str) -> State | None:
    """The state of a handed-over text with Twilio's `status`; None for an unknown status.

    Our `sent` means handed over to Twilio, so `queued` is already `sent`. It does not mean `delivered`.
    """
    return _STATE_OF_STATUS.get(status)


def further(before: str | None, status: str) -> str | None:
    """The status to keep on an attempt after `status` came in: the one that is further along.

    The order and repetition of receipts do not matter (docs/twilio.md 2.2). Two contradicting final statuses,
    `undelivered` and `failed`, have the same rank, so the first one stays. An unknown status never replaces a known
    one.
    """
    if status not in RANK:
        return before
    if before is None or RANK[status] > RANK.get(before, -1):
        return status
    return before


def heard(state: State, *, before: str | None, status: str, latest: bool) -> State | None:
    """The state to which a text moves when `status` comes in for one of its attempts; None if it stays.

    `before` is the furthest status of that attempt so far; `latest` says whether it is the text's last attempt. An
    earlier attempt matters only if it was delivered after all, since the person then saw one of the two.
    """
    target = state_of(status)
    if target is None or further(before, status) == before:
        return None
    if not latest and target is not State.DELIVERED:
        return None
    return target if may(state, target) else None
