"""A file read in a child process that has little memory, little time and no network: whatever is in it, we live on.

The parent gives a request and the file's bytes; the child answers with the documents of a `Reading`, as JSON and never
as code. What the child does not survive is a problem of the file.
"""

import ctypes
import json
import os
import resource
import subprocess  # ruff: ignore[suspicious-subprocess-import]  our own interpreter
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

from reminders.intake.formats import Given, read_any
from reminders.intake.profile import Profile
from reminders.plans import Known

MEMORY = 512 * 1024 * 1024
SECONDS = 20  # of computing
PATIENCE = 60  # seconds on the wall: a busy machine is no fault of the file
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_TOO_MUCH = (
    "takes more than 512 MB of memory or 20 seconds to read, so it was given up; export a shorter time, "
    "or save it again as CSV UTF-8"
)


def read_confined(raw: bytes, name: str, given: Given, format_: str | None = None) -> list[dict[str, Any]]:
    """What a file says, as `Reading.as_documents` has it, read by a child process within its limits.

    One that the child does not survive is one problem of the whole file.
    """
    request = json.dumps({"name": name, "format": format_, "given": asdict(given)}, default=_plain).encode()
    kept = {key: value for key, value in os.environ.items() if key in {"PATH", "PYTHONPATH", "LANG", "SYSTEMROOT"}}
    command = [sys.executable, "-P", "-m", "reminders.intake.confined"]
    path = os.pathsep.join(filter(None, sys.path))
    try:
        done = subprocess.run(  # ruff: ignore[subprocess-without-shell-equals-true]  our own interpreter and module
            command,
            input=request + b"\n" + raw,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env=kept | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"},
        )
    except subprocess.TimeoutExpired:
        return [_refused(name, _TOO_MUCH)]
    if done.returncode != 0:
        return [_refused(name, _TOO_MUCH)]
    return [json.loads(line) for line in done.stdout.splitlines()]


def _refused(name: str, problem: str) -> dict[str, Any]:
    return {"file": name, "place": "file", "what": "problem", "column": None, "problem": problem}


def _plain(value: object) -> object:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(type(value).__name__)


def _given(table: dict[str, Any]) -> Given:
    known, profile = table["known"], table["profile"]
    sets = {key: frozenset(value) for key, value in known.items() if isinstance(value, list)}
    return Given(
        known=Known(**{**known, **sets, "today": date.fromisoformat(known["today"])}),
        profile=Profile(**{**profile, "phones": tuple(profile["phones"])}),
        zone=table["zone"],
    )


def _confine() -> None:
    """Take this process's memory, time, network and files to write away."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        # Where the kernel lets us, in a network of its own, which has nothing in it.
        ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER | _NEW_NET)
    sys.addaudithook(_no_way_out)


_FORBIDDEN = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "ctypes.dlopen")


def _no_way_out(event: str, _arguments: object) -> None:
    if event.startswith(_FORBIDDEN):
        raise PermissionError("reading a file needs neither network nor programs")


def main() -> None:
    """The child: a line with the request and then the bytes on stdin, documents as JSON Lines on stdout."""
    head, _, raw = sys.stdin.buffer.read().partition(b"\n")
    request = json.loads(head)
    given = _given(request["given"])
    _confine()
    for document in read_any(raw, request["name"], given, request["format"]).as_documents(request["name"]):
        sys.stdout.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
