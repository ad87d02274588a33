"""The command about programs: list the templates of plans there are, or lay one out on its dates."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reminders.cli.output import Exit, Json, end, err, print_json, print_json_lines, print_table

if TYPE_CHECKING:
    from reminders.plans import Plan, Program, ProgramSeries
    from reminders.settings import Settings

_OPTIONS = {"discharged_on": "--discharge", "starts_on": "--starts-on", "program_times": "--time"}


def respelled(
    words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,  # ruff: ignore[unused-function-argument]  taken so that the answer is about the spelling
) -> None:
    """Refuse the British spelling and name the command that exists."""
    raise typer.BadParameter("the command is spelled `reminders programs`", param_hint="programmes")


def programs(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Show this one with its dates.")] = None,
    discharge: Annotated[
        str | None, typer.Option(metavar="DATE", help="The day of discharge; default today at the site.")
    ] = None,
    starts_on: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="The first day; default the first Monday on or after discharge."),
    ] = None,
    times: Annotated[
        list[str] | None,
        typer.Option("--time", metavar="WHAT=HH:MM", help="The time of a series or a kind; may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """List the templates of plans, or show one with its dates."""
    from reminders import plans
    from reminders.settings import SettingsError, load

    found = plans.programs()
    if name is None:
        if discharge is not None or starts_on is not None or times:
            raise typer.BadParameter("dates and times are for one program; name it", param_hint="NAME")
        _list(found, json=json)
        return
    if name not in found:
        end(
            Exit.NOT_FOUND,
            f"There is no program {name}; the closest is {_closest(name, found)}. `reminders programs` lists all.",
        )
    try:
        settings = load()
    except SettingsError as refusal:
        end(Exit.REFUSED, str(refusal))
    plan = _plan(found[name], settings, discharge, starts_on, times or [])
    laid_out = _lay_out(found[name], plan, settings)
    if json:
        print_json(laid_out.document())
    else:
        laid_out.show()


def _closest(name: str, found: "Mapping[str, Program]") -> str:
    """The program whose name holds the given one, else is spelled most like it."""
    word = name[:64].casefold().strip()
    near: list[str] = get_close_matches(word, [key for key in found if word in key] or found, n=1, cutoff=0)
    return near[0]


def _list(found: "Mapping[str, Program]", *, json: bool) -> None:
    if json:
        print_json_lines(_summary(program) for program in found.values())
        return
    print_table(
        "Programs: templates of plans",
        ["Name", "What", "Weeks", "Sessions", "Times left open"],
        [
            (
                program.key,
                f"{program.title}.\nSource: {program.source}.",
                program.weeks,
                program.sessions,
                ", ".join(series.key for series in program.open_times({})),
            )
            for program in found.values()
        ],
        empty="There are no programs.",
    )


def _summary(program: "Program", given: "Mapping[str, time] | None" = None) -> dict[str, Any]:
    left_open = program.open_times(given or {})
    return {
        "name": program.key,
        "title": program.title,
        "weeks": program.weeks,
        "sessions": program.sessions,
        "times_left_open": [{"series": series.key, "kind": series.kind.value} for series in left_open],
        "tentative_steps": _tentative_steps(program),
        "source": program.source,
    }


def _name_and_kind(series: "ProgramSeries") -> str:
    return f"{series.key} ({series.kind})"


def _tentative_steps(program: "Program") -> list[str]:
    tentative = (series.step or series.key for series in program.series if series.status == "tentative")
    return list(dict.fromkeys(tentative))


def _plan(
    program: "Program", settings: "Settings", discharge: str | None, starts_on: str | None, times: list[str]
) -> "Plan":
    """What a plan file would say about the program; what it could not say is a wrong use of the option."""
    from pydantic import ValidationError

    from reminders import clock
    from reminders.plans import Plan, to_wall

    given: dict[str, str] = {}
    for text in times:
        what, _, at = text.partition("=")
        _check_time_name(program, what)
        if what in given:
            raise typer.BadParameter(f"gives {what} twice", param_hint="--time")
        given[what] = at
    try:
        plan = Plan.model_validate(
            {
                "ref": program.key,
                "site": settings.site.key,
                "discharged_on": to_wall(clock.now(), settings.site.zone).date() if discharge is None else discharge,
                "program": program.key,
                "starts_on": starts_on,
                "program_times": given,
            }
        )
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        field, *inside = detail["loc"]
        where = "".join(f"{part}: " for part in inside)
        raise typer.BadParameter(f"{where}{detail['ctx']['error']}", param_hint=_OPTIONS[str(field)]) from None
    if discharge is not None and plan.week_1_starts_on < plan.discharged_on:
        raise typer.BadParameter("lies before the day of discharge", param_hint="--starts-on")
    if not 2000 <= plan.week_1_starts_on.year < 2190:  # a series starts within 2000 to 2199
        field = "discharged_on" if plan.starts_on is None else "starts_on"
        raise typer.BadParameter("lies outside the years 2000 to 2189; check the year", param_hint=_OPTIONS[field])
    return plan


def _check_time_name(program: "Program", what: str) -> None:
    from reminders.plans.fields import UnfitError, one_of

    try:
        one_of(what, program.time_names)
    except UnfitError as problem:
        raise typer.BadParameter(f"WHAT {problem}; then = and the time, as in =17:30", param_hint="--time") from None


@dataclass(frozen=True, kw_only=True)
class _Date:
    """One session of a program on its day. `at` None is left open; `week` counts from 1."""

    week: int
    on: date
    at: time | None
    series: "ProgramSeries"


@dataclass(frozen=True, kw_only=True)
class _LaidOut:
    """A program on its dates, by day, and the most texts a week that the rules of sending allow."""

    program: "Program"
    plan: "Plan"
    dates: list[_Date]
    per_week: int
    first_visit_texts: int

    def load(self, *statuses: str) -> int:
        """The most texts in any 7 days running: a day with sessions of these statuses makes one (P-30)."""
        days = {found.on for found in self.dates if found.series.status in statuses}
        return max((sum(0 <= (day - first).days < 7 for day in days) for first in days), default=0)

    def weeks(self) -> list[dict[str, Any]]:
        """Each week that has sessions, its first day, and its texts: for what is booked, and were all confirmed."""
        booked = Counter(week for week, _ in {(d.week, d.on) for d in self.dates if d.series.status == "booked"})
        confirmed = Counter(week for week, _ in {(d.week, d.on) for d in self.dates})
        first = self.plan.week_1_starts_on
        return [
            {
                "week": week,
                "starts_on": first + timedelta(weeks=week - 1),
                "texts": booked[week],
                "texts_if_confirmed": confirmed[week],
            }
            for week in sorted(confirmed)
        ]

    def document(self) -> dict[str, Any]:
        """All of it for programs."""
        times = self.program.times(self.plan.program_times)
        return {
            **_summary(self.program, self.plan.program_times),
            "discharged_on": self.plan.discharged_on,
            "week_1_starts_on": self.plan.week_1_starts_on,
            "series": [
                {
                    "series": series.key,
                    "kind": series.kind.value,
                    "step": series.step,
                    "status": series.status,
                    "minutes": series.minutes,
                    "how": series.how.value,
                    "sessions": series.sessions,
                    "at": _clock(times[series.key]),
                }
                for series in self.program.series
            ],
            "dates": [
                {
                    "week": found.week,
                    "on": found.on,
                    "at": _clock(found.at),
                    "series": found.series.key,
                    "kind": found.series.kind.value,
                    "minutes": found.series.minutes,
                    "how": found.series.how.value,
                    "step": found.series.step,
                    "status": found.series.status,
                }
                for found in self.dates
            ],
            "texts_a_week": {
                "cap": self.per_week,
                "most": self.load("booked"),
                "most_if_confirmed": self.load("booked", "tentative"),
                "weeks": self.weeks(),
            },
        }

    def show(self) -> None:
        """All of it for people."""
        from reminders.plans import Mode
        from reminders.wording import house_style
        from reminders.wording.staff_words import MODES

        texts = {week["week"]: f"{week['texts']} of {self.per_week}" for week in self.weeks()}
        rows = []
        for found in self.dates:
            series = found.series
            what = _name_and_kind(series) + (f", {series.minutes} min" if series.minutes else "")
            what += "" if series.how is Mode.IN_PERSON else f", {MODES[series.how]}"
            at = house_style.hour(found.at) if found.at is not None else "left open"
            # A week is named once, where it begins.
            shown = found.week if found.week in texts else None
            rows.append((shown, house_style.day(found.on), at, what, series.status, texts.pop(found.week, None)))
        columns = ["Week", "Day", "Time", "What", "Status", "Texts that week"]
        print_table(f"{self.program.key}: {self.program.title}", columns, rows, empty="It has no dates.")
        for line in self.remarks():
            err.print(line)

    def remarks(self) -> list[str]:
        """What the table does not say, a sentence or two a line."""
        plan = self.plan
        from reminders.wording import house_style

        said = [
            f"Discharge {house_style.day(plan.discharged_on)}; week 1 starts {house_style.day(plan.week_1_starts_on)}.",
            f"{len(self.dates)} sessions in {self.program.weeks} weeks; closures and holidays are not looked at.",
        ]
        if left_open := self.program.open_times(plan.program_times):
            names = ", ".join(map(_name_and_kind, left_open))
            said.append(
                f"Times left open: {names}. A plan must give them, as --time {left_open[0].kind}=17:30 does here."
            )
        most, if_confirmed = self.load("booked"), self.load("booked", "tentative")
        load = f"Texts in any 7 days: at most {most}; the cap is {self.per_week}."
        if if_confirmed > most:
            load += f" Were every step confirmed: at most {if_confirmed}."
        if if_confirmed > self.per_week:
            load += " Those above the cap do not go."
        said.append(f"{load} A day with sessions makes one text; the first visit gets up to {self.first_visit_texts}.")
        if steps := _tentative_steps(self.program):
            said.append(f"Tentative, without texts until staff confirm: {', '.join(steps)}.")
        return [*said, f"Source: {self.program.source}."]


def _lay_out(program: "Program", plan: "Plan", settings: "Settings") -> _LaidOut:
    from reminders.plans import expand, occurrences

    first, times = plan.week_1_starts_on, program.times(plan.program_times)
    # The dates of a series do not hang on its time of day, so that any stands in for one left open.
    stand_ins = {key: at or time(12) for key, at in times.items()}
    until = first + timedelta(weeks=program.weeks)
    dates = [
        _Date(week=(found.wall.date() - first).days // 7 + 1, on=found.wall.date(), at=times[item.key], series=item)
        for item, series in zip(program.series, expand(program, first, stand_ins), strict=True)
        for found in occurrences(series, until=until, zone=settings.site.zone)
    ]
    return _LaidOut(
        program=program,
        plan=plan,
        dates=sorted(dates, key=lambda found: (found.on, found.at or time.max)),
        per_week=settings.sending.per_week,
        first_visit_texts=len(settings.sending.leads),
    )


def _clock(at: time | None) -> str | None:
    return None if at is None else f"{at:%H:%M}"
