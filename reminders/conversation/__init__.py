"""What a reply means. Pure: `understand` takes the body of an inbound text and gives what is `Understood` of it."""

from reminders.conversation.meaning import Meaning, Understood, understand

__all__ = ["Meaning", "Understood", "understand"]
