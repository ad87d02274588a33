"""Everything is documented: settings, commands and reasons are in the README, and its claims are true."""

import re
import tomllib
from pathlib import Path

import pytest
import typer

from reminders.cli import app
from reminders.lifecycle import State
from reminders.planner import Reason
from reminders.settings import Settings
from reminders.wording import staff_words

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

SETTINGS = [
    f"{table}.{key}"
    for table, field in Settings.model_fields.items()
    if table != "source"
    for key in field.annotation.model_fields
]


@pytest.mark.parametrize("key", SETTINGS)
def test_every_setting_is_in_the_readme(key):
    assert f"`{key}`" in README


def test_the_readme_names_no_setting_that_is_not():
    tables = "|".join(table for table in Settings.model_fields if table != "source")
    named = set(re.findall(rf"`((?:{tables})\.[a-z0-9_]+)`", README))
    assert named <= set(SETTINGS) | {"settings.toml"}


def commands(group: typer.core.TyperGroup, prefix: str = "") -> list[str]:
    found = []
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            found += commands(command, f"{prefix}{name} ")
        else:
            found.append(f"{prefix}{name}")
    return found


@pytest.mark.parametrize("command", commands(typer.main.get_command(app)))
def test_every_command_is_in_the_readme(command):
    group, _, verb = command.rpartition(" ")
    pattern = rf"`reminders {group} [a-z\\|]*\b{verb}\b" if group else rf"`reminders [a-z\\|]*\b{verb}\b"
    assert re.search(pattern, README), command


def test_every_state_and_reason_has_words_for_people():
    assert set(staff_words.STATES) == {state.value for state in State}
    assert set(staff_words.REASONS) == {reason.value for reason in Reason}


def test_the_plan_file_of_the_readme_is_accepted(context):
    from conftest import NOW

    from reminders import intake
    from reminders.service import planning

    example = re.search(r"```toml\n(.*?)```", README, re.DOTALL)[1]
    known = context.database.read(lambda tx: context.known(tx, NOW))
    document = intake.read_bytes(example.encode(), "readme.toml", known)
    texts = planning.accept(context, document, NOW, who="test").texts
    assert texts.added > 5


def test_nothing_in_the_repository_speaks_of_where_it_was_made():
    hosts = "|".join(["pypi" + r"\.org", "python" + "hosted", "registry" + r"\.npm"])
    for path in (*ROOT.glob("*.md"), *ROOT.glob("*.lock"), ROOT / "pyproject.toml", ROOT / "Makefile"):
        assert not re.search(hosts, path.read_text(encoding="utf-8")), path.name


def test_the_lock_files_hash_everything_and_agree():
    def pinned(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
        return dict(line.split(" ")[0].split("==") for line in lines if "==" in line)

    run, test = pinned("requirements.lock"), pinned("requirements-test.lock")
    assert run.items() <= test.items()
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {re.split(r"[\[<>=]", line)[0] for line in wanted} <= set(run)
    assert "--hash=sha256:" in (ROOT / "requirements.lock").read_text(encoding="utf-8")
