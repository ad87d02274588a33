"""Sites, the switch that stops all their sending, and how the service does."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query

from reminders import clock, queries
from reminders.queries import statistics
from reminders.service import AppContext
from reminders.service.office.api_keys import Caller
from reminders.service.operations import health
from reminders.web.api.access import Door, TheCaller, TheContext, found, needs
from reminders.web.api.shapes import Page, Site, SitePaused, Stats

router = APIRouter(route_class=Door)

Which = Annotated[str, Path(description="The site's key.")]


@router.get("/sites", tags=["sites"], **needs("read", gives=Page[Site]))
def list_sites(*, context: TheContext, caller: TheCaller) -> Any:
    """The sites of this key, all on one page."""
    rows = context.database.read(queries.people.all_sites)
    return {"items": [row for row in rows if row.id in caller.sites], "next": None}


@router.post("/sites/{site}/pause", tags=["sites"], **needs("operate", gives=SitePaused))
def pause_site(*, context: TheContext, caller: TheCaller, site: Which) -> Any:
    """Stop all sending of a site. Replies are still heard."""
    return _pause(context, caller, site, pause=True)


@router.post("/sites/{site}/resume", tags=["sites"], **needs("operate", gives=SitePaused))
def resume_site(*, context: TheContext, caller: TheCaller, site: Which) -> Any:
    """Start sending again; what is too late by now does not go."""
    return _pause(context, caller, site, pause=False)


def _pause(context: AppContext, caller: Caller, site: str, *, pause: bool) -> dict[str, bool]:
    if site not in caller.sites.values():
        found(None)
    changed = found(health.pause_site(context, site, clock.now(), pause=pause, who=caller.who))
    return {"paused": pause, "changed": changed}


@router.get("/stats", tags=["stats"], **needs("read", gives=Stats))
def get_stats(
    *,
    context: TheContext,
    caller: TheCaller,
    range_: Annotated[
        Literal["24h", "7d", "30d", "90d", "all"] | None, Query(alias="range", description="Numbers of this long too.")
    ] = None,
) -> Any:
    """The numbers that `/metrics`, `reminders status --json` and, for a `range`, `reminders stats --json` show."""
    now = clock.now()
    sites = None if caller.every_site else caller.sites
    figures = statistics.figures(context.database, sites)
    said = health.status(context, now).as_json()
    del said["rules"]  # of the service; a key of one site sees that site's alone
    said |= {"texts": figures.texts, "tasks": figures.tasks, "numbers": None}
    if not caller.every_site:
        said["troubles"] = None
    if range_ is not None:
        zone, site, price = context.settings.site.zone, None, context.settings.sending.price_per_segment
        if not caller.every_site:
            zone, site = context.database.read(lambda tx: _zone(tx, caller.home)), caller.home
        counted = context.database.read(
            lambda tx: statistics.numbers(tx, now, range_=range_, zone=zone, sites=sites, site=site, price=price)
        )
        said["numbers"] = counted.as_json()
    return said


def _zone(tx: queries.Transaction, site: str) -> str:
    return str(found(queries.people.site_by_key(tx, site)).zone)
