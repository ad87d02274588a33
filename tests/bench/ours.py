"""Ours: the worker's own pass over N due rows, with everything on that is on in a treatment centre.

`lay_down` takes N plans in through the verb that the command line and the API use (`planning.accept_in`, a hundred to a
transaction), each for an invented patient with a data key, a number, a consent and one appointment: every row, seal and
fingerprint is what it would be in earnest. The appointment is tomorrow and its lead is a day, so each text is due as
soon as it is laid down and stays so for most of a day. Laying down is not timed; the turns get copies of that database.

A turn is one call of `Dispatch.drain`, as the worker's `send` job makes it: scan, claim, guard, render, lint, seal,
write the intent, call, record, until nothing is due.
"""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import turn

from reminders import clock, plans, store
from reminders.service import House, planning, runs, sending
from reminders.store.schema import metadata

AT_ONCE = 100


def plan_of(number: int, starts: str, today: str) -> dict[str, Any]:
    """The plan document of the n-th invented patient."""
    return {
        "plan": {"ref": f"BENCH-{number}", "discharged_on": today},
        "patient": {"ref": f"MRN-{number}", "name": f"Invented Person {number}", "phone": turn.phone(number)},
        "consent": {
            "said": "yes",
            "on": today,
            "how": "signed form",
            "by": "A. Reyes",
            "categories": ["appointments"],
            "warned_of_risk": True,
            "alias_shown": True,
            "verified": "read aloud",
        },
        "series": [
            {"key": "first", "kind": "therapy_individual", "starts": starts, "minutes": 50, "leads": ["1d"]},
        ],
    }


def lay_down(house: House, messages: int) -> None:
    """Prepare an empty database and lay down that many due texts."""
    now = clock.now()
    store.migrate(house.database, now)
    known = house.database.read(lambda tx: house.known(tx, now))
    starts = plans.to_wall(now + timedelta(hours=20), house.settings.site.zone).isoformat(timespec="minutes") + ":00"
    documents = [plans.read(plan_of(number, starts, known.today.isoformat()), known) for number in range(messages)]
    for first in range(0, messages, AT_ONCE):

        def accept(tx: store.Transaction, first: int = first) -> None:
            for document in documents[first : first + AT_ONCE]:
                planning.accept_in(house, tx, document, now, "benchmark")

        house.database.write(accept)
    house.database.checkpoint()
    laid = house.database.read(store.texts.counts_by_state)
    if laid != {"scheduled": messages}:
        raise SystemExit(f"not {messages} due texts were laid down but {laid}")


def copy(laid: str, house: House) -> None:
    """Prepare the house's empty database and fill it with every row of the one at `laid`, which has the same keys."""
    store.migrate(house.database, clock.now())
    source = store.Database(laid, house.database.ring)

    def fill(tx: store.Transaction) -> None:
        for table in reversed(metadata.sorted_tables):
            tx.run(table.delete())  # the index key that the migration made
        for table in metadata.sorted_tables:
            rows = source.read(lambda there, table=table: there.all(table.select()))
            tx.run_many(table.insert(), [dict(row._mapping) for row in rows])

    house.database.write(fill)
    source.close()


def send(house: House) -> None:
    """Send until nothing is due."""
    with ThreadPoolExecutor(1) as executor:
        runs.with_gateway(house, lambda gateway: sending.Dispatch(house, gateway, executor, threading.Event()).drain())


def main() -> None:
    told = turn.config()
    house = House.open()
    if told["do"] == "lay down":
        lay_down(house, told["messages"])
    elif told["do"] == "copy":
        copy(os.environ["BENCH_LAID"], house)
    else:
        turn.take(lambda: send(house), lambda: house.database.read(store.texts.counts_by_state).get("sent", 0))
    if told["do"] != "send":
        turn.say(json.dumps({"version": house.database.server_version}))
    house.close()


if __name__ == "__main__":
    main()
