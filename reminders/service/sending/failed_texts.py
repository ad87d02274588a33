"""What a person does about texts that did not arrive: have them tried again, make tasks of them, mark numbers wrong."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Protocol

from reminders import store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.lifecycle import State
from reminders.service.people import phone_numbers, reader_case
from reminders.sms import codes
from reminders.task_kinds import UNCERTAIN, UNDELIVERED, Happened


@dataclass(slots=True)
class Dealt:
    """What came of it: how many texts it was done for, and why it was not for others, with how many of these."""

    done: int = 0
    not_done: dict[str, int] = field(default_factory=dict)

    def leave(self, why: str) -> None:
        """One more that was left, and why."""
        self.not_done[why] = self.not_done.get(why, 0) + 1


class Tried(Protocol):
    """One try of a text, as far as it matters here."""

    @property
    def answer(self) -> str | None:
        """Twilio's answer: accepted, refused or unknown."""

    @property
    def error_code(self) -> int | None:
        """The code that it met."""


class Text(Protocol):
    """A text as far as it matters here, from whichever list."""

    @property
    def state(self) -> str:
        """Where it is."""

    @property
    def closes_at(self) -> datetime:
        """When its window closes."""

    @property
    def attempts(self) -> Sequence[Tried]:
        """Its tries, in order."""


def why_not_again(text: Text, now: datetime) -> str | None:
    """Why a person may not have this text tried again; None where they may.

    Only what certainly did not arrive is, so that no text is ever repeated that Twilio took or may have taken.
    """
    last = text.attempts[-1] if text.attempts else None
    if text.state != State.UNDELIVERED or last is None:
        return "only a text that was not delivered can be tried again"
    if any(attempt.answer == "unknown" for attempt in text.attempts):
        return "one of its tries may have arrived"
    if text.closes_at <= now:
        return "its moment has passed: phone instead"
    if codes.look_up(last.error_code or 0).number:
        return "this number cannot be texted"
    return None


def try_again(
    context: AppContext, text_ids: Collection[int], now: datetime, *, sites: Collection[int] | None, who: str
) -> Dealt:
    """Queue again texts that certainly did not arrive; each is judged again before it goes, as every text is."""

    def work(tx: store.Transaction, text_id: int) -> str | None:
        found = store.outcomes.ended(tx, [text_id], sites)
        if not found:
            return "it is not there"
        store.people.lock_numbers(tx, [found[0].number_id])
        (text,) = store.outcomes.ended(tx, [text_id], sites)
        why = why_not_again(text, now)
        if why is not None:
            return why
        attempt_id = store.texts.last_attempt(tx, text_id)
        if not store.outcomes.try_again(tx, attempt_id, now, text.attempts[-1].error_code or 0):
            return "something happened to it just now: look again"
        store.backup.doubt_again(tx, attempt_id, now)
        store.audit_log.note(tx, who=who, what=Action.TEXT_TRIED_AGAIN, table="texts", row=text_id, now=now)
        return None

    return _deal(context, text_ids, work)


def _deal(context: AppContext, text_ids: Collection[int], work: Callable[..., str | None]) -> Dealt:
    """Do it to one text after another; `work(tx, text_id=…)` says why one is left."""
    dealt = Dealt()
    for text_id in text_ids:
        why = context.database.write(partial(work, text_id=text_id))
        if why is None:
            dealt.done += 1
        else:
            dealt.leave(why)
    return dealt


def open_tasks(
    context: AppContext, text_ids: Collection[int], now: datetime, *, sites: Collection[int] | None, who: str
) -> Dealt:
    """Make a task of each of these texts: someone calls about the visit."""

    def work(tx: store.Transaction, text_id: int) -> str | None:
        found = store.outcomes.ended(tx, [text_id], sites)
        if not found:
            return "it is not there"
        (text,) = found
        task, is_new = store.tasks.open_task(
            tx,
            UNCERTAIN if text.state == State.UNCERTAIN else UNDELIVERED,
            site_id=text.site_id,
            zone=text.site_zone,
            now=now,
            text_id=text_id,
            number_id=text.number_id,
            patient_id=text.patient_id,
        )
        if not is_new:
            return "there is a task already"
        store.tasks.add_event(tx, task, now, Happened.ASKED_FOR, who=who)
        store.audit_log.note(tx, who=who, what=Action.TASK_MADE, table="tasks", row=task, now=now)
        return None

    return _deal(context, text_ids, work)


def mark_numbers_wrong(
    context: AppContext, text_ids: Collection[int], now: datetime, *, sites: Collection[int] | None, who: str
) -> Dealt:
    """Say of the numbers of these texts that they are someone else's: nothing more goes there."""
    dealt = Dealt()
    wanted = context.database.read(lambda tx: store.outcomes.ended(tx, text_ids, sites))
    for _ in range(len(text_ids) - len(wanted)):
        dealt.leave("it is not there")
    for text in {text.number_id: text for text in wanted}.values():
        if text.patient is None or text.recipient is None:
            dealt.leave("this number is no one's")
            continue
        try:
            done = phone_numbers.mark_wrong(
                context, reader_case.Whom(text.patient, text.recipient, text.site), now, who=who
            )
        except reader_case.Refused as refusal:
            dealt.leave(str(refusal))
        else:
            dealt.done += done is not None
    return dealt
