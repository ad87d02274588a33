"""What a reply means. Pure: `understand` takes the body of an inbound text and gives what is `Understood` of it.

`own_words` cuts what a phone quotes, before. `measured` are the figures of how well that goes.
"""

from reminders.conversation.meaning import Meaning, Understood, understand
from reminders.conversation.measured import Measured, measured
from reminders.conversation.quoted import OwnWords, is_automatic, own_words, quotes, same_words

__all__ = [
    "Meaning",
    "Measured",
    "OwnWords",
    "Understood",
    "is_automatic",
    "measured",
    "own_words",
    "quotes",
    "same_words",
    "understand",
]
