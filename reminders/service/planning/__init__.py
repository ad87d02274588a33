"""Plans accepted, changed and previewed, and their texts laid down again."""

from reminders.service.planning.accepting import (
    NO_EARLY_VISIT,
    Accepted,
    Effect,
    ToldOf,
    accept,
    accept_in,
    effects,
    enter,
    extend,
    people_in,
    people_of,
    preview,
    preview_plan,
    texts_of,
    try_out,
)
from reminders.store.planning.texts import Changes

__all__ = [
    "NO_EARLY_VISIT",
    "Accepted",
    "Changes",
    "Effect",
    "ToldOf",
    "accept",
    "accept_in",
    "effects",
    "enter",
    "extend",
    "people_in",
    "people_of",
    "preview",
    "preview_plan",
    "texts_of",
    "try_out",
]
