"""Tasks: what a person must do. List them, read a story, take one, note something, close it."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Query, Request, Response

from reminders import clock, queries
from reminders.service import AppContext, tasks
from reminders.service.office.api_keys import Caller
from reminders.service.sending import releasing
from reminders.web.api.access import (
    Cursor,
    Door,
    Json,
    Limit,
    Names,
    Text,
    TheCaller,
    TheContext,
    found,
    needs,
    page,
    place,
    read_body,
    require,
    row_id,
    verdicts,
)
from reminders.web.api.shapes import Closing, Note, Page, Released, Task, TaskClosed, TaskInFull

T = TypeVar("T")

router = APIRouter(route_class=Door, tags=["tasks"])

Number = Annotated[str, Path(description="The task's number.")]


@router.get("/tasks", **needs("read", gives=Page[Task]))
def list_tasks(
    *,
    context: TheContext,
    caller: TheCaller,
    request: Request,
    response: Response,
    status: Annotated[Literal["open", "closed"], Query()] = "open",
    owner: Text = None,
    kind: Text = None,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Any:
    """Open tasks, the urgent ones first, then by due time; or closed ones, the latest first."""
    after = place(cursor, int, datetime, int)
    rows = context.database.read(
        lambda tx: queries.tasks.listed(
            tx, closed=status == "closed", owner=owner, kind=kind, sites=caller.sites, after=after, limit=limit + 1
        )
    )
    listed = page(request, response, rows, limit)
    now = clock.now()
    return listed | {"items": [queries.tasks.as_json(one, now) for one in listed["items"]]}


@router.get("/tasks/{task}", **needs("read", gives=TaskInFull))
def get_task(*, context: TheContext, caller: TheCaller, task: Number, names: Names = False) -> Any:
    """One task with its story; what people wrote only with `names`."""
    number = _number(context, caller, task)
    now = clock.now()
    if names:
        require(caller, "people")
        one, told = queries.tasks.show(context.database, number, now, who=caller.who)
    else:
        one, told = context.database.read(
            lambda tx: (found(queries.tasks.by_number(tx, number)), queries.tasks.story(tx, number, words=False))
        )
    return queries.tasks.opened_as_json(one, told, now)


@router.post("/tasks/{task}/take", **needs("write", gives=Task))
def take_task(*, context: TheContext, caller: TheCaller, task: Number) -> Any:
    """Take a task: it is this key's, and no one else is called."""
    return _do(
        context,
        caller,
        task,
        lambda number, now: queries.tasks.as_json(tasks.take(context, number, now, who=caller.who), now),
    )


@router.post("/tasks/{task}/note", **needs("write", gives=Task, takes=Note))
def note_task(*, context: TheContext, caller: TheCaller, task: Number, body: Json) -> Any:
    """Add a note to a task's story; it is kept sealed."""
    said = read_body(context, caller, Note, body).note
    return _do(
        context,
        caller,
        task,
        lambda number, now: queries.tasks.as_json(tasks.remark(context, number, said, now, who=caller.who), now),
    )


@router.post("/tasks/{task}/close", **needs("write", gives=TaskClosed, takes=Closing))
def close_task(*, context: TheContext, caller: TheCaller, task: Number, body: Json) -> Any:
    """Close a task with its outcome; texts held for it go again."""
    said = read_body(context, caller, Closing, body)
    disclosed = tasks.Disclosure(said.disclosed.to, said.disclosed.emergency) if said.disclosed is not None else None

    def close(number: int, now: datetime) -> Any:
        one, released = tasks.close(
            context, number, said.outcome, now, who=caller.who, note=said.note, disclosed=disclosed
        )
        return queries.tasks.as_json(one, now) | {"released": released}

    return _do(context, caller, task, close)


@router.post("/tasks/{task}/release", **needs("write", gives=Released))
def release_text(*, context: TheContext, caller: TheCaller, task: Number) -> Any:
    """Let the held text go that a task is about."""

    def release(number: int, now: datetime) -> Any:
        went, outlook = releasing.send_now(context, number, now, who=caller.who)
        return {"went": went, "says": outlook.sentence(now)}

    return _do(context, caller, task, release)


def _number(context: AppContext, caller: Caller, task: str) -> int:
    """The number of a task of this caller's sites. 404 for any other."""
    number = row_id(task)
    one = context.database.read(lambda tx: queries.tasks.by_number(tx, number))
    if one is None or one.site not in caller.sites.values():
        return found(None)
    return number


def _do(context: AppContext, caller: Caller, task: str, verb: Callable[[int, datetime], T]) -> T:
    number = _number(context, caller, task)
    with verdicts():
        return verb(number, clock.now())
