"""The database itself refuses every change in a read transaction (the layout in docs/design.md, on both kinds)."""

import pytest
import sqlalchemy as sa
from conftest import NOW

from reminders import store
from reminders.store.database import schema


def test_the_database_refuses_to_change_anything_in_a_read(context):
    values = {"name": "nothing", "last_success": NOW}
    with pytest.raises(store.Unavailable, match=r"SQLITE_READONLY|ReadOnlySqlTransaction"):
        context.database.read(lambda tx: tx.run(schema.job_runs.insert(), values))


def test_a_write_after_a_read_on_the_same_connection_is_not_refused(context):
    assert context.database.read(lambda tx: tx.value(sa.select(1))) == 1
    context.database.write(lambda tx: tx.run(schema.job_runs.insert(), {"name": "nothing", "last_success": NOW}))
    assert context.database.read(lambda tx: tx.value(sa.select(sa.func.count()).select_from(schema.job_runs))) == 1
