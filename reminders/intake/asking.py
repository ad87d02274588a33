"""The questions that a spreadsheet leaves open, each asked once, with what one may answer. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reminders.intake.arrivals import Question, Trouble
from reminders.intake.columns import Header
from reminders.intake.evidence import Evidence
from reminders.intake.moments import Clock
from reminders.plans import Kind
from reminders.plans.walltime import place_of

_MOST_WORDS = 12  # of statuses that no one knows; more is another column
_STATUSES = ("booked", "tentative", "cancelled", "attended", "missed", "skip")


@dataclass(slots=True, repr=False)
class Asked:
    """One question, while the rows that wait for it are counted: the first of them, and the word as it stands."""

    rows: int = 0
    first: str = ""
    word: str = ""


def ask(asked: Mapping[tuple[str, str], Asked], evidence: Evidence, header: Header) -> Iterator[Question | Trouble]:
    """A question for each thing that rows wait for, by what it is about and its word."""
    statuses = [one for (about, _), one in asked.items() if about == "status"]
    for (about, _), one in asked.items():
        if about == "status" and len(statuses) > _MOST_WORDS:
            continue
        yield _question(about, one, evidence, header)
    if len(statuses) > _MOST_WORDS:
        column = header.one("status")
        rows = sum(one.rows for one in statuses)
        yield Trouble(
            "header",
            f"has more than {_MOST_WORDS} words that are no status we know, in {rows} rows; "
            "say in a profile which column is the status",
            column.header if column else None,
        )


def _question(about: str, asked: Asked, evidence: Evidence, header: Header) -> Question:
    match about:
        case "date_order":
            return _date_order(asked, evidence)
        case "clock":
            return _clock(asked, evidence)
        case "zones":
            likely, word = place_of(asked.word), asked.word[:40]
            said = f'[zones]\n"{word}" = "{likely or "America/New_York"}"'
            places = (likely,) if likely else ()
            return Question(about, f'Which place\'s clock is "{word}"?', places, said, asked.rows, asked.first)
        case "bare_id":
            column = header.one("bare_id")
            name = column.header if column else "ID"
            said = f'[columns]\nid = "{name}"  # or patient = "{name}"'
            question = f'Is the column "{name}" the number of the visit, or of the patient?'
            return Question(about, question, ("id", "patient"), said, asked.rows, asked.first)
        case _:
            word, is_kind = asked.word[:60], about == "kinds"
            what = "What kind of visit is" if is_kind else "What is meant by the status"
            choices = tuple(kind.value for kind in Kind) if is_kind else _STATUSES
            said = f'[{about}]\n"{word}" = "{choices[0]}"'
            return Question(about, f'{what} "{word}"?', choices, said, asked.rows, asked.first)


def _date_order(asked: Asked, evidence: Evidence) -> Question:
    place, told = evidence.order.open[0]
    month_first, day_first = told.month_first, told.day_first
    assert month_first is not None
    assert day_first is not None
    choices = (
        f"{month_first:%B} {month_first.day}, {month_first.year} (month first)",
        f"{day_first:%B} {day_first.day}, {day_first.year} (day first)",
    )
    said = 'date_order = "month first"  # or "day first"'
    return Question("date_order", f"Which date is meant in {place}?", choices, said, asked.rows, place)


def _clock(asked: Asked, evidence: Evidence) -> Question:
    unread = [(place, clock) for place, clock in evidence.clocks.open if evidence.clocks.read(clock) is None]
    place, clock = unread[0] if unread else (asked.first, Clock(3, 0))
    later = f"{clock.hour % 12 + 12}:{clock.minute:02}"
    office = "all times lie between 7:00 am and 6:59 pm" if clock.hour < 7 else "write pm beside it in the file"
    choices = (f"{clock.hour:02}:{clock.minute:02} (a clock of 24 hours)", f"{later} ({office})")
    question = f"Times stand without am and pm. Which is meant in {place}?"
    return Question("clock", question, choices, 'clock = "24"  # or "office"', asked.rows, place)
