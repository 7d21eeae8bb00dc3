"""Rebuilds that are cut short, overtaken, or run side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import redis as redis_client
from support.builders import at, entity, scored_partition, topic
from support.fake_ledger import FakeLedger, Row
from support.redis_state import put_back, saved

from domain.errors import TemporaryError, WindowsNotWhole
from domain.timeline import minute_of
from store.rebuild_source import Increment, RebuildSnapshot, RebuildSource
from store.redis import windows as windows_module
from store.redis.connection import Redis
from store.redis.lease import Lease
from store.redis.reader import RedisWindowReader
from store.redis.windows import RedisWindows

pytestmark = pytest.mark.servers

PREFIX = "test:rebuild"
M = minute_of(at())
OIL, ACME = topic("Oil"), entity("ACME")
P = scored_partition()


class HookedSource:
    """The ledger; `hook` is called before each increment with its index, and with None behind the last."""

    def __init__(self, ledger: FakeLedger, hook: Callable[[int | None], object]) -> None:
        self._ledger = ledger
        self._hook = hook

    @contextmanager
    def window_source(self) -> Iterator[RebuildSnapshot]:
        with self._ledger.window_source() as snapshot:
            yield _Hooked(snapshot, self._hook)


class _Hooked:
    def __init__(self, snapshot: RebuildSnapshot, hook: Callable[[int | None], object]) -> None:
        self._snapshot = snapshot
        self._hook = hook
        self.guards, self.marks = snapshot.guards, snapshot.marks

    def increments(self, start: int) -> Iterator[Increment]:
        for index, increment in enumerate(self._snapshot.increments(start)):
            self._hook(index)
            yield increment
        self._hook(None)


@pytest.fixture
def ledger() -> FakeLedger:
    ledger = FakeLedger()
    ledger.append(P, [Row(id=f"{n}", subjects=(OIL, ACME), minute=M + n, polarity=-9_000) for n in range(4)])
    ledger.mark(P, at(5))
    return ledger


@pytest.fixture
def server(fresh_redis: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[redis_client.Redis]:
    monkeypatch.setattr(windows_module, "FILL_CHUNK", 2)
    with redis_client.Redis.from_url(fresh_redis) as server:
        yield server


@pytest.fixture
def worker(fresh_redis: str, ledger: FakeLedger) -> Callable[..., RedisWindows]:
    def make(source: RebuildSource = ledger, sleep: Callable[[float], None] = lambda _: None) -> RedisWindows:
        return RedisWindows(
            Redis(fresh_redis),
            prefix=PREFIX,
            source=source,
            retention=timedelta(hours=2),
            lateness=timedelta(minutes=5),
            sleep=sleep,
        )

    return make


@pytest.fixture
def reader(fresh_redis: str, ledger: FakeLedger) -> RedisWindowReader:
    return RedisWindowReader(Redis(fresh_redis), prefix=PREFIX, fallback=ledger)


def at_index(wanted: int | None, action: Callable[[], object]) -> Callable[[int | None], object]:
    return lambda index: action() if index == wanted else None


def test_a_rebuild_that_is_cut_short_leaves_the_old_windows_and_the_next_one_cleans_up(
    server: redis_client.Redis, worker: Callable[..., RedisWindows], ledger: FakeLedger, reader: RedisWindowReader
) -> None:
    worker().rebuild()
    before = saved(server)

    def crash() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        worker(HookedSource(ledger, at_index(7, crash))).rebuild()

    assert reader.buckets(M, M + 9).counts == ledger.buckets(M, M + 9)
    assert len(saved(server)) > len(before), "what was filled lies about"
    worker().rebuild()
    assert len(saved(server)) == len(before)
    assert not server.exists(f"{PREFIX}:spare")
    assert reader.buckets(M, M + 9).counts == ledger.buckets(M, M + 9)


@pytest.mark.parametrize("index", [0, 3, 7, None])
def test_a_rebuild_whose_chunks_were_lost_does_not_switch(
    server: redis_client.Redis, worker: Callable[..., RedisWindows], ledger: FakeLedger, index: int | None
) -> None:
    windows = worker(HookedSource(ledger, at_index(index, server.flushdb)))
    with pytest.raises(TemporaryError, match="overtaken"):
        windows.rebuild()

    with pytest.raises(WindowsNotWhole):
        windows.guard(P)
    worker().rebuild()
    assert windows.guard(P) == ledger.next_offsets[P]


def test_a_rebuild_during_which_redis_fell_back_does_not_switch(
    server: redis_client.Redis, worker: Callable[..., RedisWindows], ledger: FakeLedger
) -> None:
    copies: dict[int | None, dict[bytes, bytes]] = {}

    def hook(index: int | None) -> None:
        if index == 4:
            copies[index] = saved(server)
        if index is None:
            put_back(server, copies[4])

    with pytest.raises(TemporaryError, match="overtaken"):
        worker(HookedSource(ledger, hook)).rebuild()


def test_documents_counted_during_a_rebuild_are_counted_once_after_it(
    server: redis_client.Redis, worker: Callable[..., RedisWindows], ledger: FakeLedger, reader: RedisWindowReader
) -> None:
    worker().rebuild()
    other = worker()

    def record_and_count() -> None:
        guard = other.guard(P)
        assert guard is not None
        ledger.append(P, [Row(id="new", subjects=(OIL,), minute=M + 1)])
        assert other.apply(ledger.changes(P, guard)) is None

    windows = worker(HookedSource(ledger, at_index(3, record_and_count)))
    windows.rebuild()

    end = ledger.next_offsets[P]
    actual = other.apply(ledger.changes(P, end))
    assert actual == end - 1, "the switch put the guard back"
    assert other.apply(ledger.changes(P, actual)) is None
    assert reader.buckets(M, M + 9).counts == ledger.buckets(M, M + 9)


@pytest.mark.parametrize("by", ["another process", "the same one"])
def test_changes_computed_before_the_log_lost_its_tail_are_refused_after_the_rebuild(
    worker: Callable[..., RedisWindows], ledger: FakeLedger, reader: RedisWindowReader, by: str
) -> None:
    zombie, successor = worker(), worker()
    zombie.rebuild()
    start = zombie.guard(P)
    assert start is not None
    ledger.append(P, [Row(id="lost", subjects=(OIL,), minute=M)])
    stale = ledger.changes(P, start)

    ledger.truncate(P, start)
    (successor if by == "another process" else zombie).rebuild()
    assert successor.guard(P) == start

    assert zombie.apply(stale) == start, "the guard is the same, but the windows are not"
    assert reader.buckets(M, M + 9).counts == ledger.buckets(M, M + 9)


def test_a_worker_waits_for_a_rebuild_that_another_one_is_at_and_then_says_so(
    fresh_redis: str, worker: Callable[..., RedisWindows]
) -> None:
    waited: list[float] = []
    with Lease(Redis(fresh_redis), prefix=PREFIX, seconds=30) as lease:
        assert lease.ask().ours
        with pytest.raises(WindowsNotWhole, match="another process"):
            worker(sleep=waited.append).rebuild()

    assert sum(waited) == pytest.approx(windows_module.WAIT_SECONDS, rel=0.05)


def test_a_worker_joins_a_rebuild_that_began_after_it_asked(
    fresh_redis: str, server: redis_client.Redis, worker: Callable[..., RedisWindows]
) -> None:
    with Lease(Redis(fresh_redis), prefix=PREFIX, seconds=30) as lease:
        lease.ask()

        def the_other_one_finishes(_: float) -> None:
            server.delete(f"{PREFIX}:rebuilding")
            worker().rebuild()

        worker(sleep=the_other_one_finishes).rebuild()

    assert server.get(f"{PREFIX}:started") == b"1"


def test_a_rebuild_that_began_earlier_does_not_replace_one_that_began_later(
    server: redis_client.Redis, worker: Callable[..., RedisWindows], ledger: FakeLedger, reader: RedisWindowReader
) -> None:
    def a_later_one() -> None:
        # the earlier one's lease ran out while it stood between its last chunk and the switch
        spare = server.hgetall(f"{PREFIX}:spare")
        server.delete(f"{PREFIX}:rebuilding", f"{PREFIX}:spare")
        ledger.append(P, [Row(id="newer", subjects=(OIL,), minute=M)])
        worker().rebuild()
        server.hset(f"{PREFIX}:spare", mapping=spare)

    worker(HookedSource(ledger, at_index(None, a_later_one))).rebuild()

    assert worker().guard(P) == ledger.next_offsets[P]
    assert reader.buckets(M, M + 9).counts == ledger.buckets(M, M + 9)
    assert not server.exists(f"{PREFIX}:spare")


def test_many_workers_that_find_the_windows_gone_rebuild_them_once_or_twice(
    server: redis_client.Redis, fresh_redis: str, ledger: FakeLedger, reader: RedisWindowReader
) -> None:
    at_once = threading.Barrier(6)
    failures: list[BaseException] = []

    def rebuild() -> None:
        windows = RedisWindows(
            Redis(fresh_redis),
            prefix=PREFIX,
            source=ledger,
            retention=timedelta(hours=2),
            lateness=timedelta(minutes=5),
        )
        at_once.wait()
        try:
            windows.rebuild()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=rebuild) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert int(server.get(f"{PREFIX}:started") or 0) <= 2
    assert reader.buckets(M, M + 9).counts == ledger.buckets(M, M + 9)


def test_changes_too_many_for_one_call_are_rebuilt_instead(
    worker: Callable[..., RedisWindows],
    ledger: FakeLedger,
    reader: RedisWindowReader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    windows = worker(FakeLedger())
    windows.rebuild()
    windows = worker()
    monkeypatch.setattr(windows_module, "APPLY_LIMIT", 3)

    assert windows.apply(ledger.changes(P, 0)) == ledger.next_offsets[P]
    assert reader.buckets(M, M + 9).counts == ledger.buckets(M, M + 9)
