"""What must be noticed when everything is down, and who calls people when no worker is left."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import until
from oncall import Clinic
from test_backup import after
from test_web_pages import all_jobs_succeed

from jobs.sender_thread import Line
from reminders import clock, queries
from reminders.queries import explanations
from reminders.service.operations import health, standing_in
from reminders.service.operations.heartbeat import Heartbeat
from reminders.settings import SettingsError, in_force, load


class Outside(ThreadingHTTPServer):
    """A pretend check outside. It keeps what it was called with, and may be slow."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: list[tuple[str, str, bytes]] = []
        self.slow = threading.Event()
        self.slow.set()
        self.status = 200
        self.url = f"http://127.0.0.1:{self.server_port}/ping/abc"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def paths(self):
        return [path for _, path, _ in self.calls]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.server.slow.wait(5)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.calls.append((self.command, self.path, body))
        self.send_response(self.server.status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    do_GET = do_POST  # ruff: ignore[mixed-case-variable-in-class-scope]  the name is the library's

    def log_message(self, *_):
        """A call is no news on stderr."""


@pytest.fixture
def outside():
    server = Outside()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def beat(outside):
    made = Heartbeat(outside.url, every=0.0, deadline=0.3)
    made.start()
    yield made
    made.stop()


def test_a_good_scan_is_told_and_carries_nothing(outside, beat):
    beat.good("poll")  # no scan
    beat.good("send")
    until(lambda: outside.calls)
    assert outside.calls == [("POST", "/ping/abc", b"")]


def test_while_any_job_fails_that_is_told_and_scans_are_no_heartbeat(outside, beat):
    beat.bad("poll")
    until(lambda: outside.paths == ["/ping/abc/fail"])
    beat.good("send")
    assert beat._told.keys() == {"/fail"}
    beat.good("page")
    beat.bad("watch")
    until(lambda: len(outside.calls) == 2)
    beat.good("poll")
    beat.good("watch")
    beat.good("send")
    until(lambda: len(outside.calls) == 3)
    assert outside.paths == ["/ping/abc/fail", "/ping/abc/fail", "/ping/abc"]


def test_it_is_told_once_a_minute_but_a_failure_and_its_end_at_once(outside):
    beat = Heartbeat(outside.url, every=60)
    beat.start()
    for _ in range(20):
        beat.good("send")
    until(lambda: outside.paths == ["/ping/abc"])
    beat.bad("send")
    until(lambda: len(outside.calls) == 2)
    beat.good("send")
    until(lambda: len(outside.calls) == 3)
    assert outside.paths == ["/ping/abc", "/ping/abc/fail", "/ping/abc"]
    beat.stop()


def test_an_address_that_hangs_or_leads_elsewhere_holds_no_one_up(outside, beat, caplog):
    outside.slow.clear()
    beat.good("send")
    until(lambda: "could not be told" in caplog.text)
    outside.slow.set()
    outside.status = 302
    beat.good("send")
    until(lambda: "answers 302" in caplog.text)
    assert "/elsewhere" not in outside.paths
    assert "ping" not in caplog.text  # the address is a secret


def test_the_workers_line_tells_of_its_scans(context, outside, beat, monkeypatch):
    line = Line(context, beat)
    line.start()
    line.wake()
    until(lambda: "/ping/abc" in outside.paths)
    monkeypatch.setattr(context.database, "read", lambda _: 1 / 0)
    line.wake()
    until(lambda: "/ping/abc/fail" in outside.paths)
    line.stop()


@pytest.mark.parametrize(
    "wrong", ["http://hc.example.org/x", "hc.example.org/x", "https://", "https://a.example/x?y=1"]
)
def test_the_address_is_https_or_on_this_machine_and_is_not_printed(tmp_path, wrong):
    with pytest.raises(SettingsError, match=r"jobs\.heartbeat_url: must be an https address"):
        load({"REMINDERS_JOBS__HEARTBEAT_URL": wrong}, tmp_path)
    environ = {"REMINDERS_JOBS__HEARTBEAT_URL": "https://hc.example.org/secret/"}
    settings = load(environ, tmp_path)
    assert settings.jobs.heartbeat_url == "https://hc.example.org/secret"
    assert {value for name, value, _ in in_force(settings, environ) if name == "jobs.heartbeat_url"} == {"***"}


@pytest.fixture
def clinic(database_url, tmp_path, travel, twilio):
    opened = Clinic(database_url, tmp_path, travel, twilio, ("First", {}), ("Second", {}))
    all_jobs_succeed(opened.context)
    yield opened
    opened.close()


def test_with_every_worker_dead_the_web_process_repeats_escalates_and_tells_ops(clinic):
    context = clinic.context
    clinic.accept()
    clinic.pager.answers = [500, 200]
    clinic.text("I want to die")  # the web process pages at once; no one's service takes it
    assert clinic.pager.called() == ["First"]
    clinic.travel(after(0.5))
    assert standing_in.stand_in(context, clock.now()) == []  # a worker may be there
    assert clinic.pager.called() == []
    clinic.travel(after(2))
    assert standing_in.stand_in(context, clock.now()) == ["page", "health"]
    assert clinic.pager.called() == ["First"]
    clinic.travel(after(16))
    assert standing_in.stand_in(context, clock.now()) == ["page", "health"]
    assert "Second" in clinic.pager.called()
    faults = queries.tasks.list_tasks(context.database, kind="health")
    said = [explanations.detail(one) for fault in faults for one in clinic.story(fault.id) if one.what == "fault"]
    assert any(one.startswith("Jobs: Behind: send") for one in said)
    assert not health.status(context, clock.now()).jobs["page"].fresh  # what only we do is late, and looks so
    all_jobs_succeed(context)
    assert standing_in.stand_in(context, clock.now()) == []
