"""Counting in advance: eventually exact, whatever moved and however late, and the same as counting on the spot."""

import random
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from conftest import NOW
from hypothesis import given
from hypothesis import strategies as st
from people import one_off
from two_sites import accept, hear, open_north

from reminders.lifecycle import State
from reminders.plans import to_wall
from reminders.queries import counts
from reminders.queries import statistics as service
from reminders.queries.counts import Span
from reminders.service.operations import counting
from reminders.store.database import schema
from reminders.store.database.ids import new_id
from reminders.store.operations import tallies

SERIES = [one_off("today", "2026-11-30T14:00:00", leads=["2h"])]
SERIES += [one_off(f"v{day}", f"2026-12-{day:02}T15:00:00") for day in (1, 2, 4, 9, 16)]
ENDS = ("delivered", "undelivered", "sent")


@pytest.fixture
def busy(context):
    """A house of two sites with texts in many hours and states, some tried and some met by codes."""
    open_north(context)
    for number in range(1, 9):
        accept(context, number, site="north" if number % 3 == 0 else "main", series=SERIES)
    dice = random.Random(7)

    def work(tx):
        for row in tx.all(sa.select(schema.texts)):
            if row.state == "scheduled" and dice.random() < 0.7:
                send(tx, row, dice.choice(ENDS), dice.choice((0, 0, 30003, 30005)))

    context.database.write(work)
    hear(context, "STOP", 1)
    return context


def send(tx, row, state: str, code: int = 0, number: int = 1) -> None:
    started = row.opens_at + timedelta(seconds=row.id % 90)
    attempt = {"id": new_id(started), "text_id": row.id, "number": number, "ref": f"{row.id}-{number}"}
    attempt |= {"sender_id": row.sender_id, "number_id": row.number_id, "started_at": started, "answered_at": started}
    attempt |= {"answer": "accepted", "status": state, "status_at": started + timedelta(seconds=4), "error_code": code}
    attempt |= {"template": "x", "language": "en", "body_sealed": b"", "segments": 2, "encoding": "GSM-7"}
    tx.run(schema.attempts.insert(), attempt | {"looks": 0, "asks": 0})
    tx.run(schema.texts.update().where(schema.texts.c.id == row.id).values(state=state, reason=None, attempts=number))


def seen(context, monkeypatch, few: int, span: Span | None = None, **more):
    monkeypatch.setattr(counts, "FEW", few)
    span = span or Span()
    return context.database.read(
        lambda tx: (
            set(counts.cells(tx, span, by_hour=True)),
            set(counts.cells(tx, span)),
            set(counts.measured(tx, span, by_hour=True)),
            counts.by_hour(tx, span, state=("delivered", "undelivered"), **more),
        )
    )


SPANS = [
    Span(),
    Span(since=NOW, until=NOW + timedelta(days=3)),
    Span(until=NOW + timedelta(hours=7, minutes=20)),
    Span(since=NOW + timedelta(days=1, minutes=7), until=NOW + timedelta(days=9, minutes=31)),
    Span(since=NOW + timedelta(days=1, minutes=7), until=NOW + timedelta(days=1, minutes=31)),
]


def test_what_was_counted_beforehand_is_what_there_is(busy, monkeypatch):
    assert counting.tally(busy, NOW) > 300
    for span in SPANS:
        for sites in (None, [busy.database.read(lambda tx: tx.value(sa.select(sa.func.min(schema.sites.c.id))))]):
            asked = Span(span.since, span.until, sites)
            assert seen(busy, monkeypatch, 0, asked) == seen(busy, monkeypatch, 20_000, asked)
    hours = [tallies.hour_at(NOW) + 24 * day + 7 for day in range(20)]
    assert seen(busy, monkeypatch, 0, Span(hours=hours)) == seen(busy, monkeypatch, 20_000, Span(hours=hours))
    assert sum(seen(busy, monkeypatch, 0, None, code=(30003,))[3].values()) > 0


def test_before_the_first_count_everything_is_counted_there_and_then(busy, monkeypatch):
    assert seen(busy, monkeypatch, 0) == seen(busy, monkeypatch, 20_000)


def test_hours_that_nobody_counted_yet_are_counted_there_and_then(busy, monkeypatch):
    monkeypatch.setattr(counting, "MOST", 40)
    assert counting.tally(busy, NOW) == 40
    assert seen(busy, monkeypatch, 0) == seen(busy, monkeypatch, 20_000)


def test_a_text_that_moved_is_counted_anew_by_the_row_that_was_written(busy, monkeypatch):
    counting.tally(busy, NOW)
    later = NOW + timedelta(seconds=90)
    accept(busy, 9, series=SERIES, now=later)
    text = busy.database.read(lambda tx: tx.first(sa.select(schema.texts).where(schema.texts.c.state == "scheduled")))
    busy.database.write(lambda tx: send(tx, text, "undelivered", 30003))
    hear(busy, "C", 4, sid="SM2")
    counting.tally(busy, later)
    assert seen(busy, monkeypatch, 0) == seen(busy, monkeypatch, 20_000)


def test_whatever_happened_it_is_exact_in_the_end(busy, monkeypatch):
    """No row was written, but the database changed: counts are corrected, the near hours first."""
    counting.tally(busy, NOW)
    busy.database.write(
        lambda tx: tx.run(schema.texts.update().where(schema.texts.c.state == "sent").values(state="unconfirmed"))
    )
    busy.database.write(lambda tx: tx.run(schema.marks.delete()))
    counting.tally(busy, NOW + timedelta(minutes=9))
    near = Span(NOW, NOW + timedelta(hours=8))  # the evening's reminders
    assert seen(busy, monkeypatch, 0, near) == seen(busy, monkeypatch, 20_000, near)
    assert "unconfirmed" in {cell.state for cell in seen(busy, monkeypatch, 0, near)[0]}
    assert seen(busy, monkeypatch, 0) != seen(busy, monkeypatch, 20_000)
    counting.tally(busy, NOW + timedelta(days=1))
    assert seen(busy, monkeypatch, 0) == seen(busy, monkeypatch, 20_000)


def test_a_clock_that_went_back_does_not_stop_the_counting(busy, monkeypatch):
    counting.tally(busy, NOW + timedelta(days=3))
    busy.database.write(
        lambda tx: tx.run(schema.texts.update().where(schema.texts.c.state == "sent").values(state="unconfirmed"))
    )
    counting.tally(busy, NOW)
    assert seen(busy, monkeypatch, 0) == seen(busy, monkeypatch, 20_000)


def test_twice_and_beside_itself_the_later_count_stays(busy, monkeypatch):
    first, last = tallies.hour_at(NOW), tallies.hour_at(NOW) + 23
    early = busy.database.read(lambda tx: tallies.count(tx, first, last))
    busy.database.write(
        lambda tx: tx.run(schema.texts.update().where(schema.texts.c.state == "sent").values(state="unconfirmed"))
    )
    counting.tally(busy, NOW)
    assert not busy.database.write(lambda tx: tallies.keep(tx, early, NOW))
    assert seen(busy, monkeypatch, 0) == seen(busy, monkeypatch, 20_000)
    counting.tally(busy, NOW)
    assert seen(busy, monkeypatch, 0) == seen(busy, monkeypatch, 20_000)


def test_far_hours_are_counted_seldom(busy):
    counting.tally(busy, NOW)
    again = counting.tally(busy, NOW + timedelta(minutes=15))
    everything = busy.database.read(lambda tx: len(tx.all(sa.select(schema.tallied))))
    # Those within twelve hours, and those of which a row was written in the last ten minutes.
    assert again < everything / 2


def test_numbers_in_all_are_those_of_their_points(busy, monkeypatch):
    counting.tally(busy, NOW)
    then = datetime(2026, 12, 10, 12, tzinfo=UTC)
    for range_, points in (("24h", 24), ("7d", 7), ("30d", 30), ("90d", 13)):
        for few in (0, 20_000):
            monkeypatch.setattr(counts, "FEW", few)
            found = busy.database.read(
                lambda tx, range_=range_: service.numbers(tx, then, range_=range_, zone="America/New_York")
            )
            assert len(found.points) == points
            for name in ("handed_over", "delivered", "not_delivered", "segments", "replies", "stops"):
                assert sum(getattr(point, name) for point in found.points) == getattr(found.whole, name)
    assert found.whole.stops == 1
    assert found.whole.handed_over > 10
    assert found.codes[30003] > 0
    assert 0 < found.whole.lag[0] < found.whole.lag[1] <= 120
    assert 2 < found.whole.word[0] <= 5
    assert (found.points[0].since.hour, found.points[-1].since.hour) == (4, 5)  # midnight before and after DST ends


def test_all_time_is_what_the_figures_for_machines_are(busy):
    found = busy.database.read(lambda tx: service.numbers(tx, NOW, range_="all", zone="America/New_York"))
    states = busy.database.read(service.states)
    assert found.whole.states == states
    assert sum(states.values()) == busy.database.read(
        lambda tx: tx.value(sa.select(sa.func.count()).select_from(schema.texts))
    )
    assert set(states) <= set(State)


@given(st.dictionaries(st.sampled_from([*map(str, tallies.BOUNDS), tallies.MORE]), st.integers(1, 50), max_size=6))
def test_percentiles_grow_and_lie_within_the_bounds_of_what_was_counted(spells):
    half, most = counts.percentile(spells, 0.5), counts.percentile(spells, 0.95)
    if not spells:
        assert half is most is None
        return
    tops = [2 * tallies.BOUNDS[-1] if name == tallies.MORE else int(name) for name in spells]
    assert 0 <= half <= most <= max(tops)


def test_hours_in_a_row_are_counted_in_one_go():
    assert list(tallies.stretches([3, 1, 2, 9, 5, 4], at_most=3)) == [(1, 3), (4, 5), (9, 9)]
    assert list(tallies.stretches([], at_most=3)) == []
    assert list(tallies.stretches([1, 3, 6, 9, 40], at_most=8, gap=3)) == [(1, 6), (9, 9), (40, 40)]


@given(
    st.integers(0, 24 * 365 * 80), st.sampled_from(["America/New_York", "America/Phoenix", "Pacific/Honolulu", "UTC"])
)
def test_the_hour_of_the_day_is_the_wall_clocks(hour, zone):
    assert counts.hour_of_day(hour, zone) == to_wall(tallies.instant(hour), zone).hour
