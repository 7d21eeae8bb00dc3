"""Alembic migrations: forward only, each a list of plain statements frozen when it was released."""
