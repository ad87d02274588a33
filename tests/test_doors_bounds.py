"""SEC-1: one plan must not stop the service."""

import time
from datetime import timedelta

import pytest
from people import document, one_off

from reminders import clock, store
from reminders.plans import PlanRefused
from reminders.service import planning


def daily(many: int, count: int = 60) -> list[dict]:
    return [
        one_off(f"s{n}", f"2026-12-01T{8 + n % 12:02}:{n % 60:02}:00", repeats=f"FREQ=DAILY;COUNT={count}")
        for n in range(many)
    ]


def test_s1_a_plan_with_more_than_twelve_visits_a_day_is_refused_at_its_place():
    with pytest.raises(PlanRefused) as refused:
        document(series=daily(200, 1000))
    (problem,) = refused.value.problems
    assert problem.where == "series[12].repeats"
    assert "more than 12 visits on 2026-12-01" in problem.problem
    document(series=daily(12, 1000))
    document(series=[*daily(12), one_off("late", "2027-06-01T09:00:00")])


def test_s1_the_watch_asks_once_for_each_plan_when_its_first_visit_is(context, travel):
    planning.accept(context, document(series=daily(12)), clock.now(), who="test")
    site = context.database.read(lambda tx: store.people.all_sites(tx)[0])
    now = clock.now()
    begun = time.monotonic()
    rows = context.database.read(
        lambda tx: store.attention.visits_soon(tx, site.id, now, now + timedelta(days=2), now + timedelta(days=14))
    )
    assert time.monotonic() - begun < 1
    assert [row.is_first for row in rows].count(True) == 1
    assert rows[0].is_first
