"""Commands about sessions: what several patients share is moved or called off for all of them at once."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from reminders.cli.output import Exit, Json, end, err, print_json, the_house, told, who

if TYPE_CHECKING:
    from datetime import date

Session = Annotated[str, typer.Argument(metavar="SESSION", help="The session's key, as the plans name it.")]
On = Annotated[datetime, typer.Argument(metavar="DATE", formats=["%Y-%m-%d"], help="The day it stands on now.")]
Site = Annotated[str | None, typer.Option(metavar="S", help="The site's key; default the default site.")]


def move_session(
    session: Session,
    on: On,
    to: Annotated[
        datetime,
        typer.Option(formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"], help="The new wall-clock time, 2026-12-02T10:00."),
    ],
    site: Site = None,
    json: Json = False,
) -> None:
    """Move a session for all its patients."""
    _change(session, on.date(), to=to, site=site, json=json)


def cancel_session(session: Session, on: On, site: Site = None, json: Json = False) -> None:
    """Call a session off for all its patients."""
    _change(session, on.date(), to=None, site=site, json=json)


def _change(session: str, on: "date", *, to: datetime | None, site: str | None, json: bool) -> None:
    from dataclasses import asdict

    from reminders import clock
    from reminders.service import planning

    with the_house() as house:
        try:
            changes = planning.change_session(house, session, on, clock.now(), who=who(), to=to, site=site)
        except ValueError as refusal:
            end(Exit.REFUSED, f"{session}: {refusal}.")
    if changes is None:
        end(Exit.NOT_FOUND, f"No visit of the session {session} stands on {on}.")
    if json:
        print_json({"texts": asdict(changes)})
    else:
        err.print(f"{session} on {on} is {'moved' if to else 'called off'} for everybody.")
        err.print(told(changes))
