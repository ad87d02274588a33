"""Rules: what a pretend phone does with its texts, and what goes wrong on the way
(docs/twilio.md 10.7, 10.8, 10.10).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from random import Random
from typing import Any, Literal, Self, get_args
from zoneinfo import ZoneInfo

Ending = Literal["delivered", "undelivered", "failed", "silent"]
Operation = Literal["create", "list", "fetch", "update", "delete", "lookup", "sender", "any"]
Fault = Literal[
    "refuse",  # not made: HTTP 400 with `code`
    "unauthorized",  # not made: 401/20003
    "suspended",  # every request fails with 401/20003; messages in a queue when it begins fail with 30002
    "too_many",  # not made: 429/20429
    "error_before_create",  # not made: `status` 500, 502 or 503, with an HTML page if `html`
    "error_after_create",  # made, and answered with `status`
    "not_json",  # made, 201 with an HTML page
    "hang_after_create",  # made, never answered
    "close_after_create",  # made, connection closed without an answer
    "reset_after_create",  # made, connection reset without an answer
    "truncated",  # made, 201 cut off
    "slow_drip",  # made, one byte every `seconds`
    "latency",  # made at once, answered after `seconds`
    "callback_first",  # made and sent at once, answered after `seconds`: its first callback comes before the 201
    "stop_first",  # the phone texts STOP just before: not made, 21610
    "stop_meanwhile",  # made, and the phone texts STOP before the answer is out: the text arrives anyway
    "refuse_connection",  # no one listens for `seconds`
    "refuse_page",  # the pretend pager answers a page with `status`
]
Disorder = Literal[
    "swapped",  # this status callback comes after the next one about the same message
    "late",  # `seconds` later, two hours by default
    "burst",  # calls are held back, and released all together every `seconds`
    "dropped",  # never made
    "doubled",  # made `copies` times more, with its token
    "unknown_sid",  # plus a similar one about a message that no one made
    "bad_signature",
    "no_signature",
    "former_token",  # signed with the token from before the last rotation
]

Stage = Literal[
    "outcome", "before", "phone", "answer", "travel", "time", "page", "route", "copies", "stray", "signature"
]
_STAGES: dict[Stage, frozenset[str]] = {
    "before": frozenset({"refuse", "unauthorized", "suspended", "too_many", "error_before_create"}),
    "phone": frozenset({"stop_first", "stop_meanwhile"}),
    "answer": frozenset({"error_after_create", "not_json"}),
    "travel": frozenset({"hang_after_create", "close_after_create", "reset_after_create", "truncated", "slow_drip"}),
    "time": frozenset({"latency", "callback_first"}),
    "page": frozenset({"refuse_page"}),
    "route": frozenset({"swapped", "late", "burst", "dropped"}),
    "copies": frozenset({"doubled"}),
    "stray": frozenset({"unknown_sid"}),
    "signature": frozenset({"bad_signature", "no_signature", "former_token"}),
}
_STAGE_OF = {word: stage for stage, words in _STAGES.items() for word in words}

# Codes that make a message `failed`; the other 30xxx codes make it `undelivered` (docs/twilio.md 3).
FAILED = frozenset({30001, 30002, 30010, 30019, 30020, 30021, 30036, 30037, 30410, 30450, 30500, 60728, 63038})
_PACIFIC = ZoneInfo("America/Los_Angeles")


@dataclass(slots=True, kw_only=True)
class Rule:
    """One rule: an `outcome` for texts to a phone, a `fault` of requests, or a `disorder` of webhook calls.

    It matches the number `to`, or all numbers that end in its digits if it has no `+`; None matches all. It applies
    with `probability`, `times` times (None: no limit), from `begins` seconds after it was added, for `lasts` seconds
    (None: forever; but 30023 ends at 00:00 Pacific and 30450 after 15 to 30 minutes, as at Twilio).

    **Several rules.** Each matching rule draws its own chance, independent of the others. Rules of different stages act
    together. Within one stage the newest acts; the others count as `overruled` and keep their times. The stages are,
    for a text: its outcome; for a request: that it is not processed (before), what the phone texts meanwhile
    (stop_first, stop_meanwhile), what the answer says (error_after_create, not_json), how it travels (hang, close,
    reset, truncated, drip), when (latency, callback_first); for a webhook call: its route (swapped, late, burst,
    dropped), its copies, an extra stray one, its signature; for a page: its refusal. A request that is not processed
    overrules all rules about its answer except latency; a dropped call overrules all others about it. A request that is
    refused for another reason uses up no rule.

    Outcome: `silent` means sent without a final status; `error_code` decides between failed and undelivered; `after` is
    the seconds from its turn in the sender's queue to the final status; `then` contradicts that status `then_after`
    seconds later; `reaches` says whether the phone shows the text (None: if it is ever delivered, or silent). Faults
    apply to requests `on` one operation, creates by default. Disorders apply to calls `about` one status (`received`:
    inbound texts), or all.
    """

    to: str | None = None
    probability: float = 1.0
    times: int | None = None
    begins: float = 0.0
    lasts: float | None = None
    outcome: Ending | None = None
    error_code: int | None = None
    after: float | None = None
    then: Ending | None = None
    then_after: float = 1.0
    reaches: bool | None = None
    fault: Fault | None = None
    on: Operation = "create"
    status: int = 500
    html: bool = False
    code: int = 21610
    seconds: float | None = None
    disorder: Disorder | None = None
    about: str | None = None
    copies: int = 1
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.error_code is not None and self.outcome is None:
            self.outcome = "failed" if self.error_code in FAILED else "undelivered"
        if self.fault == "suspended":
            self.on = "any"
        if self.stage == "phone":
            self.on = "create"

    @classmethod
    def parse(cls, raw: object) -> Self:
        """The rule in a JSON object, which may group its match conditions in an object `match`.

        Raises ValueError with the key and the problem.
        """
        if not isinstance(raw, Mapping):
            # ruff: ignore[type-check-without-type-error] wrong JSON gives one kind of error
            raise ValueError("a rule is an object")
        match = raw.get("match", {})
        if not isinstance(match, Mapping) or not match.keys() <= {"to", "probability", "on", "about"}:
            raise ValueError("match: an object with to, probability, on, about")
        found = {**{key: value for key, value in raw.items() if key != "match"}, **match}
        found = {key: value for key, value in found.items() if value is not None}
        for key, value in found.items():
            if key not in _CHECKS:
                raise ValueError(f"{key}: no such key; choose from match, {', '.join(_CHECKS)}")
            if not _CHECKS[key][0](value):
                raise ValueError(f"{key}: {_CHECKS[key][1]}")
        rule = cls(**found)
        kinds = [name for name in ("outcome", "fault", "disorder") if getattr(rule, name) is not None]
        if len(kinds) != 1:
            raise ValueError("outcome, fault, disorder: give one of the three")
        for key in found.keys() - _KEYS[kinds[0]]:
            raise ValueError(f"{key}: does not apply to a rule of this kind")
        if rule.fault in _WHOLE and (found.keys() - _WHOLE[rule.fault]):
            raise ValueError(
                f"{rule.fault}: applies to everyone; it takes {', '.join(sorted(_WHOLE[rule.fault]))} only"
            )
        return rule

    @property
    def stage(self) -> Stage:
        """Where it acts; only one rule of a stage acts at a time."""
        return _STAGE_OF.get(self.fault or self.disorder or "", "outcome")

    @property
    def name(self) -> str:
        """Its name in the counters."""
        return self.fault or self.disorder or f"outcome {self.outcome}"

    def start(self, now: datetime, random: Random) -> None:
        """Set its period: `since` and `until`."""
        self.since = now + timedelta(seconds=self.begins)
        if self.lasts is not None:
            self.until = self.since + timedelta(seconds=self.lasts)
        elif self.error_code == 30023:
            midnight = self.since.astimezone(_PACIFIC).replace(hour=0, minute=0, second=0, microsecond=0)
            self.until = (midnight + timedelta(days=1)).astimezone(now.tzinfo)
        elif self.error_code == 30450:
            self.until = self.since + timedelta(minutes=random.randint(15, 30))

    def matches(self, number: str | None, now: datetime) -> bool:
        """Whether it applies to this number (None: a request without a number) at this time."""
        if (
            self.times == 0
            or (self.since is not None and now < self.since)
            or (self.until is not None and now >= self.until)
        ):
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
        """The rule as a JSON object, with its period."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in found.items()
            if value is not None
        }


def is_number(value: object, *, at_most: float = 366 * 86_400) -> bool:
    """Whether a JSON value is a number from 0 to `at_most`; by default a duration of up to a year."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= at_most


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_phone(value: object) -> bool:
    return isinstance(value, str) and value.removeprefix("+").isascii() and value.removeprefix("+").isdigit()


_LAST_WORDS = ("delivered", "undelivered")
_ABOUT = ("queued", "sent", "delivered", "undelivered", "failed", "canceled", "received")
_MATCHING = frozenset({"to", "probability", "times", "begins", "lasts"})
_KEYS = {
    "outcome": _MATCHING | {"outcome", "error_code", "after", "then", "then_after", "reaches"},
    "fault": _MATCHING | {"fault", "on", "status", "html", "code", "seconds"},
    "disorder": _MATCHING | {"disorder", "about", "seconds", "copies"},
}
_WHOLE: dict[str | None, frozenset[str]] = {
    "refuse_connection": frozenset({"fault", "seconds"}),
    "suspended": frozenset({"fault", "begins", "lasts"}),
    "refuse_page": frozenset({"fault", "status", "times", "begins", "lasts", "probability"}),
}

_CHECKS = {
    "to": (_is_phone, "an E.164 number, or the digits numbers end in"),
    "probability": (lambda value: is_number(value, at_most=1), "from 0 to 1"),
    "times": (_is_whole, "a whole number"),
    "begins": (is_number, "seconds from now"),
    "lasts": (is_number, "seconds"),
    "outcome": (lambda value: value in get_args(Ending), f"one of {', '.join(get_args(Ending))}"),
    "error_code": (_is_whole, "a Twilio error code"),
    "after": (is_number, "seconds"),
    "then": (lambda value: value in _LAST_WORDS, "delivered or undelivered"),
    "then_after": (is_number, "seconds"),
    "reaches": (lambda value: isinstance(value, bool), "true or false"),
    "fault": (lambda value: value in get_args(Fault), f"one of {', '.join(get_args(Fault))}"),
    "on": (lambda value: value in get_args(Operation), f"one of {', '.join(get_args(Operation))}"),
    "status": (lambda value: _is_whole(value) and value in {500, 502, 503}, "500, 502 or 503"),
    "html": (lambda value: isinstance(value, bool), "true or false"),
    "code": (_is_whole, "a Twilio error code"),
    "seconds": (is_number, "seconds"),
    "disorder": (lambda value: value in get_args(Disorder), f"one of {', '.join(get_args(Disorder))}"),
    "about": (lambda value: value in _ABOUT, f"one of {', '.join(_ABOUT)}"),
    "copies": (lambda value: _is_whole(value) and value <= 1000, "a whole number up to 1000"),
}
