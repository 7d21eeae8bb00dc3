"""Folders that last as long as their process, however it ends."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from service.scratch import scratch_folder

HOLD = """
from service.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "gauge.db").touch()
    print(folder, flush=True)
    input()
"""


@pytest.fixture(autouse=True)
def _temporary_files_of_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def holder(folder: Path) -> tuple[subprocess.Popen[str], Path]:
    """Another process, and the folder that it holds."""
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(Path(__file__).parents[3])}
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    return process, Path(process.stdout.readline().strip())


def test_a_folder_is_there_in_the_block_and_gone_after() -> None:
    with scratch_folder() as folder:
        (folder / "gauge.db").touch()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    killed, left = holder(tmp_path)
    living, held = holder(tmp_path)
    try:
        killed.kill()
        killed.wait()
        assert left.exists()

        with scratch_folder() as ours, scratch_folder() as another:
            assert not left.exists()
            assert (held / "gauge.db").exists()
            assert ours.exists()
            assert another.exists()
    finally:
        living.communicate("\n")
    assert living.returncode == 0
    assert not held.exists()


def test_folders_that_are_not_such_are_left_alone(tmp_path: Path) -> None:
    unmarked = tmp_path / "groundswell-run-x"
    unmarked.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".lock").touch()
    (tmp_path / "groundswell-run-link").symlink_to(elsewhere)

    with scratch_folder():
        assert unmarked.exists()
        assert (elsewhere / ".lock").exists()
