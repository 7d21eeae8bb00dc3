"""What expires, when, and where it is read from afterwards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import redis as redis_client
from support.builders import at, comments_partition, entity, news_partition, scored_partition, topic
from support.fake_ledger import FakeLedger, Row

from domain.log import MarkStatus
from domain.timeline import minute_of
from domain.watermark import MarkState
from domain.window import Changes
from store.redis import windows as windows_module
from store.redis.connection import Redis
from store.redis.reader import RedisWindowReader
from store.redis.windows import RedisWindows

pytestmark = pytest.mark.servers

PREFIX = "test:expiry"
M = minute_of(at())
OIL, ACME = topic("Oil"), entity("ACME")
P = scored_partition()
HOUR = 60


@pytest.fixture
def ledger() -> FakeLedger:
    return FakeLedger()


@pytest.fixture
def server(fresh_redis: str) -> redis_client.Redis:
    return redis_client.Redis.from_url(fresh_redis)


def worker(url: str, ledger: FakeLedger) -> RedisWindows:
    return RedisWindows(
        Redis(url), prefix=PREFIX, source=ledger, retention=timedelta(hours=1), lateness=timedelta(minutes=5)
    )


@pytest.fixture
def windows(fresh_redis: str, ledger: FakeLedger) -> RedisWindows:
    windows = worker(fresh_redis, ledger)
    windows.rebuild()
    return windows


@pytest.fixture
def reader(fresh_redis: str, ledger: FakeLedger) -> RedisWindowReader:
    return RedisWindowReader(Redis(fresh_redis), prefix=PREFIX, fallback=ledger)


@pytest.fixture
def held(server: redis_client.Redis) -> Callable[[], list[int]]:
    """The minutes that Redis holds, as minutes since the beginning of the test."""

    def minutes() -> list[int]:
        current = (server.get(f"{PREFIX}:current") or b"").decode()
        return [int(minute) - M for minute in server.zrange(f"{PREFIX}:{current}:minutes", 0, -1)]

    return minutes


def record(ledger: FakeLedger, windows: RedisWindows, minutes: range, *, high: int | None = None) -> None:
    guard = windows.guard(P) or 0
    rows = [
        Row(id=f"{minute}-{guard}", subjects=(OIL, ACME), minute=M + minute, polarity=-9_000, publisher=f"{minute % 3}")
        for minute in minutes
    ]
    ledger.append(P, rows)
    ledger.mark(P, at(minutes[-1] if high is None else high))
    assert windows.apply(ledger.changes(P, guard)) is None


def test_minutes_expire_when_the_watermark_has_left_them_a_retention_behind(
    windows: RedisWindows, ledger: FakeLedger, held: Callable[[], list[int]], server: redis_client.Redis
) -> None:
    record(ledger, windows, range(10))
    record(ledger, windows, range(10, 11), high=5 + HOUR + 4)
    record(ledger, windows, range(11, 12), high=5 + HOUR + 4)

    assert held() == list(range(4, 12)), "event time less lateness less an hour is minute 4"
    assert not list(server.scan_iter(f"{PREFIX}:*:p:{M + 3}:*"))
    assert list(server.scan_iter(f"{PREFIX}:*:p:{M + 4}:*"))


def test_nothing_expires_while_the_watermark_is_unknown(
    windows: RedisWindows, ledger: FakeLedger, held: Callable[[], list[int]]
) -> None:
    ledger.states[P, comments_partition()] = MarkState(
        scored=P,
        source=comments_partition(),
        status=MarkStatus.UNREAD,
        next_offset=0,
        high_time=None,
        ended_at=None,
        fan_out=1,
    )
    for minute in range(0, 5 * HOUR, HOUR):
        record(ledger, windows, range(minute, minute + 1))

    assert held() == list(range(0, 5 * HOUR, HOUR))


def test_minutes_below_the_floor_are_not_made_any_more(
    windows: RedisWindows, ledger: FakeLedger, held: Callable[[], list[int]], reader: RedisWindowReader
) -> None:
    record(ledger, windows, range(1), high=3 * HOUR)
    record(ledger, windows, range(1), high=3 * HOUR)
    record(ledger, windows, range(3), high=3 * HOUR)

    assert held() == []
    assert reader.buckets(M, M + 5).counts == ledger.buckets(M, M + 5)


def test_a_worker_that_just_started_does_not_put_the_floor_back(
    windows: RedisWindows, ledger: FakeLedger, reader: RedisWindowReader, fresh_redis: str
) -> None:
    for minute in range(0, 180, 10):
        record(ledger, windows, range(minute, minute + 10, 3))
    record(ledger, worker(fresh_redis, ledger), range(180, 181))

    assert reader.buckets(M, M + 200).counts == ledger.buckets(M, M + 200)


@pytest.mark.parametrize("span", [(-30, 300), (0, 95), (90, 130), (120, 200), (119, 121), (0, 1)])
def test_readers_get_what_lies_below_the_floor_from_the_history(
    windows: RedisWindows, ledger: FakeLedger, reader: RedisWindowReader, span: tuple[int, int]
) -> None:
    for minute in range(0, 180, 10):
        record(ledger, windows, range(minute, minute + 10, 3))
    truth = ledger.windows()
    start, end = M + span[0], M + span[1]

    assert reader.buckets(start, end).counts == truth.buckets(start, end).counts
    assert list(reader.buckets(start, end).counts) == sorted(reader.buckets(start, end).counts)
    assert reader.observed(start, end) == truth.observed(start, end)
    assert reader.negative_publishers(OIL, start, end) == truth.negative_publishers(OIL, start, end)
    for step in (1, 7, 60, 1_000):
        assert reader.series(OIL, start, end, step) == truth.series(OIL, start, end, step)


def test_expiry_keeps_up_with_a_replay_at_full_speed(
    windows: RedisWindows,
    ledger: FakeLedger,
    held: Callable[[], list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows_module, "DROP_LEAST", 1)
    for begin in range(0, 3_000, 300):
        record(ledger, windows, range(begin, begin + 300))

    assert len(held()) <= 300 + 300 + HOUR + 5


def test_one_call_removes_only_so_much(
    windows: RedisWindows,
    ledger: FakeLedger,
    held: Callable[[], list[int]],
    reader: RedisWindowReader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(windows_module, "DROP_LEAST", 9)
    record(ledger, windows, range(50))
    record(ledger, windows, range(49, 50), high=400)
    guard = windows.guard(P) or 0

    counts = []
    for step in range(4):
        assert windows.apply(Changes(partition=P, start=guard + step, end=guard + step + 1)) is None
        counts.append(len(held()))
    assert counts == [47, 44, 41, 38], "three keys for each minute"
    assert reader.buckets(M, M + 60).counts == ledger.buckets(M, M + 60), "what is left is not read"


def test_the_publishers_of_a_window_of_a_week_are_counted(
    ledger: FakeLedger, reader: RedisWindowReader, fresh_redis: str
) -> None:
    windows = RedisWindows(
        Redis(fresh_redis), prefix=PREFIX, source=ledger, retention=timedelta(days=8), lateness=timedelta(minutes=5)
    )
    windows.rebuild()
    week = 7 * 24 * HOUR
    record(ledger, windows, range(week))

    assert reader.negative_publishers(OIL, M, M + week) == 3


def test_a_rebuild_begins_at_the_retention(
    windows: RedisWindows, ledger: FakeLedger, held: Callable[[], list[int]]
) -> None:
    record(ledger, windows, range(0, 300, 10))
    windows.rebuild()

    assert held() == [minute for minute in range(0, 300, 10) if minute >= 290 - 5 - HOUR]


def test_a_rebuild_with_an_unknown_watermark_begins_at_the_retention_before_the_newest_event_time(
    windows: RedisWindows, ledger: FakeLedger, held: Callable[[], list[int]], reader: RedisWindowReader
) -> None:
    record(ledger, windows, range(0, 300, 10))
    ledger.states[P, news_partition(1)] = MarkState(
        scored=P,
        source=news_partition(1),
        status=MarkStatus.UNREAD,
        next_offset=0,
        high_time=None,
        ended_at=None,
        fan_out=1,
    )
    windows.rebuild()

    assert held() == [minute for minute in range(0, 300, 10) if minute >= 290 - 5 - HOUR]
    assert reader.buckets(M, M + 300).counts == ledger.buckets(M, M + 300)
