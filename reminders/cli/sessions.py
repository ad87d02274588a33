"""Commands about visits: a session or one visit moved or called off, who knows of it, and who came."""

from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reminders.cli.output import Exit, Json, app_context, end, err, print_json, print_json_lines, print_table, told, who

if TYPE_CHECKING:
    from reminders.service.planning import Changes
    from reminders.service.planning.attendance import Marked

_WALL = ["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
Session = Annotated[str, typer.Argument(metavar="SESSION", help="The session's key, as the plans name it.")]
On = Annotated[datetime, typer.Argument(metavar="DATE", formats=["%Y-%m-%d"], help="The day it stands on now.")]
Day = Annotated[datetime, typer.Argument(metavar="DATE", formats=["%Y-%m-%d"], help="Its day, the old or the new one.")]
To = Annotated[datetime, typer.Option(formats=_WALL, help="The new wall-clock time, 2026-12-02T10:00.")]
PlanRef = Annotated[str, typer.Argument(metavar="PLAN_REF")]
Series = Annotated[str, typer.Argument(metavar="SERIES", help="The series' key in the plan.")]
NoText = Annotated[bool, typer.Option("--no-text", help="Text no one about a miss.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say who would get a text, and when; mark nothing.")]
Site = Annotated[str | None, typer.Option(metavar="S", help="The site's key; default the default site.")]


def move_session(session: Session, on: On, to: To, site: Site = None, json: Json = False) -> None:
    """Move a session for all its patients."""
    _change_session(session, on.date(), to=to, site=site, json=json)


def cancel_session(session: Session, on: On, site: Site = None, json: Json = False) -> None:
    """Call a session off for all its patients."""
    _change_session(session, on.date(), to=None, site=site, json=json)


def _change_session(session: str, on: date, *, to: datetime | None, site: str | None, json: bool) -> None:
    from reminders import clock
    from reminders.service.planning import changes

    with app_context() as context:
        try:
            done = changes.change_session(context, session, on, clock.now(), who=who(), to=to, site=site)
        except ValueError as refusal:
            end(Exit.REFUSED, f"{session}: {refusal}.")
    if done is None:
        end(Exit.NOT_FOUND, f"No visit of the session {session} stands on {on}.")
    _say_changed(f"{session} on {on} is {'moved' if to else 'called off'} for everyone.", done, json=json)
    if not json:
        err.print(f"Who knows: reminders sessions show {session} {on}. Until a text has gone: reminders sessions undo.")


def _say_changed(words: str, done: "Changes", *, json: bool) -> None:
    from dataclasses import asdict

    if json:
        print_json({"texts": asdict(done)})
    else:
        err.print(words)
        err.print(told(done))


def undo_session(session: Session, on: Day, site: Site = None, json: Json = False) -> None:
    """Take a session's last change back, until a text about it went."""
    from reminders import clock
    from reminders.service.planning import changes

    with app_context() as context:
        try:
            done = changes.undo_session(context, session, on.date(), clock.now(), who=who(), site=site)
        except ValueError as refusal:
            end(Exit.REFUSED, f"{session}: {refusal}.")
    if done is None:
        end(Exit.NOT_FOUND, f"No visit of the session {session} stood on {on.date()}.")
    _say_changed(f"{session} stands as it did before its last change.", done, json=json)


def show_session(session: Session, on: Day, site: Site = None, json: Json = False) -> None:
    """Show who of a session knows how it stands.

    Delivered, no answer, must be phoned, on its way, or not told.
    """
    from reminders import clock
    from reminders.service.planning import changes
    from reminders.wording import house_style, staff_words

    with app_context() as context:
        lines = changes.session_story(context, session, on.date(), clock.now(), site=site)
    if not lines:
        end(Exit.NOT_FOUND, f"No visit of the session {session} stood on {on.date()}.")
    if json:
        print_json_lines(
            {
                "patient": line.patient,
                "plan": line.plan,
                "recipient": line.recipient,
                "visit": line.visit,
                "local": line.wall,
                "how": line.how,
                "status": line.status,
                "told": line.told,
                "text": str(line.text) if line.text is not None else None,
                "state": line.state,
                "reason": line.reason,
            }
            for line in lines
        )
        return
    print_table(
        f"{session} on {on.date()}: who knows",
        ["Patient", "To", "Status", "Told", "Text"],
        [
            (
                line.patient,
                line.recipient,
                f"{line.status} {house_style.moment(line.wall, year=False)}, {staff_words.MODES[line.how]}",
                line.told,
                " ".join(filter(None, (line.state, staff_words.REASONS.get(line.reason or "")))),
            )
            for line in lines
        ],
        empty="",
    )


def move_visit(plan: PlanRef, series: Series, on: On, to: To, json: Json = False) -> None:
    """Move one visit of one plan."""
    _change_visit(plan, series, on.date(), to=to, json=json)


def cancel_visit(plan: PlanRef, series: Series, on: On, json: Json = False) -> None:
    """Call one visit of one plan off."""
    _change_visit(plan, series, on.date(), to=None, json=json)


def _change_visit(plan: str, series: str, on: date, *, to: datetime | None, json: bool) -> None:
    from reminders import clock
    from reminders.service.planning import changes

    with app_context() as context:
        try:
            done = changes.change_visit(context, plan, series, on, clock.now(), who=who(), to=to)
        except ValueError as refusal:
            end(Exit.REFUSED, f"{plan}: {refusal}.")
    if done is None:
        end(Exit.NOT_FOUND, f"No visit of {series} in the plan {plan} stands on {on}.")
    _say_changed(f"{series} on {on} is {'moved' if to else 'called off'}.", done, json=json)


def mark_visit(
    plan: PlanRef,
    series: Series,
    on: Day,
    mark: Annotated[str, typer.Argument(metavar="MARK", help="attended, late or missed; unmark takes a mark back.")],
    no_text: NoText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Say who came to one visit."""
    from reminders import clock
    from reminders.service.planning import attendance

    if mark not in attendance.MARKS:
        raise typer.BadParameter(f"choose one of {', '.join(attendance.MARKS)}", param_hint="MARK")
    with app_context() as context:
        try:
            done = attendance.mark(
                context,
                plan,
                series,
                on.date(),
                clock.now(),
                what=mark,
                who=who(),
                text=not no_text,
                dry_run=dry_run,
            )
        except ValueError as refusal:
            end(Exit.REFUSED, f"{plan}: {refusal}.")
    if done is None:
        end(Exit.NOT_FOUND, f"No visit of {series} in the plan {plan} stood on {on.date()}.")
    if json:
        print_json(_marked(done))
    else:
        err.print(_mark_told(done, dry_run=dry_run))


def mark_session(
    session: Session,
    on: Day,
    missed: Annotated[str, typer.Option(metavar="REF,REF", help="Patients who missed it.")] = "",
    late: Annotated[str, typer.Option(metavar="REF,REF", help="Patients who were late.")] = "",
    site: Site = None,
    no_text: NoText = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Say who came to a session; whom you do not name attended."""
    from reminders import clock
    from reminders.service.planning import attendance

    with app_context() as context:
        try:
            done = attendance.mark_session(
                context,
                session,
                on.date(),
                clock.now(),
                who=who(),
                missed=_refs(missed),
                late=_refs(late),
                site=site,
                text=not no_text,
                dry_run=dry_run,
            )
        except ValueError as refusal:
            end(Exit.REFUSED, f"{session}: {refusal}. Nothing was marked.")
    if not done:
        end(Exit.NOT_FOUND, f"No visit of the session {session} stood on {on.date()}.")
    if json:
        print_json_lines(map(_marked, done))
    else:
        for one in done:
            err.print(_mark_told(one, dry_run=dry_run))


def _refs(text: str) -> list[str]:
    return [ref.strip() for ref in text.split(",") if ref.strip()]


def _marked(one: "Marked") -> dict[str, Any]:
    return {
        "patient": one.patient,
        "plan": one.plan,
        "visit": one.visit,
        "mark": one.mark,
        "news": one.news,
        "text": one.text,
        "reason": one.reason,
        "goes_at": one.goes_at,
        "call": one.call,
    }


def _mark_told(one: "Marked", *, dry_run: bool) -> str:

    from reminders.wording import house_style, staff_words

    words = [f"{one.patient}, {one.visit}: {one.mark}."]
    if one.text == "suppressed" or (one.text is None and one.reason is not None):
        words.append(f"No text goes: {staff_words.REASONS.get(one.reason or '', one.reason)}.")
    elif one.text == "scheduled":
        when = (
            house_style.clock_time(one.goes_at, one.zone)
            if one.goes_at is not None and one.zone is not None
            else "soon"
        )
        words.append(f"A text without blame {'would go' if dry_run else 'goes'} {when}.")
    if one.call:
        words.append(f"There {'would be' if dry_run else 'is'} a task to call them today.")
    return " ".join(words)


def list_unmarked(json: Json = False) -> None:
    """Show the visits of the last seven days that no one marked."""
    from reminders import clock
    from reminders.service.planning import attendance
    from reminders.wording import house_style

    with app_context() as context:
        rows = attendance.unmarked(context, clock.now())
    if json:
        print_json_lines(
            {
                "patient": row.patient,
                "plan": row.plan,
                "series": row.series,
                "date": row.wall[:10],
                "local": row.wall,
                "zone": row.zone,
            }
            for row in rows
        )
        return
    print_table(
        "Visits to mark",
        ["When", "Patient", "Plan", "Series", "Date"],
        [
            (house_style.clock_time(row.starts_at, row.zone), row.patient, row.plan, row.series, row.wall[:10])
            for row in rows
        ],
        empty="Every visit of the last seven days is marked.",
    )
