"""What people text to us: stored first, then understood, and answered by a text or a person, in one transaction.

Every inbound text ends in an answer or a task, and what may mean danger in both (R0.8, C-2). The answer is a text like
any other, with attempts and receipts; what is urgent is sent by whoever took the text in, right after the commit.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from reminders import conversation, crash, languages, planner, store, task_kinds
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.conversation import Meaning, OwnWords, Understood
from reminders.service import tasks
from reminders.service.operations import logs
from reminders.service.people import sharing
from reminders.service.planning.replanning import replan
from reminders.service.tasks import oncall
from reminders.service.tasks.isolation import OneByOne
from reminders.sms import Gateway, InboundText
from reminders.store.planning.texts import Addressee, Window
from reminders.store.records import NumberRow, SiteRow
from reminders.store.replies import ReaderOnNumber, Said, VisitAsked
from reminders.task_kinds import About, Happened

log = logging.getLogger(__name__)

ASKED = timedelta(hours=72)  # a C or R speaks of the latest text of these hours
ONCE_IN = timedelta(hours=6)  # the same answer to the same number (C-3): a conversation is no loop
SAME_WORDS_IN = timedelta(hours=24)  # what says the same again is answered by nothing
MOST_AN_HOUR = 2  # automatic answers to one number; a first cry for help is answered all the same
RING_AGAIN_IN = timedelta(hours=1)  # the same words ring once in it, other words at once
QUOTABLE = timedelta(days=90)  # how far back a phone may quote us
USEFUL = timedelta(hours=1)  # how long an answer is worth sending
CONFIRM_STOP_IN = timedelta(minutes=5)  # later than this it is not presumed to be agreed to (L-14)
SOON_AFTER = timedelta(hours=48)  # CANCEL this soon after a reminder may be about the visit
LISTED_BACK = timedelta(hours=24)  # how far the first listing of a sender looks back
OVERLAP = timedelta(minutes=90)  # Twilio's list lags behind, usually by minutes, and our clock may be an hour fast …
ONCE_AN_HOUR = timedelta(hours=6)  # … at times by hours

_NO = {Meaning.STOP, Meaning.STOP_ASKED}  # holds until START
_WISHES = {*_NO, Meaning.START}
_OPTED_OUT_HERE = (Action.OPT_OUT_RECORDED, Action.OPT_OUT_RECORDED_AGAIN)  # by staff; no phone sent it
_STOPPED = {*_NO, Meaning.WRONG_NUMBER}
_DANGER = {Meaning.CRISIS, Meaning.OVERDOSE}
# Twilio answers these itself and blocks the number, or opens it again (docs/twilio.md 5); other words it does not know.
_TWILIOS_WORDS = {
    "stop",
    "unsubscribe",
    "end",
    "quit",
    "stopall",
    "revoke",
    "optout",
    "cancel",
    "start",
    "unstop",
    "yes",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken in: what it was answered as, and the answers to send at once. Not `fresh`: it was here before."""

    meaning: Meaning
    fresh: bool
    urgent: tuple[int, ...] = ()
    rang: bool = False


class NotAllTakenError(Exception):
    """Some inbound texts could not be taken in; `taken` holds those that were."""

    def __init__(self, taken: list[Taken]) -> None:
        self.taken = taken
        super().__init__("some inbound texts could not be taken in")


def warm_up() -> None:
    """Read the lexicon and the second reader, which takes about a second the first time."""
    conversation.understand("good morning to you all")


def take_in(context: AppContext, text: InboundText, now: datetime, *, heard_by: str = "callback") -> Taken:
    """Store one inbound text and do what it asks for. A text that is brought twice is taken in once.

    `heard_by` is `callback`, or `list` for one that Twilio's list of messages brought. A text whose effects cannot be
    carried out is stored all the same: a STOP in it holds, danger in it rings, and a person reads the rest. Raises
    Unavailable.
    """
    try:
        return _take_in(context, text, now, heard_by=heard_by, by_hand=False)
    except store.Unavailable:
        raise
    except Exception as error:  # ruff: ignore[blind-except]  nothing that a person texted may be lost to a mistake of ours
        log.error("an inbound text is left to a person: %s", logs.describe(error))  # ruff: ignore[error-instead-of-exception]  its text may be personal
        return _take_in(context, text, now, heard_by=heard_by, by_hand=True)


def _take_in(context: AppContext, text: InboundText, now: datetime, *, heard_by: str, by_hand: bool) -> Taken:
    def work(tx: store.Transaction) -> Taken:
        store.people.keep_default_site(tx, context.settings, now)
        number_id = store.people.keep_number(tx, text.sender, now)
        number, readers, site = _party(context, tx, number_id, text.to)
        at = min(text.sent_at or now, now)
        asked = store.replies.last_asked(tx, number_id, at - ASKED)
        language = readers[0].language if readers else languages.DEFAULT
        sent = store.replies.sent_to(tx, number_id, at - QUOTABLE) if len(text.body.split()) > 1 else []
        # What staff typed is no fixed text: a person may say its words in earnest.
        own = conversation.own_words(text.body, [one.body for one in sent if one.class_ != "staff"])
        understood = _with_twilios_word(_understood(own, text.body, language, asked, sent), text.opt_out_type)
        said = Said(
            sid=text.sid,
            sent_to=text.to,
            body=text.body,
            media=text.media,
            meaning=understood.answer.value,
            meanings=tuple(meaning.value for meaning in understood.meanings),
            rules=understood.rules,
            lexicon=understood.version,
            heard_by=heard_by,
            sent_at=at,
            quoted=own.quoted,
            because=understood.because,
        )
        key = tx.data_key(readers[0].key_id) if readers else None
        patient_id = readers[0].patient_id if readers else None
        reply_id = store.replies.keep(
            tx, said, number_id=number_id, site_id=site.id, patient_id=patient_id, key=key, now=now
        )
        if reply_id is None:
            return Taken(understood.answer, fresh=False)
        hearing = _Hearing(
            context=context,
            tx=tx,
            now=now,
            at=at,
            text=text,
            understood=understood,
            number=number,
            readers=readers,
            site=site,
            asked=list(asked),
            reply_id=reply_id,
            reaction=own.reaction,
        )
        if by_hand:
            hearing.leave_to_a_person()
        else:
            hearing.respond()
        crash.point("K14")
        return Taken(understood.answer, fresh=True, urgent=tuple(hearing.urgent), rang=hearing.rang)

    return context.database.write(work, again=True)


def _party(
    context: AppContext, tx: store.Transaction, number_id: int, to: str
) -> tuple[NumberRow, list[ReaderOnNumber], SiteRow]:
    """A number, locked, with who is texted on it and the site that a text to our number `to` is for."""
    everybody = store.replies.readers_on(tx, number_id)
    # Who shares a phone with someone who died is heard like anyone else.
    dead = _dead(tx, everybody)
    readers = [reader for reader in everybody if reader.patient_id not in dead] or list(everybody)
    # All numbers of all of them at once and in order: planning again will want them.
    theirs = store.people.numbers_of(tx, {reader.patient_id for reader in everybody})
    number = store.people.lock_numbers(tx, [number_id, *theirs])[number_id]
    site = store.replies.site_spoken_to(tx, to) or store.people.site_by_key(tx, context.settings.site.key)
    if readers:
        site = store.people.site_of_patient(tx, readers[0].patient_id)
    assert site is not None
    return number, readers, site


def _hear_in_order(context: AppContext, number_id: int, to: str, sent: dict[str, datetime], now: datetime) -> None:
    """Write down when these texts of a number were really sent, and let the last of its noes and STARTs hold.

    A webhook does not say when its text was sent, and one may overtake another (L-17).
    """

    def work(tx: store.Transaction) -> None:
        number, readers, site = _party(context, tx, number_id, to)
        store.replies.set_sent_at(tx, sent)
        wishes = store.replies.wishes(tx, number_id, _WISHES)
        # Until the list has told of all of them, two clocks would be compared.
        if any(one.sent_at == one.received_at and now - one.received_at < LISTED_BACK for one in wishes):
            return
        noes = [one for one in wishes if one.meanings & _NO]
        starts = [one for one in wishes if not one.meanings & _NO]
        # Of the noes the phone's own: staff and Twilio have theirs.
        own = number.opted_out_at in {one.received_at for one in noes}
        last = noes[-1:] if number.opted_out_at is None else starts[-1:] if own else []
        for wish in last:
            hearing = _Hearing(
                context=context,
                tx=tx,
                now=now,
                at=wish.sent_at,
                text=InboundText(wish.sid, "", wish.sent_to, wish.body, None, sent_at=wish.sent_at),
                understood=conversation.understand(""),
                number=number,
                readers=readers,
                site=site,
                asked=[],
                reply_id=wish.reply_id,
            )
            hearing.hold({meaning for meaning in _WISHES if meaning in wish.meanings})

    context.database.write(work, again=True)


def _understood(
    own: OwnWords, body: str, language: str, asked: Sequence[VisitAsked], sent: Sequence[store.replies.Sent]
) -> Understood:
    """What the person's own words mean; of a quotation or a reaction alone, no more than that it is one.

    A like of the latest text that asked for C confirms. A text that is nothing but our own words goes to a person.
    """
    if own.said.strip() or not own.quoted:
        return conversation.understand(own.said, language, asked=bool(asked))
    nothing = conversation.understand("", language)
    if own.reaction is None:
        return replace(nothing, meanings=(Meaning.OTHER,), rules=("quoted.ours",))
    liked = [one for one in sent if asked and one.text_id == asked[0].text_id and one.wording.endswith("_ask")]
    if own.reaction == "like" and any(conversation.quotes(body, one.body) for one in liked):
        return replace(nothing, meanings=(Meaning.CONFIRM,), rules=("quoted.like",))
    return replace(nothing, meanings=(Meaning.REACTION,), rules=(f"quoted.{own.reaction}",))


def _with_twilios_word(understood: Understood, opt_out_type: str | None) -> Understood:
    """Advanced Opt-Out knows words of its own: what Twilio blocks, opens or answered as HELP, we take for that too."""
    word = {"STOP": Meaning.STOP, "START": Meaning.START, "HELP": Meaning.HELP}.get(opt_out_type or "")
    if word is None or word in understood.meanings:
        return understood
    if word is Meaning.START and Meaning.YES in understood.meanings:
        return understood  # to Twilio YES opens a number again; to us it answers a question (L-17)
    others = tuple(meaning for meaning in understood.meanings if meaning is not Meaning.OTHER)
    meanings = sorted({word, *others}, key=list(Meaning).index)  # they stand in order of precedence
    return replace(understood, meanings=tuple(meanings), rules=(*understood.rules, "twilio.opt_out_type"))


@dataclass
class _Hearing:
    """One inbound text on its way to its effects. The number is locked."""

    context: AppContext
    tx: store.Transaction
    now: datetime
    at: datetime
    text: InboundText
    understood: Understood
    number: NumberRow
    readers: list[ReaderOnNumber]
    site: SiteRow
    asked: list[VisitAsked]
    reply_id: int
    reaction: str | None = None
    urgent: list[int] = field(default_factory=list)
    rang: bool = False

    def respond(self) -> None:
        """Every effect of every meaning, and one answer: that of the first meaning that has one."""
        meanings = set(self.understood.meanings)
        was_stopped = self.number.opted_out_at is not None
        if self._is_set_apart(meanings, was_stopped=was_stopped):
            return
        if meanings & _DANGER:
            self._danger(Meaning.OVERDOSE if Meaning.OVERDOSE in meanings else Meaning.CRISIS)
        if meanings & _STOPPED:
            self._stop(meanings, was_stopped=was_stopped, answer=not meanings & _DANGER)
        elif Meaning.START in meanings:
            self._start(answer=not meanings & _DANGER)
        elif was_stopped:
            if not meanings & _DANGER:
                self._after_stop(meanings)
            return
        if Meaning.POSSIBLE in meanings:
            self._possible(answer=not meanings & (_STOPPED | {Meaning.START}))
        if meanings & (_DANGER | _STOPPED | {Meaning.START, Meaning.POSSIBLE}):
            self._also(meanings)
            return
        if self._is_strange() and Meaning.HELP not in meanings:
            self._stranger(meanings)
            return
        steps: tuple[tuple[set[Meaning], Callable[[], None]], ...] = (
            ({Meaning.SLIP}, partial(self._slip, "slip")),
            ({Meaning.INTENT}, partial(self._slip, "intent")),
            ({Meaning.HELP}, self._help),
            ({Meaning.CHANGE}, self._change),
            ({Meaning.CONFIRM, Meaning.YES}, self._confirm),
            ({Meaning.WHO}, self._who),
        )
        first = next((effect for those, effect in steps if meanings & those), self._other)
        first()
        if meanings & {Meaning.SLIP, Meaning.INTENT}:
            self._also(meanings)

    def _is_set_apart(self, meanings: set[Meaning], *, was_stopped: bool) -> bool:
        """Whether it comes from us or of the dead, or says nothing: then what there is to do is done."""
        if self._is_from_us():
            if meanings & _DANGER:
                self._danger(Meaning.OVERDOSE if Meaning.OVERDOSE in meanings else Meaning.CRISIS)
            self._open(task_kinds.REPLY)
        elif _dead(self.tx, self.readers):
            self._of_the_dead(meanings)
        elif meanings == {Meaning.REACTION}:
            self._reacted(was_stopped=was_stopped)
        else:
            return False
        return True

    def _is_from_us(self) -> bool:
        """Whether a sender of our own texted us: an answer would come back as a text, and be answered again
        (SEC-16).
        """
        return store.people.sender_at(self.tx, self.text.sender) is not None

    def leave_to_a_person(self) -> None:
        """The effects that nothing may prevent, and a task for the others."""
        meanings = set(self.understood.meanings)
        if closed := self._closed_by(meanings):
            store.people.mark_number(self.tx, self.number.id, **closed)
            wrong = "wrong_since" in closed
            store.texts.suppress_queued(self.tx, self.number.id, "number_bad" if wrong else "opted_out")
            self._note(Action.NUMBER_IS_WRONG if wrong else Action.NUMBER_STOP)
        if meanings & _DANGER and not _dead(self.tx, self.readers):
            self._danger(Meaning.OVERDOSE if Meaning.OVERDOSE in meanings else Meaning.CRISIS)
        task_id, _ = self._open(task_kinds.REPLY)
        self._event(task_id, Happened.NOT_ACTED_ON)

    def hold(self, wishes: set[Meaning]) -> None:
        """A no or a START, heard and answered before, holds after all: it was sent last."""
        if wishes & _NO:
            self._stop(wishes & _NO, was_stopped=False, answer=False)
        elif not _dead(self.tx, self.readers):
            self._start(answer=False)

    # Danger (C-2 … C-13).

    def _danger(self, which: Meaning) -> None:
        task_id, fresh = self._open(task_kinds.CRISIS)
        if fresh or not self._says_the_same(RING_AGAIN_IN):
            self._ring(task_id)
        # 911 may follow 988, never the other way round; neither comes twice.
        before = ("crisis", "overdose") if which is Meaning.CRISIS else ("overdose",)
        if self._answered(before, ONCE_IN):
            self._event(task_id, Happened.ANSWERED_BEFORE)
            return
        if conversation.is_automatic(self.text.body) and self._is_answered_enough():
            self._event(task_id, Happened.ANSWERED_ENOUGH)
            return
        # Who knows what a stranger reads, or who reads a language that is not whole (C-3)?
        known = self.readers and languages.offered_code(self.readers[0].language) is not None
        for language in [None] if known else list(languages.offered()):
            text_id = self._answer(which.value, language=language)
            if text_id is not None:
                self._event(task_id, Happened.ANSWERED, text_id)

    def _possible(self, *, answer: bool = True) -> None:
        """No rule knows it, and it may be danger: at the top of the inbox, to be read within the hour.

        Without `answer` nothing goes out: after a STOP only what is surely danger is answered.
        """
        task_id, _ = self._open(task_kinds.POSSIBLE)
        if answer:
            self._answer_unknown(task_id)

    def _slip(self, name: str) -> None:
        self._answer_once(self._call_about_slip(), name, ONCE_IN)

    def _call_about_slip(self) -> int:
        """Someone calls, in the first 30 days within the hour, whatever the hour (C-9, S-19)."""
        dangerous = any(map(self._is_dangerous_time, self.readers))
        task_id, _ = self._open(task_kinds.SLIP, grave=dangerous)
        if dangerous:
            self._ring(task_id)
        return task_id

    def _is_dangerous_time(self, reader: ReaderOnNumber) -> bool:
        return tasks.is_dangerous_time(reader.discharged_on, self.now, self.site.zone)

    # The no, and its end (L-10 … L-17).

    def _stop(self, meanings: set[Meaning], *, was_stopped: bool, answer: bool) -> None:
        wrong = Meaning.WRONG_NUMBER in meanings
        closed = self._closed_by(meanings)
        if not closed:  # said before: confirmed once, and never again (L-14)
            kinds = (task_kinds.STOP_EARLY, task_kinds.VISIT_OR_TEXTS, task_kinds.STOP_ASKED)
            keys = [kind.key(number_id=self.number.id) for kind in kinds]
            known = wrong or any(store.tasks.task_known(self.tx, key) for key in keys)
            if not known and not self._is_outdone():
                self._ask_about_stop()  # Twilio's refusal (21610) told us first
            return
        store.people.mark_number(self.tx, self.number.id, **closed)
        self._replan()
        # Also what reconcile leaves alone: texts that were tried and wait to be tried again.
        store.texts.suppress_queued(self.tx, self.number.id, "number_bad" if wrong else "opted_out")
        what = Action.NUMBER_IS_WRONG if wrong else Action.NUMBER_STOP
        self._note(what)
        sharing.tell_other_sites(self.tx, self.number.id, self.now, what=what, but=self.site.id)
        if wrong:
            task_id, _ = self._open(task_kinds.WRONG_NUMBER)
            if answer and not was_stopped:
                self._event(task_id, Happened.ANSWERED, self._answer("wrong_number"))
        elif Meaning.STOP_ASKED in meanings and Meaning.STOP not in meanings:
            task_id, _ = self._open(task_kinds.STOP_ASKED)
            if answer:
                self._event(task_id, Happened.ANSWERED, self._answer("stop_asked", useful=CONFIRM_STOP_IN))
        else:
            self._ask_about_stop()
            if answer and not self._twilio_answered():
                self._answer("stop_confirm", useful=CONFIRM_STOP_IN)

    def _closed_by(self, meanings: set[Meaning]) -> dict[str, Any]:
        """What a text closes of its number, whatever was heard first: a no until a later START, a wrong one until staff
        know better. The two do not undo each other (L-17).
        """
        closed: dict[str, Any] = {}
        if (
            Meaning.WRONG_NUMBER in meanings
            and self.number.wrong_since is None
            and not self._recorded_later(Action.NUMBER_IS_RIGHT_AFTER_ALL)
        ):
            closed["wrong_since"] = self.now
        if meanings & _NO and self.number.opted_out_at is None and not self._is_outdone():
            closed["opted_out_at"] = self.now
        return closed

    def _ask_about_stop(self) -> None:
        """A STOP in the first 30 days, or a CANCEL that may be about the visit: someone calls, once (S-20, L-13)."""
        if not self.readers:
            return
        recent = store.replies.last_asked(self.tx, self.number.id, self.at - SOON_AFTER)
        if _word(self.text.body) in {"cancel", "end", "cancelar"} and recent:
            ahead = [row.starts_at for row in recent if row.starts_at > self.now]
            self._open(task_kinds.VISIT_OR_TEXTS, ahead)
        elif any(one.role == "self" and self._is_dangerous_time(one) for one in self.readers):
            self._open(task_kinds.STOP_EARLY)

    def _start(self, *, answer: bool) -> None:
        if self._was_said(_NO, timedelta(0)) or self._recorded_later(
            Action.OPT_OUT_RECORDED, Action.OPT_OUT_RECORDED_AGAIN
        ):
            return
        was_stopped = self.number.opted_out_at is not None
        if was_stopped:
            store.people.mark_number(self.tx, self.number.id, opted_out_at=None)
            self._replan()  # the same rows come to life
            self._note(Action.NUMBER_START)
            store.tasks.close_all(self.tx, task_kinds.START_CAME, self.now, [About(number_id=self.number.id)])
        if self._is_strange():  # no text of ours comes of it, and none says so
            self._stranger(set(), answer=answer)
        elif (
            answer and not self._twilio_answered() and (was_stopped or not self._answered(("start_confirm",), ONCE_IN))
        ):
            self._answer("start_confirm")

    def _after_stop(self, meanings: set[Meaning]) -> None:
        """Only START from that phone reopens (L-17): a person reads what came, and answers by phone.

        HELP is answered, no matter who asks (L-34). A slip is called about as soon as any, which is all that is left.
        """
        if Meaning.POSSIBLE in meanings:
            self._possible(answer=False)
            return
        ahead = [row.starts_at for row in self.asked if row.starts_at > self.now and Meaning.CHANGE in meanings]
        self._open(task_kinds.AFTER_STOP, ahead)
        if meanings & {Meaning.SLIP, Meaning.INTENT}:
            self._call_about_slip()
        elif Meaning.HELP in meanings and not self._answered(("help",), ONCE_IN):
            self._answer("help")

    # Everything else.

    def _help(self) -> None:
        if self._answered(("help",), ONCE_IN):  # who asks again may not mean the leaflet (C-6)
            self._open(task_kinds.REPLY)
            return
        self._answer("help")

    def _change(self) -> None:
        ahead = [row for row in self.asked if row.starts_at > self.now and row.status == "booked"]
        about = ahead[0].appointment_id if len(ahead) == 1 else None
        task_id, _ = self._open(task_kinds.CHANGE, [row.starts_at for row in ahead], appointment_id=about)
        # After a missed visit there is none that stands.
        name = ("unknown", "change", "change_which")[min(len(ahead), 2)]
        if name == "unknown":
            self._answer_unknown(task_id)
        else:
            self._answer_once(task_id, name, ONCE_IN)

    def _confirm(self) -> None:
        if Meaning.YES in self.understood.meanings and self._verify():
            return
        ahead = [row for row in self.asked if row.starts_at > self.now and row.status == "booked"]
        readers = store.replies.readers_asked(self.tx, self.number.id, self.at - ASKED, self.now)
        # A visit that was changed since that text stands otherwise than they read: a notice tells them first.
        if len(ahead) != 1 or readers != 1 or ahead[0].written_at > ahead[0].asked_at:
            if self.reaction is None:
                self._other()
            return
        visit = ahead[0]
        store.replies.confirm(self.tx, visit.appointment_id, visit.recipient_id, visit.version, self.now)
        if any(reader.id == visit.recipient_id and reader.role == "self" for reader in self.readers):
            about = About(appointment_id=visit.appointment_id)
            store.tasks.close_all(self.tx, task_kinds.CONFIRMED, self.now, [about])
        if not self._answered(("confirmed",), ONCE_IN):
            self._answer("confirmed", recipient_id=visit.recipient_id, about=[visit.appointment_id])

    def _verify(self) -> bool:
        """A Y from a number that no one verified, after our welcome; whether it was one."""
        if self.number.verified_at is not None or not store.replies.was_welcomed(self.tx, self.number.id):
            return False
        store.people.mark_number(self.tx, self.number.id, verified_at=self.now)
        self._replan()
        self._note(Action.NUMBER_VERIFIED)
        about = [About(recipient_id=reader.id, number_id=self.number.id) for reader in self.readers]
        store.tasks.close_all(self.tx, task_kinds.VERIFIED_BY_TEXT, self.now, about)
        self._answer("verified")
        return True

    def _who(self) -> None:
        task_id, _ = self._open(task_kinds.WHO)
        self._answer_once(task_id, "who", ONCE_IN)

    def _other(self) -> None:
        task_id, _ = self._open(task_kinds.REPLY)
        self._answer_unknown(task_id)

    def _answer_unknown(self, task_id: int) -> None:
        """Whom to call, day or night: once in six hours; while the office is closed to all that says something else."""
        since = self.now - ONCE_IN
        if not tasks.is_waking(self.now, self.site.zone):
            since = self.now if not self._says_the_same(ONCE_IN) else self.now - ONCE_IN
        if store.replies.answered_since(self.tx, self.number.id, ("unknown",), since):
            self._event(task_id, Happened.ANSWERED_ENOUGH)
            return
        self._answer_once(task_id, "unknown", timedelta())

    def _reacted(self, *, was_stopped: bool) -> None:
        """A like and its kin: nothing is done about it, but a question mark or a thumb down is read by a person."""
        if self.reaction == "other" and self.readers and not was_stopped and not self._is_strange():
            self._open(task_kinds.REPLY)

    def _is_strange(self) -> bool:
        """Whether we do not know who writes: the number is no one's, or turned out not to be who we thought."""
        return not self.readers or self.number.wrong_since is not None

    def _stranger(self, meanings: set[Meaning], *, answer: bool = True) -> None:
        """A number we do not know: no name and no time goes to it, not even that we know anyone (L-44)."""
        task_id, _ = self._open(task_kinds.STRANGER)
        if meanings & {Meaning.SLIP, Meaning.INTENT}:
            self._answer_once(task_id, "slip", ONCE_IN)
        elif answer and not self._answered(("slip",), ONCE_IN):
            self._answer_once(task_id, "stranger", ONCE_IN)

    def _of_the_dead(self, meanings: set[Meaning]) -> None:
        """Nothing goes to this phone ever again; what comes from it is the supervisor's."""
        if meanings & _STOPPED and self.number.opted_out_at is None:
            store.people.mark_number(self.tx, self.number.id, opted_out_at=self.now)
        danger = bool(meanings & _DANGER)
        task_id, _ = self._open(task_kinds.SUPERVISOR, grave=danger)
        if danger:
            self._ring(task_id)

    def _also(self, meanings: set[Meaning]) -> None:
        """What was said beside something graver: it is not answered twice, but a person reads it and acts on it."""
        if (
            Meaning.OTHER in meanings
            and self.readers
            and not meanings & (_DANGER | {Meaning.POSSIBLE} | {Meaning.SLIP, Meaning.INTENT})
        ):
            self._open(task_kinds.REPLY)
        if Meaning.CHANGE in meanings and self.readers and not meanings & _STOPPED:
            ahead = [row.starts_at for row in self.asked if row.starts_at > self.now]
            self._open(task_kinds.CHANGE, ahead)
        if meanings & {Meaning.SLIP, Meaning.INTENT} and meanings & _STOPPED and not meanings & _DANGER:
            self._call_about_slip()

    # The means.

    def _open(
        self,
        kind: task_kinds.Kind,
        visits: Sequence[datetime] = (),
        *,
        grave: bool = False,
        appointment_id: int | None = None,
    ) -> tuple[int, bool]:
        """Open a task, or add this text to the one that is open; with the text in its story."""
        patients = {reader.patient_id for reader in self.readers}
        task_id, fresh = store.tasks.open_task(
            self.tx,
            kind,
            site_id=self.site.id,
            zone=self.site.zone,
            now=self.now,
            visits=visits,
            grave=grave,
            patient_id=next(iter(patients)) if len(patients) == 1 else None,
            number_id=self.number.id,
            appointment_id=appointment_id,
        )
        later = {"sent_at": self.at.isoformat()} if self.now - self.at > timedelta(minutes=1) else None
        store.tasks.add_event(
            self.tx, task_id, self.now, Happened.TEXT_CAME, later, who="the phone", reply_id=self.reply_id
        )
        return task_id, fresh

    def _ring(self, task_id: int) -> None:
        oncall.ring(self.context, self.tx, task_id, self.now)
        self.rang = True

    def _event(self, task_id: int, what: Happened, text_id: int | None = None) -> None:
        store.tasks.add_event(self.tx, task_id, self.now, what, text_id=text_id)

    def _answered(self, names: tuple[str, ...], within: timedelta) -> bool:
        return store.replies.answered_since(self.tx, self.number.id, names, self.now - within)

    def _answer_once(self, task_id: int, name: str, within: timedelta) -> None:
        if self._answered((name,), within) or self._is_answered_enough() or self._says_the_same(SAME_WORDS_IN):
            self._event(task_id, Happened.ANSWERED_ENOUGH)
        else:
            self._event(task_id, Happened.ANSWERED, self._answer(name))

    def _is_answered_enough(self) -> bool:
        """Whether the number got all the automatic answers that it may get within the hour (C-3)."""
        hour = self.now - timedelta(hours=1)
        most = 1 if conversation.is_automatic(self.text.body) else MOST_AN_HOUR
        return store.replies.answers_since(self.tx, self.number.id, hour) >= most

    def _says_the_same(self, within: timedelta) -> bool:
        """Whether this number texted the same words within that time."""
        before = store.replies.heard_from(self.tx, self.number.id, self.now - within, but=self.reply_id)
        return any(conversation.same_words(self.text.body, body) for _, body in before)

    def _answer(
        self,
        name: str,
        *,
        language: str | None = None,
        useful: timedelta = USEFUL,
        recipient_id: int | None = None,
        about: list[int] | None = None,
    ) -> int | None:
        """Lay down the answer `name` of the catalog; its id."""
        closes_at = self.at + useful if name in {"stop_confirm", "stop_asked"} else self.now + useful
        if closes_at <= self.now:
            return None
        if self._is_from_us():
            return None
        danger = name in {"crisis", "overdose"}
        if not danger and conversation.is_automatic(self.text.body) and self._is_answered_enough():
            return None
        sender_id = store.people.sender_of(self.tx, self.site.id, self.text.to)
        first = self.readers[0].id if self.readers else None
        suffix = f":{language}" if language is not None else ""
        if language is None and self.readers and languages.offered_code(self.readers[0].language) is None:
            language = languages.DEFAULT  # better than no answer: what is asked for here may not wait for a translation
        text_id = store.texts.add(
            self.tx,
            Addressee(recipient_id or first, self.site.id, sender_id, self.number.id),
            class_="answer",
            key=f"answer:{self.text.sid[:64]}{suffix}",
            now=self.now,
            window=Window(self.now, closes_at, self.now),
            about=about or (),
            wording=name,
            language=language,
            reply_id=self.reply_id,
        )
        # What someone may be waiting for is not left to the worker's next round.
        waited_for = planner.sort_of("answer", name) is planner.Sort.SAFETY or name in {"slip", "intent", "unknown"}
        if text_id is not None and waited_for:
            self.urgent.append(text_id)
        return text_id

    def _replan(self) -> None:
        replan(self.context, self.tx, {reader.patient_id for reader in self.readers}, self.now)

    def _note(self, what: Action) -> None:
        store.audit_log.note(self.tx, who="the phone", what=what, table="numbers", row=self.number.id, now=self.now)

    def _twilio_answered(self) -> bool:
        """Whether Twilio has answered this word itself: of two confirmations one is too many (L-14)."""
        if self.text.opt_out_type is not None:
            return True
        whole = self.text.body.strip().casefold()  # Twilio heeds whole messages only: not "Stop." and not "ok stop"
        return self.context.settings.twilio.answers_keywords and whole in _TWILIOS_WORDS

    def _is_outdone(self) -> bool:
        """Whether a no or a START that was sent after this no is here already: then that one holds."""
        return self._was_said(_WISHES, timedelta(seconds=1))

    def _was_said(self, words: set[Meaning], later: timedelta) -> bool:
        """Whether one of these words, sent that much later than this text or after that, is here already.

        Twilio's times are whole seconds: of a no and a START in the same second the no holds. Asked only of a text that
        the list brought: a webhook comes as its text is sent, and our clock may have gone back. Twilio's time is
        compared as it is, also where our clock is behind and it lies ahead.
        """
        if self.text.sent_at is None:
            return False
        values = {word.value for word in words}
        return store.replies.said_since(self.tx, self.number.id, self.text.sent_at + later, values, but=self.reply_id)

    def _recorded_later(self, *what: Action) -> bool:
        """Whether staff put that on record of the number after this text was sent, and before the list brought it."""
        if self.text.sent_at is None:
            return False
        at = store.people.recorded_at(self.tx, "numbers", self.number.id, *what)
        return at is not None and at > self.text.sent_at


def _dead(tx: store.Transaction, readers: Sequence[ReaderOnNumber]) -> set[int]:
    """The patients among these readers who died: what is sealed is opened only where a plan ended."""
    ended = {reader.patient_id for reader in readers if reader.ended}
    return store.plans.who_died(tx, ended) if ended else set()


def _word(body: str) -> str:
    return re.sub(r"[^a-z]", "", body.casefold())


async def poll(context: AppContext, gateway: Gateway, now: datetime) -> list[Taken]:
    """List what was texted to each sender since the last listing and take in whatever is missing, oldest first.

    A webhook that found us down is not repeated; the message stands in Twilio's list. Raises Unreachable when Twilio
    cannot be asked: then the mark stays, and the next listing goes back as far. A text that cannot be taken in stops
    no other; it is tried again, and its task names it.
    """
    taken: list[Taken] = []
    each = OneByOne(context, "poll", now)
    for sender in context.database.read(store.replies.heard_until):
        mark = sender.heard_until
        since = now - LISTED_BACK
        if mark is not None:
            since = mark - (OVERLAP if mark.hour == now.hour else ONCE_AN_HOUR)
        messages = await gateway.inbound(to=sender.address, since=since)
        known = context.database.read(partial(store.replies.known_sids, sids=[one.sid for one in messages]))
        # Whichever came last of a STOP and a START holds, by one clock: ours may be minutes off Twilio's.
        times = {one.sid: one.sent_at for one in messages if one.sid in known and one.sent_at is not None}
        if wrong := {sid: at for sid, at in times.items() if known[sid] != at}:
            wished = context.database.read(partial(store.replies.wished, sids=wrong, meanings=_WISHES))
            for number_id in sorted(set(wished.values())):
                sent = {sid: wrong.pop(sid) for sid, of in wished.items() if of == number_id}
                each.do(
                    "wish of number", number_id, partial(_hear_in_order, context, number_id, sender.address, sent, now)
                )
            context.database.write(partial(store.replies.set_sent_at, sent=wrong), again=True)
        missing = [message for message in messages if message.sid not in known]
        heard = [
            each.do(
                "inbound text",
                message.sid,
                partial(take_in, context, message, now, heard_by="list"),
                site_id=sender.site_id,
            )
            for message in missing
        ]
        taken += [one for one in heard if one is not None]
        # What could not be taken in is listed again, for as long as Twilio's list is a help to anyone in it.
        left = [message.sent_at for message, one in zip(missing, heard, strict=True) if one is None and message.sent_at]
        until = min([now, *(at for at in left if now - at < LISTED_BACK)])
        context.database.write(partial(store.replies.set_heard_until, sender_id=sender.id, at=until), again=True)
    if fresh := sum(one.fresh for one in taken):
        log.warning("%d inbound texts came by the list, not by the webhook", fresh)
    try:
        each.finish()
    except Exception as error:
        raise NotAllTakenError(taken) from error
    return taken
