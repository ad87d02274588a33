"""`reminders demo`: web, worker and a pretend Twilio as processes of their own, on a throw-away database.

A handful of invented patients have visits whose texts fall due within the next minute or two; the demo shows what
becomes of each.
"""

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from reminders import clock, plans, store
from reminders.service import House, importing, planning, story
from reminders.settings import load
from reminders.store.texts import LogFilter, Logged

ZONE = "America/New_York"


@dataclass(frozen=True)
class Invented:
    """A made-up patient: what is agreed, what the pretend phone does, and what the demo is to show."""

    ref: str
    name: str
    phone: str
    shows: str
    opens_in: int
    language: str = "en"
    consent: str = "yes"
    kind: str = "therapy_individual"
    outcome: str | None = None
    error_code: int | None = None


PATIENTS = (
    Invented("DEMO-1", "Jordan Alvarez", "+12025550143", "delivered", 15),
    Invented("DEMO-2", "Lucia Ferrer", "+12025550144", "delivered, in Spanish", 20, language="es"),
    Invented("DEMO-3", "Sam Okafor", "+12025550145", "phone off", 25, outcome="undelivered", error_code=30003),
    Invented("DEMO-4", "Pat Lindgren", "+12025550146", "a landline", 30, outcome="undelivered", error_code=30006),
    Invented("DEMO-5", "Robin Castellano", "+12025550147", "called off in time", 60),
    Invented("DEMO-6", "Max Whitfield", "+12025550148", "no consent", 35, consent="no"),
    Invented("DEMO-7", "Dana Petrov", "+12025550149", "delivery never confirmed", 40, outcome="silent"),
    Invented("DEMO-8", "Toni Marchetti", "+12025550150", "refused: had opted out", 45),
)


def plan_of(patient: Invented, now: datetime) -> str:
    """A plan file for this patient, with a visit whose one-hour text opens in `opens_in` seconds."""
    starts = plans.to_wall(now + timedelta(hours=1, seconds=patient.opens_in), ZONE).replace(microsecond=0)
    today = plans.to_wall(now, ZONE).date()
    return f"""
[plan]
ref = "{patient.ref}"
discharged_on = {today - timedelta(days=1)}

[patient]
ref = "MRN-{patient.ref}"
name = "{patient.name}"
phone = "{patient.phone}"
language = "{patient.language}"
zone = "{ZONE}"

[consent]
said = "{patient.consent}"
on = {today - timedelta(days=2)}
how = "signed form"
by = "A. Reyes"
categories = ["appointments"]
warned_of_risk = true
wording = "2026-10"
alias_shown = true
verified = "read aloud"

[[series]]
key = "visit"
kind = "{patient.kind}"
starts = {starts.isoformat()}
minutes = 50
leads = ["1h"]
"""


def run_demo(*, seconds: float | None, port: int) -> int:
    """Run the demo until Ctrl-C, or for so many `seconds`; 0 when all went well."""
    console = Console(stderr=False, highlight=False)
    with tempfile.TemporaryDirectory(prefix="reminders-demo-") as name:
        folder = Path(name)
        ports = {"web": port if port and _is_free(port) else _free_port(), "api": _free_port(), "phones": _free_port()}
        environment = _environment(folder, ports)
        settings = load(environment, folder)
        # The house reads its keys from the environment, as the child processes do.
        os.environ.update({key: environment[key] for key in ("REMINDERS_SEALING_KEYS", "REMINDERS_SECRET_KEY")})
        house = House.open(settings)
        children: list[subprocess.Popen[bytes]] = []
        stopping = False

        def stop(*_: object) -> None:
            nonlocal stopping
            stopping = True

        for wanted in (signal.SIGINT, signal.SIGTERM):
            signal.signal(wanted, stop)
        try:
            store.migrate(house.database, clock.now())
            children += _start(environment, folder, ports)
            _wait_until_up(f"http://127.0.0.1:{ports['web']}/healthz", children)
            _wait_until_up(f"http://127.0.0.1:{ports['phones']}/counters", children)
            began = clock.now()
            _set_the_scene(house, folder, ports, began)
            console.print(_welcome(ports))
            until = time.monotonic() + seconds if seconds is not None else float("inf")
            called_off = False
            with Live(_board(house), console=console, refresh_per_second=2, screen=False) as live:
                while not stopping and time.monotonic() < until:
                    if any(child.poll() is not None for child in children):
                        console.print(f"A process of the demo ended; its log is in {folder}.")
                        return 1
                    if not called_off and clock.now() - began > timedelta(seconds=25):
                        planning.set_plan_status(house, "DEMO-5", "ended", clock.now(), who="demo", because="other")
                        called_off = True
                    live.update(_board(house))
                    time.sleep(0.5)
        finally:
            for child in children:
                child.terminate()
            for child in children:
                child.wait(timeout=60)
            house.close()
    console.print("Stopped. The database is gone; nothing left this machine.")
    return 0


def _environment(folder: Path, ports: Mapping[str, int]) -> dict[str, str]:
    mine = {
        "REMINDERS_DATABASE__URL": f"sqlite:///{folder / 'demo.db'}",
        "REMINDERS_TWILIO__LIVE": "false",
        "REMINDERS_TWILIO__API_BASE_URL": f"http://127.0.0.1:{ports['api']}",
        "REMINDERS_TWILIO__SENDER": "+15005550006",
        "REMINDERS_WEB__PUBLIC_URL": f"http://127.0.0.1:{ports['web']}",
        "REMINDERS_WEB__HOST": "127.0.0.1",
        "REMINDERS_WEB__PORT": str(ports["web"]),
        "REMINDERS_SENDING__QUIET_HOURS": '["00:00", "00:00"]',
        "REMINDERS_SITE__ZONE": ZONE,
        "REMINDERS_JOBS__SEND_SECONDS": "1",
        "REMINDERS_JOBS__SETTLE_SECONDS": "5",
        "REMINDERS_SEALING_KEYS": f"demo:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "REMINDERS_SECRET_KEY": secrets.token_urlsafe(32),
    }
    # Whatever real account the environment names has no business in a demo.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TWILIO_", "REMINDERS_"))}
    kept.pop("DATABASE_URL", None)
    kept.pop("PORT", None)
    source = Path(__file__).resolve().parents[2]
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(source), kept.get("PYTHONPATH")]))
    return kept | mine


def _start(environment: Mapping[str, str], folder: Path, ports: Mapping[str, int]) -> list[subprocess.Popen[bytes]]:
    reminders = ["-m", "reminders"]
    commands = {
        "simulator": [
            "-m",
            "reminders",
            "simulator",
            "--port",
            str(ports["api"]),
            "--control-port",
            str(ports["phones"]),
        ],
        "web": [*reminders, "web"],
        "worker": ["-m", "jobs"],
    }
    started = []
    for name, arguments in commands.items():
        with (folder / f"{name}.log").open("wb") as written:
            started.append(
                subprocess.Popen(  # ruff: ignore[subprocess-without-shell-equals-true]  our own modules
                    [sys.executable, *arguments],
                    env=dict(environment),
                    cwd=folder,
                    stdout=written,
                    stderr=written,
                    start_new_session=True,  # Ctrl-C is ours to handle: the worker finishes what is on the wire
                )
            )
    return started


def _set_the_scene(house: House, folder: Path, ports: Mapping[str, int], now: datetime) -> None:
    phones = f"http://127.0.0.1:{ports['phones']}"
    for patient in PATIENTS:
        if patient.outcome:
            rule = {"to": patient.phone, "outcome": patient.outcome, "error_code": patient.error_code}
            _post(f"{phones}/rules", {key: value for key, value in rule.items() if value is not None})
        (folder / f"{patient.ref}.toml").write_text(plan_of(patient, now), encoding="utf-8")
    opted_out = PATIENTS[-1]
    # Texted STOP long ago, to Twilio only: our own list learns it from the refusal.
    _post(f"{phones}/settings", {"inbound_url": None})
    _post(f"{phones}/phones/{opted_out.phone}/texts", {"body": "STOP", "to": house.settings.twilio.sender})
    _post(f"{phones}/settings", {"inbound_url": f"{house.settings.web.public_url}/sms/inbound"})
    report = importing.import_files(house, [folder], now, who="demo")
    assert not report.refused, report.refused


def _welcome(ports: Mapping[str, int]) -> str:
    return (
        "\n[bold]Aftercare reminders: the demo[/bold]\n"
        "Nothing leaves this machine: texts go to a pretend Twilio and pretend phones,\n"
        "and the patients are invented.\n"
        f"  Delivery log   http://127.0.0.1:{ports['web']}/log\n"
        f"  Pretend phones http://127.0.0.1:{ports['phones']}/messages\n"
        "Within two minutes every text below has its outcome. Ctrl-C ends the demo.\n"
    )


def _board(house: House) -> Table:
    texts = {text.plan: text for text in house.database.read(lambda tx: store.texts.log(tx, LogFilter()))}
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
    for column, widest in (("Plan", None), ("To show", 18), ("State", None), ("In words", None)):
        table.add_column(column, max_width=widest, no_wrap=column in {"Plan", "State"})
    for patient in PATIENTS:
        text = texts.get(patient.ref)
        if text is None:
            table.add_row(patient.ref, patient.shows, "", "")
        else:
            colour = {"delivered": "green", "undelivered": "red"}.get(text.state, "")
            table.add_row(patient.ref, patient.shows, Text(story.STATES[text.state], colour), _briefly(text))
    return table


def _briefly(text: Logged) -> str:
    """`story.tell` as a narrow board shows it: its first sentence, without today's date and without the state."""
    today = story.clock_time(clock.now(), text.zone).rpartition(" ")[0] + " "
    said = story.tell(text).replace(today, "").removeprefix(f"{story.STATES[text.state]}: ")
    return said.replace("the phone network confirmed delivery", "delivery confirmed").partition(". ")[0].rstrip(".")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_up(url: str, children: list[subprocess.Popen[bytes]]) -> None:
    for _ in range(300):
        if any(child.poll() is not None for child in children):
            raise RuntimeError("a process of the demo ended at once")
        try:
            with urllib.request.urlopen(url, timeout=2):  # ruff: ignore[suspicious-url-open-usage]  our own address
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the demo did not come up within 30 s")


def _post(url: str, document: Mapping[str, object]) -> None:
    request = urllib.request.Request(  # ruff: ignore[suspicious-url-open-usage]  our own address
        url, json.dumps(document).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=5):  # ruff: ignore[suspicious-url-open-usage]  as above
        pass
