"""What clinicians say of replies: this was danger, this was not. A center counts by it what was found and missed.

A mark changes nothing else: it rings no one, closes nothing and teaches nothing. It is sealed with its reply.
"""

from collections.abc import Collection
from datetime import datetime

from reminders import store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.service import tasks


class NoSuchReply(LookupError):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """There is no reply of that number that belongs to the task."""


def mark(
    context: AppContext,
    task_number: int,
    reply_id: int,
    now: datetime,
    *,
    danger: bool | None,
    who: str,
    sites: Collection[int],
) -> None:
    """Say of a reply in a task's conversation whether it was danger, or with None take that back.

    The task and the reply must be of one of these sites. On record, sealed. Raises NoSuchTask and NoSuchReply.
    """

    def work(tx: store.Transaction) -> None:
        task = store.tasks.by_number(tx, task_number, sites)
        if task is None:
            raise tasks.NoSuchTask(task_number)
        number_id = store.tasks.number_of(tx, task)
        reply = store.replies.of_number(tx, reply_id, number_id, sites) if number_id is not None else None
        if reply is None:
            raise NoSuchReply(reply_id)
        before = store.replies.mark_of(tx, reply.id, reply.mark_sealed)
        if before is danger:
            return
        # An erased patient's key is gone, and with it the place to seal a mark in.
        try:
            key = store.plans.data_key_of_patient(tx, reply.patient_id) if reply.patient_id is not None else None
        except (LookupError, store.Unreadable):
            raise NoSuchReply(reply_id) from None
        store.replies.mark(tx, reply.id, key, danger=danger, who=who, now=now)
        store.audit_log.note(
            tx,
            who=who,
            what=Action.REPLY_MARKED if danger is not None else Action.REPLY_MARK_TAKEN_BACK,
            table="replies",
            row=reply_id,
            now=now,
            before=_CALLED[before],
            after=_CALLED[danger],
            key=key,
        )

    context.database.write(work, again=True)


_CALLED = {None: None, True: "danger", False: "no danger"}
