"""OPS-1: backups that rotate and are sealed, and the drill of docs/restore.md as it is written down, timed."""

import base64
import json
import stat
import time
from datetime import timedelta

import pytest
from conftest import KEYS, NOW, open_context
from test_cli import Terminal
from two_sites import accept

from reminders import store
from reminders.store.operations import age

IDENTITY = "AGE-SECRET-KEY-1W873732QTWJ6HZEA87HSPW7F8VN5Y2NQYUFR06D5VSDGAM8TELTQLRG7MV"
RECIPIENT = "age1lnykn2nvpcgpjrjw36udmca4t6l4tf4j2gxl2zmhn8cl4s0sp98scd59k3"
BY_AGE = base64.b64decode(
    "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBLcElqTWcyWTR1MWZXQTV5WURPSGUwWmVoaERuRTNQbWM2TjVkUFRSZHhjCng0Y1JlNUxP"
    "OFkwVWpkanhONXd5Mk5mcGJlYmh0ZFFmK2xEOFMrWkgrWTAKLT4gT10lW1UwaFAtZ3JlYXNlIHxwXjFAIGxnNn5HTwpOa0M2Z3B4eTNJdjlPdHVG"
    "Q1Z6UzJqTW5XQ2lXVmJWTGVHVnVZU0hodmhkY0VxOFB0S0JFWVpyUVlodG84OTdjClJ6UEdvLzFicUZUMVRwYmEKLS0tIEtNR01SYjR0Q1MxS3Jx"
    "M2J5L1ZrZHVwYmZ4Z29DRHAyQmRHQTMyemVEWHcKcSzV/xW+Fdh1iMa4aJHBSzJz8DxidtMDjYEGMkNT96TW/VOc3HgsXc/kqaRXiJj6yQ=="
)
"""What age's own library (in Rust, 2026-11) sealed for that key: `opened by its key`."""


def test_what_age_itself_sealed_is_opened(tmp_path):
    (tmp_path / "a.age").write_bytes(BY_AGE)
    assert age.is_sealed(tmp_path / "a.age")
    age.open_to(tmp_path / "a.age", tmp_path / "a", [IDENTITY])
    assert (tmp_path / "a").read_bytes() == b"opened by its key"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 131_072])
def test_what_is_sealed_opens_for_each_recipient_and_for_no_one_else(tmp_path, size):
    said = bytes(range(256)) * (size // 256) + bytes(size % 256)
    (tmp_path / "a").write_bytes(said)
    (mine, for_me), (theirs, for_them), (other, _) = (age.new_pair() for _ in range(3))
    age.seal(tmp_path / "a", tmp_path / "a.age", [for_me, for_them])
    for identity in (mine, theirs):
        age.open_to(tmp_path / "a.age", tmp_path / "b", [identity])
        assert (tmp_path / "b").read_bytes() == said
    with pytest.raises(age.NotOpened, match="another key"):
        age.open_to(tmp_path / "a.age", tmp_path / "b", [other])


@pytest.mark.parametrize("harm", ["cut", "piece cut", "bit", "head", "added"])
def test_what_was_changed_does_not_open(tmp_path, harm):
    (tmp_path / "a").write_bytes(bytes(131_072))
    age.seal(tmp_path / "a", tmp_path / "a.age", [RECIPIENT])
    sealed = bytearray((tmp_path / "a.age").read_bytes())
    if harm == "cut":
        del sealed[-1]
    elif harm == "piece cut":  # the file ends with a whole piece, and is not all of it
        del sealed[-(65_536 + 16) :]
    elif harm == "added":
        sealed += b"\0"
    else:
        sealed[-9 if harm == "bit" else 60] ^= 1
    (tmp_path / "a.age").write_bytes(sealed)
    with pytest.raises(age.NotOpened):
        age.open_to(tmp_path / "a.age", tmp_path / "b", [IDENTITY])


@pytest.mark.parametrize(
    "wrong", ["age1zz", RECIPIENT[:-1] + "q", RECIPIENT.replace("6", "7", 1), IDENTITY, "", "age1" + "q" * 58]
)
def test_a_recipient_with_a_wrong_letter_is_none(wrong):
    with pytest.raises(ValueError, match="age") as refusal:
        age.check_recipient(wrong)
    assert not wrong or wrong not in str(refusal.value)


@pytest.fixture
def run(database_url, tmp_path, monkeypatch, travel, request):
    travel(NOW)
    terminal = Terminal(database_url, tmp_path, monkeypatch)
    if not database_url.startswith("sqlite"):
        folder = request.getfixturevalue("postgresql_server").binaries
        terminal.set(REMINDERS_DATABASE__CLIENT_FOLDER=str(folder))
    terminal.set(REMINDERS_WEB__PORT="1")  # no one answers there
    context = open_context(database_url, tmp_path)
    accept(context, 1)
    context.close()
    (tmp_path / "kept").mkdir()
    return terminal


def test_only_the_newest_backups_stay_and_nothing_of_others_is_removed(run, tmp_path, travel):
    (tmp_path / "kept" / "reminders-notes.txt").write_text("mine", encoding="utf-8")
    made = []
    for day in range(4):
        travel(NOW + timedelta(days=day))
        made.append(run.json("backup", "--to", "kept", "--keep", "2"))
    assert [len(one["removed"]) for one in made] == [0, 0, 1, 1]
    left = sorted(one.name for one in (tmp_path / "kept").iterdir())
    assert left == sorted(["reminders-notes.txt", *(one["file"].rpartition("/")[2] for one in made[2:])])
    assert "is no folder" in run("backup", "kept/one.db", "--keep", "2", code=1).stderr
    assert "Name one place" in run("backup", code=2).stderr


def test_a_sealed_backup_is_of_no_use_without_its_key_and_the_drill_opens_it(run, tmp_path, request):
    """docs/restore.md, step by step. What it takes is counted; the aim on a real machine is 15 minutes."""
    began = time.monotonic()
    key = run("keys", "make", "--backup").stdout
    (tmp_path / "backup.key").write_text(key, encoding="utf-8")
    run.set(REMINDERS_BACKUP__RECIPIENTS=json.dumps([key.split()[2]]))
    made = run.json("backup", "--to", "kept")
    file = tmp_path / made["file"]
    assert (made["sealed"], file.suffix, stat.S_IMODE(file.stat().st_mode)) == (True, ".age", 0o600)
    assert b"MRN-1" not in file.read_bytes()
    assert len(list((tmp_path / "kept").iterdir())) == 1  # nothing in the clear is left beside it
    if not run.url.startswith("sqlite"):
        server = request.getfixturevalue("postgresql_server")
        server.run("CREATE DATABASE drill")
        run.set(DATABASE_URL=server.url("drill"))
    refused = run("restore", made["file"], "--yes", code=1).stderr
    assert "--identity" in refused
    (tmp_path / "other.key").write_text(IDENTITY, encoding="utf-8")
    assert "another key" in run("restore", made["file"], "--yes", "--identity", "other.key", code=1).stderr
    done = run.json("restore", made["file"], "--yes", "--identity", "backup.key", code=5)  # no Twilio answers here
    assert done["file"] == made["file"]
    assert [one["ref"] for one in run.json("people", "show", "MRN-1")["plans"]] == ["DC-1"]
    run("restored", "show")
    assert time.monotonic() - began < 15 * 60
    left = [one.name for one in tmp_path.iterdir() if one.name.startswith(".")]
    assert left == []  # the opened copy is gone


def test_keys_are_tried_before_anything_is_touched(run, tmp_path):
    made = run.json("backup", "--to", "kept")
    before = sorted(one.name for one in tmp_path.iterdir())
    other = base64.b64encode(b"9" * 32).decode()
    for keys, said in ((f"k9:{other}", "needs the key k1"), (f"k1:{other}", "another key by the name")):
        run.set(REMINDERS_SEALING_KEYS=keys)
        assert said in " ".join(run("restore", made["file"], "--yes", code=1).stderr.split())
    assert sorted(one.name for one in tmp_path.iterdir()) == before
    opened = store.Database(run.url, store.Ring(KEYS))
    assert opened.read(store.backup.all_marks).keys() >= {store.backup.TAKEN}
    opened.close()
