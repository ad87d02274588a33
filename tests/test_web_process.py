"""`reminders web` as a process: it listens where configured, names no one in its output, and ends on request."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest
from api_caller import Program, make_key
from conftest import environment, free_port, open_context
from people import raw
from staff import signed_in
from web_caller import signature

pytestmark = pytest.mark.processes


@contextmanager
def web(database_url, folder, port):
    """A web process on that database, up and answering, and the file with all it wrote."""
    said = folder / "web.log"
    with said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "reminders", "web", "--port", str(port)],
            env={
                **os.environ,
                **environment(database_url),
                "TWILIO_AUTH_TOKEN": "the token",
                "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            },
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            ends = time.monotonic() + 60
            while not answers(port):
                assert process.poll() is None, said.read_text(encoding="utf-8")
                assert time.monotonic() < ends, "it did not come up"
                time.sleep(0.05)
            yield process, said
        finally:
            process.kill()
            process.wait(10)


def answers(port) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def listeners(port) -> list[str]:
    """The addresses on which someone listens at that port, as Linux writes them."""
    tables = [Path("/proc/net", name).read_text(encoding="ascii") for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    return [row[1].partition(":")[0] for row in rows if row[3] == "0A" and int(row[1].partition(":")[2], 16) == port]


@pytest.fixture
def sqlite_url(sqlite_template, tmp_path):
    path = tmp_path / "reminders.db"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


def test_it_serves_logs_nothing_personal_and_stops_when_asked(sqlite_url, tmp_path):
    port = free_port()
    with (
        web(sqlite_url, tmp_path, port) as (process, said),
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as browser,
        closing(open_context(sqlite_url, tmp_path)) as opened,
    ):
        signed_in(browser, opened, "ops")
        assert browser.get("/log?plan=Alvarez").status_code == 404
        form = [("AccountSid", "AC" + "0" * 32), ("MessageSid", "SM" + "1" * 32), ("MessageStatus", "sent")]
        form += [("To", "+12025550143"), ("Body", "Quimby")]
        signed = signature("http://127.0.0.1:8000/sms/status/some-ref", form, "the token")
        headers = {"x-twilio-signature": signed}
        answer = browser.post("/sms/status/some-ref", data=dict(form), headers=headers)
        assert answer.status_code == 204
        assert browser.post("/sms/status/some-ref", data=dict(form)).status_code == 403
        asked = Program(opened, make_key(opened), browser)
        document = raw(plan={"ref": "DC-Vireo"}, patient={"ref": "MRN-Plover"})
        assert asked.post("/plans", document).status_code == 201
        for path in ("/plans/~DC-Vireo", "/plans?ref=DC-Vireo", "/log?plan=~DC-Vireo", "/appointments?plan=~DC-Vireo"):
            assert asked.get(path).status_code == 200
        assert asked.get("/plans/~DC-Vireo/nosuch").status_code == 404
        assert asked.get("/plans?ref=DC-Vireo&limit=MRN-Plover").status_code == 422
        for found in ({"ref": "DC-Vireo"}, {"patient": "MRN-Plover"}):
            assert len(asked.post("/plans/search", found).json()["items"]) == 1
        assert len(asked.post("/patients/search", {"search": "MRN-Plover"}).json()["items"]) == 1
        assert asked.post("/plans/search", {"ref": "DC-Vireo", "limit": 0}).status_code == 422
        if Path("/proc/net/tcp").exists():
            assert listeners(port) == ["0100007F"]  # 127.0.0.1 and nothing else

        hanging = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        hanging[0].sendall(b"POST /sms/inbound HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nBody")
        hanging[1].sendall(b"GET /log HTTP/1.1\r\nHost: lo")
        time.sleep(0.1)
        asked_at = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) in {0, -signal.SIGTERM}
        assert time.monotonic() - asked_at < 8
        for one in hanging:
            one.close()
        words = said.read_text(encoding="utf-8")
        personal = ("Alvarez", "5550143", "Quimby", "some-ref", "/sms/", "/log", "Vireo", "Plover", "/api/", "ref=")
        assert [word for word in personal if word in words] == []
        assert "a status callback for an attempt that is none of ours" in words
        assert "Traceback" not in words
