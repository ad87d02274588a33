"""How a page is drawn: the templates, what stands on every page, and what is said when a page cannot be had."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from jinja2 import Environment, FunctionLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from reminders import __version__, clock, lifecycle, plans, queries, task_kinds
from reminders.queries import explanations
from reminders.service import AppContext
from reminders.service.operations.legible import legible
from reminders.wording import house_style, staff_words

AREAS = (
    ("Today", "/", "look"),
    ("Plans", "/plans", "look"),
    ("Inbox", "/inbox", "look"),
    ("Log", "/log", "look"),
    ("Health", "/health", "look"),
)
"""What stands in the bar of every page: word, address, and the permission that shows it."""

MORE = (
    ("Sessions", "/sessions", "look"),
    ("Wording", "/wording", "look"),
    ("Sites and senders", "/sites", "look"),
    ("Staff", "/users", "administer"),
    ("Audit", "/audit", "audit"),
)
"""The same, behind the word More."""


def _template(name: str) -> str:
    return (files("reminders.web") / "templates" / name).read_text(encoding="utf-8")


def ago(at: datetime, now: datetime) -> str:
    """How long ago, or in how long: `3 min ago`, `in 2 h`. Never alone on a page: the instant stands beside it."""
    spell = now - at
    seconds = abs(spell.total_seconds())
    if seconds < 60:
        return "just now" if spell >= timedelta(0) else "in a moment"
    amount = next(
        f"{int(seconds // size)} {word}" for size, word in ((86400, "d"), (3600, "h"), (60, "min")) if seconds >= size
    )
    return f"{amount} ago" if spell >= timedelta(0) else f"in {amount}"


def short_name(name: str) -> str:
    """A person's first name and the first letter of the last: `Jordan A.`."""
    first, *others = name.split() or [name]
    return f"{first} {others[-1][0]}." if others else first


def shown(text: object) -> Markup:
    """What others wrote, for a page: apart from what stands around it, and with nothing in it that turns a line."""
    return Markup("<bdi>{}</bdi>").format(legible(str(text)))


@pass_context
def called(frame: Context, who: str | None, actor: Any = None) -> str:
    """What to call whoever did something: `you`, a person's name, or the program."""
    if actor is not None and who == actor.who:
        return "you"
    kind, _, login = (who or "no one").rpartition(":")
    return (frame["names"]().get(login) or login) if kind == "staff" else who or "no one"


def programs_named(keys: str | None) -> str:
    """The titles of a plan's programs (their keys, with commas between); empty for none."""
    known = plans.programs()
    return ", ".join(known[key].title if key in known else key for key in re.findall(r"[^,\s]+", keys or ""))


def wall_hour(typed: str) -> str:
    """A time as settings and fields hold it, in the house style; what is no time as it is."""
    at = house_style.read_hour(typed)
    return typed if at is None else house_style.hour(at)


templates = Environment(
    loader=FunctionLoader(_template),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=StrictUndefined,
)
templates.globals.update(
    states=staff_words.STATES,
    groups=lifecycle,
    tell=explanations.tell,
    advice=explanations.advice,
    visits=staff_words.VISITS,
    modes=staff_words.MODES,
    meanings=staff_words.MEANINGS,
    lead_words=staff_words.lead_words,
    reasons=staff_words.REASONS,
    kinds=task_kinds.KINDS,
    called=called,
    programs=programs_named,
    wall_hour=wall_hour,
    wall_of=datetime.fromisoformat,
    near=house_style.near,
    style=house_style,
    ago=ago,
    version=__version__,
)
templates.filters["legible"] = legible
templates.filters["shown"] = shown
templates.filters["short_name"] = short_name
templates.filters["clock_time"] = house_style.clock_time
templates.filters["phone"] = house_style.phone
templates.filters["query"] = lambda fields: urlencode({name: value for name, value in fields.items() if value})


def draw(request: Request, template: str, /, *, status: int = 200, **values: Any) -> HTMLResponse:
    """The page of that template, in the frame that all pages share.

    In the frame: the areas that whoever is signed in may look at, urgent tasks that no one has taken, whether sending
    is paused, and the site's clock. `values` are the template's own. Raises Unavailable.
    """
    return HTMLResponse(templates.get_template(template).render(_frame(request) | values), status)


def _frame(request: Request) -> dict[str, Any]:
    context: AppContext = request.app.state.context
    actor = getattr(request.state, "actor", None)
    now = clock.now()

    def look(tx: queries.Transaction) -> tuple[list[tuple[str, datetime]], int]:
        sites = actor.sites("look") if actor is not None else ()
        paused = [
            (row.key, row.paused_at) for row in queries.people.paused_sites(tx) if row.id in sites and row.paused_at
        ]
        return paused, queries.tasks.alarms(tx, sites).count

    paused, ringing = context.database.read(look) if actor is not None else ([], 0)
    return {
        "path": request.url.path,
        "actor": actor,
        "areas": [area for area in AREAS if actor is not None and actor.may(area[2])],
        "more": [area for area in MORE if actor is not None and actor.may(area[2])],
        "paused": paused,
        "ringing": ringing,
        "zone": context.settings.site.zone,
        "now": now,
        "names": cache(lambda: context.database.read(queries.accounts.names)),
        "demo": not context.settings.twilio.live,
        "done": None,
    }


def problem(request: Request, status: int, title: str, said: str, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that is not what was asked for: a page for a browser, one line for everyone else.

    It is drawn without the database, which may be what is missing.
    """
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse(f"{said}\n", status, headers)
    bare = {"path": "", "actor": None, "areas": (), "more": (), "paused": (), "ringing": 0, "demo": False, "done": None}
    return HTMLResponse(templates.get_template("problem.html").render(bare, title=title, said=said), status, headers)


def see(path: str, **fields: str) -> RedirectResponse:
    """On to another page after something was done, so that going back or again does not do it again.

    `done` among the fields is a word that the page there knows what to say for; nothing else is repeated to people.
    """
    return RedirectResponse(f"{path}?{urlencode(fields)}" if fields else path, 303)
