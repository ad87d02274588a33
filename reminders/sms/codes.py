"""What Twilio's error codes mean, all that the service does about each, and what a person can do (docs/twilio.md 3).

The knowledge is data, in codes.toml; nothing else says what a code leads to. Twilio splits and refines its codes, so an
unknown one has an honest answer too.
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
Who = Literal["nobody", "coordinator", "ops"]


@dataclass(frozen=True, slots=True)
class Code:
    """One error code, explained to the person who reads the delivery log, and what it leads to.

    `class_` is a word for people; nothing is decided by it. `number` is what the code says of the phone number. The
    sender rests for `rests_sender` seconds, None if it does not; `pages_ops` opens a task for ops until it works again.
    `our_fault` counts a refusal in the light of Twilio's answers. An attempt that met a code without `spends_try` is
    none of the text's tries.

    `retry_after` are the seconds before the text may be tried again, None if never by itself; `tries` is how often it
    may be tried in all, the first time included, None while its window is open. A daily limit `resumes` at a time of
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
        """Twilio's page about the code; None for 0, which is our own."""
        return f"https://www.twilio.com/docs/api/errors/{self.code}" if self.code else None


def again_at(code: Code, tried: int, now: datetime) -> datetime | None:
    """When a text that met this code may be tried again, `tried` tries being spent; None for never by itself."""
    if code.retry_after is None or (code.tries is not None and tried >= code.tries):
        return None
    if code.resumes == "midnight_pacific":
        wall = to_wall(now, "America/Los_Angeles")
        return to_instant(datetime.combine(wall.date() + timedelta(days=1), time(0)), "America/Los_Angeles")
    return now + timedelta(seconds=code.retry_after)


def tries_spent(attempts: Sequence[tuple[str | None, int | None]]) -> int:
    """How many of a text's tries are spent by these attempts, each its answer and its error code.

    A refusal with code 0 carried nothing to Twilio. A text that Twilio took and that met no code spent its try.
    """
    return sum(look_up(code or 0).spends_try if code or answer == "refused" else True for answer, code in attempts)


def look_up(code: int) -> Code:
    """The entry for a code; 0 is "no connection".

    An unknown code is never retried and always for a person to look at: 3xxxx comes from the networks and speaks of one
    text, anything else is Twilio refusing to take it (docs/twilio.md 3).
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
    """Whether there is an entry of our own for a code."""
    return code in _known()


@functools.cache
def _known() -> dict[int, Code]:
    data = importlib.resources.files(__package__).joinpath("codes.toml").read_text(encoding="utf-8")
    return _read(tomllib.loads(data))


def _read(data: dict[str, Any]) -> dict[int, Code]:
    """The entries by code. Raises ValueError naming the codes whose entry is not as the head of the file says."""
    known: dict[int, Code] = {}
    for entry in data["entry"]:
        fields = {"class_" if name == "class" else name: value for name, value in entry.items() if name != "codes"}
        for number in entry["codes"]:
            try:
                code = Code(code=number, **fields)
            except TypeError as problem:
                raise ValueError(f"codes.toml: {number}: {problem}") from None
            if number in known or not _is_sound(code):
                raise ValueError(f"codes.toml: {number}: there twice, or a value that cannot be")
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
