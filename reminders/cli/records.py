"""Commands that take records out: of one patient on their request, and of a whole site."""

import os
from pathlib import Path
from typing import Annotated

import typer

from reminders.cli.output import Exit, Json, app_context, end, err, print_json, who
from reminders.cli.people import Patient, Site

To = Annotated[Path, typer.Option("--to", metavar="DIR/FILE", help="Where to; a file that is there is not replaced.")]
ENDINGS = (".html", ".json")


def export_person(patient: Patient, to: To, site: Site = None, json: Json = False) -> None:
    """Take out all that is on record of a patient (45 CFR 164.524).

    Into a folder: a page to read and JSON for programs, named by the row, not by the person. Into a FILE that ends in
    .html or .json: that one. The files are readable by you only. That you took it out is put on record.
    """
    from reminders import clock, queries
    from reminders.queries import records
    from reminders.service.operations.legible import legible
    from reminders.service.people import patient_status
    from reminders.service.people.reader_case import Whom

    with app_context() as context:
        now = clock.now()
        key = site or context.settings.site.key
        place = context.database.read(lambda tx: queries.people.site_by_key(tx, key))
        row = context.database.read(lambda tx: records.find(tx, [place.id], patient)) if place is not None else None
        if place is None or row is None:
            end(Exit.NOT_FOUND, f"There is no patient {patient} at {key}.")
        files = _files(to, f"record-{row}-{now:%Y-%m-%d}")
        person = patient_status.show(context, Whom(patient, site=key), now, who=who())
        stands = {one.key: one.why_not for one in person.readers} if person is not None else {}
        record = records.take_out(context.database, [place.id], row, now, who=who(), stands=stands)
    if record is None:
        end(Exit.NOT_FOUND, f"There is no patient {patient} at {key}.")
    for file in files:
        _write(file, records.as_html(record, legible) if file.suffix == ".html" else records.as_json(record))
    if json:
        print_json({"files": [str(file) for file in files]})
    else:
        err.print(f"Written to {' and '.join(map(str, files))}. They are yours to guard, and to delete.")


def _files(to: Path, name: str) -> list[Path]:
    """The files to write. What is there already, or has nowhere to be, ends the command."""
    if to.is_dir():
        files = [to / f"{name}{ending}" for ending in ENDINGS]
    elif to.suffix in ENDINGS:
        files = [to]
    else:
        end(Exit.USAGE, f"{to} is no folder, and ends neither in .html nor in .json.")
    for file in files:
        if file.exists() or file.is_symlink():
            end(Exit.REFUSED, f"{file} is there already. Name another, or remove it first.")
        if not file.parent.is_dir():
            end(Exit.REFUSED, f"There is no folder {file.parent}.")
    return files


def _write(file: Path, said: str) -> None:
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(said)
    except OSError as wrong:
        end(Exit.REFUSED, f"{file} cannot be written: {wrong.strerror}.")


def export_site(
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The file to write; one that is there is refused.")],
    site: Site = None,
    json: Json = False,
) -> None:
    """Take out everything of a site, a JSON object a line (NDJSON).

    It is read in batches that change nothing, while everything runs. Sealed values are opened: the file holds patients'
    names, numbers and words, is readable by you only, and that you took it out is put on record. `reminders site
    schema` prints the JSON schema of a line. Secrets, passwords and keys are not in it.
    """
    from json import dumps

    from reminders import clock, queries
    from reminders.queries import site_export

    with app_context() as context:
        key = site or context.settings.site.key
        place = context.database.read(lambda tx: queries.people.site_by_key(tx, key))
        if place is None:
            end(Exit.NOT_FOUND, f"There is no site {key}.")
        if to.exists() or to.is_symlink():
            end(Exit.REFUSED, f"{to} is there already. Name another, or remove it first.")
        many = 0
        try:
            with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
                for line in site_export.lines(context.database, place.id, clock.now(), who=who()):
                    out.write(dumps(line, ensure_ascii=False) + "\n")
                    many += 1
        except OSError as wrong:
            end(Exit.REFUSED, f"{to} cannot be written: {wrong.strerror}.")
    if json:
        print_json({"file": str(to), "lines": many})
    else:
        err.print(f"Written to {to}: {many} lines. It names patients in the clear: guard it, and delete it in time.")


def print_schema(json: Json = False) -> None:
    """Print the JSON schema of a line of a site's export."""
    del json  # it is JSON as it is
    from reminders.queries import site_export

    print_json(site_export.schema())
