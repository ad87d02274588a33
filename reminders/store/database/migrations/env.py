"""How Alembic runs a migration here: on the connection and in the transaction that `migrate` opened."""

from alembic import context

from reminders.store.database import schema

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=schema.metadata,
    transactional_ddl=True,
    user_module_prefix="",
)
context.run_migrations()
