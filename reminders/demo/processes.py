"""Where the demo runs: a folder, addresses, and the processes that end with it."""

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from reminders.demo.scenes import ZONE


class Broken(Exception):  # ruff: ignore[error-suffix-on-exception-name]  a message for the person who watches
    """The demo cannot go on; the message says why."""


@dataclass(slots=True)
class Stage:
    """Where the demo runs: its folder, addresses and processes."""

    folder: Path
    ports: Mapping[str, int]
    environment: Mapping[str, str]
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    stopping: bool = False

    def page(self, path: str) -> str:
        """An address of the pages."""
        return f"http://127.0.0.1:{self.ports['web']}{path}"

    @property
    def log_page(self) -> str:
        """The address of the delivery log, filtered to texts due by now."""
        return self.page("/log?when=past")

    def phones(self, path: str) -> str:
        """An address of the pretend phones."""
        return f"http://127.0.0.1:{self.ports['phones']}{path}"

    def start(self, name: str) -> None:
        """Start `simulator`, `web` or `worker`; its output goes to the folder."""
        arguments = {
            "simulator": [
                "reminders",
                "simulator",
                f"--port={self.ports['api']}",
                f"--control-port={self.ports['phones']}",
            ],
            "web": ["reminders", "web"],
            "worker": ["jobs"],
        }[name]
        with (self.folder / f"{name}.log").open("wb") as written:
            self.children[name] = subprocess.Popen(  # ruff: ignore[subprocess-without-shell-equals-true]  our own modules
                [sys.executable, "-m", *arguments],
                env=dict(self.environment),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=written,
                start_new_session=True,  # Ctrl-C is ours to handle: the worker finishes what is on the wire
            )

    def wait_for(self, name: str, url: str) -> None:
        """Wait until a process answers. Raises Broken if it has ended, or after 30 s."""
        ends = time.monotonic() + 30
        while not self.stopping:
            self.check()
            try:
                with urllib.request.urlopen(url, timeout=2):  # ruff: ignore[suspicious-url-open-usage]  our own address
                    return
            except OSError:
                if time.monotonic() > ends:
                    raise Broken(f"The {name} process did not answer within 30 s.{self._last_words(name)}") from None
                time.sleep(0.05)

    def check(self) -> None:
        """Raise Broken if a process has ended by itself."""
        for name, child in self.children.items():
            if child.poll() is not None:
                raise Broken(f"The {name} process ended by itself ({child.returncode}).{self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        lines = (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()[-8:]
        return "".join(f"\n  {line}" for line in ("The end of its output:", *lines)) if lines else ""

    def close(self) -> None:
        """Terminate all processes, and kill any that remain after eight seconds."""
        for child in self.children.values():
            child.terminate()
        ends = time.monotonic() + 8
        for child in self.children.values():
            try:
                child.wait(max(0.1, ends - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


@contextmanager
def stopped_by_signals(stage: Stage) -> Generator[None]:
    """Let Ctrl-C and other signals end the demo, and not this process."""

    def stop(*_: object) -> None:
        stage.stopping = True

    before = {wanted: signal.signal(wanted, stop) for wanted in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for wanted, handler in before.items():
            signal.signal(wanted, handler)


def environment_of(folder: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """The environment of every process of the demo."""
    mine = {
        "REMINDERS_DATABASE__URL": f"sqlite:///{folder / 'demo.db'}",
        "REMINDERS_TWILIO__LIVE": "false",
        "REMINDERS_TWILIO__API_BASE_URL": f"http://127.0.0.1:{ports['api']}",
        "REMINDERS_TWILIO__PHONES_URL": f"http://127.0.0.1:{ports['phones']}",
        "REMINDERS_TWILIO__SENDER": "+15005550006",
        "REMINDERS_TWILIO__DEADLINE_SECONDS": "5",
        "REMINDERS_WEB__PUBLIC_URL": f"http://127.0.0.1:{ports['web']}",
        "REMINDERS_WEB__HOST": "127.0.0.1",
        "REMINDERS_WEB__PORT": str(ports["web"]),
        "REMINDERS_WEB__DEMO": "true",
        "REMINDERS_SENDING__QUIET_HOURS": '["00:00", "00:00"]',  # a demo may be shown in the evening
        "REMINDERS_SENDING__WELCOME": "false",  # it would be the only text today for everyone entered here
        "REMINDERS_SENDING__HORIZON_DAYS": "3",  # otherwise the log page begins with two months of plans
        "REMINDERS_SENDING__LEASE_SECONDS": "15",
        "REMINDERS_SENDING__SETTLE_SECONDS": "6",  # look up what is unknown within seconds, not minutes
        "REMINDERS_SITE__ZONE": ZONE,
        "REMINDERS_JOBS__SEND_SECONDS": "1",
        "REMINDERS_SITE__ON_CALL": json.dumps([f"json://127.0.0.1:{ports['phones']}/pager"]),
        "REMINDERS_JOBS__SETTLE_SECONDS": "2",
        "REMINDERS_JOBS__POLL_SECONDS": "10",
        "REMINDERS_JOBS__PAGE_SECONDS": "2",
        "REMINDERS_JOBS__WATCH_SECONDS": "10",
        "REMINDERS_SEALING_KEYS": f"demo:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "REMINDERS_SECRET_KEY": secrets.token_urlsafe(32),
    }
    # A demo must not see a real account from the environment.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("TWILIO_", "REMINDERS_"))}
    kept |= dict.fromkeys(("no_proxy", "NO_PROXY"), "127.0.0.1,localhost")  # no proxy for pages of this machine
    kept.pop("DATABASE_URL", None)
    kept.pop("PORT", None)
    source = Path(__file__).resolve().parents[2]
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [str(source), kept.get("PYTHONPATH")]))
    return kept | mine


def is_free(port: int) -> bool:
    """Whether no one listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def free_port() -> int:
    """A port at which no one listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def post(url: str, document: Mapping[str, object]) -> None:
    """Post JSON to one of our own processes. Raises URLError."""
    request = urllib.request.Request(  # ruff: ignore[suspicious-url-open-usage]  our own address
        url, json.dumps(document).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=5):  # ruff: ignore[suspicious-url-open-usage]  as above
        pass
