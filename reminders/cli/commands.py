"""Every command. Each calls a verb of `service` or a query of `store`, and prints what came of it."""

import asyncio
import base64
import csv
import getpass
import secrets
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from reminders import __version__, clock, intake, plans, store
from reminders.cli.output import Exit, end, err, print_json, print_json_lines, print_table, the_house
from reminders.lifecycle import State
from reminders.plans import ENDINGS, PlanRefused
from reminders.service import health, importing, logs, outcomes, planning, runs, sending, story
from reminders.store.texts import Changes, LogFilter, Logged

app = typer.Typer(
    help="Plain, neutral SMS reminders after discharge, and a delivery log a person can trust.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
plans_app = typer.Typer(help="Pause, resume and end plans.", no_args_is_help=True)
keys_app = typer.Typer(help="Sealing keys: make one, rotate them.", no_args_is_help=True)
app.add_typer(plans_app, name="plans")
app.add_typer(keys_app, name="keys")

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def _version(show: bool) -> None:
    if show:
        print(f"reminders {__version__}")
        raise typer.Exit


@app.callback()
def reminders(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more on stderr.")] = False,
) -> None:
    """Set up what is common to all commands."""
    import logging

    del version
    logs.set_up(logging.INFO if verbose else logging.WARNING)


def _who() -> str:
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"


@app.command()
def migrate(json: Json = False) -> None:
    """Bring the database to this version's schema. Safe to repeat."""
    with the_house(checked=False) as house:
        before, after = store.migrate(house.database, clock.now())
        now = clock.now()
        house.database.write(lambda tx: store.people.keep_default_site(tx, house.settings, now), again=True)
    if json:
        print_json({"from": before, "to": after})
    else:
        err.print(
            f"The database is at {after}." if before == after else f"Brought from {before or 'empty'} to {after}."
        )


def _changes(changes: Changes) -> dict[str, int]:
    return asdict(changes)


def _told(changes: Changes) -> str:
    return f"{changes.added} texts added, {changes.moved} moved, {changes.retracted} retracted"


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(help="Plan files (.toml, .json), or folders of them.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; keep nothing.")] = False,
    all_or_nothing: Annotated[
        bool, typer.Option("--all-or-nothing", help="Refuse all files if one is refused.")
    ] = False,
    json: Json = False,
) -> None:
    """Take in plan files. The good ones are accepted, the bad ones reported; the same file again changes nothing."""
    with the_house() as house, Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        progress.add_task("Importing", total=None)
        try:
            report = importing.import_files(
                house, paths, clock.now(), who=_who(), dry_run=dry_run, all_or_nothing=all_or_nothing
            )
        except FileNotFoundError as missing:
            end(Exit.NOT_FOUND, f"There is no file {missing.filename}.")
    if json:
        print_json(
            {
                "accepted": report.accepted,
                "unchanged": report.unchanged,
                "refused": [
                    {"file": str(path), "where": problem.where, "problem": problem.problem}
                    for path, problem in report.refused
                ],
                "texts": _changes(report.texts),
            }
        )
    else:
        for path, problem in report.refused:
            err.print(f"{path}: {problem}")
        refused = len({path for path, _ in report.refused})
        would = "Would be accepted" if dry_run else "Accepted"
        err.print(
            f"{would}: {report.accepted}, unchanged: {report.unchanged}, refused: {refused}. {_told(report.texts)}."
        )
    if report.refused:
        raise typer.Exit(Exit.REFUSED)


@app.command()
def preview(
    plan: Annotated[str, typer.Argument(metavar="PLAN_REF or FILE", help="A plan's reference, or a plan file.")],
    json: Json = False,
) -> None:
    """Show every text of a plan: when it goes, what it says, and why one does not go."""
    path = Path(plan)
    now = clock.now()
    with the_house() as house:
        if path.suffix in {".toml", ".json"} or path.exists():
            try:
                known = house.database.read(lambda tx: house.known(tx, now))
                texts = planning.preview(house, intake.read_file(path, known), now)
            except FileNotFoundError:
                end(Exit.NOT_FOUND, f"There is no file {path}.")
            except PlanRefused as refusal:
                end(Exit.REFUSED, "\n".join(f"{path}: {problem}" for problem in refusal.problems))
        else:
            found = planning.preview_plan(house, plan, now)
            if found is None:
                end(Exit.NOT_FOUND, f"There is no plan {plan}.")
            texts = found
    if json:
        print_json([_previewed(text) for text in texts])
        return
    print_table(
        f"Texts of {plan}",
        ["Goes", "To", "Text", "Segments"],
        [
            (
                f"{text.local:%a} {text.local.day} {text.local:%b %Y %H:%M}"
                + ("" if text.goes_at == text.opens_at or not text.goes else "\nor as soon as it may"),
                text.recipient,
                text.text if text.goes else f"Does not go: {story.REASONS.get(text.reason or '', text.reason)}.",
                text.segments if text.goes else None,
            )
            for text in texts
        ],
        empty="No texts: the plan has no visits ahead within the horizon.",
    )


def _previewed(text: planning.Previewed) -> dict[str, Any]:
    return {
        "key": text.key,
        "class": text.class_,
        "recipient": text.recipient,
        "opens_at": text.opens_at,
        "closes_at": text.closes_at,
        "goes_at": text.goes_at if text.goes else None,
        "local": text.local,
        "zone": text.zone,
        "goes": text.goes,
        "state": text.state,
        "reason": text.reason,
        "text": text.text,
        "segments": text.segments,
        "encoding": text.encoding,
        "appointments": list(text.appointments),
    }


@app.command()
def send(json: Json = False) -> None:
    """Send what is due now, once; the worker does this all the time."""
    with the_house() as house:
        if house.settings.twilio.live:
            health.gate(house, asyncio.run(health.doctor(house, live=True)))
        with ThreadPoolExecutor(1) as executor:
            tally = runs.with_gateway(
                house, lambda gateway: sending.Dispatch(house, gateway, executor, threading.Event()).drain()
            )
    counts = {name: getattr(tally, name) for name in ("claimed", "accepted", "refused", "unknown", "suppressed")}
    if json:
        print_json(counts)
    else:
        err.print(", ".join(f"{name} {count}" for name, count in counts.items()))
    if tally.no_connection:
        end(Exit.UNREACHABLE, "Twilio could not be reached; the texts wait.")


@app.command()
def settle(json: Json = False) -> None:
    """Look after texts whose outcome is open, once; the worker does this all the time."""
    with the_house() as house:
        done = runs.with_gateway(house, lambda gateway: outcomes.settle(house, gateway, clock.now()))
    counts = {name: getattr(done, name) for name in ("released", "found", "uncertain", "expired")}
    if json:
        print_json(counts)
    else:
        err.print(", ".join(f"{name} {count}" for name, count in counts.items()))
    if done.unreachable:
        end(Exit.UNREACHABLE, "Twilio could not be asked; the look-up is made later.")


def _instant(text: str | None, zone: str, option: str) -> datetime | None:
    """A date or time a person typed, on the site's wall clock unless it says otherwise."""
    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("write 2026-12-01 or 2026-12-01T09:00", param_hint=option) from None
    return plans.to_instant(value, zone) if value.tzinfo is None else value


@app.command()
def log(
    state: Annotated[State | None, typer.Option(help="Only texts in this state.")] = None,
    plan: Annotated[str | None, typer.Option(metavar="REF", help="Only texts about this plan's visits.")] = None,
    patient: Annotated[str | None, typer.Option(metavar="REF", help="Only this patient's.")] = None,
    code: Annotated[int | None, typer.Option(help="Only those that met this Twilio code.")] = None,
    since: Annotated[str | None, typer.Option(help="Only those whose window opens at this time or later.")] = None,
    until: Annotated[str | None, typer.Option(help="Only those whose window opens before this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 100,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with the Part 2 notice on top.")] = False,
    json: Json = False,
) -> None:
    """Show what became of each text, newest first."""
    with the_house() as house:
        zone = house.settings.site.zone
        wanted = LogFilter(
            state=state.value if state else None,
            plan=plan,
            patient=patient,
            code=code,
            since=_instant(since, zone, "--since"),
            until=_instant(until, zone, "--until"),
            limit=limit,
        )
        texts = house.database.read(lambda tx: store.texts.log(tx, wanted))
    if json:
        print_json_lines(_logged(text) for text in texts)
    elif as_csv:
        _print_csv(texts)
    else:
        print_table(
            f"Delivery log ({zone})",
            ["Window opens", "To", "Plan", "State", "What became of it"],
            [
                (
                    story.clock_time(text.opens_at, text.zone),
                    text.to,
                    text.plan,
                    story.STATES[text.state],
                    story.tell(text),
                )
                for text in texts
            ],
            empty="No texts.",
        )


def _logged(text: Logged) -> dict[str, Any]:
    return {
        "text": str(text.text),
        "class": text.class_,
        "key": text.key,
        "plan": text.plan,
        "patient": text.patient,
        "recipient": text.recipient,
        "to": text.to,
        "opens_at": text.opens_at,
        "closes_at": text.closes_at,
        "state": text.state,
        "reason": text.reason,
        "held": text.held,
        "attempts": [
            {
                "ref": attempt.ref,
                "sid": attempt.sid,
                "answer": attempt.answer,
                "status": attempt.status,
                "error_code": attempt.error_code,
                "segments": attempt.segments,
                "started_at": attempt.started_at,
            }
            for attempt in text.attempts
        ],
    }


PART_2_NOTICE = "42 CFR part 2 prohibits unauthorized use or disclosure of these records."


def _print_csv(texts: list[Logged]) -> None:
    """CSV for a spreadsheet; no cell can be a formula (L-51 asks for the notice on what leaves)."""
    writer = csv.writer(sys.stdout)
    writer.writerow([PART_2_NOTICE])
    writer.writerow(
        ["opens_at", "to", "plan", "patient", "class", "state", "reason", "code", "sid", "what became of it"]
    )
    for text in texts:
        last = text.attempts[-1] if text.attempts else None
        cells = [
            text.opens_at.isoformat(),
            text.to,
            text.plan,
            text.patient,
            text.class_,
            text.state,
            text.reason,
            last.error_code if last else None,
            last.sid if last else None,
            story.tell(text),
        ]
        writer.writerow([_harmless("" if cell is None else str(cell)) for cell in cells])


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "\0")) else cell


@app.command()
def status(json: Json = False) -> None:
    """Say whether it works; ends with 1 when it does not."""
    with the_house() as house:
        now = health.status(house, clock.now())
    if json:
        print_json(
            {
                "ok": now.ok,
                "jobs": {
                    name: {"last_success": job.last_success, "age_seconds": job.age_seconds, "error": job.error}
                    for name, job in now.jobs.items()
                },
                "queue": {
                    "due": now.due,
                    "oldest_due_seconds": now.oldest_due_seconds,
                    "sending": now.sending,
                    "uncertain": now.uncertain,
                },
                "troubles": now.troubles,
            }
        )
    else:
        print_table(
            "Jobs",
            ["Job", "Last success", "Error"],
            [
                (name, "never" if job.age_seconds is None else f"{job.age_seconds:.0f} s ago", job.error)
                for name, job in now.jobs.items()
            ],
            empty="No jobs.",
        )
        err.print(f"Due: {now.due}, being handed over: {now.sending}, uncertain: {now.uncertain}.")
        for trouble in now.troubles:
            err.print(f"Not ok: {trouble}.")
    if not now.ok:
        raise typer.Exit(Exit.REFUSED)


@app.command()
def doctor(
    live: Annotated[bool, typer.Option("--live", help="Also what must be so before the first real text.")] = False,
    json: Json = False,
) -> None:
    """Look at everything a text depends on, and say what to do where something is wrong."""
    with the_house(checked=False) as house:
        checks = asyncio.run(health.doctor(house, live=live))
    if json:
        print_json([asdict(check) for check in checks])
    else:
        print_table(
            "Doctor",
            ["", "Check", "Found", "What to do"],
            [("ok" if check.ok else "NOT OK", check.check, check.detail, check.fix) for check in checks],
            empty="Nothing to look at.",
        )
    if not all(check.ok for check in checks):
        raise typer.Exit(Exit.REFUSED)


@app.command()
def simulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the API answers.")] = 4010,
    control_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Where the pretend phones answer; default the next port.")
    ] = None,
    callbacks: Annotated[
        str | None, typer.Option(metavar="URL", help="Our public address, for texts that pretend phones send.")
    ] = None,
    seed: Annotated[int, typer.Option(help="What its chances follow from.")] = 1,
) -> None:
    """Run a pretend Twilio with pretend phones, on this machine only."""
    from reminders.sms.simulator import Simulator, SimulatorSettings
    from reminders.sms.simulator import run as run_simulator

    with the_house(checked=False) as house:
        settings = SimulatorSettings(
            account_sid=house.secrets.account_sid,
            auth_token=house.secrets.auth_token,
            api_key=house.secrets.api_key,
            api_secret=house.secrets.api_secret,
            inbound_url=f"{(callbacks or house.settings.web.public_url).rstrip('/')}/sms/inbound",
            senders=frozenset({house.settings.twilio.sender, "+15005550006"}),
        )
    control = control_port if control_port is not None else (port + 1 if port else 0)

    def say(api: int, phones: int) -> None:
        err.print(f"A pretend Twilio answers on http://127.0.0.1:{api}; its phones on http://127.0.0.1:{phones}.")

    try:
        run_simulator(Simulator(settings, seed=seed), port=port, control_port=control, ready=say)
    except OSError as taken:
        end(Exit.REFUSED, f"Cannot listen: {taken.strerror}.")


@app.command()
def web(
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Where to listen; default web.port.")] = None,
) -> None:
    """Run the web process: Twilio's webhooks, pages, health."""
    import uvicorn

    with the_house() as house:
        if house.settings.twilio.live:
            # The webhook checks ask this very process, so they are the worker's to make.
            missing = [check for check in asyncio.run(health.doctor(house, live=True)) if "webhook" not in check.check]
            health.gate(house, [check for check in missing if not check.check.startswith("job ")])
        host, chosen = house.settings.web.host, port or house.settings.web.port
    uvicorn.run("reminders.web:create_app", factory=True, host=host, port=chosen, log_config=None, access_log=False)


@plans_app.command("pause")
def pause_plan(ref: Annotated[str, typer.Argument(metavar="PLAN_REF")], json: Json = False) -> None:
    """Send nothing for this plan until it is resumed."""
    _set_plan_status(ref, "paused", json=json)


@plans_app.command("resume")
def resume_plan(ref: Annotated[str, typer.Argument(metavar="PLAN_REF")], json: Json = False) -> None:
    """Take a paused plan up again; what lies ahead is planned anew."""
    _set_plan_status(ref, "active", json=json)


@plans_app.command("end")
def end_plan(
    ref: Annotated[str, typer.Argument(metavar="PLAN_REF")],
    because: Annotated[str, typer.Option(help=f"One of {', '.join(ENDINGS)}.")] = "other",
    json: Json = False,
) -> None:
    """End this plan for good and take its texts back."""
    if because not in ENDINGS:
        raise typer.BadParameter(f"choose one of {', '.join(ENDINGS)}", param_hint="--because")
    _set_plan_status(ref, "ended", json=json, because=because)


def _set_plan_status(ref: str, status: str, *, json: bool, because: str | None = None) -> None:
    with the_house() as house:
        try:
            changes = planning.set_plan_status(house, ref, status, clock.now(), who=_who(), because=because)
        except ValueError as refusal:
            end(Exit.REFUSED, f"{ref}: {refusal}")
    if changes is None:
        end(Exit.NOT_FOUND, f"There is no plan {ref}.")
    if json:
        print_json({"texts": _changes(changes)})
    else:
        err.print(f"{ref} is {status}: {_told(changes)}.")


Site = Annotated[str | None, typer.Option(metavar="S", help="The site's key; default the default site.")]


@app.command()
def pause(site: Site = None, json: Json = False) -> None:
    """Stop all sending of a site. Replies are still heard."""
    _pause_site(site, pause=True, json=json)


@app.command()
def resume(site: Site = None, json: Json = False) -> None:
    """Start sending again. What has come too late meanwhile does not go."""
    _pause_site(site, pause=False, json=json)


def _pause_site(site: str | None, *, pause: bool, json: bool) -> None:
    with the_house() as house:
        changed = health.pause_site(house, site, clock.now(), pause=pause, who=_who())
    if changed is None:
        end(Exit.NOT_FOUND, f"There is no site {site}.")
    if json:
        print_json({"paused": pause, "changed": changed})
    else:
        err.print(f"Sending is {'paused' if pause else 'on'}{'' if changed else ', as it was'}.")


@keys_app.command("make")
def make_key() -> None:
    """Print a new sealing key, ready for REMINDERS_SEALING_KEYS: put it first, keep the old ones behind it."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    print(f"{date.today():%Y%m}{secrets.token_hex(2)}:{key}")  # ruff: ignore[banned-api, call-date-today]  a name, not a time


@keys_app.command("rotate")
def rotate_keys(
    index: Annotated[bool, typer.Option("--index", help="Also make a new phone index key.")] = False,
    json: Json = False,
) -> None:
    """Seal everything with the first sealing key. Online, and safe to stop and repeat; then drop the old key."""
    with the_house() as house:
        resealed = 0
        while done := house.database.write(lambda tx: store.people.rotate_keys(tx, 500), again=True):
            resealed += done
        now = clock.now()
        indexed = house.database.write(lambda tx: store.people.new_index_key(tx, now)) if index else 0
        first = house.secrets.first_sealing_key
        house.database.write(
            lambda tx: store.records.note(tx, who=_who(), what="keys rotated", table="keys", row=0, now=now), again=True
        )
    if json:
        print_json({"resealed": resealed, "indexed": indexed, "key": first})
    else:
        err.print(f"{resealed} values sealed anew with {first}; {indexed} numbers indexed anew.")


@app.command()
def demo(
    seconds: Annotated[float | None, typer.Option(min=1, help="Stop by itself after so long.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where the pages answer; 0: any free port.")] = 8000,
) -> None:
    """Run all of it on sample data: nothing leaves this machine."""
    from reminders.cli.demo import run_demo

    raise typer.Exit(run_demo(seconds=seconds, port=port))
