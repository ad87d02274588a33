"""The verbs, from start to commit: what web, command line and jobs call to change anything.

`planning` accepts plans and keeps their reminders laid down; `importing` takes files; `sending` hands over what is
due; `outcomes` learns what became of it; `inbound` hears what people text to us; `health` says whether it all works;
`runs` runs a job and puts its success on record.
"""

from reminders.service import health, importing, inbound, logs, outcomes, planning, runs, sending
from reminders.service.house import House

__all__ = ["House", "health", "importing", "inbound", "logs", "outcomes", "planning", "runs", "sending"]
