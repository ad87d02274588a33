"""Business days as the FCC counts them for the ten-day limit on honoring an opt-out (L-11): Monday to Friday, except
federal holidays (5 U.S.C. 6103) on the weekdays on which they are observed.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from dateutil.relativedelta import MO, TH, relativedelta

A_DAY = timedelta(days=1)
TO_HONOR = 10  # business days


def honour_by(received_on: date) -> date:
    """The legal deadline for an opt-out received on that day. We honor it at once; the date is for the alarm."""
    day, left = received_on, TO_HONOR
    while left:
        day += A_DAY
        left -= is_business_day(day)
    return day


def is_business_day(day: date) -> bool:
    """Whether the day is a weekday on which no federal holiday is observed."""
    return day.weekday() < 5 and day not in set(_observed(day.year)) | set(_observed(day.year + 1))


def _observed(year: int) -> Iterator[date]:
    for month, number in ((1, 1), (6, 19), (7, 4), (11, 11), (12, 25)):
        day = date(year, month, number)
        yield day + {5: -A_DAY, 6: A_DAY}.get(day.weekday(), timedelta())  # Saturday → Friday, Sunday → Monday
    for month, weekday in ((1, MO(3)), (2, MO(3)), (9, MO(1)), (10, MO(2)), (11, TH(4))):
        yield date(year, month, 1) + relativedelta(weekday=weekday)
    yield date(year, 5, 31) + relativedelta(weekday=MO(-1))
