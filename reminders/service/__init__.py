"""The verbs, from start to commit: what web, command line and jobs call to change anything.

`planning` accepts plans and keeps their reminders laid down, `replanning` makes a patient's texts what they should
be, `changes` moves, cancels and ends, `attendance` says who came, `importing` takes files, `rendering` finds the
words. `consents`, `phone_numbers` and `supporters` follow what happens to people, `staff_texts` sends what staff type.
`sending` hands over what is due, `backlog` holds what piled up in an outage, `outcomes` learns what became of each
text, `failed_texts` is what a person does about those that did not arrive. `inbound` hears what people text to us.
`tasks` is what a person must do, `watch` looks for it, `oncall` tells those on call. `sites` are where it happens;
`accounts` is who may do what, `signing_in` how they come in, `audit` the proof of who did what. `health` says whether
it all works, `presence` which processes are at work, `health_checks` what to do where it does not; `runs` runs a job
and puts its success on record. What people look at is read by `reminders.queries`.
"""

from reminders.app_context import AppContext
from reminders.service import planning, sending, tasks
from reminders.service.office import accounts, api_keys, audit, heads, signing_in, sites
from reminders.service.operations import health, health_checks, logs, presence, runs
from reminders.service.people import consents
from reminders.service.planning import attendance, changes, importing, replanning, watch
from reminders.service.replies import inbound
from reminders.service.sending import backlog, outcomes
from reminders.service.tasks import oncall

__all__ = [
    "AppContext",
    "accounts",
    "api_keys",
    "attendance",
    "audit",
    "backlog",
    "changes",
    "consents",
    "heads",
    "health",
    "health_checks",
    "importing",
    "inbound",
    "logs",
    "oncall",
    "outcomes",
    "planning",
    "presence",
    "replanning",
    "runs",
    "sending",
    "signing_in",
    "sites",
    "tasks",
    "watch",
]
