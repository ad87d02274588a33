"""Paging on-call: who is on call when (C-8), and the page that reaches them (C-7).

`rota` has the contacts of a site with their hours, and the people to page at each step of an escalation. `pager` pages
one of them, through apprise. A page names the task to open, and nothing about a person.
"""

from reminders.paging.pager import Pager
from reminders.paging.rota import Contact, Rota

__all__ = ["Contact", "Pager", "Rota"]
