"""What to check in an acceptable plan: nothing here is certainly wrong, but most of it is a mistake."""

from collections.abc import Iterator, Mapping
from datetime import date
from itertools import islice
from typing import Any

from reminders.plans.document import PlanDocument
from reminders.plans.fields import region_of
from reminders.plans.recurrence import LONG_BEFORE, Series, dates, left_out

LOOKED_AT = 1000  # dates of one series


def remarks(
    document: PlanDocument, *, today: date, zone: str, region: str, before: Mapping[str, Any] | None = None
) -> list[str]:
    """What to check, in a coordinator's words; `today`, `zone` and `region` are the site's.

    `before` is the last accepted document, as parsed JSON. No remark repeats a name or a number.
    """
    return [*_people(document, region), *_dates(document, today, zone), *_long_ago(document, today, zone, before)]


def _people(document: PlanDocument, home: str) -> Iterator[str]:
    if not any(letter.isalpha() for letter in document.patient.name):
        yield "the patient's name has no letters; check it"
    people = [("the patient", document.patient.phone), *((one.key, one.phone) for one in document.recipients)]
    for who, phone in people:
        if (region := region_of(phone)) not in {"", home}:
            yield f"the number of {who} is in {region}, outside {home}; check that it is right"


def _dates(document: PlanDocument, today: date, zone: str) -> Iterator[str]:
    left = document.plan.discharged_on
    agreed = [one for one in document.all_series() if one.status != "cancelled"]
    last = [max(found) for one in agreed if (found := _walls(one, zone, today))]
    if agreed and document.plan.status == "active" and (not last or max(last) < today):
        yield "every visit has passed, so no text goes; check the year"
    for one in agreed:
        if one.starts.date() < left - LONG_BEFORE:
            yield f"{one.key}: starts long before the discharge, in {one.starts.year}; check the year"
        elif one.repeats is None and one.starts.date() < left:
            yield f"{one.key}: the visit is before the discharge; check the date"
        for old, new in one.move.items():
            if new.date() < left or (old.date() >= today > new.date()):
                yield f"{one.key}: a date is moved into the past; check the year"
    for one in document.series:
        if (missing := left_out(one)) is not None:
            yield f"{one.key}: {missing}"


def _long_ago(document: PlanDocument, today: date, zone: str, before: Mapping[str, Any] | None) -> Iterator[str]:
    """Remarks on series whose dates are all long past at entry: in December, usually January of the wrong year."""
    known = {(one["key"], one["starts"]) for one in (before or {}).get("series", ())}
    for one in document.series:
        is_news = one.status != "cancelled" and (one.key, one.starts.isoformat()) not in known
        if not is_news or one.starts.date() < document.plan.discharged_on:  # it has its own remark
            continue
        found = _walls(one, zone, today)
        if found and max(found) < today - LONG_BEFORE:
            yield f"{one.key}: its last date passed long ago, in {max(found).year}; check the year"


def _walls(one: Series, zone: str, today: date) -> list[date]:
    """The actual dates of a series up to the first future one."""
    found = []
    for wall in islice(dates(one, zone), LOOKED_AT):
        found.append(wall)
        if wall >= today:
            break
    return found
