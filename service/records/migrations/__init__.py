"""Alembic's migrations of the record; `service.records.database` runs them."""
