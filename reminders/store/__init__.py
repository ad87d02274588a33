"""Where it all stands: every statement that changes rows. Personal data is sealed before it reaches a table.

Services open a transaction (`Database.write`, `.read`) and hand it to the questions and moves in the modules here, one
for each thing that is asked about; no one else builds a statement.
"""

from reminders.store import oncall, people, replies, tasks
from reminders.store.database.engine import CommitUncertain, Database, Transaction, Unavailable
from reminders.store.database.migrate import WrongSchema, check, check_again, current, head, migrate
from reminders.store.database.sealing import Ring, Unreadable
from reminders.store.office import accounts, api_keys, audit, audit_log, job_runs
from reminders.store.operations import backup, forwarders, processes, retention, tallies
from reminders.store.planning import attention, drafts, plans, texts
from reminders.store.sending import answers, claims, costs, outcomes, queue

__all__ = [
    "CommitUncertain",
    "Database",
    "Ring",
    "Transaction",
    "Unavailable",
    "Unreadable",
    "WrongSchema",
    "accounts",
    "answers",
    "api_keys",
    "attention",
    "audit",
    "audit_log",
    "backup",
    "check",
    "check_again",
    "claims",
    "costs",
    "current",
    "drafts",
    "forwarders",
    "head",
    "job_runs",
    "migrate",
    "oncall",
    "outcomes",
    "people",
    "plans",
    "processes",
    "queue",
    "replies",
    "retention",
    "tallies",
    "tasks",
    "texts",
]
