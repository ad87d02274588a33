"""Commands about the audit: who did what, and whether the record of it is whole."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reminders.cli.output import Exit, Json, app_context, end, err, print_json, print_json_lines, print_table, who

if TYPE_CHECKING:
    from reminders.queries.audit import Entry

Moment = Annotated[str | None, typer.Option(metavar="T", help="A date, or a date and time with its offset.")]


def list_audit(
    by: Annotated[str | None, typer.Option("--who", metavar="WHO", help="As it stands there: staff:ana.reyes.")] = None,
    patient: Annotated[str | None, typer.Option(metavar="REF", help="About this patient.")] = None,
    what: Annotated[str | None, typer.Option(metavar="WORDS", help="As it stands there: patient read.")] = None,
    since: Moment = None,
    until: Moment = None,
    seen: Annotated[bool, typer.Option("--seen", help="Only what was read or exported.")] = False,
    values: Annotated[bool, typer.Option("--values", help="Also what stood there before and after.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many at most.")] = 100,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    json: Json = False,
) -> None:
    """Show who did what, newest first.

    With --values names and numbers may be shown; that you saw them is put on record.
    """
    from reminders import clock, queries
    from reminders.queries.audit import Wanted

    with app_context() as context:
        wanted = Wanted(
            who=by,
            patient=patient,
            what=what,
            since=_moment("since", since),
            until=_moment("until", until),
            kind="seen" if seen else None,
            limit=limit,
        )
        rows = queries.audit.look(context.database, wanted, clock.now(), who=who(), values=values)
    shown = [_said(row, values=values) for row in rows]
    if json:
        print_json_lines(shown)
    elif csv:
        print(queries.audit.as_csv(rows), end="")
    else:
        columns = ["At (UTC)", "Who", "What", "On", "Site", "Patient", "From", *(["Before", "After"] if values else [])]
        print_table("Audit, newest first", columns, [_cells(one, values=values) for one in shown], empty="Nothing.")


def _said(row: "Entry", *, values: bool) -> dict[str, Any]:
    said = {
        "id": row.id,
        "at": row.at,
        "who": row.who,
        "what": row.what,
        "table": row.table,
        "row": row.row,
        "site": row.site,
        "patient": row.patient,
        "from": row.where,
        "place": row.place,
    }
    return said | ({"before": row.before, "after": row.after} if values else {})


def _cells(said: dict[str, Any], *, values: bool) -> list[object]:
    cells = [f"{said['at']:%Y-%m-%d %H:%M:%S}", said["who"], said["what"], f"{said['table']} {said['row']}"]
    cells += [said["site"], said["patient"], said["from"]]
    return cells + ([said["before"], said["after"]] if values else [])


def _moment(name: str, text: str | None) -> datetime | None:
    from datetime import UTC

    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        end(Exit.USAGE, f"--{name}: {text!r} is no date, such as 2026-11-30, and no moment.")
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)


def verify(
    head: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What `audit head` or jobs.audit_head wrote: is each still in the chain?"),
    ] = None,
    json: Json = False,
) -> None:
    """Walk along the audit's chain and say where it breaks.

    A missing or changed row shows by itself; that the end was cut off shows against a head kept elsewhere.
    """
    from reminders.service.office import audit, heads

    with app_context() as context:
        exported = []
        if head is not None:
            try:
                exported = heads.read_all(context, head.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                end(Exit.NOT_FOUND, f"{head} cannot be read: {getattr(error, 'strerror', None) or 'not text'}.")
            except audit.NoHead as refusal:
                end(Exit.REFUSED, f"{head}: {refusal}.")
        verdict = audit.verify(context, *exported)
    if json:
        print_json(
            {
                "ok": verdict.ok,
                "rows": verdict.rows,
                "place": verdict.head.place,
                "hash": verdict.head.hash.hex(),
                "problems": list(verdict.problems),
                "erased": verdict.erased,
                "waiting": verdict.waiting,
            }
        )
    else:
        for problem in verdict.problems:
            err.print(f"BROKEN: {problem}.")
        said = "The chain is whole" if verdict.ok else "The chain is broken"
        err.print(
            f"{said}: {verdict.rows} rows, the last at place {verdict.head.place}. Values that an erasure took: "
            f"{verdict.erased}. Rows that wait for their place: {verdict.waiting}."
        )
    if not verdict.ok:
        raise typer.Exit(Exit.REFUSED)


def head(
    keep: Annotated[bool, typer.Option("--keep", help="Also keep it now where jobs.audit_head says.")] = False,
    json: Json = False,
) -> None:
    """Print the head of the chain, signed, to keep elsewhere.

    Keep it where no one who can write to the database can: `audit verify --head FILE` holds the chain against it.
    """
    del json  # it is JSON as it is
    from reminders import clock
    from reminders.service.office import audit, heads

    with app_context() as context:
        audit.chain(context, clock.now())
        try:
            if keep and not heads.keep(context, clock.now(), at_once=True):
                end(Exit.REFUSED, "It is kept nowhere: set jobs.audit_head to a file or an https address first.")
        except heads.NotKept as refusal:
            end(Exit.REFUSED, f"{refusal}.")
        exported = audit.export_head(context, clock.now())
    if exported is None:
        end(Exit.REFUSED, "Nothing is chained yet. The worker's chain job begins ten seconds after the first row.")
    print_json(exported)
