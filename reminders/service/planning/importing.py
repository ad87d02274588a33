"""Plan files: many at once, the good ones accepted and the bad ones reported; and a folder that is watched for them."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from reminders import intake, store
from reminders.app_context import AppContext
from reminders.plans import Known, PlanDocument, PlanRefused, Problem
from reminders.service.planning.accepting import Accepted, accept_in
from reminders.service.tasks.isolation import OneByOne
from reminders.store.planning.texts import Changes


@dataclass(slots=True)
class Imported:
    """What became of many files (README.md#commands)."""

    accepted: int = 0
    unchanged: int = 0
    refused: list[tuple[Path, Problem]] = field(default_factory=list)
    texts: Changes = field(default_factory=Changes)
    notes: list[tuple[str, str]] = field(default_factory=list)  # plan reference, what to think about


class _Refused(Exception):  # ruff: ignore[error-suffix-on-exception-name]  carries the verdict out of the transaction
    """One of several files was refused; nothing of any is kept."""


def import_files(
    context: AppContext,
    paths: Iterable[Path],
    now: datetime,
    *,
    who: str,
    dry_run: bool = False,
    all_or_nothing: bool = False,
) -> Imported:
    """Accept plan files; a folder means the plan files in it. Good ones are accepted, bad ones reported.

    With `all_or_nothing` one bad file refuses all: first it is tried whether each would be accepted, then they are,
    patient by patient. One that is refused only then, since something changed within those seconds, is reported like
    any other. With `dry_run` nothing is kept. Raises FileNotFoundError.
    """
    report = Imported()
    known = context.database.read(lambda tx: context.known(tx, now))
    documents = _each_plan_once(_read(intake.plan_files(paths), known, report), report)

    batches = _by_patient(documents) if all_or_nothing else [[one] for one in documents]
    if all_or_nothing and batches and not report.refused:
        for problems in context.database.try_each([partial(_try_each, context, batch, now, who) for batch in batches]):
            report.refused += problems
    for batch in [] if all_or_nothing and report.refused else batches:
        try:
            accept = partial(_accept_each, context, batch, now, who)
            done = context.database.try_out(accept) if dry_run else context.database.write(accept, again=True)
        except _Refused as refusal:
            report.refused += refusal.args[0]
            continue
        for accepted in done:
            report.accepted += accepted.changed
            report.unchanged += not accepted.changed
            report.texts += accepted.texts
            report.notes += [(accepted.ref, note) for note in accepted.notes]
    return report


def _accept_each(
    context: AppContext, batch: Sequence[tuple[Path, PlanDocument]], now: datetime, who: str, tx: store.Transaction
) -> list[Accepted]:
    """Accept all of these, or raise _Refused with what is wrong with any."""
    refused: list[tuple[Path, Problem]] = []
    done = []
    for path, document in batch:
        try:
            done.append(accept_in(context, tx, document, now, who))
        except PlanRefused as refusal:
            refused += [(path, problem) for problem in refusal.problems]
    if refused:
        raise _Refused(refused)
    return done


def _try_each(
    context: AppContext, batch: Sequence[tuple[Path, PlanDocument]], now: datetime, who: str, tx: store.Transaction
) -> list[tuple[Path, Problem]]:
    """What is wrong with any of these, if they were accepted together."""
    try:
        _accept_each(context, batch, now, who, tx)
    except _Refused as refusal:
        found: list[tuple[Path, Problem]] = refusal.args[0]
        return found
    return []


def _by_patient(documents: Sequence[tuple[Path, PlanDocument]]) -> list[list[tuple[Path, PlanDocument]]]:
    """Each patient's together: what one of them says may decide about another."""
    batches: dict[tuple[str, str], list[tuple[Path, PlanDocument]]] = {}
    for path, document in documents:
        batches.setdefault((document.plan.site, document.patient.ref), []).append((path, document))
    return list(batches.values())


def _read(paths: Iterable[Path], known: Known, report: Imported) -> list[tuple[Path, PlanDocument]]:
    """The documents in these files; what is wrong with the others goes into the report."""
    documents = []
    for path in paths:
        try:
            documents.append((path, intake.read_file(path, known)))
        except PlanRefused as refusal:
            report.refused += [(path, problem) for problem in refusal.problems]
        except FileNotFoundError:
            raise
        except OSError as error:
            report.refused.append((path, Problem("file", f"cannot be read: {error.strerror}")))
    return documents


def _each_plan_once(
    documents: Sequence[tuple[Path, PlanDocument]], report: Imported
) -> list[tuple[Path, PlanDocument]]:
    """Those without the files that say different things of one plan: none of these is more right than another."""
    of_plan: dict[tuple[str, str], list[tuple[Path, PlanDocument]]] = {}
    for path, document in documents:
        of_plan.setdefault((document.plan.site, document.plan.ref), []).append((path, document))
    kept = []
    for path, document in documents:
        same = of_plan[document.plan.site, document.plan.ref]
        if len({one.canonical() for _, one in same}) == 1:
            kept.append((path, document))
            continue
        others = ", ".join(str(other) for other, _ in same if other != path)
        report.refused.append((path, Problem("plan.ref", f"is in {others} too, and they differ; keep one of them")))
    return kept


def import_folder(context: AppContext, folder: Path, now: datetime) -> Imported:
    """Take in what lies in the watched folder; the `import` job.

    An accepted file moves to `done/`; a refused one to `refused/`, its problems beside it in `<name>.problems.txt`. A
    file still being written is left for the next time: write it elsewhere and move it in, or be quicker than a minute.
    """
    report = Imported()
    each = OneByOne(context, "import", now)
    paths = intake.plan_files([folder])
    clashing = _clashing(context, paths, now)
    for path in paths:
        # A file's name may name a person, so the task has a digest of it; the file is the one that stays in the folder.
        name = hashlib.sha256(path.name.encode()).hexdigest()[:12]
        each.do("file", name, partial(_import_one, context, folder, path, now, report=report, clash=clashing.get(path)))
    each.finish()
    return report


def _clashing(context: AppContext, paths: Sequence[Path], now: datetime) -> dict[Path, Problem]:
    """The files of the folder that say different things of one plan."""
    known = context.database.read(lambda tx: context.known(tx, now))
    report = Imported()
    documents = []
    for path in paths:
        if not stat.S_ISREG(path.lstat().st_mode):
            continue
        with contextlib.suppress(OSError):  # it is told of in its turn
            documents += _read([path], known, Imported())
    _each_plan_once(documents, report)
    return dict(report.refused)


def _import_one(
    context: AppContext, folder: Path, path: Path, now: datetime, *, report: Imported, clash: Problem | None
) -> None:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or abs(now.timestamp() - found.st_mtime) < 1:
        return  # a link or a pipe is not ours to read: dropping files must not choose what we open
    one = (
        import_files(context, [path], now, who="import folder") if clash is None else Imported(refused=[(path, clash)])
    )
    kept = _own_folder(folder / ("refused" if one.refused else "done"))
    name = _free_name(kept, path.name)
    if one.refused:
        lines = "".join(f"{problem}\n" for _, problem in one.refused)
        _write_new(kept / f"{name}.problems.txt", lines)
    path.replace(kept / name)
    report.accepted += one.accepted
    report.unchanged += one.unchanged
    report.refused += one.refused
    report.texts += one.texts


class UnsafeFolder(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is wrong
    """A folder to move files into is a link, or another user's; nothing was moved. The message says which."""


def _own_folder(folder: Path) -> Path:
    """The folder, made if need be. Raises UnsafeFolder where someone else could lead our files elsewhere."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise UnsafeFolder(f"{folder.name} in the import folder is a link or another user's; remove it")
    return folder


def _write_new(path: Path, text: str) -> None:
    """Write a new file, readable by its owner only; never through a link, never over a file. Raises OSError."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def _free_name(folder: Path, name: str) -> str:
    """A name that neither a file nor the problems of one has; a link counts as a file, wherever it leads."""
    stem, suffix = Path(name).stem, Path(name).suffix
    number, free = 1, name
    while os.path.lexists(folder / free) or os.path.lexists(folder / f"{free}.problems.txt"):
        number += 1
        free = f"{stem}.{number}{suffix}"
    return free
