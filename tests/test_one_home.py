"""Each decision is made in one place only, as read from the source itself."""

import ast
import re
from pathlib import Path

import pytest
from sqlalchemy.dialects import postgresql, sqlite

import reminders
from reminders import lifecycle
from reminders.lifecycle import MOVES, State
from reminders.store.planning import texts

SOURCE = Path(reminders.__file__).parent
STATES = {state.value for state in State}
FILES = {
    path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8")
    for path in SOURCE.rglob("*.py")
    if not {"migrations", "simulator"} & set(path.parts)
}
TEMPLATES = sorted((SOURCE / "web" / "templates").glob("*.html"))


def _is_state(node):
    """The column's name, or the column."""
    return (isinstance(node, ast.Constant) and node.value == "state") or (
        isinstance(node, ast.Attribute) and node.attr == "state" and ast.unparse(node).endswith("c.state")
    )


def _sets_a_state(node):
    """`.values(state=…)` or `dict(state=…)`, a mapping with that key, `row["state"] = …`, or SQL by hand."""
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        pairs = (
            [one for one in node.args if isinstance(one, ast.Tuple) and one.elts] if name == "ordered_values" else []
        )
        is_class = name[:1].isupper()  # a row that was read, for display
        given = any(keyword.arg == "state" for keyword in node.keywords) and not is_class
        return given or any(_is_state(pair.elts[0]) for pair in pairs)
    if isinstance(node, ast.Dict):
        return any(_is_state(key) for key in node.keys)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(isinstance(target, ast.Subscript) and _is_state(target.slice) for target in targets)
    words = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return bool(re.search(r"\bupdate\s+texts\b", words, re.IGNORECASE))


def _within(name, tree):
    """Each node with its top-level function or class, or None."""
    for statement in tree.body:
        for node in ast.walk(statement):
            yield (name, getattr(statement, "name", None)), node


def test_finding_3_one_statement_sets_a_texts_state():
    found = {
        place
        for name, words in FILES.items()
        if name.startswith("store/") and "state" in words
        for place, node in _within(name, ast.parse(words))
        if _sets_a_state(node)
    }
    laid_down = {
        ("store/planning/texts.py", "reconcile"),
        ("store/planning/texts.py", "add"),
    }  # new rows move from nowhere
    assert found == {("store/planning/texts.py", "move")} | laid_down


def test_finding_3_nothing_but_the_store_sets_a_state():
    """import-linter lets only `queries` build SQL outside the store, and it only reads: the store records readings."""
    writing = re.compile(r"\.(update|insert|delete|run|run_many|do|do_later|insert_new)\(.*")
    found = {name: writing.search(words) for name, words in FILES.items() if name.startswith("queries/")}
    assert {name: one[0] for name, one in found.items() if one} == {}


@pytest.mark.parametrize(
    "line",
    [
        "texts.update().values(state='sent')",
        "values = {'state': 'sent'}",
        "values = {texts.c.state: 'sent'}",
        "values['state'] = 'sent'",
        "values |= dict(state='sent')",
        "texts.update().ordered_values((texts.c.state, 'sent'))",
        "sa.text(\"UPDATE texts SET state = 'sent'\")",
    ],
)
def test_finding_3_a_second_statement_is_found(line):
    assert any(map(_sets_a_state, ast.walk(ast.parse(line))))


def _word(node):
    """The state that an element names, as a word, `State.X` or `State.X.value`."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Attribute) and node.attr == "value":
        node = node.value
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "State":
        return node.attr.lower()
    return None


def _groups_in(tree):
    """Lists of some, but not all, states: by hand, or in the text of a query. All states are not a group."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Set | ast.Tuple | ast.List):
            words = [_word(one) for one in node.elts]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            listed = re.search(r"\(\s*('\w+'(?:\s*,\s*'\w+')+)\s*\)", node.value)
            words = re.findall(r"\w+", listed[1]) if listed else []
        else:
            continue
        if len(words) > 1 and all(isinstance(word, str) for word in words) and set(words) < STATES:
            yield node.lineno, sorted(words)


def test_finding_3_groups_of_states_live_in_lifecycle():
    named = re.compile(rf"""\bState\.[A-Z]|["']({"|".join(STATES)})["']""")  # a group has at least two
    trees = {name: ast.parse(words) for name, words in FILES.items() if len(named.findall(words)) > 1}
    assert len(trees) > 20
    assert {name: group for name, tree in trees.items() for group in _groups_in(tree)}.keys() == {"lifecycle.py"}


def test_finding_3_groups_of_states_live_in_lifecycle_for_templates_too():
    found = []
    for path in TEMPLATES:
        for listed in re.findall(r"""[(\[]\s*((["'])\w+\2(?:\s*,\s*["']\w+["'])+)\s*[)\]]""", path.read_text()):
            words = set(re.findall(r"\w+", listed[0]))
            found += [(path.name, sorted(words))] if words < STATES else []
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "x in {'sent', 'delivered'}",
        "x in (State.SENT, State.DELIVERED)",
        "[State.SENT.value, 'delivered']",
        "sa.text(\"state IN ('sent', 'delivered')\")",
    ],
)
def test_finding_3_another_group_is_found(line):
    assert [words for _, words in _groups_in(ast.parse(line))] == [["delivered", "sent"]]


def test_finding_3_groups_are_groups_of_states():
    groups = {name: value for name, value in vars(lifecycle).items() if name.isupper() and isinstance(value, tuple)}
    assert len(groups) > 15
    for name, group in groups.items():
        assert set(group) < STATES, name
        assert len(set(group)) == len(group), name


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=lambda one: one.name)
@pytest.mark.parametrize("to", State)
def test_finding_3_a_move_takes_its_sources_from_the_table(to, dialect):
    for source in State:
        legal = source == to or to in MOVES[source]
        if legal:
            sql = str(texts.move(to, only=(source,)).compile(dialect=dialect))
            assert f"texts.state = '{source}'" in sql  # literal, as the partial indexes have it
        else:
            with pytest.raises(AssertionError, match="not in the table of moves"):
                texts.move(to, only=(source,))
    if lifecycle.sources(to):
        sql = str(texts.move(to).compile(dialect=dialect))
        assert set(re.findall(r"'(\w+)'", sql)) == set(lifecycle.sources(to))
