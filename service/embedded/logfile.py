"""Log files that processes append to, kept from growing without end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import BinaryIO

LIMIT = 8 * 1024 * 1024


def open_log(file: Path) -> BinaryIO:
    """Open it for a process to append to."""
    rotate(file)
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def rotate(file: Path, limit: int = LIMIT) -> None:
    """Beyond `limit` bytes, keep what it holds as `….1` and empty it, under the hands of whoever appends to it (a line
    written at that moment may be lost)."""
    if file.exists() and file.stat().st_size > limit:
        shutil.copyfile(file, file.with_name(file.name + ".1"))
        os.truncate(file, 0)


def tail(file: Path, lines: int = 12) -> str:
    """Its last lines, indented, for an error text; empty when there are none."""
    if not file.exists():
        return ""
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - 64 * 1024))
        last = log.read().decode(errors="replace").splitlines()[-lines:]
    return f"The end of {file}:\n" + "\n".join(f"  {line}" for line in last) if last else ""
