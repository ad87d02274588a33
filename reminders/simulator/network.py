"""The pretend phone network: messages, pretend phones, opt-outs and the queues of senders.

Sockets and clocks stay outside: every method takes `now` (an aware instant), and all chance comes from one seed, so the
same calls give the same network, byte for byte.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from xml.etree import ElementTree as ET  # ruff: ignore[suspicious-xml-etree-import] only our own TwiML is read

from reminders.simulator.lookup import PhoneFacts
from reminders.simulator.rules import Ending, Rule
from reminders.simulator.settings import HELP_WORDS, START_WORDS, STOP_WORDS, drawn
from reminders.simulator.timeline import Timeline
from reminders.simulator.webhooks import Callback, Outcome
from reminders.wording.segments import segments

TOLL_FREE = ("+1800", "+1833", "+1844", "+1855", "+1866", "+1877", "+1888")

Status = Literal[
    "accepted", "scheduled", "queued", "sending", "sent", "delivered", "undelivered", "failed", "canceled", "received"
]
UNSENT = frozenset({"accepted", "scheduled", "queued", "sending"})


@dataclass(slots=True, kw_only=True)
class Message:
    """One message, made through the API or sent by a pretend phone. `number` counts them in order of creation.

    `listed_at` is when lists show it; `hurried` means that it is sent the moment it is made; `arrives` means that its
    phone gets it when it is handed over.
    """

    number: int
    sid: str
    direction: Literal["inbound", "outbound-api", "outbound-reply"]
    to: str
    sender: str | None
    service: str | None
    body: str
    created_at: datetime
    updated_at: datetime
    listed_at: datetime
    status: Status
    segments: int
    media: int = 0
    sent_at: datetime | None = None
    error_code: int | None = None
    callback_url: str | None = None
    send_at: datetime | None = None
    valid_for: float = 36_000.0
    rule: Rule | None = None
    hurried: bool = False
    arrives: bool = False
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """One text on a pretend phone."""

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


@dataclass(frozen=True, slots=True)
class Shown:
    """One text on a pretend phone's screen, sent or received, and who wrote it.

    `phone`: its owner; `us`: our program, through the API; `twiml`: the answer of a webhook or the fallback; `twilio`:
    Twilio itself, in answer to one of its keywords.
    """

    by: Literal["phone", "us", "twiml", "twilio"]
    sid: str
    sender: str
    to: str
    body: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Page:
    """One page to the pretend pager, and the HTTP status of its answer."""

    message: object
    at: datetime
    status: int


@dataclass(frozen=True, slots=True)
class _Step:
    message: Message
    status: Status
    error_code: int | None = None
    last: bool = True


class PhoneNetwork(Timeline):
    """Everything a pretend Twilio knows and does, except HTTP."""

    def reset(self) -> None:
        """Forget every message, phone, opt-out, rule, callback and page, and restart chance from the seed."""
        super().reset()
        self.phones: defaultdict[str, list[Received]] = defaultdict(list)
        self.texted: defaultdict[str, list[Texted]] = defaultdict(list)
        self.screens: defaultdict[str, list[Shown]] = defaultdict(list)
        self.pages: list[Page] = []
        self.facts: dict[str, PhoneFacts] = {}
        self.opted_out: set[tuple[str, str]] = set()
        self._messages: list[Message] = []
        self._by_sid: dict[str, Message] = {}
        self._by_to: defaultdict[str, list[Message]] = defaultdict(list)
        self._sticky: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._free_at: dict[str, datetime] = {}

    # What a test or a person sets and sees

    def created(self) -> list[Message]:
        """Every message made through the API, oldest first, in any state and deleted ones too."""
        return [message for message in self._messages if message.direction == "outbound-api"]

    def text_from(self, phone: str, to: str, body: str, now: datetime, *, media: int = 0) -> Message:
        """Text one of our senders from a pretend phone, with `media` pictures; the inbound webhook is due at once.

        Opt-out words take effect first. Twilio answers STOP, START and HELP itself, which the phone shows, and still
        calls the webhook (docs/twilio.md 5).
        """
        self.advance(now)
        services = self._services_of(phone, to)
        service = services[0] if services else None
        message = self._add(
            direction="inbound",
            to=to,
            sender=phone,
            service=service,
            body=body,
            status="received",
            now=now,
            media=media,
        )
        message.sent_at = now
        self.screens[phone].append(Shown("phone", message.sid, phone, to, body, now))
        opt_out_type, answer = self._heed(phone, to, services, body)
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
            self.screens[phone].append(Shown("twilio", reply.sid, to, phone, answer, now))
        self.texted[phone].append(Texted(message.sid, to, body, now, answer))
        self.counters["inbound"] += 1
        if self.settings.inbound_url is not None:
            self._call(
                "inbound",
                self.settings.inbound_url,
                sid=message.sid,
                status="received",
                phone=phone,
                form=self._inbound_form(message, opt_out_type),
                at=now,
                last=True,
            )
        return message

    def _heed(self, phone: str, to: str, services: Sequence[str], body: str) -> tuple[str | None, str | None]:
        """Apply an opt-out word; return the OptOutType, and Twilio's own answer if there is one.

        A word to one number of a Messaging Service applies to the whole service. A toll-free number keeps Twilio's own
        words despite Advanced Opt-Out, does not reopen on YES, and does not answer HELP after an opt-out.
        """
        settings, toll_free = self.settings, to.startswith(TOLL_FREE)
        if toll_free:
            stop, start, help_ = STOP_WORDS, START_WORDS - {"YES"}, HELP_WORDS
        elif settings.advanced_opt_out:
            stop, start, help_ = settings.stop_words, settings.start_words, settings.help_words
        elif settings.default_opt_out:
            stop, start, help_ = STOP_WORDS, START_WORDS, HELP_WORDS
        else:
            return None, None
        scopes = {(phone, scope) for scope in (to, *services)}
        word = body.strip().upper()

        def said(kind: str, usually: str) -> str | None:
            if not settings.advanced_opt_out or (toll_free and kind != "HELP"):
                return usually
            return settings.answers.get(word, settings.answers.get(kind, usually)) or None

        if word in stop:
            new = not scopes <= self.opted_out
            self.opted_out |= scopes
            usually = "You have opted out and will get no more texts from this number. Reply START to get them again."
            return "STOP", said("STOP", usually) if new else None
        if word in start:
            if services:
                scopes |= {(phone, sender) for sender in settings.service_senders if not sender.startswith(TOLL_FREE)}
            shut = scopes & self.opted_out
            self.opted_out -= scopes
            usually = "You will get texts from this number again. Reply STOP to opt out."
            return "START", said("START", usually) if shut else None
        if word in help_:
            return "HELP", None if toll_free and scopes & self.opted_out else said("HELP", "Reply STOP to opt out.")
        return None, None

    def _services_of(self, phone: str, number: str) -> list[str]:
        """The Messaging Services that know this phone and send from this number.

        If our only service is named, its numbers belong to it, whichever phone texts them.
        """
        known, services = self._sticky.get(phone, {}), self.settings.services or ()
        pooled = number in self.settings.service_senders
        ours = {service for service, sender in known.items() if pooled or sender == number}
        return sorted(ours.union(services) if pooled and len(services) == 1 else ours)

    def has_opted_out(self, phone: str, sender: str | None, service: str | None) -> bool:
        """Whether a text to that phone is refused: its number, its service, or the service its number belongs to."""
        if not self.opted_out:
            return False
        scopes = [scope for scope in (sender, service) if scope is not None]
        scopes += self._services_of(phone, sender) if sender is not None else ()
        return any((phone, scope) in self.opted_out for scope in scopes)

    def page(self, message: object, now: datetime) -> int:
        """Keep a page to the pretend pager, and return the HTTP status of its answer."""
        rule = self._holding((rule for rule in self.rules if rule.fault == "refuse_page"), None, now).get("page")
        if rule is not None:
            self._use(rule)
        page = Page(message, now, 200 if rule is None else rule.status)
        self.pages.append(page)
        self.counters["pages"] += 1
        return page.status

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
        hurried: bool = False,
    ) -> Message:
        """A new message: `queued` from a sender, `accepted` or `scheduled` from a service. It validates nothing.

        A `hurried` message waits only for its `send_at`.
        """
        status: Status = "queued" if service is None else "accepted" if send_at is None else "scheduled"
        message = self._add(
            direction="outbound-api",
            to=to,
            sender=sender,
            service=service,
            body=body,
            status=status,
            now=now,
            media=media,
        )
        message.callback_url, message.send_at, message.valid_for = callback_url, send_at, valid_for
        message.hurried = hurried
        message.rule = self._rule_for(to, now)
        self.counters["created"] += 1
        if service is None:
            self._count_segments(message)
            self._queue(message, now)
        else:
            wait = 0.0 if hurried else drawn(self.settings.queued_after, self._random)
            self._push(send_at or now + timedelta(seconds=wait), _Step(message, "queued", last=False))
        return message

    def queue_is_full(self, sender: str, now: datetime) -> bool:
        """Whether that sender's queue is full (error 21611, or 30001 for a Messaging Service)."""
        free_at = self._free_at.get(sender)
        return free_at is not None and (free_at - now).total_seconds() > self.settings.longest_queue

    def cancel(self, message: Message, now: datetime) -> None:
        """Cancel a scheduled message."""
        self._happen(_Step(message, "canceled"), now)

    def find(self, sid: str) -> Message | None:
        """The message with that sid; None if there is none or it was deleted."""
        message = self._by_sid.get(sid)
        return None if message is None or message.deleted else message

    def newest_first(self, now: datetime, *, to: str | None = None, below: int | None = None) -> Iterator[Message]:
        """Messages in the list at `now`, newest first, filtered by number and older than the `below`-th."""
        listed = self._messages if to is None else self._by_to.get(to, [])
        for message in reversed(listed):
            if (below is None or message.number < below) and not message.deleted and message.listed_at <= now:
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
        media: int = 0,
    ) -> Message:
        message = Message(
            number=len(self._messages),
            sid=self._sid("MM" if media else "SM"),
            direction=direction,
            to=to,
            sender=sender,
            service=service,
            body=body,
            created_at=now,
            updated_at=now,
            listed_at=now + timedelta(seconds=drawn(self.settings.list_lag, self._random)),
            status=status,
            segments=0 if direction == "outbound-api" else segments(body).count,
            media=media,
        )
        self._messages.append(message)
        self._by_sid[message.sid] = message
        self._by_to[to].append(message)
        return message

    def _rule_for(self, to: str, now: datetime) -> Rule | None:
        """The rule that decides the outcome of a text to this number; the text uses it once."""
        if not self.rules:
            return None
        rule = self._holding((rule for rule in self.rules if rule.outcome is not None), to, now).get("outcome")
        if rule is not None:
            rule.use()
        return rule

    def _count_segments(self, message: Message) -> None:
        message.segments = segments(message.body).count if message.body else 1

    def _queue(self, message: Message, at: datetime) -> None:
        """Put a message into its sender's queue and schedule its outcome, which was decided when it was made."""
        sender, settings = message.sender or "", self.settings
        if message.service is not None and self.queue_is_full(sender, at):
            self._push(at, _Step(message, "failed", 30001))
            return
        turn_at = at if message.hurried else max(at, self._free_at.get(sender, at))
        sent_after = 0.0 if message.hurried else drawn(settings.sent_after, self._random)
        rule = message.rule or self._ordinary(message.to)
        outcome: Ending = rule.outcome or "delivered"
        if rule.after is not None and outcome != "silent":
            sent_after = rule.after if outcome == "failed" else min(sent_after, rule.after)
        sent_at = turn_at + timedelta(seconds=sent_after)
        if sent_at > at + timedelta(seconds=message.valid_for):
            self._push(at + timedelta(seconds=message.valid_for), _Step(message, "failed", 30036))
            return  # and it delays no message behind it
        pace = settings.sender_paces.get(sender, settings.segments_per_second)
        if pace > 0:
            self._free_at[sender] = turn_at + timedelta(seconds=message.segments / pace)
        if settings.sending_for:
            shown = timedelta(seconds=drawn(settings.sending_for, self._random))
            self._push(max(turn_at, sent_at - shown), _Step(message, "sending", last=False))
        delivered_or_silent = outcome in {"delivered", "silent"} or rule.then == "delivered"
        message.arrives = delivered_or_silent if rule.reaches is None else rule.reaches
        if outcome == "failed":
            self._end(rule, _Step(message, "failed", rule.error_code or 30500, last=rule.then is None), sent_at)
            return
        self._push(sent_at, _Step(message, "sent", last=outcome == "silent"))
        if outcome == "silent":
            return
        final_at = turn_at + timedelta(seconds=rule.after or 0.0)
        if rule.after is None:
            final_at = sent_at + timedelta(seconds=drawn(settings.delivered_after, self._random))
        code = (rule.error_code or 30008) if outcome == "undelivered" else None
        self._end(rule, _Step(message, outcome, code, last=rule.then is None), final_at)

    def _end(self, rule: Rule, end: _Step, at: datetime) -> None:
        """Set the final status, and the one that contradicts it."""
        self._push(at, end)
        if rule.then is not None and rule.then != "silent":
            code = (rule.error_code or 30008) if rule.then != "delivered" else None
            self._push(at + timedelta(seconds=rule.then_after), _Step(end.message, rule.then, code))

    def _ordinary(self, to: str) -> Rule:
        """The outcome of a text without a rule."""
        facts = self.facts.get(to)
        if facts is not None and facts.line_type == "landline":
            return _LANDLINE
        if facts is not None and facts.line_status == "unreachable":
            return _OFF
        return _SILENT if self._happens(self.settings.unreceipted) else _DELIVERED

    def _happen(self, what: Any, at: datetime) -> None:
        if isinstance(what, Rule):
            self._suspend(what, at)
            return
        message: Message = what.message
        contradicted = message.rule is not None and message.rule.then is not None
        if message.status == "canceled" or (message.status == "failed" and not contradicted):
            return
        status, code = what.status, what.error_code
        if status == "queued" and self._is_suspended(at):
            status, code = "failed", 30002
        message.status, message.error_code, message.updated_at = status, code, at
        self.counters[status] += 1
        if status == "queued":
            message.sender = message.sender or self.number_of_service(message.to, message.service or "")
            self._count_segments(message)
            self._queue(message, at)
        elif status == "sent" or (status == "failed" and message.arrives and message.sent_at is None):
            message.sent_at = at if status == "sent" else None
            if message.arrives:
                sid, sender, to, body = message.sid, message.sender or "", message.to, message.body
                self.phones[to].append(Received(sid, sender, body, at))
                by: Literal["us", "twiml"] = "us" if message.direction == "outbound-api" else "twiml"
                self.screens[to].append(Shown(by, sid, sender, to, body, at))
                message.arrives = False
        if message.callback_url is not None and not message.deleted and status != "sending":
            self._call(
                "status",
                message.callback_url,
                sid=message.sid,
                status=status,
                phone=message.to,
                form=self._status_form(message, at),
                at=at,
                last=what.last or status == "failed",
            )

    def _is_suspended(self, at: datetime) -> bool:
        return any(rule.fault == "suspended" and rule.matches(None, at) for rule in self.rules)

    def _suspend(self, rule: Rule, at: datetime) -> None:
        """Suspend the account: queued messages fail. Scheduled ones fail when their time comes."""
        if not any(one is rule for one in self.rules):
            return  # removed before it began
        self.counters["suspensions"] += 1
        for message in [one for one in self._messages if one.status in UNSENT - {"scheduled"}]:
            message.rule, message.arrives = None, False
            self._happen(_Step(message, "failed", 30002), at)
        self._free_at.clear()

    def _answered(self, callback: Callback, answer: bytes, now: datetime) -> None:
        """Execute the TwiML `answer` to an inbound text; invalid TwiML counts as lost (error 12100 at Twilio)."""
        if callback.kind == "status" or not answer:
            return
        if not self._do(answer, self._by_sid[callback.sid], now):
            self._fall_back(callback, 12100, now)

    def _lost(self, callback: Callback, outcome: Outcome, now: datetime) -> None:
        self._fall_back(callback, 11205 if outcome == "ct" else 11200, now)

    def _fall_back(self, callback: Callback, code: int, now: datetime) -> None:
        """Use the fallback, if there is one, for an inbound text whose call was lost with that error."""
        if callback.kind != "inbound":
            return
        message = self._by_sid[callback.sid]
        if self.settings.fallback_url is not None:
            self._call(
                "fallback",
                self.settings.fallback_url,
                sid=message.sid,
                status="received",
                phone=message.sender or "",
                form=[*callback.form, ("ErrorCode", str(code)), ("ErrorUrl", callback.url)],
                at=now,
                last=True,
            )
        elif self.settings.fallback_twiml is not None:
            self._do(self.settings.fallback_twiml.encode(), message, now)

    def _do(self, twiml: bytes, inbound: Message, now: datetime) -> bool:
        """Execute TwiML for an inbound text: each <Message> verb is a text to that phone, others have no effect.

        It returns False for invalid XML.
        """
        try:
            # ruff: ignore[suspicious-xml-element-tree-usage] it comes from our own web process, over loopback
            response = ET.fromstring(twiml)
        except ET.ParseError:
            self.counters["twiml unreadable"] += 1
            return False
        phone = inbound.sender or ""
        for verb in response.findall("Message"):
            body = (verb.findtext("Body") or verb.text or "").strip()
            if not body or self.has_opted_out(phone, inbound.to, None):
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
            message.rule = self._rule_for(phone, now)
            self._queue(message, now)
        return True

    def number_of_service(self, phone: str, service: str) -> str:
        """The number from which a service texts this phone: it keeps using the one that the phone knows."""
        known = self._sticky[phone]
        if service not in known:
            known[service] = self._random.choice(self.settings.service_senders)
        return known[service]

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

    def _medium(self, message: Message, number: int) -> list[tuple[str, str]]:
        place = f"/2010-04-01/Accounts/{self.settings.account_sid}/Messages/{message.sid}/Media/ME{number:032x}"
        return [(f"MediaUrl{number}", f"https://api.twilio.com{place}"), (f"MediaContentType{number}", "image/jpeg")]

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
            ("NumMedia", str(message.media)),
            *(pair for number in range(message.media) for pair in self._medium(message, number)),
            ("NumSegments", str(message.segments)),
            *((f"{end}{part}", "") for end in ("From", "To") for part in ("City", "State", "Zip", "Country")),
        ]
        if message.service is not None:
            form.append(("MessagingServiceSid", message.service))
        if opt_out_type is not None and self.settings.advanced_opt_out:
            form.append(("OptOutType", opt_out_type))
        return form


_DELIVERED = Rule(outcome="delivered")
_SILENT = Rule(outcome="silent")
_LANDLINE = Rule(outcome="undelivered", error_code=30006)
_OFF = Rule(outcome="undelivered", error_code=30003)
