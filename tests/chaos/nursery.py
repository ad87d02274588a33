"""Starts the processes of a chaos run, and kills them: `python tests/chaos/nursery.py`, spoken to in lines of JSON.

Everything is imported once, and each process is a fork of that, made before any thread, connection or event loop
exists. So a killed worker is back within milliseconds, and half a second between two kills is time to get into trouble.

Orders come on stdin: `{"start": name, "run": arguments, "environment": …, "folder": …, "log": …, "crash": …}` and
`{"signal": name, "number": n}`. What happens goes to stdout: `{"name": …, "what": "ended", "code": n}`, or `started` or
`stopped`. `crash` is a point of `reminders.crash`, the pass at which to die of it, and the signal: `C3:2:SIGKILL`. At
the end of stdin every child is killed.
"""

import importlib
import itertools
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import jobs.__main__
import reminders.__main__
from reminders import crash
from reminders.store import ids

# What the children will want, besides what comes with the above.
FOR_THE_CHILDREN = (
    "reminders.cli.app",
    "reminders.cli.running",
    "reminders.sms.simulator",
    "reminders.web",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "uvicorn.protocols.http.httptools_impl",
)

TICK = 0.01  # seconds


class Nursery:
    """The children by name, and what is to be said of them."""

    def __init__(self) -> None:
        self._children: dict[str, int] = {}
        self._unread = b""

    def run(self) -> None:
        """Take orders until there are no more."""
        while self._take_orders():
            self._look_after()
        for child in self._children.values():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def _take_orders(self) -> bool:
        readable, _, _ = select.select([0], [], [], TICK)
        if not readable:
            return True
        more = os.read(0, 1 << 16)
        *lines, self._unread = (self._unread + more).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "start" in order:
                self._start(order)
            elif order["signal"] in self._children:
                os.kill(self._children[order["signal"]], order["number"])
        return bool(more)

    def _start(self, order: dict) -> None:
        child = os.fork()
        if child == 0:
            _live(order)
        self._children[order["start"]] = child
        _say(order["start"], "started", child)

    def _look_after(self) -> None:
        for name, child in list(self._children.items()):
            found, status = os.waitpid(child, os.WNOHANG | os.WUNTRACED)
            if not found:
                continue
            if os.WIFSTOPPED(status):
                _say(name, "stopped", os.WSTOPSIG(status))
                continue
            del self._children[name]
            _say(name, "ended", os.waitstatus_to_exitcode(status))


def _say(name: str, what: str, code: int) -> None:
    sys.stdout.write(json.dumps({"name": name, "what": what, "code": code}) + "\n")
    sys.stdout.flush()


def _live(order: dict) -> None:
    """What a child does instead of returning."""
    code = 70
    try:
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for here, there in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(here, there)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        # Drawn when it was imported, and with that the same in every child: two machines do not share it either.
        ids._counter = ids.secrets.randbelow(ids._COUNTER_SIZE)
        if order["crash"]:
            _arm(order["crash"])
        code = _main(order["run"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # ruff: ignore[blind-except]  a fork must not go on where its parent was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _arm(wish: str) -> None:
    point, at, death = wish.split(":")
    passes = itertools.count(1)

    def die(name: str) -> None:
        if name == point and next(passes) == int(at):
            os.kill(os.getpid(), signal.Signals[death])

    crash.arm(die)


def _main(run: list[str]) -> int:
    if run == ["jobs"]:
        return jobs.__main__.main()
    sys.argv = ["reminders", *run]
    reminders.__main__.main()
    return 0


if __name__ == "__main__":
    for module in FOR_THE_CHILDREN:
        importlib.import_module(module)
    Nursery().run()
