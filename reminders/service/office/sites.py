"""Sites and their senders: what staff may change. The default site is what the settings say, so of it only closures are
added here; other sites live in the database alone.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from reminders import plans, store
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.settings import SendingSettings, SiteSettings, TwilioSettings, explained, origin
from reminders.store.records import SenderRow, SiteRow

FIELDS = ("key", "alias", "phone", "line24", "zone", "region", "quiet_from", "quiet_to", "sender", "pace")
_SETTINGS = {
    "key": ("site", "key"),
    "alias": ("site", "alias"),
    "phone": ("site", "phone"),
    "line24": ("site", "line24"),
    "zone": ("site", "zone"),
    "region": ("site", "region"),
    "quiet_hours": ("sending", "quiet_hours"),
    "sender": ("twilio", "sender"),
    "pace": ("twilio", "segments_per_second"),
    "closures": ("site", "closures"),
    "on_call": ("site", "on_call"),
}


class Refused(ValueError):  # ruff: ignore[error-suffix-on-exception-name]  a verdict, in words for who asked
    """It is not done. `problems` say by field what would be right."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {said}" for name, said in problems.items()))
        self.problems = dict(problems)


@dataclass(frozen=True, slots=True)
class Sender:
    """A number or messaging service that a site's texts come from; `is_used` for the one that they go by now."""

    address: str
    pace: float
    is_used: bool
    stopped_until: datetime | None
    stopped_code: int | None


@dataclass(frozen=True, slots=True)
class Site:
    """A site as it is shown. `from_settings` says of each of the default site's values where it comes from.

    Closures in `added` were entered by staff; the others stand in the settings.
    """

    id: int
    key: str
    alias: str
    phone: str
    line24: str
    zone: str
    region: str
    quiet_from: str
    quiet_to: str
    closures: tuple[date, ...]
    added: frozenset[date]
    paused_at: datetime | None
    senders: tuple[Sender, ...]
    from_settings: Mapping[str, str]

    @property
    def fields(self) -> dict[str, str]:
        """Its values as a form holds them."""
        used = next((sender for sender in self.senders if sender.is_used), None)
        mine = {name: str(getattr(self, name)) for name in FIELDS if name not in {"sender", "pace"}}
        return mine | {"sender": used.address if used else "", "pace": f"{used.pace:g}" if used else ""}


def listed(context: AppContext, now: datetime, sites: Collection[int] | None = None) -> list[Site]:
    """These sites (None: all), the default one first."""

    def look(tx: store.Transaction) -> list[Site]:
        store.people.keep_default_site(tx, context.settings, now)
        rows = [row for row in store.people.all_sites(tx) if sites is None or row.id in sites]
        of_site: dict[int, list[SenderRow]] = {}
        for row in store.people.senders_of(tx, [row.id for row in rows]):
            of_site.setdefault(row.site_id, []).append(row)
        found = [_site(context, tx, row, of_site.get(row.id, [])) for row in rows]
        return sorted(found, key=lambda site: (site.key != context.settings.site.key, site.key))

    return context.database.write(look, again=True)


def one(context: AppContext, key: str, now: datetime, sites: Collection[int] | None = None) -> Site | None:
    """The site of that key, if it is one of these."""
    return next((site for site in listed(context, now, sites) if site.key == key), None)


def _site(context: AppContext, tx: store.Transaction, row: SiteRow, senders: list[SenderRow]) -> Site:
    is_default = row.key == context.settings.site.key
    used = store.people.sender_of(tx, row.id, context.settings.twilio.sender) if senders else None
    added = frozenset(map(date.fromisoformat, row.added_closures if is_default else row.closures))
    return Site(
        id=row.id,
        key=row.key,
        alias=row.alias,
        phone=row.phone,
        line24=row.line24,
        zone=row.zone,
        region=row.region,
        quiet_from=row.quiet_from,
        quiet_to=row.quiet_to,
        closures=tuple(map(date.fromisoformat, sorted(row.closures))),
        added=added,
        paused_at=row.paused_at,
        senders=tuple(
            Sender(one.address, one.segments_per_second, one.id == used, one.stopped_until, one.stopped_code)
            for one in senders
        ),
        from_settings={name: origin(context.settings, *place) for name, place in _SETTINGS.items()}
        if is_default
        else {},
    )


def add(context: AppContext, fields: Mapping[str, str], now: datetime, *, who: str) -> str:
    """Make a site with its sender; its key. Plans may name it from then on. Raises Refused."""
    values, sender, pace = _checked(context, fields, now)

    def work(tx: store.Transaction) -> str:
        store.people.keep_default_site(tx, context.settings, now)
        if store.people.sender_at(tx, sender) is not None:
            raise Refused({"sender": "Another site has this sender; what comes in by it could be for either"})
        site_id = store.people.add_site(tx, now, **values)
        if site_id is None:
            raise Refused({"key": "There is a site of this key already"})
        store.people.keep_sender(tx, site_id, sender, pace, now)
        _note(tx, site_id, Action.SITE_MADE, now, who, after=values | {"sender": sender, "pace": pace})
        return str(values["key"])

    return context.database.write(work)


def change(
    context: AppContext, key: str, fields: Mapping[str, str], now: datetime, *, sites: Collection[int] | None, who: str
) -> bool:
    """Change a site other than the default one, or its sender; whether there is such a site. Raises Refused.

    Texts that stand are judged again before they go: by these hours, and in these words.
    """
    values, sender, pace = _checked(context, {**fields, "key": key}, now)
    if key == context.settings.site.key:
        raise Refused({"key": "The default site is what the settings say. Change them there"})

    def work(tx: store.Transaction) -> bool:
        row = store.people.site_by_key(tx, key)
        if row is None or (sites is not None and row.id not in sites):
            return False
        other = store.people.sender_at(tx, sender)
        if other is not None and other.site_id != row.id:
            raise Refused({"sender": "Another site has this sender; what comes in by it could be for either"})
        before = {name: getattr(row, name) for name in values}
        store.people.change_site(tx, row.id, **values)
        store.people.keep_sender(tx, row.id, sender, pace, now)
        _note(tx, row.id, Action.SITE_CHANGED, now, who, before=before, after=values | {"sender": sender, "pace": pace})
        return True

    return context.database.write(work)


def _checked(context: AppContext, fields: Mapping[str, str], now: datetime) -> tuple[dict[str, Any], str, float]:
    """What a form says of a site and its sender, by the models that read the settings. Raises Refused."""
    problems: dict[str, str] = {}
    known = context.database.read(lambda tx: context.known(tx, now))
    typed = {name: fields.get(name, "").strip() for name in FIELDS}
    for name in ("phone", "line24"):
        try:
            typed[name] = plans.find_phone(typed[name], known)
        except (plans.PlanRefused, ValueError):
            problems[name] = "Enter a whole phone number, such as (202) 555-0100"
    mine = {name: typed[name] for name in ("key", "alias", "phone", "line24", "zone", "region")}
    if typed["key"] == "new":
        problems["key"] = "Choose another key: this one is the address of the form"
    quiet, line = {"quiet_hours": (typed["quiet_from"], typed["quiet_to"])}, {"sender": typed["sender"]}
    line |= {"segments_per_second": typed["pace"]}
    for model, values in ((SiteSettings, mine), (SendingSettings, quiet), (TwilioSettings, line)):
        try:
            model.model_validate(values)
        except ValidationError as error:
            for name, said in explained(error).items():
                field = {"quiet_hours": "quiet_from", "segments_per_second": "pace"}.get(name, name)
                problems.setdefault(field, said[:1].upper() + said[1:])
    if problems:
        raise Refused(problems)
    hours = SendingSettings.model_validate(quiet).quiet_hours
    values = {**mine, "quiet_from": f"{hours[0]:%H:%M}", "quiet_to": f"{hours[1]:%H:%M}"}
    return values, typed["sender"], float(typed["pace"])


def set_closure(
    context: AppContext, key: str, on: date, now: datetime, *, closed: bool, sites: Collection[int] | None, who: str
) -> bool | None:
    """Say that a site is closed on a day, or no more; whether that was news, None where there is no such site.

    No text goes about its own visits that day: each is judged again before it goes. Raises Refused for a day that has
    passed, and for one that stands in the settings.
    """
    is_default = key == context.settings.site.key
    if not closed and is_default and on in context.settings.site.closures:
        raise Refused({"on": "This day stands in the settings (site.closures). Change it there"})

    def work(tx: store.Transaction) -> bool | None:
        store.people.keep_default_site(tx, context.settings, now)
        row = store.people.site_by_key(tx, key)
        if row is None or (sites is not None and row.id not in sites):
            return None
        today = plans.to_wall(now, row.zone).date()
        if closed and not today <= on <= today + timedelta(days=3 * 366):
            raise Refused({"on": "Enter a day from today on, within three years"})
        day, before = on.isoformat(), set(row.closures)
        after = before | {day} if closed else before - {day}
        if after == before:
            return False
        added = sorted(set(row.added_closures) | {day} if closed else set(row.added_closures) - {day})
        store.people.change_site(tx, row.id, closures=sorted(after), added_closures=added)
        what = Action.CLOSURE_ADDED if closed else Action.CLOSURE_TAKEN_BACK
        _note(tx, row.id, what, now, who, after={"day": day})
        return True

    return context.database.write(work, again=True)


def _note(
    tx: store.Transaction, site_id: int, what: Action, now: datetime, who: str, **values: Mapping[str, Any]
) -> None:
    before, after = (json.dumps(values.get(name), sort_keys=True) for name in ("before", "after"))
    store.audit_log.note(tx, who=who, what=what, table="sites", row=site_id, now=now, before=before, after=after)
