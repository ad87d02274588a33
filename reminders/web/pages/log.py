"""The delivery log: what became of each text, what leaves it as a file, and what is done with what did not arrive."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time
from typing import IO, Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from reminders import clock, queries
from reminders.queries import delivery_log
from reminders.queries.counts import Facets, hour_of_day
from reminders.queries.delivery_log import Question
from reminders.queries.texts import LogFilter, Logged
from reminders.service import AppContext
from reminders.service.sending import failed_texts
from reminders.web.access import Actor, Exporting, Looking
from reminders.web.forms import Form
from reminders.web.render import draw, see
from reminders.web.webhooks import TheContext
from reminders.wording import house_style, staff_words

router = APIRouter()

PER_PAGE = 100
MOST_CODES = 12  # in the facet; the others are found by typing them
ACTIONS = {
    "wrong": ("Mark their numbers wrong", "plan"),
    "task": ("Make a task of each", "answer"),
    "again": ("Try them again", "operate"),
}
"""What can be done with the ticked lines: word, permission."""


_OF_PEOPLE = {*delivery_log.BY_ID.values(), "number"}


@router.get("/log", response_class=HTMLResponse)
def log(request: Request, context: TheContext, actor: Looking) -> Response:
    """The delivery log, newest first. 422 with the problems for filters that are none.

    A reference or a number in the address, as old links have it, leads to the address without it; 404 where it is
    no one's here, or the id is. `before` names the last line of the page before this one, `after` the first of the one
    after it; what names nothing is the newest page.
    """
    fields = dict(request.query_params)
    elsewhere = _without_references("/log", context, actor, fields, "look")
    return elsewhere or _page(request, context, actor, fields)


def _without_references(
    path: str, context: AppContext, actor: Actor, fields: Mapping[str, str], permission: str
) -> Response | None:
    """On to the address that says the same without a reference; None where it has none, or one of no one here.

    An address stands in the browser's history, in a proxy's log and in every screenshot (SEC-16).
    """
    if not any(fields.get(name) for name in (*delivery_log.BY_ID, "number", "q")):
        return None
    asked = _ask(context, actor, fields, permission)
    if asked.problems or all(fields.get(name) == said for name, said in asked.address.items() if name in _OF_PEOPLE):
        return None
    return see(path, **asked.address)


def _ask(context: AppContext, actor: Actor, fields: Mapping[str, str], permission: str = "look") -> Question:
    now, sites = clock.now(), actor.sites(permission)
    return context.database.read(lambda tx: delivery_log.ask(context, tx, fields, now, sites=sites, known_only=True))


@router.post("/log", response_class=HTMLResponse)
def search(request: Request, context: TheContext, actor: Looking, form: Form) -> Response:
    """Search words, or the form: on to the address that says the same without a number or a reference."""
    fields = form.as_dict()
    asked = _ask(context, actor, fields)
    if asked.chosen["number"] or "number" in asked.problems:  # that there is none is an answer about a person too
        site = min(actor.sites("look"), default=0)
        delivery_log.note_read(context.database, (), clock.now(), who=actor.who, site=site, by_number=True)
    if asked.problems:
        return _page(request, context, actor, fields | {"number": ""}, problems=asked.problems)
    return see("/log", **(asked.address or {"when": "any"}))


def _page(
    request: Request,
    context: AppContext,
    actor: Actor,
    fields: Mapping[str, str],
    *,
    problems: Mapping[str, str] | None = None,
) -> HTMLResponse:
    now = clock.now()
    before, after = _place(fields.get("before", "")), _place(fields.get("after", ""))

    def look(tx: queries.Transaction) -> tuple[Question, list[Logged], Facets | None, dict[int, str], bool]:
        asked = delivery_log.ask(context, tx, fields, now, sites=actor.sites("look"), known_only=True)
        places = {row.id: row.key for row in queries.people.all_sites(tx) if row.id in actor.sites("look")}
        if asked.wanted is None or problems:
            return asked, [], None, places, True
        page = replace(asked.wanted, before=before, after=None if before else after, limit=PER_PAGE + 1)
        texts = queries.texts.log(tx, page)
        any_text = bool(texts) or bool(queries.texts.log(tx, LogFilter(sites=asked.wanted.sites, limit=1)))
        return asked, texts, delivery_log.count(tx, asked.wanted), places, any_text

    asked, texts, counts, places, any_text = context.database.read(look)
    wrong = problems or asked.problems
    by_number = bool(asked.chosen["number"] or fields.get("number"))
    seen = [one.text for one in texts[: PER_PAGE + 1]]
    delivery_log.note_read(context.database, seen, now, who=actor.who, site=min(places, default=0), by_number=by_number)
    more = len(texts) > PER_PAGE
    going_back = after is not None and before is None
    shown = texts[1:] if more and going_back else texts[:PER_PAGE]
    typed = asked.address
    newer = (going_back and more) or before is not None
    older = more if not going_back else bool(shown)
    return draw(
        request,
        "log.html",
        status=404 if asked.is_about_no_one and not problems else 422 if wrong else 200,
        texts=shown,
        older=_link(typed, before=_name(shown[-1])) if shown and older else None,
        newer=_link(typed, after=_name(shown[0])) if shown and newer else None,
        newest=_link(typed) if before or after else None,
        problems=wrong,
        chosen=asked.chosen,
        typed=typed,
        words=fields.get("q", "") if wrong else "" if typed == {"when": "past"} else _as_words(asked.fields),
        filtered=set(typed) - {"when"} or typed.get("when") not in {None, "past", "any"},
        any_text=any_text,
        facets=_facets(counts, asked, places, context.settings.site.zone) if counts is not None else [],
        total=delivery_log.about(counts.total) if counts is not None else "",
        many=counts.total if counts is not None else 0,
        counted_at=counts.counted_at if counts is not None else None,
        sites=places,
        site_choices=[(key, key) for key in places.values()],
        whens=delivery_log.WHENS,
        wheres=[
            (when, word, _link({**typed, "when": when, "since": "", "until": ""}))
            for when, word in delivery_log.WHENS.items()
        ],
        log_states=delivery_log.STATES,
        reasons=staff_words.REASONS,
        classes=staff_words.CLASSES,
        formats=delivery_log.FORMATS if actor.may("export") else {},
        actions={name: word for name, (word, permission) in ACTIONS.items() if actor.may(permission)},
        query=urlencode(typed),
        said=_said(asked) if not wrong else [],
        done=_done(fields.get("done", "")),
    )


def _place(name: str) -> tuple[datetime, int] | None:
    at, _, text = name.partition("~")
    try:
        place = datetime.fromisoformat(at).astimezone(UTC), int(text)
    except (ValueError, OverflowError):
        return None
    return place if 0 < place[1] < 2**63 else None


def _name(text: Logged) -> str:
    return f"{text.opens_at.isoformat()}~{text.text}"


def _link(fields: Mapping[str, str], **more: str) -> str:
    asked = {name: value for name, value in {**fields, **more}.items() if value}
    return f"/log?{urlencode(asked)}" if asked else "/log"


def _as_words(fields: Mapping[str, str]) -> str:
    """The fields as search words: both say the same."""
    return " ".join(f'{name}:"{value}"' if " " in value else f"{name}:{value}" for name, value in fields.items())


def _said(asked: Question) -> list[tuple[str, str]]:
    """The filters in force: what each says, and the address without it."""
    words = {
        "state": delivery_log.STATES,
        "reason": staff_words.REASONS,
        "class": staff_words.CLASSES,
        "when": delivery_log.WHENS,
    }
    said = []
    for name, value in asked.fields.items():
        if name == "when" and value in {"past", "any"}:
            continue
        word = f"{name}: {words.get(name, {}).get(value, value)}"
        if name == "number":
            word = "texts to one number"
        elif name == "hour":
            word = f"{house_style.hour(time(int(value)))} to {house_style.hour(time(int(value), 59))}"
        rest = {**asked.address, delivery_log.BY_ID.get(name, name): ""}
        said.append((word, _link(rest) if any(rest.values()) else _link({"when": "any"})))
    return said


def _facets(
    counts: Facets, asked: Question, places: Mapping[int, str], zone: str
) -> list[tuple[str, list[tuple[str, str, bool, str]]]]:
    """The facets that leave a choice: title, and of each value its word, number, if it is chosen, its address."""
    hours: dict[int, int] = {}
    for hour, many in counts.hours.items():
        wall = hour_of_day(hour, zone)
        hours[wall] = hours.get(wall, 0) + many
    codes = sorted(counts.by["code"].items(), key=lambda one: -one[1])[:MOST_CODES]
    found: list[tuple[str, str, list[tuple[str, str, int]]]] = [
        ("State", "state", [(name, staff_words.STATES[name], many) for name, many in _most(counts.by["state"])]),
        (
            "Not sent because",
            "reason",
            [(name, staff_words.REASONS.get(name, name), many) for name, many in _most(counts.by["reason"])],
        ),
        ("Twilio code", "code", [(str(code), str(code), many) for code, many in codes]),
        ("Type", "class", [(name, staff_words.CLASSES[name], many) for name, many in _most(counts.by["class_"])]),
        (
            "Site",
            "site",
            [(places[site], places[site], many) for site, many in _most(counts.by["site_id"]) if site in places],
        ),
        (
            "Hour of day",
            "hour",
            [(str(hour), house_style.hour(time(hour)), many) for hour, many in sorted(hours.items())],
        ),
    ]
    drawn = []
    for title, name, values in found:
        chosen = asked.chosen[name]
        if not values or (len(values) == 1 and values[0][2] == counts.total and not chosen):
            continue
        lines = [
            (
                word,
                delivery_log.about(many),
                value == chosen,
                _link({**asked.address, name: "" if value == chosen else value}),
            )
            for value, word, many in values
        ]
        drawn.append((title, lines))
    return drawn


def _most(counted: Mapping[Any, int]) -> list[tuple[Any, int]]:
    return sorted(counted.items(), key=lambda one: (-one[1], one[0]))


# What leaves


@router.get("/log/export/{form}")
def export(request: Request, context: TheContext, actor: Exporting, form: str) -> Response:
    """Every text that matches, as a file; who took what out is on record. 404 for a form there is none of."""
    if form not in delivery_log.FORMATS:
        raise HTTPException(404)
    now = clock.now()
    fields = dict(request.query_params)
    elsewhere = _without_references(f"/log/export/{form}", context, actor, fields, "export")
    if elsewhere is not None:
        return elsewhere
    asked = _ask(context, actor, fields, "export")
    if asked.wanted is None:
        return _page(request, context, actor, dict(request.query_params))
    wanted = replace(asked.wanted, limit=2**62)
    delivery_log.note_export(context.database, asked, form, now, who=actor.who)
    headers = {"Content-Disposition": f'attachment; filename="texts-{now:%Y-%m-%d}.{form}"'}
    kind = delivery_log.FORMATS[form][1]
    if form == "xlsx":
        return StreamingResponse(
            _pieces(delivery_log.as_workbook(context.database, wanted)), media_type=kind, headers=headers
        )
    lines = (
        delivery_log.as_csv(context.database, wanted)
        if form == "csv"
        else delivery_log.as_jsonl(context.database, wanted)
    )
    return StreamingResponse(lines, media_type=kind, headers=headers)


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(65_536):
            yield piece


# What is done with lines that were ticked


@router.post("/log/do", response_class=HTMLResponse)
def do(request: Request, context: TheContext, actor: Looking, form: Form) -> Response:
    """Do it with the ticked texts; without `sure` say first what it would do. 403 for who may not."""
    action, back = form["do"], form["back"]
    if action not in ACTIONS:
        raise HTTPException(404)
    _, permission = ACTIONS[action]
    if not actor.may(permission):
        raise HTTPException(403, "Your role does not let you do that.")
    ids = [int(one) for one in form.all("text") if one.isascii() and one.isdecimal() and len(one) < 20][:PER_PAGE]
    if not ids:
        return see(f"/log?{back}&done=none" if back else "/log?done=none")
    now, sites = clock.now(), actor.sites(permission)
    if form["sure"] != "yes":
        texts = context.database.read(
            lambda tx: [
                text for one in ids for text in queries.texts.log(tx, LogFilter(text=one, sites=sites, limit=1))
            ]
        )
        site = min(actor.sites("look"), default=0)
        delivery_log.note_read(
            context.database, [one.text for one in texts], now, who=actor.who, site=site, by_number=False
        )
        return draw(request, "log-do.html", action=action, texts=texts, back=back, **_consequences(action, texts, now))
    verb = {"wrong": failed_texts.mark_numbers_wrong, "task": failed_texts.open_tasks, "again": failed_texts.try_again}[
        action
    ]
    dealt = verb(context, ids, now, sites=sites, who=actor.who)
    return draw(request, "log-done.html", action=action, dealt=dealt, back=back)


def _consequences(action: str, texts: Sequence[Logged], now: datetime) -> dict[str, Any]:
    left: dict[str, int] = {}
    does = 0
    numbers = {text.number_id for text in texts}
    for text in texts:
        why = failed_texts.why_not_again(text, now) if action == "again" else None
        if why is None:
            does += 1
        else:
            left[why] = left.get(why, 0) + 1
    return {"does": len(numbers) if action == "wrong" else does, "left": left}


def _done(word: str) -> str | None:
    return {"none": "Nothing was ticked. Tick the texts first."}.get(word)
