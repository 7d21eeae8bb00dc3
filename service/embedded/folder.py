"""The folder that all data of the embedded servers lie in: whose it is, who uses it now, which ports it had."""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import shutil
import socket
import time
from pathlib import Path
from typing import Self

from service.embedded.errors import DataFolderInUse, FolderUnusable, NotOurFolder

MARKER = ".groundswell"
_LOCK = "lock"
_PORTS = "ports.json"

# Somebody who was told to end, or killed, a moment ago may still hold it.
_LOCK_SECONDS = 2.0

# Below the range that Linux hands out to outgoing connections (32768 and up), so that none is taken between two starts.
_PORT_RANGE = range(20_000, 32_000)


class DataFolder:
    """Exclusive use of a data folder, from `open` to `close` (or our end, however it comes).

    `open` raises NotOurFolder when the folder holds something else, DataFolderInUse when another process has it,
    FolderUnusable when it can't be made or written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self._lock: int | None = None

    def open(self) -> Self:
        try:
            _claim(self.path)
            lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise FolderUnusable(
                f"{self.path} can't be used: {error.strerror}; give a data folder that you may write to"
            ) from error
        if not locked_within(lock, _LOCK_SECONDS):
            holder = os.pread(lock, 20, 0).decode() or "unknown"
            os.close(lock)
            raise DataFolderInUse(f"{self.path} is in use by process {holder}: stop it, or give another data folder")
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self._lock = lock
        return self

    def close(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def port(self, name: str, *, other_than: int | None = None) -> int:
        """The port that `name` had the last time if it is free, else a free one, which is remembered."""
        file = self.path / _PORTS
        ports: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        port = ports.get(name)
        if port is None or port == other_than or not _is_free(port):
            taken = {*ports.values(), other_than}
            port = next(p for p in random.sample(_PORT_RANGE, len(_PORT_RANGE)) if p not in taken and _is_free(p))
            write_private(file, json.dumps(ports | {name: port}, indent=2))
        return port


def locked_within(lock: int, seconds: float) -> bool:
    """Whether an open file could be locked exclusively in so many seconds. The lock lasts until every process that has
    the file from here has closed it, or ended."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)


def reset(data_dir: Path) -> None:
    """Remove a data folder of ours, with everything in it. One that isn't there is fine.

    Raises NotOurFolder when it does not carry our marker, DataFolderInUse while servers run on it.
    """
    path = data_dir.expanduser().absolute()
    if not path.exists():
        return
    if not (path / MARKER).is_file():
        raise NotOurFolder(f"{path} is not a data folder of Groundswell (it has no {MARKER} file): not removed")
    folder = DataFolder(path).open()
    try:
        shutil.rmtree(path)
    finally:
        folder.close()


def password(file: Path) -> str:
    """The password kept in a file that only we can read, made at the first call."""
    if not file.exists():
        write_private(file, secrets.token_hex(24))
    return file.read_text()


def write_private(file: Path, text: str) -> None:
    """Replace a file at once by one that only its owner can read."""
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    new.replace(file)


def private_folder(path: Path) -> Path:
    """The folder, made if need be, open to its owner only."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def _claim(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise NotOurFolder(f"{path} is not a folder: give another data folder")
    if path.exists() and not (path / MARKER).exists() and any(path.iterdir()):
        raise NotOurFolder(
            f"{path} holds something else already (it has no {MARKER} file): give an empty folder, or a new one"
        )
    private_folder(path)
    (path / MARKER).touch(mode=0o600)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: a port whose last connections are still in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
