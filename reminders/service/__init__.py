"""The verbs, from start to commit: what web, command line and jobs call to change anything.

`planning` accepts plans and keeps their reminders laid down, `replanning` makes a patient's texts what they should
be, `changes` moves, cancels and ends, `attendance` says who came, `lives` follows people; `importing` takes files;
`rendering` finds the words; `sending` hands over what is due, `backlog` holds what piled up in an outage; `outcomes`
learns what became of it; `inbound` hears what people text to us; `tasks` is what a person must do, `watch` looks for
it, `oncall` tells somebody; `inbox` opens a task with what was said around it, `today` is the board of the day;
`sites` are where it happens; `accounts` is who may do what, `signing_in` how they come in, `audit` who did what;
`health` says whether it all works, `presence` which processes are at work, `lights` what to do where it does not,
`stats` how much of what, `logbook` what became of each text; `runs` runs a job and puts its success on record.
"""

from reminders.service import (
    accounts,
    attendance,
    audit,
    backlog,
    changes,
    heads,
    health,
    importing,
    inbound,
    inbox,
    keys,
    lights,
    lives,
    logbook,
    logs,
    oncall,
    outcomes,
    plain,
    planning,
    presence,
    replanning,
    runs,
    sending,
    signing_in,
    sites,
    stats,
    tasks,
    today,
    watch,
)
from reminders.service.house import House

__all__ = [
    "House",
    "accounts",
    "attendance",
    "audit",
    "backlog",
    "changes",
    "heads",
    "health",
    "importing",
    "inbound",
    "inbox",
    "keys",
    "lights",
    "lives",
    "logbook",
    "logs",
    "oncall",
    "outcomes",
    "plain",
    "planning",
    "presence",
    "replanning",
    "runs",
    "sending",
    "signing_in",
    "sites",
    "stats",
    "tasks",
    "today",
    "watch",
]
