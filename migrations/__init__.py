"""Alembic: the database schema, one file per revision."""
