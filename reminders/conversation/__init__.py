"""What a reply means. Pure: `understand` takes the body of an inbound text and gives what is `Understood` of it.

`own_words` cuts what a phone quotes, before.
"""

from reminders.conversation.meaning import Meaning, Understood, understand
from reminders.conversation.quoted import OwnWords, is_automatic, own_words, quotes, same_words

__all__ = ["Meaning", "OwnWords", "Understood", "is_automatic", "own_words", "quotes", "same_words", "understand"]
