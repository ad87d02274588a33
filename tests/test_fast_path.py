"""With and without the fast path, the same statements give the same rows (docs/fast-path.md), on both databases."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from conftest import KEYS, NOW, send
from people import document, one_off

from reminders import store
from reminders.app_context import AppContext
from reminders.service import planning
from reminders.store.database import schema

SERIES = [one_off("visit", "2026-11-30T11:30:00", leads=["90m"]), one_off("later", "2026-12-02T11:30:00")]
OF_THIS_ROW = {"id", "ref", "sid"}


def lived(context, ref: str, *, fast: bool) -> list[list[dict]]:
    """Accept and plan a plan, claim, send and answer its due text; return the resulting rows."""
    slow = AppContext(
        context.settings,
        context.secrets,
        store.Database(context.database._engine.url.render_as_string(hide_password=False), store.Ring(KEYS), fast=fast),
    )
    number = {"fast": "202-555-0143", "plain": "202-555-0144"}[ref]
    said = document(plan={"ref": ref}, patient={"ref": ref, "phone": number}, series=SERIES)
    planning.accept(slow, said, NOW, who="test")
    planning.extend(slow, NOW + timedelta(minutes=1))
    send(slow)
    slow.database.close()

    def rows(tx: store.Transaction) -> list[list[dict]]:
        patient = tx.first(sa.select(schema.patients).where(schema.patients.c.ref == ref))
        reader = tx.first(sa.select(schema.recipients).where(schema.recipients.c.patient_id == patient.id))
        texts = tx.all(
            sa.select(schema.texts).where(schema.texts.c.recipient_id == reader.id).order_by(schema.texts.c.key)
        )
        tried = sa.select(schema.attempts).where(schema.attempts.c.text_id.in_([text.id for text in texts]))
        return [
            [
                {name: shown(name, value) for name, value in row._mapping.items() if name not in OF_THIS_ROW}
                for row in some
            ]
            for some in (texts, tx.all(tried))
        ]

    return context.database.read(rows)


def shown(name: str, value: object) -> object:
    """A value; for ids, instants and sealed values only whether there is one, since each row has its own."""
    return value is not None if name.endswith(("_id", "_at", "_sealed")) or isinstance(value, bytes) else value


def test_the_same_life_leaves_the_same_rows(line, travel):
    travel(NOW)
    with_it, without = (lived(line, ref, fast=ref == "fast") for ref in ("fast", "plain"))
    assert with_it[1], "nothing was tried"
    assert with_it == without


@pytest.mark.parametrize("fast", [True, False])
def test_a_database_says_whether_it_is_fast(context, fast):
    url = context.database._engine.url.render_as_string(hide_password=False)
    database = store.Database(url, store.Ring(KEYS), fast=fast)
    counted = []
    sa.event.listen(database._engine, "before_cursor_execute", lambda *seen: counted.append(seen[2]))
    database.read(lambda tx: store.queue.depth(tx, NOW))
    assert counted
    assert database.fast is fast
    database.close()
