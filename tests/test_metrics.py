"""What each process counts, the page that lists it, and what it writes about itself."""

import json
import logging
import re
import urllib.request
from pathlib import Path

import pytest
from conftest import free_port, open_context, send
from prometheus_client.parser import text_string_to_metric_families
from test_backup import accept, after, opens
from web_caller import Caller

from reminders.service.operations import logs, metrics
from reminders.settings import LoggingSettings
from reminders.web import traffic

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"


@pytest.fixture
def here(sqlite_template, tmp_path, travel):
    (tmp_path / "here.db").write_bytes(sqlite_template.read_bytes())
    opened = open_context(f"sqlite:///{tmp_path / 'here.db'}", tmp_path, logging__access="true")
    yield opened
    opened.close()


def families(said: str) -> dict[str, tuple[str, set[str]]]:
    """Name → type and labels, as the page has them."""
    found = {}
    for family in text_string_to_metric_families(said):
        labels = {name for sample in family.samples for name in sample.labels} - {"le", "quantile"}
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, labels)
    return found


def test_every_metric_is_listed_with_its_type_and_labels(here):
    metrics.receipt("delivered", 0)
    metrics.receipt("undelivered", 30003)
    metrics.UNSIGNED.labels("shape").inc()
    metrics.PAGES.labels("taken").inc()
    metrics.JOBS.labels("send", "ok").inc()
    metrics.JOBS_IN.labels("plan").observe(1)
    metrics.answered("accepted", 0.2, segments=1, error_code=0)
    caller = Caller(here)
    caller.get("/healthz")
    shown = families(caller.get("/metrics").text)
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| .+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    assert shown == listed


def counted(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0


def test_what_twilio_answers_is_counted_and_timed(line, twilio, travel):
    for number in range(2):
        accept(line, number, opens(0))
    travel(after(1))
    names = ("reminders_segments_total", "reminders_attempt_duration_seconds_count")
    before = [counted("reminders_attempts_total", answer="accepted"), *map(counted, names)]
    send(line)
    assert len(twilio.created()) == 2
    assert [counted("reminders_attempts_total", answer="accepted"), *map(counted, names)] == [n + 2 for n in before]
    refused = counted("reminders_twilio_errors_total", code="30034")
    twilio.rule(fault="refuse", code=30034)
    accept(line, 3, opens(2))
    travel(after(3))
    send(line)
    assert counted("reminders_twilio_errors_total", code="30034") == refused + 1


def test_codes_and_statuses_of_tomorrow_are_one_label():
    assert metrics.code_of(30003) == "30003"
    assert metrics.code_of(39_999) == "other"
    before = counted("reminders_receipts_total", status="other")
    metrics.receipt("beamed", 0)
    assert counted("reminders_receipts_total", status="other") == before + 1


def test_requests_are_counted_by_route_and_a_refused_webhook_too(here, caplog):
    caplog.set_level(logging.INFO, "reminders")
    caller = Caller(here, role="ops")
    unsigned = counted("reminders_webhooks_refused_total", reason="signature")
    assert caller.post("/sms/status/abc", [("MessageSid", "SM1")], "wrong").status_code == 403
    assert counted("reminders_webhooks_refused_total", reason="signature") == unsigned + 1
    assert caller.get("/plans/DC-Jordan-Alvarez").status_code == 404
    assert caller.get("/Jordan/Alvarez").status_code == 404
    assert caller.get("/api/v1/plans/7531234567890123456").status_code == 401
    answer = caller.get("/static/app.css")
    assert re.fullmatch(r"[0-9a-f]{16}", answer.headers["x-request-id"])
    seen = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"])
        for family in metrics.REGISTRY.collect()
        for sample in family.samples
        if sample.name == "reminders_http_requests_total"
    }
    assert seen >= {("POST", "/sms/status/{ref}", "403"), ("GET", traffic.NO_ROUTE, "404")}
    routes = {route for _, route, _ in seen}
    assert any(route.startswith("/plans/{") for route in routes)
    assert any(route.startswith("/api/v1/plans/{") for route in routes)
    assert not [route for route in routes if "Jordan" in route or "753123" in route]
    lines = [record.getMessage() for record in caplog.records if record.name == "reminders.access"]
    assert any(re.fullmatch(r"POST /sms/status/\{ref\} 403 in \d+ ms", line) for line in lines)
    assert "Jordan" not in caplog.text


def test_a_worker_shows_what_it_counts_at_a_port_of_its_own(caplog):
    port = free_port()
    server, thread = metrics.serve("127.0.0.1", port)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert "reminders_build_info" in answer.read().decode()
    assert metrics.serve("127.0.0.1", port) is None
    assert "are not shown" in caplog.text
    server.shutdown()
    server.server_close()
    thread.join(5)


def record(*, error: bool = False) -> logging.LogRecord:
    info = None
    if error:
        try:
            int("Jordan Alvarez")
        except ValueError as wrong:
            info = (type(wrong), wrong, wrong.__traceback__)
    return logging.LogRecord("reminders.test", logging.ERROR, __file__, 1, "one\ntwo %d", (3,), info)


def formatted(how: LoggingSettings, one: logging.LogRecord) -> str:
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    try:
        logs.set_up(how=how)
        return root.handlers[0].format(one)
    finally:
        root.handlers[:], root.level = kept, level


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_error_is_one_line_with_its_request_and_without_its_text(form):
    token = logs.request_id.set("0123456789abcdef")
    try:
        said = formatted(LoggingSettings(format=form), record(error=True))
    finally:
        logs.request_id.reset(token)
    assert "\n" not in said
    assert "Jordan" not in said
    assert "ValueError" in said
    assert "0123456789abcdef" in said
    if form == "json":
        found = json.loads(said)
        assert (found["level"], found["logger"], found["message"]) == ("error", "reminders.test", "one\ntwo 3")
        assert found["error"].startswith("test_metrics.py:")
        assert "error" not in json.loads(formatted(LoggingSettings(format=form), record()))


def test_the_level_of_the_settings_holds():
    formatted(LoggingSettings(level="warning"), record())
    assert not logging.getLogger("reminders").isEnabledFor(logging.INFO)
    formatted(LoggingSettings(), record())
    assert logging.getLogger("reminders").isEnabledFor(logging.INFO)


def test_without_the_database_a_process_still_shows_its_own_figures(tmp_path):
    context = open_context(f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere", tmp_path)
    answer = Caller(context).get("/metrics")
    assert answer.status_code == 200
    shown = families(answer.text)
    assert {"reminders_database_up", "reminders_build_info"} <= shown.keys()
    assert "reminders_ok" not in shown
    context.close()
