"""One process at a time, and in it one thread."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import PermanentError


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Within it nobody else is within the lock of this file, which is made for it and stays. A process that ends lets
    go, however it ends. Raises PermanentError when the file can't be made."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        opened = file.open("w")
    except OSError as error:
        raise PermanentError(
            f"cannot write in the cache folder {file.parent}: {error.strerror}; let this user write there, or set "
            "XDG_CACHE_HOME to another place"
        ) from error
    with opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
