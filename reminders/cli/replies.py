"""Commands about replies: what clinicians marked as danger, beside what we had understood."""

import sys
from datetime import datetime
from typing import Annotated

import typer

from reminders.cli.output import Json, app_context, err, print_json_lines, print_table, who

Since = Annotated[str | None, typer.Option(metavar="T", help="Only replies that came from then on: 2026-12-01.")]
Until = Annotated[str | None, typer.Option(metavar="T", help="Only replies that came before then.")]


def marks(
    since: Since = None,
    until: Until = None,
    site: Annotated[str | None, typer.Option(metavar="KEY", help="Only of this site.")] = None,
    words: Annotated[
        bool, typer.Option("--words", help="With the words of the replies; for who may see people. It is on record.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: Json = False,
) -> None:
    """List the replies that clinicians marked as danger or as none.

    Each stands beside what was understood; the counts say how many were found, missed and falsely alarmed.
    """
    from reminders import clock, queries
    from reminders.queries import marks
    from reminders.wording import house_style

    if json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv", param_hint="--csv")
    with app_context() as context:
        here = context.database.read(queries.people.all_sites)
        if site is not None and site not in {one.key for one in here}:
            raise typer.BadParameter("there is no such site", param_hint="--site")
        sites = {one.id for one in here if site in {None, one.key}}
        zone = context.settings.site.zone
        found = marks.export(
            context.database,
            clock.now(),
            who=who(),
            sites=sites,
            words=sites if words else (),
            since=_instant(since, zone, "--since"),
            until=_instant(until, zone, "--until"),
        )
    if as_csv:
        for line in marks.as_csv(found, words=words):
            sys.stdout.write(line)
    elif json:
        print_json_lines(marks.plain(one, words=words) for one in found)
    else:
        print_table(
            "Replies that were marked",
            ["Came", "Site", "Marked", "Outcome", "Understood", *(["Words"] if words else [])],
            [
                (
                    house_style.clock_time(one.received_at, zone),
                    one.site,
                    "danger" if one.danger else "no danger",
                    marks.outcome(one),
                    ", ".join(one.meanings),
                    *([one.words or ""] if words else []),
                )
                for one in found
            ],
            empty="No reply was marked.",
        )
    counted = marks.tally(found)
    share = "" if counted.recall is None else f" ({100 * counted.recall:.0f} % of marked danger was found)"
    err.print(
        f"Found {counted.found}, missed {counted.missed}, falsely alarmed {counted.false_alarms}, rightly quiet "
        f"{counted.quiet}{share}. Only marked replies are counted."
    )


def _instant(text: str | None, zone: str, option: str) -> datetime | None:
    """What was typed as an instant; without a zone, on the site's clock."""
    from reminders.plans import to_instant

    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter("write it as 2026-12-01 or 2026-12-01T09:00", param_hint=option) from None
    return to_instant(value, zone) if value.tzinfo is None else value
