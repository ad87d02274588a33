"""The control API, on its own port: what the pretend phones show, what goes wrong, and texts from the phones.

Every answer is JSON. `at` keys are ISO instants in UTC.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from reminders.simulator.exchange import Request, Response
from reminders.simulator.lookup import FACTS, PhoneFacts
from reminders.simulator.network import PhoneNetwork
from reminders.simulator.rules import Rule, is_number
from reminders.simulator.settings import CHANGEABLE, Spread
from reminders.simulator.timeline import JournalEntry

_PHONE = re.compile(r"/phones/(?P<phone>\+\d{7,15})(?:/(?P<what>texts|screen))?", re.ASCII)


class _WrongError(Exception):
    """A request that cannot be carried out; the message says why."""


def control(network: PhoneNetwork, request: Request, now: datetime) -> Response:
    """The answer to one request to the control API.

    GET  /phones               every phone that shows anything or has facts: `phone`, `texts`, `last`, `line_status`
    GET  /phones/{e164}        what that phone got, oldest first: one entry for each text that reached it
    GET  /phones/{e164}/texts  what it sent, and what Twilio itself answered
    POST /phones/{e164}/texts  {"to": sender, "body": text, "media": pictures}: it texts one of our senders
    GET  /phones/{e164}/screen all texts on its screen, both ways and in order, with `by`: phone, us, twiml or twilio
    POST /phones/{e164}        what Lookup knows about it (PhoneFacts): line_type, carrier, line_status, reassigned …
    GET  /messages             every message made through the API, oldest first
    GET  /counters             how often each thing happened
    GET  /callbacks            every try of a webhook call, oldest first
    GET, POST /pager           a pretend pager accepts any post (JSON or a form), and shows what came
    GET, POST, DELETE /rules   rules (rules.py): one object or a list of them; DELETE forgets all
    GET, POST /settings        timings, chances, paces, senders, opt-out words … (SimulatorSettings)
    GET, POST /clock           {"forward": seconds} sets its clock ahead; everything in between happens at once
    POST /reset                forget everything but the settings

    400 with a `problem` for an invalid request, 404 for another path.
    """
    network.advance(now)
    path = unquote(request.path).rstrip("/")
    try:
        if (place := _PHONE.fullmatch(path)) is not None:
            return _phone(network, request, place["phone"], place["what"], now)
        if (request.method, path) == ("GET", "/clock"):
            return _json(200, {"now": _iso(now), "ahead": _ahead(network)})
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


def _phone(network: PhoneNetwork, request: Request, phone: str, what: str | None, now: datetime) -> Response:
    match request.method, what:
        case "POST", None:
            document = _document(request)
            if not isinstance(document, Mapping) or not document.keys() <= FACTS:
                raise _WrongError(f"give some of {', '.join(sorted(FACTS))}")
            try:
                network.facts[phone] = PhoneFacts(**document)
            except ValueError as wrong:
                raise _WrongError(str(wrong)) from None
            return _json(200, asdict(network.facts[phone]))
        case "GET", None:
            received = network.phones.get(phone, [])
            return _json(
                200, [{"sid": it.sid, "from": it.sender, "body": it.body, "at": _iso(it.at)} for it in received]
            )
        case "GET", "screen":
            shown = network.screens.get(phone, [])
            return _json(
                200,
                [
                    {"by": it.by, "sid": it.sid, "from": it.sender, "to": it.to, "body": it.body, "at": _iso(it.at)}
                    for it in shown
                ],
            )
        case "GET", "texts":
            sent = network.texted.get(phone, [])
            return _json(
                200,
                [{"sid": it.sid, "to": it.to, "body": it.body, "at": _iso(it.at), "answer": it.answer} for it in sent],
            )
        case "POST", "texts":
            document = _document(request)
            to, body = (document.get(key) if isinstance(document, Mapping) else None for key in ("to", "body"))
            if not isinstance(to, str) or not isinstance(body, str):
                raise _WrongError("give to, one of our senders, and body, both texts")
            media = document.get("media", 0) if isinstance(document, Mapping) else 0
            if type(media) is not int or not 0 <= media <= 10:
                raise _WrongError("media: how many pictures, from 0 to 10")
            message = network.text_from(phone, to, body, now, media=media)
            return _json(201, {"sid": message.sid, "answer": network.texted[phone][-1].answer})
    return _json(405, {"problem": "GET or POST"})


def _page(network: PhoneNetwork, request: Request, now: datetime) -> Response:
    """A page: JSON or a form as an object, anything else as text."""
    text = request.body.decode("utf-8", "replace")
    try:
        message = json.loads(text)
    except ValueError:
        is_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        message = dict(parse_qsl(text, keep_blank_values=True)) if is_form else text
    return _json(network.page(message, now), {})


def _pages(network: PhoneNetwork) -> list[dict[str, Any]]:
    return [{"message": page.message, "at": _iso(page.at), "status": page.status} for page in network.pages]


def _phones(network: PhoneNetwork) -> list[dict[str, Any]]:
    found = []
    for phone in dict.fromkeys([*network.screens, *network.facts]):
        shown = network.screens.get(phone, [])
        last = {"by": shown[-1].by, "body": shown[-1].body, "at": _iso(shown[-1].at)} if shown else None
        status = network.facts[phone].line_status if phone in network.facts else "active"
        found.append({"phone": phone, "texts": len(shown), "last": last, "line_status": status})
    return found


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
    del now  # a setting applies from the next event on
    document = _document(request)
    try:
        network.settings = network.settings.changed(document)
    except ValueError as wrong:
        raise _WrongError(str(wrong)) from None
    return _json(200, _settings(network))


def _settings(network: PhoneNetwork) -> dict[str, Any]:
    """The settings that may be changed."""
    return {name: _plain(getattr(network.settings, name)) for name in CHANGEABLE}


def _plain(value: Any) -> Any:
    if isinstance(value, Spread):
        return {"median": value.median, "p99": value.p99} | (
            {} if value.longest == math.inf else {"longest": value.longest}
        )
    return sorted(value) if isinstance(value, frozenset) else value


def _forward(network: PhoneNetwork, request: Request, now: datetime) -> Response:
    document = _document(request)
    if not isinstance(document, Mapping) or document.keys() != {"forward"} or not is_number(document["forward"]):
        raise _WrongError("forward: seconds")
    return _json(200, {"now": _iso(network.forward(document["forward"], now)), "ahead": _ahead(network)})


def _ahead(network: PhoneNetwork) -> float:
    return network.ahead.total_seconds()


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
    "/phones": _phones,
    "/messages": _messages,
    "/pager": _pages,
    "/counters": lambda network: dict(network.counters),
    "/callbacks": lambda network: [_journal(entry) for entry in network.journal],
    "/settings": _settings,
    "/rules": lambda network: [rule.as_json() for rule in network.rules],
}
_VERBS: dict[str, Callable[[PhoneNetwork, Request, datetime], Response]] = {
    "/pager": _page,
    "/rules": _add_rules,
    "/settings": _change,
    "/clock": _forward,
    "/reset": _reset,
}
