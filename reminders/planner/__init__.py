"""When to text. Pure: which texts a reader should get for their visits, in which windows, and why any others are not
sent (docs/design.md#the-planner). `daily` lists the possible reminders, `selection` chooses among them, `notices` plans
the texts that no lead asks for, and `guard` judges a text at the moment of sending. All of them ask `readers` who may
be texted and when.
"""

from reminders.planner.daily import Candidate, is_red
from reminders.planner.guard import Due, Go, Stop, Wait, guard
from reminders.planner.matching import Arriving, Leaving, Name, renamed
from reminders.planner.notices import (
    CORRECTED_WITHIN,
    NOTICE_WITHIN,
    News,
    Notice,
    Sort,
    Standing,
    Unplanned,
    added,
    guard_unplanned,
    is_news,
    may_be_texted,
    merged,
    notice,
    sort_of,
    standing,
    standing_of,
    untold,
    window_of,
)
from reminders.planner.readers import Gone, Policy, QuietHours, Reader, Reason, Told, Visit, next_allowed
from reminders.planner.selection import plan

__all__ = [
    "CORRECTED_WITHIN",
    "NOTICE_WITHIN",
    "Arriving",
    "Candidate",
    "Due",
    "Go",
    "Gone",
    "Leaving",
    "Name",
    "News",
    "Notice",
    "Policy",
    "QuietHours",
    "Reader",
    "Reason",
    "Sort",
    "Standing",
    "Stop",
    "Told",
    "Unplanned",
    "Visit",
    "Wait",
    "added",
    "guard",
    "guard_unplanned",
    "is_news",
    "is_red",
    "may_be_texted",
    "merged",
    "next_allowed",
    "notice",
    "plan",
    "renamed",
    "sort_of",
    "standing",
    "standing_of",
    "untold",
    "window_of",
]
