"""Fixtures of the tests in this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.fake_history import FakeHistory
from support.postgres_databases import LATENESS, history_at
from support.postgres_fixtures import database, module_database

from store.postgres.history import PostgresHistory

__all__ = ["database", "history", "module_database"]


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.servers)])
def history(request: pytest.FixtureRequest) -> Iterator[FakeHistory | PostgresHistory]:
    if request.param == "memory":
        yield FakeHistory(lateness=LATENESS)
        return
    with history_at(request.getfixturevalue("database")) as postgres:
        yield postgres
