"""Series as people write them: `MWF 6pm x 8 wks`, `Tues & Thurs 5:30-7pm`, `every other Wed 3pm through 3/31`. Pure.

Each part is taken out of the text by an exact form; what is left over refuses it.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from operator import itemgetter

from reminders.intake.moments import WEEKDAYS, Clock, Told, Untold, folded, tell
from reminders.plans.recurrence import parse_rule

_CODES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_PLURALS = {f"{names[0]}s": number for number, names in enumerate(WEEKDAYS)} | {"sabados": 5, "domingos": 6}
_DAY = (
    {name: number for number, names in enumerate(WEEKDAYS) for name in names}
    | _PLURALS
    | {"th": 3, "tu": 1, "thr": 3, "mi": 2}
)
_LETTERS = {"m": 0, "tu": 1, "t": 1, "w": 2, "th": 3, "r": 3, "f": 4, "sa": 5, "su": 6}
_WORD = "|".join(sorted((re.escape(name) for name in _DAY), key=len, reverse=True))
_DAYS = re.compile(
    rf"(?<![a-z])(?:(?P<word>{_WORD})(?![a-z])\.?|(?P<run>weekdays|entre semana|daily|every ?day|diario|todos los dias|weekends)(?![a-z])"
    r"|(?P<letters>(?:m|tu|th|t|w|r|f|sa|su){1,7})(?![a-z]))"
)
_UNITS = r"(?:wks?|weeks?|semanas?|sem)"
_COUNTS = (
    ("weeks", re.compile(rf"(?:x|for|por|durante|during)? ?(?<![\d/])(?P<n>\d{{1,3}})[ -]?{_UNITS}\b\.?")),
    ("months", re.compile(r"(?:x|for|por|durante) ?(?P<n>\d{1,2}) ?(?:months?|mos?|meses|mes)\b\.?")),
    (
        "sessions",
        re.compile(
            r"(?:x|for|por)? ?(?<![\d/])(?P<n>\d{1,3}) ?(?:sessions?|visits?|meetings?|groups?|times|sesiones|sesion|citas|visitas|veces)\b"
        ),
    ),
)
_SPELLED = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "ten": 10, "twelve": 12,
            "dos": 2, "tres": 3, "cuatro": 4, "seis": 6, "ocho": 8, "diez": 10, "doce": 12}  # fmt: skip
_EVERY = (
    (
        2,
        re.compile(
            r"\b(?:every other week(?: on)?|every (?:2|two|second) ?(?:wks?|weeks)(?: on)?|every (?:other|2nd|second)|alternate|alternating|fortnightly|cada (?:2|dos|otra) semanas?(?: los?)?|cada otro|every other|una semana si y otra no)\b"
        ),
    ),
    (3, re.compile(r"\b(?:every (?:3|three|third) ?(?:wks?|weeks)|every (?:3rd|third)|cada (?:3|tres) semanas)\b")),
    (4, re.compile(r"\b(?:every (?:4|four|fourth) ?(?:wks?|weeks)|every (?:4th|fourth)|cada (?:4|cuatro) semanas)\b")),
    (
        1,
        re.compile(
            r"\b(?:once a week|twice a week|every week(?: on)?|each week(?: on)?|weekly(?: on)?|semanal(?:mente)?|cada semana(?: los?)?|todas las semanas|todos los|every|each|cada|wkly|per week|a week|por semana)\b"
        ),
    ),
)
_NOT_SURE = re.compile(r"\b(?:bi-?weekly|biweekly|quincenal(?:mente)?|semi-?weekly|bi-?monthly)\b")
_NTH = re.compile(
    r"(?:\b(?:the|el|los)\b )?(?P<nth>(?:(?:1st|2nd|3rd|4th|first|second|third|fourth|last|primer|primero|segundo|tercer|tercero|cuarto|ultimo)(?: ?(?:,|and|y|&|/) ?)?)+) "
    rf"(?P<day>{_WORD})\.?(?: (?:of|in) (?:the|each|every) month| of the month| monthly| (?:de|del) (?:cada )?mes|(?= |$))"
)
_NTHS = {"1st": 1, "first": 1, "2nd": 2, "second": 2, "3rd": 3, "third": 3, "4th": 4, "fourth": 4, "last": -1, "primer": 1, "primero": 1, "segundo": 2,
         "tercer": 3, "tercero": 3, "cuarto": 4, "ultimo": -1}  # fmt: skip
_DATE = (
    r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? )?(?:\d{4}-\d{1,2}-\d{1,2}|\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}|\d{1,2}/\d{1,2}"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|ene|abr|ago|dic)[a-z]*\.? \d{1,2}(?:st|nd|rd|th)?(?:,? (?:de )?\d{4})?"
    r"|\d{1,2} (?:de )?(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|ene|abr|ago|dic)[a-z]*\.?(?:,? (?:del? )?\d{4})?)"
)
_SPAN = re.compile(
    rf"(?:from |de |del )?(?P<a>{_DATE}) ?(?:-|to|through|thru|until|hasta(?: el)?|al?) ?(?P<date>{_DATE})(?![\d/:])"
)
_UNTIL = re.compile(
    rf"(?:through|thru|until|till?|ending(?: on)?|ends(?: on)?|end|to|-|hasta(?: el)?|up to|termina(?: el)?|al) ?(?P<date>{_DATE})(?![\d/:])"
)
_FROM = re.compile(
    rf"(?:starting(?: on)?|starts(?: on)?|start(?: on)?|beginning(?: on)?|begins(?: on)?|begin|from|eff\.?|effective|as of|desde(?: el)?|a partir del?|comenzando(?: el)?|inicia(?: el)?|empieza(?: el)?|del?|el) ?(?P<date>{_DATE})(?![\d/:])"
)
_CLOCK = re.compile(
    r"(?:\b(?:at|a las?|@|from|de|las?)\b ?|@ ?)?(?P<clock>(?:\d{3,4}|\d{1,2}(?:[:.]\d\d)?|noon|mediodia) ?(?:[ap]m\b|[ap]\b(?! ?\d))?(?: ?(?:-|to|until|a|hasta(?: las?)?) ?(?:noon|\d{1,2}(?:[:.]\d\d)?) ?(?:[ap]m?\b)?)?)"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """A series as written: what it says of its days, its clock, and where it begins and ends.

    `days` are (which of the month or 0, weekday). `weeks`, `months` and `sessions` count; `begins` and `ends` are dates,
    which may have two readings or no year (`ends_on` then has month and day).
    """

    days: tuple[tuple[int, int], ...]
    every: int
    clock: Clock | None
    until: Clock | None
    weeks: int | None = None
    months: int | None = None
    sessions: int | None = None
    begins: Told | None = None
    ends: Told | None = None
    ends_on: tuple[int, int] | None = None
    zone_word: str | None = None


def read_standing(text: str) -> Standing:
    """A series from its text. Raises Untold."""
    flat = folded(text)
    for word, number in _SPELLED.items():
        flat = re.sub(
            rf"\b{word}(?= (?:wks?|weeks|sessions|months|semanas|sesiones|meses|visits)\b)", str(number), flat
        )
    if _NOT_SURE.search(flat):
        raise Untold("can mean twice a week or every two weeks; write the days, or write every other week")
    begins, ends, ends_on, flat = _take_dates(flat)
    every, found_every, flat = _take_every(flat)
    counts, flat = _take_counts(flat)
    if not found_every:
        every, _, flat = _take_every(flat)
    days, flat = _take_days(flat)
    clock, until, flat = _take_clock(flat)
    zone_word, flat = _take_zone(flat)
    left = re.sub(r"\b(?:on|and|y|at|the|los|las|el|la|x|en|for|of|per|cada|de)\b|[,;:&/()@.+-]", " ", flat).strip()
    if left:
        raise Untold("has words that we do not read; write it like Mon, Wed, Fri 6pm x 8 weeks")
    if len(counts) + (ends is not None or ends_on is not None) > 1:
        raise Untold("says twice how long it goes on; keep the number of weeks or sessions, or the last date")
    if not days:
        raise Untold("names no day of the week; write it like Mon, Wed, Fri 6pm x 8 weeks")
    if every > 1 and any(nth for nth, _ in days):
        raise Untold("counts days of a month and of every other week; make two rows of it")
    return Standing(
        days=days,
        every=every,
        clock=clock,
        until=until,
        weeks=counts.get("weeks"),
        months=counts.get("months"),
        sessions=counts.get("sessions"),
        begins=begins,
        ends=ends,
        ends_on=ends_on,
        zone_word=zone_word,
    )


def _take_dates(flat: str) -> tuple[Told | None, Told | None, tuple[int, int] | None, str]:
    begins = None
    if span := _SPAN.search(flat):
        begins = tell(span["a"], "day")
        flat = f"{flat[: span.start()]} until {span['date']} {flat[span.end() :]}"
    ends, ends_on, flat = _take_end(flat)
    if begins is None:
        begins, flat = _take_begin(flat)
    return begins, ends, ends_on, flat


def _take_counts(flat: str) -> tuple[dict[str, int], str]:
    counts: dict[str, int] = {}
    for name, pattern in _COUNTS:
        flat, found = _take(flat, pattern)
        if found is not None:
            counts[name] = int(found["n"])
    return counts, flat


def _take_zone(flat: str) -> tuple[str | None, str]:
    found = re.search(r"\b(?:[ecmp][sd]?t|eastern|central|mountain|pacific)\b", flat)
    return (None, flat) if found is None else (found[0].upper(), flat.replace(found[0], " "))


def weekdays(text: str) -> frozenset[int]:
    """The days of the week that a text names, from Monday, 0; none where it cannot be read."""
    try:
        return frozenset(day for _, day in _take_days(folded(text))[0])
    except Untold:
        return frozenset()


def names_days(text: str) -> bool:
    """Whether a text names any day of the week."""
    try:
        return bool(_take_days(folded(text))[0])
    except Untold:
        return True


def _take(flat: str, pattern: re.Pattern[str]) -> tuple[str, re.Match[str] | None]:
    found = pattern.search(flat)
    return (flat, None) if found is None else (f"{flat[: found.start()]} {flat[found.end() :]}", found)


def _take_end(flat: str) -> tuple[Told | None, tuple[int, int] | None, str]:
    rest, found = _take(flat, _UNTIL)
    if found is None:
        return None, None, flat
    try:
        return tell(found["date"], "day"), None, rest
    except Untold:
        pass
    for year in (2024, 2023):  # one of them has a February 29
        try:
            told = tell(_with_year(found["date"], year), "day")
        except Untold:
            continue
        if told.is_open:
            raise Untold("ends on a date that can be read two ways; write it like 2027-03-31")
        day = told.day(None)
        assert day is not None
        return None, (day.month, day.day), rest
    raise Untold("ends on a date that there is not; write it like 2027-03-31")


def _with_year(text: str, year: int) -> str:
    return (
        f"{text}/{year}"
        if re.fullmatch(r"[^a-z]*\d+/\d+", text)
        else f"{text.replace('-', '/')}/{year}"
        if re.fullmatch(r"\d+-\d+", text)
        else f"{text}, {year}"
    )


def _take_begin(flat: str) -> tuple[Told | None, str]:
    rest, found = _take(flat, _FROM)
    return (None, flat) if found is None else (tell(found["date"], "day"), rest)


def _take_every(flat: str) -> tuple[int, bool, str]:
    for every, pattern in _EVERY:
        rest, found = _take(flat, pattern)
        if found is not None:
            return every, True, rest
    return 1, False, flat


def _take_days(flat: str) -> tuple[tuple[tuple[int, int], ...], str]:
    days: list[tuple[int, int]] = []
    while found := _NTH.search(flat):
        days += [(_NTHS[word], _DAY[found["day"]]) for word in re.findall(r"[a-z0-9]+", found["nth"]) if word in _NTHS]
        flat = f"{flat[: found.start()]} {flat[found.end() :]}"
    span = re.compile(
        rf"(?<![a-z])(?P<a>{_WORD}|m|t|w|r|f)\.?(?: ?- ?| to | thru | through | a )(?P<b>{_WORD}|m|t|w|r|f)(?![a-z])\.?"
    )
    while found := span.search(flat):
        first, last = (_DAY.get(found[end], _LETTERS.get(found[end], 0)) for end in ("a", "b"))
        if last <= first:
            raise Untold("names its days in an order that we do not read; write them one by one")
        days += [(0, day) for day in range(first, last + 1)]
        flat = f"{flat[: found.start()]} {flat[found.end() :]}"
    while found := _DAYS.search(flat):
        days += [(0, day) for day in _named(found)]
        flat = f"{flat[: found.start()]} {flat[found.end() :]}"
    if any(nth for nth, _ in days) and any(not nth for nth, _ in days):
        raise Untold("counts days of a month and of every week; make two rows of it")
    return tuple(dict.fromkeys(days)), flat


def _named(found: re.Match[str]) -> list[int]:
    if found["word"]:
        return [_DAY[found["word"]]]
    if found["run"]:
        return {"weekdays": list(range(5)), "entre semana": list(range(5)), "weekends": [5, 6]}.get(
            found["run"], list(range(7))
        )
    letters, days = found["letters"], []
    while letters:
        size = 2 if letters[:2] in _LETTERS else 1
        days.append(_LETTERS[letters[:size]])
        letters = letters[size:]
    if len(set(days)) < len(days):
        raise Untold("names a day twice; write the days like Mon, Wed, Fri")
    return days


def _take_clock(flat: str) -> tuple[Clock | None, Clock | None, str]:
    found = _CLOCK.search(flat)
    if found is None:
        return None, None, flat
    told = tell(found["clock"].strip(), "clock")
    return told.clock, told.until, f"{flat[: found.start()]} {flat[found.end() :]}"


@dataclass(frozen=True, slots=True)
class Laid:
    """A series on its dates: its first wall clock, and its rule (RRULE)."""

    starts: datetime
    repeats: str


def lay_out(standing: Standing, *, begins: date, ends: date | None, at: time) -> Laid:
    """The series from its first date on or after `begins`, up to and including `ends` where that is given. Raises Untold."""
    if standing.ends_on is not None and ends is None:
        ends = _next(standing.ends_on, begins)
    monthly = any(nth for nth, _ in standing.days)
    named = ",".join(f"{nth or ''}{_CODES[day]}" for nth, day in sorted(standing.days, key=itemgetter(1, 0)))
    parts = ["FREQ=MONTHLY" if monthly else "FREQ=WEEKLY"]
    if standing.every > 1:
        parts.append(f"INTERVAL={standing.every}")
    parts.append(f"BYDAY={named}")
    rule = ";".join(parts)
    first = _first(standing, begins, at, monthly=monthly)
    if standing.sessions is not None:
        return Laid(first, f"{rule};COUNT={_some(standing.sessions)}")
    if standing.weeks is not None and standing.every == 1 and not monthly:
        return Laid(first, f"{rule};COUNT={_some(standing.weeks) * len(standing.days)}")
    if standing.weeks is not None:
        ends = first.date() + timedelta(weeks=_some(standing.weeks), days=-1)
    if standing.months is not None:
        months = first.month - 1 + _some(standing.months)
        year, month = first.year + months // 12, months % 12 + 1
        ends = next(day for back in range(4) if (day := _maybe(year, month, first.day - back))) - timedelta(days=1)
    if ends is not None:
        if ends < first.date():
            raise Untold("ends before it begins; check the dates")
        rule += f";UNTIL={ends:%Y%m%d}"
    return Laid(first, rule)


def _first(standing: Standing, begins: date, at: time, *, monthly: bool) -> datetime:
    if monthly:
        rule = parse_rule("FREQ=MONTHLY;BYDAY=" + ",".join(f"{nth}{_CODES[day]}" for nth, day in standing.days))
        found = rule.first(datetime.combine(begins, at))
        assert found is not None
        return found
    weekdays = {day for _, day in standing.days}
    return next(
        datetime.combine(begins + timedelta(days=ahead), at)
        for ahead in range(7)
        if (begins + timedelta(days=ahead)).weekday() in weekdays
    )


def _some(count: int) -> int:
    if not 1 <= count <= 500:
        raise Untold("goes on for a number of times that cannot be meant; check it")
    return count


def _next(month_and_day: tuple[int, int], begins: date) -> date:
    for year in range(begins.year, begins.year + 9):
        day = _maybe(year, *month_and_day)
        if day is not None and day >= begins:
            return day
    raise Untold("ends on a date that there is not; write it like 2027-03-31")


def _maybe(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None
