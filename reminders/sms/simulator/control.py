"""The control API, on a port of its own: what the pretend phones saw, what is to go wrong, and texts from the phones.

Every answer is JSON. `at` keys are ISO instants in UTC.
"""

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from reminders.sms.simulator.exchange import Request, Response
from reminders.sms.simulator.network import JournalEntry, PhoneNetwork
from reminders.sms.simulator.rules import Rule, is_number
from reminders.sms.simulator.webhooks import is_callable

_PHONE = re.compile(r"/phones/(?P<phone>\+\d{7,15})(?P<texts>/texts)?", re.ASCII)
_SECONDS = frozenset({"queued_after", "sent_after", "delivered_after", "list_lag", "callback_pause"})
_CHANCES = frozenset({"surprise_parameter", "done_date_missing", "done_date_elsewhere"})


class _WrongError(Exception):
    """A request that cannot be done; the text says why."""


def control(network: PhoneNetwork, request: Request, now: datetime) -> Response:
    """The answer to one request to the control API.

    GET  /phones/{e164}        what that phone got, oldest first: one entry a text that reached it
    GET  /phones/{e164}/texts  what it sent, and what Twilio itself answered
    POST /phones/{e164}/texts  {"to": sender, "body": text}: it texts one of our senders
    GET  /messages             every message made through the API, oldest first
    GET  /counters             how often what happened
    GET  /callbacks            every try of a webhook call, oldest first
    GET, POST, DELETE /rules   rules (rules.py): one object or a list of them; DELETE forgets all
    POST /settings             timings, chances, list_lag, inbound_url
    POST /reset                forget everything

    400 with a `problem` for what cannot be understood, 404 for another place.
    """
    network.advance(now)
    path = unquote(request.path)
    try:
        if (place := _PHONE.fullmatch(path)) is not None:
            return _phone(network, request, place["phone"], texts=place["texts"] is not None, now=now)
        if request.method == "GET" and path in _VIEWS:
            return _json(200, _VIEWS[path](network))
        if request.method == "POST" and path in _VERBS:
            return _VERBS[path](network, request, now)
        if (request.method, path) == ("DELETE", "/rules"):
            network.clear_rules()
            return _json(200, [])
    except _WrongError as wrong:
        return _json(400, {"problem": str(wrong)})
    return _json(404, {"problem": "there is nothing here"})


def _phone(network: PhoneNetwork, request: Request, phone: str, *, texts: bool, now: datetime) -> Response:
    match request.method, texts:
        case "GET", False:
            received = network.phones.get(phone, [])
            return _json(
                200, [{"sid": it.sid, "from": it.sender, "body": it.body, "at": _iso(it.at)} for it in received]
            )
        case "GET", True:
            sent = network.texted.get(phone, [])
            return _json(
                200,
                [{"sid": it.sid, "to": it.to, "body": it.body, "at": _iso(it.at), "answer": it.answer} for it in sent],
            )
        case "POST", True:
            document = _document(request)
            to, body = (document.get(key) if isinstance(document, Mapping) else None for key in ("to", "body"))
            if not isinstance(to, str) or not isinstance(body, str):
                raise _WrongError("give to, one of our senders, and body, both texts")
            message = network.text_from(phone, to, body, now)
            return _json(201, {"sid": message.sid, "answer": network.texted[phone][-1].answer})
    return _json(405, {"problem": "GET, or POST to /texts"})


def _messages(network: PhoneNetwork) -> list[dict[str, Any]]:
    return [
        {
            "sid": message.sid,
            "to": message.to,
            "from": message.sender,
            "service": message.service,
            "body": message.body,
            "status": message.status,
            "error_code": message.error_code,
            "created_at": _iso(message.created_at),
            "sent_at": None if message.sent_at is None else _iso(message.sent_at),
        }
        for message in network.created()
    ]


def _journal(entry: JournalEntry) -> dict[str, Any]:
    call = entry.callback
    return {
        "kind": call.kind,
        "sid": call.sid,
        "status": call.status,
        "url": call.url,
        "form": dict(call.form),
        "token": call.token,
        "attempt": call.attempt,
        "at": _iso(call.at),
        "outcome": entry.outcome,
        "answered_at": None if entry.answered_at is None else _iso(entry.answered_at),
        "lost": entry.lost,
    }


def _add_rules(network: PhoneNetwork, request: Request, now: datetime) -> Response:
    document = _document(request)
    try:
        rules = [Rule.parse(raw) for raw in (document if isinstance(document, list) else [document])]
    except ValueError as wrong:
        raise _WrongError(str(wrong)) from None
    for rule in rules:
        network.add_rule(rule, now)
    return _json(201, [rule.as_json() for rule in rules])


def _change(network: PhoneNetwork, request: Request, now: datetime) -> Response:
    del now  # a setting holds from the next event on
    document = _document(request)
    if not isinstance(document, Mapping):
        raise _WrongError("settings are an object")
    for key, value in document.items():
        if key == "inbound_url":
            if value is not None and not (isinstance(value, str) and is_callable(value)):
                raise _WrongError("inbound_url: a URL that Twilio would call, or null")
        elif key in _SECONDS | _CHANCES:
            if not (is_number(value, at_most=1) if key in _CHANCES else is_number(value)):
                raise _WrongError(f"{key}: {'from 0 to 1' if key in _CHANCES else 'seconds'}")
        else:
            raise _WrongError(f"{key}: no such key; choose from inbound_url, {', '.join(sorted(_SECONDS | _CHANCES))}")
    network.change(**document)
    return _json(200, dict(document))


def _reset(network: PhoneNetwork, request: Request, now: datetime) -> Response:
    del request, now
    network.reset()
    return _json(200, {})


def _document(request: Request) -> object:
    try:
        return json.loads(request.body)
    except ValueError:
        raise _WrongError("the body is not JSON") from None


def _iso(at: datetime) -> str:
    return at.isoformat()


def _json(status: int, document: object) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(document).encode())


_VIEWS: dict[str, Callable[[PhoneNetwork], object]] = {
    "/messages": _messages,
    "/counters": lambda network: dict(network.counters),
    "/callbacks": lambda network: [_journal(entry) for entry in network.journal],
    "/rules": lambda network: [rule.as_json() for rule in network.rules],
}
_VERBS: dict[str, Callable[[PhoneNetwork, Request, datetime], Response]] = {
    "/rules": _add_rules,
    "/settings": _change,
    "/reset": _reset,
}
