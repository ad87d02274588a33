"""What clinicians say of replies: this was danger, this was not. A center counts by it what was found and missed.

A mark changes nothing else: it rings no one, closes nothing and teaches nothing. It is sealed with its reply.
"""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from reminders import store
from reminders.app_context import House
from reminders.conversation import Meaning
from reminders.queries import delivery_log, inbox
from reminders.service import tasks
from reminders.store.replies import Marked

_DANGER = frozenset({Meaning.OVERDOSE, Meaning.CRISIS, Meaning.POSSIBLE})

COLUMNS = ("received_at", "site", "marked", "marked_by", "marked_at", "outcome", "understood", "rules", "lexicon")


class NoSuchReply(LookupError):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """There is no reply of that number that belongs to the task."""


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


def mark(
    house: House,
    task_number: int,
    reply_id: int,
    now: datetime,
    *,
    danger: bool | None,
    who: str,
    sites: Collection[int],
) -> None:
    """Say of a reply in a task's conversation whether it was danger, or with None take that back.

    The task and the reply must be of one of these sites. On record, sealed. Raises NoSuchTask and NoSuchReply.
    """

    def work(tx: store.Transaction) -> None:
        task = store.tasks.by_number(tx, task_number, sites)
        if task is None:
            raise tasks.NoSuchTask(task_number)
        number_id = inbox.number_of(tx, task)
        reply = store.replies.of_number(tx, reply_id, number_id, sites) if number_id is not None else None
        if reply is None:
            raise NoSuchReply(reply_id)
        before = store.replies.mark_of(tx, reply)
        if before is danger:
            return
        # An erased patient's key is gone, and with it the place to seal a mark in.
        try:
            key = store.plans.data_key_of_patient(tx, reply.patient_id) if reply.patient_id is not None else None
        except (LookupError, store.Unreadable):
            raise NoSuchReply(reply_id) from None
        store.replies.mark(tx, reply, key, danger=danger, who=who, now=now)
        store.records.note(
            tx,
            who=who,
            what="reply marked" if danger is not None else "reply mark taken back",
            table="replies",
            row=reply_id,
            now=now,
            before=_CALLED[before],
            after=_CALLED[danger],
            key=key,
        )

    house.database.write(work, again=True)


_CALLED = {None: None, True: "danger", False: "no danger"}


def listed(
    house: House,
    *,
    sites: Collection[int],
    words: Collection[int] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Marked]:
    """The marked replies of these sites that came in that time, oldest first; with their words at the sites `words`."""
    return house.database.read(lambda tx: list(store.replies.marked(tx, sites, words=words, since=since, until=until)))


def export(
    house: House,
    now: datetime,
    *,
    who: str,
    sites: Collection[int],
    words: Collection[int] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> list[Marked]:
    """The same to be taken out, which is put on record; where words are among them, with how many."""
    found = listed(house, sites=sites, words=words, since=since, until=until)
    after = f"{len(found)} marks, {sum(one.words is not None for one in found)} with words"

    def note(tx: store.Transaction) -> None:
        store.records.note(tx, who=who, what="reply marks exported", table="replies", row=0, now=now, after=after)

    house.database.write(note, again=True)
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
        "marked": _CALLED[one.danger],
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
            ["" if cell is None else delivery_log.harmless(str(cell)) for cell in cells]
        )
        return line.getvalue()

    yield delivery_log.BOM + written([*COLUMNS, *(["words"] if words else [])])
    for one in marked:
        cells = plain(one, words=words).values()
        yield written([" ".join(cell) if isinstance(cell, list) else cell for cell in cells])
    if words:
        yield written([delivery_log.NOTICE[0]])
