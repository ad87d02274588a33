"""What texts cost: Twilio's price where it told one, else an estimate; and a budget that warns and stops nothing."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from conftest import NOW, environment, send
from test_backup import accept, after, opens
from test_web_pages import all_jobs_succeed
from two_sites import accept as accept_at
from two_sites import open_north
from typer.testing import CliRunner
from web_caller import Caller

from reminders import clock, queries, store
from reminders.cli import app
from reminders.queries import costs, statistics
from reminders.service.operations import faults, health, runs
from reminders.service.sending import outcomes
from reminders.store.database import schema
from reminders.store.sending.costs import price_of

PRICE = 0.01


def with_settings(context, **values):
    sending = context.settings.sending.model_copy(update=values)
    return replace(context, settings=context.settings.model_copy(update={"sending": sending}))


@pytest.fixture
def sent(line, travel):
    """Three texts that Twilio took: two of the default site, one of the other."""
    open_north(line)
    for number in range(2):
        accept(line, number, opens(0))
    accept_at(line, 7, "north", series=[opens(0)])
    travel(after(1))
    send(line)
    return line


def test_until_twilio_says_so_a_price_per_segment_is_the_estimate(sent):
    since, until = costs.month(NOW.date(), "America/New_York")

    def total(price, places=None):
        return sent.database.read(lambda tx: costs.total(tx, since=since, until=until, price=price, places=places))

    assert total(None).as_json() == {
        "texts": 3, "segments": 3, "cost": 0, "told": 0, "estimated": None, "segments_without_price": 3,
    }  # fmt: skip
    assert total(PRICE).total == pytest.approx(0.03)
    one = sent.database.read(lambda tx: tx.value(sa.select(sa.func.min(schema.attempts.c.id))))
    sent.database.write(lambda tx: store.costs.note_price(tx, one, "0.0079"))
    found = total(PRICE)
    assert (found.told, found.estimated, found.unpriced) == (0.0079, 0.02, 2)
    assert found.total == pytest.approx(0.0279)
    north = sent.database.read(lambda tx: store.people.site_by_key(tx, "north")).id
    assert total(PRICE, [north]).texts == 1


def test_the_price_that_twilio_tells_when_it_is_asked_is_kept(sent, twilio, travel):
    twilio.simulator.settings = replace(twilio.simulator.settings, price_per_segment=0.0079)
    travel(after(20))
    runs.with_gateway(sent, lambda gateway: outcomes.ask(sent, gateway, clock.now()))
    prices = [row.price for row in sent.database.read(lambda tx: tx.all(sa.select(schema.attempts.c.price)))]
    assert prices == ["0.0079"] * 3
    since, until = costs.month(NOW.date(), "America/New_York")
    found = sent.database.read(lambda tx: costs.total(tx, since=since, until=until, price=PRICE))
    assert (found.told, found.estimated, found.unpriced) == (0.0237, 0, 0)


@pytest.mark.parametrize(
    ("said", "kept"),
    [("-0.00790", "0.0079"), ("-1.20000", "1.2"), ("0", "0"), (None, None), ("", None), ("free", None), ("NaN", None)],
)
def test_only_a_price_is_a_price(said, kept):
    assert price_of(said) == kept


def test_months_are_those_of_the_wall_clock():
    since, until = costs.month((NOW + timedelta(days=1)).date(), "America/New_York")
    assert (since.isoformat(), until.isoformat()) == ("2026-12-01T05:00:00+00:00", "2027-01-01T05:00:00+00:00")


def test_command_line_stats_and_api_say_the_same_of_site_plan_text_and_month(sent, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clock.correct(timedelta(0))
    env = environment(sent.settings.database.url, sending__price_per_segment=str(PRICE))

    def said(*words):
        done = CliRunner().invoke(app, ["costs", "--json", *words], env=env)
        assert done.exit_code == 0, done.output
        return [json.loads(one) for one in done.stdout.splitlines()]

    (month,) = said("--month", "2026-11")
    assert (month["month"], month["texts"], month["cost"]) == ("2026-11", 3, 0.03)
    by_site = {one["site"]: one["texts"] for one in said("--by", "site", "--month", "2026-11")}
    assert by_site == {"main": 2, "north": 1}
    assert {one["plan"] for one in said("--by", "plan", "--month", "2026-11")} == {"DC-0", "DC-1", "DC-north-7"}
    assert len(said("--by", "text", "--month", "2026-11", "--site", "main")) == 2
    assert said("--month", "2026-10", "--by", "site") == []
    assert CliRunner().invoke(app, ["costs", "--month", "2026-13"], env=env).exit_code == 2
    assert CliRunner().invoke(app, ["costs", "--by", "name"], env=env).exit_code == 2
    assert CliRunner().invoke(app, ["costs", "--site", "nowhere"], env=env).exit_code == 3


def test_the_numbers_of_a_range_hold_their_cost(sent, travel):
    travel(after(2))
    priced = with_settings(sent, price_per_segment=PRICE)
    read = lambda tx: statistics.numbers(tx, clock.now(), range_="24h", zone="America/New_York", price=PRICE)  # ruff: ignore[lambda-assignment]  read once
    assert sent.database.read(read).as_json()["cost"]["cost"] == pytest.approx(0.03)
    shown = Caller(priced, role="ops").page("/health").text
    assert "<strong>0.03</strong> cost" in shown


def test_a_budget_that_is_spent_is_told_and_stops_no_text(sent, twilio, travel):
    context = with_settings(sent, price_per_segment=PRICE, budget_per_month=0.035)
    all_jobs_succeed(context)
    (found,) = (one.found for one in health.status(context, clock.now()).findings if one.rule.name == "budget")
    assert (found.state, found.tells) == ("wait", False)
    context = with_settings(sent, price_per_segment=PRICE, budget_per_month=0.02)
    faults.look(context, clock.now())
    (task,) = queries.tasks.list_tasks(context.database, kind="health")
    assert (task.urgency, task.rung_at) == ("soon", None)
    assert any(
        "0.03 of 0.02 spent this month, by 3 texts" in one for one in health.status(context, clock.now()).troubles
    )
    accept(context, 5, opens(3))
    travel(after(4))
    send(context)
    assert len(twilio.created()) == 4
