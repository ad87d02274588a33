"""The service in operation: web, worker and a pretend Twilio as separate processes, on both databases."""

import itertools
import json
import os
import signal
import time
import urllib.request
from datetime import timedelta
from pathlib import Path

import pytest
from conftest import environment, free_port
from nursery import Nursery

from reminders import clock
from reminders.plans import to_wall

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]

ZONE = "America/New_York"

PLAN = """
[plan]
ref = "{ref}"
site = "main"
discharged_on = {yesterday}
[patient]
ref = "MRN-{ref}"
name = "{name}"
phone = "{phone}"
zone = "America/New_York"
[consent]
said = "yes"
on = {yesterday}
how = "signed form"
by = "A. Reyes"
categories = ["appointments"]
warned_of_risk = true
verified = "read aloud"
[[series]]
key = "visit"
kind = "therapy_individual"
starts = {starts}
place = "Room Quagmire"
with = "Dr. Blumenkrantz"
leads = ["1h"]
"""


class Service:
    """Everything that runs, on one database; each process writes its own log."""

    _each = itertools.count()

    def __init__(self, nursery: Nursery, folder: Path, url: str, **more: str) -> None:
        self.nursery = nursery
        self.folder = folder
        self.web, self.api, self.phones = free_port(), free_port(), free_port()
        settings = {
            "twilio__api_base_url": f"http://127.0.0.1:{self.api}",
            "twilio__deadline_seconds": "2",
            "twilio__segments_per_second": "0",
            "web__port": str(self.web),
            "web__public_url": f"http://127.0.0.1:{self.web}",
            "sending__quiet_hours": '["00:00", "00:00"]',
            "sending__welcome": "false",  # as in conftest
            "sending__lease_seconds": "8",
            "sending__settle_seconds": "3",
            "jobs__send_seconds": "1",
            "jobs__settle_seconds": "1",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("REMINDERS_", "TWILIO_"))}
        self.environment = kept | environment(url, **settings | more)
        self.running: dict[str, str] = {}  # by its name here, its name in the nursery

    def start(self, name: str) -> None:
        run = {
            "simulator": ["simulator", f"--port={self.api}", f"--control-port={self.phones}"],
            "web": ["web"],
            "worker": ["jobs"],
        }[name.partition("-")[0]]
        self.running[name] = self._run(run, self.folder / f"{name}.log")

    def _run(self, run: list[str], log: Path, out: Path | None = None) -> str:
        one = f"{' '.join(run[:1])} {next(self._each)}"
        self.nursery.start(one, run, environment=self.environment, folder=self.folder, log=log, out=out)
        return one

    def signal(self, name: str, number: signal.Signals) -> None:
        self.nursery.signal(self.running[name], number)

    def kill(self, name: str) -> None:
        self.signal(name, signal.SIGKILL)
        self.nursery.wait(self.running.pop(name), 10)

    def stop(self, name: str) -> int:
        self.signal(name, signal.SIGTERM)
        return self.nursery.wait(self.running.pop(name), 30)

    def reminders(self, *arguments: str, code: int = 0) -> str:
        log, out = self.folder / "commands.log", self.folder / "command.out"
        ended = self.nursery.wait(self._run(list(arguments), log, out), 60)
        said = out.read_text()
        out.unlink()
        assert ended == code, log.read_text()
        return said

    def log(self) -> list[dict]:
        return [json.loads(line) for line in self.reminders("log", "--json").splitlines()]

    def ask(self, path: str, document: dict | None = None):
        body = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.phones}{path}", body)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def messages(self) -> list[dict]:
        return self.ask("/messages")

    def up(self) -> None:
        """Start all three and wait until they answer."""
        for name in ("simulator", "web", "worker"):
            self.start(name)
        for port, path in ((self.web, "/healthz"), (self.phones, "/messages")):
            wait_for(lambda port=port, path=path: _answers(f"http://127.0.0.1:{port}{path}"))

    def close(self) -> None:
        for name in list(self.running):
            self.kill(name)

    def plan(self, ref: str, *, opens_in: float, phone: str = "+12025550143", name: str = "Jordan Alvarez") -> Path:
        """A plan file with a visit whose one-hour window opens in that many seconds."""
        now = clock.now()
        starts = to_wall(now + timedelta(hours=1, seconds=opens_in), ZONE).replace(microsecond=0)
        path = self.folder / f"{ref}.toml"
        yesterday = to_wall(now, ZONE).date() - timedelta(days=1)  # so that it is in their first week at any hour
        path.write_text(PLAN.format(ref=ref, yesterday=yesterday, starts=starts.isoformat(), phone=phone, name=name))
        return path


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


def wait_for(what, seconds: float = 40):
    ends = time.monotonic() + seconds
    while True:
        began = time.monotonic()
        if found := what():
            return found
        assert time.monotonic() < ends, "it did not come about in time"
        time.sleep(min(max(0.1, time.monotonic() - began), 0.25))  # who asks leaves the machine to who is asked


@pytest.fixture
def service(nursery, database_url, tmp_path):
    running = Service(nursery, tmp_path, database_url)
    yield running
    running.close()


def test_the_main_job_from_a_plan_file_to_a_delivery_outcome(service):
    service.up()
    plan = service.plan("DC-1", opens_in=4)
    before = json.loads(service.reminders("preview", str(plan), "--json"))
    done = json.loads(service.reminders("import", str(plan), "--json"))
    assert done.pop("notes") == []
    assert done == {
        "accepted": 1,
        "unchanged": 0,
        "refused": [],
        "texts": {"added": 1, "moved": 0, "retracted": 0},
    }
    (text,) = wait_for(lambda: [one for one in service.log() if one["state"] == "delivered"])
    (message,) = service.messages()
    assert message["body"] == before[0]["text"]
    assert text["attempts"][0]["sid"] == message["sid"]
    again = json.loads(service.reminders("import", str(plan), "--json"))
    assert (again["accepted"], again["unchanged"], again["texts"]["added"]) == (0, 1, 0)
    status = json.loads(service.reminders("status", "--json"))
    assert status["ok"], status
    later = plan.read_text().replace(
        next(line for line in plan.read_text().splitlines() if line.startswith("starts")),
        "starts = 2031-01-06T09:00:00",
    )
    plan.write_text(later.replace("2031", str(clock.now().year + 1)))
    service.reminders("import", str(plan))
    wait_for(lambda: len(service.messages()) == 2)  # the visit was near: its new time is told
    # SEC-10: a key that the processes do not have seals nothing while one of them is running.
    service.environment["REMINDERS_SEALING_KEYS"] = f"k2:{'A' * 43}=,{service.environment['REMINDERS_SEALING_KEYS']}"
    service.reminders("keys", "rotate", code=1)
    refused = " ".join((service.folder / "commands.log").read_text().split())
    assert all(f"the {kind} process" in refused for kind in ("web", "worker"))
    assert service.stop("worker") == 0
    assert service.stop("web") in {0, -signal.SIGTERM}  # uvicorn ends cleanly, then by the signal it was sent
    assert service.stop("simulator") == 0
    service.reminders("keys", "rotate")


def test_promise_2_sigkill_between_claim_and_answer_doubles_and_loses_nothing(service):
    service.up()
    service.ask("/rules", {"fault": "latency", "seconds": 1.5, "times": 1000})
    phones = [f"+1202555{number:04d}" for number in range(110, 122)]
    for number, phone in enumerate(phones):
        service.plan(f"P-{number}", opens_in=6, phone=phone, name=f"Invented {number}")
    service.reminders("import", str(service.folder))
    wait_for(service.messages)  # accepted by Twilio, and no answer yet
    service.kill("worker")
    service.start("worker")
    texts = wait_for(lambda: _all_delivered(service), 60)
    assert len(texts) == len(phones)
    time.sleep(2)  # and nothing more comes after
    assert sorted(message["to"] for message in service.messages()) == phones


def test_promise_2_sigkill_while_twilio_hangs_doubles_and_loses_nothing(service):
    service.up()
    phones = [f"+1202555{number:04d}" for number in range(130, 136)]
    for number, phone in enumerate(phones):
        service.plan(f"P-{number}", opens_in=4, phone=phone, name=f"Invented {number}")
    service.reminders("import", str(service.folder))
    # Twilio takes the connection and the bytes, and does nothing until long after our death.
    service.signal("simulator", signal.SIGSTOP)
    wait_for(lambda: any(text["state"] == "sending" for text in service.log()))
    service.kill("worker")
    service.signal("simulator", signal.SIGCONT)
    service.start("worker")
    texts = wait_for(lambda: _all_delivered(service), 60)
    assert len(texts) == len(phones)
    time.sleep(2)
    assert sorted(message["to"] for message in service.messages()) == phones


def _all_delivered(service: Service) -> list[dict]:
    texts = service.log()
    return texts if {text["state"] for text in texts} == {"delivered"} else []


def test_sigterm_lets_texts_on_the_wire_finish(service):
    service.up()
    service.ask("/rules", {"fault": "latency", "seconds": 1, "times": 1000})
    service.plan("DC-1", opens_in=4)
    service.reminders("import", str(service.folder))
    wait_for(service.messages)
    assert service.stop("worker") == 0
    (text,) = service.log()
    assert text["state"] in {"sent", "delivered"}
    assert text["attempts"][0]["answer"] == "accepted"
