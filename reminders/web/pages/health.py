"""Is it well, and how much of what: lights with what to do, and charts with their numbers behind them."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse

from reminders import clock, plans, queries
from reminders.queries import statistics
from reminders.queries.statistics import Numbers, Point
from reminders.service.operations import health_checks
from reminders.service.tasks import oncall
from reminders.sms import codes
from reminders.web.access import Looking, Operating
from reminders.web.charts import Chart, columns, lines, log_scale
from reminders.web.render import draw
from reminders.web.webhooks import TheContext
from reminders.wording import house_style

router = APIRouter()

RANGES: Mapping[str, str] = MappingProxyType({"24h": "24 hours", "7d": "7 days", "30d": "30 days", "90d": "13 weeks"})
ENOUGH = 5  # texts, for a chart to say anything
TARGET = 0.95
SLOW = 60.0  # seconds from a window's opening to the hand-over
SILENT = 300.0  # seconds from the hand-over to Twilio's word
TOP_CODES = 8
_SPELLS = ((1, "1 s"), (10, "10 s"), (60, "1 min"), (600, "10 min"), (3_600, "1 h"), (86_400, "1 d"))


@router.get("/health", response_class=HTMLResponse)
def health(request: Request, context: TheContext, actor: Looking, range: str = "24h", site: str = "") -> HTMLResponse:  # ruff: ignore[builtin-argument-shadowing]  the word in the address
    """The lights and the charts of a range; 404 for a range or a site there is none of."""
    now = clock.now()

    def look(tx: queries.Transaction) -> tuple[Numbers, list[str]]:
        places = {row.key: row for row in queries.people.all_sites(tx) if row.id in actor.sites("look")}
        if range not in RANGES or (site and site not in places):
            raise HTTPException(404)
        zone = places[site].zone if site else context.settings.site.zone
        sites = [places[site].id] if site else sorted(row.id for row in places.values())
        price = context.settings.sending.price_per_segment
        found = statistics.numbers(tx, now, range_=range, zone=zone, sites=sites, site=site or None, price=price)
        return found, list(places)

    numbers, sites = context.database.read(look)
    tried = numbers.whole.handed_over + numbers.whole.not_delivered
    return draw(
        request,
        "health.html",
        lights=health_checks.lights(context, now),
        numbers=numbers,
        whole=numbers.whole,
        tried=tried,
        enough=tried >= ENOUGH,
        charts=_charts(numbers) if tried >= ENOUGH else [],
        codes=[
            (code, codes.look_up(code).meaning, many, _log(numbers.whole, numbers, code=str(code)))
            for code, many in numbers.codes.most_common(TOP_CODES)
        ],
        most=max(numbers.codes.values(), default=1),
        range_=range,
        site=site,
        sites=sites,
        ranges=[(name, word, _here(name, site)) for name, word in RANGES.items()],
        wheres=[("", "All sites", _here(range, ""))] + [(key, key, _here(range, key)) for key in sites],
        links={
            "handed_over": _log(numbers.whole, numbers, state="handed_over"),
            "delivered": _log(numbers.whole, numbers, state="delivered"),
            "not_delivered": _log(numbers.whole, numbers, state="undelivered"),
        },
        spell=_spell,
        may_test=actor.may("operate", 0),
    )


@router.post("/health/test-page", response_class=HTMLResponse)
def test_page(request: Request, context: TheContext, actor: Operating) -> HTMLResponse:
    """Page everyone on call that this is a test, and say whose service took it. 403 for who operates one site only."""
    if not actor.may("operate", 0):
        raise HTTPException(403, "Only someone who runs every site can page everyone.")
    tested = asyncio.run(oncall.try_everyone(context, clock.now(), who=actor.who))
    return draw(request, "health-tested.html", tested=tested)


def _here(range_: str, site: str) -> str:
    asked = {name: value for name, value in {"range": range_, "site": site}.items() if value}
    return f"/health?{urlencode(asked)}"


def _log(point: Point, numbers: Numbers, **more: str) -> str:
    """The texts of a point, in the log."""
    asked = {"since": point.since.isoformat(), "until": point.until.isoformat(), "site": numbers.site or "", **more}
    return f"/log?{urlencode({name: value for name, value in asked.items() if value})}"


def _label(at: datetime, numbers: Numbers) -> str:
    wall = plans.to_wall(at, numbers.zone)
    return house_style.hour(wall) if numbers.range == "24h" else house_style.month_day(wall)


def _charts(numbers: Numbers) -> list[Chart]:
    points = numbers.points
    places = [(_label(point.since, numbers), _log(point, numbers)) for point in points]
    spells = log_scale(1, 86_400)
    return [
        columns(
            "texts",
            "Texts",
            "By when their window opened. Handed over is not delivered.",
            places,
            [
                ("line-2", "delivered", [point.delivered for point in points]),
                ("line-1", "handed over, end not known", [point.handed_over - point.delivered for point in points]),
                ("line-3", "not delivered", [point.not_delivered for point in points]),
            ],
        ),
        lines(
            "rate",
            "Delivery rate",
            "Delivered, of those known to have ended.",
            places,
            [("line-1", "delivery rate", [point.delivery_rate for point in points])],
            scale=lambda value: (value - 0.5) * 2,
            ticks=[(0.5, "50%"), (0.75, "75%"), (1, "100%")],
            thresholds=[(TARGET, f"target {TARGET:.0%}")],
            shown=lambda value: f"{value:.1%}",
        ),
        lines(
            "lag",
            "From a window's opening to the hand-over",
            "Half of the texts were handed over within the first line, 95 in 100 within the second.",
            places,
            [
                ("line-1", "half within", [point.lag[0] for point in points]),
                ("line-4", "95 in 100 within", [point.lag[1] for point in points]),
            ],
            scale=spells,
            ticks=_SPELLS,
            thresholds=[(SLOW, "slow: over a minute")],
            shown=_spell,
        ),
        lines(
            "word",
            "From the hand-over to Twilio's word of the end",
            "Mostly how soon callbacks come.",
            places,
            [
                ("line-1", "half within", [point.word[0] for point in points]),
                ("line-4", "95 in 100 within", [point.word[1] for point in points]),
            ],
            scale=spells,
            ticks=_SPELLS,
            thresholds=[(SILENT, "late: over 5 minutes")],
            shown=_spell,
        ),
        columns(
            "replies",
            "Replies",
            "What was texted to us, by when it came.",
            places,
            [
                ("line-1", "other replies", [point.replies - point.stops for point in points]),
                ("line-3", "STOPs", [point.stops for point in points]),
            ],
        ),
        columns(
            "segments",
            "Segments",
            "What Twilio took and bills.",
            places,
            [("line-1", "segments", [point.segments for point in points])],
        ),
    ]


def _spell(seconds: float) -> str:
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {word}"
    return f"{seconds:.1f} s"
