"""Commands that set it up and run it: the schema, the doctor, keys, and the processes."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from reminders.cli.output import Exit, Json, app_context, end, err, print_json, print_json_lines, print_table, who

if TYPE_CHECKING:
    from reminders.service.operations.health import Check


def migrate(json: Json = False) -> None:
    """Bring the database to this version's schema; safe to repeat."""
    from reminders import clock
    from reminders.service.operations import upgrade

    with app_context(checked=False, make_keys=True) as context:
        before, after = upgrade.migrate(context, clock.now())
    if json:
        print_json({"from": before, "to": after})
    else:
        err.print(
            f"The database is at {after}." if before == after else f"Brought from {before or 'empty'} to {after}."
        )


def doctor(
    live: Annotated[bool, typer.Option("--live", help="Also what must be so before the first real text.")] = False,
    json: Json = False,
) -> None:
    """Look at everything a text depends on, and say what to do."""
    import asyncio

    from reminders.service.operations import health

    with app_context(checked=False) as context:
        if not json:
            err.print(context.place)
        checks = asyncio.run(health.doctor(context, live=live))
    if json:
        print_json([asdict(check) for check in checks])
    else:
        print_table(
            "What a text depends on",
            ["", "Check", "Found"],
            [("ok" if check.ok else "NOT OK", check.check, _found(check)) for check in checks],
            empty="Nothing to look at.",
        )
    if not all(check.ok for check in checks):
        raise typer.Exit(Exit.REFUSED)


def settings(json: Json = False) -> None:
    """Print the settings in force, and where each comes from.

    That is the environment, settings.toml or the default. Passwords, addresses of on-call and the secrets themselves
    are never printed. It needs no database.
    """
    import json as documents

    from reminders.settings import SettingsError, in_force, load

    try:
        found = load()
        rows = [{"key": key, "value": value, "from": place} for key, value, place in in_force(found)]
    except SettingsError as refusal:
        end(Exit.REFUSED, str(refusal))
    if json:
        print_json_lines(rows)
        return
    err.print(f"Settings {found.source.resolve() if found.source is not None else 'of the environment alone'}.")
    cells = [
        (row["key"], row["value"] if isinstance(row["value"], str) else documents.dumps(row["value"]), row["from"])
        for row in rows
    ]
    print_table("In force", ["Setting", "Value", "From"], cells, empty="No settings.")


def _found(check: "Check") -> str:
    return check.detail if check.ok or not check.fix else f"{check.detail}. To do: {check.fix}"


def simulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the API answers.")] = 4010,
    control_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Where the pretend phones answer; default the next port.")
    ] = None,
    callbacks: Annotated[
        str | None, typer.Option(metavar="URL", help="Our public address, for texts that pretend phones send.")
    ] = None,
    seed: Annotated[int, typer.Option(help="What its chances follow from.")] = 1,
) -> None:
    """Run a pretend Twilio with pretend phones, on this machine only."""
    from reminders.simulator import Simulator, SimulatorSettings
    from reminders.simulator import run as run_simulator

    with app_context(checked=False) as context:
        if context.settings.twilio.live:
            end(
                Exit.REFUSED, "twilio.live is true: the pretend Twilio knows the real account's token, so it stays off."
            )
        sender = context.settings.twilio.sender
        settings = SimulatorSettings(
            account_sid=context.secrets.account_sid,
            auth_token=context.secrets.auth_token,
            api_key=context.secrets.api_key,
            api_secret=context.secrets.api_secret,
            inbound_url=f"{(callbacks or context.settings.web.public_url).rstrip('/')}/sms/inbound",
            senders=frozenset({sender, "+15005550006"} if sender.startswith("+") else {"+15005550006"}),
            services=frozenset({sender}) if sender.startswith("MG") else None,
        )
    control = control_port if control_port is not None else (port + 1 if port else 0)

    def say(api: int, phones: int) -> None:
        err.print(f"A pretend Twilio answers on http://127.0.0.1:{api}; its phones on http://127.0.0.1:{phones}.")

    try:
        run_simulator(Simulator(settings, seed=seed), port=port, control_port=control, ready=say)
    except OSError as taken:
        end(Exit.REFUSED, f"Cannot listen: {taken.strerror}.")


def web(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Where to listen; default web.port.")] = None,
) -> None:
    """Run the web process: Twilio's webhooks, pages, health."""
    import uvicorn

    from reminders.service.operations import health

    with app_context() as context:
        health.gate(context, webhooks=False)  # those ask this very process; `doctor --live` does
        host, chosen = context.settings.web.host, port or context.settings.web.port
    uvicorn.run(
        "reminders.web:create_app",
        factory=True,
        host=host,
        port=chosen,
        log_config=None,
        access_log=False,
        proxy_headers=False,  # who a proxy speaks for is a stranger to our pages
        server_header=False,
        timeout_graceful_shutdown=10,
    )


def make_key(
    both: Annotated[
        bool, typer.Option("--all", help="Both secrets of a new installation, as lines for its environment.")
    ] = False,
    for_backups: Annotated[
        bool, typer.Option("--backup", help="A pair for sealed backups: the identity, and its recipient.")
    ] = False,
) -> None:
    """Print a new sealing key, ready for REMINDERS_SEALING_KEYS.

    Put it first and keep the old ones behind it until `keys rotate` has run. With --all it is two lines, NAME=value:
    REMINDERS_SECRET_KEY and REMINDERS_SEALING_KEYS. With --backup it is a key file of age's: keep it away from this
    machine, and put its recipient, age1…, into backup.recipients.
    """
    import base64
    import secrets

    from reminders import clock
    from reminders.service.operations import identities

    if for_backups:
        identity, recipient = identities.new_pair()
        print(f"# recipient: {recipient}\n{identity}")
        return
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    sealing = f"{clock.now():%Y%m}{secrets.token_hex(2)}:{key}"
    if both:
        print(f"REMINDERS_SECRET_KEY={secrets.token_urlsafe(32)}")
    print(f"REMINDERS_SEALING_KEYS={sealing}" if both else sealing)


def rotate_keys(
    index: Annotated[bool, typer.Option("--index", help="Also make a new phone index key.")] = False,
    json: Json = False,
) -> None:
    """Seal everything again with the first sealing key.

    Safe while everything runs, and safe to stop and repeat. Refused while a process is at work that could not open
    what the first key seals. After it the older keys may go.
    """
    from rich.progress import Progress, TextColumn

    from reminders import clock
    from reminders.service.operations import presence, sealing_keys

    with app_context() as context:
        try:
            behind = presence.check_keys(context, clock.now())
        except presence.NotOpenToAll as refusal:
            end(Exit.REFUSED, f"{refusal}.")
        resealed = 0
        with Progress(
            TextColumn("Sealed again: {task.completed}"), console=err, transient=True, disable=not err.is_terminal
        ) as progress:
            task = progress.add_task("", total=None)
            for done in sealing_keys.reseal(context):
                resealed += done
                progress.update(task, completed=resealed)
        indexed = sealing_keys.finish(context, clock.now(), who=who(), index=index)
        first = context.secrets.first_sealing_key
    if json:
        print_json({"resealed": resealed, "indexed": indexed, "key": first, "still_seal_with_another": behind})
    else:
        err.print(f"{resealed} values sealed again with {first}; {indexed} numbers indexed again.")
    if behind:
        err.print(
            f"Keep the older keys: {', '.join(behind)} still seals with one. Put {first} first there, restart, and"
            " rotate once more."
        )
