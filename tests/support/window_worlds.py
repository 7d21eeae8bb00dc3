"""Windows, a reader of them and the history behind them, in memory or in a real Redis, for the contract suites."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import redis as redis_client
from support.fake_ledger import FakeLedger
from support.fake_windows import FakeWindows

from domain.log import Partition
from domain.ports import WindowReader, Windows
from domain.subject import Subject
from domain.timeline import Minute
from domain.window import Counts
from store.redis.connection import Redis
from store.redis.reader import RedisWindowReader
from store.redis.windows import RedisWindows

PREFIX = "test:windows"
RETENTION = timedelta(hours=26)
LATENESS = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class WindowWorld:
    """What a contract test plays with."""

    ledger: FakeLedger
    windows: Windows
    reader: WindowReader
    lose: Callable[[], object]
    """Loses everything that the windows hold."""

    def reconcile(self, partition: Partition, guard: int = 0) -> int:
        """Count what is recorded, as the record stage does. Returns how many calls it took."""
        for calls in range(1, 5):
            actual = self.windows.apply(self.ledger.changes(partition, guard))
            if actual is None:
                return calls
            guard = actual
        raise AssertionError("the guard never was where it was said to be")


def total(reader: WindowReader, subject: Subject, start: Minute, end: Minute) -> Counts:
    """The sums over [start, end)."""
    (window,) = reader.series(subject, start, end, end - start)
    return window.counts


def in_memory() -> WindowWorld:
    """The fake."""
    ledger = FakeLedger()
    windows = FakeWindows(ledger)
    return WindowWorld(ledger=ledger, windows=windows, reader=windows, lose=windows.flush)


def in_redis(url: str) -> WindowWorld:
    """The real one."""
    ledger = FakeLedger()
    redis = Redis(url)
    return WindowWorld(
        ledger=ledger,
        windows=RedisWindows(redis, prefix=PREFIX, source=ledger, retention=RETENTION, lateness=LATENESS),
        reader=RedisWindowReader(redis, prefix=PREFIX, fallback=ledger),
        lose=redis_client.Redis.from_url(url).flushdb,
    )
