"""Commands about texts: send them, settle them, see what became of them, stop and start."""

import sys
from typing import Annotated, Any, Literal, cast

import typer

from reminders.cli.output import Exit, Json, app_context, end, err, print_json, print_json_lines, print_table, who


def send(json: Json = False) -> None:
    """Send what is due, once; the worker does this all the time."""
    import threading
    from concurrent.futures import ThreadPoolExecutor

    from reminders.service import sending
    from reminders.service.operations import health, runs

    with app_context() as context:
        health.gate(context)
        with ThreadPoolExecutor(1) as executor:
            tally = runs.with_gateway(
                context, lambda gateway: sending.Dispatch(context, gateway, executor, threading.Event()).drain()
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
    from reminders.service.operations import runs
    from reminders.service.sending import outcomes

    with app_context() as context:
        done = runs.with_gateway(context, lambda gateway: outcomes.settle(context, gateway, clock.now()))
    counts = {name: getattr(done, name) for name in ("released", "found", "uncertain", "expired")}
    if json:
        print_json(counts)
    else:
        err.print(", ".join(f"{name}: {count}" for name, count in counts.items()).capitalize() + ".")
    if done.unreachable:
        end(Exit.UNREACHABLE, "Twilio could not be asked; the look-up is made later.")


def log(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WORD]...", help="Search words, as on the page: code:30003 site:main before:2026-05-01."
        ),
    ] = None,
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only texts in this state, such as delivered.")
    ] = None,
    reason: Annotated[
        str | None, typer.Option(metavar="REASON", help="Only those not sent for this reason, such as no_consent.")
    ] = None,
    class_: Annotated[str | None, typer.Option("--class", metavar="CLASS", help="reminder, notice, answer …")] = None,
    site: Annotated[str | None, typer.Option(metavar="S", help="Only this site's.")] = None,
    plan: Annotated[str | None, typer.Option(metavar="REF", help="Only texts about this plan's visits.")] = None,
    patient: Annotated[str | None, typer.Option(metavar="REF", help="Only this patient's.")] = None,
    number: Annotated[str | None, typer.Option(metavar="PHONE", help="Only texts to this number.")] = None,
    code: Annotated[int | None, typer.Option(metavar="N", help="Only those that met this Twilio code.")] = None,
    sid: Annotated[str | None, typer.Option(metavar="SID", help="Only the one that Twilio knows by this SID.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only windows that open at this time or later, 2026-12-01T09:00.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Only windows that open before this time.")] = None,
    when: Annotated[
        str | None, typer.Option(metavar="WHEN", help="past, today, yesterday, 7d, 30d, ahead or any.")
    ] = None,
    hour: Annotated[
        int | None, typer.Option(metavar="H", help="Only windows that open in this hour of the day.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1_000_000, help="At most so many.")] = 100,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, with the Part 2 notice as its last line.")] = False,
    json: Json = False,
) -> None:
    """Show what became of each text, newest first."""
    from dataclasses import replace

    from reminders import clock, queries
    from reminders.queries import delivery_log, explanations, exports
    from reminders.wording import house_style, staff_words

    if json and as_csv:
        raise typer.BadParameter("choose one of --json and --csv", param_hint="--csv")
    typed = {"state": state, "reason": reason, "class": class_, "site": site, "plan": plan, "patient": patient}
    typed |= {"number": number, "sid": sid, "since": since, "until": until, "when": when, "q": " ".join(words or [])}
    typed |= {"code": None if code is None else str(code), "hour": None if hour is None else str(hour)}
    fields = {name: value for name, value in typed.items() if value is not None}
    with app_context() as context:
        now = clock.now()
        asked = context.database.read(lambda tx: delivery_log.ask(context, tx, {"when": "any"} | fields, now))
        for field, said in asked.problems.items():
            known = {"state": delivery_log.STATES, "reason": staff_words.REASONS, "class": staff_words.CLASSES}.get(
                field
            )
            problem = said + (f": {', '.join(known)}" if known else "")
            raise typer.BadParameter(problem, param_hint=f"--{field}" if field != "q" else "WORD")
        assert asked.wanted is not None
        wanted = replace(asked.wanted, limit=limit)
        if as_csv:
            delivery_log.note_export(context.database, asked, "csv", now, who=who())
            for line in delivery_log.as_csv(context.database, wanted, notice=exports.NOTICE[:1]):
                sys.stdout.write(line)
            return
        texts = context.database.read(lambda tx: queries.texts.log(tx, wanted))
    if json:
        print_json_lines(map(delivery_log.in_full, texts))
    else:
        print_table(
            "Delivery log, newest first",
            ["Window opens", "To", "Plan", "State", "What became of it"],
            [
                (
                    house_style.clock_time(text.opens_at, text.zone, now),
                    f"…{text.to[-4:]}",
                    text.plan,
                    staff_words.STATES[text.state],
                    explanations.tell(text, now),
                )
                for text in texts
            ],
            empty="No texts.",
        )


def status(json: Json = False) -> None:
    """Say whether it works; ends with 1 when it does not."""
    from reminders import clock
    from reminders.service.operations import health, upgrade

    with app_context() as context:
        version, schema = upgrade.versions(context)
        if not json:
            err.print(f"{context.place} Version {version}, schema {schema}.")
        now = health.status(context, clock.now())
    if json:
        print_json(now.as_json() | {"version": version, "schema": schema})
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
    """Say how many texts were handed over, delivered and answered."""
    from reminders import clock, queries
    from reminders.queries import statistics as service

    if range_ not in {*service.RANGES, "all"}:
        raise typer.BadParameter("write 24h, 7d, 30d, 90d or all", param_hint="--range")
    with app_context() as context:
        now = clock.now()

        def look(tx: queries.Transaction) -> service.Numbers | None:
            place = queries.people.site_by_key(tx, site) if site is not None else None
            if site is not None and place is None:
                return None
            zone = place.zone if place is not None else context.settings.site.zone
            sites = [place.id] if place is not None else None
            price = context.settings.sending.price_per_segment
            return service.numbers(tx, now, range_=range_, zone=zone, sites=sites, site=site, price=price)

        found = context.database.read(look)
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
        ("Cost, estimated in it", f"{found.cost.total:.2f}, {found.cost.estimated or 0:.2f}"),
    ]
    for what, (half, most) in (("handed over", whole.lag), ("known how they ended", whole.word)):
        if half is not None:
            rows.append((f"Seconds until {what}: half of them, 95 in 100", f"{half:g}, {most:g}"))
    rows += [(f"Code {code}", many) for code, many in found.codes.most_common(10)]
    print_table(f"Texts, {range_}", ["", "Number"], rows, empty="No texts.")
    if found.counted_at is not None:
        err.print(f"As counted {found.counted_at:%Y-%m-%d %H:%M:%S} UTC.")


def costs(
    which: Annotated[str, typer.Option("--by", metavar="WHAT", help="month, site, plan or text.")] = "month",
    month: Annotated[
        str | None, typer.Option("--month", metavar="YYYY-MM", help="Of this month; default the present one.")
    ] = None,
    site: Annotated[str | None, typer.Option(metavar="S", help="Only this site's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many lines.")] = 1_000,
    json: Json = False,
) -> None:
    """Say what texts cost, by month, site, plan or text.

    In the currency of the Twilio account: Twilio's price where it told one, else sending.price_per_segment.
    """
    from datetime import date

    from reminders import clock, plans, queries
    from reminders.queries import costs as service

    if which not in {"month", "site", "plan", "text"}:
        raise typer.BadParameter("write month, site, plan or text", param_hint="--by")
    try:
        day = date.fromisoformat(f"{month}-01") if month is not None else None
    except ValueError:
        raise typer.BadParameter("write a month such as 2026-11", param_hint="--month") from None
    with app_context() as context:
        now, price = clock.now(), context.settings.sending.price_per_segment

        def look(tx: queries.Transaction) -> list[tuple[str, service.Cost]] | None:
            place = queries.people.site_by_key(tx, site) if site is not None else None
            if site is not None and place is None:
                return None
            zone = place.zone if place is not None else context.settings.site.zone
            places = [place.id] if place is not None else None
            if which == "month" and day is None:
                return service.months(tx, now, zone, price=price, places=places)
            since, until = service.month(day or plans.to_wall(now, zone).date(), zone)
            if which == "month":
                return [(str(month), service.total(tx, since=since, until=until, price=price, places=places))]
            return service.by(
                tx,
                cast("Literal['site', 'plan', 'text']", which),
                since=since,
                until=until,
                price=price,
                places=places,
                limit=limit,
            )

        found = context.database.read(look)
    if found is None:
        end(Exit.NOT_FOUND, f"There is no site {site}.")
    if json:
        print_json_lines({which: name, **cost.as_json()} for name, cost in found)
        return
    print_table(
        f"What texts cost, by {which}",
        [which.capitalize(), "Texts", "Segments", "Cost", "Estimated in it", "Segments without a price"],
        [
            (name, cost.texts, cost.segments, f"{cost.total:.4f}", f"{cost.estimated or 0:.4f}", cost.unpriced)
            for name, cost in found
        ],
        empty="No texts.",
    )


Site = Annotated[str | None, typer.Option(metavar="S", help="The site's key; default the default site.")]


def pause(site: Site = None, json: Json = False) -> None:
    """Stop all sending of a site. Replies are still heard."""
    _pause_site(site, pause=True, json=json)


def resume(site: Site = None, json: Json = False) -> None:
    """Start sending again; what is too late by now does not go."""
    _pause_site(site, pause=False, json=json)


def _pause_site(site: str | None, *, pause: bool, json: bool) -> None:
    from reminders import clock
    from reminders.service.operations import health

    with app_context() as context:
        changed = health.pause_site(context, site, clock.now(), pause=pause, who=who())
    if changed is None:
        end(Exit.NOT_FOUND, f"There is no site {site}.")
    if json:
        print_json({"paused": pause, "changed": changed})
    else:
        err.print(f"Sending is {'paused' if pause else 'on'}{'' if changed else ', as it was'}.")
