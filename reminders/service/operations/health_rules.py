"""The health rules: all that the service looks at in itself, so that someone is told when it goes wrong.

One row a rule: its name, its title, the setting that is its threshold, the line of the runbook, whether it is serious,
and its check. `status`, the health page, `/metrics` and the tasks of ops (`faults`) show the same findings. What a rule
says names no one: it stands in pages, logs and metrics.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeVar

from reminders import clock, store
from reminders.app_context import AppContext
from reminders.plans import to_wall
from reminders.settings import HealthSettings
from reminders.sms import codes
from reminders.store.sending.outcomes import AcceptedText, TwilioAnswer

T = TypeVar("T")

LOOKED_BACK = timedelta(hours=6)  # for what became of texts
ANSWERED_WITHIN = timedelta(hours=1)  # for Twilio's answers
SILENT_FOR_AT_MOST = timedelta(days=2)  # older silence says nothing of today
LIVE_FOR = timedelta(seconds=90)  # since a process was seen last
JUST_STARTED = timedelta(minutes=2)  # a worker catches up
LASTING_REST = timedelta(minutes=10)
NEARLY = 0.8  # of the budget
CERTIFICATE = "certificate"  # the mark of the moment until which it holds


@dataclass(frozen=True, slots=True)
class Seen:
    """What the rules look at: the service at one moment, from one transaction."""

    context: AppContext
    tx: store.Transaction
    now: datetime
    late_jobs: Mapping[str, float | None]  # each with the age of its last success
    poll_age: float | None
    oldest_due_seconds: float | None
    due: int
    ahead: timedelta  # the database's clock, of ours

    @property
    def limits(self) -> HealthSettings:
        """The thresholds."""
        return self.context.settings.health


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found: `state` is ok, wait (no one need hurry) or bad, `said` what it saw in words, `value` its
    figure. `tells` opens a task; without it a bad state only shows.
    """

    state: str
    said: str
    value: float = 0
    tells: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `threshold` is its setting; `pages` says whether on-call of ops is paged. While a rule of `because_of`
    is broken too, that one is the cause, and this one opens no task of its own.
    """

    name: str
    title: str
    threshold: str
    runbook: str
    pages: bool
    check: Callable[[Seen], Found]
    because_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule and what it found."""

    rule: Rule
    found: Found

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        found = self.found
        return {"state": found.state, "said": found.said, "value": found.value, "threshold": self.rule.threshold}


def _bad(said: str, value: float, *, tells: bool = True) -> Found:
    return Found("bad", said, value, tells)


def _jobs(seen: Seen) -> Found:
    late = seen.late_jobs
    if not late:
        return Found("ok", "All ran lately")
    rows = store.processes.live(seen.tx, seen.now - LIVE_FOR)
    started = [row.started_at for row in rows if row.kind == "worker"]
    catches_up = bool(started) and seen.now - max(started) < JUST_STARTED
    never = not any(row.last_success for row in store.job_runs.runs(seen.tx))  # no worker was ever started
    # While Twilio is away these fail, and other rules say so: alone they count where its list can be read.
    patience = seen.limits.inbound_minutes * 60
    is_heard = seen.poll_age is not None and seen.poll_age <= patience
    counts = [
        name for name, age in late.items() if name not in _ASK_TWILIO or (is_heard and (age is None or age > patience))
    ]
    return _bad(f"Behind: {', '.join(late)}", len(late), tells=bool(counts) and not (catches_up or never))


_ASK_TWILIO = ("settle", "ask", "poll")


def _overdue(seen: Seen) -> Found:
    oldest = seen.oldest_due_seconds
    if oldest is None:
        return Found("ok", "None waits")
    said = f"{seen.due} due, the oldest for {spell(oldest)}"
    if oldest <= seen.limits.overdue_minutes * 60:
        return Found("ok", said, oldest)
    paused = [site.id for site in store.people.paused_sites(seen.tx)]
    at = store.queue.oldest_due(seen.tx, seen.now, paused) if paused else seen.now - timedelta(seconds=oldest)
    waits = at is not None and (seen.now - at).total_seconds() > seen.limits.overdue_minutes * 60
    return _bad(said, oldest, tells=waits)


def _sender(seen: Seen) -> Found:
    resting = store.queue.resting(seen.tx)
    now = [one for one in resting if one.stopped_until > seen.now]
    lasting = [one for one in resting if _is_lasting(one, seen)]
    said = "; ".join(sorted({why_it_rests(one, seen.now) for one in (now or lasting)})) or "None is at rest"
    if not (now or lasting):
        return Found("ok", said)
    return _bad(said, len(now or lasting), tells=bool(lasting))


def _is_lasting(sender: store.queue.Resting, seen: Seen) -> bool:
    """Whether someone must be told: it failed again and again, or rests for long, and not for a restore."""
    if sender.stopped_until - seen.now > timedelta(days=365):
        return False  # its own task says so
    if sender.stopped_code == store.queue.DAY_IS_FULL:
        return False  # as it may be every day
    if codes.look_up(sender.stopped_code).pages_ops:
        return True
    return sender.stops >= seen.limits.rests or sender.stopped_until - seen.now > LASTING_REST


def why_it_rests(sender: store.queue.Resting, now: datetime) -> str:
    """Why a sender is at rest, in words."""
    if sender.stopped_until - now > timedelta(days=365):
        return "the database was restored, and Twilio is asked first what went since the backup"
    return codes.look_up(sender.stopped_code or 0).meaning.rstrip(".")


def _accepted(seen: Seen) -> dict[int, list[AcceptedText]]:
    """Sender → its latest texts that Twilio took and whose end is known."""
    limits = seen.limits
    found: dict[int, list[AcceptedText]] = {}
    for row in store.outcomes.latest_accepted(seen.tx, seen.now - LOOKED_BACK, limits.last * 5):
        mine = found.setdefault(row.sender_id, [])
        if row.status in _ENDS and len(mine) < limits.last:
            mine.append(row)
    return found


_ENDS = ("delivered", "read", "undelivered", "failed")


def _share(rows: Iterable[T], is_bad: Callable[[T], bool]) -> tuple[float, list[T], int]:
    every = list(rows)
    bad = [row for row in every if is_bad(row)]
    return (len(bad) / len(every) if every else 0.0), bad, len(every)


def _worst(seen: Seen, is_bad: Callable[[AcceptedText], bool]) -> tuple[float, list[AcceptedText], int]:
    """The sender with the highest share among those with enough bad ends: the share, these, and of how many."""
    shares = [_share(rows, is_bad) for rows in _accepted(seen).values()]
    enough = [one for one in shares if len(one[1]) >= seen.limits.least]
    return max(enough, key=itemgetter(0), default=(0.0, list[AcceptedText](), sum(one[2] for one in shares)))


def _is_failure(row: AcceptedText) -> bool:
    return row.status in {"undelivered", "failed"}


def _is_ours(row: AcceptedText) -> bool:
    """Whether a text was filtered, or failed for what only we can mend: its code is one for ops."""
    return _is_failure(row) and codes.look_up(row.error_code).who == "ops"


def _by_code(rows: Sequence[AcceptedText]) -> str:
    """The codes of these, the most frequent first, with what the first one means."""
    counted = Counter(row.error_code for row in rows).most_common(3)
    if not counted:
        return ""
    most = "; ".join(f"{many} with code {code}" if code else f"{many} without a code" for code, many in counted)
    return f" ({most}). {codes.look_up(counted[0][0]).meaning.rstrip('.')}" if counted[0][0] else f" ({most})"


def _undelivered(seen: Seen) -> Found:
    share, bad, of = _worst(seen, _is_failure)
    said = f"{len(bad)} of the last {of} that ended did not arrive{_by_code(bad)}" if of else "None ended lately"
    return _bad(said, share) if share > seen.limits.undelivered_share else Found("ok", said, share)


def _filtered(seen: Seen) -> Found:
    share, bad, of = _worst(seen, _is_ours)
    said = f"{len(bad)} of the last {of} that ended were filtered or refused by networks{_by_code(bad)}"
    if not of:
        said = "None ended lately"
    return _bad(said, share) if share > seen.limits.filtered_share else Found("ok", said, share)


def _unknown(seen: Seen) -> Found:
    answers = store.outcomes.latest_answers(seen.tx, seen.now - ANSWERED_WITHIN, seen.limits.last)
    share, bad, of = _share(answers, _is_no_answer)
    said = f"{len(bad)} of the last {of} were no answer, or a no for our fault" if of else "None this hour"
    is_bad = len(bad) >= seen.limits.least and share > seen.limits.unknown_share
    if not is_bad:
        return Found("ok", said, share)
    # What puts a sender to rest is the rule `sender`'s to tell, which waits until it lasts.
    others = [row for row in bad if row.answer == "unknown" or codes.look_up(row.error_code).rests_sender is None]
    return _bad(said, share, tells=len(others) > seen.limits.unknown_share * of)


def _is_no_answer(row: TwilioAnswer) -> bool:
    return row.answer == "unknown" or (row.answer == "refused" and codes.look_up(row.error_code).our_fault)


def _webhooks(seen: Seen) -> Found:
    patience = timedelta(minutes=seen.limits.silent_minutes)
    many = store.outcomes.unanswered_since(seen.tx, seen.now - patience, seen.now - SILENT_FOR_AT_MOST)
    heard = store.outcomes.last_callback(seen.tx)
    last = f"Last one {spell((seen.now - heard).total_seconds())} ago" if heard is not None else "None came yet"
    if not many:
        return Found("ok", last)
    return _bad(f"{last}; Twilio took {many} texts since, and tells us of none", many)


def _inbound(seen: Seen) -> Found:
    age = seen.poll_age
    if age is None:  # a worker that has been at it for so long has had its chance
        rows = store.processes.live(seen.tx, seen.now - LIVE_FOR)
        patience = timedelta(minutes=seen.limits.inbound_minutes)
        tried = any(row.kind == "worker" and seen.now - row.started_at > patience for row in rows)
        return _bad("Never listed yet", patience.total_seconds()) if tried else Found("ok", "Not listed yet")
    said = f"Listed last {spell(age)} ago"
    return _bad(said, age) if age > seen.limits.inbound_minutes * 60 else Found("ok", said, age)


def _pages(seen: Seen) -> Found:
    many = store.oncall.unaccepted_pages(seen.tx)
    if not many:
        return Found("ok", "All were taken")
    return _bad(
        f"{many} that no service has taken", many, tells=store.oncall.stuck_pages(seen.tx, seen.limits.page_tries) > 0
    )


def _backup(seen: Seen) -> Found:
    last = store.backup.all_marks(seen.tx).get(store.backup.TAKEN)
    age = (seen.now - last).total_seconds() if last is not None else 0
    said = f"Last one {spell(age)} ago" if last is not None else "None was ever taken"
    if last is not None and age <= seen.limits.backup_hours * 3_600:
        return Found("ok", said, age)
    return _bad(said, age) if seen.context.settings.twilio.live else Found("wait", said, age)


def _disk(seen: Seen) -> Found:
    """The disk on which the database stands; of a server elsewhere it is watched there."""
    file = seen.context.database.file
    free = shutil.disk_usage(file.resolve().parent if file is not None else Path.cwd()).free
    whose = "" if file is not None else " here; the database's own disk is watched on its server"
    said = (f"{free / 1e9:.0f} GB free" if free > 10e9 else f"{free / 1e9:.1f} GB free") + whose
    return Found("ok", said, free) if free > seen.limits.disk_mb * 1e6 else _bad(said, free)


def _clock(seen: Seen) -> Found:
    off = seen.ahead.total_seconds()
    is_server = seen.context.database.dialect == "postgresql"
    said = f"{off:+.1f} s from the database's" if is_server else "This machine's own"
    return Found("ok", said, off) if abs(off) <= seen.limits.clock_seconds else _bad(said, off)


def _certificate(seen: Seen) -> Found:
    if not seen.context.settings.web.public_url.startswith("https://"):
        return Found("ok", "web.public_url has none")
    until = store.backup.all_marks(seen.tx).get(CERTIFICATE)
    if until is None:
        return Found("ok", "Not looked at yet")
    left = (until - seen.now).total_seconds()
    said = f"Holds for {spell(left)} more" if left > 0 else "Does not hold: browsers and Twilio refuse it"
    return Found("ok", said, left) if left > seen.limits.certificate_days * 86_400 else _bad(said, left)


def _budget(seen: Seen) -> Found:
    """What this month's texts cost. It warns and stops nothing: a text that someone needs goes."""
    settings = seen.context.settings
    budget = settings.sending.budget_per_month
    if budget is None:
        return Found("ok", "None is set")
    zone = settings.site.zone
    since, until = store.costs.month(to_wall(seen.now, zone).date(), zone)
    cost = store.costs.total(seen.tx, since=since, until=until, price=settings.sending.price_per_segment)
    share = cost.total / budget
    said = f"{cost.total:.2f} of {budget:.2f} spent this month, by {cost.texts} texts"
    if cost.unpriced and cost.estimated is None:
        said += f"; {cost.unpriced} segments have no price yet, and sending.price_per_segment is not set"
    if share >= 1:
        return _bad(said, share)
    return Found("wait" if share >= NEARLY else "ok", said, share)


RULES: tuple[Rule, ...] = (
    Rule(
        "jobs",
        "Jobs",
        "health.late_runs",
        "Start the worker (python -m jobs), or look at its log: reminders status names each job's last error. While no"
        " worker runs nothing goes; what is still of use goes when it is back. Phone first visits meanwhile: reminders"
        " calls.",
        True,
        _jobs,
        ("disk", "clock"),
    ),
    Rule(
        "overdue",
        "Oldest due text",
        "health.overdue_minutes",
        "Is the sender well, is it at rest, is sending paused? If none of these, its pace is too slow for what is due:"
        " raise twilio.segments_per_second if Twilio allows it.",
        True,
        _overdue,
        ("sender", "jobs", "clock", "disk", "unknown"),
    ),
    Rule(
        "sender",
        "Senders",
        "health.rests",
        "Mend it with Twilio as the code says; a sender tries again by itself. Until then phone: reminders calls.",
        True,
        _sender,
    ),
    Rule(
        "undelivered",
        "Texts that do not arrive",
        "health.undelivered_share",
        "Look at the codes in the log, and at status.twilio.com. Whom no text reaches, phone: reminders calls.",
        True,
        _undelivered,
        ("filtered",),
    ),
    Rule(
        "filtered",
        "Filtered texts",
        "health.filtered_share",
        "Networks refuse what this sender sends. Look at the code in the log and at the campaign in the Twilio console,"
        " pause sending (reminders pause) if it goes on, and open a ticket with Twilio. Whom no text reaches, phone:"
        " reminders calls.",
        True,
        _filtered,
    ),
    Rule(
        "unknown",
        "Twilio's answers",
        "health.unknown_share",
        "See status.twilio.com and the codes in the log. Texts without an answer are looked up, never just repeated.",
        True,
        _unknown,
        ("sender",),
    ),
    Rule(
        "webhooks",
        "Callbacks",
        "health.silent_minutes",
        "Twilio takes texts but does not tell us how they end. Is web.public_url right and reachable from outside, does"
        " its certificate hold, is the web process up? reminders doctor --live tries it. Meanwhile we ask Twilio.",
        True,
        _webhooks,
        ("certificate",),
    ),
    Rule(
        "inbound",
        "Texts to us",
        "health.inbound_minutes",
        "Twilio's list of what was texted to us cannot be read, so a reply whose webhook is lost is not heard. See the"
        " poll job's error (reminders status), status.twilio.com, and this machine's way to api.twilio.com.",
        True,
        _inbound,
        ("jobs", "sender", "unknown"),
    ),
    Rule(
        "pages",
        "Pages to on-call",
        "health.page_tries",
        "Phone the person on call now. Then try the addresses of the rota: reminders oncall test.",
        True,
        _pages,
    ),
    Rule(
        "backup",
        "Backup",
        "health.backup_hours",
        "Let cron run reminders backup FOLDER every night, and keep the sealing keys elsewhere (docs/restore.md).",
        False,
        _backup,
    ),
    Rule(
        "disk",
        "Disk",
        "health.disk_mb",
        "Make room. A text that cannot be put on record is not sent.",
        True,
        _disk,
    ),
    Rule(
        "clock",
        "Clock",
        "health.clock_seconds",
        "Set this machine's clock (NTP). A worker more than 2 s off does not send.",
        True,
        _clock,
    ),
    Rule(
        "certificate",
        "Certificate",
        "health.certificate_days",
        "Renew the certificate of web.public_url. Without it Twilio cannot tell us of replies, and no one can sign in.",
        True,
        _certificate,
    ),
    Rule(
        "budget",
        "Budget of the month",
        "sending.budget_per_month",
        "Every text goes on: no reminder is stopped for its price. See what it comes from: reminders costs --by plan;"
        " then raise sending.budget_per_month, or shorten the leads.",
        False,
        _budget,
    ),
)


def look(seen: Seen) -> list[Finding]:
    """What every rule finds, in the order of the rules."""
    return [Finding(rule, rule.check(seen)) for rule in RULES]


def skew(context: AppContext) -> timedelta:
    """How far the database's clock is ahead of this machine's."""
    return context.database.skew(clock.machine)


def spell(seconds: float) -> str:
    """A span of time in words: 3 d, 5 h, 12 min, 40 s."""
    for size, word in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {word}"
    return f"{max(0, seconds):.0f} s"
