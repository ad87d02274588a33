"""Commands about the API's keys: make one, list them, end one."""

from datetime import datetime, timedelta
from typing import Annotated

import typer

from reminders.cli.output import Exit, Json, app_context, end, err, print_json, print_json_lines, print_table, who

Site = Annotated[str | None, typer.Option(metavar="S", help="Only for this site; default all of them.")]
Scope = Annotated[
    list[str], typer.Option("--scope", metavar="SCOPE", help="read, people, write or operate; give it several times.")
]
Days = Annotated[int | None, typer.Option("--days", metavar="N", min=1, max=3650, help="It ends after so many days.")]
By = Annotated[str | None, typer.Option("--for", metavar="LOGIN", help="It ends with this account of our staff.")]


def make_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The program that will hold it.")],
    scope: Scope,
    site: Site = None,
    days: Days = None,
    login: By = None,
    json: Json = False,
) -> None:
    """Make a key for another program; it is shown this once."""
    from reminders import clock
    from reminders.service.office import api_keys

    now = clock.now()
    expires_at = now + timedelta(days=days) if days is not None else None
    with app_context() as context:
        try:
            made = api_keys.make(context, name, scope, now, who=who(), site=site, expires_at=expires_at, made_by=login)
        except ValueError as refusal:
            end(Exit.REFUSED, f"Not made: {refusal}.")
    if json:
        print_json({"prefix": made.prefix, "key": made.text, "expires_at": expires_at})
    else:
        print(made.text)
        err.print("Keep it as you keep a password: it is not shown again. It ends by: " + f"api-keys end {made.prefix}")


def list_keys(json: Json = False) -> None:
    """List every key, the newest first."""
    from reminders import clock
    from reminders.service.office import api_keys

    with app_context() as context:
        found, zone = api_keys.listed(context), context.settings.site.zone
    now = clock.now()
    if json:
        print_json_lines(
            {
                "prefix": row.prefix,
                "name": row.name,
                "scopes": row.scopes,
                "site": row.site,
                "made_at": row.made_at,
                "made_for": row.maker,
                "seen_at": row.seen_at,
                "expires_at": row.expires_at,
                "ended_at": row.ended_at,
                "holds": api_keys.holds(row, now),
            }
            for row in found
        )
        return
    print_table(
        "API keys, the newest first",
        ["Prefix", "Name", "Scopes", "Site", "Last seen", "Holds"],
        [
            (
                row.prefix,
                row.name,
                " ".join(row.scopes),
                row.site or "all",
                _when(row.seen_at, zone) or "never",
                _until(row.expires_at) if api_keys.holds(row, now) else "no",
            )
            for row in found
        ],
        empty="No keys. Make one: reminders api-keys make NAME --scope read",
    )


def end_key(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="As `list` shows it.")], json: Json = False
) -> None:
    """End a key for good, at once."""
    from reminders import clock
    from reminders.service.office import api_keys

    with app_context() as context:
        ended = api_keys.end(context, prefix, clock.now(), who=who())
    if ended is None:
        end(Exit.NOT_FOUND, f"There is no key {prefix}.")
    if json:
        print_json({"prefix": prefix, "changed": ended})
    else:
        err.print(f"The key {prefix} is ended{'' if ended else ', as it was'}.")


def _when(at: datetime | None, zone: str) -> str | None:

    from reminders.wording import house_style

    return house_style.clock_time(at, zone) if at is not None else None


def _until(at: datetime | None) -> str:
    from reminders.wording import house_style

    return f"until {house_style.day(at)}" if at is not None else "yes"
