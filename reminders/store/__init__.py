"""Where it all stands: every SQL statement of the house. Personal data is sealed before it reaches a table.

Services open a transaction (`Database.write`, `.read`) and hand it to the questions and moves in `people`, `plans`,
`texts`, `queue`, `outcomes`, `replies`, `tasks`, `calls`, `lists`, `stats`, `records`, `accounts` and `backup`; nobody
else builds a statement.
"""

from sqlalchemy.engine import Row

from reminders.store import (
    accounts,
    attention,
    backup,
    calls,
    ids,
    lists,
    outcomes,
    people,
    plans,
    queue,
    records,
    replies,
    stats,
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
    "accounts",
    "attention",
    "backup",
    "calls",
    "check",
    "current",
    "head",
    "ids",
    "lists",
    "migrate",
    "outcomes",
    "people",
    "plans",
    "queue",
    "records",
    "replies",
    "stats",
    "tasks",
    "texts",
]
