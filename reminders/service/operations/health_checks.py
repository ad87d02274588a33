"""The lights of the health page: is each part well, and what to do where it is not. `status` and `doctor` are for
programs and terminals; this is what someone looks at who was called out of bed.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from reminders import clock, store
from reminders.app_context import AppContext
from reminders.service.operations import health, proxies
from reminders.sms import codes
from reminders.store.sending.queue import StoppedSender
from reminders.wording import house_style

HEARTBEAT = timedelta(seconds=60)
SILENT = timedelta(minutes=10)  # callbacks come within seconds
LOOKED_BACK = timedelta(hours=1)
LOOKED_AT = 200  # attempts
TOO_MANY = 0.2  # of them without an answer, or refused for our fault
LITTLE_DISK = 500_000_000


@dataclass(frozen=True, slots=True)
class Light:
    """One light: `state` is ok, wait (no one need hurry) or bad; what it says; and the line of the runbook."""

    name: str
    state: str
    said: str
    runbook: str


def lights(context: AppContext, now: datetime) -> list[Light]:
    """Every light, what is bad first. Raises Unavailable."""
    status = health.status(context, now)
    zone = context.settings.site.zone
    found = list(_jobs(status))
    found += context.database.read(lambda tx: [*_queue(context, tx, status, now), *_twilio(tx, now, zone)])
    found += [_database(context), _clock(context), _disk(), _backup(context, now)]
    return sorted(found, key=lambda light: ("bad", "wait", "ok").index(light.state))


def _jobs(status: health.Status) -> Iterator[Light]:
    send = status.jobs["send"]
    age = send.age_seconds
    yield Light(
        "Sender",
        "ok" if age is not None and age <= HEARTBEAT.total_seconds() else "bad",
        "No worker has ever looked" if age is None else f"Looked {_spell(age)} ago",
        "Start the worker (python -m jobs) or look at its log. While it is down nothing goes; what is still of use goes"
        " when it is back. Phone first visits meanwhile: reminders calls.",
    )
    stale = [name for name, job in status.jobs.items() if not job.fresh and name != "send"]
    yield Light(
        "Jobs",
        "bad" if stale else "ok",
        f"Behind: {', '.join(stale)}" if stale else "All ran lately",
        "reminders status names each job's last error; the worker's log says more. They catch up by themselves.",
    )


def _queue(context: AppContext, tx: store.Transaction, status: health.Status, now: datetime) -> Iterator[Light]:
    oldest = status.oldest_due_seconds
    late = oldest is not None and oldest > health.OVERDUE.total_seconds()
    yield Light(
        "Oldest due text",
        "bad" if late else "ok",
        f"{status.due} due, the oldest for {_spell(oldest)}" if oldest is not None else "None waits",
        "Is the sender well, is it at rest, is sending paused? If none of these, its pace is too slow for what is due:"
        " raise twilio.segments_per_second if Twilio allows it.",
    )
    resting = store.queue.stopped_senders(tx, now)
    yield Light(
        "Senders",
        "bad" if resting else "ok",
        "; ".join(_why(row) for row in resting) or "None is at rest",
        "Mend it with Twilio as the code says; a sender tries again by itself. Until then phone: reminders calls.",
    )
    paused = [row.key for row in store.people.paused_sites(tx)]
    yield Light(
        "Sending",
        "wait" if paused else "ok",
        f"Paused at {', '.join(paused)}" if paused else "On at every site",
        "Resume it under Sites once the reason is gone. What is too late by then is not sent.",
    )
    unknown = proxies.troubles(context, tx, now)
    yield Light(
        "Proxies",
        "bad" if unknown else "ok",
        "; ".join(f"{said[:1].upper()}{said[1:]}" for said, _ in unknown) or "None that is not believed",
        "; ".join(f"{fix[:1].upper()}{fix[1:]}" for _, fix in unknown)
        or "A proxy in front of us belongs into web.proxies, and says whom it speaks for in X-Forwarded-For.",
    )
    held = sum(row.many for row in store.queue.backlog(tx))
    yield Light(
        "Backlog",
        "bad" if held else "ok",
        f"{held} texts are held since an outage" if held else "Nothing is held",
        "reminders backlog show says what would go and until when; then release or drop it.",
    )
    yield Light(
        "Pages to on-call",
        "bad" if status.pages else "ok",
        f"{status.pages} that no service has taken" if status.pages else "All were taken",
        "Phone whoever is on call now. Then look at the addresses of the rota: reminders doctor --live.",
    )
    yield Light(
        "Urgent tasks",
        "bad" if status.ringing else "ok",
        f"{status.ringing} that no one has taken" if status.ringing else "All are taken",
        "Take them in the inbox: someone may be in danger.",
    )


def _why(row: StoppedSender) -> str:
    return codes.look_up(row.stopped_code or 0).meaning.rstrip(".")


def _twilio(tx: store.Transaction, now: datetime, zone: str) -> Iterator[Light]:
    heard, taken = store.outcomes.last_callback(tx), store.outcomes.last_accepted(tx)
    silent = taken is not None and now - taken > SILENT and (heard is None or taken - heard > SILENT)
    yield Light(
        "Callbacks",
        "bad" if silent else "ok",
        f"Last one {house_style.clock_time(heard, zone)}" if heard is not None else "None came yet",
        "Twilio takes texts but does not tell us how they end. Is web.public_url right and reachable from outside, does"
        " its certificate hold, is the web process up? reminders doctor --live tries it. Meanwhile we ask Twilio.",
    )
    answers = store.outcomes.latest_answers(tx, now - LOOKED_BACK, LOOKED_AT)
    ours = [
        row
        for row in answers
        if row.answer == "unknown" or (row.answer == "refused" and codes.look_up(row.error_code).our_fault)
    ]
    bad = len(answers) >= 5 and len(ours) > TOO_MANY * len(answers)
    yield Light(
        "Twilio's answers",
        "bad" if bad else "ok",
        f"{len(ours)} of the last {len(answers)} were no answer, or a no for our fault"
        if answers
        else "None this hour",
        "See status.twilio.com and the codes in the log. Texts without an answer are looked up, never just repeated.",
    )


def _database(context: AppContext) -> Light:
    began = clock.now()
    version = context.database.server_version
    took = (clock.now() - began).total_seconds()
    return Light(
        "Database",
        "ok" if took < 1 else "wait",
        f"{'PostgreSQL' if context.database.dialect == 'postgresql' else 'SQLite'} {version.split()[0]},"
        f" answers in {took * 1000:.0f} ms",
        "When it is away nothing goes and nothing is lost. When it is slow: disk, locks, vacuum.",
    )


def _clock(context: AppContext) -> Light:
    ahead = context.database.skew(clock.machine).total_seconds()
    return Light(
        "Clock",
        "ok" if abs(ahead) <= 2 else "bad",
        f"{ahead:+.1f} s from the database's" if context.database.dialect == "postgresql" else "This machine's own",
        "Set this machine's clock (NTP). A worker more than 2 s off does not send.",
    )


def _disk() -> Light:
    free = shutil.disk_usage(Path.cwd()).free
    return Light(
        "Disk",
        "ok" if free > LITTLE_DISK else "bad",
        f"{free / 1e9:.0f} GB free" if free > 10e9 else f"{free / 1e9:.1f} GB free",
        "Make room. A text that cannot be put on record is not sent.",
    )


def _backup(context: AppContext, now: datetime) -> Light:
    last = context.database.read(store.backup.all_marks).get(store.backup.TAKEN)
    late = last is None or now - last > health.BACKUP_AGE
    return Light(
        "Backup",
        ("bad" if context.settings.twilio.live else "wait") if late else "ok",
        f"Last one {_spell((now - last).total_seconds())} ago" if last is not None else "None was ever taken",
        "Let cron run reminders backup FOLDER every night, and keep the sealing keys elsewhere (docs/restore.md).",
    )


def _spell(seconds: float) -> str:
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {word}"
    return f"{max(0, seconds):.0f} s"
