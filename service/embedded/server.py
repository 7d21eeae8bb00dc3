"""One embedded server: a program that is prepared once, started often, and stopped in good order."""

from __future__ import annotations

import os
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from signal import SIGTERM, Signals
from typing import ClassVar

import psutil

from service.embedded.errors import ServerFailed
from service.embedded.folder import DataFolder, locked_within, private_folder, write_private
from service.embedded.logfile import open_log, tail
from service.embedded.process import Command, run, spawn

Progress = Callable[[str], None]

_PREDECESSOR_SECONDS = 10.0


class EmbeddedServer(ABC):
    """A server of ours on loopback. Not thread-safe, but for `prepare` and `wait_ready`, which block and may run in any
    thread; `start` belongs to the main one.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    stop_steps: ClassVar[Sequence[tuple[Signals, float]]]
    """Signals that ask for the end, and the seconds to wait after each; SIGKILL comes after the last."""

    TERMINATE: ClassVar[Sequence[tuple[Signals, float]]] = ((SIGTERM, 20.0),)

    def __init__(self, data: DataFolder) -> None:
        self.folder = private_folder(data.path / self.name)
        self.log = self.folder / "server.log"
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None
        self._preparing: int | None = None
        """The server's lock, while it is prepared."""

    # --- what each server says of itself ---

    @property
    @abstractmethod
    def ports(self) -> tuple[int, ...]:
        """The ports that it listens on."""

    @abstractmethod
    def assign_ports(self) -> None:
        """Take the ports of the last time, or others where these are not free."""

    @abstractmethod
    def make_ready(self, progress: Progress) -> None:
        """Make what must be there before a start: programs, formatted data. Quick when it is all there. For `prepare`,
        within which no other process is at the data."""

    @abstractmethod
    def command(self) -> Command:
        """Write the configuration and say what to run."""

    @abstractmethod
    def check_ready(self) -> str | None:
        """Talk to the server as a client would. None when it serves, else what it still lacks."""

    # --- life ---

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return None if self._process is None or self.poll() is not None else self._process.pid

    def poll(self) -> int | None:
        """None while it runs, else its exit status (negative: the signal that ended it). Raises RuntimeError before
        the first start."""
        if self._process is None:
            raise RuntimeError(f"{self.title} was never started")
        return self._process.poll()

    def prepare(self, progress: Progress) -> None:
        """See to it that all is there that a start needs. An earlier process of the same data is waited for, as in
        `start`: what prepared them last may have been killed, and what it ran (PostgreSQL, for initdb) may live on for
        some moments and clear up after itself.

        Raises ServerFailed when that one can't be got rid of or a tool fails, and what `make_ready` raises.
        """
        self._preparing = self._succeed_predecessor()
        try:
            self.make_ready(progress)
        finally:
            os.close(self._preparing)
            self._preparing = None

    def start(self) -> None:
        """Start it without waiting until it serves. An earlier process of the same data is waited for (it may still
        be dying), and killed when it does not end.

        Raises ServerFailed when that one can't be got rid of.
        """
        lock = self._succeed_predecessor()
        if self._process is not None:
            self._process.wait()  # it is gone, but a zombie until asked
        try:
            with open_log(self.log) as log:
                self._process = spawn(self.command(), log, keep_open=(lock,))
            write_private(self.folder / "pid", f"{self._process.pid} {_started_at(self._process.pid)}")
        finally:
            # The server holds the lock from here on, and its children do: it is free when the last of them is gone.
            os.close(lock)

    def wait_ready(self, timeout: float) -> None:
        """Block until it serves. Raises ServerFailed when it ends or `timeout` seconds are over."""
        deadline = time.monotonic() + timeout
        while True:
            lacking = self.check_ready()
            # Looked at afterwards: what answered may be another program that has the port.
            if self.poll() is not None:
                raise ServerFailed(f"{self.title} ended with status {self.poll()}. {tail(self.log)}")
            if lacking is None:
                return
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.title} was not ready after {timeout:.0f} s ({lacking}). {tail(self.log)}")
            time.sleep(0.05)

    def signal(self, signal: Signals) -> None:
        """Send it a signal; nothing happens when it has ended."""
        if self._process is not None:
            self._process.send_signal(signal)

    def ask_to_stop(self) -> None:
        """Begin a graceful end; `stop` completes it."""
        self.signal(self.stop_steps[0][0])

    def stop(self) -> None:
        """End it gracefully, and by force when it takes longer than `stop_steps` allow. Fine when it has ended."""
        if self._process is None:
            return
        for signal, seconds in self.stop_steps:
            self.signal(signal)
            try:
                self._process.wait(seconds)
                return
            except subprocess.TimeoutExpired:
                continue
        self.kill()

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would, and reap it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    # --- for subclasses ---

    def run_tool(self, command: Command, purpose: str) -> None:
        """Run one of the server's tools to its end, while it is prepared. The tool and whatever that starts hold the
        server's lock. Raises ServerFailed when it fails."""
        if self._preparing is None:
            raise RuntimeError(f"{self.title} is not being prepared")
        with open_log(self.log) as log:
            status = run(command, log, keep_open=(self._preparing,))
        if status != 0:
            raise ServerFailed(f"{purpose} failed with status {status}. {tail(self.log)}")

    def _succeed_predecessor(self) -> int:
        """Take the lock that the server's last process holds while it lives, in any of its children."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        if locked_within(lock, _PREDECESSOR_SECONDS):
            return lock
        predecessor = self._predecessor()
        if predecessor is not None:
            predecessor.kill()
            if locked_within(lock, _PREDECESSOR_SECONDS):
                return lock
        os.close(lock)
        raise ServerFailed(f"an earlier {self.title} still uses {self.folder} and does not end: end it, then try again")

    def _predecessor(self) -> psutil.Process | None:
        try:
            pid, started_at = (self.folder / "pid").read_text().split()
            return psutil.Process(int(pid)) if _started_at(int(pid)) == started_at else None
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None


def _started_at(pid: int) -> str:
    """Tells a process from a later one with the same id."""
    return repr(psutil.Process(pid).create_time())
