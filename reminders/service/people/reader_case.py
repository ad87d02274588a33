"""A patient with one of their readers, opened for a change: every number locked that it may touch."""

from dataclasses import dataclass, field
from datetime import datetime

from reminders import store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.service.planning.replanning import replan
from reminders.store.planning.texts import Changes
from reminders.store.records import NumberRow, PatientRow, RecipientRow, SiteRow


@dataclass(frozen=True, slots=True)
class Whom:
    """A reader of a patient's texts: the patient's reference, the reader's key, and the site's key if it is another."""

    patient: str
    recipient: str = "self"
    site: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: what the texts did, and what the person who did it should know."""

    texts: Changes
    notes: tuple[str, ...] = ()


class Refused(ValueError):  # ruff: ignore[error-suffix-on-exception-name]  a verdict, in words for who asked
    """It is not done; the message says why, and names no one."""


@dataclass
class ReaderCase:
    """A patient with one of their readers, all numbers locked that may be touched."""

    context: AppContext
    tx: store.Transaction
    now: datetime
    who: str
    site: SiteRow
    patient: PatientRow
    reader: RecipientRow
    numbers: dict[int, NumberRow]
    notes: list[str] = field(default_factory=list)

    @property
    def number(self) -> NumberRow:
        """The reader's number."""
        return self.numbers[self.reader.number_id]

    def replan(self, *others: int) -> Changes:
        """Plan again for the patient, and for everyone on these other numbers: they share its caps."""
        affected = {self.patient.id}
        for number_id in (self.reader.number_id, *others):
            affected.update(store.people.patients_on(self.tx, number_id))
        return replan(self.context, self.tx, affected, self.now)

    def note(self, what: Action, *, before: str | None = None, after: str | None = None, number: bool = False) -> None:
        """Put on record what was done, on the reader or on their number."""
        store.audit_log.note(
            self.tx,
            who=self.who,
            what=what,
            table="numbers" if number else "recipients",
            row=self.reader.number_id if number else self.reader.id,
            now=self.now,
            before=before,
            after=after,
            key=self.tx.data_key(self.patient.key_id),
            patient=self.patient.id,
            site=self.site.id,
        )

    def done(self, changes: Changes) -> Done:
        """What was done, with everything that was noted."""
        return Done(changes, tuple(self.notes))

    def tell_what_stands_in_the_way(self) -> None:
        """Note why nothing goes to this reader, if nothing does."""
        number = store.people.lock_numbers(self.tx, [self.reader.number_id])[self.reader.number_id]
        if number.opted_out_at is not None:
            self.notes.append(
                "this number has opted out, so nothing goes to it whatever else is on record; "
                "it opens again when START comes from that phone"
            )
        if number.wrong_since is not None:
            self.notes.append("this number is marked as a wrong one; nothing goes to it")
        elif number.bad_since is not None:
            self.notes.append("this number could not be reached; nothing goes to it")
        if number.verified_at is None and self.context.settings.sending.welcome:
            self.notes.append("this number is not verified: only the welcome text goes until its Y, or `people verify`")


def open_case(
    context: AppContext, tx: store.Transaction, whom: Whom, now: datetime, *more: int, who: str
) -> ReaderCase | None:
    """The patient and the reader, with every number locked that planning again may want, in one order for everyone."""
    store.people.keep_default_site(tx, context.settings, now)
    place = store.people.site_by_key(tx, whom.site or context.settings.site.key)
    patient = store.people.patient_by_ref(tx, place.id, whom.patient) if place is not None else None
    reader = find_reader(tx, patient.id, whom.recipient) if patient is not None else None
    if place is None or patient is None or reader is None:
        return None
    concerned = {patient.id}
    for number_id in (reader.number_id, *more):
        concerned.update(store.people.patients_on(tx, number_id))
    numbers = store.people.lock_numbers(tx, {*store.people.numbers_of(tx, concerned), *more})
    reader = find_reader(tx, patient.id, whom.recipient)  # as it is, now that no one else changes it
    if reader is None or reader.number_id not in numbers:
        raise Refused("someone else changed this person at the same moment; look again")
    return ReaderCase(context, tx, now, who, place, patient, reader, numbers)


def find_reader(tx: store.Transaction, patient_id: int, key: str) -> RecipientRow | None:
    """The patient's reader of that key."""
    return next((one for one in store.people.recipients_of(tx, patient_id) if one.key == key), None)
