"""What people and programs see in lists: plans, patients, appointments, sessions, replies.

One query each for pages, API and CLI, so that all show the same; the delivery log is `texts.log`, tasks are
`tasks.listed`.

Every list takes the ids of the sites that its reader may see: what belongs to another site does not exist for them. It
comes in pages by keyset: `place` of a row is where it stands in the order, and the next page is what stands `before` it
(the newest first) or `after` it (the earliest first). Sealed values are opened only when asked for, and are None where
they do not open any more, because the person was erased.
"""

from reminders.queries import (
    accounts,
    audit,
    call_list,
    counts,
    delivery_log,
    drafts,
    explanations,
    exports,
    history,
    inbox,
    listing,
    marks,
    patients,
    people,
    plans,
    readings,
    records,
    replies,
    site_export,
    statistics,
    tasks,
    texts,
    today,
    visits,
)
from reminders.store import CommitUncertain, Transaction, Unavailable, Unreadable, WrongSchema
from reminders.store.planning.plans import SeriesOfPlan
from reminders.store.records import PlanRow, RecipientRow, SignInRow

__all__ = [
    "CommitUncertain",
    "PlanRow",
    "RecipientRow",
    "SeriesOfPlan",
    "SignInRow",
    "Transaction",
    "Unavailable",
    "Unreadable",
    "WrongSchema",
    "accounts",
    "audit",
    "call_list",
    "counts",
    "delivery_log",
    "drafts",
    "explanations",
    "exports",
    "history",
    "inbox",
    "listing",
    "marks",
    "patients",
    "people",
    "plans",
    "readings",
    "records",
    "replies",
    "site_export",
    "statistics",
    "tasks",
    "texts",
    "today",
    "visits",
]
