"""What was agreed: the plan document every source becomes, its dates, programs and leads. Pure.

`read` is the only way in: it takes data from TOML, JSON or a form and returns a checked `PlanDocument`, or raises
`PlanRefused` with every problem at once. `occurrences` gives the dates of a series. Only `to_instant` and `to_wall`
convert between wall clocks and instants.
"""

from reminders.plans.counting import not_told, notes_on, uncounted, uncounted_in
from reminders.plans.document import ENDINGS, Consent, Patient, Plan, PlanDocument, Recipient, is_minor
from reminders.plans.fields import (
    Known,
    UnfitError,
    catalog,
    is_fictional,
    other_zones,
    read_zone,
    region_of,
    without_invisible,
)
from reminders.plans.kinds import Category, Kind, Mode
from reminders.plans.leads import Lead
from reminders.plans.programs import Program, ProgramSeries, expand, programs
from reminders.plans.reading import (
    PlanRefused,
    Problem,
    find_phone,
    read,
    read_consent,
    read_phone,
    read_recipient,
    read_section,
)
from reminders.plans.recurrence import Occurrence, Series, occurrences
from reminders.plans.remarks import remarks
from reminders.plans.walltime import is_place, is_zone, to_instant, to_wall

__all__ = [
    "ENDINGS",
    "Category",
    "Consent",
    "Kind",
    "Known",
    "Lead",
    "Mode",
    "Occurrence",
    "Patient",
    "Plan",
    "PlanDocument",
    "PlanRefused",
    "Problem",
    "Program",
    "ProgramSeries",
    "Recipient",
    "Series",
    "UnfitError",
    "catalog",
    "expand",
    "find_phone",
    "is_fictional",
    "is_minor",
    "is_place",
    "is_zone",
    "not_told",
    "notes_on",
    "occurrences",
    "other_zones",
    "programs",
    "read",
    "read_consent",
    "read_phone",
    "read_recipient",
    "read_section",
    "read_zone",
    "region_of",
    "remarks",
    "to_instant",
    "to_wall",
    "uncounted",
    "uncounted_in",
    "without_invisible",
]
