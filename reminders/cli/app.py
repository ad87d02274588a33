"""`reminders` and its commands, in the order that `--help` shows."""

import io
import logging
import sys
from typing import Annotated

import typer

from reminders import __version__
from reminders.cli import plans, programmes, running, sessions, texts
from reminders.cli.output import Voice

app = typer.Typer(
    help="Plain, neutral SMS reminders after discharge, and a delivery log a person can trust.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would show people
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(show: bool) -> None:
    if show:
        print(f"reminders {__version__}")
        raise typer.Exit


@app.callback()
def reminders(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False,
) -> None:
    """Set up what is common to all commands."""
    del version
    Voice.level = logging.INFO if verbose else logging.WARNING
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a letter shows a question mark


_plans = typer.Typer(help="Pause, resume and end plans.", no_args_is_help=True)
_plans.command("pause")(plans.pause_plan)
_plans.command("resume")(plans.resume_plan)
_plans.command("end")(plans.end_plan)

_sessions = typer.Typer(help="Move or call off a session for all its patients.", no_args_is_help=True)
_sessions.command("move")(sessions.move_session)
_sessions.command("cancel")(sessions.cancel_session)

_keys = typer.Typer(help="Sealing keys: make one, rotate them.", no_args_is_help=True)
_keys.command("make")(running.make_key)
_keys.command("rotate")(running.rotate_keys)

_PLANS, _TEXTS, _RUNNING = "Plans", "Texts", "Set up and run"
app.command("import", rich_help_panel=_PLANS)(plans.import_)
app.command(rich_help_panel=_PLANS)(plans.preview)
app.add_typer(_plans, name="plans", rich_help_panel=_PLANS)
app.add_typer(_sessions, name="sessions", rich_help_panel=_PLANS)
app.command(rich_help_panel=_PLANS)(programmes.programmes)
app.command(rich_help_panel=_TEXTS)(texts.log)
app.command(rich_help_panel=_TEXTS)(texts.status)
app.command(rich_help_panel=_TEXTS)(texts.send)
app.command(rich_help_panel=_TEXTS)(texts.settle)
app.command(rich_help_panel=_TEXTS)(texts.pause)
app.command(rich_help_panel=_TEXTS)(texts.resume)
app.command(rich_help_panel=_RUNNING)(running.migrate)
app.command(rich_help_panel=_RUNNING)(running.doctor)
app.command(rich_help_panel=_RUNNING)(running.web)
app.command(rich_help_panel=_RUNNING)(running.simulator)
app.command(rich_help_panel=_RUNNING)(running.demo)
app.add_typer(_keys, name="keys", rich_help_panel=_RUNNING)
