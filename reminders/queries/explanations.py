"""What became of a text, in a sentence a coordinator can repeat to a patient. It never says more than is known:
handed over is not delivered, delivered is not read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from reminders.lifecycle import RANK, SHOWS_ITS_CODE, SHOWS_WHAT_IT_MET, TO_GO
from reminders.queries.texts import Logged, LoggedAttempt, Tried
from reminders.sms import codes
from reminders.store.tasks import Event
from reminders.task_kinds import Happened
from reminders.wording.house_style import clock_time
from reminders.wording.staff_words import (
    HELD,
    REASONS,
    STATES,
)
from reminders.wording.task_words import CAUSES, DETAILS, HAPPENED, LOST, UNREACHED


def happened(event: Event) -> str:
    """What one line of a task's story says, without what a person wrote."""
    if event.what == Happened.ANSWERED and event.text_id is None:
        return "Not answered: too late for it to be of use"
    words, more = HAPPENED.get(event.what, event.what), detail(event)
    if more is not None and event.what == Happened.CLOSED:
        more = more.replace("_", " ")
    return f"{words} {more}" if more else words


def detail(event: Event) -> str | None:
    """The values of a line of a task's story in words; None where it has none."""
    values: dict[str, Any] = {
        name: datetime.fromisoformat(value) if name.endswith("_at") else value for name, value in event.values.items()
    }
    template: str | None = DETAILS.get(event.what)
    if template is None and not values:
        return None
    match event.what, values:
        case _, {"said": str(said)} | {"outcome": str(said)}:
            return said
        case _, {"cause": str(cause)}:
            template = CAUSES.get(cause, cause)
        case Happened.ANSWER_LOST, {"state": state}:
            template = LOST.get(state, UNREACHED) + (" (code {code})" if "code" in values else "")
        case Happened.NOT_SENT, {"reason": reason}:
            values["reason"] = REASONS.get(reason, reason)
        case Happened.STOPPED, {"code": int(code)}:
            values["meaning"] = codes.look_up(code).meaning
    if template is None or ("{" in template and not values):
        return None
    return template.format_map(values)


def became(event: Event) -> str | None:
    """What became of the text of ours that a line of a task's story is about, so far as it is known."""
    if event.text_state is None:
        return None
    said = STATES[event.text_state].lower()
    if event.text_state == "suppressed":
        return f"{said}: {REASONS.get(event.text_reason or '', event.text_reason or 'no reason given')}"
    if event.text_state in SHOWS_ITS_CODE and event.text_code:
        if codes.look_up(event.text_code).number == "opted_out":
            return f"refused: the number sent STOP ({event.text_code})"
        return f"{said}: {codes.look_up(event.text_code).meaning.rstrip('.')} ({event.text_code})"
    return said


def tell(text: Logged, now: datetime | None = None) -> str:
    """One honest sentence: what became of this text; without the year of `now` in its times."""
    last = text.attempts[-1] if text.attempts else None
    zone = text.zone
    if text.held is not None:
        return HELD.get(text.held, "Held for a person.")
    if text.state == "scheduled":
        again = f" The last try: {_met(last)}." if last is not None and last.answer else ""
        return f"Goes {clock_time(text.due_at, zone, now)}.{again}"
    if text.state == "suppressed":
        return f"Does not go: {REASONS.get(text.reason or '', text.reason or 'no reason given')}."
    if text.state == "cancelled":
        return "Taken back before it went: the visit was changed or called off."
    if text.state == "expired":
        return f"Could not be handed over before {clock_time(text.closes_at, zone, now)}. Phone the patient."
    if last is None:
        return STATES[text.state] + "."
    started = clock_time(last.started_at, zone, now)
    handed = f"Handed over {started}"
    heard = clock_time(last.status_at, zone, now) if last.status_at else ""
    return {
        "sending": f"On its way to the phone network since {started}.",
        "sent": f"{handed}; the phone network has not said yet whether it arrived.",
        "delivered": f"{handed}; the phone network confirmed delivery {heard}. That is no proof of reading.",
        "undelivered": f"Not delivered: {_met(last)}.",
        "unconfirmed": f"{handed}; the phone network never said whether it arrived.",
        "uncertain": f"Tried {started}; no answer came back, so it may or may not have gone.",
    }[text.state]


def advice(text: Logged) -> tuple[str, str] | None:
    """What we do about a text that was not delivered, and what a person can do; None where there is nothing to say."""
    last = text.attempts[-1] if text.attempts else None
    if last is None or not last.error_code or text.state not in SHOWS_ITS_CODE:
        return None
    code = codes.look_up(last.error_code)
    if text.state == "undelivered" and code.retry_after is not None:
        return "It is not tried again: its moment has passed, or it was tried often enough.", code.you_do
    return code.we_do, code.you_do


def _met(attempt: LoggedAttempt | None) -> str:
    if attempt is None:
        return "nothing is known"
    if attempt.error_code:
        code = codes.look_up(attempt.error_code)
        return f"{code.meaning.rstrip('.')} (code {attempt.error_code})"
    return attempt.what or "refused"


@dataclass(frozen=True, slots=True)
class Explained:
    """Why a text is where it is: outcome → plain reason → code, and what it means, what we do, what you can do, who."""

    outcome: str
    reason: str | None
    code: int | None
    means: str
    we_do: str
    you_do: str
    who: str

    @property
    def docs(self) -> str | None:
        """Twilio's page about the code."""
        return codes.look_up(self.code).docs if self.code else None

    @property
    def is_known(self) -> bool:
        """Whether we have advice of our own for the code."""
        return not self.code or codes.is_known(self.code)


WHO = {
    "no one": "No one need do anything.",
    "coordinator": "The coordinator.",
    "ops": "Whoever runs the service (ops).",
}

_STATES_EXPLAINED = {
    "scheduled": ("It waits for its window.", "We hand it over once the window opens.", "Nothing.", "no one"),
    "sending": ("We are handing it over now.", "We wait for Twilio's answer.", "Nothing.", "no one"),
    "sent": (
        "Twilio took it. The phone network has not said yet whether it arrived.",
        "We wait for its word, and ask after it within the hour.",
        "Nothing yet.",
        "no one",
    ),
    "delivered": (
        "The phone network says that it arrived on the phone. That is no proof of reading.",
        "Nothing more.",
        "Nothing.",
        "no one",
    ),
    "unconfirmed": (
        "Twilio took it, and the phone network never said whether it arrived. Most such texts do arrive.",
        "We asked after it for a day, and stopped.",
        "Phone if the visit matters and nothing was heard from the person.",
        "coordinator",
    ),
    "uncertain": (
        "No answer came back when we handed it over: it may have gone or not.",
        "We look for it in Twilio's list. It is sent once more only if it is certainly not there.",
        "Phone about the visit if it is near.",
        "coordinator",
    ),
    "undelivered": ("It did not arrive.", "It is not tried again by itself.", "Phone about the visit.", "coordinator"),
    "expired": (
        "It could not be handed over while it was of use.",
        "It is not sent any more: too late is worse than not at all.",
        "Phone the patient. Look at Health for why nothing went.",
        "coordinator",
    ),
    "cancelled": ("The visit was moved or called off, so it was taken back.", "Nothing more.", "Nothing.", "no one"),
}

_REASONS_EXPLAINED = {
    "no_consent": ("Ask for consent and record it; the texts ahead are planned again by themselves.", "coordinator"),
    "opted_out": ("Only START from that phone brings texts back. Phone instead.", "coordinator"),
    "unverified": ("Read the welcome text aloud together, or wait for its Y.", "coordinator"),
    "number_bad": ("Ask for the right number and take consent for it.", "coordinator"),
    "quiet_hours": ("Phone, if nothing else reminds of the visit.", "coordinator"),
    "cap_day": ("Nothing, as long as another text that day says what matters.", "no one"),
    "cap_week": ("Nothing. A patient who wants more texts can agree to more.", "no one"),
    "closed": ("See whether the visit takes place at all.", "coordinator"),
    "too_late": ("Phone, if nothing else reminds of the visit.", "coordinator"),
    "merged_into": ("Nothing: the other text says it.", "no one"),
    "not_booked": ("Book the visit, and its texts are planned.", "coordinator"),
    "category_off": ("Nothing. Ask whether they want this sort of text.", "no one"),
    "paused": ("Resume the plan when it goes on.", "coordinator"),
    "no_wording": ("Phone, and tell whoever looks after the wording.", "ops"),
    "lint": ("Mend the site's alias or what was typed: a word in it tells.", "ops"),
}


def explain(text: Logged) -> Explained:
    """What became of a text, why, and what is to be done about it by whom."""
    last = text.attempts[-1] if text.attempts else None
    outcome = STATES[text.state]
    if text.held is not None:
        means, _, to_do = HELD.get(text.held, "Held for a person.").partition(". ")
        return Explained(
            "Held", None, None, f"{means.rstrip('.')}.", "We wait.", to_do or "See Today.", WHO["coordinator"]
        )
    if text.state == "suppressed":
        reason = REASONS.get(text.reason or "", text.reason or "no reason given")
        you_do, who = _REASONS_EXPLAINED[text.reason or ""]
        we_do = "It does not go. Should that change in time, it is planned again by itself."
        return Explained(outcome, _sentence(reason), None, f"It does not go because {reason}.", we_do, you_do, WHO[who])
    code = last.error_code if last is not None and text.state in SHOWS_ITS_CODE else None
    if code:
        known = codes.look_up(code)
        we_do, you_do = advice(text) or (known.we_do, known.you_do)
        return Explained(outcome, known.meaning, code, known.meaning, we_do, you_do, WHO[known.who])
    means, we_do, you_do, who = _STATES_EXPLAINED[text.state]
    met = last.what if last is not None and text.state in SHOWS_WHAT_IT_MET else None
    return Explained(outcome, _sentence(met) if met else None, None, means, we_do, you_do, WHO[who])


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


@dataclass(frozen=True, slots=True)
class Step:
    """One moment in a text's life: what happened, and more about it. `mood` is good, bad, next or nothing."""

    at: datetime
    what: str
    more: str = ""
    mood: str = ""


LATE = timedelta(minutes=10)


def steps(text: Logged, tried: Sequence[Tried], planned_at: datetime) -> list[Step]:
    """A text's life in order: planned, moved, each try and what was heard of it, and what comes next."""
    found = [Step(planned_at, "Planned", f"to go from {clock_time(text.opens_at, text.zone)}")]
    if not tried and text.due_at > text.opens_at and text.state in TO_GO:
        found.append(
            Step(
                text.opens_at, "Moved", f"to {clock_time(text.due_at, text.zone)}, because of the reader's quiet hours"
            )
        )
    for one in tried:
        again = f"try {one.number}" if one.number > 1 else "first try"
        found.append(Step(one.shown.started_at, "Claimed and handed over", f"{again}; on record before the call"))
        if one.answered_at is not None:
            found.append(_answer(one))
        furthest = -1
        for heard in one.heard:
            rank = RANK.get(heard.status, -1)
            notes = [f"told by {_BY[heard.by]}"]
            if rank < furthest:
                notes.append("out of order: something further had been heard already")
            elif heard.at - (one.answered_at or one.shown.started_at) > LATE:
                notes.append("late")
            furthest = max(furthest, rank)
            code = f", code {heard.error_code}" if heard.error_code else ""
            mood = {"delivered": "good", "read": "good", "undelivered": "bad", "failed": "bad"}.get(heard.status, "")
            found.append(Step(heard.at, f"Twilio says {heard.status}{code}", "; ".join(notes), mood))
    if text.state == "scheduled":
        when = "Next try" if tried else "Goes"
        why = f"waits because of code {text.waits_code}" if text.waits_code else ""
        found.append(Step(text.due_at, when, why or f"of use until {clock_time(text.closes_at, text.zone)}", "next"))
    elif text.state == "expired":
        found.append(Step(text.closes_at, "Its window shut", "it was not handed over in time", "bad"))
    return sorted(found, key=lambda step: step.at)


_BY = {"callback": "a callback", "asking": "our asking", "look-up": "a look-up"}


def _answer(one: Tried) -> Step:
    assert one.answered_at is not None
    code = f", code {one.shown.error_code}" if one.shown.answer == "refused" and one.shown.error_code else ""
    what = {
        "accepted": Step(one.answered_at, "Twilio took it", "handed over; that is not delivered"),
        "refused": Step(one.answered_at, f"Twilio did not take it{code}", one.shown.what or "", "bad"),
    }
    unknown = Step(one.answered_at, "No answer came back", one.shown.what or "it may have gone or not", "bad")
    return what.get(one.shown.answer or "", unknown)
