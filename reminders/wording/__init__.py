"""What a text says: the catalogues of each language, rendering, and the privacy lint. Pure.

`reminder` is the one way to a reminder's words, `several` to those of a notice of more visits than one, and `answer`
to those of every other text of ours; each gives a text that may be sent, or raises `Unsayable`. What staff typed
goes through `plainer` and `check_typed`; `saved_replies` are what it may begin with. `card` is what a person takes
home. How many segments a body takes is `reminders.wording.segments.segments`.
"""

from reminders.wording.card import Card, card, card_parts
from reminders.wording.catalogue import catalogue_code, languages
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
    "catalogue_code",
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
