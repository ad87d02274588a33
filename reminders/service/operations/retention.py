"""How long things are kept: words as long as settings say, a person until erased, everything under a legal hold."""

import json
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from reminders import store, task_kinds
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.service.people.reader_case import Refused
from reminders.service.planning.replanning import replan
from reminders.store.records import PatientRow

T = TypeVar("T")

_A_DAY = timedelta(days=1)
_PURGED = "purged"  # the mark of up to when it was done


@dataclass(frozen=True, slots=True)
class Erased:
    """What was done: how many texts were taken back, and the reference by which the rows are found from now on.

    `at_twilio` is how many messages to them Twilio holds still, with number and words, unless they were deleted there.
    """

    retracted: int
    ref: str
    at_twilio: int = 0


def hold(
    context: AppContext, patient: str, now: datetime, *, who: str, on: bool, site: str | None = None
) -> bool | None:
    """Put a patient under a legal hold, or end it: nothing of theirs is cleared or erased meanwhile (L-58).

    Whether it changed anything; None where there is no such patient.
    """

    def work(tx: store.Transaction, row: PatientRow) -> bool:
        changed = store.retention.set_hold(tx, row.id, held=on)
        if changed:
            _note(tx, row, Action.LEGAL_HOLD if on else Action.LEGAL_HOLD_ENDED, now, who=who)
            if not on:
                store.backup.forget_mark(tx, _PURGED)  # what was passed over has its turn
        return changed

    return _about(context, patient, site, work)


def erase(context: AppContext, patient: str, now: datetime, *, who: str, site: str | None = None) -> Erased | None:
    """Erase a patient: their key is destroyed, so that nothing which it sealed opens again. A backup made before holds
    the key until it is deleted.

    Their plans end, what was to go is taken back, open tasks about them close. Consents, opt-outs, outcomes and the
    audit stay by id (L-57). None where there is no such patient. Raises Refused under a legal hold (L-58), while
    someone may be in danger, and while a text is under way.
    """
    trace: list[_Trace] = []

    def work(tx: store.Transaction, row: PatientRow) -> Erased:
        numbers = store.retention.numbers_ever(tx, row.id)
        store.people.lock_numbers(tx, numbers)
        if row.legal_hold:
            raise Refused("there is a legal hold; nothing may be erased until it ends (reminders people hold --ended)")
        standing = store.attention.open_tasks_of(tx, row.id)
        theirs = [one for one in numbers if not set(store.people.patients_on(tx, one)) - {row.id}]
        in_crisis, _ = store.tasks.in_crisis(tx, theirs, [])
        if in_crisis or any(task.kind in {task_kinds.CRISIS.name, task_kinds.SUPERVISOR.name} for task in standing):
            raise Refused("someone may be in danger: close that task first")
        if store.retention.is_under_way(tx, row.id):
            raise Refused("a text is on its way, or it is not known yet whether it went; try again in an hour")
        for plan in store.plans.current_plans(tx, row.id):
            store.plans.change_plan(tx, plan, now, status="ended", ended_because="other")
        trace.append(_trace(tx, row, numbers))
        at_twilio = store.retention.messages_of(tx, row.id)
        store.drafts.forget_about(tx, trace[-1].is_in)
        store.api_keys.empty_answers(tx, _GONE, 410)
        retracted = store.texts.retract_all(tx, [reader.id for reader in store.people.recipients_of(tx, row.id)])
        keys = [task.key for task in standing]
        store.tasks.close_by_key(tx, keys, task_kinds.ERASED, now)
        others = {other for number in numbers for other in store.people.patients_on(tx, number)} - {row.id}
        store.retention.erase(tx, row, numbers, now, trace[-1].is_within)
        if others:  # they share the caps of a number
            replan(context, tx, others, now)
        _note(tx, row, Action.PATIENT_ERASED, now, who=who)  # so that the values which are gone are no tampering
        return Erased(retracted, f"erased-{row.id}", at_twilio)

    done = _about(context, patient, site, work)
    context.database.data_keys.clear()  # what was opened before is no longer at hand
    if done is not None:
        _remove_files(context, trace[-1])
        context.database.checkpoint()  # SQLite's write-ahead log holds pages as they were before
    return done


_GONE = json.dumps(
    {
        "headers": {"content-type": "application/problem+json"},
        "body": json.dumps(
            {
                "type": "about:blank",
                "title": "The answer is gone",
                "status": 410,
                "detail": "This was done before. A person was erased since, and what was answered went with them.",
            }
        ),
    }
)


@dataclass(frozen=True, slots=True)
class _Trace:
    """By what a person is known again in words that no key of theirs seals: drafts, and files that were read."""

    names: tuple[frozenset[str], ...] = field(repr=False)
    refs: frozenset[str] = field(repr=False)
    phones: frozenset[str] = field(repr=False)

    def is_in(self, words: str) -> bool:
        """Whether these words name them: by reference, by all words of their name, or by a number in any format."""
        said = words.casefold()
        if any(re.search(rf"(?<![\w-]){re.escape(ref)}(?![\w-])", said) for ref in self.refs):
            return True
        single = set(re.findall(r"[^\W_]+", said))
        if any(name and name <= single for name in self.names):
            return True
        digits = [re.sub(r"\D", "", line) for line in re.split(r"[^\d\s()+./-]|\n", words)]
        return any(phone in run for phone in self.phones for run in digits)

    def is_within(self, words: str) -> bool:
        """The same for what is theirs alone, where a reference may be a part of a longer word: `MRN-7-therapy`."""
        said = words.casefold()
        return self.is_in(words) or any(re.search(rf"(?<![^\W_]){re.escape(ref)}(?![^\W_])", said) for ref in self.refs)


def _trace(tx: store.Transaction, row: PatientRow, numbers: Collection[int]) -> _Trace:
    name = store.people.open_name(tx, row.id, row.name_sealed)
    phones = [re.sub(r"\D", "", store.people.phone_by_id(tx, number)) for number in numbers]
    plan_refs = {plan.ref.casefold() for plan in store.plans.plans_of(tx, row.id)}
    words = frozenset(re.findall(r"[^\W_]+", (name or "").casefold()))
    return _Trace((words,), frozenset({row.ref.casefold()} | plan_refs), frozenset(one[-10:] for one in phones if one))


def _remove_files(context: AppContext, trace: _Trace) -> None:
    """Remove the plan files that were read, where they name them; a link is not followed."""
    folder = context.settings.jobs.import_folder
    for place in ("done", "refused") if folder is not None else ():
        inside = Path(folder, place) if folder is not None else Path(place)
        if inside.is_symlink() or not inside.is_dir():
            continue
        for file in inside.iterdir():
            if not file.is_symlink() and file.is_file() and trace.is_in(file.read_text("utf-8", errors="replace")):
                file.unlink(missing_ok=True)


def _about(
    context: AppContext, patient: str, site: str | None, work: Callable[[store.Transaction, PatientRow], T]
) -> T | None:
    def found(tx: store.Transaction) -> T | None:
        place = store.people.site_by_key(tx, site or context.settings.site.key)
        row = store.people.patient_by_ref(tx, place.id, patient) if place is not None else None
        return work(tx, row) if row is not None else None

    return context.database.write(found, again=True)


def _note(tx: store.Transaction, row: PatientRow, what: Action, now: datetime, *, who: str) -> None:
    store.audit_log.note(tx, who=who, what=what, table="patients", row=row.id, now=now)


def purge(context: AppContext, now: datetime) -> int:
    """Clear the words of what was sent and heard before `retention.words_days`, a day of it in each transaction (L-57).

    How many rows. It goes on where it ended, so what is old and cleared is not looked at again.
    """
    cleared, until = 0, now - timedelta(days=context.settings.retention.words_days)
    while True:
        done = context.database.write(lambda tx: _clear_a_day(tx, until), again=True)
        if done is None:
            return cleared
        cleared += done


def _clear_a_day(tx: store.Transaction, until: datetime) -> int | None:
    """None when nothing is left to clear."""
    since = store.backup.all_marks(tx).get(_PURGED) or store.retention.oldest(tx)
    if since is None or until - since < _A_DAY:
        return None
    ends = since + _A_DAY
    cleared = store.retention.clear(tx, since - _A_DAY, ends)  # ids are made a moment before their rows are read
    store.backup.set_mark(tx, _PURGED, ends)
    return cleared
