"""The API under /api/v1: the verbs and lists that pages and command line have, for other programs.

`door` lets a request in, `problems` says why not, `shapes` are the answers, `manual` describes it all, `mounted` joins
it together; the other modules hold the routes, one for each group of things.
"""

from reminders.web.api.mounted import create
from reminders.web.api.problems import refuse

__all__ = ["create", "refuse"]
