"""Due texts handed over, judged once more before, and what became of them."""

from reminders.service.sending.dispatch import ASK_AFTER, Dispatch, Tally

__all__ = ["ASK_AFTER", "Dispatch", "Tally"]
