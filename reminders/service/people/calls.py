"""The call list: whom to phone while no text goes, such as when a sender is stopped."""

from datetime import datetime, timedelta

from reminders import store
from reminders.app_context import House
from reminders.store.office.calls import Call as Call


def ahead(house: House, now: datetime, spell: timedelta, *, who: str) -> list[Call]:
    """Everybody to phone about the visits of the next `spell`, first visits first; that it was read is on record."""

    def work(tx: store.Transaction) -> list[Call]:
        found = store.calls.ahead(tx, now, now + spell)
        site = store.people.all_sites(tx)[0]
        store.records.note(tx, who=who, what="call list read", table="sites", row=site.id, now=now)
        return found

    return house.database.write(work, again=True)
