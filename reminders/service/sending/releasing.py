"""Sending a held text now: first what would happen to it, by the same judge that judges it at its moment (C-12)."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reminders import planner, store
from reminders.app_context import AppContext
from reminders.plans import to_wall
from reminders.service import tasks
from reminders.service.sending import final_check
from reminders.store.sending.queue import Fate
from reminders.wording import house_style, staff_words

MOST_WAITS = 20  # a text that waits is judged again at the end of each wait
HELD_NO_MORE = "it is held no more, or its time has passed"


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would happen to a held text that is let go: it "goes", "waits" or "stops".

    `why` is a clause for what waits or stops. `until` (UTC) is when the wait ends, if that is known; `zone` is the
    site's. `words` are those that would go.
    """

    what: str
    zone: str
    why: str = ""
    until: datetime | None = None
    words: str | None = field(default=None, repr=False)

    @property
    def can_go(self) -> bool:
        """Whether it is worth releasing."""
        return self.what != "stops"

    def sentence(self, now: datetime) -> str:
        """It in words, times on the site's clock."""
        if self.what == "goes":
            return "It goes now."
        if self.what == "stops":
            return f"It cannot go, because {self.why}: phone instead, and close the task."
        if self.until is None:
            return f"It waits, because {self.why}."
        wall, today = to_wall(self.until, self.zone), to_wall(now, self.zone).date()
        day = "today" if wall.date() == today else house_style.day(wall, year=False)
        return f"It waits until {day} at {house_style.hour(wall)}, because {self.why}."


def what_would_happen(
    context: AppContext, number: int, now: datetime, *, sites: Collection[int] | None = None
) -> Outlook:
    """What would happen to the text of a `held_text` task if it were let go at `now`. It changes nothing.

    Raises NoSuchTask and Settled, as `tasks.let_text_go` does.
    """

    def work(tx: store.Transaction) -> Outlook:
        text_id = tasks.held_text_of(tx, number, sites)
        if text_id is None:
            return Outlook("stops", context.settings.site.zone, HELD_NO_MORE)
        went = store.queue.let_one_go(tx, text_id, now)
        fate = store.queue.fate_of(tx, text_id)
        if not went:
            return Outlook("stops", fate.zone, HELD_NO_MORE)
        return _forecast(context, tx, text_id, fate, now)

    return context.database.try_out(work)


def _forecast(context: AppContext, tx: store.Transaction, text_id: int, fate: Fate, now: datetime) -> Outlook:
    if fate.paused_at is not None:
        return Outlook("waits", fate.zone, "the texts of this site are paused")
    at, why, until = max(now, fate.due_at), "its moment has not come", None
    if at > now:
        until = at
    if fate.stopped_until is not None and fate.stopped_until > at:
        at = until = fate.stopped_until
        why = "its sender is stopped"
    for _ in range(MOST_WAITS):
        due, unreadable = store.claims.claim_these(tx, [text_id], at)
        if unreadable:
            return Outlook("stops", fate.zone, "what is stored of it cannot be read")
        if not due:
            if fate.closes_at <= at + store.claims.USEFUL:
                late = f"{why} until its time has passed" if until is not None else "its time has passed"
                return Outlook("stops", fate.zone, late)
            return Outlook("waits", fate.zone, "it is being looked at")
        intents, _ = final_check.judge(context, tx, due, at)
        if intents:
            words = intents[0].body
            return Outlook("goes" if until is None else "waits", fate.zone, why if until else "", until, words)
        then = store.queue.fate_of(tx, text_id)
        if then.state != "scheduled" or then.held is not None:
            return Outlook("stops", fate.zone, staff_words.REASONS.get(then.reason or "", HELD_NO_MORE))
        one = due[0]
        reader = one.due.reader if one.due is not None else one.unplanned.reader if one.unplanned is not None else None
        is_quiet = reader is None or planner.next_allowed(reader, at).astimezone(UTC) > at
        why = "texts do not go to them at this hour" if is_quiet else "the limit of texts is reached"
        at = until = then.due_at
    return Outlook("waits", fate.zone, why, until)


def send_now(
    context: AppContext, number: int, now: datetime, *, who: str, sites: Collection[int] | None = None
) -> tuple[bool, Outlook]:
    """Let a held text go if it can; whether it was released, and what was foreseen.

    What cannot go stays held, for a person to phone about. Raises NoSuchTask and Settled.
    """
    outlook = what_would_happen(context, number, now, sites=sites)
    if not outlook.can_go:
        return False, outlook
    if tasks.let_text_go(context, number, now, who=who, sites=sites):
        return True, outlook
    return False, Outlook("stops", outlook.zone, HELD_NO_MORE)
