"""Rules: what a pretend phone does with its texts, and what goes wrong on the way to Twilio (twilio.md §10.8, 10)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

Ending = Literal["delivered", "undelivered", "failed", "silent"]
Operation = Literal["create", "list", "fetch", "update", "delete", "any"]
Fault = Literal[
    "refuse",  # not made: HTTP 400 with `code`
    "unauthorised",  # not made: 401/20003
    "too_many",  # not made: 429/20429
    "error_before_create",  # not made: `status` 500, 503, or 502 with an HTML page
    "error_after_create",  # made, and answered with `status`
    "hang_after_create",  # made, never answered
    "close_after_create",  # made, connection closed without an answer
    "reset_after_create",  # made, connection reset without an answer
    "not_json",  # made, 201 with an HTML page
    "truncated",  # made, 201 cut off
    "slow_drip",  # made, one byte every `seconds`
    "latency",  # made at once, answered after `seconds`
    "refuse_connection",  # nobody listens for `seconds`
]
NOT_MADE = frozenset({"refuse", "unauthorised", "too_many", "error_before_create"})


@dataclass(slots=True, kw_only=True)
class Rule:
    """One rule: an `outcome` for texts to a phone, or a `fault` for requests about it.

    Matches a number `to`, or all that end in its digits when it has no `+`; all numbers when None. Holds with
    `probability`, `times` times (None: for ever). Of several that match the newest holds.

    `outcome` `silent` means sent and never a final word; `after` is the seconds from being queued to the
    final word. Faults hold for requests `on` one operation, creates unless told otherwise.
    """

    to: str | None = None
    probability: float = 1.0
    times: int | None = None
    outcome: Ending | None = None
    error_code: int | None = None
    after: float | None = None
    fault: Fault | None = None
    on: Operation = "create"
    status: int = 500
    code: int = 21610
    seconds: float | None = None

    @classmethod
    def parse(cls, raw: object) -> Self:
        """The rule a JSON object states; what to match may also stand in an object `match`.

        Raises ValueError with the key and what is wrong with it.
        """
        if not isinstance(raw, Mapping):
            # ruff: ignore[type-check-without-type-error] whoever sends wrong JSON sees one kind of error
            raise ValueError("a rule is an object")
        match = raw.get("match", {})
        if not isinstance(match, Mapping) or not match.keys() <= {"to", "probability", "on"}:
            raise ValueError("match: an object with to, probability, on")
        found = {**{key: value for key, value in raw.items() if key != "match"}, **match}
        for key, value in found.items():
            if key not in _CHECKS:
                raise ValueError(f"{key}: no such key; choose from match, {', '.join(_CHECKS)}")
            if value is not None and not _CHECKS[key][0](value):
                raise ValueError(f"{key}: {_CHECKS[key][1]}")
        rule = cls(**{key: value for key, value in found.items() if value is not None})
        if (rule.outcome is None) == (rule.fault is None):
            raise ValueError("outcome, fault: give one of the two")
        return rule

    def matches(self, number: str | None) -> bool:
        """Whether the rule is about this number (None: a request that names none)."""
        if self.times == 0:
            return False
        if self.to is None:
            return True
        if number is None:
            return False
        return number == self.to if self.to.startswith("+") else number.endswith(self.to)

    def use(self) -> None:
        """Count one use."""
        if self.times is not None:
            self.times -= 1

    def as_json(self) -> dict[str, Any]:
        """The rule as the object that states it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def is_number(value: object, *, at_most: float = 366 * 86_400) -> bool:
    """Whether a JSON value is a number from 0 to `at_most`; durations may be a year long."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= at_most


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_phone(value: object) -> bool:
    return isinstance(value, str) and value.removeprefix("+").isascii() and value.removeprefix("+").isdigit()


_CHECKS = {
    "to": (_is_phone, "an E.164 number, or the digits numbers end in"),
    "probability": (lambda value: is_number(value, at_most=1), "from 0 to 1"),
    "times": (_is_whole, "a whole number"),
    "outcome": (lambda value: value in get_args(Ending), f"one of {', '.join(get_args(Ending))}"),
    "error_code": (_is_whole, "a Twilio error code"),
    "after": (is_number, "seconds"),
    "fault": (lambda value: value in get_args(Fault), f"one of {', '.join(get_args(Fault))}"),
    "on": (lambda value: value in get_args(Operation), f"one of {', '.join(get_args(Operation))}"),
    "status": (lambda value: _is_whole(value) and value in {500, 502, 503}, "500, 502 or 503"),
    "code": (_is_whole, "a Twilio error code"),
    "seconds": (is_number, "seconds"),
}
