"""Where it all stands: every SQL statement of the house. Personal data is sealed before it reaches a table.

Services open a transaction (`Database.write`, `.read`) and hand it to the questions and moves in `people`, `plans`,
`texts`, `queue`, `claims`, `answers`, `outcomes`, `replies`, `tasks`, `calls`, `records` and `backup`; nobody else
builds a statement.
"""

from sqlalchemy.engine import Row

from reminders.store import (
    answers,
    attention,
    backup,
    calls,
    claims,
    outcomes,
    people,
    plans,
    queue,
    records,
    replies,
    tasks,
    texts,
)
from reminders.store.engine import CommitUncertain, Database, Transaction, Unavailable
from reminders.store.migrate import WrongSchema, check, current, head, migrate
from reminders.store.sealing import Ring, Unreadable

__all__ = [
    "CommitUncertain",
    "Database",
    "Ring",
    "Row",
    "Transaction",
    "Unavailable",
    "Unreadable",
    "WrongSchema",
    "answers",
    "attention",
    "backup",
    "calls",
    "check",
    "claims",
    "current",
    "head",
    "migrate",
    "outcomes",
    "people",
    "plans",
    "queue",
    "records",
    "replies",
    "tasks",
    "texts",
]
