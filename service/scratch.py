"""Folders that last as long as the process that made them. What a killed one left behind, the next to make one
removes."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "groundswell-run-"
_LOCK = ".lock"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder of our own among the machine's temporary files, until the end of the block. The lock in it says
    that we live."""
    _remove_those_of_the_dead()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    new = folder / (_LOCK + ".new")
    lock = os.open(new, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        new.rename(folder / _LOCK)  # only now, so that nobody meets it unlocked
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_those_of_the_dead() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.lstat().st_uid != os.geteuid():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # gone meanwhile, or nothing of ours
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
