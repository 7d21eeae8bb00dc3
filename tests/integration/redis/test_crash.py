"""A Redis that is killed, and loses the tail of its log to a power cut, goes back to a state that it once had."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.builders import at, entity, scored_partition, topic
from support.fake_ledger import FakeLedger, Row
from support.servers import embedded
from support.window_worlds import LATENESS, PREFIX, RETENTION

from domain.errors import TemporaryError, WindowsNotWhole
from domain.timeline import minute_of
from service.embedded import EmbeddedServers
from store.redis.connection import Redis, RedisPolicy
from store.redis.reader import RedisWindowReader
from store.redis.windows import RedisWindows

pytestmark = pytest.mark.servers

P = scored_partition()
M = minute_of(at())
SUBJECTS = (topic("Oil"), topic("Fed"), entity("ACME"))


@pytest.fixture
def servers() -> Iterator[EmbeddedServers]:
    with embedded("redis") as servers:
        yield servers


def count_until_killed(windows: RedisWindows, ledger: FakeLedger, dice: random.Random) -> None:
    """Record and count, with a rebuild now and then, until the server is gone."""
    with suppress(TemporaryError):
        for turn in range(1, 10_000):
            high = ledger.next_offsets.get(P, 0) // 10
            ledger.append(
                P,
                [
                    Row(
                        id=f"{ledger.next_offsets.get(P, 0)}-{index}",
                        subjects=tuple(dice.sample(SUBJECTS, 2)),
                        minute=M + high + dice.randrange(3),
                        polarity=dice.randint(-10_000, 10_000),
                        publisher=dice.choice(["Wire", "Post"]),
                    )
                    for index in range(20)
                ],
            )
            ledger.mark(P, at(high))
            try:
                windows.apply(ledger.changes(P, windows.guard(P) or 0))
                if turn % 7 == 0:
                    windows.rebuild()
            except WindowsNotWhole:
                windows.rebuild()


def lose_tail(server_folder: Path, dice: random.Random) -> None:
    (log,) = sorted(server_folder.glob("data/appendonlydir/*.incr.aof"))
    size = log.stat().st_size
    with log.open("r+b") as file:
        file.truncate(size - dice.randrange(min(size, 30_000)))


def test_a_crash_that_loses_the_newest_writes_leaves_windows_that_agree_with_their_guards(
    servers: EmbeddedServers,
) -> None:
    url = servers.addresses.redis_url
    assert url is not None
    redis = Redis(url, policy=RedisPolicy(connect_timeout=0.5, retries=0))
    ledger, dice = FakeLedger(), random.Random(5)
    windows = RedisWindows(redis, prefix=PREFIX, source=ledger, retention=RETENTION, lateness=LATENESS)
    reader = RedisWindowReader(redis, prefix=PREFIX, fallback=ledger)
    server = servers.servers["redis"]
    fell_back = 0
    for _ in range(6):
        worker = threading.Thread(target=count_until_killed, args=(windows, ledger, dice))
        worker.start()
        worker.join(dice.uniform(0.1, 0.4))
        server.kill()
        worker.join()
        lose_tail(server.folder, dice)
        servers.restart("redis")

        span = M - 10, M + 10_000
        try:
            guard = windows.guard(P) or 0
        except WindowsNotWhole:
            windows.rebuild()
            continue
        fell_back += guard < ledger.next_offsets[P]
        counted = FakeLedger(rows={name: held for name, held in ledger.rows.items() if held[1] < guard})
        assert reader.buckets(*span).counts == counted.buckets(*span)

        while (actual := windows.apply(ledger.changes(P, guard))) is not None:
            guard = actual
        assert reader.buckets(*span).counts == ledger.buckets(*span)
    assert fell_back, "the test is about states that lie behind the history"
