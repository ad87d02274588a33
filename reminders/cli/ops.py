"""Commands for bad days: backup and restore, what piled up, whom to phone while no text goes."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reminders.cli.output import Exit, Json, app_context, end, err, out, print_json, print_json_lines, print_table, who

if TYPE_CHECKING:
    from reminders.queries.call_list import Call
    from reminders.service.operations.backups import Left


@contextmanager
def _refusals() -> Generator[None]:
    from reminders.service.operations import backups

    try:
        yield
    except backups.BadBackup as refusal:
        end(Exit.REFUSED, f"Not done: {refusal}.")


def backup(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="Where to; in a folder it gets a dated name.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", exists=True, file_okay=False, help="The same, and only a folder."),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Then remove all but the N newest backups in the folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Back the database up while everything runs.

    The copy is verified and readable by its owner only; with backup.recipients it is sealed (age). What is sealed in
    the database stays sealed: the keys are not in it, and without REMINDERS_SEALING_KEYS it opens nothing. Keep them
    elsewhere.
    """
    from reminders import clock
    from reminders.service.operations import backups

    target = to or file
    if target is None or (to is not None and file is not None):
        end(Exit.USAGE, "Name one place: FILE, or --to DIR.")
    with app_context() as context, _refusals():
        made = backups.take(context, target, clock.now(), who=who(), keep=keep or 0)
    if json:
        removed = [str(one) for one in made.removed]
        print_json({"file": made.file, "bytes": made.bytes, "at": made.at, "sealed": made.sealed, "removed": removed})
        return
    sealed = ", sealed" if made.sealed else ""
    err.print(f"Backed up to {made.file}: {made.bytes / 1e6:.1f} MB, verified{sealed}. The sealing keys are not in it.")
    if made.removed:
        err.print(f"Removed: {len(made.removed)} older.")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="The backup.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it: the database becomes what it was at the backup.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also while a worker or web process seems to run.")] = False,
    identity: Annotated[
        Path | None,
        typer.Option("--identity", metavar="FILE", exists=True, dir_okay=False, help="The key of a sealed one."),
    ] = None,
    json: Json = False,
) -> None:
    """Restore a backup; what went since does not go again.

    The keys are tried first, and nothing is changed where one is missing. What may have gone is held until Twilio was
    asked for it, and every text sent to us since is taken in first. A PostgreSQL backup goes into an empty database.
    docs/restore.md has the steps.
    """
    import asyncio

    from reminders import clock
    from reminders.service.operations import backups, identities, runs
    from reminders.sms import Unreachable

    if not yes:
        end(Exit.USAGE, "This replaces the database. Stop every worker and web process, then say --yes.")
    with app_context(checked=False) as context, _refusals():
        keys = identities.read(identity) if identity is not None else []
        restoring = backups.restore(context, file, clock.now(), who=who(), force=force, identities=keys)
        done = asyncio.run(restoring)
        heard = None
        try:
            heard = runs.with_gateway(context, lambda gateway: backups.catch_up(context, gateway, clock.now()))
        except Unreachable as away:
            err.print(f"Twilio could not be asked what was texted since ({away}); the worker does it before it sends.")
    if json:
        before, after = done.schema
        print_json(
            {
                "file": done.file,
                "backup_at": done.backup_at,
                "schema": {"from": before, "to": after},
                "aside": done.aside,
                "doubted": done.doubted,
                "heard": heard,
            }
        )
    else:
        err.print(f"The database is as it was on {done.backup_at:%Y-%m-%d at %H:%M:%S} UTC.")
        if done.aside is not None:
            err.print(f"What stood there before is now {done.aside}.")
        err.print(
            f"Texts that may have gone since: {done.doubted}, held until Twilio was asked. "
            f"Texts to us since, taken in: {heard if heard is not None else 'not yet known'}. "
            "Import again what came since, then start the worker and the web process."
        )
    if heard is None:
        raise typer.Exit(Exit.UNREACHABLE)


def show_restored(json: Json = False) -> None:
    """Show the texts of which no one knows whether they went."""
    from reminders.service.operations import backups

    with app_context() as context:
        looked_for, left = backups.open_doubts(context)
    if json:
        print_json_lines(_left(one) for one in left)
        return
    if looked_for:
        err.print(f"Texts still looked for at Twilio: {looked_for}. `reminders settle` or the worker does it.")
    _print_left(left)


def _left(one: "Left") -> dict[str, Any]:
    return {
        "text": str(one.text),
        "class": one.class_,
        "patient": one.patient,
        "to": one.to,
        "opens_at": one.opens_at,
        "closes_at": one.closes_at,
    }


def _print_left(left: "list[Left]") -> None:
    from reminders.wording.house_style import clock_time

    print_table(
        "No one knows whether these went before the restore",
        ["Text", "Class", "Patient", "To", "Useful until"],
        [(one.text, one.class_, one.patient, one.to, clock_time(one.closes_at, one.zone)) for one in left],
        empty="No text waits for you.",
    )


def release_restored(json: Json = False) -> None:
    """Let them go: some may arrive a second time."""
    _decide_restored(drop=False, json=json)


def drop_restored(json: Json = False) -> None:
    """Drop them: they count as expired, and people phone."""
    _decide_restored(drop=True, json=json)


def _decide_restored(*, drop: bool, json: bool) -> None:
    from reminders import clock
    from reminders.service.operations import backups

    with app_context() as context:
        many = backups.decide(context, clock.now(), drop=drop, who=who())
    _print_ended(many, drop=drop, json=json)


def _print_ended(many: int, *, drop: bool, json: bool) -> None:
    word = "dropped" if drop else "released"
    if json:
        print_json({word: many})
    else:
        err.print(f"Texts {word}: {many}." + ("" if drop else " Those whose window is past do not go."))


def try_oncall(json: Json = False) -> None:
    """Page everyone on call that this is a test.

    It goes to both rotas, and ends with 1 where a page was not taken. While twilio.live is false only webhooks on this
    machine are called. `reminders doctor` says when each contact was reached.
    """
    import asyncio

    from reminders import clock
    from reminders.service.tasks import oncall

    with app_context() as context:
        tested = asyncio.run(oncall.try_everyone(context, clock.now(), who=who()))
    if json:
        print_json_lines(asdict(one) for one in tested)
    else:
        print_table(
            "Test pages",
            ["Contact", "Rota", "Taken"],
            [(one.name, f"site.{one.rota}", "yes" if one.taken else "NO") for one in tested],
            empty="No one is on call: name someone in site.on_call.",
        )
    if not tested or not all(one.taken for one in tested):
        raise typer.Exit(Exit.REFUSED)


def show_backlog(json: Json = False) -> None:
    """Show what is held since an outage, by hour of deadline."""
    from reminders.service.sending import backlog
    from reminders.wording.house_style import clock_time

    with app_context() as context:
        held, zone = backlog.held(context), context.settings.site.zone
    if json:
        print_json({"texts": held.texts, "by": [{"until": until, "texts": many} for until, many in held.by]})
        return
    print_table(
        f"Held since an outage: {held.texts} texts",
        ["Useful until", "Texts"],
        [(clock_time(until, zone), many) for until, many in held.by],
        empty="Nothing is held since an outage.",
    )


def release_backlog(json: Json = False) -> None:
    """Let it go, earliest deadline first."""
    _end_backlog(drop=False, json=json)


def drop_backlog(json: Json = False) -> None:
    """Drop it: it counts as expired, and people phone."""
    _end_backlog(drop=True, json=json)


def _end_backlog(*, drop: bool, json: bool) -> None:
    from reminders import clock
    from reminders.service.sending import backlog

    with app_context() as context:
        many = backlog.end(context, clock.now(), drop=drop, who=who())
    _print_ended(many, drop=drop, json=json)


def calls(
    hours: Annotated[int, typer.Option(min=1, max=336, help="How far ahead.")] = 48,
    json: Json = False,
) -> None:
    """Print whom to phone while no text goes.

    First visits first, with names and numbers. That you read it is recorded.
    """
    from datetime import timedelta

    from reminders import clock
    from reminders.queries import call_list
    from reminders.queries.exports import PART_2_NOTICE
    from reminders.wording import house_style

    with app_context() as context:
        found = call_list.ahead(context.database, clock.now(), timedelta(hours=hours), who=who())
    if json:
        print_json_lines({**asdict(call), "notice": PART_2_NOTICE} for call in found)
        return
    if found:
        out.print(PART_2_NOTICE, soft_wrap=True)
    print_table(
        f"To phone about the visits of the next {hours} hours, first visits first",
        ["", "Visit", "Patient", "Name", "Phone", "Reader", "Language", "Text arrived"],
        [
            (
                "FIRST" if call.is_first else "",
                f"{house_style.moment(call.wall, year=False)} {call.zone}",
                call.patient,
                call.name,
                call.phone + (" (wrong number)" if call.is_wrong else ""),
                _reader(call),
                call.language,
                call.told,
            )
            for call in found
        ],
        empty="No visits in that time.",
    )


def _reader(call: "Call") -> str:
    return {"self": "the patient"}.get(call.role, call.role)
