"""What is left of an erased person (SEC-8), and manipulations of the audit and its rows (SEC-14, SEC-16)."""

import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
import staff
from api_caller import Program, make_key
from conftest import NOW, open_context
from people import one_off, raw
from two_sites import accept
from web_caller import Caller

from reminders import queries, store
from reminders.audit_actions import Action
from reminders.cli import output
from reminders.queries import delivery_log
from reminders.service import AppContext, tasks
from reminders.service.office import audit
from reminders.service.operations import backups, retention
from reminders.service.people import phone_numbers, reader_case
from reminders.service.replies import inbound
from reminders.sms import InboundText
from reminders.store.database import schema, sealing

NAME, REF, PHONE = "Zephyrine Quillfeather", "MRN-CANARY-77", "202-555-0177"


@pytest.fixture
def clinic(database_url, tmp_path, travel):
    travel(NOW)
    opened = open_context(database_url, tmp_path, jobs__import_folder=str(tmp_path / "plans"))
    yield opened
    opened.close()


def inbound_of(context) -> list[bytes]:
    """Their sealed words, after they wrote something that names them and a person was asked to read it."""
    text = InboundText("SM" + "1" * 32, "+12025550177", "+15005550006", f"{NAME} here, {REF}, can I come later?", None)
    inbound.take_in(context, text, NOW)
    return [row.body_sealed for row in context.database.read(lambda tx: tx.all(sa.select(schema.replies)))]


def count(context, table) -> int:
    return context.database.read(lambda tx: tx.value(sa.select(sa.func.count()).select_from(table)))


def test_s8_an_erased_person_is_in_no_draft_no_kept_answer_and_no_file(clinic, tmp_path):
    accept(clinic, 77, patient={"ref": REF, "name": NAME, "phone": PHONE})
    program = Program(clinic, make_key(clinic))
    search = {"search": REF}
    assert NAME in program.post("/patients/search", search, idempotency_key="one").text
    staff.member(clinic, "coordinator")
    (member,) = clinic.database.read(lambda tx: tx.all(sa.select(schema.staff)))
    site = clinic.database.read(store.people.all_sites)[0].id
    drafts = {1: f"x {NAME.upper()}", 2: f"call (202) 555-0177 {'.'}", 3: REF.lower(), 4: "someone else"}

    def keep(tx):
        for number, words in drafts.items():
            fields = [("patient.name", words)]
            store.drafts.keep(tx, number, fields, NOW, staff_id=member.id, site_id=site)

    clinic.database.write(keep)
    for place in ("done", "refused"):
        folder = tmp_path / "plans" / place
        folder.mkdir(parents=True)
        (folder / "one.toml").write_text(f'[patient]\nname = "{NAME}"\nphone = "+1 (202) 555-0177"\n')
        (folder / "other.toml").write_text('name = "Kim Boro"\nphone = "202-555-0144"\n')
    (said,) = inbound_of(clinic)
    assert retention.erase(clinic, REF, NOW, who="test") is not None
    assert not clinic.database.read(lambda tx: tx.value(sa.select(schema.replies.c.body_sealed)))
    assert said
    assert [one.id for one in clinic.database.read(lambda tx: queries.drafts.mine(tx, member.id))] == [4]
    again = program.post("/patients/search", search, idempotency_key="one")
    assert (again.status_code, NAME in again.text, REF in again.text) == (410, False, False)
    assert {one.name for one in (tmp_path / "plans").rglob("*.toml")} == {"other.toml"}
    for column, held in columns(clinic):
        assert not named_in(held), column
    url = clinic.settings.database.url
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        for file in (path, Path(f"{path}-wal")):
            assert not named_in(file.read_bytes() if file.exists() else b""), file.name


def columns(context) -> Iterator[tuple[str, bytes]]:
    """Every value of every row, as in a dump, and what the remaining keys can open."""

    def look(tx: store.Transaction) -> Iterator[tuple[str, bytes]]:
        for table in schema.metadata.sorted_tables:
            for row in tx.all(sa.select(table)):
                for name, value in row._mapping.items():
                    yield f"{table.name}.{name}", value if isinstance(value, bytes) else str(value).encode()
                    if name.endswith("_sealed") and value:
                        with suppress(store.Unreadable, LookupError):
                            opened = tx.open(sealing.Place(table.name, name, row.id), value)
                            yield f"{table.name}.{name}, opened", opened.encode()

    return iter(context.database.read(lambda tx: list(look(tx))))


OLD, SUPPORTER = "202-555-0166", "202-555-0155"


def test_s8_an_erased_person_is_in_no_task_consent_plan_key_audit_or_backup(clinic, tmp_path, request):
    said = {**raw()["consent"], "how": f"form signed by {NAME}", "by": NAME, "verified": f"{REF} read aloud"}
    said["legal_basis"] = f"mother of {NAME}"
    other = {"key": NAME.replace(" ", "."), "role": "supporter", "phone": SUPPORTER, "consent": said}
    other["part2_consent_on"] = "2026-11-29"
    visit = one_off(f"{REF}-visit", "2026-12-03T15:00:00", place=f"{NAME} at home", session=f"alone-{REF}")
    visit |= {"with": NAME, "for": ["self", other["key"]]}
    more = {"patient": {"ref": REF, "name": NAME, "phone": OLD}, "consent": said, "recipients": [other]}
    first = accept(
        clinic, 76, **more, series=[visit], plan={"ref": f"{REF}-DC", "late_start_because": f"{NAME} is ill"}
    )
    accept(clinic, 77, **more, series=[visit], plan={"replaces": first})
    whom = reader_case.Whom(REF)
    assert phone_numbers.new_number(clinic, whom, PHONE, NOW, who="test", consent=said) is not None
    inbound_of(clinic)
    stranger = InboundText("SM" + "2" * 32, "+12025550166", "+15005550006", f"I want to die, {NAME}", None)
    inbound.take_in(clinic, stranger, NOW)  # from their earlier number, which belongs to no one now
    with pytest.raises(reader_case.Refused, match="in danger"):
        retention.erase(clinic, REF, NOW, who="test")
    for row in clinic.database.read(lambda tx: tx.all(sa.select(schema.tasks))):
        tasks.remark(clinic, row.id, f"{NAME} ({REF}) at {PHONE} or {OLD}", NOW, who="test")
        if row.kind in {"crisis", "supervisor"}:
            tasks.close(clinic, row.id, "reached", NOW, who="test", note=f"{NAME} is safe")
    asked = clinic.database.read(lambda tx: delivery_log.ask(clinic, tx, {"when": "any", "patient": REF}, NOW))
    delivery_log.note_export(clinic.database, asked, "csv", NOW, who="test")
    before = {column for column, held in columns(clinic) if named_in(held)}
    assert before >= {
        *("consents.how", "consents.by", "consents.verified", "consents.legal_basis", "recipients.key", "series.key"),
        *("series.recipients", "sessions.key", "plans.ref", "plans.replaces", "patients.ref"),
        *("task_events.note_sealed, opened", "numbers.phone_sealed, opened", "plans.document_sealed, opened"),
    }
    accept(clinic, 1)
    kept = sorted(held for column, held in columns(clinic) if column == "consents.how")
    assert retention.erase(clinic, REF, NOW, who="test") is not None
    assert [(column, held) for column, held in columns(clinic) if named_in(held)] == []
    assert audit.verify(clinic).ok
    how = sorted(held for column, held in columns(clinic) if column == "consents.how")
    assert (len(how), b"signed form" in how, b"signed form" in kept) == (len(kept), True, True)  # another's stays
    backup = tmp_path / "new"
    held = clinic
    if clinic.database.dialect == "postgresql":
        folder = request.getfixturevalue("postgresql_server").binaries
        database = clinic.settings.database.model_copy(update={"client_folder": folder})
        held = AppContext(clinic.settings.model_copy(update={"database": database}), clinic.secrets, clinic.database)
    backups.take(held, backup, NOW, who="test")
    saved = backup.read_bytes()
    if clinic.database.dialect == "postgresql":  # a dump is compressed, and writes bytes in hexadecimal
        restore = [folder / "pg_restore", "--file=-", backup]
        saved = subprocess.run(restore, check=True, capture_output=True).stdout
        assert b"COPY public.task_events" in saved
        assert not [word for word in WORDS if word.encode().hex().encode() in saved]
    assert not named_in(saved)


WORDS = (NAME, "Quillfeather", REF, "2025550177", "555-0177", "2025550166", "555-0166", "2025550155", "555-0155")


def named_in(held: bytes) -> list[str]:
    return [word for word in WORDS if word.lower().encode() in held.lower()]


def test_s8_drafts_are_forgotten_after_two_weeks_whosever_they_are(context):
    staff.member(context, "coordinator")
    (member,) = context.database.read(lambda tx: tx.all(sa.select(schema.staff)))
    site = context.database.write(lambda tx: store.people.keep_default_site(tx, context.settings, NOW))
    for number, days in ((1, 15), (2, 13)):
        at = NOW - timedelta(days=days)
        context.database.write(
            lambda tx, number=number, at=at: store.drafts.keep(
                tx, number, [("a", "b")], at, staff_id=member.id, site_id=site
            )
        )
    context.database.write(lambda tx: store.drafts.forget(tx, NOW - store.drafts.FORGOTTEN_AFTER))
    assert [one.id for one in context.database.read(lambda tx: queries.drafts.mine(tx, member.id))] == [2]


def test_s14_a_forged_row_of_an_erasure_hides_no_blanked_value(context):
    accept(context, 1)
    key = make_key(context)
    Program(context, key).get("/patients?names=true")
    (patient,) = context.database.read(lambda tx: tx.all(sa.select(schema.patients)))
    row = {"who": "test", "table": "patients", "row": patient.id, "now": NOW}
    context.database.write(lambda tx: store.audit_log.note(tx, what="patient changed", before="a", after="b", **row))
    audit.chain(context, NOW + timedelta(minutes=1))
    mine = schema.audit.c.patient_id == patient.id
    blank = schema.audit.update().where(mine).values(before_sealed=None, after_sealed=None)
    context.database.write(lambda tx: tx.run(blank))
    context.database.write(lambda tx: store.audit_log.note(tx, what=Action.PATIENT_ERASED, **row))
    assert not audit.verify(context).ok
    context.database.write(lambda tx: tx.run(schema.keys.update().values(wrapped=b"")))
    context.database.data_keys.clear()
    assert audit.verify(context).ok


def test_s14_the_command_line_is_known_by_its_uid(monkeypatch):
    before = output.who()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody.else")
    assert output.who() == before
    assert output._account(0, "alice", None) == "cli:root sudo:alice"
    assert output._account(0, "root", 0) == "cli:root"
    assert output._account(0, "a\nb", 4_000_000_001) == "cli:root sudo:a?b login:uid-4000000001"
    assert len(output._account(4_000_000_001, "x" * 200, 4_000_000_002)) <= 64


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_s16_what_a_browser_calls_cross_site_is_refused_whatever_its_origin_says(context, site):
    browser = Caller(context, role="admin")
    headers = {"sec-fetch-site": site, "origin": "http://127.0.0.1:8000"}
    assert browser.request("POST", "/log", data={"q": "state:sent"}, headers=headers).status_code == 403
