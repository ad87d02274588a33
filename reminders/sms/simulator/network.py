"""The pretend phone network: messages, pretend phones, opt-outs and the webhooks they cause.

Sockets, clocks and chance stay outside: every verb takes `now` (an aware instant) and all chance comes from one seed,
so that the same calls give the same network, byte for byte.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any, Literal
from xml.etree import ElementTree as ET  # ruff: ignore[suspicious-xml-etree-import] only our own TwiML is read

from reminders.sms.simulator.rules import Ending, Rule
from reminders.sms.simulator.webhooks import Callback, Outcome, signed
from reminders.wording.segments import segments

# Twilio's own opt-out words on long codes (twilio.md §5): the whole message, any case. YES opens no toll-free number.
STOP_WORDS = frozenset({"STOP", "UNSUBSCRIBE", "END", "QUIT", "STOPALL", "REVOKE", "OPTOUT", "CANCEL"})
START_WORDS = frozenset({"START", "YES", "UNSTOP"})
HELP_WORDS = frozenset({"HELP", "INFO"})
TOLL_FREE = ("+1800", "+1833", "+1844", "+1855", "+1866", "+1877", "+1888")

Status = Literal[
    "accepted", "scheduled", "queued", "sent", "delivered", "undelivered", "failed", "canceled", "received"
]
UNSENT = frozenset({"accepted", "scheduled", "queued"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """What the pretend Twilio is like. Durations are seconds; chances are from 0 to 1.

    `senders` are the numbers that are ours and `services` our Messaging Services, None: any well-formed one;
    `service_senders` the numbers a service picks from. `trial_verified`: None, or the only numbers a trial account may
    text.
    """

    account_sid: str = "AC" + "0" * 32
    auth_token: str = "simulator"  # ruff: ignore[hardcoded-password-string] known to everybody, of use to nobody
    api_key: str | None = None
    api_secret: str | None = None
    inbound_url: str | None = None
    senders: frozenset[str] | None = frozenset({"+15005550006"})
    services: frozenset[str] | None = None
    service_senders: tuple[str, ...] = ("+15005550006",)
    trial_verified: frozenset[str] | None = None
    advanced_opt_out: bool = False
    max_concurrent: int = 100
    queued_after: float = 0.05
    sent_after: float = 0.2
    delivered_after: float = 0.6
    list_lag: float = 0.0
    callback_pause: float = 0.2
    surprise_parameter: float = 0.1
    done_date_missing: float = 0.1
    done_date_elsewhere: float = 0.1


@dataclass(slots=True, kw_only=True)
class Message:
    """One message, made through the API or sent by a pretend phone. `number` counts them in order of creation."""

    number: int
    sid: str
    direction: Literal["inbound", "outbound-api", "outbound-reply"]
    to: str
    sender: str | None
    service: str | None
    body: str
    created_at: datetime
    updated_at: datetime
    status: Status
    segments: int
    media: int = 0
    sent_at: datetime | None = None
    error_code: int | None = None
    callback_url: str | None = None
    send_at: datetime | None = None
    queued_at: datetime | None = None
    valid_for: float = 36_000.0
    rule: Rule | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One text as it stands on a pretend phone."""

    sid: str
    sender: str
    body: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Texted:
    """One text a pretend phone sent, and what Twilio itself answered."""

    sid: str
    to: str
    body: str
    at: datetime
    answer: str | None


@dataclass(slots=True)
class JournalEntry:
    """One try of a webhook call; `outcome` is None while it is under way."""

    callback: Callback
    outcome: Outcome | None = None
    answered_at: datetime | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class _Step:
    message: Message
    status: Status
    error_code: int | None = None


class PhoneNetwork:
    """Everything a pretend Twilio knows and does, but for HTTP."""

    def __init__(self, settings: SimulatorSettings, *, seed: int) -> None:
        self.settings = settings
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Forget every message, phone, opt-out, rule and callback, and start chance again from the seed."""
        self.rules: list[Rule] = []
        self.counters: Counter[str] = Counter()
        self.journal: list[JournalEntry] = []
        self.phones: defaultdict[str, list[Received]] = defaultdict(list)
        self.texted: defaultdict[str, list[Texted]] = defaultdict(list)
        self.opted_out: set[tuple[str, str]] = set()
        self.refusing_until: datetime | None = None
        self._random = Random(self._seed)
        self._messages: list[Message] = []
        self._by_sid: dict[str, Message] = {}
        self._by_to: defaultdict[str, list[Message]] = defaultdict(list)
        self._sticky: dict[tuple[str, str], str] = {}
        self._under_way: dict[str, JournalEntry] = {}
        self._agenda: list[tuple[datetime, int, _Step | Callback]] = []
        self._order = count()
        self._ready: list[Callback] = []

    # What a test or a person sets and sees

    def add_rule(self, rule: Rule, now: datetime) -> None:
        """Let a rule hold from `now`; `refuse_connection` shows as `refusing_until`, for whoever holds the socket."""
        if rule.fault == "refuse_connection":
            self.refusing_until = now + timedelta(seconds=5.0 if rule.seconds is None else rule.seconds)
            self.counters["fault refuse_connection"] += 1
        else:
            self.rules.append(rule)

    def clear_rules(self) -> None:
        """Let no rule hold any more."""
        self.rules.clear()
        self.refusing_until = None

    def change(self, **settings: Any) -> None:
        """Change settings from here on, by name."""
        self.settings = replace(self.settings, **settings)

    def created(self) -> list[Message]:
        """Every message made through the API, oldest first, whatever became of it; deleted ones too."""
        return [message for message in self._messages if message.direction == "outbound-api"]

    def text_from(self, phone: str, to: str, body: str, now: datetime) -> Message:
        """A pretend phone texts one of our senders: opt-out words take effect, and the inbound webhook is due at once.

        Twilio answers STOP, START and HELP itself; the webhook comes all the same (twilio.md §5).
        """
        self.advance(now)
        services = sorted(
            service for (service, known), sender in self._sticky.items() if (known, sender) == (phone, to)
        )
        service = services[0] if services else None
        message = self._add(
            direction="inbound", to=to, sender=phone, service=service, body=body, status="received", now=now
        )
        message.sent_at = now
        word = body.strip().upper()
        scopes = {(phone, scope) for scope in (to, *services)}
        opt_out_type, answer = None, None
        if word in STOP_WORDS:
            opt_out_type = "STOP"
            if not scopes <= self.opted_out:
                answer = (
                    "You have opted out and will get no more texts from this number. Reply START to get them again."
                )
            self.opted_out |= scopes
        elif word in START_WORDS and not (word == "YES" and to.startswith(TOLL_FREE)):
            opt_out_type = "START"
            if scopes & self.opted_out:
                answer = "You will get texts from this number again. Reply STOP to opt out."
            self.opted_out -= scopes
        elif word in HELP_WORDS:
            opt_out_type = "HELP"
            # A toll-free number that is opted out gets no HELP answer (twilio.md §5).
            if not (to.startswith(TOLL_FREE) and scopes & self.opted_out):
                answer = "Reply STOP to opt out."
        if answer is not None:
            reply = self._add(
                direction="outbound-reply",
                to=phone,
                sender=to,
                service=service,
                body=answer,
                status="delivered",
                now=now,
            )
            reply.sent_at = now
        self.texted[phone].append(Texted(message.sid, to, body, now, answer))
        self.counters["inbound"] += 1
        if self.settings.inbound_url is not None:
            self._call(
                "inbound",
                self.settings.inbound_url,
                message,
                self._inbound_form(message, opt_out_type),
                now,
            )
        return message

    # Time

    def advance(self, now: datetime) -> None:
        """Let everything happen that is due by `now`, in its order and at its own instant."""
        while self._agenda and self._agenda[0][0] <= now:
            at, _, what = heapq.heappop(self._agenda)
            if isinstance(what, Callback):
                self._ready.append(what)
            else:
                self._take(what, at)

    def due(self, now: datetime) -> list[Callback]:
        """The webhook calls to make now, in order, each handed out once. Report each with `called`."""
        self.advance(now)
        ready = [replace(call, first_at=now) if call.attempt == 0 else call for call in self._ready]
        self._ready.clear()
        for call in ready:
            self.counters["callback tries"] += 1
            entry = JournalEntry(call)
            self.journal.append(entry)
            self._under_way[call.token] = entry
        return ready

    def called(self, callback: Callback, outcome: Outcome, now: datetime, answer: bytes = b"") -> None:
        """What became of a call `due` gave: done with, tried again later as its policy says, or lost.

        The TwiML `answer` to an inbound text may hold <Message> verbs: each is a text back to that phone. Other verbs
        do nothing; what is no XML is counted (error 12100 at Twilio).
        """
        entry = self._under_way.pop(callback.token, None)
        if entry is None:
            return  # from before a reset
        entry.outcome, entry.answered_at = outcome, now
        if isinstance(outcome, int) and outcome < 400:
            self.counters["callbacks answered"] += 1
            if callback.kind == "inbound" and answer:
                self._reply(self._by_sid[callback.sid], answer, now)
        elif (again := callback.again(outcome, now, self.settings.callback_pause)) is not None:
            self._push(again.at, again)
        else:
            entry.lost = True
            self.counters["callbacks lost"] += 1

    def next_due_at(self) -> datetime | None:
        """When `due` should be asked next; None while nothing lies ahead."""
        if self._ready:
            return self._ready[0].at
        return self._agenda[0][0] if self._agenda else None

    # For the REST API

    def create(
        self,
        *,
        to: str,
        sender: str | None,
        service: str | None,
        body: str,
        now: datetime,
        media: int = 0,
        callback_url: str | None = None,
        send_at: datetime | None = None,
        valid_for: float = 36_000.0,
    ) -> Message:
        """A new message: `queued` from a sender, `accepted` or `scheduled` from a service. Validates nothing."""
        status: Status = "queued" if service is None else "accepted" if send_at is None else "scheduled"
        message = self._add(
            direction="outbound-api", to=to, sender=sender, service=service, body=body, status=status, now=now
        )
        message.media, message.callback_url, message.send_at, message.valid_for = (
            media,
            callback_url,
            send_at,
            valid_for,
        )
        message.rule = self._rule_for(to)
        if message.rule is not None:
            message.rule.use()
        self.counters["created"] += 1
        if service is None:
            self._count_segments(message)
            self._queue(message, now)
        else:
            at = send_at or now + timedelta(seconds=self.settings.queued_after)
            self._push(at, _Step(message, "queued"))
        return message

    def cancel(self, message: Message, now: datetime) -> None:
        """Take back a scheduled message."""
        self._take(_Step(message, "canceled"), now)

    def find(self, sid: str) -> Message | None:
        """The message of that sid; None when there is none or it was deleted."""
        message = self._by_sid.get(sid)
        return None if message is None or message.deleted else message

    def newest_first(self, now: datetime, *, to: str | None = None, below: int | None = None) -> Iterator[Message]:
        """Messages the list shows at `now`, newest first, of those to a number and older than the `below`-th."""
        listed = self._messages if to is None else self._by_to.get(to, [])
        shown_until = now - timedelta(seconds=self.settings.list_lag)
        for message in reversed(listed):
            if (below is None or message.number < below) and not message.deleted and message.created_at <= shown_until:
                yield message

    def number_of(self, sid: str) -> int | None:
        """The place of a message in the order of creation, deleted or not."""
        message = self._by_sid.get(sid)
        return None if message is None else message.number

    # The life of a message

    def _add(
        self,
        *,
        direction: Literal["inbound", "outbound-api", "outbound-reply"],
        to: str,
        sender: str | None,
        service: str | None,
        body: str,
        status: Status,
        now: datetime,
    ) -> Message:
        message = Message(
            number=len(self._messages),
            sid=self._sid("SM"),
            direction=direction,
            to=to,
            sender=sender,
            service=service,
            body=body,
            created_at=now,
            updated_at=now,
            status=status,
            segments=0 if direction == "outbound-api" else segments(body).count,
        )
        self._messages.append(message)
        self._by_sid[message.sid] = message
        self._by_to[to].append(message)
        return message

    def _rule_for(self, to: str) -> Rule | None:
        """The newest rule about texts to this number that holds this time."""
        for rule in reversed(self.rules):
            if rule.outcome is not None and rule.matches(to) and self._happens(rule.probability):
                return rule
        return None

    def _count_segments(self, message: Message) -> None:
        message.segments = segments(message.body).count if message.body else 1

    def _queue(self, message: Message, at: datetime) -> None:
        """Plan what follows: the outcome was settled when the message was made."""
        message.queued_at = at
        rule = message.rule or Rule(outcome="delivered")
        outcome: Ending = rule.outcome or "delivered"
        final_after = self.settings.delivered_after if rule.after is None else rule.after
        sent_after = min(self.settings.sent_after, final_after)
        if sent_after > message.valid_for:
            self._push(at + timedelta(seconds=message.valid_for), _Step(message, "failed", 30036))
            return
        if outcome == "failed":
            failed_after = sent_after if rule.after is None else rule.after
            self._push(at + timedelta(seconds=failed_after), _Step(message, "failed", rule.error_code or 30500))
            return
        self._push(at + timedelta(seconds=sent_after), _Step(message, "sent"))
        if outcome == "undelivered":
            self._push(at + timedelta(seconds=final_after), _Step(message, "undelivered", rule.error_code or 30008))
        elif outcome == "delivered":
            self._push(at + timedelta(seconds=final_after), _Step(message, "delivered"))

    def _take(self, step: _Step, at: datetime) -> None:
        message = step.message
        if message.status == "canceled":
            return
        message.status, message.error_code, message.updated_at = step.status, step.error_code, at
        self.counters[step.status] += 1
        if step.status == "queued":
            message.sender = message.sender or self._pick_sender(message)
            self._count_segments(message)
            self._queue(message, at)
        elif step.status == "sent":
            message.sent_at = at
            if message.rule is None or message.rule.outcome != "undelivered":
                self.phones[message.to].append(Received(message.sid, message.sender or "", message.body, at))
        if message.callback_url is not None and not message.deleted:
            self._call("status", message.callback_url, message, self._status_form(message, at), at)

    def _reply(self, inbound: Message, twiml: bytes, now: datetime) -> None:
        try:
            # ruff: ignore[suspicious-xml-element-tree-usage] it comes from our own web process, over loopback
            response = ET.fromstring(twiml)
        except ET.ParseError:
            self.counters["twiml unreadable"] += 1
            return
        phone = inbound.sender or ""
        for verb in response.findall("Message"):
            body = (verb.findtext("Body") or verb.text or "").strip()
            if not body or (phone, inbound.to) in self.opted_out:
                continue
            message = self._add(
                direction="outbound-reply",
                to=phone,
                sender=inbound.to,
                service=inbound.service,
                body=body,
                status="queued",
                now=now,
            )
            message.rule = self._rule_for(phone)
            if message.rule is not None:
                message.rule.use()
            self._queue(message, now)

    def _pick_sender(self, message: Message) -> str:
        """A service keeps to the sender a phone knows."""
        key = (message.service or "", message.to)
        if key not in self._sticky:
            self._sticky[key] = self._random.choice(self.settings.service_senders)
        return self._sticky[key]

    # Webhooks

    def _status_form(self, message: Message, at: datetime) -> list[tuple[str, str]]:
        form = [
            ("AccountSid", self.settings.account_sid),
            ("ApiVersion", "2010-04-01"),
            ("MessageSid", message.sid),
            ("MessageStatus", message.status),
            ("SmsSid", message.sid),
            ("SmsStatus", message.status),
            ("To", message.to),
        ]
        if message.sender is not None:
            form.append(("From", message.sender))
        if message.service is not None:
            form.append(("MessagingServiceSid", message.service))
        if message.error_code is not None:
            form.append(("ErrorCode", str(message.error_code)))
        if message.status in {"delivered", "undelivered"} and not self._happens(self.settings.done_date_missing):
            hours = self._random.randint(-12, 12) if self._happens(self.settings.done_date_elsewhere) else 0
            form.append(("RawDlrDoneDate", f"{at.astimezone(UTC) + timedelta(hours=hours):%y%m%d%H%M}"))
        return form

    def _inbound_form(self, message: Message, opt_out_type: str | None) -> list[tuple[str, str]]:
        form = [
            ("AccountSid", self.settings.account_sid),
            ("ApiVersion", "2010-04-01"),
            ("MessageSid", message.sid),
            ("SmsSid", message.sid),
            ("SmsMessageSid", message.sid),
            ("SmsStatus", "received"),
            ("From", message.sender or ""),
            ("To", message.to),
            ("Body", message.body),
            ("NumMedia", "0"),
            ("NumSegments", str(message.segments)),
            *((f"{end}{part}", "") for end in ("From", "To") for part in ("City", "State", "Zip", "Country")),
        ]
        if message.service is not None:
            form.append(("MessagingServiceSid", message.service))
        if opt_out_type is not None and self.settings.advanced_opt_out:
            form.append(("OptOutType", opt_out_type))
        return form

    def _call(
        self,
        kind: Literal["status", "inbound"],
        url: str,
        message: Message,
        form: list[tuple[str, str]],
        at: datetime,
    ) -> None:
        if self._happens(self.settings.surprise_parameter):
            # Twilio adds parameters without notice; a receiver must validate over all and ignore the unknown ones.
            form.append((f"X{self._random.randrange(1000)}", "new"))
        call = signed(
            kind,
            url,
            form,
            sid=message.sid,
            status=message.status,
            auth_token=self.settings.auth_token,
            token=f"{self._random.getrandbits(128):032x}",
            at=at,
        )
        self._push(at, call)

    def _push(self, at: datetime, what: _Step | Callback) -> None:
        heapq.heappush(self._agenda, (at, next(self._order), what))

    def _happens(self, probability: float) -> bool:
        return probability >= 1 or (probability > 0 and self._random.random() < probability)

    def _sid(self, prefix: str) -> str:
        return f"{prefix}{self._random.getrandbits(128):032x}"
