"""How a command in another terminal finds the servers that `up` or `demo` runs on this machine.

They announce the addresses, with passwords, in a file of the data folder that only its owner can read. It counts only
while the process that wrote it lives.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

FILE = "running.json"


@contextmanager
def announced(data_dir: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """Make these settings (by dotted key) found by others until the end of the block. The folder must exist."""
    file = data_dir / FILE
    content = {"pid": os.getpid(), "started": psutil.Process().create_time(), "settings": dict(settings)}
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(content, out)
    new.replace(file)
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def running_servers(data_dir: Path) -> Mapping[str, str]:
    """The settings that lead to the servers running on this data folder; none when there are none, or not ours."""
    try:
        content = json.loads((data_dir / FILE).read_bytes())
        process = psutil.Process(content["pid"])
        alive = process.is_running() and abs(process.create_time() - content["started"]) < 1
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return {}
    settings: dict[str, str] = content["settings"] if alive else {}
    return settings
