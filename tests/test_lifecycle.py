"""The states of a text and its moves (docs/design.md#states-and-moves)."""

from itertools import starmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reminders.lifecycle import (
    MOVES,
    RANK,
    WITHOUT_AN_ATTEMPT,
    State,
    further,
    heard,
    may,
    sources,
    state_of,
)


def test_every_state_has_its_moves():
    assert set(MOVES) == set(State)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("scheduled", "sending"),
        ("scheduled", "suppressed"),
        ("scheduled", "cancelled"),
        ("scheduled", "expired"),
        ("sending", "sent"),
        ("sending", "scheduled"),
        ("sending", "undelivered"),
        ("sending", "uncertain"),
        ("scheduled", "uncertain"),  # its resend is not sent
        ("uncertain", "sent"),
        ("uncertain", "scheduled"),
        ("sent", "delivered"),
        ("sent", "undelivered"),
        ("sent", "unconfirmed"),
        ("undelivered", "scheduled"),
        ("unconfirmed", "delivered"),
        ("unconfirmed", "undelivered"),
        ("cancelled", "scheduled"),
        ("suppressed", "scheduled"),
    ],
)
def test_the_table_of_the_design_is_legal(source, target):
    assert may(State(source), State(target))


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("sent", "scheduled"),  # an accepted text is never sent again
        ("sent", "sending"),
        ("sent", "suppressed"),
        ("unconfirmed", "scheduled"),
        ("expired", "sending"),
        ("delivered", "undelivered"),
    ],
)
def test_what_would_text_twice_or_lie_is_illegal(source, target):
    assert not may(State(source), State(target))


def test_delivered_is_final_and_reached_from_everywhere():
    assert not MOVES[State.DELIVERED]
    assert set(sources(State.DELIVERED)) == set(State) - {State.DELIVERED}


def test_only_reconcile_brings_back_what_was_taken_back():
    assert (State.CANCELLED, State.SCHEDULED) in WITHOUT_AN_ATTEMPT
    assert (State.UNDELIVERED, State.SCHEDULED) not in WITHOUT_AN_ATTEMPT
    assert all(starmap(may, WITHOUT_AN_ATTEMPT))


def test_queued_at_twilio_is_handed_over_not_delivered():
    assert state_of("queued") is State.SENT
    assert state_of("sent") is State.SENT
    assert state_of("read") is State.DELIVERED
    assert state_of("teleported") is None


def follow(state: State, statuses: list[str]) -> tuple[State, str | None]:
    """The final states of a text and its one attempt after these receipts in this order."""
    before = None
    for status in statuses:
        target = heard(state, before=before, status=status, latest=True)
        if target is not None:
            assert may(state, target)
            state = target
        before = further(before, status)
    return state, before


STATUSES = st.sampled_from([*RANK, "unheard-of"])
OPEN = st.sampled_from([State.SENDING, State.UNCERTAIN, State.SCHEDULED, State.EXPIRED])


@given(OPEN, st.lists(STATUSES, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_of_receipts_ends_the_same(state, statuses, chance):
    shuffled = statuses + chance.choices(statuses, k=4)
    chance.shuffle(shuffled)
    assert follow(state, statuses)[0] is follow(state, shuffled)[0]


@given(OPEN, st.lists(STATUSES, min_size=1, max_size=6))
def test_a_delivery_once_heard_is_never_lost(state, statuses):
    ended, _ = follow(state, [*statuses, "delivered", *statuses])
    assert ended is State.DELIVERED


@given(st.sampled_from(list(State)), STATUSES)
def test_an_earlier_attempt_can_only_add_that_it_was_delivered(state, status):
    assert heard(state, before=None, status=status, latest=False) in {None, State.DELIVERED}


def test_a_repeated_receipt_does_not_undo_a_retry():
    # Attempt 1 ended undelivered, the text waits for its retry, and the 'sent' of attempt 1 comes late.
    assert heard(State.SCHEDULED, before="undelivered", status="sent", latest=True) is None
    assert heard(State.SCHEDULED, before="undelivered", status="undelivered", latest=True) is None


def test_a_late_receipt_calls_off_a_resend():
    # Rule 6.5: the look-up found nothing twice, the resend is scheduled, and now Twilio says it had it all along.
    assert heard(State.SCHEDULED, before=None, status="sent", latest=True) is State.SENT
