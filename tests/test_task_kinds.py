"""A kind of task is one row: what follows from the kind stands in the table, and nowhere else (finding 4)."""

import ast
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

import reminders
from reminders import task_kinds
from reminders.queries import explanations
from reminders.store import tasks
from reminders.store.tasks import Event
from reminders.task_kinds import KINDS, Cause, Due, Happened, Kind
from reminders.wording import task_words

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
    assert task_words.CAUSES.keys() == {cause.code for cause in CAUSES}
    assert all(cause.outcome in kind.outcomes for cause in CAUSES for kind in task_kinds.closed_by(cause))


# What happened in a task is a code with values (finding 7).


def _written():
    """Each call that adds to a story, with the code that it adds and the names of its values, where it names them."""
    for name, node in NODES:
        if isinstance(node, ast.Call) and _called(node) in {"add_event", "_event"} and name != "store/replies.py":
            code = next((one.attr for one in node.args if ast.unparse(one).startswith("Happened.")), None)
            given = next((one for one in node.args if isinstance(one, ast.Dict)), None)
            yield name, code, {key.value for key in given.keys if key} if given else None


def test_finding_7_a_story_is_added_to_by_code():
    written = list(_written())
    assert {code for _, code, _ in written if code} >= {one.name for one in Happened} - {"PAGED", "PAGE_NOT_TAKEN"}
    # Where no code stands, one is handed on.
    handing_on = {name for name, code, _ in written if code is None}
    assert handing_on == {"service/replies/inbound.py", "store/oncall.py"}


def test_finding_7_every_code_has_words_and_every_value_a_place_in_them():
    assert task_words.HAPPENED.keys() == set(Happened)
    assert task_words.DETAILS.keys() <= set(Happened)
    looked_up = {"STOPPED": {"meaning"}}
    for name, code, given in _written():
        if code is not None and given is not None and code != "CLOSED":
            wanted = set(re.findall(r"{(\w+)", task_words.DETAILS[Happened[code]])) - looked_up.get(code, set())
            assert given == wanted, (name, code)


def _event(what, values):
    return Event(AT, what, "the service", values, None, (), None, None, None, None, None)


@pytest.mark.parametrize(
    ("what", "stored", "words"),
    [
        ("closed", '{"cause": "released", "texts": 40}', "Closed: 40 texts released"),
        ("closed", '{"outcome": "handed_over"}', "Closed: handed over"),
        ("answer lost", '{"state": "undelivered", "code": 21610}', f"Lost {task_words.UNREACHED} (code 21610)"),
        ("answer lost", '{"state": "uncertain"}', "Lost no one knows whether our answer went"),
        ("a text came", '{"sent_at": "2026-12-04T15:00:30+00:00"}', "A text came sent 15:00 UTC, heard later"),
        ("not sent", '{"reason": "opted_out"}', "It did not go: this number has opted out"),
        ("disclosed", None, "Told to medical personnel 42 CFR 2.51"),
        ("no one is on call", None, "NO ONE IS ON CALL"),
        # As 0.2.0 stored them, and what no version of ours does.
        ("closed", "the number was verified by its Y", "Closed: the number was verified by its Y"),
        ("closed", "handed_over", "Closed: handed over"),
        ("answer lost", "no one knows (code 30003)", "Lost no one knows (code 30003)"),
        ("paged", "First", "Paged First"),
        ("held", "40 texts", "Held: 40 texts"),
        ("something else", "5", "something else 5"),
        ("closed", '{"cause": "of another kind"}', "Closed: of another kind"),
    ],
)  # fmt: skip
def test_finding_7_what_happened_is_put_into_words_old_sentences_as_they_are(what, stored, words):
    assert explanations.happened(_event(what, tasks._unpacked(stored))) == words


def test_finding_7_values_fit_their_column_whatever_they_are():
    packed = tasks._packed({"what": "\\" * 300, "row": '"' * 300, "error": "é" * 300})
    assert len(packed) <= tasks.task_events.c.detail.type.length
    assert tasks._unpacked(packed).keys() == {"what", "row", "error"}


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
        "; ".join(task_words.CAUSES[cause.code] for cause in kind.closed_by),
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
