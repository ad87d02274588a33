"""What a reply means. `understand` takes the body of an inbound text and returns what it `Understood`. Pure.

`own_words` first removes what a phone quotes. `measured` returns the accuracy figures of the last measurement.
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
