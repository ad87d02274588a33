"""The card a person takes home: what our texts look like, what to reply, whom to call (L-31, L-38, C-1)."""

import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reminders.wording.catalog import CARD
from reminders.wording.lint import telling_words
from reminders.wording.render import Unsayable, Visit, catalog_of, reminder, shown_phone

WIDTH = 64  # characters in a line, so that large print still fits a page

# The sample shows an invented day: a real one would soon be past, while the card is still in use.
_SAMPLE_AT = datetime(2027, 1, 5, 10, 0, tzinfo=UTC)
_SAMPLE = Visit(_SAMPLE_AT.replace(tzinfo=None), "UTC", _SAMPLE_AT, meeting=False, asks=True)


@dataclass(frozen=True, slots=True)
class Card:
    """The parts of the card, for a page to lay out; `str` gives the card as plain text.

    `sender` is the line with the number that the texts come from, None if no single number sends them.
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
    """The card in one language, as one page of plain text. It takes and raises the same as `card_parts`."""
    return str(card_parts(language=language, alias=alias, phone=phone, line24=line24, sender=sender))


def card_parts(*, language: str, alias: str, phone: str, line24: str, sender: str | None = None) -> Card:
    """The card's parts: `alias`, a sample text, the replies, the numbers to call. It names no person and no real day.

    `language` is a BCP 47 tag; `phone`, `line24` and `sender` are in E.164. `sender` is the number that the texts come
    from; the card omits it for a messaging service (MG…), which has many numbers.

    Raises Unsayable as `reminder` does: `no_wording` if the language has no sample text, `lint` if a word on the card
    tells, since others in the home may see it (W-2).
    """
    catalog = catalog_of(language)
    sample = reminder(
        [_SAMPLE],
        language=language,
        alias=alias,
        phone=phone,
        reader_zone=_SAMPLE.zone,
        now=_SAMPLE_AT - timedelta(days=7),
    )
    values = {"phone": shown_phone(phone), "line24": shown_phone(line24), "sender": shown_phone(sender or "")}
    said = {name: catalog.card[name].format_map(values) for name in CARD}
    made = Card(
        language=catalog.language,
        alias=alias,
        about=said["about"],
        sender=said["sender"] if sender and sender.startswith("+") else None,
        sample_heading=said["sample"],
        sample=sample.body,
        replies_heading=said["answers"],
        replies=tuple(catalog.replies.items()),
        notes=tuple(said[name] for name in ("not_read", "day_and_night", "crisis", "seen", "cost")),
    )
    if words := telling_words(str(made)):
        raise Unsayable("lint", words)
    return made


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
