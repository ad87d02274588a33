"""What the audit may say that someone did: a closed set of codes. Pure data.

A code reads as words and is shown as it is: rows are chained by it, so those of an older version say the same.
"""

from enum import StrEnum


class Action(StrEnum):
    """What was done; the values are stored."""

    # People.
    PATIENT_ERASED = "patient erased"
    LEGAL_HOLD = "legal hold"
    LEGAL_HOLD_ENDED = "legal hold ended"
    PATIENT_READ = "patient read"
    RECIPIENT_ADDED = "recipient added"
    RECIPIENT_REMOVED = "recipient removed"
    CONSENT_YES = "consent: yes"
    CONSENT_NO = "consent: no"
    CONSENT_ENDED_BY_AGE = "consent ended: the patient turned 18"
    OPT_OUT_RECORDED = "opt-out recorded"
    OPT_OUT_RECORDED_AGAIN = "opt-out recorded again"
    OPT_OUT_LIFTED_BY_A_NEW_CONSENT = "opt-out lifted by a new consent"
    TEXT_TYPED = "text typed"
    TEST_TEXT_SENT = "test text sent"
    ON_CALL_TESTED = "on-call tested"

    # Numbers; said at another site too.
    NUMBER_CHANGED = "number changed"
    NUMBER_VERIFIED = "number verified"
    NUMBER_IS_WRONG = "number is wrong"
    NUMBER_IS_RIGHT_AFTER_ALL = "number is right after all"
    NUMBER_IS_BAD = "number is bad"
    NUMBER_STOP = "number stop"
    NUMBER_START = "number start"
    NUMBER_IS_WRONG_ELSEWHERE = "number is wrong: said outside of this site"
    NUMBER_IS_BAD_ELSEWHERE = "number is bad: said outside of this site"
    NUMBER_STOP_ELSEWHERE = "number stop: said outside of this site"

    # Plans and visits.
    PLAN_ACCEPTED = "plan accepted"
    PLAN_CHANGED = "plan changed"
    PLAN_PAUSED = "plan paused"
    PLAN_RESUMED = "plan resumed"
    PLAN_ENDED = "plan ended"
    VISIT_MOVED = "visit moved"
    VISIT_CALLED_OFF = "visit called off"
    SESSION_MOVED = "session moved"
    SESSION_CALLED_OFF = "session called off"
    SESSION_CHANGE_UNDONE = "session change undone"
    MARKED_ATTENDED = "marked attended"
    MARKED_LATE = "marked late"
    MARKED_MISSED = "marked missed"
    MARK_TAKEN_BACK = "mark taken back"

    # Tasks, replies and texts.
    TASK_MADE = "task made"
    TASK_TAKEN = "task taken"
    TASK_REMARKED_ON = "task remarked on"
    TASK_CLOSED = "task closed"
    HELD_TEXT_LET_GO = "held text let go"
    TEXT_TRIED_AGAIN = "text tried again"
    REPLY_MARKED = "reply marked"
    REPLY_MARK_TAKEN_BACK = "reply mark taken back"

    # Sites and sending.
    SITE_MADE = "site made"
    SITE_CHANGED = "site changed"
    CLOSURE_ADDED = "closure added"
    CLOSURE_TAKEN_BACK = "closure taken back"
    SENDING_PAUSED = "sending paused"
    SENDING_RESUMED = "sending resumed"
    BACKLOG_RELEASED = "backlog released"
    BACKLOG_DROPPED = "backlog dropped"
    RESTORED_TEXTS_RELEASED = "restored texts released"
    RESTORED_TEXTS_DROPPED = "restored texts dropped"

    # Staff and keys.
    STAFF_INVITED = "staff invited"
    ROLE_CHANGED = "role changed"
    ACCESS_ENDED = "access ended"
    PASSWORD_RESET = "password reset"  # ruff: ignore[hardcoded-password-string]  what was done, none
    PASSWORD_AND_SECOND_FACTOR_RESET = "password and second factor reset"  # ruff: ignore[hardcoded-password-string]  what was done, none
    SIGN_INS_ENDED = "sign-ins ended"
    OTHER_SIGN_INS_ENDED = "other sign-ins ended"
    SHORTCUTS_SWITCHED = "shortcuts switched"
    SIGN_IN_REFUSED = "sign-in refused"
    SECOND_FACTOR_REFUSED = "second factor refused"
    SECOND_FACTOR_SET_UP = "second factor set up"
    SECOND_FACTOR_CHANGED = "second factor changed"
    PASSWORD_CHOSEN = "password chosen"  # ruff: ignore[hardcoded-password-string]  what was done, none
    PASSWORD_CHANGED = "password changed"  # ruff: ignore[hardcoded-password-string]  what was done, none
    SIGNED_IN = "signed in"
    SIGNED_OUT = "signed out"
    RECOVERY_CODES_MADE = "recovery codes made"
    CONFIRMATION_REFUSED = "confirmation refused"
    API_KEY_MADE = "API key made"
    API_KEY_ENDED = "API key ended"
    KEYS_ROTATED = "keys rotated"

    # The database.
    BACKUP_TAKEN = "backup taken"
    RESTORED = "restored"
    AUDIT_VERIFIED = "audit verified"

    # What was seen.
    PATIENTS_READ = "patients read"
    PATIENTS_LIST_READ = "patients list read"
    PLANS_READ = "plans read"
    PLAN_READ = "plan read"
    PLANS_LIST_READ = "plans list read"
    PLAN_PAGE_READ = "plan page read"
    PLAN_DOCUMENT_READ = "plan document read"
    PLAN_TEXTS_READ = "plan texts read"
    APPOINTMENTS_READ = "appointments read"
    APPOINTMENT_READ = "appointment read"
    SESSIONS_READ = "sessions read"
    SESSION_READ = "session read"
    ATTENDANCE_READ = "attendance read"
    TASKS_READ = "tasks read"
    TASK_READ = "task read"
    INBOX_READ = "inbox read"
    BOARD_READ = "board read"
    CALL_LIST_READ = "call list read"
    REPLIES_READ = "replies read"
    LOG_READ = "log read"
    LOG_OF_A_NUMBER_READ = "log of a number read"
    TEXTS_READ = "texts read"
    TEXT_READ = "text read"
    TEXT_AND_RAW_READ = "text and what Twilio sent read"
    RAW_READ = "what Twilio sent read"
    HELD_TEXT_READ = "held text read"
    NUMBER_READ = "number read"
    PRETEND_PHONES_READ = "pretend phones read"
    PRETEND_PHONE_READ = "pretend phone read"
    PREVIEW_READ = "preview read"
    STATS_READ = "stats read"
    ANSWER_READ = "answer read"
    REPEATED_ANSWER_READ = "repeated answer read"
    AUDIT_READ = "audit read"

    # What was taken out.
    AUDIT_EXPORTED = "audit exported"
    LOG_EXPORTED = "log exported"
    REPLY_MARKS_EXPORTED = "reply marks exported"
    RECORD_EXPORTED = "record exported"
    SITE_EXPORTED = "site exported"

    @property
    def is_reading(self) -> bool:
        """Whether someone saw something, or took it out, and changed nothing."""
        return self.endswith((" read", " exported"))
