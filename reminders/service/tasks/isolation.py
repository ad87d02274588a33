"""Work on many rows, each on its own: what cannot be done with one row costs only that row.

A job that meets such a row does all the others, opens a task that names the row, and then fails with the first error,
so that its health goes red with the cause. A database that is away is no row's fault and ends the work at once.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from reminders import store
from reminders.app_context import AppContext
from reminders.service import tasks
from reminders.service.operations import logs

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class OneByOne:
    """One pass of a job over many rows. Call `finish` when all had their turn."""

    context: AppContext
    job: str
    now: datetime
    _failed: dict[str, tuple[str, dict[str, int | None]]] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _first: Exception | None = None

    def do(self, what: str, row: int | str, work: Callable[[], T], **about: int | None) -> T | None:
        """What `work` gives, or None where it failed for this row alone.

        `what` and `row` name the row in the log and in the task, as in `plan`, 12: never a person. `about` are the rows
        that the task points to (`site_id`, `plan_id`, `patient_id`, `text_id`). Raises Unavailable.
        """
        key = f"stuck:{self.job}:{what}:{row}"
        try:
            done = work()
        except store.Unavailable:
            raise
        except Exception as error:  # ruff: ignore[blind-except]  whatever it is, the other rows have their turn
            log.error("%s %s cannot be processed by the %s job: %s", what, row, self.job, logs.describe(error))  # ruff: ignore[error-instead-of-exception]  its text may be personal
            self._failed[key] = (f"{what} {row}: {type(error).__name__}", about)
            self._first = self._first or error
            return None
        self._done.add(key)
        return done

    def finish(self) -> None:
        """Open a task for each row that failed, close those of rows that are well again. Raises the first error."""
        if self._failed:
            self.context.database.write(self._tell, again=True)
        if self._done:
            self.context.database.write(self._well_again, again=True)
        if self._first is not None:
            raise self._first

    def _tell(self, tx: store.Transaction) -> None:
        default = store.people.keep_default_site(tx, self.context.settings, self.now)
        for key, (detail, about) in self._failed.items():
            task_id, fresh = store.tasks.open_task(
                tx,
                kind="stuck",
                key=key,
                urgency="soon",
                site_id=about.get("site_id") or default,
                now=self.now,
                due_at=tasks.waking(self.now, self.context.settings.site.zone),
                patient_id=about.get("patient_id"),
                plan_id=about.get("plan_id"),
                text_id=about.get("text_id"),
            )
            if fresh:
                store.tasks.add_event(
                    tx, task_id, self.now, what="cannot be processed", who="the service", detail=detail
                )

    def _well_again(self, tx: store.Transaction) -> None:
        open_ones = set(store.tasks.open_keys(tx, "stuck")) & (self._done - self._failed.keys())
        store.tasks.close_by_key(tx, open_ones, self.now, outcome="done", why="it can be processed again")
