"""How the pretend Twilio behaves: its account, its senders, its timings and chances (docs/twilio.md 10.3 to 10.12)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Self

from reminders.simulator.rules import is_number
from reminders.simulator.webhooks import is_callable

# Twilio's own words (docs/twilio.md 5): the whole message, any case.
STOP_WORDS = frozenset({"STOP", "UNSUBSCRIBE", "END", "QUIT", "STOPALL", "REVOKE", "OPTOUT", "CANCEL"})
START_WORDS = frozenset({"START", "YES", "UNSTOP"})
HELP_WORDS = frozenset({"HELP", "INFO"})

_Z99 = 2.3263478740408408  # the standard normal's 99th percentile


@dataclass(frozen=True, slots=True)
class Spread:
    """A random duration: lognormal, in seconds.

    `median` is the median, `p99` the 99th percentile, and none is above `longest`. Raises ValueError unless
    0 < median <= p99 and median <= longest.
    """

    median: float
    p99: float
    longest: float = math.inf

    def __post_init__(self) -> None:
        if not (0 < self.median <= self.p99 and self.median <= self.longest):
            raise ValueError("median must be above 0, and p99 and longest must not be below it")

    def draw(self, random: Random) -> float:
        """A random value, in seconds."""
        return min(random.lognormvariate(math.log(self.median), math.log(self.p99 / self.median) / _Z99), self.longest)


Duration = float | Spread
"""Seconds, fixed or random."""


def drawn(duration: Duration, random: Random) -> float:
    """One value of it, in seconds. A fixed duration does not use `random`."""
    return duration.draw(random) if isinstance(duration, Spread) else duration


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """How the pretend Twilio behaves. Durations are seconds; chances are from 0 to 1.

    `senders` are our numbers and `services` our Messaging Services; None means any well-formed one. `service_senders`
    is the pool from which a service picks. `trial_verified`: None, or the only numbers that a trial account may text.
    `former_token` is for rules that ask for a signature with an old token.

    A sender's queue is processed in order at `segments_per_second` (0: no limit), or at its pace in `sender_paces`; it
    is full at more than `longest_queue` seconds of work. A text is sent `sent_after` its turn, and shows as `sending`
    for the last `sending_for` of that time. The final status comes `delivered_after` that, except for the share
    `unreceipted`. `created_after` is the time to answer a create; the message exists from its beginning.

    Inbound texts go to `inbound_url`. If that call is lost, Twilio calls `fallback_url` once, or executes
    `fallback_twiml`, a TwiML Bin on its own servers. After that a text is only in the list.

    Words that stop texts, start them and ask for help: Twilio obeys and answers its own set. With `advanced_opt_out` it
    obeys the three sets of words instead, in capitals, sets `OptOutType` in inbound calls, and sends the entry in
    `answers` for the word or its kind (STOP, START, HELP), if there is one; an empty entry means no answer. Without
    `default_opt_out` it obeys none. A toll-free number keeps the network's words and answers, except for HELP.
    """

    account_sid: str = "AC" + "0" * 32
    auth_token: str = "simulator"  # ruff: ignore[hardcoded-password-string] known to everyone, of use to no one
    former_token: str = "simulator once"  # ruff: ignore[hardcoded-password-string] the same
    api_key: str | None = None
    api_secret: str | None = None
    inbound_url: str | None = None
    fallback_url: str | None = None
    fallback_twiml: str | None = None
    senders: frozenset[str] | None = frozenset({"+15005550006"})
    services: frozenset[str] | None = None
    service_senders: tuple[str, ...] = ("+15005550006",)
    trial_verified: frozenset[str] | None = None
    default_opt_out: bool = True
    advanced_opt_out: bool = False
    stop_words: frozenset[str] = STOP_WORDS
    start_words: frozenset[str] = START_WORDS
    help_words: frozenset[str] = HELP_WORDS
    answers: Mapping[str, str] = field(default_factory=dict)
    max_concurrent: int = 100
    segments_per_second: float = 0.0
    sender_paces: Mapping[str, float] = field(default_factory=dict)
    longest_queue: float = 36_000.0
    created_after: Duration = 0.0
    queued_after: Duration = 0.05
    sent_after: Duration = 0.2
    sending_for: Duration = 0.0
    delivered_after: Duration = 0.4
    unreceipted: float = 0.0
    list_lag: Duration = 0.0
    callback_pause: float = 0.2
    surprise_parameter: float = 0.1
    done_date_missing: float = 0.1
    done_date_elsewhere: float = 0.1

    @classmethod
    def lifelike(cls, **more: Any) -> Self:
        """Settings about as slow and unreliable as the real Twilio (docs/twilio.md 4, 10.5): a low-volume 10DLC
        number.
        """
        return cls(
            **{
                "segments_per_second": 3.75,
                "created_after": Spread(0.075, 0.4, 26.0),
                "queued_after": Spread(0.05, 0.3, 5.0),
                "sent_after": Spread(0.4, 2.0, 30.0),
                "delivered_after": Spread(3.0, 60.0, 7200.0),
                "unreceipted": 0.04,
                "list_lag": Spread(2.0, 600.0, 900.0),
                **more,
            }
        )

    def changed(self, document: object) -> Self:
        """These settings with the changes in a JSON object; a random duration is {"median", "p99", "longest"}.

        Raises ValueError with the key and the problem. Account, token and key cannot change.
        """
        if not isinstance(document, Mapping):
            # ruff: ignore[type-check-without-type-error] wrong JSON gives one kind of error
            raise ValueError("settings are an object")
        values: dict[str, Any] = {}
        for key, value in document.items():
            if key not in _READERS:
                raise ValueError(f"{key}: no such key; choose from {', '.join(sorted(_READERS))}")
            reader, wanted = _READERS[key]
            try:
                values[key] = reader(value)
            except (TypeError, ValueError):
                raise ValueError(f"{key}: {wanted}") from None
        return replace(self, **values)


def _when(true: bool, value: Any) -> Any:  # ruff: ignore[boolean-type-hint-positional-argument] it reads as a sentence
    if not true:
        raise ValueError
    return value


def _duration(value: object) -> Duration:
    if isinstance(value, Mapping):
        return Spread(**{key: _number(part) for key, part in value.items()})
    return _number(value)


def _number(value: Any) -> float:
    return float(_when(is_number(value), value))


def _chance(value: Any) -> float:
    return float(_when(is_number(value, at_most=1), value))


def _texts(value: Any) -> frozenset[str]:
    return frozenset(_when(isinstance(value, list) and all(isinstance(one, str) for one in value), value))


def _texts_or_none(value: Any) -> frozenset[str] | None:
    return None if value is None else _texts(value)


_DURATION = (_duration, "seconds, or an object with median, p99 and optionally longest")
_SECONDS = (_number, "seconds")
_CHANCE = (_chance, "from 0 to 1")
_TEXTS = (_texts, "a list of texts")
_TEXTS_OR_NONE = (_texts_or_none, "a list of texts, or null for any")
_WORDS = (lambda value: frozenset(word.upper() for word in _texts(value)), "a list of words")
_SWITCH = (lambda value: _when(isinstance(value, bool), value), "true or false")
_URL = (
    lambda value: value if value is None else _when(isinstance(value, str) and is_callable(value), value),
    "a URL that Twilio would call, or null",
)

_READERS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "inbound_url": _URL,
    "fallback_url": _URL,
    "fallback_twiml": (lambda value: _when(value is None or isinstance(value, str), value), "TwiML, or null"),
    "senders": _TEXTS_OR_NONE,
    "services": _TEXTS_OR_NONE,
    "trial_verified": _TEXTS_OR_NONE,
    "service_senders": (
        lambda value: _when(bool(_texts(value)), tuple(value)),
        "a list of at least one number",
    ),
    "default_opt_out": _SWITCH,
    "advanced_opt_out": _SWITCH,
    "stop_words": _WORDS,
    "start_words": _WORDS,
    "help_words": _WORDS,
    "answers": (
        lambda value: {
            word.upper(): _when(isinstance(said, str), said)
            for word, said in _when(isinstance(value, Mapping), value).items()
        },
        "an object: Twilio's answers, by word or by STOP, START, HELP",
    ),
    "max_concurrent": (
        lambda value: _when(is_number(value) and isinstance(value, int) and value > 0, value),
        "a whole number above 0",
    ),
    "segments_per_second": (_number, "segments a second; 0: no limit"),
    "sender_paces": (
        lambda value: {sender: _number(pace) for sender, pace in _when(isinstance(value, Mapping), value).items()},
        "an object: segments a second by sender",
    ),
    "longest_queue": _SECONDS,
    "created_after": _DURATION,
    "queued_after": _DURATION,
    "sent_after": _DURATION,
    "sending_for": _DURATION,
    "delivered_after": _DURATION,
    "unreceipted": _CHANCE,
    "list_lag": _DURATION,
    "callback_pause": _SECONDS,
    "surprise_parameter": _CHANCE,
    "done_date_missing": _CHANCE,
    "done_date_elsewhere": _CHANCE,
}

CHANGEABLE = tuple(_READERS)
"""The settings that may change while it runs."""
