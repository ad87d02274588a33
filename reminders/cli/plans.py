"""Commands about plans: take them in, see what they would text, pause, resume and end them."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reminders.audit_actions import Action
from reminders.cli.output import Exit, Json, app_context, end, err, print_json, print_table, told, who

if TYPE_CHECKING:
    from reminders.service import AppContext, planning
    from reminders.service.planning.accepting import Previewed


def import_(
    paths: Annotated[list[Path], typer.Argument(help="Plan files (.toml, .json), or folders of them.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; keep nothing.")] = False,
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", help="Refuse all files if one is refused.")
    ] = False,
    json: Json = False,
) -> None:
    """Take in plan files: accept the good ones, report the bad ones.

    The same file again changes nothing. A folder means the plan files in it.
    """
    from rich.progress import Progress

    from reminders import clock
    from reminders.service.planning import importing

    with app_context() as context, Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        progress.add_task("Reading plans", total=None)
        try:
            report = importing.import_files(
                context, paths, clock.now(), who=who(), dry_run=dry_run, all_or_nothing=all_or_nothing
            )
        except FileNotFoundError as missing:
            end(Exit.NOT_FOUND, f"There is no file {missing.filename}. Nothing was taken in.")
        except OSError as unreadable:
            end(Exit.REFUSED, f"{unreadable.filename}: cannot be read: {unreadable.strerror}. Nothing was taken in.")
    if json:
        print_json(
            {
                "accepted": report.accepted,
                "unchanged": report.unchanged,
                "refused": [
                    {"file": str(path), "where": problem.where, "problem": problem.problem}
                    for path, problem in report.refused
                ],
                "texts": asdict(report.texts),
                "notes": [{"plan": ref, "note": note} for ref, note in report.notes],
            }
        )
    else:
        for ref, note in report.notes:
            err.print(f"{ref}: {note}.")
        for path, problem in report.refused:
            err.print(f"{path}: {problem}")
        refused = len({path for path, _ in report.refused})
        outcome = "Would be accepted" if dry_run else "Accepted"
        err.print(f"{outcome}: {report.accepted}, unchanged: {report.unchanged}, refused: {refused}.")
        if report.accepted:
            err.print(told(report.texts))
    if report.refused:
        raise typer.Exit(Exit.REFUSED)


def preview(
    plan: Annotated[str, typer.Argument(metavar="PLAN_REF or FILE", help="A plan's reference, or a plan file.")],
    json: Json = False,
) -> None:
    """Show each text of a plan: when it goes, its words, or why not."""
    from reminders import clock
    from reminders.plans import PlanRefused
    from reminders.service.planning import cap_costs

    path, now = Path(plan), clock.now()
    try:
        with app_context() as context:
            texts, people = _preview(
                context, path if path.suffix in {".toml", ".json"} or path.is_file() else plan, now
            )
    except PlanRefused as refusal:
        end(Exit.REFUSED, "\n".join(f"{path}: {problem}" for problem in refusal.problems))
    if texts is None:
        end(Exit.NOT_FOUND, f"There is no plan and no file {plan}.")
    if json:
        print_json([text.as_json() for text in texts])
        return
    print_table(
        f"Texts of {plan}",
        ["Goes", "To", "Text"],
        [(_when(text, now), text.recipient, _says(text)) for text in texts],
        empty="No texts: the plan has no visits ahead within the horizon.",
    )
    if cost := cap_costs.in_words(texts, now.date()):
        err.print(cost)
    for one in people if len(people) > 1 else ():
        whom = "The patient" if one.recipient == "self" else one.recipient
        err.print(f"{whom}: {one.texts} text{'' if one.texts == 1 else 's'}{f', {one.why}' if one.why else ''}.")


def _preview(
    context: "AppContext", plan: Path | str, now: datetime
) -> "tuple[list[Previewed] | None, Sequence[planning.ToldOf]]":
    """The texts of a plan file, or of a plan by its reference, and of whom; None where there is none.

    Raises PlanRefused.
    """
    from reminders import intake
    from reminders.service import planning

    if isinstance(plan, str):
        return _stored(context, plan, now)
    known = context.database.read(lambda tx: context.known(tx, now))
    try:
        document = intake.read_file(plan, known)
    except FileNotFoundError:
        return _stored(context, str(plan), now)  # a reference may look like a file's name
    except OSError as problem:
        end(Exit.REFUSED, f"{plan}: cannot be read: {problem.strerror}.")
    texts = planning.preview(context, document, now)
    return texts, planning.people_in(document, texts)


def _stored(
    context: "AppContext", ref: str, now: datetime
) -> "tuple[list[Previewed] | None, Sequence[planning.ToldOf]]":
    """The texts of a plan by its reference, and of whom; that they were read is noted."""
    from reminders import queries
    from reminders.queries import readings
    from reminders.service import planning

    def look(tx: queries.Transaction, notes: readings.Notes) -> None:
        plan = queries.plans.plan_by_ref(tx, ref, lock=False)
        if plan is not None:
            notes.add(Action.PLAN_TEXTS_READ, "plans", plan.id)

    readings.read(context.database, look, now, who=who())
    texts = planning.preview_plan(context, ref, now)
    return texts, planning.people_of(context, ref, texts) if texts is not None else ()


def _when(text: "Previewed", now: datetime) -> str:
    """When a text goes or went; of one that does not go, when it would have."""
    from reminders.wording import house_style

    if not text.goes:
        return house_style.clock_time(text.opens_at, text.zone)
    when = house_style.clock_time(text.goes_at, text.zone)
    return f"{when}\n(as soon as it may)" if text.state == "scheduled" and text.goes_at <= now else when


def _says(text: "Previewed") -> str:

    from reminders.wording import staff_words

    if not text.goes:
        phone = " No text goes about this visit: phone." if text.red else ""
        return f"Does not go: {staff_words.REASONS.get(text.reason or '', text.reason)}.{phone}"
    if text.state != "scheduled":
        return f"{staff_words.STATES[text.state]}: {text.text or 'the words are no longer kept'}"
    counted = "" if text.segments == 1 else f" [{text.segments} segments]"
    return f"{text.text}{counted}"


def pause_plan(ref: Annotated[str, typer.Argument(metavar="PLAN_REF")], json: Json = False) -> None:
    """Send nothing for this plan until it is resumed."""
    _set_plan_status(ref, "paused", json=json)


def resume_plan(ref: Annotated[str, typer.Argument(metavar="PLAN_REF")], json: Json = False) -> None:
    """Take a paused plan up again; what lies ahead is planned again."""
    _set_plan_status(ref, "active", json=json)


def end_plan(
    ref: Annotated[str, typer.Argument(metavar="PLAN_REF")],
    because: Annotated[str, typer.Option(help="completed, left, readmitted, transferred, died or other.")] = "other",
    json: Json = False,
) -> None:
    """End this plan for good and take its texts back.

    Of who died all plans end, and nothing is sent to anyone about them again.
    """
    from reminders.plans import ENDINGS

    if because not in ENDINGS:
        raise typer.BadParameter(f"choose one of {', '.join(ENDINGS)}", param_hint="--because")
    _set_plan_status(ref, "ended", json=json, because=because)


def transfer_plan(
    ref: Annotated[str, typer.Argument(metavar="PLAN_REF")],
    to: Annotated[str, typer.Option(metavar="SITE", help="The key of the other site.")],
    json: Json = False,
) -> None:
    """End this plan because another of our sites goes on.

    There they need a new plan and a new consent.
    """
    from reminders import clock
    from reminders.service.planning import changes

    with app_context() as context:
        try:
            done = changes.transfer(context, ref, to, clock.now(), who=who())
        except ValueError as refusal:
            end(Exit.REFUSED, f"{ref}: {refusal}.")
    if done is None:
        end(Exit.NOT_FOUND, f"There is no plan {ref}.")
    if json:
        print_json({"texts": asdict(done)})
    else:
        err.print(f"{ref} has ended. {told(done)}")
        err.print(f"At {to} they need a new plan, and a new consent: no number goes along.")


_NOW = {"paused": "is paused", "active": "is active", "ended": "has ended"}


def _set_plan_status(ref: str, status: str, *, json: bool, because: str | None = None) -> None:
    from reminders import clock
    from reminders.service.planning import changes

    with app_context() as context:
        try:
            done = changes.set_plan_status(context, ref, status, clock.now(), who=who(), because=because)
        except ValueError as refusal:
            end(Exit.REFUSED, f"{ref}: {refusal}.")
    if done is None:
        end(Exit.NOT_FOUND, f"There is no plan {ref}.")
    if json:
        print_json({"texts": asdict(done)})
    else:
        err.print(f"{ref} {_NOW[status]}. {told(done)}")
