"""Texts that staff type: when one may go, what it may say, and a sample on the staff's own phone."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time, timedelta

from reminders import planner, plans, store, wording
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.planner.notices import for_news
from reminders.service.people.reader_case import Refused, Whom, open_case
from reminders.service.planning.replanning import policy_of, reader_now
from reminders.store.database.ids import new_id
from reminders.store.planning.texts import Addressee, Window
from reminders.store.records import RecipientRow, SiteRow
from reminders.wording import house_style, staff_words
from reminders.wording.segments import segments

TYPED_FOR = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Typed:
    """A text that staff typed, as it goes: its body, what it takes, from when it goes, and its id when laid down."""

    body: str = field(repr=False)
    segments: int
    encoding: str
    goes_at: datetime
    zone: str
    text: int | None = None


def why_not_say(
    context: AppContext, tx: store.Transaction, reader: RecipientRow, site: SiteRow, now: datetime
) -> str | None:
    """Why staff may not text a reader (a row of `recipients`) just now, in words; None where they may."""
    if store.plans.has_died(tx, reader.patient_id):
        return "a plan of this patient ended with their death; nothing goes to anyone about them"
    if all(plan.status != "active" for plan in store.plans.current_plans(tx, reader.patient_id)):
        return "no plan of this patient is active, so nothing goes"
    reason = planner.may_be_texted(reader_now(tx, reader, site, now), policy_of(context), dated=True)
    return staff_words.REASONS[reason.value] if reason is not None else None


def why_not_to(context: AppContext, recipient_ids: Sequence[int], now: datetime) -> dict[int, str | None]:
    """Recipient → why staff may not text them just now, in words; None where they may."""

    def work(tx: store.Transaction) -> dict[int, str | None]:
        return {
            row.id: why_not_say(context, tx, row, store.people.site_of_patient(tx, row.patient_id), now)
            for row in store.people.recipients_by_id(tx, recipient_ids)
        }

    return context.database.read(work)


def say(
    context: AppContext,
    whom: Whom,
    body: str,
    now: datetime,
    *,
    who: str,
    dry_run: bool = False,
    once: str | None = None,
) -> Typed | None:
    """Text someone what staff typed: within four hours, at an hour at which they may be texted.

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
        case = open_case(context, tx, whom, now, who=who)
        if case is None:
            return None
        reader = reader_now(tx, case.reader, case.site, now)
        if (why := why_not_say(context, tx, case.reader, case.site, now)) is not None:
            raise Refused(why)
        window = Window(now, now + TYPED_FOR, planner.next_allowed(for_news(reader, now, now), now))
        if window.due_at >= window.closes_at:
            at = house_style.clock_time(window.due_at, reader.zone)
            raise Refused(f"it is too late at night, or too early, where they are: texts may go from {at}")
        typed = Typed(said, length.count, length.encoding, window.due_at, reader.zone)
        if dry_run:
            return typed
        sender_id = store.people.sender_of(tx, case.site.id, context.settings.twilio.sender)
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
            case.note(Action.TEXT_TYPED, after=said)
        return replace(typed, text=made)

    return context.database.write(work, again=True)


def send_sample(
    context: AppContext, body: str, phone: str, now: datetime, *, who: str, site: str | None = None
) -> Typed:
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
        store.people.keep_default_site(tx, context.settings, now)
        place = store.people.site_by_key(tx, site or context.settings.site.key)
        if place is None:
            raise Refused("there is no such site")
        number_id = store.people.keep_number(tx, plans.read_phone(phone, context.known(tx, now, place.key)), now)
        most = context.settings.sending.samples_per_day
        today = plans.to_instant(datetime.combine(plans.to_wall(now, place.zone), time()), place.zone)
        if store.audit_log.count(tx, who=who, what=Action.TEST_TEXT_SENT, since=today) >= most:
            raise Refused(f"you have sent {most} tests today, as many as one may (sending.samples_per_day)")
        number = store.people.lock_numbers(tx, [number_id])[number_id]
        if store.people.recipients_on(tx, [number_id]):
            raise Refused("patients' texts go to this number; send the test to a phone of your own")
        if number.opted_out_at is not None:
            raise Refused(staff_words.REASONS["opted_out"] + "; it opens again when START comes from that phone")
        sender_id = store.people.sender_of(tx, place.id, context.settings.twilio.sender)
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
            store.audit_log.note(tx, who=who, what=Action.TEST_TEXT_SENT, table="texts", row=made, now=now)
        return Typed(said, length.count, length.encoding, now, place.zone, made)

    return context.database.write(work, again=True)
