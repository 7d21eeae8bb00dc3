"""A lease on rebuilding the windows, so that workers which find them gone do not all rebuild them at once.

It is a courtesy: two rebuilds at a time are safe. It is the one thing here that expires by the wall clock.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from secrets import token_hex
from types import TracebackType

from domain.errors import TemporaryError
from store.redis.connection import Redis


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What was found when the lease was asked for. Rebuilds are numbered in the order in which they are begun."""

    ours: bool
    current: int | None
    """The number of the rebuild that made the windows in use; None when there are none."""
    started: int
    """The number of the newest rebuild that was begun."""


class Lease:
    """Taken by `ask`, renewed by a thread of its own from then on (a rebuild may wait long for the history's first
    row), given back at the end of the block."""

    def __init__(self, redis: Redis, *, prefix: str, seconds: float) -> None:
        self._take = redis.script("lease")
        self._release = redis.script("release")
        self._prefix = prefix
        self._seconds = seconds
        self._token = token_hex(8)
        self._done = threading.Event()
        self._renewing: threading.Thread | None = None

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._renewing is None:
            return
        self._done.set()
        self._renewing.join()
        try:
            self._release(self._prefix, self._token)
        except TemporaryError:
            # it runs out by itself; what the block raised, or did, matters more
            return

    def ask(self) -> Standing:
        """Take the lease if nobody has it, and say how things stand."""
        ours, current, started = self._take(self._prefix, self._token, round(self._seconds * 1000))
        if ours and self._renewing is None:
            self._renewing = threading.Thread(target=self._renew, name="windows-lease", daemon=True)
            self._renewing.start()
        number = None if current is None else int(current.partition(b"-")[0])
        return Standing(ours=bool(ours), current=number, started=int(started))

    def _renew(self) -> None:
        while not self._done.wait(self._seconds / 3):
            try:
                self._take(self._prefix, self._token, round(self._seconds * 1000))
            except TemporaryError:
                # the rebuild's own calls meet the same server, and say so
                continue
