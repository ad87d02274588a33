"""How staff reads the story of a task: what happened, and why it closed by itself. Codes become words here alone."""

from collections.abc import Mapping

from reminders.task_kinds import Happened

HAPPENED: Mapping[str, str] = {
    Happened.OPENED: "Opened",
    Happened.TEXT_CAME: "A text came",
    Happened.ANSWERED: "We answered",
    Happened.ANSWERED_BEFORE: "Not answered again: it was answered within six hours",
    Happened.ANSWERED_ENOUGH: "Not answered again so soon",
    Happened.ANSWER_LOST: "Lost",
    Happened.NOT_ACTED_ON: "Stored, but nothing in it was acted on: read it and act",
    Happened.SENT_ON: "The text was sent on its way:",
    Happened.NOT_SENT: "It did not go:",
    Happened.CANNOT_BE_PROCESSED: "Cannot be processed:",
    Happened.PAGED: "Paged",
    Happened.PAGE_NOT_TAKEN: "Page not taken yet, and repeated:",
    Happened.NO_ONE_ON_CALL: "NO ONE IS ON CALL",
    Happened.OVERDUE: "Due, and no one took it: on call was paged",
    Happened.ESCALATED: "Escalated:",
    Happened.TAKEN: "Acknowledged and taken",
    Happened.ASKED_FOR: "Asked for",
    Happened.NOTE: "Note",
    Happened.DISCLOSED: "Told to medical personnel",
    Happened.HELD: "Held:",
    Happened.STOPPED: "Stopped:",
    Happened.RESTORED: "Restored:",
    Happened.LOOKED_UP: "Looked up:",
    Happened.UNKNOWN_TEXT: "No one knows of this text",
    Happened.CLOSED: "Closed:",
}


DETAILS: Mapping[str, str] = {
    Happened.TEXT_CAME: "sent {sent_at:%H:%M} UTC, heard later",
    Happened.SENT_ON: "open until it is handed over",
    Happened.NOT_SENT: "{reason}",
    Happened.CANNOT_BE_PROCESSED: "{what} {row}: {error}",
    Happened.PAGED: "{contact}",
    Happened.PAGE_NOT_TAKEN: "{contact}",
    Happened.ESCALATED: "{minutes} minutes without acknowledgement",
    Happened.DISCLOSED: "42 CFR 2.51",
    Happened.HELD: "{texts} texts",
    Happened.STOPPED: "{meaning} (code {code})",
    Happened.RESTORED: "the backup is of {backup_at:%Y-%m-%d %H:%M} UTC; {texts} texts are looked up",
    Happened.LOOKED_UP: "{went} texts had not gone; of {left} no one knows",
}
"""The values of what happened, in words. `*_at` are instants; `meaning` and `reason` are looked up by code."""


UNREACHED = "our answer could not reach them: call now"
LOST = {"uncertain": "no one knows whether our answer went", "unconfirmed": "no one knows whether it arrived"}
"""By the state of the text why an answer is lost; of any other we know that it did not reach them."""


CAUSES = {
    "start_came": "START came from that phone",
    "confirmed_by_text": "the visit was confirmed by text",
    "verified": "the number is verified",
    "verified_by_text": "the number was verified by its Y",
    "verified_by_staff": "staff verified the number",
    "consent_taken": "consent was taken",
    "new_number": "there is a new number",
    "right_after_all": "the number is right after all",
    "change_taken_back": "the change was taken back",
    "text_handed_over": "its text was handed over",
    "mark_put_right": "the mark was put right",
    "all_marked": "every visit is marked",
    "well_again": "it can be processed again",
    "texts_go_again": "texts go out again",
    "all_looked_up": "every text was looked up",
    "released": "{texts} texts released",
    "dropped": "{texts} texts dropped",
    "plan_ended": "the plan ended",
    "erased": "the person was erased",
}
"""Why a task was closed though no one closed it."""
