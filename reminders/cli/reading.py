"""The command that says what files hold, and stores nothing: `reminders read`."""

import os
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reminders.cli.output import Exit, Json, end, err, print_json_lines, print_table

if TYPE_CHECKING:
    from reminders.intake.formats import Given


def read(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="Spreadsheets, plan files, meeting directories.")
    ],
    as_: Annotated[
        str | None, typer.Option("--as", metavar="FORMAT", help="What they are, where that cannot be told from them.")
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="The zone of their places, such as America/Chicago; default the site's."),
    ] = None,
    region: Annotated[
        str | None, typer.Option(metavar="REGION", help="The country of phone numbers, such as US; default the site's.")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What is known of the source: columns, status words (TOML).")
    ] = None,
    json: Json = False,
) -> None:
    """Show what files hold, storing nothing.

    Ends with 1 when something was refused or must be asked.
    """
    from reminders.intake.confined import read_confined
    from reminders.intake.formats import FORMATS

    if as_ is not None and as_ not in FORMATS:
        raise typer.BadParameter(f"must be one of {', '.join(sorted(FORMATS))}", param_hint="--as")
    given = _given(zone, region, profile)
    found: list[dict[str, Any]] = []
    missing = False
    for path in files:
        try:
            raw = _bytes(path)
        except FileNotFoundError:
            err.print(f"There is no file {path}.")
            missing = True
        except OSError as error:
            found.append(_problem(path, f"cannot be read: {error.strerror}"))
        except _NotAFile as what:
            found.append(_problem(path, str(what)))
        else:
            found += read_confined(raw, str(path), given, as_)
    order = {"problem": 1, "question": 2}
    found.sort(key=lambda one: order.get(one["what"], 0))
    if json:
        print_json_lines(found)
    else:
        _show(found)
    if missing:
        raise typer.Exit(Exit.NOT_FOUND)
    if any(one["what"] in order for one in found):
        raise typer.Exit(Exit.REFUSED)


class _NotAFile(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what it is
    """A path is a folder, a pipe or a device."""


def _bytes(path: Path) -> bytes:
    from reminders.intake.formats import MOST_BYTES

    # A pipe would keep us waiting for the person who writes into it, so it is opened without waiting and then refused.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise _NotAFile("is a folder, a pipe or a device, not a file")
        return file.read(MOST_BYTES + 1)


def _problem(path: Path, problem: str) -> dict[str, Any]:
    return {"file": str(path), "place": "file", "what": "problem", "column": None, "problem": problem}


def _given(zone: str | None, region: str | None, profile: Path | None) -> "Given":
    """What the files are read against: the site of the settings, without a database."""
    import phonenumbers

    from reminders import clock, languages, settings
    from reminders.intake.arrivals import Unreadable
    from reminders.intake.formats import Given
    from reminders.intake.profile import Profile, read_profile
    from reminders.plans import Known, UnfitError, read_zone, to_wall

    try:
        if zone is not None:
            read_zone(zone)
    except UnfitError as problem:
        raise typer.BadParameter(str(problem), param_hint="--zone") from None
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise typer.BadParameter("must be a country of two letters, such as US", param_hint="--region")
    try:
        set_ = settings.load()
    except settings.SettingsError as refusal:
        end(Exit.REFUSED, str(refusal))
    said = Profile()
    if profile is not None:
        try:
            said = read_profile(profile.read_bytes())
        except FileNotFoundError:
            end(Exit.NOT_FOUND, f"There is no file {profile}.")
        except OSError as error:
            end(Exit.REFUSED, f"The profile cannot be read: {error.strerror}.")
        except Unreadable as refusal:
            end(Exit.REFUSED, str(refusal))
    site = set_.site
    known = Known(
        today=to_wall(clock.now(), site.zone).date(),
        languages=frozenset(languages.offered()),
        region=region or site.region,
        zone=zone or said.zone or site.zone,
        site=site.key,
        sites=frozenset({site.key}),
        fictional_numbers=not set_.twilio.live,
        countries=frozenset(set_.sending.countries or {region or site.region}),
        ours=set_.our_lines,
    )
    return Given(known=known, profile=replace(said, zone=zone or said.zone), zone=zone or said.zone)


def _show(found: Iterable[dict[str, Any]]) -> None:
    """The same for people: a table, what is wrong, what is asked, and how many there are."""
    arrivals = [one for one in found if one["what"] not in {"problem", "question"}]
    files = len({one["file"] for one in found})
    rows = [
        (
            *([one["file"]] if files > 1 else []),
            one["place"],
            one["what"],
            one["patient"] or one["name"],
            _when(one),
            one["zone"],
            one["minutes"],
            one["status"],
            one["how"],
            one.get("phone"),
        )
        for one in arrivals
    ]
    columns = [
        *(["File"] if files > 1 else []),
        "Place",
        "What",
        "Who",
        "When",
        "Zone",
        "Minutes",
        "Status",
        "How",
        "Phone",
    ]
    print_table("What the files say", columns, rows, empty="The files say of no visit, plan or meeting.")
    for one in found:
        if one["what"] == "problem":
            column = f", {one['column']}" if one["column"] else ""
            err.print(f"{one['file']}: {one['place']}{column}: {one['problem']}")
        elif one["what"] == "question":
            waiting = f" Rows that wait: {one['rows']}." if one["rows"] else ""
            err.print(f"{one['file']}: {one['question']}{waiting} In a profile: {one['profile']}")
            for choice in one["choices"]:
                err.print(f"  - {choice}")
    counts = Counter(one["what"] for one in found)
    err.print(
        ", ".join(
            f"{what}s: {counts[what]}" for what in ("visit", "plan", "meeting", "problem", "question") if counts[what]
        )
        or "Nothing."
    )


_WEEKDAYS = ("Sundays", "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays")


def _when(one: dict[str, Any]) -> str | None:
    from reminders.wording import house_style

    def said(wall: str) -> str:
        at = datetime.fromisoformat(wall)
        return house_style.moment(at) if "T" in wall else house_style.day(at)

    if one["what"] == "meeting":
        if one["day"] is None:
            return "by appointment"
        at = house_style.hour(time.fromisoformat(one["time"])) if one["time"] else ""
        return f"{_WEEKDAYS[one['day']]} {at}".strip()
    if one.get("first"):
        return "; ".join(map(said, one["first"])) + " …"
    return said(one["start"]) if one["start"] else None
