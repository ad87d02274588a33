"""Sites and senders: how each is set up, closures, the rota, and the switch that stops all sending."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from reminders import clock, queries, wording
from reminders.paging import Contact
from reminders.service.office import sites
from reminders.service.office.sites import FIELDS, Refused, Site
from reminders.service.operations import health
from reminders.service.tasks import oncall
from reminders.web.access import Actor, Administering, Looking, Operating, Pausing
from reminders.web.forms import Form, day_in
from reminders.web.render import draw, see
from reminders.web.webhooks import TheContext
from reminders.wording import house_style

router = APIRouter()

DONE = {
    "made": "The site is there. Plans may name it now.",
    "changed": "The site is changed. Texts that stand are judged again before they go.",
    "paused": "Sending is paused. Replies are still heard.",
    "resumed": "Sending is on again. What is too late by now does not go.",
    "closed": "The closure is entered. No text goes about the site's own visits that day.",
    "open": "The closure is taken back.",
}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def _site(context: TheContext, actor: Actor, key: str, permission: str = "look") -> Site:
    found = sites.one(context, key, clock.now(), actor.sites("look"))
    if found is None:
        raise HTTPException(404)
    if not actor.may(permission, found.id):
        raise HTTPException(403, "Your role does not let you do that at this site.")
    return found


@router.get("/sites", response_class=HTMLResponse)
def list_sites(request: Request, context: TheContext, actor: Looking, done: str = "") -> HTMLResponse:
    """The sites, and who is on call."""
    rota = oncall.rota(context)
    return draw(
        request,
        "sites.html",
        sites=sites.listed(context, clock.now(), actor.sites("look")),
        contacts=[_shift(contact) for contact in rota.contacts],
        gaps=rota.gaps(),
        may_add=actor.may("administer"),
        done=DONE.get(done),
    )


def _shift(contact: Contact) -> tuple[str, str, str, bool]:
    days = ", ".join(_DAYS[day - 1] for day in sorted(contact.days)) if len(contact.days) < 7 else "every day"
    all_day = contact.starts == contact.ends
    hours = "day and night" if all_day else f"{house_style.hour(contact.starts)} to {house_style.hour(contact.ends)}"
    return contact.name, days or "no day", hours, contact.supervisor


@router.get("/sites/new", response_class=HTMLResponse)
def new_site(request: Request, context: TheContext, actor: Administering) -> HTMLResponse:
    """The form for another site."""
    del actor
    default = context.settings
    chosen = dict.fromkeys(FIELDS, "") | {"zone": default.site.zone, "region": default.site.region, "pace": "1"}
    quiet = default.sending.quiet_hours
    chosen |= {"quiet_from": f"{quiet[0]:%H:%M}", "quiet_to": f"{quiet[1]:%H:%M}"}
    return draw(request, "site-new.html", chosen=chosen, problems={}, longest=wording.LONGEST_ALIAS)


@router.post("/sites/new", response_class=HTMLResponse)
def add_site(request: Request, context: TheContext, actor: Administering, form: Form) -> Response:
    """Make a site. 403 for who administers some sites only, 422 with the problems."""
    if not actor.may("administer", 0):
        raise HTTPException(403, "Only someone who administers every site can add one.")
    chosen = {name: form[name] for name in FIELDS}
    try:
        key = sites.add(context, chosen, clock.now(), who=actor.who)
    except Refused as refusal:
        more = {"chosen": chosen, "problems": refusal.problems, "longest": wording.LONGEST_ALIAS}
        return draw(request, "site-new.html", status=422, **more)
    return see(f"/sites/{key}", done="made")


@router.get("/sites/{key}", response_class=HTMLResponse)
def show_site(request: Request, context: TheContext, actor: Looking, key: str, done: str = "") -> HTMLResponse:
    """One site."""
    return _draw(request, context, actor, _site(context, actor, key), done=DONE.get(done))


def _draw(
    request: Request,
    context: TheContext,
    actor: Actor,
    site: Site,
    *,
    chosen: dict[str, str] | None = None,
    problems: dict[str, str] | None = None,
    closure: str = "",
    done: str | None = None,
) -> HTMLResponse:
    return draw(
        request,
        "site.html",
        status=422 if problems else 200,
        site=site,
        is_default=site.key == context.settings.site.key,
        chosen=chosen or site.fields,
        problems=problems or {},
        closure=closure,
        longest=wording.LONGEST_ALIAS,
        may_change=actor.may("administer", site.id),
        may_pause=actor.may("pause", site.id),
        may_resume=actor.may("operate", site.id),
        done=done,
    )


@router.post("/sites/{key}", response_class=HTMLResponse)
def change_site(request: Request, context: TheContext, actor: Administering, key: str, form: Form) -> Response:
    """Change a site. 422 with the problems."""
    site = _site(context, actor, key, "administer")
    chosen = {name: form[name] for name in FIELDS} | {"key": key}
    try:
        sites.change(context, key, chosen, clock.now(), sites=actor.sites("administer"), who=actor.who)
    except Refused as refusal:
        return _draw(request, context, actor, site, chosen=chosen, problems=refusal.problems)
    return see(f"/sites/{key}", done="changed")


@router.post("/sites/{key}/closures", response_class=HTMLResponse)
def change_closures(request: Request, context: TheContext, actor: Administering, key: str, form: Form) -> Response:
    """Enter a closure, or take one back (`open`). 422 with the problems."""
    site = _site(context, actor, key, "administer")
    is_back = bool(form["open"])
    typed = form["open"] or form["on"]
    on = day_in(typed)
    if on is None:
        problems = {"on": "Enter a date, such as 2026-12-25"}
        return _draw(request, context, actor, site, problems=problems, closure=typed)
    try:
        sites.set_closure(
            context, key, on, clock.now(), closed=not is_back, sites=actor.sites("administer"), who=actor.who
        )
    except Refused as refusal:
        return _draw(request, context, actor, site, problems=refusal.problems, closure=typed)
    return see(f"/sites/{key}", done="open" if is_back else "closed")


@router.get("/sites/{key}/pause", response_class=HTMLResponse)
def ask_to_pause(request: Request, context: TheContext, actor: Pausing, key: str) -> HTMLResponse:
    """What pausing would hold up."""
    site, now = _site(context, actor, key, "pause"), clock.now()
    waiting = context.database.read(lambda tx: queries.texts.waiting(tx, site.id, now))
    return draw(request, "site-pause.html", site=site, waiting=waiting)


@router.post("/sites/{key}/pause")
def pause(context: TheContext, actor: Pausing, key: str) -> Response:
    """Stop all sending of a site."""
    _site(context, actor, key, "pause")
    health.pause_site(context, key, clock.now(), pause=True, who=actor.who)
    return see(f"/sites/{key}", done="paused")


@router.post("/sites/{key}/resume")
def resume(context: TheContext, actor: Operating, key: str) -> Response:
    """Start it again."""
    _site(context, actor, key, "operate")
    health.pause_site(context, key, clock.now(), pause=False, who=actor.who)
    return see(f"/sites/{key}", done="resumed")
