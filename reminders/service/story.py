"""What became of a text, in a sentence a coordinator can repeat to a patient. It never says more than is known:
handed over is not delivered, delivered is not read.
"""

from datetime import datetime

from reminders.plans import to_wall
from reminders.sms import codes
from reminders.store.texts import Logged, LoggedAttempt

STATES = {
    "scheduled": "Planned",
    "sending": "Being handed over",
    "sent": "Handed over",
    "delivered": "Delivered",
    "undelivered": "Not delivered",
    "unconfirmed": "No word of delivery",
    "uncertain": "Not known whether it went",
    "expired": "Came too late to send",
    "cancelled": "Taken back",
    "suppressed": "Not sent",
}

CLASSES = {
    "reminder": "Reminder",
    "notice": "Notice of a change",
    "answer": "Answer",
    "welcome": "Welcome",
    "staff": "Written by staff",
}

REASONS = {
    "no_consent": "there is no consent in force",
    "opted_out": "this number has opted out",
    "unverified": "the number is not verified yet",
    "number_bad": "the number cannot be reached",
    "quiet_hours": "only quiet hours were left before the visit",
    "cap_day": "the limit of texts a day is reached",
    "cap_week": "the limit of texts a week is reached",
    "closed": "the site is closed that day",
    "too_late": "its moment had passed already",
    "merged_into": "another text that day says it",
    "not_booked": "the visit is not booked",
    "category_off": "this sort of text was not agreed to",
    "paused": "the plan is paused",
    "no_wording": "there are no words for it in this language that fit one text",
    "lint": "its words could tell on the patient",
}

HELD = {
    "crisis": "Held: somebody may be in danger. Phone before the visit, or let the text go (reminders tasks).",
    "backlog": "Held since an outage: a person says whether it still goes (reminders backlog).",
    "restored": "Held since a restore: it may have gone after the backup was made. Twilio is asked; if it cannot tell,"
    " a person decides (reminders restored).",
    "unreadable": "Held: its personal data does not open. See reminders doctor.",
}


def clock_time(at: datetime, zone: str) -> str:
    """An instant on the wall clock of `zone`, as pages and tables show it."""
    wall = to_wall(at, zone)
    return f"{wall:%a} {wall.day} {wall:%b %Y, %H:%M}"


def tell(text: Logged) -> str:
    """One honest sentence: what became of this text."""
    last = text.attempts[-1] if text.attempts else None
    zone = text.zone
    if text.held is not None:
        return HELD.get(text.held, "Held for a person.")
    if text.state == "scheduled":
        again = f" The last try: {_met(last)}." if last is not None and last.answer else ""
        return f"Goes {clock_time(text.due_at, zone)}.{again}"
    if text.state == "suppressed":
        return f"Does not go: {REASONS.get(text.reason or '', text.reason or 'no reason given')}."
    if text.state == "cancelled":
        return "Taken back before it went: the visit was changed or called off."
    if text.state == "expired":
        return f"Could not be handed over before {clock_time(text.closes_at, zone)}. Phone the patient."
    if last is None:
        return STATES[text.state] + "."
    handed = f"Handed over {clock_time(last.started_at, zone)}"
    heard = clock_time(last.status_at, zone) if last.status_at else ""
    return {
        "sending": f"On its way to the phone network since {clock_time(last.started_at, zone)}.",
        "sent": f"{handed}; the phone network has not said yet whether it arrived.",
        "delivered": f"{handed}; the phone network confirmed delivery {heard}. That is no proof of reading.",
        "undelivered": f"Not delivered: {_met(last)}.",
        "unconfirmed": f"{handed}; the phone network never said whether it arrived.",
        "uncertain": f"Tried {clock_time(last.started_at, zone)}; no answer came back, so it may or may not have gone.",
    }[text.state]


def advice(text: Logged) -> tuple[str, str] | None:
    """What we do about a text that was not delivered, and what a person can do; None where there is nothing to say."""
    last = text.attempts[-1] if text.attempts else None
    if last is None or not last.error_code or text.state not in {"undelivered", "scheduled"}:
        return None
    code = codes.look_up(last.error_code)
    if text.state == "undelivered" and code.class_ == "retry":
        return "It is not tried again: its moment has passed, or it was tried often enough.", code.you_do
    return code.we_do, code.you_do


def _met(attempt: LoggedAttempt | None) -> str:
    if attempt is None:
        return "nothing is known"
    if attempt.error_code:
        code = codes.look_up(attempt.error_code)
        return f"{code.meaning.rstrip('.')} (code {attempt.error_code})"
    return attempt.what or "refused"
