import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from datetime import datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, quote

import pytest
import requests
from openapi_check import check
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from reminders import clock
from reminders.simulator import NotLoopbackError, Shell, Simulator, SimulatorSettings

OURS = "+15005550006"
PHONE = "+12025550143"
SETTINGS = SimulatorSettings(queued_after=0.01, sent_after=0.03, delivered_after=0.06, callback_pause=0.05)


class Checked(Simulator):
    """Checks every exchange against Twilio's OpenAPI; violations are kept for the test's end."""

    def __init__(self, settings, *, seed):
        super().__init__(settings, seed=seed)
        self.broken = []

    def handle(self, request, now):
        response = super().handle(request, now)
        # The available spec has only Messages.
        if request.path.startswith("/2010-") and response.headers["Content-Type"].startswith("application/json"):
            try:
                check(request, response)
            except Exception as broken:  # ruff: ignore[blind-except] whatever it is, it fails the test at its end
                self.broken.append(broken)
        return response


class Running:
    """A simulator on sockets in its own thread."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()))

    async def main(self):
        self.stop, self.loop = asyncio.Event(), asyncio.get_running_loop()
        async with Shell(self.simulator) as shell:
            self.port, self.control_port = shell.port, shell.control_port
            self.ready.set()
            await self.stop.wait()

    def __enter__(self):
        self.thread.start()
        assert self.ready.wait(5)
        return self

    def __exit__(self, *exc):
        self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(5)
        assert not self.thread.is_alive()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def control(self, method, path, document=None):
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.control_port}{path}", body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, json.load(answer)

    def client(self):
        client = Client(SETTINGS.account_sid, SETTINGS.auth_token)
        client.api.base_url = self.url
        client.http_client.timeout = 3
        return client

    def created(self):
        return self.control("GET", "/messages")[1]


@pytest.fixture
def running():
    simulator = Checked(SETTINGS, seed=11)
    with Running(simulator) as running:
        yield running
    assert simulator.broken == []


@pytest.fixture
def client(running):
    client = running.client()
    yield client
    client.http_client.session.close()


@pytest.fixture
def receiver():
    """The target of webhooks: keeps requests, and answers as configured."""

    class Receiver(ThreadingHTTPServer):
        daemon_threads = True
        got, answers = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            form = dict(parse_qsl(body.decode(), keep_blank_values=True))
            self.server.got.append((self.path, form, dict(self.headers)))
            answer = self.server.answers.pop(0) if self.server.answers else 204
            if isinstance(answer, float):
                time.sleep(answer)
                answer = 204
            with contextlib.suppress(OSError):
                self.send_response(answer)
                self.end_headers()

        def log_message(self, *args):
            pass

    server = Receiver(("127.0.0.1", 0), Handler)
    Receiver.got, Receiver.answers = [], []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def until(what, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.01)
    pytest.fail("it did not come to pass")


# The real SDK


def test_the_sdk_creates_fetches_lists_redacts_and_deletes(running, client):
    made = client.messages.create(to=PHONE, from_=OURS, body="See you then + ñ", validity_period=600)
    assert (made.status, made.num_segments, made.error_code, made.date_sent) == ("queued", "1", None, None)
    assert made.date_created.tzinfo is not None
    until(lambda: client.messages(made.sid).fetch().status == "delivered")
    found = client.messages.list(to=PHONE, date_sent_after=made.date_created.date(), limit=20)
    assert [(it.sid, it.body) for it in found] == [(made.sid, "See you then + ñ")]
    redacted = client.messages(made.sid).update(body="")
    assert (redacted.sid, redacted.body) == (made.sid, "")
    with pytest.raises(TwilioRestException) as refusal:
        client.messages(made.sid).delete()
    assert refusal.value.code == 20009
    (received,) = running.control("GET", f"/phones/{quote(PHONE)}")[1]
    assert (received["sid"], received["from"], received["body"]) == (made.sid, OURS, "See you then + ñ")


def test_the_sdk_pages_through_a_list(running, client):
    made = [client.messages.create(to=PHONE, from_=OURS, body=str(n)).sid for n in range(7)]
    assert [it.sid for it in client.messages.list(page_size=3)] == made[::-1]
    assert [it["sid"] for it in running.created()] == made


def test_the_sdk_cancels_a_scheduled_text(client):
    send_at = clock.now() + timedelta(hours=1)
    form = {"messaging_service_sid": "MG" + "a" * 32, "schedule_type": "fixed", "send_at": send_at}
    made = client.messages.create(to=PHONE, body="x", **form)
    assert made.status == "scheduled"
    assert client.messages(made.sid).update(status="canceled").status == "canceled"


@pytest.mark.parametrize(
    ("more", "code", "status"),
    [({"to": "+15005550009"}, 21614, 400), ({"from_": "+15005550001"}, 21212, 400), ({"body": ""}, 21602, 400)],
)
def test_the_sdk_gets_twilios_refusals(client, more, code, status):
    with pytest.raises(TwilioRestException) as refusal:
        client.messages.create(**{"to": PHONE, "from_": OURS, "body": "x", **more})
    assert (refusal.value.code, refusal.value.status) == (code, status)


def test_wrong_credentials(running):
    client = Client(SETTINGS.account_sid, "wrong")
    client.api.base_url = running.url
    with pytest.raises(TwilioRestException) as refusal:
        client.messages.create(to=PHONE, from_=OURS, body="x")
    client.http_client.session.close()
    assert (refusal.value.code, refusal.value.status) == (20003, 401)


# Webhooks


def test_status_callbacks_arrive_signed_and_in_turn(running, client, receiver):
    url = f"{receiver.url}/sms/status/ref%2D1?a=1"
    sid = client.messages.create(to=PHONE, from_=OURS, body="x", status_callback=f"{url}#rc=5&rp=all").sid
    until(lambda: len(receiver.got) == 2)
    for path, form, headers in receiver.got:
        assert path == "/sms/status/ref%2D1?a=1"
        assert form["MessageSid"] == sid
        assert RequestValidator(SETTINGS.auth_token).validate(url, form, headers["X-Twilio-Signature"])
    assert [form["MessageStatus"] for _, form, _ in receiver.got] == ["sent", "delivered"]
    journal = until(lambda: [it for it in running.control("GET", "/callbacks")[1] if it["outcome"] == 204])
    assert {it["kind"] for it in journal} == {"status"}


def test_a_failing_callback_is_tried_again_with_its_token(running, client, receiver):
    receiver.answers = [500, 204]
    running.control("POST", "/rules", {"to": PHONE, "outcome": "silent"})
    client.messages.create(to=PHONE, from_=OURS, body="x", status_callback=f"{receiver.url}/s#rc=2&rp=5xx")
    until(lambda: len(receiver.got) == 2)
    assert len({headers["I-Twilio-Idempotency-Token"] for _, _, headers in receiver.got}) == 1


def test_a_slow_receiver_loses_the_callback(running, client, receiver):
    receiver.answers = [0.5]
    running.control("POST", "/rules", {"to": PHONE, "outcome": "silent"})
    client.messages.create(to=PHONE, from_=OURS, body="x", status_callback=f"{receiver.url}/s#rt=100")
    (entry,) = until(lambda: [it for it in running.control("GET", "/callbacks")[1] if it["outcome"] is not None])
    assert (entry["outcome"], entry["lost"]) == ("rt", True)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "example.org", "203.0.113.7"])
def test_nothing_leaves_the_machine_and_nobody_listening_is_ct(running, client, host):
    client.messages.create(to=PHONE, from_=OURS, body="x", status_callback=f"http://{host}/s#rc=1")
    journal = until(lambda: [it for it in running.control("GET", "/callbacks")[1] if it["lost"]])
    assert {it["outcome"] for it in journal} == {"ct"}


def test_a_phone_texts_stop(running, client, receiver):
    running.control("POST", "/settings", {"inbound_url": f"{receiver.url}/sms/inbound"})
    status, answer = running.control("POST", f"/phones/{quote(PHONE)}/texts", {"to": OURS, "body": "STOP"})
    assert (status, answer["sid"][:2]) == (201, "SM")
    until(lambda: receiver.got)
    _, form, headers = receiver.got[0]
    assert (form["From"], form["To"], form["Body"]) == (PHONE, OURS, "STOP")
    url = f"{receiver.url}/sms/inbound"
    until(lambda: running.control("GET", "/counters")[1].get("callbacks answered") == 1)
    assert RequestValidator(SETTINGS.auth_token).validate(url, form, headers["X-Twilio-Signature"])
    with pytest.raises(TwilioRestException) as refusal:
        client.messages.create(to=PHONE, from_=OURS, body="x")
    assert refusal.value.code == 21610
    (texted,) = running.control("GET", f"/phones/{PHONE}/texts")[1]
    assert texted["answer"]
    assert [one["by"] for one in running.control("GET", f"/phones/{PHONE}/screen")[1]] == ["phone", "twilio"]


def test_while_our_host_is_down_the_fallback_answers_and_the_list_has_the_text(running, client, receiver):
    with socket.socket() as nobody:  # bound and not listening: a connection is refused
        nobody.bind(("127.0.0.1", 0))
        down = f"http://127.0.0.1:{nobody.getsockname()[1]}/sms/inbound"
        running.control("POST", "/settings", {"inbound_url": down, "fallback_url": f"{receiver.url}/fallback"})
        _, texted = running.control("POST", f"/phones/{quote(PHONE)}/texts", {"to": OURS, "body": "hello"})
        until(lambda: receiver.got)
    path, form, _ = receiver.got[0]
    assert (path, form["MessageSid"], form["ErrorCode"], form["ErrorUrl"]) == (
        "/fallback",
        texted["sid"],
        "11205",
        down,
    )
    assert [one["outcome"] for one in running.control("GET", "/callbacks")[1]][:2] == ["ct", "ct"]
    assert [one.sid for one in client.messages.list(to=OURS, limit=20)] == [texted["sid"]]


def test_the_pager_answers_beside_the_phones(running):
    running.control("POST", "/rules", {"fault": "refuse_page", "times": 1})
    began = clock.now()
    assert [running.control("POST", "/pager", {"title": "Task 7"})[0] for _ in range(2)] == [500, 200]
    pages = running.control("GET", "/pager")[1]
    assert [(one["message"], one["status"]) for one in pages] == [
        ({"title": "Task 7"}, 500),
        ({"title": "Task 7"}, 200),
    ]
    assert began <= datetime.fromisoformat(pages[1]["at"]) <= clock.now()


# Faults on the wire


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ({"fault": "hang_after_create"}, requests.exceptions.ReadTimeout),
        ({"fault": "close_after_create"}, requests.exceptions.ConnectionError),
        ({"fault": "reset_after_create"}, requests.exceptions.ConnectionError),
        ({"fault": "truncated"}, requests.exceptions.ChunkedEncodingError),
        ({"fault": "not_json"}, ValueError),
        ({"fault": "error_after_create"}, TwilioRestException),
        ({"fault": "latency", "seconds": 30}, requests.exceptions.ReadTimeout),
    ],
)
def test_s10_8_made_and_never_told(running, client, rule, error):
    client.http_client.timeout = 0.3
    running.control("POST", "/rules", {"match": {"to": PHONE}, "times": 1, **rule})
    with pytest.raises(error):
        client.messages.create(to=PHONE, from_=OURS, body="x")
    assert len(running.created()) == 1
    until(lambda: len(running.control("GET", f"/phones/{PHONE}")[1]) == 1)
    client.messages.create(to=PHONE, from_=OURS, body="x")
    assert len(running.created()) == 2


@pytest.mark.parametrize("rule", [{"fault": "too_many"}, {"fault": "error_before_create", "status": 502}])
def test_s10_8_not_made(running, client, rule):
    running.control("POST", "/rules", {"times": 1, **rule})
    with pytest.raises(TwilioRestException):
        client.messages.create(to=PHONE, from_=OURS, body="x")
    assert running.created() == []


def test_s10_8_a_drip_comes_byte_by_byte_and_whole_in_the_end(running, client):
    running.control("POST", "/rules", {"fault": "slow_drip", "seconds": 0.0001, "times": 1})
    began = time.monotonic()
    made = client.messages.create(to=PHONE, from_=OURS, body="x")
    assert time.monotonic() - began > 0.1
    assert client.messages(made.sid).fetch().sid == made.sid  # the connection is still good


def test_s10_8_a_late_answer_is_whole(running, client):
    running.control("POST", "/rules", {"fault": "latency", "seconds": 0.2, "times": 1})
    began = time.monotonic()
    assert client.messages.create(to=PHONE, from_=OURS, body="x").status == "queued"
    assert time.monotonic() - began > 0.2


def test_s10_8_refused_connections(running, client):
    client.messages.create(to=PHONE, from_=OURS, body="x")
    running.control("POST", "/rules", {"fault": "refuse_connection", "seconds": 0.3})
    with pytest.raises(requests.exceptions.ConnectionError, match="refused"):
        client.messages.create(to=PHONE, from_=OURS, body="x")
    until(lambda: answers(running))
    client.messages.create(to=PHONE, from_=OURS, body="x")
    assert len(running.created()) == 2
    running.control("POST", "/rules", {"fault": "refuse_connection", "seconds": 100})
    assert not answers(running)
    running.control("DELETE", "/rules")
    until(lambda: answers(running))


def answers(running):
    try:
        socket.create_connection(("127.0.0.1", running.port), timeout=1).close()
    except OSError:
        return False
    return True


# The wire itself


def test_keep_alive_pipelining_and_nonsense(running):
    head = b"GET /2010-04-01/Accounts/x/Messages.json HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as wire:
        wire.sendall((head + b"\r\n") * 2 + head + b"Connection: close\r\n\r\n")
        got = b""
        while chunk := wire.recv(65536):
            got += chunk
    assert got.count(b"HTTP/1.1 401 Unauthorized") == 3
    assert got.count(b"Connection: close") == 1
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as wire:
        wire.sendall(b"nonsense\r\n\r\n")
        assert wire.recv(65536).startswith(b"HTTP/1.1 400 ")
    with socket.create_connection(("127.0.0.1", running.port), timeout=5) as wire, contextlib.suppress(OSError):
        wire.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 2_000_000)
        assert wire.recv(65536) == b""


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_it_listens_on_loopback_only(host):
    with pytest.raises(NotLoopbackError):
        Shell(Simulator(SETTINGS, seed=1), host=host)


# Control


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({}, "outcome, fault"),
        ({"outcome": "lost"}, "outcome"),
        ({"fault": "hang_after_create", "outcome": "silent"}, "outcome, fault"),
        ({"fault": "sulk"}, "fault"),
        ({"fault": "latency", "seconds": -1}, "seconds"),
        ({"fault": "latency", "seconds": True}, "seconds"),
        ({"fault": "error_before_create", "status": []}, "status"),
        ({"outcome": "silent", "to": "somebody"}, "to"),
        ({"outcome": "silent", "match": {"from": OURS}}, "match"),
        ({"outcome": "silent", "colour": "red"}, "colour"),
        ({"fault": "too_many", "match": {"probability": 1.5}}, "probability"),
        ({"fault": "too_many", "times": 1.5}, "times"),
        ([7], "object"),
    ],
)
def test_a_wrong_rule_is_named(running, document, named):
    status, answer = running.control("POST", "/rules", document)
    assert status == 400
    assert named in answer["problem"]
    assert running.control("GET", "/rules")[1] == []


def test_control_refuses_what_it_cannot_read(running):
    assert running.control("GET", "/nowhere")[0] == 404
    assert running.control("DELETE", f"/phones/{PHONE}")[0] == 405
    for path, document in [
        ("/settings", {"auth_token": "mine"}),
        ("/settings", {"list_lag": "long"}),
        ("/settings", {"surprise_parameter": 2}),
        ("/settings", {"inbound_url": 7}),
        ("/settings", {"inbound_url": "sms/inbound"}),
        ("/settings", 7),
        (f"/phones/{PHONE}/texts", {"to": OURS}),
    ]:
        assert running.control("POST", path, document)[0] == 400
    assert running.control("POST", "/rules")[0] == 400


def test_control_counts_and_forgets(running, client):
    running.control("POST", "/rules", [{"outcome": "silent", "to": "0143"}, {"fault": "too_many", "to": "0199"}])
    client.messages.create(to=PHONE, from_=OURS, body="x")
    until(lambda: running.control("GET", "/counters")[1].get("sent"))
    counters = running.control("GET", "/counters")[1]
    assert (counters["created"], counters["requests"]) == (1, 1)
    assert len(running.control("GET", "/rules")[1]) == 2
    running.control("POST", "/reset")
    for path in ("/messages", "/rules", "/callbacks", f"/phones/{PHONE}"):
        assert running.control("GET", path)[1] == []
    assert running.control("GET", "/counters")[1] == {}


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_ends_cleanly_on_a_signal(number):
    program = (
        "from reminders.simulator import *\n"
        "run(Simulator(SimulatorSettings(), seed=1), port=0, control_port=0, "
        "ready=lambda *ports: print(*ports, flush=True))\n"
    )
    root = Path(__file__).resolve().parents[1]
    with subprocess.Popen([sys.executable, "-c", program], cwd=root, stdout=-1, stderr=-1, text=True) as child:
        port = int(child.stdout.readline().split()[0])
        wire = socket.create_connection(("127.0.0.1", port), timeout=5)
        child.send_signal(number)
        assert (child.wait(5), child.stderr.read()) == (0, "")
        wire.close()


def test_s10_14_the_clock_set_ahead_brings_what_was_hours_away(running, client, receiver):
    running.control("POST", "/rules", {"outcome": "delivered", "after": 7200})
    client.messages.create(to=PHONE, from_=OURS, body="x", status_callback=f"{receiver.url}/s")
    until(lambda: len(receiver.got) == 1)
    assert running.control("POST", "/clock", {"forward": 7200})[0] == 200
    until(lambda: len(receiver.got) == 2)
    assert [form["MessageStatus"] for _, form, _ in receiver.got] == ["sent", "delivered"]


HOME = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "[::1]:1"}, 200),
        ({"Host": "phones.example.org"}, 421),
        ({"Host": "127.0.0.1.example.org"}, 421),
        ({"Host": "["}, 421),
        ({"Host": ""}, 421),
        ({"Origin": "https://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),  # another port counts as another site's page
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "Text/Plain; charset=utf-8"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
    ],
)
def test_s16_a_page_of_another_site_changes_nothing_in_the_simulator(running, headers, status):
    for port, path in ((running.control_port, "/clock"), (running.port, "/2010-04-01/Accounts/AC0/Messages.json")):
        line = HTTPConnection("127.0.0.1", port, timeout=5)
        line.request("POST", path, b'{"forward": 60}', HOME | headers)
        answer = line.getresponse()
        answer.read()
        line.close()
        assert (answer.status in {200, 401, 404}) is (status == 200), path
        if status != 200:
            assert answer.status == status
    assert running.simulator.ahead == timedelta(seconds=60 if status == 200 else 0)
    if status == 421:  # nor is anything read
        line = HTTPConnection("127.0.0.1", running.control_port, timeout=5)
        line.request("GET", "/messages", headers=headers)
        assert line.getresponse().status == 421
        line.close()


def test_a_wall_clock_that_jumps_is_noticed(running, client, receiver):
    running.control("POST", "/rules", {"outcome": "delivered", "after": 7200})
    client.messages.create(to=PHONE, from_=OURS, body="x", status_callback=f"{receiver.url}/s")
    until(lambda: len(receiver.got) == 1)
    clock.correct(timedelta(hours=3))
    until(lambda: len(receiver.got) == 2)


def test_s10_7_a_callback_comes_before_the_201_is_written(running, client, receiver):
    running.control("POST", "/rules", {"fault": "callback_first", "seconds": 0.5})
    client.messages.create(to=PHONE, from_=OURS, body="x", status_callback=f"{receiver.url}/s")
    assert [form["MessageStatus"] for _, form, _ in receiver.got][:1] == ["sent"]


def test_s10_13_the_sdk_looks_a_number_up(running):
    client = running.client()
    client.lookups.base_url = running.url
    running.control("POST", f"/phones/{PHONE}", {"line_type": "landline", "reassigned": "yes"})
    found = client.lookups.v2.phone_numbers(PHONE).fetch(
        fields="line_type_intelligence,reassigned_number", last_verified_date="20260801"
    )
    client.http_client.session.close()
    assert (found.valid, found.country_code) == (True, "US")
    assert found.line_type_intelligence["type"] == "landline"
    assert found.reassigned_number["is_number_reassigned"] == "yes"
    assert found.url == f"{running.url}/v2/PhoneNumbers/{PHONE}"


def test_s10_8_a_suspended_account_refuses_the_sdk(running, client):
    running.control("POST", "/rules", {"fault": "suspended", "lasts": 100})
    with pytest.raises(TwilioRestException) as refusal:
        client.messages.create(to=PHONE, from_=OURS, body="x")
    assert (refusal.value.code, refusal.value.status) == (20003, 401)
    running.control("POST", "/clock", {"forward": 100})
    client.messages.create(to=PHONE, from_=OURS, body="x")
    assert len(running.created()) == 1
