"""Plan documents of invented people, which each test can change."""

from copy import deepcopy
from datetime import date
from typing import Any

from reminders.plans import Known, PlanDocument, read

KNOWN = Known(
    today=date(2026, 11, 30),
    languages=frozenset({"en", "es"}),
    zone="America/New_York",
    site="main",
    sites=frozenset({"main"}),
    fictional_numbers=True,
)

JORDAN: dict[str, Any] = {
    "plan": {"ref": "DC-1", "discharged_on": "2026-11-30"},
    "patient": {
        "ref": "MRN-1",
        "name": "Jordan Alvarez",
        "phone": "(202) 555-0143",
        "language": "en",
        "zone": "America/New_York",
    },
    "consent": {
        "said": "yes",
        "on": "2026-11-29",
        "how": "signed form",
        "by": "A. Reyes",
        "categories": ["appointments", "meetings"],
        "warned_of_risk": True,
        "wording": "2026-10",
        "alias_shown": True,
        "verified": "read aloud",
    },
    "series": [
        {"key": "therapy", "kind": "therapy_individual", "starts": "2026-12-03T15:00:00", "minutes": 50},
    ],
}


def document(**changes: Any) -> PlanDocument:
    """Jordan's plan, with changes: `document(plan={"ref": "DC-2"}, series=[…])`. Tables are merged, lists replaced."""
    return read(raw(**changes), KNOWN)


def raw(**changes: Any) -> dict[str, Any]:
    """The same as raw data."""
    data = deepcopy(JORDAN)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(data.get(name), dict):
            data[name] |= value
        else:
            data[name] = value
    return data


def one_off(key: str, starts: str, **more: Any) -> dict[str, Any]:
    """A series that does not repeat."""
    return {"key": key, "kind": "therapy_individual", "starts": starts, **more}
