"""Two processes that would make the same folder."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import PermanentError
from models.lock import alone

HOLD = """
import sys, time
from pathlib import Path
from models.lock import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_process_is_refused_until_the_first_has_ended_however_it_ends(tmp_path: Path) -> None:
    out = tmp_path / "models" / "mine"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(out)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(PermanentError, match=r"another process is making .*mine: let it end, or give another --out"),
        alone(out),
    ):
        pass
    with alone(out.with_name("another")):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert (out.parent / "mine.lock").exists()
    with alone(out):
        pass
    assert not list(out.parent.iterdir())


def test_the_folder_that_one_is_in_is_locked_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    monkeypatch.chdir(out)
    with alone(Path()), pytest.raises(PermanentError, match="another process"), alone(out):
        pass
    assert list(tmp_path.iterdir()) == [out]


def test_what_fails_within_lets_go(tmp_path: Path) -> None:
    with pytest.raises(KeyError), alone(tmp_path / "mine"):
        raise KeyError
    with alone(tmp_path / "mine"):
        pass


def test_a_lock_whose_file_was_taken_away_meanwhile_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its holder ended, and took it away, after the file was opened here: the next one would lock a new file."""
    monkeypatch.setattr("models.lock.fcntl.flock", lambda *_: (tmp_path / "mine.lock").unlink())
    with pytest.raises(PermanentError, match="another process"), alone(tmp_path / "mine"):
        pass


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(PermanentError, match=r"cannot write .*mine\.lock: .*; give another --out"),
        alone(tmp_path / "file" / "mine"),
    ):
        pass
