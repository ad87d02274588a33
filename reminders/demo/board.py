"""What the board says about a text."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from rich.text import Text

from reminders import plans
from reminders.demo.scenes import REFS, SCENES, Scene
from reminders.queries.texts import Logged
from reminders.sms import codes
from reminders.wording import staff_words

WORDS = (
    "planned",
    "without word yet",
    "delivered",
    "not delivered",
    "to be tried again",
    "taken back",
    "held",
    "not sent",
)


def in_a_word(text: Logged) -> str:
    """One of WORDS."""
    if text.held is not None:
        return "held"
    if text.state == "scheduled" and text.attempts:
        return "to be tried again"
    return {
        "scheduled": "planned",
        "delivered": "delivered",
        "undelivered": "not delivered",
        "cancelled": "taken back",
        "suppressed": "not sent",
    }.get(text.state, "without word yet")


def shown(rows: Mapping[str, Logged]) -> int:
    """How many scenes have ended as announced."""
    return sum(ref in rows and as_announced(SCENES[place], rows[ref]) for place, ref in enumerate(REFS))


def as_announced(scene: Scene, text: Logged) -> bool:
    """Whether a text has ended as its scene announces."""
    last = text.attempts[-1] if text.attempts else None
    met = {text.reason, text.held, text.waits_code, last.error_code if last else None}
    tries = len(text.attempts) == scene.tries
    return text.state == scene.ends and tries and (scene.because is None or scene.because in met)


def outcome(text: Logged) -> Text:
    """What became of a text, in short; `story.tell` says it in full on the log page."""
    at, first, last = partial(clock_time, text.zone), None, None
    if text.attempts:
        first, last = text.attempts[0], text.attempts[-1]
    if text.held is not None:
        return Text("Held: may be in danger, on-call is paged", "bold red")
    if text.state == "suppressed":
        return Text(f"Not sent: {staff_words.REASONS[text.reason or '']}", "yellow")
    if first is None or last is None:
        said = f"Planned for {at(text.due_at)}" if text.state == "scheduled" else staff_words.STATES[text.state]
        return Text(said, "yellow" if text.state == "cancelled" else "dim")
    if text.state == "scheduled":
        code = f" (code {text.waits_code})" if text.waits_code else ""
        return Text(f"Failed{code}: next try {at(text.due_at)}", "magenta")
    if text.state == "delivered":
        return Text(f"Delivered {at(last.status_at)}{_how(text)}", "green")
    if text.state == "undelivered":
        return Text(f"Not delivered: code {last.error_code}, {_who(last.error_code or 0)}", "red")
    if text.state == "uncertain":
        return Text("No answer came: to be looked up, not repeated", "magenta")
    return Text(f"{staff_words.STATES[text.state]} {at(last.started_at)}, no word yet", "blue")


def _how(text: Logged) -> str:
    """What was unusual about a delivery."""
    first, last = text.attempts[0], text.attempts[-1]
    if first is not last:
        why = f" after code {first.error_code}" if first.error_code else ""
        return f" at try {len(text.attempts)}{why}"
    if last.what:
        return ", found by looking it up"
    took = (last.status_at - last.started_at).total_seconds() if last.status_at else 0
    return f", {took:.0f} s on the way" if took >= 10 else ""


def _who(code: int) -> str:
    return {"opted_out": "opted out", "bad": "no more texts to it"}.get(codes.look_up(code).number or "", "")


def clock_time(zone: str, at: datetime | None) -> str:
    """An instant on the wall clock of a zone; empty for None."""
    return "" if at is None else f"{plans.to_wall(at, zone):%H:%M:%S}"
