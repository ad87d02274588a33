"""Commands about tasks: what a person must do. List them, read one's whole story, take it, close it with an outcome.

What a patient wrote is shown by `show` alone, and that someone read it is put on record.
"""

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from reminders.cli.output import Exit, Json, app_context, end, err, out, print_json, print_json_lines, print_table, who

if TYPE_CHECKING:
    from reminders.queries.tasks import Event, Task
    from reminders.service import AppContext

T = TypeVar("T")

Number = Annotated[int, typer.Argument(metavar="N", min=1, help="The task's number.")]
All = Annotated[bool, typer.Option("--all", help="Closed ones too.")]
Closed = Annotated[bool, typer.Option("--closed", help="Only closed ones, the latest first.")]
Mine = Annotated[bool, typer.Option("--mine", help="Only those you took.")]
KindOf = Annotated[str | None, typer.Option("--kind", metavar="K", help="Only of this kind, such as crisis.")]
Note = Annotated[str | None, typer.Option(metavar="WORDS", help="What is worth knowing; kept sealed. -: from stdin.")]


def tasks(
    context: typer.Context,
    all_: All = False,
    closed: Closed = False,
    mine: Mine = False,
    kind: KindOf = None,
    json: Json = False,
) -> None:
    """List what a person must do; take it, note it, close it."""
    if context.invoked_subcommand is None:
        list_tasks(all_, closed, mine, kind, json)
    elif all_ or closed or mine or kind or json:
        raise typer.BadParameter(f"write it after {context.invoked_subcommand}", param_hint="options")


def list_tasks(
    all_: All = False, closed: Closed = False, mine: Mine = False, kind: KindOf = None, json: Json = False
) -> None:
    """List what a person must do: the urgent first, then by due time."""
    from reminders import clock, queries, task_kinds

    if all_ and closed:
        raise typer.BadParameter("choose one of --all and --closed", param_hint="--closed")
    if kind is not None and kind not in task_kinds.KINDS:
        raise typer.BadParameter(f"choose from {', '.join(task_kinds.KINDS)}", param_hint="--kind")
    with app_context() as context:
        wanted = None if all_ else closed
        found = queries.tasks.list_tasks(context.database, closed=wanted, owner=who() if mine else None, kind=kind)
    now = clock.now()
    if json:
        print_json_lines(queries.tasks.as_json(task, now) for task in found)
        return
    print_table(
        "Tasks, the urgent first",
        ["No.", "Urgency", "What", "Who", "Visit", "Due", "Status"],
        [
            (
                task.id,
                task.urgency,
                task_kinds.KINDS[task.kind].title,
                _whom(task),
                task.visit,
                _when(task.due_at, task.zone, now) + (", overdue" if queries.tasks.is_overdue(task, now) else ""),
                _stands(task, now),
            )
            for task in found
        ],
        empty="Nothing to do." if not (all_ or closed) else "No tasks.",
    )


def show_task(number: Number, json: Json = False) -> None:
    """Show one task's whole story, with what was written to us.

    What we answered and what became of it, who was called and whether they took it. That you read it is recorded.
    """
    from reminders import clock, queries
    from reminders.service.operations.legible import legible

    now = clock.now()
    with app_context() as context, _refusals():
        task, told = queries.tasks.show(context.database, number, now, who=who())
    if json:
        print_json(queries.tasks.opened_as_json(task, told, now))
        return
    for line in _page(task, told, now):
        out.print(legible(line), soft_wrap=True)


def take_task(number: Number, json: Json = False) -> None:
    """Take a task: it is yours, and no one else is called."""
    from reminders import clock, queries, task_kinds
    from reminders.service import tasks

    now = clock.now()
    task = _do(lambda context: tasks.take(context, number, now, who=who()))
    if json:
        print_json(queries.tasks.as_json(task, now))
    else:
        err.print(f"Task {number} is yours: {task_kinds.KINDS[task.kind].to_do}")


def note_task(
    number: Number,
    note: Annotated[str, typer.Argument(metavar="WORDS", help="What happened; kept sealed. -: from stdin.")],
    json: Json = False,
) -> None:
    """Add a note to a task's story."""
    from reminders import clock, queries
    from reminders.service import tasks

    words, now = _words(note), clock.now()
    task = _do(lambda context: tasks.remark(context, number, words, now, who=who()))
    if json:
        print_json(queries.tasks.as_json(task, now))
    else:
        err.print(f"Noted in task {number}.")


def close_task(
    number: Number,
    outcome: Annotated[str, typer.Option(metavar="O", help="How it ended; `tasks show` lists what it may be.")],
    note: Note = None,
    disclosed_to: Annotated[
        str | None, typer.Option(metavar="WHOM", help="Medical personnel who were told of the patient (42 CFR 2.51).")
    ] = None,
    emergency: Annotated[str | None, typer.Option(metavar="WORDS", help="What emergency it was.")] = None,
    json: Json = False,
) -> None:
    """Close a task with its outcome; texts held for it go again."""
    from reminders import clock, queries
    from reminders.service import tasks

    if (disclosed_to is None) != (emergency is None):
        raise typer.BadParameter("give both, to whom and what emergency", param_hint="--disclosed-to, --emergency")
    disclosed = None
    if disclosed_to is not None and emergency is not None:
        disclosed = tasks.Disclosure(_words(disclosed_to), _words(emergency))
    words, now = _words(note) if note is not None else None, clock.now()
    task, released = _do(
        lambda context: tasks.close(context, number, outcome, now, who=who(), note=words, disclosed=disclosed)
    )
    if json:
        print_json({**queries.tasks.as_json(task, now), "released": released})
    else:
        err.print(f"Task {number} is closed: {_plain(outcome)}.")
        if released:
            err.print(f"Held texts that go on their way again: {released}.")


def let_text_go(number: Number, json: Json = False) -> None:
    """Send the held text now that a task is about, if it can go."""
    from reminders import clock
    from reminders.service.sending import releasing

    now = clock.now()
    went, outlook = _do(lambda context: releasing.send_now(context, number, now, who=who()))
    if not went:
        end(Exit.REFUSED, outlook.sentence(now))
    if json:
        print_json({"id": number, "released": 1})
    else:
        err.print(f"The text is released. {outlook.sentence(now)} The task stays open until it is handed over.")


@contextmanager
def _refusals() -> Generator[None]:
    """Ends the command where there is no such task, or where it cannot be done to it."""
    from reminders.service import tasks

    try:
        yield
    except tasks.NoSuchTask as missing:
        end(Exit.NOT_FOUND, f"There is no task {missing}.")
    except tasks.Settled as refusal:
        end(Exit.REFUSED, f"Not done: {refusal}.")


def _do(verb: "Callable[[AppContext], T]") -> T:
    with app_context() as context, _refusals():
        return verb(context)


def _words(given: str) -> str:
    """What a person typed, or what comes on stdin: a shell keeps a history of what is typed."""
    words = (sys.stdin.read() if given == "-" else given).strip()
    if not words:
        raise typer.BadParameter("is empty", param_hint="WORDS")
    return words


def _when(at: datetime, zone: str, now: datetime, *, seconds: bool = False) -> str:

    from reminders.wording import house_style

    return house_style.clock_time(at, zone, now, seconds=seconds)


def _whom(task: "Task") -> str:
    known = ", ".join(task.patients)
    return " ".join(filter(None, (known, f"…{task.to[-4:]}" if task.to else "")))


def _stands(task: "Task", now: datetime) -> str:
    if task.closed_at is not None:
        return f"closed: {_plain(task.outcome)}"
    if task.owner is not None:
        return f"taken by {task.owner}"
    if task.rung_at is not None and task.acknowledged_at is None:
        return f"rings for {(now - task.rung_at).total_seconds() / 60:.0f} min"
    return "open"


def _plain(word: str | None) -> str:
    return (word or "").replace("_", " ")


def _page(task: "Task", told: "Sequence[Event]", now: datetime) -> Iterator[str]:
    """The whole story on one page."""
    from reminders import queries, task_kinds

    kind = task_kinds.KINDS[task.kind]
    overdue = ", overdue" if queries.tasks.is_overdue(task, now) else ""
    alarm = None
    if task.rung_at is not None:
        alarm = f"rang {_when(task.rung_at, task.zone, now)}"
        if task.acknowledged_at is not None:
            alarm += f"; acknowledged {_when(task.acknowledged_at, task.zone, now)}"
        elif task.escalates_at is not None:
            alarm += f"; no one has acknowledged it; the next is called {_when(task.escalates_at, task.zone, now)}"
    facts = {
        "Patients": ", ".join(task.patients) or ("no one we know" if task.to else None),
        "Phone": task.to,
        "Plan": task.plan,
        "Visit": f"{task.visit}, {_when(task.starts_at, task.zone, now)}" if task.visit and task.starts_at else None,
        "Due": _when(task.due_at, task.zone, now) + overdue,
        "Alarm": alarm,
        "Owner": task.owner or "no one yet",
        "Outcome": _plain(task.outcome) or f"open; one of {', '.join(kind.outcomes)}",
    }
    yield f"Task {task.id}, {task.urgency}: {kind.title}"
    yield from (f"  {name + ':':<10} {said}" for name, said in facts.items() if said)
    yield f"To do: {kind.to_do}"
    yield f"What happened (times of the site, {task.zone})"
    for event in told:
        yield f"  {_when(event.at, task.zone, now, seconds=True)}  {_told(event)}"


def _told(event: "Event") -> str:
    """One line of the story."""
    from reminders.queries import explanations

    said = [explanations.happened(event)]
    if event.words is not None:
        said.append(f"“{' '.join(event.words.split())}”")
    if event.rules:
        said.append(f"(rules: {', '.join(event.rules)})")
    if event.text_wording is not None and event.what == "answered":
        said.append(f"with “{event.text_wording}”: {explanations.became(event)}")
    if event.who not in {"the service", "the phone"}:
        said.append(f"by {event.who}")
    return " ".join(said)
