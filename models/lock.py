"""One process at a time, and in it one thread."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from domain.errors import PermanentError


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Within it nobody else is within the lock of this file, which is made for it and stays. A process that ends lets
    go, however it ends. Raises PermanentError when the file can't be made."""
    fix = "let this user write there, or set XDG_CACHE_HOME to another place"
    with _opened(file, f"in the cache folder {file.parent}", fix) as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Within it no other process, nor another thread, is within this for the same `out`. It holds `OUT.lock`, which is
    gone afterwards; one that a killed process left holds nobody up. Raises PermanentError, rather than wait, when
    somebody is, and when the file can't be made."""
    whole = out.absolute()  # "." has no name
    file = whole.with_name(f"{whole.name}.lock")
    with _opened(file, str(file), "give another --out") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine = os.path.samestat(os.fstat(opened.fileno()), file.stat())
        except (BlockingIOError, FileNotFoundError):
            mine = False
        # Whoever had it may have ended between the two calls, and taken the file away that is locked now.
        if not mine:
            raise PermanentError(f"another process is making {out}: let it end, or give another --out")
        try:
            yield
        finally:
            file.unlink()


def _opened(file: Path, what: str, fix: str) -> TextIO:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("w")
    except OSError as error:
        raise PermanentError(f"cannot write {what}: {error.strerror}; {fix}") from error
