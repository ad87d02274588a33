"""Is it working? `status` for monitors, `doctor` for people, and the switch that stops all sending."""

import asyncio
import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from reminders import clock, languages, store, wording
from reminders.app_context import AppContext
from reminders.audit_actions import Action
from reminders.plans import is_fictional
from reminders.service.office import heads
from reminders.service.operations import presence, proxies
from reminders.service.tasks import oncall
from reminders.settings import messenger
from reminders.sms import Unreachable, codes
from reminders.sms.probe import is_shown, probe_webhook
from reminders.store.office import job_runs
from reminders.store.sending.queue import StoppedSender

log = logging.getLogger(__name__)

STALE_AFTER = 3  # a job is stale when it has not succeeded for this many of its intervals …
AT_LEAST = timedelta(seconds=60)  # … and at least this long
OVERDUE = timedelta(minutes=5)
FIXED_SQLITE = (3, 51, 3)
BACKUP_AGE = timedelta(hours=24)
KEY_AGE = timedelta(days=366 + 31)  # a year; of keys that `keys make` made only the month is known


@dataclass(frozen=True, slots=True)
class JobHealth:
    """One job: its last success, the age of that in seconds, and its last error if that came later."""

    last_success: datetime | None
    age_seconds: float | None
    error: str | None
    fresh: bool


@dataclass(slots=True)
class Status:
    """How the service does (README.md#commands). `troubles` says in words what keeps it from being ok.

    `ringing` are the urgent tasks that no one has acknowledged, `pages` those that no contact's service has taken.
    """

    ok: bool
    jobs: dict[str, JobHealth]
    due: int
    oldest_due_seconds: float | None
    sending: int
    uncertain: int
    ringing: int = 0
    pages: int = 0
    tasks: dict[str, int] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "ok": self.ok,
            "jobs": {
                name: {"last_success": job.last_success, "age_seconds": job.age_seconds, "error": job.error}
                for name, job in self.jobs.items()
            },
            "queue": {
                "due": self.due,
                "oldest_due_seconds": self.oldest_due_seconds,
                "sending": self.sending,
                "uncertain": self.uncertain,
            },
            "troubles": self.troubles,
        }


def job_intervals(context: AppContext) -> dict[str, float]:
    """The jobs that run here, and the seconds between two runs of each."""
    jobs = context.settings.jobs
    intervals = {
        "send": jobs.send_seconds,
        "settle": jobs.settle_seconds,
        "plan": jobs.plan_seconds,
        "ask": jobs.ask_seconds,
        "poll": jobs.poll_seconds,
        "page": jobs.page_seconds,
        "watch": jobs.watch_seconds,
        "tally": jobs.tally_seconds,
        "chain": jobs.chain_seconds,
    }
    if jobs.import_folder is not None:
        intervals["import"] = jobs.import_seconds
    return intervals


def status(context: AppContext, now: datetime) -> Status:
    """How the service does at `now`. Health is the age of the last successful scan (sending rule 11). Raises
    Unavailable.
    """

    def look(tx: store.Transaction) -> Status:
        depth = store.queue.depth(tx, now)
        rows = {row.name: row for row in job_runs.runs(tx)}
        jobs, troubles = {}, []
        for name, interval in job_intervals(context).items():
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
        troubles += [f"a sender rests: {_why_it_rests(row, now)}" for row in store.queue.stopped_senders(tx, now)]
        if depth.unreadable:
            troubles.append(
                f"{depth.unreadable} texts are held: what is stored of them cannot be read (reminders doctor)"
            )
        troubles += [f"sending is paused for the site {site.key}" for site in store.people.paused_sites(tx)]
        alarms, pages = store.oncall.alarms(tx), store.oncall.unaccepted_pages(tx)
        if alarms.since is not None:
            minutes = (now - alarms.since).total_seconds() / 60
            troubles.append(
                f"urgent tasks that no one has acknowledged: {alarms.count}, the oldest for {minutes:.0f} min"
            )
        if pages:
            troubles.append(f"pages that were not taken and are repeated: {pages}")
        troubles += [f"{said}; {fix}" for said, fix in proxies.troubles(context, tx, now)]
        if context.settings.twilio.live:
            troubles += [f"no one is on call: {hours}" for hours in oncall.rota(context).gaps()]
        return Status(
            ok=not troubles,
            jobs=jobs,
            due=depth.due,
            oldest_due_seconds=oldest,
            sending=depth.sending,
            uncertain=depth.uncertain,
            ringing=alarms.count,
            pages=pages,
            tasks=store.tasks.open_by_urgency(tx),
            troubles=troubles,
        )

    return context.database.read(look)


def _why_it_rests(sender: StoppedSender, now: datetime) -> str:
    if sender.stopped_until - now > timedelta(days=365):
        return "the database was restored, and Twilio is asked first what went since the backup"
    return codes.look_up(sender.stopped_code or 0).meaning


def pause_site(context: AppContext, key: str | None, now: datetime, *, pause: bool, who: str) -> bool | None:
    """Stop or start all sending of a site, the default one where `key` is None; replies are still heard.

    Whether it changed anything; None where there is no such site.
    """

    def work(tx: store.Transaction) -> bool | None:
        store.people.keep_default_site(tx, context.settings, now)
        site = store.people.site_by_key(tx, key or context.settings.site.key)
        if site is None:
            return None
        changed = store.people.pause_site(tx, site.id, now if pause else None) == 1
        if changed:
            what = Action.SENDING_PAUSED if pause else Action.SENDING_RESUMED
            store.audit_log.note(tx, who=who, what=what, table="sites", row=site.id, now=now)
        return changed

    return context.database.write(work, again=True)


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the doctor looked at, and what to do where it is not well."""

    check: str
    ok: bool
    detail: str
    fix: str | None = None


async def doctor(context: AppContext, *, live: bool = False) -> list[Check]:
    """Look at everything a text depends on; with `live` also at what must be so before the first real text."""
    checks = [*_database(context), _disk(), *_languages(), *await _senders(context)]
    if context.settings.twilio.live or live:
        checks += await go_live(context)
    return [replace(check, fix=None) if check.ok else check for check in checks]


def _languages() -> Iterator[Check]:
    """Which languages a person may be texted in, and what others lack (W-5)."""
    try:
        yield Check("languages", ok=True, detail=", ".join(languages.offered().values()))
    except ValueError as problem:
        yield Check("languages", ok=False, detail=str(problem), fix="put the missing part back")
        return
    for lacking in languages.missing():
        fix = "add it; until then no one can be given this language"
        yield Check("language not offered", ok=False, detail=lacking, fix=fix)


def _database(context: AppContext) -> Iterator[Check]:
    try:
        store.check(context.database)
        yield Check("database", ok=True, detail=f"{context.database.dialect}, schema {store.head()}")
    except store.WrongSchema as wrong:
        yield Check("database", ok=False, detail=wrong.wrong, fix=wrong.fix)
        return
    except store.Unavailable as away:
        yield Check("database", ok=False, detail=f"cannot be used: {away}", fix="check database.url and the server")
        return
    try:
        context.database.read(lambda tx: tx.fingerprints("+12025550100"))
        yield _sealing_keys(context)
    except LookupError as lost:
        yield Check(
            "phone index key", ok=False, detail=str(lost), fix="reminders keys rotate --index, which makes it again"
        )
    except store.Unreadable as error:
        yield Check(
            "sealing keys", ok=False, detail=str(error), fix="put the missing key back into REMINDERS_SEALING_KEYS"
        )
    yield _keys_of_processes(context)
    unknown = context.database.read(lambda tx: proxies.troubles(context, tx, clock.now()))
    yield Check(
        "proxies",
        ok=not unknown,
        detail="; ".join(said for said, _ in unknown) or "none that is not believed",
        fix="; ".join(fix for _, fix in unknown),
    )
    for address, limit, begun in context.database.read(lambda tx: store.queue.begun_today(tx, clock.now())):
        yield Check(
            "limit of the day",
            ok=begun < limit,
            detail=f"{begun} of {limit} segments that {address} may send a day",
            fix="what is over waits for midnight Pacific; call whom it would reach too late (reminders calls)",
        )
    ahead = context.database.skew(clock.machine)
    yield Check(
        "clock",
        ok=abs(ahead) <= timedelta(seconds=2),
        detail=f"{ahead.total_seconds():+.1f} s from the database's",
        fix="set this machine's clock (NTP); a worker more than 2 s off does not send",
    )
    if context.database.dialect == "sqlite":
        open_to_all = [file.name for file in context.database.files() if file.stat().st_mode & 0o077]
        yield Check(
            "file modes",
            ok=not open_to_all,
            detail=f"others may read {', '.join(open_to_all)}" if open_to_all else "the database is its owner's alone",
            fix="chmod 600 these files, or run reminders migrate, which does it",
        )
        version = context.database.server_version
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
    yield from _backups(context, clock.now())
    yield _audit_head(context, clock.now())
    now = clock.now()
    for name, job in status(context, now).jobs.items():
        age = f"last success {job.age_seconds:.0f} s ago" if job.age_seconds is not None else "never succeeded yet"
        detail = age + (f"; then {job.error}" if job.error else "")
        yield Check(f"job {name}", ok=job.fresh, detail=detail, fix="start `python -m jobs`, or read its log")


def _sealing_keys(context: AppContext) -> Check:
    """The keys open what is there, and the one that seals is not older than a year, as far as that can be known.

    `reminders keys make` puts the month into a key's name; of other names it is known since when the key seals here.
    """
    first = context.secrets.first_sealing_key
    since = _month_of(first) or context.database.read(store.backup.sealing_since)
    detail = f"open what is sealed; {first} seals"
    if since is None or clock.now() - since <= KEY_AGE:
        return Check("sealing keys", ok=True, detail=detail)
    return Check(
        "sealing keys",
        ok=False,
        detail=f"{detail}, since {since:%B %Y} or longer",
        fix="reminders keys make; put the new key first in REMINDERS_SEALING_KEYS; reminders keys rotate",
    )


def _keys_of_processes(context: AppContext) -> Check:
    """Whether every process at work can open what our first key seals."""
    try:
        presence.check_keys(context, clock.now())
    except presence.NotOpenToAll as lacking:
        fix = "the same REMINDERS_SEALING_KEYS for every process, and restart them (docs/keys.md)"
        return Check("keys of processes", ok=False, detail=str(lacking), fix=fix)
    return Check("keys of processes", ok=True, detail="every process at work can open what is sealed here")


def _month_of(name: str) -> datetime | None:
    made = re.fullmatch(r"(20\d\d)(0[1-9]|1[0-2])[0-9a-f]{4}", name)
    return datetime(int(made[1]), int(made[2]), 1, tzinfo=UTC) if made is not None else None


def _audit_head(context: AppContext, now: datetime) -> Check:
    """The head of the audit is kept outside of the database, lately; while not live it is said only."""
    place, last = context.settings.jobs.audit_head, heads.last_kept(context)
    if place is None:
        detail = "kept nowhere but in the database, so that a chain that is cut off or written again does not show"
        fix = "set jobs.audit_head to a file or an https address where no one writes who can write to the database"
        return Check("audit head", ok=not context.settings.twilio.live, detail=detail, fix=fix)
    stale = last is None or now - last > heads.STALE
    return Check(
        "audit head",
        ok=not stale,
        detail=f"kept last {(now - last).total_seconds() / 3600:.0f} h ago" if last is not None else "never kept yet",
        fix="look at the error of the chain job (reminders status); reminders audit head --keep tries it now",
    )


def _backups(context: AppContext, now: datetime) -> Iterator[Check]:
    """The last backup is of the last day; while not live it is said only. After a restore: whether it is over."""
    marks = context.database.read(store.backup.all_marks)
    last = marks.get(store.backup.TAKEN)
    late = last is None or now - last > BACKUP_AGE
    age = f"the last one {(now - last).total_seconds() / 3600:.0f} h ago" if last is not None else "none was ever taken"
    yield Check(
        "backup",
        ok=not (late and context.settings.twilio.live),
        detail=age,
        fix="let cron run `reminders backup FOLDER` every night, and keep the keys elsewhere (docs/restore.md)",
    )
    if context.database.read(store.backup.in_doubt):
        looked_for, left = context.database.read(store.backup.how_many)
        yield Check(
            "restore",
            ok=False,
            detail=f"texts that may have gone before it: {looked_for} are looked for, {left} wait for a person",
            fix="nothing to do while they are looked for (the settle and poll jobs do it); then reminders restored",
        )


async def _senders(context: AppContext) -> list[Check]:
    """Twilio takes our credentials and knows the sender. While not live the simulator is asked, if it is there."""
    gateway, sender = context.gateway(), context.settings.twilio.sender
    fix = "see TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN or the API key, and twilio.sender; compare them with the console"
    try:
        problem = await gateway.check(sender)
    except Unreachable as away:
        if not context.settings.twilio.live:
            return [Check("sender", ok=True, detail=f"not asked: the simulator does not answer ({away})")]
        problem = f"Twilio cannot be reached: {away}"
        fix = "look at this machine's way to api.twilio.com, and at status.twilio.com"
    finally:
        await gateway.close()
    return [Check("sender", ok=problem is None, detail=problem or f"Twilio knows {sender}, and takes our key", fix=fix)]


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    enough = free > 500_000_000
    fix = None if enough else "make room: a text that cannot be put on record is not sent"
    return Check("disk", ok=enough, detail=f"{free / 1e9:.1f} GB free", fix=fix)


async def go_live(context: AppContext, *, webhooks: bool = True) -> list[Check]:
    """What must be so before the first real text; without `webhooks` for the process that is to answer them."""
    settings, site = context.settings, context.settings.site
    checks = [
        Check(
            "alias", ok=not wording.check_alias(site.alias), detail=site.alias, fix="set site.alias to a neutral name"
        )
    ]
    for name, number in (("phone", site.phone), ("24/7 line", site.line24)):
        real = not is_fictional(number)
        detail = "set" if real else "a number reserved for fiction"
        checks.append(Check(name, ok=real, detail=detail, fix="set site.phone and site.line24 to your own lines"))
    checks.append(_on_call(context))
    recorded = {
        "consent wording": (bool(settings.go_live.consent_wording), "set go_live.consent_wording (L-31)"),
        "BAA": (settings.go_live.baa_on is not None, "sign Twilio's BAA and set go_live.baa_on (L-39b)"),
        "QSOA": (settings.go_live.qsoa_on is not None, "sign the QSOA clause and set go_live.qsoa_on (L-45)"),
        "campaign": (settings.go_live.campaign_on is not None, "register 10DLC and set go_live.campaign_on (L-30)"),
        "own keys": (not context.secrets.made_here, "set REMINDERS_SEALING_KEYS and REMINDERS_SECRET_KEY yourself"),
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
        problem = await probe_webhook(
            settings.web.public_url, path, context.secrets.auth_token, context.secrets.account_sid
        )
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


def _on_call(context: AppContext) -> Check:
    """Someone is on call at every hour of the week, and each by a way to page them that is known (C-8)."""
    problem = fix = None
    try:
        known = oncall.rota(context)
    except ValueError as wrong:
        return Check("on-call", ok=False, detail=str(wrong), fix="mend site.on_call")
    if not known.contacts:
        problem, fix = "no one", "name at least one contact in site.on_call (C-8)"
    elif gaps := known.gaps():
        problem, fix = f"no one {', '.join(gaps)}", "give these hours of site.on_call to someone (C-8)"
    elif lost := [str(contact.place) for contact in known.contacts if messenger(contact.url) is None]:
        problem, fix = f"no known address: contact no. {', '.join(lost)}", "write an address of apprise's (README.md)"
    return Check("on-call", ok=problem is None, detail=problem or f"{len(known.contacts)}, without a gap", fix=fix)


class NotReady(Exception):  # ruff: ignore[error-suffix-on-exception-name]  it says what is the matter
    """`twilio.live` is true and the go-live checks do not pass. The message lists what is missing."""


def gate(context: AppContext, *, webhooks: bool = True) -> None:
    """Refuse to go on live while anything that must be so is not, and without a whole language. Raises NotReady.

    While not live nothing else is asked. A language that lacks a part is named in the log; it is not offered.
    """
    try:
        lacking = languages.missing()
    except ValueError as problem:
        raise NotReady(str(problem)) from None
    for one in lacking:
        log.warning("a language is not offered: %s", one)
    if not context.settings.twilio.live:
        return
    failed = [check for check in asyncio.run(go_live(context, webhooks=webhooks)) if not check.ok]
    if failed:
        lines = "\n".join(f"- {check.check}: {check.detail}; {check.fix}" for check in failed)
        raise NotReady(f"twilio.live is true, but this is not ready to text real people:\n{lines}")
