"""The plan document: the one shape every source of plans becomes (README.md#a-plan-file)."""

import json
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from reminders.plans.fields import (
    CategoryName,
    Day,
    Distinct,
    Flag,
    Language,
    Name,
    Phone,
    Ref,
    Remark,
    Section,
    TimeOfDay,
    UnfitError,
    Zone,
    choice,
    one_of,
    whole_number,
)
from reminders.plans.kinds import Kind
from reminders.plans.programs import expand, programs
from reminders.plans.recurrence import Series

# Why a plan ended (docs/design.md#natural-keys).
ENDINGS = ("completed", "left", "readmitted", "transferred", "died", "other")


def _programs(value: object) -> str | tuple[str, ...]:
    if not isinstance(value, list | tuple):
        return one_of(value, programs())
    if not value:
        raise UnfitError("must name at least one program; leave it out for none")
    named = tuple(one_of(word, programs()) for word in value)
    if len(set(named)) < len(named):
        raise UnfitError("names the same program twice")
    return named[0] if len(named) == 1 else named


class Plan(Section):
    """`[plan]`. `site` is a site's key, dates are the site's, and `program_times` are on the place's wall clock."""

    ref: Ref
    site: Ref
    discharged_on: Day
    program: Annotated[str | tuple[str, ...], BeforeValidator(_programs)] | None = None
    starts_on: Day | None = None
    program_times: dict[Ref, TimeOfDay] = Field(default_factory=dict)
    replaces: Ref | None = None
    alongside: Flag = False
    status: Annotated[Literal["active", "paused", "ended"], choice("active", "paused", "ended")] = "active"
    ended_because: Annotated[str, choice(*ENDINGS)] | None = None
    late_start_because: Remark | None = None

    @property
    def programs(self) -> tuple[str, ...]:
        """The programs whose series are added to those of the plan."""
        if self.program is None:
            return ()
        return (self.program,) if isinstance(self.program, str) else self.program

    @property
    def week_1_starts_on(self) -> date:
        """The first day of a program's week 1: `starts_on`, else the first Monday on or after discharge."""
        return self.starts_on or self.discharged_on + timedelta(days=-self.discharged_on.weekday() % 7)


class Patient(Section):
    """`[patient]`. `phone` is E.164; `language` a BCP 47 tag as given; `zone` None means the site's.

    `texting_hours` are from and until, on the patient's wall clock. `same_person` says that a new name and number
    under a known reference are a change and not a mistake; it holds for one import and is not stored.
    """

    ref: Ref
    name: Name
    phone: Phone
    language: Language = Field(default="en", validate_default=True)
    zone: Zone | None = None
    born_on: Day | None = None
    texting_hours: tuple[TimeOfDay, TimeOfDay] | None = None
    weekly_digest: Flag = False
    same_person: Flag = Field(default=False, exclude=True)

    def is_minor(self, today: date) -> bool:
        """Whether the patient is known to be under 18 on `today` (L-56)."""
        return self.born_on is not None and is_minor(self.born_on, today)


def is_minor(born_on: date, on: date) -> bool:
    """Whether a person born on `born_on` is under 18 on the day `on` (L-56)."""
    birthday_to_come = (on.month, on.day) < (born_on.month, born_on.day)
    return on.year - born_on.year - birthday_to_come < 18


class Consent(Section):
    """`[consent]`: what one person said about getting texts, and how we know (L-50).

    `per_day` and `per_week` are the texts agreed to; `expires_on` is the last day on which it is valid.
    """

    said: Annotated[Literal["yes", "no"], choice("yes", "no")]
    on: Day | None = None
    how: Remark | None = None
    by: Name | None = None
    categories: Annotated[tuple[CategoryName, ...], Distinct] = ()
    warned_of_risk: Flag = False
    wording: Ref | None = None
    per_day: Annotated[int, whole_number(1, 3)] | None = None
    per_week: Annotated[int, whole_number(1, 21)] | None = None
    alias_shown: Flag = False
    verified: Remark | None = None
    legal_basis: Remark | None = None
    expires_on: Day | None = None


class Recipient(Section):
    """`[[recipients]]`: another person who agreed to get some of the texts. `zone` None means the patient's."""

    key: Ref
    role: Annotated[Literal["supporter", "guardian"], choice("supporter", "guardian")]
    phone: Phone
    language: Language = Field(default="en", validate_default=True)
    zone: Zone | None = None
    part2_consent_on: Day | None = None
    consent: Consent | None = None


class PlanDocument(Section):
    """What was agreed, complete and checked. Only `read` makes one."""

    plan: Plan
    patient: Patient
    consent: Consent | None = None
    recipients: tuple[Recipient, ...] = ()
    series: tuple[Series, ...] = ()

    def all_series(self) -> tuple[Series, ...]:
        """The plan's own series, then its programs'. Their family sessions are for everyone whom the plan names."""
        first, times = self.plan.week_1_starts_on, self.plan.program_times
        added = [one for name in self.plan.programs for one in expand(programs()[name], first, times)]
        family = ("self", *(other.key for other in self.recipients))
        return (
            *self.series,
            *(one.model_copy(update={"for_": family}) if one.kind is Kind.FAMILY_SESSION else one for one in added),
        )

    def canonical(self) -> bytes:
        """The document as JSON with a fixed order of keys and no default values; `read` accepts it.

        Equal documents give equal bytes, whatever their source format.
        """
        values = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return json.dumps(values, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
