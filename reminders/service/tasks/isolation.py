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
from reminders.service.operations import logs
from reminders.task_kinds import STUCK, WELL_AGAIN, About, Happened

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass
class OneByOne:
    """One pass of a job over many rows. Call `finish` when all had their turn."""

    context: AppContext
    job: str
    now: datetime
    _failed: dict[str, tuple[str, int | None, About]] = field(default_factory=dict)
    _done: set[str] = field(default_factory=set)
    _first: Exception | None = None

    def do(
        self,
        what: str,
        row: int | str,
        work: Callable[[], T],
        *,
        site_id: int | None = None,
        plan_id: int | None = None,
        patient_id: int | None = None,
        text_id: int | None = None,
    ) -> T | None:
        """What `work` gives, or None where it failed for this row alone.

        `what` and `row` name the row in the log and in the task, as in `plan`, 12: never a person. The others are the
        rows that the task points to. Raises Unavailable.
        """
        about = About(job=self.job, what=what, row=row, plan_id=plan_id, patient_id=patient_id, text_id=text_id)
        key = STUCK.key(**about)
        try:
            done = work()
        except store.Unavailable:
            raise
        except Exception as error:  # ruff: ignore[blind-except]  whatever it is, the other rows have their turn
            log.error("%s %s cannot be processed by the %s job: %s", what, row, self.job, logs.describe(error))  # ruff: ignore[error-instead-of-exception]  its text may be personal
            self._failed[key] = (type(error).__name__, site_id, about)
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
        zone = self.context.settings.site.zone
        for error, site_id, about in self._failed.values():
            task_id, fresh = store.tasks.open_task(
                tx, STUCK, site_id=site_id or default, zone=zone, now=self.now, **about
            )
            if fresh:
                why: dict[str, str | int] = {"what": about["what"], "row": about["row"], "error": error}
                store.tasks.add_event(tx, task_id, self.now, Happened.CANNOT_BE_PROCESSED, why)

    def _well_again(self, tx: store.Transaction) -> None:
        open_ones = set(store.tasks.open_keys(tx, STUCK)) & (self._done - self._failed.keys())
        store.tasks.close_by_key(tx, open_ones, WELL_AGAIN, self.now)
