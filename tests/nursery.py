"""Starts and kills our processes: everything is imported once, and each process is a fork.

A fork is made before any thread, connection or event loop exists, and does what `python -m reminders` or `python -m
jobs` would. It costs milliseconds where a new interpreter takes a second, so a killed worker is back at once, and a
test may start as many as it likes. Other tests cover the start of the real commands (test_demo, test_web_process).

`Nursery` is spoken to in Python. What it speaks to is this file as a program: orders come on stdin as lines of JSON,
`{"start": name, "run": arguments, "environment": …, "folder": …, "log": …, "out": …, "crash": …}` and `{"signal": name,
"number": n}`; what happens goes to stdout, `{"name": …, "what": "ended", "code": n}`, or `started` or `stopped`. At the
end of stdin every child is killed.
"""

import importlib
import itertools
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
import traceback
from pathlib import Path

ROOT = Path(__file__).parents[1]

# What the children will want.
FOR_THE_CHILDREN = (
    "jobs.__main__",
    "jobs.sender_thread",
    "jobs.timetable",
    "reminders.__main__",
    "reminders.cli.app",
    "reminders.cli.running",
    "reminders.simulator",
    "reminders.web",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "uvicorn.protocols.http.httptools_impl",
)


class Nursery:
    """Starts and kills processes; all of them end with it. Their events come as `news`."""

    def __init__(self) -> None:
        self.news: queue.Queue[dict] = queue.Queue()
        self._ended: dict[str, int] = {}
        self._program = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self._program.stdout:
            self.news.put(json.loads(line))

    def _tell(self, **order) -> None:
        assert self._program.poll() is None, f"the nursery ended with {self._program.returncode}"
        self._program.stdin.write(json.dumps(order).encode() + b"\n")
        self._program.stdin.flush()

    def start(
        self,
        name: str,
        run: list[str],
        *,
        environment: dict[str, str],
        folder: Path,
        log: Path,
        out: Path | None = None,
        crash: str | None = None,
    ) -> None:
        """Start a process under a name that no other living one has: `["jobs"]`, or the arguments of `reminders`.

        Its output is appended to `log`; with `out`, stdout goes there instead. `crash` is a point of `reminders.crash`,
        the pass at which to die, and the signal: `K3:2:SIGKILL`.
        """
        self._ended.pop(name, None)
        paths = {"folder": str(folder), "log": str(log), "out": None if out is None else str(out)}
        self._tell(start=name, run=run, environment=environment, crash=crash, **paths)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send one of them a signal; it may have ended meanwhile."""
        self._tell(signal=name, number=number)

    def wait(self, name: str, seconds: float) -> int:
        """Wait for the end of one; returns its code, as in `subprocess`. It consumes all news until then."""
        while name not in self._ended:
            news = self.news.get(timeout=seconds)
            if news["what"] == "ended":
                self._ended[news["name"]] = news["code"]
        return self._ended.pop(name)

    def close(self) -> None:
        """Kill all living processes."""
        self._program.stdin.close()
        self._program.wait(20)
        self._reader.join(10)
        self._program.stdout.close()


class _Ward:
    """The program's side: the children by name, and their events."""

    def __init__(self) -> None:
        self._children: dict[str, int] = {}
        self._unread = b""
        self._bell, rings = os.pipe()
        for end in (self._bell, rings):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(rings)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def run(self) -> None:
        """Take orders until there are no more."""
        while True:
            readable, _, _ = select.select([0, self._bell], [], [])
            if self._bell in readable:
                os.read(self._bell, 1 << 10)
            if 0 in readable and not self._take_orders():
                break
            self._look_after()
        for child in self._children.values():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

    def _take_orders(self) -> bool:
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
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        out = os.open(order["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) if order["out"] else log
        for here, there in ((nothing, 0), (out, 1), (log, 2)):
            os.dup2(here, there)
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["environment"])
        # It is drawn at import, so it would be the same in every child; real machines do not share it.
        from reminders.store.database import ids

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
    from reminders import crash

    point, at, death = wish.split(":")
    passes = itertools.count(1)

    def die(name: str) -> None:
        if name == point and next(passes) == int(at):
            os.kill(os.getpid(), signal.Signals[death])

    crash.arm(die)


def _main(run: list[str]) -> int:
    import jobs.__main__
    import reminders.__main__

    if run == ["jobs"]:
        return jobs.__main__.main()
    sys.argv = ["reminders", *run]
    reminders.__main__.main()
    return 0


if __name__ == "__main__":
    for module in FOR_THE_CHILDREN:
        importlib.import_module(module)
    from reminders import conversation, languages

    languages.offered()  # what each would read of the package's own files
    conversation.understand("hello")
    _Ward().run()
