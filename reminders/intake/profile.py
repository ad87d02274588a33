"""What is said of a source beforehand, and answers to its questions: its profile. Pure.

```toml
zone = "America/Chicago"         # of its places
date_order = "day first"         # or "month first"
clock = "24"                     # or "office": times without am and pm lie between 7:00 am and 6:59 pm
phones = ["Cell", "Home Phone"]  # columns, the first one first
fingerprint = "0f3a…"            # of the header; another header is asked about
[columns]
patient = "Kunde"                # a field of ours and the header that it has; "" for none
[status]
"Wartet" = "tentative"           # booked | tentative | cancelled | attended | missed | skip
[kinds]
"Einzel" = "therapy_individual"
[zones]
CST = "America/Chicago"
```
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args

from reminders.intake.arrivals import Status, Unreadable
from reminders.intake.moments import ClockKind, DateOrder
from reminders.intake.vocabulary import ranks, squeezed
from reminders.plans import Kind, UnfitError, read_zone

FIELDS = (
    "id", "bare_id", "occurrence", "patient", "name", "first_name", "last_name", "start", "date", "time", "end", "minutes", "seconds",
    "status", "canceled", "no_show", "canceled_on", "mode", "kind", "where", "staff", "zone", "mobile", "phone", "home", "updated", "born",
    "made", "schedule", "days", "weeks", "sessions", "discharged", "program", "program_starts", "program_time", "language", "consent",
    "consent_on", "consent_how", "consent_by", "consent_to", "plan",
)  # fmt: skip
_STATUSES = (*get_args(Status), "skip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is said of one source. `status`, `kinds` and `columns` have squeezed words; `skip` leaves rows out."""

    zone: str | None = None
    date_order: DateOrder | None = None
    clock: ClockKind | None = None
    phones: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    status: Mapping[str, Status | Literal["skip"]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    zones: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str | None = None


def read_profile(raw: bytes) -> Profile:
    """The profile in a TOML file. Raises Unreadable, naming the key that is wrong."""
    try:
        data = tomllib.loads(raw.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError):
        raise Unreadable("is no TOML in UTF-8; see docs/intake.md for an example", "profile") from None
    if isinstance(data.get("profile"), dict):
        data = data["profile"]
    known = {"zone", "date_order", "clock", "phones", "columns", "status", "kinds", "zones", "fingerprint"}
    for key in data:
        if key not in known:
            raise Unreadable(f"there is no such key; there are {', '.join(sorted(known))}", f"profile.{key[:40]}")
    return Profile(
        zone=_zone("zone", data["zone"]) if "zone" in data else None,
        date_order=cast("DateOrder | None", _choice(data, "date_order", get_args(DateOrder))),
        clock=cast("ClockKind | None", _choice(data, "clock", get_args(ClockKind))),
        phones=tuple(map(squeezed, _texts(data, "phones"))),
        columns=_columns(data),
        status={word: cast('Status | Literal["skip"]', means) for word, means in _map(data, "status", _STATUSES)},
        kinds=dict(_map(data, "kinds", tuple(kind.value for kind in Kind))),
        zones={word.upper(): _zone(f"zones.{word}", place) for word, place in _table(data, "zones").items()},
        fingerprint=_text(data, "fingerprint"),
    )


def _zone(key: str, value: object) -> str:
    try:
        return read_zone(value)
    except UnfitError as problem:
        raise Unreadable(str(problem), f"profile.{key}") from None


def _choice(data: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> str | None:
    value = data.get(key)
    if value is not None and value not in choices:
        raise Unreadable(f"must be one of {', '.join(choices)}", f"profile.{key}")
    return value


def _text(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise Unreadable("must be text in quotes", f"profile.{key}")
    return value


def _texts(data: Mapping[str, Any], key: str) -> list[str]:
    value = data.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Unreadable("must be a list of texts", f"profile.{key}")
    return value


def _table(data: Mapping[str, Any], key: str) -> dict[str, str]:
    value = data.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise Unreadable("must be a table of texts", f"profile.{key}")
    return value


def _map(data: Mapping[str, Any], key: str, choices: tuple[str, ...]) -> list[tuple[str, str]]:
    table = _table(data, key)
    if wrong := [one for one in table.values() if one not in choices]:
        raise Unreadable(f"{len(wrong)} of its values are none of {', '.join(choices)}", f"profile.{key}")
    return [(squeezed(word), means) for word, means in table.items()]


def _columns(data: Mapping[str, Any]) -> dict[str, str]:
    table = _table(data, "columns")
    for name in table:
        if name not in FIELDS:
            raise Unreadable(f"there is no such field; there are {', '.join(FIELDS)}", f"profile.columns.{name[:40]}")
    return {name: squeezed(header) if header else "" for name, header in table.items()}


assert all(ranks(name) for name in FIELDS)
