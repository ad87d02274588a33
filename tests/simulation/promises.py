"""What must be true after every step (docs/simulation.md INV1 to INV10, docs/design.md#the-promise), checked directly
in the database, on the pretend phones and in the log.
"""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any

from reminders import clock
from reminders.lifecycle import MOVES, WITHOUT_AN_ATTEMPT, State
from reminders.plans import to_wall
from reminders.service.office import audit

AFTER_STOP = {"crisis", "overdose", "help", "stop_confirm", "stop_asked", "wrong_number"}
AT_ANY_HOUR = {"answer"}
NIGHT = (time(20), time(9))
NIGHT_FOR_NEWS = (time(21), time(8))
SAID_BEFORE = {
    "stop",
    "stop_asked",
    "wrong_number",
    "start",
    "confirm",
    "yes",
    "reaction",
}  # then once is enough; or Twilio answered
_NO_WISH = {"stop", "stop_asked", "wrong_number", "start", "crisis", "overdose", "slip", "intent", "change"}
NO_PERSONS = {"REACTION": _NO_WISH, "AUTOMATIC": _NO_WISH | {"confirm", "yes"}}  # sort of text → what it never means
_NO = {"stop", "stop_asked"}
_OTHERS = {"start", "wrong_number"}
TRANSIENT = ("sending", "sent", "scheduled")
NEVER_SENT = ("expired", "cancelled", "suppressed")
BOUNDED = {"slip", "intent", "change", "change_which", "who", "stranger", "unknown"}  # with all others MOST_AN_HOUR
ONCE = {"crisis", "overdose", "help", "confirmed", "slip", "intent", "change", "change_which", "who", "stranger"}
MOST_AN_HOUR = 2
PAGED_WITHIN = timedelta(seconds=60)


class Broken(AssertionError):  # ruff: ignore[error-suffix-on-exception-name]  it says what happened
    """A broken promise: which one, and by what."""

    def __init__(self, promise: str, by: str) -> None:
        super().__init__(f"{promise}: {by}")
        self.promise = promise


@dataclass
class Said:
    """One text from a phone, from its sender's view."""

    sid: str
    phone: str
    body: str
    at: datetime
    sort: str
    until_listed: datetime
    is_acknowledged: bool = False


class Promises:
    """Watches one world."""

    def __init__(self, world: Any) -> None:
        self._world = world
        self._disk = world.disk
        self._moves = self._starts = 0
        self._messages = 0
        self._texts: set[int] = set()
        self._ref_of: dict[str, tuple[int, int]] = {}  # sid → (text, attempt)
        self._made: dict[int, list[str]] = defaultdict(list)  # text → messages made for it
        self._made_by: set[int] = set()  # the attempts for which Twilio made a message
        self.said: dict[str, Said] = {}
        self._meanings: dict[str, frozenset[str]] = {}  # sid → what we took it for
        self.confirmed: set[str] = set()  # plans whose acceptance was confirmed
        self.broken: Broken | None = None

    def _break(self, promise: str, by: str) -> None:
        self.broken = self.broken or Broken(promise, by)

    # While it runs

    def posting(self, form: dict[str, str], now: datetime) -> None:
        """Check a text that goes on the wire."""
        ref = form["StatusCallback"].partition("#")[0].rsplit("/", 1)[1]
        found = self._disk.look(
            "SELECT a.text_id, a.id, t.closes_at, t.leased_until FROM attempts a"
            " JOIN texts t ON t.id = a.text_id WHERE a.ref = ?",
            ref,
        )
        if not found:
            self._break("INV3 an attempt is on record before its call", "nothing is known of what goes on the wire")
            return
        text, attempt, closes_at, leased_until = found[0]
        if now >= self._disk.instant(closes_at):
            self._break("INV4 nothing goes after its window", f"{self.name(text)} was posted at {now:%H:%M:%S}")
        lease = self._disk.instant(leased_until)
        if lease is None or lease - now < timedelta(seconds=30):
            left = "nothing" if lease is None else lease - now
            self._break("K12 a lease outlives the deadline", f"{self.name(text)} was posted with {left} left")
        self._world.said(f"{self.name(text)} goes on the wire")
        self._ref_of[ref] = (text, attempt)

    def posted(self) -> None:
        """Check Twilio's answer to a create: it made the first message for its text, or the evidence is on record."""
        made = self._world.twilio.created()
        for message in made[self._messages :]:
            ref = message.callback_url.partition("#")[0].rsplit("/", 1)[1]
            if ref not in self._ref_of:  # that promise is broken already
                continue
            text, attempt = self._ref_of[ref]
            before = self._made[text]
            before.append(message.sid)
            self._made_by.add(attempt)
            self._world.counts["messages"] += 1
            self._world.said(f"Twilio made {self._world.name(message.sid)} for {self.name(text)}")
            if len(before) > 1:
                self._again(text, attempt)
        self._messages = len(made)

    def _again(self, text: int, attempt: int) -> None:
        """Check a second message for a text: every earlier attempt must have failed on record, or been absent twice.

        A message that Twilio has may be absent only if its list can hide a message longer than we wait.
        """
        rows = self._disk.look(
            "SELECT id, answer, looks, error_code, status FROM attempts WHERE text_id = ? AND id <> ? ORDER BY number",
            text,
            attempt,
        )
        self._world.counts["second messages"] += 1
        for before, answer, looks, code, status in rows:
            ended = status in {"undelivered", "failed"} and code
            absent = answer == "unknown" and looks >= 2 and (before not in self._made_by or self._world.may_hide)
            if not (answer == "refused" or ended or absent or self._is_twins(text)):
                self._break(
                    "INV3 requested again only on evidence",
                    f"{self.name(text)}: {answer}, {looks} looks, {status} {code}",
                )

    def _is_twins(self, text: int) -> bool:
        """Whether our message was taken for that of another text with the same words to the same number, without an
        answer.

        Two patients on one phone get two identical welcomes: the phone sees two, whichever is whose.
        """
        known = self._disk.look("SELECT sid FROM attempts WHERE text_id <> ? AND sid IS NOT NULL", text)
        return any(sid in self._made[text] for (sid,) in known)

    def _has_anothers(self, text: int) -> bool:
        """The other half of `_is_twins`: this text counts as delivered by the message made for its twin."""
        sids = {sid for (sid,) in self._disk.look("SELECT sid FROM attempts WHERE text_id = ?", text)}
        return any(sids & set(made) for other, made in self._made.items() if other != text)

    def acknowledged(self, sid: str) -> None:
        """Record that we acknowledged this inbound text to Twilio."""
        if sid in self.said:
            self.said[sid].is_acknowledged = True

    def name(self, text: int) -> str:
        """A text in words that do not depend on its row."""
        found = self._disk.look(
            "SELECT t.key, p.ref, r.key FROM texts t LEFT JOIN recipients r ON r.id = t.recipient_id"
            " LEFT JOIN patients p ON p.id = r.patient_id WHERE t.id = ?",
            text,
        )
        key, patient, reader = found[0]
        if key.startswith("answer:"):
            key = f"answer to {self._world.name(key.split(':')[1])}"
        return f"[{patient}{'' if reader in {None, 'self'} else f' {reader}'} {key}]"

    # After each step

    def check(self) -> None:
        """Raises Broken."""
        if self._world.loop.broken:
            error = self._world.loop.broken[0]
            raise Broken("nothing breaks", f"{type(error).__name__}: {error}") from error
        self._check_moves()
        self._check_starts()
        self._check_rows()
        self._check_replies()
        if self.broken is not None:
            raise self.broken

    def _check_moves(self) -> None:
        rows = self._disk.look(
            "SELECT seq, text_id, before, after, attempts FROM sim_moves WHERE seq > ? ORDER BY seq", self._moves
        )
        for seq, text, before, after, attempts in rows:
            self._moves = seq
            source, target = State(before), State(after)
            self._world.said(f"  {self.name(text)} {before} → {after}")
            fresh = (source, target) in WITHOUT_AN_ATTEMPT
            if (source, target) == (State.SCHEDULED, State.UNCERTAIN) and not attempts:
                self._break("INV2 only what was tried is uncertain", self.name(text))
            if not (target in MOVES[source] and not (fresh and attempts)) and not (fresh and not attempts):
                self._break("INV2 only legal moves", f"{self.name(text)} {before} → {after} after {attempts} attempts")

    def _check_starts(self) -> None:
        rows = self._disk.look(
            "SELECT s.seq, s.state, s.held, s.opted_out, s.bad, a.started_at, a.number, a.number_id, t.id, t.class,"
            " t.wording, t.opens_at, t.closes_at, r.zone FROM sim_starts s JOIN attempts a ON a.id = s.attempt_id"
            " JOIN texts t ON t.id = a.text_id LEFT JOIN recipients r ON r.id = t.recipient_id"
            " WHERE s.seq > ? ORDER BY s.seq",
            self._starts,
        )
        for (
            seq,
            state,
            held,
            opted_out,
            bad,
            started,
            number,
            to,
            text,
            class_,
            wording,
            opens,
            closes,
            zone,
        ) in rows:
            self._starts = seq
            self._world.counts["attempts"] += 1
            self._world.counts["resends"] += number > 1
            at = self._disk.instant(started)
            name = self.name(text)
            if state != "scheduled" or held is not None:
                self._break("INV2 only what waits is claimed", f"{name} was {state}, held: {held}")
            # A text that was due stays due, even if the clock goes back afterward.
            if not self._disk.instant(opens) - self._world.went_back <= at < self._disk.instant(closes):
                self._break("INV4 in its window", f"{name} began at {at:%m-%d %H:%M:%S}")
            if opted_out and not (class_ == "answer" and wording in AFTER_STOP):
                self._break(
                    "INV5 nothing after STOP", f"{name} ({class_} {wording}) began although the number had stopped"
                )
            if number > 1 and self._unknowns(text, number) > 1:
                self._break("INV3 one resend without an answer, ever", name)
            if bad and class_ != "answer":
                self._break("INV5 nothing to a bad number", f"{name} ({class_}) began")
            if class_ in AT_ANY_HOUR:
                continue
            wall = to_wall(at, zone).time()
            starts, ends = NIGHT_FOR_NEWS if class_ in {"notice", "staff"} else NIGHT
            if wall >= starts or wall < ends:
                self._break("INV4 not at night", f"{name} ({class_}) began at {wall:%H:%M:%S} {zone}")
            if class_ == "reminder":
                self._check_caps(text, to, at, zone)

    def _unknowns(self, text: int, number: int) -> int:
        """The number of earlier attempts without a known answer."""
        query = "SELECT COUNT(*) FROM attempts WHERE text_id = ? AND number < ? AND answer = 'unknown'"
        return self._disk.look(query, text, number)[0][0]

    def _check_caps(self, text: int, number: int, at: datetime, zone: str) -> None:
        """Check the caps of the number at that moment: earlier reminders count on the day of their last attempt."""
        rows = self._disk.look(
            "SELECT a.text_id, MAX(a.started_at) FROM attempts a JOIN texts t ON t.id = a.text_id"
            " WHERE a.number_id = ? AND a.text_id <> ? AND a.started_at < ? AND t.class = 'reminder'"
            " AND (a.answer IS NULL OR a.answer <> 'refused') GROUP BY a.text_id",
            number,
            text,
            self._disk.stored(at),
        )
        days = [to_wall(self._disk.instant(first), zone).date() for _, first in rows]
        today = to_wall(at, zone).date()
        per_day, per_week = self._world.settings.sending.per_day, self._world.settings.sending.per_week
        if days.count(today) >= per_day:
            self._break("INV4 above the cap of a day", f"{self.name(text)} beside {days.count(today)} others")
        if sum(today - timedelta(days=6) <= day <= today for day in days) >= per_week:
            self._break("INV4 above the cap of a week", self.name(text))

    def _check_rows(self) -> None:
        """Check that confirmed plans exist, each once (INV1), and that no accepted text is shown as not sent."""
        rows = {row[0]: row for row in self._disk.look("SELECT id, state, attempts, leased_until, held FROM texts")}
        if missing := self._texts - rows.keys():
            self._break("INV1 every text that was confirmed is one row for ever", f"{len(missing)} are gone")
        self._texts |= rows.keys()
        known = self._disk.look(
            "SELECT a.text_id, a.sid, a.status FROM attempts a JOIN texts t ON t.id = a.text_id WHERE a.sid IS NOT NULL"
            " AND a.number = t.attempts"
        )
        for text, _, status in known:
            state = rows[text][1]
            wrong = {"suppressed", "cancelled", "expired", "scheduled", "sending"}
            if state in wrong and status not in {"undelivered", "failed"}:
                self._break(
                    "what Twilio took is not shown as not sent", f"{self.name(text)} is {state}, Twilio said {status}"
                )
        silent = self._disk.look(
            "SELECT t.id FROM texts t JOIN attempts a ON a.text_id = t.id AND a.number = t.attempts"
            " WHERE t.state = 'sent' AND a.ask_at IS NULL"
        )
        if silent:
            self._break("INV6 whatever is sent is asked after", self.name(silent[0][0]))
        lost = self._disk.look(
            "SELECT t.id FROM texts t JOIN attempts a ON a.text_id = t.id AND a.number = t.attempts"
            " WHERE t.state = 'uncertain' AND a.look_at IS NULL AND a.looks < 2 AND NOT (coalesce(a.answer, 'unknown')"
            " <> 'unknown' AND EXISTS (SELECT 1 FROM attempts b WHERE b.text_id = t.id AND b.looks >= 2))"  # resent
        )
        if lost:
            self._break("INV6 whatever is unknown is looked up twice", self.name(lost[0][0]))

    def _check_replies(self) -> None:
        stored = dict(self._disk.look("SELECT sid, id FROM replies"))
        for said in self.said.values():
            if said.is_acknowledged and said.sid not in stored:
                self._break("each inbound text is stored", f"the {said.sort} of {said.at:%m-%d %H:%M} was acknowledged")
        if new := stored.keys() - self._meanings.keys():
            self._meanings |= {
                sid: frozenset(self._reading(reply, sealed)[1])
                for sid, reply, sealed in self._disk.look("SELECT sid, id, reading_sealed FROM replies")
                if sid in new
            }
        numbers = {
            self._world.phone_of(print_): (number, stopped, wrong)
            for print_, number, stopped, wrong in self._disk.look(
                "SELECT fingerprint, id, opted_out_at IS NOT NULL, wrong_since IS NOT NULL FROM numbers"
            )
        }
        for phone, texted in self._world.twilio.texted.items():
            heard = [one for one in texted if self._meanings.get(one.sid, frozenset()) & (_NO | _OTHERS)]
            if phone not in numbers or not heard:
                continue
            as_heard = sorted((stored[one.sid], place) for place, one in enumerate(heard))
            lag = timedelta(seconds=self._world.most_lag)
            is_told = self._world.polled_at >= heard[-1].at + lag
            # One webhook may overtake another. The list, read each minute, shows the true order.
            if is_told or [place for _, place in as_heard] == list(range(len(heard))):
                self._check_last_word([(one.at, self._meanings[one.sid]) for one in heard], numbers[phone])

    def _check_last_word(self, heard: list[tuple[datetime, frozenset[str]]], number: tuple) -> None:
        """Check that the last opt-out or START that we know from a phone decides, in the order of sending."""
        row, stopped, wrong = number
        noes = [at for at, meanings in heard if meanings & _NO]
        starts = [at for at, meanings in heard if "start" in meanings and not meanings & _NO]
        wrongs = [at for at, meanings in heard if "wrong_number" in meanings]
        if noes and noes[-1] > max(starts, default=noes[0] - timedelta(days=1)) and not stopped:
            self._break("INV5 a received STOP is obeyed", f"that of {noes[-1]:%m-%d %H:%M:%S}")
        # Twilio's times are whole seconds, and if our clock is ahead, an opt-out by webhook seems the later.
        opens = starts and not any(at >= starts[-1].replace(microsecond=0) for at in noes) and not self._world.may_hide
        if opens and stopped and not self._is_stopped_otherwise(row):
            self._break("a received START reopens", f"that of {starts[-1]:%m-%d %H:%M:%S}")
        undone = wrongs and not wrong and not self._was_put_on_record(row, "number is right after all")
        if undone and not self._has_died():  # what comes from their phone is the supervisor's
            self._break("INV5 a number reported as wrong stays so", f"that of {wrongs[-1]:%m-%d %H:%M:%S}")

    def _is_stopped_otherwise(self, number: int) -> bool:
        """Whether an opt-out for this number did not come by text, or its owner died."""
        refused = self._disk.look("SELECT 1 FROM attempts WHERE number_id = ? AND error_code = 21610 LIMIT 1", number)
        recorded = self._was_put_on_record(number, "opt-out recorded", "opt-out recorded again")
        return bool(refused) or recorded or self._has_died()

    def _has_died(self) -> bool:
        ended = self._disk.look("SELECT id, ended_because_sealed FROM plans WHERE status = 'ended'")
        return any(self._disk.opened("plans", "ended_because_sealed", *row).rstrip() == "died" for row in ended)

    def _reading(self, reply: int, sealed: bytes) -> list:
        """The meaning of a reply that was answered, all of them, and the rules that fired."""
        return json.loads(self._disk.opened("replies", "reading_sealed", reply, sealed))

    def _was_put_on_record(self, number: int, *what: str) -> bool:
        query = """SELECT what FROM audit WHERE "table" = 'numbers' AND row_id = ?"""
        return any(said in what for (said,) in self._disk.look(query, number))

    # While the service runs

    def check_running(self, since: datetime) -> None:
        """Check after the service ran from `since` until now, with all its jobs and a healthy database."""
        now = clock.now()
        late = self._disk.stored(now - timedelta(seconds=90))
        for name, query in (
            ("sending", "SELECT id FROM texts WHERE state = 'sending' AND leased_until < ?"),
            ("unknown", "SELECT text_id FROM attempts WHERE look_at < ?"),
            ("due to be asked after", "SELECT text_id FROM attempts WHERE ask_at < ?"),
            ("past its window", "SELECT id FROM texts WHERE state = 'scheduled' AND closes_at < ?"),
        ):
            if name == "due to be asked after":
                late = self._disk.stored(now - timedelta(minutes=11))
            if rows := self._disk.look(query, late):
                self._break("INV6 nothing is left lying", f"{self.name(rows[0][0])} is {name}")
        true_now = self._world.now
        for said in self.said.values():
            if said.sort != "CRISIS":
                continue
            heard_by = max(said.at if said.is_acknowledged else said.until_listed, since)
            could_be_heard = said.is_acknowledged or self._world.polled_at >= said.until_listed
            if could_be_heard and true_now - heard_by > PAGED_WITHIN:
                self._check_crisis(said, since)
        if self.broken is not None:
            raise self.broken

    def _check_crisis(self, said: Said, since: datetime) -> None:
        rows = self._disk.look(
            "SELECT e.task_id, t.kind FROM task_events e JOIN tasks t ON t.id = e.task_id"
            " JOIN replies r ON r.id = e.reply_id WHERE r.sid = ? AND t.kind IN ('crisis', 'supervisor')",
            said.sid,
        )
        when = f"{said.at:%m-%d %H:%M:%S}"
        if not rows:
            self._break("every crisis has a task within 60 s", f"that of {when} has none")
            return
        pages = self._disk.look("SELECT tries, dropped_at FROM pages WHERE task_id = ?", rows[0][0])
        if not any(tries or dropped for tries, dropped in pages):
            self._break("every crisis is paged within 60 s", f"that of {when}, {len(pages)} pages")
        if rows[0][1] == "crisis" and not self._answered_danger(said.sid, since):
            self._break("every crisis is answered within 60 s", f"that of {when}")

    def _answered_danger(self, sid: str, since: datetime) -> bool:
        """Whether an answer to danger was tried since that text, or in the six hours before it.

        One whose hours were over before the service ran, from `since` on, is of no use any more: its task says so.
        """
        rows = self._disk.look(
            "SELECT t.attempts, t.opens_at, t.closes_at, r.received_at"
            " FROM texts t JOIN replies r ON r.number_id = t.number_id"
            " WHERE r.sid = ? AND t.class = 'answer' AND t.wording IN ('crisis', 'overdose')",
            sid,
        )
        instant = self._disk.instant
        return any(
            (tries or instant(closes) < since + PAGED_WITHIN) and instant(heard) - instant(opens) < timedelta(hours=6)
            for tries, opens, closes, heard in rows
        )

    # At the end

    def check_end(self, healed_at: datetime, lies_ahead: set[int]) -> None:
        """Check two weeks after everything recovered at `healed_at`; `lies_ahead` were scheduled then."""
        self._check_ends(healed_at, lies_ahead)
        self.check_whole()

    def check_whole(self) -> None:
        """Check what must be true at any end, whatever is still to come."""
        self._check_all_replies()
        self._check_bounds()
        self._check_audit()
        if not self._disk.is_sound():
            self._break("INV9 the database is whole", "its own check says no")
        self._check_canary()
        if self.broken is not None:
            raise self.broken

    def _check_audit(self) -> None:
        """Chain new rows, and verify the whole chain."""
        context = self._world.desk.context
        audit.chain(context, clock.now())
        verdict = audit.verify(context)
        if verdict.problems:
            self._break("INV8 the audit's chain holds", verdict.problems[0])
        if verdict.rows == 0 or verdict.waiting:
            self._break("INV8 everything is in the chain", f"{verdict.rows} rows, {verdict.waiting} wait")

    def _check_ends(self, healed_at: datetime, lies_ahead: set[int]) -> None:
        counts = self._world.counts
        shown = Counter(one.sid for received in self._world.twilio.phones.values() for one in received)
        for text, state, class_, closes in self._disk.look("SELECT id, state, class, closes_at FROM texts"):
            counts[f"ended {state}"] += 1
            counts["texts"] += 1
            seen = sum(shown[sid] for sid in self._made[text])
            counts["seen twice"] += seen > 1
            name = f"{self.name(text)} ({class_}) is {state}"
            if state in TRANSIENT:
                self._break("at the end nothing is under way", name)
            if state == "delivered" and not seen and not self._has_anothers(text):
                self._break("what is shown as delivered arrived", name)
            if seen and state in NEVER_SENT and not self._was_undelivered(text):
                self._break("a text on a phone is not shown as never sent", name)
            is_of_visit = class_ in {
                "reminder",
                "notice",
            }  # of an answer no one need be told, but one in danger (oncall)
            is_unsure = state == "uncertain" and self._disk.instant(closes) > healed_at
            if is_unsure and is_of_visit and not self._is_told(text, closes):
                self._break("INV7 an uncertain text is a person's", name)
            if text in lies_ahead and state in {"expired", "undelivered"}:
                counts["lost"] += 1
                self._break("lost = 0: what lay ahead when all was well again arrived", name)
        for sid, times in shown.items():
            if times > 1:
                self._break("a phone shows a message once", self._world.name(sid))
        self._check_words()

    def _check_words(self) -> None:
        """Check that no reader gets the same news twice in a day. Reminders of two leads may be identical."""
        made = {sid: text for text, sids in self._made.items() for sid in sids}
        readers = dict(self._disk.look("SELECT id, recipient_id FROM texts WHERE class = 'notice'"))
        for received in self._world.twilio.phones.values():
            words: dict[tuple, int] = {}
            for one in received:
                text = made.get(one.sid)
                if text in readers:
                    day = (one.at - timedelta(hours=6)).date()
                    before = words.setdefault((readers[text], day, one.body), text)
                    if before != text:
                        self._break("no words twice in a day", f"{self.name(before)} and {self.name(text)}")

    def _is_told(self, text: int, closes: Any) -> bool:
        """Whether a person has a task for a text with an unknown outcome.

        None is needed if its visit has begun, or while the plan is paused.
        """
        look = self._disk.look
        ahead = look(
            "SELECT 1 FROM text_items i JOIN appointments p ON p.id = i.appointment_id"
            " JOIN series s ON s.id = p.series_id JOIN plans ON plans.id = s.plan_id"
            " WHERE i.text_id = ? AND p.starts_at > ? AND p.status = 'booked' AND plans.status = 'active'",
            text,
            closes,
        )
        if not ahead:
            return True
        of_visits = "SELECT 1 FROM tasks t JOIN text_items i ON i.appointment_id = t.appointment_id WHERE i.text_id = ?"
        queries = ("SELECT 1 FROM tasks WHERE text_id = ?", "SELECT 1 FROM task_events WHERE text_id = ?", of_visits)
        return any(look(query, text) for query in queries)

    def _was_undelivered(self, text: int) -> bool:
        rows = self._disk.look(
            "SELECT status FROM attempts WHERE text_id = ? AND status IN ('undelivered', 'failed')", text
        )
        return bool(rows)

    def _check_all_replies(self) -> None:
        stored = {row[0]: row for row in self._disk.look("SELECT sid, id, reading_sealed FROM replies")}
        answered = {row[0] for row in self._disk.look("SELECT reply_id FROM texts WHERE reply_id IS NOT NULL")}
        tasked = {row[0] for row in self._disk.look("SELECT reply_id FROM task_events WHERE reply_id IS NOT NULL")}
        alarming = "SELECT e.reply_id FROM task_events e JOIN tasks t ON t.id = e.task_id WHERE t.kind IN"
        alarmed = {
            row[0] for row in self._disk.look(f"{alarming} ('crisis', 'possible', 'slip', 'stop_asked', 'stop_early')")
        }
        for said in self.said.values():
            row = stored.get(said.sid)
            if row is None:
                self._break("each inbound text is stored", f"the {said.sort} of {said.at:%m-%d %H:%M}")
                continue
            _, reply, sealed = row
            meaning = self._reading(reply, sealed)[0]
            if said.sort in NO_PERSONS and (meaning in NO_PERSONS[said.sort] or reply in alarmed):
                self._break(
                    "a reaction or an automatic reply stops nothing and rings no one",
                    f"{said.sort} of {said.at:%m-%d %H:%M}: {meaning}",
                )
            quietly = meaning in SAID_BEFORE
            if reply not in answered and reply not in tasked and not quietly:
                self._break(
                    "each inbound text ends in an answer or a task", f"{said.sort} of {said.at:%m-%d %H:%M}: {meaning}"
                )

    def _check_bounds(self) -> None:
        """Check that a conversation is no loop: the number of our answers to one number, by the time we queued them
        (C-3).

        If the clock went back, that is not their real order.
        """
        if self._world.went_back:
            return
        by_number: dict[int, list[tuple]] = defaultdict(list)
        for number, wording, reply, opens, state, attempts in self._disk.look(
            "SELECT number_id, wording, reply_id, opens_at, state, attempts FROM texts WHERE class = 'answer'"
            " ORDER BY opens_at, id"
        ):
            if attempts:
                by_number[number].append((self._disk.instant(opens), wording, reply, state))
        for answers in by_number.values():
            for place, (at, wording, reply, _) in enumerate(answers):
                before = [one for one in answers[:place] if one[2] != reply]
                within = {one[2] for one in before if one[0] > at - timedelta(hours=1)}
                if wording in BOUNDED and len(within) >= MOST_AN_HOUR:
                    self._break("answers are bounded", f"{wording} of {at:%m-%d %H:%M:%S} beside {len(within)} others")
                again = [one for one in before if one[1] == wording and one[0] > at - timedelta(hours=6)]
                if wording in ONCE and any(one[3] != "undelivered" for one in again):
                    self._break("answers are bounded", f"{wording} again at {at:%m-%d %H:%M:%S}")

    def _check_canary(self) -> None:
        stored = self._disk.everything()
        logged = "\n".join(self._world.log.lines)
        searched = ((stored, str.encode, "the database"), (logged, str, "the log"))
        for begins, secrets in groupby(sorted(set(self._world.secrets())), key=itemgetter(slice(8))):
            alike = list(secrets)
            for where, written, name in searched:
                if written(begins) not in where:
                    continue  # a clinic has hundreds of numbers, and few of them begin otherwise
                for secret in alike:
                    if written(secret) in where:
                        self._break("INV10 no personal data in the clear", f"{secret!r} stands in {name}")
