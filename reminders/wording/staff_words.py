"""How staff reads what a row says: states, reasons, kinds and times in words. No text to a patient is made of these."""

from datetime import date, datetime

from reminders.plans import to_wall
from reminders.wording import house_style

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


KINDS = {
    "therapy_individual": "Therapy, one to one",
    "therapy_group": "Group therapy",
    "group_education": "Education group",
    "support_meeting": "Support meeting",
    "family_session": "Family session",
    "psychiatry": "Psychiatry",
    "check_up": "Check-up",
    "peer_mentor": "Peer mentor",
    "house_meeting": "House meeting",
    "wellness": "Wellness",
    "vocational": "Work and training",
}
"""Kinds of visit as staff see them; no text ever says one."""


MODES = {"in_person": "in person", "phone": "by phone", "video": "by video"}
"""How a visit happens, as staff see it."""


CATEGORIES = {
    "appointments": "appointments",
    "meetings": "support and house meetings",
    "wellness": "wellness",
    "checkins": "check-ins",
    "family": "family sessions, to people close to them",
}


HELD = {
    "crisis": "Held: someone may be in danger. Phone before the visit, or let the text go (reminders tasks).",
    "backlog": "Held since an outage: a person says whether it still goes (reminders backlog).",
    "restored": "Held since a restore: it may have gone after the backup was made. Twilio is asked; if it cannot tell,"
    " a person decides (reminders restored).",
    "unreadable": "Held: what is stored of it cannot be read. See reminders doctor.",
}


VISITS = {
    "therapy_individual": "individual visit",
    "therapy_group": "group",
    "group_education": "education group",
    "support_meeting": "support meeting",
    "family_session": "family session",
    "psychiatry": "psychiatry",
    "check_up": "check-up",
    "peer_mentor": "peer mentor",
    "house_meeting": "house meeting",
    "wellness": "wellness",
    "vocational": "vocational",
}
"""Kinds of visit, as staff speaks of them. No text does."""


MEANINGS = {
    "overdose": "May be an overdose",
    "crisis": "May be in danger",
    "stop": "STOP",
    "stop_asked": "Wants no more texts",
    "possible": "May be danger",
    "reaction": "A reaction",
    "wrong_number": "Wrong number",
    "slip": "Writes of use",
    "intent": "A hard moment",
    "help": "HELP",
    "change": "Wants another time",
    "confirm": "Confirms",
    "yes": "Says yes",
    "who": "Asks who we are",
    "start": "START",
    "other": "Needs reading",
    "illegible": "Not to be read any more",
}
"""What a reply was taken to mean, by rules that miss things: a hint for the person who reads it."""


OUTCOMES = {
    "done": "Done",
    "reached": "Reached them",
    "not_reached": "Not reached",
    "rebooked": "Found a new time",
    "not_needed": "Not needed",
    "welfare_check": "A welfare check was asked for",
    "handed_over": "Handed over: someone is with them",
    "false_alarm": "False alarm",
    "released": "Let go",
    "dropped": "Dropped",
    "over": "Over by itself",
}
"""How a task may end."""


_WHICH = {
    "welcome": "Welcome",
    "moved": "Notice: moved",
    "moved_from": "Notice: moved",
    "moved_several": "Notice: moved",
    "called_off_several": "Notice: called off",
    "closed_several": "Notice: closed on those days",
    "changed": "Notice: several visits have changed",
    "called_off": "Notice: called off",
    "closed": "Notice: closed that day",
    "added": "Notice: added",
    "missed": "After a missed visit",
}


def which_text(class_: str, key: str, wording: str | None, at: datetime, zone: str) -> str:
    """Which of its texts a text is, in a few words: `The day before`, `The same day`, `Notice: moved`.

    A reminder's label says when it goes: `at`, on the wall clock of its reader's `zone`, against the day of its visits.
    """
    if class_ != "reminder":
        plain = {"notice": "Notice", "answer": "Answer", "welcome": "Welcome", "staff": "Typed by staff"}
        return _WHICH.get(wording or "", plain.get(class_, class_.capitalize()))
    words = "the week ahead" if _is_digest(key) else _days_before(key, at, zone)
    return words[:1].upper() + words[1:]


def _is_digest(key: str) -> bool:
    return key.startswith("week:")


def _days_before(key: str, at: datetime, zone: str) -> str:
    """How many days before the day of its visits, which stands in its key, a reminder goes."""
    days = (date.fromisoformat(key.split(":", 2)[1]) - to_wall(at, zone).date()).days
    return {0: "the same day", 1: "the day before"}.get(days, f"{days} days before")


def lead_words(class_: str, key: str, at: datetime, zone: str) -> str:
    """Why a text goes when it goes: `the day before, at 5:00 pm`, from its window not from the lead that asked for it.

    `at` is when its window opens, `zone` its reader's.
    """
    if class_ != "reminder":
        return {"welcome": "the welcome", "notice": "news of a change", "staff": "typed by staff"}.get(class_, class_)
    if _is_digest(key):
        return "the week ahead, in one text"
    return f"{_days_before(key, at, zone)}, at {house_style.hour(to_wall(at, zone))}"
