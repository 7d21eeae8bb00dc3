"""The history in Postgres: what was said, how it was scored, what it added up to, and what was sent about it."""
