"""The table of named days: who is texted what and when, written by hand from the rules in `days/*.txt`.

The files are the specification, and the code must follow them. A case that the code does not meet has a line `defect`
that says why; it fails as soon as the code meets it, so that the line is removed.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest

from reminders.planner import (
    Candidate,
    Due,
    Go,
    Gone,
    Policy,
    QuietHours,
    Reader,
    Reason,
    Visit,
    added,
    guard,
    plan,
    untold,
)
from reminders.plans import Category, Kind, Lead, is_zone, to_instant, to_wall
from reminders.service.planning.rendering import render
from reminders.wording import Unsayable

NEW_YORK = "America/New_York"
ALIAS, PHONE = "Oak Street Office", "+12025550100"
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DAY = re.compile(rf"({'|'.join(WEEKDAYS)}) (\d{{1,2}}) ({'|'.join(MONTHS)})(?: (\d{{4}}))?")
LINE = re.compile(r'(?:(\w+): )?(\w{3} \d{1,2} \w{3}) \d\d:\d\d(?: again)? (\w+)(?: (".+"|about .+))?')
DEFAULT_LEADS = tuple(map(Lead.parse, ("3d@17:00", "1d@17:00", "2h")))
SERIES_LEADS = (Lead.parse("1d@17:00"),)
NIGHT = QuietHours(time(20), time(9))


@dataclass
class Party:
    reader: Reader
    language: str = "en"
    visits: list[Visit] = field(default_factory=list)


@dataclass
class Case:
    """One named day. `expected` are its lines after the arrow, with single spaces."""

    name: str
    where: str
    rule: str = ""
    defect: str = ""
    now: datetime | None = None
    site_zone: str = NEW_YORK
    quiet: tuple[QuietHours, ...] = (NIGHT,)
    policy: Policy = field(default_factory=lambda: Policy(DEFAULT_LEADS, SERIES_LEADS, per_day=1, per_week=7))
    parties: dict[str, Party] = field(default_factory=dict)
    gone: list[Gone] = field(default_factory=list)
    visits: int = 0
    year: int = 0
    expected: list[str] = field(default_factory=list)


# Reading the table.


class BadCaseError(Exception):
    """A line that does not use the table's words."""


def read_day(text: str, year: int) -> date:
    match = DAY.fullmatch(text)
    if not match:
        raise ValueError(f"no date such as 'Thu 3 Dec': {text!r}")
    weekday, day, month, own_year = match.groups()
    found = date(int(own_year or year), MONTHS.index(month) + 1, int(day))
    if WEEKDAYS[found.weekday()] != weekday:
        raise ValueError(f"{found} is a {WEEKDAYS[found.weekday()]}, not a {weekday}")
    return found


def read_when(text: str, year: int) -> datetime:
    day, _, clock = text.rpartition(" ")
    return datetime.combine(read_day(day, year), read_clock(clock))


def read_clock(text: str) -> time:
    if not re.fullmatch(r"\d\d:\d\d", text):
        raise ValueError(f"no time such as 09:00: {text!r}")
    return time.fromisoformat(text)


def read_hours(text: str) -> tuple[time, time]:
    starts, _, ends = text.partition("-")
    return read_clock(starts), read_clock(ends)


def read_zone(text: str) -> str:
    if not is_zone(text):
        raise ValueError(f"no zone: {text!r}")
    return text


def read_table(text: str, file: str) -> Iterator[Case]:
    """The cases of one file. Raises BadCaseError with the line for anything unknown."""
    case, arrow = None, False
    for number, line in enumerate(text.splitlines(), start=1):
        words = " ".join(line.split())
        if not words or words.startswith("#"):
            continue
        if words.startswith("== "):
            if case is not None:
                yield finished(case)
            case, arrow = Case(words[3:], f"{file}:{number}"), False
        elif words == "->" and not arrow:
            arrow = True
        else:
            try:
                read_line(case, words, arrow=arrow)
            except ValueError as problem:
                raise BadCaseError(f"{file}:{number}: {problem}") from None
    if case is not None:
        yield finished(case)


def read_line(case: Case | None, words: str, *, arrow: bool) -> None:
    word, _, rest = words.partition(" ")
    if case is None:
        raise ValueError("no case has begun")
    if arrow:
        case.expected.append(checked_line(words, case))
    elif word in FIELDS:
        FIELDS[word](case, rest)
    else:
        raise ValueError(f"unknown word {word!r}; there are {', '.join(FIELDS)}")


def finished(case: Case) -> Case:
    for what, missing in (
        ("rule", not case.rule),
        ("now", case.now is None),
        ("visit", not case.visits),
        ("expected line", not case.expected),
    ):
        if missing:
            raise BadCaseError(f"{case.where}: {case.name}: it has no {what}")
    if case.expected == ["nothing"]:
        case.expected = []
    return case


def checked_line(words: str, case: Case) -> str:
    if words == "nothing" and not case.expected:
        return words
    match = LINE.fullmatch(words)
    if not match:
        raise ValueError("not 'Thu 3 Dec 17:00 goes \"…\"', '… went' or '… <reason> about <visits>'")
    who, day, what, rest = match.groups()
    if WEEKDAYS[nearest(day, case).weekday()] != day[:3]:
        raise ValueError(f"{day} is a {WEEKDAYS[nearest(day, case).weekday()]}")
    if (who or "reader") not in case.parties:
        raise ValueError(f"there is no reader {who or 'without a name'}")
    wanted = {"goes": '"', "went": ""}.get(what, "a")
    if wanted == "a" and what not in set(Reason):
        raise ValueError(f"unknown word {what!r}: neither goes, went nor a reason")
    if (rest or "")[:1] != wanted:
        raise ValueError('after goes comes the text in "…", after went nothing, after a reason about which visits')
    if wanted == "a":
        about, *clocks = rest.removeprefix("about ").split(", ")
        on, _, first = about.rpartition(" ")
        theirs = case.parties[who or "reader"].visits
        booked = {f"{said_day(visit.wall)} {visit.wall:%H:%M}" for visit in theirs}
        if not {f"{on} {clock}" for clock in (first, *clocks)} <= booked:
            raise ValueError(f"there is no such visit: {rest}")
    return words


def nearest(day: str, case: Case) -> date:
    """A date without its year: the one nearest to `now`."""
    _, number, month = day.split()
    today, possible = to_wall(case.now, case.site_zone).date(), []
    for year in (case.year - 1, case.year, case.year + 1):
        with suppress(ValueError):  # there is no 29 February in it
            possible.append(date(year, MONTHS.index(month) + 1, int(number)))
    if not possible:
        raise ValueError(f"no date such as 'Thu 3 Dec': {day!r}")
    return min(possible, key=lambda one: abs(one - today))


def read_rule(case: Case, rest: str) -> None:
    case.rule = rest


def read_defect(case: Case, rest: str) -> None:
    case.defect = rest


def read_now(case: Case, rest: str) -> None:
    wall = read_when(rest, 0)
    case.year = wall.year
    case.now = to_instant(wall, case.site_zone)
    if not case.parties:
        read_reader(case, "")


def read_site(case: Case, rest: str) -> None:
    if case.now is not None or case.parties:
        raise ValueError("the site comes before its readers and now")
    for option in rest.split(", "):
        word, _, value = option.partition(" ")
        if option == "no quiet hours":
            case.quiet = ()
        elif word == "quiet":
            case.quiet = (QuietHours(*read_hours(value)),)
        elif word == "zone":
            case.site_zone = read_zone(value)
        elif word == "closed":
            closed = case.policy.closures | {read_day(value, 0)}
            case.policy = replace(case.policy, closures=closed)
        elif match := re.fullmatch(r"(\d+) a (day|week)", option):
            case.policy = replace(case.policy, **{f"per_{match[2]}": int(match[1])})
        else:
            raise ValueError(f"unknown word {option!r} of a site")


def read_reader(case: Case, rest: str) -> None:
    if case.now is not None and rest:
        raise ValueError("readers come before now")
    name, options = re.fullmatch(r"(?:([a-z]+):(?: |$))?(.*)", rest).groups(default="reader")
    if name in case.parties:
        raise ValueError(f"there is a reader {name} already")
    categories = frozenset({Category.APPOINTMENTS, Category.MEETINGS})
    who = Reader(len(case.parties) + 1, "self", case.site_zone, case.quiet, consented=True, categories=categories)
    party = case.parties[name] = Party(who)
    for option in filter(None, options.split(", ")):
        read_reader_option(party, option)


def read_reader_option(party: Party, option: str) -> None:
    who = party.reader
    word, _, value = option.partition(" ")
    if option == "no consent":
        changes = {"consented": False}
    elif option in {"opted out", "number bad"}:
        changes = {option.replace(" ", "_"): True}
    elif option in {"supporter", "guardian"}:
        changes = {"role": option}
    elif word == "zone":
        changes = {"zone": read_zone(value)}
    elif option.startswith("perhaps in "):
        changes = {"also_zones": (read_zone(option.removeprefix("perhaps in ")),)}
    elif word == "hours":
        changes = {"quiet": (*who.quiet, QuietHours.outside(*read_hours(value)))}
    elif option.startswith("agreed to "):
        changes = {"categories": frozenset(map(Category, option.removeprefix("agreed to ").split()))}
    elif match := re.fullmatch(r"(\d+) a (day|week)", option):
        changes = {f"per_{match[2]}": int(match[1])}
    elif word == "speaks":
        party.language, changes = value, {}
    else:
        raise ValueError(f"unknown word {option!r} of a reader")
    party.reader = replace(who, **changes)


def read_visit(case: Case, rest: str) -> None:
    when, *options = rest.split(", ")
    wall, party = read_when(when, need_year(case)), next(iter(case.parties.values()))
    if ("one-off" in options) == ("series" in options):
        raise ValueError("a visit is one-off or series")
    case.visits += 1
    visit = Visit(
        id=case.visits,
        kind=Kind.THERAPY_INDIVIDUAL,
        wall=wall,
        zone=case.site_zone,
        starts_at=datetime.max.replace(tzinfo=UTC),
        status="booked",
        repeats="series" in options,
        first="first" in options,
        leads=None,
        plan_status="active",
    )
    for option in options:
        word, _, value = option.partition(" ")
        if option in set(Kind):
            visit = replace(visit, kind=Kind(option))
        elif option in {"tentative", "cancelled", "attended", "missed"}:
            visit = replace(visit, status=option)
        elif option in {"plan paused", "plan ended"}:
            visit = replace(visit, plan_status=value)
        elif word == "zone":
            visit = replace(visit, zone=read_zone(value))
        elif word == "leads":
            visit = replace(visit, leads=tuple(map(Lead.parse, value.split())))
        elif word == "for":
            party = named_party(case, value)
        elif option not in {"one-off", "series", "first"}:
            raise ValueError(f"unknown word {option!r} of a visit")
    party.visits.append(replace(visit, starts_at=to_instant(wall, visit.zone)))


def read_went(case: Case, rest: str) -> None:
    when, *options = rest.split(", ")
    party, key, about = next(iter(case.parties.values())), "", frozenset[int]()
    for option in options:
        if option in {"notice", "answer", "welcome", "staff"}:
            key = f"{option}:{len(case.gone)}"
        elif match := re.fullmatch(r"lead (\S+) of (.+) about ([\d ]+)", option):
            key = f"day:{read_day(match[2], need_year(case))}:{Lead.parse(match[1])}"
            about = frozenset(map(int, match[3].split()))
        elif option.startswith("for "):
            party = named_party(case, option.removeprefix("for "))
        else:
            raise ValueError(f"unknown word {option!r} of a text that went")
    if not key:
        raise ValueError("a text that went was a notice, an answer, a welcome, staff or 'lead … of … about …'")
    at = to_instant(read_when(when, need_year(case)), party.reader.zone)
    if not key.startswith("day:"):
        return  # only reminders count
    case.gone.append(Gone(party.reader.id, key, at, about))


def need_year(case: Case) -> int:
    if not case.year:
        raise ValueError("`now` comes first: it gives the year")
    return case.year


def named_party(case: Case, name: str) -> Party:
    if name not in case.parties:
        raise ValueError(f"there is no reader {name!r}")
    return case.parties[name]


FIELDS: dict[str, Callable[[Case, str], None]] = {
    "rule": read_rule,
    "defect": read_defect,
    "site": read_site,
    "reader": read_reader,
    "now": read_now,
    "visit": read_visit,
    "went": read_went,
}


# What the code says, in the table's words.


def candidates_of(case: Case) -> list[tuple[str, Party, Candidate]]:
    who = {party.reader.id: (name, party) for name, party in case.parties.items()}
    planned = plan([(party.reader, party.visits) for party in case.parties.values()], case.policy, case.now, case.gone)
    planned.sort(key=lambda one: (one.goes_at or one.opens_at, one.reader, one.key))
    return [(*who[one.reader], one) for one in planned]


def shown(case: Case) -> list[str]:
    went = {(one.reader, one.key) for one in case.gone}
    lines = []
    for name, party, one in candidates_of(case):
        moment = one.goes_at or one.opens_at
        wall = to_wall(moment, party.reader.zone)
        again = " again" if to_instant(wall, party.reader.zone) != moment else ""
        who = "" if name == "reader" else f"{name}: "
        became = outcome(one, party, went=(one.reader, one.key) in went)
        lines.append(f"{who}{said_day(wall)} {wall:%H:%M}{again} {became}")
    return lines + list(notices_of_added(case))


def notices_of_added(case: Case) -> Iterator[str]:
    """The notices of visits added to a day after its text was sent; they read like the reminder."""
    candidates = candidates_of(case)
    for name, party in case.parties.items():
        mine = [one for _, _, one in candidates if one.reader == party.reader.id]
        for visit in untold(mine, case.gone):
            notice = added(party.reader, visit, case.policy, case.now)
            if notice is not None:
                wall = to_wall(notice.goes_at, party.reader.zone)
                who = "" if name == "reader" else f"{name}: "
                yield f'{who}{said_day(wall)} {wall:%H:%M} goes "{body_of([visit], party, notice.goes_at)}"'


def body_of(visits: Sequence[Visit], party: Party, at: datetime) -> str:
    return render(visits, language=party.language, alias=ALIAS, phone=PHONE, reader_zone=party.reader.zone, now=at).body


def outcome(one: Candidate, party: Party, *, went: bool) -> str:
    clocks = ", ".join(f"{visit.wall:%H:%M}" for visit in one.visits)
    about = f"about {said_day(one.visits[0].wall)} {clocks}"
    if one.goes_at is None:
        return f"{one.reason} {about}"
    if went:
        return "went"
    try:
        return f'goes "{body_of(one.visits, party, one.goes_at)}"'
    except Unsayable as unsayable:
        return f"{unsayable.reason} {about}"


def said_day(wall: datetime) -> str:
    return f"{WEEKDAYS[wall.weekday()]} {wall.day} {MONTHS[wall.month - 1]}"


TABLE = [
    case
    for file in sorted(Path(__file__).with_name("days").glob("*.txt"))
    for case in read_table(file.read_text(encoding="utf-8"), file.name)
]


def named(case: Case) -> object:
    broken = [pytest.mark.xfail(strict=True, raises=pytest.fail.Exception, reason=case.defect)]
    return pytest.param(case, id=case.name, marks=broken if case.defect else [])


@pytest.mark.parametrize("case", [named(case) for case in TABLE])
def test_the_day_has_the_texts_that_the_rules_give_it(case):
    found = shown(case)
    if sorted(found) != sorted(case.expected):
        both = ["expected:", *(case.expected or ["nothing"]), "found:", *(found or ["nothing"])]
        pytest.fail("\n".join([f"{case.where}: {case.name} ({case.rule})", *both]), pytrace=False)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in TABLE])
def test_promise_3_the_guard_at_the_moment_of_sending_agrees(case):
    went = {(one.reader, one.key): one.at for one in case.gone}
    going = [(party, one) for _, party, one in candidates_of(case) if one.goes_at]
    for party, one in going:
        if (one.reader, one.key) in went:
            continue
        before = [other.goes_at for _, other in going if other.goes_at < one.goes_at]
        notices = [at for key, at in went.items() if key not in {(other.reader, other.key) for _, other in going}]
        gone = tuple(at for at in (*before, *notices) if at > one.goes_at - timedelta(days=14))
        due = Due(party.reader, one.visits, one.day, one.lead, one.closes_at, gone)
        assert guard(due, case.policy, one.goes_at) == Go(one.visits), case.where


# The table itself.


def test_there_are_at_least_sixty_days_each_with_a_name_of_its_own():
    assert len({case.name for case in TABLE}) == len(TABLE) >= 60
    assert sum(party.language == "es" for case in TABLE for party in case.parties.values()) >= 6


def test_every_reason_of_the_planner_and_the_wording_has_its_day():
    said = {LINE.fullmatch(line)[3] for case in TABLE for line in case.expected}
    # A day cannot express that a number is verified, or that the lint judges a text.
    assert {str(reason) for reason in Reason} - said == {"unverified", "lint"}


GOOD = """\
== a day
rule   docs/design.md#the-planner
now    Fri 20 Nov 2026 12:00
visit  Thu 3 Dec 15:00, series
->
Wed 2 Dec 17:00  goes  "words"
"""


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("rule ", "rules ", "days.txt:2: unknown word 'rules'"),
        ("Fri 20", "Sat 20", "days.txt:3: 2026-11-20 is a Fri, not a Sat"),
        ("12:00", "noon", "days.txt:3: no time"),
        ("series", "weekly", "days.txt:4: a visit is one-off or series"),
        ("series", "series, therapy", "days.txt:4: unknown word 'therapy' of a visit"),
        ("series", "series, for two", "days.txt:4: there is no reader 'two'"),
        ("series", "series, leads soon", "days.txt:4: a lead is written like"),
        ("series", "series, zone Europe/Oz", "days.txt:4: no zone"),
        ("now ", "reader fast asleep\nnow ", "days.txt:3: unknown word 'fast asleep' of a reader"),
        ("now ", "site closed, now and then\nnow ", "days.txt:3: no date"),
        ("now ", "site open\nnow ", "days.txt:3: unknown word 'open' of a site"),
        ("->", "went Wed 2 Dec 10:00, letter\n->", "days.txt:5: unknown word 'letter'"),
        ("goes", "flies", "days.txt:6: unknown word 'flies'"),
        ('goes  "words"', "goes", "days.txt:6: after goes comes the text"),
        ('goes  "words"', "cap_day", "days.txt:6: after goes comes the text"),
        ("Wed 2 Dec", "Wed 3 Dec", "days.txt:6: Wed 3 Dec is a Thu"),
        ('goes  "words"', "cap_day  about Fri 4 Dec 15:00", "days.txt:6: there is no such visit"),
        ("Wed 2", "two: Wed 2", "days.txt:6: there is no reader two"),
        ("rule   docs/design.md#the-planner\n", "", "days.txt:1: a day: it has no rule"),
        ("->\n", "", "days.txt:5: unknown word 'Wed'"),
        ("== a day\n", "", "days.txt:1: no case has begun"),
        ("visit  Thu 3 Dec 15:00, series\n->\n", "->\n#", "days.txt:1: a day: it has no visit"),
    ],
)
def test_a_word_the_table_does_not_know_is_an_error_that_names_the_line(old, new, problem):
    assert len(list(read_table(GOOD, "days.txt"))) == 1
    with pytest.raises(BadCaseError, match=re.escape(problem)):
        list(read_table(GOOD.replace(old, new, 1), "days.txt"))
