"""The words of a text: the catalog of each language, rendering, and the privacy lint. Pure.

`reminder` writes reminders, `several` writes notices about more than one visit, and `answer` writes all our other
texts. Each returns a text that may be sent, or raises `Unsayable`. A text typed by staff goes through `plainer` and
`check_typed`; `saved_replies` are its templates. `card` is for a person to take home.
`reminders.wording.segments.segments` counts the segments of a body.
"""

from reminders.wording.card import Card, card, card_parts
from reminders.wording.catalog import catalog_code, languages
from reminders.wording.lint import LONGEST_ALIAS, check_alias, check_typed, plainer, refused_words, telling_words
from reminders.wording.render import (
    CannotSay,
    Rendered,
    Unsayable,
    Visit,
    answer,
    examples,
    reminder,
    samples,
    several,
    shown_phone,
)
from reminders.wording.saved import SavedReply, saved_replies

__all__ = [
    "LONGEST_ALIAS",
    "CannotSay",
    "Card",
    "Rendered",
    "SavedReply",
    "Unsayable",
    "Visit",
    "answer",
    "card",
    "card_parts",
    "catalog_code",
    "check_alias",
    "check_typed",
    "examples",
    "languages",
    "plainer",
    "refused_words",
    "reminder",
    "samples",
    "saved_replies",
    "several",
    "shown_phone",
    "telling_words",
]
