"""A kind of task is one row: what follows from the kind stands in the table, and nowhere else (finding 4)."""

import ast
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import reminders
from reminders import task_kinds
from reminders.task_kinds import KINDS, Cause, Due, Kind
from reminders.wording import staff_words

SOURCE = Path(reminders.__file__).parent
DOC = (SOURCE.parent / "docs" / "tasks.md").read_text(encoding="utf-8")
TREES = {
    path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
    for path in SOURCE.rglob("*.py")
    if not {"migrations", "simulator"} & set(path.parts) and path.name != "task_kinds.py"
}
NODES = [(name, node) for name, tree in TREES.items() for node in ast.walk(tree)]
NAMES = {id(row): name for name, row in vars(task_kinds).items() if isinstance(row, Kind | Cause)}
CAUSES = [cause for cause in vars(task_kinds).values() if isinstance(cause, Cause)]
BY_HAND = (task_kinds.RELEASED, task_kinds.DROPPED, task_kinds.PLAN_ENDED, task_kinds.ERASED)
OPENERS = ("open_task", "_open", "close_by_key", "close_all", "_close")
AT = datetime(2026, 12, 4, 15, tzinfo=UTC)  # a Friday, 10 o'clock in New York

# As 0.2.0 wrote them: a key that changes would open a second task beside the one that is open.
KEYS = [
    *((name, {"number_id": 7}, f"{name}:7") for name in ("crisis", "possible", "slip", "reply", "stranger", "change")),
    *((name, {"number_id": 7}, f"{name}:7") for name in ("stop_asked", "stop_early", "visit_or_texts", "who")),
    *((name, {"number_id": 7}, f"{name}:7") for name in ("wrong_number", "after_stop", "supervisor")),
    *((name, {"number_id": 7, "at_site": 2}, f"{name}:7:at:2") for name in ("stop_asked", "wrong_number")),
    ("number_bad", {"number_id": 7, "at_site": 2}, "number_bad:7:at:2"),
    ("number_bad", {"number_id": 7, "since": AT}, "number_bad:7:2026-12-04"),
    *((name, {"text_id": 7, "number_id": 1}, f"{name}:7") for name in ("held_text", "undelivered", "uncertain")),
    ("tell_change", {"recipient_id": 3, "appointment_id": 4, "number_id": 1}, "tell_change:3:4"),
    ("red", {"patient_id": 5, "day": "2026-12-04", "appointment_id": 4}, "red:5:2026-12-04"),
    *((name, {"appointment_id": 4, "plan_id": 1}, f"{name}:4") for name in ("unconfirmed_first", "missed")),
    ("unverified", {"recipient_id": 3, "number_id": 7}, "unverified:3:7"),
    ("no_consent", {"plan_id": 6, "patient_id": 5, "recipient_id": None}, "no_consent:6"),
    ("no_consent", {"plan_id": 6, "patient_id": 5, "recipient_id": 3}, "no_consent:6:3"),
    ("to_mark", {"at_site": 2, "day": date(2026, 12, 4)}, "to_mark:2:2026-12-04"),
    ("review", {"plan_id": 6, "day": 30}, "review:6:30"),
    *((name, {}, name) for name in ("backlog", "restored")),
    ("sender_fault", {"sender_id": 8}, "sender_fault:8"),
    ("stuck", {"job": "watch", "what": "rule of age", "row": "x", "text_id": None}, "stuck:watch:rule of age:x"),
]


@pytest.mark.parametrize(("kind", "about", "key"), KEYS)
def test_finding_4_a_key_is_made_of_what_its_task_is_about(kind, about, key):
    assert KINDS[kind].key(**about) == key


def test_finding_4_every_form_of_every_key_is_in_the_list_above():
    forms = {(kind.name, form.replace("{since:%Y-%m-%d}", "{since}")) for kind in KINDS.values() for form in kind.keys}
    assert len(KEYS) == len(forms)
    assert {name for name, _, _ in KEYS} == KINDS.keys()


def test_finding_4_too_little_said_is_no_key():
    with pytest.raises(KeyError):
        task_kinds.TELL_CHANGE.key(recipient_id=3)


def _called(node):
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _says_for_its_kind(node):
    if not isinstance(node, ast.Call) or _called(node) not in OPENERS:
        return []
    return [one.arg for one in node.keywords if one.arg in {"kind", "key", "urgency", "due_at", "outcome", "why"}]


def _builds_a_key(node):
    """Words that begin as a key does, or an f-string of a kind and more."""
    parts = [*node.values, None, None] if isinstance(node, ast.JoinedStr) else [node, None]
    first, second = parts[:2]
    if isinstance(first, ast.FormattedValue) and isinstance(second, ast.Constant):
        return "kind" in ast.unparse(first).lower() and bool(re.match(r":(?! )", second.value))
    words = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    return bool(re.match(rf"({'|'.join(KINDS)}):", words))


def test_finding_4_no_opener_says_what_its_kind_says():
    assert [(name, node.lineno, said) for name, node in NODES for said in _says_for_its_kind(node)] == []


def test_finding_4_no_key_of_a_task_is_built_outside_of_the_table():
    found = {(name, ast.unparse(node)) for name, node in NODES if _builds_a_key(node)}
    texts = {(name, words) for name, words in found if name == "service/planning/attendance.py"}
    assert found == texts  # the text after a missed visit has a key that begins the same
    assert {words for _, words in texts} == {"f'missed:{row.series_key}@{row.recurrence_id}'", "'missed:'"}


def test_finding_4_one_statement_makes_a_task():
    made = [name for name, node in NODES if isinstance(node, ast.Call) and ast.unparse(node.func) == "tasks.insert"]
    assert made == ["store/tasks.py"]


@pytest.mark.parametrize(
    "line",
    [
        "store.tasks.open_task(tx, WHO, urgency='soon')",
        "self._open(WHO, due_at=now)",
        "store.tasks.close_all(tx, CONFIRMED, now, about, why='as it is')",
    ],
)
def test_finding_4_an_opener_that_says_more_is_found(line):
    assert any(map(_says_for_its_kind, ast.walk(ast.parse(line))))


@pytest.mark.parametrize("line", ["f'reply:{number}'", "'stuck:send:text:1'", "f'{kind}:{text}'", "f'{one.kind}:1'"])
def test_finding_4_a_key_that_is_built_by_hand_is_found(line):
    assert any(map(_builds_a_key, ast.walk(ast.parse(line))))


def test_finding_4_every_row_is_used_and_every_cause_closes_something():
    used = {getattr(node, "attr", None) or getattr(node, "id", None) for _, node in NODES}
    assert set(NAMES.values()) - used == set()
    assert {id(kind) for kind in KINDS.values()} | {id(cause) for cause in CAUSES} == NAMES.keys()
    assert all((cause in BY_HAND) != bool(task_kinds.closed_by(cause)) for cause in CAUSES)
    assert staff_words.CAUSES.keys() == {cause.code for cause in CAUSES}
    assert all(cause.outcome in kind.outcomes for cause in CAUSES for kind in task_kinds.closed_by(cause))


# The document says what the table says.


def _due_words(due: Due) -> str:
    said = []
    if due.waking_hours is not None:
        said.append(f"{due.waking_hours} waking hours")
    if due.within is not None:
        said.append(f"{due.within.total_seconds() / 60:.0f} minutes")
    if due.at is not None:
        said.append(f"{due.at:%H:%M} {('that day', 'the next day')[due.days]}")
    if due.before is not None:
        hours = due.before.total_seconds() / 3600
        said.append(f"{hours:.0f} hour{'s' if hours > 1 else ''} before the visit")
    return ", or ".join(said)


def _row(kind: Kind) -> tuple[str, str, str, str]:
    """Urgency, due, closes itself when, ends as: as docs/tasks.md has them."""
    grave = f"; grave: urgent, {_due_words(kind.grave)}" if kind.grave else ""
    outcomes = "any" if kind.outcomes == task_kinds.ANY else ", ".join(f"`{one}`" for one in kind.outcomes)
    return (
        kind.urgency,
        _due_words(kind.due) + grave,
        "; ".join(staff_words.CAUSES[cause.code] for cause in kind.closed_by),
        outcomes,
    )


def test_the_document_has_the_table():
    body = DOC.split("## The kinds", 1)[1].split("\n\n", 2)[1]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()[2:]]
    said = {name: tuple(cells) for first, _, *cells in rows for name in re.findall(r"`(\w+)`", first)}
    assert said == {kind.name: _row(kind) for kind in KINDS.values()}


@pytest.mark.parametrize(
    ("due", "given", "at"),
    [
        (Due(waking_hours=4), {}, "2026-12-04T19:00"),
        (Due(waking_hours=4), {"until": AT}, "2026-12-04T15:00"),
        (task_kinds.CHANGE.due, {"visits": [datetime(2026, 12, 4, 17, tzinfo=UTC)]}, "2026-12-04T16:00"),
        (task_kinds.RED.due, {"visits": [datetime(2026, 12, 4, 16, tzinfo=UTC)]}, "2026-12-04T15:00"),  # never before
        (task_kinds.CRISIS.due, {}, "2026-12-04T15:15"),
        (task_kinds.TO_MARK.due, {}, "2026-12-05T17:00"),
        (task_kinds.REVIEW.due, {}, "2026-12-04T22:00"),
    ],
)
def test_due_times_by_rule(due, given, at):
    assert due.by(AT, "America/New_York", **given) == datetime.fromisoformat(at).replace(tzinfo=UTC)
