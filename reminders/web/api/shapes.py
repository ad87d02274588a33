"""What the API answers, and what it takes beside plan documents. Keys are stable; more may be added."""

from datetime import date, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar, get_args

from pydantic import AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from reminders.lifecycle import State
from reminders.plans import Consent
from reminders.plans.fields import Day, Flag, Phone, Ref, Remark, Section, Wall, choice, whole_number
from reminders.service.planning.attendance import MARKS

T = TypeVar("T")

MOST_ROWS = 200  # of a page

# The command line writes instants so, and both say the same.
Instant = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
Clock = Annotated[
    datetime,
    PlainSerializer(datetime.isoformat, return_type=str),
    WithJsonSchema(
        {"type": "string", "description": "A wall clock, without an offset", "examples": ["2026-12-03T15:00:00"]},
        mode="serialization",
    ),
]
Id = Annotated[str, BeforeValidator(str)]
MaybeId = Annotated[str | None, BeforeValidator(lambda value: None if value is None else str(value))]
StateName = Literal[
    "scheduled", "sending", "sent", "delivered", "undelivered", "unconfirmed", "uncertain", "expired", "cancelled",
    "suppressed",
]  # fmt: skip
assert set(get_args(StateName)) == {state.value for state in State}


class Shape(BaseModel):
    """An answer, read off a row of a list."""

    model_config = ConfigDict(
        from_attributes=True, populate_by_name=True, json_schema_serialization_defaults_required=True
    )


class Page(Shape, Generic[T]):
    """A page of a list. `next` is the cursor of the page after it, null on the last."""

    items: list[T]
    next: str | None


class NextAppointment(Shape):
    """The next appointment that is on."""

    id: Id = Field(validation_alias="appointment")
    starts_at: Instant
    zone: str
    kind: str
    how: Literal["in_person", "phone", "video"]


class NextText(Shape):
    """The next text that is to go."""

    text: Id
    opens_at: Instant
    key: str


class Plan(Shape):
    """A plan. `blocked` is why nothing can go to its patient; `texts` counts by state."""

    id: Id
    ref: str
    site: str
    zone: str
    version: int
    patient_id: Id
    patient: str = Field(description="The patient's reference")
    name: str | None = Field(description="Null unless `names` was asked for")
    program: str | None
    discharged_on: date
    status: Literal["active", "paused", "ended"]
    ended_because: str | None
    blocked: Literal["no_consent", "opted_out", "number_bad"] | None
    next_appointment: NextAppointment | None = Field(validation_alias="next_visit")
    next_text: NextText | None
    texts: dict[StateName, int]
    texts_sent: int = Field(description="How many Twilio took; sent is not delivered")
    texts_to_go: int
    open_tasks: int
    entered_by: str | None = Field(default=None, validation_alias=AliasPath("entered", "who"))
    entered_at: Instant | None = Field(default=None, validation_alias=AliasPath("entered", "at"))


class Texts(Shape):
    """What texts did, counted in texts that go."""

    added: int
    moved: int
    retracted: int


class PlanDone(Shape):
    """A plan was changed: as it stands now, and what its texts did."""

    plan: Plan
    texts: Texts


class PlanTaken(PlanDone):
    """A plan document was taken in. `changed` is whether it said anything new."""

    changed: bool
    note: str | None = Field(description="All of `notes` in one line")
    notes: list[str] = Field(description="What to think about, such as an empty first week or last year's date")


class PreviewedText(Shape):
    """One text as it would go, or why it does not: the same as `reminders preview --json`."""

    key: str
    class_: str = Field(alias="class")
    recipient: str
    opens_at: Instant
    closes_at: Instant
    goes_at: Instant | None
    local: Clock
    zone: str
    goes: bool
    state: StateName
    reason: str | None
    text: str | None
    segments: int | None
    encoding: str | None
    appointments: list[str]
    red: bool


class ToldOf(Shape):
    """One person whom a plan names: how many of its texts they will get, and where it is none, why."""

    recipient: str
    role: Literal["self", "supporter", "guardian"]
    texts: int
    why: str | None


class Preview(Shape):
    """Every text of a plan, and a line for each person whom it names."""

    items: list[PreviewedText]
    people: list[ToldOf]


class PlanOf(Shape):
    """One plan of a patient."""

    ref: str
    status: Literal["active", "paused", "ended"]
    discharged_on: date


class Reader(Shape):
    """Someone who gets texts about a patient's appointments. `why_not` says why nothing goes to them; `waits`, that
    reminders wait because someone may be in danger.
    """

    key: str
    role: Literal["self", "supporter", "guardian"]
    to: str
    language: str
    zone: str
    said: str | None
    said_on: date | None
    how: str | None
    categories: list[str]
    per_day: int | None
    per_week: int | None
    expires_on: date | None
    part2_consent_on: date | None
    verified_at: Instant | None
    opted_out_at: Instant | None
    bad_since: Instant | None
    wrong_since: Instant | None
    why_not: str | None
    waits: bool
    missing: list[str] = Field(description="What keeps a yes on record from counting")


class Patient(Shape):
    """A patient; the number is masked."""

    id: Id
    ref: str
    site: str
    zone: str
    name: str | None = Field(description="Null unless `names` was asked for")
    to: str | None
    verified: bool
    opted_out_at: Instant | None
    blocked: Literal["no_consent", "opted_out", "number_bad"] | None
    plans: list[PlanOf]
    next_appointment: NextAppointment | None = Field(validation_alias="next_visit")
    open_tasks: int
    created_at: Instant


class PatientInFull(Patient):
    """A patient with everyone who gets texts about them; null unless `names` was asked for."""

    readers: list[Reader] | None = None


class Record(Shape):
    """All that is on record of a patient, to be handed out on their request (45 CFR 164.524).

    What could be another person's is left out: a supporter's number is masked, and what was written from a phone on
    which other patients are texted too is `withheld`.
    """

    format: str
    made_at: Instant
    notice: str
    site: dict[str, object]
    patient: dict[str, object]
    who_gets_texts: list[dict[str, Any]]
    consents: list[dict[str, Any]]
    plans: list[dict[str, Any]]
    visits: list[dict[str, Any]]
    texts: list[dict[str, Any]]
    replies: list[dict[str, Any]]
    tasks: list[dict[str, Any]]
    who_looked: list[dict[str, Any]]


class PatientDone(Shape):
    """Something was put on record of a patient: what texts did, and what whoever did it should know."""

    texts: Texts
    notes: list[str]
    honour_by: date | None = Field(default=None, description="Of an opt-out: the last day that the law leaves for it")


class Appointment(Shape):
    """One dated appointment. `wall` is the clock of its place."""

    id: Id
    plan: str
    plan_status: Literal["active", "paused", "ended"]
    patient_id: Id
    patient: str
    name: str | None = Field(validation_alias="patient_name", description="Null unless `names` was asked for")
    site: str
    series: str
    recurrence_id: str
    session: str | None
    kind: str
    starts_at: Instant
    wall: Clock
    zone: str
    minutes: int | None
    how: Literal["in_person", "phone", "video"]
    place: str | None = Field(validation_alias="room", description="Staff-only; null unless `names` was asked for")
    with_: str | None = Field(alias="with", validation_alias="with_", description="The same")
    status: Literal["booked", "tentative", "cancelled", "attended", "missed"]
    attendance: Literal["attended", "late", "missed"] | None
    marked_at: Instant | None
    confirmed: bool
    version: int


class AppointmentDone(Shape):
    """An appointment was changed: as it stands now, and what its texts did."""

    appointment: Appointment
    texts: Texts


class Marked(Shape):
    """Who came. `text` is how the text after a miss stands, `call` whether someone is to call."""

    patient: str
    plan: str
    appointment: str = Field(validation_alias="visit")
    mark: Literal["attended", "late", "missed", "unmark"]
    news: bool
    text: str | None
    reason: str | None
    goes_at: Instant | None = Field(description="When the text after a miss goes")
    call: bool


class Session(Shape):
    """One date of a session."""

    id: Id = Field(validation_alias="session_id")
    session: str
    site: str
    on: date
    wall: Clock
    zone: str
    starts_at: Instant
    kind: str
    how: Literal["in_person", "phone", "video"] | None = Field(description="Null where its appointments differ")
    patients: int = Field(description="Of one that was called off, how many were in it")
    unmarked: int
    came: int
    missed: int
    status: Literal["booked", "held", "cancelled"]


class Told(Shape):
    """Whether a reader of a session's appointment knows how it stands."""

    patient: str
    plan: str
    recipient: str
    appointment: str = Field(validation_alias="visit")
    wall: Clock
    how: Literal["in_person", "phone", "video"]
    status: str
    told: str
    text: MaybeId
    state: StateName | None
    reason: str | None


class SessionInFull(Shape):
    """A date of a session with its appointments, and who knows of a change."""

    appointments: list[Appointment]
    told: list[Told]


class SessionDone(Shape):
    """A session was changed: what all its texts did."""

    texts: Texts


class AllMarked(Shape):
    """Who of a session came."""

    items: list[Marked]


class Attempt(Shape):
    """One call to Twilio."""

    ref: str
    sid: str | None
    answer: Literal["accepted", "refused", "unknown"] | None
    status: str | None
    error_code: int | None
    segments: int
    started_at: Instant


class Text(Shape):
    """A line of the delivery log: the same as `reminders log --json`."""

    text: str
    class_: Literal["reminder", "notice", "answer", "welcome", "staff"] = Field(alias="class")
    key: str
    site: str
    plan: str | None
    patient: str | None
    recipient: str | None
    to: str
    opens_at: Instant
    closes_at: Instant
    state: StateName
    reason: str | None
    held: str | None
    attempts: list[Attempt]


class Advice(Shape):
    """What is done about a text that did not arrive."""

    we_do: str
    you_do: str


class TextInFull(Text):
    """A text with what became of it in a sentence, and what can be done about it."""

    became: str
    advice: Advice | None


class Reply(Shape):
    """An inbound text. `patients` are the references of everyone it may be from."""

    id: Id
    site: str
    zone: str
    received_at: Instant
    sent_at: Instant
    from_: str = Field(alias="from", validation_alias="from_")
    patients: list[str]
    meaning: str
    meanings: list[str]
    media: int
    words: str | None = Field(description="Null unless `names` was asked for")
    task: int | None = Field(description="The open task it belongs to")


class Task(Shape):
    """Something a person must do."""

    id: int
    kind: str
    urgency: Literal["urgent", "soon", "normal"]
    title: str
    site: str
    patients: list[str]
    plan: str | None
    visit: str | None
    starts_at: Instant | None
    to: str | None
    text: str | None
    opened_at: Instant
    due_at: Instant
    overdue: bool
    owner: str | None
    acknowledged_at: Instant | None
    rung_at: Instant | None
    escalates_at: Instant | None
    step: int
    closed_at: Instant | None
    outcome: str | None


class TaskEvent(Shape):
    """One line of a task's story; `words` are null unless `names` was asked for."""

    at: Instant
    what: str
    who: str
    detail: str | None
    words: str | None
    rules: list[str]
    text: str | None
    wording: str | None
    text_state: StateName | None
    text_code: int | None
    became: str | None


class TaskInFull(Task):
    """A task with what is to do, the outcomes it can have, and its story."""

    to_do: str
    outcomes: list[str]
    story: list[TaskEvent]


class TaskClosed(Task):
    """A task that was closed; `released` are the held texts that go again."""

    released: int


class Released(Shape):
    """Whether the held text of a task goes now, and in words what becomes of it; if not, the task stays for a call."""

    went: bool
    says: str


class Site(Shape):
    """A site."""

    id: Id
    key: str
    alias: str
    phone: str
    line24: str
    zone: str
    region: str
    quiet_from: str
    quiet_to: str
    closures: list[date]
    paused_at: Instant | None


class SitePaused(Shape):
    """Whether sending is paused, and whether this request changed it."""

    paused: bool
    changed: bool


class Job(Shape):
    """A job of the worker."""

    last_success: Instant | None
    age_seconds: float | None
    error: str | None


class Queue(Shape):
    """What is on its way."""

    due: int
    oldest_due_seconds: float | None
    sending: int
    uncertain: int


class Percentiles(Shape):
    """Seconds, at most, of half of the texts and of 95 in 100."""

    p50: float | None
    p95: float | None


class Point(Shape):
    """What there was from `since` on and before `until`. Handed over is not delivered."""

    since: Instant
    until: Instant
    handed_over: int
    delivered: int
    not_delivered: int
    delivery_rate: float | None
    segments: int
    replies: int
    stops: int
    lag_seconds: Percentiles
    word_seconds: Percentiles


class Cost(Shape):
    """What texts cost, in the currency of the Twilio account: `told` by Twilio, `estimated` by
    `sending.price_per_segment` where it has not said so yet.
    """

    texts: int
    segments: int
    cost: float
    told: float
    estimated: float | None
    segments_without_price: int


class Numbers(Point):
    """The numbers of a range, in all and by hour, day or week."""

    range: str
    site: str | None
    zone: str
    counted_at: Instant | None
    states: dict[str, int]
    classes: dict[str, int]
    not_sent_because: dict[str, int]
    codes: dict[str, int]
    meanings: dict[str, int]
    cost: Cost
    points: list[Point]


class Stats(Shape):
    """The numbers of `/metrics` and `reminders status --json`.

    Texts and tasks are those of the key's sites, the rest is the service's; `troubles` are null for a key of one site.
    """

    ok: bool
    jobs: dict[str, Job]
    queue: Queue
    troubles: list[str] | None
    texts: dict[StateName, int]
    tasks: dict[Literal["urgent", "soon", "normal"], int]
    numbers: Numbers | None = Field(description="Of the `range` that was asked for: as `reminders stats --json`")


# What is taken, read like the tables of a plan document.


class Ending(Section):
    """Why a plan ends."""

    because: Annotated[str, choice("completed", "left", "readmitted", "transferred", "died", "other")]


class Move(Section):
    """Where to: the wall clock of the place."""

    to: Wall


class Attendance(Section):
    """Who came: attended, late, missed, or unmark to take a mark back. Without `text` no one is texted about a miss;
    with `dry_run` it is only said what would be.
    """

    mark: Annotated[Literal["attended", "late", "missed", "unmark"], choice(*MARKS)]
    text: Flag = True
    dry_run: Flag = False


class SessionAttendance(Section):
    """The references of the patients who missed a session or were late; all others attended. Without `text` no one is
    texted about a miss; with `dry_run` it is only said what would be.
    """

    missed: tuple[Ref, ...] = ()
    late: tuple[Ref, ...] = ()
    text: Flag = True
    dry_run: Flag = False


class Search(Section):
    """A reference, words of a name, or a phone number in any format; `cursor` is `next` of the page before."""

    search: Remark
    limit: Annotated[int, whole_number(1, MOST_ROWS)] = 50
    cursor: Remark | None = None


class PlanSearch(Section):
    """A plan's reference, its patient's reference, and the key of a site: each that is said must fit.

    `names`, `limit` and `cursor` as of the list of plans.
    """

    ref: Ref | None = None
    patient: Ref | None = None
    site: Ref | None = None
    names: Flag = False
    limit: Annotated[int, whole_number(1, MOST_ROWS)] = 50
    cursor: Remark | None = None


class NewConsent(Section):
    """What a reader said about texts to their number."""

    recipient: Ref = "self"
    consent: Consent


class Verification(Section):
    """How staff made sure of a number, such as by reading the welcome text aloud."""

    recipient: Ref = "self"
    how: Remark


class NewNumber(Section):
    """A new number, and the consent that was given for it."""

    recipient: Ref = "self"
    phone: Phone
    consent: Consent | None = None


class OptOut(Section):
    """A no that came another way than by text: how, on which day and to whom. It holds at once."""

    recipient: Ref = "self"
    how: Remark
    received_on: Day
    by: Remark


class Wrong(Section):
    """Whether a reader's number is someone else's."""

    recipient: Ref = "self"
    wrong: Flag = True


class Note(Section):
    """What is worth knowing; kept sealed."""

    note: Remark


class Disclosure(Section):
    """What medical personnel were told in an emergency (42 CFR 2.51)."""

    to: Remark
    emergency: Remark


class Closing(Section):
    """How a task ended, as its `outcomes` offer."""

    outcome: Ref
    note: Remark | None = None
    disclosed: Disclosure | None = None


BODIES = (
    Attendance,
    Closing,
    Ending,
    Move,
    NewConsent,
    NewNumber,
    Note,
    OptOut,
    PlanSearch,
    Search,
    SessionAttendance,
    Verification,
    Wrong,
)
"""What the OpenAPI document describes beside what FastAPI finds by itself."""
