"""What the caps cost a plan, in words: the visits of a week that stay without a reminder (docs/design.md#caps)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from reminders.planner import Reason
from reminders.service.planning.accepting import Previewed
from reminders.wording import house_style

CAPS = {Reason.CAP_DAY.value, Reason.CAP_WEEK.value}


@dataclass(frozen=True, slots=True)
class CapCost:
    """One week, from `monday` on, in which the caps leave visits of one recipient without any reminder.

    `days` are the dates of the visits without one.
    """

    recipient: str
    monday: date
    visits: int
    texts: int
    days: tuple[date, ...]

    def __str__(self) -> str:
        texts = f"{self.texts} text{'' if self.texts == 1 else 's'} a week"
        without = len(self.days)
        stay = "1 stays" if without == 1 else f"{without} stay"
        week = f"in the week of {house_style.month_day(self.monday)}"
        return f"{self.visits} visits, {texts}: {stay} without a reminder {week}"


def cap_costs(previewed: Iterable[Previewed], today: date) -> list[CapCost]:
    """The weeks in which the caps leave a visit from `today` on without a reminder, the first week first."""
    texts: dict[tuple[date, str], set[str]] = {}
    visits: dict[tuple[date, str], dict[str, date]] = {}
    reminded: set[tuple[str, str]] = set()
    capped: set[tuple[str, str]] = set()
    for one in previewed:
        if one.class_ != "reminder":
            continue
        kind, day_of_visits, _ = one.key.split(":", 2)
        day = date.fromisoformat(day_of_visits)
        week = (day - timedelta(days=day.weekday()), one.recipient)
        names = {(one.recipient, visit) for visit in one.appointments}
        if one.goes:
            texts.setdefault(week, set()).add(one.key)
            reminded |= names
        elif one.reason in CAPS:
            capped |= names
        if kind == "day":
            visits.setdefault(week, {}).update(dict.fromkeys(one.appointments, day))
    bare = capped - reminded
    found = []
    for week, of_week in sorted(visits.items()):
        monday, recipient = week
        days = sorted(day for visit, day in of_week.items() if day >= today and (recipient, visit) in bare)
        if days:
            found.append(CapCost(recipient, monday, len(of_week), len(texts.get(week, ())), tuple(days)))
    return found


def in_words(previewed: Sequence[Previewed], today: date) -> str | None:
    """What the caps cost a plan, in one or two sentences for a coordinator; None where they cost nothing."""
    costs = cap_costs(previewed, today)
    if not costs:
        return None
    more = len(costs) - 1
    also = f", and {more} more week{'' if more == 1 else 's'} like it" if more else ""
    has_digest = any(one.key.startswith("week:") for one in previewed)
    offer = "" if has_digest else " One text a week with all of its visits would name every visit."
    return f"{costs[0]}{also}.{offer}"
