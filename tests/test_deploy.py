"""OPS-11, OPS-13: what `deploy/` holds fits the program: its commands, settings and hashes; its units run."""

import configparser
import json
import re
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
import yaml
from command_lines import wrong_with
from conftest import environment, free_port

from reminders.settings import load

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
TIMERS = sorted((DEPLOY / "systemd").glob("*.timer"))
HARDENED = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectControlGroups": "yes",
    "RestrictNamespaces": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "SystemCallArchitectures": "native",
    "UMask": "0077",
    "User": "reminders",
}
BIN = "/opt/reminders/current/bin/"


def unit(path: Path) -> dict[str, dict[str, list[str]]]:
    """A unit: section → key → its values; systemd lets a key stand more than once."""
    found: dict[str, dict[str, list[str]]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            section.setdefault(key, []).append(value)
    configparser.ConfigParser(strict=False, interpolation=None).read_string(path.read_text(encoding="utf-8"))
    return found


def started(path: Path) -> list[str]:
    """What a unit starts, as the words of a command line."""
    (line,) = unit(path)["Service"]["ExecStart"]
    assert line.startswith(BIN), line
    return line.removeprefix(BIN).split()


def is_a_process_of_ours(words: list[str]) -> bool:
    """The worker, or a command that there is, with options that it has."""
    if words == ["python", "-P", "-m", "jobs"]:
        return True
    assert wrong_with(" ".join(words)) is None
    return True


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_starts_what_there_is_without_rights(path):
    said = unit(path)["Service"]
    assert {name: said.get(name) for name in HARDENED} == {name: [value] for name, value in HARDENED.items()}
    assert is_a_process_of_ours(started(path))
    assert said["EnvironmentFile"] == ["/etc/reminders/reminders.env"]


@pytest.mark.parametrize("path", TIMERS, ids=lambda path: path.name)
def test_a_timer_has_its_unit_and_catches_up(path):
    assert path.with_suffix(".service") in UNITS
    assert unit(path)["Timer"]["Persistent"] == ["true"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_nothing_wrong(tmp_path):
    for path in (*UNITS, *TIMERS):
        said = re.sub(
            rf"^ExecStart={BIN}\S+", "ExecStart=/bin/true", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        (tmp_path / path.name.replace("@", "@1")).write_text(said, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    ours = [line for line in done.stderr.splitlines() if "reminders-" in line]
    assert ours == []


def compose() -> dict:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def test_compose_runs_what_there_is():
    services = compose()["services"]
    assert set(services) == {"database", "migrate", "web", "worker", "backup", "caddy"}
    for name in ("migrate", "web", "worker"):
        assert is_a_process_of_ours(services[name]["command"])
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
    assert services["worker"]["deploy"]["replicas"] == 2
    assert services["migrate"]["restart"] == "no"
    for name in ("web", "worker", "backup"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    (line,) = re.findall(r"while (reminders [^|]*) \|\|", services["backup"]["command"][2])
    assert wrong_with(line) is None
    proxy = services["caddy"]["networks"]["outside"]["ipv4_address"]
    sample = dict(variables())
    assert json.loads(sample["REMINDERS_WEB__PROXIES"]) == [proxy]


def variables() -> list[tuple[str, str]]:
    lines = (DEPLOY / "reminders.env.sample").read_text(encoding="utf-8").splitlines()
    return [tuple(line.split("=", 1)) for line in lines if line and not line.startswith("#")]


def test_every_variable_that_is_named_is_read(tmp_path):
    """`load` refuses a variable of ours that it does not know."""
    named = dict(variables())
    of_compose = {
        name: value
        for service in compose()["services"].values()
        for name, value in (service.get("environment") or {}).items()
        if name.startswith("REMINDERS_")
    }
    settings = load(named | of_compose, tmp_path)
    assert settings.web.host == "0.0.0.0"
    assert settings.web.public_url == named["REMINDERS_WEB__PUBLIC_URL"]
    assert set(of_compose) == {"REMINDERS_WEB__HOST", "REMINDERS_SECRET_KEY_FILE", "REMINDERS_SEALING_KEYS_FILE"}


def test_the_image_is_made_of_what_is_locked_and_runs_as_no_one_of_note():
    said = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    installs = [line for line in re.sub(r"\\\n", " ", said).splitlines() if "pip install" in line]
    assert installs
    assert all("--require-hashes" in line and "requirements.lock" in line for line in installs)
    assert len(re.findall(r"^FROM ", said, re.MULTILINE)) == 2
    assert re.findall(r"^USER (\S+)", said, re.MULTILINE) == ["10001:10001"]
    assert "/healthz" in said
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", said, re.MULTILINE)
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source
    ignored = (DEPLOY / "Containerfile.dockerignore").read_text(encoding="utf-8")
    assert ignored.startswith("*\n")
    assert {line[1:] for line in ignored.splitlines() if line.startswith("!")} == set(" ".join(copied).split())


def test_without_podman_or_docker_make_image_says_so(tmp_path):
    (tmp_path / "dirname").symlink_to(shutil.which("dirname"))
    image = ["/bin/sh", str(DEPLOY / "image.sh")]
    done = subprocess.run(image, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "podman or a running docker is needed" in done.stderr


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("Caddyfile", "reverse_proxy {$UPSTREAM:web:8000}"),
        ("nginx.conf", "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"),
        ("haproxy.cfg", "option forwardfor"),
    ],
)
def test_a_proxy_says_whom_it_speaks_for_and_keeps_the_figures_inside(file, said):
    text = (DEPLOY / "proxies" / file).read_text(encoding="utf-8")
    assert said in text
    assert "/metrics" in text


def test_the_procfile_serves_a_platform_and_honcho(tmp_path):
    """A platform runs `release` to its end; honcho ends all when one ends, and starts all at once (OPS-11)."""
    lines = dict(re.findall(r"^(\w+): (.+)$", (ROOT / "Procfile").read_text(encoding="utf-8"), re.MULTILINE))
    assert lines.keys() == {"release", "web", "worker"}
    for name in ("reminders", "python", "sleep"):
        command = tmp_path / name
        command.write_text(f'#!/bin/sh\necho {name} "$@"\n', encoding="utf-8")
        command.chmod(0o755)

    def said(line: str, **more: str) -> list[str]:
        environ = {"PATH": f"{tmp_path}:/bin:/usr/bin", **more}
        done = subprocess.run(["/bin/sh", "-c", line], env=environ, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    own = {"release": "reminders migrate", "web": "reminders web", "worker": "python -m jobs"}
    assert {name: said(line) for name, line in lines.items()} == {name: [what] for name, what in own.items()}
    assert {name: said(line, HONCHO_PROCESS_NAME=f"{name}.1") for name, line in lines.items()} == {
        "release": ["reminders migrate", "sleep infinity"],
        "web": ["reminders migrate", "reminders web"],
        "worker": ["reminders migrate", "python -m jobs"],
    }


@pytest.mark.processes
@pytest.mark.timeout(180)
def test_the_lines_of_the_units_run_as_plain_processes(database_url, nursery, tmp_path, request):
    """In their order: migrate, web and two workers, the timers' once; then SIGTERM, as systemd and honcho stop them."""
    import signal

    port = free_port()
    more = {"twilio__api_base_url": "http://127.0.0.1:1", "web__port": str(port)}
    if not database_url.startswith("sqlite"):
        more["database__client_folder"] = str(request.getfixturevalue("postgresql_server").binaries)
    (tmp_path / "backups").mkdir()
    lines = {path.stem: started(path) for path in UNITS}

    def start(name: str, line: list[str]) -> None:
        run = ["jobs"] if line[0] == "python" else line[1:]
        run = [str(tmp_path / "backups") if word == "/var/backups/reminders" else word for word in run]
        surroundings = environment(database_url, **more)
        nursery.start(name, run, environment=surroundings, folder=tmp_path, log=tmp_path / f"{name}.log")

    start("migrate", lines["reminders-migrate"])
    assert nursery.wait("migrate", 60) == 0
    start("worker1", lines["reminders-worker@"])  # before the web process is there
    workers = ["worker1"]
    if not database_url.startswith("sqlite"):
        start("worker2", lines["reminders-worker@"])
        workers.append("worker2")
    start("web", lines["reminders-web"])
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2) as answer:
                assert json.load(answer) == {"ok": True}
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    for name in ("reminders-backup", "reminders-report"):
        start(name, lines[name])
        assert nursery.wait(name, 60) == 0, (tmp_path / f"{name}.log").read_text(encoding="utf-8")
    assert len(list((tmp_path / "backups").iterdir())) == 1
    for name in ("web", *workers):
        nursery.signal(name, signal.SIGTERM)
        # uvicorn ends by the signal that it was sent, which systemd and honcho count as an end in order.
        assert nursery.wait(name, 60) in ({0, -signal.SIGTERM} if name == "web" else {0}), name
