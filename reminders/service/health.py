"""Is it working? `status` for monitors, `doctor` for people, and the switch that stops all sending."""

import asyncio
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from reminders import clock, store, wording
from reminders.plans import is_fictional
from reminders.service.house import House
from reminders.sms import codes
from reminders.sms.probe import is_shown, probe_webhook

STALE_AFTER = 3  # a job is stale when it has not succeeded for this many of its intervals …
AT_LEAST = timedelta(seconds=60)  # … and at least this long
OVERDUE = timedelta(minutes=5)
FIXED_SQLITE = (3, 51, 3)


@dataclass(frozen=True, slots=True)
class JobHealth:
    """One job: its last success, the age of that in seconds, and its last error if that came later."""

    last_success: datetime | None
    age_seconds: float | None
    error: str | None
    fresh: bool


@dataclass(slots=True)
class Status:
    """How the service does (CONTRACT: status). `troubles` says in words what keeps it from being ok."""

    ok: bool
    jobs: dict[str, JobHealth]
    due: int
    oldest_due_seconds: float | None
    sending: int
    uncertain: int
    troubles: list[str] = field(default_factory=list)


def job_intervals(house: House) -> dict[str, float]:
    """The jobs that run here, and the seconds between two runs of each."""
    jobs = house.settings.jobs
    intervals = {
        "send": jobs.send_seconds,
        "settle": jobs.settle_seconds,
        "plan": jobs.plan_seconds,
        "ask": jobs.ask_seconds,
    }
    if jobs.import_folder is not None:
        intervals["import"] = jobs.import_seconds
    return intervals


def status(house: House, now: datetime) -> Status:
    """How the service does at `now`. Health is the age of the last successful scan (rule 11). Raises Unavailable."""

    def look(tx: store.Transaction) -> Status:
        depth = store.queue.depth(tx, now)
        rows = {row.name: row for row in store.records.runs(tx)}
        jobs, troubles = {}, []
        for name, interval in job_intervals(house).items():
            row = rows.get(name)
            last = row.last_success if row is not None else None
            age = (now - last).total_seconds() if last is not None else None
            fresh = age is not None and age <= max(STALE_AFTER * interval, AT_LEAST.total_seconds())
            failed = row is not None and row.last_error_at is not None and (last is None or row.last_error_at > last)
            jobs[name] = JobHealth(last, age, row.last_error if failed and row is not None else None, fresh)
            if not fresh:
                troubles.append(f"the {name} job has not succeeded {'yet' if last is None else 'lately'}")
        oldest = (now - depth.oldest_due_at).total_seconds() if depth.oldest_due_at is not None else None
        if oldest is not None and oldest > OVERDUE.total_seconds():
            troubles.append(f"the oldest due text has waited for {oldest / 60:.0f} minutes")
        troubles += [
            f"a sender rests: {codes.look_up(row.stopped_code or 0).meaning}"
            for row in store.queue.stopped_senders(tx, now)
        ]
        if depth.unreadable:
            troubles.append(f"{depth.unreadable} texts are held: their personal data does not open (reminders doctor)")
        troubles += [f"sending is paused for the site {site.key}" for site in store.people.paused_sites(tx)]
        return Status(
            ok=not troubles,
            jobs=jobs,
            due=depth.due,
            oldest_due_seconds=oldest,
            sending=depth.sending,
            uncertain=depth.uncertain,
            troubles=troubles,
        )

    return house.database.read(look)


def pause_site(house: House, key: str | None, now: datetime, *, pause: bool, who: str) -> bool | None:
    """Stop or start all sending of a site, the default one where `key` is None; replies are still heard.

    Whether it changed anything; None where there is no such site.
    """

    def work(tx: store.Transaction) -> bool | None:
        store.people.keep_default_site(tx, house.settings, now)
        site = store.people.site_by_key(tx, key or house.settings.site.key)
        if site is None:
            return None
        changed = store.people.pause_site(tx, site.id, now if pause else None) == 1
        if changed:
            what = "sending paused" if pause else "sending resumed"
            store.records.note(tx, who=who, what=what, table="sites", row=site.id, now=now)
        return changed

    return house.database.write(work, again=True)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the doctor looked at, and what to do where it is not well."""

    check: str
    ok: bool
    detail: str
    fix: str | None = None


async def doctor(house: House, *, live: bool = False) -> list[Check]:
    """Look at everything a text depends on; with `live` also at what must be so before the first real text."""
    checks = [*_database(house), _disk()]
    if house.settings.twilio.live or live:
        checks += await go_live(house)
    return [replace(check, fix=None) if check.ok else check for check in checks]


def _database(house: House) -> Iterator[Check]:
    try:
        store.check(house.database)
        yield Check("database", ok=True, detail=f"{house.database.dialect}, schema {store.head()}")
    except store.WrongSchema as wrong:
        yield Check("database", ok=False, detail=str(wrong), fix="reminders migrate")
        return
    except store.Unavailable as away:
        yield Check("database", ok=False, detail=f"cannot be used: {away}", fix="check database.url and the server")
        return
    try:
        house.database.read(lambda tx: tx.fingerprint("+12025550100"))
        yield Check("sealing keys", ok=True, detail=f"open what is sealed; {house.secrets.first_sealing_key} seals")
    except (store.Unreadable, LookupError) as error:
        yield Check(
            "sealing keys", ok=False, detail=str(error), fix="put the missing key back into REMINDERS_SEALING_KEYS"
        )
    ahead = house.database.skew(clock.machine)
    yield Check(
        "clock",
        ok=abs(ahead) <= timedelta(seconds=2),
        detail=f"{ahead.total_seconds():+.1f} s from the database's",
        fix="set this machine's clock (NTP); a worker more than 2 s off does not send",
    )
    if house.database.dialect == "sqlite":
        version = house.database.server_version
        fixed = tuple(map(int, version.split("."))) >= FIXED_SQLITE
        advice = (
            ""
            if fixed
            else (
                ": older than 3.51.3, whose write-ahead log fix it lacks; we checkpoint under the lock, and for many"
                " processes under load use PostgreSQL or a newer SQLite"
            )
        )
        yield Check("SQLite", ok=True, detail=version + advice)
    now = clock.now()
    for name, job in status(house, now).jobs.items():
        age = f"last success {job.age_seconds:.0f} s ago" if job.age_seconds is not None else "never succeeded yet"
        detail = age + (f"; then {job.error}" if job.error else "")
        yield Check(f"job {name}", ok=job.fresh, detail=detail, fix="start `python -m jobs`, or read its log")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free > 500_000_000
    fix = None if enough else "make room: a text that cannot be put on record is not sent"
    return Check("disk", ok=enough, detail=f"{free / 1e9:.1f} GB free", fix=fix)


async def go_live(house: House, *, webhooks: bool = True) -> list[Check]:
    """What must be so before the first real text; without `webhooks` for the process that is to answer them."""
    settings, site = house.settings, house.settings.site
    checks = [
        Check(
            "alias", ok=not wording.check_alias(site.alias), detail=site.alias, fix="set site.alias to a neutral name"
        )
    ]
    for name, number in (("phone", site.phone), ("24/7 line", site.line24)):
        real = not is_fictional(number)
        detail = "set" if real else "a number reserved for fiction"
        checks.append(Check(name, ok=real, detail=detail, fix="set site.phone and site.line24 to your own lines"))
    recorded = {
        "on-call": (bool(site.on_call), "name at least one contact in site.on_call (C-8)"),
        "consent wording": (bool(settings.go_live.consent_wording), "set go_live.consent_wording (L-31)"),
        "BAA": (settings.go_live.baa_on is not None, "sign Twilio's BAA and set go_live.baa_on (L-39b)"),
        "QSOA": (settings.go_live.qsoa_on is not None, "sign the QSOA clause and set go_live.qsoa_on (L-45)"),
        "campaign": (settings.go_live.campaign_on is not None, "register 10DLC and set go_live.campaign_on (L-30)"),
        "own keys": (not house.secrets.made_here, "set REMINDERS_SEALING_KEYS and REMINDERS_SECRET_KEY yourself"),
        "public address": (
            settings.web.public_url.startswith("https://"),
            "set web.public_url to the https address that Twilio calls",
        ),
    }
    checks += [
        Check(name, ok=ok, detail="recorded" if ok else "missing", fix=None if ok else fix)
        for name, (ok, fix) in recorded.items()
    ]
    for path in ("/sms/status/doctor", "/sms/inbound") if webhooks else ():
        problem = await probe_webhook(settings.web.public_url, path, house.secrets.auth_token)
        checks.append(
            Check(
                f"webhook {path}",
                ok=problem is None,
                detail=problem or "reachable; takes signed calls and refuses unsigned ones",
                fix=None if problem is None else "start `reminders web` and point web.public_url at it",
            )
        )
    for path in ("/log", "/metrics") if webhooks else ():
        shown = await is_shown(settings.web.public_url, path)
        checks.append(
            Check(
                f"page {path}",
                ok=not shown,
                detail="answers the whole world" if shown else "answers no stranger",
                fix="let the proxy pass on /sms/ only, and say who it speaks for (X-Forwarded-For)" if shown else None,
            )
        )
    return checks


class NotReady(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """`twilio.live` is true and the go-live checks do not pass. The message lists what is missing."""


def gate(house: House, *, webhooks: bool = True) -> None:
    """Refuse to go on live while anything that must be so is not. Raises NotReady; does nothing while not live."""
    if not house.settings.twilio.live:
        return
    failed = [check for check in asyncio.run(go_live(house, webhooks=webhooks)) if not check.ok]
    if failed:
        lines = "\n".join(f"- {check.check}: {check.detail}; {check.fix}" for check in failed)
        raise NotReady(f"twilio.live is true, but this is not ready to text real people:\n{lines}")
