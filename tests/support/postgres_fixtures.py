"""A migrated database for each module, emptied for each test; a conftest.py that wants it imports both fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.postgres_databases import empty
from support.servers import new_database

from store.postgres import migrate


@pytest.fixture(scope="module")
def module_database(postgres_dsn: str) -> Iterator[str]:
    """The DSN of a migrated database."""
    with new_database(postgres_dsn) as dsn:
        migrate.upgrade(dsn)
        yield dsn


@pytest.fixture
def database(module_database: str) -> str:
    """The DSN of a migrated database that holds nothing."""
    empty(module_database)
    return module_database
