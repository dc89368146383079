"""Run by Alembic: takes the open connection, and its transaction, of whoever called it."""

from alembic import context

from robo_stow.inventory.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
