"""Two versions of one meeting directory: what came, went, moved, closed and opened. Pure.

Never by the feed's own `updated`, which stays the same through many changes (I-52).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import starmap

from reminders.intake.arrivals import Meeting
from reminders.intake.vocabulary import plain

CLOSED = "TC"
_RENAMED = 0.5  # more of the identifiers gone than this at once is a renaming (I-54)


@dataclass(frozen=True, slots=True)
class Pair:
    """One meeting as it was and as it is."""

    old: Meeting
    new: Meeting

    @property
    def moved(self) -> bool:
        """Whether it is at another day or time, or in another zone."""
        return _when(self.old) != _when(self.new)

    @property
    def reopened(self) -> bool:
        """Whether its place was closed for a time (TC) and is no longer."""
        return CLOSED in self.old.types and CLOSED not in self.new.types

    @property
    def closed(self) -> bool:
        """Whether its place is closed for a time now."""
        return CLOSED not in self.old.types and CLOSED in self.new.types

    @property
    def changed(self) -> bool:
        """Whether anything about it is otherwise that a person would have to know."""
        return _facts(self.old) != _facts(self.new)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is between two versions. A pair may be in several lists: moved and reopened at once.

    `renamed` pairs have another identifier and were matched again by day, time and name; `is_renaming` says that over
    half of the identifiers changed at once.
    """

    added: list[Meeting] = field(default_factory=list)
    removed: list[Meeting] = field(default_factory=list)
    moved: list[Pair] = field(default_factory=list)
    reopened: list[Pair] = field(default_factory=list)
    closed: list[Pair] = field(default_factory=list)
    changed: list[Pair] = field(default_factory=list)
    renamed: list[Pair] = field(default_factory=list)
    unchanged: list[Pair] = field(default_factory=list)
    is_renaming: bool = False


def compare(old: Sequence[Meeting], new: Sequence[Meeting]) -> Comparison:
    """What changed from `old` to `new`: matched by identifiers, or by what they are where those were renamed."""
    pairs, gone, came = _matched(_by_id(old), _by_id(new))
    found = Comparison(
        is_renaming=bool(old) and len({one.id for one in gone}) > _RENAMED * len({one.id for one in old})
    )
    if found.is_renaming:
        again, gone, came = _matched(_by_looks(gone), _by_looks(came))
        found.renamed.extend(again)
        pairs += again
    found.removed.extend(gone)
    found.added.extend(came)
    for pair in pairs:
        for is_so, where in ((pair.moved, found.moved), (pair.reopened, found.reopened), (pair.closed, found.closed)):
            if is_so:
                where.append(pair)
        (found.changed if pair.changed else found.unchanged).append(pair)
    return found


def _matched(
    old: Mapping[object, list[Meeting]], new: Mapping[object, list[Meeting]]
) -> tuple[list[Pair], list[Meeting], list[Meeting]]:
    """The pairs with one key, and what is left of either side; of several with one key, same times go together."""
    pairs: list[Pair] = []
    gone: list[Meeting] = []
    came: list[Meeting] = [one for key, ones in new.items() if key not in old for one in ones]
    for key, olds in old.items():
        news = list(new.get(key, ()))
        left = []
        for one in olds:
            same = next((other for other in news if _when(other) == _when(one)), None)
            if same is None:
                left.append(one)
            else:
                news.remove(same)
                pairs.append(Pair(one, same))
        pairs += starmap(Pair, zip(left, news, strict=False))
        gone += left[len(news) :]
        came += news[len(left) :]
    return pairs, gone, came


def _by_id(meetings: Iterable[Meeting]) -> Mapping[object, list[Meeting]]:
    found: dict[object, list[Meeting]] = defaultdict(list)
    for one in meetings:
        found[one.id].append(one)
    return found


def _by_looks(meetings: Iterable[Meeting]) -> Mapping[object, list[Meeting]]:
    found: dict[object, list[Meeting]] = defaultdict(list)
    for one in meetings:
        found[one.day, one.time, plain(one.name)].append(one)
    return found


def _when(one: Meeting) -> tuple[object, ...]:
    return one.day, one.time


def _facts(one: Meeting) -> tuple[object, ...]:
    place = plain(one.location or ""), plain(one.address or ""), plain(one.city or "")
    part = one.in_person, one.online, one.by_phone, one.published, frozenset(one.types)
    return plain(one.name), one.day, one.time, one.minutes, place, part
