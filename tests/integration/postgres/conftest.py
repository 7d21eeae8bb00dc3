"""A migrated database for each module, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.postgres_databases import empty
from support.servers import new_database

from store.postgres import migrate


@pytest.fixture(scope="module")
def _module_database(postgres_dsn: str) -> Iterator[str]:
    with new_database(postgres_dsn) as dsn:
        migrate.upgrade(dsn)
        yield dsn


@pytest.fixture
def database(_module_database: str) -> str:
    """The DSN of a migrated database that holds nothing."""
    empty(_module_database)
    return _module_database
