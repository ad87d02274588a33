"""Whether the service works, and whether it may go live."""

import asyncio
import contextlib
import threading
from datetime import date
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar
from urllib.parse import urlsplit

import pytest
from conftest import KEYS, NOW, free_port, open_context

from reminders import store
from reminders.service import AppContext
from reminders.service.operations import health
from reminders.service.operations.logs import _Formatter
from reminders.settings import Secrets, WebSettings, on_call


@pytest.fixture
def context(context):
    """The house at an address where nothing answers, since another program may use the default port."""
    web = context.settings.web.model_copy(update={"public_url": f"http://127.0.0.1:{free_port()}"})
    return AppContext(context.settings.model_copy(update={"web": web}), context.secrets, context.database)


def doctor(context, *, live: bool = False) -> dict[str, health.Check]:
    return {check.check: check for check in asyncio.run(health.doctor(context, live=live))}


class _Demo(BaseHTTPRequestHandler):
    """Another program on the default port."""

    asked: ClassVar[list[str]] = []

    def do_POST(self):
        self.asked.append(self.path)
        self.send_error(403)

    do_GET = do_POST  # ruff: ignore[mixed-case-variable-in-class-scope]  the name is the library's


def test_code_16_these_tests_ask_nothing_of_a_demo_on_the_usual_port(context):
    usual = urlsplit(WebSettings().public_url).port
    assert urlsplit(context.settings.web.public_url).port != usual
    with contextlib.suppress(OSError), HTTPServer(("127.0.0.1", usual), _Demo) as demo:  # a real demo may have it
        threading.Thread(target=demo.serve_forever, args=(0.02,), daemon=True).start()
        assert not doctor(context, live=True)["webhook /sms/inbound"].ok
        demo.shutdown()
    assert _Demo.asked == []


def test_the_doctor_finds_a_database_without_its_schema(tmp_path):
    context = open_context(f"sqlite:///{tmp_path / 'empty.db'}", tmp_path)
    check = doctor(context)["database"]
    assert not check.ok
    assert check.fix.startswith("run `reminders migrate`")
    context.close()


def test_f50_the_doctor_names_the_sealing_key_that_is_missing(context):
    other = AppContext(context.settings, context.secrets, store.Database(_url(context), store.Ring({"k9": b"9" * 32})))
    check = doctor(other)["sealing keys"]
    assert not check.ok
    assert "'k1'" in check.detail
    other.close()


def _url(context) -> str:
    return context.settings.database.url


def test_the_doctor_says_which_job_never_ran(context):
    checks = doctor(context)
    assert checks["database"].ok
    assert checks["sealing keys"].ok
    assert not checks["job send"].ok
    assert "python -m jobs" in checks["job send"].fix


def test_before_going_live_everything_must_be_on_record(context):
    checks = doctor(context, live=True)
    missing = {name for name, check in checks.items() if not check.ok}
    assert missing >= {
        "phone",
        "24/7 line",
        "on-call",
        "consent wording",
        "BAA",
        "QSOA",
        "campaign",
        "public address",
        "webhook /sms/status/doctor",
        "webhook /sms/inbound",
    }
    assert all(checks[name].fix for name in missing)
    assert checks["alias"].ok
    assert checks["own keys"].ok


def test_generated_keys_are_refused_when_live(context):
    secrets = context.secrets
    made = Secrets(secrets.account_sid, secrets.auth_token, None, None, secrets.secret_key, KEYS, made_here=True)
    checks = doctor(AppContext(context.settings, made, context.database), live=True)
    assert not checks["own keys"].ok


def test_live_is_refused_until_the_checks_pass(context):
    live = context.settings.model_copy(update={"twilio": context.settings.twilio.model_copy(update={"live": True})})
    ready = AppContext(live, context.secrets, context.database)
    with pytest.raises(health.NotReady, match="BAA"):
        health.gate(ready)
    with pytest.raises(health.NotReady, match="webhook"):
        health.gate(ready)
    with pytest.raises(health.NotReady) as without:
        health.gate(ready, webhooks=False)
    assert "webhook" not in str(without.value)
    health.gate(context)  # not live: no one is texted


def test_what_is_recorded_counts(context):
    site = context.settings.site.model_copy(
        update={"phone": "+18564437700", "line24": "+18564437701", "on_call": on_call(["json://127.0.0.1:9000/"])}
    )
    recorded = context.settings.go_live.model_copy(
        update={
            "baa_on": date(2026, 11, 2),
            "qsoa_on": date(2026, 11, 2),
            "campaign_on": date(2026, 11, 9),
            "consent_wording": "2026-10",
        }
    )
    ready = AppContext(
        context.settings.model_copy(update={"site": site, "go_live": recorded}), context.secrets, context.database
    )
    checks = doctor(ready, live=True)
    assert {name for name in ("phone", "24/7 line", "on-call", "BAA", "QSOA", "campaign") if checks[name].ok} == {
        "phone",
        "24/7 line",
        "on-call",
        "BAA",
        "QSOA",
        "campaign",
    }


def test_a_site_pauses_once(context):
    assert health.pause_site(context, None, NOW, pause=True, who="test") is True
    assert health.pause_site(context, None, NOW, pause=True, who="test") is False
    assert health.pause_site(context, "nowhere", NOW, pause=True, who="test") is None
    assert health.pause_site(context, "main", NOW, pause=False, who="test") is True


def test_promise_5_a_log_line_shows_the_sort_of_error_and_not_its_text():
    words = "Jordan Alvarez +12025550143"
    try:
        int(words)
    except ValueError as error:
        shown = _Formatter().formatException((ValueError, error, error.__traceback__))
    assert "test_service_health" in shown
    assert shown.endswith("ValueError")
    assert "Jordan" not in shown
