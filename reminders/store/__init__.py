"""Where it all stands: every SQL statement of the house. Personal data is sealed before it reaches a table.

Services open a transaction (`Database.write`, `.read`) and hand it to the questions and moves in the modules here, one
for each thing that is asked about; nobody else builds a statement.
"""

from sqlalchemy.engine import Row

from reminders.store import (
    accounts,
    answers,
    api_keys,
    attention,
    audit,
    backup,
    calls,
    claims,
    drafts,
    forwarders,
    history,
    lists,
    outcomes,
    people,
    plans,
    processes,
    queue,
    records,
    replies,
    retention,
    stats,
    tasks,
    texts,
    today,
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
    "answers",
    "api_keys",
    "attention",
    "audit",
    "backup",
    "calls",
    "check",
    "claims",
    "current",
    "drafts",
    "forwarders",
    "head",
    "history",
    "lists",
    "migrate",
    "outcomes",
    "people",
    "plans",
    "processes",
    "queue",
    "records",
    "replies",
    "retention",
    "stats",
    "tasks",
    "texts",
    "today",
]
