"""What a person may have to do: one row for each kind of task, and what may happen in its story. Pure data.

A row has the kind's words, how urgent it is and when it is due, what its key names, how it may end, and what closes it
by itself. Whoever opens a task says only its kind and what it is about.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TypedDict, Unpack

from reminders import plans

AWAKE = (time(9), time(20))  # waking hours, weekends included


def waking(now: datetime, zone: str, spell: timedelta) -> datetime:
    """The instant at which `spell` of waking hours (9 to 20 o'clock in `zone`) has passed since `now`."""
    wall, left = plans.to_wall(now, zone), spell
    while True:
        opens, shuts = (datetime.combine(wall.date(), at) for at in AWAKE)
        wall = max(wall, opens)
        if wall < shuts:
            if wall + left <= shuts:
                return plans.to_instant(wall + left, zone).astimezone(UTC)
            left -= shuts - wall
        wall = datetime.combine(wall.date() + timedelta(days=1), AWAKE[0])


@dataclass(frozen=True, slots=True)
class Due:
    """When a task is due: the first of what is set, and never in the past.

    `waking_hours` pass only while people are awake, `within` passes by the clock; `at` is a time of the site's clock,
    `days` on. `before` is how long before a visit that it is about.
    """

    waking_hours: int | None = None
    within: timedelta | None = None
    at: time | None = None
    days: int = 0
    before: timedelta | None = None

    def by(
        self, now: datetime, zone: str, *, visits: Iterable[datetime] = (), until: datetime | None = None
    ) -> datetime:
        """The instant for a task that is opened `now`, about `visits`, and of no use after `until`."""
        ends = [] if until is None else [until]
        if self.waking_hours is not None:
            ends.append(waking(now, zone, timedelta(hours=self.waking_hours)))
        if self.within is not None:
            ends.append(now + self.within)
        if self.at is not None:
            day = plans.to_wall(now, zone).date() + timedelta(days=self.days)
            ends.append(plans.to_instant(datetime.combine(day, self.at), zone).astimezone(UTC))
        if self.before is not None:
            ends += [visit - self.before for visit in visits]
        return max(now, min(ends))


class Happened(StrEnum):
    """What may happen in the story of a task; the values are stored."""

    OPENED = "opened"
    TEXT_CAME = "a text came"
    ANSWERED = "answered"
    ANSWERED_BEFORE = "answered within six hours"
    ANSWERED_ENOUGH = "not answered again so soon"
    ANSWER_LOST = "answer lost"
    NOT_ACTED_ON = "not acted on by itself"
    SENT_ON = "sent on its way"
    NOT_SENT = "not sent"
    CANNOT_BE_PROCESSED = "cannot be processed"
    PAGED = "paged"
    PAGE_NOT_TAKEN = "page not taken"
    NO_ONE_ON_CALL = "no one is on call"
    OVERDUE = "overdue"
    ESCALATED = "escalated"
    TAKEN = "taken"
    ASKED_FOR = "asked for"
    NOTE = "note"
    DISCLOSED = "disclosed"
    HELD = "held"
    STOPPED = "stopped"
    RESTORED = "restored"
    LOOKED_UP = "looked up"
    UNKNOWN_TEXT = "no one knows of this text"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a task closes though no one closed it, and the outcome that it has then."""

    code: str
    outcome: str


START_CAME = Cause("start_came", "not_needed")
CONFIRMED = Cause("confirmed_by_text", "done")
VERIFIED = Cause("verified", "done")
VERIFIED_BY_TEXT = Cause("verified_by_text", "done")
VERIFIED_BY_STAFF = Cause("verified_by_staff", "done")
CONSENT_TAKEN = Cause("consent_taken", "done")
NEW_NUMBER = Cause("new_number", "done")
RIGHT_NUMBER = Cause("right_after_all", "not_needed")
TAKEN_BACK = Cause("change_taken_back", "not_needed")
HANDED_OVER = Cause("text_handed_over", "done")
MARK_PUT_RIGHT = Cause("mark_put_right", "not_needed")
ALL_MARKED = Cause("all_marked", "done")
WELL_AGAIN = Cause("well_again", "done")
TEXTS_GO_AGAIN = Cause("texts_go_again", "not_needed")
ALL_LOOKED_UP = Cause("all_looked_up", "not_needed")
# These belong to no kind: a person decides, or everything that is about a patient ends.
RELEASED = Cause("released", "released")
DROPPED = Cause("dropped", "dropped")
PLAN_ENDED = Cause("plan_ended", "not_needed")
ERASED = Cause("erased", "not_needed")


class About(TypedDict, total=False):
    """What a task is about: rows that it points to, and what else its key names."""

    patient_id: int | None
    number_id: int | None
    plan_id: int | None
    appointment_id: int | None
    text_id: int | None
    # Named by a key alone.
    at_site: int | None
    recipient_id: int | None
    sender_id: int
    day: date | int | str
    since: datetime
    job: str
    what: str
    row: int | str


_AT_SITE = "{number_id}:at:{at_site}"
_BY_NUMBER = ("{number_id}",)
_BY_NUMBER_OR_SITE = (*_BY_NUMBER, _AT_SITE)
ANY = ("done", "reached", "not_reached", "rebooked", "not_needed")
_SOON = Due(waking_hours=4)
_BEFORE_IT = Due(waking_hours=4, before=timedelta(hours=1))
_WELL_BEFORE_IT = Due(waking_hours=4, before=timedelta(hours=2))
_WITHIN_AN_HOUR = Due(within=timedelta(minutes=60))
_AT_ONCE = Due(within=timedelta(minutes=30))


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task: what happened, what to do, and all that follows from the kind alone.

    `keys` are the forms of its key, the natural name of what it is about; of those of which everything is known the
    last one is taken. A task that is opened as `grave` is urgent, and due by that instead. One to be `read` is about
    what someone wrote: more of it makes the task unheard again, and those on call are called about it. One that `calls`
    makes someone call the patient, who can speak of any visit then. One that `outlives` stays when its patient died.
    """

    name: str
    title: str
    to_do: str
    keys: tuple[str, ...] = _BY_NUMBER
    urgency: str = "soon"
    due: Due = _SOON
    grave: Due | None = None
    outcomes: tuple[str, ...] = ANY
    closed_by: tuple[Cause, ...] = ()
    read: bool = False
    calls: bool = False
    outlives: bool = False

    def key(self, **about: Unpack[About]) -> str:
        """The key of the task of this kind about that. Raises KeyError where too little of it is known."""
        known = {name: value for name, value in about.items() if value is not None}
        form = next((form for form in reversed(self.keys[1:]) if _names(form) <= known.keys()), self.keys[0])
        return ":".join(filter(None, (self.name, form.format_map(known))))


def _names(form: str) -> set[str]:
    return set(re.findall(r"{(\w+)", form))


CRISIS = Kind(
    "crisis",
    "Someone may be in danger",
    "Call them now, whatever the hour. Take the words seriously; ask openly. In danger now: 911. Stay until they "
    "are with someone. Their texts are held until this is closed.",
    urgency="urgent",
    due=Due(within=timedelta(minutes=15)),
    outcomes=("reached", "welfare_check", "handed_over", "false_alarm"),
    outlives=True,
)
POSSIBLE = Kind(
    "possible",
    "A reply may mean danger",
    "Read it now. If it may be danger, call them, whatever the hour; in danger now: 911. Else answer it.",
    urgency="urgent",
    due=_WITHIN_AN_HOUR,
    read=True,
    outlives=True,
)
SLIP = Kind(
    "slip",
    "Someone writes of use, or of a hard moment",
    "Call them, without blame. Ask what would help today, and whether they are safe.",
    grave=_WITHIN_AN_HOUR,
    outlives=True,
)
REPLY = Kind(
    "reply",
    "A reply needs a person",
    "Read it and answer, by phone or by a text.",
    read=True,
    outlives=True,
)
STRANGER = Kind(
    "stranger",
    "A text from a number we do not know",
    "Read it. Say nothing of anyone: not even that someone is known here (L-44).",
    outlives=True,
)
CHANGE = Kind(
    "change",
    "A patient asks for another time",
    "Call before the visit. It stands, and its reminders go, until you move it or call it off.",
    due=_BEFORE_IT,
    read=True,
)
STOP_ASKED = Kind(
    "stop_asked",
    "Texts were stopped at a person's own words",
    "Call once, by hand, and make sure that this is what they wanted. Only START from that phone reopens.",
    keys=_BY_NUMBER_OR_SITE,
    closed_by=(START_CAME,),
    calls=True,
)
STOP_EARLY = Kind(
    "stop_early",
    "Texts were stopped within 30 days of discharge",
    "Call once, by hand: is everything all right, and is there a better way to reach them? No texts.",
    closed_by=(START_CAME,),
    calls=True,
)
VISIT_OR_TEXTS = Kind(
    "visit_or_texts",
    "CANCEL or END came soon after a reminder",
    "Call: did they mean the visit, or the texts? The texts are stopped; the visit stands.",
    due=_BEFORE_IT,
    closed_by=(START_CAME,),
    calls=True,
)
WHO = Kind(
    "who",
    "Someone asks who we are",
    "Find out whether the number still is theirs. Name no one (L-44).",
    closed_by=(NEW_NUMBER,),
    read=True,
    outlives=True,
)
WRONG_NUMBER = Kind(
    "wrong_number",
    "We have a wrong number",
    "Find the right one, and take consent for it. The old one is not texted again.",
    keys=_BY_NUMBER_OR_SITE,
    closed_by=(NEW_NUMBER, RIGHT_NUMBER),
    calls=True,
    outlives=True,
)
AFTER_STOP = Kind(
    "after_stop",
    "A reply came after STOP",
    "Read it; answer by phone. We may not text: only START from that phone reopens.",
    due=_BEFORE_IT,
    closed_by=(START_CAME,),
    read=True,
)
SUPERVISOR = Kind(
    "supervisor",
    "A text from the phone of a patient who died",
    "For the supervisor. Nothing was answered, and nothing will be sent.",
    grave=_SOON,
    outlives=True,
)
HELD_TEXT = Kind(
    "held_text",
    "A reminder is held: phone before the visit",
    "Its patient may be in danger, so it did not go. Tell them of the visit by phone, or send the text now.",
    keys=("{text_id}",),
    due=Due(before=timedelta(hours=1)),
    closed_by=(HANDED_OVER,),
)
TELL_CHANGE = Kind(
    "tell_change",
    "A change must be told by phone",
    "The visit was moved or is off, and no text can say so in time. Call.",
    keys=("{recipient_id}:{appointment_id}",),
    closed_by=(TAKEN_BACK,),
    calls=True,
)
RED = Kind(
    "red",
    "A visit that no text reminds of",
    "Call before the visit: it is a first one, or close.",
    keys=("{patient_id}:{day}",),
    due=_WELL_BEFORE_IT,
)
UNCONFIRMED_FIRST = Kind(
    "unconfirmed_first",
    "The first visit is not confirmed",
    "Call: will they come? Is there anything in the way?",
    keys=("{appointment_id}",),
    due=_WELL_BEFORE_IT,
    closed_by=(CONFIRMED,),
)
UNVERIFIED = Kind(
    "unverified",
    "A number is not verified",
    "No dated text goes before it is. Read the welcome text aloud together, or send it again.",
    keys=("{recipient_id}:{number_id}",),
    closed_by=(VERIFIED, VERIFIED_BY_TEXT, VERIFIED_BY_STAFF, NEW_NUMBER),
    calls=True,
)
NO_CONSENT = Kind(
    "no_consent",
    "Visits without consent to texts",
    "Ask for consent, or phone about the visits.",
    keys=("{plan_id}", "{plan_id}:{recipient_id}"),
    urgency="normal",
    closed_by=(CONSENT_TAKEN,),
    calls=True,
)
NUMBER_BAD = Kind(
    "number_bad",
    "A number cannot be reached",
    "Ask for the right number and take consent for it. Nothing more is sent to this one.",
    keys=("{number_id}:{since:%Y-%m-%d}", _AT_SITE),
    closed_by=(NEW_NUMBER,),
    calls=True,
)
UNDELIVERED = Kind(
    "undelivered",
    "A text did not arrive",
    "Call about the visit. See the text for what went wrong.",
    keys=("{text_id}",),
    due=_WELL_BEFORE_IT,
    calls=True,
)
MISSED = Kind(
    "missed",
    "A visit was missed",
    "Call today, without blame: is everything all right? Find a new time.",
    keys=("{appointment_id}",),
    closed_by=(MARK_PUT_RIGHT,),
)
TO_MARK = Kind(
    "to_mark",
    "Visits to mark",
    "Say who came: attended, late or missed. Only your mark counts.",
    keys=("{at_site}:{day}",),
    urgency="normal",
    due=Due(at=time(12), days=1),
    closed_by=(ALL_MARKED,),
)
REVIEW = Kind(
    "review",
    "Review the relapse-prevention plan",
    "Go through it together at the next contact (S-5).",
    keys=("{plan_id}:{day}",),
    urgency="normal",
    due=Due(at=time(17)),
)
BACKLOG = Kind(
    "backlog",
    "Texts piled up in an outage and are held",
    "Look at what would go now (reminders backlog), then release it or drop it. What is dropped counts as expired.",
    keys=("",),
    urgency="urgent",
    due=_AT_ONCE,
    outcomes=("released", "dropped", "not_needed"),
)
RESTORED = Kind(
    "restored",
    "The database was restored from a backup",
    "Nothing goes until Twilio was asked what went since the backup; that takes some minutes. Enter again what "
    "was changed since. Of texts that stay held no one knows whether they went: see reminders restored, then "
    "release or drop them.",
    keys=("",),
    urgency="urgent",
    due=_AT_ONCE,
    outcomes=("released", "dropped", "not_needed"),
    closed_by=(ALL_LOOKED_UP,),
)
SENDER_FAULT = Kind(
    "sender_fault",
    "A sender is stopped: no text goes out by it",
    "See the code for what is wrong and mend it with Twilio. Until then phone: reminders calls prints whom, first"
    " visits first.",
    keys=("{sender_id}",),
    urgency="urgent",
    due=_AT_ONCE,
    closed_by=(TEXTS_GO_AGAIN,),
)
STUCK = Kind(
    "stuck",
    "Something cannot be processed",
    "Its line below names the row. Read and do by hand what it says, and tell whoever runs the service: the log "
    "has the cause. Everything else goes on.",
    keys=("{job}:{what}:{row}",),
    outcomes=("done", "not_needed"),
    closed_by=(WELL_AGAIN,),
)
UNCERTAIN = Kind(
    "uncertain",
    "No one knows whether a text went",
    "Call about the visit; Twilio cannot say whether it was taken.",
    keys=("{text_id}",),
    due=_WELL_BEFORE_IT,
    calls=True,
)

KINDS: Mapping[str, Kind] = MappingProxyType(
    {one.name: one for one in list(globals().values()) if isinstance(one, Kind)}
)


def closed_by(cause: Cause) -> list[Kind]:
    """The kinds of tasks that this closes."""
    return [kind for kind in KINDS.values() if cause in kind.closed_by]
