"""Keys of other programs from the command line: shown once, listed, ended."""

import json
import re

from api_caller import Program
from conftest import open_context
from test_cli import Terminal


def test_a_key_is_made_used_listed_and_ended(database_url, tmp_path, monkeypatch):
    run = Terminal(database_url, tmp_path, monkeypatch)
    assert run("api-keys", "list").stderr.startswith("No keys. Make one")
    made = run("api-keys", "make", "the ward", "--scope", "read", "--scope", "write", "--site", "main", "--days", "30")
    key = made.stdout.strip()
    assert re.fullmatch(r"rk_[a-z2-7]{8}_[A-Za-z0-9_-]{43}", key)
    assert "not shown again" in made.stderr
    context = open_context(database_url, tmp_path)
    program = Program(context, key)
    assert program.get("/plans").status_code == 200
    assert program.get("/plans?names=true").status_code == 403
    (row,) = run.lines("api-keys", "list")
    assert (row["name"], row["scopes"], row["site"], row["holds"]) == ("the ward", ["read", "write"], "main", True)
    assert row["seen_at"] is not None
    assert key not in run("api-keys", "list").stdout
    assert key.split("_", 2)[2] not in json.dumps(row)
    assert run.json("api-keys", "end", row["prefix"]) == {"prefix": row["prefix"], "changed": True}
    assert program.get("/plans").status_code == 401
    assert run.lines("api-keys", "list")[0]["holds"] is False
    assert "as it was" in run("api-keys", "end", row["prefix"]).stderr
    context.close()


def test_what_there_is_not_is_refused(database_url, tmp_path, monkeypatch):
    run = Terminal(database_url, tmp_path, monkeypatch)
    for arguments, words in (
        (("x", "--scope", "everything"), "there is no scope everything; there is read, people, write, operate"),
        (("x", "--scope", "read", "--site", "north"), "there is no site north; there is main"),
        (("x", "--scope", "read", "--for", "ana"), "there is no account of that login"),
        ((" ", "--scope", "read"), "a key needs a name"),
    ):
        assert words in run("api-keys", "make", *arguments, code=1).stderr
    run("api-keys", "make", "x", code=2)
    run("api-keys", "end", "nonesuch", code=3)
    assert run.lines("api-keys", "list") == []
