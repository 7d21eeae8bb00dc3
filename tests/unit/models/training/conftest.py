"""Fixtures of the tests in this folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.tiny_models import tiny_data, tiny_encoder, tiny_entities


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    tiny_encoder(folder / "encoder")
    tiny_data(folder / "data")
    tiny_entities(folder / "data")
    return folder


@pytest.fixture
def start(place: Path, tmp_path: Path) -> Path:
    """A folder with encoder and data, nothing trained yet."""
    for name in ("encoder", "data"):
        (tmp_path / name).symlink_to(place / name)
    return tmp_path
