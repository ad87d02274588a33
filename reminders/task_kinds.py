"""What a person may have to do: one row for each kind of task, with its words and how it may end. Pure data."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_DONE = ("done", "reached", "not_reached", "rebooked", "not_needed")


CRISIS_OUTCOMES = ("reached", "welfare_check", "handed_over", "false_alarm")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task: what happened, what to do, and how it may end.

    One of `ops` is a fault of the service: about no patient, and told to the rota of ops.
    """

    title: str
    to_do: str
    outcomes: tuple[str, ...] = _DONE
    ops: bool = False


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "crisis": Kind(
            "Someone may be in danger",
            "Call them now, whatever the hour. Take the words seriously; ask openly. In danger now: 911. Stay until "
            "they are with someone. Their texts are held until this is closed.",
            CRISIS_OUTCOMES,
        ),
        "possible": Kind(
            "A reply may mean danger",
            "Read it now. If it may be danger, call them, whatever the hour; in danger now: 911. Else answer it.",
        ),
        "slip": Kind(
            "Someone writes of use, or of a hard moment",
            "Call them, without blame. Ask what would help today, and whether they are safe.",
        ),
        "reply": Kind("A reply needs a person", "Read it and answer, by phone or by a text."),
        "stranger": Kind(
            "A text from a number we do not know",
            "Read it. Say nothing of anyone: not even that someone is known here (L-44).",
        ),
        "change": Kind(
            "A patient asks for another time",
            "Call before the visit. It stands, and its reminders go, until you move it or call it off.",
        ),
        "stop_asked": Kind(
            "Texts were stopped at a person's own words",
            "Call once, by hand, and make sure that this is what they wanted. Only START from that phone reopens.",
        ),
        "stop_early": Kind(
            "Texts were stopped within 30 days of discharge",
            "Call once, by hand: is everything all right, and is there a better way to reach them? No texts.",
        ),
        "visit_or_texts": Kind(
            "CANCEL or END came soon after a reminder",
            "Call: did they mean the visit, or the texts? The texts are stopped; the visit stands.",
        ),
        "who": Kind("Someone asks who we are", "Find out whether the number still is theirs. Name no one (L-44)."),
        "wrong_number": Kind(
            "We have a wrong number", "Find the right one, and take consent for it. The old one is not texted again."
        ),
        "after_stop": Kind(
            "A reply came after STOP",
            "Read it; answer by phone. We may not text: only START from that phone reopens.",
        ),
        "supervisor": Kind(
            "A text from the phone of a patient who died",
            "For the supervisor. Nothing was answered, and nothing will be sent.",
        ),
        "held_text": Kind(
            "A reminder is held: phone before the visit",
            "Its patient may be in danger, so it did not go. Tell them of the visit by phone, or send the text now.",
        ),
        "tell_change": Kind(
            "A change must be told by phone",
            "The visit was moved or is off, and no text can say so in time. Call.",
        ),
        "red": Kind("A visit that no text reminds of", "Call before the visit: it is a first one, or close."),
        "unconfirmed_first": Kind(
            "The first visit is not confirmed", "Call: will they come? Is there anything in the way?"
        ),
        "unverified": Kind(
            "A number is not verified",
            "No dated text goes before it is. Read the welcome text aloud together, or send it again.",
        ),
        "no_consent": Kind("Visits without consent to texts", "Ask for consent, or phone about the visits."),
        "number_bad": Kind(
            "A number cannot be reached",
            "Ask for the right number and take consent for it. Nothing more is sent to this one.",
        ),
        "undelivered": Kind("A text did not arrive", "Call about the visit. See the text for what went wrong."),
        "missed": Kind("A visit was missed", "Call today, without blame: is everything all right? Find a new time."),
        "to_mark": Kind("Visits to mark", "Say who came: attended, late or missed. Only your mark counts."),
        "review": Kind("Review the relapse-prevention plan", "Go through it together at the next contact (S-5)."),
        "backlog": Kind(
            "Texts piled up in an outage and are held",
            "Look at what would go now (reminders backlog), then release it or drop it. What is dropped counts as "
            "expired.",
            ("released", "dropped", "not_needed"),
            ops=True,
        ),
        "restored": Kind(
            "The database was restored from a backup",
            "Nothing goes until Twilio was asked what went since the backup; that takes some minutes. Enter again what "
            "was changed since. Of texts that stay held no one knows whether they went: see reminders restored, then "
            "release or drop them.",
            ("released", "dropped", "not_needed"),
            ops=True,
        ),
        "sender_fault": Kind(
            "A sender is stopped: no text goes out by it",
            "See the code for what is wrong and mend it with Twilio. Until then phone: reminders calls prints whom, "
            "first visits first.",
            ops=True,
        ),
        "health": Kind(
            "Something is wrong with the service",
            "Its first line below says what, and the health page what to do about it. It closes by itself when it is "
            "over. Whom no text reaches meanwhile, phone: reminders calls.",
            ("done", "not_needed"),
            ops=True,
        ),
        "stuck": Kind(
            "Something cannot be processed",
            "Its line below names the row. Read and do by hand what it says, and tell whoever runs the service: the "
            "log has the cause. Everything else goes on.",
            ("done", "not_needed"),
            ops=True,
        ),
        "uncertain": Kind(
            "No one knows whether a text went", "Call about the visit; Twilio cannot say whether it was taken."
        ),
    }
)
