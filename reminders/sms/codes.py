"""What Twilio's error codes mean, what the service does about each, and what a person can do (docs/twilio.md 3).

The knowledge is data in codes.toml; only it decides what a code leads to. Twilio splits and refines its codes, so an
unknown one has an honest entry too.
"""

import functools
import importlib.resources
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Literal, get_args

from reminders.plans import to_instant, to_wall

Class = Literal["retry", "number", "opted_out", "account", "sender", "volume", "message", "unknown"]
Number = Literal["bad", "opted_out"]
Who = Literal["no one", "coordinator", "ops"]


@dataclass(frozen=True, slots=True)
class Code:
    """One error code, explained to the reader of the delivery log, and what it leads to.

    `class_` is a word for people; nothing depends on it. `number` is what the code says about the phone number. The
    sender rests for `rests_sender` seconds, or not at all if None. `pages_ops` opens a task for ops until the sender
    works again. `our_fault` counts a refusal against the status light "Twilio's answers". Without `spends_try` an
    attempt does not count as one of the text's tries.

    `retry_after` is the number of seconds before the next try, None for no automatic retry. `tries` is the total number
    of tries, including the first; None means no limit while the window is open. A daily limit `resumes` at a time of
    day instead.
    """

    code: int
    class_: Class
    meaning: str
    we_do: str
    you_do: str
    who: Who
    retry_after: int | None = None
    tries: int | None = None
    resumes: Literal["midnight_pacific"] | None = None
    number: Number | None = None
    rests_sender: int | None = None
    pages_ops: bool = False
    our_fault: bool = False
    spends_try: bool = True

    @property
    def docs(self) -> str | None:
        """Twilio's page about the code; None for 0, which is our own code."""
        return f"https://www.twilio.com/docs/api/errors/{self.code}" if self.code else None


def again_at(code: Code, tried: int, now: datetime) -> datetime | None:
    """When a text with this code may be tried again after `tried` spent tries; None for no automatic retry."""
    if code.retry_after is None or (code.tries is not None and tried >= code.tries):
        return None
    if code.resumes == "midnight_pacific":
        wall = to_wall(now, "America/Los_Angeles")
        return to_instant(datetime.combine(wall.date() + timedelta(days=1), time(0)), "America/Los_Angeles")
    return now + timedelta(seconds=code.retry_after)


def tries_spent(attempts: Sequence[tuple[str | None, int | None]]) -> int:
    """How many of a text's tries these attempts spent; each is its answer and its error code.

    A refusal with code 0 means that nothing reached Twilio. A text accepted without a code spent its try.
    """
    return sum(look_up(code or 0).spends_try if code or answer == "refused" else True for answer, code in attempts)


def look_up(code: int) -> Code:
    """The entry for a code; 0 is "no connection".

    An unknown code is never retried, and a person must look at it: 3xxxx comes from the networks and concerns one text;
    any other code means that Twilio refused the text (docs/twilio.md 3).
    """
    return _known().get(code) or Code(
        code=code,
        class_="unknown",
        meaning=(
            "The text was not delivered, for a reason we do not know yet."
            if 30_000 <= code <= 39_999
            else "Twilio did not take the text, for a reason we do not know yet."
        ),
        we_do="It is not tried again.",
        you_do="Follow the link to Twilio's page about the code; call the person if the visit is near.",
        who="coordinator" if 30_000 <= code <= 39_999 else "ops",
    )


def is_known(code: int) -> bool:
    """Whether codes.toml has an entry for the code."""
    return code in _known()


@functools.cache
def _known() -> dict[int, Code]:
    data = importlib.resources.files(__package__).joinpath("codes.toml").read_text(encoding="utf-8")
    return _read(tomllib.loads(data))


def _read(data: dict[str, Any]) -> dict[int, Code]:
    """The entries by code. Raises ValueError with the codes whose entry does not follow the head of the file."""
    known: dict[int, Code] = {}
    for entry in data["entry"]:
        fields = {"class_" if name == "class" else name: value for name, value in entry.items() if name != "codes"}
        for number in entry["codes"]:
            try:
                code = Code(code=number, **fields)
            except TypeError as problem:
                raise ValueError(f"codes.toml: {number}: {problem}") from None
            if number in known or not _is_sound(code):
                raise ValueError(f"codes.toml: {number}: listed twice, or has an invalid value")
            known[number] = code
    return known


def _is_sound(code: Code) -> bool:
    words = (code.meaning, code.we_do, code.you_do)
    return (
        code.class_ in get_args(Class)
        and code.who in get_args(Who)
        and all(isinstance(text, str) and text[:1].isupper() and text.endswith(".") for text in words)
        and code.resumes in {None, "midnight_pacific"}
        and (code.retry_after is None or code.retry_after > 0)
        and (code.tries is None or (code.tries > 1 and code.retry_after is not None and code.spends_try))
        and (code.number is None or (code.number in get_args(Number) and code.retry_after is None))
        and (code.rests_sender is None or (code.rests_sender > 0 and not code.spends_try and code.number is None))
        and (not code.pages_ops or code.rests_sender is not None)
        and all(isinstance(flag, bool) for flag in (code.pages_ops, code.our_fault, code.spends_try))
    )
