"""The installed package works from an empty folder: the wheel contains its data."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Path:
    """The wheel, unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REMINDERS_", "TWILIO_"))}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.processes
def test_the_wheel_works_from_an_empty_folder(installed, tmp_path):
    assert run(installed, tmp_path, "reminders", "--version").stdout.startswith("reminders ")
    migrated = run(installed, tmp_path, "reminders", "migrate", "--json")
    assert json.loads(migrated.stdout)["from"] is None, migrated.stderr
    (tmp_path / "plan.json").write_text(
        json.dumps(
            {
                "plan": {
                    "ref": "DC-1",
                    "discharged_on": "2026-12-01",
                    "program": "weekly-cbt",
                    "starts_on": "2035-01-02",
                },
                "patient": {"ref": "MRN-1", "name": "Jordan Alvarez", "phone": "202-555-0143"},
            }
        )
    )
    refused = run(installed, tmp_path, "reminders", "preview", "plan.json", "--json")
    assert "plan.program_times" in refused.stderr + refused.stdout
    assert refused.returncode == 1


def test_the_wheel_carries_its_data(installed):
    for name in (
        "reminders/settings.toml",
        "reminders/sms/codes.toml",
        "reminders/wording/catalog/es.toml",
        "reminders/wording/telling_words.toml",
        "reminders/conversation/opt_words.toml",
        "reminders/plans/programs/matrix-iop.toml",
        "reminders/intake/words.toml",
        "reminders/store/database/migrations/env.py",
        "reminders/store/database/shapes/0001.sqlite.txt",
        "reminders/web/templates/log.html",
        "reminders/web/static/app.css",
        "jobs/__main__.py",
    ):
        assert (installed / name).exists(), name
    assert not list(installed.glob("tests*"))
