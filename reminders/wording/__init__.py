"""What a text says: the catalogues of each language, rendering, and the privacy lint. Pure.

`reminder` is the one way to a reminder's words; it gives a text that may be sent, or raises `Unsayable`. How many
segments a body takes is `reminders.wording.segments.segments`.
"""

from reminders.wording.catalogue import catalogue_code, languages
from reminders.wording.lint import check_alias, telling_words
from reminders.wording.render import Rendered, Unsayable, Visit, reminder, samples

__all__ = [
    "Rendered",
    "Unsayable",
    "Visit",
    "catalogue_code",
    "check_alias",
    "languages",
    "reminder",
    "samples",
    "telling_words",
]
