"""Servers as `up` runs them: with a password for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.servers import started

from service.embedded import EmbeddedServers

NAME = 'data, "ours" and it\'s'
"""Nothing that a folder may be called breaks a configuration file."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """All three, shared by the tests of a module."""
    all_three = started(tmp_path_factory.mktemp("embedded") / NAME)
    yield all_three
    all_three.stop()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Where a data folder may be made."""
    return tmp_path / NAME
