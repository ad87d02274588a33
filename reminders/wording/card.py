"""The card a person takes home: what our texts look like, what to write back, whom to call (L-31, L-38, C-1)."""

import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reminders.wording.catalogue import CARD
from reminders.wording.lint import telling_words
from reminders.wording.render import Unsayable, Visit, catalogue_of, reminder, shown_phone

WIDTH = 64  # characters in a line, so that large print still fits a page

# The day in the sample belongs to no one: a true one would be past while the card still lies on the table.
_SAMPLE_AT = datetime(2027, 1, 5, 10, 0, tzinfo=UTC)
_SAMPLE = Visit(_SAMPLE_AT.replace(tzinfo=None), "UTC", _SAMPLE_AT, meeting=False, asks=True)


@dataclass(frozen=True, slots=True)
class Card:
    """What the card says, part by part, for a page that sets it as it likes; `str` of it is the card as plain text.

    `sender` is the line that says which number the texts come from, None where no single number sends them.
    """

    language: str
    alias: str
    about: str
    sender: str | None
    sample_heading: str
    sample: str
    replies_heading: str
    replies: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """One page of plain text: fewer than 50 lines, none longer than `WIDTH`."""
        widest = max(len(word) for word, _ in self.replies) + 2
        replies = (
            textwrap.fill(text, WIDTH, initial_indent=f"    {word:<{widest}}", subsequent_indent=" " * (4 + widest))
            for word, text in self.replies
        )
        opening = (_filled(line) for line in (self.about, self.sender) if line is not None)
        parts = [
            f"{self.alias}\n{'=' * len(self.alias)}",
            "\n".join(opening),
            _filled(self.sample_heading),
            _filled(self.sample, indent="    "),
            _filled(self.replies_heading),
            "\n".join(replies),
            *map(_filled, self.notes),
        ]
        return "\n\n".join(parts) + "\n"


def card(*, language: str, alias: str, phone: str, line24: str, sender: str | None = None) -> str:
    """The card in one language as one page of plain text. Takes and raises what `card_parts` does."""
    return str(card_parts(language=language, alias=alias, phone=phone, line24=line24, sender=sender))


def card_parts(*, language: str, alias: str, phone: str, line24: str, sender: str | None = None) -> Card:
    """What the card says: `alias`, a sample text, the replies, the numbers to call. It names no person and no real day.

    `language` is a BCP 47 tag; `phone`, `line24` and `sender` are in E.164. `sender` is the number that the texts come
    from; of a messaging service (MG…), which has many, or without one, the card does not say it.

    Raises Unsayable as `reminder` does: `no_wording` if the language has no text to show; `lint` if a word on it tells,
    for it may lie on a kitchen table (W-2).
    """
    catalogue = catalogue_of(language)
    sample = reminder(
        [_SAMPLE],
        language=language,
        alias=alias,
        phone=phone,
        reader_zone=_SAMPLE.zone,
        now=_SAMPLE_AT - timedelta(days=7),
    )
    values = {"phone": shown_phone(phone), "line24": shown_phone(line24), "sender": shown_phone(sender or "")}
    said = {name: catalogue.card[name].format_map(values) for name in CARD}
    made = Card(
        language=catalogue.language,
        alias=alias,
        about=said["about"],
        sender=said["sender"] if sender and sender.startswith("+") else None,
        sample_heading=said["sample"],
        sample=sample.body,
        replies_heading=said["answers"],
        replies=tuple(catalogue.replies.items()),
        notes=tuple(said[name] for name in ("not_read", "day_and_night", "crisis", "seen", "cost")),
    )
    if words := telling_words(str(made)):
        raise Unsayable("lint", words)
    return made


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
