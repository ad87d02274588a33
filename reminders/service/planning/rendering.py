"""What a text says, from the rows to the words. Fails closed: what cannot be said within the rules is not sent."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from reminders import languages, plans, wording
from reminders.planner import Visit
from reminders.wording.segments import segments


def render(
    visits: Sequence[Visit], *, language: str, alias: str, phone: str, reader_zone: str, now: datetime
) -> wording.Rendered:
    """The reminder about these visits, as it reads at `now`. Raises Unsayable.

    C and R are offered only where one person alone decides: one-offs and individual visits.
    """
    _offered(language)
    return wording.reminder(
        [_spoken(visit) for visit in visits],
        language=language,
        alias=alias,
        phone=phone,
        reader_zone=reader_zone,
        now=now,
    )


def _offered(language: str) -> None:
    """A language that is not whole has no texts: the answers could not be read. Raises Unsayable."""
    if languages.offered_code(language) is None:
        raise wording.Unsayable("no_wording")


def _spoken(visit: Visit) -> wording.Visit:
    return wording.Visit(
        wall=visit.wall,
        zone=visit.zone,
        starts_at=visit.starts_at,
        meeting=visit.kind in {plans.Kind.SUPPORT_MEETING, plans.Kind.HOUSE_MEETING},
        asks=not visit.repeats or visit.kind.is_individual,
        mode=visit.mode,
    )


def _as_it_was(visit: Visit, wall: datetime) -> Visit:
    return replace(visit, wall=wall, starts_at=plans.to_instant(wall, visit.zone))


def render_unplanned(
    name: str | None,
    *,
    typed: str | None,
    visits: Sequence[Visit],
    was: Mapping[int, datetime],
    language: str,
    alias: str,
    phone: str,
    line24: str,
    per_week: int,
    reader_zone: str,
    verified: bool,
    now: datetime,
) -> wording.Rendered:
    """A text that is no reminder: `name` of the catalog, or what staff typed. Raises Unsayable.

    The welcome asks for a Y as long as no one verified the number (L-39). A notice of a visit that was added to a day
    whose text has gone reads like the reminder it could not get. `was` is what was known of the visits, by their ids.
    """
    if typed is not None:
        body = wording.plainer(typed)
        if problems := wording.check_typed(body):
            raise wording.Unsayable("lint", problems)
        length = segments(body)
        return wording.Rendered("typed", language, body, length.encoding, length.count)
    assert name is not None
    _offered(language)
    if name == "added":
        return render(visits, language=language, alias=alias, phone=phone, reader_zone=reader_zone, now=now)
    if name.startswith("welcome"):
        name = "welcome" if verified else "welcome_ask"
    if len(visits) > 1 and name in {"moved", "called_off", "closed"}:
        spoken = [_spoken(visit) for visit in visits]
        return wording.several(name, spoken, language=language, alias=alias, phone=phone, reader_zone=reader_zone)
    first = visits[0] if visits else None
    before = was.get(first.id) if first is not None else None
    return wording.answer(
        name,
        language=language,
        alias=alias,
        phone=phone,
        line24=line24,
        per_week=per_week,
        visit=_spoken(first) if first is not None else None,
        was=_spoken(_as_it_was(first, before)) if first is not None and before and name == "moved" else None,
        reader_zone=reader_zone,
        now=now,
    )
