"""The pretend Twilio's REST API: Messages of API 2010-04-01, Lookup v2 (docs/twilio.md 2, 6, 7, 10), and whether
numbers and Messaging Services belong to the account.
"""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from reminders.simulator.exchange import Request, Response, Transport
from reminders.simulator.lookup import FIELDS, PhoneFacts, as_e164, look_up
from reminders.simulator.network import UNSENT, Message, PhoneNetwork
from reminders.simulator.rules import Operation, Rule, Stage
from reminders.simulator.settings import SimulatorSettings, drawn
from reminders.simulator.webhooks import is_callable

_PATH = re.compile(r"/2010-04-01/Accounts/(?P<account>[^/]+)/Messages(?:/(?P<sid>[^/]+))?\.json")
# E.164; country code 1 must follow the North American Numbering Plan.
_NUMBER = re.compile(r"\+(?:1[2-9]\d{2}[2-9]\d{6}|[2-9]\d{6,14})", re.ASCII)
_NUMBERS = re.compile(r"/2010-04-01/Accounts/(?P<account>[^/]+)/IncomingPhoneNumbers\.json")
_SERVICES = re.compile(r"/v1/Services/(?P<service>[^/]+)")
_LOOKUP = re.compile(r"/v2/PhoneNumbers/(?P<number>[^/]+)")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}", re.ASCII)
_COMPACT_DAY = re.compile(r"\d{8}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)

# Twilio's test credentials' table, HTTP 400 each (docs/twilio.md 7).
_MAGIC_FROM = {"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611}
_MAGIC_TO = {
    "+15005550001": 21211,
    "+15005550002": 21612,
    "+15005550003": 21408,
    "+15005550004": 21610,
    "+15005550009": 21614,
}

_MEANINGS = {
    20001: "A parameter is unknown or cannot be read",
    20003: "Authentication did not succeed",
    20004: "This method is not allowed here",
    20007: "PageSize is from 1 to 1000",
    20009: "This message is not finished yet; try again in a minute",
    20404: "There is no such resource",
    20429: "Too many requests at once; none of this one was processed",
    20500: "An internal error at Twilio",
    20503: "Twilio is not available just now",
    21211: "The 'To' number is not a valid phone number",
    21212: "The 'From' number is not a valid phone number or sender",
    21266: "'To' and 'From' are the same number",
    21408: "Texting this region is not enabled",
    21602: "A message needs a 'Body', media or content",
    21603: "A message needs a 'From' or a Messaging Service",
    21604: "A message needs a 'To'",
    21606: "The 'From' number is not one of this account's SMS senders",
    21608: "A trial account can text verified numbers only",
    21609: "The 'StatusCallback' is not a valid URL",
    21610: "The recipient has unsubscribed from this sender",
    21611: "The queue of this 'From' number is full",
    21612: "This 'To' cannot be reached from this 'From'",
    21614: "The 'To' number is not a mobile number",
    21617: "The 'Body' is longer than 1600 characters",
    21635: "The 'To' number is a landline",
    21701: "There is no such Messaging Service",
    30001: "Queue overflow",
    30002: "Account suspended",
    30003: "Unreachable destination handset",
    30004: "Message blocked",
    30005: "Unknown destination handset",
    30006: "Landline or unreachable carrier",
    30007: "Message filtered",
    30008: "Unknown error",
    30022: "Rate of the campaign exceeded",
    30023: "Daily cap of the carrier reached",
    30034: "Message from an unregistered number",
    30036: "Validity period expired",
    30409: "Only a scheduled message can be canceled",
    30410: "The provider did not answer in time",
    30450: "Blocked as suspected SMS pumping",
    30500: "An internal error at Twilio",
    35111: "A scheduled message needs a 'SendAt'",
    35114: "'SendAt' is from 15 minutes to 35 days ahead, in UTC",
    90007: "'ValidityPeriod' is from 1 to 36000 seconds",
}
_PAGE = b"<html><head><title>%d</title></head><body><h1>The page cannot be shown</h1></body></html>"


_ORDINARY = PhoneFacts()
_HOW: dict[str | None, Transport] = {
    "hang_after_create": Transport("hang"),
    "close_after_create": Transport("close"),
    "reset_after_create": Transport("reset"),
    "truncated": Transport("cut"),
    "slow_drip": Transport("drip"),
}


class _RefusalError(Exception):
    def __init__(self, code: int, http: int = 400) -> None:
        self.code, self.http = code, http


class Simulator(PhoneNetwork):
    """A pretend Twilio: a phone network with Twilio's REST API in front. Same seed, same calls: same answers.

    `handle` answers a request, `due` returns the webhook calls to make, `called` takes their outcomes, and
    `next_due_at` says when to ask again.
    """

    def __init__(self, settings: SimulatorSettings, *, seed: int) -> None:
        super().__init__(settings, seed=seed)
        pairs = [(settings.account_sid, settings.auth_token)]
        if settings.api_key is not None and settings.api_secret is not None:
            pairs.append((settings.api_key, settings.api_secret))
        self._credentials = {base64.b64encode(":".join(pair).encode()).decode("ascii") for pair in pairs}

    def handle(self, request: Request, now: datetime) -> Response:
        """The answer to one request at `now`. A message that was made stays even if a rule loses the answer."""
        self.advance(now)
        self.counters["requests"] += 1
        try:
            return self._answer(request, now)
        except _RefusalError as refusal:
            self.counters[f"refused {refusal.code}"] += 1
            return self._refused(refusal.code, refusal.http, request)

    def _answer(self, request: Request, now: datetime) -> Response:
        scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic" or credentials.strip() not in self._credentials:
            raise _RefusalError(20003, 401)
        operation, sid = self._asked(request)
        if request.concurrent > self.settings.max_concurrent:
            raise _RefusalError(20429, 429)
        form, message = _form(request), self.find(sid)
        acting = self._faults(operation, self._about(operation, form, message, request), now) if self.rules else {}
        wait = drawn(self.settings.created_after, self._random) if operation == "create" else 0.0
        if "before" in acting:
            return self._spoil(self._fail(acting["before"], request), acting, wait, request)
        hurried = "time" in acting and acting["time"].fault == "callback_first"
        crossing = acting.pop("phone", None) if form.get("To") else None
        try:
            if crossing is not None and crossing.fault == "stop_first":
                self._cross(crossing, form, now)
            response = self._operate(operation, message, form, request, now, hurried=hurried)
        except _RefusalError as refusal:
            self.counters[f"refused {refusal.code}"] += 1
            return _delayed(self._refused(refusal.code, refusal.http, request), wait)
        if crossing is not None and crossing.fault == "stop_meanwhile":
            self._cross(crossing, form, now)
        return self._spoil(response, acting, wait, request)

    def _cross(self, rule: Rule, form: dict[str, str], now: datetime) -> None:
        """Let the phone to which a text is addressed send STOP to its sender at this moment."""
        self._use(rule)
        number = form.get("From") or self.number_of_service(form["To"], form.get("MessagingServiceSid", ""))
        self.text_from(form["To"], number, "STOP", now)

    def _asked(self, request: Request) -> tuple[Operation, str]:
        """The operation that a request asks for, and its message."""
        if _LOOKUP.fullmatch(request.path) is not None:
            if request.method != "GET":
                raise _RefusalError(20004, 405)
            return "lookup", ""
        numbers = _NUMBERS.fullmatch(request.path)
        if numbers is not None or _SERVICES.fullmatch(request.path) is not None:
            if request.method != "GET":
                raise _RefusalError(20004, 405)
            if numbers is not None and numbers["account"] != self.settings.account_sid:
                raise _RefusalError(20404, 404)
            return "sender", ""
        place = _PATH.fullmatch(request.path)
        if place is None or place["account"] != self.settings.account_sid:
            raise _RefusalError(20404, 404)
        return _operation(request.method, has_sid=place["sid"] is not None), place["sid"] or ""

    def _about(
        self, operation: Operation, form: dict[str, str], message: Message | None, request: Request
    ) -> str | None:
        """The number a request is about, if it names one."""
        match operation:
            case "create":
                return form.get("To")
            case "list":
                return _query(request).get("To")
            case "lookup":
                return as_e164(_looked_up(request), _query(request).get("CountryCode", "US"))
        return message.to if message is not None else None

    # Faults

    def _faults(self, operation: Operation, number: str | None, now: datetime) -> dict[Stage, Rule]:
        """The fault rules that act on a request, by stage (see Rule). They are used up only if they really act."""
        acting = self._holding(
            (rule for rule in self.rules if rule.fault not in {None, "refuse_page"} and rule.on in {operation, "any"}),
            number,
            now,
        )
        if "before" in acting:
            self._overrule(*(rule for stage, rule in acting.items() if stage in {"phone", "answer", "travel"}))
            return {stage: rule for stage, rule in acting.items() if stage in {"before", "time"}}
        return acting

    def _fail(self, rule: Rule, request: Request) -> Response:
        """The answer to a request that was not processed, or claims not to have been."""
        match rule.fault:
            case "unauthorized" | "suspended":
                return self._refused(20003, 401, request)
            case "too_many":
                return self._refused(20429, 429, request)
            case "refuse":
                return self._refused(rule.code, 400, request)
            case _ if rule.html or rule.status == 502:
                return Response(rule.status, {"Content-Type": "text/html"}, _PAGE % rule.status)
            case _:
                return self._refused(20000 + rule.status, rule.status, request)

    def _spoil(self, response: Response, acting: dict[Stage, Rule], wait: float, request: Request) -> Response:
        """The answer as the caller sees it: what it says, how it travels and when. Each rule is used once."""
        for rule in acting.values():
            self._use(rule)
        if "answer" in acting:
            if acting["answer"].fault == "error_after_create":
                response = self._fail(acting["answer"], request)
            else:
                response = Response(response.status, {"Content-Type": "text/html"}, _PAGE % response.status)
        if (travel := acting.get("travel")) is not None:
            transport = _HOW[travel.fault]
            if travel.seconds is not None:
                transport = replace(transport, pace=travel.seconds)
            response = replace(response, transport=transport)
        if (late := acting.get("time")) is not None:
            wait += 1.0 if late.seconds is None else late.seconds
        return _delayed(response, wait)

    # Operations

    def _operate(
        self,
        operation: Operation,
        message: Message | None,
        form: dict[str, str],
        request: Request,
        now: datetime,
        *,
        hurried: bool,
    ) -> Response:
        if operation == "create":
            return self._create(form, request, now, hurried=hurried)
        if operation == "lookup":
            return self._look_up(request)
        if operation == "list":
            return self._list(request, now)
        if operation == "sender":
            return self._sender(request)
        if message is None:
            raise _RefusalError(20404, 404)
        if operation == "update":
            return self._update(message, form, request, now)
        if operation == "delete":
            return self._delete(message, request, now)
        return self._json(200, self._resource(message), request)

    def _create(self, form: dict[str, str], request: Request, now: datetime, *, hurried: bool) -> Response:
        to, sender, service = form.get("To", ""), form.get("From") or None, form.get("MessagingServiceSid") or None
        body, callback_url = form.get("Body", ""), form.get("StatusCallback") or None
        media = sum(name == "MediaUrl" for name, _ in _pairs(request))
        self._check_sending(to, sender, service)
        if not body and not media and not form.get("ContentSid"):
            raise _RefusalError(21602)
        if len(body) > 1600:
            raise _RefusalError(21617)
        valid_for = _validity(form.get("ValidityPeriod", "36000"))
        if callback_url is not None and not is_callable(callback_url):
            raise _RefusalError(21609)
        send_at = None
        if (
            service is not None and form.get("ScheduleType") == "fixed"
        ):  # without a service, `SendAt` is ignored and the text is sent at once
            send_at = _send_at(form.get("SendAt"), now)
        if service is None and sender is not None and self.queue_is_full(sender, now):
            raise _RefusalError(21611)
        message = self.create(
            to=to,
            sender=sender,
            service=service,
            body=body,
            now=now,
            media=media,
            callback_url=callback_url,
            send_at=send_at,
            valid_for=valid_for,
            hurried=hurried,
        )
        return self._json(201, self._resource(message), request)

    def _check_sending(self, to: str, sender: str | None, service: str | None) -> None:
        """Check who may text whom. Raises Twilio's refusal."""
        if not to:
            raise _RefusalError(21604)
        if sender is None and service is None:
            raise _RefusalError(21603)
        if sender is not None:
            self._check_sender(sender)
        if service is not None and not self._is_service(service):
            raise _RefusalError(21701)
        if to in _MAGIC_TO:
            raise _RefusalError(_MAGIC_TO[to])
        if not _NUMBER.fullmatch(to):
            raise _RefusalError(21211)
        if to == sender:
            raise _RefusalError(21266)
        if self.settings.trial_verified is not None and to not in self.settings.trial_verified:
            raise _RefusalError(21608)
        if self.has_opted_out(to, sender, service):
            raise _RefusalError(21610)

    def _check_sender(self, sender: str) -> None:
        if sender in _MAGIC_FROM:
            raise _RefusalError(_MAGIC_FROM[sender])
        ours = self.settings.senders
        if ours is not None and sender in ours:
            return
        if not _NUMBER.fullmatch(sender):
            raise _RefusalError(21212)
        if ours is not None:
            raise _RefusalError(21606)

    def _is_service(self, service: str) -> bool:
        services = self.settings.services
        return bool(_SERVICE.fullmatch(service)) and (services is None or service in services)

    def _update(self, message: Message, form: dict[str, str], request: Request, now: datetime) -> Response:
        """Redact with an empty Body, cancel with Status=canceled."""
        if "Status" in form:
            if form["Status"] != "canceled":
                raise _RefusalError(20001)
            if message.status != "scheduled":
                raise _RefusalError(30409)
            self.cancel(message, now)
        if "Body" in form:
            if form["Body"]:
                raise _RefusalError(20001)
            if message.status in UNSENT:
                raise _RefusalError(20009)
            message.body, message.updated_at = "", now
        return self._json(200, self._resource(message), request)

    def _delete(self, message: Message, request: Request, now: datetime) -> Response:
        if message.status in UNSENT or now - message.created_at < timedelta(seconds=60):
            raise _RefusalError(20009)
        message.deleted, message.body = True, ""
        return Response(204, self._headers(request), b"")

    def _list(self, request: Request, now: datetime) -> Response:
        """One page, newest first. PA… asks for messages older than that one, PB… for the page before it."""
        query = _query(request)
        size, page = (
            _whole(query.get("PageSize", "50"), 1, 1000, 20007),
            _whole(query.get("Page", "0"), 0, 10**9, 20001),
        )
        token = query.get("PageToken", "")
        number = self.number_of(token[2:]) if token else None
        if token and (number is None or token[:2] not in {"PA", "PB"}):
            raise _RefusalError(20001)
        found = self._matching(query, now, below=number if token.startswith("PA") else None)
        if token.startswith("PB"):
            newer = [message for message in found if message.number > (number or 0)]
            shown, more = newer[-size:], True
        else:
            if not token:
                for _ in zip(range(page * size), found, strict=False):
                    pass
            shown = [message for _, message in zip(range(size), found, strict=False)]
            more = next(found, None) is not None

        def uri(to_page: int, to_token: str | None) -> str:
            kept = [(name, value) for name, value in query.items() if name not in {"PageSize", "Page", "PageToken"}]
            kept += [("PageSize", str(size)), ("Page", str(to_page))]
            kept += [("PageToken", to_token)] if to_token else []
            return f"{request.path}?{urlencode(kept)}"

        back = uri(page - 1, f"PB{shown[0].sid}" if shown and page > 1 else None) if page > 0 else None
        found_page = {
            "messages": [self._resource(message) for message in shown],
            "page": page,
            "page_size": size,
            "start": page * size,
            "end": page * size + max(len(shown) - 1, 0),
            "uri": uri(page, token or None),
            "first_page_uri": uri(0, None),
            "next_page_uri": uri(page + 1, f"PA{shown[-1].sid}") if shown and more else None,
            "previous_page_uri": back,
        }
        return self._json(200, found_page, request)

    def _matching(self, query: dict[str, str], now: datetime, *, below: int | None) -> Iterator[Message]:
        """Filters of the list. A message not sent yet has no DateSent and passes no filter on it."""
        bounds = [(sign, _moment(query[f"DateSent{sign}"])) for sign in ("", "<", ">") if query.get(f"DateSent{sign}")]
        sender = query.get("From") or None
        for message in self.newest_first(now, to=query.get("To") or None, below=below):
            if sender is not None and message.sender != sender:
                continue
            if all(message.sent_at is not None and _within(message.sent_at, sign, bound) for sign, bound in bounds):
                yield message

    def _sender(self, request: Request) -> Response:
        """A Messaging Service of the account, or its numbers: at most the requested one."""
        service = _SERVICES.fullmatch(request.path)
        if service is not None:
            if not self._is_service(service["service"]):
                raise _RefusalError(20404, 404)
            known = {"sid": service["service"], "account_sid": self.settings.account_sid, "friendly_name": "pretend"}
            return self._json(200, known, request)
        wanted, ours = _query(request).get("PhoneNumber", ""), self.settings.senders
        here = [wanted] if _NUMBER.fullmatch(wanted) and (ours is None or wanted in ours) else []
        listed = [
            {"sid": f"PN{int(number):032x}", "account_sid": self.settings.account_sid, "phone_number": number}
            for number in here
        ]
        page = {"page": 0, "page_size": 50, "uri": request.path, "next_page_uri": None, "previous_page_uri": None}
        return self._json(200, {"incoming_phone_numbers": listed, **page}, request)

    def _look_up(self, request: Request) -> Response:
        """Lookup v2. A reassigned_number without a LastVerifiedDate is 20001 (an assumption: its code is not known)."""
        query = _query(request)
        number = _looked_up(request)
        wanted = frozenset(filter(None, query.get("Fields", "").split(",")))
        last_verified = query.get("LastVerifiedDate") or None
        if not wanted <= FIELDS or ("reassigned_number" in wanted and last_verified is None):
            raise _RefusalError(20001)
        if last_verified is not None and not _COMPACT_DAY.fullmatch(last_verified):
            raise _RefusalError(20001)
        region = query.get("CountryCode", "US")
        found = look_up(
            number,
            region=region,
            wanted=wanted,
            last_verified=last_verified,
            facts=self.facts.get(as_e164(number, region) or number, _ORDINARY),
            url=f"http://{request.headers.get('host', 'lookups.twilio.com')}{request.path}",
        )
        return self._json(200, found, request)

    # Answers

    def _resource(self, message: Message) -> dict[str, Any]:
        """The message as the API shows it: the spec's fields and no others."""
        uri = f"/2010-04-01/Accounts/{self.settings.account_sid}/Messages/{message.sid}"
        return {
            "account_sid": self.settings.account_sid,
            "api_version": "2010-04-01",
            "body": message.body,
            "date_created": _rfc2822(message.created_at),
            "date_sent": None if message.sent_at is None else _rfc2822(message.sent_at),
            "date_updated": _rfc2822(message.updated_at),
            "direction": message.direction,
            "error_code": message.error_code,
            "error_message": None if message.error_code is None else _MEANINGS.get(message.error_code, "Error"),
            "from": message.sender,
            "messaging_service_sid": message.service,
            "num_media": str(message.media),
            "num_segments": str(message.segments),
            "price": None,
            "price_unit": "USD",
            "sid": message.sid,
            "status": message.status,
            "subresource_uris": {"media": f"{uri}/Media.json"},
            "to": message.to,
            "uri": f"{uri}.json",
        }

    def _headers(self, request: Request) -> dict[str, str]:
        return {
            "Content-Type": "application/json;charset=utf-8",
            "Twilio-Request-Id": self._sid("RQ"),
            "Twilio-Concurrent-Requests": str(request.concurrent),
            "Twilio-Request-Duration": "0.040",
            "Access-Control-Allow-Origin": "*",
        }

    def _json(self, status: int, document: dict[str, Any], request: Request) -> Response:
        return Response(status, self._headers(request), json.dumps(document).encode())

    def _refused(self, code: int, http: int, request: Request) -> Response:
        document = {
            "code": code,
            "message": _MEANINGS.get(code, "The request was refused"),
            "more_info": f"https://www.twilio.com/docs/errors/{code}",
            "status": http,
        }
        response = self._json(http, document, request)
        if http == 401:
            return Response(http, {**response.headers, "WWW-Authenticate": 'Basic realm="Twilio API"'}, response.body)
        return response


def _delayed(response: Response, seconds: float) -> Response:
    """The same answer, `seconds` later."""
    if seconds <= 0:
        return response
    headers = {**response.headers, "Twilio-Request-Duration": f"{seconds:.3f}"}
    return replace(response, headers=headers, transport=replace(response.transport, after=seconds))


def _looked_up(request: Request) -> str:
    return unquote(request.path.rpartition("/")[2])


def _operation(method: str, *, has_sid: bool) -> Operation:
    operations: dict[tuple[str, bool], Operation] = {
        ("POST", False): "create",
        ("GET", False): "list",
        ("GET", True): "fetch",
        ("POST", True): "update",
        ("DELETE", True): "delete",
    }
    if (method, has_sid) not in operations:
        raise _RefusalError(20004, 405)
    return operations[method, has_sid]


def _pairs(request: Request) -> list[tuple[str, str]]:
    if not request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        return []
    return parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)


def _form(request: Request) -> dict[str, str]:
    return dict(_pairs(request)) if request.method == "POST" else {}


def _query(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.query, keep_blank_values=True))


def _whole(text: str, low: int, high: int, code: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12 and low <= int(text) <= high):
        raise _RefusalError(code)
    return int(text)


def _validity(text: str) -> int:
    """ValidityPeriod in seconds; out of range is 90007 (21624 in the dictionary of 2023)."""
    return _whole(text, 1, 36_000, 90007)


def _send_at(text: str | None, now: datetime) -> datetime:
    if not text:
        raise _RefusalError(35111)
    try:
        send_at = datetime.fromisoformat(text)
    except ValueError:
        raise _RefusalError(35114) from None
    send_at = send_at.replace(tzinfo=UTC) if send_at.tzinfo is None else send_at.astimezone(UTC)
    if not timedelta(minutes=15) <= send_at - now <= timedelta(days=35):
        raise _RefusalError(35114)
    return send_at


def _moment(text: str) -> datetime:
    """A DateSent value: an ISO instant, or a date, which stands for its midnight GMT."""
    try:
        if _DAY.fullmatch(text):
            return datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _RefusalError(20001) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _within(sent_at: datetime, sign: str, bound: datetime) -> bool:
    """`DateSent` means that GMT day, whatever its time; `<` and `>` include the bound. Twilio keeps whole seconds."""
    sent_at = sent_at.astimezone(UTC).replace(microsecond=0)
    if sign == "<":
        return sent_at <= bound
    if sign == ">":
        return sent_at >= bound
    return sent_at.date() == bound.date()


def _rfc2822(at: datetime) -> str:
    return _rfc2822_of_second(at.astimezone(UTC).replace(microsecond=0))


@lru_cache(maxsize=1024)
def _rfc2822_of_second(at: datetime) -> str:
    return format_datetime(at)
