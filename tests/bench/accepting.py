"""Plans accepted and extended, each with the sixteen weeks of the Matrix program: how many a second.

Every plan is one call of `planning.accept`, as the command line and the API make it, and so one durable transaction: a
patient with a data key, a number, a consent, three series of the program and one visit of its own, the appointments
of the next two months, and their texts. Then a week passes, and one call of `planning.extend`, as the worker's `plan`
job makes it, lays down what has come within the horizon for all of them.
"""

import json
import time
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import turn

from reminders import clock, plans, store
from reminders.service import AppContext, planning


def plan_of(number: int, today: date) -> dict[str, Any]:
    """The plan document of the n-th invented patient; visits begin on three weekdays at three hours, as clinics' do."""
    first = today + timedelta(days=2 + number % 3)
    return {
        "plan": {
            "ref": f"BENCH-{number}",
            "discharged_on": today.isoformat(),
            "program": "matrix-iop",
            "program_times": {"relapse-prevention": f"{15 + number % 3}:00"},
        },
        "patient": {"ref": f"MRN-{number}", "name": f"Invented Person {number}", "phone": turn.phone(number)},
        "consent": {
            "said": "yes",
            "on": today.isoformat(),
            "how": "signed form",
            "by": "A. Reyes",
            "categories": ["appointments"],
            "warned_of_risk": True,
            "alias_shown": True,
            "verified": "read aloud",
        },
        "series": [{"key": "first", "kind": "therapy_individual", "starts": f"{first}T10:00:00", "minutes": 50}],
    }


def documents(context: AppContext, many: int, now: datetime) -> list[plans.PlanDocument]:
    """The documents of that many patients, read and checked."""
    known = replace(context.database.read(lambda tx: context.known(tx, now)), ours=frozenset())
    return [plans.read(plan_of(number, known.today), known) for number in range(many)]


def measure(context: AppContext, came: list[plans.PlanDocument], now: datetime) -> dict:
    """Accept these documents, then extend them a week later: seconds, and seconds of CPU."""
    used, began = time.process_time(), time.perf_counter()
    for document in came:
        planning.accept(context, document, now, who="benchmark")
    accepted, cpu = time.perf_counter() - began, time.process_time() - used
    texts = sum(context.database.read(store.texts.counts_by_state).values())
    context.database.checkpoint()
    used, began = time.process_time(), time.perf_counter()
    added = planning.extend(context, now + timedelta(days=7), limit=len(came)).added
    extended, cpu_extended = time.perf_counter() - began, time.process_time() - used
    return {
        "accept": {"seconds": accepted, "cpu_seconds": cpu, "texts": texts},
        "extend": {"seconds": extended, "cpu_seconds": cpu_extended, "added": added},
    }


def main() -> None:
    told = turn.config()
    context = AppContext.open()
    now = clock.now()
    store.migrate(context.database, now)
    turn.say(json.dumps(measure(context, documents(context, told["messages"], now), now)))
    context.close()


if __name__ == "__main__":
    main()
