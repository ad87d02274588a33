"""The health page: every light with what to do, and the same numbers everywhere."""

import json
import re
import shutil
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa
from conftest import NOW, environment, open_context
from people import one_off
from test_pages_log import fail
from test_web_pages import Page, all_jobs_succeed, figures
from two_sites import accept, hear, open_north
from typer.testing import CliRunner
from web_caller import Caller

from reminders import clock, queries
from reminders.cli import app
from reminders.queries import statistics
from reminders.service.operations import counting, health, health_checks
from reminders.store.database import schema
from reminders.store.database.ids import new_id
from reminders.web import charts

TODAY = [one_off("visit", "2026-11-30T11:30:00", leads=["90m"])]


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    shutil.copy(sqlite_template, tmp_path / "here.db")
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path)
    open_north(opened)
    yield opened
    opened.close()


@pytest.fixture
def busy(here):
    for number in range(1, 9):
        accept(here, number, "north" if number > 6 else "main", series=TODAY)
        ref = f"DC-north-{number}" if number > 6 else f"DC-{number}"
        fail(here, ref, 30003 if number == 1 else 0, "undelivered" if number == 1 else "delivered")
    hear(here, "STOP", 3)
    return here


def page(context, path="/health", role="ops", site=None) -> tuple[Page, str]:
    answer = Caller(context, role=role, site=site).page(path)
    assert answer.status_code == 200
    return Page(answer), answer.text


def shining(context) -> dict[str, str]:
    return {light.name: light.state for light in health_checks.lights(context, clock.now())}


def test_every_light_says_what_to_do(here):
    all_jobs_succeed(here)
    names = set(shining(here))
    assert names == {
        "Sender", "Jobs", "Oldest due text", "Senders", "Sending", "Backlog", "Pages to on-call", "Urgent tasks",
        "Callbacks", "Twilio's answers", "Database", "Clock", "Disk", "Backup", "Proxies",
    }  # fmt: skip
    shown, _ = page(here)
    assert len([one for one in shown.all("li") if "light" in (one.get("class") or "")]) == len(names)
    assert all(len(light.runbook) > 30 for light in health_checks.lights(here, NOW))
    assert {name for name, state in shining(here).items() if state != "ok"} == {"Backup"}


def change(context, table, **values):
    context.database.write(lambda tx: tx.run(table.update().values(**values)))


def test_each_light_goes_red_for_its_own_reason(here, travel):
    accept(here, series=TODAY)
    all_jobs_succeed(here)
    assert shining(here)["Oldest due text"] == "ok"
    travel(NOW + timedelta(minutes=8))
    assert {"Sender", "Jobs", "Oldest due text"} <= {name for name, state in shining(here).items() if state == "bad"}
    all_jobs_succeed(here)
    change(here, schema.texts, held="backlog", ready=False)
    change(here, schema.senders, stopped_until=NOW + timedelta(hours=1), stopped_code=30002)
    health.pause_site(here, "main", NOW, pause=True, who="test")
    red = {name for name, state in shining(here).items() if state != "ok"}
    assert red == {"Backlog", "Senders", "Sending", "Backup"}
    shown, _ = page(here)
    assert any("main" in line for line in shown.said("p") if line.startswith("Paused at"))


def test_silent_callbacks_and_answers_that_fail_are_seen(here, travel):
    accept(here, series=[one_off(f"v{n}", f"2026-11-30T{n}:30:00", leads=["2h"]) for n in (13, 14, 15, 16, 17)])
    all_jobs_succeed(here)
    fail(here, "DC-1", 0, "sent")
    change(here, schema.attempts, answered_at=NOW - timedelta(minutes=20))
    assert shining(here)["Callbacks"] == "bad"
    attempt = here.database.read(lambda tx: tx.value(sa.select(sa.func.min(schema.attempts.c.id))))
    row = {"id": new_id(NOW), "attempt_id": attempt, "status": "sent", "heard_at": NOW, "heard_by": "callback"}
    here.database.write(lambda tx: tx.run(schema.receipts.insert(), row | {"raw_sealed": b"x", "error_code": 0}))
    assert shining(here)["Callbacks"] == "ok"
    assert shining(here)["Twilio's answers"] == "ok"
    change(here, schema.attempts, answer="unknown")
    many = here.database.read(lambda tx: tx.value(sa.select(sa.func.count()).select_from(schema.attempts)))
    assert (shining(here)["Twilio's answers"] == "bad") == (many >= 5)


def test_too_few_texts_make_no_charts(here):
    shown, _ = page(here)
    assert "Not enough data yet (0 texts). Charts appear after the first hour with texts." in shown.said("p")
    assert not shown.all("polyline")


def test_every_number_of_a_chart_stands_in_a_table_and_leads_into_the_log(busy):
    shown, text = page(busy, "/health?range=24h")
    assert len(shown.all("polyline") + shown.all("circle")) > 0
    tables = [
        caption for caption in shown.said("caption") if caption in {"Texts", "Delivery rate", "Segments", "Replies"}
    ]
    assert len(tables) == 4
    links = [one["href"] for one in shown.all("a") if one["href"].startswith("/log?since=")]
    assert len(links) >= 2 * 24 * 6
    hour = next(one for one in links if "2026-11-30T15" in one.split("&")[0])
    log = Page(Caller(busy, role="ops").page(hour))
    assert log.said("caption")[0].startswith("8 texts")
    assert "target 95%" in shown.said("text")
    assert " style=" not in text
    assert "30003" in " ".join(shown.said("th"))


def test_a_site_sees_its_own_numbers_and_no_other(busy):
    shown, _ = page(busy, role="coordinator", site="north")
    assert "2 delivered" in shown.said("li")
    assert Caller(busy, role="coordinator", site="north").page("/health?site=main").status_code == 404
    for wrong in ("/health?range=1y", "/health?site=moon"):
        assert Caller(busy, role="ops").page(wrong).status_code == 404


@pytest.mark.parametrize("few", [0, 20_000])
def test_page_command_line_and_monitors_show_the_same_numbers(busy, tmp_path, monkeypatch, few):
    counting.tally(busy, clock.now())
    monkeypatch.setattr(queries.counts, "FEW", few)
    monkeypatch.chdir(tmp_path)

    def said(range_: str) -> dict:
        done = CliRunner().invoke(
            app, ["stats", "--json", "--range", range_], env=environment(f"sqlite:///{tmp_path}/here.db")
        )
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    for range_ in statistics.RANGES:
        numbers = said(range_)
        shown, _ = page(busy, f"/health?range={range_}")
        words = shown.said("li")
        for name, word in (
            ("handed_over", "handed over"),
            ("delivered", "delivered"),
            ("not_delivered", "not delivered"),
        ):
            assert f"{numbers[name]} {word}" in words
            link = next(one["href"] for one in shown.all("a") if one["href"].endswith(f"state={WORDS[name]}"))
            caption = Page(Caller(busy, role="ops").page(link)).said("caption")[0]
            assert re.match(rf"{numbers[name]} text", caption), urlsplit(link).query
        assert f"{numbers['segments']} segments" in words
        assert f"{numbers['replies']} replies, {numbers['stops']} STOP" in words
        assert numbers == json.loads(json.dumps(_direct(busy, range_), default=lambda at: at.isoformat()))
    machines = {state: many for (name, state), many in figures(busy).items() if name == "reminders_texts" and many}
    assert machines == said("all")["states"]


WORDS = {"handed_over": "handed_over", "delivered": "delivered", "not_delivered": "undelivered"}


def _direct(context, range_):
    zone = context.settings.site.zone
    return context.database.read(lambda tx: statistics.numbers(tx, clock.now(), range_=range_, zone=zone)).as_json()


def test_a_chart_stays_within_its_frame():
    places = [(str(n), "/log") for n in range(40)]
    chart = charts.columns("a", "A", "", places, [("line-1", "x", list(range(40))), ("line-3", "y", [7] * 40)])
    assert all(0 <= bar.y <= bar.y + bar.height <= chart.floor + 0.2 for bar in chart.bars)
    assert all(bar.x + bar.width <= chart.width for bar in chart.bars)
    assert all(place.width >= 24 for place in chart.places)
    values = [None, 1.0, 5.0, None, 1e9, *[None] * 35]
    scale = charts.log_scale(1, 86_400)
    chart = charts.lines(
        "b", "B", "", places, [("line-1", "x", values)], scale=scale, ticks=[], thresholds=[(60, "slow")], shown=str
    )
    assert len(chart.dots) == 3
    assert len(chart.lines) == 1
    assert all(charts.TOP <= dot.y <= chart.floor for dot in chart.dots)
    assert charts.columns("c", "C", "", [], []).bars == []
