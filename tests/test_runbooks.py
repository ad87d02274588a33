"""Every command of the pages in docs/operations is one that there is, and each that can is run on a seeded database."""

import re
import shlex
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from command_lines import lines_in, wrong_with
from conftest import NOW, open_context
from test_cli import Terminal
from two_sites import accept, hear

PAGES = sorted((Path(__file__).resolve().parents[1] / "docs" / "operations").glob("*.md"))
WANTED = {
    "install", "outage", "filtering", "keys", "upgrade", "sender-change", "certificates", "staff-leaving", "restore",
    "audit-request",
}  # fmt: skip

NOT_RUN = {"simulator": "it stays", "restore": "test_backup_drill does it"}
MAY_BE_RED = {"status", "doctor"}  # no worker runs here, and no Twilio answers


def test_there_is_a_page_for_each():
    assert {page.stem for page in PAGES} >= WANTED


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one_that_there_is(page):
    lines = lines_in(page.read_text(encoding="utf-8"))
    assert lines
    assert {line: wrong for line in lines if (wrong := wrong_with(line)) is not None} == {}


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("reminders backups", "no command backups"),
        ("reminders backup --onto x", "no option --onto"),
        ("reminders people export", "takes 1 to 1 words, not 0"),
        ("reminders status now", "takes 0 to 0 words, not 1"),
        ("reminders audit list --who", "--who wants a value"),
        ("reminders keys", "names no command"),
        ("reminders audit head > file", None),
    ],
)
def test_a_wrong_command_is_found(line, wrong):
    found = wrong_with(line)
    assert found is wrong if wrong is None else wrong in found


def test_a_page_is_one_page():
    for page in PAGES:
        assert len(page.read_text(encoding="utf-8").splitlines()) <= 100, page.name


def test_the_commands_of_the_pages_run_in_their_order(sqlite_template, tmp_path, monkeypatch, travel):
    """Each line once, the pages in the order in which one needs them."""
    travel(NOW)
    shutil.copy(sqlite_template, tmp_path / "reminders.db")
    run = Terminal(f"sqlite:///{tmp_path / 'reminders.db'}", tmp_path, monkeypatch)
    context = open_context(run.url, tmp_path)
    for number in (1, 2):
        accept(context, number)
        hear(context, "can someone call me about the bus", number, f"SM{number}")
    numbers = dict(zip(("12", "14"), (str(one["id"]) for one in run.lines("tasks", "list")), strict=False))
    assert len(numbers) == 2
    context.close()
    run("users", "add", "lee.park", "--name", "Lee Park", "--role", "admin")  # the last one cannot be taken away
    for folder in ("backups", "plans"):
        (tmp_path / folder).mkdir()
    travel(NOW + timedelta(minutes=1))  # what was put on record is chained after ten seconds
    ordered = sorted(PAGES, key=lambda page: (page.stem != "install", page.stem == "staff-leaving", page.stem))
    lines = dict.fromkeys(line for page in ordered for line in lines_in(page.read_text(encoding="utf-8")))
    ran = 0
    for line in lines:
        words = shlex.split(line.replace("/var/backups/reminders", "backups"), comments=True)[1:]
        words = [numbers.get(word, word) for word in words]
        if words[0] in NOT_RUN:
            continue
        run(*words, code=1 if words[0] in MAY_BE_RED else 0)
        ran += 1
    assert ran > 35
    assert re.search(r"record-\d+", " ".join(one.name for one in tmp_path.iterdir()))
