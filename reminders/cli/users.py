"""Commands about staff: who may sign in, and what they may do where."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from reminders.cli.output import Exit, Json, app_context, end, err, print_json, print_json_lines, print_table, who

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from reminders.service import AppContext
    from reminders.service.office.accounts import Invitation

Login = Annotated[str, typer.Argument(metavar="LOGIN", help="The login, such as ana.reyes.")]
Role = Annotated[str, typer.Option(metavar="R", help="coordinator, clinician, ops, admin or read_only.")]
AtSite = Annotated[str | None, typer.Option("--site", metavar="KEY", help="At this site alone; default every site.")]


def add(
    login: Login,
    name: Annotated[str, typer.Option(metavar="NAME", help="The person's name.")],
    role: Role,
    site: AtSite = None,
    json: Json = False,
) -> None:
    """Add someone, and print the path of their invitation once.

    They choose a password there and set up their second factor. It holds for three days.
    """
    from reminders.service.office import accounts

    _invite(lambda context, now: accounts.invite(context, login, name, role, now, who=who(), site=site), json=json)


def reset(
    login: Login,
    factor: Annotated[
        bool, typer.Option("--second-factor", help="Also the second factor, for who lost it and their recovery codes.")
    ] = False,
    json: Json = False,
) -> None:
    """Print a new invitation; the old password and all sign-ins end.

    Lets someone in again whose access had ended.
    """
    from reminders.service.office import accounts

    _invite(lambda context, now: accounts.reset(context, login, now, who=who(), factor=factor), json=json)


def _invite(verb: "Callable[[AppContext, datetime], Invitation]", *, json: bool) -> None:
    from reminders import clock
    from reminders.service.office import accounts

    with app_context() as context:
        try:
            invitation = verb(context, clock.now())
        except accounts.Refused as refusal:
            end(Exit.REFUSED, f"{refusal}.")
        except LookupError as nobody:
            end(Exit.NOT_FOUND, f"{nobody}.")
        address = context.settings.web.public_url
    if json:
        print_json({"login": invitation.login, "path": invitation.path, "until": invitation.until})
        return
    err.print(f"Give {invitation.login} this address by a way that others do not read. It works once, for three days:")
    print(f"{address}{invitation.path}" if sys.stdout.isatty() else invitation.path)


def set_role(
    login: Login,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="A role, or none to take it away.")],
    site: AtSite = None,
    json: Json = False,
) -> None:
    """Give someone a role at a site, or at every one.

    It stands in for the one they had there, and holds from their next click on.
    """
    from reminders.service.office import accounts

    _do(
        lambda context, now: accounts.set_role(
            context, login, None if role == "none" else role, now, who=who(), site=site
        )
    )
    _done("Done.", login, json=json)


def end_access(login: Login, json: Json = False) -> None:
    """End someone's access: their sign-ins and API keys end at once."""
    from reminders.service.office import accounts

    _do(lambda context, now: accounts.end_access(context, login, now, who=who()))
    _done("Ended: sign-ins and keys hold no more.", login, json=json)


def _done(words: str, login: str, *, json: bool) -> None:
    if json:
        print_json({"login": login})
    else:
        err.print(words)


def _do(verb: "Callable[[AppContext, datetime], None]") -> None:
    from reminders import clock
    from reminders.service.office import accounts

    with app_context() as context:
        try:
            verb(context, clock.now())
        except accounts.Refused as refusal:
            end(Exit.REFUSED, f"{refusal}.")
        except LookupError as nobody:
            end(Exit.NOT_FOUND, f"{nobody}.")


def list_users(json: Json = False) -> None:
    """Who may sign in, and what they may do where."""
    from reminders import clock
    from reminders.service.office import accounts

    with app_context() as context:
        members, now = accounts.everybody(context), clock.now()
    if json:
        print_json_lines(
            {
                "login": one.login,
                "name": one.name,
                "roles": [{"role": role, "site": site} for site, role in one.roles.items()],
                "state": one.state(now),
                "seen_at": one.seen_at,
            }
            for one in members
        )
        return
    print_table(
        "Users",
        ["Login", "Name", "Roles", "State", "Last signed in"],
        [
            (
                one.login,
                one.name,
                ", ".join(f"{role} at {site or 'every site'}" for site, role in one.roles.items()),
                one.state(now),
                one.seen_at and f"{one.seen_at:%Y-%m-%d %H:%M} UTC",
            )
            for one in members
        ],
        empty="No one yet. The first one: reminders users add LOGIN --name NAME --role admin",
    )
