"""What clinicians said of replies, so that a center can count the danger that was found and missed."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from reminders.audit_actions import Action
from reminders.conversation import Meaning
from reminders.queries import exports, readings
from reminders.store import Database
from reminders.store.database.engine import Transaction
from reminders.store.database.schema import (
    replies,
    sites,
)
from reminders.store.replies import open_words, reading_of, said_of


@dataclass(frozen=True, slots=True)
class Marked:
    """A reply that a clinician marked: whether it was danger, by whom and when; and what we had understood of it.

    `words` only where they were asked for, and None where they do not open any more.
    """

    id: int
    site: str
    received_at: datetime
    danger: bool
    by: str
    at: datetime
    meaning: str
    meanings: tuple[str, ...]
    rules: tuple[str, ...]
    lexicon: str
    words: str | None = field(repr=False)


_DANGER = frozenset({Meaning.OVERDOSE, Meaning.CRISIS, Meaning.POSSIBLE})


COLUMNS = ("received_at", "site", "marked", "marked_by", "marked_at", "outcome", "understood", "rules", "lexicon")


@dataclass(frozen=True, slots=True)
class Tally:
    """How many marked replies were danger that was found, danger that was missed, and alarms about nothing.

    `quiet` were no danger and taken for none. Only what someone marked is counted, so that it says nothing of the rest.
    """

    found: int
    missed: int
    false_alarms: int
    quiet: int

    @property
    def recall(self) -> float | None:
        """The share of marked danger that was found; None where none was marked."""
        danger = self.found + self.missed
        return self.found / danger if danger else None


def listed(
    database: Database,
    *,
    sites: Collection[int],
    words: Collection[int] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Marked]:
    """The marked replies of these sites that came in that time, oldest first; with their words at the sites `words`."""
    return database.read(lambda tx: list(marked(tx, sites, words=words, since=since, until=until)))


def export(
    database: Database,
    now: datetime,
    *,
    who: str,
    sites: Collection[int],
    words: Collection[int] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Marked]:
    """The same to be taken out, which is put on record; where words are among them, with how many."""
    found = listed(database, sites=sites, words=words, since=since, until=until)
    after = f"{len(found)} marks, {sum(one.words is not None for one in found)} with words"

    readings.note(database, readings.Note(Action.REPLY_MARKS_EXPORTED, "replies", 0, after=after), now=now, who=who)
    return found


def was_found(one: Marked) -> bool:
    """Whether it was taken for danger when it came."""
    return bool(_DANGER.intersection(one.meanings))


def outcome(one: Marked) -> str:
    """What marking it shows: `found`, `missed`, `false alarm` or `quiet`."""
    if one.danger:
        return "found" if was_found(one) else "missed"
    return "false alarm" if was_found(one) else "quiet"


def tally(marked: Iterable[Marked]) -> Tally:
    """How many of these were found, missed and alarms about nothing."""
    outcomes = [outcome(one) for one in marked]
    return Tally(*map(outcomes.count, ("found", "missed", "false alarm", "quiet")))


def plain(one: Marked, *, words: bool) -> dict[str, object]:
    """A mark for programs; `words` whether there is a key for them."""
    said: dict[str, object] = {
        "received_at": one.received_at.isoformat(),
        "site": one.site,
        "marked": "danger" if one.danger else "no danger",
        "marked_by": one.by,
        "marked_at": one.at.isoformat(),
        "outcome": outcome(one),
        "understood": list(one.meanings),
        "rules": list(one.rules),
        "lexicon": one.lexicon,
    }
    return said | ({"words": one.words} if words else {})


def as_csv(marked: Sequence[Marked], *, words: bool) -> Iterator[str]:
    """The marks as CSV, line by line; with their words the Part 2 notice is the last. No cell is a formula."""

    def written(cells: Sequence[object]) -> str:
        line = io.StringIO()
        csv.writer(line, quoting=csv.QUOTE_ALL).writerow(
            ["" if cell is None else exports.harmless(str(cell)) for cell in cells]
        )
        return line.getvalue()

    yield exports.BOM + written([*COLUMNS, *(["words"] if words else [])])
    for one in marked:
        cells = plain(one, words=words).values()
        yield written([" ".join(cell) if isinstance(cell, list) else cell for cell in cells])
    if words:
        yield written([exports.NOTICE[0]])


def marked(
    tx: Transaction,
    places: Collection[int],
    *,
    words: Collection[int] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> Iterator[Marked]:
    """The marked replies of these sites that came in that time, oldest first; with their words at the sites `words`."""
    query = (
        sa.select(replies, sites.c.key.label("site"))
        .join(sites, sites.c.id == replies.c.site_id)
        .where(replies.c.mark_sealed.is_not(None), replies.c.site_id.in_(places))
        .order_by(replies.c.received_at, replies.c.id)
    )
    if since is not None:
        query = query.where(replies.c.received_at >= since)
    if until is not None:
        query = query.where(replies.c.received_at < until)
    for row in tx.all(query):
        said = said_of(tx, row.id, row.mark_sealed)
        if said is None:
            continue
        reading = reading_of(tx, row.id, row.reading_sealed)
        yield Marked(
            id=row.id,
            site=row.site,
            received_at=row.received_at,
            danger=said.danger,
            by=said.by,
            at=said.at,
            meaning=reading.meaning,
            meanings=reading.meanings,
            rules=reading.rules,
            lexicon=row.lexicon,
            words=open_words(tx, "replies", row.id, row.body_sealed) if row.site_id in words else None,
        )
