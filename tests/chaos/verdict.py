"""The phones' verdict on a run: lost, doubled, late, after a STOP. A text the database cannot explain is lost."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

ON_THE_WIRE = timedelta(seconds=1)  # a call begun in the last second of a window may end after it


@dataclass(frozen=True)
class Attempt:
    """One attempt in the database."""

    sid: str | None
    body: str = field(repr=False)
    answer: str | None
    started_at: datetime
    looks: int


@dataclass(frozen=True)
class Text:
    """One text in the database."""

    id: int
    phone: str = field(repr=False)
    class_: str
    state: str
    reason: str | None
    opens_at: datetime
    closes_at: datetime
    resent: bool
    told: bool  # a task names it
    attempts: Sequence[Attempt]


@dataclass(frozen=True)
class Made:
    """A message that Twilio made for a phone."""

    sid: str
    phone: str = field(repr=False)
    body: str = field(repr=False)
    created_at: datetime


@dataclass(frozen=True)
class Verdict:
    """The problems, as sentences without anyone's number, and how the texts ended."""

    lost: list[str]
    doubled: list[str]
    late: list[str]
    after_stop: list[str]
    mistold: list[str]
    unheard: list[str]
    ended: Mapping[str, int]

    @property
    def wrongs(self) -> list[str]:
        """All that was wrong."""
        return [*self.lost, *self.doubled, *self.late, *self.after_stop, *self.mistold, *self.unheard]

    def __str__(self) -> str:
        counts = {
            "lost": self.lost,
            "doubled": self.doubled,
            "outside its window": self.late,
            "after STOP": self.after_stop,
            "told wrong": self.mistold,
            "unheard": self.unheard,
        }
        ended = ", ".join(f"{count} {word}" for word, count in sorted(self.ended.items()))
        return ", ".join(f"{len(found)} {word}" for word, found in counts.items()) + f" · {ended}"


def judge(
    texts: Sequence[Text],
    made: Sequence[Made],
    arrived: Mapping[str, Sequence[str]],
    *,
    stopped: Mapping[str, datetime],
    unheard: Sequence[str],
    ended_at: datetime,
) -> Verdict:
    """The verdict.

    `arrived` are the sids that each phone shows, `stopped` is when the STOP of a phone was certainly on record,
    `unheard` are the sids of texts from phones that we never took in, `ended_at` is when nothing happened any more.
    """
    by_sid = {attempt.sid: text for text in texts for attempt in text.attempts if attempt.sid}
    by_body = {(text.phone, attempt.body): text for text in texts for attempt in text.attempts}
    whose = {one.sid: by_sid.get(one.sid) or by_body.get((one.phone, one.body)) for one in made}
    reached = {
        text.id for phone, sids in arrived.items() for sid in sids if (text := whose.get(sid)) and text.phone == phone
    }
    of_each = Counter(text.id for text in whose.values() if text is not None)
    doubled = [f"text {text} was made {count} times" for text, count in of_each.items() if count > 1]
    doubled += [f"message {one.sid} is no text's" for one in made if whose[one.sid] is None]
    mistold = [
        f"text {text.id} reached its phone and stands as {text.state}"
        for text in texts
        if text.id in reached and text.state not in {"sent", "delivered"}
    ]
    return Verdict(
        lost=[
            f"text {text.id} never arrived and stands as {text.state} ({text.reason}), {len(text.attempts)} attempts"
            for text in texts
            if text.id not in reached and not _is_explained(text, stopped, ended_at)
        ],
        doubled=doubled,
        late=list(_outside(made, whose)),
        after_stop=list(_after_stop(made, whose, stopped)),
        mistold=mistold,
        unheard=[f"the text {sid} from a phone was never taken in" for sid in unheard],
        ended=Counter(text.state for text in texts),
    )


def _is_explained(text: Text, stopped: Mapping[str, datetime], ended_at: datetime) -> bool:
    """Whether the database says why this text did not arrive, and is right."""
    match text.state:
        case "expired":
            return text.closes_at <= ended_at and text.told
        case "suppressed":
            return text.reason == "opted_out" and text.phone in stopped
        case "uncertain":  # looked for twice, and sent again once, or not because its window had shut meanwhile
            shut = text.closes_at <= ended_at
            looked = all(one.looks >= 2 for one in text.attempts if one.answer == "unknown")
            return looked and (text.resent or shut) and (text.told or not shut)
    return False


def _outside(made: Sequence[Made], whose: Mapping[str, Text | None]) -> Iterator[str]:
    for one in made:
        text = whose[one.sid]
        if text is not None and not text.opens_at <= one.created_at <= text.closes_at + ON_THE_WIRE:
            early = (text.opens_at - one.created_at).total_seconds()
            late = (one.created_at - text.closes_at).total_seconds()
            how = f"{early:.3f} s before" if early > 0 else f"{late:.3f} s after"
            yield f"text {text.id} ({text.class_}) was made {how} its window"


def _after_stop(
    made: Sequence[Made], whose: Mapping[str, Text | None], stopped: Mapping[str, datetime]
) -> Iterator[str]:
    for one in made:
        text, stop = whose[one.sid], stopped.get(one.phone)
        if text is None or stop is None or text.class_ == "answer":
            continue
        known = [attempt.started_at for attempt in text.attempts if attempt.sid == one.sid]
        # Of an attempt that never learnt its sid, the last that had begun by then is the one that was made.
        known = known or [attempt.started_at for attempt in text.attempts if attempt.started_at <= one.created_at]
        if not known or max(known) > stop:
            yield f"text {text.id} was begun after its phone said STOP"
