"""Fixtures of the tests in this folder."""

from support.postgres_fixtures import database, module_database

__all__ = ["database", "module_database"]
