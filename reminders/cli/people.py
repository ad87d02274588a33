"""Commands about people: who gets texts, new numbers, consents and their end, family, a text that staff types."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from reminders.cli.output import Exit, Json, app_context, end, err, out, print_json, print_table, told, who

if TYPE_CHECKING:
    from reminders.service import AppContext
    from reminders.service.people.patient_status import Person, PlanShown, Shown
    from reminders.service.people.reader_case import Done, Whom

T = TypeVar("T")

Patient = Annotated[str, typer.Argument(metavar="PATIENT_REF", help="The patient's reference.")]
Reader = Annotated[
    str, typer.Option("--recipient", metavar="KEY", help="Another person who gets texts about this patient.")
]
Site = Annotated[str | None, typer.Option(metavar="S", help="The site's key; default the default site.")]

# A consent, as a plan file's [consent] has it.
Said = Annotated[str | None, typer.Option("--said", metavar="yes|no", help="What they said about texts to it.")]
OnDay = Annotated[str | None, typer.Option("--on", metavar="DATE", help="When they said it; default today.")]
How = Annotated[str | None, typer.Option("--how", metavar="WORDS", help="How it was given, such as signed form.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who took it.")]
Categories = Annotated[
    str | None, typer.Option(metavar="A,B", help="What they agreed to, such as appointments,meetings.")
]
Warned = Annotated[bool, typer.Option("--warned-of-risk", help="They were told that others may see texts.")]
Wording = Annotated[str | None, typer.Option(metavar="VERSION", help="The wording of the consent they saw.")]
PerDay = Annotated[int | None, typer.Option(metavar="N", help="Texts a day they agreed to.")]
PerWeek = Annotated[int | None, typer.Option(metavar="N", help="Texts a week they agreed to.")]
AliasShown = Annotated[bool, typer.Option("--alias-shown", help="They saw the name our texts are signed with.")]
Verified = Annotated[str | None, typer.Option(metavar="HOW", help="How the number was checked, such as read aloud.")]
Basis = Annotated[str | None, typer.Option("--legal-basis", metavar="WORDS", help="Of a patient under 18.")]
Expires = Annotated[str | None, typer.Option("--expires-on", metavar="DATE", help="The last day it holds.")]


def _consent(**said: Any) -> dict[str, Any]:
    """What was given of a consent, under the names of a plan file."""
    values = {name: value for name, value in said.items() if value is not None and value is not False}
    if "categories" in values:
        values["categories"] = [word.strip() for word in values["categories"].split(",") if word.strip()]
    return values


def _do(patient: str, reader: str, site: str | None, verb: "Callable[[AppContext, Whom, datetime], T | None]") -> T:
    """Call a verb about one reader; what cannot be done ends the command with the reason."""
    from reminders import clock
    from reminders.plans import PlanRefused
    from reminders.service.people import reader_case

    whom = reader_case.Whom(patient, reader, site)
    with app_context() as context:
        try:
            done = verb(context, whom, clock.now())
        except PlanRefused as refusal:
            end(Exit.REFUSED, "\n".join(f"{one}{_option_of(one.where)}" for one in refusal.problems))
        except reader_case.Refused as refusal:
            end(Exit.REFUSED, f"{patient}: {refusal}.")
    if done is None:
        whose = "" if reader == "self" else f", or no one {reader} among who gets texts about them"
        end(Exit.NOT_FOUND, f"There is no patient {patient}{whose}.")
    return done


_OPTIONS = {"on", "how", "by", "categories", "warned_of_risk", "legal_basis", "expires_on"}


def _option_of(where: str) -> str:
    """The option of these commands that mends a consent's problem, in brackets; nothing for another field."""
    _, of_consent, field = where.rpartition("consent.")
    field = field.partition("[")[0]
    return f" [--{field.replace('_', '-')}]" if of_consent and field in _OPTIONS else ""


def _said(words: str, done: "Done", *, json: bool, **more: Any) -> None:
    from dataclasses import asdict

    if json:
        print_json({"texts": asdict(done.texts), "notes": list(done.notes), **more})
        return
    err.print(f"{words} {told(done.texts)}")
    for note in done.notes:
        err.print(f"- {note}.")


def change_number(
    patient: Patient,
    phone: Annotated[str, typer.Argument(metavar="NEW_PHONE", help="The new number, in any format.")],
    recipient: Reader = "self",
    said: Said = None,
    on: OnDay = None,
    how: How = None,
    by: By = None,
    categories: Categories = None,
    warned_of_risk: Warned = False,
    wording: Wording = None,
    per_day: PerDay = None,
    per_week: PerWeek = None,
    alias_shown: AliasShown = False,
    verified: Verified = None,
    legal_basis: Basis = None,
    expires_on: Expires = None,
    site: Site = None,
    json: Json = False,
) -> None:
    """Give someone a new number; the old one stops at once.

    The new one needs a consent of its own: without it nothing goes.
    """
    from reminders.service.people import phone_numbers

    consent = _consent(
        said=said,
        on=on,
        how=how,
        by=by,
        categories=categories,
        warned_of_risk=warned_of_risk,
        wording=wording,
        per_day=per_day,
        per_week=per_week,
        alias_shown=alias_shown,
        verified=verified,
        legal_basis=legal_basis,
        expires_on=expires_on,
    )
    done = _do(
        patient,
        recipient,
        site,
        lambda context, whom, now: phone_numbers.new_number(
            context, whom, phone, now, who=who(), consent=consent or None, by_hand=True
        ),
    )
    _said("The old number gets nothing more of theirs.", done, json=json)


def record_consent(
    patient: Patient,
    said: Annotated[str, typer.Option("--said", metavar="yes|no", help="What they said about texts.")],
    recipient: Reader = "self",
    on: OnDay = None,
    how: How = None,
    by: By = None,
    categories: Categories = None,
    warned_of_risk: Warned = False,
    wording: Wording = None,
    per_day: PerDay = None,
    per_week: PerWeek = None,
    alias_shown: AliasShown = False,
    verified: Verified = None,
    legal_basis: Basis = None,
    expires_on: Expires = None,
    site: Site = None,
    json: Json = False,
) -> None:
    """Put on record what someone said about texts.

    It never lifts a STOP that came from the phone: only START from that phone does.
    """
    from reminders.service.people import consents

    consent = _consent(
        said=said,
        on=on,
        how=how,
        by=by,
        categories=categories,
        warned_of_risk=warned_of_risk,
        wording=wording,
        per_day=per_day,
        per_week=per_week,
        alias_shown=alias_shown,
        verified=verified,
        legal_basis=legal_basis,
        expires_on=expires_on,
    )
    done = _do(
        patient,
        recipient,
        site,
        lambda context, whom, now: consents.record_consent(context, whom, consent, now, who=who(), by_hand=True),
    )
    _said("It is on record.", done, json=json)


def verify(
    patient: Patient,
    how: Annotated[str, typer.Option(metavar="WORDS", help="How you made sure.")] = "read aloud",
    recipient: Reader = "self",
    site: Site = None,
    json: Json = False,
) -> None:
    """Say that you made sure of a number, such as by reading aloud."""
    from reminders.service.people import phone_numbers

    done = _do(
        patient, recipient, site, lambda context, whom, now: phone_numbers.verify(context, whom, how, now, who=who())
    )
    _said("The number is verified.", done, json=json)


def opt_out(
    patient: Patient,
    how: Annotated[str, typer.Option(metavar="WORDS", help="How it came: voicemail, e-mail, front desk …")],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who received it.")],
    received: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it came, 2026-12-01T09:00; default now.")
    ] = None,
    recipient: Reader = "self",
    site: Site = None,
    json: Json = False,
) -> None:
    """Record a no that came another way than by text.

    It works like a STOP, and at once, for everyone on that number.
    """
    from reminders.service.people import consents

    def record(context: "AppContext", whom: "Whom", now: datetime) -> "consents.OptedOut | None":
        at = _instant(received, context.settings.site.zone) if received is not None else now
        return consents.record_opt_out(context, whom, now, how=how, received_at=at, by=by, who=who())

    done = _do(patient, recipient, site, record)
    last = done.honour_by
    _said(f"Nothing more goes to this number. The law left until {last}.", done, json=json, honour_by=last)


def _instant(text: str, zone: str) -> datetime:
    """A time that a person typed, on the site's wall clock unless it says otherwise."""
    from reminders.plans import to_instant

    try:
        value = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter("write 2026-12-01T09:00", param_hint="--received") from None
    if not 2000 <= value.year <= 2199:
        raise typer.BadParameter("lies outside the years 2000 to 2199", param_hint="--received")
    return to_instant(value, zone) if value.tzinfo is None else value.astimezone(UTC)


def wrong_number(
    patient: Patient,
    undo: Annotated[bool, typer.Option("--undo", help="It is theirs after all.")] = False,
    recipient: Reader = "self",
    site: Site = None,
    json: Json = False,
) -> None:
    """Say that a number is someone else's: nothing more goes to it."""
    from reminders.service.people import phone_numbers

    done = _do(
        patient,
        recipient,
        site,
        lambda context, whom, now: phone_numbers.mark_wrong(context, whom, now, who=who(), wrong=not undo),
    )
    _said("The number is theirs after all." if undo else "Nothing more goes to this number.", done, json=json)


def add_recipient(
    patient: Patient,
    key: Annotated[str, typer.Argument(metavar="KEY", help="What to call them here, such as sister.")],
    phone: Annotated[str, typer.Argument(metavar="PHONE", help="Their number, in any format.")],
    part2_consent_on: Annotated[
        str, typer.Option(metavar="DATE", help="When the patient consented in writing, naming this person.")
    ],
    role: Annotated[str, typer.Option(help="supporter or guardian.")] = "supporter",
    language: Annotated[str, typer.Option(help="A language tag, such as en or es-MX.")] = "en",
    zone: Annotated[str | None, typer.Option(metavar="ZONE", help="Their time zone; default the site's.")] = None,
    series: Annotated[
        str | None,
        typer.Option("--for", metavar="SERIES,SERIES", help="What they are told of; default the family sessions."),
    ] = None,
    said: Said = None,
    on: OnDay = None,
    how: How = None,
    by: By = None,
    categories: Categories = "family",
    wording: Wording = None,
    alias_shown: AliasShown = False,
    verified: Verified = None,
    site: Site = None,
    json: Json = False,
) -> None:
    """Let someone of the family get texts too.

    It takes the patient's written consent that names them, and their own.
    """
    from reminders.service.people import supporters

    person: dict[str, Any] = {
        "key": key,
        "role": role,
        "phone": phone,
        "language": language,
        "part2_consent_on": part2_consent_on,
    }
    if zone is not None:
        person["zone"] = zone
    if said is not None:
        person["consent"] = _consent(
            said=said,
            on=on,
            how=how,
            by=by,
            categories=categories,
            wording=wording,
            alias_shown=alias_shown,
            verified=verified,
        )
    named = [word.strip() for word in series.split(",") if word.strip()] if series is not None else None
    done = _do(
        patient,
        "self",
        site,
        lambda context, whom, now: supporters.add_recipient(
            context, whom, person, now, who=who(), series=named, by_hand=True
        ),
    )
    _said(f"{key} is on record.", done, json=json)


def remove_recipient(
    patient: Patient,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Who gets no more texts.")],
    by_patient: Annotated[
        bool, typer.Option("--by-patient", help="The patient withdrew the written consent; else they asked themselves.")
    ] = False,
    site: Site = None,
    json: Json = False,
) -> None:
    """End another person's texts at once."""
    from reminders.service.people import supporters

    done = _do(
        patient,
        key,
        site,
        lambda context, whom, now: supporters.remove_recipient(context, whom, now, who=who(), by_patient=by_patient),
    )
    _said(f"{key} gets no more texts.", done, json=json)


def say(
    patient: Patient,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The words, in quotes. -: from stdin.")],
    recipient: Reader = "self",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it; send nothing.")] = False,
    site: Site = None,
    json: Json = False,
) -> None:
    """Text someone in words of your own, which must not tell."""
    from reminders.service.people import staff_texts
    from reminders.wording import house_style

    words = sys.stdin.read() if text == "-" else text
    typed = _do(
        patient,
        recipient,
        site,
        lambda context, whom, now: staff_texts.say(context, whom, words, now, who=who(), dry_run=dry_run),
    )
    if json:
        print_json(
            {
                "text": str(typed.text) if typed.text is not None else None,
                "body": typed.body,
                "segments": typed.segments,
                "encoding": typed.encoding,
                "goes_at": typed.goes_at,
            }
        )
        return
    print(typed.body)
    when = house_style.clock_time(typed.goes_at, typed.zone)
    err.print(f"{'Would go' if dry_run else 'Goes'} {when}, in {typed.segments} segments ({typed.encoding}).")


def card(patient: Patient, recipient: Reader = "self", site: Site = None, json: Json = False) -> None:
    """Print the card to take home, in their language."""
    from reminders import wording
    from reminders.service.people import patient_status

    try:
        said = _do(patient, recipient, site, lambda context, whom, _: patient_status.card(context, whom))
    except wording.Unsayable as unsayable:
        end(Exit.REFUSED, f"There is no card: {unsayable}.")
    if json:
        print_json({"card": said})
    else:
        print(said, end="")


def show(patient: Patient, site: Site = None, json: Json = False) -> None:
    """Show who gets texts about a patient, and why not.

    That you read it is put on record.
    """
    from reminders.service.people import patient_status
    from reminders.wording import house_style, staff_words

    person = _do(patient, "self", site, lambda context, whom, now: patient_status.show(context, whom, now, who=who()))
    if json:
        print_json(_document(person))
        return
    from reminders.service.operations.legible import legible

    out.print(legible(f"{person.ref} at {person.site}{f', {person.name}' if person.name else ''}"))
    print_table(
        "Who gets texts",
        ["Who", "To", "Language", "Agreed to", "Consent", "Status"],
        [
            (_who(one), f"…{one.to[-4:]}", one.language, ", ".join(one.categories), _given(one), _stands(one))
            for one in person.readers
        ],
        empty="Nobody.",
    )
    print_table(
        "Plans",
        ["Plan", "Discharged", "Status"],
        [(plan.ref, plan.discharged_on, _status(plan)) for plan in person.plans],
        empty="No plans.",
    )
    print_table(
        "Next visits",
        ["When", "Plan", "Visit", "How", "Status"],
        [
            (
                house_style.clock_time(row.starts_at, row.zone),
                row.plan_ref,
                f"{row.series_key}@{row.recurrence_id}",
                staff_words.MODES[row.how],
                row.status,
            )
            for row in person.visits
        ],
        empty="No visits ahead.",
    )
    print_table(
        "Open tasks",
        ["No.", "What", "Urgency", "Due", "Owner"],
        [
            (task.id, _title(task.kind), task.urgency, house_style.clock_time(task.due_at, person.zone), task.owner)
            for task in person.tasks
        ],
        empty="No open tasks.",
    )


def hold(
    patient: Patient,
    ended: Annotated[bool, typer.Option("--ended", help="The legal hold is over.")] = False,
    site: Site = None,
    json: Json = False,
) -> None:
    """Hold a patient for the law: nothing is cleared or erased."""
    from reminders import clock
    from reminders.service.operations import retention

    with app_context() as context:
        changed = retention.hold(context, patient, clock.now(), who=who(), on=not ended, site=site)
    if changed is None:
        end(Exit.NOT_FOUND, f"There is no patient {patient}.")
    if json:
        print_json({"hold": not ended, "changed": changed})
        return
    stands = "is no longer under a legal hold" if ended else "is under a legal hold"
    err.print(f"{patient} {stands}{'' if changed else ', as before'}.")


def erase(
    patient: Patient,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without this nothing is done.")] = False,
    site: Site = None,
    json: Json = False,
) -> None:
    """Erase a patient for ever; outcomes stay, by number only."""
    from reminders import clock
    from reminders.service.operations import retention
    from reminders.service.people.reader_case import Refused

    if not yes:
        end(Exit.REFUSED, f"This cannot be undone. To erase {patient}, say --yes.")
    with app_context() as context:
        try:
            done = retention.erase(context, patient, clock.now(), who=who(), site=site)
        except Refused as refusal:
            end(Exit.REFUSED, f"{patient}: {refusal}.")
    if done is None:
        end(Exit.NOT_FOUND, f"There is no patient {patient}.")
    if json:
        texts = {"added": 0, "moved": 0, "retracted": done.retracted}
        print_json({"erased": done.ref, "texts": texts, "at_twilio": done.at_twilio})
        return
    err.print(f"Erased; {done.retracted} texts taken back. What must be kept stands under {done.ref}.")
    err.print("What is left elsewhere (docs/restore.md#what-an-erasure-does-not-reach):")
    err.print("- Backups made before hold the key until you delete them.")
    err.print(
        f"- Twilio holds {done.at_twilio} messages that went to them, and theirs to us, until they are deleted there."
    )
    err.print("- What was exported is yours to delete.")


def _who(one: "Shown") -> str:
    return "the patient" if one.role == "self" else f"{one.key} ({one.role})"


def _given(one: "Shown") -> str:
    if one.said is None:
        return "none"
    missing = f"; does not count: {', '.join(one.missing)}" if one.missing else ""
    return f"{one.said}, {one.said_on}, {one.how or 'not said how'}{missing}"


def _stands(one: "Shown") -> str:
    if one.why_not is not None:
        return f"nothing goes: {one.why_not}"
    return "reminders wait: someone may be in danger" if one.waits else "texts go"


def _status(plan: "PlanShown") -> str:
    return f"{plan.status} ({plan.ended_because})" if plan.ended_because else plan.status


def _title(kind: str) -> str:
    from reminders import task_kinds

    return task_kinds.KINDS[kind].title


def _document(person: "Person") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "patient": person.ref,
        "site": person.site,
        "name": person.name,
        "recipients": [asdict(one) for one in person.readers],
        "plans": [
            {
                "ref": row.ref,
                "status": row.status,
                "ended_because": row.ended_because,
                "discharged_on": row.discharged_on,
            }
            for row in person.plans
        ],
        "visits": [
            {
                "plan": row.plan_ref,
                "visit": f"{row.series_key}@{row.recurrence_id}",
                "local": row.wall,
                "zone": row.zone,
                "how": row.how,
                "status": row.status,
            }
            for row in person.visits
        ],
        "tasks": [
            {"id": row.id, "kind": row.kind, "urgency": row.urgency, "due_at": row.due_at, "owner": row.owner}
            for row in person.tasks
        ],
    }
