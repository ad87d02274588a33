"""What the audit says that someone did is one of a closed set of codes (finding 7)."""

import ast
import gzip
import re
from pathlib import Path

import pytest

import reminders
from reminders.audit_actions import Action
from reminders.store.database import schema

SOURCE = Path(reminders.__file__).parent
TREES = {
    path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in SOURCE.rglob("*.py")
    if not {"migrations", "simulator"} & set(path.parts) and path.name != "audit_actions.py"
}
ALSO_A_WORD = {"restored", "plan paused"}  # of something else than the audit
DUMPS = sorted((Path(__file__).parent / "dumps").glob("*.sqlite.sql.gz"))


def test_finding_7_no_action_is_written_by_hand():
    values = {one.value for one in Action} - ALSO_A_WORD
    found = {
        (name, node.value)
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in values
    }
    assert found == set()


def test_finding_7_no_statement_reads_or_writes_an_action_that_is_none():
    """mypy lets `note` take nothing but an Action; a query could compare with any word."""
    compared = [
        (name, ast.unparse(node))
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare) and ast.unparse(node.left) == "audit.c.what"
    ]
    assert compared
    assert [(name, words) for name, words in compared if re.search(r"""["']""", words)] == []


def test_finding_7_every_action_is_done_somewhere():
    used = {node.attr for tree in TREES.values() for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    # The API names what it reads by the area of its address.
    of_areas = {one.name for one in Action if re.fullmatch(r"[a-z]+ read", one)}
    assert {one.name for one in Action} - used <= of_areas


def test_finding_7_an_action_fits_its_column():
    assert max(map(len, Action)) <= schema.audit.c.what.type.length


@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: path.name)
def test_finding_7_the_codes_of_an_older_version_are_codes_still(dump):
    """Its rows are chained, so they say what they said; a code that changed would part them from the new ones."""
    said = gzip.decompress(dump.read_bytes()).decode()
    rows = re.findall(r'INSERT INTO "?audit"? VALUES\(\d+,\d+,\'[^\']*\',\'([^\']*)\'', said)
    assert len(set(rows)) > 3
    assert set(rows) <= set(Action)
