"""What the pretend Twilio is like: its account, its senders, its timings and chances (docs/twilio.md 10.3 to 10.12)."""

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
    """A duration that differs from time to time: lognormal, in seconds.

    Half are below `median`, one in a hundred above `p99`, none above `longest`. Raises ValueError unless
    0 < median <= p99 and median <= longest.
    """

    median: float
    p99: float
    longest: float = math.inf

    def __post_init__(self) -> None:
        if not (0 < self.median <= self.p99 and self.median <= self.longest):
            raise ValueError("median is above 0, p99 and longest are not below it")

    def draw(self, random: Random) -> float:
        """One of them, in seconds."""
        return min(random.lognormvariate(math.log(self.median), math.log(self.p99 / self.median) / _Z99), self.longest)


Duration = float | Spread
"""Seconds: always the same, or spread."""


def drawn(duration: Duration, random: Random) -> float:
    """How many seconds it is this time. A fixed one takes nothing from `random`."""
    return duration.draw(random) if isinstance(duration, Spread) else duration


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """What the pretend Twilio is like. Durations are seconds; chances are from 0 to 1.

    `senders` are the numbers that are ours and `services` our Messaging Services, None: any well-formed one;
    `service_senders` the pool a service picks from. `trial_verified`: None, or the only numbers a trial account may
    text. `former_token` signs what a rule wants signed with a token of the past.

    A sender's queue is drained in order at `segments_per_second` (0: no limit), or at the pace `sender_paces` names for
    it; with more than `longest_queue` seconds of work it is full. From there: `sent_after` its turn a text is sent, for
    the last `sending_for` of which it shows as `sending`; `delivered_after` that comes the final word, except for the
    share `unreceipted`. `created_after` is how long the answer to a create takes; the message is made at its beginning.
    From its final word on a message shows its price, `price_per_segment` for each segment; 0: none.

    Inbound texts go to `inbound_url`; where that call is lost, once to `fallback_url`, or else the TwiML Bin
    `fallback_twiml`, which Twilio itself keeps, is done. After that a text is in the list only.

    Words that end texts, begin them and ask for help: Twilio heeds and answers its own. With `advanced_opt_out` it
    heeds the three sets of words instead, in capitals, says `OptOutType` in inbound calls, and answers with what
    `answers` has for the word or for its kind (STOP, START, HELP), if that is there; an empty answer is none. Without
    `default_opt_out` it heeds none. On a toll-free number the network's words and answers stay, but for HELP's.
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
    price_per_segment: float = 0.0
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
        """As slow and as patchy as the real one is taken to be (docs/twilio.md 4, 10.5): a 10DLC number of low
        volume.
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
        """These with what a JSON object states; a spread duration is {"median", "p99", "longest"}.

        Raises ValueError with the key and what is wrong with it. Account, token and key stay as they are.
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


_DURATION = (_duration, "seconds, or an object with median, p99 and perhaps longest")
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
        "an object: what Twilio answers, by word or by STOP, START, HELP",
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
