"""A row of each table, as a record that mypy knows: what a statement gives to other modules (`Statements.all_as`).

The fields are the table's columns, by name and in order; only `class`, which Python keeps for itself, is `class_`. What
is sealed stays sealed here until `Transaction.open`. A list that reads several tables has its own record beside its
statement.
"""

from datetime import date, datetime
from typing import NamedTuple


class SiteRow(NamedTuple):
    """A site."""

    id: int
    key: str
    alias: str
    phone: str
    line24: str
    zone: str
    region: str
    quiet_from: str
    quiet_to: str
    closures: list[str]
    added_closures: list[str]
    paused_at: datetime | None


class SenderRow(NamedTuple):
    """A number or messaging service that a site's texts go by."""

    id: int
    site_id: int
    address: str
    segments_per_second: float
    segments_per_day: int
    next_free_at: datetime | None
    heard_until: datetime | None
    stopped_until: datetime | None
    stopped_code: int | None
    stops: int


class NumberRow(NamedTuple):
    """A phone number. It belongs to no patient."""

    id: int
    fingerprint: bytes
    phone_sealed: bytes
    opted_out_at: datetime | None
    verified_at: datetime | None
    bad_since: datetime | None
    bad_code: int | None
    wrong_since: datetime | None
    last_texted_at: datetime | None


class PatientRow(NamedTuple):
    """A patient."""

    id: int
    site_id: int
    ref: str
    key_id: int
    name_sealed: bytes | None
    born_on_sealed: bytes | None
    legal_hold: bool
    created_at: datetime


class RecipientRow(NamedTuple):
    """Who gets texts about a patient's visits."""

    id: int
    patient_id: int
    key: str
    role: str
    number_id: int
    language: str
    zone: str
    texting_from: str | None
    texting_to: str | None
    weekly_digest: bool
    guessed_zones: list[str]
    part2_consent_on: date | None
    entered_at: datetime
    consent_id: int | None


class ConsentRow(NamedTuple):
    """What a recipient said, as recorded."""

    id: int
    recipient_id: int
    number_id: int
    said: str
    said_on: date
    how: str
    by: str
    categories: list[str]
    warned_of_risk: bool
    wording: str | None
    per_day: int | None
    per_week: int | None
    alias_shown: bool
    verified: str | None
    legal_basis: str | None
    expires_on: date | None
    recorded_at: datetime


class PlanRow(NamedTuple):
    """A plan as it stands."""

    id: int
    site_id: int
    patient_id: int
    source: str
    ref: str
    version: int
    status: str
    ended_because_sealed: bytes | None
    discharged_on: date
    program: str | None
    alongside: bool
    replaces: str | None
    document_sealed: bytes
    laid_down_until: date
    created_at: datetime
    changed_at: datetime


class SeriesRow(NamedTuple):
    """A standing arrangement of a plan."""

    id: int
    plan_id: int
    key: str
    kind: str
    starts: str
    zone: str
    repeats: str | None
    minutes: int | None
    how: str
    place_sealed: bytes | None
    with_sealed: bytes | None
    session_id: int | None
    recipients: list[str]
    joined: dict[str, str] | None
    leads: list[str] | None
    status: str


class AppointmentRow(NamedTuple):
    """One dated occurrence of a series."""

    id: int
    series_id: int
    recurrence_id: str
    wall: str
    zone: str
    starts_at: datetime
    status: str
    agreed_wall: str
    agreed_status: str
    known_wall: str
    known_status: str
    entered_at: datetime
    attendance: str | None
    marked_at: datetime | None
    version: int
    written_at: datetime


class TextRow(NamedTuple):
    """Our intention to send one SMS."""

    id: int
    site_id: int
    sender_id: int
    number_id: int
    recipient_id: int | None
    plan_id: int | None
    class_: str
    key: str
    day: date | None
    state: str
    reason: str | None
    held: str | None
    ready: bool
    due_at: datetime
    opens_at: datetime
    closes_at: datetime
    leased_until: datetime | None
    attempts: int
    resent: bool
    waits_code: int | None
    wording: str | None
    language: str | None
    body_sealed: bytes | None
    reply_id: int | None
    released_at: datetime | None


class JobRunRow(NamedTuple):
    """When a job last succeeded, and last failed."""

    name: str
    last_success: datetime | None
    last_error_at: datetime | None
    last_error: str | None


class ProcessRow(NamedTuple):
    """A process at work."""

    id: int
    kind: str
    host: str
    pid: int
    sealing_keys: list[list[str]]
    started_at: datetime
    seen_at: datetime


class ForwarderRow(NamedTuple):
    """A peer that says whom it speaks for and is not believed."""

    peer: str
    header: str
    seen_at: datetime


class StaffRow(NamedTuple):
    """A member of staff."""

    id: int
    login: str
    name: str
    password: str | None
    totp_sealed: bytes | None
    totp_step: int | None
    enrolled_at: datetime | None
    invited: str | None
    invited_until: datetime | None
    shortcuts: bool
    made_at: datetime
    seen_at: datetime | None
    ended_at: datetime | None


class SignInRow(NamedTuple):
    """Someone signed in at a browser."""

    id: int
    token: str
    staff_id: int
    where: str | None
    started_at: datetime
    seen_at: datetime
    proved_at: datetime | None
    ended_at: datetime | None


class ApiAnswerRow(NamedTuple):
    """What was answered to a request with an Idempotency-Key."""

    id: int
    api_key_id: int
    key: str
    request: str
    status: int | None
    body_sealed: bytes | None
    made_at: datetime


class AuditRow(NamedTuple):
    """A line of the audit."""

    id: int
    at: datetime
    who: str
    what: str
    table: str
    row_id: int
    site_id: int | None
    patient_id: int | None
    where: str | None
    before_sealed: bytes | None
    after_sealed: bytes | None
    said: bytes | None
    place: int | None
    hash: bytes | None


class VisitRow(NamedTuple):
    """An appointment with what the planner needs of its series and plan (`plans.visit_rows`)."""

    id: int
    wall: str
    zone: str
    starts_at: datetime
    status: str
    recurrence_id: str
    series_key: str
    kind: str
    how: str
    repeats: str | None
    leads: tuple[str, ...] | None
    recipients: tuple[str, ...]
    plan_id: int
    plan_status: str


class TextVisitRow(NamedTuple):
    """The same of a visit that a text speaks of, with what it tells of it."""

    id: int
    wall: str
    zone: str
    starts_at: datetime
    status: str
    recurrence_id: str
    series_key: str
    kind: str
    how: str
    repeats: str | None
    leads: tuple[str, ...] | None
    recipients: tuple[str, ...]
    plan_id: int
    plan_status: str
    text_id: int
    tells: str | None
    was: str | None


class ChangedVisitRow(NamedTuple):
    """The same of a visit that may stand otherwise than its readers know, with what they knew."""

    id: int
    wall: str
    zone: str
    starts_at: datetime
    status: str
    recurrence_id: str
    series_key: str
    kind: str
    how: str
    repeats: str | None
    leads: tuple[str, ...] | None
    recipients: tuple[str, ...]
    plan_id: int
    plan_status: str
    known_wall: str
    known_status: str
    version: int
    written_at: datetime
    joined: dict[str, str] | None


class ClaimedRow(NamedTuple):
    """A text that is taken for sending, with its number and its sender."""

    id: int
    class_: str
    key: str
    day: date | None
    attempts: int
    closes_at: datetime
    recipient_id: int | None
    sender_id: int
    site_id: int
    wording: str | None
    language: str | None
    body_sealed: bytes | None
    released_at: datetime | None
    number_id: int
    phone_sealed: bytes
    opted_out_at: datetime | None
    bad_since: datetime | None
    wrong_since: datetime | None
    verified_at: datetime | None
    address: str
    stops: int


class ClaimedReaderRow(NamedTuple):
    """The reader of such a text, with the consent in force if there is one, the patient's data key, and the site."""

    id: int
    patient_id: int
    key: str
    role: str
    zone: str
    guessed_zones: tuple[str, ...]
    weekly_digest: bool
    texting_from: str | None
    texting_to: str | None
    language: str
    consent_id: int | None
    said: str | None
    number_id: int | None
    categories: tuple[str, ...] | None
    expires_on: date | None
    warned_of_risk: bool | None
    per_day: int | None
    per_week: int | None
    key_id: int
    wrapped: bytes | None
    any_crisis: bool
    alias: str
    site_phone: str
    line24: str
    site_zone: str
    closures: tuple[str, ...]
    quiet_from: str
    quiet_to: str
