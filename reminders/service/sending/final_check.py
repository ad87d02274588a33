"""The last look: what was claimed is judged once more, in the transaction that claims it, and rendered if it goes."""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time

from reminders import planner, plans, store, wording
from reminders.app_context import AppContext
from reminders.service import tasks
from reminders.service.operations import logs
from reminders.service.planning import attendance
from reminders.service.planning.rendering import render, render_unplanned
from reminders.service.planning.replanning import policy_of
from reminders.store.sending.claims import Claimed, Intent
from reminders.task_kinds import STUCK, Happened

log = logging.getLogger(__name__)


def claim(
    context: AppContext, tx: store.Transaction, sender: int, limit: int, now: datetime
) -> tuple[int, list[Intent], int]:
    """Take up to `limit` due texts of a sender; how many, the intents to send, and how many were suppressed."""
    day = store.queue.day_of(tx, sender, now)
    if day is None:
        return _judged(context, tx, store.claims.claim(tx, sender, limit, now), now)
    claimed, suppressed = 0, 0
    intents: list[Intent] = []
    if day.left:
        taken = store.claims.claim(tx, sender, min(limit, day.left), now)
        claimed, intents, suppressed = _judged(context, tx, taken, now)
    going = _within(day.left, intents)
    if not day.left or len(going) < len(intents):
        if day.is_settled and not going:
            store.queue.end_day(tx, sender, now)
        claimed -= len(intents) - len(going)
    return claimed, going, suppressed


def _within(segments: int, intents: list[Intent]) -> list[Intent]:
    """The first of them that are so many segments; the others stay due."""
    sums = itertools.accumulate(one.segments for one in intents)
    return [one for one, together in zip(intents, sums, strict=True) if together <= segments]


def claim_these(
    context: AppContext, tx: store.Transaction, text_ids: Sequence[int], now: datetime
) -> tuple[int, list[Intent], int]:
    """The same for these texts, out of their turn."""
    return _judged(context, tx, store.claims.claim_these(tx, text_ids, now), now)


def _judged(
    context: AppContext, tx: store.Transaction, taken: tuple[list[Claimed], list[int]], now: datetime
) -> tuple[int, list[Intent], int]:
    due, unreadable = taken
    _hold_unreadable(tx, unreadable)
    intents, suppressed = judge(context, tx, due, now)
    return len(due) + len(unreadable), intents, suppressed


def _hold_unreadable(tx: store.Transaction, text_ids: Sequence[int]) -> None:
    """Set aside what cannot be read, so that it costs no other text its turn (long-run 1); the plan job tries again."""
    if text_ids:
        log.error("%d texts are held: what is stored of them cannot be read", len(text_ids))
        store.claims.hold_unreadable(tx, text_ids)


def judge(
    context: AppContext, tx: store.Transaction, claimed: Sequence[Claimed], now: datetime
) -> tuple[list[Intent], int]:
    """Judge claimed texts once more and render those that go; the intents, and how many were suppressed.

    Fails closed: what cannot be said within the rules is not sent.
    """
    intents: list[Intent] = []
    stopped: dict[str, list[int]] = {}
    said_now: set[tuple[int, str]] = set()
    waiting: dict[datetime, list[int]] = {}
    going_to: dict[int, int] = {}
    unreadable: list[int] = []
    held = [one for one in claimed if one.held]
    policies = {closures: policy_of(context, closures) for closures in {one.closures for one in claimed}}
    for one in claimed:
        if one.held:
            continue
        policy = policies[one.closures]
        # A reminder of this very batch that goes to the same number counts too.
        weighed = _weigh(tx, one, policy, (now,) * going_to.get(one.number_id, 0), now)
        if weighed is None:
            unreadable.append(one.text)
        elif isinstance(weighed, Exception):  # a mistake of ours: it costs this text, and no other that is due with it
            log.error("text %s cannot be rendered: %s", one.text, logs.describe(weighed))
            stopped.setdefault(planner.Reason.NO_WORDING.value, []).append(one.text)
            _name_it(context, tx, one, now)
        elif isinstance(weighed, str):
            stopped.setdefault(weighed, []).append(one.text)
            tasks.tell_instead(tx, one, weighed, now)
        elif isinstance(weighed, planner.Wait):
            waiting.setdefault(weighed.until, []).append(one.text)
        else:
            said, visits = weighed
            if one.class_ == "notice" and (
                (one.number_id, said.body) in said_now or said.body in _said_today(tx, one, now)
            ):
                reason = planner.Reason.MERGED_INTO.value  # the same words twice in a day say nothing new
                stopped.setdefault(reason, []).append(one.text)
                tasks.tell_instead(tx, one, reason, now)
                continue
            _leave_out(tx, one, visits, now)
            said_now.add((one.number_id, said.body))
            if one.due is not None:
                going_to[one.number_id] = going_to.get(one.number_id, 0) + 1
            intents.append(
                Intent(
                    one,
                    body=said.body,
                    template=said.template,
                    language=said.language,
                    segments=said.segments,
                    encoding=said.encoding,
                )
            )
    suppressed = sum(_suppress(tx, texts, reason, now) for reason, texts in stopped.items())
    _hold_unreadable(tx, unreadable)
    for until, texts in waiting.items():
        store.claims.put_off(tx, texts, until.astimezone(UTC))
    if held:
        store.claims.hold(tx, [one.text for one in held], "crisis")
        for one in held:
            tasks.phone_instead(tx, one, now)
    return intents, suppressed


def _name_it(context: AppContext, tx: store.Transaction, one: Claimed, now: datetime) -> None:
    """A task for a text that a mistake of ours kept from going; of a notice someone phones about its visits too."""
    task_id, _ = store.tasks.open_task(
        tx,
        STUCK,
        site_id=one.site_id,
        zone=context.settings.site.zone,
        now=now,
        patient_id=one.patient_id,
        text_id=one.text,
        job="send",
        what="text",
        row=one.text,
    )
    store.tasks.add_event(tx, task_id, now, Happened.CANNOT_BE_PROCESSED, text_id=one.text)
    tasks.tell_instead(tx, one, planner.Reason.NO_WORDING.value, now)


def _suppress(tx: store.Transaction, text_ids: Sequence[int], reason: str, now: datetime) -> int:
    """They do not go after all; where a person had released one, its task says why, and stays open."""
    store.tasks.tell_stopped(tx, text_ids, reason, now)
    return store.claims.suppress(tx, text_ids, reason)


def _said_today(tx: store.Transaction, one: Claimed, now: datetime) -> set[str]:
    """What went to the number on the reader's day."""
    midnight = datetime.combine(plans.to_wall(now, one.reader_zone).date(), time(0))
    return store.texts.bodies_since(tx, one.number_id, plans.to_instant(midnight, one.reader_zone), one.text)


def _leave_out(tx: store.Transaction, one: Claimed, visits: Sequence[planner.Visit], now: datetime) -> None:
    """A text is on record with the visits it really speaks of, so that another tells the one that it leaves out.

    A visit that has begun stays with the reminder that was to tell it.
    """
    about: set[int] = set()
    if one.due is not None:
        about = {visit.id for visit in one.due.visits if visit.starts_at > now}
    elif one.class_ == "notice" and one.unplanned is not None:
        about = set(one.unplanned.tells)
    silent = about - {visit.id for visit in visits}
    if silent:
        store.texts.drop_items(tx, one.text, silent)


def _weigh(
    tx: store.Transaction, one: Claimed, policy: planner.Policy, also: tuple[datetime, ...], now: datetime
) -> tuple[wording.Rendered, Sequence[planner.Visit]] | planner.Wait | str | Exception | None:
    """What goes and about which visits, or until when it waits, or why it does not go.

    None if what is stored of it cannot be read; an exception if it is read, and cannot be put into words.
    """
    try:
        verdict = _verdict(tx, one, policy, also, now)
    except store.claims.MALFORMED:
        return None
    if isinstance(verdict, planner.Stop):
        return verdict.reason.value
    if isinstance(verdict, planner.Wait):
        return verdict
    try:
        return _render(one, verdict.visits, policy, now), verdict.visits
    except wording.Unsayable as unsayable:
        return unsayable.reason
    except wording.CannotSay as error:
        return error
    except store.claims.MALFORMED:
        return None


def _verdict(
    tx: store.Transaction, one: Claimed, policy: planner.Policy, also: tuple[datetime, ...], now: datetime
) -> planner.Go | planner.Wait | planner.Stop:
    if one.unplanned is not None:
        verdict = planner.guard_unplanned(one.unplanned, policy, now)
        if one.wording == "missed" and isinstance(verdict, planner.Go):
            return _after_a_miss(tx, one, verdict, now)
        if one.wording == "confirmed" and not any(visit.status == "booked" for visit in one.unplanned.visits):
            return planner.Stop(planner.Reason.NOT_BOOKED)  # called off, or no longer this reader's, since their C
        return verdict
    assert one.due is not None
    return planner.guard(replace(one.due, gone=one.due.gone + also) if also else one.due, policy, now)


def _after_a_miss(
    tx: store.Transaction, one: Claimed, go: planner.Go, now: datetime
) -> planner.Go | planner.Wait | planner.Stop:
    """The text after a miss waits for a day without a reminder: the day may have got one since it was laid down."""
    if one.unplanned is None or one.unplanned.reader is None:
        return go
    until = attendance.day_without_reminder(
        tx, one.unplanned.reader, one.number_id, now, closes_at=one.closes_at, now=now
    )
    if until <= now:
        return go
    return planner.Stop(planner.Reason.MERGED_INTO) if until >= one.closes_at else planner.Wait(until)


def _render(one: Claimed, visits: Sequence[planner.Visit], policy: planner.Policy, now: datetime) -> wording.Rendered:
    if one.unplanned is None:
        return render(
            visits,
            language=one.language,
            alias=one.alias,
            phone=one.site_phone,
            reader_zone=one.reader_zone,
            now=now,
        )
    reader = one.unplanned.reader
    return render_unplanned(
        one.wording,
        typed=one.typed,
        visits=visits,
        was=one.was,
        language=one.language,
        alias=one.alias,
        phone=one.site_phone,
        line24=one.line24,
        per_week=min(policy.per_week, one.per_week or policy.per_week),
        reader_zone=one.reader_zone,
        verified=reader is not None and reader.verified,
        now=now,
    )
