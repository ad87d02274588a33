"""The watch: what needs a person although nobody asked. Looks again and again, and opens each task once.

A missed first visit, a text that did not arrive, a number nobody verified: in the first weeks after discharge each is
work for a person the same day, not a line in a log (R0.9).
"""

from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from operator import attrgetter
from typing import Any

from reminders import plans, store
from reminders.plans import Kind
from reminders.service import lives, tasks
from reminders.service.house import House
from reminders.service.isolation import OneByOne
from reminders.store import Row

REVIEWS = (7, 30, 90)  # days after discharge (S-5)
REVIEW_FOR = 3  # days in which a review that nobody was told of is still opened
RED_WITHIN = timedelta(hours=72)
UNCONFIRMED_WITHIN = timedelta(hours=24)
ANSWER_WITHIN = timedelta(hours=3)
MARK_AFTER = timedelta(minutes=30)  # C-15
MARK_BACK = timedelta(days=7)
MARK_AT = time(18)  # the day's list, once those who mark at the end of the day have done so
BEFORE_VISIT = timedelta(hours=2)
# Whoever does one of these calls the patient, and can speak of the visit.
SAME_CALL = (
    *("unverified", "no_consent", "number_bad", "wrong_number", "stop_asked", "stop_early", "visit_or_texts"),
    *("undelivered", "uncertain", "held_text", "tell_change"),
)


def look(house: House, now: datetime) -> int:
    """Look at every site once, the `watch` job; how many tasks were opened. Safe at any time, and twice."""
    each = OneByOne(house, "watch", now)
    each.do("rule", "of age", partial(lives.come_of_age, house, now))

    def prepare(tx: store.Transaction) -> list[int]:
        store.people.keep_default_site(tx, house.settings, now)
        return [site.id for site in store.people.all_sites(tx)]

    opened = 0
    for site_id in house.database.write(prepare, again=True):
        for rule in _Watch.RULES:
            look_at = partial(_look_at, house, site_id=site_id, rule=rule, now=now)
            work = partial(house.database.write, look_at, again=True)
            opened += each.do(f"rule {rule} of site", site_id, work, site_id=site_id) or 0
    each.finish()
    return opened


def _look_at(house: House, tx: store.Transaction, *, site_id: int, rule: str, now: datetime) -> int:
    """One rule at one site, in a transaction of its own: none holds the database for long, none stops another."""
    site = next(site for site in store.people.all_sites(tx) if site.id == site_id)
    return _Watch(house, tx, site, now).look(rule)


class _Watch:
    # In this order: a task to call about a number is there before the visits, which need no call of their own then.
    RULES = ("unverified", "without_consent", "reviews", "arrivals", "visits", "marks")

    def __init__(self, house: House, tx: store.Transaction, site: Row[Any], now: datetime) -> None:
        self._house = house
        self._tx = tx
        self._site = site
        self._now = now
        self._wall = plans.to_wall(now, site.zone)
        self._opened = 0

    def look(self, rule: str) -> int:
        """Look with one of RULES; how many tasks were opened."""
        if rule != "unverified" or self._house.settings.sending.welcome:
            getattr(self, f"_{rule}")()
        return self._opened

    def _open(
        self, kind: str, key: str, *, due_at: datetime | None = None, again: bool = False, **about: int | None
    ) -> None:
        _, fresh = store.tasks.open_task(
            self._tx,
            kind=kind,
            key=key,
            urgency="normal" if kind in {"review", "to_mark", "no_consent"} else "soon",
            site_id=self._site.id,
            now=self._now,
            due_at=max(self._now, due_at or tasks.waking(self._now, self._site.zone)),
            once=not again,
            **about,
        )
        self._opened += fresh

    def _unverified(self) -> None:
        for row in store.attention.unverified(self._tx, self._site.id, self._wall.date()):
            key = f"unverified:{row.recipient_id}:{row.number_id}"
            self._open("unverified", key, patient_id=row.patient_id, number_id=row.number_id)
        standing = store.tasks.open_keys(self._tx, "unverified")
        verified = store.attention.not_verified_any_more(self._tx, standing)
        store.tasks.close_by_key(self._tx, verified, self._now, outcome="done", why="the number is verified")

    def _without_consent(self) -> None:
        for row in store.attention.without_consent(self._tx, self._site.id, self._now):
            self._open("no_consent", f"no_consent:{row.plan_id}", plan_id=row.plan_id, patient_id=row.patient_id)

    def _reviews(self) -> None:
        today = self._wall.date()
        discharged = {today - timedelta(days=day + late): day for day in REVIEWS for late in range(REVIEW_FOR)}
        for row in store.attention.reviews(self._tx, self._site.id, sorted(discharged)):
            day = discharged[row.discharged_on]
            due_at = self._at(today, time(17))
            key = f"review:{row.plan_id}:{day}"
            self._open("review", key, due_at=due_at, plan_id=row.plan_id, patient_id=row.patient_id)

    def _visits(self) -> None:
        near, until = self._now + RED_WITHIN, self._now + timedelta(days=60)
        for row in store.attention.visits_soon(self._tx, self._site.id, self._now, near, until):
            about = {"patient_id": row.patient_id, "number_id": row.number_id, "plan_id": row.plan_id}
            due_at = min(tasks.waking(self._now, self._site.zone), row.starts_at - BEFORE_VISIT)
            kind = "red" if self._is_red(row) else "unconfirmed_first" if self._is_unconfirmed(row) else None
            if kind is None or self._somebody_calls(row, due_at):
                continue
            key = f"red:{row.patient_id}:{row.wall[:10]}" if kind == "red" else f"{kind}:{row.appointment_id}"
            self._open(kind, key, due_at=due_at, appointment_id=row.appointment_id, **about)

    def _is_unconfirmed(self, row: Row[Any]) -> bool:
        """A first visit soon, of which the patient was asked some hours ago and has said nothing (S-20)."""
        if not row.is_first or row.confirmed or row.asked_at is None:
            return False
        return bool(row.starts_at - self._now <= UNCONFIRMED_WITHIN and self._now - row.asked_at >= ANSWER_WITHIN)

    def _is_red(self, row: Row[Any]) -> bool:
        """No text is on its way, although one was agreed to.

        Who never agreed to any, or sent STOP, is one task, not one a visit; so is, after the first 30 days, whose
        number does not serve: somebody was told of that.
        """
        if row.texted:
            return False
        kind = Kind(row.kind)
        unserved = row.lost or (self._house.settings.sending.welcome and not row.verified)
        if not row.consented or row.opted_out or (unserved and not self._is_dangerous(row.discharged_on)):
            return bool(row.is_first)
        return kind.category("self").value in (row.categories or ()) and not kind.is_open_meeting

    def _somebody_calls(self, row: Row[Any], due_at: datetime) -> bool:
        """Whether another task makes somebody call this patient before the visit anyway: of two calls one is noise.

        Such a task is due by `due_at` then. One about this very visit counts when it is closed, too.
        """
        standing = store.tasks.calls_about(
            self._tx,
            SAME_CALL,
            patient_id=row.patient_id,
            number_id=row.number_id,
            appointment_id=row.appointment_id,
        )
        if still := [task for task in standing if task.closed_at is None]:
            first = min(still, key=attrgetter("due_at"))
            if due_at < first.due_at:
                store.tasks.change_task(self._tx, first.id, due_at=max(self._now, due_at))
        return bool(standing)

    def _is_dangerous(self, discharged_on: date | None) -> bool:
        return tasks.is_dangerous_time(discharged_on, self._now, self._site.zone)

    def _marks(self) -> None:
        since, until = self._now - MARK_BACK, self._now - MARK_AFTER
        there = store.attention.unmarked(self._tx, self._site.id, since, until)
        standing = [
            key for key in store.tasks.open_keys(self._tx, "to_mark") if key.startswith(f"to_mark:{self._site.id}:")
        ]
        if not there:
            store.tasks.close_by_key(self._tx, standing, self._now, outcome="done", why="every visit is marked")
        elif not standing and (self._wall.time() >= MARK_AT or there[0].wall[:10] < str(self._wall.date())):
            due_at = self._at(self._wall.date() + timedelta(days=1), time(12))
            self._open("to_mark", f"to_mark:{self._site.id}:{self._wall.date()}", due_at=due_at)

    def _arrivals(self) -> None:
        for row in store.attention.bad_numbers(self._tx, self._site.id, self._now - timedelta(days=7)):
            key = f"number_bad:{row.number_id}:{row.bad_since:%Y-%m-%d}"
            self._open("number_bad", key, number_id=row.number_id, patient_id=row.patient_id)
        tasks.tell_of_expired(self._tx, self._now)
        for row in store.attention.not_arrived(self._tx, self._site.id, self._now):
            if row.class_ == "notice" and row.state == "expired":
                continue  # it is a change to be told by phone
            if row.state == "undelivered" and row.class_ != "notice" and not self._is_dangerous(row.discharged_on):
                continue
            kind = "uncertain" if row.state == "uncertain" else "undelivered"
            self._open(
                kind,
                f"{kind}:{row.text_id}",
                due_at=min(tasks.waking(self._now, self._site.zone), row.starts_at - BEFORE_VISIT),
                text_id=row.text_id,
                number_id=row.number_id,
                patient_id=row.patient_id,
                appointment_id=row.appointment_id,
            )

    def _at(self, on: date, at: time) -> datetime:
        return plans.to_instant(datetime.combine(on, at), self._site.zone).astimezone(UTC)
