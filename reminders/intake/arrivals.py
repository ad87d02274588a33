"""What reading a file gives: arrivals, problems and questions, each with its place in the file. Pure.

A problem says where and what to do, and never repeats a cell. A question is asked once for a whole file; the rows that
hang on its answer wait, and a profile answers it (docs/intake.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from reminders.plans import Mode, PlanDocument

Status = Literal["booked", "tentative", "cancelled", "attended", "missed"]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Visit:
    """One visit of a patient, or with `repeats` (an RRULE) a series, whose first three dates are `first`.

    `id` is the source's, as it stands, or None; then patient and start are its identity. `patient` is the source's
    reference, else the name. `start` is the wall clock in `zone`. `updated` is the source's version, `where` and
    `staff` are for staff only.
    """

    place: str
    id: str | None
    occurrence: str | None = None
    patient: str
    start: datetime
    zone: str
    minutes: int | None = None
    status: Status = "booked"
    how: Mode = Mode.IN_PERSON
    name: str | None = None
    phone: str | None = None
    kind: str | None = None
    where: str | None = None
    staff: str | None = None
    repeats: str | None = None
    first: tuple[datetime, ...] = ()
    updated: datetime | None = None

    def as_document(self) -> dict[str, Any]:
        """The visit as `reminders read` prints it."""
        found: dict[str, Any] = {
            "place": self.place,
            "what": "visit",
            "id": self.id,
            "occurrence": self.occurrence,
            "patient": self.patient,
            "start": wall_text(self.start),
            "zone": self.zone,
            "minutes": self.minutes,
            "status": self.status,
            "how": self.how.value,
            "name": self.name,
            "phone": self.phone,
            "kind": self.kind,
            "where": self.where,
            "staff": self.staff,
        }
        if self.repeats is not None:
            found |= {"repeats": self.repeats, "first": [wall_text(one) for one in self.first]}
        return found


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Agreed:
    """One whole plan. `zone` is that of its places where it names none."""

    place: str
    document: PlanDocument
    zone: str

    def as_document(self) -> dict[str, Any]:
        """The plan as `reminders read` prints it: beside the plan itself, its first visit."""
        document = self.document
        first = min(document.all_series(), key=lambda one: one.starts, default=None)
        return {
            "place": self.place,
            "what": "plan",
            "id": document.plan.ref,
            "occurrence": None,
            "patient": document.patient.ref,
            "start": wall_text(first.starts) if first else None,
            "zone": (first.zone if first else None) or self.zone,
            "minutes": first.minutes if first else None,
            "status": first.status if first else "booked",
            "how": (first.how if first else Mode.IN_PERSON).value,
            "name": document.patient.name,
            "phone": document.patient.phone,
            "discharged_on": document.plan.discharged_on.isoformat(),
            "plan": document.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """One weekly meeting of a public directory, on one day of the week.

    `day` counts from Sunday, 0, and is None with `time` for one by appointment. `zone` None is not known. `updated` is
    the feed's word, which is not to be trusted. `in_person` and `online` say how one can take part now.
    """

    place: str
    id: str
    name: str
    day: int | None
    time: str | None
    minutes: int | None
    zone: str | None
    types: tuple[str, ...] = ()
    in_person: bool = True
    online: bool = False
    by_phone: bool = False
    published: bool = True
    location: str | None = None
    address: str | None = None
    city: str | None = None
    region: str | None = None
    updated: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether one can take part at all, in person or from afar (I-53)."""
        return self.published and (self.in_person or self.online or self.by_phone)

    @property
    def how(self) -> Mode:
        """In person where that is possible, else by video, else by phone."""
        if self.in_person or not (self.online or self.by_phone):
            return Mode.IN_PERSON
        return Mode.VIDEO if self.online else Mode.PHONE

    def as_document(self) -> dict[str, Any]:
        """The meeting as `reminders read` prints it; it is weekly, so it has a day and a time instead of a start."""
        return {
            "place": self.place,
            "what": "meeting",
            "id": self.id,
            "occurrence": None if self.day is None else str(self.day),
            "patient": None,
            "start": None,
            "day": self.day,
            "time": self.time,
            "zone": self.zone,
            "minutes": self.minutes,
            "status": "booked" if self.is_open else "cancelled",
            "how": self.how.value,
            "name": self.name,
            "types": list(self.types),
            "online": self.online or self.by_phone,
            "location": self.location,
            "address": self.address,
            "city": self.city,
            "region": self.region,
        }


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong at a place of a file, and in which column where it is one; what to do about it, in plain words."""

    place: str
    problem: str
    column: str | None = None

    def as_document(self) -> dict[str, Any]:
        """The problem as `reminders read` prints it."""
        return {"place": self.place, "what": "problem", "column": self.column, "problem": self.problem}


@dataclass(frozen=True, slots=True, repr=False)
class Question:
    """What only a person can say, with what they may answer, and where the answer goes in a profile.

    `about` is what the question is about, such as `date_order`; `rows` are how many rows wait for the answer.
    """

    about: str
    question: str
    choices: tuple[str, ...]
    profile: str
    rows: int = 0
    place: str | None = None

    def as_document(self) -> dict[str, Any]:
        """The question as `reminders read` prints it."""
        return {
            "what": "question",
            "question": self.question,
            "choices": list(self.choices),
            "about": self.about,
            "place": self.place,
            "rows": self.rows,
            "profile": self.profile,
        }


Arrival = Visit | Agreed | Meeting


@dataclass(slots=True, repr=False)
class Reading:
    """All that one file says. `columns` are what each column was taken for; `fingerprint` the header's."""

    format: str
    arrivals: list[Arrival] = field(default_factory=list)
    problems: list[Trouble] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    columns: Mapping[str, str] = field(default_factory=dict)
    fingerprint: str | None = None

    def as_documents(self, file: str) -> list[dict[str, Any]]:
        """Arrivals, then problems, then questions, each with the file it is from."""
        return [{"file": file, **one.as_document()} for one in (*self.arrivals, *self.problems, *self.questions)]


class Unreadable(Exception):  # ruff: ignore[error-suffix-on-exception-name]  a verdict on a file, no error of ours
    """A file is refused whole; the message says why and what to do, and repeats nothing of it."""

    def __init__(self, problem: str, place: str = "file") -> None:
        self.place, self.problem = place, problem
        super().__init__(f"{place}: {problem}")


def wall_text(wall: date) -> str:
    """A wall clock in ISO form, to the minute where there are no seconds."""
    if isinstance(wall, datetime):
        return wall.isoformat(timespec="seconds" if wall.second else "minutes")
    return wall.isoformat()
