"""Findings about the office's lists: search, exports, whom to call, and answers found at constant cost."""

import csv
import io

import pytest
import sqlalchemy as sa
from conftest import NOW
from people import document, one_off

from reminders import queries, store, task_kinds
from reminders.app_context import AppContext
from reminders.queries import delivery_log, exports
from reminders.service import planning
from reminders.store.database import schema


def accept(context: AppContext, number: int, **more) -> int:
    said = document(
        plan={"ref": f"DC-{number}", "discharged_on": "2026-11-30"},
        patient={"ref": f"MRN-{number}", "phone": f"(202) 555-01{number:02}", **more},
        series=[one_off("visit", "2026-12-03T15:00:00")],
    )
    return planning.accept(context, said, NOW, who="test").plan_id


def test_long_run_7_answers_are_found_without_the_reminders_ahead(context):
    accept(context, 41)
    seen = []

    @sa.event.listens_for(context.database._engine, "before_cursor_execute")
    def look(_, __, statement, parameters, *more):
        seen.append((statement, parameters))

    context.database.read(lambda tx: store.replies.answered_since(tx, 1, ["help"], NOW))
    statement, parameters = next(one for one in seen if "FROM texts" in one[0])
    assert "class <> 'reminder'" in statement
    if context.settings.database.url.startswith("sqlite"):
        with context.database._engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        assert "ix_texts_answers" in str(plan)


def test_field_report_9_a_task_about_one_patient_hides_no_other_visit_on_a_shared_phone(context):
    accept(context, 41)
    accept(context, 42, phone="(202) 555-0141")
    rows = context.database.read(
        lambda tx: tx.all(sa.select(schema.recipients.c.patient_id, schema.recipients.c.number_id))
    )
    (one, number), (other, _) = [(row.patient_id, row.number_id) for row in rows]
    site = context.database.read(store.people.all_sites)[0]

    def work(tx: store.Transaction) -> None:
        store.tasks.open_task(
            tx,
            task_kinds.NUMBER_BAD,
            site_id=site.id,
            zone=site.zone,
            now=NOW,
            since=NOW,
            patient_id=one,
            number_id=number,
        )

    context.database.write(work)

    def calls(patient: int):
        return context.database.read(
            lambda tx: store.tasks.calls_about(tx, patient_id=patient, number_id=number, appointment_id=None)
        )

    assert len(calls(one)) == 1
    assert calls(other) == []


def test_screens_1_a_closed_task_hides_no_visit_unless_someone_spoke_to_the_patient(context):
    accept(context, 41)
    row = context.database.read(
        lambda tx: tx.first(sa.select(schema.recipients.c.patient_id, schema.recipients.c.number_id))
    )
    visit = context.database.read(lambda tx: tx.value(sa.select(schema.appointments.c.id)))
    site = context.database.read(store.people.all_sites)[0]

    def work(tx: store.Transaction, outcome: str) -> int:
        task_id, _ = store.tasks.open_task(
            tx,
            task_kinds.TELL_CHANGE,
            site_id=site.id,
            zone=site.zone,
            now=NOW,
            recipient_id=1,
            patient_id=row.patient_id,
            appointment_id=visit,
        )
        store.tasks.change_task(tx, task_id, closed_at=NOW, outcome=outcome)
        return len(
            store.tasks.calls_about(tx, patient_id=row.patient_id, number_id=row.number_id, appointment_id=visit)
        )

    assert [context.database.write(lambda tx, one=one: work(tx, one)) for one in ("done", "not_needed", "reached")] == [
        0,
        0,
        1,
    ]


@pytest.mark.parametrize("search", ["obrien", "O'Brien", "O\u2019BRIEN", "o brien", "O-Brien", "mrn-41"])
def test_field_report_17_search_folds_case_apostrophes_and_hyphens(context, search):
    accept(context, 41, name="Se\u00e1n O'Brien")
    accept(context, 42, name="Maya Stone")
    site = context.database.read(store.people.all_sites)[0]
    marked = context.database.read(lambda tx: tx.all(queries.listing.patients_named(tx, [site.id], search, None)))
    assert len(marked) == 1


def test_field_report_16_csv_begins_with_a_mark_and_the_header_and_ends_with_the_notice(context):
    accept(context, 41)
    asked = context.database.read(lambda tx: delivery_log.ask(context, tx, {"when": "any"}, NOW))
    text = "".join(delivery_log.as_csv(context.database, asked.wanted))
    assert text.startswith("\ufeff")
    rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))
    assert tuple(rows[0]) == delivery_log.COLUMNS
    assert [row[0] for row in rows[-len(exports.NOTICE) :]] == list(exports.NOTICE)
