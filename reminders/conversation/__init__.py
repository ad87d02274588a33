"""What a reply means. Pure: `understand` takes the body of an inbound text and gives its `Meaning`."""

from reminders.conversation.meaning import Meaning, understand

__all__ = ["Meaning", "understand"]
