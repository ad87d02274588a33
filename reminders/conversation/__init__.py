"""What a reply means. `understand` takes the body of an inbound text and gives what is `Understood` of it. It is pure.

`own_words` first cuts what a phone quotes. `measured` gives the figures of how well replies are understood.
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
