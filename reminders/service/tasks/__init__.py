"""What a person must do: opened, taken, closed, and told to those on call."""

from reminders.service.tasks.handling import (
    Disclosure,
    Settled,
    close,
    held_text_of,
    is_dangerous_time,
    is_waking,
    let_text_go,
    nothing_to_tell,
    phone_instead,
    remark,
    take,
    tell_instead,
    tell_of_change,
    tell_of_expired,
)
from reminders.store.tasks import NoSuchTask

__all__ = [
    "Disclosure",
    "NoSuchTask",
    "Settled",
    "close",
    "held_text_of",
    "is_dangerous_time",
    "is_waking",
    "let_text_go",
    "nothing_to_tell",
    "phone_instead",
    "remark",
    "take",
    "tell_instead",
    "tell_of_change",
    "tell_of_expired",
]
