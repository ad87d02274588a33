"""The board of the day: what must be done now, what goes out, what became of the day's texts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from reminders import plans, queries, store
from reminders.app_context import House
from reminders.queries import KnownAs
from reminders.service.operations import health
from reminders.store.tasks import Heard, Queues, Task
from reminders.store.today import NextText, OnBoard

READ = "board read"
MOST_TASKS = 50


@dataclass(frozen=True, slots=True)
class Board:
    """The day of some sites, as whoever looks may see it.

    `day` is the date on the house's clock. `queues` counts open tasks, `states` the day's texts by state: what the
    delivery log lists for that day. `holding` maps a held text to its task, `known` a patient to what they are called,
    `heard` a task to the latest reply, `silent` a visit to why no text goes about it. `sender` is how the job that
    sends is.
    """

    day: date
    urgent: Sequence[Task]
    held: Sequence[OnBoard]
    held_by_reason: Mapping[str, int]
    holding: Mapping[int, int]
    red: Sequence[Task]
    to_do: Sequence[Task]
    queues: Queues
    going: Sequence[OnBoard]
    states: Mapping[str, int]
    next_text: NextText | None
    known: Mapping[int, KnownAs]
    heard: Mapping[int, Heard]
    silent: Mapping[int, str]
    sender: health.JobHealth


def day_of(day: date, zone: str) -> tuple[datetime, datetime]:
    """The instants at which a day begins and ends on the wall clock of `zone`."""
    begins, ends = (datetime.combine(one, time()) for one in (day, day + timedelta(days=1)))
    return plans.to_instant(begins, zone).astimezone(UTC), plans.to_instant(ends, zone).astimezone(UTC)


def board(
    house: House, sites: Collection[int], people: Collection[int], now: datetime, *, who: str, again: bool = False
) -> Board:
    """The board of these sites; names, words and numbers only of the sites `people`.

    That somebody read those is put on record; `again` says that an open board refreshed itself, which is no new
    reading for some minutes. Raises Unavailable.
    """
    day = plans.to_wall(now, house.settings.site.zone).date()
    since, until = day_of(day, house.settings.site.zone)

    sender = health.status(house, now).jobs["send"]

    def look(tx: store.Transaction) -> Board:
        urgent = store.tasks.listed(tx, sites=sites, urgent=True)
        red = store.tasks.listed(tx, sites=sites, urgent=False, kind="red", limit=MOST_TASKS)
        to_do = store.tasks.listed(tx, sites=sites, urgent=False, but="red", limit=MOST_TASKS)
        held = store.today.held(tx, sites, names=people)
        asked = {patient for task in (*urgent, *red, *to_do) for patient in task.patient_ids}
        words = [task.id for task in (*urgent, *to_do) if task.site_id in people]
        visits = {task.appointment_id for task in red if task.appointment_id is not None}
        return Board(
            day=day,
            urgent=urgent,
            held=held,
            held_by_reason=store.today.held_by_reason(tx, sites),
            holding=store.tasks.holding(tx, [one.text for one in held]),
            red=red,
            to_do=to_do,
            queues=store.tasks.queues(tx, sites, who),
            going=store.today.going_out(tx, sites, until, names=people),
            states=store.today.states_between(tx, sites, since, until),
            next_text=store.today.next_text(tx, sites, names=people),
            known=queries.known_as(tx, people, asked),
            heard=store.tasks.heard(tx, words),
            silent=store.today.why_silent(tx, visits),
            sender=sender,
        )

    def is_known(tx: store.Transaction) -> bool:
        since = now - store.records.SAME_READING
        return again and store.records.has_noted(tx, **mine, since=since, shown=shown)

    def note(tx: store.Transaction) -> None:
        store.records.note(tx, **mine, now=now, after=store.records.seen(shown))

    found = house.database.read(look)
    shown = {task.id for task in (*found.urgent, *found.red, *found.to_do)} | {one.text for one in found.held}
    shown |= {one.text for one in found.going}
    mine: dict[str, Any] = {"who": who, "what": READ, "table": "sites", "row": min(sites, default=0)}
    if sites and not house.database.read(is_known):
        house.database.write(note, again=True)
    return found
