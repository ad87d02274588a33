"""Telling on-call: who is on call when (C-8), and the page that reaches them (C-7).

`rota` is the contacts of a site with their hours, and who is told at each step of an escalation. `pager` tells one of
them, through apprise. A page says which task to open, and nothing of a person.
"""

from reminders.paging.pager import Pager
from reminders.paging.rota import Contact, Rota

__all__ = ["Contact", "Pager", "Rota"]
