"""People's lives: a new phone, a consent given or withdrawn, a no that came at the front desk, somebody of the family
who joins or leaves, a birthday, a text that staff types. One transaction each, on record with who did it.

A number's STOP belongs to the number: nothing here lifts one that came from the phone (L-17).
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any

from reminders import planner, plans, store, wording
from reminders.planner.business_days import honour_by
from reminders.planner.notices import for_news
from reminders.plans import Problem
from reminders.service import sharing, story, tasks
from reminders.service.house import House
from reminders.service.planning import consent_given
from reminders.service.replanning import policy_of, reader_now, replan
from reminders.store import Row
from reminders.store.ids import new_id
from reminders.store.people import ConsentGiven
from reminders.store.texts import Addressee, Changes, Window
from reminders.wording.segments import segments

TYPED_FOR = timedelta(hours=4)
OPTED_OUT_HERE = "opt-out recorded"  # in the audit: staff wrote it down, no phone sent it
OPTED_OUT_AGAIN = "opt-out recorded again"  # the number had stopped before
RIGHT_AFTER_ALL = "number is right after all"
_NO = {"stop", "stop_asked"}  # what the phone itself says; its START ends it


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
    """It is not done; the message says why, and names nobody."""


@dataclass
class _Case:
    """A patient with one of their readers, all numbers locked that may be touched."""

    house: House
    tx: store.Transaction
    now: datetime
    who: str
    site: Row[Any]
    patient: Row[Any]
    reader: Row[Any]
    numbers: dict[int, Row[Any]]
    notes: list[str] = field(default_factory=list)

    @property
    def number(self) -> Row[Any]:
        return self.numbers[self.reader.number_id]

    def replan(self, *others: int) -> Changes:
        """Plan anew for the patient, and for everybody on these other numbers: they share its caps."""
        affected = {self.patient.id}
        for number_id in (self.reader.number_id, *others):
            affected.update(store.people.patients_on(self.tx, number_id))
        return replan(self.house, self.tx, affected, self.now)

    def note(self, what: str, *, before: str | None = None, after: str | None = None, number: bool = False) -> None:
        store.records.note(
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
        if number.verified_at is None and self.house.settings.sending.welcome:
            self.notes.append("this number is not verified: only the welcome text goes until its Y, or `people verify`")


def _case(house: House, tx: store.Transaction, whom: Whom, now: datetime, *more: int, who: str) -> _Case | None:
    """The patient and the reader, with every number locked that planning anew may want, in one order for everybody."""
    store.people.keep_default_site(tx, house.settings, now)
    place = store.people.site_by_key(tx, whom.site or house.settings.site.key)
    patient = store.people.patient_by_ref(tx, place.id, whom.patient) if place is not None else None
    reader = _reader(tx, patient.id, whom.recipient) if patient is not None else None
    if place is None or patient is None or reader is None:
        return None
    concerned = {patient.id}
    for number_id in (reader.number_id, *more):
        concerned.update(store.people.patients_on(tx, number_id))
    numbers = store.people.lock_numbers(tx, {*store.people.numbers_of(tx, concerned), *more})
    reader = _reader(tx, patient.id, whom.recipient)  # as it is, now that nobody else changes it
    if reader is None or reader.number_id not in numbers:
        raise Refused("somebody else changed this person at the same moment; look again")
    return _Case(house, tx, now, who, place, patient, reader, numbers)


def _reader(tx: store.Transaction, patient_id: int, key: str) -> Row[Any] | None:
    return next((one for one in store.people.recipients_of(tx, patient_id) if one.key == key), None)


# A new phone.


def new_number(
    house: House,
    whom: Whom,
    phone: str,
    now: datetime,
    *,
    who: str,
    consent: Mapping[str, Any] | None = None,
    by_hand: bool = False,
) -> Done | None:
    """Give a reader a new phone number: the old one gets nothing more of theirs from this moment on.

    `phone` in any format; `consent` as a plan's [consent] has it, given for the new number (L-50). Without it nothing
    goes and somebody is asked to take it; with it the new number gets its welcome. Others on the old one keep theirs.
    A yes that would not count is kept with a note; `by_hand` it is refused at the box that is missing. None where there
    is no such patient or recipient. Raises PlanRefused for what cannot be read, and Refused.
    """

    def work(tx: store.Transaction) -> Done | None:
        known = house.known(tx, now, whom.site)
        number_id = store.people.keep_number(tx, plans.read_phone(phone, known), now)
        case = _case(house, tx, whom, now, number_id, who=who)
        if case is None:
            return None
        old = case.reader.number_id
        if old == number_id:
            raise Refused("this is their number already")
        given = _read_consent(case, consent, by_hand=by_hand)
        others = {one.number_id for one in store.people.recipients_of(tx, case.patient.id) if one.key != whom.recipient}
        if number_id in others:
            case.notes.append("somebody else who gets this patient's texts has the same number")
        was, becomes = (store.people.phone_of(tx, one, case.numbers[one].phone_sealed) for one in (old, number_id))
        case.reader = store.people.keep_recipient(
            tx, patient_id=case.patient.id, key=whom.recipient, now=now, number_id=number_id
        )
        case.note("number changed", before=was, after=becomes)
        _close_for_number(case, old)
        if given is not None:
            _take_consent(case, given)
        else:
            case.notes.append("no consent for the new number is on record, so nothing goes; there is a task to take it")
        case.tell_what_stands_in_the_way()
        changes = case.replan(old)
        changes.retracted += store.texts.retract_queued(tx, [case.reader.id], old)
        if given is None:
            _ask_for_consent(case)
        return case.done(changes)

    return house.database.write(work, again=True)


def _close_for_number(case: _Case, old: int) -> None:
    """What was to be done about the old number is done, as far as this reader goes."""
    keys = [f"unverified:{case.reader.id}:{old}"]
    if not store.people.recipients_on(case.tx, [old]):
        keys += [task.key for task in store.attention.open_tasks_on(case.tx, old) if task.kind in _ABOUT_A_NUMBER]
    store.tasks.close_by_key(case.tx, keys, case.now, outcome="done", why="there is a new number")


_ABOUT_A_NUMBER = {"number_bad", "wrong_number", "who"}


def _ask_for_consent(case: _Case) -> None:
    """A task for each running plan, the one that the watch would open."""
    for plan in store.plans.current_plans(case.tx, case.patient.id):
        if plan.status == "active":
            own = case.reader.role == "self"
            store.tasks.open_task(
                case.tx,
                kind="no_consent",
                key=f"no_consent:{plan.id}" if own else f"no_consent:{plan.id}:{case.reader.id}",
                urgency="normal",
                site_id=case.site.id,
                now=case.now,
                due_at=tasks.waking(case.now, case.site.zone),
                patient_id=case.patient.id,
                number_id=case.reader.number_id,
                plan_id=plan.id,
            )


# Consent, and what makes a number sure.


def record_consent(
    house: House, whom: Whom, consent: Mapping[str, Any], now: datetime, *, who: str, by_hand: bool = False
) -> Done | None:
    """Put on record what a reader said about texts to their number, as a plan's [consent] has it (L-50).

    A yes opens what staff closed by hand, but never a STOP that came from the phone: only START from that phone does
    (L-17). One that would not count is kept with a note; `by_hand` it is refused at the box that is missing. None where
    there is no such patient or recipient. Raises PlanRefused for what cannot be read, and Refused.
    """

    def work(tx: store.Transaction) -> Done | None:
        case = _case(house, tx, whom, now, who=who)
        if case is None:
            return None
        given = _read_consent(case, consent, by_hand=by_hand)
        assert given is not None
        if _take_consent(case, given):
            _reopen(case)
        case.tell_what_stands_in_the_way()
        return case.done(case.replan())

    return house.database.write(work, again=True)


def _read_consent(case: _Case, consent: Mapping[str, Any] | None, *, by_hand: bool = False) -> ConsentGiven | None:
    if consent is None:
        return None
    known = case.house.known(case.tx, case.now, case.site.key)
    own = case.reader.role == "self"
    born_on = store.people.open_birth(case.tx, case.patient) if own else None
    read = plans.read_consent(consent, known, born_on=born_on)
    if own and read.legal_basis and born_on is not None and not plans.is_minor(born_on, known.today):
        problem = "is for patients under 18; this one is of age, so the consent is their own"
        raise plans.PlanRefused((Problem("consent.legal_basis", problem),))
    if not own and read.said == "yes" and case.reader.part2_consent_on is None:
        raise Refused(
            "nobody else gets texts without the patient's written consent naming them; add them with its date"
        )
    missing = plans.uncounted(read, known.today, own=own)
    if missing and by_hand:
        raise plans.PlanRefused(missing)
    case.notes += [f"it does not count yet: {one.where} {one.problem}" for one in missing]
    return consent_given(read, known.today)


def _take_consent(case: _Case, given: ConsentGiven) -> bool:
    """Put it on record and in force, verify the number if it was checked; whether it is a new yes that counts."""
    before = store.people.consents_in_force(case.tx, [case.reader.id]).get(case.reader.id)
    fresh = store.people.record_consent(case.tx, case.reader, given, case.now)
    if not fresh:
        case.notes.append("this is on record already, word for word; a yes that was withdrawn must be given anew")
        return False
    case.note(f"consent: {given.said}", before=_in_short(before), after=_in_short(given))
    if given.said != "yes":
        case.notes.append("nothing more goes to this reader")
        return False
    if given.verified:  # read aloud, or however staff made sure (L-39)
        store.people.verify_number(case.tx, case.reader.number_id, case.now)
    if before is not None and before.said_on > given.said_on:
        case.notes.append("a later answer is on record, so this one is kept but not in force")
        return False
    if case.reader.role == "self" and not given.warned_of_risk:
        return False  # it does not count yet (L-38)
    suffix = "" if case.reader.role == "self" else f":{case.reader.id}"
    keys = [f"no_consent:{plan.id}{suffix}" for plan in store.plans.current_plans(case.tx, case.patient.id)]
    store.tasks.close_by_key(case.tx, keys, case.now, outcome="done", why="consent was taken")
    return True


def _in_short(consent: Any) -> str | None:
    if consent is None:
        return None
    return json.dumps([consent.said, consent.said_on.isoformat(), consent.how, sorted(consent.categories)])


def _reopen(case: _Case) -> None:
    """Lift a no that staff wrote down themselves; one that the phone sent, or Twilio knows of, stays."""
    number = case.number
    if number.opted_out_at is None:
        return
    recorded_at = store.people.recorded_at(case.tx, "numbers", number.id, OPTED_OUT_HERE)
    if recorded_at is None or recorded_at != number.opted_out_at:
        return
    wishes = store.replies.wishes(case.tx, number.id, {*_NO, "start"})
    if wishes and wishes[-1].meanings & _NO:  # whenever it was heard
        return
    store.people.mark_number(case.tx, number.id, opted_out_at=None)
    case.note("opt-out lifted by a new consent", number=True)


def verify(house: House, whom: Whom, how: str, now: datetime, *, who: str) -> Done | None:
    """Put on record that staff made sure of a reader's number, such as by reading the welcome text aloud (L-39)."""

    def work(tx: store.Transaction) -> Done | None:
        case = _case(house, tx, whom, now, who=who)
        if case is None:
            return None
        if case.number.wrong_since is not None:
            raise Refused("this number is marked as a wrong one; undo that first")
        if store.people.verify_number(tx, case.reader.number_id, now):
            case.note("number verified", after=how, number=True)
        on_it = store.people.recipients_on(tx, [case.reader.number_id])
        keys = [f"unverified:{one.id}:{case.reader.number_id}" for one in on_it]
        store.tasks.close_by_key(tx, keys, now, outcome="done", why="staff verified the number")
        case.tell_what_stands_in_the_way()
        return case.done(case.replan())

    return house.database.write(work, again=True)


# A no that came another way than by text (L-15), and wrong numbers.


@dataclass(frozen=True, slots=True)
class OptedOut(Done):
    """A no on record; `honour_by` is the last day that the law leaves for it (L-11). It holds at once."""

    honour_by: date | None = None


def record_opt_out(
    house: House, whom: Whom, now: datetime, *, how: str, received_at: datetime, by: str, who: str
) -> OptedOut | None:
    """Put on record a no that came by voicemail, by e-mail or at the front desk: the same as a STOP, and at once.

    `how` it came, `received_at` and to whom (`by`). It stops the number, for everybody on it, as a STOP would.
    """

    def work(tx: store.Transaction) -> OptedOut | None:
        case = _case(house, tx, whom, now, who=who)
        if case is None:
            return None
        if received_at > now:
            raise Refused("that lies ahead; a no is put on record when it has come")
        last = honour_by(plans.to_wall(received_at, case.site.zone).date())
        said = {"how": how, "received_at": received_at.isoformat(), "by": by, "honour_by": last.isoformat()}
        news = case.number.opted_out_at is None
        case.note(OPTED_OUT_HERE if news else OPTED_OUT_AGAIN, after=json.dumps(said), number=True)
        if news:
            store.people.mark_number(tx, case.reader.number_id, opted_out_at=now)
            sharing.tell_other_sites(tx, case.reader.number_id, now, what="number stop", but=case.site.id)
        else:
            case.notes.append("this number had opted out before")
        if plans.to_wall(now, case.site.zone).date() > last:
            case.notes.append(f"the law wanted it honoured by {last}: tell your privacy officer")
        _say_who_shares(case)
        changes = case.replan()
        changes.retracted += store.texts.suppress_queued(tx, case.reader.number_id, "opted_out")
        return OptedOut(changes, tuple(case.notes), last)

    return house.database.write(work, again=True)


def _say_who_shares(case: _Case) -> None:
    known = sharing.known_readers(case.house, case.tx, case.reader.number_id, {case.site.id})
    others = [one for one in known if one.id != case.reader.id]
    if others:
        case.notes.append(f"others are texted on this number too ({len(others)}); it holds for them as well")


def mark_wrong(house: House, whom: Whom, now: datetime, *, who: str, wrong: bool = True) -> Done | None:
    """Say that a reader's number is somebody else's, or with `wrong` false that it is theirs after all.

    A wrong one gets nothing more, and somebody is asked for the right one.
    """

    def work(tx: store.Transaction) -> Done | None:
        case = _case(house, tx, whom, now, who=who)
        if case is None:
            return None
        if (case.number.wrong_since is not None) == wrong:
            raise Refused(
                "this number is marked as a wrong one already" if wrong else "this number is not marked wrong"
            )
        number_id = case.reader.number_id
        store.people.mark_number(tx, number_id, wrong_since=now if wrong else None)
        case.note("number is wrong" if wrong else RIGHT_AFTER_ALL, number=True)
        key = f"wrong_number:{number_id}"
        if wrong:
            store.tasks.open_task(
                tx,
                kind="wrong_number",
                key=key,
                urgency="soon",
                site_id=case.site.id,
                now=now,
                due_at=tasks.waking(now, case.site.zone),
                patient_id=case.patient.id,
                number_id=number_id,
            )
            _say_who_shares(case)
            sharing.tell_other_sites(tx, number_id, now, what="number is wrong", but=case.site.id)
        else:
            keys = [key, *sharing.keys_at_other_sites(tx, number_id)]
            store.tasks.close_by_key(tx, keys, now, outcome="not_needed", why="the number is right after all")
            case.tell_what_stands_in_the_way()
        changes = case.replan()
        if wrong:
            changes.retracted += store.texts.suppress_queued(tx, number_id, "number_bad")
        return case.done(changes)

    return house.database.write(work, again=True)


# Family and others (S-10, L-48, L-52).


def add_recipient(
    house: House,
    whom: Whom,
    recipient: Mapping[str, Any],
    now: datetime,
    *,
    who: str,
    series: Collection[str] | None = None,
    by_hand: bool = False,
) -> Done | None:
    """Let another person get some of a patient's texts: `recipient` as a plan's [[recipients]] has them.

    It takes two consents: the patient's, in writing and naming them (`part2_consent_on`), and their own. `series` are
    the series of whose visits they are told, by default the family sessions. Who left comes back with a new consent.
    A yes that would not count is kept with a note; `by_hand` it is refused at the box that is missing. None where there
    is no such patient. Raises PlanRefused for what cannot be read, and Refused.
    """

    def work(tx: store.Transaction) -> Done | None:
        known = house.known(tx, now, whom.site)
        read = plans.read_recipient(recipient, known)
        if read.part2_consent_on is None:
            problem = "is missing; nobody else gets texts without the patient's written consent naming them"
            raise plans.PlanRefused((Problem("recipient.part2_consent_on", problem),))
        not_yet = plans.uncounted(read.consent, known.today, own=False) if read.consent is not None else ()
        if not_yet and by_hand:
            raise plans.PlanRefused([Problem(f"recipient.{one.where}", one.problem) for one in not_yet])
        number_id = store.people.keep_number(tx, read.phone, now)
        case = _case(house, tx, whom, now, number_id, who=who)
        if case is None:
            return None
        here = _reader(tx, case.patient.id, read.key)
        if here is not None and here.part2_consent_on is not None:
            raise Refused(f"{read.key} gets texts already; choose another key, or change their number or consent")
        named = store.plans.name_in_series(tx, case.patient.id, read.key, series, now)
        if missing := set(series or ()) - set(named):
            raise Refused(f"no current plan of theirs has the series {', '.join(sorted(missing))}")
        if not named:
            raise Refused("there is no family session to tell of; say which series they are told of")
        zone = read.zone or case.site.zone
        case.reader = store.people.keep_recipient(
            tx,
            patient_id=case.patient.id,
            key=read.key,
            now=now,
            role=read.role,
            number_id=number_id,
            language=read.language,
            zone=zone,
            guessed_zones=[] if read.zone else plans.other_zones(read.phone, zone),
            weekly_digest=False,
            part2_consent_on=read.part2_consent_on,
        )
        case.note("recipient added", after=read.model_dump_json(exclude_defaults=True))
        if read.consent is None:
            case.notes.append("their own consent is not on record, so nothing goes to them")
        else:
            given = consent_given(read.consent, known.today)
            if not _take_consent(case, given) and given.said == "yes":
                raise Refused("this consent is on record and was withdrawn since; take it anew")
            case.notes += [f"it does not count yet: {one.where} {one.problem}" for one in not_yet]
        case.tell_what_stands_in_the_way()
        return case.done(case.replan())

    return house.database.write(work, again=True)


def remove_recipient(house: House, whom: Whom, now: datetime, *, who: str, by_patient: bool = False) -> Done | None:
    """End another person's texts at once: they asked for it, or `by_patient` the patient withdrew the consent (L-52).

    What was sent stays on record. They come back only with both consents anew.
    """

    def work(tx: store.Transaction) -> Done | None:
        case = _case(house, tx, whom, now, who=who)
        if case is None:
            return None
        if case.reader.role == "self":
            raise Refused("this is the patient; record an opt-out, or end the plan")
        if case.reader.part2_consent_on is None:
            raise Refused("they get no texts any more")
        how = "the patient withdrew the written consent" if by_patient else "asked for no more texts"
        before = case.reader.part2_consent_on.isoformat()
        case.reader = store.people.keep_recipient(
            tx, patient_id=case.patient.id, key=whom.recipient, now=now, part2_consent_on=None
        )
        _revoke(case, how)
        case.note("recipient removed", before=before, after=how)
        changes = case.replan()
        changes.retracted += store.texts.retract_queued(tx, [case.reader.id], case.reader.number_id)
        return case.done(changes)

    return house.database.write(work, again=True)


def _revoke(case: _Case, how: str) -> None:
    today = plans.to_wall(case.now, case.site.zone).date()
    in_force = store.people.consents_in_force(case.tx, [case.reader.id]).get(case.reader.id)
    given = ConsentGiven(
        said="revoked",
        said_on=today,
        how=how,
        by=case.who[:200],
        categories=list(in_force.categories) if in_force is not None else [],
        warned_of_risk=False,
        wording=None,
        per_day=None,
        per_week=None,
        alias_shown=False,
        verified=None,
        legal_basis=None,
        expires_on=None,
    )
    store.people.record_consent(case.tx, case.reader, given, case.now, anew=True)


def come_of_age(house: House, now: datetime) -> int:
    """Withdraw what others agreed to for patients who have turned 18, and guardians' own; how many (L-56).

    Their consent is theirs to give from that day on; a task asks for it. Safe at any time, and twice.
    """
    rows = house.database.read(store.attention.of_minors)
    return sum(house.database.write(partial(_grow_up, house, row=row, now=now), again=True) for row in rows)


def _grow_up(house: House, tx: store.Transaction, *, row: Row[Any], now: datetime) -> bool:
    born_on = store.people.open_birth(tx, row)
    today = plans.to_wall(now, row.zone).date()
    # What was given by somebody of age is not about being under age.
    if born_on is None or plans.is_minor(born_on, today) or not plans.is_minor(born_on, row.said_on):
        return False
    case = _case(house, tx, Whom(row.ref, row.recipient, row.site), now, who="the service")
    in_force = store.people.consents_in_force(tx, [case.reader.id]).get(case.reader.id) if case is not None else None
    if case is None or in_force is None or in_force.said != "yes" or in_force.said_on != row.said_on:
        return False
    _revoke(case, "the patient turned 18")
    case.note("consent ended: the patient turned 18", before=_in_short(in_force))
    case.replan()
    if case.reader.role == "self":
        _ask_for_consent(case)
    return True


# A text that staff types.


@dataclass(frozen=True, slots=True)
class Typed:
    """A text that staff typed, as it goes: its body, what it takes, from when it goes, and its id when laid down."""

    body: str = field(repr=False)
    segments: int
    encoding: str
    goes_at: datetime
    zone: str
    text: int | None = None


def why_not_say(house: House, tx: store.Transaction, reader: Row[Any], site: Row[Any], now: datetime) -> str | None:
    """Why staff may not text a reader (a row of `recipients`) just now, in words; None where they may."""
    if store.plans.has_died(tx, reader.patient_id):
        return "a plan of this patient ended with their death; nothing goes to anybody about them"
    if all(plan.status != "active" for plan in store.plans.current_plans(tx, reader.patient_id)):
        return "no plan of this patient is active, so nothing goes"
    reason = planner.may_be_texted(reader_now(tx, reader, site, now), policy_of(house), dated=True)
    return story.REASONS[reason.value] if reason is not None else None


def say(
    house: House,
    whom: Whom,
    body: str,
    now: datetime,
    *,
    who: str,
    dry_run: bool = False,
    once: str | None = None,
) -> Typed | None:
    """Text somebody what staff typed: within four hours, at an hour at which they may be texted.

    The privacy lint covers it like any text of ours. With `dry_run` it is only shown. Said twice with the same `once`,
    such as by a button that was pressed twice, it goes once: the second time `text` is None. None where there is no
    such patient or recipient. Raises Refused with everything that is wrong with the words, or why nothing may go.
    """
    said = wording.plainer(body)
    if problems := wording.check_typed(said):
        raise Refused("the text " + "; it ".join(problems))
    length = segments(said)
    text_id = new_id(now)

    def work(tx: store.Transaction) -> Typed | None:
        case = _case(house, tx, whom, now, who=who)
        if case is None:
            return None
        reader = reader_now(tx, case.reader, case.site, now)
        if (why := why_not_say(house, tx, case.reader, case.site, now)) is not None:
            raise Refused(why)
        window = Window(now, now + TYPED_FOR, planner.next_allowed(for_news(reader, now, now), now))
        if window.due_at >= window.closes_at:
            at = story.clock_time(window.due_at, reader.zone)
            raise Refused(f"it is too late at night, or too early, where they are: texts may go from {at}")
        typed = Typed(said, length.count, length.encoding, window.due_at, reader.zone)
        if dry_run:
            return typed
        sender_id = store.people.sender_of(tx, case.site.id, house.settings.twilio.sender)
        made = store.texts.add(
            tx,
            Addressee(case.reader.id, case.site.id, sender_id, case.reader.number_id),
            class_="staff",
            key=f"staff:{once or text_id}",
            window=window,
            now=now,
            data_key=tx.data_key(case.patient.key_id),
            body=said,
        )
        if made is not None:
            case.note("text typed", after=said)
        return replace(typed, text=made)

    return house.database.write(work, again=True)


SAMPLE_SENT = "test text sent"


def send_sample(house: House, body: str, phone: str, now: datetime, *, who: str, site: str | None = None) -> Typed:
    """Text the words of a preview to a phone of staff's own, through the queue like every text; at any hour.

    Raises PlanRefused for a number that cannot be read, Refused for words that may not go or a number that is used for
    patients: there they would be taken for news.
    """
    said = wording.plainer(body)
    if problems := wording.check_typed(said):
        raise Refused("the text " + "; it ".join(problems))
    length = segments(said)
    text_id = new_id(now)

    def work(tx: store.Transaction) -> Typed:
        store.people.keep_default_site(tx, house.settings, now)
        place = store.people.site_by_key(tx, site or house.settings.site.key)
        if place is None:
            raise Refused("there is no such site")
        number_id = store.people.keep_number(tx, plans.read_phone(phone, house.known(tx, now, place.key)), now)
        most = house.settings.sending.samples_per_day
        today = plans.to_instant(datetime.combine(plans.to_wall(now, place.zone), time()), place.zone)
        if store.records.count(tx, who=who, what=SAMPLE_SENT, since=today) >= most:
            raise Refused(f"you have sent {most} tests today, as many as one may (sending.samples_per_day)")
        number = store.people.lock_numbers(tx, [number_id])[number_id]
        if store.people.recipients_on(tx, [number_id]):
            raise Refused("patients' texts go to this number; send the test to a phone of your own")
        if number.opted_out_at is not None:
            raise Refused(story.REASONS["opted_out"] + "; it opens again when START comes from that phone")
        sender_id = store.people.sender_of(tx, place.id, house.settings.twilio.sender)
        made = store.texts.add(
            tx,
            Addressee(None, place.id, sender_id, number_id),
            class_="staff",
            key=f"sample:{text_id}",
            window=Window(now, now + TYPED_FOR, now),
            now=now,
            body=said,
        )
        if made is not None:
            store.records.note(tx, who=who, what=SAMPLE_SENT, table="texts", row=made, now=now)
        return Typed(said, length.count, length.encoding, now, place.zone, made)

    return house.database.write(work, again=True)


# What people see.


@dataclass(frozen=True, slots=True)
class Shown:
    """One reader of a patient's texts. `why_not` says in words why nothing goes to them, None where texts go.

    `waits` says that their reminders wait meanwhile, since somebody may be in danger (C-12); what staff types goes.
    `missing` says in words what keeps a yes on record from counting.
    """

    key: str
    role: str
    to: str
    language: str
    zone: str
    said: str | None
    said_on: date | None
    how: str | None
    categories: tuple[str, ...]
    per_day: int | None
    per_week: int | None
    expires_on: date | None
    part2_consent_on: date | None
    verified_at: datetime | None
    opted_out_at: datetime | None
    bad_since: datetime | None
    wrong_since: datetime | None
    why_not: str | None
    waits: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """A patient as staff sees them: who gets texts, which plans there are, the next visits, what is to be done."""

    ref: str
    site: str
    zone: str
    name: str | None = field(repr=False)
    readers: tuple[Shown, ...]
    plans: tuple[Row[Any], ...]
    visits: tuple[Row[Any], ...]
    tasks: tuple[Row[Any], ...]


def show(house: House, whom: Whom, now: datetime, *, who: str) -> Person | None:
    """A patient, as far as texts go; None where there is none. That somebody read it is put on record."""

    def look(tx: store.Transaction) -> Person | None:
        case = _case(house, tx, replace(whom, recipient="self"), now, who=who)
        if case is None:
            return None
        readers = store.people.recipients_of(tx, case.patient.id)
        consents = store.people.consents_in_force(tx, [one.id for one in readers])
        numbers, patients = store.tasks.in_crisis(tx, {one.number_id for one in readers}, {case.patient.id})
        shown = tuple(
            _shown(case, one, consents.get(one.id), waits=bool(patients) or one.number_id in numbers) for one in readers
        )
        store.records.note(tx, who=who, what="patient read", table="patients", row=case.patient.id, now=now)
        return Person(
            ref=whom.patient,
            site=case.site.key,
            zone=case.site.zone,
            name=store.people.open_name(tx, case.patient),
            readers=shown,
            plans=tuple(store.plans.plans_of(tx, case.patient.id)),
            visits=tuple(store.plans.next_visits(tx, case.patient.id, now, 5)),
            tasks=tuple(store.attention.open_tasks_of(tx, case.patient.id)),
        )

    return house.database.write(look, again=True)


_MISSING = {
    "consent.warned_of_risk": "they were not told yet that others may see texts",
    "consent.categories": "nothing they are texted about is among what they agreed to",
    "consent.expires_on": "its last day has passed",
}


def _missing(case: _Case, reader: Row[Any], consent: Any) -> tuple[str, ...]:
    """What keeps a yes on record from counting, in words."""
    if consent is None or consent.said != "yes":
        return ()
    today = plans.to_wall(case.now, case.site.zone).date()
    found = [_MISSING[one.where] for one in plans.uncounted(consent, today, own=reader.role == "self")]
    if consent.number_id != reader.number_id:
        found.append("it was given for another number")
    return tuple(found)


def _shown(case: _Case, reader: Row[Any], consent: Row[Any] | None, *, waits: bool) -> Shown:
    number = case.numbers[reader.number_id]
    reason = planner.may_be_texted(reader_now(case.tx, reader, case.site, case.now), policy_of(case.house), dated=True)
    return Shown(
        key=reader.key,
        role=reader.role,
        to=store.people.masked(store.people.phone_of(case.tx, number.id, number.phone_sealed)),
        language=reader.language,
        zone=reader.zone,
        said=consent.said if consent is not None else None,
        said_on=consent.said_on if consent is not None else None,
        how=consent.how if consent is not None else None,
        categories=tuple(consent.categories) if consent is not None else (),
        per_day=consent.per_day if consent is not None else None,
        per_week=consent.per_week if consent is not None else None,
        expires_on=consent.expires_on if consent is not None else None,
        part2_consent_on=reader.part2_consent_on,
        verified_at=number.verified_at,
        opted_out_at=number.opted_out_at,
        bad_since=number.bad_since,
        wrong_since=number.wrong_since,
        why_not=story.REASONS[reason.value] if reason is not None else None,
        waits=waits,
        missing=_missing(case, reader, consent),
    )


def card(house: House, whom: Whom) -> str | None:
    """The card to take home, in a reader's language; None where there is no such reader. Raises wording.Unsayable."""

    def look(tx: store.Transaction) -> str | None:
        place = store.people.site_by_key(tx, whom.site or house.settings.site.key)
        patient = store.people.patient_by_ref(tx, place.id, whom.patient) if place is not None else None
        reader = _reader(tx, patient.id, whom.recipient) if patient is not None else None
        if place is None or reader is None:
            return None
        return wording.card(
            language=reader.language,
            alias=place.alias,
            phone=place.phone,
            line24=place.line24,
            sender=store.people.address_of(tx, place.id, house.settings.twilio.sender),
        )

    return house.database.read(look)
