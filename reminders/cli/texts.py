"""Commands about texts: send them, settle them, see what became of them, stop and start."""

import sys
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reminders.cli.output import Exit, Json, end, err, print_json, print_json_lines, print_table, the_house, who
from reminders.lifecycle import State

if TYPE_CHECKING:
    from reminders.store.texts import Logged


def send(json: Json = False) -> None:
    """Send what is due, once; the worker does this all the time."""
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from reminders.service import health, runs, sending

    with the_house() as house:
        health.gate(house)
        with ThreadPoolExecutor(1) as executor:
            tally = runs.with_gateway(
                house, lambda gateway: sending.Dispatch(house, gateway, executor, threading.Event()).drain()
            )
    counts = {name: getattr(tally, name) for name in ("claimed", "accepted", "refused", "unknown", "suppressed")}
    if json:
        print_json(counts)
    else:
        err.print(", ".join(f"{name}: {count}" for name, count in counts.items()).capitalize() + ".")
    if tally.no_connection:
        end(Exit.UNREACHABLE, "Twilio could not be reached; the texts wait.")


def settle(json: Json = False) -> None:
    """Look after open outcomes, once; the worker does this too."""
    from reminders import clock
    from reminders.service import outcomes, runs

    with the_house() as house:
        done = runs.with_gateway(house, lambda gateway: outcomes.settle(house, gateway, clock.now()))
    counts = {name: getattr(done, name) for name in ("released", "found", "uncertain", "expired")}
    if json:
        print_json(counts)
    else:
        err.print(", ".join(f"{name}: {count}" for name, count in counts.items()).capitalize() + ".")
    if done.unreachable:
        end(Exit.UNREACHABLE, "Twilio could not be asked; the look-up is made later.")


def _instant(text: str | None, zone: str, option: str) -> datetime | None:
    """A date or time a person typed, on the site's wall clock unless it says otherwise."""
    from reminders.plans import to_instant

    if text is None:
        return None
    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter("write 2026-12-01 or 2026-12-01T09:00", param_hint=option) from None
    if not 2000 <= value.year <= 2199:
        raise typer.BadParameter("lies outside the years 2000 to 2199", param_hint=option)
    return to_instant(value, zone) if value.tzinfo is None else value.astimezone(UTC)


def log(
    state: Annotated[
        State | None, typer.Option(metavar="STATE", help="Only texts in this state, such as delivered.")
    ] = None,
    plan: Annotated[str | None, typer.Option(metavar="REF", help="Only texts about this plan's visits.")] = None,
    patient: Annotated[str | None, typer.Option(metavar="REF", help="Only this patient's.")] = None,
    code: Annotated[int | None, typer.Option(metavar="N", help="Only those that met this Twilio code.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only windows that open at this time or later, 2026-12-01T09:00.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only windows that open before this time.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="At most so many.")] = 100,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with the Part 2 notice on top.")] = False,
    json: Json = False,
) -> None:
    """Show what became of each text, newest first."""
    from reminders import clock, store
    from reminders.service import story
    from reminders.store.texts import LogFilter

    if json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv", param_hint="--csv")
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
    now = clock.now()
    if json:
        print_json_lines(_logged(text) for text in texts)
    elif as_csv:
        _print_csv(texts)
    else:
        print_table(
            "Delivery log, newest first",
            ["Window opens", "To", "Plan", "State", "What became of it"],
            [
                (
                    _this_year(story.clock_time(text.opens_at, text.zone), now),
                    f"…{text.to[-4:]}",
                    text.plan,
                    story.STATES[text.state],
                    _this_year(story.tell(text), now),
                )
                for text in texts
            ],
            empty="No texts.",
        )


def _this_year(said: str, now: datetime) -> str:
    return said.replace(f" {now:%Y},", ",")


def _logged(text: "Logged") -> dict[str, Any]:
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


def _print_csv(texts: "list[Logged]") -> None:
    """CSV for a spreadsheet; no cell can be a formula (L-51 asks for the notice on what leaves)."""
    import csv

    from reminders.service import story

    writer = csv.writer(sys.stdout, quoting=csv.QUOTE_ALL)
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
    """The cell, with an apostrophe in front where a spreadsheet could take it for a formula.

    Some trim blanks and invisible signs first, and take full-width signs as well (OWASP: CSV Injection).
    """
    visible = (sign for sign in unicodedata.normalize("NFKC", cell) if sign.isprintable() and not sign.isspace())
    return f"'{cell}" if next(visible, None) in {"=", "+", "-", "@"} else cell


def status(json: Json = False) -> None:
    """Say whether it works; ends with 1 when it does not."""
    from reminders import clock
    from reminders.service import health

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
        if all(job.last_success is None for job in now.jobs.values()):
            err.print("Start the worker: python -m jobs")
    if not now.ok:
        raise typer.Exit(Exit.REFUSED)


def stats(
    range_: Annotated[
        str, typer.Option("--range", metavar="RANGE", help="24h, 7d, 30d, 90d or all; days are the site's.")
    ] = "24h",
    site: Annotated[str | None, typer.Option(metavar="S", help="Only this site's.")] = None,
    json: Json = False,
) -> None:
    """Say how many texts were handed over and delivered, how soon, and what came back."""
    from reminders import clock, store
    from reminders.service import stats as service

    if range_ not in {*service.RANGES, "all"}:
        raise typer.BadParameter("write 24h, 7d, 30d, 90d or all", param_hint="--range")
    with the_house() as house:
        now = clock.now()

        def look(tx: store.Transaction) -> service.Numbers | None:
            place = store.people.site_by_key(tx, site) if site is not None else None
            if site is not None and place is None:
                return None
            zone = place.zone if place is not None else house.settings.site.zone
            sites = [place.id] if place is not None else None
            return service.numbers(tx, now, range_=range_, zone=zone, sites=sites, site=site)

        found = house.database.read(look)
    if found is None:
        end(Exit.NOT_FOUND, f"There is no site {site}.")
    if json:
        print_json(found.as_json())
        return
    whole = found.whole
    rows: list[tuple[str, Any]] = [
        ("Handed over", whole.handed_over),
        ("Delivered", whole.delivered),
        ("Not delivered", whole.not_delivered),
        ("Delivered of those that ended", "none yet" if whole.delivery_rate is None else f"{whole.delivery_rate:.1%}"),
        ("Segments", whole.segments),
        ("Replies, STOPs among them", f"{whole.replies}, {whole.stops}"),
    ]
    for what, (half, most) in (("handed over", whole.lag), ("known how they ended", whole.word)):
        if half is not None:
            rows.append((f"Seconds until {what}: half of them, 95 in 100", f"{half:g}, {most:g}"))
    rows += [(f"Code {code}", many) for code, many in found.codes.most_common(10)]
    print_table(f"Texts, {range_}", ["", "Number"], rows, empty="No texts.")
    if found.counted_at is not None:
        err.print(f"As counted {found.counted_at:%Y-%m-%d %H:%M:%S} UTC.")


Site = Annotated[str | None, typer.Option(metavar="S", help="The site's key; default the default site.")]


def pause(site: Site = None, json: Json = False) -> None:
    """Stop all sending of a site. Replies are still heard."""
    _pause_site(site, pause=True, json=json)


def resume(site: Site = None, json: Json = False) -> None:
    """Start sending again; what is too late by now does not go."""
    _pause_site(site, pause=False, json=json)


def _pause_site(site: str | None, *, pause: bool, json: bool) -> None:
    from reminders import clock
    from reminders.service import health

    with the_house() as house:
        changed = health.pause_site(house, site, clock.now(), pause=pause, who=who())
    if changed is None:
        end(Exit.NOT_FOUND, f"There is no site {site}.")
    if json:
        print_json({"paused": pause, "changed": changed})
    else:
        err.print(f"Sending is {'paused' if pause else 'on'}{'' if changed else ', as it was'}.")
