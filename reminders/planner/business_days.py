"""Business days as the FCC counts them for the ten days in which a no must be honoured (L-11): Monday to Friday but for
the federal holidays of 5 U.S.C. 6103, on the weekday on which they are kept.
"""

from collections.abc import Iterator
from datetime import date, timedelta

from dateutil.relativedelta import MO, TH, relativedelta

A_DAY = timedelta(days=1)
TO_HONOUR = 10  # business days


def honour_by(received_on: date) -> date:
    """The last day on which a no that came on that day must be honoured by law. We do it at once; this is the alarm."""
    day, left = received_on, TO_HONOUR
    while left:
        day += A_DAY
        left -= is_business_day(day)
    return day


def is_business_day(day: date) -> bool:
    """Whether it is a weekday and no federal holiday is kept on it."""
    return day.weekday() < 5 and day not in set(_kept(day.year)) | set(_kept(day.year + 1))


def _kept(year: int) -> Iterator[date]:
    for month, number in ((1, 1), (6, 19), (7, 4), (11, 11), (12, 25)):
        day = date(year, month, number)
        yield day + {5: -A_DAY, 6: A_DAY}.get(day.weekday(), timedelta())  # Saturday's on Friday, Sunday's on Monday
    for month, weekday in ((1, MO(3)), (2, MO(3)), (9, MO(1)), (10, MO(2)), (11, TH(4))):
        yield date(year, month, 1) + relativedelta(weekday=weekday)
    yield date(year, 5, 31) + relativedelta(weekday=MO(-1))
