"""Where a text is, and how it may move. Pure: the table of docs/design.md#states-and-moves and what Twilio's statuses
mean in it.

A move is legal if and only if it stands in `MOVES`. The store turns the same table into the WHERE clause of its one
UPDATE, so the row count says who won a race. `delivered` is final: if Twilio says it was delivered then it was.
"""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a text is (docs/design.md#the-life-of-a-text). `held` is a column beside it."""

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

A text whose resend is pending (`scheduled`) was perhaps handed over by its earlier attempt after all. If the resend
comes to nothing the text is `uncertain` again, never `expired`, `cancelled` or `suppressed`: those say that it did not
go. A receipt for an attempt settles it at any time (sending rule 5), which is why every open or given-up state may
still move to what Twilio says became of it.
"""

WITHOUT_AN_ATTEMPT = frozenset(
    (source, target)
    for source in (State.CANCELLED, State.SUPPRESSED)
    for target in (State.SCHEDULED, State.CANCELLED, State.SUPPRESSED)
    if source != target
) | {(State.EXPIRED, State.SCHEDULED)}
"""Moves that only reconcile makes, and only while no attempt was ever made.

An expired text comes back when its visit was moved to later that day: same key, another window.
"""


def may(source: State, target: State) -> bool:
    """Whether a text may move from `source` to `target`."""
    return target in MOVES[source]


def sources(target: State) -> tuple[State, ...]:
    """The states from which a text may move to `target`, in table order."""
    return tuple(source for source, targets in MOVES.items() if target in targets)


# Twilio's message statuses (docs/twilio.md 2.1) and how far along each is. A lower rank never undoes a higher one.
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
    """What Twilio's `status` says of a text that was handed over; None for a status we do not know.

    Our `sent` means handed over to Twilio, so `queued` already is it: `sent` is not `delivered`.
    """
    return _STATE_OF_STATUS.get(status)


def further(before: str | None, status: str) -> str | None:
    """The status to keep on an attempt after `status` was heard: the one that is further along.

    Order and repetition of receipts do not matter (docs/twilio.md 2.2). Two contradicting ends, `undelivered` and
    `failed`, rank the same: the first heard stays. Unknown statuses never replace a known one.
    """
    if status not in RANK:
        return before
    if before is None or RANK[status] > RANK.get(before, -1):
        return status
    return before


def heard(state: State, *, before: str | None, status: str, latest: bool) -> State | None:
    """The state a text moves to when `status` is heard for one of its attempts, or None when it stays.

    `before` is the furthest status heard of that attempt so far; `latest` says whether it is the text's last attempt.
    An earlier attempt can only add that the text was delivered after all: of two, the person saw one.
    """
    target = state_of(status)
    if target is None or further(before, status) == before:
        return None
    if not latest and target is not State.DELIVERED:
        return None
    return target if may(state, target) else None
