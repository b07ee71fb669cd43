"""Runs migrations over the connection that `service.records.database` hands over."""

from alembic import context

from service.records.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter most of a table in place.
    render_as_batch=True,
)
context.run_migrations()
