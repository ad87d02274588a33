"""Choose which of the possible reminders are sent: the weekly digest, the caps, and one text a day about one day
(docs/design.md#caps).

Preview and planning both call `plan`, so what a coordinator sees is what is stored.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from operator import attrgetter

from reminders.planner.daily import LAST_USEFUL, Candidate, busiest_week, candidates_of, day_of
from reminders.planner.readers import A_DAY, Gone, Policy, Reader, Reason, Told, Visit, next_allowed
from reminders.plans import Lead, to_instant

DIGEST = Lead(days=1, at=time(17))  # Sunday 17:00, as if for a Monday


def plan(
    parties: Sequence[tuple[Reader, Sequence[Visit]]],
    policy: Policy,
    now: datetime,
    gone: Sequence[Gone] = (),
    told: Sequence[Told] = (),
) -> list[Candidate]:
    """Every possible reminder to one number, in the order in which the windows open; chosen ones have `goes_at`.

    `parties` are the readers who use the number, each with their visits: two patients on one number never share a
    text, but they share the caps. `gone` are the number's reminders of the last two weeks, and `told` what notices say
    about its readers' visits. Give the visits of whole days, including those that have begun. The same input always
    gives the same answer.

    Every visit gets one reminder before any gets a second. For the first one, the text of the day before is preferred,
    then one of the same day, then earlier ones. If the day of a visit's only reminder is full, it goes on the next
    day that has room, provided its window is still open.
    """
    choice = _Choice(parties, policy, gone)
    for reader, visits in parties:
        theirs = {one.key: one for one in gone if one.reader == reader.id}
        candidates = candidates_of(reader, visits, policy, now, theirs)
        choice.take(reader, _without_told(candidates, told, theirs), theirs, now)
    return sorted(choice.made(), key=attrgetter("opens_at", "reader", "key"))


def _without_told(
    candidates: Sequence[Candidate], told: Sequence[Told], gone: Mapping[str, Gone]
) -> Sequence[Candidate]:
    """The candidates, less those replaced by a notice that names the same visits and times within the day before."""
    if not told:
        return candidates
    return [
        replace(one, goes_at=None, reason=Reason.MERGED_INTO)
        if one.goes_at is not None and one.key not in gone and _is_told(one, one.goes_at, told)
        else one
        for one in candidates
    ]


def _is_told(candidate: Candidate, goes_at: datetime, told: Sequence[Told]) -> bool:
    said = {
        (notice.visit, notice.wall)
        for notice in told
        if notice.reader == candidate.reader and notice.at <= goes_at and candidate.opens_at <= notice.at + A_DAY
    }
    return {(visit.id, visit.wall) for visit in candidate.visits} <= said


@dataclass(slots=True)
class _Text:
    """One possible text: the earliest candidate about a reader's day of visits, with those merged into it."""

    head: Candidate
    parts: list[Candidate]
    late: bool = False  # its own day was full; it is sent only if a visit has no other reminder

    @classmethod
    def of(cls, candidate: Candidate, *, late: bool = False) -> "_Text":
        return cls(candidate, [candidate], late)

    @property
    def at(self) -> datetime:
        assert self.head.goes_at is not None
        return self.head.goes_at

    def covers(self, reader: Reader, later: Candidate) -> bool:
        """Whether it is sent on the day when `later` opens, and early enough for both."""
        assert later.goes_at is not None
        same_day = day_of(self.at, reader) >= day_of(later.opens_at, reader)
        return same_day and self.at < _merged_close(self.head, later)

    def merge(self, later: Candidate) -> None:
        """Cover `later` too."""
        about = sorted({*self.head.visits, *later.visits}, key=attrgetter("starts_at", "id"))
        self.head = replace(self.head, closes_at=_merged_close(self.head, later), visits=tuple(about))
        self.parts.append(later)


def _merged_close(earlier: Candidate, later: Candidate) -> datetime:
    """When the window of a text about both closes: with that of the earlier visit."""
    first, second = earlier.visits[0].starts_at, later.visits[0].starts_at
    if first == second:
        return max(earlier.closes_at, later.closes_at)
    return earlier.closes_at if first < second else later.closes_at


def _texts(reader: Reader, candidates: Iterable[Candidate]) -> list[_Text]:
    """One text a day about one day of visits, from candidates in the order in which their windows open."""
    texts: list[_Text] = []
    for candidate in candidates:
        for text in texts:
            if text.covers(reader, candidate):
                text.merge(candidate)
                break
        else:
            texts.append(_Text.of(candidate))
    return texts


class _Choice:
    """The choice for one number. Candidates come in reader by reader; texts are chosen for the number as a whole."""

    def __init__(self, parties: Sequence[tuple[Reader, Sequence[Visit]]], policy: Policy, gone: Sequence[Gone]) -> None:
        self._readers = {reader.id: reader for reader, _ in parties}
        agreed = [reader for reader in self._readers.values() if reader.consented]
        self._per_day = min([policy.per_day, *(one.per_day for one in agreed if one.per_day is not None)])
        self._per_week = min([policy.per_week, *(one.per_week for one in agreed if one.per_week is not None)])
        home = next(iter(self._readers.values()), None)
        here = [one for one in gone if not one.elsewhere]
        self._count = Counter(day_of(one.at, self._readers.get(one.reader, home)) for one in here if home is not None)
        self._reminded = {(one.reader, visit) for one in here if not one.failed for visit in one.visits}
        self._made: list[Candidate] = []
        self._digests: list[tuple[_Week, Reader]] = []
        self._waiting: dict[int, list[Candidate]] = {}
        self._gone: dict[int, Mapping[str, Gone]] = {}

    def take(self, reader: Reader, candidates: Sequence[Candidate], gone: Mapping[str, Gone], now: datetime) -> None:
        """Add a reader's candidates; `gone` are the reader's reminders that have already been sent, by key."""
        self._waiting[reader.id] = list(candidates)
        self._gone[reader.id] = gone
        if reader.digest:
            self._digests += [(week, reader) for week in _weeks(reader, candidates, now, gone)]

    def made(self) -> list[Candidate]:
        """Every candidate with its decision."""
        self._choose_digests()
        open_texts: list[_Text] = []
        for reader_id, candidates in self._waiting.items():
            open_texts += self._open(self._readers[reader_id], candidates)
        self._choose(open_texts)
        return self._made

    def _choose_digests(self) -> None:
        for week, reader in sorted(self._digests, key=lambda one: (one[0].text.opens_at, one[0].text.reader)):
            text, going = week.text, week.text.goes_at
            if going is not None and text.key not in self._gone[reader.id]:
                if why := self._full(day_of(going, reader)):
                    text, going = replace(text, goes_at=None, reason=why), None
                else:
                    self._count[day_of(going, reader)] += 1
            self._made.append(text)
            # After a digest that failed, the week gets its daily reminders.
            if going is not None and not _is_lost(self._gone[reader.id].get(text.key)):
                self._reminded |= {(reader.id, visit) for visit in week.says}
                self._waiting[reader.id] = [self._said_by(week, one) for one in self._waiting[reader.id]]

    def _said_by(self, week: "_Week", one: Candidate) -> Candidate:
        """The reminder, merged if the digest replaces it: all of its week but the first visit after discharge."""
        replaced = (
            one.goes_at is not None
            and one.key not in self._gone[one.reader]
            and week.monday <= one.day < week.monday + timedelta(days=7)
            and {visit.id for visit in one.visits} <= week.says
            and not any(visit.first for visit in one.visits)
        )
        return replace(one, goes_at=None, reason=Reason.MERGED_INTO) if replaced else one

    def _open(self, reader: Reader, candidates: Sequence[Candidate]) -> list[_Text]:
        """The texts still to decide. Sent ones stay, and what they said is not repeated that day."""
        gone = self._gone[reader.id]
        by_day: dict[date, list[Candidate]] = {}
        for one in candidates:
            by_day.setdefault(one.day, []).append(one)
        texts = []
        for of_day in by_day.values():
            went = [one for one in of_day if one.key in gone]
            to_go = []
            for one in of_day:
                if one.goes_at is None or one.key in gone:
                    self._made.append(one)
                elif any(_was_said(reader, one, gone[earlier.key]) for earlier in went):
                    self._made.append(replace(one, goes_at=None, reason=Reason.MERGED_INTO))
                elif self._missed_its_day(reader, one):
                    if went:  # a notice covers what was added to the day since
                        self._made.append(replace(one, goes_at=None, reason=Reason.CAP_DAY))
                    else:
                        texts.append(_Text.of(one, late=True))
                else:
                    to_go.append(one)
            texts += _texts(reader, to_go)
        return texts

    def _missed_its_day(self, reader: Reader, one: Candidate) -> bool:
        """Whether the day on which it was due is over and was full: then it takes no other text's place."""
        assert one.goes_at is not None
        opened_on = day_of(one.opens_at, reader)
        return opened_on < day_of(one.goes_at, reader) and self._full(opened_on) is Reason.CAP_DAY

    def _choose(self, texts: list[_Text]) -> None:
        """Choose one reminder for each visit first, by importance; then the others, while the caps have room."""
        left = {id(text): text for text in texts}
        about: dict[tuple[int, int], list[_Text]] = {}
        for text in texts:
            for visit in text.head.visits:
                about.setdefault((text.head.reader, visit.id), []).append(text)
        visits = {(text.head.reader, visit.id): visit for text in texts for visit in text.head.visits}
        for key in sorted(visits, key=lambda key: (_importance(visits[key]), visits[key].starts_at, key)):
            if key not in self._reminded:
                self._remind_once(key, [text for text in about[key] if id(text) in left], left)
        pending = sorted(left.values(), key=_rank)
        while pending:
            text = pending.pop(0)
            reader = self._readers[text.head.reader]
            # A second reminder whose own day was full is not moved to the next.
            days = {day_of(text.at, reader), day_of(text.head.opens_at, reader)}
            why = next(filter(None, map(self._full, sorted(days))), None)
            if why is None:
                self._go(text)
            else:
                pending = sorted([*pending, *self._drop(text, why)], key=_rank)

    def _remind_once(self, key: tuple[int, int], texts: Sequence[_Text], left: dict[int, _Text]) -> None:
        """Choose one text about this visit: the preferred one for which there is room."""
        texts = sorted(texts, key=lambda text: _preference(text, key[1]))
        reader = self._readers[key[0]]
        for text in texts:
            if self._full(day_of(text.at, reader)) is None:
                del left[id(text)]
                self._go(text)
                return
        for text in texts:
            at = self._later(reader, text)
            if at is not None:
                del left[id(text)]
                text.head = replace(text.head, opens_at=at, goes_at=at)
                self._go(text)
                return

    def _later(self, reader: Reader, text: _Text) -> datetime | None:
        """The first allowed minute of a later day that has room, while the text's window is open; else None.

        A full week gives None: a later day in it would take the place of another visit's reminder.
        """
        day = day_of(text.at, reader)
        while self._full(day) is not Reason.CAP_WEEK:
            day += A_DAY
            at = next_allowed(reader, to_instant(datetime.combine(day, time(0)), reader.zone))
            if at >= text.head.closes_at:
                return None
            day = day_of(at, reader)
            if self._full(day) is None:
                return at
        return None

    def _full(self, day: date) -> Reason | None:
        """The cap that leaves the number no room for another reminder on that day (L-6), or None."""
        if self._count[day] >= self._per_day:
            return Reason.CAP_DAY
        if busiest_week(self._count, day) >= self._per_week:
            return Reason.CAP_WEEK
        return None

    def _go(self, text: _Text) -> None:
        head = text.head
        self._count[day_of(text.at, self._readers[head.reader])] += 1
        self._reminded |= {(head.reader, visit.id) for visit in head.visits}
        self._made.append(head)
        self._made += [replace(one, goes_at=None, reason=Reason.MERGED_INTO) for one in text.parts[1:]]

    def _drop(self, text: _Text, why: Reason) -> list[_Text]:
        """Drop a text; the candidates merged into it are decided again."""
        first, *others = text.parts
        self._made.append(replace(first, goes_at=None, reason=why))
        return _texts(self._readers[first.reader], others)


def _is_lost(gone: Gone | None) -> bool:
    """Whether a reminder was sent but reminds no one."""
    return gone is not None and (gone.failed or gone.elsewhere)


def _was_said(reader: Reader, later: Candidate, earlier: Gone) -> bool:
    """Whether a sent reminder said all that `later` would, on the day when `later` opens or after."""
    if _is_lost(earlier) or day_of(earlier.at, reader) < day_of(later.opens_at, reader):
        return False
    return {visit.id for visit in later.visits} <= earlier.visits


def _importance(visit: Visit) -> int:
    """The rank when a cap binds: the first visit after discharge, one-offs, individual visits, groups, meetings."""
    if visit.first:
        return 0
    if visit.kind.is_open_meeting:
        return 4
    if not visit.repeats:
        return 1
    return 2 if visit.kind.is_individual else 3


def _lead_rank(candidate: Candidate) -> int:
    ahead = candidate.lead.before or timedelta(days=candidate.lead.days)
    return 0 if ahead == A_DAY else 1 if ahead < A_DAY else 2


def _preference(text: _Text, visit_id: int) -> tuple[bool, int, datetime]:
    """The sort key: the text of the day before first, then that of the same day, then earlier ones."""
    ranks = [_lead_rank(part) for part in text.parts if visit_id in {visit.id for visit in part.visits}]
    return text.late, min(ranks), text.at


def _rank(text: _Text) -> tuple[int, datetime, int, datetime, int, str]:
    head = text.head
    most = min(map(_importance, head.visits))
    return most, head.visits[0].starts_at, min(map(_lead_rank, text.parts)), head.opens_at, head.reader, head.key


@dataclass(frozen=True, slots=True)
class _Week:
    """A digest: the week's first day, its text, and the visits that it names."""

    monday: date
    text: Candidate
    says: frozenset[int] = field(default_factory=frozenset)


def _weeks(reader: Reader, candidates: Sequence[Candidate], now: datetime, gone: Mapping[str, Gone]) -> list[_Week]:
    """The digests of a reader who chose them: on Sunday at 17:00, for the week ahead. One visit needs no digest."""
    by_monday: dict[date, set[Visit]] = {}
    for one in candidates:
        if one.goes_at is not None:
            by_monday.setdefault(one.day - timedelta(days=one.day.weekday()), set()).update(one.visits)
    found = []
    for monday, said in sorted(by_monday.items()):
        about = tuple(sorted(said, key=attrgetter("starts_at", "id")))
        key = f"week:{monday.isoformat()}:{DIGEST}"
        opens_at = next_allowed(
            reader, to_instant(datetime.combine(monday - A_DAY, DIGEST.at or time(17)), reader.zone)
        )
        closes_at = min(about[0].starts_at - LAST_USEFUL, opens_at + A_DAY)
        text = Candidate(reader.id, key, monday, DIGEST, opens_at, closes_at, None, None, about)
        if key in gone:
            found.append(_Week(monday, replace(text, goes_at=gone[key].at), gone[key].visits))
            continue
        goes_at = next_allowed(reader, max(opens_at, now))
        # A week whose digest can no longer be sent gets its daily reminders; a stored row of the digest is history.
        if len(about) >= 2 and opens_at < closes_at and goes_at < closes_at:
            found.append(_Week(monday, replace(text, goes_at=goes_at), frozenset(visit.id for visit in about)))
    return found
