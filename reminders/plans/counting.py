"""When a yes counts, and which fields are missing when it does not.

A yes in a plan file or from another program may not count yet: we keep it, send no text, and say why in a note. A
person who enters one by hand is stopped at the field instead, since they can fix it at once.
"""

from collections.abc import Collection, Iterator
from datetime import date
from typing import Protocol

from reminders.plans.document import PlanDocument
from reminders.plans.kinds import Category
from reminders.plans.reading import Problem

# What a patient can be texted about. Every text to another person is in the category `family`.
_OF_A_PATIENT = frozenset({Category.APPOINTMENTS, Category.MEETINGS, Category.WELLNESS})


class Said(Protocol):
    """What someone said about texts: a `Consent`, or a recorded one."""

    @property
    def said(self) -> str:
        """`yes` or something else."""

    @property
    def categories(self) -> Collection[str]:
        """What they agreed to get texts about."""

    @property
    def warned_of_risk(self) -> bool:
        """Whether they were told that others may see texts (L-38)."""

    @property
    def expires_on(self) -> date | None:
        """The last day on which it is valid."""


def uncounted(consent: Said, today: date, *, own: bool) -> tuple[Problem, ...]:
    """What keeps a yes from counting on `today`, by field; empty for a yes that counts, and for a no.

    `own` says whether it is the patient's own yes.
    """
    if consent.said != "yes":
        return ()
    return tuple(Problem(f"consent.{field}", problem) for field, problem in _uncounted(consent, today, own=own))


def _uncounted(consent: Said, today: date, *, own: bool) -> Iterator[tuple[str, str]]:
    if own and not consent.warned_of_risk:
        yield "warned_of_risk", "is missing; a yes counts only once they were told that others may see texts (L-38)"
    if own and consent.categories and not _OF_A_PATIENT & set(consent.categories):
        yield "categories", "must include appointments, meetings or wellness; else no text goes to them"
    if not own and Category.FAMILY not in consent.categories:
        yield "categories", "must include family; else no text goes to them"
    if consent.expires_on is not None and consent.expires_on < today:
        yield "expires_on", "has passed, so the consent is no longer valid"


def uncounted_in(document: PlanDocument, today: date) -> tuple[Problem, ...]:
    """What keeps the yeses of a plan from counting, each at its place in the document."""
    found = list(uncounted(document.consent, today, own=True)) if document.consent is not None else []
    for index, other in enumerate(document.recipients):
        if other.consent is not None:
            found += [
                Problem(f"recipients[{index}].{one.where}", one.problem)
                for one in uncounted(other.consent, today, own=False)
            ]
    return tuple(found)


def not_told(document: PlanDocument) -> tuple[tuple[str, str], ...]:
    """The other people of a plan who can get no text: each one's key, and why in plain words."""
    named = {name for series in document.all_series() for name in series.for_}
    found = []
    for other in document.recipients:
        if other.part2_consent_on is None:
            found.append((other.key, "the patient's written consent naming them is not on record"))
        elif other.consent is None:
            found.append((other.key, "their own consent is not on record"))
        elif other.consent.said != "yes":
            found.append((other.key, "they said no"))
        elif other.key not in named:
            found.append((other.key, "no visit names them"))
    return tuple(found)


def notes_on(document: PlanDocument, today: date) -> tuple[str, ...]:
    """What someone who submits a plan should know about its consents, one sentence each."""
    missing = (f"a yes does not count yet: {one.where} {one.problem}" for one in uncounted_in(document, today))
    silent = (f"{key} gets no texts: {why}" for key, why in not_told(document))
    return (*missing, *silent)
