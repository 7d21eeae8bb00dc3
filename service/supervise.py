"""Keeps processes running as one tree: starts them, starts again what ends, stops them all when told to."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Protocol, Self

from domain.errors import GroundswellError, PermanentError
from service.embedded.logfile import open_log, rotate, tail
from service.embedded.process import Command, spawn

_TICK_SECONDS = 0.2


class Part(Protocol):
    """Something that runs and may end: a child process, or an embedded server."""

    @property
    def name(self) -> str: ...

    @property
    def log(self) -> Path | None:
        """Where its output goes; None: to ours."""
        ...

    def start(self) -> None:
        """Start it, or start it again. Raises a GroundswellError when that fails."""
        ...

    def poll(self) -> int | None:
        """None while it runs, else its exit status (negative: the signal that ended it)."""
        ...


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """How eagerly a part that ended is started again: after `first_delay` seconds, doubling up to `longest_delay`.

    One that ran for `healthy_after` seconds begins anew. After `alarm_after` quick ends in a row its log is quoted;
    after `give_up_after` of them (None: never) the supervisor gives up.
    """

    first_delay: float = 0.5
    longest_delay: float = 30.0
    healthy_after: float = 20.0
    alarm_after: int = 4
    give_up_after: int | None = None

    def delay(self, failures: int) -> float:
        """Seconds to wait after so many quick ends in a row (1 and up)."""
        return min(self.longest_delay, self.first_delay * 2.0 ** min(failures - 1, 30))


class ChildProcess:
    """A program of ours, run as a child that dies with us."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        grace: float = 20.0,
    ) -> None:
        self._name = name
        self._command = Command(arguments=tuple(arguments), environment=environment)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.grace = grace

    @property
    def name(self) -> str:
        return self._name

    @property
    def log(self) -> Path | None:
        return self._log

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        with nullcontext() if self._log is None else open_log(self._log) as output:
            self._process = spawn(self._command, output)

    def poll(self) -> int | None:
        if self._process is None:
            raise RuntimeError(f"{self._name} was never started")
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Send SIGTERM; nothing happens when it has ended."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, seconds: float) -> bool:
        """Whether it ended within so many seconds."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            return False
        return True

    def kill(self) -> None:
        """End it with SIGKILL, with whatever it started, and reap it."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


@dataclass
class _Watched:
    part: Part
    started_at: float
    failures: int = 0
    due_at: float | None = None
    """When it is to be started again; None while it runs."""


class Supervisor:
    """Runs `children` from `start` to `stop` and starts again what ends, `servers` too (these were started by, and are
    stopped by, whoever made them). Belongs to the main thread: children die with the thread that starts them.

    `now` is in seconds of a clock that never goes back.
    """

    def __init__(
        self,
        children: Sequence[ChildProcess],
        *,
        servers: Sequence[Part] = (),
        say: Callable[[str], None],
        policy: RestartPolicy | None = None,
    ) -> None:
        self._children = tuple(children)
        self._servers = tuple(servers)
        self._say = say
        self._policy = policy or RestartPolicy()
        self._watched: list[_Watched] = []
        self._signals = 0

    def start(self, now: float) -> None:
        """Start the children, in the order given."""
        self._watched = [_Watched(part, now) for part in self._servers]
        try:
            for child in self._children:
                watched = _Watched(child, now)
                self._watched.append(watched)
                self._start(watched, now)
        except BaseException:
            self.stop()
            raise

    def tick(self, now: float) -> None:
        """Look after everything once; call it a few times a second.

        Raises PermanentError when a part keeps ending and the policy says to give up.
        """
        for watched in self._watched:
            if watched.due_at is not None:
                if now >= watched.due_at:
                    self._start(watched, now)
                continue
            status = watched.part.poll()
            if status is not None:
                self._schedule(watched, _ending(status), now)
            if watched.part.log is not None:
                rotate(watched.part.log)

    def run(self) -> None:
        """Start, look after everything until SIGTERM or SIGINT, then stop. A second signal stops at once."""
        with self._signals_caught():
            try:
                self.start(time.monotonic())
                while not self._signals:
                    self.tick(time.monotonic())
                    time.sleep(_TICK_SECONDS)
            finally:
                self.stop()

    def stop(self) -> None:
        """Ask the children to end, in the order given, and kill those that take longer than their grace."""
        began = time.monotonic()
        for child in self._children:
            child.ask_to_stop()
        for child in self._children:
            while not child.wait(_TICK_SECONDS):
                if self._signals > 1 or time.monotonic() - began > child.grace:
                    self._say(f"{child.name} does not end: killing it")
                    child.kill()
        self._watched = []

    def __enter__(self) -> Self:
        self.start(time.monotonic())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, watched: _Watched, now: float) -> None:
        watched.started_at, watched.due_at = now, None
        try:
            watched.part.start()
        except (GroundswellError, OSError) as error:
            self._schedule(watched, f"did not start: {error}", now)

    def _schedule(self, watched: _Watched, what: str, now: float) -> None:
        part, policy = watched.part, self._policy
        lived = now - watched.started_at
        watched.failures = 1 if lived >= policy.healthy_after else watched.failures + 1
        delay = policy.delay(watched.failures)
        watched.due_at = now + delay
        quick = (
            f"{part.name} {what}, {watched.failures} times in a row within {policy.healthy_after:.0f} s of its start"
        )
        quoted = "" if part.log is None else "\n" + tail(part.log)
        if policy.give_up_after is not None and watched.failures >= policy.give_up_after:
            raise PermanentError(f"{quick}: giving up.{quoted}")
        if watched.failures >= policy.alarm_after:
            self._say(f"{quick}; trying again in {delay:g} s.{quoted}")
        else:
            self._say(f"{part.name} {what} after {lived:.1f} s; starting it again in {delay:g} s")

    @contextmanager
    def _signals_caught(self) -> Iterator[None]:
        def count(number: int, frame: FrameType | None) -> None:
            self._signals += 1

        previous = {number: signal.signal(number, count) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _ending(status: int) -> str:
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with status {status}"
