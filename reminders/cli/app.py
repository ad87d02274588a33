"""`reminders` and its commands, in the order that `--help` shows."""

import io
import logging
import os
import sys
from typing import Annotated

import typer

from reminders import __version__
from reminders.cli import (
    api_keys,
    audit,
    ops,
    people,
    plans,
    programs,
    reading,
    records,
    replies,
    running,
    sessions,
    tasks,
    texts,
    users,
)
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
    os.umask(0o077)  # whatever we write is for our own user: the database and its log, keys, backups
    Voice.level = logging.INFO if verbose else logging.WARNING
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a letter shows a question mark


_plans = typer.Typer(help="Pause, resume, end and hand on plans.", no_args_is_help=True)
_plans.command("pause")(plans.pause_plan)
_plans.command("resume")(plans.resume_plan)
_plans.command("end")(plans.end_plan)
_plans.command("transfer")(plans.transfer_plan)

_sessions = typer.Typer(help="Move or call off a session for all its patients; see who knows.", no_args_is_help=True)
_sessions.command("move")(sessions.move_session)
_sessions.command("cancel")(sessions.cancel_session)
_sessions.command("show")(sessions.show_session)
_sessions.command("undo")(sessions.undo_session)

_appointments = typer.Typer(help="Move or call off one visit.", no_args_is_help=True)
_appointments.command("move")(sessions.move_visit)
_appointments.command("cancel")(sessions.cancel_visit)

_attendance = typer.Typer(help="Say who came.", no_args_is_help=True)
_attendance.command("mark")(sessions.mark_visit)
_attendance.command("session")(sessions.mark_session)
_attendance.command("list")(sessions.list_unmarked)

_people = typer.Typer(help="Who gets texts: numbers, consents, family, a text of your own.", no_args_is_help=True)
_people.command("show")(people.show)
_people.command("card")(people.card)
_people.command("export")(records.export_person)
_people.command("say")(people.say)
_people.command("number")(people.change_number)
_people.command("verify")(people.verify)
_people.command("consent")(people.record_consent)
_people.command("opt-out")(people.opt_out)
_people.command("wrong")(people.wrong_number)
_people.command("add")(people.add_recipient)
_people.command("remove")(people.remove_recipient)
_people.command("hold")(people.hold)
_people.command("erase")(people.erase)

_tasks = typer.Typer(invoke_without_command=True)
_tasks.callback()(tasks.tasks)
_tasks.command("list")(tasks.list_tasks)
_tasks.command("show")(tasks.show_task)
_tasks.command("take")(tasks.take_task)
_tasks.command("note")(tasks.note_task)
_tasks.command("close")(tasks.close_task)
_tasks.command("let-go")(tasks.let_text_go)

_replies = typer.Typer(help="What people wrote: which replies clinicians marked.", no_args_is_help=True)
_replies.command("marks")(replies.marks)

_site = typer.Typer(help="A whole site: take it out, and say how it is written.", no_args_is_help=True)
_site.command("export")(records.export_site)
_site.command("schema")(records.print_schema)

_users = typer.Typer(help="Staff: who may sign in, and what they may do where.", no_args_is_help=True)
_users.command("add")(users.add)
_users.command("list")(users.list_users)
_users.command("role")(users.set_role)
_users.command("reset")(users.reset)
_users.command("end")(users.end_access)

_audit = typer.Typer(help="Who did what, and the proof that it stands as it was.", no_args_is_help=True)
_audit.command("list")(audit.list_audit)
_audit.command("verify")(audit.verify)
_audit.command("head")(audit.head)

_keys = typer.Typer(help="Sealing keys: make one, rotate them.", no_args_is_help=True)
_keys.command("make")(running.make_key)
_keys.command("rotate")(running.rotate_keys)

_api_keys = typer.Typer(help="Keys of other programs for the API: make, list, end.", no_args_is_help=True)
_api_keys.command("make")(api_keys.make_key)
_api_keys.command("list")(api_keys.list_keys)
_api_keys.command("end")(api_keys.end_key)

_oncall = typer.Typer(help="Who is on call, and whether pages reach them.", no_args_is_help=True)
_oncall.command("test")(ops.try_oncall)

_backlog = typer.Typer(help="What piled up in an outage: look at it, release it, drop it.", no_args_is_help=True)
_backlog.command("show")(ops.show_backlog)
_backlog.command("release")(ops.release_backlog)
_backlog.command("drop")(ops.drop_backlog)

_restored = typer.Typer(help="What is left to a person after a restore.", no_args_is_help=True)
_restored.command("show")(ops.show_restored)
_restored.command("release")(ops.release_restored)
_restored.command("drop")(ops.drop_restored)

_PLANS, _PEOPLE, _TEXTS, RUNNING = "Plans", "People", "Texts", "Set up and run"
app.command("import", rich_help_panel=_PLANS)(plans.import_)
app.command(rich_help_panel=_PLANS)(plans.preview)
app.command(rich_help_panel=_PLANS)(reading.read)
app.add_typer(_plans, name="plans", rich_help_panel=_PLANS)
app.add_typer(_sessions, name="sessions", rich_help_panel=_PLANS)
app.add_typer(_appointments, name="appointments", rich_help_panel=_PLANS)
app.add_typer(_attendance, name="attendance", rich_help_panel=_PLANS)
app.command(rich_help_panel=_PLANS)(programs.programs)
app.command("programmes", hidden=True, context_settings={"ignore_unknown_options": True})(programs.respelled)
app.add_typer(_people, name="people", rich_help_panel=_PEOPLE)
app.add_typer(_tasks, name="tasks", rich_help_panel=_PEOPLE)
app.add_typer(_replies, name="replies", rich_help_panel=_PEOPLE)
app.command(rich_help_panel=_PEOPLE)(ops.calls)
app.command(rich_help_panel=_TEXTS)(texts.log)
app.command(rich_help_panel=_TEXTS)(texts.stats)
app.command(rich_help_panel=_TEXTS)(texts.costs)
app.command(rich_help_panel=_TEXTS)(texts.status)
app.command(rich_help_panel=_TEXTS)(texts.send)
app.command(rich_help_panel=_TEXTS)(texts.settle)
app.command(rich_help_panel=_TEXTS)(texts.pause)
app.command(rich_help_panel=_TEXTS)(texts.resume)
app.add_typer(_backlog, name="backlog", rich_help_panel=_TEXTS)
app.command(rich_help_panel=RUNNING)(running.migrate)
app.command(rich_help_panel=RUNNING)(running.doctor)
app.command(rich_help_panel=RUNNING)(running.settings)
app.command(rich_help_panel=RUNNING)(ops.backup)
app.command(rich_help_panel=RUNNING)(ops.restore)
app.add_typer(_restored, name="restored", rich_help_panel=RUNNING)
app.add_typer(_oncall, name="oncall", rich_help_panel=RUNNING)
app.command(rich_help_panel=RUNNING)(running.web)
app.command(rich_help_panel=RUNNING)(running.simulator)
app.add_typer(_site, name="site", rich_help_panel=RUNNING)
app.add_typer(_users, name="users", rich_help_panel=RUNNING)
app.add_typer(_audit, name="audit", rich_help_panel=RUNNING)
app.add_typer(_keys, name="keys", rich_help_panel=RUNNING)
app.add_typer(_api_keys, name="api-keys", rich_help_panel=RUNNING)
